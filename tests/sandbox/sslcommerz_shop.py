"""A shop as the SSLCommerz sandbox's tests see it: it speaks the wire by hand, without a line of the SDK's adapter."""

import hashlib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

STORE = {"store_id": "sandboxstore000", "store_passwd": "sandboxstore000@ssl"}
SESSION = "/gwprocess/v4/api.php"
VALIDATION = "/validator/api/validationserverAPI.php"
LOOK_UP = "/validator/api/merchantTransIDvalidationAPI.php"
BACK = "http://127.0.0.1:9/shop"
FIELDS = {
    "currency": "BDT",
    "success_url": f"{BACK}/success",
    "fail_url": f"{BACK}/fail",
    "cancel_url": f"{BACK}/cancel",
    "ipn_url": "http://127.0.0.1:9/ipn",
    "product_name": "Book",
    "product_category": "Books",
    "product_profile": "general",
    "cus_name": "Rahima Khatun",
    "cus_email": "rahima@example.com",
    "cus_add1": "House 1",
    "cus_city": "Dhaka",
    "cus_postcode": "1000",
    "cus_country": "Bangladesh",
    "cus_phone": "01700000000",
    "shipping_method": "NO",
    "num_of_item": "1",
}


def digest(kind: str, fields: dict[str, str], password: str = STORE["store_passwd"]) -> str:
    """The signature, "md5" or "sha256", as the dossier's §1.5 says, over the names in `verify_key`."""
    inside = {name: fields[name] for name in fields["verify_key"].split(",")}
    inside["store_passwd"] = hashlib.new(kind, password.encode()).hexdigest()
    text = "&".join(f"{name}={value}" for name, value in sorted(inside.items()))
    return hashlib.new(kind, text.encode()).hexdigest()


def is_signed(fields: dict[str, str], password: str = STORE["store_passwd"]) -> bool:
    """Whether both signatures are the store's. The SHA-256 of a cancelled payment has no password in it."""
    of_sha256 = "" if fields["status"] == "CANCELLED" else password
    return (fields["verify_sign"], fields["verify_sign_sha2"]) == (
        digest("md5", fields, password),
        digest("sha256", fields, of_sha256),
    )


class Hidden(HTMLParser):
    """The form that leads back to the shop."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.action = ""
        self.fields: dict[str, str] = {}
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form" and given.get("id") == "return":
            self.action = given["action"]
        if tag == "input" and given.get("type") == "hidden":
            self.fields[given["name"]] = given["value"]
        if tag == "script":
            self.scripts.append(given.get("src", ""))


@dataclass
class Counter:
    """The merchant's server: takes IPNs, and answers as it is told."""

    posts: list[dict[str, str]] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    status: int = 200

    async def take(self, request: Request) -> Response:
        pairs = parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        self.posts.append(dict(pairs))
        self.urls.append(str(request.url))
        return Response("", self.status)

    def transport(self) -> httpx.ASGITransport:
        """What `webhook_transport` takes."""
        return httpx.ASGITransport(Starlette(routes=[Route("/{path:path}", self.take, methods=["POST"])]))


@dataclass
class SslcommerzShop:
    """A merchant's backend."""

    http: httpx.AsyncClient
    counter: Counter = field(default_factory=Counter)
    store: dict[str, str] = field(default_factory=lambda: dict(STORE))
    orders: int = 0

    async def ask(self, amount: Any = "100.00", **changes: Any) -> dict[str, Any]:
        """A session, or its refusal."""
        self.orders += 1
        known = {"total_amount": amount, "tran_id": f"ORDER-{self.orders}", **FIELDS, **changes}
        form = {**self.store, **{name: value for name, value in known.items() if value is not ...}}
        answer = await self.http.post(SESSION, data=form)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def open(self, amount: Any = "100.00", **changes: Any) -> str:
        """A session key."""
        answer = await self.ask(amount, **changes)
        assert answer["status"] == "SUCCESS", answer
        return str(answer["sessionkey"])

    async def act(self, key: str, **form: str) -> httpx.Response:
        """Send a form of the payer's page."""
        return await self.http.post(f"/EasyCheckOut/testcde{key.lower()}", data=form)

    async def page(self, key: str, end: str = "") -> httpx.Response:
        return await self.http.get(f"/EasyCheckOut/testcde{key.lower()}{end}")

    async def back(self, key: str) -> Hidden:
        """The form that leads back to the shop."""
        answer = await self.page(key, "/return")
        assert answer.status_code == 200, answer.headers
        return Hidden(answer.text)

    async def walk(
        self, key: str, channel: str = "bkash", number: str = "01770618575", otp: str = "123456"
    ) -> Hidden:
        """Choose, type the code, be led back."""
        chosen = await self.act(key, channel=channel, wallet=number, action="Confirm")
        assert "again" not in chosen.headers["location"]
        answer = await self.act(key, otp=otp, action="Confirm")
        assert urlsplit(answer.headers["location"]).path.endswith("/return"), answer.headers["location"]
        return await self.back(key)

    async def end(self, key: str, end: str, **more: str) -> Hidden:
        """Press one of the buttons below "How shall it end?"."""
        assert (await self.act(key, end=end, **more)).status_code == 303
        return await self.back(key)

    async def approve(self, key: str, outcome: str = "success", wallet: str | None = None) -> Any:
        wish = {"gateway": "sslcommerz", "reference": key, "outcome": outcome, "wallet": wallet}
        return (await self.http.post("/_sandbox/approve", json=wish)).json()

    async def paid(self, amount: Any = "100.00", **changes: Any) -> dict[str, Any]:
        """The row of a session that was paid."""
        key = await self.open(amount, **changes)
        assert (await self.approve(key))["state"] == "VALID"
        return await self.by_key(key)

    async def get(self, path: str, fault: str = "", **query: str) -> dict[str, Any]:
        headers = {"X-Sandbox-Fault": fault} if fault else {}
        answer = await self.http.get(path, params={**self.store, **query}, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def validate(self, val_id: str, fault: str = "") -> dict[str, Any]:
        return await self.get(VALIDATION, fault, val_id=val_id, v="1", format="json")

    async def query(self, tran_id: str, fault: str = "") -> dict[str, Any]:
        return await self.get(LOOK_UP, fault, tran_id=tran_id, format="json")

    async def by_key(self, key: str) -> dict[str, Any]:
        return await self.get(LOOK_UP, sessionkey=key, format="json")

    async def refund(self, row: dict[str, Any], amount: str, fault: str = "", **more: str) -> dict[str, Any]:
        given = {
            "bank_tran_id": row["bank_tran_id"],
            "refund_amount": amount,
            "refund_remarks": "returned",
            "refund_trans_id": f"R-{amount}",
            "format": "json",
            **more,
        }
        return await self.get(LOOK_UP, fault, **{name: value for name, value in given.items() if value})

    async def refund_status(self, ref_id: str, fault: str = "") -> dict[str, Any]:
        return await self.get(LOOK_UP, fault, refund_ref_id=ref_id, format="json")

    async def books(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get("/_sandbox/books")).json()
        assert answer["problems"] == []
        return answer

    async def book(self, key: str) -> dict[str, str]:
        rows = (await self.books())["payments"]
        return next(row for row in rows if row["reference"] == key)

    async def manners(self) -> list[str]:
        found = (await self.http.get("/_sandbox/grants")).json()
        return [one["code"] for one in found["manners"]]

    async def later(self, seconds: float) -> None:
        """Let time pass."""
        assert (await self.http.post("/_sandbox/clock", json={"advance_s": seconds})).status_code == 200

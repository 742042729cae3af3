"""A shop as the sandbox's tests see it: it speaks the wire by hand, without a line of the SDK's adapter."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

V1 = "/v1.2.0-beta"
V2_REFUND = "/v2/tokenized-checkout/refund/payment/transaction"
V2_REFUND_STATUS = "/v2/tokenized-checkout/refund/payment/status"
CUSTOMER = {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
CREDENTIALS = {
    "app_key": "sandboxAppKey0000000000000",
    "app_secret": "sandboxAppSecret" + "0" * 34,
    "username": "sandboxTokenizedUser00",
    "password": "sandbox@Password<00>",
}


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, moment: datetime = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def step(self, **amount: float) -> None:
        self.moment += timedelta(**amount)


class NoSleep:
    """Notes how long was waited, and waits not at all."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class Page(HTMLParser):
    """What a browser without script sees: one form, its inputs and buttons, links, text, attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.action = ""
        self.inputs: list[str] = []
        self.buttons: list[tuple[str, str]] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += found
        if tag == "form":
            self.action = found["action"]
        elif tag == "input" and "name" in found:
            self.inputs.append(found["name"])
        elif tag == "button" and "name" in found:
            self.buttons.append((found["name"], found["value"]))
        elif tag == "a":
            self.links.append(found["href"])

    def handle_data(self, data: str) -> None:
        self.text += data


@dataclass
class Shop:
    """A merchant's backend: one token, and a method for each call."""

    http: httpx.AsyncClient
    token: str = ""
    invoices: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    async def open(self) -> "Shop":
        self.token = (await self.grant()).json()["id_token"]
        return self

    async def grant(self, **changes: str) -> httpx.Response:
        known = CREDENTIALS | changes
        return await self.http.post(
            f"{V1}/tokenized/checkout/token/grant",
            headers={"username": known["username"], "password": known["password"]} | self.headers,
            json={"app_key": known["app_key"], "app_secret": known["app_secret"]},
        )

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        own = {"Authorization": self.token, "X-APP-Key": CREDENTIALS["app_key"], **self.headers}
        url = path if path.startswith(("/v1", "/v2")) else f"{V1}/tokenized/checkout/{path}"
        return await self.http.post(url, json=body, headers={**own, **(headers or {})})

    async def ask(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.post(path, body, headers)).json()
        return answer

    async def create(self, amount: Any = "100", **changes: Any) -> dict[str, Any]:
        self.invoices += 1
        body = {
            "mode": "0011",
            "payerReference": "customer-1",
            "callbackURL": "http://127.0.0.1:9/return",
            "amount": amount,
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": f"INV-{self.invoices}",
        }
        body |= changes
        return await self.ask("create", {key: value for key, value in body.items() if value is not None})

    async def approve(
        self, payment_id: str, outcome: str = "success", wallet: str | None = None
    ) -> dict[str, Any]:
        wish = {"reference": payment_id, "outcome": outcome, "wallet": wallet}
        answer: dict[str, Any] = (await self.http.post("/_sandbox/approve", json=wish)).json()
        return answer

    async def approved(self, amount: Any = "100", *, wallet: str | None = None, **changes: Any) -> str:
        payment_id: str = (await self.create(amount, **changes))["paymentID"]
        await self.approve(payment_id, wallet=wallet)
        return payment_id

    async def execute(self, payment_id: str, **headers: str) -> dict[str, Any]:
        return await self.ask("execute", {"paymentID": payment_id}, headers)

    async def query(self, payment_id: str) -> dict[str, Any]:
        return await self.ask("payment/status", {"paymentID": payment_id})

    async def paid(self, amount: Any = "100", **changes: Any) -> tuple[str, str]:
        payment_id = await self.approved(amount, **changes)
        return payment_id, str((await self.execute(payment_id))["trxID"])

    async def refund(self, payment_id: str, trx_id: str, amount: Any, **changes: Any) -> dict[str, Any]:
        body = {
            "paymentID": payment_id,
            "trxID": trx_id,
            "amount": amount,
            "sku": "sku",
            "reason": "returned",
        }
        return await self.ask("payment/refund", body | changes)

    async def refund_v2(self, payment_id: str, trx_id: str, amount: Any, **changes: Any) -> httpx.Response:
        body = {
            "paymentId": payment_id,
            "trxId": trx_id,
            "refundAmount": amount,
            "sku": "s",
            "reason": "r",
        } | changes
        return await self.post(V2_REFUND, {key: value for key, value in body.items() if value is not None})

    async def books(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get("/_sandbox/books")).json()
        assert answer["problems"] == []
        return answer

    async def book(self, payment_id: str) -> dict[str, str]:
        rows = (await self.books())["payments"]
        return next(row for row in rows if row["reference"] == payment_id)

    async def balance(self, wallet: str = CUSTOMER["wallet"]) -> str:
        wallets = (await self.books())["wallets"]
        return str(next(row["balance"] for row in wallets if row["wallet"] == wallet))

    async def wire(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await self.http.get("/_sandbox/wire")).json()["calls"]
        return calls


async def submit(
    http: httpx.AsyncClient, url: str, page: Page, action: str = "Confirm", **values: str
) -> httpx.Response:
    """Send the page's one form as a browser would."""
    fields = {name: values.get(name, CUSTOMER[name]) for name in page.inputs}
    return await http.post(urljoin(url, page.action), data={**fields, "action": action})


async def walk(http: httpx.AsyncClient, url: str, **values: str) -> str:
    """Confirm every step of a hosted page; returns where the payer is sent at the end."""
    for _ in range(12):
        page = Page((await http.get(url)).text)
        answer = await submit(http, url, page, **values)
        assert answer.status_code == 303
        url = urljoin(url, answer.headers["location"])
        if "status=" in url:
            return url
    raise AssertionError("the page never ended")


def params(url: str) -> dict[str, list[str]]:
    """The query of a URL."""
    return parse_qs(urlsplit(url).query, keep_blank_values=True)

"""A shop as the Nagad sandbox's tests see it: it seals and opens by hand, without a line of the SDK's adapter."""

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

CONTEXT = "/remote-payment-gateway-1.0"
MERCHANT = "680000000000001"
DHAKA = timezone(timedelta(hours=6))
CALLBACK = "http://127.0.0.1:9/nagad/return"
HEADERS = {"X-KM-Api-Version": "v-0.2.0", "X-KM-IP-V4": "192.0.2.7", "X-KM-Client-Type": "PC_WEB"}
PKCS = padding.PKCS1v15()


def dumps(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def private_key(path: str) -> rsa.RSAPrivateKey:
    """A merchant's key from the file that the sandbox names."""
    der = base64.b64decode(Path(path).read_text("ascii"))
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@dataclass
class NagadShop:
    """A merchant's backend with his key and the gateway's."""

    http: httpx.AsyncClient
    key: rsa.RSAPrivateKey
    gateway: rsa.RSAPublicKey
    clock: Any
    orders: int = 0
    prefix: str = CONTEXT + "/api/dfs"
    headers: dict[str, str] = field(default_factory=lambda: dict(HEADERS))

    @classmethod
    async def of(cls, http: httpx.AsyncClient, clock: Any) -> "NagadShop":
        """With the keys that the sandbox names."""
        told = (await http.get("/_sandbox/gateways")).json()["gateways"]["nagad"]
        private = base64.b64decode(Path(told["merchant_private_key_file"]).read_text("ascii"))
        public = base64.b64decode(Path(told["gateway_public_key_file"]).read_text("ascii"))
        key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
        gateway = load_der_public_key(public)
        assert isinstance(key, rsa.RSAPrivateKey) and isinstance(gateway, rsa.RSAPublicKey)
        return cls(http, key, gateway, clock)

    # --- sealing ------------------------------------------------------------------------------------------------

    def sealed(self, inside: bytes, digest: HashAlgorithm | None = None) -> dict[str, str]:
        block = self.gateway.encrypt(inside, PKCS)
        signature = self.key.sign(inside, PKCS, digest or SHA256())
        return {
            "sensitiveData": base64.b64encode(block).decode(),
            "signature": base64.b64encode(signature).decode(),
        }

    def opened(self, answer: dict[str, str]) -> bytes:
        """The inside of a sealed answer; raises InvalidSignature where it is not the gateway's."""
        inside = self.key.decrypt(base64.b64decode(answer["sensitiveData"]), PKCS)
        self.gateway.verify(base64.b64decode(answer["signature"]), inside, PKCS, SHA256())
        return inside

    def now(self) -> str:
        moment: datetime = self.clock.now()
        return f"{moment.astimezone(DHAKA):%Y%m%d%H%M%S}"

    # --- calls --------------------------------------------------------------------------------------------------

    async def post(self, path: str, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else dumps(body)
        given = self.headers | {"Content-Type": "application/json"} | (headers or {})
        return await self.http.post(self.prefix + path, content=content, headers=given)

    def order_id(self) -> str:
        self.orders += 1
        return f"Order{self.orders:05d}"

    async def initialize(
        self,
        order_id: str | None = None,
        *,
        inside: dict[str, Any] | None = None,
        outer: dict[str, Any] | None = None,
        query: str = "",
        fault: str = "",
        merchant: str = MERCHANT,
    ) -> httpx.Response:
        order_id = order_id or self.order_id()
        known = {
            "merchantId": merchant,
            "datetime": self.now(),
            "orderId": order_id,
            "challenge": "c" * 40,
        } | (inside or {})
        text = dumps({name: value for name, value in known.items() if value is not ...})
        body = {"accountNumber": "01000000000", "dateTime": self.now(), **self.sealed(text)} | (outer or {})
        body = {name: value for name, value in body.items() if value is not ...}
        headers = {"X-Sandbox-Fault": fault} if fault else None
        return await self.post(f"/check-out/initialize/{merchant}/{order_id}{query}", body, headers)

    async def started(self, order_id: str | None = None, **more: Any) -> tuple[str, str, str]:
        """Initialize that has to go well: reference, challenge, order id."""
        order_id = order_id or self.order_id()
        answer = await self.initialize(order_id, **more)
        assert answer.status_code == 200, answer.text
        found = json.loads(self.opened(answer.json()))
        return found["paymentReferenceId"], found["challenge"], order_id

    async def complete(
        self,
        reference: str,
        challenge: str,
        order_id: str,
        amount: Any = "100",
        *,
        inside: dict[str, Any] | None = None,
        outer: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        path: str | None = None,
    ) -> httpx.Response:
        known = {
            "merchantId": MERCHANT,
            "orderId": order_id,
            "currencyCode": "050",
            "amount": amount,
            "challenge": challenge,
        } | (inside or {})
        text = dumps({name: value for name, value in known.items() if value is not ...})
        body = {**self.sealed(text), "merchantCallbackURL": CALLBACK} | (outer or {})
        body = {name: value for name, value in body.items() if value is not ...}
        return await self.post(path or f"/check-out/complete/{reference}", body, headers)

    async def ready(self, amount: Any = "100", *, query: str = "", **more: Any) -> tuple[str, str]:
        """A page to pay on: reference and its address."""
        reference, challenge, order_id = await self.started(query=query)
        answer = await self.complete(reference, challenge, order_id, amount, **more)
        assert answer.status_code == 200, answer.text
        return reference, answer.json()["callBackUrl"]

    async def verify(self, reference: str, fault: str = "") -> dict[str, Any]:
        headers = {"X-Sandbox-Fault": fault} if fault else {}
        answer = await self.http.get(f"{self.prefix}/verify/payment/{reference}", headers=headers)
        found: dict[str, Any] = answer.json()
        return found

    async def approve(self, reference: str, outcome: str = "success", wallet: str | None = None) -> Any:
        wish = {"gateway": "nagad", "reference": reference, "outcome": outcome, "wallet": wallet}
        return (await self.http.post("/_sandbox/approve", json=wish)).json()

    async def paid(self, amount: Any = "100") -> str:
        reference, _ = await self.ready(amount)
        await self.approve(reference)
        assert (await self.verify(reference))["status"] == "Success"
        return reference

    async def refund(
        self,
        reference: str,
        amount: str,
        *,
        inside: dict[str, Any] | None = None,
        outer: dict[str, Any] | None = None,
        query: str | None = None,
        fault: str = "",
    ) -> httpx.Response:
        found = await self.verify(reference)
        known = {
            "merchantId": MERCHANT,
            "originalRequestDate": self.now()[:8],
            "originalAmount": found.get("amount") or "0",
            "cancelAmount": amount,
            "referenceNo": "refund-1",
            "referenceMessage": "returned",
        } | (inside or {})
        sealed = self.sealed(dumps({name: value for name, value in known.items() if value is not ...}))
        body = {"sensitiveDataCancelRequest": sealed["sensitiveData"], "signature": sealed["signature"]}
        body = {name: value for name, value in (body | (outer or {})).items() if value is not ...}
        query = f"?paymentRefId={reference}&orderId={found.get('orderId')}" if query is None else query
        headers = {"X-Sandbox-Fault": fault} if fault else None
        return await self.post(f"/purchase/cancel{query}", body, headers)

    async def books(self) -> dict[str, Any]:
        answer: dict[str, Any] = (await self.http.get("/_sandbox/books")).json()
        assert answer["problems"] == []
        return answer

    async def book(self, reference: str) -> dict[str, str]:
        rows = (await self.books())["payments"]
        return next(row for row in rows if row["reference"] == reference)

    async def wire(self) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = (await self.http.get("/_sandbox/wire")).json()["calls"]
        return calls

    async def manners(self) -> list[str]:
        found = (await self.http.get("/_sandbox/grants")).json()["manners"]
        return [one["rule"] for one in found]


def code(answer: httpx.Response) -> str:
    """The reason of a refusal."""
    found = answer.json()
    assert set(found) == {"reason", "message", "devMessage"}, found
    assert found["reason"].startswith("16_0006_") and answer.status_code == 400
    return str(found["reason"][-3:])

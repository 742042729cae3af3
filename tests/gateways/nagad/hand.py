"""A Nagad of the tests' own: its keys, its sealed answers, and generators driven by hand."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from vextrus_payments.errors import PaymentsError
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.crypto import Seal
from vextrus_payments.gateways.nagad.protocol import Order
from vextrus_payments.gateways.nagad.steps import Api
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.wire import Checkpoint, Send, WireCall, WireResponse

MERCHANT = "680000000000001"
ROOT = "http://127.0.0.1:28600/remote-payment-gateway-1.0"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
"""11:06:07 in Dhaka."""
ORDER_ID = "INV8812"
CHALLENGE = "0123456789abcdef0123"
REFERENCE = m.ReferenceParts("0304110607000", MERCHANT, ORDER_ID, CHALLENGE).encode()
TRX = "000177YT"


@cache
def pair(name: str) -> rsa.RSAPrivateKey:
    """A key pair of this run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_text(key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())).decode()


def public_text(key: rsa.RSAPublicKey) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def our_seal() -> Seal:
    return Seal(pair("merchant"), pair("gateway").public_key())


def their_seal() -> Seal:
    return Seal(pair("gateway"), pair("merchant").public_key())


def api(mode: Mode = Mode.SANDBOX, root: str = ROOT) -> Api:
    return Api(
        root=root,
        mode=mode,
        merchant_id=MERCHANT,
        seal=our_seal(),
        client_address="192.0.2.7",
        client_type=m.ClientType.PC_WEB,
    )


def order(**changes: Any) -> Order:
    known: dict[str, Any] = {
        "order_id": ORDER_ID,
        "amount": Money("100.00"),
        "callback_url": "https://shop.example/payments/nagad/return",
        "challenge": "ab" * 20,
        "asked_at": NOW,
    }
    return Order(**{**known, **changes})


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> WireResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status, headers or {}, raw)


def sealed(text: dict[str, Any] | bytes, seal: Seal | None = None) -> WireResponse:
    """A text as Nagad seals it: compact, its `=` as it is."""
    raw = text if isinstance(text, bytes) else json.dumps(text, separators=(",", ":")).encode()
    data, signature = (seal or their_seal()).seal(raw)
    return answer({"sensitiveData": data, "signature": signature})


def initialized(reference: str = REFERENCE, challenge: str = CHALLENGE) -> WireResponse:
    return sealed(
        {"paymentReferenceId": reference, "challenge": challenge, "acceptDateTime": "20260304110607"}
    )


def completed(url: str = f"http://127.0.0.1:28600/check-out/{REFERENCE}") -> WireResponse:
    return answer({"callBackUrl": url, "status": "Success"})


def verified(status: str = "Success", **changes: Any) -> WireResponse:
    known = {
        "merchantId": MERCHANT,
        "orderId": ORDER_ID,
        "paymentRefId": REFERENCE,
        "amount": "100.00",
        "clientMobileNo": "016****5428",
        "merchantMobileNo": "01300200710",
        "orderDateTime": "2026-03-04 11:06:07.0",
        "issuerPaymentDateTime": "2026-03-04 11:07:00.0",
        "issuerPaymentRefNo": TRX,
        "additionalMerchantInfo": None,
        "status": status,
        "statusCode": "000",
        "cancelIssuerDateTime": None,
        "cancelIssuerRefNo": None,
    }
    return answer({**known, **changes})


def refusal(code: str, status: int = 400, **more: Any) -> WireResponse:
    return answer({"reason": code, "message": "Please verify provided data and try again.", **more}, status)


class Drive:
    """Runs a generator: each step is answered by the next of the script, an error by throwing it."""

    def __init__(self, *script: WireResponse | Exception) -> None:
        self._script: Iterator[WireResponse | Exception] = iter(script)
        self.sends: list[Send] = []
        self.evidence: list[Evidence] = []

    def run(self, call: WireCall[Any]) -> Any:
        step = next(call)
        while True:
            try:
                if isinstance(step, Checkpoint):
                    self.evidence.append(step.evidence)
                    step = call.send(None)
                    continue
                self.sends.append(step)
                reply = next(self._script, None)
                assert reply is not None, f"the script has no answer to {step.name}"
                step = call.throw(reply) if isinstance(reply, Exception) else call.send(reply)
            except StopIteration as end:
                return end.value

    def fails(self, call: WireCall[Any]) -> PaymentsError:
        """The error it ends with: ours, and dragging no other along."""
        try:
            result = self.run(call)
        except PaymentsError as error:
            assert error.__context__ is None and error.__cause__ is None
            return error
        raise AssertionError(f"it returned {result!r}")

    @property
    def steps(self) -> list[str]:
        return [send.name for send in self.sends]

    def text(self, index: int) -> dict[str, Any]:
        """What the sealed text of a request says, opened as Nagad opens it."""
        body = json.loads(self.sends[index].request.body)
        data = body.get("sensitiveData") or body["sensitiveDataCancelRequest"]
        found: dict[str, Any] = json.loads(their_seal().open(data, body["signature"]))
        return found


Maker = Callable[[], WireResponse]

"""The adapter of examples/gateway keeps the promise: the conformance kit, against an Acme that keeps books."""

import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.docs.blocks import ROOT
from vextrus_payments import (
    Intent,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    Pending,
    Refunded,
    RefundRequest,
    Secret,
)
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper, Fault, Verb, check_gateway
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

_SPEC = importlib.util.spec_from_file_location("acme_example", ROOT / "examples" / "gateway" / "acme.py")
assert _SPEC is not None and _SPEC.loader is not None
acme: Any = importlib.util.module_from_spec(_SPEC)
sys.modules["acme_example"] = acme
_SPEC.loader.exec_module(acme)

KEY = "canary-acme-key"  # a canary, not a credential


@dataclass
class Acme:
    """Acme's own server, as a Transport."""

    orders: dict[str, dict[str, str]] = field(default_factory=dict)
    refunds: dict[str, dict[str, str]] = field(default_factory=dict)
    moves: int = 0

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        _, _, path = request.url.partition("acme.test/")
        if dict(request.headers).get("authorization") != f"Key {KEY}":
            return _json({"code": "bad_key"})
        body = json.loads(request.body) if request.body else {}
        kind, _, name = path.partition("/")
        return _json(getattr(self, f"{request.method.lower()}_{kind}")(name, body))

    async def aclose(self) -> None:
        """Nothing is open."""

    def post_orders(self, _: str, body: dict[str, str]) -> dict[str, str]:
        ref = f"A{len(self.orders) + 1}"
        kept = {"order": body["order"], "amount": body["amount"]}
        self.orders[ref] = {"ref": ref, "state": "open", "page": f"https://acme.test/page/{ref}", **kept}
        return self.orders[ref]

    def get_orders(self, ref: str, _: object) -> dict[str, str]:
        return self.orders[ref]

    def post_refunds(self, _: str, body: dict[str, str]) -> dict[str, str]:
        order = self.orders[body["ref"]]
        gone = sum(
            (Decimal(one["amount"]) for one in self.refunds.values() if one["ref"] == body["ref"]), Decimal()
        )
        if gone + Decimal(body["amount"]) > Decimal(order["amount"]):
            return {"code": "no_money_left"}
        self.moves += 1
        made = {**body, "receipt": order["receipt"], "refund_receipt": f"R{self.moves}"}
        return self.refunds.setdefault(body["number"], made)

    def get_refunds(self, number: str, _: object) -> dict[str, str]:
        return self.refunds.get(number, {"code": "no_such_refund"})

    def pay(self, ref: str) -> None:
        self.moves += 1
        self.orders[ref].update(state="paid", receipt=f"P{self.moves}")


def _json(found: object) -> WireResponse:
    return WireResponse(200, {"content-type": "application/json"}, json.dumps(found).encode())


def wanted(reference: str, intent: Intent = Intent.SALE) -> PaymentRequest:
    return PaymentRequest(
        operation_id=f"{reference}/pay",
        gateway="acme",
        amount=Money("500", "BDT"),
        merchant_reference=reference,
        intent=intent,
    )


class World:
    """Acme as the kit wants it."""

    def __init__(self) -> None:
        self.server = Acme()

    @property
    def transport(self) -> Transport:
        return self.server

    @property
    def secrets(self) -> Sequence[str]:
        return (KEY,)

    def request(self, merchant_reference: str, *, intent: Intent = Intent.SALE) -> PaymentRequest:
        return wanted(merchant_reference, intent)

    async def effects(self) -> int:
        return self.server.moves

    async def approve(self, gateway_reference: str) -> None:
        self.server.pay(gateway_reference)

    def token_rejected(self) -> WireResponse | None:
        return None

    def is_token_request(self, request: WireRequest) -> bool:
        return False

    async def inject(self, verb: Verb, fault: Fault) -> bool:
        return False

    async def mend(self) -> None:
        """It never breaks."""


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    yield World()


def config() -> Any:
    return acme.AcmeConfig(
        api_url="https://acme.test", key=Secret(KEY), callback_url="https://shop.example/acme/return"
    )


def made(world: World, transport: Transport) -> Any:
    clock = FakeClock()
    return acme.AcmeGateway(
        config(), transport=transport, clock=clock, sleeper=FakeSleeper(clock), entropy=FakeEntropy()
    )


async def test_it_keeps_the_promise() -> None:
    report = await check_gateway(made, a_world)
    assert len(report.scenarios) > 50


async def test_it_sells_under_the_engine_without_being_installed() -> None:
    server = Acme()
    async with Payments(
        store="memory://",
        adapters={"acme": acme.adapter},
        gateways={"acme": config()},
        transport=server,
        public_url="https://shop.example/payments",
        workers=False,
    ) as payments:
        session = await payments.initialize(wanted("INV-1"))
        assert isinstance(await payments.execute(session.payment_id), Pending)
        server.pay(session.gateway_reference)
        assert isinstance(await payments.execute(session.payment_id), Paid)
        asked = RefundRequest(operation_id="back", payment_id=session.payment_id, amount=Money("100", "BDT"))
        for _ in range(2):
            assert isinstance(await payments.refund(asked), Refunded)
    assert len(server.refunds) == 1

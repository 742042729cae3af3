"""A bench of the fault matrix: one sandbox, a line that breaks, the whole engine; and what differs between gateways."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.flows.fault_matrix import Step
from tests.flows.shop import LONG_S
from tests.in_process import AppTransport
from vextrus_payments import (
    GatewayError,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    PaymentSession,
    Pending,
    RefundRequest,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.gateways.bkash.recurring import BkashRecurringConfig
from vextrus_payments.gateways.nagad import NagadConfig
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig
from vextrus_payments.payment import ConsentRequest, Intent
from vextrus_payments.records import Agreement
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.testing.faulty import FOREVER, HARMLESS, Fault, FaultyTransport
from vextrus_payments.wire import Safety, WireRequest, WireResponse
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.books import TRANSFER

URL = "http://127.0.0.1:28600"
_MONEY = frozenset({"debit", "hold", "capture", "release", "refund"})
_EXPIRED = WireResponse(
    401, {"content-type": "application/json"}, b'{"message":"The incoming token has expired"}'
)
Act = Callable[[], Awaitable[Any]]
CONSENT = ConsentRequest(operation_id="consent", gateway="bkash", payer_reference="customer-1")


class Bench(ABC):
    """One sandbox, one breakable line, one Payments."""

    name: str
    shown: type = Pending
    """What a look-up brings once the payer is done on the page."""
    accepts_refunds: bool = False
    """A refund is only accepted at first; then it is asked for."""
    token_rejected: WireResponse | None = None

    def __init__(self, app: Any, client: httpx.AsyncClient, clock: FakeClock) -> None:
        self.app, self.clock = app, clock
        self.world = app.state.world
        self.gateway = self.world.gateways[self.name]
        self.line = FaultyTransport(
            AppTransport(client), token_rejected=self.token_rejected, is_token_request=self.is_token_request
        )
        self.payments = Payments(
            store="memory://",
            gateways={self.name: self.config(self.gateway.describe(URL))},
            workers=False,
            transport=self.line,
            clock=clock,
            sleeper=FakeSleeper(clock),
            entropy=FakeEntropy(3),
        )
        self.session: PaymentSession | None = None
        self.agreement: Agreement | None = None

    @abstractmethod
    def config(self, told: dict[str, str]) -> GatewayConfig:
        """The sandbox's merchant."""

    @staticmethod
    def is_token_request(request: WireRequest) -> bool:
        """Whether it asks for a token."""
        return False

    async def warm(self) -> None:
        """Have done what a first call would do beside its own work."""
        await self.payments.gateway_of("default", self.name)

    def moved(self) -> int:
        """How often money moved by the gateway's own books."""
        return sum(entry.kind in _MONEY for entry in self.world.books.movements)

    async def open(self, intent: Intent = Intent.SALE) -> PaymentSession:
        self.session = await self.payments.initialize(
            PaymentRequest(
                operation_id="INV-1/pay",
                gateway=self.name,
                amount=Money("100"),
                merchant_reference="INV-1",
                intent=intent,
            )
        )
        return self.session

    async def approved(self, intent: Intent = Intent.SALE) -> str:
        session = await self.open(intent)
        self.gateway.approve(session.gateway_reference, "success", None)
        return session.payment_id

    async def consented(self) -> str:
        self.agreement = await self.payments.create_agreement(CONSENT)
        self.gateway.approve(self.agreement.gateway_reference, "success", None)
        return self.agreement.agreement_key

    def refund(self, payment_id: str) -> RefundRequest:
        return RefundRequest(operation_id="r-1", payment_id=payment_id, amount=Money("30"))


async def tried(act: Act) -> Any:
    """What an act gives, or the gateway error that it raised."""
    try:
        return await act()
    except GatewayError as error:
        return error


async def broken(bench: Bench, step: Step, fault: Fault, act: Act) -> Any:
    """What the caller of `act` is told while the line breaks at this step; the line is whole again afterwards."""
    bench.line.mend()
    once_only = step.safety is Safety.ONCE and fault not in (Fault.NOT_SENT, Fault.TOKEN_ALWAYS)
    times = 1 if once_only or fault is Fault.TOKEN_ONCE else FOREVER
    bench.line.break_next(fault, step.safety, times=times, after=step.call - 1)
    if step.safety is Safety.ONCE:
        bench.line.blind_after_once()  # else the look-up right after finds it, and there is nothing to see
    if step.safety is Safety.IDEMPOTENT:
        bench.line.break_next(Fault.LOST_BEFORE, Safety.READ, times=FOREVER)
    found = await tried(act)
    left = [p for p in bench.line.passages if p.safety is Safety.ONCE and p.fault not in HARMLESS]
    assert len(left) <= 1, "ONCE was repeated after bytes had left"
    bench.line.mend()
    bench.clock.advance(LONG_S)
    return found


class BkashBench(Bench):
    """bKash: tokens, agreements."""

    name = "bkash"
    token_rejected = _EXPIRED

    def config(self, told: dict[str, str]) -> GatewayConfig:
        return BkashConfig(
            api_url=told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            app_key=Secret(told["app_key"]),
            app_secret=Secret(told["app_secret"]),
            username=Secret(told["username"]),
            password=Secret(told["password"]),
        )

    @staticmethod
    def is_token_request(request: WireRequest) -> bool:
        return "-token" in request.url or "/token/" in request.url

    async def warm(self) -> None:
        gateway = await self.payments.gateway_of("default", self.name)
        await gateway.search_transaction("AAA1BBB2CC")  # the token is there then

    def moved(self) -> int:
        """Agreements that were made or ended count, too."""
        rules = self.gateway.rules
        ended = sum(a.voided_at is not None for a in rules.agreements.values())
        return super().moved() + len(rules.agreements) + ended


class BkashV2Bench(BkashBench):
    """bKash's Tokenized Checkout v2: the same payments behind other routes."""

    def config(self, told: dict[str, str]) -> GatewayConfig:
        return super().config({**told, "base_url": told["base_url"].removesuffix("/v1.2.0-beta") + "/v2"})


class NagadBench(Bench):
    """Nagad: two calls make a page, and the payer's last click pays."""

    name = "nagad"
    shown = Paid

    def config(self, told: dict[str, str]) -> GatewayConfig:
        return NagadConfig(
            api_url=told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            merchant_id=told["merchant_id"],
            private_key=Secret(Path(told["merchant_private_key_file"]).read_text(encoding="ascii")),
            public_key=Path(told["gateway_public_key_file"]).read_text(encoding="ascii"),
        )


class SslcommerzBench(Bench):
    """SSLCommerz: one form makes a page, a validation proves a payment, an accepted refund is asked for."""

    name = "sslcommerz"
    shown = Paid
    accepts_refunds = True

    def config(self, told: dict[str, str]) -> GatewayConfig:
        return SslcommerzConfig(
            api_url=told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            store_id=told["store_id"],
            store_password=Secret(told["store_password"]),
        )


class PayingBench(BkashBench):
    """bKash's payouts, below the root of the checkout product."""

    def config(self, told: dict[str, str]) -> GatewayConfig:
        credentials = {name: Secret(told[name]) for name in ("app_key", "app_secret", "username", "password")}
        fields: dict[str, Any] = {
            "api_url": told["base_url"],
            "callback_url": "http://127.0.0.1:9/return",
            "payout_api_url": told["base_url"] + "/checkout",
            **credentials,
            **{f"payout_{name}": value for name, value in credentials.items()},
        }
        return BkashConfig(**fields)

    def moved(self) -> int:
        """How often money left, or went between two accounts of the merchant's own."""
        return sum(entry.kind in ("payout", TRANSFER) for entry in self.world.books.movements)


class RecurringBench(Bench):
    """bKash's recurring platform: it collects by itself."""

    name = "bkash_recurring"

    def config(self, told: dict[str, str]) -> GatewayConfig:
        return BkashRecurringConfig(
            api_url=told["base_url"],
            callback_url="http://127.0.0.1:9/return",
            api_key=Secret(told["api_key"]),
            service_id=int(told["service_id"]),
        )

    def moved(self) -> int:
        """What went back, and subscriptions that were ended."""
        ended = sum(one.cancelled_at is not None for one in self.gateway.rules.subscriptions.values())
        given_back = sum(entry.kind == "refund" for entry in self.world.books.movements)
        return int(ended + given_back)


BENCHES: dict[str, Callable[[Any, httpx.AsyncClient, FakeClock], Bench]] = {
    "bkash": BkashBench,
    "bkash-v2": BkashV2Bench,
    "bkash-payouts": PayingBench,
    "bkash-recurring": RecurringBench,
    "nagad": NagadBench,
    "sslcommerz": SslcommerzBench,
}


@asynccontextmanager
async def bench_open(name: str) -> AsyncIterator[Bench]:
    """A gateway's bench, of its own sandbox."""
    clock = FakeClock()
    app = create_app(clock=clock, seed=5)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        bench = BENCHES[name](app, client, clock)
        async with bench.payments:
            yield bench

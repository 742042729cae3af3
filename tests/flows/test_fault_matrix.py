"""Every cell of the fault matrix, played by the whole engine against the sandbox behind a line that breaks (R3)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from scripts.fault_matrix import TARGET, document
from tests.conformance.test_gateway_bkash import AppTransport
from tests.flows.fault_matrix import Later, Now, Step, cells, steps_of, words
from tests.flows.shop import LONG_S
from vextrus_payments import (
    Declined,
    GatewayError,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    PaymentSession,
    Pending,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.capabilities import Feature
from vextrus_payments.errors import Effect
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.gateways.bkash.manners import capabilities_of
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.payment import ConsentRequest, Intent
from vextrus_payments.records import Agreement, AgreementLife, OperationState
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper
from vextrus_payments.testing.faulty import DONE, FOREVER, Fault, FaultyTransport
from vextrus_payments.wire import Safety, WireResponse
from vextrus_payments_sandbox.app import create_app

CAPABILITIES = capabilities_of(RefundApi.V2)
_MONEY = frozenset({"debit", "hold", "capture", "release", "refund"})
_EXPIRED = WireResponse(
    401, {"content-type": "application/json"}, b'{"message":"The incoming token has expired"}'
)


class Bench:
    """One sandbox, one breakable line, one Payments."""

    def __init__(self, app: Any, client: httpx.AsyncClient, clock: FakeClock) -> None:
        self.app, self.clock = app, clock
        self.world = app.state.world
        self.line = FaultyTransport(
            AppTransport(client), token_rejected=_EXPIRED, is_token_request=lambda r: "/token/" in r.url
        )
        merchant = self.world.gateways["bkash"].merchant
        config = BkashConfig(
            api_url="http://127.0.0.1:28600/v1.2.0-beta",
            callback_url="http://127.0.0.1:9/return",
            app_key=Secret(merchant.app_key),
            app_secret=Secret(merchant.app_secret),
            username=Secret(merchant.username),
            password=Secret(merchant.password),
        )
        self.payments = Payments(
            store="memory://",
            gateways={"bkash": config},
            workers=False,
            transport=self.line,
            clock=clock,
            sleeper=FakeSleeper(clock),
            entropy=FakeEntropy(3),
        )
        self.session: PaymentSession | None = None
        self.agreement: Agreement | None = None

    def moved(self) -> int:
        """How often money moved, and agreements were made or ended, by the gateway's own books."""
        rules = self.world.gateways["bkash"].rules
        ended = sum(a.voided_at is not None for a in rules.agreements.values())
        moves = sum(entry.kind in _MONEY for entry in self.world.books.movements)
        return moves + len(rules.agreements) + ended

    async def open(self, intent: Intent = Intent.SALE) -> PaymentSession:
        self.session = await self.payments.initialize(
            PaymentRequest(
                operation_id="INV-1/pay",
                gateway="bkash",
                amount=Money("100"),
                merchant_reference="INV-1",
                intent=intent,
            )
        )
        return self.session

    async def approved(self, intent: Intent = Intent.SALE) -> str:
        session = await self.open(intent)
        self.world.gateways["bkash"].approve(session.gateway_reference, "success", None)
        return session.payment_id

    async def consented(self) -> str:
        self.agreement = await self.payments.create_agreement(CONSENT)
        self.world.gateways["bkash"].approve(self.agreement.gateway_reference, "success", None)
        return self.agreement.agreement_key

    def refund(self, payment_id: str) -> RefundRequest:
        return RefundRequest(operation_id="r-1", payment_id=payment_id, amount=Money("30"))


CONSENT = ConsentRequest(operation_id="consent", gateway="bkash", payer_reference="customer-1")
Act = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def bench_open() -> AsyncIterator[Bench]:
    clock = FakeClock()
    app = create_app(clock=clock, seed=5)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        bench = Bench(app, client, clock)
        async with bench.payments:
            yield bench


async def prepared(bench: Bench, verb: str) -> tuple[Act, Act]:
    """Everything before the verb over a line that works; the verb, and the look-up after it."""
    pay = bench.payments
    if verb in ("initialize", "create_agreement"):
        token = await pay.gateway_of("default", "bkash")  # so that the token is there
        await token.search_transaction("AAA1BBB2CC")
        act: Act = bench.open if verb == "initialize" else (lambda: pay.create_agreement(CONSENT))
        return act, act
    if "agreement" in verb:
        key = await bench.consented()
        if verb != "execute_agreement":
            await pay.execute_agreement(key)
        call = getattr(pay, verb)
        return (lambda: call(key)), (lambda: pay.agreement_status(key))
    payment_id = await bench.approved(Intent.AUTHORIZATION if verb in ("capture", "void") else Intent.SALE)
    if verb in ("capture", "void", "refund", "refund_status"):
        await pay.execute(payment_id)
    if verb == "refund_status":
        # One whose answer got lost, and that the gateway did: there is something to look up.
        bench.line.mend()
        bench.line.break_next(Fault.LOST_AFTER, Safety.ONCE)
        bench.line.blind_after_once()
        await pay.refund(bench.refund(payment_id))
        bench.line.mend()
        bench.clock.advance(LONG_S)
    if verb in ("refund", "refund_status"):
        look: Act = lambda: pay.refund_status("r-1")  # noqa: E731
        return (look if verb == "refund_status" else lambda: pay.refund(bench.refund(payment_id))), look
    call = getattr(pay, verb)
    return (lambda: call(payment_id)), (lambda: pay.status(payment_id))


def is_done(verb: str, found: Any) -> bool:
    """Whether an answer says that the verb's work is done."""
    if isinstance(found, Agreement):
        return (
            found.state
            is {
                "create_agreement": AgreementLife.AWAITING_PAYER,
                "execute_agreement": AgreementLife.ACTIVE,
                "agreement_status": AgreementLife.ACTIVE,
                "cancel_agreement": AgreementLife.ENDED,
            }[verb]
        )
    if verb == "status":
        return isinstance(found, Pending)
    if isinstance(found, GatewayError):
        return False
    wanted = {
        "initialize": PaymentSession,
        "execute": Paid,
        "capture": Paid,
        "void": Declined,
        "refund": Refunded,
        "refund_status": Refunded,
    }
    return isinstance(found, wanted[verb])


def told(step: Step, found: Any) -> Now:
    """What the caller was told, as the matrix calls it."""
    if step.safety is Safety.READ and step.verb != "refund":
        known = isinstance(found, Unknown) if step.verb == "refund_status" else is_done(step.verb, found)
        return Now.AS_KNOWN if known else Now.DONE
    if is_done(step.verb, found):
        return Now.DONE
    if isinstance(found, GatewayError):
        assert found.effect is Effect.NONE
        return Now.NO_SESSION
    if isinstance(found, Unknown):
        return Now.UNKNOWN
    if isinstance(found, Pending) and not found.sent:
        return Now.NOT_SENT
    assert isinstance(found, Agreement), found
    suffix = "cancel" if step.verb == "cancel_agreement" else "execute"
    operation = found.operation(f"agreement/{found.agreement_key}/{suffix}")
    assert operation is not None
    return Now.UNKNOWN if operation.state is OperationState.UNKNOWN else Now.NOT_SENT


async def tried(act: Act) -> Any:
    try:
        return await act()
    except GatewayError as error:
        return error


@pytest.mark.parametrize(
    ("step", "fault"),
    [pytest.param(*cell, id=f"{cell[0].name}-{cell[1].value}") for cell in cells(CAPABILITIES)],
)
async def test_cell(step: Step, fault: Fault) -> None:
    now, later = step.expected[fault]
    async with bench_open() as bench:
        act, look = await prepared(bench, step.verb)
        bench.line.mend()
        before = bench.moved()
        once_only = step.safety is Safety.ONCE and fault not in (Fault.NOT_SENT, Fault.TOKEN_ALWAYS)
        times = 1 if once_only or fault is Fault.TOKEN_ONCE else FOREVER
        bench.line.break_next(fault, step.safety, times=times)
        if step.safety is Safety.ONCE:
            bench.line.blind_after_once()  # else the look-up right after finds it, and there is nothing to see
        if step.safety is Safety.IDEMPOTENT:
            bench.line.break_next(Fault.LOST_BEFORE, Safety.READ, times=FOREVER)
        found = await tried(act)
        said = told(step, found)
        assert said is now or (now is Now.RETRIED and said in (Now.DONE, Now.AS_KNOWN)), found
        left = [p for p in bench.line.passages if p.safety is Safety.ONCE and p.fault is not Fault.NOT_SENT]
        harmless = (Fault.TOKEN_ONCE, Fault.TOKEN_ALWAYS)
        assert sum(p.fault not in harmless for p in left) <= 1, "ONCE was repeated after bytes had left"
        bench.line.mend()
        bench.clock.advance(LONG_S)
        await _later(step, fault, bench, act, look, before)
        assert now in Now and later in Later


async def _later(step: Step, fault: Fault, bench: Bench, act: Act, look: Act, before: int) -> None:
    _, later = step.expected[fault]
    is_read = step.safety is Safety.READ and step.verb != "refund"
    found = await tried(look)
    if later in (Later.DONE, Later.FOUND):
        assert is_done(step.verb, found), found
    elif step.unproven and step.expected[fault][0] is Now.UNKNOWN:
        assert isinstance(found, Unknown), "not seeing a refund proves nothing"
        assert isinstance(await tried(act), Unknown)
        assert bench.moved() == before
        return
    else:
        if step.safety is not Safety.DISPOSABLE:
            assert not is_done(step.verb, found)
        assert is_done(step.verb, await tried(act))
    sessions = step.safety is Safety.DISPOSABLE
    assert bench.moved() - before == (0 if is_read or sessions else 1), "done once, by the gateway's books"
    if later is Later.FOUND:
        assert fault in DONE


def test_no_cell_is_missing() -> None:
    for step, fault in cells(CAPABILITIES):
        assert all(words(step, fault))
    features = {step.needs for step in steps_of(CAPABILITIES)} - {None}
    without_a_step = {Feature.PARTIAL_REFUND, Feature.SEARCH, Feature.PAYOUTS}
    assert features | without_a_step >= CAPABILITIES.features, "a feature without a step in the matrix"


def test_the_published_matrix_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run scripts/fault_matrix.py"

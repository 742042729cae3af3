"""Every cell of the matrix of money that leaves and of subscriptions, played by the whole engine."""

from datetime import timedelta
from typing import Any

import pytest

from tests.flows.fault_matrix import Later, Now, Step, words
from tests.flows.faulty_bench import Act, Bench, bench_open, broken, tried
from tests.flows.leaving_matrix import MORE, More
from tests.flows.shop import LONG_S
from vextrus_payments import (
    Declined,
    GatewayError,
    Money,
    PayoutKind,
    PayoutRequest,
    Pending,
    Refunded,
    RefundRequest,
    ResolutionVerdict,
    ResolveRequest,
    Sent,
    TransferDirection,
    Transferred,
    TransferRequest,
    Unknown,
)
from vextrus_payments.errors import Effect
from vextrus_payments.gateways.bkash.recurring import BkashSubscription, Frequency
from vextrus_payments.payment import ConsentRequest
from vextrus_payments.payouts import GatewayBalance
from vextrus_payments.records import Agreement, AgreementLife, OperationState
from vextrus_payments.testing.faulty import DONE, Fault
from vextrus_payments.wire import Safety

_ASKS = ("balance", "payout_status", "consented", "collected", "status", "refund_status")
_PAYS_OUT = ("payout", "payout_by_id", "payout_status", "transfer")


def wish(kind: PayoutKind) -> PayoutRequest:
    return PayoutRequest(
        operation_id="out-1",
        gateway="bkash",
        amount=Money("30"),
        receiver="01770618575",
        reference="salary",
        kind=kind,
    )


async def leaving(bench: Bench, verb: str) -> tuple[Act, Act]:
    """The verb and the look after it, of what leaves."""
    pay = bench.payments
    look: Act = lambda: pay.payout_status("out-1")  # noqa: E731
    transfer = TransferRequest(
        operation_id="out-1",
        gateway="bkash",
        amount=Money("30"),
        direction=TransferDirection.TO_COLLECTION,
    )
    acts: dict[str, Act] = {
        "payout": lambda: pay.payout(wish(PayoutKind.B2C)),
        "payout_by_id": lambda: pay.payout(wish(PayoutKind.B2B)),
        "payout_status": look,
        "transfer": lambda: pay.transfer(transfer),
        "balance": lambda: pay.balance("bkash"),
    }
    if verb == "payout_status":
        bench.line.break_next(Fault.LOST_AFTER, Safety.ONCE)
        bench.line.blind_after_once()
        assert isinstance(await acts["payout_by_id"](), Unknown)
        bench.clock.advance(LONG_S)
    return acts[verb], acts["balance"] if verb == "balance" else look


async def subscribed(bench: Bench, verb: str) -> tuple[Act, Act]:
    """The verb and the look after it, of a subscription."""
    pay, today = bench.payments, (bench.clock.now() + timedelta(hours=6)).date()
    request = ConsentRequest(
        operation_id="plan",
        gateway="bkash_recurring",
        payer_reference="member-1",
        merchant_reference="PLAN-1",
        params=BkashSubscription(
            amount=Money("51"),
            frequency=Frequency.CALENDAR_MONTH,
            start_date=today,
            expiry_date=today + timedelta(days=90),
        ),
    )
    if verb == "subscribe":
        act: Act = lambda: pay.create_agreement(request)  # noqa: E731
        return act, act
    agreement = await pay.create_agreement(request)
    key = agreement.agreement_key
    bench.gateway.approve(agreement.gateway_reference, "success", None)
    ask: Act = lambda: pay.agreement_status(key)  # noqa: E731
    if verb == "consented":
        return ask, ask
    await pay.execute_agreement(key)
    if verb == "cancel":
        return (lambda: pay.cancel_agreement(key)), ask
    if verb == "collected":
        return (lambda: collected(bench, ask)), (lambda: collected(bench, ask))
    await ask()
    (facts,) = await pay.find(merchant_reference="PLAN-1")
    payment_id = facts.payment.payment_id
    if verb == "status":
        look: Act = lambda: pay.reconcile(payment_id)  # noqa: E731
        return look, look
    back = RefundRequest(operation_id="r-1", payment_id=payment_id, amount=Money("30"))
    ends: Act = lambda: pay.refund_status("r-1")  # noqa: E731
    if verb == "refund_status":
        assert isinstance(await pay.refund(back), Pending)
        return ends, ends
    return (lambda: pay.refund(back)), ends


async def collected(bench: Bench, ask: Act) -> int:
    """How many payments are in the records after the subscription was asked about."""
    await ask()
    return len(await bench.payments.find(merchant_reference="PLAN-1"))


def is_done(verb: str, found: Any) -> bool:
    """Whether an answer says that the verb's work is done."""
    if isinstance(found, Agreement):
        life = {"subscribe": AgreementLife.AWAITING_PAYER, "cancel": AgreementLife.ENDED}
        return found.state is life.get(verb, AgreementLife.ACTIVE)
    if verb == "collected":
        return bool(found == 1)
    if verb == "status":
        return not bool(found.problems)
    if verb == "refund":
        return isinstance(found, Refunded) or (isinstance(found, Pending) and found.sent)
    return isinstance(found, Sent | Transferred | GatewayBalance | Refunded)


def told(step: Step, found: Any) -> Now:
    """What the caller was told, as the matrix calls it."""
    if is_done(step.verb, found):
        return Now.DONE
    if step.verb == "balance":
        assert isinstance(found, GatewayError) and found.effect is Effect.NONE
        return Now.NO_ANSWER
    if step.verb in _ASKS:
        return Now.AS_KNOWN
    if isinstance(found, GatewayError):
        assert found.effect is Effect.NONE
        return Now.NO_SESSION
    if isinstance(found, Unknown):
        return Now.UNKNOWN
    if isinstance(found, Agreement):
        operation = found.operation(f"agreement/{found.agreement_key}/cancel")
        assert operation is not None
        return Now.UNKNOWN if operation.state is OperationState.UNKNOWN else Now.NOT_SENT
    assert isinstance(found, Pending) and not found.sent, found
    return Now.NOT_SENT


@pytest.mark.parametrize(
    ("more", "step", "fault"),
    [
        pytest.param(more, step, fault, id=f"{more.bench}-{step.name}-{fault.value}")
        for more in MORE
        for step, fault in more.cells()
    ],
)
async def test_cell(more: More, step: Step, fault: Fault) -> None:
    now, _ = step.expected[fault]
    async with bench_open(more.bench) as bench:
        setting = leaving if step.verb in (*_PAYS_OUT, "balance") else subscribed
        act, look = await setting(bench, step.verb)
        before = bench.moved()
        found = await broken(bench, step, fault, act)
        said = told(step, found)
        assert said is now or (now is Now.RETRIED and said is Now.DONE), found
        await _later(step, fault, bench, act, look, before)


async def _later(step: Step, fault: Fault, bench: Bench, act: Act, look: Act, before: int) -> None:
    now, later = step.expected[fault]
    unproven = step.unproven and now is Now.UNKNOWN
    moves = step.verb not in (*_ASKS, "subscribe")
    found = await tried(look)
    if later in (Later.DONE, Later.FOUND):
        assert is_done(step.verb, found), found
    elif later is Later.STATEMENT or (unproven and fault not in DONE):
        assert isinstance(found, Unknown), "not seeing it proves nothing"
        assert isinstance(await tried(act), Unknown), "and it is never sent again"
        assert bench.moved() - before == (fault in DONE)
        if later is Later.STATEMENT:
            await _read_in_the_statement(bench, made=fault in DONE)
        return
    else:
        assert step.safety is Safety.DISPOSABLE or not is_done(step.verb, found)
        assert is_done(step.verb, await tried(act))
    assert bench.moved() - before == moves, "done once, by the gateway's books"


async def _read_in_the_statement(bench: Bench, *, made: bool) -> None:
    """Who reads the statement says how it ended, and that settles it."""
    payout = await bench.payments.find_payout("out-1")
    assert payout is not None
    trx_id = next(iter(bench.gateway.rules.payouts.by_trx), None)
    await bench.payments.resolve_payout(
        ResolveRequest(
            payment_id=payout.payout_id,
            verdict=ResolutionVerdict.MADE if made else ResolutionVerdict.NOT_MADE,
            actor="rahima",
            reason="It stands so in the statement.",
            evidence=("the statement of today",),
            reviewed_version=payout.version,
            operation_id="out-1",
            transaction_id=trx_id if made else None,
            amount=Money("30") if made else None,
        )
    )
    outcome = await bench.payments.payout_status("out-1")
    assert isinstance(outcome, Sent | Transferred if made else Declined)


@pytest.mark.parametrize("more", MORE, ids=lambda more: more.title)
def test_no_cell_is_without_words(more: More) -> None:
    for step, fault in more.cells():
        assert all(words(step, fault))

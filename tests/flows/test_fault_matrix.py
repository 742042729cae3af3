"""Every cell of the fault matrix, played by the whole engine against the sandbox behind a line that breaks (R3)."""

from typing import Any

import pytest

from scripts.fault_matrix import TARGET, document
from tests.flows.fault_matrix import ELSEWHERE, GATEWAYS, Later, Now, Played, Step, cells, steps_of, words
from tests.flows.faulty_bench import CONSENT, Act, Bench, bench_open, broken, tried
from tests.flows.shop import LONG_S
from vextrus_payments import (
    Declined,
    GatewayError,
    Money,
    Paid,
    PaymentSession,
    Pending,
    Refunded,
    ResolutionVerdict,
    ResolveRequest,
    Unknown,
)
from vextrus_payments.capabilities import Feature
from vextrus_payments.errors import Effect
from vextrus_payments.gateways.registry import installed_gateways
from vextrus_payments.payment import Intent
from vextrus_payments.records import Agreement, AgreementLife, OperationState
from vextrus_payments.testing.faulty import DONE, Fault
from vextrus_payments.wire import Safety


async def prepared(bench: Bench, verb: str) -> tuple[Act, Act]:
    """Everything before the verb over a line that works; the verb, and the look-up after it."""
    pay = bench.payments
    if verb in ("initialize", "create_agreement"):
        await bench.warm()
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
    if verb == "refund_status" and bench.accepts_refunds:
        await pay.refund(bench.refund(payment_id))
    elif verb == "refund_status":
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
    accepted = verb == "refund" and isinstance(found, Pending) and found.sent
    return accepted or isinstance(found, wanted[verb])


def told(step: Step, found: Any) -> Now:
    """What the caller was told, as the matrix calls it."""
    if step.safety is Safety.READ and step.verb != "refund":
        before = Pending if step.of_acceptance else Unknown
        known = isinstance(found, before) if step.verb == "refund_status" else is_done(step.verb, found)
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


@pytest.mark.parametrize(
    ("gateway", "step", "fault"),
    [
        pytest.param(gateway, step, fault, id=f"{gateway.bench or gateway.name}-{step.name}-{fault.value}")
        for gateway in GATEWAYS
        for step, fault in cells(gateway)
    ],
)
async def test_cell(gateway: Played, step: Step, fault: Fault) -> None:
    now, later = step.expected[fault]
    async with bench_open(gateway.bench or gateway.name) as bench:
        act, look = await prepared(bench, step.verb)
        before = bench.moved()
        found = await broken(bench, step, fault, act)
        said = told(step, found)
        assert said is now or (now is Now.RETRIED and said in (Now.DONE, Now.AS_KNOWN)), found
        await _later(step, fault, bench, act, look, before)
        assert now in Now and later in Later


async def _later(step: Step, fault: Fault, bench: Bench, act: Act, look: Act, before: int) -> None:
    _, later = step.expected[fault]
    is_read = step.safety is Safety.READ and step.verb != "refund"
    found = await tried(look)
    if step.verb == "status":
        assert isinstance(found, bench.shown), "what the payer did on the page"
    elif later in (Later.DONE, Later.FOUND):
        assert is_done(step.verb, found), found
    elif later is Later.PERSON:
        assert isinstance(found, Unknown), "there is nothing to ask by"
        assert isinstance(await tried(act), Unknown), "and it is never sent again"
        await _answered_by_a_person(bench, made=fault in DONE)
        assert bench.moved() - before == (fault in DONE)
        return
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


async def _answered_by_a_person(bench: Bench, *, made: bool) -> None:
    """Who reads the panel says how the refund ended, and that settles it."""
    assert bench.session is not None
    history = await bench.payments.history(bench.session.payment_id)
    given = [line for line in bench.world.books.movements if line.kind == "refund"]
    await bench.payments.resolve(
        ResolveRequest(
            payment_id=bench.session.payment_id,
            verdict=ResolutionVerdict.MADE if made else ResolutionVerdict.NOT_MADE,
            actor="rahima",
            reason="It stands so in the panel.",
            evidence=("the panel's list of refunds",),
            reviewed_version=history.facts.payment.version,
            operation_id="r-1",
            transaction_id=given[0].transaction_id if made else None,
            amount=Money("30") if made else None,
        )
    )
    assert isinstance(await bench.payments.refund_status("r-1"), Refunded if made else Declined)


@pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.title)
def test_no_cell_is_missing(gateway: Played) -> None:
    for step, fault in cells(gateway):
        assert all(words(step, fault))
    features = {step.needs for step in steps_of(gateway)} - {None}
    without_a_step = {Feature.PARTIAL_REFUND, Feature.SEARCH, Feature.PAYOUTS}
    assert features | without_a_step >= gateway.capabilities.features, (
        "a feature without a step in the matrix"
    )


def test_every_gateway_has_a_matrix() -> None:
    assert {gateway.name for gateway in GATEWAYS} == set(installed_gateways()) - ELSEWHERE.keys()


def test_the_published_matrix_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == document(), "run scripts/fault_matrix.py"

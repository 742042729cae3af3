"""The reconciler's next step, as a property over whatever facts there can be: nothing open is left without a time."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vextrus_payments.capabilities import (
    Absence,
    Capabilities,
    Completion,
    Feature,
    IdempotencyScope,
    OrderIdRule,
    Polling,
    RefundCorrelation,
)
from vextrus_payments.gateways.bkash.manners import POLLING, capabilities_of
from vextrus_payments.gateways.bkash.steps import RefundApi
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.reconcile import Action, Step, asked_for, next_agreement_step, next_step
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    SubjectKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.states import OPEN_STATES, execute_operation_id
from vextrus_payments.testing.time import EPOCH
from vextrus_payments.watching import watch_after

BKASH = capabilities_of(RefundApi.V2)
PAYER = Capabilities(
    gateway="toy",
    currencies=frozenset({"BDT"}),
    min_amount=None,
    max_amount=None,
    completion=Completion.PAYER_COMPLETES,
    absence=Absence.NEVER,
    hard_limit_s=20,
    absence_margin_s=10,
    refund_correlation=RefundCorrelation.OWN_ID,
    idempotency=IdempotencyScope.NONE,
    order_id=OrderIdRule(characters="A-Z0-9", min_length=1, max_length=20),
    session_life=timedelta(minutes=20),
    features=frozenset({Feature.REFUND, Feature.REFUND_STATUS}),
    polling=Polling(open_s=(5, 60), session_s=(30, 120), end_margin_s=90),
)
SETTLE_S = BKASH.hard_limit_s + BKASH.absence_margin_s
FAR = timedelta(days=3)


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def submission(number: int = 1, **changes: object) -> Submission:
    fields = {
        "tenant": "default",
        "payment_id": "pay_1",
        "submission_no": number,
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "gateway_order_id": f"INV-1-{number}",
        "state": SubmissionState.OPEN,
        "created_at": EPOCH,
        "gateway_reference": f"TR{number}",
        "expires_at": at(86_400),
    }
    return Submission(**{**fields, **changes})  # type: ignore[arg-type]


def operation(
    kind: OperationKind = OperationKind.EXECUTE,
    state: OperationState = OperationState.UNKNOWN,
    **changes: object,
) -> Operation:
    number = changes.pop("submission_no", 1)
    fields = {
        "tenant": "default",
        "operation_id": execute_operation_id("pay_1", 1) if kind is OperationKind.EXECUTE else f"{kind}/1",
        "kind": kind,
        "subject_kind": SubjectKind.REFUND if kind is OperationKind.REFUND else SubjectKind.PAYMENT,
        "subject_id": "pay_1",
        "payment_id": "pay_1",
        "submission_no": number,
        "digest": "d",
        "state": state,
        "created_at": EPOCH,
        "updated_at": EPOCH,
        "amount": Money("100"),
        "send_by": at(20),
        "fence": 1,
    }
    return Operation(**{**fields, **changes})  # type: ignore[arg-type]


def receipt(**changes: object) -> Receipt:
    fields = {
        "tenant": "default",
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "kind": ReceiptKind.PAYMENT,
        "transaction_id": "TRX1",
        "amount": Money("100"),
        "recorded_at": EPOCH,
        "payment_id": "pay_1",
    }
    return Receipt(**{**fields, **changes})  # type: ignore[arg-type]


def facts(
    *operations: Operation,
    state: PaymentState = PaymentState.AWAITING_PAYER,
    flags: frozenset[Flag] = frozenset(),
    submissions: tuple[Submission, ...] = (),
    receipts: tuple[Receipt, ...] = (),
) -> PaymentFacts:
    payment = Payment(
        tenant="default",
        payment_id="pay_1",
        gateway="bkash",
        mode=Mode.SANDBOX,
        merchant_reference="INV-1",
        amount=Money("100"),
        intent=Intent.SALE,
        state=state,
        created_at=EPOCH,
        updated_at=EPOCH,
        version=3,
        flags=flags,
        submission_no=max((s.submission_no for s in submissions), default=1),
    )
    return PaymentFacts(payment, submissions or (submission(),), operations, receipts)


def seconds(step: Step) -> float | None:
    return None if step.at is None else (step.at - EPOCH).total_seconds()


# --- the schedule ---------------------------------------------------------------------------------------------------


def test_an_unknown_execute_is_looked_at_on_the_adapters_schedule_and_never_given_up() -> None:
    unknown = facts(operation(updated_at=at(50)))
    assert next_step(unknown, BKASH, at(50), 1) == Step(
        actions=(), at=at(60), why=("execute/pay_1/1 is unknown", "the payer is not done")
    )
    waits = []
    now = at(60)
    for tries in range(2, 10):
        step = next_step(unknown, BKASH, now, tries)
        assert step.actions == (Action.LOOK,)
        assert step.at is not None
        waits.append((step.at - now).total_seconds())
        now = step.at
    assert waits == [30, 120, 600, 3600, 3600, 3600, 3600, 3600]
    assert POLLING.open_s == (10, 30, 120, 600, 3600)


def test_days_later_it_is_still_looked_at_every_hour() -> None:
    now = at(30 * 86_400)
    step = next_step(facts(operation(), state=PaymentState.CLOSED), BKASH, now, 500)
    assert step.actions == (Action.LOOK,)
    assert step.at == now + timedelta(hours=1)


def test_what_is_on_the_wire_is_not_asked_about_before_its_claim_is_over() -> None:
    out = facts(operation(state=OperationState.SUBMITTING, send_by=at(20)))
    assert next_step(out, BKASH, at(20 + SETTLE_S - 1), 1).actions == ()
    assert seconds(next_step(out, BKASH, at(1), 1)) == 20 + SETTLE_S
    assert next_step(out, BKASH, at(20 + SETTLE_S), 1).actions == (Action.LOOK,)


def test_a_claim_from_a_clock_that_ran_ahead_is_asked_about_at_once() -> None:
    ahead = facts(operation(state=OperationState.SUBMITTING, send_by=at(90_000), updated_at=at(89_980)))
    assert next_step(ahead, BKASH, at(10), 1).actions == (Action.LOOK,)
    set_back = facts(operation(updated_at=at(90_000)))
    step = next_step(set_back, BKASH, at(10), 1)
    assert step.at is not None and step.at <= at(10 + 3600), (
        "no clock makes it wait longer than the slowest wait"
    )


def test_an_open_session_is_not_asked_about_at_bkash_and_is_ended_after_its_life() -> None:
    waiting = facts()
    step = next_step(waiting, BKASH, at(3600), 1)
    assert step.actions == () and seconds(step) == 86_400 + 60
    assert next_step(waiting, BKASH, at(86_460), 1).actions == (Action.END_SESSION,)


def test_an_open_session_is_polled_where_the_gateway_wants_it() -> None:
    waiting = facts(submissions=(submission(expires_at=at(1200)),))
    assert seconds(next_step(waiting, PAYER, at(0), 1)) == 30
    step = next_step(waiting, PAYER, at(30), 2)
    assert step.actions == (Action.LOOK,) and seconds(step) == 150
    near = next_step(waiting, PAYER, at(1250), 5)
    assert near.actions == (Action.LOOK,) and seconds(near) == 1290, "the last look is not missed"
    assert next_step(waiting, PAYER, at(1290), 6).actions == (Action.END_SESSION,)


def test_a_session_that_never_reached_us_ends_too() -> None:
    lost = facts(
        operation(OperationKind.INITIALIZE, OperationState.RESERVED),
        state=PaymentState.CREATED,
        submissions=(submission(gateway_reference=None, expires_at=None, state=SubmissionState.CREATED),),
    )
    assert seconds(next_step(lost, BKASH, at(100), 1)) == 86_400 + 60
    assert next_step(lost, BKASH, at(90_000), 1).actions == (Action.END_SESSION,)


def test_a_refund_left_behind_is_carried_on_and_ever_more_seldom_while_nothing_can_be_sent() -> None:
    left = operation(OperationKind.REFUND, OperationState.RESERVED, fence=0)
    paid = facts(left, state=PaymentState.PAID, receipts=(receipt(),))
    assert seconds(next_step(paid, BKASH, at(0), 1)) == 60
    step = next_step(paid, BKASH, at(60), 1)
    assert step.actions == (Action.CARRY_ON,) and seconds(step) == 60 + 120
    assert [
        seconds(next_step(replace(paid, operations=(replace(left, fence=fence),)), BKASH, at(0), 1))
        for fence in (1, 2, 3, 9)
    ] == [120, 600, 3600, 3600]


def test_an_execute_is_carried_on_only_while_the_payer_stands_behind_it() -> None:
    fresh = operation(state=OperationState.RESERVED, fence=0)
    assert Action.CARRY_ON in next_step(facts(fresh), BKASH, at(70), 1).actions
    refused = replace(fresh, reason=Reason(code=ReasonCode.INVALID_PAYMENT))
    assert next_step(facts(refused), BKASH, at(70), 1).actions == ()
    old = facts(fresh, submissions=(submission(expires_at=at(60)),))
    assert Action.CARRY_ON not in next_step(old, BKASH, at(70), 1).actions


def test_refunds_made_elsewhere_are_looked_for_along_with_our_own() -> None:
    out = operation(OperationKind.REFUND, OperationState.UNKNOWN)
    paid = facts(out, state=PaymentState.PAID, receipts=(receipt(),))
    assert next_step(paid, BKASH, at(30), 1).actions == (Action.LOOK, Action.ADOPT_REFUNDS)


def test_late_money_asks_the_shops_policy_once_per_change() -> None:
    late = facts(state=PaymentState.PAID, flags=frozenset({Flag.LATE}), receipts=(receipt(),))
    assert next_step(late, BKASH, at(0), 1) == Step(
        actions=(Action.LATE_POLICY,), at=None, why=("money came after the payment had been closed",)
    )


def test_a_hold_is_looked_at_daily() -> None:
    held = facts(state=PaymentState.AUTHORIZED)
    assert seconds(next_step(held, BKASH, at(10), 1)) == 86_400
    step = next_step(held, BKASH, at(86_400), 1)
    assert step.actions == (Action.LOOK,) and seconds(step) == 2 * 86_400


def test_a_replaced_session_gets_a_last_look() -> None:
    both = facts(
        state=PaymentState.PAID,
        submissions=(submission(1, state=SubmissionState.SUPERSEDED), submission(2)),
        receipts=(receipt(submission_no=2),),
    )
    assert seconds(next_step(both, BKASH, at(10), 1)) == 86_460
    assert next_step(both, BKASH, at(86_460), 1) == Step(
        actions=(Action.LOOK,), at=None, why=("submission 1 was replaced and could still be paid",)
    )


def test_nothing_open_needs_nothing() -> None:
    paid = facts(operation(state=OperationState.SUCCEEDED), state=PaymentState.PAID, receipts=(receipt(),))
    assert next_step(paid, BKASH, at(10**6), 1) == Step()
    closed = facts(operation(state=OperationState.DECLINED), state=PaymentState.CLOSED)
    assert next_step(closed, BKASH, at(10**6), 1) == Step()


# --- asked for now --------------------------------------------------------------------------------------------------


def test_who_asks_for_one_payment_does_not_wait_for_its_time() -> None:
    assert asked_for(facts(operation()), BKASH, at(0)) == (Action.LOOK,)
    assert asked_for(facts(), BKASH, at(0)) == (Action.LOOK,)
    on_the_wire = facts(operation(state=OperationState.SUBMITTING))
    assert asked_for(on_the_wire, BKASH, at(5)) == (), "beside an execute that is out, nobody asks"
    paid = facts(state=PaymentState.PAID, receipts=(receipt(),))
    assert asked_for(paid, BKASH, at(0)) == (Action.ADOPT_REFUNDS,), "a good execute is not queried"


def test_after_a_restore_the_closed_are_asked_about_and_nothing_is_sent() -> None:
    closed = facts(state=PaymentState.CLOSED)
    assert asked_for(closed, BKASH, at(0)) == ()
    assert asked_for(closed, BKASH, at(0), restored=True) == (Action.LOOK, Action.ADOPT_REFUNDS)
    left = operation(OperationKind.REFUND, OperationState.RESERVED, fence=0)
    late = facts(left, state=PaymentState.PAID, flags=frozenset({Flag.LATE}), receipts=(receipt(),))
    assert set(asked_for(late, BKASH, at(10_000))) == {
        Action.CARRY_ON,
        Action.LATE_POLICY,
        Action.ADOPT_REFUNDS,
    }
    assert asked_for(late, BKASH, at(10_000), restored=True) == (Action.ADOPT_REFUNDS,)


# --- agreements -----------------------------------------------------------------------------------------------------


def test_agreements_are_looked_at_on_the_same_schedule() -> None:
    made = Agreement(
        tenant="default",
        agreement_key="agr_1",
        gateway="bkash",
        mode=Mode.SANDBOX,
        payer_reference="01700000000",
        state=AgreementLife.AWAITING_PAYER,
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
        expires_at=at(600),
    )
    assert seconds(next_agreement_step(made, BKASH, at(0), 1)) == 660
    assert next_agreement_step(made, BKASH, at(660), 1).actions == (Action.LOOK,)
    out = replace(
        made,
        state=AgreementLife.ACTIVE,
        operations=(operation(OperationKind.AGREEMENT, OperationState.UNKNOWN),),
    )
    assert next_agreement_step(out, BKASH, at(10), 1).actions == (Action.LOOK,)
    assert next_agreement_step(replace(out, operations=()), BKASH, at(10), 1) == Step()


# --- as a property --------------------------------------------------------------------------------------------------

times = st.integers(-90_000, 400_000).map(at)
kinds = st.sampled_from(
    [
        OperationKind.INITIALIZE,
        OperationKind.EXECUTE,
        OperationKind.CAPTURE,
        OperationKind.VOID,
        OperationKind.REFUND,
    ]
)
operations = st.builds(
    operation,
    kinds,
    st.sampled_from(list(OperationState)),
    updated_at=times,
    send_by=st.none() | times,
    fence=st.integers(0, 8),
    reason=st.sampled_from([None, Reason(code=ReasonCode.INVALID_PAYMENT)]),
)


@st.composite
def any_facts(draw: st.DrawFn) -> PaymentFacts:
    count = draw(st.integers(1, 3))
    submissions = tuple(
        submission(
            number,
            state=draw(st.sampled_from(list(SubmissionState))),
            gateway_reference=draw(st.sampled_from([None, f"TR{number}"])),
            expires_at=draw(st.none() | times),
            created_at=draw(times),
        )
        for number in range(1, count + 1)
    )
    if draw(st.booleans()):  # nothing but its operations keeps it open
        submissions = (submission(),)
        return facts(*draw(st.lists(operations, max_size=2)), state=PaymentState.PAID)
    receipts = (receipt(),) if draw(st.booleans()) else ()
    return facts(
        *draw(st.lists(operations, max_size=3)),
        state=draw(st.sampled_from(list(PaymentState))),
        flags=frozenset(draw(st.sets(st.sampled_from(list(Flag))))),
        submissions=submissions,
        receipts=receipts,
    )


@pytest.mark.parametrize("capabilities", [BKASH, PAYER], ids=["merchant executes", "payer completes"])
@settings(max_examples=400)
@given(known=any_facts(), now=times, tries=st.integers(1, 1000))
def test_whatever_is_open_has_a_next_time(
    capabilities: Capabilities, known: PaymentFacts, now: datetime, tries: int
) -> None:
    step = next_step(known, capabilities, now, tries)
    watched = watch_after(known, now)
    open_things = [
        o
        for o in known.operations
        if o.kind is not OperationKind.INITIALIZE and o.state in (*OPEN_STATES, OperationState.RESERVED)
    ]
    unsettled = known.payment.state in (
        PaymentState.CREATED,
        PaymentState.AWAITING_PAYER,
        PaymentState.AUTHORIZED,
    )
    if open_things or unsettled:
        assert step.at is not None, "something is open, and nobody would ever look again"
        assert step.why
    if watched is not None and not step.actions and step.at is None:
        # The only watch that needs nothing is that of an initialize which was left behind by a payment that is over.
        assert any(o.kind is OperationKind.INITIALIZE for o in known.operations)
    if step.at is not None:
        assert step.at > now, "a time that has come already is a loop"
        assert step.at - now <= FAR + timedelta(days=5), "no clock makes it wait for ever"


@given(known=any_facts(), now=times, tries=st.integers(1, 1000))
def test_time_makes_things_due_and_never_undue(known: PaymentFacts, now: datetime, tries: int) -> None:
    step = next_step(known, BKASH, now, tries)
    if step.at is None:
        return
    later = next_step(known, BKASH, step.at, tries + 1)
    assert later.actions or later.at is not None


@given(known=any_facts(), now=times)
def test_nothing_is_asked_beside_a_claim_that_may_be_on_the_wire(known: PaymentFacts, now: datetime) -> None:
    out = tuple(
        replace(o, state=OperationState.SUBMITTING, send_by=now + timedelta(seconds=5))
        for o in known.operations
    )
    busy = replace(
        known,
        operations=out,
        payment=replace(known.payment, state=PaymentState.CREATED, flags=frozenset()),
        submissions=(replace(known.submission, submission_no=1, state=SubmissionState.OPEN),),
    )
    busy = replace(busy, payment=replace(busy.payment, submission_no=1))
    step = next_step(busy, BKASH, now, 1)
    if any(o.kind is not OperationKind.INITIALIZE for o in out):
        assert Action.LOOK not in step.actions

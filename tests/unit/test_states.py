"""The edges, and what is read off facts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.plan_world import AMOUNT, TERMS, World, shown
from vextrus_payments.errors import StaleStateError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Authorized, Declined, Paid, Pending, Review, Unknown
from vextrus_payments.plans import Claim
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import plan_lost, plan_quarantine, plan_refused
from vextrus_payments.records import Flag, OperationKind, OperationState, PaymentState
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.states import (
    OPEN_STATES,
    OPERATION_EDGES,
    PAYMENT_EDGES,
    SETTLED_STATES,
    captured,
    check_operation_edge,
    check_payment_edge,
    claim_is_over,
    may_have_money,
    outcome_of,
    refundable,
    refunded,
    reserved_for_refunds,
)


def test_paid_is_the_end() -> None:
    assert not [edge for edge in PAYMENT_EDGES if edge[0] is PaymentState.PAID]
    for state in PaymentState:
        if state is not PaymentState.PAID:
            assert (state, PaymentState.PAID) in PAYMENT_EDGES, f"a receipt counts in state {state}"
            with pytest.raises(StaleStateError):
                check_payment_edge(PaymentState.PAID, state)
        check_payment_edge(state, state)


def test_a_confirmation_is_taken_in_every_state() -> None:
    for state in OperationState:
        check_operation_edge(state, OperationState.SUCCEEDED)
        if state is not OperationState.SUCCEEDED:
            with pytest.raises(StaleStateError):
                check_operation_edge(OperationState.SUCCEEDED, state)


def test_only_a_reserved_operation_is_submitted() -> None:
    into_submitting = {before for before, after in OPERATION_EDGES if after is OperationState.SUBMITTING}
    assert into_submitting == {OperationState.RESERVED}


def test_what_is_settled_is_left_by_a_confirmation_only() -> None:
    for before, after in OPERATION_EDGES:
        if before in SETTLED_STATES:
            assert after is OperationState.SUCCEEDED
    assert set(OperationState) == OPEN_STATES | SETTLED_STATES | {OperationState.RESERVED}


def test_every_edge_names_its_evidence_and_joins_two_states() -> None:
    for (before, after), evidence in (*OPERATION_EDGES.items(), *PAYMENT_EDGES.items()):
        assert before is not after
        assert len(evidence) > 5


def test_a_claim_is_over_only_after_the_last_moment() -> None:
    world = World()
    world.open_session("pay_1")
    execute = world.execute_of("pay_1")
    assert execute is not None and not claim_is_over(execute, 60, world.now + timedelta(days=9))
    claim = world.claim("pay_1", execute.operation_id)
    assert isinstance(claim, Claim)
    execute = world.execute_of("pay_1")
    assert execute is not None
    over_at = claim.send_by + timedelta(seconds=TERMS.settle_s)
    assert claim_is_over(execute, TERMS.settle_s, over_at)
    assert not claim_is_over(execute, TERMS.settle_s, over_at - timedelta(microseconds=1))


def test_sums() -> None:
    world = World()
    facts = world.open_session("pay_1")
    assert not captured(facts) and not refundable(facts)
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown())
    world.reserve_operation("pay_1", "refund-1", OperationKind.REFUND, Money("30"))
    facts = world.payments["pay_1"]
    assert (captured(facts), refunded(facts)) == (AMOUNT, Money("0"))
    assert (reserved_for_refunds(facts), refundable(facts)) == (Money("30"), Money("70"))
    world.apply(plan_quarantine(facts, world.now, None))
    assert not refundable(world.payments["pay_1"]), "nothing is refundable while quarantined"


def test_outcomes_of_a_payment_on_its_way() -> None:
    """Unknown is said as unknown, and never as declined or failed."""
    world = World()
    assert isinstance(outcome_of(world.open_session("pay_1")), Pending)
    claim = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(claim, Claim)
    out = outcome_of(world.payments["pay_1"])
    assert isinstance(out, Pending) and out.sent
    assert may_have_money(world.payments["pay_1"])
    world.apply(plan_lost(world.payments["pay_1"], claim.operation_id, claim.fence, world.now))
    assert isinstance(outcome_of(world.payments["pay_1"]), Unknown)
    world.see("pay_1", shown(SnapshotState.EXPIRED, None))
    assert isinstance(outcome_of(world.payments["pay_1"]), Unknown), "expiry is no evidence yet"
    world.see("pay_1", shown())
    paid = outcome_of(world.payments["pay_1"])
    assert isinstance(paid, Paid)
    assert (paid.amount, paid.transaction_id) == (AMOUNT, "TRX1")


def test_outcomes_at_the_end() -> None:
    world = World()
    world.open_session("pay_1")
    claim = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(claim, Claim)
    reason = Reason(code=ReasonCode.INSUFFICIENT_BALANCE, gateway_code="2023")
    plan = plan_refused(
        world.payments["pay_1"], claim.operation_id, claim.fence, reason, final=True, now=world.now
    )
    world.apply(plan)
    declined = outcome_of(world.payments["pay_1"])
    assert isinstance(declined, Declined) and declined.reason == reason
    world.see("pay_1", shown())
    late = outcome_of(world.payments["pay_1"])
    assert isinstance(late, Paid) and late.late, "money that comes after closing is there, and called late"


def test_outcomes_that_need_a_person() -> None:
    world = World()
    world.open_session("pay_1")
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown(amount=Money("99")))
    review = outcome_of(world.payments["pay_1"])
    assert isinstance(review, Review)
    assert review.amount == Money("99")
    assert Flag.QUARANTINED in world.payments["pay_1"].payment.flags


def test_the_outcome_of_a_hold() -> None:
    world = World()
    world.open_session("pay_1")
    world.see("pay_1", shown(SnapshotState.AUTHORIZED))
    held = outcome_of(world.payments["pay_1"])
    assert isinstance(held, Authorized) and held.transaction_id == "TRX1"


def test_a_lapsed_payment_is_declined_as_expired() -> None:
    facts = World().open_session("pay_1")
    lapsed = replace(facts, payment=replace(facts.payment, state=PaymentState.LAPSED))
    outcome = outcome_of(lapsed)
    assert isinstance(outcome, Declined) and outcome.reason.code is ReasonCode.PAYMENT_EXPIRED

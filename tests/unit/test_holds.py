"""What a picture says of a hold: only what it proves, and nothing from before."""

from dataclasses import replace

import pytest

from tests.unit.plan_world import AMOUNT, World, shown
from vextrus_payments.events import EventKind
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Claim, Refused, Settled, SiblingLive
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import plan_refused
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
)
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.states import hold_operation_id, live_hold, outcome_of

CAPTURE, VOID = "capture/pay_1/1", "void/pay_1/1"


def held_world() -> World:
    world = World()
    world.open_session("pay_1")
    facts = world.payments["pay_1"]
    world.payments["pay_1"] = replace(facts, payment=replace(facts.payment, intent=Intent.AUTHORIZATION))
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown(SnapshotState.AUTHORIZED))
    return world


def facts(world: World) -> PaymentFacts:
    return world.payments["pay_1"]


def op(world: World, name: str) -> Operation:
    found = facts(world).operation(name)
    assert found is not None
    return found


def let_out(world: World, name: str) -> Claim:
    kind = OperationKind.CAPTURE if name == CAPTURE else OperationKind.VOID
    world.reserve_operation("pay_1", name, kind, AMOUNT)
    claim = world.claim("pay_1", name)
    assert isinstance(claim, Claim)
    return claim


def test_one_of_both_may_live() -> None:
    world = held_world()
    let_out(world, CAPTURE)
    answer = world.reserve_operation("pay_1", VOID, OperationKind.VOID, AMOUNT)
    assert isinstance(answer, Refused)
    reason = Reason(code=ReasonCode.MERCHANT_NOT_PERMITTED)
    world.apply(plan_refused(facts(world), CAPTURE, 1, reason, final=True, now=world.now))
    assert live_hold(facts(world)) is None
    assert facts(world).payment.state is PaymentState.AUTHORIZED, "the money is still held"
    assert hold_operation_id(facts(world), OperationKind.CAPTURE) == "capture/pay_1/2"
    assert hold_operation_id(facts(world), OperationKind.VOID) == VOID
    let_out(world, VOID)


@pytest.mark.parametrize("state", [SnapshotState.EXPIRED, SnapshotState.VOIDED, SnapshotState.CANCELLED])
def test_a_hold_that_is_over_closes(state: SnapshotState) -> None:
    world = held_world()
    world.reserve_operation("pay_1", CAPTURE, OperationKind.CAPTURE, AMOUNT)
    plan = world.see("pay_1", shown(state, None, None))
    assert plan is not None
    assert [e.kind for e in plan.events] == [EventKind.CLOSED]
    assert op(world, CAPTURE).state is OperationState.CANCELLED
    assert isinstance(world.claim("pay_1", CAPTURE), Settled)


def test_nothing_is_concluded_while_a_capture_may_be_at_work() -> None:
    world = held_world()
    let_out(world, CAPTURE)
    assert world.see("pay_1", shown(SnapshotState.VOIDED, None, None)) is None
    world.advance(71)
    assert world.see("pay_1", shown(SnapshotState.VOIDED, None, None)) is not None
    assert op(world, CAPTURE).state is OperationState.DECLINED
    assert facts(world).payment.state is PaymentState.CLOSED


def test_a_decline_of_what_is_held_closes_nothing() -> None:
    world = held_world()
    assert world.see("pay_1", shown(SnapshotState.DECLINED, None, None)) is None


@pytest.mark.parametrize("name", [CAPTURE, VOID])
def test_still_held_frees_only_after_the_last_moment(name: str) -> None:
    world = held_world()
    let_out(world, name)
    world.advance(60)
    assert world.see("pay_1", shown(SnapshotState.AUTHORIZED)) is None
    world.advance(11)
    assert world.see("pay_1", shown(SnapshotState.AUTHORIZED), asked_ago_s=5) is None, "asked too early"
    assert world.see("pay_1", shown(SnapshotState.AUTHORIZED)) is not None
    assert op(world, name).state is OperationState.RESERVED


def test_an_old_picture_of_a_hold_that_was_let_go_says_nothing() -> None:
    world = held_world()
    let_out(world, VOID)
    world.see("pay_1", shown(SnapshotState.VOIDED, None, None))
    assert op(world, VOID).state is OperationState.SUCCEEDED
    world.advance(5)
    assert world.see("pay_1", shown(SnapshotState.AUTHORIZED), asked_ago_s=30) is None
    plan = world.see("pay_1", shown(SnapshotState.AUTHORIZED))
    assert plan is not None and Flag.QUARANTINED in plan.payment.flags
    assert facts(world).payment.state is PaymentState.CLOSED, "nobody may capture on a contradiction"


def test_taken_after_it_was_let_go_is_booked_late() -> None:
    world = held_world()
    let_out(world, VOID)
    world.see("pay_1", shown(SnapshotState.VOIDED, None, None))
    plan = world.see("pay_1", shown(SnapshotState.PAID))
    assert plan is not None
    assert Flag.LATE in plan.receipts[0].flags
    assert [event.kind for event in plan.events] == [EventKind.LATE]
    assert op(world, VOID).state is OperationState.SUCCEEDED


def test_a_capture_re_checks_the_reference() -> None:
    world = held_world()
    world.reserve_operation("pay_1", CAPTURE, OperationKind.CAPTURE, AMOUNT)
    world.reserve("pay_2", allow_repeat=True)
    world.claim("pay_2", "pay_2/pay")
    world.apply(world.session_plan("pay_2"))
    world.see("pay_2", shown(transaction_id="TRX2", payment_id="pay_2"))
    answer = world.claim("pay_1", CAPTURE)
    assert isinstance(answer, SiblingLive) and answer.paid


def test_a_capture_of_another_amount_is_contradicted() -> None:
    world = held_world()
    let_out(world, CAPTURE)
    plan = world.see("pay_1", shown(SnapshotState.PAID, amount=AMOUNT - AMOUNT))
    assert plan is not None and not plan.receipts
    assert op(world, CAPTURE).state is OperationState.UNKNOWN
    assert Flag.QUARANTINED in facts(world).payment.flags
    outcome_of(facts(world))

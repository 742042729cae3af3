"""Reserve, claim, release: what forbids them, to the second and to the paisa."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.plan_world import AMOUNT, TERMS, World, shown
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Busy,
    Claim,
    Conflict,
    Refused,
    Reserved,
    Same,
    Settled,
    SiblingLive,
    Unresolved,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import plan_lost, plan_quarantine, plan_refund_seen, plan_refused
from vextrus_payments.records import OperationKind, OperationState
from vextrus_payments.reserving import plan_claim, plan_release, with_operation
from vextrus_payments.snapshots import RefundSnapshot, RefundState, SnapshotState

REASON = Reason(code=ReasonCode.INSUFFICIENT_BALANCE)


def paid_world() -> World:
    world = World()
    world.open_session("pay_1")
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown())
    return world


def refund(world: World, name: str, amount: str | None) -> object:
    money = None if amount is None else Money(amount)
    return world.reserve_operation("pay_1", name, OperationKind.REFUND, money)


def test_the_same_intent_again() -> None:
    world = World()
    first = world.reserve("pay_1")
    again = world.reserve("pay_1")
    assert isinstance(first, Reserved) and isinstance(again, Same)
    assert again.operation == first.operation
    assert isinstance(world.reserve("pay_1", allow_repeat=True), Conflict)


@pytest.mark.parametrize("live", ["paid", "authorized", "submitting", "unknown", "quarantined"])
def test_no_second_charge_beside(live: str) -> None:
    world = World()
    world.open_session("pay_2")
    world.open_session("pay_1")
    claim = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(claim, Claim)
    if live == "paid":
        world.see("pay_1", shown())
    elif live == "authorized":
        world.see("pay_1", shown(SnapshotState.AUTHORIZED))
    elif live == "unknown":
        world.apply(plan_lost(world.payments["pay_1"], claim.operation_id, claim.fence, world.now))
    elif live == "quarantined":
        world.apply(plan_quarantine(world.payments["pay_1"], world.now, None))
    for answer in (world.reserve("pay_3"), world.claim("pay_2", "execute/pay_2/1")):
        assert isinstance(answer, SiblingLive)
        assert (answer.payment_id, answer.paid) == ("pay_1", live in ("paid", "authorized"))
    assert isinstance(world.reserve("pay_4", allow_repeat=True), Reserved)


@pytest.mark.parametrize("state", ["declined", "created", "awaiting", "unsent"])
def test_what_stands_in_nobodys_way(state: str) -> None:
    world = World()
    if state == "created":
        world.reserve("pay_1")
    else:
        world.open_session("pay_1")
    if state in ("declined", "unsent"):
        claim = world.claim("pay_1", "execute/pay_1/1")
        assert isinstance(claim, Claim)
        facts = world.payments["pay_1"]
        plan = plan_release(facts, claim.operation_id, claim.fence, world.now)
        if state == "declined":
            plan = plan_refused(facts, claim.operation_id, claim.fence, REASON, final=True, now=world.now)
        world.out.clear()
        world.apply(plan)
    assert isinstance(world.reserve("pay_2"), Reserved)


def test_a_paid_sibling_is_named_before_one_that_may_be() -> None:
    world = World()
    world.open_session("pay_1")
    world.claim("pay_1", "execute/pay_1/1")
    facts = world.payments["pay_1"]
    paid = paid_world().payments["pay_1"]
    other = replace(paid, payment=replace(paid.payment, payment_id="pay_9"))
    _, answer = plan_claim(World().open_session("pay_2"), (facts, other), "execute/pay_2/1", TERMS, world.now)
    assert answer == SiblingLive("pay_9", paid=True)


def test_a_claim_from_its_birth_to_its_end() -> None:
    world = World()
    world.open_session("pay_1")
    claim = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(claim, Claim)
    assert claim.send_by == world.now + timedelta(seconds=TERMS.send_window_s)
    world.advance(TERMS.send_window_s + TERMS.settle_s - 1)
    busy = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(busy, Busy) and busy.retry_after_s == 1
    world.advance(1)
    assert isinstance(world.claim("pay_1", "execute/pay_1/1"), Unresolved)
    facts = world.payments["pay_1"]
    world.apply(plan_lost(facts, claim.operation_id, claim.fence, world.now))
    assert isinstance(world.claim("pay_1", "execute/pay_1/1"), Unresolved)
    world.see("pay_1", shown(SnapshotState.INITIATED, None))
    second = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(second, Claim) and second.fence == claim.fence + 1
    world.see("pay_1", shown())
    assert isinstance(world.claim("pay_1", "execute/pay_1/1"), Settled)


def test_an_execute_of_a_superseded_submission_is_not_claimed() -> None:
    world = World()
    facts = world.open_session("pay_1")
    moved = replace(facts, payment=replace(facts.payment, submission_no=2))
    _, answer = plan_claim(moved, (), "execute/pay_1/1", TERMS, world.now)
    assert isinstance(answer, Settled)


def test_release_takes_the_latest_fence_only() -> None:
    world = World()
    world.open_session("pay_1")
    first = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(first, Claim)
    assert world.proven_unsent("pay_1", first.operation_id, first.fence)
    second = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(second, Claim)
    assert plan_release(world.payments["pay_1"], first.operation_id, first.fence, world.now) is None
    assert plan_release(world.payments["pay_1"], "none", 1, world.now) is None
    assert world.proven_unsent("pay_1", second.operation_id, second.fence)
    assert plan_release(world.payments["pay_1"], second.operation_id, second.fence, world.now) is None


def test_evidence_is_of_one_attempt() -> None:
    """A baseline that an earlier attempt saw must not stand in for the new one's."""
    world = World()
    world.open_session("pay_1")
    first = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(first, Claim)
    facts = world.payments["pay_1"]
    operation = facts.operation(first.operation_id)
    assert operation is not None
    plan, _ = with_operation(facts, replace(operation, evidence=(Evidence("baseline"),)), world.now)
    world.apply(plan)
    world.proven_unsent("pay_1", first.operation_id, first.fence)
    world.claim("pay_1", first.operation_id)
    operation = world.payments["pay_1"].operation(first.operation_id)
    assert operation is not None and operation.evidence == ()


# --- refunds ------------------------------------------------------------------------------------------------------


def test_refunds_fit_into_what_came_in() -> None:
    world = paid_world()
    assert isinstance(refund(world, "a", "60"), Reserved)
    assert isinstance(refund(world, "b", "40.01"), Refused)
    assert isinstance(refund(world, "c", "40"), Reserved)
    assert isinstance(refund(world, "d", None), Refused)
    assert isinstance(refund(world, "e", "0.01"), Refused)
    assert isinstance(refund(world, "a", "60"), Same)
    assert isinstance(refund(world, "a", "59"), Conflict)


def test_a_refund_without_amount_is_the_rest_fixed_now() -> None:
    world = paid_world()
    refund(world, "a", "60")
    rest = refund(world, "b", None)
    assert isinstance(rest, Reserved) and rest.operation.amount == Money("40")


def test_what_cannot_be_refunded() -> None:
    world = World()
    world.open_session("pay_1")
    assert isinstance(refund(world, "a", "1"), Refused)
    world = paid_world()
    currency = world.reserve_operation("pay_1", "b", OperationKind.REFUND, Money("1", "USD"))
    assert isinstance(currency, Refused) and currency.field == "currency"
    world.apply(plan_quarantine(world.payments["pay_1"], world.now, None))
    assert isinstance(refund(world, "c", "1"), Refused)


def test_an_unknown_refund_stays_reserved_and_blocks_the_next() -> None:
    world = paid_world()
    refund(world, "a", "60")
    refund(world, "b", "40")
    claim = world.claim("pay_1", "a")
    assert isinstance(claim, Claim)
    assert isinstance(world.claim("pay_1", "b"), Busy)
    world.advance(10_000)
    world.apply(plan_lost(world.payments["pay_1"], "a", claim.fence, world.now))
    assert isinstance(refund(world, "c", "0.01"), Refused), "an unknown refund's amount is not free again"
    assert isinstance(world.claim("pay_1", "b"), Busy), "an unknown refund still counts as out"
    snapshot = RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id="RF1",
        original_transaction_id="TRX1",
        amount=Money("60"),
        raw_state="Completed",
    )
    world.apply(plan_refund_seen(world.payments["pay_1"], "a", snapshot, world.now))
    assert isinstance(world.claim("pay_1", "b"), Claim)


def test_a_declined_refund_frees_its_amount() -> None:
    world = paid_world()
    refund(world, "a", None)
    claim = world.claim("pay_1", "a")
    assert isinstance(claim, Claim)
    plan = plan_refused(world.payments["pay_1"], "a", claim.fence, REASON, final=True, now=world.now)
    world.apply(plan)
    again = refund(world, "b", None)
    assert isinstance(again, Reserved) and again.operation.amount == AMOUNT


def test_a_withdrawn_reservation_is_not_submitted() -> None:
    world = paid_world()
    refund(world, "a", None)
    facts = world.payments["pay_1"]
    operation = facts.operation("a")
    assert operation is not None
    plan, _ = with_operation(facts, replace(operation, state=OperationState.CANCELLED), world.now)
    world.apply(plan)
    assert isinstance(world.claim("pay_1", "a"), Settled)
    assert isinstance(refund(world, "b", None), Reserved)

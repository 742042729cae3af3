"""The gateway's list of refunds: what is nobody's is adopted, what may be ours waits, and nothing is counted twice."""

from dataclasses import replace
from datetime import timedelta

from tests.unit.plan_world import World, shown
from vextrus_payments.events import EventKind
from vextrus_payments.listings import REFUNDS, listed_in, listing_of
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim
from vextrus_payments.recording import plan_lost, plan_refund_seen, plan_refunds_listed
from vextrus_payments.records import Flag, OperationKind, OperationState, PaymentFacts
from vextrus_payments.reserving import with_operation
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.states import refundable, refunded
from vextrus_payments.testing.time import EPOCH


def listed(
    *found: tuple[str, str], original: str = "TRX1", state: RefundState = RefundState.COMPLETED
) -> tuple[RefundSnapshot, ...]:
    return tuple(
        RefundSnapshot(
            state=state,
            transaction_id=name,
            original_transaction_id=original,
            amount=Money(amount),
            raw_state="Completed",
        )
        for name, amount in found
    )


def paid_world() -> World:
    world = World()
    world.open_session("pay_1")
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown())
    return world


def refunding(world: World, amount: str = "30") -> Claim:
    world.reserve_operation("pay_1", "r-1", OperationKind.REFUND, Money(amount))
    claim = world.claim("pay_1", "r-1")
    assert isinstance(claim, Claim)
    return claim


def lost(world: World, claim: Claim) -> None:
    world.apply(plan_lost(world.payments["pay_1"], "r-1", claim.fence, world.now))


def facts(world: World) -> PaymentFacts:
    return world.payments["pay_1"]


def test_what_may_be_ours_waits_for_our_own_look_up() -> None:
    world = paid_world()
    claim = refunding(world)
    for _ in range(2):
        assert plan_refunds_listed(facts(world), listed(("RF1", "30")), world.now) is None
        lost(world, claim)
    plan = plan_refunds_listed(facts(world), listed(("RF1", "30"), ("RF2", "20")), world.now)
    assert plan is not None
    assert [r.transaction_id for r in plan.receipts] == ["RF2"], "another amount is nobody's"


def test_two_of_one_amount_are_both_booked_and_neither_is_called_ours() -> None:
    world = paid_world()
    lost(world, refunding(world))
    world.apply(plan_refunds_listed(facts(world), listed(("RF1", "30"), ("RF2", "30")), world.now))
    operation = facts(world).operation("r-1")
    assert operation is not None and operation.state is OperationState.UNKNOWN
    assert refunded(facts(world)) == Money("60")
    assert refundable(facts(world)) == Money("10"), "ours may still come: its amount stays reserved"
    # The answer comes after all, and says which one is ours: it is booked already.
    world.apply(plan_refund_seen(facts(world), "r-1", listed(("RF2", "30"))[0], world.now))
    operation = facts(world).operation("r-1")
    assert operation is not None and operation.state is OperationState.SUCCEEDED
    assert refunded(facts(world)) == Money("60")
    assert refundable(facts(world)) == Money("40")


def test_more_gone_than_came_is_looked_at_by_a_person() -> None:
    world = paid_world()
    lost(world, refunding(world, "60"))
    plan = plan_refunds_listed(facts(world), listed(("RF1", "50")), world.now)
    assert plan is not None
    assert Flag.QUARANTINED in plan.payment.flags
    assert [event.kind for event in plan.events] == [EventKind.REFUND_ADOPTED, EventKind.QUARANTINED]


def test_what_proves_nothing_is_left_alone() -> None:
    world = paid_world()
    for found in (
        listed(("RF1", "30"), state=RefundState.PENDING),
        listed(("RF1", "30"), state=RefundState.UNRECOGNIZED),
        listed(("RF1", "30"), original="TRX-of-another"),
        listed(("", "30")),
        (),
    ):
        assert plan_refunds_listed(facts(world), found, world.now) is None


def test_ours_is_declined_before_it_leaves_when_too_little_is_left() -> None:
    world = paid_world()
    claim = refunding(world, "80")
    before = listed(("RF1", "30"))
    plan = plan_refunds_listed(facts(world), before, world.now, leaving=("r-1", claim.fence))
    assert plan is not None
    assert plan.operations[0].state is OperationState.DECLINED
    assert Flag.QUARANTINED not in plan.payment.flags, "it was never let out: nothing is wrong"
    older = plan_refunds_listed(facts(world), before, world.now, leaving=("r-1", claim.fence - 1))
    assert older is not None and not older.operations, "an older claim declines nothing"
    fits = plan_refunds_listed(facts(world), listed(("RF1", "20")), world.now, leaving=("r-1", claim.fence))
    assert fits is not None and not fits.operations


def test_the_checkpoint_keeps_the_list_whole() -> None:
    world = paid_world()
    claim = refunding(world)
    evidence = Evidence("refund.baseline", {REFUNDS: listing_of(listed(("RF1", "30")))})
    operation = facts(world).operation("r-1")
    assert operation is not None
    plan, after = with_operation(facts(world), replace(operation, evidence=(evidence,)), world.now)
    world.apply(plan)
    kept = after.operation("r-1")
    assert kept is not None
    (found,) = listed_in(kept.evidence[0])
    assert (found.transaction_id, found.amount, found.original_transaction_id) == ("RF1", Money("30"), "TRX1")
    assert claim.fence == 1


def test_a_list_that_is_none_is_no_list() -> None:
    good = listing_of(tuple(replace_time(r) for r in listed(("RF1", "30"))))
    assert listed_in(Evidence("x", {REFUNDS: good}))[0].occurred_at == EPOCH + timedelta(days=1)
    for bad in (
        None,
        "x",
        [1],
        [{}],
        [{**good[0], "amount_minor": True}],
        [{**good[0], "amount_minor": "1"}],
    ):  # type: ignore[dict-item]
        assert listed_in(Evidence("x", {REFUNDS: bad})) == ()  # type: ignore[dict-item]
    for name, value in (
        ("state", "gone"),
        ("currency", "no money"),
        ("occurred_at", "never"),
        ("currency", 1),
    ):
        assert listed_in(Evidence("x", {REFUNDS: [{**good[0], name: value}]})) == ()  # type: ignore[dict-item]
    assert listed_in(Evidence("x")) == ()


def replace_time(snapshot: RefundSnapshot) -> RefundSnapshot:
    return replace(snapshot, occurred_at=EPOCH + timedelta(days=1))

"""Evidence: what it changes, what it books, and that its order and its repetitions do not matter."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.plan_world import AMOUNT, TERMS, World, shown
from vextrus_payments.documents import from_json
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.money import Money
from vextrus_payments.plans import Claim, Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    Seen,
    plan_lost,
    plan_quarantine,
    plan_refund_seen,
    plan_refused,
    plan_snapshot,
)
from vextrus_payments.records import (
    Flag,
    OperationKind,
    OperationState,
    OutboxKind,
    PaymentState,
    ReceiptKind,
)
from vextrus_payments.snapshots import RefundSnapshot, RefundState, SnapshotState

REASON = Reason(code=ReasonCode.INSUFFICIENT_BALANCE)


def out_world() -> tuple[World, Claim]:
    """An execute is on the wire."""
    world = World()
    world.open_session("pay_1")
    claim = world.claim("pay_1", "execute/pay_1/1")
    assert isinstance(claim, Claim)
    return world, claim


def state_of(world: World, operation_id: str = "execute/pay_1/1") -> OperationState:
    operation = world.payments["pay_1"].operation(operation_id)
    assert operation is not None
    return operation.state


def kinds(plan: Plan | None) -> list[EventKind]:
    return [] if plan is None else [event.kind for event in plan.events]


def entries(plan: Plan | None) -> list[LedgerEntry]:
    rows = () if plan is None else plan.outbox
    return [from_json(LedgerEntry, row.document) for row in rows if row.kind is OutboxKind.LEDGER]


# --- success ------------------------------------------------------------------------------------------------------


def test_a_confirmation_is_booked_once() -> None:
    world, _ = out_world()
    plan = world.see("pay_1", shown(fee=Money("1.85")))
    assert kinds(plan) == [EventKind.PAID]
    received, fee = entries(plan)
    assert [p.account for p in received.postings] == ["gateway_clearing:bkash:sandbox", "accounts_receivable"]
    assert fee.postings[0].amount == Money("1.85")
    facts = world.payments["pay_1"]
    assert (facts.payment.state, state_of(world)) == (PaymentState.PAID, OperationState.SUCCEEDED)
    assert world.see("pay_1", shown(fee=Money("1.85"))) is None, "the same again changes nothing"
    assert world.payments["pay_1"] == facts


@pytest.mark.parametrize("believed", ["reserved", "submitting", "unknown", "declined"])
def test_a_confirmation_counts_whatever_was_believed(believed: str) -> None:
    """From anyone, under any fence: what proves that money moved is always accepted."""
    world, claim = out_world()
    facts = world.payments["pay_1"]
    if believed == "reserved":
        world.proven_unsent("pay_1", claim.operation_id, claim.fence)
    elif believed == "unknown":
        world.apply(plan_lost(facts, claim.operation_id, claim.fence, world.now))
    elif believed == "declined":
        world.apply(plan_refused(facts, claim.operation_id, claim.fence, REASON, final=True, now=world.now))
    plan = world.see("pay_1", shown())
    assert state_of(world) is OperationState.SUCCEEDED
    assert (EventKind.UNKNOWN_RESOLVED in kinds(plan)) == (believed == "unknown")
    assert (Flag.LATE in world.payments["pay_1"].payment.flags) == (believed == "declined")
    assert (EventKind.LATE in kinds(plan)) == (believed == "declined")
    # A shop ships on payment.paid: late money is news of its own.
    assert (EventKind.PAID in kinds(plan)) == (believed != "declined")
    if believed == "declined":
        assert entries(plan)[0].postings[1].account == "unapplied_receipts"


def test_a_second_success_of_the_reference_is_booked_and_marked() -> None:
    world = World()
    world.open_session("pay_2")
    world.open_session("pay_1")
    world.claim("pay_1", "execute/pay_1/1")
    world.see("pay_1", shown())
    plan = world.see("pay_2", shown(transaction_id="TRX2", payment_id="pay_2"))
    assert plan is not None
    assert plan.guards == (("pay_1", world.payments["pay_1"].payment.version),)
    assert plan.whole_reference
    assert Flag.DUPLICATE in plan.payment.flags
    assert EventKind.DUPLICATE in kinds(plan)
    assert EventKind.PAID not in kinds(plan)
    assert entries(plan)[0].postings[1].account == "unapplied_receipts"


def test_a_repeat_on_purpose_is_no_duplicate_and_minds_nobody() -> None:
    world, _ = out_world()
    world.see("pay_1", shown())
    world.reserve("pay_2", allow_repeat=True)
    world.claim("pay_2", "pay_2/pay")
    world.apply(world.session_plan("pay_2"))
    plan = world.see("pay_2", shown(transaction_id="TRX2", payment_id="pay_2"))
    assert plan is not None
    assert plan.payment.flags == frozenset()
    assert (plan.guards, plan.whole_reference) == ((), False)


def test_a_second_receipt_of_one_payment_is_a_duplicate() -> None:
    world, _ = out_world()
    world.see("pay_1", shown())
    plan = world.see("pay_1", shown(transaction_id="TRX2"))
    assert plan is not None and Flag.DUPLICATE in plan.payment.flags
    assert len(world.payments["pay_1"].receipts) == 2


# --- not as asked -------------------------------------------------------------------------------------------------


def test_another_amount_goes_to_suspense_and_stops_everything() -> None:
    world, _ = out_world()
    plan = world.see("pay_1", shown(amount=Money("99")))
    assert plan is not None
    (receipt,) = plan.receipts
    assert receipt.mismatched and receipt.amount == Money("99")
    assert entries(plan)[0].postings[1].account == "suspense"
    assert kinds(plan) == [EventKind.QUARANTINED]
    assert Flag.QUARANTINED in plan.payment.flags


@pytest.mark.parametrize(
    "seen",
    [
        shown(payment_id="pay_9"),
        shown(transaction_id=None),
        shown(amount=None),
        shown(amount=Money("100", "USD")),
        shown(amount=Money("0")),
        shown(SnapshotState.REVIEW),
    ],
)
def test_what_cannot_be_attributed_is_not_posted(seen: object) -> None:
    """Nothing is booked, nothing is declined, nobody may submit again: a person has to look."""
    world, claim = out_world()
    plan = world.see("pay_1", seen)  # type: ignore[arg-type]
    assert plan is not None and not plan.receipts and not entries(plan)
    assert Flag.QUARANTINED in plan.payment.flags
    assert state_of(world) is OperationState.UNKNOWN
    assert world.see("pay_1", seen) is None  # type: ignore[arg-type]
    assert world.see("pay_1", shown()) is not None, "the true answer is still taken"
    assert claim.operation_id == "execute/pay_1/1"


def test_a_receipt_that_is_booked_elsewhere_quarantines() -> None:
    world, _ = out_world()
    plan = plan_quarantine(world.payments["pay_1"], world.now, "TRX1")
    world.apply(plan)
    assert kinds(plan) == [EventKind.QUARANTINED]
    assert state_of(world) is OperationState.UNKNOWN
    assert plan_quarantine(world.payments["pay_1"], world.now, "TRX1") is None


# --- no effect ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize(
    ("seconds", "proof", "believed"),
    [(0, True, False), (69, True, False), (70, True, True), (70, False, False), (9999, True, True)],
)
def test_absence_is_believed_after_the_last_moment_only(
    lost: bool, seconds: int, proof: bool, believed: bool
) -> None:
    world, claim = out_world()
    if lost:
        world.apply(plan_lost(world.payments["pay_1"], claim.operation_id, claim.fence, world.now))
    facts, before = world.payments["pay_1"], state_of(world)
    seen = Seen(
        submission_no=1,
        snapshot=shown(SnapshotState.INITIATED, None),
        asked_at=world.now + timedelta(seconds=seconds),
        settle_s=TERMS.settle_s,
        absence_is_proof=proof,
    )
    plan = plan_snapshot(facts, (), seen, world.now + timedelta(days=9))
    if believed:
        assert plan is not None
        assert plan.operations[0].state is OperationState.RESERVED
    else:
        assert plan is None, f"{before}: when it was asked counts, not when it is recorded"


@pytest.mark.parametrize(
    "state", [SnapshotState.CANCELLED, SnapshotState.EXPIRED, SnapshotState.DECLINED, SnapshotState.VOIDED]
)
def test_an_end_without_money(state: SnapshotState) -> None:
    """At once where nothing is out; with an execute out, only after its last moment."""
    idle = World()
    idle.open_session("pay_1")
    plan = idle.see("pay_1", shown(state, None))
    assert plan is not None and plan.payment.state is PaymentState.CLOSED
    assert state_of(idle) is OperationState.CANCELLED
    world, _ = out_world()
    world.advance(TERMS.send_window_s + TERMS.settle_s - 1)
    assert world.see("pay_1", shown(state, None)) is None
    world.advance(1)
    plan = world.see("pay_1", shown(state, None))
    assert plan is not None and plan.payment.state is PaymentState.CLOSED
    assert state_of(world) is OperationState.DECLINED
    assert idle.see("pay_1", shown()) is not None, "money that comes after all is booked"
    assert Flag.LATE in idle.payments["pay_1"].payment.flags


def test_a_no_counts_under_its_own_fence_only() -> None:
    world, first = out_world()
    world.proven_unsent("pay_1", first.operation_id, first.fence)
    second = world.claim("pay_1", first.operation_id)
    assert isinstance(second, Claim)
    facts = world.payments["pay_1"]
    for final in (True, False):
        stale = plan_refused(facts, first.operation_id, first.fence, REASON, final=final, now=world.now)
        assert stale is None
    assert plan_lost(facts, first.operation_id, first.fence, world.now) is None
    plan = plan_refused(facts, second.operation_id, second.fence, REASON, final=False, now=world.now)
    assert plan is not None and plan.operations[0].state is OperationState.RESERVED
    assert plan.payment.state is PaymentState.AWAITING_PAYER, "a payer who is not done declines nothing"


def test_a_state_nobody_documented_proves_nothing() -> None:
    world, _ = out_world()
    world.advance(100_000)
    assert world.see("pay_1", shown(SnapshotState.UNRECOGNIZED, None)) is None


# --- refunds ------------------------------------------------------------------------------------------------------


def refund_world(amount: str = "40") -> tuple[World, Claim]:
    """A refund is on the wire."""
    world, _ = out_world()
    world.see("pay_1", shown())
    world.reserve_operation("pay_1", "refund-1", OperationKind.REFUND, Money(amount))
    claim = world.claim("pay_1", "refund-1")
    assert isinstance(claim, Claim)
    return world, claim


def gone_back(
    transaction_id: str = "RF1", amount: str | None = "40", state: RefundState = RefundState.COMPLETED
) -> RefundSnapshot:
    return RefundSnapshot(
        state=state,
        transaction_id=transaction_id,
        original_transaction_id="TRX1",
        amount=None if amount is None else Money(amount),
        raw_state=state.value,
    )


def seen_refund(
    world: World, snapshot: RefundSnapshot, operation_id: str = "refund-1", fence: int | None = None
) -> Plan | None:
    plan = plan_refund_seen(world.payments["pay_1"], operation_id, snapshot, world.now, fence=fence)
    world.apply(plan)
    return plan


@pytest.mark.parametrize("amount", ["40", None])
def test_a_refund_is_booked_once(amount: str | None) -> None:
    world, _ = refund_world()
    plan = seen_refund(world, gone_back(amount=amount))
    assert kinds(plan) == [EventKind.REFUND_SUCCEEDED]
    assert [p.account for p in entries(plan)[0].postings] == [
        "accounts_receivable",
        "gateway_clearing:bkash:sandbox",
    ]
    assert state_of(world, "refund-1") is OperationState.SUCCEEDED
    assert seen_refund(world, gone_back(amount=amount)) is None


def test_a_refund_at_another_amount_is_booked_as_it_is() -> None:
    world, _ = refund_world()
    plan = seen_refund(world, gone_back(amount="41"))
    assert plan is not None and plan.receipts[0].amount == Money("41")
    assert Flag.QUARANTINED in plan.payment.flags
    assert entries(plan)[0].postings[0].account == "suspense"


def test_a_second_refund_under_one_operation_is_booked_and_stops_everything() -> None:
    world, _ = refund_world()
    seen_refund(world, gone_back("RF1"))
    plan = seen_refund(world, gone_back("RF2"))
    assert plan is not None and len(plan.receipts) == 1
    assert Flag.QUARANTINED in plan.payment.flags


def test_a_refund_of_another_operation_says_nothing_about_this_one() -> None:
    world, _ = refund_world()
    seen_refund(world, gone_back("RF1"))
    world.reserve_operation("pay_1", "refund-2", OperationKind.REFUND, Money("40"))
    world.claim("pay_1", "refund-2")
    assert seen_refund(world, gone_back("RF1"), "refund-2") is None
    assert state_of(world, "refund-2") is OperationState.SUBMITTING


def test_a_refund_that_was_called_declined_and_went_through() -> None:
    """Its amount was promised again meanwhile: nothing more may be sent."""
    world, claim = refund_world("100")
    facts = world.payments["pay_1"]
    world.apply(plan_refused(facts, "refund-1", claim.fence, REASON, final=True, now=world.now))
    world.reserve_operation("pay_1", "refund-2", OperationKind.REFUND, Money("100"))
    plan = seen_refund(world, gone_back("RF1", "100"))
    assert plan is not None and not plan.receipts[0].mismatched
    assert Flag.QUARANTINED in plan.payment.flags
    assert not isinstance(world.claim("pay_1", "refund-2"), Claim)


def test_a_pending_refund_and_its_two_ends() -> None:
    for state, end in (
        (RefundState.COMPLETED, OperationState.SUCCEEDED),
        (RefundState.DECLINED, OperationState.DECLINED),
    ):
        world, claim = refund_world()
        seen_refund(world, gone_back(state=RefundState.PENDING))
        assert state_of(world, "refund-1") is OperationState.PENDING
        assert seen_refund(world, gone_back(state=RefundState.UNRECOGNIZED)) is None
        stale = seen_refund(world, gone_back(state=RefundState.DECLINED), fence=claim.fence - 1)
        assert stale is None
        seen_refund(world, gone_back(state=state), fence=claim.fence)
        assert state_of(world, "refund-1") is end


# --- order and repetition -----------------------------------------------------------------------------------------

PICTURES = (
    shown(),
    shown(),
    shown(SnapshotState.INITIATED, None),
    shown(SnapshotState.APPROVED, None),
    shown(SnapshotState.UNRECOGNIZED, None),
    shown(SnapshotState.CANCELLED, None),
    shown(transaction_id="TRX2"),
)


def facts_after(pictures: tuple[object, ...], seconds: int) -> tuple[object, ...]:
    world, _ = out_world()
    for picture in pictures:
        world.advance(seconds)
        world.see("pay_1", picture)  # type: ignore[arg-type]
    facts = world.payments["pay_1"]
    receipts = {(r.kind, r.transaction_id, r.amount) for r in facts.receipts}
    return facts.payment.state, receipts, set(world.entries)


def test_any_order_of_five_pictures_gives_the_same_facts() -> None:
    wanted = facts_after(PICTURES[:5], 0)
    assert wanted[0] is PaymentState.PAID
    for order in itertools.permutations(PICTURES[:5]):
        assert facts_after(order, 0) == wanted


@given(
    pictures=st.lists(st.sampled_from(PICTURES), min_size=1, max_size=8),
    more=st.lists(st.sampled_from(PICTURES), max_size=8),
    shuffled=st.randoms(use_true_random=False),
    seconds=st.sampled_from((0, 10, 100)),
)
def test_duplicates_and_order_change_no_facts(
    pictures: list[object], more: list[object], shuffled: object, seconds: int
) -> None:
    """Once a success is among them, the receipts, the entries and the state follow from the set of pictures alone."""
    again = [*pictures, *(picture for picture in more if picture in pictures)]
    other = list(again)
    shuffled.shuffle(other)  # type: ignore[attr-defined]
    first, second = facts_after(tuple(pictures), seconds), facts_after(tuple(other), seconds)
    assert first[1:] == second[1:]
    if first[1]:
        assert first[0] is second[0] is PaymentState.PAID


def test_totals_are_sums_of_what_is_booked() -> None:
    world, _ = refund_world()
    seen_refund(world, gone_back())
    facts = world.payments["pay_1"]
    assert {r.kind: r.amount for r in facts.receipts} == {
        ReceiptKind.PAYMENT: AMOUNT,
        ReceiptKind.REFUND: Money("40"),
    }

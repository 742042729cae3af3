"""What is weighed when a refund is recorded: whose it is, what was promised elsewhere, in which currency; and two
guards of pictures that no table shows."""

from dataclasses import replace

import pytest

from tests.unit.plan_world import AMOUNT
from tests.unit.rules_world import NOW, OVER, SETTLE_S, facts, operation, payment, receipt, submission
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Plan
from vextrus_payments.recording import Seen, plan_refund_seen, plan_refunds_listed, plan_snapshot
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentState,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
)
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState

K, Op, P, S = OperationKind, OperationState, PaymentState, SnapshotState


def shown(name: str, amount: Money, original: str = "TRX1") -> RefundSnapshot:
    return RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id=name,
        original_transaction_id=original,
        amount=amount,
        raw_state="x",
    )


def written(plan: Plan | None, name: str) -> Operation | None:
    assert plan is not None
    return next((one for one in plan.operations if one.operation_id == name), None)


# --- whose refund it is -------------------------------------------------------------------------------------------


def test_a_booked_refund_is_not_anothers_though_an_equal_one_is_out() -> None:
    word = Resolution(
        verdict=ResolutionVerdict.NOT_MADE,
        actor="op",
        reason="seen at the desk",
        evidence=("ticket",),
        reviewed_version=6,
        at=NOW,
        operation_id="denied",
    )
    denied = operation(K.REFUND, Op.DECLINED, "denied")
    out = operation(K.REFUND, Op.UNKNOWN, "out")
    adopted = receipt("R1", ReceiptKind.REFUND)
    before = facts(payment(P.PAID, resolutions=(word,)), denied, out, receipts=(receipt(), adopted))
    found = written(plan_refund_seen(before, "denied", shown("R1", Money("40")), NOW), "denied")
    assert found is not None and found.state is Op.SUCCEEDED
    # One that is not booked may be the other's.
    assert plan_refund_seen(before, "denied", shown("R2", Money("40")), NOW) is None


@pytest.mark.parametrize("restored", [False, True])
def test_what_is_reserved_was_sent_before_only_where_records_were_restored(restored: bool) -> None:
    before = facts(P.PAID, operation(K.REFUND, Op.RESERVED, "mine"))
    listed = (shown("R1", Money("40")),)
    plan = (
        plan_refunds_listed(before, listed, NOW, restored=True)
        if restored
        else plan_refunds_listed(before, listed, NOW)
    )
    assert plan is not None
    assert (written(plan, "mine") is not None) is restored
    assert (Flag.ADOPTED in plan.receipts[0].flags) is not restored


# --- what is left -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "fits"), [("60", True), ("60.01", False)])
def test_what_other_refunds_were_promised_is_not_there_for_one_that_leaves(asked: str, fits: bool) -> None:
    promised = operation(K.REFUND, Op.UNKNOWN, "promised")  # 40 of the 100
    leaves = operation(
        K.REFUND, Op.SUBMITTING, "leaves", amount=Money(asked), original_transaction_id="NOBODY"
    )
    before = facts(
        payment(P.PAID, amount=Money("100")), promised, leaves, receipts=(receipt(amount=Money("100")),)
    )
    plan = plan_refunds_listed(before, (), NOW, leaving=("leaves", 2))
    if fits:
        assert plan is None
    else:
        found = written(plan, "leaves")
        assert found is not None and found.state is Op.DECLINED


def test_refunds_are_summed_in_their_own_currency() -> None:
    yen = Money("100", "JPY")
    whole = payment(P.PAID, amount=yen)
    paid = (receipt(amount=yen),)
    plan = plan_refunds_listed(facts(whole, receipts=paid), (shown("R1", Money("40", "JPY")),), NOW)
    assert plan is not None and plan.receipts[0].amount == Money("40", "JPY")
    mine = operation(K.REFUND, Op.SUCCEEDED, "mine", amount=Money("40", "JPY"))
    word = receipt(
        "R1",
        ReceiptKind.REFUND,
        amount=Money("40", "JPY"),
        operation_id="mine",
        flags=frozenset({Flag.BY_OPERATOR}),
    )
    before = facts(whole, mine, receipts=(*paid, word))
    plan = plan_refund_seen(before, "mine", shown("R2", Money("40", "JPY")), NOW)
    assert plan is not None
    assert [(one.kind, one.transaction_id) for one in plan.receipts] == [
        (ReceiptKind.REVERSAL, "R1"),
        (ReceiptKind.REFUND, "R2"),
    ]


# --- pictures -----------------------------------------------------------------------------------------------------


def picture(state: SnapshotState, order_id: str | None) -> Seen:
    snapshot = PaymentSnapshot(
        state=state,
        gateway_reference="GR1",
        raw_state="x",
        gateway_order_id=order_id,
        amount=AMOUNT,
        transaction_id="TRX1",
    )
    return Seen(submission_no=1, snapshot=snapshot, asked_at=NOW, settle_s=SETTLE_S, absence_is_proof=True)


@pytest.mark.parametrize(("order_id", "is_ours"), [("INV-1-1", True), (None, True), ("INV-1-2", False)])
def test_only_the_order_that_was_stored_is_paid(order_id: str | None, is_ours: bool) -> None:
    before = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.UNKNOWN), submissions=(submission(),))
    plan = plan_snapshot(before, (), picture(S.PAID, order_id), NOW)
    assert plan is not None
    assert (plan.payment.state is P.PAID) is is_ours
    assert (Flag.QUARANTINED in plan.payment.flags) is not is_ours


def test_a_capture_is_proven_undone_though_an_earlier_one_was_declined() -> None:
    whole = payment(P.AUTHORIZED, intent=Intent.AUTHORIZATION, mode=Mode.LIVE)
    first = operation(K.CAPTURE, Op.DECLINED, "capture/pay_1/1")
    second = replace(first, operation_id="capture/pay_1/2", state=Op.UNKNOWN, send_by=OVER)
    plan = plan_snapshot(facts(whole, first, second), (), picture(S.AUTHORIZED, "INV-1-1"), NOW)
    found = written(plan, "capture/pay_1/2")
    assert found is not None and found.state is Op.RESERVED

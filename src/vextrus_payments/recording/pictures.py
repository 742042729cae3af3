"""Plan functions for what the gateway shows of a payment: a look-up's or an execute's picture of one submission."""

from dataclasses import dataclass, replace
from datetime import datetime

from vextrus_payments.events import EventKind
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationState,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKey,
    ReceiptKind,
)
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.states import (
    OPEN_STATES,
    claim_is_over,
    execute_operation_id,
    has_money,
    payment_receipts,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look-up's or an execute's answer, with what is needed to weigh it."""

    submission_no: int
    snapshot: PaymentSnapshot
    asked_at: datetime
    """When the question left: an absence counts only if asked after the gateway's last possible moment."""
    settle_s: int
    absence_is_proof: bool
    fence: int | None = None
    """Of the claim under which it came; None for a look-up."""


def plan_snapshot(
    facts: PaymentFacts,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan | None:
    """What one submission's picture at the gateway changes. `siblings`: the reference's other payments."""
    draft = Draft(facts, now, accounts)
    execute = facts.operation(execute_operation_id(facts.payment.payment_id, seen.submission_no))
    # Judged once more, against what is stored: what an adapter was told and what is true now may differ.
    submission = facts.submission_numbered(seen.submission_no)
    seen = replace(
        seen,
        snapshot=judge_snapshot(
            seen.snapshot,
            gateway_reference=submission.gateway_reference or seen.snapshot.gateway_reference,
            gateway_order_id=submission.gateway_order_id,
            amount=facts.payment.amount,
            mode=facts.payment.mode,
            always_sent=frozenset(),
        ),
    )
    state = seen.snapshot.state
    if state is SnapshotState.PAID and (
        not seen.snapshot.transaction_id
        or seen.snapshot.amount is None
        or not seen.snapshot.amount.is_positive
    ):
        _contradicted(draft, siblings, seen, execute)
    elif state is SnapshotState.PAID:
        _paid(draft, siblings, seen, execute)
    elif state is SnapshotState.AUTHORIZED:
        _authorized(draft, siblings, seen, execute)
    elif state is SnapshotState.REVIEW:
        _contradicted(draft, siblings, seen, execute)
    elif state in (SnapshotState.INITIATED, SnapshotState.APPROVED):
        _absent(draft, seen, execute)
    elif state in _OVER:
        _over(draft, seen, execute)
    return draft.plan()


def _paid(
    draft: Draft,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    execute: Operation | None,
    *,
    mismatched: bool = False,
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    assert snapshot.transaction_id is not None and snapshot.amount is not None, (
        "plan_snapshot lets no other PAID through"
    )
    before = payment.state
    key = ReceiptKey(
        payment.tenant, payment.gateway, payment.mode, ReceiptKind.PAYMENT, snapshot.transaction_id
    )
    is_new = all(r.key != key for r in draft.facts.receipts)
    if is_new:
        flags = _receipt_flags(draft, siblings)
        draft.flag(*flags)
        if mismatched:
            draft.flag(Flag.QUARANTINED)
        draft.receipt(
            Receipt(
                tenant=payment.tenant,
                gateway=payment.gateway,
                mode=payment.mode,
                kind=ReceiptKind.PAYMENT,
                transaction_id=snapshot.transaction_id,
                amount=snapshot.amount,
                recorded_at=draft.now,
                payment_id=payment.payment_id,
                submission_no=seen.submission_no,
                operation_id=execute.operation_id if execute else None,
                merchant_reference=payment.merchant_reference,
                occurred_at=snapshot.occurred_at,
                payer_account=snapshot.payer_account,
                fee=snapshot.fee,
                flags=flags,
                mismatched=mismatched,
            )
        )
    if before is not PaymentState.PAID:
        draft.move(PaymentState.PAID)
    draft.succeed(execute, snapshot.transaction_id)
    if is_new:
        _announce_paid(draft, before, seen, execute)


def _receipt_flags(draft: Draft, siblings: tuple[PaymentFacts, ...]) -> frozenset[Flag]:
    """Whether new money is late (after closing) or a duplicate (the reference, or this payment, has money already)."""
    flags = set()
    payment = draft.payment
    if payment.state in (PaymentState.CLOSED, PaymentState.LAPSED):
        flags.add(Flag.LATE)
    if not payment.allow_repeat:
        draft.guard(siblings)  # with allow_repeat they decide nothing below, and may be very many
    same_mode = tuple(s for s in siblings if s.payment.mode is payment.mode)
    paid_before = bool(payment_receipts(draft.facts)) or any(has_money(s) for s in same_mode)
    if paid_before and not (payment.allow_repeat and not payment_receipts(draft.facts)):
        flags.add(Flag.DUPLICATE)
    return frozenset(flags)


def _announce_paid(draft: Draft, before: PaymentState, seen: Seen, execute: Operation | None) -> None:
    snapshot, flags = seen.snapshot, draft.payment.flags
    # Only money that came as agreed is called paid: a shop ships on it. What is late, a duplicate or contradicted is
    # news of its own, for a decision of its own.
    kinds = []
    if Flag.QUARANTINED in flags:
        kinds.append(EventKind.QUARANTINED)
    if Flag.LATE in flags:
        kinds.append(EventKind.LATE)
    if Flag.DUPLICATE in flags:
        kinds.append(EventKind.DUPLICATE)
    kinds = kinds or [EventKind.PAID]
    for kind in kinds:
        draft.announce(
            kind,
            before=before,
            after=PaymentState.PAID,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def _authorized(
    draft: Draft, siblings: tuple[PaymentFacts, ...], seen: Seen, execute: Operation | None
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    before = payment.state
    if before is PaymentState.PAID:
        return
    submission = draft.facts.submission_numbered(seen.submission_no)
    if submission.held_transaction_id != snapshot.transaction_id:
        draft.submission(replace(submission, held_transaction_id=snapshot.transaction_id))
    if before is not PaymentState.AUTHORIZED:
        draft.flag(*_receipt_flags(draft, siblings))
        draft.move(PaymentState.AUTHORIZED)
    draft.succeed(execute, snapshot.transaction_id)
    if before is not PaymentState.AUTHORIZED:
        draft.announce(
            EventKind.AUTHORIZED,
            before=before,
            after=PaymentState.AUTHORIZED,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def _contradicted(
    draft: Draft, siblings: tuple[PaymentFacts, ...], seen: Seen, execute: Operation | None
) -> None:
    """Money moved or is held, but not as asked.

    Ours in everything but the amount: booked at the gateway's amount to suspense. Anything else, an amount that
    the gateway does not tell included, cannot be booked: no posting, the execute stays unknown, and a person has to
    look.
    """
    snapshot = seen.snapshot
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is SnapshotState.PAID
    if other_amount and snapshot.amount is not None and snapshot.amount.is_positive:
        _paid(draft, siblings, seen, execute, mismatched=True)
        return
    if execute is not None and execute.state is OperationState.SUBMITTING:
        draft.operation(execute, OperationState.UNKNOWN)
    if Flag.QUARANTINED not in draft.payment.flags:
        draft.flag(Flag.QUARANTINED)
        draft.announce(
            EventKind.QUARANTINED,
            before=draft.payment.state,
            after=draft.payment.state,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def _absent(draft: Draft, seen: Seen, execute: Operation | None) -> None:
    """The gateway shows it as not made. A proof only when asked after the last possible moment."""
    if execute is None or execute.state not in OPEN_STATES:
        return
    if not seen.absence_is_proof or not claim_is_over(execute, seen.settle_s, seen.asked_at):
        return
    if execute.state is OperationState.SUBMITTING:
        # Nobody recorded how it ended (a crash): it was unknown, whether or not anybody called it so.
        draft.operation(execute, OperationState.RESERVED)
        return
    if execute.state is OperationState.UNKNOWN:
        draft.operation(execute, OperationState.RESERVED)
        draft.resolved(execute, OperationState.RESERVED)


_OVER = {
    SnapshotState.CANCELLED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.VOIDED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.EXPIRED: ReasonCode.PAYMENT_EXPIRED,
    SnapshotState.DECLINED: ReasonCode.INVALID_PAYMENT,
}


def _over(draft: Draft, seen: Seen, execute: Operation | None) -> None:
    """The gateway shows it as ended without money. With an execute still out, only after its last moment."""
    payment = draft.payment
    if payment.state is PaymentState.PAID or seen.submission_no != payment.submission_no:
        return
    reason = Reason(code=_OVER[seen.snapshot.state], gateway_code=seen.snapshot.raw_state)
    if payment.state is PaymentState.AUTHORIZED:
        if seen.snapshot.state in (SnapshotState.CANCELLED, SnapshotState.VOIDED):
            draft.close(EventKind.CLOSED, reason, None)
        return
    if execute is not None and execute.state in OPEN_STATES:
        if not claim_is_over(execute, seen.settle_s, seen.asked_at):
            return
        draft.operation(execute, OperationState.DECLINED, reason=reason)
        if execute.state is OperationState.UNKNOWN:
            draft.resolved(execute, OperationState.DECLINED)
    elif execute is not None and execute.state is OperationState.RESERVED:
        draft.operation(execute, OperationState.CANCELLED, reason=reason)
    if payment.state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER):
        draft.close(EventKind.CLOSED, reason, execute.operation_id if execute else None)

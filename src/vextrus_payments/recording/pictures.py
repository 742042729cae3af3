"""Plan functions for what the gateway shows of a payment: a look-up's or a submission's picture of it."""

from dataclasses import replace
from datetime import datetime, timedelta

from vextrus_payments.events import EventKind
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.holds import capture_that_made, no_longer_voidable, released, still_held
from vextrus_payments.recording.receiving import (
    announce_receipt,
    can_be_booked,
    let_go,
    paid_again,
    receipt_flags,
    receive,
)
from vextrus_payments.recording.seen import Seen
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKey,
    ReceiptKind,
    ResolutionVerdict,
    SubmissionState,
)
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.states import (
    OPEN_STATES,
    answered_by_operator,
    execute_operation_id,
    hold_operations,
    is_taken_back,
    payment_receipts,
    refund_receipts,
)
from vextrus_payments.watching import earlier_pages, is_paid_page


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
    first, *others = _booked_first(facts, seen.snapshot)
    before = facts.payment.state
    seen = _judged(facts, seen, first)
    state = seen.snapshot.state
    if state is SnapshotState.PAID and can_be_booked(seen.snapshot):
        _paid(draft, siblings, seen, execute)
    elif state is SnapshotState.AUTHORIZED:
        _authorized(draft, siblings, seen, execute)
    elif state in (SnapshotState.PAID, SnapshotState.REVIEW):
        _contradicted(draft, siblings, seen, execute)
    elif state in (SnapshotState.INITIATED, SnapshotState.APPROVED):
        _absent(draft, seen, execute)
    elif state in _OVER:
        _over(draft, seen, execute)
    for other in others:
        paid_again(draft, _judged(facts, seen, other), before)
    if seen.again_s is not None and any(not is_paid_page(facts, page) for page in earlier_pages(facts, now)):
        # Money on one page is no reason to look away from another that its payer may still complete.
        draft.look_by(now + timedelta(seconds=seen.again_s))
    return draft.plan()


def _booked_first(facts: PaymentFacts, snapshot: PaymentSnapshot) -> list[PaymentSnapshot]:
    """Every payment of a picture, the one that is booked as the payment in front, then those that are booked beside it:
    in which order a gateway names them proves nothing."""
    pictures = [replace(snapshot, also_paid=()), *snapshot.also_paid]
    booked = {r.transaction_id: Flag.DUPLICATE in r.flags for r in payment_receipts(facts)}
    return sorted(
        pictures,
        key=lambda one: (one.transaction_id not in booked, booked.get(one.transaction_id or "", False)),
    )


def _judged(facts: PaymentFacts, seen: Seen, snapshot: PaymentSnapshot) -> Seen:
    """Judged once more, against what is stored: what an adapter was told and what is true now may differ."""
    submission = facts.submission_numbered(seen.submission_no)
    judged = judge_snapshot(
        snapshot,
        gateway_reference=submission.gateway_reference or snapshot.gateway_reference,
        gateway_order_id=submission.gateway_order_id,
        amount=facts.payment.amount,
        mode=facts.payment.mode,
        always_sent=frozenset(),
    )
    return replace(seen, snapshot=judged)


def _paid(
    draft: Draft,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    execute: Operation | None,
    *,
    mismatched: bool = False,
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    assert snapshot.transaction_id is not None and snapshot.amount is not None, "see can_be_booked()"
    before = payment.state
    capture = capture_that_made(draft.facts)
    key = ReceiptKey(
        payment.tenant, payment.gateway, payment.mode, ReceiptKind.PAYMENT, snapshot.transaction_id
    )
    booked = next((r for r in draft.facts.receipts if r.key == key), None)
    receipt = None
    if booked is None and seen.again_s is not None and _is_paid_page(draft.facts, seen.submission_no):
        # A page that its payer completes is paid once: this is no second payment, and a person has to look what it is.
        draft.quarantine(amount=snapshot.amount, transaction_id=snapshot.transaction_id)
        return
    if booked is None:
        receipt = _book(draft, siblings, seen, capture or execute, mismatched=mismatched)
    elif (
        is_taken_back(draft.facts, booked)
        or (Flag.BY_OPERATOR in booked.flags and booked.amount != snapshot.amount)
        or (snapshot.given_back and not _is_refund_known(draft.facts, seen))
    ):
        draft.quarantine(amount=snapshot.amount, transaction_id=snapshot.transaction_id)
    elif (
        Flag.ON_HOLD in payment.flags & booked.flags  # another payment on the same page may be what is risky
        and not snapshot.on_hold
        and seen.asked_at > booked.recorded_at
    ):
        let_go(draft, booked)
    if draft.payment.state is not PaymentState.PAID:
        draft.move(PaymentState.PAID)
    draft.succeed(execute, snapshot.transaction_id)
    draft.succeed(capture, snapshot.transaction_id)
    no_longer_voidable(draft)
    if receipt is not None:
        announce_receipt(draft, before, receipt)
        if seen.pays_again:
            # Its payer may pay there once more, and that news may get lost: it stays watched to its end.
            submission = draft.facts.submission_numbered(seen.submission_no)
            draft.submission(replace(submission, state=SubmissionState.SUPERSEDED))


def _book(
    draft: Draft,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    by: Operation | None,
    *,
    mismatched: bool,
) -> Receipt:
    snapshot = seen.snapshot
    wrong = _operators_word(draft.facts, seen.submission_no)
    for other in wrong:
        draft.reverse(other)
    flags = receipt_flags(draft, siblings, without=wrong)
    receipt = receive(draft, seen, by, flags, mismatched=mismatched)
    # Money that is gone again by the time it is first seen is nothing to ship on: by whom, and how much, nobody tells.
    if mismatched or wrong or snapshot.given_back:
        draft.quarantine(
            operation_id=receipt.operation_id, amount=receipt.amount, transaction_id=receipt.transaction_id
        )
    return receipt


def _is_refund_known(facts: PaymentFacts, seen: Seen) -> bool:
    """Whether our records can account for what the gateway shows as gone back, without saying how much that is.

    Over a restored store the very refund that is shown has to be booked: another one may be what the backup has lost.
    """
    out = any(o.kind is OperationKind.REFUND and o.state in OPEN_STATES for o in facts.operations)
    booked = {r.transaction_id for r in refund_receipts(facts)}
    if seen.restored:
        return not out and seen.snapshot.last_refund in booked
    return out or bool(booked)


def _is_paid_page(facts: PaymentFacts, submission_no: int) -> bool:
    """True when money of this submission is booked on the gateway's own word."""
    return any(
        Flag.BY_OPERATOR not in r.flags and r.submission_no == submission_no for r in payment_receipts(facts)
    )


def _operators_word(facts: PaymentFacts, submission_no: int) -> tuple[Receipt, ...]:
    """What was booked of a submission on an operator's word, and has been taken for true so far."""
    return tuple(
        r for r in payment_receipts(facts) if Flag.BY_OPERATOR in r.flags and r.submission_no == submission_no
    )


def _authorized(
    draft: Draft, siblings: tuple[PaymentFacts, ...], seen: Seen, execute: Operation | None
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    before = payment.state
    if before is PaymentState.PAID:
        _not_as_the_operator_said(draft, seen, capture_that_made(draft.facts))
        return
    submission = draft.facts.submission_numbered(seen.submission_no)
    if before is PaymentState.CLOSED and submission.held_transaction_id is not None:
        # It was held and let go. An older picture says nothing; a newer one contradicts what the gateway (or an
        # operator) said, and nobody may capture on that.
        if seen.asked_at > payment.updated_at:
            draft.quarantine(amount=snapshot.amount, transaction_id=snapshot.transaction_id)
        return
    if submission.held_transaction_id != snapshot.transaction_id:
        draft.submission(replace(submission, held_transaction_id=snapshot.transaction_id))
    if before is PaymentState.AUTHORIZED:
        draft.succeed(execute, snapshot.transaction_id)
        still_held(draft, seen)
        return
    draft.flag(*receipt_flags(draft, siblings))
    draft.move(PaymentState.AUTHORIZED)
    draft.succeed(execute, snapshot.transaction_id)
    draft.announce(
        EventKind.AUTHORIZED,
        before=before,
        after=PaymentState.AUTHORIZED,
        operation_id=execute.operation_id if execute else None,
        amount=snapshot.amount,
        transaction_id=snapshot.transaction_id,
    )


def _not_as_the_operator_said(draft: Draft, seen: Seen, operation: Operation | None) -> None:
    """The gateway does not show what an operator called made: his receipt is taken back, and a person has to look."""
    wrong = _operators_word(draft.facts, seen.submission_no)
    if not wrong or operation is None or not seen.absence_is_proof or not seen.after_last_moment(operation):
        return
    for receipt in wrong:
        draft.reverse(receipt)
    draft.quarantine(operation_id=operation.operation_id, amount=wrong[0].amount)


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
    if other_amount and can_be_booked(snapshot):
        _paid(draft, siblings, seen, execute, mismatched=True)
        return
    for operation in (execute, *hold_operations(draft.facts)):
        if operation is not None and operation.state is OperationState.SUBMITTING:
            draft.operation(operation, OperationState.UNKNOWN)
    draft.quarantine(
        operation_id=execute.operation_id if execute else None,
        amount=snapshot.amount,
        transaction_id=snapshot.transaction_id,
    )


def _absent(draft: Draft, seen: Seen, execute: Operation | None) -> None:
    """The gateway shows it as not made. A proof only when asked after the last possible moment."""
    if execute is None:
        return
    if draft.payment.state is PaymentState.PAID:
        _not_as_the_operator_said(draft, seen, execute)
    elif draft.payment.state is PaymentState.AUTHORIZED:
        said = answered_by_operator(draft.facts, execute.operation_id)
        if said is ResolutionVerdict.MADE and seen.absence_is_proof and seen.after_last_moment(execute):
            draft.quarantine(operation_id=execute.operation_id, amount=draft.payment.amount)
    elif seen.proves_absence(execute):
        # A submitting one that nobody recorded the end of (a crash) was unknown, whether or not it was called so.
        draft.operation(execute, OperationState.RESERVED)
        if execute.state is OperationState.UNKNOWN:
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
    reason = Reason(code=_OVER[seen.snapshot.state], gateway_code=seen.snapshot.raw_state)
    if payment.state is PaymentState.AUTHORIZED:
        held = draft.facts.held_submission.submission_no
        if seen.snapshot.state is not SnapshotState.DECLINED and seen.submission_no == held:
            released(draft, seen, reason)
        return
    if payment.state is PaymentState.PAID:
        _not_as_the_operator_said(draft, seen, capture_that_made(draft.facts) or execute)
        return
    if seen.submission_no != payment.submission_no:
        return
    if execute is not None and execute.state in OPEN_STATES:
        if not seen.after_last_moment(execute):
            return
        draft.operation(execute, OperationState.DECLINED, reason=reason)
        if execute.state is OperationState.UNKNOWN:
            draft.resolved(execute, OperationState.DECLINED)
    elif execute is not None and execute.state is OperationState.RESERVED:
        draft.operation(execute, OperationState.CANCELLED, reason=reason)
    if payment.state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER):
        draft.close(EventKind.CLOSED, reason, execute.operation_id if execute else None)
        if seen.again_s is not None:
            # Its payer may still have the page before him: money that comes all the same is booked as late.
            submission = draft.facts.submission_numbered(seen.submission_no)
            draft.submission(replace(submission, state=SubmissionState.SUPERSEDED))
            draft.look_by(draft.now + timedelta(seconds=seen.again_s))

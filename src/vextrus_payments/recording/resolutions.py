"""Plan functions for what people decide: an operator's answer, and the withdrawal of what was never let out.

An answer is taken only about the very facts that were reviewed, and only once the gateway can no longer be at work on
what it is about. What it says is booked and flagged as an operator's word; when the gateway shows something else later,
pictures.py and refunds.py take it back.

Not made, of an execute, closes the payment: the safe one of both. Awaiting the payer again would let a second execute
out on one person's word; a customer who wants to pay still can, by a new payment.
"""

from dataclasses import replace
from datetime import datetime

from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.payment import Intent
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.holds import no_longer_voidable
from vextrus_payments.recording.receiving import announce_receipt, receipt_flags
from vextrus_payments.recording.refunds import is_of_another, refund_made
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.states import OPEN_STATES, claim_is_over

_RESOLVABLE = frozenset(
    {OperationKind.EXECUTE, OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND}
)
_DECLINED = {
    OperationKind.CAPTURE: EventKind.CAPTURE_DECLINED,
    OperationKind.VOID: EventKind.VOID_DECLINED,
    OperationKind.REFUND: EventKind.REFUND_DECLINED,
}
_BY_OPERATOR = frozenset({Flag.BY_OPERATOR})


def plan_resolve(
    facts: PaymentFacts,
    siblings: tuple[PaymentFacts, ...],
    wanted: ResolveRequest,
    settle_s: int,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan:
    """Write an operator's answer down, with what follows from it.

    Raises:
        StaleStateError: the payment is not the one that was reviewed any more.
        ConflictError: there is nothing to answer, or the gateway may still be at work.
        InvalidRequestError: the answer does not fit what it is about.
    """
    if wanted.verdict is ResolutionVerdict.TAKEN_BACK:
        raise InvalidRequestError(
            "Only an answer about a payout is taken back. Nothing was written.",
            field="verdict",
            rule="made, not_made or cleared",
        )
    if facts.payment.version != wanted.reviewed_version:
        raise StaleStateError(
            f"The payment was reviewed at version {wanted.reviewed_version} and is at {facts.payment.version} now."
        )
    draft = Draft(facts, now, accounts)
    resolution = Resolution(
        verdict=wanted.verdict,
        actor=wanted.actor,
        reason=wanted.reason,
        evidence=wanted.evidence,
        reviewed_version=wanted.reviewed_version,
        at=now,
        operation_id=wanted.operation_id,
        transaction_id=wanted.transaction_id,
        amount=wanted.amount,
    )
    draft.payment = replace(draft.payment, resolutions=(*draft.payment.resolutions, resolution))
    if wanted.operation_id is None:
        before: str = _clear(draft, settle_s)
        after: str = draft.payment.state
    else:
        operation = _answerable(facts, wanted.operation_id, settle_s, now)
        before, after = operation.state, OperationState.DECLINED
        if wanted.verdict is ResolutionVerdict.MADE:
            after = OperationState.SUCCEEDED
            _made(draft, siblings, operation, wanted)
        else:
            _not_made(draft, operation)
    draft.announce(
        EventKind.RESOLVED,
        before=before,
        after=after,
        operation_id=wanted.operation_id,
        amount=wanted.amount,
        transaction_id=wanted.transaction_id,
        resolution=resolution,
    )
    plan = draft.plan()
    assert plan is not None, "an answer is always written down"
    return plan


def _clear(draft: Draft, settle_s: int) -> str:
    if Flag.QUARANTINED not in draft.payment.flags:
        raise ConflictError("The payment is not quarantined.", next_step="There is nothing to clear.")
    for operation in draft.facts.operations:
        if operation.state is OperationState.SUBMITTING:
            _check_over(operation, settle_s, draft.now)
    draft.payment = replace(draft.payment, flags=draft.payment.flags - {Flag.QUARANTINED})
    return Flag.QUARANTINED.value


def _answerable(facts: PaymentFacts, operation_id: str, settle_s: int, now: datetime) -> Operation:
    operation = facts.operation(operation_id)
    if operation is None or operation.kind not in _RESOLVABLE:
        raise InvalidRequestError(
            "The payment has no such operation that could be answered.",
            field="operation_id",
            rule="an execute, capture, void or refund of this payment",
        )
    if operation.state not in OPEN_STATES:
        raise ConflictError(
            f"The operation is {operation.state.value}: there is nothing to answer.",
            code="not_open",
            next_step="Read its state.",
        )
    _check_over(operation, settle_s, now)
    return operation


def _check_over(operation: Operation, settle_s: int, now: datetime) -> None:
    if not claim_is_over(operation, settle_s, now):
        raise ConflictError(
            "The gateway may still be at work on it: an answer now could be wrong in a moment.",
            code="still_at_work",
            next_step=f"Wait until {settle_s} seconds after it could last be sent, look it up, then answer.",
        ).about(operation_id=operation.operation_id)


def _made(
    draft: Draft, siblings: tuple[PaymentFacts, ...], operation: Operation, wanted: ResolveRequest
) -> None:
    payment = draft.payment
    if operation.kind is OperationKind.VOID:
        if wanted.transaction_id is not None or wanted.amount is not None:
            raise InvalidRequestError(
                "A void moves no money.", field="transaction_id", rule="no transaction id and no amount"
            )
        draft.succeed(operation, None)
        draft.close(EventKind.CLOSED, Reason(code=ReasonCode.PAYMENT_CANCELLED), operation.operation_id)
        return
    if wanted.transaction_id is None or wanted.amount is None:
        raise InvalidRequestError(
            "What was made has a transaction id and an amount.",
            field="transaction_id",
            rule="with made: the gateway's transaction id, and amount",
        )
    if wanted.amount.currency != payment.amount.currency:
        raise InvalidRequestError(
            f"The payment is in {payment.amount.currency}.", field="amount", rule="the payment's currency"
        )
    if operation.kind is OperationKind.REFUND:
        snapshot = RefundSnapshot(
            state=RefundState.COMPLETED,
            transaction_id=wanted.transaction_id,
            original_transaction_id=operation.original_transaction_id or "",
            amount=wanted.amount,
            raw_state="operator",
        )
        _check_free(draft, ReceiptKind.REFUND, operation, wanted.transaction_id)
        refund_made(draft, operation, snapshot, _BY_OPERATOR)
    elif operation.kind is OperationKind.EXECUTE and payment.intent is Intent.AUTHORIZATION:
        _held(draft, siblings, operation, wanted.transaction_id)
    else:
        _paid(draft, siblings, operation, wanted)


def _held(
    draft: Draft, siblings: tuple[PaymentFacts, ...], operation: Operation, transaction_id: str
) -> None:
    before = draft.payment.state
    submission = draft.facts.submission_numbered(operation.submission_no)
    draft.submission(replace(submission, held_transaction_id=transaction_id))
    draft.succeed(operation, transaction_id)
    if before in (PaymentState.PAID, PaymentState.AUTHORIZED):
        return
    draft.flag(*receipt_flags(draft, siblings))
    draft.move(PaymentState.AUTHORIZED)
    draft.announce(
        EventKind.AUTHORIZED,
        before=before,
        after=PaymentState.AUTHORIZED,
        operation_id=operation.operation_id,
        amount=draft.payment.amount,
        transaction_id=transaction_id,
    )


def _paid(
    draft: Draft, siblings: tuple[PaymentFacts, ...], operation: Operation, wanted: ResolveRequest
) -> None:
    payment = draft.payment
    assert wanted.transaction_id is not None and wanted.amount is not None, "_made() checked it"
    before = payment.state
    booked = _check_free(draft, ReceiptKind.PAYMENT, operation, wanted.transaction_id)
    receipt = None
    if not booked:
        flags = receipt_flags(draft, siblings)
        draft.flag(*flags)
        receipt = Receipt(
            tenant=payment.tenant,
            gateway=payment.gateway,
            mode=payment.mode,
            kind=ReceiptKind.PAYMENT,
            transaction_id=wanted.transaction_id,
            amount=wanted.amount,
            recorded_at=draft.now,
            payment_id=payment.payment_id,
            submission_no=operation.submission_no,
            operation_id=operation.operation_id,
            merchant_reference=payment.merchant_reference,
            flags=flags | _BY_OPERATOR,
            mismatched=wanted.amount != payment.amount,
        )
        draft.receipt(receipt)
    if before is not PaymentState.PAID:
        draft.move(PaymentState.PAID)
    draft.succeed(operation, wanted.transaction_id)
    no_longer_voidable(draft)
    if receipt is not None and receipt.mismatched:
        draft.quarantine(
            operation_id=operation.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
        )
    if receipt is not None:
        announce_receipt(draft, before, receipt)


def _check_free(draft: Draft, kind: ReceiptKind, operation: Operation, transaction_id: str) -> bool:
    """Whether that receipt is booked already; refused where it is another operation's or was taken back."""
    if kind is ReceiptKind.REFUND and is_of_another(draft.facts, operation, transaction_id):
        # Booked as this one's, it could never be booked as the one's that it is.
        raise ConflictError(
            "The gateway gave that id to another refund of this payment.",
            code="receipt_elsewhere",
            next_step="Check the transaction id.",
        )
    same = [r for r in draft.facts.receipts if r.transaction_id == transaction_id]
    booked = next((r for r in same if r.kind is kind), None)
    if booked is None:
        return False
    theirs = booked.operation_id not in (None, operation.operation_id) and kind is ReceiptKind.REFUND
    if theirs or any(r.reverses is kind for r in same):
        raise ConflictError(
            "That transaction is booked to another operation, or was taken back before.",
            code="receipt_elsewhere",
            next_step="Check the transaction id.",
        )
    return True


def _not_made(draft: Draft, operation: Operation) -> None:
    reason = Reason(code=ReasonCode.UNKNOWN_ERROR)
    if operation.kind in _DECLINED:
        draft.refused(operation, reason, _DECLINED[operation.kind])
    else:
        draft.operation(operation, OperationState.DECLINED, reason=reason)
    if operation.state is OperationState.UNKNOWN:
        draft.resolved(operation, OperationState.DECLINED)
    current = operation.submission_no == draft.payment.submission_no
    waiting = draft.payment.state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER)
    if operation.kind is OperationKind.EXECUTE and current and waiting:
        draft.close(EventKind.CLOSED, reason, operation.operation_id)


def plan_withdraw(facts: PaymentFacts, operation_id: str, now: datetime) -> Plan | None:
    """Cancel what was reserved and never let out. None: it is cancelled already.

    Raises:
        ConflictError: it was let out, if only once and to no effect: nobody but the gateway can take it back.
    """
    operation = facts.operation(operation_id)
    assert operation is not None, "the caller found the payment by it"
    if operation.state is OperationState.CANCELLED:
        return None
    if operation.state is not OperationState.RESERVED or operation.fence:
        raise ConflictError(
            f"The {operation.kind.value} is {operation.state.value} and has been let out: it cannot be withdrawn.",
            code="let_out",
            next_step="See its status.",
        ).about(payment_id=operation.payment_id, operation_id=operation_id)
    draft = Draft(facts, now)
    draft.operation(operation, OperationState.CANCELLED, reason=Reason(code=ReasonCode.PAYMENT_CANCELLED))
    return draft.plan()

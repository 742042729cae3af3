"""Plan functions for what the gateway shows of refunds."""

from dataclasses import replace
from datetime import datetime

from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationState,
    PaymentFacts,
    Receipt,
    ReceiptKey,
    ReceiptKind,
)
from vextrus_payments.snapshots import Mismatch, RefundSnapshot, RefundState
from vextrus_payments.states import OPEN_STATES, captured, refunded, reserved_for_refunds


def plan_refund_seen(
    facts: PaymentFacts,
    operation_id: str,
    snapshot: RefundSnapshot,
    now: datetime,
    *,
    fence: int | None = None,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan | None:
    """The gateway shows the operation's refund."""
    operation = facts.operation(operation_id)
    if operation is None:
        return None
    draft = Draft(facts, now, accounts)
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is RefundState.COMPLETED
    if snapshot.state is RefundState.COMPLETED or (
        other_amount and snapshot.amount is not None and snapshot.amount.is_positive
    ):
        # Ours, but at another amount: it went back, so it is booked as it is, and a person has to look.
        _refunded(draft, operation, snapshot)
    elif snapshot.state is RefundState.PENDING and operation.state in (
        OperationState.SUBMITTING,
        OperationState.UNKNOWN,
    ):
        draft.operation(operation, OperationState.PENDING, transaction_id=snapshot.transaction_id)
    elif snapshot.state is RefundState.DECLINED and operation.state in OPEN_STATES:
        if fence is not None and operation.fence != fence:
            return None
        reason = Reason(code=ReasonCode.REFUND_NOT_ALLOWED, gateway_code=snapshot.raw_state)
        draft.operation(operation, OperationState.DECLINED, reason=reason)
        draft.announce(
            EventKind.REFUND_DECLINED,
            before=operation.state,
            after=OperationState.DECLINED,
            operation_id=operation_id,
            amount=operation.amount,
            reason=reason,
        )
    return draft.plan()


def _refunded(draft: Draft, operation: Operation, snapshot: RefundSnapshot) -> None:
    payment = draft.payment
    amount = operation.amount if snapshot.amount is None else snapshot.amount
    assert amount is not None, "a refund operation always has an amount"
    key = ReceiptKey(
        payment.tenant, payment.gateway, payment.mode, ReceiptKind.REFUND, snapshot.transaction_id
    )
    booked = next((r for r in draft.facts.receipts if r.key == key), None)
    if booked is not None and booked.operation_id != operation.operation_id:
        return  # that refund is another operation's: it says nothing about this one
    is_new = booked is None
    if is_new:
        # One operation asks for one refund: a second one under it went back without being asked for.
        is_second = any(r.operation_id == operation.operation_id for r in draft.facts.receipts)
        gone = refunded(draft.facts) + amount
        as_asked = not is_second and amount == operation.amount and gone <= captured(draft.facts)
        # A refund that was believed declined freed its amount, and others may have been promised it since: they
        # must not be sent any more.
        rest = tuple(o for o in draft.facts.operations if o.operation_id != operation.operation_id)
        promised = reserved_for_refunds(replace(draft.facts, operations=rest))
        if not as_asked or gone + promised > captured(draft.facts):
            draft.flag(Flag.QUARANTINED)
        draft.receipt(
            Receipt(
                tenant=payment.tenant,
                gateway=payment.gateway,
                mode=payment.mode,
                kind=ReceiptKind.REFUND,
                transaction_id=snapshot.transaction_id,
                amount=amount,
                recorded_at=draft.now,
                payment_id=payment.payment_id,
                submission_no=operation.submission_no,
                operation_id=operation.operation_id,
                merchant_reference=payment.merchant_reference,
                occurred_at=snapshot.occurred_at,
                original_transaction_id=snapshot.original_transaction_id,
                fee=snapshot.charge,
                mismatched=not as_asked,
            )
        )
    before = operation.state
    draft.succeed(operation, snapshot.transaction_id)
    if is_new:
        draft.announce(
            EventKind.REFUND_SUCCEEDED,
            before=before,
            after=OperationState.SUCCEEDED,
            operation_id=operation.operation_id,
            amount=amount,
            transaction_id=snapshot.transaction_id,
        )
        if Flag.QUARANTINED in draft.payment.flags and Flag.QUARANTINED not in draft.facts.payment.flags:
            draft.announce(
                EventKind.QUARANTINED,
                before=payment.state,
                after=payment.state,
                operation_id=operation.operation_id,
                amount=amount,
                transaction_id=snapshot.transaction_id,
            )

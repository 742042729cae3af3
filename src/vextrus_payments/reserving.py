"""Plan functions for intent: reserve an operation, claim the right to submit it, give the right back.

A store calls these inside its own transaction; the rules of money 1, 2, 6 and 14 live here and nowhere else.
"""

import hmac
import math
from dataclasses import replace
from datetime import datetime, timedelta

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.plans import (
    Busy,
    Claim,
    ClaimAnswer,
    ClaimTerms,
    Conflict,
    Plan,
    Refused,
    ReserveAnswer,
    Reserved,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
    Same,
    Settled,
    SiblingLive,
    Unresolved,
    siblings_decide,
)
from vextrus_payments.records import (
    Attempt,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    SubjectKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.states import (
    OPEN_STATES,
    SETTLED_STATES,
    check_operation_edge,
    claim_is_over,
    has_money,
    hold_operations,
    live_hold,
    may_have_money,
    payment_receipts,
    refundable,
    refundable_of,
)
from vextrus_payments.watching import watch_after

_SUBJECTS = {OperationKind.REFUND: SubjectKind.REFUND}


def plan_reserve(
    facts: ReserveFacts, wanted: ReservePayment | ReserveOperation, now: datetime
) -> tuple[Plan | None, ReserveAnswer]:
    """Decide a reservation. A plan comes only with Reserved; every other answer writes nothing."""
    if facts.existing is not None:
        known = facts.existing.operation(wanted.operation_id)
        if known is not None:
            if hmac.compare_digest(known.digest, wanted.digest):
                return None, Same(facts.existing, known)
            return None, Conflict(known)
    if isinstance(wanted, ReservePayment):
        return _reserve_payment(facts, wanted, now)
    if facts.target is None:
        return None, Refused("There is no such payment.", field="payment_id")
    return _reserve_operation(facts.target, wanted, now)


def _reserve_payment(
    facts: ReserveFacts, wanted: ReservePayment, now: datetime
) -> tuple[Plan | None, ReserveAnswer]:
    request = wanted.request
    if siblings_decide(OperationKind.INITIALIZE, allow_repeat=request.allow_repeat):
        live = live_sibling(facts.siblings, wanted.mode)
        if live is not None:
            return None, live
    payment = Payment(
        tenant=wanted.tenant,
        payment_id=wanted.payment_id,
        gateway=request.gateway,
        mode=wanted.mode,
        merchant_reference=request.merchant_reference,
        amount=request.amount,
        intent=request.intent,
        state=PaymentState.CREATED,
        created_at=now,
        updated_at=now,
        version=1,
        return_url=request.return_url,
        correlation_id=request.correlation_id,
        metadata=request.metadata,
        allow_repeat=request.allow_repeat,
    )
    submission = Submission(
        tenant=wanted.tenant,
        payment_id=wanted.payment_id,
        submission_no=1,
        gateway=request.gateway,
        mode=wanted.mode,
        gateway_order_id=wanted.order_ids.make(request.merchant_reference, facts.order_number + wanted.skip),
        state=SubmissionState.CREATED,
        created_at=now,
    )
    operation = Operation(
        tenant=wanted.tenant,
        operation_id=request.operation_id,
        kind=OperationKind.INITIALIZE,
        subject_kind=SubjectKind.PAYMENT,
        subject_id=wanted.payment_id,
        payment_id=wanted.payment_id,
        submission_no=1,
        digest=wanted.digest,
        state=OperationState.RESERVED,
        created_at=now,
        updated_at=now,
        amount=request.amount,
    )
    facts_after = PaymentFacts(payment, (submission,), (operation,))
    plan = Plan(
        payment=payment,
        expected_version=0,
        submissions=(submission,),
        operations=(operation,),
        watch_at=watch_after(facts_after, now),
    )
    return plan, Reserved(facts_after, operation)


def _reserve_operation(
    target: PaymentFacts, wanted: ReserveOperation, now: datetime
) -> tuple[Plan | None, ReserveAnswer]:
    payment = target.payment
    amount = wanted.amount
    if Flag.QUARANTINED in payment.flags:
        return None, Refused("The payment is quarantined: a person has to look at it first.")
    receipt = None
    refusal = _why_not_at_all(target, wanted.kind)
    if refusal is not None:
        return None, refusal
    if wanted.kind is OperationKind.REFUND:
        answer = _refund_terms(target, wanted.amount, wanted.original_transaction_id)
        if isinstance(answer, Refused):
            return None, answer
        receipt, amount = answer
    operation = Operation(
        tenant=wanted.tenant,
        operation_id=wanted.operation_id,
        kind=wanted.kind,
        subject_kind=_SUBJECTS.get(wanted.kind, SubjectKind.PAYMENT),
        subject_id=wanted.operation_id if wanted.kind in _SUBJECTS else payment.payment_id,
        payment_id=payment.payment_id,
        submission_no=wanted.submission_no or payment.submission_no,
        digest=wanted.digest,
        state=OperationState.RESERVED,
        created_at=now,
        updated_at=now,
        amount=amount,
        original_transaction_id=receipt.transaction_id if receipt else None,
        note=wanted.note,
        sku=wanted.sku,
    )
    plan, facts = with_operation(target, operation, now)
    return plan, Reserved(facts, operation)


def _why_not_at_all(target: PaymentFacts, kind: OperationKind) -> Refused | None:
    """What the payment's state forbids, whoever asks."""
    state = target.payment.state
    if kind is OperationKind.EXECUTE and state is not PaymentState.AWAITING_PAYER:
        return Refused(f"The payment is {state.value}: there is nothing to execute.")
    if kind in (OperationKind.CAPTURE, OperationKind.VOID):
        if state is not PaymentState.AUTHORIZED:
            return Refused(
                f"The payment is {state.value}: no money is held that could be captured or voided."
            )
        live = live_hold(target)
        if live is not None:
            return Refused(f"A {live.kind.value} of this payment is under way; only one of both may be.")
    return None


def _refund_terms(
    target: PaymentFacts, wanted: Money | None, transaction_id: str | None
) -> tuple[Receipt, Money] | Refused:
    """The receipt a refund gives back from, and how much: gateways refund one transaction at a time."""
    receipts = tuple(r for r in payment_receipts(target) if transaction_id in (None, r.transaction_id))
    if not receipts:
        return Refused("The payment has no confirmed receipt, so there is nothing to refund.")
    left = refundable(target)
    if wanted is not None and wanted.currency != left.currency:
        return Refused(f"The payment is in {left.currency}.", field="currency")
    rest = [(receipt, min(left, refundable_of(target, receipt))) for receipt in receipts]
    if wanted is None:
        whole = next(((receipt, amount) for receipt, amount in rest if amount.is_positive), None)
        return whole or Refused(f"Of the payment, {left} is still refundable.", field="amount")
    fitting = next((receipt for receipt, amount in rest if wanted <= amount), None)
    if not wanted.is_positive or fitting is None:
        most = max(amount for _, amount in rest)
        return Refused(
            f"The refund of {wanted} is more than the {most} that can still be given back at once "
            "(captured, less what was refunded, less what other refunds have reserved; one receipt at a time).",
            field="amount",
        )
    return fitting, wanted


def live_sibling(siblings: tuple[PaymentFacts, ...], mode: Mode) -> SiblingLive | None:
    """The sibling that stands in the way of another charge: one with money first, else one that may have some."""
    siblings = tuple(s for s in siblings if s.payment.mode is mode)  # test money stands in nobody's way
    for sibling in siblings:
        if has_money(sibling):
            return SiblingLive(sibling.payment.payment_id, paid=True)
    for sibling in siblings:
        if may_have_money(sibling):
            return SiblingLive(sibling.payment.payment_id, paid=False)
    return None


def plan_claim(
    facts: PaymentFacts,
    siblings: tuple[PaymentFacts, ...],
    operation_id: str,
    terms: ClaimTerms,
    now: datetime,
) -> tuple[Plan | None, ClaimAnswer]:
    """Decide a claim. `siblings` are the other payments of the same (tenant, merchant reference).

    A plan comes only with Claim. A submitting operation whose claim is over is Unresolved: somebody has to look
    it up (or, where the operation is disposable, replace it) before anyone may submit again.
    """
    operation = facts.operation(operation_id)
    if operation is None:
        return None, Refused("There is no such operation.", field="operation_id")
    if operation.state in SETTLED_STATES:
        return None, Settled(facts, operation)
    if operation.state is OperationState.SUBMITTING and not claim_is_over(operation, terms.settle_s, now):
        return None, Busy(_seconds_left(operation, terms, now), facts)
    if operation.state in OPEN_STATES:
        return None, Unresolved(facts, operation)
    refusal = _why_not_now(facts, siblings, operation, terms, now)
    if refusal is not None:
        return None, refusal
    check_operation_edge(operation.state, OperationState.SUBMITTING)
    send_by = now + timedelta(seconds=terms.send_window_s)
    claimed = replace(
        operation,
        state=OperationState.SUBMITTING,
        fence=operation.fence + 1,
        send_by=send_by,
        updated_at=now,
        # Evidence belongs to one attempt: what an earlier one saw before it was proven without effect is old.
        evidence=(),
    )
    attempt = Attempt(
        tenant=operation.tenant,
        operation_id=operation_id,
        payment_id=operation.payment_id,
        fence=claimed.fence,
        started_at=now,
        send_by=send_by,
        amount=operation.amount,
    )
    plan, after = with_operation(facts, claimed, now)
    plan = replace(plan, attempts=(attempt,))
    return plan, Claim(operation.tenant, operation_id, operation.payment_id, claimed.fence, send_by, after)


def _why_not_now(
    facts: PaymentFacts,
    siblings: tuple[PaymentFacts, ...],
    operation: Operation,
    terms: ClaimTerms,
    now: datetime,
) -> ClaimAnswer | None:
    """What forbids submitting a reserved operation at this moment."""
    payment = facts.payment
    if Flag.QUARANTINED in payment.flags:
        return Refused("The payment is quarantined: a person has to look at it first.")
    if operation.kind is OperationKind.INITIALIZE:
        if payment.state is not PaymentState.CREATED:
            # Its answer got lost, and a webhook told meanwhile how that session ended: no other page becomes payable.
            return Refused("The payment has been settled by a session whose answer got lost.")
        if siblings_decide(operation.kind, allow_repeat=payment.allow_repeat):
            return live_sibling(siblings, payment.mode)
    if operation.kind is OperationKind.EXECUTE:
        if (
            payment.state is not PaymentState.AWAITING_PAYER
            or operation.submission_no != payment.submission_no
        ):
            return Settled(facts, operation)
        if siblings_decide(operation.kind, allow_repeat=payment.allow_repeat):
            return live_sibling(siblings, payment.mode)
    if operation.kind in (OperationKind.CAPTURE, OperationKind.VOID):
        if payment.state is not PaymentState.AUTHORIZED:
            return Settled(facts, operation)
        for other in hold_operations(facts):
            if other is not operation and other.state in OPEN_STATES:
                return Busy(_seconds_left(other, terms, now), facts)
        if siblings_decide(operation.kind, allow_repeat=payment.allow_repeat):
            return live_sibling(siblings, payment.mode)
    if operation.kind is OperationKind.REFUND and terms.one_refund_at_a_time:
        for other in facts.operations:
            if other.kind is OperationKind.REFUND and other.state in OPEN_STATES:
                return Busy(_seconds_left(other, terms, now), facts)
    return None


def _seconds_left(operation: Operation, terms: ClaimTerms, now: datetime) -> int:
    if operation.send_by is None:
        return terms.settle_s
    over_at = operation.send_by + timedelta(seconds=terms.settle_s)
    return max(1, math.ceil((over_at - now).total_seconds()))


def plan_release(facts: PaymentFacts, operation_id: str, fence: int, now: datetime) -> Plan | None:
    """Give a claim back, proven without effect: submitting -> reserved. None when the fence is not the latest."""
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    plan, _ = with_operation(facts, replace(operation, state=OperationState.RESERVED, updated_at=now), now)
    return plan


def with_operation(facts: PaymentFacts, operation: Operation, now: datetime) -> tuple[Plan, PaymentFacts]:
    """The plan that writes one operation, and the facts after it."""
    payment = replace(facts.payment, version=facts.payment.version + 1, updated_at=now)
    others = tuple(o for o in facts.operations if o.operation_id != operation.operation_id)
    after = replace(facts, payment=payment, operations=(*others, operation))
    plan = Plan(
        payment=payment,
        expected_version=facts.payment.version,
        operations=(operation,),
        watch_at=watch_after(after, now),
    )
    return plan, after

"""Plan functions for sessions: one reached us, its answer got lost, its time is over."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments import halfway
from vextrus_payments.events import EventKind
from vextrus_payments.payment import PaymentSession
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Submission,
    SubmissionState,
)
from vextrus_payments.states import OPEN_STATES

#: Where a lost answer leaves an operation; a quarantine meanwhile calls it unknown.
_UNANSWERED: Final = frozenset({OperationState.SUBMITTING, OperationState.UNKNOWN})


def plan_session_opened(
    facts: PaymentFacts,
    operation_id: str,
    session: PaymentSession,
    now: datetime,
    *,
    first_look_s: int | None = None,
) -> Plan | None:
    """A session reached us. If its submission was superseded meanwhile, it is only watched.

    `first_look_s`: look at it so soon, while its payer may still be at it; None: not before it ends.
    """
    draft = Draft(facts, now)
    if first_look_s is not None:
        draft.look_by(now + timedelta(seconds=first_look_s))
    submission = facts.submission_numbered(session.submission_no)
    is_current = session.submission_no == facts.payment.submission_no
    state = SubmissionState.OPEN if is_current else submission.state
    draft.submission(
        replace(
            submission,
            state=state,
            gateway_reference=session.gateway_reference,
            checkout_url=session.checkout_url,
            expires_at=session.expires_at,
            agreement_id=session.agreement_id,
        )
    )
    operation = facts.operation(operation_id)
    if is_current and operation is not None and operation.state is not OperationState.SUCCEEDED:
        draft.operation(operation, OperationState.SUCCEEDED)
        if facts.payment.state is PaymentState.CREATED:
            draft.move(PaymentState.AWAITING_PAYER)
    return draft.plan()


def plan_initialize_lost(
    facts: PaymentFacts, operation_id: str, fence: int, gateway_order_id: str, now: datetime
) -> Plan | None:
    """The answer of a disposable initialize is lost: a fresh submission; the old one is superseded and watched.

    Where it got as far as a reference of the gateway's, that is what it is watched by.
    """
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state not in _UNANSWERED:
        return None
    draft = Draft(facts, now)
    if facts.payment.state is not PaymentState.CREATED:
        # News of the lost session came first, and settled the payment: nobody needs another one.
        draft.operation(operation, OperationState.RESERVED)
        return draft.plan()
    old = facts.submission
    number = max(s.submission_no for s in facts.submissions) + 1
    draft.submission(replace(_known(old, operation), state=SubmissionState.SUPERSEDED))
    draft.submission(
        Submission(
            tenant=old.tenant,
            payment_id=old.payment_id,
            submission_no=number,
            gateway=old.gateway,
            mode=old.mode,
            gateway_order_id=gateway_order_id,
            state=SubmissionState.CREATED,
            created_at=now,
        )
    )
    draft.payment = replace(draft.payment, submission_no=number)
    draft.operation(operation, OperationState.RESERVED, submission_no=number)
    return draft.plan()


def plan_initialize_abandoned(facts: PaymentFacts, now: datetime) -> Plan | None:
    """Whoever asked for a session died over it. Nothing moves by it, so nothing is out: it may be withdrawn.

    The reference it got as far as is looked at all the same before its time is over.
    """
    draft = Draft(facts, now)
    for operation in facts.operations:
        if operation.kind is OperationKind.INITIALIZE and operation.state is OperationState.SUBMITTING:
            submission = facts.submission_numbered(operation.submission_no)
            known = _known(submission, operation)
            if known != submission:
                draft.submission(known)
            draft.operation(operation, OperationState.RESERVED)
    return draft.plan()


def _known(submission: Submission, operation: Operation) -> Submission:
    """The submission, with the gateway's reference where a checkpoint of its opening has one."""
    if submission.gateway_reference is not None:
        return submission
    evidence = halfway.begun(operation.evidence, submission.gateway_order_id)
    if evidence is None:
        return submission
    return replace(submission, gateway_reference=halfway.reference_in(evidence, submission.gateway_order_id))


def plan_session_over(facts: PaymentFacts, over_at: datetime, now: datetime, *, lapse: bool) -> Plan | None:
    """The session's time is over, and nothing was let out: the right to execute is withdrawn by compare-and-set.

    `lapse`: the payer's own click could have moved money, and the last look-up showed that it did not. What comes later
    all the same is booked and marked late.
    """
    payment = facts.payment
    if payment.state not in (PaymentState.CREATED, PaymentState.AWAITING_PAYER) or now < over_at:
        return None
    if Flag.QUARANTINED in payment.flags or any(o.state in OPEN_STATES for o in facts.operations):
        return None
    draft = Draft(facts, now)
    reason = Reason(code=ReasonCode.PAYMENT_EXPIRED)
    for operation in facts.operations:
        if operation.state is OperationState.RESERVED:
            draft.operation(operation, OperationState.CANCELLED, reason=reason)
    if not lapse or payment.state is PaymentState.CREATED:
        draft.close(EventKind.CLOSED, reason, None)
        return draft.plan()
    draft.move(PaymentState.LAPSED, closed_reason=reason)
    draft.submission(replace(facts.submission, state=SubmissionState.CLOSED))
    draft.announce(
        EventKind.LAPSED,
        before=payment.state,
        after=PaymentState.LAPSED,
        amount=payment.amount,
        reason=reason,
    )
    return draft.plan()

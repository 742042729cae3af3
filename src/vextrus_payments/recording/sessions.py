"""Plan functions for sessions: one reached us, or its answer got lost."""

from dataclasses import replace
from datetime import datetime

from vextrus_payments.payment import PaymentSession
from vextrus_payments.plans import Plan
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import OperationState, PaymentFacts, PaymentState, Submission, SubmissionState


def plan_session_opened(
    facts: PaymentFacts, operation_id: str, session: PaymentSession, now: datetime
) -> Plan | None:
    """A session reached us. If its submission was superseded meanwhile, it is only watched."""
    draft = Draft(facts, now)
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
    """The answer of a disposable initialize is lost: a fresh submission; the old one is superseded and watched."""
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    draft = Draft(facts, now)
    old = facts.submission
    number = max(s.submission_no for s in facts.submissions) + 1
    draft.submission(replace(old, state=SubmissionState.SUPERSEDED))
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

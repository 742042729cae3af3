"""Plan functions for what came of a submission when it was not a success: no answer, a no, proof that nothing left."""

from datetime import datetime
from typing import Final

from vextrus_payments.events import EventKind
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import Flag, OperationKind, OperationState, PaymentFacts

#: Operations whose refusal leaves the payment as it is, and how it is announced.
_CLOSING_NOTHING: Final = {
    OperationKind.REFUND: EventKind.REFUND_DECLINED,
    OperationKind.CAPTURE: EventKind.CAPTURE_DECLINED,
    OperationKind.VOID: EventKind.VOID_DECLINED,
}


def plan_lost(
    facts: PaymentFacts, operation_id: str, fence: int, now: datetime, *, by_holder: bool = False
) -> Plan | None:
    """What became of a submitted operation is not known: submitting -> unknown.

    By the claim's holder it counts even where an absence was believed meanwhile (a wall clock set forward), and the
    gateway's last moment is reckoned from now.
    """
    operation = facts.operation(operation_id)
    lost = {OperationState.SUBMITTING, OperationState.RESERVED} if by_holder else {OperationState.SUBMITTING}
    if operation is None or operation.fence != fence or operation.state not in lost:
        return None
    draft = Draft(facts, now)
    send_by = operation.send_by
    if by_holder and send_by is not None:
        send_by = max(send_by, now)
    draft.operation(operation, OperationState.UNKNOWN, send_by=send_by)
    draft.announce(
        EventKind.UNKNOWN_OPENED,
        before=operation.state,
        after=OperationState.UNKNOWN,
        operation_id=operation_id,
        amount=operation.amount or facts.payment.amount,
    )
    return draft.plan()


def plan_refused(
    facts: PaymentFacts, operation_id: str, fence: int, reason: Reason, *, final: bool, now: datetime
) -> Plan | None:
    """The gateway said no. Final: declined for good; else the operation may be submitted again.

    Counts only under the latest fence: an old attempt's no must not open the way for another send while a newer
    one is on the wire, nor close a payment that the newer one may be paying.
    """
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    draft = Draft(facts, now)
    if not final:
        draft.operation(operation, OperationState.RESERVED, reason=reason)
        return draft.plan()
    if operation.kind in _CLOSING_NOTHING:
        draft.refused(operation, reason, _CLOSING_NOTHING[operation.kind])
    else:
        draft.operation(operation, OperationState.DECLINED, reason=reason)
        draft.close(EventKind.DECLINED, reason, operation_id)
    return draft.plan()


def plan_unsent(
    facts: PaymentFacts, operation_id: str, fence: int, now: datetime, *, by_holder: bool = False
) -> Plan | None:
    """Nothing left, so the operation may be submitted again: no checkpoint was ever kept, or the claim's holder
    has the proof that its request did not leave."""
    operation = facts.operation(operation_id)
    if (
        operation is None
        or operation.fence != fence
        or (operation.evidence and not by_holder)
        or operation.state not in (OperationState.SUBMITTING, OperationState.UNKNOWN)
    ):
        return None
    draft = Draft(facts, now)
    draft.operation(operation, OperationState.RESERVED)
    if operation.state is OperationState.UNKNOWN:
        draft.resolved(operation, OperationState.RESERVED)
    return draft.plan()


def plan_quarantine(facts: PaymentFacts, now: datetime, transaction_id: str | None) -> Plan | None:
    """A fact that belongs to another payment already was reported for this one: a person has to look."""
    draft = Draft(facts, now)
    if Flag.QUARANTINED in facts.payment.flags:
        return None
    for operation in facts.operations:
        if operation.state is OperationState.SUBMITTING:
            draft.operation(operation, OperationState.UNKNOWN)
    draft.quarantine(transaction_id=transaction_id)
    return draft.plan()

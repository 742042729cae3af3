"""What a picture of the payment says of its captures and voids. One of both lives at a time; either ends the hold."""

from vextrus_payments.events import EventKind
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.seen import Seen
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    ResolutionVerdict,
)
from vextrus_payments.states import OPEN_STATES, answered_by_operator, hold_operations

_ALIVE = OPEN_STATES | {OperationState.RESERVED, OperationState.SUCCEEDED}


def capture_that_made(facts: PaymentFacts) -> Operation | None:
    """The capture that took the money which the gateway shows: the live one, else the last that was called refused.

    None: the hold was captured elsewhere, or there was none.
    """
    captures = [o for o in hold_operations(facts) if o.kind is OperationKind.CAPTURE]
    live = next((o for o in captures if o.state in _ALIVE), None)
    return live or next((o for o in reversed(captures) if o.state is OperationState.DECLINED), None)


def no_longer_voidable(draft: Draft) -> None:
    """The money was taken: what was to let it go has not done so, and must not be sent any more."""
    reason = Reason(code=ReasonCode.INVALID_PAYMENT)
    for operation in hold_operations(draft.facts):
        if operation.kind is OperationKind.VOID:
            _end(draft, operation, reason)


def still_held(draft: Draft, seen: Seen) -> None:
    """The money is still held: asked after the last moment, neither capture nor void was done."""
    for operation in hold_operations(draft.facts):
        if not seen.proves_absence(operation):
            continue
        draft.operation(operation, OperationState.RESERVED)
        if operation.state is OperationState.UNKNOWN:
            draft.resolved(operation, OperationState.RESERVED)


def released(draft: Draft, seen: Seen, reason: Reason) -> None:
    """The hold is over without money. While a capture may still be at work, nothing is concluded from that."""
    let_go = reason.code is ReasonCode.PAYMENT_CANCELLED
    holds = hold_operations(draft.facts)
    for operation in holds:
        done = operation.kind is OperationKind.VOID and let_go
        if operation.state in OPEN_STATES and not done and not seen.after_last_moment(operation):
            return
    by = None
    for operation in holds:
        wrongly_denied = (
            answered_by_operator(draft.facts, operation.operation_id) is ResolutionVerdict.NOT_MADE
        )
        could = operation.state in _ALIVE or wrongly_denied
        if operation.kind is OperationKind.VOID and let_go and could:
            draft.succeed(operation, seen.snapshot.transaction_id)
            by = operation.operation_id
        else:
            _end(draft, operation, reason)
    draft.close(EventKind.CLOSED, reason, by)


def _end(draft: Draft, operation: Operation, reason: Reason) -> None:
    """The hold ended, but not by this operation."""
    if operation.state in OPEN_STATES:
        draft.operation(operation, OperationState.DECLINED, reason=reason)
        if operation.state is OperationState.UNKNOWN:
            draft.resolved(operation, OperationState.DECLINED)
    elif operation.state is OperationState.RESERVED:
        draft.operation(operation, OperationState.CANCELLED, reason=reason)

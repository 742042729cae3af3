"""The public outcome of a payout or transfer, from its record alone."""

from typing import Final

from vextrus_payments.outcomes import (
    Declined,
    PayoutOutcome,
    Pending,
    Review,
    Sent,
    TransferOutcome,
    Transferred,
    Unknown,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import Flag, OperationState, Payout, Receipt
from vextrus_payments.states import OPEN_STATES

_O = OperationState
_NOT_AS_ASKED: Final = "Money moved, but not as it was asked; a person has to look."
_CALLED_NOT_MADE: Final = (
    "It was called not made, and left all the same: find out whether somebody paid again meanwhile."
)
_CONTRADICTED: Final = (
    "The gateway tells otherwise of it than it is booked: compare the entries with its statement."
)


def payout_outcome_of(payout: Payout) -> PayoutOutcome:
    """The public outcome of a payout, from its record alone."""
    receipt = _plainly_made(payout)
    if receipt is not None:
        return Sent(
            payout_id=payout.payout_id,
            operation_id=payout.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
            fee=receipt.fee,
            sent_at=receipt.occurred_at,
        )
    return _other_outcome(payout)


def transfer_outcome_of(payout: Payout) -> TransferOutcome:
    """The public outcome of a transfer, from its record alone."""
    receipt = _plainly_made(payout)
    if receipt is not None:
        return Transferred(
            payout_id=payout.payout_id,
            operation_id=payout.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
            made_at=receipt.occurred_at,
        )
    return _other_outcome(payout)


def _other_outcome(payout: Payout) -> Pending | Declined | Unknown | Review:
    payout_id, operation_id, state = payout.payout_id, payout.operation_id, payout.state
    if payout.in_review or state is _O.SUCCEEDED:
        odd = next((r for r in payout.standing if r.mismatched), None)
        is_late = odd is not None and Flag.LATE in odd.flags
        what = _CALLED_NOT_MADE if is_late else _NOT_AS_ASKED
        return Review(
            payment_id=payout_id,
            what=_CONTRADICTED if payout.contradicted else what,
            amount=None if odd is None else odd.amount,
            transaction_id=None if odd is None else odd.transaction_id,
        )
    if state in (_O.DECLINED, _O.CANCELLED):
        code = ReasonCode.PAYMENT_CANCELLED if state is _O.CANCELLED else ReasonCode.UNKNOWN_ERROR
        reason = payout.operation.reason or Reason(code=code)
        return Declined(payment_id=payout_id, operation_id=operation_id, reason=reason)
    if state is _O.UNKNOWN:
        since = payout.operation.updated_at
        return Unknown(payment_id=payout_id, operation_id=operation_id, since=since)
    return Pending(payment_id=payout_id, operation_id=operation_id, sent=state in OPEN_STATES)


def _plainly_made(payout: Payout) -> Receipt | None:
    """The payout's own receipt, once there is nothing to look into: as it was asked, or as a person has found it."""
    if payout.state is not _O.SUCCEEDED or payout.in_review:
        return None
    return min(payout.standing, key=lambda receipt: Flag.DUPLICATE in receipt.flags, default=None)

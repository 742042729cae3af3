"""Seen: one picture that the gateway showed, with what is needed to weigh it."""

from dataclasses import dataclass
from datetime import datetime

from vextrus_payments.records import Operation, OperationState
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.states import claim_is_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look-up's or an execute's answer, with what is needed to weigh it."""

    submission_no: int
    snapshot: PaymentSnapshot
    asked_at: datetime
    """When the question left: an absence counts only if asked after the gateway's last possible moment."""
    settle_s: int
    absence_is_proof: bool
    again_s: int | None = None
    """Where the payer's own click moves the money: how soon to look again at a page that was called over. None: what
    is over is over."""
    pays_again: bool = False
    """Where a page that was paid can be paid once more: see Capabilities."""
    restored: bool = False
    """It was asked over records that come from a backup."""
    fence: int | None = None
    """Of the claim under which it came; None for a look-up."""

    def after_last_moment(self, operation: Operation) -> bool:
        """True when the question left after the gateway can have been at work on the operation's last claim."""
        return claim_is_over(operation, self.settle_s, self.asked_at)

    def proves_absence(self, operation: Operation) -> bool:
        """True when not seeing what the operation was to do proves that it was not done."""
        unanswered = (OperationState.SUBMITTING, OperationState.UNKNOWN)
        return operation.state in unanswered and self.absence_is_proof and self.after_last_moment(operation)

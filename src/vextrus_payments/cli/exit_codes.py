"""What `vextrus-pay`'s exit codes mean: the one table, for outcomes and for errors.

====  ====================================================================
0     paid, authorized or done
1     declined; or books differ (the demo's, the ledger's, a statement's), or doctor found a fault
2     wrong usage or configuration: nothing was sent
3     unknown, pending or under review, or the store failed: look again
4     nothing was sent, or our own records forbid it
130   interrupted
====  ====================================================================
"""

from enum import IntEnum
from typing import TYPE_CHECKING

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    ConfigurationError,
    ConflictError,
    Effect,
    GatewayError,
    InvalidRequestError,
    PaymentsError,
)

if TYPE_CHECKING:
    from vextrus_payments.outcomes import Outcome, RefundOutcome


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    DECLINED = 1
    USAGE = 2
    OPEN = 3
    NOT_SENT = 4
    INTERRUPTED = 130


def of_outcome(outcome: "Outcome | RefundOutcome", *, looked: bool = False) -> Exit:
    """The code of an outcome. `looked`: the command only asked, so that a pending payment is plainly open."""
    # Here, so that `--help` does not pay for the models behind the outcomes.
    from vextrus_payments.outcomes import Authorized, Declined, Paid, Pending, Refunded

    match outcome:
        case Paid() | Authorized() | Refunded():
            return Exit.DONE
        case Declined():
            return Exit.DECLINED
        case Pending(sent=False) if not looked:
            return Exit.NOT_SENT
        case _:
            return Exit.OPEN


def of_error(error: PaymentsError) -> Exit:
    """The code of an error: settings and input first, then whether anything can have happened."""
    if isinstance(error, ConfigurationError | InvalidRequestError | AuthenticationRejectedError):
        return Exit.USAGE
    if isinstance(error, ConflictError):
        return Exit.NOT_SENT
    if isinstance(error, GatewayError):
        by_effect = {Effect.NONE: Exit.NOT_SENT, Effect.REFUSED: Exit.DECLINED, Effect.UNKNOWN: Exit.OPEN}
        return by_effect[error.effect]
    return Exit.OPEN

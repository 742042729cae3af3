"""What `vextrus-pay`'s exit codes mean: the one table, for outcomes and for errors."""

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

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
    from vextrus_payments.outcomes import Outcome, PayoutOutcome, RefundOutcome, TransferOutcome


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    DECLINED = 1
    USAGE = 2
    OPEN = 3
    NOT_SENT = 4
    INTERRUPTED = 130


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.DONE: "paid, authorized or done",
    Exit.DECLINED: "declined; or books differ (the demo's, the ledger's, a statement's); or a check found a fault "
    "(`doctor`, manners, UAT)",
    Exit.USAGE: "wrong usage or configuration (refused credentials included): nothing was sent that could move money",
    Exit.OPEN: "unknown, pending or under review, or the store failed: look again",
    Exit.NOT_SENT: "nothing was sent, or our own records forbid it",
    Exit.INTERRUPTED: "interrupted",
}
"""For the help page; docs/cli.md says the same."""


def of_outcome(
    outcome: "Outcome | RefundOutcome | PayoutOutcome | TransferOutcome", *, looked: bool = False
) -> Exit:
    """The code of an outcome. `looked`: the command only asked, so that a pending payment is plainly open."""
    # Here, so that `--help` does not pay for the models behind the outcomes.
    from vextrus_payments.outcomes import Authorized, Declined, Paid, Pending, Refunded, Sent, Transferred

    match outcome:
        case Paid() | Authorized() | Refunded() | Sent() | Transferred():
            return Exit.DONE
        case Declined():
            return Exit.DECLINED
        case Pending(sent=False) if not looked:
            return Exit.NOT_SENT
        case _:
            return Exit.OPEN


#: An agreement was ended, and what its payer consented to beside it holds, or may hold.
_HALF_ENDED: Final = frozenset({"beside_holds", "beside_unknown"})


def of_error(error: PaymentsError) -> Exit:
    """The code of an error: settings and input first, then whether anything can have happened."""
    if isinstance(error, ConfigurationError | InvalidRequestError | AuthenticationRejectedError):
        return Exit.USAGE
    if isinstance(error, ConflictError):
        return Exit.OPEN if error.code in _HALF_ENDED else Exit.NOT_SENT
    if isinstance(error, GatewayError):
        by_effect = {Effect.NONE: Exit.NOT_SENT, Effect.REFUSED: Exit.DECLINED, Effect.UNKNOWN: Exit.OPEN}
        return by_effect[error.effect]
    return Exit.OPEN

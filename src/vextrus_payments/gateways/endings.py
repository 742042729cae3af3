"""What a picture of a payment says of its end; and where the payer's own click moves the money, what execute makes of
it: there is nothing to send then, only to look."""

from typing import Final

from vextrus_payments.errors import DeclinedError, Effect, OutcomeUnknownError
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

MADE: Final = frozenset({SnapshotState.PAID, SnapshotState.AUTHORIZED, SnapshotState.REVIEW})
"""Money moved or is held."""
OVER: Final = {
    SnapshotState.CANCELLED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.VOIDED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.EXPIRED: ReasonCode.PAYMENT_EXPIRED,
    SnapshotState.DECLINED: ReasonCode.INVALID_PAYMENT,
}
"""Ended without money, and what to tell the payer."""
OPEN: Final = frozenset({SnapshotState.INITIATED, SnapshotState.APPROVED})
"""The payer, or the gateway, is not done."""


def payers_click(
    seen: PaymentSnapshot, *, whose: str, step: str, resuming: bool, no_code: str | None = None
) -> PaymentSnapshot:
    """What the payer's own click has done, by a look-up's picture.

    Args:
        whose: the gateway's name, as people are told it.
        resuming: an earlier attempt's end is unknown: then only a success settles anything.
        no_code: the error's code where the gateway shows no word of its own.

    Returns:
        PAID, or REVIEW where money moved otherwise than asked.

    Raises:
        DeclinedError: he is not done yet (`final` False), or it is over (`final` True).
        OutcomeUnknownError: a state that nobody documented, or an earlier attempt that is not seen as made.
    """
    if seen.state in MADE:
        return seen
    shown = seen.raw_state or "nothing"
    if resuming or (seen.state not in OPEN and seen.state not in OVER):
        raise OutcomeUnknownError(
            f"{whose} shows the payment as {shown}, which settles nothing.",
            code="not_settled",
            effect=Effect.UNKNOWN,
            step=step,
            next_step="Look it up again; do not open another payment for the same goods.",
        )
    over = OVER.get(seen.state)
    raise DeclinedError(
        f"{whose} shows the payment as {shown}.",
        reason=Reason(code=over or ReasonCode.PAYER_NOT_FINISHED, gateway_code=seen.raw_state),
        final=over is not None,
        code=seen.raw_state or no_code,
        effect=Effect.REFUSED if over is not None else Effect.NONE,
        step=step,
        next_step="Show the reason to the payer."
        if over is not None
        else "Wait for the payer; look it up again.",
    )

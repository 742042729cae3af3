"""The inbox worker's limits."""

from dataclasses import dataclass, fields
from typing import Final

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.inbox import KEEP_DAYS, PARK_HOURS

#: The most rows a store leases at once.
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """The inbox's own limits; times in seconds.

    Raises:
        ConfigurationError: a limit is none, or a lease could end before what is done under it.
    """

    at_once: int = 128
    """How many rows are applied side by side."""
    at_once_per_gateway: int = 96
    """Of one tenant's gateway."""
    batch: int = 256
    """How many rows are looked through at once for news of other gateways, while one gateway's share is full."""
    lease_s: int = 120
    """How long a row belongs to the worker that took it: well beyond a look-up. What a dead worker held is taken up
    after this."""
    poll_s: float = 1.0
    """How often the store is asked for rows when nothing has told of any."""
    longest_pause_s: int = 300
    """Pauses double with each try of a row, up to this. Of what is parked, too."""
    patience_s: int = 1_800
    """So long a gateway may take to show what a signed event tells of; then its denial counts."""
    alarm_s: int = 3_600
    """News of money that cannot be worked off for so long is announced (webhook.stuck), once, and still tried."""
    park_s: int = PARK_HOURS * 3_600
    """So long news of what is not known here waits for it."""
    keep_s: int = KEEP_DAYS * 86_400
    """So long what is over is kept, to know its repeats by."""
    prune_s: float = 3_600.0
    """How often what is too old is deleted."""

    def __post_init__(self) -> None:
        wrong = [field.name for field in fields(self) if not _is_limit(getattr(self, field.name))]
        wrong += [name for name in ("at_once", "batch") if name not in wrong and getattr(self, name) > _MOST]
        if not wrong and self.at_once_per_gateway > self.at_once:
            wrong.append("at_once_per_gateway")
        if not wrong and self.keep_s < self.park_s:
            wrong.append("keep_s")
        if wrong:
            raise ConfigurationError(
                f"Limits of the inbox do not fit: {', '.join(wrong)}.",
                code="inbox_limits",
                next_step="Times and counts are above zero, at_once and batch at most 1,000, a gateway's share no more"
                " than at_once, and what is over is kept for longer than what is early may wait.",
            )


def _is_limit(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < float("inf")  # type: ignore[operator]

"""The outbox's limits, and the two decisions made from them: when to offer a row again, and when to set it aside."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.ids import Entropy
from vextrus_payments.records import OutboxRow

#: However long the other side asks for.
_LONGEST_WISH_S: Final = 3_600
#: A row that waited behind another one for days is not given up at its first own failure.
_FEWEST_TRIES: Final = 10
#: The most rows a round takes and marks; the store port's limit is 1,000.
MOST_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLimits:
    """The outbox's own limits; times in seconds.

    Raises:
        ConfigurationError: a limit is none, or the lease does not outlive the callback.
    """

    at_once: int = 16
    """How many subjects of one kind are delivered side by side, 1 to 500."""
    callback_timeout_s: float = 30.0
    """Longer than this, and the callback is cancelled and the row offered again."""
    grace_s: float = 2.0
    """So long a callback that was told to stop may take to do so; then others get its place."""
    lease_s: int = 90
    """How long a row belongs to the worker that took it: well beyond the callback's time, so that it is never handed
    over twice while it is in hand."""
    poll_s: float = 1.0
    """How often the store is asked for rows when nothing has told of any."""
    peek_s: float | None = 0.1
    """How often a store that can say so cheaply is asked whether another process has written; None: never."""
    longest_pause_s: int = 300
    """Pauses double with each failure of a row, up to this."""
    park_after_tries: int = 500
    """A row that failed so often is set aside with an alarm; more often than a day of pauses has room for."""
    park_after_s: int = 86_400
    """So is one of this age that has failed ten times or more."""
    overdue_s: int = 900
    """An alarm when the oldest row that still waits is older than this."""
    gauge_s: float = 30.0
    """How often the backlog is measured and told to the observer, and overdue rows are looked for."""

    def __post_init__(self) -> None:
        wrong = [
            name
            for name in ("callback_timeout_s", "grace_s", "poll_s", "longest_pause_s", "overdue_s", "gauge_s")
            if not 0 < getattr(self, name) < float("inf")
        ]
        wrong += [name for name in ("park_after_tries", "park_after_s", "lease_s") if getattr(self, name) < 1]
        if not 1 <= self.at_once <= MOST_AT_ONCE:
            wrong.append("at_once")
        if self.peek_s is not None and not self.peek_s > 0:
            wrong.append("peek_s")
        if not wrong and self.lease_s < 2 * (self.callback_timeout_s + self.grace_s):
            raise ConfigurationError(
                "lease_s is too short: a row could be handed over twice while its callback runs.",
                code="outbox_limits",
                next_step=f"Make it at least twice callback_timeout_s and {2 * self.grace_s:g} seconds.",
            )
        if wrong:
            raise ConfigurationError(
                f"Limits of the outbox do not fit: {', '.join(wrong)}.",
                code="outbox_limits",
                next_step="Times and counts are above zero; at_once is 1 to 500.",
            )

    def pause_s(self, failed_before: int, entropy: Entropy, wish_s: float | None = None) -> float:
        """How long a row rests after a failure: doubling, with jitter, so that many do not come back together.

        Args:
            failed_before: how often it had failed before this time.
            wish_s: what the other side asked for; at most an hour counts.
        """
        longest = min(self.longest_pause_s, 1 << min(failed_before, 20))
        share = int.from_bytes(entropy.token_bytes(2)) / 65536
        return max(longest * (0.5 + share / 2), _counted(wish_s))

    def gives_up(self, row: OutboxRow, now: datetime) -> bool:
        """Whether a row that has just failed once more is set aside."""
        tries = row.attempts + 1
        if tries >= self.park_after_tries:
            return True
        age_s = (now - row.created_at).total_seconds()
        return age_s >= self.park_after_s and tries >= min(_FEWEST_TRIES, self.park_after_tries)


def _counted(wish_s: object) -> float:
    """How much of a wish counts. A callback may have handed on a header's text: what is no number is no wish."""
    if isinstance(wish_s, int | float) and wish_s > 0:
        return float(min(wish_s, _LONGEST_WISH_S))
    return 0.0

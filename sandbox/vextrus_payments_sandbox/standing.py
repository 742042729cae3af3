"""A clock that stands still, for runs that are to be the same each time."""

from datetime import UTC, datetime
from typing import Final

FIRST: Final = datetime(2001, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2089, 1, 1, tzinfo=UTC)
"""Between these the sandbox's certificates hold, with ten years to move on."""


class StandingClock:
    """Stands at one moment. What moves a sandbox's time then is ``POST /_sandbox/clock`` alone."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment.astimezone(UTC)

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self._moment

    def monotonic(self) -> float:
        """Always the same: nothing takes any time."""
        return 0.0


def read_moment(text: str) -> datetime:
    """A moment with its offset: ``2026-01-31T12:00:00+06:00``. Raises ValueError that says what is wrong."""
    moment = None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        pass
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text!r} is no moment with its offset, such as 2026-01-31T12:00:00+06:00")
    if not FIRST <= moment <= LAST:
        raise ValueError(f"{text!r} lies outside of {FIRST.year} to {LAST.year}")
    return moment

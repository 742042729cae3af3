"""The store's clock: the database's, told by this machine's between two questions.

Claims and leases of several machines are measured against each other, so they need one time, and the database is what
they share. Every transaction brings its time along; `now()` is this machine's clock corrected by what was learned.
"""

from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.clock import Clock

_STALE_S: Final = 30.0
"""How long what was learned is believed; a machine's clock goes wrong by a millisecond or two in that time."""


class DatabaseTime:
    """A machine's clock that follows the database's, or one that was given and is taken as it is."""

    def __init__(self, clock: Clock, *, follows: bool) -> None:
        self.clock = clock
        self.follows = follows
        self._offset = timedelta(0)
        self._learned_s: float | None = None

    @property
    def is_stale(self) -> bool:
        """Whether it is time to ask the database again."""
        if not self.follows:
            return False
        return self._learned_s is None or self.clock.monotonic() - self._learned_s > _STALE_S

    def now(self) -> datetime:
        """The best this machine knows of the database's time; the given clock's where one was given."""
        return self.clock.now() + self._offset

    def learn(self, before: datetime, told: datetime, after: datetime) -> None:
        """The database said `told` at some moment between `before` and `after` of this machine's clock.

        So the true offset lies between two bounds. One that is believed already and lies within them stays: an answer
        that took long says little. One outside of them is wrong (a clock was set, a machine has slept) and is
        moved to the nearer bound.
        """
        if self.follows and before <= after:
            self._learned_s = self.clock.monotonic()
            self._offset = min(max(self._offset, told - after), told - before)

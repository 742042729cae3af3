"""The sandbox's time: an injected clock plus an offset that only grows (``POST /_sandbox/clock``)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments_sandbox.problems import SandboxError

ADVANCE_MAX_S: Final = 10 * 366 * 86_400


class SandboxClock:
    """The injected clock, moved forward on demand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta()
        self._skew = timedelta()
        self.when_moved: list[Callable[[], None]] = []
        """Told when time was moved forward: what has fallen due is done at once."""

    def now(self) -> datetime:
        """The sandbox's time: an aware datetime in UTC."""
        return self._clock.now() + self._offset + self._skew

    def unskewed(self) -> datetime:
        """The sandbox's time for those who watch, also while a gateway's own clock goes wrong on purpose."""
        return self._clock.now() + self._offset

    def monotonic_s(self) -> float:
        """Seconds that never run backwards, of the injected clock."""
        return self._clock.monotonic()

    @property
    def ahead(self) -> timedelta:
        """How far ahead of the injected clock the sandbox is."""
        return self._offset

    @property
    def offset_s(self) -> float:
        """How far ahead of the injected clock the sandbox is, in seconds."""
        return self._offset.total_seconds()

    def advance(self, seconds: float) -> None:
        """Move time forward. Raises :class:`SandboxError` for a step back or beyond ten years."""
        if not 0 <= seconds <= ADVANCE_MAX_S:
            raise SandboxError("advance_s must be between 0 and ten years, in seconds; time never runs back")
        if self.offset_s + seconds > ADVANCE_MAX_S:
            raise SandboxError("time is ten years ahead by then; POST /_sandbox/reset takes it back", 409)
        self._offset += timedelta(seconds=seconds)
        for told in self.when_moved:
            told()

    @contextmanager
    def skewed(self, ahead_s: float) -> Iterator[None]:
        """Run that much ahead, or behind, for work that awaits nothing."""
        self._skew += timedelta(seconds=ahead_s)
        try:
            yield
        finally:
            self._skew -= timedelta(seconds=ahead_s)

    def restore(self, ahead: timedelta, not_before: datetime) -> None:
        """As far ahead as it was; further where the injected clock would lead back behind `not_before`."""
        self._offset = max(ahead, not_before - self._clock.now(), timedelta())

    def reset(self) -> None:
        """Back to the injected clock."""
        self._offset = timedelta()

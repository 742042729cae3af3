"""Time and chance for tests: a clock that moves when told, a sleeper that moves it, randomness that repeats."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

#: When fake clocks start unless told otherwise.
EPOCH: Final = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)


class FakeClock:
    """A Clock whose two times stand still until `advance` moves both, or `step_wall` only the wall clock."""

    def __init__(self, now: datetime = EPOCH, *, monotonic: float = 1_000.0) -> None:
        if now.tzinfo is None:
            raise ValueError("a clock's time is an aware datetime")
        self._now = now.astimezone(UTC)
        self._monotonic = monotonic

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let this much time pass, on both clocks."""
        if seconds < 0:
            raise ValueError("time does not run backwards; step_wall sets the wall clock back")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back without any time passing, as an operator or NTP does."""
        self._now += timedelta(seconds=seconds)


class FakeSleeper:
    """A Sleeper that moves its clock instead of waiting, and gives other tasks a turn.

    Attributes:
        slept: every wait asked for, in seconds, in order.
    """

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Move the clock by that much and let the other tasks run once."""
        self.slept.append(seconds)
        self._clock.advance(max(seconds, 0.0))
        await asyncio.sleep(0)  # noqa: TID251 - a turn for the others, not a wait


class FakeEntropy:
    """Bytes that look random and are the same for the same seed. For tests only: anybody can compute them."""

    def __init__(self, seed: int | str = 0) -> None:
        self._seed = str(seed)
        self._count = 0

    def token_bytes(self, count: int) -> bytes:
        """The next `count` bytes of the sequence."""
        found = b""
        while len(found) < count:
            block = f"{self._seed}/{self._count}".encode()
            found += hashlib.sha256(block).digest()
            self._count += 1
        return found[:count]

"""Time as a port: everything that waits or stamps is handed a Clock and a Sleeper."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock: an aware datetime in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean anything."""
        ...


class Sleeper(Protocol):
    """How to wait."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long; a fake may return at once and move its clock instead."""
        ...


class SystemClock:
    """The machine's own clock. The one place of layers 1-5 that reads it."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class SystemSleeper:
    """asyncio's own sleep."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

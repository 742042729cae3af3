"""One lane per (tenant, gateway): how many look-ups run side by side there, and when nobody is to ask at all.

A gateway that throttles, or that does not answer three times in a row, is left alone for a while. That says nothing
about any payment: it only makes asking later.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import GatewayError, ThrottledError

#: A gateway that throttles without saying for how long is asked again after so many seconds.
_THROTTLED_S: Final = 30.0
#: From so many failures in a row on it is left alone, each time twice as long.
_FAILURES: Final = 3
_FIRST_PAUSE_S: Final = 5.0
_MAX_PAUSE_S: Final = 300.0
#: How long a tenant whose settings are gone is not asked about again.
_SHUT_S: Final = 60.0
_MANY: Final = 1024


class Lane:
    """The look-ups of one tenant at one gateway. Not for sharing between event loops."""

    def __init__(self, at_once: int, clock: Clock) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._clock = clock
        self._failures = 0
        self._open_at = 0.0
        self.waiting: int = 0
        """How many wait for a slot."""
        self.asking: int = 0
        """How many have one."""
        self.shut: str | None = None
        """Why nobody can ask here at all: the tenant's settings are gone."""

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One of the places, in the order of asking."""
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        self.asking += 1
        try:
            yield
        finally:
            self.asking -= 1
            self._slots.release()

    @property
    def idle(self) -> bool:
        """True when nothing of it would be missed."""
        return not (self.waiting or self.asking or self._failures or self.pause_s)

    @property
    def pause_s(self) -> float:
        """For how many seconds nobody is to ask; 0 when asking is fine."""
        return max(0.0, self._open_at - self._clock.monotonic())

    def answered(self) -> None:
        """The gateway gave an answer."""
        self._failures = 0

    def failed(self, error: GatewayError) -> None:
        """No answer came."""
        self._failures += 1
        pause_s = 0.0
        if isinstance(error, ThrottledError):
            pause_s = float(error.retry_after_s or _THROTTLED_S)
        elif self._failures >= _FAILURES:
            pause_s = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures - _FAILURES, 10))
        if pause_s:
            self._open_at = max(self._open_at, self._clock.monotonic() + pause_s)

    def close(self, why: str) -> None:
        """Nobody can ask here: the settings are gone, or do not fit."""
        self.shut = why
        self._open_at = max(self._open_at, self._clock.monotonic() + _SHUT_S)


class Lanes:
    """The lanes there are, made when they are first needed; idle ones go once there are very many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[tuple[str, str], Lane] = {}

    def known(self, tenant: str, gateway: str) -> Lane | None:
        """The lane, if there is one."""
        return self._lanes.get((tenant, gateway))

    def of(self, tenant: str, gateway: str, at_once: int) -> Lane:
        """The lane; `at_once` counts only when it is made."""
        lane = self._lanes.get((tenant, gateway))
        if lane is None:
            if len(self._lanes) >= _MANY:
                self._lanes = {key: kept for key, kept in self._lanes.items() if not kept.idle}
            lane = self._lanes[(tenant, gateway)] = Lane(at_once, self._clock)
        return lane

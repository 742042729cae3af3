"""A circuit breaker per (tenant, gateway): while a gateway is down, payers are told so at once.

Theory of operation. *Closed*: everything passes; a run of failures opens it. *Open*: nothing passes but READ, for
`open_s`. *Half-open*, from then on: exactly one call, the probe, passes; its success closes the breaker, its
failure opens it again, and if it is cancelled the slot is free for the next one. READ always passes, in every
state, because look-ups are the only source of evidence; a READ that succeeds closes the breaker.

Only what says "the gateway is not working" counts as failure: no answer, no connection, 5xx, an unreadable answer.
A decline is an answer. Every result is told to the `Permit` that was given before the call; results of calls that
were let through before the breaker last changed its state are too old to count.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import NotSentError
from vextrus_payments.wire import Safety

BREAKER_OPEN: Final = "breaker_open"


class BreakerState(StrEnum):
    """What the breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When a breaker opens and for how long."""

    failures: int = 8
    """So many failures in a row open it."""
    open_s: float = 20.0
    """So long nothing but READ passes; then one probe may."""

    def __post_init__(self) -> None:
        if self.failures < 1 or self.open_s < 0:
            raise ValueError("a breaker opens after at least one failure, for no negative time")


class Permit:
    """Leave to make one call. Tell it exactly one result; telling a second one changes nothing."""

    __slots__ = ("_breaker", "_era", "_probe", "_read")

    def __init__(self, breaker: "Breaker | None", era: int, *, read: bool, probe: bool) -> None:
        self._breaker = breaker
        self._era = era
        self._read = read
        self._probe = probe

    def succeeded(self) -> None:
        """The gateway answered as a gateway does: with a success or with a decline."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._on_success(self._era, probe=self._probe, read=self._read)

    def failed(self) -> None:
        """The gateway did not work: no answer, no connection, 5xx, an unreadable answer."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None:
            breaker._on_failure(self._era, probe=self._probe, read=self._read)

    def dropped(self) -> None:
        """Nothing was learned about the gateway: cancelled, a local error, throttled. Frees the probe's slot."""
        breaker, self._breaker = self._breaker, None
        if breaker is not None and self._probe:
            breaker._on_dropped_probe(self._era)


class Breaker:
    """The breaker of one tenant's calls to one gateway. Not for sharing between threads."""

    def __init__(self, clock: Clock, policy: BreakerPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._era = 0  # grows with every change of state: results of an earlier era are stale

    @property
    def state(self) -> BreakerState:
        """What it lets through now."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._left_s() > 0 else BreakerState.HALF_OPEN

    def admit(self, safety: Safety) -> Permit:
        """Leave to make a call of this safety.

        Raises:
            NotSentError: code "breaker_open"; `context["retry_after_s"]` holds the whole seconds to wait.
        """
        read = safety is Safety.READ
        if self._opened_at is None or read:
            return Permit(self, self._era, read=read, probe=False)
        left_s = self._left_s()
        if left_s <= 0 and not self._probing:
            self._probing = True
            return Permit(self, self._era, read=False, probe=True)
        wait_s = max(1, math.ceil(left_s))
        raise NotSentError(
            "The gateway did not work a moment ago, so nothing is sent to it for now.",
            code=BREAKER_OPEN,
            next_step=f"Try again in {wait_s} s; look-ups go through meanwhile.",
            context={"retry_after_s": wait_s},
        )

    def _left_s(self) -> float:
        assert self._opened_at is not None
        return self._opened_at + self._policy.open_s - self._clock.monotonic()

    def _on_success(self, era: int, *, probe: bool, read: bool) -> None:
        if era != self._era:
            return
        self._failures = 0
        if self._opened_at is not None and (probe or read):
            self._opened_at = None
            self._probing = False
            self._era += 1

    def _on_failure(self, era: int, *, probe: bool, read: bool) -> None:
        if era != self._era:
            return
        if self._opened_at is None:
            self._failures += 1
            if self._failures >= self._policy.failures:
                self._open()
        elif probe:
            self._open()
        # A READ that fails while open says nothing new.

    def _on_dropped_probe(self, era: int) -> None:
        if era == self._era:
            self._probing = False

    def _open(self) -> None:
        self._failures = 0
        self._opened_at = self._clock.monotonic()
        self._probing = False
        self._era += 1


class Breakers:
    """One breaker per (tenant, gateway), made on first use: one tenant's trouble never stops another's calls."""

    def __init__(self, clock: Clock, policy: BreakerPolicy | None = None) -> None:
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def of(self, tenant: str, gateway: str) -> Breaker:
        """The breaker of this pair."""
        key = (tenant, gateway)
        found = self._breakers.get(key)
        if found is None:
            found = self._breakers[key] = Breaker(self._clock, self._policy)
        return found

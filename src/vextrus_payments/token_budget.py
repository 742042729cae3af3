"""The grant budget as pure values: who may ask a gateway for a token now, who waits, and until when.

Theory of operation. Gateways count token grants (bKash: two an hour per merchant, refreshes included, then a
block of an hour; dossier section 1 fact 4 and section 3.2). So every grant takes a slot of a `GrantLog` *before*
its request is sent, durably. The slot doubles as a lease: while it is open and not over, everybody else waits for
the token instead of asking for one of their own. Whoever keeps a log (memory, a file, a database row) loads it,
calls `reserve` or `finish` and saves the result, all under one lock or in one transaction; nothing else is needed,
and the rule stands in this one place.

How a slot ends:
- answered, failed or unknown: it stays taken for `window_s` after the moment the grant ended. The end is counted,
  not the start, because the gateway counts when the request reaches it, which is never later than the end.
- proven unsent: it is given back.
- never (the process died): the lease runs out, and the slot is counted from there.

Clocks. A slot from the future (the clock was set back, or another machine runs ahead) stays taken; one that is
further ahead than `SKEW_S` is counted from now, so that a wrong clock can cost a window, never a year.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

SKEW_S: Final = 300
"""How far ahead another machine's clock may run and still be believed, in seconds."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FORMAT: Final = 1
_MAX_SLOTS: Final = 1_000
_MAX_WORD: Final = 64
_MAX_MS: Final = 2**53
_UNREADABLE: Final = "unreadable"


def to_millis(moment: datetime) -> int:
    """Milliseconds since 1970 of an aware datetime, exactly (no float on the way)."""
    return (moment - _EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """The aware UTC datetime of `to_millis`."""
    return _EPOCH + millis * _MILLISECOND


@dataclass(frozen=True, slots=True)
class GrantBudget:
    """How often a gateway may be asked for a token: `limit` grants (refreshes included) in any `window_s`."""

    limit: int = 2
    window_s: int = 3600

    def __post_init__(self) -> None:
        if self.limit < 1 or self.window_s < 1:
            raise ValueError("a grant budget is at least one grant in at least one second")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAsk:
    """Somebody wants to make a grant.

    `permit` is a random word that names the grant: asking again with the same one (a commit whose answer got lost)
    gets the same answer. `now` is the asker's clock; a store that several machines share uses its own instead.
    `lease_s` outlasts the grant's own timeout.
    """

    permit: str
    now: datetime
    limit: int
    window_s: int
    lease_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantEnd:
    """A grant is over. `sent=False` only when proven unsent: the slot is given back. `failure` is an error code."""

    permit: str
    now: datetime
    sent: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class GrantReserved:
    """Make the grant, and finish it under this permit."""

    permit: str


@dataclass(frozen=True, slots=True)
class GrantBusy:
    """Somebody else is making one: look for the token, at the latest after so many seconds."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class GrantExhausted:
    """The budget is used up for so many seconds.

    `failure`: the error code of the last grant, when it failed. `unreadable`: the record of past grants could not
    be read, and for safety counts as used up.
    """

    retry_after_s: int
    failure: str | None = None
    unreadable: bool = False


GrantDecision = GrantReserved | GrantBusy | GrantExhausted


class GrantFinished(NamedTuple):
    """The log after a grant's end. `latest`: no other grant was reserved after this one."""

    log: "GrantLog"
    latest: bool


@dataclass(frozen=True, slots=True)
class GrantSlot:
    """One grant. While `open`, `until_ms` is the end of its lease; else the moment it ended."""

    permit: str
    until_ms: int
    lease_ms: int
    open: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class GrantLog:
    """The grants that still count, in the order in which they were reserved."""

    slots: tuple[GrantSlot, ...] = ()
    unreadable: bool = False

    def reserve(self, ask: GrantAsk) -> "tuple[GrantLog, GrantDecision]":
        """The log to save and the answer to give."""
        now_ms, window_ms = to_millis(ask.now), ask.window_s * 1000
        slots = self._counting(now_ms, window_ms, ask.limit)
        log = GrantLog(slots)
        if any(slot.open and slot.permit == ask.permit for slot in slots):
            return log, GrantReserved(ask.permit)
        busy_ms = [slot.until_ms - now_ms for slot in slots if slot.open and slot.until_ms > now_ms]
        if busy_ms:
            return log, GrantBusy(max(busy_ms) / 1000)
        if len(slots) >= ask.limit:
            return log, _exhausted(slots, now_ms, window_ms, ask.limit)
        lease_ms = round(ask.lease_s * 1000)
        slot = GrantSlot(ask.permit, now_ms + lease_ms, lease_ms, open=True)
        return GrantLog((*slots, slot)), GrantReserved(ask.permit)

    def finish(self, end: GrantEnd) -> GrantFinished:
        """The log to save. A token whose grant is not the latest replaces no other token."""
        if self.unreadable:
            return GrantFinished(self, latest=True)
        latest = not self.slots or self.slots[-1].permit == end.permit
        others = tuple(slot for slot in self.slots if slot.permit != end.permit)
        if not end.sent:
            return GrantFinished(GrantLog(others), latest)
        failure = None if end.failure is None else end.failure[:_MAX_WORD]
        ended = GrantSlot(end.permit, to_millis(end.now), 0, open=False, failure=failure)
        kept = tuple(ended if slot.permit == end.permit else slot for slot in self.slots)
        if ended not in kept:
            # The record was lost meanwhile, yet the grant was made: it counts all the same.
            kept = (*others, ended)
        return GrantFinished(GrantLog(kept), latest)

    def _counting(self, now_ms: int, window_ms: int, limit: int) -> tuple[GrantSlot, ...]:
        if self.unreadable:
            return tuple(GrantSlot(_UNREADABLE, now_ms, 0, open=False) for _ in range(limit))
        believed = (_believable(slot, now_ms) for slot in self.slots)
        return tuple(slot for slot in believed if slot.until_ms + window_ms > now_ms)

    def to_json(self) -> str:
        """As text, to be kept. It holds no secret."""
        rows = [
            {
                "permit": s.permit,
                "until_ms": s.until_ms,
                "lease_ms": s.lease_ms,
                "open": s.open,
                "failure": s.failure,
            }
            for s in self.slots
        ]
        return json.dumps({"format": _FORMAT, "unreadable": self.unreadable, "slots": rows})

    @classmethod
    def from_json(cls, text: str | None) -> "GrantLog":
        """What `to_json` wrote; None is an empty log. Anything else counts as a budget that is used up:
        forgetting a grant can block the merchant at the gateway for an hour, waiting an hour is no worse."""
        if text is None:
            return cls()
        try:
            document = json.loads(text)
            if document["format"] != _FORMAT or not isinstance(document["unreadable"], bool):
                return cls(unreadable=True)
            rows = document["slots"]
            if not isinstance(rows, list) or len(rows) > _MAX_SLOTS:
                return cls(unreadable=True)
            return cls(tuple(_slot(row) for row in rows), document["unreadable"])
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls(unreadable=True)


def _slot(row: Any) -> GrantSlot:
    slot = GrantSlot(row["permit"], row["until_ms"], row["lease_ms"], row["open"], row["failure"])
    numbers_fit = all(type(n) is int and 0 <= n <= _MAX_MS for n in (slot.until_ms, slot.lease_ms))
    words_fit = all(
        isinstance(word, str) and len(word) <= _MAX_WORD for word in (slot.permit, slot.failure or "")
    )
    if not (numbers_fit and words_fit and isinstance(slot.open, bool)):
        raise ValueError("no slot of a grant log")
    return slot


def _believable(slot: GrantSlot, now_ms: int) -> GrantSlot:
    latest_ms = now_ms + (slot.lease_ms if slot.open else 0)
    if slot.until_ms > latest_ms + SKEW_S * 1000:
        return replace(slot, until_ms=latest_ms)
    return slot


def _exhausted(slots: tuple[GrantSlot, ...], now_ms: int, window_ms: int, limit: int) -> GrantExhausted:
    # A slot is free once fewer than `limit` still count: that is when the one at this place goes.
    freeing = sorted(slot.until_ms for slot in slots)[len(slots) - limit]
    wait_s = -(-(freeing + window_ms - now_ms) // 1000)
    return GrantExhausted(
        max(wait_s, 1),
        failure=slots[-1].failure,
        unreadable=any(slot.permit == _UNREADABLE for slot in slots),
    )

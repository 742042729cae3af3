"""The record: everything that happened to a payment, for people to look at.

The books say what is true and the wire log what a test may rely on; the record is what a developer reads: each API
call with its request and answer, each step of the payer, each webhook, each movement of money and each hand that the
sandbox's own routes lent. It is told as it happens, and it forgets: the oldest entry goes when there are more than
:data:`ENTRIES_MAX`, or when their texts come to more than :data:`CHARACTERS_MAX` characters. A payment's own list
forgets the same entries, and is gone with its last.

No secret comes in here: who adds an entry hides them first (``redacting.py``).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

from vextrus_payments_sandbox.notation import iso

Kind = Literal["call", "page", "webhook", "money", "admin"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
"""What an entry can be about: an API call, a step on the payer's page, one try of a webhook, a movement in the books,
something asked of the sandbox itself."""

ENTRIES_MAX: Final = 20_000
CHARACTERS_MAX: Final = 32_000_000
NAME_MAX: Final = 256
"""How much is kept of a reference, which may be any text that a caller sent."""
_ENTRY_COST: Final = 400  # what an entry weighs beside its texts


@dataclass(slots=True)
class Entry:
    """One thing that happened.

    ``detail`` of a call: ``{"operation", "method", "path", "status", "fault", "moved_money", "took_ms", "request":
    {"headers", "body"}, "answer": {"headers", "body"} | None, "lost_answer", "call"}``, and
    ``"brought_by"`` where nobody ordered its fault. ``status`` is None while the
    call is under way (``took_ms`` is None, too) and when nothing was answered.
    """

    seq: int
    at: str
    """When it began: ISO 8601 in UTC with milliseconds."""
    kind: str
    gateway: str
    """Empty for what concerns no gateway."""
    reference: str
    """The payment's reference at its gateway; empty for what concerns no payment, or none that is known."""
    title: str
    detail: dict[str, Any]
    told: int = 0
    """The number under which it was last told; it grows with every change, over all entries."""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**self.brief(), "detail": self.detail}

    def brief(self) -> dict[str, Any]:
        """What a list shows."""
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "gateway": self.gateway,
            "reference": self.reference,
            "title": self.title,
        }


@dataclass(slots=True)
class Record:
    """The entries of one sandbox, oldest first; one thread, the event loop's."""

    now: Callable[[], datetime]
    entries_max: int = ENTRIES_MAX
    characters_max: int = CHARACTERS_MAX
    forgotten: int = 0
    """How many entries were forgotten to make room."""
    last_forgotten_at: str = ""
    """When the newest of those happened: a payment that was made later is told from its beginning."""
    _entries: deque[Entry] = field(default_factory=deque)
    _of: dict[tuple[str, str], deque[Entry]] = field(default_factory=dict)
    _news: dict[int, Entry] = field(default_factory=dict)
    """Each entry under the number under which it was last told, in that order."""
    _weights: dict[int, int] = field(default_factory=dict)
    _weight: int = 0
    _seq: int = 0
    _told: int = 0
    _closings: int = 0
    _lost: int = 0
    _waiting: set["asyncio.Future[None]"] = field(default_factory=set, repr=False)
    kept: dict[str, Entry] | None = None
    """The entries by their numbers, where they are written down (a :class:`Shelf`)."""

    # ------------------------------------------------------------------------------------------- writing

    def add(self, kind: Kind, gateway: str, reference: str, title: str, **detail: Any) -> Entry:
        """Something happened just now. The texts of `detail` must be fit to be shown."""
        self._seq += 1
        entry = Entry(self._seq, iso(self.now()), kind, gateway, reference[:NAME_MAX], title, detail)
        self._entries.append(entry)
        self._list(entry)
        self._tell(entry)
        return entry

    def change(self, entry: Entry, *, title: str = "", reference: str = "", **detail: Any) -> None:
        """More became known of an entry: which payment it is about, how it ended. Listeners are told again.

        An entry that has been forgotten in the meantime is changed and told to nobody.
        """
        entry.title = title or entry.title
        entry.detail.update(detail)
        if not self.keeps(entry):
            return
        if reference and reference[:NAME_MAX] != entry.reference:
            self._unlist(entry)
            entry.reference = reference[:NAME_MAX]
            self._list(entry)
        self._news.pop(entry.told, None)
        self._tell(entry)

    def clear(self) -> None:
        """Forget everything; the numbers go on, so that a listener misses nothing that comes after."""
        for kept in (self._entries, self._of, self._news, self._weights):
            kept.clear()
        if self.kept is not None:
            self.kept.clear()
        self._lost = self._told
        self._weight = self.forgotten = 0
        self.last_forgotten_at = ""

    def restore(self, entries: Iterable[Entry], forgotten: int, last_forgotten_at: str) -> None:
        """Take up what an earlier start of the sandbox recorded, oldest first; its numbers go on."""
        for entry in entries:
            self._entries.append(entry)
            self._list(entry)
            self._tell(entry)
            self._seq = entry.seq
        self.forgotten += forgotten
        self.last_forgotten_at = max(self.last_forgotten_at, last_forgotten_at)

    # ------------------------------------------------------------------------------------------- reading

    @property
    def told(self) -> int:
        """The number under which the newest change was told; what :meth:`after` is asked for the next."""
        return self._told

    @property
    def lost(self) -> int:
        """The highest number among those that are kept no more."""
        return self._lost

    @property
    def closings(self) -> int:
        """How often the server behind it has stopped: a listener that sees it change leaves."""
        return self._closings

    def entries(self) -> Iterator[Entry]:
        """All that is kept, oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def of(self, gateway: str, reference: str) -> list[Entry]:
        """What happened to one payment, oldest first; its beginning may be forgotten (:meth:`is_whole`)."""
        return list(self._of.get((gateway, reference[:NAME_MAX]), ()))

    def is_whole(self, since: datetime) -> bool:
        """Whether nothing of a payment made `since` then has been forgotten."""
        return not self.last_forgotten_at or iso(since) > self.last_forgotten_at

    def newest(
        self,
        limit: int,
        *,
        gateway: str = "",
        kind: str = "",
        operation: str = "",
        status: str = "",
        text: str = "",
        before: int | None = None,
    ) -> list[Entry]:
        """The newest entries first, at most `limit`, of those with a ``seq`` under `before`.

        Args:
            operation: a call's operation, or a webhook's type of message.
            status: ``200``; ``4xx``; ``none`` for what was never answered (calls and webhooks only).
            text: part of the reference, the title or the path, in any case; or of a body, in the very case.
        """
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if len(found) >= limit:
                break
            if before is not None and entry.seq >= before:
                continue
            if (gateway and entry.gateway != gateway) or (kind and entry.kind != kind):
                continue
            if operation and operation not in (entry.detail.get("operation"), entry.detail.get("type")):
                continue
            if (status and not _has_status(entry, status)) or (text and not _holds(entry, text)):
                continue
            found.append(entry)
        return found

    async def after(self, seq: int, timeout_s: float) -> list[Entry]:
        """What was told after `seq` (an entry's ``told``), in that order; waits for it up to `timeout_s`.

        An entry that was told several times since comes once. A number from before a restart, higher than any that
        was given, counts as none: all that is kept comes. Empty: nothing came in time, or the server stops.
        """
        found = self._since(seq)
        if found or timeout_s <= 0:
            return found
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            async with asyncio.timeout(
                timeout_s
            ):  # on the loop's clock: it bounds a wait for somebody's socket
                await waiting
        except TimeoutError:
            return []
        finally:
            self._waiting.discard(waiting)
        return self._since(seq)

    def missed(self, seq: int) -> bool:
        """Whether somebody who read up to `seq` can no longer be told all of what came after it."""
        return seq < self._lost or seq > self._told

    def keeps(self, entry: Entry) -> bool:
        """Whether an entry has not been forgotten yet."""
        return entry.seq in self._weights

    def close(self) -> None:
        """The server stops: let everybody go who waits in :meth:`after`. The entries stay."""
        self._closings += 1
        self._wake()

    # ------------------------------------------------------------------------------------------- helpers

    def _since(self, seq: int) -> list[Entry]:
        if seq > self._told:
            seq = 0
        found: list[Entry] = []
        for told in reversed(self._news):
            if told <= seq:
                break
            found.append(self._news[told])
        return found[::-1]

    def _tell(self, entry: Entry) -> None:
        self._told += 1
        entry.told = self._told
        self._news[entry.told] = entry
        weight = _ENTRY_COST + _characters(entry.detail)
        self._weight += weight - self._weights.get(entry.seq, 0)
        self._weights[entry.seq] = weight
        if self.kept is not None:
            self.kept[str(entry.seq)] = entry
        while len(self._entries) > 1 and (
            len(self._entries) > self.entries_max or self._weight > self.characters_max
        ):
            self._forget()
        self._wake()

    def _forget(self) -> None:
        oldest = self._entries.popleft()
        self._unlist(oldest)
        self._news.pop(oldest.told, None)
        self._weight -= self._weights.pop(oldest.seq)
        if self.kept is not None:
            del self.kept[str(oldest.seq)]
        self._lost = max(self._lost, oldest.told)
        self.forgotten += 1
        self.last_forgotten_at = oldest.at

    def _list(self, entry: Entry) -> None:
        if not entry.reference:
            return
        listed = self._of.setdefault((entry.gateway, entry.reference), deque())
        listed.append(entry)
        if len(listed) > 1 and listed[-2].seq > entry.seq:  # named late: back to its place
            self._of[entry.gateway, entry.reference] = deque(sorted(listed, key=lambda one: one.seq))

    def _unlist(self, entry: Entry) -> None:
        listed = self._of.get((entry.gateway, entry.reference))
        if listed is None:
            return
        if listed[0] is entry:
            listed.popleft()
        else:
            kept = deque(one for one in listed if one is not entry)
            listed = self._of[entry.gateway, entry.reference] = kept
        if not listed:
            del self._of[entry.gateway, entry.reference]

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


def _has_status(entry: Entry, status: str) -> bool:
    if "status" not in entry.detail:
        return False
    known = entry.detail["status"]
    if known is None:
        return status == "none"
    return status in (str(known), f"{str(known)[:1]}xx")


def _holds(entry: Entry, text: str) -> bool:
    lowered = text.lower()
    short = (entry.reference, entry.title, entry.detail.get("path", ""))
    if any(lowered in part.lower() for part in short):
        return True
    bodies = (entry.detail.get("request"), entry.detail.get("answer"))
    return any(text in body.get("body", "") for body in bodies if body)


def _characters(part: object) -> int:
    """How long all the texts in there are together."""
    if isinstance(part, str):
        return len(part)
    if isinstance(part, Mapping):
        return sum(50 + len(name) + _characters(inner) for name, inner in part.items())
    if isinstance(part, Iterable):
        return sum(_characters(inner) for inner in part)
    return 8

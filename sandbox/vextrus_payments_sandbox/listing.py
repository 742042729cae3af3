"""Payments as lists show them: what a gateway believes, beside the money that moved by the books.

A list is quick with a hundred thousand payments because hardly any of them is looked at. What state a payment is in,
only its gateway knows; what it said last is remembered in one byte a payment, and that byte is zero again as soon as
the payment changes (``kept.py``) or the moment comes at which it changes by itself (:attr:`BookRow.until`). To look for
a state is to look for a few bytes; only where there is a zero the gateway is asked again.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any, Final, Protocol, runtime_checkable

from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.notation import iso, to_text

CURRENCY: Final = "BDT"
SCAN_MAX: Final = 5_000
"""How many payments one look at a list asks their gateways for at most: those whose state is not remembered."""
HOT: Final = 64
"""So many of the newest payments change all the time: nobody asks for their state ahead."""
_ASK: Final = 0
"""Of a payment whose state has to be asked for."""
_ALWAYS_ASK: Final = 255
"""Of a payment that nobody would tell changed."""
_NOBODY: Final = 255
_BLOCK: Final = 512


@dataclass(frozen=True, slots=True)
class BookRow:
    """What a gateway believes about one payment; the amounts that moved come from the books instead."""

    gateway: str
    reference: str
    transaction_id: str | None
    invoice: str
    state: str
    amount_minor: int
    captured_minor: int
    refunded_minor: int
    created_at: datetime
    until: datetime | None = None
    """When the state may change although nothing of `thing` is set; None: never."""
    thing: Kept | None = field(default=None, compare=False, repr=False)
    """What `state` was read from: as long as none of its fields is set, it stays so. Without one, the state is asked
    for each time."""
    fee_minor: int = 0
    """What the gateway keeps of it when it pays the merchant out: no movement of the books."""
    alias: str = ""
    """What the merchant calls it, where that is neither its reference nor its invoice."""

    def as_json(self, captured_minor: int, refunded_minor: int) -> dict[str, Any]:
        """Amounts as texts in taka; those that moved are the books'."""
        return {
            "gateway": self.gateway,
            "reference": self.reference,
            "transaction_id": self.transaction_id,
            "invoice": self.invoice,
            "state": self.state,
            "amount": to_text(self.amount_minor),
            "captured": to_text(captured_minor),
            "refunded": to_text(refunded_minor),
            "currency": CURRENCY,
            "created_at": iso(self.created_at),
        }


@dataclass(frozen=True, slots=True)
class PaidOut:
    """Money that a merchant sent away, as the gateway has it."""

    gateway: str
    transaction_id: str
    invoice: str
    amount_minor: int
    fee_minor: int

    def as_json(self) -> dict[str, Any]:
        """Amounts as texts in taka."""
        return {
            "gateway": self.gateway,
            "transaction_id": self.transaction_id,
            "invoice": self.invoice,
            "amount": to_text(self.amount_minor),
            "fee": to_text(self.fee_minor),
            "currency": CURRENCY,
        }


@runtime_checkable
class PaysOut(Protocol):
    """A gateway that pays out."""

    def paid_out(self) -> Iterable[PaidOut]:
        """Every payout that was made, oldest first; no transfer between a merchant's own accounts."""
        ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A payment in a list: what its gateway believes, and the money that moved by the books."""

    number: int
    """Counted from 1 in the order in which the sandbox's payments were made; never used twice before a reset."""
    row: BookRow
    captured_minor: int
    refunded_minor: int

    def as_json(self) -> dict[str, Any]:
        """Amounts as texts in taka."""
        return {"number": self.number, **self.row.as_json(self.captured_minor, self.refunded_minor)}


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the list of payments, newest first."""

    rows: Sequence[Listed]
    before: int | None
    """What :meth:`World.payments` takes as `before` to go on; None where nothing older is left to look at."""
    total: int
    """How many payments there are, filters aside."""
    captured_minor: int
    refunded_minor: int
    """Of all payments, filters aside (of the one gateway, where that was asked for)."""


@dataclass(slots=True)
class Register:
    """Every payment of every gateway in the order in which they were made, the words it is found by, and its state as
    far as that is remembered.

    Memory: some 300 bytes for a payment, 150 more for one whose state is not its last, and its words once more
    as soon as somebody has looked for words.
    """

    names: list[tuple[str, str]] = field(default_factory=list)
    """(gateway, reference); the payment of number 1 comes first."""
    words: list[str] = field(default_factory=list)
    """Of each its reference, invoice and transaction ids, in lower case, a line each."""
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    _texts: dict[int, str] = field(default_factory=dict)
    """The words of a stretch of payments in one text, by its first index; made when somebody looks for words."""
    _owners: bytearray = field(default_factory=bytearray)
    _owner_codes: dict[str, int] = field(default_factory=dict)
    """Gateway -> what stands for it in `_owners`."""
    _states: bytearray = field(default_factory=bytearray)
    """Of each what stands for its state in `_codes`, or one of the two bytes above."""
    _codes: dict[tuple[str, str], int] = field(default_factory=dict)
    """(gateway, state in lower case) -> its byte."""
    _until: list[tuple[datetime, int]] = field(default_factory=list)
    """(moment, number), a heap: whose state may change by itself, and when."""
    _until_max: int = 1_024

    def add(self, gateway: str, reference: str, invoice: str) -> None:
        """A payment was made."""
        self.names.append((gateway, reference))
        self.words.append(f"{reference}\n{invoice}".lower())
        self._owners.append(self._owner_codes.setdefault(gateway, len(self._owner_codes)))
        self._states.append(_ASK)
        self._texts.pop((len(self.words) - 1) // _BLOCK * _BLOCK, None)
        self.numbers[gateway, reference] = len(self.names)

    def learn(self, gateway: str, reference: str, transaction_id: str) -> None:
        """A transaction of a payment came to be; of a payment that is not registered nothing is learned."""
        number = self.numbers.get((gateway, reference))
        word = transaction_id.lower()
        if number is not None and word and word not in self.words[number - 1]:
            self.words[number - 1] += f"\n{word}"
            self._texts.pop((number - 1) // _BLOCK * _BLOCK, None)

    def told(self, number: int, row: BookRow) -> None:
        """The gateway has just said what it believes of a payment."""
        if row.thing is None:
            self._states[number - 1] = _ALWAYS_ASK
            return
        key = row.gateway, row.state.lower()
        code = self._codes.get(key) or len(self._codes) + 1
        if code >= _ALWAYS_ASK:  # more states than any gateway has: ask as if none told
            self._states[number - 1] = _ALWAYS_ASK
            return
        self._codes[key] = code
        row.thing.watched_by(self._states, number - 1)
        self._states[number - 1] = code
        if row.until is not None:
            heappush(self._until, (row.until, number))
            self._thin_out()

    def _thin_out(self) -> None:
        """Payments that ended before their time leave moments behind that are nobody's any more."""
        if len(self._until) <= self._until_max:
            return
        first: dict[int, datetime] = {}
        for moment, number in self._until:
            first[number] = min(moment, first.get(number, moment))
        self._until = [(moment, number) for number, moment in first.items()]
        heapify(self._until)
        self._until_max = 2 * max(len(self._until), 512)

    def unasked(self, now: datetime, at_most: int) -> list[int]:
        """The oldest payments whose state is not remembered, but for the :data:`HOT` newest."""
        self._let_time_pass(now)
        found: list[int] = []
        end, index = len(self._states) - HOT, -1
        while len(found) < at_most and end > 0:
            index = self._states.find(_ASK, index + 1, end)
            if index < 0:
                break
            found.append(index + 1)
        return found

    def _let_time_pass(self, now: datetime) -> None:
        while self._until and self._until[0][0] <= now:
            _, number = heappop(self._until)
            if self._states[number - 1] != _ALWAYS_ASK:
                self._states[number - 1] = _ASK

    def newest(
        self, before: int | None, gateway: str = "", text: str = "", state: str = "", *, now: datetime
    ) -> Iterator[tuple[int, str, str]]:
        """(number, gateway, reference) of those with a number under `before` that have `text`, newest first.

        With a `state` they are all that are known to be in it, and those that have to be asked.
        """
        total = len(self.names)
        left = total if before is None else min(total, max(0, before - 1))
        text, state = text.lower(), state.lower()
        owner = self._owner_codes.get(gateway, _NOBODY)
        if state:
            self._let_time_pass(now)
        for begin in range((left - 1) // _BLOCK * _BLOCK, -1, -_BLOCK):
            end = min(begin + _BLOCK, left)
            wanted = self._wanted(gateway, state)
            if gateway and self._owners.find(owner, begin, end) < 0:
                continue
            if state and all(self._states.find(code, begin, end) < 0 for code in wanted):
                continue
            if text and text not in self._text_of(begin):
                continue
            for index in range(end - 1, begin - 1, -1):
                if gateway and self._owners[index] != owner:
                    continue
                if (state and self._states[index] not in wanted) or (text and text not in self.words[index]):
                    continue
                yield index + 1, *self.names[index]

    def _text_of(self, begin: int) -> str:
        """All words of a stretch, put together once, and again when there is one more."""
        known = self._texts.get(begin)
        if known is None:
            known = self._texts[begin] = "\n".join(self.words[begin : begin + _BLOCK])
        return known

    def _wanted(self, gateway: str, state: str) -> frozenset[int]:
        known = {code for key, code in self._codes.items() if key[1] == state and gateway in ("", key[0])}
        return frozenset(known | {_ASK, _ALWAYS_ASK})

    def clear(self) -> None:
        """Forget all."""
        for kept in (self.names, self.words, self.numbers, self._texts, self._owners, self._until):
            kept.clear()
        self._states = bytearray()  # a new one: payments of before may still tell the old one

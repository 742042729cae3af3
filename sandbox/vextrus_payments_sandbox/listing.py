"""Payments as lists show them: what a gateway believes, beside the money that moved by the books."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from vextrus_payments_sandbox.notation import iso, to_text

CURRENCY: Final = "BDT"
SCAN_MAX: Final = 5_000
"""How many payments one look at a list asks their gateways for at most: what state they are in, only those know."""


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
    """Every payment of every gateway in the order in which they were made, and the words it is found by.

    Memory: some 300 bytes for a payment.
    """

    names: list[tuple[str, str]] = field(default_factory=list)
    """(gateway, reference); the payment of number 1 comes first."""
    words: list[str] = field(default_factory=list)
    """Of each its reference, invoice and transaction ids, in lower case, a line each."""
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, gateway: str, reference: str, invoice: str) -> None:
        """A payment was made."""
        self.names.append((gateway, reference))
        self.words.append(f"{reference}\n{invoice}".lower())
        self.numbers[gateway, reference] = len(self.names)

    def learn(self, gateway: str, reference: str, transaction_id: str) -> None:
        """A transaction of a payment came to be; of a payment that is not registered nothing is learned."""
        number = self.numbers.get((gateway, reference))
        word = transaction_id.lower()
        if number is not None and word and word not in self.words[number - 1]:
            self.words[number - 1] += f"\n{word}"

    def newest(self, before: int | None, gateway: str, text: str) -> Iterator[tuple[int, str, str]]:
        """(number, gateway, reference) of those with a number under `before` that have `text`, newest first."""
        total = len(self.names)
        left = total if before is None else min(total, max(0, before - 1))
        names, words, lowered = self.names, self.words, text.lower()
        for index in range(left - 1, -1, -1):
            if lowered and lowered not in words[index]:
                continue
            name, reference = names[index]
            if not gateway or name == gateway:
                yield index + 1, name, reference

    def clear(self) -> None:
        """Forget all."""
        for kept in (self.names, self.words, self.numbers):
            kept.clear()

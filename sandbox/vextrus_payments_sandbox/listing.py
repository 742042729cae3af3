"""Payments as lists show them: what a gateway believes, beside the money that moved by the books."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from vextrus_payments_sandbox.notation import iso, to_text

CURRENCY: Final = "BDT"
SCAN_MAX: Final = 20_000
"""How many payments one look at a filtered list goes through at most."""


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

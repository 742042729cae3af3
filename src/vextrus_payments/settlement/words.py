"""The words of settlement matching: a statement's line, what is wrong with it, what a run found."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from enum import StrEnum
from typing import Final

from vextrus_payments.money import Money
from vextrus_payments.records import ReceiptKind

#: The day of a settlement is a day in Dhaka. Bangladesh keeps +06:00 the year round, so no time zone data is needed.
DHAKA: Final = timezone(timedelta(hours=6), "Asia/Dhaka")


class BreakKind(StrEnum):
    """In which way a statement and our records differ. Those in capitals below stop the row from being booked."""

    MISSING_HERE = "missing_here"
    """The statement has a transaction of which we have no receipt. NOT BOOKED."""
    MISSING_THERE = "missing_there"
    """We have a receipt of the days that the statement covers, and the statement does not have it."""
    AMOUNT = "amount"
    """The gross amounts differ. NOT BOOKED."""
    CURRENCY = "currency"
    """The currencies differ. NOT BOOKED."""
    FEE = "fee"
    """The fee is not the one that the gateway told us when the money moved. Booked at the statement's fee."""
    NET = "net"
    """The statement's own net amount is not its gross less its fee. NOT BOOKED."""
    DUPLICATE = "duplicate"
    """The transaction stands in the statement before. This row is NOT BOOKED, the first one is."""
    KIND = "kind"
    """A payment there and a refund here, or the like. NOT BOOKED."""
    STATUS = "status"
    """Money moved by our records, and did not by the statement's status. NOT BOOKED."""
    REFERENCE = "reference"
    """Another order's reference stands beside our transaction. NOT BOOKED."""
    MODE = "mode"
    """A sandbox's transaction in a live statement, or the other way round. NOT BOOKED."""
    TIMING = "timing"
    """The days contradict each other, or the money came later than it should. Booked."""
    RESTATED = "restated"
    """A statement of the same day said something else before. NOT BOOKED, unless told to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference: the field, and what both sides say of it."""

    kind: BreakKind
    field: str
    ours: str | None
    """What our records say; None: they have nothing of it."""
    theirs: str | None
    """What the statement says; None: it has nothing of it."""
    transaction_id: str
    row: int | None
    """The statement's row, counted from 1; None for what is not in it."""
    receipt_kind: ReceiptKind
    payment_id: str | None = None
    merchant_reference: str | None = None
    booked: bool = False
    """Whether the row is booked all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be read."""

    row: int
    column: str | None
    """Its heading; None: the row as a whole."""
    problem: str
    transaction_id: str | None = None


Finding = Break | BadRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One transaction, as the statement has it. Amounts are above zero whatever the kind; a fee that is given back is
    negative."""

    row: int
    transaction_id: str
    kind: ReceiptKind
    amount: Money
    fee: Money | None
    net: Money | None
    """What reaches the bank: positive when it comes in, negative when it is taken off."""
    unsettled_status: str | None
    """The statement's own word, where it says that the money did not move; else None."""
    reference: str | None
    occurred_on: date | None
    settled_on: date


class Phase(StrEnum):
    """What a run is doing."""

    READING = "reading"
    MATCHING = "matching"
    MISSING = "looking for what is missing"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it has come, in rows; `total` is None while nobody knows."""

    phase: Phase
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Days:
    """From the first day to the last one, both included, in Dhaka."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("the last day is not before the first one")

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(slots=True)
class SettlementReport:
    """What a run found and did. Counts are exact; of findings it keeps the first `KEPT` of each kind."""

    statement: str
    applied: bool
    """Whether it was allowed to book."""
    rows: int = 0
    """Transactions in the statement."""
    ignored: int = 0
    """Rows of kinds that the format ignores, empty ones, and failed ones of which we know nothing either."""
    matched: int = 0
    """Agree with a receipt; `booked` and `already` are parts of it."""
    booked: int = 0
    """Settled by this run, or without `applied`: would be."""
    adjusted: int = 0
    """Settled before at another fee, corrected by this run, or would be."""
    already: int = 0
    """Settled before, the same: nothing to do."""
    superseded: int = 0
    """A later statement has corrected them since: nothing to do."""
    awaited: int = 0
    """Receipts that are not in the statement and too young to be missed."""
    bad_rows: int = 0
    covers: Days | None = None
    """The days for which it was asked what is missing; None: nobody could say."""
    breaks: Counter[BreakKind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    gross: dict[str, Money] = field(default_factory=dict)
    """Of all matched rows per currency: in less out."""
    fees: dict[str, Money] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs and every row could be read."""
        return not self.breaks and not self.bad_rows


#: How many findings of each kind a report keeps; all of them go to `on_finding`.
KEPT: Final = 100

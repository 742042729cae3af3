"""From a row of cells to a `Line`, to nothing, or to what is wrong with it; and a `Line` as text, for the spool."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from vextrus_payments.money import Money
from vextrus_payments.records import ReceiptKind
from vextrus_payments.settlement.cells import Cell, CellError, day_of, id_of, money_of, reference_of, text_of
from vextrus_payments.settlement.formats import Column, StatementFormat, folded
from vextrus_payments.settlement.reading import Row
from vextrus_payments.settlement.words import BadRow, Line

#: Money that leaves the gateway's account with us.
OUTGOING: Final = frozenset(
    {ReceiptKind.REFUND, ReceiptKind.REVERSAL, ReceiptKind.PAYOUT, ReceiptKind.CORRECTION}
)
#: Below every printable character: lines sort by their first field, then by their row.
PART: Final = "\x1f"
#: In the place of the kind, for a row of which only the id could be read.
UNREADABLE: Final = "?"


class _BadCellError(Exception):
    def __init__(self, column: Column | None, problem: str) -> None:
        super().__init__(problem)
        self.column, self.problem = column, problem


@dataclass(frozen=True, slots=True)
class Words:
    """A format's words, folded once."""

    kinds: dict[str, ReceiptKind]
    ignored: frozenset[str]
    settled: frozenset[str]
    unsettled: frozenset[str]
    footers: tuple[str, ...]

    @classmethod
    def of(cls, form: StatementFormat) -> Self:
        """The words of a format."""
        return cls(
            {folded(word): kind for word, kind in form.kinds.items()},
            frozenset(map(folded, form.ignored_kinds)),
            frozenset(map(folded, form.settled_words)),
            frozenset(map(folded, form.unsettled_words)),
            tuple(map(folded, form.footers)),
        )


class LineReader:
    """Reads the rows of one statement.

    Args:
        settled_on: the day of settlement, where the statement has no column for it.
    """

    def __init__(self, form: StatementFormat, settled_on: date | None) -> None:
        self._form = form
        self._words = Words.of(form)
        self._settled_on = settled_on

    def read(self, row: Row) -> Line | BadRow | None:
        """What the row is; None: it is empty, a footer, or of a kind that the format ignores."""
        if row.is_empty or (self._words.footers and row.first_word.startswith(self._words.footers)):
            return None
        bad: _BadCellError
        try:
            return self._line(row)
        except _BadCellError as error:
            bad = error
        heading = None if bad.column is None else row.headings.get(bad.column)
        return BadRow(
            row=row.number, column=heading, problem=bad.problem, transaction_id=self._id_or_none(row)
        )

    def _line(self, row: Row) -> Line | None:
        kind = self._kind(row)
        if kind is None:
            return None
        currency = self._currency(row)
        amount = self._money(row, Column.AMOUNT, currency)
        if amount is None:
            raise _BadCellError(Column.AMOUNT, "is empty")
        outgoing = kind in OUTGOING
        if self._form.signed and outgoing:
            amount = -amount
        if not amount.is_positive:
            wanted = "below zero" if self._form.signed and outgoing else "above zero"
            raise _BadCellError(Column.AMOUNT, f"is not {wanted}, as the amount of a {kind.value} has to be")
        fee = self._money(row, Column.FEE, currency)
        if fee is not None and self._form.fees == "negative":
            fee = -fee
        net = self._net(row, currency, outgoing)
        if net is not None and Column.FEE not in row.places:
            fee = (-amount if outgoing else amount) - net  # gross and net tell it
        return Line(
            row=row.number,
            transaction_id=self._id(row),
            kind=kind,
            amount=amount,
            fee=fee,
            net=net,
            unsettled_status=self._unsettled_status(row),
            reference=self._reference(row),
            occurred_on=self._day(row, Column.OCCURRED_ON, self._form.occurred_format),
            settled_on=self._settled(row),
        )

    # --- the columns ------------------------------------------------------------------------------------------

    def _id(self, row: Row) -> str:
        try:
            return id_of(row.cell(Column.TRANSACTION_ID) or "")
        except CellError as error:
            problem = str(error)
        raise _BadCellError(Column.TRANSACTION_ID, problem)

    def _id_or_none(self, row: Row) -> str | None:
        try:
            return self._id(row)
        except _BadCellError:
            return None

    def _kind(self, row: Row) -> ReceiptKind | None:
        word = self._word(row, Column.KIND)
        if word is None:
            return ReceiptKind.PAYMENT
        if word in self._words.ignored:
            return None
        kind = self._words.kinds.get(word)
        if kind is None:
            raise _BadCellError(
                Column.KIND, f"is {_shown(word)}, of which the format does not say what it means"
            )
        return kind

    def _currency(self, row: Row) -> str:
        word = self._word(row, Column.CURRENCY)
        if word is None:
            return self._form.currency
        if not re.fullmatch("[a-z]{3}", word, re.ASCII):
            raise _BadCellError(Column.CURRENCY, "is no currency of three letters")
        return word.upper()

    def _money(self, row: Row, column: Column, currency: str) -> Money | None:
        try:
            cell = row.cell(column)
            return None if cell is None or _is_empty(cell) else money_of(cell, currency, self._form)
        except CellError as error:
            problem = str(error)
        raise _BadCellError(column, problem)

    def _net(self, row: Row, currency: str, outgoing: bool) -> Money | None:
        net = self._money(row, Column.NET, currency)
        if net is None or self._form.signed or not outgoing:
            return net
        return -net

    def _unsettled_status(self, row: Row) -> str | None:
        word = self._word(row, Column.STATUS)
        if word is None or word in self._words.settled:
            return None
        if word not in self._words.unsettled:
            raise _BadCellError(
                Column.STATUS, f"is {_shown(word)}, of which the format does not say what it means"
            )
        return word

    def _reference(self, row: Row) -> str | None:
        try:
            cell = row.cell(Column.REFERENCE)
            return None if cell is None else reference_of(cell)
        except CellError as error:
            problem = str(error)
        raise _BadCellError(Column.REFERENCE, problem)

    def _settled(self, row: Row) -> date:
        day = self._day(row, Column.SETTLED_ON, self._form.settled_format) or self._settled_on
        if day is None:
            raise _BadCellError(Column.SETTLED_ON, "is empty")
        return day

    def _day(self, row: Row, column: Column, pattern: str) -> date | None:
        try:
            cell = row.cell(column)
            return None if cell is None or _is_empty(cell) else day_of(cell, pattern)
        except CellError as error:
            problem = str(error)
        raise _BadCellError(column, problem)

    def _word(self, row: Row, column: Column) -> str | None:
        """The folded word of a column; None where there is no such column."""
        try:
            cell = row.cell(column)
            return None if cell is None else folded(text_of(cell))
        except CellError as error:
            problem = str(error)
        raise _BadCellError(column, problem)


def _is_empty(cell: Cell) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _shown(word: str) -> str:
    return repr(word[:40]) if word else "empty"


# --- as text ------------------------------------------------------------------------------------------------------


def spooled(line: Line) -> str:
    """A line as text that sorts by transaction id, then by row."""
    parts = (
        line.transaction_id,
        f"{line.row:010d}",
        line.kind.value,
        str(line.amount.amount_minor),
        line.amount.currency,
        "" if line.fee is None else str(line.fee.amount_minor),
        "" if line.net is None else str(line.net.amount_minor),
        "" if line.unsettled_status is None else f"!{line.unsettled_status}",
        "" if line.reference is None else f"={line.reference}",
        "" if line.occurred_on is None else str(line.occurred_on.toordinal()),
        str(line.settled_on.toordinal()),
    )
    return PART.join(parts)


def spooled_unreadable(bad: BadRow) -> str:
    """A row of which only the transaction id could be read: it is not missing from the statement."""
    return PART.join((bad.transaction_id or "", f"{bad.row:010d}", UNREADABLE))


def unspooled(text: str) -> Line | str:
    """What `spooled` was given; of an unreadable row, its transaction id."""
    transaction_id, row, kind, *rest = text.split(PART)
    if kind == UNREADABLE:
        return transaction_id
    amount, currency, fee, net, status, reference, occurred, settled = rest
    return Line(
        row=int(row),
        transaction_id=transaction_id,
        kind=ReceiptKind(kind),
        amount=Money.from_minor(int(amount), currency),
        fee=Money.from_minor(int(fee), currency) if fee else None,
        net=Money.from_minor(int(net), currency) if net else None,
        unsettled_status=status[1:] if status else None,
        reference=reference[1:] if reference else None,
        occurred_on=date.fromordinal(int(occurred)) if occurred else None,
        settled_on=date.fromordinal(int(settled)),
    )

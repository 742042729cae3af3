"""What `vextrus-pay settle` shows: progress, a summary, the differences, and a file of all of them."""

import csv
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self

from vextrus_payments.cli.look import cell, prose, right, rows, table
from vextrus_payments.cli.output import console, say
from vextrus_payments.cli.waiting import Waiting
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.printable import one_line
from vextrus_payments.settlement import Break, Finding, Progress, SettlementReport

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN: Final = 20
#: These two counts are shown even where they are zero.
_ALWAYS: Final = ("transactions in the statement", "agree with a receipt")
_COLUMNS: Final = (
    "kind",
    "transaction_id",
    "row",
    "field",
    "ours",
    "theirs",
    "booked",
    "receipt_kind",
    "payment_id",
    "merchant_reference",
)
#: A cell that begins with one of these is a formula to a spreadsheet, and the statement is somebody else's words.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def finding_row(finding: Finding) -> dict[str, Any]:
    """One finding as plain values."""
    if isinstance(finding, Break):
        return {
            "kind": finding.kind.value,
            "transaction_id": finding.transaction_id,
            "row": finding.row,
            "field": finding.field,
            "ours": finding.ours,
            "theirs": finding.theirs,
            "booked": finding.booked,
            "receipt_kind": finding.receipt_kind.value,
            "payment_id": finding.payment_id,
            "merchant_reference": finding.merchant_reference,
        }
    return {
        "kind": "bad_row",
        "transaction_id": finding.transaction_id,
        "row": finding.row,
        "field": finding.column,
        "ours": None,
        "theirs": finding.problem,
        "booked": False,
        "receipt_kind": None,
        "payment_id": None,
        "merchant_reference": None,
    }


class FindingsFile:
    """All findings as CSV, in UTF-8 with a mark, so that a spreadsheet reads it as it is; nothing where none is named.

    Raises:
        ConfigurationError: the file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._writer: Any = None

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        problem = ""
        try:
            self._file = self._path.open("w", encoding="utf-8-sig", newline="")
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if self._file is None:
            raise ConfigurationError(
                f"{self._path} cannot be written: {problem}.",
                code="findings_file",
                next_step="Name another file.",
            )
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, finding: Finding) -> None:
        """Add one."""
        if self._writer is not None:
            row = finding_row(finding)
            self._writer.writerow([_harmless(row[column]) for column in _COLUMNS])


def _harmless(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


class SettleProgress:
    """A bar on a terminal; nothing elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._busy = Waiting("Reading the statement", quiet=quiet, bar=True)

    def __enter__(self) -> Self:
        self._busy.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy.__exit__(kind, error, traceback)

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        self._busy.tell(progress.phase.value.capitalize())
        self._busy.count(progress.done, progress.total)


def report_document(report: SettlementReport) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "statement": report.statement,
        "applied": report.applied,
        "agrees": report.agrees,
        "rows": report.rows,
        "matched": report.matched,
        "booked": report.booked,
        "adjusted": report.adjusted,
        "already": report.already,
        "superseded": report.superseded,
        "ignored": report.ignored,
        "awaited": report.awaited,
        "bad_rows": report.bad_rows,
        "covers": None
        if report.covers is None
        else {"first": report.covers.first.isoformat(), "last": report.covers.last.isoformat()},
        "breaks": {kind.value: count for kind, count in sorted(report.breaks.items())},
        "gross": {currency: amount.amount for currency, amount in sorted(report.gross.items())},
        "fees": {currency: amount.amount for currency, amount in sorted(report.fees.items())},
        "findings": [finding_row(finding) for finding in report.findings],
    }


def show_report(report: SettlementReport, findings: Path | None) -> None:
    """The report for a person."""
    out = console()
    summary = table("What", right("How many"), title=one_line(report.statement, 80))
    for words, count in _counts(report):
        if count or words in _ALWAYS:
            summary.add_row(cell(words), cell(f"{count:,}"))
    for currency, amount in sorted(report.gross.items()):
        summary.add_row(cell(f"gross of what agrees, {currency}"), cell(amount.amount))
    for currency, amount in sorted(report.fees.items()):
        summary.add_row(cell(f"fees of what agrees, {currency}"), cell(amount.amount))
    for kind, count in sorted(report.breaks.items()):
        summary.add_row(cell(f"differ: {kind.value}", "bad"), cell(f"{count:,}", "bad"))
    out.print(summary)
    if report.findings:
        _show_findings(report, out)
        if findings is None and sum(report.breaks.values()) + report.bad_rows > _SHOWN:
            say(f"The first {_SHOWN} are shown; --findings FILE writes all of them.")
    if findings is not None:
        say(f"All differences: {findings}")
    if report.covers is None:
        say(
            "The statement is empty, so nothing was looked for that might be missing in it; --covers would say what."
        )
    if not report.applied and report.booked + report.adjusted:
        say("Nothing was booked: --apply books what agrees.")


def _counts(report: SettlementReport) -> list[tuple[str, int]]:
    would = "" if report.applied else "would be "
    return [
        (_ALWAYS[0], report.rows),
        (_ALWAYS[1], report.matched),
        (f"{would}settled by this run", report.booked),
        (f"{would}corrected by this run", report.adjusted),
        ("settled before", report.already),
        ("corrected by a later statement", report.superseded),
        ("rows that are no transactions", report.ignored),
        ("receipts still awaited", report.awaited),
        ("rows that cannot be read", report.bad_rows),
    ]


def _show_findings(report: SettlementReport, out: "Console") -> None:
    columns = (
        "Differs",
        "Transaction",
        right("Row"),
        "Field",
        prose("Ours"),
        prose("The statement"),
        "Booked",
    )
    names = ("kind", "transaction_id", "row", "field", "ours", "theirs")
    cells = []
    for finding in report.findings[:_SHOWN]:
        row = finding_row(finding)
        booked = cell("yes" if row["booked"] else "no")
        cells.append([*(cell(row[name], limit=60) for name in names), booked])
    rows(out, columns, cells)

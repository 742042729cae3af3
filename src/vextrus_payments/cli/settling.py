"""What `vextrus-pay settle` shows: progress, a summary, the differences, and a file of all of them."""

import csv
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from vextrus_payments.cli.output import console, say
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.printable import one_line
from vextrus_payments.settlement import Break, Finding, Phase, Progress, SettlementReport

_SHOWN: Final = 20
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
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._phase: Phase | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=console(sys.stderr),
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        if progress.phase is not self._phase:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._phase = progress.phase
            self._task = self._bar.add_task(progress.phase.value.capitalize(), total=progress.total)
        self._bar.update(self._task, completed=progress.done, total=progress.total)


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
    from rich.table import Table
    from rich.text import Text

    out = console()
    would = "" if report.applied else "would be "
    summary = Table(title=Text(one_line(report.statement, 80)), show_header=False)
    summary.add_column()
    summary.add_column(justify="right")
    for words, count in (
        ("transactions in the statement", report.rows),
        ("agree with a receipt", report.matched),
        (f"{would}settled by this run", report.booked),
        (f"{would}corrected by this run", report.adjusted),
        ("settled before", report.already),
        ("corrected by a later statement", report.superseded),
        ("rows that are no transactions", report.ignored),
        ("receipts still awaited", report.awaited),
        ("rows that cannot be read", report.bad_rows),
    ):
        if count or words in ("transactions in the statement", "agree with a receipt"):
            summary.add_row(words, f"{count:,}")
    for currency, amount in sorted(report.gross.items()):
        summary.add_row(f"gross of what agrees, {currency}", amount.amount)
    for currency, amount in sorted(report.fees.items()):
        summary.add_row(f"fees of what agrees, {currency}", amount.amount)
    for kind, count in sorted(report.breaks.items()):
        summary.add_row(f"differ: {kind.value}", f"{count:,}")
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


def _show_findings(report: SettlementReport, out: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("differs", "transaction", "row", "field", "ours", "the statement", "booked")
    for finding in report.findings[:_SHOWN]:
        row = finding_row(finding)
        cells = [row[name] for name in ("kind", "transaction_id", "row", "field", "ours", "theirs")]
        shown = [
            Text("-" if cell is None else one_line(str(cell), 60)) for cell in cells
        ]  # no markup of theirs
        table.add_row(*shown, "yes" if row["booked"] else "no")
    out.print(table)

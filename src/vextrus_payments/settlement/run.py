"""One run over one statement: read it whole, hold it against the store, book what agrees, look for what is missing.

Why in that order. The whole statement is read, and sorted by transaction id on the disk, before anything is booked:
a row that cannot be read stops the run while nothing has happened. Sorted, the rows of one transaction stand side by
side, so that a duplicate is seen without remembering a million ids; and the receipts that nobody mentions come out by
walking two sorted lists side by side. Memory stays the same whatever the statement's length.

Why a second run changes nothing. Each receipt has one settlement with a version, written by compare-and-set together
with its entries: whoever comes second finds it and has nothing to do. A run that dies in the middle has booked some
rows whole and the others not at all; the next one goes on.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import InvalidRequestError, StatementError, StorageError
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.plans import SettlementPlan
from vextrus_payments.records import Receipt, ReceiptKey, ReceiptKind, Settlement
from vextrus_payments.settlement.booking import plan_settlement
from vextrus_payments.settlement.formats import Column, StatementFormat
from vextrus_payments.settlement.lines import (
    OUTGOING,
    LineReader,
    spooled,
    spooled_unreadable,
    unspooled,
)
from vextrus_payments.settlement.matching import (
    Deed,
    Known,
    Tolerances,
    Verdict,
    corrections_last,
    deed_of,
    duplicate_of,
    judge,
    needs_order_ids,
)
from vextrus_payments.settlement.missing import Account, MissingSearch
from vextrus_payments.settlement.reading import read_rows
from vextrus_payments.settlement.spool import Spool, chunks, parts_of
from vextrus_payments.settlement.words import (
    KEPT,
    BadRow,
    Break,
    Days,
    Finding,
    Line,
    Phase,
    Progress,
    SettlementReport,
)
from vextrus_payments.store import PaymentStore

#: After so many rows others get a turn on the event loop.
_TURN: Final = 500
_MOST_ROWS: Final = 5_000_000
_TRIES: Final = 5
_TOLERANCES: Final = Tolerances()

OnFinding = Callable[[Finding], None]
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTerms:
    """What a run is asked to do.

    Attributes:
        apply: book what agrees; without it nothing is written, and the report says what would be.
        on_bad_row: "stop": a row that cannot be read stops the run before anything is booked. "skip": it is reported
            and left out.
        covers: the days whose transactions the statement has all of: each receipt of them that is not in it is
            missing there. None: from the statement's first day to its last one, and receipts of its last
            `tolerances.settles_within_days` days are awaited, not missing.
        settled_on: the day of settlement, where the statement has no column for it.
        name: the statement's name in our books; None: the file's.
        tolerances: how far days may be apart.
        max_rows: more are refused.
        folder: for temporary files; None: the system's.
    """

    apply: bool = False
    on_bad_row: Literal["stop", "skip"] = "stop"
    covers: Days | None = None
    settled_on: date | None = None
    name: str | None = None
    tolerances: Tolerances = _TOLERANCES
    max_rows: int = _MOST_ROWS
    folder: Path | None = None


class SettlementRun:
    """Holds one statement against one account: a tenant's, at one gateway, in one mode.

    Args:
        on_finding: told every break and every bad row, in no particular order; the report keeps the first of each.
        on_progress: told every few hundred rows.
    """

    def __init__(
        self,
        store: PaymentStore,
        *,
        tenant: str,
        gateway: str,
        mode: Mode,
        form: StatementFormat,
        terms: SettlementTerms = SettlementTerms(),
        accounts: AccountMap = DEFAULT_ACCOUNTS,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        on_finding: OnFinding | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._store = store
        self._tenant, self._gateway, self._mode = tenant, gateway, mode
        self._form, self._terms, self._accounts = form, terms, accounts
        self._clock = clock or SystemClock()
        self._sleeper = sleeper or SystemSleeper()
        self._on_finding = on_finding
        self._on_progress = on_progress
        self._report = SettlementReport(statement="", applied=terms.apply)
        self._first_day: date | None = None
        self._last_day: date | None = None
        self._rows_read = 0
        self._carried: dict[tuple[str, ReceiptKind], Line] = {}

    async def run(self, path: str | Path) -> SettlementReport:
        """Do it.

        Raises:
            StatementError: the file cannot be read, or (with on_bad_row="stop") a row of it. Nothing was booked.
            MissingExtraError: it is an XLSX file and openpyxl is not installed.
            InvalidRequestError: nothing says on which day the statement was settled.
            StorageError: what was booked before stays booked; run it again.
        """
        path = Path(path)
        self._report.statement = self._terms.name or path.name
        with Spool(self._terms.folder) as lines:
            await self._read(path, lines)
            await self._match(lines)
            await self._look_for_missing(lines)
        return self._report

    async def _look_for_missing(self, lines: Spool) -> None:
        covers = self._terms.covers
        if covers is None and self._first_day is not None and self._last_day is not None:
            covers = Days(self._first_day, self._last_day)
        self._report.covers = covers
        if covers is None:
            return  # an empty statement, and nobody said which days it is of
        search = MissingSearch(
            self._store,
            account=Account(self._tenant, self._gateway, self._mode),
            kinds=self._form.receipt_kinds,
            covers=covers,
            awaited_days=self._terms.tolerances.settles_within_days if self._terms.covers is None else None,
            folder=self._terms.folder,
        )
        async with aclosing(search.run(lines)) as steps:
            async for done, found in steps:
                for one in found:
                    if isinstance(one, Break):
                        self._found(one)
                    else:
                        self._report.awaited += 1
                await self._turn(Phase.MISSING, done, None)

    # --- reading ----------------------------------------------------------------------------------------------

    async def _read(self, path: Path, lines: Spool) -> None:
        reader = LineReader(self._form, self._terms.settled_on)
        first_bad: BadRow | None = None
        for row in read_rows(path, self._form):
            self._rows_read += 1
            if self._rows_read > self._terms.max_rows:
                raise StatementError(
                    f"{path.name} has more than {self._terms.max_rows} rows.",
                    code="statement_too_large",
                    next_step="Split it, or raise max_rows.",
                )
            if (
                self._rows_read == 1
                and Column.SETTLED_ON not in row.places
                and self._terms.settled_on is None
            ):
                raise InvalidRequestError(
                    "The statement has no column for the day of settlement, and no day was given.",
                    field="settled_on",
                    rule="a column or a day",
                )
            if self._rows_read % _TURN == 0:
                await self._turn(Phase.READING, self._rows_read, None)
            line = reader.read(row)
            if line is None:
                self._report.ignored += 1
            elif isinstance(line, BadRow):
                first_bad = first_bad or line
                self._report.bad_rows += 1
                self._found(line)
                if line.transaction_id is not None:
                    lines.add(spooled_unreadable(line))
            else:
                self._note_day(line)
                lines.add(spooled(line))
        if first_bad is not None and self._terms.on_bad_row == "stop":
            raise self._stopped_by(first_bad)

    def _note_day(self, line: Line) -> None:
        day = line.occurred_on or line.settled_on
        self._first_day = day if self._first_day is None else min(self._first_day, day)
        self._last_day = day if self._last_day is None else max(self._last_day, day)

    def _stopped_by(self, bad: BadRow) -> StatementError:
        where = f"row {bad.row}" if bad.column is None else f"row {bad.row}, column {bad.column!r},"
        others = self._report.bad_rows - 1
        more = f" So are {others} more rows." if others > 1 else " So is one more row." if others else ""
        return StatementError(
            f"{self._report.statement}: {where} {bad.problem}: it is not readable.{more} Nothing was booked.",
            code="statement_bad_row",
            row=bad.row,
            column=bad.column,
            bad_rows=self._report.bad_rows,
            next_step='Correct the file or the format; on_bad_row="skip" leaves such rows out and reports them.',
        )

    # --- matching ---------------------------------------------------------------------------------------------

    async def _match(self, lines: Spool) -> None:
        done = 0
        for chunk in chunks(lines):
            await self._chunk(chunk)
            done += len(chunk)
            await self._turn(Phase.MATCHING, done, lines.count)

    async def _chunk(self, texts: Sequence[str]) -> None:
        # The last transaction may go on in the next chunk: its lines there are duplicates of these.
        carried, self._carried = self._carried, {}
        first_of: dict[tuple[str, ReceiptKind], Line] = {}
        again: list[tuple[Line, Line]] = []
        for text in texts:
            line = unspooled(text)
            if isinstance(line, str):
                continue
            self._report.rows += 1
            key = (line.transaction_id, line.kind)
            first = carried.get(key) or first_of.setdefault(key, line)
            if first is not line:
                again.append((line, first))
            if self._carried and next(iter(self._carried))[0] != line.transaction_id:
                self._carried = {}
            self._carried[key] = first
        known = await self._known([*first_of.values(), *(first for _, first in again)])
        for line, first in again:
            receipt = known[first.transaction_id].receipts.get(first.kind)
            self._found(duplicate_of(line, first, receipt))
        verdicts: list[tuple[Line, Verdict]] = []
        for line in first_of.values():
            found = known[line.transaction_id]
            mine = await self._completed(line, found)
            verdict = judge(
                line,
                mine,
                self._mode,
                self._terms.tolerances,
                reference_is_ours=self._form.reference_is == "merchant_reference",
            )
            for one in verdict.breaks:
                self._found(one)
            verdicts.append((line, verdict))
        await self._book(verdicts)

    async def _known(self, lines: Sequence[Line]) -> "dict[str, _Found]":
        """What our records have of each transaction id."""
        ids = list({line.transaction_id for line in lines})
        found = {name: _Found({}) for name in ids}
        receipts: list[Receipt] = []
        for part in parts_of(ids):
            receipts += await self._store.receipts(self._tenant, self._gateway, self._mode, part)
        for receipt in corrections_last(receipts):
            # a correction stands where the statement has what it corrects
            found[receipt.transaction_id].receipts[receipt.moved_as] = receipt
        # what was settled before it was corrected stays settled
        kinds = {receipt.key: receipt.moved_as for receipt in receipts}
        for keys_part in parts_of(list(kinds)):
            for settlement in await self._store.settlements(keys_part):
                one, kind = found[settlement.transaction_id], kinds[settlement.key]
                if kind not in one.settlements or settlement.key == one.receipts[kind].key:
                    one.settlements[kind] = settlement
        unknown = [name for name in ids if not found[name].receipts]
        other = Mode.LIVE if self._mode is Mode.SANDBOX else Mode.SANDBOX
        for part in parts_of(unknown):
            for receipt in await self._store.receipts(self._tenant, self._gateway, other, part):
                found[receipt.transaction_id].elsewhere = receipt
        return found

    async def _completed(self, line: Line, found: "_Found") -> Known:
        """What is known of a line's transaction, with our gateway order ids where they are asked for."""
        receipt = found.receipts.get(line.kind)
        order_ids: frozenset[str] | None = None
        ours = self._form.reference_is == "merchant_reference"
        if needs_order_ids(line, receipt, reference_is_ours=ours) and receipt and receipt.payment_id:
            facts = await self._store.get(self._tenant, receipt.payment_id)
            submissions = () if facts is None else facts.submissions
            order_ids = frozenset(
                submission.gateway_order_id
                for submission in submissions
                if receipt.submission_no in (None, submission.submission_no)
            )
        return Known(found.receipts, found.elsewhere, found.settlements.get(line.kind), order_ids)

    # --- booking ----------------------------------------------------------------------------------------------

    async def _book(self, verdicts: Sequence[tuple[Line, Verdict]]) -> None:
        report = self._report
        wanted: list[tuple[Line, Receipt]] = []
        for line, verdict in verdicts:
            if verdict.deed is Deed.IGNORE:
                report.ignored += 1
            if verdict.receipt is None or verdict.deed is Deed.REPORT:
                continue
            self._count(line, verdict.receipt)
            if verdict.deed is Deed.ALREADY:
                report.already += 1
            elif verdict.deed is Deed.SUPERSEDED:
                report.superseded += 1
            else:
                report.booked += verdict.deed is Deed.SETTLE
                report.adjusted += verdict.deed is Deed.ADJUST
                wanted.append((line, verdict.receipt))
        if self._terms.apply:
            for part in parts_of(wanted):
                await self._settle(part)

    def _count(self, line: Line, receipt: Receipt) -> None:
        report, currency = self._report, receipt.amount.currency
        report.matched += 1
        gross = -line.amount if line.kind in OUTGOING else line.amount
        nothing = Money.from_minor(0, currency)
        report.gross[currency] = report.gross.get(currency, nothing) + gross
        if line.fee is not None:
            report.fees[currency] = report.fees.get(currency, nothing) + line.fee

    async def _settle(self, wanted: Sequence[tuple[Line, Receipt]]) -> None:
        """Write settlements; what somebody else settled at the same moment is theirs.

        Raises:
            StorageError: others were quicker every time.
        """
        left = list(wanted)
        for _ in range(_TRIES):
            before = {s.key: s for s in await self._settlements([receipt.key for _, receipt in left])}
            left = [
                (line, receipt)
                for line, receipt in left
                if deed_of(line, receipt, before.get(receipt.key), self._terms.tolerances)
                in (Deed.SETTLE, Deed.ADJUST)
            ]
            plans = [self._plan(line, receipt, before.get(receipt.key)) for line, receipt in left]
            if not plans or await self._store.settle(plans) == len(plans):
                return
        raise StorageError(
            "Somebody else settles the same transactions at this moment. What was booked before stays booked.",
            code="settlement_contended",
            next_step="Let the other run end, then run this statement again.",
        )

    async def _settlements(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        return await self._store.settlements(keys) if keys else ()

    def _plan(self, line: Line, receipt: Receipt, before: Settlement | None) -> SettlementPlan:
        return plan_settlement(
            line,
            receipt,
            before,
            statement=self._report.statement,
            accounts=self._accounts,
            now=self._clock.now(),
        )

    # --- telling ----------------------------------------------------------------------------------------------

    def _found(self, finding: Finding) -> None:
        report = self._report
        if isinstance(finding, Break):
            report.breaks[finding.kind] += 1
            kept = report.breaks[finding.kind] <= KEPT
        else:
            kept = report.bad_rows <= KEPT
        if kept:
            report.findings.append(finding)
        if self._on_finding is not None:
            self._on_finding(finding)

    async def _turn(self, phase: Phase, done: int, total: int | None) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(phase, done, total))
        await self._sleeper.sleep(0)


class _Found:
    """What our records have of one transaction id."""

    def __init__(self, receipts: dict[ReceiptKind, Receipt]) -> None:
        self.receipts = receipts
        self.settlements: dict[ReceiptKind, Settlement] = {}
        self.elsewhere: Receipt | None = None

"""Runs: again, over one another, over bad rows, cut off in the middle, and beside each other."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.postgres_database import emptied
from tests.services import Databases
from tests.settlement.books import balances, entries_of, entry_ids
from tests.settlement.shop import Desk, receipt, recorded
from vextrus_payments.errors import Effect, InvalidRequestError, StatementError, StorageError
from vextrus_payments.ledger import EntryKind
from vextrus_payments.plans import SettlementPlan
from vextrus_payments.settlement import (
    BadRow,
    BreakKind,
    Days,
    Phase,
    Progress,
    SettlementRun,
    SettlementTerms,
    Tolerances,
)
from vextrus_payments.settlement.formats import GENERIC
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, PostgresStore, SqliteStore

CLEARING = "gateway_clearing:bkash:sandbox"


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield made
    postgres_databases.drop(made)


async def opened(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> PaymentStore:
    """An empty store of that kind."""
    store: PaymentStore
    if kind == "postgres":
        where = request.getfixturevalue("dsn")
        store = postgres = PostgresStore(where)
        await postgres.migrate()
        await emptied(where)
    else:
        store = MemoryStore() if kind == "memory" else SqliteStore(tmp_path / "payments.db")
    await store.open()
    return store


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def desk(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    store = await opened(request.param, tmp_path, request)
    yield Desk(store, tmp_path)
    await store.close()


async def three(desk: Desk) -> None:
    for number in (1, 2, 3):
        await recorded(desk.store, receipt(f"TX{number}", payment_id=f"pay_{number}"))


def row(number: int, fee: str = "1.85", day: str = "2026-01-21") -> str:
    return f"TX{number},payment,100.00,{fee},{day}"


# --- again --------------------------------------------------------------------------------------------------------


async def test_without_apply_nothing_is_written(desk: Desk) -> None:
    await three(desk)
    before = await entry_ids(desk.store)
    report = await desk.settle(desk.statement(row(1), row(2)), apply=False)
    assert (report.booked, report.applied) == (2, False)
    assert await entry_ids(desk.store) == before
    assert await desk.store.settlements([receipt("TX1").key]) == ()


async def test_an_overlapping_statement_changes_nothing_of_what_is_settled(desk: Desk) -> None:
    await three(desk)
    await desk.settle(desk.statement(row(1), row(2), name="daily.csv"))
    ids = await entry_ids(desk.store)
    report = await desk.settle(desk.statement(row(2, day="2026-01-31"), row(3), name="monthly.csv"))
    assert (report.booked, report.already) == (1, 1)
    assert desk.found == []
    assert len(await entry_ids(desk.store)) == len(ids) + 2
    [second] = await desk.store.settlements([receipt("TX2").key])
    assert (second.statement, second.row, second.settled_on) == ("daily.csv", 3, date(2026, 1, 21))


async def test_a_later_statement_corrects_the_fee_and_the_earlier_one_does_not_undo_it(desk: Desk) -> None:
    await three(desk)
    daily = desk.statement(row(1), name="daily.csv")
    monthly = desk.statement(row(1, "2.35", "2026-01-31"), name="monthly.csv")
    await desk.settle(daily)
    report = await desk.settle(monthly)
    assert (report.booked, report.adjusted) == (0, 1)
    sums = await balances(desk.store)
    assert (sums["bank"], sums["gateway_fees:bkash"]) == (9765, 235)
    ids = await entry_ids(desk.store)
    report = await desk.settle(daily)
    assert (report.superseded, report.adjusted) == (1, 0)
    assert desk.found == []
    report = await desk.settle(monthly)
    assert report.already == 1
    assert await entry_ids(desk.store) == ids
    [settlement] = await desk.store.settlements([receipt("TX1").key])
    assert (settlement.version, settlement.statement) == (2, "monthly.csv")


async def test_a_fee_that_the_first_statement_did_not_know_is_booked_by_the_next(desk: Desk) -> None:
    await three(desk)
    without = desk.statement("TX1,payment,100.00,,2026-01-21", name="a.csv")
    await desk.settle(without)
    assert (await balances(desk.store))["bank"] == 10000
    report = await desk.settle(desk.statement(row(1), name="b.csv"))
    assert report.adjusted == 1
    sums = await balances(desk.store)
    assert (sums["bank"], sums["gateway_fees:bkash"]) == (9815, 185)
    report = await desk.settle(without)
    assert (report.already, desk.found) == (1, [])


async def test_two_words_of_one_day_are_a_question_for_a_person(desk: Desk) -> None:
    await three(desk)
    await desk.settle(desk.statement(row(1), name="a.csv"))
    ids = await entry_ids(desk.store)
    other = desk.statement(row(1, "2.35"), name="b.csv")
    report = await desk.settle(other)
    assert desk.breaks == [
        (BreakKind.RESTATED, "fee", "1.85 BDT (statement a.csv, row 2)", "2.35 BDT"),
    ]
    assert not desk.found[0].booked
    assert report.adjusted == 0
    assert await entry_ids(desk.store) == ids
    report = await desk.settle(other, tolerances=Tolerances(accept_restated=True))
    assert report.adjusted == 1
    assert desk.found[0].booked
    sums = await balances(desk.store)
    assert (sums["bank"], sums["gateway_fees:bkash"]) == (9765, 235)


# --- bad rows -----------------------------------------------------------------------------------------------------


async def test_a_bad_row_stops_the_run_before_anything_is_booked(desk: Desk) -> None:
    await three(desk)
    before = await entry_ids(desk.store)
    path = desk.statement(row(1), 'TX2,payment,"1,500",1.85,2026-01-21', row(3), ",payment,1,,2026-01-21")
    with pytest.raises(StatementError) as caught:
        await desk.settle(path)
    error = caught.value
    assert (error.row, error.column, error.bad_rows) == (3, "amount", 2)
    assert "statement.csv: row 3, column 'amount', has thousands separators" in str(error)
    assert "Nothing was booked" in str(error)
    assert error.effect is Effect.NONE
    assert await entry_ids(desk.store) == before
    assert [one.row for one in desk.found] == [3, 5]


async def test_a_bad_row_is_left_out_where_that_was_asked_for(desk: Desk) -> None:
    await three(desk)
    path = desk.statement(row(1), 'TX2,payment,"1,500",1.85,2026-01-21', ",payment,1,,2026-01-21")
    report = await desk.settle(path, on_bad_row="skip", covers=Days(date(2026, 1, 1), date(2026, 1, 31)))
    assert (report.booked, report.bad_rows) == (1, 2)
    assert not report.agrees
    bad = [one for one in desk.found if isinstance(one, BadRow)]
    assert [(one.row, one.column, one.transaction_id) for one in bad] == [
        (3, "amount", "TX2"),
        (4, "transaction_id", None),
    ]
    missing = [one.transaction_id for one in desk.found if one not in bad]
    assert missing == ["TX3"], "TX2 is in the statement, unreadable as its row is"


async def test_more_rows_than_allowed_are_refused(desk: Desk) -> None:
    with pytest.raises(StatementError, match="more than 2 rows"):
        await desk.settle(desk.statement(row(1), row(2), row(3)), max_rows=2)


async def test_somebody_has_to_say_on_which_day_it_was_settled(desk: Desk) -> None:
    await three(desk)
    path = desk.statement("TX1,100.00", heads="transaction_id,amount")
    with pytest.raises(InvalidRequestError, match="day of settlement"):
        await desk.settle(path)
    report = await desk.settle(path, settled_on=date(2026, 1, 22))
    assert report.booked == 1
    [settlement] = await desk.store.settlements([receipt("TX1").key])
    assert settlement.settled_on == date(2026, 1, 22)


async def test_an_empty_statement_is_no_mistake(desk: Desk) -> None:
    report = await desk.settle(desk.statement())
    assert report.agrees
    assert report.rows == 0


# --- cut off, and side by side ------------------------------------------------------------------------------------


class Failing:
    """A store whose settle fails at its n-th call, before or after it was written."""

    def __init__(self, store: Any, at: int, *, after: bool) -> None:
        self._store, self._at, self._after, self._calls = store, at, after, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        self._calls += 1
        if self._calls == self._at:
            if self._after:
                await self._store.settle(plans)
            raise StorageError("The database went away.")
        written: int = await self._store.settle(plans)
        return written


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_run_that_is_cut_off_is_finished_by_the_next(
    at: int, after: bool, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vextrus_payments.settlement.spool.CHUNK", 1)
    await three(desk)
    path = desk.statement(row(1), row(2), row(3))
    whole = desk.store
    desk.store = Failing(whole, at, after=after)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="went away"):
        await desk.settle(path)
    booked = {
        entry.transaction_id async for entry in entries_of(whole) if entry.kind is EntryKind.PAYMENT_FEE
    }
    assert len(booked) == at - (0 if after else 1)
    desk.store = whole
    report = await desk.settle(path)
    assert (report.booked, report.already) == (3 - len(booked), len(booked))
    sums = await balances(desk.store)
    assert (sums["bank"], sums[CLEARING]) == (3 * 9815, 0)
    ids = await entry_ids(desk.store)
    assert len(set(ids)) == len(ids)


async def test_runs_side_by_side_settle_each_receipt_once(desk: Desk) -> None:
    for number in range(40):
        await recorded(desk.store, receipt(f"TX{number}", payment_id=f"pay_{number}"))
    path = desk.statement(*(row(number) for number in range(40)))
    desks = [Desk(desk.store, desk.folder) for _ in range(6)]
    reports = await asyncio.gather(*(one.settle(path) for one in desks))
    assert all(report.matched == 40 for report in reports)
    sums = await balances(desk.store)
    assert (sums["bank"], sums[CLEARING]) == (40 * 9815, 0)
    ids = await entry_ids(desk.store)
    assert len(set(ids)) == len(ids) == 40 * 3


async def test_a_run_gives_up_where_others_are_always_quicker(desk: Desk) -> None:
    await three(desk)

    class Taken(Failing):
        async def settle(self, plans: Sequence[SettlementPlan]) -> int:
            return 0

    desk.store = Taken(desk.store, 0, after=False)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="Somebody else settles"):
        await desk.settle(desk.statement(row(1)))


async def test_progress_is_told_and_nothing_is_left_in_the_folder(desk: Desk, tmp_path: Path) -> None:
    await three(desk)
    told: list[Progress] = []
    folder = tmp_path / "spool"
    folder.mkdir()
    rows = [f"XX{number},payment,1,0,2026-01-21" for number in range(1200)]
    run = SettlementRun(
        desk.store,
        tenant="acme",
        gateway="bkash",
        mode=receipt().mode,
        form=GENERIC,
        terms=SettlementTerms(folder=folder),
        on_progress=told.append,
    )
    report = await run.run(desk.statement(*rows))
    assert report.breaks[BreakKind.MISSING_HERE] == 1200
    assert len(report.findings) == 100, "a report keeps the first of each kind"
    assert list(dict.fromkeys(one.phase for one in told)) == [Phase.READING, Phase.MATCHING, Phase.MISSING]
    reading = [one.done for one in told if one.phase is Phase.READING]
    assert reading == [500, 1000]
    assert [(one.done, one.total) for one in told if one.phase is Phase.MATCHING] == [
        (1000, 1200),
        (1200, 1200),
    ]
    assert list(folder.iterdir()) == []

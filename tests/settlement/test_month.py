"""R12 in small: every mistake of twelve kinds is found, nothing else is, and a second run changes nothing."""

from pathlib import Path

import pytest

from tests.settlement.books import balances, entries_of, entry_ids
from tests.settlement.world import FORM, GATEWAY, MODE, MONTH, TENANT, TWELVE, Month
from vextrus_payments.ledger import EntryKind
from vextrus_payments.settlement import (
    Break,
    BreakKind,
    Finding,
    SettlementReport,
    SettlementRun,
    SettlementTerms,
)
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import SqliteStore

COUNT, MISTAKES = 8_000, 1_200


async def settle(
    store: PaymentStore, statement: Path, *, apply: bool
) -> tuple[SettlementReport, set[tuple[BreakKind, str]]]:
    """The report, and what was found; each finding once."""
    found: list[Finding] = []
    run = SettlementRun(
        store,
        tenant=TENANT,
        gateway=GATEWAY,
        mode=MODE,
        form=FORM,
        terms=SettlementTerms(apply=apply, covers=MONTH),
        on_finding=found.append,
    )
    report = await run.run(statement)
    breaks = [(one.kind, one.transaction_id) for one in found if isinstance(one, Break)]
    assert len(breaks) == len(found) == len(set(breaks))
    return report, set(breaks)


async def test_every_mistake_is_found_and_nothing_else(tmp_path: Path) -> None:
    month = Month(COUNT, MISTAKES)
    statement = tmp_path / "january.csv"
    month.write(statement)
    assert set(month.dealt) == set(TWELVE)
    assert set(month.dealt.values()) == {MISTAKES // 12}
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    try:
        await month.record(store, at_once=256)

        report, found = await settle(store, statement, apply=False)
        assert found == month.expected
        assert report.booked == month.agreeing
        assert await entry_ids(store) == [], "without `apply` nothing is written"

        report, found = await settle(store, statement, apply=True)
        assert found == month.expected
        assert (report.booked, report.already) == (month.agreeing, 0)
        ids = await entry_ids(store)
        assert len(set(ids)) == len(ids)
        sums = await balances(store)
        assert sums["bank"] == month.bank_minor, "the bank gets what the statement says, to the paisa"
        kinds = {entry.kind async for entry in entries_of(store)}
        assert kinds == {EntryKind.PAYMENT_SETTLED, EntryKind.PAYMENT_FEE}

        again, found = await settle(store, statement, apply=True)
        assert found == month.expected
        assert (again.booked, again.adjusted, again.already) == (0, 0, month.agreeing)
        assert await entry_ids(store) == ids, "a second run changes nothing"
    finally:
        await store.close()


@pytest.mark.parametrize("seed", range(4))
async def test_a_month_without_mistakes_has_no_findings(seed: int, tmp_path: Path) -> None:
    from vextrus_payments.stores import MemoryStore

    month = Month(400, 0, seed=seed)
    statement = tmp_path / "january.csv"
    month.write(statement)
    store = MemoryStore()
    await store.open()
    await month.record(store)
    report, found = await settle(store, statement, apply=True)
    assert found == set()
    assert report.agrees
    assert report.booked == report.rows == 400

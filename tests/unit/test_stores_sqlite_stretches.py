"""What the SQLite store counts and lists in stretches comes out the same, however long they are."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.sqlite_file import trial_of
from vextrus_payments.inbox import InboxBacklog, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.plans import Plan
from vextrus_payments.records import OutboxKind, OutboxRow, Receipt
from vextrus_payments.stores import SqliteStore
from vextrus_payments.stores.sqlite import inbox, reading
from vextrus_payments.testing.store_check import check_store
from vextrus_payments.testing.store_records import settlement_plan
from vextrus_payments.testing.time import EPOCH, FakeClock

_NEWS = NewInboxEvent(
    tenant="acme",
    gateway="bkash",
    mode=Mode.SANDBOX,
    event_id="e",
    news_key=None,
    document="{}",
    headers={},
    body=b"",
    received_at=EPOCH,
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("length", [1, 2, 3, 7, 2_000])
async def test_a_long_backlog_is_counted_piece_by_piece(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(reading, "_STRETCH", length)
    trial = trial_of(store)
    made = await trial.reserved("INV-1")
    rows = [
        OutboxRow(
            tenant="acme",
            row_id=f"row-{subject}-{number}",
            subject=f"s{subject}",
            seq=number // 2,  # two of each: no place in the order is unique
            kind=OutboxKind.EVENT,
            document="{}",
            created_at=store.now(),
            parked="no" if number == 4 else None,
        )
        for subject in range(3)
        for number in range(6)
    ]
    payment = replace(made.facts.payment, version=2)
    await trial.recorded(Plan(payment=payment, expected_version=1, outbox=tuple(rows)))
    backlog = await store.backlog(OutboxKind.EVENT)
    assert (backlog.waiting, backlog.parked) == (15, 3)
    assert backlog.oldest_created_at == rows[0].created_at
    assert (await store.backlog(OutboxKind.LEDGER)).oldest_created_at is None


@pytest.mark.parametrize("length", [1, 2, 3, 2_000])
async def test_unsettled_receipts_are_found_among_settled_ones(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(reading, "_STRETCH", length)
    receipts: list[Receipt] = []
    for number in range(9):
        receipts += (await trial_of(store).paid(f"INV-{number}")).receipts
    open_ones = [receipts[number] for number in (0, 4, 5, 8)]
    settled = [settlement_plan(each, store.now()) for each in receipts if each not in open_ones]
    assert await store.settle(settled) == 5
    found: list[Receipt] = []
    cursor: str | None = None
    for _ in range(9):
        page = await store.list_receipts(
            "acme", "bkash", Mode.SANDBOX, unsettled=True, limit=2, cursor=cursor
        )
        found += page.rows
        cursor = page.cursor
        assert len(page.rows) == 2 or cursor is None
        if cursor is None:
            break
    assert found == open_ones


async def test_the_kit_agrees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_STRETCH", 2)
    clock, folders = FakeClock(), iter(range(99))
    await check_store(
        lambda: SqliteStore(tmp_path / f"{next(folders)}.db", clock=clock),
        advance=clock.advance,
        only=["receipts_page_by_page", "backlog_tells", "nack_and_park", "settlers_race"],
    )


async def kept_news(store: SqliteStore) -> list[str]:
    """Fourteen rows: some due at once, some leased, some parked, some over; no place in any order is unique."""
    now = store.now()
    events = [
        replace(_NEWS, event_id=f"e{number}", received_at=now - timedelta(seconds=number // 2))
        for number in range(14)
    ]
    await store.accept_events(events)
    leased = await store.lease_events(limit=8, lease_s=600)
    later = now + timedelta(hours=1)
    ends = [InboxEnd(row=row, state=InboxState.PARKED, due_at=later) for row in leased[:3]]
    ends += [InboxEnd(row=row, state=InboxState.DONE) for row in leased[3:5]]
    ends += [InboxEnd(row=row, state=InboxState.WAITING, due_at=later) for row in leased[5:6]]
    assert all(await store.end_events(ends))
    order = sorted(enumerate(events), key=lambda each: (each[1].received_at, each[0]), reverse=True)
    return [event.event_id for _, event in order]


@pytest.mark.parametrize("length", [1, 2, 3, 7, 2_000])
async def test_a_long_inbox_is_counted_and_listed_piece_by_piece(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(inbox, "_STRETCH", length)
    assert await store.inbox_backlog() == InboxBacklog(0, 0, None)
    order = await kept_news(store)
    backlog = await store.inbox_backlog()
    assert (backlog.waiting, backlog.parked) == (9, 3)
    assert backlog.oldest_received_at == (await row_of(store, "e13")).received_at
    for limit in (1, 4, 1000):
        rows: list[InboxRow] = []
        cursor: str | None = None
        while True:
            page = await store.list_inbox("acme", gateway="bkash", cursor=cursor, limit=limit)
            rows += page.rows
            cursor = page.cursor
            if cursor is None:
                break
        assert [row.event_id for row in rows] == order
    parked = await store.list_inbox(None, state=InboxState.PARKED)
    assert [row.event_id for row in parked.rows] == ["e1", "e0", "e2"]


async def row_of(store: SqliteStore, event_id: str) -> InboxRow:
    row = await store.get_inbox("acme", "bkash", Mode.SANDBOX, event_id)
    assert row is not None
    return row

"""What the stores do with news beyond what the kit asks: many rows at once, and rows that cannot be read back."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.sqlite_file import sql
from vextrus_payments.errors import StorageError
from vextrus_payments.inbox import InboxEnd, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.time import EPOCH

NEWS = NewInboxEvent(
    tenant="acme",
    gateway="bkash",
    mode=Mode.SANDBOX,
    event_id="e",
    news_key=None,
    document="{}",
    headers={"x-a": "1"},
    body=b"{}",
    received_at=EPOCH,
)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db", clock=clock)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("count", [1, 2, 3, 31, 63, 64, 65, 127, 128, 200, 1000])
async def test_any_number_of_rows_at_once(store: SqliteStore, count: int) -> None:
    """Statements of 64, 32 ... 1 rows make up any number, and each row gets its own answer."""
    events = [replace(NEWS, event_id=f"e{number}", news_key=f"n{number}") for number in range(count)]
    assert await store.accept_events(events) == (True,) * count
    assert (await store.inbox_backlog()).waiting == count
    fresh = [replace(NEWS, event_id=f"f{number}") for number in range(count)]
    mixed = [event for pair in zip(events, fresh, strict=True) for event in pair][:1000]
    assert await store.accept_events(mixed) == (False, True) * (len(mixed) // 2)


async def test_repeats_in_any_order_are_told_as_in_memory(store: SqliteStore) -> None:
    dice = random.Random(4)
    memory = MemoryStore(clock=FakeClock())
    await memory.open()
    for _ in range(60):
        events = [
            replace(NEWS, event_id=f"e{dice.randint(0, 900)}", news_key=f"n{dice.randint(0, 900)}")
            for _ in range(dice.randint(1, 100))
        ]
        events += dice.choices(events, k=len(events) // 4)
        assert await store.accept_events(events) == await memory.accept_events(events)
    kept = [(await each.list_inbox(None, limit=1000)).rows for each in (store, memory)]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 200


async def test_numbers_that_are_given_again_do_not_make_old_news_new(store: SqliteStore) -> None:
    """SQLite gives the number of the newest row again once that row is deleted."""
    await store.accept_events([replace(NEWS, event_id=f"e{number}") for number in range(3)])
    leased = await store.lease_events(limit=3, lease_s=60)
    await store.end_events([InboxEnd(row=leased[2], state=InboxState.DONE)])
    assert await store.prune_inbox(store.now() + timedelta(days=1)) == 1
    again = [replace(NEWS, event_id=f"e{number}") for number in range(4)]
    assert await store.accept_events(again) == (False, False, True, True)


@pytest.mark.parametrize("change", ["state = 'lost'", "mode = 'other'", "headers = '{'"])
async def test_a_row_that_this_release_cannot_read_holds_no_other_up_and_is_not_quoted(
    store: SqliteStore, clock: FakeClock, change: str
) -> None:
    await store.accept_events([replace(NEWS, event_id="bad")])
    await sql(store, f"UPDATE inbox SET {change}")
    await store.accept_events([NEWS])
    leased = await store.lease_events(limit=10, lease_s=60)
    assert [row.event_id for row in leased] == ["e"], "the oldest due cannot be read"
    assert await store.lease_events(limit=10, lease_s=60) == (), "it waits its lease out like any other"
    assert (await store.inbox_backlog()).waiting == 2, "and is seen"
    with pytest.raises(StorageError) as caught:
        await store.list_inbox(None)
    assert caught.value.code == "storage_unreadable"
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    await store.end_events([InboxEnd(row=leased[0], state=InboxState.DONE)])
    await sql(store, "UPDATE inbox SET mode = 'sandbox', headers = '{}'")
    await sql(store, "UPDATE inbox SET state = 'waiting' WHERE event_id = 'bad'")
    clock.advance(61)
    (row,) = await store.lease_events(limit=10, lease_s=60)
    assert (row.event_id, row.fence, row.tries) == ("bad", 2, 2), "a release that can read it takes it up"


async def test_what_no_store_can_keep_is_refused_whole_and_not_quoted(store: SqliteStore) -> None:
    memory = MemoryStore(clock=FakeClock())
    await memory.open()
    wrong = replace(NEWS, event_id="bad", headers={"x-a": "\ud800"})
    for each in (store, memory):
        with pytest.raises(StorageError) as caught:
            await each.accept_events([NEWS, wrong])
        assert caught.value.code == "storage_bad_value"
        assert caught.value.__cause__ is None and caught.value.__context__ is None
        assert await each.next_event_at() is None

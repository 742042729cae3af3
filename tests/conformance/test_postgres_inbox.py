"""The inbox in PostgreSQL beyond what the kit asks: rows that cannot be read, and writers that meet crosswise."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest

from tests.conformance.postgres_database import emptied, migrated, script
from tests.services import Databases
from vextrus_payments.inbox import NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.stores import PostgresStore


@pytest.fixture(scope="module")
def module_dsn(postgres_databases: Databases) -> Iterator[str]:
    made = migrated(postgres_databases.new())
    yield made
    postgres_databases.drop(made)


@pytest.fixture
async def dsn(module_dsn: str) -> str:
    await emptied(module_dsn)
    return module_dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(dsn)
    await made.open()
    yield made
    await made.close()


def news(event_id: str) -> NewInboxEvent:
    return NewInboxEvent(
        tenant="acme",
        gateway="bkash",
        mode=Mode.SANDBOX,
        event_id=event_id,
        news_key=f"news/{event_id}",
        document="{}",
        headers={},
        body=b"{}",
        received_at=datetime.now(UTC),
    )


@pytest.mark.parametrize("change", ["state = 'lost'", "mode = 'other'", "headers = '{'"])
async def test_a_row_that_this_release_cannot_read_holds_no_other_up(
    dsn: str, store: PostgresStore, change: str
) -> None:
    await store.accept_events([news("bad")])
    await script(dsn, f"UPDATE vextrus_payments.inbox SET {change}")
    await store.accept_events([news("good")])
    leased = await store.lease_events(limit=10, lease_s=60)
    assert [row.event_id for row in leased] == ["good"], "the oldest due cannot be read"
    assert await store.lease_events(limit=10, lease_s=60) == ()
    assert (await store.inbox_backlog()).waiting == 2


async def test_writers_that_meet_crosswise_keep_each_row_once(dsn: str, store: PostgresStore) -> None:
    """The same news in opposite orders, from two processes at once: each waits for what the other holds."""
    other = PostgresStore(dsn)
    await other.open()
    try:
        for turn in range(30):
            batch = [news(f"{turn}/{number}") for number in range(200)]
            answers = await asyncio.gather(store.accept_events(batch), other.accept_events(batch[::-1]))
            assert sum(answers[0]) + sum(answers[1]) == 200
            assert [a + b for a, b in zip(answers[0], answers[1][::-1], strict=True)] == [1] * 200
    finally:
        await other.close()

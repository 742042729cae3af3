"""The outbox in PostgreSQL: rows in order among many workers, and the caller's own rows in the same transaction."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.postgres_database import emptied, migrated, script, sql, trial_of
from tests.conformance.postgres_proxy import Cut, wire_to
from tests.services import Databases
from vextrus_payments.errors import StorageError
from vextrus_payments.plans import Plan
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import TransactionalOutbox
from vextrus_payments.stores import PostgresStore

EVENT = OutboxKind.EVENT


@pytest.fixture(scope="module")
def module_dsn(postgres_databases: Databases) -> Iterator[str]:
    made = migrated(postgres_databases.new())
    asyncio.run(script(made, "CREATE TABLE journal (entry text PRIMARY KEY)"))
    yield made
    postgres_databases.drop(made)


@pytest.fixture
async def dsn(module_dsn: str) -> str:
    await emptied(module_dsn)
    await script(module_dsn, "TRUNCATE journal")
    return module_dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(dsn)
    await made.open()
    yield made
    await made.close()


async def post(store: PostgresStore, subject: str, *seqs: int) -> None:
    """Rows of one subject, committed with a payment of their own."""
    trial = trial_of(store)
    made = await trial.reserved(f"INV-{subject}-{seqs[0]}")
    payment = replace(made.facts.payment, version=2)
    rows = tuple(
        OutboxRow(
            tenant="acme",
            row_id=f"{subject}/{seq}",
            subject=subject,
            seq=seq,
            kind=EVENT,
            document="{}",
            created_at=store.now(),
        )
        for seq in seqs
    )
    await trial.recorded(Plan(payment=payment, expected_version=1, outbox=rows))


async def leased(store: PostgresStore, limit: int = 10) -> list[OutboxRow]:
    return list(await store.lease(EVENT, limit=limit, lease_s=60))


async def journal(dsn: str) -> list[str]:
    return [entry for (entry,) in await sql(dsn, "SELECT entry FROM journal ORDER BY entry")]


def writing(entry: str) -> Any:
    async def write(connection: Any) -> None:
        await connection.execute("INSERT INTO journal VALUES ($1)", entry)

    return write


# --- delivered within -----------------------------------------------------------------------------------------------


async def test_the_callers_rows_are_there_with_the_mark(dsn: str, store: PostgresStore) -> None:
    assert isinstance(store, TransactionalOutbox)
    await post(store, "a", 1, 2)
    (row,) = await leased(store)
    assert await store.deliver_within(row, writing("a/1"))
    assert await journal(dsn) == ["a/1"]
    assert not await store.deliver_within(row, writing("again")), "it is delivered already"
    (following,) = await leased(store)
    assert following.row_id == "a/2"
    assert await journal(dsn) == ["a/1"]


async def test_what_the_callback_raises_comes_out_and_undoes_both(dsn: str, store: PostgresStore) -> None:
    await post(store, "a", 1)
    (row,) = await leased(store)

    async def fails(connection: Any) -> None:
        await connection.execute("INSERT INTO journal VALUES ('half')")
        raise KeyError("theirs")

    async def fails_in_sql(connection: Any) -> None:
        await connection.execute("INSERT INTO journal VALUES ('half')")
        await connection.execute("INSERT INTO journal VALUES ('half')")

    with pytest.raises(KeyError, match="theirs"):
        await store.deliver_within(row, fails)
    with pytest.raises(asyncpg.UniqueViolationError):
        await store.deliver_within(row, fails_in_sql)
    assert await journal(dsn) == []
    assert await leased(store) == [], "it is still leased by us"
    await store.nack(row, retry_at=store.now() - timedelta(seconds=1), why="theirs")
    (again,) = await leased(store)
    assert again.attempts == 1
    assert await store.deliver_within(again, writing("a/1"))


async def test_a_callback_that_goes_on_after_a_failed_statement(dsn: str, store: PostgresStore) -> None:
    """PostgreSQL would answer the COMMIT with a rollback and no error."""
    await post(store, "a", 1)
    (row,) = await leased(store)

    async def swallows(connection: Any) -> None:
        try:
            await connection.execute("INSERT INTO nowhere VALUES (1)")
        except asyncpg.PostgresError:
            pass

    with pytest.raises(StorageError) as caught:
        await store.deliver_within(row, swallows)
    assert caught.value.code == "storage_rolled_back"
    assert caught.value.__context__ is None

    async def saves_itself(connection: Any) -> None:
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO nowhere VALUES (1)")
        except asyncpg.PostgresError:
            await connection.execute("INSERT INTO journal VALUES ('saved')")

    assert await store.deliver_within(row, saves_itself)
    assert await journal(dsn) == ["saved"]


async def test_a_callback_that_ends_the_transaction_is_told(store: PostgresStore) -> None:
    await post(store, "a", 1)
    (row,) = await leased(store)

    async def commits(connection: Any) -> None:
        await connection.execute("COMMIT")

    with pytest.raises(StorageError) as caught:
        await store.deliver_within(row, commits)
    assert caught.value.code == "storage_transaction_ended"
    assert await store.get("acme", "pay_INV-a-1") is not None, "the connection is none the worse"


async def test_only_the_latest_holder_delivers(dsn: str, store: PostgresStore) -> None:
    await post(store, "a", 1)
    (row,) = await store.lease(EVENT, limit=1, lease_s=1)
    await script(dsn, "UPDATE vextrus_payments.outbox SET due_at = 0")  # its time is over
    assert not await store.deliver_within(row, writing("first")), "and was cut short"
    (again,) = await leased(store)
    assert not await store.deliver_within(row, writing("first"))
    await store.nack(row, retry_at=store.now(), why="late")
    assert await leased(store) == [], "a late holder gives nothing back"
    both = await asyncio.gather(*(store.deliver_within(again, writing("second")) for _ in range(5)))
    assert sorted(both) == [False] * 4 + [True]
    assert await journal(dsn) == ["second"]


async def test_a_callback_that_hangs_keeps_nobody_waiting(dsn: str, store: PostgresStore) -> None:
    """The payer's commit goes through, other rows are leased, and cancelling the callback undoes it."""
    await post(store, "a", 1)
    await post(store, "b", 1)
    rows = {row.subject: row for row in await leased(store)}
    entered = asyncio.Event()

    async def hangs(connection: Any) -> None:
        await connection.execute("INSERT INTO journal VALUES ('half')")
        entered.set()
        await asyncio.Event().wait()

    delivering = asyncio.create_task(store.deliver_within(rows["a"], hangs))
    await entered.wait()
    await asyncio.wait_for(post(store, "a", 2), 5)
    await store.ack(rows["b"])
    assert await asyncio.wait_for(leased(store), 5) == [], "the second row waits for the first"
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    await store.nack(rows["a"], retry_at=store.now() - timedelta(seconds=1), why="it hung")
    (first,) = await leased(store)
    assert first.row_id == "a/1"
    assert await store.deliver_within(first, writing("a/1"))
    (second,) = await leased(store)
    assert second.row_id == "a/2", "which stood behind while the first was held, and was not forgotten"
    assert await journal(dsn) == ["a/1"]


async def test_what_a_callback_sets_on_the_session_is_taken_back(dsn: str) -> None:
    store = PostgresStore(dsn, pool_size=1)
    await store.open()
    await post(store, "a", 1)
    (row,) = await leased(store)

    async def sets(connection: Any) -> None:
        await connection.execute("SET search_path TO nowhere; SET statement_timeout = '30s'")

    assert await store.deliver_within(row, sets)
    shown: list[str] = []

    async def look(session: Any) -> None:
        shown.append(await session.connection.fetchval("SHOW search_path"))

    await store._database.read(look)
    assert shown != ["nowhere"]
    await store.close()


@pytest.mark.parametrize("how", [Cut.BEFORE_SENDING, Cut.BEFORE_ANSWER])
async def test_a_delivery_whose_commit_is_lost_is_unknown_and_never_doubled(dsn: str, how: Cut) -> None:
    async with wire_to(dsn) as wire:
        store = PostgresStore(wire.dsn)
        await store.open()
        await post(store, "a", 1)
        (row,) = await leased(store)
        wire.cut_at(b"COMMIT;\0", how)
        with pytest.raises(StorageError) as caught:
            await store.deliver_within(row, writing("a/1"))
        assert caught.value.code == "storage_commit_unknown"
        written = how is Cut.BEFORE_ANSWER
        assert await store.deliver_within(row, writing("a/1")) is not written
        assert await journal(dsn) == ["a/1"], "once, whichever way it was"
        await store.close()


# --- the order of a subject -----------------------------------------------------------------------------------------


async def test_rows_that_were_there_already_do_not_hide_the_next(store: PostgresStore) -> None:
    """A plan may bring a row again that is delivered by now; the one behind it must not wait for it for ever."""
    await post(store, "a", 1)
    (row,) = await leased(store)
    await store.ack(row)
    trial = trial_of(store)
    made = await trial.reserved("INV-again")
    rows = tuple(replace(row, row_id=f"a/{seq}", seq=seq, leased_until=None) for seq in (1, 2, 3))
    payment = replace(made.facts.payment, version=2)
    await trial.recorded(Plan(payment=payment, expected_version=1, outbox=rows))
    (second,) = await leased(store)
    assert second.row_id == "a/2"
    await store.ack(second)
    (third,) = await leased(store)
    assert third.row_id == "a/3"


async def test_rows_behind_a_parked_one_are_looked_at_once(dsn: str, store: PostgresStore) -> None:
    """However long the queue behind it, the next look for work does not walk it again."""
    for subject in ("a", "b"):
        await post(store, subject, 1)
    for row in await leased(store):
        await store.nack(row, retry_at=None, why="parked")
    for seq in range(2, 7):
        await post(store, "a", seq)
        await post(store, "b", seq)
    candidates = "SELECT count(*) FROM vextrus_payments.outbox WHERE head AND parked IS NULL"
    assert await sql(dsn, candidates) == [(10,)]
    assert await leased(store, limit=3) == []
    assert await sql(dsn, candidates) == [(0,)]
    await post(store, "c", 1)
    assert [row.row_id for row in await leased(store, limit=1)] == ["c/1"]
    assert await store.unpark("acme", "a/1")
    for seq in range(1, 7):
        (row,) = await leased(store)
        assert row.row_id == f"a/{seq}"
        await store.ack_many([row])


async def test_four_workers_lease_and_mark_in_order_while_rows_come_in(dsn: str) -> None:
    """Handles of their own, rows acked singly, in batches and within, committed meanwhile: all once, all in order."""
    stores = [PostgresStore(dsn, pool_size=3) for _ in range(4)]
    for store in stores:
        await store.open()
    subjects, length = 8, 6
    seen: list[str] = []
    chance = random.Random(7)
    done = asyncio.Event()

    async def produce(subject: int) -> None:
        seq = 1
        while seq <= length:
            count = min(chance.choice((1, 1, 2)), length - seq + 1)
            await post(stores[subject % 4], f"s{subject}", *range(seq, seq + count))
            seq += count
            await asyncio.sleep(0)

    async def consume(store: PostgresStore) -> None:
        while not done.is_set() or len(seen) < subjects * length:
            rows = await leased(store, limit=chance.choice((1, 2, 5)))
            how = chance.randrange(3)
            if how == 0 and rows:
                seen.extend(row.row_id for row in rows)
                await store.ack_many(rows)
            for row in rows if how else ():
                if chance.random() < 0.2:
                    await store.nack(row, retry_at=store.now() - timedelta(seconds=1), why="again")
                elif how == 1:
                    seen.append(row.row_id)
                    await store.ack(row)
                else:
                    assert await store.deliver_within(row, writing(row.row_id))
                    seen.append(row.row_id)
            if not rows:
                await asyncio.sleep(0.005)

    async with asyncio.timeout(60):
        consumers = [asyncio.create_task(consume(store)) for store in stores]
        await asyncio.gather(*(produce(subject) for subject in range(subjects)))
        done.set()
        await asyncio.gather(*consumers)
    assert len(seen) == len(set(seen)) == subjects * length
    for subject in range(subjects):
        mine = [row_id for row_id in seen if row_id.startswith(f"s{subject}/")]
        assert mine == [f"s{subject}/{seq}" for seq in range(1, length + 1)]
    backlog = await stores[0].backlog(EVENT)
    assert backlog.waiting == 0
    for store in stores:
        await store.close()

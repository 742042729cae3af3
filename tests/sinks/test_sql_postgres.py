"""SqlLedger in a real PostgreSQL: entries that a table has exactly once, whatever breaks between."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.conformance.postgres_database import emptied, migrated, script, sql
from tests.flows.queue_world import Listener, fill
from tests.services import Databases
from vextrus_payments import LedgerEntry
from vextrus_payments.outbox import Outbox, OutboxLimits
from vextrus_payments.records import OutboxKind
from vextrus_payments.sinks import SqlLedger
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeClock, FakeEntropy

#: No key: what is written twice is there twice.
_JOURNAL = "CREATE TABLE journal (n bigserial, entry_id text, subject text, postings int)"
_INSERT = "INSERT INTO journal (entry_id, subject, postings) VALUES ($1, $2, $3)"


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = migrated(postgres_databases.new())
    asyncio.run(script(made, _JOURNAL))
    yield made
    postgres_databases.drop(made)


class Desk:
    """Stores on one database, whose clock runs fifty times as fast as the loop's."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.clock = FakeClock()
        self.listener = Listener()
        self.stores: list[PostgresStore] = []

    async def store(self) -> PostgresStore:
        made = PostgresStore(self.dsn, clock=self.clock, pool_size=4)
        await made.open()
        self.stores.append(made)
        return made

    def outbox(self, store: PostgresStore, write: Any) -> Outbox:
        limits = OutboxLimits(
            at_once=4, callback_timeout_s=0.3, lease_s=5, poll_s=0.02, peek_s=None, longest_pause_s=2
        )
        return Outbox(
            store,
            ledger=SqlLedger(write),
            on_event=None,
            entropy=FakeEntropy(1),
            observer=self.listener,
            limits=limits,
        )

    async def tick(self) -> None:
        while True:
            self.clock.advance(0.5)
            await asyncio.sleep(0.01)

    async def journal(self) -> list[tuple[str, str]]:
        """(entry id, subject), in the order in which they were written."""
        return [tuple(row) for row in await sql(self.dsn, "SELECT entry_id, subject FROM journal ORDER BY n")]


@pytest.fixture
async def desk(dsn: str) -> AsyncIterator[Desk]:
    await emptied(dsn)
    await script(dsn, "TRUNCATE journal")
    made = Desk(dsn)
    ticking = asyncio.create_task(made.tick())
    yield made
    ticking.cancel()
    for store in made.stores:
        await store.close()


async def insert(connection: Any, entry: LedgerEntry) -> None:
    await connection.execute(_INSERT, entry.id, entry.payment_id, len(entry.postings))


async def test_what_is_written_is_committed_with_the_mark(desk: Desk) -> None:
    store = await desk.store()
    rows = await fill(store, [2, 1])
    assert await desk.outbox(store, insert).deliver() == 3
    assert sorted(await desk.journal()) == sorted((one.row_id, one.subject.partition("/")[2]) for one in rows)
    assert (await store.backlog(OutboxKind.LEDGER)).waiting == 0


async def test_an_answer_that_was_lost_with_the_commit_writes_nothing_twice(desk: Desk) -> None:
    """The connection is closed by the server in the middle of one write, and after another one's commit."""
    store = await desk.store()
    rows = await fill(store, [3])
    killed: list[int] = []

    async def write(connection: Any, entry: LedgerEntry) -> None:
        await insert(connection, entry)
        if entry.id.endswith("-1") and not killed:
            killed.append(await connection.fetchval("SELECT pg_backend_pid()"))
            await sql(desk.dsn, "SELECT pg_terminate_backend($1)", killed[0])

    outbox = desk.outbox(store, write)
    worker = asyncio.create_task(outbox.run())
    async with asyncio.timeout(20):
        while (await store.backlog(OutboxKind.LEDGER)).waiting:
            await asyncio.sleep(0.02)
    outbox.stop()
    await worker
    assert len(killed) == 1
    assert [entry_id for entry_id, _ in await desk.journal()] == [one.row_id for one in rows]


@pytest.mark.parametrize("seed", range(3))
async def test_each_entry_once_and_in_order_whatever_breaks(desk: Desk, seed: int) -> None:
    """Three workers with leases that run out under them; writes that raise, hang, lose their connection, are
    cancelled with their worker.
    """
    rng = random.Random(seed)
    stores = [await desk.store() for _ in range(3)]
    rows = await fill(stores[0], [rng.randint(1, 4) for _ in range(12)])
    trouble = {
        one.row_id: rng.choices(["raise", "hang", "kill", "slow", ""], k=rng.randint(0, 2)) for one in rows
    }

    async def write(connection: Any, entry: LedgerEntry) -> None:
        await insert(connection, entry)
        how = trouble[entry.id].pop(0) if trouble[entry.id] else ""
        if how == "raise":
            raise RuntimeError
        if how == "hang":
            await asyncio.Event().wait()
        if how == "slow":
            await asyncio.sleep(0.2)  # ten seconds of the store's clock: its lease is over long before
        if how == "kill":
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await sql(desk.dsn, "SELECT pg_terminate_backend($1)", pid)

    def begun(number: int) -> "asyncio.Task[None]":
        return asyncio.create_task(desk.outbox(stores[number], write).run())

    working = [begun(number) for number in range(3)]
    async with asyncio.timeout(60):
        while (await stores[0].backlog(OutboxKind.LEDGER)).waiting:
            await asyncio.sleep(rng.random() / 10)
            if rng.random() < 0.3:  # a worker dies, and another one begins
                number = rng.randrange(3)
                working[number].cancel()
                await asyncio.wait({working[number]})
                working[number] = begun(number)
    for task in working:
        task.cancel()
    await asyncio.wait(working)

    written = [entry_id for entry_id, _ in await desk.journal()]
    assert sorted(written) == sorted(one.row_id for one in rows)
    for subject in {one.subject for one in rows}:
        wanted = [one.row_id for one in rows if one.subject == subject]
        assert [entry_id for entry_id in written if entry_id in wanted] == wanted


async def test_a_write_may_use_a_savepoint_of_its_own(desk: Desk) -> None:
    store = await desk.store()
    rows = await fill(store, [1])

    async def write(connection: Any, entry: LedgerEntry) -> None:
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO journal (entry_id, n) VALUES ('half', NULL)")
        except Exception:
            await insert(connection, entry)

    assert await desk.outbox(store, write).deliver() == 1
    assert [entry_id for entry_id, _ in await desk.journal()] == [rows[0].row_id]

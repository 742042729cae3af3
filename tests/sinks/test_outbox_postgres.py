"""Several workers on one PostgreSQL: each entry is handed over once, in order per payment, and nobody waits idly."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.conformance.postgres_database import emptied, migrated
from tests.flows.queue_world import Listener, fill
from tests.services import Databases
from vextrus_payments import LedgerEntry
from vextrus_payments.outbox import Outbox, OutboxLimits
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeEntropy


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = migrated(postgres_databases.new())
    yield made
    postgres_databases.drop(made)


async def test_four_workers_take_each_entry_once_and_in_order(dsn: str) -> None:
    await emptied(dsn)
    stores = [PostgresStore(dsn, pool_size=3) for _ in range(4)]
    for store in stores:
        await store.open()
    calls: list[tuple[int, str]] = []
    inside: Counter[str] = Counter()

    def outbox(number: int) -> Outbox:
        async def ledger(entry: LedgerEntry) -> None:
            subject = str(entry.payment_id)
            inside[subject] += 1
            assert inside[subject] == 1, "two rows of one payment were in hand at once"
            await asyncio.sleep(0)
            calls.append((number, entry.id))
            inside[subject] -= 1

        return Outbox(
            stores[number],
            ledger=ledger,
            on_event=None,
            entropy=FakeEntropy(number),
            observer=Listener(),
            limits=OutboxLimits(at_once=4, poll_s=0.05),
        )

    outboxes = [outbox(number) for number in range(4)]
    running = [asyncio.create_task(one.run()) for one in outboxes]
    written: list[str] = []
    for name in ("a", "b", "c"):  # while they work
        written += [row.row_id for row in await fill(stores[0], [3, 1, 2] * 15, name=name)]
    async with asyncio.timeout(60):
        while (await stores[0].backlog(OutboxKind.LEDGER)).waiting:
            await asyncio.sleep(0.02)
    for one in outboxes:
        one.stop()
    await asyncio.gather(*running)
    for store in stores:
        await store.close()

    taken = [entry_id for _, entry_id in calls]
    assert sorted(taken) == sorted(written)
    place = {entry_id: number for number, entry_id in enumerate(taken)}
    for entry_id in written:
        subject, _, seq = entry_id.rpartition("-")
        before = f"{subject}-{int(seq) - 1}"
        assert before not in place or place[before] < place[entry_id]
    assert len({number for number, _ in calls}) == 4

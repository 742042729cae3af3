"""A ledger that hangs inside the store's transactions, on a pool with few connections: payments go on."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.postgres_database import emptied, migrated
from tests.flows.queue_world import Listener, fill
from tests.services import Databases
from vextrus_payments import LedgerEntry
from vextrus_payments.outbox import Outbox, OutboxLimits
from vextrus_payments.sinks import SqlLedger
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeEntropy


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = migrated(postgres_databases.new())
    yield made
    postgres_databases.drop(made)


@pytest.mark.parametrize("pool_size", [2, 3, 4, 5])
async def test_a_ledger_that_hangs_leaves_a_connection_for_payments(dsn: str, pool_size: int) -> None:
    await emptied(dsn)
    store = PostgresStore(dsn, pool_size=pool_size, pool_wait_s=2.0)
    await store.open()
    begun: list[str] = []

    async def hang(connection: Any, entry: LedgerEntry) -> None:
        begun.append(entry.id)
        await asyncio.Event().wait()

    await fill(store, [1] * 12)
    outbox = Outbox(
        store,
        ledger=SqlLedger(hang),
        on_event=None,
        entropy=FakeEntropy(1),
        observer=Listener(),
        limits=OutboxLimits(callback_timeout_s=10.0, peek_s=None),
    )
    worker = asyncio.create_task(outbox.run())
    try:
        async with asyncio.timeout(10):
            while not begun:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)  # let it take what it can get
            await fill(store, [1], name="payer")  # raises after two seconds where no connection is left
    finally:
        worker.cancel()
        await asyncio.wait({worker})
        await store.close()

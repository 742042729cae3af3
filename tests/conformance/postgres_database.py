"""What the tests of the PostgreSQL store share: a migrated schema per module, emptied for each test."""

import asyncio
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing.store_trial import StoreTrial

_EMPTY = """
DO $$
DECLARE names text;
BEGIN
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') INTO names
        FROM pg_tables WHERE schemaname = 'vextrus_payments' AND tablename <> 'migrations';
    SET LOCAL session_replication_role = replica;  -- or the trigger that guards the receipts would refuse
    EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY';
END $$
"""


async def sql(dsn: str, statement: str, *values: Any) -> list[Any]:
    """Run SQL beside the store, on a connection of its own."""
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        return [tuple(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def script(dsn: str, text: str) -> None:
    """Run statements without values."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(text)
    finally:
        await connection.close()


async def emptied(dsn: str) -> None:
    """Take every row away."""
    await script(dsn, _EMPTY)


def migrated(dsn: str) -> str:
    """Make the tables in an empty database."""
    asyncio.run(_migrate(dsn))
    return dsn


async def _migrate(dsn: str) -> None:
    await PostgresStore(dsn).migrate()


async def wait(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


def trial_of(store: PostgresStore) -> StoreTrial:
    return StoreTrial(store, store, wait)

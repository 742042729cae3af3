"""What the tests of the SQLite file share: its own SQL, and errors that are fit to be shown."""

import asyncio
import re
from typing import Any

import pytest

from vextrus_payments.errors import StorageError
from vextrus_payments.stores import SqliteStore
from vextrus_payments.testing.store_trial import StoreTrial

CANARY = "canary-value-that-is-in-a-row"


async def wait(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.01))


def trial_of(store: SqliteStore) -> StoreTrial:
    return StoreTrial(store, store, wait)


async def sql(store: SqliteStore, statement: str) -> list[Any]:
    """Run SQL on the store's own connection, between its operations."""

    def work() -> list[Any]:
        assert store._connection is not None
        return store._connection.execute(statement).fetchall()

    return await store._runner.run(work)


async def work_done(store: SqliteStore) -> None:
    """Wait until what the store's writing thread has begun is finished."""
    await store._runner.run(lambda: None)


async def refused(store: SqliteStore, code: str) -> StorageError:
    """The error that open() raises, which must be fit to be shown to anybody."""
    with pytest.raises(StorageError) as caught:
        await store.open()
    check_shown(caught.value, code)
    return caught.value


def check_shown(error: StorageError, code: str) -> None:
    assert error.code == code
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = f"{error} {error!r} {error.context}"
    assert CANARY not in shown
    assert "INSERT" not in shown and "SELECT" not in shown
    assert re.search(r"[A-Z].*\. No money moved\. [A-Z].*\.$", str(error)), str(error)

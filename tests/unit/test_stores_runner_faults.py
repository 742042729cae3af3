"""The store's thread when the machine itself fails: no thread to be had, no memory left at a commit."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sqlite_file import trial_of
from tests.unit.test_stores_sqlite_group import Held, ended, queued
from vextrus_payments.plans import Reserved
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.stores.sqlite import group


async def test_a_thread_that_could_not_be_started_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine at its limit of threads for a moment must not stop the store for good."""
    runner = ThreadRunner()
    submit = ThreadPoolExecutor.submit

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    with pytest.raises(RuntimeError, match="thread"):
        await asyncio.wait_for(runner.run(lambda: 1), 60)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    ran: list[int] = []
    async with asyncio.timeout(60):
        await runner.run(lambda: ran.append(2))
    assert ran == [2], "what was refused is not run after all"
    await runner.aclose()


class NoMemory:
    """A connection whose next COMMIT finds no memory: sqlite3 then raises MemoryError, which is no sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.fails = True

    def execute(self, statement: str, *values: Any) -> Any:
        if statement == "COMMIT" and self.fails:
            self.fails = False
            raise MemoryError
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("way", ["_all_at_once", "_one_by_one"])
async def test_a_commit_without_memory_leaves_no_transaction_open(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    store._connection = NoMemory(store._connection)  # type: ignore[assignment, arg-type]
    if way == "_one_by_one":
        monkeypatch.setattr(group, "_all_at_once", lambda *_: False)
    async with Held(store):
        tasks = await queued([trial_of(store).reserve(f"INV-{n}") for n in range(3)])
    assert {type(answer) for answer in await ended(tasks)} == {MemoryError}
    async with Held(store):
        tasks = await queued([trial_of(store).reserve(f"INV-{n}") for n in range(3)])
    assert {type(answer) for answer in await ended(tasks)} == {Reserved}, "nothing of the first time is there"
    await store.close()

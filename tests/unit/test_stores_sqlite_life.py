"""The SQLite store among tasks, threads and deaths: no transaction is torn, nobody is waited for in vain."""

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sqlite_file import sql, trial_of, work_done
from vextrus_payments.errors import StorageError
from vextrus_payments.plans import Claim, Reserved
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.testing.store_trial import LONG

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


class Gate:
    """Holds the store's thread inside a piece of work."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def work(self) -> None:
        self.entered.set()
        assert self.open.wait(30)


async def test_a_cancelled_caller_tears_no_transaction(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread has begun it finishes, whole; the caller only stops waiting."""
    gate = Gate()
    real = store._clock.now

    def slow_now() -> Any:
        gate.work()
        return real()

    monkeypatch.setattr(store, "_clock", type("SlowClock", (), {"now": staticmethod(slow_now)}))
    caller = asyncio.create_task(store.reserve(trial_of(store).wish("INV-1")))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.open.set()
    await work_done(store)
    facts = await store.get("acme", "pay_INV-1")
    assert facts is not None, "the transaction was finished"
    assert await store.get_operation("acme", "INV-1/pay") is not None, "and whole"


async def test_work_that_was_not_begun_is_dropped_with_its_caller(store: SqliteStore) -> None:
    gate = Gate()
    blocker = asyncio.create_task(store._runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    callers = [
        asyncio.create_task(trial_of(store).reserve(f"INV-{n}", payment_id=f"pay_{n}")) for n in range(5)
    ]
    await asyncio.sleep(0)
    for caller in callers[:4]:
        caller.cancel()
    await asyncio.gather(*callers[:4], return_exceptions=True)
    gate.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    await blocker
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 4 + [Reserved]
    listed = await store.list("acme")
    assert [payment.payment_id for payment in listed.rows] == ["pay_4"]


async def test_closing_waits_for_the_work_at_hand_and_then_refuses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    gate = Gate()
    blocker = asyncio.create_task(store._runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    before = asyncio.create_task(trial_of(store).reserve("INV-1"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.open.set()
    assert isinstance(await before, Reserved)
    await asyncio.wait_for(closing, 10)
    await blocker
    with pytest.raises(StorageError, match="not open"):
        await store.get("acme", "pay_INV-1")
    await store.close()


async def test_a_cancelled_close_leaves_nothing_locked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await store.close()
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()


def test_one_store_serves_one_loop_after_another(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")

    async def one(reference: str) -> None:
        await store.open()
        await trial_of(store).reserved(reference)

    asyncio.run(one("INV-1"))
    asyncio.run(one("INV-2"))
    asyncio.run(store.close())


async def test_a_runner_lets_go_after_the_work_that_was_handed_over() -> None:
    runner, gate, done = ThreadRunner(), Gate(), []
    await runner.aclose()
    blocker = asyncio.create_task(runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    last = asyncio.create_task(runner.run(lambda: done.append("work")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(runner.aclose())
    await asyncio.sleep(0.02)
    assert not closing.done()
    gate.open.set()
    await closing
    assert done == ["work"]
    await asyncio.gather(blocker, last, runner.aclose())
    assert await runner.run(lambda: "again") == "again"
    await runner.aclose()


async def test_the_thread_ends_with_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db", runner=ThreadRunner("of-this-test"))
    await store.open()
    assert [t for t in threading.enumerate() if t.name.startswith("of-this-test")]
    await store.close()
    for _ in range(500):
        if not [t for t in threading.enumerate() if t.name.startswith("of-this-test")]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the store's thread is still there")


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.unit.sqlite_file import trial_of
from vextrus_payments.stores import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    numbers = iter(range(100_000))

    async def caller():
        for number in numbers:
            await trial_of(store).paid(f"INV-{number}")
            print(number, flush=True)

    await asyncio.gather(*(caller() for _ in range(int(sys.argv[2]))))

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("callers", [1, 16])
async def test_what_was_answered_survives_a_killed_process(tmp_path: Path, callers: int) -> None:
    path = tmp_path / "payments.db"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(callers)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    answered: list[int] = []
    deadline = time.monotonic() + 60
    while len(answered) < 15 + callers and time.monotonic() < deadline:
        answered.append(int(process.stdout.readline()))
    process.kill()
    rest = process.communicate(timeout=30)[0]
    answered += [int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    assert len(answered) >= 15 + callers
    copy = tmp_path.parent / f"copy-{callers}"
    shutil.copytree(tmp_path, copy)
    for folder in (tmp_path, copy):  # also from a copy: nothing stands on shared memory
        store = SqliteStore(folder / "payments.db")
        await store.open()
        for number in answered:
            facts = await store.get("acme", f"pay_INV-{number}")
            assert facts is not None and len(facts.receipts) == 1, (
                f"payment {number} was answered and is lost"
            )
        backlog = await store.backlog(OutboxKind.EVENT)
        found = [
            await store.find("acme", transaction_id=f"TRXINV-{number}")
            for number in range(max(answered) + callers + 2)
        ]
        paid = sum(len(each) for each in found)
        assert backlog.waiting == paid, "state and outbox were committed together"
        assert await sql(store, "PRAGMA integrity_check") == [("ok",)]
        assert await sql(store, "PRAGMA foreign_key_check") == []
        await store.close()


async def test_an_error_in_the_work_undoes_the_transaction(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised, where it is raised: nothing of the transaction stays, and the next one works."""
    from vextrus_payments.stores.sqlite import rows

    made = await trial_of(store).reserved("INV-1")
    for name in ("_put_payment", "_put_operation", "note_attempt"):

        def fail(*_: object, name: str = name) -> None:
            raise RuntimeError(name)

        with monkeypatch.context() as patch:
            patch.setattr(rows.SqliteRows, name, fail)
            with pytest.raises(RuntimeError):
                await store.claim("acme", "INV-1/pay", LONG)
        assert await store.get("acme", "pay_INV-1") == made.facts
    assert isinstance(await store.claim("acme", "INV-1/pay", LONG), Claim)

"""Jobs that die, jobs that hang, and what `health()` says of it all."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.queue_world import Listener, fill
from tests.flows.test_outbox_lanes import virtual
from vextrus_payments import LedgerEntry, Payments, UndeliverableError
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.health import Health
from vextrus_payments.outbox import OutboxLimits
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeClock
from vextrus_payments.workers import Workers


class Job:
    """Works until stopped, and dies as often as told."""

    def __init__(self, name: str, *, dies: int = 0, deaf: bool = False) -> None:
        self.name = name
        self.dies = dies
        self.deaf = deaf
        self.began = 0
        self.left: list[str] = []
        self._stop = asyncio.Event()

    async def run(self) -> None:
        self.began += 1
        await asyncio.sleep(0.1)
        if self.dies:
            self.dies -= 1
            raise RuntimeError("a mistake")
        try:
            if self.deaf:
                await asyncio.Event().wait()
            await self._stop.wait()
            await asyncio.sleep(1)  # what is in hand
            self.left.append("finished")
        except asyncio.CancelledError:
            self.left.append("cut off")
            raise

    def stop(self) -> None:
        self._stop.set()


# --- jobs -----------------------------------------------------------------------------------------------------------


def test_a_job_that_dies_is_begun_again_and_counted() -> None:
    async def play() -> None:
        listener, job, other = Listener(), Job("one", dies=3), Job("other")
        workers = Workers([job, other], listener)
        assert not workers.started
        workers.start()
        workers.start()
        assert workers.started
        await asyncio.sleep(10)
        assert (job.began, other.began) == (4, 1)
        assert [told["job"] for told in listener.of("worker.died")] == ["one"] * 3
        assert [(one.name, one.alive, one.deaths) for one in workers.health()] == [
            ("one", True, 3),
            ("other", True, 0),
        ]
        await workers.stop()
        assert (job.left, other.left) == (["finished"], ["finished"])
        assert not workers.started

    virtual(play())


def test_a_job_that_is_stopped_while_it_is_dead_is_not_begun_again() -> None:
    async def play() -> None:
        job = Job("one", dies=10**6)
        workers = Workers([job], Listener())
        workers.start()
        await asyncio.sleep(0.5)
        await asyncio.wait_for(workers.stop(), 5)
        began = job.began
        await asyncio.sleep(10)
        assert job.began == began

    virtual(play())


def test_one_job_may_be_stopped_before_the_others() -> None:
    async def play() -> None:
        one, other = Job("one"), Job("other")
        workers = Workers([one, other], Listener())
        workers.start()
        await asyncio.sleep(1)
        await workers.stop("one", "unheard of")
        assert (one.left, other.left) == (["finished"], [])
        await workers.stop()
        assert other.left == ["finished"]

    virtual(play())


def test_what_does_not_end_is_cut_off() -> None:
    async def play() -> None:
        deaf, other = Job("deaf", deaf=True), Job("other")
        workers = Workers([deaf, other], Listener())
        workers.start()
        await asyncio.sleep(1)
        await workers.stop("other")
        assert await workers.cut_off() == ("deaf",)
        assert deaf.left == ["cut off"]
        assert await workers.cut_off() == ()

    virtual(play())


# --- of a whole Payments ----------------------------------------------------------------------------------------------


class Slow:
    """A ledger that takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun: list[str] = []
        self.done: list[str] = []

    async def __call__(self, entry: LedgerEntry) -> None:
        self.begun.append(entry.id)
        await asyncio.sleep(self.seconds)
        self.done.append(entry.id)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "shop.db")
    await made.open()
    yield made
    await made.close()


async def _begun(ledger: Slow) -> None:
    async with asyncio.timeout(10):
        while not ledger.begun:
            await asyncio.sleep(0.005)


async def test_workers_drain_when_told_to_stop(store: SqliteStore) -> None:
    await fill(store, [2])
    ledger, until = Slow(0.2), asyncio.Event()
    payments = Payments(store=store, ledger=ledger, workers=False)
    running = asyncio.create_task(payments.run_workers(until))
    await _begun(ledger)
    until.set()
    assert await running is True
    assert ledger.done == ledger.begun == ["ent_pay0-1"]
    with pytest.raises(ConfigurationError, match="not open"):
        await payments.deliver()
    async with payments:  # and it may be opened again
        assert await payments.deliver() == 1


async def test_what_does_not_end_in_time_is_cut_off(store: SqliteStore) -> None:
    await fill(store, [1])
    listener = Listener()
    ledger, until = Slow(1000), asyncio.Event()
    payments = Payments(store=store, ledger=ledger, observer=listener)
    running = asyncio.create_task(payments.run_workers(until, drain_s=0.05))
    await _begun(ledger)
    until.set()
    assert await asyncio.wait_for(running, 10) is False
    assert ledger.done == []
    assert [told["jobs"] for told in listener.of("workers.cut_off")] == ["outbox"]
    await store.open()
    assert (await store.backlog(OutboxKind.LEDGER)).waiting == 1


async def test_workers_that_are_cancelled_leave_at_once(store: SqliteStore) -> None:
    await fill(store, [1])
    ledger = Slow(1000)
    running = asyncio.create_task(Payments(store=store, ledger=ledger).run_workers(asyncio.Event()))
    await _begun(ledger)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    assert ledger.done == []


async def test_closing_waits_for_a_delivery_that_somebody_asked_for(store: SqliteStore) -> None:
    await fill(store, [3])
    ledger = Slow(0.1)
    payments = Payments(store=store, ledger=ledger, workers=False)
    await payments.open()
    delivering = asyncio.create_task(payments.deliver())
    await _begun(ledger)
    await payments.aclose()
    assert await delivering == 1
    assert ledger.done == ["ent_pay0-1"]


# --- health ---------------------------------------------------------------------------------------------------------


def told(health: Health) -> list[str]:
    json.dumps(health.as_document())
    assert health.ok is (health.troubles == ())
    return [trouble.code for trouble in health.troubles]


async def refuse(entry: LedgerEntry) -> None:
    raise UndeliverableError("No.")


async def test_health_tells_what_waits_and_what_was_set_aside() -> None:
    clock = FakeClock()
    store = MemoryStore(clock=clock)
    limits = OutboxLimits(overdue_s=60)
    async with Payments(
        store=store, ledger=refuse, workers=False, clock=clock, outbox_limits=limits
    ) as payments:
        await fill(store, [2, 1])
        await fill(store, [1], kind=OutboxKind.EVENT, name="evt")
        health = await payments.health()
        assert (health.ok, health.ready, health.workers) == (True, True, ())
        clock.advance(59)
        await payments.deliver()
        health = await payments.health()
        ledger, events = health.queues
        assert (ledger.attended, ledger.waiting, ledger.parked, ledger.oldest_s) == (True, 1, 2, 59.0)
        assert (events.attended, events.waiting, events.parked, events.oldest_s) == (False, 1, 0, 59.0)
        assert told(health) == ["parked"]
        clock.advance(1)
        assert told(await payments.health()) == ["parked", "overdue"]
        document = (await payments.health()).as_document()
        assert document["queues"]["ledger"] == {"attended": True, "waiting": 1, "parked": 2, "oldest_s": 60.0}
        assert (document["ok"], document["ready"], document["store"]) == (False, True, "ok")


async def test_health_of_what_is_not_open() -> None:
    payments = Payments(store="memory://")
    health = await payments.health()
    assert (health.ready, health.opened, health.queues) == (False, False, ())
    assert told(health) == ["not_open"]
    assert health.as_document()["store"] == "closed"


async def test_health_tells_of_the_workers_of_this_process() -> None:
    async with Payments(store="memory://") as payments:  # that nobody takes anything is no reason to end
        await asyncio.sleep(0.05)
        health = await payments.health()
        assert {worker.name: worker.alive for worker in health.workers} == {
            "outbox": True,
            "reconcile": True,
            "inbox": True,
        }
        assert told(health) == []
        payments._parts.crew._tasks["outbox"].cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0.01)
        assert told(await payments.health()) == ["worker"]


class Broken(MemoryStore):
    """Fails, or says nothing."""

    error: Exception | None = None

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error or AssertionError


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (StorageError("The database is down."), "The database is down."),
        (OSError("a driver's own words"), "The store failed (OSError)."),
    ],
)
async def test_health_never_raises_for_a_store_that_is_down(error: Exception, says: str) -> None:
    store = Broken()
    store.error = error
    async with Payments(store=store, workers=False) as payments:
        health = await payments.health()
    assert (health.store_problem, health.ready) == (says, False)
    assert told(health) == ["store"]


def test_health_waits_for_no_store_longer_than_three_seconds() -> None:
    async def play() -> None:
        async with Payments(store=Broken(), workers=False) as payments:
            began = asyncio.get_running_loop().time()
            health = await payments.health()
            assert asyncio.get_running_loop().time() - began == 3
        assert health.store_problem == "The store did not answer within 3 s."

    virtual(play())


async def test_health_counts_what_the_observer_failed_to_take() -> None:
    class Raising(Listener):
        def event(self, name: str, **fields: Any) -> None:
            raise RuntimeError

    store = MemoryStore()
    async with Payments(store=store, ledger=refuse, observer=Raising(), workers=False) as payments:
        await fill(store, [1])
        await payments.deliver()
        assert (await payments.health()).observer_failures == 2

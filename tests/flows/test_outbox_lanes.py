"""The outbox in virtual time: setting rows aside, alarms, pauses, callbacks that do not stop, and who wakes it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.flows.queue_world import InlineRunner, Listener, fill
from tests.unit.virtual_loop import LoopClock, Machine, run_virtual
from vextrus_payments import DeliveryError, LedgerEntry, UndeliverableError
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.outbox import AlarmKind, Outbox, OutboxAlarm, OutboxLimits
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeEntropy

LEDGER = OutboxKind.LEDGER
Callback = Callable[[LedgerEntry], Awaitable[None]]


def virtual(play: Coroutine[Any, Any, None]) -> None:
    """Run it in virtual time; nothing may be left behind."""
    complaints: list[dict[str, Any]] = []
    run_virtual(play, complaints)
    assert complaints == []


class World:
    """A memory store in virtual time."""

    def __init__(self) -> None:
        self.clock = LoopClock(Machine(), 0.0)
        self.store = StoreThatFails(self.clock)
        self.listener = Listener()
        self.alarms: list[OutboxAlarm] = []

    @classmethod
    async def opened(cls) -> "World":
        """One whose store is open."""
        world = cls()
        await world.store.open()
        return world

    async def on_alarm(self, alarm: OutboxAlarm) -> None:
        """Keeps it."""
        self.alarms.append(alarm)

    def outbox(self, ledger: Callback, *, store: PaymentStore | None = None, **changes: Any) -> Outbox:
        """An outbox whose limits are these."""
        on_alarm = changes.pop("on_alarm", self.on_alarm)
        return Outbox(
            store or self.store,
            ledger=ledger,
            on_event=None,
            entropy=FakeEntropy(1),
            observer=self.listener,
            on_alarm=on_alarm,
            limits=OutboxLimits(**{"peek_s": None, **changes}),
        )

    @asynccontextmanager
    async def running(self, outbox: Outbox) -> AsyncIterator[None]:
        """The outbox at work, stopped after."""
        task = asyncio.create_task(outbox.run())
        try:
            yield
        finally:
            outbox.stop()
            await task

    async def row(self, row_id: str) -> OutboxRow:
        """A row as it is now."""
        page = await self.store.list_outbox(LEDGER)
        return next(row for row in page.rows if row.row_id == row_id)


class StoreThatFails(MemoryStore):
    """Fails as often as told."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock=clock)
        self.failing: dict[str, int] = {}
        self.acked: list[list[str]] = []
        self.leases: list[tuple[float, int, int]] = []
        """When, how many were asked for, how many came."""

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        await asyncio.sleep(0.002)  # a flush of the disk
        rows = await super().lease(kind, limit=limit, lease_s=lease_s)
        self.leases.append((asyncio.get_running_loop().time(), limit, len(rows)))
        return rows

    def _fail(self, name: str) -> None:
        if self.failing.get(name, 0):
            self.failing[name] -= 1
            raise StorageError("The disk is full.")

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        self._fail("ack_many")
        await asyncio.sleep(0.002)
        self.acked.append([row.row_id for row in rows])
        await super().ack_many(rows)

    async def nack(self, row: OutboxRow, *, retry_at: Any, why: str) -> None:
        self._fail("nack")
        await super().nack(row, retry_at=retry_at, why=why)


class Taker:
    """Takes entries, but raises for those it was told to."""

    def __init__(self, **failing: Exception) -> None:
        self.failing = {f"ent_{name.replace('_', '-')}": error for name, error in failing.items()}
        self.calls: list[tuple[float, str]] = []
        self.taken: list[str] = []

    async def __call__(self, entry: LedgerEntry) -> None:
        self.calls.append((asyncio.get_running_loop().time(), entry.id))
        if entry.id in self.failing:
            raise self.failing[entry.id]
        self.taken.append(entry.id)


# --- setting aside ----------------------------------------------------------------------------------------------


def test_what_its_taker_will_never_take_is_set_aside_at_once_and_holds_up_its_own_subject_alone() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [2, 1])
        taker = Taker(pay0_1=UndeliverableError("The account 01712345678 is closed, token=abc123."))
        async with world.running(world.outbox(taker, overdue_s=10**6)):
            await asyncio.sleep(4_000)
            assert taker.taken == ["ent_pay1-1"]
            assert len(taker.calls) == 2
            (alarm,) = world.alarms
            assert (alarm.kind, alarm.queue, alarm.row_id) == (AlarmKind.PARKED, LEDGER, "ent_pay0-1")
            assert (alarm.tenant, alarm.subject, alarm.tries) == ("acme", "payment/pay0", 1)
            parked = await world.row("ent_pay0-1")
            assert parked.parked == alarm.reason
            assert "closed" in alarm.reason
            assert "01712345678" not in alarm.reason and "abc123" not in alarm.reason
            assert [told["row_id"] for told in world.listener.of("outbox.parked")] == ["ent_pay0-1"]
            # mended, and let go again
            taker.failing.clear()
            assert await world.store.unpark("acme", "ent_pay0-1")
            await asyncio.sleep(10)
            assert taker.taken == ["ent_pay1-1", "ent_pay0-1", "ent_pay0-2"]

    virtual(play())


def test_a_row_that_fails_too_often_is_set_aside() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1])
        taker = Taker(pay0_1=RuntimeError("words of the host's own"))
        async with world.running(world.outbox(taker, park_after_tries=5)):
            await asyncio.sleep(10_000)
        assert len(taker.calls) == 5
        (alarm,) = [one for one in world.alarms if one.kind is AlarmKind.PARKED]
        assert (alarm.tries, alarm.reason) == (5, "the callback raised RuntimeError")
        pauses = [after - before for (before, _), (after, _) in pairwise(taker.calls)]
        for number, pause_s in enumerate(pauses):
            assert 0.5 * 2**number <= pause_s <= 2**number + 1.1  # and the poll that finds it due

    virtual(play())


def test_a_row_that_fails_for_too_long_is_set_aside() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1])
        taker = Taker(pay0_1=RuntimeError())
        async with world.running(world.outbox(taker, poll_s=20)):
            await asyncio.sleep(100_000)
        (alarm,) = [one for one in world.alarms if one.kind is AlarmKind.PARKED]
        assert 86_400 <= alarm.age_s <= 86_400 + 320
        pauses = [after - before for (before, _), (after, _) in pairwise(taker.calls)]
        assert max(pauses) <= 320  # asked again every five minutes, all day

    virtual(play())


def test_a_row_is_not_set_aside_for_having_waited_long_behind_another() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [2])
        taker = Taker(pay0_1=UndeliverableError("No."), pay0_2=RuntimeError())
        async with world.running(world.outbox(taker, poll_s=20)):
            await asyncio.sleep(200_000)
            del taker.failing["ent_pay0-1"]
            await world.store.unpark("acme", "ent_pay0-1")
            await asyncio.sleep(100)
            assert (await world.row("ent_pay0-2")).parked is None
            del taker.failing["ent_pay0-2"]
            await asyncio.sleep(60)
            assert taker.taken == ["ent_pay0-1", "ent_pay0-2"]

    virtual(play())


@pytest.mark.parametrize(
    ("asked_s", "waits_s"), [(0.0, 0.0), (40.0, 40.0), (1e9, 3600.0), (float("nan"), 0.0)]
)
def test_the_other_side_may_say_when_to_come_again(asked_s: float, waits_s: float) -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1])
        taker = Taker(pay0_1=DeliveryError("Busy.", retry_after_s=asked_s))
        async with world.running(world.outbox(taker)):
            await asyncio.sleep(0.1)
            taker.failing.clear()
            await asyncio.sleep(5_000)
        (first, _), (second, _) = taker.calls
        assert max(waits_s, 0.5) <= second - first <= max(waits_s, 1.0) + 1.1

    virtual(play())


# --- alarms and measures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["raises", "hangs"])
def test_an_alarm_that_fails_stops_nothing(way: str) -> None:
    async def play() -> None:
        world = await World.opened()

        async def on_alarm(alarm: OutboxAlarm) -> None:
            if way == "raises":
                raise RuntimeError("a pager's own words")
            await asyncio.Event().wait()

        await fill(world.store, [1, 1])
        taker = Taker(pay0_1=UndeliverableError("No."))
        async with world.running(world.outbox(taker, on_alarm=on_alarm)):
            await asyncio.sleep(1)
            assert taker.taken == ["ent_pay1-1"]
            await asyncio.sleep(60)
        (told,) = world.listener.of("outbox.alarm_failed")
        assert told["error"] == ("RuntimeError" if way == "raises" else "TimeoutError")

    virtual(play())


def test_what_nobody_takes_for_too_long_sounds_one_alarm_until_it_is_better_again() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1])
        taker = Taker(pay0_1=RuntimeError())
        async with world.running(world.outbox(taker, overdue_s=900, park_after_s=10**6)):
            await asyncio.sleep(800)
            assert world.alarms == []
            await asyncio.sleep(5_000)
            (alarm,) = world.alarms
            assert (alarm.kind, alarm.row_id) == (AlarmKind.OVERDUE, None)
            assert 900 <= alarm.age_s <= 931
            taker.failing.clear()
            await asyncio.sleep(700)
            await fill(world.store, [1], name="late")
            taker.failing["ent_late0-1"] = RuntimeError()
            await asyncio.sleep(2_000)
            assert [one.kind for one in world.alarms] == [AlarmKind.OVERDUE] * 2

    virtual(play())


def test_the_backlog_is_told_while_there_is_one_and_once_when_it_is_gone() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [3, 1])
        taker = Taker(pay0_1=UndeliverableError("No."))
        async with world.running(world.outbox(taker)):
            await asyncio.sleep(100)
            told = world.listener.of("outbox.backlog")
            assert told[0] == {"queue": "ledger", "waiting": 4, "parked": 0, "oldest_s": 0}
            assert (told[-1]["waiting"], told[-1]["parked"]) == (2, 1)
            assert 89 <= told[-1]["oldest_s"] <= 91
            taker.failing.clear()
            await world.store.unpark("acme", "ent_pay0-1")
            await asyncio.sleep(100)
            told = world.listener.of("outbox.backlog")
            assert told[-1] == {"queue": "ledger", "waiting": 0, "parked": 0, "oldest_s": 0}
            await asyncio.sleep(1_000)
            assert world.listener.of("outbox.backlog") == told

    virtual(play())


# --- places -------------------------------------------------------------------------------------------------------


def test_a_callback_that_hangs_holds_its_own_place_alone() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 12)
        taken: dict[str, float] = {}

        async def ledger(entry: LedgerEntry) -> None:
            if entry.id == "ent_pay0-1" and entry.id not in hung:
                hung.append(entry.id)
                await asyncio.Event().wait()
            taken[entry.id] = asyncio.get_running_loop().time()

        hung: list[str] = []
        async with world.running(world.outbox(ledger, at_once=2)):
            await asyncio.sleep(1)
            assert len(taken) == 11
            await asyncio.sleep(100)
        assert 30 <= taken["ent_pay0-1"] <= 34
        assert [one["why"] for one in world.listener.of("outbox.not_taken")] == ["the callback took too long"]

    virtual(play())


def test_a_callback_that_does_not_stop_loses_its_place_and_is_not_called_again_beside_itself() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [2, 1, 1])
        calls: list[str] = []
        free, inside = asyncio.Event(), 0

        async def ledger(entry: LedgerEntry) -> None:
            nonlocal inside
            calls.append(entry.id)
            if entry.id != "ent_pay0-1" or free.is_set():
                return
            inside += 1
            assert inside == 1
            while not free.is_set():
                try:
                    await free.wait()
                except asyncio.CancelledError:
                    continue
            inside -= 1

        async with world.running(world.outbox(ledger, at_once=1)):
            await asyncio.sleep(20)
            assert calls == ["ent_pay0-1"]
            await asyncio.sleep(20)  # its time is over, and the grace after it
            assert calls == ["ent_pay0-1", "ent_pay1-1", "ent_pay2-1"]
            await asyncio.sleep(1_000)
            assert len(calls) == 3
            free.set()
            await asyncio.sleep(200)
            assert calls[3:] == ["ent_pay0-1", "ent_pay0-2"]

    virtual(play())


def test_while_everything_fails_the_other_side_is_asked_a_few_times_a_second_and_no_more() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 200)
        calls = 0
        down = True

        async def ledger(entry: LedgerEntry) -> None:
            nonlocal calls
            calls += 1
            if down:
                raise ConnectionRefusedError

        outbox = world.outbox(ledger, at_once=4)
        async with world.running(outbox):
            for _ in range(100):  # as often as payments commit
                await asyncio.sleep(0.1)
                outbox.wake()
            assert 4 * 9 <= calls <= 4 * 12
            down, calls = False, 0
            await asyncio.sleep(20)
            assert calls == 200

    virtual(play())


def test_ends_are_told_in_batches_and_kept_until_the_store_has_them() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 8 + [2])
        world.store.failing = {"ack_many": 3, "nack": 2}
        taker = Taker(pay8_1=RuntimeError())
        async with world.running(world.outbox(taker, at_once=16)):
            await asyncio.sleep(3.5)
            taker.failing.clear()
            await asyncio.sleep(30)
        assert sorted(map(len, world.store.acked)) == [1, 1, 8]
        assert len(taker.taken) == len(set(taker.taken)) == 10  # none was called twice for the store's sake
        assert taker.taken[-2:] == ["ent_pay8-1", "ent_pay8-2"]

    virtual(play())


def test_a_row_of_whose_failure_the_store_cannot_be_told_stands_in_nobodys_way() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1, 1, 1])
        odd, nack = ["ent_pay0-1"], world.store.nack

        async def nack_oddly(row: OutboxRow, *, retry_at: Any, why: str) -> None:
            if row.row_id in odd:
                raise ValueError("a driver's own words")
            await nack(row, retry_at=retry_at, why=why)

        world.store.nack = nack_oddly  # type: ignore[method-assign]
        taker = Taker(pay0_1=RuntimeError(), pay1_1=RuntimeError())
        async with world.running(world.outbox(taker)):
            await asyncio.sleep(1)
            assert taker.taken == ["ent_pay2-1"]
            del taker.failing["ent_pay1-1"]
            await asyncio.sleep(5)
            assert taker.taken == ["ent_pay2-1", "ent_pay1-1"]
            taker.failing.clear()
            await asyncio.sleep(100)  # its lease is over by then
            assert taker.taken == ["ent_pay2-1", "ent_pay1-1", "ent_pay0-1"]
        assert [told["code"] for told in world.listener.of("outbox.failed")] == ["ValueError"]

    virtual(play())


def test_a_store_that_stays_down_does_not_keep_a_stopped_outbox() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1])
        world.store.failing = {"ack_many": 10**6}
        taker = Taker()
        outbox = world.outbox(taker)
        task = asyncio.create_task(outbox.run())
        await asyncio.sleep(5)
        outbox.stop()
        await asyncio.wait_for(task, 10)
        world.store.failing = {}
        async with world.running(world.outbox(taker)):
            await asyncio.sleep(120)
        assert taker.taken == ["ent_pay0-1"] * 2  # offered again under the same id

    virtual(play())


def test_cut_off_it_marks_what_was_taken() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 3)

        async def ledger(entry: LedgerEntry) -> None:
            if entry.id != "ent_pay0-1":
                await asyncio.Event().wait()

        world.store.failing = {"ack_many": 1}
        task = asyncio.create_task(world.outbox(ledger).run())
        await asyncio.sleep(0.5)  # the first one is taken, and the store did not hear of it
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.store.acked == [["ent_pay0-1"]]

    virtual(play())


def test_what_stands_behind_a_row_follows_it_at_once() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [20, 3])
        taker = Taker()
        async with world.running(world.outbox(taker, at_once=4)):
            await asyncio.sleep(0.5)
            assert len(taker.taken) == 23

    virtual(play())


# --- how much is leased ---------------------------------------------------------------------------------------------


def test_quick_callbacks_are_leased_for_in_hundreds_and_called_a_few_at_once() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 2_000)
        inside = most = 0

        async def ledger(entry: LedgerEntry) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.0005)
            inside -= 1

        assert await world.outbox(ledger, at_once=4).deliver() == 2_000
        assert most == 4
        assert len(world.store.leases) < 30 and len(world.store.acked) < 400
        assert max(count for _, _, count in world.store.leases) > 100

    virtual(play())


def test_slow_callbacks_are_leased_for_one_by_one() -> None:
    """Nothing is kept from other workers that cannot be handed over at once."""

    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 30)

        async def ledger(entry: LedgerEntry) -> None:
            await asyncio.sleep(2)

        assert await world.outbox(ledger, at_once=4).deliver() == 30
        assert max(count for _, _, count in world.store.leases) == 4

    virtual(play())


def test_what_was_leased_for_a_callback_that_then_turns_slow_is_let_go_in_time() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 400)
        calls: list[tuple[float, str]] = []

        async def ledger(entry: LedgerEntry) -> None:
            calls.append((asyncio.get_running_loop().time(), entry.id))
            if len(calls) > 60:
                await asyncio.sleep(25)

        async with world.running(world.outbox(ledger, at_once=2, lease_s=64)):
            await asyncio.sleep(400)
            leased_at = {at for at, _, count in world.store.leases if count}
            for at, _ in calls:
                begun_after = min(at - one for one in leased_at if one <= at)
                assert begun_after <= 64 - 32
            assert len(calls) == len({entry_id for _, entry_id in calls})
            assert len(calls) > 60 + 2 * 10

    virtual(play())


def test_once_stopped_it_begins_what_it_leased_for_a_second_and_leaves_the_rest() -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1] * 400)
        calls = 0

        async def ledger(entry: LedgerEntry) -> None:
            nonlocal calls
            calls += 1
            if calls > 60:
                await asyncio.sleep(0.8)

        outbox = world.outbox(ledger, at_once=2)
        task = asyncio.create_task(outbox.run())
        while calls < 62:
            await asyncio.sleep(0.01)
        outbox.stop()
        await asyncio.wait_for(task, 5)
        assert calls <= 62 + 2 * 2
        assert (await world.store.backlog(LEDGER)).waiting == 400 - calls

    virtual(play())


# --- who wakes it ---------------------------------------------------------------------------------------------------


def test_another_process_that_writes_wakes_it_at_once(tmp_path: Path) -> None:
    """Through SQLite's own word, long before the next poll."""

    async def play() -> None:
        world = await World.opened()
        here, there = (
            SqliteStore(tmp_path / "queue.db", clock=world.clock, runner=InlineRunner()) for _ in range(2)
        )
        await here.open()
        await there.open()
        taker = Taker()
        async with world.running(world.outbox(taker, store=here, poll_s=500.0, peek_s=0.1)):
            await asyncio.sleep(1)
            for number in range(3):
                await fill(there, [1], name=f"n{number}-")
                await asyncio.sleep(0.2)
                assert len(taker.taken) == number + 1
        await here.close()
        await there.close()

    virtual(play())


def test_without_such_a_word_it_polls() -> None:
    async def play() -> None:
        world = await World.opened()
        taker = Taker()
        async with world.running(world.outbox(taker, peek_s=0.1)):
            await asyncio.sleep(1)
            await fill(world.store, [1])
            await asyncio.sleep(1.1)
            assert taker.taken == ["ent_pay0-1"]

    virtual(play())


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"at_once": 0},
        {"at_once": 501},
        {"callback_timeout_s": 0},
        {"callback_timeout_s": float("inf")},
        {"callback_timeout_s": 60},
        {"lease_s": 63},
        {"lease_s": 0},
        {"poll_s": -1},
        {"peek_s": 0},
        {"longest_pause_s": 0},
        {"park_after_tries": 0},
        {"park_after_s": 0},
        {"gauge_s": 0},
        {"overdue_s": 0},
    ],
)
def test_limits_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        OutboxLimits(**wrong)


def test_limits_of_use_are_taken() -> None:
    assert timedelta(seconds=OutboxLimits(lease_s=64, peek_s=None).lease_s) == timedelta(seconds=64)

"""The outbox of one opening: its lanes, what wakes them, and the measure of what waits."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from vextrus_payments.errors import StorageError
from vextrus_payments.health import QueueHealth
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.outbox.alarms import AlarmCallback, AlarmKind, Alarms, OutboxAlarm
from vextrus_payments.outbox.lane import Crew, Lane
from vextrus_payments.outbox.limits import OutboxLimits
from vextrus_payments.outbox.targets import targets_of
from vextrus_payments.records import OutboxKind
from vextrus_payments.sink_port import EventListener, Ledger
from vextrus_payments.store import OutboxBacklog, PaymentStore

T = TypeVar("T")


class Outbox:
    """Delivers what the store's outbox holds: entries to the ledger, news to the listener.

    Raises:
        ConfigurationError: a callback that cannot be awaited, or a sink that this store cannot serve.
    """

    name = "outbox"

    def __init__(
        self,
        store: PaymentStore,
        *,
        ledger: Ledger | None,
        on_event: EventListener | None,
        entropy: Entropy,
        observer: Observer,
        limits: OutboxLimits | None = None,
        on_alarm: AlarmCallback | None = None,
    ) -> None:
        self._store = store
        self._observer = observer
        self._limits = limits or OutboxLimits()
        self._targets = targets_of(store, ledger, on_event)
        self._alarms = Alarms(observer, on_alarm)
        self._crew = Crew(
            store=store, limits=self._limits, entropy=entropy, observer=observer, alarms=self._alarms
        )
        self._lanes: dict[Lane, None] = {}
        """In the order in which they were made: a set's order would make no two simulated runs alike."""
        self._left = asyncio.Event()
        self._stopped = asyncio.Event()
        self._overdue: set[OutboxKind] = set()
        self._told: dict[OutboxKind, tuple[int, int]] = {}

    @property
    def kinds(self) -> tuple[OutboxKind, ...]:
        """What somebody is there for. Rows of another kind wait until somebody is."""
        return tuple(self._targets)

    def wake(self) -> None:
        """There may be something to deliver."""
        for lane in self._lanes:
            lane.wake()

    def stop(self) -> None:
        """Finish what is in hand, then end `run()`."""
        self._stopped.set()
        for lane in self._lanes:
            lane.stop()

    async def run(self) -> None:
        """Deliver until stopped. Nothing that a callback or the store does ends it."""
        lanes = self._new_lanes()
        helpers = [asyncio.create_task(self._watch_others()), asyncio.create_task(self._gauge())]
        try:
            await _together(*(lane.run() for lane in lanes))
            await self._stopped.wait()  # where there is nobody to deliver to, too
            await self._alarms.drain()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)
            self._part_with(lanes)

    async def deliver(self) -> int:
        """Hand over everything that is due now; how many rows were taken. A row that failed waits for its pause.

        Raises:
            StorageError: the store failed.
        """
        lanes = self._new_lanes()
        try:
            # Each to its end first: a store that fails for one kind must not leave the other's callbacks unattended.
            taken = sum(await _together(*(lane.deliver() for lane in lanes)))
            await self._alarms.drain()
            return taken
        finally:
            self._part_with(lanes)

    async def drain(self) -> None:
        """Stop, and wait until nothing is in hand any more, neither of run() nor of deliver()."""
        self.stop()
        while self._lanes:
            self._left.clear()
            await self._left.wait()

    async def health(self) -> tuple[QueueHealth, ...]:
        """What waits, of each kind.

        Raises:
            StorageError: the store failed.
        """
        found = []
        for kind in OutboxKind:
            backlog, now = await self._store.backlog(kind), self._store.now()
            found.append(
                QueueHealth(
                    queue=kind,
                    attended=kind in self._targets,
                    waiting=backlog.waiting,
                    parked=backlog.parked,
                    oldest_s=_age_s(backlog, now),
                )
            )
        return tuple(found)

    @property
    def overdue_s(self) -> float:
        """From which age on a waiting row is overdue."""
        return self._limits.overdue_s

    def _new_lanes(self) -> list[Lane]:
        lanes = [Lane(kind, target, self._crew) for kind, target in self._targets.items()]
        self._lanes.update(dict.fromkeys(lanes))
        if self._stopped.is_set():
            for lane in lanes:
                lane.stop()
        return lanes

    def _part_with(self, lanes: list[Lane]) -> None:
        for lane in lanes:
            self._lanes.pop(lane, None)
        self._left.set()

    # --- what runs beside the lanes ---------------------------------------------------------------------------------

    async def _watch_others(self) -> None:
        """Wake the lanes when another process has committed, where the store can tell so cheaply."""
        peek_s, seen = self._limits.peek_s, None
        while peek_s is not None:
            mark = None
            with suppress(StorageError):  # the lanes will meet it, and report it
                mark = await self._store.change_mark()
                if mark is None:
                    return  # only asking for rows can tell, and the lanes do that
            if mark is not None and mark != seen:
                seen = mark
                self.wake()
            await _pass(peek_s)

    async def _gauge(self) -> None:
        """Measure what waits, and sound an alarm when the oldest of it is overdue."""
        while True:
            for kind in self.kinds:
                with suppress(StorageError):  # the lanes report a store that fails
                    self._measure(kind, await self._store.backlog(kind))
            await _pass(self._limits.gauge_s)

    def _measure(self, kind: OutboxKind, backlog: OutboxBacklog) -> None:
        now = self._store.now()
        age_s = _age_s(backlog, now) or 0.0
        counts = (backlog.waiting, backlog.parked)
        if any(counts) or any(self._told.get(kind, ())):
            self._observer.event(
                "outbox.backlog",
                queue=kind.value,
                waiting=backlog.waiting,
                parked=backlog.parked,
                oldest_s=round(age_s),
            )
        self._told[kind] = counts
        if age_s < self._limits.overdue_s:
            self._overdue.discard(kind)
        elif kind not in self._overdue:
            self._overdue.add(kind)
            reason = f"{backlog.waiting} rows wait, the oldest for {round(age_s)} s"
            self._alarms.sound(
                OutboxAlarm(kind=AlarmKind.OVERDUE, queue=kind, at=now, reason=reason, age_s=age_s)
            )


def _age_s(backlog: OutboxBacklog, now: datetime) -> float | None:
    """Of the oldest that waits, in seconds."""
    oldest = backlog.oldest_created_at
    return None if oldest is None else max((now - oldest).total_seconds(), 0.0)


async def _together(*work: Coroutine[Any, Any, T]) -> list[T]:
    """All of them to their ends, then the first error. Cancelled, it waits until all of them have stopped."""
    tasks = [asyncio.create_task(one) for one in work]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    return [task.result() for task in tasks]


async def _pass(seconds: float) -> None:
    """Let time pass, on the loop's clock, until it has or this is cancelled."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return

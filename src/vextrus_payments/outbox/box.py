"""The outbox of one opening: its lanes, what wakes them, and the measure of what waits."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from vextrus_payments.errors import StorageError
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
        self._lanes: set[Lane] = set()
        self._stopping = False
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
        self._stopping = True
        for lane in self._lanes:
            lane.stop()

    async def run(self) -> None:
        """Deliver until stopped. Nothing that a callback or the store does ends it."""
        lanes = self._new_lanes()
        helpers = [asyncio.create_task(self._watch_others()), asyncio.create_task(self._gauge())]
        try:
            await _together(*(lane.run() for lane in lanes))
            await self._alarms.drain()
        finally:
            self._lanes.difference_update(lanes)
            for helper in helpers:
                helper.cancel()
            await asyncio.wait(helpers)

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
            self._lanes.difference_update(lanes)

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits of one kind."""
        return await self._store.backlog(kind)

    def _new_lanes(self) -> list[Lane]:
        lanes = [Lane(kind, target, self._crew) for kind, target in self._targets.items()]
        self._lanes.update(lanes)
        if self._stopping:
            for lane in lanes:
                lane.stop()
        return lanes

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
        now, oldest = self._store.now(), backlog.oldest_created_at
        age_s = 0.0 if oldest is None else max((now - oldest).total_seconds(), 0.0)
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
    """Let time pass, on the loop's clock: there is nothing here that another clock should decide."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()

"""What an operator must hear of: a row that was set aside, and rows that nobody has taken for too long."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from vextrus_payments.observe import Observer
from vextrus_payments.records import OutboxKind
from vextrus_payments.sink_port import check_coroutine_function

_PATIENCE_S: Final = 10.0


class AlarmKind(StrEnum):
    """What is wrong."""

    PARKED = "outbox.parked"
    """A row was set aside. What comes after it of the same payment waits until an operator acts."""
    OVERDUE = "outbox.overdue"
    """The oldest row that still waits is too old: nobody takes it, or no worker runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxAlarm:
    """One alarm. Holds no amounts and nothing secret: it may go to a pager."""

    kind: AlarmKind
    queue: OutboxKind
    at: datetime
    reason: str
    """Why the row was set aside; how old the oldest one is."""
    age_s: float
    """The row's age, in seconds."""
    tenant: str | None = None
    row_id: str | None = None
    """The entry's or event's id: what `vextrus-pay outbox retry` takes."""
    subject: str | None = None
    tries: int = 0


#: Told of alarms, at most once each; `await payments.health()` tells the state at any time.
AlarmCallback = Callable[[OutboxAlarm], Awaitable[None]]


class Alarms:
    """Tells the observer and the host's callback, and holds nobody up by it."""

    def __init__(self, observer: Observer, on_alarm: AlarmCallback | None) -> None:
        self._observer = observer
        self._on_alarm = on_alarm
        if on_alarm is not None:
            check_coroutine_function("on_alarm", on_alarm)
        self._telling: set[asyncio.Task[None]] = set()

    def sound(self, alarm: OutboxAlarm) -> None:
        """Tell it now."""
        self._observer.event(
            alarm.kind.value,
            queue=alarm.queue.value,
            tenant=alarm.tenant,
            row_id=alarm.row_id,
            subject=alarm.subject,
            reason=alarm.reason,
            tries=alarm.tries,
            age_s=round(alarm.age_s),
        )
        if self._on_alarm is not None:
            task = asyncio.create_task(self._tell(self._on_alarm, alarm), name="vextrus-payments-alarm")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, callback: AlarmCallback, alarm: OutboxAlarm) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await callback(alarm)
        except Exception as error:  # noqa: BLE001 - an alarm that fails must not stop what it is about
            self._observer.event("outbox.alarm_failed", kind=alarm.kind.value, error=type(error).__name__)

    async def drain(self) -> None:
        """Wait for those that are being told; cancelled, they are too."""
        while self._telling:
            try:
                await asyncio.wait(set(self._telling))
            except asyncio.CancelledError:
                for task in self._telling:
                    task.cancel()
                raise

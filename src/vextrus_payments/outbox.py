"""Handing entries to the ledger callback and news to on_event: at least once, in order per payment.

A row is leased, handed over, and marked delivered; a callback that raises or takes too long is offered the row again
after a growing pause. Nothing here touches the payer's path, and nothing is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vextrus_payments.documents import from_json
from vextrus_payments.errors import StorageError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ids import Entropy
from vextrus_payments.ledger import LedgerCallback, LedgerEntry
from vextrus_payments.observe import Observer
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import PaymentStore

#: Takes news of payments. Called at least once per event, in order per payment; dedupe on `event.id`.
EventCallback = Callable[[PaymentEvent], Awaitable[None]]

_MAX_PAUSE_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLimits:
    """The outbox's own limits, in seconds where they are times."""

    at_once: int = 16
    """How many subjects are delivered side by side: one round leases no more than it hands over at once."""
    callback_timeout_s: float = 30.0
    lease_s: int = 90
    """Well beyond the callback's time, so that no row is handed over twice while it is in hand."""
    poll_s: float = 1.0


class Outbox:
    """Delivers what the store's outbox holds."""

    def __init__(
        self,
        store: PaymentStore,
        *,
        ledger: LedgerCallback | None,
        on_event: EventCallback | None,
        entropy: Entropy,
        observer: Observer,
        limits: OutboxLimits | None = None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._on_event = on_event
        self._entropy = entropy
        self._observer = observer
        self._limits = limits or OutboxLimits()
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be something to deliver."""
        self._wake.set()

    def stop(self) -> None:
        """Finish what is leased, then end `run()`."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until stopped. A store that fails is asked again later."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self.deliver()
            except StorageError as error:
                self._observer.event("outbox.store_failed", code=error.code)
            except Exception as error:  # noqa: BLE001 - a worker that dies silently loses every later entry
                self._observer.event("outbox.failed", error=type(error).__name__)
            if not self._stopping:
                await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._limits.poll_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def deliver(self) -> int:
        """Hand over everything that is due now; how many rows were taken. A row that failed waits for its pause."""
        results = await asyncio.gather(
            *(self._deliver(kind) for kind in self._kinds()), return_exceptions=True
        )
        # Raised only now: a store that fails for one kind must not leave the other's callbacks unattended.
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return sum(result for result in results if isinstance(result, int))

    async def _deliver(self, kind: OutboxKind) -> int:
        """One kind: a ledger that hangs does not hold up the news."""
        delivered = 0
        while not self._stopping and (
            rows := await self._store.lease(kind, limit=self._limits.at_once, lease_s=self._limits.lease_s)
        ):
            delivered += sum(await asyncio.gather(*(self._hand_over(row) for row in rows)))
        return delivered

    def _kinds(self) -> tuple[OutboxKind, ...]:
        wanted = []
        # Without a callback the entries stay: a ledger that is attached later gets every one of them.
        if self._ledger is not None:
            wanted.append(OutboxKind.LEDGER)
        if self._on_event is not None:
            wanted.append(OutboxKind.EVENT)
        return tuple(wanted)

    async def _hand_over(self, row: OutboxRow) -> bool:
        try:
            async with asyncio.timeout(self._limits.callback_timeout_s):
                await self._call(row)
        except TimeoutError:
            why = "the callback took too long"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            why = "the callback was cancelled"  # something of the host's own, not us
        except Exception as error:  # noqa: BLE001 - a host's callback may raise anything; the row is offered again
            why = f"the callback raised {type(error).__name__}"
        else:
            await self._store.ack(row)
            return True
        retry_at = self._store.now() + timedelta(seconds=self._pause_s(row.attempts))
        await self._store.nack(row, retry_at=retry_at, why=why)
        self._observer.event(
            "outbox.not_taken", kind=row.kind.value, row_id=row.row_id, why=why, attempts=row.attempts + 1
        )
        return False

    async def _call(self, row: OutboxRow) -> None:
        if row.kind is OutboxKind.LEDGER and self._ledger is not None:
            await self._ledger(from_json(LedgerEntry, row.document))
        elif row.kind is OutboxKind.EVENT and self._on_event is not None:
            await self._on_event(from_json(PaymentEvent, row.document))

    def _pause_s(self, attempts: int) -> float:
        """Growing, with jitter, so that many rows do not come back at the same moment."""
        longest = min(_MAX_PAUSE_S, 1 << min(attempts, 10))
        share = int.from_bytes(self._entropy.token_bytes(2)) / 65536
        return longest * (0.5 + share / 2)

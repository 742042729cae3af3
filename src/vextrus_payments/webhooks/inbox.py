"""The inbox's worker: takes the news that was kept, has the engine apply it, and writes down what came of it.

Theory of operation. A lease gives a row to one worker with a new fence; what the engine makes of it is ended under
that fence, many rows to a commit. A worker that dies leaves its rows to whoever leases them next, and applying an
event twice changes nothing more. What cannot be applied now (no answer, a store that failed, settings that are wrong)
is due again after a pause that doubles; what comes early waits for us to learn of it, for a day; what names nothing of
ours is announced, for a person.

A gateway that does not answer is left alone for a while, and one gateway's news never takes all the places: what is
leased beyond a lane's own share goes back at once.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from vextrus_payments.clock import Clock
from vextrus_payments.documents import from_json, to_json
from vextrus_payments.engine import Applied, Verdict, tells_of_money
from vextrus_payments.errors import PaymentsError, StorageError
from vextrus_payments.events import EventKind, GatewayEvent, PaymentEvent
from vextrus_payments.ids import Entropy
from vextrus_payments.inbox import KEEP_DAYS, PARK_HOURS, InboxEnd, InboxRow, InboxState
from vextrus_payments.inbox_port import InboxRows
from vextrus_payments.mode import Mode
from vextrus_payments.observe import Observer

_PRUNE_AT_ONCE: Final = 1_000
_NOTE_MAX: Final = 300
_LONGEST_REST_S: Final = 60


class AppliesEvents(Protocol):
    """What the worker asks of the engine."""

    async def apply_event(
        self, tenant: str, gateway: str, mode: Mode, event: GatewayEvent, *, patient: bool = True
    ) -> Applied:
        """See Engine.apply_event."""
        ...


class InboxStore(InboxRows, Protocol):
    """What the worker asks of the store."""

    def now(self) -> datetime:
        """The store's clock."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxPorts:
    """What the worker works with."""

    store: InboxStore
    engine: AppliesEvents
    clock: Clock
    entropy: Entropy
    observer: Observer
    on_commit: "OnCommit"
    """Told after a commit that put an announcement into the outbox."""


class OnCommit(Protocol):
    """A sign without words."""

    def __call__(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """The inbox's own limits; times in seconds."""

    at_once: int = 32
    """How many rows are applied side by side."""
    at_once_per_gateway: int = 16
    """Of one tenant's gateway, while others have news too."""
    lease_s: int = 120
    """How long a row belongs to the worker that took it: well beyond a look-up. What a dead worker held is taken up
    after this."""
    poll_s: float = 1.0
    """How often the store is asked for rows when nothing has told of any."""
    longest_pause_s: int = 300
    """Pauses double with each try of a row, up to this. Of what is parked, too."""
    patience_s: int = 1_800
    """So long a gateway may take to show what a signed event tells of; then its denial counts."""
    park_s: int = PARK_HOURS * 3_600
    """So long news of what is not known here waits for it."""
    keep_s: int = KEEP_DAYS * 86_400
    """So long what is over is kept, to know its repeats by."""
    prune_s: float = 3_600.0
    """How often what is too old is deleted."""


@dataclass(slots=True)
class _Lane:
    """One tenant's gateway: how many of its rows are in hand, and until when it is left alone (monotonic)."""

    in_hand: int = 0
    failures: int = 0
    """How often in a row it gave no answer."""
    rest_until: float = 0.0


class InboxWorker:
    """A background job: see workers.Job."""

    name: Final = "inbox"

    def __init__(self, ports: InboxPorts, limits: InboxLimits | None = None) -> None:
        self._ports = ports
        self._limits = limits or InboxLimits()
        self._lanes: dict[tuple[str, str], _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[InboxEnd] = []
        self._ending: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._stopping = False
        self._pruned_at: float | None = None
        self.handled: int = 0
        """How many rows were applied or put off so far."""

    # --- as a worker --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """There may be something to apply."""
        self._news.set()

    def stop(self) -> None:
        """Take nothing more, finish what is in hand, end `run()`."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Apply what is due until stopped. A store that fails is asked again after `poll_s`."""
        try:
            while not self._stopping:
                self._news.clear()
                wait_s = self._limits.poll_s
                try:
                    wait_s = await self._turn()
                except StorageError as error:
                    self._ports.observer.event("inbox.store_failed", code=error.code)
                except Exception as error:  # noqa: BLE001 - a worker that dies silently leaves news unapplied
                    self._ports.observer.event("inbox.failed", error=type(error).__name__)
                await self._pause(wait_s)
            await self._settle()
        finally:
            await self._let_go()

    async def process(self) -> int:
        """Apply everything that is due now; how many rows were taken. What could not be applied is due again later.

        Raises:
            StorageError: the store failed; what was applied is recorded, and comes again at most.
        """
        before, began = self.handled, self._ports.store.now()
        try:
            while not self._stopping:
                due_at = await self._ports.store.next_event_at()
                if due_at is None or due_at > began:
                    break
                if not await self._take(patient=True):
                    break  # others hold what is due
                await self._settle()
        finally:
            await self._let_go()
        return self.handled - before

    async def _turn(self) -> float:
        """Take what is due and there is room for; how long to wait then, in seconds."""
        await self._prune()
        due_at = await self._ports.store.next_event_at()
        if due_at is None:
            return self._limits.poll_s
        wait_s = (due_at - self._ports.store.now()).total_seconds()
        if wait_s > 0:
            return min(wait_s, self._limits.poll_s)
        room = len(self._tasks) < self._limits.at_once
        taken = await self._take() if room else 0
        # Nothing was got although something is due: others hold it. With no room left, a task that ends wakes us.
        return 0.0 if taken else self._limits.poll_s

    async def _pause(self, wait_s: float) -> None:
        if self._stopping or wait_s <= 0:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return

    async def _prune(self) -> None:
        now = self._ports.clock.monotonic()
        if self._pruned_at is not None and now - self._pruned_at < self._limits.prune_s:
            return
        self._pruned_at = now
        store = self._ports.store
        before = store.now() - timedelta(seconds=self._limits.keep_s)
        while not self._stopping:
            pruned = await store.prune_inbox(before, limit=_PRUNE_AT_ONCE)
            if pruned:
                self._ports.observer.event("inbox.pruned", rows=pruned)
            if pruned < _PRUNE_AT_ONCE:
                return

    # --- rows in hand -------------------------------------------------------------------------------------------

    async def _take(self, *, patient: bool = False) -> int:
        """Lease rows and begin them; how many. `patient`: each waits for its lane rather than going back."""
        limits = self._limits
        rows = await self._ports.store.lease_events(
            limit=limits.at_once - len(self._tasks), lease_s=limits.lease_s
        )
        for row in rows:
            self.handled += 1
            lane = self._lanes.setdefault((row.tenant, row.gateway), _Lane())
            rest_s = lane.rest_until - self._ports.clock.monotonic()
            crowded = lane.in_hand >= limits.at_once_per_gateway and len(self._tasks) > lane.in_hand
            if rest_s > 0:
                pause_s = max(rest_s, self._pause_s(row))
                self._end(self._put_off(row, pause_s, "Its gateway did not answer a moment ago."))
            elif crowded and not patient:
                self._end(self._put_off(row, limits.poll_s, "News of other gateways is looked at first."))
            else:
                lane.in_hand += 1
                task = asyncio.create_task(self._handle(row, lane))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        return len(rows)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._news.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._ports.observer.event("inbox.failed", error=type(error).__name__)

    async def _handle(self, row: InboxRow, lane: _Lane) -> None:
        """Apply one row. Whatever happens, it ends, or comes again when its lease is over."""
        try:
            # On the loop's clock, and well within the lease: nobody else has taken it meanwhile.
            async with asyncio.timeout(self._limits.lease_s * 0.75):
                end = await self._apply(row, lane)
        except TimeoutError:
            end = self._again(row, "It took too long.")
        except PaymentsError as error:
            self._tell("inbox.not_applied", row, code=error.code)
            end = self._again(row, f"{type(error).__name__}: {error.what}")
        except Exception as error:  # noqa: BLE001 - one row's fault must not stop the others; it stays visible
            self._tell("inbox.not_applied", row, error=type(error).__name__)
            end = self._again(row, f"Something unforeseen went wrong ({type(error).__name__}).")
        finally:
            lane.in_hand -= 1
        self._end(end)

    async def _apply(self, row: InboxRow, lane: _Lane) -> InboxEnd:
        event = from_json(GatewayEvent, row.document)
        age_s = (self._ports.store.now() - row.received_at).total_seconds()
        applied = await self._ports.engine.apply_event(
            row.tenant,
            row.gateway,
            row.mode,
            event,
            patient=age_s < self._limits.patience_s or row.state is InboxState.PARKED,
        )
        self._rest(lane, applied)
        match applied.verdict:
            case Verdict.DONE:
                self._tell("inbox.applied", row, payment_id=applied.payment_id, tries=row.tries)
                return _over(row, InboxState.DONE, applied)
            case Verdict.AGAIN:
                return self._again(row, applied.note, applied.payment_id)
            case Verdict.EARLY if age_s < self._limits.park_s:
                pause_s = min(self._pause_s(row), self._limits.park_s - age_s)
                return self._put_off(
                    row, pause_s, applied.note, state=InboxState.PARKED, payment_id=applied.payment_id
                )
            case Verdict.EARLY | Verdict.FOREIGN:
                if not tells_of_money(event):
                    return _over(row, InboxState.DONE, applied)
                self._tell("inbox.unmatched", row)
                return _over(
                    row, InboxState.UNMATCHED, applied, announcement_of(row, event, self._ports.store.now())
                )

    def _rest(self, lane: _Lane, applied: Applied) -> None:
        """Leave a gateway alone for a while that gives no answers: longer with each that it does not give."""
        if not applied.unanswered:
            lane.failures = 0
            return
        lane.failures += 1
        rest_s = min(_LONGEST_REST_S, 1 << min(lane.failures, 10))
        lane.rest_until = self._ports.clock.monotonic() + rest_s

    # --- ends ---------------------------------------------------------------------------------------------------

    def _again(self, row: InboxRow, note: str, payment_id: str | None = None) -> InboxEnd:
        return self._put_off(row, self._pause_s(row), note, payment_id=payment_id)

    def _put_off(
        self,
        row: InboxRow,
        pause_s: float,
        note: str,
        *,
        state: InboxState = InboxState.WAITING,
        payment_id: str | None = None,
    ) -> InboxEnd:
        due_at = self._ports.store.now() + timedelta(seconds=pause_s)
        return InboxEnd(row=row, state=state, due_at=due_at, payment_id=payment_id, note=note[:_NOTE_MAX])

    def _pause_s(self, row: InboxRow) -> float:
        """Doubling with each try, with jitter, so that many do not come back together."""
        longest = min(self._limits.longest_pause_s, 1 << min(max(row.tries - 1, 0), 20))
        share = int.from_bytes(self._ports.entropy.token_bytes(2)) / 65536
        return longest * (0.5 + share / 2)

    def _end(self, end: InboxEnd) -> None:
        self._ends.append(end)
        if self._ending is None:
            self._ending = asyncio.create_task(self._write_ends())

    async def _write_ends(self) -> None:
        """Write down what came of rows, those together that ended while the last ones were written."""
        try:
            while self._ends:
                ends, self._ends = self._ends[:_PRUNE_AT_ONCE], self._ends[_PRUNE_AT_ONCE:]
                await self._write(ends)
        finally:
            self._ending = None
            self._news.set()

    async def _write(self, ends: Sequence[InboxEnd]) -> None:
        try:
            written = await self._ports.store.end_events(ends)
        except StorageError as error:
            # Their leases run out, and they are applied again: nothing changes by that.
            self._ports.observer.event("inbox.store_failed", code=error.code)
            return
        except Exception as error:  # noqa: BLE001 - as above
            self._ports.observer.event("inbox.failed", error=type(error).__name__)
            return
        if any(done and end.announcement is not None for done, end in zip(written, ends, strict=True)):
            self._ports.on_commit()

    async def _settle(self) -> None:
        """Wait until nothing is in hand any more, and everything that ended is written."""
        while self._tasks or self._ending is not None:
            # Their own callbacks, which take them out, run before the waiter's: each round is a shorter one.
            await asyncio.wait(self._under_way())

    async def _let_go(self) -> None:
        tasks = self._under_way()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _under_way(self) -> set[asyncio.Task[None]]:
        return self._tasks if self._ending is None else {*self._tasks, self._ending}

    def _tell(self, event: str, row: InboxRow, **fields: object) -> None:
        self._ports.observer.event(
            event, tenant=row.tenant, gateway=row.gateway, event_id=row.event_id, **fields
        )


def _over(
    row: InboxRow, state: InboxState, applied: Applied, announcement: tuple[str, str] | None = None
) -> InboxEnd:
    return InboxEnd(
        row=row,
        state=state,
        payment_id=applied.payment_id,
        note=applied.note[:_NOTE_MAX],
        announcement=announcement,
    )


def announcement_of(row: InboxRow, event: GatewayEvent, now: datetime) -> tuple[str, str]:
    """The id and the document of the news that money came which names nothing of ours: fixed by the row."""
    seed = "\x1f".join(("unmatched", row.tenant, row.gateway, row.mode.value, row.event_id))
    amount = transaction_id = order_id = None
    after = "unmatched"
    if event.refund is not None:
        amount, transaction_id, after = event.refund.amount, event.refund.transaction_id, "unmatched_refund"
    elif event.snapshot is not None:
        amount, transaction_id = event.snapshot.amount, event.snapshot.transaction_id
        order_id = event.snapshot.gateway_order_id
    told = PaymentEvent(
        id=f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}",
        kind=EventKind.UNMATCHED_RECEIPT,
        tenant=row.tenant,
        gateway=row.gateway,
        mode=row.mode,
        payment_id=None,
        merchant_reference=None,
        occurred_at=now,
        before=None,
        after=after,
        amount=amount,
        transaction_id=transaction_id,
        metadata={"inbox_event_id": row.event_id, **({"gateway_order_id": order_id} if order_id else {})},
    )
    return told.id, to_json(told)

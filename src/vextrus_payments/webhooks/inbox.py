"""The inbox's worker: takes the news that was kept, has the engine apply it, and writes down what came of it.

Theory of operation. A lease gives a row to one worker with a new fence; what the engine makes of it is ended under
that fence, many rows to a commit. A worker that dies leaves its rows to whoever leases them next, and applying an
event twice changes nothing more. What cannot be applied now (no answer, a store that failed, settings that are wrong)
is due again after a pause that doubles, and is announced once it has lasted for an hour, for a person; what comes early
waits for us to learn of it, for a day; what names nothing of ours is announced, too.

A gateway that does not answer is left alone for a while, and one gateway's news never takes all the places: what is
leased beyond a lane's own share goes back, behind what nobody has looked at yet. So while a lane is full, a whole batch
is looked through once in a `poll_s`, for news of other gateways behind it; in between, only what has ended is replaced.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from vextrus_payments.clock import Clock
from vextrus_payments.documents import from_json
from vextrus_payments.engine import Applied, Verdict, tells_of_money
from vextrus_payments.errors import PaymentsError, StorageError
from vextrus_payments.events import GatewayEvent
from vextrus_payments.ids import Entropy
from vextrus_payments.inbox import InboxEnd, InboxRow, InboxState
from vextrus_payments.inbox_port import InboxRows
from vextrus_payments.mode import Mode
from vextrus_payments.observe import Observer
from vextrus_payments.webhooks.announcing import announcement_of, with_alarm
from vextrus_payments.webhooks.inbox_limits import InboxLimits

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
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order in which they were begun: a set's order would make no two simulated runs alike."""
        self._ends: list[InboxEnd] = []
        self._ending: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._stopping = False
        self._pruned_at: float | None = None
        self._crowded = False
        """Whether there is more of some gateway's news than it has places."""
        self._looked_through_at = 0.0
        self._ended = 0
        """How many rows have ended since the last lease."""
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
                if not await self._take(self._limits.at_once, shares=False):
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
        wanted = self._wanted()
        taken = await self._take(wanted) if wanted > 0 else 0
        # Nothing was got although something is due: others hold it. With no room left, a task that ends wakes us.
        return 0.0 if taken and not self._crowded else self._limits.poll_s

    def _wanted(self) -> int:
        """How many rows to lease now."""
        room = self._limits.at_once - len(self._tasks)
        if not self._crowded:
            return room
        now = self._ports.clock.monotonic()
        if now - self._looked_through_at >= self._limits.poll_s:
            self._looked_through_at = now
            return self._limits.batch
        return min(room, self._ended)

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

    async def _take(self, wanted: int, *, shares: bool = True) -> int:
        """Lease rows and begin them; how many were leased. What its lane has no place for goes back.

        `shares`: without, a lane may take all the places.
        """
        limits = self._limits
        rows = await self._ports.store.lease_events(limit=wanted, lease_s=limits.lease_s)
        self._ended, beyond = 0, 0
        for row in rows:
            self.handled += 1
            lane = self._lanes.setdefault((row.tenant, row.gateway), _Lane())
            rest_s = lane.rest_until - self._ports.clock.monotonic()
            full = len(self._tasks) >= limits.at_once or (
                shares and lane.in_hand >= limits.at_once_per_gateway
            )
            if rest_s > 0:
                pause_s = max(rest_s, self._pause_s(row))
                self._end(self._put_off(row, pause_s, "Its gateway did not answer a moment ago."))
            elif full:
                beyond += 1
                # Due at once, which is behind what was never leased: a pause would leave its lane without work.
                self._end(self._put_off(row, 0.0, "It waits for its turn."))
            else:
                lane.in_hand += 1
                task = asyncio.create_task(self._handle(row, lane))
                self._tasks[task] = None
                task.add_done_callback(self._done)
        if beyond:
            self._crowded = True
        elif wanted >= limits.at_once or len(rows) < wanted:
            self._crowded = False  # it was a whole look, or there is no more
        return len(rows)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        self._ended += 1
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
        self._end(with_alarm(end, self._ports.store.now(), self._limits.alarm_s))

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
                return self._put_off(
                    row,
                    self._pause_s(row),
                    applied.note,
                    state=InboxState.WAITING,
                    payment_id=applied.payment_id,
                )
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

    def _again(self, row: InboxRow, note: str) -> InboxEnd:
        return self._put_off(row, self._pause_s(row), note)

    def _put_off(
        self,
        row: InboxRow,
        pause_s: float,
        note: str,
        *,
        state: InboxState | None = None,
        payment_id: str | None = None,
    ) -> InboxEnd:
        now = self._ports.store.now()
        if state is None:
            # What could not even be tried is as early as it was: its patience begins when it is found.
            early = (now - row.received_at).total_seconds() < self._limits.park_s
            state = row.state if early else InboxState.WAITING
        due_at = now + timedelta(seconds=pause_s)
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
        told = (end.announcement is not None or end.relief is not None for end in ends)
        if any(done and news for done, news in zip(written, told, strict=True)):
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

    def _under_way(self) -> list[asyncio.Task[None]]:
        return [*self._tasks, *([] if self._ending is None else [self._ending])]

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

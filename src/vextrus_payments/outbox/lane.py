"""One kind of rows on its way out: leased, handed over side by side, and their ends told to the store.

Theory of operation. A round tells the store how the rows ended that have ended since (all that were taken are marked
in one transaction, so under load batches form by themselves), then leases anew. Each callback runs in a task of its
own with a deadline, in one of a fixed number of places; so one that hangs holds up its own subject and nobody else's,
and neither the rounds nor any payment waits for it.

How many rows a lease takes follows the pace: as many as there are places, or what the last moments say is taken within
a quarter of a second. Where callbacks are slow, nothing is leased that cannot be handed over at once; where they are
quick, a flush of the disk serves hundreds of rows, which is what payments on the same store are glad of.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from vextrus_payments.errors import DeliveryError, StorageError, UndeliverableError
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.outbox.alarms import AlarmKind, Alarms, OutboxAlarm
from vextrus_payments.outbox.limits import MOST_AT_ONCE, OutboxLimits
from vextrus_payments.outbox.targets import Handed, Target
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.redaction import redact_text
from vextrus_payments.store import PaymentStore

_AHEAD_S: Final = 0.25
"""So much work, at the present pace, is leased ahead."""
_AFTER_STOP_S: Final = 1.0
"""So long a stopped lane still begins what it had leased."""
_LAST_WORDS_S: Final = 2.0
_LAST_TRIES: Final = 3
_REASON_LENGTH: Final = 200

_Key = tuple[str, str]


@dataclass(slots=True)
class _Held:
    """A row in hand."""

    row: OutboxRow
    task: asyncio.Task[Handed]
    timer: asyncio.TimerHandle
    late: bool = False


@dataclass(frozen=True, slots=True)
class _Ended:
    """A row whose hand-over is over, for the store to be told. `why=None`: it was taken."""

    row: OutboxRow
    why: str | None = None
    wish_s: float | None = None
    hopeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """What every lane of one outbox works with."""

    store: PaymentStore
    limits: OutboxLimits
    entropy: Entropy
    observer: Observer
    alarms: Alarms


class Lane:
    """Delivers the rows of one kind. Made anew for each run."""

    def __init__(self, kind: OutboxKind, target: Target, crew: Crew) -> None:
        self.kind = kind
        self.taken: int = 0
        """How many rows were taken so far."""
        self._target = target
        self._crew = crew
        self._places = min(crew.limits.at_once, target.most_at_once or MOST_AT_ONCE)
        self._leased: deque[OutboxRow] = deque()
        """Ours, and not begun yet."""
        self._held: dict[_Key, _Held] = {}
        self._strays: dict[_Key, asyncio.Task[Handed]] = {}
        """Callbacks that do not stop when told to. Their rows are offered again, but not by this process."""
        self._ended: list[_Ended] = []
        self._news = asyncio.Event()
        self._stopping = False
        self._leaving = False
        self._look = True
        """Whether a lease may find something."""
        self._patient = False
        self._failed_in_a_row = 0
        self._allowance = 0
        self._rest_until = 0.0
        self._ended_since = 0
        self._last_lease_s = 0.0
        self._begin_until = float("inf")

    def wake(self) -> None:
        """There may be something to deliver."""
        self._look = True
        self._news.set()

    def stop(self) -> None:
        """Take nothing more; finish what is in hand."""
        if not self._stopping:
            self._begin_until = asyncio.get_running_loop().time() + _AFTER_STOP_S
        self._stopping = True
        self._news.set()

    # --- the two ways to run --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver until stopped. A store that fails is asked again after `poll_s`."""
        poll_s = self._crew.limits.poll_s
        failures, self._patient = 0, True
        try:
            # A store that stays down does not keep a stopped lane for ever: what is unmarked comes again.
            while not (self._stopping and (self._idle or (failures >= _LAST_TRIES and not self._held))):
                try:
                    moved = await self._round()
                except Exception as error:  # noqa: BLE001 - a worker that dies silently loses every later row
                    self._report(error)
                    failures += 1
                    await self._rest(poll_s)
                    continue
                failures = 0
                if not moved and not (self._stopping and self._idle):
                    await self._wait(poll_s)
        finally:
            await self._leave()

    def _report(self, error: Exception) -> None:
        name = "outbox.store_failed" if isinstance(error, StorageError) else "outbox.failed"
        code = error.code if isinstance(error, StorageError) else type(error).__name__
        self._crew.observer.event(name, queue=self.kind.value, code=code)

    async def deliver(self) -> int:
        """Hand over everything that is due, until nothing is; how many rows were taken.

        Raises:
            StorageError: the store failed. What was in hand is over by then, and told to it where it could be.
        """
        try:
            while (moved := await self._round()) or not self._idle:
                if not moved:
                    await self._wait(None)
        except Exception:
            self._stopping = True
            self._leased.clear()
            while self._held:
                self._news.clear()
                await self._wait(None)
            raise
        finally:
            await self._leave()
        return self.taken

    @property
    def _idle(self) -> bool:
        return not (self._held or self._ended or self._leased)

    async def _wait(self, most_s: float | None) -> None:
        """For news; after `most_s` seconds it is time to look again."""
        try:
            async with asyncio.timeout(most_s):
                await self._news.wait()
        except TimeoutError:
            self._look = True

    async def _rest(self, seconds: float) -> None:
        """Whatever the news: a store that failed is left alone for a moment."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.Event().wait()
        except TimeoutError:
            self._look = True

    async def _leave(self) -> None:
        """At the end, or cancelled: nothing of this lane goes on after it."""
        self._leaving = True
        self._leased.clear()
        tasks = {held.task for held in self._held.values()} | set(self._strays.values())
        for held in self._held.values():
            held.timer.cancel()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._crew.limits.grace_s)
        if self._ended:  # taken, and about to be marked: unmarked they would come twice
            try:
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._tell()
            except (StorageError, TimeoutError):
                pass  # their leases run out

    # --- a round --------------------------------------------------------------------------------------------------

    async def _round(self) -> bool:
        """Tell ends, lease anew, begin what there are places for; whether anything was done."""
        self._news.clear()
        moved = await self._tell()
        if self._look and not self._leased and self._room() and not self._stopping:
            moved = await self._lease() or moved
        return self._begin_more() or moved

    async def _lease(self) -> bool:
        self._look = False  # before the question: a wake while it is asked counts
        limit = max(self._depth() - len(self._held), self._room())
        rows = await self._crew.store.lease(self.kind, limit=limit, lease_s=self._crew.limits.lease_s)
        self._leased += rows
        return bool(rows)

    def _depth(self) -> int:
        """How many rows are in hand at most, by the pace since the last lease."""
        now_s = asyncio.get_running_loop().time()
        passed_s, self._last_lease_s = now_s - self._last_lease_s, now_s
        ended, self._ended_since = self._ended_since, 0
        if self._is_refused or ended * _AHEAD_S <= self._places * passed_s:
            return self._places
        return MOST_AT_ONCE if not passed_s else min(int(ended / passed_s * _AHEAD_S), MOST_AT_ONCE)

    @property
    def _is_refused(self) -> bool:
        """Whether the other side seems to be down: then it gets some rows each poll, in place of all that wait."""
        return self._patient and self._failed_in_a_row >= self._places

    def _room(self) -> int:
        """How many more may be begun now."""
        free = self._places - len(self._held)
        if not self._is_refused:
            return free
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._rest_until:
            self._rest_until, self._allowance = now_s + self._crew.limits.poll_s, self._places
        return min(free, self._allowance)

    def _begin_more(self) -> bool:
        """Begin what was leased, as far as there are places; whether there was any."""
        begun = False
        while self._leased and self._room() > 0:
            row = self._leased.popleft()
            if self._may_begin(row):
                self._begin(row)
                begun = True
        if self._stopping and asyncio.get_running_loop().time() >= self._begin_until:
            self._leased.clear()
        return begun

    def _may_begin(self, row: OutboxRow) -> bool:
        if (row.tenant, row.row_id) in self._held or (row.tenant, row.row_id) in self._strays:
            return False  # its lease ran out while its callback runs here
        if row.leased_until is None:
            return True
        # Its callback must be over before the lease is; else somebody else will have it then.
        left_s = (row.leased_until - self._crew.store.now()).total_seconds()
        limits = self._crew.limits
        return left_s >= limits.callback_timeout_s + limits.grace_s

    def _begin(self, row: OutboxRow) -> None:
        key = (row.tenant, row.row_id)
        self._allowance -= 1
        task = asyncio.create_task(self._target.hand_over(row), name="vextrus-payments-hand-over")
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._crew.limits.callback_timeout_s, self._too_late, key)
        self._held[key] = _Held(row, task, timer)
        task.add_done_callback(partial(self._over, key))

    def _too_late(self, key: _Key) -> None:
        held = self._held[key]
        held.late = True
        held.task.cancel()
        held.timer = asyncio.get_running_loop().call_later(self._crew.limits.grace_s, self._abandon, key)

    def _abandon(self, key: _Key) -> None:
        """Its callback does not stop when told to: it loses its place, so that others can have it."""
        held = self._held.pop(key)
        self._strays[key] = held.task
        self._end(_Ended(held.row, "the callback took too long, and did not stop when told to"))

    def _over(self, key: _Key, task: asyncio.Task[Handed]) -> None:
        held = self._held.pop(key, None)
        if held is None:
            self._strays.pop(key, None)
            if not task.cancelled():
                task.exception()  # nobody else will ask for it
            return
        held.timer.cancel()
        if self._leaving and (task.cancelled() or task.exception() is not None):
            return  # cut off by us: its lease runs out
        ended = _ended(held, task)
        if ended is None:  # taken and marked in one go, or nothing was done
            self.taken += task.result() is Handed.MARKED
            self._failed_in_a_row = 0
            self._ended_since += 1
            self.wake()
        else:
            self._end(ended)
        if not self._leaving:
            self._begin_more()

    def _end(self, ended: _Ended) -> None:
        self._failed_in_a_row = 0 if ended.why is None else self._failed_in_a_row + 1
        self._ended_since += 1
        self._ended.append(ended)
        self._news.set()

    # --- telling the store ----------------------------------------------------------------------------------------

    async def _tell(self) -> bool:
        """Tell the store of every row that has ended; False where none has. What it did not take is told again."""
        ended, self._ended = self._ended, []
        if not ended:
            return False
        taken = [one.row for one in ended if one.why is None]
        told: set[int] = set()
        try:
            if taken:
                await self._crew.store.ack_many(taken)
                told.update(id(one) for one in ended if one.why is None)
                self.taken += len(taken)
            for one in ended:
                if one.why is None:
                    continue
                try:
                    await self._tell_failure(one, one.why)
                except StorageError:
                    raise
                except Exception as error:  # noqa: BLE001 - one odd row must not stand in the way of all others
                    self._report(error)  # its lease runs out, and it is offered again
                told.add(id(one))
        finally:
            self._ended[:0] = (one for one in ended if id(one) not in told)
        self._look = True  # what stood behind them may be due now
        return True

    async def _tell_failure(self, ended: _Ended, why: str) -> None:
        row, crew = ended.row, self._crew
        now = crew.store.now()
        parked = ended.hopeless or crew.limits.gives_up(row, now)
        pause_s = crew.limits.pause_s(row.attempts, crew.entropy, ended.wish_s)
        await crew.store.nack(row, retry_at=None if parked else now + timedelta(seconds=pause_s), why=why)
        crew.observer.event(
            "outbox.not_taken", kind=row.kind.value, row_id=row.row_id, why=why, attempts=row.attempts + 1
        )
        if parked:
            crew.alarms.sound(
                OutboxAlarm(
                    kind=AlarmKind.PARKED,
                    queue=row.kind,
                    at=now,
                    reason=why,
                    age_s=(now - row.created_at).total_seconds(),
                    tenant=row.tenant,
                    row_id=row.row_id,
                    subject=row.subject,
                    tries=row.attempts + 1,
                )
            )


def _ended(held: _Held, task: asyncio.Task[Handed]) -> _Ended | None:
    """How a hand-over ended; None where the store need not be told."""
    row = held.row
    if task.cancelled():
        # Cancelled by its deadline, or by something of the host's own.
        return _Ended(row, "the callback took too long" if held.late else "the callback was cancelled")
    error = task.exception()
    if error is None:
        return _Ended(row) if task.result() is Handed.TAKEN else None
    if isinstance(error, DeliveryError):
        # The host has made it, perhaps of what is no text.
        what = error.what if isinstance(error.what, str) else f"the callback raised {type(error).__name__}"
        why = redact_text(what, _REASON_LENGTH)
        return _Ended(row, why, error.retry_after_s, isinstance(error, UndeliverableError))
    if held.late:
        return _Ended(row, "the callback took too long")
    # Not its text: a host's exception may quote anything.
    return _Ended(row, f"the callback raised {type(error).__name__}")

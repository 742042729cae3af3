"""The reconciler: takes what is due from the store and looks at it, as many at once as the gateways' manners allow.

Theory of operation. The store leases out watches, the longest due first; nobody else gets a leased one. Each becomes a
task, which waits for a place in the lane of its (tenant, gateway) and then for one of the places there are for all.
A lane takes only so many waiting ones: what a busy tenant has beyond them goes back for a little while, so that the
next lease reaches the tenants behind it. A task that comes to its turn too late for its lease lets go: somebody else
has it by then. What a look settles is committed by the engine, with the time of the next look; what it does not
settle gets that time from steps.py.

Memory stays the same however much is due: so many watches are held, and nothing is kept of those that are done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from datetime import datetime
from typing import Any, Final

from vextrus_payments.errors import InvalidRequestError, PaymentsError, StorageError
from vextrus_payments.reconcile.limits import ReconcileLimits
from vextrus_payments.reconcile.looking import Looker, Ports, Shut, Subject, untouched
from vextrus_payments.reconcile.report import OnEach, Problem, Reconciled, ReconcileReport, Tally
from vextrus_payments.reconcile.since import agreements_since, payments_since, payouts_left_out, payouts_since
from vextrus_payments.reconcile.steps import Action, asked_for, still_at_work
from vextrus_payments.reconcile.taking import Taker
from vextrus_payments.records import Agreement, PaymentFacts, Payout

#: The mark under which a worker says that it is there; its value is the store's time, in ISO 8601.
SEEN_MARK: Final = "reconcile/seen"
#: The longest pause of a gateway that is waited for after a restore.
_WAIT_S: Final = 60.0
_AT_WORK: Final = Problem(
    code="still_at_work",
    what="By these records its gateway may be at work on it now, so it was not asked. Run it again in two minutes.",
)
_NOT_NOW: Final = Problem(
    code="left_alone",
    what="Its gateway throttles or does not answer, so it was not asked. Run it again later.",
)


class Hand:
    """The looks under way: so many at most, and a sign whenever one of them ends."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[bool]] = set()
        self.freed: asyncio.Event = asyncio.Event()
        self.ended: int = 0
        """How many have ended that were not given back, since somebody last set it to 0."""

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def room(self) -> int:
        """How many more it takes."""
        return self._most - len(self._tasks)

    def take(self, work: Coroutine[Any, Any, bool]) -> None:
        """Begin one."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[bool]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is None:
            self.ended += task.result()
        self.freed.set()

    async def until(self, few: int) -> None:
        """Wait until no more than so many are under way."""
        while len(self._tasks) > few:
            self.freed.clear()
            await self.freed.wait()

    async def let_go(self, wait_s: float) -> None:
        """Wait a little for what is under way, then leave it."""
        tasks = set(self._tasks)
        if tasks and wait_s > 0:
            _, tasks = await asyncio.wait(tasks, timeout=wait_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Reconciler:
    """Looks at what is open until its end is known. `Payments` runs one; so does `vextrus-pay worker`."""

    name: Final = "reconcile"

    def __init__(self, ports: Ports, limits: ReconcileLimits | None = None) -> None:
        self._ports = ports
        self._limits = limits or ReconcileLimits()
        self._looker = Looker(ports, at_once=self._limits.at_once_per_gateway)
        self._places = asyncio.Semaphore(self._limits.at_once)
        self._stopping = False
        self._taker = Taker(
            ports=ports,
            looker=self._looker,
            limits=self._limits,
            places=self._places,
            is_stopping=lambda: self._stopping,
        )
        self._hand = Hand(self._limits.held)
        self._credit = 0
        self._swept_at: float | None = None
        self._seen_at: float | None = None
        self._seen: str | None = None

    # --- as a worker ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at what is due until stopped. A store that fails is asked again later."""
        tally = Tally(self._tell)
        polled_at: float | None = None
        try:
            while not self._stopping:
                self._hand.freed.clear()
                now = self._ports.clock.monotonic()
                if polled_at is None or now - polled_at >= self._limits.poll_s:
                    polled_at = now
                    self._credit = max(self._credit, self._limits.batch)
                await self._guarded(self._upkeep)
                await self._guarded(lambda: self._fill(tally))
                await self._pause()
        finally:
            await self._hand.let_go(self._limits.drain_s if self._stopping else 0)

    def stop(self) -> None:
        """Begin nothing more, and end `run()`."""
        self._stopping = True
        self._hand.freed.set()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except StorageError as error:
            self._ports.observer.event("reconcile.store_failed", code=error.code)
        except Exception as error:  # noqa: BLE001 - a worker that dies silently leaves payments open for ever
            self._ports.observer.event("reconcile.failed", error=type(error).__name__)

    async def _upkeep(self) -> None:
        """Arm what has no watch, and say that a worker is here; each at its own pace."""
        now, store = self._ports.clock.monotonic(), self._ports.store
        if self._swept_at is None or now - self._swept_at >= self._limits.sweep_s:
            self._swept_at = now
            armed = await store.sweep_watches()
            if armed:
                self._ports.observer.event("reconcile.swept", armed=armed)
        if self._seen_at is None or now - self._seen_at >= self._limits.seen_s:
            self._seen_at = now
            value = store.now().isoformat()
            if await store.put_mark(SEEN_MARK, value, expected=self._seen):
                self._seen = value
            else:  # another worker was here
                self._seen = await store.get_mark(SEEN_MARK)

    async def _fill(self, tally: Tally) -> None:
        """Lease what there is room for. While lanes are full, no more than has ended, and a batch in a `poll_s`."""
        limits, hand = self._limits, self._hand
        self._credit = min(self._credit + hand.ended, limits.held)
        hand.ended = 0
        wanted = min(self._credit, hand.room)
        # By the handful: a lease is a write, and one for each look would double them.
        if wanted < 1 or (wanted < limits.batch // 4 and len(hand)):
            return
        watches = await self._ports.store.lease_watches(limit=wanted, lease_s=limits.lease_s)
        # Nothing more is due: the next turn of the clock asks again.
        self._credit = self._credit - len(watches) if len(watches) == wanted else 0
        for watch in watches:
            hand.take(self._taker.take(watch, tally, patient=False))

    async def _pause(self) -> None:
        if self._stopping:
            return
        try:
            async with asyncio.timeout(self._limits.poll_s):
                await self._hand.freed.wait()
        except TimeoutError:
            return

    def _tell(self, one: Reconciled) -> None:
        if not (one.changed or one.problems):
            return
        self._ports.observer.event(
            "reconcile.not_answered" if one.problems else "reconcile.changed",
            payment_id=one.subject_id,
            gateway=one.gateway,
            before=one.before,
            after=one.after,
            codes=", ".join(problem.code for problem in one.problems),
        )

    # --- on demand ------------------------------------------------------------------------------------------------

    async def payment(self, tenant: str, payment_id: str) -> Reconciled:
        """Look at one payment now, with its refunds, whether or not it is due.

        Raises:
            InvalidRequestError: there is no such payment.
            StorageError: see its message.
        """
        facts = await self._ports.store.get(tenant, payment_id)
        if facts is None:
            raise InvalidRequestError(
                "There is no payment of that id here.", field="payment_id", rule="an id that initialize gave"
            )
        return await self._asked(facts)

    async def _asked(self, subject: Subject, *, restored: bool = False) -> Reconciled:
        row = subject.payment if isinstance(subject, PaymentFacts) else subject
        try:
            lane, capabilities = await self._looker.lane(row.tenant, row.gateway, row.mode)
        except Shut as shut:
            return untouched(subject, problem=shut.problem)
        async with lane.slot(), self._places:
            if restored and lane.pause_s:
                # All of it has to be asked sooner or later, so a short pause is waited for; a long one ends the run.
                if lane.pause_s > _WAIT_S:
                    return untouched(subject, problem=_NOT_NOW)
                await self._ports.sleeper.sleep(lane.pause_s)
            unsettled_s = await self._ports.engine.restored_wait_s(capabilities) if restored else 0.0
            if unsettled_s:
                # What left just before the loss may take effect yet, and is in no record: an answer now proves nothing.
                await self._ports.sleeper.sleep(unsettled_s)
            if isinstance(subject, Payout):
                return await self._looker.do_payout(
                    subject, (Action.LOOK,), lane, capabilities, restored=restored
                )
            if isinstance(subject, Agreement):
                return await self._looker.do_agreement(
                    subject, (Action.LOOK,), lane, capabilities, restored=restored
                )
            now = self._ports.store.now()
            if restored and still_at_work(subject, capabilities, now):
                return untouched(subject, problem=_AT_WORK)
            actions = asked_for(subject, capabilities, now, restored=restored)
            return await self._looker.do(subject, actions, lane, capabilities, closed=restored)

    async def since(
        self, moment: datetime, *, leave_out: Collection[str] = (), on_each: OnEach | None = None
    ) -> ReconcileReport:
        """After a restored backup: ask about everything that is open, and about everything that was made or changed
        since `moment`, with its refunds. Once every question got an answer, the store is accepted again.

        Args:
            moment: an aware time, before the backup was taken; so long before as refunds may come late.
            leave_out: tenants whose payments nobody can ask about any more. They are not looked at, and nothing of
                theirs that moves money is let out until a run has looked at them.

        Raises:
            InvalidRequestError: `moment` has no zone.
            StorageError: the store failed; what was looked at is recorded, and nothing is accepted.
        """
        if moment.tzinfo is None:
            raise InvalidRequestError(
                "The moment has no zone, so nobody can tell when it was.",
                field="since",
                rule="an aware datetime",
            )
        ports, tally, hand = self._ports, Tally(on_each), Hand(self._limits.at_once)
        await ports.store.sweep_watches()
        try:
            async for facts in payments_since(ports, moment, tally, leave_out):
                await hand.until(self._limits.at_once - 1)
                hand.take(self._restored(facts, tally))
            async for agreement in agreements_since(ports, moment, leave_out):
                await hand.until(self._limits.at_once - 1)
                hand.take(self._restored(agreement, tally))
            async for payout in payouts_since(ports, moment, leave_out):
                await hand.until(self._limits.at_once - 1)
                hand.take(self._restored(payout, tally))
            await hand.until(0)
        finally:
            await hand.let_go(0)
        if not tally.report().complete:
            return tally.report()
        async for payout in payouts_left_out(ports, leave_out):
            await ports.engine.doubt_payout(payout.tenant, payout.payout_id)
        await ports.engine.accept_restored(leave_out)
        return tally.report(accepted_restored=True)

    async def _restored(self, subject: Subject, tally: Tally) -> bool:
        try:
            tally.add(await self._asked(subject, restored=True))
        except PaymentsError as error:
            tally.add(untouched(subject, problem=Problem(code=error.code, what=str(error))))
        except Exception as error:  # noqa: BLE001 - one payment's fault must not stop the others, nor be forgotten
            what = f"Something unforeseen went wrong ({type(error).__name__})."
            tally.add(untouched(subject, problem=Problem(code="bug", what=what)))
        return True

    async def due(self, on_each: OnEach | None = None) -> ReconcileReport:
        """Look once at everything that is due now.

        Raises:
            StorageError: the store failed; what was looked at is recorded.
        """
        store, limits, tally, hand = self._ports.store, self._limits, Tally(on_each), Hand(self._limits.held)
        await store.sweep_watches()
        began, more = store.now(), True
        try:
            while more and not self._stopping:
                watches = await store.lease_watches(limit=limits.batch, lease_s=limits.lease_s)
                more = bool(watches)
                for watch in watches:
                    if watch.due_at > began:  # it has become due since: another time
                        more = False
                        await store.watch_again(watch, watch.due_at)
                    else:
                        hand.take(self._taker.take(watch, tally, patient=True))
                await hand.until(limits.held - limits.batch if more else 0)
        finally:
            await hand.let_go(0)
        return tally.report()

"""One leased watch: is it due, is asking fine, is it still ours? Then it is looked at, and told when to come again."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import StorageError
from vextrus_payments.reconcile.lanes import Lane
from vextrus_payments.reconcile.limits import ReconcileLimits
from vextrus_payments.reconcile.looking import Looker, Ports, Shut, Subject, untouched
from vextrus_payments.reconcile.report import Problem, Reconciled, Tally
from vextrus_payments.reconcile.steps import Action, Step, next_agreement_step, next_payout_step, next_step
from vextrus_payments.records import PaymentFacts, Payout, SubjectKind, Watch

#: A lane takes at least so many waiting ones, however few places it has.
_LEAST_WAITING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """Takes watches."""

    ports: Ports
    looker: Looker
    limits: ReconcileLimits
    places: asyncio.Semaphore
    """The places there are, over all lanes."""
    is_stopping: Callable[[], bool]

    async def take(self, watch: Watch, tally: Tally, *, patient: bool) -> bool:
        """Look at one leased payment, agreement or payout, and say when to look again. False: it was given back.

        Args:
            patient: wait for a place in its lane however long the queue is; a worker gives back what is too much.
        """
        try:
            done = await self._take(watch, patient=patient)
        except StorageError as error:
            # Its lease runs out, and it is looked at again then.
            done = _broken(watch, Problem(code=error.code, what=str(error)))
        except Exception as error:  # noqa: BLE001 - one payment's fault must not stop the others
            what = f"Something unforeseen went wrong ({type(error).__name__}); it is tried again later."
            done = _broken(watch, Problem(code="bug", what=what))
        if done is None:
            tally.put_off += 1
            return False
        tally.add(done)
        return True

    async def _take(self, watch: Watch, *, patient: bool) -> Reconciled | None:
        store, now = self.ports.store, self.ports.store.now()
        subject: Subject | None
        if watch.subject_kind is SubjectKind.AGREEMENT:
            subject = await store.get_agreement(watch.tenant, watch.subject_id)
        elif watch.subject_kind is SubjectKind.PAYOUT:
            subject = await store.get_payout(watch.tenant, watch.subject_id)
        else:
            subject = await store.get(watch.tenant, watch.subject_id)
        if subject is None:
            await store.watch_again(watch, None)
            return _broken(watch, Problem(code="gone", what="It is no longer in the store."))
        row = subject.payment if isinstance(subject, PaymentFacts) else subject
        try:
            lane, capabilities = await self.looker.lane(row.tenant, row.gateway, row.mode)
        except Shut as shut:
            # Ever more seldom, until somebody gives the settings back.
            at = now + timedelta(seconds=min(3600, 60 * 2 ** min(watch.tries, 6)))
            await store.watch_again(watch, self.looker.jittered(now, at))
            return untouched(subject, problem=shut.problem)
        step = _step(subject, capabilities, now, watch.tries)
        if not step.actions:
            later = None if step.at is None else self.looker.jittered(now, step.at)
            await store.watch_again(watch, later)
            return untouched(subject, next_at=later, why=step.why)
        if await self._is_put_off(watch, lane, now, patient=patient):
            return None
        asking = False
        try:
            async with lane.slot(), self.places:
                if await self._is_too_late(watch, lane):
                    return None
                asking = True
                done = await self._done(subject, step.actions, lane, capabilities, watch.tries)
        except asyncio.CancelledError:
            if not asking:
                # Nobody was asked, so nobody has to wait for the end of the lease.
                await store.watch_again(watch, watch.due_at)
            raise
        await store.watch_again(watch, done.next_at)
        return done

    async def _done(
        self,
        subject: Subject,
        actions: tuple[Action, ...],
        lane: Lane,
        capabilities: Capabilities,
        tries: int,
    ) -> Reconciled:
        if isinstance(subject, PaymentFacts):
            return await self.looker.do(subject, actions, lane, capabilities, tries=tries)
        if isinstance(subject, Payout):
            return await self.looker.do_payout(subject, actions, lane, capabilities, tries=tries)
        return await self.looker.do_agreement(subject, actions, lane, capabilities, tries=tries)

    async def _is_put_off(self, watch: Watch, lane: Lane, now: datetime, *, patient: bool) -> bool:
        """Give it back where its lane is closed for a while, or has more waiting than it will soon come to."""
        pause_s = lane.pause_s
        if not pause_s and (patient or lane.waiting < max(_LEAST_WAITING, lane.asking * 2)):
            return False
        at = now + timedelta(seconds=pause_s or self.limits.give_back_s)
        await self.ports.store.watch_again(watch, self.looker.jittered(now, at))
        return True

    async def _is_too_late(self, watch: Watch, lane: Lane) -> bool:
        """Its turn has come: is it still ours, and is asking still fine?"""
        store = self.ports.store
        now = store.now()
        if self.is_stopping() or (watch.leased_until - now).total_seconds() < self.limits.needs_s:
            await store.watch_again(watch, watch.due_at)
            return True
        if lane.pause_s:
            at = now + timedelta(seconds=lane.pause_s)
            await store.watch_again(watch, self.looker.jittered(now, at))
            return True
        return False


def _step(subject: Subject, capabilities: Capabilities, now: datetime, tries: int) -> Step:
    if isinstance(subject, PaymentFacts):
        return next_step(subject, capabilities, now, tries)
    if isinstance(subject, Payout):
        return next_payout_step(subject, capabilities, now, tries)
    return next_agreement_step(subject, capabilities, now, tries)


def _broken(watch: Watch, problem: Problem) -> Reconciled:
    return Reconciled(
        tenant=watch.tenant,
        subject_kind=watch.subject_kind,
        subject_id=watch.subject_id,
        problems=(problem,),
    )

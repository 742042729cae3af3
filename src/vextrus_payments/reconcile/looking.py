"""One payment or agreement: what is due about it is done, and what came of it is told."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.engine import hearing
from vextrus_payments.errors import ConfigurationError, Effect, GatewayError, PaymentsError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.ids import Entropy
from vextrus_payments.mode import Mode
from vextrus_payments.observe import Observer
from vextrus_payments.reconcile.lanes import Lane, Lanes
from vextrus_payments.reconcile.report import Problem, Reconciled
from vextrus_payments.reconcile.steps import Action, Step, next_agreement_step, next_payout_step, next_step
from vextrus_payments.records import (
    Agreement,
    Operation,
    OperationKind,
    Payment,
    PaymentFacts,
    Payout,
    SubjectKind,
)
from vextrus_payments.states import OPEN_STATES
from vextrus_payments.store import PaymentStore

T = TypeVar("T")

#: (tenant, gateway name) -> a ready gateway. Raises ConfigurationError where the tenant's settings are gone.
GatewaySource = Callable[[str, str], Awaitable[PaymentGateway]]

#: What can be looked at.
Subject = PaymentFacts | Agreement | Payout

#: So much of a wait is added to it at most: many payments must not come back at the same moment.
_JITTER: Final = 0.2
_MAX_JITTER_S: Final = 300.0


class Recovery(Protocol):
    """What the reconciler asks of the engine. All of it records what it learns, and sends nothing twice."""

    async def look(self, tenant: str, payment_id: str, *, closed: bool = False) -> PaymentFacts:
        """Ask about everything that is open; `closed`: also about sessions that are over."""
        ...

    async def carry_on(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Submit what was reserved and left behind."""
        ...

    async def end_session(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Close or lapse a session whose life is over."""
        ...

    async def late_policy(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Do what the shop wants done with late money."""
        ...

    async def adopt_refunds(self, tenant: str, payment_id: str, *, restored: bool = False) -> PaymentFacts:
        """Book refunds that were made elsewhere; `restored`: or by us, after the backup."""
        ...

    async def look_agreement(self, tenant: str, agreement_key: str, *, restored: bool = False) -> Agreement:
        """Ask about everything of an agreement that is open; `restored`: and about pages that a backup may not know."""
        ...

    async def look_payout(self, tenant: str, payout_id: str, *, restored: bool = False) -> Payout:
        """Judge what was left of a payout, and ask where the gateway can be asked."""
        ...

    async def doubt_payout(self, tenant: str, payout_id: str) -> Payout:
        """Over a restored store: what it calls not sent is unknown. Asks nobody."""
        ...

    async def restored_wait_s(self, capabilities: Capabilities) -> float:
        """How long to wait before questions about a restored store prove anything at this gateway, in seconds."""
        ...

    async def accept_restored(self, leave_out: Collection[str] = ()) -> None:
        """The store has been reconciled after a restore: go on with it, except for these tenants."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the reconciler stands on."""

    store: PaymentStore
    engine: Recovery
    gateway: GatewaySource
    clock: Clock
    sleeper: Sleeper
    entropy: Entropy
    observer: Observer


class Shut(Exception):
    """Nobody can ask about this tenant's payments: its settings are gone, or do not fit.

    It never leaves this package.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.what)
        self.problem = problem


@dataclass(slots=True)
class _Doing:
    """What goes wrong while one payment is looked at."""

    lane: Lane
    problems: list[Problem] = field(default_factory=list)

    def failed(self, error: GatewayError) -> None:
        """No answer came: it proves nothing, and it is asked again later."""
        self.lane.failed(error)
        self.problems.append(Problem(code=error.code, what=_said(error)))

    async def run(self, work: Awaitable[T]) -> T | None:
        """Do it; None where it failed. One payment's failure, whatever it is, is no other's."""
        try:
            with hearing(self.failed):
                return await work
        except GatewayError as error:
            self.failed(error)
        except PaymentsError as error:
            self.problems.append(Problem(code=error.code, what=str(error)))
        except Exception as error:  # noqa: BLE001 - a fault in one payment's rows must not stop the others
            what = f"Something unforeseen went wrong ({type(error).__name__}); it is tried again later."
            self.problems.append(Problem(code="bug", what=what))
        return None


def _said(error: GatewayError) -> str:
    """Its sentences. "No money moved" is said of the call that failed, and beside a payment nobody knows the end of it
    would be read as said of the payment."""
    if error.effect is not Effect.NONE:
        return str(error)
    return f"{error.what} This call moved nothing, and tells nothing of how it stands. {error.next_step}"


class Looker:
    """Does what is due about one payment or agreement."""

    def __init__(self, ports: Ports, *, at_once: int | None = None) -> None:
        """`at_once`: per (tenant, gateway), in place of what the gateway's capabilities say."""
        self._ports = ports
        self._at_once = at_once
        self._lanes = Lanes(ports.clock)

    async def lane(self, tenant: str, gateway: str, mode: Mode) -> tuple[Lane, Capabilities]:
        """The lane in which to ask, and what is known of the gateway.

        Raises:
            Shut: the tenant's settings are gone, or are for the other mode.
        """
        known = self._lanes.known(tenant, gateway)
        if known is not None and known.shut is not None and known.pause_s:
            raise Shut(Problem(code="shut", what=known.shut, skipped=True))
        problem: Problem | None = None
        try:
            ready = await self._ports.gateway(tenant, gateway)
        except ConfigurationError as error:
            problem = Problem(code=error.code, what=str(error), skipped=True)
        else:
            if ready.mode is not mode:
                what = f"It was made in {mode.value} mode, and {gateway} is configured for {ready.mode.value} now."
                raise Shut(Problem(code="mode_changed", what=what, skipped=True))
            lane = self._lanes.of(tenant, gateway, self._at_once or ready.capabilities.polling.at_once)
            lane.shut = None
            return lane, ready.capabilities
        self._lanes.of(tenant, gateway, 1).close(problem.what)
        raise Shut(problem)

    # --- payments -------------------------------------------------------------------------------------------------

    async def do(
        self,
        before: PaymentFacts,
        actions: tuple[Action, ...],
        lane: Lane,
        capabilities: Capabilities,
        *,
        tries: int = 1,
        closed: bool = False,
    ) -> Reconciled:
        """Do these about a payment, one after the other; once an answer fails to come, no more is asked."""
        tenant, payment_id = before.payment.tenant, before.payment.payment_id
        doing = _Doing(lane)
        facts = before
        for action in actions:
            done = await doing.run(self._act(action, tenant, payment_id, closed))
            if doing.problems and (done is None or action is Action.LOOK):
                break
            facts = facts if done is None else done
            if action is Action.LOOK:
                lane.answered()
        facts = await doing.run(self._reloaded(facts)) or facts
        now = self._ports.store.now()
        step = next_step(facts, capabilities, now, tries)
        payment = facts.payment
        return Reconciled(
            tenant=tenant,
            subject_kind=SubjectKind.PAYMENT,
            subject_id=payment_id,
            gateway=payment.gateway,
            merchant_reference=payment.merchant_reference,
            actions=actions,
            before=before.payment.state.value,
            after=payment.state.value,
            changed=payment.version != before.payment.version,
            unknown=open_operations(facts.operations),
            next_at=self._later(step, lane, capabilities, now, tries, failed=bool(doing.problems)),
            why=step.why,
            problems=tuple(doing.problems),
        )

    async def _act(self, action: Action, tenant: str, payment_id: str, closed: bool) -> PaymentFacts:
        engine = self._ports.engine
        match action:
            case Action.LOOK:
                return await engine.look(tenant, payment_id, closed=closed)
            case Action.END_SESSION:
                return await engine.end_session(tenant, payment_id)
            case Action.CARRY_ON:
                return await engine.carry_on(tenant, payment_id)
            case Action.LATE_POLICY:
                return await engine.late_policy(tenant, payment_id)
            case Action.ADOPT_REFUNDS:
                return await engine.adopt_refunds(tenant, payment_id, restored=closed)

    async def _reloaded(self, facts: PaymentFacts) -> PaymentFacts:
        payment = facts.payment
        return await self._ports.store.get(payment.tenant, payment.payment_id) or facts

    # --- agreements -----------------------------------------------------------------------------------------------

    async def do_agreement(
        self,
        before: Agreement,
        actions: tuple[Action, ...],
        lane: Lane,
        capabilities: Capabilities,
        *,
        tries: int = 1,
        restored: bool = False,
    ) -> Reconciled:
        """Do these about an agreement."""
        doing = _Doing(lane)
        agreement = before
        if actions:
            look = self._ports.engine.look_agreement(before.tenant, before.agreement_key, restored=restored)
            agreement = await doing.run(look) or before
            if not doing.problems:
                lane.answered()
        now = self._ports.store.now()
        step = next_agreement_step(agreement, capabilities, now, tries)
        return Reconciled(
            tenant=before.tenant,
            subject_kind=SubjectKind.AGREEMENT,
            subject_id=before.agreement_key,
            gateway=before.gateway,
            actions=actions,
            before=before.state.value,
            after=agreement.state.value,
            changed=agreement.version != before.version,
            unknown=open_operations(agreement.operations),
            next_at=self._later(step, lane, capabilities, now, tries, failed=bool(doing.problems)),
            why=step.why,
            problems=tuple(doing.problems),
        )

    # --- payouts --------------------------------------------------------------------------------------------------

    async def do_payout(
        self,
        before: Payout,
        actions: tuple[Action, ...],
        lane: Lane,
        capabilities: Capabilities,
        *,
        tries: int = 1,
        restored: bool = False,
    ) -> Reconciled:
        """Do these about a payout or transfer. Nothing is let out by it."""
        doing = _Doing(lane)
        payout = before
        if actions:
            look = self._ports.engine.look_payout(before.tenant, before.payout_id, restored=restored)
            payout = await doing.run(look) or before
            if not doing.problems:
                lane.answered()
        now = self._ports.store.now()
        step = next_payout_step(payout, capabilities, now, tries)
        return Reconciled(
            tenant=before.tenant,
            subject_kind=SubjectKind.PAYOUT,
            subject_id=before.payout_id,
            gateway=before.gateway,
            merchant_reference=before.reference,
            actions=actions,
            before=before.state.value,
            after=payout.state.value,
            changed=payout.version != before.version,
            unknown=open_operations((payout.operation,)),
            next_at=self._later(step, lane, capabilities, now, tries, failed=bool(doing.problems)),
            why=step.why,
            problems=tuple(doing.problems),
        )

    # --- when next ------------------------------------------------------------------------------------------------

    def _later(
        self,
        step: Step,
        lane: Lane,
        capabilities: Capabilities,
        now: datetime,
        tries: int,
        *,
        failed: bool,
    ) -> datetime | None:
        """When to look next. What failed comes again, also where it would have been the last time."""
        at = step.at
        if failed:
            waits = capabilities.polling.open_s
            again = now + timedelta(seconds=waits[min(tries, len(waits)) - 1])
            at = again if at is None else min(at, again)
        if at is None:
            return None
        if lane.pause_s:
            at = max(at, now + timedelta(seconds=lane.pause_s))
        return self.jittered(now, at)

    def jittered(self, now: datetime, at: datetime) -> datetime:
        """A little later than that, never earlier: what was asked for is the least that manners allow."""
        share = int.from_bytes(self._ports.entropy.token_bytes(2)) / 65536
        most_s = min(max((at - now).total_seconds(), 0.0) * _JITTER, _MAX_JITTER_S)
        return at + timedelta(seconds=share * most_s)


def open_operations(operations: tuple[Operation, ...]) -> tuple[str, ...]:
    """The operations that were let out and have not come back; what only opened a session moves nothing."""
    return tuple(
        o.operation_id
        for o in operations
        if o.state in OPEN_STATES and o.kind is not OperationKind.INITIALIZE
    )


def _named(row: Payment | Agreement | Payout) -> tuple[SubjectKind, str, str | None]:
    if isinstance(row, Payment):
        return SubjectKind.PAYMENT, row.payment_id, row.merchant_reference
    if isinstance(row, Payout):
        return SubjectKind.PAYOUT, row.payout_id, row.reference
    return SubjectKind.AGREEMENT, row.agreement_key, None


def untouched(
    subject: Subject,
    *,
    problem: Problem | None = None,
    next_at: datetime | None = None,
    why: tuple[str, ...] = (),
) -> Reconciled:
    """What is told of a payment, agreement or payout about which nobody was asked."""
    row = subject.payment if isinstance(subject, PaymentFacts) else subject
    kind, subject_id, reference = _named(row)
    return Reconciled(
        tenant=row.tenant,
        subject_kind=kind,
        subject_id=subject_id,
        gateway=row.gateway,
        merchant_reference=reference,
        before=row.state.value,
        after=row.state.value,
        unknown=open_operations((subject.operation,) if isinstance(subject, Payout) else subject.operations),
        next_at=next_at,
        why=why,
        problems=() if problem is None else (problem,),
    )

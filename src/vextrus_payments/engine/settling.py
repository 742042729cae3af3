"""execute and status: one execute on the wire whoever asks, and look-ups that turn unknown into known."""

from datetime import datetime

from vextrus_payments.capabilities import Absence, Completion
from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
from vextrus_payments.errors import (
    AlreadyPaidError,
    DeclinedError,
    Effect,
    GatewayError,
    ThrottledError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import Outcome, Pending
from vextrus_payments.payment import ExecuteCall, StatusCall, digest_of
from vextrus_payments.plans import (
    Busy,
    Claim,
    Plan,
    Refused,
    Reserved,
    ReserveOperation,
    Same,
    Settled,
    SiblingLive,
    Unresolved,
)
from vextrus_payments.recording import Seen, plan_lost, plan_refused, plan_snapshot
from vextrus_payments.records import (
    Flag,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Submission,
    SubmissionState,
)
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.states import (
    OPEN_STATES,
    claim_is_over,
    execute_operation_id,
    outcome_of,
)
from vextrus_payments.wire import CallContext, SendBy

#: States that no look-up of ours changes any more. Late money still comes in by webhook and reconciliation.
_DONE = frozenset({PaymentState.PAID, PaymentState.CLOSED, PaymentState.LAPSED})


class Settling:
    """The execute flow and the look-up."""

    def __init__(self, context: Context) -> None:
        self._context = context

    # --- execute ------------------------------------------------------------------------------------------------

    async def execute(self, tenant: str, payment_id: str, wait_s: float | None = None) -> Outcome:
        """See Payments.execute."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if is_done(facts):
            return outcome_of(facts)
        gateway = await context.gateway_of(facts)
        if gateway.capabilities.completion is Completion.PAYER_COMPLETES:
            return await self.status(tenant, payment_id)
        flight = context.flights.start(
            ("execute", tenant, payment_id), lambda: self._execute(tenant, payment_id, gateway)
        )
        if await context.flights.join(flight, context.limits.wait_s if wait_s is None else wait_s):
            return flight.result()
        return outcome_of(await context.payment(tenant, payment_id))

    async def _execute(self, tenant: str, payment_id: str, gateway: PaymentGateway) -> Outcome:
        context, waited_s, looked_up = self._context, 0.0, False
        terms = context.terms(gateway.capabilities)
        while True:
            facts = await context.payment(tenant, payment_id)
            if is_done(facts) or facts.submission.gateway_reference is None:
                return outcome_of(facts)
            operation_id = await self._reserve(facts)
            if operation_id is None:
                return outcome_of(await context.payment(tenant, payment_id))
            deadline = context.deadline()
            answer = await context.store.claim(tenant, operation_id, terms)
            match answer:
                case Claim():
                    return await self._submit(answer, gateway, deadline)
                case Settled(facts=after):
                    return outcome_of(after)
                case Unresolved(facts=after) if looked_up:
                    return outcome_of(after)
                case Unresolved():
                    # Whoever submitted it did not record the end. Look; only a proof of absence lets us submit again.
                    await self._look_up(tenant, payment_id, gateway)
                    looked_up = True
                case SiblingLive(payment_id=other, paid=True):
                    raise AlreadyPaidError(
                        "Another payment of this merchant reference is paid or authorized; this one was not executed.",
                        other_payment_id=other,
                    ).about(gateway=facts.payment.gateway, tenant=tenant, payment_id=payment_id)
                case SiblingLive():
                    return Pending(
                        payment_id=payment_id,
                        sent=False,
                        retry_after_s=terms.settle_s,
                        operation_id=operation_id,
                    )
                case Refused():
                    return outcome_of(await context.payment(tenant, payment_id))
                case Busy(retry_after_s=busy_s, facts=after):
                    paused_s = await context.pause(busy_s, waited_s)
                    if not paused_s:
                        return outcome_of(after)
                    waited_s += paused_s

    async def _reserve(self, facts: PaymentFacts) -> str | None:
        """The current submission's execute operation, reserved. None: our records forbid it."""
        payment = facts.payment
        operation_id = execute_operation_id(payment.payment_id, payment.submission_no)
        if facts.operation(operation_id) is not None:
            return operation_id
        answer = await self._context.store.reserve(
            ReserveOperation(
                tenant=payment.tenant,
                operation_id=operation_id,
                kind=OperationKind.EXECUTE,
                payment_id=payment.payment_id,
                digest=digest_of("execute", payment.payment_id, payment.submission_no),
                submission_no=payment.submission_no,
                amount=payment.amount,
            )
        )
        return operation_id if isinstance(answer, Reserved | Same) else None

    async def _submit(self, claim: Claim, gateway: PaymentGateway, deadline: SendBy) -> Outcome:
        """The one send. From here to the record nothing may be forgotten: every way out writes something down."""
        context, payment, submission = self._context, claim.facts.payment, claim.facts.submission
        assert submission.gateway_reference is not None, "_execute checked it"
        log = AttemptLog(context, claim)
        asked_at = context.store.now()
        try:
            snapshot = await gateway.execute_payment(
                ExecuteCall(
                    gateway_reference=submission.gateway_reference,
                    gateway_order_id=submission.gateway_order_id,
                    amount=payment.amount,
                    intent=payment.intent,
                ),
                context=log.call(deadline),
            )
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            seen = self._seen(submission, snapshot, gateway, asked_at=asked_at, fence=claim.fence)
            facts = await self._record_seen(payment.tenant, payment.payment_id, seen)
            facts = await self._leave_nothing_submitting(claim, facts)
            await log.close(snapshot.state)
            return outcome_of(facts)
        outcome = await self._settle_failure(claim, failure, log)
        await log.close(type(failure).__name__)
        if not isinstance(failure, GatewayError):
            # A fault of configuration or of code: the record is safe, and the caller has to hear of it.
            raise failure
        return outcome

    async def _settle_failure(self, claim: Claim, failure: Exception, log: AttemptLog) -> Outcome:
        context, payment = self._context, claim.facts.payment
        if in_doubt(failure, log):
            facts = await context.recorder.record(
                payment.tenant,
                payment.payment_id,
                lambda now_facts, _: plan_lost(
                    now_facts, claim.operation_id, claim.fence, context.store.now(), by_holder=True
                ),
            )
            return outcome_of(facts)
        if isinstance(failure, DeclinedError) and failure.effect is Effect.REFUSED:
            reason, final = failure.reason, failure.final

            def refused(facts: PaymentFacts, _: tuple[PaymentFacts, ...]) -> Plan | None:
                return plan_refused(
                    facts, claim.operation_id, claim.fence, reason, final=final, now=context.store.now()
                )

            return outcome_of(await context.recorder.record(payment.tenant, payment.payment_id, refused))
        await context.store.release(claim)
        return not_sent(payment.payment_id, claim.operation_id, failure)

    async def _leave_nothing_submitting(self, claim: Claim, facts: PaymentFacts) -> PaymentFacts:
        """An answer that settled nothing (a state nobody documented) leaves the operation unknown."""
        operation = facts.operation(claim.operation_id)
        if operation is None or operation.state not in (OperationState.SUBMITTING, OperationState.RESERVED):
            return facts
        return await self._context.recorder.record(
            claim.tenant,
            claim.payment_id,
            lambda now_facts, _: plan_lost(
                now_facts, claim.operation_id, claim.fence, self._context.store.now(), by_holder=True
            ),
        )

    # --- status -------------------------------------------------------------------------------------------------

    async def status(self, tenant: str, payment_id: str) -> Outcome:
        """See Payments.status."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if is_done(facts):
            return outcome_of(facts)
        gateway = await context.gateway_of(facts)
        if self._in_flight(facts, gateway):
            return outcome_of(facts)
        flight = context.flights.start(
            ("status", tenant, payment_id), lambda: self._look_up(tenant, payment_id, gateway)
        )
        if await context.flights.join(flight, context.limits.wait_s):
            return outcome_of(flight.result())
        return outcome_of(await context.payment(tenant, payment_id))

    def _in_flight(self, facts: PaymentFacts, gateway: PaymentGateway) -> bool:
        """True while an execute may still be on the wire: asking beside it is bad manners and proves nothing."""
        execute = facts.operation(execute_operation_id(facts.payment.payment_id, facts.payment.submission_no))
        if execute is None or execute.state is not OperationState.SUBMITTING:
            return False
        payment = facts.payment
        if self._context.flights.flying(("execute", payment.tenant, payment.payment_id)):
            return True  # whatever the wall clock says, it is on the wire from here
        terms, now = self._context.terms(gateway.capabilities), self._context.store.now()
        if (
            execute.send_by is not None
            and (execute.send_by - now).total_seconds() > terms.send_window_s + terms.settle_s
        ):
            return False  # claimed under a clock that was ahead: asking is all that is left
        return not claim_is_over(execute, terms.settle_s, now)

    async def _look_up(self, tenant: str, payment_id: str, gateway: PaymentGateway) -> PaymentFacts:
        """Ask the gateway about every submission that is watched, the current one first; record what it shows."""
        facts = await self._context.payment(tenant, payment_id)
        for submission in watched(facts):
            snapshot_facts = await self._look_at(facts, submission, gateway)
            facts = snapshot_facts or facts
        return facts

    async def _look_at(
        self, facts: PaymentFacts, submission: Submission, gateway: PaymentGateway
    ) -> PaymentFacts | None:
        context, payment = self._context, facts.payment
        assert submission.gateway_reference is not None, "watched() gives only those"
        asked_at = context.store.now()
        try:
            snapshot = await gateway.get_payment_status(
                StatusCall(
                    gateway_reference=submission.gateway_reference,
                    gateway_order_id=submission.gateway_order_id,
                    amount=payment.amount,
                    intent=payment.intent,
                ),
                context=CallContext(payment_id=payment.payment_id),
            )
        except GatewayError as error:
            # No answer to a question proves nothing: everything stays as it is known.
            context.observer.event(
                "look_up.failed", payment_id=payment.payment_id, gateway=payment.gateway, code=error.code
            )
            return None
        seen = self._seen(submission, snapshot, gateway, asked_at=asked_at, fence=None)
        return await self._record_seen(payment.tenant, payment.payment_id, seen)

    # --- shared -------------------------------------------------------------------------------------------------

    async def _record_seen(self, tenant: str, payment_id: str, seen: Seen) -> PaymentFacts:
        context = self._context
        return await context.recorder.record(
            tenant,
            payment_id,
            lambda facts, siblings: plan_snapshot(
                facts, siblings, seen, context.store.now(), context.accounts
            ),
        )

    def _seen(
        self,
        submission: Submission,
        snapshot: PaymentSnapshot,
        gateway: PaymentGateway,
        *,
        asked_at: datetime,
        fence: int | None,
    ) -> Seen:
        capabilities = gateway.capabilities
        return Seen(
            submission_no=submission.submission_no,
            snapshot=snapshot,
            asked_at=asked_at,
            settle_s=self._context.terms(capabilities).settle_s,
            absence_is_proof=capabilities.absence is Absence.AUTHORITATIVE_AFTER_LIMIT,
            fence=fence,
        )


def is_done(facts: PaymentFacts) -> bool:
    """True when no look-up is due: the payment is over (and no execute is out), or a person has to look."""
    if Flag.QUARANTINED in facts.payment.flags:
        return True
    if facts.payment.state is PaymentState.PAID:
        return True
    return facts.payment.state in _DONE and not any(
        o.kind is OperationKind.EXECUTE and o.state in OPEN_STATES for o in facts.operations
    )


def watched(facts: PaymentFacts) -> tuple[Submission, ...]:
    """The submissions to ask about: those that reached us and are not over, the current one first."""
    number = facts.payment.submission_no
    alive = (s for s in facts.submissions if s.gateway_reference and s.state is not SubmissionState.CLOSED)
    return tuple(sorted(alive, key=lambda s: (s.submission_no != number, -s.submission_no)))


def not_sent(payment_id: str, operation_id: str, failure: Exception) -> Pending:
    """The outcome of a call that had no effect: refused at a front door, or never sent."""
    wait_s = failure.retry_after_s if isinstance(failure, ThrottledError) else None
    return Pending(payment_id=payment_id, sent=False, retry_after_s=wait_s, operation_id=operation_id)

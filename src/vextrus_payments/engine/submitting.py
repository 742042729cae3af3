"""From claim to record: one submission of an execute, a capture or a void. Every way out writes something down."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
from vextrus_payments.engine.looking import Looking
from vextrus_payments.errors import (
    AlreadyPaidError,
    DeclinedError,
    Effect,
    GatewayError,
    ThrottledError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import Outcome, Pending
from vextrus_payments.payment import ExecuteCall
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
from vextrus_payments.recording import plan_lost, plan_refused
from vextrus_payments.records import OperationKind, OperationState, PaymentFacts
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.states import outcome_of
from vextrus_payments.wire import CallContext, SendBy

#: Facts -> the operation to reserve; None: our records forbid it.
Wanted = Callable[[PaymentFacts], ReserveOperation | None]
Sender = Callable[[PaymentGateway, ExecuteCall, CallContext], Awaitable[PaymentSnapshot]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """What one of the three does of its own."""

    kind: OperationKind
    wanted: Wanted
    send: Sender


class Submitting:
    """The loop around a claim, and the one send."""

    def __init__(self, context: Context, looking: Looking) -> None:
        self._context = context
        self._looking = looking

    async def run(self, tenant: str, payment_id: str, gateway: PaymentGateway, verb: Verb) -> Outcome:
        """Claim and submit; where somebody else has, wait for it or look it up."""
        context, waited_s, looked_up = self._context, 0.0, False
        terms = context.terms(gateway.capabilities)
        facts = await context.payment(tenant, payment_id)
        # Before the intent is written, so that nothing carries on what was refused here.
        await context.guard(tenant)
        # Fixed before the first claim: whoever waits for another's refusal must not answer it by a further try.
        operation_id = await self._reserve(facts, verb)
        if operation_id is None:
            return outcome_of(await context.payment(tenant, payment_id))
        while True:
            await context.guard(tenant)
            deadline = context.deadline()
            answer = await context.store.claim(tenant, operation_id, terms)
            match answer:
                case Claim():
                    return await self._submit(answer, gateway, deadline, verb)
                case Settled(facts=after):
                    return outcome_of(after)
                case Unresolved(facts=after) if looked_up:
                    return outcome_of(after)
                case Unresolved():
                    # Whoever submitted it did not record the end. Look; only a proof of absence lets us submit again.
                    await self._looking.look_up(tenant, payment_id, gateway)
                    looked_up = True
                case SiblingLive(payment_id=other, paid=True):
                    raise AlreadyPaidError(
                        "Another payment of this merchant reference is paid or authorized; this one was not "
                        f"{_DONE_WORDS[verb.kind]}.",
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

    async def _reserve(self, facts: PaymentFacts, verb: Verb) -> str | None:
        """The operation, reserved by this call or before. None: our records forbid it."""
        wanted = verb.wanted(facts)
        if wanted is None:
            return None
        if facts.operation(wanted.operation_id) is not None:
            return wanted.operation_id
        answer = await self._context.store.reserve(wanted)
        return wanted.operation_id if isinstance(answer, Reserved | Same) else None

    async def _submit(self, claim: Claim, gateway: PaymentGateway, deadline: SendBy, verb: Verb) -> Outcome:
        context, payment = self._context, claim.facts.payment
        operation = claim.facts.operation(claim.operation_id)
        assert operation is not None, "a claim holds its operation"
        submission = claim.facts.submission_numbered(operation.submission_no)
        assert submission.gateway_reference is not None, (
            "wanted() reserves nothing for a session that never came"
        )
        log = AttemptLog(context, claim)
        asked_at = context.store.now()
        call = ExecuteCall(
            gateway_reference=submission.gateway_reference,
            gateway_order_id=submission.gateway_order_id,
            amount=payment.amount,
            intent=payment.intent,
            agreement_id=submission.agreement_id,
        )
        try:
            snapshot = await verb.send(gateway, call, log.call(deadline))
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            seen = self._looking.seen(submission, snapshot, gateway, asked_at=asked_at, fence=claim.fence)
            facts = await self._looking.record_seen(payment.tenant, payment.payment_id, seen)
            facts = await self._leave_nothing_submitting(claim, facts)
            await log.close(snapshot.state)
            return outcome_of(facts)
        outcome = await self._settle_failure(claim, failure, log)
        await log.close(type(failure).__name__)
        if not isinstance(failure, GatewayError):
            # A fault of configuration or of code: the record is safe, and the caller has to hear of it.
            raise failure
        if verb.kind is not OperationKind.EXECUTE and isinstance(failure, DeclinedError) and failure.final:
            # Refused for good: the hold may have ended the other way, and only a look-up tells.
            return outcome_of(await self._looking.look_up(payment.tenant, payment.payment_id, gateway))
        return outcome

    async def _settle_failure(self, claim: Claim, failure: Exception, log: AttemptLog) -> Outcome:
        context, payment = self._context, claim.facts.payment
        if in_doubt(failure, log):
            return outcome_of(await self._record_lost(claim))
        if isinstance(failure, DeclinedError) and failure.effect is Effect.REFUSED:
            reason, final = failure.reason, failure.final

            def refused(facts: PaymentFacts, _: tuple[PaymentFacts, ...]) -> Plan | None:
                return plan_refused(
                    facts, claim.operation_id, claim.fence, reason, final=final, now=context.store.now()
                )

            return outcome_of(await context.recorder.record(payment.tenant, payment.payment_id, refused))
        await context.store.release(claim)
        if isinstance(failure, GatewayError):
            context.unanswered(failure, event="submission.not_sent", operation_id=claim.operation_id)
        return not_sent(payment.payment_id, claim.operation_id, failure)

    async def _leave_nothing_submitting(self, claim: Claim, facts: PaymentFacts) -> PaymentFacts:
        """An answer that settled nothing (a state nobody documented) leaves the operation unknown."""
        operation = facts.operation(claim.operation_id)
        if operation is None or operation.state not in (OperationState.SUBMITTING, OperationState.RESERVED):
            return facts
        return await self._record_lost(claim)

    async def _record_lost(self, claim: Claim) -> PaymentFacts:
        return await self._context.recorder.record(
            claim.tenant,
            claim.payment_id,
            lambda facts, _: plan_lost(
                facts, claim.operation_id, claim.fence, self._context.store.now(), by_holder=True
            ),
        )


_DONE_WORDS = {
    OperationKind.EXECUTE: "executed",
    OperationKind.CAPTURE: "captured",
    OperationKind.VOID: "voided",
}


def not_sent(payment_id: str, operation_id: str, failure: Exception) -> Pending:
    """The outcome of a call that had no effect: refused at a front door, or never sent."""
    wait_s = failure.retry_after_s if isinstance(failure, ThrottledError) else None
    return Pending(payment_id=payment_id, sent=False, retry_after_s=wait_s, operation_id=operation_id)

"""refund: reserved against confirmed receipts, submitted once, and unknown until the gateway shows it."""

from vextrus_payments.capabilities import Feature
from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
from vextrus_payments.engine.forgotten import guard_refund
from vextrus_payments.engine.refund_looking import RefundLooking, refund_call
from vextrus_payments.engine.submitting import not_sent
from vextrus_payments.errors import (
    AmountError,
    ConflictError,
    CurrencyNotSupportedError,
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OperationConflictError,
    PaymentsError,
    StorageError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.listings import listed_in, shows_given_back
from vextrus_payments.outcomes import Pending, RefundOutcome
from vextrus_payments.payment import Evidence, RefundRequest, digest_of
from vextrus_payments.plans import (
    Busy,
    Claim,
    Conflict,
    Plan,
    Refused,
    Reserved,
    ReserveOperation,
    Same,
    Settled,
    SiblingLive,
    Unresolved,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    plan_refund_doubted,
    plan_refunds_listed,
    plan_refused,
    plan_unsent,
)
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    Receipt,
)
from vextrus_payments.states import (
    is_accepted_and_denied,
    late_operation_id,
    refund_outcome_of,
)
from vextrus_payments.wire import SendBy


class Refunding:
    """The refund flow and its look-up."""

    def __init__(self, context: Context, looking: RefundLooking) -> None:
        self._context = context
        self._looking = looking

    async def refund(self, tenant: str, request: RefundRequest) -> RefundOutcome:
        """See Payments.refund."""
        context = self._context
        facts = await context.payment(tenant, request.payment_id)
        gateway = await context.gateway_of(facts)
        if not gateway.capabilities.can(Feature.REFUND):
            raise UnsupportedOperationError(f"{facts.payment.gateway} cannot refund through its API.").about(
                gateway=facts.payment.gateway, tenant=tenant, payment_id=request.payment_id
            )
        if await context.store.get_operation(tenant, request.operation_id) is None:
            # Before the intent is written, so that nothing carries on what was refused here.
            await guard_refund(context, tenant, gateway.capabilities)
        operation = await self._reserve(facts, request)
        return await self.drive(tenant, operation.operation_id, gateway)

    async def drive(self, tenant: str, operation_id: str, gateway: PaymentGateway) -> RefundOutcome:
        """Submit a reserved refund, or join whoever does."""
        flight = self._context.flights.start(
            ("refund", tenant, operation_id), lambda: self._refund(tenant, operation_id, gateway)
        )
        if await self._context.flights.join(flight, self._context.limits.wait_s):
            return flight.result()
        return await self._outcome(tenant, operation_id)

    async def late(self, facts: PaymentFacts, receipt: Receipt, gateway: PaymentGateway) -> None:
        """Give one late receipt back, all that is left of it, by an ordinary refund with an id of its own."""
        payment = facts.payment
        operation_id = late_operation_id(payment.payment_id, receipt.transaction_id)
        answer = await self._context.store.reserve(
            ReserveOperation(
                tenant=payment.tenant,
                operation_id=operation_id,
                kind=OperationKind.REFUND,
                payment_id=payment.payment_id,
                digest=digest_of("late", payment.payment_id, receipt.transaction_id),
                note="The payment came after it was closed.",
                sku=payment.merchant_reference,
                original_transaction_id=receipt.transaction_id,
            )
        )
        if isinstance(answer, Reserved | Same):
            await self.drive(payment.tenant, operation_id, gateway)

    async def refund_status(self, tenant: str, operation_id: str) -> RefundOutcome:
        """See Payments.refund_status."""
        context = self._context
        facts, operation = await self._looking.operation(tenant, operation_id)
        gateway = await context.gateway_of(facts)
        denied = is_accepted_and_denied(facts, operation)
        if not denied and not self._looking.due(operation, gateway):
            return refund_outcome_of(facts, operation)
        flight = context.flights.start(
            ("refund_status", tenant, operation_id),
            lambda: self._looking.look_up(tenant, operation_id, gateway, on_word=denied),
        )
        await context.flights.join(flight, context.limits.wait_s)
        return await self._outcome(tenant, operation_id)

    async def _reserve(self, facts: PaymentFacts, request: RefundRequest) -> Operation:
        payment = facts.payment
        about = {
            "gateway": payment.gateway,
            "tenant": payment.tenant,
            "payment_id": payment.payment_id,
            "operation_id": request.operation_id,
        }
        answer = await self._context.store.reserve(
            ReserveOperation(
                tenant=payment.tenant,
                operation_id=request.operation_id,
                kind=OperationKind.REFUND,
                payment_id=payment.payment_id,
                digest=request.digest(),
                amount=request.amount,
                note=request.reason,
                sku=request.sku or payment.merchant_reference,
            )
        )
        match answer:
            case Reserved(operation=operation) | Same(operation=operation):
                return operation
            case Conflict():
                raise OperationConflictError(
                    "This operation id was used before with other parameters."
                ).about(**about)
            case Refused(why=why, field="amount"):
                raise AmountError(why, field="amount", rule="at most what is still refundable").about(**about)
            case Refused(why=why, field="currency"):
                raise CurrencyNotSupportedError(why, field="amount", rule="the payment's currency").about(
                    **about
                )
            case Refused(why=why):
                raise ConflictError(why, next_step="See the payment's status.").about(**about)
            case _:
                raise ConflictError("Our records forbid it.").about(**about)

    async def _refund(self, tenant: str, operation_id: str, gateway: PaymentGateway) -> RefundOutcome:
        context, waited_s, asked = self._context, 0.0, False
        terms = context.terms(gateway.capabilities)
        await self._looking.look_at_answered(tenant, operation_id, gateway)
        while True:
            facts, operation = await self._looking.operation(tenant, operation_id)
            if operation.state is OperationState.RESERVED:
                await guard_refund(context, tenant, gateway.capabilities)
            deadline = context.deadline()
            answer = await context.store.claim(tenant, operation_id, terms)
            match answer:
                case Claim():
                    return await self._submit(answer, gateway, deadline)
                case Settled(facts=facts, operation=operation):
                    return refund_outcome_of(facts, operation)
                case Unresolved(operation=operation):
                    looked = await self._looking.look_up(tenant, operation_id, gateway)
                    after = looked.operation(operation_id) or operation
                    if after.state is not OperationState.RESERVED:
                        return refund_outcome_of(looked, after)
                case Busy(retry_after_s=busy_s, facts=facts):
                    if not asked:
                        asked = True
                        await self._look_at_others(facts, operation_id, gateway)
                        continue
                    paused_s = await context.pause(busy_s, waited_s)
                    if not paused_s:
                        waiting = facts.operation(operation_id)
                        sent = waiting is not None and waiting.state is not OperationState.RESERVED
                        return Pending(
                            payment_id=facts.payment.payment_id,
                            sent=sent,
                            retry_after_s=busy_s,
                            operation_id=operation_id,
                        )
                    waited_s += paused_s
                case Refused(why=why):
                    raise ConflictError(why, next_step="See the payment's status.").about(
                        tenant=tenant, operation_id=operation_id
                    )
                case SiblingLive():
                    raise ConflictError("Our records forbid it.").about(operation_id=operation_id)

    async def _submit(self, claim: Claim, gateway: PaymentGateway, deadline: SendBy) -> RefundOutcome:
        context, tenant, payment_id = self._context, claim.tenant, claim.payment_id
        log, held_back = AttemptLog(context, claim), False

        async def checkpoint(evidence: Evidence) -> None:
            nonlocal held_back
            held_back = True  # what fails in here keeps the refund from leaving
            # Fenced: whoever lost the claim is stopped here, before the request that moves money.
            await context.store.checkpoint(claim, evidence)
            await self._adopt_before(claim, evidence)
            await self._stop_in_doubt(claim, evidence)
            held_back = False

        try:
            snapshot = await gateway.refund_payment(
                refund_call(claim.facts, claim.operation_id),
                context=log.call(deadline),
                on_checkpoint=checkpoint,
            )
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            await self._looking.record_seen(tenant, payment_id, claim.operation_id, snapshot, claim.fence)
            await self._looking.record_lost(claim)
            await log.close(snapshot.state)
            return await self._outcome(tenant, claim.operation_id)
        if held_back and isinstance(failure, StorageError):
            failure = _not_sent_for(failure)
        if isinstance(failure, _NoRoomError):
            pass  # stopped by the plan that found out; nothing left
        elif in_doubt(failure, log):
            await self._looking.record_lost(claim)
        elif isinstance(failure, DeclinedError | InvalidRequestError):
            # Refused, by the gateway or by the adapter before it: a request that breaks a rule breaks it again.
            reason, final = Reason(code=ReasonCode.INVALID_REQUEST), True
            if isinstance(failure, DeclinedError):
                reason, final = failure.reason, failure.final

            def refused(facts: PaymentFacts, _: tuple[PaymentFacts, ...]) -> Plan | None:
                return plan_refused(
                    facts, claim.operation_id, claim.fence, reason, final=final, now=context.store.now()
                )

            await context.recorder.record(tenant, payment_id, refused)
        elif not await context.store.release(claim):
            # Somebody looked meanwhile and called it unknown; its holder knows that nothing left.
            await context.recorder.record(
                tenant,
                payment_id,
                lambda facts, _: plan_unsent(
                    facts, claim.operation_id, claim.fence, context.store.now(), by_holder=True
                ),
            )
        await log.close(type(failure).__name__)
        if isinstance(failure, _NoRoomError):
            # What took the room may be one of ours that an operator called not made: then it is booked as that.
            try:
                await self._looking.adopt(await context.payment(tenant, payment_id), gateway)
            except PaymentsError as error:
                # This refund's own end is written. What took its room is found again when somebody asks.
                about = {"payment_id": payment_id, "operation_id": claim.operation_id}
                context.observer.event("refunds.not_adopted", code=error.code, **about)
            return await self._outcome(tenant, claim.operation_id)
        if not isinstance(failure, GatewayError):
            raise failure
        if failure.effect is Effect.NONE and not isinstance(failure, DeclinedError):
            context.unanswered(failure, event="submission.not_sent", operation_id=claim.operation_id)
            return not_sent(payment_id, claim.operation_id, failure)
        return await self._outcome(tenant, claim.operation_id)

    async def _adopt_before(self, claim: Claim, evidence: Evidence) -> None:
        """The list before our own refund shows what was refunded elsewhere: it counts before ours leaves.

        Raises:
            _NoRoomError: too little is left for ours. It is declined, and must not be sent.
        """
        context, listed = self._context, listed_in(evidence)
        if not listed:
            return
        facts = await context.recorder.record(
            claim.tenant,
            claim.payment_id,
            lambda now_facts, _: plan_refunds_listed(
                now_facts,
                listed,
                context.store.now(),
                leaving=(claim.operation_id, claim.fence),
                accounts=context.accounts,
            ),
        )
        operation = facts.operation(claim.operation_id)
        if operation is None or operation.state is not OperationState.SUBMITTING:
            raise _NoRoomError("More was refunded elsewhere than leaves room for this refund.")

    async def _stop_in_doubt(self, claim: Claim, evidence: Evidence) -> None:
        """Where the gateway lists no refunds, one that our records cannot account for may be this very one: made by an
        attempt that got another answer, or lost with a backup.

        Raises:
            _NoRoomError: so it is. It must not be sent; a person has to look.
        """
        if not shows_given_back(evidence):
            return
        facts = await self._context.recorder.record(
            claim.tenant,
            claim.payment_id,
            lambda now_facts, _: plan_refund_doubted(
                now_facts, claim.operation_id, claim.fence, self._context.store.now()
            ),
        )
        operation = facts.operation(claim.operation_id)
        if operation is None or operation.state is not OperationState.SUBMITTING:
            raise _NoRoomError("Something went back that may be this refund.")

    async def _look_at_others(self, facts: PaymentFacts, operation_id: str, gateway: PaymentGateway) -> None:
        """Look up the refunds that stand in the way: nobody else may ever ask."""
        for other in facts.operations:
            if (
                other.kind is OperationKind.REFUND
                and other.operation_id != operation_id
                and self._looking.due(other, gateway)
            ):
                await self._looking.look_up(other.tenant, other.operation_id, gateway)

    async def _outcome(self, tenant: str, operation_id: str) -> RefundOutcome:
        return refund_outcome_of(*await self._looking.operation(tenant, operation_id))


def _not_sent_for(failure: StorageError) -> StorageError:
    """The store failed before the refund left, so nothing did."""
    return StorageError(
        "The store failed before the refund was sent, so it was not.",
        code=failure.code,
        effect=Effect.NONE,
        next_step="Check the store, then call again with the same operation id.",
    )


class _NoRoomError(ConflictError):
    """The refund was stopped by our own records, just before it would have left. Never leaves the engine."""

"""refund: reserved against confirmed receipts, submitted once, and unknown until the gateway shows it."""

from vextrus_payments.capabilities import Feature, RefundCorrelation
from vextrus_payments.engine.context import AttemptLog, Context, in_doubt
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
    UnsupportedOperationError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.listings import listed_in
from vextrus_payments.outcomes import Pending, RefundOutcome
from vextrus_payments.payment import Evidence, RefundCall, RefundRequest, digest_of
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
    plan_lost,
    plan_refund_seen,
    plan_refunds_listed,
    plan_refused,
    plan_unsent,
)
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentFacts,
    Receipt,
    ReceiptKind,
)
from vextrus_payments.snapshots import RefundSnapshot
from vextrus_payments.states import (
    claim_is_over,
    late_operation_id,
    on_operators_word,
    payment_receipts,
    refund_outcome_of,
)
from vextrus_payments.wire import CallContext, SendBy


class Refunding:
    """The refund flow and its look-up."""

    def __init__(self, context: Context) -> None:
        self._context = context

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
            await (
                context.guard()
            )  # before the intent is written, so that nothing carries on what was refused here
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
        facts, operation = await self._operation(tenant, operation_id)
        gateway = await context.gateway_of(facts)
        if not self._due(operation, gateway):
            return refund_outcome_of(facts, operation)
        flight = context.flights.start(
            ("refund_status", tenant, operation_id), lambda: self.look_up(tenant, operation_id, gateway)
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
        while True:
            facts, operation = await self._operation(tenant, operation_id)
            if operation.state is OperationState.RESERVED:
                await context.guard()
            deadline = context.deadline()
            answer = await context.store.claim(tenant, operation_id, terms)
            match answer:
                case Claim():
                    return await self._submit(answer, gateway, deadline)
                case Settled(facts=facts, operation=operation):
                    return refund_outcome_of(facts, operation)
                case Unresolved(operation=operation):
                    looked = await self.look_up(tenant, operation_id, gateway)
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
        log = AttemptLog(context, claim)

        async def checkpoint(evidence: Evidence) -> None:
            # Fenced: whoever lost the claim is stopped here, before the request that moves money.
            await context.store.checkpoint(claim, evidence)
            await self._adopt_before(claim, evidence)

        try:
            snapshot = await gateway.refund_payment(
                refund_call(claim.facts, claim.operation_id),
                context=log.call(deadline),
                on_checkpoint=checkpoint,
            )
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            await self._record_seen(tenant, payment_id, claim.operation_id, snapshot, claim.fence)
            await self._record_lost(claim)
            await log.close(snapshot.state)
            return await self._outcome(tenant, claim.operation_id)
        if isinstance(failure, _NoRoomError):
            pass  # declined by the plan that found out; nothing left
        elif in_doubt(failure, log):
            await self._record_lost(claim)
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

    async def adopt(self, facts: PaymentFacts, gateway: PaymentGateway) -> PaymentFacts:
        """Read every list of refunds of the payment, and book what is nobody's."""
        context, payment = self._context, facts.payment
        for operation in facts.operations:
            if on_operators_word(facts, operation):
                # If the gateway shows it all the same, it is this operation's, and nobody else's.
                facts = await self.look_up(payment.tenant, operation.operation_id, gateway, on_word=True)
        for receipt in payment_receipts(facts):
            submission = facts.submission_numbered(receipt.submission_no or payment.submission_no)
            if submission.gateway_reference is None:
                continue
            listed = await self._listed(receipt, submission.gateway_reference, payment, gateway)
            if listed:
                facts = await context.recorder.record(
                    payment.tenant,
                    payment.payment_id,
                    lambda now_facts, _, listed=listed: plan_refunds_listed(  # type: ignore[misc]
                        now_facts, listed, context.store.now(), accounts=context.accounts
                    ),
                )
        return facts

    async def _listed(
        self, receipt: Receipt, gateway_reference: str, payment: Payment, gateway: PaymentGateway
    ) -> tuple[RefundSnapshot, ...]:
        try:
            return await gateway.get_refund_status(
                RefundCall(
                    operation_id=f"adopt/{payment.payment_id}",
                    gateway_reference=gateway_reference,
                    transaction_id=receipt.transaction_id,
                    amount=receipt.amount,
                    reason="refund",
                    sku=payment.merchant_reference,
                ),
                context=CallContext(payment_id=payment.payment_id),
            )
        except GatewayError as error:
            self._context.unanswered(error, payment_id=payment.payment_id, gateway=payment.gateway)
            return ()

    async def _look_at_others(self, facts: PaymentFacts, operation_id: str, gateway: PaymentGateway) -> None:
        """Look up the refunds that stand in the way: nobody else may ever ask."""
        for other in facts.operations:
            if (
                other.kind is OperationKind.REFUND
                and other.operation_id != operation_id
                and self._due(other, gateway)
            ):
                await self.look_up(other.tenant, other.operation_id, gateway)

    # --- look-up --------------------------------------------------------------------------------------------------

    def _due(self, operation: Operation, gateway: PaymentGateway) -> bool:
        """True when asking makes sense: it was let out, and is not on the wire at this moment."""
        if operation.state in (OperationState.UNKNOWN, OperationState.PENDING):
            return True
        if operation.state is not OperationState.SUBMITTING:
            return False
        terms, now = self._context.terms(gateway.capabilities), self._context.store.now()
        if (
            operation.send_by is not None
            and (operation.send_by - now).total_seconds() > terms.send_window_s + terms.settle_s
            and not self._context.flights.flying(("refund", operation.tenant, operation.operation_id))
        ):
            return True  # claimed under a clock that was ahead: asking is all that is left
        return claim_is_over(operation, terms.settle_s, now)

    async def look_up(
        self, tenant: str, operation_id: str, gateway: PaymentGateway, *, on_word: bool = False
    ) -> PaymentFacts:
        """Look for the refund at the gateway. Not finding it proves nothing.

        `on_word`: only an operator has said how it ended; the gateway's word outranks his.
        """
        context = self._context
        facts, operation = await self._operation(tenant, operation_id)
        if not on_word and not self._due(operation, gateway):
            return facts
        own_ids = gateway.capabilities.refund_correlation is RefundCorrelation.OWN_ID
        if not operation.evidence and not own_ids:
            return await self._without_evidence(operation)
        try:
            found = await gateway.look_up_refund(
                refund_call(facts, operation_id),
                resume=operation.evidence[-1] if operation.evidence else None,
                context=CallContext(payment_id=operation.payment_id, operation_id=operation_id),
            )
        except GatewayError as error:
            context.unanswered(error, operation_id=operation_id)
            found = None
        if found is not None:
            facts = await self._record_seen(tenant, operation.payment_id, operation_id, found, None)
        return await self._record_lost_at(facts, operation_id, operation.fence)

    async def _without_evidence(self, operation: Operation) -> PaymentFacts:
        """A submitted refund without a checkpoint, where refunds are told apart by a baseline.

        The driver makes the baseline durable before the request leaves, under the claim's fence: no baseline is
        proof that nothing was sent, and that nothing will be.
        """
        return await self._context.recorder.record(
            operation.tenant,
            operation.payment_id,
            lambda facts, _: plan_unsent(
                facts, operation.operation_id, operation.fence, self._context.store.now()
            ),
        )

    # --- shared ---------------------------------------------------------------------------------------------------

    async def _record_seen(
        self, tenant: str, payment_id: str, operation_id: str, snapshot: RefundSnapshot, fence: int | None
    ) -> PaymentFacts:
        context = self._context
        return await context.recorder.record(
            tenant,
            payment_id,
            lambda facts, _: plan_refund_seen(
                facts, operation_id, snapshot, context.store.now(), fence=fence, accounts=context.accounts
            ),
        )

    async def _record_lost(self, claim: Claim) -> None:
        """If the operation is still submitting under this claim, what became of it is not known."""
        await self._record_lost_at(claim.facts, claim.operation_id, claim.fence)

    async def _record_lost_at(self, facts: PaymentFacts, operation_id: str, fence: int) -> PaymentFacts:
        payment = facts.payment
        return await self._context.recorder.record(
            payment.tenant,
            payment.payment_id,
            lambda now_facts, _: plan_lost(now_facts, operation_id, fence, self._context.store.now()),
        )

    async def _operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation]:
        found = await self._context.store.get_operation(tenant, operation_id)
        if found is None or found[1].kind is not OperationKind.REFUND:
            raise InvalidRequestError(
                "There is no refund of that operation id here.",
                field="operation_id",
                rule="an operation id that a refund was called with",
            )
        return found

    async def _outcome(self, tenant: str, operation_id: str) -> RefundOutcome:
        return refund_outcome_of(*await self._operation(tenant, operation_id))


class _NoRoomError(ConflictError):
    """The refund was declined by our own records, just before it would have left. Never leaves the engine."""


def refund_call(facts: PaymentFacts, operation_id: str) -> RefundCall:
    """What the adapter needs to refund, from facts: the receipt's transaction, and the refunds that are booked."""
    operation = facts.operation(operation_id)
    assert operation is not None and operation.amount is not None, "a reserved refund has an amount"
    receipts = payment_receipts(facts)
    named = (r for r in receipts if r.transaction_id == operation.original_transaction_id)
    receipt = next(named, receipts[0])
    submission = facts.submission_numbered(receipt.submission_no or facts.payment.submission_no)
    assert submission.gateway_reference is not None, "a receipt came from a submission that reached us"
    return RefundCall(
        operation_id=operation_id,
        gateway_reference=submission.gateway_reference,
        transaction_id=receipt.transaction_id,
        amount=operation.amount,
        reason=operation.note or "refund",
        sku=operation.sku or facts.payment.merchant_reference,
        known_refunds=frozenset(
            r.transaction_id
            for r in facts.receipts
            if r.kind is ReceiptKind.REFUND and r.operation_id != operation_id
        ),
    )

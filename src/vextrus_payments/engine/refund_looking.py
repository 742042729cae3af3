"""Looking refunds up: those of our operations, and in the gateway's lists those that are nobody's."""

from vextrus_payments.capabilities import RefundCorrelation
from vextrus_payments.engine.context import Context
from vextrus_payments.errors import GatewayError, InvalidRequestError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.payment import RefundCall
from vextrus_payments.plans import Claim
from vextrus_payments.recording import plan_lost, plan_refund_seen, plan_refunds_listed, plan_unsent
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
    is_accepted_and_denied,
    on_operators_word,
    payment_receipts,
)
from vextrus_payments.wire import CallContext


class RefundLooking:
    """The look-ups of refunds. They send nothing that moves money."""

    def __init__(self, context: Context) -> None:
        self._context = context

    # --- look-up --------------------------------------------------------------------------------------------------

    def due(self, operation: Operation, gateway: PaymentGateway) -> bool:
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
        facts, operation = await self.operation(tenant, operation_id)
        if not on_word and not self.due(operation, gateway):
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
            facts = await self.record_seen(tenant, operation.payment_id, operation_id, found, None)
        return await self.record_lost_at(facts, operation_id, operation.fence)

    async def look_at_answered(self, tenant: str, operation_id: str, gateway: PaymentGateway) -> None:
        """Before a refund leaves: ask about the others that the gateway had accepted when an operator called them not
        made. One that is made all the same takes the room; one that is under way yet is for a person."""
        facts, going = await self.operation(tenant, operation_id)
        if going.state is not OperationState.RESERVED:
            return
        for other in facts.operations:
            if is_accepted_and_denied(facts, other):
                await self.look_up(tenant, other.operation_id, gateway, on_word=True)

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

    async def adopt(
        self, facts: PaymentFacts, gateway: PaymentGateway, *, restored: bool = False
    ) -> PaymentFacts:
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
                        now_facts, listed, context.store.now(), restored=restored, accounts=context.accounts
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

    # --- shared ---------------------------------------------------------------------------------------------------

    async def record_seen(
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

    async def record_lost(self, claim: Claim) -> None:
        """If the operation is still submitting under this claim, what became of it is not known."""
        await self.record_lost_at(claim.facts, claim.operation_id, claim.fence)

    async def record_lost_at(self, facts: PaymentFacts, operation_id: str, fence: int) -> PaymentFacts:
        payment = facts.payment
        return await self._context.recorder.record(
            payment.tenant,
            payment.payment_id,
            lambda now_facts, _: plan_lost(now_facts, operation_id, fence, self._context.store.now()),
        )

    async def operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation]:
        found = await self._context.store.get_operation(tenant, operation_id)
        if found is None or found[1].kind is not OperationKind.REFUND:
            raise InvalidRequestError(
                "There is no refund of that operation id here.",
                field="operation_id",
                rule="an operation id that a refund was called with",
            )
        return found


def refund_call(facts: PaymentFacts, operation_id: str) -> RefundCall:
    """What the adapter needs to refund, from facts: the receipt's transaction, and the refunds that are booked."""
    operation = facts.operation(operation_id)
    assert operation is not None and operation.amount is not None, "a reserved refund has an amount"
    # Those that were taken back, too: what was let out against one still has to be looked up.
    receipts = [r for r in facts.receipts if r.kind is ReceiptKind.PAYMENT]
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
        accepted_as=operation.transaction_id,
    )

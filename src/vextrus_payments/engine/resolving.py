"""What people decide: an operator's answer to an unknown, the withdrawal of an operation that was never let out."""

from vextrus_payments.engine.context import Context
from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.outcomes import Outcome, RefundOutcome
from vextrus_payments.plans import Committed, ReceiptElsewhere
from vextrus_payments.recording import plan_resolve, plan_withdraw
from vextrus_payments.records import OperationKind, PaymentFacts
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import outcome_of, refund_outcome_of

_WITHDRAWABLE = frozenset({OperationKind.REFUND, OperationKind.CAPTURE, OperationKind.VOID})


class Resolving:
    """The flows of `resolve` and `withdraw`. Neither asks a gateway: they only write, and once."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def resolve(self, tenant: str, request: ResolveRequest) -> PaymentFacts:
        """See Payments.resolve."""
        context = self._context
        flight = context.flights.start(("resolve", tenant, request), lambda: self._resolve(tenant, request))
        await context.flights.join(flight, None)
        return flight.result()

    async def _resolve(self, tenant: str, request: ResolveRequest) -> PaymentFacts:
        context = self._context
        facts = await context.payment(tenant, request.payment_id)
        gateway = await context.gateway_of(facts)
        siblings = await context.store.siblings(
            tenant, facts.payment.merchant_reference, without=request.payment_id
        )
        settle_s = context.terms(gateway.capabilities).settle_s
        plan = plan_resolve(facts, siblings, request, settle_s, context.store.now(), context.accounts)
        # Committed once and never planned again: another version is another question.
        answer = await context.store.commit(plan)
        about = {"tenant": tenant, "gateway": facts.payment.gateway, "payment_id": request.payment_id}
        if isinstance(answer, ReceiptElsewhere):
            raise ConflictError(
                "That transaction is booked to another payment.",
                code="receipt_elsewhere",
                next_step="Check the transaction id; nothing was written.",
            ).about(**about)
        if not isinstance(answer, Committed):
            raise StaleStateError(
                "The payment changed while the answer was being written; nothing was."
            ).about(**about)
        context.recorder.on_commit()
        return await context.payment(tenant, request.payment_id)

    async def withdraw(self, tenant: str, operation_id: str) -> Outcome | RefundOutcome:
        """See Payments.withdraw."""
        context = self._context
        found = await context.store.get_operation(tenant, operation_id)
        if found is None or found[1].kind not in _WITHDRAWABLE:
            raise InvalidRequestError(
                "There is no operation of that id here that could be withdrawn.",
                field="operation_id",
                rule="of a refund, capture or void",
            )
        payment_id = found[0].payment.payment_id
        flight = context.flights.start(
            ("withdraw", tenant, operation_id),
            lambda: context.recorder.record(
                tenant,
                payment_id,
                lambda facts, _: plan_withdraw(facts, operation_id, context.store.now()),
            ),
        )
        await context.flights.join(flight, None)
        facts = flight.result()
        operation = facts.operation(operation_id)
        if operation is not None and operation.kind is OperationKind.REFUND:
            return refund_outcome_of(facts, operation)
        return outcome_of(facts)

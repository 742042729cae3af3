"""What people decide: an operator's answer to an unknown, the withdrawal of an operation that was never let out."""

from dataclasses import replace

from vextrus_payments.capabilities import Capabilities, Completion
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.tending import session_over_at
from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.outcomes import Outcome, RefundOutcome
from vextrus_payments.payment import digest_of
from vextrus_payments.plans import Committed, ReceiptElsewhere
from vextrus_payments.recording import plan_resolve, plan_withdraw
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    SubjectKind,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import execute_operation_id, outcome_of, refund_outcome_of

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
        facts = _with_unsettled_page(facts, request, gateway.capabilities)
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
        await context.guard(tenant)  # what a restored store calls not sent may have been sent since
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


def _with_unsettled_page(
    facts: PaymentFacts, request: ResolveRequest, capabilities: Capabilities
) -> PaymentFacts:
    """The facts, with an unknown execute where the answer is about a page that its payer completes by himself.

    Nothing was let out for it, so no operation stands for it; once its time is over, and the gateway settles nothing, a
    person may still answer for it by the id that its execute would have.
    """
    payment = facts.payment
    if (
        capabilities.completion is not Completion.PAYER_COMPLETES
        or payment.state is not PaymentState.AWAITING_PAYER
        or request.operation_id != execute_operation_id(payment.payment_id, payment.submission_no)
        or facts.operation(request.operation_id) is not None
    ):
        return facts
    over_at = session_over_at(facts, capabilities)
    page = Operation(
        tenant=payment.tenant,
        operation_id=request.operation_id,
        kind=OperationKind.EXECUTE,
        subject_kind=SubjectKind.PAYMENT,
        subject_id=payment.payment_id,
        payment_id=payment.payment_id,
        submission_no=payment.submission_no,
        digest=digest_of("execute", payment.payment_id, payment.submission_no),
        state=OperationState.UNKNOWN,
        created_at=payment.created_at,
        updated_at=payment.updated_at,
        send_by=over_at,
        amount=payment.amount,
    )
    return replace(facts, operations=(*facts.operations, page))

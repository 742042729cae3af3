"""execute, capture, void: the three verbs that end a session or a hold, each sent once."""

from dataclasses import replace

from vextrus_payments.capabilities import Completion, Feature
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.looking import Looking, is_done
from vextrus_payments.engine.submitting import Submitting, Verb
from vextrus_payments.errors import ConflictError, UnsupportedOperationError
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.outcomes import Outcome
from vextrus_payments.payment import ExecuteCall, digest_of
from vextrus_payments.plans import ReserveOperation
from vextrus_payments.records import Flag, Operation, OperationKind, PaymentFacts, PaymentState
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.states import execute_operation_id, hold_operation_id, live_hold, outcome_of
from vextrus_payments.wire import CallContext


class Settling:
    """The flows of execute, capture and void."""

    def __init__(self, context: Context, looking: Looking) -> None:
        self._context = context
        self._looking = looking
        self._submitting = Submitting(context, looking)

    async def execute(self, tenant: str, payment_id: str, wait_s: float | None = None) -> Outcome:
        """See Payments.execute."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if is_done(facts):
            return outcome_of(facts)
        gateway = await context.gateway_of(facts)
        if gateway.capabilities.completion is Completion.PAYER_COMPLETES:
            return await self._looking.status(tenant, payment_id)
        return await self._run(facts, gateway, EXECUTE, wait_s)

    async def capture(self, tenant: str, payment_id: str, wait_s: float | None = None) -> Outcome:
        """See Payments.capture."""
        return await self._end_hold(tenant, payment_id, CAPTURE, Feature.CAPTURE, wait_s)

    async def void(self, tenant: str, payment_id: str, wait_s: float | None = None) -> Outcome:
        """See Payments.void."""
        return await self._end_hold(tenant, payment_id, VOID, Feature.VOID, wait_s)

    async def carry_on_hold(self, facts: PaymentFacts, operation: Operation, gateway: PaymentGateway) -> None:
        """Submit a capture or void that is reserved: that one, and none in its place if it was withdrawn meanwhile."""
        verb = CAPTURE if operation.kind is OperationKind.CAPTURE else VOID

        def wanted(now: PaymentFacts) -> ReserveOperation | None:
            live = live_hold(now)
            return verb.wanted(now) if live and live.operation_id == operation.operation_id else None

        await self._run(facts, gateway, replace(verb, wanted=wanted), None)

    async def _end_hold(
        self, tenant: str, payment_id: str, verb: Verb, feature: Feature, wait_s: float | None
    ) -> Outcome:
        facts = await self._context.payment(tenant, payment_id)
        gateway = await self._context.gateway_of(facts)
        if not gateway.capabilities.can(feature):
            raise UnsupportedOperationError(
                f"{facts.payment.gateway} has no {verb.kind.value} through its API."
            ).about(gateway=facts.payment.gateway, tenant=tenant, payment_id=payment_id)
        if Flag.QUARANTINED in facts.payment.flags:
            return outcome_of(facts)
        _check_hold(facts, verb.kind)
        if facts.payment.state is not PaymentState.AUTHORIZED:
            return outcome_of(facts)
        return await self._run(facts, gateway, verb, wait_s)

    async def _run(
        self, facts: PaymentFacts, gateway: PaymentGateway, verb: Verb, wait_s: float | None
    ) -> Outcome:
        context, tenant, payment_id = self._context, facts.payment.tenant, facts.payment.payment_id
        flight = context.flights.start(
            (verb.kind.value, tenant, payment_id),
            lambda: self._submitting.run(tenant, payment_id, gateway, verb),
        )
        if await context.flights.join(flight, context.limits.wait_s if wait_s is None else wait_s):
            return flight.result()
        return outcome_of(await context.payment(tenant, payment_id))


def _check_hold(facts: PaymentFacts, kind: OperationKind) -> None:
    """Refuse what cannot be: a capture or void without a hold, a void of what was captured, both at once.

    Raises:
        ConflictError: nothing was sent by this call.
    """
    state, live = facts.payment.state, live_hold(facts)
    why, code, next_step = "", "nothing_held", "See the payment's status."
    if state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER):
        why = "No money is held yet: the payer is not done, or the payment was not executed."
    elif state is PaymentState.PAID and kind is OperationKind.VOID:
        why, code, next_step = "The money was taken already.", "captured", "Refund the payment instead."
    elif state is PaymentState.AUTHORIZED and live is not None and live.kind is not kind:
        why, code = f"A {live.kind.value} of this payment is under way.", "other_way_under_way"
        next_step = "Wait for its end, or withdraw it while it has not been let out."
    if why:
        raise ConflictError(why, code=code, next_step=next_step).about(
            gateway=facts.payment.gateway,
            tenant=facts.payment.tenant,
            payment_id=facts.payment.payment_id,
            operation_id=live.operation_id if live is not None else None,
        )


def _wanted_execute(facts: PaymentFacts) -> ReserveOperation | None:
    payment = facts.payment
    if is_done(facts) or facts.submission.gateway_reference is None:
        return None
    return ReserveOperation(
        tenant=payment.tenant,
        operation_id=execute_operation_id(payment.payment_id, payment.submission_no),
        kind=OperationKind.EXECUTE,
        payment_id=payment.payment_id,
        digest=digest_of("execute", payment.payment_id, payment.submission_no),
        submission_no=payment.submission_no,
        amount=payment.amount,
    )


def _wanted_hold(facts: PaymentFacts, kind: OperationKind) -> ReserveOperation | None:
    payment, live = facts.payment, live_hold(facts)
    submission = facts.held_submission
    if payment.state is not PaymentState.AUTHORIZED or submission.gateway_reference is None:
        return None
    if live is not None and live.kind is not kind:
        return None
    operation_id = hold_operation_id(facts, kind)
    return ReserveOperation(
        tenant=payment.tenant,
        operation_id=operation_id,
        kind=kind,
        payment_id=payment.payment_id,
        digest=digest_of(kind.value, operation_id),
        submission_no=submission.submission_no,
        amount=payment.amount,
    )


async def _send_execute(gateway: PaymentGateway, call: ExecuteCall, context: CallContext) -> PaymentSnapshot:
    return await gateway.execute_payment(call, context=context)


async def _send_capture(gateway: PaymentGateway, call: ExecuteCall, context: CallContext) -> PaymentSnapshot:
    return await gateway.capture_payment(call, context=context)


async def _send_void(gateway: PaymentGateway, call: ExecuteCall, context: CallContext) -> PaymentSnapshot:
    return await gateway.void_payment(call, context=context)


EXECUTE = Verb(kind=OperationKind.EXECUTE, wanted=_wanted_execute, send=_send_execute)
CAPTURE = Verb(
    kind=OperationKind.CAPTURE,
    wanted=lambda facts: _wanted_hold(facts, OperationKind.CAPTURE),
    send=_send_capture,
)
VOID = Verb(
    kind=OperationKind.VOID,
    wanted=lambda facts: _wanted_hold(facts, OperationKind.VOID),
    send=_send_void,
)

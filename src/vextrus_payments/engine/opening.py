"""initialize: reserve the payment, get a session that reached us, under a gateway order id of its own."""

from dataclasses import replace
from typing import Final, NoReturn

from vextrus_payments import halfway
from vextrus_payments.capabilities import Capabilities, Completion
from vextrus_payments.engine.agreeing import Agreeing
from vextrus_payments.engine.context import AttemptLog, Context, answer_is_lost, first_look_s
from vextrus_payments.engine.looking import Looking
from vextrus_payments.engine.recorder import OrderIdTakenError, Planner
from vextrus_payments.errors import (
    AlreadyPaidError,
    AmountError,
    ConfigurationError,
    ConflictError,
    CurrencyNotSupportedError,
    DeclinedError,
    Effect,
    GatewayError,
    OperationConflictError,
    StorageError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.payment import Evidence, PaymentRequest, PaymentSession
from vextrus_payments.plans import (
    Busy,
    Claim,
    Conflict,
    OrderIdTaken,
    Plan,
    Refused,
    ReserveAnswer,
    Reserved,
    ReservePayment,
    Same,
    Settled,
    SiblingLive,
    Unresolved,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import plan_initialize_lost, plan_refused, plan_session_opened
from vextrus_payments.records import Operation, OperationState, Payment, PaymentFacts, PaymentState
from vextrus_payments.states import SETTLED_STATES, has_money
from vextrus_payments.wire import CallContext

#: How many order numbers are passed over when references collide after shortening.
_MAX_SKIPS = 1000
#: So long a gateway has to say what became of its page before another one is opened, here or elsewhere: one that does
#: not answer must not keep its payers from paying another way.
_LOOK_BESIDE_S: Final = 5.0


class Opening:
    """The initialize flow."""

    def __init__(self, context: Context, agreeing: Agreeing, looking: Looking) -> None:
        self._context = context
        self._agreeing = agreeing
        self._looking = looking

    async def initialize(self, tenant: str, request: PaymentRequest) -> PaymentSession:
        """See Payments.initialize."""
        context = self._context
        gateway = await context.gateway(tenant, request.gateway)
        check_request(request, gateway.capabilities)
        # What the adapter gets names the gateway's agreement; what is digested and kept names ours.
        applied = request
        if not await self._is_settled(tenant, request):
            applied = await self._agreeing.applied(tenant, request, gateway)
        facts = await self._reserve(tenant, request, gateway)
        flight = context.flights.start(
            ("initialize", tenant, request.operation_id),
            lambda: self._open(facts, applied, gateway),
        )
        if await context.flights.join(flight, context.limits.wait_s):
            return flight.result()
        raise _in_progress(facts)

    async def _is_settled(self, tenant: str, request: PaymentRequest) -> bool:
        """True when this call sends nothing any more: a repeat gets its session although the agreement has ended."""
        if request.agreement_key is None:
            return False
        found = await self._context.store.get_operation(tenant, request.operation_id)
        return found is not None and found[1].state in SETTLED_STATES

    async def _reserve(self, tenant: str, request: PaymentRequest, gateway: PaymentGateway) -> PaymentFacts:
        payment_id = self._context.ids.new("pay")
        answer: ReserveAnswer = OrderIdTaken()
        first = await self._context.order_skip(tenant, gateway.capabilities)
        for skip in range(first, first + _MAX_SKIPS):
            answer = await self._context.store.reserve(
                ReservePayment(
                    tenant=tenant,
                    payment_id=payment_id,
                    mode=gateway.mode,
                    request=request,
                    order_ids=gateway.capabilities.order_id,
                    skip=skip,
                )
            )
            if not isinstance(answer, OrderIdTaken):
                break
        about = {"tenant": tenant, "gateway": request.gateway, "operation_id": request.operation_id}
        match answer:
            case Reserved(facts=facts) | Same(facts=facts):
                await self._context.gateway_of(facts)  # refuses a payment of the other mode
                return facts
            case Conflict():
                raise OperationConflictError(
                    "This operation id was used before with other parameters."
                ).about(**about)
            case SiblingLive(payment_id=other, paid=paid):
                raise _beside(other, paid).about(**about)
            case Refused(why=why):
                raise ConflictError(why).about(**about)
            case OrderIdTaken():
                raise StorageError("No free gateway order id was found for this merchant reference.").about(
                    **about
                )

    async def _open(
        self, facts: PaymentFacts, request: PaymentRequest, gateway: PaymentGateway
    ) -> PaymentSession:
        context, waited_s, sessions = self._context, 0.0, 0
        payment = facts.payment
        terms = context.terms(gateway.capabilities)
        await self._look_beside(facts, request)
        while True:
            deadline = context.deadline()
            answer = await context.store.claim(payment.tenant, request.operation_id, terms)
            match answer:
                case Settled(facts=after, operation=operation):
                    return _settled_session(after, operation)
                case Claim():
                    sessions += 1
                    log = AttemptLog(context, answer)
                    last = sessions >= context.limits.max_submissions_per_call
                    session = await self._submit(answer, request, gateway, log.call(deadline), log, last)
                    if session is not None:
                        return session
                case Unresolved(operation=operation):
                    # A process died over it. Nothing moves by it, so it is replaced, not looked up.
                    await self._replace(payment.tenant, payment.payment_id, operation, gateway)
                case Busy(retry_after_s=busy_s, facts=after):
                    paused_s = await context.pause(busy_s, waited_s)
                    if not paused_s:
                        raise _in_progress(after)
                    waited_s += paused_s
                case SiblingLive(payment_id=other, paid=paid):
                    raise _beside(other, paid).about(payment_id=payment.payment_id)
                case Refused(why=why):
                    await self._refuse_if_paid(payment.tenant, payment.payment_id)
                    raise ConflictError(why).about(payment_id=payment.payment_id)

    async def _look_beside(self, facts: PaymentFacts, request: PaymentRequest) -> None:
        """Ask about the reference's other pages that their payers complete by themselves: what our records show as open
        may have been paid a moment ago, or be on its way. What is paid is written down, and the claim finds it there.

        A page of which no answer comes in time stays what it is in our records, an open page.

        Raises:
            AlreadyPaidError: the gateway is at work on one of them, or does not know itself what became of it.
        """
        payment, operation = facts.payment, facts.operation(request.operation_id)
        if payment.allow_repeat or operation is None or operation.state is not OperationState.RESERVED:
            return
        flights, siblings = self._context.flights, await self._open_beside(payment)
        if not siblings:
            return
        flight = flights.start(
            ("beside", payment.tenant, payment.payment_id), lambda: self._under_way(siblings)
        )
        other = flight.result() if await flights.join(flight, _LOOK_BESIDE_S) else None
        if other is not None:
            raise _beside(other, False).about(payment_id=payment.payment_id)

    async def _open_beside(self, payment: Payment) -> tuple[tuple[PaymentFacts, PaymentGateway], ...]:
        """The reference's other pages that can be paid without us, the latest first; those that can be asked about."""
        found = []
        for sibling in await self._context.store.siblings(
            payment.tenant, payment.merchant_reference, without=payment.payment_id
        ):
            other = sibling.payment
            if other.mode is not payment.mode or other.state is not PaymentState.AWAITING_PAYER:
                continue
            try:
                gateway = await self._context.gateway_of(sibling)
            except ConfigurationError:
                continue  # its settings are gone: nobody can be asked any more
            if gateway.capabilities.completion is Completion.PAYER_COMPLETES:
                found.append((sibling, gateway))
        return tuple(sorted(found, key=lambda one: one[0].payment.created_at, reverse=True))

    async def _under_way(self, siblings: tuple[tuple[PaymentFacts, PaymentGateway], ...]) -> str | None:
        """The payment at which its gateway is at work, if there is one among them."""
        for facts, gateway in siblings:
            if await self._looking.is_under_way(facts, gateway):
                return facts.payment.payment_id
        return None

    async def _refuse_if_paid(self, tenant: str, payment_id: str) -> None:
        facts = await self._context.payment(tenant, payment_id)
        if has_money(facts):
            raise AlreadyPaidError(
                "This payment has its money: a webhook told of the session whose answer got lost.",
                other_payment_id=payment_id,
                next_step="Look at it with status(): no other session was opened.",
            ).about(payment_id=payment_id, tenant=tenant, gateway=facts.payment.gateway)

    async def _submit(
        self,
        claim: Claim,
        request: PaymentRequest,
        gateway: PaymentGateway,
        call: CallContext,
        log: AttemptLog,
        last: bool,
    ) -> PaymentSession | None:
        """One session asked for. None: its answer got lost, and a fresh submission stands ready."""
        context, payment = self._context, claim.facts.payment
        submission = claim.facts.submission
        operation = claim.facts.operation(claim.operation_id)
        begun = halfway.begun(operation.evidence, submission.gateway_order_id) if operation else None
        failure: Exception

        async def checkpoint(evidence: Evidence) -> None:
            # Fenced: whoever lost the claim is stopped here, before a second page can become payable.
            await context.store.checkpoint(claim, evidence)

        try:
            session = await gateway.initialize_payment(
                request,
                gateway_order_id=submission.gateway_order_id,
                callback_url=context.return_door(payment.tenant, payment.gateway),
                payment_id=payment.payment_id,
                submission_no=submission.submission_no,
                context=call,
                resume=begun,
                on_checkpoint=checkpoint,
            )
        except Exception as error:  # noqa: BLE001 - whatever an adapter raises, the claim must be settled
            failure = error
        else:
            ours = replace(session, submission_no=submission.submission_no)
            facts = await context.recorder.record(
                payment.tenant,
                payment.payment_id,
                lambda now_facts, _: plan_session_opened(
                    now_facts,
                    claim.operation_id,
                    ours,
                    context.store.now(),
                    first_look_s=first_look_s(gateway.capabilities),
                ),
            )
            await log.close("opened")
            return session_of(facts)
        await log.close(type(failure).__name__)
        await self._settle_failure(claim, gateway, failure)
        if answer_is_lost(failure) and isinstance(failure, GatewayError) and not last:
            return None
        raise failure

    async def _settle_failure(self, claim: Claim, gateway: PaymentGateway, failure: Exception) -> None:
        payment = claim.facts.payment
        operation = claim.facts.operation(claim.operation_id)
        assert operation is not None, "a claim holds its operation"
        if answer_is_lost(failure):
            await self._replace(payment.tenant, payment.payment_id, operation, gateway)
        elif isinstance(failure, DeclinedError) and failure.effect is Effect.REFUSED:
            reason, final = failure.reason, failure.final

            def refused(facts: PaymentFacts, _: tuple[PaymentFacts, ...]) -> Plan | None:
                return plan_refused(
                    facts, claim.operation_id, claim.fence, reason, final=final, now=self._context.store.now()
                )

            await self._context.recorder.record(payment.tenant, payment.payment_id, refused)
        else:
            await self._context.store.release(claim)
        if isinstance(failure, GatewayError):
            failure.about(
                gateway=payment.gateway,
                tenant=payment.tenant,
                payment_id=payment.payment_id,
                operation_id=claim.operation_id,
            )

    async def _replace(
        self, tenant: str, payment_id: str, operation: Operation, gateway: PaymentGateway
    ) -> None:
        """Supersede the current submission by a fresh one with an order id of its own."""
        context = self._context
        first = await context.order_skip(tenant, gateway.capabilities)
        for skip in range(first, first + _MAX_SKIPS):
            facts = await context.payment(tenant, payment_id)
            payment = facts.payment
            number = await context.store.next_order_number(
                tenant, payment.gateway, payment.mode, payment.merchant_reference
            )
            order_id = gateway.capabilities.order_id.make(payment.merchant_reference, number + skip)
            try:
                await context.recorder.record(tenant, payment_id, self._superseding(operation, order_id))
            except OrderIdTakenError:
                continue
            return
        raise StorageError("No free gateway order id was found for this merchant reference.")

    def _superseding(self, operation: Operation, order_id: str) -> Planner:
        def plan(facts: PaymentFacts, _: tuple[PaymentFacts, ...]) -> Plan | None:
            return plan_initialize_lost(
                facts, operation.operation_id, operation.fence, order_id, self._context.store.now()
            )

        return plan


def check_request(request: PaymentRequest, capabilities: Capabilities) -> None:
    """Refuse what the gateway cannot take, before anything is reserved.

    Raises:
        CurrencyNotSupportedError, AmountError: naming the field and the rule.
    """
    amount = request.amount
    if amount.currency not in capabilities.currencies:
        raise CurrencyNotSupportedError(
            f"{capabilities.gateway} takes {', '.join(sorted(capabilities.currencies))}, not {amount.currency}.",
            field="amount",
            rule="a currency of the gateway",
        )
    # A limit in another currency says nothing without a rate: there the gateway itself judges.
    least, most = capabilities.min_amount, capabilities.max_amount
    if least is not None and least.currency == amount.currency and amount < least:
        raise AmountError(
            f"{capabilities.gateway} takes no less than {least}; this is {amount}.",
            field="amount",
            rule=f"at least {least}",
        )
    if most is not None and most.currency == amount.currency and amount > most:
        raise AmountError(
            f"{capabilities.gateway} takes no more than {most}; this is {amount}.",
            field="amount",
            rule=f"at most {most}",
        )


def session_of(facts: PaymentFacts) -> PaymentSession:
    """The current submission as a session, without the gateway's id of an agreement: that stays in the store."""
    payment, submission = facts.payment, facts.submission
    if submission.gateway_reference is None or submission.expires_at is None:
        raise ConflictError(
            "The payment's session was replaced while it was being opened.",
            next_step="Call initialize again with the same operation id.",
        ).about(payment_id=payment.payment_id, tenant=payment.tenant, gateway=payment.gateway)
    return PaymentSession(
        payment_id=payment.payment_id,
        gateway=payment.gateway,
        mode=payment.mode,
        merchant_reference=payment.merchant_reference,
        amount=payment.amount,
        gateway_order_id=submission.gateway_order_id,
        gateway_reference=submission.gateway_reference,
        checkout_url=submission.checkout_url,
        expires_at=submission.expires_at,
        submission_no=submission.submission_no,
    )


def _settled_session(facts: PaymentFacts, operation: Operation) -> PaymentSession:
    if operation.state is OperationState.SUCCEEDED:
        return session_of(facts)
    _raise_declined(facts, operation)


def _raise_declined(facts: PaymentFacts, operation: Operation) -> NoReturn:
    reason = operation.reason or Reason(code=ReasonCode.UNKNOWN_ERROR)
    raise DeclinedError(
        "The gateway refused to open this payment.", reason=reason, final=True, code=reason.gateway_code
    ).about(
        gateway=facts.payment.gateway,
        tenant=facts.payment.tenant,
        payment_id=facts.payment.payment_id,
        operation_id=operation.operation_id,
    )


def _beside(other: str, paid: bool) -> AlreadyPaidError:
    state = "is paid or authorized" if paid else "may turn out paid: its outcome is not known yet"
    return AlreadyPaidError(f"Another payment of this merchant reference {state}.", other_payment_id=other)


def _in_progress(facts: PaymentFacts) -> ConflictError:
    return ConflictError(
        "This payment is being opened by another caller and is not done yet.",
        code="in_progress",
        next_step="Call initialize again with the same operation id.",
    ).about(gateway=facts.payment.gateway, tenant=facts.payment.tenant, payment_id=facts.payment.payment_id)

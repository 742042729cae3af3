"""Agreements: create, execute, status, cancel. Durable before I/O; execute once, from however many processes."""

import hmac
from datetime import timedelta
from typing import Final

from vextrus_payments.consent_pages import (
    cancel_id,
    every_page,
    execute_id,
    last_page_over_at,
    request_id_of,
)
from vextrus_payments.consenting import (
    NoClaim,
    plan_claim_agreed,
    plan_consent,
    plan_consent_over,
    plan_reserve_agreed,
)
from vextrus_payments.engine.agreement_desk import MAX_ROUNDS, AgreementDesk, other_mode, payer_completes
from vextrus_payments.engine.agreement_sending import AgreementSending, Sender
from vextrus_payments.engine.context import Context, answer_is_lost
from vextrus_payments.engine.pages import Pages, ReadsCollections
from vextrus_payments.errors import (
    ConflictError,
    GatewayError,
    InvalidRequestError,
    OperationConflictError,
)
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.payment import AgreementRequest, ConsentRequest, PaymentRequest, digest_of
from vextrus_payments.plans import Committed, OperationTaken
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.records import Agreement, AgreementLife, OperationState
from vextrus_payments.snapshots import AgreementSession, AgreementSnapshot
from vextrus_payments.states import OPEN_STATES, claim_is_over
from vextrus_payments.subscribing import plan_left_behind
from vextrus_payments.wire import CallContext

_OVER: Final = (AgreementLife.CLOSED, AgreementLife.ENDED)


class Agreeing:
    """The flows of agreements."""

    def __init__(self, context: Context, read: ReadsCollections | None = None) -> None:
        """`read`: see Pages."""
        self._context = context
        self._desk = AgreementDesk(context)
        self._pages = Pages(context, self._desk, read)
        self._sending = AgreementSending(context, self._desk)

    # --- the verbs ----------------------------------------------------------------------------------------------

    async def create(self, tenant: str, request: ConsentRequest) -> Agreement:
        """See Payments.create_agreement."""
        gateway = await self._desk.gateway(tenant, request.gateway)
        flight = self._context.flights.start(
            ("agreement.create", tenant, request.operation_id), lambda: self._create(tenant, request, gateway)
        )
        return await self._desk.landed(flight, tenant)

    async def execute(self, tenant: str, agreement_key: str, wait_s: float | None = None) -> Agreement:
        """See Payments.execute_agreement."""
        agreement = await self._desk.get(tenant, agreement_key)
        if agreement.state is not AgreementLife.AWAITING_PAYER:
            return agreement
        gateway = await self._desk.gateway_of(agreement)
        flight = self._context.flights.start(
            ("agreement.execute", tenant, agreement_key), lambda: self._execute(agreement, gateway)
        )
        return await self._desk.landed(flight, tenant, agreement_key, wait_s)

    async def status(self, tenant: str, agreement_key: str, wait_s: float | None = None) -> Agreement:
        """See Payments.agreement_status."""
        agreement = await self._desk.get(tenant, agreement_key)
        gateway = await self._desk.gateway_of(agreement)
        flight = self._context.flights.start(
            ("agreement.status", tenant, agreement_key), lambda: self._look(agreement, gateway)
        )
        return await self._desk.landed(flight, tenant, agreement_key, wait_s)

    async def cancel(self, tenant: str, agreement_key: str) -> Agreement:
        """See Payments.cancel_agreement."""
        agreement = await self._desk.get(tenant, agreement_key)
        gateway = await self._desk.gateway_of(agreement)
        flight = self._context.flights.start(
            ("agreement.cancel", tenant, agreement_key), lambda: self._end(agreement, gateway)
        )
        known = await self._desk.landed(flight, tenant, agreement_key)
        if flight.done():
            return flight.result()
        if known.state in _OVER and known.beside is None and len(every_page(known)) > 1:
            # Said as it is, it would be heard as "both are", and that is not known before this has landed.
            raise ConflictError(
                "It is over, and what its payer may have consented to beside it is still being ended.",
                code="beside_unknown",
                next_step="Cancel it again later: what has ended stays ended.",
            ).about(tenant=tenant, gateway=known.gateway)
        return known

    async def look(self, tenant: str, agreement_key: str, *, restored: bool = False) -> Agreement:
        """See Engine.look_agreement."""
        context = self._context
        agreement = await self.status(tenant, agreement_key)
        gateway = await self._desk.gateway_of(agreement)
        if restored:
            agreement, _ = await self._pages.look(agreement, gateway, restored=True)
        capabilities = gateway.capabilities
        if agreement.state not in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
            settle_s = context.terms(capabilities).settle_s
            return await self._desk.record(
                agreement, lambda now: plan_left_behind(now, settle_s, context.store.now())
            )
        ends = last_page_over_at(agreement, capabilities.session_life)
        if context.store.now() < ends + timedelta(seconds=capabilities.polling.end_margin_s):
            return agreement
        await self._abandon_asking(agreement, context.terms(capabilities).settle_s)
        if payer_completes(agreement):
            # What was answered a moment ago need not hold for the page's last moment.
            agreement, answered = await self._pages.look(agreement, gateway)
            if not answered or not await self._desk.settles(agreement, gateway):
                return agreement
        return await self._desk.record(agreement, lambda now: plan_consent_over(now, context.store.now()))

    async def _abandon_asking(self, agreement: Agreement, settle_s: int) -> None:
        """A process died while it asked for the session, and nobody asked again: nothing holds by it."""
        own = (execute_id(agreement.agreement_key), cancel_id(agreement.agreement_key))
        for operation in agreement.operations:
            asks = operation.operation_id not in own and operation.state is OperationState.SUBMITTING
            if asks and claim_is_over(operation, settle_s, self._context.store.now()):
                await self._sending.unsent(agreement, operation.operation_id, operation.fence)

    async def applied(self, tenant: str, request: PaymentRequest, gateway: PaymentGateway) -> PaymentRequest:
        """The request as the adapter is to have it: charging the agreement that it names.

        Raises:
            InvalidRequestError: there is no such agreement, or it does not hold, or is another gateway's.
            ConfigurationError: it was given in the other mode.
        """
        if request.agreement_key is None:
            return request
        agreement = await self._desk.get(tenant, request.agreement_key)
        if agreement.gateway != request.gateway:
            raise InvalidRequestError(
                "The agreement is another gateway's.", field="agreement_key", rule="of the payment's gateway"
            )
        if agreement.mode is not gateway.mode:
            raise other_mode(agreement, gateway)
        if agreement.state is not AgreementLife.ACTIVE or agreement.agreement_id is None:
            raise InvalidRequestError(
                f"The agreement is {agreement.state.value}: it cannot be charged.",
                field="agreement_key",
                rule="an active agreement",
            )
        return gateway.charging(request, agreement.agreement_id)

    # --- create -------------------------------------------------------------------------------------------------

    async def _create(self, tenant: str, request: ConsentRequest, gateway: PaymentGateway) -> Agreement:
        context = self._context
        agreement = await self._reserved(tenant, request, gateway)
        if agreement.mode is not gateway.mode:
            raise other_mode(agreement, gateway)
        door = context.return_door(tenant, request.gateway)

        async def send(now: Agreement, call: CallContext) -> AgreementSession:
            operation = now.operation(request.operation_id)
            assert operation is not None, "claimed, so reserved before"
            asked = AgreementRequest(
                payer_reference=request.payer_reference,
                callback_url=door,
                terms=now.terms,
                request_id=request_id_of(now.agreement_key, operation.fence),
            )
            return await gateway.create_agreement(asked, context=call)

        for last in (*(False,) * (context.limits.max_submissions_per_call - 1), True):
            if agreement.state is not AgreementLife.CREATED:
                return agreement  # an earlier page of it, whose answer got lost, was consented on
            if payer_completes(agreement):
                # The payer's own click lets money move: what pages are out has to be known.
                await context.guard(tenant)
            answer = await self._sending.claim(agreement, request.operation_id, gateway)
            if isinstance(answer, NoClaim):
                return answer.agreement
            claim, deadline = answer
            failure = await self._sending.submit(claim, deadline, send, gateway)
            agreement = await self._desk.get(tenant, agreement.agreement_key)
            if failure is None:
                break
            if last or not answer_is_lost(failure):
                raise failure
        return agreement

    async def _reserved(self, tenant: str, request: ConsentRequest, gateway: PaymentGateway) -> Agreement:
        context = self._context
        for _ in range(MAX_ROUNDS):
            found = await context.store.find_agreements(tenant, operation_id=request.operation_id)
            if found:
                operation = found[0].operation(request.operation_id)
                if operation is None or not hmac.compare_digest(operation.digest, request.digest()):
                    break
                return found[0]
            plan = plan_consent(
                tenant,
                context.ids.new("agr"),
                gateway.mode,
                request,
                context.store.now(),
                gateway.terms_of(request),
            )
            answer = await context.store.commit_agreement(plan)
            if isinstance(answer, Committed):
                return plan.agreement
            if isinstance(answer, OperationTaken) and not await context.store.find_agreements(
                tenant, operation_id=request.operation_id
            ):
                break
        raise OperationConflictError("This operation id was used before with other parameters.").about(
            tenant=tenant, gateway=request.gateway, operation_id=request.operation_id
        )

    # --- execute and cancel -------------------------------------------------------------------------------------

    async def _execute(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        async def send(now: Agreement, call: CallContext) -> AgreementSnapshot:
            assert now.gateway_reference is not None, "it awaits its payer, so its session reached us"
            return await gateway.execute_agreement(now.gateway_reference, context=call)

        await self._context.guard(agreement.tenant)
        after = await self._run(agreement, execute_id(agreement.agreement_key), send, gateway)
        if payer_completes(after) and after.state is AgreementLife.AWAITING_PAYER:
            looked = after.operation(execute_id(after.agreement_key))
            no = None if looked is None or looked.reason is None else looked.reason.code
            if no not in (None, ReasonCode.PAYER_NOT_FINISHED):
                after, _ = await self._desk.ask(
                    after, gateway
                )  # it is over: this look names what to read it by
        if payer_completes(after) and after.state is AgreementLife.AWAITING_PAYER:
            after, _ = await self._pages.look(after, gateway)
        return after

    async def _end(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        """End it, and what the payer consented to beside it on other pages of it."""
        answered = True
        if payer_completes(agreement):
            agreement, answered = await self._pages.look(agreement, gateway)
            if not answered and agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
                raise ConflictError(
                    "Nobody answers whether the payer has consented on another page of it: nothing was cancelled.",
                    code="page_open",
                    next_step="Cancel it again later.",
                ).about(tenant=agreement.tenant, gateway=agreement.gateway)
        ended = await self._cancel(agreement, gateway)
        holding = []
        for other in await self._pages.beside(ended):
            after = await self._cancel(other, gateway)
            holding += [after.agreement_key] if after.state is AgreementLife.ACTIVE else []
        if holding and ended.state is not AgreementLife.ACTIVE:
            raise ConflictError(
                f"It is over, and what its payer consented to beside it still holds: {', '.join(holding)}.",
                code="beside_holds",
                next_step="Cancel it again: what has ended stays ended.",
            ).about(tenant=agreement.tenant, gateway=agreement.gateway)
        if not answered and ended.state is not AgreementLife.ACTIVE:
            raise ConflictError(
                "It is over, and nobody answers whether its payer has consented on another page of it.",
                code="beside_unknown",
                next_step="Cancel it again later: what has ended stays ended.",
            ).about(tenant=agreement.tenant, gateway=agreement.gateway)
        return ended

    async def _cancel(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        async def send(now: Agreement, call: CallContext) -> AgreementSnapshot:
            assert now.agreement_id is not None, "an active agreement has the gateway's id"
            return await gateway.cancel_agreement(now.agreement_id, context=call)

        if agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
            agreement = await self._desk.without_a_page(agreement, gateway)
        if agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
            # Nothing holds yet. The right to execute is withdrawn; an execute that is out has to be looked up first.
            given_up = await self._desk.record(
                await self._look(agreement, gateway),
                lambda now: plan_consent_over(now, self._context.store.now()),
            )
            if given_up.state is AgreementLife.AWAITING_PAYER:
                raise ConflictError(
                    "The agreement's execute is under way: nobody knows yet whether it holds.",
                    code="execute_open",
                    next_step="Look at its status, then cancel.",
                ).about(tenant=agreement.tenant, gateway=agreement.gateway)
            agreement = given_up
        if agreement.state is not AgreementLife.ACTIVE:
            return agreement
        return await self._run(agreement, cancel_id(agreement.agreement_key), send, gateway)

    async def _run(
        self, agreement: Agreement, operation_id: str, send: Sender, gateway: PaymentGateway
    ) -> Agreement:
        """Reserve, claim and submit; where somebody else has, wait for it or look it up."""
        digest = digest_of(operation_id)
        agreement = await self._desk.record(
            agreement,
            lambda now: (
                None
                if now.operation(operation_id) is not None
                else plan_reserve_agreed(now, operation_id, digest, self._context.store.now())
            ),
        )
        looked_up = False
        while True:
            answer = await self._sending.claim(agreement, operation_id, gateway)
            if not isinstance(answer, NoClaim):
                claim, deadline = answer
                failure = await self._sending.submit(claim, deadline, send, gateway)
                if failure is not None and not isinstance(failure, GatewayError):
                    raise failure
                return await self._desk.get(agreement.tenant, agreement.agreement_key)
            agreement = answer.agreement
            if answer.operation.state not in OPEN_STATES or looked_up or answer.busy_for_s is not None:
                return agreement
            agreement = await self._look(agreement, gateway)
            looked_up = True

    # --- look-up ------------------------------------------------------------------------------------------------

    async def _look_at_pages(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        """Ask about a subscription, by its own page or id and by every other page that may be consented on."""
        if agreement.state is not AgreementLife.ENDED and agreement.gateway_reference is not None:
            agreement, answered = await self._desk.ask(agreement, gateway)
            if not answered:
                return agreement
        return (await self._pages.look(agreement, gateway))[0]

    async def _look(self, agreement: Agreement, gateway: PaymentGateway) -> Agreement:
        """Ask the gateway, by its id once it has one, else by the session in which the payer was to consent."""
        context, terms = self._context, self._context.terms(gateway.capabilities)
        key = agreement.agreement_key
        if payer_completes(agreement):
            return await self._look_at_pages(agreement, gateway)
        executed = agreement.operation(execute_id(key))
        asked_at = context.store.now()
        call = CallContext(operation_id=executed.operation_id if executed else None)
        try:
            if agreement.agreement_id is not None and agreement.state is AgreementLife.ACTIVE:
                snapshot = await gateway.get_agreement_status(agreement.agreement_id, context=call)
            elif executed is not None and executed.state in OPEN_STATES and agreement.gateway_reference:
                busy = plan_claim_agreed(agreement, executed.operation_id, terms, asked_at)[1]
                if isinstance(busy, NoClaim) and busy.busy_for_s is not None:
                    return agreement  # on the wire: asking beside it proves nothing
                snapshot = await gateway.look_up_agreement(agreement.gateway_reference, context=call)
            else:
                return agreement
        except GatewayError as error:
            context.unanswered(error, gateway=agreement.gateway)
            return agreement
        return await self._desk.record_seen(agreement, snapshot, gateway, asked_at=asked_at)

"""What is done for a payment when nobody calls: ask about what is open, carry on, end what is over.

The reconciler decides when; here is only what. Nothing here sends anything twice: whatever may move money goes through
the same claim as a caller's own call.
"""

from datetime import datetime, timedelta

from vextrus_payments.capabilities import Capabilities, Completion, Feature
from vextrus_payments.engine.context import Context
from vextrus_payments.engine.forgotten import doubt_reserved, may_be_made_already
from vextrus_payments.engine.looking import SETTLES_NOTHING, Looking, open_operations, watched
from vextrus_payments.engine.refund_looking import RefundLooking
from vextrus_payments.engine.refunding import Refunding
from vextrus_payments.engine.settling import Settling
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.recording import plan_initialize_abandoned, plan_session_over
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    SubmissionState,
)
from vextrus_payments.states import (
    OPEN_STATES,
    answered_by_operator,
    claim_is_over,
    is_accepted_and_denied,
    payment_receipts,
)

#: States in which a look-up of the payment can still teach something.
_LIVING = frozenset({PaymentState.CREATED, PaymentState.AWAITING_PAYER, PaymentState.AUTHORIZED})
_HOLDS = (OperationKind.CAPTURE, OperationKind.VOID)


class Tending:
    """The reconciler's verbs, each for one payment."""

    def __init__(
        self,
        context: Context,
        looking: Looking,
        settling: Settling,
        refunding: Refunding,
        refunds: RefundLooking,
    ) -> None:
        self._context = context
        self._began = context.clock.now(), context.clock.monotonic()
        self._looking = looking
        self._settling = settling
        self._refunding = refunding
        self._refunds = refunds

    # --- look ---------------------------------------------------------------------------------------------------

    async def look(self, tenant: str, payment_id: str, *, closed: bool = False) -> PaymentFacts:
        """Ask about everything open of a payment; see Engine.look."""
        flights = self._context.flights
        key = ("look, closed too" if closed else "look", tenant, payment_id)
        flight = flights.start(key, lambda: self._look(tenant, payment_id, closed))
        await flights.join(flight, None)
        return flight.result()

    async def _look(self, tenant: str, payment_id: str, closed: bool) -> PaymentFacts:
        facts = await self._context.payment(tenant, payment_id)
        gateway = await self._context.gateway_of(facts)
        if (closed or _worth_asking(facts, gateway.capabilities)) and not self._looking.in_flight(
            facts, gateway
        ):
            facts = await self._looking.look_up(tenant, payment_id, gateway, closed=closed)
        facts = await doubt_reserved(self._context, facts, gateway.capabilities, restored=closed)
        for operation in facts.operations:
            if operation.kind is OperationKind.REFUND and operation.state in OPEN_STATES:
                facts = await self._refunds.look_up(tenant, operation.operation_id, gateway)
            elif is_accepted_and_denied(facts, operation):
                facts = await self._refunds.look_up(tenant, operation.operation_id, gateway, on_word=True)
        return facts

    # --- carry on -----------------------------------------------------------------------------------------------

    async def carry_on(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Submit what was reserved and left behind; see Engine.carry_on."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        waiting = [o for o in facts.operations if o.state is OperationState.RESERVED]
        if not waiting or Flag.QUARANTINED in facts.payment.flags:
            return facts
        gateway = await context.gateway_of(facts)
        for operation in waiting:
            if operation.kind is OperationKind.REFUND:
                await self._refunding.drive(tenant, operation.operation_id, gateway)
            elif operation.kind in _HOLDS:
                await self._settling.carry_on_hold(facts, operation, gateway)
            elif operation.kind is OperationKind.EXECUTE and self._may_execute(facts, operation):
                await self._settling.execute(tenant, payment_id)
        return await context.payment(tenant, payment_id)

    def _may_execute(self, facts: PaymentFacts, operation: Operation) -> bool:
        """Only what somebody asked for and the gateway never refused, while its session lives."""
        expires_at = facts.submission.expires_at
        return (
            operation.reason is None
            and operation.submission_no == facts.payment.submission_no
            and facts.payment.state is PaymentState.AWAITING_PAYER
            and expires_at is not None
            and self._context.store.now() < expires_at
        )

    # --- end ----------------------------------------------------------------------------------------------------

    async def end_session(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Close or lapse a payment whose session is over; see Engine.end_session."""
        flights = self._context.flights
        flight = flights.start(("end", tenant, payment_id), lambda: self._end_session(tenant, payment_id))
        await flights.join(flight, None)
        return flight.result()

    async def _end_session(self, tenant: str, payment_id: str) -> PaymentFacts:
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if facts.payment.state not in (PaymentState.CREATED, PaymentState.AWAITING_PAYER):
            return facts
        # Restored records may call a session open that was paid since: what would close it early is asked first.
        await context.guard(tenant)
        gateway = await context.gateway_of(facts)
        capabilities = gateway.capabilities
        over_at = session_over_at(facts, capabilities)
        if not self._surely_past(over_at):
            return facts
        facts = await self._abandon_initialize(facts, capabilities)
        lapse = capabilities.completion is Completion.PAYER_COMPLETES
        if lapse and not await self._last_look(facts, gateway):
            return await context.payment(tenant, payment_id)
        return await context.recorder.record(
            tenant,
            payment_id,
            lambda now_facts, _: plan_session_over(
                now_facts, session_over_at(now_facts, capabilities), context.store.now(), lapse=lapse
            ),
        )

    def _surely_past(self, moment: datetime) -> bool:
        """By the store's clock, by ours, and by ours as it would be had nobody set it since we began.

        A clock set forward, here or there, must not end a session that its payer can still use. What is too careful (a
        machine that slept) only ends it later.
        """
        began, then = self._began
        steady = began + timedelta(seconds=self._context.clock.monotonic() - then)
        return min(self._context.store.now(), self._context.clock.now(), steady) >= moment

    async def _abandon_initialize(self, facts: PaymentFacts, capabilities: Capabilities) -> PaymentFacts:
        context = self._context
        settle_s, now = context.terms(capabilities).settle_s, context.store.now()
        stuck = any(
            o.kind is OperationKind.INITIALIZE
            and o.state is OperationState.SUBMITTING
            and claim_is_over(o, settle_s, now)
            for o in facts.operations
        )
        if not stuck:
            return facts
        payment = facts.payment
        return await context.recorder.record(
            payment.tenant,
            payment.payment_id,
            lambda now_facts, _: plan_initialize_abandoned(now_facts, context.store.now()),
        )

    async def _last_look(self, facts: PaymentFacts, gateway: PaymentGateway) -> bool:
        """Ask about every session that the payer may have completed.

        False: not all were answered, or an answer settles nothing: the gateway is still at it, or does not know itself.
        """
        for submission in watched(facts):
            seen = await self._looking.ask(facts, submission, gateway)
            if seen is None:
                return False
            await self._looking.record_seen(facts.payment.tenant, facts.payment.payment_id, seen)
            if seen.snapshot.state in SETTLES_NOTHING:
                return False
        return True

    # --- money that came late or went elsewhere -----------------------------------------------------------------

    async def late_policy(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Do with late money what the shop has chosen; see Engine.late_policy."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if context.late_payment == "keep" or Flag.QUARANTINED in facts.payment.flags:
            return facts
        late = [r for r in payment_receipts(facts) if Flag.LATE in r.flags and not r.mismatched]
        if not late:
            return facts
        gateway = await context.gateway_of(facts)
        if not gateway.capabilities.can(Feature.REFUND):
            return facts
        if await may_be_made_already(context, gateway.capabilities):
            return facts
        for receipt in late:
            await self._refunding.late(facts, receipt, gateway)
        return await context.payment(tenant, payment_id)

    async def adopt_refunds(self, tenant: str, payment_id: str, *, restored: bool = False) -> PaymentFacts:
        """Book what was refunded elsewhere; see Engine.adopt_refunds."""
        context = self._context
        facts = await context.payment(tenant, payment_id)
        if not payment_receipts(facts):
            return facts
        gateway = await context.gateway_of(facts)
        if not gateway.capabilities.can(Feature.REFUND_STATUS):
            return facts
        if not restored and context.epochs is not None:
            # News may come before anybody has reconciled: booked as nobody's, it would be sent once more afterwards.
            restored = await context.epochs.is_restored(tenant)
        flight = context.flights.start(
            ("adopt, restored" if restored else "adopt", tenant, payment_id),
            lambda: self._refunds.adopt(facts, gateway, restored=restored),
        )
        await context.flights.join(flight, None)
        return flight.result()


def session_over_at(facts: PaymentFacts, capabilities: Capabilities) -> datetime:
    """From when on a payment's session, and every earlier one that reached us, is over for certain."""
    ends = [s.expires_at for s in facts.submissions if s.expires_at is not None]
    if facts.submission.expires_at is None:
        ends.append(facts.submission.created_at + capabilities.session_life)
    return max(ends) + timedelta(seconds=capabilities.polling.end_margin_s)


def _worth_asking(facts: PaymentFacts, capabilities: Capabilities) -> bool:
    if facts.payment.state in _LIVING or open_operations(facts):
        return True
    if capabilities.completion is Completion.PAYER_COMPLETES and any(
        s.state is SubmissionState.SUPERSEDED and s.gateway_reference for s in facts.submissions
    ):
        return True  # an earlier page that its payer may still complete
    return any(answered_by_operator(facts, o.operation_id) is not None for o in facts.operations)

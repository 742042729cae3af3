"""The flow: initialize, execute, capture, void, status, refund, return, and what is done when nobody calls.

Theory of operation. Each verb reserves its operation durably, claims the right to submit it, drives the adapter
under the claim's deadline, and records what was learned. From claim to record the work runs in a task that the
engine owns (flights.py); callers only wait for it. Adapters raise; here their errors become evidence (recording.py),
and evidence becomes outcomes (states.py). The store decides every race.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.consent_pages import agreement_key_of
from vextrus_payments.engine.agreeing import Agreeing
from vextrus_payments.engine.applied import Applied, Verdict
from vextrus_payments.engine.applying import Applying
from vextrus_payments.engine.collecting import Collecting
from vextrus_payments.engine.context import (
    Context,
    EngineLimits,
    GatewaySource,
    LatePayment,
    OnFailure,
    ReturnDoor,
    hearing,
)
from vextrus_payments.engine.epochs import EpochGuard, EpochState
from vextrus_payments.engine.flights import Flights
from vextrus_payments.engine.looking import Looking, is_done
from vextrus_payments.engine.opening import Opening, check_request
from vextrus_payments.engine.payout_answers import PayoutAnswers
from vextrus_payments.engine.payouts import Payouts
from vextrus_payments.engine.recorder import Recorder
from vextrus_payments.engine.refund_looking import RefundLooking
from vextrus_payments.engine.refunding import Refunding
from vextrus_payments.engine.resolving import Resolving
from vextrus_payments.engine.returning import Returning
from vextrus_payments.engine.settling import Settling
from vextrus_payments.engine.tending import Tending
from vextrus_payments.engine.told import tells_of_money
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import GatewayEvent, HintVerdict, History, ReturnHint
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.mode import Mode
from vextrus_payments.outcomes import Outcome, PayoutOutcome, RefundOutcome, TransferOutcome
from vextrus_payments.payment import ConsentRequest, PaymentRequest, PaymentSession, RefundRequest
from vextrus_payments.payouts import GatewayBalance, PayoutRequest, TransferRequest
from vextrus_payments.records import Agreement, PaymentFacts, Payout
from vextrus_payments.resolving import ResolveRequest

__all__ = [
    "Applied",
    "Context",
    "Engine",
    "EngineLimits",
    "EpochGuard",
    "EpochState",
    "Flights",
    "GatewaySource",
    "LatePayment",
    "OnFailure",
    "Recorder",
    "ReturnDoor",
    "ReturnResult",
    "Verdict",
    "check_request",
    "hearing",
    "is_done",
    "tells_of_money",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnResult:
    """What came of a browser's return: of a payment, or of an agreement."""

    payment_id: str | None
    """None where the browser came back from giving an agreement."""
    outcome: Outcome | None
    """Of the payment; None for an agreement, whose `state` tells."""
    redirect_to: str | None
    """The shop's own return address of this payment or agreement: the only place to send the browser to."""
    agreement: Agreement | None = None

    @property
    def agreement_key(self) -> str | None:
        """The agreement's key; None for a payment."""
        return None if self.agreement is None else self.agreement.agreement_key


class Engine:
    """The verbs, each for one tenant's payment. `Payments` is its public face."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._agreeing = Agreeing(context, lambda agreement: self._collecting.read(agreement))
        self._looking = Looking(context)
        self._opening = Opening(context, self._agreeing, self._looking)
        self._settling = Settling(context, self._looking)
        self._returning = Returning(context, self._looking, self._settling, self._agreeing)
        refunds = RefundLooking(context)
        self._refunding = Refunding(context, refunds)
        self._payouts = Payouts(context)
        self._payout_answers = PayoutAnswers(context)
        self._resolving = Resolving(context)
        self._tending = Tending(context, self._looking, self._settling, self._refunding, refunds)
        self._collecting = Collecting(context, self._looking, self._tending)
        self._applying = Applying(context, self._looking, self._tending, self._collecting, self._payouts)

    async def initialize(self, tenant: str, request: PaymentRequest) -> PaymentSession:
        """See Payments.initialize."""
        return await self._opening.initialize(tenant, request)

    async def execute(self, tenant: str, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See Payments.execute."""
        return await self._settling.execute(tenant, payment_id, wait_s)

    async def status(self, tenant: str, payment_id: str) -> Outcome:
        """See Payments.status."""
        return await self._looking.status(tenant, payment_id)

    async def capture(self, tenant: str, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See Payments.capture."""
        return await self._settling.capture(tenant, payment_id, wait_s)

    async def void(self, tenant: str, payment_id: str, *, wait_s: float | None = None) -> Outcome:
        """See Payments.void."""
        return await self._settling.void(tenant, payment_id, wait_s)

    async def refund(self, tenant: str, request: RefundRequest) -> RefundOutcome:
        """See Payments.refund."""
        return await self._refunding.refund(tenant, request)

    async def refund_status(self, tenant: str, operation_id: str) -> RefundOutcome:
        """See Payments.refund_status."""
        return await self._refunding.refund_status(tenant, operation_id)

    async def handle_return(
        self, tenant: str, gateway_name: str, params: Mapping[str, str], *, wait_s: float | None = None
    ) -> ReturnResult:
        """See Payments.handle_return."""
        gateway = await self.context.gateway(tenant, gateway_name)
        hint = gateway.parse_return(params)
        found = await self.context.store.find(
            tenant, gateway=gateway_name, mode=gateway.mode, gateway_reference=hint.gateway_reference
        )
        if not found:
            return await self._agreement_returned(tenant, gateway, hint, wait_s)
        facts = found[0]
        payment = facts.payment
        is_current = facts.submission.gateway_reference == hint.gateway_reference
        if hint.verdict is HintVerdict.SUCCESS and is_current:
            outcome = await self._returning.execute(facts, wait_s)
        else:
            # A cancel or failure is a hint of a browser: it never executes, and it closes nothing by itself.
            outcome = await self._returning.look(facts, wait_s)
        return ReturnResult(payment_id=payment.payment_id, outcome=outcome, redirect_to=payment.return_url)

    async def _agreement_returned(
        self, tenant: str, gateway: PaymentGateway, hint: ReturnHint, wait_s: float | None
    ) -> ReturnResult:
        found: list[Agreement] = []
        for reference in filter(None, (hint.agreement_reference, hint.gateway_reference)):
            known = await self.context.store.find_agreements(tenant, gateway_reference=reference)
            found += [one for one in known if one.gateway == gateway.name and one.mode is gateway.mode]
        elsewhere = () if found else await self._pages_returned(tenant, gateway, hint)
        if not found and not elsewhere:
            raise InvalidRequestError(
                "The return names a payment that is not ours.",
                field="params",
                rule="a gateway reference that initialize gave",
            ).about(gateway=gateway.name, tenant=tenant)
        if found and hint.verdict is HintVerdict.SUCCESS:
            agreement = await self._returning.execute_agreement(found[0], wait_s)
        else:
            agreement = await self._returning.look_agreement([*found, *elsewhere][0], wait_s)
        return ReturnResult(
            payment_id=None, outcome=None, redirect_to=agreement.return_url, agreement=agreement
        )

    async def _pages_returned(
        self, tenant: str, gateway: PaymentGateway, hint: ReturnHint
    ) -> tuple[Agreement, ...]:
        """Whose page it was on which the payer consented, where its address never reached us."""
        key = agreement_key_of(hint.gateway_reference)
        known = None if key is None else await self.context.store.get_agreement(tenant, key)
        if known is None or known.terms is None or known.gateway != gateway.name:
            return ()
        return (known,) if known.mode is gateway.mode else ()

    async def apply_event(
        self, tenant: str, gateway: str, mode: Mode, event: GatewayEvent, *, patient: bool = True
    ) -> Applied:
        """Take a verified event for what it is: news that says where to look. Applied twice, it changes nothing more.

        The inbox's worker calls it. It never executes, and what is paid stays paid; see applying.py for what an event
        decides where the look-up cannot.

        Args:
            mode: of the account that it was sent to: only that mode's payments are looked through.
            patient: whether a gateway that does not show it yet is given time. Without, its denial counts, and the
                payment is quarantined.

        Raises:
            ConfigurationError: the payment's gateway is not configured, or for the other mode.
            StorageError: see its message. Nothing is lost: it is to be applied again.
        """
        return await self._applying.apply(tenant, gateway, mode, event, patient=patient)

    async def create_agreement(self, tenant: str, request: ConsentRequest) -> Agreement:
        """See Payments.create_agreement."""
        return await self._agreeing.create(tenant, request)

    async def execute_agreement(
        self, tenant: str, agreement_key: str, *, wait_s: float | None = None
    ) -> Agreement:
        """See Payments.execute_agreement."""
        return await self._agreeing.execute(tenant, agreement_key, wait_s)

    async def agreement_status(self, tenant: str, agreement_key: str) -> Agreement:
        """See Payments.agreement_status. Of a subscription, what was collected under it is read, too."""
        return await self._collecting.sweep(await self._agreeing.status(tenant, agreement_key))

    async def cancel_agreement(self, tenant: str, agreement_key: str) -> Agreement:
        """See Payments.cancel_agreement."""
        return await self._agreeing.cancel(tenant, agreement_key)

    async def resolve(self, tenant: str, request: ResolveRequest) -> PaymentFacts:
        """See Payments.resolve."""
        return await self._resolving.resolve(tenant, request)

    async def withdraw(self, tenant: str, operation_id: str) -> Outcome | RefundOutcome:
        """See Payments.withdraw."""
        return await self._resolving.withdraw(tenant, operation_id)

    async def payout(
        self, tenant: str, request: PayoutRequest, *, wait_s: float | None = None
    ) -> PayoutOutcome:
        """See Payments.payout."""
        return await self._payouts.payout(tenant, request, wait_s)

    async def transfer(
        self, tenant: str, request: TransferRequest, *, wait_s: float | None = None
    ) -> TransferOutcome:
        """See Payments.transfer."""
        return await self._payouts.transfer(tenant, request, wait_s)

    async def payout_status(self, tenant: str, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See Payments.payout_status."""
        return await self._payouts.status(tenant, operation_id)

    async def balance(self, tenant: str, gateway: str) -> GatewayBalance:
        """See Payments.balance."""
        return await self._payouts.balance(tenant, gateway)

    async def resolve_payout(self, tenant: str, request: ResolveRequest) -> Payout:
        """See Payments.resolve_payout."""
        return await self._payout_answers.resolve(tenant, request)

    async def withdraw_payout(self, tenant: str, operation_id: str) -> PayoutOutcome | TransferOutcome:
        """See Payments.withdraw_payout."""
        return await self._payout_answers.withdraw(tenant, operation_id)

    async def clear_payouts(self) -> None:
        """See Payments.clear_payouts."""
        await self._payout_answers.clear_restored()

    async def history(self, tenant: str, payment_id: str) -> History:
        """See Payments.history."""
        store = self.context.store
        facts = await self.context.payment(tenant, payment_id)
        return History(
            facts, await store.events(tenant, payment_id), await store.attempts(tenant, payment_id)
        )

    # --- what the reconciler calls ------------------------------------------------------------------------------
    # All raise InvalidRequestError (no such payment), ConfigurationError (its gateway is not configured, or for the
    # other mode) and StorageError; gateway errors never, they leave everything as it is known.

    async def look(self, tenant: str, payment_id: str, *, closed: bool = False) -> PaymentFacts:
        """Ask the gateway about everything open of a payment, and record what it shows. Sends nothing that moves money.

        Open are: a living session or hold, executes, captures, voids and refunds that are unknown, pending, or
        submitting with their claim over; also what so far only an operator has answered. `closed`: sessions that are
        over in our records are asked about, too (after a restored backup). Who wants to know of questions that got no
        answer calls it under `hearing(...)`.
        """
        return await self._tending.look(tenant, payment_id, closed=closed)

    async def carry_on(self, tenant: str, payment_id: str) -> PaymentFacts:
        """Submit what was reserved and left behind: refunds, captures, voids; an execute only if the gateway never
        refused it and its session still lives. Through the same claim as any caller; nothing while quarantined.

        Raises:
            ConflictError: our records forbid it by now (AlreadyPaidError for an execute or a capture).
        """
        return await self._tending.carry_on(tenant, payment_id)

    async def end_session(self, tenant: str, payment_id: str) -> PaymentFacts:
        """End a payment whose session is over by both clocks, the store's and ours.

        Refused over a restored store (ReconciliationRequiredError): it may have been paid since the backup.
        Where the merchant executes, the right to execute is withdrawn by compare-and-set: closed (payment_expired).
        Where the payer completes, it lapses after a last look-up that was answered. Changes nothing before
        `expires_at` + `polling.end_margin_s`, or while anything is out.
        """
        return await self._tending.end_session(tenant, payment_id)

    async def late_policy(self, tenant: str, payment_id: str) -> PaymentFacts:
        """With late_payment="refund": give back every late receipt, once each, by `late/{payment_id}/{transaction_id}`.

        Called again it goes on where it was left. Never for what is quarantined or came at another amount.
        """
        return await self._tending.late_policy(tenant, payment_id)

    async def adopt_refunds(self, tenant: str, payment_id: str, *, restored: bool = False) -> PaymentFacts:
        """Read the gateway's lists of the payment's refunds, and book those that are nobody's (refund.adopted).

        What may be an operation's of ours waits for that operation's own look-up. `restored`: the records come from a
        backup, and what they have as reserved may have been sent since: then it is what is listed at its amount.
        """
        return await self._tending.adopt_refunds(tenant, payment_id, restored=restored)

    async def look_agreement(self, tenant: str, agreement_key: str, *, restored: bool = False) -> Agreement:
        """Ask about everything of an agreement that is open, and close one that was never given in time; of a
        subscription, also what was collected under it. `restored`: pages may have been asked for since the backup."""
        agreement = await self._agreeing.look(tenant, agreement_key, restored=restored)
        return await self._collecting.sweep(agreement)

    async def look_payout(self, tenant: str, payout_id: str, *, restored: bool = False) -> Payout:
        """Judge what a dead process left of a payout, and ask about it where the gateway can be asked.

        It is never let out here. `restored`: the records come from a backup, and what they call not sent may have been
        sent since: then it is unknown.
        """
        if restored:
            return await self._payouts.restored(tenant, payout_id)
        return await self._payouts.look(tenant, payout_id)

    async def doubt_payout(self, tenant: str, payout_id: str) -> Payout:
        """Over a store that was restored from a backup: what it calls not sent is unknown from now on. Asks nobody."""
        return await self._payouts.doubt(tenant, payout_id)

    async def restored_wait_s(self, capabilities: Capabilities) -> float:
        """How long to wait before a restored store's questions prove anything at this gateway, in seconds: until what
        was sent just before the loss can no longer take effect there. 0 where nothing has been restored.

        Raises:
            StorageError: nobody can tell.
        """
        terms = self.context.terms(capabilities)
        if self.context.epochs is None:
            return 0.0
        return await self.context.epochs.unsettled_s(terms.send_window_s + terms.settle_s)

    async def accept_restored(self, leave_out: Collection[str] = ()) -> None:
        """The store has been reconciled after a restore: what moves money may leave again. Else it does nothing.

        `leave_out`: what of these tenants moves money stays refused, until a run has taken them in as well.

        Raises:
            StorageError: it could not be written; nothing is accepted.
        """
        if self.context.epochs is not None:
            await self.context.epochs.accept(leave_out)

    async def drain(self) -> None:
        """Wait until everything that was claimed has been recorded."""
        await self.context.flights.drain()

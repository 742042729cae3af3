"""bKash's recurring payments as a PaymentGateway: checks what goes in, runs the protocols of this folder.

A subscription is an agreement that charges itself (docs/adr/0009): `create_agreement` asks for the payer's consent, and
what bKash then collects under it becomes payments of ours, which are looked up and refunded like any other.
"""

import re
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, ClassVar, Final, Unpack

from pydantic import JsonValue

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import (
    ConfigurationError,
    InvalidRequestError,
    PaymentsError,
    UnreadableAnswerError,
)
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored, ReturnHint
from vextrus_payments.gateways.base import Adapter, Authorization, GatewayParts, PaymentGateway
from vextrus_payments.gateways.bkash.recurring import models, protocol, refunds
from vextrus_payments.gateways.bkash.recurring.config import BkashRecurringConfig
from vextrus_payments.gateways.bkash.recurring.errors import Operation, meaning_of
from vextrus_payments.gateways.bkash.recurring.manners import CAPABILITIES, NAME, REGISTERING
from vextrus_payments.gateways.bkash.recurring.params import BkashSubscription
from vextrus_payments.gateways.bkash.recurring.protocol import Subscription, SubscriptionPage, Wanted
from vextrus_payments.gateways.bkash.recurring.returns import parse_return, return_url
from vextrus_payments.gateways.bkash.recurring.steps import Api, account_of, is_id, is_number
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import (
    AgreementRequest,
    ConsentRequest,
    Evidence,
    ExecuteCall,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
    check_url,
)
from vextrus_payments.snapshots import AgreementSession, AgreementSnapshot, PaymentSnapshot, RefundSnapshot
from vextrus_payments.wire import CallContext, OnCheckpoint

if TYPE_CHECKING:
    from vextrus_payments.verifiers.recurring import RecurringVerifier

_PAGE_MAX: Final = 1_000
_LISTED_AT_ONCE: Final = 100
_NOT_AN_ID: Final = re.compile(r"[^A-Za-z0-9-]", re.ASCII)


class BkashRecurringGateway(PaymentGateway):
    """bKash's Recurring Payment Platform for one merchant.

    Money moves when bKash collects: there is no payment to initialize, and `execute_payment` only looks one up.

    Args:
        config: the merchant's settings.
        parts: as PaymentGateway takes them; of `tokens` no use is made, for the platform has an API key.
    """

    name: ClassVar[str] = NAME

    def __init__(self, config: BkashRecurringConfig, **parts: Unpack[GatewayParts]) -> None:
        if not isinstance(config, BkashRecurringConfig):
            raise ConfigurationError(
                f"{NAME} needs a BkashRecurringConfig, not a {type(config).__name__}.", gateway=NAME
            )
        super().__init__(config, **parts)
        self._settings = config
        self._api = Api(
            root=config.api_url,
            mode=config.mode,
            service_id=config.service_id,
            merchant_short_code=config.merchant_short_code,
        )
        self._verifier: RecurringVerifier | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the platform can do."""
        return CAPABILITIES

    # --- subscriptions ----------------------------------------------------------------------------------------------

    def terms_of(self, request: ConsentRequest) -> Mapping[str, JsonValue] | None:
        """The terms that the payer is asked to agree to.

        Raises:
            InvalidRequestError: `params` is no BkashSubscription, or begins on a day on which nothing begins any more.
            ConfigurationError: no service id is configured.
        """
        terms = request.params
        if not isinstance(terms, BkashSubscription):
            raise InvalidRequestError(
                f"params is a {type(terms).__name__}; a subscription needs BkashSubscription.",
                field="params",
                rule="BkashSubscription",
            )
        self._check_start(terms.start_date)
        self._service_id()
        return terms.to_terms()

    def agreed_amounts(self, terms: Mapping[str, JsonValue]) -> tuple[Money, ...]:
        """What one payment under these terms may come to, the regular amount first."""
        return BkashSubscription.from_terms(terms).amounts()

    async def create_agreement(
        self, request: AgreementRequest, *, context: CallContext | None = None
    ) -> AgreementSession:
        """Ask for the page on which the payer consents to a subscription. It lives for some ten minutes.

        `request.terms` are what `terms_of` gave; `request.request_id` is what bKash knows the subscription by, and a
        fresh one is made where it is not given: bKash takes none twice.
        """
        terms = BkashSubscription.from_terms(request.terms or {})
        self._service_id()
        request_id = request.request_id or _NOT_AN_ID.sub("-", self._ids.new("sub"))
        if not models.REQUEST_ID.fullmatch(request_id):
            rule = "1-64 letters, digits and -"
            raise InvalidRequestError(f"request_id does not fit: {rule}.", field="request_id", rule=rule)
        wanted = Wanted(
            request_id=request_id,
            terms=terms,
            redirect_url=return_url(self._callback(request.callback_url), request_id),
            reference=request_id,
            payer=account_of(request.payer_reference),
            asked_at=self._clock.now(),
        )
        return await self.drive(protocol.create(self._api, wanted), context=context)

    async def execute_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Look up whether the payer has consented; nothing is sent that makes anything hold."""
        self._check_request_id(gateway_reference)
        return await self.drive(protocol.consented(self._api, gateway_reference), context=context)

    async def look_up_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Query a subscription by our request id."""
        self._check_request_id(gateway_reference)
        return await self.drive(protocol.query_by_request(self._api, gateway_reference), context=context)

    async def get_agreement_status(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Query a subscription by bKash's id."""
        return (await self.get_subscription(agreement_id, context=context)).agreement

    async def cancel_agreement(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """End a subscription: nothing more is collected. One that has ended already counts as ended."""
        _check_number("agreement_id", agreement_id)
        return await self.drive(protocol.cancel(self._api, agreement_id), context=context)

    async def get_subscription(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> Subscription:
        """A subscription with its amount, its days and its next collection."""
        _check_number("agreement_id", agreement_id)
        return await self.drive(protocol.query(self._api, agreement_id), context=context)

    async def list_subscriptions(
        self, page: int = 0, size: int = 50, *, context: CallContext | None = None
    ) -> SubscriptionPage:
        """One page of all subscriptions of the merchant, counted from 0."""
        if page < 0 or not 1 <= size <= _PAGE_MAX:
            rule = f"a page from 0 on, of 1 to {_PAGE_MAX}"
            raise InvalidRequestError(f"page does not fit: {rule}.", field="page", rule=rule)
        return await self.drive(protocol.listed(self._api, page, size), context=context)

    async def list_agreements(
        self, page: int = 0, *, context: CallContext | None = None
    ) -> tuple[AgreementSnapshot, ...]:
        """One page of all subscriptions of the merchant; see list_subscriptions."""
        listed = await self.list_subscriptions(page, _LISTED_AT_ONCE, context=context)
        return tuple(row.agreement for row in listed.rows)

    async def get_schedule(
        self,
        frequency: models.Frequency,
        start_date: date,
        expiry_date: date,
        *,
        context: CallContext | None = None,
    ) -> tuple[date, ...]:
        """The days on which bKash would collect: to show to the payer before he consents."""
        return await self.drive(
            protocol.schedule(self._api, models.Frequency(frequency), start_date, expiry_date),
            context=context,
        )

    async def list_collections(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> tuple[PaymentSnapshot, ...]:
        """Everything that was collected under a subscription, or failed, or is to come."""
        _check_number("agreement_id", agreement_id)
        return await self.drive(protocol.payments(self._api, agreement_id), context=context)

    # --- payments ---------------------------------------------------------------------------------------------------

    async def initialize_payment(
        self,
        request: PaymentRequest,
        *,
        gateway_order_id: str | None = None,
        callback_url: str | None = None,
        payment_id: str | None = None,
        submission_no: int = 1,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PaymentSession:
        """bKash collects by itself: nobody can ask for one payment.

        Raises:
            UnsupportedOperationError: always. Open a subscription by `create_agreement`.
        """
        raise self.unsupported(
            "a single payment; create_agreement opens a subscription, and bKash collects by itself"
        )

    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Look a collected payment up; there is nothing to execute."""
        return await self.get_payment_status(
            StatusCall(
                gateway_reference=call.gateway_reference,
                gateway_order_id=call.gateway_order_id,
                amount=call.amount,
                intent=call.intent,
            ),
            context=context,
        )

    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """Look a collected payment up by bKash's payment id."""
        _check_number("gateway_reference", call.gateway_reference)
        return await self.drive(protocol.payment(self._api, call), context=context)

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        """Refund once: baseline, checkpoint, refund, and on no definite answer a look; see refunds.py.

        `on_checkpoint` is required unless `resume` is given, and then the payment is only looked up.
        """
        self._check_refund(call)
        return await self.drive(
            refunds.refund_payment(self._api, call, self._clock.now(), resume),
            context=context,
            on_checkpoint=on_checkpoint,
            checkpoints=resume is None,
        )

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        """The refund that was not there at the baseline; None where none is shown that can be ours.

        Raises:
            InvalidRequestError: there is no baseline to compare with; nothing was sent.
        """
        self._check_refund(call)
        if resume is None:
            rule = "the evidence that this refund's own checkpoint was given"
            raise InvalidRequestError(f"resume does not fit: {rule}.", field="resume", rule=rule)
        return await self.drive(
            refunds.look_up_refund(self._api, call, resume, self._clock.now()), context=context
        )

    async def get_refund_status(
        self, call: RefundCall, *, context: CallContext | None = None
    ) -> tuple[RefundSnapshot, ...]:
        """The refund that bKash shows of the payment: its last one, if it was made."""
        self._check_refund(call)
        return await self.drive(refunds.refunds_of(self._api, call), context=context)

    # --- what comes from outside ------------------------------------------------------------------------------------

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        """Read the browser's return; see returns.py. A hint, never a proof.

        Raises:
            InvalidRequestError: it names no subscription, or two different ones.
        """
        return parse_return(params)

    async def handle_webhook(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """Prove that bKash sent it, by the API key, and read it; see news.py."""
        from vextrus_payments.gateways.bkash.recurring.news import recurring_event

        try:
            read = recurring_event(self._proving().check(delivery))
        except PaymentsError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise
        return Events((read,)) if isinstance(read, GatewayEvent) else read

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        """Check who sent a delivery.

        Raises:
            WebhookError: it does not prove bKash, or is too old.
        """
        try:
            self._proving().check(delivery)
        except PaymentsError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise

    # --- hooks ------------------------------------------------------------------------------------------------------

    async def authorize(self, context: CallContext) -> Authorization:
        """The API key, and the time at which it is used: bKash refuses what is repeated later."""
        headers = (
            (models.HEADER_VERSION, models.API_VERSION),
            (models.HEADER_CHANNEL, self._settings.channel.value),
            (models.HEADER_TIME, models.stamp(self._clock.now())),
            (models.HEADER_API_KEY, self._settings.calling_key()),
        )
        return Authorization(headers=headers, version="api-key")

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        """What a code of the platform means to a call; a code nobody documented leaves the outcome unknown."""
        known = meaning_of(operation, code) if operation in set(Operation) else None
        return known or ErrorMeaning(
            kind=ErrorClass.UNK,
            error=UnreadableAnswerError,
            advice_en="Nobody documented this code for this call: look it up, never repeat a refund.",
        )

    # --- within -------------------------------------------------------------------------------------------------------

    def _proving(self) -> "RecurringVerifier":
        if self._verifier is None:
            # Loaded here: who takes no webhooks does not pay for verifiers.
            from vextrus_payments.verifiers.recurring import RecurringVerifier

            self._verifier = RecurringVerifier(self._settings.verifying_keys(), clock=self._clock)
        return self._verifier

    def _service_id(self) -> int:
        if self._settings.service_id is None:
            raise ConfigurationError(
                "No subscription can be opened without bKash's service id; nothing was sent.",
                code="service_id_missing",
                next_step="Set BKASH_RECURRING_SERVICE_ID to the number that bKash gave you.",
                gateway=NAME,
                tenant=self._tenant,
            )
        return self._settings.service_id

    def _callback(self, given: str | None) -> str:
        url = given or self._settings.callback_url
        if url is None:
            raise ConfigurationError(
                "bKash has nowhere to send the payer back to; nothing was sent.",
                code="no_callback_url",
                next_step="Set BKASH_RECURRING_CALLBACK_URL, or give Payments a public_url.",
                gateway=NAME,
                tenant=self._tenant,
            )
        check_url("callback_url", url)
        if self.mode is Mode.LIVE and not url.startswith("https://"):
            rule = "https in live mode"
            raise InvalidRequestError(f"callback_url does not fit: {rule}.", field="callback_url", rule=rule)
        return url

    def _check_start(self, start: date) -> None:
        """bKash's own rules of days (2001, 2002), by the clock in Dhaka."""
        now = self._clock.now().astimezone(models.DHAKA)
        too_late = (now.hour, now.minute) >= models.NO_START_TODAY_AFTER
        if start < now.date() or (start == now.date() and too_late):
            rule = "today in Dhaka or later; from 23:30 on, tomorrow or later"
            raise InvalidRequestError(f"start_date does not fit: {rule}.", field="start_date", rule=rule)

    def _check_request_id(self, reference: str) -> None:
        if not models.REQUEST_ID.fullmatch(reference):
            rule = "a reference that create_agreement gave"
            raise InvalidRequestError(
                f"gateway_reference does not fit: {rule}.", field="gateway_reference", rule=rule
            )

    def _check_refund(self, call: RefundCall) -> None:
        _check_number("gateway_reference", call.gateway_reference)
        if not is_id(call.transaction_id):
            rule = "a transaction id of bKash's"
            raise InvalidRequestError(
                f"transaction_id does not fit: {rule}.", field="transaction_id", rule=rule
            )
        self.check_amount(call.amount)


def _check_number(field: str, value: str) -> None:
    if not is_number(value):
        rule = "a number that bKash gave"
        raise InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)


adapter: Final = Adapter(NAME, BkashRecurringGateway, BkashRecurringConfig, REGISTERING)
"""What the entry point `vextrus_payments.gateways: bkash_recurring` names."""

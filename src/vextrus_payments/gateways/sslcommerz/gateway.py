"""SSLCommerz as a PaymentGateway: checks what goes in, runs the protocols of this folder."""

from collections.abc import Mapping
from typing import ClassVar, Final, Unpack

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import ConfigurationError, UnreadableAnswerError, WebhookError
from vextrus_payments.events import Confirm, Delivery, Events, Ignored, ReturnHint
from vextrus_payments.gateways.base import Adapter, GatewayParts, PaymentGateway
from vextrus_payments.gateways.sslcommerz import invoices, protocol, refunds
from vextrus_payments.gateways.sslcommerz.checks import check_call, check_refund, check_session_key, form_of
from vextrus_payments.gateways.sslcommerz.config import SslcommerzConfig
from vextrus_payments.gateways.sslcommerz.errors import Operation, meaning_of
from vextrus_payments.gateways.sslcommerz.invoices import Invoice
from vextrus_payments.gateways.sslcommerz.manners import CAPABILITIES, NAME, REGISTERING, SESSION_LIFE
from vextrus_payments.gateways.sslcommerz.params import SslcommerzInvoice
from vextrus_payments.gateways.sslcommerz.returns import parse_return
from vextrus_payments.gateways.sslcommerz.signature import read_post, verify
from vextrus_payments.gateways.sslcommerz.steps import Api, new_reference
from vextrus_payments.gateways.sslcommerz.webhook import event_of, kept_of
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot
from vextrus_payments.wire import CallContext, OnCheckpoint


class SslcommerzGateway(PaymentGateway):
    """SSLCommerz v4 for one store.

    The payer's last click on SSLCommerz's page moves the money: `execute_payment` only looks it up.

    Args:
        config: the store's settings.
        parts: as PaymentGateway takes them; of `tokens` no use is made, for SSLCommerz has none.
    """

    name: ClassVar[str] = NAME

    def __init__(self, config: SslcommerzConfig, **parts: Unpack[GatewayParts]) -> None:
        if not isinstance(config, SslcommerzConfig):
            raise ConfigurationError(
                f"sslcommerz needs an SslcommerzConfig, not a {type(config).__name__}.", gateway=NAME
            )
        super().__init__(config, **parts)
        self._settings = config
        self._api = Api(
            root=config.api_url,
            mode=config.mode,
            store_id=config.store_id,
            password=config.store_password,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What SSLCommerz can do."""
        return CAPABILITIES

    # --- payments -------------------------------------------------------------------------------------------------

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
        """Open a payment's page; see protocol.py. The session's `gateway_reference` is ours, sent as `value_d`.

        Raises: as PaymentGateway; ConfigurationError where no callback URL is known.
        """
        order_id = self.check_payment_request(
            request, gateway_order_id=gateway_order_id, submission_no=submission_no
        )
        reference = new_reference(self._entropy)
        form = form_of(
            self._settings, request, order_id=order_id, reference=reference, callback_url=callback_url
        )
        asked_at = self._clock.now()
        opened = await self.drive(protocol.open_session(self._api, form), context=context)
        return PaymentSession(
            payment_id=payment_id or self._ids.new("pay"),
            gateway=NAME,
            mode=self.mode,
            merchant_reference=request.merchant_reference,
            amount=request.amount,
            gateway_order_id=order_id,
            gateway_reference=reference,
            checkout_url=opened.checkout_url,
            expires_at=asked_at + SESSION_LIFE,
            submission_no=submission_no,
        )

    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Look up what the payer's own click has done; nothing is sent that moves money.

        Returns PAID or REVIEW; everything else raises, see protocol.execute.
        """
        check_call(call)
        return await self.drive(
            protocol.execute(self._api, call, self.surely_now(), resuming=resume is not None),
            context=context,
        )

    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """Query every attempt under the payment's tran_id, and validate what is paid (§1.6, §1.7)."""
        check_call(call)
        return await self.drive(protocol.look_up(self._api, call, self.surely_now()), context=context)

    async def get_session_status(
        self, call: StatusCall, session_key: str, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """Look a payment up by SSLCommerz's own key of its session, where somebody has it (§1.7).

        Raises:
            InvalidRequestError: it is no such key; nothing was sent.
            GatewayError: as get_payment_status.
        """
        check_call(call)
        check_session_key(session_key)
        return await self.drive(protocol.look_up_session(self._api, call, session_key), context=context)

    # --- refunds --------------------------------------------------------------------------------------------------

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        """Ask for a refund, once; see refunds.py. What is accepted is PENDING: `look_up_refund` tells how it ends.

        `call.sku` has no place at SSLCommerz. No checkpoint is made: a refund is told from others by ids.
        """
        check_refund(call)
        if resume is not None:
            return await self.drive(refunds.resumed(self._api, call), context=context)
        return await self.drive(refunds.refund_payment(self._api, call), context=context)

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        """Ask how the refund ended that SSLCommerz accepted as `call.accepted_as`.

        None without it, and nothing is asked: SSLCommerz looks refunds up by its own id alone.
        """
        check_refund(call)
        if call.accepted_as is None:
            return None
        return await self.drive(refunds.look_up_refund(self._api, call, call.accepted_as), context=context)

    # --- invoices (§1.9) ------------------------------------------------------------------------------------------

    async def create_invoice(
        self,
        request: PaymentRequest,
        how: SslcommerzInvoice | None = None,
        *,
        gateway_order_id: str | None = None,
        callback_url: str | None = None,
        context: CallContext | None = None,
    ) -> Invoice:
        """Make an invoice: a link, and a QR code, that somebody may pay later. It stands beside `Payments`.

        Keep what comes back: an invoice is looked up by it. A payer may get the link although the answer is lost.

        Raises:
            InvalidRequestError, ConfigurationError: as initialize_payment; nothing was sent.
            DeclinedError, AuthenticationRejectedError: SSLCommerz refused it.
            OutcomeUnknownError: nobody can tell whether there is one; look into the panel before making another.
        """
        order_id = self.check_payment_request(request, gateway_order_id=gateway_order_id)
        reference = new_reference(self._entropy)
        form = form_of(
            self._settings, request, order_id=order_id, reference=reference, callback_url=callback_url
        )
        fields = invoices.fields_of(form, how or SslcommerzInvoice())
        return await self.drive(
            invoices.create(self._api, fields, request.amount, reference), context=context
        )

    async def get_invoice_status(
        self, invoice: Invoice, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """How an invoice stands. Paid is what the query and the validation show, as for any payment.

        Raises:
            GatewayError: as get_payment_status.
        """
        now = self.surely_now()
        return await self.drive(invoices.look_up(self._api, invoice, now), context=context)

    async def cancel_invoice(self, invoice: Invoice, *, context: CallContext | None = None) -> None:
        """Withdraw an invoice. Doing it twice is the same as once; what was paid meanwhile stays paid.

        Raises:
            DeclinedError: SSLCommerz does not withdraw it (any more): look it up.
            OutcomeUnknownError: nobody can tell; look it up, and withdraw it again.
        """
        await self.drive(invoices.cancel(self._api, invoice), context=context)

    # --- what comes from outside ----------------------------------------------------------------------------------

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        """Read the browser's POST, its address included; see returns.py. A hint, never a proof.

        Raises:
            InvalidRequestError: it names no payment, two different ones, or another store's.
        """
        return parse_return(params, store_id=self._settings.store_id)

    async def handle_webhook(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """Prove that a notification is signed, and hand on what it says as news: a look-up decides (webhook.py).

        Raises: as PaymentGateway.
        """
        event = event_of(self._signed(delivery), self._api.unsaid)
        return Events((event,), kept_body=kept_of(read_post(delivery.body), self._api.unsaid))

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        """Check both signatures of a notification, and what they cover; see signature.py.

        Raises:
            SignatureError: it is not proven.
            MalformedWebhookError: it is no form.
        """
        self._signed(delivery)

    def _signed(self, delivery: Delivery) -> dict[str, str]:
        settings = self._settings
        try:
            return verify(
                read_post(delivery.body), store_id=settings.store_id, password=settings.store_password
            )
        except WebhookError as error:
            error.about(gateway=NAME, tenant=self._tenant)
            raise

    # --- hooks ------------------------------------------------------------------------------------------------------

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        """What a word of SSLCommerz means to a call; a word nobody documented leaves the outcome unknown."""
        known = meaning_of(operation, code) if operation in set(Operation) else None
        return known or ErrorMeaning(
            kind=ErrorClass.UNK,
            error=UnreadableAnswerError,
            advice_en="Nobody documented this word for this call: look the payment up, never repeat a refund.",
        )


adapter: Final = Adapter(NAME, SslcommerzGateway, SslcommerzConfig, REGISTERING)
"""What the entry point `vextrus_payments.gateways: sslcommerz` names."""

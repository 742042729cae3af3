"""Nagad as a PaymentGateway: checks what goes in, runs the protocols of this folder."""

from collections.abc import Mapping
from typing import ClassVar, Final, Unpack

from vextrus_payments.capabilities import Capabilities
from vextrus_payments.errors import (
    ConfigurationError,
    InvalidRequestError,
    SignatureError,
    UnreadableAnswerError,
)
from vextrus_payments.events import Delivery, ReturnHint
from vextrus_payments.gateways.base import Adapter, GatewayParts, PaymentGateway
from vextrus_payments.gateways.nagad import models, protocol, refunds
from vextrus_payments.gateways.nagad.checks import (
    callback_url_of,
    check_call,
    check_refund,
    check_resumed,
    order_of,
)
from vextrus_payments.gateways.nagad.config import NagadConfig
from vextrus_payments.gateways.nagad.errors import Operation, meaning_of
from vextrus_payments.gateways.nagad.manners import CAPABILITIES, NAME, REGISTERING, SESSION_LIFE
from vextrus_payments.gateways.nagad.returns import parse_return
from vextrus_payments.gateways.nagad.steps import Api
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


class NagadGateway(PaymentGateway):
    """Nagad online payment (check-out API 1.0) for one merchant.

    The payer's last click on Nagad's page moves the money: `execute_payment` only looks it up.

    Args:
        config: the merchant's settings; its keys were loaded when it was made.
        parts: as PaymentGateway takes them; of `tokens` no use is made, for Nagad has none.
    """

    name: ClassVar[str] = NAME

    def __init__(self, config: NagadConfig, **parts: Unpack[GatewayParts]) -> None:
        if not isinstance(config, NagadConfig):
            raise ConfigurationError(
                f"nagad needs a NagadConfig, not a {type(config).__name__}.", gateway=NAME
            )
        super().__init__(config, **parts)
        self._settings = config
        self._api = Api(
            root=config.api_url,
            mode=config.mode,
            merchant_id=config.merchant_id,
            seal=config.seal(),
            client_address=config.client_address,
            client_type=config.client_type,
            version=models.API_VERSION_WITH_FEE if config.sender_fee else models.API_VERSION,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What Nagad can do."""
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
        """Open a payment's page in two calls, with a checkpoint between them; see protocol.py.

        `on_checkpoint` is required unless `resume` is given, and then the reference in it is only looked up.

        Raises: as PaymentGateway; ConfigurationError where no callback URL is known, or nobody takes the checkpoint.
        """
        order_id = self.check_payment_request(
            request, gateway_order_id=gateway_order_id, submission_no=submission_no
        )
        callback = callback_url_of(self._settings, callback_url)
        asked_at = self._clock.now()
        order = order_of(self._settings, request, order_id, callback, self._entropy, asked_at)
        call = (
            protocol.open_payment(self._api, order)
            if resume is None
            else protocol.resume_opening(self._api, order, check_resumed(resume, order_id))
        )
        opened = await self.drive(
            call, context=context, on_checkpoint=on_checkpoint, checkpoints=resume is None
        )
        return PaymentSession(
            payment_id=payment_id or self._ids.new("pay"),
            gateway=NAME,
            mode=self.mode,
            merchant_reference=request.merchant_reference,
            amount=request.amount,
            gateway_order_id=order_id,
            gateway_reference=opened.reference,
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
        """Verify the payment (§7)."""
        check_call(call)
        return await self.drive(protocol.look_up(self._api, call, self.surely_now()), context=context)

    # --- refunds --------------------------------------------------------------------------------------------------

    async def refund_payment(
        self,
        call: RefundCall,
        *,
        context: CallContext | None = None,
        resume: Evidence | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> RefundSnapshot:
        """Refund once: baseline, checkpoint, refund, and on no definite answer a look; see refunds.py.

        `on_checkpoint` is required unless `resume` is given, and then the payment is only verified. `call.sku` has no
        place at Nagad; `call.reason` must fit into one sealed block, which is about 65 bytes.
        """
        check_refund(self._api, call)
        return await self.drive(
            refunds.refund_payment(self._api, call, resume),
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
        check_call(call)
        if resume is None:
            rule = "the evidence that this refund's own checkpoint was given"
            raise InvalidRequestError(f"resume does not fit: {rule}.", field="resume", rule=rule)
        return await self.drive(refunds.look_up_refund(self._api, call, resume), context=context)

    # --- what comes from outside ----------------------------------------------------------------------------------

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        """Read Nagad's redirect; see returns.py. A hint, never a proof.

        Raises:
            InvalidRequestError: it names no payment, two different ones, or another merchant's.
        """
        return parse_return(params, merchant_id=self._settings.merchant_id)

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        """Nagad sends no webhooks (§9): what arrives as one is somebody else's.

        Raises:
            SignatureError: always.
        """
        raise SignatureError(
            "Nagad sends no webhooks, so this delivery is not from Nagad and was refused unread.",
            code="no_webhooks",
            gateway=NAME,
            tenant=self._tenant,
        )

    # --- hooks ------------------------------------------------------------------------------------------------------

    def map_error_code(self, operation: str, code: str) -> ErrorMeaning:
        """What a code of Nagad means to a call; a code nobody documented leaves the outcome unknown."""
        known = meaning_of(operation, code) if operation in set(Operation) else None
        return known or ErrorMeaning(
            kind=ErrorClass.UNK,
            error=UnreadableAnswerError,
            advice_en="Nobody documented this code for this call: look the payment up, never repeat a refund.",
        )


adapter: Final = Adapter(NAME, NagadGateway, NagadConfig, REGISTERING)
"""What the entry point `vextrus_payments.gateways: nagad` names."""

"""bKash as a PaymentGateway: checks what goes in, and runs the protocols of this folder for a merchant."""

from collections.abc import Mapping
from typing import Final

from vextrus_payments.errors import (
    InvalidRequestError,
)
from vextrus_payments.events import Confirm, Delivery, Events, Ignored, ReturnHint
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.bkash import agreements, holds, models, protocol, refunds
from vextrus_payments.gateways.bkash.checks import (
    callback_url_of,
    charging,
    check_call,
    check_id,
    check_reference,
    check_refund,
    check_refund_window,
    order_of,
)
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.manners import NAME, REGISTERING
from vextrus_payments.gateways.bkash.merchant import BkashMerchant
from vextrus_payments.gateways.bkash.payout_desk import PayoutDesk
from vextrus_payments.gateways.bkash.returns import parse_return
from vextrus_payments.gateways.endings import MADE
from vextrus_payments.payment import (
    AgreementRequest,
    Evidence,
    ExecuteCall,
    PaymentRequest,
    PaymentSession,
    RefundCall,
    StatusCall,
)
from vextrus_payments.payouts import GatewayBalance, PayoutCall, PayoutSnapshot
from vextrus_payments.snapshots import (
    AgreementSession,
    AgreementSnapshot,
    PaymentSnapshot,
    RefundSnapshot,
    TransactionSnapshot,
)
from vextrus_payments.wire import CallContext, OnCheckpoint


class BkashGateway(BkashMerchant):
    """bKash Tokenized Checkout for one merchant: v1.2.0-beta or v2, as his settings say (`api_version`).

    Args:
        config: the merchant's settings.
        tokens: the token cache that all gateways of the process share. None: in sandbox mode one of its own, in
            memory; in live mode a ConfigurationError, for a restart would forget the grant budget.
        verifier: who proves bKash's notifications, in place of the one for Amazon SNS that the settings name.
        parts: as PaymentGateway takes them.

    Raises:
        ConfigurationError: live mode without durable tokens, or a cache that waits shorter than the timeout.
    """

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
        """Create a payment (with an agreement or without) that can be executed once within 24 hours.

        Raises: as PaymentGateway; ConfigurationError where no callback URL is known.
        """
        order_id = self.check_payment_request(
            request, gateway_order_id=gateway_order_id, submission_no=submission_no
        )
        callback = callback_url_of(self._settings, callback_url)
        order = order_of(request, order_id, callback, self._api.dialect.version)
        asked_at = self._clock.now()
        created = await self.drive(protocol.create_payment(self._api, order), context=context)
        return PaymentSession(
            payment_id=payment_id or self._ids.new("pay"),
            gateway=NAME,
            mode=self.mode,
            merchant_reference=request.merchant_reference,
            amount=request.amount,
            gateway_order_id=order_id,
            gateway_reference=created.reference,
            checkout_url=created.checkout_url,
            expires_at=asked_at + models.PAYMENT_LIFE,
            submission_no=submission_no,
            agreement_id=order.agreement_id,
        )

    async def execute_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Execute the approved payment, once; see protocol.py for how the answer is read.

        With `resume` it is only looked up: PAID, AUTHORIZED or REVIEW is returned, all else is OutcomeUnknownError.
        """
        check_call(call)
        if resume is not None:
            return await self.drive(protocol.look_only(self._api, call, MADE), context=context)
        return await self.drive(protocol.execute_payment(self._api, call), context=context)

    async def get_payment_status(
        self, call: StatusCall, *, context: CallContext | None = None
    ) -> PaymentSnapshot:
        """Query the payment."""
        check_call(call)
        return await self.drive(protocol.query_payment(self._api, call), context=context)

    async def capture_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Take the held money, all of it, once. With `resume` it is only looked up.

        Raises: as PaymentGateway; UnsupportedOperationError on v2, where nobody documented how.
        """
        check_call(call)
        if not self._api.dialect.holds_money:
            return await super().capture_payment(call, context=context, resume=resume)
        if resume is not None:
            return await self.drive(protocol.look_only(self._api, call, holds.CAPTURED), context=context)
        return await self.drive(holds.capture_payment(self._api, call), context=context)

    async def void_payment(
        self, call: ExecuteCall, *, context: CallContext | None = None, resume: Evidence | None = None
    ) -> PaymentSnapshot:
        """Let the held money go, once. With `resume` it is only looked up.

        Raises: as PaymentGateway; UnsupportedOperationError on v2, where nobody documented how.
        """
        check_call(call)
        if not self._api.dialect.holds_money:
            return await super().void_payment(call, context=context, resume=resume)
        if resume is not None:
            return await self.drive(protocol.look_only(self._api, call, holds.RELEASED), context=context)
        paths = self._void_paths
        snapshot, path = await self.drive(holds.void_payment(self._api, call, paths), context=context)
        self._void_paths = (path, *(other for other in paths if other != path))
        return snapshot

    async def search_transaction(
        self, transaction_id: str, *, context: CallContext | None = None
    ) -> TransactionSnapshot | None:
        """Find a transaction by its trxID. None proves nothing: a transaction just made may not be found yet."""
        check_id("transaction_id", transaction_id)
        return await self.drive(protocol.search_transaction(self._api, transaction_id), context=context)

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

        `on_checkpoint` is required unless `resume` is given, and then only the list of refunds is read.
        """
        check_refund(call)
        if resume is None:
            check_refund_window(call, self._settings.refund_window_days, self._clock.now())
        return await self.drive(
            refunds.refund_payment(self._api, call, resume),
            context=context,
            on_checkpoint=on_checkpoint,
            checkpoints=resume is None,
        )

    async def look_up_refund(
        self, call: RefundCall, *, resume: Evidence | None, context: CallContext | None = None
    ) -> RefundSnapshot | None:
        """The one refund that is not in the baseline and has our amount; None where there is none, or several.

        Raises:
            InvalidRequestError: there is no baseline to compare with; nothing was sent.
        """
        check_refund(call)
        if resume is None:
            rule = "the evidence that this refund's own checkpoint was given"
            raise InvalidRequestError(f"resume does not fit: {rule}.", field="resume", rule=rule)
        return await self.drive(refunds.look_up_refund(self._api, call, resume), context=context)

    async def get_refund_status(
        self, call: RefundCall, *, context: CallContext | None = None
    ) -> tuple[RefundSnapshot, ...]:
        """Every refund of the payment that bKash lists."""
        check_refund(call)
        return await self.drive(refunds.refund_status(self._api, call), context=context)

    # --- agreements -----------------------------------------------------------------------------------------------

    async def create_agreement(
        self, request: AgreementRequest, *, context: CallContext | None = None
    ) -> AgreementSession:
        """Ask for a payer's standing consent."""
        reference = check_reference("payer_reference", request.payer_reference)
        callback_url = callback_url_of(self._settings, request.callback_url)
        asked_at = self._clock.now()
        created = await self.drive(
            agreements.create_agreement(self._api, reference, callback_url), context=context
        )
        return AgreementSession(
            gateway_reference=created.reference,
            checkout_url=created.checkout_url,
            expires_at=asked_at + models.PAYMENT_LIFE,
        )

    async def execute_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Make the confirmed agreement hold, once."""
        check_id("gateway_reference", gateway_reference)
        return await self.drive(agreements.execute_agreement(self._api, gateway_reference), context=context)

    async def get_agreement_status(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Look an agreement up by its id."""
        check_id("agreement_id", agreement_id)
        return await self.drive(agreements.agreement_status(self._api, agreement_id), context=context)

    async def look_up_agreement(
        self, gateway_reference: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """Query an agreement by what its session was called (v1: a paymentID, v2: its own id)."""
        check_id("gateway_reference", gateway_reference)
        return await self.drive(agreements.query_agreement(self._api, gateway_reference), context=context)

    def charging(self, request: PaymentRequest, agreement_id: str) -> PaymentRequest:
        """Charge this agreement, with the request's other parameters as they are."""
        return charging(request, agreement_id)

    async def cancel_agreement(
        self, agreement_id: str, *, context: CallContext | None = None
    ) -> AgreementSnapshot:
        """End an agreement; one that has ended already counts as ended."""
        check_id("agreement_id", agreement_id)
        return await self.drive(agreements.cancel_agreement(self._api, agreement_id), context=context)

    # --- payouts: see payout_desk.py ------------------------------------------------------------------------------

    def check_payout(self, call: PayoutCall) -> None:
        """Refuse what bKash would not take: another currency, less than 1 taka, a receiver that is no wallet."""
        self._payout_desk().check(call)
        self.check_amount(call.amount)

    async def payout(
        self,
        call: PayoutCall,
        *,
        context: CallContext | None = None,
        on_checkpoint: OnCheckpoint | None = None,
    ) -> PayoutSnapshot:
        """Pay out or transfer, once; see payouts.py. `on_checkpoint` is required."""
        self.check_payout(call)
        return await self._payout_desk().payout(call, context, on_checkpoint)

    async def look_up_payout(
        self, call: PayoutCall, *, resume: Evidence, context: CallContext | None = None
    ) -> PayoutSnapshot | None:
        """Ask by the payoutID that the checkpoint kept; a direct payout has none and cannot be asked about."""
        return await self._payout_desk().look_up(call, resume, context)

    async def get_balance(self, *, context: CallContext | None = None) -> GatewayBalance:
        """What bKash holds in the merchant's collection and disbursement accounts."""
        return await self._payout_desk().balance(context)

    def _payout_desk(self) -> PayoutDesk:
        if self._payouts is None:
            raise self.unsupported("payouts without credentials for them (BKASH_PAYOUT_APP_KEY ...)")
        return self._payouts

    # --- what comes from outside ----------------------------------------------------------------------------------

    def parse_return(self, params: Mapping[str, str]) -> ReturnHint:
        """Read bKash's redirect; see returns.py. A hint, never a proof.

        Raises:
            InvalidRequestError: it names no payment, or two different ones.
        """
        return parse_return(params)

    async def handle_webhook(self, delivery: Delivery) -> Events | Confirm | Ignored:
        """Prove who sent it, by whichever sender is configured (senders.py), and read it.

        Raises: as PaymentGateway; SignatureError with code "no_verifier" where no sender is configured. An HMAC of the
        app secret, which some libraries check, does not exist at bKash (dossier §1.10).
        """
        return await self._hearing.read(delivery)

    async def confirm_webhook(self, confirm: Confirm) -> None:
        """Confirm the subscription to Amazon SNS. As PaymentGateway."""
        await self._hearing.confirm(confirm)

    def validate_webhook_signature(self, delivery: Delivery) -> None:
        """Check who sent a delivery, where nothing has to be fetched for it: relays and recurring payments.

        Raises:
            SignatureError: it is not proven; code "fetch_needed" for Amazon SNS, which only `handle_webhook` proves.
            MalformedWebhookError, TimestampOutsideWindowError: as handle_webhook.
        """
        self._hearing.check(delivery)


adapter: Final = Adapter(NAME, BkashGateway, BkashConfig, REGISTERING)
"""What the entry point `vextrus_payments.gateways: bkash` names."""

"""What is refused before anything is sent: bKash would refuse it too, but later and in fewer words."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.errors import (
    ConfigurationError,
    CurrencyNotSupportedError,
    DeclinedError,
    Effect,
    InvalidRequestError,
)
from vextrus_payments.gateways.bkash import models
from vextrus_payments.gateways.bkash.config import BkashConfig
from vextrus_payments.gateways.bkash.dialect import ApiVersion
from vextrus_payments.gateways.bkash.manners import NAME, ORDER_ID
from vextrus_payments.gateways.bkash.orders import Order
from vextrus_payments.gateways.bkash.params import (
    ID_RULE,
    REFERENCE_RULE,
    TEXT_RULE,
    BkashCheckout,
    is_reference,
    is_text,
)
from vextrus_payments.gateways.bkash.steps import is_id
from vextrus_payments.mode import Mode
from vextrus_payments.payment import (
    ExecuteCall,
    PaymentRequest,
    RefundCall,
    StatusCall,
    check_amount,
    check_url,
)
from vextrus_payments.reasons import Reason, ReasonCode

_NO_PARAMS: Final = BkashCheckout()
_CALLBACK_RULE: Final = "without a fragment; https in live mode"


def order_of(
    request: PaymentRequest, order_id: str, callback_url: str, version: ApiVersion = ApiVersion.V1
) -> Order:
    """What to create, out of the request and its bKash parameters.

    The payer reference is the parameters' own, else the customer's reference or wallet number (which bKash fills in
    on its page), else the merchant reference: bKash wants one always.

    Raises:
        InvalidRequestError: the parameters are another gateway's or the other version's, or a reference is one bKash
            refuses.
    """
    params = request.params or _NO_PARAMS
    if not isinstance(params, BkashCheckout):
        raise InvalidRequestError(
            f"params is a {type(params).__name__}; bKash takes BkashCheckout.",
            field="params",
            rule="BkashCheckout",
        )
    if params.sub_merchant_name is not None and version is not ApiVersion.V2:
        rule = "only with BKASH_API_VERSION=v2"
        raise InvalidRequestError(
            f"sub_merchant_name does not fit: {rule}.", field="sub_merchant_name", rule=rule
        )
    customer = request.customer
    if params.payer_reference is not None:
        payer = params.payer_reference
    elif customer is not None and customer.reference is not None:
        payer = check_reference("customer.reference", customer.reference)
    elif customer is not None and customer.msisdn is not None:
        payer = check_reference("customer.msisdn", customer.msisdn)
    else:
        payer = ORDER_ID.make(request.merchant_reference, 1)
    return Order(
        invoice=order_id,
        amount=request.amount,
        callback_url=callback_url,
        payer_reference=payer,
        intent=request.intent,
        mode=params.wire_mode,
        agreement_id=params.agreement_id,
        association_info=params.merchant_association_info,
        sub_merchant_name=params.sub_merchant_name,
    )


def charging(request: PaymentRequest, agreement_id: str) -> PaymentRequest:
    """The request that charges this agreement, with its other bKash parameters as they are.

    Raises:
        InvalidRequestError: the parameters are another gateway's, or name a mode or an agreement themselves.
    """
    params = request.params or _NO_PARAMS
    if not isinstance(params, BkashCheckout) or params.mode is not None or params.agreement_id is not None:
        rule = "BkashCheckout without a mode and an agreement of its own, beside an agreement_key"
        raise InvalidRequestError(f"params does not fit: {rule}.", field="params", rule=rule)
    own = BkashCheckout(
        agreement_id=agreement_id,
        merchant_association_info=params.merchant_association_info,
        payer_reference=params.payer_reference,
        sub_merchant_name=params.sub_merchant_name,
    )
    return replace(request, params=own)


def callback_url_of(config: BkashConfig, given: str | None) -> str:
    """Where bKash sends the browser back to: what was given, else the configuration's.

    Raises:
        ConfigurationError: neither is there.
        InvalidRequestError: it is no URL that bKash can append its parameters to.
    """
    url = given or config.callback_url
    if url is None:
        raise ConfigurationError(
            "bKash must be told where to send the payer back to, and no callback URL is known.",
            code="callback_url_missing",
            next_step="Set BKASH_CALLBACK_URL, or pass callback_url=.",
            gateway=NAME,
        )
    check_url("callback_url", url)
    if "#" in url or (config.mode is Mode.LIVE and not url.lower().startswith("https://")):
        raise InvalidRequestError(
            f"callback_url does not fit: {_CALLBACK_RULE}.", field="callback_url", rule=_CALLBACK_RULE
        )
    return url


def check_call(call: ExecuteCall | StatusCall) -> None:
    """Refuse a call without a usable reference or amount.

    No limits of amount here: a payment that exists must always be looked up, whatever the limits are today.
    """
    check_id("gateway_reference", call.gateway_reference)
    check_amount(call.amount)


def check_refund(call: RefundCall) -> None:
    """Refuse a refund whose parts bKash would refuse. An amount is always there: without one bKash's v1 route
    takes a refund for a question about refunds (§4.10)."""
    check_id("gateway_reference", call.gateway_reference)
    check_id("transaction_id", call.transaction_id)
    for field, value in (("reason", call.reason), ("sku", call.sku)):
        if not is_text(value):
            raise InvalidRequestError(f"{field} does not fit: {TEXT_RULE}.", field=field, rule=TEXT_RULE)
    check_amount(call.amount)
    if call.amount.currency != models.CURRENCY:
        raise CurrencyNotSupportedError(
            f"bkash does not take {call.amount.currency}.",
            field="amount",
            rule=f"currency {models.CURRENCY}",
        )


def check_refund_window(call: RefundCall, window_days: int | None, now: datetime) -> None:
    """Refuse what is older than the configured window; the trxID carries its Bangladesh day (§12.3).

    Raises:
        DeclinedError: too old; nothing was sent.
    """
    paid_on = models.trx_date(call.transaction_id)
    if window_days is None or paid_on is None:
        return
    if now.astimezone(models.DHAKA).date() - paid_on <= timedelta(days=window_days):
        return
    raise DeclinedError(
        f"The payment is older than the configured refund window of {window_days} days; bKash was not asked.",
        reason=Reason(code=ReasonCode.REFUND_WINDOW_CLOSED),
        final=True,
        effect=Effect.NONE,
        code="refund_window_closed",
        next_step="Give the money back another way, or set BKASH_REFUND_WINDOW_DAYS higher.",
        gateway=NAME,
    )


def check_reference(field: str, value: object) -> str:
    """Refuse what bKash would refuse as payerReference."""
    if not is_reference(value):
        raise InvalidRequestError(
            f"{field} does not fit: {REFERENCE_RULE}.", field=field, rule=REFERENCE_RULE
        )
    return str(value)


def check_id(field: str, value: object) -> str:
    """Refuse what cannot be an id of bKash."""
    if not isinstance(value, str) or not is_id(value):
        raise InvalidRequestError(f"{field} does not fit: {ID_RULE}.", field=field, rule=ID_RULE)
    return value

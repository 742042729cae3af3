"""What is refused before anything is sent: SSLCommerz would refuse it too, but later and in fewer words."""

from typing import Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from vextrus_payments.errors import ConfigurationError, CurrencyNotSupportedError, InvalidRequestError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.config import SslcommerzConfig
from vextrus_payments.gateways.sslcommerz.forms import SessionForm
from vextrus_payments.gateways.sslcommerz.manners import NAME, ORDER_ID
from vextrus_payments.gateways.sslcommerz.params import Address, SslcommerzCheckout, is_text, refusal_of
from vextrus_payments.gateways.sslcommerz.returns import CANCEL, FAIL, SUCCESS, return_url
from vextrus_payments.gateways.sslcommerz.steps import is_id, is_reference
from vextrus_payments.mode import Mode
from vextrus_payments.payment import (
    ExecuteCall,
    PaymentRequest,
    RefundCall,
    StatusCall,
    check_amount,
    check_url,
)

_NO_PARAMS: Final = SslcommerzCheckout()
_NOWHERE: Final = Address(line1="Not given")
#: What stands in a mandatory field that the shop has nothing to say for. example.com gets no mail (RFC 2606).
_NOBODY: Final = "Customer"
_NO_MAIL: Final = "nobody@example.com"
_NO_PHONE: Final = "00000000000"
_RETURN_DOOR: Final = f"/{NAME}/return"
_WEBHOOK_DOOR: Final = f"/{NAME}/webhook"
_CALLBACK_RULE: Final = (
    f"an absolute URL without a fragment, {m.URL_MAX} characters with our words; https in live mode"
)


def form_of(
    config: SslcommerzConfig,
    request: PaymentRequest,
    *,
    order_id: str,
    reference: str,
    callback_url: str | None,
) -> SessionForm:
    """The form of a session, out of the request and its SSLCommerz parameters.

    Raises:
        InvalidRequestError: the parameters are another gateway's, or do not fit.
        CurrencyNotSupportedError: an amount beside the payment's is in another currency.
        ConfigurationError: no callback URL is known.
    """
    params = request.params or _NO_PARAMS
    if not isinstance(params, SslcommerzCheckout):
        raise InvalidRequestError(
            f"params is a {type(params).__name__}; SSLCommerz takes SslcommerzCheckout.",
            field="params",
            rule="SslcommerzCheckout",
        )
    for name, amount in params.amounts().items():
        if amount.currency != request.amount.currency:
            raise CurrencyNotSupportedError(
                f"params.{name} is in {amount.currency}, the payment in {request.amount.currency}.",
                field=f"params.{name}",
                rule=f"currency {request.amount.currency}",
            )
    door = callback_url_of(config, callback_url)
    fields: dict[str, str | None] = {
        m.STORE_ID: config.store_id,
        m.STORE_PASSWORD: config.store_password.reveal(),
        "total_amount": request.amount.amount,
        "currency": request.amount.currency,
        m.TRAN_ID: order_id,
        "success_url": return_url(door, reference, SUCCESS),
        "fail_url": return_url(door, reference, FAIL),
        "cancel_url": return_url(door, reference, CANCEL),
        "ipn_url": ipn_url_of(config, callback_url),
        "product_name": params.product_name or request.merchant_reference,
        **_payer(request, params),
        **params.fields(),
        "value_d": reference,
    }
    refusal = None
    try:
        return SessionForm(**{name: value for name, value in fields.items() if value is not None})
    except ValidationError as error:
        refusal = refusal_of(error)
    raise refusal


def _payer(request: PaymentRequest, params: SslcommerzCheckout) -> dict[str, str | None]:
    """Who pays: what the parameters say, else the request's customer, else what SSLCommerz takes for nobody's.

    What the shop knows of its customer is cut to SSLCommerz's room: a long name is no reason to take no money.
    """
    customer = request.customer
    address = params.address or _NOWHERE
    name, email, phone = (customer.name, customer.email, customer.msisdn) if customer else (None, None, None)
    return {
        "cus_name": params.name or _cut(name, 50) or _NOBODY,
        "cus_email": params.email or _whole(email, 50) or _NO_MAIL,
        "cus_phone": params.phone or _whole(phone, 20) or _NO_PHONE,
        "cus_add1": address.line1,
        "cus_add2": address.line2,
        "cus_city": address.city,
        "cus_state": address.state,
        "cus_postcode": address.postcode,
        "cus_country": address.country,
    }


def _cut(text: str | None, room: int) -> str | None:
    kept = (text or "").strip()[:room].strip()
    return kept if kept and is_text(kept) else None


def _whole(text: str | None, room: int) -> str | None:
    """A part of an address leads to somebody else: it is whole, or it is not there."""
    kept = (text or "").strip()
    return kept if kept and len(kept) <= room and is_text(kept) else None


def callback_url_of(config: SslcommerzConfig, given: str | None) -> str:
    """Where SSLCommerz sends the browser back to: what was given, else the configuration's.

    Raises:
        ConfigurationError: neither is there.
        InvalidRequestError: it is no such URL, or too long for our words behind it.
    """
    url = given or config.callback_url
    if url is None:
        raise ConfigurationError(
            "SSLCommerz must be told where to send the payer back to, and no callback URL is known.",
            code="callback_url_missing",
            next_step="Set SSLCOMMERZ_CALLBACK_URL, or pass callback_url=.",
            gateway=NAME,
        )
    check_url("callback_url", url)
    longest = return_url(url, "A" * 26, SUCCESS)
    plain_in_live = config.mode is Mode.LIVE and not url.lower().startswith("https://")
    if "#" in url or len(longest) > m.URL_MAX or plain_in_live:
        raise InvalidRequestError(
            f"callback_url does not fit: {_CALLBACK_RULE}.", field="callback_url", rule=_CALLBACK_RULE
        )
    return url


def ipn_url_of(config: SslcommerzConfig, given: str | None) -> str | None:
    """Where SSLCommerz posts its notifications: the configuration's, else the webhook door beside our return door.

    None where neither is known: then the panel's address holds, or there are no notifications, and looks do it all.
    """
    if config.ipn_url is not None or given is None:
        return config.ipn_url
    path = urlsplit(given).path.rstrip("/")
    if not path.endswith(_RETURN_DOOR) or "?" in given:
        return None
    url = given.rstrip("/").removesuffix(_RETURN_DOOR) + _WEBHOOK_DOOR
    return url if len(url) <= m.URL_MAX else None


def check_call(call: ExecuteCall | StatusCall | RefundCall) -> None:
    """Refuse a call without a usable reference, tran_id or amount.

    No limits of amount here: a payment that exists must always be looked up, whatever the limits are today.
    """
    if not isinstance(call.gateway_reference, str) or not is_reference(call.gateway_reference):
        raise _does_not_fit("gateway_reference", "a session's reference, as initialize gave it")
    if not isinstance(call, RefundCall) and not ORDER_ID.fits(call.gateway_order_id):
        raise _does_not_fit("gateway_order_id", "a tran_id, as initialize sent it")
    check_amount(call.amount)


def check_refund(call: RefundCall) -> None:
    """Refuse a refund whose parts cannot be sent.

    Raises:
        InvalidRequestError: an id or the reason does not fit.
        CurrencyNotSupportedError: not BDT. No document says in what a converted payment is refunded.
    """
    check_call(call)
    if not is_id(call.transaction_id):
        raise _does_not_fit("transaction_id", "a bank_tran_id as SSLCommerz gave it")
    reason = call.reason
    if not isinstance(reason, str) or not is_text(reason) or len(reason) > m.REFUND_REMARKS_MAX:
        raise _does_not_fit("reason", f"1-{m.REFUND_REMARKS_MAX} printable characters, not blank")
    if call.amount.currency != m.CURRENCY:
        raise CurrencyNotSupportedError(
            f"SSLCommerz refunds {m.CURRENCY}; a payment in {call.amount.currency} is refunded in its panel.",
            field="amount",
            rule=f"currency {m.CURRENCY}",
            gateway=NAME,
        )


def check_session_key(session_key: str) -> None:
    """Refuse what is no key of a session.

    Raises:
        InvalidRequestError: it is none; it is not shown.
    """
    if not isinstance(session_key, str) or not m.SESSION_KEY_FORM.fullmatch(session_key):
        raise _does_not_fit("session_key", "32 hex digits, as SSLCommerz gave them")


def _does_not_fit(field: str, rule: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)

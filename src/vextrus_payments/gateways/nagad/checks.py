"""What is refused before anything is sent: Nagad would refuse it too, but later and in fewer words."""

from datetime import datetime
from typing import Final

from vextrus_payments.errors import (
    ConfigurationError,
    CurrencyNotSupportedError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.config import CALLBACK_RULE, NagadConfig, can_be_appended_to
from vextrus_payments.gateways.nagad.manners import NAME
from vextrus_payments.gateways.nagad.params import NagadCheckout, ipv4_or_none, is_text
from vextrus_payments.gateways.nagad.protocol import Order
from vextrus_payments.gateways.nagad.refunds import check_room, text_of
from vextrus_payments.gateways.nagad.steps import Api, is_id
from vextrus_payments.halfway import reference_in
from vextrus_payments.ids import Entropy
from vextrus_payments.mode import Mode
from vextrus_payments.payment import (
    Evidence,
    ExecuteCall,
    PaymentRequest,
    RefundCall,
    StatusCall,
    check_amount,
    check_url,
)

_NO_PARAMS: Final = NagadCheckout()
_CALLBACK_RULE: Final = f"{CALLBACK_RULE}; https in live mode"
_REASON_RULE: Final = "printable characters, not blank"
#: Any day: all have eight digits.
_SOME_DAY: Final = "20240202"


def order_of(
    config: NagadConfig,
    request: PaymentRequest,
    order_id: str,
    callback_url: str,
    entropy: Entropy,
    asked_at: datetime,
) -> Order:
    """What to open, out of the request and its Nagad parameters.

    Raises:
        InvalidRequestError: the parameters are another gateway's.
        UnsupportedOperationError: a fee for the payer without NAGAD_SENDER_FEE.
        CurrencyNotSupportedError: a fee in another currency.
    """
    params = request.params or _NO_PARAMS
    if not isinstance(params, NagadCheckout):
        raise InvalidRequestError(
            f"params is a {type(params).__name__}; Nagad takes NagadCheckout.",
            field="params",
            rule="NagadCheckout",
        )
    fee = params.service_fee
    if fee is not None and not config.sender_fee:
        raise UnsupportedOperationError(
            "A fee for the payer needs API v-3.0.1, which is switched off.",
            field="params.service_fee",
            rule="only with NAGAD_SENDER_FEE",
            gateway=NAME,
        )
    if fee is not None and fee.currency != m.CURRENCY:
        raise CurrencyNotSupportedError(
            f"nagad does not take {fee.currency}.",
            field="params.service_fee",
            rule=f"currency {m.CURRENCY}",
        )
    return Order(
        order_id=order_id,
        amount=request.amount,
        callback_url=callback_url,
        challenge=entropy.token_bytes(m.CHALLENGE_BYTES).hex(),
        asked_at=asked_at,
        locale=request.locale,
        merchant_number=config.merchant_number,
        client_address=ipv4_or_none(request.client_ip),
        client_type=params.client_type,
        shown=params.shown(),
        service_fee=fee,
    )


def callback_url_of(config: NagadConfig, given: str | None) -> str:
    """Where Nagad sends the browser back to: what was given, else the configuration's.

    Raises:
        ConfigurationError: neither is there.
        InvalidRequestError: it is no URL that Nagad can append its parameters to (§6: never one with a query).
    """
    url = given or config.callback_url
    if url is None:
        raise ConfigurationError(
            "Nagad must be told where to send the payer back to, and no callback URL is known.",
            code="callback_url_missing",
            next_step="Set NAGAD_CALLBACK_URL, or pass callback_url=.",
            gateway=NAME,
        )
    check_url("callback_url", url)
    if not can_be_appended_to(url) or (config.mode is Mode.LIVE and not url.lower().startswith("https://")):
        raise InvalidRequestError(
            f"callback_url does not fit: {_CALLBACK_RULE}.", field="callback_url", rule=_CALLBACK_RULE
        )
    return url


def check_call(call: ExecuteCall | StatusCall | RefundCall) -> None:
    """Refuse a call without a usable reference or amount.

    No limits of amount here: a payment that exists must always be looked up, whatever the limits are today.
    """
    if not isinstance(call.gateway_reference, str) or not m.is_reference(call.gateway_reference):
        rule = "a payment reference as Nagad gave it"
        raise InvalidRequestError(
            f"gateway_reference does not fit: {rule}.", field="gateway_reference", rule=rule
        )
    check_amount(call.amount)


def check_refund(api: Api, call: RefundCall) -> None:
    """Refuse a refund whose parts cannot be sent.

    Raises:
        InvalidRequestError: an id or the reason does not fit; the reason by its size in bytes, as far as it can be
            known before the payment's own amount is.
        CurrencyNotSupportedError: not BDT.
    """
    check_call(call)
    if not is_id(call.transaction_id):
        rule = "a transaction id as Nagad gave it"
        raise InvalidRequestError(f"transaction_id does not fit: {rule}.", field="transaction_id", rule=rule)
    if not isinstance(call.reason, str) or not is_text(call.reason):
        raise InvalidRequestError(f"reason does not fit: {_REASON_RULE}.", field="reason", rule=_REASON_RULE)
    if call.amount.currency != m.CURRENCY:
        raise CurrencyNotSupportedError(
            f"nagad does not take {call.amount.currency}.", field="amount", rule=f"currency {m.CURRENCY}"
        )
    check_room(text_of(api, call, call.amount, _SOME_DAY).to_json(), api.seal.room_bytes, call.reason)


def check_resumed(evidence: Evidence, order_id: str) -> str:
    """The reference that an opening's checkpoint kept.

    Raises:
        InvalidRequestError: it is no such evidence, or another submission's. Nothing was sent.
    """
    reference = reference_in(evidence, order_id)
    if reference is None or not m.is_reference(reference):
        rule = "the evidence that this submission's own checkpoint was given"
        raise InvalidRequestError(
            f"The evidence to resume from does not fit: {rule}.", field="resume", rule=rule
        )
    return reference

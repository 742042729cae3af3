"""What every gateway refuses before anything is sent, decided by its capabilities."""

from vextrus_payments.capabilities import Capabilities, Feature
from vextrus_payments.errors import (
    AmountError,
    CurrencyNotSupportedError,
    InvalidRequestError,
    UnsupportedOperationError,
)
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, PaymentRequest, check_amount


def checked_order_id(
    can: Capabilities, request: PaymentRequest, gateway_order_id: str | None, submission_no: int
) -> str:
    """The gateway order id to use for this submission, once nothing about the request is against the capabilities.

    Raises: as PaymentGateway.check_payment_request.
    """
    if request.gateway != can.gateway:
        raise InvalidRequestError(
            f"The request is for {request.gateway}, this is {can.gateway}.",
            field="gateway",
            rule=f"must be {can.gateway}",
            gateway=can.gateway,
        )
    check_amount_within(can, request.amount, "amount")
    if request.intent is Intent.AUTHORIZATION and not can.can(Feature.CAPTURE):
        raise UnsupportedOperationError(
            f"{can.gateway} cannot hold money and capture it later.",
            field="intent",
            rule="must be sale",
            gateway=can.gateway,
        )
    order_id = gateway_order_id
    if order_id is None:
        if submission_no == 1 and can.order_id.fits(request.merchant_reference):
            return request.merchant_reference  # the plain case, and the quick one
        order_id = can.order_id.make(request.merchant_reference, submission_no)
    if not can.order_id.fits(order_id):
        rule = f"{can.order_id.min_length}-{can.order_id.max_length} characters of {can.order_id.characters}"
        raise InvalidRequestError(
            f"{can.gateway} would refuse this gateway order id: {rule}.",
            field="gateway_order_id",
            rule=rule,
            gateway=can.gateway,
        )
    return order_id


def check_amount_within(can: Capabilities, amount: Money, field: str) -> None:
    """Refuse an amount that is not Money above zero, of another currency, or outside the gateway's limits."""
    check_amount(amount, field)
    if amount.currency not in can.currencies:
        raise CurrencyNotSupportedError(
            f"{can.gateway} does not take {amount.currency}.",
            field=field,
            rule=f"currency one of {', '.join(sorted(can.currencies))}",
            gateway=can.gateway,
        )
    least, most = _limits_in(can, amount.currency)
    if least is not None and amount < least:
        raise AmountError(
            f"{amount} is below {can.gateway}'s minimum of {least}.",
            field=field,
            rule=f"at least {least}",
            gateway=can.gateway,
        )
    if most is not None and most < amount:
        raise AmountError(
            f"{amount} is above {can.gateway}'s maximum of {most}.",
            field=field,
            rule=f"at most {most}",
            gateway=can.gateway,
        )


def _limits_in(can: Capabilities, currency: str) -> tuple[Money | None, Money | None]:
    """The least and the most in this currency: limits in another one say nothing without a rate."""
    least, most = can.min_amount, can.max_amount
    return (
        least if least is not None and least.currency == currency else None,
        most if most is not None and most.currency == currency else None,
    )

"""What is to be paid, as every version of bKash's API is told it."""

from dataclasses import dataclass, field

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A payment to create: mode 0011, or 0001 with an agreement. All of it checked by the gateway class."""

    invoice: str
    amount: Money
    callback_url: str = field(repr=False)
    payer_reference: str = field(repr=False)
    intent: Intent = Intent.SALE
    mode: str = m.MODE_CHECKOUT
    agreement_id: str | None = field(default=None, repr=False)
    association_info: str | None = None
    sub_merchant_name: str | None = None
    """v2 only (§5)."""

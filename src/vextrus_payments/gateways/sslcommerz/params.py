"""What a caller may say to SSLCommerz beyond the unified fields, and the rules its fields keep (dossier §1.2)."""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError, model_validator

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.forms import cart_text
from vextrus_payments.money import Money
from vextrus_payments.payment import ProviderParams

_BIN: Final = re.compile(r"[0-9]{6,8}", re.ASCII)
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+", re.ASCII)


def is_text(value: str) -> bool:
    """True for one printable line that is not blank. Bangla's joiners (U+200C, U+200D) belong to its spelling."""
    letters = value.replace("\u200c", "").replace("\u200d", "")
    return letters.isprintable() and bool(letters.strip())


def _shown(value: str) -> str:
    if not is_text(value):
        raise ValueError("printable characters, not blank")
    return value


def _echoed(value: str) -> str:
    # What SSLCommerz signs is not escaped: a text with these could be cut into other fields (§1.5).
    if "&" in value or "=" in value:
        raise ValueError("neither & nor =, for what SSLCommerz signs is not escaped")
    return _shown(value)


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise ValueError("an e-mail address")
    return value


def _bin(value: str) -> str:
    if not _BIN.fullmatch(value):
        raise ValueError("the first 6 to 8 digits of a card")
    return value


def _positive(value: Money) -> Money:
    if not value.is_positive:
        raise ValueError("an amount above zero")
    return value


Text20 = Annotated[str, Field(min_length=1, max_length=20), AfterValidator(_shown)]
Text30 = Annotated[str, Field(min_length=1, max_length=30), AfterValidator(_shown)]
Text50 = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_shown)]
Text150 = Annotated[str, Field(min_length=1, max_length=150), AfterValidator(_shown)]
Text255 = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_shown)]
Email = Annotated[str, Field(min_length=3, max_length=50), AfterValidator(_email)]
Echoed = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_echoed)]
Above0 = Annotated[Money, AfterValidator(_positive)]


class _Part(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """A group of fields. What breaks a rule is an InvalidRequestError, as everywhere."""

    def __init__(self, **data: Any) -> None:
        refusal = None
        try:
            super().__init__(**data)
        except ValidationError as error:
            refusal = refusal_of(error)
        if refusal is not None:
            raise refusal


class Address(_Part, frozen=True):
    """A postal address of the payer or of the one who gets the goods."""

    line1: Text50 = Field(repr=False)
    line2: Text50 | None = Field(default=None, repr=False)
    city: Text50 = Field(default="Dhaka", repr=False)
    state: Text50 | None = Field(default=None, repr=False)
    postcode: Text30 = Field(default="1000", repr=False)
    country: Text50 = Field(default="Bangladesh", repr=False)


class Shipping(_Part, frozen=True):
    """How the goods are sent. YES and SSLCOMMERZ_LOGISTIC need a name and an address, the latter fields of its own."""

    method: m.ShippingMethod = m.ShippingMethod.NO
    name: Text50 | None = Field(default=None, repr=False)
    address: Address | None = Field(default=None, repr=False)
    area: Text50 | None = None
    sub_city: Text50 | None = None
    weight: Text20 | None = None
    """Of all items, in kilograms."""
    pickup_id: Text50 | None = None
    delivery_type: Text50 | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Shipping":
        if self.method in (m.ShippingMethod.YES, m.ShippingMethod.LOGISTIC) and not (
            self.name and self.address
        ):
            raise ValueError("name and address with this method")
        if self.method is m.ShippingMethod.LOGISTIC and not (
            self.weight and self.pickup_id and self.delivery_type
        ):
            raise ValueError("weight, pickup_id and delivery_type with SSLCOMMERZ_LOGISTIC")
        return self

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        to = self.address
        return {
            "shipping_method": self.method.value,
            "ship_name": self.name,
            "ship_add1": to.line1 if to else None,
            "ship_add2": to.line2 if to else None,
            "ship_area": self.area,
            "ship_city": to.city if to else None,
            "ship_sub_city": self.sub_city,
            "ship_state": to.state if to else None,
            "ship_postcode": to.postcode if to else None,
            "ship_country": to.country if to else None,
            "weight_of_items": self.weight,
            "logistic_pickup_id": self.pickup_id,
            "logistic_delivery_type": self.delivery_type,
        }


class AirlineTickets(_Part, frozen=True):
    """What product_profile airline-tickets needs."""

    hours_till_departure: Text30
    flight_type: Text30
    pnr: Text50 = Field(repr=False)
    journey_from_to: Text255
    third_party_booking: bool = False

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        return {
            "product_profile": m.ProductProfile.AIRLINE_TICKETS.value,
            "hours_till_departure": self.hours_till_departure,
            "flight_type": self.flight_type,
            "pnr": self.pnr,
            "journey_from_to": self.journey_from_to,
            "third_party_booking": "Yes" if self.third_party_booking else "No",
        }


class TravelVertical(_Part, frozen=True):
    """What product_profile travel-vertical needs."""

    hotel_name: Text255
    length_of_stay: Text30
    check_in_time: Text30
    hotel_city: Text50

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        return {
            "product_profile": m.ProductProfile.TRAVEL_VERTICAL.value,
            "hotel_name": self.hotel_name,
            "length_of_stay": self.length_of_stay,
            "check_in_time": self.check_in_time,
            "hotel_city": self.hotel_city,
        }


class TelecomVertical(_Part, frozen=True):
    """What product_profile telecom-vertical needs."""

    product_type: Text30
    topup_number: Text150 = Field(repr=False)
    country_topup: Text30 = "Bangladesh"

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        return {
            "product_profile": m.ProductProfile.TELECOM_VERTICAL.value,
            "product_type": self.product_type,
            "topup_number": self.topup_number,
            "country_topup": self.country_topup,
        }


class CartLine(_Part, frozen=True):
    """One line of the cart, as SSLCommerz's page shows it."""

    product: Text255
    quantity: int = Field(default=1, ge=1, le=100_000, strict=True)
    amount: Above0
    """Of the whole line."""
    unit_price: Above0 | None = None
    sku: Text50 | None = None

    def fields(self) -> dict[str, str]:
        """Under SSLCommerz's names; what is not said is left out."""
        said = {
            "sku": self.sku,
            "product": self.product,
            "quantity": str(self.quantity),
            "amount": self.amount.amount,
            "unit_price": self.unit_price.amount if self.unit_price else None,
        }
        return {name: value for name, value in said.items() if value is not None}


class Emi(_Part, frozen=True):
    """Payment by instalments: whether the page offers it, for how many months, and whether it offers nothing else."""

    max_instalments: int | None = Field(default=None, ge=3, le=36, strict=True)
    selected_instalments: int | None = Field(default=None, ge=3, le=36, strict=True)
    only: bool = False

    @model_validator(mode="after")
    def _fits(self) -> "Emi":
        most, chosen = self.max_instalments, self.selected_instalments
        if any(each is not None and each % 3 for each in (most, chosen)):
            raise ValueError("instalments in steps of three: 3, 6, 9 ...")
        if most is not None and chosen is not None and chosen > most:
            raise ValueError("selected_instalments of at most max_instalments")
        return self

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        return {
            "emi_option": "1",
            "emi_max_inst_option": None if self.max_instalments is None else str(self.max_instalments),
            "emi_selected_inst": None
            if self.selected_instalments is None
            else str(self.selected_instalments),
            "emi_allow_only": "1" if self.only else "0",
        }


PlainProfile = Literal[
    m.ProductProfile.GENERAL, m.ProductProfile.PHYSICAL_GOODS, m.ProductProfile.NON_PHYSICAL_GOODS
]


class SslcommerzCheckout(ProviderParams, frozen=True, hide_input_in_errors=True):
    """SSLCommerz's own parameters of a payment, for `PaymentRequest(params=...)`. All have a default.

    `value_d` is not here: it carries the reference by which a session of ours is told from another's (protocol.py).

    Raises (on creation):
        InvalidRequestError: a field breaks its rule; it names the field and the rule.
    """

    product_name: Text255 | None = None
    """Else the merchant reference."""
    product_category: Text50 = "General"
    profile: PlainProfile | AirlineTickets | TravelVertical | TelecomVertical = m.ProductProfile.GENERAL
    number_of_items: int = Field(default=1, ge=1, le=100_000, strict=True)

    name: Text50 | None = Field(default=None, repr=False)
    """Of the payer; else the request's customer's."""
    email: Email | None = Field(default=None, repr=False)
    phone: Text20 | None = Field(default=None, repr=False)
    fax: Text20 | None = Field(default=None, repr=False)
    address: Address | None = Field(default=None, repr=False)

    shipping: Shipping = Shipping()
    cart: tuple[CartLine, ...] = Field(default=(), max_length=100)
    product_amount: Above0 | None = None
    vat: Above0 | None = None
    discount_amount: Above0 | None = None
    convenience_fee: Above0 | None = None

    channels: tuple[m.Channel, ...] = ()
    """What the page offers; all that the store has where none is named. `multi_card_name`."""
    allowed_bins: Annotated[tuple[Annotated[str, AfterValidator(_bin)], ...], Field(max_length=30)] = ()
    """Only cards that begin so."""
    emi: Emi | None = None

    value_a: Echoed | None = None
    value_b: Echoed | None = None
    value_c: Echoed | None = None
    """The shop's own texts, repeated in every answer and notification."""

    def __init__(self, **data: Any) -> None:
        refusal = None
        try:
            super().__init__(**data)
        except ValidationError as error:
            refusal = refusal_of(error)
        # Out here: a ValidationError keeps the input, and must not hang on to ours as __context__.
        if refusal is not None:
            raise refusal

    def amounts(self) -> dict[str, Money]:
        """Every amount but the payment's own, by the field's name."""
        named = {
            "product_amount": self.product_amount,
            "vat": self.vat,
            "discount_amount": self.discount_amount,
            "convenience_fee": self.convenience_fee,
        }
        for number, line in enumerate(self.cart):
            named[f"cart.{number}.amount"] = line.amount
            named[f"cart.{number}.unit_price"] = line.unit_price
        return {name: amount for name, amount in named.items() if amount is not None}

    def fields(self) -> dict[str, str | None]:
        """What does not depend on the payment, under SSLCommerz's names."""
        profile = (
            {"product_profile": self.profile.value}
            if isinstance(self.profile, m.ProductProfile)
            else self.profile.fields()
        )
        amounts = ("product_amount", "vat", "discount_amount", "convenience_fee")
        known = self.amounts()
        return {
            "product_category": self.product_category,
            "num_of_item": str(self.number_of_items),
            "cus_fax": self.fax,
            **profile,
            **self.shipping.fields(),
            **{name: known[name].amount for name in amounts if name in known},
            **({} if self.emi is None else self.emi.fields()),
            "cart": cart_text([line.fields() for line in self.cart]) if self.cart else None,
            "multi_card_name": ",".join(self.channels) or None,
            "allowed_bin": ",".join(self.allowed_bins) or None,
            "value_a": self.value_a,
            "value_b": self.value_b,
            "value_c": self.value_c,
        }


class SslcommerzInvoice(_Part, frozen=True):
    """How an invoice is handed over (§1.9)."""

    account_no: Text50 | None = Field(default=None, repr=False)
    """The payer's number with the shop."""
    send_email: bool = False
    send_sms: bool = False
    bangla_qr: bool = False

    def fields(self) -> dict[str, str | None]:
        """Under SSLCommerz's names."""
        return {
            m.ACCOUNT_NO: self.account_no,
            m.SENT_EMAIL: m.YES if self.send_email else m.NO,
            m.SENT_SMS: m.YES if self.send_sms else m.NO,
            m.BANGLA_QR: m.YES if self.bangla_qr else m.NO,
        }


def refusal_of(error: ValidationError) -> InvalidRequestError:
    """The first rule that was broken, without the input that broke it."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in found["loc"]) or "params"
    rule = found["msg"].removeprefix("Value error, ")
    return InvalidRequestError(f"{field} does not fit: {rule}.", field=field, rule=rule)

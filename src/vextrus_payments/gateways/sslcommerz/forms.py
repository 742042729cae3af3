"""The form that opens a session, and an invoice: every field that SSLCommerz takes (dossier §1.2, §1.9)."""

import json
from typing import Any, ClassVar
from urllib.parse import urlencode

from pydantic import Field

from vextrus_payments.gateways.bodies import Body
from vextrus_payments.gateways.sslcommerz import models as m


def encode_form(fields: dict[str, str]) -> bytes:
    """`application/x-www-form-urlencoded`, UTF-8, in the order of the fields."""
    return urlencode(fields, encoding="utf-8").encode("ascii")


def _sent(limit: int, *, hidden: bool = False, least: int = 1) -> Any:
    return Field(min_length=least, max_length=limit, repr=not hidden)


def _may(limit: int, *, hidden: bool = False) -> Any:
    return Field(default=None, min_length=1, max_length=limit, repr=not hidden)


class SessionForm(Body):
    """The form of a session: every field of §1.2, text throughout, absent ones left out. Personal data is not shown."""

    content_type: ClassVar[str] = "application/x-www-form-urlencoded"

    store_id: str = _sent(m.STORE_MAX)
    store_passwd: str = _sent(m.STORE_MAX, hidden=True)
    total_amount: str = _sent(13)
    currency: str = _sent(3, least=3)
    tran_id: str = _sent(m.TRAN_ID_MAX)
    success_url: str = _sent(m.URL_MAX, hidden=True)
    fail_url: str = _sent(m.URL_MAX, hidden=True)
    cancel_url: str = _sent(m.URL_MAX, hidden=True)
    ipn_url: str | None = _may(m.URL_MAX, hidden=True)
    product_name: str = _sent(255)
    product_category: str = _sent(50)
    product_profile: str = _sent(100)
    cus_name: str = _sent(50, hidden=True)
    cus_email: str = _sent(50, hidden=True)
    cus_add1: str = _sent(50, hidden=True)
    cus_add2: str | None = _may(50, hidden=True)
    cus_city: str = _sent(50, hidden=True)
    cus_state: str | None = _may(50, hidden=True)
    cus_postcode: str = _sent(30, hidden=True)
    cus_country: str = _sent(50, hidden=True)
    cus_phone: str = _sent(20, hidden=True)
    cus_fax: str | None = _may(20, hidden=True)
    shipping_method: str = _sent(50)
    num_of_item: str = _sent(10)
    ship_name: str | None = _may(50, hidden=True)
    ship_add1: str | None = _may(50, hidden=True)
    ship_add2: str | None = _may(50, hidden=True)
    ship_area: str | None = _may(50, hidden=True)
    ship_city: str | None = _may(50, hidden=True)
    ship_sub_city: str | None = _may(50, hidden=True)
    ship_state: str | None = _may(50, hidden=True)
    ship_postcode: str | None = _may(50, hidden=True)
    ship_country: str | None = _may(50, hidden=True)
    weight_of_items: str | None = _may(10)
    logistic_pickup_id: str | None = _may(50)
    logistic_delivery_type: str | None = _may(50)
    hours_till_departure: str | None = _may(30)
    flight_type: str | None = _may(30)
    pnr: str | None = _may(50, hidden=True)
    journey_from_to: str | None = _may(255)
    third_party_booking: str | None = _may(20)
    hotel_name: str | None = _may(255)
    length_of_stay: str | None = _may(30)
    check_in_time: str | None = _may(30)
    hotel_city: str | None = _may(50)
    product_type: str | None = _may(30)
    topup_number: str | None = _may(150, hidden=True)
    country_topup: str | None = _may(30)
    cart: str | None = Field(default=None, min_length=2)
    product_amount: str | None = _may(13)
    vat: str | None = _may(13)
    discount_amount: str | None = _may(13)
    convenience_fee: str | None = _may(13)
    multi_card_name: str | None = _may(255)
    """Its own limit is 30, and the vendor's sample is longer (§1.2)."""
    allowed_bin: str | None = _may(255)
    emi_option: str | None = _may(1)
    emi_max_inst_option: str | None = _may(2)
    emi_selected_inst: str | None = _may(2)
    emi_allow_only: str | None = _may(1)
    value_a: str | None = _may(255)
    value_b: str | None = _may(255)
    value_c: str | None = _may(255)
    value_d: str | None = _may(255)

    def fields(self) -> dict[str, str]:
        """What is sent, in order."""
        return self.model_dump(exclude_none=True)

    def to_form(self) -> bytes:
        """The bytes to send."""
        return encode_form(self.fields())


def cart_text(lines: list[dict[str, str]]) -> str:
    """`cart`: JSON text of `{sku, product, quantity, amount, unit_price}` (§1.2)."""
    return json.dumps(lines, ensure_ascii=False, separators=(",", ":"))

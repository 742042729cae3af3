"""What a merchant asks for with a session, checked (dossier §1.2).

Refused is only what leaves nothing to pay or nobody to pay it. What documents ask for besides, and real clients leave
out, is taken as it is and told as a missed manner: sources do not agree on what SSLCommerz itself refuses.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments_sandbox.sslcommerz.amounts import in_taka, read_amount
from vextrus_payments_sandbox.sslcommerz.channels import named_by, unknown_words
from vextrus_payments_sandbox.sslcommerz.records import VALUES, Refusal, Rules

_AMOUNT_MIN: Final = read_amount(m.AMOUNT_MIN) or 0
_AMOUNT_MAX: Final = read_amount(m.AMOUNT_MAX) or 0
_URL: Final = re.compile(r"https?://[^\s/?#\\\x00-\x1f\x7f]+(?:[/?#][^\s\\\x00-\x1f\x7f]*)?", re.ASCII)
_URLS: Final = ("success_url", "fail_url", "cancel_url")
_WORD_MAX: Final = 60
_INSTALLMENTS: Final = re.compile(r"[1-9][0-9]?", re.ASCII)
MANDATORY: Final[Mapping[str, int]] = {
    "total_amount": 13,
    "currency": 3,
    "tran_id": 50,
    "success_url": m.URL_MAX,
    "fail_url": m.URL_MAX,
    "cancel_url": m.URL_MAX,
    "product_name": 256,
    "product_category": 100,
    "product_profile": 100,
    "cus_name": 50,
    "cus_email": 50,
    "cus_add1": 50,
    "cus_city": 50,
    "cus_postcode": 30,
    "cus_country": 50,
    "cus_phone": 20,
    "shipping_method": 50,
    "num_of_item": 10,
}
"""Field -> its longest text; where sources name two limits, the longer one."""
_OPTIONAL: Final[Mapping[str, int]] = {
    "ipn_url": m.URL_MAX,
    "cus_add2": 50,
    "cus_state": 50,
    "cus_fax": 20,
    "allowed_bin": 255,
    **dict.fromkeys(VALUES, 255),
    **dict.fromkeys(("ship_name", "ship_add1", "ship_city", "ship_postcode", "ship_country"), 50),
    "hours_till_departure": 30,
    "flight_type": 30,
    "pnr": 50,
    "journey_from_to": 255,
    "third_party_booking": 20,
    "hotel_name": 255,
    "length_of_stay": 30,
    "check_in_time": 30,
    "hotel_city": 50,
    "product_type": 30,
    "topup_number": 150,
    "country_topup": 30,
}
_SHIPPED: Final = ("ship_name", "ship_add1", "ship_city", "ship_postcode", "ship_country")
_BY_PROFILE: Final[Mapping[str, tuple[str, ...]]] = {
    m.ProductProfile.AIRLINE_TICKETS: ("hours_till_departure", "flight_type", "pnr", "journey_from_to"),
    m.ProductProfile.TRAVEL_VERTICAL: ("hotel_name", "length_of_stay", "check_in_time", "hotel_city"),
    m.ProductProfile.TELECOM_VERTICAL: ("product_type", "topup_number", "country_topup"),
}
_KEPT: Final = ("product_name", "cus_name", "cus_fax")


@dataclass(frozen=True, slots=True)
class Asked:
    """A session as it was asked for."""

    tran_id: str
    amount_minor: int
    currency: str
    currency_minor: int
    rate: str
    success_url: str
    fail_url: str
    cancel_url: str
    ipn_url: str
    channels: tuple[str, ...]
    values: Mapping[str, str]
    details: Mapping[str, str]


Objection = tuple[str, Mapping[str, object]]
"""(code of a manner, its words)."""


def asked(fields: Mapping[str, str], rules: Rules) -> Asked:
    """What the form asks for. Raises :class:`Refusal`."""
    if not fields.get("tran_id", "").strip():
        raise Refusal("Invalid Information: tran_id is missing")
    if len(fields["tran_id"]) > rules.tran_id_max:
        raise Refusal(f"Invalid Information: tran_id is longer than {rules.tran_id_max} characters")
    currency, currency_minor, rate = _priced(fields, rules)
    amount_minor = in_taka(currency_minor, rate)
    if not _AMOUNT_MIN <= amount_minor <= _AMOUNT_MAX:
        raise Refusal(f"Invalid Information: total_amount lies between {m.AMOUNT_MIN} and {m.AMOUNT_MAX} BDT")
    for name in (*_URLS, "ipn_url"):
        url = fields.get(name, "")
        if (url or name != "ipn_url") and not is_address(url):
            raise Refusal(
                f"Invalid Information: {name} is an http or https address of at most {m.URL_MAX} characters"
            )
    channels = named_by(fields.get("multi_card_name", ""))
    if not channels:
        raise Refusal("Invalid Information: multi_card_name leaves no way to pay")
    return Asked(
        tran_id=fields["tran_id"],
        amount_minor=amount_minor,
        currency=currency,
        currency_minor=currency_minor,
        rate=rate,
        success_url=fields["success_url"],
        fail_url=fields["fail_url"],
        cancel_url=fields["cancel_url"],
        ipn_url=fields.get("ipn_url", ""),
        channels=channels,
        values={name: fields.get(name, "")[:255] for name in VALUES},
        details={**{name: fields.get(name, "") for name in _KEPT}, **_installments(fields)},
    )


def objections(fields: Mapping[str, str], wanted: Asked, panel_url: str) -> Iterator[Objection]:
    """What a merchant's acceptance test would find in it; `panel_url` is where his panel has IPNs sent."""
    for name, limit in {**MANDATORY, **_OPTIONAL}.items():
        text = fields.get(name, "")
        if name in MANDATORY and not text.strip():
            yield "missing_field", {"field": name}
        if len(text) > limit:
            yield "long_field", {"field": name, "limit": limit}
    if len(wanted.tran_id) > m.TRAN_ID_MAX:
        yield "long_tran_id", {"length": len(wanted.tran_id)}
    for name in ("tran_id", *VALUES):
        if "&" in fields.get(name, "") or "=" in fields.get(name, ""):
            yield "signed_characters", {"field": name}
    if not (wanted.ipn_url or panel_url):
        yield "no_ipn", {}
    elif wanted.ipn_url and not _is_here(wanted.ipn_url):
        yield "foreign_ipn", {}
    yield from _of_words(fields)


def is_address(url: str) -> bool:
    """Whether it can be put into a form's action, or be posted to."""
    return len(url) <= m.URL_MAX and _URL.fullmatch(url) is not None


def _of_words(fields: Mapping[str, str]) -> Iterator[Objection]:
    profile, shipping = fields.get("product_profile", ""), fields.get("shipping_method", "")
    for name, text, known in (
        ("product_profile", profile, tuple(m.ProductProfile)),
        ("shipping_method", shipping, tuple(m.ShippingMethod)),
    ):
        if text and text not in known:
            yield "unknown_word", {"field": name, "word": text[:_WORD_MAX]}
    for word in unknown_words(fields.get("multi_card_name", "")):
        yield "unknown_word", {"field": "multi_card_name", "word": word[:_WORD_MAX]}
    needed = _BY_PROFILE.get(profile, ())
    if shipping in (m.ShippingMethod.YES, m.ShippingMethod.LOGISTIC):
        needed = (*needed, *_SHIPPED)
    for name in needed:
        if not fields.get(name, "").strip():
            yield "missing_field", {"field": name}
    if fields.get("cart") and not _is_list(fields["cart"]):
        yield "unknown_word", {"field": "cart", "word": "no JSON list"}


def _priced(fields: Mapping[str, str], rules: Rules) -> tuple[str, int, str]:
    currency = fields.get("currency", "").strip().upper()
    rate = "1.0000" if currency == m.CURRENCY else rules.rates.get(currency, "")
    if not rate:
        known = ", ".join((m.CURRENCY, *rules.rates))
        raise Refusal(f"Invalid Information: currency is one of {known}")
    priced = read_amount(fields.get("total_amount", "").strip())
    if priced is None:
        raise Refusal("Invalid Information: total_amount is a number with up to two decimals")
    return currency, priced, rate


def _installments(fields: Mapping[str, str]) -> dict[str, str]:
    """In how many parts the payer pays; empty for at once."""
    chosen = fields.get("emi_selected_inst", "") or fields.get("emi_max_inst_option", "")
    if fields.get("emi_option") != "1" or not _INSTALLMENTS.fullmatch(chosen):
        return {}
    return {"emi_instalment": chosen}


def _is_here(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")


def _is_list(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False

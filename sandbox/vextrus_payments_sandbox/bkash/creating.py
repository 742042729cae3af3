"""What a create call asks for, read and checked before anything is made (dossier §4.1, §4.2, §11). Pure functions.

Every refusal is a :class:`Refusal` with bKash's own code; what depends on earlier payments (an invoice number used
before, an agreement that is over) is asked in ``rules.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.records import Api, Refusal
from vextrus_payments_sandbox.world import to_paisa

AMOUNT_MIN_MINOR: Final = 100
_CALLBACK_MAX: Final = 2048
_MODES: Final = (m.MODE_AGREEMENT, m.MODE_WITH_AGREEMENT, m.MODE_CHECKOUT)
_PRICED: Final = ("amount", "currency", "intent", "merchantInvoiceNumber")


@dataclass(frozen=True, slots=True)
class Price:
    """How much is asked for, how it is to be taken, and by which of the merchant's numbers."""

    amount_minor: int
    amount_text: str
    intent: str
    invoice: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A create call that makes sense by itself."""

    mode: str
    payer_reference: str
    callback_url: str
    agreement_id: str
    price: Price | None
    """None where an agreement is to be made."""
    api: Api = "v1"
    """Through which product it is asked for."""
    sub_merchant: str = ""


def wish_of(fields: Mapping[str, str]) -> Wish:
    """The wish of a tokenized create call, or the :class:`Refusal` bKash would give (§4.2)."""
    mode = fields.get("mode", "")
    if not mode or not fields.get("callbackURL") or not fields.get("payerReference"):
        raise Refusal("2065")
    if mode not in _MODES:
        raise Refusal("2063")
    check_reference(fields["payerReference"], "2048")
    if not is_callback_url(fields["callbackURL"]):
        raise Refusal("2049")
    agreement_id = fields.get("agreementID", "")
    if mode == m.MODE_AGREEMENT and agreement_id:
        raise Refusal("2063")
    price = None if mode == m.MODE_AGREEMENT else price_of(fields)
    if mode == m.MODE_CHECKOUT and agreement_id:
        raise Refusal("2063")  # "" is tolerated (§4.2)
    return Wish(mode, fields["payerReference"], fields["callbackURL"], agreement_id, price)


def payment_wish_v2(fields: Mapping[str, str]) -> Wish:
    """The wish of v2's create payment (§5). It has no mode; the one that would be right is tolerated."""
    if fields.get("agreementID"):
        raise Refusal("2063")
    return _wish_v2(m.MODE_CHECKOUT, fields)


def charge_wish_v2(fields: Mapping[str, str]) -> Wish:
    """The wish of v2's create payment with agreement."""
    return _wish_v2(m.MODE_WITH_AGREEMENT, fields)


def agreement_wish_v2(fields: Mapping[str, str]) -> Wish:
    """The wish of v2's create agreement."""
    return _wish_v2(m.MODE_AGREEMENT, fields)


def _wish_v2(mode: str, fields: Mapping[str, str]) -> Wish:
    if fields.get("mode", mode) != mode:
        raise Refusal("2063")
    agreement_id = fields.get("agreementID", "") if mode == m.MODE_WITH_AGREEMENT else ""
    wish = wish_of({**fields, "mode": mode, "agreementID": agreement_id})
    return replace(wish, api="v2", sub_merchant=fields.get("subMerchantName", "")[: m.TEXT_MAX])


def checkout_wish(fields: Mapping[str, str]) -> Wish:
    """The wish of the legacy checkout's create (§6): its payer is in the merchant's page, so nobody is led back."""
    return Wish(m.MODE_CHECKOUT, "", "", "", price_of(fields), api="checkout")


def price_of(fields: Mapping[str, str]) -> Price:
    """What a payment costs: an amount of at least one taka, in BDT, with an intent and an invoice number."""
    if not all(fields.get(name) for name in _PRICED):
        raise Refusal("2065")
    amount_minor = to_paisa(fields["amount"])
    if amount_minor is None or amount_minor < AMOUNT_MIN_MINOR:
        raise Refusal("2006")
    if fields["currency"] != m.CURRENCY:
        raise Refusal("2007")
    if fields["intent"] not in (m.INTENT_SALE, m.INTENT_AUTHORIZATION):
        raise Refusal("2008")
    check_reference(fields["merchantInvoiceNumber"], "2031")
    try:
        m.parse_tlv(fields.get("merchantAssociationInfo", ""))
    except ValueError:
        raise Refusal("2047") from None
    return Price(amount_minor, fields["amount"], fields["intent"], fields["merchantInvoiceNumber"])


def check_reference(text: str, code: str) -> None:
    """Refuse with `code` what bKash takes in no reference: too long, ``<``, ``>``, ``&``, a control character."""
    if len(text) > m.TEXT_MAX or any(mark in text for mark in m.FORBIDDEN_IN_REFERENCES):
        raise Refusal(code)
    if any(ord(mark) < 32 or ord(mark) == 127 for mark in text):
        raise Refusal(code)


def is_callback_url(text: str) -> bool:
    """An absolute http(s) URL without blanks or control characters: it becomes a Location header and a link."""
    if (
        len(text) > _CALLBACK_MAX
        or not text.isascii()
        or any(mark <= " " or mark in "\\\x7f" for mark in text)
    ):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False

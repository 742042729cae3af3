"""By what the payer paid: SSLCommerz's `card_type` and `card_brand` as a payment method (dossier §1.4).

`card_type` is a channel's code and its bank, `BKASH-BKash`, `VISA-Dutch Bangla`, `IBBL-Islami Bank`; `card_brand` is
the family: VISA, MASTER, AMEX, IB (internet banking), MOBILEBANKING (or "MOBILE BANKING").
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.methods import MethodKind, PaymentMethod
from vextrus_payments.printable import one_line
from vextrus_payments.secret import MASK

_CARD, _WALLET, _BANK = MethodKind.CARD, MethodKind.WALLET, MethodKind.INTERNET_BANKING

KNOWN: Final[Mapping[str, tuple[MethodKind, str]]] = MappingProxyType(
    {
        "VISA": (_CARD, "visa"),
        "MASTER": (_CARD, "mastercard"),
        "MASTERCARD": (_CARD, "mastercard"),
        "AMEX": (_CARD, "amex"),
        "NEXUS": (_CARD, "nexus"),
        "DBBLNEXUS": (_CARD, "nexus"),
        "QCASH": (_CARD, "qcash"),
        "UNIONPAY": (_CARD, "unionpay"),
        "BKASH": (_WALLET, "bkash"),
        "NAGAD": (_WALLET, "nagad"),
        "DBBLMOBILEB": (_WALLET, "rocket"),
        "DBBLMOBILEBANKING": (_WALLET, "rocket"),
        "ROCKET": (_WALLET, "rocket"),
        "UPAY": (_WALLET, "upay"),
        "CELLFIN": (_WALLET, "cellfin"),
        "MCASH": (_WALLET, "mcash"),
        "MYCASH": (_WALLET, "mycash"),
        "OKWALLET": (_WALLET, "okwallet"),
        "TAP": (_WALLET, "tap"),
        "TAPNPAY": (_WALLET, "tapnpay"),
        "SURECASH": (_WALLET, "surecash"),
        "DMONEY": (_WALLET, "dmoney"),
        "IPAY": (_WALLET, "ipay"),
        "IBBL": (_BANK, "ibbl"),
        "CITY": (_BANK, "city"),
        "CITYTOUCH": (_BANK, "city"),
        "BANKASIA": (_BANK, "bankasia"),
        "ABBANK": (_BANK, "abbank"),
        "MTBL": (_BANK, "mtbl"),
    }
)
"""The part of `card_type` before its hyphen, letters only -> kind and stable name."""
_FAMILIES: Final[Mapping[str, MethodKind]] = MappingProxyType(
    {
        "VISA": _CARD,
        "MASTER": _CARD,
        "MASTERCARD": _CARD,
        "AMEX": _CARD,
        "IB": _BANK,
        "INTERNETBANKING": _BANK,
        "MOBILEBANKING": _WALLET,
    }
)
_PUNCTUATION: Final = re.compile(r"[^A-Z0-9]+", re.ASCII)
#: So many digits may be a card's number, a wallet's or a code that was typed, however they are set apart.
_DIGITS_MAX: Final = 4
_NAME_MAX: Final = 40
_RAW_MAX: Final = 60


def method_of(card_type: str | None, card_brand: str | None) -> PaymentMethod | None:
    """The method; None where neither field says anything.

    The family wins over the code's own kind where both are known and differ (a bank's wallet and its internet banking
    go under one code); a code that nobody knows keeps its own word in lower case. Of a text that holds what may have
    been typed into a page, a number or a password, only what is known by name is kept.
    """
    raw = (card_type or card_brand or "").strip()[:_RAW_MAX]
    odd = _is_odd(raw)
    code = _folded((card_type or "").partition("-")[0])
    family = _FAMILIES.get(_folded(card_brand or ""))
    known = KNOWN.get(code) or KNOWN.get(_folded(card_brand or ""))
    if not raw or (odd and not known):
        return None
    name = known[1] if known else (code or _folded(card_brand or "")).lower()[:_NAME_MAX]
    kind = family or (known[0] if known else (MethodKind.OTHER if name else MethodKind.UNKNOWN))
    return PaymentMethod(kind=kind, name=name or "unknown", raw="" if odd else shown_word(raw))


def _is_odd(raw: str) -> bool:
    """Whether it holds what no channel is called by."""
    return sum(c.isdigit() for c in raw) > _DIGITS_MAX or MASK in raw or shown_word(raw) != one_line(raw)


def _folded(text: str) -> str:
    return _PUNCTUATION.sub("", text.upper())

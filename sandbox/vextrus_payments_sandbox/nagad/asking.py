"""What a merchant asks for, sealed and around the seal: each field read, or refused with the gateway's own code."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.nagad.records import Merchant, Refusal
from vextrus_payments_sandbox.nagad.sealing import encoded

INFO_MAX: Final = 2_048
_COMPACT: Final = re.compile(r"[0-9]{14}", re.ASCII)
_URL: Final = re.compile(r"https?://[^\s/?#\\\x00-\x1f\x7f]+(?:[/?#][^\s\\\x00-\x1f\x7f]*)?", re.ASCII)


def needed(inside: Mapping[str, Any], name: str) -> str:
    """A member that has to be there, a number as its text (one real client sends a bare integer as challenge)."""
    value = inside.get(name)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise Refusal("059", f"{name} is missing or no text")
    return str(value)


def check_ours(inside: Mapping[str, Any], merchant: Merchant, order_id: str) -> None:
    """059 where what was sealed names another merchant or order than the address it came to."""
    if needed(inside, "merchantId") != merchant.merchant_id:
        raise Refusal("059", "merchantId is not the one that was asked for")
    if needed(inside, "orderId") != order_id:
        raise Refusal("059", "orderId is not the one that was asked for")


def moment_of(text: Any) -> datetime:
    """``yyyyMMddHHmmss`` of Dhaka, or 081."""
    try:
        if isinstance(text, str) and _COMPACT.fullmatch(text):
            return datetime.strptime(f"{text}+0600", "%Y%m%d%H%M%S%z")
    except ValueError:
        pass  # fourteen digits that no calendar has
    raise Refusal("081", "a time is yyyyMMddHHmmss")


def info_of(given: Any) -> str | None:
    """additionalMerchantInfo as verify gives it back: the object as compact JSON text."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise Refusal("999", "additionalMerchantInfo is an object")
    text = encoded(given).decode("utf-8")
    if len(text) > INFO_MAX:
        raise Refusal("999", f"additionalMerchantInfo has at most {INFO_MAX} characters")
    return text


def is_callback_url(text: str) -> bool:
    """It becomes a Location header and a link, so nothing in it may be more than an address."""
    fits = m.CALLBACK_URL_MIN <= len(text) <= m.CALLBACK_URL_MAX
    return fits and _URL.fullmatch(text) is not None

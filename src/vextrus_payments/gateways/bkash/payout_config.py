"""The settings of payouts: a product with credentials of its own (dossier §2), all of them or none."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.gateways.bkash.payout_models import CHECKOUT_ROOT_PATH, TOKENIZED_ROOT_PATH
from vextrus_payments.mode import Mode
from vextrus_payments.payment import check_url

CREDENTIALS: Final = ("payout_app_key", "payout_app_secret", "payout_username", "payout_password")
PRESET_URLS: Final[Mapping[Mode, str]] = MappingProxyType(
    {
        Mode.SANDBOX: "https://checkout.sandbox.bka.sh/v1.2.0-beta/checkout",
        Mode.LIVE: "https://checkout.pay.bka.sh/v1.2.0-beta/checkout",
    }
)


def checked_root(value: str) -> str:
    """The root of the API without a slash at its end.

    Raises:
        ValueError: it is none; the text is the rule alone.
    """
    value = value.rstrip("/")
    good = True
    try:
        check_url("payout_api_url", value)
    except InvalidRequestError:
        good = False
    parts = urlsplit(value) if good else None
    if parts is None or "?" in value or "#" in value:
        raise ValueError("must be an absolute URL without query and fragment")
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError("must be https for every host but this machine's own loopback")
    if not value.endswith((CHECKOUT_ROOT_PATH, TOKENIZED_ROOT_PATH)):
        raise ValueError(
            f"must end in {CHECKOUT_ROOT_PATH} (such as {PRESET_URLS[Mode.SANDBOX]}), or in {TOKENIZED_ROOT_PATH} for "
            "payouts that hang off the tokenized host"
        )
    return value


def host_of(root: str) -> str:
    """The host of a checked root: lower case, without port and trailing dot."""
    return (urlsplit(root).hostname or "").rstrip(".")

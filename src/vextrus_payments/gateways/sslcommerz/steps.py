"""What SSLCommerz's protocols stand on: where the API is, how one question is asked, how its words are read."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import quote, quote_plus, urlencode

from vextrus_payments.errors import GatewayError, PaymentsError
from vextrus_payments.gateways.asking import sent
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.readings import Accepted
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.envelope import Call, error_of, read
from vextrus_payments.gateways.sslcommerz.forms import SessionForm, encode_form
from vextrus_payments.gateways.values import money_or_none, utc_of
from vextrus_payments.ids import Entropy
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.secret import MASK, Secret
from vextrus_payments.wire import Send, WireCall, WireRequest

A = TypeVar("A", bound=m.Answer)

_REFERENCE: Final = re.compile(r"[A-Z2-7]{26}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,80}", re.ASCII)
_MASKED: Final = re.compile(r"(?=.*[Xx*])[0-9Xx* -]{8,30}", re.ASCII)
_DIGITS_SHOWN_MAX: Final = 10
_ACCEPT: Final = ("Accept", "application/json")


@dataclass(frozen=True, slots=True)
class Api:
    """Where a store's SSLCommerz is and who it is there.

    The password travels in bodies and queries, for there is no other way (§1.1): neither is ever logged.
    """

    root: str
    mode: Mode
    store_id: str
    password: Secret = field(repr=False)

    def get(self, path: str, params: Mapping[str, str]) -> WireRequest:
        """A question to the validator's routes, the credentials in its query."""
        query = {**params, **self.credentials(), m.VERSION: m.API_VERSION, m.FORMAT: m.FORMAT_JSON}
        return WireRequest("GET", f"{self.root}{path}?{urlencode(query, encoding='utf-8')}", (_ACCEPT,))

    def post(self, path: str, fields: dict[str, str]) -> WireRequest:
        """A form. The fields hold the credentials."""
        headers = (_ACCEPT, ("Content-Type", SessionForm.content_type))
        return WireRequest("POST", self.root + path, headers, encode_form(fields))

    def credentials(self) -> dict[str, str]:
        """The store's id and password, by their names on the wire."""
        return {m.STORE_ID: self.store_id, m.STORE_PASSWORD: self.password.reveal()}

    def hidden(self) -> tuple[str, ...]:
        """The password in every form in which it travels."""
        text = self.password.reveal()
        return (quote_plus(text), quote(text, safe=""), quote(text), text)

    def unsaid(self, text: str | None) -> str | None:
        """A text of SSLCommerz's without the password that it may repeat."""
        for each in self.hidden() if text else ():
            text = text.replace(each, MASK) if text else text
        return text

    def word(self, text: str | None) -> str:
        """A word of SSLCommerz's as it may be shown and kept: as `shown_word`, and without the password."""
        return shown_word(self.unsaid(text))


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that brought no success: the error that stands for it."""

    error: PaymentsError


def ask(api: Api, call: Call[A], request: WireRequest, *, step: str, reference: str) -> WireCall[A | Failed]:
    """Send one request and give its answer, or what stands for a failure, as a value: see asking.py."""
    response = yield from sent(
        Send(
            request=request,
            operation=call.operation.value,
            safety=call.safety,
            step=step,
            reference=reference,
        )
    )
    if isinstance(response, GatewayError):
        return Failed(response)
    reading = read(call, response, hidden=api.hidden)
    if isinstance(reading, Accepted):
        return reading.answer
    return Failed(error_of(call, reading, step=step))


# ------------------------------------------------------------------------------------------- a session's reference


def new_reference(entropy: Entropy) -> str:
    """A reference for a session that is about to be opened: 128 random bits, in Base32."""
    return base64.b32encode(entropy.token_bytes(16)).decode("ascii").rstrip("=")


def is_reference(text: str) -> bool:
    """True for what can be a session's reference."""
    return _REFERENCE.fullmatch(text) is not None


# --------------------------------------------------------------------------------------- reading SSLCommerz's words


def status_of(text: str | None) -> m.Status | None:
    """The status that a word names; None for one that nobody documented."""
    try:
        return m.Status(text or "")
    except ValueError:
        return None


def money_of(amount: str | None, currency: str | None) -> Money | None:
    """The exact amount of a wire text ("69", "97.5", "10.0000"); None where it is absent or cannot be read exactly."""
    return money_or_none(amount, currency) if currency else None


def time_of(text: str | None) -> datetime | None:
    """A wire time in UTC; None where it is absent, all zeros or none. Times decide nothing about money."""
    return utc_of(text, m.parse_time)


def is_id(text: str | None) -> bool:
    """True for what can be an id of SSLCommerz: visible ASCII, not too long."""
    return bool(text and _ID.fullmatch(text))


def account_of(text: str | None) -> str | None:
    """The payer's card as SSLCommerz shows it, its middle hidden (418117XXXXXX6675). A whole number is dropped."""
    if not text or not _MASKED.fullmatch(text) or sum(c.isdigit() for c in text) > _DIGITS_SHOWN_MAX:
        return None
    return text

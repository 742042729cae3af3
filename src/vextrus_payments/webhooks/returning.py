"""The return door, without a web framework: what a browser brings back, and where it goes from here.

Gateways lead a browser back by a redirect, or let it post a form. Whoever has posted is sent on by a redirect
(303) wherever the address alone names his payment: to the shop, or to this very address with GET. So a page that is
loaded again posts nothing, and the shop sees a plain visit with its own cookies.

Nothing that arrives is believed. It names a payment; the engine looks, or executes where the hint is a success, which
is safe for anybody to ask for, any number of times. The browser is sent to the address that the shop stored with the
payment, and to no other. What is added to it is the name of the payment, which the shop looks up with `status()`: an
outcome in an address could be typed by anybody.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from vextrus_payments.engine import ReturnResult
from vextrus_payments.errors import (
    AlreadyPaidError,
    ConfigurationError,
    CredentialsMissingError,
    InvalidRequestError,
    PaymentsError,
    TenantSuspendedError,
    UnknownGatewayError,
)
from vextrus_payments.outcomes import Authorized, Declined, Paid, Pending
from vextrus_payments.reasons import Reason
from vextrus_payments.records import AgreementLife
from vextrus_payments.webhooks.messages import DoorKeeper, Reply
from vextrus_payments.webhooks.pages import GUARDS, Page, Sight, locale_of

#: So long a browser waits for an answer, in seconds; the money is looked after whether or not it does.
WAIT_S: Final = 5.0
#: So long the engine is given of it: it then tells what it knows, the address to go to included.
_ENGINE_WAIT_S: Final = 4.5

FORM: Final = "application/x-www-form-urlencoded"
FORM_MAX_BYTES: Final = 65_536
_QUERY_MAX: Final = 8_192
_FIELDS_MAX: Final = 64
_NAME_MAX, _VALUE_MAX = 128, 2_048

#: After how many seconds a page looks again by itself, the first time, the second time ...; then it waits for a click.
_PACE_S: Final = (2, 3, 5, 8, 13, 20, 30, 30, 30, 30)
OWN: Final = "vextrus_"
"""So begin the names that we put into a return address ourselves: they come back whatever a gateway posts."""
_ROUND: Final = OWN + "look"
#: A payer does not sit before a page for longer without its trying again: to be refused is not counted.
_REFRESH_MAX_S: Final = 60

_log = logging.getLogger("vextrus_payments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """A browser that came back."""

    tenant: str | None
    gateway: str
    query: str = field(repr=False)
    form: bytes | None = field(default=None, repr=False)
    """What it posted; None where it asked with GET."""
    accept_language: str | None = None


async def receive(keeper: DoorKeeper, back: Back) -> Reply:
    """What to answer: a redirect to the shop, or a page. Never raises, but passes a cancellation on."""
    locale = locale_of(back.accept_language)
    fields = returned_fields(back.query, back.form)
    if fields is None:
        return Page(sight=Sight.UNREADABLE, locale=locale).as_reply()
    looked = _times(fields.pop(_ROUND, ""))
    again, refresh_s = None, None
    if back.form is None:  # what was posted is not put into an address
        again = urlencode({**fields, _ROUND: str(looked + 1)})
        refresh_s = _PACE_S[looked] if looked < len(_PACE_S) else None
    page = Page(sight=Sight.PROCESSING, locale=locale, look_again=again, refresh_s=refresh_s)
    sight, reason = Sight.PROCESSING, None
    here = None if back.form is None else to_this_door(back)
    try:
        async with asyncio.timeout(WAIT_S):
            result = await keeper.returned(back.tenant, back.gateway, fields, wait_s=_ENGINE_WAIT_S)
        if result.redirect_to is not None:
            return to_the_shop(result)
        sight, reason = _sight_of(result)
    except TimeoutError:
        return here or page.as_reply()
    except PaymentsError as error:
        sight = _sight_of_error(error, back.tenant)
        if sight is Sight.CLOSED:
            _log.warning("A browser's return could not be looked at (%s).", error.code)
    except Exception as error:  # noqa: BLE001 - the payer gets a page, whatever broke; its text may hold anything
        _log.error("A browser's return failed with %s.", type(error).__name__)
        sight = Sight.CLOSED
    if here is not None and sight is not Sight.UNKNOWN:
        return here
    if sight in (Sight.PROCESSING, Sight.UNFINISHED, Sight.CLOSED):
        return Page(
            sight=sight,
            locale=locale,
            look_again=again,
            refresh_s=refresh_s,
            headers=(("retry-after", "5"),) if sight is Sight.CLOSED else (),
        ).as_reply()
    return Page(sight=sight, locale=locale, reason=reason).as_reply()


def refused(sight: Sight, accept_language: str | None, *, wait_s: int, posted: bool) -> Reply:
    """The page for a browser whose return is not even looked at.

    Args:
        wait_s: when it may come again, where it may: the page then looks again by itself.
        posted: what was posted cannot be asked for again by an address: such a page waits for its reader.
    """
    headers: tuple[tuple[str, str], ...] = ()
    if sight in (Sight.CLOSED, Sight.CROWDED):
        headers = (("retry-after", str(wait_s)),)
        if not posted:
            headers += (("refresh", str(min(wait_s, _REFRESH_MAX_S))),)
    return Page(sight=sight, locale=locale_of(accept_language), headers=headers).as_reply()


def to_the_shop(result: ReturnResult) -> Reply:
    """The redirect to the shop's own address, with `payment_id` or `agreement_key` added to its query."""
    assert result.redirect_to is not None, "asked before"
    name = "payment_id" if result.payment_id is not None else "agreement_key"
    value = result.payment_id if result.payment_id is not None else result.agreement_key
    address = result.redirect_to
    if value is not None:
        address, hash_sign, fragment = address.partition("#")
        join = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
        address = f"{address}{join}{name}={quote(value, safe='')}{hash_sign}{fragment}"
    # A stored address may hold letters beyond ASCII, which a header cannot.
    location = quote(address, safe=":/?#[]@!$&'()*+,;=%-._~")
    return Reply(status=303, headers=(("location", location), *GUARDS))


def to_this_door(back: Back) -> Reply | None:
    """The redirect of one who posted to the same address, for GET; None where that alone names no payment.

    It does where an adapter has put the name there itself: under one that begins with :data:`OWN`.
    """
    named = returned_fields(back.query, None) or {}
    named.pop(_ROUND, None)
    if not any(name.startswith(OWN) for name in named):
        return None
    return Reply(status=303, headers=(("location", "?" + urlencode(named)), *GUARDS))


def _sight_of(result: ReturnResult) -> tuple[Sight, Reason | None]:
    if result.agreement is not None:
        if result.agreement.state is AgreementLife.ACTIVE:
            return Sight.AGREED, None
        return Sight.UNFINISHED, None
    match result.outcome:
        case Paid():
            return Sight.PAID, None
        case Authorized():
            return Sight.AUTHORIZED, None
        case Declined(reason=reason):
            return Sight.DECLINED, reason
        case Pending(sent=False):
            return Sight.UNFINISHED, None
        case _:
            return Sight.PROCESSING, None


def _sight_of_error(error: PaymentsError, tenant: str | None) -> Sight:
    if isinstance(error, InvalidRequestError | UnknownGatewayError):
        return Sight.UNKNOWN
    if isinstance(error, CredentialsMissingError | TenantSuspendedError):
        # The path's word for a tenant that is none; without one they are our own to give.
        return Sight.CLOSED if tenant is None else Sight.UNKNOWN
    if isinstance(error, AlreadyPaidError):
        return Sight.PAID_BEFORE
    if isinstance(error, ConfigurationError):
        return Sight.CLOSED
    return Sight.PROCESSING


def returned_fields(query: str, form: bytes | None) -> dict[str, str] | None:
    """What the query and the form say, None if it is no such thing. What is said twice, and differently, is not said:
    of two payments that one return names neither is looked at."""
    if len(query) > _QUERY_MAX or len(form or b"") > FORM_MAX_BYTES:
        return None
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, max_num_fields=_FIELDS_MAX, errors="strict"
        ) + parse_qsl(
            (form or b"").decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=_FIELDS_MAX,
            errors="strict",
        )
    except ValueError:  # too many, or no UTF-8
        return None
    said: dict[str, str | None] = {}
    for name, value in pairs:
        if len(name) > _NAME_MAX or len(value) > _VALUE_MAX or "\x00" in value:
            return None
        said[name] = value if said.get(name, value) == value else None
    return {name: value for name, value in said.items() if value is not None}


def _times(text: str) -> int:
    """How often this page was looked at by itself: anybody's word, so only a small number counts."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 2 else 0

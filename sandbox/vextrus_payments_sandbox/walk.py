"""Walks a hosted payment page as a payer would: reads its forms, fills them in, presses the button, comes back.

It knows nothing of a gateway but what a payer sees: a form with an input named `wallet`, `otp` or `pin` and a
button `<button name="action" value="Confirm">`. It refuses every page that is not on this machine's loopback: it
types a PIN, and it does so for nobody but the sandbox's test customer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import ConfigurationError, Effect, GatewayError

#: The one test customer whom every sandbox gateway knows.
CUSTOMER: Final[Mapping[str, str]] = MappingProxyType(
    {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
)
_HOPS_MAX: Final = 12
_PAYING: Final = frozenset({"otp", "pin"})
_TIMEOUT_S: Final = 40.0
#: An execute, and the look-up after one without an answer, both at their limits.
_RETURN_TIMEOUT_S: Final = 150.0


@dataclass(slots=True)
class Form:
    """One form of a page: where it goes, what it asks for, which buttons it has."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WayBack:
    """How a browser goes back to the shop."""

    url: str
    posted: Mapping[str, str] | None = field(default=None, repr=False)
    """What it posts there; None where it only follows a redirect."""


class _Forms(HTMLParser):
    """Collects the forms of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self._open: Form | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(given.get("action", ""), given.get("method", "get").lower())
            self.forms.append(self._open)
        elif self._open is not None and given.get("name"):
            kind = given.get("type", "text").lower()
            if tag == "input" and kind in ("radio", "checkbox"):
                # Of several a browser sends the chosen one; where none is, a payer takes the first.
                if "checked" in given or (kind == "radio" and given["name"] not in self._open.fields):
                    self._open.fields[given["name"]] = given.get("value", "on")
            elif tag == "input" and kind not in ("submit", "button", "image"):
                self._open.fields[given["name"]] = given.get("value", "")
            elif tag == "button":
                self._open.buttons.append((given["name"], given.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None


def forms_of(html: str) -> list[Form]:
    """The forms of a page, in their order."""
    parser = _Forms()
    parser.feed(html)
    parser.close()
    return parser.forms


async def walk(
    checkout_url: str, *, customer: Mapping[str, str] = CUSTOMER, action: str = "Confirm"
) -> WayBack:
    """Fill in every form of the hosted page at `checkout_url` until it leads away; returns the way back, not yet gone.

    Args:
        customer: input name -> what the payer types there.
        action: the value of the button pressed: "Confirm", or "Cancel".

    Raises:
        ConfigurationError: the page is not on this machine: it is no sandbox's.
        GatewayError: the page is none that a payer could finish. Effect NONE up to the code; from then on UNKNOWN, for
            there are gateways whose payers pay by it, or by the PIN.
    """
    _check_loopback(checkout_url)
    url, home, paying = checkout_url, _origin(checkout_url), False
    async with _client(_TIMEOUT_S) as client:
        answer = await _fetch(client, "GET", url)
        for _ in range(_HOPS_MAX):
            if answer.is_redirect:
                url = urljoin(url, answer.headers["location"])
                if _origin(url) != home:
                    return WayBack(url)  # the shop's, wherever that is: it is not visited here
                _check_loopback(url)
                answer = await _fetch(client, "GET", url, paying=paying)
                continue
            way = _way_out(answer, url, home)
            if way is not None:
                return way
            form = _form_to_fill(answer, customer, action, paying=paying)
            typed = {name: customer.get(name, value) for name, value in form.fields.items()}
            url = urljoin(url, form.action)
            _check_loopback(url)
            paying = paying or (not typed.keys().isdisjoint(_PAYING) and action == "Confirm")
            answer = await _fetch(client, "POST", url, {**typed, "action": action}, paying=paying)
    raise _unwalkable("it asked for more than a payer would answer", paying=paying)


async def come_back(way: WayBack | str) -> int:
    """Do what the browser does last: open the return URL, or post to it; gives the HTTP status of the shop's page.

    What it posts is followed to where it is sent on to, as long as that is the very same door (303).

    Raises:
        ConfigurationError: it is not on this machine.
        GatewayError: nobody answered there; effect UNKNOWN, for what the shop has done by then is not known.
    """
    way = WayBack(way) if isinstance(way, str) else way
    _check_loopback(way.url)
    async with _client(_RETURN_TIMEOUT_S) as client:
        if way.posted is None:
            return (await _fetch(client, "GET", way.url, paying=True)).status_code
        answer = await _fetch(client, "POST", way.url, way.posted, paying=True)
        onward = urljoin(way.url, answer.headers.get("location", ""))
        if answer.status_code == 303 and onward.partition("?")[0] == way.url.partition("?")[0]:
            answer = await _fetch(client, "GET", onward, paying=True)
        return answer.status_code


def _client(timeout_s: float) -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout_s)


async def _fetch(
    client: httpx.AsyncClient,
    method: str,
    url: str,
    data: Mapping[str, str] | None = None,
    *,
    paying: bool = False,
) -> httpx.Response:
    problem = ""
    try:
        return await client.request(method, url, data=None if data is None else dict(data))
    except httpx.HTTPError as error:
        problem = type(error).__name__
    raise _unwalkable(f"it did not answer ({problem})", paying=paying)


def _form_to_fill(answer: httpx.Response, customer: Mapping[str, str], action: str, *, paying: bool) -> Form:
    if answer.status_code != 200:
        raise _unwalkable(f"it answered HTTP {answer.status_code}", paying=paying)
    for form in forms_of(answer.text):
        if form.method == "post" and ("action", action) in form.buttons and customer.keys() & form.fields:
            return form
    raise _unwalkable("it shows no form with a wallet, a code or a PIN to fill in", paying=paying)


def _way_out(answer: httpx.Response, url: str, home: tuple[str, str]) -> WayBack | None:
    """The form that a page has the browser post to the shop; scripts send it by themselves, else a button does."""
    if answer.status_code != 200:
        return None
    for form in forms_of(answer.text):
        target = urljoin(url, form.action)
        if form.method == "post" and _origin(target) != home:
            return WayBack(target, form.fields)
    return None


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _check_loopback(url: str) -> None:
    if not is_loopback(urlsplit(url).hostname or ""):
        raise ConfigurationError(
            "The payment page is not on this machine, so it is no sandbox's: nothing was typed into it.",
            code="not_a_sandbox",
            next_step="Let the payer open it, or pay in a sandbox.",
        )


def _unwalkable(why: str, *, paying: bool) -> GatewayError:
    return GatewayError(
        f"The payment page could not be walked: {why}.",
        code="page",
        effect=Effect.UNKNOWN if paying else Effect.NONE,
        next_step="Look the payment up: vextrus-pay status." if paying else "Open it in a browser to see.",
    )

"""SSLCommerz's payment protocol as sans-IO generators: session, query, validation (dossier §1.2, §1.6, §1.7).

How a session comes about. One form makes one page. It moves nothing, and only whoever got its answer knows the page,
so a lost answer means a new session under a tran_id of its own.

Whose a transaction is. SSLCommerz takes a tran_id that it has seen before, from anybody who has the store's password:
a second shop on the same store, or the same shop after its records were lost, could open another session under it,
and a query by tran_id shows the attempts of all of them. So each session carries a reference of its own, made at
random, in `value_d`, which SSLCommerz repeats in everything it says. What does not carry it is another session's
money.

How a payment is made. The payer's last click moves the money; there is nothing to execute. What a query by tran_id
shows is where to look, and the validation of its `val_id` is what counts: paid is what is VALID or VALIDATED there,
with our tran_id, our reference, our amount in our currency. Several attempts may stand under one tran_id: a FAILED
one is one try of the payer's on a page that he may try again, and undoes nothing. Two that are paid are money that
came twice.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import (
    InvalidRequestError,
    PaymentsError,
)
from vextrus_payments.gateways.endings import payers_click
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.config import SslcommerzConfig
from vextrus_payments.gateways.sslcommerz.envelope import QUERY, QUERY_SESSION, SESSION, VALIDATE, error_of
from vextrus_payments.gateways.sslcommerz.forms import SessionForm
from vextrus_payments.gateways.sslcommerz.manners import SESSION_LIFE
from vextrus_payments.gateways.sslcommerz.pictures import Pictured, picture_of, picture_without_money
from vextrus_payments.gateways.sslcommerz.steps import Api, Failed, ask, is_id, status_of
from vextrus_payments.mode import Mode
from vextrus_payments.payment import ExecuteCall, StatusCall, check_url
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.wire import WireCall

#: More paid attempts of one session than this are not asked for one by one.
_PAID_MAX: Final = 10
#: Plain labels only: of "shop.example%2f.sslcommerz.com" some programs read another host than others.
_OWN_HOST: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.){0,8}sslcommerz\.com", re.ASCII)


# ------------------------------------------------------------------------------------------------- opening (§1.2)


@dataclass(frozen=True, slots=True)
class Opened:
    """Where to send the payer, and what SSLCommerz calls the session."""

    checkout_url: str = field(repr=False)
    session_key: str | None = field(repr=False)
    logo_url: str | None = None


def open_session(api: Api, form: SessionForm) -> WireCall[Opened]:
    """Open a page. Moves nothing.

    Raises:
        DeclinedError: SSLCommerz refuses the request; its own sentence is in the error's context.
        AuthenticationRejectedError: it refuses the store.
        OutcomeUnknownError: no page came; with effect NONE, for nobody can visit it.
    """
    request = api.post(m.PATH_SESSION, form.fields())
    answer = yield from ask(api, SESSION, request, step="session", reference=form.tran_id)
    if isinstance(answer, Failed):
        raise answer.error
    url = answer.gateway_page_url or ""
    if not is_page(url, api):
        raise error_of(SESSION, Unreadable("its page is no address of SSLCommerz's", 200), step="session")
    key = (
        answer.session_key
        if answer.session_key and m.SESSION_KEY_FORM.fullmatch(answer.session_key)
        else None
    )
    return Opened(url, key, answer.store_logo)


def is_page(url: str, api: Api) -> bool:
    """Whether a payer may be sent there: SSLCommerz's own host (or the configured one), by https.

    A host that is known to move the other mode's money is none of this payment's. This machine's loopback answers by
    plain HTTP, in sandbox mode alone.
    """
    try:
        check_url("checkout_url", url)
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
    except (InvalidRequestError, ValueError):
        return False
    if not url.isascii() or any(c in url for c in '"<>'):
        return False
    own = _OWN_HOST.fullmatch(host) or host == (urlsplit(api.root).hostname or "").rstrip(".")
    if not own or SslcommerzConfig.mode_of_host(host) not in (None, api.mode):
        return False
    return parts.scheme == "https" or (api.mode is Mode.SANDBOX and is_loopback(host))


# ------------------------------------------------------------------------------------------ query, validation (§1.6)


def look_up(api: Api, call: StatusCall | ExecuteCall, now: datetime) -> WireCall[PaymentSnapshot]:
    """Look a payment up: every attempt under its tran_id, and the validation of what is paid. Only reads.

    Raises:
        DeclinedError: SSLCommerz refuses the look-up; never final, it says nothing about the payment.
        GatewayError: no usable answer; nothing is known more than before.
    """
    seen = yield from _seen(api, call, now)
    if isinstance(seen, PaymentsError):
        raise seen
    return seen


def execute(
    api: Api, call: ExecuteCall, now: datetime, *, resuming: bool = False
) -> WireCall[PaymentSnapshot]:
    """What the payer's own click has done: a look-up, for there is nothing to send.

    Returns:
        PAID, or REVIEW where money moved otherwise than asked.

    Raises:
        DeclinedError: he is not done yet (`final` False), or it is over (`final` True).
        OutcomeUnknownError: SSLCommerz shows what nobody documented, or an earlier attempt is not seen as made.
        GatewayError: no usable answer.
    """
    seen = yield from _seen(api, call, now)
    if isinstance(seen, PaymentsError):
        raise seen
    return payers_click(seen, whose="SSLCommerz", step="query", resuming=resuming, no_code="no_attempt")


def look_up_session(api: Api, call: StatusCall, session_key: str) -> WireCall[PaymentSnapshot]:
    """Look one session up by SSLCommerz's own key of it, and validate what is paid (§1.7). Only reads.

    Raises: as look_up.
    """
    request = api.get(m.PATH_QUERY, {m.SESSION_KEY: session_key})
    answer = yield from ask(
        api, QUERY_SESSION, request, step="query_session", reference=call.gateway_order_id
    )
    if isinstance(answer, Failed):
        raise answer.error
    if status_of(answer.status) not in m.PAID:
        return picture_without_money(api, call, (answer,), None)
    seen = yield from _validated(api, call, (answer,))
    if isinstance(seen, PaymentsError):
        raise seen
    return seen


def _seen(
    api: Api, call: StatusCall | ExecuteCall, now: datetime
) -> WireCall[PaymentSnapshot | PaymentsError]:
    request = api.get(m.PATH_QUERY, {m.TRAN_ID: call.gateway_order_id})
    answer = yield from ask(api, QUERY, request, step="query", reference=call.gateway_order_id)
    if isinstance(answer, Failed):
        return answer.error
    rows = tuple(row for row in answer.element if _is_ours(row, call))
    paid = tuple(row for row in rows if status_of(row.status) in m.PAID)
    if not paid:
        return picture_without_money(api, call, rows, now - SESSION_LIFE)
    return (yield from _validated(api, call, paid))


def _is_ours(row: m.Transaction, call: StatusCall | ExecuteCall) -> bool:
    """An attempt of our session. A row without `value_d` may be: its validation will tell."""
    return row.tran_id == call.gateway_order_id and not _is_anothers(row, call)


def _is_anothers(row: m.Transaction, call: StatusCall | ExecuteCall) -> bool:
    """Whether it carries what our session cannot have sent. A blank may be a field that was not repeated."""
    return row.value_d not in (None, "", call.gateway_reference)


def _validated(
    api: Api, call: StatusCall | ExecuteCall, paid: tuple[m.Transaction, ...]
) -> WireCall[PaymentSnapshot | PaymentsError]:
    """The picture that the validations of these paid attempts give together."""
    ids = {row.val_id: row for row in reversed(paid) if row.val_id and is_id(row.val_id)}
    if not ids or len(ids) > _PAID_MAX:
        why = (
            "it calls a payment paid and names no val_id of it"
            if not ids
            else "it has too many paid attempts"
        )
        return error_of(QUERY, Unreadable(why, 200), step="query")
    found: list[Pictured] = []
    proven: set[str | None] = set()
    validated: set[str] = set()
    for val_id, row in reversed(ids.items()):
        request = api.get(m.PATH_VALIDATION, {m.VAL_ID: val_id})
        answer = yield from ask(api, VALIDATE, request, step="validate", reference=call.gateway_order_id)
        if isinstance(answer, Failed):
            return answer.error
        if answer.val_id != val_id and status_of(answer.status) in m.PAID:
            return error_of(VALIDATE, Unreadable("it is about another val_id", 200), step="validate")
        if status_of(answer.status) in m.PAID:
            proven |= {answer.bank_tran_id, row.bank_tran_id}
            validated.add(val_id)
        if _is_anothers(answer, call) and row.value_d != call.gateway_reference:
            continue  # only now it says whose it is
        found.append(Pictured(answer, api.word(answer.status)))
    if not found:
        return picture_without_money(api, call, (), None)
    # A second payment that has no val_id of its own, or is not validated yet, must not be overlooked.
    unproven = tuple(
        row
        for row in paid
        if (row.bank_tran_id not in proven if row.bank_tran_id else row.val_id not in validated)
    )
    return picture_of(api, call, tuple(found), unproven)

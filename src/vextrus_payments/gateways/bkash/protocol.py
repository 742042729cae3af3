"""bKash's payment protocol as sans-IO generators: create, execute, query, search (dossier §4, §5).

Written once for both versions of the API; how each puts its questions stands in `v1_dialect.py` and `v2_dialect.py`.

The other protocols stand beside it: `access.py` (tokens), `holds.py` (capture, void), `refunds.py`, `agreements.py`.

How an execute is read. Money moves at execute and nowhere else, and execute is sent once. After a definite answer
nothing more is asked: bKash fails merchants who query after every execute (§1.3). A definite yes is code 0000 (or
no code, §10.8) with the state Completed or Authorized **and** a transaction id. A definite no is a documented code
that says nothing about the past. Everything else (no answer, an unreadable one, 5xx, 9999, 2003, an unknown code;
"already completed", "invalid state") is followed by one query:

* the query shows the payment as made: that is the answer;
* the outcome was open and the query does not settle it: it stays open (a query right after a timeout may be too
  early, so "Initiated" proves nothing yet);
* bKash refused by "invalid state" and the query shows that the payer is not done: declined, but not for good.
"""

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vextrus_payments.config import is_loopback
from vextrus_payments.errors import (
    DeclinedError,
    Effect,
    GatewayError,
    InvalidRequestError,
    OutcomeUnknownError,
    PaymentsError,
)
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.calls import CREATE, EXECUTE, QUERY, SEARCH
from vextrus_payments.gateways.bkash.envelope import Call, error_of
from vextrus_payments.gateways.bkash.errors import CODES, meaning_of
from vextrus_payments.gateways.bkash.orders import Order as Order
from vextrus_payments.gateways.bkash.steps import (
    Api,
    account_of,
    amount_or_none,
    is_id,
    money_of,
    payment_snapshot,
    put,
    put_after,
    time_of,
)
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.endings import MADE, OPEN, OVER
from vextrus_payments.gateways.readings import Unreadable
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.meanings import ErrorClass
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, StatusCall, check_url
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState, TransactionSnapshot
from vextrus_payments.wire import WireCall

# -------------------------------------------------------------------------------------------------- create (§4.2)


@dataclass(frozen=True, slots=True)
class Created:
    """What bKash knows it by (a paymentID; on v2 an agreement's own id), and the page to send the payer to; None where
    bKash wants no visit (mode 0001, §4.2)."""

    reference: str
    checkout_url: str | None = field(repr=False)


def create_payment(api: Api, order: Order) -> WireCall[Created]:
    """Create a payment. Moves nothing; good for one execute within 24 hours.

    Raises:
        DeclinedError: bKash refuses the request.
        UnreadableAnswerError: no usable session came back, or one for something else than was asked: it is not
            used, and nothing can be paid by it.
    """
    answer = yield from put(api, api.dialect.create(order))
    if isinstance(answer, GatewayError):
        raise answer
    wrong = _wrong_in_session(answer, order)
    if wrong:
        raise error_of(CREATE, Unreadable(f"it names another {wrong} than was asked", 200), step="create")
    return opened(
        CREATE,
        answer.payment_id,
        answer.bkash_url,
        api.mode,
        url_optional=order.mode == m.MODE_WITH_AGREEMENT,
    )


def opened(
    call: Call[m.CreateAnswer], reference: str | None, url: str | None, mode: Mode, *, url_optional: bool
) -> Created:
    """The id and page of a created payment or agreement; raises UnreadableAnswerError where they are no use."""
    reference, url = reference or "", url or None
    why = ""
    if not is_id(reference):
        why = "its id is no id"
    elif url is None and not url_optional:
        why = "it has no bkashURL"
    elif url is not None and not _is_checkout_url(url, mode):
        why = "its bkashURL is no https address"
    if why:
        raise error_of(call, Unreadable(why, 200), step=call.operation.value)
    return Created(reference, url)


def _wrong_in_session(answer: m.CreateAnswer, order: Order) -> str:
    """What bKash repeats of the order must be the order; what it leaves out cannot be checked."""
    asked = order.amount
    if answer.amount != asked.amount or (answer.currency or m.CURRENCY) != asked.currency:
        # Not letter by letter what was asked ("15" for "15.00"): then the value decides.
        try:
            amount = money_of(answer.amount, answer.currency)
        except UnreadableValueError:
            return "amount"
        if amount is not None and amount != asked:
            return "amount"
    if answer.merchant_invoice_number and answer.merchant_invoice_number != order.invoice:
        return "invoice number"
    if answer.intent and answer.intent != order.intent.value:
        return "intent"
    if answer.transaction_status and answer.transaction_status != "Initiated":
        return "state"
    return ""


def _is_checkout_url(url: str, mode: Mode) -> bool:
    """Where a payer may be sent: https, or this machine's own loopback in sandbox mode. Checked, never changed."""
    try:
        check_url("checkout_url", url)
    except InvalidRequestError:
        return False
    if not url.isascii() or re.search('["<>]', url):
        return False
    if url.startswith("https://"):
        return True
    parts = urlsplit(url)
    return parts.scheme == "https" or (mode is Mode.SANDBOX and is_loopback(parts.hostname or ""))


# ----------------------------------------------------------------------------------------- execute and query (§4.4)


def execute_payment(api: Api, call: ExecuteCall) -> WireCall[PaymentSnapshot]:
    """Make the money move (or be held), once; on no definite answer one query. See the module's docstring.

    Returns:
        PAID or AUTHORIZED, or REVIEW where the answer is not what was asked.

    Raises:
        DeclinedError: bKash said no; `final` tells whether this payment can still succeed.
        OutcomeUnknownError: nobody can tell. Look it up; never execute again.
        GatewayError: with effect NONE: nothing was sent, or the front door refused it.
    """
    answer = yield from put(api, api.dialect.execute(call))
    error = answer if isinstance(answer, GatewayError) else None
    if not isinstance(answer, GatewayError):
        snapshot = _executed(api, call, answer)
        if snapshot is not None:
            return snapshot
        error = error_of(EXECUTE, Unreadable("it shows neither a success nor a refusal", 200), step="execute")
    assert error is not None
    if not needs_look_up(error):
        raise error
    seen = yield from look_up(api, call, step="execute.look_up")
    if seen is not None and seen.state in MADE:
        return seen
    raise _not_executed(error, seen)


def _executed(api: Api, call: ExecuteCall, answer: m.ExecuteAnswer) -> PaymentSnapshot | None:
    """The judged picture of a definite yes; None for anything less."""
    try:
        snapshot = payment_snapshot(answer)
    except UnreadableValueError:
        return None
    if snapshot.state not in (SnapshotState.PAID, SnapshotState.AUTHORIZED) or not snapshot.transaction_id:
        return None
    return judged(api, call, snapshot)


def _not_executed(error: GatewayError, seen: PaymentSnapshot | None) -> GatewayError:
    """What to raise after the query did not show the payment as made."""
    if not isinstance(error, DeclinedError):
        return error
    meaning = meaning_of(EXECUTE.operation, error.code)
    settled = seen is not None and (seen.state in OVER or seen.state in OPEN)
    if not settled or seen is None or meaning is None or meaning.kind is ErrorClass.DONE:
        # "Done already" that is not to be seen may be an execution still in flight.
        return still_open(error, "execute")
    if seen.state in OVER:
        return declined_as(error, OVER[seen.state], final=True)
    if meaning.final:
        return declined_as(error, error.reason.code, final=True)
    waiting = seen.state is SnapshotState.INITIATED
    return declined_as(error, ReasonCode.PAYER_NOT_FINISHED if waiting else error.reason.code, final=False)


def query_payment(api: Api, call: StatusCall | ExecuteCall) -> WireCall[PaymentSnapshot]:
    """Look a payment up (§4.5). Only reads.

    Raises:
        DeclinedError: bKash refuses the look-up; never final, it says nothing about the payment.
        GatewayError: no usable answer; nothing is known more than before.
    """
    question = api.dialect.query(call.gateway_reference)
    answer = yield from put(api, question)
    if isinstance(answer, GatewayError):
        raise answer
    snapshot = _pictured(api, call, answer)
    if snapshot is None:
        raise error_of(QUERY, Unreadable("its amount is no exact amount", 200), step="query")
    return snapshot


def look_up(api: Api, call: StatusCall | ExecuteCall, *, step: str) -> WireCall[PaymentSnapshot | None]:
    """The query after a call whose outcome is open; None when it brought nothing that can be used."""
    question = api.dialect.query(call.gateway_reference)
    answer = yield from put_after(api, question, step=step)
    return None if isinstance(answer, PaymentsError) else _pictured(api, call, answer)


def look_only(api: Api, call: ExecuteCall, wanted: frozenset[SnapshotState]) -> WireCall[PaymentSnapshot]:
    """For an attempt that resumes: an earlier one may have been sent, so this one only looks.

    Raises:
        OutcomeUnknownError: the query does not show one of the wanted states, or brought nothing.
    """
    seen = yield from look_up(api, call, step="resume.look_up")
    if seen is not None and seen.state in wanted:
        return seen
    shown = "could not be looked up" if seen is None else f"is {seen.state.value} at bKash"
    raise OutcomeUnknownError(
        f"An earlier attempt may have been sent, and the payment {shown}.",
        code="not_seen",
        effect=Effect.UNKNOWN,
        step="resume.look_up",
    )


def _pictured(api: Api, call: StatusCall | ExecuteCall, answer: m.QueryAnswer) -> PaymentSnapshot | None:
    try:
        return judged(api, call, payment_snapshot(answer))
    except UnreadableValueError:
        return None


# ---------------------------------------------------------------------------------------------- search (§4.8)


def search_transaction(api: Api, transaction_id: str) -> WireCall[TransactionSnapshot | None]:
    """Find a transaction by its id. It names no order: alone it binds nothing.

    Returns:
        None when bKash does not find it; that proves nothing (a transaction just made may not be there yet).

    Raises:
        GatewayError: no usable answer.
    """
    answer = yield from put(api, api.dialect.search(transaction_id))
    if isinstance(answer, GatewayError):
        meaning = meaning_of(SEARCH.operation, answer.code)
        if isinstance(answer, DeclinedError) and meaning is not None and meaning.kind is ErrorClass.NF:
            return None
        raise answer
    why = "" if answer.trx_id == transaction_id else "it is about another transaction"
    amount: Money | None = None
    try:
        amount = money_of(answer.amount, answer.currency)
    except UnreadableValueError:
        why = "its amount is no amount"
    if why:
        raise error_of(SEARCH, Unreadable(why, 200), step="search")
    return TransactionSnapshot(
        transaction_id=transaction_id,
        raw_state=shown_word(answer.transaction_status),
        amount=amount,
        kind=(answer.transaction_type or "")[:64] or None,
        payer_account=account_of(answer.payer_account, answer.customer_msisdn),
        original_amount=amount_or_none(answer.original_trx_amount, answer.currency),
        initiated_at=time_of(answer.initiation_time),
        completed_at=time_of(answer.completed_time),
    )


# ------------------------------------------------------------------------------------------ shared with holds.py


def needs_look_up(error: GatewayError) -> bool:
    """True when the error leaves open what happened."""
    return error.effect is Effect.UNKNOWN or (isinstance(error, DeclinedError) and error.look_up_first)


def judged(api: Api, call: StatusCall | ExecuteCall, snapshot: PaymentSnapshot) -> PaymentSnapshot:
    """The snapshot, marked REVIEW where money moved otherwise than asked (rule 7)."""
    return judge_snapshot(
        snapshot,
        gateway_reference=call.gateway_reference,
        gateway_order_id=call.gateway_order_id,
        amount=call.amount,
        mode=api.mode,
    )


def still_open(error: DeclinedError, name: str) -> OutcomeUnknownError:
    """bKash's no speaks of what was done before, and its look-up does not show it: nobody can tell."""
    known = CODES[error.code].meaning if error.code in CODES else "refused"
    return OutcomeUnknownError(
        f"bKash answered the {name} with code {error.code} ({known}), and its look-up does not settle what happened.",
        code=error.code,
        effect=Effect.UNKNOWN,
        http_status=error.http_status,
        step=error.step,
    )


def declined_as(error: DeclinedError, reason: ReasonCode, *, final: bool) -> DeclinedError:
    """The same no, with the look-up done and what it taught."""
    return DeclinedError(
        error.what,
        reason=Reason(code=reason, gateway_code=error.code, own_words=error.reason.own_words),
        final=final,
        look_up_first=False,
        code=error.code,
        effect=Effect.REFUSED,
        http_status=error.http_status,
        step=error.step,
        next_step=error.next_step
        if final
        else "Nothing is decided: the payer may still finish this payment.",
        context=error.context,
    )

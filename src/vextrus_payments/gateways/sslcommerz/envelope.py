"""What an answer of SSLCommerz is: one reader for every call (dossier §1.2, §1.6-§1.9).

`read` gives exactly one of:

* `Accepted`: a known success, with the proof fields that this call's success must have;
* `Refused`: SSLCommerz said no, in a documented word;
* `Unreadable`: everything else, HTML first. It proves nothing.

What can be read in two ways is Unreadable: repeated keys, a refusal beside a success, an answer that is not HTTP 2xx
(every documented one is, refusals included). SSLCommerz has no front door whose bodies are listed anywhere, so nothing
is called proven unsent because of an answer. `error_of` turns what is no success into the exception to raise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from vextrus_payments.errors import GatewayError, UnreadableAnswerError
from vextrus_payments.gateways.readings import Accepted, Unreadable, one_line, parsed
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.errors import MEANINGS, SAFETY, Code, Operation, meaning_of
from vextrus_payments.meanings import error_for
from vextrus_payments.secret import MASK
from vextrus_payments.wire import Safety, Sent, Verdict, WireResponse, effect_of

A = TypeVar("A", bound=m.Answer)

#: An error says whether money moved *by the call that failed*, and a look-up moves none. So that nobody takes that for
#: word of the payment:
_NO_NEWS: Final = " That look-up moved nothing, and says nothing of the payment itself."
_LOOK_AGAIN: Final = "Look it up again; until SSLCommerz answers, nobody knows whether the payment was made."
_ANOTHER_SESSION: Final = (
    "Nothing can be paid by it; try again, which makes a submission with a tran_id of its own."
)


@dataclass(frozen=True, slots=True)
class No:
    """What an answer says in place of a success: a documented word, and the sentence beside it."""

    code: Code
    own_words: str | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One kind of call: how it is named, how its answer is read, what a success must show, and how it says no."""

    operation: Operation
    model: type[A]
    proof: Callable[[A], bool]
    refusal: Callable[[A], No | None]

    @property
    def safety(self) -> Safety:
        """What sending it twice can do."""
        return SAFETY[self.operation]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal in a documented word."""

    code: Code
    http_status: int
    own_words: str = ""
    """SSLCommerz's sentence, made safe to show."""


Reading = Accepted[A] | Refused | Unreadable


def _not_connected(word: str | None, own_words: str | None = None) -> No | None:
    """The refusal of the validator's routes (§1.6)."""
    if word in (m.ApiConnect.INVALID_REQUEST, m.ApiConnect.FAILED, m.ApiConnect.INACTIVE):
        return No(Code(word), own_words)
    return None


def _no_session(answer: m.SessionAnswer) -> No | None:
    if answer.status != m.SessionStatus.FAILED:
        return None
    words = answer.failed_reason or ""
    return No(Code.STORE if words.lower().startswith("store ") else Code.REFUSED, words)


def _no_refund(answer: m.RefundAnswer) -> No | None:
    """A no that nothing beside it contradicts: an id is given only to a refund that was begun (§1.8)."""
    if answer.refund_ref_id or answer.status in (
        m.RefundAnswerStatus.SUCCESS,
        m.RefundAnswerStatus.PROCESSING,
    ):
        return None
    not_connected = _not_connected(answer.api_connect, answer.error_reason)
    if not_connected is not None:
        return not_connected
    said_no = answer.api_connect == m.ApiConnect.DONE and answer.status == m.RefundAnswerStatus.FAILED
    return No(Code.REFUSED, answer.error_reason) if said_no else None


def _no_invoice(answer: m.InvoiceAnswer) -> No | None:
    """A no beside which nothing stands that a payer could pay by."""
    payable = answer.invoice_id or answer.pay_url or answer.qr_image_url or answer.bangla_qr_code
    return No(Code.REFUSED, answer.error_reason) if answer.status == "failed" and not payable else None


def _no_invoice_action(answer: m.InvoiceActionAnswer) -> No | None:
    not_connected = _not_connected(answer.api_connect, answer.failed_reason)
    if not_connected is not None:
        return not_connected
    return No(Code.REFUSED, answer.failed_reason) if answer.status == "failed" else None


def _is_session(answer: m.SessionAnswer) -> bool:
    return answer.status == m.SessionStatus.SUCCESS and bool(answer.gateway_page_url)


def _is_transaction(answer: m.Transaction) -> bool:
    return answer.api_connect == m.ApiConnect.DONE and bool(answer.status)


def _is_list(answer: m.TransactionList) -> bool:
    return answer.api_connect == m.ApiConnect.DONE and answer.no_of_trans_found is not None


def _is_begun(answer: m.RefundAnswer) -> bool:
    """Begun, by whatever word, and with the id by which it is asked for: without that nobody could ever tell how it
    ended, and with it the query tells what the word means."""
    done = answer.api_connect == m.ApiConnect.DONE
    return done and bool(answer.refund_ref_id) and answer.status not in (None, m.RefundAnswerStatus.FAILED)


def _is_refund(answer: m.RefundQueryAnswer) -> bool:
    return answer.api_connect == m.ApiConnect.DONE and bool(answer.status)


SESSION: Final = Call(Operation.SESSION, m.SessionAnswer, _is_session, _no_session)
VALIDATE: Final = Call(
    Operation.VALIDATE, m.Transaction, _is_transaction, lambda a: _not_connected(a.api_connect, a.error)
)
QUERY_SESSION: Final = Call(
    Operation.QUERY_SESSION, m.Transaction, _is_transaction, lambda a: _not_connected(a.api_connect, a.error)
)
QUERY: Final = Call(Operation.QUERY, m.TransactionList, _is_list, lambda a: _not_connected(a.api_connect))
REFUND: Final = Call(Operation.REFUND, m.RefundAnswer, _is_begun, _no_refund)
REFUND_QUERY: Final = Call(
    Operation.REFUND_QUERY,
    m.RefundQueryAnswer,
    _is_refund,
    lambda a: _not_connected(a.api_connect, a.error_reason),
)
INVOICE: Final = Call(
    Operation.INVOICE,
    m.InvoiceAnswer,
    lambda a: a.status == "success" and bool(a.invoice_id),
    _no_invoice,
)
INVOICE_STATUS: Final = Call(
    Operation.INVOICE_STATUS,
    m.InvoiceActionAnswer,
    lambda a: a.api_connect == m.ApiConnect.DONE and a.status == "success" and bool(a.payment_status),
    _no_invoice_action,
)
INVOICE_CANCEL: Final = Call(
    Operation.INVOICE_CANCEL,
    m.InvoiceActionAnswer,
    lambda a: a.api_connect == m.ApiConnect.DONE and a.status == "success",
    _no_invoice_action,
)


def read(
    call: Call[A], response: WireResponse, *, hidden: Callable[[], tuple[str, ...]] = tuple
) -> Reading[A]:
    """Read one answer. Never raises, whatever the bytes are.

    Args:
        hidden: gives the texts that no sentence may show: the password travels in what SSLCommerz may quote.
    """
    status = response.status
    answer, why = parsed(call.model, response.body)
    if answer is None:
        if response.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            why = "it is an HTML page"
        return Unreadable(why, status)
    if not 200 <= status < 300:
        return Unreadable(f"it came under HTTP {status}", status)
    proven, refusal = call.proof(answer), call.refusal(answer)
    if proven and refusal is not None:
        return Unreadable("it is a success and a refusal at once", status)
    if refusal is not None:
        return Refused(refusal.code, status, _harmless(refusal.own_words, hidden()))
    if not proven:
        return Unreadable("it lacks the fields that would prove a success", status)
    return Accepted(answer)


def error_of(
    call: Call[Any],
    reading: Refused | Unreadable,
    *,
    step: str,
    context: dict[str, str | int | bool | None] | None = None,
) -> GatewayError:
    """The exception for an answer that is no success, its `effect` computed for this very call."""
    name = call.operation.value
    about = dict(context or {})
    is_read = call.safety is Safety.READ
    no_news = _NO_NEWS if is_read else ""
    if isinstance(reading, Unreadable):
        disposable = _ANOTHER_SESSION if call.safety is Safety.DISPOSABLE else None
        return UnreadableAnswerError(
            f"SSLCommerz's answer to the {name} (HTTP {reading.http_status}) cannot be read: {reading.why}.{no_news}",
            effect=effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED),
            http_status=reading.http_status,
            step=step,
            next_step=_LOOK_AGAIN if is_read else disposable,
            context=about,
        )
    if reading.own_words:
        about["own_words"] = reading.own_words
    meaning = meaning_of(name, reading.code)
    assert meaning is not None, "every code of Code has a meaning"
    return error_for(
        meaning,
        what=f"SSLCommerz answered the {name}: {MEANINGS[reading.code]}.{no_news}",
        code=reading.code.value,
        safety=call.safety,
        http_status=reading.http_status,
        step=step,
        context=about,
    )


def _harmless(text: str | None, hidden: tuple[str, ...]) -> str:
    if not text or text == m.CREDENTIAL_ERROR:  # which would look like one itself
        return text or ""
    for each in hidden:
        text = text.replace(each, MASK)
    return one_line(text)

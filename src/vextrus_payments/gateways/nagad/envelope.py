"""What an answer of Nagad is: one reader for every call (dossier §4, §5, §7, §8, §10).

An answer is a success with the fields that prove it, or the error envelope `{reason, message, devMessage}`, under
whatever HTTP status (which code comes under which is not public). `read` gives exactly one of:

* `Accepted`: a known success, with the proof fields that this call's success must have;
* `Refused`: Nagad's business logic said no, with a code;
* `Unreadable`: everything else, the page of Nagad's firewall first. It proves nothing.

What can be read in two ways is Unreadable: repeated keys, a refusal beside a success, an answer under HTTP 5xx. Nagad
has no front door of its own kind: no listed body stands before business logic, so nothing is called proven unsent
because of an answer. `error_of` turns what is no success into the exception to raise.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from vextrus_payments.errors import GatewayBlockedError, GatewayError, UnreadableAnswerError
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.errors import CODES, SAFETY, Operation, meaning_of
from vextrus_payments.gateways.readings import Accepted, Unreadable, one_line, parsed, safe_code
from vextrus_payments.meanings import error_for
from vextrus_payments.wire import Safety, Sent, Verdict, WireResponse, effect_of

A = TypeVar("A", bound=m.Answer)

_CODE: Final = re.compile(r"[0-9A-Za-z_]{1,40}", re.ASCII)
_PAGE_BYTES: Final = 20_000
#: An error says whether money moved *by the call that failed*, and a look-up moves none. So that nobody takes that for
#: word of the payment:
_NO_NEWS: Final = " That look-up moved nothing, and says nothing of the payment itself."
_LOOK_AGAIN: Final = "Look it up again; until Nagad answers, nobody knows whether the payment was made."
#: The page's words end in "Your support ID is: 1234567890" (§10).
_SUPPORT_ID: Final = re.compile(
    r"support[ _-]?id(?:\s|:|=|\bis\b|&nbsp;|<[^>]{0,80}>){1,10}([0-9A-Za-z_-]{4,80})",
    re.IGNORECASE | re.ASCII,
)
_REJECTED: Final = re.compile(r"request(?:ed)?\s+URL\s+was\s+rejected", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One kind of call: how it is named, how its answer is read, and what a success must show."""

    operation: Operation
    model: type[A]
    proof: Callable[[A], bool]

    @property
    def safety(self) -> Safety:
        """What sending it twice can do."""
        return SAFETY[self.operation]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal with a code."""

    code: str
    http_status: int
    dev_message: str = ""
    """Nagad's exact sentence for developers, made safe to show."""


Reading = Accepted[A] | Refused | Unreadable

INITIALIZE: Final = Call(
    Operation.INITIALIZE, m.SealedAnswer, lambda a: bool(a.sensitive_data and a.signature)
)
COMPLETE: Final = Call(
    Operation.COMPLETE,
    m.CompleteAnswer,
    # The guide's answer has no status; a real one has (§5). Another one is no page that is ready.
    lambda a: bool(a.callback_url) and (a.status is None or m.read_status(a.status) is m.Status.SUCCESS),
)
VERIFY: Final = Call(Operation.VERIFY, m.VerifyAnswer, lambda a: bool(a.payment_ref_id and a.status))
REFUND: Final = Call(Operation.REFUND, m.SealedAnswer, lambda a: bool(a.sensitive_data and a.signature))


def read(call: Call[A], response: WireResponse) -> Reading[A]:
    """Read one answer. Never raises, whatever the bytes are."""
    status = response.status
    answer, why = parsed(call.model, response.body)
    if answer is None:
        return _no_answer(response, why)
    code = safe_code(answer.reason, _CODE)
    if not 200 <= status < 500 or 300 <= status < 400:
        return Unreadable(f"it came under HTTP {status}", status, code=code)
    proven = call.proof(answer)
    if code is not None:
        if proven:
            return Unreadable("it is a success and a refusal at once", status, code=code)
        return Refused(code, status, one_line(answer.dev_message or answer.message))
    if status >= 400:
        return Unreadable(f"it came under HTTP {status} without a code", status)
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
    no_news = _NO_NEWS if call.safety is Safety.READ else ""
    if isinstance(reading, Unreadable):
        return _unreadable(call, reading, step, about)
    if reading.dev_message:
        about["dev_message"] = reading.dev_message
    meaning = meaning_of(name, reading.code)
    if meaning is None:
        return UnreadableAnswerError(
            f"Nagad answered the {name} with code {reading.code}, which is not documented.{no_news}",
            code=reading.code,
            effect=effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED),
            http_status=reading.http_status,
            step=step,
            next_step=_LOOK_AGAIN if no_news else None,
            context=about,
        )
    return error_for(
        meaning,
        what=f"Nagad answered the {name} with code {reading.code}: {CODES[reading.code].meaning}.{no_news}",
        code=reading.code,
        safety=call.safety,
        http_status=reading.http_status,
        step=step,
        context=about,
    )


def _unreadable(
    call: Call[Any], reading: Unreadable, step: str, context: dict[str, str | int | bool | None]
) -> GatewayError:
    name, effect = call.operation.value, effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED)
    no_news = _NO_NEWS if call.safety is Safety.READ else ""
    if reading.blocked:
        return GatewayBlockedError(
            f"The firewall in front of Nagad answered the {name} in its place.{no_news}",
            support_id=reading.support_id,
            effect=effect,
            http_status=reading.http_status,
            step=step,
            next_step="Send Nagad the support id and ask them to white-list this server's address and your callback "
            "URL; look the payment up meanwhile.",
            context={**context, "support_id": reading.support_id},
        )
    return UnreadableAnswerError(
        f"Nagad's answer to the {name} (HTTP {reading.http_status}) cannot be read: {reading.why}.{no_news}",
        code=reading.code,
        effect=effect,
        http_status=reading.http_status,
        step=step,
        next_step=_LOOK_AGAIN if no_news else None,
        context=context,
    )


# ------------------------------------------------------------------------------------------------------- reading


def _no_answer(response: WireResponse, why: str) -> Unreadable:
    """No JSON object: the page of the firewall (often under HTTP 200), of a proxy, or rubbish."""
    start = response.body[:_PAGE_BYTES].decode("utf-8", "replace")
    found = _SUPPORT_ID.search(start)
    support_id = found[1] if found else None
    if support_id is not None or _REJECTED.search(start):
        return Unreadable("it is a firewall's page", response.status, blocked=True, support_id=support_id)
    if start.lstrip("\ufeff \t\r\n").startswith("<"):
        return Unreadable("it is an HTML page", response.status, blocked=response.status < 500)
    return Unreadable(why, response.status)

"""What an answer of the recurring platform is: one reader for every call (dossier §7, §9).

`read` gives a known success with the fields that prove it, a refusal with a code of the guide, or neither: what can be
read in two ways, a page of a proxy, an answer under HTTP 5xx. That proves nothing. The platform has no front door of
its own kind: no listed body stands before business logic, so nothing is called proven unsent because of an answer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from vextrus_payments.errors import GatewayError, UnreadableAnswerError
from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.errors import CODES, SAFETY, Operation, meaning_of
from vextrus_payments.gateways.readings import Accepted, Unreadable, one_line, parsed, safe_code
from vextrus_payments.meanings import error_for
from vextrus_payments.wire import Safety, Sent, Verdict, WireResponse, effect_of

A = TypeVar("A", bound=m.Answer)

_CODE: Final = re.compile(r"[0-9A-Za-z_]{1,40}", re.ASCII)
#: An error says whether money moved *by the call that failed*, and a look-up moves none.
_NO_NEWS: Final = " That look-up moved nothing, and says nothing of what it asked for."
_LOOK_AGAIN: Final = "Look it up again; until bKash answers, nobody knows how it stands."


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
    words: str = ""
    """bKash's own sentence, made safe to show."""


Reading = Accepted[A] | Refused | Unreadable

CREATE: Final = Call(
    Operation.CREATE, m.CreateAnswer, lambda a: bool(a.subscription_request_id and a.redirect_url)
)
QUERY: Final = Call(Operation.QUERY, m.SubscriptionAnswer, lambda a: bool(a.id and a.status))
LIST: Final = Call(Operation.LIST, m.ListedSubscriptions, lambda a: a.content is not None)
CANCEL: Final = Call(
    Operation.CANCEL, m.CancelAnswer, lambda a: bool(a.subscription_id and a.subscription_status)
)
SCHEDULE: Final = Call(Operation.SCHEDULE, m.ScheduleAnswer, lambda a: a.dates is not None)
PAYMENTS: Final = Call(Operation.PAYMENTS, m.PaymentList, lambda a: a.rows is not None)
PAYMENT: Final = Call(Operation.PAYMENT, m.PaymentAnswer, lambda a: bool(a.id and a.status))
REFUND: Final = Call(Operation.REFUND, m.RefundAnswer, lambda a: True)


def read(call: Call[A], response: WireResponse) -> Reading[A]:
    """Read one answer. Never raises, whatever the bytes are."""
    status = response.status
    answer, why = parsed(call.model, response.body)
    if answer is None:
        return Unreadable(why, status)
    code = safe_code(answer.error_code, _CODE)
    if not 200 <= status < 500 or 300 <= status < 400:
        return Unreadable(f"it came under HTTP {status}", status, code=code)
    if status >= 400:
        if code is None:
            return Unreadable(f"it came under HTTP {status} without a code", status)
        return Refused(code, status, one_line(answer.reason))
    if code is not None:
        # HTTP 200 "means intended action has been executed": beside a code it means two things at once.
        return Unreadable("it is a success and a refusal at once", status, code=code)
    if not call.proof(answer):
        return Unreadable("it lacks the fields that would prove a success", status)
    return Accepted(answer)


def error_of(call: Call[Any], reading: Refused | Unreadable, *, step: str) -> GatewayError:
    """The exception for an answer that is no success, its `effect` computed for this very call."""
    name, no_news = call.operation.value, _NO_NEWS if call.safety is Safety.READ else ""
    meaning = meaning_of(name, reading.code) if isinstance(reading, Refused) else None
    if isinstance(reading, Refused) and meaning is not None:
        return error_for(
            meaning,
            what=f"bKash answered the {name} with code {reading.code}: {CODES[reading.code].meaning}.{no_news}",
            code=reading.code,
            safety=call.safety,
            http_status=reading.http_status,
            step=step,
            context={"bkash_says": reading.words} if reading.words else None,
        )
    why = (
        f"came with code {reading.code}, which is not documented"
        if isinstance(reading, Refused)
        else f"cannot be read: {reading.why}"
    )
    return UnreadableAnswerError(
        f"bKash's answer to the {name} (HTTP {reading.http_status}) {why}.{no_news}",
        code=reading.code,
        effect=effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED),
        http_status=reading.http_status,
        step=step,
        next_step=_LOOK_AGAIN if no_news else None,
    )

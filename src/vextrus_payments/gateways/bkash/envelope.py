"""What an answer of bKash is: one normaliser for every envelope (dossier §10, whose order is kept).

bKash answers in four envelopes (v1 `statusCode`, iframe `errorCode`, v2 `externalCode`, its API gateway's bare
`message`), with HTTP 200 for most refusals. `read` tells them apart and gives exactly one of:

* `Accepted`: a known success, with the proof field that this call's success must have;
* `Refused`: bKash's business logic said no, with a code;
* `AtFrontDoor`: one of the listed bodies of the API gateway, which stands before any business logic;
* `Unreadable`: everything else. It proves nothing.

What can be read in two ways is Unreadable: repeated keys, two codes that differ, a success beside an error code, a
coded answer under HTTP 5xx. `error_of` turns what is no success into the exception to raise.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash.errors import CODES, INTERNAL_CODES, SAFETY, Operation, meaning_of
from vextrus_payments.gateways.bkash.models import CODE_SUCCESS, Answer, UnreadableBodyError, read_json
from vextrus_payments.gateways.front_door import FrontDoor
from vextrus_payments.gateways.readings import Accepted, Unreadable, one_line, parsed, safe_code
from vextrus_payments.meanings import error_for
from vextrus_payments.wire import Safety, Sent, Verdict, WireResponse, effect_of

A = TypeVar("A", bound=Answer)

GRANT_FAILED: Final = "grant_failed"
"""Our code for the code-less `{"status": "fail", "msg": ...}` of a refused grant (§3.1)."""

_CODE: Final = re.compile(r"[0-9A-Za-z_.-]{1,60}", re.ASCII)
_PAGE_BYTES: Final = 20_000
_SUPPORT_ID: Final = re.compile(
    r"(?:support|incident|request|ray)[ _-]?id(?:\s|:|=|\bis\b|<[^>]{0,80}>){1,10}([0-9A-Za-z_=-]{6,80})",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One kind of call: how it is named, how its answer is read, and what a success must show (§10.8)."""

    operation: Operation
    model: type[A]
    proof: Callable[[A], bool]

    @property
    def safety(self) -> Safety:
        """What sending it twice can do."""
        return SAFETY[self.operation]


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal with a code; `own_words` are bKash's sentences per locale, made safe to show."""

    code: str
    http_status: int
    internal_code: str | None = None
    own_words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class AtFrontDoor:
    """Refused by the API gateway, before any business logic."""

    door: FrontDoor
    http_status: int


Reading = Accepted[A] | Refused | AtFrontDoor | Unreadable


def read(call: Call[A], response: WireResponse) -> Reading[A]:
    """Read one answer. Never raises, whatever the bytes are."""
    status = response.status
    door = front_door_of(response)
    if door is not None:
        return AtFrontDoor(door, status)
    answer, why = parsed(call.model, response.body)
    if answer is None:
        return _no_answer(response, why)
    codes = _codes(answer)
    if len(codes) > 1:
        return Unreadable("it carries codes that contradict each other", status, code=_a_refusal(codes))
    code = next(iter(codes), None)
    if code is None:
        return _without_a_code(call, answer, status)
    if status != 200 and not 400 <= status < 500:
        return Unreadable(f"it came under HTTP {status}", status, code=code)
    if code != CODE_SUCCESS:
        return Refused(code, status, safe_code(answer.internal_code, _CODE), _own_words(answer))
    return _proven(call, answer, status, code)


def front_door_of(response: WireResponse) -> FrontDoor | None:
    """Which of the API gateway's listed bodies this is, if one (§9, last table; §3.3). Nothing else counts.

    A bare 403 "Forbidden", a 5xx and any page are *not* listed: whether the call behind them ran is not known.
    """
    if response.status not in (400, 401, 403, 429):
        return None
    try:
        found = read_json(response.body)
    except UnreadableBodyError:
        return None
    message = found.get("message")
    if len(found) != 1 or not isinstance(message, str):
        return None
    match response.status:
        case 401 if message in ("Unauthorized", "The incoming token has expired"):
            return FrontDoor.TOKEN_REJECTED
        case 403 if message == "Missing Authentication Token" or (
            message.startswith("Authorization header requires 'Credential' parameter.")
            and "'Signature'" in message
            and "'SignedHeaders'" in message
        ):
            return FrontDoor.ROUTE
        case 429 if message in ("Too Many Requests", "Limit Exceeded"):
            return FrontDoor.THROTTLED
        case 400 if re.fullmatch(r"Missing required request parameters: \[[^\]]{0,200}\]", message):
            return FrontDoor.MISSING_HEADER
    return None


def error_of(
    call: Call[Any], reading: Refused | AtFrontDoor | Unreadable, *, step: str | None = None
) -> GatewayError:
    """The exception for an answer that is no success, its `effect` computed for this very call."""
    match reading:
        case Refused():
            return _refusal(call, reading, step)
        case AtFrontDoor():
            return _at_front_door(call, reading, step)
        case Unreadable():
            return _unreadable(call, reading, step)


# ------------------------------------------------------------------------------------------------- reading


def _no_answer(response: WireResponse, why: str) -> Unreadable:
    """No JSON object: a page of a firewall or proxy, or rubbish."""
    start = response.body[:_PAGE_BYTES].decode("utf-8", "replace")
    is_page = start.lstrip("\ufeff \t\r\n").startswith("<")
    if not is_page:
        return Unreadable(why, response.status)
    found = _SUPPORT_ID.search(start)
    support_id = found[1] if found else None
    blocked = response.status < 500 or support_id is not None
    return Unreadable("it is an HTML page", response.status, blocked=blocked, support_id=support_id)


def _codes(answer: Answer) -> frozenset[str]:
    """Every distinct code the answer carries; normally none or one (§10, steps 3-5)."""
    v2_code = answer.external_code
    if not v2_code and answer.internal_code:
        v2_code = INTERNAL_CODES.get(answer.internal_code, answer.internal_code)
    found = [v2_code, answer.error_code, answer.status_code]
    return frozenset(safe_code(code, _CODE) or "" for code in found if code)


def _a_refusal(codes: frozenset[str]) -> str:
    return min(codes - {CODE_SUCCESS})


def _without_a_code(call: Call[A], answer: A, status: int) -> Reading[A]:
    """§10, steps 6-8."""
    if call.operation in (Operation.GRANT, Operation.REFRESH) and answer.status == "fail" and answer.msg:
        return Refused(GRANT_FAILED, status) if status < 500 else Unreadable(f"HTTP {status}", status)
    if answer.message:
        # After execute, capture and void bKash's own plugin treats any body with a `message` as no answer.
        blocked = status == 403 and answer.message == "Forbidden"
        return Unreadable("it is a bare message of the API gateway", status, blocked=blocked)
    return _proven(call, answer, status, None)


def _proven(call: Call[A], answer: A, status: int, code: str | None) -> Reading[A]:
    if status != 200:
        return Unreadable(f"it came under HTTP {status}", status, code=code)
    if not call.proof(answer):
        return Unreadable("it lacks the field that would prove a success", status, code=code)
    return Accepted(answer)


def _own_words(answer: Answer) -> Mapping[str, str]:
    """bKash asks that payers see its own sentence (§11): made short and harmless, never the code."""
    english = answer.error_message_en or answer.error_message or answer.status_message
    words = {"en": one_line(english, keeps=_keeps), "bn": one_line(answer.error_message_bn, keeps=_keeps)}
    return MappingProxyType({locale: text for locale, text in words.items() if text})


def _keeps(c: str) -> bool:
    """No control, format (bidi) or private characters, but for ZWNJ and ZWJ, which Bangla spelling needs."""
    return not unicodedata.category(c).startswith("C") or c in "\u200c\u200d"


# -------------------------------------------------------------------------------------------------- errors


def _refusal(call: Call[Any], refused: Refused, step: str | None) -> GatewayError:
    name = _spoken(call)
    context: dict[str, str | int | bool | None] = {}
    if refused.internal_code:
        context["internal_code"] = refused.internal_code
    if refused.code == GRANT_FAILED:
        return AuthenticationRejectedError(
            f"bKash refused the {name}: the app key, secret, user name or password is wrong.",
            code=GRANT_FAILED,
            http_status=refused.http_status,
            step=step,
        )
    meaning = meaning_of(call.operation, refused.code)
    if meaning is None:
        return UnreadableAnswerError(
            f"bKash answered the {name} with code {refused.code}, which is not documented.",
            code=refused.code,
            effect=effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED),
            http_status=refused.http_status,
            step=step,
            context=context,
        )
    return error_for(
        meaning,
        what=f"bKash answered the {name} with code {refused.code}: {CODES[refused.code].meaning}.",
        code=refused.code,
        safety=call.safety,
        http_status=refused.http_status,
        step=step,
        own_words=dict(refused.own_words),
        context=context,
    )


def _at_front_door(call: Call[Any], reading: AtFrontDoor, step: str | None) -> GatewayError:
    """The driver raises these itself; here they stand for whoever runs a generator without it."""
    about: dict[str, Any] = {
        "code": reading.door.value,
        "effect": Effect.NONE,
        "http_status": reading.http_status,
        "step": step,
    }
    name = _spoken(call)
    match reading.door:
        case FrontDoor.TOKEN_REJECTED:
            return AuthenticationRejectedError(f"bKash's front door refused the {name}'s token.", **about)
        case FrontDoor.THROTTLED:
            return ThrottledError(f"bKash's front door refused the {name}: too many requests.", **about)
        case FrontDoor.ROUTE:
            advice = "Check BKASH_API_URL: host, product and version must fit the credentials."
            return GatewayError(f"bKash has no such route for the {name}.", next_step=advice, **about)
        case FrontDoor.MISSING_HEADER:
            advice = "Check what stands between here and bKash: a proxy may drop headers."
            return GatewayError(f"A header of the {name} did not reach bKash.", next_step=advice, **about)


def _unreadable(call: Call[Any], reading: Unreadable, step: str | None) -> GatewayError:
    name = _spoken(call)
    effect = effect_of(Sent.MAYBE, call.safety, Verdict.UNRECOGNIZED)
    if reading.blocked:
        return GatewayBlockedError(
            f"A firewall in front of bKash answered the {name} in its place.",
            support_id=reading.support_id,
            effect=effect,
            http_status=reading.http_status,
            step=step,
        )
    return UnreadableAnswerError(
        f"bKash's answer to the {name} (HTTP {reading.http_status}) cannot be read: {reading.why}.",
        code=reading.code,
        effect=effect,
        http_status=reading.http_status,
        step=step,
    )


def _spoken(call: Call[Any]) -> str:
    return call.operation.value.replace("_", " ")

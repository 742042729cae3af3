"""A Transport that plays a script: answers and failures, with or without an effect at the imagined gateway.

    transport = ScriptedTransport([
        not_sent(),
        answer(200, {"statusCode": "0000"}, effect=True),     # it happened, and we hear of it
        lost(effect=True),                                    # it happened, and the answer got lost
    ])

Each `send` takes the next line of the script. A line may also be a function of the request that returns a line,
which makes a small gateway of it. `sends` tells afterwards what was asked for, and `effects` how often something
happened: the two numbers that the promise "never moved twice" is about.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vextrus_payments.clock import Clock
from vextrus_payments.errors import AnswerLostError, AnswerTimeoutError, NotSentError
from vextrus_payments.testing.time import FakeClock
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse, effect_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What becomes of one send. Make it with `answer`, `not_sent`, `lost` or `timed_out`."""

    response: WireResponse | None = None
    error: type[NotSentError] | type[AnswerLostError] | type[AnswerTimeoutError] | None = None
    code: str | None = None
    effect: bool = False
    """Whether the imagined gateway did what was asked."""
    takes_s: float = 0.0
    """So much time passes on the clock first."""


Script = Line | Callable[[WireRequest], Line]


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One call of `send`."""

    request: WireRequest
    safety: Safety
    timeout_s: float
    send_by: SendBy | None
    left: bool
    """Whether, by the script, bytes left."""


def answer(
    status: int = 200,
    body: Mapping[str, Any] | bytes | str = b"",
    *,
    headers: Mapping[str, str] | None = None,
    effect: bool = False,
    takes_s: float = 0.0,
) -> Line:
    """An answer; a mapping becomes JSON."""
    if isinstance(body, str):
        raw = body.encode("utf-8")
    elif isinstance(body, bytes):
        raw = body
    else:
        raw = json.dumps(body).encode("utf-8")
    kind = "application/json" if isinstance(body, Mapping) else "text/html"
    told = {"content-type": kind, **{name.lower(): value for name, value in (headers or {}).items()}}
    return Line(response=WireResponse(status, told, raw), effect=effect, takes_s=takes_s)


def not_sent(code: str = "not_sent", *, takes_s: float = 0.0) -> Line:
    """No byte left."""
    return Line(error=NotSentError, code=code, takes_s=takes_s)


def lost(*, effect: bool = False, takes_s: float = 0.0) -> Line:
    """The connection broke after the request had begun to leave."""
    return Line(error=AnswerLostError, effect=effect, takes_s=takes_s)


def timed_out(*, effect: bool = False, takes_s: float = 30.0) -> Line:
    """No answer came in time."""
    return Line(error=AnswerTimeoutError, effect=effect, takes_s=takes_s)


class ScriptExhaustedError(AssertionError):
    """The code under test sent more than the script foresaw."""


@dataclass(slots=True)
class ScriptedTransport:
    """A Transport for tests: plays a script, keeps every request. `send_by` and proof work as in the real one.

    Attributes:
        sends: every call of `send`, in order.
        effects: how often something happened at the imagined gateway.
        closed: whether it was closed.
    """

    script: Iterable[Script] = ()
    then: Script | None = None
    """What is played when the script is over; None: ScriptExhaustedError."""
    clock: Clock = field(default_factory=FakeClock)
    sends: list[SentRequest] = field(default_factory=list)
    effects: int = 0
    closed: bool = False
    _left: deque[Script] = field(init=False)

    def __post_init__(self) -> None:
        self._left = deque(self.script)

    @property
    def left(self) -> int:
        """How many requests left the machine, by the script."""
        return sum(sent.left for sent in self.sends)

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """Play the next line."""
        if send_by is not None and send_by.passed(self.clock):
            self.sends.append(SentRequest(request, safety, timeout_s, send_by, False))
            raise NotSentError("The time for sending this request was over.", code="send_by_passed")
        line = self._next(request)
        if line.takes_s and isinstance(self.clock, FakeClock):
            self.clock.advance(line.takes_s)
        left = line.error is not NotSentError
        self.sends.append(SentRequest(request, safety, timeout_s, send_by, left))
        self.effects += line.effect
        if line.response is not None:
            return line.response
        assert line.error is not None
        sent = Sent.MAYBE if left else Sent.NO
        raise line.error(
            "The script says so.", code=line.code, effect=effect_of(sent, safety, None), http_status=None
        )

    async def aclose(self) -> None:
        """Remember it."""
        self.closed = True

    def _next(self, request: WireRequest) -> Line:
        if self._left:
            found = self._left.popleft()
        elif self.then is not None:
            found = self.then
        else:
            raise ScriptExhaustedError(f"{request!r} was sent after the script's end")
        return found if isinstance(found, Line) else found(request)

"""The wire as values: what is to be sent, how safe sending is, and what a failure proves. Imports no HTTP library.

Theory of operation. An adapter's `protocol.py` holds generators. Each yields `Send` (please send this request;
the driver sends back the WireResponse, or throws a GatewayError into the generator) and `Checkpoint` (please make
this evidence durable; the driver answers None once it is), and returns a typed result. The driver in
gateways/base.py adds credentials, retries what may be retried, and logs. A generator never sees a socket, a clock
or a token.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from vextrus_payments.clock import Clock
from vextrus_payments.errors import Effect
from vextrus_payments.payment import Evidence
from vextrus_payments.records import Exchange

T = TypeVar("T")


class Safety(StrEnum):
    """What sending a request twice can do. Unmarked means ONCE."""

    READ = "read"
    """Changes nothing. May be repeated."""
    IDEMPOTENT = "idempotent"
    """The second time changes nothing more (agreement cancel). May be repeated."""
    DISPOSABLE = "disposable"
    """Moves nothing, and is payable only if its answer reaches us (bKash create). A lost answer means a new one,
    never the same one again."""
    ONCE = "once"
    """May move money. Sent again only when proven unsent, or refused at the front door."""


class Sent(StrEnum):
    """What is proven about a request's bytes."""

    NO = "no"
    """Proven: not one byte left."""
    MAYBE = "maybe"
    """Sending had begun."""


class Verdict(StrEnum):
    """What an answer proves about the request's effect."""

    ACCEPTED = "accepted"
    """A known success."""
    REFUSED = "refused"
    """A documented refusal by the gateway's business logic."""
    FRONT_DOOR = "front_door"
    """One of the adapter's listed bodies of a front door that stands before any business logic."""
    UNRECOGNIZED = "unrecognized"
    """Anything else: HTML, an unlisted 4xx, a 5xx, an unknown code."""


def effect_of(sent: Sent, safety: Safety, verdict: Verdict | None) -> Effect:
    """Whether money can have moved, from the proof of sending, the step's safety and the answer's verdict.

    `verdict` is None when no answer came. The only ways to NONE on a ONCE step are proof that nothing was sent
    and a listed front-door answer.
    """
    if sent is Sent.NO or verdict is Verdict.FRONT_DOOR:
        return Effect.NONE
    if verdict is Verdict.REFUSED:
        return Effect.REFUSED
    if safety in (Safety.READ, Safety.DISPOSABLE):
        return Effect.NONE
    return Effect.UNKNOWN


@dataclass(frozen=True, slots=True)
class SendBy:
    """The last moment at which the first byte may leave, on both clocks.

    The wall clock may be stepped back, and the monotonic one stands still while a machine sleeps; a deadline
    that either of them has passed is over.
    """

    wall: datetime
    monotonic: float

    def passed(self, clock: Clock) -> bool:
        """True when nothing may be sent any more."""
        return clock.now() >= self.wall or clock.monotonic() >= self.monotonic


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One HTTP request. `repr` shows neither headers nor body nor the query."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __repr__(self) -> str:
        return f"<WireRequest {self.method} {self.url.partition('?')[0]}>"

    def with_headers(self, headers: tuple[tuple[str, str], ...]) -> "WireRequest":
        """The same request with these headers in front of its own."""
        return WireRequest(self.method, self.url, headers + self.headers, self.body)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """One HTTP answer, read whole. Header names are lower case. `repr` shows neither headers nor body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<WireResponse {self.status}, {len(self.body)} bytes>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Please send this. `operation` names the gateway's call ("execute"), `step` our use of it ("refund.baseline")."""

    request: WireRequest
    operation: str
    safety: Safety = Safety.ONCE
    step: str = ""
    authorized: bool = True
    """Whether the driver puts the gateway's token on it (a grant goes without)."""
    reference: str | None = None
    """The gateway reference or order id it is about, for the log."""

    @property
    def name(self) -> str:
        """The step's name, else the operation's."""
        return self.step or self.operation


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Please make this durable before the next step."""

    evidence: Evidence = field()


#: A sans-IO protocol: yields Send and Checkpoint, is sent WireResponse (or None after a checkpoint), returns T.
WireCall = Generator[Send | Checkpoint, WireResponse | None, T]

#: Makes evidence durable; the driver goes on only after it returned.
OnCheckpoint = Callable[[Evidence], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """What the caller of an adapter's verb knows about the call: for errors, logs and the sending deadline."""

    send_by: SendBy | None = None
    """No first byte of a ONCE or DISPOSABLE step may leave after this moment."""
    payment_id: str | None = None
    operation_id: str | None = None
    on_exchange: Callable[[Exchange], None] | None = None
    """Told of every try, redacted: the engine keeps them with the attempt."""

"""A line that breaks on demand, between any adapter and any transport: for checks of what an adapter makes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vextrus_payments.errors import AnswerLostError, AnswerTimeoutError, NotSentError
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse, effect_of


class Fault(StrEnum):
    """What can happen to one request."""

    NOT_SENT = "not_sent"
    """Not one byte leaves."""
    LOST_BEFORE = "lost_before"
    """It leaves, the gateway does nothing, no answer comes."""
    LOST_AFTER = "lost_after"
    """The gateway does it, the answer gets lost."""
    SLOW = "slow"
    """The gateway does it, and answers too late."""
    ERROR_BEFORE = "error_before"
    """The gateway does nothing and answers 503."""
    ERROR_AFTER = "error_after"
    """The gateway does it and answers 500."""
    MALFORMED = "malformed"
    """The gateway does it; half of its answer arrives."""
    EMPTY = "empty"
    """The gateway does it and answers 200 with nothing."""
    HTML = "html"
    """The gateway does it; a page arrives instead of its answer."""
    REDIRECT = "redirect"
    """The gateway does nothing and answers 302."""
    TOKEN_ONCE = "token_once"  # the front door rejects the token
    """The front door rejects the token, once."""
    TOKEN_ALWAYS = "token_always"  # the front door rejects every token
    """The front door rejects every token."""


#: Faults under which nothing of the request reaches the gateway, and everybody can know it.
HARMLESS: Final = frozenset({Fault.NOT_SENT, Fault.TOKEN_ONCE, Fault.TOKEN_ALWAYS})
#: Faults under which the gateway does what was asked.
DONE: Final = frozenset(
    {Fault.LOST_AFTER, Fault.SLOW, Fault.ERROR_AFTER, Fault.MALFORMED, Fault.EMPTY, Fault.HTML}
)
_PAGE: Final = b"<!doctype html><html><body>Please come back later.</body></html>"
FOREVER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Passage:
    """One request that was sent through the line."""

    safety: Safety
    path: str
    is_token: bool
    fault: Fault | None
    reached: bool
    """Whether the gateway got it."""


@dataclass(slots=True)
class _Plan:
    fault: Fault
    wanted: Callable[[WireRequest, Safety], bool]
    times: int
    after: int = 0


class FaultyTransport:
    """A Transport in front of another one. `break_next` orders a fault; `passages` tells what was sent.

    Args:
        inner: where requests go that are left alone; not closed here.
        token_rejected: the front door's answer to a rejected token; None where the gateway has no tokens.
        is_token_request: tells requests for a token; they are never hit unless asked for.
    """

    def __init__(
        self,
        inner: Transport,
        *,
        token_rejected: WireResponse | None,
        is_token_request: Callable[[WireRequest], bool],
    ) -> None:
        self._inner = inner
        self._token_rejected = token_rejected
        self._is_token_request = is_token_request
        self._plans: list[_Plan] = []
        self.passages: list[Passage] = []
        self._held: asyncio.Event | None = None
        self._blind = False

    # --- ordering -----------------------------------------------------------------------------------------------

    def break_next(self, fault: Fault, safety: Safety, *, times: int = 1, after: int = 0) -> None:
        """The next requests of this safety meet the fault; `after` of them pass before."""

        def wanted(request: WireRequest, found: Safety) -> bool:
            return found is safety and not self._is_token_request(request)

        self._plans.append(_Plan(fault, wanted, times, after))

    def break_token(self, fault: Fault) -> None:
        """Every request for a token meets the fault."""
        self._plans.append(_Plan(fault, lambda request, _: self._is_token_request(request), FOREVER))

    def hold_next_once(self) -> asyncio.Event:
        """The next ONCE request reaches the gateway, and its answer never comes; the event tells when it is out."""
        self._held = asyncio.Event()
        return self._held

    def blind_after_once(self) -> None:
        """From the first ONCE request on, every READ gets lost."""
        self._blind = True

    def mend(self) -> None:
        """No faults any more, and no passages so far."""
        self._plans.clear()
        self.passages.clear()
        self._held = None
        self._blind = False

    def count(self, safety: Safety, *, reached: bool = True) -> int:
        """How many requests of this safety, tokens aside, the gateway got (`reached=False`: were sent at all)."""
        return sum(
            found.safety is safety and not found.is_token and (found.reached or not reached)
            for found in self.passages
        )

    # --- Transport ----------------------------------------------------------------------------------------------

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """Pass it on, or do to it what was ordered."""
        fault = self._take(request, safety)
        reached = fault is None or fault in DONE
        is_token = self._is_token_request(request)
        path = request.url.partition("?")[0]
        self.passages.append(Passage(safety, path, is_token, fault, reached))
        answer: WireResponse | None = None
        if reached:
            answer = await self._inner.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        if self._held is not None and safety is Safety.ONCE:
            self._held.set()
            await asyncio.Event().wait()
        if fault is None and answer is not None:
            return answer
        return self._broken(fault, answer, safety)

    async def aclose(self) -> None:
        """Nothing: the inner transport belongs to somebody else."""

    def _take(self, request: WireRequest, safety: Safety) -> Fault | None:
        for plan in self._plans:
            if plan.wanted(request, safety):
                if plan.after:
                    plan.after -= 1
                    continue
                plan.times -= 1
                if plan.times == 0:
                    self._plans.remove(plan)
                return plan.fault
        if self._blind and safety is Safety.READ and self.count(Safety.ONCE, reached=False):
            return Fault.LOST_BEFORE
        return None

    def _broken(self, fault: Fault | None, answer: WireResponse | None, safety: Safety) -> WireResponse:
        effect = effect_of(Sent.MAYBE, safety, None)
        match fault:
            case Fault.NOT_SENT:
                raise NotSentError("The line was broken before a byte left.")
            case Fault.SLOW:
                raise AnswerTimeoutError("No answer came in time.", effect=effect)
            case Fault.ERROR_BEFORE:
                return WireResponse(503, {"content-type": "application/json"}, b"{}")
            case Fault.ERROR_AFTER:
                return WireResponse(500, {"content-type": "application/json"}, b"{}")
            case Fault.MALFORMED:
                whole = b"" if answer is None else answer.body
                return WireResponse(200, {"content-type": "application/json"}, whole[: len(whole) // 2])
            case Fault.EMPTY:
                return WireResponse(200, {}, b"")
            case Fault.HTML:
                return WireResponse(200, {"content-type": "text/html"}, _PAGE)
            case Fault.REDIRECT:
                return WireResponse(302, {"location": "https://elsewhere.test/"}, b"")
            case Fault.TOKEN_ONCE | Fault.TOKEN_ALWAYS:
                assert self._token_rejected is not None, "this gateway has no tokens to reject"
                return self._token_rejected
            case _:
                raise AnswerLostError("The connection broke.", effect=effect)

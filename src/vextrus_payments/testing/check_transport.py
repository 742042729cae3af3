"""The conformance kit for transports: real sockets, a server that misbehaves, and a count of what it executed.

What is judged, after every single send:

* the request arrived at most once and was executed at most once: nothing below retry.py resends;
* NotSentError means that not one byte of it arrived; every other failure is an OutcomeUnknownError, and its `effect`
  is what `effect_of` makes of the step's safety;
* an answer is the answer to this very call, read whole;
* no error shows a header, the query or the body, nor carries another exception with it;
* no call outlives its timeout, and no first byte leaves after `send_by`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.errors import AnswerTimeoutError, GatewayError, NotSentError, OutcomeUnknownError
from vextrus_payments.testing.canary import SecretCanary
from vextrus_payments.testing.loopback import STATUSES, LoopbackServer
from vextrus_payments.transport.port import Transport, sent_before_cancel
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse, effect_of

MakeTransport = Callable[[], Transport]

_SHORT_S: Final = 0.2
_LONG_S: Final = 30.0
_GRACE_S: Final = 3.0
"""A call that has not ended so long after its timeout has no timeout."""

ANSWERED: Final = "answered"
NOT_SENT: Final = "not sent"
IN_DOUBT: Final = "in doubt"
TIMED_OUT: Final = "timed out"
_SLOW: Final = frozenset({TIMED_OUT, NOT_SENT})
"""Where a short timeout ends the call: on a busy machine it may end before the request could leave."""
_ANY: Final = frozenset({ANSWERED, NOT_SENT, IN_DOUBT, TIMED_OUT})


@dataclass(frozen=True, slots=True)
class _Case:
    """One behavior of the server, and what a send that meets it may come to."""

    name: str
    behavior: str
    allowed: frozenset[str]
    timeout_s: float = _LONG_S
    body: bytes = b""
    next_body: bytes = b""
    only_reused: bool = False
    status: int | None = None


def _doubt(behavior: str, name: str) -> _Case:
    return _Case(name, behavior, frozenset({IN_DOUBT}))


def _answered(behavior: str, name: str, status: int = 200) -> _Case:
    return _Case(name, behavior, frozenset({ANSWERED}), status=status)


_CASES: Final = (
    _answered("ok", "a plain answer"),
    _answered("chunked", "an answer in chunks"),
    _answered("informed", "informational answers before the real one"),
    _answered("last-answer", "an answer that announces the connection's end"),
    _answered("goodbye", "the server closes the idle connection"),
    _answered("goodbye-reset", "the server resets the idle connection"),
    _answered("two-answers", "a second answer that nobody asked for, in the same piece"),
    _Case(
        "a second answer that nobody asked for, before a long request",
        "two-answers",
        frozenset({ANSWERED}),
        next_body=b"x" * 200_000,
    ),
    _answered("late-second-answer", "a second answer that nobody asked for, a moment later"),
    *(_answered(str(status), f"status {status}", status) for status in STATUSES),
    _doubt("lost", "closed after execution, no answer"),
    _doubt("reset", "reset after execution, no answer"),
    _doubt("half-status", "closed within the status line"),
    _doubt("half-head", "closed within the head"),
    _doubt("half-body", "closed within the body"),
    _doubt("half-body-reset", "reset within the body"),
    _doubt("half-chunk", "closed within a chunk"),
    _doubt("bad-chunk", "a chunk without a length"),
    _doubt("garbage", "something else than HTTP, then closed"),
    _Case(
        "something else than HTTP, left open",
        "garbage-open",
        _SLOW | {IN_DOUBT},
        timeout_s=_SHORT_S,
    ),
    _doubt("two-lengths", "two lengths that contradict each other"),
    _Case("executed, then silence", "stall", _SLOW, timeout_s=_SHORT_S),
    _Case("a head that drips without end", "drip-head", _SLOW, timeout_s=_SHORT_S),
    _Case("a body that drips without end", "drip-body", _SLOW, timeout_s=_SHORT_S),
    _Case("an answer of 4 MiB", "flood", frozenset({ANSWERED, IN_DOUBT})),
    _Case("closed when the head had come", "close-at-head", frozenset({IN_DOUBT}), body=b"x" * 200_000),
    _Case("refused before the body was read", "early-refusal", _ANY - {NOT_SENT}, body=b"x" * 200_000),
    _Case(
        "a kept connection closed when the next request was executed",
        "ambush",
        frozenset({IN_DOUBT}),
        only_reused=True,
    ),
    _Case(
        "a kept connection reset when the next request came",
        "ambush-reset",
        frozenset({IN_DOUBT}),
        only_reused=True,
    ),
)


async def check_transport(
    make_transport: MakeTransport,
    *,
    safeties: Iterable[Safety] = tuple(Safety),
    places: int | None = None,
    unresolvable_host: str | None = "nobody.invalid",
) -> None:
    """Judge a transport on loopback; takes some seconds.

    Args:
        make_transport: makes a fresh one, on the system's clock; it is closed by the kit.
        safeties: the kinds of steps it is to serve.
        places: how many calls one transport carries at a time; None skips what happens when all are taken.
        unresolvable_host: a name that has no address; None skips asking for it.

    Raises:
        AssertionError: names every case that failed.
    """
    runs = [
        _Run(make_transport, safety, method, reused, places, unresolvable_host)
        for safety in safeties
        for method in ("GET", "POST")
        for reused in (False, True)
    ]
    faults = [fault for faults in await asyncio.gather(*(run.all() for run in runs)) for fault in faults]
    if faults:
        shown = "\n".join(f"- {fault}" for fault in faults[:40])
        raise AssertionError(f"{len(faults)} conformance case(s) of the transport failed:\n{shown}")


class _Fault(Exception):
    """A case failed; the text says how."""


class _Run:
    """All cases for one kind of step, one method, on fresh or on kept connections, against a server of its own."""

    def __init__(
        self,
        make_transport: MakeTransport,
        safety: Safety,
        method: str,
        reused: bool,
        places: int | None,
        unresolvable_host: str | None,
    ) -> None:
        self._make = make_transport
        self._safety = safety
        self._method = method
        self._reused = reused
        self._places = places
        self._unresolvable_host = unresolvable_host
        self._clock = SystemClock()
        self._sleeper = SystemSleeper()
        self._server = LoopbackServer(self._sleeper)
        self._canary = SecretCanary()
        self._token = self._canary.plant("header")
        self._query = self._canary.plant("query")
        self._secret_body = self._canary.plant("body").encode("ascii")
        self._calls = 0

    async def all(self) -> list[str]:
        faults: list[str] = []
        kind = f"{self._safety.value}, {self._method}, {'kept' if self._reused else 'fresh'} connection"

        async def run(name: str, case: Callable[[Transport], Awaitable[None]]) -> None:
            transport = self._make()
            try:
                if self._reused:
                    await self._answered(transport)
                await case(transport)
            except _Fault as fault:
                faults.append(f"{name} [{kind}]: {fault}")
            finally:
                await transport.aclose()

        async with self._server:
            for case in _CASES:
                if self._reused or not case.only_reused:
                    await run(case.name, lambda transport, case=case: self._serve(transport, case))  # type: ignore[misc]
            for name, special in self._specials():
                await run(name, special)
        return faults

    def _specials(self) -> list[tuple[str, Callable[[Transport], Awaitable[None]]]]:
        cases: list[tuple[str, Callable[[Transport], Awaitable[None]]]] = [
            ("nobody listens", self._refused),
            ("closed as soon as it was opened", self._slammed),
            ("a TLS handshake that is never answered", self._mute_tls),
            ("a TLS handshake answered by something else", self._no_tls),
            ("send_by has passed on either clock", self._late),
            ("send_by lies ahead", self._in_time),
            ("send_by passes while the connection is made", self._late_while_connecting),
            ("cancelled at any moment", self._cancelled),
            ("cancelled while it waits for the answer", self._cancelled_in_flight),
            ("many at once", self._many),
        ]
        if self._unresolvable_host is not None:
            cases.append(("a host without an address", self._unresolvable))
        if self._places is not None:
            cases.append(("all places taken", self._crowded))
        return cases

    # --- one send and its judgment -------------------------------------------------------------------------------

    def _request(self, url: str, body: bytes = b"") -> tuple[str, WireRequest]:
        self._calls += 1
        call = f"call-{self._calls}"
        headers = (("Authorization", f"Bearer {self._token}"), ("X-Call", call))
        data = self._secret_body + body if self._method == "POST" else b""
        return call, WireRequest(self._method, f"{url}?token={self._query}", headers, data)

    async def _attempt(
        self,
        transport: Transport,
        url: str,
        *,
        timeout_s: float = _LONG_S,
        send_by: SendBy | None = None,
        body: bytes = b"",
        alone: bool = True,
        tls: bool = False,
    ) -> tuple[str, WireResponse | GatewayError]:
        """Send once; judge what holds whatever happens; answer the outcome and its value."""
        call, request = self._request(url, body)
        before = self._server.received_bytes
        result: WireResponse | GatewayError
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                result = await transport.send(
                    request, safety=self._safety, timeout_s=timeout_s, send_by=send_by
                )
        except GatewayError as error:
            result = error
        except TimeoutError:
            raise _Fault(f"the call outlived its timeout of {timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - that it is another one is the finding
            raise _Fault(f"raised {type(error).__name__}, which is no GatewayError") from None
        await self._server.settle()
        arrived = self._server.received_bytes - before if alone and not tls else 0
        self._judge(call, result, arrived)
        return self._named(call, result), result

    def _judge(self, call: str, result: WireResponse | GatewayError, arrived_bytes: int) -> None:
        arrivals, executions = self._server.arrivals[call], self._server.executions[call]
        if arrivals > 1 or executions > 1:
            raise _Fault(f"resent: it arrived {arrivals} times and was executed {executions} times")
        if isinstance(result, WireResponse):
            return
        if isinstance(result, NotSentError):
            if arrivals or executions or arrived_bytes:
                raise _Fault(
                    f"NotSentError, but it arrived {arrivals} times, was executed {executions} times, "
                    f"and {arrived_bytes} bytes came"
                )
            sent = Sent.NO
        elif isinstance(result, OutcomeUnknownError):
            sent = Sent.MAYBE
        else:
            raise _Fault(f"raised {type(result).__name__}: neither NotSentError nor an OutcomeUnknownError")
        expected = effect_of(sent, self._safety, None)
        if result.effect is not expected:
            raise _Fault(f"{type(result).__name__} with effect {result.effect} instead of {expected}")
        if result.__cause__ is not None or result.__context__ is not None:
            raise _Fault(f"{type(result).__name__} carries another exception with it")
        hits = self._canary.in_exception(result)
        if hits:
            raise _Fault(f"{type(result).__name__} shows a secret: {hits[0]}")

    def _named(self, call: str, result: WireResponse | GatewayError) -> str:
        match result:
            case WireResponse():
                if call.encode("ascii") not in result.body and len(result.body) < 100_000:
                    raise _Fault("the answer is not the answer to this call")
                return ANSWERED
            case NotSentError():
                return NOT_SENT
            case AnswerTimeoutError():
                return TIMED_OUT
            case _:
                return IN_DOUBT

    async def _answered(self, transport: Transport) -> None:
        outcome, _ = await self._attempt(transport, f"{self._server.url}/ok")
        if outcome != ANSWERED:
            raise _Fault(f"a plain call was {outcome}")

    # --- cases ---------------------------------------------------------------------------------------------------

    async def _serve(self, transport: Transport, case: _Case) -> None:
        body = case.body if self._method == "POST" else b""
        outcome, result = await self._attempt(
            transport, f"{self._server.url}/{case.behavior}", timeout_s=case.timeout_s, body=body
        )
        if outcome not in case.allowed:
            raise _Fault(f"{outcome}, not {' or '.join(sorted(case.allowed))}")
        if case.status is not None and isinstance(result, WireResponse) and result.status != case.status:
            raise _Fault(f"status {result.status} instead of {case.status}")
        # Whatever became of the connection, the next call meets no leftover of this one.
        next_body = case.next_body if self._method == "POST" else b""
        outcome, _ = await self._attempt(transport, f"{self._server.url}/ok", body=next_body)
        if outcome != ANSWERED and not (case.behavior == "two-answers" and outcome in (NOT_SENT, IN_DOUBT)):
            raise _Fault(f"the next call was {outcome}")

    async def _expect(self, transport: Transport, url: str, allowed: set[str], timeout_s: float) -> None:
        tls = url.startswith("https")
        outcome, _ = await self._attempt(transport, url, timeout_s=timeout_s, tls=tls)
        if outcome not in allowed:
            raise _Fault(f"{outcome}, not {' or '.join(sorted(allowed))}")

    async def _refused(self, transport: Transport) -> None:
        await self._expect(transport, f"{self._server.refusing_url}/ok", {NOT_SENT}, _LONG_S)

    async def _slammed(self, transport: Transport) -> None:
        await self._expect(transport, f"{self._server.slamming_url}/ok", {NOT_SENT, IN_DOUBT}, _LONG_S)

    async def _unresolvable(self, transport: Transport) -> None:
        await self._expect(transport, f"http://{self._unresolvable_host}/ok", {NOT_SENT}, _LONG_S)

    async def _mute_tls(self, transport: Transport) -> None:
        url = self._server.mute_url.replace("http:", "https:")
        await self._expect(transport, f"{url}/ok", {NOT_SENT}, _SHORT_S)

    async def _no_tls(self, transport: Transport) -> None:
        url = self._server.slamming_url.replace("http:", "https:")
        await self._expect(transport, f"{url}/ok", {NOT_SENT}, _LONG_S)

    def _send_by(self, wall_s: float, monotonic_s: float) -> SendBy:
        return SendBy(self._clock.now() + timedelta(seconds=wall_s), self._clock.monotonic() + monotonic_s)

    async def _late(self, transport: Transport) -> None:
        for wall_s, monotonic_s in ((-1, -1), (-1, 60), (60, -1), (0, 60), (60, 0)):
            outcome, result = await self._attempt(
                transport, f"{self._server.url}/ok", send_by=self._send_by(wall_s, monotonic_s)
            )
            if outcome != NOT_SENT:
                raise _Fault(f"{outcome}, though send_by had passed ({wall_s} s, {monotonic_s} s)")
            if isinstance(result, GatewayError) and result.code != "send_by_passed":
                raise _Fault(f'NotSentError with code "{result.code}" instead of "send_by_passed"')

    async def _in_time(self, transport: Transport) -> None:
        outcome, _ = await self._attempt(transport, f"{self._server.url}/ok", send_by=self._send_by(60, 60))
        if outcome != ANSWERED:
            raise _Fault(outcome)

    async def _late_while_connecting(self, transport: Transport) -> None:
        url = self._server.mute_url.replace("http:", "https:")
        outcome, _ = await self._attempt(
            transport, f"{url}/ok", timeout_s=_SHORT_S, send_by=self._send_by(0.05, 0.05), tls=True
        )
        if outcome != NOT_SENT:
            raise _Fault(outcome)

    async def _cancelled(self, transport: Transport) -> None:
        for turns in range(16):
            call, request = self._request(f"{self._server.url}/ok")
            task = asyncio.ensure_future(transport.send(request, safety=self._safety, timeout_s=_LONG_S))
            for _ in range(turns):
                await self._sleeper.sleep(0)
            task.cancel()
            await self._judge_cancelled(call, task)
            await self._answered(transport)

    async def _cancelled_in_flight(self, transport: Transport) -> None:
        call, request = self._request(f"{self._server.url}/stall")
        task = asyncio.ensure_future(transport.send(request, safety=self._safety, timeout_s=_LONG_S))
        while not self._server.executions[call] and not task.done():
            await self._sleeper.sleep(0.005)
        task.cancel()
        await self._judge_cancelled(call, task)
        if not task.cancelled():
            raise _Fault("the cancelled call did not end as cancelled")
        await self._answered(transport)

    async def _judge_cancelled(self, call: str, task: "asyncio.Future[WireResponse]") -> None:
        sent: Sent | None = None
        try:
            await asyncio.wait_for(asyncio.shield(task), _GRACE_S)
        except asyncio.CancelledError as cancelled:
            if not task.cancelled():
                raise
            sent = sent_before_cancel(cancelled)
        except TimeoutError:
            raise _Fault("a cancelled call went on") from None
        except Exception as error:  # noqa: BLE001 - that it is another one is the finding
            raise _Fault(f"a cancelled call raised {type(error).__name__}") from None
        await self._server.settle()
        arrivals, executions = self._server.arrivals[call], self._server.executions[call]
        if arrivals > 1 or executions > 1:
            raise _Fault(f"cancelled and resent: it arrived {arrivals} times")
        if sent is Sent.NO and arrivals:
            raise _Fault("cancelled as proven unsent, but it arrived")

    async def _many(self, transport: Transport) -> None:
        found = await asyncio.gather(
            *(self._attempt(transport, f"{self._server.url}/ok", alone=False) for _ in range(30)),
            return_exceptions=True,
        )
        for each in found:
            if isinstance(each, BaseException):
                raise each
            if each[0] != ANSWERED:
                raise _Fault(each[0])

    async def _crowded(self, transport: Transport) -> None:
        """All places are held by calls that wait for their answers; what comes on top waits, and may not leave."""
        places = self._places or 0
        held = [self._request(f"{self._server.url}/hold") for _ in range(places)]
        tasks = [
            asyncio.ensure_future(transport.send(request, safety=self._safety, timeout_s=_LONG_S))
            for _, request in held
        ]
        try:
            while sum(self._server.executions[call] for call, _ in held) < places:
                await self._sleeper.sleep(0.005)
            await self._expect(transport, f"{self._server.url}/ok", {NOT_SENT}, 0.1)
            outcome, _ = await self._attempt(
                transport, f"{self._server.url}/ok", timeout_s=1.0, send_by=self._send_by(0.05, 0.05)
            )
            if outcome != NOT_SENT:
                raise _Fault(f"{outcome}, though send_by passed while it waited for a place")
            call, request = self._request(f"{self._server.url}/ok")
            waiting = asyncio.ensure_future(transport.send(request, safety=self._safety, timeout_s=_LONG_S))
            await self._sleeper.sleep(0.01)
            waiting.cancel()
            await self._judge_cancelled(call, waiting)
            if self._server.arrivals[call]:
                raise _Fault("cancelled while it waited for a place, but it arrived")
        finally:
            self._server.release()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._many(transport)

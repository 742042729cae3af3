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
from functools import partial
from typing import Final

from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.errors import AnswerTimeoutError, GatewayError, NotSentError, OutcomeUnknownError
from vextrus_payments.testing.canary import SecretCanary
from vextrus_payments.testing.loopback import LoopbackServer
from vextrus_payments.testing.transport_cases import (
    ANSWERED,
    CASES,
    IN_DOUBT,
    LONG_S,
    NOT_SENT,
    SHORT_S,
    TIMED_OUT,
    Case,
)
from vextrus_payments.transport.port import Transport, sent_before_cancel
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse, effect_of

MakeTransport = Callable[[], Transport]

_GRACE_S: Final = 3.0
"""A call that has not ended so long after its timeout has no timeout."""


async def check_transport(
    make_transport: MakeTransport,
    *,
    safeties: Iterable[Safety] = tuple(Safety),
    places: int | None = None,
    unresolvable_host: str | None = "nobody.invalid",
    only: str = "",
) -> None:
    """Judge a transport on loopback; takes some seconds.

    Args:
        make_transport: makes a fresh one, on the system's clock; it is closed by the kit.
        safeties: the kinds of steps it is to serve.
        places: how many calls one transport carries at a time; None skips what happens when all are taken.
        unresolvable_host: a name that has no address; None skips asking for it.
        only: run the cases whose name contains this text, to look into one.

    Raises:
        AssertionError: names every case that failed.
        ValueError: no case has such a name.
    """
    runs = [
        _Run(make_transport, safety, method, reused, places, unresolvable_host, only)
        for safety in safeties
        for method in ("GET", "POST")
        for reused in (False, True)
    ]
    await asyncio.gather(*(run.all() for run in runs))
    if not any(run.cases_run for run in runs):
        raise ValueError(f"no case is named like {only!r}")
    faults = [fault for run in runs for fault in run.faults]
    if faults:
        shown = "\n".join(f"- {fault}" for fault in faults[:40])
        raise AssertionError(f"{len(faults)} conformance case(s) of the transport failed:\n{shown}")


class _Fault(Exception):
    """A case failed; the text says how."""


@dataclass(frozen=True, slots=True)
class _Watched:
    """A call that runs by itself, and what it left as proof when it was cancelled."""

    call: str
    task: "asyncio.Task[WireResponse]"
    proofs: list[Sent]


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
        only: str,
    ) -> None:
        self._only = only
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
        self.cases_run = 0
        self.faults: list[str] = []

    async def all(self) -> None:
        async with self._server:
            for case in CASES:
                if self._reused or not case.only_reused:
                    await self._run(case.name, partial(self._serve, case=case))
            for name, special in self._specials():
                await self._run(name, special)

    async def _run(self, name: str, case: Callable[[Transport], Awaitable[None]]) -> None:
        if self._only not in name:
            return
        self.cases_run += 1
        transport = self._make()
        try:
            if self._reused:
                await self._answered(transport)
            await case(transport)
        except _Fault as fault:
            kind = f"{self._safety.value}, {self._method}, {'kept' if self._reused else 'fresh'} connection"
            self.faults.append(f"{name} [{kind}]: {fault}")
        finally:
            await transport.aclose()

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
        timeout_s: float = LONG_S,
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

    async def _serve(self, transport: Transport, case: Case) -> None:
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
        await self._expect(transport, f"{self._server.refusing_url}/ok", {NOT_SENT}, LONG_S)

    async def _slammed(self, transport: Transport) -> None:
        await self._expect(transport, f"{self._server.slamming_url}/ok", {NOT_SENT, IN_DOUBT}, LONG_S)

    async def _unresolvable(self, transport: Transport) -> None:
        await self._expect(transport, f"http://{self._unresolvable_host}/ok", {NOT_SENT}, LONG_S)

    async def _mute_tls(self, transport: Transport) -> None:
        url = self._server.mute_url.replace("http:", "https:")
        await self._expect(transport, f"{url}/ok", {NOT_SENT}, SHORT_S)

    async def _no_tls(self, transport: Transport) -> None:
        url = self._server.slamming_url.replace("http:", "https:")
        await self._expect(transport, f"{url}/ok", {NOT_SENT}, LONG_S)

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
            transport, f"{url}/ok", timeout_s=SHORT_S, send_by=self._send_by(0.05, 0.05), tls=True
        )
        if outcome != NOT_SENT:
            raise _Fault(outcome)

    async def _cancelled(self, transport: Transport) -> None:
        for turns in range(16):
            watched = self._start(transport, f"{self._server.url}/ok")
            for _ in range(turns):
                await self._sleeper.sleep(0)
            await self._cancel(watched)
            await self._answered(transport)

    async def _cancelled_in_flight(self, transport: Transport) -> None:
        watched = self._start(transport, f"{self._server.url}/stall")
        await self._until(lambda: self._server.executions[watched.call] == 1 or watched.task.done())
        await self._cancel(watched)
        if not watched.task.cancelled():
            raise _Fault("the cancelled call did not end as cancelled")
        await self._answered(transport)

    def _start(self, transport: Transport, url: str, send_by: SendBy | None = None) -> _Watched:
        call, request = self._request(url)
        proofs: list[Sent] = []

        async def send() -> WireResponse:
            try:
                return await transport.send(request, safety=self._safety, timeout_s=LONG_S, send_by=send_by)
            except asyncio.CancelledError as cancelled:
                proofs.append(sent_before_cancel(cancelled))
                raise

        return _Watched(call, asyncio.create_task(send()), proofs)

    async def _until(self, true: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(_GRACE_S):
                while not true():
                    await self._sleeper.sleep(0.002)
        except TimeoutError:
            raise _Fault("the calls did not all reach the server") from None

    async def _cancel(self, watched: _Watched) -> None:
        """Cancel a call and judge what became of it."""
        watched.task.cancel()
        await asyncio.wait({watched.task}, timeout=_GRACE_S)
        if not watched.task.done():
            raise _Fault("a cancelled call went on")
        error = None if watched.task.cancelled() else watched.task.exception()
        if error is not None:
            raise _Fault(f"a cancelled call raised {type(error).__name__}")
        await self._server.settle()
        arrivals, executions = self._server.arrivals[watched.call], self._server.executions[watched.call]
        if arrivals > 1 or executions > 1:
            raise _Fault(f"cancelled and resent: it arrived {arrivals} times")
        if Sent.NO in watched.proofs and arrivals:
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
        held = [self._start(transport, f"{self._server.url}/hold") for _ in range(self._places or 0)]
        try:
            await self._until(lambda: all(self._server.executions[each.call] for each in held))
            await self._expect(transport, f"{self._server.url}/ok", {NOT_SENT}, 0.1)
            waiting = self._start(transport, f"{self._server.url}/ok")
            await self._sleeper.sleep(0.01)
            await self._cancel(waiting)
            if self._server.arrivals[waiting.call]:
                raise _Fault("cancelled while it waited for a place, but it arrived")
            late = self._start(transport, f"{self._server.url}/ok", self._send_by(0.05, 0.05))
            await self._sleeper.sleep(0.1)
        finally:
            self._server.release()
            await asyncio.gather(*(each.task for each in held), return_exceptions=True)
        await asyncio.wait({late.task}, timeout=_GRACE_S)
        if not late.task.done() or not isinstance(late.task.exception(), NotSentError):
            raise _Fault("sent, though send_by passed while it waited for a place")
        if self._server.arrivals[late.call]:
            raise _Fault("arrived, though send_by passed while it waited for a place")
        await self._many(transport)

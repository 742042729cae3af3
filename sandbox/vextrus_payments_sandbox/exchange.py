"""One API call through the sandbox: logged on arrival, struck by its fault, carried out, answered.

The work runs in a task of the sandbox's own, so that a caller who hangs up does not stop it: a real gateway
finishes what it has begun, and a test of lost answers needs exactly that.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox import strikes
from vextrus_payments_sandbox.faults import HEADER, Fault, FaultPlans, Subject, parse_fault
from vextrus_payments_sandbox.manners import Parting
from vextrus_payments_sandbox.strikes import ABORT, RESET, ConnectionDroppedError, Dropped, json_response
from vextrus_payments_sandbox.taping import BODY_KEY, Tape
from vextrus_payments_sandbox.world import Call, SandboxError, World

__all__ = [
    "ABORT",
    "BODY_MAX",
    "RESET",
    "BodyTooLargeError",
    "ConnectionDroppedError",
    "Done",
    "Dropped",
    "Exchange",
    "Outgoing",
    "Work",
    "json_response",
    "read_body",
]

BODY_MAX: Final = 65_536
_ASKED_AHEAD: Final = 4
"""How many payments each call asks for their state, for whoever looks for one later: some ten microseconds each."""
_T = TypeVar("_T")


class BodyTooLargeError(Exception):
    """The request body is longer than any gateway takes."""


async def read_body(request: Request, limit: int = BODY_MAX) -> bytes:
    """The whole body, also a second time; raises :class:`BodyTooLargeError` once more than `limit` bytes have come."""
    known = request.scope.get(BODY_KEY)
    if isinstance(known, bytes):
        if len(known) > limit:
            raise BodyTooLargeError
        return known
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLargeError
    raw = bytes(body)
    request.scope[BODY_KEY] = raw
    return raw


@dataclass(slots=True)
class Done:
    """What the work came to: the answer, and the payment it was about."""

    response: Response
    reference: str | None = None


class Outgoing(Protocol):
    """What the gateway's work sets going besides its answer: webhooks."""

    async def leave(self, fault: Fault | None = None) -> None:
        """The work is over: send what it announced; wait only for what has to arrive before the answer does."""
        ...

    async def close(self) -> None:
        """Stop whatever is on its way."""
        ...


Work = Callable[[Fault | None], Done]
"""The gateway's own work, told of the fault that will strike its answer; it must not await."""


@dataclass(slots=True)
class Exchange:
    """Carries calls of every gateway; one per sandbox."""

    world: World
    faults: FaultPlans
    sleeper: Sleeper
    outgoing: Outgoing | None = None
    _tasks: set["asyncio.Task[Any]"] = field(default_factory=set)

    def fault_of(
        self, request: Request, gateway: str, operation: str, subject: Subject | None = None
    ) -> Fault | None:
        """The fault of this call: the header's, else one ordered ahead, else the one that the payment brings itself.

        Raises :class:`SandboxError`.
        """
        named = request.headers.get(HEADER)
        if named:
            return parse_fault(named, gateway, operation)
        return self.faults.take(gateway, operation, subject)

    async def carry(
        self,
        request: Request,
        *,
        gateway: str,
        operation: str,
        reference: str | None,
        work: Work,
        coded: Callable[[str], Response],
        subject: Callable[[], Subject | None] | None = None,
        parted: Callable[[Parting], None] | None = None,
        door: Callable[[], Response | None] | None = None,
    ) -> Response:
        """Log the call, let its fault strike, do the work, answer.

        `work` does the gateway's work and must not await; `coded` words a refusal with a given code, as this
        operation would, for the faults that claim one; `subject` finds the payment that may bring a fault itself;
        `parted` is told once how it ended for the caller. `door` says on arrival who is not let in, where the work is
        done later: a caller's token counts when he calls, and `work` must not look at it again.
        """
        call = self.world.wire.open(self.world.now(), gateway, operation, request.method, request.url.path)
        call.reference = reference
        tape = Tape(self.world, request, call)
        try:
            fault = self.fault_of(request, gateway, operation, None if subject is None else subject())
        except SandboxError as wrong:
            call.status = wrong.status
            refused = json_response({"message": f"X-Sandbox-Fault: {wrong}; nothing was done"}, wrong.status)
            tape.finished(refused)
            return refused
        call.fault = fault.name if fault else None
        turned_away = door() if door is not None and call.fault == "late_success" else None
        if turned_away is not None:
            call.fault, call.status = None, turned_away.status_code
            tape.finished(turned_away)
            return turned_away
        tape.magic = fault is not None and fault.is_magic
        began = self.world.clock.monotonic_s()
        task = self._start(self._serve(call, fault, work, coded, tape))
        hung_up, waited_s = False, 0.0
        try:
            if (
                fault is not None and fault.wait_s
            ):  # the only calls that take long enough for somebody to leave
                hung_up = await self._left_before(request, task)
            if hung_up and parted is not None:  # the work goes on; for its caller it is over now
                parted(Parting(fault, self.world.clock.monotonic_s() - began, hung_up))
                parted = None
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # the sandbox is stopping, not the caller
                tape.finished(None)
                parted = None
                return Dropped()
            hung_up, waited_s = True, self.world.clock.monotonic_s() - began
            raise
        finally:
            if parted is not None:
                parted(Parting(fault, waited_s, hung_up))

    async def _left_before(self, request: Request, task: "asyncio.Task[Response]") -> bool:
        """Wait for the answer of `task`, or until its caller is gone: then true."""
        left = asyncio.create_task(_left(request))  # not one of those whose end somebody waits for
        try:
            await asyncio.wait({left, task}, return_when=asyncio.FIRST_COMPLETED)
            return left.done() and not left.cancelled() and not task.done()
        finally:
            left.cancel()
            await asyncio.gather(left, return_exceptions=True)

    def turned_away(self, request: Request, gateway: str, operation: str, answer: Response) -> Response:
        """Log a call that never came to its work (no such route, a body without end), and answer it."""
        call = self.world.wire.open(self.world.now(), gateway, operation, request.method, request.url.path)
        call.status = answer.status_code
        Tape(self.world, request, call).finished(answer)
        return answer

    async def idle(self) -> None:
        """Return when everything that was begun is done, also what its caller no longer waits for."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def close(self) -> None:
        """Stop whatever is still waiting, who listens to the record included; called when the server stops."""
        self.world.record.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.outgoing is not None:
            await self.outgoing.close()

    def _start(self, doing: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(
        self, call: Call, fault: Fault | None, work: Work, coded: Callable[[str], Response], tape: Tape
    ) -> Response:
        response: Response | None = None
        try:
            response = await self._answer(call, fault, work, coded, tape)
        finally:
            tape.finished(response.seen if isinstance(response, Dropped) else response)
        return response

    async def _answer(
        self, call: Call, fault: Fault | None, work: Work, coded: Callable[[str], Response], tape: Tape
    ) -> Response:
        response: Response | None = None
        if fault is not None and fault.kind.phase == "before":
            await self._pause(fault)
            response = strikes.before(fault, coded, self._digits)
        if fault is not None and fault.name == "late_success":
            _ = self._start(self._work_later(call, fault, work, tape))
            response = strikes.meanwhile(fault, coded)
        elif response is None:
            response = await self._work(call, fault, work, tape)
            if fault is not None and fault.kind.phase == "after":
                await self._pause(fault)
                response = strikes.after(fault, response, coded)
        call.status = None if isinstance(response, Dropped) else response.status_code
        return response

    async def _work(self, call: Call, fault: Fault | None, work: Work, tape: Tape) -> Response:
        """The gateway's work, while its clock is as the fault would have it; then its news is sent."""
        moved_before = len(self.world.books.movements)
        ahead_s = fault.skew_s if fault is not None and fault.kind.phase == "before" else 0.0
        with self.world.clock.skewed(ahead_s):
            done = work(fault)
        call.moved_money = len(self.world.books.movements) > moved_before
        call.reference = done.reference or call.reference
        tape.worked(done.response)
        self.world.catch_up(_ASKED_AHEAD)
        self.world.keep()  # before anything is sent: an answer, an announcement, or nothing at all
        if self.outgoing is not None:
            await self.outgoing.leave(fault)
        return done.response

    async def _work_later(self, call: Call, fault: Fault, work: Work, tape: Tape) -> None:
        """What nobody waits for any more: a gateway finishes what it has begun."""
        await self._pause(fault)
        await self._work(call, fault, work, tape)

    async def _pause(self, fault: Fault) -> None:
        if fault.wait_s:
            await self.sleeper.sleep(fault.wait_s)

    def _digits(self, count: int) -> str:
        return self.world.text("0123456789", count)


async def _left(request: Request) -> None:
    """Return when the caller has closed the connection; his body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

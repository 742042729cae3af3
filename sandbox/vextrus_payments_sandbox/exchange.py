"""One API call through the sandbox: logged on arrival, struck by its fault, carried out, answered.

The work runs in a task of the sandbox's own, so that a caller who hangs up does not stop it: a real gateway
finishes what it has begun, and a test of lost answers needs exactly that.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox.faults import HEADER, Fault, FaultPlans, parse_fault
from vextrus_payments_sandbox.world import Call, SandboxError, World

BODY_MAX: Final = 65_536
ABORT: Final = "vextrus.sandbox.abort"
"""ASGI extension under which the sandbox's own server hands over "close this connection now"."""

_BAD_GATEWAY: Final = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "</body>\r\n</html>\r\n"
)
_BLOCKED: Final = (
    "<html><head><title>Request Rejected</title></head><body>The requested URL was rejected. Please consult with "
    "your administrator.<br><br>Your support ID is: {support_id}<br></body></html>"
)


class ConnectionDroppedError(httpx.ReadError):
    """In-process there is no connection to cut: a caller under ``httpx.ASGITransport`` gets this instead."""


class BodyTooLargeError(Exception):
    """The request body is longer than any gateway takes."""


async def read_body(request: Request, limit: int = BODY_MAX) -> bytes:
    """The whole body; raises :class:`BodyTooLargeError` once more than `limit` bytes have come."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLargeError
    return bytes(body)


def json_response(content: Any, status: int = 200) -> Response:
    """A JSON answer as the gateways write it: compact, UTF-8, exact."""
    raw = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return Response(raw, status, media_type="application/json")


class Dropped(Response):
    """No answer: the connection is closed, after the first `keep` bytes of `half` when there is one."""

    def __init__(self, half: Response | None = None) -> None:
        super().__init__(status_code=200)
        self._half = half

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        abort = scope.get("extensions", {}).get(ABORT)
        if self._half is not None:
            body = bytes(self._half.body)
            headers = self._half.raw_headers  # they promise the whole length
            await send({"type": "http.response.start", "status": self._half.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        if abort is None:
            raise ConnectionDroppedError("the sandbox dropped the connection on purpose")
        abort()
        while (await receive())["type"] != "http.disconnect":
            pass


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
    _tasks: set["asyncio.Task[Response]"] = field(default_factory=set)

    def fault_of(self, request: Request, gateway: str, operation: str) -> Fault | None:
        """The fault of this call: the header's, else one ordered ahead. Raises :class:`SandboxError`."""
        named = request.headers.get(HEADER)
        return parse_fault(named, gateway) if named else self.faults.take(gateway, operation)

    async def carry(
        self,
        request: Request,
        *,
        gateway: str,
        operation: str,
        reference: str | None,
        work: Work,
        coded: Callable[[str], Response],
    ) -> Response:
        """Log the call, let its fault strike, do the work, answer.

        `work` does the gateway's work and must not await; `coded` words a refusal with a given code, as this
        operation would, for the faults that claim one.
        """
        call = self.world.wire.open(self.world.now(), gateway, operation, request.method, request.url.path)
        call.reference = reference
        try:
            fault = self.fault_of(request, gateway, operation)
        except SandboxError as wrong:
            call.status = wrong.status
            return json_response({"message": f"X-Sandbox-Fault: {wrong}; nothing was done"}, wrong.status)
        call.fault = fault.name if fault else None
        task = asyncio.ensure_future(self._serve(call, fault, work, coded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():  # the sandbox is stopping, not the caller
                return Dropped()
            raise

    async def close(self) -> None:
        """Stop whatever is still waiting; called when the server stops."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.outgoing is not None:
            await self.outgoing.close()

    async def _serve(
        self, call: Call, fault: Fault | None, work: Work, coded: Callable[[str], Response]
    ) -> Response:
        response: Response | None = None
        if fault is not None and fault.kind.phase == "before":
            await self._pause(fault)
            response = self._before(fault, coded)
        if response is None:
            moved_before = len(self.world.books.movements)
            done = work(fault)
            call.moved_money = len(self.world.books.movements) > moved_before
            call.reference = done.reference or call.reference
            response = done.response
            if self.outgoing is not None:
                await self.outgoing.leave(fault)
        if fault is not None and fault.kind.phase == "after":
            await self._pause(fault)
            response = self._after(fault, response, coded)
        call.status = None if isinstance(response, Dropped) else response.status_code
        return response

    async def _pause(self, fault: Fault) -> None:
        if fault.seconds:
            await self.sleeper.sleep(fault.seconds)

    def _before(self, fault: Fault, coded: Callable[[str], Response]) -> Response | None:
        """The answer that replaces the work; ``None`` lets the work go ahead."""
        strikes: dict[str, Callable[[], Response]] = {
            "drop_before": Dropped,
            "error_5xx_before": lambda: json_response({"message": "Endpoint request timed out"}, 504),
            "expired_token": lambda: json_response({"message": "The incoming token has expired"}, 401),
            "forbidden": lambda: json_response({"message": "Forbidden"}, 403),
            "throttled": lambda: json_response({"message": "Too Many Requests"}, 429),
            "grant_budget": lambda: json_response({"message": "Too Many Requests"}, 429),
            "malformed_before": lambda: _cut(
                json_response({"statusCode": "0000", "statusMessage": "Successful"})
            ),
            "html_before": lambda: self._firewall(403),
            "html_200_before": lambda: self._firewall(200),
            "message_only_before": lambda: json_response({"message": "Internal server error"}),
            "code_before": lambda: coded(fault.code),
        }
        strike = strikes.get(fault.name)
        return None if strike is None else strike()

    def _firewall(self, status: int) -> Response:
        page = _BLOCKED.format(support_id=self.world.text("0123456789", 19))
        return Response(page, status, media_type="text/html")

    @staticmethod
    def _after(fault: Fault, response: Response, coded: Callable[[str], Response]) -> Response:
        """The answer that replaces the true one, which is lost."""
        strikes: dict[str, Callable[[], Response]] = {
            "drop_after": Dropped,
            "drop_mid_body": lambda: Dropped(response),
            "error_5xx_after": lambda: json_response({"message": "Endpoint request timed out"}, 504),
            "malformed": lambda: _cut(response),
            "html": lambda: Response(_BAD_GATEWAY, 502, media_type="text/html"),
            "message_only": lambda: json_response({"message": "Internal server error"}),
            "code_after": lambda: coded(fault.code),
        }
        strike = strikes.get(fault.name)
        return response if strike is None else strike()


def _cut(response: Response) -> Response:
    return Response(bytes(response.body)[: len(response.body) // 2], 200, media_type="application/json")

"""What the transport's speed relies on in httpcore, so that a release that moves it is noticed here."""

import asyncio
from typing import Any

from vextrus_payments.testing.loopback import LoopbackServer
from vextrus_payments.transport import HttpxTransport
from vextrus_payments.transport.lines import _FREE, Line
from vextrus_payments.wire import Safety, WireRequest


def _line_of(transport: HttpxTransport) -> Line:
    lines: Any = transport._lines
    (stack,) = lines._idle.values()
    line: Line = stack[-1]
    return line


async def test_a_used_line_has_no_lock_left() -> None:
    async with LoopbackServer() as server:
        transport = HttpxTransport()
        request = WireRequest("POST", f"{server.url}/ok", (("X-Call", "one"),), b"{}")
        await transport.send(request, safety=Safety.READ, timeout_s=5)
        engine: Any = _line_of(transport).engine
        assert engine._request_lock is _FREE
        assert engine._connection._state_lock is _FREE
        await transport.send(request, safety=Safety.READ, timeout_s=5)
        assert transport.connections == 1
        await transport.aclose()


async def test_many_callers_still_have_a_line_each() -> None:
    async with LoopbackServer() as server:
        transport = HttpxTransport(max_connections=3)

        async def call(number: int) -> int:
            request = WireRequest("POST", f"{server.url}/ok", (("X-Call", f"call-{number}"),), b"{}")
            return (await transport.send(request, safety=Safety.READ, timeout_s=5)).status

        for _ in range(3):
            assert await asyncio.gather(*(call(number) for number in range(30))) == [200] * 30
        assert server.executions == {f"call-{number}": 3 for number in range(30)}
        assert transport.connections <= 3
        await transport.aclose()

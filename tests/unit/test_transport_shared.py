"""One transport per event loop, proxy, TLS policy and clock; closed by the last who uses it."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from vextrus_payments.clock import SystemClock
from vextrus_payments.secret import Secret
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.loopback import LoopbackServer
from vextrus_payments.transport import Transport, shared, shared_transport
from vextrus_payments.wire import Safety, WireRequest


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    async with LoopbackServer() as running:
        yield running


async def call(transport: Transport, server: LoopbackServer) -> None:
    request = WireRequest("GET", f"{server.url}/ok", (("X-Call", "a"),))
    assert (await transport.send(request, safety=Safety.READ, timeout_s=5)).status == 200


async def test_the_same_way_is_one_transport(server: LoopbackServer) -> None:
    shares = [shared_transport() for _ in range(3)] + [shared_transport(clock=SystemClock())]
    for share in shares:
        await call(share, server)
    assert server.connections == 1
    assert len(shared._shared) == 1
    for share in shares[:-1]:
        await share.aclose()
        await share.aclose()
    await call(shares[-1], server)
    assert server.connections == 1
    await shares[-1].aclose()
    assert not shared._shared


async def test_another_way_is_another_transport(server: LoopbackServer) -> None:
    clock = FakeClock()
    shares = [
        shared_transport(),
        shared_transport(ssl_context=ssl.create_default_context()),
        shared_transport(clock=clock),
        shared_transport(clock=clock),
        shared_transport(clock=FakeClock()),
        shared_transport(max_connections=7),
    ]
    for share in shares:
        await call(share, server)
    assert server.connections == len(shares) - 1
    for share in shares:
        await share.aclose()


async def test_a_way_is_told_apart_by_its_proxy_and_never_shows_it(server: LoopbackServer) -> None:
    share = shared_transport(proxy=Secret("http://user:proxy-password@127.0.0.1:9"))
    with pytest.raises(Exception, match="Not sent"):
        await call(share, server)
    assert "proxy-password" not in repr(shared._shared)
    await share.aclose()


async def test_a_closed_share_begins_anew(server: LoopbackServer) -> None:
    share = shared_transport()
    await call(share, server)
    await share.aclose()
    await call(share, server)
    assert server.connections == 2
    await share.aclose()
    assert not shared._shared


async def test_it_can_be_made_and_closed_unused() -> None:
    await shared_transport().aclose()


def test_it_is_made_outside_a_loop_and_serves_one_loop_after_the_other() -> None:
    share = shared_transport()

    async def once() -> None:
        async with LoopbackServer() as server:
            await call(share, server)

    asyncio.run(once())
    asyncio.run(once())
    assert len(shared._shared) == 1  # the dead loop's went when the next one came
    asyncio.run(share.aclose())

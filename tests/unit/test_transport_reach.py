"""Which addresses a transport with a limited reach connects to: none but public ones, however they are written."""

import asyncio
import socket
from typing import Any

import pytest

from vextrus_payments.errors import ConfigurationError, NotSentError
from vextrus_payments.secret import Secret
from vextrus_payments.testing.loopback import LoopbackServer
from vextrus_payments.transport import HttpxTransport, Reach, is_public_address, shared_transport
from vextrus_payments.wire import Safety, WireRequest

INSIDE = (
    "127.0.0.1 127.8.9.1 0.0.0.0 0.0.0.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1"
    " 198.18.0.1 203.0.113.9 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255"
    " :: ::1 fe80::1 fe80::1%eth0 fc00::1 fd12:3456::1 ff02::1 2001:db8::1"
    " ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1"
    " 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a00:1::"
    " fec0::1 64:ff9b:1::7f00:1 ::ffff:0:127.0.0.1 ::ffff:0:a9fe:a9fe 5f00::1 4000::1"
).split()
OUTSIDE = (
    "1.1.1.1 8.8.8.8 103.5.6.7 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::".split()
)


@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public_address(address)
    assert not Reach.PUBLIC.allows(address)
    assert Reach.ANYWHERE.allows(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public_address(address)
    assert Reach.PUBLIC.allows(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3", "0x7f.1", "2130706433", "1.1.1.1/32", "\u0661.1.1.1"]
)
def test_what_is_no_numeric_address_is_not_public(text: str) -> None:
    assert not is_public_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_limited_reach_never_connects_inside(host: str) -> None:
    async with LoopbackServer() as server:
        transport = HttpxTransport(reach=Reach.PUBLIC)
        url = server.url.replace("127.0.0.1", host)
        with pytest.raises(NotSentError) as caught:
            await transport.send(WireRequest("POST", f"{url}/ok"), safety=Safety.ONCE, timeout_s=5)
        await transport.aclose()
        assert caught.value.context["cause"] == "AddressNotAllowedError"
        assert server.connections == 0


async def test_of_a_name_with_several_addresses_only_public_ones_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that answers with an inner address beside a public one is not connected to inside."""
    tried: list[str] = []

    async def resolved(host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("10.0.0.7", "8.8.8.8", "127.0.0.1", "1.1.1.1")
        ]

    async def connect(_protocol: Any, host: str, port: int, **_: Any) -> Any:
        tried.append(host)
        raise ConnectionRefusedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    monkeypatch.setattr(loop, "create_connection", connect)
    transport = HttpxTransport(reach=Reach.PUBLIC)
    with pytest.raises(NotSentError):
        await transport.send(
            WireRequest("POST", "https://hooks.example/in"), safety=Safety.IDEMPOTENT, timeout_s=5
        )
    await transport.aclose()
    assert tried == ["8.8.8.8", "1.1.1.1"]


async def test_transports_of_another_reach_share_no_connection() -> None:
    async with LoopbackServer() as server:
        near, far = shared_transport(), shared_transport(reach=Reach.PUBLIC)
        request = WireRequest("POST", f"{server.url}/ok")
        await near.send(request, safety=Safety.READ, timeout_s=5)
        with pytest.raises(NotSentError):
            await far.send(request, safety=Safety.READ, timeout_s=5)
        await near.aclose()
        await far.aclose()


def test_no_proxy_beside_a_limited_reach() -> None:
    with pytest.raises(ConfigurationError, match="proxy"):
        HttpxTransport(reach=Reach.PUBLIC, proxy=Secret("http://proxy.internal:3128"))

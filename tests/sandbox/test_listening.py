"""Where the sandbox listens, whom it lets in, and under which names it answers."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.shop import Shop, walk
from vextrus_payments_sandbox import SandboxServer
from vextrus_payments_sandbox.listening import NoSuchHostError, NotLoopbackError, Place, PortTakenError


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")


#: Tests stay on loopback; of it, Linux answers to every address, and this one is none that is let in by itself.
OTHER = "127.0.0.2"
other_address = pytest.mark.skipif(
    sys.platform != "linux", reason="127.0.0.2 is an address of this machine on Linux only"
)


def scope(host: str | None, arrived_at: str = "127.0.0.1", version: str = "1.1") -> dict[str, Any]:
    headers = [] if host is None else [(b"host", host.encode("latin-1"))]
    return {"type": "http", "headers": headers, "server": (arrived_at, 28600), "http_version": version}


def place(address: str, *names: str) -> Place:
    return Place(names[0] if names else address, ip_address(address), frozenset(names))


@pytest.fixture
async def everywhere() -> AsyncIterator[SandboxServer]:
    async with SandboxServer(host="0.0.0.0", allow_remote=True) as running:
        yield running


# ------------------------------------------------------------------------------------------ by the rules alone


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.9.8.7", "::1", "[::1]"])
def test_loopback_needs_no_leave(host: str) -> None:
    assert not Place.of(host).is_remote
    assert not Place.of(host, allow_remote=True).is_remote


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.10", "fd00::1", "mybox", "::ffff:192.168.1.10", ""]
)
def test_what_others_reach_needs_leave(host: str) -> None:
    with pytest.raises(NotLoopbackError):
        Place.of(host)


def test_without_leave_no_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for a name")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    with pytest.raises(NotLoopbackError):
        Place.of("shop.example")


@pytest.mark.parametrize("host", ["", "a b", "fe80::1%eth0", "host:1", "host.", "a" * 300])
def test_what_names_no_address_is_refused_in_words(host: str) -> None:
    with pytest.raises(NoSuchHostError, match="has no address"):
        Place.of(host, allow_remote=True)


def test_a_name_is_bound_where_it_leads_and_answered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(name: str, *_: object, **__: object) -> list[Any]:
        if name != "mybox":
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.168.1.10", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    assert Place.of("MyBox", allow_remote=True) == place("192.168.1.10", "mybox")
    with pytest.raises(NoSuchHostError, match="Name or service not known"):
        Place.of("otherbox", allow_remote=True)


def test_an_address_of_another_machine_is_no_port_that_is_taken() -> None:
    with pytest.raises(NoSuchHostError, match=r"no address 192\.0\.2\.77"):
        Place.of("192.0.2.77", allow_remote=True).bound(0)
    with pytest.raises(PortTakenError):
        Place.of().bound(70_000)


@pytest.mark.parametrize(
    ("where", "arrived_at", "host", "answered"),
    [
        (place("192.168.1.10", "mybox", "mybox.local"), "192.168.1.10", "192.168.1.10:28600", True),
        (place("192.168.1.10", "mybox", "mybox.local"), "192.168.1.10", "MyBox:28600", True),
        (place("192.168.1.10", "mybox", "mybox.local"), "192.168.1.10", "mybox.local", True),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "127.0.0.1:28600", True),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "localhost", True),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "[::1]", True),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "192.168.1.11", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "mybox.evil.example", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "mybox.", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "192.168.1.10.evil.example", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "mybox@evil.example", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "mybox:port", False),
        (place("192.168.1.10", "mybox"), "192.168.1.10", "", False),
        (place("0.0.0.0"), "10.0.0.5", "10.0.0.5:28600", True),
        (place("0.0.0.0"), "10.0.0.5", "10.0.0.6:28600", False),
        (place("0.0.0.0"), "127.0.0.1", "0.0.0.0:28600", False),
        (place("0.0.0.0"), "127.0.0.1", "2130706433", False),
        (place("0.0.0.0"), "127.0.0.1", "rebound.example", False),
        (place("::"), "::ffff:10.0.0.5", "10.0.0.5", True),
        (place("::"), "fd00::5", "[fd00::5]:28600", True),
        (place("::"), "fd00::5", "[FD00:0::5]:28600", True),
        (place("::"), "fe80::5%eth0", "[fe80::5]", True),
        (place("::"), "fd00::5", "[fd00::6]", False),
        (place("::"), "fd00::5", "[::]", False),
        (place("::"), "fd00::5", "fd00::5", False),
        (place("::"), "fd00::5", "[fd00::5].evil.example", False),
        (place("127.0.0.2"), "127.0.0.2", "127.0.0.2:1", True),
        (place("127.0.0.1"), "127.0.0.1", "127.0.0.2", False),
    ],
)
def test_who_is_answered(where: Place, arrived_at: str, host: str, answered: bool) -> None:
    assert where.answers_to(scope(host, arrived_at)) is answered


def test_two_hosts_are_none_and_only_http_1_0_needs_none() -> None:
    twice = scope("127.0.0.1")
    twice["headers"].append((b"host", b"evil.example"))
    assert not Place.of().answers_to(twice)
    assert not Place.of().answers_to(scope(None))
    assert Place.of().answers_to(scope(None, version="1.0"))


@pytest.mark.parametrize(
    ("where", "url"),
    [
        (place("127.0.0.1"), "http://127.0.0.1:{}"),
        (place("0.0.0.0"), "http://127.0.0.1:{}"),
        (place("::"), "http://[::1]:{}"),
        (place("192.168.1.10", "mybox"), "http://mybox:{}"),
        (Place("192.168.1.10", ip_address("192.168.1.10"), frozenset({"mybox"})), "http://192.168.1.10:{}"),
        (place("fd00::5"), "http://[fd00::5]:{}"),
    ],
)
def test_the_address_that_is_told(where: Place, url: str) -> None:
    with Place.of().bound(0) as some:
        assert where.url(some) == url.format(some.getsockname()[1])


# ------------------------------------------------------------------------------------------------ on a socket


async def test_loopback_stays_the_default() -> None:
    async with SandboxServer() as server:
        assert urlsplit(server.url).hostname == "127.0.0.1"
        assert server._server is not None
        listening = {sock.getsockname()[0] for one in server._server.servers for sock in one.sockets}
    assert listening == {"127.0.0.1"}


async def test_a_hostile_host_gets_nothing_of_a_sandbox_that_listens_everywhere(
    everywhere: SandboxServer,
) -> None:
    async with httpx.AsyncClient(base_url=everywhere.url, trust_env=False) as http:
        for path in ("/", "/start", "/_sandbox/books", "/_sandbox/events", "/v1.2.0-beta/x"):
            for host in ("rebound.example", "0.0.0.0", "10.255.255.1", "127.0.0.1.nip.example"):
                answer = await http.get(path, headers={"Host": host})
                assert answer.status_code == 421, (path, host)
        reset = await http.post("/_sandbox/reset", headers={"Host": "rebound.example"})
        assert reset.status_code == 421 and "answers to the address" in reset.json()["error"]


async def test_a_hostile_origin_changes_nothing(everywhere: SandboxServer) -> None:
    own = everywhere.url
    async with httpx.AsyncClient(base_url=own, trust_env=False) as http:
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", own.replace("http", "https")):
            for path in ("/_sandbox/reset", "/reset"):
                answer = await http.post(path, headers={"Origin": origin})
                assert answer.status_code == 403, (origin, path)
        assert (await http.post("/_sandbox/reset", headers={"Origin": own})).status_code == 200


@other_address
async def test_a_client_of_another_address_is_served_under_the_address_it_used(
    everywhere: SandboxServer,
) -> None:
    own = f"http://{OTHER}:{urlsplit(everywhere.url).port}"
    async with httpx.AsyncClient(base_url=own, trust_env=False) as http:
        shop = await Shop(http).open()
        created = await shop.create("25")
        assert created["bkashURL"].startswith(f"{own}/?paymentId=")
        assert "status=success" in await walk(http, created["bkashURL"])
        assert (await shop.execute(created["paymentID"]))["transactionStatus"] == "Completed"
        assert (await http.get("/_sandbox/gateways")).json()["gateways"]["bkash"]["base_url"].startswith(own)
        assert own in (await http.get("/start")).text
        assert (await http.post("/_sandbox/reset", headers={"Origin": own})).status_code == 200
        loopback = {"Origin": everywhere.url}  # a page of the sandbox, too, but not the one it was sent to
        assert (await http.post("/_sandbox/reset", headers=loopback)).status_code == 403
        assert (await http.get("/", headers={"Host": "rebound.example"})).status_code == 421


@other_address
async def test_one_address_is_named_in_what_it_says_of_itself() -> None:
    async with SandboxServer(host=OTHER) as server:
        assert server.url.startswith(f"http://{OTHER}:")
        assert server.info["gateways"]["nagad"]["base_url"].startswith(server.url)
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            assert (await http.get("/_sandbox/health")).status_code == 200
            assert (await http.post("/_sandbox/reset", headers={"Origin": server.url})).status_code == 200
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)


@ipv6
@pytest.mark.parametrize("host", ["::1", "::"])
async def test_by_ipv6(host: str) -> None:
    async with SandboxServer(host=host, allow_remote=host == "::") as server:
        assert server.url.startswith("http://[::1]:")
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
            shop = await Shop(http).open()
            created = await shop.create("25")
            assert created["bkashURL"].startswith(f"{server.url}/?paymentId=")
            assert "status=success" in await walk(http, created["bkashURL"])
            assert (await http.post("/_sandbox/reset", headers={"Origin": server.url})).status_code == 200
            assert (await http.get("/", headers={"Host": "[fd00::99]"})).status_code == 421
            assert (await http.post("/_sandbox/reset", headers={"Origin": "http://[::2]"})).status_code == 403
        if host == "::":  # both kinds of address arrive at this one
            port = urlsplit(server.url).port
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                assert (await http.get("/_sandbox/health")).status_code == 200

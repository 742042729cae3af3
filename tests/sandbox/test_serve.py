"""The sandbox on a real socket: what a raw client receives, how it starts and stops, where it listens."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.shop import CREDENTIALS, V1, Shop, walk
from vextrus_payments_sandbox import SandboxServer, describe
from vextrus_payments_sandbox.gateways import PLAYED
from vextrus_payments_sandbox.listening import NotLoopbackError, PortTakenError, loopback_socket


@pytest.fixture
async def server() -> AsyncIterator[SandboxServer]:
    async with SandboxServer() as running:
        yield running


@pytest.fixture
async def live(server: SandboxServer) -> AsyncIterator[Shop]:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        yield await Shop(http).open()


async def raw_execute(server: SandboxServer, shop: Shop, payment_id: str, fault: str) -> bytes:
    """Every byte that a plain TCP client receives for one execute."""
    body = json.dumps({"paymentID": payment_id}).encode()
    head = (
        f"POST {V1}/tokenized/checkout/execute HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n"
        f"Authorization: {shop.token}\r\nX-APP-Key: {CREDENTIALS['app_key']}\r\n"
        f"X-Sandbox-Fault: {fault}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    writer.write(head.encode() + body)
    received = b""
    try:
        async with asyncio.timeout(10):
            while chunk := await reader.read(65_536):
                received += chunk
    except ConnectionResetError:
        pass
    writer.close()
    return received


async def test_a_payment_over_real_http(server: SandboxServer, live: Shop) -> None:
    created = await live.create("1250.50")
    assert created["bkashURL"].startswith(server.url + "/?paymentId=")
    end = await walk(live.http, created["bkashURL"])
    assert "status=success" in end
    assert (await live.execute(created["paymentID"]))["transactionStatus"] == "Completed"
    assert (await live.book(created["paymentID"]))["captured"] == "1250.50"


@pytest.mark.parametrize(("fault", "done"), [("drop_before", False), ("drop_after", True)])
async def test_a_dropped_connection_carries_not_one_byte(
    server: SandboxServer, live: Shop, fault: str, done: bool, caplog: pytest.LogCaptureFixture
) -> None:
    payment_id = await live.approved("25")
    assert await raw_execute(server, live, payment_id, fault) == b""
    assert (await live.book(payment_id))["captured"] == ("25.00" if done else "0.00")
    assert (await live.wire())[-1]["status"] is None
    assert not caplog.records  # dropping on purpose is no error of the server


async def test_dropping_works_without_httptools_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    async with SandboxServer() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        shop = await Shop(http).open()
        payment_id = await shop.approved("25")
        assert await raw_execute(server, shop, payment_id, "drop_after") == b""
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_a_connection_cut_in_mid_body(server: SandboxServer, live: Shop) -> None:
    payment_id = await live.approved("25")
    received = await raw_execute(server, live, payment_id, "drop_mid_body")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    promised = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < promised
    assert (await live.book(payment_id))["captured"] == "25.00"


async def test_an_http_client_sees_a_dropped_connection_as_such(live: Shop) -> None:
    payment_id = await live.approved("25")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await live.execute(payment_id, **{"X-Sandbox-Fault": "drop_after"})
    assert (await live.query(payment_id))["transactionStatus"] == "Completed"


async def test_work_goes_on_when_a_real_client_gives_up(live: Shop) -> None:
    payment_id = await live.approved("25")
    with pytest.raises(httpx.ReadTimeout):
        await live.http.post(
            f"{V1}/tokenized/checkout/execute",
            json={"paymentID": payment_id},
            headers={
                "Authorization": live.token,
                "X-APP-Key": CREDENTIALS["app_key"],
                "X-Sandbox-Fault": "delay;seconds=0.3",
            },
            timeout=0.05,
        )
    assert (await live.book(payment_id))["captured"] == "0.00"
    async with asyncio.timeout(10):
        while (await live.book(payment_id))["captured"] == "0.00":
            await asyncio.sleep(0.02)
    assert (await live.query(payment_id))["transactionStatus"] == "Completed"


async def test_a_hundred_executes_over_sockets_are_one_debit(server: SandboxServer, live: Shop) -> None:
    payment_id = await live.approved("25")
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, trust_env=False, timeout=30) as http:
        many = Shop(http, live.token)
        answers = await asyncio.gather(*(many.execute(payment_id) for _ in range(100)))
    assert sum("trxID" in answer for answer in answers) == 1
    assert (await live.book(payment_id))["captured"] == "25.00"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("LocalHost:28600", 200),
        ("[::1]:1", 200),
        ("[::1]evil.example", 421),
        ("[::1].evil.example", 421),
        ("localhost:1@evil.example", 421),
        ("localhost:", 421),
        ("localhost:port", 421),
        ("localhost.", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example:127.0.0.1", 421),
        ("", 421),
    ],
)
async def test_only_a_whole_name_of_this_machine_counts(
    server: SandboxServer, host: str, status: int
) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        assert (await http.get("/_sandbox/books", headers={"Host": host})).status_code == status


async def test_a_foreign_name_for_this_machine_gets_nothing(server: SandboxServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        for path in ("/", "/_sandbox/wire"):
            answer = await http.get(path, headers={"Host": "rebound.example"})
            assert answer.status_code == 421 and "127.0.0.1" in answer.json()["error"]
        for host in ("localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"):
            assert (await http.get("/_sandbox/health", headers={"Host": host})).status_code == 200


async def test_the_server_says_what_a_client_needs(server: SandboxServer) -> None:
    info = dict(server.info)
    assert info == describe(server.url)
    assert info["pid"] == os.getpid() and info["url"] == server.url and info["version"]
    assert info["customer"] == {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
    assert list(info["gateways"]) == list(PLAYED) and PLAYED[:3] == ("bkash", "nagad", "sslcommerz")
    assert info["gateways"]["bkash"] == {
        "base_url": f"{server.url}/v1.2.0-beta",
        "v2_base_url": f"{server.url}/v2",
        "recurring_base_url": f"{server.url}/gateway",
        **CREDENTIALS,
    }
    assert server.base_url == info["gateways"]["bkash"]["base_url"]
    assert info["gateways"]["sslcommerz"] == {
        "base_url": server.url,
        "store_id": "sandboxstore000",
        "store_password": "sandboxstore000@ssl",
    }
    for name in ("app_key", "app_secret", "username", "password"):
        assert info["gateways"]["bkash"][name].startswith("sandbox")


async def test_stopping_does_not_wait_for_clients_or_delays() -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        async with SandboxServer() as server:
            shop = Shop(httpx.AsyncClient(base_url=server.url, trust_env=False))
            await shop.open()
            payment_id = await shop.approved("25")
            waiting = asyncio.create_task(
                shop.execute(payment_id, **{"X-Sandbox-Fault": "delay;seconds=100"})
            )
            while (await shop.wire())[-1]["fault"] != "delay":
                await asyncio.sleep(0.01)
            await http.get(server.url + "/_sandbox/health")  # leaves an open keep-alive connection behind
        with pytest.raises(httpx.TransportError):
            await waiting
        await shop.http.aclose()
        with pytest.raises(httpx.ConnectError):
            await http.get(server.url + "/_sandbox/health")


async def test_a_caller_who_leaves_while_sending_disturbs_nobody(
    server: SandboxServer, live: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    head = f"POST {V1}/tokenized/checkout/execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n"
    writer.write(head.encode() + b'{"paymentID"')
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.close()
    await writer.wait_closed()
    assert (await live.create())["statusCode"] == "0000"
    assert not caplog.records


async def test_stopping_cuts_a_caller_who_stalls(caplog: pytest.LogCaptureFixture) -> None:
    async with SandboxServer() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
        writer.write(b"POST /_sandbox/reset HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.close()
    assert not caplog.records


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.10", "::", "example.com", "", "127.0.0.1.example"])
async def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(NotLoopbackError, match="loopback"):
        async with SandboxServer(host=host):
            pass


async def test_a_taken_port_is_one_clear_sentence() -> None:
    with loopback_socket(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with SandboxServer(port=port):
                pass
    with pytest.raises(PortTakenError):
        loopback_socket(70_000)


async def test_an_address_before_the_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        _ = SandboxServer().url


# -------------------------------------------------------------------------------- as a process of its own

SCRIPT = """
import json
from vextrus_payments_sandbox import run
run(0, lambda info: print(json.dumps(dict(info)), flush=True))
"""


@contextmanager
def process() -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    started = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        assert started.stdout is not None
        yield started, json.loads(started.stdout.readline())
    finally:
        started.kill()
        started.communicate()


@pytest.mark.skipif(os.name != "posix", reason="SIGTERM as such is POSIX")
def test_sigterm_ends_it_with_zero_though_clients_stay_connected() -> None:
    with process() as (started, info):
        port = urlsplit(info["url"]).port
        assert info["pid"] == started.pid
        with httpx.Client(trust_env=False) as http, socket.create_connection(("127.0.0.1", port)) as idle:
            assert http.get(info["url"] + "/_sandbox/health").status_code == 200
            idle.sendall(b"GET / HTTP/1.1\r\n")  # half a request
            started.send_signal(signal.SIGTERM)
            assert started.wait(timeout=5) == 0  # in practice well under the two seconds that are promised
        assert started.stdout is not None and started.stderr is not None
        assert started.stdout.read() == ""
        assert "Traceback" not in started.stderr.read()


def test_tokens_of_an_earlier_start_are_honoured() -> None:
    with process() as (_, info):
        bkash = info["gateways"]["bkash"]
        granted = httpx.post(
            f"{bkash['base_url']}/tokenized/checkout/token/grant",
            headers={"username": bkash["username"], "password": bkash["password"]},
            json={"app_key": bkash["app_key"], "app_secret": bkash["app_secret"]},
            trust_env=False,
        )
    with process() as (_, info):
        answer = httpx.post(
            f"{info['gateways']['bkash']['base_url']}/tokenized/checkout/execute",
            headers={"Authorization": granted.json()["id_token"], "X-App-Key": CREDENTIALS["app_key"]},
            json={"paymentID": "x"},
            trust_env=False,
        )
        assert answer.json()["statusCode"] == "2002"

"""HttpxTransport: places and lines, deadlines, what it refuses, what it reads. The proof of sending is the kit's."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
import respx

from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    ConfigurationError,
    Effect,
    InvalidRequestError,
    NotSentError,
    UnreadableAnswerError,
)
from vextrus_payments.testing import FakeClock, SecretCanary
from vextrus_payments.testing.loopback import LoopbackServer
from vextrus_payments.transport import HttpxTransport, sent_before_cancel
from vextrus_payments.transport.lines import Lines, Origin
from vextrus_payments.transport.stream import ByteStream
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse


@pytest.fixture
async def server() -> AsyncIterator[LoopbackServer]:
    async with LoopbackServer() as running:
        yield running


@pytest.fixture
async def transport() -> AsyncIterator[HttpxTransport]:
    made = HttpxTransport(max_connections=8)
    yield made
    await made.aclose()


def request(
    server: LoopbackServer, behavior: str = "ok", call: str = "a", body: bytes = b"{}"
) -> WireRequest:
    return WireRequest("POST", f"{server.url}/{behavior}", (("X-Call", call),), body)


async def send(transport: HttpxTransport, what: WireRequest, **how: Any) -> WireResponse:
    return await transport.send(what, **{"safety": Safety.ONCE, "timeout_s": 5.0, **how})


# --- lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("safety", "idle_s", "connections"),
    [
        (Safety.ONCE, 4.9, 1),
        (Safety.ONCE, 5.0, 2),
        (Safety.DISPOSABLE, 5.0, 2),
        (Safety.READ, 5.0, 1),
        (Safety.IDEMPOTENT, 29.9, 1),
        (Safety.READ, 30.0, 2),
    ],
)
async def test_how_old_an_idle_connection_may_be(
    server: LoopbackServer, safety: Safety, idle_s: float, connections: int
) -> None:
    clock = FakeClock()
    transport = HttpxTransport(clock=clock)
    await send(transport, request(server))
    clock.advance(idle_s)
    await send(transport, request(server), safety=safety)
    assert server.connections == connections
    await transport.aclose()


async def test_the_hottest_line_is_taken_and_the_others_age_out(server: LoopbackServer) -> None:
    clock = FakeClock()
    transport = HttpxTransport(clock=clock)
    server.release()
    await asyncio.gather(*(send(transport, request(server, "hold", str(n))) for n in range(5)))
    assert transport.connections == server.connections == 5
    for _ in range(4):
        clock.advance(10)
        await send(transport, request(server), safety=Safety.READ)
    assert server.connections == 5
    assert transport.connections == 1
    await transport.aclose()


async def test_a_thousand_calls_of_150_callers_take_no_more_connections_than_places(
    server: LoopbackServer,
) -> None:
    transport = HttpxTransport(max_connections=100)
    left = iter(range(1_000))

    async def caller() -> None:
        for number in left:
            answer = await send(transport, request(server, call=f"c{number}"), timeout_s=60)
            assert answer.body == f"c{number}".encode()

    await asyncio.gather(*(caller() for _ in range(150)))
    assert server.connections <= 100
    assert set(server.executions.values()) == {1}
    assert len(server.executions) == 1_000
    await transport.aclose()


async def test_several_origins_share_the_places(server: LoopbackServer) -> None:
    transport = HttpxTransport(max_connections=2)
    async with LoopbackServer() as second, LoopbackServer() as third:
        for each in (server, second, third, server, second, third):
            await asyncio.gather(*(send(transport, request(each)) for _ in range(4)))
            assert transport.connections <= 2
        assert server.executions["a"] == second.executions["a"] == third.executions["a"] == 8
    await transport.aclose()


async def test_waiting_callers_are_served_in_turn(server: LoopbackServer) -> None:
    transport = HttpxTransport(max_connections=1)
    done: list[int] = []

    async def caller(number: int) -> None:
        await send(transport, request(server, call=str(number)))
        done.append(number)

    await asyncio.gather(*(caller(number) for number in range(6)))
    assert done == [0, 1, 2, 3, 4, 5]
    await transport.aclose()


async def test_no_place_in_time_is_not_sent(server: LoopbackServer) -> None:
    transport = HttpxTransport(max_connections=1)
    held = asyncio.create_task(send(transport, request(server, "hold", "held")))
    while not server.executions["held"]:
        await asyncio.sleep(0.001)
    with pytest.raises(NotSentError) as caught:
        await send(transport, request(server, call="b"), timeout_s=0.05)
    assert caught.value.code == "no_free_connection"
    assert caught.value.effect is Effect.NONE
    server.release()
    assert (await held).status == 200
    assert server.arrivals["b"] == 0
    await transport.aclose()


async def test_failures_leave_no_connection_and_no_place_behind(server: LoopbackServer) -> None:
    transport = HttpxTransport(max_connections=2)
    for number in range(30):
        behavior = ("stall", "reset", "half-body", "garbage")[number % 4]
        # on a busy machine the time may be up before the request could leave
        with pytest.raises((AnswerLostError, AnswerTimeoutError, UnreadableAnswerError, NotSentError)):
            await send(transport, request(server, behavior), timeout_s=0.03)
        late = SendBy(transport._clock.now(), transport._clock.monotonic() + 60)
        with pytest.raises(NotSentError):
            await send(transport, request(server), send_by=late)
        assert transport.connections == 0
    assert (await send(transport, request(server))).status == 200
    await transport.aclose()


async def test_a_place_handed_to_a_caller_that_is_cancelled_in_that_moment_is_not_lost() -> None:
    origin = Origin(b"http", b"127.0.0.1", 9)
    lines = Lines(clock=FakeClock(), places=1, idle_s=30, ssl_context=ssl.create_default_context, proxy=None)
    held = lines.take(origin, 5)
    waiting = asyncio.create_task(lines.wait_and_take(origin, 5))
    await asyncio.sleep(0)
    assert lines.full
    lines.give_back(held, sound=False)  # the place is the waiting caller's now
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert not lines.full
    lines.give_back(lines.take(origin, 5), sound=False)
    await lines.close()


# --- send_by ---------------------------------------------------------------------------------------------


class _LateAtTheSecondLook(FakeClock):
    """The deadline lies ahead when the call begins, and has passed when its first byte would leave."""

    looks = 0

    def now(self) -> Any:
        self.looks += 1
        if self.looks == 2:
            self.step_wall(60)
        return super().now()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_request_is_withdrawn_in_the_moment_of_sending(server: LoopbackServer, kept: bool) -> None:
    clock = _LateAtTheSecondLook()
    transport = HttpxTransport(clock=clock)
    if kept:
        await send(transport, request(server))
    await server.settle()
    before = server.received_bytes
    clock.looks = 0
    send_by = SendBy(FakeClock().now() + timedelta(seconds=30), clock.monotonic() + 30)
    with pytest.raises(NotSentError) as caught:
        await send(transport, request(server, call="late"), send_by=send_by)
    await server.settle()
    assert caught.value.code == "send_by_passed"
    assert clock.looks >= 2
    assert server.connections == 1
    assert server.received_bytes == before
    assert transport.connections == 0
    assert (await send(transport, request(server))).status == 200
    await transport.aclose()


async def test_a_kept_connection_that_dies_in_the_moment_of_sending_is_not_written_to(
    server: LoopbackServer, transport: HttpxTransport
) -> None:
    await send(transport, request(server))
    assert transport._lines is not None
    (line,) = next(iter(transport._lines._idle.values()))
    assert line.backend.stream is not None
    # From taking a kept line to the socket nothing is awaited; only an engine that waits for something of its own
    # leaves such a moment.
    line.engine._request_lock = asyncio.Semaphore(0)
    task = asyncio.create_task(send(transport, request(server, call="b")))
    await asyncio.sleep(0)  # it has taken the line, and waits for the engine
    line.engine._request_lock.release()
    line.backend.stream.eof_received()
    with pytest.raises(NotSentError) as caught:
        await task
    await server.settle()
    assert caught.value.code == "connection_closed"
    assert server.arrivals["b"] == 0


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/x",
        "http:///x",
        "/x",
        "",
        "http://user:CANARYCANARYCANARY@127.0.0.1/x",
        "http://[::1/x",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1/\n",
        "https://xn--a-.example/x",
        "https://xn--.example/x",
    ],
)
async def test_a_url_that_cannot_be_called(transport: HttpxTransport, url: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await send(transport, WireRequest("GET", url))
    assert caught.value.field == "url"
    assert caught.value.effect is Effect.NONE
    assert caught.value.__context__ is None
    assert "CANARY" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "line\r\nInjected: yes"),
        ("X-A", "nul\x00"),
        ("X-A", " leading"),
        ("X-A", "trailing\t"),
        ("X-A", "lone \ud800"),
        ("X A", "x"),
        ("", "x"),
        ("X-ä", "x"),
        ("Host", "elsewhere"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "upgrade"),
    ],
)
async def test_a_header_that_cannot_be_sent(
    server: LoopbackServer, transport: HttpxTransport, name: str, value: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await send(transport, WireRequest("GET", f"{server.url}/ok", ((name, value),)))
    assert caught.value.effect is Effect.NONE
    if len(value) > 1:
        assert value not in str(caught.value)
    assert server.connections == 0


@pytest.mark.parametrize("method", ["", "GE T", "CONNECT", "GET\r\n", "ÄH"])
async def test_a_method_that_is_none(server: LoopbackServer, transport: HttpxTransport, method: str) -> None:
    with pytest.raises(InvalidRequestError):
        await send(transport, WireRequest(method, f"{server.url}/ok"))
    assert server.connections == 0


@pytest.mark.parametrize("timeout_s", [0, -1.0])
async def test_no_time_at_all_is_not_sent(
    server: LoopbackServer, transport: HttpxTransport, timeout_s: float
) -> None:
    with pytest.raises(NotSentError) as caught:
        await send(transport, request(server), timeout_s=timeout_s)
    assert caught.value.code == "no_time_left"
    assert server.connections == 0


@pytest.mark.parametrize(
    "proxy", ["socks5://127.0.0.1:1", "127.0.0.1:3128", "ftp://x", "http://", "http://[::1"]
)
def test_a_proxy_that_cannot_be_used(proxy: str) -> None:
    from vextrus_payments.secret import Secret

    with pytest.raises(ConfigurationError) as caught:
        HttpxTransport(proxy=Secret(proxy))
    assert proxy not in str(caught.value)
    assert caught.value.__context__ is None


def test_at_least_one_place() -> None:
    with pytest.raises(ConfigurationError):
        HttpxTransport(max_connections=0)


# --- what is sent and read -------------------------------------------------------------------------------


class Echo:
    """Keeps what arrived and answers with the bytes it was given."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.seen = b""

    async def __aenter__(self) -> "Echo":
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.seen += data
            head, end, body = self.seen.rpartition(b"\r\n\r\n")
            length = head.lower().rpartition(b"content-length: ")[2].partition(b"\r\n")[0]
            if end and (not length.isdigit() or len(body) >= int(length)):
                writer.write(self.answer)
                await writer.drain()
        writer.close()


def answer(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


async def test_what_leaves_is_what_was_asked_for(transport: HttpxTransport) -> None:
    async with Echo(answer(b"{}", "Set-Cookie: a=b; Path=/")) as echo:
        headers = (("Accept", "application/json"), ("X-APP-Key", "k"))
        for _ in range(2):
            echo.seen = b""
            await send(transport, WireRequest("POST", f"{echo.url}a%20b?q=%C3%A9#no", headers, b"body"))
        head, _, body = echo.seen.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        assert first == "POST /a%20b?q=%C3%A9 HTTP/1.1"
        assert sorted(fields) == [
            "Accept-Encoding: identity",
            "Accept: application/json",
            "Content-Length: 4",
            f"Host: {echo.url.split('/')[2]}",
            "X-APP-Key: k",
        ]
        assert body == b"body"


@pytest.mark.parametrize(("method", "length"), [("GET", False), ("POST", True), ("DELETE", True)])
async def test_an_empty_body(transport: HttpxTransport, method: str, length: bool) -> None:
    async with Echo(answer(b"{}")) as echo:
        await send(transport, WireRequest(method, echo.url))
        assert (b"Content-Length: 0" in echo.seen) is length


async def test_the_environment_names_no_proxy(
    server: LoopbackServer, transport: HttpxTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, server.refusing_url)
    assert (await send(transport, request(server))).status == 200


async def test_header_names_are_lower_case_and_repeated_ones_joined(transport: HttpxTransport) -> None:
    async with Echo(answer(b"x", "X-One: 1", "Via: a", "VIA: b")) as echo:
        found = (await send(transport, WireRequest("GET", echo.url))).headers
    assert found == {"content-length": "1", "x-one": "1", "via": "a, b"}


async def test_a_large_request_and_a_large_answer(transport: HttpxTransport) -> None:
    async with Echo(answer(b"y" * 1_000_000)) as echo:
        found = await send(transport, WireRequest("POST", echo.url, (), b"x" * 5_000_000), timeout_s=30)
        assert found.body == b"y" * 1_000_000
        assert echo.seen.endswith(b"x" * 5_000_000)


@pytest.mark.parametrize("headers", [("Content-Encoding: gzip",), ("Content-Encoding: X-GZIP",)])
async def test_a_body_packed_without_being_asked(transport: HttpxTransport, headers: tuple[str]) -> None:
    async with Echo(answer(gzip.compress(b'{"ok":1}'), *headers)) as echo:
        found = await send(transport, WireRequest("GET", echo.url))
    assert found.body == b'{"ok":1}'
    assert "content-encoding" not in found.headers


async def test_a_deflated_body(transport: HttpxTransport) -> None:
    async with Echo(answer(zlib.compress(b"{}"), "Content-Encoding: deflate")) as echo:
        assert (await send(transport, WireRequest("GET", echo.url))).body == b"{}"


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (gzip.compress(b"0" * 5_000_000), "gzip", "longer than 1000 bytes"),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip", "broken"),
        (b"not packed", "gzip", "broken"),
        (b"{}", "br", "not asked for"),
        (b"{}", "gzip, gzip", "not asked for"),
        (b"0" * 1001, "identity", "longer than 1000 bytes"),
    ],
)
async def test_an_answer_beyond_the_limits_is_unreadable(body: bytes, encoding: str, words: str) -> None:
    transport = HttpxTransport(max_body_bytes=1000)
    async with Echo(answer(body, f"Content-Encoding: {encoding}")) as echo:
        for safety, effect in ((Safety.ONCE, Effect.UNKNOWN), (Safety.READ, Effect.NONE)):
            with pytest.raises(UnreadableAnswerError, match=words) as caught:
                await send(transport, WireRequest("POST", echo.url), safety=safety)
            assert caught.value.effect is effect
            assert caught.value.http_status == 200
            assert transport.connections == 0
    await transport.aclose()


async def test_an_answer_without_end_is_left_where_the_limit_is() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        except OSError:
            writer.close()

    transport = HttpxTransport()
    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    with pytest.raises(UnreadableAnswerError, match="longer than 1048576 bytes"):
        await send(transport, WireRequest("GET", url), timeout_s=30)
    await transport.aclose()
    server.close()


async def test_the_exact_limit_is_still_read() -> None:
    transport = HttpxTransport(max_body_bytes=1000)
    async with Echo(answer(b"0" * 1000)) as echo:
        assert len((await send(transport, WireRequest("GET", echo.url))).body) == 1000
    await transport.aclose()


@pytest.mark.parametrize(
    ("behavior", "error", "status"),
    [
        ("stall", AnswerTimeoutError, None),
        ("drip-body", AnswerTimeoutError, 200),
        ("lost", AnswerLostError, None),
        ("half-body", AnswerLostError, 200),
        ("half-body-reset", AnswerLostError, 200),
        ("garbage-open", AnswerTimeoutError, None),
        ("bad-chunk", UnreadableAnswerError, 200),
        ("two-lengths", UnreadableAnswerError, None),
    ],
)
async def test_what_a_failure_is_called(
    server: LoopbackServer,
    transport: HttpxTransport,
    behavior: str,
    error: type[Exception],
    status: int | None,
) -> None:
    with pytest.raises(error) as caught:
        await send(transport, request(server, behavior), timeout_s=0.3)
    assert getattr(caught.value, "http_status", None) == status
    assert server.url in str(caught.value)
    assert behavior not in str(caught.value)  # the path stays out, as it may name a payment


# --- life ------------------------------------------------------------------------------------------------


async def test_closing_lets_calls_end_and_refuses_new_ones(server: LoopbackServer) -> None:
    transport = HttpxTransport()
    held = asyncio.create_task(send(transport, request(server, "hold", "held")))
    while not server.executions["held"]:
        await asyncio.sleep(0.001)
    closing = asyncio.create_task(transport.aclose())
    await asyncio.sleep(0.01)
    assert not closing.done()
    with pytest.raises(NotSentError) as caught:
        await send(transport, request(server, call="b"))
    assert caught.value.code == "transport_closed"
    server.release()
    assert (await held).body == b"held"
    await closing
    assert transport.connections == 0
    await transport.aclose()
    assert server.arrivals["b"] == 0


async def test_a_cancelled_close_can_be_repeated(server: LoopbackServer) -> None:
    transport = HttpxTransport()
    held = asyncio.create_task(send(transport, request(server, "hold", "held")))
    await asyncio.sleep(0.02)
    closing = asyncio.create_task(transport.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    server.release()
    await held
    await transport.aclose()
    assert transport.connections == 0


def test_it_starts_anew_on_the_next_event_loop() -> None:
    transport = HttpxTransport()

    async def once() -> int:
        async with LoopbackServer() as server:
            return (await send(transport, request(server))).status

    assert asyncio.run(once()) == 200
    assert asyncio.run(once()) == 200


async def test_a_second_loop_that_runs_at_the_same_time_is_refused(
    server: LoopbackServer, transport: HttpxTransport
) -> None:
    await send(transport, request(server))
    refused: list[ConfigurationError] = []

    def other() -> None:
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(send(transport, request(server)))
        refused.append(caught.value)

    await asyncio.to_thread(other)
    assert refused[0].effect is Effect.NONE


async def test_a_cancelled_call_carries_its_proof(server: LoopbackServer) -> None:
    transport = HttpxTransport(max_connections=1)
    proofs: list[Sent] = []

    async def watched(what: WireRequest) -> None:
        try:
            await send(transport, what)
        except asyncio.CancelledError as cancelled:
            proofs.append(sent_before_cancel(cancelled))
            raise

    out = asyncio.create_task(watched(request(server, "stall", "out")))
    while not server.executions["out"]:
        await asyncio.sleep(0.001)
    waiting = asyncio.create_task(watched(request(server, "ok", "waiting")))
    await asyncio.sleep(0)
    for task in (waiting, out):
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    assert proofs == [Sent.NO, Sent.MAYBE]
    assert sent_before_cancel(asyncio.CancelledError()) is Sent.MAYBE
    assert (await send(transport, request(server))).status == 200
    await transport.aclose()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
async def test_no_socket_is_left_open(server: LoopbackServer) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = open_files()
    transport = HttpxTransport()
    await asyncio.gather(*(send(transport, request(server, call=str(n))) for n in range(20)))
    for behavior in ("stall", "reset", "half-body"):
        with pytest.raises((AnswerLostError, AnswerTimeoutError, NotSentError)):
            await send(transport, request(server, behavior), timeout_s=0.05)
    with pytest.raises(NotSentError):
        await send(transport, WireRequest("GET", server.refusing_url))
    with pytest.raises(NotSentError):
        await send(transport, WireRequest("GET", server.mute_url.replace("http:", "https:")), timeout_s=0.05)
    assert open_files() > before
    await transport.aclose()
    while server.open_connections:
        await asyncio.sleep(0.001)
    assert open_files() == before


# --- the stream under it --------------------------------------------------------------------------------------


async def test_a_peer_that_floods_is_made_to_wait() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 20_000_000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(pour, "127.0.0.1", 0)
    _, stream = await asyncio.get_running_loop().create_connection(
        ByteStream, "127.0.0.1", server.sockets[0].getsockname()[1]
    )
    async with asyncio.timeout(60):
        while len(stream._unread) <= 256 * 1024:
            await asyncio.sleep(0.001)
    for _ in range(50):  # whatever more there may come
        await asyncio.sleep(0.001)
    assert len(stream._unread) < 1024 * 1024
    total = 0
    while data := await stream.read(65536):
        assert len(data) <= 65536
        total += len(data)
    assert total == 20_000_000
    stream.close()
    await stream.lost
    server.close()


async def test_a_peer_that_does_not_read_makes_the_writer_wait() -> None:
    go = asyncio.Event()
    seen = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await go.wait()
        while data := await reader.read(1_000_000):
            seen += len(data)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    _, stream = await asyncio.get_running_loop().create_connection(
        ByteStream, "127.0.0.1", server.sockets[0].getsockname()[1]
    )
    writing = asyncio.create_task(stream.write(b"x" * 20_000_000))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not writing.done()
    go.set()
    await writing
    while stream._transport is not None and stream._transport.get_write_buffer_size():
        await asyncio.sleep(0.001)
    stream.close()
    await stream.lost
    while seen < 20_000_000:
        await asyncio.sleep(0.001)
    server.close()


async def test_what_was_not_sent_when_a_stream_is_closed_never_leaves(server: LoopbackServer) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    _, stream = await asyncio.get_running_loop().create_connection(ByteStream, host, int(port))
    await stream.write(b"GET /ok HTTP/1.1\r\n\r\n")
    stream.close()
    stream.close()
    await stream.lost
    await server.settle()
    assert server.received_bytes == 0
    with pytest.raises(httpcore.WriteError):
        await stream.write(b"x")


async def test_a_handshake_that_fails_leaves_nothing_to_wait_for(server: LoopbackServer) -> None:
    transport = HttpxTransport()
    with pytest.raises(NotSentError):
        await send(transport, WireRequest("GET", server.mute_url.replace("http:", "https:")), timeout_s=0.05)
    assert transport._lines is not None
    for _ in range(5):
        await asyncio.sleep(0)
    assert not transport._lines._closing
    await transport.aclose()


# --- a mocked engine -------------------------------------------------------------------------------------


async def test_respx_answers_in_place_of_the_network(transport: HttpxTransport) -> None:
    with respx.mock(base_url="https://gateway.example") as mocked:
        route = mocked.post("/execute", json={"paymentID": "TR1"}).respond(200, json={"statusCode": "0000"})
        found = await send(
            transport, WireRequest("POST", "https://gateway.example/execute", (), b'{"paymentID":"TR1"}')
        )
    assert found.status == 200
    assert found.body == b'{"statusCode":"0000"}'
    assert route.call_count == 1


@pytest.mark.parametrize("failure", [httpx.ReadTimeout, httpx.ConnectError, httpx.ConnectTimeout])
async def test_silence_is_no_proof(transport: HttpxTransport, failure: type[Exception]) -> None:
    """A mocked engine announces nothing: whatever it raises, nothing proves that no byte left."""
    with respx.mock:
        respx.post("https://gateway.example/execute").mock(side_effect=failure)
        with pytest.raises(AnswerLostError) as caught:
            await send(transport, WireRequest("POST", "https://gateway.example/execute"))
    assert caught.value.effect is Effect.UNKNOWN


async def test_no_secret_in_an_error_of_a_mocked_engine(transport: HttpxTransport) -> None:
    canary = SecretCanary()
    headers = (("Authorization", canary.plant("token")),)
    url = f"https://gateway.example/x?store_passwd={canary.plant('password')}"
    with respx.mock:
        respx.post(url__startswith="https://gateway.example").mock(
            side_effect=httpx.ReadError(f"failed for {headers}")
        )
        with pytest.raises(AnswerLostError) as caught:
            await send(transport, WireRequest("POST", url, headers, canary.plant("body").encode()))
    canary.assert_absent(caught.value)
    assert caught.value.__context__ is None
    assert not any("password" in str(key) for key in transport._targets)

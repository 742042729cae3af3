"""A loopback HTTP server that misbehaves on request and counts what it executed. For check_transport.

The path's first word says how it behaves ("/reset", "/half-body"); the header `X-Call` names the call, so that every
arrival and every execution is counted per call. A request is executed once it has been read whole.
"""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from vextrus_payments.clock import Sleeper, SystemSleeper

_MAX_HEAD_BYTES: Final = 64 * 1024
_DRIP_S: Final = 0.02
_FLOOD_BYTES: Final = 4 * 1024 * 1024
STATUSES: Final = (301, 307, 401, 407, 408, 421, 425, 429, 500, 502, 503, 504)
"""Behaviors of their own: clients are known to repeat a request by themselves on some of these."""


class _Hangup(Exception):
    """The connection is over."""


class _Peer:
    """One connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.served = 0

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        raw: socket.socket | None = self.writer.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class LoopbackServer:
    """`async with LoopbackServer() as server:` on a free port of 127.0.0.1.

    Attributes:
        arrivals: call -> how often its head arrived.
        executions: call -> how often it was executed.
        received_bytes: everything that ever arrived.
    """

    def __init__(self, sleeper: Sleeper | None = None) -> None:
        self._sleeper: Sleeper = SystemSleeper() if sleeper is None else sleeper
        self.arrivals: Counter[str] = Counter()
        self.executions: Counter[str] = Counter()
        self.received_bytes: int = 0
        self.connections = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self._acting = 0
        self.url: str = ""
        self.mute_url: str = ""
        """Accepts and never says a word."""
        self.slamming_url: str = ""
        """Closes every connection at once."""
        self.refusing_url: str = ""
        """Nobody listens there."""

    async def __aenter__(self) -> Self:
        self.url = await self._listen(self._serve)
        self.mute_url = await self._listen(self._keep_mute)
        self.slamming_url = await self._listen(self._slam)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.refusing_url = f"http://127.0.0.1:{free.getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    @property
    def open_connections(self) -> int:
        """How many connections it still holds."""
        return len(self._tasks)

    def release(self) -> None:
        """Let every call that is held by "/hold" have its answer, now and from now on."""
        self._released.set()

    async def settle(self) -> None:
        """Wait until nothing more arrives and no connection has yet to misbehave."""
        quiet = 0
        seen = -1
        while quiet < 3:
            quiet = quiet + 1 if seen == self.received_bytes and not self._acting else 0
            seen = self.received_bytes
            await self._sleeper.sleep(0.002)

    async def _listen(self, handle: Callable[[_Peer], Awaitable[None]]) -> str:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            self.connections += 1
            try:
                with contextlib.suppress(_Hangup, OSError, asyncio.CancelledError):
                    await handle(_Peer(reader, writer))
            finally:
                with contextlib.suppress(OSError, asyncio.CancelledError):
                    writer.close()
                    await writer.wait_closed()

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=_MAX_HEAD_BYTES)
        self._servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _keep_mute(self, peer: _Peer) -> None:
        while data := await peer.reader.read(65536):
            self.received_bytes += len(data)

    async def _slam(self, peer: _Peer) -> None:
        peer.writer.close()

    async def _serve(self, peer: _Peer) -> None:
        while True:
            try:
                head = await peer.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as broken:
                self.received_bytes += len(broken.partial)
                return
            except asyncio.LimitOverrunError:
                return
            self.received_bytes += len(head)
            request, *lines = head.decode("latin-1").split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
            call = fields.get("x-call", "?")
            self.arrivals[call] += 1
            behavior = request.split(" ")[1].partition("?")[0].strip("/").partition("/")[0]
            if behavior == "early-refusal":
                await peer.say(_answer(413, call, extra="Connection: close\r\n"))
                return
            if behavior == "close-at-head":
                return
            if behavior == "ambush-reset" and peer.served:
                peer.reset()
                return
            body = await peer.reader.readexactly(int(fields.get("content-length", "0")))
            self.received_bytes += len(body)
            self.executions[call] += 1
            await self._behave(behavior, peer, call)
            peer.served += 1

    async def _behave(self, behavior: str, peer: _Peer, call: str) -> None:
        simple = _WORDS.get(behavior)
        if simple is not None:
            await peer.say(simple.replace(b"<call>", call.encode("ascii")))
            if behavior.endswith("-open"):
                return
            raise _Hangup
        match behavior:
            case "reset":
                peer.reset()
                raise _Hangup
            case "half-body-reset":
                await peer.say(_WORDS["half-body"])
                await self._pause()
                peer.reset()
                raise _Hangup
            case "unsized-body-reset":
                await peer.say(b"HTTP/1.1 200 OK\r\n\r\n" + call.encode("ascii"))
                await self._pause()
                peer.reset()
                raise _Hangup
            case "unsized-body":
                await peer.say(b"HTTP/1.1 200 OK\r\n\r\n" + call.encode("ascii"))
                raise _Hangup
            case "stall":
                await peer.reader.read(1)
                raise _Hangup
            case "hold":
                await self._released.wait()
                await peer.say(_answer(200, call))
            case "drip-head":
                await self._drip(peer, b"HTTP/1.1 200 OK\r\nX-Long: ")
            case "drip-body":
                await self._drip(peer, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            case "flood":
                await self._flood(peer)
            case "ambush" if peer.served:
                raise _Hangup
            case "goodbye":
                await peer.say(_answer(200, call))
                raise _Hangup
            case "goodbye-reset":
                await peer.say(_answer(200, call))
                await self._pause()
                peer.reset()
                raise _Hangup
            case "last-answer":
                await peer.say(_answer(200, call, extra="Connection: close\r\n"))
                raise _Hangup
            case "two-answers":
                await peer.say(_answer(200, call) + _answer(200, "forged"))
            case "late-second-answer":
                await peer.say(_answer(200, call))
                await self._pause()
                await peer.say(_answer(408, "forged"))
            case "informed":
                await peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
                await peer.say(_answer(200, call))
            case "chunked":
                text = call.encode("ascii")
                await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text))
            case _ if behavior.isdigit():
                await peer.say(_answer(int(behavior), call, extra="Location: /ok\r\nRetry-After: 0\r\n"))
            case _:
                await peer.say(_answer(200, call))

    async def _pause(self) -> None:
        # long enough for what was said before to be read alone
        self._acting += 1
        try:
            await self._sleeper.sleep(0.01)
        finally:
            self._acting -= 1

    async def _drip(self, peer: _Peer, start: bytes) -> None:
        await peer.say(start)
        while not peer.writer.is_closing():
            await peer.say(b"x")
            await self._sleeper.sleep(_DRIP_S)
        raise _Hangup

    async def _flood(self, peer: _Peer) -> None:
        await peer.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(_FLOOD_BYTES // 65536):
            await peer.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await peer.say(b"0\r\n\r\n")


def _answer(status: int, call: str, *, extra: str = "") -> bytes:
    """An answer that carries the name of the call it belongs to."""
    return (
        f"HTTP/1.1 {status} Some Words\r\nContent-Type: text/plain\r\nContent-Length: {len(call)}\r\n"
        f"{extra}\r\n{call}"
    ).encode("latin-1")


#: Behaviors that are nothing but words, said after execution; then the connection is closed, unless "-open".
_WORDS: Final[dict[str, bytes]] = {
    "lost": b"",
    "half-status": b"HTTP/1.1 2",
    "half-head": b"HTTP/1.1 200 OK\r\nContent-Len",
    "half-body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<call>",
    "half-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n<call>",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-a-number\r\n<call>",
    "garbage": b"\x16\x03\x01 this is not HTTP\r\n\r\n<call>",
    "garbage-open": b"SSH-2.0-OpenSSH_9.7\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\n<call>",
}

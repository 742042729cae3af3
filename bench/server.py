"""The other end of the wire: a process of its own that answers a fixed body as cheaply as asyncio can.

`python -m bench.server [--cert FILE --key FILE] [--grant-delay-s 0.05] [--answers FILE]` prints one JSON line with
its URL and pid, serves on a free loopback port, and ends when its stdin closes (so it never outlives the bench), on
SIGTERM, or after 15 minutes.

It does the least that HTTP asks for (one request at a time per connection, Content-Length bodies) and counts what
arrives: connections, requests, grants. `GET /_counts` tells, and is not counted itself.
"""

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys

from bench.wire import ANSWER, TOKEN_ANSWER

_LIFE_S = 15 * 60


def _http(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


_ANSWER = _http(ANSWER)
_TOKEN = _http(TOKEN_ANSWER)


class Counts:
    """What has arrived so far."""

    def __init__(self, grant_delay_s: float) -> None:
        self.grant_delay_s = grant_delay_s
        self.connections = self.requests = self.grants = 0
        self.served_at_once = 0
        self.most_at_once = 0

    def as_json(self) -> bytes:
        return json.dumps(
            {
                "connections": self.connections,
                "requests": self.requests,
                "grants": self.grants,
                "most_connections_at_once": self.most_at_once,
            }
        ).encode("ascii")


class Peer(asyncio.Protocol):
    """One connection."""

    def __init__(self, counts: Counts, answers: dict[bytes, bytes]) -> None:
        self._counts = counts
        self._answers = answers
        self._unread = b""
        self._counted = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._counted:
            self._counts.served_at_once -= 1

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while True:
            end = self._unread.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._unread[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._unread) < end + 4 + length:
                return
            self._unread = self._unread[end + 4 + length :]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        counts = self._counts
        path = head.split(b" ", 2)[1]
        if path == b"/_counts":
            self._transport.write(_http(counts.as_json()))
            return
        if not self._counted:
            self._counted = True
            counts.connections += 1
            counts.served_at_once += 1
            counts.most_at_once = max(counts.most_at_once, counts.served_at_once)
        counts.requests += 1
        if b"/token/" in path or path.endswith(b"/grant-token"):
            counts.grants += 1
            asyncio.get_running_loop().call_later(counts.grant_delay_s, self._grant)
        else:
            own = (answer for part, answer in self._answers.items() if part in path)
            self._transport.write(next(own, _ANSWER))

    def _grant(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_TOKEN)


async def serve(options: argparse.Namespace) -> None:
    """Serve until told to stop."""
    loop = asyncio.get_running_loop()
    counts = Counts(options.grant_delay_s)
    tls = None
    if options.cert:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.cert, options.key)
    answers: dict[bytes, bytes] = {}
    if options.answers:
        with open(options.answers, encoding="utf-8") as file:
            answers = {part.encode(): _http(body.encode()) for part, body in json.load(file).items()}
    server = await loop.create_server(lambda: Peer(counts, answers), "127.0.0.1", 0, ssl=tls, backlog=1024)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(sys.stdin.fileno(), stop.set)
    port = server.sockets[0].getsockname()[1]
    host = "localhost" if tls else "127.0.0.1"
    line = {"url": f"{'https' if tls else 'http'}://{host}:{port}", "pid": os.getpid()}
    print(json.dumps(line), flush=True)
    try:
        async with asyncio.timeout(_LIFE_S):
            await stop.wait()
    except TimeoutError:
        pass
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument(
        "--answers", help="JSON: part of a path, in lower case, and the body it is answered with"
    )
    parser.add_argument("--grant-delay-s", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))

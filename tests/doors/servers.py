"""Real servers for the doors, on loopback, in a thread of the test; and a plain socket to talk to them."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import uvicorn

PATIENCE_S = 20.0


@contextmanager
def uvicorn_serving(app: Any, **settings: Any) -> Iterator[str]:
    """An ASGI application under uvicorn; its URL."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="error",
        proxy_headers=False,
        **{"lifespan": "on", **settings},
    )
    server = uvicorn.Server(config)
    started = threading.Event()
    startup = server.startup

    async def told(*args: Any, **more: Any) -> None:
        await startup(*args, **more)
        started.set()

    server.startup = told  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert started.wait(PATIENCE_S), "uvicorn did not start"
        yield "http://127.0.0.1" if config.uds else f"http://127.0.0.1:{_port(server)}"
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def _port(server: uvicorn.Server) -> int:
    port: int = server.servers[0].sockets[0].getsockname()[1]
    return port


class _Quiet(WSGIRequestHandler):
    timeout = 1.0
    """How long a read of a request may take: what a server has to bring along."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Threads(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = False


@contextmanager
def wsgi_serving(app: Callable[..., Any]) -> Iterator[str]:
    """A WSGI application under the standard library's server, a thread per request; its URL."""
    server = make_server("127.0.0.1", 0, app, server_class=_Threads, handler_class=_Quiet)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


class Wire:
    """A plain connection: what no HTTP client would send."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> bytes:
        """Everything until the server closes."""
        parts = []
        while part := self.socket.recv(65_536):
            parts.append(part)
        return b"".join(parts)

    def head(self) -> bytes:
        """Everything up to the end of an answer's head."""
        got = b""
        while b"\r\n\r\n" not in got:
            part = self.socket.recv(65_536)
            if not part:
                break
            got += part
        return got

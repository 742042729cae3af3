"""One contender of the door goals in a process of its own: `python -m bench.door_server WHO STORE`.

WHO is a name of APPS; STORE is a store's URL. Prints one JSON line `{"url", "pid"}` and serves until its stdin is
closed; then prints `{"cpu_s", "loop_cpu_s"}`, the processor time it took while it served, and its event loop's alone.
"""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from bench.door_messages import PATH, SECRET
from vextrus_payments import Payments
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.observe import NullObserver
from vextrus_payments.secret import Secret
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.webhooks.writer import InboxWriter


def payments(store: Any) -> Payments:
    """A shop that takes relayed webhooks; credentials are visibly fake. Its worker is off: taking is measured."""
    names = ("app_key", "app_secret", "username", "password")
    fake: dict[str, Any] = {name: Secret(f"example-{name}") for name in names}
    api_url = "http://127.0.0.1:9/v1.2.0-beta"  # nobody is there, and nobody is asked
    config = BkashConfig(api_url=api_url, webhook_secret=Secret(SECRET), **fake)
    return Payments(
        store=store,
        gateways={"bkash": config},
        public_url="https://shop.example/payments",
        observer=NullObserver(),
        workers=False,
    )


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


def hello(_: str) -> tuple[Any, None]:
    """The least that Starlette can answer: a route, a text; the body is not even read."""
    return Starlette(routes=[Route(PATH, _hello, methods=["POST"])]), None


def door(store: str) -> tuple[Any, Payments]:
    """Payments.asgi() itself, under its prefix."""
    made = payments(store)
    app = made.asgi()

    async def prefixed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/payments"} if scope["type"] == "http" else scope, receive, send)

    return prefixed, made


def mounted(store: str) -> tuple[Any, Payments]:
    """The same mounted in a Starlette application, as a shop mounts it."""
    made = payments(store)
    return Starlette(routes=[Mount("/payments", app=made.asgi())]), made


class OneByOne:
    """The store's thread without grouping: every write is a commit of its own."""

    def __init__(self) -> None:
        self._inner = ThreadRunner()
        self.run = self._inner.run
        self.aclose = self._inner.aclose


def one_by_one(store: str) -> tuple[Any, Payments]:
    """The same application with a commit per request."""
    InboxWriter.__init__.__kwdefaults__["most_at_once"] = 1
    made = payments(SqliteStore(store.removeprefix("sqlite:///"), runner=OneByOne()))
    app = made.asgi()

    async def prefixed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": "/payments"} if scope["type"] == "http" else scope, receive, send)

    return prefixed, made


APPS: Final[dict[str, Callable[[str], tuple[Any, Payments | None]]]] = {
    "hello": hello,
    "door": door,
    "mounted": mounted,
    "one by one": one_by_one,
    "postgres": door,
}


async def serve(who: str, store: str) -> None:
    """Open, serve until stdin is closed, close."""
    app, opened = APPS[who](store)
    if opened is not None:
        await opened.open()
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(
            app, log_level="critical", access_log=False, lifespan="off", loop="none", http="httptools"
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)
    before, mine = time.process_time(), time.thread_time()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    took, mine = time.process_time() - before, time.thread_time() - mine
    server.should_exit = True
    await serving
    if opened is not None:
        await opened.aclose()
    print(json.dumps({"cpu_s": took, "loop_cpu_s": mine}), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(sys.argv[1], sys.argv[2]))

"""The sandbox as a server on this machine: inside an event loop, or as a process of its own.

It listens on a loopback address and nowhere else unless that is allowed (`listening.py`): anyone who reaches it can
approve payments.
"""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from vextrus_payments.clock import Clock, Sleeper
from vextrus_payments.errors import ConfigurationError
from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.app import create_app, version
from vextrus_payments_sandbox.building import prepare
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import ABORT, RESET, Exchange
from vextrus_payments_sandbox.gateways import DEFAULT, TOPICS
from vextrus_payments_sandbox.listening import LOOPBACK, OwnHostsOnly, Place, check_reachable
from vextrus_payments_sandbox.prompt_server import PromptServer
from vextrus_payments_sandbox.seeding import Scenario, play
from vextrus_payments_sandbox.standing import StandingClock
from vextrus_payments_sandbox.subscriptions import checked_endpoint
from vextrus_payments_sandbox.world import CUSTOMER, SandboxGateway, World

DEFAULT_PORT: Final = 28600
TELLER: Final = next(iter(TOPICS))
"""Whose payments ``--webhook-url`` asks for: those of the gateway that announces by subscription."""
_ASK_S: Final = 10.0
#: The sandboxes of this process by their URL: to ask one over HTTP would wait for the very loop that serves it.
_RUNNING: Final[dict[str, World]] = {}
_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_LEAVING_S: Final = 0.1  # how long a stop waits for answers under way


def played() -> Mapping[str, SandboxGateway]:
    """The gateways that a sandbox plays, by name, without a server."""
    world: World = create_app().state.world
    return world.gateways


def facts_of(gateway: SandboxGateway, url: str) -> Mapping[str, str]:
    """What a client needs of this gateway at the sandbox at `url`.

    A sandbox of another process, perhaps of another user, is asked where it keeps its keys. When it does not answer,
    it is taken for one that this user started. Raises :class:`KeysError`.
    """
    here = _RUNNING.get(url)
    if here is not None:
        return here.gateways[gateway.name].describe(url)
    told: Any = None
    if gateway.is_one_of_its_kind:
        try:
            answer = httpx.get(f"{url}/_sandbox/gateways", timeout=_ASK_S, trust_env=False)
            told = answer.raise_for_status().json()["gateways"][gateway.name]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            told = None
    if isinstance(told, dict) and all(isinstance(value, str) for value in told.values()):
        return told
    return gateway.describe(url)


def describe(url: str, *, world: World | None = None) -> dict[str, Any]:
    """The facts a client needs about the sandbox at `url` (``http://127.0.0.1:28600``), for ``serve --json``.

    ``{"version", "pid", "url", "customer": {"wallet", "otp", "pin"}, "gateways": {"bkash": {"base_url",
    "v2_base_url", "recurring_base_url", "app_key", "app_secret", "username", "password"}, "nagad": {"base_url",
    "merchant_id", "merchant_private_key_file", "gateway_public_key_file"}, ...}, "merchants": {"bkash":
    [{"name", ...}], ...}, "sns": {"topic_arn", "cert_url"}}``; ``gateways`` holds the first merchant of each; the
    credentials and the topic are fixed across starts and fake, Nagad's keys are this user's own, made at the first
    start; the key behind the certificate is this process's own.

    Raises :class:`KeysError` where a gateway's keys cannot be kept.
    """
    gateways = world.gateways if world is not None else played()
    return {
        "version": version(),
        "pid": os.getpid(),
        "url": url,
        "customer": dict(CUSTOMER),
        "gateways": {name: dict(gateway.describe(url)) for name, gateway in gateways.items()},
        "merchants": {
            name: [{"name": one.name, **one.facts} for one in gateway.merchants_at(url)]
            for name, gateway in gateways.items()
        },
        "sns": {"topic_arn": TOPICS[TELLER], "cert_url": url + sns.signing_key().path},
    }


def _protocol() -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol, taught to hand the application "close this connection now"."""
    base: Any
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as base
    except ImportError:  # no compiled httptools on this platform: h11 does the same, slower
        from uvicorn.protocols.http.h11_impl import H11Protocol as base

    class AbortableProtocol(base):  # type: ignore[misc]
        app: ASGIApp

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            inner: ASGIApp = self.app  # both of uvicorn's protocols look it up per request

            def reset() -> None:
                bound = transport.get_extra_info("socket")
                if bound is not None:  # to linger for no time at all makes the close a reset
                    bound.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                transport.abort()

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                scope.setdefault("extensions", {}).update({ABORT: transport.abort, RESET: reset})
                await inner(scope, receive, send)

            self.app = app

    return AbortableProtocol


class _Server(PromptServer):
    """The server of a sandbox: what waits on a fault does not hold it up."""

    def __init__(self, config: uvicorn.Config, exchange: Exchange) -> None:
        super().__init__(config, leaving_s=_LEAVING_S)
        self._exchange = exchange

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the calls that wait on a fault; then as any other."""
        await self._exchange.close()
        await super().shutdown(sockets)


def _server(app: Starlette, place: Place, *, standing: bool = False) -> _Server:
    return _Server(
        uvicorn.Config(
            OwnHostsOnly(app, place),
            http=_protocol(),
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=60,
            proxy_headers=False,
            date_header=not standing,  # the machine's own time would be the one thing that differs from run to run
        ),
        app.state.exchange,
    )


class SandboxServer:
    """The sandbox on a real socket (loopback, unless others are allowed), inside the running event loop.

        async with SandboxServer() as sandbox:
            sandbox.url        # "http://127.0.0.1:49152"
            sandbox.world      # what is true in there; sandbox.app is the application
            sandbox.info       # as `describe` gives it

    Installs no signal handler. Arguments are those of ``create_app``, and `port` (0: any free one).
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = LOOPBACK,
        allow_remote: bool = False,
        clock: Clock | None = None,
        seed: int | None = None,
        strict_manners: bool = False,
        sleeper: Sleeper | None = None,
        keys: Path | None = None,
        webhook_transport: httpx.AsyncBaseTransport | None = None,
        magic: bool = True,
        merchants: int = 1,
        state: Path | None = None,
        **rules: Any,
    ) -> None:
        self.app = create_app(
            clock=clock,
            seed=seed,
            strict_manners=strict_manners,
            sleeper=sleeper,
            keys=keys,
            webhook_transport=webhook_transport,
            magic=magic,
            merchants=merchants,
            state=state,
            **rules,
        )
        self._port = port
        self._host = host
        self._allow_remote = allow_remote
        self._standing = isinstance(clock, StandingClock)
        self._url = ""
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def world(self) -> World:
        """What is true in the sandbox."""
        world: World = self.app.state.world
        return world

    @property
    def courier(self) -> Courier:
        """Who delivers the webhooks."""
        courier: Courier = self.app.state.courier
        return courier

    @property
    def taken_up(self) -> bool:
        """Whether its world came from a state file that an earlier start had written."""
        return self.app.state.keeper is not None and bool(self.app.state.keeper.taken_up)

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, once started; where it listens elsewhere, the address for clients there."""
        if not self._url:
            raise RuntimeError("the sandbox has no address yet; use it inside `async with SandboxServer()`")
        return self._url

    @property
    def base_url(self) -> str:
        """What ``BKASH_API_URL`` takes."""
        return str(self.world.gateways[DEFAULT].describe(self.url)["base_url"])

    @property
    def info(self) -> Mapping[str, Any]:
        """As :func:`describe`."""
        return describe(self.url, world=self.world)

    async def __aenter__(self) -> Self:
        try:
            place = Place.of(self._host, allow_remote=self._allow_remote)
            bound = place.bound(self._port)
        except (OSError, ValueError):
            if self.app.state.keeper is not None:
                self.app.state.keeper.close()  # others may have the file
            raise
        self._server = _server(self.app, place, standing=self._standing)
        self._task = asyncio.create_task(self._server.serve(sockets=[bound]))
        while not self._server.started:
            if self._task.done():
                bound.close()
                await self._task
                raise RuntimeError("the sandbox's server ended before it had started")
            await asyncio.sleep(0.005)
        try:
            await check_reachable(bound, place.url(bound))
        except ConfigurationError:
            self._server.stop()
            await self._task
            raise
        self._url = place.url(bound)
        self.courier.base_url = self._url
        self.courier.resume()
        _RUNNING[self._url] = self.world
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is None or self._task is None:
            return
        _RUNNING.pop(self._url, None)
        self._server.stop()
        await self._task

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Keep serving until `stop` is set or the server ends by itself."""
        if self._task is None:
            raise RuntimeError("the sandbox is not running; use it inside `async with SandboxServer()`")
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()


def run(
    port: int = DEFAULT_PORT,
    on_ready: Callable[[Mapping[str, Any]], None] | None = None,
    *,
    host: str = LOOPBACK,
    allow_remote: bool = False,
    clock: Clock | None = None,
    seed: int | None = None,
    strict_manners: bool = False,
    webhook_url: str | None = None,
    merchants: int = 1,
    state: Path | None = None,
    scenario: Scenario | None = None,
    **rules: Any,
) -> None:
    """Serve until SIGTERM or Ctrl+C, then return within two seconds even if clients keep connections open.

    `on_ready` is called once, with what :func:`describe` gives, when connections are accepted; then `webhook_url` is
    asked whether it wants to be told of payments. `scenario` is played before that, unless the state file holds
    what an earlier start left. `host` may be one that others can reach only where `allow_remote` says so. Raises
    :class:`PortTakenError`, :class:`NotLoopbackError`, :class:`NoSuchHostError`, :class:`KeysError` (a gateway's
    keys cannot be kept), :class:`StateFileError`, :class:`ScenarioError` (a gateway refuses a part of it) and another
    :class:`SandboxError` (no address for webhooks) before anything is announced.
    """
    endpoint = None if webhook_url is None else checked_endpoint(webhook_url)
    prepare()

    async def serve() -> None:
        stop = asyncio.Event()
        asking: list[asyncio.Task[Any]] = []
        with _stop_on_signals(stop):
            async with SandboxServer(
                port=port,
                host=host,
                allow_remote=allow_remote,
                clock=clock,
                seed=seed,
                strict_manners=strict_manners,
                merchants=merchants,
                state=state,
                **rules,
            ) as server:
                if scenario is not None and not server.taken_up:
                    await play(server.app.state.stage, scenario, server.url)
                if on_ready is not None:
                    on_ready(server.info)
                if endpoint is not None:
                    asking.append(asyncio.create_task(server.courier.subscribe(TELLER, endpoint)))
                await server.serve_until(stop)
            await asyncio.gather(*asking)

    asyncio.run(serve())


@contextlib.contextmanager
def _stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set `stop` on SIGINT and SIGTERM (on Windows also Ctrl+Break), and restore the handlers afterwards."""
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)

    def handle(*_: object) -> None:
        loop.call_soon_threadsafe(stop.set)

    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The sandbox as one ASGI application: the gateways' APIs and pages, and the sandbox's own ``/_sandbox`` routes."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Lifespan

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.admin import ADMIN_PREFIX, Admin, no_route
from vextrus_payments_sandbox.admin_payments import PaymentsAdmin
from vextrus_payments_sandbox.admin_state import StateAdmin
from vextrus_payments_sandbox.building import Built, Setting, built, wallets
from vextrus_payments_sandbox.dashboard import Dashboard
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import Dropped, Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.feed import Feed
from vextrus_payments_sandbox.gateways import PLAYED, TOPICS
from vextrus_payments_sandbox.rendering import STYLE_PATH, style
from vextrus_payments_sandbox.seeding import Stage
from vextrus_payments_sandbox.state import Keeper, KeptAnswers, StateFile, StateFileError
from vextrus_payments_sandbox.world import SandboxClock, World


def version() -> str:
    """The version of the distribution that the sandbox came with."""
    try:
        return metadata.version("vextrus-payments")
    except metadata.PackageNotFoundError:
        return "0"


def create_app(
    *,
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
) -> Starlette:
    """The sandbox's application. Its world is ``app.state.world``, its gateways ``app.state.world.gateways``.

    Args:
        clock: where time comes from; ``POST /_sandbox/clock`` moves the sandbox ahead of it.
        seed: makes every id repeat from run to run; without it they come from the system's randomness.
        strict_manners: enforce what gateways demand of callers, not only record it: at bKash two token grants an
            hour, then an hour's block; an invoice number used once.
        sleeper: how faults wait.
        keys: the folder for the keys that gateways make for themselves at first need (Nagad); without one it lies
            in the user's state folder (``VEXTRUS_PAY_HOME``).
        webhook_transport: how webhooks reach their endpoint, where that is not a socket.
        magic: whether amounts such as 4002.06 and wallets such as 01800400206 bring a fault or an outcome of their
            own (``magic.py``).
        merchants: how many merchants each gateway has to begin with; those after the first are called
            SandboxMerchant2, SandboxMerchant3 ... (``GET /_sandbox/merchants``).
        state: a file (SQLite) that keeps everything from one start to the next; without one nothing outlives the
            process. It is held from here on until the application's lifespan ends, or until
            ``app.state.keeper.close()``.
        rules: by a gateway's name the knobs of its rules, such as ``bkash=Rules(...)``.

    Raises:
        StateFileError: the state file cannot be used; it says why, and what to do.
    """
    if not rules.keys() <= set(PLAYED):
        raise TypeError(f"create_app() has no argument {', '.join(sorted(rules.keys() - set(PLAYED)))}")
    chance = SystemRandom() if seed is None else Random(seed)
    world = World(SandboxClock(clock or SystemClock()), chance, more_wallets=wallets(), magic=magic)
    faults = FaultPlans(chance)
    sleeper = sleeper or SystemSleeper()
    courier = Courier(world, faults, sleeper, TOPICS, transport=webhook_transport)
    exchange = Exchange(world, faults, sleeper, courier)

    def setting_of(gateway: str) -> Setting:
        return Setting(
            world=world,
            exchange=exchange,
            faults=faults,
            courier=courier,
            sleeper=sleeper,
            webhook_transport=webhook_transport,
            strict_manners=strict_manners,
            keys=keys,
            rules=rules.get(gateway),
        )

    gateways = built(setting_of)
    for number in range(2, merchants + 1):
        for one in gateways:
            one.gateway.admit(f"SandboxMerchant{number}")
    keeper = None if state is None else kept_in(state, world, faults, courier, gateways, seed)
    stage = Stage(world, faults, courier, {one.gateway.name: one.script for one in gateways})
    return _application(world, faults, courier, exchange, gateways, stage, keeper)


def _application(
    world: World,
    faults: FaultPlans,
    courier: Courier,
    exchange: Exchange,
    gateways: Sequence[Built],
    stage: Stage,
    keeper: Keeper | None,
) -> Starlette:
    dashboard = Dashboard(world, faults, courier, version())
    app = Starlette(
        routes=[
            Route("/", _root(gateways, courier, dashboard), methods=["GET", "POST"]),
            Route("/favicon.ico", no_icon),
            Route(STYLE_PATH, style),
            Route("/SimpleNotificationService-{name}.pem", certificate),
            *Admin(world, faults, courier).routes(),
            *PaymentsAdmin(world, Feed(world.record)).routes(),
            *StateAdmin(stage).routes(),
            *dashboard.routes(),
            *(route for one in gateways for route in one.gateway.routes()),
        ],
        lifespan=_lifespan(exchange, gateways, keeper),
        middleware=[] if keeper is None else [Middleware(KeptAnswers, keeper=keeper)],
        exception_handlers={
            **dict.fromkeys((404, 405), _refused(exchange, gateways)),
            ClientDisconnect: gone,
        },
    )
    app.router.redirect_slashes = False  # a gateway does not send its callers elsewhere
    app.state.world = world
    app.state.faults = faults
    app.state.exchange = exchange
    app.state.courier = courier
    app.state.keeper = keeper
    app.state.stage = stage
    return app


def _lifespan(exchange: Exchange, gateways: Sequence[Built], keeper: Keeper | None) -> Lifespan[Starlette]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await exchange.close()
        for one in gateways:
            if one.close is not None:
                await one.close()
        if keeper is not None:
            keeper.close()

    return lifespan


def _root(
    gateways: Sequence[Built], courier: Courier, dashboard: Dashboard
) -> Callable[[Request], Awaitable[Response]]:
    """``/``: Amazon SNS, a gateway's hosted page that lies there, or the dashboard."""

    async def root(request: Request) -> Response:
        if "Action" in request.query_params and request.method == "GET":
            return await sns_action(request, courier)
        for one in gateways:
            answer = one.at_root(request)
            if answer is not None:
                return await answer
        return dashboard.home(request)

    return root


def _refused(
    exchange: Exchange, gateways: Sequence[Built]
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A path that nobody has: the first gateway answers what no other calls its own."""

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith(ADMIN_PREFIX):
            return no_route(request, status)
        for one in reversed(gateways):
            answer = one.lost(request)
            if answer is not None:
                return exchange.turned_away(request, one.gateway.name, "unknown", answer)
        return no_route(request, status)

    return refused


async def gone(request: Request, error: Exception) -> Response:
    """The caller left while sending."""
    return Dropped()


async def no_icon(request: Request) -> Response:
    """Browsers ask for one."""
    return Response(status_code=204)


def kept_in(
    path: Path,
    world: World,
    faults: FaultPlans,
    courier: Courier,
    gateways: Sequence[Built],
    seed: int | None,
) -> Keeper:
    """The world taken up from a state file, and kept there from now on. Raises :class:`StateFileError`."""
    file = StateFile.open(path)
    try:
        return Keeper(file, world, faults, courier, [one.lasting() for one in gateways], seed=seed)
    except StateFileError:
        file.close()
        raise


async def certificate(request: Request) -> Response:
    """What ``SigningCertURL`` leads to."""
    key = sns.signing_key()
    if request.url.path != key.path:
        return Response("no such certificate", 404, media_type="text/plain")
    return Response(key.pem, media_type="application/x-pem-file")


async def sns_action(request: Request, courier: Courier) -> Response:
    """What ``SubscribeURL`` and ``UnsubscribeURL`` lead to; like SNS, it asks for nothing but what they hold."""
    asked = request.query_params
    answered = hashlib.sha256(str(asked).encode("utf-8", "replace")).hexdigest()[:32]
    arn: str | None = None
    if asked["Action"] == "ConfirmSubscription":
        arn = courier.confirm(asked.get("TopicArn", ""), asked.get("Token", ""))
    elif asked["Action"] == "Unsubscribe" and await courier.cancel(asked.get("SubscriptionArn", "")):
        return Response("", 200, media_type="text/xml")
    if arn is None:
        return Response(
            sns.refused_xml("InvalidParameter", "Invalid parameter", answered), 400, media_type="text/xml"
        )
    return Response(sns.confirmed_xml(arn, answered), media_type="text/xml")

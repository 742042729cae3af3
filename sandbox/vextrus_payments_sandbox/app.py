"""The sandbox as one ASGI application: the gateways' APIs and pages, and the sandbox's own ``/_sandbox`` routes."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments_sandbox import sns
from vextrus_payments_sandbox.admin import ADMIN_PREFIX, Admin, no_route
from vextrus_payments_sandbox.admin_payments import PaymentsAdmin
from vextrus_payments_sandbox.admin_state import StateAdmin
from vextrus_payments_sandbox.bkash import BkashSandbox
from vextrus_payments_sandbox.bkash.api import unknown_route
from vextrus_payments_sandbox.bkash.lasting import BkashLasting
from vextrus_payments_sandbox.bkash.pages import payment_id_of
from vextrus_payments_sandbox.bkash.records import GATEWAY, Rules
from vextrus_payments_sandbox.bkash.scripted import BkashScript
from vextrus_payments_sandbox.dashboard import Dashboard
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import Dropped, Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.feed import Feed
from vextrus_payments_sandbox.nagad import NagadSandbox
from vextrus_payments_sandbox.nagad.keys import KeyFolder
from vextrus_payments_sandbox.nagad.lasting import NagadLasting
from vextrus_payments_sandbox.nagad.records import Rules as NagadRules
from vextrus_payments_sandbox.nagad.scripted import NagadScript
from vextrus_payments_sandbox.nagad.wallets import WALLETS as NAGAD_WALLETS
from vextrus_payments_sandbox.rendering import STYLE_PATH, style
from vextrus_payments_sandbox.seeding import Script, Stage
from vextrus_payments_sandbox.state import Keeper, KeptAnswers, StateFile, StateFileError
from vextrus_payments_sandbox.world import (
    SandboxClock,
    World,
)

TOPICS: Final = {GATEWAY: sns.BKASH_TOPIC}
"""On which topic of Amazon SNS a gateway announces payments; the same at every start."""


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
    bkash: Rules | None = None,
    nagad: NagadRules | None = None,
    nagad_keys: Path | None = None,
    webhook_transport: httpx.AsyncBaseTransport | None = None,
    magic: bool = True,
    merchants: int = 1,
    state: Path | None = None,
) -> Starlette:
    """The sandbox's application. Its world is ``app.state.world``, its gateways ``app.state.world.gateways``.

    Args:
        clock: where time comes from; ``POST /_sandbox/clock`` moves the sandbox ahead of it.
        seed: makes every id repeat from run to run; without it they come from the system's randomness.
        strict_manners: enforce what bKash demands of callers, not only record it: two token grants an hour,
            then an hour's block; an invoice number used once.
        sleeper: how faults wait.
        bkash: the knobs of bKash's rules; ``strict_manners`` adds to them.
        nagad: the knobs of Nagad's rules.
        nagad_keys: the folder with the keys of the Nagad sandbox, made at first need; without one it lies in the
            user's state folder (``VEXTRUS_PAY_HOME``).
        webhook_transport: how webhooks reach their endpoint, where that is not a socket.
        magic: whether amounts such as 4002.06 and wallets such as 01800400206 bring a fault or an outcome of their
            own (``magic.py``).
        merchants: how many merchants each gateway has to begin with; those after the first are called
            SandboxMerchant2, SandboxMerchant3 ... (``GET /_sandbox/merchants``).
        state: a file (SQLite) that keeps everything from one start to the next; without one nothing outlives the
            process. It is held from here on until the application's lifespan ends, or until
            ``app.state.keeper.close()``.

    Raises:
        StateFileError: the state file cannot be used; it says why, and what to do.
    """
    chance = SystemRandom() if seed is None else Random(seed)
    world = World(SandboxClock(clock or SystemClock()), chance, more_wallets=NAGAD_WALLETS, magic=magic)
    faults = FaultPlans(chance)
    sleeper = sleeper or SystemSleeper()
    courier = Courier(world, faults, sleeper, TOPICS, transport=webhook_transport)
    exchange = Exchange(world, faults, sleeper, courier)
    rules = bkash or Rules(unique_invoices=strict_manners)
    gateway = BkashSandbox(world, exchange, rules, strict_manners=strict_manners, announce=courier.announce)
    world.gateways[gateway.name] = gateway
    second = NagadSandbox(world, exchange, nagad or NagadRules(), KeyFolder(nagad_keys))
    world.gateways[second.name] = second
    for number in range(2, merchants + 1):
        for one in world.gateways.values():
            one.admit(f"SandboxMerchant{number}")
    keeper = None
    if state is not None:
        keeper = kept_in(state, world, faults, courier, (gateway, second), seed)

    dashboard = Dashboard(world, faults, courier, version())
    scripts: dict[str, Script] = {gateway.name: BkashScript(gateway), second.name: NagadScript(second)}
    stage = Stage(world, faults, courier, scripts)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await exchange.close()
        if keeper is not None:
            keeper.close()

    async def root(request: Request) -> Response:
        if "Action" in request.query_params and request.method == "GET":
            return await sns_action(request, courier)
        if not payment_id_of(request):
            return dashboard.home(request)
        return await (gateway.pages.act(request) if request.method == "POST" else gateway.pages.show(request))

    async def refused(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith(ADMIN_PREFIX):
            return no_route(request, status)
        return exchange.turned_away(request, gateway.name, "unknown", unknown_route(request))

    async def gone(request: Request, error: Exception) -> Response:
        return Dropped()  # the caller left while sending

    async def no_icon(request: Request) -> Response:
        return Response(status_code=204)

    app = Starlette(
        routes=[
            Route("/", root, methods=["GET", "POST"]),
            Route("/favicon.ico", no_icon),
            Route(STYLE_PATH, style),
            Route("/SimpleNotificationService-{name}.pem", certificate),
            *Admin(world, faults, courier).routes(),
            *PaymentsAdmin(world, Feed(world.record)).routes(),
            *StateAdmin(stage).routes(),
            *dashboard.routes(),
            *gateway.routes(),
            *second.routes(),
        ],
        lifespan=lifespan,
        middleware=[] if keeper is None else [Middleware(KeptAnswers, keeper=keeper)],
        exception_handlers={404: refused, 405: refused, ClientDisconnect: gone},
    )
    app.router.redirect_slashes = False  # a gateway does not send its callers elsewhere
    app.state.world = world
    app.state.faults = faults
    app.state.exchange = exchange
    app.state.courier = courier
    app.state.keeper = keeper
    app.state.stage = stage
    return app


def kept_in(
    path: Path,
    world: World,
    faults: FaultPlans,
    courier: Courier,
    gateways: tuple[BkashSandbox, NagadSandbox],
    seed: int | None,
) -> Keeper:
    """The world taken up from a state file, and kept there from now on. Raises :class:`StateFileError`."""
    file = StateFile.open(path)
    try:
        return Keeper(
            file, world, faults, courier, (BkashLasting(gateways[0]), NagadLasting(gateways[1])), seed=seed
        )
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

"""What a gateway is built from, and what it hands back: ``parts.py`` of its folder has ``build(setting) -> Built``."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from starlette.requests import Request
from starlette.responses import Response

from vextrus_payments.clock import Sleeper
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.exchange import Exchange
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.gateways import PLAYED, module_of
from vextrus_payments_sandbox.seeding import Script
from vextrus_payments_sandbox.state.keeper import Keeping
from vextrus_payments_sandbox.wallets import Wallet
from vextrus_payments_sandbox.world import SandboxGateway, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where a gateway is put: everything that it may share, or be told."""

    world: World
    exchange: Exchange
    faults: FaultPlans
    courier: Courier
    sleeper: Sleeper
    webhook_transport: httpx.AsyncBaseTransport | None = None
    """How news reaches its endpoint, where that is not a socket."""
    strict_manners: bool = False
    keys: Path | None = None
    """The folder for keys that a gateway makes for itself; None: one in the user's state folder."""
    rules: Any = None
    """The knobs of this gateway's own rules, of a class of its own; None: as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A gateway, and its ways into what is shared."""

    gateway: SandboxGateway
    lasting: Callable[[], Keeping]
    """What of it is written into a state file."""
    script: Script
    """Plays one payment of a scenario."""
    at_root: Callable[[Request], Awaitable[Response] | None] = lambda _: None
    """Answers ``/``; None: that request is not its own."""
    lost: Callable[[Request], Response | None] = lambda _: None
    """What it answers on a path that nobody has; None: that path is not its own."""
    close: Callable[[], Awaitable[None]] | None = None
    """Ends what it has under way when the sandbox stops."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else tests may want to lay hands on."""


def built(setting_of: Callable[[str], Setting]) -> list[Built]:
    """Every gateway, in order; each is at its world from now on."""
    found = []
    for name in PLAYED:
        setting = setting_of(name)
        one = cast("Built", module_of(name, "parts").build(setting))
        setting.world.gateways[name] = one.gateway
        found.append(one)
    return found


def wallets() -> list[Wallet]:
    """The wallets that gateways let go wrong in ways of their own."""
    return [wallet for name in PLAYED for wallet in getattr(module_of(name, "parts"), "WALLETS", ())]


def prepare() -> None:
    """What has to be there before anybody is told that the sandbox is: raises :class:`KeysError`."""
    for name in PLAYED:
        ready: Callable[[], None] | None = getattr(module_of(name, "parts"), "prepare", None)
        if ready is not None:
            ready()

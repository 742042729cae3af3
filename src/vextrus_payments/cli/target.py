"""Against which gateway a command works: a sandbox that is named, the environment's credentials, or a sandbox of its
own. And how a payment or payout remembers it, so that later commands find the same one again.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from vextrus_payments.cli.extension import sandbox_tools
from vextrus_payments.config import GatewayConfig, is_loopback
from vextrus_payments.errors import (
    ConfigurationError,
    CredentialsMissingError,
    InvalidRequestError,
    NotSentError,
)
from vextrus_payments.gateways.registry import load_adapter
from vextrus_payments.mode import Mode
from vextrus_payments.records import PaymentFacts

_ORIGIN_KEY: Final = "vextrus_pay.origin"
_URL_KEY: Final = "vextrus_pay.sandbox"


class Origin(StrEnum):
    """Where a target's settings come from."""

    OWN_SANDBOX = "own_sandbox"
    """A sandbox that `pay` started and that ends with it."""
    SANDBOX = "sandbox"
    """A running sandbox, named by its address."""
    ENVIRONMENT = "environment"


@dataclass(frozen=True, slots=True)
class Target:
    """One gateway, ready to be reached."""

    gateway: str
    config: GatewayConfig
    origin: Origin
    sandbox_url: str | None = None

    @property
    def is_walkable(self) -> bool:
        """Whether its hosted page may be walked for the payer: only a sandbox's on this machine."""
        return self.config.mode is Mode.SANDBOX and is_loopback(urlsplit(self.config.api_url).hostname or "")

    @property
    def metadata(self) -> dict[str, str]:
        """What a payment or payout keeps of it."""
        url = {_URL_KEY: self.sandbox_url} if self.sandbox_url else {}
        return {_ORIGIN_KEY: self.origin.value, **url}


@contextmanager
def advised(target: Target) -> Iterator[None]:
    """Say, where a named sandbox cannot be reached, how to have one."""
    try:
        yield
    except NotSentError as error:
        if target.origin is Origin.SANDBOX:
            error.next_step = "Is that sandbox still running? Start one: vextrus-pay sandbox serve"
        raise


def sandbox_target(gateway: str, url: str, origin: Origin = Origin.SANDBOX) -> Target:
    """The gateway as the sandbox at `url` plays it.

    Raises:
        InvalidRequestError: `url` is no sandbox's address.
        UnknownGatewayError, MissingExtraError: see their messages.
    """
    adapter = load_adapter(gateway)
    environ = sandbox_tools("A sandbox").environment(gateway, url)
    config = adapter.config_class.from_env(environ)
    return Target(gateway, config, origin, url.rstrip("/"))


def environment_target(gateway: str, *, live: bool | None) -> Target:
    """The gateway as the environment configures it.

    Args:
        live: whether real money was asked for; None: a command that moves none does not ask.

    Raises:
        UnknownGatewayError, CredentialsMissingError, ConfigurationError: see their messages.
    """
    adapter = load_adapter(gateway)
    config = adapter.config_class.from_env()
    check_meant(config.mode, gateway, live=live)
    return Target(gateway, config, Origin.ENVIRONMENT)


def check_meant(mode: Mode, gateway: str, *, live: bool | None) -> None:
    """Refuse to move real money that nobody asked to move, and to pretend that sandbox money is real.

    Raises:
        ConfigurationError: `--live` and the mode of the credentials do not agree.
    """
    name = f"{load_adapter(gateway).config_class.env_prefix}_MODE"
    if live is False and mode is Mode.LIVE:
        raise ConfigurationError(
            f"{name} is live: this would move real money, and --live was not given.",
            code="live_not_meant",
            next_step="Add --live if you mean it; --sandbox URL pays in a sandbox instead.",
            gateway=gateway,
        )
    if live and mode is not Mode.LIVE:
        raise ConfigurationError(
            f"--live was given, but {name} is {mode.value}.",
            code="live_not_configured",
            next_step=f"Set {name}=live and the live credentials, or leave --live out.",
            gateway=gateway,
        )


def is_configured(gateway: str) -> bool:
    """Whether the environment says anything about this gateway.

    Raises:
        UnknownGatewayError: there is no such gateway.
    """
    rows = load_adapter(gateway).config_class.env_rows()
    return any(os.environ.get(row.name) or os.environ.get(f"{row.name}_FILE") for row in rows)


def named_target(gateway: str, *, sandbox: str | None, live: bool | None) -> Target | None:
    """The target that the command line and the environment name; None where they name none.

    Raises:
        InvalidRequestError: `--sandbox` and `--live` together, or a wrong address.
        (and what the targets raise)
    """
    if sandbox is not None and live:
        raise InvalidRequestError(
            "A sandbox moves no real money: give --sandbox or --live, not both.",
            field="--live",
            rule="not beside --sandbox",
        )
    if sandbox is not None:
        return sandbox_target(gateway, sandbox)
    if live or is_configured(gateway):
        return environment_target(gateway, live=live)
    return None


def required(target: Target | None, gateway: str, *, or_app: bool = False) -> Target:
    """The target, for a command that has no sandbox of its own to fall back on.

    Args:
        or_app: whether the command takes an application as well, so that its error may say so.

    Raises:
        CredentialsMissingError: none was named.
    """
    if target is None:
        needed = ", ".join(row.name for row in load_adapter(gateway).config_class.env_rows() if row.required)
        raise CredentialsMissingError(
            f"Nothing says where to ask {gateway}: neither --sandbox nor the environment.",
            next_step=f"Give --sandbox URL{', or the shop by --app' if or_app else ''}, or set {needed}.",
            gateway=gateway,
        )
    return target


def origin_of(facts: PaymentFacts) -> tuple[Origin, str | None]:
    """Where a recorded payment was made, and the sandbox's address where it was one."""
    metadata = facts.payment.metadata
    return _origin(metadata), metadata.get(_URL_KEY)


def remembered_sandbox(metadata: Mapping[str, str]) -> str | None:
    """The running sandbox that `Target.metadata` was written for; None where it was none."""
    return metadata.get(_URL_KEY) if _origin(metadata) is Origin.SANDBOX else None


def _origin(metadata: Mapping[str, str]) -> Origin:
    known = metadata.get(_ORIGIN_KEY, "")
    return Origin(known) if known in tuple(Origin) else Origin.ENVIRONMENT


def recorded_target(facts: PaymentFacts, *, sandbox: str | None, live: bool | None) -> Target | None:
    """The target of a payment that was made before; None where it was `pay`'s own sandbox, which is gone.

    Raises: as named_target.
    """
    gateway = facts.payment.gateway
    origin, url = origin_of(facts)
    if sandbox is not None or live:
        return named_target(gateway, sandbox=sandbox, live=live)
    if origin is Origin.SANDBOX and url is not None:
        return sandbox_target(gateway, url)
    if origin is Origin.OWN_SANDBOX:
        return None
    return environment_target(gateway, live=live)

"""From names to ready gateways: installed adapters by entry point, one gateway per (tenant, gateway name)."""

import asyncio
from collections.abc import Mapping
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Final, NamedTuple, Unpack

from vextrus_payments.breaker import BreakerPolicy, Breakers
from vextrus_payments.clock import Clock, Sleeper, SystemClock
from vextrus_payments.config import CredentialSource, GatewayConfig
from vextrus_payments.errors import (
    ConfigurationError,
    CredentialsMissingError,
    PaymentsError,
    UnknownGatewayError,
)
from vextrus_payments.gateways.base import Adapter, GatewayParts, PaymentGateway
from vextrus_payments.ids import Entropy
from vextrus_payments.observe import Observer
from vextrus_payments.retry import RetryPolicy
from vextrus_payments.tokens.cache import TokenCache
from vextrus_payments.transport import Transport

GROUP: Final = "vextrus_payments.gateways"
#: After so long the source of credentials is asked again: rotated keys and suspended tenants are noticed.
ASK_AGAIN_S: Final = 60.0
#: How long a source that is asked again may take before the gateway there is serves on.
ASK_WAIT_S: Final = 5.0
DEFAULT_TENANT: Final = "default"


SOURCE_FAILED: Final = "credential_source_failed"


class _Ready(NamedTuple):
    """A gateway, what it was made from, and when that was asked for (monotonic)."""

    gateway: PaymentGateway
    config: GatewayConfig
    asked_at: float


def installed_gateways() -> tuple[str, ...]:
    """The names of all installed gateways, sorted. Imports none of them."""
    return tuple(sorted({point.name for point in _points()}))


def load_adapter(name: str) -> Adapter:
    """The installed adapter of this name; imports it and no other.

    Raises:
        UnknownGatewayError: none is installed under this name; the message lists what is.
        ConfigurationError: two packages claim the name, or the adapter cannot be loaded.
    """
    found = _claims(name)
    if not found:
        _points.cache_clear()  # a package may have come meanwhile
        found = _claims(name)
    if not found:
        raise UnknownGatewayError(
            f"No gateway named {name!r} is installed; there is {_listed(installed_gateways())}.",
            next_step="Check the name, or install the package that brings this gateway.",
            gateway=name,
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"Two installed packages bring a gateway named {name!r}.",
            code="gateway_ambiguous",
            next_step="Uninstall one of them.",
            gateway=name,
        )
    return _load(name, *found.values())


@cache
def _points() -> tuple[EntryPoint, ...]:
    """Of all installed gateways. Kept: to look through all that is installed holds up the loop for milliseconds, and
    each tenant's first call would do it again."""
    return tuple(entry_points(group=GROUP))


def _claims(name: str) -> dict[tuple[str, str], EntryPoint]:
    """Who claims this name; a package that is on the path twice, once."""
    return {(point.value, point.name): point for point in _points() if point.name == name}


class Registry:
    """Ready gateways, made on first use and kept: one per (tenant, gateway name).

    Many tasks may ask for the same one at once; it is made once, and a task that is cancelled meanwhile cancels only
    its own waiting. What could not be made is not remembered: the next call tries again. A source of credentials is
    asked again after a minute: what it then raises is raised, other credentials make a new gateway, and a source that
    itself fails leaves the one there is. Tenants share the transport
    (one per event loop, proxy and TLS policy) and the token cache, whose keys tell merchants apart; never a breaker.

    Args:
        configs: gateway name -> configuration, for an application with one tenant.
        credentials: asked for the configuration of a tenant's gateway, for an application with many. With neither,
            the default tenant's gateways are configured from the environment (`BKASH_...`).
        adapters: name -> adapter, in place of the installed ones.
        transport: passed to every gateway and not closed here; None: each takes the shared one.
    """

    def __init__(
        self,
        *,
        configs: Mapping[str, GatewayConfig] | None = None,
        credentials: CredentialSource | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        transport: Transport | None = None,
        tokens: TokenCache | None = None,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        entropy: Entropy | None = None,
        retry: RetryPolicy | None = None,
        breaker_policy: BreakerPolicy | None = None,
        observer: Observer | None = None,
    ) -> None:
        if configs and credentials is not None:
            raise ConfigurationError(
                "Give a registry either configs (one tenant) or credentials (many), not both."
            )
        self._configs = dict(configs or {})
        self._credentials = credentials
        self._adapters = None if adapters is None else dict(adapters)
        self._clock: Clock = clock or SystemClock()
        self._breakers = Breakers(self._clock, breaker_policy)
        self._make = partial(
            _make,
            transport=transport,
            tokens=tokens,
            clock=self._clock,
            sleeper=sleeper,
            entropy=entropy,
            retry=retry,
            observer=observer,
        )
        self._ready: dict[tuple[str, str], _Ready] = {}
        self._retired: list[PaymentGateway] = []
        self._making: dict[tuple[str, str], asyncio.Task[_Ready]] = {}
        self._closed = False

    @property
    def names(self) -> tuple[str, ...]:
        """The gateways that may be asked for, sorted: those configured, where that is known here; else those there
        are adapters of."""
        if self._configs:
            return tuple(sorted(self._configs))
        return installed_gateways() if self._adapters is None else tuple(sorted(self._adapters))

    async def gateway(self, tenant: str, name: str) -> PaymentGateway:
        """The ready gateway of this tenant and name.

        Raises:
            UnknownGatewayError: no such gateway is installed, or none is configured under this name.
            CredentialsMissingError: the tenant has no, or no complete, configuration of it.
            ConfigurationError: the configuration breaks a rule, or the registry is closed.
        """
        ready = self._ready.get((tenant, name))
        if ready is not None and not self._is_old(ready):
            return ready.gateway
        if self._closed:
            raise _closed()
        key = (tenant, name)
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(
                self._build(tenant, name), name=f"vextrus-payments-gateway-{name}"
            )
            task.add_done_callback(partial(self._built, key))
        try:
            return (await asyncio.shield(task)).gateway
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if not task.cancelled() or (caller is not None and caller.cancelling()):
                raise
        raise _closed()  # not the caller was cancelled, but the construction, by aclose

    async def aclose(self) -> None:
        """Close every gateway, also those still being made. A second call does nothing."""
        self._closed = True
        making = tuple(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        gateways = [*self._retired, *(ready.gateway for ready in self._ready.values())]
        self._ready, self._retired = {}, []
        closed = await asyncio.gather(*(gateway.aclose() for gateway in gateways), return_exceptions=True)
        for problem in closed:
            if isinstance(problem, BaseException):
                raise problem

    def _is_old(self, ready: _Ready) -> bool:
        if self._credentials is None:
            return False
        return self._clock.monotonic() - ready.asked_at >= ASK_AGAIN_S

    async def _build(self, tenant: str, name: str) -> _Ready:
        adapter = self._adapter(name)
        asked_at = self._clock.monotonic()
        before = self._ready.get((tenant, name))
        try:
            async with asyncio.timeout(None if before is None else ASK_WAIT_S):
                config = await self._config(adapter, tenant)
        except ConfigurationError as error:
            if before is None or error.code != SOURCE_FAILED:
                raise
            config = before.config
        except TimeoutError:
            if before is None:
                raise
            config = before.config
        if before is not None and before.config == config:
            return _Ready(before.gateway, config, asked_at)
        if before is not None:
            # Calls under way may still use it: it is closed with the registry.
            self._retired.append(before.gateway)
        gateway = self._make(adapter, config, tenant=tenant, breaker=self._breakers.of(tenant, name))
        return _Ready(gateway, config, asked_at)

    def _built(self, key: tuple[str, str], task: asyncio.Task[_Ready]) -> None:
        self._making.pop(key, None)
        # Asking for the exception also tells the loop that somebody has seen it, should every caller be gone.
        if not task.cancelled() and task.exception() is None:
            self._ready[key] = task.result()

    def _adapter(self, name: str) -> Adapter:
        if self._adapters is None:
            return load_adapter(name)
        found = self._adapters.get(name)
        if found is None:
            raise UnknownGatewayError(
                f"No gateway named {name!r} is known; there is {_listed(sorted(self._adapters))}.",
                next_step="Check the name.",
                gateway=name,
            )
        return found

    async def _config(self, adapter: Adapter, tenant: str) -> GatewayConfig:
        if self._credentials is not None:
            config = await _asked(self._credentials, tenant, adapter.name)
        elif tenant != DEFAULT_TENANT:
            raise CredentialsMissingError(
                f"There is no source of credentials for tenant {tenant!r}.",
                next_step="Pass credentials=, a function of tenant and gateway.",
                gateway=adapter.name,
                tenant=tenant,
            )
        elif self._configs:
            found = self._configs.get(adapter.name)
            if found is None:
                raise UnknownGatewayError(
                    f"{adapter.name} is not configured; there is {_listed(sorted(self._configs))}.",
                    next_step="Add its configuration.",
                    gateway=adapter.name,
                )
            config = found
        else:
            config = adapter.config_class.from_env()
        if not isinstance(config, adapter.config_class):
            raise ConfigurationError(
                f"{adapter.name} needs a {adapter.config_class.__name__}, not a {type(config).__name__}.",
                code="wrong_config",
                gateway=adapter.name,
                tenant=tenant,
            )
        return config


def _closed() -> ConfigurationError:
    return ConfigurationError("The gateways are closed.", code="closed", next_step="Open a new registry.")


async def _asked(credentials: CredentialSource, tenant: str, name: str) -> GatewayConfig:
    try:
        return await credentials(tenant, name)
    except PaymentsError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a vault's client raises; its text may show secrets
        kind = type(error).__name__
    raise ConfigurationError(
        f"The source of credentials failed with {kind}.",
        code=SOURCE_FAILED,
        next_step="See what the credential source itself reports.",
        gateway=name,
        tenant=tenant,
    )


def _make(adapter: Adapter, config: GatewayConfig, **parts: Unpack[GatewayParts]) -> PaymentGateway:
    return adapter.gateway_class(config, **parts)


def _load(name: str, point: EntryPoint) -> Adapter:
    problem = ""
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        loaded = None
    if problem:
        raise ConfigurationError(
            f"The gateway {name!r} is installed but cannot be loaded ({problem}).",
            code="gateway_broken",
            gateway=name,
        )
    if not isinstance(loaded, Adapter) or loaded.name != name:
        raise ConfigurationError(
            f"The entry point of {name!r} does not name that gateway's Adapter.",
            code="gateway_broken",
            gateway=name,
        )
    return loaded


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names) if names else "none"

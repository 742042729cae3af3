"""gateways/registry.py: from names to ready gateways, made once, closed together, tenants apart."""

import asyncio
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from tests.unit.toy import ADAPTER, ToyConfig, ToyGateway, ToyServer, a_call, a_request
from vextrus_payments.breaker import BreakerPolicy
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import (
    ConfigurationError,
    CredentialsMissingError,
    NotSentError,
    TenantSuspendedError,
    UnknownGatewayError,
)
from vextrus_payments.gateways import registry as module
from vextrus_payments.gateways.base import Adapter
from vextrus_payments.gateways.registry import GROUP, Registry, installed_gateways, load_adapter
from vextrus_payments.testing.time import FakeClock


def a_registry(**parts: Any) -> Registry:
    return Registry(adapters={"toy": ADAPTER}, **{"configs": {"toy": ToyConfig()}, **parts})


# --- adapters -------------------------------------------------------------------------------------------------


def entry_points(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = EntryPoints(EntryPoint(name, value, GROUP) for name, value in points)
    monkeypatch.setattr(module, "entry_points", lambda group: found.select(group=group))
    monkeypatch.setattr(module, "_points", cache(module._points.__wrapped__))


def test_an_installed_adapter_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(monkeypatch, ("toy", "tests.unit.toy:ADAPTER"), ("other", "nowhere:at_all"))
    assert load_adapter("toy") is ADAPTER
    assert installed_gateways() == ("other", "toy")


def test_an_unknown_name_is_told_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(monkeypatch, ("toy", "tests.unit.toy:ADAPTER"), ("nagad", "x:y"))
    with pytest.raises(UnknownGatewayError, match="nagad, toy"):
        load_adapter("bikash")


def test_what_is_installed_is_looked_through_once_and_again_for_a_name_that_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def installed(group: str) -> list[EntryPoint]:
        asked.append(group)
        names = ("toy",) if len(asked) == 1 else ("toy", "late")
        return [EntryPoint(name, "tests.unit.toy:ADAPTER", GROUP) for name in names]

    entry_points(monkeypatch)
    monkeypatch.setattr(module, "entry_points", installed)
    for _ in range(3):
        assert load_adapter("toy") is ADAPTER
    assert len(asked) == 1
    with pytest.raises(ConfigurationError, match="late"):
        load_adapter("late")  # it is found; that it names itself toy is another matter
    with pytest.raises(UnknownGatewayError):
        load_adapter("never")
    assert len(asked) == 3


def test_with_nothing_installed_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(monkeypatch)
    with pytest.raises(UnknownGatewayError, match="none"):
        load_adapter("bkash")


def test_two_packages_that_claim_a_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(monkeypatch, ("toy", "tests.unit.toy:ADAPTER"), ("toy", "evil.toy:ADAPTER"))
    with pytest.raises(ConfigurationError, match="Two installed packages"):
        load_adapter("toy")


def test_the_same_entry_point_seen_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points(monkeypatch, ("toy", "tests.unit.toy:ADAPTER"), ("toy", "tests.unit.toy:ADAPTER"))
    assert load_adapter("toy") is ADAPTER


@pytest.mark.parametrize(
    "value",
    ["nowhere_at_all:adapter", "tests.unit.toy:MISSING", "tests.unit.toy:PASSWORD", "tests.unit.toy:ADAPTER"],
)
def test_a_broken_entry_point_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry_points(monkeypatch, ("broken", value))
    with pytest.raises(ConfigurationError) as caught:
        load_adapter("broken")
    assert caught.value.code == "gateway_broken"
    assert caught.value.__context__ is None


def test_an_adapter_and_its_class_have_one_name() -> None:
    with pytest.raises(ValueError, match="same name"):
        Adapter("toi", ToyGateway, ToyConfig)


# --- ready gateways -------------------------------------------------------------------------------------------


async def test_a_gateway_is_made_once_and_kept() -> None:
    registry = a_registry()
    first, second = await asyncio.gather(
        registry.gateway("default", "toy"), registry.gateway("default", "toy")
    )
    assert first is second is await registry.gateway("default", "toy")
    assert first.tenant == "default"
    await registry.aclose()


class Vault:
    """A source of credentials that counts, and answers when told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.problem: Exception | None = None
        self.answer: GatewayConfig = ToyConfig()

    async def __call__(self, tenant: str, gateway: str) -> GatewayConfig:
        self.asked.append((tenant, gateway))
        await self.open.wait()
        if self.problem is not None:
            raise self.problem
        return self.answer


async def test_many_callers_wait_for_one_construction_and_a_cancelled_one_stops_nobody() -> None:
    vault = Vault()
    registry = a_registry(configs=None, credentials=vault)
    tasks = [asyncio.create_task(registry.gateway("acme", "toy")) for _ in range(20)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    vault.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert len({id(result) for result in results[1:]}) == 1
    assert vault.asked == [("acme", "toy")]
    await registry.aclose()


async def test_a_failure_is_told_to_all_and_not_remembered() -> None:
    vault = Vault()
    vault.open.set()
    vault.problem = TenantSuspendedError("acme is switched off.")
    registry = a_registry(configs=None, credentials=vault)
    results = await asyncio.gather(
        registry.gateway("acme", "toy"), registry.gateway("acme", "toy"), return_exceptions=True
    )
    assert all(isinstance(result, TenantSuspendedError) for result in results)
    vault.problem = None
    assert (await registry.gateway("acme", "toy")).tenant == "acme"
    assert len(vault.asked) == 2


async def test_whatever_a_vault_raises_is_a_configuration_error_that_shows_nothing() -> None:
    vault = Vault()
    vault.open.set()
    vault.problem = RuntimeError("canary-vault-token was refused")
    registry = a_registry(configs=None, credentials=vault)
    with pytest.raises(ConfigurationError) as caught:
        await registry.gateway("acme", "toy")
    assert "canary" not in str(caught.value)
    assert "RuntimeError" in str(caught.value)
    assert caught.value.__context__ is None


async def test_a_vault_that_gives_another_gateways_configuration_is_refused() -> None:
    vault = Vault()
    vault.open.set()
    vault.answer = GatewayConfig(api_url="https://toy.test")
    registry = a_registry(configs=None, credentials=vault)
    with pytest.raises(ConfigurationError, match="ToyConfig"):
        await registry.gateway("acme", "toy")


async def test_names_that_are_not_known_or_not_configured() -> None:
    with pytest.raises(UnknownGatewayError, match="toy"):
        await a_registry().gateway("default", "bkash")
    with pytest.raises(UnknownGatewayError, match="not configured"):
        await a_registry(configs={"other": ToyConfig()}).gateway("default", "toy")
    with pytest.raises(CredentialsMissingError, match="acme"):
        await a_registry().gateway("acme", "toy")


def test_configs_or_credentials_not_both() -> None:
    with pytest.raises(ConfigurationError):
        a_registry(credentials=Vault())


async def test_without_either_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_API_URL", "https://from-env.test")
    gateway = await a_registry(configs=None).gateway("default", "toy")
    assert gateway._config.api_url == "https://from-env.test"


async def test_tenants_share_the_transport_and_never_a_breaker() -> None:
    vault = Vault()
    vault.open.set()
    server = ToyServer()
    registry = a_registry(
        configs=None,
        credentials=vault,
        transport=server,
        clock=FakeClock(),
        breaker_policy=BreakerPolicy(failures=1),
    )
    acme, zenith = await registry.gateway("acme", "toy"), await registry.gateway("zenith", "toy")
    assert acme is not zenith
    acme._driver._breaker.admit(module_once()).failed()
    with pytest.raises(NotSentError):
        await acme.initialize_payment(a_request())
    session = await zenith.initialize_payment(a_request())
    server.approve(session.gateway_reference)
    await zenith.execute_payment(a_call(session))
    await registry.aclose()
    assert not server.closed


def module_once() -> Any:
    from vextrus_payments.wire import Safety

    return Safety.ONCE


async def test_rotated_credentials_and_suspended_tenants_are_noticed_within_a_minute() -> None:
    clock, asked = FakeClock(), 0
    answers: list[Any] = []

    async def vault(tenant: str, name: str) -> GatewayConfig:
        nonlocal asked
        asked += 1
        answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        config: GatewayConfig = answer
        return config

    registry = a_registry(configs=None, credentials=vault, clock=clock)
    answers[:] = [ToyConfig()]
    first = await registry.gateway("acme", "toy")
    clock.advance(59)
    assert await registry.gateway("acme", "toy") is first
    assert asked == 1
    clock.advance(2)
    assert await registry.gateway("acme", "toy") is first  # asked, and nothing had changed
    assert asked == 2
    answers[:] = [OSError("the vault is down")]
    clock.advance(61)
    assert await registry.gateway("acme", "toy") is first  # a vault that fails takes nothing away
    answers[:] = [ToyConfig(timeout_s=7)]
    clock.advance(61)
    second = await registry.gateway("acme", "toy")
    assert second is not first
    answers[:] = [TenantSuspendedError("acme is suspended.")]
    assert await registry.gateway("acme", "toy") is second
    clock.advance(61)
    with pytest.raises(TenantSuspendedError):
        await registry.gateway("acme", "toy")
    await registry.aclose()


async def test_closing_closes_all_and_refuses_new_ones() -> None:
    closed: list[str] = []

    class Closing(ToyGateway):
        async def aclose(self) -> None:
            closed.append(self.tenant)
            await super().aclose()

    vault = Vault()
    vault.open.set()
    registry = Registry(adapters={"toy": Adapter("toy", Closing, ToyConfig)}, credentials=vault)
    await registry.gateway("a", "toy")
    await registry.gateway("b", "toy")
    await registry.aclose()
    await registry.aclose()
    assert sorted(closed) == ["a", "b"]
    with pytest.raises(ConfigurationError) as caught:
        await registry.gateway("c", "toy")
    assert caught.value.code == "closed"


async def test_closing_does_not_wait_for_a_vault_that_never_answers() -> None:
    registry = a_registry(configs=None, credentials=Vault())
    task = asyncio.create_task(registry.gateway("acme", "toy"))
    await asyncio.sleep(0)
    await registry.aclose()
    with pytest.raises(ConfigurationError) as caught:
        await task
    assert caught.value.code == "closed"

"""Conformance kits and fakes for those who write a transport, a store or a gateway, or test their own code with us.

Everything is loaded on first use, so that importing one kit does not import what the others need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.testing.canary import CanaryLeakError, Hit, SecretCanary
    from vextrus_payments.testing.check_tokens import TokenBackendError, check_token_backend
    from vextrus_payments.testing.check_transport import check_transport
    from vextrus_payments.testing.gateway_check import (
        CheckReport,
        Fault,
        FaultyTransport,
        GatewayCheckError,
        GatewayWorld,
        Verb,
        check_gateway,
    )
    from vextrus_payments.testing.scripted import ScriptedTransport
    from vextrus_payments.testing.simulation import (
        CrashSimulator,
        ServicePorts,
        SimulationFailedError,
        Town,
        Weather,
    )
    from vextrus_payments.testing.store_check import check_store
    from vextrus_payments.testing.time import FakeClock, FakeEntropy, FakeSleeper

#: public name -> the module that holds it
_HOME: Final = {
    "CanaryLeakError": "canary",
    "CheckReport": "gateway_check",
    "CrashSimulator": "simulation",
    "FakeClock": "time",
    "FakeEntropy": "time",
    "FakeSleeper": "time",
    "Fault": "gateway_check",
    "FaultyTransport": "gateway_check",
    "GatewayCheckError": "gateway_check",
    "GatewayWorld": "gateway_check",
    "Hit": "canary",
    "ScriptedTransport": "scripted",
    "SecretCanary": "canary",
    "ServicePorts": "simulation",
    "SimulationFailedError": "simulation",
    "TokenBackendError": "check_tokens",
    "Town": "simulation",
    "Verb": "gateway_check",
    "Weather": "simulation",
    "check_gateway": "gateway_check",
    "check_store": "store_check",
    "check_token_backend": "check_tokens",
    "check_transport": "check_transport",
}

__all__ = [
    "CanaryLeakError",
    "CheckReport",
    "CrashSimulator",
    "FakeClock",
    "FakeEntropy",
    "FakeSleeper",
    "Fault",
    "FaultyTransport",
    "GatewayCheckError",
    "GatewayWorld",
    "Hit",
    "ScriptedTransport",
    "SecretCanary",
    "ServicePorts",
    "SimulationFailedError",
    "TokenBackendError",
    "Town",
    "Verb",
    "Weather",
    "check_gateway",
    "check_store",
    "check_token_backend",
    "check_transport",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

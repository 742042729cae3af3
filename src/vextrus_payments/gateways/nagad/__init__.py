"""Nagad online payment (check-out API 1.0): payments and refunds.

    async with NagadGateway(NagadConfig.from_env()) as nagad:
        session = await nagad.initialize_payment(request, on_checkpoint=keep)

Loaded on first use: the sandbox and the tests read `models.py` without the gateway behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.gateways.nagad.config import NagadConfig
    from vextrus_payments.gateways.nagad.gateway import NagadGateway, adapter
    from vextrus_payments.gateways.nagad.models import ClientType
    from vextrus_payments.gateways.nagad.params import NagadCheckout

_HOME: Final = {
    "ClientType": "models",
    "NagadCheckout": "params",
    "NagadConfig": "config",
    "NagadGateway": "gateway",
    "adapter": "gateway",
}

__all__ = ["ClientType", "NagadCheckout", "NagadConfig", "NagadGateway", "adapter"]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

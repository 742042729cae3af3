"""bKash Tokenized Checkout, v1.2.0-beta and v2: payments, holds, refunds and agreements.

    async with BkashGateway(BkashConfig.from_env()) as bkash:
        session = await bkash.initialize_payment(request)

Loaded on first use: the sandbox and the tests read `models.py` without the gateway behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.gateways.bkash.config import AuthScheme, BkashConfig, VoidPath
    from vextrus_payments.gateways.bkash.dialect import ApiVersion
    from vextrus_payments.gateways.bkash.gateway import BkashGateway, adapter
    from vextrus_payments.gateways.bkash.params import BkashCheckout
    from vextrus_payments.gateways.bkash.steps import RefundApi

_HOME: Final = {
    "ApiVersion": "dialect",
    "AuthScheme": "config",
    "BkashCheckout": "params",
    "BkashConfig": "config",
    "BkashGateway": "gateway",
    "RefundApi": "steps",
    "VoidPath": "config",
    "adapter": "gateway",
}

__all__ = [
    "ApiVersion",
    "AuthScheme",
    "BkashCheckout",
    "BkashConfig",
    "BkashGateway",
    "RefundApi",
    "VoidPath",
    "adapter",
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

"""SSLCommerz v4: cards, wallets and internet banking through one page.

    async with SslcommerzGateway(SslcommerzConfig.from_env()) as sslcommerz:
        session = await sslcommerz.initialize_payment(request)

Loaded on first use: the sandbox and the tests read `models.py` without the gateway behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.gateways.sslcommerz.config import SslcommerzConfig
    from vextrus_payments.gateways.sslcommerz.gateway import SslcommerzGateway, adapter
    from vextrus_payments.gateways.sslcommerz.invoices import Invoice
    from vextrus_payments.gateways.sslcommerz.models import Channel, ProductProfile, ShippingMethod
    from vextrus_payments.gateways.sslcommerz.params import (
        Address,
        AirlineTickets,
        CartLine,
        Emi,
        Shipping,
        SslcommerzCheckout,
        SslcommerzInvoice,
        TelecomVertical,
        TravelVertical,
    )

_HOME: Final = {
    "Address": "params",
    "AirlineTickets": "params",
    "CartLine": "params",
    "Channel": "models",
    "Emi": "params",
    "Invoice": "invoices",
    "ProductProfile": "models",
    "Shipping": "params",
    "ShippingMethod": "models",
    "SslcommerzCheckout": "params",
    "SslcommerzConfig": "config",
    "SslcommerzGateway": "gateway",
    "SslcommerzInvoice": "params",
    "TelecomVertical": "params",
    "TravelVertical": "params",
    "adapter": "gateway",
}

__all__ = [
    "Address",
    "AirlineTickets",
    "CartLine",
    "Channel",
    "Emi",
    "Invoice",
    "ProductProfile",
    "Shipping",
    "ShippingMethod",
    "SslcommerzCheckout",
    "SslcommerzConfig",
    "SslcommerzGateway",
    "SslcommerzInvoice",
    "TelecomVertical",
    "TravelVertical",
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

"""bKash's Recurring Payment Platform: subscriptions, and the payments that bKash collects under them by itself.

    async with BkashRecurringGateway(BkashRecurringConfig.from_env()) as recurring:
        days = await recurring.get_schedule(Frequency.CALENDAR_MONTH, start, expiry)

Loaded on first use: the sandbox and the tests read `models.py` without the gateway behind it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.gateways.bkash.recurring.config import BkashRecurringConfig
    from vextrus_payments.gateways.bkash.recurring.gateway import BkashRecurringGateway, adapter
    from vextrus_payments.gateways.bkash.recurring.models import Frequency
    from vextrus_payments.gateways.bkash.recurring.params import BkashSubscription
    from vextrus_payments.gateways.bkash.recurring.protocol import Subscription, SubscriptionPage

_HOME: Final = {
    "BkashRecurringConfig": "config",
    "BkashRecurringGateway": "gateway",
    "BkashSubscription": "params",
    "Frequency": "models",
    "Subscription": "protocol",
    "SubscriptionPage": "protocol",
    "adapter": "gateway",
}

__all__ = [
    "BkashRecurringConfig",
    "BkashRecurringGateway",
    "BkashSubscription",
    "Frequency",
    "Subscription",
    "SubscriptionPage",
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

"""Doors: the webhook receiver, and what mounts it in a web application.

`Payments` makes them (`asgi()`, `wsgi()`); `DoorLimits` says what they take, how often and from whom, `InboxLimits` how
what they took is worked on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.webhooks.asgi import AsgiDoors
    from vextrus_payments.webhooks.inbox_limits import InboxLimits
    from vextrus_payments.webhooks.limits import AllowHook, DoorLimits, Rate, Rates
    from vextrus_payments.webhooks.sources import Source
    from vextrus_payments.webhooks.wsgi import WsgiDoors

__all__ = ["AllowHook", "AsgiDoors", "DoorLimits", "InboxLimits", "Rate", "Rates", "Source", "WsgiDoors"]

#: Loaded on first use: the parts of this package import each other by their own names.
_HOME: Final = {
    "AllowHook": "limits",
    "AsgiDoors": "asgi",
    "DoorLimits": "limits",
    "InboxLimits": "inbox_limits",
    "Rate": "limits",
    "Rates": "limits",
    "Source": "sources",
    "WsgiDoors": "wsgi",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

"""Where entries and events go beyond a callback: an HTTP endpoint, or the caller's own PostgreSQL tables.

`HttpSink` posts them, signed as Standard Webhooks has it. `SqlLedger` writes them inside the transaction that marks
them delivered: exactly once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vextrus_payments.sinks.http import EndpointResolver, HttpEndpoint, HttpSink
    from vextrus_payments.sinks.sql import SqlLedger, SqlWrite

__all__ = ["EndpointResolver", "HttpEndpoint", "HttpSink", "SqlLedger", "SqlWrite"]

#: Loaded on first use: who writes into tables does not pay for HTTP.
_HOME: Final = {
    "EndpointResolver": "http",
    "HttpEndpoint": "http",
    "HttpSink": "http",
    "SqlLedger": "sql",
    "SqlWrite": "sql",
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

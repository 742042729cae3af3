"""Gateway tokens: the cache that all gateways of a process share, and where it keeps what it learns.

`TokenCache` over one of `MemoryTokenBackend` (refused in live mode), `FileTokenBackend` (processes of one user on
one machine; what the CLI uses), `StoreTokenBackend` (whoever shares the payment store) and `RedisTokenCache` (whoever
shares a Redis; needs the extra `redis`).
"""

from typing import TYPE_CHECKING, Any

from vextrus_payments.token_budget import GrantBudget
from vextrus_payments.token_port import (
    Grant,
    GrantOrder,
    Token,
    TokenBackend,
    TokenKey,
    TokenRows,
    require_durable,
)
from vextrus_payments.tokens.cache import TokenCache
from vextrus_payments.tokens.file import FileTokenBackend, state_home
from vextrus_payments.tokens.memory import MemoryTokenBackend
from vextrus_payments.tokens.store import StoreTokenBackend

if TYPE_CHECKING:
    from vextrus_payments.tokens.redis import RedisTokenCache

__all__ = [
    "FileTokenBackend",
    "Grant",
    "GrantBudget",
    "GrantOrder",
    "MemoryTokenBackend",
    "RedisTokenCache",
    "StoreTokenBackend",
    "Token",
    "TokenBackend",
    "TokenCache",
    "TokenKey",
    "TokenRows",
    "require_durable",
    "state_home",
]


def __getattr__(name: str) -> Any:
    if name != "RedisTokenCache":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Loaded on first use: whoever keeps tokens elsewhere loads nothing for it.
    from vextrus_payments.tokens.redis import RedisTokenCache

    globals()[name] = RedisTokenCache
    return RedisTokenCache


def __dir__() -> list[str]:
    return sorted(__all__)

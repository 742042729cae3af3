"""Gateway tokens: the cache that all gateways of a process share, and where it keeps what it learns.

`TokenCache` over one of `MemoryTokenBackend` (refused in live mode), `FileTokenBackend` (processes of one user on
one machine; what the CLI uses) and `StoreTokenBackend` (whoever shares the payment store).
"""

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

__all__ = [
    "FileTokenBackend",
    "Grant",
    "GrantBudget",
    "GrantOrder",
    "MemoryTokenBackend",
    "StoreTokenBackend",
    "Token",
    "TokenBackend",
    "TokenCache",
    "TokenKey",
    "TokenRows",
    "require_durable",
    "state_home",
]

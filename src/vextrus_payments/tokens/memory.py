"""Tokens in memory: gone with the process, and with them the count of grants. Refused in live mode.

For tests, the sandbox and notebooks, on one event loop. `require_durable(backend, mode)` is the check that refuses
it where real money is meant; the app and the adapters call it before anything is sent.
"""

from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog
from vextrus_payments.token_port import Token, TokenKey


class MemoryTokenBackend:
    """A TokenBackend for one process. No method waits, so each is one step for the event loop."""

    durable = False

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._logs: dict[str, GrantLog] = {}

    async def get(self, key: TokenKey) -> Token | None:
        """The token as last put, be it expired."""
        return self._tokens.get(key.digest)

    async def put(self, key: TokenKey, token: Token) -> None:
        """Keep this one."""
        self._tokens[key.digest] = token

    async def drop(self, key: TokenKey, version: str) -> bool:
        """Remove the token if it is of that version."""
        token = self._tokens.get(key.digest)
        if token is None or not token.is_version(version):
            return False
        del self._tokens[key.digest]
        return True

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """Take a slot, or say who has it."""
        log, decision = self._logs.get(key.digest, GrantLog()).reserve(ask)
        self._logs[key.digest] = log
        return decision

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """Close the slot and keep the token."""
        log, latest = self._logs.get(key.digest, GrantLog()).finish(end)
        self._logs[key.digest] = log
        if token is not None and (latest or key.digest not in self._tokens):
            self._tokens[key.digest] = token

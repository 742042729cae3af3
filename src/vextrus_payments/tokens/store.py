"""Tokens in the payment store: shared by every process and machine that shares the store."""

from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd
from vextrus_payments.token_port import Token, TokenKey, TokenRows
from vextrus_payments.tokens.document import token_document, token_from_document


class StoreTokenBackend:
    """A TokenBackend over a payment store's five token methods. It opens and closes nothing: the store is yours."""

    def __init__(self, rows: TokenRows) -> None:
        self._rows = rows

    @property
    def durable(self) -> bool:
        """As durable as the store."""
        return self._rows.durable

    async def get(self, key: TokenKey) -> Token | None:
        """The token as last put, be it expired; None when there is none or it cannot be read."""
        return token_from_document(await self._rows.token_get(key.digest))

    async def put(self, key: TokenKey, token: Token) -> None:
        """Keep this one."""
        await self._rows.token_put(key.digest, token.version, token_document(token))

    async def drop(self, key: TokenKey, version: str) -> bool:
        """Remove the token if it is of that version, in one statement."""
        return await self._rows.token_drop(key.digest, version)

    async def reserve_grant(self, key: TokenKey, ask: GrantAsk) -> GrantDecision:
        """Take a slot in one transaction, or say who has it."""
        return await self._rows.grant_reserve(key.digest, ask)

    async def finish_grant(self, key: TokenKey, end: GrantEnd, token: Token | None) -> None:
        """Close the slot and keep the token, in one transaction."""
        version, document = (None, None) if token is None else (token.version, token_document(token))
        await self._rows.grant_finish(key.digest, end, version, document)

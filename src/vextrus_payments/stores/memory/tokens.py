"""The memory store's token rows: what TokenRows asks for, in a dictionary."""

import hmac
from dataclasses import dataclass, field

from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog


@dataclass(slots=True)
class TokenRow:
    """One key's token and grant log."""

    version: str | None = None
    document: str | None = field(default=None, repr=False)
    grants: str | None = None


@dataclass(slots=True)
class MemoryTokens:
    """All token rows."""

    _rows: dict[str, TokenRow] = field(default_factory=dict, repr=False)

    def get(self, digest: str) -> str | None:
        """See TokenRows.token_get."""
        row = self._rows.get(digest)
        return None if row is None else row.document

    def put(self, digest: str, version: str, document: str) -> None:
        """See TokenRows.token_put."""
        row = self._rows.setdefault(digest, TokenRow())
        row.version, row.document = version, document

    def drop(self, digest: str, version: str) -> bool:
        """See TokenRows.token_drop."""
        row = self._rows.get(digest)
        if row is None or row.version is None:
            return False
        if not hmac.compare_digest(row.version.encode("utf-8"), version.encode("utf-8")):
            return False
        row.version = row.document = None
        return True

    def reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """See TokenRows.grant_reserve."""
        row = self._rows.setdefault(digest, TokenRow())
        log, decision = GrantLog.from_json(row.grants).reserve(ask)
        row.grants = log.to_json()
        return decision

    def finish(self, digest: str, end: GrantEnd, version: str | None, document: str | None) -> None:
        """See TokenRows.grant_finish."""
        row = self._rows.setdefault(digest, TokenRow())
        log, latest = GrantLog.from_json(row.grants).finish(end)
        row.grants = log.to_json()
        if document is not None and (latest or row.document is None):
            row.version, row.document = version, document

"""The SQL of the token rows. Each function is the inside of one transaction."""

import sqlite3
from typing import Final

from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog

_PUT_ROW: Final = (
    "INSERT INTO tokens (digest, version, document) VALUES (?, ?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET version = excluded.version, document = excluded.document"
)
_UPSERT_GRANTS: Final = (
    "INSERT INTO tokens (digest, grants) VALUES (?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET grants = excluded.grants"
)


def token_get(connection: sqlite3.Connection, digest: str) -> str | None:
    """See TokenRows.token_get."""
    row = connection.execute("SELECT document FROM tokens WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else row[0]


def token_put(connection: sqlite3.Connection, digest: str, version: str, document: str) -> None:
    """See TokenRows.token_put."""
    connection.execute(_PUT_ROW, (digest, version, document))


def token_drop(connection: sqlite3.Connection, digest: str, version: str) -> bool:
    """See TokenRows.token_drop."""
    dropped = connection.execute(
        "UPDATE tokens SET version = NULL, document = NULL WHERE digest = ? AND version = ?",
        (digest, version),
    )
    return dropped.rowcount > 0


def grant_reserve(connection: sqlite3.Connection, digest: str, ask: GrantAsk) -> GrantDecision:
    """See TokenRows.grant_reserve."""
    before = _grants(connection, digest)
    log, decision = before.reserve(ask)
    if log != before:  # those who only wait for another's grant write nothing, and flush nothing
        connection.execute(_UPSERT_GRANTS, (digest, log.to_json()))
    return decision


def grant_finish(
    connection: sqlite3.Connection, digest: str, end: GrantEnd, version: str | None, document: str | None
) -> None:
    """See TokenRows.grant_finish."""
    log, latest = _grants(connection, digest).finish(end)
    connection.execute(_UPSERT_GRANTS, (digest, log.to_json()))
    if document is not None and (latest or token_get(connection, digest) is None):
        connection.execute(_PUT_ROW, (digest, version, document))


def _grants(connection: sqlite3.Connection, digest: str) -> GrantLog:
    row = connection.execute("SELECT grants FROM tokens WHERE digest = ?", (digest,)).fetchone()
    return GrantLog.from_json(None if row is None else row[0])

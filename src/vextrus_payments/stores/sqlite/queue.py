"""The SQL of the outbox and of the token rows. Each function is the inside of one transaction."""

import sqlite3
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores.columns import from_micros, optional_moment, to_micros
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantLog

# `head` finds the candidates at once, however long the backlog; NOT EXISTS is what decides.
_DUE: Final = """
SELECT id, tenant, row_id, subject, seq, document, created_at, attempts, next_at, parked FROM outbox AS candidate
WHERE kind = ? AND head = 1 AND parked IS NULL AND delivered_at IS NULL AND due_at <= ?
AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier
    WHERE earlier.tenant = candidate.tenant AND earlier.kind = candidate.kind
    AND earlier.subject = candidate.subject AND earlier.delivered_at IS NULL
    AND (earlier.seq < candidate.seq OR (earlier.seq = candidate.seq AND earlier.id < candidate.id))
)
ORDER BY due_at, id LIMIT ?
"""
_UNDELIVERED: Final = (
    "SELECT kind, subject FROM outbox WHERE tenant = ? AND row_id = ? AND delivered_at IS NULL"
)
_DELIVERED: Final = "UPDATE outbox SET delivered_at = ?, head = 0 WHERE tenant = ? AND row_id = ?"
_NEXT_HEAD: Final = """
UPDATE outbox SET head = 1 WHERE id = (
    SELECT id FROM outbox WHERE kind = ? AND tenant = ? AND subject = ? AND delivered_at IS NULL
    ORDER BY seq, id LIMIT 1
)
"""
_RETRY: Final = (
    "UPDATE outbox SET attempts = attempts + 1, next_at = ?, due_at = ?"
    " WHERE tenant = ? AND row_id = ? AND delivered_at IS NULL"
)
_PARK: Final = (
    "UPDATE outbox SET attempts = attempts + 1, parked = ?"
    " WHERE tenant = ? AND row_id = ? AND delivered_at IS NULL"
)
_BACKLOG: Final = (
    "SELECT count(*), count(parked), min(CASE WHEN parked IS NULL THEN created_at END) FROM outbox"
    " WHERE kind = ? AND delivered_at IS NULL"
)
_PUT_ROW: Final = (
    "INSERT INTO tokens (digest, version, document) VALUES (?, ?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET version = excluded.version, document = excluded.document"
)
_UPSERT_GRANTS: Final = (
    "INSERT INTO tokens (digest, grants) VALUES (?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET grants = excluded.grants"
)


def any_due(connection: sqlite3.Connection, kind: OutboxKind, now: datetime) -> bool:
    """Whether there is something to lease. A look without the write lock, which most polls need not take."""
    return connection.execute(_DUE, (kind.value, to_micros(now), 1)).fetchone() is not None


def lease(
    connection: sqlite3.Connection, kind: OutboxKind, limit: int, lease_s: int, now: datetime
) -> tuple[OutboxRow, ...]:
    """See PaymentStore.lease."""
    due = connection.execute(_DUE, (kind.value, to_micros(now), limit)).fetchall()
    until_us = to_micros(now + timedelta(seconds=lease_s))
    connection.executemany("UPDATE outbox SET due_at = ? WHERE id = ?", [(until_us, row[0]) for row in due])
    return tuple(_record(kind, row) for row in due)


def _record(kind: OutboxKind, row: tuple[Any, ...]) -> OutboxRow:
    _, tenant, row_id, subject, seq, document, created_us, attempts, next_us, parked = row
    return OutboxRow(
        tenant=tenant,
        row_id=row_id,
        subject=subject,
        seq=seq,
        kind=kind,
        document=document,
        created_at=from_micros(created_us),
        attempts=attempts,
        next_at=optional_moment(next_us),
        parked=parked,
    )


def ack(connection: sqlite3.Connection, tenant: str, row_id: str, now: datetime) -> None:
    """See PaymentStore.ack."""
    found = connection.execute(_UNDELIVERED, (tenant, row_id)).fetchone()
    if found is not None:
        connection.execute(_DELIVERED, (to_micros(now), tenant, row_id))
        kind, subject = found
        connection.execute(_NEXT_HEAD, (kind, tenant, subject))


def nack(
    connection: sqlite3.Connection, tenant: str, row_id: str, retry_at: datetime | None, why: str
) -> None:
    """See PaymentStore.nack."""
    if retry_at is None:
        connection.execute(_PARK, (why, tenant, row_id))
    else:
        retry_us = to_micros(retry_at)
        connection.execute(_RETRY, (retry_us, retry_us, tenant, row_id))


def backlog(connection: sqlite3.Connection, kind: OutboxKind) -> OutboxBacklog:
    """See PaymentStore.backlog."""
    count, parked, oldest_us = connection.execute(_BACKLOG, (kind.value,)).fetchone()
    return OutboxBacklog(count - parked, parked, optional_moment(oldest_us))


# --- tokens -------------------------------------------------------------------------------------------------------


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

"""The SQL of the outbox. Each function is the inside of one transaction."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.stores.columns import (
    Position,
    from_micros,
    optional_micros,
    optional_moment,
    to_micros,
)

_COLUMNS: Final = (
    "id, kind, tenant, row_id, subject, seq, document, created_at, attempts, next_at, parked, delivered_at,"
    " leased_until"
)
# `head` finds the candidates at once, however long the backlog; NOT EXISTS is what decides.
_DUE: Final = f"""
SELECT {_COLUMNS} FROM outbox AS candidate
WHERE kind = ? AND head = 1 AND parked IS NULL AND delivered_at IS NULL AND due_at <= ?
AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier
    WHERE earlier.tenant = candidate.tenant AND earlier.kind = candidate.kind
    AND earlier.subject = candidate.subject AND earlier.delivered_at IS NULL
    AND (earlier.seq < candidate.seq OR (earlier.seq = candidate.seq AND earlier.id < candidate.id))
)
ORDER BY due_at, id LIMIT ?
"""  # noqa: S608 - put together from constants
_OF_ID: Final = f"SELECT {_COLUMNS} FROM outbox WHERE tenant = ? AND row_id = ?"  # noqa: S608 - from constants
_LEASE: Final = "UPDATE outbox SET due_at = ?, leased_until = ? WHERE id = ?"
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
# A release that knows no `leased_until` moves `due_at` alone when it leases: the lease is ours if neither has moved.
_HELD: Final = (
    " WHERE tenant = ? AND row_id = ? AND delivered_at IS NULL"
    " AND leased_until IS ? AND (leased_until IS NULL OR due_at = leased_until)"
)
_RETRY: Final = (
    f"UPDATE outbox SET attempts = attempts + 1, next_at = ?, due_at = ?, leased_until = NULL{_HELD}"  # noqa: S608
)
_PARK: Final = f"UPDATE outbox SET attempts = attempts + 1, parked = ?, leased_until = NULL{_HELD}"  # noqa: S608
_UNPARK: Final = (
    "UPDATE outbox SET attempts = 0, next_at = NULL, parked = NULL, due_at = 0, leased_until = NULL"
    " WHERE tenant = ? AND row_id = ? AND parked IS NOT NULL AND delivered_at IS NULL"
)
_WAITING: Final = "kind = ? AND delivered_at IS NULL AND (tenant, subject, seq) > (?, ?, ?)"
#: The end of a stretch, found in the index alone; the counts of a stretch.
_STRETCH_END: Final = (
    f"SELECT tenant, subject, seq FROM outbox WHERE {_WAITING} ORDER BY tenant, subject, seq LIMIT 1 OFFSET ?"  # noqa: S608
)
_COUNTS: Final = (
    "SELECT count(*), count(parked), min(CASE WHEN parked IS NULL THEN created_at END) FROM outbox"  # noqa: S608
    f" WHERE {_WAITING}"
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
    connection.executemany(_LEASE, [(until_us, until_us, row[0]) for row in due])
    return tuple(_record(row, until_us) for row in due)


def _record(row: tuple[Any, ...], leased_until_us: int | None) -> OutboxRow:
    tenant, row_id, subject, seq, document, created_us, attempts, next_us, parked, delivered_us = row[2:12]
    return OutboxRow(
        tenant=tenant,
        row_id=row_id,
        subject=subject,
        seq=seq,
        kind=OutboxKind(row[1]),
        document=document,
        created_at=from_micros(created_us),
        attempts=attempts,
        next_at=optional_moment(next_us),
        parked=parked,
        leased_until=optional_moment(leased_until_us),
        delivered_at=optional_moment(delivered_us),
    )


def ack(connection: sqlite3.Connection, row: OutboxRow, now: datetime) -> None:
    """See PaymentStore.ack."""
    found = connection.execute(_UNDELIVERED, (row.tenant, row.row_id)).fetchone()
    if found is not None:
        connection.execute(_DELIVERED, (to_micros(now), row.tenant, row.row_id))
        kind, subject = found
        connection.execute(_NEXT_HEAD, (kind, row.tenant, subject))


def nack(connection: sqlite3.Connection, row: OutboxRow, retry_at: datetime | None, why: str) -> None:
    """See PaymentStore.nack."""
    held = (row.tenant, row.row_id, optional_micros(row.leased_until))
    if retry_at is None:
        connection.execute(_PARK, (why, *held))
    else:
        retry_us = to_micros(retry_at)
        connection.execute(_RETRY, (retry_us, retry_us, *held))


def of_ids(connection: sqlite3.Connection, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
    """See PaymentStore.outbox_rows."""
    rows = (connection.execute(_OF_ID, (tenant, row_id)).fetchone() for row_id in dict.fromkeys(row_ids))
    return tuple(_record(row, row[12]) for row in rows if row is not None)


def unpark(connection: sqlite3.Connection, tenant: str, row_id: str) -> bool:
    """See PaymentStore.unpark."""
    return connection.execute(_UNPARK, (tenant, row_id)).rowcount > 0


class Stretch(NamedTuple):
    """A piece of a queue: what waits in it, and where it ended (None: there is nothing after it)."""

    waiting: int
    parked: int
    oldest_us: int | None
    end: tuple[str, str, int] | None


#: Before every row: no tenant is so called, and none is less.
QUEUE_START: Final = ("", "", -1)


def backlog(
    connection: sqlite3.Connection, kind: OutboxKind, after: tuple[str, str, int], length: int
) -> Stretch:
    """What waits in the next `length` undelivered rows.

    A stretch and not the whole: where a receiver has been away for a day there may be a million, and whoever counts
    them must not hold up the payers.
    """
    end = connection.execute(_STRETCH_END, (kind.value, *after, length)).fetchone()
    bound, values = ("", ()) if end is None else (" AND (tenant, subject, seq) <= (?, ?, ?)", end)
    count, parked, oldest_us = connection.execute(_COUNTS + bound, (kind.value, *after, *values)).fetchone()
    return Stretch(count - parked, parked, oldest_us, end)


def listed(
    connection: sqlite3.Connection,
    kind: OutboxKind,
    tenant: str | None,
    parked: bool,
    after: Position | None,
    limit: int,
) -> Page[OutboxRow]:
    """See PaymentStore.list_outbox. Each combination goes along an index of its own, or along the table."""
    conditions: list[str] = ["kind = ?", "id > ?"]
    values: list[Any] = [kind.value, 0 if after is None else after.number]
    if tenant is not None:
        conditions.append("tenant = ?")
        values.append(tenant)
    along = ""
    if parked:
        conditions.append("parked IS NOT NULL AND delivered_at IS NULL")
        along = "INDEXED BY outbox_parked"
    statement = f"SELECT {_COLUMNS} FROM outbox {along} WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"  # noqa: S608
    rows: Sequence[tuple[Any, ...]] = connection.execute(statement, (*values, limit + 1)).fetchall()
    page = rows[:limit]
    cursor = Position(0, page[-1][0]).cursor() if len(rows) > limit else None
    return Page(tuple(_record(row, row[12]) for row in page), cursor)

"""The SQL of the outbox. Each function is the inside of one transaction.

Theory of operation. A subject's rows are handed over in the order of `seq`; only its lowest undelivered row may be
leased. `head` keeps the rows that are looked at few: it is true on that row always, and false only where it is known
that another must be delivered first.

- A row is written with head = true, and nobody is waited for: a payment's commit must not stand behind a ledger that
  hangs. Only behind another row of its subject in the same transaction it is false.
- Whoever leases skips candidates that have an undelivered row before them, and takes their `head`, but only while
  holding the lock of such a row: so that row's delivery comes later, and sees it.
- Whoever marks a row delivered then, in a second statement of the same transaction, gives `head` to the subject's
  lowest undelivered row.

Of many workers each gets other rows (SKIP LOCKED), without waiting; a lease is committed at once, and no transaction
stays open while something is delivered, but for `deliver_within`, whose purpose that is.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores.columns import Position, from_micros, optional_micros, optional_moment, to_micros
from vextrus_payments.stores.postgres.driver import Row
from vextrus_payments.stores.postgres.session import Session

_COLUMNS: Final = """
    tenant, row_id, subject, seq, kind, document, created_at, attempts, next_at, parked, leased_until, delivered_at
"""
_BEFORE: Final = """earlier.kind = due.kind AND earlier.tenant = due.tenant AND earlier.subject = due.subject
        AND earlier.delivered_at IS NULL AND (earlier.seq, earlier.id) < (due.seq, due.id)"""
_LEASE: Final = f"""
WITH due AS MATERIALIZED (
    SELECT id, kind, tenant, subject, seq, due_at FROM {{schema}}.outbox
    WHERE kind = $1 AND head AND parked IS NULL AND delivered_at IS NULL AND due_at <= $2
    ORDER BY due_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
), behind AS MATERIALIZED (
    SELECT due.id, (
        SELECT earlier.id FROM {{schema}}.outbox AS earlier WHERE {_BEFORE}
        ORDER BY earlier.seq, earlier.id LIMIT 1
    ) AS first_id FROM due
), held AS MATERIALIZED (
    SELECT id FROM {{schema}}.outbox WHERE id IN (
        SELECT first_id FROM behind WHERE first_id NOT IN (SELECT id FROM due)
    ) AND delivered_at IS NULL FOR SHARE SKIP LOCKED
), sent_back AS (
    UPDATE {{schema}}.outbox SET head = false FROM behind
    WHERE outbox.id = behind.id AND (
        behind.first_id IN (SELECT id FROM due) OR behind.first_id IN (SELECT id FROM held)
    )
    RETURNING outbox.id
), leased AS (
    UPDATE {{schema}}.outbox SET due_at = $4, leased_until = $4 FROM due JOIN behind USING (id)
    WHERE outbox.id = due.id AND behind.first_id IS NULL
    RETURNING outbox.*, due.due_at AS was_due
)
SELECT {_COLUMNS}, was_due, id FROM leased
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, id FROM sent_back
"""
_DELIVERED: Final = """
UPDATE {schema}.outbox SET delivered_at = $3, head = false WHERE id IN (
    SELECT outbox.id FROM unnest($1::text[], $2::text[]) AS w (tenant, row_id)
    JOIN {schema}.outbox USING (tenant, row_id) WHERE delivered_at IS NULL
    ORDER BY outbox.id FOR NO KEY UPDATE OF outbox
) AND delivered_at IS NULL
RETURNING kind, tenant, subject
"""
_NEXT_HEADS: Final = """
UPDATE {schema}.outbox SET head = true WHERE id IN (
    SELECT first.id FROM unnest($1::text[], $2::text[], $3::text[]) AS w (kind, tenant, subject)
    CROSS JOIN LATERAL (
        SELECT id FROM {schema}.outbox WHERE outbox.kind = w.kind AND outbox.tenant = w.tenant
        AND outbox.subject = w.subject AND delivered_at IS NULL ORDER BY seq, id LIMIT 1
    ) AS first
)
"""
_LEASED_AS_GIVEN: Final = (
    "SELECT id FROM {schema}.outbox"
    " WHERE tenant = $1 AND row_id = $2 AND leased_until = $3 AND due_at = $3 AND delivered_at IS NULL"
)
_TAKE_OVER: Final = f"""
UPDATE {{schema}}.outbox SET delivered_at = $4, head = false WHERE id = (
    {_LEASED_AS_GIVEN} FOR NO KEY UPDATE
)
RETURNING kind, tenant, subject
"""
# The lease that was given out is still the last one; the release before this one leases by `due_at` alone.
_STILL_HELD: Final = (
    " WHERE tenant = $1 AND row_id = $2 AND delivered_at IS NULL AND leased_until IS NOT DISTINCT FROM $3::bigint"
    " AND ($3::bigint IS NULL OR due_at = $3::bigint)"
)
_RETRY: Final = (
    "UPDATE {schema}.outbox SET attempts = attempts + 1, next_at = $4, due_at = $4, leased_until = NULL"
    + _STILL_HELD
)
_PARK: Final = (
    "UPDATE {schema}.outbox SET attempts = attempts + 1, parked = $4, leased_until = NULL" + _STILL_HELD
)
_UNPARK: Final = (
    "UPDATE {schema}.outbox SET parked = NULL, attempts = 0, next_at = NULL, due_at = 0, leased_until = NULL,"
    " head = true WHERE tenant = $1 AND row_id = $2 AND parked IS NOT NULL AND delivered_at IS NULL RETURNING id"
)
_BACKLOG: Final = (
    "SELECT count(*), count(parked), min(created_at) FILTER (WHERE parked IS NULL) FROM {schema}.outbox"
    " WHERE kind = $1 AND delivered_at IS NULL"
)
_LIST: Final = f"SELECT {_COLUMNS}, id FROM {{schema}}.outbox WHERE kind = $1 AND id > $2"
_LIST_END: Final = " ORDER BY id LIMIT $3"
_OF_IDS: Final = f"SELECT {_COLUMNS} FROM {{schema}}.outbox WHERE tenant = $1 AND row_id = ANY($2::text[])"


async def lease(
    session: Session, kind: OutboxKind, limit: int, lease_s: int, now: datetime
) -> tuple[OutboxRow, ...]:
    """See PaymentStore.lease. One statement; another one only where it found rows that stood behind others."""
    until_us = to_micros(now + timedelta(seconds=lease_s))
    leased: list[Row] = []
    while len(leased) < limit:
        rows = await session.all(_LEASE, kind.value, to_micros(now), limit - len(leased), until_us)
        taken = [row for row in rows if row[0] is not None]
        leased += taken
        if len(taken) == len(rows):
            break
    return tuple(_record(row) for row in sorted(leased, key=lambda row: (row[-2], row[-1])))


def _record(row: Row) -> OutboxRow:
    (
        tenant,
        row_id,
        subject,
        seq,
        kind,
        document,
        created_us,
        attempts,
        next_us,
        parked,
        leased_us,
        done_us,
    ) = row[:12]
    return OutboxRow(
        tenant=tenant,
        row_id=row_id,
        subject=subject,
        seq=seq,
        kind=OutboxKind(kind),
        document=document,
        created_at=from_micros(created_us),
        attempts=attempts,
        next_at=optional_moment(next_us),
        parked=parked,
        leased_until=optional_moment(leased_us),
        delivered_at=optional_moment(done_us),
    )


async def ack(session: Session, rows: Sequence[OutboxRow], now: datetime) -> None:
    """See PaymentStore.ack_many."""
    tenants, row_ids = [row.tenant for row in rows], [row.row_id for row in rows]
    await next_heads(session, await session.all(_DELIVERED, tenants, row_ids, to_micros(now)))


async def take_over(session: Session, row: OutboxRow, now: datetime) -> Sequence[Row]:
    """Mark a row delivered that is still leased by its holder; the subject it belongs to, () if it is not.

    It waits for the row's lock, which is held for the moment of a lease, or while the same row is handed over already.
    To pass over a locked row would take another worker's look for work for the loss of the lease.
    """
    return await session.all(
        _TAKE_OVER, row.tenant, row.row_id, optional_micros(row.leased_until), to_micros(now)
    )


async def next_heads(session: Session, subjects: Sequence[Row]) -> None:
    """Let the subjects' next rows be leased: (kind, tenant, subject) of rows that this transaction marked."""
    distinct = dict.fromkeys(tuple(subject) for subject in subjects)
    if distinct:
        await session.all(_NEXT_HEADS, *([each[place] for each in distinct] for place in range(3)))


async def nack(session: Session, row: OutboxRow, retry_at: datetime | None, why: str) -> None:
    """See PaymentStore.nack."""
    held = (row.tenant, row.row_id, optional_micros(row.leased_until))
    if retry_at is None:
        # The reason is somebody's error text; whatever stands in it, the row must be set aside.
        shown = why.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
        await session.all(_PARK, *held, shown)
    else:
        await session.all(_RETRY, *held, to_micros(retry_at))


async def unpark(session: Session, tenant: str, row_id: str) -> bool:
    """See PaymentStore.unpark."""
    return await session.one(_UNPARK, tenant, row_id) is not None


async def backlog(session: Session, kind: OutboxKind) -> OutboxBacklog:
    """See PaymentStore.backlog."""
    row = await session.one(_BACKLOG, kind.value)
    assert row is not None
    count, parked, oldest_us = row
    return OutboxBacklog(count - parked, parked, optional_moment(oldest_us))


async def of_ids(session: Session, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
    """See PaymentStore.outbox_rows."""
    return tuple(_record(row) for row in await session.all(_OF_IDS, tenant, list(row_ids)))


async def listed(
    session: Session, kind: OutboxKind, tenant: str | None, parked: bool, after: Position | None, limit: int
) -> Page[OutboxRow]:
    """See PaymentStore.list_outbox."""
    statement, values = _LIST, [kind.value, 0 if after is None else after.number, limit + 1]
    if parked:
        statement += " AND parked IS NOT NULL AND delivered_at IS NULL"
    if tenant is not None:
        statement += " AND tenant = $4"
        values.append(tenant)
    rows: Sequence[Any] = await session.all(statement + _LIST_END, *values)
    page = rows[:limit]
    cursor = Position(0, page[-1][12]).cursor() if len(rows) > limit else None
    return Page(tuple(_record(row) for row in page), cursor)

"""The SQL of watching: payments and agreements that are due to be looked at. Each function is one statement's work."""

from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.records import SubjectKind, Watch
from vextrus_payments.stores.columns import (
    OPEN_OPERATIONS,
    OPEN_PAYMENTS,
    from_micros,
    optional_micros,
    optional_moment,
    to_micros,
)
from vextrus_payments.stores.postgres.session import Session

#: kind of subject -> its table, and the column of its id
_TABLES: Final = {
    SubjectKind.PAYMENT: ("payments", "payment_id"),
    SubjectKind.AGREEMENT: ("agreements", "agreement_key"),
}


def _due(kind: SubjectKind) -> str:
    table = _TABLES[kind][0]
    return f"""due_{table} AS MATERIALIZED (
    SELECT watch_at, id, '{kind.value}' AS kind FROM {{schema}}.{table}
    WHERE watch_at <= $1 AND (watched_until IS NULL OR watched_until <= $1)
    ORDER BY watch_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)"""


def _taken(kind: SubjectKind) -> str:
    table, subject = _TABLES[kind]
    return f"""taken_{table} AS (
    UPDATE {{schema}}.{table} AS target SET watched_until = $3, watch_tries = watch_tries + 1 FROM chosen
    WHERE chosen.kind = '{kind.value}' AND target.id = chosen.id
    RETURNING chosen.watch_at, target.id, chosen.kind, target.tenant, target.{subject}, target.version,
        target.watch_tries
)"""


_LEASE: Final = f"""
WITH {_due(SubjectKind.PAYMENT)}, {_due(SubjectKind.AGREEMENT)}, chosen AS MATERIALIZED (
    SELECT * FROM due_payments UNION ALL SELECT * FROM due_agreements ORDER BY watch_at, kind, id LIMIT $2
), {_taken(SubjectKind.PAYMENT)}, {_taken(SubjectKind.AGREEMENT)}
SELECT * FROM taken_payments UNION ALL SELECT * FROM taken_agreements
"""
_AGAIN: Final = {
    kind: f"UPDATE {{schema}}.{table} SET watched_until = NULL,"
    " watch_at = CASE WHEN version = $4 THEN $5::bigint ELSE watch_at END"
    f" WHERE tenant = $1 AND {subject} = $2 AND watched_until = $3 RETURNING version"
    for kind, (table, subject) in _TABLES.items()
}
_NEXT: Final = {
    kind: f"SELECT watch_at FROM {{schema}}.{table} WHERE tenant = $1 AND {subject} = $2"
    for kind, (table, subject) in _TABLES.items()
}
_UNWATCHED: Final = """
    SELECT id FROM {schema}.payments WHERE state = ANY($1::text[]) AND watch_at IS NULL
    UNION SELECT payments.id FROM {schema}.operations JOIN {schema}.payments USING (tenant, payment_id)
    WHERE operations.state = ANY($2::text[]) AND watch_at IS NULL
"""
_SWEEP_PAYMENTS: Final = (
    "UPDATE {schema}.payments SET watch_at = $3, watch_tries = 0 WHERE id IN ("
    f"{_UNWATCHED}) AND watch_at IS NULL RETURNING id"
)
_SWEEP_AGREEMENTS: Final = """
UPDATE {schema}.agreements SET watch_at = $1, watch_tries = 0 WHERE is_open AND watch_at IS NULL RETURNING id
"""


async def lease(session: Session, limit: int, lease_s: int, now: datetime) -> tuple[Watch, ...]:
    """See PaymentStore.lease_watches."""
    until = to_micros(now + timedelta(seconds=lease_s))
    rows = await session.all(_LEASE, to_micros(now), limit, until)
    return tuple(
        Watch(
            tenant=tenant,
            subject_kind=SubjectKind(kind),
            subject_id=subject_id,
            version=version,
            tries=tries,
            due_at=from_micros(due_us),
            leased_until=from_micros(until),
        )
        for due_us, _, kind, tenant, subject_id, version, tries in sorted(
            rows, key=lambda row: (row[0], row[2], row[1])
        )
    )


async def again(session: Session, watch: Watch, at: datetime | None) -> bool:
    """See PaymentStore.watch_again."""
    statement = _AGAIN.get(watch.subject_kind)
    if statement is None:
        return False
    row = await session.one(
        statement,
        watch.tenant,
        watch.subject_id,
        to_micros(watch.leased_until),
        watch.version,
        optional_micros(at),
    )
    return row is not None and bool(row[0] == watch.version)


async def next_look(
    session: Session, tenant: str, subject_kind: SubjectKind, subject_id: str
) -> datetime | None:
    """See PaymentStore.next_watch."""
    statement = _NEXT.get(subject_kind)
    row = None if statement is None else await session.one(statement, tenant, subject_id)
    return None if row is None else optional_moment(row[0])


async def sweep(session: Session, now: datetime) -> int:
    """See PaymentStore.sweep_watches."""
    states = [state.value for state in OPEN_PAYMENTS], [state.value for state in OPEN_OPERATIONS]
    payments = await session.all(_SWEEP_PAYMENTS, *states, to_micros(now))
    agreements = await session.all(_SWEEP_AGREEMENTS, to_micros(now))
    return len(payments) + len(agreements)

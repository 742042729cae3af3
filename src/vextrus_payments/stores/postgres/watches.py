"""The SQL of watching: payments, agreements and payouts that are due to be looked at.

Each function is one statement's work.
"""

from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.records import OperationState, PaymentState, SubjectKind, Watch
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
    SubjectKind.PAYOUT: ("payouts", "payout_id"),
}

_ORDER: Final = {kind.value: place for place, kind in enumerate(_TABLES)}


def _due(kind: SubjectKind) -> str:
    table = _TABLES[kind][0]
    return f"""due_{table} AS MATERIALIZED (
    SELECT watch_at, id, '{kind.value}' AS kind, {_ORDER[kind.value]} AS place FROM {{schema}}.{table}
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
WITH {", ".join(_due(kind) for kind in _TABLES)}, chosen AS MATERIALIZED (
    SELECT * FROM due_payments UNION ALL SELECT * FROM due_agreements UNION ALL SELECT * FROM due_payouts
    ORDER BY watch_at, place, id LIMIT $2
), {", ".join(_taken(kind) for kind in _TABLES)}
SELECT * FROM taken_payments UNION ALL SELECT * FROM taken_agreements UNION ALL SELECT * FROM taken_payouts
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


def _in(states: tuple[PaymentState, ...] | tuple[OperationState, ...]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)


# The states stand in the text: only so can it be seen that the index of what is open and unwatched serves. Of an
# operation its one payment is looked up; joined freely, the whole table would be read.
_UNWATCHED: Final = (
    (
        SubjectKind.PAYMENT,
        f"SELECT id FROM {{schema}}.payments WHERE state IN ({_in(OPEN_PAYMENTS)}) AND watch_at IS NULL LIMIT $1",
    ),
    (
        SubjectKind.PAYMENT,
        (
            "SELECT DISTINCT found.id FROM {schema}.operations CROSS JOIN LATERAL (SELECT id FROM {schema}.payments"
            " WHERE payments.tenant = operations.tenant AND payments.payment_id = operations.payment_id"
            " AND watch_at IS NULL LIMIT 1) AS found"
            f" WHERE operations.state IN ({_in(OPEN_OPERATIONS)}) LIMIT $1"
        ),
    ),
    (SubjectKind.AGREEMENT, "SELECT id FROM {schema}.agreements WHERE is_open AND watch_at IS NULL LIMIT $1"),
    (SubjectKind.PAYOUT, "SELECT id FROM {schema}.payouts WHERE is_out AND watch_at IS NULL LIMIT $1"),
)
_ARM: Final = {
    kind: f"UPDATE {{schema}}.{table} SET watch_at = $1, watch_tries = 0"
    " WHERE id = ANY($2::bigint[]) AND watch_at IS NULL RETURNING id"
    for kind, (table, _) in _TABLES.items()
}
#: How many are armed in one transaction.
SWEEP: Final = 1_000


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
            rows, key=lambda row: (row[0], _ORDER[row[2]], row[1])
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


async def arm(session: Session, now: datetime) -> int:
    """Arm some of what is open and has no watch; how many. At most SWEEP of each sort."""
    armed = 0
    for kind, statement in _UNWATCHED:
        ids = sorted(row[0] for row in await session.all(statement, SWEEP))
        if ids:  # nearly always there are none
            armed += len(await session.all(_ARM[kind], to_micros(now), ids))
    return armed

"""The SQL of watching: payments, agreements and payouts that are due to be looked at.

Each function is the inside of one transaction.
"""

import sqlite3
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.records import SubjectKind, Watch
from vextrus_payments.stores.columns import (
    OPEN_OPERATIONS,
    OPEN_PAYMENTS,
    from_micros,
    optional_micros,
    optional_moment,
    to_micros,
)

#: kind of subject -> its table, and the column of its id
_TABLES: Final = {
    SubjectKind.PAYMENT: ("payments", "payment_id"),
    SubjectKind.AGREEMENT: ("agreements", "agreement_key"),
    SubjectKind.PAYOUT: ("payouts", "payout_id"),
}
_DUE: Final = {
    kind: f"SELECT watch_at, id, tenant, {subject}, version, watch_tries FROM {table}"  # noqa: S608
    " WHERE watch_at <= ? AND (watched_until IS NULL OR watched_until <= ?) ORDER BY watch_at, id LIMIT ?"
    for kind, (table, subject) in _TABLES.items()
}
_LEASE: Final = {
    kind: f"UPDATE {table} SET watched_until = ?, watch_tries = watch_tries + 1 WHERE id = ?"  # noqa: S608
    for kind, (table, _) in _TABLES.items()
}
_HELD: Final = {
    kind: f"SELECT id, version FROM {table} WHERE tenant = ? AND {subject} = ? AND watched_until = ?"  # noqa: S608
    for kind, (table, subject) in _TABLES.items()
}
_AGAIN: Final = {
    kind: f"UPDATE {table} SET watched_until = NULL, watch_at = ? WHERE id = ?"  # noqa: S608
    for kind, (table, _) in _TABLES.items()
}
_NEXT: Final = {
    kind: f"SELECT watch_at FROM {table} WHERE tenant = ? AND {subject} = ?"  # noqa: S608
    for kind, (table, subject) in _TABLES.items()
}
_LET_GO: Final = {
    kind: f"UPDATE {table} SET watched_until = NULL WHERE id = ?"  # noqa: S608
    for kind, (table, _) in _TABLES.items()
}
_ARM: Final = {
    kind: f"UPDATE {table} SET watch_at = ?, watch_tries = 0 WHERE id = ? AND watch_at IS NULL"  # noqa: S608
    for kind, (table, _) in _TABLES.items()
}


# One state at a time and along its index: of four states at once SQLite believes that most rows have them.
_UNWATCHED: Final = (
    *(
        (
            SubjectKind.PAYMENT,
            "SELECT id FROM payments INDEXED BY payments_by_state WHERE state = ? AND watch_at IS NULL LIMIT ?",
            state.value,
        )
        for state in OPEN_PAYMENTS
    ),
    *(
        (
            SubjectKind.PAYMENT,
            (
                "SELECT payments.id FROM operations INDEXED BY operations_by_state"
                " CROSS JOIN payments USING (tenant, payment_id)"
                " WHERE operations.state = ? AND watch_at IS NULL LIMIT ?"
            ),
            state.value,
        )
        for state in OPEN_OPERATIONS
    ),
    (SubjectKind.AGREEMENT, "SELECT id FROM agreements WHERE is_open = ? AND watch_at IS NULL LIMIT ?", 1),
    (SubjectKind.PAYOUT, "SELECT id FROM payouts WHERE is_out = ? AND watch_at IS NULL LIMIT ?", 1),
)


def any_due(connection: sqlite3.Connection, now: datetime) -> bool:
    """Whether there is something to lease. A look without the write lock, which most polls need not take."""
    now_us = to_micros(now)
    return any(
        connection.execute(statement, (now_us, now_us, 1)).fetchone() is not None
        for statement in _DUE.values()
    )


def lease(connection: sqlite3.Connection, limit: int, lease_s: int, now: datetime) -> tuple[Watch, ...]:
    """See PaymentStore.lease_watches."""
    now_us, until = to_micros(now), now + timedelta(seconds=lease_s)
    due: list[tuple[int, int, SubjectKind, Any]] = []
    for order, (kind, statement) in enumerate(_DUE.items()):
        rows = connection.execute(statement, (now_us, now_us, limit)).fetchall()
        due += ((row[0], order, kind, row) for row in rows)
    due.sort(key=lambda each: each[:2])  # stable: within a table the rows are in order already
    taken = due[:limit]
    until_us = to_micros(until)
    for _, _, kind, row in taken:
        connection.execute(_LEASE[kind], (until_us, row[1]))
    return tuple(
        Watch(
            tenant=tenant,
            subject_kind=kind,
            subject_id=subject_id,
            version=version,
            tries=tries + 1,
            due_at=from_micros(due_us),
            leased_until=from_micros(until_us),
        )
        for _, _, kind, (due_us, _, tenant, subject_id, version, tries) in taken
    )


def again(connection: sqlite3.Connection, watch: Watch, at: datetime | None) -> bool:
    """See PaymentStore.watch_again."""
    kind = watch.subject_kind
    if kind not in _TABLES:
        return False
    held = connection.execute(
        _HELD[kind], (watch.tenant, watch.subject_id, to_micros(watch.leased_until))
    ).fetchone()
    if held is None:
        return False
    number, version = held
    if version != watch.version:
        connection.execute(_LET_GO[kind], (number,))
        return False
    connection.execute(_AGAIN[kind], (optional_micros(at), number))
    return True


def next_look(
    connection: sqlite3.Connection, tenant: str, kind: SubjectKind, subject_id: str
) -> datetime | None:
    """See PaymentStore.next_watch."""
    if kind not in _TABLES:
        return None
    found = connection.execute(_NEXT[kind], (tenant, subject_id)).fetchone()
    return None if found is None else optional_moment(found[0])


def unwatched(connection: sqlite3.Connection, limit: int) -> list[tuple[SubjectKind, int]]:
    """Some of what is open and has no watch. A look without the write lock: nearly always there is none."""
    found: dict[tuple[SubjectKind, int], None] = {}
    for kind, statement, value in _UNWATCHED:
        for (number,) in connection.execute(statement, (value, limit)).fetchall():
            found[kind, number] = None
    return list(found)[:limit]


def arm(connection: sqlite3.Connection, limit: int, now: datetime) -> int:
    """Arm some of what is open and has no watch; how many."""
    now_us = to_micros(now)
    return sum(
        connection.execute(_ARM[kind], (now_us, number)).rowcount
        for kind, number in unwatched(connection, limit)
    )

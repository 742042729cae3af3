"""The SQL of payouts and transfers. Each function is the inside of one transaction."""

import sqlite3
from typing import Final

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.paging import Page
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.records import Operation, Payout
from vextrus_payments.stores.columns import Position, is_out, is_settled, optional_micros, to_micros

_GET: Final = "SELECT document FROM payouts WHERE tenant = ? AND payout_id = ?"
_VERSION: Final = "SELECT version FROM payouts WHERE tenant = ? AND payout_id = ?"
_OF_OPERATION: Final = "SELECT document FROM payouts WHERE tenant = ? AND operation_id = ?"
_PUT: Final = (
    "INSERT INTO payouts (tenant, payout_id, operation_id, is_out, is_settled, version, created_at, watch_at, document)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, payout_id) DO UPDATE SET is_out = excluded.is_out, is_settled = excluded.is_settled,"
    " version = excluded.version, watch_at = excluded.watch_at, watch_tries = 0, document = excluded.document"
)


def get(connection: sqlite3.Connection, tenant: str, payout_id: str) -> Payout | None:
    """See PaymentStore.get_payout."""
    row = connection.execute(_GET, (tenant, payout_id)).fetchone()
    return None if row is None else from_json(Payout, row[0])


def find(connection: sqlite3.Connection, tenant: str, operation_id: str) -> Payout | None:
    """See PaymentStore.find_payout."""
    row = connection.execute(_OF_OPERATION, (tenant, operation_id)).fetchone()
    return None if row is None else from_json(Payout, row[0])


def version(connection: sqlite3.Connection, tenant: str, payout_id: str) -> int:
    """The payout's version; 0 when there is none."""
    row = connection.execute(_VERSION, (tenant, payout_id)).fetchone()
    return 0 if row is None else int(row[0])


def operation(connection: sqlite3.Connection, tenant: str, operation_id: str) -> Operation | None:
    """The operation of this id that is a payout's."""
    found = find(connection, tenant, operation_id)
    return None if found is None else found.operation


def put(connection: sqlite3.Connection, plan: PayoutPlan) -> None:
    """Upsert the payout."""
    payout = plan.payout
    connection.execute(
        _PUT,
        (
            payout.tenant,
            payout.payout_id,
            payout.operation_id,
            int(is_out(payout)),
            int(is_settled(payout)),
            payout.version,
            to_micros(payout.created_at),
            optional_micros(plan.watch_at),
            to_json(payout),
        ),
    )


def listed(
    connection: sqlite3.Connection, tenant: str | None, unsettled: bool, after: Position | None, limit: int
) -> Page[Payout]:
    """See PaymentStore.list_payouts."""
    conditions, values = ["1"], list[object]()
    if unsettled:
        conditions.append("is_settled = 0")
    if tenant is not None:
        conditions.append("tenant = ?")
        values.append(tenant)
    if after is not None:
        conditions.append("(created_at, id) > (?, ?)")
        values += after
    rows = connection.execute(
        f"SELECT created_at, id, document FROM payouts WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY created_at, id LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    page = rows[:limit]
    cursor = Position(page[-1][0], page[-1][1]).cursor() if len(rows) > limit else None
    return Page(tuple(from_json(Payout, document) for _, _, document in page), cursor)

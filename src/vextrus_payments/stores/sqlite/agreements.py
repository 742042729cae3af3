"""The SQL of agreements. Each function is the inside of one transaction."""

import sqlite3
from typing import Final

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.paging import Page
from vextrus_payments.plans import AgreementPlan
from vextrus_payments.records import Agreement, Operation
from vextrus_payments.stores.columns import (
    FIND_LIMIT,
    FindKey,
    Position,
    is_open,
    optional_micros,
    to_micros,
)

_GET: Final = "SELECT document FROM agreements WHERE tenant = ? AND agreement_key = ?"
_VERSION: Final = "SELECT version FROM agreements WHERE tenant = ? AND agreement_key = ?"
_OF_OPERATION: Final = (
    "SELECT document FROM agreement_operations JOIN agreements USING (tenant, agreement_key)"
    " WHERE tenant = ? AND operation_id = ?"
)
_PUT: Final = (
    "INSERT INTO agreements (tenant, agreement_key, is_open, version, created_at, gateway_reference, agreement_id,"
    " watch_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, agreement_key) DO UPDATE SET is_open = excluded.is_open, version = excluded.version,"
    " gateway_reference = excluded.gateway_reference, agreement_id = excluded.agreement_id,"
    " watch_at = excluded.watch_at, watch_tries = 0, document = excluded.document"
)
_PUT_OPERATION: Final = (
    "INSERT INTO agreement_operations (tenant, operation_id, agreement_key) VALUES (?, ?, ?)"
    " ON CONFLICT (tenant, operation_id) DO NOTHING"
)
#: name of the key -> the statement
_FIND: Final = {
    "operation_id": f"{_OF_OPERATION} ORDER BY created_at, id LIMIT ?",
    "gateway_reference": (
        "SELECT document FROM agreements WHERE tenant = ? AND gateway_reference = ?"
        " ORDER BY created_at, id LIMIT ?"
    ),
    "agreement_id": (
        "SELECT document FROM agreements WHERE tenant = ? AND agreement_id = ? ORDER BY created_at, id LIMIT ?"
    ),
}


def get(connection: sqlite3.Connection, tenant: str, agreement_key: str) -> Agreement | None:
    """See PaymentStore.get_agreement."""
    row = connection.execute(_GET, (tenant, agreement_key)).fetchone()
    return None if row is None else from_json(Agreement, row[0])


def version(connection: sqlite3.Connection, tenant: str, agreement_key: str) -> int:
    """The agreement's version; 0 when there is none."""
    row = connection.execute(_VERSION, (tenant, agreement_key)).fetchone()
    return 0 if row is None else int(row[0])


def operation(connection: sqlite3.Connection, tenant: str, operation_id: str) -> Operation | None:
    """The operation of this id that stands among an agreement's."""
    row = connection.execute(_OF_OPERATION, (tenant, operation_id)).fetchone()
    return None if row is None else from_json(Agreement, row[0]).operation(operation_id)


def put(connection: sqlite3.Connection, plan: AgreementPlan) -> None:
    """Upsert the agreement, and say of its operations' ids whose they are."""
    agreement = plan.agreement
    tenant, key = agreement.tenant, agreement.agreement_key
    connection.execute(
        _PUT,
        (
            tenant,
            key,
            int(is_open(agreement)),
            agreement.version,
            to_micros(agreement.created_at),
            agreement.gateway_reference,
            agreement.agreement_id,
            optional_micros(plan.watch_at),
            to_json(agreement),
        ),
    )
    connection.executemany(_PUT_OPERATION, [(tenant, o.operation_id, key) for o in agreement.operations])


def find(connection: sqlite3.Connection, tenant: str, key: FindKey) -> tuple[Agreement, ...]:
    """See PaymentStore.find_agreements."""
    rows = connection.execute(_FIND[key.name], (tenant, key.value, FIND_LIMIT))
    return tuple(from_json(Agreement, document) for (document,) in rows.fetchall())


def listed(
    connection: sqlite3.Connection, tenant: str | None, after: Position | None, limit: int
) -> Page[Agreement]:
    """See PaymentStore.list_agreements."""
    conditions, values = ["1"], list[object]()
    if tenant is not None:
        conditions.append("tenant = ?")
        values.append(tenant)
    if after is not None:
        conditions.append("(created_at, id) > (?, ?)")
        values += after
    rows = connection.execute(
        f"SELECT created_at, id, document FROM agreements WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY created_at, id LIMIT ?",
        (*values, limit + 1),
    ).fetchall()
    page = rows[:limit]
    cursor = Position(page[-1][0], page[-1][1]).cursor() if len(rows) > limit else None
    return Page(tuple(from_json(Agreement, document) for _, _, document in page), cursor)

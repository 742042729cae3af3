"""The SQL of find and of the listings. Every page is read along an index, from where the last one ended."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from vextrus_payments.documents import from_json
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.records import Attempt, Operation, OperationState, Payment, PaymentState
from vextrus_payments.store import Page
from vextrus_payments.stores.columns import FIND_LIMIT, FindKey, Position, check_limit, to_micros

RowT = TypeVar("RowT", Payment, Operation)

_BY_REFERENCE: Final = "SELECT payment_id FROM payments WHERE tenant = ? AND merchant_reference = ?"
_BY_ORDER_ID: Final = "SELECT payment_id FROM submissions WHERE tenant = ? AND gateway_order_id = ?"
_BY_GATEWAY_REFERENCE: Final = "SELECT payment_id FROM submissions WHERE tenant = ? AND gateway_reference = ?"
_BY_TRANSACTION_ID: Final = (
    "SELECT payment_id FROM receipts WHERE tenant = ? AND transaction_id = ?"
    " UNION SELECT payment_id FROM submissions WHERE tenant = ? AND held_transaction_id = ?"
)
_NARROWED: Final = (
    " AND (? IS NULL OR gateway = ?) AND (? IS NULL OR mode = ?) ORDER BY created_at, id LIMIT ?"
)


def _among(payment_ids: str) -> str:
    return f"SELECT payment_id FROM payments WHERE tenant = ? AND payment_id IN ({payment_ids}){_NARROWED}"  # noqa: S608


#: name of the key -> the statement, and how often it takes tenant and value
_FIND: Final = {
    "merchant_reference": (_BY_REFERENCE + _NARROWED, 1),
    "gateway_order_id": (_among(_BY_ORDER_ID), 1),
    "gateway_reference": (_among(_BY_GATEWAY_REFERENCE), 1),
    "transaction_id": (_among(_BY_TRANSACTION_ID), 2),
}


def find(
    connection: sqlite3.Connection, tenant: str, key: FindKey, gateway: str | None, mode: Mode | None
) -> tuple[str, ...]:
    """The ids of the payments that the key finds, oldest first."""
    statement, times = _FIND[key.name]
    values = (tenant, key.value) * times
    if key.name != "merchant_reference":
        values = (tenant, *values)
    mode_value = None if mode is None else mode.value
    rows = connection.execute(statement, (*values, gateway, gateway, mode_value, mode_value, FIND_LIMIT))
    return tuple(payment_id for (payment_id,) in rows.fetchall())


def payments(
    connection: sqlite3.Connection,
    tenant: str | None,
    state: PaymentState | None,
    since: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[Payment]:
    """See PaymentStore.list."""
    wheres, values = ["1"], list[Any]()
    for condition, value in (
        ("tenant = ?", tenant),
        ("state = ?", None if state is None else state.value),
        ("created_at >= ?", None if since is None else to_micros(since)),
    ):
        if value is not None:
            wheres.append(condition)
            values.append(value)
    after = Position.of(cursor)
    if after is not None:
        wheres.append("(created_at, id) > (?, ?)")
        values += after
    rows = connection.execute(
        f"SELECT created_at, id, document FROM payments WHERE {' AND '.join(wheres)}"  # noqa: S608 - constants
        " ORDER BY created_at, id LIMIT ?",
        (*values, check_limit(limit) + 1),
    )
    return _page(Payment, rows.fetchall(), limit)


def operations(
    connection: sqlite3.Connection,
    tenant: str | None,
    states: Sequence[OperationState],
    updated_before: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[Operation]:
    """See PaymentStore.list_operations."""
    check_limit(limit)
    after = Position.of(cursor)
    wheres, shared = ["state = ?"], list[Any]()
    if tenant is not None:
        wheres.append("tenant = ?")
        shared.append(tenant)
    if updated_before is not None:
        wheres.append("updated_at < ?")
        shared.append(to_micros(updated_before))
    if after is not None:
        wheres.append("(updated_at, id) > (?, ?)")
        shared += after
    # One state at a time, each along its index and no further than a page: `state IN (...)` would sort them all.
    one = (
        f"SELECT updated_at, id, document FROM operations WHERE {' AND '.join(wheres)}"  # noqa: S608 - constants
        " ORDER BY updated_at, id LIMIT ?"
    )
    wanted = [state for state in OperationState if state in states]
    rows = [
        row
        for state in wanted
        for row in connection.execute(one, (state.value, *shared, limit + 1)).fetchall()
    ]
    return _page(Operation, sorted(rows, key=lambda row: (row[0], row[1])), limit)


def _page(cls: type[RowT], rows: list[tuple[int, int, str]], limit: int) -> Page[RowT]:
    page = rows[:limit]
    cursor = Position(page[-1][0], page[-1][1]).cursor() if len(rows) > limit else None
    return Page(tuple(from_json(cls, document) for _, _, document in page), cursor)


def events(connection: sqlite3.Connection, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
    """See PaymentStore.events."""
    rows = connection.execute(
        "SELECT document FROM events WHERE tenant = ? AND payment_id = ? ORDER BY id", (tenant, payment_id)
    )
    return tuple(from_json(PaymentEvent, document) for (document,) in rows.fetchall())


def attempts(connection: sqlite3.Connection, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
    """See PaymentStore.attempts."""
    rows = connection.execute(
        "SELECT document FROM attempts WHERE tenant = ? AND payment_id = ? ORDER BY id", (tenant, payment_id)
    )
    return tuple(from_json(Attempt, document) for (document,) in rows.fetchall())

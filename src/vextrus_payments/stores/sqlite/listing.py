"""The SQL of find and of the listings. Every page is read along an index, from where the last one ended."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from vextrus_payments.documents import from_json
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import Attempt, Operation, OperationState, Payment, PaymentState
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
    where = _Where()
    where.given("tenant = ?", tenant)
    where.given("created_at >= ?", None if since is None else to_micros(since))
    where.after("created_at", cursor)
    # Without a tenant there is an index per state only; with one, its own serves unless a state was asked for.
    wanted = [state] if state is not None else list(PaymentState) if tenant is None else [None]
    rows = where.pages(connection, "payments", "created_at", wanted, check_limit(limit))
    return _page(Payment, rows, limit)


def operations(
    connection: sqlite3.Connection,
    tenant: str | None,
    states: Sequence[OperationState],
    updated_before: datetime | None,
    cursor: str | None,
    limit: int,
) -> Page[Operation]:
    """See PaymentStore.list_operations."""
    where = _Where()
    where.given("tenant = ?", tenant)
    where.given("updated_at < ?", None if updated_before is None else to_micros(updated_before))
    where.after("updated_at", cursor)
    wanted = [state for state in OperationState if state in states]
    rows = where.pages(connection, "operations", "updated_at", wanted, check_limit(limit))
    return _page(Operation, rows, limit)


class _Where:
    """Conditions with their values."""

    def __init__(self) -> None:
        self._conditions = ["1"]
        self._values: list[Any] = []

    def given(self, condition: str, value: Any) -> None:
        """Add the condition, where there is a value for it."""
        if value is not None:
            self._conditions.append(condition)
            self._values.append(value)

    def after(self, time_column: str, cursor: str | None) -> None:
        """Go on from where the last page ended."""
        position = Position.of(cursor)
        if position is not None:
            self._conditions.append(f"({time_column}, id) > (?, ?)")
            self._values += position

    def pages(
        self,
        connection: sqlite3.Connection,
        table: str,
        time_column: str,
        states: Sequence[PaymentState | OperationState | None],
        limit: int,
    ) -> list[tuple[int, int, str]]:
        """Enough rows for a page, in order, and one more if there is one.

        One state at a time, each along its index and no further than a page: `state IN (...)` would sort them all.
        """
        rows: list[tuple[int, int, str]] = []
        for state in states:
            conditions, values = list(self._conditions), list(self._values)
            if state is not None:
                conditions.append("state = ?")
                values.append(state.value)
            statement = (
                f"SELECT {time_column}, id, document FROM {table} WHERE {' AND '.join(conditions)}"  # noqa: S608
                f" ORDER BY {time_column}, id LIMIT ?"
            )
            rows += connection.execute(statement, (*values, limit + 1)).fetchall()
        return sorted(rows, key=lambda row: (row[0], row[1]))


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

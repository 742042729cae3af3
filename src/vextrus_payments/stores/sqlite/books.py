"""The SQL of receipts as a whole, of settlements, and of marks. Each function is the inside of one transaction."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.mode import Mode
from vextrus_payments.records import Receipt, ReceiptKey, Settlement
from vextrus_payments.stores.columns import Position, optional_micros

_RECEIPTS: Final = (
    "SELECT document FROM receipts WHERE tenant = ? AND transaction_id = ? AND gateway = ? AND mode = ?"
)
_KEY: Final = "tenant = ? AND transaction_id = ? AND gateway = ? AND mode = ? AND kind = ?"
_VERSION: Final = f"SELECT (SELECT version FROM settlements WHERE {_KEY}) FROM receipts WHERE {_KEY}"  # noqa: S608
_SETTLEMENT: Final = f"SELECT document FROM settlements WHERE {_KEY}"  # noqa: S608
_PUT_SETTLEMENT: Final = (
    "INSERT INTO settlements (tenant, transaction_id, gateway, mode, kind, version, document)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, transaction_id, gateway, mode, kind)"
    " DO UPDATE SET version = excluded.version, document = excluded.document"
)
_IS_SETTLED: Final = (
    "EXISTS (SELECT 1 FROM settlements WHERE settlements.tenant = receipts.tenant"
    " AND settlements.transaction_id = receipts.transaction_id AND settlements.gateway = receipts.gateway"
    " AND settlements.mode = receipts.mode AND settlements.kind = receipts.kind)"
)
_MARK: Final = "mark/"


def _values(key: ReceiptKey) -> tuple[str, ...]:
    return (key.tenant, key.transaction_id, key.gateway, key.mode.value, key.label)


def receipts(
    connection: sqlite3.Connection, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
) -> tuple[Receipt, ...]:
    """See PaymentStore.receipts."""
    documents: list[str] = []
    for transaction_id in dict.fromkeys(transaction_ids):
        rows = connection.execute(_RECEIPTS, (tenant, transaction_id, gateway, mode.value))
        documents += (document for (document,) in rows.fetchall())
    return tuple(from_json(Receipt, document) for document in documents)


class Stretch(NamedTuple):
    """A piece of a listing: what of it was wanted, and where it ended (None: there is nothing after it)."""

    rows: tuple[tuple[Position, str], ...]
    end: Position | None


def receipts_by_time(
    connection: sqlite3.Connection,
    account: tuple[str, str, Mode],
    since: datetime | None,
    until: datetime | None,
    unsettled: bool,
    after: Position | None,
    length: int,
) -> Stretch:
    """The next `length` receipts of a (tenant, gateway, mode), and which of them are wanted.

    A stretch and not a page: where everything is settled, the page that holds the next receipt that is not may be a
    year long, and nobody else could use the store meanwhile.
    """
    tenant, gateway, mode = account
    conditions: list[str] = ["tenant = ? AND gateway = ? AND mode = ?"]
    values: list[Any] = [tenant, gateway, mode.value]
    for condition, value in (
        ("recorded_at >= ?", optional_micros(since)),
        ("recorded_at < ?", optional_micros(until)),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if after is not None:
        conditions.append("(recorded_at, id) > (?, ?)")
        values += after
    wanted = f"NOT {_IS_SETTLED}" if unsettled else "1"
    rows: list[tuple[Any, ...]] = connection.execute(
        f"SELECT recorded_at, id, document, {wanted} FROM receipts WHERE {' AND '.join(conditions)}"  # noqa: S608
        " ORDER BY recorded_at, id LIMIT ?",
        (*values, length),
    ).fetchall()
    found = tuple((Position(at, number), document) for at, number, document, is_wanted in rows if is_wanted)
    return Stretch(found, Position(rows[-1][0], rows[-1][1]) if len(rows) == length else None)


def settlements(connection: sqlite3.Connection, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
    """See PaymentStore.settlements."""
    found = (connection.execute(_SETTLEMENT, _values(key)).fetchone() for key in dict.fromkeys(keys))
    return tuple(from_json(Settlement, row[0]) for row in found if row is not None)


def settlement_versions(
    connection: sqlite3.Connection, keys: Sequence[ReceiptKey]
) -> Mapping[ReceiptKey, int]:
    """The versions of these receipts' settlements: 0 for a receipt without one, nothing for one not here."""
    found = {}
    for key in keys:
        row = connection.execute(_VERSION, _values(key) * 2).fetchone()
        if row is not None:
            found[key] = row[0] or 0
    return found


def put_settlement(connection: sqlite3.Connection, settlement: Settlement) -> None:
    """Upsert a settlement."""
    connection.execute(_PUT_SETTLEMENT, (*_values(settlement.key), settlement.version, to_json(settlement)))


# --- marks --------------------------------------------------------------------------------------------------------


def get_mark(connection: sqlite3.Connection, name: str) -> str | None:
    """See PaymentStore.get_mark."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_MARK + name,)).fetchone()
    return None if row is None else str(row[0])


def put_mark(connection: sqlite3.Connection, name: str, value: str, expected: str | None) -> bool:
    """See PaymentStore.put_mark."""
    if get_mark(connection, name) != expected:
        return False
    connection.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (_MARK + name, value),
    )
    return True

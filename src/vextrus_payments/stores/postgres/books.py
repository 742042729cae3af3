"""The SQL of receipts as a whole, of settlements, and of marks."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from vextrus_payments.documents import from_json
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import Receipt, ReceiptKey, Settlement
from vextrus_payments.stores.columns import Position, optional_micros
from vextrus_payments.stores.postgres.session import Session
from vextrus_payments.stores.postgres.writing import key_columns

_RECEIPTS: Final = (
    "SELECT document FROM {schema}.receipts WHERE tenant = $1 AND transaction_id = ANY($4::text[])"
    " AND gateway = $2 AND mode = $3"
)
_STRETCH: Final = 1_000
"""How many receipts one statement looks through: where everything is settled, the page with the next one that is not
may be a year long."""
_BY_TIME: Final = """
    SELECT * FROM {schema}.receipts
    WHERE tenant = $1 AND gateway = $2 AND mode = $3 AND recorded_at >= $4 AND recorded_at < $5
    AND (recorded_at, id) > ($6, $7) ORDER BY recorded_at, id LIMIT $8
"""
_ALL: Final = f"SELECT recorded_at, id, document, true FROM ({_BY_TIME}) AS stretch ORDER BY recorded_at, id"
# LATERAL and LIMIT: each receipt's settlement is looked up; a plain NOT EXISTS may read them all into memory first.
_UNSETTLED: Final = f"""
SELECT recorded_at, stretch.id, stretch.document, settled.yes IS NULL FROM ({_BY_TIME}) AS stretch
LEFT JOIN LATERAL (
    SELECT 1 AS yes FROM {{schema}}.settlements WHERE settlements.tenant = stretch.tenant
    AND settlements.transaction_id = stretch.transaction_id AND settlements.gateway = stretch.gateway
    AND settlements.mode = stretch.mode AND settlements.kind = stretch.kind LIMIT 1
) AS settled ON true ORDER BY recorded_at, stretch.id
"""
_SETTLEMENTS: Final = """
SELECT document FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS wanted (tenant, transaction_id, gateway, mode, kind)
JOIN {schema}.settlements USING (tenant, transaction_id, gateway, mode, kind)
"""
_FIRST, _LAST = -(2**63), 2**63 - 1

_GET_MARK: Final = "SELECT value FROM {schema}.meta WHERE key = $1"
_FIRST_MARK: Final = (
    "INSERT INTO {schema}.meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING RETURNING key"
)
_NEXT_MARK: Final = "UPDATE {schema}.meta SET value = $2 WHERE key = $1 AND value = $3 RETURNING key"


async def receipts(
    session: Session, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
) -> tuple[Receipt, ...]:
    """See PaymentStore.receipts."""
    rows = await session.all(_RECEIPTS, tenant, gateway, mode.value, list(transaction_ids))
    return tuple(from_json(Receipt, row[0]) for row in rows)


async def receipts_by_time(
    session: Session,
    account: tuple[str, str, Mode],
    since: datetime | None,
    until: datetime | None,
    unsettled: bool,
    after: Position | None,
    limit: int,
) -> Page[Receipt]:
    """See PaymentStore.list_receipts."""
    tenant, gateway, mode = account
    since_us, until_us = optional_micros(since), optional_micros(until)
    bounds = (_FIRST if since_us is None else since_us, _LAST if until_us is None else until_us)
    place = Position(_FIRST, 0) if after is None else after
    statement, stretch = (_UNSETTLED, _STRETCH) if unsettled else (_ALL, limit + 1)
    found: list[tuple[Position, str]] = []
    while len(found) <= limit:
        rows = await session.all(statement, tenant, gateway, mode.value, *bounds, *place, stretch)
        found += ((Position(at, number), document) for at, number, document, wanted in rows if wanted)
        if len(rows) < stretch:
            break
        place = Position(rows[-1][0], rows[-1][1])
    page = found[:limit]
    cursor = page[-1][0].cursor() if len(found) > limit else None
    return Page(tuple(from_json(Receipt, document) for _, document in page), cursor)


async def settlements(session: Session, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
    """See PaymentStore.settlements."""
    rows = await session.all(_SETTLEMENTS, *key_columns(dict.fromkeys(keys)))
    return tuple(from_json(Settlement, row[0]) for row in rows)


async def get_mark(session: Session, name: str) -> str | None:
    """See PaymentStore.get_mark."""
    row = await session.one(_GET_MARK, f"mark/{name}")
    return None if row is None else str(row[0])


async def put_mark(session: Session, name: str, value: str, expected: str | None) -> bool:
    """See PaymentStore.put_mark."""
    key = f"mark/{name}"
    if expected is None:
        return await session.one(_FIRST_MARK, key, value) is not None
    return await session.one(_NEXT_MARK, key, value, expected) is not None

"""The SQL of find and of the listings. Every page is read along an index, from where the last one ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypeVar

from vextrus_payments.documents import from_json
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import (
    Agreement,
    Attempt,
    Operation,
    OperationState,
    Payment,
    PaymentState,
    Payout,
)
from vextrus_payments.stores.columns import FIND_LIMIT, FindKey, Position, optional_micros
from vextrus_payments.stores.postgres.driver import Row
from vextrus_payments.stores.postgres.session import Session

RowT = TypeVar("RowT", Payment, Operation, Payout, Agreement)

_NARROWED: Final = """
    AND ($3::text IS NULL OR gateway = $3) AND ($4::text IS NULL OR mode = $4) ORDER BY created_at, id LIMIT $5
"""


def _among(*payment_ids: str) -> str:
    return (
        "SELECT payment_id FROM {schema}.payments WHERE tenant = $1 AND payment_id IN ("
        + " UNION ".join(payment_ids)
        + ")"
        + _NARROWED
    )


#: name of the key -> the statement
_FIND: Final = {
    "merchant_reference": "SELECT payment_id FROM {schema}.payments WHERE tenant = $1 AND merchant_reference = $2"
    + _NARROWED,
    "gateway_order_id": _among(
        "SELECT payment_id FROM {schema}.submissions WHERE tenant = $1 AND gateway_order_id = $2"
    ),
    "gateway_reference": _among(
        "SELECT payment_id FROM {schema}.submissions WHERE tenant = $1 AND gateway_reference = $2"
    ),
    "transaction_id": _among(
        "SELECT payment_id FROM {schema}.receipts WHERE tenant = $1 AND transaction_id = $2",
        "SELECT payment_id FROM {schema}.submissions WHERE tenant = $1 AND held_transaction_id = $2",
    ),
}
# One state at a time, each along its index and no further than a page: `state = ANY(...)` alone would sort them all.
# Without a lower bound the page begins before all rows; times before 1970 are negative, none is that far back.
_PAYMENTS: Final = """
SELECT page.* FROM unnest($1::text[]) AS wanted (state) CROSS JOIN LATERAL (
    SELECT created_at, id, document FROM {schema}.payments
    WHERE payments.state = wanted.state AND created_at >= $2 AND (created_at, id) > ($3, $4){tenant}
    ORDER BY created_at, id LIMIT $5
) AS page ORDER BY created_at, id LIMIT $5
"""
_OPERATIONS: Final = """
SELECT page.* FROM unnest($1::text[]) AS wanted (state) CROSS JOIN LATERAL (
    SELECT updated_at, id, document FROM {schema}.operations
    WHERE operations.state = wanted.state AND updated_at < $2 AND (updated_at, id) > ($3, $4){tenant}
    ORDER BY updated_at, id LIMIT $5
) AS page ORDER BY updated_at, id LIMIT $5
"""
_AGREEMENTS: Final = (
    "SELECT created_at, id, document FROM {schema}.agreements WHERE (created_at, id) > ($1, $2){tenant}"
    " ORDER BY created_at, id LIMIT $3"
)
#: whether only what is not settled -> the statement
_PAYOUTS: Final = {
    False: "SELECT created_at, id, document FROM {schema}.payouts WHERE (created_at, id) > ($1, $2){tenant}"
    " ORDER BY created_at, id LIMIT $3",
    True: "SELECT created_at, id, document FROM {schema}.payouts WHERE NOT is_settled"
    " AND (created_at, id) > ($1, $2){tenant} ORDER BY created_at, id LIMIT $3",
}
_PAYOUT: Final = "SELECT document FROM {schema}.payouts WHERE tenant = $1 AND payout_id = $2"
_FIND_PAYOUT: Final = "SELECT document FROM {schema}.payouts WHERE tenant = $1 AND operation_id = $2"
_FIRST, _LAST = -(2**63), 2**63 - 1

_EVENTS: Final = "SELECT document FROM {schema}.events WHERE tenant = $1 AND payment_id = $2 ORDER BY id"
_ATTEMPTS: Final = "SELECT document FROM {schema}.attempts WHERE tenant = $1 AND payment_id = $2 ORDER BY id"

_AGREEMENT: Final = "SELECT document FROM {schema}.agreements WHERE tenant = $1 AND agreement_key = $2"
_FIND_AGREEMENTS: Final = {
    "operation_id": "SELECT document FROM {schema}.agreement_operations JOIN {schema}.agreements"
    " USING (tenant, agreement_key) WHERE tenant = $1 AND operation_id = $2 ORDER BY created_at, id LIMIT $3",
    "gateway_reference": "SELECT document FROM {schema}.agreements WHERE tenant = $1 AND gateway_reference = $2"
    " ORDER BY created_at, id LIMIT $3",
    "agreement_id": "SELECT document FROM {schema}.agreements WHERE tenant = $1 AND agreement_id = $2"
    " ORDER BY created_at, id LIMIT $3",
}


async def find(
    session: Session, tenant: str, key: FindKey, gateway: str | None, mode: Mode | None
) -> tuple[str, ...]:
    """The ids of the payments that the key finds, oldest first."""
    mode_value = None if mode is None else mode.value
    rows = await session.all(_FIND[key.name], tenant, key.value, gateway, mode_value, FIND_LIMIT)
    return tuple(row[0] for row in rows)


async def payments(
    session: Session,
    tenant: str | None,
    state: PaymentState | None,
    since: datetime | None,
    after: Position | None,
    limit: int,
) -> Page[Payment]:
    """See PaymentStore.list."""
    states = [each.value for each in PaymentState if state in (None, each)]
    since_us = optional_micros(since)
    statement, values = _of_tenant(_PAYMENTS, tenant, 6)
    rows = await session.all(
        statement, states, _FIRST if since_us is None else since_us, *_start(after), limit + 1, *values
    )
    return _page(Payment, rows, limit)


async def operations(
    session: Session,
    tenant: str | None,
    states: Sequence[OperationState],
    updated_before: datetime | None,
    after: Position | None,
    limit: int,
) -> Page[Operation]:
    """See PaymentStore.list_operations."""
    wanted = [state.value for state in OperationState if state in states]
    before_us = optional_micros(updated_before)
    statement, values = _of_tenant(_OPERATIONS, tenant, 6)
    rows = await session.all(
        statement, wanted, _LAST if before_us is None else before_us, *_start(after), limit + 1, *values
    )
    return _page(Operation, rows, limit)


async def agreements(
    session: Session, tenant: str | None, after: Position | None, limit: int
) -> Page[Agreement]:
    """See PaymentStore.list_agreements."""
    statement, values = _of_tenant(_AGREEMENTS, tenant, 4)
    return _page(Agreement, await session.all(statement, *_start(after), limit + 1, *values), limit)


async def payouts(
    session: Session, tenant: str | None, unsettled: bool, after: Position | None, limit: int
) -> Page[Payout]:
    """See PaymentStore.list_payouts."""
    statement, values = _of_tenant(_PAYOUTS[unsettled], tenant, 4)
    return _page(Payout, await session.all(statement, *_start(after), limit + 1, *values), limit)


async def payout(session: Session, tenant: str, payout_id: str) -> Payout | None:
    """See PaymentStore.get_payout."""
    row = await session.one(_PAYOUT, tenant, payout_id)
    return None if row is None else from_json(Payout, row[0])


async def find_payout(session: Session, tenant: str, operation_id: str) -> Payout | None:
    """See PaymentStore.find_payout."""
    row = await session.one(_FIND_PAYOUT, tenant, operation_id)
    return None if row is None else from_json(Payout, row[0])


async def agreement(session: Session, tenant: str, agreement_key: str) -> Agreement | None:
    """See PaymentStore.get_agreement."""
    row = await session.one(_AGREEMENT, tenant, agreement_key)
    return None if row is None else from_json(Agreement, row[0])


async def find_agreements(session: Session, tenant: str, key: FindKey) -> tuple[Agreement, ...]:
    """See PaymentStore.find_agreements."""
    rows = await session.all(_FIND_AGREEMENTS[key.name], tenant, key.value, FIND_LIMIT)
    return tuple(from_json(Agreement, row[0]) for row in rows)


async def events(session: Session, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
    """See PaymentStore.events."""
    rows = await session.all(_EVENTS, tenant, payment_id)
    return tuple(from_json(PaymentEvent, row[0]) for row in rows)


async def attempts(session: Session, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
    """See PaymentStore.attempts."""
    rows = await session.all(_ATTEMPTS, tenant, payment_id)
    return tuple(from_json(Attempt, row[0]) for row in rows)


def _of_tenant(statement: str, tenant: str | None, place: int) -> tuple[str, tuple[str, ...]]:
    """The statement for one tenant or for all, and the tenant's value."""
    if tenant is None:
        return statement.replace("{tenant}", ""), ()
    return statement.replace("{tenant}", f" AND tenant = ${place}"), (tenant,)


def _start(after: Position | None) -> tuple[int, int]:
    return (_FIRST, 0) if after is None else after


def _page(cls: type[RowT], rows: Sequence[Row], limit: int) -> Page[RowT]:
    page = rows[:limit]
    cursor = Position(page[-1][0], page[-1][1]).cursor() if len(rows) > limit else None
    return Page(tuple(from_json(cls, row[2]) for row in page), cursor)

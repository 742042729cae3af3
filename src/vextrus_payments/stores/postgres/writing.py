"""The SQL that writes plans: each plan in one statement, which says of what it wrote how much.

One statement is one round trip under the lock, and it is all or nothing by itself. Where it wrote less than it was to
write (a version has moved on, a key was taken by a transaction that this one did not see), it raises RetryError.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.plans import AgreementPlan, PayoutPlan, Plan, SettlementPlan
from vextrus_payments.records import Attempt, OutboxRow, Receipt, ReceiptKey
from vextrus_payments.stores.columns import is_open, is_out, is_settled, optional_micros, to_micros
from vextrus_payments.stores.postgres.database import RetryError
from vextrus_payments.stores.postgres.session import Session

_ATTEMPTED: Final = """, attempted AS (
    INSERT INTO {schema}.attempts (tenant, payment_id, operation_id, fence, document)
    SELECT w.tenant, w.payment_id, w.operation_id, w.fence, w.document
    FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::text[]) WITH ORDINALITY
        AS w (tenant, payment_id, operation_id, fence, document, place) ORDER BY place
    ON CONFLICT (tenant, payment_id, operation_id, fence) DO UPDATE SET document = excluded.document
)"""
_QUEUED: Final = """, queued AS (
    INSERT INTO {schema}.outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, next_at, parked,
        due_at, head)
    SELECT w.tenant, w.row_id, w.kind, w.subject, w.seq, w.document, w.created_at, w.attempts, w.next_at, w.parked,
        coalesce(w.next_at, 0),  -- due at once, whatever the clock was when it was made
        row_number() OVER (PARTITION BY w.tenant, w.kind, w.subject ORDER BY w.seq, w.place) = 1
    FROM unnest($6::text[], $7::text[], $8::text[], $9::text[], $10::integer[], $11::text[], $12::bigint[],
        $13::integer[], $14::bigint[], $15::text[]) WITH ORDINALITY
        AS w (tenant, row_id, kind, subject, seq, document, created_at, attempts, next_at, parked, place)
    ORDER BY place
    ON CONFLICT (tenant, row_id) DO NOTHING
    RETURNING 1
)"""
_HEADS: Final = """
UPDATE {schema}.outbox SET head = true FROM unnest($1::text[], $2::text[]) AS w (tenant, row_id)
WHERE outbox.tenant = w.tenant AND outbox.row_id = w.row_id AND delivered_at IS NULL AND NOT head
"""

_WRITE_PLAN: Final = (
    """
WITH inserted AS (
    INSERT INTO {schema}.payments (tenant, payment_id, merchant_reference, gateway, mode, state, version, created_at,
        document, watch_at)
    SELECT $16::text, $17::text, $19::text, $20::text, $21::text, $22::text, $23::integer, $24::bigint, $25::text,
        $26::bigint
    WHERE $18::integer = 0
    RETURNING 1
), updated AS (
    UPDATE {schema}.payments SET state = $22::text, version = $23::integer, document = $25::text,
        watch_at = $26::bigint, watch_tries = 0
    WHERE $18::integer > 0 AND tenant = $16::text AND payment_id = $17::text AND version = $18::integer
    RETURNING 1
), submitted AS (
    INSERT INTO {schema}.submissions (tenant, payment_id, submission_no, gateway, mode, gateway_order_id,
        gateway_reference, held_transaction_id, document)
    SELECT $16::text, $17::text, w.submission_no, w.gateway, w.mode, w.order_id, w.reference, w.held, w.document
    FROM unnest($27::integer[], $28::text[], $29::text[], $30::text[], $31::text[], $32::text[], $33::text[])
        AS w (submission_no, gateway, mode, order_id, reference, held, document)
    ON CONFLICT (tenant, payment_id, submission_no) DO UPDATE SET gateway_order_id = excluded.gateway_order_id,
        gateway_reference = excluded.gateway_reference, held_transaction_id = excluded.held_transaction_id,
        document = excluded.document
), operated AS (
    INSERT INTO {schema}.operations (tenant, operation_id, payment_id, state, updated_at, document)
    SELECT $16::text, w.operation_id, $17::text, w.state, w.updated_at, w.document
    FROM unnest($34::text[], $35::text[], $36::bigint[], $37::text[]) WITH ORDINALITY
        AS w (operation_id, state, updated_at, document, place) ORDER BY place
    ON CONFLICT (tenant, operation_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at,
        document = excluded.document WHERE operations.payment_id = excluded.payment_id
    RETURNING 1
), booked AS (
    INSERT INTO {schema}.receipts (tenant, gateway, mode, kind, transaction_id, payment_id, document, recorded_at)
    SELECT $16::text, w.gateway, w.mode, w.kind, w.transaction_id, $17::text, w.document, w.recorded_at
    FROM unnest($38::text[], $39::text[], $40::text[], $41::text[], $42::text[], $43::bigint[]) WITH ORDINALITY
        AS w (gateway, mode, kind, transaction_id, document, recorded_at, place) ORDER BY place
    ON CONFLICT (tenant, transaction_id, gateway, mode, kind) DO NOTHING
    RETURNING 1
), told AS (
    INSERT INTO {schema}.events (tenant, event_id, payment_id, document)
    SELECT $16::text, w.event_id, $17::text, w.document
    FROM unnest($44::text[], $45::text[]) WITH ORDINALITY AS w (event_id, document, place) ORDER BY place
    ON CONFLICT (tenant, event_id) DO NOTHING
)"""
    + _ATTEMPTED
    + _QUEUED
    + """
SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM updated), (SELECT count(*) FROM operated),
    (SELECT count(*) FROM booked), (SELECT count(*) FROM queued)
"""
)
_WRITE_AGREEMENT: Final = (
    """
WITH inserted AS (
    INSERT INTO {schema}.agreements (tenant, agreement_key, is_open, version, created_at, gateway_reference,
        agreement_id, watch_at, document)
    SELECT $16::text, $17::text, $19::boolean, $20::integer, $21::bigint, $22::text, $23::text, $24::bigint, $25::text
    WHERE $18::integer = 0
    RETURNING 1
), updated AS (
    UPDATE {schema}.agreements SET is_open = $19::boolean, version = $20::integer, gateway_reference = $22::text,
        agreement_id = $23::text, watch_at = $24::bigint, watch_tries = 0, document = $25::text
    WHERE $18::integer > 0 AND tenant = $16::text AND agreement_key = $17::text AND version = $18::integer
    RETURNING 1
), named AS (
    INSERT INTO {schema}.agreement_operations (tenant, operation_id, agreement_key)
    SELECT $16::text, w.operation_id, $17::text FROM unnest($26::text[]) AS w (operation_id)
    ON CONFLICT (tenant, operation_id) DO NOTHING  -- the lock of each id is held: it is ours, or free of its agreement
)"""
    + _ATTEMPTED
    + _QUEUED
    + """
SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM updated), (SELECT count(*) FROM queued)
"""
)
_WRITE_PAYOUT: Final = (
    """
WITH inserted AS (
    INSERT INTO {schema}.payouts (tenant, payout_id, operation_id, is_out, is_settled, version, created_at, watch_at,
        document)
    SELECT $16::text, $17::text, $18::text, $20::boolean, $21::boolean, $22::integer, $23::bigint, $24::bigint,
        $25::text
    WHERE $19::integer = 0
    RETURNING 1
), updated AS (
    UPDATE {schema}.payouts SET is_out = $20::boolean, is_settled = $21::boolean, version = $22::integer,
        watch_at = $24::bigint, watch_tries = 0, document = $25::text
    WHERE $19::integer > 0 AND tenant = $16::text AND payout_id = $17::text AND version = $19::integer
        AND operation_id = $18::text
    RETURNING 1
), booked AS (
    INSERT INTO {schema}.receipts (tenant, gateway, mode, kind, transaction_id, document, recorded_at)
    SELECT $16::text, w.gateway, w.mode, w.kind, w.transaction_id, w.document, w.recorded_at
    FROM unnest($26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::bigint[]) WITH ORDINALITY
        AS w (gateway, mode, kind, transaction_id, document, recorded_at, place) ORDER BY place
    ON CONFLICT (tenant, transaction_id, gateway, mode, kind) DO NOTHING
    RETURNING 1
)"""
    + _ATTEMPTED
    + _QUEUED
    + """
SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM updated), (SELECT count(*) FROM booked),
    (SELECT count(*) FROM queued)
"""
)
_WRITE_SETTLEMENTS: Final = (
    """
WITH wanted AS (
    SELECT * FROM unnest($16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::integer[], $22::text[])
        AS w (tenant, transaction_id, gateway, mode, kind, version, document)
), inserted AS (
    INSERT INTO {schema}.settlements (tenant, transaction_id, gateway, mode, kind, version, document)
    SELECT tenant, transaction_id, gateway, mode, kind, version, document FROM wanted WHERE version = 1
    ORDER BY tenant, transaction_id, gateway, mode, kind
    RETURNING 1
), updated AS (
    UPDATE {schema}.settlements SET version = wanted.version, document = wanted.document FROM wanted
    WHERE wanted.version > 1 AND settlements.tenant = wanted.tenant
        AND settlements.transaction_id = wanted.transaction_id AND settlements.gateway = wanted.gateway
        AND settlements.mode = wanted.mode AND settlements.kind = wanted.kind
        AND settlements.version = wanted.version - 1
    RETURNING 1
)"""
    + _ATTEMPTED
    + _QUEUED
    + """
SELECT (SELECT count(*) FROM inserted) + (SELECT count(*) FROM updated), (SELECT count(*) FROM queued)
"""
)
_NOTE_ATTEMPT: Final = (
    "INSERT INTO {schema}.attempts (tenant, payment_id, operation_id, fence, document) VALUES ($1, $2, $3, $4, $5)"
    " ON CONFLICT (tenant, payment_id, operation_id, fence) DO UPDATE SET document = excluded.document"
)


def _columns(rows: Iterable[Sequence[Any]], count: int) -> list[list[Any]]:
    """Rows turned into as many columns: what unnest() takes."""
    columns: list[list[Any]] = [[] for _ in range(count)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


def key_columns(keys: Iterable[ReceiptKey]) -> list[list[Any]]:
    """Tenants, transaction ids, gateways, modes and kinds of receipt keys."""
    return _columns(((k.tenant, k.transaction_id, k.gateway, k.mode.value, k.label) for k in keys), 5)


def _attempts(attempts: Sequence[Attempt]) -> list[list[Any]]:
    latest = {(a.payment_id, a.operation_id, a.fence): a for a in attempts}
    return _columns(
        ((a.tenant, a.payment_id, a.operation_id, a.fence, to_json(a)) for a in latest.values()), 5
    )


def _outbox(rows: Iterable[OutboxRow]) -> list[list[Any]]:
    return _columns(
        (
            (
                row.tenant,
                row.row_id,
                row.kind.value,
                row.subject,
                row.seq,
                row.document,
                to_micros(row.created_at),
                row.attempts,
                optional_micros(row.next_at),
                row.parked,
            )
            for row in rows
        ),
        10,
    )


async def write_plan(session: Session, plan: Plan, fresh: AbstractSet[ReceiptKey]) -> None:
    """Write a plan; `fresh` are the receipts that were not there when its transaction looked.

    Raises:
        RetryError: something is no longer as the transaction saw it.
    """
    payment = plan.payment
    # The last one of a key stands, as it would if they were written one after the other.
    submissions = {s.submission_no: s for s in plan.submissions}.values()
    operations = {o.operation_id: o for o in plan.operations}.values()
    receipts = {
        r.key: r for r in reversed(plan.receipts)
    }.values()  # of these the first: they are never changed
    row = await session.one(
        _WRITE_PLAN,
        *_attempts(plan.attempts),
        *_outbox(plan.outbox),
        payment.tenant,
        payment.payment_id,
        plan.expected_version,
        payment.merchant_reference,
        payment.gateway,
        payment.mode.value,
        payment.state.value,
        payment.version,
        to_micros(payment.created_at),
        to_json(payment),
        optional_micros(plan.watch_at),
        *_columns(
            (
                (
                    s.submission_no,
                    s.gateway,
                    s.mode.value,
                    s.gateway_order_id,
                    s.gateway_reference,
                    s.held_transaction_id,
                    to_json(s),
                )
                for s in submissions
            ),
            7,
        ),
        *_columns(
            ((o.operation_id, o.state.value, to_micros(o.updated_at), to_json(o)) for o in operations), 4
        ),
        *_receipts([*reversed(list(receipts))]),
        *_columns(((e.id, to_json(e)) for e in plan.events), 2),
    )
    assert row is not None
    *written, queued = row
    if tuple(written) != (1, len(operations), len(fresh)):
        raise RetryError
    await _look_at_heads(session, plan.outbox, queued)


async def write_agreement(session: Session, plan: AgreementPlan) -> None:
    """Write an agreement's plan.

    Raises:
        RetryError: something is no longer as the transaction saw it.
    """
    agreement = plan.agreement
    row = await session.one(
        _WRITE_AGREEMENT,
        *_attempts(plan.attempts),
        *_outbox(plan.outbox),
        agreement.tenant,
        agreement.agreement_key,
        plan.expected_version,
        is_open(agreement),
        agreement.version,
        to_micros(agreement.created_at),
        agreement.gateway_reference,
        agreement.agreement_id,
        optional_micros(plan.watch_at),
        to_json(agreement),
        [operation.operation_id for operation in agreement.operations],
    )
    assert row is not None
    if row[0] != 1:
        raise RetryError
    await _look_at_heads(session, plan.outbox, row[1])


async def write_payout(session: Session, plan: PayoutPlan) -> None:
    """Write a payout's plan.

    Raises:
        RetryError: something is no longer as the transaction saw it.
    """
    payout = plan.payout
    row = await session.one(
        _WRITE_PAYOUT,
        *_attempts(plan.attempts),
        *_outbox(plan.outbox),
        payout.tenant,
        payout.payout_id,
        payout.operation_id,
        plan.expected_version,
        is_out(payout),
        is_settled(payout),
        payout.version,
        to_micros(payout.created_at),
        optional_micros(plan.watch_at),
        to_json(payout),
        *_receipts(plan.receipts),
    )
    assert row is not None
    if tuple(row[:2]) != (1, len(plan.receipts)):
        raise RetryError
    await _look_at_heads(session, plan.outbox, row[2])


def _receipts(receipts: Sequence[Receipt]) -> list[list[Any]]:
    return _columns(
        (
            (r.gateway, r.mode.value, r.key.label, r.transaction_id, to_json(r), to_micros(r.recorded_at))
            for r in receipts
        ),
        6,
    )


async def write_settlements(session: Session, plans: Sequence[SettlementPlan]) -> None:
    """Write settlements, each onto the version before it.

    Raises:
        RetryError: a version is no longer as the transaction saw it.
    """
    rounds: list[dict[ReceiptKey, SettlementPlan]] = []
    for plan in plans:  # of one key one per statement
        key = plan.settlement.key
        free = next((each for each in rounds if key not in each), None)
        if free is None:
            rounds.append({key: plan})
        else:
            free[key] = plan
    for each in rounds:
        outbox = [row for plan in each.values() for row in plan.outbox]
        row = await session.one(
            _WRITE_SETTLEMENTS,
            *_attempts(()),
            *_outbox(outbox),
            *key_columns(each),
            [plan.settlement.version for plan in each.values()],
            [to_json(plan.settlement) for plan in each.values()],
        )
        assert row is not None
        if row[0] != len(each):
            raise RetryError
        await _look_at_heads(session, outbox, row[1])


async def _look_at_heads(session: Session, rows: Sequence[OutboxRow], queued: int) -> None:
    """Where some rows were there before, perhaps delivered by now: those behind them may be their subject's first."""
    if queued < len(rows):
        await session.all(_HEADS, [row.tenant for row in rows], [row.row_id for row in rows])


async def note_attempt(session: Session, attempt: Attempt) -> None:
    """Upsert one attempt."""
    await session.one(
        _NOTE_ATTEMPT,
        attempt.tenant,
        attempt.payment_id,
        attempt.operation_id,
        attempt.fence,
        to_json(attempt),
    )

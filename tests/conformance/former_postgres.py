"""A store that knows schema 1 and nothing later: what a release before this one does to the tables.

Its statements are frozen: they name the columns that schema 1 has, and are not changed with the store's. Plain and slow
on purpose; the rules are those that all stores share.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import asyncpg  # type: ignore[import-untyped]

from vextrus_payments.clock import Clock
from vextrus_payments.documents import from_json, to_json
from vextrus_payments.errors import StorageError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    AgreementPlan,
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    PayoutPlan,
    Plan,
    ReserveAnswer,
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
)
from vextrus_payments.records import (
    Attempt,
    Operation,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    Receipt,
    ReceiptKey,
    Submission,
)
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import from_micros, optional_micros, optional_moment, to_micros
from vextrus_payments.stores.transactions import Booked

T = TypeVar("T")


class FormerRows:
    """The row operations of schema 1."""

    def __init__(self, connection: Any) -> None:
        self._fetch = connection.fetch

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        parts: list[list[str]] = []
        for statement in (
            "SELECT document FROM payments WHERE tenant = $1 AND payment_id = $2",
            "SELECT document FROM submissions WHERE tenant = $1 AND payment_id = $2 ORDER BY submission_no",
            "SELECT document FROM operations WHERE tenant = $1 AND payment_id = $2 ORDER BY id",
            "SELECT document FROM receipts WHERE tenant = $1 AND payment_id = $2 ORDER BY id",
        ):
            parts.append([row[0] for row in await self._fetch(statement, tenant, payment_id)])
        if not parts[0]:
            return None
        return PaymentFacts(
            from_json(Payment, parts[0][0]),
            tuple(from_json(Submission, text) for text in parts[1]),
            tuple(from_json(Operation, text) for text in parts[2]),
            tuple(from_json(Receipt, text) for text in parts[3]),
        )

    async def facts_of(self, tenant: str, payment_ids: Sequence[str]) -> tuple[PaymentFacts, ...]:
        found = [await self.facts(tenant, payment_id) for payment_id in payment_ids]
        return tuple(facts for facts in found if facts is not None)

    async def version(self, tenant: str, payment_id: str) -> int:
        rows = await self._fetch(
            "SELECT version FROM payments WHERE tenant = $1 AND payment_id = $2 FOR UPDATE",
            tenant,
            payment_id,
        )
        return rows[0][0] if rows else 0

    async def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        rows = await self._fetch(
            "SELECT payment_id FROM operations WHERE tenant = $1 AND operation_id = $2", tenant, operation_id
        )
        return rows[0][0] if rows else None

    async def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        rows = await self._fetch(
            "SELECT payment_id FROM payments WHERE tenant = $1 AND merchant_reference = $2 ORDER BY created_at, id",
            tenant,
            merchant_reference,
        )
        return tuple(row[0] for row in rows)

    async def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        rows = await self._fetch(
            "SELECT count(*) FROM payments JOIN submissions USING (tenant, payment_id) WHERE tenant = $1"
            " AND merchant_reference = $2 AND payments.gateway = $3 AND payments.mode = $4",
            tenant,
            merchant_reference,
            gateway,
            mode.value,
        )
        return rows[0][0]

    async def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        rows = await self._fetch(
            "SELECT payment_id, submission_no FROM submissions WHERE tenant = $1 AND gateway_order_id = $2"
            " AND gateway = $3 AND mode = $4",
            tenant,
            gateway_order_id,
            gateway,
            mode.value,
        )
        return (rows[0][0], rows[0][1]) if rows else None

    async def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        rows = await self._fetch(
            "SELECT payment_id FROM receipts WHERE tenant = $1 AND transaction_id = $2 AND gateway = $3 AND mode = $4"
            " AND kind = $5",
            key.tenant,
            key.transaction_id,
            key.gateway,
            key.mode.value,
            key.kind.value,
        )
        return Booked(rows[0][0]) if rows else None

    async def agreement_operation(self, tenant: str, operation_id: str) -> Operation | None:
        return None  # schema 1 has no agreements

    async def payout_operation(self, tenant: str, operation_id: str) -> Operation | None:
        return None  # nor any payouts

    async def payout_version(self, tenant: str, payout_id: str) -> int:
        raise NotImplementedError

    async def write_payout(self, plan: PayoutPlan) -> None:
        raise NotImplementedError

    async def agreement_version(self, tenant: str, agreement_key: str) -> int:
        raise NotImplementedError

    async def write_agreement(self, plan: AgreementPlan) -> None:
        raise NotImplementedError

    async def settlement_versions(self, keys: Sequence[ReceiptKey]) -> Mapping[ReceiptKey, int]:
        raise NotImplementedError

    async def write_settlements(self, plans: Sequence[SettlementPlan]) -> None:
        raise NotImplementedError

    async def write(self, plan: Plan) -> None:
        payment = plan.payment
        me = (payment.tenant, payment.payment_id)
        if plan.expected_version:
            await self._fetch(
                "UPDATE payments SET state = $3, version = $4, document = $5"
                " WHERE tenant = $1 AND payment_id = $2 AND version = $6",
                *me,
                payment.state.value,
                payment.version,
                to_json(payment),
                plan.expected_version,
            )
        else:
            await self._fetch(
                "INSERT INTO payments (tenant, payment_id, merchant_reference, gateway, mode, state, version,"
                " created_at, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                *me,
                payment.merchant_reference,
                payment.gateway,
                payment.mode.value,
                payment.state.value,
                payment.version,
                to_micros(payment.created_at),
                to_json(payment),
            )
        for s in plan.submissions:
            await self._fetch(
                "INSERT INTO submissions (tenant, payment_id, submission_no, gateway, mode, gateway_order_id,"
                " gateway_reference, held_transaction_id, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
                " ON CONFLICT (tenant, payment_id, submission_no) DO UPDATE SET"
                " gateway_order_id = excluded.gateway_order_id, gateway_reference = excluded.gateway_reference,"
                " held_transaction_id = excluded.held_transaction_id, document = excluded.document",
                *me,
                s.submission_no,
                s.gateway,
                s.mode.value,
                s.gateway_order_id,
                s.gateway_reference,
                s.held_transaction_id,
                to_json(s),
            )
        for o in plan.operations:
            await self._fetch(
                "INSERT INTO operations (tenant, operation_id, payment_id, state, updated_at, document)"
                " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, operation_id) DO UPDATE SET"
                " state = excluded.state, updated_at = excluded.updated_at, document = excluded.document",
                o.tenant,
                o.operation_id,
                o.payment_id,
                o.state.value,
                to_micros(o.updated_at),
                to_json(o),
            )
        for r in plan.receipts:
            if await self.receipt_owner(r.key) == Booked(r.payment_id):
                continue
            await self._fetch(
                "INSERT INTO receipts (tenant, gateway, mode, kind, transaction_id, payment_id, document)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                r.tenant,
                r.gateway,
                r.mode.value,
                r.kind.value,
                r.transaction_id,
                r.payment_id,
                to_json(r),
            )
        for event in plan.events:
            await self._fetch(
                "INSERT INTO events (tenant, event_id, payment_id, document) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (tenant, event_id) DO NOTHING",
                event.tenant,
                event.id,
                event.payment_id,
                to_json(event),
            )
        for attempt in plan.attempts:
            await self.note_attempt(attempt)
        for row in plan.outbox:
            next_us = optional_micros(row.next_at)
            await self._fetch(
                "INSERT INTO outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, next_at,"
                " parked, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::bigint, $10, coalesce($9::bigint, 0))"
                " ON CONFLICT (tenant, row_id) DO NOTHING",
                row.tenant,
                row.row_id,
                row.kind.value,
                row.subject,
                row.seq,
                row.document,
                to_micros(row.created_at),
                row.attempts,
                next_us,
                row.parked,
            )

    async def note_attempt(self, attempt: Attempt) -> None:
        await self._fetch(
            "INSERT INTO attempts (tenant, payment_id, operation_id, fence, document) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (tenant, payment_id, operation_id, fence) DO UPDATE SET document = excluded.document",
            attempt.tenant,
            attempt.payment_id,
            attempt.operation_id,
            attempt.fence,
            to_json(attempt),
        )


class FormerStore:
    """The flow, the outbox and the tables' reading, as far as the kit's checks of them go."""

    def __init__(self, dsn: str, clock: Clock) -> None:
        self._dsn = dsn
        self._clock = clock
        self._pool: Any = None

    @property
    def durable(self) -> bool:
        return True

    def now(self) -> datetime:
        return self._clock.now()

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self._dsn, min_size=1, max_size=8, server_settings={"search_path": "vextrus_payments"}
        )

    async def close(self) -> None:
        await self._pool.close()

    async def _write(self, work: Callable[[Any], Awaitable[T]], *lock: str) -> T:
        # The locks' keys are part of what two releases have to agree on, so they are frozen too.
        text = "\0".join(("vextrus_payments", *lock)).encode()
        key = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
        for _ in range(20):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    if lock:
                        await connection.execute(f"SELECT pg_advisory_xact_lock({key})")
                    return await work(connection)
            except (asyncpg.UniqueViolationError, asyncpg.DeadlockDetectedError):
                continue
        raise StorageError("contended")

    async def _reference_of(self, statement: str, *values: str) -> tuple[str, ...]:
        row = await self._pool.fetchrow(statement, *values)
        return () if row is None else ("reference", values[0], row[0])

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        if isinstance(wanted, ReservePayment):
            lock: tuple[str, ...] = ("reference", wanted.tenant, wanted.request.merchant_reference)
        else:
            lock = await self._reference_of(
                "SELECT merchant_reference FROM payments WHERE tenant = $1 AND payment_id = $2",
                wanted.tenant,
                wanted.payment_id,
            )
        return await self._write(lambda c: transactions.reserve(FormerRows(c), wanted, self.now()), *lock)

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        lock = await self._reference_of(
            "SELECT merchant_reference FROM operations JOIN payments USING (tenant, payment_id)"
            " WHERE tenant = $1 AND operation_id = $2",
            tenant,
            operation_id,
        )
        return await self._write(
            lambda c: transactions.claim(FormerRows(c), tenant, operation_id, terms, self.now()), *lock
        )

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        await self._write(
            lambda c: transactions.checkpoint(FormerRows(c), claim, evidence, self.now()),
            *("reference", claim.tenant, claim.facts.payment.merchant_reference),
        )

    async def release(self, claim: Claim) -> bool:
        return await self._write(
            lambda c: transactions.release(FormerRows(c), claim, self.now()),
            *("reference", claim.tenant, claim.facts.payment.merchant_reference),
        )

    async def commit(self, plan: Plan) -> CommitAnswer:
        return await self._write(
            lambda c: transactions.commit(FormerRows(c), plan),
            *("reference", plan.payment.tenant, plan.payment.merchant_reference),
        )

    async def note_attempt(self, attempt: Attempt) -> None:
        await self._write(lambda c: FormerRows(c).note_attempt(attempt))

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        return await self._write(lambda c: FormerRows(c).facts(tenant, payment_id))

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        return await self._write(lambda c: transactions.get_operation(FormerRows(c), tenant, operation_id))

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        return await self._write(
            lambda c: transactions.siblings_of(FormerRows(c), tenant, merchant_reference, without=without)
        )

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        return 1 + await self._write(
            lambda c: FormerRows(c).count_submissions(tenant, gateway, mode, merchant_reference)
        )

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        rows = await self._pool.fetch(
            "SELECT document FROM events WHERE tenant = $1 AND payment_id = $2 ORDER BY id",
            tenant,
            payment_id,
        )
        return tuple(from_json(PaymentEvent, row[0]) for row in rows)

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        rows = await self._pool.fetch(
            "SELECT document FROM attempts WHERE tenant = $1 AND payment_id = $2 ORDER BY id",
            tenant,
            payment_id,
        )
        return tuple(from_json(Attempt, row[0]) for row in rows)

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        rows = await self._pool.fetch(
            "UPDATE outbox SET due_at = $3 FROM (SELECT id FROM outbox AS candidate WHERE kind = $1 AND head"
            " AND parked IS NULL AND delivered_at IS NULL AND due_at <= $2 AND NOT EXISTS ("
            " SELECT 1 FROM outbox AS earlier WHERE earlier.kind = candidate.kind"
            " AND earlier.tenant = candidate.tenant AND earlier.subject = candidate.subject"
            " AND earlier.delivered_at IS NULL AND (earlier.seq, earlier.id) < (candidate.seq, candidate.id))"
            " ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) AS due WHERE outbox.id = due.id"
            " RETURNING tenant, row_id, subject, seq, document, created_at, attempts, next_at, parked",
            kind.value,
            to_micros(self.now()),
            to_micros(self.now() + timedelta(seconds=lease_s)),
            limit,
        )
        return tuple(
            OutboxRow(
                tenant=row[0],
                row_id=row[1],
                subject=row[2],
                seq=row[3],
                kind=kind,
                document=row[4],
                created_at=from_micros(row[5]),
                attempts=row[6],
                next_at=optional_moment(row[7]),
                parked=row[8],
            )
            for row in rows
        )

    async def ack(self, row: OutboxRow) -> None:
        async def work(connection: Any) -> None:
            done = await connection.fetch(
                "UPDATE outbox SET delivered_at = $3, head = false WHERE tenant = $1 AND row_id = $2"
                " AND delivered_at IS NULL RETURNING kind, tenant, subject",
                row.tenant,
                row.row_id,
                to_micros(self.now()),
            )
            for subject in done:
                await connection.fetch(
                    "UPDATE outbox SET head = true WHERE id = (SELECT id FROM outbox WHERE kind = $1 AND tenant = $2"
                    " AND subject = $3 AND delivered_at IS NULL ORDER BY seq, id LIMIT 1)",
                    *subject,
                )

        await self._write(work)

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        await self._pool.fetch(
            "UPDATE outbox SET attempts = attempts + 1,"
            " next_at = CASE WHEN $4::boolean THEN next_at ELSE $3::bigint END,"
            " due_at = CASE WHEN $4::boolean THEN due_at ELSE $3::bigint END,"
            " parked = CASE WHEN $4::boolean THEN $5 END"
            " WHERE tenant = $1 AND row_id = $2 AND delivered_at IS NULL",
            row.tenant,
            row.row_id,
            optional_micros(retry_at),
            retry_at is None,
            why,
        )

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        row = await self._pool.fetchrow(
            "SELECT count(*), count(parked), min(created_at) FILTER (WHERE parked IS NULL) FROM outbox"
            " WHERE kind = $1 AND delivered_at IS NULL",
            kind.value,
        )
        return OutboxBacklog(row[0] - row[1], row[1], optional_moment(row[2]))

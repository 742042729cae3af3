"""The SQL of the flow: one transaction's row operations on an SQLite connection.

Implements transactions.Rows. The coroutines never suspend: finished() runs them.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.mode import Mode
from vextrus_payments.plans import AgreementPlan, PayoutPlan, Plan, ReservePayment, SettlementPlan
from vextrus_payments.records import (
    Attempt,
    Operation,
    OutboxRow,
    Payment,
    PaymentFacts,
    Receipt,
    ReceiptKey,
    Submission,
)
from vextrus_payments.stores.columns import optional_micros, to_micros
from vextrus_payments.stores.sqlite import agreements, books, payouts
from vextrus_payments.stores.sqlite.recall import Recall
from vextrus_payments.stores.transactions import Booked

# One statement, so that even outside a transaction all facts are of one moment. Sorted by whoever asks: for so few rows
# SQLite takes longer to make ready for sorting.
_FACTS: Final = """
SELECT 0, 0, document FROM payments WHERE tenant = ?1 AND payment_id = ?2
UNION ALL SELECT 1, submission_no, document FROM submissions WHERE tenant = ?1 AND payment_id = ?2
UNION ALL SELECT 2, id, document FROM operations WHERE tenant = ?1 AND payment_id = ?2
UNION ALL SELECT 3, id, document FROM receipts WHERE tenant = ?1 AND payment_id = ?2
"""
# All that reserving a new payment asks, in one statement: each one costs more to begin than to run.
_LOOK_FOR_PAYMENT: Final = """
SELECT (SELECT payment_id FROM operations WHERE tenant = ?1 AND operation_id = ?2),
EXISTS (SELECT 1 FROM agreement_operations WHERE tenant = ?1 AND operation_id = ?2),
EXISTS (SELECT 1 FROM payouts WHERE tenant = ?1 AND operation_id = ?2),
(SELECT version FROM payments WHERE tenant = ?1 AND payment_id = ?3),
EXISTS (SELECT 1 FROM payments WHERE tenant = ?1 AND merchant_reference = ?4)
"""
_VERSION: Final = "SELECT version FROM payments WHERE tenant = ? AND payment_id = ?"
_PAYMENT_OF_OPERATION: Final = "SELECT payment_id FROM operations WHERE tenant = ? AND operation_id = ?"
_PAYMENTS_OF_REFERENCE: Final = (
    "SELECT payment_id FROM payments WHERE tenant = ? AND merchant_reference = ? ORDER BY created_at, id"
)
_COUNT_SUBMISSIONS: Final = (
    "SELECT count(*) FROM payments JOIN submissions USING (tenant, payment_id)"
    " WHERE tenant = ? AND merchant_reference = ? AND payments.gateway = ? AND payments.mode = ?"
)
_ORDER_ID_OWNER: Final = (
    "SELECT payment_id, submission_no FROM submissions"
    " WHERE tenant = ? AND gateway_order_id = ? AND gateway = ? AND mode = ?"
)
_RECEIPT_OWNER: Final = (
    "SELECT payment_id FROM receipts"
    " WHERE tenant = ? AND transaction_id = ? AND gateway = ? AND mode = ? AND kind = ?"
)
_INSERT_PAYMENT: Final = (
    "INSERT INTO payments (tenant, payment_id, merchant_reference, gateway, mode, state, version, created_at,"
    " document, watch_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE_PAYMENT: Final = (
    "UPDATE payments SET state = ?, version = ?, document = ?, watch_at = ?, watch_tries = 0"
    " WHERE tenant = ? AND payment_id = ? AND version = ?"
)
_PUT_SUBMISSION: Final = (
    "INSERT INTO submissions (tenant, payment_id, submission_no, gateway, mode, gateway_order_id,"
    " gateway_reference, held_transaction_id, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, payment_id, submission_no) DO UPDATE SET gateway_order_id = excluded.gateway_order_id,"
    " gateway_reference = excluded.gateway_reference, held_transaction_id = excluded.held_transaction_id,"
    " document = excluded.document"
)
_PUT_OPERATION: Final = (
    "INSERT INTO operations (tenant, operation_id, payment_id, state, updated_at, document)"
    " VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, operation_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at,"
    " document = excluded.document"
)
_ADD_RECEIPT: Final = (
    "INSERT INTO receipts (tenant, gateway, mode, kind, transaction_id, payment_id, document, recorded_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, transaction_id, gateway, mode, kind) DO NOTHING"
)
_ADD_EVENT: Final = (
    "INSERT INTO events (tenant, event_id, payment_id, document) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (tenant, event_id) DO NOTHING"
)
_PUT_ATTEMPT: Final = (
    "INSERT INTO attempts (tenant, payment_id, operation_id, fence, document) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, payment_id, operation_id, fence) DO UPDATE SET document = excluded.document"
)
_ADD_OUTBOX: Final = (
    "INSERT INTO outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, next_at, parked,"
    " due_at, head) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NOT EXISTS (SELECT 1 FROM outbox"
    " WHERE tenant = ? AND kind = ? AND subject = ? AND delivered_at IS NULL AND seq <= ?))"
    " ON CONFLICT (tenant, row_id) DO NOTHING"
)

_SUBMISSION, _OPERATION, _RECEIPT = 1, 2, 3
_UNKNOWN: Final = object()


class SqliteRows:
    """Row operations on one connection, whose transaction is somebody else's to begin and end."""

    def __init__(self, connection: sqlite3.Connection, recall: Recall) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._recall = recall
        self._known: dict[tuple[str, ...], Any] = {}
        """What was looked up ahead: question and key -> answer. Good for one transaction, before it writes."""

    def look_for_payment(self, wanted: ReservePayment) -> None:
        """Look up what reserve() will ask about a new payment."""
        tenant, reference = wanted.tenant, wanted.request.merchant_reference
        operation_id = wanted.operation_id
        owner, agreed, paid_out, version, used = self._execute(
            _LOOK_FOR_PAYMENT, (tenant, operation_id, wanted.payment_id, reference)
        ).fetchone()
        known = self._known
        known["payment_of_operation", tenant, operation_id] = owner
        if not agreed:
            known["agreement_operation", tenant, operation_id] = None
        if not paid_out:
            known["payout_operation", tenant, operation_id] = None
        known["version", tenant, wanted.payment_id] = version or 0
        if not used:
            known["payments_of_reference", tenant, reference] = ()
            known["count_submissions", tenant, reference] = 0

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        return self._facts(tenant, payment_id)

    async def facts_of(self, tenant: str, payment_ids: Sequence[str]) -> tuple[PaymentFacts, ...]:
        found = (self._facts(tenant, payment_id) for payment_id in payment_ids)
        return tuple(facts for facts in found if facts is not None)

    def _facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        rows = self._execute(_FACTS, (tenant, payment_id)).fetchall()
        if not rows:
            return None
        rows.sort()
        load = self._recall.load
        return PaymentFacts(
            load(Payment, rows[0][2]),
            tuple([load(Submission, text) for part, _, text in rows if part == _SUBMISSION]),
            tuple([load(Operation, text) for part, _, text in rows if part == _OPERATION]),
            tuple([load(Receipt, text) for part, _, text in rows if part == _RECEIPT]),
        )

    async def version(self, tenant: str, payment_id: str) -> int:
        known = self._known.get(("version", tenant, payment_id), _UNKNOWN)
        if known is not _UNKNOWN:
            return int(known)
        row = self._execute(_VERSION, (tenant, payment_id)).fetchone()
        return 0 if row is None else int(row[0])

    async def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        known = self._known.get(("payment_of_operation", tenant, operation_id), _UNKNOWN)
        if known is not _UNKNOWN:
            return None if known is None else str(known)
        row = self._execute(_PAYMENT_OF_OPERATION, (tenant, operation_id)).fetchone()
        return None if row is None else str(row[0])

    async def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        if ("payments_of_reference", tenant, merchant_reference) in self._known:
            return ()
        rows = self._execute(_PAYMENTS_OF_REFERENCE, (tenant, merchant_reference)).fetchall()
        return tuple(payment_id for (payment_id,) in rows)

    async def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        if ("count_submissions", tenant, merchant_reference) in self._known:
            return 0
        (count,) = self._execute(
            _COUNT_SUBMISSIONS, (tenant, merchant_reference, gateway, mode.value)
        ).fetchone()
        return int(count)

    async def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        row = self._execute(_ORDER_ID_OWNER, (tenant, gateway_order_id, gateway, mode.value)).fetchone()
        return None if row is None else (str(row[0]), int(row[1]))

    async def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        row = self._execute(
            _RECEIPT_OWNER, (key.tenant, key.transaction_id, key.gateway, key.mode.value, key.label)
        ).fetchone()
        return None if row is None else Booked(row[0])

    async def agreement_operation(self, tenant: str, operation_id: str) -> Operation | None:
        if ("agreement_operation", tenant, operation_id) in self._known:
            return None
        return agreements.operation(self._connection, tenant, operation_id)

    async def agreement_version(self, tenant: str, agreement_key: str) -> int:
        return agreements.version(self._connection, tenant, agreement_key)

    async def write_agreement(self, plan: AgreementPlan) -> None:
        agreements.put(self._connection, plan)
        for attempt in plan.attempts:
            self.note_attempt(attempt)
        for row in plan.outbox:
            self.add_outbox(row)

    async def payout_operation(self, tenant: str, operation_id: str) -> Operation | None:
        if ("payout_operation", tenant, operation_id) in self._known:
            return None
        return payouts.operation(self._connection, tenant, operation_id)

    async def payout_version(self, tenant: str, payout_id: str) -> int:
        return payouts.version(self._connection, tenant, payout_id)

    async def write_payout(self, plan: PayoutPlan) -> None:
        payouts.put(self._connection, plan)
        for receipt in plan.receipts:
            self._add_receipt(receipt)
        for attempt in plan.attempts:
            self.note_attempt(attempt)
        for row in plan.outbox:
            self.add_outbox(row)

    async def settlement_versions(self, keys: Sequence[ReceiptKey]) -> Mapping[ReceiptKey, int]:
        return books.settlement_versions(self._connection, keys)

    async def write_settlements(self, plans: Sequence[SettlementPlan]) -> None:
        for plan in plans:
            books.put_settlement(self._connection, plan.settlement)
            for row in plan.outbox:
                self.add_outbox(row)

    async def write(self, plan: Plan) -> None:
        self._put_payment(plan)
        for submission in plan.submissions:
            self._put_submission(submission)
        for operation in plan.operations:
            self._put_operation(operation)
        for receipt in plan.receipts:
            self._add_receipt(receipt)
        for event in plan.events:
            self._execute(_ADD_EVENT, (event.tenant, event.id, event.payment_id, to_json(event)))
        for attempt in plan.attempts:
            self.note_attempt(attempt)
        for row in plan.outbox:
            self.add_outbox(row)

    def note_attempt(self, attempt: Attempt) -> None:
        """Upsert one attempt."""
        self._execute(
            _PUT_ATTEMPT,
            (attempt.tenant, attempt.payment_id, attempt.operation_id, attempt.fence, to_json(attempt)),
        )

    def _put_payment(self, plan: Plan) -> None:
        payment = plan.payment
        me = (payment.tenant, payment.payment_id)
        watch_us = optional_micros(plan.watch_at)
        if plan.expected_version:
            changed = (payment.state.value, payment.version, self._recall.dump(payment), watch_us)
            self._execute(_UPDATE_PAYMENT, (*changed, *me, plan.expected_version))
            return
        self._execute(
            _INSERT_PAYMENT,
            (
                *me,
                payment.merchant_reference,
                payment.gateway,
                payment.mode.value,
                payment.state.value,
                payment.version,
                to_micros(payment.created_at),
                self._recall.dump(payment),
                watch_us,
            ),
        )

    def _put_submission(self, submission: Submission) -> None:
        self._execute(
            _PUT_SUBMISSION,
            (
                submission.tenant,
                submission.payment_id,
                submission.submission_no,
                submission.gateway,
                submission.mode.value,
                submission.gateway_order_id,
                submission.gateway_reference,
                submission.held_transaction_id,
                self._recall.dump(submission),
            ),
        )

    def _put_operation(self, operation: Operation) -> None:
        self._execute(
            _PUT_OPERATION,
            (
                operation.tenant,
                operation.operation_id,
                operation.payment_id,
                operation.state.value,
                to_micros(operation.updated_at),
                self._recall.dump(operation),
            ),
        )

    def _add_receipt(self, receipt: Receipt) -> None:
        self._execute(
            _ADD_RECEIPT,
            (
                receipt.tenant,
                receipt.gateway,
                receipt.mode.value,
                receipt.key.label,
                receipt.transaction_id,
                receipt.payment_id,
                self._recall.dump(receipt),
                to_micros(receipt.recorded_at),
            ),
        )

    def add_outbox(self, row: OutboxRow) -> None:
        """Insert an outbox row where it is not there yet."""
        created_us, next_us = to_micros(row.created_at), optional_micros(row.next_at)
        self._execute(
            _ADD_OUTBOX,
            (
                row.tenant,
                row.row_id,
                row.kind.value,
                row.subject,
                row.seq,
                row.document,
                created_us,
                row.attempts,
                next_us,
                row.parked,
                0 if next_us is None else next_us,  # due at once, whatever the clock was when it was made
                row.tenant,
                row.kind.value,
                row.subject,
                row.seq,
            ),
        )

"""The tables of the memory store: dictionaries of documents, with the same columns beside them as a database has.

Rows are kept as the JSON that a database would hold, so that nothing lives here that could not be stored elsewhere.
`write` makes every document first and touches the tables only then: a record that cannot be stored changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.plans import AgreementPlan, PayoutPlan, Plan, SettlementPlan
from vextrus_payments.records import (
    Attempt,
    Operation,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKey,
    Settlement,
    SubjectKind,
    Submission,
)
from vextrus_payments.stores.columns import OPEN_OPERATIONS, OPEN_PAYMENTS, FindKey, Position, to_micros
from vextrus_payments.stores.memory.agreements import MemoryAgreements
from vextrus_payments.stores.memory.inbox import MemoryInbox
from vextrus_payments.stores.memory.payouts import MemoryPayouts
from vextrus_payments.stores.memory.queue import MemoryQueue
from vextrus_payments.stores.memory.watches import Subject, Watched
from vextrus_payments.stores.transactions import Booked

_Id = tuple[str, str]
"""(tenant, id)"""


@dataclass(slots=True, kw_only=True)
class PaymentRow(Watched):
    """A payment with its columns."""

    payment_id: str
    merchant_reference: str
    gateway: str
    mode: Mode
    state: PaymentState
    created_us: int

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.created_us, self.number)


@dataclass(slots=True)
class SubmissionRow:
    """A submission with its columns."""

    gateway: str
    mode: Mode
    gateway_order_id: str
    gateway_reference: str | None
    held_transaction_id: str | None
    document: str


@dataclass(slots=True)
class OperationRow:
    """An operation with its columns."""

    number: int
    tenant: str
    payment_id: str
    state: OperationState
    updated_us: int
    document: str

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.updated_us, self.number)


@dataclass(slots=True)
class ReceiptRow:
    """A receipt with its columns."""

    number: int
    key: ReceiptKey
    payment_id: str | None
    recorded_us: int
    document: str

    @property
    def position(self) -> Position:
        """Its place in a listing."""
        return Position(self.recorded_us, self.number)


@dataclass(slots=True)
class MemoryRows:
    """All tables but the tokens. Implements transactions.Rows; its coroutines never suspend."""

    queue: MemoryQueue = field(default_factory=MemoryQueue)
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    agreements: MemoryAgreements = field(default_factory=MemoryAgreements)
    payouts: MemoryPayouts = field(default_factory=MemoryPayouts)
    receipts: dict[ReceiptKey, ReceiptRow] = field(default_factory=dict)
    settlements: dict[ReceiptKey, tuple[int, str]] = field(default_factory=dict)
    """Version and document."""
    marks: dict[str, str] = field(default_factory=dict)
    payments: dict[_Id, PaymentRow] = field(default_factory=dict)
    operations: dict[_Id, OperationRow] = field(default_factory=dict)
    _references: dict[_Id, list[str]] = field(default_factory=lambda: defaultdict(list))
    _submissions: dict[_Id, dict[int, SubmissionRow]] = field(default_factory=lambda: defaultdict(dict))
    _order_ids: dict[tuple[str, str, Mode, str], tuple[str, int]] = field(default_factory=dict)
    _submitted: Counter[tuple[str, str, Mode, str]] = field(default_factory=Counter)
    _operations_of: dict[_Id, list[str]] = field(default_factory=lambda: defaultdict(list))
    _receipts_of: dict[_Id, list[ReceiptKey]] = field(default_factory=lambda: defaultdict(list))
    _events: dict[_Id, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    _attempts: dict[_Id, dict[tuple[str, int], str]] = field(default_factory=lambda: defaultdict(dict))
    _found_by: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=lambda: defaultdict(dict))
    """(tenant, name of the key, value) -> payment ids, for the keys that are not unique."""

    # --- transactions.Rows ------------------------------------------------------------------------------------

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        return self._facts(tenant, payment_id)

    async def facts_of(self, tenant: str, payment_ids: Sequence[str]) -> tuple[PaymentFacts, ...]:
        found = (self._facts(tenant, payment_id) for payment_id in payment_ids)
        return tuple(facts for facts in found if facts is not None)

    def _facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        row = self.payments.get((tenant, payment_id))
        if row is None:
            return None
        me = (tenant, payment_id)
        submissions = sorted(self._submissions.get(me, {}).items())
        return PaymentFacts(
            from_json(Payment, row.document),
            tuple(from_json(Submission, submission.document) for _, submission in submissions),
            tuple(
                from_json(Operation, self.operations[tenant, operation_id].document)
                for operation_id in self._operations_of.get(me, ())
            ),
            tuple(from_json(Receipt, self.receipts[key].document) for key in self._receipts_of.get(me, ())),
        )

    async def version(self, tenant: str, payment_id: str) -> int:
        row = self.payments.get((tenant, payment_id))
        return 0 if row is None else row.version

    async def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        row = self.operations.get((tenant, operation_id))
        return None if row is None else row.payment_id

    async def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        ids = self._references.get((tenant, merchant_reference), ())
        return tuple(sorted(ids, key=lambda payment_id: self.payments[tenant, payment_id].position))

    async def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        return self._submitted[tenant, gateway, mode, merchant_reference]

    async def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        return self._order_ids.get((tenant, gateway, mode, gateway_order_id))

    async def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        booked = self.receipts.get(key)
        return None if booked is None else Booked(booked.payment_id)

    async def agreement_operation(self, tenant: str, operation_id: str) -> Operation | None:
        return self.agreements.operation(tenant, operation_id)

    async def agreement_version(self, tenant: str, agreement_key: str) -> int:
        return self.agreements.version(tenant, agreement_key)

    async def write_agreement(self, plan: AgreementPlan) -> None:
        document = to_json(plan.agreement)
        attempts = [(row, to_json(row)) for row in plan.attempts]
        outbox = self.queue.prepared(plan.outbox)
        self.agreements.put(plan, document)
        for attempt, text in attempts:
            self._put_attempt(attempt, text)
        self.queue.add(outbox)

    async def payout_operation(self, tenant: str, operation_id: str) -> Operation | None:
        return self.payouts.operation(tenant, operation_id)

    async def payout_version(self, tenant: str, payout_id: str) -> int:
        return self.payouts.version(tenant, payout_id)

    async def write_payout(self, plan: PayoutPlan) -> None:
        document = to_json(plan.payout)
        receipts = [(row, to_json(row), to_micros(row.recorded_at)) for row in plan.receipts]
        attempts = [(row, to_json(row)) for row in plan.attempts]
        outbox = self.queue.prepared(plan.outbox)
        self.payouts.put(plan, document)
        for receipt, text, recorded_us in receipts:
            self._add_receipt(receipt, text, recorded_us)
        for attempt, text in attempts:
            self._put_attempt(attempt, text)
        self.queue.add(outbox)

    async def settlement_versions(self, keys: Sequence[ReceiptKey]) -> Mapping[ReceiptKey, int]:
        return {key: self.settlements.get(key, (0, ""))[0] for key in keys if key in self.receipts}

    async def write_settlements(self, plans: Sequence[SettlementPlan]) -> None:
        ready = [
            (plan.settlement, to_json(plan.settlement), self.queue.prepared(plan.outbox)) for plan in plans
        ]
        for settlement, document, outbox in ready:
            self.settlements[settlement.key] = (settlement.version, document)
            self.queue.add(outbox)

    async def write(self, plan: Plan) -> None:
        payment_document = to_json(plan.payment)
        submissions = [(row, to_json(row)) for row in plan.submissions]
        operations = [(row, to_json(row), to_micros(row.updated_at)) for row in plan.operations]
        receipts = [(row, to_json(row), to_micros(row.recorded_at)) for row in plan.receipts]
        events = [(row, to_json(row)) for row in plan.events]
        attempts = [(row, to_json(row)) for row in plan.attempts]
        outbox = self.queue.prepared(plan.outbox)
        created_us = to_micros(plan.payment.created_at)
        # From here on nothing can fail.
        self._put_payment(plan, payment_document, created_us)
        for submission, document in submissions:
            self._put_submission(submission, document, plan.payment.merchant_reference)
        for operation, document, updated_us in operations:
            self._put_operation(operation, document, updated_us)
        for receipt, document, recorded_us in receipts:
            self._add_receipt(receipt, document, recorded_us)
        for event, document in events:
            self._events[event.tenant, plan.payment.payment_id].setdefault(event.id, document)
        for attempt, document in attempts:
            self._put_attempt(attempt, document)
        self.queue.add(outbox)

    # --- the tables one by one --------------------------------------------------------------------------------

    def _put_payment(self, plan: Plan, document: str, created_us: int) -> None:
        payment = plan.payment
        me = (payment.tenant, payment.payment_id)
        row = self.payments.get(me)
        if row is None:
            self._references[payment.tenant, payment.merchant_reference].append(payment.payment_id)
            row = self.payments[me] = PaymentRow(
                number=len(self.payments) + 1,
                tenant=payment.tenant,
                version=0,
                document="",
                payment_id=payment.payment_id,
                merchant_reference=payment.merchant_reference,
                gateway=payment.gateway,
                mode=payment.mode,
                state=payment.state,
                created_us=created_us,
            )
        row.state = payment.state
        row.changed(payment.version, document, plan.watch_at)

    def _put_submission(self, submission: Submission, document: str, merchant_reference: str) -> None:
        tenant, payment_id = submission.tenant, submission.payment_id
        mine = self._submissions[tenant, payment_id]
        if submission.submission_no not in mine:
            self._submitted[tenant, submission.gateway, submission.mode, merchant_reference] += 1
        mine[submission.submission_no] = SubmissionRow(
            submission.gateway,
            submission.mode,
            submission.gateway_order_id,
            submission.gateway_reference,
            submission.held_transaction_id,
            document,
        )
        order_id = (tenant, submission.gateway, submission.mode, submission.gateway_order_id)
        self._order_ids[order_id] = (payment_id, submission.submission_no)
        self._find_by("gateway_order_id", tenant, submission.gateway_order_id, payment_id)
        self._find_by("gateway_reference", tenant, submission.gateway_reference, payment_id)
        self._find_by("transaction_id", tenant, submission.held_transaction_id, payment_id)

    def _put_operation(self, operation: Operation, document: str, updated_us: int) -> None:
        me = (operation.tenant, operation.operation_id)
        old = self.operations.get(me)
        if old is not None:
            old.state, old.updated_us, old.document = operation.state, updated_us, document
            return
        self._operations_of[operation.tenant, operation.payment_id].append(operation.operation_id)
        self.operations[me] = OperationRow(
            len(self.operations) + 1,
            operation.tenant,
            operation.payment_id,
            operation.state,
            updated_us,
            document,
        )

    def _add_receipt(self, receipt: Receipt, document: str, recorded_us: int) -> None:
        if receipt.key in self.receipts:
            return
        self.receipts[receipt.key] = ReceiptRow(
            len(self.receipts) + 1, receipt.key, receipt.payment_id, recorded_us, document
        )
        if receipt.payment_id is not None:
            self._receipts_of[receipt.tenant, receipt.payment_id].append(receipt.key)
            self._find_by("transaction_id", receipt.tenant, receipt.transaction_id, receipt.payment_id)

    def _put_attempt(self, attempt: Attempt, document: str) -> None:
        self._attempts[attempt.tenant, attempt.payment_id][attempt.operation_id, attempt.fence] = document

    def _find_by(self, name: str, tenant: str, value: str | None, payment_id: str) -> None:
        if value is not None:
            self._found_by[tenant, name, value][payment_id] = None

    # --- reading ----------------------------------------------------------------------------------------------

    def note_attempt(self, attempt: Attempt) -> None:
        """Upsert one attempt."""
        self._put_attempt(attempt, to_json(attempt))

    def find(self, tenant: str, key: FindKey) -> tuple[PaymentRow, ...]:
        """The payments that the key finds, oldest first."""
        if key.name == "merchant_reference":
            ids = tuple(self._references.get((tenant, key.value), ()))
        else:
            seen = self._found_by.get((tenant, key.name, key.value), ())
            ids = tuple(payment_id for payment_id in seen if self._has(tenant, payment_id, key))
        return tuple(sorted((self.payments[tenant, i] for i in ids), key=lambda row: row.position))

    def _has(self, tenant: str, payment_id: str, key: FindKey) -> bool:
        """Whether the payment has the key now: a submission's gateway reference may have been replaced."""
        me = (tenant, payment_id)
        for submission in self._submissions.get(me, {}).values():
            values = {
                "gateway_order_id": submission.gateway_order_id,
                "gateway_reference": submission.gateway_reference,
                "transaction_id": submission.held_transaction_id,
            }
            if values[key.name] == key.value:
                return True
        return key.name == "transaction_id" and any(
            receipt.transaction_id == key.value for receipt in self._receipts_of.get(me, ())
        )

    def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's events, in the order of insertion."""
        return tuple(
            from_json(PaymentEvent, text) for text in self._events.get((tenant, payment_id), {}).values()
        )

    def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """The payment's attempts, in the order of insertion."""
        return tuple(
            from_json(Attempt, text) for text in self._attempts.get((tenant, payment_id), {}).values()
        )

    def settlements_of(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        """The settlements of these receipts."""
        found = (self.settlements.get(key) for key in dict.fromkeys(keys))
        return tuple(from_json(Settlement, kept[1]) for kept in found if kept is not None)

    # --- watching ---------------------------------------------------------------------------------------------

    def watched(self) -> Iterator[Subject]:
        """Everything that can be watched."""
        for (_, payment_id), payment in self.payments.items():
            yield SubjectKind.PAYMENT, payment_id, payment
        for (_, agreement_key), agreement in self.agreements.rows.items():
            yield SubjectKind.AGREEMENT, agreement_key, agreement
        for (_, payout_id), payout in self.payouts.rows.items():
            yield SubjectKind.PAYOUT, payout_id, payout

    def subject(self, kind: SubjectKind, tenant: str, subject_id: str) -> Watched | None:
        """The row of what is watched."""
        if kind is SubjectKind.PAYMENT:
            return self.payments.get((tenant, subject_id))
        if kind is SubjectKind.PAYOUT:
            return self.payouts.rows.get((tenant, subject_id))
        return self.agreements.rows.get((tenant, subject_id)) if kind is SubjectKind.AGREEMENT else None

    def arm(self, now: datetime) -> int:
        """Arm what is open and has no watch; how many."""
        unsettled = {
            (operation.tenant, operation.payment_id)
            for operation in self.operations.values()
            if operation.state in OPEN_OPERATIONS
        }
        payments = [row for me, row in self.payments.items() if row.state in OPEN_PAYMENTS or me in unsettled]
        agreements = [row for row in self.agreements.rows.values() if row.is_open]
        payouts = [row for row in self.payouts.rows.values() if row.is_out]
        return sum(row.arm(now) for row in (*payments, *agreements, *payouts))

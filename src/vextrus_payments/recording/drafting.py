"""Draft: collects what one transaction changes on one payment, with the entries and the news that go with it."""

import hashlib
from dataclasses import replace
from datetime import datetime

from vextrus_payments.documents import to_json
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap, entries_for
from vextrus_payments.methods import PaymentMethod
from vextrus_payments.money import Money
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    Resolution,
    Submission,
    SubmissionState,
)
from vextrus_payments.states import check_operation_edge, check_payment_edge
from vextrus_payments.watching import watch_after


class Draft:
    """Collects the changes of one transaction on one payment."""

    def __init__(self, facts: PaymentFacts, now: datetime, accounts: AccountMap = DEFAULT_ACCOUNTS) -> None:
        self.facts = facts
        self.now = now
        self.accounts = accounts
        self.payment: Payment = facts.payment
        self._submissions: dict[int, Submission] = {}
        self._operations: dict[str, Operation] = {}
        self._receipts: list[Receipt] = []
        self._events: list[PaymentEvent] = []
        self._outbox: list[OutboxRow] = []
        self._guards: dict[str, int] = {}
        self._whole_reference = False
        self._look_by: datetime | None = None

    def guard(self, siblings: tuple[PaymentFacts, ...]) -> None:
        """The plan relies on these siblings being as they were read, and on there being no others."""
        self._whole_reference = True
        for sibling in siblings:
            self._guards[sibling.payment.payment_id] = sibling.payment.version

    def look_by(self, at: datetime) -> None:
        """Have the payment looked at then at the latest, though its facts alone would let it wait longer."""
        self._look_by = at

    def move(self, state: PaymentState, **changes: object) -> None:
        """Put the payment into a state, over an edge of the table."""
        check_payment_edge(self.payment.state, state)
        self.payment = replace(self.payment, state=state, **changes)  # type: ignore[arg-type]

    def flag(self, *flags: Flag) -> None:
        """Add flags to the payment."""
        self.payment = replace(self.payment, flags=self.payment.flags | set(flags))

    def unflag(self, flag: Flag) -> None:
        """Take a flag from the payment."""
        self.payment = replace(self.payment, flags=self.payment.flags - {flag})

    def operation(self, operation: Operation, state: OperationState, **changes: object) -> None:
        """Put an operation into a state, over an edge of the table."""
        check_operation_edge(operation.state, state)
        moved = replace(operation, state=state, updated_at=self.now, **changes)  # type: ignore[arg-type]
        self._operations[operation.operation_id] = moved

    def submission(self, submission: Submission) -> None:
        """Write a submission."""
        self._submissions[submission.submission_no] = submission

    def receipt(self, receipt: Receipt) -> None:
        """Add a fact and the entries that book it."""
        self._receipts.append(receipt)
        for entry in entries_for(receipt, self.payment, self.accounts):
            self._post(OutboxKind.LEDGER, entry.id, to_json(entry))

    @property
    def payments_received(self) -> tuple[Receipt, ...]:
        """Money that came, also what was taken back since, with what this very draft books."""
        return tuple(r for r in (*self.facts.receipts, *self._receipts) if r.kind is ReceiptKind.PAYMENT)

    def reverse(self, receipt: Receipt) -> None:
        """Take back what was booked on an operator's word: a fact of its own, with exactly opposite entries."""
        self.receipt(
            replace(
                receipt,
                kind=ReceiptKind.REVERSAL,
                reverses=receipt.kind,
                recorded_at=self.now,
                original_transaction_id=receipt.transaction_id,
                occurred_at=None,
            )
        )

    def quarantine(
        self,
        *,
        operation_id: str | None = None,
        amount: Money | None = None,
        transaction_id: str | None = None,
    ) -> None:
        """A person has to look; announced once."""
        if Flag.QUARANTINED in self.payment.flags:
            return
        self.flag(Flag.QUARANTINED)
        self.announce(
            EventKind.QUARANTINED,
            before=self.facts.payment.state,
            after=self.payment.state,
            operation_id=operation_id,
            amount=amount,
            transaction_id=transaction_id,
        )

    def refused(self, operation: Operation, reason: Reason, kind: EventKind) -> None:
        """A final no to an operation that closes nothing."""
        self.operation(operation, OperationState.DECLINED, reason=reason)
        self.announce(
            kind,
            before=operation.state,
            after=OperationState.DECLINED,
            operation_id=operation.operation_id,
            amount=operation.amount,
            reason=reason,
        )

    def announce(
        self,
        kind: EventKind,
        *,
        before: str | None,
        after: str,
        operation_id: str | None = None,
        amount: Money | None = None,
        transaction_id: str | None = None,
        reason: Reason | None = None,
        resolution: Resolution | None = None,
        method: PaymentMethod | None = None,
    ) -> None:
        """Add an event. Its id is fixed by the payment's version: the same commit, the same event."""
        payment = self.payment
        seed = (
            f"{payment.tenant}\x1f{payment.payment_id}\x1f{payment.version}\x1f{len(self._events)}\x1f{kind}"
        )
        event = PaymentEvent(
            id=f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}",
            kind=kind,
            tenant=payment.tenant,
            gateway=payment.gateway,
            mode=payment.mode,
            payment_id=payment.payment_id,
            merchant_reference=payment.merchant_reference,
            occurred_at=self.now,
            before=before,
            after=after,
            operation_id=operation_id,
            amount=amount,
            transaction_id=transaction_id,
            reason_code=reason.code.value if reason else None,
            correlation_id=payment.correlation_id,
            metadata=payment.metadata,
            resolution=resolution,
            method=method,
        )
        self._events.append(event)
        self._post(OutboxKind.EVENT, event.id, to_json(event))

    def succeed(self, operation: Operation | None, transaction_id: str | None) -> None:
        """The gateway's confirmation settles the operation, whatever was believed of it."""
        if operation is None or operation.state is OperationState.SUCCEEDED:
            return
        self.operation(operation, OperationState.SUCCEEDED, transaction_id=transaction_id, reason=None)
        if operation.state is OperationState.UNKNOWN:
            self.resolved(operation, OperationState.SUCCEEDED)

    def resolved(self, operation: Operation, after: OperationState) -> None:
        """Announce that an unknown has been answered."""
        self.announce(
            EventKind.UNKNOWN_RESOLVED,
            before=OperationState.UNKNOWN,
            after=after,
            operation_id=operation.operation_id,
            amount=operation.amount or self.payment.amount,
        )

    def close(self, kind: EventKind, reason: Reason, operation_id: str | None) -> None:
        """The payment is over without money."""
        before = self.payment.state
        if before in (PaymentState.PAID, PaymentState.CLOSED):
            return
        self.move(PaymentState.CLOSED, closed_reason=reason)
        self.submission(replace(self.facts.submission, state=SubmissionState.CLOSED))
        self.announce(
            kind,
            before=before,
            after=PaymentState.CLOSED,
            operation_id=operation_id,
            amount=self.payment.amount,
            reason=reason,
        )

    def _watch_at(self, payment: Payment) -> datetime | None:
        at = watch_after(self._after(payment), self.now)
        if self._look_by is None:
            return at
        return self._look_by if at is None else min(at, self._look_by)

    def _post(self, kind: OutboxKind, row_id: str, document: str) -> None:
        seq = self.payment.outbox_seq + 1
        self.payment = replace(self.payment, outbox_seq=seq)
        self._outbox.append(
            OutboxRow(
                tenant=self.payment.tenant,
                row_id=row_id,
                # Ledger and news keep their own order: a parked entry never silences the shop.
                subject=f"{kind.value}/{self.payment.payment_id}",
                seq=seq,
                kind=kind,
                document=document,
                created_at=self.now,
            )
        )

    def plan(self) -> Plan | None:
        """The plan, or None when nothing changed."""
        changed = self._submissions or self._operations or self._receipts or self._events
        if not changed and self.payment == self.facts.payment:
            return None
        version = self.facts.payment.version
        payment = replace(self.payment, version=version + 1, updated_at=self.now)
        return Plan(
            payment=payment,
            expected_version=version,
            watch_at=self._watch_at(payment),
            submissions=tuple(self._submissions.values()),
            operations=tuple(self._operations.values()),
            receipts=tuple(self._receipts),
            events=tuple(self._events),
            outbox=tuple(self._outbox),
            guards=tuple(self._guards.items()),
            whole_reference=self._whole_reference,
        )

    def _after(self, payment: Payment) -> PaymentFacts:
        """The facts as they are once the plan is written."""
        submissions = {s.submission_no: s for s in self.facts.submissions} | self._submissions
        operations = {o.operation_id: o for o in self.facts.operations} | self._operations
        return PaymentFacts(
            payment=payment,
            submissions=tuple(submissions.values()),
            operations=tuple(operations.values()),
            receipts=(*self.facts.receipts, *self._receipts),
        )

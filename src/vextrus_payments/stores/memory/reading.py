"""What the memory store keeps its rows in, and what it answers without writing."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.documents import from_json
from vextrus_payments.errors import StorageError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.inbox import InboxBacklog, InboxRow, InboxState
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import (
    Agreement,
    Attempt,
    Operation,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    PaymentState,
    Payout,
    Receipt,
    ReceiptKey,
    Settlement,
    SubjectKind,
)
from vextrus_payments.store import OutboxBacklog
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import (
    FIND_LIMIT,
    FindKey,
    Position,
    check_limit,
    check_many,
    optional_micros,
    optional_moment,
)
from vextrus_payments.stores.memory.agreements import AgreementRow
from vextrus_payments.stores.memory.payouts import PayoutRow
from vextrus_payments.stores.memory.rows import MemoryRows, OperationRow, PaymentRow, ReceiptRow
from vextrus_payments.stores.memory.tokens import MemoryTokens
from vextrus_payments.stores.transactions import finished

_RowT = TypeVar("_RowT", PaymentRow, OperationRow, AgreementRow, PayoutRow, ReceiptRow)


class MemoryReading:
    """Open, closed, and the reading half of the port."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._is_open = False
        self._all = MemoryRows()
        self._all_tokens = MemoryTokens()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'open' if self._is_open else 'closed'})"

    @property
    def durable(self) -> bool:
        """False: nothing here survives the process."""
        return False

    async def open(self) -> None:
        """Make it usable."""
        self._is_open = True

    async def close(self) -> None:
        """Refuse further use until it is opened again."""
        self._is_open = False

    def now(self) -> datetime:
        """The injected clock's time."""
        return self._clock.now()

    def _rows(self) -> MemoryRows:
        self._check_open()
        return self._all

    def _tokens(self) -> MemoryTokens:
        self._check_open()
        return self._all_tokens

    def _check_open(self) -> None:
        if not self._is_open:
            raise StorageError(
                "The store is not open.", code="storage_closed", next_step="Await its open() first."
            )

    # --- payments -------------------------------------------------------------------------------------------

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        return finished(self._rows().facts(tenant, payment_id))

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        """The operation and the facts of its payment."""
        return finished(transactions.get_operation(self._rows(), tenant, operation_id))

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        """The reference's payments other than `without`, oldest first."""
        work = transactions.siblings_of(self._rows(), tenant, merchant_reference, without=without)
        return finished(work)

    async def find(
        self,
        tenant: str,
        *,
        merchant_reference: str | None = None,
        gateway: str | None = None,
        mode: Mode | None = None,
        gateway_order_id: str | None = None,
        gateway_reference: str | None = None,
        transaction_id: str | None = None,
    ) -> tuple[PaymentFacts, ...]:
        """Payments by exactly one key, oldest first, at most 100."""
        key = FindKey.of(
            merchant_reference=merchant_reference,
            gateway_order_id=gateway_order_id,
            gateway_reference=gateway_reference,
            transaction_id=transaction_id,
        )
        rows = self._rows()
        found = [
            row.payment_id
            for row in rows.find(tenant, key)
            if gateway in (None, row.gateway) and mode in (None, row.mode)
        ]
        return finished(rows.facts_of(tenant, found[:FIND_LIMIT]))

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """1 + how many submissions the reference has had there."""
        return 1 + finished(self._rows().count_submissions(tenant, gateway, mode, merchant_reference))

    async def list(
        self,
        tenant: str | None = None,
        *,
        state: PaymentState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payment]:
        """Payments by creation time, oldest first."""
        since_us = optional_micros(since)
        rows = [
            row
            for row in self._rows().payments.values()
            if tenant in (None, row.tenant)
            and state in (None, row.state)
            and (since_us is None or row.created_us >= since_us)
        ]
        page, following = _page(rows, cursor, limit)
        return Page(tuple(from_json(Payment, row.document) for row in page), following)

    async def list_operations(
        self,
        tenant: str | None = None,
        *,
        states: Sequence[OperationState],
        updated_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Operation]:
        """Operations in any of these states, oldest update first."""
        before_us = optional_micros(updated_before)
        rows = [
            row
            for row in self._rows().operations.values()
            if tenant in (None, row.tenant)
            and row.state in states
            and (before_us is None or row.updated_us < before_us)
        ]
        page, following = _page(rows, cursor, limit)
        return Page(tuple(from_json(Operation, row.document) for row in page), following)

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's event log, oldest first."""
        return self._rows().events(tenant, payment_id)

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """Every attempt on the payment's operations, oldest first."""
        return self._rows().attempts(tenant, payment_id)

    # --- the outbox, watching -------------------------------------------------------------------------------

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits."""
        return self._rows().queue.backlog(kind)

    async def list_outbox(
        self,
        kind: OutboxKind,
        *,
        tenant: str | None = None,
        parked: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[OutboxRow]:
        """Outbox rows in the order in which they were written, delivered ones too."""
        after = Position.of(cursor)
        return self._rows().queue.listed(kind, tenant, parked, after, check_limit(limit))

    async def outbox_rows(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        """The outbox rows of these ids."""
        check_many(row_ids)
        return self._rows().queue.of_ids(tenant, row_ids)

    async def change_mark(self) -> int | None:
        """None: there is no other process, and asking for rows costs nothing."""
        self._check_open()
        return None

    async def next_watch(self, tenant: str, subject_kind: SubjectKind, subject_id: str) -> datetime | None:
        """When something is to be looked at next."""
        row = self._rows().subject(subject_kind, tenant, subject_id)
        return None if row is None else optional_moment(row.watch_us)

    # --- the inbox ------------------------------------------------------------------------------------------

    async def get_inbox(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> InboxRow | None:
        """One row."""
        return self._rows().inbox.get((tenant, gateway, mode.value, event_id))

    async def list_inbox(
        self,
        tenant: str | None,
        *,
        gateway: str | None = None,
        state: InboxState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[InboxRow]:
        """Rows, newest received first."""
        since_us, after = optional_micros(since), Position.of(cursor)
        return self._rows().inbox.listed(tenant, gateway, state, since_us, after, check_limit(limit))

    async def inbox_backlog(self) -> InboxBacklog:
        """How much is not over."""
        return self._rows().inbox.backlog()

    async def next_event_at(self) -> datetime | None:
        """When the next row falls due."""
        return self._rows().inbox.next_at()

    # --- agreements, receipts, marks ------------------------------------------------------------------------

    async def get_agreement(self, tenant: str, agreement_key: str) -> Agreement | None:
        """The agreement with all its operations."""
        return self._rows().agreements.get(tenant, agreement_key)

    async def find_agreements(
        self,
        tenant: str,
        *,
        operation_id: str | None = None,
        gateway_reference: str | None = None,
        agreement_id: str | None = None,
    ) -> tuple[Agreement, ...]:
        """Agreements by exactly one key, oldest first, at most 100."""
        key = FindKey.of(
            operation_id=operation_id, gateway_reference=gateway_reference, agreement_id=agreement_id
        )
        return self._rows().agreements.find(tenant, key)

    async def get_payout(self, tenant: str, payout_id: str) -> Payout | None:
        """The payout or transfer of that id."""
        return self._rows().payouts.get(tenant, payout_id)

    async def find_payout(self, tenant: str, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation."""
        return self._rows().payouts.find(tenant, operation_id)

    async def list_payouts(
        self,
        tenant: str | None = None,
        *,
        unsettled: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payout]:
        """Payouts by creation, oldest first."""
        rows = [
            row
            for row in self._rows().payouts.rows.values()
            if tenant in (None, row.tenant) and not (unsettled and row.is_settled)
        ]
        page, following = _page(rows, cursor, limit)
        return Page(tuple(row.record() for row in page), following)

    async def list_agreements(
        self, tenant: str | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Agreement]:
        """Agreements by creation, oldest first."""
        rows = [row for row in self._rows().agreements.rows.values() if tenant in (None, row.tenant)]
        page, following = _page(rows, cursor, limit)
        return Page(tuple(row.record() for row in page), following)

    async def receipts(
        self, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
    ) -> tuple[Receipt, ...]:
        """The receipts with these transaction ids (at most 1,000)."""
        check_many(transaction_ids)
        return tuple(
            from_json(Receipt, row.document)
            for key, row in self._rows().receipts.items()
            if key[:3] == (tenant, gateway, mode) and key.transaction_id in transaction_ids
        )

    async def list_receipts(
        self,
        tenant: str,
        gateway: str,
        mode: Mode,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        unsettled: bool = False,
        cursor: str | None = None,
        limit: int = 1000,
    ) -> Page[Receipt]:
        """Receipts by the time they were recorded, oldest first; `unsettled`: only those without a settlement."""
        since_us, until_us, kept = optional_micros(since), optional_micros(until), self._rows()
        rows = [
            row
            for key, row in kept.receipts.items()
            if key[:3] == (tenant, gateway, mode)
            and (since_us is None or row.recorded_us >= since_us)
            and (until_us is None or row.recorded_us < until_us)
            and not (unsettled and key in kept.settlements)
        ]
        page, following = _page(rows, cursor, limit)
        return Page(tuple(from_json(Receipt, row.document) for row in page), following)

    async def settlements(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        """The settlements of these receipts (at most 1,000)."""
        check_many(keys)
        return self._rows().settlements_of(keys)

    async def get_mark(self, name: str) -> str | None:
        """A small text under a name."""
        return self._rows().marks.get(name)


def _page(rows: Sequence[_RowT], cursor: str | None, limit: int) -> tuple[Sequence[_RowT], str | None]:
    """The rows of one page, and the cursor of the next."""
    after = Position.of(cursor)
    ordered = sorted(rows, key=lambda row: row.position)
    rest = [row for row in ordered if after is None or row.position > after]
    page = rest[: check_limit(limit)]
    return page, page[-1].position.cursor() if len(rest) > len(page) else None

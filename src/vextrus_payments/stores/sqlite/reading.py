"""What an SQLite store answers without writing: each method is one snapshot of the file."""

import builtins
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from vextrus_payments.documents import from_json
from vextrus_payments.events import PaymentEvent
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
    FindKey,
    Position,
    check_limit,
    check_many,
    optional_moment,
)
from vextrus_payments.stores.sqlite import agreements, books, listing, payouts, queue, watches
from vextrus_payments.stores.sqlite.handle import SqliteHandle
from vextrus_payments.stores.transactions import finished

#: How many rows are looked at in one piece of work: a few milliseconds.
_STRETCH: Final = 2_000


class SqliteReading(SqliteHandle):
    """The reading half of the port."""

    # --- reading ----------------------------------------------------------------------------------------------

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        return await self._read(lambda c: finished(self._rows(c).facts(tenant, payment_id)))

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        """The operation and the facts of its payment."""
        return await self._read(
            lambda c: finished(transactions.get_operation(self._rows(c), tenant, operation_id))
        )

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        """The reference's payments other than `without`, oldest first."""
        return await self._read(
            lambda c: finished(
                transactions.siblings_of(self._rows(c), tenant, merchant_reference, without=without)
            )
        )

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
        return await self._read(
            lambda c: finished(self._rows(c).facts_of(tenant, listing.find(c, tenant, key, gateway, mode)))
        )

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """1 + how many submissions the reference has had there."""
        return 1 + await self._read(
            lambda c: finished(self._rows(c).count_submissions(tenant, gateway, mode, merchant_reference))
        )

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
        return await self._read(lambda c: listing.payments(c, tenant, state, since, cursor, limit))

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
        return await self._read(
            lambda c: listing.operations(c, tenant, states, updated_before, cursor, limit)
        )

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's event log, oldest first."""
        return await self._read(lambda c: listing.events(c, tenant, payment_id))

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """Every attempt on the payment's operations, oldest first."""
        return await self._read(lambda c: listing.attempts(c, tenant, payment_id))

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
        check_limit(limit)
        return await self._read(lambda c: queue.listed(c, kind, tenant, parked, after, limit))

    async def outbox_rows(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        """The outbox rows of these ids."""
        check_many(row_ids)
        return await self._read(lambda c: queue.of_ids(c, tenant, row_ids))

    async def next_watch(self, tenant: str, subject_kind: SubjectKind, subject_id: str) -> datetime | None:
        """When something is to be looked at next."""
        return await self._read(lambda c: watches.next_look(c, tenant, subject_kind, subject_id))

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits. Counts a bounded number of rows at a time: others come in between."""
        waiting, parked, oldest, after = 0, 0, builtins.list[int](), queue.QUEUE_START
        while True:
            stretch = await self._read(partial(queue.backlog, kind=kind, after=after, length=_STRETCH))
            waiting, parked = waiting + stretch.waiting, parked + stretch.parked
            oldest += () if stretch.oldest_us is None else (stretch.oldest_us,)
            if stretch.end is None:
                return OutboxBacklog(waiting, parked, optional_moment(min(oldest, default=None)))
            after = stretch.end

    async def change_mark(self) -> int | None:
        """SQLite's own count of what others have committed; commits through this very store do not move it.

        It is of this connection: one that was taken before a close() says nothing after the next open().
        """
        return await self._look(lambda c: int(c.execute("PRAGMA data_version").fetchone()[0]))

    # --- agreements, receipts, settlements, marks -------------------------------------------------------------

    async def get_agreement(self, tenant: str, agreement_key: str) -> Agreement | None:
        """The agreement with all its operations."""
        return await self._read(lambda c: agreements.get(c, tenant, agreement_key))

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
        return await self._read(lambda c: agreements.find(c, tenant, key))

    async def get_payout(self, tenant: str, payout_id: str) -> Payout | None:
        """The payout or transfer of that id."""
        return await self._read(lambda c: payouts.get(c, tenant, payout_id))

    async def find_payout(self, tenant: str, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation."""
        return await self._read(lambda c: payouts.find(c, tenant, operation_id))

    async def list_payouts(
        self,
        tenant: str | None = None,
        *,
        unsettled: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payout]:
        """Payouts by creation, oldest first."""
        after = Position.of(cursor)
        check_limit(limit)
        return await self._read(lambda c: payouts.listed(c, tenant, unsettled, after, limit))

    async def list_agreements(
        self, tenant: str | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Agreement]:
        """Agreements by creation, oldest first."""
        after = Position.of(cursor)
        check_limit(limit)
        return await self._read(lambda c: agreements.listed(c, tenant, after, limit))

    async def receipts(
        self, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
    ) -> tuple[Receipt, ...]:
        """The receipts with these transaction ids (at most 1,000)."""
        check_many(transaction_ids)
        return await self._read(lambda c: books.receipts(c, tenant, gateway, mode, transaction_ids))

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
        """Receipts by the time they were recorded, oldest first; `unsettled`: only those without a settlement.

        Looks at a bounded number of receipts at a time: others come in between, as between two pages.
        """
        check_limit(limit)
        account = (tenant, gateway, mode)
        after: Position | None = Position.of(cursor)
        rows: builtins.list[tuple[Position, str]] = []
        while len(rows) <= limit:
            stretch = await self._read(
                partial(
                    books.receipts_by_time,
                    account=account,
                    since=since,
                    until=until,
                    unsettled=unsettled,
                    after=after,
                    length=_STRETCH if unsettled else limit + 1,
                )
            )
            rows += stretch.rows
            after = stretch.end
            if after is None:
                break
        page = rows[:limit]
        following = page[-1][0].cursor() if len(rows) > limit else None
        return Page(tuple(from_json(Receipt, document) for _, document in page), following)

    async def settlements(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        """The settlements of these receipts (at most 1,000)."""
        check_many(keys)
        return await self._read(lambda c: books.settlements(c, keys))

    async def get_mark(self, name: str) -> str | None:
        """A small text under a name."""
        return await self._read(lambda c: books.get_mark(c, name))

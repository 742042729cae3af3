"""What a PostgresStore reads: each method one or two statements, no transaction, nothing locked."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

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
from vextrus_payments.stores.columns import FindKey, Position, check_limit, check_many
from vextrus_payments.stores.postgres import books, listing, queue, tokens, watches
from vextrus_payments.stores.postgres.database import Database
from vextrus_payments.stores.postgres.rows import PostgresRows
from vextrus_payments.stores.postgres.session import Session


class Reading:
    """The reading half of the port."""

    if TYPE_CHECKING:

        @property
        def _database(self) -> Database: ...

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        return await self._database.read(lambda session: PostgresRows(session).facts(tenant, payment_id))

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        """The operation and the facts of its payment."""
        return await self._database.read(
            lambda session: transactions.get_operation(PostgresRows(session), tenant, operation_id)
        )

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        """The reference's payments other than `without`, oldest first."""
        return await self._database.read(
            lambda session: transactions.siblings_of(
                PostgresRows(session), tenant, merchant_reference, without=without
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

        async def work(session: Session) -> tuple[PaymentFacts, ...]:
            found = await listing.find(session, tenant, key, gateway, mode)
            return await PostgresRows(session).facts_of(tenant, found)

        return await self._database.read(work)

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """1 + how many submissions the reference has had there."""
        return 1 + await self._database.read(
            lambda session: PostgresRows(session).count_submissions(tenant, gateway, mode, merchant_reference)
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
        after = Position.of(cursor)
        check_limit(limit)
        return await self._database.read(
            lambda session: listing.payments(session, tenant, state, since, after, limit)
        )

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
        after = Position.of(cursor)
        check_limit(limit)
        return await self._database.read(
            lambda session: listing.operations(session, tenant, states, updated_before, after, limit)
        )

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's event log, oldest first."""
        return await self._database.read(lambda session: listing.events(session, tenant, payment_id))

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """Every attempt on the payment's operations, oldest first."""
        return await self._database.read(lambda session: listing.attempts(session, tenant, payment_id))

    # --- the queues -------------------------------------------------------------------------------------------

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits."""
        return await self._database.read(lambda session: queue.backlog(session, kind))

    async def list_outbox(
        self,
        kind: OutboxKind,
        *,
        tenant: str | None = None,
        parked: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[OutboxRow]:
        """Rows in the order in which they were written."""
        after = Position.of(cursor)
        check_limit(limit)
        return await self._database.read(
            lambda session: queue.listed(session, kind, tenant, parked, after, limit)
        )

    async def outbox_rows(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        """The outbox rows of these ids."""
        check_many(row_ids)
        return await self._database.read(lambda session: queue.of_ids(session, tenant, row_ids))

    async def change_mark(self) -> int | None:
        """None: only asking for rows can tell."""
        return self._database.change_mark

    async def next_watch(self, tenant: str, subject_kind: SubjectKind, subject_id: str) -> datetime | None:
        """When something is to be looked at next."""
        return await self._database.read(
            lambda session: watches.next_look(session, tenant, subject_kind, subject_id)
        )

    # --- agreements -------------------------------------------------------------------------------------------

    async def get_agreement(self, tenant: str, agreement_key: str) -> Agreement | None:
        """The agreement with all its operations."""
        return await self._database.read(lambda session: listing.agreement(session, tenant, agreement_key))

    async def find_agreements(
        self,
        tenant: str,
        *,
        operation_id: str | None = None,
        gateway_reference: str | None = None,
        agreement_id: str | None = None,
    ) -> tuple[Agreement, ...]:
        """By exactly one key, oldest first, at most 100."""
        key = FindKey.of(
            operation_id=operation_id, gateway_reference=gateway_reference, agreement_id=agreement_id
        )
        return await self._database.read(lambda session: listing.find_agreements(session, tenant, key))

    async def get_payout(self, tenant: str, payout_id: str) -> Payout | None:
        """The payout or transfer of that id."""
        return await self._database.read(lambda session: listing.payout(session, tenant, payout_id))

    async def find_payout(self, tenant: str, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation."""
        return await self._database.read(lambda session: listing.find_payout(session, tenant, operation_id))

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
        return await self._database.read(
            lambda session: listing.payouts(session, tenant, unsettled, after, limit)
        )

    async def list_agreements(
        self, tenant: str | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Agreement]:
        """Agreements by creation, oldest first."""
        after = Position.of(cursor)
        check_limit(limit)
        return await self._database.read(lambda session: listing.agreements(session, tenant, after, limit))

    # --- receipts, settlements, marks, tokens-------------------------------------------------------------------

    async def receipts(
        self, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
    ) -> tuple[Receipt, ...]:
        """The receipts with these transaction ids."""
        check_many(transaction_ids)
        return await self._database.read(
            lambda session: books.receipts(session, tenant, gateway, mode, transaction_ids)
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
        """Receipts by the time they were recorded, oldest first."""
        after = Position.of(cursor)
        check_limit(limit)
        account = (tenant, gateway, mode)
        return await self._database.read(
            lambda session: books.receipts_by_time(session, account, since, until, unsettled, after, limit)
        )

    async def settlements(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        """The settlements of these receipts."""
        check_many(keys)
        return await self._database.read(lambda session: books.settlements(session, keys))

    async def get_mark(self, name: str) -> str | None:
        """A small text under a name."""
        return await self._database.read(lambda session: books.get_mark(session, name))

    async def token_get(self, digest: str) -> str | None:
        """The document as last put."""
        return await self._database.read(lambda session: tokens.get(session, digest))

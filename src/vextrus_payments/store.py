"""The store port: a few atomic operations; the rules inside them are the pure plan functions.

A store's `reserve` and `claim` read facts, ask plan_reserve() or plan_claim(), and write the plan in **one**
transaction, in which no other writer of the same (tenant, merchant reference) can slip between. Leases and claims
use the store's clock. Every row is keyed by tenant. `testing.check_store` judges every implementation.

All methods raise StorageError when the database fails: nothing is half-written, and what was reserved is the anchor
from which status() recovers.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from vextrus_payments.events import PaymentEvent
from vextrus_payments.inbox_port import InboxRows
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    AgreementAnswer,
    AgreementPlan,
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    PayoutAnswer,
    PayoutPlan,
    Plan,
    ReserveAnswer,
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
)
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
    Watch,
)
from vextrus_payments.token_port import TokenRows


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """What still waits in one queue, for health and metrics."""

    waiting: int
    parked: int
    oldest_created_at: datetime | None


class PaymentStore(TokenRows, InboxRows, Protocol):
    """Where payments, operations, receipts, events, the outbox, and tokens live.

    Unique keys: (tenant, payment id); (tenant, operation id); (tenant, gateway, mode, gateway order id); the
    receipt key; the outbox row id; (tenant, agreement key); (tenant, payout id). Receipts and events are only inserted.
    """

    @property
    def durable(self) -> bool:
        """False for a store that forgets with its process: refused in live mode."""
        ...

    async def open(self) -> None:
        """Connect, and migrate where the store does that by itself. Idempotent."""
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...

    def now(self) -> datetime:
        """The store's clock: claims and leases are measured on it."""
        ...

    # --- the flow -------------------------------------------------------------------------------------------

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        """Reserve an operation durably: facts are read and plan_reserve()'s plan is written in one transaction.

        OrderIdTaken when the made gateway order id exists already (the caller takes the next number).
        """
        ...

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """Take the right to submit, by plan_claim() in one transaction. Refused for an unknown operation id."""
        ...

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """Append evidence to a claimed operation, durably.

        Raises:
            StaleStateError: the claim's fence is not the latest, or the operation is no longer submitting.
        """
        ...

    async def release(self, claim: Claim) -> bool:
        """Give a claim back that is proven without effect (plan_release). False: its fence is not the latest."""
        ...

    async def commit(self, plan: Plan) -> CommitAnswer:
        """Write a plan whole or not at all.

        Stale: the payment's version is not `plan.expected_version`, a guarded payment's version differs, the
        reference has a payment that a plan with `whole_reference` does not name, or an operation id of the plan
        belongs to another payment.
        ReceiptElsewhere: a receipt of the plan is booked to another payment (of the same tenant).
        OrderIdTaken: a new submission's gateway order id exists. In all three cases nothing was written. A receipt
        already booked to this very payment, an event or outbox row that exists: left as it is.

        Raises:
            StorageError: also for a plan whose rows are not all of its one payment, or hold what cannot be stored.
        """
        ...

    async def note_attempt(self, attempt: Attempt) -> None:
        """Write an attempt's log (upsert by tenant, operation id, fence). Not fenced: it is history."""
        ...

    # --- reading --------------------------------------------------------------------------------------------

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        ...

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        """The operation and the facts of its payment."""
        ...

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        """The reference's payments other than `without`, whatever their gateway, oldest first."""
        ...

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
        """Payments by exactly one of merchant_reference, gateway_order_id, gateway_reference, transaction_id.

        `transaction_id` is a receipt's or a hold's.
        `gateway` and `mode` narrow it. Oldest first; at most 100. ValueError if not exactly one key is given.
        """
        ...

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """1 + how many submissions the reference has had there."""
        ...

    async def list(
        self,
        tenant: str | None = None,
        *,
        state: PaymentState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payment]:
        """Payments by creation time, oldest first. `tenant=None`: all tenants (for workers)."""
        ...

    async def list_operations(
        self,
        tenant: str | None = None,
        *,
        states: Sequence[OperationState],
        updated_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Operation]:
        """Operations in any of these states, oldest update first: nothing that is open stays invisible."""
        ...

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's event log, oldest first."""
        ...

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """Every attempt on the payment's operations, oldest first."""
        ...

    # --- the outbox -----------------------------------------------------------------------------------------

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        """Lease due rows: per subject only the lowest undelivered seq, none that is leased or parked.

        A row whose lease ran out is leased again: delivery is at least once.
        """
        ...

    async def ack(self, row: OutboxRow) -> None:
        """Mark a row delivered; it is kept."""
        ...

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        """Mark rows delivered in one transaction (at most 1,000, of one kind or of both); each as ack() does."""
        ...

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery and set when to try again; `retry_at=None` parks it with the reason `why`."""
        ...

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits."""
        ...

    async def list_outbox(
        self,
        kind: OutboxKind,
        *,
        tenant: str | None = None,
        parked: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[OutboxRow]:
        """Rows in the order in which they were written, delivered ones too; `parked`: only those set aside."""
        ...

    async def outbox_rows(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        """The rows of these ids (at most 1,000), in no particular order."""
        ...

    async def unpark(self, tenant: str, row_id: str) -> bool:
        """Let a parked row be delivered again, at once and with its tries back at nought. False: it is not parked."""
        ...

    async def change_mark(self) -> int | None:
        """A number that differs once another process has committed; None where only asking for rows can tell."""
        ...

    # --- watching: what the reconciler looks at ---------------------------------------------------------------

    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        """Lease payments, agreements and payouts whose `watch_at` has come, the longest due first; none that is leased.

        Nobody else gets them before the lease is over, whatever is committed on them meanwhile.
        """
        ...

    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        """End a lease and set when to look next; None: never again, unless something is committed.

        False: a commit came in between (its own time stands), or the lease is no longer the latest. The lease is ended
        in the first case too.
        """
        ...

    async def next_watch(self, tenant: str, subject_kind: SubjectKind, subject_id: str) -> datetime | None:
        """When a payment or an agreement is to be looked at next; None: never, or there is none of that id."""
        ...

    async def sweep_watches(self) -> int:
        """Arm what is open and has no watch (rows of an older release, a hand in the database); how many were armed.

        Open: payments created or awaiting their payer or authorized, and payments with an operation that is not
        settled; agreements and payouts of which somebody still has to say something.
        """
        ...

    # --- agreements -------------------------------------------------------------------------------------------

    async def get_agreement(self, tenant: str, agreement_key: str) -> Agreement | None:
        """The agreement with all its operations."""
        ...

    async def find_agreements(
        self,
        tenant: str,
        *,
        operation_id: str | None = None,
        gateway_reference: str | None = None,
        agreement_id: str | None = None,
    ) -> tuple[Agreement, ...]:
        """By exactly one key, oldest first, at most 100. ValueError if not exactly one is given."""
        ...

    async def list_agreements(
        self, tenant: str | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> Page[Agreement]:
        """Agreements by creation, oldest first."""
        ...

    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        """Write it whole or not at all.

        Stale: the version is not `plan.expected_version`. OperationTaken: one of its operation ids belongs to a
        payment or to another agreement of the tenant (as a payment's commit and reserve answer Stale and Conflict for
        an id that an agreement has).
        """
        ...

    # --- payouts and transfers --------------------------------------------------------------------------------

    async def get_payout(self, tenant: str, payout_id: str) -> Payout | None:
        """The payout or transfer of that id."""
        ...

    async def find_payout(self, tenant: str, operation_id: str) -> Payout | None:
        """The payout or transfer with that operation."""
        ...

    async def list_payouts(
        self,
        tenant: str | None = None,
        *,
        unsettled: bool = False,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payout]:
        """Payouts and transfers by creation, oldest first; `unsettled`: only those whose operation is not settled, or
        of which the gateway tells otherwise than the books (`Payout.in_review`)."""
        ...

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        """Write it whole or not at all, its receipts with it.

        Stale: the version is not `plan.expected_version`. OperationTaken: its operation id belongs to something else of
        the tenant (as reserve answers Conflict for an id that a payout has). ReceiptElsewhere: a receipt of the plan is
        booked already. In all three cases nothing was written.
        """
        ...

    # --- receipts and settlements -----------------------------------------------------------------------------

    async def receipts(
        self, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
    ) -> tuple[Receipt, ...]:
        """The receipts with these transaction ids (at most 1,000), in no particular order."""
        ...

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
        """Receipts by the time they were recorded, oldest first, `since` <= recorded_at < `until`.

        `unsettled`: only those without a settlement.
        """
        ...

    async def settlements(self, keys: Sequence[ReceiptKey]) -> tuple[Settlement, ...]:
        """The settlements of these receipts (at most 1,000), in no particular order."""
        ...

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        """Write many settlements with their outbox rows in one transaction (at most 1,000); how many were written.

        A member whose version is not the expected one, or whose receipt is not here, is left out; nothing else of it is
        written either.
        """
        ...

    # --- marks ------------------------------------------------------------------------------------------------

    async def get_mark(self, name: str) -> str | None:
        """A small text under a name: the epoch, how far a sweep has come."""
        ...

    async def put_mark(self, name: str, value: str, *, expected: str | None) -> bool:
        """Set it if it is `expected` (None: if there is none yet). False: it is something else by now."""
        ...


@runtime_checkable
class TransactionalOutbox(Protocol):
    """A store whose outbox can be delivered within the caller's own database: what SqlLedger needs."""

    async def deliver_within(self, row: OutboxRow, write: Callable[[Any], Awaitable[None]]) -> bool:
        """Run `write(connection)` in the transaction that marks the row delivered: both, or neither.

        False: the row is delivered already, or no longer leased by whoever holds `row`; nothing was run.

        Raises:
            StorageError: the database failed; whatever `write` did is undone, unless the commit's answer got lost.
            Exception: what `write` raised; undone.
        """
        ...

"""The store port: a few atomic operations; the rules inside them are the pure plan functions.

A store's `reserve` and `claim` read facts, ask plan_reserve() or plan_claim(), and write the plan in **one**
transaction, in which no other writer of the same (tenant, merchant reference) can slip between. Leases and claims
use the store's clock. Every row is keyed by tenant. `testing.check_store` judges every implementation.

All methods raise StorageError when the database fails: nothing is half-written, and what was reserved is the anchor
from which status() recovers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Plan,
    ReserveAnswer,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.records import (
    Attempt,
    Operation,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    PaymentState,
)
from vextrus_payments.token_port import TokenRows

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """One page of a listing; `cursor` continues it, None at the end."""

    rows: tuple[RowT, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """What still waits in one queue, for health and metrics."""

    waiting: int
    parked: int
    oldest_created_at: datetime | None


class PaymentStore(TokenRows, Protocol):
    """Where payments, operations, receipts, events, the outbox, and tokens live.

    Unique keys: (tenant, payment id); (tenant, operation id); (tenant, gateway, mode, gateway order id); the
    receipt key; the outbox row id. Receipts and events are only inserted.
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

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery and set when to try again; `retry_at=None` parks it with the reason `why`."""
        ...

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits."""
        ...

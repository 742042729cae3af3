"""What the plan functions decide on and what they decide: reservations, facts, plans, answers."""

from dataclasses import dataclass
from datetime import datetime

from vextrus_payments.capabilities import OrderIdRule
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import PaymentRequest
from vextrus_payments.records import (
    Agreement,
    Attempt,
    Operation,
    OperationKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    Payout,
    Receipt,
    ReceiptKey,
    Settlement,
    Submission,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservePayment:
    """Please reserve a new payment with its first submission and its initialize operation."""

    tenant: str
    payment_id: str
    mode: Mode
    request: PaymentRequest
    order_ids: OrderIdRule
    skip: int = 0
    """How many order numbers to pass over, after the store found one taken."""

    @property
    def operation_id(self) -> str:
        """The initialize operation's id: the caller's."""
        return self.request.operation_id

    @property
    def digest(self) -> str:
        """The digest of the caller's parameters."""
        return self.request.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveOperation:
    """Please reserve an operation on an existing payment."""

    tenant: str
    operation_id: str
    kind: OperationKind
    payment_id: str
    digest: str
    submission_no: int | None = None
    """None: the payment's current one."""
    amount: Money | None = None
    """Of a refund; None means all that is still refundable."""
    note: str | None = None
    sku: str | None = None
    original_transaction_id: str | None = None
    """Of a refund that is to give back from this very receipt; None: from the first that has enough left."""


def siblings_decide(kind: OperationKind, *, allow_repeat: bool) -> bool:
    """Whether the reference's other payments can forbid reserving or claiming an operation of this kind.

    Where they cannot, plan_reserve() and plan_claim() do not look at them, and a store need not read them: a reference
    that is charged again and again on purpose (donations) may have very many.
    """
    charging = (OperationKind.INITIALIZE, OperationKind.EXECUTE, OperationKind.CAPTURE)
    return kind in charging and not allow_repeat


@dataclass(frozen=True, slots=True)
class ReserveFacts:
    """What a store reads, in the reserving transaction itself, before it asks plan_reserve()."""

    existing: PaymentFacts | None
    """The payment that already has an operation of this id (any kind), if one has."""
    target: PaymentFacts | None
    """For ReserveOperation: the payment it is about."""
    siblings: tuple[PaymentFacts, ...]
    """For ReservePayment: every payment of the same (tenant, merchant reference), whatever its gateway; none are
    needed where siblings_decide() says no."""
    order_number: int
    """For ReservePayment: 1 + how many submissions (tenant, gateway, mode, merchant reference) has had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one transaction writes. All or nothing; the new `payment.version` is `expected_version + 1`."""

    payment: Payment
    expected_version: int
    """0 inserts the payment."""
    submissions: tuple[Submission, ...] = ()
    operations: tuple[Operation, ...] = ()
    receipts: tuple[Receipt, ...] = ()
    """Only inserted: a receipt is never changed."""
    events: tuple[PaymentEvent, ...] = ()
    outbox: tuple[OutboxRow, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    guards: tuple[tuple[str, int], ...] = ()
    """Other payments of the tenant (id, version) on which the plan relies: changed ones make the plan stale."""
    whole_reference: bool = False
    """The guards name every other payment of the merchant reference: one that they do not name makes it stale too."""
    watch_at: datetime | None = None
    """When a worker is to look at the payment next; None: nothing about it is open. Written with the payment, it
    replaces what was set before and sets the tries back to nought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementPlan:
    """What one transaction writes about an agreement; `agreement.version` is `expected_version + 1`."""

    agreement: Agreement
    expected_version: int
    """0 inserts it."""
    outbox: tuple[OutboxRow, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    watch_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutPlan:
    """What one transaction writes about a payout or transfer; `payout.version` is `expected_version + 1`."""

    payout: Payout
    expected_version: int
    """0 inserts it."""
    receipts: tuple[Receipt, ...] = ()
    """Only inserted. They are no payment's: their `payment_id` is None."""
    outbox: tuple[OutboxRow, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    watch_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementPlan:
    """What is written about one receipt's settlement; `settlement.version` is `expected_version + 1`."""

    settlement: Settlement
    expected_version: int
    """0 inserts it."""
    outbox: tuple[OutboxRow, ...] = ()


# --- answers of reserve -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reserved:
    """Reserved by this call."""

    facts: PaymentFacts
    operation: Operation


@dataclass(frozen=True, slots=True)
class Same:
    """The same intent was reserved before: here it is."""

    facts: PaymentFacts
    operation: Operation


@dataclass(frozen=True, slots=True)
class Conflict:
    """The operation id belongs to another intent."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class SiblingLive:
    """Another payment of the reference is paid, or may turn out paid."""

    payment_id: str
    paid: bool
    """True: money is there (paid or authorized). False: nobody knows yet."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Our records forbid it."""

    why: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class OrderIdTaken:
    """The made gateway order id exists already: take the next number."""


ReserveAnswer = Reserved | Same | Conflict | SiblingLive | Refused | OrderIdTaken


# --- answers of claim ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTerms:
    """How long a claim may send, and how long after that the gateway can still be at work."""

    send_window_s: int
    settle_s: int
    """The gateway's hard limit and margin: only after send_by + this does a claim count as over."""
    one_refund_at_a_time: bool


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to submit, until `send_by` on the store's clock."""

    tenant: str
    operation_id: str
    payment_id: str
    fence: int
    send_by: datetime
    facts: PaymentFacts


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else holds the right, or may still be heard of."""

    retry_after_s: int
    facts: PaymentFacts


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Submitted, and not known how it ended: look it up."""

    facts: PaymentFacts
    operation: Operation


@dataclass(frozen=True, slots=True)
class Settled:
    """Terminal: nothing to submit."""

    facts: PaymentFacts
    operation: Operation


ClaimAnswer = Claim | Busy | Unresolved | Settled | SiblingLive | Refused


# --- answers of commit --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Committed:
    """Written."""

    version: int


@dataclass(frozen=True, slots=True)
class Stale:
    """The payment or a guarded one has another version: reload, replan; never resend."""


@dataclass(frozen=True, slots=True)
class ReceiptElsewhere:
    """A receipt of the plan is already booked to another payment."""

    key: ReceiptKey
    payment_id: str | None


CommitAnswer = Committed | Stale | OrderIdTaken | ReceiptElsewhere


@dataclass(frozen=True, slots=True)
class OperationTaken:
    """An operation id of the plan belongs to something else."""


AgreementAnswer = Committed | Stale | OperationTaken
PayoutAnswer = Committed | Stale | OperationTaken | ReceiptElsewhere

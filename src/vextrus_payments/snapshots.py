"""What a gateway shows when asked: normalized pictures of a payment, a refund, an agreement, a transaction."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from vextrus_payments.methods import PaymentMethod
from vextrus_payments.money import Money
from vextrus_payments.reasons import ReasonCode


class SnapshotState(StrEnum):
    """The gateway's state of a payment, normalized."""

    INITIATED = "initiated"
    """Created; the payer is not done."""
    APPROVED = "approved"
    """The payer is done; we have not executed, and nothing moved (where the payer completes: it may be moving now)."""
    AUTHORIZED = "authorized"
    """Money is held."""
    PAID = "paid"
    """Money moved to us."""
    CANCELLED = "cancelled"
    """Given up before any money moved."""
    VOIDED = "voided"
    """A hold was let go."""
    EXPIRED = "expired"
    DECLINED = "declined"
    REVIEW = "review"
    """Money moved or is held, but not as asked: see `mismatches`."""
    UNRECOGNIZED = "unrecognized"
    """A state nobody documented: proves nothing."""


class Mismatch(StrEnum):
    """In what a snapshot differs from what was asked."""

    GATEWAY_REFERENCE = "gateway_reference"
    GATEWAY_ORDER_ID = "gateway_order_id"
    CURRENCY = "currency"
    MODE = "mode"
    AMOUNT = "amount"
    TRANSACTION_ID = "transaction_id"
    """Money is said to have moved, but there is no transaction id to book it under."""
    ORIGINAL_TRANSACTION_ID = "original_transaction_id"
    """A refund of another payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentSnapshot:
    """A payment as the gateway shows it now.

    When money moved but not as asked, `state` is REVIEW, `mismatches` says in what, and `reported` keeps what the
    gateway called it.
    """

    state: SnapshotState
    gateway_reference: str
    raw_state: str
    """The gateway's own word."""
    gateway_order_id: str | None = None
    amount: Money | None = None
    transaction_id: str | None = None
    payer_account: str | None = field(default=None, repr=False)
    occurred_at: datetime | None = None
    fee: Money | None = None
    refundable: Money | None = None
    given_back: bool = False
    """Some of it, or all, has gone back since; told only by a gateway that cannot list refunds."""
    last_refund: str | None = None
    """Its last refund's id, where the gateway shows one in the payment itself."""
    mismatches: frozenset[Mismatch] = frozenset()
    reported: SnapshotState | None = None
    method: PaymentMethod | None = None
    """By what the payer paid, where the gateway says so."""
    on_hold: bool = False
    """The money is ours, and the gateway asks to keep the goods back: it takes the payment for risky."""
    also_paid: tuple["PaymentSnapshot", ...] = ()
    """Other payments that were made on the same page, each with a transaction id of its own: its payer paid twice."""


class RefundState(StrEnum):
    """The gateway's state of a refund, normalized."""

    COMPLETED = "completed"
    PENDING = "pending"
    DECLINED = "declined"
    UNRECOGNIZED = "unrecognized"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSnapshot:
    """One refund as the gateway shows it now.

    When it is not the refund that was asked for, `state` is UNRECOGNIZED (it proves nothing about ours), `mismatches`
    says in what, and `reported` keeps what the gateway called it.
    """

    state: RefundState
    transaction_id: str
    """The gateway's id of the refund itself."""
    original_transaction_id: str
    amount: Money | None
    raw_state: str
    charge: Money | None = None
    occurred_at: datetime | None = None
    mismatches: frozenset[Mismatch] = frozenset()
    reported: RefundState | None = None


class AgreementState(StrEnum):
    """The gateway's state of an agreement, normalized."""

    INITIATED = "initiated"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    UNRECOGNIZED = "unrecognized"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSession:
    """Where to send the payer to give consent."""

    gateway_reference: str = field(repr=False)
    """Its id until it holds; with some gateways the one that one charges by, so not in repr."""
    checkout_url: str | None = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSnapshot:
    """A payer's standing consent as the gateway shows it. With its id one can charge: not in repr."""

    state: AgreementState
    raw_state: str
    agreement_id: str | None = field(default=None, repr=False)
    gateway_reference: str | None = field(default=None, repr=False)
    payer_account: str | None = field(default=None, repr=False)
    payer_reference: str | None = field(default=None, repr=False)
    occurred_at: datetime | None = None
    ended_by: ReasonCode | None = None
    """Why one that is over ended, where the gateway tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionSnapshot:
    """A transaction found by its id. It may not name our order: alone it binds nothing."""

    transaction_id: str
    raw_state: str
    amount: Money | None = None
    kind: str | None = None
    payer_account: str | None = field(default=None, repr=False)
    original_amount: Money | None = None
    initiated_at: datetime | None = None
    completed_at: datetime | None = None

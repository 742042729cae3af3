"""A payment and its appearances at the gateway."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.reasons import Reason
from vextrus_payments.records.rows import Operation, Receipt, Resolution
from vextrus_payments.records.words import Flag, PaymentState, SubmissionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One intent to collect one amount for one merchant reference through one gateway."""

    tenant: str
    payment_id: str
    gateway: str
    mode: Mode
    merchant_reference: str
    amount: Money
    intent: Intent
    state: PaymentState
    created_at: datetime
    updated_at: datetime
    version: int
    """Grows with every commit: the compare-and-set's witness for the payment and all that belongs to it."""
    submission_no: int = 1
    """The current submission."""
    flags: frozenset[Flag] = frozenset()
    closed_reason: Reason | None = None
    return_url: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    allow_repeat: bool = False
    outbox_seq: int = 0
    """The last sequence number given to an outbox row of this payment."""
    resolutions: tuple[Resolution, ...] = ()
    """What operators have answered, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One appearance of a payment at the gateway."""

    tenant: str
    payment_id: str
    submission_no: int
    gateway: str
    mode: Mode
    gateway_order_id: str
    state: SubmissionState
    created_at: datetime
    gateway_reference: str | None = None
    checkout_url: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    held_transaction_id: str | None = None
    """The gateway's id of an authorization hold."""
    agreement_id: str | None = field(default=None, repr=False)
    """The gateway's id of the agreement that it charges, where its session said so."""


@dataclass(frozen=True, slots=True)
class PaymentFacts:
    """Everything of one payment, read in one transaction: what the plan functions decide on."""

    payment: Payment
    submissions: tuple[Submission, ...] = ()
    operations: tuple[Operation, ...] = ()
    receipts: tuple[Receipt, ...] = ()

    @property
    def submission(self) -> Submission:
        """The current submission."""
        return self.submission_numbered(self.payment.submission_no)

    def submission_numbered(self, number: int) -> Submission:
        """The submission of that number; a payment always has its current one."""
        return next(s for s in self.submissions if s.submission_no == number)

    @property
    def held_submission(self) -> Submission:
        """The submission whose hold is to be captured or voided: the current one, unless only another has a hold."""
        current = self.submission
        if current.held_transaction_id is None:
            for submission in self.submissions:
                if submission.held_transaction_id is not None:
                    return submission
        return current

    def operation(self, operation_id: str) -> Operation | None:
        """The operation of that id, if the payment has it."""
        return next((o for o in self.operations if o.operation_id == operation_id), None)

"""The words in which rows are told: lives, kinds, flags. states.py holds the edges between them."""

from enum import StrEnum


class PaymentState(StrEnum):
    """The life of a payment. states.py holds the edges and the evidence each one needs."""

    CREATED = "created"
    AWAITING_PAYER = "awaiting_payer"
    AUTHORIZED = "authorized"
    PAID = "paid"
    CLOSED = "closed"
    LAPSED = "lapsed"


class Flag(StrEnum):
    """What is special about a payment, beside its state."""

    QUARANTINED = "quarantined"
    """Evidence contradicts our records: further operations are refused until a person has looked."""
    ON_HOLD = "on_hold"
    """The money is ours, and the gateway asks to keep the goods back: it takes the payment for risky."""
    LATE = "late"
    DUPLICATE = "duplicate"
    ADOPTED = "adopted"
    """Of a receipt: a refund that was made elsewhere, in the gateway's portal for one."""
    BY_OPERATOR = "by_operator"
    """Of a receipt: booked on an operator's word; the gateway's own word outranks it."""


class SubmissionState(StrEnum):
    """The life of one appearance at the gateway."""

    CREATED = "created"
    OPEN = "open"
    SUPERSEDED = "superseded"
    """No longer what the payer is sent to, and perhaps still before him: it is watched until its time is over."""
    CLOSED = "closed"


class OperationKind(StrEnum):
    """What an operation instructs."""

    INITIALIZE = "initialize"
    EXECUTE = "execute"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    AGREEMENT = "agreement"
    PAYOUT = "payout"
    TRANSFER = "transfer"


class SubjectKind(StrEnum):
    """What an operation is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    AGREEMENT = "agreement"
    PAYOUT = "payout"
    TRANSFER = "transfer"
    SUBSCRIPTION = "subscription"


class OperationState(StrEnum):
    """The life of an operation. states.py holds the edges."""

    RESERVED = "reserved"
    SUBMITTING = "submitting"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    DECLINED = "declined"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"


class ReceiptKind(StrEnum):
    """In which way money moved."""

    PAYMENT = "payment"
    REFUND = "refund"
    REVERSAL = "reversal"
    PAYOUT = "payout"
    TRANSFER = "transfer"
    """Between the merchant's own accounts at the gateway: out of the collection account, into the disbursement one."""
    TRANSFER_BACK = "transfer_back"
    """The other way."""
    CORRECTION = "correction"
    """A payout or transfer booked anew, after a person found that the books had not got it as it was."""


class ResolutionVerdict(StrEnum):
    """What an operator found out about something that was not known."""

    MADE = "made"
    """Money moved, under the transaction id given."""
    NOT_MADE = "not_made"
    """Nothing moved, and nothing can move any more."""
    CLEARED = "cleared"
    """A quarantined payment has been looked into: it may be worked with again. Of a payout under review: the books
    have it right as they stand."""
    TAKEN_BACK = "taken_back"
    """Of a payout only: what a person said of it before was a mistake. What was booked on his word is taken back, and
    nobody knows again how it ended."""


class OutboxKind(StrEnum):
    """Where an outbox row goes."""

    LEDGER = "ledger"
    EVENT = "event"


class AgreementLife(StrEnum):
    """The life of an agreement."""

    CREATED = "created"
    AWAITING_PAYER = "awaiting_payer"
    ACTIVE = "active"
    CLOSED = "closed"
    """Never given."""
    ENDED = "ended"

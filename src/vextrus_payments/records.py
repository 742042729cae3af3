"""What the store keeps: frozen rows of payments, submissions, operations, attempts and receipts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from pydantic import JsonValue

from vextrus_payments.methods import PaymentMethod
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.payouts import PayoutKind, TransferDirection
from vextrus_payments.reasons import Reason


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


class ReceiptKey(NamedTuple):
    """What makes a receipt the same fact, however often and from wherever it is reported."""

    tenant: str
    gateway: str
    mode: Mode
    kind: ReceiptKind
    transaction_id: str


class ResolutionVerdict(StrEnum):
    """What an operator found out about something that was not known."""

    MADE = "made"
    """Money moved, under the transaction id given."""
    NOT_MADE = "not_made"
    """Nothing moved, and nothing can move any more."""
    CLEARED = "cleared"
    """A quarantined payment has been looked into: it may be worked with again. Of a payout under review: the books
    have it right as they stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A person's answer to a question that no gateway has answered. Later gateway evidence outranks it."""

    verdict: ResolutionVerdict
    actor: str
    """Who says so."""
    reason: str
    evidence: tuple[str, ...]
    """What it rests on: a ticket, a statement's line, a gateway's mail."""
    reviewed_version: int
    """The payment's version that was looked at: another one by then, and the resolution was refused."""
    at: datetime
    operation_id: str | None = None
    transaction_id: str | None = None
    amount: Money | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One deliberate instruction; its id is the caller's idempotency key."""

    tenant: str
    operation_id: str
    kind: OperationKind
    subject_kind: SubjectKind
    subject_id: str
    payment_id: str
    """Whose rows it stands among: the payment's id, the agreement's key, or the payout's id."""
    submission_no: int
    digest: str
    state: OperationState
    created_at: datetime
    updated_at: datetime
    fence: int = 0
    """Grows with every claim: only the holder of the latest fence may submit or checkpoint."""
    amount: Money | None = None
    send_by: datetime | None = None
    """Of the current or last claim: no first byte after it."""
    evidence: tuple[Evidence, ...] = ()
    reason: Reason | None = None
    transaction_id: str | None = None
    """What the gateway calls the result: a refund's own transaction id."""
    original_transaction_id: str | None = None
    """The receipt a refund gives back from, fixed at reservation."""
    note: str | None = None
    """What a refund says it is for."""
    sku: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and what came of it, redacted: the payment log's line."""

    at: datetime
    operation: str
    step: str
    method: str
    url: str
    sent: str
    status: int | None
    request: Mapping[str, str]
    answer: Mapping[str, str]
    error: str | None
    elapsed_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One claim of an operation and every exchange made under it."""

    tenant: str
    operation_id: str
    payment_id: str
    fence: int
    started_at: datetime
    send_by: datetime
    amount: Money | None = None
    """What the operation was to move."""
    finished_at: datetime | None = None
    result: str | None = None
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A fact: money moved. The set of receipts only grows; totals are sums over it."""

    tenant: str
    gateway: str
    mode: Mode
    kind: ReceiptKind
    transaction_id: str
    amount: Money
    recorded_at: datetime
    payment_id: str | None
    submission_no: int | None = None
    operation_id: str | None = None
    merchant_reference: str | None = None
    occurred_at: datetime | None = None
    original_transaction_id: str | None = None
    payer_account: str | None = field(default=None, repr=False)
    fee: Money | None = None
    flags: frozenset[Flag] = frozenset()
    """Of a refund: LATE and DUPLICATE come from the receipt it gives back from, whose account it is booked against."""
    mismatched: bool = False
    """Ours, but at another amount: booked to suspense."""
    reverses: ReceiptKind | None = None
    """Of a reversal: the kind of the receipt (of this very transaction id) that it takes back, because it was booked on
    an operator's word and the gateway's contradicts that. None: the gateway itself reversed a payment."""
    corrects: ReceiptKind | None = None
    """Of a correction: the kind of the receipt (of this very transaction id) in whose place it stands."""
    method: PaymentMethod | None = None
    """By what the payer paid, where the gateway says so."""

    @property
    def key(self) -> ReceiptKey:
        """The receipt's identity."""
        return ReceiptKey(self.tenant, self.gateway, self.mode, self.kind, self.transaction_id)


class OutboxKind(StrEnum):
    """Where an outbox row goes."""

    LEDGER = "ledger"
    EVENT = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """One thing to hand over, at least once, in order per subject."""

    tenant: str
    row_id: str
    """The entry's or event's id: unique, and what the receiver dedupes on."""
    subject: str
    seq: int
    kind: OutboxKind
    document: str
    """The LedgerEntry or PaymentEvent as JSON."""
    created_at: datetime
    attempts: int = 0
    next_at: datetime | None = None
    parked: str | None = None
    """Why it was set aside; None while it is still tried."""
    leased_until: datetime | None = None
    """The end of the lease under which it was given out: the lease's own witness."""
    delivered_at: datetime | None = None


#: The step under which the operation that asks for a subscription keeps its terms, before anything is sent.
AGREEMENT_TERMS: Final = "agreement.terms"


class AgreementLife(StrEnum):
    """The life of an agreement."""

    CREATED = "created"
    AWAITING_PAYER = "awaiting_payer"
    ACTIVE = "active"
    CLOSED = "closed"
    """Never given."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A payer's standing consent, and every operation on it. With its id one can charge: not in repr."""

    tenant: str
    agreement_key: str
    """Ours; exists before the gateway has named it."""
    gateway: str
    mode: Mode
    payer_reference: str = field(repr=False)
    state: AgreementLife
    created_at: datetime
    updated_at: datetime
    version: int
    operations: tuple[Operation, ...] = ()
    gateway_reference: str | None = field(default=None, repr=False)
    """Of the session in which the payer was to consent; with some gateways it is the id that one charges by."""
    """Of the session in which the payer consents."""
    checkout_url: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    agreement_id: str | None = field(default=None, repr=False)
    """The gateway's."""
    payer_account: str | None = field(default=None, repr=False)
    return_url: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    outbox_seq: int = 0

    @property
    def terms(self) -> Mapping[str, JsonValue] | None:
        """Of a subscription: the terms by which the gateway collects by itself, as they were asked for."""
        found = self._asked_for().get("terms")
        return found if isinstance(found, dict) else None

    @property
    def merchant_reference(self) -> str:
        """Of a subscription: under which of our references its payments are booked."""
        found = self._asked_for().get("merchant_reference")
        return found if isinstance(found, str) else self.agreement_key

    @property
    def beside(self) -> str | None:
        """The key of the agreement whose payer consented a second time, on another page of it; None: it is none such.

        Both hold, and under both the gateway collects; each is ended by its own key, and both by the first one's.
        """
        found = self._asked_for().get("beside")
        return found if isinstance(found, str) else None

    def _asked_for(self) -> Mapping[str, JsonValue]:
        kept = (e.data for o in self.operations for e in o.evidence if e.step == AGREEMENT_TERMS)
        return next(kept, {})

    def operation(self, operation_id: str) -> Operation | None:
        """The operation of that id, if the agreement has it."""
        return next((o for o in self.operations if o.operation_id == operation_id), None)


#: Evidence of a payout that the gateway tells otherwise of it than the books have it, and that a person has answered.
PAYOUT_CONTRADICTED: Final = "payout.contradicted"
PAYOUT_REVIEWED: Final = "payout.reviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """Money that was to leave, or to move between the merchant's own accounts, once, with the operation that does it.

    Its life is its operation's state. There is no second submission beside the first: what may have moved money stays
    unknown until somebody can tell.
    """

    tenant: str
    payout_id: str
    """Ours, and what the gateway sees as our number of it."""
    gateway: str
    mode: Mode
    kind: PayoutKind
    amount: Money
    reference: str
    operation: Operation
    created_at: datetime
    updated_at: datetime
    version: int
    receiver: str | None = field(default=None, repr=False)
    direction: TransferDirection | None = None
    receipts: tuple[Receipt, ...] = ()
    """Everything that was booked of it, oldest first; a reversal takes back what an operator had said."""
    resolutions: tuple[Resolution, ...] = ()
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    outbox_seq: int = 0

    @property
    def operation_id(self) -> str:
        """The caller's id of it."""
        return self.operation.operation_id

    @property
    def state(self) -> OperationState:
        """How far it has come."""
        return self.operation.state

    @property
    def standing(self) -> tuple[Receipt, ...]:
        """The receipts that were not taken back. More than one: money left more than once, for a person to look at."""
        back = {(r.reverses, r.transaction_id) for r in self.receipts if r.kind is ReceiptKind.REVERSAL}
        return tuple(
            r
            for r in self.receipts
            if r.kind is not ReceiptKind.REVERSAL and (r.kind, r.transaction_id) not in back
        )

    @property
    def contradicted(self) -> bool:
        """Whether the gateway told otherwise of it than it is booked, and no person has answered since."""
        told = [e.step for e in self.operation.evidence if e.step in (PAYOUT_CONTRADICTED, PAYOUT_REVIEWED)]
        return bool(told) and told[-1] == PAYOUT_CONTRADICTED

    @property
    def in_review(self) -> bool:
        """Whether a person has to look: it is contradicted, or money moved otherwise than asked and nobody has said a
        word of that."""
        return self.contradicted or any(r.mismatched and not self._is_reviewed(r) for r in self.standing)

    def _is_reviewed(self, receipt: Receipt) -> bool:
        answers = (e.data.get("transactions") for e in self.operation.evidence if e.step == PAYOUT_REVIEWED)
        return any(isinstance(ids, list) and receipt.transaction_id in ids for ids in answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a statement of the gateway says of one receipt. At most one per receipt; it changes only by a correction."""

    tenant: str
    gateway: str
    mode: Mode
    kind: ReceiptKind
    transaction_id: str
    payment_id: str | None
    amount: Money
    """Gross, as the statement has it."""
    fee: Money | None
    settled_on: date
    """A day in Asia/Dhaka."""
    statement: str
    """The statement's name."""
    row: int
    recorded_at: datetime
    version: int
    outbox_seq: int = 0
    """The last sequence number given to an outbox row of this settlement."""

    @property
    def key(self) -> ReceiptKey:
        """The receipt it settles."""
        return ReceiptKey(self.tenant, self.gateway, self.mode, self.kind, self.transaction_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One payment, agreement or payout that is due to be looked at, leased to whoever got this."""

    tenant: str
    subject_kind: SubjectKind
    """PAYMENT, AGREEMENT or PAYOUT (a transfer too)."""
    subject_id: str
    version: int
    """When it was leased: a later commit has set a time of its own."""
    tries: int
    """How often it has been leased since it last changed; 1 on the first."""
    due_at: datetime
    leased_until: datetime


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

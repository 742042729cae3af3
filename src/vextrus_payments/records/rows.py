"""Rows that stand among those of a payment, an agreement or a payout: operations and their attempts, receipts, what is
to be handed over, what is due."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from vextrus_payments.methods import PaymentMethod
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.reasons import Reason
from vextrus_payments.records.words import (
    Flag,
    OperationKind,
    OperationState,
    OutboxKind,
    ReceiptKind,
    ResolutionVerdict,
    SubjectKind,
)


class ReceiptKey(NamedTuple):
    """What makes a receipt the same fact, however often and from wherever it is reported."""

    tenant: str
    gateway: str
    mode: Mode
    kind: ReceiptKind
    transaction_id: str
    no: int = 1
    """See Receipt.no."""

    @property
    def label(self) -> str:
        """Its kind and number as one text, which stores keep and entries' ids are made of: `correction`,
        `correction/2`."""
        return self.kind.value if self.no == 1 else f"{self.kind.value}/{self.no}"


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
    no: int = 1
    """Of a transaction that was corrected again: the n-th reversal takes back what stood, the n-th correction stands in
    the place of that. All else is the first."""
    method: PaymentMethod | None = None
    """By what the payer paid, where the gateway says so."""

    @property
    def key(self) -> ReceiptKey:
        """The receipt's identity."""
        return ReceiptKey(self.tenant, self.gateway, self.mode, self.kind, self.transaction_id, self.no)

    @property
    def moved_as(self) -> ReceiptKind:
        """In which way money moved by it: a correction is what it stands in the place of."""
        return self.corrects or self.kind

    def takes_back(self, other: "Receipt") -> bool:
        """Whether it is the reversal of that receipt: the first one of the first booking, the next of a correction."""
        if self.kind is not ReceiptKind.REVERSAL or self.transaction_id != other.transaction_id:
            return False
        before = 0 if other.corrects is None else other.no
        return self.reverses is other.moved_as and self.no == before + 1


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

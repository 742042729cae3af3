"""What the store keeps: frozen rows of payments, submissions, operations, attempts and receipts."""

from vextrus_payments.records.agreements import AGREEMENT_TERMS, Agreement
from vextrus_payments.records.payments import Payment, PaymentFacts, Submission
from vextrus_payments.records.payouts import PAYOUT_CONTRADICTED, PAYOUT_REVIEWED, Payout
from vextrus_payments.records.rows import (
    Attempt,
    Exchange,
    Operation,
    OutboxRow,
    Receipt,
    ReceiptKey,
    Resolution,
    Watch,
)
from vextrus_payments.records.settlements import Settlement
from vextrus_payments.records.words import (
    AgreementLife,
    Flag,
    OperationKind,
    OperationState,
    OutboxKind,
    PaymentState,
    ReceiptKind,
    ResolutionVerdict,
    SubjectKind,
    SubmissionState,
)

__all__ = [
    "AGREEMENT_TERMS",
    "PAYOUT_CONTRADICTED",
    "PAYOUT_REVIEWED",
    "Agreement",
    "AgreementLife",
    "Attempt",
    "Exchange",
    "Flag",
    "Operation",
    "OperationKind",
    "OperationState",
    "OutboxKind",
    "OutboxRow",
    "Payment",
    "PaymentFacts",
    "PaymentState",
    "Payout",
    "Receipt",
    "ReceiptKey",
    "ReceiptKind",
    "Resolution",
    "ResolutionVerdict",
    "Settlement",
    "SubjectKind",
    "Submission",
    "SubmissionState",
    "Watch",
]

"""Async payments through Bangladesh's gateways that stay right when answers get lost.

Money is never moved twice, never lost from the ledger, and never called "failed" when nobody knows. Start with
`Payments`; its README example is a whole shop. Everything here is loaded on first use.
"""

from importlib import import_module

TYPE_CHECKING = False  # in place of typing's, whose import takes ten times as long as all of this one
if TYPE_CHECKING:
    from typing import Any

    from vextrus_payments.app import Payments, TenantPayments
    from vextrus_payments.capabilities import Capabilities
    from vextrus_payments.engine import EpochState, ReturnResult
    from vextrus_payments.epoch import EpochMark, FileEpochMark
    from vextrus_payments.errors import (
        AlreadyPaidError,
        AmountError,
        AnswerLostError,
        AnswerTimeoutError,
        AuthenticationRejectedError,
        ConfigurationError,
        ConflictError,
        CredentialsMissingError,
        CurrencyNotSupportedError,
        DeclinedError,
        DeliveryError,
        Effect,
        GatewayBlockedError,
        GatewayError,
        InvalidRequestError,
        MalformedWebhookError,
        MissingExtraError,
        NotSentError,
        OperationConflictError,
        OutcomeNotRecordedError,
        OutcomeUnknownError,
        PaymentsError,
        ReconciliationRequiredError,
        SignatureError,
        StaleStateError,
        StatementError,
        StorageError,
        TenantSuspendedError,
        ThrottledError,
        TimestampOutsideWindowError,
        UndeliverableError,
        UnknownGatewayError,
        UnreadableAnswerError,
        UnsupportedOperationError,
        WebhookError,
    )
    from vextrus_payments.events import EventKind, History, PaymentEvent
    from vextrus_payments.health import Health
    from vextrus_payments.ledger import AccountMap, EntryKind, LedgerCallback, LedgerEntry, Posting, Side
    from vextrus_payments.methods import MethodKind, PaymentMethod
    from vextrus_payments.mode import Mode
    from vextrus_payments.money import Money
    from vextrus_payments.outbox import OutboxAlarm, OutboxLimits
    from vextrus_payments.outcomes import (
        Authorized,
        Declined,
        Outcome,
        Paid,
        PayoutOutcome,
        Pending,
        Refunded,
        RefundOutcome,
        Review,
        Sent,
        TransferOutcome,
        Transferred,
        Unknown,
    )
    from vextrus_payments.payment import (
        ConsentRequest,
        Customer,
        Intent,
        PaymentRequest,
        PaymentSession,
        RefundRequest,
    )
    from vextrus_payments.payouts import (
        AccountBalance,
        AccountRole,
        GatewayBalance,
        PayoutKind,
        PayoutRequest,
        TransferDirection,
        TransferRequest,
    )
    from vextrus_payments.reasons import Reason, ReasonCode
    from vextrus_payments.reconcile import Reconciled, ReconcileLimits, ReconcileReport
    from vextrus_payments.records import Agreement, AgreementLife, PaymentFacts, Payout, ResolutionVerdict
    from vextrus_payments.resolving import ResolveRequest
    from vextrus_payments.secret import Secret

_HOMES = {
    "app": ("Payments", "TenantPayments"),
    "capabilities": ("Capabilities",),
    "engine": ("EpochState", "ReturnResult"),
    "epoch": ("EpochMark", "FileEpochMark"),
    "errors": (
        "AlreadyPaidError",
        "AmountError",
        "AnswerLostError",
        "AnswerTimeoutError",
        "AuthenticationRejectedError",
        "ConfigurationError",
        "ConflictError",
        "CredentialsMissingError",
        "CurrencyNotSupportedError",
        "DeclinedError",
        "DeliveryError",
        "Effect",
        "GatewayBlockedError",
        "GatewayError",
        "InvalidRequestError",
        "MalformedWebhookError",
        "MissingExtraError",
        "NotSentError",
        "OperationConflictError",
        "OutcomeNotRecordedError",
        "OutcomeUnknownError",
        "PaymentsError",
        "ReconciliationRequiredError",
        "SignatureError",
        "StaleStateError",
        "StatementError",
        "StorageError",
        "TenantSuspendedError",
        "ThrottledError",
        "TimestampOutsideWindowError",
        "UndeliverableError",
        "UnknownGatewayError",
        "UnreadableAnswerError",
        "UnsupportedOperationError",
        "WebhookError",
    ),
    "events": ("EventKind", "History", "PaymentEvent"),
    "health": ("Health",),
    "ledger": ("AccountMap", "EntryKind", "LedgerCallback", "LedgerEntry", "Posting", "Side"),
    "methods": ("MethodKind", "PaymentMethod"),
    "mode": ("Mode",),
    "money": ("Money",),
    "outbox": ("OutboxAlarm", "OutboxLimits"),
    "outcomes": (
        "Authorized",
        "Declined",
        "Outcome",
        "Paid",
        "PayoutOutcome",
        "Pending",
        "RefundOutcome",
        "Refunded",
        "Review",
        "Sent",
        "TransferOutcome",
        "Transferred",
        "Unknown",
    ),
    "payment": ("ConsentRequest", "Customer", "Intent", "PaymentRequest", "PaymentSession", "RefundRequest"),
    "payouts": (
        "AccountBalance",
        "AccountRole",
        "GatewayBalance",
        "PayoutKind",
        "PayoutRequest",
        "TransferDirection",
        "TransferRequest",
    ),
    "reasons": ("Reason", "ReasonCode"),
    "reconcile": ("ReconcileLimits", "ReconcileReport", "Reconciled"),
    "records": ("Agreement", "AgreementLife", "PaymentFacts", "Payout", "ResolutionVerdict"),
    "resolving": ("ResolveRequest",),
    "secret": ("Secret",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "AccountBalance",
    "AccountMap",
    "AccountRole",
    "Agreement",
    "AgreementLife",
    "AlreadyPaidError",
    "AmountError",
    "AnswerLostError",
    "AnswerTimeoutError",
    "AuthenticationRejectedError",
    "Authorized",
    "Capabilities",
    "ConfigurationError",
    "ConflictError",
    "ConsentRequest",
    "CredentialsMissingError",
    "CurrencyNotSupportedError",
    "Customer",
    "Declined",
    "DeclinedError",
    "DeliveryError",
    "Effect",
    "EntryKind",
    "EpochMark",
    "EpochState",
    "EventKind",
    "FileEpochMark",
    "GatewayBalance",
    "GatewayBlockedError",
    "GatewayError",
    "Health",
    "History",
    "Intent",
    "InvalidRequestError",
    "LedgerCallback",
    "LedgerEntry",
    "MalformedWebhookError",
    "MethodKind",
    "MissingExtraError",
    "Mode",
    "Money",
    "NotSentError",
    "OperationConflictError",
    "OutboxAlarm",
    "OutboxLimits",
    "Outcome",
    "OutcomeNotRecordedError",
    "OutcomeUnknownError",
    "Paid",
    "PaymentEvent",
    "PaymentFacts",
    "PaymentMethod",
    "PaymentRequest",
    "PaymentSession",
    "Payments",
    "PaymentsError",
    "Payout",
    "PayoutKind",
    "PayoutOutcome",
    "PayoutRequest",
    "Pending",
    "Posting",
    "Reason",
    "ReasonCode",
    "ReconcileLimits",
    "ReconcileReport",
    "Reconciled",
    "ReconciliationRequiredError",
    "RefundOutcome",
    "RefundRequest",
    "Refunded",
    "ResolutionVerdict",
    "ResolveRequest",
    "ReturnResult",
    "Review",
    "Secret",
    "Sent",
    "Side",
    "SignatureError",
    "StaleStateError",
    "StatementError",
    "StorageError",
    "TenantPayments",
    "TenantSuspendedError",
    "ThrottledError",
    "TimestampOutsideWindowError",
    "TransferDirection",
    "TransferOutcome",
    "TransferRequest",
    "Transferred",
    "UndeliverableError",
    "Unknown",
    "UnknownGatewayError",
    "UnreadableAnswerError",
    "UnsupportedOperationError",
    "WebhookError",
    "__version__",
]


def __getattr__(name: str) -> "Any":
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

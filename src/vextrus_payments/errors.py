"""Every exception of the SDK. Each answers one question first: can money have moved?

PaymentsError
├ ConfigurationError
│   ├ UnknownGatewayError
│   ├ MissingExtraError
│   ├ CredentialsMissingError
│   └ TenantSuspendedError
├ InvalidRequestError                 refused before anything was sent
│   ├ AmountError
│   ├ CurrencyNotSupportedError
│   ├ StatementError                  a gateway's statement cannot be read; nothing of it was booked
│   └ UnsupportedOperationError
├ ConflictError
│   ├ OperationConflictError          same operation id, other parameters
│   ├ AlreadyPaidError                the merchant reference is paid or may be
│   ├ ReconciliationRequiredError     a restored store, until it has been reconciled
│   └ StaleStateError                 somebody else changed the payment first
├ GatewayError
│   ├ NotSentError                    proven: no byte left
│   ├ AuthenticationRejectedError     our credentials or token were refused at the front door
│   ├ ThrottledError                  too many requests, or our own budget is used up
│   ├ GatewayBlockedError             a firewall's page instead of an answer
│   ├ DeclinedError                   the gateway said no
│   └ OutcomeUnknownError             nobody can tell: never resend, look it up
│       ├ AnswerTimeoutError
│       ├ AnswerLostError
│       └ UnreadableAnswerError
├ WebhookError
│   ├ SignatureError
│   ├ TimestampOutsideWindowError
│   └ MalformedWebhookError
├ DeliveryError                       a callback or a sink did not take an entry or an event
│   └ UndeliverableError              and never will: it is set aside at once
└ StorageError
    └ OutcomeNotRecordedError         the gateway answered, the store did not take it
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Self

from vextrus_payments.reasons import Reason


class Effect(StrEnum):
    """Whether money can have moved by the call that failed."""

    NONE = "none"
    """Proven: nothing moved (not sent, refused at the front door, or a call that moves nothing)."""
    REFUSED = "refused"
    """The gateway understood the request and refused it: nothing moved."""
    UNKNOWN = "unknown"
    """Nobody can tell yet. Never resend; look it up."""


_MONEY: Final = {
    Effect.NONE: "No money moved.",
    Effect.REFUSED: "The gateway refused it; no money moved.",
    Effect.UNKNOWN: "Money may have moved: nobody can tell yet.",
}


class PaymentsError(Exception):
    """Base of all errors of this SDK.

    Attributes:
        effect: whether money can have moved, computed for this very failure.
        code: the gateway's or our own short code, such as "2023" or "not_sent".
        gateway, tenant, payment_id, operation_id: what it was about, where known.
        context: a few more redacted facts, each small and printable.
        next_step: what to do now.

    `str()` is three sentences: what happened, whether money may have moved, what to do next. It never shows a
    body or a header.
    """

    default_code: ClassVar[str] = "error"
    default_effect: ClassVar[Effect] = Effect.NONE
    default_next_step: ClassVar[str] = "See the error's attributes."

    def __init__(
        self,
        what: str,
        *,
        effect: Effect | None = None,
        code: str | None = None,
        next_step: str | None = None,
        gateway: str | None = None,
        tenant: str | None = None,
        payment_id: str | None = None,
        operation_id: str | None = None,
        context: Mapping[str, str | int | bool | None] | None = None,
    ) -> None:
        self.what = what
        self.effect: Effect = self.default_effect if effect is None else effect
        self.code: str = self.default_code if code is None else code
        self.next_step: str = self.default_next_step if next_step is None else next_step
        self.gateway = gateway
        self.tenant = tenant
        self.payment_id = payment_id
        self.operation_id = operation_id
        self.context: dict[str, str | int | bool | None] = dict(context or {})
        super().__init__(what)

    def __str__(self) -> str:
        return f"{self.what} {_MONEY[self.effect]} {self.next_step}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.what!r}, code={self.code!r}, effect={self.effect.value!r})"

    def about(
        self,
        *,
        gateway: str | None = None,
        tenant: str | None = None,
        payment_id: str | None = None,
        operation_id: str | None = None,
    ) -> Self:
        """Fill in, where still empty, what the error was about; returns itself."""
        self.gateway = self.gateway or gateway
        self.tenant = self.tenant or tenant
        self.payment_id = self.payment_id or payment_id
        self.operation_id = self.operation_id or operation_id
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, dict(self.__dict__)))


def _rebuild(cls: type[PaymentsError], what: str, state: dict[str, Any]) -> PaymentsError:
    error = cls.__new__(cls)
    Exception.__init__(error, what)
    error.__dict__.update(state)
    return error


# --- configuration ------------------------------------------------------------------------------------------


class ConfigurationError(PaymentsError):
    """The settings are wrong or incomplete; nothing was sent."""

    default_code = "configuration"
    default_next_step = "Mend the configuration."


class UnknownGatewayError(ConfigurationError):
    """No gateway of that name is installed or configured."""

    default_code = "unknown_gateway"


class MissingExtraError(ConfigurationError):
    """A feature needs packages that an extra brings."""

    default_code = "missing_extra"


class CredentialsMissingError(ConfigurationError):
    """The gateway's credentials are not all there."""

    default_code = "credentials_missing"


class TenantSuspendedError(ConfigurationError):
    """The tenant is switched off: its calls are refused."""

    default_code = "tenant_suspended"


# --- the caller's request -------------------------------------------------------------------------------------


class InvalidRequestError(PaymentsError, ValueError):
    """A field of the request breaks a rule; refused before anything was sent.

    Attributes:
        field: the name of the field, as the caller wrote it.
        rule: the rule it breaks, in a few words.
    """

    default_code = "invalid_request"
    default_next_step = "Correct the request and call again."

    def __init__(
        self,
        what: str,
        *,
        field: str | None = None,
        rule: str | None = None,
        **about: Any,
    ) -> None:
        super().__init__(what, **about)
        self.field = field
        self.rule = rule


class AmountError(InvalidRequestError):
    """An amount is no exact, allowed amount."""

    default_code = "invalid_amount"


class CurrencyNotSupportedError(InvalidRequestError):
    """The gateway does not take this currency."""

    default_code = "currency_not_supported"


class StatementError(InvalidRequestError):
    """A gateway's settlement statement, or the description of its columns, cannot be read. Nothing was booked.

    Attributes:
        row: the first row that cannot be read, counted from 1 as a spreadsheet does; None: the file as a whole.
        column: its column, by its heading.
        bad_rows: how many rows cannot be read.
    """

    default_code = "statement"
    default_next_step = "Correct the file or its format and run it again."

    def __init__(
        self,
        what: str,
        *,
        row: int | None = None,
        column: str | None = None,
        bad_rows: int = 0,
        **about: Any,
    ) -> None:
        super().__init__(what, field=column, **about)
        self.row = row
        self.column = column
        self.bad_rows = bad_rows


class UnsupportedOperationError(InvalidRequestError):
    """The gateway, as configured, cannot do this."""

    default_code = "unsupported_operation"
    default_next_step = "See the gateway's capabilities."


# --- conflicts --------------------------------------------------------------------------------------------------


class ConflictError(PaymentsError):
    """Our own records forbid the call; nothing was sent by it."""

    default_code = "conflict"


class OperationConflictError(ConflictError):
    """The operation id was used before with other parameters."""

    default_code = "operation_conflict"
    default_next_step = "Use a new operation id for a new intent, or repeat the first call unchanged."


class AlreadyPaidError(ConflictError):
    """The merchant reference is paid already, or a payment for it may still turn out paid.

    Attributes:
        other_payment_id: the payment that stands in the way.
    """

    default_code = "already_paid"
    default_next_step = (
        "Look at the other payment first; allow_repeat=True charges a reference again on purpose."
    )

    def __init__(self, what: str, *, other_payment_id: str | None = None, **about: Any) -> None:
        super().__init__(what, **about)
        self.other_payment_id = other_payment_id


class ReconciliationRequiredError(ConflictError):
    """The store was restored from a backup; calls that move money wait until it has been reconciled."""

    default_code = "reconciliation_required"


class StaleStateError(ConflictError):
    """Somebody else changed the record first; reload and look again."""

    default_code = "stale_state"
    default_next_step = "Read the current state and decide again."


# --- the gateway --------------------------------------------------------------------------------------------------


class GatewayError(PaymentsError):
    """A call to a gateway did not bring the wanted result; `effect` says whether money may have moved.

    Attributes:
        http_status: the HTTP status of the answer, where there was one.
        step: the protocol step ("execute", "refund.baseline").
    """

    default_code = "gateway_error"
    default_effect = Effect.UNKNOWN
    default_next_step = "Look the payment up before anything else."

    def __init__(
        self,
        what: str,
        *,
        http_status: int | None = None,
        step: str | None = None,
        **about: Any,
    ) -> None:
        super().__init__(what, **about)
        self.http_status = http_status
        self.step = step


class NotSentError(GatewayError):
    """Proven: not one byte of the request left this machine."""

    default_code = "not_sent"
    default_effect = Effect.NONE
    default_next_step = "Try again."


class AuthenticationRejectedError(GatewayError):
    """The gateway's front door refused our credentials or token, before any business logic."""

    default_code = "authentication_rejected"
    default_effect = Effect.NONE
    default_next_step = "Check the credentials, and that they belong to this product and mode."


class ThrottledError(GatewayError):
    """Too many requests: the gateway's front door said so, or a local budget is used up and nothing was sent.

    Attributes:
        retry_after_s: how many seconds to wait, where known.
    """

    default_code = "throttled"
    default_effect = Effect.NONE
    default_next_step = "Wait, then try again."

    def __init__(self, what: str, *, retry_after_s: int | None = None, **about: Any) -> None:
        super().__init__(what, **about)
        self.retry_after_s = retry_after_s


class GatewayBlockedError(GatewayError):
    """A firewall's page came instead of an answer.

    Attributes:
        support_id: the id the page shows, to be quoted to the gateway's support.
    """

    default_code = "blocked"
    default_next_step = (
        "Ask the gateway whether this server's address is allowed; look the payment up meanwhile."
    )

    def __init__(self, what: str, *, support_id: str | None = None, **about: Any) -> None:
        super().__init__(what, **about)
        self.support_id = support_id


class DeclinedError(GatewayError):
    """The gateway understood and said no.

    Attributes:
        reason: why, with sentences for the payer.
        final: True when this submission can no longer succeed; False when, say, the payer is not done yet.
        look_up_first: True when the gateway's no leaves open what happened before (bKash 2056, 2062, 2117): the
            state at the gateway must be looked up before anything is concluded.
    """

    default_code = "declined"
    default_effect = Effect.REFUSED
    default_next_step = "Show the reason to the payer; a new attempt is a new payment."

    def __init__(
        self,
        what: str,
        *,
        reason: Reason,
        final: bool,
        look_up_first: bool = False,
        **about: Any,
    ) -> None:
        super().__init__(what, **about)
        self.reason = reason
        self.final = final
        self.look_up_first = look_up_first


class OutcomeUnknownError(GatewayError):
    """The request left, and what became of it is not known. Resending is forbidden; look it up."""

    default_code = "outcome_unknown"
    default_effect = Effect.UNKNOWN
    default_next_step = "Do not send it again; look it up until the gateway answers."


class AnswerTimeoutError(OutcomeUnknownError):
    """No answer came in time."""

    default_code = "answer_timeout"


class AnswerLostError(OutcomeUnknownError):
    """The connection broke after the request had begun to leave."""

    default_code = "answer_lost"


class UnreadableAnswerError(OutcomeUnknownError):
    """An answer came that is not one of the gateway's known shapes, or carries a code nobody documented."""

    default_code = "unreadable_answer"


# --- webhooks -----------------------------------------------------------------------------------------------------


class WebhookError(PaymentsError):
    """A delivery is not to be believed."""

    default_code = "webhook"
    default_next_step = "Nothing was recorded from it."


class SignatureError(WebhookError):
    """The signature does not prove the sender."""

    default_code = "signature"


class TimestampOutsideWindowError(WebhookError):
    """The signed time is too far from now, on either side."""

    default_code = "timestamp"


class MalformedWebhookError(WebhookError):
    """The delivery has not the shape of a webhook."""

    default_code = "malformed"


# --- handing on -----------------------------------------------------------------------------------------------------


class DeliveryError(PaymentsError):
    """A ledger callback, an event callback or a sink did not take what it was handed; it is offered again.

    A callback may raise it itself. `what` is kept as the reason where the row is set aside in the end, and shown to
    operators, so it holds nothing secret.

    Attributes:
        retry_after_s: not to be offered again before that many seconds, where the other side said so.
    """

    default_code = "not_delivered"
    default_next_step = "It is offered again after a pause."

    def __init__(self, what: str, *, retry_after_s: float | None = None, **about: Any) -> None:
        super().__init__(what, **about)
        self.retry_after_s = retry_after_s


class UndeliverableError(DeliveryError):
    """What was handed over will never be taken as it is: it is set aside at once, with an alarm, until an operator
    lets it be offered again. It holds up what comes after it of the same payment, and nothing else."""

    default_code = "undeliverable"
    default_next_step = "Mend what stands in the way, then: vextrus-pay outbox retry."


# --- storage ------------------------------------------------------------------------------------------------------


class StorageError(PaymentsError):
    """The store could not do its part."""

    default_code = "storage"
    default_next_step = (
        "Check the store; the reserved operation is the anchor, and status() finds the outcome."
    )


class OutcomeNotRecordedError(StorageError):
    """The gateway answered, but the answer could not be recorded; status() will find it again."""

    default_code = "outcome_not_recorded"
    default_effect = Effect.UNKNOWN

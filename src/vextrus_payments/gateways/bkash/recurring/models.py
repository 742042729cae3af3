"""bKash's Recurring Payment Platform: the words on the wire, shared by adapter, sandbox and tests (dossier §7).

Another API than Tokenized Checkout: another host, an API key in place of a token, GET and DELETE beside POST, amounts
as JSON numbers, and error codes of a name space of their own. How answers are read stands in `gateways/bodies.py`;
nothing here decides anything about money.

Where the guide (v2.1.2), the API's own description and traces of its sandbox differ, both are named. `§7` is the
dossier's section, which the guide stands behind.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AliasChoices, BeforeValidator, Field

from vextrus_payments.gateways.bodies import Lenient, Text, as_text, read_json
from vextrus_payments.money import Money

# ------------------------------------------------------------------------------------------------- routes (§7)

ROOT_PATH: Final = "/gateway"
"""The base URL of a merchant ends in this; the `PATH_*` constants follow it."""

PATH_CREATE: Final = "/api/subscription"
PATH_SUBSCRIPTIONS: Final = "/api/subscriptions"
"""`{PATH_SUBSCRIPTIONS}/{id}` (GET: query, DELETE with `?reason=`: cancel), `{PATH_SUBSCRIPTIONS}/{page}/{size}`."""
PATH_BY_REQUEST: Final = "/api/subscriptions/request-id"
"""`{PATH_BY_REQUEST}/{subscriptionRequestId}`."""
PATH_PAYMENT: Final = "/api/subscription/payment"
"""`{PATH_PAYMENT}/{paymentId}`."""
PATH_PAYMENTS: Final = "/api/subscription/payment/bySubscriptionId"
"""`{PATH_PAYMENTS}/{id}`: a JSON array."""
PATH_SCHEDULE: Final = "/api/subscription/payment/schedule"
PATH_REFUND: Final = "/api/subscription/payment/refund"

HEADER_VERSION: Final = "version"
HEADER_CHANNEL: Final = "channelId"
HEADER_TIME: Final = "timeStamp"
HEADER_API_KEY: Final = "x-api-key"
HEADER_REQUEST_ID: Final = "requestId"
"""Of a refund alone: letters and digits, never used twice."""
API_VERSION: Final = "v1.0"

HEADER_SIGNATURE: Final = "X-Signature"
HEADER_TYPE: Final = "Type"

# ------------------------------------------------------------------------------------- words and limits (§7)

CURRENCY: Final = "BDT"
DHAKA: Final = timezone(timedelta(hours=6), "+06")
LONGEST_YEARS: Final = 2
"""An expiry lies at most so many years behind the start."""
NO_START_TODAY_AFTER: Final = (23, 30)
"""In Dhaka: later in the day a subscription cannot begin on that day (error 2001)."""
CONSENT_LIFE: Final = timedelta(minutes=10)
"""From a create's timeStamp to its expirationTime in every known answer."""
REFERENCE_MAX: Final = 100
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
"""What this SDK sends as subscriptionRequestId; bKash publishes no alphabet, and these are in its samples."""
NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
"""An id of bKash's: of a subscription, of a payment."""


class Frequency(StrEnum):
    """How often bKash collects."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    FIFTEEN_DAYS = "FIFTEEN_DAYS"
    THIRTY_DAYS = "THIRTY_DAYS"
    NINETY_DAYS = "NINETY_DAYS"
    ONE_EIGHTY_DAYS = "ONE_EIGHTY_DAYS"
    CALENDAR_MONTH = "CALENDAR_MONTH"
    CALENDAR_YEAR = "CALENDAR_YEAR"


class SubscriptionType(StrEnum):
    """Whether the payer pays at once when he consents."""

    BASIC = "BASIC"
    WITH_PAYMENT = "WITH_PAYMENT"


class SubscriptionStatus(StrEnum):
    """The life of a subscription."""

    INITIALIZED = "INITIALIZED"
    VERIFIED = "VERIFIED"
    SUCCEEDED = "SUCCEEDED"
    """It holds."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class PaymentStatus(StrEnum):
    """The life of one collected payment. Those that begin with RE_ come after bKash has looked again itself."""

    INITIALIZED = "INITIALIZED"
    PROCESSING_PAYMENT = "PROCESSING_PAYMENT"
    PROCESSING_REFUND = "PROCESSING_REFUND"
    SUCCEEDED_PAYMENT = "SUCCEEDED_PAYMENT"
    SUCCEEDED_REFUND = "SUCCEEDED_REFUND"
    FAILED_PAYMENT = "FAILED_PAYMENT"
    FAILED_REFUND = "FAILED_REFUND"
    RE_SUCCEEDED_PAYMENT = "RE_SUCCEEDED_PAYMENT"
    RE_SUCCEEDED_REFUND = "RE_SUCCEEDED_REFUND"
    RE_FAILED_PAYMENT = "RE_FAILED_PAYMENT"
    RE_FAILED_REFUND = "RE_FAILED_REFUND"
    RE_NOT_FOUND_PAYMENT = "RE_NOT_FOUND_PAYMENT"
    RE_NOT_FOUND_REFUND = "RE_NOT_FOUND_REFUND"


_P = PaymentStatus
COLLECTED: Final = frozenset({_P.SUCCEEDED_PAYMENT, _P.RE_SUCCEEDED_PAYMENT})
REFUNDED: Final = frozenset({_P.SUCCEEDED_REFUND, _P.RE_SUCCEEDED_REFUND})
NOT_COLLECTED: Final = frozenset({_P.FAILED_PAYMENT, _P.RE_FAILED_PAYMENT, _P.RE_NOT_FOUND_PAYMENT})
OF_A_REFUND: Final = frozenset(s for s in PaymentStatus if s.value.endswith("_REFUND"))
"""Such a payment was collected before: only then there is something to give back."""


# -------------------------------------------------------------------------------------------------- what we send


def number_text(amount: Money) -> str:
    """An amount as a JSON number: exact, with two places ("51.00"), never by way of a float."""
    return amount.amount


def json_body(fields: Mapping[str, object]) -> bytes:
    """A JSON object; an amount becomes a number with exactly its digits, None becomes null."""
    parts = []
    for name, value in fields.items():
        text = number_text(value) if isinstance(value, Money) else json.dumps(value)
        parts.append(f"{json.dumps(name)}:{text}")
    return ("{" + ",".join(parts) + "}").encode("utf-8")


def stamp(at: datetime) -> str:
    """An instant as bKash writes it: UTC, six digits behind the second, Z."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


# -------------------------------------------------------------------------------------------------- what comes back

Flag = Annotated[bool | None, BeforeValidator(lambda value: value if isinstance(value, bool) else None)]
"""Optional truth of an answer; what is no JSON boolean counts as absent."""


class Answer(Lenient):
    """What every answer may hold beside its own fields: a refusal (seen in traces: status, reason, errorCode)."""

    error_code: Text = Field(default=None, validation_alias=AliasChoices("errorCode", "externalCode"))
    reason: Text = Field(
        default=None, validation_alias=AliasChoices("reason", "errorDescription", "errorMessage")
    )
    internal_code: Text = Field(default=None, validation_alias="internalCode")

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read one answer.

        Raises:
            UnreadableBodyError, ValueError: it is no JSON object of this kind.
        """
        return cls.model_validate(read_json(raw))


class CreateAnswer(Answer):
    """The page on which the payer consents."""

    subscription_request_id: Text = Field(default=None, validation_alias="subscriptionRequestId")
    redirect_url: Text = Field(
        default=None, validation_alias=AliasChoices("redirectURL", "redirectUrl"), repr=False
    )
    expiration_time: Text = Field(default=None, validation_alias="expirationTime")


class SubscriptionAnswer(Answer):
    """A subscription as it stands."""

    id: Text = None
    subscription_request_id: Text = Field(default=None, validation_alias="subscriptionRequestId")
    status: Text = None
    amount: Text = None
    first_payment_amount: Text = Field(default=None, validation_alias="firstPaymentAmount")
    currency: Text = None
    frequency: Text = None
    start_date: Text = Field(default=None, validation_alias="startDate")
    expiry_date: Text = Field(default=None, validation_alias="expiryDate")
    next_payment_date: Text = Field(default=None, validation_alias="nextPaymentDate")
    payer: Text = Field(default=None, repr=False)
    subscription_reference: Text = Field(default=None, validation_alias="subscriptionReference")
    expired: Flag = None
    """The API's own description has this in place of the status EXPIRED."""
    cancelled_by: Text = Field(default=None, validation_alias="cancelledBy")
    cancelled_time: Text = Field(default=None, validation_alias="cancelledTime")
    created_at: Text = Field(default=None, validation_alias="createdAt")


class CancelAnswer(Answer):
    """The answer to a cancellation."""

    subscription_id: Text = Field(default=None, validation_alias="subscriptionId")
    subscription_request_id: Text = Field(default=None, validation_alias="subscriptionRequestId")
    subscription_status: Text = Field(default=None, validation_alias="subscriptionStatus")


class PaymentAnswer(Answer):
    """One collected payment as it stands. There is one place for a refund in it: the last one is shown."""

    id: Text = None
    subscription_id: Text = Field(default=None, validation_alias="subscriptionId")
    subscription_request_id: Text = Field(default=None, validation_alias="subscriptionRequestId")
    due_date: Text = Field(default=None, validation_alias="dueDate")
    status: Text = None
    trx_id: Text = Field(default=None, validation_alias="trxId")
    trx_time: Text = Field(default=None, validation_alias="trxTime")
    amount: Text = None
    reverse_trx_amount: Text = Field(default=None, validation_alias="reverseTrxAmount")
    reverse_trx_id: Text = Field(default=None, validation_alias="reverseTrxId")
    reverse_trx_time: Text = Field(default=None, validation_alias="reverseTrxTime")


class PaymentList(Answer):
    """A subscription's payments. On the wire it is a bare JSON array, which `from_json` takes as `rows`."""

    rows: tuple[PaymentAnswer, ...] | None = None

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read an array of payments, or the object of a refusal."""
        text = raw.lstrip(b"\xef\xbb\xbf \t\r\n")
        if text.startswith(b"["):
            raw = b'{"rows":' + text + b"}"
        return cls.model_validate(read_json(raw))


class ListedSubscriptions(Answer):
    """One page of the merchant's subscriptions."""

    content: tuple[SubscriptionAnswer, ...] | None = None
    total_elements: Text = Field(default=None, validation_alias="totalElements")
    total_pages: Text = Field(default=None, validation_alias="totalPages")
    current_page: Text = Field(default=None, validation_alias="currentPage")


class ScheduleAnswer(Answer):
    """The days on which a subscription would collect."""

    count: Text = None
    dates: tuple[str, ...] | None = None


class RefundAnswer(Answer):
    """HTTP 200 is all there is (§7): the body may be empty."""

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read it; an empty body is an answer, too."""
        return cls() if not raw.strip() else super().from_json(raw)


# ------------------------------------------------------------------------------------------------ reading words


def read_status(text: str | None) -> PaymentStatus | None:
    """The status that a text names; None for a word that no source has."""
    try:
        return PaymentStatus(text or "")
    except ValueError:
        return None


def read_subscription_status(text: str | None) -> SubscriptionStatus | None:
    """As `read_status`; the API's own description forgets EXPIRED, the guide has it."""
    try:
        return SubscriptionStatus(text or "")
    except ValueError:
        return None


def read_date(text: object) -> date | None:
    """A day as bKash writes it: 2021-04-19."""
    told = as_text(text)
    try:
        return date.fromisoformat(told) if told is not None and len(told) == 10 else None
    except ValueError:
        return None


def read_time(text: str | None, *, near: datetime | None = None) -> datetime | None:
    """A time in UTC. One without a zone is UTC in the sandbox's newer traces and Dhaka's in the guide's sample: `near`
    (the message's own instant, which follows the deed by seconds) decides, and without it UTC. Times decide nothing
    about money."""
    if not text:
        return None
    try:
        told = datetime.fromisoformat(text)
        if told.tzinfo is not None:
            return told.astimezone(UTC)
        readings = [told.replace(tzinfo=UTC), told.replace(tzinfo=DHAKA).astimezone(UTC)]
    except (ValueError, OverflowError):
        return None
    if near is None:
        return readings[0]
    return min(readings, key=lambda one: abs(near - one))

"""Nagad online payment, check-out API 1.0: the words on the wire, shared by adapter, sandbox and tests.

How bodies are written and answers are read stands in `gateways/bodies.py`. What a status or a code means is the work
of `protocol.py` and `errors.py`; nothing here decides anything about money. Sections are those of the protocol
dossier.

Two layers of JSON travel: an outer body in the clear, and inside it a text that is sealed (`crypto.py`): encrypted
for the reader and signed by the writer. The classes named `...Text` are the inner ones. Their bytes are made once,
by `to_json`, and these very bytes are both encrypted and signed (§0.5).
"""

import base64
import re
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self

from pydantic import AliasChoices, Field, JsonValue

from vextrus_payments.gateways.bodies import Body, Lenient, Text, read_json

# --------------------------------------------------------------------------------------------- routes (§2, §4-8)

API_PATH: Final = "/api/dfs"
"""Follows the base URL of a merchant; the `PATH_*` constants follow it."""
CONTEXT_PATH: Final = "/remote-payment-gateway-1.0"
"""Stands before API_PATH on the classic sandbox alone (§2)."""
PATH_INITIALIZE: Final = "/check-out/initialize"
"""`{PATH_INITIALIZE}/{merchantId}/{orderId}`, optionally `?locale=EN|BN` (§4)."""
PATH_COMPLETE: Final = "/check-out/complete"
"""`{PATH_COMPLETE}/{paymentReferenceId}` (§5)."""
PATH_VERIFY: Final = "/verify/payment"
"""`{PATH_VERIFY}/{paymentReferenceId}` (§7)."""
PATH_CANCEL: Final = "/purchase/cancel"
"""`{PATH_CANCEL}?paymentRefId=...&orderId=...` (§8)."""

# -------------------------------------------------------------------------------------- words and limits (§3-§8)

API_VERSION: Final = "v-0.2.0"
API_VERSION_WITH_FEE: Final = "v-3.0.1"
"""The same with a fee for the payer; the vendor's guide is its only source (§3)."""
HEADER_API_VERSION: Final = "X-KM-Api-Version"
HEADER_CLIENT_ADDRESS: Final = "X-KM-IP-V4"
HEADER_CLIENT_TYPE: Final = "X-KM-Client-Type"
HEADER_MERCHANT: Final = "X-KM-MC-Id"

CURRENCY: Final = "BDT"
CURRENCY_CODE: Final = "050"
"""ISO 4217's number of BDT, as Nagad writes it (§5)."""
ORDER_ID_CHARACTERS: Final = "A-Za-z0-9"
ORDER_ID_MIN: Final = 5
ORDER_ID_MAX: Final = 20
AMOUNT_MAX_CHARACTERS: Final = 15
"""The longest amount, its point and its decimals included (§5)."""
CALLBACK_URL_MIN: Final = 10
CALLBACK_URL_MAX: Final = 255
SEALED_MAX_CHARACTERS: Final = 1024
"""The longest sensitiveData and the longest signature (§11)."""
CHALLENGE_BYTES: Final = 20
"""Of the merchant's challenge: written as 40 lower-case hex digits (§4). The gateway's own has 20."""


class ClientType(StrEnum):
    """Where the payer is, as X-KM-Client-Type says it (§3)."""

    PC_WEB = "PC_WEB"
    MOBILE_WEB = "MOBILE_WEB"
    MOBILE_APP = "MOBILE_APP"
    WALLET_WEB_VIEW = "WALLET_WEB_VIEW"
    BILL_KEY = "BILL_KEY"


class Status(StrEnum):
    """Every status of a payment that a source names (§7). Read by `read_status`: the letters' case is not theirs."""

    ORDER_INITIATED = "OrderInitiated"
    READY = "Ready"
    OTP_SENT = "OtpSent"
    OTP_VERIFIED = "OtpVerified"
    PIN_GIVEN = "PinGiven"
    IN_PROGRESS = "InProgress"
    TRANSACTION_IN_PROGRESS = "TransactionInProgress"
    SUCCESS = "Success"
    ABORTED = "Aborted"
    FAILED = "Failed"
    INVALID_REQUEST = "InvalidRequest"
    FRAUD = "Fraud"
    UNKNOWN_FAILED = "UnKnownFailed"
    CANCELLED = "Cancelled"
    PARTIAL_CANCELLED = "PartialCancelled"
    REFUNDED = "Refunded"
    PARTIAL_REFUNDED = "PartialRefunded"


_STATUSES: Final = {status.value.lower(): status for status in Status}


def read_status(text: str | None) -> Status | None:
    """The status that a text names, whatever its letters' case (§6: the guide's example has `success`); else None."""
    return _STATUSES.get(text.lower()) if text is not None else None


# ------------------------------------------------------------------------------------------- what we send (§4-8)


class InitializeText(Body):
    """The sealed text of initialize. The time's key is `datetime`, all lower case: the guide is wrong (§0.4)."""

    merchant_id: str = Field(alias="merchantId", min_length=1)
    datetime: str = Field(min_length=1)
    order_id: str = Field(alias="orderId", min_length=ORDER_ID_MIN, max_length=ORDER_ID_MAX)
    challenge: str = Field(min_length=1, repr=False)


class InitializeBody(Body):
    """The outer body of initialize. Here the same time's key is `dateTime` (§4)."""

    account_number: str | None = Field(default=None, alias="accountNumber", repr=False)
    date_time: str = Field(alias="dateTime", min_length=1)
    sensitive_data: str = Field(alias="sensitiveData", min_length=1, repr=False)
    signature: str = Field(min_length=1, repr=False)


class OtherAmount(Body):
    """What the payer pays on top, in API v-3.0.1 alone (§3, §5: the vendor's guide is its only source)."""

    service_fee: str = Field(alias="serviceFee", min_length=1, max_length=AMOUNT_MAX_CHARACTERS)


class CompleteText(Body):
    """The sealed text of complete; `challenge` is the one the gateway gave (§5)."""

    merchant_id: str = Field(alias="merchantId", min_length=1)
    order_id: str = Field(alias="orderId", min_length=ORDER_ID_MIN, max_length=ORDER_ID_MAX)
    currency_code: str = Field(alias="currencyCode", min_length=1)
    amount: str = Field(min_length=1, max_length=AMOUNT_MAX_CHARACTERS)
    challenge: str = Field(min_length=1, repr=False)
    other_amount: OtherAmount | None = Field(default=None, alias="otherAmount")


class CompleteBody(Body):
    """The outer body of complete (§5). `additional_merchant_info` is an object of the merchant's own."""

    sensitive_data: str = Field(alias="sensitiveData", min_length=1, repr=False)
    signature: str = Field(min_length=1, repr=False)
    merchant_callback_url: str = Field(
        alias="merchantCallbackURL", min_length=CALLBACK_URL_MIN, max_length=CALLBACK_URL_MAX
    )
    additional_merchant_info: dict[str, JsonValue] | None = Field(
        default=None, alias="additionalMerchantInfo", repr=False
    )


class CancelText(Body):
    """The sealed text of a refund (§8). `original_request_date` is the day of the payment in Dhaka, `yyyyMMdd`."""

    merchant_id: str = Field(alias="merchantId", min_length=1)
    original_request_date: str = Field(alias="originalRequestDate", min_length=8, max_length=8)
    order_id: str | None = Field(default=None, alias="orderId")
    original_amount: str = Field(alias="originalAmount", min_length=1, max_length=AMOUNT_MAX_CHARACTERS)
    cancel_amount: str = Field(alias="cancelAmount", min_length=1, max_length=AMOUNT_MAX_CHARACTERS)
    reference_no: str = Field(alias="referenceNo", min_length=1)
    reference_message: str = Field(alias="referenceMessage")


class CancelBody(Body):
    """The outer body of a refund; its sealed text has a key of its own (§8)."""

    sensitive_data: str = Field(alias="sensitiveDataCancelRequest", min_length=1, repr=False)
    signature: str = Field(min_length=1, repr=False)


# -------------------------------------------------------------------------------------- what the gateway says (§4-10)


def _named(name: str, *, repr: bool = True) -> Any:
    return Field(default=None, alias=name, repr=repr)


class Answer(Lenient):
    """Any answer, with the fields of the error envelope (§10). Every field may be None."""

    reason: Text = None
    """The code of a refusal, such as 16_0006_058."""
    message: Text = None
    dev_message: Text = _named("devMessage")
    """More exact than `message`, and not for the payer."""

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read an answer from its bytes; raises `UnreadableBodyError` as `read_json` does."""
        return cls.model_validate(read_json(raw))

    def to_wire(self) -> dict[str, Any]:
        """The answer under its wire names, without the absent fields (what a sandbox sends)."""
        return self.model_dump(by_alias=True, exclude_none=True)


class SealedAnswer(Answer):
    """The outer body of the answers to initialize and to a refund (§4, §8)."""

    sensitive_data: Text = _named("sensitiveData", repr=False)
    signature: Text = Field(default=None, repr=False)


class InitializeAnswerText(Lenient):
    """The sealed text that answers initialize; older guides call the challenge `random` (§4)."""

    payment_reference_id: Text = _named("paymentReferenceId")
    challenge: Text = Field(
        default=None,
        validation_alias=AliasChoices("challenge", "random"),
        serialization_alias="challenge",
        repr=False,
    )
    accept_date_time: Text = _named("acceptDateTime")

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read it from the bytes whose signature was checked; raises `UnreadableBodyError` as `read_json` does."""
        return cls.model_validate(read_json(raw))


class CompleteAnswer(Answer):
    """The answer to complete, neither encrypted nor signed. `Success` means that the page is ready, not paid (§5)."""

    callback_url: Text = _named("callBackUrl", repr=False)
    status: Text = None


class VerifyAnswer(Answer):
    """The answer to verify: plain, unsigned JSON, and the only truth about a payment (§7).

    The order of the fields is that of the real answers; `service_type` is absent from the older ones.
    """

    merchant_id: Text = _named("merchantId")
    order_id: Text = _named("orderId")
    payment_ref_id: Text = _named("paymentRefId")
    amount: Text = None
    client_mobile_no: Text = _named("clientMobileNo", repr=False)
    merchant_mobile_no: Text = _named("merchantMobileNo", repr=False)
    order_date_time: Text = _named("orderDateTime")
    issuer_payment_date_time: Text = _named("issuerPaymentDateTime")
    issuer_payment_ref_no: Text = _named("issuerPaymentRefNo")
    additional_merchant_info: Text = _named("additionalMerchantInfo", repr=False)
    """JSON in a text, or null; an object, should one ever come, counts as absent."""
    status: Text = None
    status_code: Text = _named("statusCode")
    cancel_issuer_date_time: Text = _named("cancelIssuerDateTime")
    cancel_issuer_ref_no: Text = _named("cancelIssuerRefNo")
    service_type: Text = _named("serviceType")


class CancelAnswerText(Lenient):
    """The sealed text that answers a refund. Sources name different keys: this is all of them together (§8)."""

    status: Text = None
    code: Text = None
    original_request_date: Text = _named("originalRequestDate")
    original_amount: Text = _named("originalAmount")
    cancel_amount: Text = _named("cancelAmount")
    cancel_trx_id: Text = _named("cancelTrxId")
    reference_no: Text = _named("referenceNo")
    reference_message: Text = _named("referenceMessage")

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read it from the bytes whose signature was checked; raises `UnreadableBodyError` as `read_json` does."""
        return cls.model_validate(read_json(raw))


# --------------------------------------------------------------------------------- the payment reference (§0.7)

#: What every real one is made of; a padded Base64 text never holds + or / here, for its own text is ASCII.
_REFERENCE: Final = re.compile(r"[A-Za-z0-9]{1,200}={0,2}", re.ASCII)
REFERENCE_MIN: Final = 8
"""No real one is shorter than 76 characters (§0.7); what a browser names has to look like one at all."""
_REFERENCE_PARTS: Final = 4


class ReferenceParts(NamedTuple):
    """What a payment reference says of itself: `MMddHHmmssSSS.merchantId.orderId.challenge` in Base64."""

    made_at: str
    merchant_id: str
    order_id: str
    challenge: str

    def encode(self) -> str:
        """The payment reference: Base64, padded."""
        return base64.b64encode(".".join(self).encode("ascii")).decode("ascii")


def is_reference(text: str) -> bool:
    """True for what can be a payment reference, and can stand in a URL's path as it is."""
    return _REFERENCE.fullmatch(text) is not None


def read_reference(text: str) -> ReferenceParts | None:
    """The four parts of a payment reference; None where it does not have this form, which proves nothing."""
    if not is_reference(text):
        return None
    try:
        parts = base64.b64decode(text, validate=True).decode("ascii").split(".")
    except ValueError:
        return None
    return ReferenceParts(*parts) if len(parts) == _REFERENCE_PARTS and all(parts) else None


# ----------------------------------------------------------------------------------------------- times (§7, §11)

DHAKA: Final = timezone(timedelta(hours=6), "+06:00")
"""Bangladesh time; fixed, the country has no summer time."""

_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,6})\d{0,3})?", re.ASCII
)


def parse_time(text: str) -> datetime:
    """Read a Nagad time, always of Dhaka: `2022-12-05 18:08:21.0` or `20221205180821` (§7).

    Raises ValueError for anything else, and for what no calendar has.
    """
    match = _COMPACT.fullmatch(text) or _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError("not a Nagad time (expected yyyy-MM-dd HH:mm:ss.S or yyyyMMddHHmmss)")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = match.group(7) if match.re is _TIMESTAMP else None
    microsecond = int((fraction or "0").ljust(6, "0"))
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=DHAKA)


def compact_time(moment: datetime) -> str:
    """Write `yyyyMMddHHmmss` of Dhaka (§11). `moment` must be aware."""
    return f"{_in_dhaka(moment):%Y%m%d%H%M%S}"


def timestamp(moment: datetime) -> str:
    """Write `yyyy-MM-dd HH:mm:ss.S` of Dhaka, as verify answers have it (§7). `moment` must be aware."""
    local = _in_dhaka(moment)
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 100_000}"


def day_in_dhaka(moment: datetime) -> date:
    """The day on which a moment falls in Dhaka. `moment` must be aware."""
    return _in_dhaka(moment).date()


def _in_dhaka(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a Nagad time needs an aware datetime; this one has no zone")
    return moment.astimezone(DHAKA)

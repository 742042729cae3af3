"""SSLCommerz v4: the words on the wire, shared by adapter, sandbox and tests.

How answers are read stands in `gateways/bodies.py`. What a status means is the work of `reading.py`; nothing here
decides anything about money. Sections are those of the protocol dossier.

Requests are forms (forms.py) and query strings, answers are JSON. Names are as they travel: snake case, but for a few.
"""

import re
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field

from vextrus_payments.gateways.bodies import Lenient, Text, read_json

# ---------------------------------------------------------------------------------------------- routes (§1.1-§1.9)

PATH_SESSION: Final = "/gwprocess/v4/api.php"
"""POST of a form (§1.2)."""
PATH_VALIDATION: Final = "/validator/api/validationserverAPI.php"
"""GET, or POST with the same query: `val_id, store_id, store_passwd, v, format` (§1.6)."""
PATH_QUERY: Final = "/validator/api/merchantTransIDvalidationAPI.php"
"""GET or POST: transaction query, refund and refund query; which one, its parameters decide (§1.7, §1.8)."""
PATH_INVOICE: Final = "/gwprocess/v4/invoice.php"
"""POST of a form (§1.9)."""
PATH_INVOICE_ACTION: Final = "/validator/api/v4/"
"""POST of a form with `action` (§1.9)."""
PATH_PAGE: Final = "/EasyCheckOut/"
"""Where payers are sent since about 2021: `testcde` and the session key in lower case in the sandbox (§1.2)."""
PAGE_PREFIX: Final = "testcde"
PATH_PAGE_OLD: Final = "/gwprocess/v4/gw.php"
"""`?Q=PAY&SESSIONKEY=<KEY>` (§1.2)."""
PATH_TLS: Final = "/public/tls/"
TLS_ANSWER: Final = "TLS is okay"
PATH_EMBED: Final = "/embed.min.js"

# ------------------------------------------------------------------------------------------ names of parameters

STORE_ID: Final = "store_id"
STORE_PASSWORD: Final = "store_passwd"
VAL_ID: Final = "val_id"
TRAN_ID: Final = "tran_id"
SESSION_KEY: Final = "sessionkey"
BANK_TRAN_ID: Final = "bank_tran_id"
REFUND_AMOUNT: Final = "refund_amount"
REFUND_REMARKS: Final = "refund_remarks"
REFUND_TRANS_ID: Final = "refund_trans_id"
"""Ours, and new per refund; mandatory since 24 February 2025 (§1.8)."""
REFUND_REF_ID: Final = "refund_ref_id"
"""SSLCommerz's id of a refund."""
REFE_ID: Final = "refe_id"
FORMAT: Final = "format"
VERSION: Final = "v"
FORMAT_JSON: Final = "json"
FORMAT_XML: Final = "xml"
API_VERSION: Final = "1"
VERIFY_KEY: Final = "verify_key"
VERIFY_SIGN: Final = "verify_sign"
VERIFY_SIGN_SHA2: Final = "verify_sign_sha2"
ACTION: Final = "action"
ACTION_STATUS: Final = "invoicePaymentStatus"
ACTION_CANCEL: Final = "invoiceCancellation"
REFER: Final = "refer"
"""The merchant's own reference of an invoice."""
INVOICE_ID: Final = "invoice_id"
ACCOUNT_NO: Final = "acct_no"
SENT_EMAIL: Final = "is_sent_email"
SENT_SMS: Final = "is_sent_sms"
BANGLA_QR: Final = "is_bangla_qr_enabled"
YES: Final = "yes"
NO: Final = "no"

# ------------------------------------------------------------------------------------------------ limits (§1.2, §1.8)

CURRENCY: Final = "BDT"
AMOUNT_MIN: Final = "10.00"
AMOUNT_MAX: Final = "500000.00"
"""In taka; an amount in another currency is judged by what it is worth in taka."""
TRAN_ID_CHARACTERS: Final = "A-Za-z0-9_.-"
TRAN_ID_MAX: Final = 30
STORE_MAX: Final = 30
URL_MAX: Final = 255
BANK_TRAN_ID_MAX: Final = 80
REFUND_TRANS_ID_MAX: Final = 30
REFUND_REMARKS_MAX: Final = 255
SESSION_KEY_FORM: Final = re.compile(r"[0-9A-Fa-f]{32}", re.ASCII)
CREDENTIAL_ERROR: Final = "Store Credential Error Or Store is De-active"
"""`failedreason` for wrong credentials and for an inactive store alike (§1.2)."""
UNKNOWN_REFUND: Final = "Unknown Refund Ref ID"
"""`errorReason` of a refund query about an id that nobody knows (§1.8)."""
CANCELLED_BY_USER: Final = "Cancelled by User"
NOT_ATTEMPTED: Final = "Customer did not choose to pay any channel"


class SessionStatus(StrEnum):
    """`status` of the answer to a session (§1.2)."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class Status(StrEnum):
    """Every status of a transaction that a source names (§1.4, §1.6, §1.7)."""

    VALID = "VALID"
    VALIDATED = "VALIDATED"
    """As VALID, told once more."""
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    """Seen for a session that nobody has paid yet."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNATTEMPTED = "UNATTEMPTED"
    EXPIRED = "EXPIRED"
    INVALID = "INVALID"
    """In the one element of a list about an unknown tran_id."""
    INVALID_TRANSACTION = "INVALID_TRANSACTION"
    """Of a validation: an unknown val_id, or one that failed."""


PAID: Final = frozenset({Status.VALID, Status.VALIDATED})


class ApiConnect(StrEnum):
    """`APIConnect` of every answer of the validator's routes (§1.6)."""

    DONE = "DONE"
    INVALID_REQUEST = "INVALID_REQUEST"
    FAILED = "FAILED"
    INACTIVE = "INACTIVE"


class RefundAnswerStatus(StrEnum):
    """`status` of the answer to a refund (§1.8)."""

    SUCCESS = "success"
    FAILED = "failed"
    PROCESSING = "processing"
    """A refund of this refund_trans_id has begun already."""


class RefundStatus(StrEnum):
    """`status` of the answer to a refund query (§1.8)."""

    REFUNDED = "refunded"
    PROCESSING = "processing"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INVALID = "INVALID"
    """Beside `APIConnect` FAILED."""


class ProductProfile(StrEnum):
    """What is sold; three of them need fields of their own (§1.2)."""

    GENERAL = "general"
    PHYSICAL_GOODS = "physical-goods"
    NON_PHYSICAL_GOODS = "non-physical-goods"
    AIRLINE_TICKETS = "airline-tickets"
    TRAVEL_VERTICAL = "travel-vertical"
    TELECOM_VERTICAL = "telecom-vertical"


class ShippingMethod(StrEnum):
    """How goods are sent (§1.2)."""

    YES = "YES"
    NO = "NO"
    COURIER = "Courier"
    LOGISTIC = "SSLCOMMERZ_LOGISTIC"


class Channel(StrEnum):
    """What `multi_card_name` may name (§1.2); several are joined by commas."""

    BRAC_VISA = "brac_visa"
    DBBL_VISA = "dbbl_visa"
    CITY_VISA = "city_visa"
    EBL_VISA = "ebl_visa"
    SBL_VISA = "sbl_visa"
    BRAC_MASTER = "brac_master"
    DBBL_MASTER = "dbbl_master"
    CITY_MASTER = "city_master"
    EBL_MASTER = "ebl_master"
    SBL_MASTER = "sbl_master"
    CITY_AMEX = "city_amex"
    QCASH = "qcash"
    DBBL_NEXUS = "dbbl_nexus"
    BANK_ASIA = "bankasia"
    AB_BANK = "abbank"
    IBBL = "ibbl"
    MTBL = "mtbl"
    BKASH = "bkash"
    ROCKET = "dbblmobilebanking"
    CITY = "city"
    UPAY = "upay"
    TAP_N_PAY = "tapnpay"
    INTERNET_BANKING = "internetbank"
    MOBILE_BANKING = "mobilebank"
    OTHER_CARDS = "othercard"
    VISA = "visacard"
    MASTER = "mastercard"
    AMEX = "amexcard"


# ------------------------------------------------------------------------------ what SSLCommerz says (§1.2, §1.6-§1.9)


def _named(name: str, *, shown: bool = True) -> Any:
    return Field(default=None, alias=name, repr=shown)


class Answer(Lenient):
    """Any answer. Every field may be None."""

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read an answer from its bytes; raises `UnreadableBodyError` as `read_json` does."""
        return cls.model_validate(read_json(raw))

    def to_wire(self) -> dict[str, Any]:
        """The answer under its wire names, without the absent fields (what a sandbox sends)."""
        return self.model_dump(by_alias=True, exclude_none=True)


class SessionAnswer(Answer):
    """The answer to a session, HTTP 200 for a refusal too (§1.2)."""

    status: Text = None
    failed_reason: Text = _named("failedreason")
    session_key: Text = _named("sessionkey", shown=False)
    redirect_gateway_url: Text = _named("redirectGatewayURL", shown=False)
    direct_payment_url_bank: Text = _named("directPaymentURLBank", shown=False)
    direct_payment_url_card: Text = _named("directPaymentURLCard", shown=False)
    direct_payment_url: Text = _named("directPaymentURL", shown=False)
    redirect_gateway_url_failed: Text = _named("redirectGatewayURLFailed", shown=False)
    gateway_page_url: Text = _named("GatewayPageURL", shown=False)
    store_banner: Text = _named("storeBanner")
    store_logo: Text = _named("storeLogo")
    store_name: Text = None
    is_direct_pay_enable: Text = None


class Transaction(Answer):
    """One transaction: the answer to a validation, a row of a list, the answer to a query by session (§1.6, §1.7)."""

    api_connect: Text = _named("APIConnect")
    status: Text = None
    tran_date: Text = None
    tran_id: Text = None
    val_id: Text = None
    amount: Text = None
    store_amount: Text = None
    currency: Text = None
    bank_tran_id: Text = None
    card_type: Text = None
    card_no: Text = Field(default=None, repr=False)
    card_issuer: Text = None
    card_brand: Text = None
    card_sub_brand: Text = None
    card_issuer_country: Text = None
    card_issuer_country_code: Text = None
    currency_type: Text = None
    currency_amount: Text = None
    currency_rate: Text = None
    base_fair: Text = None
    value_a: Text = Field(default=None, repr=False)
    value_b: Text = Field(default=None, repr=False)
    value_c: Text = Field(default=None, repr=False)
    value_d: Text = Field(default=None, repr=False)
    emi_instalment: Text = None
    emi_amount: Text = None
    emi_description: Text = None
    emi_issuer: Text = None
    account_details: Text = Field(default=None, repr=False)
    risk_title: Text = None
    risk_level: Text = None
    discount_amount: Text = None
    discount_percentage: Text = None
    discount_remarks: Text = None
    validated_on: Text = None
    gw_version: Text = None
    bank_gw: Text = None
    error: Text = None
    session_key: Text = _named("sessionkey", shown=False)
    store_id: Text = None


def _as_rows(value: object) -> object:
    """`element` is a list, was seen as an object, and what is neither says nothing (§1.7)."""
    if isinstance(value, dict):
        return [value]
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


class TransactionList(Answer):
    """The answer to a query by tran_id (§1.7). An unknown tran_id has no transaction and an element all the same."""

    api_connect: Text = _named("APIConnect")
    no_of_trans_found: Text = None
    element: Annotated[tuple[Transaction, ...], BeforeValidator(_as_rows)] = ()


class RefundAnswer(Answer):
    """The answer to a refund (§1.8). `success` means accepted, not returned."""

    api_connect: Text = _named("APIConnect")
    bank_tran_id: Text = None
    trans_id: Text = None
    """Our tran_id."""
    refund_ref_id: Text = None
    status: Text = None
    error_reason: Text = _named("errorReason")


class RefundQueryAnswer(Answer):
    """The answer to a refund query (§1.8). Dates may be `0000-00-00 00:00:00`."""

    api_connect: Text = _named("APIConnect")
    bank_tran_id: Text = None
    tran_id: Text = None
    initiated_on: Text = None
    refunded_on: Text = None
    status: Text = None
    refund_ref_id: Text = None
    error_reason: Text = _named("errorReason")


class InvoiceAnswer(Answer):
    """The answer to an invoice (§1.9)."""

    status: Text = None
    error_reason: Text = None
    invoice_refer: Text = None
    invoice_id: Text = None
    pay_url: Text = Field(default=None, repr=False)
    qr_image_url: Text = Field(default=None, repr=False)
    qr_image_pay_url: Text = Field(default=None, repr=False)
    bangla_qr_code: Text = Field(default=None, repr=False)
    email_sending_status: Text = None
    sms_sending_status: Text = None


class InvoiceActionAnswer(Answer):
    """The answer to an invoice's status or cancellation (§1.9)."""

    api_connect: Text = _named("APIConnect")
    status: Text = None
    failed_reason: Text = _named("failedreason")
    refer: Text = None
    invoice_id: Text = None
    payment_status: Text = None
    transaction: Annotated[tuple[Transaction, ...], BeforeValidator(_as_rows)] = ()


# -------------------------------------------------------------------------- what is posted to us (§1.3, §1.4, §1.5)

POSTED_FIELDS: Final = frozenset(
    """
    tran_id val_id amount card_type store_amount card_no bank_tran_id status tran_date error currency card_issuer
    card_brand card_sub_brand card_issuer_country card_issuer_country_code store_id verify_sign verify_key
    verify_sign_sha2 currency_type currency_amount currency_rate base_fair value_a value_b value_c value_d risk_level
    risk_title
    """.split()
)
"""Every field of a notification and of a browser's post that a source has seen; `cus_fax` and `subscription_id` come
beside them, unsigned (§1.4)."""

_ALWAYS_SIGNED: Final = frozenset({"tran_id", "amount", "status", "store_id", "tran_date", "currency"})
SIGNED_FIELDS: Final = MappingProxyType(
    {
        Status.VALID: _ALWAYS_SIGNED
        | {"val_id", "bank_tran_id", "store_amount", "currency_type", "currency_amount"},
        Status.VALIDATED: _ALWAYS_SIGNED
        | {"val_id", "bank_tran_id", "store_amount", "currency_type", "currency_amount"},
        Status.FAILED: _ALWAYS_SIGNED | {"bank_tran_id", "error"},
        Status.CANCELLED: _ALWAYS_SIGNED | {"bank_tran_id", "error"},
        Status.EXPIRED: _ALWAYS_SIGNED,
        Status.UNATTEMPTED: _ALWAYS_SIGNED | {"error"},
    }
)
"""What `verify_key` names at least, by status; more than that changes over the years (§1.4, contradiction 5)."""

# ----------------------------------------------------------------------------------------------------- times (§1.4)

DHAKA: Final = timezone(timedelta(hours=6), "+06:00")
"""Bangladesh time; fixed, the country has no summer time."""
NO_TIME: Final = "0000-00-00 00:00:00"
_TIME: Final = re.compile(r"(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2}):(\d{2})", re.ASCII)


def parse_time(text: str) -> datetime:
    """Read `YYYY-MM-DD HH:MM:SS` of Dhaka.

    Raises ValueError for anything else, and for what no calendar has (`0000-00-00 00:00:00`).
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("not an SSLCommerz time (expected YYYY-MM-DD HH:MM:SS)")
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    return datetime(year, month, day, hour, minute, second, tzinfo=DHAKA)


def time_text(moment: datetime) -> str:
    """Write `YYYY-MM-DD HH:MM:SS` of Dhaka. `moment` must be aware."""
    if moment.tzinfo is None:
        raise ValueError("an SSLCommerz time needs an aware datetime; this one has no zone")
    return f"{moment.astimezone(DHAKA):%Y-%m-%d %H:%M:%S}"

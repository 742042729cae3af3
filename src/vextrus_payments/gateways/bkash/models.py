"""bKash Tokenized Checkout v1.2.0-beta: the words on the wire, shared by adapter, sandbox and tests.

How bodies are written and answers are read stands in `gateways/bodies.py`.

Judging an answer (which envelope, success or refusal, is it ours) is the work of ``protocol.py`` and
``errors.py``; nothing here decides anything about money.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AliasChoices, BeforeValidator, Field

from vextrus_payments.gateways.bodies import Body as Body
from vextrus_payments.gateways.bodies import Lenient, Text, as_text
from vextrus_payments.gateways.bodies import UnreadableBodyError as UnreadableBodyError
from vextrus_payments.gateways.bodies import read_json as read_json

# --------------------------------------------------------------------------------------------- routes (§2-4)

API_VERSION: Final = "v1.2.0-beta"
ROOT_PATH: Final = "/v1.2.0-beta"
"""The base URL of a merchant ends in this (§2); the ``PATH_*`` constants follow it."""

PATH_GRANT: Final = "/tokenized/checkout/token/grant"
PATH_REFRESH: Final = "/tokenized/checkout/token/refresh"
PATH_CREATE: Final = "/tokenized/checkout/create"
PATH_EXECUTE: Final = "/tokenized/checkout/execute"
PATH_QUERY: Final = "/tokenized/checkout/payment/status"
PATH_AGREEMENT_STATUS: Final = "/tokenized/checkout/agreement/status"
PATH_AGREEMENT_CANCEL: Final = "/tokenized/checkout/agreement/cancel"
PATH_SEARCH: Final = "/tokenized/checkout/general/searchTransaction"
PATH_CAPTURE: Final = "/tokenized/checkout/payment/confirm/capture"
PATH_VOID: Final = "/tokenized/checkout/payment/confirm/void"
PATH_VOID_ALTERNATIVE: Final = "/tokenized/checkout/payment/confirm/capture/void"
"""The other spelling of the void route (§16.2); to be tried only after a wrong-route answer."""
PATH_REFUND_V1: Final = "/tokenized/checkout/payment/refund"
"""Refund *and* refund status: the presence of ``amount`` decides (§4.10)."""
HOST_PATH_REFUND_V2: Final = "/v2/tokenized-checkout/refund/payment/transaction"
HOST_PATH_REFUND_STATUS_V2: Final = "/v2/tokenized-checkout/refund/payment/status"
"""The v2 refund pair hangs off the host: it **replaces** ``ROOT_PATH``, it does not follow it (§4.11)."""

# ------------------------------------------------------------------------------------ words and limits (§4)

MODE_AGREEMENT: Final = "0000"
MODE_WITH_AGREEMENT: Final = "0001"
MODE_CHECKOUT: Final = "0011"
INTENT_SALE: Final = "sale"
INTENT_AUTHORIZATION: Final = "authorization"
CURRENCY: Final = "BDT"
CODE_SUCCESS: Final = "0000"

TEXT_MAX: Final = 255
"""Longest payerReference, merchantInvoiceNumber, merchantAssociationInfo, sku and reason, in characters."""
FORBIDDEN_IN_REFERENCES: Final = "<>&"
"""Not allowed in payerReference and merchantInvoiceNumber (§4.2, §11)."""
REFUNDS_MAX: Final = 10
REFUND_WINDOW: Final = timedelta(days=60)
PAYMENT_LIFE: Final = timedelta(hours=24)
"""A created paymentID is good for one execution and expires after this (§4.2)."""


# ---------------------------------------------------------------------------------------- what we send (§4)


class GrantBody(Body):
    """Grant a token (§3.1). ``username`` and ``password`` travel as headers, not here."""

    app_key: str = Field(min_length=1)
    app_secret: str = Field(min_length=1, repr=False)


class RefreshBody(Body):
    """Refresh a token (§3.2); counts against the same budget of two an hour."""

    app_key: str = Field(min_length=1)
    app_secret: str = Field(min_length=1, repr=False)
    refresh_token: str = Field(min_length=1, repr=False)


class CreateBody(Body):
    """Create a payment (mode 0011, 0001) or an agreement (mode 0000) (§4.1, §4.2)."""

    mode: str
    payer_reference: str = Field(alias="payerReference", repr=False)
    callback_url: str = Field(alias="callbackURL", repr=False)
    agreement_id: str | None = Field(default=None, alias="agreementID")
    amount: str | None = None
    currency: str | None = None
    intent: str | None = None
    merchant_invoice_number: str | None = Field(default=None, alias="merchantInvoiceNumber")
    merchant_association_info: str | None = Field(default=None, alias="merchantAssociationInfo")


class PaymentIdBody(Body):
    """Execute, query, capture and void all send this (§4.4, §4.5, §4.9)."""

    payment_id: str = Field(alias="paymentID", min_length=1)


class AgreementIdBody(Body):
    """Agreement status and agreement cancel (§4.6, §4.7)."""

    agreement_id: str = Field(alias="agreementID", min_length=1)


class TrxIdBody(Body):
    """Search a transaction (§4.8)."""

    trx_id: str = Field(alias="trxID", min_length=1)


class RefundV1Body(Body):
    """Refund on the v1 route. An empty amount would silently be a *status* call, so it is refused (§4.10)."""

    payment_id: str = Field(alias="paymentID", min_length=1)
    trx_id: str = Field(alias="trxID", min_length=1)
    amount: str = Field(min_length=1)
    sku: str = Field(min_length=1, max_length=TEXT_MAX)
    reason: str = Field(min_length=1, max_length=TEXT_MAX)


class RefundStatusV1Body(Body):
    """Refund status on the v1 route: the same URL without an amount (§4.10)."""

    payment_id: str = Field(alias="paymentID", min_length=1)
    trx_id: str = Field(alias="trxID", min_length=1)


class RefundV2Body(Body):
    """Refund on the v2 route; note the spelling ``paymentId``, ``trxId`` (§4.11)."""

    payment_id: str = Field(alias="paymentId", min_length=1)
    trx_id: str = Field(alias="trxId", min_length=1)
    refund_amount: str = Field(alias="refundAmount", min_length=1)
    sku: str = Field(min_length=1, max_length=TEXT_MAX)
    reason: str = Field(min_length=1, max_length=TEXT_MAX)


class RefundStatusV2Body(Body):
    """Refund status on the v2 route (§4.11)."""

    payment_id: str = Field(alias="paymentId", min_length=1)
    trx_id: str = Field(alias="trxId", min_length=1)


# ------------------------------------------------------------------------------ what the gateway says (§3-5)


def either(*names: str, serialize: str | None = None, repr: bool = True) -> Any:
    """A field that arrives under one of several spellings and leaves under the first (or ``serialize``)."""
    return Field(
        default=None,
        validation_alias=AliasChoices(*names),
        serialization_alias=serialize or names[0],
        repr=repr,
    )


def named(name: str, *, repr: bool = True) -> Any:
    """A field under its wire name."""
    return Field(default=None, alias=name, repr=repr)


class Answer(Lenient):
    """Any answer, with the fields of all envelopes of §10: v1, iframe, v2, API gateway, failed grant.

    Every field may be ``None``. Which envelope it is, and what it means, is not decided here.
    """

    status_code: Text = named("statusCode")
    status_message: Text = named("statusMessage")
    error_code: Text = named("errorCode")
    error_message: Text = named("errorMessage")
    internal_code: Text = named("internalCode")
    external_code: Text = named("externalCode")
    error_message_en: Text = named("errorMessageEn")
    error_message_bn: Text = named("errorMessageBn")
    message: Text = None
    status: Text = None
    msg: Text = None

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read an answer from its bytes; raises :class:`UnreadableBodyError` as :func:`read_json` does."""
        return cls.model_validate(read_json(raw))

    def to_wire(self) -> dict[str, Any]:
        """The answer under its wire names, without the absent fields (what a sandbox sends)."""
        return self.model_dump(by_alias=True, exclude_none=True)


class TokenAnswer(Answer):
    """Grant and refresh (§3.1). ``expires_in`` is whole seconds; ``None`` when absent or not a number."""

    id_token: Text = Field(default=None, repr=False)
    refresh_token: Text = Field(default=None, repr=False)
    token_type: Text = None
    expires_in: Annotated[int | None, BeforeValidator(lambda value: _whole_seconds(value))] = None


def _whole_seconds(value: object) -> int | None:
    """An integer in the OPS trace, a string in one client's types (§3.1): both are read."""
    text = as_text(value)
    if text is None or not re.fullmatch(r"[0-9]{1,9}(\.0+)?", text):
        return None
    return int(text.partition(".")[0])


class CreateAnswer(Answer):
    """Create, all three modes (§4.2)."""

    payment_id: Text = either("paymentID", "paymentId")
    bkash_url: Text = either("bkashURL", "bKashURL", repr=False)
    callback_url: Text = named("callbackURL", repr=False)
    success_callback_url: Text = named("successCallbackURL", repr=False)
    failure_callback_url: Text = named("failureCallbackURL", repr=False)
    cancelled_callback_url: Text = named("cancelledCallbackURL", repr=False)
    signature: Text = Field(default=None, repr=False)
    payer_reference: Text = named("payerReference", repr=False)
    agreement_id: Text = either("agreementID", "agreementId")
    agreement_status: Text = named("agreementStatus")
    agreement_create_time: Text = named("agreementCreateTime")
    amount: Text = None
    currency: Text = None
    intent: Text = None
    merchant_invoice_number: Text = named("merchantInvoiceNumber")
    payment_create_time: Text = named("paymentCreateTime")
    transaction_status: Text = named("transactionStatus")


class PaymentAnswer(Answer):
    """Execute and query, of a payment or an agreement (§4.4, §4.5): one shape, as real answers overlap.

    Both spellings of the invoice and of the verification state are fields of their own, since real answers
    and the documentation disagree (§16.11, §16.13); read them by :attr:`invoice` and :attr:`verification`.
    """

    payment_id: Text = either("paymentID", "paymentId")
    mode: Text = None
    trx_id: Text = either("trxID", "trxId")
    transaction_status: Text = named("transactionStatus")
    amount: Text = None
    currency: Text = None
    intent: Text = None
    merchant_invoice_number: Text = named("merchantInvoiceNumber")
    merchant_invoice: Text = named("merchantInvoice")
    verification_status: Text = named("verificationStatus")
    user_verification_status: Text = named("userVerificationStatus")
    payer_reference: Text = named("payerReference", repr=False)
    customer_msisdn: Text = named("customerMsisdn", repr=False)
    payer_account: Text = named("payerAccount", repr=False)
    payer_type: Text = named("payerType")
    max_refundable_amount: Text = named("maxRefundableAmount")
    payment_create_time: Text = named("paymentCreateTime")
    payment_execute_time: Text = named("paymentExecuteTime")
    agreement_id: Text = either("agreementID", "agreementId")
    agreement_status: Text = named("agreementStatus")
    agreement_create_time: Text = named("agreementCreateTime")
    agreement_execute_time: Text = named("agreementExecuteTime")

    @property
    def invoice(self) -> str | None:
        """Our gateway order id, as the gateway repeats it; two different ones give ``"a | b"``: neither."""
        return _agreed(self.merchant_invoice, self.merchant_invoice_number)

    @property
    def verification(self) -> str | None:
        """``Complete`` once the payer has confirmed on the page, ``Incomplete`` before."""
        return _agreed(self.verification_status, self.user_verification_status)


def _agreed(first: str | None, second: str | None) -> str | None:
    if first and second and first != second:
        return f"{first} | {second}"
    return first or second


class ExecuteAnswer(PaymentAnswer):
    """Execute (§4.4)."""


class QueryAnswer(PaymentAnswer):
    """Query payment (§4.5)."""


class AgreementAnswer(Answer):
    """Agreement status and agreement cancel (§4.6, §4.7)."""

    payment_id: Text = either("paymentID", "paymentId")
    agreement_id: Text = either("agreementID", "agreementId")
    agreement_status: Text = named("agreementStatus")
    payer_reference: Text = named("payerReference", repr=False)
    customer_msisdn: Text = named("customerMsisdn", repr=False)
    payer_account: Text = named("payerAccount", repr=False)
    payer_type: Text = named("payerType")
    mode: Text = None
    verification_status: Text = named("verificationStatus")
    agreement_create_time: Text = named("agreementCreateTime")
    agreement_execute_time: Text = named("agreementExecuteTime")
    agreement_void_time: Text = named("agreementVoidTime")


class SearchAnswer(Answer):
    """Search a transaction (§4.8). There is no invoice number in it: alone it binds to no order."""

    trx_id: Text = either("trxID", "trxId")
    initiation_time: Text = named("initiationTime")
    completed_time: Text = named("completedTime")
    transaction_type: Text = named("transactionType")
    transaction_status: Text = named("transactionStatus")
    transaction_reference: Text = named("transactionReference")
    customer_msisdn: Text = named("customerMsisdn", repr=False)
    payer_account: Text = named("payerAccount", repr=False)
    payer_type: Text = named("payerType")
    amount: Text = None
    currency: Text = None
    organization_short_code: Text = named("organizationShortCode")
    service_fee: Text = named("serviceFee")
    credited_amount: Text = named("creditedAmount")
    max_refundable_amount: Text = named("maxRefundableAmount")
    sale_amount: Text = named("saleAmount")
    coupon_amount: Text = named("couponAmount")
    merchant_share_amount: Text = named("merchantShareAmount")
    original_trx_amount: Text = named("originalTrxAmount")


class CaptureVoidAnswer(Answer):
    """Capture and void (§4.9); one documented sample spells ``paymentId``."""

    payment_id: Text = either("paymentID", "paymentId")
    trx_id: Text = either("trxID", "trxId")
    transaction_status: Text = named("transactionStatus")
    create_time: Text = named("createTime")
    update_time: Text = named("updateTime")
    amount: Text = None
    currency: Text = None


class RefundV1Answer(Answer):
    """Refund and refund status on the v1 route (§4.10). Status before any refund has no ``refund_trx_id``."""

    original_trx_id: Text = either("originalTrxID", "originalTrxId")
    refund_trx_id: Text = either("refundTrxID", "refundTrxId")
    transaction_status: Text = named("transactionStatus")
    amount: Text = None
    currency: Text = None
    charge: Text = None
    completed_time: Text = named("completedTime")


class RefundV2Answer(Answer):
    """Refund on the v2 route: success has no status code (§4.11)."""

    original_trx_id: Text = either("originalTrxId", "originalTrxID")
    refund_trx_id: Text = either("refundTrxId", "refundTrxID")
    refund_transaction_status: Text = named("refundTransactionStatus")
    original_trx_amount: Text = named("originalTrxAmount")
    refund_amount: Text = named("refundAmount")
    currency: Text = None
    completed_time: Text = named("completedTime")
    sku: Text = None
    reason: Text = None


class RefundTransaction(Lenient):
    """One entry of the v2 refund list. It carries no sku, no reason: only the amount correlates (§4.11)."""

    refund_trx_id: Text = either("refundTrxId", "refundTrxID")
    refund_transaction_status: Text = either("refundTransactionStatus", "transactionStatus")
    refund_amount: Text = named("refundAmount")
    completed_time: Text = either("completedTime", "refundTime")


def _as_list(value: object) -> list[Any] | None:
    """Absent stays ``None``. A list that holds anything but objects is not a list one can diff against."""
    if isinstance(value, list) and all(isinstance(entry, (dict, RefundTransaction)) for entry in value):
        return value
    return None


class RefundStatusV2Answer(Answer):
    """Refund status on the v2 route (§4.11).

    ``refund_transactions`` is ``None`` when the field is absent, which is normal when there is no refund yet.
    It is also ``None`` when the field was there but unreadable; ``refund_list_unreadable`` tells the two
    apart, because "no refund yet" read into a garbled list would license a second refund.
    """

    original_trx_id: Text = either("originalTrxId", "originalTrxID")
    original_trx_amount: Text = named("originalTrxAmount")
    original_trx_completed_time: Text = named("originalTrxCompletedTime")
    refund_transactions: Annotated[list[RefundTransaction] | None, BeforeValidator(_as_list)] = named(
        "refundTransactions"
    )
    refund_list_unreadable: bool = Field(default=False, exclude=True)

    _LIST: ClassVar[str] = "refundTransactions"

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """As :meth:`Answer.from_json`, and notes a refund list that is there but cannot be read."""
        found = read_json(raw)
        listed = found.get(cls._LIST)
        answer = cls.model_validate(
            {key: value for key, value in found.items() if key != "refund_list_unreadable"}
        )
        unreadable = listed is not None and _as_list(listed) is None
        return answer.model_copy(update={"refund_list_unreadable": unreadable})


class RefundStatusV1Answer(RefundStatusV2Answer):
    """Refund status on the v1 route: one refund's own fields (§4.10); a list, where one comes, is read as well."""

    refund_trx_id: Text = either("refundTrxID", "refundTrxId")
    transaction_status: Text = named("transactionStatus")
    amount: Text = None
    currency: Text = None
    charge: Text = None
    completed_time: Text = named("completedTime")


# ------------------------------------------------------------------------------- notifications (IPN, §8.3)


class NotificationMessage(Lenient):
    """The inner message of a payment notification. It names no paymentID: only the invoice number binds it."""

    date_time: Text = named("dateTime")
    debit_msisdn: Text = named("debitMSISDN", repr=False)
    credit_organization_name: Text = named("creditOrganizationName")
    credit_short_code: Text = named("creditShortCode")
    trx_id: Text = either("trxID", "trxId")
    transaction_status: Text = named("transactionStatus")
    transaction_type: Text = named("transactionType")
    amount: Text = None
    currency: Text = None
    transaction_reference: Text = named("transactionReference", repr=False)
    merchant_invoice_number: Text = named("merchantInvoiceNumber")
    coupon_amount: Text = named("couponAmount")
    merchant_share_amount: Text = named("merchantShareAmount")
    sale_amount: Text = named("saleAmount")

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Read a message from its bytes; raises :class:`UnreadableBodyError` as :func:`read_json` does."""
        return cls.model_validate(read_json(raw))


# ----------------------------------------------------------------------------------------- times (§12.3, §18)

DHAKA: Final = timezone(timedelta(hours=6), "+06:00")
"""Bangladesh time; fixed, the country has no summer time."""

_TIME: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:[:.](\d{1,3}))?(?: ?GMT([+-])(\d{2}):?(\d{2}))?",
    re.ASCII,
)
_COMPACT_TIME: Final = re.compile(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})", re.ASCII)


def parse_time(text: str) -> datetime:
    """Read a bKash time: ``2019-08-07T11:12:34:978 GMT+0600`` (no zone: +06:00) or ``yyyyMMddHHmmss``.

    The colon before the milliseconds is bKash's own (§12.3). Returns an aware datetime in the zone that was
    written; raises ``ValueError`` for anything else.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        compact = _COMPACT_TIME.fullmatch(text)
        if compact is None:
            raise ValueError("not a bKash time (expected yyyy-MM-ddTHH:mm:ss:SSS GMT+0600)")
        year, month, day, hour, minute, second = (int(part) for part in compact.groups())
        return datetime(year, month, day, hour, minute, second, tzinfo=DHAKA)
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    milliseconds = int((match[7] or "0").ljust(3, "0"))
    zone: timezone = DHAKA
    if match[8]:
        offset = timedelta(hours=int(match[9]), minutes=int(match[10]))
        zone = timezone(-offset if match[8] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, milliseconds * 1000, tzinfo=zone)


def format_time(moment: datetime, zone: timezone = DHAKA) -> str:
    """Write a bKash time in ``zone``: ``2019-08-07T11:12:34:978 GMT+0600``. ``moment`` must be aware."""
    if moment.tzinfo is None:
        raise ValueError("a bKash time needs an aware datetime; this one has no zone")
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%dT%H:%M:%S}:{local.microsecond // 1000:03d} GMT{local:%z}"


# ----------------------------------------------------------------------------------- transaction ids (§12.3)

_BASE36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST_YEAR: Final = 2013
_MONTHS: Final = "ABCDEFGHIJKL"
_DAYS: Final = "123456789ABCDEFGHIJKLMNOPQRSTUV"


def trx_date_prefix(day: date) -> str:
    """The first three characters of a trxID made on this Bangladesh day: ``date(2025, 7, 15)`` -> ``CGF``.

    Raises ``ValueError`` outside 2013-2048, where the one-character year ends.
    """
    index = day.year - _FIRST_YEAR
    if not 0 <= index < len(_BASE36):
        raise ValueError(f"a trxID cannot carry the year {day.year}")
    return _BASE36[index] + _MONTHS[day.month - 1] + _DAYS[day.day - 1]


def trx_date(trx_id: str) -> date | None:
    """The Bangladesh date that a trxID encodes, or ``None`` where the id does not follow the scheme."""
    if len(trx_id) < 3:
        return None
    year, month, day = (_BASE36.find(trx_id[0]), _MONTHS.find(trx_id[1]), _DAYS.find(trx_id[2]))
    if min(year, month, day) < 0:
        return None
    try:
        return date(_FIRST_YEAR + year, month + 1, day + 1)
    except ValueError:  # 31 February
        return None


# --------------------------------------------------------------------- merchantAssociationInfo (§4.2, §18)


def parse_tlv(text: str) -> Mapping[str, str]:
    """Read ``MI05MID54RF03123`` as ``{"MI": "MID54", "RF": "123"}``: 2-letter tag, 2 digits of length, value.

    Raises ``ValueError`` (bKash: 2047) for a cut, repeated or malformed field.
    """
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, length = text[at : at + 2], text[at + 2 : at + 4]
        if not re.fullmatch(r"[A-Z]{2}", tag) or not re.fullmatch(r"[0-9]{2}", length):
            raise ValueError(f"merchantAssociationInfo is not tag-length-value at character {at}")
        value = text[at + 4 : at + 4 + int(length)]
        if len(value) != int(length) or tag in found:
            raise ValueError(f"merchantAssociationInfo has a cut or repeated field {tag} at character {at}")
        found[tag] = value
        at += 4 + int(length)
    return found

"""bKash Tokenized Checkout v1.2.0-beta: the words on the wire, shared by adapter, sandbox and tests.

How bodies are written and answers are read stands in `gateways/bodies.py`; the words of refunds, and the forms of
times and ids, have modules of their own (`refund_models.py`, `values.py`) and are read through this one.

Judging an answer (which envelope, success or refusal, is it ours) is the work of ``protocol.py`` and
``errors.py``; nothing here decides anything about money.
"""

import re
from datetime import timedelta
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field

from vextrus_payments.gateways.bkash.fields import Answer as Answer
from vextrus_payments.gateways.bkash.fields import either, named
from vextrus_payments.gateways.bkash.refund_models import TEXT_MAX as TEXT_MAX
from vextrus_payments.gateways.bkash.refund_models import RefundStatusV1Answer as RefundStatusV1Answer
from vextrus_payments.gateways.bkash.refund_models import RefundStatusV1Body as RefundStatusV1Body
from vextrus_payments.gateways.bkash.refund_models import RefundStatusV2Answer as RefundStatusV2Answer
from vextrus_payments.gateways.bkash.refund_models import RefundStatusV2Body as RefundStatusV2Body
from vextrus_payments.gateways.bkash.refund_models import RefundTransaction as RefundTransaction
from vextrus_payments.gateways.bkash.refund_models import RefundV1Answer as RefundV1Answer
from vextrus_payments.gateways.bkash.refund_models import RefundV1Body as RefundV1Body
from vextrus_payments.gateways.bkash.refund_models import RefundV2Answer as RefundV2Answer
from vextrus_payments.gateways.bkash.refund_models import RefundV2Body as RefundV2Body
from vextrus_payments.gateways.bkash.values import DHAKA as DHAKA
from vextrus_payments.gateways.bkash.values import format_time as format_time
from vextrus_payments.gateways.bkash.values import parse_time as parse_time
from vextrus_payments.gateways.bkash.values import parse_tlv as parse_tlv
from vextrus_payments.gateways.bkash.values import trx_date as trx_date
from vextrus_payments.gateways.bkash.values import trx_date_prefix as trx_date_prefix
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


# ------------------------------------------------------------------------------ what the gateway says (§3-5)


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

"""bKash Tokenized Checkout v2 (non-beta): its words on the wire, shared by adapter, sandbox and tests (dossier §5).

What v2 changes against v1.2.0-beta (`models.py`), and all that it changes:

* other routes, one per deed in place of one route with a `mode`;
* ids are spelled `paymentId`, `trxId`, `agreementId` (the browser's callback keeps `paymentID`, §5);
* an agreement is executed and looked up by its own `agreementId`, which its create gives already;
* a success has no `statusCode`: HTTP 200 with the state is the success. A refusal is HTTP 400 with `internalCode`,
  `externalCode`, `errorMessageEn` and `errorMessageBn`, which `models.Answer` reads like every other envelope.

The same: host, token headers, states, times, codes. The refund pair of v2 (`models.RefundV2Body` ...) is older than
the rest of it and usable behind either product (§4.11).
"""

from typing import Final

from pydantic import Field

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.fields import either, named
from vextrus_payments.gateways.bodies import Body, Text

# -------------------------------------------------------------------------------------------------- routes (§5)

API_VERSION: Final = "v2"
ROOT_PATH: Final = "/v2"
"""The base URL of a merchant on v2 ends in this (§2); the ``PATH_*`` constants follow it."""

PATH_GRANT: Final = "/tokenized-checkout/auth/grant-token"
PATH_REFRESH: Final = "/tokenized-checkout/auth/refresh-token"
PATH_PAYMENT_CREATE: Final = "/tokenized-checkout/payment/create"
PATH_PAYMENT_EXECUTE: Final = "/tokenized-checkout/payment/execute"
PATH_CHARGE_CREATE: Final = "/tokenized-checkout/payment-with-agreement/create"
PATH_CHARGE_EXECUTE: Final = "/tokenized-checkout/payment-with-agreement/execute"
PATH_QUERY: Final = "/tokenized-checkout/query/payment"
PATH_QUERY_ALTERNATIVE: Final = "/tokenized-checkout/payment/status"
"""The spelling of one test report (§16.4); to be tried only after a wrong-route answer."""
PATH_AGREEMENT_CREATE: Final = "/tokenized-checkout/agreement/create"
PATH_AGREEMENT_EXECUTE: Final = "/tokenized-checkout/agreement/execute"
PATH_AGREEMENT_QUERY: Final = "/tokenized-checkout/query/agreement"
PATH_AGREEMENT_CANCEL: Final = "/tokenized-checkout/agreement/cancel"
PATH_SEARCH: Final = "/tokenized-checkout/search/transaction"
PATH_SEARCH_ALTERNATIVE: Final = "/tokenized-checkout/general/search-transaction"
"""What bKash's plugin for WooCommerce and a Laravel client call; to be tried only after a wrong-route answer."""
PATH_REFUND: Final = "/tokenized-checkout/refund/payment/transaction"
PATH_REFUND_STATUS: Final = "/tokenized-checkout/refund/payment/status"

QUERY_PATHS: Final = (PATH_QUERY, PATH_QUERY_ALTERNATIVE)
SEARCH_PATHS: Final = (PATH_SEARCH, PATH_SEARCH_ALTERNATIVE)

CALLBACK_PAYMENT: Final = "paymentID"
"""How the browser names a payment when it comes back: the d stays a capital one on v2 (§5)."""
CALLBACK_AGREEMENT: Final = "agreementID"
"""How it names an agreement: likely, for nothing else is known to its merchant (§17)."""

# ---------------------------------------------------------------------------------------------- what we send (§5)


class CreateBody(Body):
    """Create a payment; with an `agreementId` on the route for payments with an agreement. No `mode` on v2."""

    payer_reference: str = Field(alias="payerReference", repr=False)
    callback_url: str = Field(alias="callbackURL", repr=False)
    agreement_id: str | None = Field(default=None, alias="agreementId", repr=False)
    amount: str = Field(min_length=1)
    currency: str
    intent: str
    merchant_invoice_number: str = Field(alias="merchantInvoiceNumber", min_length=1)
    sub_merchant_name: str | None = Field(default=None, alias="subMerchantName")
    merchant_association_info: str | None = Field(default=None, alias="merchantAssociationInfo")


class AgreementCreateBody(Body):
    """Create an agreement."""

    payer_reference: str = Field(alias="payerReference", repr=False)
    callback_url: str = Field(alias="callbackURL", repr=False)


class PaymentIdBody(Body):
    """Execute and query a payment."""

    payment_id: str = Field(alias="paymentId", min_length=1)


class ChargeExecuteBody(Body):
    """Execute a payment with an agreement. Most clients name the agreement again, one names the payment alone."""

    payment_id: str = Field(alias="paymentId", min_length=1)
    agreement_id: str | None = Field(default=None, alias="agreementId", min_length=1, repr=False)


class AgreementIdBody(Body):
    """Execute, query and cancel an agreement: never by a paymentId (§5)."""

    agreement_id: str = Field(alias="agreementId", min_length=1, repr=False)


class TrxIdBody(Body):
    """Search a transaction."""

    trx_id: str = Field(alias="trxId", min_length=1)


# ---------------------------------------------------------------------------------------- what the gateway says (§5)

# Read under either spelling, as everywhere; written (by a sandbox) under v2's.


class CreateAnswer(m.CreateAnswer):
    """Create, of a payment (with or without an agreement) or of an agreement."""

    payment_id: Text = either("paymentId", "paymentID")
    agreement_id: Text = either("agreementId", "agreementID")
    sub_merchant_name: Text = named("subMerchantName")


class PaymentAnswer(m.PaymentAnswer):
    """Execute and query of a payment: one shape, as real answers overlap."""

    payment_id: Text = either("paymentId", "paymentID")
    trx_id: Text = either("trxId", "trxID")
    agreement_id: Text = either("agreementId", "agreementID")
    sub_merchant_name: Text = named("subMerchantName")


class ExecuteAnswer(PaymentAnswer, m.ExecuteAnswer):
    """Execute a payment, with or without an agreement."""


class QueryAnswer(PaymentAnswer, m.QueryAnswer):
    """Query a payment."""


class AgreementAnswer(m.AgreementAnswer):
    """Execute, query and cancel an agreement. The field names beside the id are v1's: no trace of v2's is public."""

    payment_id: Text = either("paymentId", "paymentID")
    agreement_id: Text = either("agreementId", "agreementID")


class SearchAnswer(m.SearchAnswer):
    """Search a transaction."""

    trx_id: Text = either("trxId", "trxID")

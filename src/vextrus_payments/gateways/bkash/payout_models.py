"""bKash payouts, transfers and balance: the words on the wire (dossier §6), shared by adapter, sandbox and tests.

Two families of routes say the same things. The **checkout product** (root `.../v1.2.0-beta/checkout`, credentials of
its own) has the documented calls: `b2cPayment`, `intraAccountTransfer`, `organizationBalance`. **Initiated payouts**
ask for a `payoutID` first and pay by it, and can be asked about afterwards; they hang off the checkout root (B2B only)
and, on the tokenized host, off `.../v1.2.0-beta` (B2B, B2C, transfer). One library alone describes them (confidence C),
so nothing but the fields below is relied on.

Errors have the iframe's envelope: HTTP 200 (or 4xx) with `errorCode` and `errorMessage`. Times are written in
`GMT+0000` on the checkout product. Amounts are texts with at most two decimals.
"""

from typing import Annotated, Any, Final

from pydantic import AliasChoices, BeforeValidator, Field

from vextrus_payments.gateways.bkash.models import Answer, Body
from vextrus_payments.gateways.bodies import Lenient, Text

# ---------------------------------------------------------------------------------------------- routes (§2, §6)

CHECKOUT_ROOT_PATH: Final = "/v1.2.0-beta/checkout"
"""The root of the checkout product ends in this; the next seven paths follow it."""
TOKENIZED_ROOT_PATH: Final = "/v1.2.0-beta"
"""The root of the tokenized host; the paths `TOKENIZED_PATH_...` follow it."""

PATH_GRANT: Final = "/token/grant"
PATH_REFRESH: Final = "/token/refresh"
PATH_BALANCE: Final = "/payment/organizationBalance"
"""GET; with `Content-Type: application/json` although it has no body (§3.3)."""
PATH_TRANSFER: Final = "/payment/intraAccountTransfer"
PATH_B2C: Final = "/payment/b2cPayment"
PATH_INITIATE: Final = "/payout/initiate"
PATH_B2B_BY_ID: Final = "/payout/b2b"
PATH_PAYOUT_QUERY: Final = "/payout/query"
"""GET, with `/{payoutID}` behind it."""

TOKENIZED_PATH_INITIATE: Final = "/tokenized/payout/initiate"
TOKENIZED_PATH_B2B_BY_ID: Final = "/tokenized/payout/b2b"
TOKENIZED_PATH_B2C_BY_ID: Final = "/tokenized/payout/b2c"
TOKENIZED_PATH_TRANSFER: Final = "/tokenized/payout/intraAccountTransfer"
TOKENIZED_PATH_PAYOUT_QUERY: Final = "/tokenized/payout/query"
"""GET, with `/{payoutID}` behind it."""

# ------------------------------------------------------------------------------------------------- words (§6)

COLLECTION_TO_DISBURSEMENT: Final = "Collection2Disbursement"
DISBURSEMENT_TO_COLLECTION: Final = "Disbursement2Collection"
TYPE_B2C: Final = "B2C"
TYPE_B2B: Final = "B2B"
STATUS_INITIATED: Final = "Initiated"
"""Of a payout that was asked for and not made."""
STATUS_COMPLETED: Final = "Completed"
STATUS_ACTIVE: Final = "Active"
"""Of an account in the balance."""

ACCOUNT_COLLECTION: Final = "Collection"
ACCOUNT_DISBURSEMENT: Final = "Disbursement"
"""An account is of the one or the other kind where its `accountTypeName` has this word in it, in any case
("Merchant Collection Account"); nothing more is documented of the name."""

CODE_INVALID_RECEIVER: Final = "2012"
CODE_INVALID_TRANSFER_TYPE: Final = "2032"


def _either(*names: str, repr: bool = True) -> Any:
    """A field that arrives under one of several spellings and leaves under the first."""
    return Field(default=None, validation_alias=AliasChoices(*names), serialization_alias=names[0], repr=repr)


# ----------------------------------------------------------------------------------------------- what we send


class B2cBody(Body):
    """Pay a customer's wallet from the disbursement account. No idempotency key: twice sent is twice paid (§6)."""

    amount: str = Field(min_length=1)
    currency: str = Field(min_length=1)
    merchant_invoice_number: str = Field(alias="merchantInvoiceNumber", min_length=1)
    receiver_msisdn: str = Field(alias="receiverMSISDN", min_length=1, repr=False)


class TransferBody(Body):
    """Move money between the merchant's own accounts at bKash. No idempotency key either."""

    amount: str = Field(min_length=1)
    currency: str = Field(min_length=1)
    transfer_type: str = Field(alias="transferType", min_length=1)


class InitiateBody(Body):
    """Ask for a payoutID. Nothing moves by it; `reference` is ours."""

    type: str = Field(min_length=1)
    reference: str = Field(min_length=1)


class PayoutByIdBody(Body):
    """Pay by a payoutID: B2B, and B2C on the tokenized host."""

    payout_id: str = Field(alias="payoutID", min_length=1)
    amount: str = Field(min_length=1)
    currency: str = Field(min_length=1)
    merchant_invoice_number: str = Field(alias="merchantInvoiceNumber", min_length=1)
    receiver_msisdn: str = Field(alias="receiverMSISDN", min_length=1, repr=False)


# --------------------------------------------------------------------------------------- what the gateway says


class PayoutAnswer(Answer):
    """A payout, made (b2c, b2b) or asked about (query). A made one has trxID and `Completed`; the fee is optional.

    `{"trxID","amount","currency","receiverMSISDN","merchantInvoiceNumber","transactionStatus","completedTime","b2cFee"}`
    """

    payout_id: Text = _either("payoutID", "payoutId")
    type: Text = None
    reference: Text = None
    trx_id: Text = _either("trxID", "trxId")
    amount: Text = None
    currency: Text = None
    receiver_msisdn: Text = _either("receiverMSISDN", "receiverMsisdn", repr=False)
    merchant_invoice_number: Text = Field(default=None, alias="merchantInvoiceNumber")
    transaction_status: Text = Field(default=None, alias="transactionStatus")
    completed_time: Text = Field(default=None, alias="completedTime")
    initiation_time: Text = Field(default=None, alias="initiationTime")
    b2c_fee: Text = _either("b2cFee", "b2bFee", "fee")


class InitiateAnswer(Answer):
    """A payoutID was given."""

    payout_id: Text = _either("payoutID", "payoutId")
    type: Text = None
    reference: Text = None
    initiation_time: Text = Field(default=None, alias="initiationTime")


class TransferAnswer(Answer):
    """`{"completedTime","trxID","transactionStatus","amount","currency","transferType"}`"""

    trx_id: Text = _either("trxID", "trxId")
    amount: Text = None
    currency: Text = None
    transfer_type: Text = Field(default=None, alias="transferType")
    transaction_status: Text = Field(default=None, alias="transactionStatus")
    completed_time: Text = Field(default=None, alias="completedTime")


class OrganizationAccount(Lenient):
    """One of the merchant's accounts at bKash."""

    account_type_name: Text = Field(default=None, alias="accountTypeName")
    account_status: Text = Field(default=None, alias="accountStatus")
    account_holder_name: Text = Field(default=None, alias="accountHolderName", repr=False)
    current_balance: Text = Field(default=None, alias="currentBalance")
    available_balance: Text = Field(default=None, alias="availableBalance")
    currency: Text = None
    update_time: Text = Field(default=None, alias="updateTime")

    def to_wire(self) -> dict[str, Any]:
        """The account under its wire names, without the absent fields."""
        return self.model_dump(by_alias=True, exclude_none=True)


def _as_accounts(value: object) -> list[Any] | None:
    """A list that holds anything but objects is no list of accounts."""
    if isinstance(value, list) and all(isinstance(entry, (dict, OrganizationAccount)) for entry in value):
        return value
    return None


class BalanceAnswer(Answer):
    """`{"organizationBalance":[{"accountTypeName","accountStatus","accountHolderName","currentBalance",...}]}`"""

    organization_balance: Annotated[list[OrganizationAccount] | None, BeforeValidator(_as_accounts)] = Field(
        default=None, alias="organizationBalance"
    )

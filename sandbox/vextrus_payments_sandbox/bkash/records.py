"""What the bKash sandbox remembers: payments, agreements, refunds; its codes, and the knobs of its rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox.bkash.tokens import Merchant
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.world import Wallet

GATEWAY: Final = "bkash"

Api = Literal["v1", "v2", "checkout"]
"""Through which product something was made: Tokenized v1.2.0-beta, Tokenized v2, or the legacy checkout (§1.1)."""

MESSAGES: Final[Mapping[str, str]] = {
    "2001": "Invalid App Key",
    "2002": "Invalid Payment ID",
    "2003": "Process Failed",
    "2006": "Invalid amount",
    "2007": "Invalid currency",
    "2008": "Invalid intent",
    "2012": "Invalid Receiver MSISDN",
    "2023": "Insufficient Balance",
    "2025": "Invalid request body",
    "2026": "The reversal amount cannot be greater than the original transaction amount",
    "2029": "Duplicate for All Transactions",
    "2031": "Invalid merchant invoice number",
    "2032": "Invalid Transfer Type",
    "2033": "Transaction not found",
    "2034": "The transaction cannot be reversed because the original transaction has been reversed",
    "2037": "The account of the debit party is in a state which prohibits execution of this transaction",
    "2039": "The account of the credit party is in a state which prohibits execution of this transaction",
    "2047": "TLV Data Format Error",
    "2048": "Invalid Payer Reference",
    "2049": "Invalid Merchant Callback URL",
    "2050": "Agreement already exists between payer and merchant",
    "2051": "Invalid Agreement ID",
    "2052": "Agreement is in incomplete state",
    "2053": "Agreement has already been cancelled",
    "2054": "Agreement execution pre-requisite hasn't been met",
    "2056": "Invalid Payment State",
    "2060": "Payment execution pre-requisite hasn't been met",
    "2061": "This action can only be performed by the agreement or payment initiator party",
    "2062": "The payment has already been completed",
    "2063": "Mode is not valid as per request data",
    "2065": "Mandatory field missing",
    "2068": "Transaction has already been completed",
    "2071": "Refund after specified days is not allowed",
    "2072": "Refund amount not valid",
    "2073": "Invalid SKU",
    "2074": "Transaction cannot be reversed",
    "2075": "SKU is too long",
    "2076": "Reason is too long",
    "2077": "Invalid trxID",
    "2078": "Invalid reason",
    "2079": "Invalid App Token",
    "2081": "Debit party or credit party state prohibits this transaction",
    "2116": "Agreement execution already been called before",
    "2117": "Payment execution already been called before",
    "2119": "Authorized payment has already been processed",
    "2127": "Transaction is not yet completed",
    "9999": "System Error.",
}
"""bKash's own sentences (dossier §9); their spelling varies at the real gateway too."""


OUTCOME_CODES: Final[Mapping[str, str]] = {
    "insufficient_balance": "2023",
    "account_blocked": "2037",
    "duplicate": "2029",
    "system_error": "9999",
}
"""With which code execute refuses a payment whose amount or wallet asks for that outcome (``magic.py``)."""


class Refusal(Exception):
    """bKash understood and said no, with a code of dossier §9."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = MESSAGES[code]


class State(StrEnum):
    """A payment's state; :func:`wire_state` gives the gateway's own word."""

    INITIATED = "Initiated"
    AUTHORIZED = "Authorized"
    COMPLETED = "Completed"
    CANCELLED = "Cancelled"
    FAILED = "Failed"
    DECLINED = "Declined"
    EXPIRED = "Expired"
    VOIDED = "Voided"


def wire_state(state: State) -> str:
    """What bKash calls it: a voided authorization is ``Cancelled`` (§4.9)."""
    return State.CANCELLED.value if state is State.VOIDED else state.value


@dataclass(frozen=True, slots=True)
class Rules:
    """What sources leave open (§12.1, §12.2, §16), with the dossier's defaults."""

    duplicate_window_s: float = 120
    unfinished_code: Literal["2056", "2060"] = "2056"
    amounts: Literal["as_sent", "two_places"] = "as_sent"
    unique_invoices: bool = False
    v2_refusals: Literal["v2", "v1"] = "v2"
    """In whose words Tokenized v2 refuses: an older house behind it may answer in v1's (§5)."""
    charge_page: bool = True
    """Whether a payer confirms a payment under his agreement on a page; without one there is no bkashURL, and execute
    may follow at once (§16.12)."""
    code_life_s: float = 300
    """How long the payer has for the code, once it was sent; bKash's own time is not public."""
    pin_life_s: float = 300
    """How long the payer has for the PIN, once it was asked for."""
    disbursement_minor: int = 10_000_000
    """What lies in a merchant's disbursement account to begin with, in paisa: payouts are paid from there (§6)."""
    b2c_fee_minor: int = 0
    """What a payout to a customer costs the merchant on top, in paisa; the answer names it (§6)."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund that went through."""

    trx_id: str
    amount_minor: int
    amount_text: str
    sku: str
    reason: str
    completed_at: datetime


@dataclass(slots=True)
class Payment(Kept):
    """One paymentID: a payment (mode 0011, 0001) or the making of an agreement (mode 0000), which v2 knows by the
    agreement's own id. Or a walk-in payment, which never saw the API: it has no mode, no invoice, and its trxID for an
    id."""

    payment_id: str
    mode: str
    merchant: Merchant
    payer_reference: str
    callback_url: str
    created_at: datetime
    page_hash: str
    signature: str
    invoice: str = ""
    amount_minor: int = 0
    amount_text: str = ""
    intent: str = ""
    agreement_id: str | None = None
    state: State = State.INITIATED
    verified: bool = False
    wallet: Wallet | None = None
    trx_id: str | None = None
    executed_at: datetime | None = None
    updated_at: datetime | None = None
    refunds: list[Refund] = field(default_factory=list)
    page_step: Literal["wallet", "otp", "pin"] = "wallet"
    wrong_otps: int = 0
    wrong_pins: int = 0
    resends: int = 0
    """How often the payer had the code sent again."""
    step_until: datetime | None = None
    """When the code's or the PIN's time is over; None: the page has no timer yet."""
    timed_out: bool = False
    """Whether the page failed by its timer."""
    completion_seen: bool = False
    execute_answered: bool = False
    outcome: str = ""
    """What it comes to although its payer did everything right, as it was ordered ahead (``magic.py``)."""
    channel: str = "api"
    """By which way the payer paid: api, qr or ussd."""
    api: Api = "v1"
    sub_merchant: str = ""
    """Whom v2's create named as the merchant behind this one."""

    @property
    def is_agreement(self) -> bool:
        """Whether this id makes an agreement and moves no money."""
        return self.mode == m.MODE_AGREEMENT

    @property
    def refunded_minor(self) -> int:
        """The sum of the refunds, in paisa."""
        return sum(refund.amount_minor for refund in self.refunds)

    @property
    def captured_minor(self) -> int:
        """What the merchant received, in paisa, refunds not deducted."""
        return self.amount_minor if self.state is State.COMPLETED else 0


@dataclass(slots=True)
class Agreement(Kept):
    """A payer's standing consent."""

    agreement_id: str
    payment_id: str
    merchant: Merchant
    wallet: Wallet
    payer_reference: str
    created_at: datetime
    executed_at: datetime
    voided_at: datetime | None = None


PayoutKind = Literal["B2C", "B2B", "transfer"]


@dataclass(slots=True)
class Payout(Kept):
    """Money that leaves by the merchant's will: to a wallet (B2C, B2B), or between his own accounts (§6)."""

    payout_id: str
    """The payoutID, where one was asked for; else its trxID."""
    kind: PayoutKind
    merchant: Merchant
    created_at: datetime
    reference: str = ""
    """The merchant's own word for it, from the asking for a payoutID."""
    amount_minor: int = 0
    amount_text: str = ""
    fee_minor: int = 0
    receiver: str = ""
    """The wallet that was paid."""
    invoice: str = ""
    transfer_type: str = ""
    trx_id: str | None = None
    """None: asked for, and not made."""
    completed_at: datetime | None = None

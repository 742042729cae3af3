"""What the Nagad sandbox remembers: merchants, payments, refunds; its codes, and the knobs of its rules."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric import rsa

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.world import Wallet

GATEWAY: Final = "nagad"
PREFIX: Final = "16_0006_"
"""Of every code with which the API refuses (§10)."""
CODE_PAID: Final = "000"
"""statusCode of a verify answer (§7)."""
RETURN_SUCCESS: Final = "00_0000_000"
"""status_code of a return (§6)."""

MESSAGES: Final[Mapping[str, str]] = {
    "001": "Invalid PIN",
    "004": "Invalid merchant ID",
    "017": "The state of the purchase does not allow this",
    "040": "Invalid encrypted request type",
    "050": "Invalid merchant ID",
    "052": "Invalid merchant",
    "053": "Inactive merchant",
    "055": "Invalid Payment Reference Id",
    "056": "Encryption failed",
    "057": "Decryption failed",
    "058": "Signature verification failed",
    "059": "Invalid sensitive data",
    "060": "The sensitive data could not be processed",
    "061": "Invalid merchant key",
    "064": "Mandatory Header Missing",
    "068": "Invalid order ID",
    "069": "Data is not encoded",
    "075": "The data could not be saved",
    "076": "The date and time are not within the allowed window",
    "080": "Invalid currency code",
    "081": "Invalid date format",
    "083": "Duplicate order ID on the same day",
    "999": "Invalid request",
}
"""The last group of a code -> what it means (§10), in words of ours."""


class Refusal(Exception):
    """Nagad understood and said no. `code` is the last group of a code of dossier §10."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        """The `devMessage`: what exactly was wrong."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """One merchant account. The numbers are visibly fake: 68, then the number without its 01, then four digits."""

    public_key: rsa.RSAPublicKey = field(repr=False)
    merchant_id: str = "680000000000001"
    number: str = "01000000000"
    name: str = "SandboxMerchant"
    active: bool = True
    till: str = ""
    """What its account in the books is called behind the gateway's name; the first merchant's has no name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What sources leave open (§10, §14, §18), with the dossier's defaults."""

    window_s: float = 900
    """How far a merchant's clock may be off, either way; five minutes were seen to pass."""
    strict_hash: bool = True
    """False: a SHA-1 signature passes too, for samples that follow the vendor's old guide."""
    refusal_status: int = 400
    """The HTTP status of every refusal."""
    headers_on_verify: bool = False
    """Whether a look-up must carry the X-KM headers as well."""
    callback_join: Literal["slash", "plain"] = "slash"
    """Whether a slash goes in before the question mark of a return."""
    issuer_ref: Literal["own", "payment_ref"] = "own"
    """What a return calls issuer_payment_ref: the issuer's own number, or, as in 2021, the payment reference."""
    page_life_s: float = 3600
    """How long a page can be paid; Nagad's own time-out is not public."""
    default_callback_url: str = ""
    """What the merchant portal holds for a complete that names no callback URL."""


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund that went through."""

    trx_id: str
    amount_minor: int
    reference_no: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Ending:
    """How a payer's page ends: what the return says."""

    status: m.Status
    code: str
    message: str


@dataclass(slots=True)
class Payment(Kept):
    """One payment reference."""

    reference: str
    merchant: Merchant
    order_id: str
    challenge: str
    ordered_at: datetime
    """The merchant's own time of the order: it is what verify shows (§7)."""
    created_at: datetime
    locale: str
    status: m.Status = m.Status.ORDER_INITIATED
    amount_minor: int = 0
    amount_text: str = ""
    callback_url: str = ""
    info: str | None = None
    """additionalMerchantInfo as compact JSON text."""
    completed_at: datetime | None = None
    wallet: Wallet | None = None
    paid_at: datetime | None = None
    issuer_ref: str | None = None
    page_step: Literal["wallet", "otp", "pin"] = "wallet"
    wrong_otps: int = 0
    wrong_pins: int = 0
    ending: Ending | None = None
    """What the return said, once the payer's page has ended; it never changes again."""
    settles_at: datetime | None = None
    """When a payment that is under way finds its end; None: not by itself."""
    settles_paid: bool = True
    outcome: str = ""
    """What it comes to although its payer did everything right, as it was ordered ahead (``magic.py``)."""
    refunds: list[Refund] = field(default_factory=list)

    @property
    def is_paid(self) -> bool:
        """Whether the money came in, given back since or not."""
        return self.paid_at is not None

    @property
    def refunded_minor(self) -> int:
        """The sum of the refunds, in paisa."""
        return sum(refund.amount_minor for refund in self.refunds)

    @property
    def captured_minor(self) -> int:
        """What the merchant received, in paisa, refunds not deducted."""
        return self.amount_minor if self.is_paid else 0

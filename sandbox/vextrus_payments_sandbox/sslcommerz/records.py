"""What the SSLCommerz sandbox remembers: stores, sessions, tries, refunds, invoices; and the knobs of its rules.

A payment of the sandbox is a *session*. Its payer may try several times, as long as it is open: each try is an
:class:`Attempt` with a ``bank_tran_id`` of its own. A merchant may open several sessions under one ``tran_id``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from vextrus_payments.gateways.sslcommerz.models import PAID, RefundStatus, Status
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.world import Wallet

GATEWAY: Final = "sslcommerz"
STORE_ID: Final = "sandboxstore000"
STORE_PASSWORD: Final = "sandboxstore000@ssl"
VALUES: Final = ("value_a", "value_b", "value_c", "value_d")


class Refusal(Exception):
    """SSLCommerz understood and said no; its text is the reason that the answer gives."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """One store. The first one's credentials are fixed across starts, and fake."""

    store_id: str = STORE_ID
    password: str = field(default=STORE_PASSWORD, repr=False)
    name: str = "SandboxMerchant"
    till: str = ""
    """What its account in the books is called behind the gateway's name; the first store's has no name."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What sources leave open, or contradict each other in, with the sandbox's defaults."""

    page_life_s: float = 1800
    """How long a session can be paid; SSLCommerz's own time-out is not public."""
    unpaid_status: Literal["PROCESSING", "PENDING"] = "PROCESSING"
    """What a look-up calls a session that nobody has paid: seen, or documented."""
    wrong_password: Literal["FAILED", "INVALID_REQUEST"] = "FAILED"
    """`APIConnect` for wrong credentials: both were seen."""
    count_as: Literal["number", "text"] = "number"
    """How JSON writes ``no_of_trans_found``."""
    one_element: Literal["list", "object"] = "list"
    """What ``element`` is where there is one transaction."""
    tran_id_max: int = 50
    """Longer ones are refused. 30 is documented for a session, 50 for a look-up, and 36 were seen to be paid; what has
    more than 30 is a missed manner."""
    unique_tran_ids: bool = False
    """Whether a second session under one tran_id is refused; one source says so, several others do not."""
    refund_trans_id_needed: bool = False
    """Whether a refund without ``refund_trans_id`` is refused, as current documents say; older clients send none."""
    refund_takes_s: float = 0
    """How long an accepted refund is processed until it is refunded."""
    rates: Mapping[str, str] = field(
        default_factory=lambda: {"USD": "110.0000", "EUR": "120.0000", "GBP": "140.0000", "SGD": "82.5000"}
    )
    """Taka for one of another currency, with four places."""
    default_ipn_url: str = ""
    """What the merchant's panel holds for sessions that name no ``ipn_url``."""
    inactive: bool = False
    """Whether every store is de-activated, as free ones are said to become by themselves."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a payer, or the end of a session that nobody tried to pay."""

    status: Status
    """Of PAID ones VALID; whether it was validated says `validated_at`."""
    channel: str
    """Empty where no way to pay was chosen."""
    card_no: str
    started_at: datetime
    wallet: Wallet | None = None
    ended_at: datetime | None = None
    bank_tran_id: str = ""
    val_id: str = ""
    error: str = ""
    risky: bool = False
    validated_at: datetime | None = None
    """When a validation was first answered: from then on it is VALIDATED."""

    @property
    def is_paid(self) -> bool:
        """Whether the money came in, risky or not, given back since or not."""
        return self.status in PAID

    @property
    def shown(self) -> Status:
        """Its status as a look-up says it."""
        return Status.VALIDATED if self.is_paid and self.validated_at is not None else self.status


@dataclass(slots=True)
class Session(Kept):
    """One session key, what it asks for, and what its payer has done."""

    key: str
    """32 upper-case hex digits."""
    merchant: Merchant
    tran_id: str
    amount_minor: int
    """In paisa, also where another currency was asked for."""
    currency: str
    """What was asked for."""
    currency_minor: int
    rate: str
    created_at: datetime
    success_url: str
    fail_url: str
    cancel_url: str
    ipn_url: str
    """Empty: where the merchant's panel says."""
    channels: tuple[str, ...]
    values: Mapping[str, str]
    """``value_a`` to ``value_d``."""
    details: Mapping[str, str]
    """What else is shown or echoed: ``product_name``, ``cus_name``, ``cus_fax``, EMI."""
    attempts: tuple[Attempt, ...] = ()
    """The last may be under way (PROCESSING)."""
    closed: bool = False
    """Nothing can be paid any more."""
    page_step: Literal["wallet", "otp"] = "wallet"
    wrong_otps: int = 0
    settles_at: datetime | None = None
    """When the try that is under way finds its end without its payer; None: not by itself."""
    settles_paid: bool = True
    back: Status | None = None
    """What the payer's browser is to say to the shop, once it may leave the page."""
    stays: bool = False
    """The browser never leaves the page."""
    outcome: str = ""
    """What it comes to although its payer did everything right, as it was ordered ahead (``magic.py``)."""
    seen: bool = False
    """Whether its page was opened."""
    invoice: str = ""
    """The invoice that it pays."""

    @property
    def paid(self) -> list[Attempt]:
        """Those of its tries that were paid: one, or two where the payer was charged twice."""
        return [one for one in self.attempts if one.is_paid]

    @property
    def captured_minor(self) -> int:
        """What came in, in paisa, refunds not deducted."""
        return self.amount_minor * len(self.paid)

    @property
    def under_way(self) -> Attempt | None:
        """The try that has not ended."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.status is Status.PROCESSING else None

    @property
    def best(self) -> Attempt | None:
        """What a look-up by session shows: a paid try, else the last."""
        tries = self.paid or self.attempts
        return tries[-1] if tries else None


@dataclass(slots=True)
class Refund(Kept):
    """One refund that was accepted."""

    ref_id: str
    trans_id: str
    """The merchant's own ``refund_trans_id``; empty where he gave none."""
    session: str
    bank_tran_id: str
    amount_minor: int
    remarks: str
    made_at: datetime
    status: RefundStatus = RefundStatus.PROCESSING
    ends_at: datetime | None = None
    """When the processing ends; None: not by itself."""
    ends_as: RefundStatus = RefundStatus.REFUNDED
    ended_at: datetime | None = None

    @property
    def reserves(self) -> bool:
        """Whether its amount counts against what can still be given back."""
        return self.status in (RefundStatus.PROCESSING, RefundStatus.REFUNDED)


@dataclass(slots=True)
class Invoice(Kept):
    """One invoice: a link that somebody may pay."""

    invoice_id: str
    refer: str
    session: str
    cancelled: bool = False

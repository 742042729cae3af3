"""Who pays at SSLCommerz: the wallets of every gateway, the published test cards, and how a payment goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vextrus_payments.gateways.sslcommerz.models import CANCELLED_BY_USER, NOT_ATTEMPTED, Status
from vextrus_payments_sandbox.world import Wallet

OTPS: Final = frozenset({"111111", "123456"})
"""Both open every test card (§1.1)."""
SETTLES_AFTER_S: Final = 60.0
KNOWN_AFTER_S: Final = 3600.0

NO_BALANCE: Final = "Insufficient balance"
BLOCKED: Final = "Do not honor"
WRONG_CODE: Final = "3D Security Validation Failed"
OUT_OF_DATE: Final = "Invalid expiration date"
OVER_LIMIT: Final = "Exceeds withdrawal amount limit"
TOO_LATE: Final = "Payment Timeout"
NOT_IN_TIME: Final = "Issuer or switch inoperative"
REASONS: Final = (BLOCKED, WRONG_CODE, OUT_OF_DATE, NO_BALANCE, OVER_LIMIT, NOT_IN_TIME)
"""Why a try can fail; the first three were seen (§1.4), the others are ISO 8583's own words."""
ERRORS: Final[Mapping[Status, str]] = {
    Status.CANCELLED: CANCELLED_BY_USER,
    Status.UNATTEMPTED: NOT_ATTEMPTED,
    Status.EXPIRED: TOO_LATE,
}
"""`error` of what ends without a try; that of EXPIRED is the sandbox's own."""

WALLETS: Final = (
    Wallet("4111111111111111", frozenset(), otp="111111", note="SSLCommerz: VISA test card"),
    Wallet("5111111111111111", frozenset(), otp="111111", note="SSLCommerz: Mastercard test card"),
    Wallet("371111111111111", frozenset(), otp="111111", note="SSLCommerz: American Express test card"),
)
"""The published test cards (§1.1); they are accounts of the books like any wallet."""
CARDS: Final = frozenset(wallet.number for wallet in WALLETS)


@dataclass(frozen=True, slots=True)
class Course:
    """What happens when this payer's code was right. Without an `error` the money moves."""

    error: str = ""
    """Why the try fails."""
    ends: Status | None = None
    """How the whole session ends instead."""
    risky: bool = False
    twice: bool = False
    """The payer is charged twice: two transactions of one tran_id."""
    settles_after_s: float | None = None
    """When the try finds its end although the payer was sent away before; None: at once."""
    settles_paid: bool = True
    open_for_good: bool = False
    """It stays PROCESSING, and nobody comes back."""
    stays: bool = False
    """The browser never leaves the page."""


PLAIN: Final = Course()
BY_OUTCOME: Final[Mapping[str, Course]] = {
    "over_limit": Course(error=OVER_LIMIT),
    "in_progress": Course(open_for_good=True, stays=True),
    "unknown_then_paid": Course(settles_after_s=KNOWN_AFTER_S, stays=True),
    "unknown_then_failed": Course(settles_after_s=KNOWN_AFTER_S, settles_paid=False, stays=True),
    "never_returns": Course(stays=True),
    "late_success": Course(settles_after_s=SETTLES_AFTER_S),
    "insufficient_balance": Course(error=NO_BALANCE),
    "account_blocked": Course(error=BLOCKED),
    "risky": Course(risky=True),
    "charged_twice": Course(twice=True),
    "unattempted": Course(ends=Status.UNATTEMPTED),
    "expired": Course(ends=Status.EXPIRED),
}
"""How a payment goes whose amount, wallet or order asks for that outcome (``magic.py``)."""

"""What the recurring platform remembers: merchants, subscriptions and what was collected under them (dossier §7)."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from vextrus_payments.gateways.bkash.recurring import models as m
from vextrus_payments.gateways.bkash.recurring.models import PaymentStatus, SubscriptionStatus
from vextrus_payments_sandbox.kept import Kept
from vextrus_payments_sandbox.wallets import Wallet

GATEWAY: Final = "bkash_recurring"

#: bKash's own sentences for its codes (the guide's error table); {what} is the field or the id.
MESSAGES: Final = {
    "1001": "Invalid method argument",
    "1002": "{what} is not a valid value",
    "1003": "Http message not readable",
    "1004": "Some key violates integrity constraint",
    "2000": "Invalid {what}",
    "2001": "Subscription with current date as Start date after 11:30 pm is not allowed.",
    "2002": "Start date cannot be previous date",
    "2003": "Start date cannot be after expiry date",
    "2004": "subscriptionRequestId already used",
    "2005": "ServiceId {what} not found.",
    "2009": "Subscription with id: {what} doesn't exist",
    "2010": "Subscription with id: {what} is not cancellable",
    "2013": "Requester not found for api key",
    "2014": "Unauthorized to perform action on subscription : {what}",
    "2018": "amount should be greater than configured limit",
    "2021": "Start date or expiry date is missing or invalid",
    "2022": "Same start date and expiry date is not supported",
    "2023": "Expiry date invalid for given frequency",
    "3001": "{what} is not a valid value",
    "3003": "Payment not found for id: {what}",
    "3004": "Subscription not found for id : {what}",
}
_NOT_FOUND: Final = frozenset({"2009", "3003", "3004"})


class Refusal(Exception):
    """The platform says no, with a code."""

    def __init__(self, code: str, what: str = "", *, request_id: str = "") -> None:
        self.code = code
        self.message = MESSAGES.get(code, "Invalid request").format(what=what or "field")
        self.request_id = request_id
        super().__init__(f"{code} {self.message}")

    @property
    def http_status(self) -> int:
        """Under which status it comes."""
        if self.code == "2013":
            return 401
        return 404 if self.code in _NOT_FOUND else 400


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant of the platform. All of it is fixed and fake."""

    name: str = "SandboxMerchant"
    api_key: str = field(default=base64.urlsafe_b64encode(b"sandbox recurring key 01").decode(), repr=False)
    service_id: int = 100_001
    short_code: str = "SANDBOX1"
    till: str = ""


def numbered(number: int, name: str) -> Merchant:
    """One more merchant."""
    key = base64.urlsafe_b64encode(f"sandbox recurring key {number % 100:02d}".encode()).decode()
    return Merchant(name, key, 100_000 + number, f"SANDBOX{number}", f"{number}")


@dataclass(frozen=True, slots=True)
class Rules:
    """The knobs of the platform's rules, where sources leave them open."""

    collects_at_hour: int = 12
    """At which hour in Dhaka the day's payments are collected: a trace has 12:00:09."""
    smallest_minor: int = 100


@dataclass(slots=True)
class Subscription(Kept):
    """A subscription."""

    number: int
    request_id: str
    merchant: Merchant
    created_at: datetime
    amount_minor: int
    frequency: m.Frequency
    start: str
    expiry: str
    redirect_url: str
    code: str
    """The last part of its page's address."""
    page_until: datetime
    first_minor: int | None = None
    first_in_cycle: bool = True
    cap_minor: int | None = None
    reference: str = ""
    payer: str = ""
    status: SubscriptionStatus = SubscriptionStatus.INITIALIZED
    modified_at: datetime | None = None
    page_step: str = "wallet"
    wrong: int = 0
    wallet: Wallet | None = None
    next_due: str = ""
    """The day on which it is collected next; empty: never again."""
    cancelled_by: str = ""
    cancelled_at: datetime | None = None
    last_paid_at: datetime | None = None
    outcome: str = ""
    """What its page comes to although the payer does everything right: the name of an ending (``gateway_facts.py``)."""

    @property
    def key(self) -> str:
        """How payments lists name it."""
        return self.request_id

    @property
    def holds(self) -> bool:
        """Whether bKash collects under it."""
        return self.status is SubscriptionStatus.SUCCEEDED


@dataclass(slots=True)
class Collection(Kept):
    """One payment that was collected, or is to be."""

    number: int
    request_id: str
    due: str
    amount_minor: int
    first: bool = False
    status: PaymentStatus = PaymentStatus.INITIALIZED
    trx_id: str = ""
    paid_at: datetime | None = None
    tries: int = 0
    next_try_at: datetime | None = None
    created_at: datetime | None = None
    refunded_minor: int = 0
    reverse_trx_id: str = ""
    reverse_minor: int = 0
    reverse_at: datetime | None = None
    settles_at: datetime | None = None
    """When a refund that is under way ends."""
    fails: bool = False
    """Whether the refund that is under way comes to nothing."""

    @property
    def key(self) -> str:
        """bKash's id of it."""
        return str(self.number)

    @property
    def is_paid(self) -> bool:
        """Whether it was collected."""
        return self.paid_at is not None

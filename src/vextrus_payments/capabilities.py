"""What a gateway can do and how it behaves, as data: the engine, the retry policy and the docs all read it."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from vextrus_payments.errors import ConfigurationError
from vextrus_payments.money import Money


class Completion(StrEnum):
    """Who makes the money move."""

    MERCHANT_EXECUTES = "merchant_executes"
    """The payer approves, then we call execute (bKash): nothing moves before."""
    PAYER_COMPLETES = "payer_completes"
    """The payer's last click moves the money (Nagad, SSLCommerz): execute is a look-up."""


class Absence(StrEnum):
    """What it means when a look-up does not show the payment as made."""

    AUTHORITATIVE_AFTER_LIMIT = "authoritative_after_limit"
    """Once `send_by` + hard limit + margin is over, "not made" is a proof."""
    NEVER = "never"
    """It proves nothing, ever."""


class RefundCorrelation(StrEnum):
    """How a refund at the gateway is recognized as ours."""

    OWN_ID = "own_id"
    """By an id of ours: refunds may run side by side."""
    NONE = "none"
    """Only by amount and by what was listed before: one refund at a time. Such an adapter makes the list durable by
    a Checkpoint before the refund leaves; that no checkpoint was kept is then proof that nothing left."""


class IdempotencyScope(StrEnum):
    """Whether the gateway itself recognizes a repeated money call."""

    NONE = "none"
    PER_REFERENCE = "per_reference"


class Feature(StrEnum):
    """Optional verbs."""

    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PARTIAL_REFUND = "partial_refund"
    REFUND_STATUS = "refund_status"
    SEARCH = "search"
    AGREEMENTS = "agreements"
    SUBSCRIPTIONS = "subscriptions"
    """Its agreements have terms, by which the gateway collects by itself."""
    PAYOUTS = "payouts"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIdRule:
    """What the gateway allows as gateway order id."""

    characters: str
    """The allowed characters as the inside of a regular-expression class: "A-Za-z0-9"."""
    min_length: int
    max_length: int

    def fits(self, order_id: str) -> bool:
        """True when the gateway would take this id."""
        return self.min_length <= len(order_id) <= self.max_length and bool(
            re.fullmatch(f"[{self.characters}]+", order_id, re.ASCII)
        )

    def make(self, merchant_reference: str, number: int) -> str:
        """The id of the `number`-th submission of a reference: INV-8812, then INV-8812-2, INV-8812-3 ...

        Characters that the gateway refuses are dropped, and the reference is cut from the left (its end is what
        tells invoices apart) so that the number always fits. Uniqueness is the store's job, not this one's.
        """
        kept = "".join(re.findall(f"[{self.characters}]", merchant_reference, re.ASCII))
        separator = "-" if re.fullmatch(f"[{self.characters}]", "-") else ""
        suffix = f"{separator}{number}" if number > 1 else ""
        room = self.max_length - len(suffix)
        if room < 1:
            raise ConfigurationError("The order-id rule leaves no room for a submission number.")
        stem = kept[-room:]
        missing = self.min_length - len(stem) - len(suffix)
        return ("0" * missing if missing > 0 else "") + stem + suffix


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """When the reconciler asks this gateway, as its manners want it. Seconds; jitter comes on top."""

    open_s: tuple[int, ...] = (5, 30, 120, 600, 3600)
    """Between look-ups of an operation whose end is open; the last one repeats."""
    session_s: tuple[int, ...] = ()
    """Between look-ups of a session whose payer is not done; the last one repeats, () never asks before its end."""
    end_margin_s: int = 60
    """How long after a session's end the last look-up is made."""
    at_once: int = 8
    """How many look-ups run side by side, per tenant and gateway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """The facts about a gateway that code above the adapter may rely on."""

    gateway: str
    currencies: frozenset[str]
    min_amount: Money | None
    max_amount: Money | None
    completion: Completion
    absence: Absence
    hard_limit_s: int
    """After this many seconds the gateway has finished whatever it was sent (bKash: 30)."""
    absence_margin_s: int
    refund_correlation: RefundCorrelation
    idempotency: IdempotencyScope
    order_id: OrderIdRule
    session_life: timedelta
    """How long a created payment can still be paid."""
    features: frozenset[Feature]
    max_refunds: int | None = None
    polling: Polling = Polling()
    pays_again: bool = False
    """Whether a page that was paid can be paid once more (its payer tries again while a first try is under way): then
    it is looked at a last time when its session is over."""

    def can(self, feature: Feature) -> bool:
        """True when the optional verb is there."""
        return feature in self.features

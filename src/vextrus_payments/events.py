"""News: what a gateway tells us (deliveries, returns), and what we tell the shop (payment events)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import quote

from vextrus_payments.methods import PaymentMethod
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import Attempt, PaymentFacts, Resolution
from vextrus_payments.snapshots import AgreementState, PaymentSnapshot, RefundSnapshot


class EventKind(StrEnum):
    """What happened."""

    PAID = "payment.paid"
    """Money came as agreed. Money that is late or a duplicate is announced as that, and not as paid."""
    AUTHORIZED = "payment.authorized"
    DECLINED = "payment.declined"
    CLOSED = "payment.closed"
    LAPSED = "payment.lapsed"
    UNKNOWN_OPENED = "payment.unknown_opened"
    UNKNOWN_RESOLVED = "payment.unknown_resolved"
    LATE = "payment.late"
    DUPLICATE = "payment.duplicate"
    ON_HOLD = "payment.on_hold"
    """Money came as agreed, and the gateway takes it for risky: keep the goods back. Called paid once that is over."""
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_DECLINED = "refund.declined"
    CAPTURE_DECLINED = "capture.declined"
    """The money is still held; nothing was taken."""
    VOID_DECLINED = "void.declined"
    QUARANTINED = "payment.quarantined"
    UNMATCHED_RECEIPT = "receipt.unmatched"
    WEBHOOK_STUCK = "webhook.stuck"
    """A signed message about money could not be worked off for an hour. It is still tried; a person should see why."""
    WEBHOOK_UNSTUCK = "webhook.unstuck"
    """What was announced as webhook.stuck has been worked off after all: nobody need look any more."""
    REFUND_ADOPTED = "refund.adopted"
    """Money went back that we did not send: in the gateway's portal for one."""
    RESOLVED = "operation.resolved"
    """An operator has answered what no gateway would."""
    AGREEMENT_ACTIVE = "agreement.active"
    AGREEMENT_ENDED = "agreement.ended"
    AGREEMENT_CLOSED = "agreement.closed"
    """A subscription was never given: the payer refused or failed, or let its time go by."""
    AGREEMENT_DUPLICATE = "agreement.duplicate"
    """A payer consented to one subscription on two of its pages: `agreement_key` names the second. Both collect."""
    COLLECTION_FAILED = "agreement.collection_failed"
    """The gateway tried to collect under a subscription, and no money came. It may try again by itself."""
    PAYOUT_SENT = "payout.sent"
    PAYOUT_DECLINED = "payout.declined"
    PAYOUT_UNKNOWN = "payout.unknown"
    """Nobody can tell whether money left; nothing is sent again. The same for a transfer."""
    PAYOUT_REVIEW = "payout.review"
    """Money left, but not as it was asked, or not as an operator had said."""
    TRANSFER_MADE = "transfer.made"
    TRANSFER_DECLINED = "transfer.declined"


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentEvent:
    """News for the shop, whoever settled it: return, webhook, worker. Delivered at least once; dedupe on `id`."""

    id: str
    kind: EventKind
    tenant: str
    gateway: str
    mode: Mode
    payment_id: str | None
    """None for news of an agreement, and of money that names nothing of ours."""
    merchant_reference: str | None
    occurred_at: datetime
    before: str | None
    after: str
    operation_id: str | None = None
    amount: Money | None = None
    transaction_id: str | None = None
    reason_code: str | None = None
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    agreement_key: str | None = None
    payout_id: str | None = None
    resolution: Resolution | None = None
    method: PaymentMethod | None = None
    """Of money that came: by what the payer paid, where the gateway says so."""
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is kept of one payment."""

    facts: PaymentFacts
    events: tuple[PaymentEvent, ...]
    """What was announced, oldest first."""
    attempts: tuple[Attempt, ...]
    """Every claim of an operation with every exchange under it, redacted, oldest first."""


class HintVerdict(StrEnum):
    """What an unauthenticated return claims."""

    SUCCESS = "success"
    FAILURE = "failure"
    CANCEL = "cancel"
    UNRECOGNIZED = "unrecognized"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnHint:
    """The browser came back. It proves nothing; it only says which payment to look at."""

    gateway: str
    gateway_reference: str = field(repr=False)
    """Of an agreement it can be the id that one charges by, so not in repr."""
    verdict: HintVerdict
    agreement_reference: str | None = field(default=None, repr=False)
    """What an agreement goes by, where the return names one and a payment too: only who has the records knows which
    of the two came back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook as it arrived: raw."""

    method: str
    query: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Under which subscription an event came about: an agreement by which the gateway collects by itself."""

    gateway: str
    """Whose subscription it is: the news may have come through another gateway's door."""
    agreement_reference: str
    """The session in which the payer consented, as the gateway knows it by our own id."""
    payment_reference: str | None = None
    """The gateway's own handle of the collected payment; None for news of the subscription itself."""
    agreement_state: AgreementState | None = None
    """What the news says of the subscription itself."""

    @property
    def gateway_order_id(self) -> str | None:
        """See collected_order_id."""
        if self.payment_reference is None:
            return None
        return collected_order_id(self.agreement_reference, self.payment_reference)


def collected_order_id(agreement_reference: str, payment_reference: str) -> str:
    """What a payment is called here that the gateway made by itself under a subscription: its own handle of the
    payment, under ours of the subscription."""
    return f"{agreement_reference}/{payment_reference}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayEvent:
    """One verified, normalized piece of news from a gateway."""

    event_id: str
    """The sender's id of it: 1-256 visible characters, the same on every repeat."""
    snapshot: PaymentSnapshot | None
    """What it says of a payment; None where it says nothing of one."""
    occurred_at: datetime | None = None
    news_key: str | None = None
    """What it tells, as one text ("payment/{transaction id}/{state}/{amount_minor}{currency}", and what it names of
    ours): another event with the same one is the same news. None: only the event id counts."""
    refund: RefundSnapshot | None = None
    """What it says of a refund, which names its payment by the original transaction id."""
    collected: Collected | None = None
    """Under which subscription it came about; without snapshot and refund, how that stands is its news."""
    sender: str | None = None
    """Whose message it is, where the same one may come through several gateways' doors: what is said of it is said
    once. None: the gateway's at whose door it came."""


def payment_news_key(snapshot: PaymentSnapshot) -> str | None:
    """The news of a payment as GatewayEvent.news_key; None where it names no transaction: it cannot be told then from
    other news of the same payment.

    What it names of ours belongs to it: news that names nothing of ours is for a person, and must not keep out the
    same news with our order id, which can be booked.
    """
    named = snapshot.gateway_order_id or snapshot.gateway_reference
    if not _PLAIN.fullmatch(named):  # asked first: it is quick, and most ids are plain
        named = quote(named, safe="")
    key = _news_key("payment", snapshot.transaction_id, snapshot.state, snapshot.amount, named)
    # That it is not risky any more is news of its own.
    return f"{key}/on_hold" if key is not None and snapshot.on_hold and len(key) <= _KEY_MAX - 8 else key


def refund_news_key(refund: RefundSnapshot) -> str | None:
    """As payment_news_key: `refund/{transaction id of the refund}/{state}/{amount_minor}{currency}`."""
    return _news_key("refund", refund.transaction_id, refund.state, refund.amount)


def _news_key(
    kind: str, transaction_id: str | None, state: str, amount: Money | None, named: str = ""
) -> str | None:
    if not transaction_id:
        return None
    told = "" if amount is None else f"{amount.amount_minor}{amount.currency}"
    key = f"{kind}/{transaction_id}/{state}/{told}{'/' if named else ''}{named}"
    return key if len(key) <= _KEY_MAX else None


#: What quoting leaves as it is.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*", re.ASCII)
#: As long as an event's id: a transaction id that no gateway has could bring it beyond.
_KEY_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Events:
    """A verified delivery with news in it."""

    events: tuple[GatewayEvent, ...]
    kept_body: bytes | None = field(default=None, repr=False)
    """What may be kept of the delivery where the whole of it grants a right: still enough to be verified again."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """A verified request to confirm a subscription at this (already checked) URL."""

    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A verified delivery that is none of our business."""

    why: str

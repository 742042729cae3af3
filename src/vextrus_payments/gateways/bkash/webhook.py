"""bKash's payment notifications (IPN): what the inner message says (dossier §8).

A notification arrives as an Amazon SNS message. Who sent it is the verifier's question (senders.py); this file only
reads the message of a delivery that was verified.

There is no paymentID in it. It binds to a payment by our invoice number, and bKash also notifies payments that never
touched our API (QR code, *247#), which name none. Either way it is news, not proof of the amount we asked for: the
engine confirms by a query before anything is booked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import MalformedWebhookError
from vextrus_payments.events import GatewayEvent, payment_news_key
from vextrus_payments.gateways.bkash.models import NotificationMessage, UnreadableBodyError
from vextrus_payments.gateways.bkash.steps import account_of, is_id, money_of, time_of
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.values import UnreadableValueError
from vextrus_payments.money import Money
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.verifier_port import Verified

MESSAGE_MAX_BYTES: Final = 65_536

CHANNELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "10002294": "api",
        "10003126": "qr",
        "10002175": "ussd",
        "10002809": "voucher",
        "10002264": "m2m_api",
        "10003209": "m2m_qr",
        "10002177": "m2m_ussd",
        "10003476": "bank",
        "10003237": "b2b_wallet_to_merchant",
        "10003236": "b2b_distributor_ussd",
        "10004036": "dso_to_merchant_api",
    }
)
"""transactionType -> by which way the payer paid (§8.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One payment that bKash announces."""

    transaction_id: str
    amount: Money
    status: str
    channel: str
    """A value of `CHANNELS`, else the number bKash sent."""
    invoice: str | None = None
    """Our gateway order id; None for payments that did not come through the API."""
    payer_account: str | None = field(default=None, repr=False)
    payer_reference: str | None = field(default=None, repr=False)
    occurred_at: datetime | None = None


def parse_notification(message: bytes) -> Notification:
    """Read the inner message (the JSON text in the SNS field `Message`) of a verified delivery.

    Coupon amounts are not read: sources contradict each other about their arithmetic (§16.7).

    Raises:
        MalformedWebhookError: it is no such message: not one JSON object, no usable trxID, no exact amount.
    """
    why = ""
    read: NotificationMessage | None = None
    amount: Money | None = None
    if len(message) > MESSAGE_MAX_BYTES:
        why = "it is too large"
    else:
        try:
            read = NotificationMessage.from_json(message)
            amount = money_of(read.amount, read.currency)
        except (UnreadableBodyError, UnreadableValueError) as error:
            why = str(error)
    if not why and (read is None or not is_id(read.trx_id)):
        why = "it has no usable trxID"
    if not why and (amount is None or not amount.is_positive):
        why = "it has no amount above zero"
    if why or read is None or read.trx_id is None or amount is None:
        raise MalformedWebhookError(
            f"The delivery is no payment notification of bKash: {why}.", gateway="bkash"
        )
    kind = read.transaction_type or ""
    return Notification(
        transaction_id=read.trx_id,
        amount=amount,
        status=(read.transaction_status or "")[:64],
        channel=CHANNELS.get(kind, kind[:64]),
        invoice=read.merchant_invoice_number or None,
        payer_account=account_of(read.debit_msisdn),
        payer_reference=read.transaction_reference or None,
        occurred_at=time_of(read.date_time),
    )


def event_of(notification: Notification, event_id: str) -> GatewayEvent:
    """The normalized event, under the sender's id of the message. What it tells is its `news_key`: one payment is one
    piece of news, however often and under whatever ids it is announced.

    The snapshot's `gateway_reference` is empty, for a notification has none.
    """
    made = notification.status == "Completed"
    snapshot = PaymentSnapshot(
        state=SnapshotState.PAID if made else SnapshotState.UNRECOGNIZED,
        gateway_reference="",
        raw_state=shown_word(notification.status),
        gateway_order_id=notification.invoice,
        amount=notification.amount,
        transaction_id=notification.transaction_id,
        payer_account=notification.payer_account,
        occurred_at=notification.occurred_at,
    )
    return GatewayEvent(
        event_id=event_id,
        snapshot=snapshot,
        occurred_at=notification.occurred_at,
        news_key=payment_news_key(snapshot),
    )


def notification_event(verified: Verified) -> GatewayEvent:
    """The news in a proven message of bKash's topic: read, or for a person where it cannot be read."""
    try:
        notification = parse_notification(verified.message)
    except MalformedWebhookError:
        return unreadable(verified.message_id, verified.message)
    return event_of(notification, verified.message_id)


def unreadable(event_id: str, message: bytes = b"") -> GatewayEvent:
    """The news that bKash has said something about money that cannot be read.

    bKash notifies only what has happened, so it must not be dropped, and refusing it would not bring it again in
    another form. Where it still names our payment, that is looked up; else it ends as an unmatched receipt, with the
    raw delivery kept beside it.
    """
    trx_id = invoice = None
    try:
        read = NotificationMessage.from_json(message)
    except UnreadableBodyError:
        pass
    else:
        trx_id = read.trx_id if is_id(read.trx_id) else None
        invoice = read.merchant_invoice_number or None
    # Money of a transaction that nobody can name could only be held against the payment: then it is just looked up.
    told = SnapshotState.UNRECOGNIZED if invoice and not trx_id else SnapshotState.REVIEW
    return GatewayEvent(
        event_id=event_id,
        snapshot=PaymentSnapshot(
            state=told,
            gateway_reference="",
            raw_state="unreadable",
            gateway_order_id=invoice,
            transaction_id=trx_id,
        ),
    )

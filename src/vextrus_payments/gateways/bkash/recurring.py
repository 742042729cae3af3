"""bKash's recurring payments (dossier §7): what a verified message of theirs says.

The platform collects subscriptions by itself, and this SDK does not open any: what it tells of is money that no payment
here expects. Such a payment becomes an unmatched receipt, listed and announced; a refund of it likewise waits for a
receipt to belong to. What moves no money is passed over.

Its numbers and codes are of a name space of their own; nothing here is shared with Tokenized Checkout.
"""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments.events import GatewayEvent, Ignored, payment_news_key, refund_news_key
from vextrus_payments.gateways.bkash.models import CURRENCY
from vextrus_payments.gateways.bkash.steps import UnreadableValueError, account_of, is_id, money_of, time_of
from vextrus_payments.gateways.bkash.webhook import unreadable
from vextrus_payments.money import Money
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import Verified

#: Statuses that say that money moved; those that begin with RE_ come after bKash has looked again itself.
PAID: Final = frozenset({"SUCCEEDED_PAYMENT", "RE_SUCCEEDED_PAYMENT"})
REFUNDED: Final = frozenset({"SUCCEEDED_REFUND", "RE_SUCCEEDED_REFUND"})


def recurring_event(verified: Verified) -> GatewayEvent | Ignored:
    """The news in a message. One that tells of money and cannot be read is news for a person: see `unreadable`.

    `Type` and `X-Type` are headers, which nobody signs: the body's own fields decide.
    """
    found = verified.content
    if found is None:
        try:
            found = read_object(verified.message)
        except UnreadableJsonError:
            return unreadable(verified.message_id)
    status = found.get("paymentStatus")
    if status in PAID:
        return _payment(found, verified) or unreadable(verified.message_id)
    if status in REFUNDED:
        return _refund(found, verified) or unreadable(verified.message_id)
    return Ignored("recurring payments: it tells of no money that moved")


def _payment(found: Mapping[str, Any], verified: Verified) -> GatewayEvent | None:
    amount, trx_id = _money(found.get("amount")), found.get("trxId")
    if amount is None or not isinstance(trx_id, str) or not is_id(trx_id):
        return None
    occurred_at = time_of(_text(found.get("trxDate"))) or verified.signed_at
    snapshot = PaymentSnapshot(
        state=SnapshotState.PAID,
        gateway_reference="",
        raw_state=str(found["paymentStatus"]),
        amount=amount,
        transaction_id=trx_id,
        payer_account=account_of(_text(found.get("payer"))),
        occurred_at=occurred_at,
    )
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=snapshot,
        occurred_at=occurred_at,
        news_key=payment_news_key(snapshot),
    )


def _refund(found: Mapping[str, Any], verified: Verified) -> GatewayEvent | None:
    amount = _money(found.get("refundedAmount")) or _money(found.get("amount"))
    trx_id, refund_id = found.get("trxId"), found.get("reverseTrxId")
    if amount is None or not isinstance(trx_id, str) or not isinstance(refund_id, str):
        return None
    if not is_id(trx_id) or not is_id(refund_id):
        return None
    # The guide spells the date both ways.
    told = found.get("reverseTrxDate") or found.get("reversTrxDate")
    occurred_at = time_of(_text(told)) or verified.signed_at
    refund = RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id=refund_id,
        original_transaction_id=trx_id,
        amount=amount,
        raw_state=str(found["paymentStatus"]),
        occurred_at=occurred_at,
    )
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=None,
        occurred_at=occurred_at,
        news_key=refund_news_key(refund),
        refund=refund,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _money(value: object) -> Money | None:
    try:
        amount = money_of(_text(value), CURRENCY)
    except UnreadableValueError:
        return None
    return amount if amount is not None and amount.is_positive else None

"""What a verified message of bKash's recurring payments says (dossier §7).

The platform collects by itself, so its messages are how a merchant learns of money. They name our request id of the
subscription: what it is worth, the engine finds out by looking (Collected, in events.py). A message that names none of
ours ends as an unmatched receipt, listed and announced, if it tells of money.

`Type` and `X-Type` are headers, which nobody signs: the body's own fields decide.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from vextrus_payments.events import Collected, GatewayEvent, Ignored, payment_news_key, refund_news_key
from vextrus_payments.gateways.bkash.recurring.manners import NAME
from vextrus_payments.gateways.bkash.recurring.models import (
    COLLECTED,
    NOT_COLLECTED,
    REFUNDED,
    REQUEST_ID,
    PaymentStatus,
    SubscriptionStatus,
    read_status,
    read_subscription_status,
    read_time,
)
from vextrus_payments.gateways.bkash.recurring.steps import (
    account_of,
    agreement_state_of,
    amount_or_none,
    is_id,
    is_number,
)
from vextrus_payments.gateways.bodies import as_text
from vextrus_payments.money import Money
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import Verified

_REFUND_ENDED_BADLY: Final = frozenset(
    {PaymentStatus.FAILED_REFUND, PaymentStatus.RE_FAILED_REFUND, PaymentStatus.RE_NOT_FOUND_REFUND}
)


def recurring_event(verified: Verified) -> GatewayEvent | Ignored:
    """The news in a message. One that tells of money and cannot be read is news for a person.

    bKash may send it to its own door here, and to that of the wallet payments of the same merchant.
    """
    event = _event(verified)
    return event if isinstance(event, Ignored) else replace(event, sender=NAME)


def _event(verified: Verified) -> GatewayEvent | Ignored:
    found = verified.content
    if found is None:
        try:
            found = read_object(verified.message)
        except UnreadableJsonError:
            return _unreadable(verified.message_id, None)
    collected = _collected(found)
    status = read_status(_text(found.get("paymentStatus")))
    if status in COLLECTED:
        return _payment(found, verified, collected) or _unreadable(verified.message_id, collected)
    if status in REFUNDED:
        return _refund(found, verified, collected) or _unreadable(verified.message_id, collected)
    if collected is not None and status in NOT_COLLECTED:
        return _not_collected(found, verified, collected)
    if collected is not None and status in _REFUND_ENDED_BADLY:
        return _not_refunded(found, verified, collected)
    if status is None and _names_money(found):
        # A word that no source has, or none at all, beside a transaction: money may have moved, so it is not dropped.
        return _unreadable(verified.message_id, collected)
    if status is None and collected is not None:
        told = read_subscription_status(_text(found.get("subscriptionStatus")))
        if told is not None and told is not SubscriptionStatus.INITIALIZED:
            return GatewayEvent(
                event_id=verified.message_id,
                snapshot=None,
                occurred_at=verified.signed_at,
                news_key=f"subscription/{collected.agreement_reference}/{told.value}",
                collected=replace(
                    collected, payment_reference=None, agreement_state=agreement_state_of(told)
                ),
            )
    return Ignored("recurring payments: it tells of nothing that ended and of no money that moved")


def _names_money(found: Mapping[str, Any]) -> bool:
    """Whether it names a transaction, and is no message about the subscription: one of those may name its first one."""
    told = read_subscription_status(_text(found.get("subscriptionStatus")))
    return bool(found.get("trxId") or found.get("reverseTrxId")) and (
        found.get("paymentStatus") is not None or told is None
    )


def _collected(found: Mapping[str, Any]) -> Collected | None:
    """Under which subscription; None where it names none that could be ours."""
    named = _text(found.get("subscriptionRequestId"))
    if named is None or not REQUEST_ID.fullmatch(named):
        return None
    payment_id = as_text(found.get("paymentId"))
    return Collected(
        gateway=NAME,
        agreement_reference=named,
        payment_reference=payment_id if is_number(payment_id) else None,
    )


def _payment(
    found: Mapping[str, Any], verified: Verified, collected: Collected | None
) -> GatewayEvent | None:
    amount, trx_id = _money(found.get("amount")), found.get("trxId")
    if amount is None or not isinstance(trx_id, str) or not is_id(trx_id):
        return None
    snapshot = PaymentSnapshot(
        state=SnapshotState.PAID,
        gateway_reference="",
        raw_state=str(found["paymentStatus"]),
        amount=amount,
        transaction_id=trx_id,
        payer_account=account_of(_text(found.get("payer"))),
        occurred_at=read_time(_text(found.get("trxDate")), near=verified.signed_at) or verified.signed_at,
    )
    named = collected.gateway_order_id if collected is not None else None
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=snapshot,
        occurred_at=snapshot.occurred_at,
        # What it names is part of the news: a message that names nothing must not keep out the one that does.
        news_key=payment_news_key(replace(snapshot, gateway_order_id=named)),
        collected=collected if named is not None else None,
    )


def _refund(found: Mapping[str, Any], verified: Verified, collected: Collected | None) -> GatewayEvent | None:
    """A refund names its payment by bKash's payment id; the guide's sample has no trxId in it."""
    amount = _money(found.get("refundedAmount")) or _money(found.get("amount"))
    refund_id, original = found.get("reverseTrxId"), _text(found.get("trxId"))
    named = collected is not None and collected.payment_reference is not None
    if amount is None or not isinstance(refund_id, str) or not is_id(refund_id):
        return None
    if not is_id(original) and not named:
        return None
    # The guide spells the date both ways.
    told = _text(found.get("reverseTrxDate")) or _text(found.get("reversTrxDate"))
    refund = RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id=refund_id,
        original_transaction_id=original if original is not None and is_id(original) else "",
        amount=amount,
        raw_state=str(found["paymentStatus"]),
        occurred_at=read_time(told, near=verified.signed_at) or verified.signed_at,
    )
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=None,
        occurred_at=refund.occurred_at,
        news_key=refund_news_key(refund),
        refund=refund,
        collected=collected if named else None,
    )


def _not_collected(found: Mapping[str, Any], verified: Verified, collected: Collected) -> GatewayEvent:
    """The payer had no money, say. bKash tries again by itself, and tells of each time: none is like another."""
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=PaymentSnapshot(
            state=SnapshotState.DECLINED,
            gateway_reference="",
            raw_state=str(found["paymentStatus"]),
            amount=_money(found.get("amount")),
        ),
        occurred_at=verified.signed_at,
        collected=collected,
    )


def _not_refunded(found: Mapping[str, Any], verified: Verified, collected: Collected) -> GatewayEvent:
    """A refund that did not come about: reason to look, nothing else."""
    refund_id = _text(found.get("reverseTrxId"))
    return GatewayEvent(
        event_id=verified.message_id,
        snapshot=None,
        occurred_at=verified.signed_at,
        refund=RefundSnapshot(
            state=RefundState.DECLINED,
            transaction_id=refund_id if refund_id is not None and is_id(refund_id) else "",
            original_transaction_id="",
            amount=_money(found.get("refundedAmount")),
            raw_state=str(found["paymentStatus"]),
        ),
        collected=collected,
    )


def _unreadable(event_id: str, collected: Collected | None) -> GatewayEvent:
    """bKash has said something about money that cannot be read: it must not be dropped, and refusing it would not bring
    it again in another form. A payment that it names is looked up; else it ends as an unmatched receipt, with the raw
    delivery kept beside it."""
    told = PaymentSnapshot(state=SnapshotState.REVIEW, gateway_reference="", raw_state="unreadable")
    if collected is not None and collected.payment_reference is None:
        collected = None
    return GatewayEvent(event_id=event_id, snapshot=told, collected=collected)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _money(value: object) -> Money | None:
    amount = amount_or_none(_text(value))
    return amount if amount is not None and amount.is_positive else None

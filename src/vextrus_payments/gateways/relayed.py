"""News that a service of the shop's own hands on: one form for every gateway, whoever signed it how.

    {"id": "evt_1", "type": "payment.success", "timestamp": "2026-01-31T12:00:00Z",
     "data": {"gateway_order_id": "INV-8812-1", "gateway_reference": "TR0011...", "transaction_id": "BFD90JRLST",
              "amount": "1250.50", "currency": "BDT"}}

====================  ===============================================================================================
`payment.success`     `transaction_id`, `amount` and `currency`; of `gateway_order_id` and `gateway_reference` what is
                      known, for without either it is money that nobody expects
`payment.failed`      `gateway_order_id` or `gateway_reference`, or both
`refund.success`      `refund_transaction_id`, the payment's `transaction_id`, `amount` and `currency` of the refund
====================  ===============================================================================================

An amount is text in major units; a JSON number is read as the text it is written as. It is news and not proof: whatever
it says, the payment is looked up at the gateway.
"""

from collections.abc import Mapping
from typing import Any, Final

from vextrus_payments.errors import AmountError, MalformedWebhookError
from vextrus_payments.events import GatewayEvent, Ignored, payment_news_key, refund_news_key
from vextrus_payments.money import Money
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import Verified

PAYMENT_SUCCESS: Final = "payment.success"
PAYMENT_FAILED: Final = "payment.failed"
REFUND_SUCCESS: Final = "refund.success"

_TEXT_MAX: Final = 255


def relayed_event(verified: Verified) -> GatewayEvent | Ignored:
    """The news in a relayed message; Ignored where its `type` is none of the three.

    Its event id is the message's, behind the scheme's name: two senders' ids never meet.

    Raises:
        MalformedWebhookError: it is proven, and not of this form. It says which field.
    """
    found = _read(verified)
    kind, data = found.get("type"), found.get("data")
    if kind not in (PAYMENT_SUCCESS, PAYMENT_FAILED, REFUND_SUCCESS):
        if not isinstance(kind, str) or not kind:
            raise _malformed("type is no text")
        return Ignored("a relayed message of a type that tells of no payment")
    if not isinstance(data, dict):
        raise _malformed("data is no object")
    event_id = f"{verified.scheme}/{verified.message_id}"
    if kind == REFUND_SUCCESS:
        refund = RefundSnapshot(
            state=RefundState.COMPLETED,
            transaction_id=_needed(data, "refund_transaction_id"),
            original_transaction_id=_needed(data, "transaction_id"),
            amount=_amount(data),
            raw_state=kind,
            occurred_at=verified.signed_at,
        )
        return GatewayEvent(
            event_id=event_id,
            snapshot=None,
            occurred_at=verified.signed_at,
            news_key=refund_news_key(refund),
            refund=refund,
        )
    snapshot = _payment(kind, data, verified)
    return GatewayEvent(
        event_id=event_id,
        snapshot=snapshot,
        occurred_at=verified.signed_at,
        news_key=payment_news_key(snapshot),
    )


def _read(verified: Verified) -> Mapping[str, Any]:
    if verified.content is not None:
        return verified.content
    try:
        return read_object(verified.message)
    except UnreadableJsonError as error:
        problem = str(error)
    raise _malformed(problem)


def _payment(kind: str, data: Mapping[str, Any], verified: Verified) -> PaymentSnapshot:
    order_id, reference = _text(data, "gateway_order_id"), _text(data, "gateway_reference")
    if kind == PAYMENT_SUCCESS:
        return PaymentSnapshot(
            state=SnapshotState.PAID,
            gateway_reference=reference or "",
            raw_state=kind,
            gateway_order_id=order_id,
            amount=_amount(data),
            transaction_id=_needed(data, "transaction_id"),
            occurred_at=verified.signed_at,
        )
    if order_id is None and reference is None:
        raise _malformed("data names neither gateway_order_id nor gateway_reference")
    return PaymentSnapshot(
        state=SnapshotState.DECLINED,
        gateway_reference=reference or "",
        raw_state=kind,
        gateway_order_id=order_id,
        occurred_at=verified.signed_at,
    )


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is None or value == "":
        return None
    # What is printable, ASCII and no blank is visible; quicker than a pattern, and there are three in each message.
    if (
        isinstance(value, str)
        and value.isascii()
        and value.isprintable()
        and " " not in value
        and len(value) <= _TEXT_MAX
    ):
        return value
    raise _malformed(f"{name} is not 1-{_TEXT_MAX} visible ASCII characters")


def _needed(data: Mapping[str, Any], name: str) -> str:
    value = _text(data, name)
    if value is None:
        raise _malformed(f"{name} is missing")
    return value


def _amount(data: Mapping[str, Any]) -> Money:
    amount, currency, found = data.get("amount"), data.get("currency"), None
    if isinstance(amount, str) and isinstance(currency, str):
        try:
            found = Money(amount, currency)
        except AmountError:
            found = None
    if found is None or not found.is_positive:
        raise _malformed("amount and currency are no exact amount above zero")
    return found


def _malformed(what: str) -> MalformedWebhookError:
    return MalformedWebhookError(f"The relayed message is signed and not of its form: {what}.")

"""How the platform writes: amounts as JSON numbers with two places, and what an answer or a message shows."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from vextrus_payments_sandbox.bkash_recurring.records import Collection, Refusal, Subscription

CURRENCY: Final = "BDT"


@dataclass(frozen=True, slots=True)
class Taka:
    """An amount that is written as a number."""

    minor: int

    def __str__(self) -> str:
        return f"{self.minor // 100}.{self.minor % 100:02d}"


def taka(minor: int | None) -> Taka | None:
    """None stays null."""
    return None if minor is None else Taka(minor)


def dumps(value: Any) -> str:
    """JSON with every amount exactly as it is written here: re-writing it elsewhere breaks a signature."""
    if isinstance(value, Taka):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{dumps(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(dumps(one) for one in value) + "]"
    return json.dumps(value)


def answer(value: Any, status: int = 200) -> Response:
    """An answer of the platform."""
    return Response(dumps(value).encode("utf-8"), status, media_type="application/json")


def instant(at: datetime) -> str:
    """2021-07-11T04:19:30.067816Z."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


def refused(refusal: Refusal, at: datetime) -> Response:
    """The error envelope, as a trace has it."""
    word = {401: "UNAUTHORIZED", 404: "NOT_FOUND"}.get(refusal.http_status, "BAD_REQUEST")
    body = {
        "status": word,
        "reason": refusal.message,
        "errorCode": refusal.code,
        "timeStamp": instant(at),
        "subscriptionRequestId": refusal.request_id or None,
    }
    return answer(body, refusal.http_status)


def subscription(one: Subscription, *, short: bool = False) -> dict[str, Any]:
    """A subscription as a query shows it; `short`: as a list does."""
    cancelled = instant(one.cancelled_at) if one.cancelled_at else None
    common = {
        "id": one.number,
        "subscriptionRequestId": one.request_id,
        "merchantId": 3,
        "payer": one.wallet.number if one.wallet else one.payer or None,
        "amount": Taka(one.amount_minor),
        "startDate": one.start,
        "expiryDate": one.expiry,
        "frequency": one.frequency.value,
        "status": one.status.value,
        "cancelledBy": one.cancelled_by or None,
        "cancelledTime": cancelled,
    }
    if short:
        return {**common, "merchantShortCode": one.merchant.short_code}
    changed = one.modified_at or one.created_at
    return {
        **common,
        "createdAt": f"{one.created_at:%Y-%m-%d %H:%M:%S}",
        "modifiedAt": f"{changed:%Y-%m-%d %H:%M:%S}",
        "requesterId": 5,
        "serviceId": one.merchant.service_id,
        "paymentType": "FIXED",
        "subscriptionType": "BASIC" if one.first_minor is None else "WITH_PAYMENT",
        "amountQueryUrl": None,
        "firstPaymentAmount": taka(one.first_minor),
        "maxCapRequired": one.cap_minor is not None,
        "maxCapAmount": taka(one.cap_minor),
        "payerType": "CUSTOMER",
        "currency": CURRENCY,
        "nextPaymentDate": one.next_due or None,
        "subscriptionReference": one.reference,
        "extraParams": None,
        "expired": one.status.value == "EXPIRED",
        "enabled": one.holds,
        "active": one.holds,
    }


def payment(one: Collection, owner: Subscription) -> dict[str, Any]:
    """A payment as a query shows it. There is one place for a refund: the last one."""
    return {
        "id": one.number,
        "subscriptionId": owner.number,
        "subscriptionRequestId": one.request_id,
        "dueDate": one.due,
        "status": one.status.value,
        "trxId": one.trx_id or None,
        "trxTime": f"{one.paid_at:%Y-%m-%dT%H:%M:%S.%f}" if one.paid_at else None,
        "amount": Taka(one.amount_minor),
        "reverseTrxAmount": Taka(one.reverse_minor) if one.reverse_trx_id else None,
        "reverseTrxId": one.reverse_trx_id or None,
        "reverseTrxTime": f"{one.reverse_at:%Y-%m-%dT%H:%M:%S.%f}" if one.reverse_at else None,
    }


def news_of_subscription(one: Subscription, message: str | None = None) -> dict[str, Any]:
    """A message of the type SUBSCRIPTION; the time is put in when it is sent."""
    told = _common(one) | {"message": message, "subscriptionStatus": one.status.value}
    if one.cancelled_by:
        return told | {"cancelledBy": one.cancelled_by}
    return told | {"nextPaymentDate": one.next_due or None, "amount": None, "trxId": None, "trxDate": None}


def news_of_payment(one: Collection, owner: Subscription, why: str | None) -> dict[str, Any]:
    """A message of the type PAYMENT."""
    return _common(owner) | {
        "message": None,
        "paymentId": one.number,
        "paymentStatus": one.status.value,
        "trxId": one.trx_id or None,
        "amount": Taka(one.amount_minor),
        "dueDate": one.due,
        "nextPaymentDate": owner.next_due or None,
        "trxDate": f"{one.paid_at:%Y-%m-%dT%H:%M:%S}" if one.paid_at else None,
        "firstPayment": one.first,
        "errorCode": why,
    }


def news_of_refund(one: Collection, owner: Subscription) -> dict[str, Any]:
    """A message of the type REFUND; its date is misspelled, as the guide's sample is."""
    return _common(owner) | {
        "message": None,
        "paymentId": one.number,
        "paymentStatus": one.status.value,
        "reverseTrxId": one.reverse_trx_id or None,
        "refundedAmount": Taka(one.reverse_minor),
        "reversTrxDate": f"{one.reverse_at:%Y-%m-%dT%H:%M:%S}" if one.reverse_at else None,
        "firstPayment": one.first,
    }


def _common(one: Subscription) -> dict[str, Any]:
    return {
        "subscriptionId": one.number,
        "subscriptionRequestId": one.request_id,
        "payer": one.wallet.number if one.wallet else one.payer or None,
        "frequency": one.frequency.value,
        "merchantShortCode": one.merchant.short_code,
        "subscriptionReference": one.reference,
    }

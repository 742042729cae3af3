"""What Nagad writes: payment references, the inside of sealed answers, verify's document, returns, amounts (§4-8)."""

import base64
import re
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

from vextrus_payments.gateways.nagad import models as m
from vextrus_payments_sandbox.nagad.records import CODE_PAID, RETURN_SUCCESS, Payment, Refund, Rules
from vextrus_payments_sandbox.nagad.sealing import NumberText, encoded
from vextrus_payments_sandbox.world import to_paisa

_NUMBER: Final = re.compile(r"[0-9]{1,12}(?:\.[0-9]+)?", re.ASCII)
_STEM_CHARACTERS: Final = 3
_TAIL_CHARACTERS: Final = 4


def reference_of(at: datetime, merchant_id: str, order_id: str, challenge: str) -> str:
    """Base64 of ``MMddHHmmssSSS.merchantId.orderId.challenge``, the moment in Dhaka with milliseconds (§0.7)."""
    local = at.astimezone(m.DHAKA)
    moment = f"{local:%m%d%H%M%S}{local.microsecond // 1000:03d}"
    return base64.b64encode(f"{moment}.{merchant_id}.{order_id}.{challenge}".encode("ascii")).decode("ascii")


def accepted(payment: Payment, *, nonce_name: str = "challenge") -> bytes:
    """The inside of the answer to initialize, byte for byte as the real gateway writes it (§12, vector 2)."""
    return encoded(
        {
            "paymentReferenceId": payment.reference,
            nonce_name: payment.challenge,
            "acceptDateTime": f"{payment.created_at.astimezone(m.DHAKA):%Y%m%d%H%M%S}",
        }
    )


def verified(payment: Payment, *, stale: bool = False) -> dict[str, Any]:
    """Verify's answer in the key order of the real ones (§7); `stale` shows it without its latest change."""
    refunds = payment.refunds[:-1] if stale else payment.refunds
    paid = payment.is_paid and not (stale and not payment.refunds)
    cancelled = refunds[-1] if refunds else None
    status = _status(payment, refunds, paid=paid)
    failed = payment.ending is not None and status is payment.ending.status
    code = CODE_PAID if paid else (payment.ending.code if failed and payment.ending else None)
    return {
        "merchantId": payment.merchant.merchant_id,
        "orderId": payment.order_id,
        "paymentRefId": payment.reference,
        "amount": payment.amount_text or None,
        "clientMobileNo": masked(payment.wallet.number) if paid and payment.wallet else None,
        "merchantMobileNo": payment.merchant.number,
        "orderDateTime": _timestamp(payment.ordered_at),
        "issuerPaymentDateTime": _timestamp(payment.paid_at) if paid and payment.paid_at else None,
        "issuerPaymentRefNo": payment.issuer_ref if paid else None,
        "additionalMerchantInfo": payment.info,
        "status": status.value,
        "statusCode": code,
        "cancelIssuerDateTime": _timestamp(cancelled.made_at) if cancelled else None,
        "cancelIssuerRefNo": cancelled.trx_id if cancelled else None,
        "serviceType": "REGULAR_ECOM",
    }


def _status(payment: Payment, refunds: list[Refund], *, paid: bool) -> m.Status:
    if not paid:
        return m.Status.IN_PROGRESS if payment.is_paid else payment.status
    given_back = sum(refund.amount_minor for refund in refunds)
    if not given_back:
        return m.Status.SUCCESS
    return m.Status.CANCELLED if given_back == payment.amount_minor else m.Status.PARTIAL_CANCELLED


def cancelled(payment: Payment, refund: Refund, asked: dict[str, Any], room: int) -> bytes:
    """The inside of the answer to a refund: all keys that sources name, the last ones only where they fit (§8)."""
    status = _status(payment, payment.refunds, paid=True)
    fields: dict[str, Any] = {
        "status": status.value,
        "code": CODE_PAID,
        "originalAmount": str(asked["originalAmount"]),
        "cancelAmount": str(asked["cancelAmount"]),
        "cancelTrxId": refund.trx_id,
        "originalRequestDate": str(asked["originalRequestDate"]),
        "referenceNo": refund.reference_no,
        "referenceMessage": str(asked.get("referenceMessage") or ""),
    }
    for name in ("referenceMessage", "referenceNo", "originalRequestDate"):
        if len(encoded(fields)) > room:
            del fields[name]
    return encoded(fields)


def return_url(payment: Payment, rules: Rules) -> str | None:
    """Where the payer's browser goes, in the fixed order that real clients count on, the reference raw (§6).

    None while his page has not ended.
    """
    if payment.ending is None and payment.paid_at is None:
        return None
    success = payment.ending is None
    status, code, message = (
        (m.Status.SUCCESS, RETURN_SUCCESS, "Successful Transaction")
        if payment.ending is None
        else (payment.ending.status, payment.ending.code, payment.ending.message)
    )
    parts = [
        ("merchant", payment.merchant.merchant_id),
        ("order_id", payment.order_id),
        ("payment_ref_id", payment.reference),
        ("status", status.value),
        ("status_code", code),
        ("message", quote(message, safe="")),
    ]
    if success and payment.paid_at is not None:
        own = payment.issuer_ref or ""
        parts += [
            ("payment_dt", f"{payment.paid_at.astimezone(m.DHAKA):%Y%m%d%H%M%S}"),
            ("issuer_payment_ref", payment.reference if rules.issuer_ref == "payment_ref" else own),
        ]
    base = payment.callback_url
    slash = "/" if rules.callback_join == "slash" and not base.endswith("/") else ""
    return f"{base}{slash}?" + "&".join(f"{name}={value}" for name, value in parts)


def masked(number: str) -> str:
    """A wallet's number as verify shows it: its first three digits, four stars, its last four (§7)."""
    return f"{number[:_STEM_CHARACTERS]}****{number[-_TAIL_CHARACTERS:]}"


def amount_of(given: Any) -> tuple[int, str] | None:
    """An amount in paisa, and the text that verify echoes: as sent, a number in its shortest form (§5, §14.5).

    None for what is no amount: more than two decimals, nothing or less, more than 15 characters, another type.
    """
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    text = str(given)
    if isinstance(given, NumberText):
        if not _NUMBER.fullmatch(text):
            return None
        text = f"{Decimal(text).normalize():f}"
    paisa = to_paisa(text)
    return (paisa, text) if paisa and len(text) <= m.AMOUNT_MAX_CHARACTERS else None


def _timestamp(moment: datetime) -> str:
    """``2022-12-05 18:08:21.0``, in Dhaka: Java's text of a time without fractions (§7)."""
    return f"{moment.astimezone(m.DHAKA):%Y-%m-%d %H:%M:%S}.0"

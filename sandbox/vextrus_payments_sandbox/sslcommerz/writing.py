"""What the SSLCommerz sandbox writes: answers as JSON or XML, and the fields that it posts (dossier §1.2 to §1.9)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import escape

from starlette.responses import Response

from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments_sandbox.exchange import json_response
from vextrus_payments_sandbox.sslcommerz.amounts import (
    after_fee,
    read_amount,
    shared,
    write_amount,
    write_short,
)
from vextrus_payments_sandbox.sslcommerz.channels import CHANNELS, KINDS
from vextrus_payments_sandbox.sslcommerz.records import Attempt, Refund, Session
from vextrus_payments_sandbox.sslcommerz.signing import signed

_NO_FEES: Final = "0.00"
_CARD: Final = (
    "card_type",
    "card_no",
    "card_issuer",
    "card_brand",
    "card_sub_brand",
    "card_issuer_country",
    "card_issuer_country_code",
)
_AMOUNTS: Final = frozenset({"amount", "store_amount", "currency_amount", "base_fair", "emi_amount"})
_NUMBERS: Final = frozenset({"risk_level", "emi_instalment", "currency_rate"})
_SHA2: Final = {m.Status.CANCELLED: ""}
"""What SSLCommerz's own test environment makes the SHA-256 with, where it is not the password: seen in May 2025 in a
cancelled payment's post, beside an MD5 that fits. Paid and failed ones of five other stores (2020 to 2023) fit."""


# ------------------------------------------------------------------------------------------------ sessions (§1.2)


def page_url(base_url: str, key: str) -> str:
    """Where the payer pays."""
    return f"{base_url}{m.PATH_PAGE}{m.PAGE_PREFIX}{key.lower()}"


def opened(session: Session, base_url: str) -> dict[str, Any]:
    """The answer to a session that was opened."""
    page = page_url(base_url, session.key)
    redirect = f"{base_url}{m.PATH_PAGE_OLD}?Q=REDIRECT&SESSIONKEY={session.key}&cardname="
    channels = [CHANNELS[code] for code in session.channels]
    return {
        "status": m.SessionStatus.SUCCESS,
        "failedreason": "",
        "sessionkey": session.key,
        "gw": {
            kind: ",".join([*(one.code for one in channels if one.kind == kind), *([word] if whole else [])])
            for kind, word in KINDS.items()
            for whole in [any(one.kind == kind for one in channels)]
        },
        "redirectGatewayURL": redirect,
        "directPaymentURLBank": "",
        "directPaymentURLCard": "",
        "directPaymentURL": "",
        "redirectGatewayURLFailed": "",
        "GatewayPageURL": page,
        "storeBanner": "",
        "storeLogo": "",
        "store_name": session.merchant.name,
        "desc": [
            {
                "name": one.name,
                "type": one.kind,
                "logo": "",
                "gw": one.code,
                "r_flag": "1",
                "redirectGatewayURL": redirect + one.code,
            }
            for one in channels
        ],
        "is_direct_pay_enable": "0",
    }


def refused(reason: str) -> dict[str, Any]:
    """The answer to a session that was not."""
    return {
        "status": m.SessionStatus.FAILED,
        "failedreason": reason,
        "sessionkey": "",
        "gw": [],
        "redirectGatewayURL": "",
        "directPaymentURLBank": "",
        "directPaymentURLCard": "",
        "directPaymentURL": "",
        "redirectGatewayURLFailed": "",
        "GatewayPageURL": "",
        "storeBanner": "",
        "storeLogo": "",
        "store_name": "",
        "desc": [],
        "is_direct_pay_enable": "0",
    }


# ------------------------------------------------------------------------------------- transactions (§1.6, §1.7)


def _money(session: Session) -> dict[str, str]:
    return {
        "amount": write_amount(session.amount_minor),
        "currency": m.CURRENCY,
        "currency_type": session.currency,
        "currency_amount": write_amount(session.currency_minor),
        "currency_rate": session.rate,
        "base_fair": _NO_FEES,
    }


def _card(attempt: Attempt, *, whole: bool) -> dict[str, str]:
    """What is told of the card or the wallet; of a try that failed next to nothing (§1.4)."""
    channel = CHANNELS.get(attempt.channel)
    if channel is None or not whole:
        return {**dict.fromkeys(_CARD, ""), "card_sub_brand": "Classic" if channel is not None else ""}
    return {
        "card_type": channel.card_type,
        "card_no": attempt.card_no,
        "card_issuer": channel.issuer,
        "card_brand": channel.brand,
        "card_sub_brand": "Classic",
        "card_issuer_country": "Bangladesh",
        "card_issuer_country_code": "BD",
    }


def _risk(attempt: Attempt) -> dict[str, str]:
    return (
        {"risk_title": "Not Safe", "risk_level": "1"}
        if attempt.risky
        else {"risk_title": "Safe", "risk_level": "0"}
    )


def transaction(session: Session, attempt: Attempt) -> dict[str, Any]:
    """One transaction as the validator's routes show it."""
    parts = session.details.get("emi_instalment", "")
    channel = CHANNELS.get(attempt.channel)
    return {
        "status": attempt.shown,
        "tran_date": m.time_text(attempt.started_at),
        "tran_id": session.tran_id,
        "val_id": attempt.val_id,
        **_money(session),
        "store_amount": write_amount(after_fee(session.amount_minor)) if attempt.is_paid else "",
        "bank_tran_id": attempt.bank_tran_id,
        **_card(attempt, whole=attempt.is_paid),
        **session.values,
        "emi_instalment": parts or "0",
        "emi_amount": write_amount(shared(session.amount_minor, int(parts))) if parts else _NO_FEES,
        "emi_description": "",
        "emi_issuer": channel.issuer if channel is not None and attempt.is_paid else "",
        "account_details": "",
        **_risk(attempt),
        "discount_amount": _NO_FEES,
        "discount_percentage": _NO_FEES,
        "discount_remarks": "",
        "validated_on": m.time_text(attempt.validated_at) if attempt.validated_at is not None else "",
        "gw_version": "",
        "card_ref_id": "",
        "offer_avail": 1,
        "isTokeizeSuccess": 0,
        "campaign_code": "",
        "error": attempt.error,
    }


def unpaid(session: Session, status: str) -> dict[str, Any]:
    """A session that nobody has tried to pay, in a list or by its key: the same fields, with nothing in them (§1.7)."""
    nobody = Attempt(m.Status.UNATTEMPTED, "", "", session.created_at)
    return {**transaction(session, nobody), "status": status}


def with_numbers(content: Any) -> Any:
    """The same with JSON numbers where the texts of a look-up are numbers: 97.5, 0."""
    if isinstance(content, list):
        return [with_numbers(one) for one in content]
    if not isinstance(content, dict):
        return content
    return {name: _as_number(name, value) for name, value in content.items()}


def _as_number(name: str, value: Any) -> Any:
    if isinstance(value, dict | list):
        return with_numbers(value)
    if not isinstance(value, str) or not value:
        return value
    if name in _AMOUNTS:
        short = write_short(read_amount(value) or 0)
        # A float only on the way to JSON, which writes two decimals exactly; nobody reckons with it.
        return float(short) if "." in short else int(short)
    if name in _NUMBERS:
        return int(value) if value.isdigit() else float(value)
    return value


# ------------------------------------------------------------------------------------------- refunds (§1.8)


def refund_answer(session: Session, refund: Refund, status: m.RefundAnswerStatus) -> dict[str, Any]:
    """The answer to a refund that was accepted, now or before."""
    return {
        "APIConnect": m.ApiConnect.DONE,
        "bank_tran_id": refund.bank_tran_id,
        "trans_id": session.tran_id,
        "refund_ref_id": refund.ref_id,
        "status": status,
        "errorReason": "",
    }


def refund_refused(bank_tran_id: str, tran_id: str, reason: str) -> dict[str, Any]:
    """The answer to a refund that was not."""
    return {
        "APIConnect": m.ApiConnect.DONE,
        "bank_tran_id": bank_tran_id,
        "trans_id": tran_id,
        "refund_ref_id": "",
        "status": m.RefundAnswerStatus.FAILED,
        "errorReason": reason,
    }


def refund_status(session: Session, refund: Refund, status: m.RefundStatus) -> dict[str, Any]:
    """The answer to a refund query; `status` may be older than the truth."""
    refunded = refund.ended_at if status is m.RefundStatus.REFUNDED else None
    return {
        "APIConnect": m.ApiConnect.DONE,
        "bank_tran_id": refund.bank_tran_id,
        "tran_id": session.tran_id,
        "initiated_on": m.time_text(refund.made_at),
        "refunded_on": m.time_text(refunded) if refunded is not None else m.NO_TIME,
        "status": status,
        "refund_ref_id": refund.ref_id,
        "errorReason": "",
    }


def refund_unknown(ref_id: str) -> dict[str, Any]:
    """The answer about a refund that nobody knows."""
    return {
        "APIConnect": m.ApiConnect.DONE,
        "bank_tran_id": "",
        "tran_id": "",
        "initiated_on": m.NO_TIME,
        "refunded_on": m.NO_TIME,
        "status": m.RefundStatus.FAILED,
        "refund_ref_id": ref_id,
        "errorReason": m.UNKNOWN_REFUND,
    }


# ---------------------------------------------------------------------------------- what is posted (§1.3 to §1.5)


def posted(session: Session, attempt: Attempt, *, password: str = "", more_minor: int = 0) -> dict[str, str]:
    """The signed fields of an IPN, and of the browser's post.

    Args:
        password: what signs it; the store's own where empty.
        more_minor: so much more than was paid.
    """
    paid = attempt.is_paid
    amount_minor = session.amount_minor + more_minor
    fields = {
        "tran_id": session.tran_id,
        "status": attempt.status.value,
        "tran_date": m.time_text(attempt.started_at),
        "error": attempt.error,
        "store_id": session.merchant.store_id,
        "bank_tran_id": attempt.bank_tran_id,
        **_money(session),
        "amount": write_amount(amount_minor),
        **session.values,
    }
    if attempt.status is not m.Status.CANCELLED:
        fields |= _card(attempt, whole=paid)
    if paid or attempt.status in (m.Status.UNATTEMPTED, m.Status.EXPIRED):
        fields |= {
            "val_id": attempt.val_id,
            "store_amount": write_amount(after_fee(amount_minor)) if paid else "",
            **_risk(attempt),
        }
    if session.currency == m.CURRENCY:
        fields["currency_amount"] = fields["amount"]
    answer = signed(
        fields, fields, password or session.merchant.password, sha2_password=_SHA2.get(attempt.status)
    )
    fax = session.details.get("cus_fax", "")
    return {**answer, "cus_fax": fax} if fax else answer


# ------------------------------------------------------------------------------------------------------ bodies


def response(content: Mapping[str, Any], wanted: str = m.FORMAT_JSON) -> Response:
    """The answer in the format that was asked for; JSON where it is none that exists."""
    if wanted.lower() != m.FORMAT_XML:
        return json_response(content)
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<RESPONSE>'
        + "".join(_elements(content.items()))
        + "</RESPONSE>"
    )
    return Response(text.encode("utf-8", "replace"), media_type="application/xml")


def _elements(members: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for name, value in members:
        for one in value if isinstance(value, list) else [value]:
            inner = "".join(_elements(one.items())) if isinstance(one, Mapping) else _text(one)
            yield f"<{name}>{inner}</{name}>"


def _text(value: Any) -> str:
    """A text of XML: what XML 1.0 cannot hold is left out."""
    return escape(
        "".join(
            c
            for c in str(value)
            if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c <= "\ufffd" or c >= "\U00010000"
        )
    )


def moment_id(moment: datetime, tail: str) -> str:
    """How a val_id and a bank_tran_id are made: ``yymmddHHMMSS`` of Dhaka, and 15 more (§1.4)."""
    return f"{moment.astimezone(m.DHAKA):%y%m%d%H%M%S}{tail}"

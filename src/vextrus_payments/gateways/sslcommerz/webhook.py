"""SSLCommerz's notifications (IPN): what a post that is proven to be signed says (dossier §1.4, §1.5).

It is news and never evidence: neither signature is worth more than that (signature.py). So a payment that it calls
VALID is handed on as REVIEW ("money is said to have moved"), which makes the engine ask for it: the query by tran_id,
then the validation, decide. What it says of a failed, cancelled or expired try makes the engine look, too, and closes
nothing.
"""

import hashlib
from collections.abc import Mapping
from typing import Final

from vextrus_payments.events import GatewayEvent, payment_news_key
from vextrus_payments.gateways.bodies import shown_word
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.channels import method_of
from vextrus_payments.gateways.sslcommerz.pictures import is_risky
from vextrus_payments.gateways.sslcommerz.steps import (
    account_of,
    is_id,
    is_reference,
    money_of,
    status_of,
    time_of,
)
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

_STATES: Final = {
    m.Status.VALID: SnapshotState.REVIEW,
    m.Status.VALIDATED: SnapshotState.REVIEW,
    m.Status.FAILED: SnapshotState.INITIATED,
    m.Status.CANCELLED: SnapshotState.CANCELLED,
    m.Status.EXPIRED: SnapshotState.EXPIRED,
    m.Status.UNATTEMPTED: SnapshotState.EXPIRED,
}


def event_of(signed: Mapping[str, str]) -> GatewayEvent:
    """The normalized event out of the signed fields of a notification.

    It names its payment by our reference alone (protocol.py): a tran_id may be another session's, too, on the same
    store. What carries no reference of ours is money that nobody here asked for.

    Its id is a digest of what is signed: the same notification is the same event, however often and with whatever
    beside it it is posted.
    """
    status = status_of(signed["status"])
    state = (
        _STATES.get(status, SnapshotState.UNRECOGNIZED) if status is not None else SnapshotState.UNRECOGNIZED
    )
    is_paid = status in m.PAID
    reference = signed.get("value_d", "")
    bank = signed.get("bank_tran_id")
    asked_otherwise = signed.get("currency_type") not in (None, "", m.CURRENCY)
    amount, currency = ("currency_amount", "currency_type") if asked_otherwise else ("amount", "currency")
    snapshot = PaymentSnapshot(
        state=state,
        gateway_reference=reference if is_reference(reference) else "",
        raw_state=shown_word(signed["status"]),
        amount=money_of(signed.get(amount), signed.get(currency)) if is_paid else None,
        transaction_id=bank if is_paid and is_id(bank) else None,
        payer_account=account_of(signed.get("card_no")),
        occurred_at=time_of(signed.get("tran_date")),
        method=method_of(signed.get("card_type"), signed.get("card_brand")),
        on_hold=is_paid and is_risky(signed.get("risk_level")),
    )
    return GatewayEvent(
        event_id=f"ipn/{_digest(signed)}",
        snapshot=snapshot,
        occurred_at=snapshot.occurred_at,
        news_key=payment_news_key(snapshot),
    )


def _digest(signed: Mapping[str, str]) -> str:
    text = "".join(f"{len(name)}:{name}{len(value)}:{value}" for name, value in sorted(signed.items()))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

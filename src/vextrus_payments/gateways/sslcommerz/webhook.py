"""SSLCommerz's notifications (IPN): what a post that is proven to be signed says (dossier §1.4, §1.5).

It is news and never evidence: neither signature is worth more than that (signature.py). So a payment that it calls
VALID is handed on as REVIEW ("money is said to have moved"), which makes the engine ask for it: the query by tran_id,
then the validation, decide. What it says of a failed, cancelled or expired try makes the engine look, too, and closes
nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

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
from vextrus_payments.redaction import redact_sentence
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

_STATES: Final = {
    m.Status.VALID: SnapshotState.REVIEW,
    m.Status.VALIDATED: SnapshotState.REVIEW,
    m.Status.FAILED: SnapshotState.INITIATED,
    m.Status.CANCELLED: SnapshotState.CANCELLED,
    m.Status.EXPIRED: SnapshotState.EXPIRED,
    m.Status.UNATTEMPTED: SnapshotState.EXPIRED,
}
#: What is an id, a digest, a list of names or the shop's own text: kept as it was posted.
_KEPT: Final = frozenset(
    {
        *(
            "tran_id",
            "val_id",
            "bank_tran_id",
            "store_id",
            "tran_date",
            "value_a",
            "value_b",
            "value_c",
            "value_d",
        ),
        *(m.VERIFY_KEY, m.VERIFY_SIGN, m.VERIFY_SIGN_SHA2),
    }
)
_VALUE_MAX: Final = 1_024

#: Takes our own password out of a text.
Unsaid = Callable[[str | None], str | None]


def _as_said(text: str | None) -> str | None:
    return text


def kept_of(fields: Mapping[str, str], unsaid: Unsaid = _as_said) -> bytes | None:
    """What may be kept of a post in whose texts SSLCommerz repeats what nobody may keep: a whole card number, a
    password, a code that was typed. None: all of it.

    Such a post cannot be verified again where the text is a signed one; what it says is in the event.
    """
    shown = {
        name: value if name in _KEPT else redact_sentence(unsaid(value) or "", _VALUE_MAX)
        for name, value in fields.items()
    }
    return None if shown == fields else urlencode(shown, encoding="utf-8").encode("ascii")


def event_of(signed: Mapping[str, str], unsaid: Unsaid = _as_said) -> GatewayEvent:
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
        method=method_of(unsaid(signed.get("card_type")), unsaid(signed.get("card_brand"))),
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

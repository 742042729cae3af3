"""What is told of the inbox's rows: of money that names nothing of ours, and of what cannot be worked off."""

import hashlib
from datetime import datetime

from vextrus_payments.documents import to_json
from vextrus_payments.events import EventKind, GatewayEvent, PaymentEvent
from vextrus_payments.inbox import InboxRow


def announcement_of(row: InboxRow, event: GatewayEvent, now: datetime) -> tuple[str, str]:
    """The id and the document of the news that money came which names nothing of ours: fixed by the row."""
    amount = transaction_id = order_id = None
    after = "unmatched"
    if event.refund is not None:
        amount, transaction_id, after = event.refund.amount, event.refund.transaction_id, "unmatched_refund"
    elif event.snapshot is not None:
        amount, transaction_id = event.snapshot.amount, event.snapshot.transaction_id
        order_id = event.snapshot.gateway_order_id
    told = PaymentEvent(
        id=_id_of("unmatched", row),
        kind=EventKind.UNMATCHED_RECEIPT,
        tenant=row.tenant,
        gateway=row.gateway,
        mode=row.mode,
        payment_id=None,
        merchant_reference=None,
        occurred_at=now,
        before=None,
        after=after,
        amount=amount,
        transaction_id=transaction_id,
        metadata={"inbox_event_id": row.event_id, **({"gateway_order_id": order_id} if order_id else {})},
    )
    return told.id, to_json(told)


def stuck_of(row: InboxRow, payment_id: str | None, note: str | None, now: datetime) -> tuple[str, str]:
    """The id and the document of the news that a signed message could not be worked off for long: fixed by the row.

    It says neither amount nor transaction: nothing that the message tells has been confirmed.
    """
    told = PaymentEvent(
        id=_id_of("stuck", row),
        kind=EventKind.WEBHOOK_STUCK,
        tenant=row.tenant,
        gateway=row.gateway,
        mode=row.mode,
        payment_id=payment_id,
        merchant_reference=None,
        occurred_at=now,
        before=None,
        after="waiting",
        metadata={"inbox_event_id": row.event_id, **({"note": _text(note)} if note else {})},
    )
    return told.id, to_json(told)


def _text(note: str) -> str:
    """As an event can keep it: it may quote somebody's error text, and broken characters must not keep the news in."""
    return note.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _id_of(what: str, row: InboxRow) -> str:
    seed = "\x1f".join((what, row.tenant, row.gateway, row.mode.value, row.event_id))
    return f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}"

"""What is told of the inbox's rows: of money that names nothing of ours, and of what cannot be worked off."""

import hashlib
from dataclasses import replace
from datetime import datetime

from vextrus_payments.documents import from_json, to_json
from vextrus_payments.engine import tells_of_money
from vextrus_payments.errors import PaymentsError
from vextrus_payments.events import EventKind, GatewayEvent, PaymentEvent
from vextrus_payments.inbox import OPEN_INBOX_STATES, InboxEnd, InboxRow, InboxState


def with_alarm(end: InboxEnd, now: datetime, alarm_s: int) -> InboxEnd:
    """An end of what was tried, with the news that its row cannot be worked off, where that has lasted for long, or
    that it is after all, where it may have been called stuck. The store tells each once, and the second only after
    the first.

    Only of what was tried: after hours without a worker, what waits for its turn is not stuck.
    """
    row, is_over = end.row, end.state not in OPEN_INBOX_STATES
    lasted = (now - row.received_at).total_seconds() >= alarm_s
    if not lasted or not (is_over or end.state is InboxState.WAITING) or not _is_about_money(row):
        return end
    payment_id = end.payment_id or row.payment_id
    if is_over:
        return replace(end, relief=unstuck_of(row, end.state, payment_id, now))
    return replace(end, announcement=stuck_of(row, payment_id, end.note, now))


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
        id=_id_of("unmatched", row)
        if event.sender is None
        else _id_of_message("unmatched", row, event.sender),
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


def unstuck_of(
    row: InboxRow, state: InboxState, payment_id: str | None, now: datetime
) -> tuple[str, str, str]:
    """As `stuck_of`, of the news that takes that back, with the id of what it takes back before it."""
    told = PaymentEvent(
        id=_id_of("unstuck", row),
        kind=EventKind.WEBHOOK_UNSTUCK,
        tenant=row.tenant,
        gateway=row.gateway,
        mode=row.mode,
        payment_id=payment_id,
        merchant_reference=None,
        occurred_at=now,
        before="waiting",
        after=state.value,
        metadata={"inbox_event_id": row.event_id},
    )
    return _id_of("stuck", row), told.id, to_json(told)


def _is_about_money(row: InboxRow) -> bool:
    """Whether it tells of money, or cannot even be read."""
    try:
        return tells_of_money(from_json(GatewayEvent, row.document))
    except PaymentsError:
        return True


def _text(note: str) -> str:
    """As an event can keep it: it may quote somebody's error text, and broken characters must not keep the news in."""
    return note.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")


def _id_of(what: str, row: InboxRow) -> str:
    return _digest(what, row.tenant, row.gateway, row.mode.value, row.event_id)


def _id_of_message(what: str, row: InboxRow, sender: str) -> str:
    """Fixed by what the message tells: the same at every door that it comes to, and when it is repeated."""
    return _digest(what, row.tenant, sender, row.mode.value, row.news_key or row.event_id)


def _digest(*parts: str) -> str:
    seed = "\x1f".join(parts)
    return f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}"

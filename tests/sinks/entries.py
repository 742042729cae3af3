"""Rows of an outbox, as a store gives them."""

from datetime import UTC, datetime
from typing import Any

from vextrus_payments import LedgerEntry, Mode, Money, PaymentEvent, Posting, Side
from vextrus_payments.documents import to_json
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import EntryKind
from vextrus_payments.records import OutboxKind, OutboxRow

NOW = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)


def entry(number: int = 1, **changes: Any) -> LedgerEntry:
    """A payment's entry."""
    amount = Money("100.00", "BDT")
    fields: dict[str, Any] = {
        "id": f"ent_{number}",
        "kind": EntryKind.PAYMENT_RECEIVED,
        "tenant": "acme",
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "payment_id": "pay_1",
        "merchant_reference": "INV-1",
        "transaction_id": "TRX1",
        "postings": (
            Posting("gateway_clearing:bkash:sandbox", Side.DEBIT, amount),
            Posting("accounts_receivable", Side.CREDIT, amount),
        ),
        "recorded_at": NOW,
    }
    return LedgerEntry(**{**fields, **changes})


def event(number: int = 1, **changes: Any) -> PaymentEvent:
    """The news of it."""
    fields: dict[str, Any] = {
        "id": f"evt_{number}",
        "kind": EventKind.PAID,
        "tenant": "acme",
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "payment_id": "pay_1",
        "merchant_reference": "INV-1",
        "occurred_at": NOW,
        "before": "awaiting_payer",
        "after": "paid",
        "amount": Money("100.00", "BDT"),
    }
    return PaymentEvent(**{**fields, **changes})


def row(of: LedgerEntry | PaymentEvent, *, seq: int = 1, subject: str | None = None) -> OutboxRow:
    """Its outbox row."""
    return OutboxRow(
        tenant=of.tenant,
        row_id=of.id,
        subject=subject or f"{of.payment_id}",
        seq=seq,
        kind=OutboxKind.LEDGER if isinstance(of, LedgerEntry) else OutboxKind.EVENT,
        document=to_json(of),
        created_at=NOW,
    )

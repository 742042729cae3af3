"""The refunds that a gateway listed, as evidence: what was there before one of ours leaves, whole enough to be booked.

An adapter that tells its refunds apart by a baseline puts them into its checkpoint; whoever keeps the checkpoint reads
them back, and finds among them what was refunded by nobody it knows (in the gateway's portal, say).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from vextrus_payments.errors import AmountError
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.snapshots import RefundSnapshot, RefundState

#: Under which name a checkpoint's evidence holds the listed refunds.
REFUNDS: Final = "refunds"
#: Under which name it says that something had gone back, where the gateway lists no refunds.
GIVEN_BACK: Final = "given_back"


def listing_of(refunds: Iterable[RefundSnapshot]) -> list[JsonValue]:
    """Refunds as small typed JSON; those whose amount the gateway does not tell are left out."""
    return [
        {
            "transaction_id": refund.transaction_id,
            "original_transaction_id": refund.original_transaction_id,
            "state": refund.state.value,
            "amount_minor": refund.amount.amount_minor,
            "currency": refund.amount.currency,
            "occurred_at": refund.occurred_at.isoformat() if refund.occurred_at else None,
        }
        for refund in refunds
        if refund.amount is not None
    ]


def listed_in(evidence: Evidence) -> tuple[RefundSnapshot, ...]:
    """The refunds that a checkpoint kept; none where it keeps none (an older release, another gateway)."""
    kept = evidence.data.get(REFUNDS)
    found = (_read(entry) for entry in kept) if isinstance(kept, list) else ()
    return tuple(refund for refund in found if refund is not None)


def shows_given_back(evidence: Evidence) -> bool:
    """Whether something of the payment had gone back by then, at a gateway that does not list refunds."""
    return evidence.data.get(GIVEN_BACK) is True


def _read(entry: JsonValue) -> RefundSnapshot | None:
    if not isinstance(entry, dict):
        return None
    minor, currency, at = entry.get("amount_minor"), entry.get("currency"), entry.get("occurred_at")
    if isinstance(minor, bool) or not isinstance(minor, int) or not isinstance(currency, str):
        return None
    try:
        return RefundSnapshot(
            state=RefundState(str(entry.get("state"))),
            transaction_id=str(entry.get("transaction_id") or ""),
            original_transaction_id=str(entry.get("original_transaction_id") or ""),
            amount=Money.from_minor(minor, currency),
            raw_state=str(entry.get("state")),
            occurred_at=datetime.fromisoformat(at) if isinstance(at, str) else None,
        )
    except (ValueError, AmountError):
        return None

"""What commands show as JSON: plain documents, money as text, times in ISO 8601, accounts masked."""

from datetime import datetime
from typing import Any

from vextrus_payments.cli.declines import Mover, in_bangla, next_of, words_of
from vextrus_payments.cli.exit_codes import of_outcome
from vextrus_payments.methods import PaymentMethod
from vextrus_payments.money import Money
from vextrus_payments.outcomes import (
    Authorized,
    Declined,
    Outcome,
    Paid,
    PayoutOutcome,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Sent,
    TransferOutcome,
    Transferred,
    Unknown,
)
from vextrus_payments.payment import PaymentSession
from vextrus_payments.reasons import Reason
from vextrus_payments.records import PaymentFacts
from vextrus_payments.secret import mask_account
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.states import captured, payment_receipts, refundable, refunded

#: Outcome class -> its word in JSON.
_WORDS = {
    Paid: "paid",
    Authorized: "authorized",
    Refunded: "refunded",
    Sent: "sent",
    Transferred: "transferred",
    Pending: "pending",
    Declined: "declined",
    Unknown: "unknown",
    Review: "review",
}


def money(amount: Money | None) -> dict[str, str]:
    """`{"amount": "12.50", "currency": "BDT"}`, to be merged into a document; nothing for no amount."""
    return {} if amount is None else {"amount": amount.amount, "currency": amount.currency}


def method_document(method: PaymentMethod | None) -> dict[str, str] | None:
    """`{"kind": "wallet", "name": "rocket", "raw": "ROCKET-..."}`; None where the gateway does not say."""
    return None if method is None else {"kind": method.kind.value, "name": method.name, "raw": method.raw}


def moment(at: datetime | None) -> str | None:
    """ISO 8601 with its offset."""
    return None if at is None else at.isoformat()


def _sent_document(outcome: Sent | Transferred) -> dict[str, Any]:
    at = outcome.sent_at if isinstance(outcome, Sent) else outcome.made_at
    fee = outcome.fee if isinstance(outcome, Sent) else None
    return {
        "outcome": _WORDS[type(outcome)],
        "payout_id": outcome.payout_id,
        "operation_id": outcome.operation_id,
        **money(outcome.amount),
        "transaction_id": outcome.transaction_id,
        "fee": None if fee is None else fee.amount,
        "at": moment(at),
        "exit_code": int(of_outcome(outcome)),
    }


def _declined_document(reason: Reason, of: Mover | None) -> dict[str, Any]:
    """Why not; of a refund, payout or transfer in the words for a merchant, with what to do next."""
    document: dict[str, Any] = {"reason": reason.code.value, "gateway_code": reason.gateway_code}
    if of is None:
        return document | {"text": reason.text("en"), "text_bn": reason.text("bn")}
    return document | {
        "text": words_of(reason, of).why,
        "text_bn": in_bangla(reason, of),
        "gateway_text": reason.own_words.get("en"),
        "next_step": next_of(reason, of),
    }


def outcome_document(
    outcome: Outcome | RefundOutcome | PayoutOutcome | TransferOutcome,
    *,
    looked: bool = False,
    of: Mover | None = None,
) -> dict[str, Any]:
    """An outcome: its word, what belongs to it, and the exit code it means.

    Args:
        looked: the command only asked.
        of: what it is the outcome of, where that is no payment.
    """
    if isinstance(outcome, Sent | Transferred):
        return _sent_document(outcome)
    document: dict[str, Any] = {"outcome": _WORDS[type(outcome)], "payment_id": outcome.payment_id}
    match outcome:
        case Paid():
            document |= money(outcome.amount) | {
                "transaction_id": outcome.transaction_id,
                "payer_account": outcome.payer_account_masked,
                "paid_at": moment(outcome.paid_at),
                "on_hold": outcome.on_hold,
                "late": outcome.late,
                "method": method_document(outcome.method),
            }
        case Authorized():
            document |= money(outcome.amount) | {"transaction_id": outcome.transaction_id}
        case Refunded():
            document |= money(outcome.amount) | {
                "operation_id": outcome.operation_id,
                "transaction_id": outcome.transaction_id,
                "refunded_at": moment(outcome.refunded_at),
            }
        case Pending():
            document |= {
                "operation_id": outcome.operation_id,
                "sent": outcome.sent,
                "retry_after_s": outcome.retry_after_s,
            }
        case Declined():
            document |= {"operation_id": outcome.operation_id, **_declined_document(outcome.reason, of)}
        case Unknown():
            document |= {"operation_id": outcome.operation_id, "since": moment(outcome.since)}
        case Review():
            document |= money(outcome.amount) | {
                "transaction_id": outcome.transaction_id,
                "what": outcome.what,
            }
    return document | {"exit_code": int(of_outcome(outcome, looked=looked))}


def session_document(
    session: PaymentSession, *, operation_id: str, return_url: str, sandbox_url: str | None
) -> dict[str, Any]:
    """Where to send the payer, and what it is about."""
    return {
        "payment_id": session.payment_id,
        "operation_id": operation_id,
        "gateway": session.gateway,
        "mode": session.mode.value,
        "merchant_reference": session.merchant_reference,
        **money(session.amount),
        "gateway_order_id": session.gateway_order_id,
        "gateway_reference": session.gateway_reference,
        "submission_no": session.submission_no,
        "checkout_url": session.checkout_url,
        "expires_at": moment(session.expires_at),
        "return_url": return_url,
        "sandbox": sandbox_url,
    }


def payment_document(facts: PaymentFacts) -> dict[str, Any]:
    """A payment as our records have it."""
    payment, submission = facts.payment, facts.submission
    receipts = payment_receipts(facts)
    return {
        "payment_id": payment.payment_id,
        "gateway": payment.gateway,
        "mode": payment.mode.value,
        "merchant_reference": payment.merchant_reference,
        **money(payment.amount),
        "state": payment.state.value,
        "flags": sorted(flag.value for flag in payment.flags),
        "gateway_order_id": submission.gateway_order_id,
        "gateway_reference": submission.gateway_reference,
        "transaction_id": receipts[0].transaction_id if receipts else None,
        "method": method_document(receipts[0].method) if receipts else None,
        "captured": captured(facts).amount,
        "refunded": refunded(facts).amount,
        "refundable": refundable(facts).amount,
        "created_at": moment(payment.created_at),
    }


def snapshot_document(gateway: str, snapshot: PaymentSnapshot) -> dict[str, Any]:
    """A payment as its gateway shows it."""
    return {
        "gateway": gateway,
        "gateway_reference": snapshot.gateway_reference,
        "state": snapshot.state.value,
        "raw_state": snapshot.raw_state,
        **money(snapshot.amount),
        "gateway_order_id": snapshot.gateway_order_id,
        "transaction_id": snapshot.transaction_id,
        "payer_account": mask_account(snapshot.payer_account),
        "method": method_document(snapshot.method),
        "on_hold": snapshot.on_hold,
        "occurred_at": moment(snapshot.occurred_at),
        "mismatches": sorted(mismatch.value for mismatch in snapshot.mismatches),
    }

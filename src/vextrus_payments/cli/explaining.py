"""The story of one payment, told from its records: what happened, whether money moved, what comes next.

Everything here was redacted when it was stored; what other people wrote (a gateway, an operator) is kept on its line.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.cli.shapes import method_document
from vextrus_payments.documents import from_json
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.ledger import EntryKind, LedgerEntry, entry_id
from vextrus_payments.printable import one_line
from vextrus_payments.records import (
    Attempt,
    Exchange,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    PaymentFacts,
    Payout,
    Receipt,
    ReceiptKind,
    Resolution,
    Submission,
)
from vextrus_payments.secret import mask_account

_EVENTS: Final[Mapping[EventKind, str]] = {
    EventKind.PAID: "It was paid",
    EventKind.AUTHORIZED: "The money was held",
    EventKind.DECLINED: "It was declined",
    EventKind.CLOSED: "It was closed",
    EventKind.LAPSED: "Its session was over, and the gateway showed no payment",
    EventKind.UNKNOWN_OPENED: "An answer got lost: from here on nobody knew whether money had moved",
    EventKind.UNKNOWN_RESOLVED: "It became known how it had ended",
    EventKind.LATE: "Money came after it had been closed",
    EventKind.DUPLICATE: "Money came a second time for the same reference",
    EventKind.REFUND_SUCCEEDED: "Money went back to the payer",
    EventKind.REFUND_DECLINED: "The refund was declined",
    EventKind.CAPTURE_DECLINED: "The capture was declined, and the money stayed held",
    EventKind.VOID_DECLINED: "The void was declined, and the money stayed held",
    EventKind.QUARANTINED: "What the gateway showed contradicted our records, so a person has to look",
    EventKind.UNMATCHED_RECEIPT: "Money came that nobody asked for",
    EventKind.WEBHOOK_STUCK: "A signed message about it could not be worked off for a long time",
    EventKind.WEBHOOK_UNSTUCK: "The message that could not be worked off for long has been, after all",
    EventKind.REFUND_ADOPTED: "A refund was found that was made elsewhere",
    EventKind.RESOLVED: "A person said how it had ended",
    EventKind.AGREEMENT_ACTIVE: "The agreement became active",
    EventKind.AGREEMENT_ENDED: "The agreement ended",
    EventKind.AGREEMENT_CLOSED: "The subscription was never given",
    EventKind.AGREEMENT_DUPLICATE: "The payer consented a second time, on another page of it",
    EventKind.COLLECTION_FAILED: "The gateway collected nothing",
}
_VERBS: Final[Mapping[OperationKind, str]] = {
    OperationKind.INITIALIZE: "Opening the session",
    OperationKind.EXECUTE: "The execute",
    OperationKind.CAPTURE: "The capture",
    OperationKind.VOID: "The void",
    OperationKind.REFUND: "The refund",
    OperationKind.AGREEMENT: "The agreement",
    OperationKind.PAYOUT: "The payout",
    OperationKind.TRANSFER: "The transfer",
}
_CAME: Final[Mapping[ReceiptKind, str]] = {
    ReceiptKind.PAYMENT: "came in",
    ReceiptKind.REFUND: "went back",
    ReceiptKind.REVERSAL: "was taken back",
    ReceiptKind.PAYOUT: "was paid out",
    ReceiptKind.TRANSFER: "was moved to the disbursement account",
    ReceiptKind.TRANSFER_BACK: "was moved back to the collection account",
    ReceiptKind.CORRECTION: "was booked anew, as a person found it",
}
#: At one and the same moment: what was intended, what was sent, what came of it, what was booked, what was said.
_RANK: Final = {
    "reserved": 0,
    "attempt": 1,
    "exchange": 1,
    "receipt": 3,
    "event": 4,
    "entry": 5,
    "resolution": 6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One moment of the story."""

    at: datetime
    kind: str
    """reserved, attempt, exchange, receipt, event, entry or resolution."""
    text: str
    more: tuple[str, ...] = ()
    """Particulars, one a line."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """For programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the store has about one payment, beside its facts."""

    events: tuple[PaymentEvent, ...]
    attempts: tuple[Attempt, ...]
    rows: tuple[OutboxRow, ...]
    """What of the outbox is about it."""
    next_look: datetime | None
    why: tuple[str, ...] = ()
    """What is open, the next one due first; known only beside the gateway."""


def row_ids(facts: PaymentFacts, events: tuple[PaymentEvent, ...]) -> list[str]:
    """The ids that a payment's outbox rows have: its events', and those of every entry its receipts can make."""
    entries = [entry_id(receipt.key, kind) for receipt in facts.receipts for kind in EntryKind]
    return [*(event.id for event in events), *entries]


def timeline(facts: PaymentFacts, told: Told) -> tuple[Line, ...]:
    """Everything that happened, oldest first."""
    rows = {row.row_id: row for row in told.rows}
    lines = [
        *_reserved(facts),
        *_attempts(facts, told.attempts),
        *(_receipt(receipt) for receipt in facts.receipts),
        *(_event(event, rows.get(event.id)) for event in told.events),
        *(_entry(row) for row in told.rows if row.kind is OutboxKind.LEDGER),
        *(_resolution(resolution) for resolution in facts.payment.resolutions),
    ]
    return tuple(sorted(lines, key=lambda line: (line.at, _RANK[line.kind])))


def payout_row_ids(payout: Payout) -> list[str]:
    """The ids that a payout's entries have in the outbox."""
    return [entry_id(receipt.key, kind) for receipt in payout.receipts for kind in EntryKind]


def payout_timeline(
    payout: Payout, attempts: tuple[Attempt, ...], rows: tuple[OutboxRow, ...]
) -> tuple[Line, ...]:
    """Everything that happened to a payout or transfer, oldest first."""
    what = _VERBS[payout.operation.kind]
    lines = [
        Line(
            at=payout.created_at,
            kind="reserved",
            text=f"{what} of {payout.amount} was reserved: {payout.operation_id}",
            facts={"operation_id": payout.operation_id},
        ),
        *(line for attempt in attempts for line in _attempt(attempt, what)),
        *(_receipt(receipt) for receipt in payout.receipts),
        *(_entry(row) for row in rows),
        *(_resolution(resolution) for resolution in payout.resolutions),
    ]
    return tuple(sorted(lines, key=lambda line: (line.at, _RANK[line.kind])))


def _reserved(facts: PaymentFacts) -> Iterator[Line]:
    payment = facts.payment
    yield Line(
        at=payment.created_at,
        kind="reserved",
        text=f"A payment of {payment.amount} for {payment.merchant_reference} through {payment.gateway} was asked for",
        facts={"payment_id": payment.payment_id},
    )
    for submission in facts.submissions:
        if submission.submission_no > 1:
            yield _replaced(submission)
    for operation in facts.operations:
        if operation.kind is not OperationKind.INITIALIZE:
            amount = f" of {operation.amount}" if operation.amount is not None else ""
            yield Line(
                at=operation.created_at,
                kind="reserved",
                text=f"{_VERBS[operation.kind]}{amount} was reserved: {operation.operation_id}",
                facts={"operation_id": operation.operation_id, "operation": operation.kind.value},
            )


def _replaced(submission: Submission) -> Line:
    return Line(
        at=submission.created_at,
        kind="reserved",
        text=f"The session before was replaced by submission {submission.submission_no}, order id"
        f" {submission.gateway_order_id}",
        facts={"submission_no": submission.submission_no},
    )


def _attempts(facts: PaymentFacts, attempts: tuple[Attempt, ...]) -> Iterator[Line]:
    for attempt in attempts:
        operation = facts.operation(attempt.operation_id)
        yield from _attempt(
            attempt, _VERBS[operation.kind] if operation is not None else attempt.operation_id
        )


def _attempt(attempt: Attempt, what: str) -> Iterator[Line]:
    about = {"operation_id": attempt.operation_id, "attempt": attempt.fence}
    ended = f" and ended with {attempt.result}" if attempt.result else ", and nobody wrote down its end"
    yield Line(
        at=attempt.started_at,
        kind="attempt",
        text=f"{what}: attempt {attempt.fence} began{ended}",
        facts={**about, "result": attempt.result},
    )
    for exchange in attempt.exchanges:
        yield _exchange(exchange, about)


def _exchange(exchange: Exchange, about: Mapping[str, Any]) -> Line:
    if exchange.status is not None:
        answer = f"was answered with HTTP {exchange.status} after {exchange.elapsed_ms} ms"
    elif exchange.sent == "no":
        answer = "never left this machine"
    else:
        answer = f"got no usable answer within {exchange.elapsed_ms} ms"
    more = [f"sent: {_fields(exchange.request)}"] if exchange.request else []
    if exchange.answer:
        more.append(f"answer: {_fields(exchange.answer)}")
    if exchange.error:
        more.append(f"error: {one_line(exchange.error)}")
    return Line(
        at=exchange.at,
        kind="exchange",
        text=f"{exchange.method} {exchange.url} ({exchange.step or exchange.operation}) {answer}",
        more=tuple(more),
        facts={
            **about,
            "step": exchange.step or exchange.operation,
            "sent": exchange.sent,
            "status": exchange.status,
            "elapsed_ms": exchange.elapsed_ms,
            "request": dict(exchange.request),
            "answer": dict(exchange.answer),
            "error": exchange.error,
        },
    )


def _fields(shown: Mapping[str, str]) -> str:
    return one_line(", ".join(f"{name} {value}" for name, value in shown.items()), 600)


def _receipt(receipt: Receipt) -> Line:
    more = []
    if receipt.occurred_at is not None:
        more.append(f"the gateway says at {moment(receipt.occurred_at)}")
    if receipt.payer_account:
        more.append(f"wallet {mask_account(receipt.payer_account)}")
    if receipt.method is not None:
        more.append(f"paid by {receipt.method} ({receipt.method.kind.value})")
    if receipt.fee is not None:
        more.append(f"fee {receipt.fee}")
    if receipt.flags:
        more.append(f"marked {', '.join(sorted(flag.value for flag in receipt.flags))}")
    if receipt.mismatched:
        more.append("not the amount that was asked for: booked to suspense")
    return Line(
        at=receipt.recorded_at,
        kind="receipt",
        text=f"{receipt.amount} {_CAME[receipt.kind]}, transaction {receipt.transaction_id}",
        more=tuple(more),
        facts={
            "receipt": receipt.kind.value,
            "transaction_id": receipt.transaction_id,
            "amount": receipt.amount.amount,
            "currency": receipt.amount.currency,
            "operation_id": receipt.operation_id,
            "method": method_document(receipt.method),
            "flags": sorted(flag.value for flag in receipt.flags),
        },
    )


def _event(event: PaymentEvent, row: OutboxRow | None) -> Line:
    about = [f"{event.amount}"] if event.amount is not None else []
    about += [f"operation {event.operation_id}"] if event.operation_id else []
    if event.after and event.after != event.before:
        about.append(f"now {event.after}")
    if event.reason_code:
        about.append(f"reason {event.reason_code}")
    delivery = (
        "no news of it was queued"
        if row is None
        else _delivery(row, "the shop was told", "the shop has not been told")
    )
    text = _EVENTS.get(event.kind, event.kind.value)
    return Line(
        at=event.occurred_at,
        kind="event",
        text=f"{text} ({', '.join(about)})" if about else text,
        more=(delivery,),
        facts={
            "event": event.kind.value,
            "event_id": event.id,
            "operation_id": event.operation_id,
            "before": event.before,
            "after": event.after,
            "delivery": _delivery_state(row),
        },
    )


def _entry(row: OutboxRow) -> Line:
    entry = from_json(LedgerEntry, row.document)
    postings = "; ".join(f"{p.side.value} {p.account} {p.amount}" for p in entry.postings)
    return Line(
        at=row.created_at,
        kind="entry",
        text=f"Ledger entry {entry.kind.value}: {postings}",
        more=(_delivery(row, "the ledger took it", "the ledger has not taken it"), f"entry {entry.id}"),
        facts={
            "entry_id": entry.id,
            "entry": entry.kind.value,
            "postings": [
                {
                    "account": p.account,
                    "side": p.side.value,
                    "amount": p.amount.amount,
                    "currency": p.amount.currency,
                }
                for p in entry.postings
            ],
            "delivery": _delivery_state(row),
        },
    )


def _delivery(row: OutboxRow, done: str, not_done: str) -> str:
    if row.delivered_at is not None:
        return f"{done} at {moment(row.delivered_at)}"
    tries = f"{row.attempts} {'try' if row.attempts == 1 else 'tries'}"
    if row.parked is not None:
        return f"{not_done}: it was set aside after {tries}: {one_line(row.parked)}"
    after = f" after {tries}" if row.attempts else ""
    then = f"; next at {moment(row.next_at)}" if row.next_at is not None else ""
    return f"{not_done} yet{after}{then}"


def _delivery_state(row: OutboxRow | None) -> dict[str, Any] | None:
    if row is None:
        return None
    state = "parked" if row.parked is not None else "waiting"
    return {
        "state": "delivered" if row.delivered_at is not None else state,
        "delivered_at": _iso(row.delivered_at),
        "tries": row.attempts,
        "next_at": _iso(row.next_at),
        "parked": row.parked,
    }


def _resolution(resolution: Resolution) -> Line:
    amount = f", {resolution.amount}" if resolution.amount is not None else ""
    trx = f", transaction {resolution.transaction_id}" if resolution.transaction_id else ""
    about = f" about {resolution.operation_id}" if resolution.operation_id else ""
    return Line(
        at=resolution.at,
        kind="resolution",
        text=f"{one_line(resolution.actor)} said{about}: {resolution.verdict.value}{trx}{amount}",
        more=(
            f"because {one_line(resolution.reason)}",
            f"on the strength of {one_line(', '.join(resolution.evidence), 600)}",
        ),
        facts={
            "operation_id": resolution.operation_id,
            "verdict": resolution.verdict.value,
            "actor": resolution.actor,
            "reason": resolution.reason,
            "evidence": list(resolution.evidence),
            "reviewed_version": resolution.reviewed_version,
        },
    )


def open_of(facts: PaymentFacts, state: OperationState) -> tuple[Operation, ...]:
    """The operations in this state, those that only open a session left out."""
    return tuple(o for o in facts.operations if o.state is state and o.kind is not OperationKind.INITIALIZE)


def moment(at: datetime) -> str:
    """A moment for a person, in its own zone, to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} {at:%Z}".strip()


def ago(then: datetime, now: datetime) -> str:
    """How long ago (or ahead) that is: "3 minutes", "2 days"."""
    seconds = abs(round((now - then).total_seconds()))
    for name, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (seconds >= length and name != "minute"):
            count = seconds // length
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


#: A watch that is due so long ago says that no worker is looking.
NEGLECTED: Final = timedelta(minutes=15)

"""Facts in every state, and plans as text: what the tables and stories of the money rules are made of."""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from tests.unit.plan_world import AMOUNT
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.plans import Plan
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    SubjectKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.testing.time import EPOCH

NOW: Final = EPOCH + timedelta(hours=1)
SETTLE_S: Final = 60
#: A claim that is over to the second, and one that is a microsecond away from it.
OVER: Final = NOW - timedelta(seconds=SETTLE_S)
AT_WORK: Final = OVER + timedelta(microseconds=1)
METADATA: Final = {"order": "8812"}


def payment(state: PaymentState = PaymentState.AWAITING_PAYER, **changes: Any) -> Payment:
    base = Payment(
        tenant="acme",
        payment_id="pay_1",
        gateway="bkash",
        mode=Mode.LIVE,
        merchant_reference="INV-1",
        amount=AMOUNT,
        intent=Intent.SALE,
        state=state,
        created_at=EPOCH,
        updated_at=EPOCH + timedelta(minutes=1),
        version=7,
        correlation_id="req-1",
        metadata=METADATA,
        outbox_seq=4,
    )
    return replace(base, **changes)


def submission(number: int = 1, **changes: Any) -> Submission:
    base = Submission(
        tenant="acme",
        payment_id="pay_1",
        submission_no=number,
        gateway="bkash",
        mode=Mode.LIVE,
        gateway_order_id=f"INV-1-{number}",
        state=SubmissionState.OPEN,
        created_at=EPOCH,
        gateway_reference=f"GR{number}",
        expires_at=EPOCH + timedelta(hours=2),
    )
    return replace(base, **changes)


def operation(kind: OperationKind, state: OperationState, name: str = "", **changes: Any) -> Operation:
    """An operation as it stands in that state; one that was let out has a claim that is over."""
    out = state not in (OperationState.RESERVED, OperationState.CANCELLED)
    base = Operation(
        tenant="acme",
        operation_id=name or f"{kind.value}/pay_1/1",
        kind=kind,
        subject_kind=SubjectKind.PAYMENT,
        subject_id="pay_1",
        payment_id="pay_1",
        submission_no=1,
        digest="d",
        state=state,
        created_at=EPOCH,
        updated_at=EPOCH + timedelta(minutes=2),
        fence=2 if out else 0,
        send_by=OVER if out else None,
        amount=AMOUNT if kind is OperationKind.EXECUTE else None,
    )
    if kind is OperationKind.REFUND:
        base = replace(
            base, amount=Money("40"), original_transaction_id="TRX1", subject_kind=SubjectKind.REFUND
        )
        base = replace(base, evidence=(Evidence("baseline"),) if out else ())
    return replace(base, **changes)


def receipt(transaction_id: str = "TRX1", kind: ReceiptKind = ReceiptKind.PAYMENT, **changes: Any) -> Receipt:
    base = Receipt(
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        kind=kind,
        transaction_id=transaction_id,
        amount=AMOUNT if kind is ReceiptKind.PAYMENT else Money("40"),
        recorded_at=EPOCH,
        payment_id="pay_1",
        submission_no=1,
        operation_id="execute/pay_1/1" if kind is ReceiptKind.PAYMENT else None,
        original_transaction_id=None if kind is ReceiptKind.PAYMENT else "TRX1",
    )
    return replace(base, **changes)


def facts(
    of: Payment | PaymentState = PaymentState.AWAITING_PAYER,
    *operations: Operation | None,
    receipts: tuple[Receipt, ...] = (),
    submissions: tuple[Submission, ...] | None = None,
) -> PaymentFacts:
    """A payment with these operations; a paid one has its receipt unless told otherwise."""
    whole = payment(of) if isinstance(of, PaymentState) else of
    if whole.state is PaymentState.PAID and not receipts:
        receipts = (receipt(),)
    held = "TRX1" if whole.state is PaymentState.AUTHORIZED else None
    some = (submission(held_transaction_id=held),) if submissions is None else submissions
    return PaymentFacts(whole, some, tuple(o for o in operations if o is not None), receipts)


# --- as text ------------------------------------------------------------------------------------------------------


def text(value: object) -> str:
    """One value, short and whole."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return f"{(value - NOW).total_seconds():+g}s"
    if isinstance(value, frozenset | set):
        return "{" + ",".join(sorted(text(v) for v in value)) + "}"
    if isinstance(value, tuple | list):
        return "(" + ",".join(text(v) for v in value) + ")"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{text(v)}" for k, v in value.items()) + "}"
    if is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__ + "(" + ", ".join(_parts(value)) + ")"
    return str(value)


def _parts(value: Any, leaving: tuple[str, ...] = ()) -> list[str]:
    """The fields that are not what they are by default."""
    return [
        f"{f.name}={text(getattr(value, f.name))}"
        for f in fields(value)
        if f.name not in leaving and getattr(value, f.name) != _default(f)
    ]


def _default(field: Field[Any]) -> object:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


def _changes(before: Any, after: Any) -> str:
    if before is None:
        return text(after)
    return ", ".join(
        f"{f.name}={text(getattr(after, f.name))}"
        for f in fields(after)
        if getattr(after, f.name) != getattr(before, f.name)
    )


def told(before: PaymentFacts | None, plan: Plan | None) -> list[str]:
    """Everything that a plan changes, a line each."""
    if plan is None:
        return ["nothing"]
    old = before.payment if before else None
    lines = [f"payment: {_changes(old, plan.payment)}", f"expects {plan.expected_version}"]
    for each in plan.submissions:
        known = (
            next((s for s in before.submissions if s.submission_no == each.submission_no), None)
            if before
            else None
        )
        lines.append(f"submission {each.submission_no}: {_changes(known, each)}")
    for one in plan.operations:
        lines.append(
            f"operation {one.operation_id}: {_changes(before.operation(one.operation_id) if before else None, one)}"
        )
    lines += [text(fact) for fact in (*plan.receipts, *plan.events, *plan.attempts)]
    for row in plan.outbox:
        document = json.loads(row.document)
        document["flags"] = sorted(document.get("flags", ()))  # a set: in whichever order
        shown = replace(row, document=json.dumps(document, ensure_ascii=False))
        lines.append(f"outbox {row.seq} {row.subject}: {text(shown)}")
    lines += [f"guards {text(plan.guards)} whole={plan.whole_reference}, watch {text(plan.watch_at)}"]
    return lines


def short(before: PaymentFacts, plan: Plan | None) -> str:
    """What matters of a plan, in one line; empty when there is none."""
    if plan is None:
        return ""
    parts = []
    now, old = plan.payment, before.payment
    if now.state is not old.state:
        parts.append(now.state.value)
    if now.flags != old.flags:
        parts.append(text(now.flags))
    if now.closed_reason != old.closed_reason:
        parts.append(text(now.closed_reason.code if now.closed_reason else None))
    for one in plan.operations:
        known = before.operation(one.operation_id)
        moved = replace(one, updated_at=known.updated_at) if known else one
        parts.append(f"{one.operation_id.removesuffix('/pay_1/1')} {_changes(known, moved)}")
    for each in plan.submissions:
        parts.append(f"submission {each.submission_no} {each.state.value} held={each.held_transaction_id}")
    for fact in plan.receipts:
        parts.append(
            f"[{fact.kind.value} {fact.transaction_id} {fact.amount} {text(fact.flags)}"
            f"{' mismatched' if fact.mismatched else ''}{' reverses' if fact.reverses else ''} by {fact.operation_id}]"
        )
    parts += [_event(event) for event in plan.events]
    parts.append(f"watch {text(plan.watch_at)}")
    return "; ".join(parts)


def _event(event: PaymentEvent) -> str:
    said = [f"!{event.kind.value} {event.before}>{event.after}"]
    said += [str(x) for x in (event.operation_id, event.amount, event.transaction_id, event.reason_code) if x]
    return " ".join(said)

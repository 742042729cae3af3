"""A payment in three sentences: what happened, whether money moved, what to do next."""

from dataclasses import dataclass
from datetime import datetime

from vextrus_payments.cli.explaining import NEGLECTED, Told, ago, moment, open_of
from vextrus_payments.outcomes import Authorized, Declined, Outcome, Paid, Pending, Review, Unknown
from vextrus_payments.printable import one_line
from vextrus_payments.records import Flag, OperationKind, OperationState, PaymentFacts, PaymentState
from vextrus_payments.states import captured, outcome_of, payment_receipts, refundable, refunded


@dataclass(frozen=True, slots=True)
class Short:
    """The head of the story."""

    what: str
    money: str
    todo: tuple[str, ...]
    outcome: Outcome


def in_short(facts: PaymentFacts, told: Told, now: datetime) -> Short:
    """The payment in three sentences."""
    outcome = outcome_of(facts)
    return Short(_what(facts, outcome), _money(facts), tuple(_todo(facts, told, outcome, now)), outcome)


def _what(facts: PaymentFacts, outcome: Outcome) -> str:
    payment = facts.payment
    name = f"{payment.merchant_reference}, {payment.amount} through {payment.gateway} ({payment.mode.value}),"
    match outcome:
        case Paid(late=late, transaction_id=trx):
            flags = " late: after it had been closed" if late else ""
            return f"{name} is paid{flags}, transaction {trx}."
        case Authorized():
            return f"{name} is authorized: the money is held and not taken."
        case Declined(reason=reason):
            ended = "has lapsed" if payment.state is PaymentState.LAPSED else "is closed"
            return f"{name} {ended}: {one_line(reason.text('en'))}"
        case Unknown(operation_id=operation_id):
            return f"{name} is unknown: nobody can tell yet how {operation_id} ended."
        case Review(what=what):
            return f"{name} is under review. {what}"
        case Pending(sent=True):
            return f"{name} is under way at the gateway."
        case Pending():
            return f"{name} waits for its payer: nothing is under way."


def _money(facts: PaymentFacts) -> str:
    came, back = captured(facts), refunded(facts)
    open_charge = [
        o
        for state in (OperationState.UNKNOWN, OperationState.PENDING, OperationState.SUBMITTING)
        for o in open_of(facts, state)
    ]
    if came.is_positive:
        text = f"Money moved: {came} came in"
        text += f", {back} went back." if back.is_positive else "."
        if Flag.QUARANTINED not in facts.payment.flags:
            text += f" {refundable(facts)} can still be refunded."
    elif any(o.kind is not OperationKind.REFUND for o in open_charge):
        return "Money may have moved: an answer is still missing, and the gateway has confirmed nothing yet."
    else:
        text = "No money has moved, as far as the gateway has said."
    if any(o.kind is OperationKind.REFUND for o in open_charge):
        text += " Of a refund nobody can tell yet whether it went back; its amount stays reserved."
    if any(o.kind is not OperationKind.REFUND for o in open_charge):
        text += " Money may have moved: an answer is still missing."
    return text


def _todo(facts: PaymentFacts, told: Told, outcome: Outcome, now: datetime) -> list[str]:
    payment = facts.payment
    todo: list[str] = []
    if told.why:
        todo.append(f"This is open: {told.why[0]}.")
    if told.next_look is not None:
        late = now - told.next_look
        if late > NEGLECTED:
            todo.append(
                f"It has been due to be looked at for {ago(told.next_look, now)}: no worker is running. "
                "Start one: vextrus-pay worker"
            )
        elif late.total_seconds() >= 0:
            todo.append("A worker looks at it within moments.")
        else:
            todo.append(
                f"A worker looks at it at {moment(told.next_look)}, in {ago(told.next_look, now)}; "
                f"now: vextrus-pay reconcile {payment.payment_id}"
            )
    unknown = open_of(facts, OperationState.UNKNOWN)
    if unknown:
        todo.append(
            "Nothing is sent again by itself. If the gateway stays silent, look it up in its portal and say what is "
            f"there: vextrus-pay resolve {payment.payment_id} --operation {unknown[0].operation_id} ..."
        )
    if isinstance(outcome, Review):
        todo.append(
            "Compare it with the gateway's portal; when it is understood: "
            f"vextrus-pay resolve {payment.payment_id} --cleared ..."
        )
    late_receipts = [r for r in payment_receipts(facts) if r.flags & {Flag.LATE, Flag.DUPLICATE}]
    if late_receipts and refundable(facts).is_positive:
        todo.append(
            "It came late or twice and is booked to unapplied receipts: apply it to an order, or refund it."
        )
    if isinstance(outcome, Authorized):
        todo.append("Capture the hold, or void it.")
    parked = [row for row in told.rows if row.parked is not None and row.delivered_at is None]
    if parked:
        todo.append(
            f"{len(parked)} of its entries or news were set aside: see them below, then vextrus-pay outbox."
        )
    return todo or ["Nothing: it is over."]

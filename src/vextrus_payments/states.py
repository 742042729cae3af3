"""The life of payments and operations: the edges, what each one needs as evidence, and what can be read off facts.

Theory of operation. Facts are the rows of one payment, read in one transaction (PaymentFacts). Plan functions
(reserving.py, recording.py) are pure: facts + evidence -> Plan. A store writes a plan whole or not at all, under
compare-and-set on the payment's version; a stale plan is made again from fresh facts, and nothing is ever resent
for it. Three rules shape every function here:

- The fence guards sending, not truth. What proves that money moved is accepted from anyone at any time. What would
  allow another send (a proof of not-sent, a decline, an absence) counts only from the holder of the latest fence.
- Unknown is a state. It is left only by evidence: the gateway's own word, or an authoritative absence seen after
  the last moment at which the gateway could still have been at work.
- Facts only grow: receipts are never changed, paid never becomes anything else, and what comes after a payment was
  closed is booked and marked late.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from vextrus_payments.errors import StaleStateError
from vextrus_payments.money import Money, total
from vextrus_payments.outcomes import (
    Authorized,
    Declined,
    Outcome,
    Paid,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Unknown,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    ResolutionVerdict,
)

_O = OperationState
_P = PaymentState

#: from -> to: the evidence the edge needs.
OPERATION_EDGES: Final[Mapping[tuple[OperationState, OperationState], str]] = {
    (_O.RESERVED, _O.SUBMITTING): "a claim",
    (_O.RESERVED, _O.CANCELLED): "the caller's withdrawal, or the payment or its hold is over",
    (_O.RESERVED, _O.SUCCEEDED): "the gateway shows it done, whoever did it",
    (_O.RESERVED, _O.UNKNOWN): "the holder's answer got lost, after an absence had been believed too early",
    (_O.SUBMITTING, _O.PENDING): "the gateway accepted it and will finish later",
    (_O.SUBMITTING, _O.SUCCEEDED): "the gateway's confirmation",
    (_O.SUBMITTING, _O.DECLINED): "the gateway's final no, under the latest fence",
    (_O.SUBMITTING, _O.UNKNOWN): "an answer lost, unreadable, or never waited for",
    (_O.SUBMITTING, _O.RESERVED): "proof of no effect, under the latest fence",
    (_O.PENDING, _O.SUCCEEDED): "the gateway's confirmation",
    (_O.PENDING, _O.DECLINED): "the gateway's final no",
    (_O.PENDING, _O.UNKNOWN): "the gateway no longer says",
    (_O.UNKNOWN, _O.SUCCEEDED): "the gateway's confirmation",
    (_O.UNKNOWN, _O.PENDING): "the gateway says it is still at it",
    (_O.UNKNOWN, _O.DECLINED): "the gateway's final no",
    (_O.UNKNOWN, _O.RESERVED): "authoritative absence",
    (_O.DECLINED, _O.SUCCEEDED): "the gateway's confirmation outranks what was believed",
    (_O.CANCELLED, _O.SUCCEEDED): "the gateway's confirmation outranks what was believed",
}

#: from -> to: the evidence the edge needs.
PAYMENT_EDGES: Final[Mapping[tuple[PaymentState, PaymentState], str]] = {
    (_P.CREATED, _P.AWAITING_PAYER): "a session that reached us",
    (_P.CREATED, _P.CLOSED): "the gateway's final no to creating it, or its time is over",
    (_P.CREATED, _P.PAID): "a receipt",
    (_P.CREATED, _P.AUTHORIZED): "the gateway's confirmation of a hold",
    (_P.AWAITING_PAYER, _P.AUTHORIZED): "the gateway's confirmation of a hold",
    (_P.AWAITING_PAYER, _P.PAID): "a receipt",
    (_P.AWAITING_PAYER, _P.CLOSED): "the gateway's final no, or the execute right withdrawn",
    (_P.AWAITING_PAYER, _P.LAPSED): "the last look-up after the session's life",
    (_P.AUTHORIZED, _P.PAID): "a receipt",
    (_P.AUTHORIZED, _P.CLOSED): "the gateway's confirmation that the hold is over",
    (_P.CLOSED, _P.PAID): "a receipt (late)",
    (_P.LAPSED, _P.PAID): "a receipt (late)",
    (_P.CLOSED, _P.AUTHORIZED): "the gateway's confirmation of a hold (late)",
    (_P.LAPSED, _P.AUTHORIZED): "the gateway's confirmation of a hold (late)",
}

#: Operations that have been let out and have not come back.
OPEN_STATES: Final = frozenset({_O.SUBMITTING, _O.PENDING, _O.UNKNOWN})
#: Operations that need nothing more.
SETTLED_STATES: Final = frozenset({_O.SUCCEEDED, _O.DECLINED, _O.CANCELLED})
#: States in which a refund's amount is spoken for.
_HOLDING_STATES: Final = OPEN_STATES | {_O.RESERVED}


def check_operation_edge(before: OperationState, after: OperationState) -> None:
    """Refuse a move that is not in the table.

    Raises:
        StaleStateError: there is no such edge.
    """
    if before is not after and (before, after) not in OPERATION_EDGES:
        raise StaleStateError(f"An operation does not go from {before} to {after}.")


def check_payment_edge(before: PaymentState, after: PaymentState) -> None:
    """Refuse a move that is not in the table.

    Raises:
        StaleStateError: there is no such edge.
    """
    if before is not after and (before, after) not in PAYMENT_EDGES:
        raise StaleStateError(f"A payment does not go from {before} to {after}.")


# --- what can be read off facts -----------------------------------------------------------------------------------


def execute_operation_id(payment_id: str, submission_no: int) -> str:
    """The id of a submission's one execute operation."""
    return f"execute/{payment_id}/{submission_no}"


def late_operation_id(payment_id: str, transaction_id: str) -> str:
    """The id of the refund by which the shop's policy gives a late receipt back."""
    return f"late/{payment_id}/{transaction_id}"


def live_hold(facts: PaymentFacts) -> Operation | None:
    """The one capture or void that is reserved, let out or done; None when a new one may be reserved."""
    over = (_O.DECLINED, _O.CANCELLED)
    return next((o for o in hold_operations(facts) if o.state not in over), None)


def hold_operations(facts: PaymentFacts) -> tuple[Operation, ...]:
    """Every capture and void of the payment."""
    return tuple(o for o in facts.operations if o.kind in (OperationKind.CAPTURE, OperationKind.VOID))


def hold_operation_id(facts: PaymentFacts, kind: OperationKind) -> str:
    """The id of the payment's live capture (or void), else of the next one.

    The first is `capture/{payment_id}/{submission_no}`; after one that was declined or withdrawn the number goes on.
    """
    live = live_hold(facts)
    if live is not None and live.kind is kind:
        return live.operation_id
    head = f"{kind.value}/{facts.payment.payment_id}/"
    used = [int(o.operation_id.removeprefix(head)) for o in hold_operations(facts) if o.kind is kind]
    return f"{head}{max([facts.held_submission.submission_no, *(number + 1 for number in used)])}"


def answered_by_operator(facts: PaymentFacts, operation_id: str) -> ResolutionVerdict | None:
    """What an operator last said of an operation."""
    said = [r.verdict for r in facts.payment.resolutions if r.operation_id == operation_id]
    return said[-1] if said else None


def on_operators_word(facts: PaymentFacts, operation: Operation) -> bool:
    """True for a refund of which only an operator has said how it ended: the gateway may show it otherwise yet.

    It is looked for by what was seen before it was sent, or by the id that the gateway gave when it accepted it.
    """
    said = answered_by_operator(facts, operation.operation_id)
    traced = operation.evidence or operation.transaction_id is not None
    if operation.kind is not OperationKind.REFUND or said is None or not traced:
        return False
    if said is ResolutionVerdict.NOT_MADE:
        return operation.state is _O.DECLINED
    return operators_refund(facts, operation) is not None


def is_accepted_and_denied(facts: PaymentFacts, operation: Operation) -> bool:
    """True for a refund that the gateway accepted under an id of its own, and that only an operator calls not made."""
    return (
        operation.state is _O.DECLINED
        and operation.transaction_id is not None
        and on_operators_word(facts, operation)
    )


def operators_refund(facts: PaymentFacts, operation: Operation) -> Receipt | None:
    """The refund that was booked for the operation on an operator's word, and stands."""
    mine = (r for r in refund_receipts(facts) if r.operation_id == operation.operation_id)
    return next((r for r in mine if Flag.BY_OPERATOR in r.flags), None)


def is_taken_back(facts: PaymentFacts, receipt: Receipt) -> bool:
    """True when a reversal of ours took the receipt back."""
    return any(
        r.reverses is receipt.kind and r.transaction_id == receipt.transaction_id for r in facts.receipts
    )


def has_money(facts: PaymentFacts) -> bool:
    """True when money is there: paid or held."""
    return facts.payment.state in (_P.PAID, _P.AUTHORIZED)


def may_have_money(facts: PaymentFacts) -> bool:
    """True when money is there, or an execute was let out and has not come back, or a person has to look."""
    if has_money(facts) or Flag.QUARANTINED in facts.payment.flags:
        return True
    charging = (OperationKind.EXECUTE, OperationKind.CAPTURE)
    return any(o.kind in charging and o.state in OPEN_STATES for o in facts.operations)


def payment_receipts(facts: PaymentFacts) -> tuple[Receipt, ...]:
    """The receipts of money that came in and stand: none that was taken back because an operator was wrong."""
    return _standing(facts, ReceiptKind.PAYMENT)


def refund_receipts(facts: PaymentFacts) -> tuple[Receipt, ...]:
    """The receipts of refunds that stand."""
    return _standing(facts, ReceiptKind.REFUND)


def _standing(facts: PaymentFacts, kind: ReceiptKind) -> tuple[Receipt, ...]:
    taken_back = {r.transaction_id for r in facts.receipts if r.reverses is kind}
    return tuple(r for r in facts.receipts if r.kind is kind and r.transaction_id not in taken_back)


def gone_receipts(facts: PaymentFacts) -> tuple[Receipt, ...]:
    """The receipts of money that went back: refunds, and what the gateway itself reversed."""
    reversed_there = (r for r in facts.receipts if r.kind is ReceiptKind.REVERSAL and r.reverses is None)
    return (*refund_receipts(facts), *reversed_there)


def captured(facts: PaymentFacts) -> Money:
    """What came in, as the receipts say."""
    return total((r.amount for r in payment_receipts(facts)), facts.payment.amount.currency)


def refunded(facts: PaymentFacts) -> Money:
    """What went back, as the receipts say (a reversal went back too)."""
    return total((r.amount for r in gone_receipts(facts)), facts.payment.amount.currency)


def reserved_for_refunds(facts: PaymentFacts) -> Money:
    """What refunds have spoken for and no receipt accounts for yet: reserved, on the wire, pending or unknown."""
    booked = {r.operation_id for r in refund_receipts(facts)}
    return total(
        (
            o.amount
            for o in facts.operations
            if o.kind is OperationKind.REFUND
            and o.state in _HOLDING_STATES
            and o.operation_id not in booked
            and o.amount is not None
        ),
        facts.payment.amount.currency,
    )


def refundable(facts: PaymentFacts) -> Money:
    """What may still be promised back: captured - refunded - reserved. Zero while quarantined."""
    if Flag.QUARANTINED in facts.payment.flags:
        return Money.from_minor(0, facts.payment.amount.currency)
    return captured(facts) - refunded(facts) - reserved_for_refunds(facts)


def refundable_of(facts: PaymentFacts, receipt: Receipt) -> Money:
    """What may still be promised back from one receipt. A refund that names no receipt counts against every one."""
    booked = {r.operation_id for r in refund_receipts(facts)}
    here = (None, receipt.transaction_id)
    back = [r.amount for r in gone_receipts(facts) if r.original_transaction_id in here]
    promised = [
        o.amount
        for o in facts.operations
        if o.kind is OperationKind.REFUND
        and o.state in _HOLDING_STATES
        and o.operation_id not in booked
        and o.amount is not None
        and o.original_transaction_id in here
    ]
    return receipt.amount - total([*back, *promised], receipt.amount.currency)


def claim_is_over(operation: Operation, settle_s: int, at: datetime) -> bool:
    """True when, at that time, the gateway can no longer be at work on the operation's last claim."""
    if operation.send_by is None:
        return False
    return (at - operation.send_by).total_seconds() >= settle_s


def outcome_of(facts: PaymentFacts) -> Outcome:
    """The public outcome of a payment, from facts alone."""
    payment = facts.payment
    receipts = payment_receipts(facts)
    first = receipts[0] if receipts else None
    if Flag.QUARANTINED in payment.flags:
        return Review(
            payment_id=payment.payment_id,
            what="The gateway's facts contradict our records; a person has to look before anything else is done.",
            amount=first.amount if first else None,
            transaction_id=first.transaction_id if first else None,
        )
    if payment.state is _P.PAID and first is not None:
        return Paid(
            payment_id=payment.payment_id,
            amount=captured(facts),
            transaction_id=first.transaction_id,
            payer_account=first.payer_account,
            paid_at=first.occurred_at,
            fee=first.fee,
            on_hold=Flag.ON_HOLD in payment.flags,
            late=Flag.LATE in payment.flags,
            method=first.method,
        )
    if payment.state is _P.PAID:
        return Review(
            payment_id=payment.payment_id,
            what="It was called paid on an operator's word, and the gateway contradicted that: nothing is booked.",
        )
    execute = facts.operation(execute_operation_id(payment.payment_id, payment.submission_no))
    # What is out says more than the state: while nobody knows its end, nothing is final.
    out = next(
        (o for o in (execute, *hold_operations(facts)) if o is not None and o.state in OPEN_STATES), None
    )
    if out is not None and out.state is _O.UNKNOWN:
        return Unknown(payment_id=payment.payment_id, operation_id=out.operation_id, since=out.updated_at)
    if out is not None:
        return Pending(payment_id=payment.payment_id, sent=True, operation_id=out.operation_id)
    if payment.state is _P.AUTHORIZED:
        return _held_outcome(facts)
    operation_id = execute.operation_id if execute else None
    if payment.state in (_P.CLOSED, _P.LAPSED):
        code = ReasonCode.PAYMENT_EXPIRED if payment.state is _P.LAPSED else ReasonCode.UNKNOWN_ERROR
        return Declined(
            payment_id=payment.payment_id,
            reason=payment.closed_reason or Reason(code=code),
            operation_id=operation_id,
        )
    return Pending(payment_id=payment.payment_id, sent=False, operation_id=operation_id)


def _held_outcome(facts: PaymentFacts) -> Outcome:
    payment, live = facts.payment, live_hold(facts)
    if live is not None and live.state is _O.RESERVED:
        return Pending(payment_id=payment.payment_id, sent=False, operation_id=live.operation_id)
    return Authorized(
        payment_id=payment.payment_id,
        amount=payment.amount,
        transaction_id=facts.held_submission.held_transaction_id,
    )


def refund_outcome_of(facts: PaymentFacts, operation: Operation) -> RefundOutcome:
    """The public outcome of a refund, from facts alone."""
    payment_id, operation_id = facts.payment.payment_id, operation.operation_id
    if operation.state is _O.SUCCEEDED:
        receipt = next(
            (
                r
                for r in refund_receipts(facts)
                if operation.operation_id == r.operation_id
                or (r.operation_id is None and r.transaction_id == operation.transaction_id)
            ),
            None,
        )
        amount = receipt.amount if receipt else operation.amount
        assert amount is not None, "a refund operation always has an amount"
        return Refunded(
            payment_id=payment_id,
            operation_id=operation_id,
            amount=amount,
            transaction_id=(receipt.transaction_id if receipt else operation.transaction_id) or "",
            refunded_at=receipt.occurred_at if receipt else None,
        )
    if operation.state in (_O.DECLINED, _O.CANCELLED):
        code = ReasonCode.PAYMENT_CANCELLED if operation.state is _O.CANCELLED else ReasonCode.UNKNOWN_ERROR
        return Declined(
            payment_id=payment_id, operation_id=operation_id, reason=operation.reason or Reason(code=code)
        )
    if operation.state is _O.UNKNOWN:
        return Unknown(payment_id=payment_id, operation_id=operation_id, since=operation.updated_at)
    return Pending(payment_id=payment_id, operation_id=operation_id, sent=operation.state in OPEN_STATES)

"""How what an event tells stands to the records: pure questions, each answered by the facts alone."""

from typing import Final

from vextrus_payments.events import GatewayEvent
from vextrus_payments.gateways.registry import DEFAULT_TENANT
from vextrus_payments.records import Flag, PaymentFacts, PaymentState, Receipt, ReceiptKind, Submission
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.states import has_money, is_taken_back

MONEY: Final = frozenset({SnapshotState.PAID, SnapshotState.AUTHORIZED, SnapshotState.REVIEW})
"""The states of a picture that shows money, moved or held."""


def tells_of_money(event: GatewayEvent) -> bool:
    """Whether it says that money moved or is held, or something that nobody can read: a person has to know of both."""
    if event.refund is not None:
        return event.refund.state in (RefundState.COMPLETED, RefundState.UNRECOGNIZED)
    state = None if event.snapshot is None else event.snapshot.state
    return state in MONEY or state is SnapshotState.UNRECOGNIZED


def names_something(snapshot: PaymentSnapshot) -> bool:
    """Whether it has any reference of ours or of the gateway's session."""
    return bool(snapshot.gateway_order_id or snapshot.gateway_reference)


def may_be_anothers(facts: PaymentFacts, snapshot: PaymentSnapshot) -> bool:
    """Whether it names a payment by our number alone where there are tenants: another one on the same merchant may have
    sent the same number, and news of both come to the door of one."""
    return facts.payment.tenant != DEFAULT_TENANT and not snapshot.gateway_reference


def submission_named(facts: PaymentFacts, snapshot: PaymentSnapshot) -> Submission:
    """The submission that the event names; where it names none, the one its receipt came by, else the current."""
    for submission in facts.submissions:
        if snapshot.gateway_order_id and submission.gateway_order_id == snapshot.gateway_order_id:
            return submission
    for submission in facts.submissions:
        if snapshot.gateway_reference and submission.gateway_reference == snapshot.gateway_reference:
            return submission
    for receipt in facts.receipts:
        if receipt.transaction_id == snapshot.transaction_id and receipt.submission_no is not None:
            return facts.submission_numbered(receipt.submission_no)
    return facts.submission


def is_over(facts: PaymentFacts) -> bool:
    """Whether only money could still change the payment."""
    return facts.payment.state in (PaymentState.PAID, PaymentState.CLOSED, PaymentState.LAPSED)


def is_recorded(facts: PaymentFacts, snapshot: PaymentSnapshot) -> bool:
    """Whether the gateway's own word for what the event tells is in the records."""
    if snapshot.state is SnapshotState.AUTHORIZED:
        was_held = any(s.held_transaction_id is not None for s in facts.submissions)
        return has_money(facts) or (facts.payment.state is PaymentState.CLOSED and was_held)
    booked = booked_of(facts, snapshot)
    return booked is not None and agrees(facts, booked, snapshot) and Flag.BY_OPERATOR not in booked.flags


def lets_go(facts: PaymentFacts, snapshot: PaymentSnapshot) -> bool:
    """Whether it no longer calls risky what is on hold in the records: the gateway is asked, and decides."""
    booked = booked_of(facts, snapshot)
    held = Flag.ON_HOLD in facts.payment.flags and booked is not None and Flag.ON_HOLD in booked.flags
    return held and not snapshot.on_hold


def booked_of(facts: PaymentFacts, snapshot: PaymentSnapshot) -> Receipt | None:
    """The receipt that has its transaction, at whatever amount."""
    if snapshot.state not in MONEY:
        return None
    mine = (r for r in facts.receipts if r.kind is ReceiptKind.PAYMENT)
    return next((r for r in mine if r.transaction_id == snapshot.transaction_id), None)


def is_hold(facts: PaymentFacts, snapshot: PaymentSnapshot) -> bool:
    """Whether its transaction is a hold of the payment, which has its money."""
    held = {s.held_transaction_id for s in facts.submissions}
    return has_money(facts) and snapshot.transaction_id is not None and snapshot.transaction_id in held


def agrees(facts: PaymentFacts, booked: Receipt, snapshot: PaymentSnapshot) -> bool:
    """Whether a receipt stands as the event tells it; an amount that it does not tell is no contradiction."""
    return snapshot.amount in (None, booked.amount) and not is_taken_back(facts, booked)


def is_refunded(facts: PaymentFacts, refund: RefundSnapshot) -> bool:
    """Whether the gateway's own word for this refund is in the records."""
    return any(
        r.kind is ReceiptKind.REFUND
        and r.transaction_id == refund.transaction_id
        and Flag.BY_OPERATOR not in r.flags
        for r in facts.receipts
    )

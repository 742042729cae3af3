"""What answers carry: the facts they rest on, whose word they are, and the currency of a nought."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.rules_world import AT_WORK, NOW, SETTLE_S, facts, operation, payment, receipt
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Refunded
from vextrus_payments.payment import Intent
from vextrus_payments.plans import (
    Busy,
    ClaimTerms,
    Refused,
    ReserveAnswer,
    Reserved,
    ReserveFacts,
    ReserveOperation,
    Settled,
    Unresolved,
)
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    ReceiptKind,
)
from vextrus_payments.reserving import plan_claim, plan_reserve
from vextrus_payments.states import refund_outcome_of, refundable

K, Op, P = OperationKind, OperationState, PaymentState

TERMS = ClaimTerms(send_window_s=30, settle_s=SETTLE_S, one_refund_at_a_time=True)


# --- claims -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [K.EXECUTE, K.CAPTURE, K.VOID, K.REFUND])
@pytest.mark.parametrize("state", [Op.SUCCEEDED, Op.DECLINED, Op.CANCELLED])
def test_a_settled_operation_is_handed_over_with_its_payment(
    kind: OperationKind, state: OperationState
) -> None:
    known = operation(kind, state)
    before = facts(P.AUTHORIZED, known)
    assert plan_claim(before, (), known.operation_id, TERMS, NOW) == (None, Settled(before, known))


@pytest.mark.parametrize("state", [Op.SUBMITTING, Op.PENDING, Op.UNKNOWN])
def test_what_nobody_knows_is_handed_over_with_its_payment(state: OperationState) -> None:
    known = operation(K.EXECUTE, state)
    before = facts(P.AWAITING_PAYER, known)
    assert plan_claim(before, (), known.operation_id, TERMS, NOW) == (None, Unresolved(before, known))


@pytest.mark.parametrize(
    ("kind", "state", "submission_no"),
    [
        (K.EXECUTE, P.PAID, 1),
        (K.EXECUTE, P.CLOSED, 1),
        (K.EXECUTE, P.AWAITING_PAYER, 2),
        (K.CAPTURE, P.PAID, 1),
        (K.VOID, P.CLOSED, 1),
    ],
)
def test_what_its_payment_has_no_room_for_any_more_is_handed_over_with_it(
    kind: OperationKind, state: PaymentState, submission_no: int
) -> None:
    waiting = operation(kind, Op.RESERVED, submission_no=submission_no)
    before = facts(state, waiting)
    assert plan_claim(before, (), waiting.operation_id, TERMS, NOW) == (None, Settled(before, waiting))


@pytest.mark.parametrize(
    ("waits", "other"),
    [(K.CAPTURE, K.VOID), (K.VOID, K.CAPTURE), (K.REFUND, K.REFUND)],
)
def test_who_waits_for_another_operation_gets_the_facts_it_waits_on(
    waits: OperationKind, other: OperationKind
) -> None:
    waiting = operation(waits, Op.RESERVED, "waiting")
    live = operation(other, Op.SUBMITTING, "live", send_by=AT_WORK)
    before = facts(P.PAID if waits is K.REFUND else P.AUTHORIZED, waiting, live)
    assert plan_claim(before, (), "waiting", TERMS, NOW) == (None, Busy(1, before))


# --- reservations -------------------------------------------------------------------------------------------------


def reserve(before: PaymentFacts, kind: OperationKind, amount: Money | None) -> ReserveAnswer:
    wanted = ReserveOperation(
        tenant="acme", operation_id="new", kind=kind, payment_id="pay_1", digest="d", amount=amount
    )
    return plan_reserve(ReserveFacts(None, before, (), 1), wanted, NOW)[1]


@pytest.mark.parametrize("kind", [K.CAPTURE, K.VOID])
def test_what_is_taken_or_let_go_keeps_the_amount_it_was_asked_for(kind: OperationKind) -> None:
    held = facts(payment(P.AUTHORIZED, intent=Intent.AUTHORIZATION))
    answer = reserve(held, kind, Money("31"))
    assert isinstance(answer, Reserved)
    assert answer.operation.amount == Money("31")
    assert answer.operation.original_transaction_id is None


def test_nothing_left_to_give_back_is_said_of_the_amount() -> None:
    gone = receipt("R1", ReceiptKind.REFUND, amount=receipt().amount)
    answer = reserve(facts(P.PAID, receipts=(receipt(), gone)), K.REFUND, None)
    assert isinstance(answer, Refused)
    assert answer.field == "amount"


def test_a_nought_is_in_the_payments_currency() -> None:
    whole = payment(P.PAID, amount=Money("100", "JPY"), flags=frozenset({Flag.QUARANTINED}))
    paid = facts(whole, receipts=(receipt(amount=whole.amount),))
    assert refundable(paid) == Money("0", "JPY")
    assert refundable(paid).currency == "JPY"


# --- refunds ------------------------------------------------------------------------------------------------------


def outcome(refund: Operation, *given: object) -> Refunded:
    receipts = (receipt(), *(one for one in given if one is not None))
    answer = refund_outcome_of(facts(P.PAID, refund, receipts=receipts), refund)  # type: ignore[arg-type]
    assert isinstance(answer, Refunded)
    return answer


def test_a_refund_is_shown_by_its_own_receipt_alone() -> None:
    mine = operation(K.REFUND, Op.SUCCEEDED, "mine", transaction_id="R2")
    at = NOW - timedelta(minutes=3)
    adopted = receipt("R1", ReceiptKind.REFUND, amount=Money("7"))
    theirs = receipt("R2", ReceiptKind.REFUND, amount=Money("8"), operation_id="theirs")
    own = receipt("R3", ReceiptKind.REFUND, amount=Money("9"), operation_id="mine", occurred_at=at)
    shown = outcome(mine, adopted, theirs, own)
    assert (shown.amount, shown.transaction_id, shown.refunded_at) == (Money("9"), "R3", at)
    # Adopted before anybody knew whose it was: the same transaction, and nobody's operation.
    nobodys = replace(theirs, operation_id=None)
    assert outcome(mine, adopted, nobodys).transaction_id == "R2"


def test_a_refund_that_was_taken_back_shows_what_is_known() -> None:
    mine = operation(K.REFUND, Op.SUCCEEDED, "mine")
    shown = outcome(mine)
    assert (shown.amount, shown.transaction_id, shown.refunded_at) == (Money("40"), "", None)

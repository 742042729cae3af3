"""Guards that no table shows: balance, edges, whose answer it is, and what an operator may not say."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.plan_world import AMOUNT, ORDER_IDS
from tests.unit.rules_world import AT_WORK, NOW, OVER, SETTLE_S, facts, operation, payment, receipt
from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.events import EventKind
from vextrus_payments.judging import judge_refund, judge_snapshot
from vextrus_payments.ledger import EntryKind, LedgerEntry, Posting, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Review
from vextrus_payments.payment import Evidence, PaymentRequest, PaymentSession
from vextrus_payments.plans import (
    Busy,
    ClaimTerms,
    Conflict,
    Refused,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
    Same,
    SiblingLive,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    Seen,
    plan_lost,
    plan_quarantine,
    plan_refund_seen,
    plan_refunds_listed,
    plan_resolve,
    plan_session_opened,
    plan_snapshot,
    plan_withdraw,
)
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Flag,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
)
from vextrus_payments.reserving import plan_claim, plan_release, plan_reserve
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.states import (
    answered_by_operator,
    check_operation_edge,
    check_payment_edge,
    claim_is_over,
    execute_operation_id,
    gone_receipts,
    hold_operation_id,
    is_taken_back,
    late_operation_id,
    on_operators_word,
    operators_refund,
    outcome_of,
    payment_receipts,
    refund_outcome_of,
    refund_receipts,
    refundable_of,
)
from vextrus_payments.testing.time import EPOCH
from vextrus_payments.watching import watch_agreement_after

K, Op, P, S = OperationKind, OperationState, PaymentState, SnapshotState


# --- ledger -------------------------------------------------------------------------------------------------------


def entry(*postings: Posting) -> LedgerEntry:
    return LedgerEntry(
        id="e",
        kind=EntryKind.PAYMENT_RECEIVED,
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        payment_id="pay_1",
        merchant_reference=None,
        transaction_id="T1",
        postings=postings,
        recorded_at=EPOCH,
    )


def post(side: Side, amount: str, currency: str = "BDT") -> Posting:
    return Posting("account", side, Money(amount, currency))


def test_an_entry_balances_in_every_currency() -> None:
    debit, credit = Side.DEBIT, Side.CREDIT
    entry(post(debit, "1"), post(credit, "1"))
    entry(post(debit, "3"), post(credit, "1"), post(credit, "2"))
    entry(post(debit, "1"), post(credit, "1"), post(debit, "1", "USD"), post(credit, "1", "USD"))
    for wrong in (
        (),
        (post(debit, "1"),),
        (post(debit, "1"), post(credit, "1.01")),
        (post(debit, "1"), post(debit, "1")),
        (post(debit, "1"), post(credit, "1", "USD")),
        (post(debit, "1"), post(credit, "2"), post(debit, "2", "USD"), post(credit, "1", "USD")),
        (post(debit, "1"), post(credit, "1"), post(credit, "1", "USD")),
    ):
        with pytest.raises(ValueError, match="debits equal"):
            entry(*wrong)


@pytest.mark.parametrize("amount", ["0", "-0.01"])
def test_a_posting_is_above_zero(amount: str) -> None:
    with pytest.raises(ValueError, match="above zero"):
        post(Side.DEBIT, amount)
    post(Side.DEBIT, "0.01")


# --- states -------------------------------------------------------------------------------------------------------


def test_edges_that_are_not_in_the_tables_are_refused() -> None:
    for same in Op:
        check_operation_edge(same, same)
    for equal in P:
        check_payment_edge(equal, equal)
    with pytest.raises(StaleStateError, match="declined to reserved"):
        check_operation_edge(Op.DECLINED, Op.RESERVED)
    with pytest.raises(StaleStateError, match="closed to awaiting_payer"):
        check_payment_edge(P.CLOSED, P.AWAITING_PAYER)


def test_ids_that_the_store_finds_operations_by() -> None:
    assert execute_operation_id("pay_1", 2) == "execute/pay_1/2"
    assert late_operation_id("pay_1", "T1") == "late/pay_1/T1"
    captures = (operation(K.CAPTURE, Op.DECLINED, f"capture/pay_1/{n}") for n in (1, 3))
    found = facts(P.AUTHORIZED, *captures, operation(K.VOID, Op.DECLINED, "void/pay_1/7"))
    assert hold_operation_id(found, K.CAPTURE) == "capture/pay_1/4"
    assert hold_operation_id(found, K.VOID) == "void/pay_1/8"


def said(verdict: ResolutionVerdict, name: str = "refund/pay_1/1") -> Resolution:
    return Resolution(
        verdict=verdict, actor="a", reason="r", evidence=("e",), reviewed_version=1, at=NOW, operation_id=name
    )


def test_the_last_word_of_operators_on_this_very_operation_counts() -> None:
    made, not_made = ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE
    words = (said(not_made), said(made), said(not_made, "other"))
    found = facts(payment(P.PAID, resolutions=words), operation(K.REFUND, Op.SUCCEEDED))
    assert answered_by_operator(found, "refund/pay_1/1") is made
    assert answered_by_operator(found, "nobody") is None


@pytest.mark.parametrize(
    ("verdict", "state", "booked", "evidence", "kind", "wanted"),
    [
        (ResolutionVerdict.NOT_MADE, Op.DECLINED, False, True, K.REFUND, True),
        (ResolutionVerdict.NOT_MADE, Op.SUCCEEDED, False, True, K.REFUND, False),
        (ResolutionVerdict.NOT_MADE, Op.DECLINED, False, False, K.REFUND, False),
        (ResolutionVerdict.NOT_MADE, Op.DECLINED, False, True, K.CAPTURE, False),
        (ResolutionVerdict.MADE, Op.SUCCEEDED, True, True, K.REFUND, True),
        (ResolutionVerdict.MADE, Op.SUCCEEDED, False, True, K.REFUND, False),
        (None, Op.DECLINED, True, True, K.REFUND, False),
    ],
)
def test_a_refund_that_rests_on_an_operators_word(
    verdict: ResolutionVerdict | None,
    state: OperationState,
    booked: bool,
    evidence: bool,
    kind: OperationKind,
    wanted: bool,
) -> None:
    one = operation(kind, state, "refund/pay_1/1", evidence=(Evidence("baseline"),) if evidence else ())
    words = () if verdict is None else (said(verdict),)
    mine = receipt(
        "RF1", ReceiptKind.REFUND, operation_id="refund/pay_1/1", flags=frozenset({Flag.BY_OPERATOR})
    )
    other = receipt("RF2", ReceiptKind.REFUND, operation_id="other", flags=frozenset({Flag.BY_OPERATOR}))
    receipts = (receipt(), other, *((mine,) if booked else ()))
    found = facts(payment(P.PAID, resolutions=words), one, receipts=receipts)
    assert on_operators_word(found, one) is wanted
    assert operators_refund(found, one) == (mine if booked else None)


def test_what_was_taken_back_does_not_stand() -> None:
    """A reversal of ours takes back its own kind and id only; the gateway's own reversal is money that went."""
    back = receipt("TRX1", ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYMENT, amount=AMOUNT)
    theirs = receipt("TRX2", ReceiptKind.REVERSAL, amount=Money("5"), original_transaction_id="TRX2")
    found = facts(
        P.PAID, receipts=(receipt(), receipt("TRX2"), receipt("TRX1", ReceiptKind.REFUND), back, theirs)
    )
    taken, standing, refund = found.receipts[:3]
    assert [is_taken_back(found, r) for r in (taken, standing, refund)] == [True, False, False]
    assert payment_receipts(found) == (standing,)
    assert refund_receipts(found) == (refund,)
    assert gone_receipts(found) == (refund, theirs)
    assert refundable_of(found, standing) == Money("95")


def test_what_is_left_of_one_receipt() -> None:
    """What names another receipt counts against that; what names none counts against every one."""
    found = facts(
        P.PAID,
        operation(K.REFUND, Op.UNKNOWN, "a", amount=Money("1")),
        operation(K.REFUND, Op.RESERVED, "b", amount=Money("2"), original_transaction_id=None),
        operation(K.REFUND, Op.PENDING, "c", amount=Money("4"), original_transaction_id="TRX2"),
        operation(K.REFUND, Op.DECLINED, "d", amount=Money("8")),
        operation(K.REFUND, Op.UNKNOWN, "e", amount=Money("16")),
        operation(K.EXECUTE, Op.UNKNOWN, original_transaction_id="TRX1"),
        receipts=(
            receipt(),
            receipt("TRX2"),
            receipt("RF1", ReceiptKind.REFUND, amount=Money("16"), operation_id="e"),
            receipt("RF2", ReceiptKind.REFUND, amount=Money("32"), original_transaction_id="TRX2"),
        ),
    )
    assert refundable_of(found, found.receipts[0]) == Money("81")
    assert refundable_of(found, found.receipts[1]) == Money("62")


def test_a_refunds_outcome_is_read_off_its_own_receipt() -> None:
    one = operation(K.REFUND, Op.SUCCEEDED, transaction_id="RF2")
    others = receipt("RF1", ReceiptKind.REFUND, amount=Money("1"), operation_id="other")
    adopted = receipt("RF2", ReceiptKind.REFUND, amount=Money("2"), occurred_at=NOW)
    mine = receipt("RF3", ReceiptKind.REFUND, amount=Money("3"), operation_id=one.operation_id)
    for receipts, wanted in (((others, adopted), adopted), ((others, mine), mine)):
        told = refund_outcome_of(facts(P.PAID, one, receipts=(receipt(), *receipts)), one)
        assert (told.amount, told.transaction_id, told.refunded_at) == (  # type: ignore[union-attr]
            wanted.amount,
            wanted.transaction_id,
            wanted.occurred_at,
        )
    told = refund_outcome_of(facts(P.PAID, one, receipts=(receipt(), others)), one)
    assert (told.amount, told.transaction_id) == (Money("40"), "RF2")  # type: ignore[union-attr]


def test_a_claim_is_over_to_the_microsecond() -> None:
    assert claim_is_over(operation(K.VOID, Op.UNKNOWN, send_by=OVER), SETTLE_S, NOW)
    assert not claim_is_over(operation(K.VOID, Op.UNKNOWN, send_by=AT_WORK), SETTLE_S, NOW)
    assert not claim_is_over(operation(K.VOID, Op.UNKNOWN, send_by=None), SETTLE_S, NOW)


# --- watching -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", AgreementLife)
def test_an_agreement_is_looked_at_until_its_session_ends(state: AgreementLife) -> None:
    one = Agreement(
        tenant="acme",
        agreement_key="k",
        gateway="bkash",
        mode=Mode.LIVE,
        payer_reference="p",
        state=state,
        created_at=EPOCH,
        updated_at=EPOCH,
        version=1,
    )
    is_open = state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER)
    assert watch_agreement_after(one, NOW) == (EPOCH + timedelta(hours=24) if is_open else None)
    ends = replace(one, expires_at=NOW + timedelta(minutes=5))
    assert watch_agreement_after(ends, NOW) == (ends.expires_at if is_open else None)
    out = replace(ends, operations=(operation(K.AGREEMENT, Op.UNKNOWN), operation(K.AGREEMENT, Op.DECLINED)))
    assert watch_agreement_after(out, NOW) == NOW
    left = replace(one, operations=(operation(K.AGREEMENT, Op.RESERVED),))
    assert watch_agreement_after(left, NOW) == EPOCH + timedelta(minutes=3)


# --- reserving ----------------------------------------------------------------------------------------------------


def wanted(**changes: object) -> ReserveOperation:
    base = ReserveOperation(tenant="acme", operation_id="r", kind=K.REFUND, payment_id="pay_1", digest="d")
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_same_id_is_the_same_intent_or_a_conflict() -> None:
    before = facts(P.PAID, operation(K.REFUND, Op.UNKNOWN, "r"))
    known = before.operations[0]
    same = plan_reserve(ReserveFacts(before, before, (), 1), wanted(), NOW)
    assert same == (None, Same(before, known))
    other = plan_reserve(ReserveFacts(before, before, (), 1), wanted(digest="e"), NOW)
    assert other == (None, Conflict(known))
    missing, answer = plan_reserve(ReserveFacts(None, None, (), 1), wanted(), NOW)
    assert missing is None and isinstance(answer, Refused) and answer.field == "payment_id"


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("repeat", [True, False])
def test_another_payment_of_the_reference_stands_in_the_way(mode: Mode, repeat: bool) -> None:
    request = PaymentRequest(
        operation_id="o", gateway="bkash", amount=AMOUNT, merchant_reference="INV-1", allow_repeat=repeat
    )
    asked = ReservePayment(tenant="acme", payment_id="pay_9", mode=mode, request=request, order_ids=ORDER_IDS)
    plan, answer = plan_reserve(ReserveFacts(None, None, (facts(P.PAID),), 1), asked, NOW)
    if mode is Mode.LIVE and not repeat:
        assert (plan, answer) == (None, SiblingLive("pay_1", paid=True))
    else:
        assert plan is not None and plan.payment.payment_id == "pay_9"


def test_how_long_to_wait_for_a_claim() -> None:
    terms = ClaimTerms(send_window_s=10, settle_s=SETTLE_S, one_refund_at_a_time=True)
    for send_by, seconds in (
        (AT_WORK, 1),
        (NOW, 60),
        (NOW + timedelta(milliseconds=1), 61),
        (NOW + timedelta(seconds=10), 70),
    ):
        before = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.SUBMITTING, send_by=send_by))
        assert plan_claim(before, (), "execute/pay_1/1", terms, NOW) == (None, Busy(seconds, before))
    before = facts(
        P.PAID, operation(K.REFUND, Op.RESERVED), operation(K.REFUND, Op.UNKNOWN, "b", send_by=None)
    )
    assert plan_claim(before, (), "refund/pay_1/1", terms, NOW) == (None, Busy(60, before))
    plan, answer = plan_claim(before, (), "nobody", terms, NOW)
    assert plan is None and isinstance(answer, Refused) and answer.field == "operation_id"


def test_what_is_not_there_changes_nothing() -> None:
    before = facts(P.PAID)
    assert plan_release(before, "nobody", 0, NOW) is None
    assert plan_lost(before, "nobody", 0, NOW) is None
    shown = RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id="R",
        original_transaction_id="TRX1",
        amount=AMOUNT,
        raw_state="x",
    )
    assert plan_refund_seen(before, "nobody", shown, NOW) is None


# --- judging ------------------------------------------------------------------------------------------------------


def judged(shown: PaymentSnapshot, **changes: object) -> PaymentSnapshot:
    asked = {"gateway_reference": "G", "gateway_order_id": "O", "amount": AMOUNT, "mode": Mode.LIVE}
    return judge_snapshot(shown, **{**asked, **changes})  # type: ignore[arg-type]


def test_what_was_found_before_stays_found_and_the_first_report_is_kept() -> None:
    shown = PaymentSnapshot(
        state=S.REVIEW,
        gateway_reference="G",
        raw_state="x",
        gateway_order_id="O",
        amount=AMOUNT,
        transaction_id="T",
        mismatches=frozenset({Mismatch.CURRENCY}),
        reported=S.PAID,
    )
    again = judged(replace(shown, gateway_order_id="P"))
    assert again.mismatches == {Mismatch.CURRENCY, Mismatch.GATEWAY_ORDER_ID}
    assert (again.state, again.reported) == (S.REVIEW, S.PAID)
    nobody = replace(shown, state=S.UNRECOGNIZED, mismatches=frozenset({Mismatch.MODE, Mismatch.AMOUNT}))
    assert judged(nobody).mismatches == {Mismatch.MODE}
    assert judged(nobody).reported is S.PAID
    empty = replace(shown, state=S.INITIATED, mismatches=frozenset(), gateway_reference="")
    assert judged(empty, always_sent=frozenset()) == empty
    assert judged(empty, reported_mode=Mode.SANDBOX, always_sent=frozenset()).mismatches == {Mismatch.MODE}


@pytest.mark.parametrize("state", RefundState)
def test_a_refund_without_an_id_cannot_be_booked(state: RefundState) -> None:
    shown = RefundSnapshot(
        state=state, transaction_id="", original_transaction_id="T", amount=AMOUNT, raw_state="x"
    )
    answer = judge_refund(shown, original_transaction_id="T", amount=AMOUNT)
    bookable = state in (RefundState.COMPLETED, RefundState.PENDING)
    assert answer.mismatches == ({Mismatch.TRANSACTION_ID} if bookable else set())
    before = replace(shown, mismatches=frozenset({Mismatch.MODE}), reported=RefundState.PENDING, amount=None)
    again = judge_refund(before, original_transaction_id="U", amount=AMOUNT)
    assert again.reported is RefundState.PENDING
    assert again.mismatches >= {Mismatch.MODE, Mismatch.AMOUNT, Mismatch.ORIGINAL_TRANSACTION_ID}
    assert (Mismatch.TRANSACTION_ID in again.mismatches) is bookable


# --- what operators may not say -----------------------------------------------------------------------------------


def resolve(
    before: PaymentFacts,
    name: str | None,
    transaction_id: str | None = None,
    amount: Money | None = None,
    *,
    version: int = 7,
    siblings: tuple[PaymentFacts, ...] = (),
) -> object:
    made = ResolutionVerdict.CLEARED if name is None else ResolutionVerdict.MADE
    request = ResolveRequest(
        payment_id="pay_1",
        verdict=made,
        actor="op",
        reason="seen at the desk",
        evidence=("ticket",),
        reviewed_version=version,
        operation_id=name,
        transaction_id=transaction_id,
        amount=amount,
    )
    return plan_resolve(before, siblings, request, SETTLE_S, NOW)


def test_an_answer_that_does_not_fit_is_refused() -> None:
    unknown = operation(K.EXECUTE, Op.UNKNOWN)
    name = unknown.operation_id
    before = facts(P.AWAITING_PAYER, unknown, operation(K.VOID, Op.UNKNOWN))
    with pytest.raises(StaleStateError, match="version 6 and is at 7"):
        resolve(before, name, "T", AMOUNT, version=6)
    for transaction_id, amount, field in (
        ("T", None, "transaction_id"),
        (None, AMOUNT, "transaction_id"),
        ("T", Money("100", "USD"), "amount"),
    ):
        with pytest.raises(InvalidRequestError) as wrong:
            resolve(before, name, transaction_id, amount)
        assert wrong.value.field == field
    for transaction_id, amount in (("T", None), (None, AMOUNT), ("T", AMOUNT)):
        with pytest.raises(InvalidRequestError) as wrong:
            resolve(before, "void/pay_1/1", transaction_id, amount)
        assert wrong.value.field == "transaction_id"
    with pytest.raises(InvalidRequestError) as wrong:
        resolve(before, "nobody", "T", AMOUNT)
    assert wrong.value.field == "operation_id"
    with pytest.raises(ConflictError, match="not quarantined"):
        resolve(before, None)
    with pytest.raises(ConflictError) as early:
        resolve(facts(P.AWAITING_PAYER, replace(unknown, send_by=AT_WORK)), name, "T", AMOUNT)
    assert (early.value.code, early.value.operation_id) == ("still_at_work", name)


def test_a_transaction_is_not_claimed_for_two_operations() -> None:
    one, name = operation(K.REFUND, Op.UNKNOWN), "refund/pay_1/1"
    mine = receipt("R", ReceiptKind.REFUND, operation_id=name)
    for booked in (mine, replace(mine, operation_id=None)):
        plan = resolve(facts(P.PAID, one, receipts=(receipt(), booked)), name, "R", Money("40"))
        assert not plan.receipts and plan.operations[0].state is Op.SUCCEEDED  # type: ignore[attr-defined]
    back = receipt("R", ReceiptKind.REVERSAL, reverses=ReceiptKind.REFUND)
    for others in ((replace(mine, operation_id="other"),), (mine, back)):
        with pytest.raises(ConflictError) as taken:
            resolve(facts(P.PAID, one, receipts=(receipt(), *others)), name, "R", Money("40"))
        assert taken.value.code == "receipt_elsewhere"
    execute = operation(K.EXECUTE, Op.UNKNOWN)
    before = facts(P.PAID, execute, receipts=(receipt("T", operation_id="other"),))
    plan = resolve(before, execute.operation_id, "T", AMOUNT)
    assert not plan.receipts  # type: ignore[attr-defined]


def test_an_operators_money_beside_other_money_is_a_duplicate() -> None:
    execute = operation(K.EXECUTE, Op.UNKNOWN)
    sibling = facts(payment(P.PAID, payment_id="pay_2", version=3))
    before = facts(P.AWAITING_PAYER, execute)
    plan = resolve(before, execute.operation_id, "T", AMOUNT, siblings=(sibling,))
    assert plan.guards == (("pay_2", 3),) and plan.whole_reference  # type: ignore[attr-defined]
    assert plan.receipts[0].flags == {Flag.DUPLICATE, Flag.BY_OPERATOR}  # type: ignore[attr-defined]
    assert plan.payment.flags == {Flag.DUPLICATE}  # type: ignore[attr-defined]


def test_only_what_never_left_is_withdrawn() -> None:
    before = facts(P.PAID, operation(K.REFUND, Op.RESERVED), operation(K.REFUND, Op.RESERVED, "out", fence=1))
    plan = plan_withdraw(before, "refund/pay_1/1", NOW)
    assert plan is not None and plan.expected_version == 7 and not plan.events
    assert plan.operations == (
        replace(
            before.operations[0],
            state=Op.CANCELLED,
            updated_at=NOW,
            reason=Reason(code=ReasonCode.PAYMENT_CANCELLED),
        ),
    )
    assert (plan.payment.updated_at, plan.watch_at) == (NOW, EPOCH + timedelta(minutes=3))
    assert plan_withdraw(facts(P.PAID, operation(K.REFUND, Op.CANCELLED, "c")), "c", NOW) is None
    for state in (Op.SUBMITTING, Op.PENDING, Op.UNKNOWN, Op.SUCCEEDED, Op.DECLINED):
        with pytest.raises(ConflictError, match=f"refund is {state.value} and has been let out"):
            plan_withdraw(facts(P.PAID, operation(K.REFUND, state, "s", fence=0)), "s", NOW)
    with pytest.raises(ConflictError) as late:
        plan_withdraw(before, "out", NOW)
    assert (late.value.code, late.value.operation_id, late.value.payment_id) == ("let_out", "out", "pay_1")


def test_a_session_that_is_told_twice_or_of_a_settled_initialize_moves_nothing_back() -> None:
    session = PaymentSession(
        payment_id="pay_1",
        gateway="bkash",
        mode=Mode.LIVE,
        merchant_reference="INV-1",
        amount=AMOUNT,
        gateway_order_id="INV-1-1",
        gateway_reference="NEW",
        checkout_url="https://gateway.example/pay",
        expires_at=NOW,
        submission_no=1,
    )
    for state, of, moved, ends in (
        (Op.SUCCEEDED, P.CREATED, (), P.CREATED),
        (Op.SUBMITTING, P.CREATED, (Op.SUCCEEDED,), P.AWAITING_PAYER),
        (Op.SUBMITTING, P.CLOSED, (Op.SUCCEEDED,), P.CLOSED),
        (Op.SUBMITTING, P.PAID, (Op.SUCCEEDED,), P.PAID),
    ):
        plan = plan_session_opened(facts(of, operation(K.INITIALIZE, state, "o")), "o", session, NOW)
        assert plan is not None
        assert tuple(o.state for o in plan.operations) == moved
        assert (plan.payment.state, plan.submissions[0].gateway_reference) == (ends, "NEW")
        assert (
            plan_session_opened(facts(of, operation(K.INITIALIZE, state, "o")), "?", session, NOW) is not None
        )


def test_a_payment_whose_only_receipt_was_taken_back_is_for_a_person() -> None:
    back = receipt("TRX1", ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYMENT, amount=AMOUNT)
    told = outcome_of(facts(P.PAID, receipts=(receipt(), back)))
    assert isinstance(told, Review) and told.payment_id == "pay_1" and told.amount is None


def test_what_was_taken_back_and_is_shown_again_is_for_a_person() -> None:
    """It cannot be booked twice, so nobody but a person can put it right."""
    back = receipt("TRX1", ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYMENT, amount=AMOUNT)
    before = facts(P.PAID, operation(K.EXECUTE, Op.UNKNOWN), receipts=(receipt(), back))
    shown = PaymentSnapshot(
        state=S.PAID, gateway_reference="GR1", raw_state="x", amount=AMOUNT, transaction_id="TRX1"
    )
    seen = Seen(submission_no=1, snapshot=shown, asked_at=NOW, settle_s=SETTLE_S, absence_is_proof=True)
    plan = plan_snapshot(before, (), seen, NOW)
    assert plan is not None and not plan.receipts
    assert plan.payment.flags == {Flag.QUARANTINED}
    news = next(event for event in plan.events if event.kind is EventKind.QUARANTINED)
    assert (news.amount, news.transaction_id) == (AMOUNT, "TRX1")


def test_quarantine_is_announced_once() -> None:
    before = facts(
        payment(P.AWAITING_PAYER, flags=frozenset({Flag.QUARANTINED})), operation(K.EXECUTE, Op.SUBMITTING)
    )
    assert plan_quarantine(before, NOW, "T") is None


@pytest.mark.parametrize(
    ("state", "fence", "amount", "original", "declined"),
    [
        (Op.SUBMITTING, 2, "61", "TRX1", True),
        (Op.SUBMITTING, 2, "60", "TRX1", False),
        (Op.SUBMITTING, 1, "61", "TRX1", False),
        (Op.UNKNOWN, 2, "61", "TRX1", False),
        (Op.SUBMITTING, 2, "61", None, True),
        (Op.SUBMITTING, 2, "60", None, False),
        (Op.SUBMITTING, 2, None, "TRX1", False),
    ],
)
def test_a_refund_for_which_no_room_is_left_does_not_leave(
    state: OperationState, fence: int, amount: str | None, original: str | None, declined: bool
) -> None:
    money = None if amount is None else Money(amount)
    going = operation(K.REFUND, state, "r", amount=money, original_transaction_id=original)
    listed = RefundSnapshot(
        state=RefundState.COMPLETED,
        transaction_id="L1",
        original_transaction_id="TRX1",
        amount=Money("40"),
        raw_state="x",
    )
    plan = plan_refunds_listed(facts(P.PAID, going), (listed,), NOW, leaving=("r", fence))
    assert plan is not None
    assert [o.state for o in plan.operations] == ([Op.DECLINED] if declined else [])

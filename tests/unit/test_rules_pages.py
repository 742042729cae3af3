"""Pages whose payer completes them: when they are looked at, and what one is watched by whose opening was cut off."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.rules_world import NOW, SETTLE_S, facts, operation, payment, receipt, submission
from vextrus_payments.events import EventKind
from vextrus_payments.halfway import halfway
from vextrus_payments.payment import Evidence, PaymentSession
from vextrus_payments.plans import Plan
from vextrus_payments.recording import (
    Seen,
    plan_initialize_abandoned,
    plan_initialize_lost,
    plan_refund_doubted,
    plan_session_opened,
    plan_snapshot,
)
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
    SubmissionState,
)
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

AGAIN_S = 900
LATER = NOW + timedelta(hours=1)
"""When the submission of these tests ends (rules_world): what facts alone would wait for."""


def session(number: int = 1) -> PaymentSession:
    before = payment()
    return PaymentSession(
        payment_id="pay_1",
        gateway=before.gateway,
        mode=before.mode,
        merchant_reference=before.merchant_reference,
        amount=before.amount,
        gateway_order_id=f"INV-1-{number}",
        gateway_reference=f"GR{number}",
        checkout_url="https://gateway.example/page",
        expires_at=LATER,
        submission_no=number,
    )


def opening(state: OperationState, *evidence: Evidence) -> PaymentFacts:
    """Somebody is at opening a page, and no answer has come yet."""
    begun = operation(OperationKind.INITIALIZE, state, evidence=evidence)
    blank = submission(
        state=SubmissionState.CREATED, gateway_reference=None, checkout_url=None, expires_at=None
    )
    return facts(PaymentState.CREATED, begun, submissions=(blank,))


def shown(state: SnapshotState, number: int = 1, **more: Any) -> Seen:
    seen = PaymentSnapshot(
        state=state, gateway_reference=f"GR{number}", raw_state="word", gateway_order_id=f"INV-1-{number}"
    )
    return Seen(
        submission_no=number,
        snapshot=replace(seen, **more),
        asked_at=NOW,
        settle_s=SETTLE_S,
        absence_is_proof=True,
        again_s=AGAIN_S,
    )


def planned(plan: Plan | None) -> Plan:
    assert plan is not None
    return plan


# --- opened ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first_look_s", "watch_at"), [(15, NOW + timedelta(seconds=15)), (None, LATER)])
def test_a_page_is_looked_at_as_soon_as_its_gateway_wants(first_look_s: int | None, watch_at: object) -> None:
    before = opening(OperationState.SUBMITTING)
    plan = planned(
        plan_session_opened(before, "initialize/pay_1/1", session(), NOW, first_look_s=first_look_s)
    )
    assert plan.watch_at == watch_at
    assert plan.payment.state is PaymentState.AWAITING_PAYER


def test_a_look_that_is_due_sooner_is_not_put_off() -> None:
    plan = planned(
        plan_session_opened(
            opening(OperationState.SUBMITTING), "initialize/pay_1/1", session(), NOW, first_look_s=7200
        )
    )
    assert plan.watch_at == LATER


# --- cut off --------------------------------------------------------------------------------------------------------

OURS = halfway("INV-1-1", "GR-half")


@pytest.mark.parametrize(
    ("evidence", "reference"),
    [
        ((OURS,), "GR-half"),
        ((halfway("INV-1-1", "GR-earlier"), OURS), "GR-half"),
        ((OURS, Evidence("something else")), "GR-half"),
        ((halfway("INV-1-9", "GR-other"),), None),
        ((), None),
    ],
)
def test_a_page_whose_opening_was_cut_off_is_watched_by_what_its_checkpoint_knows(
    evidence: tuple[Evidence, ...], reference: str | None
) -> None:
    before = opening(OperationState.SUBMITTING, *evidence)
    plan = planned(plan_initialize_abandoned(before, NOW))
    (withdrawn,) = plan.operations
    assert withdrawn.state is OperationState.RESERVED
    assert [one.gateway_reference for one in plan.submissions] == ([reference] if reference else [])
    assert all(replace(one, gateway_reference=None) == before.submission for one in plan.submissions)

    lost = planned(plan_initialize_lost(before, "initialize/pay_1/1", 2, "INV-1-2", NOW))
    old, fresh = lost.submissions
    assert (old.state, old.gateway_reference) == (SubmissionState.SUPERSEDED, reference)
    assert (fresh.submission_no, fresh.gateway_order_id, fresh.gateway_reference) == (2, "INV-1-2", None)
    assert lost.payment.submission_no == 2


def test_a_reference_that_is_known_is_not_taken_from_a_checkpoint() -> None:
    before = opening(OperationState.SUBMITTING, OURS)
    known = replace(before, submissions=(replace(before.submission, gateway_reference="GR1"),))
    assert planned(plan_initialize_abandoned(known, NOW)).submissions == ()


# --- called over, and earlier pages ---------------------------------------------------------------------------------


def test_a_page_that_is_called_over_closes_the_payment_and_is_looked_at_again() -> None:
    plan = planned(plan_snapshot(facts(), (), shown(SnapshotState.DECLINED), NOW))
    assert plan.payment.state is PaymentState.CLOSED
    (page,) = plan.submissions
    assert (page.submission_no, page.state) == (1, SubmissionState.SUPERSEDED)
    assert replace(page, state=SubmissionState.OPEN) == facts().submission
    assert plan.watch_at == NOW + timedelta(seconds=AGAIN_S)


def test_a_page_that_is_called_over_after_its_end_is_looked_at_once_more() -> None:
    before = facts(submissions=(submission(expires_at=NOW),))
    plan = planned(plan_snapshot(before, (), shown(SnapshotState.DECLINED), NOW))
    assert plan.watch_at == NOW + timedelta(seconds=AGAIN_S)


def test_where_what_is_over_is_over_nobody_looks_again() -> None:
    seen = replace(shown(SnapshotState.DECLINED), again_s=None)
    plan = planned(plan_snapshot(facts(), (), seen, NOW))
    assert plan.payment.state is PaymentState.CLOSED
    assert plan.watch_at is None


@pytest.mark.parametrize(
    ("earlier", "watch_at"),
    [
        (submission(1, state=SubmissionState.SUPERSEDED), NOW + timedelta(seconds=AGAIN_S)),
        (submission(1, state=SubmissionState.SUPERSEDED, gateway_reference=None), None),
        (submission(1, state=SubmissionState.SUPERSEDED, expires_at=NOW), None),
        (submission(1, state=SubmissionState.CLOSED), None),
    ],
)
def test_money_on_one_page_is_no_reason_to_look_away_from_another(earlier: object, watch_at: object) -> None:
    before = facts(
        payment(submission_no=2),
        submissions=(earlier, submission(2)),  # type: ignore[arg-type]
    )
    paid = shown(SnapshotState.PAID, 2, amount=before.payment.amount, transaction_id="TRX1", occurred_at=NOW)
    plan = planned(plan_snapshot(before, (), paid, NOW))
    assert plan.payment.state is PaymentState.PAID
    assert plan.watch_at == watch_at


def paid_page(transaction_id: str = "TRX1", **more: Any) -> Seen:
    return shown(
        SnapshotState.PAID,
        amount=payment().amount,
        transaction_id=transaction_id,
        occurred_at=NOW,
        **more,
    )


def quarantine_of(plan: Plan) -> tuple[object, ...]:
    """What the person is told who has to look; empty where nobody has to."""
    told = [event for event in plan.events if event.kind is EventKind.QUARANTINED]
    assert (Flag.QUARANTINED in plan.payment.flags) == bool(told)
    return tuple((event.operation_id, event.amount, event.transaction_id) for event in told)


@pytest.mark.parametrize(
    ("page", "flags", "wrong"),
    [
        (1, frozenset(), True),
        (2, frozenset(), False),  # it came by another page: that is money of its own, late
        (1, frozenset({Flag.BY_OPERATOR}), False),  # a person's word stands until the gateway's comes
    ],
)
def test_a_second_transaction_on_a_page_that_is_paid_is_for_a_person(
    page: int, flags: frozenset[Flag], wrong: bool
) -> None:
    booked = receipt("TRX1", submission_no=page, flags=flags)
    before = facts(payment(PaymentState.PAID), receipts=(booked,), submissions=(submission(), submission(2)))
    plan = planned(plan_snapshot(before, (), paid_page("TRX2"), NOW))
    assert bool(plan.receipts) is not wrong
    if wrong:
        assert quarantine_of(plan) == ((None, before.payment.amount, "TRX2"),)


# --- money that went back -------------------------------------------------------------------------------------------


def test_money_that_is_gone_again_when_it_is_first_seen_is_booked_and_for_a_person() -> None:
    plan = planned(plan_snapshot(facts(), (), paid_page(given_back=True), NOW))
    assert [one.transaction_id for one in plan.receipts] == ["TRX1"]
    assert len(quarantine_of(plan)) == 1
    assert EventKind.PAID not in {event.kind for event in plan.events}


REFUND_OUT = operation(OperationKind.REFUND, OperationState.UNKNOWN)
REFUND_OVER = operation(OperationKind.REFUND, OperationState.DECLINED)
EXECUTE_OUT = operation(OperationKind.EXECUTE, OperationState.UNKNOWN)
REFUNDED = receipt("RTRX1", ReceiptKind.REFUND)


@pytest.mark.parametrize(
    ("out", "booked", "last_refund", "restored", "known"),
    [
        (None, (), "RTRX1", False, False),
        (REFUND_OVER, (), "RTRX1", False, False),
        (EXECUTE_OUT, (), "RTRX1", False, False),
        (REFUND_OUT, (), "RTRX1", False, True),
        (None, (REFUNDED,), "RTRX1", False, True),
        (None, (REFUNDED,), None, False, True),
        # Over a backup the very refund that is shown has to be booked, and none of ours may be out.
        (None, (REFUNDED,), "RTRX1", True, True),
        (None, (REFUNDED,), "RTRX2", True, False),
        (None, (), "RTRX1", True, False),
        (REFUND_OUT, (REFUNDED,), "RTRX1", True, False),
        (REFUND_OUT, (), "RTRX1", True, False),
    ],
)
def test_what_went_back_is_ours_or_for_a_person(
    out: Operation | None,
    booked: tuple[Receipt, ...],
    last_refund: str | None,
    restored: bool,
    known: bool,
) -> None:
    before = facts(payment(PaymentState.PAID), out, receipts=(receipt("TRX1"), *booked))
    seen = replace(paid_page(given_back=True, last_refund=last_refund), restored=restored)
    plan = plan_snapshot(before, (), seen, NOW)
    if known:
        assert plan is None or quarantine_of(plan) == ()
        return
    assert quarantine_of(planned(plan)) == ((None, before.payment.amount, "TRX1"),)
    assert planned(plan).receipts == ()


LEAVING = operation(OperationKind.REFUND, OperationState.SUBMITTING, "r-1", original_transaction_id="TRX1")


def doubted(before: PaymentFacts, name: str = "r-1", fence: int = 2) -> Plan | None:
    return plan_refund_doubted(before, name, fence, NOW)


def test_a_refund_beside_money_that_went_back_unaccounted_for_is_not_sent() -> None:
    before = facts(payment(PaymentState.PAID), LEAVING)
    plan = planned(doubted(before))
    assert plan.operations == (replace(LEAVING, state=OperationState.UNKNOWN, updated_at=NOW),)
    (opened,) = (event for event in plan.events if event.kind is EventKind.UNKNOWN_OPENED)
    assert (opened.before, opened.after, opened.operation_id, opened.amount) == (
        OperationState.SUBMITTING,
        OperationState.UNKNOWN,
        "r-1",
        LEAVING.amount,
    )
    assert quarantine_of(plan) == (("r-1", LEAVING.amount, None),)


def test_a_refund_goes_that_is_not_doubted() -> None:
    looked = Resolution(
        verdict=ResolutionVerdict.CLEARED,
        actor="a person",
        reason="looked into the portal",
        evidence=("a ticket",),
        reviewed_version=6,
        at=NOW,
    )
    spoken = replace(looked, verdict=ResolutionVerdict.MADE)
    paid = payment(PaymentState.PAID)
    ours = replace(REFUNDED, original_transaction_id="TRX1")
    others = replace(REFUNDED, original_transaction_id="TRX9")
    assert doubted(facts(paid, LEAVING, receipts=(receipt("TRX1"), ours))) is None
    assert doubted(facts(paid, LEAVING, receipts=(receipt("TRX1"), others))) is not None
    assert doubted(facts(replace(paid, resolutions=(looked,)), LEAVING)) is None
    assert doubted(facts(replace(paid, resolutions=(spoken,)), LEAVING)) is not None
    assert doubted(facts(paid, LEAVING), fence=1) is None
    assert doubted(facts(paid, LEAVING), name="r-2") is None
    assert doubted(facts(paid, replace(LEAVING, state=OperationState.UNKNOWN))) is None

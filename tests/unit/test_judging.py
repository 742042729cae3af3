"""judging.py and meanings.py: an answer is believed only as far as it fits what was asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    OutcomeUnknownError,
    UnreadableAnswerError,
)
from vextrus_payments.judging import ALWAYS_SENT, judge_refund, judge_snapshot
from vextrus_payments.meanings import ErrorClass, ErrorMeaning, error_for
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.wire import Safety

ASKED = Money("1250.50", "BDT")
PAID = PaymentSnapshot(
    state=SnapshotState.PAID,
    gateway_reference="REF1",
    raw_state="Completed",
    gateway_order_id="INV-1",
    amount=ASKED,
    transaction_id="TRX1",
)
MONEY = (SnapshotState.PAID, SnapshotState.AUTHORIZED)
NO_MONEY = tuple(state for state in SnapshotState if state not in (*MONEY, SnapshotState.REVIEW))


def judge(
    snapshot: PaymentSnapshot,
    *,
    reported_mode: Mode | None = None,
    always_sent: frozenset[Mismatch] = ALWAYS_SENT,
) -> PaymentSnapshot:
    return judge_snapshot(
        snapshot,
        gateway_reference="REF1",
        gateway_order_id="INV-1",
        amount=ASKED,
        mode=Mode.SANDBOX,
        reported_mode=reported_mode,
        always_sent=always_sent,
    )


@pytest.mark.parametrize("state", list(SnapshotState))
def test_what_fits_stays_as_it_is(state: SnapshotState) -> None:
    if state is SnapshotState.REVIEW:
        return
    snapshot = replace(PAID, state=state)
    assert judge(snapshot) is snapshot


@pytest.mark.parametrize("state", MONEY)
@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"gateway_reference": "REF2"}, Mismatch.GATEWAY_REFERENCE),
        ({"gateway_reference": ""}, Mismatch.GATEWAY_REFERENCE),
        ({"gateway_order_id": "INV-2"}, Mismatch.GATEWAY_ORDER_ID),
        ({"gateway_order_id": None}, Mismatch.GATEWAY_ORDER_ID),
        ({"amount": Money("1250.49", "BDT")}, Mismatch.AMOUNT),
        ({"amount": None}, Mismatch.AMOUNT),
        ({"amount": Money("1250.50", "USD")}, Mismatch.CURRENCY),
        ({"transaction_id": None}, Mismatch.TRANSACTION_ID),
        ({"transaction_id": ""}, Mismatch.TRANSACTION_ID),
    ],
)
def test_money_that_moved_but_not_as_asked_is_a_review(
    state: SnapshotState, change: dict[str, object], mismatch: Mismatch
) -> None:
    judged = judge(replace(PAID, state=state, **change))  # type: ignore[arg-type]
    assert judged.state is SnapshotState.REVIEW
    assert judged.mismatches == {mismatch}
    assert judged.reported is state
    assert judged.raw_state == "Completed"


def test_the_other_mode_is_a_mismatch() -> None:
    assert judge(PAID, reported_mode=Mode.SANDBOX).state is SnapshotState.PAID
    assert judge(PAID, reported_mode=Mode.LIVE).mismatches == {Mismatch.MODE}


def test_what_a_gateway_does_not_always_send_may_be_absent() -> None:
    bare = replace(PAID, gateway_reference="", gateway_order_id=None, amount=None)
    assert judge(bare, always_sent=frozenset()) is bare
    held = replace(PAID, state=SnapshotState.AUTHORIZED, transaction_id=None)
    assert judge(held, always_sent=ALWAYS_SENT - {Mismatch.TRANSACTION_ID}) is held


def test_but_present_it_must_fit_and_paid_needs_an_id_to_be_booked_under() -> None:
    odd = replace(PAID, gateway_order_id="INV-2", amount=Money("1", "BDT"), transaction_id=None)
    judged = judge(odd, always_sent=frozenset())
    assert judged.mismatches == {Mismatch.GATEWAY_ORDER_ID, Mismatch.AMOUNT, Mismatch.TRANSACTION_ID}


@pytest.mark.parametrize("state", NO_MONEY)
@pytest.mark.parametrize(
    "change", [{"gateway_reference": "REF2"}, {"gateway_order_id": "INV-2"}, {"gateway_reference": ""}]
)
def test_an_answer_about_somebody_elses_payment_proves_nothing_about_ours(
    state: SnapshotState, change: dict[str, str]
) -> None:
    judged = judge(replace(PAID, state=state, transaction_id=None, **change))  # type: ignore[arg-type]
    assert judged.state is SnapshotState.UNRECOGNIZED
    assert judged.reported is state
    assert judged.mismatches


@pytest.mark.parametrize("state", NO_MONEY)
def test_where_no_money_moved_absent_parts_and_amounts_do_not_matter(state: SnapshotState) -> None:
    snapshot = replace(PAID, state=state, transaction_id=None, gateway_order_id=None, amount=None)
    assert judge(snapshot) is snapshot


def test_judging_twice_changes_nothing_more() -> None:
    once = judge(replace(PAID, amount=Money("1", "BDT")))
    twice = judge(once)
    assert twice.state is SnapshotState.REVIEW
    assert twice.reported is SnapshotState.PAID
    assert twice.mismatches == once.mismatches


@given(
    reference=st.sampled_from(["REF1", "REF2", ""]),
    order=st.sampled_from(["INV-1", "INV-2", None]),
    minor=st.sampled_from([125050, 125051, 1, None]),
    currency=st.sampled_from(["BDT", "USD"]),
    transaction=st.sampled_from(["TRX1", "", None]),
    mode=st.sampled_from([None, *Mode]),
)
def test_paid_survives_only_when_everything_fits(
    reference: str,
    order: str | None,
    minor: int | None,
    currency: str,
    transaction: str | None,
    mode: Mode | None,
) -> None:
    amount = None if minor is None else Money.from_minor(minor, currency)
    judged = judge(
        replace(
            PAID,
            gateway_reference=reference,
            gateway_order_id=order,
            amount=amount,
            transaction_id=transaction,
        ),
        reported_mode=mode,
    )
    fits = (reference, order, amount, transaction) == (
        "REF1",
        "INV-1",
        ASKED,
        "TRX1",
    ) and mode is not Mode.LIVE
    assert (judged.state is SnapshotState.PAID) == fits
    assert judged.state in (SnapshotState.PAID, SnapshotState.REVIEW)
    assert bool(judged.mismatches) != fits


# --- refunds --------------------------------------------------------------------------------------------------

REFUNDED = RefundSnapshot(
    state=RefundState.COMPLETED,
    transaction_id="RFD1",
    original_transaction_id="TRX1",
    amount=ASKED,
    raw_state="Completed",
)


def test_a_refund_that_fits_stays_as_it_is() -> None:
    assert judge_refund(REFUNDED, original_transaction_id="TRX1", amount=ASKED) is REFUNDED


@pytest.mark.parametrize(
    ("change", "mismatch"),
    [
        ({"original_transaction_id": "TRX2"}, Mismatch.ORIGINAL_TRANSACTION_ID),
        ({"original_transaction_id": ""}, Mismatch.ORIGINAL_TRANSACTION_ID),
        ({"amount": Money("1", "BDT")}, Mismatch.AMOUNT),
        ({"amount": None}, Mismatch.AMOUNT),
        ({"amount": Money("1250.50", "USD")}, Mismatch.CURRENCY),
        ({"transaction_id": ""}, Mismatch.TRANSACTION_ID),
    ],
)
def test_a_refund_that_is_not_the_one_asked_for_proves_nothing(
    change: dict[str, object], mismatch: Mismatch
) -> None:
    judged = judge_refund(replace(REFUNDED, **change), original_transaction_id="TRX1", amount=ASKED)  # type: ignore[arg-type]
    assert judged.state is RefundState.UNRECOGNIZED
    assert judged.mismatches == {mismatch}
    assert judged.reported is RefundState.COMPLETED


def test_an_amount_that_a_refund_answer_need_not_carry_may_be_absent() -> None:
    bare = replace(REFUNDED, amount=None)
    assert judge_refund(bare, original_transaction_id="TRX1", amount=ASKED, amount_always_sent=False) is bare


# --- meanings -------------------------------------------------------------------------------------------------


def test_a_decline_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        ErrorMeaning(kind=ErrorClass.CUST, error=DeclinedError)


@pytest.mark.parametrize(
    ("error", "safety", "effect"),
    [
        (DeclinedError, Safety.ONCE, Effect.REFUSED),
        (DeclinedError, Safety.READ, Effect.REFUSED),
        (AuthenticationRejectedError, Safety.ONCE, Effect.REFUSED),
        (OutcomeUnknownError, Safety.ONCE, Effect.UNKNOWN),
        (OutcomeUnknownError, Safety.IDEMPOTENT, Effect.UNKNOWN),
        (OutcomeUnknownError, Safety.READ, Effect.NONE),
        (OutcomeUnknownError, Safety.DISPOSABLE, Effect.NONE),
        (UnreadableAnswerError, Safety.ONCE, Effect.UNKNOWN),
        (GatewayBlockedError, Safety.ONCE, Effect.UNKNOWN),
        (GatewayError, Safety.ONCE, Effect.UNKNOWN),
    ],
)
def test_the_effect_is_computed_for_this_very_answer(
    error: type[GatewayError], safety: Safety, effect: Effect
) -> None:
    meaning = ErrorMeaning(
        kind=ErrorClass.UNK, error=error, reason=ReasonCode.UNKNOWN_ERROR, advice_en="Look it up."
    )
    made = error_for(
        meaning, what="It said 2003.", code="2003", safety=safety, http_status=200, step="execute"
    )
    assert type(made) is error
    assert made.effect is effect
    assert (made.code, made.http_status, made.step, made.next_step) == ("2003", 200, "execute", "Look it up.")


def test_a_decline_carries_reason_code_words_and_finality() -> None:
    meaning = ErrorMeaning(
        kind=ErrorClass.STATE,
        error=DeclinedError,
        reason=ReasonCode.INVALID_PAYMENT,
        final=True,
        look_up_first=True,
    )
    made = error_for(meaning, what="No.", code="2056", safety=Safety.ONCE, own_words={"bn": "না"})
    assert isinstance(made, DeclinedError)
    assert made.final
    assert made.look_up_first
    assert made.reason.gateway_code == "2056"
    assert made.reason.text("bn") == "না"
    assert made.next_step == DeclinedError.default_next_step

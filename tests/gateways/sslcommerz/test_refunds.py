"""Refunds by hand: sent once, pending on acceptance, settled by the query alone (dossier §1.8)."""

from typing import Any

import pytest

from tests.gateways.nagad.hand import Drive
from tests.gateways.sslcommerz.hand import (
    BANK,
    PASSWORD,
    REFUND_REF,
    STORE,
    accepted,
    answer,
    api,
    query_of,
    refund_call,
    refund_is,
)
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    NotSentError,
    OutcomeUnknownError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz import refunds
from vextrus_payments.money import Money
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.wire import Safety


def refund(*script: Any, **changes: Any) -> RefundSnapshot:
    found: RefundSnapshot = Drive(*script).run(refunds.refund_payment(api(), refund_call(**changes)))
    return found


def look(*script: Any, **changes: Any) -> RefundSnapshot:
    found: RefundSnapshot = Drive(*script).run(
        refunds.look_up_refund(api(), refund_call(**changes), REFUND_REF)
    )
    return found


def test_a_refund_is_one_get_with_a_number_of_ours_and_is_marked_once() -> None:
    drive = Drive(accepted())
    snapshot = drive.run(refunds.refund_payment(api(), refund_call()))
    send = drive.sends[0]
    assert send.safety is Safety.ONCE and send.request.method == "GET"
    query = query_of(send)
    assert query == {
        "bank_tran_id": BANK,
        "refund_trans_id": refunds.refund_number(refund_call()),
        "refund_amount": "250.00",
        "refund_remarks": "Returned goods",
        "store_id": STORE,
        "store_passwd": PASSWORD,
        "v": "1",
        "format": "json",
    }
    assert PASSWORD not in repr(send) and "?" not in repr(send.request)
    assert snapshot.state is RefundState.PENDING and snapshot.transaction_id == REFUND_REF
    assert snapshot.original_transaction_id == BANK and snapshot.amount == Money("250.00")


def test_the_number_is_the_operations_own_and_fits() -> None:
    numbers = {refunds.refund_number(refund_call(operation_id=f"order-{i}/refund")) for i in range(500)}
    assert len(numbers) == 500 and all(len(n) <= m.REFUND_TRANS_ID_MAX and n.isalnum() for n in numbers)
    assert refunds.refund_number(refund_call()) == refunds.refund_number(refund_call(reason="other", sku="x"))
    # Two shops on one store may name their operations alike.
    for other in ({"transaction_id": "bank2"}, {"gateway_reference": "MFRGGZDFMZTWQ2LKNNWG23TPOB"}):
        assert refunds.refund_number(refund_call(**other)) != refunds.refund_number(refund_call())


@pytest.mark.parametrize("status", ["success", "processing", "refunded", "something new"])
def test_whatever_begins_one_leaves_it_pending_until_the_query_tells(status: str) -> None:
    assert refund(accepted(status)).state is RefundState.PENDING


@pytest.mark.parametrize(
    ("reply", "kind", "effect"),
    [
        (accepted("failed", refund_ref_id="", errorReason="Amount exceeds"), DeclinedError, Effect.REFUSED),
        (accepted("failed", refund_ref_id=None), DeclinedError, Effect.REFUSED),
        (answer({"APIConnect": "FAILED"}), AuthenticationRejectedError, Effect.REFUSED),
        (answer({"APIConnect": "INACTIVE"}), AuthenticationRejectedError, Effect.REFUSED),
        (answer({"APIConnect": "INVALID_REQUEST"}), DeclinedError, Effect.REFUSED),
        # Contradictions and everything else: nobody can tell.
        (accepted("failed"), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(APIConnect="FAILED"), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(APIConnect="FAILED", refund_ref_id=""), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(APIConnect=None), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(refund_ref_id=""), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted("processing", refund_ref_id=None), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(refund_ref_id="a b"), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(bank_tran_id="another"), UnreadableAnswerError, Effect.UNKNOWN),
        (accepted(status=None), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(accepted().body, 500), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(accepted().body, 302), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(accepted("failed", refund_ref_id="").body, 403), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(b"<html>Forbidden</html>", 403), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(b"<html>ok</html>"), UnreadableAnswerError, Effect.UNKNOWN),
        (answer(b""), UnreadableAnswerError, Effect.UNKNOWN),
    ],
)
def test_every_other_answer(reply: Any, kind: type[Exception], effect: Effect) -> None:
    error = Drive(reply).fails(refunds.refund_payment(api(), refund_call()))
    assert type(error) is kind and error.effect is effect
    assert PASSWORD not in f"{error} {error!r} {error.context}"
    if isinstance(error, DeclinedError):
        assert error.final and error.reason.code is ReasonCode.REFUND_NOT_ALLOWED


def test_an_id_that_is_booked_already_is_no_new_refund() -> None:
    call = refund_call(known_refunds=frozenset({REFUND_REF}))
    error = Drive(accepted()).fails(refunds.refund_payment(api(), call))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    "lost", [AnswerLostError("gone"), AnswerTimeoutError("late"), NotSentError("not sent")]
)
def test_a_lost_answer_is_handed_on_and_nothing_is_sent_again(lost: Exception) -> None:
    drive = Drive(lost)
    assert drive.fails(refunds.refund_payment(api(), refund_call())) is lost
    assert drive.steps == ["refund"]


# --- the query --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (refund_is("refunded", refunded_on="2026-11-25 09:00:00"), RefundState.COMPLETED),
        (refund_is("processing"), RefundState.PENDING),
        (refund_is("cancelled"), RefundState.DECLINED),
        (refund_is("failed", errorReason="Bank refused"), RefundState.DECLINED),
        (refund_is("refunded", bank_tran_id=None), RefundState.COMPLETED),
        (refund_is("refunded", bank_tran_id="another"), RefundState.UNRECOGNIZED),
        (refund_is("cancelled", bank_tran_id=""), RefundState.UNRECOGNIZED),
        (refund_is("failed", bank_tran_id="", errorReason="Unknown Refund Ref ID"), RefundState.UNRECOGNIZED),
        (refund_is("INVALID"), RefundState.UNRECOGNIZED),
        (refund_is("success"), RefundState.UNRECOGNIZED),
    ],
)
def test_how_it_ended(reply: Any, state: RefundState) -> None:
    snapshot = look(reply)
    assert snapshot.state is state and snapshot.transaction_id == REFUND_REF


def test_the_query_asks_by_its_id_alone_and_survives_a_time_of_zeros() -> None:
    drive = Drive(refund_is("refunded", initiated_on="0000-00-00 00:00:00"))
    snapshot = drive.run(refunds.look_up_refund(api(), refund_call(), REFUND_REF))
    assert snapshot.occurred_at is None and snapshot.amount == Money("250.00")
    assert drive.sends[0].safety is Safety.READ
    assert set(query_of(drive.sends[0])) == {"refund_ref_id", "store_id", "store_passwd", "v", "format"}
    done = look(refund_is("refunded", refunded_on="2026-11-25 09:00:00"))
    assert done.occurred_at is not None and done.occurred_at.isoformat() == "2026-11-25T03:00:00+00:00"


@pytest.mark.parametrize(
    "reply",
    [
        answer({"APIConnect": "FAILED", "status": "INVALID"}),
        answer({"APIConnect": "DONE"}),
        answer(b"<html>"),
        refund_is("refunded", refund_ref_id="another"),
        answer(refund_is("refunded").body, 500),
    ],
)
def test_a_query_without_a_usable_answer_settles_nothing(reply: Any) -> None:
    error = Drive(reply).fails(refunds.look_up_refund(api(), refund_call(), REFUND_REF))
    assert error.effect is not Effect.UNKNOWN and not getattr(error, "final", False)


def test_a_resumed_refund_is_only_asked_for_and_without_its_id_unknown() -> None:
    error = Drive().fails(refunds.resumed(api(), refund_call()))
    assert isinstance(error, OutcomeUnknownError) and error.effect is Effect.UNKNOWN
    drive = Drive(refund_is("processing"))
    seen = drive.run(refunds.resumed(api(), refund_call(accepted_as=REFUND_REF)))
    assert seen.state is RefundState.PENDING and drive.steps == ["refund_query"]

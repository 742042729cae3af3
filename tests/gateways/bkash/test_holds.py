"""Capture and void: sent once, a repeat answered by a look-up, the void's two spellings."""

from typing import Any

import pytest

from tests.gateways.bkash.hand import (
    AMOUNT,
    API,
    CALL,
    NO_IDS,
    PAYMENT_ID,
    TRX_ID,
    answer,
    code,
    golden,
    play,
)
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
)
from vextrus_payments.gateways.bkash import holds as h
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash.config import VoidPath
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import Mismatch, SnapshotState
from vextrus_payments.wire import Safety, WireResponse

CAPTURED = golden("capture", paymentID=PAYMENT_ID, trxID=TRX_ID)
VOIDED = golden("void", paymentId=PAYMENT_ID, trxID=TRX_ID)
ROUTE = golden("gateway_wrong_route")


def shown(state: str, **changes: Any) -> WireResponse:
    body = {"paymentID": PAYMENT_ID, "amount": "15", "merchantInvoice": "INV-1", "transactionStatus": state}
    return golden("query_completed", **{**body, **changes})


NO_DEFINITE_ANSWER: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "lost": AnswerLostError,
    "9999": code("9999"),
    "503": code("503"),
    "unknown code": code("1111"),
    "500": golden("gateway_internal"),
    "forbidden": golden("gateway_forbidden"),
    "message only": answer({"message": "x"}),
    "half a body": answer(b'{"statusCode":"0000"'),
    "another state": golden("capture", paymentID=PAYMENT_ID, transactionStatus="Pending"),
    "another payment": golden("capture", paymentID="TR0011other1766000000999"),
    "unreadable amount": golden("capture", paymentID=PAYMENT_ID, amount="1,5"),
}


def test_capture_is_one_call() -> None:
    played = play(h.capture_payment(API, CALL), CAPTURED)
    assert played.order == ["capture"]
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/payment/confirm/capture"]
    assert played.sends[0].safety is Safety.ONCE
    assert (played.result.state, played.result.transaction_id) == (SnapshotState.PAID, TRX_ID)
    assert played.result.amount == AMOUNT, "without partial captures it is the whole hold"


def test_a_captured_amount_that_is_told_is_judged() -> None:
    body = golden("capture", paymentID=PAYMENT_ID, trxID=TRX_ID, amount="14", currency="BDT")
    played = play(h.capture_payment(API, CALL), body)
    assert (played.result.state, played.result.mismatches) == (SnapshotState.REVIEW, {Mismatch.AMOUNT})


@pytest.mark.parametrize("trx_id", NO_IDS)
def test_captured_under_an_id_that_is_none_is_for_review(trx_id: str) -> None:
    played = play(h.capture_payment(API, CALL), golden("capture", paymentID=PAYMENT_ID, trxID=trx_id))
    assert (played.result.state, played.result.transaction_id) == (SnapshotState.REVIEW, None)
    assert played.result.mismatches == {Mismatch.TRANSACTION_ID}


def test_void_is_one_call() -> None:
    snapshot, path = play(h.void_payment(API, CALL), VOIDED).result
    assert (snapshot.state, path) == (SnapshotState.VOIDED, m.PATH_VOID)


@pytest.mark.parametrize("fault", [*NO_DEFINITE_ANSWER, "2119", "2062", "2056", "2117", "2068", "2069"])
def test_no_definite_answer_or_a_repeat_is_answered_by_a_look_up(fault: str) -> None:
    broken = NO_DEFINITE_ANSWER.get(fault) or code(fault)
    captured = play(h.capture_payment(API, CALL), broken, shown("Completed"))
    assert captured.order == ["capture", "capture.look_up"]
    assert captured.result.state is SnapshotState.PAID
    voided = play(h.void_payment(API, CALL), broken, shown("Cancelled"))
    assert voided.order == ["void", "void.look_up"]
    assert voided.result[0].state is SnapshotState.VOIDED


@pytest.mark.parametrize("fault", [*NO_DEFINITE_ANSWER, "2119", "2062"])
@pytest.mark.parametrize(
    "seen",
    [
        shown("Authorized"),
        shown("Pending Authorized"),
        AnswerTimeoutError,
        StorageError,
        NotSentError,
        code("2002"),
        golden("query_initiated", paymentID="TR0011other1766000000999"),
    ],
    ids=str,
)
def test_what_the_look_up_does_not_settle_stays_unknown(fault: str, seen: Any) -> None:
    broken = NO_DEFINITE_ANSWER.get(fault) or code(fault)
    for call in (h.capture_payment(API, CALL), h.void_payment(API, CALL)):
        played = play(call, broken, seen)
        assert played.raised.effect is Effect.UNKNOWN
        assert isinstance(played.raised, OutcomeUnknownError | GatewayBlockedError)
        assert [send.safety for send in played.sends].count(Safety.ONCE) == 1


@pytest.mark.parametrize("fault", ["timeout", "2119", "2056"])
def test_a_capture_that_lost_against_a_void_is_a_final_no(fault: str) -> None:
    broken = NO_DEFINITE_ANSWER.get(fault) or code(fault)
    for seen in (shown("Cancelled"), shown("Cancelled", trxID=None), shown("Voided")):
        error = play(h.capture_payment(API, CALL), broken, seen).raised
        assert isinstance(error, DeclinedError)
        assert (error.final, error.effect) == (True, Effect.REFUSED)
        assert error.reason.code is ReasonCode.PAYMENT_CANCELLED
    error = play(h.void_payment(API, CALL), broken, shown("Completed")).raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.reason.code) == (True, ReasonCode.INVALID_PAYMENT)


def test_completed_after_a_void_is_decided_by_the_look_up() -> None:
    completed = golden("void", paymentId=PAYMENT_ID, trxID=TRX_ID, transactionStatus="Completed")
    snapshot, _ = play(h.void_payment(API, CALL), completed, shown("Cancelled")).result
    assert snapshot.state is SnapshotState.VOIDED
    error = play(h.void_payment(API, CALL), completed, shown("Completed")).raised
    assert isinstance(error, DeclinedError)


@pytest.mark.parametrize(
    ("number", "seen", "final"),
    [("2056", "Authorized", False), ("2056", "Initiated", False), ("2056", "Expired", True)],
)
def test_an_invalid_state_is_what_the_look_up_shows(number: str, seen: str, final: bool) -> None:
    error = play(h.capture_payment(API, CALL), code(number), shown(seen)).raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.look_up_first, error.code) == (final, False, number)


@pytest.mark.parametrize(
    "fault", [NotSentError, golden("gateway_too_many"), code("2041"), code("2001")], ids=str
)
def test_what_did_nothing_is_not_looked_up(fault: Any) -> None:
    for call in (h.capture_payment(API, CALL), h.void_payment(API, CALL)):
        played = play(call, fault)
        assert len(played.sends) == 1
        assert played.raised.effect in (Effect.NONE, Effect.REFUSED)


# ----------------------------------------------------------------------------------------- the void's two spellings


def test_an_unknown_route_is_tried_under_its_other_spelling() -> None:
    played = play(h.void_payment(API, CALL), ROUTE, VOIDED)
    assert played.paths == [f"/v1.2.0-beta{m.PATH_VOID}", f"/v1.2.0-beta{m.PATH_VOID_ALTERNATIVE}"]
    assert played.result[1] == m.PATH_VOID_ALTERNATIVE


def test_the_configured_spelling_goes_first() -> None:
    paths = VoidPath.CONFIRM_CAPTURE_VOID.paths
    played = play(h.void_payment(API, CALL, paths), golden("gateway_missing_token"), VOIDED)
    assert played.paths == [f"/v1.2.0-beta{path}" for path in paths]
    assert played.result[1] == m.PATH_VOID


def test_a_route_that_exists_under_no_name_did_nothing() -> None:
    played = play(h.void_payment(API, CALL), ROUTE, ROUTE)
    assert type(played.raised) is GatewayError
    assert (played.raised.code, played.raised.effect) == ("wrong_route", Effect.NONE)


@pytest.mark.parametrize(
    "fault",
    [AnswerTimeoutError, golden("gateway_forbidden"), code("9999"), answer({"message": "Forbidden"}, 404)],
    ids=str,
)
def test_anything_but_an_unknown_route_is_not_tried_again(fault: Any) -> None:
    played = play(h.void_payment(API, CALL), fault, AnswerTimeoutError)
    assert [send.safety for send in played.sends] == [Safety.ONCE, Safety.READ]
    assert played.raised.effect is Effect.UNKNOWN


def test_the_driver_throws_an_unknown_route_and_it_is_known_by_its_code() -> None:
    thrown = GatewayError("No such route.", code="wrong_route", effect=Effect.NONE)
    other = AuthenticationRejectedError("No.")
    assert play(h.void_payment(API, CALL), thrown, VOIDED).result[1] == m.PATH_VOID_ALTERNATIVE
    assert play(h.void_payment(API, CALL), other).raised is other

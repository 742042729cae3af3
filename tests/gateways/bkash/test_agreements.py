"""Agreements: create, execute once, status, cancel."""

from typing import Any

import pytest

from tests.gateways.bkash.hand import API, answer, code, golden, play
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import agreements as a
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import AgreementState
from vextrus_payments.wire import Safety

PAYMENT_ID = "TR0000aB3dE5f1766000000123"
AGREEMENT_ID = "TokenizedMerchant01AB12CD31766000000123"
SHOWN = golden("query_agreement")
WAITING = golden("query_agreement", agreementStatus="Initiated", agreementID=None)


def test_create_sends_mode_0000_and_nothing_of_a_payment() -> None:
    played = play(a.create_agreement(API, "01770618575", "https://m.example/cb"), golden("create_0000"))
    assert played.bodies == [
        {"mode": "0000", "payerReference": "01770618575", "callbackURL": "https://m.example/cb"}
    ]
    assert played.sends[0].safety is Safety.DISPOSABLE
    assert played.result.reference == PAYMENT_ID
    assert played.result.checkout_url


@pytest.mark.parametrize(
    "changes", [{"bkashURL": None}, {"paymentID": None}, {"agreementStatus": "Completed"}]
)
def test_a_created_agreement_that_is_no_use(changes: dict[str, Any]) -> None:
    error = play(
        a.create_agreement(API, "x", "https://m.example/cb"), golden("create_0000", **changes)
    ).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE


def test_execute_is_one_call() -> None:
    played = play(a.execute_agreement(API, PAYMENT_ID), golden("execute_agreement"))
    assert played.order == ["agreement_execute"]
    assert played.sends[0].safety is Safety.ONCE
    found = played.result
    assert (found.state, found.agreement_id) == (AgreementState.ACTIVE, AGREEMENT_ID)
    assert found.payer_account == "01700000000"
    assert AGREEMENT_ID not in repr(found)


NO_DEFINITE_ANSWER: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "lost": AnswerLostError,
    "9999": code("9999"),
    "unknown code": code("1111"),
    "500": golden("gateway_internal"),
    "no id": golden("execute_agreement", agreementID=None),
    "another payment": golden("execute_agreement", paymentID="TR0000other1766000000999"),
    "still initiated": golden("execute_agreement", agreementStatus="Initiated"),
    "2116": code("2116"),
    "2117": code("2117"),
}


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
def test_one_query_can_settle_it(fault: str) -> None:
    played = play(a.execute_agreement(API, PAYMENT_ID), NO_DEFINITE_ANSWER[fault], SHOWN)
    assert played.order == ["agreement_execute", "agreement_execute.look_up"]
    assert played.result.agreement_id == AGREEMENT_ID


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
@pytest.mark.parametrize(
    "shown",
    [WAITING, AnswerTimeoutError, StorageError, code("2002"), golden("query_completed"),
     golden("query_agreement", agreementID=None)],
    ids=str,
)  # fmt: skip
def test_what_it_does_not_settle_stays_unknown(fault: str, shown: Any) -> None:
    error = play(a.execute_agreement(API, PAYMENT_ID), NO_DEFINITE_ANSWER[fault], shown).raised
    assert isinstance(error, OutcomeUnknownError)
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("number", "shown", "final"),
    [
        ("2056", WAITING, False),
        ("2055", WAITING, False),
        ("2052", golden("query_agreement", agreementStatus="Cancelled"), True),
    ],
)
def test_a_state_that_is_looked_up(number: str, shown: Any, final: bool) -> None:
    error = play(a.execute_agreement(API, PAYMENT_ID), code(number), shown).raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.look_up_first) == (final, False)


def test_a_payer_who_is_not_done_declines_nothing() -> None:
    played = play(a.execute_agreement(API, PAYMENT_ID), code("2054"))
    assert isinstance(played.raised, DeclinedError)
    assert not played.raised.final
    assert played.raised.reason.code is ReasonCode.PAYER_NOT_FINISHED


def test_a_no_is_final_and_not_looked_up() -> None:
    error = play(a.execute_agreement(API, PAYMENT_ID), code("2037")).raised
    assert isinstance(error, DeclinedError) and error.final


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ("Completed", AgreementState.ACTIVE),
        ("Initiated", AgreementState.INITIATED),
        ("Cancelled", AgreementState.CANCELLED),
        ("Paused", AgreementState.UNRECOGNIZED),
    ],
)
def test_status(raw: str, state: AgreementState) -> None:
    body = golden("agreement_status", agreementID=AGREEMENT_ID, agreementStatus=raw)
    played = play(a.agreement_status(API, AGREEMENT_ID), body)
    assert (played.result.state, played.result.raw_state) == (state, raw)
    assert played.bodies == [{"agreementID": AGREEMENT_ID}]


def test_status_of_another_agreement_is_no_answer() -> None:
    error = play(a.agreement_status(API, "A1"), golden("agreement_status")).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE


def test_a_refused_status_is_never_final() -> None:
    error = play(a.agreement_status(API, "A1"), code("2051")).raised
    assert isinstance(error, DeclinedError) and not error.final


def test_cancel_and_already_cancelled_are_the_same_success() -> None:
    first = play(a.cancel_agreement(API, AGREEMENT_ID), golden("agreement_cancel"))
    assert first.sends[0].safety is Safety.IDEMPOTENT
    assert first.result.state is AgreementState.CANCELLED
    again = play(a.cancel_agreement(API, AGREEMENT_ID), code("2053")).result
    assert (again.state, again.agreement_id) == (AgreementState.CANCELLED, AGREEMENT_ID)


@pytest.mark.parametrize(
    ("fault", "kind", "effect"),
    [
        (code("2051"), DeclinedError, Effect.REFUSED),
        (code("9999"), OutcomeUnknownError, Effect.UNKNOWN),
        (golden("agreement_cancel", agreementStatus="Completed"), UnreadableAnswerError, Effect.UNKNOWN),
        (golden("agreement_cancel", agreementID="A2"), UnreadableAnswerError, Effect.UNKNOWN),
        (answer({"message": "x"}), UnreadableAnswerError, Effect.UNKNOWN),
        (AnswerTimeoutError, AnswerTimeoutError, Effect.UNKNOWN),
        (NotSentError, NotSentError, Effect.NONE),
    ],
)
def test_a_cancel_that_fails(fault: Any, kind: type[GatewayError], effect: Effect) -> None:
    error = play(a.cancel_agreement(API, AGREEMENT_ID), fault).raised
    assert (type(error), error.effect) == (kind, effect)

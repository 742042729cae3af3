"""The refund recipe under every fault: sent once, behind a durable baseline, known by what was not there before."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.bkash.hand import (
    API,
    NO_IDS,
    PAYMENT_ID,
    REFUND,
    ROOT,
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
    InvalidRequestError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import refunds as r
from vextrus_payments.gateways.bkash.steps import Api, RefundApi
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import RefundState
from vextrus_payments.wire import Safety, WireResponse

V1 = Api(ROOT, Mode.SANDBOX, RefundApi.V1)
NONE_YET = golden("refund_status_v2_none")
OURS = "CLI30REF01"


def listed(*refunds: tuple[str, Any], state: str = "Completed") -> WireResponse:
    return golden(
        "refund_status_v2",
        originalTrxId=TRX_ID,
        refundTransactions=[
            {"refundTrxId": trx, "refundTransactionStatus": state, "refundAmount": amount}
            for trx, amount in refunds
        ],
    )


def done(**changes: Any) -> WireResponse:
    return golden(
        "refund_v2", **{"originalTrxId": TRX_ID, "refundTrxId": OURS, "refundAmount": "5.00", **changes}
    )


NO_DEFINITE_ANSWER: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "lost": AnswerLostError,
    "9999": code("9999"),
    "2003": code("2003"),
    "503": code("503"),
    "unknown code": code("1111"),
    "unknown v2 code": answer({"internalCode": "new_thing", "externalCode": "2999"}, 400),
    "message only": answer({"message": "Internal server error"}),
    "schema refusal of v2": golden("refund_v2_no_sku"),
    "500": golden("gateway_internal"),
    "504": golden("gateway_timed_out"),
    "forbidden": golden("gateway_forbidden"),
    "a page": answer(b"<html></html>"),
    "half a body": answer(b'{"refundTrxId":'),
    "without the refund's id": done(refundTrxId=None),
    "an id that is none": done(refundTrxId="CLI\x1b[2J\nREFUNDED"),
    "an id beyond ASCII": done(refundTrxId="\u202eCLI30"),
    "an id without end": done(refundTrxId="A" * 256),
    "without a state": done(refundTransactionStatus=None),
    "another state": done(refundTransactionStatus="Pending"),
    "another amount": done(refundAmount="6"),
    "no amount": done(refundAmount=None),
    "unreadable amount": done(refundAmount="5,00"),
    "another payment's": done(originalTrxId="CLH30OTHER"),
    "another currency": done(currency="USD"),
}


# -------------------------------------------------------------------------------------------------- the good road


def test_baseline_checkpoint_refund_in_this_order() -> None:
    played = play(r.refund_payment(API, REFUND), listed(("CLI30OLD01", "5")), done())
    assert played.order == ["refund.baseline", "checkpoint", "refund"]
    assert played.paths == [
        "/v2/tokenized-checkout/refund/payment/status",
        "/v2/tokenized-checkout/refund/payment/transaction",
    ]
    assert [send.safety for send in played.sends] == [Safety.READ, Safety.ONCE]
    assert played.bodies[1] == {
        "paymentId": PAYMENT_ID,
        "trxId": TRX_ID,
        "refundAmount": "5.00",
        "sku": "sku-1",
        "reason": "returned",
    }
    assert dict(played.checkpoints[0].evidence.data) == {
        "transaction_id": TRX_ID,
        "amount_minor": 500,
        "api": "v2",
        "listed": ["CLI30OLD01"],
        "refunds": [
            {
                "transaction_id": "CLI30OLD01",
                "original_transaction_id": TRX_ID,
                "state": "completed",
                "amount_minor": 500,
                "currency": "BDT",
                "occurred_at": None,
            }
        ],
    }
    assert (played.result.state, played.result.transaction_id) == (RefundState.COMPLETED, OURS)
    assert played.result.amount == Money("5", "BDT")


def test_the_v1_route_is_one_url_for_both_calls() -> None:
    shown = golden("refund_v1", originalTrxID=TRX_ID, refundTrxID=OURS, amount="5")
    played = play(r.refund_payment(V1, REFUND), golden("refund_status_v1_none"), shown)
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/payment/refund"] * 2
    assert played.bodies[0] == {"paymentID": PAYMENT_ID, "trxID": TRX_ID}
    assert played.bodies[1]["amount"] == "5.00"
    assert played.result.transaction_id == OURS
    assert played.result.charge is not None


def test_a_root_with_a_prefix_keeps_it() -> None:
    api = Api("http://127.0.0.1:1/bkash/v1.2.0-beta", Mode.SANDBOX)
    played = play(r.refund_status(api, REFUND), NONE_YET)
    assert played.sends[0].request.url == (
        "http://127.0.0.1:1/bkash/v2/tokenized-checkout/refund/payment/status"
    )


# --------------------------------------------------------------------------------------- the baseline is a must


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (AnswerTimeoutError, NotSentError),
        (AnswerLostError, NotSentError),
        (code("9999"), NotSentError),
        (code("2002"), NotSentError),
        (code("1111"), NotSentError),
        (golden("gateway_internal"), NotSentError),
        (golden("gateway_forbidden"), NotSentError),
        (golden("gateway_wrong_route"), NotSentError),
        (answer(b"<html>"), NotSentError),
        (answer({"originalTrxId": TRX_ID, "refundTransactions": "none"}), NotSentError),
        (answer({"originalTrxId": TRX_ID, "refundTransactions": [{"refundAmount": "5"}]}), NotSentError),
        (answer({"originalTrxId": TRX_ID, "refundTransactions": [{"refundTrxId": "A"}]}), NotSentError),
        (listed(("A", "1,500")), NotSentError),
        (listed(("A", "5"), ("A", "6")), NotSentError),
        (golden("refund_status_v2_none", originalTrxId="CLH30OTHER"), NotSentError),
        (answer({"statusCode": "0000"}), NotSentError),
        (NotSentError, NotSentError),
        (ThrottledError, ThrottledError),
        (AuthenticationRejectedError, AuthenticationRejectedError),
        (golden("gateway_too_many"), ThrottledError),
        (StorageError, StorageError),
    ],
    ids=str,
)
def test_without_a_baseline_nothing_is_refunded(fault: Any, kind: type[Exception]) -> None:
    played = play(r.refund_payment(API, REFUND), fault)
    assert type(played.raised) is kind
    assert played.raised.effect is Effect.NONE
    assert played.order == ["refund.baseline"]


def test_the_reason_for_not_sending_is_kept() -> None:
    error = play(r.refund_payment(API, REFUND), code("2077")).raised
    assert (error.code, error.context["cause_type"]) == ("2077", "DeclinedError")
    assert "not sent" in str(error) and "No money moved" in str(error)


def test_a_checkpoint_that_fails_sends_nothing() -> None:
    played = play(r.refund_payment(API, REFUND), NONE_YET, at_checkpoint=StorageError("full"))
    assert type(played.raised) is StorageError
    assert played.order == ["refund.baseline", "checkpoint"]


# ---------------------------------------------------------------------------------------- no definite answer


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
def test_one_new_entry_of_our_amount_is_ours(fault: str) -> None:
    before, after = listed(("CLI30OLD01", "5")), listed(("CLI30OLD01", "5"), (OURS, 5))
    played = play(r.refund_payment(API, REFUND), before, NO_DEFINITE_ANSWER[fault], after)
    assert played.order == ["refund.baseline", "checkpoint", "refund", "refund.look_up"]
    assert played.sends[3 - 1].safety is Safety.READ
    assert (played.result.transaction_id, played.result.state) == (OURS, RefundState.COMPLETED)


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
@pytest.mark.parametrize(
    "after",
    [
        NONE_YET,
        listed(("CLI30OLD01", "5")),
        listed(("CLI30OLD01", "5"), ("N1", "6")),
        listed(("CLI30OLD01", "5"), ("N1", "5"), ("N2", "5.0")),
        listed(("CLI30OLD01", "5"), (OURS, "5"), state="Pending"),
        answer({"originalTrxId": TRX_ID, "refundTransactions": [{"refundTrxId": OURS}]}),
        answer({"originalTrxId": TRX_ID, "refundTransactions": {}}),
        AnswerTimeoutError,
        NotSentError,
        StorageError,
        ThrottledError,
        code("2077"),
        golden("gateway_internal"),
    ],
    ids=str,
)
def test_none_or_several_or_no_list_stays_unknown(fault: str, after: Any) -> None:
    before = listed(("CLI30OLD01", "5"))
    played = play(r.refund_payment(API, REFUND), before, NO_DEFINITE_ANSWER[fault], after)
    error = played.raised
    assert error.effect is Effect.UNKNOWN
    assert isinstance(error, OutcomeUnknownError | GatewayBlockedError)
    assert [send.safety for send in played.sends].count(Safety.ONCE) == 1


def test_an_answer_that_names_an_earlier_refund_is_no_answer() -> None:
    before = listed((OURS, "5"))
    error = play(r.refund_payment(API, REFUND), before, done(), before).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.UNKNOWN


def test_a_refund_that_is_booked_already_is_not_ours_even_where_the_baseline_lagged() -> None:
    again = replace(REFUND, known_refunds=frozenset({"BOOKED"}))
    late = listed(("BOOKED", "5"))
    assert play(r.refund_payment(API, again), NONE_YET, AnswerLostError, late).raised.effect is Effect.UNKNOWN
    named = done(refundTrxId="BOOKED")
    assert play(r.refund_payment(API, again), NONE_YET, named, late).raised.effect is Effect.UNKNOWN
    both = listed(("BOOKED", "5"), (OURS, "5"))
    assert play(r.refund_payment(API, again), NONE_YET, AnswerLostError, both).result.transaction_id == OURS
    assert play(r.look_up_refund(API, again, baseline(listed=[])), late).result is None


def test_on_v1_a_status_shaped_answer_is_no_refund() -> None:
    none = golden("refund_status_v1_none")
    error = play(r.refund_payment(V1, REFUND), none, none, none).raised
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize("trx_id", NO_IDS)
def test_on_v1_an_id_that_is_none_proves_no_refund(trx_id: str) -> None:
    none = golden("refund_status_v1_none")
    shown = golden("refund_v1", originalTrxID=TRX_ID, refundTrxID=trx_id, amount="5")
    played = play(r.refund_payment(V1, REFUND), none, shown, none)
    assert played.raised.effect is Effect.UNKNOWN


def test_on_v1_the_one_shown_refund_is_compared() -> None:
    old = golden("refund_v1", originalTrxID=TRX_ID, refundTrxID="OLD", amount="5")
    new = golden("refund_v1", originalTrxID=TRX_ID, refundTrxID=OURS, amount="5")
    assert play(r.refund_payment(V1, REFUND), old, AnswerLostError, new).result.transaction_id == OURS
    assert play(r.refund_payment(V1, REFUND), old, AnswerLostError, old).raised.effect is Effect.UNKNOWN


def test_on_v1_a_list_is_read_too() -> None:
    body = {
        "statusCode": "0000",
        "refundTransactions": [
            {"refundTrxID": "A", "refundAmount": "5.00", "transactionStatus": "Completed"}
        ],
    }
    shown = play(r.refund_status(V1, REFUND), answer(body)).result
    assert [(one.transaction_id, one.state) for one in shown] == [("A", RefundState.COMPLETED)]


# ------------------------------------------------------------------------------------------------ a definite no


@pytest.mark.parametrize(
    ("number", "final", "reason"),
    [
        ("2072", True, ReasonCode.REFUND_AMOUNT_INVALID),
        ("2071", True, ReasonCode.REFUND_WINDOW_CLOSED),
        ("2073", True, ReasonCode.INVALID_REQUEST),
        ("2074", True, ReasonCode.REFUND_NOT_ALLOWED),
        ("2081", True, ReasonCode.MERCHANT_NOT_PERMITTED),
        ("2127", False, ReasonCode.REFUND_NOT_ALLOWED),
    ],
)
def test_a_refused_refund_asks_nothing_more(number: str, final: bool, reason: ReasonCode) -> None:
    refused = answer({"internalCode": "x", "externalCode": number, "errorMessageEn": "No"}, 400)
    played = play(r.refund_payment(API, REFUND), NONE_YET, refused)
    error = played.raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.reason.code, error.effect) == (final, reason, Effect.REFUSED)
    assert len(played.sends) == 2


@pytest.mark.parametrize("number", ["2034", "2029"])
def test_a_no_about_the_past_is_compared_with_the_list(number: str) -> None:
    found = play(r.refund_payment(API, REFUND), NONE_YET, code(number), listed((OURS, "5")))
    assert found.result.transaction_id == OURS
    for after in (NONE_YET, AnswerTimeoutError, StorageError):
        error = play(r.refund_payment(API, REFUND), NONE_YET, code(number), after).raised
        assert isinstance(error, DeclinedError) and error.final and not error.look_up_first


@pytest.mark.parametrize(
    "fault", [NotSentError, golden("gateway_too_many"), golden("gateway_unauthorized")], ids=str
)
def test_a_refund_that_did_not_leave_is_not_looked_up(fault: Any) -> None:
    played = play(r.refund_payment(API, REFUND), NONE_YET, fault)
    assert played.raised.effect is Effect.NONE
    assert len(played.sends) == 2


# --------------------------------------------------------------------------------------------------- resuming


def baseline(**changes: Any) -> Evidence:
    data = {"transaction_id": TRX_ID, "amount_minor": 500, "api": "v2", "listed": ["OLD"]}
    return Evidence(r.BASELINE, {**data, **changes})


def test_a_resumed_refund_is_never_sent() -> None:
    for after, ours in ((listed(("OLD", "5"), (OURS, "5")), True), (listed(("OLD", "5")), False)):
        played = play(r.refund_payment(API, REFUND, baseline()), after)
        assert [send.safety for send in played.sends] == [Safety.READ]
        assert not played.checkpoints
        if ours:
            assert played.result.transaction_id == OURS
        else:
            assert isinstance(played.raised, OutcomeUnknownError)
            assert played.raised.effect is Effect.UNKNOWN


@pytest.mark.parametrize("after", [AnswerTimeoutError, NotSentError, StorageError, code("2077")], ids=str)
def test_a_resumed_refund_whose_list_is_away_stays_unknown(after: Any) -> None:
    error = play(r.refund_payment(API, REFUND, baseline()), after).raised
    assert (type(error), error.effect) == (OutcomeUnknownError, Effect.UNKNOWN)


def test_resuming_asks_the_interface_that_made_the_baseline() -> None:
    shown = golden("refund_v1", originalTrxID=TRX_ID, refundTrxID=OURS, amount="5")
    played = play(r.look_up_refund(API, REFUND, baseline(api="v1")), shown)
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/payment/refund"]
    assert played.result.transaction_id == OURS


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence("execute", {}),
        Evidence(r.BASELINE, {}),
        baseline(transaction_id="CLH30OTHER"),
        baseline(amount_minor=600),
        baseline(api="v3"),
        baseline(listed="OLD"),
        baseline(listed=[1]),
        baseline(listed=None),
    ],
)
def test_evidence_of_another_refund_is_refused(evidence: Evidence) -> None:
    for call in (r.refund_payment(API, REFUND, evidence), r.look_up_refund(API, REFUND, evidence)):
        played = play(call)
        assert isinstance(played.raised, InvalidRequestError)
        assert played.raised.field == "resume"


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        (listed(("OLD", "5"), (OURS, "5.00")), OURS),
        (listed(("OLD", "5")), None),
        (listed(("OLD", "5"), ("A", "5"), ("B", "5")), None),
        (NONE_YET, None),
    ],
)
def test_looking_up_a_refund(after: WireResponse, seen: str | None) -> None:
    found = play(r.look_up_refund(API, REFUND, baseline()), after).result
    assert (found and found.transaction_id) == seen


def test_a_look_up_that_fails_raises_and_moves_nothing() -> None:
    for fault in (AnswerTimeoutError, code("2077"), golden("gateway_internal")):
        error = play(r.look_up_refund(API, REFUND, baseline()), fault).raised
        assert isinstance(error, GatewayError)
        assert error.effect is not Effect.UNKNOWN


# ----------------------------------------------------------------------------------------------------- the list


def test_every_listed_refund_is_shown() -> None:
    found = play(r.refund_status(API, REFUND), listed(("A", "5.00"), ("B", 7.5), ("C", "2.50"))).result
    assert [(one.transaction_id, str(one.amount)) for one in found] == [
        ("A", "5.00 BDT"),
        ("B", "7.50 BDT"),
        ("C", "2.50 BDT"),
    ]
    assert {one.original_transaction_id for one in found} == {TRX_ID}


# ----------------------------------------------------------------------------------------- the recipe as a property

amounts = st.sampled_from(["5", "5.00", "6"])
entries = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C", "D"]), amounts), max_size=4, unique_by=lambda e: e[0]
)


@given(before=entries, happened=st.booleans(), others=entries, seen=st.booleans())
def test_whatever_the_list_shows_nothing_of_the_past_is_taken_for_ours(
    before: list[tuple[str, str]], happened: bool, others: list[tuple[str, str]], seen: bool
) -> None:
    """A lost answer: what is adopted was not there before, has our amount, and nothing else could be it."""
    known = {trx for trx, _ in before}
    new = [entry for entry in others if entry[0] not in known]
    after = [*before, *new] + ([(OURS, "5.00")] if happened and seen else [])
    played = play(r.refund_payment(API, REFUND), listed(*before), AnswerLostError, listed(*after))
    rivals = [trx for trx, amount in new if amount != "6"] + ([OURS] if happened and seen else [])
    assert [send.safety for send in played.sends].count(Safety.ONCE) == 1
    if len(rivals) == 1:
        assert played.result.transaction_id == rivals[0]
        assert played.result.transaction_id not in known
    else:
        assert played.raised.effect is Effect.UNKNOWN

"""Create, execute, query and search, driven by hand through every answer and every fault."""

from typing import Any

import pytest

from tests.gateways.bkash.hand import (
    AMOUNT,
    API,
    CALL,
    NO_IDS,
    PAYMENT_ID,
    STATUS,
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
    PaymentsError,
    StorageError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import protocol as p
from vextrus_payments.gateways.bkash.steps import Api
from vextrus_payments.gateways.endings import MADE
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.snapshots import Mismatch, SnapshotState
from vextrus_payments.wire import Safety, WireResponse

ORDER = p.Order(
    invoice="INV-1",
    amount=AMOUNT,
    callback_url="https://m.example/cb",
    payer_reference="01770618575",
)
COMPLETED = golden("query_completed", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1")
INITIATED = golden("query_initiated", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1")
VERIFIED = golden("query_verified", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1")

NO_DEFINITE_ANSWER: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "lost": AnswerLostError,
    "unreadable to the transport": UnreadableAnswerError,
    "9999": code("9999"),
    "2003": code("2003"),
    "2020": code("2020"),
    "2024": code("2024"),
    "503 in the envelope": code("503"),
    "an unknown code": code("1111"),
    "message only": answer({"message": "Internal server error"}),
    "gateway's 504": golden("gateway_timed_out"),
    "a 500": golden("gateway_internal"),
    "forbidden": golden("gateway_forbidden"),
    "a firewall's page": answer(b"<html>support id: 123456789</html>"),
    "half a body": answer(b'{"statusCode":"0000","trx'),
    "empty": answer(b""),
    "repeated key": answer(b'{"statusCode":"0000","statusCode":"0000"}'),
    "success without trxID": golden("execute_sale", trxID=None),
    "success with empty trxID": golden("execute_sale", trxID=""),
    "success without paymentID": golden("execute_sale", paymentID=None),
    "success without state": golden("execute_sale", transactionStatus=None),
    "success, still initiated": golden("execute_sale", transactionStatus="Initiated"),
    "success, unknown state": golden("execute_sale", transactionStatus="Pending Authorized"),
    "success, 1,500": golden("execute_sale", amount="1,500"),
    "success, odd currency": golden("execute_sale", currency="bdt"),
    "success and refusal": golden("execute_sale", errorCode="2023"),
    "success under 5xx": answer(golden("execute_sale").body, 502),
}


# ------------------------------------------------------------------------------------------------------ execute


def test_a_good_execute_is_one_call_and_no_query() -> None:
    played = play(p.execute_payment(API, CALL), golden("execute_sale"))
    assert played.order == ["execute"]
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/execute"]
    assert played.bodies == [{"paymentID": PAYMENT_ID}]
    assert played.sends[0].safety is Safety.ONCE
    assert played.sends[0].authorized
    seen = played.result
    assert (seen.state, seen.transaction_id, seen.amount) == (SnapshotState.PAID, TRX_ID, AMOUNT)
    assert seen.payer_account == "01700000000"
    assert seen.occurred_at.isoformat() == "2025-12-17T19:36:02.336000+00:00"
    assert "01700000000" not in repr(seen)
    assert (str(seen.method), seen.method.raw) == ("bkash", "")
    unpaid = play(p.query_payment(API, STATUS), INITIATED).result
    assert unpaid.method is None, "nobody has paid by anything"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (golden("execute_sale_newer"), SnapshotState.PAID),
        (golden("execute_authorized"), SnapshotState.AUTHORIZED),
        (golden("execute_sale", statusCode=None, statusMessage=None), SnapshotState.PAID),
        (golden("execute_sale", amount=15), SnapshotState.PAID),
        (golden("execute_sale", amount="15.00"), SnapshotState.PAID),
    ],
)
def test_what_a_definite_yes_looks_like(body: WireResponse, state: SnapshotState) -> None:
    played = play(p.execute_payment(API, CALL), body)
    assert (played.result.state, played.order) == (state, ["execute"])


@pytest.mark.parametrize(
    ("changes", "mismatch"),
    [
        ({"amount": "16"}, Mismatch.AMOUNT),
        ({"amount": "0.15"}, Mismatch.AMOUNT),
        ({"currency": "USD"}, Mismatch.CURRENCY),
        ({"merchantInvoiceNumber": "INV-2"}, Mismatch.GATEWAY_ORDER_ID),
        ({"merchantInvoiceNumber": None}, Mismatch.GATEWAY_ORDER_ID),
        ({"merchantInvoice": "INV-2"}, Mismatch.GATEWAY_ORDER_ID),
        ({"paymentID": "TR0011other1766000000999"}, Mismatch.GATEWAY_REFERENCE),
        ({"amount": None}, Mismatch.AMOUNT),
    ],
)
def test_money_that_moved_otherwise_than_asked_is_for_review(changes: Any, mismatch: Mismatch) -> None:
    played = play(p.execute_payment(API, CALL), golden("execute_sale", **changes))
    assert played.order == ["execute"], "a definite answer is not followed by a query"
    assert played.result.state is SnapshotState.REVIEW
    assert mismatch in played.result.mismatches


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
def test_no_definite_answer_is_followed_by_one_query_that_can_settle_it(fault: str) -> None:
    played = play(p.execute_payment(API, CALL), NO_DEFINITE_ANSWER[fault], COMPLETED)
    assert played.order == ["execute", "execute.look_up"]
    assert played.sends[1].safety is Safety.READ
    assert played.result.state is SnapshotState.PAID
    assert played.result.transaction_id == TRX_ID


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
@pytest.mark.parametrize(
    "shown",
    [
        INITIATED,
        VERIFIED,
        golden("query_completed", paymentID=PAYMENT_ID, transactionStatus="Expired", trxID=None),
        golden("query_completed", paymentID=PAYMENT_ID, transactionStatus="Pending Authorized"),
        code("2002"),
        code("9999"),
        golden("gateway_internal"),
        AnswerTimeoutError,
        NotSentError,
        ThrottledError,
        AuthenticationRejectedError,
        StorageError,
    ],
    ids=str,
)
def test_what_the_query_does_not_settle_stays_unknown(fault: str, shown: Any) -> None:
    played = play(p.execute_payment(API, CALL), NO_DEFINITE_ANSWER[fault], shown)
    error = played.raised
    assert error.effect is Effect.UNKNOWN
    assert isinstance(error, OutcomeUnknownError | GatewayBlockedError)


@pytest.mark.parametrize(
    ("fault", "kind", "kept"),
    [
        (AnswerTimeoutError, AnswerTimeoutError, "answer_timeout"),
        (AnswerLostError, AnswerLostError, "answer_lost"),
        (code("9999"), OutcomeUnknownError, "9999"),
        (code("1111"), UnreadableAnswerError, "1111"),
        (answer(b"<html>"), GatewayBlockedError, "blocked"),
    ],
)
def test_the_original_error_and_its_code_are_kept(fault: Any, kind: type[GatewayError], kept: str) -> None:
    error = play(p.execute_payment(API, CALL), fault, INITIATED).raised
    assert (type(error), error.code) == (kind, kept)


@pytest.mark.parametrize("trx_id", NO_IDS)
def test_paid_under_an_id_that_is_none_is_for_review(trx_id: str) -> None:
    query = golden(
        "query_completed", paymentID=PAYMENT_ID, amount="15", merchantInvoice="INV-1", trxID=trx_id
    )
    played = play(p.query_payment(API, STATUS), query)
    assert (played.result.state, played.result.transaction_id) == (SnapshotState.REVIEW, None)
    assert played.result.mismatches == {Mismatch.TRANSACTION_ID}


def test_a_query_that_shows_another_amount_is_for_review() -> None:
    shown = golden("query_completed", paymentID=PAYMENT_ID, amount="16", merchantInvoice="INV-1")
    played = play(p.execute_payment(API, CALL), AnswerTimeoutError, shown)
    assert played.result.state is SnapshotState.REVIEW
    assert played.result.mismatches == {Mismatch.AMOUNT}


def test_a_query_about_another_payment_says_nothing_about_ours() -> None:
    other = golden("query_initiated", paymentID="TR0011other1766000000999", merchantInvoice="INV-1")
    error = play(p.execute_payment(API, CALL), code("2056"), other).raised
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize("number", ["2023", "2029", "2037", "2038", "2014", "2015", "2006", "2041", "2065"])
def test_a_documented_no_is_final_and_asks_nothing_more(number: str) -> None:
    played = play(p.execute_payment(API, CALL), code(number))
    error = played.raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.effect, error.code) == (True, Effect.REFUSED, number)
    assert played.order == ["execute"]
    assert error.reason.text("en") == f"bKash says {number}"


@pytest.mark.parametrize("number", ["2054", "2060"])
def test_a_payer_who_is_not_done_declines_nothing(number: str) -> None:
    played = play(p.execute_payment(API, CALL), code(number))
    error = played.raised
    assert isinstance(error, DeclinedError)
    assert not error.final and not error.look_up_first
    assert error.reason.code is ReasonCode.PAYER_NOT_FINISHED
    assert played.order == ["execute"]


@pytest.mark.parametrize("number", ["2062", "2117", "2056", "2068", "2053", "2069", "2119", "2055"])
def test_a_no_about_the_past_is_looked_up_and_may_be_a_yes(number: str) -> None:
    played = play(p.execute_payment(API, CALL), code(number), COMPLETED)
    assert played.order == ["execute", "execute.look_up"]
    assert played.result.state is SnapshotState.PAID


@pytest.mark.parametrize("number", ["2062", "2117", "2068"])
@pytest.mark.parametrize(
    "shown", [INITIATED, VERIFIED, AnswerTimeoutError, code("2002"), StorageError], ids=str
)
def test_done_already_that_is_not_to_be_seen_may_be_in_flight(number: str, shown: Any) -> None:
    error = play(p.execute_payment(API, CALL), code(number), shown).raised
    assert type(error) is OutcomeUnknownError
    assert (error.code, error.effect) == (number, Effect.UNKNOWN)


@pytest.mark.parametrize(
    ("number", "shown", "final", "reason"),
    [
        ("2056", INITIATED, False, ReasonCode.PAYER_NOT_FINISHED),
        ("2056", VERIFIED, False, ReasonCode.INVALID_PAYMENT),
        ("2055", INITIATED, False, ReasonCode.PAYER_NOT_FINISHED),
        ("2053", INITIATED, True, ReasonCode.INVALID_AGREEMENT),
        ("2053", VERIFIED, True, ReasonCode.INVALID_AGREEMENT),
        ("2056", "Cancelled", True, ReasonCode.PAYMENT_CANCELLED),
        ("2069", "Cancelled", True, ReasonCode.PAYMENT_CANCELLED),
        ("2056", "Expired", True, ReasonCode.PAYMENT_EXPIRED),
        ("2056", "Failed", True, ReasonCode.INVALID_PAYMENT),
        ("2056", "Declined", True, ReasonCode.INVALID_PAYMENT),
    ],
)
def test_an_invalid_state_is_what_the_look_up_shows(
    number: str, shown: Any, final: bool, reason: ReasonCode
) -> None:
    if isinstance(shown, str):
        shown = golden(
            "query_initiated", paymentID=PAYMENT_ID, merchantInvoice="INV-1", transactionStatus=shown
        )
    error = play(p.execute_payment(API, CALL), code(number), shown).raised
    assert isinstance(error, DeclinedError)
    assert (error.final, error.look_up_first, error.reason.code) == (final, False, reason)
    assert (error.code, error.effect) == (number, Effect.REFUSED)


@pytest.mark.parametrize(
    "shown", [AnswerTimeoutError, code("9999"), golden("gateway_internal"), StorageError], ids=str
)
def test_an_invalid_state_that_cannot_be_looked_up_stays_open(shown: Any) -> None:
    error = play(p.execute_payment(API, CALL), code("2056"), shown).raised
    assert (type(error), error.effect) == (OutcomeUnknownError, Effect.UNKNOWN)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (NotSentError, NotSentError),
        (golden("gateway_too_many"), ThrottledError),
        (golden("gateway_unauthorized"), AuthenticationRejectedError),
        (golden("gateway_wrong_route"), GatewayError),
        (golden("gateway_parameters_missing"), GatewayError),
        (code("2001"), AuthenticationRejectedError),
    ],
)
def test_what_did_not_reach_the_business_logic_is_not_looked_up(fault: Any, kind: type[GatewayError]) -> None:
    played = play(p.execute_payment(API, CALL), fault)
    assert type(played.raised) is kind
    assert played.raised.effect in (Effect.NONE, Effect.REFUSED)
    assert played.order == ["execute"]


@pytest.mark.parametrize(
    "shown", [COMPLETED, INITIATED, AnswerTimeoutError, StorageError, code("2002")], ids=str
)
def test_a_resumed_attempt_only_looks(shown: Any) -> None:
    played = play(p.look_only(API, CALL, MADE), shown)
    assert [send.safety for send in played.sends] == [Safety.READ]
    if shown is COMPLETED:
        assert played.result.state is SnapshotState.PAID
    else:
        assert isinstance(played.raised, OutcomeUnknownError)
        assert played.raised.effect is Effect.UNKNOWN


# -------------------------------------------------------------------------------------------------------- query


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, SnapshotState.PAID),
        ({"transactionStatus": "Authorized"}, SnapshotState.AUTHORIZED),
        ({"transactionStatus": "Cancelled"}, SnapshotState.VOIDED),
        ({"transactionStatus": "Cancelled", "trxID": None}, SnapshotState.CANCELLED),
        ({"transactionStatus": "Voided"}, SnapshotState.VOIDED),
        ({"transactionStatus": "Expired"}, SnapshotState.EXPIRED),
        ({"transactionStatus": "Declined"}, SnapshotState.DECLINED),
        ({"transactionStatus": "Failed"}, SnapshotState.DECLINED),
        ({"transactionStatus": "PendingAuthorized"}, SnapshotState.UNRECOGNIZED),
        ({"transactionStatus": "Pending Authorized"}, SnapshotState.UNRECOGNIZED),
        ({"transactionStatus": "completed"}, SnapshotState.UNRECOGNIZED),
        ({"transactionStatus": "COMPLETED "}, SnapshotState.UNRECOGNIZED),
        ({"transactionStatus": "Initiated", "verificationStatus": "Incomplete"}, SnapshotState.INITIATED),
        ({"transactionStatus": "Initiated", "verificationStatus": None}, SnapshotState.INITIATED),
        ({"transactionStatus": "Initiated", "verificationStatus": "Complete"}, SnapshotState.APPROVED),
        (
            {
                "transactionStatus": "Initiated",
                "verificationStatus": None,
                "userVerificationStatus": "Complete",
            },
            SnapshotState.APPROVED,
        ),
        ({"trxID": None}, SnapshotState.REVIEW),
        ({"amount": "1499"}, SnapshotState.REVIEW),
        ({"merchantInvoice": None}, SnapshotState.REVIEW),
        ({"merchantInvoice": None, "merchantInvoiceNumber": "INV-1"}, SnapshotState.PAID),
        ({"paymentID": "TR2", "transactionStatus": "Initiated"}, SnapshotState.UNRECOGNIZED),
    ],
)
def test_the_vocabulary_of_a_query(changes: dict[str, Any], state: SnapshotState) -> None:
    body = {"paymentID": PAYMENT_ID, "amount": "15", "merchantInvoice": "INV-1", **changes}
    played = play(p.query_payment(API, STATUS), golden("query_completed", **body))
    assert played.result.state is state
    assert played.paths == ["/v1.2.0-beta/tokenized/checkout/payment/status"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (golden("query_completed", amount="1,499"), UnreadableAnswerError),
        (code("2002"), DeclinedError),
        (code("9999"), OutcomeUnknownError),
        (code("1111"), UnreadableAnswerError),
        (AnswerTimeoutError, AnswerTimeoutError),
        (golden("gateway_internal"), UnreadableAnswerError),
    ],
)
def test_a_look_up_that_fails_moves_nothing_and_is_never_final(fault: Any, kind: type[PaymentsError]) -> None:
    error = play(p.query_payment(API, STATUS), fault).raised
    assert type(error) is kind
    assert error.effect is not Effect.UNKNOWN
    assert not (isinstance(error, DeclinedError) and error.final)


def test_an_agreements_id_is_no_payment() -> None:
    played = play(p.query_payment(API, STATUS), golden("query_agreement", paymentID=PAYMENT_ID))
    assert played.result.state is SnapshotState.UNRECOGNIZED


# ------------------------------------------------------------------------------------------------------- create


def test_create_sends_the_documented_fields_and_keeps_the_url_byte_for_byte() -> None:
    played = play(p.create_payment(API, ORDER), golden("create_0011"))
    assert played.bodies == [
        {
            "mode": "0011",
            "payerReference": "01770618575",
            "callbackURL": "https://m.example/cb",
            "amount": "15.00",
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": "INV-1",
        }
    ]
    assert played.sends[0].safety is Safety.DISPOSABLE
    assert played.result.reference == PAYMENT_ID
    assert played.result.checkout_url == (
        "https://sandbox.payment.bkash.com/?paymentId=TR0011aB3dE5f1766000000123"
        "&hash=Xy!1.(aB)_-c1766000000123&mode=0011&apiVersion=v1.2.0-beta/"
    )
    assert "hash" not in repr(played.result)


def test_create_with_an_agreement_may_need_no_page() -> None:
    order = p.Order(
        invoice="INV-1",
        amount=AMOUNT,
        callback_url="https://m.example/cb",
        payer_reference="x",
        intent=Intent.AUTHORIZATION,
        mode=m.MODE_WITH_AGREEMENT,
        agreement_id="A1",
        association_info="MI05MID54",
    )
    shown = golden(
        "create_0001", bkashURL=None, amount="15.0", merchantInvoiceNumber="INV-1", intent="authorization"
    )
    played = play(p.create_payment(API, order), shown)
    assert played.result.checkout_url is None
    assert played.bodies[0]["agreementID"] == "A1"
    assert played.bodies[0]["intent"] == "authorization"
    assert played.bodies[0]["merchantAssociationInfo"] == "MI05MID54"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "16"},
        {"amount": "1,5"},
        {"currency": "USD"},
        {"merchantInvoiceNumber": "INV-2"},
        {"intent": "authorization"},
        {"transactionStatus": "Completed"},
        {"bkashURL": None},
        {"bkashURL": ""},
        {"bkashURL": "http://payment.bkash.com/?paymentId=1"},
        {"bkashURL": "http://127.0.0.1.evil.example/"},
        {"bkashURL": "javascript:alert(1)"},
        {"bkashURL": "//payment.bkash.com/"},
        {"bkashURL": "https://user:pass@payment.bkash.com/"},
        {"bkashURL": "https://payment.bkash.com/\r\nSet-Cookie: x"},
        {"bkashURL": 'https://payment.bkash.com/"><script>'},
        {"bkashURL": "https://pаyment.bkash.com/"},
        {"bkashURL": "https://payment.bkash.com:99999/"},
        {"bkashURL": "https://"},
        {"paymentID": "TR 1"},
        {"paymentID": "TR\n1"},
        {"paymentID": "x" * 300},
    ],
)
def test_a_session_for_something_else_is_not_used(changes: dict[str, Any]) -> None:
    error = play(p.create_payment(API, ORDER), golden("create_0011", **changes)).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE, "a session that nobody gets cannot be paid"


def test_the_sandbox_may_send_payers_to_loopback_and_live_may_not() -> None:
    local = golden("create_0011", bkashURL="http://127.0.0.1:28600/pay?paymentId=1")
    assert play(p.create_payment(API, ORDER), local).result.checkout_url.startswith("http://127.0.0.1")
    live = Api("https://tokenized.pay.bka.sh/v1.2.0-beta", Mode.LIVE)
    assert isinstance(play(p.create_payment(live, ORDER), local).raised, UnreadableAnswerError)


@pytest.mark.parametrize(
    "fault", [AnswerTimeoutError, AnswerLostError, code("9999"), golden("gateway_internal")], ids=str
)
def test_a_lost_create_moves_nothing(fault: Any) -> None:
    played = play(p.create_payment(API, ORDER), fault)
    assert played.raised.effect is Effect.NONE
    assert played.order == ["create"]


@pytest.mark.parametrize(
    ("number", "final"), [("2006", True), ("2049", True), ("2053", True), ("503", False)]
)
def test_a_refused_create(number: str, final: bool) -> None:
    error = play(p.create_payment(API, ORDER), code(number)).raised
    assert isinstance(error, DeclinedError)
    assert (error.code, error.final, error.effect) == (number, final, Effect.REFUSED)


# ------------------------------------------------------------------------------------------------------- search


def test_search_reads_the_transaction() -> None:
    played = play(p.search_transaction(API, TRX_ID), golden("search", trxID=TRX_ID))
    assert played.result.transaction_id == TRX_ID
    assert played.result.amount == Money("15", "BDT")
    assert played.bodies == [{"trxID": TRX_ID}]


@pytest.mark.parametrize("number", ["2033", "2003", "2077"])
def test_not_found_is_nothing_and_no_error(number: str) -> None:
    assert play(p.search_transaction(API, TRX_ID), code(number)).result is None


@pytest.mark.parametrize(
    "fault",
    [
        golden("search", trxID="CLH30OTHER"),
        golden("search", trxID=TRX_ID, amount="1,5"),
        code("9999"),
        AnswerTimeoutError,
    ],
    ids=str,
)
def test_a_search_that_fails_is_not_nothing(fault: Any) -> None:
    assert isinstance(play(p.search_transaction(API, TRX_ID), fault).raised, GatewayError)

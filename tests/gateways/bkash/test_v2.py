"""Tokenized Checkout v2, driven by hand: the same flows as v1.2.0-beta, on other routes and in other words."""

import json
from typing import Any

import pytest

from tests.gateways.bkash.hand import (
    AMOUNT,
    CALL,
    GOLDEN,
    PAYMENT_ID,
    REFUND,
    STATUS,
    TRX_ID,
    answer,
    code,
    play,
)
from tests.gateways.bkash.hand import golden as v1_golden
from vextrus_payments.errors import (
    AnswerLostError,
    AnswerTimeoutError,
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayError,
    NotSentError,
    OutcomeUnknownError,
    StorageError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import access, agreements, calls, protocol, refunds
from vextrus_payments.gateways.bkash.envelope import Refused, error_of, read
from vextrus_payments.gateways.bkash.errors import CODES
from vextrus_payments.gateways.bkash.orders import Order
from vextrus_payments.gateways.bkash.steps import Api
from vextrus_payments.gateways.bkash.v2_dialect import V2
from vextrus_payments.mode import Mode
from vextrus_payments.payment import ExecuteCall
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import AgreementState, SnapshotState
from vextrus_payments.wire import Safety, WireResponse

API = Api("https://bkash.test/v2", Mode.SANDBOX, dialect=V2)
CHARGE_ID = "TR0001aB3dE5f1766000000123"
AGREEMENT_ID = "TokenizedMerchant01AB12CD31766000000123"
ORDER = Order(
    invoice="INV-1", amount=AMOUNT, callback_url="https://m.example/cb", payer_reference="01770618575"
)
CHARGE = ExecuteCall(
    gateway_reference=CHARGE_ID, gateway_order_id="INV-1", amount=AMOUNT, agreement_id=AGREEMENT_ID
)
NO_ROUTE = v1_golden("gateway_wrong_route")


def golden(name: str, **changes: Any) -> WireResponse:
    return v1_golden(f"v2_{name}", **changes)


def sent(name: str) -> dict[str, Any]:
    """What the dossier has us send; our amounts have both decimals."""
    document = json.loads((GOLDEN / f"v2_{name}.json").read_text(encoding="utf-8"))
    return {**document["body"], **({"amount": "15.00"} if "amount" in document["body"] else {})}


def refused(number: str, internal: str = "some_name", **more: Any) -> WireResponse:
    """v2's envelope of errors."""
    body = {"internalCode": internal, "externalCode": number, "errorMessageEn": f"bKash says {number}"}
    return answer({**body, "errorMessageBn": None, **more}, 400)


COMPLETED = golden("query_completed")
INITIATED = golden("query_initiated")
VERIFIED = golden("query_verified")

NO_DEFINITE_ANSWER: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "lost": AnswerLostError,
    "9999": refused("9999"),
    "2003": refused("2003"),
    "503 in the envelope": refused("503"),
    "an unknown code": refused("1111"),
    "an internal name nobody knows": refused("", "brand_new_name"),
    "two codes": refused("2023", statusCode="0000"),
    "a refusal under 5xx": answer(json.loads(refused("2023").body), 500),
    "a code under 200 from the older stack": code("9999"),
    "message only": answer({"message": "Invalid request body"}, 400),
    "gateway's 504": v1_golden("gateway_timed_out"),
    "forbidden": v1_golden("gateway_forbidden"),
    "a firewall's page": answer(b"<html>support id: 123456789</html>"),
    "success without trxId": golden("execute", trxId=None),
    "success without paymentId": golden("execute", paymentId=None),
    "success without state": golden("execute", transactionStatus=None),
    "success, still initiated": golden("execute", transactionStatus="Initiated"),
    "success, 1,500": golden("execute", amount="1,500"),
    "success under 201": answer(json.loads(golden("execute").body), 201),
}


# -------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_granted_and_refreshed_on_v2s_routes() -> None:
    some = Secret("x" * 8)
    credentials = access.Credentials(app_key=some, app_secret=some, username=some, password=some)
    granted = play(access.grant_token(API, credentials), v1_golden("grant"))
    refreshed = play(access.refresh_token(API, credentials, Secret("refresh")), v1_golden("grant"))
    assert granted.paths == ["/v2/tokenized-checkout/auth/grant-token"]
    assert refreshed.paths == ["/v2/tokenized-checkout/auth/refresh-token"]
    assert granted.result.life_s == refreshed.result.life_s == 3600


# ------------------------------------------------------------------------------------------------------ payments


def test_create_has_its_route_and_no_mode() -> None:
    played = play(protocol.create_payment(API, ORDER), golden("create"))
    assert played.paths == ["/v2/tokenized-checkout/payment/create"]
    assert played.bodies == [sent("request_create")]
    assert played.sends[0].safety is Safety.DISPOSABLE
    assert played.result.reference == PAYMENT_ID
    assert played.result.checkout_url.endswith("apiVersion=v2/")


def test_a_charge_of_an_agreement_has_a_route_of_its_own() -> None:
    order = Order(
        invoice="INV-1",
        amount=AMOUNT,
        callback_url="https://m.example/cb",
        payer_reference="01770618575",
        mode="0001",
        agreement_id=AGREEMENT_ID,
    )
    played = play(protocol.create_payment(API, order), golden("create_with_agreement", bkashURL=None))
    assert played.paths == ["/v2/tokenized-checkout/payment-with-agreement/create"]
    assert played.bodies == [sent("request_create_with_agreement")]
    assert (played.result.reference, played.result.checkout_url) == (CHARGE_ID, None)


def test_create_sends_what_aggregators_add() -> None:
    order = Order(
        invoice="INV-1",
        amount=AMOUNT,
        callback_url="https://m.example/cb",
        payer_reference="01770618575",
        association_info="MI05MID54RF09123456789",
        sub_merchant_name="Corner Shop",
    )
    assert play(protocol.create_payment(API, order), golden("create")).bodies == [
        sent("request_create_extras")
    ]


@pytest.mark.parametrize(
    "changes",
    [{"amount": "16"}, {"currency": "USD"}, {"merchantInvoiceNumber": "INV-2"}, {"paymentId": None},
     {"bkashURL": None}, {"transactionStatus": "Completed"}, {"intent": "authorization"}],
    ids=str,
)  # fmt: skip
def test_a_session_for_something_else_is_not_used(changes: dict[str, Any]) -> None:
    error = play(protocol.create_payment(API, ORDER), golden("create", **changes)).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE


def test_the_specifications_spelling_of_the_address_is_read() -> None:
    body = json.loads(golden("create").body)
    body["bKashURL"] = body.pop("bkashURL")
    assert play(protocol.create_payment(API, ORDER), answer(body)).result.checkout_url


@pytest.mark.parametrize("status", [200, 400])
def test_the_four_pairs_that_were_seen(status: int) -> None:
    for number, reason, final in (
        ("2006", ReasonCode.INVALID_AMOUNT, True),
        ("2029", ReasonCode.DUPLICATE_PAYMENT, True),
    ):
        body = json.loads(golden(f"error_{number}").body)
        error = play(protocol.execute_payment(API, CALL), answer(body, status)).raised
        assert isinstance(error, DeclinedError)
        assert (error.code, error.reason.code, error.final) == (number, reason, final)
        assert error.context["internal_code"] == body["internalCode"]


def test_the_payer_is_shown_the_message_and_never_the_code() -> None:
    bangla = "আপনার অ্যাকাউন্টে পর্যাপ্ত টাকা নেই"
    said = refused(
        "2023", "insufficient_balance", errorMessageEn="Insufficient balance.", errorMessageBn=bangla
    )
    error = play(protocol.execute_payment(API, CALL), said).raised
    assert isinstance(error, DeclinedError)
    assert error.reason.text("bn") == bangla
    assert error.reason.text("en") == "Insufficient balance."
    silent = play(
        protocol.execute_payment(API, CALL), refused("2023", errorMessageEn=None, errorMessageBn=None)
    )
    assert isinstance(silent.raised, DeclinedError)
    for locale in ("en", "bn"):
        text = silent.raised.reason.text(locale)
        assert text and "2023" not in text and "some_name" not in text


def test_an_internal_name_stands_in_for_a_missing_code() -> None:
    error = play(protocol.execute_payment(API, CALL), refused("", "ETC70052")).raised
    assert isinstance(error, DeclinedError)
    assert error.code == "2029"


def test_a_good_execute_is_one_call_and_no_query() -> None:
    played = play(protocol.execute_payment(API, CALL), golden("execute"))
    assert played.order == ["execute"]
    assert played.paths == ["/v2/tokenized-checkout/payment/execute"]
    assert played.bodies == [sent("request_execute")]
    assert played.sends[0].safety is Safety.ONCE
    seen = played.result
    assert (seen.state, seen.transaction_id, seen.amount) == (SnapshotState.PAID, TRX_ID, AMOUNT)
    assert seen.payer_account == "01700000000"
    assert seen.refundable == AMOUNT
    assert (seen.method.kind.value, seen.method.name, seen.method.raw) == ("wallet", "bkash", "Customer")


def test_a_charge_is_executed_by_both_ids_on_its_own_route() -> None:
    played = play(protocol.execute_payment(API, CHARGE), golden("execute_with_agreement"))
    assert played.paths == ["/v2/tokenized-checkout/payment-with-agreement/execute"]
    assert played.bodies == [sent("request_execute_with_agreement")]
    assert played.sends[0].safety is Safety.ONCE
    assert played.result.state is SnapshotState.PAID
    assert AGREEMENT_ID not in repr(CHARGE) + str(played.sends[0].reference)


def test_a_charge_whose_agreement_is_not_known_any_more_is_still_one() -> None:
    bare = ExecuteCall(gateway_reference=CHARGE_ID, gateway_order_id="INV-1", amount=AMOUNT)
    played = play(protocol.execute_payment(API, bare), golden("execute_with_agreement"))
    assert played.paths == ["/v2/tokenized-checkout/payment-with-agreement/execute"]
    assert played.bodies == [{"paymentId": CHARGE_ID}]


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
def test_one_query_can_settle_it(fault: str) -> None:
    played = play(protocol.execute_payment(API, CALL), NO_DEFINITE_ANSWER[fault], COMPLETED)
    assert played.order == ["execute", "execute.look_up"]
    assert played.paths[1] == "/v2/tokenized-checkout/query/payment"
    assert played.bodies[1] == sent("request_query")
    assert played.sends[1].safety is Safety.READ
    assert (played.result.state, played.result.transaction_id) == (SnapshotState.PAID, TRX_ID)


@pytest.mark.parametrize("fault", NO_DEFINITE_ANSWER)
@pytest.mark.parametrize(
    "shown",
    [INITIATED, VERIFIED, AnswerTimeoutError, StorageError, refused("2002"),
     golden("query_completed", paymentId="TR0011other"), golden("query_completed", amount="1,500")],
    ids=str,
)  # fmt: skip
def test_what_it_does_not_settle_stays_unknown(fault: str, shown: Any) -> None:
    played = play(protocol.execute_payment(API, CALL), NO_DEFINITE_ANSWER[fault], shown)
    if shown is not INITIATED and shown is not VERIFIED and played.error is None:
        assert played.result.state is SnapshotState.REVIEW  # money moved, but not as asked
        return
    assert not isinstance(played.raised, DeclinedError)
    assert played.raised.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    ("said", "shown", "final"),
    [
        (golden("error_2056"), INITIATED, False),
        (golden("error_2056"), golden("query_initiated", transactionStatus="Expired"), True),
        (refused("2060"), None, False),
        (refused("2023"), None, True),
        (code("2023"), None, True),
        (answer({"errorCode": "2023", "errorMessage": "Insufficient Balance"}), None, True),
    ],
)
def test_a_no_in_whatever_envelope_it_comes(said: WireResponse, shown: Any, final: bool) -> None:
    played = play(protocol.execute_payment(API, CALL), said, *((shown,) if shown else ()))
    assert isinstance(played.raised, DeclinedError)
    assert played.raised.final is final
    assert played.raised.effect is Effect.REFUSED


def test_completed_before_is_looked_up_and_never_believed() -> None:
    found = play(protocol.execute_payment(API, CALL), golden("error_2062"), COMPLETED).result
    assert found.state is SnapshotState.PAID
    error = play(protocol.execute_payment(API, CALL), golden("error_2062"), INITIATED).raised
    assert isinstance(error, OutcomeUnknownError)


def test_the_front_door_and_what_never_left() -> None:
    rejected = play(protocol.execute_payment(API, CALL), v1_golden("gateway_unauthorized")).raised
    assert isinstance(rejected, AuthenticationRejectedError) and rejected.effect is Effect.NONE
    unsent = play(protocol.execute_payment(API, CALL), NotSentError).raised
    assert unsent.effect is Effect.NONE


# ------------------------------------------------------------------------------------- reads with two known routes


def test_a_query_tries_the_other_route_only_where_the_first_is_none() -> None:
    played = play(protocol.query_payment(API, STATUS), NO_ROUTE, COMPLETED)
    assert played.paths == [
        "/v2/tokenized-checkout/query/payment",
        "/v2/tokenized-checkout/payment/status",
    ]
    assert played.result.state is SnapshotState.PAID
    for said in (refused("2002"), AnswerTimeoutError, v1_golden("gateway_forbidden")):
        assert len(play(protocol.query_payment(API, STATUS), said).sends) == 1
    error = play(protocol.query_payment(API, STATUS), NO_ROUTE, NO_ROUTE).raised
    assert error.code == "wrong_route"


def test_the_look_up_after_an_execute_tries_it_too() -> None:
    played = play(protocol.execute_payment(API, CALL), AnswerTimeoutError, NO_ROUTE, COMPLETED)
    assert played.result.state is SnapshotState.PAID


def test_an_execute_has_one_route_and_is_never_tried_on_another() -> None:
    played = play(protocol.execute_payment(API, CALL), NO_ROUTE)
    assert len(played.sends) == 1
    assert (played.raised.code, played.raised.effect) == ("wrong_route", Effect.NONE)


def test_search_by_either_route() -> None:
    played = play(protocol.search_transaction(API, TRX_ID), NO_ROUTE, golden("search"))
    assert played.paths == [
        "/v2/tokenized-checkout/search/transaction",
        "/v2/tokenized-checkout/general/search-transaction",
    ]
    assert played.bodies[0] == sent("request_search")
    assert (played.result.raw_state, played.result.amount) == ("Completed", AMOUNT)
    assert play(protocol.search_transaction(API, TRX_ID), refused("2033")).result is None


# -------------------------------------------------------------------------------------------------------- refunds


def test_a_refund_hangs_off_the_host_and_not_twice_off_v2() -> None:
    none = v1_golden("refund_status_v2_none")
    done = v1_golden("refund_v2", originalTrxId=TRX_ID, refundAmount="5")
    played = play(refunds.refund_payment(API, REFUND), none, done)
    assert played.paths == [
        "/v2/tokenized-checkout/refund/payment/status",
        "/v2/tokenized-checkout/refund/payment/transaction",
    ]
    assert played.order == ["refund.baseline", "checkpoint", "refund"]


# ----------------------------------------------------------------------------------------------------- agreements


def test_an_agreement_is_known_by_its_own_id_from_its_create_on() -> None:
    played = play(
        agreements.create_agreement(API, "01770618575", "https://m.example/cb"), golden("agreement_create")
    )
    assert played.paths == ["/v2/tokenized-checkout/agreement/create"]
    assert played.bodies == [sent("request_agreement_create")]
    assert played.result.reference == AGREEMENT_ID


@pytest.mark.parametrize(
    "changes",
    [{"bkashURL": None}, {"agreementId": None}, {"agreementId": "a b"}, {"agreementStatus": "Completed"}],
)
def test_a_created_agreement_that_is_no_use(changes: dict[str, Any]) -> None:
    said = golden("agreement_create", paymentId=PAYMENT_ID, **changes)
    error = play(agreements.create_agreement(API, "x", "https://m.example/cb"), said).raised
    assert isinstance(error, UnreadableAnswerError)
    assert error.effect is Effect.NONE


def test_an_agreement_is_executed_once_by_its_own_id() -> None:
    played = play(agreements.execute_agreement(API, AGREEMENT_ID), golden("agreement_execute"))
    assert played.order == ["agreement_execute"]
    assert played.paths == ["/v2/tokenized-checkout/agreement/execute"]
    assert played.bodies == [sent("request_agreement_execute")]
    assert played.sends[0].safety is Safety.ONCE
    assert played.sends[0].reference is None, "the log would show what one charges by"
    found = played.result
    assert (found.state, found.agreement_id) == (AgreementState.ACTIVE, AGREEMENT_ID)
    assert found.gateway_reference == AGREEMENT_ID
    assert AGREEMENT_ID not in repr(found)


AGREEMENT_FAULTS: dict[str, Any] = {
    "timeout": AnswerTimeoutError,
    "9999": refused("9999"),
    "2116": refused("2116"),
    "another agreement": golden("agreement_execute", agreementId="other"),
    "no id": golden("agreement_execute", agreementId=None),
    "still initiated": golden("agreement_execute", agreementStatus="Initiated"),
    "no state": golden("agreement_execute", agreementStatus=None),
}


@pytest.mark.parametrize("fault", AGREEMENT_FAULTS)
def test_a_look_up_by_the_agreement_can_settle_its_execute(fault: str) -> None:
    played = play(
        agreements.execute_agreement(API, AGREEMENT_ID), AGREEMENT_FAULTS[fault], golden("agreement_query")
    )
    assert played.order == ["agreement_execute", "agreement_execute.look_up"]
    assert played.paths[1] == "/v2/tokenized-checkout/query/agreement"
    assert played.bodies[1] == sent("request_agreement_query")
    assert played.sends[1].reference is None
    assert played.result.agreement_id == AGREEMENT_ID


@pytest.mark.parametrize("fault", AGREEMENT_FAULTS)
@pytest.mark.parametrize(
    "shown",
    [golden("agreement_query_initiated"), AnswerLostError, refused("2051"), golden("query_completed"),
     golden("agreement_query", agreementId="other")],
    ids=str,
)  # fmt: skip
def test_what_it_does_not_settle_of_an_agreement_stays_unknown(fault: str, shown: Any) -> None:
    error = play(agreements.execute_agreement(API, AGREEMENT_ID), AGREEMENT_FAULTS[fault], shown).raised
    assert isinstance(error, OutcomeUnknownError)
    assert error.effect is Effect.UNKNOWN


def test_a_payer_who_is_not_done_declines_no_agreement() -> None:
    error = play(agreements.execute_agreement(API, AGREEMENT_ID), refused("2054")).raised
    assert isinstance(error, DeclinedError) and not error.final


def test_an_agreement_is_looked_up_and_ended_by_its_id() -> None:
    looked = play(agreements.query_agreement(API, AGREEMENT_ID), golden("agreement_query_initiated"))
    assert looked.result.state is AgreementState.INITIATED
    status = play(agreements.agreement_status(API, AGREEMENT_ID), golden("agreement_query"))
    assert status.result.state is AgreementState.ACTIVE
    named = golden("agreement_query", paymentId="TR0000aB3dE5f1766000000123")
    older = play(agreements.agreement_status(API, AGREEMENT_ID), named)
    assert older.result.gateway_reference is None, "its own id binds it, whatever else is named"
    ended = play(agreements.cancel_agreement(API, AGREEMENT_ID), golden("agreement_cancel"))
    assert ended.result.state is AgreementState.CANCELLED
    again = play(agreements.cancel_agreement(API, AGREEMENT_ID), refused("2053"))
    assert again.result.state is AgreementState.CANCELLED
    assert [*status.paths, *ended.paths] == [
        "/v2/tokenized-checkout/query/agreement",
        "/v2/tokenized-checkout/agreement/cancel",
    ]
    assert ended.bodies == [sent("request_agreement_cancel")]
    other = play(
        agreements.query_agreement(API, AGREEMENT_ID), golden("agreement_query", agreementId="other")
    )
    assert isinstance(other.raised, GatewayError)


# ---------------------------------------------------------------------------------------- one meaning in both tongues


@pytest.mark.parametrize("number", CODES)
def test_a_code_means_the_same_in_every_envelope(number: str) -> None:
    said = (
        code(number),
        answer({"errorCode": number, "errorMessage": f"bKash says {number}"}),
        refused(number, errorMessageBn="বিকাশ"),
    )
    for one, other in (
        (calls.CREATE, calls.V2_CREATE),
        (calls.EXECUTE, calls.V2_EXECUTE),
        (calls.QUERY, calls.V2_QUERY),
        (calls.SEARCH, calls.V2_SEARCH),
        (calls.AGREEMENT_CREATE, calls.V2_AGREEMENT_CREATE),
        (calls.AGREEMENT_EXECUTE, calls.V2_AGREEMENT_EXECUTE),
        (calls.AGREEMENT_STATUS, calls.V2_AGREEMENT_STATUS),
        (calls.AGREEMENT_CANCEL, calls.V2_AGREEMENT_CANCEL),
    ):
        told = [read(call, response) for call in (one, other) for response in said]
        errors = [error_of(one, each) for each in told if isinstance(each, Refused)]
        assert len(errors) == len(told)
        assert len({(type(each), each.effect, each.code) for each in errors}) == 1
        finals = {
            (each.final, each.look_up_first, each.reason.code)
            for each in errors
            if isinstance(each, DeclinedError)
        }
        assert len(finals) <= 1

"""The normaliser: every envelope of the dossier, everything that can be read in two ways, and rubbish."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    Effect,
    GatewayBlockedError,
    GatewayError,
    OutcomeUnknownError,
    ThrottledError,
    UnreadableAnswerError,
)
from vextrus_payments.gateways.bkash import calls
from vextrus_payments.gateways.bkash.envelope import AtFrontDoor, Call, Refused, error_of, front_door_of, read
from vextrus_payments.gateways.front_door import FrontDoor
from vextrus_payments.gateways.readings import Accepted, Unreadable
from vextrus_payments.wire import Safety, WireResponse

GOLDEN = Path(__file__).parent / "golden"
CALLS: dict[str, Call[Any]] = {
    "grant": calls.GRANT,
    "refresh": calls.REFRESH,
    "create": calls.CREATE,
    "execute": calls.EXECUTE,
    "query": calls.QUERY,
    "capture": calls.CAPTURE,
    "void": calls.VOID,
    "search": calls.SEARCH,
    "refund_v1": calls.REFUND_V1,
    "refund_v2": calls.REFUND_V2,
    "refund_status_v1": calls.REFUND_STATUS_V1,
    "refund_status_v2": calls.REFUND_STATUS_V2,
    "agreement_create": calls.AGREEMENT_CREATE,
    "agreement_execute": calls.AGREEMENT_EXECUTE,
    "agreement_status": calls.AGREEMENT_STATUS,
    "agreement_cancel": calls.AGREEMENT_CANCEL,
}
PAID = {
    "paymentID": "TR1",
    "trxID": "CLH30AB1CD",
    "transactionStatus": "Completed",
    "amount": "15",
    "currency": "BDT",
    "merchantInvoiceNumber": "INV-1",
}


def response(body: object, status: int = 200) -> WireResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WireResponse(status, {}, raw)


def golden(name: str) -> tuple[dict[str, Any], WireResponse]:
    document = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return document["body"], response(document["body"], document["http_status"])


def reading_of(call: str, body: object, status: int = 200) -> Any:
    return read(CALLS[call], response(body, status))


# ------------------------------------------------------------------------------------------------- successes


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("grant", "grant"),
        ("create_0011", "create"),
        ("create_0001", "create"),
        ("create_0000", "agreement_create"),
        ("execute_sale", "execute"),
        ("execute_sale_newer", "execute"),
        ("execute_authorized", "execute"),
        ("execute_agreement", "agreement_execute"),
        ("query_completed", "query"),
        ("query_initiated", "query"),
        ("query_verified", "query"),
        ("query_documented_names", "query"),
        ("query_agreement", "query"),
        ("agreement_status", "agreement_status"),
        ("agreement_cancel", "agreement_cancel"),
        ("search", "search"),
        ("capture", "capture"),
        ("void", "void"),
        ("refund_v1", "refund_v1"),
        ("refund_status_v1_none", "refund_status_v1"),
        ("refund_v2", "refund_v2"),
        ("refund_status_v2", "refund_status_v2"),
        ("refund_status_v2_none", "refund_status_v2"),
    ],
)
def test_every_documented_success_is_accepted(name: str, call: str) -> None:
    _, answer = golden(name)
    assert isinstance(read(CALLS[call], answer), Accepted)


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize("code", ["0000", None])
def test_a_success_without_its_proof_field_is_none(call: str, code: str | None) -> None:
    body = {"statusMessage": "Successful"} | ({"statusCode": code} if code else {})
    reading = reading_of(call, body)
    if call == "refund_status_v1" and code:
        assert isinstance(reading, Accepted), "before any refund bKash sends nothing but the code (4.10)"
    else:
        assert isinstance(reading, Unreadable)


@pytest.mark.parametrize(
    "status", [100, 201, 202, 204, 301, 302, 304, 400, 401, 403, 404, 409, 500, 502, 503, 504]
)
def test_only_http_200_is_a_success(status: int) -> None:
    for body in (PAID, {"statusCode": "0000", **PAID}):
        assert isinstance(reading_of("execute", body, status), Unreadable)


# -------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"statusCode": "2023", "statusMessage": "Insufficient Balance"}, 200, "2023"),
        ({"statusCode": 2023}, 200, "2023"),
        ({"errorCode": "2029", "errorMessage": "Duplicate for all transactions"}, 200, "2029"),
        ({"errorCode": "2029", "errorMessage": "Duplicate for all transactions"}, 400, "2029"),
        ({"internalCode": "refund_amount_exceed_payment_amount", "externalCode": "2072"}, 400, "2072"),
        ({"internalCode": "ETC70052"}, 400, "2029"),
        ({"internalCode": "something_new"}, 400, "something_new"),
        ({"statusCode": "2023", "errorCode": "2023"}, 200, "2023"),
        ({"statusCode": "2023", "errorCode": ""}, 200, "2023"),
        ({"statusCode": "0503"}, 200, "0503"),
        ({"statusCode": 0}, 200, "0"),
        ({"statusCode": "2023\n2029 " + "x" * 100}, 200, "unreadable_code"),
    ],
)
def test_a_code_is_a_refusal_and_is_kept_as_text(body: object, status: int, code: str) -> None:
    reading = reading_of("execute", body, status)
    assert isinstance(reading, Refused)
    assert reading.code == code


def test_the_v2_error_keeps_both_codes_and_both_sentences() -> None:
    _, answer = golden("refund_v2_exceeds")
    reading = read(calls.REFUND_V2, answer)
    assert isinstance(reading, Refused)
    error = error_of(calls.REFUND_V2, reading)
    assert isinstance(error, DeclinedError)
    assert (error.code, error.context["internal_code"]) == ("2072", "refund_amount_exceed_payment_amount")
    assert error.reason.text("en") == "Refund amount not valid"
    bangla = {"externalCode": "2072", "errorMessageEn": "No", "errorMessageBn": "টাকার পরিমাণ সঠিক নয়"}
    told = error_of(calls.REFUND_V2, reading_of("refund_v2", bangla, 400))
    assert isinstance(told, DeclinedError)
    assert told.reason.text("bn") == "টাকার পরিমাণ সঠিক নয়"


@pytest.mark.parametrize(
    "body",
    [
        {"statusCode": "0000", "errorCode": "2023", **PAID},
        {"statusCode": "2023", "errorCode": "2029"},
        {"externalCode": "2072", "statusCode": "0000"},
    ],
)
def test_codes_that_contradict_each_other_prove_nothing(body: object) -> None:
    reading = reading_of("execute", body)
    assert isinstance(reading, Unreadable)
    assert reading.code in ("2023", "2072")


@pytest.mark.parametrize("status", [500, 502, 503, 504, 301])
def test_a_refusal_under_a_5xx_is_none(status: int) -> None:
    reading = reading_of("execute", {"statusCode": "2023"}, status)
    assert isinstance(reading, Unreadable)
    error = error_of(calls.EXECUTE, reading)
    assert (error.effect, error.code) == (Effect.UNKNOWN, "2023")


def test_an_unknown_code_is_an_unknown_outcome_and_is_kept() -> None:
    for call, effect in (
        (calls.EXECUTE, Effect.UNKNOWN),
        (calls.QUERY, Effect.NONE),
        (calls.CREATE, Effect.NONE),
    ):
        error = error_of(call, Refused("1111", 200))
        assert type(error) is UnreadableAnswerError
        assert (error.code, error.effect) == ("1111", effect)


def test_a_failed_grant_without_a_code() -> None:
    _, answer = golden("grant_failed_msg")
    reading = read(calls.GRANT, answer)
    assert isinstance(reading, Refused)
    error = error_of(calls.GRANT, reading)
    assert isinstance(error, AuthenticationRejectedError)
    assert isinstance(read(calls.EXECUTE, answer), Unreadable), "only a grant fails that way"


def test_a_bare_message_after_a_money_call_is_no_answer() -> None:
    for body in ({"message": "Internal server error"}, {"message": "ok", **PAID}):
        reading = reading_of("execute", body)
        assert isinstance(reading, Unreadable)
        assert error_of(calls.EXECUTE, reading).effect is Effect.UNKNOWN
        assert error_of(calls.QUERY, reading).effect is Effect.NONE


# ------------------------------------------------------------------------------------------------ front doors


@pytest.mark.parametrize(
    ("name", "door"),
    [
        ("gateway_unauthorized", FrontDoor.TOKEN_REJECTED),
        ("gateway_token_expired", FrontDoor.TOKEN_REJECTED),
        ("gateway_wrong_route", FrontDoor.ROUTE),
        ("gateway_missing_token", FrontDoor.ROUTE),
        ("gateway_too_many", FrontDoor.THROTTLED),
        ("gateway_limit_exceeded", FrontDoor.THROTTLED),
        ("gateway_parameters_missing", FrontDoor.MISSING_HEADER),
        ("grant_header_missing", FrontDoor.MISSING_HEADER),
        ("gateway_forbidden", None),
        ("gateway_timed_out", None),
        ("gateway_internal", None),
        ("refund_v2_no_sku", None),
        ("execute_sale", None),
        ("error_status_code", None),
    ],
)
def test_the_listed_bodies_and_no_others_are_the_front_door(name: str, door: FrontDoor | None) -> None:
    _, answer = golden(name)
    assert front_door_of(answer) is door
    reading = read(calls.EXECUTE, answer)
    assert isinstance(reading, AtFrontDoor) is (door is not None)
    if isinstance(reading, AtFrontDoor):
        assert error_of(calls.EXECUTE, reading).effect is Effect.NONE


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {"message": "Unauthorized"}),
        (403, {"message": "Unauthorized"}),
        (401, {"message": "unauthorized"}),
        (401, {"message": "Unauthorized "}),
        (401, {"message": "Unauthorized", "trxID": "CLH30AB1CD"}),
        (401, {"Message": "Unauthorized"}),
        (401, b"Unauthorized"),
        (401, b'{"message":"x","message":"Unauthorized"}'),
        (403, {"message": "Forbidden"}),
        (403, {"message": "Authorization header requires 'Credential' parameter."}),
        (429, {"message": "Slow down"}),
        (503, {"message": "Too Many Requests"}),
        (504, {"message": "Endpoint request timed out"}),
        (400, {"message": "Invalid request body"}),
        (400, {"message": "Missing required request parameters: [a]\n[b]"}),
        (401, {"message": None}),
        (401, {}),
    ],
)
def test_what_is_almost_a_front_door_proves_nothing(status: int, body: object) -> None:
    assert front_door_of(response(body, status)) is None
    reading = reading_of("execute", body, status)
    assert isinstance(reading, Unreadable)
    assert error_of(calls.EXECUTE, reading).effect is Effect.UNKNOWN


def test_front_door_errors_are_typed() -> None:
    kinds = {
        FrontDoor.TOKEN_REJECTED: AuthenticationRejectedError,
        FrontDoor.THROTTLED: ThrottledError,
        FrontDoor.ROUTE: GatewayError,
        FrontDoor.MISSING_HEADER: GatewayError,
    }
    for door in FrontDoor:
        error = error_of(calls.EXECUTE, AtFrontDoor(door, 400))
        assert type(error) is kinds[door]
        assert error.code == door.value


# ------------------------------------------------------------------------------------------- pages and rubbish


@pytest.mark.parametrize(
    ("status", "page", "blocked", "support_id"),
    [
        (200, "<html>Your support ID is: 1234567890123456789</html>", True, "1234567890123456789"),
        (403, "<!DOCTYPE html><p>Request ID: Ab_c-12345==</p>", True, "Ab_c-12345=="),
        (403, "<HTML>Access denied. Ray ID: <strong>8f00ba12</strong>", True, "8f00ba12"),
        (403, "\n\t <html>blocked</html>", True, None),
        (502, "<html><h1>502 Bad Gateway</h1></html>", False, None),
        (503, "<html>incident id 12345678</html>", True, "12345678"),
    ],
)
def test_a_firewalls_page_gives_its_support_id(
    status: int, page: str, blocked: bool, support_id: str | None
) -> None:
    reading = reading_of("execute", page.encode(), status)
    assert isinstance(reading, Unreadable)
    error = error_of(calls.EXECUTE, reading)
    assert isinstance(error, GatewayBlockedError) is blocked
    assert error.effect is Effect.UNKNOWN
    if isinstance(error, GatewayBlockedError):
        assert error.support_id == support_id


def test_a_bare_403_is_a_firewalls_no() -> None:
    _, answer = golden("gateway_forbidden")
    error = error_of(calls.EXECUTE, read(calls.EXECUTE, answer))  # type: ignore[arg-type]
    assert isinstance(error, GatewayBlockedError)
    assert error.effect is Effect.UNKNOWN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"0000",
        b'"ok"',
        b'{"statusCode":"0000"',
        b'{"statusCode":"0000","statusCode":"2023"}',
        b'{"amount":NaN,"statusCode":"0000"}',
        b'{"amount":-Infinity}',
        b'{"statusCode":"0000","trxID":"\xff"}',
        b'{"a":' * 100_000,
        b"\xef\xbb\xbf",
        '{"statusCode":"0000"}'.encode("utf-16"),
        b"\x1f\x8b\x08\x00",
        b'{"amount":1' + b"0" * 100_000 + b"}",
    ],
)
def test_rubbish_is_unreadable_for_every_call(body: bytes) -> None:
    for call in CALLS.values():
        reading = read(call, WireResponse(200, {}, body))
        assert isinstance(reading, Unreadable)
        assert isinstance(error_of(call, reading), UnreadableAnswerError)


statuses = st.sampled_from([200, 201, 301, 400, 401, 403, 404, 429, 500, 502, 503, 504])
words = st.sampled_from(
    [
        "statusCode", "statusMessage", "errorCode", "errorMessage", "internalCode", "externalCode", "message",
        "errorMessageEn", "errorMessageBn", "status", "msg", "paymentID", "trxID", "transactionStatus", "amount",
        "currency", "id_token", "expires_in", "refundTransactions", "refundTrxID", "originalTrxId", "agreementID",
    ]
)  # fmt: skip
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["0000", "2023", "9999", "Completed", "Unauthorized", "fail", "1,500", "1e999", "BDT"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def assert_no_harm(raw: bytes, status: int) -> None:
    """Any bytes: one reading, and where it is no success a GatewayError whose words are printable and few."""
    for call in CALLS.values():
        reading = read(call, WireResponse(status, {}, raw))
        if isinstance(reading, Accepted):
            assert status == 200
            continue
        error = error_of(call, reading)
        assert isinstance(error, GatewayError)
        assert error.__context__ is None and error.__cause__ is None
        assert str(error).isprintable() and len(str(error)) < 600
        assert error.code.isascii() and len(error.code) <= 60
        if call.safety is Safety.ONCE and not isinstance(reading, AtFrontDoor | Refused):
            assert error.effect is Effect.UNKNOWN
        if isinstance(error, DeclinedError):
            assert all(
                word.isprintable() or "\u200d" in word or "\u200c" in word
                for word in error.reason.own_words.values()
            )


@given(st.binary(max_size=300), statuses)
@example(b'{"statusCode":"\\ud800"}', 200)
def test_no_bytes_raise(raw: bytes, status: int) -> None:
    assert_no_harm(raw, status)


@given(st.dictionaries(words, values, max_size=6), statuses)
def test_no_object_raises(body: dict[str, Any], status: int) -> None:
    assert_no_harm(json.dumps(body).encode(), status)


# ------------------------------------------------------------------------------------------------ what is shown


def declined(message: str) -> DeclinedError:
    error = error_of(calls.EXECUTE, reading_of("execute", {"statusCode": "2023", "statusMessage": message}))
    assert isinstance(error, DeclinedError)
    return error


def test_the_payer_sees_bkashs_own_sentence() -> None:
    assert declined("Insufficient Balance").reason.text("en") == "Insufficient Balance"
    assert declined("").reason.text("en") == "The account does not have enough balance."
    assert "ব্যালেন্স" in declined("Insufficient Balance").reason.text("bn")


def test_bkashs_sentence_is_made_harmless() -> None:
    shown = declined("No\r\nmoney\x1b[31m\u202e\x00 " + "x" * 5_000).reason.text("en")
    assert shown.startswith("No money [31m")
    assert len(shown) <= 200 and shown.isprintable()
    joined = "ক\u09cd\u200dষ"
    assert declined(joined).reason.text("en") == joined, "Bangla needs its joiners"


def test_bkashs_sentence_may_not_quote_what_was_sent_to_it() -> None:
    secrets = ("CANARY-Zx9Q", "CANARYsecret", "CANARYtok.en.x", "01770618575")
    echo = f"No money; Authorization={secrets[2]} password={secrets[0]} app_secret: {secrets[1]} {secrets[3]}"
    for field in ("statusMessage", "errorMessage", "errorMessageEn", "errorMessageBn"):
        body = {"statusCode": "2023", field: echo}
        reading = reading_of("execute", body)
        assert isinstance(reading, Refused)
        error = error_of(calls.EXECUTE, reading)
        assert isinstance(error, DeclinedError)
        shown = f"{dict(reading.own_words)} {error!r} {error.reason!r}"
        assert not any(secret in shown for secret in secrets), field
        assert "No money; Authorization=" in shown, field


def test_no_error_shows_a_body() -> None:
    secret = "CANARYtoken0123456789"
    echoed = (
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter."
        f" Authorization header requires 'SignedHeaders' parameter. Authorization={secret}"
    )
    bodies = [
        (403, {"message": echoed}),
        (403, {"message": f"'{secret}' not a valid key=value pair (missing equal-sign) in Authorization header"}),
        (200, {"statusCode": "9999", "statusMessage": secret}),
        (200, {"statusCode": "1111", "statusMessage": secret}),
        (200, f"<html>{secret}</html>".encode()),
        (200, f'{{"id_token":"{secret}"'.encode()),
        (500, {"id_token": secret}),
    ]  # fmt: skip
    for status, body in bodies:
        for call in (calls.EXECUTE, calls.GRANT):
            error = error_of(call, reading_of(call.operation.value, body, status))
            assert secret not in str(error) + repr(error) + str(error.context) + error.code


def test_an_open_outcome_says_so() -> None:
    error = error_of(calls.EXECUTE, Refused("9999", 200))
    assert type(error) is OutcomeUnknownError
    assert "Money may have moved" in str(error)

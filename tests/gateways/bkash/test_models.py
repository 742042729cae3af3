"""The wire models against files transcribed from the protocol dossier, and against bodies nobody should send."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vextrus_payments.gateways.bkash import models as m

GOLDEN = Path(__file__).parent / "golden"
VECTORS = json.loads((GOLDEN / "vectors.json").read_text(encoding="utf-8"))
BODIES: dict[str, type[m.Body]] = {
    "request_grant": m.GrantBody,
    "request_refresh": m.RefreshBody,
    "request_create_0011": m.CreateBody,
    "request_create_0001": m.CreateBody,
    "request_create_0000": m.CreateBody,
    "request_execute": m.PaymentIdBody,
    "request_query": m.PaymentIdBody,
    "request_capture": m.PaymentIdBody,
    "request_void": m.PaymentIdBody,
    "request_agreement_status": m.AgreementIdBody,
    "request_agreement_cancel": m.AgreementIdBody,
    "request_search": m.TrxIdBody,
    "request_refund_v1": m.RefundV1Body,
    "request_refund_status_v1": m.RefundStatusV1Body,
    "request_refund_v2": m.RefundV2Body,
    "request_refund_status_v2": m.RefundStatusV2Body,
}
ANSWERS: dict[str, type[m.Answer]] = {
    "grant": m.TokenAnswer,
    "create_0011": m.CreateAnswer,
    "create_0001": m.CreateAnswer,
    "create_0000": m.CreateAnswer,
    "execute_sale": m.ExecuteAnswer,
    "execute_sale_newer": m.ExecuteAnswer,
    "execute_authorized": m.ExecuteAnswer,
    "execute_agreement": m.ExecuteAnswer,
    "query_completed": m.QueryAnswer,
    "query_initiated": m.QueryAnswer,
    "query_verified": m.QueryAnswer,
    "query_documented_names": m.QueryAnswer,
    "query_agreement": m.QueryAnswer,
    "agreement_status": m.AgreementAnswer,
    "agreement_cancel": m.AgreementAnswer,
    "search": m.SearchAnswer,
    "capture": m.CaptureVoidAnswer,
    "refund_v1": m.RefundV1Answer,
    "refund_status_v1_none": m.RefundV1Answer,
    "refund_v2": m.RefundV2Answer,
    "refund_status_v2": m.RefundStatusV2Answer,
    "refund_status_v2_none": m.RefundStatusV2Answer,
}
EVERY_ANSWER = (
    m.TokenAnswer,
    m.CreateAnswer,
    m.ExecuteAnswer,
    m.QueryAnswer,
    m.AgreementAnswer,
    m.SearchAnswer,
    m.CaptureVoidAnswer,
    m.RefundV1Answer,
    m.RefundV2Answer,
    m.RefundStatusV2Answer,
)


def golden(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["body"]
    return body


def raw(body: object) -> bytes:
    return json.dumps(body).encode()


@pytest.mark.parametrize(("name", "model"), BODIES.items())
def test_what_we_send_has_exactly_the_documented_fields(name: str, model: type[m.Body]) -> None:
    assert json.loads(model.model_validate(golden(name)).to_json()) == golden(name)


@pytest.mark.parametrize(("name", "model"), ANSWERS.items())
def test_every_documented_answer_is_read_without_loss(name: str, model: type[m.Answer]) -> None:
    assert model.from_json(raw(golden(name))).to_wire() == golden(name)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_no_golden_answer_breaks_any_model(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["source"].startswith("dossier")
    for model in EVERY_ANSWER:
        model.from_json(raw(document.get("body", {})))


def test_every_collected_body_is_read_by_every_model() -> None:
    """Bodies collected from public sources; they lie beside the repository and not everywhere."""
    corpus = Path(__file__).parents[4] / "shared" / "testdata" / "gateway_bodies.jsonl"
    if not corpus.exists():
        pytest.skip("the collected bodies are not on this machine")
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    bodies = [row["body"] for row in rows if row["gateway"] == "bkash"]
    assert len(bodies) > 100
    for body in bodies:
        for model in EVERY_ANSWER:
            answer = model.from_json(raw(body))
            assert answer.status_code == body.get("statusCode")
            assert answer.error_code == body.get("errorCode")


@pytest.mark.parametrize("model", [m.RefundV1Body, m.RefundV2Body])
def test_a_refund_without_an_amount_cannot_be_built(model: type[m.Body]) -> None:
    name = "request_refund_v1" if model is m.RefundV1Body else "request_refund_v2"
    key = "amount" if model is m.RefundV1Body else "refundAmount"
    for amount in ("", None, 5, 5.0):
        with pytest.raises(ValidationError):
            model.model_validate({**golden(name), key: amount})


def test_requests_are_strict_and_their_errors_show_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        m.GrantBody.model_validate({"app_key": "key", "app_secret": "canary-secret", "extra": "canary-extra"})
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(m.GrantBody(app_key="key", app_secret="canary-secret"))
    refresh = m.RefreshBody(app_key="key", app_secret="canary-secret", refresh_token="canary-refresh")
    assert "canary" not in repr(refresh) and "canary" not in str(refresh)


def test_an_answer_hides_tokens_and_the_payer_in_its_repr() -> None:
    token = m.TokenAnswer.from_json(raw({"id_token": "canary-id", "refresh_token": "canary-refresh"}))
    paid = m.ExecuteAnswer.from_json(raw({"customerMsisdn": "01canary", "payerAccount": "01canary"}))
    assert "canary" not in repr(token) + str(token) + repr(paid) + str(paid)
    assert token.id_token == "canary-id"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("100.00", "100.00"),
        ('"100.00"', "100.00"),
        ("15", "15"),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("1e2", "1e2"),
        ("0.1", "0.1"),
    ],
)
def test_numbers_stay_the_exact_text_of_the_wire(text: str, seen: str) -> None:
    assert m.ExecuteAnswer.from_json(b'{"amount":' + text.encode() + b"}").amount == seen


@pytest.mark.parametrize("odd", ["{}", "[]", "true", "null", "[1]", '{"a": "Completed"}'])
def test_a_proof_of_the_wrong_shape_is_no_proof_and_not_fatal(odd: str) -> None:
    answer = m.ExecuteAnswer.from_json(f'{{"trxID": {odd}, "transactionStatus": "Completed"}}'.encode())
    assert answer.trx_id is None
    assert answer.transaction_status == "Completed"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>502</html>",
        b"[]",
        b'"0000"',
        b"null",
        b'{"a":1',
        b'{"amount":NaN}',
        b'{"amount":Infinity}',
        b'{"trxID":"A","trxID":"B"}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"\xff"}',
        b"[" * 200_000,
        b'{"a":' * 200_000,
    ],
)
def test_what_can_be_read_two_ways_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(m.UnreadableBodyError) as caught:
        m.ExecuteAnswer.from_json(body)
    assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "trxID" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_the_one_error(body: bytes) -> None:
    try:
        m.RefundStatusV2Answer.from_json(body)
    except m.UnreadableBodyError:
        pass


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
wire_names = st.sampled_from(
    [
        "trxID",
        "paymentID",
        "paymentId",
        "amount",
        "statusCode",
        "refundTransactions",
        "expires_in",
        "id_token",
        "refund_list_unreadable",
    ]
)


@given(st.dictionaries(wire_names, json_values))
def test_any_object_is_read_and_can_be_written_again(body: dict[str, Any]) -> None:
    for model in EVERY_ANSWER:
        json.dumps(model.from_json(raw(body)).to_wire()).encode("utf-8")


def test_both_spellings_are_read_and_a_contradiction_equals_neither() -> None:
    answer = m.QueryAnswer.from_json(raw(golden("query_documented_names")))
    assert (answer.invoice, answer.verification) == ("INV-1", "Complete")
    torn = m.QueryAnswer.from_json(raw({"merchantInvoice": "INV-1", "merchantInvoiceNumber": "INV-2"}))
    assert torn.invoice not in ("INV-1", "INV-2", None)
    assert m.QueryAnswer.from_json(b'{"paymentId":"x"}').payment_id == "x"
    assert m.CreateAnswer.from_json(b'{"bKashURL":"u"}').bkash_url == "u"
    assert m.CaptureVoidAnswer.from_json(raw(golden("void"))).payment_id == golden("void")["paymentId"]


@pytest.mark.parametrize(
    ("value", "seconds"), [(3600, 3600), ("3600", 3600), ("3600.0", 3600), ("soon", None), (-1, None)]
)
def test_expiry_is_read_as_number_and_as_text(value: object, seconds: int | None) -> None:
    assert m.TokenAnswer.from_json(raw({"expires_in": value})).expires_in == seconds


@pytest.mark.parametrize("garbled", ["none", {}, [1], ["x"], [[]], True])
def test_a_garbled_refund_list_is_told_from_an_absent_one(garbled: object) -> None:
    answer = m.RefundStatusV2Answer.from_json(raw({"refundTransactions": garbled}))
    assert answer.refund_transactions is None
    assert answer.refund_list_unreadable
    assert not m.RefundStatusV2Answer.from_json(b"{}").refund_list_unreadable
    assert not m.RefundStatusV2Answer.from_json(b'{"refund_list_unreadable":true}').refund_list_unreadable
    listed = m.RefundStatusV2Answer.from_json(raw(golden("refund_status_v2")))
    assert listed.refund_transactions is not None
    assert listed.refund_transactions[0].refund_amount == "5.00"


@pytest.mark.parametrize(("text", "moment"), VECTORS["times"])
def test_golden_times(text: str, moment: str) -> None:
    assert m.parse_time(text) == datetime.fromisoformat(moment)


def test_times_are_written_as_bkash_writes_them() -> None:
    moment = datetime(2019, 8, 7, 5, 12, 34, 978_999, tzinfo=UTC)
    assert m.format_time(moment) == "2019-08-07T11:12:34:978 GMT+0600"
    assert m.format_time(moment, UTC) == "2019-08-07T05:12:34:978 GMT+0000"
    with pytest.raises(ValueError, match="aware"):
        m.format_time(datetime(2019, 8, 7))  # noqa: DTZ001 - the missing zone is the point


@given(st.integers(946_684_800_000, 4_102_444_800_000), st.integers(-23, 23))
def test_times_survive_a_round_trip(epoch_ms: int, hours: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=epoch_ms)
    assert m.parse_time(m.format_time(moment, timezone(timedelta(hours=hours)))) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2019-08-07",
        "2019-13-07T11:12:34:978 GMT+0600",
        "2019-02-30T11:12:34:978 GMT+0600",
        "2019-08-07T11:12:34:978 UTC",
        "2019-08-07T11:12:34:978 GMT+9900",
        "২০১৯-08-07T11:12:34:978 GMT+0600",
        "2019-08-07T11:12:34:978 GMT+0600\n",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        m.parse_time(text)


@pytest.mark.parametrize(("prefix", "day"), VECTORS["trx_dates"])
def test_golden_transaction_dates(prefix: str, day: str) -> None:
    assert m.trx_date(prefix + "0000000") == date.fromisoformat(day)
    assert m.trx_date_prefix(date.fromisoformat(day)) == prefix


@pytest.mark.parametrize("trx_id", ["", "C", "ZZZ0000000", "cgf0000000", "CBV0000000"])
def test_an_id_outside_the_scheme_has_no_date(trx_id: str) -> None:
    assert m.trx_date(trx_id) is None


@pytest.mark.parametrize(("text", "fields"), VECTORS["tlv"])
def test_golden_association_info(text: str, fields: dict[str, str]) -> None:
    assert m.parse_tlv(text) == fields


@pytest.mark.parametrize("text", ["MI", "MI05MID5", "MIxxMID54", "mi05MID54", "MI01AMI01B", "MI05MID54RF"])
def test_malformed_association_info_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="merchantAssociationInfo"):
        m.parse_tlv(text)

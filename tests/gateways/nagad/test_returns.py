"""The browser's return: a hint that names a payment, whatever order its parameters came in."""

import json
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.nagad.hand import MERCHANT, ORDER_ID, REFERENCE
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.nagad.returns import parse_return

GOLDEN = json.loads((Path(__file__).parent / "golden" / "verify.json").read_text(encoding="utf-8"))
REAL_MERCHANT = "683002007104225"


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("return_success", HintVerdict.SUCCESS), ("return_failure", HintVerdict.FAILURE)],
)
@pytest.mark.parametrize("backwards", [False, True])
def test_real_returns(name: str, verdict: HintVerdict, backwards: bool) -> None:
    query = GOLDEN[name]
    if backwards:
        query = "&".join(reversed(query.split("&")))
    for params in (dict(parse_qsl(query)), parse_qs(query)):
        hint = parse_return(params, merchant_id=REAL_MERCHANT)  # type: ignore[arg-type]
        assert hint.gateway_reference == GOLDEN["success"]["paymentRefId"]
        assert hint.verdict is verdict


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("Success", HintVerdict.SUCCESS),
        ("success", HintVerdict.SUCCESS),
        ("Failed", HintVerdict.FAILURE),
        ("Aborted", HintVerdict.CANCEL),
        ("Cancelled", HintVerdict.CANCEL),
        ("UnKnownFailed", HintVerdict.UNRECOGNIZED),
        ("InProgress", HintVerdict.UNRECOGNIZED),
        ("paid", HintVerdict.UNRECOGNIZED),
        ("", HintVerdict.UNRECOGNIZED),
    ],
)
def test_what_it_claims(status: str, verdict: HintVerdict) -> None:
    params = {"payment_ref_id": REFERENCE, "status": status}
    assert parse_return(params, merchant_id=MERCHANT).verdict is verdict


def test_an_equals_sign_that_a_parser_dropped_is_put_back() -> None:
    bare = REFERENCE.rstrip("=")
    assert bare != REFERENCE
    for text in (bare, REFERENCE, bare + "="):
        assert parse_return({"payment_ref_id": text}, merchant_id=MERCHANT).gateway_reference == REFERENCE


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"payment_ref_id": ""},
        {"payment_ref_id": "ab"},
        {"payment_ref_id": REFERENCE + "/../x"},
        {"payment_ref_id": REFERENCE.replace("M", "+", 1)},
        {"payment_ref_id": "x" * 500},
        {"payment_ref_id": ["MDMwMDMw", "MDMwMDMx"]},
        {"payment_ref_id": REFERENCE, "merchant": "680000000000002"},
        {"payment_ref_id": REFERENCE, "order_id": ORDER_ID + "X"},
        {"PAYMENT_REF_ID": REFERENCE},
    ],
)
def test_what_names_no_payment_of_ours_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_return(params, merchant_id=MERCHANT)
    assert caught.value.field and caught.value.rule


def test_another_merchants_reference_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        parse_return({"payment_ref_id": REFERENCE}, merchant_id="680000000000002")


@given(st.dictionaries(st.sampled_from(["payment_ref_id", "status", "merchant", "order_id"]), st.text()))
def test_whatever_a_browser_sends_is_a_hint_or_a_refusal(params: dict[str, str]) -> None:
    try:
        parse_return(params, merchant_id=MERCHANT)
    except InvalidRequestError:
        return

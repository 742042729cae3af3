"""bKash's own parameters, and the browser's return."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateways.bkash.hand import GOLDEN
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.events import HintVerdict
from vextrus_payments.gateways.bkash import BkashCheckout
from vextrus_payments.gateways.bkash.manners import ORDER_ID
from vextrus_payments.gateways.bkash.returns import parse_return

VECTORS = json.loads((GOLDEN / "vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("given_", "mode"),
    [
        ({}, "0011"),
        ({"mode": "0011"}, "0011"),
        ({"agreement_id": "A1"}, "0001"),
        ({"agreement_id": "A1", "mode": "0001"}, "0001"),
        ({"payer_reference": "গ্রাহক-১"}, "0011"),
    ],
)
def test_the_mode_follows_the_agreement(given_: dict[str, Any], mode: str) -> None:
    assert BkashCheckout(**given_).wire_mode == mode


@pytest.mark.parametrize(("text", "fields"), VECTORS["tlv"])
def test_the_golden_association_infos_are_taken(text: str, fields: dict[str, str]) -> None:
    assert BkashCheckout(merchant_association_info=text).merchant_association_info == text


@pytest.mark.parametrize(
    ("given_", "field"),
    [
        ({"mode": "0000"}, "mode"),
        ({"mode": "0002"}, "mode"),
        ({"mode": "0001"}, "mode"),
        ({"mode": "0011", "agreement_id": "A1"}, "mode"),
        ({"agreement_id": ""}, "agreement_id"),
        ({"agreement_id": "a b"}, "agreement_id"),
        ({"merchant_association_info": ""}, "merchant_association_info"),
        ({"merchant_association_info": "MI05MID5"}, "merchant_association_info"),
        ({"merchant_association_info": "MI05MID54MI01A"}, "merchant_association_info"),
        ({"merchant_association_info": "MI99" + "x" * 99 + "RF99" + "y" * 99 + "ZZ99" + "z" * 99},
         "merchant_association_info"),
        ({"payer_reference": "a<b"}, "payer_reference"),
        ({"payer_reference": "a&b"}, "payer_reference"),
        ({"payer_reference": ""}, "payer_reference"),
        ({"payer_reference": "x" * 256}, "payer_reference"),
        ({"payer_reference": "a\nb"}, "payer_reference"),
        ({"amount": "5"}, "amount"),
    ],
)  # fmt: skip
def test_what_bkash_would_refuse_is_refused_by_name(given_: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        BkashCheckout(**given_)
    assert caught.value.field == field
    assert caught.value.rule
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_the_agreement_is_not_shown() -> None:
    shown = repr(BkashCheckout(agreement_id="canary-agreement", payer_reference="canary-payer"))
    assert "canary" not in shown


# ------------------------------------------------------------------------------------------------- order ids


@given(
    st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200),
    st.integers(1, 999),
)
def test_every_merchant_reference_makes_an_order_id_that_bkash_takes(reference: str, number: int) -> None:
    made = ORDER_ID.make(reference, number)
    assert ORDER_ID.fits(made)
    assert not set(made) & set("<>& ")
    assert len(made) <= 255


def test_order_ids_are_numbered() -> None:
    assert [ORDER_ID.make("INV-8812", n) for n in (1, 2, 3)] == ["INV-8812", "INV-8812-2", "INV-8812-3"]


# --------------------------------------------------------------------------------------------------- returns


@pytest.mark.parametrize(
    ("params", "verdict"),
    [
        ({"paymentID": "TR1", "status": "success"}, HintVerdict.SUCCESS),
        ({"paymentId": "TR1", "status": "failure"}, HintVerdict.FAILURE),
        ({"paymentID": "TR1", "status": "cancel"}, HintVerdict.CANCEL),
        ({"paymentID": "TR1", "status": "SUCCESS"}, HintVerdict.UNRECOGNIZED),
        ({"paymentID": "TR1", "status": "paid"}, HintVerdict.UNRECOGNIZED),
        ({"paymentID": "TR1"}, HintVerdict.UNRECOGNIZED),
        ({"paymentID": "TR1", "paymentId": "TR1", "status": "success"}, HintVerdict.SUCCESS),
        ({"paymentID": ["TR1", "TR1"], "status": ["success"]}, HintVerdict.SUCCESS),
        ({"paymentID": "TR1", "status": ["success", "cancel"]}, HintVerdict.UNRECOGNIZED),
        (
            {"paymentID": "TR1", "status": "success", "signature": "x", "apiVersion": "1.2.0-beta", "a": "b"},
            HintVerdict.SUCCESS,
        ),
    ],
)
def test_a_return_is_read(params: Any, verdict: HintVerdict) -> None:
    hint = parse_return(params)
    assert (hint.gateway, hint.gateway_reference, hint.verdict) == ("bkash", "TR1", verdict)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"status": "success"},
        {"paymentID": ""},
        {"paymentID": "TR1", "paymentId": "TR2"},
        {"paymentID": ["TR1", "TR2"]},
        {"paymentID": "TR1\r\nSet-Cookie: x"},
        {"paymentID": "../../etc/passwd"},
        {"paymentID": "' OR 1=1 --"},
        {"paymentID": "x" * 200},
        {"paymentID": "TR১"},
        {"paymentID": None},
        {"paymentID": 7},
        {"paymentid": "TR1"},
    ],
)
def test_a_return_that_names_no_payment_is_refused(params: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_return(params)
    assert caught.value.field == "paymentID"


@given(
    st.dictionaries(
        st.sampled_from(["paymentID", "paymentId", "status", "x"]),
        st.text() | st.lists(st.text()) | st.none() | st.integers(),
    )
)
def test_no_return_raises_anything_else(params: Any) -> None:
    try:
        parse_return(params)
    except InvalidRequestError:
        pass

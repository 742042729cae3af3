"""By what a payer paid: a note that is mended, never refused, and holds no number."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules_world import receipt
from vextrus_payments.documents import from_json, to_json
from vextrus_payments.methods import RAW_MAX, MethodKind, PaymentMethod
from vextrus_payments.records import Receipt

ROCKET = PaymentMethod(kind=MethodKind.WALLET, name="rocket", raw="DBBLMOBILEB-Dbbl Mobile Banking")


def test_it_reads_as_its_name_or_as_what_the_gateway_says() -> None:
    assert str(ROCKET) == "rocket"
    assert str(PaymentMethod(kind=MethodKind.UNKNOWN, name="unknown", raw="FOO-Pay")) == "FOO-Pay"
    assert str(PaymentMethod(kind=MethodKind.UNKNOWN, name="unknown")) == "unknown"


@pytest.mark.parametrize("name", ["", "Visa", "a b", "x" * 41, "a\n", "\u09e7"])
def test_a_name_that_is_none_becomes_unknown(name: str) -> None:
    assert PaymentMethod(kind=MethodKind.OTHER, name=name).name == "unknown"


@pytest.mark.parametrize(
    "raw", ["VISA-4111111111111111", "VISA 4111 1111 1111 1111 ok", "01770618575", "4111-1111-1111-1111"]
)
def test_no_number_is_left_in_the_gateways_text(raw: str) -> None:
    kept = PaymentMethod(kind=MethodKind.CARD, name="visa", raw=raw).raw
    assert "1111" not in kept and "0618" not in kept


@given(st.text(max_size=300))
def test_whatever_a_gateway_says_is_kept_plain_and_comes_back_as_it_was(raw: str) -> None:
    method = PaymentMethod(kind=MethodKind.OTHER, name="other", raw=raw)
    assert len(method.raw) <= RAW_MAX
    assert method.raw.isprintable()
    assert PaymentMethod(kind=method.kind, name=method.name, raw=method.raw) == method


def test_a_receipt_of_an_older_release_is_read_and_an_older_release_reads_ours() -> None:
    kept = receipt(method=ROCKET)
    document = json.loads(to_json(kept))
    assert from_json(Receipt, to_json(kept)) == kept
    assert document["method"] == {"kind": "wallet", "name": "rocket", "raw": ROCKET.raw}
    del document["method"]
    assert from_json(Receipt, json.dumps(document)) == receipt()
    # what an older release does not know it passes over
    assert from_json(Receipt, json.dumps({**document, "of_a_later_release": {"a": 1}})) == receipt()

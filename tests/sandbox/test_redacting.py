"""What people may see of a request: secrets hidden, numbers as they were written, an end to everything."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments_sandbox.redacting import (
    body_shown,
    endpoint_shown,
    headers_shown,
    text_shown,
    url_shown,
)

CANARY = "canary0Secret0Value0"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "app_secret",
        "APP_KEY",
        "app_key",
        "x-app-key",
        "id_token",
        "refresh_token",
        "Token",
        "pin",
        "otp",
        "customer_pin",
        "otp_code",
        "pinCode",
        "PIN",
        "Authorization",
        "signature",
        "Signature",
        "apiKey",
        "private_key",
        "username",
        "SubscribeURL",
        "UnsubscribeURL",
        "callbackToken",
    ],
)
@pytest.mark.parametrize(
    "shape",
    [
        "text",
        "number",
        "list",
        "object",
        "deep",
        "cut",
        "form",
        "loose",
        "nested",
        "xml",
        "multipart",
        "last",
    ],
)
def test_whatever_sounds_like_a_secret_is_hidden(name: str, shape: str) -> None:
    number = "90817263544"
    raw = {
        "text": json.dumps({"a": "1", name: CANARY, "b": "2"}),
        "number": json.dumps({name: int(number), "b": "2"}),
        "list": json.dumps({name: [CANARY, {"x": CANARY}], "b": "2"}),
        "object": json.dumps({name: {"x": CANARY}, "b": "2"}),
        "deep": json.dumps([{"x": [{"y": {name: CANARY}}]}]),
        "cut": json.dumps({"a": "1", name: CANARY})[:-4],
        "form": f"a=1&{name}={CANARY}&b=2",
        "loose": f"{{{name}: {CANARY}, b: 2}}",
        "nested": json.dumps({"a": "1", "Message": json.dumps({name: CANARY}), "b": "2"}),
        "xml": f"<a>1</a><{name} kind='x'>{CANARY}</{name}><b>2</b>",
        "multipart": (
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\nContent-Type: text/plain\r\n\r\n'
            f'{CANARY}\r\n--x\r\nContent-Disposition: form-data; name="b"\r\n\r\n12\r\n--x--'
        ),
        "last": f'--x\nContent-Disposition: form-data; name="{name}"\n\n{CANARY}',
    }[shape]
    shown = body_shown(raw.encode())
    assert CANARY[:6] not in shown and number not in shown
    assert "[hidden: " in shown
    if shape in ("text", "form", "nested", "xml", "multipart"):
        assert "2" in shown and "1" in shown


@pytest.mark.parametrize(
    "raw",
    [
        '{"amount":10.50,"count":3,"big":123456789012345678901234567890,"e":1e5,"zero":0.0}',
        '{"merchantInvoiceNumber":"INV-1","paymentID":"TR0011abc","amount":"10.00"}',
        '{"trxID":"AAA","statusMessage":"Successful","token_type":"Bearer"}',
        '{"spinning":"top","opinion":"mine","laptop":"yes"}',
        '{"Message":"{\\"amount\\":\\"10.00\\",\\"trxID\\":\\"AAA\\"}","note":"[b] and {c}"}',
        "<amount>10.00</amount><trxID>AAA</trxID>",
        '--x\r\nContent-Disposition: form-data; name="amount"\r\n\r\n10.00\r\n--x--',
        '{"n":null,"t":true,"f":false,"l":[1,"2",[]],"o":{}}',
        '{"bangla":"টাকা","quote":"a\\"b","line":"a\\nb"}',
        "{}",
        "[]",
        "plain words, 3 of them",
        "",
    ],
)
def test_everything_else_stays_as_it_was_written(raw: str) -> None:
    assert body_shown(raw.encode()) == raw


def test_other_encodings_hide_nothing_less() -> None:
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-8-sig"):
        assert CANARY[:6] not in body_shown(json.dumps({"password": CANARY}).encode(encoding)).replace(
            "\0", ""
        )


def test_sealed_data_is_shortened() -> None:
    sealed = "A" * 344
    shown = json.loads(
        body_shown(json.dumps({"sensitiveData": sealed, "signature": sealed, "dateTime": "2026"}).encode())
    )
    assert shown == {
        "sensitiveData": "AAAAAAAAAAAA[... 344 characters]",
        "signature": "AAAAAAAAAAAA[... 344 characters]",
        "dateTime": "2026",
    }
    assert sealed not in body_shown(f'{{"sensitiveData":"{sealed}'.encode())  # half a document


def test_bodies_are_cut() -> None:
    shown = body_shown(json.dumps({"a": "x" * 10_000}).encode())
    assert len(shown) < 4_200 and shown.endswith(" [... 5912 more]")
    shown = body_shown(b"\xff" * 100_000)
    assert len(shown) < 4_200 and "more]" in shown
    assert body_shown(b"x y " * 1_000_000, 10).startswith("x y x y x ")


def test_a_secret_on_the_edge_of_the_cut_stays_hidden() -> None:
    for length in range(4_040, 4_110):
        assert CANARY[:6] not in body_shown(("x" * length + f" password={CANARY}").encode())
        assert CANARY[:6] not in body_shown(json.dumps({"a": "x" * length, "password": CANARY}).encode())


@pytest.mark.parametrize("raw", [b"[" * 60_000, b'{"a":' * 10_000, json.dumps([[[[1]]]] * 9_000).encode()])
def test_deep_and_wide_bodies_end(raw: bytes) -> None:
    assert len(body_shown(raw)) < 4_200


def test_hostile_text_takes_no_time() -> None:
    for hostile in (
        "token" * 20_000,
        '"password"' + " " * 60_000,
        "pin" + "_" * 60_000,
        "?" * 60_000 + "=",
        "name=" * 20_000,
        "name=a\n" * 20_000,
        "name=a\n\n" * 20_000,
        "<a " * 20_000,
        "<" * 60_000,
        "<pin>" * 20_000,
    ):
        assert len(body_shown(hostile.encode())) < 4_200
        url_shown(hostile)


def test_headers_are_shown_only_where_they_are_known_to_be_harmless() -> None:
    shown = headers_shown(
        [
            ("Content-Type", "application/json"),
            ("Authorization", CANARY),
            ("X-App-Key", CANARY),
            ("username", CANARY),
            ("X-Anything", CANARY),
            ("Cookie", CANARY),
            ("X-KM-IP-V4", "127.0.0.1"),
            ("User-Agent", "a" * 5_000),
            ("Accept", "a"),
            ("accept", "b"),
            ("Location", f"http://shop.example/?paymentID=1&token={CANARY}"),
        ]
    )
    assert CANARY not in str(shown)
    assert shown["content-type"] == "application/json" and shown["x-km-ip-v4"] == "127.0.0.1"
    assert shown["authorization"] == f"[hidden: {len(CANARY)} characters]" and shown["accept"] == "a, b"
    assert len(shown["user-agent"]) < 600 and "paymentID=1" in shown["location"]


def test_addresses_keep_their_sense() -> None:
    assert url_shown("http://shop.example/return?order=7&sig=1") == "http://shop.example/return?order=7&sig=1"
    shown = url_shown(f"http://127.0.0.1/?paymentID=TR1&hash={CANARY}&signature={CANARY}#token={CANARY}")
    assert "paymentID=TR1" in shown and CANARY not in shown
    inside = body_shown(json.dumps({"bkashURL": f"http://127.0.0.1/?paymentID=T&hash={CANARY}"}).encode())
    assert "paymentID=T" in inside and CANARY not in inside


def test_a_token_in_plain_text_is_shortened() -> None:
    assert "e" * 100 not in text_shown("Bearer " + "e" * 400)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.sampled_from(["password", "idToken", "PIN", "app_secret"]), _JSON)
def test_no_json_leaks_or_breaks(around: Any, name: str, value: Any) -> None:
    body = {"around": around, "x": [{name: {"canary": CANARY, "value": value}}]}
    shown = body_shown(json.dumps(body).encode(), 100_000)
    assert CANARY not in shown
    assert isinstance(json.loads(shown), dict)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(raw: bytes) -> None:
    assert len(body_shown(raw)) < 4_200 and len(body_shown(b"{" + raw)) < 4_200


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8000/hook", "http://127.0.0.1:8000/hook"),
        ("http://127.0.0.1/hook?", "http://127.0.0.1/hook?"),
        ("http://127.0.0.1/hook?k=abc", "http://127.0.0.1/hook?k=[hidden: 3 characters]"),
        ("http://127.0.0.1/hook?abc", "http://127.0.0.1/hook?[hidden: 3 characters]"),
        (
            "http://127.0.0.1/h?a=1&&=c",
            "http://127.0.0.1/h?a=[hidden: 1 characters]&&=[hidden: 1 characters]",
        ),
    ],
)
def test_of_an_endpoint_no_value_of_the_query_is_shown(url: str, shown: str) -> None:
    assert endpoint_shown(url) == shown

"""What may be shown: by allow-list, on one line, with nothing secret in it."""

import json
import time
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.printable import one_line
from vextrus_payments.redaction import (
    is_card_number,
    redact_headers,
    redact_json_body,
    redact_mapping,
    redact_sentence,
    redact_text,
    redact_url,
)
from vextrus_payments.secret import MASK
from vextrus_payments.testing import SecretCanary

SECRET = "hunter2pw"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {s}",
        "authorization=basic {s}",
        "Bearer {s}",
        "Basic {s}",
        "password={s}",
        "password is {s}",
        "PASSWD:{s}",
        "app_secret={s}",
        "appSecret: {s}",
        "client-secret '{s}'",
        "refresh_token: {s}",
        "idToken={s}, next",
        "X-APP-Key: {s}",
        "api_key={s}&x=1",
        "?store_passwd={s}&a=b",
        "store_passwd%3D{s}",
        '{{"password": "{s}"}}',
        '{{\\"password\\": \\"{s}\\"}}',
        "{{'otp': '{s}'}}",
        "pin={s}",
        "user otp {s}",
        "signature = {s};",
        "credentials: {s}",
        "https://user:{s}@gateway.example/path",
        "passphrase={s}",
    ],
)
def test_a_named_credential_is_masked_in_free_text(text: str) -> None:
    shown = redact_text(text.format(s=SECRET))
    assert SECRET not in shown
    assert MASK in shown


@pytest.mark.parametrize(
    "text",
    [
        "Successful",
        "The payment was declined by the issuer",
        "Insufficient Balance",
        "shopping in Spinney, ticket office",
        "invoice INV-8812-2 of 15 January",
        "paymentID TR0011ON1565154754797",
        "2026-01-15T06:00:00:000 GMT+0600",
        "amount 1250.50 BDT",
    ],
)
def test_an_innocent_sentence_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "sentence",
    [
        "Invalid OTP / PIN",
        "Wrong PIN / wrong PIN count exceeded",
        "OTP / PIN time expired",
        "Multiple OTP request denied",
        "This PIN is wrong.",
        "Security credential incorrect",
        "Invalid username and password combination",
        "আপনার PIN সঠিক নয়",
        "র‍্যাব ও শব্দ‌ভাগ: আপনার ব্যালেন্স যথেষ্ট নয়",
    ],
)
def test_a_sentence_for_payers_may_speak_of_pins(sentence: str) -> None:
    assert redact_sentence(sentence) == sentence


@pytest.mark.parametrize(
    "text",
    [
        "Wrong PIN {s}",
        "The password is {s}",
        "password: letmein",
        "PIN=letmein, wrong",
        "password token: {s}",
        "Authorization: Bearer {s}",
        "token eyJhbGciOi.eyJzdWIi.c2ln",
        "payer 01770618575",
        '{{"app_secret":"letmein"}}',
    ],
)
def test_a_sentence_for_payers_holds_no_credential(text: str) -> None:
    shown = redact_sentence(text.format(s=SECRET))
    assert not any(word in shown for word in (SECRET, "letmein", "eyJ", "01770618575"))


@pytest.mark.parametrize(
    "token",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "A" * 25,
        "c2VjcmV0LXNlY3JldC1zZWNyZXQ+/==",
        "deadbeef" * 8,
        "TokenizedMerchant01L3IKB6H1565072174986",
    ],
)
def test_an_opaque_token_is_masked_wherever_it_stands(token: str) -> None:
    for text in (token, f"got {token}.", f"<{token}>", f"a={token}&b=1", f'"{token}"'):
        assert token not in redact_text(text)


@pytest.mark.parametrize(
    "number",
    [
        "01770618575",
        "8801770618575",
        "+8801770618575",
        "+880 1770-618575",
        "01770-618575",
        "0177 0618 575",
        "০১৭৭০৬১৮৫৭৫",
    ],
)
def test_a_wallet_number_shows_only_its_ends(number: str) -> None:
    shown = redact_text(f"payer {number} said no")
    assert number not in shown
    assert "****" in shown


def test_a_longer_number_is_no_wallet() -> None:
    assert redact_text("at 1701770618575000 ns") == "at 1701770618575000 ns"


# --- what payers type into a page -----------------------------------------------------------------------------

CARDS = ["4111111111111111", "5111111111111118", "2223000048400011", "371111111111114", "6054991234567891"]
#: How a number of sixteen digits, or fewer, is set apart by whoever writes it.
WRITTEN = [
    "{c}", "Card {c} declined", "card={c}", "({c})", "VISA{c}", "{s} ", "{s} 12/26 111", "no. 7 {s}", "{d}, wrong",
    "x{p}x", "{c}/01770618575", "1250.00 {c}", "{s}\n",
]  # fmt: skip


def set_apart(number: str, by: str) -> str:
    return by.join(number[at : at + 4] for at in range(0, len(number), 4))


@pytest.mark.parametrize("number", CARDS)
@pytest.mark.parametrize("text", WRITTEN)
def test_a_cards_number_shows_only_its_ends(number: str, text: str) -> None:
    written = text.format(
        c=number, s=set_apart(number, " "), d=set_apart(number, "-"), p=set_apart(number, ".")
    )
    for shown in (redact_text(written), redact_sentence(written)):
        digits = "".join(letter for letter in shown if letter.isdigit())
        assert number not in digits and f"{number[:3]}****{number[-4:]}" in shown


_WORDS = st.text(alphabet="abcdefgh XYZ:;,.()ঢাকা", max_size=30)
_GAPS = st.sampled_from(["", " ", "-", ".", "_", "/", " - ", "  "])


@given(
    st.integers(0, 10**11 - 1),
    st.sampled_from(["4", "51", "2223", "6011"]),
    _GAPS,
    _WORDS,
    _WORDS,
    st.integers(1, 15),
)
def test_no_cards_number_gets_through_whatever_stands_around_it(
    number: int, start: str, gap: str, before: str, after: str, size: int
) -> None:
    """Set apart in groups of any one size, by whatever people write between them."""
    body = start + f"{number:011d}".rjust(15 - len(start), "7")
    card = next(body + digit for digit in "0123456789" if is_card_number(body + digit))
    written = gap.join(card[at : at + size] for at in range(0, len(card), size))
    for shown in (redact_text(before + written + after), redact_sentence(before + written + after)):
        assert written not in shown and card not in "".join(c for c in shown if c.isdigit())
    for field in ("cardType", "riskTitle", "status", "transactionStatus", "msg"):
        (shown,) = redact_mapping({field: before + written + after}).values()
        assert written not in shown


def test_a_cards_number_in_bangla_digits_is_one() -> None:
    assert "৪১১১" not in redact_text("কার্ড ৪১১১১১১১১১১১১১১১ বাতিল")


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # its check digit does not fit
        "at 1701770618575000 ns",
        "20261123101500",
        "order 1234567890123456",
        "2026-11-23 10:15:00.000000",
    ],
)
def test_what_only_looks_like_a_cards_number_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{s} is your OTP",
        "{s} is your Nagad verification code",
        "Use {s} as the PIN",
        "Your OTP is {s}.",
        "OTP:{s}",
        "CVV {s}",
        "cvv2={s}",
        "CVC: {s}",
        "security code: {s}",
        "verification code {s}",
    ],
)
def test_a_code_that_was_typed_is_masked(text: str) -> None:
    for shown in (redact_text(text.format(s="482913")), redact_sentence(text.format(s="482913"))):
        assert "482913" not in shown and MASK in shown


@pytest.mark.parametrize(
    "sentence",
    [
        "2062 is the status code",
        "Invalid verification code",
        "The security code is wrong.",
        "Error code 503",
        "CVV mismatch",
    ],
)
def test_a_sentence_may_speak_of_codes(sentence: str) -> None:
    assert redact_sentence(sentence) == sentence


# --- one event, one line --------------------------------------------------------------------------------------

HOSTILE = [
    "a\r\nlevel=info event=payment.paid",
    "a\nb",
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x9b31m",
    "\u202egnp.exe",
    "\u2066x\u2069",
    "a\u2028b\u2029c",
    "\x85next",
    "zero\u200bwidth\ufeff",
    "soft\xadhyphen",
    "tag\U000e0041",
    "nul\x00bell\x07back\x08",
    "lone\ud800",
    "\u061carabic",
    "\u180e",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_breaks_out_of_its_line(text: str) -> None:
    found = [
        one_line(text),
        redact_text(text),
        *redact_mapping({"statusMessage": text, text: "x"}).keys(),
        *redact_mapping({"statusMessage": text, text: "x"}).values(),
        *redact_headers({"Date": text, text: "x"}).keys(),
        *redact_headers({"Date": text}).values(),
        redact_url(f"https://gateway.example/{text}"),
    ]
    for shown in found:
        assert len(shown.splitlines()) <= 1
        assert all(unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp") for letter in shown)
        assert not set("\u202e\u2066\u2069\u061c\u200b\ufeff\xad\U000e0041\u180e") & set(shown)
        shown.encode("utf-8")


def test_bangla_keeps_its_joiners() -> None:
    sentence = "র‍্যাব ও শব্দ‌ভাগ: আপনার ব্যালেন্স যথেষ্ট নয়"
    assert one_line(sentence) == sentence
    assert redact_mapping({"errorMessageBn": sentence}) == {"errorMessageBn": sentence}


def test_a_text_is_cut_to_its_limit() -> None:
    assert one_line("x" * 301) == "x" * 299 + "…"
    assert len(redact_text("word " * 10_000)) <= 300


@pytest.mark.parametrize(
    "piece",
    [
        "4",
        "41 ",
        "4111 1111 1111 1111 ",
        "1 is as ",
        "a",
        "a-",
        "token ",
        "secret",
        "pin",
        "x.y.",
        "01 ",
        "\\",
        "password ",
        "Bearer",
        "://",
        '"',
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """A pattern that backtracks without end would turn a gateway's sentence into an outage."""
    text = piece * (100_000 // len(piece))
    start = time.process_time()
    redact_text(text)
    redact_text(text, 50_000)
    redact_sentence(text)
    redact_mapping({text: "x", "nested": {text: "x", "list": [{text: 1}]}})
    assert time.process_time() - start < 2


# --- URLs and headers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://gateway.example/v1/checkout/create", "https://gateway.example/v1/checkout/create"),
        ("https://user:pw@gateway.example:8443/x", "https://gateway.example:8443/x"),
        ("https://gateway.example/x?store_passwd=pw#frag", "https://gateway.example/x?…"),
        ("https://gateway.example/status/TR0011ON1565154754797", None),
        (f"https://gateway.example/{'t0ken' * 12}", f"https://gateway.example/{MASK}"),
        ("not a url", MASK),
        ("", MASK),
        ("https://[::1", MASK),
        ("https://gateway.example:port/", MASK),
    ],
)
def test_a_url_shows_where_but_not_with_what(url: str, shown: str | None) -> None:
    assert redact_url(url) == (url if shown is None else shown)


def test_headers_go_by_the_list() -> None:
    headers = {
        "Content-Type": "application/json",
        "X-Amzn-RequestId": "a1b2",
        "Authorization": "Bearer x",
        "X-APP-Key": "x",
        "password": "x",
        "Set-Cookie": "session=x",
        "X-Unheard-Of": "x",
    }
    assert redact_headers(headers) == {
        "Content-Type": "application/json",
        "X-Amzn-RequestId": "a1b2",
        "Authorization": MASK,
        "X-APP-Key": MASK,
        "password": MASK,
        "Set-Cookie": MASK,
        "X-Unheard-Of": MASK,
    }


# --- bodies ---------------------------------------------------------------------------------------------------


def test_a_body_goes_by_the_list() -> None:
    body = {
        "statusCode": "0000",
        "status_message": "Successful",
        "paymentID": "TR0011ON1565154754797",
        "customerMsisdn": "01770618575",
        "id_token": "x",
        "unheardOf": "x",
        "amount": 100.10,
        "done": True,
        "nothing": None,
        "list": [1, {"trxID": "BFD90JRLST", "pin": "12121"}],
        "deep": {"trxID": "BFD90JRLST", "more": {"secret": "x"}},
    }
    assert redact_json_body(json.dumps(body).encode()) == {
        "statusCode": "0000",
        "status_message": "Successful",
        "paymentID": "TR0011ON1565154754797",
        "customerMsisdn": "017****8575",
        "id_token": MASK,
        "unheardOf": MASK,
        "amount": "100.1",
        "done": "true",
        "nothing": "none",
        "list": "[2]",
        "list.1.trxID": "BFD90JRLST",
        "list.1.pin": MASK,
        "deep.trxID": "BFD90JRLST",
        "deep.more.secret": MASK,
    }


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", {}),
        (b"<html>secret</html>", {"(body)": "19 bytes, html"}),
        (b'"text"', {"(body)": "6 bytes, not a JSON object"}),
        (b"[1]", {"(body)": "3 bytes, not a JSON object"}),
        (b"\xff\xfe\x00", {"(body)": "3 bytes, not a JSON object"}),
        (b"a=b&c=d", {"(body)": "7 bytes, not a JSON object"}),
        (b"[" * 100_000, {"(body)": "100000 bytes, not a JSON object"}),
        (b'{"a":' * 60_000, {"(body)": "300000 bytes, not a JSON object"}),
        (b'{"a":' * 10_000, {"(body)": "50000 bytes, not a JSON object"}),
    ],
)
def test_what_is_no_json_object_shows_only_its_size(body: bytes, shown: dict[str, str]) -> None:
    assert redact_json_body(body) == shown


def test_a_field_named_like_a_token_is_masked() -> None:
    token = "A1b2" * 10
    shown = redact_mapping({token: "x", "nested": {token: "x"}, "eyJhbGciOi.eyJzdWIiOi.c2ln": 1})
    assert token not in str(shown)
    assert "eyJ" not in str(shown)
    assert redact_mapping({"originalTrxCompletedTime": "12:00"}) == {"originalTrxCompletedTime": "12:00"}


@pytest.mark.parametrize(
    "name", ["password=hunter2pw", "hunter 2pw", "hunter2pw!", "পাসওয়ার্ড", "h" * 41, "", "a\nb", "a/b"]
)
def test_a_name_that_no_field_has_is_a_question_mark(name: str) -> None:
    assert redact_mapping({name: "x"}) == {"?": MASK}
    shown = redact_mapping({"deep": {name: "x"}, "list": [{name: {"trxID": "T"}}]})
    assert shown == {"deep.?": MASK, "list": "[1]", "list.0.?.trxID": "T"}


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("statusMessage", "eyJhbGciOi.eyJzdWIi.hunter2pw"),
        ("error_message_en", "A1b2" * 10),
        ("message", "01770618575"),
        ("msg", "A1b2" * 10),
        ("status", "A1b2" * 10),
        ("transactionStatus", "password=hunter2pw"),
        ("transactionStatus", "password:hunter2pw"),
        ("intent", "password%3Dhunter2pw"),
        ("cardType", "4111111111111111"),
        ("card_brand", "4111-1111-1111-1111"),
        ("store_amount", "4777000000.000003"),
        ("riskTitle", "01770618575"),
        ("tran_date", "482913 is your OTP"),
        ("store_amount", "A1b2" * 10),
        ("merchantInvoice", "https://user:hunter2pw@gateway.example"),
        ("merchantInvoice", "password\thunter2pw"),
    ],
)
def test_a_listed_field_that_may_hold_a_credential_is_searched(field: str, text: str) -> None:
    shown = redact_mapping({field: text, "deep": {field: text}})
    for value in shown.values():
        assert value != text and SECRET not in value


def test_a_reference_is_shown_though_it_is_opaque() -> None:
    fields = {"paymentID": "TR0011ON1565154754797abcdefgh", "trxID": "BFD90JRLST", "sku": "A1b2" * 10}
    assert redact_mapping(fields) == fields


def test_a_sentence_in_a_listed_field_is_still_searched() -> None:
    shown = redact_mapping({"statusMessage": f"wrong password {SECRET} of 01770618575"})
    assert SECRET not in shown["statusMessage"]
    assert "01770618575" not in shown["statusMessage"]


def test_a_huge_body_shows_a_bounded_number_of_fields() -> None:
    assert len(redact_mapping({f"field{number}": "x" for number in range(1_000)})) <= 60


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=20), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=20), _JSON, max_size=6))
def test_any_body_is_shown_as_short_single_lines(body: dict[str, Any]) -> None:
    for name, value in redact_json_body(json.dumps(body).encode()).items():
        assert isinstance(name, str) and isinstance(value, str)
        assert len(name) <= 80 and len(value) <= 300
        assert len(f"{name}={value}".splitlines()) == 1


def test_the_canary_stays_silent_over_every_way_in() -> None:
    canary = SecretCanary()
    value = canary.plant("secret")
    body = {"access_token": value, value: 1, "list": [{"x": value}], "statusMessage": f"token {value}"}
    canary.assert_absent(
        redact_json_body(json.dumps(body).encode()),
        redact_mapping(body),
        redact_headers({"Authorization": value, "Date": f"x {value}"}),
        redact_url(f"https://u:{value}@h/{value}{value}?q={value}"),
        redact_text(f"failed with {value} and app_secret={value[:10]}"),
    )

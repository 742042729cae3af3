"""The quick ways through redaction give the very same text as the slow ones, whatever comes in."""

import json
import re
from urllib.parse import urlsplit

from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments import printable, redaction
from vextrus_payments.secret import MASK, mask_account

_WORDS = st.sampled_from(
    [
        "password: hunter2",
        "ſecret=abc",
        "PIN 1234",
        "api-key=xyz",
        "Authorization: Bearer abc",
        "01770618575",
        "TOKEN\u202ename",
        "plain",
        "a" * 30,
        "eyJhbGciOi.eyJzdWIi.sig",
        "\x1b[31m",
        "https://u:p@pay.example/a",
        "app_secret=abc",
        '{"password": "hunter2"}',
        "…",
    ]
)
_TEXTS = st.one_of(st.text(max_size=40), st.lists(_WORDS, max_size=4).map(" ".join))
_KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "statusCode",
            "payment_ID",
            "payerAccount",
            "customer-MSISDN",
            "signature",
            "\nstatusCode",
            "A9" * 20,
            "eyJhbGciOi.eyJzdWIi.sig",
        ]
    ),
    st.text(min_size=79, max_size=82),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=6,
)


def _one_line(text: str, limit: int = 300) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return printable._CONTROL.sub("\ufffd", cut)


def _text(text: str, limit: int = 300) -> str:
    masked = redaction._CREDENTIAL.sub(lambda m: f"{m[1]}{m[2]}{MASK}", text[: 4 * limit])
    masked = redaction._USER_INFO.sub(f"://{MASK}@", masked)
    masked = redaction._JWT.sub(MASK, masked)
    masked = redaction._OPAQUE.sub(MASK, masked)
    masked = redaction._WALLET.sub(lambda m: mask_account(m[0]) or "", masked)
    return _one_line(masked, limit)


def _shown(key: str, value: object) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower()
    folded = key.lower().replace("_", "").replace("-", "")
    if folded in redaction.ACCOUNT_FIELDS:
        return _one_line(mask_account(str(value)) or "")
    if folded in redaction.SAFE_FIELDS:
        text = str(value)
        search = folded in redaction.SENTENCE_FIELDS or any(c.isspace() or c in "=:%@" for c in text)
        return _text(text) if search or len(text) > 80 else _one_line(text)
    return MASK


def _name(prefix: str, key: str) -> str:
    listed = key.lower().replace("_", "").replace("-", "") in redaction.SAFE_FIELDS | redaction.ACCOUNT_FIELDS
    token = redaction._OPAQUE_NAME.fullmatch(key) or redaction._JWT.search(key)
    plain = re.fullmatch("[A-Za-z0-9_.-]{1,40}", key) is not None
    return MASK if token and not listed else _one_line(prefix + (key if plain else "?"), 80)


def _mapping(fields: dict[str, object], prefix: str = "", depth: int = 0) -> dict[str, str]:
    shown: dict[str, str] = {}
    for key, value in fields.items():
        name = _name(prefix, key)
        if isinstance(value, dict) and depth < 3:
            shown |= _mapping(value, f"{name}.", depth + 1)
        elif isinstance(value, list):
            shown[name] = f"[{len(value)}]"
            for number, item in enumerate(value[:10]):
                if isinstance(item, dict) and depth < 3:
                    shown |= _mapping(item, f"{name}.{number}.", depth + 1)
        else:
            shown[name] = _shown(key, value)
    return shown


@given(_TEXTS, st.integers(2, 60))
def test_a_line(text: str, limit: int) -> None:
    assert printable.one_line(text, limit) == _one_line(text, limit)


@given(_TEXTS)
def test_free_text(text: str) -> None:
    assert redaction.redact_text(text) == _text(text)


@given(st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_a_mapping_and_a_body(fields: dict[str, object]) -> None:
    assert redaction.redact_mapping(fields) == _mapping(fields)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        body = json.dumps(fields).encode(encoding)
        expected = json.loads(body, parse_float=str, parse_int=str)
        assert redaction.redact_json_body(body) == _mapping(expected)


def test_an_address_with_a_query_is_not_remembered() -> None:
    redaction._known_url.cache_clear()
    for url in (
        "https://pay.example/a?otp=1",
        "https://pay.example/a#otp=1",
        "https://pay.example/" + "a" * 300,
    ):
        assert redaction.redact_url(url).startswith("https://pay.example/")
        assert "otp" not in redaction.redact_url(url)
    assert redaction._known_url.cache_info().currsize == 0
    for _ in range(2):
        assert redaction.redact_url("https://u:p@pay.example:8443/v1") == "https://pay.example:8443/v1"
    assert redaction._known_url.cache_info().hits == 1
    assert urlsplit(redaction.redact_url("https://pay.example/" + "b" * 41)).path == f"/{MASK}"


def test_only_short_field_names_are_remembered() -> None:
    redaction._known_field.cache_clear()
    redaction.redact_mapping({"k" * 81: "v", "short": "v"})
    assert redaction._known_field.cache_info().currsize == 1

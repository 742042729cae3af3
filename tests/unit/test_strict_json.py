"""JSON in one reading only: what two readers could read in two ways is read by none."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.strict_json import UnreadableJsonError, read_object


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a": 1}\n ', {"a": "1"}),
        (b'\xef\xbb\xbf{"a": "b"}', {"a": "b"}),
        (b'{"a": 100.00, "b": 1e5, "c": -0, "d": 99999999999999999999}', None),
        (b'{"a": [true, false, null, {"b": "\\u0000"}]}', {"a": [True, False, None, {"b": "\x00"}]}),
        ('{"টাকা": "৳"}'.encode(), {"টাকা": "৳"}),
    ],
)
def test_one_object_is_read(raw: bytes, expected: dict[str, Any] | None) -> None:
    numbers = {"a": "100.00", "b": "1e5", "c": "-0", "d": "99999999999999999999"}
    assert read_object(raw) == (numbers if expected is None else expected), "numbers stay as they are written"


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b" ", "not JSON"),
        (b"\xef\xbb\xbf", "not JSON"),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (b'{"a": "\n"}', "not JSON"),
        (b"<html>", "not JSON"),
        (b"{}{}", "something behind"),
        (b"{} x", "something behind"),
        (b"{}\x00", "something behind"),
        (b"{}\xc2\xa0", "something behind"),
        (b"[]", "not an object"),
        (b"null", "not an object"),
        (b"5", "not an object"),
        (b'"a"', "not an object"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'{"a": {"b": 1, "\\u0062": 2}}', "twice"),
        (b'{"a": [{"b": 1, "b": 2}]}', "twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": "b"}'.encode("utf-16"), "UTF-8"),
        (b'{"a":' * 100_000, "nested"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_anything_else_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(UnreadableJsonError, match=why) as caught:
        read_object(raw, what="the body")
    assert str(caught.value).startswith(f"the body of {len(raw)} bytes is unreadable: ")
    assert caught.value.__cause__ is None and caught.value.__context__ is None


@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=8),
    st.booleans(),
)
def test_it_agrees_with_the_standard_library(found: dict[str, Any], ascii_only: bool) -> None:
    try:
        raw = json.dumps(found, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert read_object(raw) == json.loads(raw, parse_int=str)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    try:
        read_object(raw)
    except UnreadableJsonError:
        pass

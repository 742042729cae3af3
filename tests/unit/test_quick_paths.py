"""Where words take a quick way, it leads to the same place as the slow one."""

import re
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vextrus_payments import payment
from vextrus_payments.errors import AmountError, InvalidRequestError
from vextrus_payments.money import MAX_MINOR, Money, decimal_places
from vextrus_payments.payment import check_url


@given(st.from_regex(payment._PLAIN_URL, fullmatch=True))
def test_a_url_that_looks_plain_keeps_every_rule(url: str) -> None:
    parts = urlsplit(url)
    assert parts.scheme in ("http", "https")
    assert parts.hostname
    assert parts.username is None and parts.password is None
    assert parts.port is None or 0 <= parts.port <= 65535
    assert not re.search(r"[\x00-\x20\x7f\\]", url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user@shop.example/",
        "https://user:word@shop.example/",
        "https://shop.example:99999/",
        "https://shop.example:/x y",
        "https://shop.example\\@evil.example/",
        "https:///nohost",
        "https://shop.example/" + "a" * 2000,
        "ftp://shop.example/",
        "https://[::1/",
        "//shop.example/",
        "http://১.example/x",
        "https://shop\u3002example/",
        "https://shop\uff0eexample/",
        "https://shop\uff61example/",
        "https://shop.exampl\uff45/",
    ],
)
def test_what_is_no_url_for_us_is_still_none(url: str) -> None:
    with pytest.raises(InvalidRequestError):
        check_url("return_url", url)


@pytest.mark.parametrize(
    "url",
    [
        "https://[::1]:8080/x",
        "http://xn--p5b.example/x",
        "https://shop.example/১",
        "https://shop.example:65535",
    ],
)
def test_what_does_not_look_plain_is_still_read(url: str) -> None:
    check_url("return_url", url)


@given(
    st.from_regex(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,15})?", fullmatch=True),
    st.sampled_from(["BDT", "JPY", "KWD", "XTS"]),
)
@example("100000000000000", "KWD")
def test_an_amount_is_what_decimal_says_or_refused(text: str, currency: str) -> None:
    exact = Decimal(text).scaleb(decimal_places(currency))
    if exact == exact.to_integral_value() and abs(exact) < MAX_MINOR:
        assert Money(text, currency).amount_minor == int(exact)
    else:
        with pytest.raises(AmountError):
            Money(text, currency)

"""Exact money: parsing, laws, and what is refused."""

import copy
import pickle
import random
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from vextrus_payments.errors import AmountError
from vextrus_payments.money import MAX_MINOR, Money, decimal_places, total

MINOR = st.integers(min_value=-(10**12), max_value=10**12)


@pytest.mark.parametrize(
    ("amount", "minor"),
    [
        ("1499", 149900),
        ("100.00", 10000),
        (15, 1500),
        ("15", 1500),
        ("15.0", 1500),
        ("15.000", 1500),
        ("1.5", 150),
        ("0.05", 5),
        ("0.01", 1),
        ("-5", -500),
        (Decimal("12.5"), 1250),
        (Decimal("1E+2"), 10000),
        ("1250.50", 125050),
    ],
)
def test_what_parses_parses_exactly(amount: Any, minor: int) -> None:
    assert Money(amount, "BDT").amount_minor == minor


@pytest.mark.parametrize(
    "amount",
    [
        "1,500", "15.001", "", " 15", "15 ", "1e3", "NaN", "Infinity", "1_000", "0x10", "١٥", ".5", "5.", "+-1",
        "1" * 16, Decimal("NaN"), Decimal("Infinity"), Decimal("1E+999999"), Decimal("1E-999999"), Decimal("0.001"),
        10**17, "৳5", "5\n",
    ],
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused_by_name(amount: Any) -> None:
    with pytest.raises(AmountError) as caught:
        Money(amount, "BDT")
    assert caught.value.field == "amount"
    assert caught.value.rule


@pytest.mark.parametrize("amount", [1.5, 15.0, True, False, None, b"15", [15], complex(1)])
def test_a_float_or_a_bool_is_no_money(amount: Any) -> None:
    with pytest.raises(TypeError):
        Money(amount, "BDT")
    with pytest.raises(TypeError):
        Money.from_minor(amount)


@pytest.mark.parametrize("currency", ["bdt", "BD", "TAKA", "", "BDT ", None, 5, "BDT\n"])
def test_a_currency_is_three_capital_letters(currency: Any) -> None:
    with pytest.raises(AmountError) as caught:
        Money("1", currency)
    assert caught.value.field == "currency"


@given(MINOR, MINOR, st.sampled_from(["BDT", "JPY", "KWD", "USD", "XTS"]))
def test_sums_and_order_are_those_of_integers(a: int, b: int, currency: str) -> None:
    x, y = Money.from_minor(a, currency), Money.from_minor(b, currency)
    assert {(x + y).currency, (x - y).currency, (-x).currency, total([], currency).currency} == {currency}
    assert (x + y).amount_minor == a + b
    assert (x - y).amount_minor == a - b
    assert (-x).amount_minor == -a
    assert (x < y) == (a < b)
    assert (x == y) == (a == b)
    assert bool(x) == bool(a)
    assert total([x, y], currency) == x + y


@given(MINOR, st.sampled_from(["BDT", "JPY", "KWD", "USD"]))
def test_text_decimal_json_and_pickle_round_trip(minor: int, currency: str) -> None:
    money = Money.from_minor(minor, currency)
    assert Money(money.amount, currency) == money
    assert Money(money.decimal, currency) == money
    adapter = TypeAdapter(Money)
    assert adapter.validate_json(adapter.dump_json(money)) == money
    assert pickle.loads(pickle.dumps(money)) == money
    assert copy.deepcopy(money) == money
    assert hash(Money(money.amount, currency)) == hash(money)
    assert eval(repr(money)) == money


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9))
def test_a_decimal_agrees_with_integer_paisa(amount: Decimal) -> None:
    assert Money(amount, "BDT").amount_minor == int(amount * 100)


def test_a_million_random_sums_are_those_of_integer_paisa() -> None:
    draw = random.Random(20261123)
    running, paisa = Money.from_minor(0), 0
    for _ in range(1_000_000):
        minor = draw.randrange(-(10**9), 10**9)
        running, paisa = running + Money.from_minor(minor), paisa + minor
        if minor % 100_003 == 0:
            assert running.amount_minor == paisa
    assert running.amount_minor == paisa
    assert Money(running.amount) == running == Money(running.decimal)


def test_taka_is_meant_where_no_currency_is_named() -> None:
    assert Money("1") == Money("1", "BDT") == Money.from_minor(100)


def test_currencies_do_not_mix() -> None:
    with pytest.raises(AmountError) as caught:
        _ = Money("1", "BDT") + Money("1", "USD")
    assert (caught.value.field, caught.value.rule) == ("currency", "same currency")
    with pytest.raises(AmountError):
        _ = Money("1", "BDT") < Money("1", "USD")
    assert Money("1", "BDT") != Money("1", "USD")
    assert Money("1", "BDT") != 1
    with pytest.raises(TypeError):
        _ = Money("1", "BDT") + 1  # type: ignore[operator]


def test_money_is_immutable_and_bounded() -> None:
    money = Money("1", "BDT")
    with pytest.raises(AttributeError):
        money._minor = 5
    with pytest.raises(AttributeError):
        del money._minor
    for beyond in (MAX_MINOR, -MAX_MINOR):
        with pytest.raises(AmountError):
            Money.from_minor(beyond)
    assert Money.from_minor(MAX_MINOR - 1) > Money.from_minor(1 - MAX_MINOR)
    assert [decimal_places(currency) for currency in ("KWD", "JPY", "BDT", "XTS")] == [3, 0, 2, 2]
    assert len({hash(Money.from_minor(minor)) for minor in range(100)}) > 90


def test_what_is_finer_than_the_currency_is_named_with_it() -> None:
    with pytest.raises(AmountError, match="JPY has 0 decimal places"):
        Money("1.5", "JPY")


@pytest.mark.parametrize("amount", [Decimal(0), Decimal("0E+99"), Decimal("0E-99"), Decimal("-0")])
def test_nothing_is_nothing_however_it_is_written(amount: Decimal) -> None:
    assert Money(amount) == Money("0")


@pytest.mark.parametrize("amount", [Decimal("1E+15"), Decimal("1E+19"), Decimal("1E+20"), Decimal("1E-20")])
def test_a_decimal_out_of_range_is_refused(amount: Decimal) -> None:
    with pytest.raises(AmountError):
        Money(amount)


@pytest.mark.parametrize(
    "document", ['{"amount": 1.5, "currency": "BDT"}', '{"amount": "1"}', "5", '"5 BDT"', "null"]
)
def test_json_money_is_text_with_its_currency(document: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Money).validate_json(document)

"""Exact money: an integer count of minor units and an ISO 4217 currency. No float ever comes near it."""

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache, total_ordering
from typing import Any, Final, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from vextrus_payments.errors import AmountError

#: Decimal places per currency (ISO 4217). What is not listed has two.
_PLACES: Final = {
    "BDT": 2,
    "USD": 2,
    "EUR": 2,
    "GBP": 2,
    "INR": 2,
    "JPY": 0,
    "KWD": 3,
    "BHD": 3,
    "OMR": 3,
}
_PLAIN: Final = re.compile(r"[+-]?[0-9]{1,17}(?:\.[0-9]{1,15})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)
#: Larger than any payment; small enough for a signed 64-bit database column.
MAX_MINOR: Final = 10**17


def decimal_places(currency: str) -> int:
    """How many decimal places an amount in `currency` has (2 for BDT)."""
    return _PLACES.get(currency, 2)


@total_ordering
class Money:
    """An exact amount of one currency.

    `Money("1250.50", "BDT")` takes **major** units as str, Decimal or int; `Money.from_minor(125050, "BDT")`
    takes minor units (paisa). Both are the same value. Float and bool raise TypeError: a float is no amount.

    Raises:
        TypeError: the amount is a float, a bool or anything but str, Decimal or int.
        AmountError: the text is no plain decimal ("1,500"), or is finer than the currency's smallest unit.
    """

    __slots__ = ("_currency", "_minor")
    _minor: int
    _currency: str

    def __init__(self, amount: str | Decimal | int, currency: str = "BDT") -> None:
        places = decimal_places(_checked_currency(currency))
        object.__setattr__(self, "_currency", currency)
        object.__setattr__(self, "_minor", _checked_minor(_to_minor(amount, places, currency)))

    @classmethod
    def from_minor(cls, amount_minor: int, currency: str = "BDT") -> Self:
        """Money from an integer count of minor units (paisa for BDT)."""
        if isinstance(amount_minor, bool) or not isinstance(amount_minor, int):
            raise TypeError(f"amount_minor must be int, not {type(amount_minor).__name__}")
        money = object.__new__(cls)
        object.__setattr__(money, "_currency", _checked_currency(currency))
        object.__setattr__(money, "_minor", _checked_minor(amount_minor))
        return money

    @property
    def amount_minor(self) -> int:
        """The amount in minor units (paisa for BDT)."""
        return self._minor

    @property
    def currency(self) -> str:
        """The ISO 4217 code, such as "BDT"."""
        return self._currency

    @property
    def decimal(self) -> Decimal:
        """The amount in major units, exact, with the currency's own number of places."""
        return Decimal(self._minor).scaleb(-decimal_places(self._currency))

    @property
    def amount(self) -> str:
        """The amount in major units as plain text with all its places: "1250.50"."""
        places = decimal_places(self._currency)
        sign, digits = ("-" if self._minor < 0 else ""), str(abs(self._minor))
        if not places:
            return sign + digits
        digits = digits.rjust(places + 1, "0")
        return f"{sign}{digits[:-places]}.{digits[-places:]}"

    @property
    def is_positive(self) -> bool:
        """True when the amount is above zero."""
        return self._minor > 0

    def __add__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        return Money.from_minor(self._minor + self._same_currency(other), self._currency)

    def __sub__(self, other: "Money") -> "Money":
        if not isinstance(other, Money):
            return NotImplemented
        return Money.from_minor(self._minor - self._same_currency(other), self._currency)

    def __neg__(self) -> "Money":
        return Money.from_minor(-self._minor, self._currency)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self._minor == other._minor and self._currency == other._currency

    def __lt__(self, other: "Money") -> bool:
        if not isinstance(other, Money):
            return NotImplemented
        return self._minor < self._same_currency(other)

    def __hash__(self) -> int:
        return hash((self._minor, self._currency))

    def __bool__(self) -> bool:
        return self._minor != 0

    def __str__(self) -> str:
        return f"{self.amount} {self._currency}"

    def __repr__(self) -> str:
        return f'Money("{self.amount}", "{self._currency}")'

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("Money is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("Money is immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return (_from_minor, (self._minor, self._currency))

    def _same_currency(self, other: "Money") -> int:
        if other._currency != self._currency:
            raise AmountError(
                f"{self} and {other} are of different currencies.",
                field="currency",
                rule="same currency",
            )
        return other._minor

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """In JSON: {"amount": "1250.50", "currency": "BDT"}; the amount is text and stays text."""
        return core_schema.no_info_plain_validator_function(
            _from_json,
            serialization=core_schema.plain_serializer_function_ser_schema(_to_json),
        )


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The exact sum; zero of `currency` for nothing."""
    result = Money.from_minor(0, currency)
    for amount in amounts:
        result = result + amount
    return result


def _from_minor(amount_minor: int, currency: str) -> Money:
    return Money.from_minor(amount_minor, currency)


def _to_json(money: Money) -> dict[str, str]:
    return {"amount": money.amount, "currency": money.currency}


#: The same amounts are read again and again; as none of them can be changed, one Money serves all.
_parsed = lru_cache(maxsize=1024)(Money)


def _from_json(value: object) -> Money:
    if isinstance(value, Money):
        return value
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        amount, currency = value["amount"], value["currency"]
        if isinstance(amount, str) and isinstance(currency, str):
            return _parsed(amount, currency)
    raise ValueError('money in JSON is {"amount": "12.50", "currency": "BDT"}, the amount as text')


def _checked_currency(currency: object) -> str:
    if type(currency) is str and currency in _PLACES:
        return currency
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise AmountError(
            "The currency is not a three-letter ISO 4217 code such as BDT.",
            field="currency",
            rule="three upper-case letters",
        )
    return currency


def _checked_minor(amount_minor: int) -> int:
    if not -MAX_MINOR < amount_minor < MAX_MINOR:
        raise AmountError(
            "The amount is beyond what can be held.",
            field="amount",
            rule="below 10^17 minor units",
        )
    return amount_minor


def _to_minor(amount: object, places: int, currency: str) -> int:
    if isinstance(amount, bool) or not isinstance(amount, str | Decimal | int):
        raise TypeError(
            f"an amount is str, Decimal or int in major units, not {type(amount).__name__}: "
            'a float cannot hold money exactly; write Money("12.50", "BDT")'
        )
    if isinstance(amount, int):
        return amount * int(10**places)
    if isinstance(amount, str):
        if not _PLAIN.fullmatch(amount):
            raise AmountError(
                'The amount is not a plain decimal such as "1250.50" (no separators, blanks or exponents).',
                field="amount",
                rule="plain decimal text",
            )
        whole, _, fraction = amount.partition(".")
        if len(fraction) <= places:
            return int(whole + fraction.ljust(places, "0"))
        amount = Decimal(amount)
    # adjusted() bounds the size before any arithmetic: Decimal("1E+999999") must not become a huge int.
    if not amount.is_finite() or (amount != 0 and not -20 < amount.adjusted() < 20):
        raise AmountError(
            "The amount is not a finite number in range.",
            field="amount",
            rule="finite decimal",
        )
    numerator, denominator = amount.as_integer_ratio()
    minor, rest = divmod(numerator * int(10**places), denominator)
    if rest:
        raise AmountError(
            f"{currency} has {places} decimal places; the amount is finer than that.",
            field="amount",
            rule=f"at most {places} decimal places",
        )
    return minor

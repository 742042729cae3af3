"""The texts of an answer as values: amounts, of which nobody may guess one, and times, which decide nothing."""

from collections.abc import Callable
from datetime import UTC, datetime

from vextrus_payments.errors import AmountError
from vextrus_payments.money import Money


class UnreadableValueError(ValueError):
    """A value that decides about money and cannot be read in exactly one way: nobody may guess it."""


def exact_money(text: str | None, currency: str) -> Money | None:
    """The exact amount of a wire text ("15", "15.00", "10.7"); None where it is absent.

    Raises:
        UnreadableValueError: the text is there and is no plain decimal of the currency's places at most ("1,500"), or
            the currency is no code.
    """
    if text is None or text == "":
        return None
    try:
        return Money(text, currency)
    except AmountError:
        pass
    raise UnreadableValueError("an amount is not a plain decimal")


def money_or_none(text: str | None, currency: str) -> Money | None:
    """As `exact_money`; an amount that cannot be read exactly counts as not told."""
    try:
        return exact_money(text, currency)
    except UnreadableValueError:
        return None


def utc_of(text: str | None, parse: Callable[[str], datetime]) -> datetime | None:
    """A wire time in UTC; None where it is absent or not of the form that `parse` reads (by ValueError)."""
    if not text:
        return None
    try:
        return parse(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None

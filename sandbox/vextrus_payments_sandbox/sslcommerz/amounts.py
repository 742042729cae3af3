"""SSLCommerz's arithmetic in whole paisa: its fee, other currencies, how amounts are written (dossier §1.2, §1.4)."""

import re
from typing import Final

_FEE_IN_1000: Final = 25
_RATE: Final = re.compile(r"([0-9]{1,6})\.([0-9]{4})", re.ASCII)
_AMOUNT: Final = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2}))?", re.ASCII)
_RATE_UNIT: Final = 10_000


def read_amount(text: str) -> int | None:
    """``69``, ``97.5`` or ``10.00`` in hundredths; None for whatever is not plainly an amount."""
    match = _AMOUNT.fullmatch(text)
    return None if match is None else int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def write_amount(amount_minor: int) -> str:
    """Two places: ``97.50``."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def write_short(amount_minor: int) -> str:
    """As short as it can be: ``97.5``, ``69``."""
    return write_amount(amount_minor).rstrip("0").rstrip(".")


def after_fee(amount_minor: int) -> int:
    """What the store gets: 2.5 % less, rounded half up. 41.00 leaves 39.98."""
    return _half_up(amount_minor * (1000 - _FEE_IN_1000), 1000)


def in_taka(amount_minor: int, rate: str) -> int:
    """What an amount of another currency comes to in paisa, rounded half up; `rate` has four places."""
    match = _RATE.fullmatch(rate)
    if match is None:
        raise ValueError(f"{rate!r} is no rate with four places")
    return _half_up(amount_minor * (int(match[1]) * _RATE_UNIT + int(match[2])), _RATE_UNIT)


def shared(amount_minor: int, parts: int) -> int:
    """One of so many installments, rounded half up."""
    return _half_up(amount_minor, parts)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)

"""How the sandbox writes money and time."""

import re
from datetime import datetime
from typing import Final

_AMOUNT: Final = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,2}))?", re.ASCII)


def to_paisa(text: str | None) -> int | None:
    """Read ``"15"``, ``"15.5"`` or ``"15.50"`` as paisa; ``None`` for whatever is not plainly an amount."""
    match = _AMOUNT.fullmatch(text or "")
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))


def to_text(amount_minor: int) -> str:
    """Write paisa as taka with two places: ``150050`` -> ``"1500.50"``."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: ``2026-01-31T08:15:00.123Z``."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"

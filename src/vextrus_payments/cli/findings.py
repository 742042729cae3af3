"""What `doctor` finds: a level, what was seen, and what to do about it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vextrus_payments.errors import PaymentsError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and somebody should know."""
    FAIL = "fail"
    """Payments cannot be taken, settled or booked as they should, or will not be soon."""
    SKIPPED = "skipped"
    """It was not looked at; `what` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str
    """A short name that stays the same from release to release: "outbox.parked"."""
    level: Level
    what: str
    do: str = ""
    """What to do; empty where there is nothing to do."""

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "check": self.check,
            "level": self.level.value,
            "what": self.what,
            "do": self.do or None,
        }


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check=check, level=Level.OK, what=what)


def warn(check: str, what: str, do: str) -> Finding:
    """Somebody should know."""
    return Finding(check=check, level=Level.WARN, what=what, do=do)


def fail(check: str, what: str, do: str) -> Finding:
    """Something has to be done."""
    return Finding(check=check, level=Level.FAIL, what=what, do=do)


def skipped(check: str, what: str) -> Finding:
    """Nobody looked."""
    return Finding(check=check, level=Level.SKIPPED, what=what)


async def found(check: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """What a check finds; that it failed is a finding as well, and stops no other check."""
    try:
        return await look()
    except PaymentsError as error:
        return [fail(check, error.what, error.next_step)]
    except Exception as error:  # noqa: BLE001 - a host's source of credentials or a driver may raise anything
        what = f"Looking at it raised {type(error).__name__}."
        return [
            fail(check, what, "See the logs of what it asks: the database, or the source of credentials.")
        ]

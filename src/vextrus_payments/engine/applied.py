"""What came of applying an event."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What came of applying an event."""

    DONE = "done"
    """Its news is in the records, or it has none that they lack."""
    EARLY = "early"
    """It names what could be ours and is not known here (yet)."""
    FOREIGN = "foreign"
    """It names nothing of ours."""
    AGAIN = "again"
    """The gateway did not answer, is still at work, or does not show it yet: to be applied again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of one event."""

    verdict: Verdict
    note: str
    """In words, without amounts or accounts."""
    payment_id: str | None = None
    unanswered: bool = False
    """Whether the gateway was asked and gave no answer: others of its news need not ask just now."""

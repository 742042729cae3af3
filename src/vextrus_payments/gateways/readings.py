"""What reading an answer gives, at every gateway: the words that their envelope.py share, and the care they take.

A gateway's own envelope says which answer is a success, which is a refusal and what its exception is. What is neither,
or both at once, is Unreadable everywhere, and proves nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from vextrus_payments.gateways.bodies import UnreadableBodyError
from vextrus_payments.redaction import redact_sentence

_READ_MAX: Final = 1_000
_SHOWN_MAX: Final = 200


class _Answer(Protocol):
    @classmethod
    def from_json(cls, raw: bytes) -> Self: ...


A = TypeVar("A", bound=_Answer)
A_co = TypeVar("A_co", bound=Any, covariant=True)


@dataclass(frozen=True, slots=True)
class Accepted(Generic[A_co]):
    """A known success."""

    answer: A_co


@dataclass(frozen=True, slots=True)
class Unreadable:
    """No known shape: proves nothing. `why` quotes nothing of the body."""

    why: str
    http_status: int
    code: str | None = None
    """The code it carries all the same, where it carries one."""
    blocked: bool = False
    """A firewall's page, or its bare 403."""
    support_id: str | None = None
    """What the firewall's page says to ask with."""


def parsed(model: type[A], body: bytes) -> tuple[A | None, str]:
    """The answer, or None and why there is none. Never raises, whatever the bytes are."""
    why = ""
    try:
        return model.from_json(body), why
    except UnreadableBodyError as error:
        why = str(error)
    except ValueError:
        why = "it does not have the shape of an answer"
    return None, why


def safe_code(code: str | None, shape: re.Pattern[str]) -> str | None:
    """The code as it came, where it looks like one of this gateway's; a code is logged, shown and compared."""
    if not code:
        return None
    return code if shape.fullmatch(code) else "unreadable_code"


def one_line(text: str | None, *, keeps: Callable[[str], bool] = str.isprintable) -> str:
    """A gateway's sentence as it may be shown and stored: one short line without control characters or what looks like
    a credential, for it may quote what was sent.

    Args:
        keeps: whether a character stays; in place of any other stands a blank.
    """
    if not text:
        return ""
    kept = "".join(c if keeps(c) else " " for c in text[:_READ_MAX])
    return redact_sentence(" ".join(kept.split()), _SHOWN_MAX)

"""How a server may misbehave, and what a send that meets it may come to. For check_transport."""

from dataclasses import dataclass
from typing import Final

from vextrus_payments.testing.loopback import STATUSES

SHORT_S: Final = 0.2
LONG_S: Final = 30.0

ANSWERED: Final = "answered"
NOT_SENT: Final = "not sent"
IN_DOUBT: Final = "in doubt"
TIMED_OUT: Final = "timed out"
SLOW: Final = frozenset({TIMED_OUT, NOT_SENT})
"""Where a short timeout ends the call: on a busy machine it may end before the request could leave."""
ANY: Final = frozenset({ANSWERED, NOT_SENT, IN_DOUBT, TIMED_OUT})


@dataclass(frozen=True, slots=True)
class Case:
    """One behavior of the server, and what a send that meets it may come to."""

    name: str
    behavior: str
    allowed: frozenset[str]
    timeout_s: float = LONG_S
    body: bytes = b""
    next_body: bytes = b""
    only_reused: bool = False
    status: int | None = None


def _doubt(behavior: str, name: str) -> Case:
    return Case(name, behavior, frozenset({IN_DOUBT}))


def _answered(behavior: str, name: str, status: int = 200) -> Case:
    return Case(name, behavior, frozenset({ANSWERED}), status=status)


CASES: Final = (
    _answered("ok", "a plain answer"),
    _answered("chunked", "an answer in chunks"),
    _answered("informed", "informational answers before the real one"),
    _answered("last-answer", "an answer that announces the connection's end"),
    _answered("unsized-body", "an answer that ends with the connection"),
    _answered("goodbye", "the server closes the idle connection"),
    _answered("goodbye-reset", "the server resets the idle connection"),
    _answered("two-answers", "a second answer that nobody asked for, in the same piece"),
    Case(
        "a second answer that nobody asked for, before a long request",
        "two-answers",
        frozenset({ANSWERED}),
        next_body=b"x" * 200_000,
    ),
    _answered("late-second-answer", "a second answer that nobody asked for, a moment later"),
    *(_answered(str(status), f"status {status}", status) for status in STATUSES),
    _doubt("lost", "closed after execution, no answer"),
    _doubt("reset", "reset after execution, no answer"),
    _doubt("half-status", "closed within the status line"),
    _doubt("half-head", "closed within the head"),
    _doubt("half-body", "closed within the body"),
    _doubt("half-body-reset", "reset within the body"),
    _doubt("unsized-body-reset", "reset within a body of no stated length"),
    _doubt("half-chunk", "closed within a chunk"),
    _doubt("bad-chunk", "a chunk without a length"),
    _doubt("garbage", "something else than HTTP, then closed"),
    Case(
        "something else than HTTP, left open",
        "garbage-open",
        SLOW | {IN_DOUBT},
        timeout_s=SHORT_S,
    ),
    _doubt("two-lengths", "two lengths that contradict each other"),
    Case("executed, then silence", "stall", SLOW, timeout_s=SHORT_S),
    Case("a head that drips without end", "drip-head", SLOW, timeout_s=SHORT_S),
    Case("a body that drips without end", "drip-body", SLOW, timeout_s=SHORT_S),
    Case("an answer of 4 MiB", "flood", frozenset({ANSWERED, IN_DOUBT})),
    Case("closed when the head had come", "close-at-head", frozenset({IN_DOUBT}), body=b"x" * 200_000),
    Case("refused before the body was read", "early-refusal", ANY - {NOT_SENT}, body=b"x" * 200_000),
    Case(
        "a kept connection closed when the next request was executed",
        "ambush",
        frozenset({IN_DOUBT}),
        only_reused=True,
    ),
    Case(
        "a kept connection reset when the next request came",
        "ambush-reset",
        frozenset({IN_DOUBT}),
        only_reused=True,
    ),
)

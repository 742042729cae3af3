"""The grant log as pure values: never more grants than the gateway allows, never a block that does not end."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.token_budget import (
    SKEW_S,
    GrantAsk,
    GrantBudget,
    GrantBusy,
    GrantEnd,
    GrantExhausted,
    GrantLog,
    GrantReserved,
    from_millis,
    to_millis,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE_S = 90.0
WINDOW_S = 3600


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def ask(permit: str, seconds: float, *, limit: int = 2) -> GrantAsk:
    return GrantAsk(permit=permit, now=at(seconds), limit=limit, window_s=WINDOW_S, lease_s=LEASE_S)


def end(permit: str, seconds: float, *, sent: bool = True, failure: str | None = None) -> GrantEnd:
    return GrantEnd(permit=permit, now=at(seconds), sent=sent, failure=failure)


def granted(log: GrantLog, permit: str, start_s: float, end_s: float) -> GrantLog:
    log, decision = log.reserve(ask(permit, start_s))
    assert decision == GrantReserved(permit)
    return log.finish(end(permit, end_s)).log


def test_a_slot_counts_from_the_end_of_its_grant_not_from_its_start() -> None:
    # The gateway counts on arrival, which may be as late as the end: two starts an hour apart can arrive closer.
    log = granted(GrantLog(), "p1", 0, 25)
    log = granted(log, "p2", 30, 31)
    assert log.reserve(ask("p3", WINDOW_S + 1))[1] == GrantExhausted(24)
    assert log.reserve(ask("p3", WINDOW_S + 24.999))[1] == GrantExhausted(1)
    assert log.reserve(ask("p3", WINDOW_S + 25))[1] == GrantReserved("p3")


def test_with_more_slots_taken_than_a_new_limit_allows_the_wait_is_for_the_right_one() -> None:
    log = GrantLog()
    for number, start in enumerate((0, 100, 200)):
        log, _ = log.reserve(ask(f"p{number}", start, limit=3))
        log = log.finish(end(f"p{number}", start)).log
    assert log.reserve(ask("p9", 300, limit=3))[1] == GrantExhausted(WINDOW_S - 300)
    assert log.reserve(ask("p9", 300, limit=2))[1] == GrantExhausted(WINDOW_S - 200)
    assert log.reserve(ask("p9", 300, limit=1))[1] == GrantExhausted(WINDOW_S - 100)


def test_the_failure_of_the_last_grant_is_told_and_cut_to_size() -> None:
    log = granted(GrantLog(), "p1", 0, 1)
    log, _ = log.reserve(ask("p2", 2))
    log = log.finish(end("p2", 3, failure="x" * 500)).log
    decision = log.reserve(ask("p3", 4))[1]
    assert isinstance(decision, GrantExhausted)
    assert decision.failure == "x" * 64
    assert GrantLog.from_json(log.to_json()) == log


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "7",
        '"slots"',
        "\x00\x00\x00",
        "[" * 100_000,
        json.dumps({"format": 2, "unreadable": False, "slots": []}),
        json.dumps({"format": 1, "unreadable": 0, "slots": []}),
        json.dumps({"format": 1, "unreadable": False, "slots": {}}),
        json.dumps({"format": 1, "slots": []}),
        json.dumps({"format": 1, "unreadable": False, "slots": [{}]}),
        json.dumps({"format": 1, "unreadable": False, "slots": [None] * 1001}),
        *(
            json.dumps(
                {
                    "format": 1,
                    "unreadable": False,
                    "slots": [
                        {"permit": "p", "until_ms": 1, "lease_ms": 1, "open": True, "failure": None} | change
                    ],
                }
            )
            for change in (
                {"until_ms": 1.5},
                {"until_ms": True},
                {"until_ms": -1},
                {"until_ms": 2**60},
                {"lease_ms": "1"},
                {"open": 1},
                {"permit": 7},
                {"permit": "p" * 65},
                {"failure": ["x"]},
                {"failure": 7},
            )
        ),
    ],
)
def test_a_log_that_cannot_be_read_counts_as_used_up_for_one_window(text: str) -> None:
    log = GrantLog.from_json(text)
    assert log.unreadable
    # An end that comes meanwhile does not heal it, neither in memory nor as text.
    log = GrantLog.from_json(log.finish(end("p0", 0)).log.to_json())
    log, decision = log.reserve(ask("p1", 1))
    assert decision == GrantExhausted(WINDOW_S, unreadable=True)
    log = GrantLog.from_json(log.to_json())
    assert log.reserve(ask("p2", WINDOW_S))[1] == GrantExhausted(1, unreadable=True)
    assert log.reserve(ask("p3", WINDOW_S + 1))[1] == GrantReserved("p3")


def test_a_clock_set_back_does_not_free_a_slot() -> None:
    log = granted(GrantLog(), "p1", 0, 1)
    log = granted(log, "p2", 2, 3)
    assert isinstance(log.reserve(ask("p3", -50))[1], GrantExhausted)


def test_a_clock_that_was_years_ahead_blocks_for_one_window_only() -> None:
    year = 365 * 86400
    log = granted(GrantLog(), "p1", year, year + 1)
    log, decision = log.reserve(ask("p2", year + 2))
    assert decision == GrantReserved("p2")
    # The clock is right again: the lease in the far future is worth its length, then both slots a window.
    log, decision = log.reserve(ask("p3", 0))
    assert decision == GrantBusy(LEASE_S)
    log, decision = log.reserve(ask("p3", LEASE_S))
    assert decision == GrantExhausted(WINDOW_S - round(LEASE_S))
    assert log.reserve(ask("p3", LEASE_S + WINDOW_S))[1] == GrantReserved("p3")


def test_another_machines_clock_a_little_ahead_is_believed() -> None:
    log = granted(GrantLog(), "p1", SKEW_S - 1, SKEW_S)
    log = granted(log, "p2", SKEW_S, SKEW_S)
    # Counted from its own time, not from ours: the gateway's hour has not begun earlier.
    assert log.reserve(ask("p3", 0))[1] == GrantExhausted(SKEW_S + WINDOW_S)


def test_millis_are_exact() -> None:
    for millis in (0, 1, 1_772_366_400_123, 2**47):
        assert to_millis(from_millis(millis)) == millis


@pytest.mark.parametrize("bad", [{"limit": 0}, {"window_s": 0}, {"limit": -1}])
def test_a_budget_is_positive(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one grant"):
        GrantBudget(**bad)


STEPS = st.lists(
    st.tuples(st.integers(0, 1500), st.sampled_from(["answer", "unsent", "crash"]), st.integers(0, 80)),
    max_size=40,
)


@given(STEPS, st.integers(1, 4))
def test_no_window_ever_sees_more_arrivals_than_the_limit(
    steps: list[tuple[int, str, int]], limit: int
) -> None:
    log, now, arrivals = GrantLog(), 0.0, list[float]()
    for number, (pause, how, length) in enumerate(steps):
        now += pause
        log = GrantLog.from_json(log.to_json())
        log, decision = log.reserve(ask(f"p{number}", now, limit=limit))
        if not isinstance(decision, GrantReserved):
            continue
        if how == "unsent":
            log = log.finish(end(f"p{number}", now + length, sent=False)).log
        else:
            arrivals.append(now + length)  # as late as can be: the worst for the next window
            if how == "answer":
                log = log.finish(end(f"p{number}", now + length)).log
        now += length
        assert len(log.slots) <= limit
    for first in arrivals:
        assert sum(first <= arrival < first + WINDOW_S for arrival in arrivals) <= limit


@given(STEPS, st.integers(1, 4), st.integers(-10_000_000, 10_000_000))
def test_whatever_happened_and_wherever_the_clock_was_set_a_slot_is_free_in_the_end(
    steps: list[tuple[int, str, int]], limit: int, step_s: int
) -> None:
    log, now = GrantLog(), 0.0
    for number, (pause, how, length) in enumerate(steps):
        now += pause
        log, _ = log.reserve(ask(f"p{number}", now, limit=limit))
        if how != "crash":
            log = log.finish(end(f"p{number}", now + length, sent=how == "answer")).log
    now += step_s
    log, _ = log.reserve(ask("last", now, limit=limit))
    now += SKEW_S + LEASE_S + WINDOW_S
    assert log.reserve(ask("then", now, limit=limit))[1] in {GrantReserved("then")}

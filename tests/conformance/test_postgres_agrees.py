"""Any sequence of operations gives the same answers in memory and in PostgreSQL.

What is compared is what the stores do themselves, by the same random lives as in the test of memory and SQLite. Cursors
differ (PostgreSQL numbers rows with gaps), so of them only whether there is one.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance.postgres_database import emptied, migrated
from tests.services import Databases
from tests.unit.test_stores_agree import (
    Action,
    Side,
    answer,
    find,
    get,
    listing,
    look_around,
    look_at_news,
    news_steps,
    read,
    steps,
    tokens,
)
from vextrus_payments.paging import Page
from vextrus_payments.stores import MemoryStore, PostgresStore
from vextrus_payments.testing import FakeClock


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


def seen(found: Any) -> Any:
    """An answer without what only its own store can read."""
    if isinstance(found, Page):
        return replace(found, cursor=None if found.cursor is None else "there is more")
    if type(found) is tuple:
        return tuple(seen(each) for each in found)
    return found


class Reader:
    """Hands a side the cursors of the very listing that an action asks for: another's say nothing to it."""

    def __init__(self) -> None:
        self._lists: dict[tuple[Action, int], list[list[str | None]]] = {}

    def prepare(self, sides: tuple[Side, ...], action: Action, a: int, b: int) -> None:
        if action is look_at_news:  # only the first page: a row's number may be given again, and not by both
            for side in sides:
                side.cursors = [None]
            return
        key = (action, a % 2 if action is listing else b % 6)
        for side, cursors in zip(sides, self._lists.setdefault(key, [[None], [None]]), strict=True):
            side.cursors = cursors


_QUESTIONS = ((get, 5), (read, 20), (find, 18), (look_around, 18), (look_at_news, 18), (tokens, 0))


async def run(sequence: list[tuple[Action, int, int, int]], dsn: str) -> None:
    await emptied(dsn)
    clock = FakeClock()
    sides = (Side(MemoryStore(clock=clock)), Side(PostgresStore(dsn, clock=clock, pool_size=1)))
    for side in sides:
        await side.store.open()
    reader = Reader()
    try:
        for action, a, b, seconds in sequence:
            clock.advance(seconds * 0.5)
            reader.prepare(sides, action, a, b)
            memory, postgres = [seen(await answer(action, side, a, b)) for side in sides]
            assert memory == postgres, f"{action.__name__}({a}, {b})"
        for side in sides:
            await side.store.open()
        for tenant in range(2):
            for action, count in _QUESTIONS:
                for b in range(count):
                    a = tenant + 2 * b
                    reader.prepare(sides, action, a, b)
                    answers = [seen(await answer(action, side, a, b)) for side in sides]
                    assert answers[0] == answers[1], f"{action.__name__}({a}, {b})"
    finally:
        for side in sides:
            await side.store.close()


@settings(
    max_examples=max(15, settings().max_examples // 10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(steps, min_size=20, max_size=60))
def test_memory_and_postgres_agree(dsn: str, sequence: list[tuple[Action, int, int, int]]) -> None:
    asyncio.run(run(sequence, dsn))


@settings(
    max_examples=max(10, settings().max_examples // 20),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=st.lists(news_steps, min_size=30, max_size=60))
def test_memory_and_postgres_agree_on_news(dsn: str, sequence: list[tuple[Action, int, int, int]]) -> None:
    asyncio.run(run(sequence, dsn))

"""The examples of docs/ledger.md, run as they stand there."""

import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.postgres_database import script, sql
from tests.flows.queue_world import Listener, fill
from tests.sinks.entries import entry, row
from tests.sinks.receiver import receiving
from tests.sinks.test_http import NEW, OLD
from vextrus_payments import LedgerEntry, Payments
from vextrus_payments.records import OutboxKind
from vextrus_payments.sinks import HttpSink, SqlLedger
from vextrus_payments.stores import PostgresStore

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
_TABLES = """
CREATE TABLE journal (entry_id text PRIMARY KEY, kind text, reference text, booked_at timestamptz);
CREATE TABLE journal_line (entry_id text, account text, side text, amount_minor bigint, currency text);
"""


def example(name: str, **given: Any) -> Any:
    """A function of the page."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (block,) = [one for one in blocks if re.search(rf"def {name}\(", one)]
    code = block.split("\npayments = ")[0]
    space: dict[str, Any] = dict(given)
    exec(compile(code, f"docs/ledger.md: {name}", "exec"), space)
    return space[name]


def column(name: str) -> str:
    """The tables as the page tells them."""
    found = re.search(rf"{name} \((.*?)\)", PAGE)
    assert found is not None
    return found[1]


@pytest.fixture
async def dsn(postgres_dsn: str) -> AsyncIterator[str]:
    await PostgresStore(postgres_dsn).migrate()
    await script(postgres_dsn, _TABLES)
    yield postgres_dsn


def test_the_tables_are_those_of_the_page() -> None:
    for name in ("journal", "journal_line"):
        assert f"CREATE TABLE {name} ({column(name)})" in _TABLES


async def lines(dsn: str) -> dict[str, int]:
    """How many lines each entry has."""
    rows = await sql(dsn, "SELECT entry_id, count(*) FROM journal_line GROUP BY entry_id")
    return dict(rows)


async def test_the_callback_books_an_entry_once_however_often_it_comes(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=3) as pool:
        post: Callable[[LedgerEntry], Any] = example("post_to_ledger", LedgerEntry=LedgerEntry, pool=pool)
        for number in (1, 2, 1, 1):
            await post(entry(number))
        store = PostgresStore(dsn)
        async with Payments(store=store, ledger=post, workers=False) as payments:
            await fill(store, [2])
            assert await payments.deliver() == 2
    assert await lines(dsn) == {"ent_1": 2, "ent_2": 2, "ent_pay0-1": 2, "ent_pay0-2": 2}
    assert await sql(dsn, "SELECT count(*) FROM journal") == [(4,)]


async def test_the_write_of_sql_ledger_books_it_with_the_mark(dsn: str) -> None:
    write = example("write_journal", LedgerEntry=LedgerEntry, asyncpg=asyncpg)
    store, listener = PostgresStore(dsn), Listener()
    async with Payments(store=store, ledger=SqlLedger(write), observer=listener, workers=False) as payments:
        await fill(store, [2, 1])
        assert await payments.deliver() == 3
        assert (await store.backlog(OutboxKind.LEDGER)).waiting == 0
    assert await lines(dsn) == {"ent_pay0-1": 2, "ent_pay0-2": 2, "ent_pay1-1": 2}
    assert listener.of("outbox.not_taken") == []


async def test_the_receiving_side_believes_what_is_ours_and_nothing_else() -> None:
    is_from_payments = example("is_from_payments")
    async with receiving() as receiver:
        sink = HttpSink(f"{receiver.url}/hooks", [OLD, NEW])
        await sink.take_row(row(entry()))
        await sink.aclose()
        (came,) = receiver.arrived
    for live in ([OLD.reveal()], [NEW.reveal()], ["whsec_" + "A" * 43 + "=", NEW.reveal()]):
        assert is_from_payments(came.headers, came.body, live)
    assert not is_from_payments(came.headers, came.body, ["whsec_" + "A" * 43 + "="])
    assert not is_from_payments(came.headers, came.body + b" ", [OLD.reveal()])
    for seconds in (-301, 301):
        moved = {**came.headers, "webhook-timestamp": str(int(time.time()) + seconds)}
        assert not is_from_payments(moved, came.body, [OLD.reveal()])
    for name, value in (
        ("webhook-id", "ent_2"),
        ("webhook-timestamp", "\u0661"),
        ("webhook-signature", "v1,"),
    ):
        assert not is_from_payments({**came.headers, name: value}, came.body, [OLD.reveal()])

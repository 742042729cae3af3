"""The SQLite store's schema: numbered, whole or not at all, and an index for every question."""

import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.unit.sqlite_file import refused, sql, trial_of
from vextrus_payments.errors import StorageError
from vextrus_payments.records import PaymentState
from vextrus_payments.stores import SqliteStore
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.testing.store_trial import LONG, Account

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


def test_a_released_migration_is_never_changed() -> None:
    """The checksums of what was released. A change of the schema is a new file, and a new line here."""
    assert [(m.number, m.name, m.compatible) for m in migrations("sqlite")] == [
        (1, "0001_first", 1),
        (2, "0002_watches", 1),
        (3, "0003_inbox", 1),
        (4, "0004_payouts", 1),
        (5, "0005_payouts_in_review", 1),
    ]


def test_statements_are_split_where_they_end() -> None:
    table = "-- one; two\nCREATE TABLE a (b);\n"
    trigger = "\nCREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  SELECT 1;\n  SELECT ';';\nEND;\n"
    first, second = Migration(1, "0001_x", table + trigger).statements()
    assert first.endswith("CREATE TABLE a (b);\n")
    assert second.strip().startswith("CREATE TRIGGER") and second.endswith("END;\n")


def test_line_ends_do_not_change_a_checksum() -> None:
    for migration in migrations("sqlite"):
        assert "\r" not in migration.text
        assert Migration(1, "x", migration.text).checksum == migration.checksum


async def test_a_failing_migration_leaves_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vextrus_payments.stores.sqlite import file

    good = migrations("sqlite")
    bad = Migration(len(good) + 1, "0002_bad", "CREATE TABLE more (a);\nCREATE TABLE nonsense (;\n")

    def two(kind: str) -> tuple[Migration, ...]:
        return (*good, bad)

    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", two)
        await refused(SqliteStore(tmp_path / "payments.db"), "storage")
    raw = sqlite3.connect(tmp_path / "payments.db")
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()
    more = Migration(len(good) + 1, "0002_more", "CREATE TABLE more (a);\n")
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", lambda kind: (*good, more))
        await store.open()
        assert await sql(store, "SELECT value FROM meta WHERE key = 'schema_version'") == [
            (str(len(good) + 1),)
        ]
        assert await store.get("acme", "pay_INV-1") is not None, "a migration keeps what is there"
        await store.close()


async def test_installed_files_that_were_changed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import vextrus_payments.stores.migrations as module

    with pytest.raises(StorageError, match="not the released ones"):
        module._check_released(
            [Migration(1, "0001_first", "CREATE TABLE other (a);")], "abc  0001_first.sql\n"
        )
    with pytest.raises(StorageError, match="not the released ones"):
        module._check_released([], "abc  0001_first.sql\n")


_CHECKS_WITH_EVERY_STATEMENT = (
    "order_ids_are_unique",
    "one_refund_at_a_time",
    "guards",
    "find_by_each_key",
    "in_order_per_subject",
    "many_acks",
    "outbox_page_by_page",
    "outbox_rows_by_id",
    "unparked_rows_come_again",
    "due_watches_are_leased",
    "a_commit_outranks_a_look",
    "sweeps_arm_what_is_open",
    "the_next_look_is_told",
    "agreements_come_back",
    "operation_ids_are_one_space",
    "agreements_are_found",
    "payouts_come_back",
    "payouts_have_ids_of_their_own",
    "payouts_are_listed",
    "payouts_are_watched",
    "receipts_by_transaction_id",
    "receipts_page_by_page",
    "settlements_are_written_once",
    "marks",
    "token_rows",
    "news_of_others_is_apart",
    "replays_come_again",
    "unmatched_is_announced",
    "what_waited_is_taken_back",
    "the_backlog_is_told",
    "inbox_page_by_page",
    "what_is_over_is_pruned",
)
_TABLES = (
    *("inbox", "outbox", "attempts", "events", "settlements", "agreement_operations", "agreements"),
    *("payouts", "receipts", "operations", "submissions"),
)


@pytest.fixture
async def plans(store: SqliteStore) -> AsyncIterator[Callable[[], list[tuple[str, str]]]]:
    """Collects every statement that the store runs, with SQLite's plan for it."""
    seen: dict[str, None] = {}
    connection, beside = store._connection, store._beside
    assert connection is not None and beside is not None and beside.connection is not None
    both = (connection, beside.connection)
    for each in both:
        each.set_trace_callback(lambda statement: seen.setdefault(statement))

    def found() -> list[tuple[str, str]]:
        for each in both:
            each.set_trace_callback(None)
        explained = []
        for statement in seen:
            if statement.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
                for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                    explained.append((statement, row[3]))
        return explained

    yield found


async def test_every_statement_goes_by_an_index_that_finds_few_rows(
    store: SqliteStore, plans: Callable[[], list[tuple[str, str]]]
) -> None:
    """With ten million payments of one tenant a statement that walks the tenant would take seconds."""
    from vextrus_payments.testing.store_check import _ALL

    assert set(_CHECKS_WITH_EVERY_STATEMENT) <= set(_ALL)
    for name in _CHECKS_WITH_EVERY_STATEMENT:
        await _ALL[name](trial_of(store))
        for table in (*_TABLES, "payments"):
            await sql(store, f"DROP TRIGGER IF EXISTS {table}_are_not_deleted")
            await sql(store, f"DELETE FROM {table}")
    await store.list("acme", limit=5)
    await store.list(limit=5)
    await store.list(since=store.now(), limit=5)
    await store.list(state=PaymentState.PAID, limit=5)
    await store.list_operations(states=["unknown", "submitting"], limit=5)  # type: ignore[list-item]
    ids = (
        "payment_id|operation_id|merchant_reference|agreement_key|gateway_order_id|gateway_reference"
        "|transaction_id|held_transaction_id|row_id|event_id|agreement_id|payout_id"
    )
    few = re.compile(
        rf"SEARCH \w+ USING (COVERING )?INDEX \w+ \(tenant=\? AND ({ids})=\?"
        r"|SEARCH \w+ USING (COVERING )?INDEX \w+ \(kind=\? AND (tenant=\? AND subject|due_at)"
        r"|SEARCH \w+ USING PRIMARY KEY \((tenant=\? AND (payment_id|operation_id)=\?|digest=\?|key=\?)"
        r"|SEARCH \w+ USING INTEGER PRIMARY KEY \(rowid=\?"
        r"|(SCALAR|CORRELATED SCALAR|LIST) SUBQUERY|MERGE|LEFT|RIGHT|COMPOUND QUERY|UNION ALL|UNION USING TEMP"
        r"|SCAN (\d+ )?CONSTANT ROW"
        r"|SEARCH inbox$"  # the greatest number of all
    )
    # in the order of its index, and ended by its limit
    page = re.compile(
        r"SEARCH (payments|operations|agreements|payouts|outbox) USING (COVERING )?"
        r"INDEX \w+_by_(tenant|state|time|watch) "
        r"|SCAN (agreements|payouts) USING INDEX \w+_by_time"
        r"|(SCAN|SEARCH) payouts USING INDEX payouts_unsettled"
        r"|SEARCH payouts USING INDEX payouts_unwatched"
        r"|SEARCH agreements USING INDEX agreements_unwatched"
        r"|SEARCH receipts USING INDEX receipts_by_time \(tenant=\? AND gateway=\? AND mode=\?"
        r"|SEARCH outbox USING INDEX outbox_parked \(kind=\?"
        r"|SEARCH (outbox|inbox) USING INTEGER PRIMARY KEY \(rowid>\?"
        r"|(SEARCH|SCAN) inbox USING (COVERING )?INDEX inbox_(due|by_time|by_tenant|unmatched|finished)\b"
    )
    # counted in stretches
    stretch = re.compile(
        r"SEARCH outbox USING (COVERING )?INDEX outbox_by_subject \(kind=\? AND \(tenant,subject,seq\)>"
    )
    sorted_few = re.compile(
        r".*(UNION ALL| IN \(|FROM agreements WHERE tenant = .* AND (gateway_reference|agreement_id) ="
        r"|FROM attempts WHERE tenant =|INDEXED BY inbox_due)",
        re.DOTALL,
    )
    statements = plans()
    assert len({statement for statement, _ in statements}) > 100
    assert any(page.match(plan) for _, plan in statements)
    assert any(stretch.match(plan) for _, plan in statements)
    wide = {
        (re.sub(r"'[^']*'|\d+", "?", statement)[:90], plan)
        for statement, plan in statements
        if not few.match(plan)
        and not (page.match(plan) and "LIMIT" in statement)
        and not stretch.match(plan)
        and not (plan == "USE TEMP B-TREE FOR ORDER BY" and sorted_few.match(statement))
        and not statement.startswith("DELETE")
    }
    assert wide == set()


async def test_a_reference_that_is_charged_again_and_again_gets_no_slower(store: SqliteStore) -> None:
    """Where siblings decide nothing they are not read: the hundredth donation costs what the second did."""
    trial, donation = trial_of(store), Account(allow_repeat=True)
    connection = store._connection
    assert connection is not None
    counts = []
    for number in range(12):
        seen: list[str] = []
        connection.set_trace_callback(seen.append)
        made = await trial.reserved(
            "DONATION", donation, operation_id=f"op-{number}", payment_id=f"pay_{number}"
        )
        await store.claim("acme", made.operation.operation_id, LONG)
        connection.set_trace_callback(None)
        counts.append(len(seen))
    assert len(set(counts[1:])) == 1, counts

"""The SQLite store as a file: who may read it, what is refused, what is lost (nothing), and who is never waited for."""

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.plans import Claim, Reserved
from vextrus_payments.records import OutboxKind, PaymentState
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments.testing.store_trial import LONG, StoreTrial

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-value-that-is-in-a-row"


async def never(_: float) -> None:
    raise AssertionError("no test here moves the clock")


def trial_of(store: SqliteStore) -> StoreTrial:
    return StoreTrial(store, store, never)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


async def sql(store: SqliteStore, statement: str) -> list[Any]:
    """Run SQL on the store's own connection, between its operations."""

    def work() -> list[Any]:
        assert store._connection is not None
        return store._connection.execute(statement).fetchall()

    return await store._runner.run(work)


async def refused(store: SqliteStore, code: str) -> StorageError:
    """The error that open() raises, which must be fit to be shown to anybody."""
    with pytest.raises(StorageError) as caught:
        await store.open()
    check_shown(caught.value, code)
    return caught.value


def check_shown(error: StorageError, code: str) -> None:
    assert error.code == code
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = f"{error} {error!r} {error.context}"
    assert CANARY not in shown
    assert "INSERT" not in shown and "SELECT" not in shown
    assert re.search(r"[A-Z].*\. No money moved\. [A-Z].*\.$", str(error)), str(error)


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
async def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        store = SqliteStore(tmp_path / "payments.db")
        await store.open()
        await trial_of(store).reserved("INV-1")
        files = sorted(tmp_path.iterdir())
        assert [file.name for file in files] == ["payments.db", "payments.db-shm", "payments.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        await store.close()
    finally:
        os.umask(previous)


async def test_a_file_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    path.touch(0o640)
    store = SqliteStore(path)
    await store.open()
    await store.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(os, "link", no_links)
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()
    assert [file.name for file in tmp_path.iterdir()] == ["payments.db"]
    assert stat.S_IMODE((tmp_path / "payments.db").stat().st_mode) == 0o600


async def test_a_relative_path_is_taken_from_the_folder_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("payments.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    await store.open()
    await store.close()
    assert (tmp_path / "payments.db").exists()


@pytest.mark.parametrize("path", ["", ":memory:", "a\0b"])
def test_what_is_no_file(path: str) -> None:
    with pytest.raises(ConfigurationError):
        SqliteStore(path)


async def test_the_settings_that_durability_stands_on(store: SqliteStore) -> None:
    assert await sql(store, "PRAGMA journal_mode") == [("wal",)]
    assert await sql(store, "PRAGMA synchronous") == [(2,)]
    assert await sql(store, "PRAGMA foreign_keys") == [(1,)]
    assert await sql(store, "PRAGMA busy_timeout") == [(10_000,)]
    tables = {name for (name,) in await sql(store, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables >= {"payments", "submissions", "operations", "attempts", "receipts", "events"}
    assert tables >= {"outbox", "inbox", "tokens", "meta", "migrations"}
    assert await sql(store, "SELECT value FROM meta WHERE key = 'schema_version'") == [
        (str(len(migrations("sqlite"))),)
    ]


async def test_receipts_and_events_are_only_inserted_whoever_asks(store: SqliteStore) -> None:
    await trial_of(store).paid("INV-1")
    for statement in (
        "UPDATE receipts SET document = '{}'",
        "DELETE FROM receipts",
        "UPDATE events SET document = '{}'",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="only inserted"):
            await sql(store, statement)


async def test_opening_twice_at_once_makes_one_connection(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await asyncio.gather(*(store.open() for _ in range(5)))
    first = store._connection
    await store.open()
    assert store._connection is first
    assert "payments.db" in repr(store) and "open" in repr(store)
    await asyncio.gather(store.close(), store.close())
    assert "closed" in repr(store)


async def test_many_handles_make_one_file(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "payments.db") for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    answers = await asyncio.gather(
        *(trial_of(store).reserve("INV-1", payment_id=f"pay_{n}") for n, store in enumerate(stores))
    )
    assert sum(isinstance(answer, Reserved) for answer in answers) == 1
    await asyncio.gather(*(store.close() for store in stores))


# --- what is refused, and how -------------------------------------------------------------------------------------


async def test_no_folder(tmp_path: Path) -> None:
    error = await refused(SqliteStore(tmp_path / "none" / "payments.db"), "storage_not_writable")
    assert "folder" in error.what and "Make the folder" in error.next_step
    assert not (tmp_path / "none").exists()


async def test_a_folder_in_place_of_a_file(tmp_path: Path) -> None:
    await refused(SqliteStore(tmp_path), "storage_not_writable")


async def test_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(f"{CANARY}\n" * 500, encoding="utf-8")
    before = path.read_bytes()
    await refused(SqliteStore(path), "storage_not_a_database")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    "make", ["CREATE TABLE payments (id INTEGER)", "CREATE TABLE migrations (n)", "PRAGMA application_id = 7"]
)
async def test_another_applications_database(tmp_path: Path, make: str) -> None:
    path = tmp_path / "shop.db"
    other = sqlite3.connect(path)
    other.execute(make)
    other.commit()
    other.close()
    before = path.read_bytes()
    error = await refused(SqliteStore(path), "storage_not_ours")
    assert "file of their own" in error.next_step
    assert path.read_bytes() == before


async def changed(path: Path, statement: str) -> None:
    store = SqliteStore(path)
    await store.open()
    await trial_of(store).reserved("INV-1")
    await sql(store, statement)
    await store.close()


async def test_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    await changed(path, "INSERT INTO migrations VALUES (99, '0099_later', 'x', 0)")
    error = await refused(SqliteStore(path), "storage_newer_schema")
    assert "newer" in error.what and "newer" in error.next_step


async def test_a_schema_of_another_making(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    await changed(path, f"UPDATE migrations SET checksum = '{CANARY}' WHERE number = 1")
    await refused(SqliteStore(path), "storage_other_schema")


async def test_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    await changed(path, f"UPDATE meta SET value = '{CANARY}' WHERE key = 'none'")
    data = bytearray(path.read_bytes())
    data[8192:] = bytes(len(data) - 8192)
    path.write_bytes(data)
    store = SqliteStore(path)
    with pytest.raises(StorageError) as caught:
        await store.open()
        await trial_of(store).paid("INV-1")
        await store.find("acme", merchant_reference="INV-1")
    check_shown(caught.value, "storage_corrupt")
    await store.close()


async def test_locked(tmp_path: Path, store: SqliteStore) -> None:
    """A writer that never ends is waited for, not for ever; nothing is written meanwhile, everything after."""
    other = SqliteStore(tmp_path / "payments.db", busy_timeout_s=0.05)
    await other.open()
    await sql(store, "BEGIN IMMEDIATE")
    with pytest.raises(StorageError) as caught:
        await trial_of(other).reserve("INV-1")
    check_shown(caught.value, "storage_locked")
    assert caught.value.context["sqlite"] == "SQLITE_BUSY"
    assert await other.get("acme", "pay_INV-1") is None, "reading goes on"
    await sql(store, "ROLLBACK")
    await trial_of(other).reserved("INV-1")
    await other.close()


async def test_open_waits_for_a_lock_with_the_injected_sleeper(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    path.touch()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    clock = FakeClock()
    sleeper = FakeSleeper(clock)
    store = SqliteStore(path, clock=clock, sleeper=sleeper, busy_timeout_s=0.2)
    await refused(store, "storage_locked")
    assert len(sleeper.slept) >= 3
    holder.execute("ROLLBACK")
    holder.close()
    await store.open()
    await store.close()


async def test_the_disk_is_full(store: SqliteStore) -> None:
    """Nothing is half-written, and the store works again once there is room."""
    facts = await trial_of(store).awaiting("INV-1")
    (pages,) = (await sql(store, "PRAGMA page_count"))[0]
    await sql(store, f"PRAGMA max_page_count = {pages}")
    written = 0
    with pytest.raises(StorageError) as caught:
        for number in range(1000):
            await trial_of(store).reserved(f"INV-{number + 10}", payment_id=f"pay_{number}")
            written += 1
    check_shown(caught.value, "storage_full")
    assert await store.get("acme", f"pay_{written}") is None
    assert await store.get_operation("acme", f"INV-{written + 10}/pay") is None
    assert await store.get("acme", "pay_INV-1") == facts
    await sql(store, f"PRAGMA max_page_count = {2**30}")
    await trial_of(store).reserved(f"INV-{written + 10}", payment_id=f"pay_{written}")


async def test_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user without the right to write would see it (the test may run as root, whom no mode stops)."""
    path = tmp_path / "payments.db"
    await changed(path, "SELECT 1")
    real = sqlite3.connect

    def read_only(name: str, **more: Any) -> sqlite3.Connection:
        return real(f"file:{name}?mode=ro", uri=True, **more)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    await refused(SqliteStore(path), "storage_not_writable")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
async def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        await refused(SqliteStore(tmp_path / "payments.db"), "storage_not_writable")
    finally:
        tmp_path.chmod(0o700)


async def test_a_folder_that_takes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    await refused(SqliteStore(tmp_path / "payments.db"), "storage_not_writable")


async def test_a_file_system_without_write_ahead_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sqlite3.connect

    def on_a_share(name: str, **more: Any) -> sqlite3.Connection:
        # SQLite refuses WAL the same way for a database in memory.
        return real(":memory:", **more)

    monkeypatch.setattr(sqlite3, "connect", on_a_share)
    error = await refused(SqliteStore(tmp_path / "payments.db"), "storage_not_writable")
    assert "local disk" in error.next_step


async def test_before_open_and_after_close(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    with pytest.raises(StorageError, match="not open") as caught:
        await store.get("acme", "pay_1")
    check_shown(caught.value, "storage_closed")
    await store.close()
    assert not (tmp_path / "payments.db").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
async def test_a_store_does_not_survive_a_fork(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    with pytest.raises(StorageError) as caught:
        await store.get("acme", "pay_1")
    check_shown(caught.value, "storage_forked")
    await asyncio.wait_for(store.close(), 5)
    monkeypatch.undo()
    assert await store.get("acme", "pay_1") is None


async def test_what_no_text_is(store: SqliteStore) -> None:
    """A lone surrogate, as a gateway's JSON may hold one, is refused as a storage error."""
    with pytest.raises(StorageError) as caught:
        await store.find("acme", gateway_reference=f"\ud800{CANARY}")
    check_shown(caught.value, "storage_bad_value")
    assert await store.find("acme", gateway_reference="GR") == ()


async def test_a_constraint_is_our_mistake_and_says_so(store: SqliteStore) -> None:
    await sql(
        store,
        "CREATE TRIGGER no_attempts BEFORE INSERT ON attempts BEGIN SELECT RAISE(ABORT, 'no'); END",
    )
    made = await trial_of(store).reserved("INV-1")
    with pytest.raises(StorageError) as caught:
        await store.claim("acme", made.operation.operation_id, LONG)
    check_shown(caught.value, "storage_constraint")
    assert await store.get("acme", "pay_INV-1") == made.facts, "the claim was undone with its attempt"


# --- cancellation, threads, death ---------------------------------------------------------------------------------


class Gate:
    """Holds the store's thread inside a piece of work."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def work(self) -> None:
        self.entered.set()
        assert self.open.wait(30)


async def test_a_cancelled_caller_tears_no_transaction(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the thread has begun it finishes, whole; the caller only stops waiting."""
    gate = Gate()
    real = store._clock.now

    def slow_now() -> Any:
        gate.work()
        return real()

    monkeypatch.setattr(store, "_clock", type("SlowClock", (), {"now": staticmethod(slow_now)}))
    caller = asyncio.create_task(store.reserve(trial_of(store).wish("INV-1")))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    gate.open.set()
    facts = await store.get("acme", "pay_INV-1")
    assert facts is not None, "the transaction was finished"
    assert await store.get_operation("acme", "INV-1/pay") is not None, "and whole"


async def test_work_that_was_not_begun_is_dropped_with_its_caller(store: SqliteStore) -> None:
    gate = Gate()
    blocker = asyncio.create_task(store._runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    callers = [
        asyncio.create_task(trial_of(store).reserve(f"INV-{n}", payment_id=f"pay_{n}")) for n in range(5)
    ]
    await asyncio.sleep(0)
    for caller in callers[:4]:
        caller.cancel()
    await asyncio.gather(*callers[:4], return_exceptions=True)
    gate.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    await blocker
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 4 + [Reserved]
    listed = await store.list("acme")
    assert [payment.payment_id for payment in listed.rows] == ["pay_4"]


async def test_closing_waits_for_the_work_at_hand_and_then_refuses(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    gate = Gate()
    blocker = asyncio.create_task(store._runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    before = asyncio.create_task(trial_of(store).reserve("INV-1"))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.open.set()
    assert isinstance(await before, Reserved)
    await asyncio.wait_for(closing, 10)
    await blocker
    with pytest.raises(StorageError, match="not open"):
        await store.get("acme", "pay_INV-1")
    await store.close()


async def test_a_cancelled_close_leaves_nothing_locked(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")
    await store.open()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await store.close()
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()


def test_one_store_serves_one_loop_after_another(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db")

    async def one(reference: str) -> None:
        await store.open()
        await trial_of(store).reserved(reference)

    asyncio.run(one("INV-1"))
    asyncio.run(one("INV-2"))
    asyncio.run(store.close())


async def test_a_runner_lets_go_after_the_work_that_was_handed_over() -> None:
    runner, gate, done = ThreadRunner(), Gate(), []
    await runner.aclose()
    blocker = asyncio.create_task(runner.run(gate.work))
    while not gate.entered.is_set():
        await asyncio.sleep(0.001)
    last = asyncio.create_task(runner.run(lambda: done.append("work")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(runner.aclose())
    await asyncio.sleep(0.02)
    assert not closing.done()
    gate.open.set()
    await closing
    assert done == ["work"]
    await asyncio.gather(blocker, last, runner.aclose())
    assert await runner.run(lambda: "again") == "again"
    await runner.aclose()


async def test_the_thread_ends_with_the_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "payments.db", runner=ThreadRunner("of-this-test"))
    await store.open()
    assert [t for t in threading.enumerate() if t.name.startswith("of-this-test")]
    await store.close()
    for _ in range(500):
        if not [t for t in threading.enumerate() if t.name.startswith("of-this-test")]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the store's thread is still there")


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.unit.test_stores_sqlite import trial_of
from vextrus_payments.stores import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    for number in range(100_000):
        facts = await trial_of(store).paid(f"INV-{number}")
        print(number, flush=True)

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
async def test_what_was_answered_survives_a_killed_process(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    last = -1
    deadline = time.monotonic() + 60
    while last < 15 and time.monotonic() < deadline:
        last = int(process.stdout.readline())
    process.kill()
    rest = process.communicate(timeout=30)[0].split()
    last = int(rest[-1]) if rest else last
    assert last >= 15
    shutil.copytree(tmp_path, tmp_path.parent / "copy")
    for folder in (tmp_path, tmp_path.parent / "copy"):  # also from a copy: nothing stands on shared memory
        store = SqliteStore(folder / "payments.db")
        await store.open()
        for number in range(last + 1):
            facts = await store.get("acme", f"pay_INV-{number}")
            assert facts is not None and len(facts.receipts) == 1, (
                f"payment {number} was answered and is lost"
            )
        backlog = await store.backlog(OutboxKind.EVENT)
        found = [await store.find("acme", transaction_id=f"TRXINV-{number}") for number in range(last + 2)]
        paid = sum(len(each) for each in found)
        assert backlog.waiting == paid, "state and outbox were committed together"
        assert await sql(store, "PRAGMA integrity_check") == [("ok",)]
        assert await sql(store, "PRAGMA foreign_key_check") == []
        await store.close()


async def test_an_error_in_the_work_undoes_the_transaction(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised, where it is raised: nothing of the transaction stays, and the next one works."""
    from vextrus_payments.stores.sqlite import rows

    made = await trial_of(store).reserved("INV-1")
    for name in ("_put_payment", "_put_operation", "note_attempt"):

        def fail(*_: object, name: str = name) -> None:
            raise RuntimeError(name)

        with monkeypatch.context() as patch:
            patch.setattr(rows.SqliteRows, name, fail)
            with pytest.raises(RuntimeError):
                await store.claim("acme", "INV-1/pay", LONG)
        assert await store.get("acme", "pay_INV-1") == made.facts
    assert isinstance(await store.claim("acme", "INV-1/pay", LONG), Claim)


# --- migrations and queries ---------------------------------------------------------------------------------------


def test_a_released_migration_is_never_changed() -> None:
    """The checksums of what was released. A change of the schema is a new file, and a new line here."""
    assert [(m.number, m.name) for m in migrations("sqlite")] == [(1, "0001_first")]


def test_statements_are_split_where_they_end() -> None:
    table = "-- one; two\nCREATE TABLE a (b);\n"
    trigger = "\nCREATE TRIGGER t AFTER INSERT ON a\nBEGIN\n  SELECT 1;\n  SELECT ';';\nEND;\n"
    first, second = Migration(1, "0001_x", table + trigger).statements()
    assert first.endswith("CREATE TABLE a (b);\n")
    assert second.strip().startswith("CREATE TRIGGER") and second.endswith("END;\n")


def test_line_ends_do_not_change_a_checksum() -> None:
    (migration,) = migrations("sqlite")
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
        assert await sql(store, "SELECT value FROM meta") == [(str(len(good) + 1),)]
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


@pytest.fixture
async def plans(store: SqliteStore) -> AsyncIterator[Callable[[], list[tuple[str, str]]]]:
    """Collects every statement that the store runs, with SQLite's plan for it."""
    seen: dict[str, None] = {}
    connection = store._connection
    assert connection is not None
    connection.set_trace_callback(lambda statement: seen.setdefault(statement))

    def found() -> list[tuple[str, str]]:
        connection.set_trace_callback(None)
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

    for name in ("order_ids_are_unique", "one_refund_at_a_time", "guards", "find_by_each_key"):
        await _ALL[name](trial_of_waiting(store))
        for table in ("outbox", "attempts", "events", "receipts", "operations", "submissions", "payments"):
            await sql(store, f"DROP TRIGGER IF EXISTS {table}_are_not_deleted")
            await sql(store, f"DELETE FROM {table}")
    await _ALL["in_order_per_subject"](trial_of_waiting(store))
    await _ALL["token_rows"](trial_of_waiting(store))
    await store.list("acme", limit=5)
    await store.list(limit=5)
    await store.list(since=store.now(), limit=5)
    await store.list(state=PaymentState.PAID, limit=5)
    await store.list_operations(states=["unknown", "submitting"], limit=5)  # type: ignore[list-item]
    few = re.compile(
        r"SEARCH \w+ USING (COVERING )?INDEX \w+ \((tenant=\? AND (payment_id|operation_id|merchant_reference"
        r"|gateway_order_id|gateway_reference|transaction_id|held_transaction_id|row_id|event_id)=\?"
        r"|kind=\? AND (tenant=\? AND subject|due_at))"
        r"|SEARCH \w+ USING (PRIMARY KEY|INTEGER PRIMARY KEY) \((tenant=\? AND payment_id=\?|rowid=\?|digest=\?)"
        r"|(SCALAR|CORRELATED SCALAR|LIST) SUBQUERY|MERGE|LEFT|RIGHT|COMPOUND QUERY|UNION USING TEMP"
    )
    page = re.compile(r"SEARCH (payments|operations) USING INDEX \w+_by_(tenant|state) ")
    statements = plans()
    assert len({statement for statement, _ in statements}) > 100
    assert any(page.match(plan) for _, plan in statements)
    wide = {
        (re.sub(r"'[^']*'|\d+", "?", statement)[:90], plan)
        for statement, plan in statements
        if not few.match(plan)
        # a page is read in the order of its index, and ends at its limit; the rows of few keys may be sorted
        and not (page.match(plan) and "LIMIT" in statement)
        and not (
            plan == "USE TEMP B-TREE FOR ORDER BY" and ("UNION ALL" in statement or " IN (" in statement)
        )
        and not statement.startswith("DELETE")
    }
    assert wide == set()


def trial_of_waiting(store: SqliteStore) -> StoreTrial:
    async def wait(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))

    return StoreTrial(store, store, wait)

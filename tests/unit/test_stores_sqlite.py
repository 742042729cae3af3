"""The SQLite store as a file: who may read it, what is set, and what is refused with which words."""

import asyncio
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sqlite_file import CANARY, check_shown, refused, sql, trial_of
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.plans import Reserved
from vextrus_payments.stores import SqliteStore
from vextrus_payments.stores.migrations import migrations
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments.testing.store_trial import LONG

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


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


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
@pytest.mark.parametrize("linked", [False, True])
async def test_a_file_that_others_could_read_is_shut(tmp_path: Path, linked: bool) -> None:
    """It holds tokens. So are the files beside it, which a process that died may have left."""
    path = tmp_path / "payments.db"
    path.touch()
    path.chmod(0o644)
    named = path
    if linked:
        named = tmp_path / "link"
        named.symlink_to(path)
    holder = SqliteStore(path)
    await holder.open()
    for file in tmp_path.glob("payments.db*"):
        file.chmod(0o666)
    store = SqliteStore(named)
    await store.open()
    await trial_of(store).reserved("INV-1")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("payments.db*")}
    assert modes == {"payments.db": 0o600, "payments.db-wal": 0o600, "payments.db-shm": 0o600}
    await store.close()
    await holder.close()


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
async def test_a_file_that_cannot_be_shut_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_ours(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "payments.db"
    path.touch()
    path.chmod(0o640)
    monkeypatch.setattr(Path, "chmod", not_ours)
    error = await refused(SqliteStore(path), "storage_readable_by_others")
    assert "owner" in error.next_step
    assert path.stat().st_size == 0, "nothing was written"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
async def test_another_applications_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    await changed(path, "PRAGMA application_id = 7")
    path.chmod(0o644)
    await refused(SqliteStore(path), "storage_not_ours")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


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

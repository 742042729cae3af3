"""Opening the file: made for its owner alone, proven ours and writable, set to lose nothing, brought up to date."""

import hmac
import os
import sqlite3
import stat
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Final

from vextrus_payments.stores.columns import to_micros
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.sqlite.faults import file_error

#: "vxpy" in ASCII, in the file's header: whose database this is.
APPLICATION_ID: Final = 0x76787079
_STATEMENTS: Final = 256
"""How many prepared statements a connection keeps: more than we have."""
_WAL_LIMIT_BYTES: Final = 64 * 1024 * 1024
_CACHE_KIB: Final = 16 * 1024
_CHECKPOINT_PAGES: Final = 4_000
"""How far the write-ahead log grows (16 MB) before it is copied into the file: pages that many commits change are
copied once."""


def connect(path: str, *, busy_timeout_s: float, now: datetime) -> sqlite3.Connection:
    """A connection to the store's file, migrated.

    Raises:
        StorageError: the file cannot be ours; nothing was changed in it.
        sqlite3.Error: SQLite says so itself.
    """
    _make_file(path)
    connection = _connected(path, busy_timeout_s)
    try:
        _check_ours(connection, path)
        _shut_out_others(path)
        _set_up(connection, path)
        _migrate(connection, path, now)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: str, *, busy_timeout_s: float) -> sqlite3.Connection:
    """Another connection to a file that connect() has made ready; it cannot write.

    Raises:
        sqlite3.Error: SQLite says so itself.
    """
    connection = _connected(path, busy_timeout_s)
    try:
        _set_memory(connection)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it is there, and can be read
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: str, busy_timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=busy_timeout_s,
        isolation_level=None,  # we begin and commit ourselves
        check_same_thread=False,  # the runner sees to it that one piece of work runs at a time
        cached_statements=_STATEMENTS,
    )


def _make_file(path: str) -> None:
    """An empty file that only its owner may read (SQLite gives the files beside it the same mode)."""
    folder, name = os.path.split(path)
    failure = None
    if not Path(folder).is_dir():
        failure = "The folder of the payment store does not exist."
    elif Path(path).is_dir():
        failure = "The payment store's path is a folder, not a file."
    elif not Path(path).exists() and os.name == "posix":
        failure = _link_new_file(folder, name)
    if failure:
        raise file_error(failure, "Make the folder, or name another path; nothing was made.", path)


def _link_new_file(folder: str, name: str) -> str | None:
    # Made under another name and then linked: closing a descriptor of a file that SQLite may have open already,
    # in another thread, would drop the locks of this whole process on it.
    try:
        descriptor, made = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    except OSError:
        return "The payment store's file cannot be made: its folder is not writable, or its disk is full."
    try:
        os.close(descriptor)
        os.link(made, Path(folder) / name)
    except FileExistsError:
        pass  # somebody else was quicker: theirs is as good
    except OSError:
        # A file system without hard links. Nobody has it open yet but who else starts at this very moment.
        Path(folder, name).touch(mode=0o600)
    finally:
        Path(made).unlink()
    return None


def _shut_out_others(path: str) -> None:
    """Take group and world off a file that was there before: it holds tokens, and whoever reads it can use them."""
    if os.name != "posix":
        return
    real = os.path.realpath(path)  # SQLite keeps the files beside it there, too
    denied = False
    for file in (Path(real), Path(f"{real}-wal"), Path(f"{real}-shm")):
        try:
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                file.chmod(mode & 0o700)
        except FileNotFoundError:
            continue
        except OSError:
            denied = True
    if denied:
        raise file_error(
            "Others may read the payment store's file, which holds gateway tokens, and this user may not forbid it.",
            "Run as the file's owner, or have the owner take the rights of group and others off it and the two files"
            " beside it (chmod 600); no payment was touched.",
            path,
            code="storage_readable_by_others",
        )


def _check_ours(connection: sqlite3.Connection, path: str) -> None:
    """Refuse another application's database before anything is changed in it."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID and (tables or application_id):
        raise file_error(
            "The file is another application's database.",
            "Give the payments a file of their own; this one was left as it is.",
            path,
            code="storage_not_ours",
        )
    if application_id == APPLICATION_ID:
        _check_known(connection, path, migrations("sqlite"))


def _check_known(connection: sqlite3.Connection, path: str, known: tuple[Migration, ...]) -> int:
    """The schema version, proven to be one that this release knows."""
    applied = connection.execute("SELECT number, name, checksum FROM migrations ORDER BY number").fetchall()
    version = len(applied)
    if version > len(known) and not _serves_us(connection, version, len(known)):
        raise file_error(
            f"The store was written by a newer release: its schema is {version}, this one knows {len(known)}.",
            "Run the release that wrote it, or a newer one; nothing was changed.",
            path,
            code="storage_newer_schema",
        )
    for (number, name, checksum), migration in zip(applied, known, strict=False):
        same = hmac.compare_digest(checksum, migration.checksum)
        if (number, name) != (migration.number, migration.name) or not same:
            raise file_error(
                f"The store was made by another migration {migration.number} than this release has.",
                "Run the release that wrote it; nothing was changed.",
                path,
                code="storage_other_schema",
            )
    return version


def _serves_us(connection: sqlite3.Connection, version: int, ours: int) -> bool:
    """Whether a newer release's schema says of itself that a release of our schema can go on working with it.

    So that machines of the old and the new release can share the file while one after the other is brought up to date.
    """
    said = dict(
        connection.execute("SELECT key, value FROM meta WHERE key IN ('schema_version', 'schema_compatible')")
    )
    oldest = said.get("schema_compatible", "")
    # Whoever has changed the schema without saying so has not said anything about us either.
    return said.get("schema_version") == str(version) and oldest.isdecimal() and int(oldest) <= ours


def _set_up(connection: sqlite3.Connection, path: str) -> None:
    (journal,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if journal != "wal":
        raise file_error(
            "The payment store's file system cannot hold SQLite's write-ahead log.",
            "Put the file on a local disk, not on a network share.",
            path,
        )
    # A commit is on the disk before it is answered; on macOS the disk must be told twice.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")
    connection.execute("PRAGMA foreign_keys = ON")
    _set_memory(connection)
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")


def _set_memory(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    # What a SAVEPOINT may have to undo is kept in memory, not in a file of its own.
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _migrate(connection: sqlite3.Connection, path: str, now: datetime) -> None:
    """Apply what is missing, all in one transaction. Taking it also proves that the file can be written."""
    known = migrations("sqlite")
    connection.execute("BEGIN IMMEDIATE")
    try:
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
        version = _check_known(connection, path, known) if application_id else 0
        for migration in known[version:]:
            for statement in migration.statements():
                connection.execute(statement)
            connection.execute(
                "INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?, ?, ?, ?)",
                (migration.number, migration.name, migration.checksum, to_micros(now)),
            )
        if version < len(known):
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            oldest = max(migration.compatible for migration in known)
            connection.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [("schema_version", str(len(known))), ("schema_compatible", str(oldest))],
            )
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    connection.execute("ANALYZE sqlite_master")  # which only loads the statistics that the migrations wrote


def roll_back(connection: sqlite3.Connection) -> None:
    """Undo the open transaction, if SQLite has not done so itself (it does when the disk is full)."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # what went wrong before is what has to be told

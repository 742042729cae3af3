"""The file that ``--state`` names: one SQLite database, held by one sandbox at a time.

Each thing of the world is a row of plain JSON. What one request changed is one transaction, committed before the
request is answered. So a sandbox that is killed (``kill -9``) loses nothing that it has answered; when the whole
machine loses its power, the last moments may be gone, and the file is whole.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from vextrus_payments_sandbox.world import SandboxError

APPLICATION: Final = 0x56_50_53_42
"""Marks the file as a sandbox's (``PRAGMA application_id``)."""
FORMAT: Final = 1
"""The version of the file (``PRAGMA user_version``)."""
_SCHEMA: Final = """
CREATE TABLE things (
    shelf TEXT NOT NULL,
    key TEXT NOT NULL,
    data TEXT NOT NULL,
    UNIQUE (shelf, key)
)
"""
_PUT: Final = (
    "INSERT INTO things (shelf, key, data) VALUES (?, ?, ?) "
    "ON CONFLICT (shelf, key) DO UPDATE SET data = excluded.data"
)

Row = tuple[str, str, str | None]
"""(shelf, key, JSON); None for what is gone."""


class StateFileError(SandboxError):
    """The state file cannot be used, or not be written to."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503)


class StateFile:
    """The open file. Nobody else can open it before :meth:`close`, or before this process ends."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the file, or make it. Raises :class:`StateFileError` that says why not, and what to do."""
        problem, connection = "", None
        try:
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
            # One event loop uses it, though not always in the thread that opened it.
            connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            problem = _prepared(connection)
        except sqlite3.OperationalError as error:
            problem = _in_words(error)
        except sqlite3.DatabaseError:
            problem = "it is no sandbox's state file; name another file, or one that does not exist yet"
        except (OSError, ValueError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        if connection is not None and not problem:
            return cls(path, connection)
        if connection is not None:
            connection.close()
        raise StateFileError(f"the state file {path} cannot be used: {problem}")

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """(shelf, key, JSON) of all things, those of a shelf in the order in which they first came."""
        problem = ""
        try:
            yield from self._connection.execute("SELECT shelf, key, data FROM things ORDER BY rowid")
        except sqlite3.DatabaseError as error:
            problem = str(error)
        if problem:
            raise StateFileError(f"the state file {self.path} is damaged: {problem}")

    def write(self, rows: Iterable[Row], *, anew: bool = False) -> None:
        """Write all of it or nothing; `anew` forgets everything before. Raises :class:`StateFileError`."""
        problem = ""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            if anew:
                self._connection.execute("DELETE FROM things")
            for shelf, key, data in rows:
                if data is None:
                    self._connection.execute("DELETE FROM things WHERE shelf = ? AND key = ?", (shelf, key))
                else:
                    self._connection.execute(_PUT, (shelf, key, data))
            self._connection.execute("COMMIT")
        except (sqlite3.Error, ValueError) as error:
            problem = str(error)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if problem:
            raise StateFileError(f"the state file {self.path} cannot be written: {problem}")

    def close(self) -> None:
        """Let others open it."""
        self._connection.close()


def _prepared(connection: sqlite3.Connection) -> str:
    """Make the database ours alone; returns why it cannot be."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    fresh = not (application or version or tables)
    if not fresh and application != APPLICATION:
        return "it is another program's database; name another file, or one that does not exist yet"
    if not fresh and version != FORMAT:
        which = "a newer" if version > FORMAT else "an older"
        return (
            f"it is of format {version}, written by {which} version of the sandbox; this one reads format {FORMAT}. "
            "Use that version, or name a file that does not exist yet"
        )
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")  # and the lock stays
    if fresh:
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute(_SCHEMA)
    connection.execute("COMMIT")
    return ""


def _in_words(error: sqlite3.OperationalError) -> str:
    if "locked" in str(error):
        return "another sandbox is running on it; stop that one, or name another file"
    return str(error)

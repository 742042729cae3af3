"""The disk under the store: real SQLite, on a file in memory where there is such a place, with faults at its edges.

While a simulation runs, connections that a simulated process opens are of our class. It changes nothing but this: a
dead process's statement does nothing, and a fault can strike where SQLite begins or commits.
"""

import os
import shutil
import sqlite3
import tempfile
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

_real_connect: Final = sqlite3.connect
_FULL: Final = (sqlite3.SQLITE_FULL, "SQLITE_FULL", "database or disk is full")
_BUSY: Final = (sqlite3.SQLITE_BUSY, "SQLITE_BUSY", "database is locked")
_IO: Final = (sqlite3.SQLITE_IOERR, "SQLITE_IOERR", "disk I/O error")


class DiskUser(Protocol):
    """The process that opens connections."""

    dead: bool
    disk: "DiskFaults"

    def opened(self, connection: "SimConnection") -> None:
        """It has opened one."""
        ...


class DiskFaults:
    """How often the disk fails, by its own source of chance.

    Attributes:
        rate: how often, of all begins and commits, from 0 to 1.
        struck: how often it did.
        planned: faults to strike next, by name, whatever the rate: "locked", "full", "commit_unheard".
    """

    def __init__(self, rng: Random, rate: float) -> None:
        self._rng = rng
        self.rate = rate
        self.struck: int = 0
        self.planned: list[str] = []

    @property
    def sound(self) -> bool:
        """Whether nothing can strike."""
        return not self.rate and not self.planned

    def at_begin(self) -> None:
        """A transaction is about to begin."""
        if self._strikes("locked"):
            raise _error(_BUSY)

    def at_commit(self, commit: Any) -> Any:
        """A transaction is about to be committed by `commit`."""
        if self._strikes("full"):
            raise _error(_FULL)
        answer = commit()
        if self._strikes("commit_unheard"):
            raise _error(_IO)
        return answer

    def _strikes(self, name: str) -> bool:
        if self.planned and self.planned[0] == name:
            self.planned.pop(0)
        elif not self.rate or self._rng.random() >= self.rate:
            return False
        self.struck += 1
        return True


def _error(kind: tuple[int, str, str]) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(kind[2])
    error.sqlite_errorcode, error.sqlite_errorname = kind[0], kind[1]
    return error


class SimConnection(sqlite3.Connection):
    """SQLite's own connection, with a process that can die and a disk that can fail."""

    user: DiskUser | None = None

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        """As sqlite3.Connection.execute."""
        user = self.user
        if user is None:
            return super().execute(sql, *parameters)
        if user.dead:
            raise sqlite3.OperationalError("the process is dead")
        if not user.disk.sound:
            if sql.startswith("BEGIN IMMEDIATE"):
                user.disk.at_begin()
            elif sql.startswith("COMMIT"):
                return user.disk.at_commit(lambda: super(SimConnection, self).execute(sql, *parameters))  # type: ignore[no-any-return]
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        """As sqlite3.Connection.executemany."""
        if self.user is not None and self.user.dead:
            raise sqlite3.OperationalError("the process is dead")
        return super().executemany(sql, parameters)


@contextmanager
def simulated_disk() -> Iterator[None]:
    """While it lasts, simulated processes open connections of ours; everybody else's are as always."""

    def connect(*args: Any, **options: Any) -> sqlite3.Connection:
        user = getattr(events._get_running_loop(), "process", None)
        if user is None:
            plain: sqlite3.Connection = _real_connect(*args, **options)
            return plain
        if user.dead:
            raise sqlite3.OperationalError("the process is dead")
        connection = _real_connect(*args, **{**options, "factory": SimConnection})
        assert isinstance(connection, SimConnection)
        connection.user = user
        user.opened(connection)
        opened: sqlite3.Connection = connection
        return opened

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield
    finally:
        sqlite3.connect = _real_connect


def scratch_folder() -> Path:
    """A new folder for store files, in memory where the machine has such a place. The caller removes it."""
    memory = Path("/dev/shm")  # noqa: S108 - a fresh folder of our own is made in it
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="vextrus-simulation-", dir=place))


def copy_as_left(path: Path, to: Path) -> None:
    """Copy a store's file as a dying process leaves it: what was committed is in the file or in its log."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, to.with_name(to.name + suffix))

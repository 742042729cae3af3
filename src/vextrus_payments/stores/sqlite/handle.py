"""One SQLite file behind a runner: opened, migrated, and every piece of work in a transaction of its own.

One connection, one worker behind an injected runner, one piece of work per operation. Writing work runs in
BEGIN IMMEDIATE ... COMMIT: SQLite lets one such transaction of all processes in at a time, which serializes every
merchant reference with room to spare. A commit is on the disk (synchronous=FULL) before its operation answers.
"""

import os
import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.stores.runner import DatabaseRunner, ThreadRunner
from vextrus_payments.stores.sqlite import file
from vextrus_payments.stores.sqlite.faults import storage_error

T = TypeVar("T")

_RETRY_OPEN_S: Final = 0.05


class SqliteHandle:
    """One SQLite file: open() and close(), and the ways in for work. SqliteStore says what its arguments are."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        runner: DatabaseRunner | None = None,
        busy_timeout_s: float = 10.0,
    ) -> None:
        text = os.fspath(path)
        if text in ("", ":memory:") or "\0" in text:
            raise ConfigurationError(
                "An SQLite store is a file: one in memory would be empty again after every start.",
                code="store_url",
                next_step="Name a file, or use MemoryStore for tests.",
            )
        self.path: Final = str(Path(text).absolute())
        self._clock = clock or SystemClock()
        self._sleeper = sleeper or SystemSleeper()
        self._runner = runner or ThreadRunner()
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._process_id = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {'closed' if self._connection is None else 'open'})"

    @property
    def durable(self) -> bool:
        """True: what was answered is on the disk."""
        return True

    def now(self) -> datetime:
        """The injected clock's time."""
        return self._clock.now()

    # --- open, close, and the ways in -------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; make or migrate the file where needed. Idempotent.

        Raises:
            StorageError: the file is not ours, not writable, of a newer release, or locked; it says what to do.
        """
        give_up = self._clock.monotonic() + self._busy_timeout_s
        while True:
            try:
                await self._runner.run(self._connect)
            except StorageError as error:
                # SQLite does not wait by itself while another process changes the journal of a fresh file.
                if error.code != "storage_locked" or self._clock.monotonic() >= give_up:
                    raise
            else:
                return
            await self._sleeper.sleep(_RETRY_OPEN_S)

    async def close(self) -> None:
        """Finish the work at hand and let go of the file. Idempotent."""
        if self._process_id in (0, os.getpid()):
            await self._runner.run(self._disconnect)
            await self._runner.aclose()

    def _connect(self) -> None:
        if self._connection is None:
            connect = partial(
                file.connect, self.path, busy_timeout_s=self._busy_timeout_s, now=self._clock.now()
            )
            self._connection = self._translated(connect)
            self._process_id = os.getpid()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside one durable transaction."""
        return await self._run("BEGIN IMMEDIATE", work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside one snapshot of the file."""
        return await self._run("BEGIN", work)

    async def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers outside any transaction."""
        return await self._run(None, work)

    async def _run(self, begin: str | None, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._process_id not in (0, os.getpid()):
            raise StorageError(
                "The store was opened before this process was forked: SQLite files do not survive that.",
                code="storage_forked",
                next_step="Open the store in each process after the fork.",
            )

        def whole() -> T:
            connection = self._connection
            if connection is None:
                raise StorageError(
                    "The store is not open.", code="storage_closed", next_step="Await its open() first."
                )
            return self._translated(lambda: _in_transaction(connection, begin, work))

        return await self._runner.run(whole)

    def _translated(self, work: Callable[[], T]) -> T:
        """What `work` returns; SQLite's errors as ours."""
        try:
            return work()
        except sqlite3.Error as error:
            failure = storage_error(error, self.path)
        except (UnicodeEncodeError, OverflowError):
            failure = StorageError(
                "A record holds a text or a number that SQLite cannot store; nothing was written.",
                code="storage_bad_value",
                next_step="Look for broken characters in what the caller or the gateway sent.",
            )
        # Raised out here so that SQLite's own error, which may name a row, is not chained to it.
        raise failure


def _in_transaction(
    connection: sqlite3.Connection, begin: str | None, work: Callable[[sqlite3.Connection], T]
) -> T:
    if begin is None:
        return work(connection)
    connection.execute(begin)
    try:
        answer = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        file.roll_back(connection)
        raise
    return answer

"""One SQLite file behind a runner: opened, migrated, and the ways in for work.

One connection, one worker behind an injected runner, one piece of work per operation. A commit is on the disk
(synchronous=FULL) before its operation answers. Where the runner can, the writes that queue up while a commit is on its
way to the disk share the next one (see group.py), and reads go beside them (see beside.py).
"""

import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from weakref import WeakSet

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.stores.runner import DatabaseRunner, GroupingRunner, Outcome, ThreadRunner
from vextrus_payments.stores.sqlite import file
from vextrus_payments.stores.sqlite.beside import ReadLane, closed
from vextrus_payments.stores.sqlite.group import Member, run_alone, run_together, translated
from vextrus_payments.stores.sqlite.recall import Recall
from vextrus_payments.stores.sqlite.rows import SqliteRows

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
        grouping = self._runner if isinstance(self._runner, GroupingRunner) else None
        self._join = None if grouping is None else grouping.join
        self._beside = None if grouping is None else ReadLane(self.path, grouping.beside(), busy_timeout_s)
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._recall = Recall()
        self._process_id = 0
        _handles.add(self)

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
        if self._connection is not None:
            self._check_process()  # the thread that would find out did not come along into the child of a fork
        give_up = self._clock.monotonic() + self._busy_timeout_s
        while True:
            try:
                await self._runner.run(self._connect)
                await self._open_beside()
            except StorageError as error:
                # SQLite does not wait by itself while another process changes the journal of a fresh file.
                if error.code != "storage_locked" or self._clock.monotonic() >= give_up:
                    raise
            else:
                return
            await self._sleeper.sleep(_RETRY_OPEN_S)

    async def _open_beside(self) -> None:
        if self._beside is None:
            return
        try:
            await self._beside.open()
        except StorageError:
            await self._runner.run(self._disconnect)  # a store is open whole or not at all
            raise

    async def close(self) -> None:
        """Finish the work at hand and let go of the file. Idempotent."""
        if self._process_id in (0, os.getpid()):
            if self._beside is not None:
                await self._beside.close()
            await self._runner.run(self._disconnect)
            await self._runner.aclose()

    def _connect(self) -> None:
        if self._connection is None:
            if os.path.realpath(self.path) in _open_in_parent:
                raise _forked()
            connect = partial(
                file.connect, self.path, busy_timeout_s=self._busy_timeout_s, now=self._clock.now()
            )
            self._connection = translated(connect, self.path)
            self._process_id = os.getpid()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside a durable transaction, in which nothing but its own failure undoes it."""
        answer: T = await self._run(Member(work, True))
        return answer

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside one snapshot of the file."""
        member = Member(work, False)
        self._check_process()
        answer: T = await (self._run(member) if self._beside is None else self._beside.run(member))
        return answer

    async def _look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers outside any transaction."""
        self._check_process()
        return await self._runner.run(lambda: translated(lambda: work(self._opened()), self.path))

    def _run(self, member: Member) -> Awaitable[Any]:
        self._check_process()
        if self._join is not None:
            return self._join(member, self._run_all)
        return self._runner.run(lambda: run_alone(self._opened(), member, self.path))

    def _run_all(self, members: Sequence[Member]) -> Sequence[Outcome]:
        return run_together(self._opened(), members, self.path)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise closed()
        return self._connection

    def _rows(self, connection: sqlite3.Connection) -> SqliteRows:
        beside = self._beside
        recall = self._recall if beside is None or connection is not beside.connection else beside.recall
        return SqliteRows(connection, recall)

    def _check_process(self) -> None:
        if self._process_id not in (0, os.getpid()):
            raise _forked()


#: Every handle of the process, so that the child of a fork knows which files its parent had open.
_handles: Final[WeakSet[SqliteHandle]] = WeakSet()
_open_in_parent: Final[set[str]] = set()


def _after_fork_in_child() -> None:
    """Forbid the parent's open files to this process for good, whichever handle asks.

    SQLite keeps per process which locks it holds on a file, and this process inherited that: it would take for its
    own the locks that only its parent has, and its parent would throw away a write-ahead log that is in use here.
    """
    _open_in_parent.update(os.path.realpath(h.path) for h in _handles if h._connection is not None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _forked() -> StorageError:
    return StorageError(
        "The store was opened before this process was forked: SQLite files do not survive that.",
        code="storage_forked",
        next_step="Open the store in each process after the fork, and close it before forking.",
    )

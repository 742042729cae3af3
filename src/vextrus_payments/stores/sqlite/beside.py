"""Reads beside the writes: a connection of their own on a thread of its own, so that no reader waits for a flush.

In a write-ahead log readers and the writer do not disturb each other. Whoever has been answered a write finds it here:
a snapshot that begins after a commit holds that commit.
"""

import sqlite3
from collections.abc import Awaitable, Sequence
from typing import Any

from vextrus_payments.errors import StorageError
from vextrus_payments.stores.runner import GroupingRunner, Outcome
from vextrus_payments.stores.sqlite import file
from vextrus_payments.stores.sqlite.group import Member, run_together, translated
from vextrus_payments.stores.sqlite.recall import Recall


class ReadLane:
    """The reading connection of a store's file."""

    def __init__(self, path: str, runner: GroupingRunner, busy_timeout_s: float) -> None:
        self._path = path
        self._runner = runner
        self._busy_timeout_s = busy_timeout_s
        self.connection: sqlite3.Connection | None = None
        self.recall: Recall = Recall()

    async def open(self) -> None:
        """Connect to a file that is migrated already. Idempotent."""
        await self._runner.run(self._connect)

    async def close(self) -> None:
        """Finish the reads at hand and let go of the file. Idempotent."""
        await self._runner.run(self._disconnect)
        await self._runner.aclose()

    def run(self, member: Member) -> Awaitable[Any]:
        """What the member answers, in a snapshot that it may share with others who ask at the same moment."""
        return self._runner.join(member, self._run_all)

    def _connect(self) -> None:
        if self.connection is None:
            self.connection = translated(
                lambda: file.connect_to_read(self._path, busy_timeout_s=self._busy_timeout_s), self._path
            )

    def _disconnect(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _run_all(self, members: Sequence[Member]) -> Sequence[Outcome]:
        if self.connection is None:
            raise closed()
        return run_together(self.connection, members, self._path)


def closed() -> StorageError:
    """Asked before open() or after close()."""
    return StorageError("The store is not open.", code="storage_closed", next_step="Await its open() first.")

"""The mark outside the database that tells a restored backup from the real thing (rule of money 16).

A database that was restored has forgotten what happened after its backup: an execute that is out looks as if it had
never been sent. So the store keeps an epoch (a lineage and a number that grows while money moves), and the same is
written to a place that is not restored together with the database: a file on another volume, a key in another system.
Where the outside is ahead of the store, the store is older than what has happened.

The store is written first, then the outside: a crash between the two leaves the outside behind, which says nothing.
What this cannot see: what happened between the last roll before the backup and the next one, if the database was lost
before that (one interval: 60 seconds unless told otherwise). A database that is put back under running processes is
noticed at their next roll, within one interval, too: stop them first. A mark that is restored together with the
database sees nothing at all.
"""

import asyncio
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

from vextrus_payments.errors import StorageError

_MAX_BYTES = 1_000


@runtime_checkable
class EpochMark(Protocol):
    """One small text, kept where no restored database can take it back."""

    async def read(self) -> str | None:
        """The text; None where there is none yet.

        Raises:
            StorageError: nobody can tell.
        """
        ...

    async def write(self, text: str) -> None:
        """Replace the text, durably, whole or not at all.

        Raises:
            StorageError: it was not replaced, as far as anybody can tell.
        """
        ...


class FileEpochMark:
    """The mark in a file. Put it on another volume than the database, where all processes of the store reach it."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    async def read(self) -> str | None:
        """See EpochMark."""
        return await asyncio.to_thread(self._read)  # noqa: TID251 - a port of its own

    async def write(self, text: str) -> None:
        """See EpochMark. A crash leaves the old text or the new one."""
        await asyncio.to_thread(self._write, text)  # noqa: TID251 - as above

    def _read(self) -> str | None:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_BYTES).decode("utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            why = error.strerror or type(error).__name__
        raise self._failed("read", why)

    def _write(self, text: str) -> None:
        draft = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return
        except OSError as error:
            why = error.strerror or type(error).__name__
        raise self._failed("written", why)

    def _failed(self, done: str, why: str) -> StorageError:
        return StorageError(
            f"The epoch mark cannot be {done} ({why}).",
            code="epoch_mark",
            next_step="Check the folder of the mark and its permissions; it must outlive the database.",
        )

"""A store's backup, as a disaster needs it: taken while nobody is there, and put in the place of what was lost."""

import shutil
from pathlib import Path
from typing import Protocol

from vextrus_payments.stores import PostgresStore


class Backup(Protocol):
    """One store that can be saved and lost."""

    store: str
    """Its URL."""

    async def take(self) -> None:
        """Save what is there. Nobody has it open."""
        ...

    async def restore(self) -> None:
        """What was saved is there again, and nothing that came after it."""
        ...


class SqliteBackup:
    """A file and its journals."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.store = f"sqlite:///{folder / 'shop.db'}"

    async def take(self) -> None:
        """See Backup."""
        for file in self._folder.glob("shop.db*"):
            shutil.copy(file, self._folder / f"backup-{file.name}")

    async def restore(self) -> None:
        """See Backup."""
        for file in self._folder.glob("shop.db*"):
            file.unlink()
        for file in self._folder.glob("backup-*"):
            shutil.copy(file, self._folder / file.name.removeprefix("backup-"))


class PostgresBackup:
    """A database and a copy of it; `keep` is another one of the test's own, which makes room for the copy."""

    def __init__(self, dsn: str, keep: str) -> None:
        self.store = dsn
        self._server, _, self._name = dsn.rpartition("/")
        self._keep = keep.rpartition("/")[2]

    async def migrate(self) -> None:
        """Lay the tables out."""
        await PostgresStore(self.store).migrate()

    async def take(self) -> None:
        """See Backup."""
        await self._copy(self._name, self._keep)

    async def restore(self) -> None:
        """See Backup."""
        await self._copy(self._keep, self._name)

    async def _copy(self, source: str, target: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(f"{self._server}/postgres")
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
            await connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')
        finally:
            await connection.close()

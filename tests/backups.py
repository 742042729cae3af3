"""A shop's database that is backed up and put back, on SQLite and on PostgreSQL. While it is, nobody is connected."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pytest


class Backups(Protocol):
    """One database."""

    @property
    def url(self) -> str:
        """For `Payments(store=...)`."""
        ...

    async def back_up(self) -> None:
        """Keep what stands in it now."""
        ...

    async def restore(self) -> None:
        """What was kept stands in it again, and nothing else; more than once, if need be."""
        ...


class SqliteBackups:
    """A file, and those beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"sqlite:///{folder / 'shop.db'}"

    async def back_up(self) -> None:
        for file in self._folder.glob("shop.db*"):
            shutil.copy(file, self._folder / f"backup-{file.name}")

    async def restore(self) -> None:
        for file in self._folder.glob("shop.db*"):
            file.unlink()
        for file in self._folder.glob("backup-*"):
            shutil.copy(file, self._folder / file.name.removeprefix("backup-"))


class PostgresBackups:
    """A database, and a copy of it beside it."""

    def __init__(self, dsn: str) -> None:
        self.url = dsn
        self._name = urlsplit(dsn).path[1:]

    async def back_up(self) -> None:
        await self._copy(self._name, self._kept)

    async def restore(self) -> None:
        await self._copy(self._kept, self._name)

    async def drop(self) -> None:
        """The copy is not needed any more."""
        await self._do(f'DROP DATABASE IF EXISTS "{self._kept}" WITH (FORCE)')

    @property
    def _kept(self) -> str:
        return f"{self._name}_kept"

    async def _copy(self, source: str, target: str) -> None:
        await self._do(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
        await self._do(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')

    async def _do(self, statement: str) -> None:
        import asyncpg  # type: ignore[import-untyped]

        connection = await asyncpg.connect(urlsplit(self.url)._replace(path="/postgres").geturl())
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def backups_on(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Backups]:
    """For a fixture with the parameters "sqlite" and "postgres"."""
    if request.param == "sqlite":
        yield SqliteBackups(folder)
        return
    from vextrus_payments.stores.postgres import PostgresStore

    kept = PostgresBackups(request.getfixturevalue("postgres_dsn"))
    await PostgresStore(kept.url).migrate()
    try:
        yield kept
    finally:
        await kept.drop()

"""A connection while it is ours, and the queue in front of a lock."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from vextrus_payments.stores.columns import from_micros
from vextrus_payments.stores.postgres.driver import Connection, Row, driver_errors
from vextrus_payments.stores.postgres.statements import Statements
from vextrus_payments.stores.postgres.times import DatabaseTime

CLOCK: Final = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""The database's time in microseconds, which is what `timed` rows bring along."""


class Session:
    """A connection while it is ours, with the statements of our schema."""

    __slots__ = ("_sql", "_timeout_s", "connection", "time")

    def __init__(self, connection: Connection, sql: Statements, time: DatabaseTime, timeout_s: float) -> None:
        self.connection: Connection = connection
        self.time: DatabaseTime = time
        self._sql = sql
        self._timeout_s = timeout_s

    async def all(self, template: str, *values: Any) -> Sequence[Row]:
        """All rows of a statement."""
        return await self.connection.fetch(self._sql[template], *values, timeout=self._timeout_s)

    async def one(self, template: str, *values: Any) -> Row | None:
        """Its first row."""
        return await self.connection.fetchrow(self._sql[template], *values, timeout=self._timeout_s)

    async def timed(self, template: str, *values: Any) -> Sequence[Row]:
        """All rows of a statement but one, whose first column is -1 and whose second is the database's time."""
        before = self.time.clock.now()
        rows = await self.all(template, *values)
        after = self.time.clock.now()
        rest = []
        for row in rows:
            if row[0] == -1:
                self.time.learn(before, from_micros(row[1]), after)
            else:
                rest.append(row)
        return rest

    def is_gone(self) -> bool:
        """Whether the connection is closed; asyncpg may have taken it away, and then answers questions with errors."""
        try:
            return self.connection.is_closed()
        except driver_errors():
            return True

    def drop(self) -> None:
        """Throw the connection away; the server undoes what it held."""
        try:
            self.connection.terminate()
        except driver_errors():
            pass

    async def script(self, text: str) -> str:
        """Statements without values, in one message; the last one's tag."""
        return await self.connection.execute(text, timeout=self._timeout_s)


class Turns:
    """Lets the tasks of this process that want one lock queue here, and not each on a connection of the pool."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[asyncio.Lock, list[int]]] = {}

    @asynccontextmanager
    async def of(self, key: int, wait_s: float) -> AsyncIterator[None]:
        """Have the turn of this key.

        Raises:
            TimeoutError: those before us took longer than `wait_s`.
        """
        lock, users = self._waiting.setdefault(key, (asyncio.Lock(), [0]))
        users[0] += 1
        try:
            async with asyncio.timeout(wait_s):
                await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            users[0] -= 1
            if not users[0]:
                self._waiting.pop(key, None)

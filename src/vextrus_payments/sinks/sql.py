"""SqlLedger: entries written into the caller's own tables, exactly once."""

from collections.abc import Awaitable, Callable
from typing import Any

from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.sink_port import check_coroutine_function

#: Writes one entry with the open connection it is given (asyncpg's), inside a transaction that is not its own: it
#: neither commits nor rolls back, nor keeps the connection.
SqlWrite = Callable[[Any, LedgerEntry], Awaitable[None]]


class SqlLedger:
    """`Payments(store="postgresql://...", ledger=SqlLedger(write))`.

    `await write(connection, entry)` runs inside the very transaction that marks the entry delivered, in the database
    that the store is in: what it writes is there once if the entry is marked, and not at all if it is not, whatever
    crashes in between. Raising undoes it, and the entry is offered again; `UndeliverableError` sets it aside.

    What `write` does outside that connection (a call, a message) is not covered by the transaction.

    Raises:
        ConfigurationError: `write` is no coroutine function; from Payments, that the store is not PostgreSQL.
    """

    def __init__(self, write: SqlWrite) -> None:
        check_coroutine_function("write", write)
        self._write = write

    async def write_within(self, connection: Any, entry: LedgerEntry) -> None:
        """What the outbox calls; see TransactionalSink."""
        await self._write(connection, entry)

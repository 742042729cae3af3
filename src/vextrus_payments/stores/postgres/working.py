"""What workers do on a PostgresStore: hand over the outbox, watch, settle; and the tokens all of them share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from vextrus_payments.errors import StorageError
from vextrus_payments.plans import SettlementPlan
from vextrus_payments.records import OutboxKind, OutboxRow, Watch
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import check_lease, check_limit, check_many
from vextrus_payments.stores.postgres import books, queue, tokens, watches
from vextrus_payments.stores.postgres.database import CallersError, Database
from vextrus_payments.stores.postgres.driver import Connection
from vextrus_payments.stores.postgres.rows import PostgresRows
from vextrus_payments.stores.postgres.session import Session
from vextrus_payments.stores.postgres.statements import Statements
from vextrus_payments.stores.postgres.times import DatabaseTime
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd


class Working:
    """The queues, the settlements, the marks and the tokens of the port."""

    if TYPE_CHECKING:
        _sql: Statements
        _time: DatabaseTime

        @property
        def _database(self) -> Database: ...

        def now(self) -> datetime: ...

    # --- the outbox -------------------------------------------------------------------------------------------

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        """Lease due rows."""
        check_limit(limit)
        check_lease(lease_s)
        return await self._database.single(
            lambda session: queue.lease(session, kind, limit, lease_s, self.now()), repeat=True
        )

    async def ack(self, row: OutboxRow) -> None:
        """Mark a row delivered."""
        await self.ack_many([row])

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        """Mark rows delivered in one transaction."""
        check_many(rows)
        if rows:
            await self._database.write(lambda session: queue.ack(session, rows, self.now()))

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery; retry later, or park."""
        await self._database.single(lambda session: queue.nack(session, row, retry_at, why), repeat=True)

    async def unpark(self, tenant: str, row_id: str) -> bool:
        """Let a parked row be delivered again, at once and with its tries back at nought."""
        return await self._database.single(
            lambda session: queue.unpark(session, tenant, row_id), repeat=False
        )

    async def deliver_within(self, row: OutboxRow, write: Callable[[Any], Awaitable[None]]) -> bool:
        """Run `write(connection)` in the transaction that marks the row delivered: both, or neither.

        `connection` is asyncpg's; what is written must be in the same database as the store. `write` may use
        `connection.transaction()` (a savepoint), but must not end the transaction itself.

        False: the row is delivered already, or no longer leased by whoever holds `row`; nothing was run.

        Raises:
            StorageError: the database failed; whatever `write` did is undone, unless the commit's answer got lost
                (code "storage_commit_unknown").
            Exception: what `write` raised; undone.
        """
        database, delivery = self._database, _Delivery(row, write)
        task = asyncio.get_running_loop().create_task(delivery.run(database, self.now()))
        database.watch_over(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            # While the caller's own code runs it is stopped as anybody's would be; a commit is not.
            if delivery.is_writing:
                task.cancel()
            raise

    # --- watching ---------------------------------------------------------------------------------------------

    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        """Lease what is due to be looked at, the longest due first."""
        check_limit(limit)
        check_lease(lease_s)
        return await self._database.single(
            lambda session: watches.lease(session, limit, lease_s, self.now()), repeat=True
        )

    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        """End a lease and set when to look next."""
        return await self._database.single(lambda session: watches.again(session, watch, at), repeat=False)

    async def sweep_watches(self) -> int:
        """Arm what is open and has no watch; how many were armed."""
        armed, some = 0, watches.SWEEP
        while some >= watches.SWEEP:
            some = await self._database.write(lambda session: watches.arm(session, self.now()))
            armed += some
        return armed

    # --- settlements and marks --------------------------------------------------------------------------------

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        """Write many settlements with their outbox rows in one transaction; how many were written."""
        check_many(plans)
        if not plans:
            return 0
        return await self._database.write(lambda session: transactions.settle(PostgresRows(session), plans))

    async def put_mark(self, name: str, value: str, *, expected: str | None) -> bool:
        """Set it if it is `expected`."""
        return await self._database.single(
            lambda session: books.put_mark(session, name, value, expected), repeat=False
        )

    # --- tokens -----------------------------------------------------------------------------------------------

    async def token_put(self, digest: str, version: str, document: str) -> None:
        """Set version and document."""
        await self._database.single(
            lambda session: tokens.put(session, digest, version, document), repeat=True
        )

    async def token_drop(self, digest: str, version: str) -> bool:
        """Empty version and document if the version is this one."""
        return await self._database.single(
            lambda session: tokens.drop(session, digest, version), repeat=False
        )

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """Take a slot of the grant budget, durably and on the database's time."""
        if self._time.follows:
            ask = replace(ask, now=self.now())
        return await self._database.write(
            lambda session: tokens.grant_reserve(session, digest, ask), self._sql.lock("token", digest)
        )

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        """Close a slot and keep what it brought."""
        if self._time.follows:
            end = replace(end, now=self.now())
        await self._database.write(
            lambda session: tokens.grant_finish(session, digest, end, version, document),
            self._sql.lock("token", digest),
        )


class _Delivery:
    """One row handed over inside the transaction that marks it."""

    def __init__(self, row: OutboxRow, write: Callable[[Any], Awaitable[None]]) -> None:
        self._row = row
        self._write = write
        self.is_writing = False

    async def run(self, database: Database, now: datetime) -> bool:
        """Whether it was handed over."""

        async def work(session: Session) -> bool:
            subjects = await queue.take_over(session, self._row, now)
            if subjects:
                await self._hand_over(session.connection)
                # If the callback went on after a statement of its own had failed, this one fails too.
                await queue.next_heads(session, subjects)
            return bool(subjects)

        return await database.write_openly(work)

    async def _hand_over(self, connection: Connection) -> None:
        raised: Exception | None = None
        self.is_writing = True
        try:
            await self._write(connection)
        except Exception as error:  # noqa: BLE001 - it is the caller's, and is raised as it is
            raised = error
        finally:
            self.is_writing = False
        if raised is not None:
            raise CallersError(raised)
        if not connection.is_in_transaction():
            raise StorageError(
                "The callback ended the store's transaction itself: its row is marked delivered, and what it wrote"
                " after that stands alone.",
                code="storage_transaction_ended",
                next_step="Use connection.transaction() inside the callback, never BEGIN, COMMIT or ROLLBACK.",
            )

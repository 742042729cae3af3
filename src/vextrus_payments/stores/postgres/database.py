"""Transactions on a pool: begun under their locks, tried again where that is safe, and never half.

Theory of operation. READ COMMITTED with explicit locks, and not SERIALIZABLE with retries: every statement then sees
what was committed before it, so whoever waited for a lock sees what its holder wrote; a busy reference makes callers
wait in a row where SERIALIZABLE would make them fail and try again, each time with more of them; and nothing rests on
how the server tracks dependencies. The lock is an advisory one on 64 bits of (schema, tenant, merchant reference),
taken in the statement that begins the transaction; it serves references of which there is no row to lock yet.
Transactions take it first, then those of operation ids in the order of their keys, then the rows of guarded payments in
the order of their ids, so they do not wait for each other in a circle; where they did, the server would find the circle
and one would be begun again.

Every write compares versions besides. Where a row is not as the transaction saw it, or a unique key was taken
meanwhile, the work raises RetryError or the server a unique violation: the transaction is undone and begun again, and
the rules, seeing what is there now, answer.

A transaction is a task of its own: a caller that is cancelled stops waiting, and the transaction ends whole. When a
connection breaks before COMMIT was sent, the server undoes it, and it is begun once more; when it breaks after, nobody
knows, and the error says so ("storage_commit_unknown").
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

from vextrus_payments.clock import Sleeper
from vextrus_payments.errors import StorageError
from vextrus_payments.stores.postgres import faults
from vextrus_payments.stores.postgres.driver import Connection, Pool, driver_errors
from vextrus_payments.stores.postgres.session import CLOCK, Session, Turns
from vextrus_payments.stores.postgres.statements import Statements
from vextrus_payments.stores.postgres.times import DatabaseTime

T = TypeVar("T")

_ROUNDS: Final = 20
"""How often a transaction is begun again because others got in between: each time at least one of them got through."""
_WAIT_S: Final = 0.01
_ROLLBACK_S: Final = 5.0
_MOST_LENT: Final = 4
_ASK_TIME: Final = f"SELECT -1, {CLOCK}"


def lent_at_once(pool_size: int) -> int:
    """To how many pieces of the caller's code a connection is lent at a time: it may hang with it, and payments need
    the others."""
    return max(1, min(_MOST_LENT, pool_size // 2))


class RetryError(Exception):
    """A row is no longer as the transaction saw it: undo, and begin again. Never leaves the store."""


class CallersError(Exception):
    """What code of the caller's raised inside a transaction of ours. Never leaves the store: `error` does."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Database:
    """A pool of connections to one PostgreSQL, of one event loop in one process."""

    def __init__(
        self,
        pool: Pool,
        *,
        owns_pool: bool,
        name: str,
        sql: Statements,
        time: DatabaseTime,
        sleeper: Sleeper,
        command_timeout_s: float,
        lock_timeout_s: float,
        pool_wait_s: float,
        behind_pooler: bool,
    ) -> None:
        self.pool: Final = pool
        self.sql: Final = sql
        self.time: Final = time
        self.loop: Final = asyncio.get_running_loop()
        self.keeps_promises: bool = True
        """Whether a commit that was answered survives the server's machine."""
        self._owns_pool = owns_pool
        self._name = name
        self._sleeper = sleeper
        self._timeout_s = command_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._pool_wait_s = pool_wait_s
        self._process_id = os.getpid()
        self._errors = driver_errors()
        self._turns = Turns()
        self._lent_out = asyncio.Semaphore(lent_at_once(pool.get_max_size()))
        self._at_work: set[asyncio.Task[Any]] = set()
        self._settings = ""
        # Outside of a transaction a pooler may parse a statement on one server and run it on another.
        self._behind_pooler = behind_pooler
        # Whether a statement on its own is a transaction as we want it: read committed, writable, durable.
        self._is_plain = True

    def __repr__(self) -> str:
        return f"Database({self._name!r})"

    # --- its life ---------------------------------------------------------------------------------------------

    def settle_in(self, *, plain: bool, durable: bool, synchronous: bool) -> None:
        """What open() has learned of the server's settings."""
        self._is_plain = plain and synchronous
        self.keeps_promises = durable
        # Where the user turned it off for the whole server, our commits still wait for the disk.
        self._settings = "" if synchronous else " SET LOCAL synchronous_commit = on;"

    async def close(self) -> None:
        """Let the transactions at hand end, then let go of the pool, if it is ours.

        Each of their statements has an end of its own; what has none is code of the caller's, which is cancelled.
        """
        while self._at_work:
            at_work = set(self._at_work)
            _, left = await asyncio.wait(at_work, timeout=self._timeout_s + self._lock_timeout_s)
            for task in left:
                task.cancel()
        if not self._owns_pool:
            return
        failed = False
        try:
            await asyncio.wait_for(self.pool.close(), self._timeout_s)
        except self._errors:
            failed = True
        if failed:
            self.pool.terminate()

    # --- what is run on it ------------------------------------------------------------------------------------

    async def read(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """What `work` reads. Each of its statements sees one moment; together they are no transaction."""
        if self._behind_pooler:
            return await self.write(work)
        return await self._finish(self._once(work, repeat=True, writes=False))

    async def single(self, work: Callable[[Session], Awaitable[T]], *, repeat: bool) -> T:
        """What `work` answers, whose one statement is a transaction of its own.

        Args:
            repeat: whether it may run again when the connection broke and nobody knows whether it ran.
        """
        if not self._is_plain or self._behind_pooler:
            return await self.write(work)
        return await self._finish(self._once(work, repeat=repeat, writes=True))

    async def write(self, work: Callable[[Session], Awaitable[T]], *locks: int) -> T:
        """What `work` answers inside one transaction that holds these advisory locks, the first one first."""
        return await self._finish(self._write(work, locks))

    async def write_openly(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """What `work` answers inside one transaction in which code of the caller's runs: begun once, whatever happens.

        asyncpg's own transaction, so that `connection.transaction()` inside it is a savepoint.

        Raises:
            Exception: what a CallersError brought along.
        """
        async with self._lent_out:
            return await self._write_openly(work)

    async def _write_openly(self, work: Callable[[Session], Awaitable[T]]) -> T:
        session = self.session_on(await self.take())
        raised: Exception | None = None
        committing = False
        transaction = session.connection.transaction(isolation="read_committed")
        try:
            await transaction.start()
            await session.script(self.local_settings())
            answer = await work(session)
            committing = True
            await transaction.commit()
        except CallersError as carried:
            raised = carried.error
        except self._errors as failure:
            raised = self._failure(failure)
            lost = faults.is_connection_lost(failure) or session.is_gone()
            if committing and (lost or isinstance(failure, TimeoutError)):
                raised = faults.unknown_commit_error(failure, self._name)
        except BaseException:
            await self._end_openly(session, transaction)
            raise
        else:
            await self._end_openly(session, None)
            return answer
        await self._end_openly(session, transaction)
        raise raised

    async def _end_openly(self, session: Session, transaction: Any) -> None:
        """Undo what is still open, and take back from the connection what the caller's code may have set on it."""
        try:
            if not session.is_gone():
                if transaction is not None and session.connection.is_in_transaction():
                    await transaction.rollback()
                if self._owns_pool:
                    await session.connection.reset(timeout=_ROLLBACK_S)
        except self._errors:
            session.drop()
        except BaseException:
            session.drop()
            raise
        finally:
            await self.give_back(session.connection)

    async def _finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it to its end, whoever stops waiting for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.watch_over(task)
        return await asyncio.shield(task)

    def watch_over(self, task: asyncio.Task[Any]) -> None:
        """Let close() wait for a task."""
        self._at_work.add(task)
        task.add_done_callback(self._is_done)

    def _is_done(self, task: asyncio.Task[Any]) -> None:
        self._at_work.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain when nobody waits any more

    async def _once(self, work: Callable[[Session], Awaitable[T]], *, repeat: bool, writes: bool) -> T:
        error: Exception | None = None
        lost = False
        for tries in range(_ROUNDS):
            async with self._session() as session:
                try:
                    if self.time.is_stale:
                        await session.timed(_ASK_TIME)
                    return await work(session)
                except self._errors as failure:
                    error = failure
                    lost = faults.is_connection_lost(failure) or session.is_gone()
            # A statement that the server refused has done nothing; one whose answer got lost may have.
            if not (faults.is_passing(error) or (lost and repeat and tries == 0)):
                break
            await self._sleeper.sleep(_WAIT_S * tries)
        assert error is not None
        raise self._failure(error, unknown=writes and (lost or isinstance(error, TimeoutError)))

    async def _write(self, work: Callable[[Session], Awaitable[T]], locks: Sequence[int]) -> T:
        begin = self.begin_statement(locks)
        error: Exception = faults.contended_error(self._name)
        lost_once = False
        async with AsyncExitStack() as turn:
            if locks and not await self._has_turn(turn, locks[0]):
                raise faults.locked_error(self._name)
            for tries in range(_ROUNDS):
                committing = False
                async with self._session() as session:
                    try:
                        await session.script(begin)
                        if self.time.is_stale:
                            await session.timed(_ASK_TIME)
                        answer = await work(session)
                        committing = True
                        await self.commit(session)
                    except RetryError:
                        await self._undo(session)
                        error = faults.contended_error(self._name)
                    except self._errors as failure:
                        error = failure
                        lost = faults.is_connection_lost(failure) or session.is_gone()
                        await self._undo(session)
                        if committing and (lost or isinstance(failure, TimeoutError)):
                            error = faults.unknown_commit_error(failure, self._name)
                            break
                        if not faults.is_passing(failure):
                            if not lost or lost_once:
                                break
                            lost_once = True
                    except BaseException:
                        await self._undo(session)
                        raise
                    else:
                        return answer
                await self._sleeper.sleep(_WAIT_S * tries)
        raise self._failure(error)

    async def _has_turn(self, stack: AsyncExitStack, key: int) -> bool:
        """Whether the turn of this lock came in time; the stack then holds it."""
        try:
            await stack.enter_async_context(self._turns.of(key, self._lock_timeout_s))
        except TimeoutError:
            return False
        return True

    def begin_statement(self, locks: Sequence[int] = ()) -> str:
        """BEGIN with our settings and locks, as one message to the server."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;" + self.local_settings()
        if locks:
            # One statement each: they are taken in this order. The keys are our own integers.
            begin += "".join(f" SELECT pg_advisory_xact_lock({key});" for key in locks)
        return begin

    def local_settings(self) -> str:
        """The settings of a transaction: how long it waits for a lock, and that it waits for the disk."""
        return f" SET LOCAL lock_timeout = {int(self._lock_timeout_s * 1000)};{self._settings}"

    async def commit(self, session: Session) -> None:
        """COMMIT.

        Raises:
            StorageError: the transaction had failed before, and whoever saw that went on: PostgreSQL then answers
                COMMIT with a rollback and no error.
        """
        tag = await session.script("COMMIT")
        if tag != "COMMIT":
            raise StorageError(
                "The transaction had failed before its commit; nothing was written.",
                code="storage_rolled_back",
                next_step="Whoever runs SQL in the store's transaction must let its errors through.",
                context={"store": self._name},
            )

    async def _undo(self, session: Session) -> None:
        """Roll back; where even that fails, the connection goes, and with it whatever it held."""
        try:
            if not session.is_gone() and session.connection.is_in_transaction():
                await session.connection.execute("ROLLBACK", timeout=_ROLLBACK_S)
        except self._errors:
            session.drop()
        except BaseException:  # cancelled: the loop is shutting down
            session.drop()
            raise

    def _failure(self, error: Exception, *, unknown: bool = False) -> StorageError:
        if isinstance(error, StorageError):
            return error
        if unknown:
            return faults.unknown_commit_error(error, self._name)
        return faults.storage_error(error, self._name)

    # --- connections ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        connection = await self.take()
        try:
            yield self.session_on(connection)
        finally:
            await self.give_back(connection)

    def session_on(self, connection: Connection) -> Session:
        """A session on a connection that was taken."""
        return Session(connection, self.sql, self.time, self._timeout_s)

    async def take(self) -> Connection:
        """A connection of the pool.

        Raises:
            StorageError: none came free in time, or none can be made.
        """
        self._check_place()
        error: Exception
        try:
            return await self.pool.acquire(timeout=self._pool_wait_s)
        except self._errors as failure:
            error = failure
        pool = self.pool
        if isinstance(error, TimeoutError) and pool.get_size() >= pool.get_max_size():
            raise faults.pool_error(self._name)
        raise self._failure(error)

    async def give_back(self, connection: Connection) -> None:
        """Hand a connection back; one that cannot be cleaned up is thrown away by the pool itself."""
        try:
            await self.pool.release(connection)
        except self._errors:
            pass

    change_mark: Final = None
    """Of what other processes commit nothing is told."""

    def is_here(self) -> bool:
        """Whether this process and this event loop opened it."""
        return self._process_id == os.getpid() and asyncio.get_running_loop() is self.loop

    def _check_place(self) -> None:
        if self._process_id != os.getpid():
            raise StorageError(
                "The store was opened before this process was forked: connections do not survive that.",
                code="storage_forked",
                next_step="Open the store in each process after the fork.",
            )
        if asyncio.get_running_loop() is not self.loop:
            raise StorageError(
                "The store was opened in another event loop: its connections belong to that one.",
                code="storage_other_loop",
                next_step="Open one store per event loop, or close it before another loop uses it.",
            )

    async def ask_time(self) -> None:
        """Learn the database's time; three times, because the quickest answer says most."""

        async def ask(session: Session) -> None:
            for _ in range(3):
                await session.timed(_ASK_TIME)

        await self.read(ask)

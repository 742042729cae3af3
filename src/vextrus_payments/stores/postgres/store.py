"""PostgresStore: the port over PostgreSQL. How its transactions are made: database.py."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from itertools import count
from typing import Any, Final, TypeVar

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    AgreementAnswer,
    AgreementPlan,
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    PayoutAnswer,
    PayoutPlan,
    Plan,
    ReserveAnswer,
    Reserved,
    ReserveOperation,
    ReservePayment,
    Same,
)
from vextrus_payments.records import Attempt
from vextrus_payments.stores import transactions
from vextrus_payments.stores.migrations import Migration
from vextrus_payments.stores.postgres import schema, writing
from vextrus_payments.stores.postgres.database import Database, lent_at_once
from vextrus_payments.stores.postgres.driver import Pool, connect, driver, driver_errors, make_pool
from vextrus_payments.stores.postgres.faults import storage_error
from vextrus_payments.stores.postgres.inbox import PostgresInbox
from vextrus_payments.stores.postgres.reading import Reading
from vextrus_payments.stores.postgres.rows import PostgresRows
from vextrus_payments.stores.postgres.session import Session
from vextrus_payments.stores.postgres.statements import Statements
from vextrus_payments.stores.postgres.times import DatabaseTime
from vextrus_payments.stores.postgres.whereabouts import Whereabouts
from vextrus_payments.stores.postgres.working import Working

T = TypeVar("T")

_URL: Final = re.compile(r"postgres(?:ql)?://([^?#]*)", re.ASCII | re.DOTALL)
_HOST: Final = r"(?:\[[0-9A-Fa-f:.%]+\]|[\w.%-]*)(?::[0-9]*)?"
#: Hosts with their ports, and a database.
_PLACE: Final = re.compile(rf"{_HOST}(?:,{_HOST})*(?:/[^/\s]*)?")


class PostgresStore(Reading, Working, PostgresInbox):
    """A PaymentStore in one schema of a PostgreSQL database.

    Any number of processes and machines may open it, each in one event loop. open() changes nothing in the database:
    `vextrus-pay migrate` (or `migrate()`) makes and updates the tables.

    Args:
        dsn: postgresql://user:password@host:5432/database, with asyncpg's options; or give `pool`.
        pool: an asyncpg pool of yours, which stays yours to close. Its connections are used without changing their
            settings.
        schema: where the tables are.
        clock: None, or a SystemClock: this machine's clock, corrected by the database's, so that machines agree on
            leases though their clocks do not. Any other clock is taken as it is.
        sleeper: how to wait before a transaction is begun again.
        pool_size: how many connections there are at most, per process.
        command_timeout_s: how long one statement may take, in seconds.
        lock_timeout_s: how long to wait for other transactions, in seconds.
        pool_wait_s: how long to wait for a connection, in seconds.
        statement_cache_size: 0 behind a pooler in transaction mode (pgbouncer): nothing then outlasts a transaction.

    Raises:
        MissingExtraError: asyncpg is not installed.
        ConfigurationError: the arguments do not go together.
    """

    def __init__(
        self,
        dsn: str | None = None,
        *,
        pool: Any | None = None,
        schema: str = "vextrus_payments",
        clock: Clock | None = None,
        sleeper: Sleeper | None = None,
        pool_size: int = 10,
        command_timeout_s: float = 30.0,
        lock_timeout_s: float = 10.0,
        pool_wait_s: float = 30.0,
        statement_cache_size: int = 256,
    ) -> None:
        driver()
        _check_arguments(dsn, pool, pool_size)
        self._dsn = dsn
        self._callers_pool: Pool | None = pool
        self._name = "a pool of the caller's" if dsn is None else _name_of(dsn)
        self._sql = Statements(schema)
        self._time = DatabaseTime(
            clock or SystemClock(), follows=clock is None or isinstance(clock, SystemClock)
        )
        self._sleeper = sleeper or SystemSleeper()
        self._pool_size = pool_size
        self._command_timeout_s = command_timeout_s
        self._lock_timeout_s = lock_timeout_s
        self._pool_wait_s = pool_wait_s
        self._statement_cache_size = statement_cache_size
        self._opened: Database | None = None
        self._opening = asyncio.Lock()
        self._whereabouts = Whereabouts()

    def __repr__(self) -> str:
        return f"PostgresStore({self._name!r}, {'closed' if self._opened is None else 'open'})"

    @property
    def name(self) -> str:
        """Where it is, as far as that may be shown: no user, no password, no options."""
        return self._name

    @property
    def durable(self) -> bool:
        """True, unless open() found a server that does not write to its disk (fsync = off)."""
        return self._opened is None or self._opened.keeps_promises

    @property
    def deliveries_at_once(self) -> int:
        """How many deliver_within() run side by side: four, and never more than half of the pool."""
        pool = self._callers_pool
        return lent_at_once(self._pool_size if pool is None else pool.get_max_size())

    def now(self) -> datetime:
        """The database's time, or the clock's that was given."""
        return self._time.now()

    # --- open and close ---------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and see that the schema is one that this release runs on. Changes nothing. Idempotent.

        Raises:
            StorageError: the database cannot be reached, or its schema is not there, older, newer, or another's; it
                says what to do.
        """
        if self._opened is not None and self._opened.loop.is_closed():
            self._forget()  # its loop ended without close(), and the connections with it
        async with self._opening:
            if self._opened is None:
                database = await self._connect()
                try:
                    await self._look_around(database)
                except BaseException:
                    await database.close()
                    raise
                self._opened = database

    async def _connect(self) -> Database:
        pool = self._callers_pool
        owns_pool = pool is None
        if pool is None:
            pool = await self._guarded(
                make_pool(
                    self._dsn or "",
                    size=self._pool_size,
                    statement_cache_size=self._statement_cache_size,
                    command_timeout_s=self._command_timeout_s,
                )
            )
        return Database(
            pool,
            owns_pool=owns_pool,
            name=self._name,
            sql=self._sql,
            time=self._time,
            sleeper=self._sleeper,
            command_timeout_s=self._command_timeout_s,
            lock_timeout_s=self._lock_timeout_s,
            pool_wait_s=self._pool_wait_s,
            behind_pooler=self._statement_cache_size == 0,
        )

    async def _look_around(self, database: Database) -> None:
        async def look(session: Session) -> schema.Server:
            server = await schema.check_server(session.connection, self._name)
            await schema.check_schema(session.connection, self._sql, self._name)
            return server

        server = await database.read(look)
        database.settle_in(plain=server.plain, durable=server.durable, synchronous=server.synchronous)
        await database.ask_time()

    async def close(self) -> None:
        """Let the transactions at hand end, and let go of the connections; a pool of the caller's stays. Idempotent."""
        database = self._opened
        self._forget()
        if database is not None and database.is_here():
            await database.close()

    def _forget(self) -> None:
        self._opened = None
        self._opening = asyncio.Lock()
        self._whereabouts = Whereabouts()

    @property
    def _database(self) -> Database:
        if self._opened is None:
            raise StorageError(
                "The store is not open.", code="storage_closed", next_step="Await its open() first."
            )
        return self._opened

    async def _guarded(self, work: Awaitable[T]) -> T:
        """What `work` answers; the driver's errors as ours."""
        errors: tuple[type[Exception], ...] = (
            *driver_errors(),
            ValueError,
        )  # ValueError: a DSN that asyncpg cannot read
        error: Exception
        try:
            return await work
        except errors as failure:
            error = failure
        if isinstance(error, ValueError) and not isinstance(error, OSError):
            raise ConfigurationError("The PostgreSQL URL cannot be read.", code="store_url", next_step=_SHAPE)
        raise storage_error(error, self._name)

    # --- the schema -------------------------------------------------------------------------------------------

    async def pending(self) -> tuple[Migration, ...]:
        """The migrations that migrate() would apply."""
        return await self._guarded(self._administer(schema.pending))

    async def migration_sql(self) -> str:
        """What migrate() would run, as SQL to read, and to run with psql."""
        return schema.script(await self.pending(), self._sql)

    async def migrate(self) -> tuple[Migration, ...]:
        """Make the tables, or bring them up to date, in one transaction; what was applied. The store need not be open.

        The release before this one goes on working on them. A second call meanwhile waits, and finds nothing to do.

        Raises:
            StorageError: see its message; nothing was changed.
        """

        async def work(connection: Any, sql: Statements, store: str) -> tuple[Migration, ...]:
            async with connection.transaction(isolation="read_committed"):
                return await schema.migrate(connection, sql, store, self._lock_timeout_s)

        return await self._guarded(self._administer(work))

    async def _administer(self, work: Callable[[Any, Statements, str], Awaitable[T]]) -> T:
        """Work on a connection of its own: no pool, no prepared statements, none of our checks."""
        if self._callers_pool is not None:
            pool = self._callers_pool
            lent = await pool.acquire(timeout=self._pool_wait_s)
            try:
                return await work(lent, self._sql, self._name)
            finally:
                await pool.release(lent)
        connection = await connect(self._dsn or "")
        try:
            return await work(connection, self._sql, self._name)
        finally:
            await connection.close(timeout=self._command_timeout_s)

    # --- the flow ---------------------------------------------------------------------------------------------

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        """Reserve an operation, by plan_reserve() in one transaction."""
        tenant = wanted.tenant
        if isinstance(wanted, ReservePayment):
            reference: str | None = wanted.request.merchant_reference
        else:
            found = await self._whereabouts.of_payment(self._database, tenant, wanted.payment_id)
            reference = None if found is None else found.merchant_reference

        tries = count()

        async def work(session: Session) -> ReserveAnswer:
            rows = PostgresRows(session, trusts_order_ids=next(tries) == 0)
            if isinstance(wanted, ReservePayment):
                await rows.look_for_payment(wanted)
            else:
                await rows.look_for_operation(wanted, is_there=reference is not None)
            return await transactions.reserve(rows, wanted, self.now())

        answer = await self._database.write(work, *self._locks(tenant, reference, [wanted.operation_id]))
        if isinstance(answer, Reserved | Same):
            self._whereabouts.remember(answer.facts)
        return answer

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """Take the right to submit, by plan_claim() in one transaction."""
        found = await self._whereabouts.of_operation(self._database, tenant, operation_id)

        async def work(session: Session) -> ClaimAnswer:
            rows = PostgresRows(session)
            await rows.look_for_claim(
                tenant,
                operation_id,
                None if found is None else found.payment_id,
                None if found is None or found.allow_repeat else found.merchant_reference,
            )
            return await transactions.claim(rows, tenant, operation_id, terms, self.now())

        reference = None if found is None else found.merchant_reference
        return await self._database.write(work, *self._locks(tenant, reference))

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """Append evidence to a claimed operation, durably."""

        async def work(session: Session) -> None:
            rows = PostgresRows(session)
            await rows.facts(claim.tenant, claim.payment_id)  # which brings the time along
            await transactions.checkpoint(rows, claim, evidence, self.now())

        await self._database.write(work, *self._locks_of(claim))

    async def release(self, claim: Claim) -> bool:
        """Give a claim back that is proven without effect."""

        async def work(session: Session) -> bool:
            rows = PostgresRows(session)
            await rows.facts(claim.tenant, claim.payment_id)
            return await transactions.release(rows, claim, self.now())

        return await self._database.write(work, *self._locks_of(claim))

    async def commit(self, plan: Plan) -> CommitAnswer:
        """Write a plan whole or not at all."""

        async def work(session: Session) -> CommitAnswer:
            rows = PostgresRows(session)
            await rows.look_for_commit(plan)
            return await transactions.commit(rows, plan)

        payment = plan.payment
        operations = [operation.operation_id for operation in plan.operations]
        return await self._database.write(
            work, *self._locks(payment.tenant, payment.merchant_reference, operations)
        )

    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        """Write an agreement's plan whole or not at all."""

        async def work(session: Session) -> AgreementAnswer:
            return await transactions.commit_agreement(PostgresRows(session), plan)

        agreement = plan.agreement
        own = self._sql.lock("agreement", agreement.tenant, agreement.agreement_key)
        operations = [operation.operation_id for operation in agreement.operations]
        return await self._database.write(work, own, *self._locks(agreement.tenant, None, operations))

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        """Write a payout's plan whole or not at all."""

        async def work(session: Session) -> PayoutAnswer:
            return await transactions.commit_payout(PostgresRows(session), plan)

        payout = plan.payout
        own = self._sql.lock("payout", payout.tenant, payout.payout_id)
        operations = [payout.operation_id]
        return await self._database.write(work, own, *self._locks(payout.tenant, None, operations))

    async def note_attempt(self, attempt: Attempt) -> None:
        """Write an attempt's log."""
        await self._database.single(lambda session: writing.note_attempt(session, attempt), repeat=True)

    # --- locks ------------------------------------------------------------------------------------------------

    def _locks(self, tenant: str, reference: str | None, operation_ids: list[str] | None = None) -> list[int]:
        """The reference's lock, then those of operation ids in one order: payments' and agreements' meet there."""
        locks = [] if reference is None else [self._sql.lock("reference", tenant, reference)]
        return locks + sorted(self._sql.lock("operation", tenant, each) for each in set(operation_ids or ()))

    def _locks_of(self, claim: Claim) -> list[int]:
        return self._locks(claim.tenant, claim.facts.payment.merchant_reference)


_SHAPE: Final = (
    "It looks like postgresql://user:password@host:5432/database; percent-encode what is special in it."
)


def _check_arguments(dsn: str | None, pool: object, pool_size: int) -> None:
    if (dsn is None) == (pool is None):
        raise ConfigurationError(
            "A PostgreSQL store is made from a URL or from a pool, one of them.", code="store_url"
        )
    if dsn is not None and not _URL.match(dsn):
        raise ConfigurationError("This is no PostgreSQL URL.", code="store_url", next_step=_SHAPE)
    if pool_size < 1:
        raise ConfigurationError("pool_size is at least one connection.", code="store_pool_size")


def _name_of(dsn: str) -> str:
    """The DSN without user, password and options: what may be shown.

    Nothing of one that cannot be told apart: a password with a bare "#" or "?" in it seems to end there.
    """
    whole, match = dsn.partition("://")[2], _URL.match(dsn)
    place = "" if match is None else match[1].rpartition("@")[2]
    cut_short = match is not None and "@" in whole[len(match[1]) :] and "@" not in match[1]
    return "postgresql://" + (place if _PLACE.fullmatch(place) and not cut_short else "?")

"""SqliteStore: the port over one SQLite file.

One connection, one worker behind an injected runner, one piece of work per operation. Writing work runs in
BEGIN IMMEDIATE ... COMMIT: SQLite lets one such transaction of all processes in at a time, which serializes every
merchant reference with room to spare. A commit is on the disk (synchronous=FULL) before its operation answers.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from vextrus_payments.clock import Clock, Sleeper, SystemClock, SystemSleeper
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.events import PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Plan,
    ReserveAnswer,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.records import (
    Attempt,
    Operation,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    PaymentState,
)
from vextrus_payments.store import OutboxBacklog, Page
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import FindKey, check_lease, check_limit
from vextrus_payments.stores.runner import DatabaseRunner, ThreadRunner
from vextrus_payments.stores.sqlite import file, listing, queue
from vextrus_payments.stores.sqlite.faults import storage_error
from vextrus_payments.stores.sqlite.rows import SqliteRows
from vextrus_payments.stores.transactions import finished
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd

T = TypeVar("T")

_RETRY_OPEN_S: Final = 0.05


class SqliteStore:
    """A PaymentStore in one SQLite file.

    Several processes of one machine may open the same file; so may several stores of one process. A network share is
    no place for it. The file is made when missing, readable by its owner alone, and brought up to date by open().

    Args:
        path: the file; relative paths are taken from the folder that is current now.
        clock: claims and leases are measured on it; all processes of the file must share one time.
        sleeper: how open() waits for another process that is making the file.
        runner: runs the database work; None = a thread of the store's own.
        busy_timeout_s: how long to wait for another process's transaction, in seconds.
    """

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
        self._busy_timeout_s = busy_timeout_s
        self._connection: sqlite3.Connection | None = None
        self._process_id = 0

    def __repr__(self) -> str:
        return f"SqliteStore({self.path!r}, {'closed' if self._connection is None else 'open'})"

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
        give_up = self._clock.monotonic() + self._busy_timeout_s
        while True:
            try:
                await self._runner.run(self._connect)
            except StorageError as error:
                # SQLite does not wait by itself while another process changes the journal of a fresh file.
                if error.code != "storage_locked" or self._clock.monotonic() >= give_up:
                    raise
            else:
                return
            await self._sleeper.sleep(_RETRY_OPEN_S)

    async def close(self) -> None:
        """Finish the work at hand and let go of the file. Idempotent."""
        if self._process_id in (0, os.getpid()):
            await self._runner.run(self._disconnect)
            await self._runner.aclose()

    def _connect(self) -> None:
        if self._connection is None:
            connect = partial(
                file.connect, self.path, busy_timeout_s=self._busy_timeout_s, now=self._clock.now()
            )
            self._connection = self._translated(connect)
            self._process_id = os.getpid()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside one durable transaction."""
        return await self._run("BEGIN IMMEDIATE", work)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` answers inside one snapshot of the file."""
        return await self._run("BEGIN", work)

    async def _run(self, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._process_id not in (0, os.getpid()):
            raise StorageError(
                "The store was opened before this process was forked: SQLite files do not survive that.",
                code="storage_forked",
                next_step="Open the store in each process after the fork.",
            )

        def whole() -> T:
            connection = self._connection
            if connection is None:
                raise StorageError(
                    "The store is not open.", code="storage_closed", next_step="Await its open() first."
                )
            return self._translated(lambda: _in_transaction(connection, begin, work))

        return await self._runner.run(whole)

    def _translated(self, work: Callable[[], T]) -> T:
        """What `work` returns; SQLite's errors as ours."""
        try:
            return work()
        except sqlite3.Error as error:
            failure = storage_error(error, self.path)
        except (UnicodeEncodeError, OverflowError):
            failure = StorageError(
                "A record holds a text or a number that SQLite cannot store; nothing was written.",
                code="storage_bad_value",
                next_step="Look for broken characters in what the caller or the gateway sent.",
            )
        # Raised out here so that SQLite's own error, which may name a row, is not chained to it.
        raise failure

    # --- the flow ---------------------------------------------------------------------------------------------

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        """Reserve an operation, by plan_reserve() in one transaction."""
        return await self._write(lambda c: finished(transactions.reserve(SqliteRows(c), wanted, self.now())))

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """Take the right to submit, by plan_claim() in one transaction."""
        return await self._write(
            lambda c: finished(transactions.claim(SqliteRows(c), tenant, operation_id, terms, self.now()))
        )

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """Append evidence to a claimed operation, durably."""
        await self._write(
            lambda c: finished(transactions.checkpoint(SqliteRows(c), claim, evidence, self.now()))
        )

    async def release(self, claim: Claim) -> bool:
        """Give a claim back that is proven without effect."""
        return await self._write(lambda c: finished(transactions.release(SqliteRows(c), claim, self.now())))

    async def commit(self, plan: Plan) -> CommitAnswer:
        """Write a plan whole or not at all."""
        return await self._write(lambda c: finished(transactions.commit(SqliteRows(c), plan)))

    async def note_attempt(self, attempt: Attempt) -> None:
        """Write an attempt's log."""
        await self._write(lambda c: SqliteRows(c).note_attempt(attempt))

    # --- reading ----------------------------------------------------------------------------------------------

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        return await self._read(lambda c: finished(SqliteRows(c).facts(tenant, payment_id)))

    async def get_operation(self, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
        """The operation and the facts of its payment."""
        return await self._read(
            lambda c: finished(transactions.get_operation(SqliteRows(c), tenant, operation_id))
        )

    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        """The reference's payments other than `without`, oldest first."""
        return await self._read(
            lambda c: finished(
                transactions.siblings_of(SqliteRows(c), tenant, merchant_reference, without=without)
            )
        )

    async def find(
        self,
        tenant: str,
        *,
        merchant_reference: str | None = None,
        gateway: str | None = None,
        mode: Mode | None = None,
        gateway_order_id: str | None = None,
        gateway_reference: str | None = None,
        transaction_id: str | None = None,
    ) -> tuple[PaymentFacts, ...]:
        """Payments by exactly one key, oldest first, at most 100."""
        key = FindKey.of(
            merchant_reference=merchant_reference,
            gateway_order_id=gateway_order_id,
            gateway_reference=gateway_reference,
            transaction_id=transaction_id,
        )
        return await self._read(
            lambda c: finished(SqliteRows(c).facts_of(tenant, listing.find(c, tenant, key, gateway, mode)))
        )

    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """1 + how many submissions the reference has had there."""
        return 1 + await self._read(
            lambda c: finished(SqliteRows(c).count_submissions(tenant, gateway, mode, merchant_reference))
        )

    async def list(
        self,
        tenant: str | None = None,
        *,
        state: PaymentState | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Payment]:
        """Payments by creation time, oldest first."""
        return await self._read(lambda c: listing.payments(c, tenant, state, since, cursor, limit))

    async def list_operations(
        self,
        tenant: str | None = None,
        *,
        states: Sequence[OperationState],
        updated_before: datetime | None = None,
        cursor: str | None = None,
        limit: int = 100,
    ) -> Page[Operation]:
        """Operations in any of these states, oldest update first."""
        return await self._read(
            lambda c: listing.operations(c, tenant, states, updated_before, cursor, limit)
        )

    async def events(self, tenant: str, payment_id: str) -> tuple[PaymentEvent, ...]:
        """The payment's event log, oldest first."""
        return await self._read(lambda c: listing.events(c, tenant, payment_id))

    async def attempts(self, tenant: str, payment_id: str) -> tuple[Attempt, ...]:
        """Every attempt on the payment's operations, oldest first."""
        return await self._read(lambda c: listing.attempts(c, tenant, payment_id))

    # --- the outbox -------------------------------------------------------------------------------------------

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        """Lease due rows."""
        check_limit(limit)
        check_lease(lease_s)
        if not await self._read(lambda c: queue.any_due(c, kind, self.now())):
            return ()
        return await self._write(lambda c: queue.lease(c, kind, limit, lease_s, self.now()))

    async def ack(self, row: OutboxRow) -> None:
        """Mark a row delivered."""
        await self._write(lambda c: queue.ack(c, row.tenant, row.row_id, self.now()))

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery; retry later, or park."""
        await self._write(lambda c: queue.nack(c, row.tenant, row.row_id, retry_at, why))

    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        """What still waits."""
        return await self._read(lambda c: queue.backlog(c, kind))

    # --- tokens -----------------------------------------------------------------------------------------------

    async def token_get(self, digest: str) -> str | None:
        """The document as last put."""
        return await self._read(lambda c: queue.token_get(c, digest))

    async def token_put(self, digest: str, version: str, document: str) -> None:
        """Set version and document."""
        await self._write(lambda c: queue.token_put(c, digest, version, document))

    async def token_drop(self, digest: str, version: str) -> bool:
        """Empty version and document if the version is this one."""
        return await self._write(lambda c: queue.token_drop(c, digest, version))

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """Take a slot of the grant budget, durably."""
        return await self._write(lambda c: queue.grant_reserve(c, digest, ask))

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        """Close a slot and keep what it brought."""
        await self._write(lambda c: queue.grant_finish(c, digest, end, version, document))


def _in_transaction(connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute(begin)
    try:
        answer = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        file.roll_back(connection)
        raise
    return answer

"""SqliteStore: the port over one SQLite file."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

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
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
)
from vextrus_payments.records import Attempt, OutboxKind, OutboxRow, Watch
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import PAGE_LIMIT, check_lease, check_limit, check_many
from vextrus_payments.stores.sqlite import books, queue, tokens, watches
from vextrus_payments.stores.sqlite.inbox import SqliteInbox
from vextrus_payments.stores.sqlite.reading import SqliteReading
from vextrus_payments.stores.sqlite.schema import SqliteSchema
from vextrus_payments.stores.transactions import finished
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd


class SqliteStore(SqliteReading, SqliteInbox, SqliteSchema):
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

    # --- the flow ---------------------------------------------------------------------------------------------

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        """Reserve an operation, by plan_reserve() in one transaction."""

        def work(connection: sqlite3.Connection) -> ReserveAnswer:
            rows = self._rows(connection)
            if isinstance(wanted, ReservePayment):
                rows.look_for_payment(wanted)
            return finished(transactions.reserve(rows, wanted, self.now()))

        return await self._write(work)

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """Take the right to submit, by plan_claim() in one transaction."""
        return await self._write(
            lambda c: finished(transactions.claim(self._rows(c), tenant, operation_id, terms, self.now()))
        )

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """Append evidence to a claimed operation, durably."""
        await self._write(
            lambda c: finished(transactions.checkpoint(self._rows(c), claim, evidence, self.now()))
        )

    async def release(self, claim: Claim) -> bool:
        """Give a claim back that is proven without effect."""
        return await self._write(lambda c: finished(transactions.release(self._rows(c), claim, self.now())))

    async def commit(self, plan: Plan) -> CommitAnswer:
        """Write a plan whole or not at all."""
        return await self._write(lambda c: finished(transactions.commit(self._rows(c), plan)))

    async def note_attempt(self, attempt: Attempt) -> None:
        """Write an attempt's log."""
        await self._write(lambda c: self._rows(c).note_attempt(attempt))

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
        await self._write(lambda c: queue.ack(c, row, self.now()))

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        """Mark rows delivered in one transaction."""
        check_many(rows)

        def work(connection: sqlite3.Connection) -> None:
            now = self.now()
            for row in rows:
                queue.ack(connection, row, now)

        await self._write(work)

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery; retry later, or park."""
        await self._write(lambda c: queue.nack(c, row, retry_at, why))

    async def unpark(self, tenant: str, row_id: str) -> bool:
        """Let a parked row be delivered again, at once and with its tries back at nought."""
        return await self._write(lambda c: queue.unpark(c, tenant, row_id))

    # --- watching ---------------------------------------------------------------------------------------------

    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        """Lease what is due to be looked at, the longest due first."""
        check_limit(limit)
        check_lease(lease_s)
        if not await self._read(lambda c: watches.any_due(c, self.now())):
            return ()
        return await self._write(lambda c: watches.lease(c, limit, lease_s, self.now()))

    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        """End a lease and set when to look next."""
        return await self._write(lambda c: watches.again(c, watch, at))

    async def sweep_watches(self) -> int:
        """Arm what is open and has no watch; how many were armed."""
        armed = 0
        while await self._read(lambda c: watches.unwatched(c, 1)):
            armed += await self._write(lambda c: watches.arm(c, PAGE_LIMIT, self.now()))
        return armed

    # --- agreements, settlements, marks -----------------------------------------------------------------------

    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        """Write an agreement whole or not at all."""
        return await self._write(lambda c: finished(transactions.commit_agreement(self._rows(c), plan)))

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        """Write a payout whole or not at all."""
        return await self._write(lambda c: finished(transactions.commit_payout(self._rows(c), plan)))

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        """Write many settlements in one transaction; how many were written."""
        check_many(plans)
        return await self._write(lambda c: finished(transactions.settle(self._rows(c), plans)))

    async def put_mark(self, name: str, value: str, *, expected: str | None) -> bool:
        """Set it if it is `expected`."""
        return await self._write(lambda c: books.put_mark(c, name, value, expected))

    # --- tokens -----------------------------------------------------------------------------------------------

    async def token_get(self, digest: str) -> str | None:
        """The document as last put."""
        return await self._read(lambda c: tokens.token_get(c, digest))

    async def token_put(self, digest: str, version: str, document: str) -> None:
        """Set version and document."""
        await self._write(lambda c: tokens.token_put(c, digest, version, document))

    async def token_drop(self, digest: str, version: str) -> bool:
        """Empty version and document if the version is this one."""
        return await self._write(lambda c: tokens.token_drop(c, digest, version))

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """Take a slot of the grant budget, durably."""
        return await self._write(lambda c: tokens.grant_reserve(c, digest, ask))

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        """Close a slot and keep what it brought."""
        await self._write(lambda c: tokens.grant_finish(c, digest, end, version, document))

"""MemoryStore: the port over dictionaries.

Honest atomicity: no method awaits anything between its first look and its last write, so no other task can come in
between. One event loop only; threads and processes have nothing to share here.
"""

from collections.abc import Sequence
from datetime import datetime

from vextrus_payments.inbox import InboxEnd, InboxRow, NewInboxEvent
from vextrus_payments.mode import Mode
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
from vextrus_payments.records import (
    Attempt,
    OutboxKind,
    OutboxRow,
    Watch,
)
from vextrus_payments.stores import transactions
from vextrus_payments.stores.columns import (
    check_lease,
    check_limit,
    check_many,
)
from vextrus_payments.stores.memory import watches
from vextrus_payments.stores.memory.reading import MemoryReading
from vextrus_payments.stores.news import check_ends, check_events
from vextrus_payments.stores.transactions import finished
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd


class MemoryStore(MemoryReading):
    """A PaymentStore that forgets with its process: refused in live mode.

    close() keeps the rows, so that a test can open the same store again as after a restart.
    """

    # --- the flow -------------------------------------------------------------------------------------------

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        """Reserve an operation, by plan_reserve()."""
        return finished(transactions.reserve(self._rows(), wanted, self.now()))

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """Take the right to submit, by plan_claim()."""
        return finished(transactions.claim(self._rows(), tenant, operation_id, terms, self.now()))

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """Append evidence to a claimed operation."""
        finished(transactions.checkpoint(self._rows(), claim, evidence, self.now()))

    async def release(self, claim: Claim) -> bool:
        """Give a claim back that is proven without effect."""
        return finished(transactions.release(self._rows(), claim, self.now()))

    async def commit(self, plan: Plan) -> CommitAnswer:
        """Write a plan whole or not at all."""
        return finished(transactions.commit(self._rows(), plan))

    async def note_attempt(self, attempt: Attempt) -> None:
        """Write an attempt's log."""
        self._rows().note_attempt(attempt)

    # --- the outbox -----------------------------------------------------------------------------------------

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        """Lease due rows."""
        return self._rows().queue.lease(kind, check_limit(limit), check_lease(lease_s), self.now())

    async def ack(self, row: OutboxRow) -> None:
        """Mark a row delivered."""
        self._rows().queue.ack(row, self.now())

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        """Mark rows delivered."""
        check_many(rows)
        for row in rows:
            self._rows().queue.ack(row, self.now())

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        """Count a failed delivery; retry later, or park."""
        self._rows().queue.nack(row, retry_at, why)

    async def unpark(self, tenant: str, row_id: str) -> bool:
        """Let a parked row be delivered again."""
        return self._rows().queue.unpark(tenant, row_id)

    # --- the inbox ------------------------------------------------------------------------------------------

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        """Keep news; which of it is new."""
        check_events(events)
        return self._rows().inbox.accept(events) if events else ()

    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        """Lease due rows, oldest due first."""
        return self._rows().inbox.lease(check_limit(limit), check_lease(lease_s), self.now())

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        """Record what became of leased rows."""
        check_ends(ends)
        if not ends:
            return ()
        rows = self._rows()
        return rows.inbox.end(ends, rows.queue, self.now())

    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        """Make a row due again at once."""
        return self._rows().inbox.replay((tenant, gateway, mode.value, event_id))

    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        """Delete rows that were finished before then; how many."""
        return self._rows().inbox.prune(before, check_limit(limit))

    # --- watching -------------------------------------------------------------------------------------------

    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        """Lease what is due to be looked at, the longest due first."""
        return watches.lease(self._rows().watched(), check_limit(limit), check_lease(lease_s), self.now())

    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        """End a lease and set when to look next."""
        row = self._rows().subject(watch.subject_kind, watch.tenant, watch.subject_id)
        return watches.again(row, watch, at)

    async def sweep_watches(self) -> int:
        """Arm what is open and has no watch; how many were armed."""
        return self._rows().arm(self.now())

    # --- agreements, settlements, marks ---------------------------------------------------------------------

    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        """Write an agreement whole or not at all."""
        return finished(transactions.commit_agreement(self._rows(), plan))

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        """Write a payout whole or not at all."""
        return finished(transactions.commit_payout(self._rows(), plan))

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        """Write many settlements, all or none of them; how many were written."""
        check_many(plans)
        return finished(transactions.settle(self._rows(), plans))

    async def put_mark(self, name: str, value: str, *, expected: str | None) -> bool:
        """Set it if it is `expected`."""
        marks = self._rows().marks
        if marks.get(name) != expected:
            return False
        marks[name] = value
        return True

    # --- tokens ---------------------------------------------------------------------------------------------

    async def token_get(self, digest: str) -> str | None:
        """The document as last put."""
        return self._tokens().get(digest)

    async def token_put(self, digest: str, version: str, document: str) -> None:
        """Set version and document."""
        self._tokens().put(digest, version, document)

    async def token_drop(self, digest: str, version: str) -> bool:
        """Empty version and document if the version is this one."""
        return self._tokens().drop(digest, version)

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        """Take a slot of the grant budget."""
        return self._tokens().reserve(digest, ask)

    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        """Close a slot and keep what it brought."""
        self._tokens().finish(digest, end, version, document)

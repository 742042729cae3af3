"""The six marked points, and the ports that stand at them: each kills its own process when its moment has come.

Nothing of the product is changed. The ports that a shop hands in anyway (store, transport, ledger callback) are
wrapped; a wrapper does what the wrapped one does and then, at its mark, sends SIGKILL to the process it runs in.
"""

import os
import signal
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, ClaimAnswer, ClaimTerms, CommitAnswer, Committed, Plan
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import PaymentStore
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse


class Point(StrEnum):
    """Where a process is killed: between the first thing and the second."""

    COMMIT_LEDGER = "commit-ledger"
    CLAIM_SEND = "claim-send"
    ANSWER_RECORD = "answer-record"
    BASELINE_REFUND = "baseline-refund"
    LEDGER_DELIVERED = "ledger-delivered"
    GRANT_SAVE = "grant-save"


#: The moments of each point; kill after kill takes the next of them.
MOMENTS = {
    Point.COMMIT_LEDGER: ("payment committed", "payment offered", "refund committed", "refund offered"),
    Point.CLAIM_SEND: ("execute claimed", "refund claimed"),
    Point.ANSWER_RECORD: ("execute answered", "refund answered"),
    Point.BASELINE_REFUND: ("baseline kept",),
    Point.LEDGER_DELIVERED: ("payment booked", "refund booked"),
    Point.GRANT_SAVE: ("grant answered",),
}


class Marks:
    """Which moment kills, and whether it does already."""

    def __init__(self, moment: str | None) -> None:
        self._moment = moment
        self._reference: str | None = None

    def arm(self, reference: str) -> None:
        """From now on the moment kills, where it is about this merchant reference or about none."""
        self._reference = reference

    def passes(self, moment: str, reference: str | None = None) -> None:
        """This moment is passed now. May not return."""
        if self._reference is None or moment != self._moment:
            return
        if reference is None or reference == self._reference:
            os.kill(os.getpid(), signal.SIGKILL)


class MarkedStore:
    """A store whose process dies right after a claim, a commit or a checkpoint has become durable."""

    def __init__(self, inner: PaymentStore, marks: Marks) -> None:
        self._inner = inner
        self._marks = marks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        """As the store's; may be the last thing that its process does."""
        answer = await self._inner.claim(tenant, operation_id, terms)
        if isinstance(answer, Claim):
            operation = answer.facts.operation(operation_id)
            assert operation is not None
            self._marks.passes(f"{operation.kind.value} claimed", answer.facts.payment.merchant_reference)
        return answer

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        """As the store's; may be the last thing that its process does."""
        await self._inner.checkpoint(claim, evidence)
        self._marks.passes("baseline kept", claim.facts.payment.merchant_reference)

    async def commit(self, plan: Plan) -> CommitAnswer:
        """As the store's; may be the last thing that its process does."""
        answer = await self._inner.commit(plan)
        entries = [row.document for row in plan.outbox if row.kind is OutboxKind.LEDGER]
        if isinstance(answer, Committed) and entries:
            what = "refund" if "payment.refunded" in "".join(entries) else "payment"
            self._marks.passes(f"{what} committed", plan.payment.merchant_reference)
        return answer


class ForgetfulStore(MarkedStore):
    """A planted bug: what was taken from the outbox is marked delivered before anybody has it."""

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        """Lease, and be done with it."""
        rows = await self._inner.lease(kind, limit=limit, lease_s=lease_s)
        if rows:
            await self._inner.ack_many(rows)
        return rows

    async def ack(self, row: OutboxRow) -> None:
        """Has been done."""

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        """Has been done."""


class MarkedTransport:
    """A transport whose process dies with an answer in its hands."""

    def __init__(self, inner: Transport, marks: Marks) -> None:
        self._inner = inner
        self._marks = marks

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """As the transport's; may be the last thing that its process does."""
        response = await self._inner.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        path = request.url.partition("?")[0]
        if path.endswith("/token/grant"):
            self._marks.passes("grant answered")
        elif path.endswith("/checkout/execute"):
            self._marks.passes("execute answered")
        elif safety is Safety.ONCE and "refund" in path:
            self._marks.passes("refund answered")
        return response

    async def aclose(self) -> None:
        """Close the transport."""
        await self._inner.aclose()

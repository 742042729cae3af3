"""One change of an agreement: its rows, its news, and when to look at it next, as one plan."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.errors import StaleStateError
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.money import Money
from vextrus_payments.plans import AgreementPlan
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    SubjectKind,
)
from vextrus_payments.snapshots import AgreementSnapshot
from vextrus_payments.states import check_operation_edge
from vextrus_payments.watching import watch_agreement_after

_L = AgreementLife

#: from -> to: the evidence the edge needs.
AGREEMENT_EDGES: Final = {
    (_L.CREATED, _L.AWAITING_PAYER): "a session that reached us",
    (_L.CREATED, _L.CLOSED): "the gateway's final no, or its time is over",
    (_L.CREATED, _L.ACTIVE): "the gateway's confirmation of a page that never reached us",
    (_L.AWAITING_PAYER, _L.ACTIVE): "the gateway's confirmation",
    (_L.AWAITING_PAYER, _L.CLOSED): "the gateway's final no, its time is over, or the shop gave it up",
    (_L.CLOSED, _L.ACTIVE): "the gateway's confirmation outranks what was believed",
    (_L.ACTIVE, _L.ENDED): "the gateway shows it as cancelled",
}


def new_operation(agreement: Agreement, operation_id: str, digest: str, now: datetime) -> Operation:
    """One more operation of an agreement, reserved."""
    return Operation(
        tenant=agreement.tenant,
        operation_id=operation_id,
        kind=OperationKind.AGREEMENT,
        subject_kind=SubjectKind.AGREEMENT,
        subject_id=agreement.agreement_key,
        payment_id=agreement.agreement_key,
        submission_no=1,
        digest=digest,
        state=OperationState.RESERVED,
        created_at=now,
        updated_at=now,
    )


class Change:
    """Collects what one transaction changes on one agreement."""

    def __init__(self, agreement: Agreement, now: datetime) -> None:
        self._before = agreement
        self._now = now
        self._outbox: list[OutboxRow] = []
        self.agreement: Agreement = replace(agreement, version=agreement.version + 1, updated_at=now)
        self.changed: bool = False

    def put(self, operation: Operation) -> "Change":
        """Write an operation as it is."""
        others = tuple(o for o in self.agreement.operations if o.operation_id != operation.operation_id)
        self.agreement = replace(self.agreement, operations=(*others, operation))
        self.changed = True
        return self

    def to(self, operation: Operation, state: OperationState, **changes: Any) -> "Change":
        """Put an operation into a state, over an edge of the table."""
        check_operation_edge(operation.state, state)
        return self.put(replace(operation, state=state, updated_at=self._now, **changes))

    def move(self, state: AgreementLife, **changes: Any) -> None:
        """Put the agreement into a state, over an edge of the table."""
        if (self.agreement.state, state) not in AGREEMENT_EDGES:
            raise StaleStateError(f"An agreement does not go from {self.agreement.state} to {state}.")
        self.agreement = replace(self.agreement, state=state, **changes)
        self.changed = True

    def announce(
        self,
        kind: EventKind,
        before: AgreementLife | None,
        operation: Operation | None,
        *,
        why: ReasonCode | None = None,
        amount: Money | None = None,
        after: str | None = None,
        seed: str | None = None,
    ) -> None:
        """Add news. It names the agreement by our key: with the gateway's id one could charge."""
        agreement = self.agreement
        seed = f"{agreement.tenant}\x1f{agreement.agreement_key}\x1f{seed or agreement.version}\x1f{kind}"
        event = PaymentEvent(
            id=f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}",
            kind=kind,
            tenant=agreement.tenant,
            gateway=agreement.gateway,
            mode=agreement.mode,
            payment_id=None,
            merchant_reference=agreement.merchant_reference if agreement.terms is not None else None,
            occurred_at=self._now,
            before=before,
            after=after or agreement.state,
            operation_id=operation.operation_id if operation else None,
            amount=amount,
            reason_code=why.value if why is not None else None,
            correlation_id=agreement.correlation_id,
            metadata=agreement.metadata,
            agreement_key=agreement.agreement_key,
        )
        seq = agreement.outbox_seq + 1
        self.agreement = replace(agreement, outbox_seq=seq)
        self._outbox.append(
            OutboxRow(
                tenant=agreement.tenant,
                row_id=event.id,
                subject=f"{OutboxKind.EVENT.value}/{agreement.agreement_key}",
                seq=seq,
                kind=OutboxKind.EVENT,
                document=to_json(event),
                created_at=self._now,
            )
        )

    def holds(self, snapshot: AgreementSnapshot, execute: Operation | None) -> None:
        """The gateway shows that it holds."""
        if execute is not None and execute.state is not OperationState.SUCCEEDED:
            self.to(execute, OperationState.SUCCEEDED, reason=None)
        waiting = self.agreement.state in (_L.CREATED, _L.AWAITING_PAYER, _L.CLOSED)
        if waiting and snapshot.agreement_id is not None:
            before = self.agreement.state
            self.move(_L.ACTIVE, agreement_id=snapshot.agreement_id, payer_account=snapshot.payer_account)
            self.announce(EventKind.AGREEMENT_ACTIVE, before, execute)

    def plan(self) -> AgreementPlan:
        """The plan."""
        return AgreementPlan(
            agreement=self.agreement,
            expected_version=self._before.version,
            outbox=tuple(self._outbox),
            watch_at=watch_agreement_after(self.agreement, self._now),
        )

"""Plan functions for agreements: a payer's consent is asked for, made to hold, looked at, ended. No money moves here.

As for payments: intent before I/O, one claim at a time by compare-and-set, unknown is a state, and what allows another
send counts only from the holder of the latest fence or from a look-up that proves it.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import JsonValue

from vextrus_payments.documents import to_json
from vextrus_payments.errors import StaleStateError
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import ConsentRequest, Evidence
from vextrus_payments.plans import AgreementPlan, ClaimTerms
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    AGREEMENT_TERMS,
    Agreement,
    AgreementLife,
    Attempt,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    SubjectKind,
)
from vextrus_payments.snapshots import AgreementSession, AgreementSnapshot, AgreementState
from vextrus_payments.states import OPEN_STATES, SETTLED_STATES, check_operation_edge, claim_is_over
from vextrus_payments.watching import watch_agreement_after

_REQUEST_ID: Final = re.compile(r"([a-z]{1,10})-([0-9a-z]{26})-[0-9]{1,6}", re.ASCII)

_L = AgreementLife
_O = OperationState

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


@dataclass(frozen=True, slots=True)
class AgreementClaim:
    """The right to submit one operation of an agreement, until `send_by` on the store's clock."""

    tenant: str
    operation_id: str
    payment_id: str
    """The agreement's key: whose rows the operation stands among."""
    fence: int
    send_by: datetime
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class NoClaim:
    """Why there is none now. `busy_for_s`: somebody else has it; None: it is settled, or has to be looked up."""

    agreement: Agreement
    operation: Operation
    busy_for_s: int | None = None


def execute_id(agreement_key: str) -> str:
    """The id of an agreement's one execute operation."""
    return f"agreement/{agreement_key}/execute"


def cancel_id(agreement_key: str) -> str:
    """The id of the operation that ends it."""
    return f"agreement/{agreement_key}/cancel"


def request_id_of(agreement_key: str, fence: int) -> str:
    """What a gateway that takes an id of ours knows one asking by: letters, digits and -, another one for each claim,
    since such a gateway never takes one twice."""
    return f"{agreement_key.replace('_', '-')}-{fence}"


def agreement_key_of(request_id: str) -> str | None:
    """Back from `request_id_of`: whose asking it was, though its answer never reached us. None: nobody's here."""
    found = _REQUEST_ID.fullmatch(request_id)
    return None if found is None else f"{found[1]}_{found[2]}"


def plan_consent(
    tenant: str,
    agreement_key: str,
    mode: Mode,
    request: ConsentRequest,
    now: datetime,
    terms: Mapping[str, JsonValue] | None = None,
) -> AgreementPlan:
    """A new agreement with the operation that asks for its session, reserved; a subscription's keeps its terms."""
    agreement = Agreement(
        tenant=tenant,
        agreement_key=agreement_key,
        gateway=request.gateway,
        mode=mode,
        payer_reference=request.payer_reference,
        state=_L.CREATED,
        created_at=now,
        updated_at=now,
        version=0,
        return_url=request.return_url,
        correlation_id=request.correlation_id,
        metadata=request.metadata,
    )
    operation = _operation(agreement, request.operation_id, request.digest(), now)
    if terms is not None:
        kept = {"terms": dict(terms), "merchant_reference": request.merchant_reference}
        operation = replace(operation, evidence=(Evidence(AGREEMENT_TERMS, kept),))
    return _Change(agreement, now).put(operation).plan()


def plan_reserve_agreed(agreement: Agreement, operation_id: str, digest: str, now: datetime) -> AgreementPlan:
    """One more operation on an agreement, reserved."""
    return _Change(agreement, now).put(_operation(agreement, operation_id, digest, now)).plan()


def plan_claim_agreed(
    agreement: Agreement, operation_id: str, terms: ClaimTerms, now: datetime
) -> tuple[AgreementPlan | None, AgreementClaim | NoClaim]:
    """Take the right to submit a reserved operation. The commit's compare-and-set decides a race."""
    operation = agreement.operation(operation_id)
    assert operation is not None, "reserved before it is claimed"
    if operation.state is _O.SUBMITTING and not claim_is_over(operation, terms.settle_s, now):
        assert operation.send_by is not None, "a claim has a deadline"
        over_at = operation.send_by + timedelta(seconds=terms.settle_s)
        left_s = max(1, math.ceil((over_at - now).total_seconds()))
        return None, NoClaim(agreement, operation, left_s)
    if operation.state in OPEN_STATES | SETTLED_STATES:
        return None, NoClaim(agreement, operation)
    send_by = now + timedelta(seconds=terms.send_window_s)
    claimed = replace(operation, fence=operation.fence + 1, send_by=send_by, reason=None)
    attempt = Attempt(
        tenant=agreement.tenant,
        operation_id=operation_id,
        payment_id=agreement.agreement_key,
        fence=claimed.fence,
        started_at=now,
        send_by=send_by,
    )
    plan = replace(_Change(agreement, now).to(claimed, _O.SUBMITTING).plan(), attempts=(attempt,))
    claim = AgreementClaim(
        agreement.tenant, operation_id, agreement.agreement_key, claimed.fence, send_by, plan.agreement
    )
    return plan, claim


def plan_consent_opened(
    agreement: Agreement, operation_id: str, fence: int, session: AgreementSession, now: datetime
) -> AgreementPlan | None:
    """A session reached us; one of an older claim is not used."""
    operation = _held(agreement, operation_id, fence)
    if operation is None:
        return None
    change = _Change(agreement, now).to(operation, _O.SUCCEEDED)
    if agreement.state is _L.CREATED:
        change.move(
            _L.AWAITING_PAYER,
            gateway_reference=session.gateway_reference,
            checkout_url=session.checkout_url,
            expires_at=session.expires_at,
        )
    return change.plan()


def plan_agreed_lost(
    agreement: Agreement, operation_id: str, fence: int, now: datetime
) -> AgreementPlan | None:
    """What became of a submission is not known. Asking for a session lets nothing hold: that is simply done anew."""
    operation = _held(agreement, operation_id, fence)
    if operation is None:
        return None
    asked = operation_id not in (execute_id(agreement.agreement_key), cancel_id(agreement.agreement_key))
    state = _O.RESERVED if asked else _O.UNKNOWN
    moved = (
        operation if operation.send_by is None else replace(operation, send_by=max(operation.send_by, now))
    )
    return _Change(agreement, now).to(moved, state).plan()


def plan_agreed_unsent(
    agreement: Agreement, operation_id: str, fence: int, now: datetime
) -> AgreementPlan | None:
    """Proven without effect: it may be submitted again."""
    operation = _held(agreement, operation_id, fence)
    return None if operation is None else _Change(agreement, now).to(operation, _O.RESERVED).plan()


def plan_agreed_refused(
    agreement: Agreement, operation_id: str, fence: int, reason: Reason, *, final: bool, now: datetime
) -> AgreementPlan | None:
    """The gateway said no, under the latest fence. Final, of asking or executing: the agreement was never given."""
    operation = _held(agreement, operation_id, fence)
    if operation is None:
        return None
    change = _Change(agreement, now).to(operation, _O.DECLINED if final else _O.RESERVED, reason=reason)
    ended = operation_id == cancel_id(agreement.agreement_key)
    if final and not ended and agreement.state in (_L.CREATED, _L.AWAITING_PAYER):
        change.move(_L.CLOSED)
    return change.plan()


def plan_agreed_seen(
    agreement: Agreement,
    snapshot: AgreementSnapshot,
    asked_at: datetime,
    settle_s: int,
    now: datetime,
    *,
    absence_is_proof: bool,
) -> AgreementPlan | None:
    """What the gateway shows of an agreement, whoever asked.

    A subscription's execute is a look itself, and its payer's last click makes it hold: what the gateway calls over is.
    """
    execute = agreement.operation(execute_id(agreement.agreement_key))
    cancel = agreement.operation(cancel_id(agreement.agreement_key))
    if _of_another(agreement, snapshot):
        return None
    change = _Change(agreement, now)
    over = absence_is_proof and execute is not None and claim_is_over(execute, settle_s, asked_at)
    unanswered = execute is not None and execute.state in (_O.SUBMITTING, _O.UNKNOWN)
    if snapshot.state is AgreementState.ACTIVE and agreement.state is not _L.ENDED:
        _holds(change, snapshot, execute)
        if (
            cancel is not None
            and cancel.state in (_O.SUBMITTING, _O.UNKNOWN)
            and asked_at > cancel.updated_at
        ):
            change.to(cancel, _O.RESERVED)  # ending it twice is the same as once
    elif snapshot.state is AgreementState.CANCELLED and agreement.state is _L.ACTIVE:
        _ended(change, cancel, snapshot.ended_by)
    elif snapshot.state is AgreementState.CANCELLED and agreement.terms is not None:
        if agreement.state in (_L.CREATED, _L.AWAITING_PAYER):
            _never_given(change, Reason(code=snapshot.ended_by or ReasonCode.INVALID_AGREEMENT))
    elif snapshot.state is AgreementState.CANCELLED and execute is not None and unanswered and over:
        reason = Reason(code=ReasonCode.INVALID_AGREEMENT, gateway_code=snapshot.raw_state)
        change.to(execute, _O.DECLINED, reason=reason)
        change.move(_L.CLOSED)
    elif snapshot.state is AgreementState.INITIATED and execute is not None and unanswered and over:
        change.to(execute, _O.RESERVED)
    return change.plan() if change.changed else None


def plan_consent_elsewhere(
    agreement: Agreement, snapshot: AgreementSnapshot, now: datetime
) -> AgreementPlan | None:
    """The payer consented on a page whose address never reached us: it is that one which holds from now on."""
    waiting = agreement.state in (_L.CREATED, _L.AWAITING_PAYER, _L.CLOSED)
    if snapshot.state is not AgreementState.ACTIVE or not waiting or agreement.terms is None:
        return None
    if snapshot.agreement_id is None:
        return None
    change = _Change(agreement, now)
    own = (execute_id(agreement.agreement_key), cancel_id(agreement.agreement_key))
    for operation in agreement.operations:
        if operation.operation_id not in own and operation.state is _O.RESERVED:
            change.to(operation, _O.CANCELLED)  # there is nothing to ask for any more
    change.agreement = replace(change.agreement, gateway_reference=snapshot.gateway_reference)
    _holds(change, snapshot, agreement.operation(execute_id(agreement.agreement_key)))
    return change.plan()


def _of_another(agreement: Agreement, snapshot: AgreementSnapshot) -> bool:
    """An answer about somebody else's agreement says nothing about ours."""
    known = (
        (agreement.agreement_id, snapshot.agreement_id),
        (agreement.gateway_reference, snapshot.gateway_reference),
    )
    return any(ours is not None and theirs is not None and ours != theirs for ours, theirs in known)


def _holds(change: "_Change", snapshot: AgreementSnapshot, execute: Operation | None) -> None:
    if execute is not None and execute.state is not _O.SUCCEEDED:
        change.to(execute, _O.SUCCEEDED, reason=None)
    waiting = change.agreement.state in (_L.CREATED, _L.AWAITING_PAYER, _L.CLOSED)
    if waiting and snapshot.agreement_id is not None:
        before = change.agreement.state
        change.move(_L.ACTIVE, agreement_id=snapshot.agreement_id, payer_account=snapshot.payer_account)
        change.announce(EventKind.AGREEMENT_ACTIVE, before, execute)


def _ended(change: "_Change", cancel: Operation | None, why: ReasonCode | None) -> None:
    if cancel is not None and cancel.state is not _O.SUCCEEDED:
        change.to(cancel, _O.SUCCEEDED, reason=None)
    change.move(_L.ENDED)
    change.announce(EventKind.AGREEMENT_ENDED, _L.ACTIVE, cancel, why=why)


def _never_given(change: "_Change", reason: Reason) -> None:
    """A subscription is over before it held. What is on its way settles itself."""
    before = change.agreement.state
    for operation in change.agreement.operations:
        if operation.state is _O.RESERVED:
            change.to(operation, _O.CANCELLED, reason=reason)
        elif operation.state is _O.UNKNOWN:
            change.to(operation, _O.DECLINED, reason=reason)
    change.move(_L.CLOSED)
    change.announce(EventKind.AGREEMENT_CLOSED, before, None, why=reason.code)


def plan_consent_over(agreement: Agreement, now: datetime) -> AgreementPlan | None:
    """Give up an agreement that was never given: the right to execute it is withdrawn. None while anything is out."""
    waiting = agreement.state in (_L.CREATED, _L.AWAITING_PAYER)
    if not waiting or any(o.state in OPEN_STATES for o in agreement.operations):
        return None
    change = _Change(agreement, now)
    if agreement.terms is not None:
        _never_given(change, Reason(code=ReasonCode.PAYMENT_EXPIRED))
        return change.plan()
    for operation in agreement.operations:
        if operation.state is _O.RESERVED:
            change.to(operation, _O.CANCELLED, reason=Reason(code=ReasonCode.PAYMENT_EXPIRED))
    change.move(_L.CLOSED)
    return change.plan()


def plan_collection_failed(
    agreement: Agreement, event_id: str, amount: Money | None, raw_state: str, now: datetime
) -> AgreementPlan:
    """The gateway tried to collect and got nothing: news, and nothing else. `event_id` makes it one piece of news."""
    change = _Change(agreement, now)
    change.announce(
        EventKind.COLLECTION_FAILED, agreement.state, None, amount=amount, after=raw_state, seed=event_id
    )
    return change.plan()


def _held(agreement: Agreement, operation_id: str, fence: int) -> Operation | None:
    operation = agreement.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not _O.SUBMITTING:
        return None
    return operation


def _operation(agreement: Agreement, operation_id: str, digest: str, now: datetime) -> Operation:
    return Operation(
        tenant=agreement.tenant,
        operation_id=operation_id,
        kind=OperationKind.AGREEMENT,
        subject_kind=SubjectKind.AGREEMENT,
        subject_id=agreement.agreement_key,
        payment_id=agreement.agreement_key,
        submission_no=1,
        digest=digest,
        state=_O.RESERVED,
        created_at=now,
        updated_at=now,
    )


class _Change:
    """Collects what one transaction changes on one agreement."""

    def __init__(self, agreement: Agreement, now: datetime) -> None:
        self._before = agreement
        self._now = now
        self._outbox: list[OutboxRow] = []
        self.agreement = replace(agreement, version=agreement.version + 1, updated_at=now)
        self.changed = False

    def put(self, operation: Operation) -> "_Change":
        """Write an operation as it is."""
        others = tuple(o for o in self.agreement.operations if o.operation_id != operation.operation_id)
        self.agreement = replace(self.agreement, operations=(*others, operation))
        self.changed = True
        return self

    def to(self, operation: Operation, state: OperationState, **changes: Any) -> "_Change":
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
        before: AgreementLife,
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

    def plan(self) -> AgreementPlan:
        """The plan."""
        return AgreementPlan(
            agreement=self.agreement,
            expected_version=self._before.version,
            outbox=tuple(self._outbox),
            watch_at=watch_agreement_after(self.agreement, self._now),
        )

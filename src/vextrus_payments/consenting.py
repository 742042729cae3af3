"""Plan functions for agreements: a payer's consent is asked for, made to hold, looked at, ended. No money moves here.

As for payments: intent before I/O, one claim at a time by compare-and-set, unknown is a state, and what allows another
send counts only from the holder of the latest fence or from a look-up that proves it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import JsonValue

from vextrus_payments.consent_change import Change, new_operation
from vextrus_payments.consent_pages import cancel_id, execute_id
from vextrus_payments.events import EventKind
from vextrus_payments.mode import Mode
from vextrus_payments.payment import ConsentRequest, Evidence
from vextrus_payments.plans import AgreementPlan, ClaimTerms
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    AGREEMENT_TERMS,
    Agreement,
    AgreementLife,
    Attempt,
    Operation,
    OperationState,
)
from vextrus_payments.snapshots import AgreementSession, AgreementSnapshot, AgreementState
from vextrus_payments.states import OPEN_STATES, SETTLED_STATES, claim_is_over

_L = AgreementLife
_O = OperationState


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
    operation = new_operation(agreement, request.operation_id, request.digest(), now)
    if terms is not None:
        kept = {"terms": dict(terms), "merchant_reference": request.merchant_reference}
        operation = replace(operation, evidence=(Evidence(AGREEMENT_TERMS, kept),))
    return Change(agreement, now).put(operation).plan()


def plan_reserve_agreed(agreement: Agreement, operation_id: str, digest: str, now: datetime) -> AgreementPlan:
    """One more operation on an agreement, reserved."""
    return Change(agreement, now).put(new_operation(agreement, operation_id, digest, now)).plan()


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
    plan = replace(Change(agreement, now).to(claimed, _O.SUBMITTING).plan(), attempts=(attempt,))
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
    change = Change(agreement, now).to(operation, _O.SUCCEEDED)
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
    return Change(agreement, now).to(moved, state).plan()


def plan_agreed_unsent(
    agreement: Agreement, operation_id: str, fence: int, now: datetime
) -> AgreementPlan | None:
    """Proven without effect: it may be submitted again."""
    operation = _held(agreement, operation_id, fence)
    return None if operation is None else Change(agreement, now).to(operation, _O.RESERVED).plan()


def plan_agreed_refused(
    agreement: Agreement, operation_id: str, fence: int, reason: Reason, *, final: bool, now: datetime
) -> AgreementPlan | None:
    """The gateway said no, under the latest fence. Final, of asking or executing: the agreement was never given.

    A subscription's execute is a look, and its no may come after the payer had consented, had paid, and had taken it
    back: only the look that shows by which id to read what was collected may close it.
    """
    operation = _held(agreement, operation_id, fence)
    if operation is None:
        return None
    final = final and not (agreement.terms and operation_id == execute_id(agreement.agreement_key))
    change = Change(agreement, now).to(operation, _O.DECLINED if final else _O.RESERVED, reason=reason)
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
    change = Change(agreement, now)
    # A subscription's execute lets nothing hold: one that its process left behind is over, whatever a look-up proves.
    proven = absence_is_proof or agreement.terms is not None
    over = proven and execute is not None and claim_is_over(execute, settle_s, asked_at)
    unanswered = execute is not None and execute.state in (_O.SUBMITTING, _O.UNKNOWN)
    if snapshot.state is AgreementState.ACTIVE and agreement.state is not _L.ENDED:
        change.holds(snapshot, execute)
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
            # He may have consented before he took it back: what was collected until then is read by the gateway's id.
            change.agreement = replace(change.agreement, agreement_id=snapshot.agreement_id)
            _never_given(change, Reason(code=snapshot.ended_by or ReasonCode.INVALID_AGREEMENT))
        left = change.agreement.operation(execute_id(agreement.agreement_key))
        if left is not None and left.state is _O.SUBMITTING and over:
            change.to(left, _O.DECLINED, reason=Reason(code=ReasonCode.INVALID_AGREEMENT))
    elif snapshot.state is AgreementState.CANCELLED and execute is not None and unanswered and over:
        reason = Reason(code=ReasonCode.INVALID_AGREEMENT, gateway_code=snapshot.raw_state)
        change.to(execute, _O.DECLINED, reason=reason)
        change.move(_L.CLOSED)
    elif snapshot.state is AgreementState.INITIATED and execute is not None and unanswered and over:
        change.to(execute, _O.RESERVED)
    return change.plan() if change.changed else None


def _of_another(agreement: Agreement, snapshot: AgreementSnapshot) -> bool:
    """An answer about somebody else's agreement says nothing about ours."""
    known = (
        (agreement.agreement_id, snapshot.agreement_id),
        (agreement.gateway_reference, snapshot.gateway_reference),
    )
    return any(ours is not None and theirs is not None and ours != theirs for ours, theirs in known)


def _ended(change: Change, cancel: Operation | None, why: ReasonCode | None) -> None:
    if cancel is not None and cancel.state is not _O.SUCCEEDED:
        change.to(cancel, _O.SUCCEEDED, reason=None)
    change.move(_L.ENDED)
    change.announce(EventKind.AGREEMENT_ENDED, _L.ACTIVE, cancel, why=why)


def _never_given(change: Change, reason: Reason) -> None:
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
    change = Change(agreement, now)
    if agreement.terms is not None:
        _never_given(change, Reason(code=ReasonCode.PAYMENT_EXPIRED))
        return change.plan()
    for operation in agreement.operations:
        if operation.state is _O.RESERVED:
            change.to(operation, _O.CANCELLED, reason=Reason(code=ReasonCode.PAYMENT_EXPIRED))
    change.move(_L.CLOSED)
    return change.plan()


def _held(agreement: Agreement, operation_id: str, fence: int) -> Operation | None:
    operation = agreement.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not _O.SUBMITTING:
        return None
    return operation

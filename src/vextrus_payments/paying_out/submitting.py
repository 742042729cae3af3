"""From the intent to what the gateway shows: reserve, claim, checkpoint, and every way in which a send can end."""

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.errors import StaleStateError
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.paying_out.change import Change, confirmed, declined, is_only_said, receipt_of, unknown
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import (
    PayoutKind,
    PayoutRequest,
    PayoutSnapshot,
    PayoutState,
    TransferRequest,
)
from vextrus_payments.plans import ClaimTerms, PayoutPlan
from vextrus_payments.reasons import Reason
from vextrus_payments.records import (
    PAYOUT_CONTRADICTED,
    Attempt,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    Payout,
    Receipt,
    SubjectKind,
)
from vextrus_payments.states import claim_is_over

_O = OperationState
#: States in which the shop was told that nothing left, for good.
_CALLED_NOT_MADE: Final = frozenset({_O.DECLINED, _O.CANCELLED})


@dataclass(frozen=True, slots=True)
class PayoutClaim:
    """The right to send one payout, until `send_by` on the store's clock."""

    tenant: str
    operation_id: str
    payment_id: str
    """The payout's id: whose rows the operation stands among."""
    fence: int
    send_by: datetime
    payout: Payout


@dataclass(frozen=True, slots=True)
class NoPayoutClaim:
    """Why there is none now. `busy_for_s`: somebody else has it; None: it is settled, or nobody knows."""

    payout: Payout
    busy_for_s: int | None = None


def plan_payout(
    tenant: str, payout_id: str, mode: Mode, request: PayoutRequest | TransferRequest, now: datetime
) -> PayoutPlan:
    """A new payout or transfer, reserved."""
    is_transfer = isinstance(request, TransferRequest)
    operation = Operation(
        tenant=tenant,
        operation_id=request.operation_id,
        kind=OperationKind.TRANSFER if is_transfer else OperationKind.PAYOUT,
        subject_kind=SubjectKind.TRANSFER if is_transfer else SubjectKind.PAYOUT,
        subject_id=payout_id,
        payment_id=payout_id,
        submission_no=1,
        digest=request.digest(),
        state=_O.RESERVED,
        created_at=now,
        updated_at=now,
        amount=request.amount,
    )
    payout = Payout(
        tenant=tenant,
        payout_id=payout_id,
        gateway=request.gateway,
        mode=mode,
        kind=PayoutKind.TRANSFER if isinstance(request, TransferRequest) else request.kind,
        amount=request.amount,
        reference=request.reference,
        operation=operation,
        created_at=now,
        updated_at=now,
        version=0,
        receiver=None if isinstance(request, TransferRequest) else request.receiver,
        direction=request.direction if isinstance(request, TransferRequest) else None,
        correlation_id=request.correlation_id,
        metadata=request.metadata,
    )
    return Change(payout, now).plan()


def plan_claim_payout(
    payout: Payout, terms: ClaimTerms, now: datetime
) -> tuple[PayoutPlan | None, PayoutClaim | NoPayoutClaim]:
    """Take the right to send a reserved payout. The commit's compare-and-set decides a race."""
    operation = payout.operation
    if operation.state is _O.SUBMITTING and not claim_is_over(operation, terms.settle_s, now):
        assert operation.send_by is not None, "a claim has a deadline"
        over_at = operation.send_by + timedelta(seconds=terms.settle_s)
        return None, NoPayoutClaim(payout, max(1, math.ceil((over_at - now).total_seconds())))
    if operation.state is not _O.RESERVED:
        return None, NoPayoutClaim(payout)
    send_by = now + timedelta(seconds=terms.send_window_s)
    # The evidence is this claim's own: that there is none will be proof that nothing left under it.
    claimed = replace(operation, fence=operation.fence + 1, send_by=send_by, reason=None, evidence=())
    attempt = Attempt(
        tenant=payout.tenant,
        operation_id=operation.operation_id,
        payment_id=payout.payout_id,
        fence=claimed.fence,
        started_at=now,
        send_by=send_by,
        amount=payout.amount,
    )
    change = Change(payout, now)
    change.to(_O.SUBMITTING, claimed)
    plan = replace(change.plan(), attempts=(attempt,))
    claim = PayoutClaim(
        payout.tenant, operation.operation_id, payout.payout_id, claimed.fence, send_by, plan.payout
    )
    return plan, claim


def plan_payout_checkpoint(payout: Payout, fence: int, evidence: Evidence, now: datetime) -> PayoutPlan:
    """Keep what has to be known before the money call, under the claim's fence.

    Raises:
        StaleStateError: the claim is no longer the one that may send; nothing may leave under it.
    """
    operation = payout.operation
    if operation.fence != fence or operation.state is not _O.SUBMITTING:
        raise StaleStateError(
            "The claim is no longer the one that may send: its evidence was not kept, and nothing was sent."
        )
    change = Change(payout, now)
    change.keep(evidence)
    return change.plan()


def plan_payout_unsent(payout: Payout, fence: int, now: datetime) -> PayoutPlan | None:
    """Proven without effect by whoever held the latest claim: a later call may send it."""
    if not _is_held(payout, fence):
        return None
    change = Change(payout, now)
    change.to(_O.RESERVED)
    return change.plan()


def plan_payout_declined(payout: Payout, fence: int, reason: Reason, now: datetime) -> PayoutPlan | None:
    """The gateway's final no, under the latest fence."""
    if not _is_held(payout, fence):
        return None
    return declined(Change(payout, now), reason).plan()


def plan_payout_lost(payout: Payout, fence: int, now: datetime) -> PayoutPlan | None:
    """Nobody knows what became of the one send."""
    if not _is_held(payout, fence) or payout.state is _O.UNKNOWN:
        return None
    return unknown(Change(payout, now)).plan()


def plan_payout_abandoned(payout: Payout, settle_s: int, now: datetime) -> PayoutPlan | None:
    """Its process died over it. Without a checkpoint nothing left; with one, nobody knows."""
    operation = payout.operation
    if operation.state is not _O.SUBMITTING or not claim_is_over(operation, settle_s, now):
        return None
    change = Change(payout, now)
    if operation.evidence:
        return unknown(change).plan()
    change.to(_O.RESERVED)
    return change.plan()


def plan_payout_doubted(payout: Payout, now: datetime) -> PayoutPlan | None:
    """The store was restored from a backup: what it calls not sent may have been sent since."""
    if payout.state not in (_O.RESERVED, _O.SUBMITTING):
        return None
    return unknown(Change(payout, now)).plan()


def plan_payout_seen(
    payout: Payout, snapshot: PayoutSnapshot, now: datetime, accounts: AccountMap = DEFAULT_ACCOUNTS
) -> PayoutPlan | None:
    """The gateway shows it, whoever asked and whatever was believed. None: it teaches nothing."""
    amount = payout.amount if snapshot.amount is None else snapshot.amount
    if snapshot.state is PayoutState.COMPLETED and snapshot.transaction_id and amount.is_positive:
        return _made(payout, snapshot, amount, now, accounts)
    if snapshot.state is PayoutState.PENDING and payout.state in (_O.SUBMITTING, _O.UNKNOWN):
        change = Change(payout, now)
        change.to(_O.PENDING)
        return change.plan()
    return None


def _is_held(payout: Payout, fence: int) -> bool:
    """Whether this is the latest claim's own word. Others may have called it unknown meanwhile; its holder knows."""
    operation = payout.operation
    if payout.contradicted:
        return False  # the gateway says that money left: nobody's word allows another send
    return operation.fence == fence and operation.state in (_O.SUBMITTING, _O.UNKNOWN)


def _made(
    payout: Payout, snapshot: PayoutSnapshot, amount: Money, now: datetime, accounts: AccountMap
) -> PayoutPlan | None:
    assert snapshot.transaction_id is not None, "the caller asked"
    standing = payout.standing
    known = next(
        (r for r in (*standing, *payout.receipts) if r.transaction_id == snapshot.transaction_id), None
    )
    if known is not None:
        return _known(payout, known, snapshot.amount, now)
    change = Change(payout, now)
    receipt = replace(
        receipt_of(payout, snapshot.transaction_id, amount, now),
        occurred_at=snapshot.occurred_at,
        fee=snapshot.fee if snapshot.fee is not None and snapshot.fee.is_positive else None,
    )
    for known in standing:
        if is_only_said(payout, known):
            # The gateway's word outranks an operator's: what he had booked is taken back, then booked anew.
            change.take_back(known, accounts)
    if change.payout.standing:
        # Money left a second time under one payout. It did, so it is booked; it was not asked, so a person decides.
        receipt = replace(receipt, flags=frozenset({Flag.DUPLICATE}), mismatched=True)
    elif payout.state in _CALLED_NOT_MADE:
        # Whoever was told so may have paid again: a person has to find out, and says where it belongs.
        receipt = replace(receipt, flags=frozenset({Flag.LATE}), mismatched=True)
    change.succeed(receipt, accounts, reviewed=bool(standing))
    return change.plan()


def _known(payout: Payout, known: Receipt, amount: Money | None, now: datetime) -> PayoutPlan | None:
    """The gateway names a transaction that the books have. None: it stands there as told.

    Else an operator was wrong about its amount, or it was taken back although it moved money: the same fact cannot be
    booked twice, so a person decides.
    """
    if known in payout.standing and amount in (None, known.amount):
        if not is_only_said(payout, known):
            return None
        # From here on it is the gateway's word too: another transaction is a second one, and takes not its place.
        change = Change(payout, now)
        change.keep(confirmed(known))
        return change.plan()
    shown = None if amount is None else amount.amount_minor
    told = Evidence(PAYOUT_CONTRADICTED, {"transaction_id": known.transaction_id, "amount_minor": shown})
    if told in payout.operation.evidence:
        return None
    change = Change(payout, now)
    change.keep(told)
    change.announce(
        EventKind.PAYOUT_REVIEW, before=payout.state, amount=amount, transaction_id=known.transaction_id
    )
    return change.plan()

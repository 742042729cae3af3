"""Plan functions for money that leaves: payouts, and transfers between the merchant's own accounts.

A gateway that knows no idempotency key and cannot be asked about a payout leaves no way back from a lost answer. So:

- the intent is durable before a byte leaves, and only one claim at a time may send, until its `send_by`;
- a claim makes a checkpoint before the money call: a claim that is over without one is proof that nothing left, and
  with one it is unknown, whoever asks and however long ago it was;
- unknown is left by the gateway's own word or by an operator's answer, which the gateway's outranks. What a balance
  shows is no proof: others pay out too, and money comes in. Time proves nothing either. Nothing is sent again.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap, payout_entries
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.outcomes import (
    Declined,
    PayoutOutcome,
    Pending,
    Review,
    Sent,
    TransferOutcome,
    Transferred,
    Unknown,
)
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import (
    PayoutKind,
    PayoutRequest,
    PayoutSnapshot,
    PayoutState,
    TransferDirection,
    TransferRequest,
)
from vextrus_payments.plans import ClaimTerms, PayoutPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Attempt,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payout,
    Receipt,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
    SubjectKind,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import OPEN_STATES, check_operation_edge, claim_is_over
from vextrus_payments.watching import watch_payout_after

_O = OperationState
_BY_OPERATOR: Final = frozenset({Flag.BY_OPERATOR})
_RECEIPT_KINDS: Final = {
    TransferDirection.TO_DISBURSEMENT: ReceiptKind.TRANSFER,
    TransferDirection.TO_COLLECTION: ReceiptKind.TRANSFER_BACK,
}


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
    return _Change(payout, now).plan()


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
    change = _Change(payout, now)
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
    change = _Change(payout, now)
    change.put(replace(operation, evidence=(*operation.evidence, evidence), updated_at=now))
    return change.plan()


def plan_payout_unsent(payout: Payout, fence: int, now: datetime) -> PayoutPlan | None:
    """Proven without effect by whoever held the latest claim: a later call may send it."""
    if not _is_held(payout, fence):
        return None
    change = _Change(payout, now)
    change.to(_O.RESERVED)
    return change.plan()


def plan_payout_declined(payout: Payout, fence: int, reason: Reason, now: datetime) -> PayoutPlan | None:
    """The gateway's final no, under the latest fence."""
    if not _is_held(payout, fence):
        return None
    return _declined(_Change(payout, now), reason).plan()


def plan_payout_lost(payout: Payout, fence: int, now: datetime) -> PayoutPlan | None:
    """Nobody knows what became of the one send."""
    if not _is_held(payout, fence) or payout.state is _O.UNKNOWN:
        return None
    return _unknown(_Change(payout, now)).plan()


def plan_payout_abandoned(payout: Payout, settle_s: int, now: datetime) -> PayoutPlan | None:
    """Its process died over it. Without a checkpoint nothing left; with one, nobody knows."""
    operation = payout.operation
    if operation.state is not _O.SUBMITTING or not claim_is_over(operation, settle_s, now):
        return None
    change = _Change(payout, now)
    if operation.evidence:
        return _unknown(change).plan()
    change.to(_O.RESERVED)
    return change.plan()


def plan_payout_doubted(payout: Payout, now: datetime) -> PayoutPlan | None:
    """The store was restored from a backup: what it calls not sent may have been sent since."""
    if payout.state not in (_O.RESERVED, _O.SUBMITTING):
        return None
    return _unknown(_Change(payout, now)).plan()


def plan_payout_seen(
    payout: Payout, snapshot: PayoutSnapshot, now: datetime, accounts: AccountMap = DEFAULT_ACCOUNTS
) -> PayoutPlan | None:
    """The gateway shows it, whoever asked and whatever was believed. None: it teaches nothing."""
    amount = payout.amount if snapshot.amount is None else snapshot.amount
    if snapshot.state is PayoutState.COMPLETED and snapshot.transaction_id and amount.is_positive:
        return _made(payout, snapshot, amount, now, accounts)
    if snapshot.state is PayoutState.PENDING and payout.state in (_O.SUBMITTING, _O.UNKNOWN):
        change = _Change(payout, now)
        change.to(_O.PENDING)
        return change.plan()
    return None


def plan_resolve_payout(
    payout: Payout,
    wanted: ResolveRequest,
    settle_s: int,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> PayoutPlan:
    """Write an operator's answer down, with what follows from it.

    Raises:
        StaleStateError: the payout is not the one that was reviewed any more.
        ConflictError: there is nothing to answer, or the gateway may still be at work.
        InvalidRequestError: the answer does not fit what it is about.
    """
    operation = payout.operation
    if payout.version != wanted.reviewed_version:
        raise StaleStateError(
            f"The payout was reviewed at version {wanted.reviewed_version} and is at {payout.version} now."
        )
    if wanted.operation_id != operation.operation_id:
        raise InvalidRequestError(
            "A payout has one operation, and this is not its id.",
            field="operation_id",
            rule="the payout's operation id",
        )
    if operation.state not in OPEN_STATES:
        raise ConflictError(
            f"The payout is {operation.state.value}: there is nothing to answer.",
            code="not_open",
            next_step="Read its state.",
        )
    if operation.send_by is not None and not claim_is_over(operation, settle_s, now):
        raise ConflictError(
            "The gateway may still be at work on it: an answer now could be wrong in a moment.",
            code="still_at_work",
            next_step=f"Wait until {settle_s} seconds after it could last be sent, then answer.",
        )
    resolution = Resolution(
        verdict=wanted.verdict,
        actor=wanted.actor,
        reason=wanted.reason,
        evidence=wanted.evidence,
        reviewed_version=wanted.reviewed_version,
        at=now,
        operation_id=wanted.operation_id,
        transaction_id=wanted.transaction_id,
        amount=wanted.amount,
    )
    change = _Change(payout, now)
    change.payout = replace(change.payout, resolutions=(*payout.resolutions, resolution))
    if wanted.verdict is ResolutionVerdict.MADE:
        transaction_id, amount = _said(payout, wanted)
        receipt = _receipt(payout, transaction_id, amount, now, flags=_BY_OPERATOR)
        change.succeed(receipt, accounts)
    else:
        _declined(change, Reason(code=ReasonCode.UNKNOWN_ERROR))
    change.announce(
        EventKind.RESOLVED,
        before=operation.state,
        amount=wanted.amount,
        transaction_id=wanted.transaction_id,
        resolution=resolution,
    )
    return change.plan()


def plan_withdraw_payout(payout: Payout, now: datetime) -> PayoutPlan | None:
    """Cancel what was never let out. None: it is cancelled already.

    Raises:
        ConflictError: it was let out, if only to no effect.
    """
    if payout.state is _O.CANCELLED:
        return None
    if payout.state is not _O.RESERVED:
        raise ConflictError(
            f"The payout is {payout.state.value} and has been let out: it cannot be withdrawn.",
            code="let_out",
            next_step="See its status.",
        )
    change = _Change(payout, now)
    change.to(_O.CANCELLED, replace(payout.operation, reason=Reason(code=ReasonCode.PAYMENT_CANCELLED)))
    return change.plan()


def payout_outcome_of(payout: Payout) -> PayoutOutcome:
    """The public outcome of a payout, from its record alone."""
    receipt = _plainly_made(payout)
    if receipt is not None:
        return Sent(
            payout_id=payout.payout_id,
            operation_id=payout.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
            fee=receipt.fee,
            sent_at=receipt.occurred_at,
        )
    return _other_outcome(payout)


def transfer_outcome_of(payout: Payout) -> TransferOutcome:
    """The public outcome of a transfer, from its record alone."""
    receipt = _plainly_made(payout)
    if receipt is not None:
        return Transferred(
            payout_id=payout.payout_id,
            operation_id=payout.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
            made_at=receipt.occurred_at,
        )
    return _other_outcome(payout)


def _other_outcome(payout: Payout) -> Pending | Declined | Unknown | Review:
    payout_id, operation_id, state = payout.payout_id, payout.operation_id, payout.state
    if state is _O.SUCCEEDED:
        odd = next((r for r in payout.standing if r.mismatched), None)
        return Review(
            payment_id=payout_id,
            what="Money left, but not as it was asked: what is too much is booked to suspense; a person has to look.",
            amount=None if odd is None else odd.amount,
            transaction_id=None if odd is None else odd.transaction_id,
        )
    if state in (_O.DECLINED, _O.CANCELLED):
        code = ReasonCode.PAYMENT_CANCELLED if state is _O.CANCELLED else ReasonCode.UNKNOWN_ERROR
        reason = payout.operation.reason or Reason(code=code)
        return Declined(payment_id=payout_id, operation_id=operation_id, reason=reason)
    if state is _O.UNKNOWN:
        since = payout.operation.updated_at
        return Unknown(payment_id=payout_id, operation_id=operation_id, since=since)
    return Pending(payment_id=payout_id, operation_id=operation_id, sent=state in OPEN_STATES)


def _plainly_made(payout: Payout) -> Receipt | None:
    """The one receipt of a payout that was made exactly as asked."""
    standing = payout.standing
    exact = payout.state is _O.SUCCEEDED and len(standing) == 1 and not standing[0].mismatched
    return standing[0] if exact else None


# --- within -------------------------------------------------------------------------------------------------------


def _is_held(payout: Payout, fence: int) -> bool:
    """Whether this is the latest claim's own word. Others may have called it unknown meanwhile; its holder knows."""
    operation = payout.operation
    return operation.fence == fence and operation.state in (_O.SUBMITTING, _O.UNKNOWN)


def _unknown(change: "_Change") -> "_Change":
    before = change.payout.operation
    # From now on, whatever the clocks say: the gateway may have begun a moment ago.
    change.to(_O.UNKNOWN, replace(before, send_by=max(before.send_by or change.now, change.now)))
    change.announce(EventKind.PAYOUT_UNKNOWN, before=before.state, amount=change.payout.amount)
    return change


def _declined(change: "_Change", reason: Reason) -> "_Change":
    payout, before = change.payout, change.payout.operation
    change.to(_O.DECLINED, replace(before, reason=reason))
    is_transfer = payout.kind is PayoutKind.TRANSFER
    kind = EventKind.TRANSFER_DECLINED if is_transfer else EventKind.PAYOUT_DECLINED
    change.announce(kind, before=before.state, amount=payout.amount, reason=reason)
    return change


def _made(
    payout: Payout, snapshot: PayoutSnapshot, amount: Money, now: datetime, accounts: AccountMap
) -> PayoutPlan | None:
    assert snapshot.transaction_id is not None, "the caller asked"
    if any(receipt.transaction_id == snapshot.transaction_id for receipt in payout.receipts):
        return None  # booked already, or taken back once: the same fact cannot be booked twice
    change = _Change(payout, now)
    receipt = replace(
        _receipt(payout, snapshot.transaction_id, amount, now),
        occurred_at=snapshot.occurred_at,
        fee=snapshot.fee if snapshot.fee is not None and snapshot.fee.is_positive else None,
    )
    standing = payout.standing
    for known in standing:
        if Flag.BY_OPERATOR in known.flags:
            # The gateway's word outranks an operator's: what he had booked is taken back, then booked anew.
            change.take_back(known, accounts)
    if change.payout.standing:
        # Money left a second time under one payout. It did, so it is booked; it was not asked, so a person decides.
        receipt = replace(receipt, flags=frozenset({Flag.DUPLICATE}), mismatched=True)
    change.succeed(receipt, accounts, reviewed=bool(standing))
    return change.plan()


def _said(payout: Payout, wanted: ResolveRequest) -> tuple[str, Money]:
    if wanted.transaction_id is None or wanted.amount is None:
        raise InvalidRequestError(
            "What was made has a transaction id and an amount.",
            field="transaction_id",
            rule="with made: the gateway's transaction id, and amount",
        )
    if wanted.amount.currency != payout.amount.currency:
        raise InvalidRequestError(
            f"The payout is in {payout.amount.currency}.", field="amount", rule="the payout's currency"
        )
    return wanted.transaction_id, wanted.amount


def _receipt(
    payout: Payout,
    transaction_id: str,
    amount: Money,
    now: datetime,
    *,
    flags: frozenset[Flag] = frozenset(),
) -> Receipt:
    kind = ReceiptKind.PAYOUT if payout.direction is None else _RECEIPT_KINDS[payout.direction]
    return Receipt(
        tenant=payout.tenant,
        gateway=payout.gateway,
        mode=payout.mode,
        kind=kind,
        transaction_id=transaction_id,
        amount=amount,
        recorded_at=now,
        payment_id=None,
        operation_id=payout.operation_id,
        merchant_reference=payout.reference,
        flags=flags,
        mismatched=amount != payout.amount,
    )


class _Change:
    """Collects what one transaction changes on one payout, with the entries and the news that go with it."""

    def __init__(self, payout: Payout, now: datetime) -> None:
        self._before = payout
        self.now = now
        self._outbox: list[OutboxRow] = []
        self._receipts: list[Receipt] = []
        self._events = 0
        self.payout = replace(payout, version=payout.version + 1, updated_at=now)

    def put(self, operation: Operation) -> None:
        """Write the operation as it is."""
        self.payout = replace(self.payout, operation=operation)

    def to(self, state: OperationState, operation: Operation | None = None) -> None:
        """Put the operation (or this, made of it) into a state, over an edge of the table."""
        check_operation_edge(self.payout.operation.state, state)
        self.put(replace(operation or self.payout.operation, state=state, updated_at=self.now))

    def succeed(self, receipt: Receipt, accounts: AccountMap, *, reviewed: bool = False) -> None:
        """Book it, and settle the operation: the gateway's confirmation outranks whatever was believed."""
        before = self.payout.operation
        self.to(_O.SUCCEEDED, replace(before, transaction_id=receipt.transaction_id, reason=None))
        self._book(receipt, accounts)
        made = EventKind.TRANSFER_MADE if self.payout.kind is PayoutKind.TRANSFER else EventKind.PAYOUT_SENT
        kind = EventKind.PAYOUT_REVIEW if receipt.mismatched or reviewed else made
        self.announce(kind, before=before.state, amount=receipt.amount, transaction_id=receipt.transaction_id)

    def take_back(self, receipt: Receipt, accounts: AccountMap) -> None:
        """Take back what was booked on an operator's word: a fact of its own, with exactly opposite entries."""
        back = replace(
            receipt,
            kind=ReceiptKind.REVERSAL,
            reverses=receipt.kind,
            recorded_at=self.now,
            original_transaction_id=receipt.transaction_id,
            occurred_at=None,
        )
        self._book(back, accounts)

    def _book(self, receipt: Receipt, accounts: AccountMap) -> None:
        self._receipts.append(receipt)
        self.payout = replace(self.payout, receipts=(*self.payout.receipts, receipt))
        for entry in payout_entries(receipt, self.payout, accounts):
            self._post(OutboxKind.LEDGER, entry.id, to_json(entry))

    def announce(self, kind: EventKind, *, before: OperationState, **told: Any) -> None:
        """Add an event. Its id is fixed by the payout's version: the same commit, the same event."""
        payout, reason = self.payout, told.pop("reason", None)
        seed = f"{payout.tenant}\x1f{payout.payout_id}\x1f{payout.version}\x1f{self._events}\x1f{kind}"
        self._events += 1
        event = PaymentEvent(
            id=f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}",
            kind=kind,
            tenant=payout.tenant,
            gateway=payout.gateway,
            mode=payout.mode,
            payment_id=None,
            merchant_reference=payout.reference,
            occurred_at=self.now,
            before=before,
            after=payout.state,
            operation_id=payout.operation_id,
            reason_code=reason.code.value if reason else None,
            correlation_id=payout.correlation_id,
            metadata=payout.metadata,
            payout_id=payout.payout_id,
            **told,
        )
        self._post(OutboxKind.EVENT, event.id, to_json(event))

    def _post(self, kind: OutboxKind, row_id: str, document: str) -> None:
        seq = self.payout.outbox_seq + 1
        self.payout = replace(self.payout, outbox_seq=seq)
        self._outbox.append(
            OutboxRow(
                tenant=self.payout.tenant,
                row_id=row_id,
                subject=f"{kind.value}/{self.payout.payout_id}",
                seq=seq,
                kind=kind,
                document=document,
                created_at=self.now,
            )
        )

    def plan(self) -> PayoutPlan:
        """The plan."""
        return PayoutPlan(
            payout=self.payout,
            expected_version=self._before.version,
            receipts=tuple(self._receipts),
            outbox=tuple(self._outbox),
            watch_at=watch_payout_after(self.payout, self.now),
        )

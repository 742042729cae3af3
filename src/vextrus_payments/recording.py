"""Plan functions for evidence: what an answer, a look-up or a lost answer changes, with the entries it books.

Every function returns a Plan, or None when the evidence changes nothing (it was known, or it comes from a fence
that no longer counts). Rules of money 3, 7, 8 and 9 live here.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from vextrus_payments.documents import to_json
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap, entries_for
from vextrus_payments.money import Money
from vextrus_payments.payment import PaymentSession
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKey,
    ReceiptKind,
    Submission,
    SubmissionState,
)
from vextrus_payments.snapshots import (
    Mismatch,
    PaymentSnapshot,
    RefundSnapshot,
    RefundState,
    SnapshotState,
)
from vextrus_payments.states import (
    OPEN_STATES,
    captured,
    check_operation_edge,
    check_payment_edge,
    claim_is_over,
    execute_operation_id,
    has_money,
    payment_receipts,
    refunded,
    reserved_for_refunds,
)
from vextrus_payments.watching import watch_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look-up's or an execute's answer, with what is needed to weigh it."""

    submission_no: int
    snapshot: PaymentSnapshot
    asked_at: datetime
    """When the question left: an absence counts only if asked after the gateway's last possible moment."""
    settle_s: int
    absence_is_proof: bool
    fence: int | None = None
    """Of the claim under which it came; None for a look-up."""


class Draft:
    """Collects the changes of one transaction on one payment."""

    def __init__(self, facts: PaymentFacts, now: datetime, accounts: AccountMap = DEFAULT_ACCOUNTS) -> None:
        self.facts = facts
        self.now = now
        self.accounts = accounts
        self.payment: Payment = facts.payment
        self._submissions: dict[int, Submission] = {}
        self._operations: dict[str, Operation] = {}
        self._receipts: list[Receipt] = []
        self._events: list[PaymentEvent] = []
        self._outbox: list[OutboxRow] = []
        self._guards: dict[str, int] = {}
        self._whole_reference = False

    def guard(self, siblings: tuple[PaymentFacts, ...]) -> None:
        """The plan relies on these siblings being as they were read, and on there being no others."""
        self._whole_reference = True
        for sibling in siblings:
            self._guards[sibling.payment.payment_id] = sibling.payment.version

    def move(self, state: PaymentState, **changes: object) -> None:
        """Put the payment into a state, over an edge of the table."""
        check_payment_edge(self.payment.state, state)
        self.payment = replace(self.payment, state=state, **changes)  # type: ignore[arg-type]

    def flag(self, *flags: Flag) -> None:
        """Add flags to the payment."""
        self.payment = replace(self.payment, flags=self.payment.flags | set(flags))

    def operation(self, operation: Operation, state: OperationState, **changes: object) -> None:
        """Put an operation into a state, over an edge of the table."""
        check_operation_edge(operation.state, state)
        moved = replace(operation, state=state, updated_at=self.now, **changes)  # type: ignore[arg-type]
        self._operations[operation.operation_id] = moved

    def submission(self, submission: Submission) -> None:
        """Write a submission."""
        self._submissions[submission.submission_no] = submission

    def receipt(self, receipt: Receipt) -> None:
        """Add a fact and the entries that book it."""
        self._receipts.append(receipt)
        for entry in entries_for(receipt, self.payment, self.accounts):
            self._post(OutboxKind.LEDGER, entry.id, to_json(entry))

    def announce(
        self,
        kind: EventKind,
        *,
        before: str | None,
        after: str,
        operation_id: str | None = None,
        amount: Money | None = None,
        transaction_id: str | None = None,
        reason: Reason | None = None,
    ) -> None:
        """Add an event. Its id is fixed by the payment's version: the same commit, the same event."""
        payment = self.payment
        seed = (
            f"{payment.tenant}\x1f{payment.payment_id}\x1f{payment.version}\x1f{len(self._events)}\x1f{kind}"
        )
        event = PaymentEvent(
            id=f"evt_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:40]}",
            kind=kind,
            tenant=payment.tenant,
            gateway=payment.gateway,
            mode=payment.mode,
            payment_id=payment.payment_id,
            merchant_reference=payment.merchant_reference,
            occurred_at=self.now,
            before=before,
            after=after,
            operation_id=operation_id,
            amount=amount,
            transaction_id=transaction_id,
            reason_code=reason.code.value if reason else None,
            correlation_id=payment.correlation_id,
            metadata=payment.metadata,
        )
        self._events.append(event)
        self._post(OutboxKind.EVENT, event.id, to_json(event))

    def _post(self, kind: OutboxKind, row_id: str, document: str) -> None:
        seq = self.payment.outbox_seq + 1
        self.payment = replace(self.payment, outbox_seq=seq)
        self._outbox.append(
            OutboxRow(
                tenant=self.payment.tenant,
                row_id=row_id,
                # Ledger and news keep their own order: a parked entry never silences the shop.
                subject=f"{kind.value}/{self.payment.payment_id}",
                seq=seq,
                kind=kind,
                document=document,
                created_at=self.now,
            )
        )

    def plan(self) -> Plan | None:
        """The plan, or None when nothing changed."""
        changed = self._submissions or self._operations or self._receipts or self._events
        if not changed and self.payment == self.facts.payment:
            return None
        version = self.facts.payment.version
        payment = replace(self.payment, version=version + 1, updated_at=self.now)
        return Plan(
            payment=payment,
            expected_version=version,
            watch_at=watch_after(self._after(payment), self.now),
            submissions=tuple(self._submissions.values()),
            operations=tuple(self._operations.values()),
            receipts=tuple(self._receipts),
            events=tuple(self._events),
            outbox=tuple(self._outbox),
            guards=tuple(self._guards.items()),
            whole_reference=self._whole_reference,
        )

    def _after(self, payment: Payment) -> PaymentFacts:
        """The facts as they are once the plan is written."""
        submissions = {s.submission_no: s for s in self.facts.submissions} | self._submissions
        operations = {o.operation_id: o for o in self.facts.operations} | self._operations
        return PaymentFacts(
            payment=payment,
            submissions=tuple(submissions.values()),
            operations=tuple(operations.values()),
            receipts=(*self.facts.receipts, *self._receipts),
        )


# --- initialize ---------------------------------------------------------------------------------------------------


def plan_session_opened(
    facts: PaymentFacts, operation_id: str, session: PaymentSession, now: datetime
) -> Plan | None:
    """A session reached us. If its submission was superseded meanwhile, it is only watched."""
    draft = Draft(facts, now)
    submission = facts.submission_numbered(session.submission_no)
    is_current = session.submission_no == facts.payment.submission_no
    state = SubmissionState.OPEN if is_current else submission.state
    draft.submission(
        replace(
            submission,
            state=state,
            gateway_reference=session.gateway_reference,
            checkout_url=session.checkout_url,
            expires_at=session.expires_at,
        )
    )
    operation = facts.operation(operation_id)
    if is_current and operation is not None and operation.state is not OperationState.SUCCEEDED:
        draft.operation(operation, OperationState.SUCCEEDED)
        if facts.payment.state is PaymentState.CREATED:
            draft.move(PaymentState.AWAITING_PAYER)
    return draft.plan()


def plan_initialize_lost(
    facts: PaymentFacts, operation_id: str, fence: int, gateway_order_id: str, now: datetime
) -> Plan | None:
    """The answer of a disposable initialize is lost: a fresh submission; the old one is superseded and watched."""
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    draft = Draft(facts, now)
    old = facts.submission
    number = max(s.submission_no for s in facts.submissions) + 1
    draft.submission(replace(old, state=SubmissionState.SUPERSEDED))
    draft.submission(
        Submission(
            tenant=old.tenant,
            payment_id=old.payment_id,
            submission_no=number,
            gateway=old.gateway,
            mode=old.mode,
            gateway_order_id=gateway_order_id,
            state=SubmissionState.CREATED,
            created_at=now,
        )
    )
    draft.payment = replace(draft.payment, submission_no=number)
    draft.operation(operation, OperationState.RESERVED, submission_no=number)
    return draft.plan()


# --- no answer, or a no -------------------------------------------------------------------------------------------


def plan_lost(
    facts: PaymentFacts, operation_id: str, fence: int, now: datetime, *, by_holder: bool = False
) -> Plan | None:
    """What became of a submitted operation is not known: submitting -> unknown.

    By the claim's holder it counts even where an absence was believed meanwhile (a wall clock set forward), and the
    gateway's last moment is reckoned from now.
    """
    operation = facts.operation(operation_id)
    lost = {OperationState.SUBMITTING, OperationState.RESERVED} if by_holder else {OperationState.SUBMITTING}
    if operation is None or operation.fence != fence or operation.state not in lost:
        return None
    draft = Draft(facts, now)
    send_by = operation.send_by
    if by_holder and send_by is not None:
        send_by = max(send_by, now)
    draft.operation(operation, OperationState.UNKNOWN, send_by=send_by)
    draft.announce(
        EventKind.UNKNOWN_OPENED,
        before=operation.state,
        after=OperationState.UNKNOWN,
        operation_id=operation_id,
        amount=operation.amount or facts.payment.amount,
    )
    return draft.plan()


def plan_refused(
    facts: PaymentFacts, operation_id: str, fence: int, reason: Reason, *, final: bool, now: datetime
) -> Plan | None:
    """The gateway said no. Final: declined for good; else the operation may be submitted again.

    Counts only under the latest fence: an old attempt's no must not open the way for another send while a newer
    one is on the wire, nor close a payment that the newer one may be paying.
    """
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    draft = Draft(facts, now)
    if not final:
        draft.operation(operation, OperationState.RESERVED, reason=reason)
        return draft.plan()
    draft.operation(operation, OperationState.DECLINED, reason=reason)
    if operation.kind is OperationKind.REFUND:
        draft.announce(
            EventKind.REFUND_DECLINED,
            before=operation.state,
            after=OperationState.DECLINED,
            operation_id=operation_id,
            amount=operation.amount,
            reason=reason,
        )
    elif operation.kind in (OperationKind.INITIALIZE, OperationKind.EXECUTE):
        _close(draft, EventKind.DECLINED, reason, operation_id)
    return draft.plan()


def _close(draft: Draft, kind: EventKind, reason: Reason, operation_id: str | None) -> None:
    before = draft.payment.state
    if before in (PaymentState.PAID, PaymentState.CLOSED):
        return
    draft.move(PaymentState.CLOSED, closed_reason=reason)
    draft.submission(replace(draft.facts.submission, state=SubmissionState.CLOSED))
    draft.announce(
        kind,
        before=before,
        after=PaymentState.CLOSED,
        operation_id=operation_id,
        amount=draft.payment.amount,
        reason=reason,
    )


# --- what the gateway shows ---------------------------------------------------------------------------------------


def plan_snapshot(
    facts: PaymentFacts,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan | None:
    """What one submission's picture at the gateway changes. `siblings`: the reference's other payments."""
    draft = Draft(facts, now, accounts)
    execute = facts.operation(execute_operation_id(facts.payment.payment_id, seen.submission_no))
    # Judged once more, against what is stored: what an adapter was told and what is true now may differ.
    submission = facts.submission_numbered(seen.submission_no)
    seen = replace(
        seen,
        snapshot=judge_snapshot(
            seen.snapshot,
            gateway_reference=submission.gateway_reference or seen.snapshot.gateway_reference,
            gateway_order_id=submission.gateway_order_id,
            amount=facts.payment.amount,
            mode=facts.payment.mode,
            always_sent=frozenset(),
        ),
    )
    state = seen.snapshot.state
    if state is SnapshotState.PAID and (
        not seen.snapshot.transaction_id
        or seen.snapshot.amount is None
        or not seen.snapshot.amount.is_positive
    ):
        _contradicted(draft, siblings, seen, execute)
    elif state is SnapshotState.PAID:
        _paid(draft, siblings, seen, execute)
    elif state is SnapshotState.AUTHORIZED:
        _authorized(draft, siblings, seen, execute)
    elif state is SnapshotState.REVIEW:
        _contradicted(draft, siblings, seen, execute)
    elif state in (SnapshotState.INITIATED, SnapshotState.APPROVED):
        _absent(draft, seen, execute)
    elif state in _OVER:
        _over(draft, seen, execute)
    return draft.plan()


def _paid(
    draft: Draft,
    siblings: tuple[PaymentFacts, ...],
    seen: Seen,
    execute: Operation | None,
    *,
    mismatched: bool = False,
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    assert snapshot.transaction_id is not None and snapshot.amount is not None, (
        "plan_snapshot lets no other PAID through"
    )
    before = payment.state
    key = ReceiptKey(
        payment.tenant, payment.gateway, payment.mode, ReceiptKind.PAYMENT, snapshot.transaction_id
    )
    is_new = all(r.key != key for r in draft.facts.receipts)
    if is_new:
        flags = _receipt_flags(draft, siblings)
        draft.flag(*flags)
        if mismatched:
            draft.flag(Flag.QUARANTINED)
        draft.receipt(
            Receipt(
                tenant=payment.tenant,
                gateway=payment.gateway,
                mode=payment.mode,
                kind=ReceiptKind.PAYMENT,
                transaction_id=snapshot.transaction_id,
                amount=snapshot.amount,
                recorded_at=draft.now,
                payment_id=payment.payment_id,
                submission_no=seen.submission_no,
                operation_id=execute.operation_id if execute else None,
                merchant_reference=payment.merchant_reference,
                occurred_at=snapshot.occurred_at,
                payer_account=snapshot.payer_account,
                fee=snapshot.fee,
                flags=flags,
                mismatched=mismatched,
            )
        )
    if before is not PaymentState.PAID:
        draft.move(PaymentState.PAID)
    _succeed(draft, execute, snapshot.transaction_id)
    if is_new:
        _announce_paid(draft, before, seen, execute)


def _receipt_flags(draft: Draft, siblings: tuple[PaymentFacts, ...]) -> frozenset[Flag]:
    """Whether new money is late (after closing) or a duplicate (the reference, or this payment, has money already)."""
    flags = set()
    payment = draft.payment
    if payment.state in (PaymentState.CLOSED, PaymentState.LAPSED):
        flags.add(Flag.LATE)
    if not payment.allow_repeat:
        draft.guard(siblings)  # with allow_repeat they decide nothing below, and may be very many
    same_mode = tuple(s for s in siblings if s.payment.mode is payment.mode)
    paid_before = bool(payment_receipts(draft.facts)) or any(has_money(s) for s in same_mode)
    if paid_before and not (payment.allow_repeat and not payment_receipts(draft.facts)):
        flags.add(Flag.DUPLICATE)
    return frozenset(flags)


def _announce_paid(draft: Draft, before: PaymentState, seen: Seen, execute: Operation | None) -> None:
    snapshot, flags = seen.snapshot, draft.payment.flags
    # Only money that came as agreed is called paid: a shop ships on it. What is late, a duplicate or contradicted is
    # news of its own, for a decision of its own.
    kinds = []
    if Flag.QUARANTINED in flags:
        kinds.append(EventKind.QUARANTINED)
    if Flag.LATE in flags:
        kinds.append(EventKind.LATE)
    if Flag.DUPLICATE in flags:
        kinds.append(EventKind.DUPLICATE)
    kinds = kinds or [EventKind.PAID]
    for kind in kinds:
        draft.announce(
            kind,
            before=before,
            after=PaymentState.PAID,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def _succeed(draft: Draft, operation: Operation | None, transaction_id: str | None) -> None:
    """The gateway's confirmation settles the operation, whatever was believed of it."""
    if operation is None or operation.state is OperationState.SUCCEEDED:
        return
    was_unknown = operation.state is OperationState.UNKNOWN
    draft.operation(operation, OperationState.SUCCEEDED, transaction_id=transaction_id, reason=None)
    if was_unknown:
        _announce_resolved(draft, operation, OperationState.SUCCEEDED)


def _announce_resolved(draft: Draft, operation: Operation, after: OperationState) -> None:
    draft.announce(
        EventKind.UNKNOWN_RESOLVED,
        before=OperationState.UNKNOWN,
        after=after,
        operation_id=operation.operation_id,
        amount=operation.amount or draft.payment.amount,
    )


def _authorized(
    draft: Draft, siblings: tuple[PaymentFacts, ...], seen: Seen, execute: Operation | None
) -> None:
    payment, snapshot = draft.payment, seen.snapshot
    before = payment.state
    if before is PaymentState.PAID:
        return
    submission = draft.facts.submission_numbered(seen.submission_no)
    if submission.held_transaction_id != snapshot.transaction_id:
        draft.submission(replace(submission, held_transaction_id=snapshot.transaction_id))
    if before is not PaymentState.AUTHORIZED:
        draft.flag(*_receipt_flags(draft, siblings))
        draft.move(PaymentState.AUTHORIZED)
    _succeed(draft, execute, snapshot.transaction_id)
    if before is not PaymentState.AUTHORIZED:
        draft.announce(
            EventKind.AUTHORIZED,
            before=before,
            after=PaymentState.AUTHORIZED,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def _contradicted(
    draft: Draft, siblings: tuple[PaymentFacts, ...], seen: Seen, execute: Operation | None
) -> None:
    """Money moved or is held, but not as asked.

    Ours in everything but the amount: booked at the gateway's amount to suspense. Anything else, an amount that
    the gateway does not tell included, cannot be booked: no posting, the execute stays unknown, and a person has to
    look.
    """
    snapshot = seen.snapshot
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is SnapshotState.PAID
    if other_amount and snapshot.amount is not None and snapshot.amount.is_positive:
        _paid(draft, siblings, seen, execute, mismatched=True)
        return
    if execute is not None and execute.state is OperationState.SUBMITTING:
        draft.operation(execute, OperationState.UNKNOWN)
    if Flag.QUARANTINED not in draft.payment.flags:
        draft.flag(Flag.QUARANTINED)
        draft.announce(
            EventKind.QUARANTINED,
            before=draft.payment.state,
            after=draft.payment.state,
            operation_id=execute.operation_id if execute else None,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )


def plan_quarantine(facts: PaymentFacts, now: datetime, transaction_id: str | None) -> Plan | None:
    """A fact that belongs to another payment already was reported for this one: a person has to look."""
    draft = Draft(facts, now)
    if Flag.QUARANTINED in facts.payment.flags:
        return None
    for operation in facts.operations:
        if operation.state is OperationState.SUBMITTING:
            draft.operation(operation, OperationState.UNKNOWN)
    draft.flag(Flag.QUARANTINED)
    draft.announce(
        EventKind.QUARANTINED,
        before=facts.payment.state,
        after=facts.payment.state,
        transaction_id=transaction_id,
    )
    return draft.plan()


def _absent(draft: Draft, seen: Seen, execute: Operation | None) -> None:
    """The gateway shows it as not made. A proof only when asked after the last possible moment."""
    if execute is None or execute.state not in OPEN_STATES:
        return
    if not seen.absence_is_proof or not claim_is_over(execute, seen.settle_s, seen.asked_at):
        return
    if execute.state is OperationState.SUBMITTING:
        # Nobody recorded how it ended (a crash): it was unknown, whether or not anybody called it so.
        draft.operation(execute, OperationState.RESERVED)
        return
    if execute.state is OperationState.UNKNOWN:
        draft.operation(execute, OperationState.RESERVED)
        _announce_resolved(draft, execute, OperationState.RESERVED)


_OVER = {
    SnapshotState.CANCELLED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.VOIDED: ReasonCode.PAYMENT_CANCELLED,
    SnapshotState.EXPIRED: ReasonCode.PAYMENT_EXPIRED,
    SnapshotState.DECLINED: ReasonCode.INVALID_PAYMENT,
}


def _over(draft: Draft, seen: Seen, execute: Operation | None) -> None:
    """The gateway shows it as ended without money. With an execute still out, only after its last moment."""
    payment = draft.payment
    if payment.state is PaymentState.PAID or seen.submission_no != payment.submission_no:
        return
    reason = Reason(code=_OVER[seen.snapshot.state], gateway_code=seen.snapshot.raw_state)
    if payment.state is PaymentState.AUTHORIZED:
        if seen.snapshot.state in (SnapshotState.CANCELLED, SnapshotState.VOIDED):
            _close(draft, EventKind.CLOSED, reason, None)
        return
    if execute is not None and execute.state in OPEN_STATES:
        if not claim_is_over(execute, seen.settle_s, seen.asked_at):
            return
        draft.operation(execute, OperationState.DECLINED, reason=reason)
        if execute.state is OperationState.UNKNOWN:
            _announce_resolved(draft, execute, OperationState.DECLINED)
    elif execute is not None and execute.state is OperationState.RESERVED:
        draft.operation(execute, OperationState.CANCELLED, reason=reason)
    if payment.state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER):
        _close(draft, EventKind.CLOSED, reason, execute.operation_id if execute else None)


def plan_unsent(
    facts: PaymentFacts, operation_id: str, fence: int, now: datetime, *, by_holder: bool = False
) -> Plan | None:
    """Nothing left, so the operation may be submitted again: no checkpoint was ever kept, or the claim's holder
    has the proof that its request did not leave."""
    operation = facts.operation(operation_id)
    if (
        operation is None
        or operation.fence != fence
        or (operation.evidence and not by_holder)
        or operation.state not in (OperationState.SUBMITTING, OperationState.UNKNOWN)
    ):
        return None
    draft = Draft(facts, now)
    draft.operation(operation, OperationState.RESERVED)
    if operation.state is OperationState.UNKNOWN:
        _announce_resolved(draft, operation, OperationState.RESERVED)
    return draft.plan()


# --- refunds ------------------------------------------------------------------------------------------------------


def plan_refund_seen(
    facts: PaymentFacts,
    operation_id: str,
    snapshot: RefundSnapshot,
    now: datetime,
    *,
    fence: int | None = None,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan | None:
    """The gateway shows the operation's refund."""
    operation = facts.operation(operation_id)
    if operation is None:
        return None
    draft = Draft(facts, now, accounts)
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is RefundState.COMPLETED
    if snapshot.state is RefundState.COMPLETED or (
        other_amount and snapshot.amount is not None and snapshot.amount.is_positive
    ):
        # Ours, but at another amount: it went back, so it is booked as it is, and a person has to look.
        _refunded(draft, operation, snapshot)
    elif snapshot.state is RefundState.PENDING and operation.state in (
        OperationState.SUBMITTING,
        OperationState.UNKNOWN,
    ):
        draft.operation(operation, OperationState.PENDING, transaction_id=snapshot.transaction_id)
    elif snapshot.state is RefundState.DECLINED and operation.state in OPEN_STATES:
        if fence is not None and operation.fence != fence:
            return None
        reason = Reason(code=ReasonCode.REFUND_NOT_ALLOWED, gateway_code=snapshot.raw_state)
        draft.operation(operation, OperationState.DECLINED, reason=reason)
        draft.announce(
            EventKind.REFUND_DECLINED,
            before=operation.state,
            after=OperationState.DECLINED,
            operation_id=operation_id,
            amount=operation.amount,
            reason=reason,
        )
    return draft.plan()


def _refunded(draft: Draft, operation: Operation, snapshot: RefundSnapshot) -> None:
    payment = draft.payment
    amount = operation.amount if snapshot.amount is None else snapshot.amount
    assert amount is not None, "a refund operation always has an amount"
    key = ReceiptKey(
        payment.tenant, payment.gateway, payment.mode, ReceiptKind.REFUND, snapshot.transaction_id
    )
    booked = next((r for r in draft.facts.receipts if r.key == key), None)
    if booked is not None and booked.operation_id != operation.operation_id:
        return  # that refund is another operation's: it says nothing about this one
    is_new = booked is None
    if is_new:
        # One operation asks for one refund: a second one under it went back without being asked for.
        is_second = any(r.operation_id == operation.operation_id for r in draft.facts.receipts)
        gone = refunded(draft.facts) + amount
        as_asked = not is_second and amount == operation.amount and gone <= captured(draft.facts)
        # A refund that was believed declined freed its amount, and others may have been promised it since: they
        # must not be sent any more.
        rest = tuple(o for o in draft.facts.operations if o.operation_id != operation.operation_id)
        promised = reserved_for_refunds(replace(draft.facts, operations=rest))
        if not as_asked or gone + promised > captured(draft.facts):
            draft.flag(Flag.QUARANTINED)
        draft.receipt(
            Receipt(
                tenant=payment.tenant,
                gateway=payment.gateway,
                mode=payment.mode,
                kind=ReceiptKind.REFUND,
                transaction_id=snapshot.transaction_id,
                amount=amount,
                recorded_at=draft.now,
                payment_id=payment.payment_id,
                submission_no=operation.submission_no,
                operation_id=operation.operation_id,
                merchant_reference=payment.merchant_reference,
                occurred_at=snapshot.occurred_at,
                original_transaction_id=snapshot.original_transaction_id,
                fee=snapshot.charge,
                mismatched=not as_asked,
            )
        )
    before = operation.state
    _succeed(draft, operation, snapshot.transaction_id)
    if is_new:
        draft.announce(
            EventKind.REFUND_SUCCEEDED,
            before=before,
            after=OperationState.SUCCEEDED,
            operation_id=operation.operation_id,
            amount=amount,
            transaction_id=snapshot.transaction_id,
        )
        if Flag.QUARANTINED in draft.payment.flags and Flag.QUARANTINED not in draft.facts.payment.flags:
            draft.announce(
                EventKind.QUARANTINED,
                before=payment.state,
                after=payment.state,
                operation_id=operation.operation_id,
                amount=amount,
                transaction_id=snapshot.transaction_id,
            )

"""What one transaction changes on one payout, with the entries and the news that go with it."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.ledger import AccountMap, payout_entries
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import (
    PayoutKind,
    TransferDirection,
)
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.reasons import Reason
from vextrus_payments.records import (
    PAYOUT_CONTRADICTED,
    Flag,
    Operation,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payout,
    Receipt,
    ReceiptKind,
    Resolution,
)
from vextrus_payments.states import check_operation_edge
from vextrus_payments.watching import watch_payout_after

_O = OperationState

_RECEIPT_KINDS: Final = {
    TransferDirection.TO_DISBURSEMENT: ReceiptKind.TRANSFER,
    TransferDirection.TO_COLLECTION: ReceiptKind.TRANSFER_BACK,
}


def confirmed(receipt: Receipt) -> Evidence:
    """The evidence that the gateway has said what an operator had said before."""
    return Evidence("payout.confirmed", {"transaction_id": receipt.transaction_id})


def is_only_said(payout: Payout, receipt: Receipt) -> bool:
    """Whether nobody but an operator has said that this receipt is so.

    Of a correction he says how much left; that something left under its transaction the gateway has mostly said.
    """
    if Flag.BY_OPERATOR not in receipt.flags or confirmed(receipt) in payout.operation.evidence:
        return False
    if receipt.kind is not ReceiptKind.CORRECTION:
        return True
    transaction_id, evidence = receipt.transaction_id, payout.operation.evidence
    told = any(
        e.step == PAYOUT_CONTRADICTED and e.data.get("transaction_id") == transaction_id for e in evidence
    )
    booked = (r for r in payout.receipts if r.transaction_id == transaction_id)
    return not told and all(Flag.BY_OPERATOR in r.flags for r in booked)


class Change:
    """Collects what one transaction changes on one payout, with the entries and the news that go with it."""

    def __init__(self, payout: Payout, now: datetime) -> None:
        self._before = payout
        self.now = now
        self._outbox: list[OutboxRow] = []
        self._receipts: list[Receipt] = []
        self._events = 0
        self.payout: Payout = replace(payout, version=payout.version + 1, updated_at=now)

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
        # What left a second time does not take the first one's name away.
        first = before.transaction_id if Flag.DUPLICATE in receipt.flags else None
        self.to(_O.SUCCEEDED, replace(before, transaction_id=first or receipt.transaction_id, reason=None))
        self.book(receipt, accounts)
        if receipt.mismatched or reviewed:
            told = {"amount": receipt.amount, "transaction_id": receipt.transaction_id}
            self.announce(EventKind.PAYOUT_REVIEW, before=before.state, **told)
        else:
            self.announce_made(receipt, before=before.state)

    def announce_made(self, receipt: Receipt, *, before: OperationState) -> None:
        """Tell that money moved, and that there is nothing to look into."""
        kind = EventKind.TRANSFER_MADE if self.payout.kind is PayoutKind.TRANSFER else EventKind.PAYOUT_SENT
        self.announce(kind, before=before, amount=receipt.amount, transaction_id=receipt.transaction_id)

    def take_back(self, receipt: Receipt, accounts: AccountMap) -> None:
        """Take back what was booked and was not so: a fact of its own, with exactly opposite entries."""
        back = replace(
            receipt,
            kind=ReceiptKind.REVERSAL,
            reverses=receipt.moved_as,
            corrects=None,
            no=1 if receipt.corrects is None else receipt.no + 1,
            recorded_at=self.now,
            original_transaction_id=receipt.transaction_id,
            occurred_at=None,
        )
        self.book(back, accounts)

    def keep(self, evidence: Evidence) -> None:
        """Add evidence to the operation."""
        operation = self.payout.operation
        self.put(replace(operation, evidence=(*operation.evidence, evidence), updated_at=self.now))

    def answer(self, resolution: Resolution) -> None:
        """Add a person's answer."""
        self.payout = replace(self.payout, resolutions=(*self.payout.resolutions, resolution))

    def book(self, receipt: Receipt, accounts: AccountMap) -> None:
        """Add a receipt with its entries, and no news."""
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


def unknown(change: Change) -> Change:
    """Nobody knows what became of it, from now on."""
    before = change.payout.operation
    # From now on, whatever the clocks say: the gateway may have begun a moment ago.
    change.to(_O.UNKNOWN, replace(before, send_by=max(before.send_by or change.now, change.now)))
    change.announce(EventKind.PAYOUT_UNKNOWN, before=before.state, amount=change.payout.amount)
    return change


def declined(change: Change, reason: Reason) -> Change:
    """A final no, announced."""
    before = change.payout.operation
    change.to(_O.DECLINED, replace(before, reason=reason))
    _announce_declined(change, before.state, reason)
    return change


def _announce_declined(change: Change, before: OperationState, reason: Reason) -> None:
    is_transfer = change.payout.kind is PayoutKind.TRANSFER
    kind = EventKind.TRANSFER_DECLINED if is_transfer else EventKind.PAYOUT_DECLINED
    change.announce(kind, before=before, amount=change.payout.amount, reason=reason)


def forget(change: Change) -> None:
    """What ended only on an operator's word, which he takes back, is unknown again. No evidence takes that edge."""
    payout, before = change.payout, change.payout.operation
    assert not payout.standing, "what is booked is taken back first"
    change.put(replace(before, state=_O.UNKNOWN, reason=None, transaction_id=None, updated_at=change.now))
    change.announce(EventKind.PAYOUT_UNKNOWN, before=before.state, amount=payout.amount)


def retract(change: Change, reason: Reason) -> None:
    """What succeeded only on an operator's word, which he takes back, was not made: an edge that evidence never takes.

    Announced as declined, for the shop was told that it was sent.
    """
    payout, before = change.payout, change.payout.operation
    assert not payout.standing, "what is booked is taken back first"
    change.put(replace(before, state=_O.DECLINED, reason=reason, transaction_id=None, updated_at=change.now))
    _announce_declined(change, before.state, reason)


def receipt_of(
    payout: Payout,
    transaction_id: str,
    amount: Money,
    now: datetime,
    *,
    flags: frozenset[Flag] = frozenset(),
) -> Receipt:
    """The fact that this payout moved money under that transaction."""
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

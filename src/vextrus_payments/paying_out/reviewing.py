"""A person's answer about a payout of which the gateway tells otherwise than the books.

What the gateway shows of a transaction that is booked already cannot be booked once more by itself: which of the two
pictures is true, a statement tells, and a person reads it. He says one of two things: that the books have it right as
they stand (cleared), or what really left under a transaction (made). Then the old receipt is taken back and a
correction booked in its place; both, like everything here, are facts that only get added, and a correction that was
wrong itself is taken back like anything else: a transaction's reversals and corrections are numbered. That nothing left
at all is no answer: the gateway says that money did.

Where the gateway names a transaction of one payout that is booked to another, on a person's word, both are under
review. The one that was answered wrongly is answered anew, and may have been made under another transaction, or not at
all; after that the other one can be booked.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from vextrus_payments.errors import ConflictError, InvalidRequestError
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import AccountMap
from vextrus_payments.money import Money
from vextrus_payments.paying_out.change import Change, is_only_said, receipt_of, retract
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import PayoutSnapshot
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    PAYOUT_CONTRADICTED,
    PAYOUT_REVIEWED,
    Flag,
    OperationState,
    Payout,
    Receipt,
    ReceiptKind,
    ResolutionVerdict,
)
from vextrus_payments.resolving import ResolveRequest

_O = OperationState
_BY_OPERATOR: Final = frozenset({Flag.BY_OPERATOR})
#: In the evidence of a contradiction: the other payout that it is about.
_OTHER: Final = "payout"


def answer_review(change: Change, wanted: ResolveRequest, accounts: AccountMap, *, taken_back: int) -> None:
    """Write down what a person found out about a payout that succeeded and is under review.

    Raises:
        ConflictError, InvalidRequestError: the answer does not fit what it is about.
    """
    payout = change.payout
    before = payout.state
    if wanted.verdict is ResolutionVerdict.MADE:
        _made(change, wanted, accounts, taken_back=taken_back)
    elif wanted.verdict is ResolutionVerdict.NOT_MADE:
        _not_made(change, accounts)
    elif payout.standing and payout.standing[0].mismatched:
        change.announce_made(payout.standing[0], before=before)  # it was only told as one to look into
    close_review(change, wanted)


def close_review(change: Change, wanted: ResolveRequest) -> None:
    """From here on there is nothing to look into, until the gateway tells something else."""
    seen = sorted({receipt.transaction_id for receipt in change.payout.standing})
    data: dict[str, JsonValue] = {"version": wanted.reviewed_version, "transactions": list(seen)}
    change.keep(Evidence(PAYOUT_REVIEWED, data))


def was_reviewed(payout: Payout) -> bool:
    """Whether a person has ended a review of it."""
    return any(e.step == PAYOUT_REVIEWED for e in payout.operation.evidence)


def told_of(payout: Payout) -> set[JsonValue]:
    """The transactions that the gateway has told of it otherwise than booked: whatever a person says, they left."""
    return {
        e.data.get("transaction_id")
        for e in payout.operation.evidence
        if e.step == PAYOUT_CONTRADICTED and _OTHER not in e.data
    }


def reopen_review(change: Change, wanted: ResolveRequest) -> None:
    """The answer that ended the review was a mistake: it is under review as it was."""
    payout = change.payout
    told = next((e for e in reversed(payout.operation.evidence) if e.step == PAYOUT_CONTRADICTED), None)
    receipt = payout.standing[0]
    data: dict[str, JsonValue] = {
        "transaction_id": receipt.transaction_id,
        "amount_minor": receipt.amount.amount_minor,
    }
    if told is not None:
        data = dict(told.data)
    change.keep(Evidence(PAYOUT_CONTRADICTED, {**data, "taken_back_at": wanted.reviewed_version}))
    change.announce(
        EventKind.PAYOUT_REVIEW,
        before=payout.state,
        amount=receipt.amount,
        transaction_id=receipt.transaction_id,
    )


def disputed_with(payout: Payout) -> str | None:
    """The other payout that the gateway says a transaction of this one is of, where that is what is under review."""
    last = next((e for e in reversed(payout.operation.evidence) if e.step == PAYOUT_CONTRADICTED), None)
    other = None if last is None or not payout.contradicted else last.data.get(_OTHER)
    return other if isinstance(other, str) else None


def plan_payout_elsewhere(
    payout: Payout, snapshot: PayoutSnapshot, other: Payout, now: datetime
) -> PayoutPlan | None:
    """The gateway shows it as made, under a transaction that is booked to another payout. None: that is known."""
    amount = payout.amount if snapshot.amount is None else snapshot.amount
    return _disputed(payout, snapshot.transaction_id or "", amount, other, now)


def plan_payout_disputed(
    payout: Payout, transaction_id: str, other: Payout, now: datetime
) -> PayoutPlan | None:
    """A transaction of this payout is another's, says the gateway. None: that is known, or was its own word here."""
    theirs = next((r for r in payout.standing if r.transaction_id == transaction_id), None)
    if theirs is None or not is_only_said(payout, theirs):
        return None
    return _disputed(payout, transaction_id, theirs.amount, other, now)


def _disputed(
    payout: Payout, transaction_id: str, amount: Money, other: Payout, now: datetime
) -> PayoutPlan | None:
    data: dict[str, JsonValue] = {
        "transaction_id": transaction_id,
        "amount_minor": amount.amount_minor,
        _OTHER: other.operation_id,
    }
    told = Evidence(PAYOUT_CONTRADICTED, data)
    if told in payout.operation.evidence:
        return None
    change, before = Change(payout, now), payout.state
    if before in (_O.RESERVED, _O.SUBMITTING, _O.PENDING):
        change.to(_O.UNKNOWN)  # whoever has it in hand must not call it unsent, nor send it
    change.keep(told)
    change.announce(EventKind.PAYOUT_REVIEW, before=before, amount=amount, transaction_id=transaction_id)
    return change.plan()


def booked_for(
    payout: Payout, transaction_id: str, amount: Money, now: datetime, *, taken_back: int = 0
) -> Receipt:
    """The receipt of what a person says was made, under a key that leaves room for what else was booked of it.

    `taken_back`: how often its transaction was taken back, at this payout or another one: as often its key is taken.
    """
    receipt = receipt_of(payout, transaction_id, amount, now, flags=_BY_OPERATOR)
    mine = (
        r.no for r in payout.receipts if r.kind is ReceiptKind.REVERSAL and r.transaction_id == transaction_id
    )
    taken_back = max(taken_back, *mine, 0)
    # A transaction that the gateway names for this payout and that stands for another one is taken back there first.
    told = any(
        e.step == PAYOUT_CONTRADICTED and e.data.get("transaction_id") == transaction_id
        for e in payout.operation.evidence
    )
    if not taken_back and not told:
        return receipt
    return replace(receipt, kind=ReceiptKind.CORRECTION, corrects=receipt.kind, no=max(taken_back, 1))


def _made(change: Change, wanted: ResolveRequest, accounts: AccountMap, *, taken_back: int) -> None:
    payout, before = change.payout, change.payout.state
    transaction_id, amount = wanted.transaction_id, wanted.amount
    assert transaction_id is not None and amount is not None, "the caller checked it"
    known = any(r.transaction_id == transaction_id for r in payout.receipts)
    if not known and disputed_with(payout) is None:
        names = ", ".join(sorted({r.transaction_id for r in payout.receipts}))
        raise InvalidRequestError(
            f"The gateway tells of {names}, and of no such transaction.",
            field="transaction_id",
            rule="one under which the gateway shows this payout",
        )
    stands = next((r for r in payout.standing if r.transaction_id == transaction_id), None)
    # What was called not made, and left all the same, is what was owed: nobody paid it again.
    owed = stands is not None and Flag.LATE in stands.flags and amount == payout.amount
    if stands is not None and stands.amount == amount and not owed:
        if stands.mismatched:
            change.announce_made(stands, before=before)
        return
    if stands is not None:
        change.take_back(stands, accounts)
    elif not known:
        for wrong in payout.standing:
            if is_only_said(payout, wrong):
                change.take_back(wrong, accounts)
    fee = next((r.fee for r in payout.receipts if r.transaction_id == transaction_id and r.fee), None)
    receipt = booked_for(change.payout, transaction_id, amount, change.now, taken_back=taken_back)
    receipt = replace(receipt, fee=fee)
    if any(Flag.DUPLICATE not in r.flags for r in change.payout.standing):
        # Money left a second time under one payout: nobody asked for it.
        receipt = replace(receipt, flags=receipt.flags | {Flag.DUPLICATE}, mismatched=True)
        change.book(receipt, accounts)
        return
    operation = change.payout.operation
    change.to(_O.SUCCEEDED, replace(operation, transaction_id=transaction_id, reason=None))
    change.book(receipt, accounts)
    change.announce_made(receipt, before=before)


def _not_made(change: Change, accounts: AccountMap) -> None:
    payout = change.payout
    if disputed_with(payout) is None or not all(is_only_said(payout, r) for r in payout.standing):
        raise ConflictError(
            "The gateway says that money left, and its word outranks everybody's: it is not called declined.",
            code="gateway_says_made",
            next_step="Say what left under its transaction (made), or that the books have it right (cleared).",
        )
    for wrong in payout.standing:
        change.take_back(wrong, accounts)
    retract(change, Reason(code=ReasonCode.UNKNOWN_ERROR))

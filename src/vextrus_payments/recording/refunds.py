"""Plan functions for what the gateway shows of refunds: those of our operations, and those that are nobody's."""

from collections import Counter
from dataclasses import replace
from datetime import datetime

from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.money import Money
from vextrus_payments.plans import Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    Receipt,
    ReceiptKey,
    ReceiptKind,
    ResolutionVerdict,
)
from vextrus_payments.snapshots import Mismatch, RefundSnapshot, RefundState
from vextrus_payments.states import (
    OPEN_STATES,
    captured,
    is_taken_back,
    on_operators_word,
    operators_refund,
    payment_receipts,
    refund_receipts,
    refundable_of,
    refunded,
    reserved_for_refunds,
)

_OF_THE_ORIGINAL = frozenset({Flag.LATE, Flag.DUPLICATE})


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
    if operation is None or _may_be_anothers(facts, operation, snapshot):
        return None
    draft = Draft(facts, now, accounts)
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is RefundState.COMPLETED
    told = snapshot.amount is not None and snapshot.amount.is_positive
    # Of nothing, or of less, there is nothing to book: such an answer proves no refund, and the operation stays open.
    if (snapshot.state is RefundState.COMPLETED and (snapshot.amount is None or told)) or (
        other_amount and told
    ):
        # Ours, but at another amount: it went back, so it is booked as it is, and a person has to look.
        refund_made(draft, operation, snapshot)
    elif snapshot.state is RefundState.PENDING and operation.state in (
        OperationState.SUBMITTING,
        OperationState.UNKNOWN,
    ):
        if is_of_another(facts, operation, snapshot.transaction_id):
            return None  # one refund is one operation's: what became of this one, that id does not tell
        draft.operation(operation, OperationState.PENDING, transaction_id=snapshot.transaction_id)
    elif snapshot.state is RefundState.PENDING and operation.state is OperationState.DECLINED:
        if on_operators_word(facts, operation):
            # An operator called it not made, and the gateway is still at it: nothing else may stand in for it.
            draft.quarantine(operation_id=operation_id, amount=operation.amount)
    elif snapshot.state is RefundState.DECLINED and operation.state in OPEN_STATES:
        if fence is not None and operation.fence != fence:
            return None
        reason = Reason(code=ReasonCode.REFUND_NOT_ALLOWED, gateway_code=snapshot.raw_state)
        draft.refused(operation, reason, EventKind.REFUND_DECLINED)
    return draft.plan()


def is_of_another(facts: PaymentFacts, operation: Operation, transaction_id: str) -> bool:
    """Whether the gateway gave that id to another refund of the payment, which may be under way yet."""
    return any(
        o.kind is OperationKind.REFUND and o.transaction_id == transaction_id
        for o in facts.operations
        if o.operation_id != operation.operation_id
    )


def _may_be_anothers(facts: PaymentFacts, operation: Operation, snapshot: RefundSnapshot) -> bool:
    """An equal refund is out, and of this one an operator has said how it ended: the other's own answer comes first.

    Not where the gateway has told the two apart, by an id that it gave when it accepted this one.
    """
    if not on_operators_word(facts, operation) or _booked(facts, snapshot.transaction_id) is not None:
        return False
    if operation.transaction_id is not None and operation.transaction_id == snapshot.transaction_id:
        return False
    return any(
        o.kind is OperationKind.REFUND
        and o.state in OPEN_STATES
        and (o.original_transaction_id, o.amount) == (operation.original_transaction_id, operation.amount)
        for o in facts.operations
        if o.operation_id != operation.operation_id
    )


def refund_made(
    draft: Draft, operation: Operation, snapshot: RefundSnapshot, flags: frozenset[Flag] = frozenset()
) -> None:
    """Book the operation's refund, once, and settle the operation."""
    facts = draft.facts
    amount = operation.amount if snapshot.amount is None else snapshot.amount
    assert amount is not None, "a refund operation always has an amount"
    booked = _booked(facts, snapshot.transaction_id)
    if booked is None:
        _book(draft, operation, snapshot, amount, flags)
    elif is_taken_back(draft.facts, booked):
        draft.quarantine(operation_id=operation.operation_id, transaction_id=snapshot.transaction_id)
    elif booked.operation_id in (None, operation.operation_id):
        draft.succeed(operation, snapshot.transaction_id)
    # Else that refund is another operation's: it says nothing about this one.


def _book(
    draft: Draft, operation: Operation, snapshot: RefundSnapshot, amount: Money, flags: frozenset[Flag]
) -> None:
    facts = draft.facts
    mine = [r for r in refund_receipts(facts) if r.operation_id == operation.operation_id]
    wrong = [r for r in mine if Flag.BY_OPERATOR in r.flags]
    for receipt in wrong:
        draft.reverse(receipt)
    gone = refunded(facts) + amount - _sum(wrong, amount)
    # One operation asks for one refund: a second one under it went back without being asked for.
    is_second = len(mine) > len(wrong)
    as_asked = not is_second and amount == operation.amount and gone <= captured(facts)
    # A refund that was believed declined freed its amount, and others may have been promised it since: they must not
    # be sent any more.
    rest = tuple(o for o in facts.operations if o.operation_id != operation.operation_id)
    promised = reserved_for_refunds(replace(facts, operations=rest))
    draft.receipt(_receipt(draft, snapshot, amount, operation, flags=flags, mismatched=not as_asked))
    draft.succeed(operation, snapshot.transaction_id)
    draft.announce(
        EventKind.REFUND_SUCCEEDED,
        before=operation.state,
        after=OperationState.SUCCEEDED,
        operation_id=operation.operation_id,
        amount=amount,
        transaction_id=snapshot.transaction_id,
    )
    if not as_asked or wrong or gone + promised > captured(facts):
        draft.quarantine(
            operation_id=operation.operation_id, amount=amount, transaction_id=snapshot.transaction_id
        )


def plan_refund_doubted(facts: PaymentFacts, operation_id: str, fence: int, now: datetime) -> Plan | None:
    """Something has gone back before this claimed refund leaves, at a gateway that does not say how much.

    Where no refund of it is booked, what is shown may be this very one: its end is unknown, it must not be sent, and a
    person has to look. Whoever has looked, and cleared the payment, lets the next one go.
    """
    operation = facts.operation(operation_id)
    if operation is None or operation.fence != fence or operation.state is not OperationState.SUBMITTING:
        return None
    here = (None, operation.original_transaction_id)
    if any(r.original_transaction_id in here for r in refund_receipts(facts)) or any(
        r.verdict is ResolutionVerdict.CLEARED for r in facts.payment.resolutions
    ):
        return None
    draft = Draft(facts, now)
    draft.operation(operation, OperationState.UNKNOWN)
    draft.announce(
        EventKind.UNKNOWN_OPENED,
        before=operation.state,
        after=OperationState.UNKNOWN,
        operation_id=operation_id,
        amount=operation.amount,
    )
    draft.quarantine(operation_id=operation_id, amount=operation.amount)
    return draft.plan()


def plan_refunds_forgotten(facts: PaymentFacts, now: datetime) -> Plan | None:
    """The store was restored from a backup: what it calls not sent may have been sent since, and nothing would show it.

    A person reads the gateway's panel, and says how each ended.
    """
    draft = Draft(facts, now)
    for operation in facts.operations:
        if operation.kind is OperationKind.REFUND and operation.state is OperationState.RESERVED:
            draft.operation(operation, OperationState.UNKNOWN)
            draft.announce(
                EventKind.UNKNOWN_OPENED,
                before=operation.state,
                after=OperationState.UNKNOWN,
                operation_id=operation.operation_id,
                amount=operation.amount,
            )
    return draft.plan()


def plan_refunds_listed(
    facts: PaymentFacts,
    listed: tuple[RefundSnapshot, ...],
    now: datetime,
    *,
    leaving: tuple[str, int] | None = None,
    restored: bool = False,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> Plan | None:
    """The gateway's list of refunds: what is nobody's is adopted, for money went back, whoever sent it.

    What may be an operation's of ours is left to that operation's own look-up, which knows its baseline. Where the list
    shows more of one amount than operations can account for, all are booked: that they happened is certain, and only
    whose they are is not; the operation stays unknown.

    `leaving` (operation id, fence): that claimed refund has not left yet, and this is the list before it. When what
    went back elsewhere leaves too little for it, it is declined by the same plan, and must not be sent.

    `restored`: the records come from a backup. What they have as reserved may have been sent since: it is what is
    listed at its amount, and is not sent again.
    """
    draft = Draft(facts, now, accounts)
    going = facts.operation(leaving[0]) if leaving is not None else None
    adopted = _nobodys(facts, listed, going)
    forgotten = _forgotten(facts, adopted) if restored else {}
    for operation, snapshot in forgotten.values():
        refund_made(draft, operation, snapshot)
    for snapshot in adopted:
        if snapshot.transaction_id in forgotten:
            continue
        assert snapshot.amount is not None, "_nobodys() keeps only those with an amount"
        draft.receipt(_receipt(draft, snapshot, snapshot.amount, None, flags=frozenset({Flag.ADOPTED})))
        draft.announce(
            EventKind.REFUND_ADOPTED,
            before=None,
            after=RefundState.COMPLETED,
            amount=snapshot.amount,
            transaction_id=snapshot.transaction_id,
        )
    currency = facts.payment.amount.currency
    gone = refunded(facts) + _total_of(adopted, currency)
    counted = {o.operation_id for o, _ in forgotten.values()} | ({going.operation_id} if going else set())
    others = tuple(o for o in facts.operations if o.operation_id not in counted)
    promised = reserved_for_refunds(replace(facts, operations=others))
    if adopted and gone + promised > captured(facts):
        draft.quarantine(transaction_id=adopted[-1].transaction_id, amount=adopted[-1].amount)
    for snapshot in listed:
        booked = _booked(facts, snapshot.transaction_id)
        if booked is not None and Flag.BY_OPERATOR in booked.flags and snapshot.amount != booked.amount:
            # The same refund at another amount than an operator said: it cannot be booked twice, so a person decides.
            draft.quarantine(transaction_id=snapshot.transaction_id, amount=snapshot.amount)
    denied = _denied(facts, listed) if going is not None else None
    if denied is not None:
        # What an operator called not made was made, as it looks, and ours may be meant to stand in for it.
        draft.quarantine(transaction_id=denied.transaction_id, amount=denied.amount)
    if going is not None and leaving is not None and going.fence == leaving[1]:
        _check_room(draft, going, adopted, captured(facts) - gone - promised)
    return draft.plan()


def _check_room(
    draft: Draft, going: Operation, adopted: tuple[RefundSnapshot, ...], whole_room: Money
) -> None:
    """Decline a claimed refund for which there is no room any more."""
    if going.state is not OperationState.SUBMITTING or going.amount is None:
        return
    facts = replace(
        draft.facts,
        operations=tuple(o for o in draft.facts.operations if o.operation_id != going.operation_id),
    )
    receipt = next(
        (r for r in payment_receipts(facts) if r.transaction_id == going.original_transaction_id), None
    )
    room = whole_room
    if receipt is not None:
        here = tuple(r for r in adopted if r.original_transaction_id == receipt.transaction_id)
        room = min(room, refundable_of(facts, receipt) - _total_of(here, room.currency))
    if going.amount > room or Flag.QUARANTINED in draft.payment.flags:
        reason = Reason(code=ReasonCode.REFUND_AMOUNT_INVALID)
        draft.refused(going, reason, EventKind.REFUND_DECLINED)


def _nobodys(
    facts: PaymentFacts, listed: tuple[RefundSnapshot, ...], going: Operation | None
) -> tuple[RefundSnapshot, ...]:
    """The listed refunds that no operation of ours can have made."""
    currency = facts.payment.amount.currency
    ours = {r.transaction_id for r in payment_receipts(facts)}
    fresh = {
        r.transaction_id: r
        for r in listed
        if r.state is RefundState.COMPLETED
        and r.transaction_id
        and r.amount is not None
        and r.amount.is_positive
        and r.amount.currency == currency
        and r.original_transaction_id in ours
        and _booked(facts, r.transaction_id) is None
    }
    booked = {r.operation_id for r in refund_receipts(facts)}
    possible = Counter(
        (o.original_transaction_id, o.amount)
        for o in facts.operations
        if o.kind is OperationKind.REFUND
        and (going is None or o.operation_id != going.operation_id)
        and (
            (o.state in OPEN_STATES and o.operation_id not in booked)
            or (on_operators_word(facts, o) and not _is_listed(operators_refund(facts, o), listed))
        )
    )
    shown = Counter((r.original_transaction_id, r.amount) for r in fresh.values())
    return tuple(
        r
        for r in fresh.values()
        if shown[r.original_transaction_id, r.amount] > possible[r.original_transaction_id, r.amount]
    )


def _forgotten(
    facts: PaymentFacts, nobodys: tuple[RefundSnapshot, ...]
) -> dict[str, tuple[Operation, RefundSnapshot]]:
    """By transaction id: the refunds that operations made which an old record has as reserved."""
    waiting = [
        o for o in facts.operations if o.kind is OperationKind.REFUND and o.state is OperationState.RESERVED
    ]
    pairs: dict[str, tuple[Operation, RefundSnapshot]] = {}
    for snapshot in nobodys:
        key = (snapshot.original_transaction_id, snapshot.amount)
        operation = next((o for o in waiting if (o.original_transaction_id, o.amount) == key), None)
        if operation is not None:
            waiting.remove(operation)
            pairs[snapshot.transaction_id] = (operation, snapshot)
    return pairs


def _denied(facts: PaymentFacts, listed: tuple[RefundSnapshot, ...]) -> RefundSnapshot | None:
    """A listed refund that is booked nowhere and may be one of which an operator said that it was not made."""
    called_not_made = {
        (o.original_transaction_id, o.amount)
        for o in facts.operations
        if o.state is OperationState.DECLINED and on_operators_word(facts, o)
    }
    fresh = (r for r in listed if r.transaction_id and _booked(facts, r.transaction_id) is None)
    return next((r for r in fresh if (r.original_transaction_id, r.amount) in called_not_made), None)


def _is_listed(receipt: Receipt | None, listed: tuple[RefundSnapshot, ...]) -> bool:
    """True when the gateway shows what an operator said: then nothing else can be that refund."""
    return receipt is not None and any(r.transaction_id == receipt.transaction_id for r in listed)


def _booked(facts: PaymentFacts, transaction_id: str) -> Receipt | None:
    payment = facts.payment
    key = ReceiptKey(payment.tenant, payment.gateway, payment.mode, ReceiptKind.REFUND, transaction_id)
    return next((r for r in facts.receipts if r.key == key), None)


def _receipt(
    draft: Draft,
    snapshot: RefundSnapshot,
    amount: Money,
    operation: Operation | None,
    *,
    flags: frozenset[Flag],
    mismatched: bool = False,
) -> Receipt:
    payment = draft.payment
    original = next(
        (r for r in payment_receipts(draft.facts) if r.transaction_id == snapshot.original_transaction_id),
        None,
    )
    inherited = original.flags & _OF_THE_ORIGINAL if original is not None else frozenset()
    submission_no = operation.submission_no if operation else original.submission_no if original else None
    return Receipt(
        tenant=payment.tenant,
        gateway=payment.gateway,
        mode=payment.mode,
        kind=ReceiptKind.REFUND,
        transaction_id=snapshot.transaction_id,
        amount=amount,
        recorded_at=draft.now,
        payment_id=payment.payment_id,
        submission_no=submission_no,
        operation_id=operation.operation_id if operation else None,
        merchant_reference=payment.merchant_reference,
        occurred_at=snapshot.occurred_at,
        original_transaction_id=snapshot.original_transaction_id,
        fee=snapshot.charge,
        flags=flags | inherited,
        mismatched=mismatched or (original is not None and original.mismatched),
    )


def _sum(receipts: list[Receipt], like: Money) -> Money:
    return Money.from_minor(sum(r.amount.amount_minor for r in receipts), like.currency)


def _total_of(snapshots: tuple[RefundSnapshot, ...], currency: str) -> Money:
    minor = sum(r.amount.amount_minor for r in snapshots if r.amount is not None)
    return Money.from_minor(minor, currency)

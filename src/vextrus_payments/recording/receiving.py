"""Money that came: the receipt, what is special about it, and how it is called to the shop."""

from vextrus_payments.events import EventKind
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.seen import Seen
from vextrus_payments.records import Flag, Operation, PaymentFacts, PaymentState, Receipt, ReceiptKind
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.states import has_money, payment_receipts


def can_be_booked(snapshot: PaymentSnapshot) -> bool:
    """Whether it says how much came, and under which id."""
    return bool(snapshot.transaction_id) and snapshot.amount is not None and snapshot.amount.is_positive


def receive(
    draft: Draft, seen: Seen, by: Operation | None, flags: frozenset[Flag], *, mismatched: bool
) -> Receipt:
    """Write down money that came, and call the payment paid."""
    payment, snapshot = draft.payment, seen.snapshot
    assert snapshot.transaction_id is not None and snapshot.amount is not None, "see can_be_booked()"
    if snapshot.on_hold:
        flags |= {Flag.ON_HOLD}
    draft.flag(*flags)
    receipt = Receipt(
        tenant=payment.tenant,
        gateway=payment.gateway,
        mode=payment.mode,
        kind=ReceiptKind.PAYMENT,
        transaction_id=snapshot.transaction_id,
        amount=snapshot.amount,
        recorded_at=draft.now,
        payment_id=payment.payment_id,
        submission_no=seen.submission_no,
        operation_id=by.operation_id if by else None,
        merchant_reference=payment.merchant_reference,
        occurred_at=snapshot.occurred_at,
        payer_account=snapshot.payer_account,
        fee=snapshot.fee,
        flags=flags,
        mismatched=mismatched,
        method=snapshot.method,
    )
    draft.receipt(receipt)
    if payment.state is not PaymentState.PAID:
        draft.move(PaymentState.PAID)
    return receipt


def paid_again(draft: Draft, seen: Seen, before: PaymentState) -> None:
    """The gateway shows a second payment on the same page: money of its own, booked beside the first, and announced.

    What it calls paid at another amount goes to suspense; what cannot be booked is for a person.
    """
    snapshot = seen.snapshot
    other_amount = snapshot.mismatches == {Mismatch.AMOUNT} and snapshot.reported is SnapshotState.PAID
    if not can_be_booked(snapshot) or not (snapshot.state is SnapshotState.PAID or other_amount):
        draft.quarantine(amount=snapshot.amount, transaction_id=snapshot.transaction_id)
        return
    if any(r.transaction_id == snapshot.transaction_id for r in draft.payments_received):
        return
    flags = {Flag.DUPLICATE, *({Flag.LATE} if _is_late(draft, before) else ())}
    receipt = receive(draft, seen, None, frozenset(flags), mismatched=other_amount)
    announce_receipt(draft, before, receipt)
    if other_amount:
        draft.quarantine(amount=receipt.amount, transaction_id=receipt.transaction_id)


def let_go(draft: Draft, receipt: Receipt) -> None:
    """The gateway no longer takes the payment for risky: now it is called paid."""
    draft.unflag(Flag.ON_HOLD)
    if Flag.QUARANTINED in draft.payment.flags or receipt.flags & {Flag.LATE, Flag.DUPLICATE}:
        return
    draft.announce(
        EventKind.PAID,
        before=draft.payment.state,
        after=PaymentState.PAID,
        operation_id=receipt.operation_id,
        amount=receipt.amount,
        transaction_id=receipt.transaction_id,
        method=receipt.method,
    )


def receipt_flags(
    draft: Draft, siblings: tuple[PaymentFacts, ...], *, without: tuple[Receipt, ...] = ()
) -> frozenset[Flag]:
    """Whether new money is late (after closing) or a duplicate (the reference, or this payment, has money already).

    `without`: receipts that the same plan takes back.
    """
    flags = set()
    payment = draft.payment
    if _is_late(draft, payment.state):
        flags.add(Flag.LATE)
    if not payment.allow_repeat:
        draft.guard(siblings)  # with allow_repeat they decide nothing below, and may be very many
    same_mode = tuple(s for s in siblings if s.payment.mode is payment.mode)
    here = [r for r in payment_receipts(draft.facts) if r not in without]
    paid_before = bool(here) or any(has_money(s) for s in same_mode)
    if paid_before and not (payment.allow_repeat and not here):
        flags.add(Flag.DUPLICATE)
    return frozenset(flags)


def _is_late(draft: Draft, before: PaymentState) -> bool:
    """Whether the payment was over when this money was found: also where other late money was found before it, or what
    becomes of it would hang on whether the two were seen at once."""
    if before is PaymentState.PAID:
        return Flag.LATE in draft.payment.flags
    return before in (PaymentState.CLOSED, PaymentState.LAPSED)


def announce_receipt(draft: Draft, before: PaymentState, receipt: Receipt) -> None:
    """Only money that came as agreed is called paid: a shop ships on it.

    What is late, a duplicate or contradicted is news of its own, for a decision of its own.
    """
    kinds = []
    if Flag.LATE in receipt.flags:
        kinds.append(EventKind.LATE)
    if Flag.DUPLICATE in receipt.flags:
        kinds.append(EventKind.DUPLICATE)
    if not kinds and Flag.QUARANTINED not in draft.payment.flags:
        kinds.append(EventKind.ON_HOLD if Flag.ON_HOLD in receipt.flags else EventKind.PAID)
    for kind in kinds:
        draft.announce(
            kind,
            before=before,
            after=PaymentState.PAID,
            operation_id=receipt.operation_id,
            amount=receipt.amount,
            transaction_id=receipt.transaction_id,
            method=receipt.method,
        )

"""Signed is not true: is this answer about our payment, and did what was asked happen? Pure functions.

Every adapter verb that returns a snapshot passes it through here. Money that moved or is held, but not as asked, is
never called a plain success: the snapshot becomes REVIEW and says in what it differs. An answer about somebody
else's payment says nothing about ours: it becomes UNRECOGNIZED, so that it can close, lapse or prove nothing.
"""

from dataclasses import replace
from typing import Final

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.snapshots import (
    Mismatch,
    PaymentSnapshot,
    RefundSnapshot,
    RefundState,
    SnapshotState,
)

_MONEY: Final = frozenset({SnapshotState.PAID, SnapshotState.AUTHORIZED, SnapshotState.REVIEW})
_WHOSE: Final = frozenset({Mismatch.GATEWAY_REFERENCE, Mismatch.GATEWAY_ORDER_ID, Mismatch.MODE})

#: What an answer about money carries unless the adapter knows better: absent, it counts as a mismatch.
ALWAYS_SENT: Final = frozenset(
    {Mismatch.GATEWAY_REFERENCE, Mismatch.GATEWAY_ORDER_ID, Mismatch.AMOUNT, Mismatch.TRANSACTION_ID}
)


def judge_snapshot(
    snapshot: PaymentSnapshot,
    *,
    gateway_reference: str,
    gateway_order_id: str,
    amount: Money,
    mode: Mode,
    reported_mode: Mode | None = None,
    always_sent: frozenset[Mismatch] = ALWAYS_SENT,
) -> PaymentSnapshot:
    """The snapshot as it may be believed.

    Where money moved or is held (PAID, AUTHORIZED), every difference makes it REVIEW: another gateway reference,
    order id, amount, currency or mode; no transaction id on PAID; and the absence of what `always_sent` lists. Where
    none moved, only whose payment it is matters: another reference, order id or mode makes it UNRECOGNIZED.

    Args:
        gateway_reference, gateway_order_id, amount, mode: what was asked.
        reported_mode: the mode the gateway itself named, where its answers do.
        always_sent: the parts this step's answer never lacks; a gateway reference is absent when it is empty.
            PAID without a transaction id is a mismatch whatever is listed here.
    """
    found = set(snapshot.mismatches)
    if snapshot.gateway_reference != gateway_reference and (
        snapshot.gateway_reference or Mismatch.GATEWAY_REFERENCE in always_sent
    ):
        found.add(Mismatch.GATEWAY_REFERENCE)
    if snapshot.gateway_order_id:
        if snapshot.gateway_order_id != gateway_order_id:
            found.add(Mismatch.GATEWAY_ORDER_ID)
    elif Mismatch.GATEWAY_ORDER_ID in always_sent and snapshot.state in _MONEY:
        found.add(Mismatch.GATEWAY_ORDER_ID)
    if reported_mode is not None and reported_mode is not mode:
        found.add(Mismatch.MODE)
    if snapshot.state not in _MONEY:
        whose = frozenset(found & _WHOSE)
        if not whose:
            return snapshot
        return replace(
            snapshot, state=SnapshotState.UNRECOGNIZED, mismatches=whose, reported=_reported(snapshot)
        )
    found |= _amount_differs(snapshot.amount, amount, required=Mismatch.AMOUNT in always_sent)
    if not snapshot.transaction_id and (
        snapshot.state is not SnapshotState.AUTHORIZED or Mismatch.TRANSACTION_ID in always_sent
    ):
        found.add(Mismatch.TRANSACTION_ID)
    if not found:
        return snapshot
    return replace(
        snapshot, state=SnapshotState.REVIEW, mismatches=frozenset(found), reported=_reported(snapshot)
    )


def judge_refund(
    snapshot: RefundSnapshot, *, original_transaction_id: str, amount: Money, amount_always_sent: bool = True
) -> RefundSnapshot:
    """The refund as it may be believed: of another payment or amount, it proves nothing about ours.

    A COMPLETED or PENDING refund without an id of its own cannot be booked and proves nothing either.

    Args:
        original_transaction_id, amount: what was asked.
        amount_always_sent: whether this step's answer never lacks the amount.
    """
    found = set(snapshot.mismatches)
    if snapshot.original_transaction_id != original_transaction_id:
        found.add(Mismatch.ORIGINAL_TRANSACTION_ID)
    found |= _amount_differs(snapshot.amount, amount, required=amount_always_sent)
    if not snapshot.transaction_id and snapshot.state in (RefundState.COMPLETED, RefundState.PENDING):
        found.add(Mismatch.TRANSACTION_ID)
    if not found:
        return snapshot
    return replace(
        snapshot,
        state=RefundState.UNRECOGNIZED,
        mismatches=frozenset(found),
        reported=snapshot.reported or snapshot.state,
    )


def _amount_differs(told: Money | None, asked: Money, *, required: bool) -> set[Mismatch]:
    if told is None:
        return {Mismatch.AMOUNT} if required else set()
    if told.currency != asked.currency:
        return {Mismatch.CURRENCY}
    return set() if told.amount_minor == asked.amount_minor else {Mismatch.AMOUNT}


def _reported(snapshot: PaymentSnapshot) -> SnapshotState:
    return snapshot.reported or snapshot.state

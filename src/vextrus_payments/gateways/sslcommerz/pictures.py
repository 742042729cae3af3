"""What answers of SSLCommerz show of a payment, normalized and judged (dossier §1.6, §1.7, §1.10)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from vextrus_payments.gateways.sslcommerz import models as m
from vextrus_payments.gateways.sslcommerz.channels import method_of
from vextrus_payments.gateways.sslcommerz.steps import Api, account_of, is_id, money_of, status_of, time_of
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.money import Money
from vextrus_payments.payment import ExecuteCall, StatusCall
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState

_SAFE: Final = "0"
_NOT_DONE: Final = frozenset({m.Status.PENDING, m.Status.PROCESSING, m.Status.INVALID})
_LEFT: Final = frozenset({m.Status.EXPIRED, m.Status.UNATTEMPTED})


@dataclass(frozen=True, slots=True)
class Pictured:
    """One attempt as its validation shows it."""

    answer: m.Transaction
    raw_state: str


def is_risky(risk_level: str | None) -> bool:
    """True where the money is taken and the goods are to be held: `risk_level` 1, and whatever else is not 0 (§1.4)."""
    return (risk_level or _SAFE) != _SAFE


def picture_of(
    api: Api,
    call: StatusCall | ExecuteCall,
    found: tuple[Pictured, ...],
    unproven: tuple[m.Transaction, ...] = (),
) -> PaymentSnapshot:
    """The judged picture of a payment whose paid attempts were validated.

    The first that was made as asked is the payment; others that are paid, too, stand in `also_paid`. What the query
    calls paid and the validation does not proves nothing: it is looked up again. What the query calls paid beside
    others and names no way to validate (`unproven`) is for a person.
    """
    made = [one for one in found if status_of(one.answer.status) in m.PAID]
    made.sort(key=lambda one: (one.answer.tran_date or "", one.answer.val_id or ""))
    pictures = [_judged(api, call, one) for one in made]
    plain = next((one for one in pictures if one.state is SnapshotState.PAID), None)
    first = plain or next(iter(pictures), None)
    if first is None:
        return PaymentSnapshot(
            state=SnapshotState.UNRECOGNIZED,
            gateway_reference=call.gateway_reference,
            raw_state=found[0].raw_state,
            gateway_order_id=call.gateway_order_id,
        )
    others = tuple(one for one in pictures if one.transaction_id != first.transaction_id)
    return replace(first, also_paid=(*others, *(_to_review(api, call, row) for row in unproven)))


def picture_without_money(
    api: Api, call: StatusCall | ExecuteCall, rows: tuple[m.Transaction, ...], over_before: datetime | None
) -> PaymentSnapshot:
    """The judged picture of a payment none of whose attempts is paid.

    Args:
        rows: its attempts; none where SSLCommerz knows none.
        over_before: a FAILED try before this moment was on a page that is over by now; None: nobody can tell.
    """
    row = _telling(rows, over_before)
    snapshot = PaymentSnapshot(
        state=SnapshotState.INITIATED if row is None else _state_of(row, over_before),
        gateway_reference=call.gateway_reference if row is None else row.value_d or call.gateway_reference,
        raw_state="" if row is None else api.word(row.status),
        gateway_order_id=call.gateway_order_id if row is None else row.tran_id or None,
        method=None if row is None else method_of(api.unsaid(row.card_type), api.unsaid(row.card_brand)),
        occurred_at=None if row is None else time_of(row.tran_date),
    )
    return judge_snapshot(
        snapshot,
        gateway_reference=call.gateway_reference,
        gateway_order_id=call.gateway_order_id,
        amount=call.amount,
        mode=api.mode,
    )


_ORDER: Final = (
    SnapshotState.INITIATED,
    SnapshotState.UNRECOGNIZED,
    SnapshotState.CANCELLED,
    SnapshotState.EXPIRED,
    SnapshotState.DECLINED,
)


def _telling(rows: tuple[m.Transaction, ...], over_before: datetime | None) -> m.Transaction | None:
    """The attempt that says how the whole stands: one that may still be paid before any that may not."""
    return min(rows, key=lambda row: _ORDER.index(_rank_of(row, over_before)), default=None)


def _rank_of(row: m.Transaction, over_before: datetime | None) -> SnapshotState:
    """Its state; a failed try ranks behind what ended the session, however young it is."""
    state = _state_of(row, over_before)
    return SnapshotState.DECLINED if status_of(row.status) is m.Status.FAILED else state


def _state_of(row: m.Transaction, over_before: datetime | None) -> SnapshotState:
    status = status_of(row.status)
    if status in _NOT_DONE:
        return SnapshotState.INITIATED
    if status is m.Status.CANCELLED:
        return SnapshotState.CANCELLED
    if status in _LEFT:
        return SnapshotState.EXPIRED
    if status is m.Status.FAILED:
        tried_at = time_of(row.tran_date)
        over = over_before is not None and tried_at is not None and tried_at < over_before
        return SnapshotState.DECLINED if over else SnapshotState.INITIATED
    return SnapshotState.UNRECOGNIZED


def _judged(api: Api, call: StatusCall | ExecuteCall, one: Pictured) -> PaymentSnapshot:
    """One paid attempt. Everything that was asked must be there, exactly, or it is no plain success."""
    answer = one.answer
    amount = _amount_of(answer, call.amount)
    transaction_id = answer.bank_tran_id
    return judge_snapshot(
        PaymentSnapshot(
            state=SnapshotState.PAID,
            gateway_reference=answer.value_d or "",
            raw_state=one.raw_state,
            gateway_order_id=answer.tran_id or None,
            amount=amount,
            transaction_id=transaction_id if is_id(transaction_id) else None,
            payer_account=account_of(answer.card_no),
            occurred_at=time_of(answer.tran_date),
            fee=_fee_of(answer, call.amount),
            method=method_of(api.unsaid(answer.card_type), api.unsaid(answer.card_brand)),
            on_hold=is_risky(answer.risk_level),
            mismatches=_other_store(api, answer) | _other_currency(answer, call.amount),
        ),
        gateway_reference=call.gateway_reference,
        gateway_order_id=call.gateway_order_id,
        amount=call.amount,
        mode=api.mode,
    )


def _to_review(api: Api, call: StatusCall | ExecuteCall, row: m.Transaction) -> PaymentSnapshot:
    """A paid attempt on the query's word alone: never booked."""
    told = _judged(api, call, Pictured(row, api.word(row.status)))
    return replace(
        told,
        state=SnapshotState.REVIEW,
        mismatches=told.mismatches | {Mismatch.TRANSACTION_ID},
        reported=SnapshotState.PAID,
    )


def _amount_of(answer: m.Transaction, asked: Money) -> Money | None:
    """What was paid, in the currency that was asked for: the gateway converts others to taka and tells both (§1.2)."""
    if asked.currency == m.CURRENCY:
        return money_of(answer.amount, answer.currency)
    return money_of(answer.currency_amount, answer.currency_type)


def _other_currency(answer: m.Transaction, asked: Money) -> frozenset[Mismatch]:
    """Taka that were paid for what the session asked for in another currency: not this payment's session."""
    told = answer.currency_type
    differs = asked.currency == m.CURRENCY and bool(told) and told != m.CURRENCY
    return frozenset({Mismatch.CURRENCY}) if differs else frozenset()


def _other_store(api: Api, answer: m.Transaction) -> frozenset[Mismatch]:
    """The judge knows no stores: an answer that names another one is about another payment."""
    differs = bool(answer.store_id) and answer.store_id != api.store_id
    return frozenset({Mismatch.GATEWAY_REFERENCE}) if differs else frozenset()


def _fee_of(answer: m.Transaction, asked: Money) -> Money | None:
    """What SSLCommerz keeps: amount - store_amount. None where it does not tell both, they make no fee, or the payment
    was asked for in another currency than the taka it keeps."""
    if asked.currency != m.CURRENCY or answer.currency != m.CURRENCY:
        return None
    whole, ours = money_of(answer.amount, m.CURRENCY), money_of(answer.store_amount, m.CURRENCY)
    if whole is None or ours is None or ours.amount_minor < 0 or whole < ours:
        return None
    return whole - ours

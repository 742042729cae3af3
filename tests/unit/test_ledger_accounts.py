"""Entries: what is given back or taken back stands against the very account the money was booked to."""

from dataclasses import replace
from itertools import product

import pytest

from vextrus_payments.ledger import AccountMap, EntryKind, LedgerEntry, Side, entries_for, payout_entries
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.records import Flag, Payment, PaymentState, Receipt, ReceiptKind
from vextrus_payments.testing.time import EPOCH

NAMED = AccountMap(
    clearing="C:{gateway}:{mode}",
    receivable="AR",
    refunds="RETURNS",
    suspense="SUSPENSE",
    unapplied="UNAPPLIED",
    fees="FEES:{gateway}",
    payable="AP",
)
PAYMENT = Payment(
    tenant="acme",
    payment_id="pay_1",
    gateway="bkash",
    mode=Mode.SANDBOX,
    merchant_reference="INV-1",
    amount=Money("100"),
    intent=Intent.SALE,
    state=PaymentState.PAID,
    created_at=EPOCH,
    updated_at=EPOCH,
    version=2,
)
FLAGS = (
    frozenset[Flag](),
    frozenset({Flag.LATE}),
    frozenset({Flag.DUPLICATE}),
    frozenset({Flag.BY_OPERATOR}),
)


def receipt(kind: ReceiptKind = ReceiptKind.PAYMENT, **changes: object) -> Receipt:
    base = Receipt(
        tenant="acme",
        gateway="bkash",
        mode=Mode.SANDBOX,
        kind=kind,
        transaction_id="T1",
        amount=Money("30"),
        recorded_at=EPOCH,
        payment_id="pay_1",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def sums(*entries: LedgerEntry) -> dict[str, int]:
    found: dict[str, int] = {}
    for entry in entries:
        for posting in entry.postings:
            sign = 1 if posting.side is Side.DEBIT else -1
            found[posting.account] = found.get(posting.account, 0) + sign * posting.amount.amount_minor
    return {account: left for account, left in found.items() if left}


@pytest.mark.parametrize(("flags", "mismatched"), list(product(FLAGS, (False, True))))
def test_a_refund_empties_the_account_its_receipt_filled(flags: frozenset[Flag], mismatched: bool) -> None:
    accounts = replace(NAMED, refunds="AR")
    came = entries_for(receipt(flags=flags, mismatched=mismatched), PAYMENT, accounts)
    inherited = flags & {Flag.LATE, Flag.DUPLICATE}
    back = receipt(ReceiptKind.REFUND, transaction_id="R1", flags=inherited, mismatched=mismatched)
    assert sums(*came, *entries_for(back, PAYMENT, accounts)) == {}


@pytest.mark.parametrize(
    ("kind", "flags", "mismatched"),
    list(product((ReceiptKind.PAYMENT, ReceiptKind.REFUND), FLAGS, (False, True))),
)
def test_a_reversal_is_the_exact_opposite(
    kind: ReceiptKind, flags: frozenset[Flag], mismatched: bool
) -> None:
    booked = receipt(kind, flags=flags, mismatched=mismatched)
    taken_back = replace(booked, kind=ReceiptKind.REVERSAL, reverses=kind)
    came, gone = entries_for(booked, PAYMENT, NAMED), entries_for(taken_back, PAYMENT, NAMED)
    assert sums(*came, *gone) == {}
    assert len({entry.id for entry in (*came, *gone)}) == 2
    assert gone[0].kind is EntryKind.PAYMENT_REVERSED


def test_what_the_gateway_itself_reversed_goes_to_suspense() -> None:
    (entry,) = entries_for(receipt(ReceiptKind.REVERSAL), PAYMENT, NAMED)
    assert sums(entry) == {"SUSPENSE": 3_000, "C:bkash:sandbox": -3_000}


@pytest.mark.parametrize(
    ("flags", "mismatched", "account"),
    [
        (frozenset(), False, "AR"),
        (frozenset({Flag.LATE}), False, "UNAPPLIED"),
        (frozenset({Flag.DUPLICATE}), False, "UNAPPLIED"),
        (frozenset({Flag.LATE}), True, "SUSPENSE"),
        (frozenset({Flag.BY_OPERATOR}), False, "AR"),
    ],
)
def test_where_money_that_came_in_stands(flags: frozenset[Flag], mismatched: bool, account: str) -> None:
    (entry,) = entries_for(receipt(flags=flags, mismatched=mismatched), PAYMENT, NAMED)
    assert sums(entry) == {"C:bkash:sandbox": 3_000, account: -3_000}


def test_an_unmatched_receipt_is_unapplied() -> None:
    (entry,) = entries_for(receipt(payment_id=None), None, NAMED)
    assert entry.kind is EntryKind.RECEIPT_UNMATCHED
    assert sums(entry) == {"C:bkash:sandbox": 3_000, "UNAPPLIED": -3_000}


def test_a_fee_is_an_entry_of_its_own() -> None:
    money, fee = entries_for(receipt(fee=Money("0.55")), PAYMENT, NAMED)
    assert (money.kind, fee.kind) == (EntryKind.PAYMENT_RECEIVED, EntryKind.PAYMENT_FEE)
    assert sums(fee) == {"FEES:bkash": 55, "C:bkash:sandbox": -55}


@pytest.mark.parametrize("kind", [ReceiptKind.TRANSFER, ReceiptKind.TRANSFER_BACK])
def test_a_transfer_within_one_account_books_nothing(kind: ReceiptKind) -> None:
    moved = Receipt(
        tenant="acme",
        gateway="bkash",
        mode=Mode.SANDBOX,
        kind=kind,
        transaction_id="MOVED1",
        amount=Money("5000"),
        recorded_at=EPOCH,
        payment_id=None,
    )
    taken_back = replace(moved, kind=ReceiptKind.REVERSAL, reverses=kind)
    apart = AccountMap(disbursement="gateway_disbursement:{gateway}:{mode}")
    for each in (moved, taken_back):
        assert payout_entries(each, None) == ()
        (entry,) = payout_entries(each, None, apart)
        assert len({posting.account for posting in entry.postings}) == 2

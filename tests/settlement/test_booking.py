"""What settling books: the clearing account is left with nothing, whatever the gateway says and takes back."""

from collections import Counter
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.settlement.shop import DAY, NOON, receipt
from vextrus_payments.documents import from_json
from vextrus_payments.ledger import (
    DEFAULT_ACCOUNTS,
    AccountMap,
    EntryKind,
    LedgerEntry,
    Side,
    entries_for,
    entry_id,
)
from vextrus_payments.money import Money
from vextrus_payments.plans import SettlementPlan
from vextrus_payments.records import Receipt, ReceiptKind, Settlement
from vextrus_payments.settlement.booking import plan_settlement
from vextrus_payments.settlement.formats import SETTLED_KINDS
from vextrus_payments.settlement.lines import OUTGOING
from vextrus_payments.settlement.words import Line


def line(of: Receipt, fee: Money | None, day: date = DAY) -> Line:
    return Line(
        row=2,
        transaction_id=of.transaction_id,
        kind=of.kind,
        amount=of.amount,
        fee=fee,
        net=None,
        unsettled_status=None,
        reference=None,
        occurred_on=None,
        settled_on=day,
    )


def planned(of: Receipt, fee: str | None, before: Settlement | None = None) -> SettlementPlan:
    money = None if fee is None else Money(fee)
    return plan_settlement(
        line(of, money), of, before, statement="s.csv", accounts=DEFAULT_ACCOUNTS, now=NOON
    )


def entries_of(plan: SettlementPlan) -> list[LedgerEntry]:
    return [from_json(LedgerEntry, row.document) for row in plan.outbox]


def postings(entry: LedgerEntry) -> dict[str, str]:
    return {posting.account: f"{posting.side.value} {posting.amount.amount}" for posting in entry.postings}


CLEARING, BANK, FEES = "gateway_clearing:bkash:sandbox", "bank", "gateway_fees:bkash"


def test_a_payment_settles_net_to_the_bank_and_its_fee_to_fees() -> None:
    plan = planned(receipt(), "1.85")
    settled, fee = entries_of(plan)
    assert (settled.kind, postings(settled)) == (
        EntryKind.PAYMENT_SETTLED,
        {BANK: "debit 98.15", CLEARING: "credit 98.15"},
    )
    assert (fee.kind, postings(fee)) == (EntryKind.PAYMENT_FEE, {FEES: "debit 1.85", CLEARING: "credit 1.85"})
    assert settled.metadata == {"statement": "s.csv", "statement_row": "2", "settled_on": "2026-01-20"}
    assert settled.occurred_at is not None
    assert (settled.occurred_at + timedelta(hours=6)).isoformat() == "2026-01-20T00:00:00+00:00"
    assert [row.seq for row in plan.outbox] == [1, 2]
    assert plan.settlement.outbox_seq == 2
    assert {row.row_id for row in plan.outbox} == {settled.id, fee.id}
    assert settled.id == entry_id(receipt().key, EntryKind.PAYMENT_SETTLED)
    assert fee.id == entry_id(receipt().key, EntryKind.PAYMENT_FEE)


def test_a_refund_is_taken_off_the_payout() -> None:
    settled, fee = entries_of(planned(receipt(kind=ReceiptKind.REFUND), "2.00"))
    assert postings(settled) == {CLEARING: "debit 102.00", BANK: "credit 102.00"}
    assert postings(fee) == {FEES: "debit 2.00", CLEARING: "credit 2.00"}


def test_a_payout_is_taken_off_the_account_that_it_left() -> None:
    apart = AccountMap(disbursement="PAID_FROM")
    paid = receipt(kind=ReceiptKind.PAYOUT)
    plan = plan_settlement(line(paid, Money("2.00")), paid, None, statement="s.csv", accounts=apart, now=NOON)
    [sent] = entries_for(paid, None, apart)
    settled, fee = entries_of(plan)
    assert postings(sent)["PAID_FROM"] == "credit 100.00"
    assert postings(settled) == {"PAID_FROM": "debit 102.00", BANK: "credit 102.00"}
    assert postings(fee) == {FEES: "debit 2.00", "PAID_FROM": "credit 2.00"}


def test_a_fee_that_is_known_already_is_booked_as_the_difference_only() -> None:
    known = receipt(fee="1.85")
    [booked] = [entry for entry in entries_for(known, None) if entry.kind is EntryKind.PAYMENT_FEE]
    [settled] = entries_of(planned(known, "1.85"))
    assert postings(settled) == {BANK: "debit 98.15", CLEARING: "credit 98.15"}
    settled, more = entries_of(planned(known, "2.00"))
    assert postings(settled) == {BANK: "debit 98.00", CLEARING: "credit 98.00"}
    assert postings(more) == {FEES: "debit 0.15", CLEARING: "credit 0.15"}
    assert more.id != booked.id
    settled, less = entries_of(planned(known, "1.00"))
    assert postings(less) == {CLEARING: "debit 0.85", FEES: "credit 0.85"}
    [settled] = entries_of(planned(known, None))
    assert postings(settled) == {BANK: "debit 98.15", CLEARING: "credit 98.15"}


def test_a_fee_as_large_as_the_amount_leaves_the_bank_nothing() -> None:
    [fee] = entries_of(planned(receipt(), "100.00"))
    assert postings(fee) == {FEES: "debit 100.00", CLEARING: "credit 100.00"}
    settled, fee = entries_of(planned(receipt(), "120.00"))
    assert postings(settled) == {CLEARING: "debit 20.00", BANK: "credit 20.00"}


def test_a_correction_books_differences_under_ids_of_its_own() -> None:
    first = planned(receipt(), "1.85")
    second = planned(receipt(), "2.85", first.settlement)
    assert (second.expected_version, second.settlement.version) == (1, 2)
    settled, fee = entries_of(second)
    assert postings(settled) == {CLEARING: "debit 1.00", BANK: "credit 1.00"}
    assert postings(fee) == {FEES: "debit 1.00", CLEARING: "credit 1.00"}
    assert [row.seq for row in second.outbox] == [3, 4]
    third = planned(receipt(), "1.85", second.settlement)
    ids = [row.row_id for plan in (first, second, third) for row in plan.outbox]
    assert len(set(ids)) == 6
    assert {row.subject for plan in (first, second, third) for row in plan.outbox} == {
        "settlement/bkash/sandbox/payment/AB12"
    }


MINOR = st.integers(1, 10**9)
FEE = st.one_of(st.none(), st.integers(-(10**6), 10**6).map(Money.from_minor))


@given(
    st.sampled_from(SETTLED_KINDS),
    MINOR,
    st.one_of(st.none(), st.integers(0, 10**6).map(Money.from_minor)),
    st.lists(FEE, min_size=1, max_size=5),
)
def test_the_clearing_account_is_left_with_nothing(
    kind: ReceiptKind, minor: int, known: Money | None, fees: list[Money | None]
) -> None:
    """However often the fee is corrected: received, settled and fee add up to zero, and the bank has the net."""
    from dataclasses import replace

    one = replace(receipt(kind=kind), amount=Money.from_minor(minor), fee=known)
    entries = list(entries_for(one, None))
    before: Settlement | None = None
    last = known or Money.from_minor(0)
    for fee in fees:
        plan = plan_settlement(
            line(one, fee), one, before, statement="s", accounts=DEFAULT_ACCOUNTS, now=NOON
        )
        entries += entries_of(plan)
        before, last = plan.settlement, last if fee is None else fee
    sums: Counter[str] = Counter()
    for entry in entries:
        for posting in entry.postings:
            sums[posting.account] += posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
    assert sums[CLEARING] == 0
    assert sums[FEES] == last.amount_minor
    gross = -minor if kind in OUTGOING else minor
    assert sums[BANK] == gross - last.amount_minor
    assert len({entry.id for entry in entries}) == len(entries)

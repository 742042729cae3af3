"""Each kind of break, with its field and both values; and what is booked in spite of it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from tests.settlement.books import balances, entry_ids
from tests.settlement.shop import NOON, Desk, receipt, recorded
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.records import ReceiptKind
from vextrus_payments.settlement import Break, BreakKind, Days, StatementFormat, Tolerances
from vextrus_payments.settlement.formats import GENERIC
from vextrus_payments.stores import MemoryStore

CLEARING = "gateway_clearing:bkash:sandbox"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = MemoryStore()
    await store.open()
    yield Desk(store, tmp_path)
    await store.close()


def form(**columns: str) -> StatementFormat:
    return StatementFormat.model_validate(
        {
            "columns": {"transaction_id": "id", "amount": "amount", "settled_on": "day", **columns},
            "kinds": {"payment": "payment", "refund": "refund", "reversal": "reversal"},
            "settled_words": ["done"],
            "unsettled_words": ["failed"],
        }
    )


async def test_agreement_is_booked_and_says_nothing(desk: Desk) -> None:
    await recorded(desk.store, receipt(), receipt("CD34", "40.00", kind=ReceiptKind.REFUND))
    path = desk.statement("AB12,payment,100.00,1.85,2026-01-21", "CD34,refund,40,0,2026-01-21")
    report = await desk.settle(path)
    assert desk.found == []
    assert report.agrees
    assert (report.rows, report.matched, report.booked) == (2, 2, 2)
    assert (report.gross["BDT"].amount, report.fees["BDT"].amount) == ("60.00", "1.85")
    sums = await balances(desk.store)
    assert sums == {CLEARING: 0, "accounts_receivable": -6000, "bank": 5815, "gateway_fees:bkash": 185}


async def test_missing_here(desk: Desk) -> None:
    report = await desk.settle(desk.statement("AB12,payment,100.00,1.85,2026-01-21"))
    assert desk.breaks == [(BreakKind.MISSING_HERE, "transaction_id", None, "100.00 BDT on 2026-01-21")]
    assert report.matched == 0
    assert not report.agrees


async def test_missing_there_and_awaited(desk: Desk) -> None:
    old = NOON - timedelta(days=10)
    await recorded(desk.store, receipt("OLD1", at=old, recorded_at=old))
    await recorded(desk.store, receipt("YOUNG1", payment_id="pay_2"))
    await recorded(desk.store, receipt("FEB1", at=NOON + timedelta(days=20), payment_id="pay_3"))
    await recorded(desk.store, receipt("HERE1", payment_id="pay_4"))
    desk.form = form(occurred_on="when")
    path = desk.statement(
        "HERE1,100.00,2026-01-21,2026-01-20", "GONE,5,2026-01-21,2026-01-08", heads="id,amount,day,when"
    )
    report = await desk.settle(path)
    assert (BreakKind.MISSING_THERE, "transaction_id", "100.00 BDT on 2026-01-10", None) in desk.breaks
    assert report.breaks == {BreakKind.MISSING_THERE: 1, BreakKind.MISSING_HERE: 1}
    assert report.awaited == 1
    assert report.covers == Days(date(2026, 1, 8), date(2026, 1, 20))
    # Whoever says what the statement covers waits for nothing.
    report = await desk.settle(path, covers=Days(date(2026, 1, 1), date(2026, 1, 31)))
    assert report.breaks[BreakKind.MISSING_THERE] == 2
    assert report.awaited == 0
    await desk.settle(path, covers=Days(date(2026, 1, 11), date(2026, 1, 19)))
    assert {one.transaction_id for one in desk.found} == {"GONE"}


async def test_a_receipt_that_was_found_late_counts_by_the_day_of_its_money(desk: Desk) -> None:
    await recorded(desk.store, receipt("LATE1", recorded_at=NOON + timedelta(days=40)))
    path = desk.statement()
    report = await desk.settle(path, covers=Days(date(2026, 1, 20), date(2026, 1, 20)))
    assert report.breaks == {BreakKind.MISSING_THERE: 1}
    report = await desk.settle(path, covers=Days(date(2026, 2, 1), date(2026, 3, 31)))
    assert report.agrees
    report = await desk.settle(path)
    assert report.covers is None, "an empty statement says nothing of any day"


async def test_days_of_receipts_are_dhakas(desk: Desk) -> None:
    late_evening = datetime(2026, 1, 31, 18, 30, tzinfo=UTC)  # half past midnight on 1 February in Dhaka
    await recorded(desk.store, receipt("FEB1", at=late_evening, recorded_at=late_evening))
    january = await desk.settle(desk.statement(), covers=Days(date(2026, 1, 1), date(2026, 1, 31)))
    assert january.agrees
    february = await desk.settle(desk.statement(), covers=Days(date(2026, 2, 1), date(2026, 2, 1)))
    assert february.breaks == {BreakKind.MISSING_THERE: 1}


async def test_amount(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    report = await desk.settle(desk.statement("AB12,payment,100.01,1.85,2026-01-21"))
    assert desk.breaks == [(BreakKind.AMOUNT, "amount", "100.00 BDT", "100.01 BDT")]
    [one] = desk.found
    assert isinstance(one, Break)
    assert (one.row, one.payment_id, one.merchant_reference, one.booked) == (2, "pay_1", "INV-1", False)
    assert report.booked == 0
    assert (await balances(desk.store))["bank"] == 0


async def test_currency(desk: Desk) -> None:
    await recorded(desk.store, receipt(fee="1.85"))
    desk.form = form(currency="cur", fee="fee")
    await desk.settle(desk.statement("AB12,100.00,2026-01-21,usd,2", heads="id,amount,day,cur,fee"))
    assert desk.breaks == [(BreakKind.CURRENCY, "currency", "BDT", "USD")]
    assert (await balances(desk.store))["bank"] == 0


async def test_fee_is_reported_and_booked_as_the_statement_has_it(desk: Desk) -> None:
    await recorded(desk.store, receipt(fee="1.85"))
    for run in range(2):
        report = await desk.settle(desk.statement("AB12,payment,100.00,2.00,2026-01-21"))
        assert desk.breaks == [(BreakKind.FEE, "fee", "1.85 BDT", "2.00 BDT")]
        assert desk.found[0].booked
        assert (report.booked, report.already) == ((1, 0), (0, 1))[run]
    sums = await balances(desk.store)
    assert (sums["bank"], sums["gateway_fees:bkash"], sums[CLEARING]) == (9800, 200, 0)


@pytest.mark.parametrize(
    ("fee", "net", "ours", "theirs"),
    [("1.85", "98.20", "98.15 BDT", "98.20 BDT"), ("", "98.15", "100.00 BDT", "98.15 BDT")],
)
async def test_net(fee: str, net: str, ours: str, theirs: str, desk: Desk) -> None:
    await recorded(desk.store, receipt())
    desk.form = form(fee="fee", net="net")
    await desk.settle(desk.statement(f"AB12,100.00,2026-01-21,{fee},{net}", heads="id,amount,day,fee,net"))
    assert desk.breaks == [(BreakKind.NET, "net", ours, theirs)]
    assert (await balances(desk.store))["bank"] == 0


async def test_a_net_that_the_known_fee_explains_agrees(desk: Desk) -> None:
    await recorded(desk.store, receipt(fee="1.85"))
    desk.form = form(fee="fee", net="net")
    await desk.settle(desk.statement("AB12,100.00,2026-01-21,,98.15", heads="id,amount,day,fee,net"))
    assert desk.found == []
    assert (await balances(desk.store))["bank"] == 9815


async def test_duplicate(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    row = "AB12,payment,100.00,1.85,2026-01-21"
    report = await desk.settle(desk.statement(row, "EF56,payment,1,0,2026-01-21", row, row))
    assert desk.breaks[:2] == [
        (BreakKind.DUPLICATE, "transaction_id", "row 2: 100.00 BDT", "row 4: 100.00 BDT"),
        (BreakKind.DUPLICATE, "transaction_id", "row 2: 100.00 BDT", "row 5: 100.00 BDT"),
    ]
    assert report.booked == 1
    assert (await balances(desk.store))["bank"] == 9815


async def test_a_transaction_that_fills_several_chunks_is_booked_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(desk.store, receipt())
    monkeypatch.setattr("vextrus_payments.settlement.spool.CHUNK", 3)
    row = "AB12,payment,100.00,1.85,2026-01-21"
    report = await desk.settle(desk.statement("AA00,payment,5,0,2026-01-21", *[row] * 10))
    assert report.breaks == {BreakKind.DUPLICATE: 9, BreakKind.MISSING_HERE: 1}
    assert report.booked == 1


async def test_kind(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    report = await desk.settle(
        desk.statement("AB12,refund,100.00,0,2026-01-21"), covers=Days(date(2026, 1, 1), date(2026, 1, 31))
    )
    assert desk.breaks == [(BreakKind.KIND, "kind", "payment", "refund")]
    assert report.breaks[BreakKind.MISSING_THERE] == 0, "it is there, as something else"
    assert (await balances(desk.store))["bank"] == 0


async def test_two_kinds_may_share_an_id(desk: Desk) -> None:
    await recorded(desk.store, receipt(), receipt(kind=ReceiptKind.REVERSAL))
    month = Days(date(2026, 1, 1), date(2026, 1, 31))
    payment = "AB12,payment,100.00,0,2026-01-21"
    report = await desk.settle(desk.statement(payment), covers=month)
    assert [one.receipt_kind for one in desk.found] == [ReceiptKind.REVERSAL]
    assert report.breaks == {BreakKind.MISSING_THERE: 1}
    report = await desk.settle(desk.statement(payment, "AB12,reversal,100.00,0,2026-01-21"), covers=month)
    assert report.agrees
    assert (report.booked, report.already) == (1, 1)
    sums = await balances(desk.store)
    assert (sums["bank"], sums[CLEARING]) == (0, 0)


async def test_status(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    desk.form = form(status="state")
    report = await desk.settle(
        desk.statement(
            "AB12,100.00,2026-01-21,Failed", "EF56,7,2026-01-21,failed", heads="id,amount,day,state"
        )
    )
    assert desk.breaks == [(BreakKind.STATUS, "status", "moved", "failed")]
    assert report.ignored == 1, "what failed there and never was here is nobody's business"
    assert (await balances(desk.store))["bank"] == 0


@pytest.mark.parametrize(
    ("reference_is", "theirs", "ours"),
    [
        ("gateway_order_id", "INV1", None),
        ("gateway_order_id", "INV-1", None),
        ("gateway_order_id", "INV1-2", "INV1"),
        ("gateway_order_id", "OTHER", "INV1"),
        ("gateway_order_id", "", None),
        ("merchant_reference", "INV-1", None),
        ("merchant_reference", "INV1", "INV-1"),
    ],
)
async def test_reference(reference_is: str, theirs: str, ours: str | None, desk: Desk) -> None:
    await recorded(desk.store, receipt(), order_ids=("INV1", "INV1-2"))
    desk.form = form(reference="ref").model_copy(update={"reference_is": reference_is})
    await desk.settle(desk.statement(f"AB12,100.00,2026-01-21,{theirs}", heads="id,amount,day,ref"))
    expected = [] if ours is None else [(BreakKind.REFERENCE, "reference", ours, theirs)]
    assert desk.breaks == expected
    assert (await balances(desk.store))["bank"] == (10000 if ours is None else 0)


async def test_mode(desk: Desk) -> None:
    await recorded(desk.store, receipt(mode=Mode.LIVE))
    await desk.settle(desk.statement("AB12,payment,100.00,0,2026-01-21"))
    assert desk.breaks == [(BreakKind.MODE, "mode", "live", "sandbox")]
    assert (await balances(desk.store))["bank"] == 0


@pytest.mark.parametrize(
    ("when", "settled", "field"),
    [
        ("2026-01-20", "2026-01-21", None),
        ("2026-01-21", "2026-01-21", None),
        ("2026-01-19", "2026-01-19", None),
        ("2026-01-18", "2026-01-21", "occurred_on"),
        ("2026-01-22", "2026-01-23", "occurred_on"),
        ("2026-01-20", "2026-01-18", "settled_on"),
        ("2026-01-20", "2026-01-27", None),
        ("2026-01-20", "2026-01-28", "settled_on"),
        ("", "2026-01-28", "settled_on"),
    ],
)
async def test_timing(when: str, settled: str, field: str | None, desk: Desk) -> None:
    await recorded(desk.store, receipt())
    desk.form = form(occurred_on="when")
    report = await desk.settle(desk.statement(f"AB12,100.00,{settled},{when}", heads="id,amount,day,when"))
    theirs = when if field == "occurred_on" else settled
    expected = [] if field is None else [(BreakKind.TIMING, field, "2026-01-20", theirs)]
    assert desk.breaks == expected
    assert report.booked == 1, "the money is the same, whenever it was"


async def test_days_may_be_allowed_to_be_further_apart(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    path = desk.statement("AB12,payment,100.00,0,2026-02-20")
    await desk.settle(path, apply=False, tolerances=Tolerances(settles_within_days=31))
    assert desk.found == []


async def test_a_payment_whose_time_nobody_told_is_not_held_to_the_day_we_learned_of_it(desk: Desk) -> None:
    await recorded(desk.store, receipt(at=None, recorded_at=NOON + timedelta(days=5)))
    desk.form = form(occurred_on="when")
    await desk.settle(desk.statement("AB12,100.00,2026-01-21,2026-01-20", heads="id,amount,day,when"))
    assert desk.found == []


async def test_several_breaks_of_one_row_are_all_said(desk: Desk) -> None:
    await recorded(desk.store, receipt(fee="1.85"))
    desk.form = form(fee="fee", net="net", reference="ref", occurred_on="when")
    await desk.settle(
        desk.statement(
            "AB12,99.00,2026-01-21,2.00,96.00,OTHER,2026-01-01", heads="id,amount,day,fee,net,ref,when"
        )
    )
    assert {kind for kind, *_ in desk.breaks} == {
        BreakKind.AMOUNT,
        BreakKind.NET,
        BreakKind.REFERENCE,
        BreakKind.FEE,
        BreakKind.TIMING,
    }
    assert not any(one.booked for one in desk.found)
    assert await entry_ids(desk.store) == sorted(await entry_ids(desk.store))
    assert (await balances(desk.store))["bank"] == 0


async def test_another_tenant_has_nothing_to_do_with_it(desk: Desk) -> None:
    await recorded(desk.store, receipt())
    path = desk.statement("AB12,payment,100.00,0,2026-01-21")
    from vextrus_payments.settlement import SettlementRun

    run = SettlementRun(desk.store, tenant="other", gateway="bkash", mode=Mode.SANDBOX, form=GENERIC)
    assert (await run.run(path)).breaks == {BreakKind.MISSING_HERE: 1}


async def test_what_an_operator_was_wrong_about_is_neither_settled_nor_missed(desk: Desk) -> None:
    """Booked on somebody's word and taken back: of it the clearing account has nothing that could be settled."""
    word = receipt()
    back = replace(word, kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYMENT, occurred_at=None)
    await recorded(desk.store, word, back, receipt("OK", "5.00"))
    month = Days(date(2026, 1, 1), date(2026, 1, 31))
    good = "OK,payment,5.00,0,2026-01-21"
    report = await desk.settle(desk.statement(good), covers=month)
    assert report.agrees and desk.breaks == []
    report = await desk.settle(desk.statement(good, "AB12,payment,100.00,0,2026-01-21"), covers=month)
    said = ("100.00 BDT, taken back", "100.00 BDT on 2026-01-21")
    assert desk.breaks == [(BreakKind.MISSING_HERE, "transaction_id", *said)]
    report = await desk.settle(desk.statement(good, "AB12,reversal,100.00,0,2026-01-21"), covers=month)
    assert [one[0] for one in desk.breaks] == [BreakKind.MISSING_HERE]
    assert (report.booked, report.already) == (0, 1)
    assert (await balances(desk.store))[CLEARING] == 0


async def test_what_was_settled_before_it_was_corrected_is_not_settled_again(desk: Desk) -> None:
    """A person booked it to the wrong payout: it stands for another one now, and left the bank's account once."""
    paid = receipt(kind=ReceiptKind.PAYOUT, fee="2.00")
    await recorded(desk.store, paid)
    line = "AB12,payout,100.00,2.00,2026-01-21"
    assert (await desk.settle(desk.statement(line))).booked == 1
    before = await balances(desk.store)
    back = replace(paid, kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYOUT, occurred_at=None)
    correction = replace(paid, kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT)
    await recorded(desk.store, *(replace(one, payment_id="pay_2") for one in (back, correction)))
    month = Days(date(2026, 1, 1), date(2026, 1, 31))
    report = await desk.settle(desk.statement(line), covers=month)
    assert (report.booked, report.already, desk.breaks) == (0, 1, [])
    assert await balances(desk.store) == before and before[CLEARING] == 0
    # Anything else that a statement says of it now is for a person.
    for other, field in (("110.00,2.00", "amount"), ("100.00,3.00", "fee")):
        report = await desk.settle(desk.statement(f"AB12,payout,{other},2026-01-22"))
        assert [one[1] for one in desk.breaks] == [field] and report.booked == report.adjusted == 0
    assert await balances(desk.store) == before


async def test_a_payout_that_was_corrected_twice_is_settled_as_the_last_one(desk: Desk) -> None:
    paid = receipt(kind=ReceiptKind.PAYOUT, fee="2.00")
    facts = [paid]
    for no, amount in ((1, "110.00"), (2, "120.00")):
        stood = facts[-1]
        facts.append(
            replace(
                stood,
                kind=ReceiptKind.REVERSAL,
                reverses=ReceiptKind.PAYOUT,
                corrects=None,
                no=no,
                occurred_at=None,
            )
        )
        facts.append(
            replace(
                paid, kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT, no=no, amount=Money(amount)
            )
        )
    await recorded(desk.store, *facts)
    month = Days(date(2026, 1, 1), date(2026, 1, 31))
    await desk.settle(desk.statement("AB12,payout,110.00,2.00,2026-01-21"), covers=month)
    assert [one[:2] for one in desk.breaks] == [(BreakKind.AMOUNT, "amount")]
    right = desk.statement("AB12,payout,120.00,2.00,2026-01-21")
    report = await desk.settle(right, covers=month)
    assert report.agrees and (report.booked, desk.breaks) == (1, [])
    assert (await balances(desk.store))[CLEARING] == 0
    (settled,) = await desk.store.settlements([one.key for one in facts])
    assert settled.key == facts[-1].key
    report = await desk.settle(right, covers=month)
    assert (report.booked, report.already) == (0, 1)
    # Taken back in its turn, and made under nothing else: the statement has what the books have not.
    last = replace(
        facts[-1],
        kind=ReceiptKind.REVERSAL,
        reverses=ReceiptKind.PAYOUT,
        corrects=None,
        no=3,
        payment_id="pay_2",
    )
    await recorded(desk.store, last)
    await desk.settle(right, covers=month)
    assert [one[0] for one in desk.breaks] == [BreakKind.MISSING_HERE]


async def test_what_was_settled_before_a_second_correction_is_not_settled_again(desk: Desk) -> None:
    paid = receipt(kind=ReceiptKind.PAYOUT, fee="2.00")
    await recorded(desk.store, paid)
    line = "AB12,payout,100.00,2.00,2026-01-21"
    assert (await desk.settle(desk.statement(line))).booked == 1
    before = await balances(desk.store)
    for no in (1, 2):
        back = replace(paid, kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYOUT, no=no, occurred_at=None)
        correction = replace(paid, kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT, no=no)
        await recorded(desk.store, *(replace(one, payment_id=f"pay_{no + 1}") for one in (back, correction)))
        report = await desk.settle(desk.statement(line))
        assert (report.booked, report.already, desk.breaks) == (0, 1, [])
        assert await balances(desk.store) == before and before[CLEARING] == 0


async def test_a_corrected_payout_is_settled_as_what_it_is_now(desk: Desk) -> None:
    """The statement knows one transaction; of the three receipts of it the correction is what stands."""
    paid = receipt(kind=ReceiptKind.PAYOUT, fee="2.00")
    back = replace(paid, kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYOUT, occurred_at=None)
    correction = replace(
        paid, kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT, amount=Money("110.00")
    )
    await recorded(desk.store, paid, back, correction)
    month = Days(date(2026, 1, 1), date(2026, 1, 31))
    await desk.settle(desk.statement(), covers=month)
    assert [one[:2] for one in desk.breaks] == [(BreakKind.MISSING_THERE, "transaction_id")]
    assert "110.00" in str(desk.breaks[0])
    report = await desk.settle(desk.statement("AB12,payout,100.00,2.00,2026-01-21"), covers=month)
    assert [one[:2] for one in desk.breaks] == [(BreakKind.AMOUNT, "amount")] and report.booked == 0
    right = desk.statement("AB12,payout,110.00,2.00,2026-01-21")
    report = await desk.settle(right, covers=month)
    assert report.agrees and (report.booked, desk.breaks) == (1, [])
    assert (await balances(desk.store))[CLEARING] == 0
    report = await desk.settle(right, covers=month)
    assert (report.booked, report.already) == (0, 1)

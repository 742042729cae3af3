"""One cell at a time: amounts are exact or refused, days are Dhaka's, ids are ids."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vextrus_payments.money import Money
from vextrus_payments.settlement.cells import Cell, CellError, day_of, id_of, money_of, reference_of
from vextrus_payments.settlement.formats import StatementFormat


def form(**more: object) -> StatementFormat:
    return StatementFormat.model_validate({"columns": {"transaction_id": "id", "amount": "amount"}, **more})


PLAIN = form()
COMMAS = form(thousands=",")
EUROPEAN = form(thousands=".", decimal_point=",")


@pytest.mark.parametrize(
    ("text", "layout", "amount"),
    [
        ("1499", PLAIN, "1499.00"),
        (" 100.00 ", PLAIN, "100.00"),
        ("+5.5", PLAIN, "5.50"),
        ("-5.50", PLAIN, "-5.50"),
        ("100.0000", PLAIN, "100.00"),
        ("1,500", COMMAS, "1500.00"),
        ("1,25,000.50", COMMAS, "125000.50"),
        ("12,50,000", COMMAS, "1250000.00"),
        ("1,250,000.05", COMMAS, "1250000.05"),
        ("-1,500.00", COMMAS, "-1500.00"),
        ("999.99", COMMAS, "999.99"),
        ("1.500,25", EUROPEAN, "1500.25"),
        ("1500,25", EUROPEAN, "1500.25"),
        ("1 500.25", form(thousands=" "), "1500.25"),
    ],
)
def test_amounts_are_exact(text: str, layout: StatementFormat, amount: str) -> None:
    assert money_of(text, "BDT", layout) == Money(amount)


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("", PLAIN),
        ("1,500", PLAIN),
        ("1,500.00", PLAIN),
        ("15,00", COMMAS),
        ("1,5000", COMMAS),
        (",500", COMMAS),
        ("1,,500", COMMAS),
        ("1.500", form(decimal_point=",")),
        ("1500.25", EUROPEAN),
        ("0.005", PLAIN),
        ("1e3", PLAIN),
        ("1.", PLAIN),
        (".5", PLAIN),
        ("--5", PLAIN),
        ("NaN", PLAIN),
        ("Infinity", PLAIN),
        ("৫০০", PLAIN),
        ("\u22125.00", PLAIN),
        ("(5.00)", PLAIN),
        ("BDT 5.00", PLAIN),
        ("1 500", PLAIN),
        ("1" * 18, PLAIN),
        ("5.00.00", PLAIN),
        ("#N/A", PLAIN),
        (date(2026, 1, 1), PLAIN),
    ],
)
def test_what_is_no_exact_amount_is_refused(text: Cell, layout: StatementFormat) -> None:
    with pytest.raises(CellError):
        money_of(text, "BDT", layout)


def test_thousands_separators_are_refused_with_the_way_out() -> None:
    with pytest.raises(CellError, match='thousands = "," would'):
        money_of("1,500", "BDT", PLAIN)


@given(st.integers(-(10**15), 10**15))
def test_an_amount_with_separators_is_the_amount_without(minor: int) -> None:
    money = Money.from_minor(minor)
    assert money_of(f"{Decimal(minor) / 100:,.2f}", "BDT", COMMAS) == money
    assert money_of(money.amount, "BDT", PLAIN) == money


@pytest.mark.parametrize(
    ("cell", "pattern", "day"),
    [
        ("2026-01-31", "iso", date(2026, 1, 31)),
        ("2026-01-31 23:59", "iso", date(2026, 1, 31)),
        ("2026-01-31T23:59:59.5", "iso", date(2026, 1, 31)),
        # half past seven in the evening in London is the next day in Dhaka
        ("2026-01-31T19:30:00+00:00", "iso", date(2026, 2, 1)),
        ("2026-01-31T17:59:59Z", "iso", date(2026, 1, 31)),
        ("2026-01-31T18:00:00Z", "iso", date(2026, 2, 1)),
        ("31/01/2026", "%d/%m/%Y", date(2026, 1, 31)),
        ("31-Jan-26 11:59 PM", "%d-%b-%y %I:%M %p", date(2026, 1, 31)),
        ("31/01/2026 19:30 +0000", "%d/%m/%Y %H:%M %z", date(2026, 2, 1)),
        (date(2026, 1, 31), "iso", date(2026, 1, 31)),
        (datetime(2026, 1, 31, 23), "%d/%m/%Y", date(2026, 1, 31)),  # noqa: DTZ001 - a spreadsheet's
        (datetime(2026, 1, 31, 18, tzinfo=UTC), "iso", date(2026, 2, 1)),
    ],
)
def test_days_are_days_in_dhaka(cell: Cell, pattern: str, day: date) -> None:
    assert day_of(cell, pattern) == day


@pytest.mark.parametrize(
    ("cell", "pattern"),
    [
        ("", "iso"),
        ("31/01/2026", "iso"),
        ("2026-02-30", "iso"),
        ("20260131", "iso"),
        ("2026-W05-6", "iso"),
        ("01/31/2026", "%d/%m/%Y"),
        ("31/01/26", "%d/%m/%Y"),
        ("31/01/2026 and more", "%d/%m/%Y"),
        ("1899-12-31", "iso"),
        ("2126-01-01", "iso"),
        (date(1900, 1, 1), "iso"),
        ("45688", "iso"),
    ],
)
def test_what_is_no_day_is_refused(cell: Cell, pattern: str) -> None:
    with pytest.raises(CellError):
        day_of(cell, pattern)


def test_ids_and_references() -> None:
    assert id_of(" AB12CD ") == "AB12CD"
    for wrong in ("", "A B", "আইডি", "x" * 129, "a\x1fb", "a\nb", date(2026, 1, 1)):
        with pytest.raises(CellError):
            id_of(wrong)
    assert reference_of("  INV   8812 ") == "INV 8812"
    assert reference_of("   ") is None
    for wrong in ("x" * 257, "a\x00b", "a\u202eb"):
        with pytest.raises(CellError):
            reference_of(wrong)

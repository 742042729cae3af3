"""Files as they come: encodings, delimiters, preambles, spreadsheets, and what is no statement at all."""

import csv
import sys
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.errors import MissingExtraError, StatementError
from vextrus_payments.money import Money
from vextrus_payments.records import ReceiptKind
from vextrus_payments.settlement import StatementFormat
from vextrus_payments.settlement.formats import GENERIC
from vextrus_payments.settlement.lines import LineReader, spooled, unspooled
from vextrus_payments.settlement.reading import read_rows
from vextrus_payments.settlement.words import BadRow, Line

DAY = date(2026, 2, 1)


def form(**more: Any) -> StatementFormat:
    columns = {"transaction_id": "TrxID", "amount": "Amount", **more.pop("columns", {})}
    return StatementFormat.model_validate({"columns": columns, **more})


PLAIN = form()


def lines_of(path: Path, layout: StatementFormat = PLAIN) -> list[Line | BadRow]:
    reader = LineReader(layout, DAY)
    read = (reader.read(row) for row in read_rows(path, layout))
    return [line for line in read if line is not None]


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "statement.csv"
    path.write_bytes(text.encode(encoding))
    return path


def one_line(path: Path, layout: StatementFormat = PLAIN) -> Line:
    [line] = lines_of(path, layout)
    assert isinstance(line, Line), line
    return line


def one_bad(path: Path, layout: StatementFormat = PLAIN) -> BadRow:
    [bad] = lines_of(path, layout)
    assert isinstance(bad, BadRow), bad
    return bad


# --- CSV ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_encodings_and_delimiters_are_found_out(
    encoding: str, delimiter: str, ending: str, tmp_path: Path
) -> None:
    rows = [["Statement of a shop", "January; all, of | it"], [], ["TrxID", "Amount"], ["AB12", "100.50"]]
    path = tmp_path / "statement.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=ending).writerows(rows)
    line = one_line(path)
    assert (line.transaction_id, line.amount, line.row) == ("AB12", Money("100.50"), 4)
    assert (line.kind, line.settled_on) == (ReceiptKind.PAYMENT, DAY)


def test_an_encoding_that_is_named_is_used(tmp_path: Path) -> None:
    path = written(tmp_path, "TrxID,Amount,Note\nAB12,5,caf\u00e9\n", "cp1252")
    with pytest.raises(StatementError, match="it is not in utf-8") as caught:
        lines_of(path)
    assert caught.value.__context__ is None
    assert one_line(path, form(encoding="cp1252")).amount == Money("5")
    with pytest.raises(StatementError, match="there is no encoding"):
        lines_of(path, form(encoding="klingon"))


def test_headings_are_known_by_their_words_not_by_their_look(tmp_path: Path) -> None:
    path = written(tmp_path, ' trxid ,"AMOUNT"\nAB12,5\n')
    assert one_line(path).amount == Money("5")
    either = form(columns={"amount": ["Gross", "amount"]})
    assert one_line(path, either).amount == Money("5")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing"),
        ("TrxID,Total\nAB12,5\n", "'TrxID', 'Total'"),
        ("a,b,c\n" * 150 + "TrxID,Amount\n", "first 100"),
        ("TrxID,Amount,amount\nAB12,5,6\n", "twice"),
        ('TrxID,Amount\n"AB12,5\n', "cannot be read"),
        ('TrxID,Amount\n"AB"12,5\n', "cannot be read"),
    ],
)
def test_what_has_no_headings_or_breaks_off_is_said(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StatementError) as caught:
        lines_of(written(tmp_path, text))
    assert words in str(caught.value)
    assert "statement.csv" in str(caught.value) or words == "twice"


def test_a_column_that_the_format_names_has_to_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, "TrxID,Amount\nAB12,5\n")
    with pytest.raises(StatementError, match="no column 'Charge'") as caught:
        lines_of(path, form(columns={"fee": "Charge"}))
    assert caught.value.column == "Charge"
    assert one_line(path, form(columns={"fee": "Charge"}, optional=["fee"])).fee is None


def test_empty_rows_footers_and_ignored_kinds_are_no_transactions(tmp_path: Path) -> None:
    layout = form(
        columns={"kind": "Type"},
        kinds={"Sale": "payment"},
        ignored_kinds=["Payout to bank"],
        footers=["Total"],
    )
    text = "TrxID,Amount,Type\nAB12,5,SALE\n,,\n\n,17,payout  to bank\nTotal,22,\n total of all,22,\n"
    assert one_line(written(tmp_path, text), layout).row == 2


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        (",5,Sale,OK,,,", "TrxID", "is empty"),
        ("A B,5,Sale,OK,,,", "TrxID", "is no id"),
        ("AB12,,Sale,OK,,,", "Amount", "is empty"),
        ('AB12,"1,500",Sale,OK,,,', "Amount", "thousands separators"),
        ("AB12,0,Sale,OK,,,", "Amount", "is not above zero"),
        ("AB12,-5,Sale,OK,,,", "Amount", "is not above zero"),
        ("AB12,5.005,Sale,OK,,,", "Amount", "decimal places"),
        ("AB12,5,Gift,OK,,,", "Type", "'gift'"),
        ("AB12,5,,OK,,,", "Type", "is empty"),
        ("AB12,5,Sale,Perhaps,,,", "State", "'perhaps'"),
        ("AB12,5,Sale,OK,x,,", "Charge", "is no amount"),
        ("AB12,5,Sale,OK,,01/31/2026,", "When", "is no day"),
        ("AB12,5,Sale,OK,,,taka", "Cur", "three letters"),
        ("AB12,5", "Type", "is empty"),
    ],
)
def test_a_bad_row_names_row_column_and_problem(row: str, column: str, problem: str, tmp_path: Path) -> None:
    layout = form(
        columns={
            "kind": "Type",
            "status": "State",
            "fee": "Charge",
            "occurred_on": "When",
            "currency": "Cur",
        },
        kinds={"Sale": "payment"},
        settled_words=["OK"],
    )
    whole = f"{row}BDT" if row.endswith(",") else row
    bad = one_bad(written(tmp_path, f"TrxID,Amount,Type,State,Charge,When,Cur\n{whole}\n"), layout)
    assert (bad.row, bad.column) == (2, column)
    assert problem in bad.problem
    assert bad.transaction_id == ("AB12" if row.startswith("AB12") else None)


def test_signs_follow_the_format(tmp_path: Path) -> None:
    kinds = {"Sale": "payment", "Refund": "refund"}
    columns = {"kind": "Type", "fee": "Fee", "net": "Net"}
    text = "TrxID,Amount,Type,Fee,Net\nA1,100,Sale,{0}2,98\nA2,{1}50,Refund,{0}1,{1}51\n"
    for form_, fee_sign, sign in (
        (form(columns=columns, kinds=kinds), "", ""),
        (form(columns=columns, kinds=kinds, signed=True, fees="negative"), "-", "-"),
    ):
        sale, refund = lines_of(written(tmp_path, text.format(fee_sign, sign)), form_)
        assert isinstance(sale, Line)
        assert isinstance(refund, Line)
        assert (sale.amount, sale.fee, sale.net) == (Money("100"), Money("2"), Money("98"))
        assert (refund.amount, refund.fee, refund.net) == (Money("50"), Money("1"), Money("-51"))
    signed = form(columns=columns, kinds=kinds, signed=True)
    bad = one_bad(written(tmp_path, "TrxID,Amount,Type,Fee,Net\nA2,50,Refund,0,50\n"), signed)
    assert "is not below zero" in bad.problem


def test_gross_and_net_tell_the_fee_where_no_column_does(tmp_path: Path) -> None:
    layout = form(columns={"net": "Net", "kind": "Type"}, kinds={"Sale": "payment", "Refund": "refund"})
    sale, refund = lines_of(
        written(tmp_path, "TrxID,Amount,Net,Type\nA1,100,98.15,Sale\nA2,100,101,Refund\n"), layout
    )
    assert isinstance(sale, Line)
    assert isinstance(refund, Line)
    assert sale.fee == Money("1.85")
    assert refund.fee == Money("1")


def test_a_line_survives_the_spool() -> None:
    whole = Line(
        row=7,
        transaction_id="AB12",
        kind=ReceiptKind.REFUND,
        amount=Money("100.05"),
        fee=Money("-1.85"),
        net=Money("-98.20", "BDT"),
        unsettled_status="failed",
        reference="INV 8812 আ",
        occurred_on=date(2026, 1, 31),
        settled_on=DAY,
    )
    bare = Line(
        row=8,
        transaction_id="AB12",
        kind=ReceiptKind.PAYMENT,
        amount=Money("5", "JPY"),
        fee=None,
        net=None,
        unsettled_status=None,
        reference=None,
        occurred_on=None,
        settled_on=DAY,
    )
    assert unspooled(spooled(whole)) == whole
    assert unspooled(spooled(bare)) == bare
    assert spooled(whole) < spooled(bare) < spooled(whole).replace("AB12", "AB123")


# --- XLSX ---------------------------------------------------------------------------------------------------------


def book(tmp_path: Path, rows: list[list[Any]], *, title: str = "Sheet", second: bool = False) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    made = openpyxl.Workbook()
    sheet = made.active
    sheet.title = title
    for row in rows:
        sheet.append(row)
    if second:
        made.create_sheet("Notes").append(["nothing"])
    path = tmp_path / "statement.xlsx"
    made.save(path)
    made.close()
    return path


def test_a_spreadsheet_gives_the_amounts_that_were_typed(tmp_path: Path) -> None:
    amounts = ["0.01", "0.07", "0.29", "1.15", "4.35", "8.2", "1250.55", "99999999.99", "1234567890.12"]
    rows: list[list[Any]] = [["TrxID", "Amount", "Settled"]]
    rows += [[f"A{n}", float(text), datetime(2026, 1, 31, 23, 59)] for n, text in enumerate(amounts)]  # noqa: DTZ001
    layout = form(columns={"settled_on": "Settled"})
    lines = lines_of(book(tmp_path, rows), layout)
    assert [line.amount for line in lines if isinstance(line, Line)] == [Money(text) for text in amounts]
    assert {line.settled_on for line in lines if isinstance(line, Line)} == {date(2026, 1, 31)}


def test_every_paisa_comes_back_from_a_double(tmp_path: Path) -> None:
    from vextrus_payments.settlement.xlsx import _cell

    for minor in [*range(20_000), *range(10**12, 10**12 + 2_000), *range(10**14, 10**14 + 500)]:
        money = Money.from_minor(minor)
        cell = _cell(float(money.amount))
        assert isinstance(cell, str)
        assert Money(cell) == money


def test_text_numbers_and_days_in_a_spreadsheet(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["A shop's statement"],
        [],
        ["TrxID", "Amount", "Settled"],
        ["AB12", "100.50", "2026-01-31"],
        [9988776655, 7, date(2026, 1, 31)],
        [None, None, None],
    ]
    first, second = lines_of(book(tmp_path, rows), form(columns={"settled_on": "Settled"}))
    assert isinstance(first, Line)
    assert isinstance(second, Line)
    assert (first.row, first.amount) == (4, Money("100.50"))
    assert (second.row, second.transaction_id, second.amount) == (5, "9988776655", Money("7"))


@pytest.mark.parametrize(
    ("row", "column", "problem"),
    [
        ([1234567890123456, 5], "TrxID", "cut to fifteen digits"),
        ([1.2345678901234567e18, 5], "TrxID", "cut to fifteen digits"),
        (["AB12", 0.1 + 0.2001], "Amount", "decimal places"),
        (["AB12", 1e20], "Amount", "cut to fifteen digits"),
        (["AB12", True], "Amount", "true or false"),
        (["AB12", date(2026, 1, 1)], "Amount", "is a day"),
        (["AB12", time(12, 30)], "Amount", "is a time"),
        (["AB12", timedelta(hours=30)], "Amount", "is a timedelta"),
        (["AB12", "#REF!"], "Amount", "is no amount"),
    ],
)
def test_a_bad_cell_of_a_spreadsheet_is_said(
    row: list[Any], column: str, problem: str, tmp_path: Path
) -> None:
    bad = one_bad(book(tmp_path, [["TrxID", "Amount"], row]))
    assert (bad.row, bad.column) == (2, column)
    assert problem in bad.problem


def test_the_sheet_that_is_named(tmp_path: Path) -> None:
    path = book(tmp_path, [["TrxID", "Amount"], ["AB12", 5]], title="January", second=True)
    assert one_line(path).amount == Money("5")
    assert one_line(path, form(sheet="January")).amount == Money("5")
    with pytest.raises(StatementError, match="no sheet 'June'; it has 'January', 'Notes'"):
        lines_of(path, form(sheet="June"))
    with pytest.raises(StatementError, match="headings"):
        lines_of(path, form(sheet="Notes"))


def test_what_only_looks_like_a_spreadsheet_is_said(tmp_path: Path) -> None:
    path = tmp_path / "statement.xlsx"
    path.write_bytes(b"PK\x03\x04 and nothing")
    with pytest.raises(StatementError, match="no XLSX archive") as caught:
        lines_of(path)
    assert caught.value.__context__ is None
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(StatementError, match="cannot be read"):
        lines_of(path)
    good = book(tmp_path, [["TrxID", "Amount"], *(["AB12", 5] for _ in range(500))])
    with zipfile.ZipFile(good) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in held.items():
            archive.writestr(name, data[: len(data) // 2] if "sheet1" in name else data)
    with pytest.raises(StatementError, match="breaks off after row"):
        lines_of(path)
    path.write_bytes(b"\xd0\xcf\x11\xe0" + bytes(600))
    with pytest.raises(StatementError, match="old format"):
        lines_of(path)
    with pytest.raises(StatementError, match="No such file"):
        lines_of(tmp_path / "absent.xlsx")


_MAIN = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_PARTS = {
    "[Content_Types].xml": (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/xl/workbook.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
        '<Override PartName="/xl/worksheets/sheet1.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>'
        '<Override PartName="/xl/sharedStrings.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
        '<Override PartName="/xl/styles.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>'
    ),
    "_rels/.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"'
        ' Target="xl/workbook.xml"/></Relationships>'
    ),
    "xl/workbook.xml": (
        f'<workbook {_MAIN} xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">'
        '<sheets><sheet name="January" sheetId="1" r:id="rId1"/></sheets></workbook>'
    ),
    "xl/_rels/workbook.xml.rels": (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
        ' Target="worksheets/sheet1.xml"/>'
        '<Relationship Id="rId2" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"'
        ' Target="sharedStrings.xml"/>'
        '<Relationship Id="rId3" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"'
        ' Target="styles.xml"/></Relationships>'
    ),
    "xl/styles.xml": (
        f"<styleSheet {_MAIN}><fonts><font/></fonts>"
        '<fills><fill><patternFill patternType="none"/></fill></fills><borders><border/></borders>'
        '<cellStyleXfs><xf/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>'
    ),
    "xl/sharedStrings.xml": (
        f"<sst {_MAIN}><si><t>TrxID</t></si><si><t>Amount</t></si><si><t>Settled</t></si>"
        "<si><t>AB12</t></si></sst>"
    ),
    # As Excel writes it: texts by number, 1.15 with seventeen digits, a day as a count of days, a wrong size.
    "xl/worksheets/sheet1.xml": (
        f'<worksheet {_MAIN}><dimension ref="A1"/><sheetData>'
        '<row r="2"><c r="A2" t="s"><v>0</v></c><c r="B2" t="s"><v>1</v></c><c r="C2" t="s"><v>2</v></c></row>'
        '<row r="5"><c r="A5" t="s"><v>3</v></c><c r="B5"><v>1.1499999999999999</v></c>'
        '<c r="C5" s="1"><v>46053</v></c></row></sheetData></worksheet>'
    ),
}


def handmade(tmp_path: Path) -> Path:
    pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    path = tmp_path / "handmade.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _PARTS.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return path


def test_a_spreadsheet_as_excel_writes_it(tmp_path: Path) -> None:
    line = one_line(handmade(tmp_path), form(columns={"settled_on": "Settled"}))
    assert (line.row, line.transaction_id, line.amount) == (5, "AB12", Money("1.15"))
    assert line.settled_on == date(2026, 1, 31)


@pytest.mark.parametrize("limit", ["_MOST_SHARED", "_MOST_UNPACKED"])
def test_a_bomb_is_not_unpacked(limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"vextrus_payments.settlement.xlsx.{limit}", 100)
    with pytest.raises(StatementError, match="unpack to more"):
        lines_of(handmade(tmp_path))


def test_without_openpyxl_the_command_that_installs_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "statement.xlsx"
    path.write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"vextrus-payments\[xlsx\]") as caught:
        lines_of(path)
    assert caught.value.__context__ is None


def test_the_generic_layout_reads_a_bare_statement(tmp_path: Path) -> None:
    line = one_line(written(tmp_path, "transaction_id,amount,settled_on\nAB12,5,2026-01-31\n"), GENERIC)
    assert (line.kind, line.settled_on) == (ReceiptKind.PAYMENT, date(2026, 1, 31))

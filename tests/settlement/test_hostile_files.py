"""Statements that were made to hurt: small files that would fill the memory, or never end."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.settlement.test_reading import book, lines_of
from vextrus_payments.errors import StatementError
from vextrus_payments.settlement import xlsx

_MIB = 2**20


def remade(path: Path, name: str, change: Callable[[bytes], bytes]) -> Path:
    """The file with one of its members changed."""
    made = path.with_name("remade.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            text = old.read(member)
            new.writestr(member, change(text) if member.endswith(name) else text)
    return made


def plain(tmp_path: Path, rows: int = 1) -> Path:
    body = [[f"T{number}", "5.00"] for number in range(rows)]
    return book(tmp_path, [["TrxID", "Amount"], *body])


def refused(path: Path) -> StatementError:
    with pytest.raises(StatementError) as caught:
        lines_of(path)
    assert caught.value.__context__ is None
    return caught.value


def test_rows_that_are_counted_beyond_every_spreadsheet(tmp_path: Path) -> None:
    """A row that says it is the billionth would be read after a billion empty ones."""
    path = remade(plain(tmp_path), "sheet1.xml", lambda t: t.replace(b'r="2"', b'r="99999999999999"'))
    assert xlsx.MOST_ROWS == 1_048_576
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(xlsx, "MOST_ROWS", 500)
        assert refused(path).code == "statement_too_large"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        # one text of a cell, held whole
        ("sheet1.xml", lambda t: t.replace(b"5.00", b"5" * (6 * _MIB))),
        # one row of more cells than there are columns
        ("sheet1.xml", lambda t: t.replace(b"</row>", b"<c/>" * (2 * _MIB) + b"</row>", 1)),
        # elements within one another, a comment and white space without an end
        ("sheet1.xml", lambda t: t.replace(b"<sheetData>", b"<a>" * (2 * _MIB) + b"<sheetData>")),
        ("sheet1.xml", lambda t: t.replace(b"<sheetData>", b"<!--" + b" " * (6 * _MIB) + b"--><sheetData>")),
        # what stands beside the sheets is held whole
        ("styles.xml", lambda t: t.replace(b"</styleSheet>", b"<xf/>" * (2 * _MIB) + b"</styleSheet>")),
        ("workbook.xml", lambda t: t.replace(b"<sheets>", b"<!--" + b" " * (9 * _MIB) + b"--><sheets>")),
    ],
)
def test_what_would_fill_the_memory_is_not_unpacked(
    name: str, change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = remade(plain(tmp_path), name, change)
    assert path.stat().st_size < 100_000
    assert refused(path).code == "statement_too_large"


@pytest.mark.parametrize("name", ["sheet1.xml", "workbook.xml"])
@pytest.mark.parametrize("kind", ["entities", "outside"])
def test_no_entity_is_unfolded_or_fetched(kind: str, name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SECRETWORD", encoding="ascii")
    if kind == "entities":
        folded = b"".join(b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10))
        document = b'<!DOCTYPE x [<!ENTITY e0 "lollollol">' + folded + b"]>"
        use = b"&e9;"
    else:
        document = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file://{secret}">]>'.encode()
        use = b"&e;"

    def change(text: bytes) -> bytes:
        body = text[text.index(b"<worksheet" if name == "sheet1.xml" else b"<workbook") :]
        return document + body.replace(b"T0", use).replace(b"Sheet</", use + b"</").replace(
            b'"Sheet"', b'"' + use + b'"'
        )

    path = remade(plain(tmp_path), name, change)
    assert use in zipfile.ZipFile(path).read(f"xl/{'worksheets/' if name == 'sheet1.xml' else ''}{name}")
    error = refused(path)
    assert "SECRETWORD" not in f"{error} {error.context}"


def test_a_long_statement_of_plain_rows_is_not_taken_for_a_bomb(tmp_path: Path) -> None:
    assert len(lines_of(plain(tmp_path, 60_000))) == 60_000, "more than four MiB of rows"

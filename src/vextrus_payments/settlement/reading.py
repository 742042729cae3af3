"""From a file to rows of cells by column: CSV (stdlib) and XLSX (xlsx.py), one row at a time."""

import codecs
import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vextrus_payments.errors import StatementError
from vextrus_payments.settlement.cells import Cell, CellError
from vextrus_payments.settlement.formats import Column, StatementFormat, folded
from vextrus_payments.settlement.xlsx import rows_of as xlsx_rows

_DELIMITERS: Final = (",", ";", "\t", "|")
#: A statement begins with its account's name and the like; its headings stand within so many rows.
_MOST_PREAMBLE: Final = 100
_MOST_COLUMNS: Final = 256
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ARCHIVE: Final = b"PK\x03\x04"
_OLD_SPREADSHEET: Final = b"\xd0\xcf\x11\xe0"

_Numbered = Iterator[tuple[int, list[Cell | CellError]]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the statement's table. Rows are counted from 1, headings and all, as a spreadsheet does."""

    number: int
    cells: list[Cell | CellError]
    places: Mapping[Column, int]
    headings: Mapping[Column, str]

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it."""
        return all(isinstance(cell, str) and not cell.strip() for cell in self.cells)

    @property
    def first_word(self) -> str:
        """What its first filled cell says, as words are compared."""
        filled = (cell for cell in self.cells if isinstance(cell, str) and cell.strip())
        return folded(next(filled, ""))

    def cell(self, column: Column) -> Cell | None:
        """The column's cell; "" where the row is too short; None where the statement has no such column.

        Raises:
            CellError: the cell holds nothing that could be read.
        """
        place = self.places.get(column)
        if place is None:
            return None
        cell = self.cells[place] if place < len(self.cells) else ""
        if isinstance(cell, CellError):
            raise CellError(*cell.args)
        return cell


def read_rows(path: Path, form: StatementFormat) -> Iterator[Row]:
    """The rows below the headings, empty ones too.

    Raises:
        StatementError: the file cannot be read, or has no such headings.
        MissingExtraError: it is an XLSX file and openpyxl is not installed.
    """
    rows = _numbered_rows(path, form)
    preamble: list[tuple[int, list[Cell | CellError]]] = []
    for number, cells in rows:
        places = _places(cells, form)
        if places is not None:
            headings = {column: _heading(cells[place]) for column, place in places.items()}
            for below, others in rows:
                yield Row(below, others, places, headings)
            return
        preamble.append((number, cells))
        if len(preamble) >= _MOST_PREAMBLE:
            break
    raise _no_headings(path, form, preamble)


def _numbered_rows(path: Path, form: StatementFormat) -> _Numbered:
    start = b""
    problem = ""
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise StatementError(f"{path.name} cannot be read: {problem}.", code="statement_file")
    if start.startswith(_ARCHIVE):
        return xlsx_rows(path, form.sheet, _MOST_COLUMNS)
    if start.startswith(_OLD_SPREADSHEET):
        raise StatementError(
            f"{path.name} is a spreadsheet of the old format (XLS), or one with a password.",
            code="statement_file",
            next_step="Save it as XLSX without a password, or as CSV.",
        )
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS if start.startswith(mark)), None)
    return _csv_rows(path, form, marked or form.encoding)


def _csv_rows(path: Path, form: StatementFormat, encoding: str) -> _Numbered:
    delimiter = form.delimiter or _found_delimiter(path, form, encoding)
    number, problem = 0, ""
    try:
        with path.open(encoding=encoding, newline="") as file:
            for cells in csv.reader(file, delimiter=delimiter, strict=True):
                number += 1
                yield number, list(cells[:_MOST_COLUMNS])
    except UnicodeError:
        problem = f"it is not in {encoding}"
    except LookupError:
        problem = f"there is no encoding {encoding!r}"
    except csv.Error as error:
        problem = str(error)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        raise StatementError(
            f"{path.name} cannot be read after row {number}: {problem}.",
            code="statement_file",
            row=number + 1,
            next_step="Name its encoding and delimiter in the format, or save it again as CSV in UTF-8.",
        )


def _found_delimiter(path: Path, form: StatementFormat, encoding: str) -> str:
    """The delimiter under which the headings are found; "," where there is none: the reader says what is missing."""
    for delimiter in _DELIMITERS:
        try:
            with path.open(encoding=encoding, newline="") as file:
                for _, cells in zip(
                    range(_MOST_PREAMBLE), csv.reader(file, delimiter=delimiter), strict=False
                ):
                    if _places(list(cells[:_MOST_COLUMNS]), form) is not None:
                        return delimiter
        except (OSError, csv.Error, UnicodeError, LookupError):
            continue  # the real reading says what is wrong with it
    return _DELIMITERS[0]


def _places(cells: list[Cell | CellError], form: StatementFormat) -> dict[Column, int] | None:
    """Where each column stands, if this is the row of headings: it has all that are needed.

    Raises:
        StatementError: a heading that the format names is missing, or stands there twice.
    """
    headings: dict[str, list[int]] = {}
    for place, cell in enumerate(cells):
        if isinstance(cell, str):
            headings.setdefault(folded(cell.removeprefix("\ufeff")), []).append(place)
    found: dict[Column, int] = {}
    twice = ""
    for column, words in form.columns.items():
        places = [place for word in words for place in headings.get(folded(word), ())]
        if places:
            found[column] = places[0]
        if len(places) > 1:
            twice = words[0]
    if Column.TRANSACTION_ID not in found or Column.AMOUNT not in found:
        return None
    lacking = [words[0] for column, words in form.columns.items() if column not in (*found, *form.optional)]
    if lacking:
        raise StatementError(
            f"The statement has no column {' and none '.join(map(repr, lacking))}, which the format names.",
            code="statement_headings",
            column=lacking[0],
            next_step="Correct the format's columns, or list it under `optional`.",
        )
    if twice:
        raise StatementError(
            f"The heading {twice!r} stands twice in the statement.",
            code="statement_headings",
            column=twice,
            next_step="Remove one of the two columns, or name them apart in the file and in the format.",
        )
    return found


def _heading(cell: Cell | CellError) -> str:
    return cell.strip() if isinstance(cell, str) else ""


def _no_headings(
    path: Path, form: StatementFormat, rows: list[tuple[int, list[Cell | CellError]]]
) -> StatementError:
    wanted = [form.columns[column][0] for column in (Column.TRANSACTION_ID, Column.AMOUNT)]
    widest = max(rows, key=lambda row: len(row[1]), default=(0, []))[1]
    seen = [cell.strip() for cell in widest if isinstance(cell, str) and cell.strip()][:12]
    shown = ", ".join(repr(word[:40]) for word in seen) or "nothing"
    return StatementError(
        f"{path.name} has no row with the headings {' and '.join(map(repr, wanted))} in its first {_MOST_PREAMBLE}"
        f" rows. Its widest row there has {shown}.",
        code="statement_headings",
        next_step="Write the statement's own headings into the format (columns = ...).",
    )

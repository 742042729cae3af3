"""Rows of an XLSX file, one at a time: the only importer of openpyxl.

A spreadsheet's numbers are binary floating point and nothing else. Each is turned into the decimal text of fifteen
significant digits that the spreadsheet itself shows and that names it uniquely: an amount that was typed, or came from
a CSV file, comes back as it was. What does not fit there (an id of sixteen digits that was kept as a number) has been
cut by the spreadsheet already, and is refused.
"""

import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

from vextrus_payments.errors import MissingExtraError, StatementError
from vextrus_payments.settlement.cells import Cell, CellError

#: A file may unpack to so much; the table of shared texts is held in memory whole.
_MOST_UNPACKED: Final = 4 * 2**30
_MOST_SHARED: Final = 256 * 2**20
#: What stands beside sheets and texts (formats, names) is held whole as well, and as objects.
_MOST_BESIDE: Final = 8 * 2**20
#: Of a sheet one row is held at a time: a longer stretch without the beginning of a row, or without a tag, is none.
_LONGEST_ROW: Final = 4 * 2**20
_LONGEST_TEXT: Final = 2**20
_BLOCK: Final = 2**16
#: More rows no spreadsheet has; one that says it is the billionth would be read after a billion empty ones.
MOST_ROWS: Final = 1_048_576
_LONGEST_NUMBER: Final = 15
_AT_ONCE: Final = 200
_PLAIN: Final = frozenset("-.0123456789")


def rows_of(path: Path, sheet: str | None, most_columns: int) -> Iterator[tuple[int, list[Cell | CellError]]]:
    """(row number, its cells) for each row; a cell that is nothing we could read is the CellError to raise for it.

    Raises:
        MissingExtraError: openpyxl is not installed.
        StatementError: it is no such file, or has no such sheet.
    """
    openpyxl = _openpyxl()
    _check_size(path)
    book: Any = None
    problem = ""
    try:
        with _quiet():
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes openpyxl raise
        problem = type(error).__name__
    if book is None:
        raise _unreadable(path, f"openpyxl cannot open it ({problem})")
    try:
        names = book.sheetnames
        if sheet is not None and sheet not in names:
            raise StatementError(
                f"{path.name} has no sheet {sheet!r}; it has {', '.join(map(repr, names))}.",
                code="statement_sheet",
            )
        page = book[sheet if sheet is not None else names[0]]
        if not hasattr(page, "reset_dimensions"):
            raise _unreadable(path, "the sheet holds a chart and no rows")
        page.reset_dimensions()  # what a file says of its own size is often wrong
        with closing(page.iter_rows(max_col=most_columns, values_only=True)) as rows:
            yield from _numbered(path, rows)
    finally:
        book.close()


def _numbered(path: Path, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[int, list[Cell | CellError]]]:
    number, problem = 0, ""
    while True:
        some: list[tuple[Any, ...]] = []
        try:
            with _quiet():
                for row in islice(rows, _AT_ONCE):
                    some.append(row)
        except Exception as error:  # noqa: BLE001 - as above: a file that breaks off in the middle
            problem = type(error).__name__
        for row in some:
            number += 1
            if number > MOST_ROWS:
                raise _too_large(path)
            yield number, [_cell(value) for value in row]
        if problem:
            raise _unreadable(path, f"it breaks off after row {number} ({problem})")
        if not some:
            return


@contextmanager
def _quiet() -> Iterator[None]:
    """openpyxl warns of whatever it finds unusual; what matters of it is an error of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _cell(value: object) -> Cell | CellError:
    if value is None:
        return ""
    if isinstance(value, str | datetime | date):
        return value
    if isinstance(value, bool):
        return CellError("is true or false")
    if isinstance(value, int | float):
        digits = str(value) if isinstance(value, int) else format(value, ".15g")
        if len(digits.lstrip("-").replace(".", "")) > _LONGEST_NUMBER or not set(digits) <= _PLAIN:
            return CellError("is a number that the spreadsheet has cut to fifteen digits; keep it as text")
        return digits
    return CellError(f"is a {type(value).__name__}")


def _openpyxl() -> Any:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError:
        openpyxl = None
    if openpyxl is None:
        raise MissingExtraError(
            "Statements in XLSX need openpyxl, which is not installed.",
            next_step='Install it: pip install "vextrus-payments[xlsx]", or save the statement as CSV.',
        )
    return openpyxl


def _check_size(path: Path) -> None:
    """Refuse what would unpack to more than a statement can be.

    Raises:
        StatementError: it would, or is no archive.
    """
    fits: bool | None = None
    try:
        with zipfile.ZipFile(path) as archive:
            fits = _fits(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        pass
    if fits is None:
        raise _unreadable(path, "it is no XLSX archive, or a damaged one")
    if not fits:
        raise _too_large(path)


def _fits(archive: zipfile.ZipFile) -> bool:
    """Whether reading it takes no more memory than a statement may. (What a member says of its size is held to.)"""
    sheets = [member for member in archive.infolist() if "worksheets/" in member.filename]
    texts = [member for member in archive.infolist() if member.filename.endswith("sharedStrings.xml")]
    all_bytes = sum(member.file_size for member in archive.infolist())
    text_bytes = sum(member.file_size for member in texts)
    beside_bytes = all_bytes - text_bytes - sum(member.file_size for member in sheets)
    if all_bytes > _MOST_UNPACKED or text_bytes > _MOST_SHARED or beside_bytes > _MOST_BESIDE:
        return False
    for member in (*sheets, *texts):
        with archive.open(member) as file:
            if not _is_in_pieces(file, b"<si" if member in texts else b"<row"):
                return False
    return True


def _is_in_pieces(file: IO[bytes], piece: bytes) -> bool:
    """Whether it is made of many small pieces, none of which would fill the memory."""
    since_piece = since_tag = 0
    while block := file.read(_BLOCK):
        since_piece = 0 if piece in block else since_piece + len(block)
        since_tag = 0 if b"<" in block else since_tag + len(block)
        if since_piece > _LONGEST_ROW or since_tag > _LONGEST_TEXT:
            return False
    return True


def _too_large(path: Path) -> StatementError:
    return StatementError(
        f"{path.name} would unpack to more than a statement can be.",
        code="statement_too_large",
        next_step="Save it as CSV, or ask for the statement in parts.",
    )


def _unreadable(path: Path, why: str) -> StatementError:
    return StatementError(
        f"{path.name} cannot be read: {why}.",
        code="statement_file",
        next_step="Open it in a spreadsheet and save it again as XLSX or CSV.",
    )

"""One cell of a statement: an amount, a day, an id. Each function says what is wrong in a few words."""

import re
from datetime import date, datetime
from typing import Final

from vextrus_payments.errors import AmountError
from vextrus_payments.money import Money
from vextrus_payments.settlement.formats import StatementFormat
from vextrus_payments.settlement.words import DHAKA

#: What a reader hands over: text, or the day or moment that a spreadsheet's cell holds.
Cell = str | date | datetime

_ID: Final = re.compile(r"[!-~]{1,128}")
_WHOLE: Final = re.compile(r"[+-]?\d{1,17}", re.ASCII)
_FRACTION: Final = re.compile(r"\d{1,15}", re.ASCII)
_ISO: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?(Z|[+-]\d{2}:?\d{2})?", re.ASCII
)
_YEARS: Final = range(2000, 2101)
_LONGEST_REFERENCE: Final = 256


class CellError(ValueError):
    """What is wrong with a cell."""


def text_of(cell: Cell) -> str:
    """The text, without outer blanks.

    Raises:
        CellError: it is a day.
    """
    if isinstance(cell, str):
        return cell.strip()
    raise CellError("is a day where a text should be")


def id_of(cell: Cell) -> str:
    """A transaction id.

    Raises:
        CellError: it is none.
    """
    text = text_of(cell)
    if not text:
        raise CellError("is empty")
    if not _ID.fullmatch(text):
        raise CellError("is no id: 1-128 printable ASCII characters without blanks")
    return text


def reference_of(cell: Cell) -> str | None:
    """A reference; None where there is none.

    Raises:
        CellError: it is too long to be one.
    """
    text = " ".join(text_of(cell).split())
    if len(text) > _LONGEST_REFERENCE or not text.isprintable():
        raise CellError(f"is no reference: at most {_LONGEST_REFERENCE} printable characters")
    return text or None


def money_of(cell: Cell, currency: str, form: StatementFormat) -> Money:
    """An exact amount, with its sign.

    Raises:
        CellError: it is no amount, or not exact in the currency.
    """
    text = plain_number(text_of(cell), form)
    problem = ""
    try:
        return Money(text, currency)
    except AmountError as error:
        problem = error.rule or "an exact amount"
    raise CellError(f"is no amount ({problem})")


def plain_number(text: str, form: StatementFormat) -> str:
    """The number with "." as its decimal point and nothing between its digits.

    Raises:
        CellError: it is empty, or separates its digits in a way that the format does not allow.
    """
    if not text:
        raise CellError("is empty")
    if not form.thousands and form.decimal_point != "," and "," in text:
        raise CellError('has thousands separators, which the format does not allow (thousands = "," would)')
    whole, point, fraction = text.partition(form.decimal_point)
    if form.thousands and form.thousands in whole:
        # 1,250,000 and, as it is written in Bangladesh, 12,50,000: the last group has three digits
        mark = re.escape(form.thousands)
        if not re.fullmatch(rf"[+-]?\d{{1,3}}({mark}\d{{2,3}})*{mark}\d{{3}}", whole, re.ASCII):
            raise CellError("is no amount (its digits are not grouped in thousands)")
        whole = whole.replace(form.thousands, "")
    # Strict here, so that a point which is no decimal point is never taken for one.
    if not _WHOLE.fullmatch(whole) or (point and not _FRACTION.fullmatch(fraction)):
        raise CellError("is no amount (plain digits and one decimal point)")
    return f"{whole}.{fraction}" if point else whole


def day_of(cell: Cell, pattern: str) -> date:
    """A day in Dhaka.

    Raises:
        CellError: it is none, or not of this century.
    """
    if isinstance(cell, datetime):
        moment: date | datetime = cell
    elif isinstance(cell, date):
        moment = cell
    else:
        moment = _moment_of(cell.strip(), pattern)
    if isinstance(moment, datetime):
        moment = (moment.astimezone(DHAKA) if moment.tzinfo is not None else moment).date()
    if moment.year not in _YEARS:
        raise CellError("is no day of this century")
    return moment


def _moment_of(text: str, pattern: str) -> date | datetime:
    if not text:
        raise CellError("is empty")
    try:
        if pattern != "iso":
            return datetime.strptime(text, pattern)  # noqa: DTZ007 - without a zone it is Dhaka's
        if len(text) == 10 and _ISO.fullmatch(text):
            return date.fromisoformat(text)
        if _ISO.fullmatch(text):
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    wanted = "2026-01-31" if pattern == "iso" else pattern
    raise CellError(f"is no day as the format has it ({wanted})")

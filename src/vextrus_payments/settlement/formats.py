"""How a gateway's statement is laid out: which column holds what, in which words. Data, written by whoever has one.

There is no ready profile of a gateway: we have seen none describe its settlement file, and a guess would be worse than
the question. A format is a few lines of TOML (`StatementFormat.from_file`) or a value in code; docs/settlement.md
shows one. `StatementFormat.generic()` is the layout to ask for where one may choose.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vextrus_payments.errors import StatementError
from vextrus_payments.records import ReceiptKind


class Column(StrEnum):
    """What a column can hold."""

    TRANSACTION_ID = "transaction_id"
    """The gateway's id of the transaction (bKash: trxID)."""
    AMOUNT = "amount"
    """Gross: what the payer paid, or got back."""
    KIND = "kind"
    FEE = "fee"
    NET = "net"
    """What reaches the bank."""
    CURRENCY = "currency"
    STATUS = "status"
    REFERENCE = "reference"
    """What we called the order."""
    OCCURRED_ON = "occurred_on"
    """When the money moved."""
    SETTLED_ON = "settled_on"
    """When it was settled to the bank."""


#: What a gateway settles with a bank. A transfer between own accounts there never comes near one, and a correction is
#: ours alone: the statement knows what it stands in the place of.
SETTLED_KINDS: Final = tuple(
    kind
    for kind in ReceiptKind
    if kind not in (ReceiptKind.TRANSFER, ReceiptKind.TRANSFER_BACK, ReceiptKind.CORRECTION)
)
_REQUIRED: Final = (Column.TRANSACTION_ID, Column.AMOUNT)


def folded(word: str) -> str:
    """A heading or a word of a statement, as it is compared: without outer blanks, inner ones single, in lower case."""
    return " ".join(word.split()).casefold()


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


_Headings = Annotated[tuple[str, ...], BeforeValidator(_several), Field(min_length=1)]


class StatementFormat(BaseModel):
    """The layout of one kind of statement.

    Attributes:
        name: for messages.
        columns: the heading of each column (or several, of which the statement has one). `transaction_id` and
            `amount` are needed. Case and blanks do not count.
        optional: columns that a statement may do without; any other that `columns` names has to be there.
        currency: of every amount, where there is no currency column.
        kinds: the statement's words in its kind column. Without that column every row is a payment.
        ignored_kinds: words whose rows are no business of ours (transfers to the bank, subscription charges).
        settled_words: the words in the status column that mean: the money moved.
        unsettled_words: those that mean: it did not. Any other word is a bad row.
        occurred_format, settled_format: "iso" (2026-01-31, with or without a time), or a pattern of
            `datetime.strptime` such as "%d/%m/%Y %H:%M". A time without a zone is Dhaka's.
        thousands: what separates thousands in amounts ("," reads 1,500 and 1,25,000), where anything may; by
            default nothing may, and 1,500 is a bad row.
        decimal_point: "." or ",".
        signed: outgoing amounts (refunds, reversals, payouts) are below zero. Without it every amount is above zero.
        fees: whether a fee that is charged to us stands there as a positive or as a negative number.
        reference_is: which of our ids the reference column repeats.
        delimiter: of a CSV file; None: found out from its headings.
        encoding: of a CSV file; a byte-order mark outranks it.
        sheet: of an XLSX file; None: the first.
        footers: rows whose first filled cell begins with one of these words are ignored ("Total").
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=False)

    name: str = "statement"
    columns: Mapping[Column, _Headings]
    optional: tuple[Column, ...] = ()
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "BDT"
    kinds: Mapping[str, ReceiptKind] = Field(default_factory=dict)
    ignored_kinds: tuple[str, ...] = ()
    settled_words: tuple[str, ...] = ()
    unsettled_words: tuple[str, ...] = ()
    occurred_format: str = "iso"
    settled_format: str = "iso"
    thousands: Literal["", ",", ".", " ", "'"] = ""
    decimal_point: Literal[".", ","] = "."
    signed: bool = False
    fees: Literal["positive", "negative"] = "positive"
    reference_is: Literal["gateway_order_id", "merchant_reference"] = "gateway_order_id"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str = "utf-8"
    sheet: str | None = None
    footers: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for rule in self._broken_rules():
            raise ValueError(rule)
        return self

    def _broken_rules(self) -> Iterator[str]:
        for column in _REQUIRED:
            if column not in self.columns:
                yield f"columns names no heading for {column.value}"
        headings = [folded(word) for words in self.columns.values() for word in words]
        if len(set(headings)) != len(headings) or "" in headings:
            yield "columns gives one heading to two columns, or an empty one"
        if Column.KIND in self.columns and not self.kinds:
            yield "there is a kind column, and kinds does not say what its words mean"
        if not set(SETTLED_KINDS).issuperset(self.kinds.values()):
            yield f"kinds are {', '.join(SETTLED_KINDS)}; other words belong in ignored_kinds"
        if Column.STATUS in self.columns and not self.settled_words:
            yield "there is a status column, and settled_words does not say which words mean that the money moved"
        for words in (
            [*self.kinds, *self.ignored_kinds],
            [*self.settled_words, *self.unsettled_words],
        ):
            if len({folded(word) for word in words}) != len(words):
                yield "a word has two meanings (case and blanks do not count)"
        if self.thousands and self.thousands == self.decimal_point:
            yield "thousands and decimal_point are the same character"

    @property
    def receipt_kinds(self) -> frozenset[ReceiptKind]:
        """The kinds of receipts that such a statement lists."""
        return (
            frozenset(self.kinds.values())
            if Column.KIND in self.columns
            else frozenset({ReceiptKind.PAYMENT})
        )

    @classmethod
    def generic(cls) -> "StatementFormat":
        """The layout to ask for where one may choose: our own words as headings, ISO days, plain amounts."""
        return GENERIC

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """The format that a TOML file (or, by its suffix, a JSON file) describes.

        Raises:
            StatementError: it cannot be read, or breaks a rule; it says which.
        """
        path = Path(path)
        problem = None
        document: Any = None
        try:
            text = path.read_text(encoding="utf-8-sig")
            document = json.loads(text) if path.suffix.casefold() == ".json" else tomllib.loads(text)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except (ValueError, RecursionError) as error:
            problem = f"it is no {'JSON' if path.suffix.casefold() == '.json' else 'TOML'} ({error})"
        if problem is None:
            try:
                return cls.model_validate(document)
            except ValidationError as error:
                first = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise StatementError(
            f"The format in {path.name} cannot be used: {problem}.",
            code="statement_format",
            next_step="Correct it; docs/settlement.md lists what a format may say.",
        )


#: See StatementFormat.generic().
GENERIC: Final = StatementFormat(
    name="generic",
    columns={column: (column.value,) for column in Column},
    optional=tuple(column for column in Column if column not in _REQUIRED),
    kinds={kind.value: kind for kind in SETTLED_KINDS},
    settled_words=("settled", "completed", "success"),
    unsettled_words=("failed", "cancelled", "pending"),
)

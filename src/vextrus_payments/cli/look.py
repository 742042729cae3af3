"""One look for every command: how a table, facts, a mark, an age and an empty place are shown.

Styles are the words of output.py (`good`, `open`, `bad`, `title`, `label`, `hint`, `command`), never colors. What
somebody else wrote (a gateway, a statement, a payer) stays in its cell: one line, no control characters, no markup.
rich is imported when something is shown, so that a command that shows nothing (`--json`, `--help`) pays nothing.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.output import speaks_unicode
from vextrus_payments.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

#: How long a cell's text may be before it is cut.
CELL_MAX: Final = 400
#: How narrow a column of sentences may become before records read better than a table.
_PROSE: Final = 24
_NOTHING: Final = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is not plain text to the left."""

    name: str
    right: bool = False
    """Numbers and amounts stand below each other."""
    whole: bool = False
    """Never broken over two lines: what is to be copied."""
    prose: bool = False
    """Sentences: they may go over several lines where there is little room."""
    widest: int | None = None
    """At most so many columns; what is longer goes over several lines."""


def right(name: str) -> Column:
    """A column of numbers or amounts."""
    return Column(name=name, right=True)


def whole(name: str) -> Column:
    """A column whose cells are never broken: ids, states."""
    return Column(name=name, whole=True)


def prose(name: str) -> Column:
    """A column of sentences."""
    return Column(name=name, prose=True)


def rows(out: "Console", columns: Sequence[str | Column], cells: Sequence[Sequence["Text"]]) -> None:
    """Print a table whose cells are not broken, but for sentences; where the window is too narrow for that, one
    record below the other. A pipe, which has no width, gets the table as wide as it needs to be.
    """
    named = [each if isinstance(each, Column) else Column(name=each) for each in columns]
    needed = _needed(named, cells)
    if needed > out.width and (out.is_terminal or os.environ.get("COLUMNS")):
        _records(out, named, cells)
        return
    made = table(*(replace(column, whole=not column.prose) for column in named))
    for row in cells:
        made.add_row(*row)
    width = out.width
    out.width = max(width, needed)
    try:
        out.print(made)
    finally:
        out.width = width


def _needed(columns: Sequence[Column], cells: Sequence[Sequence["Text"]]) -> int:
    """Columns of the window that the table takes when sentences have little room, and everything else all it needs."""
    width = 1
    for number, column in enumerate(columns):
        longest = max((row[number].cell_len for row in cells), default=0)
        if column.prose:
            longest = min(longest, _PROSE)
        width += max(longest, len(column.name)) + 3
    return width


def _records(out: "Console", columns: Sequence[Column], cells: Sequence[Sequence["Text"]]) -> None:
    from rich.padding import Padding
    from rich.table import Table

    for first, *others in cells:
        first.stylize("title")
        whole_line(out, first)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="label", no_wrap=True)
        grid.add_column(overflow="fold")
        for column, value in zip(columns[1:], others, strict=True):
            if value.plain != _NOTHING:
                grid.add_row(column.name, value)
        out.print(Padding(grid, (0, 0, 1, 2)))


def table(*columns: str | Column, title: str = "", lines: bool = False) -> "Table":
    """A table with a heading line; cells go in through :func:`cell`. `lines`: one between rows, which are long."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(one_line(title)) if title else None,
        title_justify="left",
        title_style="title",
        box=box.ROUNDED,
        border_style="frame",
        header_style="title",
        show_lines=lines,
    )
    for each in columns:
        column = each if isinstance(each, Column) else Column(name=each)
        made.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=column.right or column.whole,
            overflow="fold",
            max_width=column.widest,
        )
    return made


def cell(value: object, style: str = "", *, limit: int = CELL_MAX) -> "Text":
    """A value as it may be shown; None and the empty text are a dash."""
    from rich.text import Text

    text = "" if value is None else str(value)
    if not text:
        return Text(_NOTHING, style="label")
    return Text(one_line(text, limit), style=style, overflow="fold")


def facts(pairs: Iterable[tuple[str, object]], *, limit: int = CELL_MAX) -> "Table":
    """Labels with their values beside them."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="label", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in pairs:
        grid.add_row(label, cell(value, limit=limit))
    return grid


def panel(body: "Table | Text | Group", title: str, style: str = "frame") -> "Panel":
    """A box with a title."""
    from rich.panel import Panel
    from rich.text import Text

    return Panel(
        body,
        title=Text(one_line(title), style="title" if style == "frame" else ""),
        title_align="left",
        border_style=style,
        expand=False,
    )


def mark(holds: bool) -> "Text":
    """A tick or a cross, or the words for them where the stream can show neither."""
    from rich.text import Text

    yes, no = ("\u2713", "\u2717") if speaks_unicode() else ("yes", "NO")
    return Text(yes if holds else no, style="good" if holds else "bad")


def line(out: "Console", *parts: "str | Text | tuple[str, str]") -> None:
    """One paragraph, wrapped: texts, or (text, style)."""
    from rich.text import Text

    out.print(Text.assemble(*parts))


def whole_line(out: "Console", *parts: "str | Text | tuple[str, str]") -> None:
    """One line that is not wrapped, so that an address or a command in it can be copied or piped on."""
    from rich.text import Text

    out.print(Text.assemble(*parts), soft_wrap=True)


def hint(out: "Console", text: str) -> None:
    """What is worth knowing, and less than what was asked for."""
    line(out, (text, "hint"))


def commands(out: "Console", pairs: Sequence[tuple[str, str]]) -> None:
    """What to do next: (what for, the command line), each on a line of its own."""
    width = max((len(label) for label, _ in pairs), default=0) + 2
    for label, command in pairs:
        whole_line(out, (f"{label}:".ljust(width), "hint"), (command, "command"))


def nothing(out: "Console", what: str, pairs: Sequence[tuple[str, str]] = ()) -> None:
    """An empty place: what is not there, and how to have some."""
    line(out, what)
    commands(out, pairs)


def age(now: datetime, then: datetime) -> str:
    """How long ago: "40 s", "3 min", "5 h", "12 d"."""
    seconds = max(round((now - then).total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"

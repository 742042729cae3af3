"""One look for every command: how a table, facts, a mark, an age and an empty place are shown.

Styles are the words of output.py (`good`, `open`, `bad`, `title`, `label`, `hint`, `command`), never colors. What
somebody else wrote (a gateway, a statement, a payer) stays in its cell: one line, no control characters, no markup.
rich is imported when something is shown, so that a command that shows nothing (`--json`, `--help`) pays nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.output import speaks_unicode
from vextrus_payments.printable import one_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

#: How long a cell's text may be before it is cut.
CELL_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is not plain text to the left."""

    name: str
    right: bool = False
    """Numbers and amounts stand below each other."""
    whole: bool = False
    """Never broken over two lines: what is to be copied."""
    widest: int | None = None
    """At most so many columns; what is longer goes over several lines."""


def right(name: str) -> Column:
    """A column of numbers or amounts."""
    return Column(name=name, right=True)


def whole(name: str) -> Column:
    """A column whose cells are never broken: ids, states."""
    return Column(name=name, whole=True)


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
        return Text("-", style="label")
    return Text(one_line(text, limit), style=style, overflow="fold")


def facts(rows: Iterable[tuple[str, object]], *, limit: int = CELL_MAX) -> "Table":
    """Labels with their values beside them."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="label", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows:
        grid.add_row(label, cell(value, limit=limit))
    return grid


def panel(body: "RenderableType", title: str, style: str = "frame") -> "Panel":
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


def commands(out: "Console", rows: Sequence[tuple[str, str]]) -> None:
    """What to do next: (what for, the command line), each on a line of its own."""
    width = max((len(label) for label, _ in rows), default=0) + 2
    for label, command in rows:
        whole_line(out, (f"{label}:".ljust(width), "hint"), (command, "command"))


def nothing(out: "Console", what: str, rows: Sequence[tuple[str, str]] = ()) -> None:
    """An empty place: what is not there, and how to have some."""
    line(out, what)
    commands(out, rows)


def age(now: datetime, then: datetime) -> str:
    """How long ago: "40 s", "3 min", "5 h", "12 d"."""
    seconds = max(round((now - then).total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"

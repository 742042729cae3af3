"""What leaves the CLI: one JSON document, one clear line, or something pleasant to read; whatever the code page.

JSON is written in ASCII on one line: no console's code page can spoil it. Everything else goes through rich, which
falls back to plain characters where the stream cannot show boxes; what a stream cannot encode becomes "?". Colors are
for a terminal alone, and `NO_COLOR` takes them away there, too.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO

from vextrus_payments.printable import one_line as shown_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console
    from rich.segment import Segment

#: How wide tables are where no terminal says so.
_WIDTH: Final = 120
_ERROR: Final = "Error:"
#: What the terminals that know no commands call themselves.
_DUMB: Final = frozenset({"dumb", "unknown"})
#: The words in which commands speak of colors: one meaning, one color.
_STYLES: Final[Mapping[str, str]] = {
    "good": "green",
    "open": "yellow",
    "bad": "bold red",
    "title": "bold",
    "label": "dim",
    "hint": "dim",
    "command": "cyan",
    "frame": "dim",
}


def prepare_streams() -> None:
    """Let no character raise, on any code page, and let every line out as it is written."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=errors)


def emit_json(document: Mapping[str, Any]) -> None:
    """One JSON document on one flushed line of stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=True, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def say(line: str) -> None:
    """One line on stderr; on a terminal an error's first word is red."""
    shown = one_line(line)
    if shown.startswith(_ERROR) and in_color(sys.stderr):
        shown = f"\x1b[1;31m{_ERROR}\x1b[0m{shown.removeprefix(_ERROR)}"
    sys.stderr.write(shown + "\n")
    sys.stderr.flush()


def in_color(stream: TextIO | None) -> bool:
    """Whether what is written there may be colored: it is a terminal that takes commands, and nobody said no."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal that takes commands (lines redrawn, colors): no pipe, no file, no `TERM=dumb`."""
    if stream is None or stream.closed or not stream.isatty():
        return False
    return os.environ.get("TERM", "").lower() not in _DUMB


def one_line(text: str) -> str:
    """The text on one line, with neither line breaks nor control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def console(stream: TextIO | None = None) -> "Console":
    """A rich console on stdout (or `stream`), wide enough for a table when there is no terminal."""
    from rich.console import Console
    from rich.segment import Segment
    from rich.theme import Theme

    class Frank(Console):
        """Tells the frame of a reader that went away, in place of an exit code of its own; hands no control characters
        of others to the terminal."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

        def show_cursor(self, show: bool = True) -> bool:
            return False  # a cursor that is never hidden needs nobody to bring it back when a signal ends the command

        def render(self, *args: Any, **named: Any) -> "Iterator[Segment]":
            # A gateway's or a statement's word may hold what moves a terminal's cursor, or names its window. rich
            # lets it through; whatever a command prints, here it is on its way out.
            for segment in super().render(*args, **named):
                if segment.control or segment.text == "\n" or segment.text.isprintable():
                    yield segment
                else:
                    yield Segment(_shown(segment.text), segment.style)

    stream = stream or sys.stdout
    shown_to_person = stream is not None and stream.isatty()
    width = None if shown_to_person or os.environ.get("COLUMNS") else _WIDTH
    return Frank(
        file=stream,
        width=width,
        highlight=False,
        soft_wrap=False,
        theme=Theme(dict(_STYLES)),
        # rich would keep bold and dim where NO_COLOR is set; whoever sets it wants plain text
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )


def _shown(text: str) -> str:
    """The text in its lines, without control characters."""
    return "\n".join(shown_line(line, len(line)) for line in text.split("\n"))


def speaks_unicode(stream: TextIO | None = None) -> bool:
    """Whether the stream can show what ASCII cannot."""
    encoding = getattr(sys.stdout if stream is None else stream, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")

"""What the CLI hands a terminal: colors of its own, and no control characters of anybody else's."""

from io import StringIO
from typing import Any

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vextrus_payments.cli.output import console

_HOSTILE = "TRX\x1b]0;owned\x07\x1b[2J\x9b31m\x08\x00\u202eevil\u2066\x7f"


def _grid() -> Table:
    table = Table("Heading")
    table.add_row(Text(_HOSTILE))
    return table


@pytest.mark.parametrize(
    "what", [Text(_HOSTILE), _HOSTILE, _grid(), Panel(Text(_HOSTILE), title=Text(_HOSTILE))]
)
def test_nothing_of_others_reaches_the_terminal_as_a_command(what: Any) -> None:
    out = StringIO()
    console(out).print(what, markup=False)
    text = out.getvalue()
    assert "TRX" in text
    assert not [c for c in text if c != "\n" and not c.isprintable()]


def test_lines_and_bangla_stay_as_they_are() -> None:
    out = StringIO()
    console(out).print(Text("প্রথম\nক্\u200cষ second"), style="bold")
    assert out.getvalue() == "প্রথম\nক্\u200cষ second\n"


def test_our_own_colors_go_through() -> None:
    out = StringIO()
    made = type(console(out))(file=out, force_terminal=True, color_system="standard")
    made.print(Text("fine \x1b[2J", style="bold red"))
    assert out.getvalue().startswith("\x1b[1;31m")
    assert "\x1b[2J" not in out.getvalue()

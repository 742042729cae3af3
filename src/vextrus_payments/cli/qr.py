"""The payment page's address as a QR code in the terminal, for the payer's phone.

Two rows of modules share a line (half blocks), with the quiet zone of four that scanners count on. It is black on
white whatever the terminal's colors are; without colors the light modules are drawn, which is right on a dark
background, and today's scanners read it the other way round, too.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vextrus_payments.cli.output import in_color, is_terminal, speaks_unicode

if TYPE_CHECKING:
    from rich.console import Console

_QUIET: Final = 4
#: (upper module is dark, lower module is dark) -> its half block, where dark is drawn.
_BLOCKS: Final = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}
#: Lines that belong below the code: the hint and what is waited for.
_BELOW: Final = 3


@dataclass(frozen=True, slots=True)
class Code:
    """A code as rows of modules, its quiet zone included; True is dark."""

    rows: tuple[tuple[bool, ...], ...]

    @property
    def width(self) -> int:
        """Columns it takes."""
        return len(self.rows[0])

    @property
    def height(self) -> int:
        """Lines it takes."""
        return (len(self.rows) + 1) // 2

    def lines(self, *, dark: bool) -> list[str]:
        """The lines to print: its dark modules drawn, or its light ones."""
        nothing = (False,) * self.width
        pairs = [
            (upper, self.rows[number + 1] if number + 1 < len(self.rows) else nothing)
            for number, upper in enumerate(self.rows)
            if number % 2 == 0
        ]
        return ["".join(_BLOCKS[a is dark, b is dark] for a, b in zip(*pair, strict=True)) for pair in pairs]


def code_of(text: str) -> Code | None:
    """The code; None where the text is too long for one, or the package that makes codes is not installed."""
    try:
        import segno
    except ImportError:
        return None
    try:
        made = segno.make_qr(text, error="l")
    except segno.DataOverflowError:
        return None
    return Code(tuple(tuple(bool(module) for module in row) for row in made.matrix_iter(border=_QUIET)))


def show(out: "Console", url: str, *, wanted: bool | None) -> str | None:
    """Print the code of an address, where it can be shown.

    Args:
        wanted: whether the user asked for it; None: only where it fits the terminal.

    Returns:
        Why it is not shown, where somebody should know; None: it is, or nobody misses it.
    """
    if wanted is False or (wanted is None and not is_terminal(sys.stdout)):
        return None
    if not speaks_unicode():
        return "This terminal's encoding has no signs to draw it with." if wanted else None
    code = code_of(url)
    if code is None:
        return 'It needs what pip install "vextrus-payments[cli]" brings, and an address of bearable length.'
    if not wanted and not _fits(code):
        return f"It needs a window of {code.width} x {code.height + _BELOW}; --qr prints it all the same."
    _print(out, code.lines(dark=in_color(sys.stdout)))
    return None


def _fits(code: Code) -> bool:
    try:
        size: Sequence[int] = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        return False
    return size[0] >= code.width and size[1] >= code.height + _BELOW


def _print(out: "Console", lines: list[str]) -> None:
    from rich.text import Text

    style = "#000000 on #ffffff" if in_color(sys.stdout) else ""
    for each in lines:
        out.print(Text(each, style=style), soft_wrap=True)

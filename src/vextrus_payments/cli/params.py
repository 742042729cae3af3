"""Parameter types of the command line: what they refuse, they refuse in words a person can act on."""

import re
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    _NumberType = click.ParamType[int]
else:
    _NumberType = click.ParamType  # generic for the type checkers only, in the older releases of click

_WHOLE: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


class WholeNumber(_NumberType):
    """A whole number within bounds."""

    name = "number"

    def __init__(self, lowest: int, highest: int) -> None:
        self._lowest = lowest
        self._highest = highest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; fails with a sentence that names the bounds."""
        if isinstance(value, int):
            return value
        if _WHOLE.fullmatch(value) and self._lowest <= int(value) <= self._highest:
            return int(value)
        self.fail(f"{value!r} is no whole number from {self._lowest} to {self._highest}.", param, ctx)


PORT: Final = WholeNumber(0, 65535)

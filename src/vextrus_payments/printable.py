"""Text that can be shown: nothing in it moves a cursor, turns a line around, or begins another one."""

import re
from typing import Final

LINE_MAX: Final = 300
"""Characters of one line where nothing else is said."""

#: Controls, directions, invisible characters. Not U+200C and U+200D: Bangla is spelled with them.
_CONTROL: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def one_line(text: str, limit: int = LINE_MAX) -> str:
    """The text without control, bidirectional and zero-width characters, cut to a length: one event, one line."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text  # nearly everything; there is nothing in it that could be hidden
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return _CONTROL.sub("\ufffd", cut)

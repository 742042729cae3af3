"""JSON that can be read in one way only, with every number as the text that stood there: no float is ever made.

Two readers of one message must not see two messages. A repeated key, `NaN`, `Infinity`, invalid UTF-8 and anything
but one object are refused: nobody may pick the reading that suits him.
"""

import json
from typing import Any, Final


class UnreadableJsonError(ValueError):
    """The bytes are not one JSON object that can be read in exactly one way. Holds no part of them."""


class _NotOneReading(Exception):
    """Raised inside the JSON hooks; never leaves this module."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotOneReading("a key appears twice in one object")
    return found


def _no_constant(name: str) -> str:
    raise _NotOneReading(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_keys, parse_float=str, parse_int=str, parse_constant=_no_constant
)
_BLANKS: Final = " \t\n\r"


def read_object(raw: bytes, *, what: str = "the text") -> dict[str, Any]:
    """Read one JSON object; every number becomes the exact text that stood there ("100.00" stays "100.00").

    A byte order mark at the beginning is passed over.

    Raises:
        UnreadableJsonError: it is anything else: broken UTF-8, HTML, an array, a repeated key, `NaN`, a nesting that
            is too deep. The error quotes nothing of it and has no cause chain.
    """
    problem: str
    try:
        text = raw.decode("utf-8")
        if not text.startswith("{"):
            text = text.removeprefix("\ufeff").lstrip(_BLANKS)
        found, end = _DECODER.raw_decode(text)
        if end != len(text) and text[end:].strip(_BLANKS):
            problem = "there is something behind it"
        elif isinstance(found, dict):
            return found
        else:
            problem = "it is JSON but not an object"
    except _NotOneReading as refused:
        problem = str(refused)
    except UnicodeDecodeError:
        problem = "it is not UTF-8"
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError:
        problem = "it is not JSON"
    raise UnreadableJsonError(f"{what} of {len(raw)} bytes is unreadable: {problem}")

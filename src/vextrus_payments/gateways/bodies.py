"""What the wire models of every gateway are made of: a body we send is strict, an answer we read is tolerant.

Two attitudes live here. A **body** is what we send: strict, every value of its declared type, no unknown field. An
**answer** is what a gateway says: tolerant, because one missing or odd field that proves nothing must not hide the
field that does. Whatever an answer holds:

* a JSON number is kept as the exact text that stood on the wire (``100.00`` stays ``"100.00"``; no float is ever
  made), so that amounts are parsed by ``Money`` and by nothing else;
* an unknown field is ignored, an absent or ``null`` one is ``None``;
* a value of a shape that cannot be text (object, list, boolean) counts as absent, so a proof field of the wrong
  shape proves nothing;
* a repeated key, ``NaN``, ``Infinity``, invalid UTF-8 or anything but one JSON object is refused by
  :func:`read_json` with :class:`UnreadableBodyError`: nobody may pick the reading that suits him.
"""

from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

from vextrus_payments.redaction import redact_sentence
from vextrus_payments.strict_json import UnreadableJsonError, read_object

_WORD_MAX: Final = 64


class UnreadableBodyError(ValueError):
    """The bytes are not one JSON object that can be read in exactly one way. Holds no part of the body."""


def read_json(raw: bytes) -> dict[str, Any]:
    """Read one JSON object; every number becomes the exact text that stood in the body: see strict_json.py.

    Raises :class:`UnreadableBodyError` for anything else: broken UTF-8, HTML, an array, a repeated key, ``NaN``, a
    nesting that is too deep. The error quotes nothing of the body and has no cause chain.
    """
    try:
        return read_object(raw, what="the body")
    except UnreadableJsonError as error:
        problem = str(error)
    raise UnreadableBodyError(problem)


def shown_word(text: str | None) -> str:
    """A gateway's own word, such as a status, as it may be shown, logged and kept; it may be anything at all."""
    return redact_sentence(text or "", _WORD_MAX)


def as_text(value: object) -> str | None:
    """The text of a wire value: a string, or the digits of a number; None for what cannot be text."""
    if isinstance(value, str):
        # A lone surrogate cannot be stored or logged later; it can prove nothing, so it may change.
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None  # objects, lists, booleans, null; floats too: their text is already lost


Text = Annotated[str | None, BeforeValidator(as_text)]
"""Optional wire text of an answer: string or number on the wire, exact text here, ``None`` when absent."""


class Body(BaseModel):
    """A request body: strict strings, no unknown field. Its repr and its errors show no secret."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,  # made at first use: most programs never send most of them
    )

    def to_json(self) -> bytes:
        """The bytes to send: wire names, absent fields left out, UTF-8."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode("utf-8")


class Lenient(BaseModel):
    """An answer's base: what it does not know is left out, what it knows is frozen."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        defer_build=True,  # as above
    )

"""Records as JSON text and back, exact: money as text, times with their zone, nothing coerced silently."""

from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from vextrus_payments.errors import StorageError

T = TypeVar("T")


#: Built on first use: building one costs more than a hundred uses of it.
_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {}


def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    adapter = _ADAPTERS.get(cls)
    if adapter is None:
        adapter = _ADAPTERS[cls] = TypeAdapter(cls)
    return adapter


def to_json(record: object) -> str:
    """One frozen record as one line of JSON.

    Raises:
        StorageError: a field holds what its type does not say, or a text that is no text (a lone surrogate).
    """
    try:
        # Past the adapter: its own method does nothing here but to cost another call.
        return _adapter(type(record)).serializer.to_json(record, warnings="error").decode("utf-8")
    except PydanticSerializationError:
        pass  # its text quotes the value; raised below, outside, so that it is not chained
    raise StorageError(
        f"A {type(record).__name__} holds a value that cannot be stored; nothing was written.",
        code="storage_bad_value",
        next_step="Look for broken characters in what the caller or the gateway sent.",
    )


def from_json(cls: type[T], text: str | bytes) -> T:
    """The record that `to_json` wrote.

    Raises:
        StorageError: the text is no such record.
    """
    try:
        record: T = _adapter(cls).validator.validate_json(text, strict=True)
    except ValidationError:
        pass  # its text may quote stored values; raised below, outside, so that it is not chained
    else:
        return record
    raise StorageError(
        f"A stored {cls.__name__} cannot be read back.",
        code="storage_unreadable",
        next_step="Check which release wrote the store.",
    )

"""Records as JSON text and back, exact: money as text, times with their zone, nothing coerced silently."""

from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from vextrus_payments.errors import StorageError

T = TypeVar("T")


@cache
def _adapter(cls: type[Any]) -> TypeAdapter[Any]:
    # Built on first use: building one costs more than a hundred uses of it.
    return TypeAdapter(cls)


def to_json(record: object) -> str:
    """One frozen record as one line of JSON."""
    return _adapter(type(record)).dump_json(record).decode("utf-8")


def from_json(cls: type[T], text: str | bytes) -> T:
    """The record that `to_json` wrote.

    Raises:
        StorageError: the text is no such record.
    """
    try:
        record: T = _adapter(cls).validate_json(text)
    except ValidationError:
        pass  # its text may quote stored values; raised below, outside, so that it is not chained
    else:
        return record
    raise StorageError(
        f"A stored {cls.__name__} cannot be read back.", next_step="Check which release wrote the store."
    )

"""Pages of listings."""

from dataclasses import dataclass
from typing import Generic, TypeVar

RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """One page of a listing; `cursor` continues it, None at the end."""

    rows: tuple[RowT, ...]
    cursor: str | None

"""Where the things lie that are written down, and how it is known what changed: three kinds of places."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from vextrus_payments_sandbox.kept import Shelf
from vextrus_payments_sandbox.state.codec import Codec

_T = TypeVar("_T")
Change = tuple[str, str | None]
"""(key, JSON); None for what is gone."""
ONLY: Final = "-"
"""The key of what is one thing."""


class Source(Protocol):
    """A place in the world."""

    name: str

    def bind(self, *, written: bool = False) -> None:
        """Take hold of the place, anew after a reset: all that lies there counts as changed, or as written."""
        ...

    def changes(self, codec: Codec) -> Iterator[Change]:
        """What came, changed or went since :meth:`written`."""
        ...

    def written(self) -> None:
        """What :meth:`changes` gave is on disk."""
        ...


@dataclass(slots=True)
class Things(Source):
    """A mapping whose things change: a :class:`Shelf` takes its place. `named` writes a key that is no text."""

    name: str
    owner: Any
    attribute: str
    named: Callable[[Any], str] = str
    shelf: Shelf[Any] = field(default_factory=Shelf)

    def bind(self, *, written: bool = False) -> None:
        """Put a shelf where the mapping was."""
        self.shelf = Shelf(getattr(self.owner, self.attribute) or {})
        setattr(self.owner, self.attribute, self.shelf)
        if written:
            self.shelf.settled()

    def changes(self, codec: Codec) -> Iterator[Change]:
        """The things that changed, whole."""
        for key in self.shelf.gone:
            yield self.named(key), None
        for key in self.shelf.changed:
            if key in self.shelf:
                yield self.named(key), codec.text(self.shelf[key])

    def written(self) -> None:
        """Begin to look for changes anew."""
        if self.shelf.changed or self.shelf.gone:
            self.shelf.settled()


@dataclass(slots=True)
class Lines(Source):
    """A list that only grows, or is emptied by a reset of the whole world."""

    name: str
    lines: Callable[[], Sequence[Any]]
    done: int = 0
    _seen: int = 0

    def bind(self, *, written: bool = False) -> None:
        """Nothing of it is written yet, or all."""
        self.done = len(self.lines()) if written else 0

    def changes(self, codec: Codec) -> Iterator[Change]:
        """The lines that came."""
        lines = self.lines()
        self._seen = len(lines)
        for index in range(self.done, self._seen):
            yield f"{index + 1}", codec.text(lines[index])

    def written(self) -> None:
        """So far."""
        self.done = self._seen


@dataclass(slots=True)
class Whole(Source):
    """Something small that is written whole when it is not what was written last."""

    name: str
    of: Callable[[], Any]
    last: str = ""
    _now: str = ""

    def bind(self, *, written: bool = False) -> None:
        """Write it, or take it for written."""
        self.last = json.dumps(self.of()) if written else ""

    def changes(self, codec: Codec) -> Iterator[Change]:
        """All of it."""
        self._now = json.dumps(self.of())
        if self._now != self.last:
            yield ONLY, self._now

    def written(self) -> None:
        """Compare with this from now on."""
        self.last = self._now


Found = Mapping[str, Mapping[str, str]]
"""What a file holds: shelf -> key -> JSON, in the order in which the things first came."""


def sorted_in(rows: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """The rows of a file by their shelves."""
    found: dict[str, dict[str, str]] = {}
    for shelf, key, data in rows:
        found.setdefault(shelf, {})[key] = data
    return found


def line_list(found: Found, shelf: str, codec: Codec, wanted: type[_T]) -> list[_T]:
    """The lines of a list, in their order."""
    return [codec.thing(wanted, data) for data in found.get(shelf, {}).values()]


def only(found: Found, shelf: str, codec: Codec, wanted: type[_T], otherwise: _T) -> _T:
    """What was written whole; `otherwise` where it was not written."""
    data = found.get(shelf, {}).get(ONLY)
    return otherwise if data is None else codec.thing(wanted, data)

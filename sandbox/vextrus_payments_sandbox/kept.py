"""What lasts: things that tell when they change, and shelves that know which of theirs did.

A sandbox without a state file has no shelves. With one, each shelf stands where the plain mapping stood, and
``state/keeper.py`` writes down what changed before anybody is answered. Nobody has to remember to report a change:
whoever sets a field of a thing on a shelf has reported it. In the same way lists learn whose state they have to ask for
again (``listing.py``).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")


class Kept:
    """Base of a thing with fields that change. Only setting a field counts: a list in it is replaced, not grown."""

    __slots__ = ("_mark", "_place", "_watched")
    _mark: Callable[[], None]
    _watched: bytearray
    _place: int

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        mark = getattr(self, "_mark", None)
        if mark is not None:
            mark()
        watched = getattr(self, "_watched", None)
        if watched is not None:
            watched[self._place] = 0

    def watched_by(self, places: bytearray, place: int) -> None:
        """Put a zero there with every change, until somebody else watches: what was known of it is old then."""
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_watched", places)


class Shelf(dict[str, _T]):
    """A mapping that knows which of its things came, changed or went since :meth:`settled`."""

    __slots__ = ("changed", "gone")

    def __init__(self, things: Mapping[str, _T] | Iterable[tuple[str, _T]] = ()) -> None:
        super().__init__()
        self.changed: dict[str, None] = {}
        """The keys of what is new or was changed, oldest first."""
        self.gone: dict[str, None] = {}
        for key, thing in dict(things).items():
            self[key] = thing

    def __setitem__(self, key: str, thing: _T) -> None:
        super().__setitem__(key, thing)
        self.changed[key] = None
        self.gone.pop(key, None)
        if isinstance(thing, Kept):
            object.__setattr__(thing, "_mark", partial(self.changed.__setitem__, key, None))

    def __delitem__(self, key: str) -> None:
        super().__delitem__(key)
        self.changed.pop(key, None)
        self.gone[key] = None

    def pop(self, key: str, *otherwise: Any) -> Any:
        """Take a thing off; `otherwise` where there is none."""
        if key not in self:
            return super().pop(key, *otherwise)
        thing = self[key]
        del self[key]
        return thing

    def setdefault(self, key: str, thing: Any = None) -> Any:
        """The thing of this key; put there where there is none."""
        if key not in self:
            self[key] = thing
        return self[key]

    def clear(self) -> None:
        """Empty it."""
        for key in list(self):
            del self[key]

    def settled(self) -> None:
        """All of it is written down."""
        self.changed.clear()
        self.gone.clear()

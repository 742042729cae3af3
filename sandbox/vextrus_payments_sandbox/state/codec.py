"""The one codec: a thing of the world to plain JSON and back, by the types that its fields name.

Dataclasses become objects of their fields, enums their values, times ISO 8601 with microseconds. What stands on a shelf
of its own (a wallet, a merchant) is written as its key where another thing names it. A field that a file does not
have gets its default, so that a field may be added without another version; a field that no longer exists is refused.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")
_SCALARS = (str, int, float, bool, NoneType)


class NotPlainError(ValueError):
    """What was written is not what this version of the sandbox reads."""


class Codec:
    """Writes and reads. `named` tells of a type how its things are named elsewhere: (key of it, thing of a key)."""

    def __init__(
        self, named: Mapping[type, tuple[Callable[[Any], str], Callable[[str], object | None]]]
    ) -> None:
        self._named = named

    def text(self, thing: object) -> str:
        """The thing as one line of JSON in ASCII, all of its fields: any text that a caller sent can be kept."""
        return json.dumps(self._fields(thing) if is_dataclass(thing) else self._plain(thing))

    def thing(self, wanted: type[_T], text: str) -> _T:
        """The thing of that line. Raises :class:`NotPlainError`."""
        problem, plain = "", None
        try:
            plain = json.loads(text)
        except ValueError as error:
            problem = f"it is no JSON: {error}"
        if problem:
            raise NotPlainError(problem)
        found: _T = self._made(wanted, plain) if is_dataclass(wanted) else self._read(wanted, plain, "")
        return found

    # ------------------------------------------------------------------------------------------- writing

    def _fields(self, thing: Any) -> dict[str, Any]:
        return {one.name: self._plain(getattr(thing, one.name)) for one in fields(thing)}

    def _plain(self, value: Any) -> Any:
        named = self._named.get(type(value))
        if named is not None:
            return named[0](value)
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, _SCALARS):
            return value
        if isinstance(value, datetime):
            return value.isoformat()
        if isinstance(value, Mapping):
            return {str(key): self._plain(one) for key, one in value.items()}
        if isinstance(value, AbstractSet):
            return sorted(self._plain(one) for one in value)
        if isinstance(value, Sequence):
            return [self._plain(one) for one in value]
        if is_dataclass(value):
            return self._fields(value)
        raise NotPlainError(f"{type(value).__name__} is no plain data")

    # ------------------------------------------------------------------------------------------- reading

    def _made(self, wanted: Any, plain: Any) -> Any:
        if not isinstance(plain, dict):
            raise NotPlainError(f"{wanted.__name__} is no object")
        hints = hints_of(wanted)
        foreign = set(plain) - set(hints)
        if foreign:
            raise NotPlainError(f"{wanted.__name__} has no field {min(foreign)}")
        given = {name: self._read(hints[name], value, name) for name, value in plain.items()}
        for one in fields(wanted):
            if one.name not in given and one.default is MISSING and one.default_factory is MISSING:
                raise NotPlainError(f"{wanted.__name__}: {one.name} is missing")
        return wanted(**given)

    def _read(self, wanted: Any, plain: Any, name: str) -> Any:
        if wanted is Any or wanted is object:
            return plain
        origin, inner = get_origin(wanted), get_args(wanted)
        if origin in (Union, UnionType):
            return self._read_one_of(inner, plain, name)
        if origin is Literal:
            if plain not in inner:
                raise NotPlainError(f"{name} is none of {inner}")
            return plain
        if origin is not None:
            return self._read_many(origin, inner, plain, name)
        return self._read_plain(wanted, plain, name)

    def _read_plain(self, wanted: Any, plain: Any, name: str) -> Any:
        if wanted in self._named:
            found = self._named[wanted][1](plain) if isinstance(plain, str) else None
            if found is None:
                raise NotPlainError(f"{name}: there is no {wanted.__name__} of this name")
            return found
        if wanted in _SCALARS:
            if type(plain) is not wanted and not (wanted is float and type(plain) is int):
                raise NotPlainError(f"{name} is no {wanted.__name__}")
            return plain
        try:
            if isinstance(wanted, type) and issubclass(wanted, Enum):
                return wanted(plain)
            if wanted is datetime:
                return datetime.fromisoformat(plain)
        except (ValueError, TypeError):
            plain = None
        if plain is not None and is_dataclass(wanted):
            return self._made(wanted, plain)
        raise NotPlainError(f"{name} is no {getattr(wanted, '__name__', wanted)}")

    def _read_one_of(self, inner: tuple[Any, ...], plain: Any, name: str) -> Any:
        for one in inner:
            try:
                return self._read(one, plain, name)
            except NotPlainError:
                continue
        raise NotPlainError(f"{name} is none of {inner}")

    def _read_many(self, origin: Any, inner: tuple[Any, ...], plain: Any, name: str) -> Any:
        if issubclass(origin, Mapping):
            if not isinstance(plain, dict):
                raise NotPlainError(f"{name} is no object")
            return {key: self._read(inner[1], value, name) for key, value in plain.items()}
        if not isinstance(plain, list):
            raise NotPlainError(f"{name} is no list")
        if origin is tuple and inner[-1] is not Ellipsis:
            if len(plain) != len(inner):
                raise NotPlainError(f"{name} has another length")
            return tuple(self._read(kind, one, name) for kind, one in zip(inner, plain, strict=True))
        return origin(self._read(inner[0], one, name) for one in plain)


@lru_cache(maxsize=64)
def hints_of(wanted: type) -> Mapping[str, Any]:
    """The type of each field of a dataclass."""
    hints = get_type_hints(wanted)
    return {one.name: hints[one.name] for one in fields(wanted)}

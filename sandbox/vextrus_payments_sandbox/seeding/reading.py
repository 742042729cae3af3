"""A scenario's text as a tree that knows on which line each part stands.

YAML is read down to its nodes and no further: each scalar stays the text that was written. So ``amount: 100.10`` never
becomes a float, and a wallet number that begins with 0 never becomes an octal number; nor can a tag make an object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

SIZE_MAX: Final = 1_048_576
DEPTH_MAX: Final = 8
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Spot:
    """A part of a scenario."""

    value: "str | bool | int | float | list[Spot] | dict[str, Spot] | None"
    path: str
    """``payments[2].amount``, counted from 1; empty for the whole."""
    line: int | None = None
    """Counted from 1; None where it came without lines."""


class UnreadableError(ValueError):
    """The text is no YAML, or none that is taken here."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def read_yaml(text: str) -> Spot:
    """The tree of a YAML document. Raises :class:`UnreadableError`."""
    yaml = _yaml()
    if len(text) > SIZE_MAX:
        raise UnreadableError(f"a scenario has at most {SIZE_MAX} characters", None)
    problem, line, node, depth = "", None, None, 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.events.CollectionStartEvent)
            depth -= isinstance(event, yaml.events.CollectionEndEvent)
            if (
                depth > DEPTH_MAX + 1
            ):  # said here: the time that YAML takes grows with the square of the depth
                problem, line = "it is too deep", event.start_mark.line + 1
                break
            if isinstance(event, yaml.events.AliasEvent):
                problem, line = "a scenario takes no aliases (*name)", event.start_mark.line + 1
                break
        node = None if problem else yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or getattr(error, "reason", "it is no YAML")).strip()
        line = None if mark is None else mark.line + 1
    except RecursionError:
        problem = "it is too deep"
    if problem:
        raise UnreadableError(problem, line)
    return Spot({}, "", 1) if node is None else _spot(node, "", 0)


def _yaml() -> Any:
    """PyYAML, loaded for whoever reads a file; a sandbox without scenarios starts without it."""
    import yaml  # type: ignore[import-untyped] # its stubs are a package of their own

    return yaml


def read_json(found: Any) -> Spot:
    """The tree of a JSON document that was read already. Raises :class:`UnreadableError`."""
    return _of_json(found, "", 0)


def _spot(node: Any, path: str, depth: int) -> Spot:
    yaml = _yaml()
    line = node.start_mark.line + 1
    if depth > DEPTH_MAX:
        raise UnreadableError("it is too deep", line)
    if isinstance(node, yaml.ScalarNode):
        plain = node.style is None and node.value in _NOTHING
        return Spot(None if plain else node.value, path, line)
    if isinstance(node, yaml.SequenceNode):
        parts = [_spot(one, f"{path}[{index + 1}]", depth + 1) for index, one in enumerate(node.value)]
        return Spot(parts, path, line)
    return Spot(dict(_members(node, path, depth)), path, line)


def _members(node: Any, path: str, depth: int) -> Iterator[tuple[str, Spot]]:
    yaml = _yaml()
    seen: set[str] = set()
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise UnreadableError("a field's name is one word", line)
        if key.value in seen:
            raise UnreadableError(f"{_joined(path, key.value)} stands there twice", line)
        seen.add(key.value)
        yield key.value, _spot(value, _joined(path, key.value), depth + 1)


def _of_json(found: Any, path: str, depth: int) -> Spot:
    if depth > DEPTH_MAX:
        raise UnreadableError("it is too deep", None)
    if isinstance(found, Mapping):
        return Spot(
            {key: _of_json(value, _joined(path, key), depth + 1) for key, value in found.items()}, path
        )
    if isinstance(found, list):
        return Spot(
            [_of_json(one, f"{path}[{index + 1}]", depth + 1) for index, one in enumerate(found)], path
        )
    return Spot(found, path)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def plain(spot: Spot) -> Any:
    """The tree as JSON again."""
    if isinstance(spot.value, dict):
        return {name: plain(one) for name, one in spot.value.items()}
    if isinstance(spot.value, list):
        return [plain(one) for one in spot.value]
    return spot.value

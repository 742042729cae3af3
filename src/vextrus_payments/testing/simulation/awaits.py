"""Every `await` of the SDK, by file and line: the list against which kills are counted."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import vextrus_payments.app

_ROOT: Final = Path(vextrus_payments.app.__file__).parent.parent

#: Where a process can be killed in the middle of handling money.
AREAS: Final = ("app", "engine", "outbox", "reconcile", "webhooks")
#: In threads of a web server, which no simulated process has: their tests drive them over real HTTP.
_IN_THREADS: Final = frozenset({"webhooks/blocking.py", "webhooks/django.py", "webhooks/wsgi.py"})


@dataclass(frozen=True, slots=True, order=True)
class Await:
    """One `await`, `async with` or `async for`."""

    file: str
    """Relative to the package."""
    line: int
    last_line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@cache
def awaits(areas: tuple[str, ...] = AREAS) -> tuple[Await, ...]:
    """Every one in these files and folders of the package, in order."""
    found: set[Await] = set()
    for area in areas:
        place = _ROOT / area
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place] if place.exists() else []
        for file in files:
            name = file.relative_to(_ROOT).as_posix()
            if name in _IN_THREADS:
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Await):
                    found.add(Await(name, node.lineno, node.end_lineno or node.lineno))
                elif isinstance(node, ast.AsyncWith | ast.AsyncFor):
                    first = node.body[0].lineno - 1
                    found.add(Await(name, node.lineno, max(node.lineno, first)))
    return tuple(sorted(found))


@cache
def relative(filename: str) -> str | None:
    """A source file's name relative to the package; None for a file of somebody else's."""
    try:
        return Path(filename).relative_to(_ROOT).as_posix()
    except ValueError:
        return None


def covered(killed: Iterable[tuple[str, int]], areas: tuple[str, ...] = AREAS) -> Mapping[Await, bool]:
    """For each `await`: whether a process was killed while it stood there. `killed` holds (relative file, line)."""
    lines: dict[str, set[int]] = {}
    for file, line in killed:
        lines.setdefault(file, set()).add(line)
    return {
        one: any(one.line <= line <= one.last_line for line in lines.get(one.file, ()))
        for one in awaits(areas)
    }

"""A secret canary: plant recognizable fake secrets, run anything, then look for them everywhere they must not be.

    canary = SecretCanary()
    config = BkashConfig(app_secret=canary.secret("app_secret"), ...)
    ...                                                     # the code under test
    canary.assert_absent(caplog.records, error, capsys.readouterr().out, tmp_path)

A hit names the secret's label, the form it was found in and the place, never the secret.
"""

import base64
import hashlib
import html
import json
import logging
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable
from urllib.parse import quote

from vextrus_payments.secret import Secret

_PIECE: Final = 16
"""So many characters from the start or the end of a secret count as the secret."""
_MAX_OBJECTS: Final = 5_000
"""How many attached objects one look visits."""
_OPAQUE: Final = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    Secret,
)
"""Not looked into: code, classes, and Secret, which exists to hold one."""


class Hit(NamedTuple):
    """A planted secret, found."""

    label: str
    form: str
    where: str

    def __str__(self) -> str:
        return f"{self.label} ({self.form}) in {self.where}"


class CanaryLeakError(AssertionError):
    """A planted secret was found where none may be.

    Attributes:
        hits: every place.
    """

    def __init__(self, hits: Iterable[Hit]) -> None:
        self.hits: tuple[Hit, ...] = tuple(hits)
        super().__init__("a secret leaked: " + "; ".join(str(hit) for hit in self.hits[:20]))


class _Needle(NamedTuple):
    label: str
    form: str
    text: str
    exact_case: bool


class _Cursor(Protocol):
    def fetchall(self) -> list[Any]: ...


@runtime_checkable
class Database(Protocol):
    """As much of a `sqlite3.Connection` as is needed to read every row."""

    def execute(self, sql: str, /) -> _Cursor:
        """Run one statement."""
        ...


class SecretCanary:
    """Makes fake secrets and finds them again: plain, cut to 16 characters, base64 at any alignment, hex,
    percent-encoded, JSON- or HTML-escaped, as a Python literal, reversed, in any letter case.

    Args:
        seed: other seeds make other secrets; the same seed makes the same ones.
    """

    def __init__(self, seed: str = "vextrus") -> None:
        self._seed = seed
        self._needles: dict[str, tuple[_Needle, ...]] = {}

    def plant(self, label: str, value: str | None = None) -> str:
        """A fake secret by that name; `value` registers one of your own (8 characters or more) instead.

        Raises:
            ValueError: the value is too short to be told from chance.
        """
        if value is None:
            digest = hashlib.sha256(f"{self._seed}/{label}".encode()).digest()
            value = "CANARY" + base64.b32encode(digest).decode("ascii")[:34]
        if len(value) < 8:
            raise ValueError("a canary needs 8 characters or more")
        self._needles[label] = tuple(_needles(label, value))
        return value

    def secret(self, label: str) -> Secret:
        """The same, as a Secret."""
        return Secret(self.plant(label))

    # --- looking ------------------------------------------------------------------------------------------------

    def in_text(self, text: str | bytes, where: str = "text") -> list[Hit]:
        """Look in text or raw bytes."""
        if isinstance(text, bytes | bytearray | memoryview):
            raw = bytes(text)
            text = raw.decode("latin-1") + "\n" + raw.replace(b"\0", b"").decode("latin-1")
        folded = text.casefold()
        found = {
            Hit(needle.label, needle.form, where)
            for needles in self._needles.values()
            for needle in needles
            if needle.text in (text if needle.exact_case else folded)
        }
        return sorted(found)

    def in_object(self, thing: object, where: str | None = None) -> list[Hit]:
        """Look in everything an object shows of itself: repr, str, format."""
        where = where or type(thing).__name__
        shown = {"repr": repr(thing), "str": str(thing)}
        try:
            shown["format"] = format(thing)
        except TypeError:
            pass
        return [hit for name, text in shown.items() for hit in self.in_text(text, f"{name} of {where}")]

    def in_attached(self, thing: object, where: str | None = None, *, depth: int = 4) -> list[Hit]:
        """Look in what an object shows and in everything that hangs on it: attributes, slots, items, to a depth."""
        hits: set[Hit] = set()
        seen: set[int] = set()
        keep: list[object] = []  # so that no id is given to another object meanwhile
        queue: list[tuple[object, str, int]] = [(thing, where or type(thing).__name__, depth)]
        while queue and len(seen) < _MAX_OBJECTS:
            current, path, left = queue.pop(0)
            if id(current) in seen or isinstance(current, _OPAQUE):
                continue
            seen.add(id(current))
            keep.append(current)
            if isinstance(current, str | bytes | bytearray | memoryview):
                hits.update(self.in_text(current if isinstance(current, str) else bytes(current), path))
                continue
            hits.update(self._shown(current, path))
            if left:
                queue.extend((part, f"{path}{name}", left - 1) for name, part in _parts(current))
        return sorted(hits)

    def _shown(self, thing: object, where: str) -> list[Hit]:
        try:
            return self.in_object(thing, where)
        except Exception:  # noqa: BLE001 - a repr that fails shows nothing
            return []

    def in_exception(self, error: BaseException, *, frames: bool = False) -> list[Hit]:
        """Look in an exception, its whole chain (suppressed contexts and groups too), notes, arguments, attributes
        and what hangs on them; with `frames=True` also in the local variables of its traceback.
        """
        hits: list[Hit] = []
        for link, path in _chain(error):
            hits += self.in_attached(link, path)
            hits += self.in_attached(link.args, f"{path}.args")
            hits += self.in_attached(getattr(link, "__notes__", []), f"{path}.__notes__")
            trace = link.__traceback__ if frames else None
            while trace is not None:
                code = trace.tb_frame.f_code
                hits += self.in_attached(dict(trace.tb_frame.f_locals), f"locals of {code.co_name}")
                trace = trace.tb_next
        return sorted(set(hits))

    def in_records(self, records: Iterable[logging.LogRecord]) -> list[Hit]:
        """Look in log records: message, arguments, extras, exception."""
        hits: list[Hit] = []
        for number, record in enumerate(records):
            where = f"log record {number} ({record.name})"
            hits += self.in_text(logging.Formatter().format(record), where)
            hits += self.in_attached(dict(vars(record)), where)
            if record.exc_info and record.exc_info[1] is not None:
                hits += self.in_exception(record.exc_info[1])
        return sorted(set(hits))

    def in_path(self, path: Path) -> list[Hit]:
        """Look in a file's raw bytes and name, or in every file below a folder (a database's pages too)."""
        hits: list[Hit] = []
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            hits += self.in_text(file.name, f"the name of a file in {path.name}")
            if file.is_file():
                hits += self.in_text(file.read_bytes(), f"file {file.name}")
        return hits

    def in_database(self, database: Database) -> list[Hit]:
        """Look in every row of every table of a SQLite connection, and in its schema."""
        hits: list[Hit] = []
        tables = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        for name, sql in tables:
            hits += self.in_text(f"{name}\n{sql}", f"the schema of {name}")
            if not str(sql or "").upper().startswith("CREATE TABLE"):
                continue
            quoted = str(name).replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"').fetchall():  # noqa: S608 - the schema's own name
                for value in row:
                    hits += self.in_text(value if isinstance(value, bytes) else str(value), f"table {name}")
        return sorted(set(hits))

    def look(self, *things: object) -> list[Hit]:
        """Look in each thing the way its type asks for: text, exception, log record, path, database, collections
        of these, and any other object with all that hangs on it.
        """
        return [hit for thing in things for hit in self._look(thing)]

    def _look(self, thing: object) -> list[Hit]:
        match thing:
            case str() | bytes():
                return self.in_text(thing)
            case BaseException():
                return self.in_exception(thing)
            case logging.LogRecord():
                return self.in_records([thing])
            case Path():
                return self.in_path(thing)
            case list() | tuple() | set() | frozenset():
                return self.look(*thing)
            case Database() if hasattr(thing, "cursor"):
                return self.in_database(thing)
            case _:
                return self.in_attached(thing)

    def assert_absent(self, *things: object) -> None:
        """Look everywhere.

        Raises:
            CanaryLeakError: a planted secret was found.
            ValueError: nothing was planted, so that finding nothing means nothing.
        """
        if not self._needles:
            raise ValueError("plant a secret before looking for it")
        hits = self.look(*things)
        if hits:
            raise CanaryLeakError(hits)


def _needles(label: str, value: str) -> Iterator[_Needle]:
    pieces = {value}
    if len(value) > _PIECE:
        pieces |= {value[:_PIECE], value[-_PIECE:]}
    for piece in pieces:
        raw = piece.encode("utf-8")
        forms = {
            "plain": piece,
            "reversed": piece[::-1],
            "hex": raw.hex(),
            "percent-encoded": quote(piece, safe=""),
            "percent-encoded throughout": "".join(f"%{byte:02x}" for byte in raw),
            "JSON-escaped": json.dumps(piece)[1:-1],
            "JSON-escaped throughout": "".join(f"\\u{ord(letter):04x}" for letter in piece),
            "HTML-escaped": html.escape(piece),
            "Python literal": repr(piece)[1:-1],
        }
        # where an escape changes nothing, "plain" says it all
        distinct = {text.casefold(): form for form, text in reversed(forms.items())}
        yield from (_Needle(label, form, text, exact_case=False) for text, form in distinct.items())
        for shift in range(3):
            text = _base64_core(raw, shift)
            yield _Needle(label, "base64", text, exact_case=True)
            yield _Needle(label, "base64", text.replace("+", "-").replace("/", "_"), exact_case=True)


def _base64_core(raw: bytes, shift: int) -> str:
    # what base64 makes of these bytes, whatever `shift` (0-2) bytes stand before them and whatever follows
    skip = (0, 2, 3)[shift]
    whole = (shift + len(raw)) // 3 * 4
    return base64.b64encode(b"\0" * shift + raw).decode("ascii")[skip:whole]


def _chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    queue: list[tuple[BaseException, str]] = [(error, type(error).__name__)]
    seen: set[int] = set()
    while queue:
        link, path = queue.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link, path
        for name in ("__cause__", "__context__"):
            follower = getattr(link, name)
            if follower is not None:
                queue.append((follower, f"{path}.{name} {type(follower).__name__}"))
        if isinstance(link, BaseExceptionGroup):
            queue.extend((part, f"{path}.exceptions {type(part).__name__}") for part in link.exceptions)


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, Mapping):
        for key, value in list(thing.items()):
            yield "{key}", key
            yield f"[{key if isinstance(key, str) and len(key) < _PIECE else '...'}]", value
        return
    if isinstance(thing, list | tuple | set | frozenset | deque):
        yield from (("[...]", part) for part in list(thing))
        return
    yield from ((f".{name}", value) for name, value in list(getattr(thing, "__dict__", {}).items()))
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield f".{name}", getattr(thing, name)

"""The numbered SQL files that make and change the stores' tables, and what is known of each.

A file that was released is never changed again: `SHA256SUMS` beside the files holds their checksums, and every
database keeps those of the files that made it.

While a service is rolled out, the release before it still runs on the schema that the new one has made. So a file
only adds, and says with a line `-- compatible: 1` which schema a release must know at least to go on working with it;
without that line only releases that have the file do.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from vextrus_payments.errors import StorageError

_NAME: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_COMPATIBLE: Final = re.compile(r"^-- compatible: ([0-9]{1,4})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 in hex of the text, whatever line ends the file has on this machine."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()

    @property
    def compatible(self) -> int:
        """The oldest schema whose release can go on working once this migration has run; its own number if none.

        The file says so in a line of its own: `-- compatible: 1`.
        """
        said = _COMPATIBLE.search(self.text)
        return self.number if said is None else int(said[1])

    def statements(self) -> Iterator[str]:
        """SQLite's statements one by one, so that all of them run inside one transaction."""
        import sqlite3  # only who has an SQLite store needs it

        statement = ""
        for line in self.text.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                yield statement
                statement = ""


@cache
def migrations(kind: str) -> tuple[Migration, ...]:
    """The migrations of one kind of store, in order.

    Raises:
        StorageError: a file is missing, or is not the one that was released.
    """
    folder = files(__name__) / kind
    found = []
    for entry in folder.iterdir():
        match = _NAME.fullmatch(entry.name)
        if match:
            text = entry.read_text(encoding="utf-8").replace("\r\n", "\n")
            found.append(Migration(int(match[1]), entry.name.removesuffix(".sql"), text))
    found.sort(key=lambda migration: migration.number)
    _check_released(found, (folder / "SHA256SUMS").read_text(encoding="utf-8"))
    return tuple(found)


def _check_released(found: list[Migration], sums: str) -> None:
    lines = (line.split() for line in sums.splitlines())
    released = {name: checksum for checksum, name in lines}
    whole = [m.number for m in found] == list(range(1, len(released) + 1))
    if not whole or not all(
        hmac.compare_digest(released.get(f"{m.name}.sql", ""), m.checksum) for m in found
    ):
        raise StorageError(
            "The installed migration files are not the released ones.",
            code="storage_bad_migrations",
            next_step="Install the package again; nothing was changed in the store.",
        )

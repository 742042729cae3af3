"""Sorting more lines than memory holds: runs of sorted lines in temporary files, merged as they are read.

A temporary file has no name, or one that only its owner can read, and is gone when the spool is closed or the
process dies.
"""

import heapq
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self, TypeVar

T = TypeVar("T")

#: Transactions per look-up and per commit: what the store port takes at once.
CHUNK: Final = 1000
#: Lines held before they become a run: some twenty megabytes.
_RUN: Final = 50_000


class Spool:
    """Takes lines in any order and gives them back sorted, as often as wanted.

    Args:
        folder: for temporary files; None: the system's.
        run: how many lines are held in memory at most.
    """

    def __init__(self, folder: str | Path | None = None, *, run: int = _RUN) -> None:
        self._folder = folder
        self._run = run
        self._held: list[str] = []
        self._files: list[IO[str]] = []
        self.count: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary files."""
        for file in self._files:
            file.close()
        self._files.clear()
        self._held.clear()

    def add(self, line: str) -> None:
        """Take one line; it holds no line break."""
        self._held.append(line)
        self.count += 1
        if len(self._held) >= self._run:
            self._spill()

    def __iter__(self) -> Iterator[str]:
        """All lines, sorted. One iteration at a time."""
        self._held.sort()
        if not self._files:
            return iter(list(self._held))
        return heapq.merge(self._held, *(_lines_of(file) for file in self._files))

    def _spill(self) -> None:
        self._held.sort()
        file = tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=self._folder)  # noqa: SIM115
        self._files.append(file)
        file.writelines(f"{line}\n" for line in self._held)
        file.flush()
        self._held.clear()


def _lines_of(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    for line in file:
        yield line[:-1]


def chunks(lines: Spool) -> Iterator[list[str]]:
    """Its lines, sorted, so many at a time."""
    chunk: list[str] = []
    for text in lines:
        chunk.append(text)
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def parts_of(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The same, of what is in memory."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]

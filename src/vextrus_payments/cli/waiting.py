"""What a person at a terminal sees while a command waits or works: a spinner, the time that is left, a bar.

It is drawn on stderr and taken away at its end, so that stdout holds the answer alone. Without a terminal, with
`--json` and with `TERM=dumb` nothing is drawn, and rich is not even imported.
"""

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vextrus_payments.cli.output import console, is_terminal, speaks_unicode
from vextrus_payments.printable import one_line

if TYPE_CHECKING:
    from rich.progress import Progress, Task
    from rich.text import Text

_WORDS_MAX = 120


class Waiting:
    """`with Waiting("Asking bkash") as busy:`; inside, `busy.tell("Asking nagad")`.

    Args:
        what: what goes on, without dots.
        quiet: draw nothing (`--json`).
        limit_s: after so many seconds the wait ends by itself: the time that is left is shown.
        bar: it is counted: `busy.count(3, 10)`; an unknown end is None.
    """

    def __init__(
        self, what: str, *, quiet: bool = False, limit_s: float | None = None, bar: bool = False
    ) -> None:
        self._what = what
        self._quiet = quiet
        self._limit_s = limit_s
        self._bar = bar
        self._progress: Progress | None = None
        self._task: Any = None
        self._total: int | None = None

    @property
    def is_drawn(self) -> bool:
        """Whether anything is drawn at all."""
        return self._progress is not None

    def __enter__(self) -> Self:
        if not self._quiet and is_terminal(sys.stderr):
            self._progress = self._drawn()
            self._task = self._progress.add_task(self._words(self._what), total=None)
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def tell(self, what: str) -> None:
        """Something else goes on now."""
        self._what = what
        if self._progress is not None:
            self._progress.update(self._task, description=self._words(what))

    def step(self, what: str) -> None:
        """As `tell`, drawn at once, however soon the next one comes: for a handful of steps."""
        self.tell(what)
        if self._progress is not None:
            self._progress.refresh()

    def count(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much; None: nobody knows of how much."""
        if self._progress is None:
            return
        if total is None and self._total is not None:  # rich takes None for "as before"
            self._progress.remove_task(self._task)
            self._task = self._progress.add_task(self._words(self._what), total=None)
        self._total = total
        self._progress.update(self._task, completed=done, total=total)

    def line(self, text: str) -> None:
        """One line of the answer, on stdout, above what is drawn."""
        sys.stdout.write(one_line(text, 600) + "\n")
        sys.stdout.flush()

    def _drawn(self) -> "Progress":
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        columns: list[ProgressColumn] = [
            SpinnerColumn("dots" if speaks_unicode(sys.stderr) else "line", style="command"),
            TextColumn("{task.description}", markup=False),
        ]
        if self._bar:
            columns += [BarColumn(bar_width=30), MofNCompleteColumn()]
        columns.append(TimeElapsedColumn() if self._limit_s is None else _left_column(self._limit_s))
        return Progress(
            *columns,
            console=console(sys.stderr),
            transient=True,
            # What is written meanwhile goes above the line; but never from stdout into stderr's file.
            redirect_stdout=is_terminal(sys.stdout),
            redirect_stderr=True,
        )

    @staticmethod
    def _words(what: str) -> str:
        return f"{one_line(what, _WORDS_MAX)} ..."


def _left_column(limit_s: float) -> Any:
    from rich.progress import ProgressColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """The time that is left."""

        def render(self, task: "Task") -> "Text":
            left = max(round(limit_s - (task.elapsed or 0)), 0)
            return Text(f"{left // 60}:{left % 60:02} left", style="hint")

    return Left()

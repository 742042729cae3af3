"""Where blocking database work runs: a port, and the one thread that serves it.

A store hands over whole transactions, never parts of one. So a caller that is cancelled leaves a transaction that was
not begun, or one that the thread finishes: never half of one.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor  # noqa: TID251 - this is the port
from typing import Protocol, TypeVar

T = TypeVar("T")


class DatabaseRunner(Protocol):
    """Runs pieces of blocking work one at a time, in the order in which they were handed over."""

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises. Work that was begun is finished, whoever stopped waiting for it."""
        ...

    async def aclose(self) -> None:
        """Let go of what runs the work, after the work that was handed over. Idempotent; run() starts it again."""
        ...


class ThreadRunner:
    """One worker thread of its own, started with the first work: an SQLite connection likes to stay on one."""

    def __init__(self, name: str = "vextrus-payments-store") -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def aclose(self) -> None:
        """Stop the thread once it is done; does not block the event loop."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        last = asyncio.get_running_loop().run_in_executor(executor, _nothing)
        executor.shutdown(wait=False)
        await asyncio.shield(last)


def _nothing() -> None:
    """The last piece of work: when it has run, all others have."""

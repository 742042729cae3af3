"""Tasks that the engine owns: one per subject, joined by any number of callers, cancelled by none of them."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from vextrus_payments.errors import ConfigurationError

T = TypeVar("T")


class Flights:
    """Single flight within one process. From claim to record, work runs here: a cancelled caller only stops waiting."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}
        self.closing: bool = False

    def start(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> "asyncio.Task[T]":
        """The running task of this key, or a new one."""
        running = self._tasks.get(key)
        if running is not None and not running.done():
            return running
        if self.closing:
            raise ConfigurationError(
                "Payments is closing: nothing new is begun.",
                code="not_open",
                next_step="Open it again, then repeat the call.",
            )
        task: asyncio.Task[T] = asyncio.create_task(make())
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return task

    def _landed(self, key: Hashable, task: "asyncio.Task[Any]") -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled():
            task.exception()  # seen: a caller that left must not make asyncio complain

    def flying(self, key: Hashable) -> bool:
        """True while this key's task runs here."""
        task = self._tasks.get(key)
        return task is not None and not task.done()

    async def landed(self, *keys: Hashable) -> None:
        """Wait for these keys' tasks where they run here; starts none, and what they raise is their callers'."""
        running = {task for key in keys if (task := self._tasks.get(key)) is not None}
        if running:
            await asyncio.wait(running)

    async def join(self, task: "asyncio.Task[T]", wait_s: float | None) -> bool:
        """Wait for a task, at most so long. False: it still runs. The task outlives a cancelled caller."""
        done, _ = await asyncio.wait({task}, timeout=wait_s)
        return bool(done)

    async def drain(self) -> None:
        """Wait until everything has landed. What only waits for other processes stops waiting."""
        self.closing = True
        while self._tasks:
            # A task's own callback, which takes it out, runs before the waiter's: the loop always gets shorter.
            await asyncio.wait(set(self._tasks.values()))

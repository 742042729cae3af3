"""An event loop whose time is a number: a wait costs nothing, and the same seed runs the same way again."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class _Selector(selectors.SelectSelector):
    """Instead of waiting for sockets, lets the loop's time pass."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everybody waits for something that never comes")
        self.loop.passed_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio on virtual time; `asyncio.sleep` and timers are the way time passes."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.passed_s


class Machine:
    """What the processes of one machine share: how far its wall clock has been set back so far."""

    def __init__(self) -> None:
        self.back_s = 0.0


class LoopClock:
    """A process's Clock in the loop's time; its wall clock follows the machine's, a little off."""

    def __init__(self, machine: Machine, ahead_s: float) -> None:
        self._machine = machine
        self._ahead_s = ahead_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic() + self._ahead_s - self._machine.back_s)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class LoopSleeper:
    """The Sleeper of the loop's time."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(main: Coroutine[Any, Any, T], complaints: list[dict[str, Any]]) -> T:
    """Run it to its end on a loop of its own; what the loop complains about (a task's exception that nobody
    retrieved) is collected."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        return loop.run_until_complete(main)
    finally:
        # Those of a killed process may wait for ever on their way out: they are cancelled out of that, too.
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.wait(left, timeout=1))
        loop.close()

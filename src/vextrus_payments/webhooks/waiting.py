"""A bound on waiting that costs nothing where nobody waits."""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns; it may wait for so long at most, on the loop's clock.

    Most deliveries are read and proven without waiting for anything, and each time-out of their own would be a tenth
    of what such a delivery costs. So the work is begun at once, and the clock is set only once it has come to wait.

    Raises:
        TimeoutError: it took longer, and was cancelled.
        (and what the coroutine raises)
    """
    try:
        waiting = work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    async with asyncio.timeout(seconds):
        going_on: T = await _going_on(work, waiting)
    return going_on


@types.coroutine
def _going_on(work: Coroutine[Any, Any, T], waiting: Any) -> Generator[Any, Any, T]:
    """The rest of a coroutine that has begun and waits for this."""
    step: Callable[[], Any]
    while True:
        try:
            step = partial(work.send, (yield waiting))
        except BaseException as error:  # noqa: BLE001 - a cancellation among them: it is the work's to answer
            step = partial(work.throw, error)
        try:
            waiting = step()
        except StopIteration as done:
            result: T = done.value
            return result

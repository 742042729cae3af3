"""A bound on waiting behaves like asyncio.timeout, and costs nothing where nobody waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from vextrus_payments.webhooks.waiting import within


async def at_once(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


async def after(steps: int, result: Any) -> Any:
    for _ in range(steps):
        await asyncio.sleep(0.001)
    return await at_once(result)


@pytest.mark.parametrize("make", [at_once, lambda result: after(3, result)], ids=["at once", "later"])
async def test_it_gives_back_what_came_or_raises_it(make: Callable[[Any], Coroutine[Any, Any, Any]]) -> None:
    assert await within(5, make("done")) == "done"
    assert await within(5, make(None)) is None
    for error in (ValueError("x"), TimeoutError("its own"), RuntimeError("y")):
        with pytest.raises(type(error)) as caught:
            await within(5, make(error))
        assert caught.value is error


async def test_what_takes_too_long_is_cancelled() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    assert ended == [True]
    await asyncio.sleep(0)  # and the caller goes on, uncancelled


async def test_a_cancelled_caller_cancels_the_work_and_nothing_else() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.create_task(within(5, hang()))
    await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_work_that_answers_a_cancellation_may_still_return() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "rescued"
        return "never"

    task = asyncio.create_task(within(5, stubborn()))
    await asyncio.sleep(0.005)
    task.cancel()
    assert await task == "rescued"


async def test_many_at_once_and_every_kind_of_waiting() -> None:
    lock = asyncio.Lock()

    async def work(number: int) -> int:
        async with lock:
            await asyncio.sleep(0)
        await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0))
        async with asyncio.timeout(60):
            await asyncio.wait({asyncio.ensure_future(asyncio.sleep(0))})
        return number

    assert await asyncio.gather(*(within(60, work(n)) for n in range(50))) == list(range(50))


async def test_a_task_that_is_closed_closes_the_work() -> None:
    ended = []

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    coroutine = within(5, hang())
    coroutine.send(None)
    coroutine.close()
    assert ended == [True]

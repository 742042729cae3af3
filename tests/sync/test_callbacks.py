"""Plain functions in threads: bounded, never two at once for one row, and never in the loop's way."""

import asyncio
import contextvars
import functools
import threading
from dataclasses import dataclass

import pytest

from tests.flows.held import PATIENCE_S
from vextrus_payments.sync.callbacks import (
    PlainCallback,
    PlainFunction,
    Threads,
    awaited,
    awaited_rows,
    inside_a_callback,
    is_async,
)


@dataclass(frozen=True)
class Row:
    """What is handed over, as far as a callback's wrapper knows it."""

    id: str


class Gate:
    """A plain callback that waits to be let through."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._begun = threading.Semaphore(0)
        self._go = threading.Semaphore(0)

    def __call__(self, row: Row) -> None:
        self.began.append(row.id)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self._begun.release()
        assert self._go.acquire(timeout=PATIENCE_S)
        self.at_once -= 1

    async def reached(self) -> None:
        """Wait until one more call has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_S)

    def open(self, count: int = 1) -> None:
        """Let that many calls end."""
        self._go.release(count)


async def given_up(callback: PlainCallback[Row], gate: Gate, row: Row) -> None:
    """Begin a delivery, and stop waiting for it once it runs: its time is up."""
    delivery = asyncio.create_task(callback(row))
    await gate.reached()
    delivery.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivery


async def test_a_row_that_still_runs_is_waited_for_instead_of_run_again() -> None:
    gate = Gate()
    callback = PlainCallback(gate, Threads(4, "test"))
    await given_up(callback, gate, Row("e1"))
    again = asyncio.create_task(callback(Row("e1")))
    other = asyncio.create_task(callback(Row("e2")))
    await gate.reached()
    assert gate.began == ["e1", "e2"]
    gate.open(2)
    await asyncio.gather(again, other)
    # It has ended: whoever hands the row over once more makes a call of its own.
    gate.open()
    await callback(Row("e1"))
    assert gate.began == ["e1", "e2", "e1"]


async def test_a_row_that_has_not_begun_when_its_time_is_up_is_not_run() -> None:
    gate = Gate()
    callback = PlainCallback(gate, Threads(1, "test"))
    first = asyncio.create_task(callback(Row("e1")))
    await gate.reached()
    waiting = asyncio.create_task(callback(Row("e2")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    gate.open(2)
    await first
    await callback(Row("e3"))
    assert gate.began == ["e1", "e3"]


async def test_no_more_threads_than_allowed() -> None:
    gate = Gate()
    callback = PlainCallback(gate, Threads(3, "test"))
    gate.open(20)
    await asyncio.gather(*(callback(Row(f"e{n}")) for n in range(20)))
    assert len(gate.began) == 20
    assert gate.most_at_once <= 3


async def test_stopped_threads_end_and_later_work_starts_new_ones() -> None:
    threads = Threads(2, "test-stopped")

    def names() -> set[str]:
        return {t.name for t in threading.enumerate() if t.name.startswith("test-stopped")}

    assert await asyncio.wrap_future(threads.submit(inside_a_callback))
    assert not inside_a_callback()
    before = [t for t in threading.enumerate() if t.name.startswith("test-stopped")]
    threads.stop()
    for thread in before:
        thread.join(PATIENCE_S)
    assert names() == set()
    assert await asyncio.wrap_future(threads.submit(lambda: 5)) == 5
    threads.stop()


async def test_what_the_function_raises_reaches_the_waiter_and_an_exit_does_not() -> None:
    def raises(row: Row) -> None:
        raise {"e1": LookupError("here"), "e2": SystemExit(1), "e3": KeyboardInterrupt()}[row.id]

    callback = PlainCallback(raises, Threads(1, "test"))
    with pytest.raises(LookupError, match="here"):
        await callback(Row("e1"))
    for row in (Row("e2"), Row("e3")):
        with pytest.raises(RuntimeError, match="the callback raised"):
            await callback(row)


async def test_the_function_sees_the_context_of_its_delivery() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    seen: list[str] = []
    name.set("here")
    await PlainCallback(lambda row: seen.append(name.get()), Threads(1, "test"))(Row("e1"))
    assert seen == ["here"]


class Sink:
    """An object with an async __call__."""

    async def __call__(self, row: Row) -> None:
        del row


async def of_async(row: Row) -> None:
    del row


def test_what_is_async_already_is_left_as_it_is() -> None:
    threads = Threads(1, "test")
    for callback in (of_async, functools.partial(of_async), Sink(), Sink().__call__):
        assert is_async(callback)
        assert awaited(callback, threads) is callback
        assert awaited_rows(callback, threads) is callback
    assert isinstance(awaited(lambda row: None, threads), PlainFunction)
    assert isinstance(awaited_rows(lambda row: None, threads), PlainCallback)

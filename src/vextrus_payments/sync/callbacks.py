"""Plain functions where the engine awaits: run in a few threads, so that one that blocks never stalls the loop."""

import asyncio
import contextvars
import inspect
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from vextrus_payments.sink_port import RowSink, TransactionalSink

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple["Future[Any]", Callable[[], Any]]
_inside: Final = threading.local()


class HasId(Protocol):
    """A ledger entry or an event: handed over again under the same id."""

    @property
    def id(self) -> str: ...


RowT = TypeVar("RowT", bound=HasId)


def inside_a_callback() -> bool:
    """True in a thread that runs a callback of the host."""
    return getattr(_inside, "yes", False)


class Threads:
    """At most `count` threads, started as work comes in. They are daemons: a callback that hangs holds up no exit."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._started = 0

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """What the work returns or raises, to come. Work that has not begun can be cancelled."""
        future: Future[T] = Future()
        with self._lock:
            if self._started < self._count:
                self._start_one()
            self._jobs.put((future, work))
        return future

    def _start_one(self) -> None:
        name = f"{self._name}-{self._started + 1}"
        try:
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        except RuntimeError:  # the machine has no thread to spare: those that there are will do
            if not self._started:
                raise
        else:
            self._started += 1

    def stop(self) -> None:
        """Let the threads end after the work they have. Work that comes later starts new ones."""
        with self._lock:
            for _ in range(self._started):
                self._jobs.put(None)
            self._jobs, self._started = queue.SimpleQueue(), 0


def _work(jobs: "queue.SimpleQueue[_Job | None]") -> None:
    _inside.yes = True
    while (job := jobs.get()) is not None:
        future, work = job
        if future.set_running_or_notify_cancel():
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits for the future
                future.set_exception(error)
            except BaseException as error:  # noqa: BLE001 - see below
                # sys.exit() in a callback ends neither this thread nor, by way of the future, the event loop.
                future.set_exception(RuntimeError(f"the callback raised {type(error).__name__}"))
            else:
                future.set_result(result)
                del result
        del job, future, work  # nothing of a payment is kept alive while waiting for the next


class PlainCallback(Generic[RowT]):
    """A plain ledger or on_event callback, awaited.

    A call whose time is up cannot be stopped. So long as it still runs, another delivery of the same row waits for
    this one call instead of making a second beside it, and the rows of the payment stay in order.
    """

    def __init__(self, function: Callable[[RowT], Awaitable[None] | None], threads: Threads) -> None:
        self._function = function
        self._threads = threads
        self._running: dict[str, Future[Awaitable[None] | None]] = {}

    async def __call__(self, row: RowT) -> None:
        """Hand one row to the function."""
        future = self._running.get(row.id)
        if future is None:
            call = partial(contextvars.copy_context().run, self._function, row)
            future = self._running[row.id] = self._threads.submit(call)
            future.add_done_callback(lambda _: self._running.pop(row.id, None))
        result = await asyncio.wrap_future(future)
        if inspect.isawaitable(result):
            await result


class PlainFunction(Generic[P, T]):
    """Any other plain function, awaited: a source of credentials, an alarm."""

    def __init__(self, function: Callable[P, Awaitable[T] | T], threads: Threads) -> None:
        self._function = function
        self._threads = threads

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function answers."""
        call = partial(contextvars.copy_context().run, partial(self._function, *args, **kwargs))
        found = await asyncio.wrap_future(self._threads.submit(call))
        return await found if inspect.isawaitable(found) else found


def awaited_rows(
    callback: Callable[[RowT], Awaitable[None] | None] | RowSink | TransactionalSink, threads: Threads
) -> object:
    """A plain ledger or event callback as the engine takes it; one that is async already, or a sink, as it is."""
    if isinstance(callback, RowSink | TransactionalSink) or not callable(callback) or is_async(callback):
        return callback
    return PlainCallback(callback, threads)


def awaited(function: Callable[P, Awaitable[T] | T], threads: Threads) -> object:
    """A plain function as the engine takes it; one that is async already, as it is."""
    if not callable(function) or is_async(function):
        return function
    return PlainFunction(function, threads)


def is_async(function: object) -> bool:
    """True for what gives a coroutine when called: a function, a partial of one, an object with such a __call__."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - what is it, not whether it is
    )

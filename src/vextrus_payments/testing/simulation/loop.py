"""One scheduler, many event loops, no real time: each simulated process has a loop of its own, and a loop can be
dropped in the middle.

Theory of operation. A `Scheduler` holds what is ready to run and what waits for its time, of all loops together. It
runs one handle after the other; when none is ready, time jumps to the next timer. So a wait costs nothing, and the
same seed runs the same way again. A `SimLoop` is what asyncio sees: it has no selector, no thread and no socket;
connections are made through the simulated network. When a loop is dropped, its handles are never run again: its
tasks stop where they are, as those of a killed process do.

The order of things. asyncio runs callbacks first come, first served, and code may rely on it. What differs from day
to day in a real process is which of several waiting tasks is woken first. So the scheduler permutes only that: among
the task steps that are ready side by side it picks one by its seed; a plain callback is never overtaken.
"""

import asyncio
import heapq
import sys
from abc import ABC, abstractmethod
from asyncio import events
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from random import Random
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_BURIALS_MAX: Final = 5
_CHOICES_MAX: Final = 6
"""Among how many task steps that are ready the seed chooses."""


class DeadlockError(AssertionError):
    """Everybody waits for something that never comes."""


class LivelockError(AssertionError):
    """The run takes more steps than any run should: somebody turns in circles."""


class Scheduler:
    """Runs the handles of all its loops on one virtual time line, in an order that the seed decides.

    Args:
        rng: decides which ready task is woken first.
        disorder: how often the first in line is not taken, from 0 (never, as asyncio does) to 1.
        steps_max: after so many steps a run counts as turning in circles.
    """

    def __init__(self, rng: Random, *, disorder: float = 0.5, steps_max: int = 2_000_000) -> None:
        self.now_s: float = 0.0
        self.steps: int = 0
        self._rng = rng
        self._disorder = disorder
        self._steps_max = steps_max
        self._ready: deque[events.Handle] = deque()
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        self._count = 0
        self._generators: WeakKeyDictionary[Any, SimLoop] = WeakKeyDictionary()
        self.complaints: list[str] = []
        """What loops complained about: exceptions that nobody retrieved."""

    # --- what loops hand over ---------------------------------------------------------------------------------

    def soon(self, handle: events.Handle) -> None:
        """Run it when its turn comes."""
        self._ready.append(handle)

    def later(self, when: float, handle: events.TimerHandle) -> None:
        """Run it when its time comes."""
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))

    def clear(self) -> None:
        """Forget everything that is ready or waits."""
        self._ready.clear()
        self._timers.clear()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, main: "asyncio.Future[T]") -> T:
        """Run everything until `main` is done.

        Raises:
            DeadlockError: nothing is left to run and `main` is not done.
            LivelockError: it takes too many steps.
        """
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._generator_begins, finalizer=self._generator_ends)
        ready, before = self._ready, events._get_running_loop()
        try:
            while not main.done():
                if not ready and not self._time_passes():
                    raise DeadlockError("everybody waits for something that never comes")
                self._step(ready)
        finally:
            events._set_running_loop(before)
            sys.set_asyncgen_hooks(*hooks)
        return main.result()

    def _step(self, ready: "deque[events.Handle]") -> None:
        handle = self._next(ready)
        loop: SimLoop = handle._loop  # type: ignore[attr-defined]
        if handle._cancelled or loop.dropped:
            return
        self.steps += 1
        if self.steps > self._steps_max:
            raise LivelockError(f"more than {self._steps_max} steps at {self.now_s:.3f} s")
        events._set_running_loop(loop)
        on_step = loop.on_step
        if on_step is None:
            handle._run()
            return
        task = task_of(handle)
        handle._run()
        if task is not None:
            on_step(task)

    def _next(self, ready: "deque[events.Handle]") -> events.Handle:
        handle = ready.popleft()
        if not ready or self._disorder == 0 or task_of(handle) is None:
            return handle
        if self._rng.random() >= self._disorder:
            return handle
        rivals = 1
        for other in ready:
            if rivals == _CHOICES_MAX or task_of(other) is None:
                break
            rivals += 1
        chosen = self._rng.randrange(rivals)
        if chosen == 0:
            return handle
        found = ready[chosen - 1]
        del ready[chosen - 1]
        ready.appendleft(handle)
        return found

    def _time_passes(self) -> bool:
        """Jump to the next timer; make all that are due then ready. False: there is none."""
        timers = self._timers
        while timers:
            when, _, handle = heapq.heappop(timers)
            if handle._cancelled or handle._loop.dropped:  # type: ignore[attr-defined]
                continue
            self.now_s = max(self.now_s, when)
            self._ready.append(handle)
            while timers and timers[0][0] <= self.now_s:
                self._ready.append(heapq.heappop(timers)[2])
            return True
        return False

    # --- async generators -------------------------------------------------------------------------------------

    def _generator_begins(self, generator: AsyncGenerator[Any, Any]) -> None:
        loop = events._get_running_loop()
        if isinstance(loop, SimLoop):
            self._generators[generator] = loop

    def _generator_ends(self, generator: AsyncGenerator[Any, Any]) -> None:
        loop = self._generators.pop(generator, None)
        if loop is not None and not loop.dropped:
            loop.call_soon(loop.create_task, generator.aclose())


def task_of(handle: events.Handle) -> "asyncio.Task[Any] | None":
    """The task whose step or wake-up the handle is; None for a plain callback."""
    owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return owner if isinstance(owner, asyncio.Task) else None


class SimLoop(asyncio.AbstractEventLoop):
    """The event loop of one simulated process. Only what a program without threads and real sockets needs.

    Attributes:
        name: for messages.
        dropped: its process is dead: nothing of it runs any more.
        on_step: told of each task that has just run up to its next suspension, or to its end.
        connector: makes connections; None for a loop that is on no network.
    """

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler = scheduler
        self.name = name
        self.dropped: bool = False
        self.on_step: Callable[[asyncio.Task[Any]], None] | None = None
        self.connector: Connector | None = None
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def __repr__(self) -> str:
        return f"<SimLoop {self.name}{' dropped' if self.dropped else ''}>"

    # --- time and callbacks -----------------------------------------------------------------------------------

    def time(self) -> float:
        return self.scheduler.now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.Handle:
        handle = events.Handle(callback, args, self, context)
        self.scheduler.soon(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        return self.call_at(self.scheduler.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        handle = events.TimerHandle(when, callback, args, self, context)
        self.scheduler.later(when, handle)
        return handle

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """asyncio tells of it; the scheduler passes over cancelled handles anyway."""

    # --- futures and tasks ------------------------------------------------------------------------------------

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[T]":
        task: asyncio.Task[T] = (
            asyncio.Task(coro, loop=self, name=name or "task")
            if context is None
            else asyncio.Task(coro, loop=self, name=name or "task", context=context)
        )
        self.tasks[task] = None
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self.tasks.pop(task, None)

    # --- state ------------------------------------------------------------------------------------------------

    def is_running(self) -> bool:
        return events._get_running_loop() is self

    def is_closed(self) -> bool:
        return self.dropped

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """There is no debug mode here."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self.dropped:
            return
        error = context.get("exception")
        said = str(context.get("message"))
        self.scheduler.complaints.append(f"{self.name}: {said}" + (f" ({error!r})" if error else ""))

    def drop(self) -> None:
        """The process is dead. What its tasks hold stays as it is until `bury`."""
        self.dropped = True

    def bury(self) -> None:
        """Let go of a dropped loop's tasks. Their `finally` blocks run now, in a world where nothing has effect."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            for _ in range(_BURIALS_MAX):  # a `finally` may begin another task
                tasks, self.tasks = list(self.tasks), {}
                for task in tasks:
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    _close(task.get_coro())
        finally:
            events._set_running_loop(before)

    # --- connections ------------------------------------------------------------------------------------------

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> list[Any]:
        """One address: the host's own name."""
        if self.connector is None:
            raise NotImplementedError("this loop is on no network")
        return [(2, 1, 6, "", (await self.connector.look_up(str(host)), port))]

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """A connection through the simulated network."""
        if self.connector is None:
            raise NotImplementedError("this loop is on no network")
        return await self.connector.connect(protocol_factory, str(host), int(port))

    async def start_tls(self, transport: Any, protocol: Any, sslcontext: Any, **_: Any) -> Any:
        """A handshake that takes its time and can fail; nothing is encrypted."""
        if self.connector is None:
            raise NotImplementedError("this loop is on no network")
        return await self.connector.secure(transport)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """No threads: what needs one cannot be simulated."""
        raise NotImplementedError(
            "A simulated process has no threads. Hand blocking work to a runner that the simulator can inject."
        )


def new_loop(scheduler: Scheduler, name: str) -> SimLoop:
    """A loop of that name on this scheduler."""
    # asyncio's own class lists more than any program without sockets asks for; what is not here raises.
    return SimLoop(scheduler, name)  # type: ignore[abstract]


class Connector(ABC):
    """What a loop asks to be connected. The simulated network gives each process one."""

    @abstractmethod
    async def look_up(self, host: str) -> str:
        """The host's address."""

    @abstractmethod
    async def connect(self, factory: Any, host: str, port: int) -> Any:
        """(transport, protocol) of a new connection."""

    @abstractmethod
    async def secure(self, transport: Any) -> Any:
        """The transport, after a TLS handshake."""


def _close(coroutine: Any) -> None:
    # A `finally` that awaits refuses to be closed; after a few tries it has nothing left to refuse with.
    for _ in range(20):
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except BaseException:  # noqa: BLE001 - whatever a dead process's clean-up raises, nobody hears it
            return
        return


def where(task: "asyncio.Task[Any]") -> tuple[tuple[str, int], ...]:
    """(file, line) of every `await` in which a suspended task stands, the outermost first."""
    found: list[tuple[str, int]] = []
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        frame = frame or getattr(waiting, "ag_frame", None)
        if frame is not None:
            found.append((frame.f_code.co_filename, frame.f_lineno))
        following = getattr(waiting, "cr_await", None)
        if following is None:
            following = getattr(waiting, "gi_yieldfrom", None) or getattr(waiting, "ag_await", None)
        waiting = following
    return tuple(found)

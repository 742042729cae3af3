"""Where blocking database work runs: a port, and the one thread that serves it.

A store hands over whole transactions, never parts of one. So a caller that is cancelled leaves a transaction that was
not begun, or one that the thread finishes: never half of one.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor  # noqa: TID251 - this is the port
from dataclasses import dataclass
from itertools import groupby
from threading import Lock  # noqa: TID251 - this is the port
from typing import Any, Final, NamedTuple, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
WorkT = TypeVar("WorkT")

TOGETHER_LIMIT: Final = 512
"""How many pieces of work are run together at most: the first of them waits for the last."""


class Outcome(NamedTuple):
    """How one of many pieces of work ended: with an answer, or with an error to raise."""

    answer: Any
    error: BaseException | None = None


class DatabaseRunner(Protocol):
    """Runs pieces of blocking work one at a time, in the order in which they were handed over."""

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises. Work that was begun is finished, whoever stopped waiting for it."""
        ...

    async def aclose(self) -> None:
        """Let go of what runs the work, after the work that was handed over. Idempotent; run() starts it again."""
        ...


@runtime_checkable
class GroupingRunner(Protocol):
    """A DatabaseRunner that can run what has queued up meanwhile in one go."""

    async def run(self, work: Callable[[], T]) -> T:
        """See DatabaseRunner."""
        ...

    async def aclose(self) -> None:
        """See DatabaseRunner."""
        ...

    def join(self, work: WorkT, run_all: Callable[[Sequence[WorkT]], Sequence[Outcome]]) -> Awaitable[Any]:
        """What `run_all` says of `work`. It is given all that was handed over with it (==) since the last piece of
        work was begun, in order, at most TOGETHER_LIMIT; what run() was given in between is run in between."""
        ...

    def beside(self) -> "GroupingRunner":
        """Another one like it, for work that need not wait for this one's."""
        ...


class ThreadRunner:
    """One worker thread of its own, started with the first work: an SQLite connection likes to stay on one."""

    def __init__(self, name: str = "vextrus-payments-store") -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None
        self._jobs: deque[_Job] = deque()
        self._at_work = False
        self._lock = Lock()

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""
        answer: T = await self._hand_over(work, None)
        return answer

    def join(self, work: WorkT, run_all: Callable[[Sequence[WorkT]], Sequence[Outcome]]) -> Awaitable[Any]:
        """What `run_all` says of `work`, run together with whatever else is waiting for it."""
        return self._hand_over(work, run_all)

    def beside(self) -> "ThreadRunner":
        """A thread more, under the same name."""
        return ThreadRunner(f"{self._name}-reads")

    async def aclose(self) -> None:
        """Stop the thread once it is done; does not block the event loop."""
        with self._lock:
            executor, self._executor = self._executor, None
            if executor is None:
                return
            last = executor.submit(_nothing)
            executor.shutdown(wait=False)
        await asyncio.shield(asyncio.wrap_future(last))

    def _hand_over(
        self, work: Any, run_all: Callable[[Sequence[Any]], Sequence[Outcome]] | None
    ) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        job = _Job(work, run_all, loop.create_future(), loop)
        with self._lock:  # several event loops may share one runner, and one of them may close it
            if not self._at_work:
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                self._executor.submit(self._work)
                self._at_work = True
            self._jobs.append(job)
        return job.future

    def _work(self) -> None:
        """In the thread: serve until nothing is left. Only one of these is at work at any time."""
        while True:
            with self._lock:
                jobs = [self._jobs.popleft() for _ in range(min(len(self._jobs), TOGETHER_LIMIT))]
                if not jobs:
                    self._at_work = False
                    return
            # Whoever has been cancelled by now is dropped; from here on what is left is finished.
            begun = [job for job in jobs if not job.future.cancelled()]
            for run_all, together in groupby(begun, key=lambda job: job.run_all):
                _serve(run_all, list(together))


@dataclass(slots=True)
class _Job:
    work: Any
    run_all: Callable[[Sequence[Any]], Sequence[Outcome]] | None
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop


def _serve(run_all: Callable[[Sequence[Any]], Sequence[Outcome]] | None, jobs: list[_Job]) -> None:
    if run_all is None:
        for job in jobs:
            _answer([job], [_ended(job.work)])
        return
    try:
        outcomes = run_all([job.work for job in jobs])
    except BaseException as error:  # noqa: BLE001 - it belongs to the callers; the thread serves others after them
        outcomes = [Outcome(None, error)] * len(jobs)
    _answer(jobs, outcomes)


def _ended(work: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(work())
    except BaseException as error:  # noqa: BLE001 - as above
        return Outcome(None, error)


def _answer(jobs: Sequence[_Job], outcomes: Sequence[Outcome]) -> None:
    """Wake the callers: one call into each event loop, however many they are."""
    answers = [(job.loop, job.future, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]
    for loop in {loop for loop, _, _ in answers}:
        mine = [(future, outcome) for of_loop, future, outcome in answers if of_loop is loop]
        try:
            loop.call_soon_threadsafe(_settle, mine)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _settle(answers: Sequence[tuple["asyncio.Future[Any]", Outcome]]) -> None:
    for future, outcome in answers:
        if future.done():
            continue  # its caller was cancelled meanwhile
        if outcome.error is None:
            future.set_result(outcome.answer)
        else:
            future.set_exception(outcome.error)


def _nothing() -> None:
    """The last piece of work: when it has run, all others have."""

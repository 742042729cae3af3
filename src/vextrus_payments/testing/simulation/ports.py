"""The ports of a simulated process: its clock, its sleeper, its randomness, its database worker."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final, Protocol, TypeVar

from vextrus_payments.errors import StorageError
from vextrus_payments.testing.simulation.loop import Scheduler

T = TypeVar("T")

START: Final = datetime(2026, 3, 1, 6, tzinfo=UTC)


def stream(seed: int | str, *names: object) -> Random:
    """A source of chance of its own for each use: what one use takes changes nothing for the others."""
    text = "/".join(str(name) for name in (seed, *names))
    return Random(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


class Machine:
    """What the processes of one machine share: how far its wall clock has been set off so far."""

    def __init__(self) -> None:
        self.wall_offset_s: float = 0.0


class SimClock:
    """A process's Clock: the wall clock can be stepped, the monotonic one only follows virtual time."""

    def __init__(self, scheduler: Scheduler, machine: Machine) -> None:
        self._scheduler = scheduler
        self._machine = machine

    def now(self) -> datetime:
        """Virtual time as a date, with the machine's error."""
        return START + timedelta(seconds=self._scheduler.now_s + self._machine.wall_offset_s)

    def monotonic(self) -> float:
        """Virtual time in seconds."""
        return 1000.0 + self._scheduler.now_s


class SimSleeper:
    """Waits in virtual time."""

    async def sleep(self, seconds: float) -> None:
        """Let that much virtual time pass."""
        await asyncio.sleep(seconds)


class SimEntropy:
    """Bytes that the seed decides."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def token_bytes(self, count: int) -> bytes:
        """The next ones."""
        return self._rng.randbytes(count)


class SimEpochMark:
    """The epoch's mark on another volume, which fails now and then: nothing, or everything, was written then."""

    def __init__(self, rng: Random, rate: Callable[[], float]) -> None:
        self._rng = rng
        self._rate = rate
        self._text: str | None = None

    async def read(self) -> str | None:
        """The text."""
        await asyncio.sleep(0)
        self._may_fail()
        return self._text

    async def write(self, text: str) -> None:
        """Replace it."""
        await asyncio.sleep(0)
        self._may_fail()
        self._text = text
        await asyncio.sleep(0)
        self._may_fail()

    def _may_fail(self) -> None:
        if self._rng.random() < self._rate():
            raise StorageError("The volume of the mark does not answer.", code="epoch_mark")


class Life(Protocol):
    """What the runner asks of its process."""

    dead: bool

    def point(self, what: str) -> None:
        """Something durable has just happened, or an await was reached: here the process can be killed."""
        ...


class SimRunner:
    """A DatabaseRunner without a thread: one piece of work at a time, in order, each taking a little virtual time.

    As with a thread, work that was begun is finished whoever stopped waiting for it, and its answer comes later: a
    process can die between the commit and the answer.
    """

    def __init__(self, life: Life, rng: Random, *, slow: float) -> None:
        self._life = life
        self._rng = rng
        self._slow = slow
        self._queue: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._busy = False

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises."""
        waiting: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.append((work, waiting))
        if not self._busy:
            self._busy = True
            self._after_a_while(self._work)
        return await waiting

    async def aclose(self) -> None:
        """There is nothing to stop."""

    def _after_a_while(self, what: Callable[..., None], *args: object) -> None:
        loop = asyncio.get_running_loop()
        if self._slow and self._rng.random() < self._slow:
            loop.call_later(self._rng.choice((0.001, 0.02, 0.3)), what, *args)
        else:
            loop.call_soon(what, *args)

    def _work(self) -> None:
        work, waiting = self._queue.popleft()
        result: Any = None
        failure: Exception | None = None
        if not waiting.cancelled():
            try:
                result = work()
            except Exception as error:  # noqa: BLE001 - it is handed to whoever waits
                failure = error
            self._life.point("database")
        if self._life.dead:
            return
        self._after_a_while(_answer, waiting, result, failure)
        if self._queue:
            self._after_a_while(self._work)
        else:
            self._busy = False


def _answer(waiting: "asyncio.Future[Any]", result: object, failure: Exception | None) -> None:
    if waiting.done():
        return
    if failure is None:
        waiting.set_result(result)
    else:
        waiting.set_exception(failure)

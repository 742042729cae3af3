"""What works in the background: each job in a task of its own, begun again when it dies, ended together.

A job is the outbox, the reconciler, whatever has to go on while nobody calls. It promises to survive what a store, a
gateway or a callback does to it; one that dies all the same is a mistake in it, is reported, and begins anew.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from vextrus_payments.health import WorkerHealth
from vextrus_payments.observe import Observer

_AGAIN_AFTER_S: Final = 1.0
_CUT_OFF_S: Final = 5.0


class Job(Protocol):
    """Something that goes on until it is told to stop."""

    @property
    def name(self) -> str:
        """One word."""
        ...

    async def run(self) -> None:
        """Work until stopped; returns once what is in hand is done. May be called again after it has raised.

        Cancelled, it leaves at once: what was in hand must be such that it is taken up again elsewhere.
        """
        ...

    def stop(self) -> None:
        """Begin nothing more, finish what is in hand."""
        ...


class Workers:
    """The jobs of one opening."""

    def __init__(self, jobs: Sequence[Job], observer: Observer) -> None:
        self._jobs = {job.name: job for job in jobs}
        self._observer = observer
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._told_to_stop = {name: asyncio.Event() for name in self._jobs}
        self._deaths = dict.fromkeys(self._jobs, 0)

    @property
    def started(self) -> bool:
        """Whether any job has been started and not been stopped again."""
        return bool(self._tasks)

    def start(self) -> None:
        """Begin every job that does not run yet."""
        for name, job in self._jobs.items():
            if name not in self._tasks:
                self._told_to_stop[name].clear()
                self._tasks[name] = asyncio.create_task(self._keep(job), name=f"vextrus-payments-{name}")

    async def stop(self, *names: str) -> None:
        """Let these jobs (all of them where none is named) finish what is in hand, and wait for it."""
        stopping = [name for name in names or tuple(self._jobs) if name in self._tasks]
        for name in stopping:
            self._told_to_stop[name].set()
            self._jobs[name].stop()
        tasks = {self._tasks[name] for name in stopping}
        if tasks:
            await asyncio.wait(tasks)
        for name in stopping:
            self._tasks.pop(name, None)

    async def cut_off(self) -> tuple[str, ...]:
        """End whatever still runs, now; the names of what had to be cut off. What they held is taken up again."""
        left = {name: task for name, task in self._tasks.items() if not task.done()}
        for task in left.values():
            task.cancel()
        if left:
            await asyncio.wait(set(left.values()), timeout=_CUT_OFF_S)
        self._tasks.clear()
        return tuple(left)

    def health(self) -> tuple[WorkerHealth, ...]:
        """Each job: whether it runs, and how often it has died."""
        return tuple(
            WorkerHealth(
                name=name,
                alive=name in self._tasks and not self._tasks[name].done(),
                deaths=self._deaths[name],
            )
            for name in self._jobs
        )

    async def _keep(self, job: Job) -> None:
        told_to_stop = self._told_to_stop[job.name]
        while not told_to_stop.is_set():
            try:
                return await job.run()
            except Exception as error:  # noqa: BLE001 - whatever it was, the job must go on
                self._deaths[job.name] += 1
                self._observer.event("worker.died", job=job.name, error=type(error).__name__)
            try:
                async with asyncio.timeout(_AGAIN_AFTER_S):
                    await told_to_stop.wait()
            except TimeoutError:
                pass

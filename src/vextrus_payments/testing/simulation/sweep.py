"""Many runs: seeds, and for each of them kills where no kill has been yet. Over one process or several."""

import gc
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from vextrus_payments.testing.simulation.awaits import AREAS, covered
from vextrus_payments.testing.simulation.faults import Weather
from vextrus_payments.testing.simulation.judge import Verdict, play
from vextrus_payments.testing.simulation.process import Deaths
from vextrus_payments.testing.simulation.simulation import Setting

_KEPT_MAX: Final = 20
_LINES_MAX: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One seed of one setting.

    Attributes:
        kills: how many runs with a kill; None: one for every point at which a process can be killed.
        weather: None: drawn from the seed.
        name: what to call the setting in a report.
    """

    name: str
    setting: Setting
    seed: int
    kills: int | None = 0
    weather: Weather | None = None
    part: tuple[int, int] = (0, 1)
    """With `kills=None`: which points, as (first, every how many), so that a long seed is played in pieces."""


@dataclass(slots=True)
class Tally:
    """What many runs came to."""

    seeds: int = 0
    runs: int = 0
    kills: int = 0
    faults: int = 0
    points: int = 0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    """The time that processors spent on the runs."""
    worlds: dict[str, int] = field(default_factory=dict)
    """In how many runs a gateway took part."""
    stories: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Of each story: its runs, the kills in them, the faults in them."""
    awaits: dict[tuple[str, int], int] = field(default_factory=dict)
    failures: list[tuple[str, Verdict]] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count these in."""
        self.seeds += other.seeds
        self.runs += other.runs
        self.kills += other.kills
        self.faults += other.faults
        self.points += other.points
        self.cpu_s += other.cpu_s
        for place, times in other.awaits.items():
            self.awaits[place] = self.awaits.get(place, 0) + times
        for name, runs in other.worlds.items():
            self.worlds[name] = self.worlds.get(name, 0) + runs
        for name, counts in other.stories.items():
            before = self.stories.get(name, (0, 0, 0))
            self.stories[name] = (before[0] + counts[0], before[1] + counts[1], before[2] + counts[2])
        self.failures += other.failures[: max(0, _KEPT_MAX - len(self.failures))]

    def took(self, name: str, verdict: Verdict) -> None:
        """Count one run."""
        self.runs += 1
        self.kills += verdict.kills
        self.faults += verdict.struck
        if not verdict.clean and len(self.failures) < _KEPT_MAX:
            self.failures.append((name, verdict))

    def uncovered(self, areas: tuple[str, ...] = AREAS) -> list[str]:
        """The awaits at which no process was killed: a line for each file."""
        lines: dict[str, list[str]] = {}
        for one, hit in covered(self.awaits, areas).items():
            if not hit:
                lines.setdefault(one.file, []).append(str(one.line))
        return [f"{file}: {' '.join(numbers)}" for file, numbers in lines.items()]

    def of_stories(self) -> str:
        """What each story came to."""
        return "; ".join(
            f"{name}: {runs:,} runs, {kills:,} kills, {faults:,} faults"
            for name, (runs, kills, faults) in sorted(self.stories.items())
        )

    def summary(self) -> str:
        """Four lines for a test's output."""
        hit = covered(self.awaits)
        took_part = ", ".join(f"{name} in {runs:,}" for name, runs in sorted(self.worlds.items()))
        return (
            f"{self.runs:,} runs over {self.seeds:,} seeds: {self.kills:,} kills, {self.faults:,} faults, "
            f"{len(self.failures)} failures, {self.elapsed_s:.0f} s\n"
            f"gateways: {took_part}\n"
            f"stories: {self.of_stories()}\n"
            f"killed at {sum(hit.values())} of {len(hit)} awaits of {', '.join(AREAS)}"
        )


def play_task(task: Task, known: dict[tuple[str, int], int] | None = None) -> Tally:
    """Play one seed without a kill, then with kills: first where none has been yet, then anywhere."""
    started, cpu = time.perf_counter(), time.process_time()
    tally, deaths = Tally(seeds=1), Deaths()
    profile: list[frozenset[tuple[str, int]]] | None = [] if task.kills is None or task.kills else None
    first = play(task.setting, task.seed, weather=task.weather, profile=profile)
    tally.took(task.name, first)
    tally.points = first.points
    if profile is not None:
        for moment in _moments(task, profile, dict(known or {})):
            verdict = play(task.setting, task.seed, weather=task.weather, kill_at=moment, deaths=deaths)
            tally.took(task.name, verdict)
    tally.awaits = deaths.awaits
    tally.worlds = {getattr(world, "__name__", "unnamed"): tally.runs for world in task.setting.worlds}
    story = getattr(task.setting.story, "__name__", "unnamed").removesuffix("_story")
    tally.stories = {story: (tally.runs, tally.kills, tally.faults)}
    tally.elapsed_s = time.perf_counter() - started
    tally.cpu_s = time.process_time() - cpu
    return tally


def _moments(
    task: Task, profile: Sequence[frozenset[tuple[str, int]]], known: dict[tuple[str, int], int]
) -> Iterator[tuple[int, ...]]:
    """The points to kill at."""
    if task.kills is None:
        yield from ((number + 1,) for number in range(task.part[0], len(profile), task.part[1]))
        return
    rng = Random(f"{task.seed}/kills")
    order = list(range(len(profile)))
    rng.shuffle(order)
    chosen: list[int] = []
    for number in order:
        fresh = profile[number] - known.keys()
        if fresh and len(chosen) < task.kills:
            chosen.append(number)
            known.update(dict.fromkeys(fresh, 1))
    taken = set(chosen)
    chosen += [number for number in order if number not in taken][: task.kills - len(chosen)]
    for number in chosen:
        again = number + 1 + rng.randint(1, 300)
        # One in four dies a second time, in the middle of its recovery.
        yield (number + 1, again) if rng.random() < 0.25 else (number + 1,)


def sweep(
    tasks: Iterator[Task],
    *,
    budget_s: float | None = None,
    cpu_s: float | None = None,
    workers: int = 2,
    apart: bool = False,
) -> Tally:
    """Play tasks until there are no more, or until the time is up. Over several processes of this machine.

    Args:
        budget_s: no task is begun after so many seconds.
        cpu_s: no task is begun once processors have spent so many seconds on them, however busy the machine is.
        workers: how many processes; 1: this one.
        apart: not even one of them in this process: what runs leave behind is not its business.
    """
    started = time.perf_counter()
    tally = Tally()

    def in_time() -> Iterator[Task]:
        for task in tasks:
            if budget_s is not None and time.perf_counter() - started > budget_s:
                return
            if cpu_s is not None and tally.cpu_s > cpu_s:
                return
            yield task

    if workers == 1 and not apart:
        for task in in_time():
            tally.add(play_task(task, tally.awaits))
    else:
        _spread(in_time(), tally, workers)
    tally.elapsed_s = time.perf_counter() - started
    return tally


def _spread(tasks: Iterator[Task], tally: Tally, workers: int) -> None:
    # Spawned, not forked: what a parent has open is nobody's business here, and its hash seed is another one.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        waiting = []
        for task in tasks:
            waiting.append(pool.apply_async(_play_settled, (task, tally.awaits)))
            while len(waiting) > workers:
                ready = [one for one in waiting if one.ready()]
                for one in ready or waiting[:1]:
                    waiting.remove(one)
                    tally.add(one.get())
        for one in waiting:
            tally.add(one.get())


_settled = False


def _play_settled(task: Task, known: dict[tuple[str, int], int]) -> Tally:
    """Play it. What the first one has brought with it (the modules, their models) is here to stay: the collector of
    every later run need not look through it."""
    global _settled
    tally = play_task(task, known)
    if not _settled:
        _settled = True
        gc.collect()
        gc.freeze()
    return tally


def told(name: str, verdict: Verdict, *, command: str, commit: str) -> str:
    """What is printed of a run that failed: what is wrong, how to play it again, and what happened."""
    kills = ",".join(map(str, verdict.kill_at))
    lines = [
        f"seed {verdict.seed} of {name!r} at commit {commit}" + (f", killed at {kills}" if kills else ""),
        *(f"  {rule}: {subject}" for rule, subject in sorted(verdict.wrong)),
        *(f"  only one checker says {rule}: {subject}" for rule, subject in sorted(verdict.disagreement)),
        f"play it again: {command} {name} {verdict.seed}" + (f" --kill {kills}" if kills else ""),
        "what happened:",
        *(f"  {line[:300]}" for line in verdict.journal[-_LINES_MAX:]),
    ]
    return "\n".join(lines)

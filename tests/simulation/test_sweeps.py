"""R1 and R2: the real engine is killed at its awaits and struck by faults, and the books are right all the same.

Two checkers that share no code judge every run; where only one of them objects, that is a failure of its own (R18).

Each of the two comes in parts that together are the whole: where tests are spread over processes (`make test`), the
parts are spread as well, and each is played by one process more; where they are not, a part takes two.
"""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.simulation.replay import COMMAND
from tests.simulation.settings import CASES, CLUBS, DOORS, PAYING, PEOPLE, SETTINGS
from vextrus_payments.testing.simulation import Weather
from vextrus_payments.testing.simulation.sweep import Tally, Task, sweep, told

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SPREAD = "PYTEST_XDIST_WORKER" in os.environ
WORKERS = 1 if SPREAD else min(2, os.cpu_count() or 1)
R1_PARTS = 2
R1_CPU_S = 600.0 if NIGHTLY else 54.0
"""What a part is played for: 108 seconds of a processor for both, however busy the machine is."""
R2_SEEDS = 2_000
R2_PARTS = 8
FAIR_RUNS = 120


def commit() -> str:
    """The commit that is tested, for the message of a failure."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"


Told = Callable[[str, object], None]
"""pytest's `record_property`: a "figure" is printed at the end of the run (tests/conftest.py)."""


def report(what: str, tally: Tally, record_property: Told) -> None:
    """Tell the counts; fail with the first failure's whole story."""
    record_property("figure", f"{what}: {tally.summary()}")
    failures = [told(name, verdict, command=COMMAND, commit=commit()) for name, verdict in tally.failures]
    assert not failures, "\n\n".join(reversed(failures))


def kills(part: int) -> Iterator[Task]:
    """Seeds of every case, with kills where none was yet; between them, piece by piece, every point of a few orders.

    `part`: every :data:`R1_PARTS`-th round, from this one on.
    """
    pieces = itertools.cycle([("bkash", 2), ("raw", 2), ("page", 3)])
    for number in itertools.count():
        piece, seed = next(pieces)
        if number % R1_PARTS != part:
            continue
        # Mixed: whatever a machine gets through in the time, it is a bit of everything.
        for name, (setting, weather) in Random(number).sample(list(CASES.items()), len(CASES)):
            yield Task(name=name, setting=setting, seed=10_000 + number, kills=8, weather=weather)
        points = (number // 3 % 100, 100)
        yield Task(
            name=piece, setting=SETTINGS[piece], seed=seed, kills=None, weather=Weather.fair(), part=points
        )


@pytest.mark.slow
@pytest.mark.parametrize("part", range(R1_PARTS))
def test_a_process_killed_at_any_await_loses_and_doubles_nothing(part: int, record_property: Told) -> None:
    tally = sweep(kills(part), cpu_s=R1_CPU_S, workers=WORKERS, apart=True)
    report(f"R1, part {part + 1} of {R1_PARTS}", tally, record_property)
    record_property("figure", "\n  ".join(("R1: no kill yet in this part at:", *tally.uncovered())))
    assert tally.kills > 100


def faults(part: int) -> Iterator[Task]:
    """Seeds without a kill: every case in turn. `part`: which stretch of the seeds."""
    cases = Random(0).sample(list(CASES.items()), len(CASES))
    for seed in range(part * R2_SEEDS // R2_PARTS, (part + 1) * R2_SEEDS // R2_PARTS):
        name, (setting, weather) = cases[seed % len(cases)]
        yield Task(name=name, setting=setting, seed=seed // len(cases), weather=weather)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(R2_PARTS))
def test_faults_lose_and_double_nothing(part: int, record_property: Told) -> None:
    tally = sweep(faults(part), workers=WORKERS, apart=True)
    report(f"R2, part {part + 1} of {R2_PARTS}", tally, record_property)
    assert tally.runs == R2_SEEDS // R2_PARTS
    assert tally.faults > R2_SEEDS // R2_PARTS
    assert (
        min(tally.worlds[name] for name in ("bkash", "nagad", "sslcommerz", "raw", "page")) > 100 // R2_PARTS
    )
    assert min(tally.stories[name][0] for name in ("payout", "subscription")) > 80 // R2_PARTS
    assert tally.stories["payout_restore"][0] > 60 // R2_PARTS


def test_the_parts_are_the_whole() -> None:
    cases = Random(0).sample(list(CASES.items()), len(CASES))
    played = [(task.name, task.seed) for part in range(R2_PARTS) for task in faults(part)]
    assert played == [(cases[seed % len(cases)][0], seed // len(cases)) for seed in range(R2_SEEDS)]
    rounds = [{task.seed for task in itertools.islice(kills(part), 300)} for part in range(R1_PARTS)]
    assert set.union(*rounds) >= set(range(10_000, 10_000 + 2 * R1_PARTS))


def test_nothing_goes_wrong_by_itself(record_property: Told) -> None:
    tasks = (
        Task(name=name, setting=setting, seed=seed, weather=Weather.fair())
        for seed in itertools.count()
        for name, setting in (SETTINGS | PEOPLE | PAYING | CLUBS | DOORS).items()
    )
    tally = sweep(itertools.islice(tasks, FAIR_RUNS), workers=1)
    report("fair weather", tally, record_property)

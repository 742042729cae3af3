"""R1 and R2: the real engine is killed at its awaits and struck by faults, and the books are right all the same.

Two checkers that share no code judge every run; where only one of them objects, that is a failure of its own (R18).
"""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from random import Random

import pytest

from tests.simulation.replay import COMMAND
from tests.simulation.settings import CASES, DOORS, PEOPLE, SETTINGS
from vextrus_payments.testing.simulation import Weather
from vextrus_payments.testing.simulation.sweep import Tally, Task, sweep, told

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
R1_S = 600.0 if NIGHTLY else 60.0
R2_SEEDS = 2_000
WORKERS = min(2, os.cpu_count() or 1)


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


def kills() -> Iterator[Task]:
    """Seeds of every case, with kills where none was yet; between them, piece by piece, every point of a few orders."""
    pieces = itertools.cycle([("bkash", 2), ("raw", 2), ("page", 3)])
    for number in itertools.count():
        # Mixed: whatever a machine gets through in the time, it is a bit of everything.
        for name, (setting, weather) in Random(number).sample(list(CASES.items()), len(CASES)):
            yield Task(name=name, setting=setting, seed=10_000 + number, kills=8, weather=weather)
        name, seed = next(pieces)
        setting, part = SETTINGS[name], (number // 3 % 100, 100)
        yield Task(name=name, setting=setting, seed=seed, kills=None, weather=Weather.fair(), part=part)


@pytest.mark.slow
def test_a_process_killed_at_any_await_loses_and_doubles_nothing(record_property: Told) -> None:
    tally = sweep(kills(), budget_s=R1_S, workers=WORKERS)
    report("R1", tally, record_property)
    record_property("figure", "\n  ".join(("R1: no kill yet at:", *tally.uncovered())))
    assert tally.kills > 100


def faults() -> Iterator[Task]:
    """Seeds without a kill: every case in turn."""
    cases = Random(0).sample(list(CASES.items()), len(CASES))
    for seed in range(R2_SEEDS):
        name, (setting, weather) = cases[seed % len(cases)]
        yield Task(name=name, setting=setting, seed=seed // len(cases), weather=weather)


@pytest.mark.slow
def test_faults_lose_and_double_nothing(record_property: Told) -> None:
    tally = sweep(faults(), workers=WORKERS)
    report("R2", tally, record_property)
    assert tally.runs == R2_SEEDS
    assert tally.faults > R2_SEEDS
    assert min(tally.worlds[name] for name in ("bkash", "nagad", "raw", "page")) > 100


def test_nothing_goes_wrong_by_itself(record_property: Told) -> None:
    tasks = (
        Task(name=name, setting=setting, seed=seed, weather=Weather.fair())
        for name, setting in (SETTINGS | PEOPLE | DOORS).items()
        for seed in range(4)
    )
    report("fair weather", sweep(tasks, workers=1), record_property)

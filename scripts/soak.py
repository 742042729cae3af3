"""Hours of the crash simulator and the token simulation; the counts add up in docs/soak.json, docs/soak.md shows them.

    make soak HOURS=2

A failure is printed with its seed, its commit and the line that plays it again; nothing of it is counted as a success.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.simulation.replay import COMMAND  # noqa: E402
from tests.simulation.settings import CASES  # noqa: E402
from tests.unit.test_tokens_simulation import Simulation as TokenSimulation  # noqa: E402
from tests.unit.test_tokens_simulation import simulate as simulate_tokens  # noqa: E402
from vextrus_payments.testing.simulation.sweep import Tally, Task, sweep, told  # noqa: E402

BOOK = ROOT / "docs" / "soak.json"
PAGE = ROOT / "docs" / "soak.md"
GOALS = {"crash runs": 1_000_000, "fault seeds": 100_000, "token seeds": 10_000}
ROUND_S = 600.0
SHARES = {"kills": 0.7, "faults": 0.25, "tokens": 0.05}
FIRST_SEED = 1_000_000
"""Beyond what `make test` plays."""


def commit() -> str:
    """The commit under test; a changed tree is said to be one."""
    name = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "src", "sandbox"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    ).stdout.strip()
    return (name or "unknown") + ("+changes" if changed else "")


def kills(first: int) -> Iterator[Task]:
    """Seeds of every case, with kills."""
    for seed in itertools.count(first):
        for name, (setting, weather) in Random(seed).sample(list(CASES.items()), len(CASES)):
            yield Task(name=name, setting=setting, seed=seed, kills=20, weather=weather)


def faults(first: int) -> Iterator[Task]:
    """Seeds of every case in turn, without a kill."""
    cases = list(CASES.items())
    for seed in itertools.count(first):
        name, (setting, weather) = cases[seed % len(cases)]
        yield Task(name=name, setting=setting, seed=seed, weather=weather)


def tokens(first: int, budget_s: float) -> tuple[int, list[str]]:
    """How many token worlds were played, and what was wrong in them."""
    started, count = time.monotonic(), 0
    wrong: list[str] = []
    for seed in itertools.count(first):
        if time.monotonic() - started > budget_s:
            return count, wrong
        wrong += [f"token seed {seed}: {found}" for found in simulate_tokens(TokenSimulation(seed))]
        count += 1
    return count, wrong


def read_book() -> dict[str, object]:
    """What has been counted so far."""
    if BOOK.exists():
        found: dict[str, object] = json.loads(BOOK.read_text(encoding="utf-8"))
        return found
    return {"next_seed": FIRST_SEED, "runs": []}


def write_book(book: dict[str, object]) -> None:
    """Keep it, and the page that shows it."""
    BOOK.write_text(json.dumps(book, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(book), encoding="utf-8")


def page(book: dict[str, object]) -> str:
    """The page for people."""
    runs = book["runs"]
    assert isinstance(runs, list)
    total = {
        "crash runs": sum(run["crash_runs"] for run in runs),
        "fault seeds": sum(run["fault_seeds"] for run in runs),
        "token seeds": sum(run["token_seeds"] for run in runs),
    }
    lines = [
        "# Soak",
        "",
        "What `make soak HOURS=` has played so far, over all runs. A crash run is one story of one seed with one",
        "kill or two; a fault seed is one story without a kill; a token seed is one world of callers and processes",
        "that share a grant budget. `scripts/soak.py` writes this page; [the simulator](simulator.md) says what is",
        "played.",
        "",
        "| | so far | goal |",
        "|---|---|---|",
        *(f"| {name} | {total[name]:,} | {goal:,} |" for name, goal in GOALS.items()),
        f"| kills | {sum(run['kills'] for run in runs):,} | |",
        f"| faults that struck | {sum(run['faults'] for run in runs):,} | |",
        f"| failures | {sum(run['failures'] for run in runs):,} | 0 |",
        "",
        "| day | commit | hours | crash runs | kills | fault seeds | token seeds | faults | failures |",
        "|---|---|---|---|---|---|---|---|---|",
        *(
            f"| {run['day']} | {run['commit']} | {run['hours']:.2f} | {run['crash_runs']:,} | {run['kills']:,} "
            f"| {run['fault_seeds']:,} | {run['token_seeds']:,} | {run['faults']:,} | {run['failures']:,} |"
            for run in runs
        ),
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """0: no failure."""
    parser = argparse.ArgumentParser(description="Soak the SDK in the crash simulator.")
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    book = read_book()
    runs = book["runs"]
    assert isinstance(runs, list)
    run = {
        "day": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "hours": 0.0,
        "crash_runs": 0,
        "kills": 0,
        "fault_seeds": 0,
        "token_seeds": 0,
        "faults": 0,
        "failures": 0,
    }
    runs.append(run)
    started = time.monotonic()
    while (left_s := asked.hours * 3600 - (time.monotonic() - started)) > 0:
        one_round(book, run, min(ROUND_S, left_s), asked.workers)
        run["hours"] = (time.monotonic() - started) / 3600
        write_book(book)
        print(f"{run['hours']:.2f} h: {run}", flush=True)
    return 1 if run["failures"] else 0


def one_round(book: dict[str, object], run: dict[str, object], budget_s: float, workers: int) -> None:
    """Some minutes of everything; the counts go into the run."""
    first = int(str(book["next_seed"]))
    killed = sweep(kills(first), budget_s=budget_s * SHARES["kills"], workers=workers)
    struck = sweep(faults(first), budget_s=budget_s * SHARES["faults"], workers=workers)
    count, wrong = tokens(first, budget_s * SHARES["tokens"])
    book["next_seed"] = first + max(killed.seeds, struck.seeds, count) + 1
    for tally in (killed, struck):
        add(run, "kills", tally.kills)
        add(run, "faults", tally.faults)
        add(run, "failures", len(tally.failures))
        tell(tally, str(run["commit"]))
    add(run, "crash_runs", killed.runs - killed.seeds)
    add(run, "fault_seeds", struck.seeds)
    add(run, "token_seeds", count)
    add(run, "failures", len(wrong))
    for line in wrong:
        print(line, flush=True)


def add(run: dict[str, object], name: str, count: int) -> None:
    """Count it."""
    run[name] = int(str(run[name])) + count


def tell(tally: Tally, at_commit: str) -> None:
    """Print what failed."""
    for name, verdict in tally.failures:
        print(told(name, verdict, command=COMMAND, commit=at_commit), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""`python -m bench [--only P1,P12]`: measure, judge, write bench/results/latest.json and docs/benchmarks.md.

Exit 0 when no gate fails, 1 when the 95 % bound of some goal is beyond its Must, 2 for a wrong argument.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime

from bench import machine, table
from bench.goals import GOALS
from bench.results import LATEST, Result, merged


def main() -> int:
    """Run the chosen goals."""
    parser = argparse.ArgumentParser(prog="make bench", description="Speed, as ratios inside one run.")
    parser.add_argument(
        "--only", default="", metavar="P1,P12", help="these goals; the others keep their results"
    )
    chosen = [name.strip().upper() for name in parser.parse_args().only.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in GOALS]
    if unknown:
        print(f"no such goal: {', '.join(unknown)}; there are {', '.join(GOALS)}", file=sys.stderr)
        return 2
    results: list[Result] = []
    began_with = machine.load()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        # Imports are measured with cached byte code, whatever this environment says about writing it.
        os.environ["PYTHONPYCACHEPREFIX"] = cache
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for name in chosen or GOALS:
            at = time.monotonic()
            results.append(GOALS[name]())
            print(_line(results[-1], time.monotonic() - at), flush=True)
    run = {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **machine.described(),
        "load": [began_with, machine.load()],
    }
    table.written(table.DOCUMENT, merged(LATEST, results, run, GOALS))
    missed = [one.goal for one in results if one.verdict == "missed"]
    print(
        f"{len(results)} goals in {time.monotonic() - started:.0f} s, load {run['load'][0]} to {run['load'][1]}."
    )
    print("Written: bench/results/latest.json, docs/benchmarks.md.")
    if missed:
        print(f"Must missed: {', '.join(missed)} (why: docs/benchmarks.md).")
    return 1 if missed else 0


def _line(one: Result, took_s: float) -> str:
    must = "-" if one.must is None else f"{one.must:g}"
    stretch = "-" if one.stretch is None else f"{one.stretch:g}"
    return (
        f"{one.goal:4} {one.verdict:8} {one.value:g} ({one.low:g}-{one.high:g}) {one.unit};"
        f" must {must}, stretch {stretch} [{took_s:.0f} s]"
    )


if __name__ == "__main__":
    sys.exit(main())

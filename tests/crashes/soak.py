"""The same kills for as long as one likes: `python -m tests.crashes.soak --kills 2000`.

Goes round after round over all points and stores, a fresh gateway for each round, and stops at the first problem.
`run()` is the same for a program that soaks more than this. `--acks` kills the web process that takes webhooks instead,
under load after 10,000 answers each; fifty times where no other number is given.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.crashes.acks import campaign as acks_campaign
from tests.crashes.places import stores_found
from tests.crashes.points import Point
from tests.crashes.supervisor import (
    Campaign,
    Orders,
    Recovery,
    Report,
    Sandbox,
    Zygote,
    here_may_kill,
    sandbox_running,
    zygote_running,
)

#: How many kills each point gets per round and store; every moment of every point comes up.
_EACH = 8


@dataclass
class Summary:
    """What came of a soak."""

    kills: int = 0
    by_place: dict[str, int] = field(default_factory=dict)
    """"point store" -> kills."""
    slowest_recovery: str = ""
    for_an_operator: int = 0
    """Refunds of which a program cannot tell whether they left: all of them killed between baseline and refund."""
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._slowest = Recovery(0.0, 0.0)

    def add(self, report: Report) -> None:
        """Count one report."""
        place = f"{report.point.value} {report.store}"
        self.by_place[place] = self.by_place.get(place, 0) + report.kills
        self.kills += report.kills
        self._slowest = max(self._slowest, report.slowest)
        self.slowest_recovery = str(self._slowest)
        self.for_an_operator += len(report.unknown)
        self.problems += [f"{place}: {problem}" for problem in report.problems]
        if report.unknown and report.point is not Point.BASELINE_REFUND:
            self.problems.append(f"{place}: refunds were called unknown that a program can tell")


def run(
    kills: int,
    folder: Path,
    *,
    say: Callable[[str], None] = print,
    go_on: Callable[[], bool] = lambda: True,
) -> Summary:
    """Kill at least so many processes, in whole rounds.

    Args:
        folder: where stores, ledgers and logs are left; those of a problem are worth a look.
        say: told of each round.
        go_on: asked before each round; False ends the soak early.
    """
    summary = Summary()
    folder.mkdir(parents=True, exist_ok=True)
    with zygote_running() as zygote, stores_found(folder) as stores:
        while summary.kills < kills and not summary.problems and go_on():
            place = folder / f"round-{summary.kills}"
            place.mkdir(parents=True)
            with sandbox_running() as sandbox:
                for report in _round(zygote, sandbox, place, stores):
                    summary.add(report)
            say(f"{summary.kills} kills, slowest recovery {summary.slowest_recovery}")
    return summary


def run_acks(
    kills: int,
    folder: Path,
    *,
    acks: int = 10_000,
    say: Callable[[str], None] = print,
    go_on: Callable[[], bool] = lambda: True,
) -> Summary:
    """Kill at least so many web processes under load, in rounds of five, on each store in turn."""
    summary = Summary()
    folder.mkdir(parents=True, exist_ok=True)
    with stores_found(folder) as stores:
        names = list(stores)
        while summary.kills < kills and not summary.problems and go_on():
            name = names[(summary.kills // 5) % len(names)]
            report = acks_campaign(
                stores[name]()(), folder / f"acks-{summary.kills}", kills=min(5, kills), acks=acks
            )
            place = f"acks {name}"
            summary.kills += report.kills
            summary.by_place[place] = summary.by_place.get(place, 0) + report.kills
            summary.problems += [f"{place}: {problem}" for problem in report.problems]
            say(str(report))
    return summary


def _round(
    zygote: Zygote, sandbox: Sandbox, place: Path, stores: dict[str, Callable[[], Callable[[], str]]]
) -> list[Report]:
    campaign = Campaign(zygote, sandbox, Orders(), place)
    with ThreadPoolExecutor(2 * len(Point)) as pool:
        begun = [
            pool.submit(campaign.run, point, name, new_stores(), _EACH)
            for point in Point
            for name, new_stores in stores.items()
        ]
        return [report.result() for report in begun]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, help="at least so many (default: 2000, with --acks 50)")
    parser.add_argument(
        "--acks", action="store_true", help="kill what takes webhooks, under load after 10,000 answers"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to leave what was written (default: a temporary one)"
    )
    asked = parser.parse_args()
    if not here_may_kill():
        print("There is no kill -9 on this system.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as temporary:
        soak, kills = (run_acks, 50) if asked.acks else (run, 2000)
        folder = asked.folder or Path(temporary)
        summary = soak(asked.kills or kills, folder, say=lambda line: print(line, flush=True))
    print(json.dumps(asdict(summary), indent=2))
    return 1 if summary.problems else 0


if __name__ == "__main__":
    sys.exit(main())

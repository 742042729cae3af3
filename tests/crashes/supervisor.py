"""Starts victims, sees them die, starts them again, and has the checker look at what became of it."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.crashes.checker import look, paisa, problems_of
from tests.crashes.points import MOMENTS, Point
from tests.crashes.victim import LEASE_S, LIMIT_S, TIMEOUT_S, Job

ROOT: Final = Path(__file__).parents[2]
KILLED: Final = -9
#: The longest that the orders of a killed process may stand still, from its death to the last of their entries.
RECOVERY_S: Final = LEASE_S + LIMIT_S + 5
_LIFE_S: Final = 100


class StuckError(Exception):
    """A victim did not die where it was to, or did not come to its end."""


class Zygote:
    """The process that makes the victims."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[int]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    def live(self, job: Job, log: Path) -> int:
        """The exit status of one victim (-9: killed)."""
        future: Future[int] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = future
            line = json.dumps({"number": number, "log": str(log), **asdict(job)}).encode() + b"\n"
            assert self._process.stdin is not None
            self._process.stdin.write(line)
            self._process.stdin.flush()
        return future.result(_LIFE_S)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "status" in told:
                self._waiting.pop(told["number"]).set_result(told["status"])


@contextmanager
def zygote_running() -> Iterator[Zygote]:
    """A maker of victims; they end with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.crashes.zygote"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        try:
            yield Zygote(process)
        finally:
            process.stdin.close()
            process.wait(10)


@dataclass(frozen=True)
class Sandbox:
    """A sandbox in a process of its own."""

    url: str
    environ: dict[str, str]


@contextmanager
def sandbox_running() -> Iterator[Sandbox]:
    """A gateway that outlives every victim."""
    command = [sys.executable, "-m", "vextrus_payments.cli", "sandbox", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            given = told["gateways"]["bkash"]
            names = ("app_key", "app_secret", "username", "password")
            environ = {
                "BKASH_MODE": "sandbox",
                "BKASH_API_URL": given["base_url"],
                "BKASH_TIMEOUT_S": f"{TIMEOUT_S}",
            }
            yield Sandbox(told["url"], environ | {f"BKASH_{name.upper()}": given[name] for name in names})
        finally:
            process.terminate()
            process.wait(10)


@dataclass(frozen=True, order=True)
class Recovery:
    """From the death of a process until its orders stand still no longer, and the ledger has their entries."""

    wall_s: float
    without_processor_s: float
    """So much of it the next process would have run, and the machine was busy with other work."""

    @property
    def is_late(self) -> bool:
        """True when it took longer than it may."""
        return self.wall_s > RECOVERY_S + self.without_processor_s

    def __str__(self) -> str:
        return f"{self.wall_s:.1f} s ({self.without_processor_s:.1f} s without a processor) of {RECOVERY_S} s"


@dataclass
class Report:
    """What came of the kills at one point on one store."""

    point: Point
    store: str
    kills: int = 0
    recoveries: list[Recovery] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    @property
    def slowest(self) -> Recovery:
        """The recovery that took longest."""
        return max(self.recoveries, default=Recovery(0.0, 0.0))

    def __str__(self) -> str:
        return (
            f"{self.point.value:16} {self.store:10} {self.kills} kills, slowest recovery {self.slowest},"
            f" {len(self.unknown)} refunds resolved by an operator, {len(self.problems)} problems"
        )


class Orders:
    """Orders, each with a number and an amount of its own: the gateway refuses the same sum twice in a row."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self) -> dict[str, str]:
        """The next one; safe from many threads."""
        number = next(self._numbers)
        return {
            "reference": f"INV{number}x",
            "amount": f"{10 + number // 100}.{number % 100:02}",
            "refund": "3.25",
        }


class Campaign:
    """Kills at one point, on one store after the other."""

    def __init__(
        self,
        zygote: Zygote,
        sandbox: Sandbox,
        orders: Orders,
        folder: Path,
        *,
        plant: str | None = None,
    ) -> None:
        self._zygote = zygote
        self._sandbox = sandbox
        self._orders = orders
        self._folder = folder
        self._plant = plant

    def run(self, point: Point, name: str, new_store: Callable[[], str], kills: int) -> Report:
        """So many kills, and what the checker says after the last recovery."""
        report = Report(point, name)
        # A gateway grants two tokens an hour. Whoever is killed with one in its hands has used one up.
        per_store = 1 if point is Point.GRANT_SAVE else kills
        for first in range(0, kills, per_store):
            place = self._folder / f"{name}-{point.value}-{first}"
            place.mkdir()
            moments = [MOMENTS[point][k % len(MOMENTS[point])] for k in range(first, first + per_store)]
            try:
                self._one_store(report, place, new_store(), moments)
            except StuckError as stuck:
                report.problems.append(str(stuck))
        return report

    def _one_store(self, report: Report, place: Path, store: str, moments: list[str]) -> None:
        job = Job(
            store=store,
            environ=self._sandbox.environ,
            sandbox=self._sandbox.url,
            ledger=str(place / "ledger.jsonl"),
            progress=str(place / "progress.jsonl"),
            plant=self._plant,
        )
        orders: list[dict[str, str]] = []
        died_at: float | None = None
        for life, moment in enumerate([*moments, None]):
            if moment is not None:
                orders.append(self._orders.new())
            self._live(replace(job, orders=orders, moment=moment, nobody_calls=life % 2 == 0), place)
            ended_at = time.time()
            if died_at is not None:
                (*_, recovered) = [line for line in self._progress(place) if line["what"] == "recovered"]
                report.recoveries.append(Recovery(recovered["at"] - died_at, recovered["idle_s"]))
            if moment is not None:
                report.kills += 1
                died_at = ended_at
        unknown = self._unknown(place)
        if unknown:
            self._live(replace(job, orders=orders, not_made=self._not_made(unknown)), place)
        report.unknown |= unknown
        report.problems += problems_of(look(self._sandbox.url), orders, place / "ledger.jsonl")
        report.problems += [f"recovery took {one}" for one in report.recoveries if one.is_late]

    def _live(self, job: Job, place: Path) -> None:
        """One life, which has to end as it was meant to."""
        status = self._zygote.live(job, place / "log.txt")
        expected = 0 if job.moment is None else KILLED
        if status != expected:
            log = (place / "log.txt").read_text(encoding="utf-8")
            raise StuckError(f"at {job.moment}: exit status {status} instead of {expected}: {log[-2000:]}")

    def _unknown(self, place: Path) -> set[str]:
        """The orders whose refund the shop has called unknown."""
        return {line["reference"] for line in self._progress(place) if line["what"] == "unknown"}

    def _not_made(self, unknown: set[str]) -> list[str]:
        """Those of which the gateway's books show an operator that nothing was given back."""
        untouched = {row["invoice"] for row in look(self._sandbox.url).books if paisa(row["refunded"]) == 0}
        return sorted(unknown & untouched)

    def _progress(self, place: Path) -> list[dict[str, Any]]:
        text = (place / "progress.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def here_may_kill() -> bool:
    """True where there are SIGKILL and fork."""
    return os.name == "posix"

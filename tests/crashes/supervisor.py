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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.crashes.checker import look, problems_of
from tests.crashes.points import MOMENTS, Point
from tests.crashes.victim import LEASE_S, LIMIT_S, TIMEOUT_S, Job

ROOT: Final = Path(__file__).parents[2]
KILLED: Final = -9
#: The longest that the orders of a killed process may stand still, from its death to the last of their entries.
RECOVERY_S: Final = LEASE_S + LIMIT_S + 5
_LIFE_S: Final = 100


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


@dataclass
class Report:
    """What came of the kills at one point on one store."""

    point: Point
    store: str
    kills: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        slowest = max(self.recoveries_s, default=0.0)
        return (
            f"{self.point.value:16} {self.store:10} {self.kills} kills, slowest recovery {slowest:.1f} s of"
            f" {RECOVERY_S}, {len(self.unknown)} refunds for an operator, {len(self.problems)} problems"
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
            self._one_store(report, place, new_store(), moments)
        return report

    def _one_store(self, report: Report, place: Path, store: str, moments: list[str]) -> None:
        orders: list[dict[str, str]] = []
        died_at: float | None = None
        for life, moment in enumerate([*moments, None]):
            if moment is not None:
                orders.append(self._orders.new())
            job = Job(
                store=store,
                environ=self._sandbox.environ,
                sandbox=self._sandbox.url,
                ledger=str(place / "ledger.jsonl"),
                progress=str(place / "progress.jsonl"),
                orders=orders,
                moment=moment,
                nobody_calls=life % 2 == 0,
                plant=self._plant,
            )
            status = self._zygote.live(job, place / "log.txt")
            ended_at = time.time()
            expected = 0 if moment is None else KILLED
            if status != expected:
                log = (place / "log.txt").read_text(encoding="utf-8")
                report.problems.append(
                    f"at {moment}: exit status {status} instead of {expected}: {log[-2000:]}"
                )
                return
            if died_at is not None:
                (*_, recovered) = [line for line in self._progress(place) if line["what"] == "recovered"]
                # Without the time that the machine's other work took from the victim.
                report.recoveries_s.append(recovered["at"] - died_at - recovered["idle_s"])
            if moment is not None:
                report.kills += 1
                died_at = ended_at
        told = self._progress(place)
        unknown = {line["reference"] for line in told if line["what"] == "unknown"}
        report.unknown |= unknown
        report.problems += problems_of(
            look(self._sandbox.url), orders, place / "ledger.jsonl", frozenset(unknown)
        )
        late = [seconds for seconds in report.recoveries_s if seconds > RECOVERY_S]
        if late:
            report.problems.append(f"recovery took {max(late):.1f} s, and may take {RECOVERY_S}")

    def _progress(self, place: Path) -> list[dict[str, Any]]:
        text = (place / "progress.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def here_may_kill() -> bool:
    """True where there are SIGKILL and fork."""
    return os.name == "posix"

"""What a run leaves behind: `bench/results/latest.json`, and the verdict on each goal."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from bench.stats import Estimate

LATEST: Final = Path(__file__).resolve().parent / "results" / "latest.json"

Verdict = Literal["stretch", "must", "missed"]


@dataclass(frozen=True)
class Result:
    """One goal as measured. All goals here are "at most": smaller is better.

    Attributes:
        value, low, high: the median and its 95 % interval, in `unit`.
        must: the gate; None where the goal states none. It fails when `high` is above it.
        peers: name -> the same figure for others, side by side in the same run.
        detail: what else was seen, for the reader.
        note: how it was measured, in a sentence or two.
    """

    goal: str
    title: str
    value: float
    low: float
    high: float
    unit: str
    must: float | None
    stretch: float | None
    peers: dict[str, float] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Judged by the worse end of the interval, for Must and Stretch alike."""
        if self.stretch is not None and self.high <= self.stretch:
            return "stretch"
        if self.must is None or self.high <= self.must:
            return "must"
        return "missed"


def result(
    goal: str,
    title: str,
    estimate: Estimate,
    *,
    unit: str,
    must: float | None,
    stretch: float | None,
    peers: dict[str, float] | None = None,
    detail: dict[str, Any] | None = None,
    note: str = "",
) -> Result:
    """A Result from an Estimate, rounded to what such a measurement can tell."""
    return Result(
        goal,
        title,
        _rounded(estimate.value),
        _rounded(estimate.low),
        _rounded(estimate.high),
        unit,
        must,
        stretch,
        {name: _rounded(value) for name, value in (peers or {}).items()},
        detail or {},
        note,
    )


def _rounded(value: float) -> float:
    return round(value, 3) if abs(value) < 10 else round(value, 1)


def merged(path: Path, results: list[Result], run: dict[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """Put these results among those of earlier runs, write the file, and return all of it, in the goals' `order`.

    What is no goal any more is dropped.

    `run` says when and on what; each goal keeps its own, since a run may measure only some.
    """
    found: dict[str, Any] = {}
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
    for one in results:
        entry = asdict(one)
        found[entry.pop("goal")] = {**entry, "verdict": one.verdict, "run": run}
    ordered = {goal: found[goal] for goal in order if goal in found}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    return ordered

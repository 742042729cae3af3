"""The goals of the SQLite store: what an operation costs, what group commit brings, and what size does to look-ups."""

from functools import cache
from statistics import median
from typing import Any, Final

from bench.results import Result, result
from bench.serving import in_fresh_process
from bench.stats import Estimate, estimate, ratios

_CALLERS: Final = 64
_ROUNDS: Final = 12
_SMALL: Final = 1_000
_LARGE: Final = 1_000_000
_BARE: Final = "bare insert"
#: The way of a payment: what GROUP is taken from.
_WAY: Final = (
    "reserve payment",
    "claim initialize",
    "commit a session",
    "reserve execute",
    "claim execute",
    "commit receipt, entries, event",
)


@cache
def _operations() -> dict[str, Any]:
    """Both goals are taken from one run."""
    found: dict[str, Any] = in_fresh_process(
        "operations", timeout_s=900, rounds=_ROUNDS, callers=_CALLERS, pinned=False
    )
    return found


def p6() -> Result:
    found = _operations()
    cpu = {step: taken["cpu"] for step, taken in found["group"].items()}
    bare = cpu.pop(_BARE)
    dearest = max(cpu, key=lambda step: median(cpu[step]))
    one_by_one = {step: round(median(found["one by one"][step]["cpu"])) for step in cpu}
    return result(
        "P6",
        f"CPU of the dearest durable operation (SQLite FULL, group commit, {_CALLERS} at a time, no wire)",
        estimate(cpu[dearest]),
        unit="µs",
        must=15,
        stretch=10,
        peers={f"a bare insert of one row, {_CALLERS} at a time in group commit": median(bare)},
        detail={
            "the dearest": dearest,
            "the dearest, x the bare insert": round(median(ratios(cpu[dearest], bare)), 2),
            "CPU µs of each in group commit": {step: round(median(each), 1) for step, each in cpu.items()},
            "CPU µs of each in a commit each": one_by_one,
            "within the Must": sum(median(each) <= 15 for each in cpu.values()),
        },
        note="Each operation of the port that writes, on payments of its own, by 64 tasks: reading the facts, the"
        " rules of money, the records as JSON, the statements, the share of the commit, waking the caller. None is"
        " merged with another. The bare insert is one row of 450 bytes under one unique key, through the same thread"
        " and commit.",
    )


def group() -> Result:
    found = _operations()
    shares, cpu, by_step = [], [], {}
    for step in _WAY:
        grouped, alone = (found[name][step] for name in ("group", "one by one"))
        by_step[step] = round(median(ratios(alone["wall"], grouped["wall"])), 1)
    for number in range(_ROUNDS):
        grouped, alone = (
            {kind: sum(found[name][step][kind][number] for step in _WAY) for kind in ("wall", "cpu")}
            for name in ("group", "one by one")
        )
        shares.append(grouped["wall"] / alone["wall"])
        cpu.append(grouped["cpu"] / alone["cpu"])
    return result(
        "GROUP",
        f"Time per write in group commit against a commit each, {_CALLERS} at a time (2.5x as many is 0.4)",
        estimate(shares),
        unit="x a commit each",
        must=0.4,
        stretch=0.25,
        detail={
            "times as many writes per second": round(1 / median(shares), 1),
            "CPU, x a commit each": round(median(cpu), 2),
            "times as many, by operation": by_step,
        },
        note="The writes of a payment from reservation to receipt, on the disk of this machine, the same store and the"
        " same thread with and without grouping, in turns.",
    )


def p13() -> Result:
    found = in_fresh_process("sizes", timeout_s=1800, rounds=15, small=_SMALL, large=_LARGE, pinned=False)
    grown = {name: estimate(ratios(one["large"], one["small"])) for name, one in found.items()}
    dearest = max(grown, key=lambda name: grown[name].high)
    worst: Estimate = grown[dearest]
    return result(
        "P13",
        f"Keyed look-ups among {_LARGE:,} payments against {_SMALL:,}, CPU; the worst of all of them",
        worst,
        unit="x the small store",
        must=2.5,
        stretch=2.0,
        detail={
            "the worst": dearest,
            "each": {name: round(one.value, 2) for name, one in grown.items()},
            "CPU µs among many": {name: round(median(one["large"])) for name, one in found.items()},
        },
        note="A paid payment with all its rows, ids scattered over the indexes; 100 random keys a round, with the"
        " system's cache warm. 10,000,000 payments take 40 GB and were not measured. That every statement goes by an"
        " index that finds few rows is a test (EXPLAIN QUERY PLAN), not a measurement.",
    )

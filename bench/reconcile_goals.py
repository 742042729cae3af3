"""RECONCILE: ten thousand unknown payments, a hundred at a time, against the sandbox."""

import json
import subprocess
import sys
from statistics import median
from typing import Any, Final

from bench import machine
from bench.results import Result, result
from bench.serving import ROOT
from bench.stats import Estimate, estimate, ratios

_COUNT: Final = 10_000
_GROUPS: Final = 10
_AT_ONCE: Final = 100
_BASE_CALLS: Final = 500
#: As P19: what a process may grow by once it is warm.
_GROWTH_MIB: Final = 5.0


def reconcile() -> Result:
    found = _swept(_COUNT, _GROUPS)
    value = estimate(ratios(found["ours"], found["base"]))
    rss_mib = [kib / 1024 for kib in found["rss_kib"]]
    warm = len(rss_mib) // 2
    growth_mib = rss_mib[-1] - rss_mib[warm - 1]
    whole = found["looked_at"] == found["paid"] == found["entries"] == _COUNT
    if not whole or growth_mib > _GROWTH_MIB:
        value = Estimate(float("inf"), float("inf"), float("inf"))
    return result(
        "RECONCILE",
        f"CPU per look-up of {_COUNT:,} unknown payments, {_AT_ONCE} at a time, against a bare httpx query",
        value,
        unit="x httpx",
        must=1.00,
        stretch=0.50,
        detail={
            "resolved as the gateway has it, and booked": f"{found['paid']} of {_COUNT}, {found['entries']} entries",
            "CPU µs per look-up": round(median(found["ours"])),
            "CPU µs per bare httpx query": round(median(found["base"])),
            "look-ups/s": round(_COUNT / sum(found["wall_s"])),
            "resident MiB after each thousand": [round(one, 1) for one in rss_mib],
            "growth over the second half, MiB": round(growth_mib, 1),
        },
        note="Each look-up leases the payment, reads its facts, asks the sandbox (a process of its own), judges the"
        " answer, and commits receipt, entry, events and the next look to SQLite with synchronous=FULL. Against it"
        f" stands one httpx.AsyncClient that posts the same query, {_AT_ONCE} at a time, parses nothing and keeps"
        f" nothing. One payment that is not resolved rightly, or more than {_GROWTH_MIB:g} MiB of growth over the"
        " second five thousand, fails the goal.",
    )


def _swept(count: int, groups: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.sandbox_of_many", str(count)]
    sandbox = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert sandbox.stdin is not None and sandbox.stdout is not None
    try:
        told = json.loads(sandbox.stdout.readline())
        if len(machine.cpus()) > 1:
            machine.pin(told["pid"], machine.cpus()[-1:])
        asked = {"told": told, "groups": groups, "callers": _AT_ONCE, "base_calls": _BASE_CALLS}
        done = subprocess.run(
            [sys.executable, "-m", "bench.reconcile_jobs", json.dumps(asked)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the sweep failed:\n{done.stderr[-4000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found
    finally:
        sandbox.stdin.close()
        try:
            sandbox.wait(timeout=10)
        except subprocess.TimeoutExpired:
            sandbox.kill()
            sandbox.wait()
        sandbox.stdout.close()

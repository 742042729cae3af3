"""The goals of the outbox: how long an entry takes from the queue to a callback that does nothing, and back."""

import asyncio
import json
import subprocess
import sys
import time
from statistics import median
from typing import Final

from bench.outbox_jobs import postgres_filled
from bench.results import Result, result
from bench.serving import ROOT, in_fresh_process
from bench.stats import estimate

_ROWS: Final = 10_000
_ROUNDS: Final = 6
_WORKERS: Final = 4


def outbox() -> Result:
    found = in_fresh_process("outbox_sqlite", rows=_ROWS, rounds=_ROUNDS, pinned=False)
    _once(found["calls"])
    return result(
        "OUTBOX",
        "Time per entry from the outbox to a callback that does nothing; SQLite FULL, one worker (3,000/s is 333)",
        estimate(found["wall"]),
        unit="µs",
        must=333,
        stretch=200,
        detail={
            "entries/s": round(1e6 / median(found["wall"])),
            "CPU µs per entry": round(median(found["cpu"]), 1),
            "calls per entry": 1,
        },
        note=f"{_ROUNDS} rounds of {_ROWS:,} entries, two per payment, with the default limits: leased, decoded,"
        " handed over in tasks of their own, marked delivered on the disk. It is time and not CPU: flushes count.",
    )


def outbox_postgres() -> Result:
    from scripts.private_servers import holding

    with holding("postgres", durable=True) as held:
        dsn = held.places["postgres"]
        walls, cpu = _four_workers(dsn)
    return result(
        "OUTBOX4",
        "The same with PostgreSQL (fsync on) and 4 worker processes (8,000/s is 125)",
        estimate(walls),
        unit="µs",
        must=125,
        stretch=80,
        detail={
            "entries/s": round(1e6 / median(walls)),
            "CPU µs per entry, the workers'": round(cpu, 1),
            "calls per entry": 1,
        },
        note=f"{_ROUNDS} rounds of {4 * _ROWS:,} entries, two per payment; four processes that begin together, and the"
        " server beside them on the same processors. Until the last of them finds nothing more. No entry is handed"
        " over twice: the calls are counted.",
    )


def _four_workers(dsn: str) -> tuple[list[float], float]:
    """Wall µs per entry of each round, and the workers' CPU µs per entry over all."""
    from vextrus_payments.stores import PostgresStore

    asyncio.run(PostgresStore(dsn).migrate())
    command = [
        sys.executable,
        "-m",
        "bench.worker",
        "outbox_worker",
        json.dumps({"dsn": dsn, "pinned": False}),
    ]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(_WORKERS)
    ]
    rows, walls, began_cpu, cpu = 4 * _ROWS, [], 0.0, 0.0
    try:
        for worker in workers:
            if _line(worker) != "ready":
                raise RuntimeError("a worker did not get ready")
        for number in range(-1, _ROUNDS):
            asyncio.run(postgres_filled(dsn, rows, f"ent_{number}_"))
            started = time.perf_counter()
            for worker in workers:
                worker.stdin.write("go\n")  # type: ignore[union-attr]
                worker.stdin.flush()  # type: ignore[union-attr]
            told = [_line(worker).split(" ") for worker in workers]
            wall = time.perf_counter() - started
            _once([sum(int(calls) for calls, _ in told) / rows])
            cpu = sum(float(seconds) for _, seconds in told)
            if number < 0:
                began_cpu = cpu
            else:
                walls.append(1e6 * wall / rows)
    finally:
        for worker in workers:
            worker.stdin.close()  # type: ignore[union-attr]
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
            worker.stdout.close()  # type: ignore[union-attr]
    return walls, 1e6 * (cpu - began_cpu) / (rows * _ROUNDS)


def _line(worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def _once(calls_per_entry: list[float]) -> None:
    if any(calls != 1.0 for calls in calls_per_entry):
        raise RuntimeError(f"entries were not handed over once each: {calls_per_entry} calls per entry")

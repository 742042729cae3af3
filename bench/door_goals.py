"""The goals of the webhook door: how fast a delivery is proven, kept on the disk and answered, beside a hello."""

import json
import random
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.door_messages import PATH, event_id_of, write_requests
from bench.results import Result, result
from bench.serving import ROOT, in_fresh_process
from bench.stats import estimate, ratios

_CONNECTIONS: Final = 64
_SECONDS: Final = 3
_ROUNDS: Final = 7
_REQUESTS: Final = 120_000
"""More than one run takes: each is sent once."""
_SUSTAINED: Final = 4_000
_SQLITE: Final = ("door", "mounted", "one by one")


@dataclass(frozen=True)
class Run:
    """One contender under load for a few seconds."""

    per_second: float
    cpu_us: float
    """The server's processor time per delivery."""
    loop_us: float
    """Its event loop's alone: of one process no more deliveries come than this allows."""
    p50_us: float
    p99_us: float


@dataclass(frozen=True)
class Answered:
    """What wrk says: how many deliveries were answered, and how many of the file it took."""

    count: int
    taken: int


class WrkMissingError(RuntimeError):
    """wrk is not installed."""

    def __init__(self) -> None:
        super().__init__("The door goals need wrk (Debian: apt install wrk).")


def _loaded(who: str, store: str, requests: Path) -> tuple[Run, Answered]:
    """Run one contender in a process of its own, and wrk against it; how it went, and how many were answered."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.door_server", who, store],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        url = json.loads(server.stdout.readline())["url"] + PATH
        seconds = f"-d{_SECONDS}s"
        command = [
            "wrk",
            "-t1",
            f"-c{_CONNECTIONS}",
            seconds,
            "-s",
            "bench/door.lua",
            url,
            "--",
            str(requests),
        ]
        try:
            done = subprocess.run(
                command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS + 60, check=True
            )
        except FileNotFoundError:
            raise WrkMissingError from None
        server.stdin.close()
        told = {**json.loads(done.stdout.splitlines()[-1]), **json.loads(server.stdout.readline())}
    finally:
        server.stdin.close()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        server.stdout.close()
    if told["not_2xx"] or told["broken"] or not told["requests"] or (told["wrapped"] and who != "hello"):
        raise RuntimeError(f"{who}: not every delivery was new and answered 2xx: {told}")
    answered = told["requests"]
    run = Run(
        answered / told["duration_s"],
        1e6 * told["cpu_s"] / answered,
        1e6 * told["loop_cpu_s"] / answered,
        told["p50_us"],
        told["p99_us"],
    )
    return run, Answered(answered, told["taken"])


def _all_kept(ids: list[str], answered: Answered, who: str) -> None:
    """As many rows as deliveries that were answered, and those under way at the end; each of one that was sent, and no
    delivery has two. That each answered one is among them is what the crash tests prove, id by id."""
    sent = {event_id_of(number) for number in range(answered.taken)}
    if len(set(ids)) != len(ids) or len(ids) < answered.count or not sent.issuperset(ids):
        raise RuntimeError(f"{who}: {answered}, {len(ids)} rows, {len(set(ids))} ids")


def _sqlite_kept(place: Path, answered: Answered, who: str) -> None:
    connection = sqlite3.connect(place)
    rows = [row[0] for row in connection.execute("SELECT event_id FROM inbox")]
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    if mode != "wal":
        raise RuntimeError("the store is not in the mode that is measured")
    _all_kept(rows, answered, who)


@cache
def _runs() -> dict[str, list[Run]]:
    """P8, P9 and P10 are taken from the same rounds."""
    found: dict[str, list[Run]] = {who: [] for who in ("hello", *_SQLITE)}
    dice = random.Random(8)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        requests = Path(folder).absolute() / "requests.bin"
        write_requests(requests, _REQUESTS)
        for number in range(_ROUNDS):
            order = list(found)
            dice.shuffle(order)
            for who in order:
                place = Path(folder).absolute() / f"{number}-{who.replace(' ', '-')}.db"
                run, answered = _loaded(who, f"sqlite:///{place}", requests)
                if who != "hello":
                    _sqlite_kept(place, answered, who)
                    for file in place.parent.glob(f"{place.name}*"):
                        file.unlink()
                found[who].append(run)
    return found


def _times(runs: list[Run]) -> list[float]:
    return [1 / run.per_second for run in runs]


def _detail(found: dict[str, list[Run]]) -> dict[str, Any]:
    return {
        "deliveries/s": {who: round(median(r.per_second for r in runs)) for who, runs in found.items()},
        "the server's CPU µs each": {
            who: round(median(r.cpu_us for r in runs)) for who, runs in found.items()
        },
        "the event loop's alone": {
            who: round(median(r.loop_us for r in runs)) for who, runs in found.items()
        },
        "p50, p99 in ms": {
            who: f"{median(r.p50_us for r in runs) / 1000:.1f}, {median(r.p99_us for r in runs) / 1000:.1f}"
            for who, runs in found.items()
        },
    }


def p8() -> Result:
    found = _runs()
    hello = _times(found["hello"])
    return result(
        "P8",
        "Time per delivery that is verified, deduped and on the disk (raw ASGI, SQLite FULL) against a Starlette hello"
        " (0.5 of its rate is 2)",
        estimate(ratios(_times(found["door"]), hello)),
        unit="x hello",
        must=2.0,
        stretch=1.54,
        detail={
            "of hello's rate": round(1 / median(ratios(_times(found["door"]), hello)), 2),
            **_detail(found),
        },
        note=f"`Payments.asgi()` under uvicorn (uvloop, httptools, one process), wrk with one thread and"
        f" {_CONNECTIONS} connections over loopback, {_ROUNDS} rounds of {_SECONDS} s in shuffled order, a fresh file"
        " each. Every request is of 1 KiB, has an id, a payment and a valid signature of its own, and is answered"
        " after its commit. In every run: nothing but 2xx, a row for each delivery that was answered, no id twice. The"
        " hello answers the same requests without reading them.",
    )


def p9() -> Result:
    found = _runs()
    hello = _times(found["hello"])
    return result(
        "P9",
        "The same mounted in a Starlette application (0.45 of hello's rate is 2.22)",
        estimate(ratios(_times(found["mounted"]), hello)),
        unit="x hello",
        must=2.22,
        stretch=1.82,
        detail={"of hello's rate": round(1 / median(ratios(_times(found["mounted"]), hello)), 2)},
        note="The same rounds as P8. No Request object is made: the mount hands the scope on.",
    )


def p10() -> Result:
    found = _runs()
    grouped, alone = _times(found["door"]), _times(found["one by one"])
    return result(
        "P10",
        "Time per delivery in group commit against a commit per request, same application (2.5x as many is 0.4)",
        estimate(ratios(grouped, alone)),
        unit="x a commit each",
        must=0.4,
        stretch=0.25,
        detail={"times as many deliveries per second": round(1 / median(ratios(grouped, alone)), 1)},
        note="The same rounds as P8, on the disk of this machine: what a flush takes there decides.",
    )


def p10_tail() -> Result:
    found = _runs()
    ours, hello = ([run.p99_us for run in found[who]] for who in ("door", "hello"))
    return result(
        "P10TAIL",
        "The slowest of a hundred deliveries (p99) against hello's",
        estimate(ratios(ours, hello)),
        unit="x hello's p99",
        must=5.0,
        stretch=None,
        peers={"a commit per request": median(ratios([r.p99_us for r in found["one by one"]], hello))},
        note=f"The same rounds as P8, {_CONNECTIONS} connections that never pause.",
    )


def p8_effects() -> Result:
    found = in_fresh_process("door_sustained", count=_SUSTAINED, pinned=False, timeout_s=600)
    if found["done"] != found["kept"] or found["paid"] != found["kept"]:
        raise RuntimeError(f"not every delivery had its effect: {found}")
    return result(
        "P8EFFECTS",
        "Time per delivery when its effects are made beside: looked up at the gateway, booked, handed to the ledger",
        estimate(found["wall_us"]),
        unit="µs",
        must=None,
        stretch=None,
        detail={
            "deliveries/s that can go on for ever": round(1e6 / median(found["wall_us"])),
            "our CPU µs per delivery, door to ledger": round(median(found["cpu_us"])),
            "the backlog at the end of each round": found["backlog"],
            "the longest backlog": found["longest"],
        },
        note=f"{len(found['wall_us'])} rounds of {_SUSTAINED // len(found['wall_us']):,} payments that only the sandbox"
        " knows to be paid. Senders wait while more than 512 deliveries are without their effects, so the rate is one"
        " at which nothing piles up. Straight into the door keeper, without HTTP on that side; the look-ups go over"
        " HTTP to a sandbox on the same processors, which is what bounds them.",
    )


def p11() -> Result:
    from scripts.private_servers import holding

    found: dict[str, list[Run]] = {"hello": [], "postgres": []}
    dice = random.Random(11)
    with holding("postgres", durable=True) as held, tempfile.TemporaryDirectory(dir=".") as folder:
        dsn = held.places["postgres"]
        in_fresh_process("door_postgres_ready", dsn=dsn, pinned=False)
        requests = Path(folder).absolute() / "requests.bin"
        write_requests(requests, _REQUESTS)
        for _ in range(_ROUNDS):
            order = list(found)
            dice.shuffle(order)
            for who in order:
                run, answered = _loaded(who, dsn, requests)
                if who == "postgres":
                    ids = in_fresh_process("door_postgres_emptied", dsn=dsn, pinned=False)
                    _all_kept(ids, answered, who)
                found[who].append(run)
    shares = ratios(_times(found["postgres"]), _times(found["hello"]))
    return result(
        "P11",
        "Time per delivery with PostgreSQL's inbox (fsync on) against a Starlette hello (0.4 of its rate is 2.5)",
        estimate(shares),
        unit="x hello",
        must=2.5,
        stretch=2.0,
        detail={"of hello's rate": round(1 / median(shares), 2), **_detail(found)},
        note="As P8, with the server beside it on the same processors; its processor time is not in the CPU column.",
    )

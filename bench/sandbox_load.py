"""The sandbox under load, over loopback: `python -m bench.sandbox_load [--seconds 60] [--payments 100000]`.

1. `--seconds` at 30 payments a second, each with its page walked as a payer does it: at bKash grant (once), create, the
   page, wallet, code, PIN, execute; every second one at Nagad: initialize, complete, the page, verify.
2. `--seconds` at 150 payments a second, at both gateways, approved by the admin API.
3. The dashboard of a sandbox that holds `--payments` payments: left alone, and while 30 payments a second are made.

The sandbox is `vextrus-pay sandbox serve`, a process of its own with nothing changed; 200 wallets come by its own API.
Payments begin when they are due, whether or not those before have ended, and their time counts from then. Judged: no
error, the books add up (`audit()`), every payment captured, the rate reached, no growth of memory beyond what a
warm-up of as many payments had taken, and 99 of 100 pages of the dashboard within 100 ms.

Exit 0 when all of it held, 1 when not, 2 for a wrong argument. A run of 60 s and 100,000 payments writes
bench/results/sandbox_load.json and the table in docs/benchmarks.md; a shorter one writes nothing unless `--write`.
"""

import argparse
import asyncio
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench import machine, table
from bench.load_nagad import NagadShop
from bench.load_page import WALLETS, walk, wallet_of
from bench.loopback_client import Client, WireError

ROOT: Final = Path(__file__).resolve().parent.parent
LATEST: Final = ROOT / "bench" / "results" / "sandbox_load.json"
BEGIN: Final = "<!-- sandbox-load:begin: written by `make bench-sandbox`, do not edit -->"
END: Final = "<!-- sandbox-load:end -->"
WHOLE: Final = (60, 100_000)
DASHBOARD_MS: Final = 100
#: What memory may grow by beyond the warm-up: the allocator's own unrest, not a leak (18,000 payments would show).
GROWTH_MIB: Final = 8
_RATE_FROM: Final = 0.98
_ASKED: Final = 200
_AT_A_TIME: Final = 64
_UNDER_LOAD_PER_S: Final = 30
_PAGE_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Phase:
    """What was seen of one phase."""

    title: str
    asked_per_s: int
    reached_per_s: float
    payments: int
    p50_ms: float
    p99_ms: float
    cpu_percent: int
    warm_mib: float | None
    end_mib: float | None
    errors: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def missed(self) -> list[str]:
        """What did not hold, in words."""
        found = [f"{self.title}: {len(self.errors)} errors, such as {self.errors[0]}"] if self.errors else []
        found += [f"{self.title}: {problem}" for problem in self.problems[:3]]
        if self.reached_per_s < self.asked_per_s * _RATE_FROM:
            found.append(f"{self.title}: {self.reached_per_s} payments/s of {self.asked_per_s}")
        if self.warm_mib is not None and self.end_mib is not None:
            grown = self.end_mib - self.warm_mib
            if grown > GROWTH_MIB:
                found.append(f"{self.title}: memory grew by {grown:.1f} MiB after the warm-up")
        return found


@dataclass(frozen=True, slots=True)
class Look:
    """How long one page of the dashboard took."""

    title: str
    path: str
    payments: int
    p50_ms: float
    p99_ms: float

    @property
    def missed(self) -> list[str]:
        """What did not hold, in words."""
        if self.p99_ms <= DASHBOARD_MS:
            return []
        return [f"dashboard, {self.title}: p99 {self.p99_ms} ms, more than {DASHBOARD_MS}"]


class Shop:
    """A merchant's backend that speaks bKash's wire by hand."""

    def __init__(self, client: Client, facts: dict[str, str]) -> None:
        self._client = client
        self._facts = facts
        self._root = urlsplit(facts["base_url"]).path + "/tokenized/checkout"
        self._token = ""

    async def open(self) -> None:
        """Get a token."""
        own = {name: self._facts[name] for name in ("username", "password")}
        keys = {name: self._facts[name] for name in ("app_key", "app_secret")}
        answer = await self._json("POST", f"{self._root}/token/grant", keys, own)
        self._token = answer["id_token"]

    async def walked(self, number: int) -> None:
        """One payment, its page walked."""
        created = await self._create(number)
        page = urlsplit(created["bkashURL"])
        back = await walk(self._client, f"{page.path}?{page.query}", wallet_of(number))
        if "status=success" not in back:
            raise WireError("the page did not lead back with success")
        await self._execute(created["paymentID"])

    async def approved(self, number: int) -> None:
        """One payment, approved by the admin API."""
        created = await self._create(number)
        wish = {"reference": created["paymentID"], "wallet": wallet_of(number)}
        done = await self._json("POST", "/_sandbox/approve", wish)
        if done.get("verified") is not True:
            raise WireError(f"approve was answered with {done}")
        await self._execute(created["paymentID"])

    async def _create(self, number: int) -> dict[str, Any]:
        wish = {
            "mode": "0011",
            "payerReference": "load",
            "callbackURL": "http://127.0.0.1:9/return",
            "amount": f"{10 + number // WALLETS % 3_000}.00",  # no wallet pays an amount twice
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": f"LOAD-{number}",
        }
        return await self._called("create", wish)

    async def _execute(self, payment_id: str) -> None:
        done = await self._called("execute", {"paymentID": payment_id})
        if done.get("transactionStatus") != "Completed":
            raise WireError(f"execute: {done.get('transactionStatus')}")

    async def _called(self, operation: str, wish: dict[str, Any]) -> dict[str, Any]:
        own = {"Authorization": self._token, "X-App-Key": self._facts["app_key"]}
        answer = await self._json("POST", f"{self._root}/{operation}", wish, own)
        if answer.get("statusCode") != "0000":
            raise WireError(f"{operation}: {answer.get('statusCode')} {answer.get('statusMessage')}")
        return answer

    async def _json(
        self, method: str, path: str, wish: dict[str, Any], headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        kind = {"Content-Type": "application/json", **(headers or {})}
        answer = await self._client.ask(method, path, json.dumps(wish).encode(), kind)
        if answer.status != 200:
            raise WireError(f"{path} was answered with {answer.status}")
        found: dict[str, Any] = json.loads(answer.body)
        return found


async def shops_of(client: Client, info: dict[str, Any]) -> tuple[Shop, NagadShop]:
    """Both, ready to sell."""
    bkash, nagad = Shop(client, info["gateways"]["bkash"]), NagadShop(client, info["gateways"]["nagad"])
    await bkash.open()
    return bkash, nagad


def sold_by(shops: tuple[Shop, NagadShop], name: str) -> Callable[[int], Awaitable[None]]:
    """Every second payment at Nagad. `name`: how they are paid."""
    ways: list[Callable[[int], Awaitable[None]]] = [getattr(shop, name) for shop in shops]

    async def one(number: int) -> None:
        await ways[number % len(ways)](number)

    return one


def scenario() -> dict[str, Any]:
    """The scenario with the wallets."""
    return {
        "wallets": [{"number": wallet_of(number), "balance": "100000000.00"} for number in range(WALLETS)]
    }


async def paced(
    rate: float, count: int, first: int, one: Callable[[int], Awaitable[None]]
) -> tuple[list[float], list[str], float]:
    """Begin `count` payments at `rate` a second; (seconds each from when it was due, errors, seconds of all)."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    errors: list[str] = []
    start = loop.time()

    async def timed(number: int, due: float) -> None:
        try:
            await one(number)
        except Exception as error:  # whatever it is, it is one payment that did not come through
            errors.append(f"{type(error).__name__}: {error}")
        else:
            took.append(loop.time() - due)

    async with asyncio.TaskGroup() as tasks:
        for place in range(count):
            due = start + place / rate
            if (left := due - loop.time()) > 0:
                await asyncio.sleep(left)
            tasks.create_task(timed(first + place, due))
    return took, errors, loop.time() - start


async def hurried(count: int, first: int, one: Callable[[int], Awaitable[None]]) -> None:
    """`count` payments, 64 at a time: as many connections as a stall of the machine would open later are open then."""
    left = iter(range(first, first + count))

    async def some() -> None:
        for number in left:
            await one(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_A_TIME):
            tasks.create_task(some())


async def phase(
    title: str, rate: int, seconds: int, server: "Process", name: str, numbers: Iterator[int]
) -> Phase:
    """Warm up with as many payments, start over, and measure."""
    client = Client(server.url)
    one = sold_by(await shops_of(client, server.info), name)
    count = rate * seconds
    await _started_over(client)
    await hurried(count, next(numbers), one)
    await _problems(client, count)
    warm = server.memory_mib()
    await _started_over(client)
    cpu = server.cpu_s()
    took, errors, lasted = await paced(rate, count, next(numbers), one)
    cpu = server.cpu_s() - cpu
    problems = await _problems(client, count)
    end = server.memory_mib()
    client.close()
    return Phase(
        title,
        rate,
        round(len(took) / max(lasted, seconds), 1),
        len(took),
        *_percentiles(took),
        round(100 * cpu / lasted),
        warm,
        end,
        errors,
        problems,
    )


async def _problems(client: Client, count: int) -> list[str]:
    """What the books say: `audit()`, and whether every payment's money came in."""
    answer = await client.ask("GET", "/_sandbox/books")
    books = json.loads(answer.body)
    paid = sum(row["captured"] == row["amount"] and row["refunded"] == "0.00" for row in books["payments"])
    found: list[str] = books["problems"]
    if (paid, len(books["payments"])) != (count, count):
        found = [*found, f"{paid} of {len(books['payments'])} payments are paid; {count} were begun"]
    return found


async def _started_over(client: Client) -> None:
    """Nothing but the wallets: a reset forgets the scenario's, too."""
    kind = {"Content-Type": "application/json"}
    for path, wish in (("/_sandbox/reset", {}), ("/_sandbox/seed", scenario())):
        answer = await client.ask("POST", path, json.dumps(wish).encode(), kind)
        if answer.status != 200:
            raise WireError(f"{path} was answered with {answer.status}: {answer.body[:200]!r}")


async def looks(server: "Process", payments: int) -> list[Look]:
    """The pages of the dashboard, each asked for in turn: left alone, and then under load."""
    client = Client(server.url)
    pages = (
        ("the newest", "/"),
        ("from the middle", f"/?before={payments // 2}"),
        ("one gateway", "/?gateway=bkash"),
        ("one invoice found", f"/?text=MANY-{payments // 2}"),
        ("nothing found", "/?text=nobody-has-this"),
        ("a state that none has", "/?state=expired"),
        ("that state, and words that all have", "/?state=expired&text=MANY"),
    )
    found = await _looked(client, pages, payments)
    kind = {"Content-Type": "application/json"}
    seeded = await client.ask("POST", "/_sandbox/seed", json.dumps(scenario()).encode(), kind)
    if seeded.status != 200:
        raise WireError(f"the wallets were answered with {seeded.status}")
    one = sold_by(await shops_of(client, server.info), "approved")
    errors: list[str] = []
    enough = asyncio.Event()
    load = asyncio.create_task(_until(enough, one, errors))
    busy = [(f"{title}, under load", path) for title, path in pages]
    found += await _looked(client, busy, payments)
    enough.set()
    await load  # what was begun is ended: a payment that fails late has failed, too
    client.close()
    if errors:
        raise WireError(f"{len(errors)} payments failed meanwhile, such as {errors[0]}")
    return found


async def _looked(client: Client, pages: Sequence[tuple[str, str]], payments: int) -> list[Look]:
    took: dict[str, list[float]] = {path: [] for _, path in pages}
    for turn in range(_ASKED + 10):
        for _, path in pages:
            at = time.perf_counter()
            answer = await client.ask("GET", path)
            if answer.status != 200 or b"Sandbox" not in answer.body:
                raise WireError(f"{path} was answered with {answer.status}")
            if turn >= 10:
                took[path].append(time.perf_counter() - at)
    return [Look(title, path, payments, *_percentiles(took[path])) for title, path in pages]


async def _until(enough: asyncio.Event, one: Callable[[int], Awaitable[None]], errors: list[str]) -> None:
    """Payments at a steady pace, second by second, until it is enough."""
    first = 500_000  # no number that a phase has used
    while not enough.is_set():
        _, failed, _ = await paced(_UNDER_LOAD_PER_S, _UNDER_LOAD_PER_S, first, one)
        errors += failed
        first += _UNDER_LOAD_PER_S


def _percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """(p50, p99) in milliseconds; (0, 0) of nothing."""
    if not seconds:
        return 0.0, 0.0
    ordered = sorted(seconds)
    at = [ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99)]
    return round(at[0] * 1000, 1), round(at[1] * 1000, 1)


class Process:
    """A sandbox in a process of its own."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info = info
        self.url: str = info["url"]
        self.pid: int = info["pid"]

    def memory_mib(self) -> float | None:
        """What it holds in memory (RSS); None where the system has no /proc."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        except OSError:
            return None
        return round(pages * os.sysconf("SC_PAGE_SIZE") / _PAGE_MIB, 1)

    def cpu_s(self) -> float:
        """The processor time it has taken; 0 where the system has no /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def process(*command: str) -> Iterator[Process]:
    """A command that prints one JSON line with `url` and `pid`, on a processor of its own; ended by its own pid."""
    started = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        if not line:
            raise WireError(f"{' '.join(command)} did not start")
        if len(machine.cpus()) > 1:
            machine.pin(started.pid, machine.cpus()[-1:])
        yield Process(json.loads(line))
    finally:
        started.terminate()
        try:
            started.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            started.kill()
            started.communicate()


def rendered(run: dict[str, Any]) -> str:
    """The table."""
    heads = (
        *("Load", "asked", "reached", "payments", "errors", "audit", "p50", "p99", "server CPU"),
        *("memory after warm-up", "at the end"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in run["phases"]:
        lines.append(
            f"| {one['title']} | {one['asked_per_s']}/s | {one['reached_per_s']}/s | {one['payments']:,} "
            f"| {len(one['errors'])} | {'empty' if not one['problems'] else '**not empty**'} "
            f"| {one['p50_ms']} ms | {one['p99_ms']} ms | {one['cpu_percent']} % "
            f"| {_mib(one['warm_mib'])} | {_mib(one['end_mib'])} |"
        )
    lines += ["", f"| Dashboard with {run['payments']:,} payments | p50 | p99 |", "|---|---|---|"]
    lines += [
        f"| {one['title']}: `{one['path']}` | {one['p50_ms']} ms | {one['p99_ms']} ms |"
        for one in run["looks"]
    ]
    verdict = "all of it held" if not run["missed"] else "**missed:** " + "; ".join(run["missed"])
    where = f"Python {run['python']}, {run['system']}, {run['cpus']} processors"
    load = f"load {run['load'][0]} to {run['load'][1]}"
    lines += ["", f"{run['at']}, {run['seconds']} s each, {where}, {load}: {verdict}."]
    return "\n".join(lines)


def _mib(value: float | None) -> str:
    return "not told" if value is None else f"{value} MiB"


def write(run: dict[str, Any], document: Path = table.DOCUMENT, latest: Path = LATEST) -> None:
    """Keep the figures, and put the table between its marks."""
    text = document.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"{document.name} has lost the marks {BEGIN} ... {END}")
    before, _, rest = text.partition(BEGIN)
    latest.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8", newline="\n")
    whole = f"{before}{BEGIN}\n{rendered(run)}\n{END}{rest.partition(END)[2]}"
    document.write_text(whole, encoding="utf-8", newline="\n")


async def measured(seconds: int, payments: int) -> tuple[list[Phase], list[Look]]:
    """All of it."""
    if len(machine.cpus()) > 1:
        machine.pin(0, machine.cpus()[:-1])  # this client keeps off the server's processor
    phases = []
    for title, rate, name in (
        ("the pages walked", 30, "walked"),
        ("approved by the admin API", 150, "approved"),
    ):
        with process("vextrus_payments.cli", "sandbox", "serve", "--port", "0", "--json") as server:
            phases.append(await phase(title, rate, seconds, server, name, iter((0, 100_000))))
        print(_line(phases[-1]), flush=True)
    with process("bench.sandbox_of_many", str(payments)) as server:
        found = await looks(server, payments)
    for look in found:
        print(f"dashboard, {look.title}: p50 {look.p50_ms} ms, p99 {look.p99_ms} ms", flush=True)
    return phases, found


def _line(one: Phase) -> str:
    return (
        f"{one.title}: {one.payments} payments, {one.reached_per_s}/s of {one.asked_per_s}/s, {len(one.errors)} errors,"
        f" audit {one.problems or 'empty'}, p50 {one.p50_ms} ms, p99 {one.p99_ms} ms, CPU {one.cpu_percent} %,"
        f" memory {_mib(one.warm_mib)} -> {_mib(one.end_mib)}"
    )


def main() -> int:
    """Run, judge, write."""
    parser = argparse.ArgumentParser(prog="make bench-sandbox", description="The sandbox under load.")
    parser.add_argument("--seconds", type=int, default=WHOLE[0], help="how long each load lasts")
    parser.add_argument("--payments", type=int, default=WHOLE[1], help="how many the dashboard's sandbox has")
    parser.add_argument("--write", action="store_true", help="write the figures of a shorter run, too")
    given = parser.parse_args()
    if not 1 <= given.seconds <= 600 or not 1 <= given.payments <= 1_000_000:
        parser.error("--seconds is 1 to 600, --payments 1 to 1000000")
    load = machine.load()
    phases, found = asyncio.run(measured(given.seconds, given.payments))
    missed = [words for one in phases for words in one.missed] + [
        words for one in found for words in one.missed
    ]
    run = {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        **{name: value for name, value in machine.described().items() if name != "versions"},
        "load": [load, machine.load()],
        "seconds": given.seconds,
        "payments": given.payments,
        "phases": [asdict(one) for one in phases],
        "looks": [asdict(one) for one in found],
        "missed": missed,
    }
    if given.write or (given.seconds, given.payments) == WHOLE:
        write(run)
        print("Written: bench/results/sandbox_load.json, docs/benchmarks.md.")
    for words in missed:
        print(f"Missed: {words}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

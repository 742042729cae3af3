"""Whatever callbacks and workers do, in whatever order: every row comes at least once, in order per subject, and has
its effect exactly once on a ledger that is idempotent on the entry's id. In virtual time, on the memory store and on
SQLite.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.flows.queue_world import InlineRunner, Listener, fill
from tests.unit.virtual_loop import LoopClock, Machine, run_virtual
from vextrus_payments import LedgerEntry
from vextrus_payments.outbox import Outbox, OutboxLimits
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeEntropy

TIMEOUT_S, LEASE_S = 4.0, 12
Way = Literal["takes", "slowly", "raises", "raises after", "hangs", "hangs after", "is cancelled", "is deaf"]
#: What leaves the row in doubt, or in two hands at once. Without them a row comes exactly once.
DOUBTFUL = {"raises after", "hangs after", "is deaf"}


class IdempotentLedger:
    """Books each id once, and misbehaves as drawn: each row's nth try goes the row's nth way, later ones well."""

    def __init__(self, ways: dict[str, list[Way]]) -> None:
        self._ways = ways
        self.calls: list[str] = []
        self.booked: list[str] = []
        self.in_hand: Counter[str] = Counter()
        self.together = 0

    async def __call__(self, entry: LedgerEntry) -> None:
        tries = sum(one == entry.id for one in self.calls)
        self.calls.append(entry.id)
        ways = self._ways.get(entry.id, [])
        way: Way = ways[tries] if tries < len(ways) else "takes"
        subject = str(entry.payment_id)
        self.in_hand[subject] += 1
        self.together = max(self.together, self.in_hand[subject])
        try:
            await self._go(way, entry)
        finally:
            self.in_hand[subject] -= 1

    async def _go(self, way: Way, entry: LedgerEntry) -> None:
        match way:
            case "takes":
                self._book(entry)
            case "slowly":
                await asyncio.sleep(TIMEOUT_S / 2)
                self._book(entry)
            case "raises":
                raise RuntimeError
            case "raises after":
                self._book(entry)
                raise RuntimeError
            case "hangs":
                await asyncio.Event().wait()
            case "hangs after":
                self._book(entry)
                await asyncio.Event().wait()
            case "is cancelled":
                raise asyncio.CancelledError
            case "is deaf":
                await _deaf(LEASE_S * 2.0)
                self._book(entry)

    def _book(self, entry: LedgerEntry) -> None:
        if entry.id not in self.booked:
            self.booked.append(entry.id)


async def _deaf(seconds: float) -> None:
    """Goes on, whoever cancels it: longer than any lease."""
    over = asyncio.get_running_loop().time() + seconds
    while (left_s := over - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left_s)
        except asyncio.CancelledError:
            continue


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Subjects with their rows, how their tries go, and when which worker is cut off and begun anew."""
    subjects = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    ways = {}
    for number, count in enumerate(subjects):
        for seq in range(1, count + 1):
            ways[f"ent_pay{number}-{seq}"] = draw(
                st.lists(st.sampled_from(list(Way.__args__)), max_size=3)  # type: ignore[attr-defined]
            )
    workers = draw(st.integers(1, 3))
    return {
        "subjects": subjects,
        "ways": ways,
        "workers": workers,
        "at_once": draw(st.integers(1, 3)),
        "cuts": draw(
            st.lists(st.tuples(st.floats(0, 40), st.integers(0, workers - 1)), max_size=4, unique=True)
        ),
        "seed": draw(st.integers(0, 1000)),
    }


@pytest.fixture(params=["memory", "sqlite"])
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param


@given(scenario=scenarios())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_in_order_and_once(kind: str, scenario: dict[str, Any]) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        complaints: list[dict[str, Any]] = []
        run_virtual(_play(kind, folder, scenario), complaints)
        assert complaints == []


async def _play(kind: str, folder: Path, scenario: dict[str, Any]) -> None:
    clock = LoopClock(Machine(), 0.0)
    ledger = IdempotentLedger(scenario["ways"])

    def opened() -> PaymentStore:
        if kind == "memory":
            return memory
        return SqliteStore(folder / "queue.db", clock=clock, runner=InlineRunner())

    memory = MemoryStore(clock=clock)
    stores = [opened() for _ in range(scenario["workers"])]
    for store in stores:
        await store.open()
    rows = await fill(stores[0], scenario["subjects"])

    def begun(number: int) -> "asyncio.Task[None]":
        outbox = Outbox(
            stores[number],
            ledger=ledger,
            on_event=None,
            entropy=FakeEntropy(scenario["seed"]),
            observer=Listener(),
            limits=OutboxLimits(
                at_once=scenario["at_once"],
                callback_timeout_s=TIMEOUT_S,
                lease_s=LEASE_S,
                poll_s=0.5,
                peek_s=None,
                longest_pause_s=8,
            ),
        )
        return asyncio.create_task(outbox.run())

    running = [begun(number) for number in range(scenario["workers"])]
    for at_s, number in sorted(scenario["cuts"]):
        await asyncio.sleep(max(at_s - clock.monotonic(), 0))
        running[number].cancel()
        await asyncio.wait({running[number]})
        running[number] = begun(number)
    await asyncio.sleep(1500)
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    backlog = await stores[0].backlog(OutboxKind.LEDGER)
    for store in stores:
        await store.close()

    assert (backlog.waiting, backlog.parked) == (0, 0)
    for number in range(len(scenario["subjects"])):
        wanted = [row.row_id for row in rows if row.subject == f"payment/pay{number}"]
        assert [one for one in ledger.booked if one in wanted] == wanted
        assert sorted(set(ledger.calls) & set(wanted)) == sorted(wanted)
    assert len(ledger.booked) == len(rows)
    used = {way for ways in scenario["ways"].values() for way in ways}
    if not scenario["cuts"] and not used & DOUBTFUL:
        assert ledger.together == 1
        failed = sum(
            way not in ("takes", "slowly") for ways in scenario["ways"].values() for way in _failing(ways)
        )
        assert len(ledger.calls) == len(rows) + failed


def _failing(ways: list[Way]) -> list[Way]:
    """The tries before the one that went well."""
    found = []
    for way in ways:
        if way in ("takes", "slowly"):
            break
        found.append(way)
    return found

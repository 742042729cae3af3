"""SqlLedger and what else may be given as a ledger: against a store whose transactions can be broken at will."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.flows.queue_world import Listener, fill
from tests.sinks.entries import entry
from vextrus_payments import LedgerEntry, Payments, UndeliverableError
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.outbox import Outbox
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.secret import Secret
from vextrus_payments.sink_port import check_coroutine_function, is_row_sink, is_transactional_sink
from vextrus_payments.sinks import HttpSink, SqlLedger
from vextrus_payments.store import TransactionalOutbox
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, FakeEntropy


class OneDatabase(MemoryStore):
    """A store whose rows and the caller's table are in one database: committed together or not at all."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.table: list[str] = []
        self.breaks: list[str] = []

    async def deliver_within(self, row: OutboxRow, write: Callable[[Any], Awaitable[None]]) -> bool:
        page = await self.list_outbox(row.kind)
        (now,) = [one for one in page.rows if one.row_id == row.row_id]
        if now.delivered_at is not None or now.leased_until != row.leased_until:
            return False
        written: list[str] = []
        await write(written)
        how = self.breaks.pop(0) if self.breaks else ""
        if how == "before the commit":
            raise StorageError("The connection broke.")
        self.table += written
        await self.ack(row)
        if how == "after the commit":
            raise StorageError("The connection broke.")
        return True


async def write_id(connection: Any, entry: LedgerEntry) -> None:
    connection.append(entry.id)


class Bench:
    """A database, and outboxes on it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = OneDatabase(self.clock)
        self.listener = Listener()

    def outbox(self, ledger: Any) -> Outbox:
        return Outbox(
            self.store, ledger=ledger, on_event=None, entropy=FakeEntropy(1), observer=self.listener
        )

    async def deliver(self, ledger: Any, times: int = 1) -> list[int]:
        found = []
        for _ in range(times):
            found.append(await self.outbox(ledger).deliver())
            self.clock.advance(700)
        return found


@pytest.fixture
async def bench() -> Bench:
    made = Bench()
    await made.store.open()
    return made


# --- exactly once -------------------------------------------------------------------------------------------------


async def test_entries_are_written_in_order_and_marked_with_it(bench: Bench) -> None:
    rows = await fill(bench.store, [3, 1])
    assert await bench.deliver(SqlLedger(write_id)) == [4]
    first = [one.row_id for one in rows if one.subject == "payment/pay0"]
    assert [one for one in bench.store.table if one in first] == first
    assert sorted(bench.store.table) == sorted(one.row_id for one in rows)
    assert (await bench.store.backlog(OutboxKind.LEDGER)).waiting == 0
    assert await bench.deliver(SqlLedger(write_id)) == [0]


@pytest.mark.parametrize("how", ["before the commit", "after the commit"])
async def test_a_transaction_that_breaks_leaves_neither_half(bench: Bench, how: str) -> None:
    rows = await fill(bench.store, [2])
    bench.store.breaks = [how]
    await bench.deliver(SqlLedger(write_id), 3)
    assert bench.store.table == [one.row_id for one in rows]


async def test_what_raises_is_undone_and_offered_again(bench: Bench) -> None:
    rows = await fill(bench.store, [2])
    failures = [RuntimeError("words of the host's own"), asyncio.CancelledError()]

    async def write(connection: Any, entry: LedgerEntry) -> None:
        connection.append(entry.id)
        if failures:
            raise failures.pop()

    await bench.deliver(SqlLedger(write), 4)
    assert bench.store.table == [one.row_id for one in rows]
    assert [told["why"] for told in bench.listener.of("outbox.not_taken")] == [
        "the callback was cancelled",
        "the callback raised RuntimeError",
    ]


async def test_what_will_never_be_written_is_set_aside(bench: Bench) -> None:
    await fill(bench.store, [1])

    async def write(connection: Any, entry: LedgerEntry) -> None:
        raise UndeliverableError("There is no account for this gateway.")

    await bench.deliver(SqlLedger(write), 2)
    ((aside),) = (await bench.store.list_outbox(OutboxKind.LEDGER, parked=True)).rows
    assert aside.parked == "There is no account for this gateway."


async def test_two_workers_write_each_entry_once(bench: Bench) -> None:
    rows = await fill(bench.store, [2] * 20)

    async def write(connection: Any, entry: LedgerEntry) -> None:
        await asyncio.sleep(0)
        connection.append(entry.id)

    one, two = bench.outbox(SqlLedger(write)), bench.outbox(SqlLedger(write))
    taken = await asyncio.gather(one.deliver(), two.deliver())
    assert sum(taken) == len(rows) == len(bench.store.table) == len(set(bench.store.table))


async def test_it_leaves_connections_for_payments(bench: Bench) -> None:
    """Each write holds a connection of the store's pool for as long as it takes."""
    await fill(bench.store, [1] * 40)
    inside = most = 0

    async def write(connection: Any, entry: LedgerEntry) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1

    assert await bench.deliver(SqlLedger(write)) == [40]
    assert most == 4


async def test_a_row_that_another_worker_has_is_left_alone(bench: Bench) -> None:
    await fill(bench.store, [1])
    (mine,) = await bench.store.lease(OutboxKind.LEDGER, limit=1, lease_s=1)
    bench.clock.advance(2)
    (theirs,) = await bench.store.lease(OutboxKind.LEDGER, limit=1, lease_s=60)
    sink = SqlLedger(write_id)
    assert not await bench.store.deliver_within(mine, lambda c: sink.write_within(c, entry()))
    assert bench.store.table == []
    assert theirs.leased_until != mine.leased_until


# --- what may be given ------------------------------------------------------------------------------------------------


async def test_a_store_without_such_transactions_is_refused_at_once() -> None:
    assert not isinstance(MemoryStore(), TransactionalOutbox)
    with pytest.raises(ConfigurationError, match="PostgreSQL") as caught:
        Payments(store="memory://", ledger=SqlLedger(write_id))
    assert caught.value.code == "sink_needs_postgres"


def plain(entry: LedgerEntry) -> None:
    """A plain function."""


class PlainObject:
    def __call__(self, entry: LedgerEntry) -> None:
        """A plain one."""

    def method(self, entry: LedgerEntry) -> None:
        """A plain one."""


async def generated(entry: LedgerEntry) -> Any:
    yield entry


@pytest.mark.parametrize(
    "given",
    [plain, generated, PlainObject().method, print, LedgerEntry, 7, "ledger"],
    ids=lambda given: getattr(given, "__name__", str(given)),
)
@pytest.mark.parametrize("name", ["ledger", "on_event", "on_alarm"])
def test_what_cannot_be_awaited_is_refused_at_once(name: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is") as caught:
        Payments(store="memory://", **{name: given})
    assert caught.value.code == "callback_not_async"
    assert "async def" in str(caught.value)


def decorated(function: Any) -> Any:
    @wraps(function)
    def wrapper(*arguments: Any) -> Any:
        return function(*arguments)

    return wrapper


class AsyncObject:
    async def __call__(self, entry: LedgerEntry) -> None:
        """An async one."""

    async def method(self, entry: LedgerEntry) -> None:
        """An async one."""


async def awaited(entry: LedgerEntry) -> None:
    """An async one."""


async def of_two(where: str, entry: LedgerEntry) -> None:
    """An async one, of which a partial is made."""


@pytest.mark.parametrize(
    "given",
    [
        awaited,
        AsyncObject(),
        AsyncObject().method,
        partial(of_two, "here"),
        decorated(awaited),
        lambda entry: awaited(entry),
        AsyncMock(),
    ],
)
def test_what_can_be_awaited_is_taken(given: Any) -> None:
    check_coroutine_function("ledger", given)
    Payments(store="memory://", ledger=given, on_event=given)


@pytest.mark.parametrize("given", [PlainObject(), lambda entry: None, decorated(plain)])
async def test_what_turns_out_to_be_plain_is_not_believed(bench: Bench, given: Any) -> None:
    await fill(bench.store, [1])
    assert await bench.deliver(given) == [0]
    (told,) = bench.listener.of("outbox.not_taken")
    assert "nothing to await" in told["why"]


async def test_a_sink_takes_rows_of_either_kind_and_is_closed_with_payments() -> None:
    taken: list[OutboxRow] = []

    class Keeper:
        closed = 0

        async def take_row(self, row: OutboxRow) -> None:
            taken.append(row)

        async def aclose(self) -> None:
            self.closed += 1

    keeper, store = Keeper(), MemoryStore()
    assert is_row_sink(keeper) and not is_transactional_sink(keeper)
    async with Payments(store=store, ledger=keeper, on_event=keeper, workers=False) as payments:
        ledger = await fill(store, [1])
        events = await fill(store, [1], kind=OutboxKind.EVENT, name="evt")
        assert await payments.deliver() == 2
    assert keeper.closed == 1
    assert sorted(one.row_id for one in taken) == sorted(one.row_id for one in ledger + events)
    assert {one.document for one in taken} == {one.document for one in ledger + events}


def test_our_sinks_are_what_the_port_says() -> None:
    assert is_transactional_sink(SqlLedger(write_id)) and not is_row_sink(SqlLedger(write_id))
    http = HttpSink("https://hooks.example/", [Secret("whsec_" + "A" * 43 + "=")])
    assert is_row_sink(http) and not is_transactional_sink(http)
    with pytest.raises(ConfigurationError, match="write is"):
        SqlLedger(plain)  # type: ignore[arg-type]

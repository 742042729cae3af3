"""Group commit: one flush for many, one member's failure its own, and nobody answered before the disk has it."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.sqlite_file import check_shown, sql, trial_of, work_done
from vextrus_payments.errors import StaleStateError, StorageError
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Committed, Reserved
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.stores.runner import TOGETHER_LIMIT, Outcome
from vextrus_payments.stores.sqlite import file, group
from vextrus_payments.stores.sqlite.group import Member
from vextrus_payments.testing.store_records import full_plan
from vextrus_payments.testing.store_trial import LONG


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path / "payments.db")
    await made.open()
    yield made
    await made.close()


class Held:
    """Keeps the store's thread busy, so that what is asked meanwhile queues up."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._entered, self._open = threading.Event(), threading.Event()

    def _work(self) -> None:
        self._entered.set()
        assert self._open.wait(30)

    async def __aenter__(self) -> "Held":
        self._blocker = asyncio.ensure_future(self._store._runner.run(self._work))
        while not self._entered.is_set():
            await asyncio.sleep(0.001)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open.set()
        await self._blocker


def traced(store: SqliteStore) -> list[str]:
    """The statements that the store runs from now on."""
    assert store._connection is not None
    return traced_connection(store._connection)


def traced_connection(connection: sqlite3.Connection) -> list[str]:
    seen: list[str] = []
    connection.set_trace_callback(seen.append)
    return seen


def count(seen: Sequence[str], start: str) -> int:
    return sum(statement.startswith(start) for statement in seen)


async def queued(calls: Sequence[Any]) -> list["asyncio.Future[Any]"]:
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    return tasks


async def ended(tasks: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    return list(await asyncio.gather(*tasks, return_exceptions=True))


# --- one flush for many -------------------------------------------------------------------------------------------


async def test_what_queues_up_is_committed_once_and_in_order(store: SqliteStore) -> None:
    seen = traced(store)
    async with Held(store):
        tasks = await queued([trial_of(store).reserve(f"INV-{n}") for n in range(40)])
    answers = await ended(tasks)
    assert {type(answer) for answer in answers} == {Reserved}
    assert count(seen, "BEGIN IMMEDIATE") == count(seen, "COMMIT") == 1
    assert count(seen, "SAVEPOINT") == 0, "nothing has failed"
    rows = await sql(store, "SELECT payment_id FROM payments ORDER BY id")
    assert [payment_id for (payment_id,) in rows] == [f"pay_INV-{n}" for n in range(40)]


async def test_a_group_has_a_limit(store: SqliteStore) -> None:
    seen = traced(store)
    async with Held(store):
        tasks = await queued(
            [store.put_mark(f"m{n}", "a", expected=None) for n in range(2 * TOGETHER_LIMIT + 1)]
        )
    assert set(await ended(tasks)) == {True}
    assert count(seen, "COMMIT") == 3


async def test_a_lone_write_is_a_transaction_of_its_own(store: SqliteStore) -> None:
    seen = traced(store)
    await trial_of(store).reserved("INV-1")
    assert (seen[0], seen[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert count(seen, "SAVEPOINT") == 0


async def test_reads_go_beside_a_write_and_see_it_once_it_is_on_the_disk(store: SqliteStore) -> None:
    """Nobody waits for a flush to read, nobody reads what is not there yet, and who was answered finds his own."""
    made = await trial_of(store).reserved("INV-1")
    connection = store._connection
    assert connection is not None
    before_commit, go_on = threading.Event(), threading.Event()

    def held(statement: str) -> bool:
        if statement == "COMMIT":
            before_commit.set()
            assert go_on.wait(30)
        return False

    store._connection = Failing(connection, held)  # type: ignore[assignment]
    async with Held(store):
        tasks = await queued(
            [store.claim("acme", "INV-1/pay", LONG), store.put_mark("a", "b", expected=None)]
        )
    while not before_commit.is_set():
        await asyncio.sleep(0.001)
    assert await store.get("acme", "pay_INV-1") == made.facts, "claimed, but not on the disk yet"
    assert await store.get_mark("a") is None
    assert not any(task.done() for task in tasks)
    go_on.set()
    claim, put = await ended(tasks)
    assert isinstance(claim, Claim) and put is True
    assert await store.get("acme", "pay_INV-1") == claim.facts
    assert await store.get_mark("a") == "b"


async def test_reads_that_queue_up_share_one_snapshot(store: SqliteStore) -> None:
    made = await trial_of(store).reserved("INV-1")
    lane = store._beside
    assert lane is not None and lane.connection is not None
    seen = traced_connection(lane.connection)
    entered, go_on = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert go_on.wait(30)

    blocker = asyncio.ensure_future(lane._runner.run(block))
    while not entered.is_set():
        await asyncio.sleep(0.001)
    tasks = await queued(
        [
            store.get("acme", "pay_INV-1"),
            store.find("acme", gateway_reference="\ud800"),
            store.get_mark("a"),
            store.get("acme", "pay_INV-1"),
        ]
    )
    go_on.set()
    await blocker
    first, bad, mark, last = await ended(tasks)
    assert first == last == made.facts and mark is None
    check_shown(bad, "storage_bad_value")
    assert count(seen, "BEGIN") == count(seen, "ROLLBACK") == 1


async def test_the_reading_connection_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(StorageError) as caught:
        await store._read(lambda c: c.execute("DELETE FROM tokens"))
    check_shown(caught.value, "storage_not_writable")
    assert await store.get_mark("a") is None, "and reads on after that"


async def test_a_file_that_can_no_longer_be_opened_to_read_is_not_left_half_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str, **_: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    store = SqliteStore(tmp_path / "payments.db")
    with monkeypatch.context() as patch:
        patch.setattr(file, "connect_to_read", refuse)
        with pytest.raises(StorageError):
            await store.open()
    with pytest.raises(StorageError, match="not open"):
        await trial_of(store).reserve("INV-1")
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()


async def test_members_see_what_those_before_them_have_written(store: SqliteStore) -> None:
    await trial_of(store).reserved("INV-1")
    async with Held(store):
        tasks = await queued([store.claim("acme", "INV-1/pay", LONG) for _ in range(20)])
    kinds = [type(answer).__name__ for answer in await ended(tasks)]
    assert kinds == ["Claim"] + ["Busy"] * 19


async def test_a_runner_that_cannot_group_commits_one_by_one(tmp_path: Path) -> None:
    class Inline:
        async def run(self, work: Callable[[], Any]) -> Any:
            return work()

        async def aclose(self) -> None:
            pass

    store = SqliteStore(tmp_path / "payments.db", runner=Inline())
    await store.open()
    seen = traced(store)
    answers = await asyncio.gather(*(trial_of(store).reserve(f"INV-{n}") for n in range(5)))
    assert {type(answer) for answer in answers} == {Reserved}
    assert count(seen, "BEGIN IMMEDIATE") == count(seen, "COMMIT") == 5
    await store.close()


# --- failures -----------------------------------------------------------------------------------------------------


async def test_one_members_failure_undoes_its_own_work_alone(store: SqliteStore) -> None:
    """It fails half-way, after the payment's row was written; those before and after it stand."""
    trial = trial_of(store)
    facts = [await trial.awaiting(f"INV-{n}") for n in range(9)]
    claims = [await trial.claim_execute(each) for each in facts]
    plans = [trial.paid_plan(claim.facts, f"TRX{n}") for n, claim in enumerate(claims)]  # type: ignore[union-attr]

    bad = replace(
        plans[4], outbox=(*plans[4].outbox, replace(plans[4].outbox[0], row_id="x", document="\ud800"))
    )
    before = await store.get("acme", "pay_INV-4")
    seen = traced(store)
    async with Held(store):
        tasks = await queued([store.commit(plan) for plan in (*plans[:4], bad, *plans[5:])])
    answers = await ended(tasks)
    assert [type(answer) for answer in answers] == [Committed] * 4 + [StorageError] + [Committed] * 4
    check_shown(answers[4], "storage_bad_value")
    assert count(seen, "BEGIN IMMEDIATE") == 2 and count(seen, "COMMIT") == 1
    assert count(seen, "SAVEPOINT") == count(seen, "RELEASE") == 9
    assert count(seen, "ROLLBACK TO") == 1
    assert await store.get("acme", "pay_INV-4") == before
    assert not await store.find("acme", transaction_id="TRX4")
    for number in (0, 3, 5, 8):
        found = await store.find("acme", transaction_id=f"TRX{number}")
        assert len(found) == 1 and len(found[0].receipts) == 1
    assert (await store.backlog(OutboxKind.EVENT)).waiting == 8
    assert await sql(store, "PRAGMA integrity_check") == [("ok",)]


async def test_a_refusal_that_wrote_nothing_costs_nobody_anything(store: SqliteStore) -> None:
    trial = trial_of(store)
    claim = await trial.claim_execute(await trial.awaiting("INV-1"))
    assert isinstance(claim, Claim)
    await store.release(claim)
    seen = traced(store)
    async with Held(store):
        tasks = await queued(
            [trial.reserve("INV-2"), store.checkpoint(claim, Evidence("late")), trial.reserve("INV-3")]
        )
    answers = await ended(tasks)
    assert [type(answer) for answer in answers] == [Reserved, StaleStateError, Reserved]
    assert count(seen, "BEGIN IMMEDIATE") == count(seen, "COMMIT") == 1
    assert count(seen, "SAVEPOINT") == 0


class Failing:
    """A connection of which some statements fail."""

    def __init__(self, connection: sqlite3.Connection, fails: Callable[[str], bool]) -> None:
        self._connection, self._fails = connection, fails

    def execute(self, statement: str, values: Any = ()) -> Any:
        if self._fails(statement):
            raise sqlite3.OperationalError("disk I/O error of which nobody must hear")
        return self._connection.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("careful", [False, True])
async def test_a_failed_commit_fails_every_member(store: SqliteStore, careful: bool) -> None:
    """Also who has refused something because of what another had written; and nothing of it counts."""
    trial = trial_of(store)
    claim = await trial.claim_execute(await trial.awaiting("INV-1"))
    assert isinstance(claim, Claim)
    connection = store._connection
    assert connection is not None
    broken = [True]
    store._connection = Failing(connection, lambda s: s == "COMMIT" and broken[0])  # type: ignore[assignment]
    plan = trial.paid_plan(claim.facts, "TRX1")
    torn = full_plan(store.now())
    if careful:  # fails half-way, so that all begin again with a SAVEPOINT each
        torn = replace(torn, outbox=(*torn.outbox, replace(torn.outbox[0], row_id="x", document="\ud800")))
    calls = [
        store.commit(plan),
        store.checkpoint(claim, Evidence("after it was settled")),
        trial.reserve("INV-2"),
        store.commit(torn),
    ]
    seen = traced_connection(connection)
    async with Held(store):
        tasks = await queued(calls)
    answers = await ended(tasks)
    assert [type(answer) for answer in answers] == [StorageError] * 4
    assert len({id(answer) for answer in answers}) == 4, "each has an error of its own"
    for answer in answers:
        check_shown(answer, "storage")
        assert "nobody" not in f"{answer} {answer.context}"
    broken[0] = False
    assert (count(seen, "SAVEPOINT") > 0) is careful
    assert not connection.in_transaction
    assert await store.get("acme", "pay_full") is None
    assert await store.get("acme", "pay_INV-1") == claim.facts
    assert await store.get("acme", "pay_INV-2") is None
    await store.checkpoint(claim, Evidence("it was not settled"))
    assert isinstance(await trial.reserve("INV-2"), Reserved)


async def test_a_group_that_cannot_begin_fails_whole(tmp_path: Path, store: SqliteStore) -> None:
    other = SqliteStore(tmp_path / "payments.db", busy_timeout_s=0.05)
    await other.open()
    await sql(store, "BEGIN IMMEDIATE")
    async with Held(other):
        tasks = await queued([*(trial_of(other).reserve(f"INV-{n}") for n in range(5)), other.get_mark("a")])
    *answers, mark = await ended(tasks)
    for answer in answers:
        check_shown(answer, "storage_locked")
    assert mark is None, "reading goes on"
    await sql(store, "ROLLBACK")
    assert isinstance(await trial_of(other).reserve("INV-0"), Reserved)
    await other.close()


async def test_a_disk_that_fills_up_under_a_group(store: SqliteStore) -> None:
    """What was answered is there whole; what failed is not there at all; and nobody is forgotten."""
    await trial_of(store).awaiting("INV-1")
    (pages,) = (await sql(store, "PRAGMA page_count"))[0]
    await sql(store, f"PRAGMA max_page_count = {pages + 20}")
    answers: list[Any] = []
    for number in range(8):
        async with Held(store):
            tasks = await queued([trial_of(store).reserve(f"G{number}-{n}") for n in range(30)])
        answers = await ended(tasks)
        for n, answer in enumerate(answers):
            facts = await store.get("acme", f"pay_G{number}-{n}")
            operation = await store.get_operation("acme", f"G{number}-{n}/pay")
            if isinstance(answer, Reserved):
                assert facts == answer.facts and operation is not None
            else:
                check_shown(answer, "storage_full")
                assert facts is None and operation is None
    assert any(isinstance(answer, StorageError) for answer in answers)
    await sql(store, f"PRAGMA max_page_count = {2**30}")
    assert isinstance(await trial_of(store).reserve("INV-2"), Reserved)
    assert await sql(store, "PRAGMA integrity_check") == [("ok",)]


def test_what_sqlite_undoes_by_itself_counts_for_nobody(tmp_path: Path) -> None:
    """An error that ends the transaction under the members' hands: those before it fail, those after it begin anew."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("CREATE TABLE t (a)")
    undone = [2]

    def insert(value: int) -> Member:
        def work(c: sqlite3.Connection) -> int:
            c.execute("INSERT INTO t VALUES (?)", (value,))
            if value == 3 and undone[0]:
                undone[0] -= 1
                c.execute("ROLLBACK")
                raise sqlite3.OperationalError("database or disk is full")
            return value

        return Member(work, writes=True)

    outcomes = group.run_together(connection, [insert(n) for n in range(1, 6)], "x.db")
    failed = [type(outcome.error) for outcome in outcomes]
    assert failed == [StorageError] * 3 + [type(None)] * 2
    assert [outcome.answer for outcome in outcomes[3:]] == [4, 5]
    assert connection.execute("SELECT a FROM t").fetchall() == [(4,), (5,)]
    connection.close()


async def test_a_runner_whose_group_fails_tells_everybody(store: SqliteStore) -> None:
    runner = ThreadRunner("of-this-test")

    def broken(works: Sequence[int]) -> Sequence[Outcome]:
        raise MemoryError

    answers = await asyncio.gather(*(runner.join(n, broken) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [MemoryError] * 5
    assert await runner.join(1, lambda works: [Outcome(work + 1) for work in works]) == 2
    await runner.aclose()


# --- callers who stop waiting -------------------------------------------------------------------------------------


async def test_cancelled_members_are_dropped_or_finished_never_half(store: SqliteStore) -> None:
    async with Held(store):
        tasks = await queued([trial_of(store).reserve(f"INV-{n}") for n in range(10)])
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
    answers = await ended(tasks)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, Reserved] * 5
    for n in range(10):
        facts = await store.get("acme", f"pay_INV-{n}")
        operation = await store.get_operation("acme", f"INV-{n}/pay")
        assert (facts is None) == (operation is None) == (n % 2 == 0)


async def test_a_member_that_was_begun_is_finished(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go_on = threading.Event(), threading.Event()
    real = store._clock.now

    def slow_now() -> Any:
        entered.set()
        assert go_on.wait(30)
        return real()

    async with Held(store):
        monkeypatch.setattr(store, "_clock", type("SlowClock", (), {"now": staticmethod(slow_now)}))
        tasks = await queued([store.reserve(trial_of(store).wish(f"INV-{n}")) for n in range(6)])
    while not entered.is_set():
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    await ended(tasks)
    go_on.set()
    await work_done(store)
    for n in range(6):
        assert await store.get("acme", f"pay_INV-{n}") is not None
        assert await store.get_operation("acme", f"INV-{n}/pay") is not None


async def test_two_loops_share_one_store(store: SqliteStore) -> None:
    """As a blocking facade beside an async service would: each caller is woken in its own loop."""
    answers: list[Any] = []

    async def elsewhere() -> None:
        for n in range(20):
            answers.append(await trial_of(store).reserve(f"THERE-{n}"))

    thread = threading.Thread(target=lambda: asyncio.run(elsewhere()))
    thread.start()
    for n in range(20):
        answers.append(await trial_of(store).reserve(f"HERE-{n}"))
    while thread.is_alive():
        await asyncio.sleep(0.001)
    thread.join()
    assert {type(answer) for answer in answers} == {Reserved} and len(answers) == 40


async def test_a_loop_that_is_gone_holds_nobody_up(store: SqliteStore) -> None:
    loop = asyncio.new_event_loop()
    async with Held(store):
        here = await queued([store.put_mark("here", "a", expected=None)])

        def leave() -> None:
            gone = loop.create_task(store.put_mark("gone", "a", expected=None))
            loop.call_soon(loop.stop)
            loop.run_forever()
            gone._log_destroy_pending = False  # type: ignore[attr-defined]
            loop.close()

        thread = threading.Thread(target=leave)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)
        here += await queued([store.put_mark("after", "a", expected=None)])
    assert await ended(here) == [True, True]
    assert await store.get_mark("after") == "a"

"""The store's clock: the database's, on machines whose own clocks are wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.postgres_database import emptied, migrated, sql, trial_of
from tests.services import Databases
from vextrus_payments.clock import SystemClock
from vextrus_payments.plans import Claim
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import PostgresStore
from vextrus_payments.stores.postgres.times import DatabaseTime
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.store_trial import LONG
from vextrus_payments.token_budget import GrantAsk, GrantReserved

SECOND = timedelta(seconds=1)


class Machine(SystemClock):
    """A machine whose clock is wrong by so much."""

    def __init__(self, wrong: timedelta) -> None:
        self.wrong = wrong

    def now(self) -> datetime:
        return super().now() + self.wrong


@pytest.fixture(scope="module")
def module_dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.fixture
async def dsn(module_dsn: str) -> str:
    await emptied(module_dsn)
    return module_dsn


async def database_time(dsn: str) -> datetime:
    ((moment,),) = await sql(dsn, "SELECT clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment


@pytest.fixture
async def machines(dsn: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    stores = (
        PostgresStore(dsn, clock=Machine(timedelta(hours=-2))),
        PostgresStore(dsn, clock=Machine(timedelta(hours=3))),
    )
    for store in stores:
        await store.open()
    yield stores
    for store in stores:
        await store.close()


async def test_machines_agree_on_the_time(dsn: str, machines: tuple[PostgresStore, PostgresStore]) -> None:
    true = await database_time(dsn)
    for store in machines:
        assert abs(store.now() - true) < SECOND


async def test_machines_agree_on_leases_and_claims(machines: tuple[PostgresStore, PostgresStore]) -> None:
    slow, fast = machines
    facts = await trial_of(slow).paid("INV-1")
    (row,) = await slow.lease(OutboxKind.EVENT, limit=5, lease_s=600)
    assert await fast.lease(OutboxKind.EVENT, limit=5, lease_s=600) == ()
    assert row.leased_until is not None
    assert abs(row.leased_until - facts.payment.updated_at - timedelta(minutes=10)) < 5 * SECOND
    claim = await trial_of(slow).claim_execute(await trial_of(slow).awaiting("INV-2"))
    assert isinstance(claim, Claim)
    assert not isinstance(await fast.claim("acme", claim.operation_id, LONG), Claim)
    assert abs(claim.send_by - fast.now() - timedelta(minutes=10)) < 5 * SECOND
    ask = GrantAsk(permit="p", now=slow._time.clock.now(), limit=1, window_s=3600, lease_s=60)
    granted = await slow.grant_reserve("d" * 64, ask)
    assert isinstance(granted, GrantReserved)
    late = GrantAsk(permit="q", now=fast._time.clock.now(), limit=1, window_s=3600, lease_s=60)
    assert not isinstance(await fast.grant_reserve("d" * 64, late), GrantReserved), (
        "three hours have not passed"
    )


async def test_a_clock_that_is_set_is_noticed_by_the_next_transaction(dsn: str) -> None:
    machine = Machine(timedelta(0))
    store = PostgresStore(dsn, clock=machine)
    await store.open()
    made = await trial_of(store).reserved("INV-1")
    machine.wrong = timedelta(hours=5)
    claim = await store.claim("acme", made.operation.operation_id, LONG)
    assert isinstance(claim, Claim)
    true = await database_time(dsn)
    assert abs(claim.send_by - true - timedelta(minutes=10)) < SECOND
    machine.wrong = timedelta(hours=-5)
    await store.get("acme", "pay_INV-1")
    assert abs(store.now() - true) < 5 * SECOND
    await store.close()


@pytest.mark.parametrize("setting", ["on", "off"])
async def test_a_worker_that_only_leases_asks_now_and_then(dsn: str, setting: str) -> None:
    """In one statement, or in a transaction of ours where the server's settings ask for one."""
    machine = Machine(timedelta(0))
    store = PostgresStore(f"{dsn}?synchronous_commit={setting}", clock=machine)
    await store.open()
    machine.wrong = timedelta(hours=5)
    store._time._learned_s = machine.monotonic() - 31
    await store.lease(OutboxKind.EVENT, limit=1, lease_s=1)
    assert abs(store.now() - await database_time(dsn)) < 5 * SECOND
    await store.close()


async def test_a_clock_that_is_given_is_taken_as_it_is(dsn: str) -> None:
    clock = FakeClock()
    store = PostgresStore(dsn, clock=clock)
    await store.open()
    assert store.now() == clock.now()
    await trial_of(store).reserved("INV-1")
    clock.advance(7)
    assert store.now() == clock.now()
    await store.close()


def test_what_is_learned_lies_between_its_bounds() -> None:
    clock = FakeClock()
    time = DatabaseTime(clock, follows=True)
    here = clock.now()
    assert time.is_stale
    time.learn(here, here + 10 * SECOND, here + 2 * SECOND)  # eight to ten seconds ahead of us
    assert time.now() - here == 8 * SECOND
    time.learn(here, here + 9 * SECOND, here + 8 * SECOND)  # a slow answer: one to nine, nothing new
    assert time.now() - here == 8 * SECOND
    time.learn(here, here + 9 * SECOND, here + SECOND / 2)  # a quick one: eight and a half to nine
    assert time.now() - here == 8.5 * SECOND
    time.learn(here, here - 3 * SECOND, here + SECOND)  # somebody has set a clock
    assert time.now() - here == -3 * SECOND
    time.learn(here + 9 * SECOND, here, here)  # ours went back while we asked: nothing is learned
    assert time.now() - here == -3 * SECOND
    assert not time.is_stale
    clock.advance(31)
    assert time.is_stale


async def test_times_come_back_to_the_microsecond(dsn: str) -> None:
    clock = FakeClock(datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
    store = PostgresStore(dsn, clock=clock)
    await store.open()
    made = await trial_of(store).reserved("INV-1")
    assert made.facts.payment.created_at == clock.now()
    (listed,) = (await store.list(since=clock.now())).rows
    assert listed.created_at == clock.now()
    assert (await store.list(since=clock.now() + timedelta(microseconds=1))).rows == ()
    await store.close()
    await asyncio.sleep(0)

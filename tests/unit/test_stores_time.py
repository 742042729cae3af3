"""Leases and claims on the store's clock: to the microsecond, and when the clock is set back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.plans import Busy, Claim, ClaimTerms, Unresolved
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.stores.columns import Position, from_micros, to_micros
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.store_trial import StoreTrial
from vextrus_payments.testing.time import EPOCH

TERMS = ClaimTerms(send_window_s=10, settle_s=60, one_refund_at_a_time=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(
    request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[PaymentStore]:
    made: PaymentStore = MemoryStore(clock=clock)
    if request.param == "sqlite":
        made = SqliteStore(tmp_path / "payments.db", clock=clock)
    await made.open()
    yield made
    await made.close()


def trial_of(store: PaymentStore) -> StoreTrial:
    async def never(_: float) -> None:
        raise AssertionError

    return StoreTrial(store, store, never)


async def test_a_claim_is_over_at_its_last_moment_and_not_before(
    store: PaymentStore, clock: FakeClock
) -> None:
    facts = await trial_of(store).awaiting("INV-1")
    claim = await trial_of(store).claim_execute(facts, TERMS)
    assert isinstance(claim, Claim)
    assert claim.send_by == clock.now() + timedelta(seconds=10)
    clock.advance(69.999999)
    busy = await trial_of(store).claim_execute(facts, TERMS)
    assert isinstance(busy, Busy) and busy.retry_after_s == 1
    clock.advance(0.000001)
    assert isinstance(await trial_of(store).claim_execute(facts, TERMS), Unresolved)


async def test_a_claim_is_timed_when_it_is_taken(store: PaymentStore, clock: FakeClock) -> None:
    """Not when it was asked for: waiting for the store's lock must not eat the time for sending."""
    facts = await trial_of(store).awaiting("INV-1")
    asked = trial_of(store).claim_execute(facts, TERMS)
    clock.advance(30)
    claim = await asked
    assert isinstance(claim, Claim)
    assert claim.send_by == clock.now() + timedelta(seconds=10)


async def test_a_lease_ends_at_its_moment(store: PaymentStore, clock: FakeClock) -> None:
    await trial_of(store).paid("INV-1")
    (row,) = await store.lease(OutboxKind.EVENT, limit=5, lease_s=10)
    clock.advance(9.999999)
    assert await store.lease(OutboxKind.EVENT, limit=5, lease_s=10) == ()
    clock.advance(0.000001)
    (row2,) = await store.lease(OutboxKind.EVENT, limit=5, lease_s=10)
    assert replace(row2, leased_until=row.leased_until) == row
    assert row2.leased_until == clock.now() + timedelta(seconds=10)
    await store.nack(row, retry_at=clock.now(), why="no longer the holder")
    assert await store.lease(OutboxKind.EVENT, limit=5, lease_s=10) == ()
    retry_at = clock.now() + timedelta(seconds=3)
    await store.nack(row2, retry_at=retry_at, why="not now")
    clock.advance(2.999999)
    assert await store.lease(OutboxKind.EVENT, limit=5, lease_s=10) == ()
    clock.advance(0.000001)
    (again,) = await store.lease(OutboxKind.EVENT, limit=5, lease_s=10)
    assert (again.attempts, again.next_at) == (1, retry_at)


async def test_news_is_due_at_once_although_the_clock_was_set_back(
    store: PaymentStore, clock: FakeClock
) -> None:
    await trial_of(store).paid("INV-1")
    clock.step_wall(-86_400)
    assert len(await store.lease(OutboxKind.EVENT, limit=5, lease_s=10)) == 1


async def test_listings_are_in_order_although_the_clock_was_set_back(
    store: PaymentStore, clock: FakeClock
) -> None:
    await trial_of(store).reserved("INV-1")
    clock.step_wall(-60)
    await trial_of(store).reserved("INV-2")
    assert [p.merchant_reference for p in (await store.list()).rows] == ["INV-2", "INV-1"]
    second = await store.list(cursor=(await store.list(limit=1)).cursor)
    assert [p.merchant_reference for p in second.rows] == ["INV-1"]


async def test_a_time_without_a_zone_is_refused(store: PaymentStore) -> None:
    with pytest.raises(InvalidRequestError, match="zone"):
        await store.list(since=EPOCH.replace(tzinfo=None))


def test_micros_are_exact() -> None:
    for moment in (
        EPOCH,
        EPOCH.replace(microsecond=999_999),
        EPOCH.replace(year=1969),
        EPOCH.replace(year=2999),
    ):
        assert from_micros(to_micros(moment)) == moment


@pytest.mark.parametrize("position", [Position(0, 1), Position(-5, 7), Position(2**55, 2**50)])
def test_a_cursor_comes_back(position: Position) -> None:
    assert Position.of(position.cursor()) == position
    assert Position.of(None) is None

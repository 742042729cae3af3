"""A store that fails while a payout is under way: what the gateway tells once is not lost for a hiccup."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.flows.payouts import CHECKOUT, PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import kept
from tests.flows.test_payouts_reviewed import found
from vextrus_payments import OutcomeNotRecordedError, Pending, Sent, StorageError, Unknown
from vextrus_payments.records import OperationState
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import SqliteStore


class AwayStore:
    """A store that takes no payout's plan for so long, once the gateway was asked to pay."""

    def __init__(self, real: PaymentStore, shop: PayingShop) -> None:
        self._real, self._shop = real, shop
        self.away_s = 0
        self.back_at: datetime | None = None
        self.held: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def commit_payout(self, plan: Any) -> Any:
        if self.held is not None and plan.payout.state is OperationState.SUBMITTING:
            await self.held.wait()
        if self._shop.calls("payout"):
            self.back_at = self.back_at or self._shop.clock.now() + timedelta(seconds=self.away_s)
            if self._shop.clock.now() < self.back_at:
                raise StorageError("The database does not answer.")
        return await self._real.commit_payout(plan)


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[PayingShop, AwayStore]]:
    async with paying_shop(tmp_path, store="memory://") as first:
        real = SqliteStore(tmp_path / "away.db", clock=first.clock)
        store = AwayStore(real, first)
        gateways = {"bkash": paying_config(first.server, CHECKOUT)}
        shop = PayingShop(first.server, store, first.clock, gateways=gateways, seed=11)  # type: ignore[arg-type]
        async with shop.payments:
            yield shop, store


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[tuple[PayingShop, AwayStore]]:
    async with opened(tmp_path) as both:
        yield both


async def test_the_one_answer_is_kept_when_the_store_comes_back(place: tuple[PayingShop, AwayStore]) -> None:
    shop, store = place
    store.away_s = 15
    made = await shop.pay()
    assert isinstance(made, Sent) and shop.sent == 1
    assert await shop.fired() == ["payout.sent"]


async def test_a_store_that_stays_away_costs_no_knowledge(place: tuple[PayingShop, AwayStore]) -> None:
    shop, store = place
    store.away_s = 100
    with pytest.raises(OutcomeNotRecordedError) as lost:
        await shop.pay()
    (there,) = shop.server.world.gateways["bkash"].rules.payouts.by_trx.values()
    text = str(lost.value)
    assert there.trx_id in text and "250.50 BDT" in text and "Never pay it again" in text
    assert lost.value.operation_id == "salary-1" and lost.value.__context__ is None
    shop.clock.advance(LONG_S)
    assert isinstance(await shop.pay(), Unknown) and shop.sent == 1
    shop.clock.advance(LONG_S)
    await shop.payments.resolve_payout(found(await kept(shop), there.trx_id, "250.50"))
    assert isinstance(await shop.pay(), Sent) and shop.sent == 1


async def test_who_stops_waiting_is_not_told_that_nothing_will_leave(
    place: tuple[PayingShop, AwayStore],
) -> None:
    shop, store = place
    store.held = asyncio.Event()
    patient = asyncio.create_task(shop.pay())
    try:
        while await shop.payments.find_payout("salary-1") is None:
            await asyncio.sleep(0)
        waiting = await shop.payments.payout(shop.wanted(), wait_s=0.01)
        assert isinstance(waiting, Pending) and waiting.sent
    finally:
        store.held.set()
    assert isinstance(await patient, Sent) and shop.sent == 1

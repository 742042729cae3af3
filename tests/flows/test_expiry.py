"""R10: a session is over exactly when it is over, whatever clocks say, wherever the shop stands."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.flows.shop import Shop, shop_open
from vextrus_payments import Declined, Paid, PaymentSession, ReasonCode, Unknown
from vextrus_payments.records import PaymentFacts, PaymentState
from vextrus_payments.stores import open_store
from vextrus_payments.testing import FakeClock

DAY_S = 86_400
MARGIN_S = 60


async def end(shop: Shop, session: PaymentSession) -> PaymentState:
    facts: PaymentFacts = await shop.payments._open_engine().end_session("default", session.payment_id)
    return facts.payment.state


@pytest.fixture(params=["Asia/Dhaka", "America/New_York", "UTC"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    """The machine's own time zone; nothing may depend on it."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = request.param
    time.tzset()
    yield request.param
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    "begins",
    [
        datetime(2026, 3, 7, 18, 0, tzinfo=UTC),  # New York's clocks go forward within the day
        datetime(2026, 10, 31, 18, 0, tzinfo=UTC),  # and back
        datetime(2028, 2, 28, 18, 30, tzinfo=UTC),  # a leap day begins in Dhaka
        datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
async def test_after_24_hours_and_a_minute_and_not_before(
    tmp_path: Path, zone: str, begins: datetime
) -> None:
    clock = FakeClock(begins)
    async with shop_open(tmp_path, clock) as shop:
        session = await shop.approved("INV-1")
        clock.advance(DAY_S + MARGIN_S - 1)
        assert await end(shop, session) is PaymentState.AWAITING_PAYER
        clock.advance(1)
        assert await end(shop, session) is PaymentState.CLOSED
        outcome = await shop.payments.execute(session.payment_id)
        assert isinstance(outcome, Declined)
        assert outcome.reason.code is ReasonCode.PAYMENT_EXPIRED
        assert shop.calls("execute") == 0
        assert await shop.fired() == ["payment.closed"]


@pytest.mark.parametrize("skew_s", [DAY_S, -DAY_S])
async def test_a_store_whose_clock_is_a_day_off_ends_nothing_early(tmp_path: Path, skew_s: int) -> None:
    ours, theirs = FakeClock(), FakeClock()
    theirs.step_wall(skew_s)
    store = open_store(f"sqlite:///{tmp_path / 'shop.db'}", clock=theirs)
    async with shop_open(tmp_path, ours, store=store) as shop:
        session = await shop.open("INV-1")
        for clock in (ours, theirs):
            clock.advance(DAY_S + MARGIN_S - 1)
        assert await end(shop, session) is PaymentState.AWAITING_PAYER
        for clock in (ours, theirs):
            clock.advance(1 + DAY_S)
        assert await end(shop, session) is PaymentState.CLOSED, "later at most, never for ever"


@pytest.mark.parametrize("steps_s", [(2 * DAY_S,), (-DAY_S,), (2 * DAY_S, -2 * DAY_S), (-DAY_S, DAY_S)])
async def test_a_clock_that_is_set_during_the_flow_ends_nothing_early(
    tmp_path: Path, steps_s: tuple[int, ...]
) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock) as shop:
        session = await shop.approved("INV-1")
        for step_s in steps_s:
            clock.step_wall(step_s)
            assert await end(shop, session) is PaymentState.AWAITING_PAYER
        clock.advance(3600)
        assert await end(shop, session) is PaymentState.AWAITING_PAYER
        if sum(steps_s) == 0:
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)


async def test_nothing_is_ended_while_an_execute_is_out(tmp_path: Path) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock) as shop:
        session = await shop.approved("INV-1")
        shop.fault("execute", "drop_after")
        shop.fault("query", "drop_before", times=90)
        assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
        clock.advance(3 * DAY_S)
        assert await end(shop, session) is PaymentState.AWAITING_PAYER
        shop.server.app.state.faults.clear()
        await shop.payments._open_engine().look("default", session.payment_id)
        assert await end(shop, session) is PaymentState.PAID
        await shop.check_books()


async def test_one_whose_session_never_came_is_closed_too(tmp_path: Path) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock) as shop:
        shop.fault("create", "drop_before", times=90)
        with pytest.raises(Exception):  # noqa: B017 - whatever the line raises
            await shop.open("INV-1")
        (facts,) = await shop.payments.find(merchant_reference="INV-1")
        clock.advance(DAY_S + 2 * MARGIN_S + 300)
        after = await shop.payments._open_engine().end_session("default", facts.payment.payment_id)
        assert after.payment.state is PaymentState.CLOSED
        assert not [o for o in after.operations if o.state not in ("cancelled", "succeeded", "declined")]

"""Browsers' returns are anybody's word, and free: however many name one payment, the gateway is asked now and then.

Counted on the sandbox's own wire log. The other half: a return that says success is never turned away for a flood.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flows.held import PATIENCE_S
from tests.flows.shop import Shop, shop_open
from vextrus_payments import ConsentRequest, Paid, PaymentSession, Pending
from vextrus_payments.engine import EngineLimits, ReturnResult, returning
from vextrus_payments.errors import AlreadyPaidError, ConfigurationError
from vextrus_payments.records import AgreementLife
from vextrus_payments.testing import FakeClock


class Dozing:
    """A Sleeper that wakes its sleepers when the test lets time pass."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._asleep: list[tuple[float, asyncio.Event]] = []
        self.over = False

    async def sleep(self, seconds: float) -> None:
        if self.over:
            return
        awake = asyncio.Event()
        self._asleep.append((self._clock.monotonic() + seconds, awake))
        await awake.wait()

    @property
    def asleep(self) -> int:
        return len(self._asleep)

    def pass_time(self, seconds: float) -> bool:
        """Whether that woke anybody."""
        self._clock.advance(seconds)
        due = [one for one in self._asleep if one[0] <= self._clock.monotonic() + 1e-6]
        for one in due:
            self._asleep.remove(one)
            one[1].set()
        return bool(due)


@asynccontextmanager
async def dozing_shop(tmp_path: Path, **limits: Any) -> AsyncIterator[tuple[Shop, Dozing]]:
    clock = FakeClock()
    sleeper = Dozing(clock)
    async with shop_open(tmp_path, clock, sleeper=sleeper, limits=EngineLimits(**limits)) as shop:
        try:
            yield shop, sleeper
        finally:  # a test that fails must not hang on who sleeps
            sleeper.over = True
            sleeper.pass_time(3_600)


def back(shop: Shop, named: Any, status: str = "success", **options: Any) -> Awaitable[ReturnResult]:
    return shop.payments.handle_return(
        "bkash", {"paymentID": named.gateway_reference, "status": status}, **options
    )


async def settled(sleeper: Dozing) -> None:
    """Let what has been begun come to its pause."""
    async with asyncio.timeout(PATIENCE_S):
        while not sleeper.asleep:
            await asyncio.sleep(0.001)


async def flood(shop: Shop, sleeper: Dozing, session: PaymentSession, status: str) -> None:
    """200 returns over ten seconds, one each 50 ms, and the pause after them.

    No time passes before each of them has its answer or waits for its turn, however long the machine takes for that.
    """
    turns = shop.payments._open_engine()._returning
    in_turn, waiting = turns._in_turn, 0

    async def counted(*asked: Any) -> Any:
        nonlocal waiting
        waiting += 1
        return await in_turn(*asked)

    turns._in_turn = counted  # type: ignore[method-assign, assignment]
    tabs: list[asyncio.Future[ReturnResult]] = []
    for _ in range(200):
        before = waiting
        tabs.append(asyncio.ensure_future(back(shop, session, status)))
        if len(tabs) == 1 or sleeper.pass_time(0.05):
            await asyncio.wait(tabs)  # whoever was held up waited for the same
            continue
        async with asyncio.timeout(PATIENCE_S):
            while not tabs[-1].done() and not (waiting > before and sleeper.asleep):
                await asyncio.sleep(0.001)
    sleeper.pass_time(5)
    for result in await asyncio.gather(*tabs):
        assert (
            isinstance(result.outcome, Pending) and result.redirect_to == "https://shop.example/orders/INV-1"
        )


@pytest.mark.parametrize(
    ("status", "executes", "queries"), [("success", 1, 1), ("cancel", 0, 1), ("failure", 0, 1)]
)
async def test_a_burst_of_returns_asks_once(tmp_path: Path, status: str, executes: int, queries: int) -> None:
    """The sandbox refuses an execute before the payer agreed (2056), and bKash wants a query after that."""
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        results = await asyncio.gather(*(back(shop, session, status) for _ in range(200)))
        assert {type(result.outcome) for result in results} == {Pending}
        assert (shop.calls("execute"), shop.calls("query")) == (executes, queries)
        assert not sleeper.asleep


@pytest.mark.parametrize(
    ("status", "executes", "queries"), [("success", 5, 5), ("cancel", 0, 4), ("failure", 0, 4)]
)
async def test_ten_seconds_of_returns_ask_now_and_then(
    tmp_path: Path, status: str, executes: int, queries: int
) -> None:
    """At 0, 3, 6 and 9 s; a success that came after the last of these is not dropped, and asks at 12 s."""
    async with dozing_shop(tmp_path) as (shop, sleeper):
        await flood(shop, sleeper, await shop.open(), status)
        assert (shop.calls("execute"), shop.calls("query")) == (executes, queries)


async def test_without_a_pause_each_return_asks(tmp_path: Path) -> None:
    """What the pause is for."""
    async with dozing_shop(tmp_path, return_pause_s=0.0) as (shop, _):
        session = await shop.open()
        for _ in range(20):
            await back(shop, session, "cancel")
            await back(shop, session)
        assert (shop.calls("execute"), shop.calls("query")) == (20, 40)


async def test_a_flood_of_cancels_holds_up_no_execute(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.approved()
        await asyncio.gather(*(back(shop, session, "cancel") for _ in range(50)))
        assert isinstance((await back(shop, session)).outcome, Paid)
        assert not sleeper.asleep
        queries = shop.calls("query")
        for status in ("success", "cancel", "failure") * 10:
            assert isinstance((await back(shop, session, status)).outcome, Paid)
        assert shop.calls("query") == queries, "what is over is asked about by nobody"
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_the_true_return_amid_forged_ones_is_executed_when_the_pause_is_over(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        await back(shop, session)  # forged, before the payer agreed
        shop.approve(session)
        tabs = [asyncio.ensure_future(back(shop, session)) for _ in range(20)]
        await settled(sleeper)
        assert shop.calls("execute") == 1
        sleeper.pass_time(3)
        for result in await asyncio.gather(*tabs):
            assert isinstance(result.outcome, Paid)
        assert shop.moved() == {"execute": 1} and shop.calls("execute") == 2
        await shop.check_books()


async def test_a_browser_that_waits_no_longer_leaves_the_execute_behind(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        await back(shop, session)
        shop.approve(session)
        assert isinstance((await back(shop, session, wait_s=0.01)).outcome, Pending)
        gone = asyncio.ensure_future(back(shop, session))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert shop.calls("execute") == 1 and sleeper.asleep == 1
        sleeper.pass_time(3)
        assert isinstance((await back(shop, session)).outcome, Paid)
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_the_shops_own_calls_neither_wait_nor_count(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        await back(shop, session, "cancel")
        await back(shop, session)
        queries = shop.calls("query")
        for _ in range(3):
            assert isinstance(await shop.payments.status(session.payment_id), Pending)
        assert shop.calls("query") == queries + 3
        shop.approve(session)
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        assert not sleeper.asleep


async def test_what_was_settled_otherwise_meanwhile_is_not_waited_for(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        await back(shop, session)
        shop.approve(session)
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        assert isinstance((await back(shop, session)).outcome, Paid)
        assert not sleeper.asleep


async def test_two_tabs_of_which_one_was_read_before_the_other_paid_wait_for_nothing(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.approved()
        before = await shop.payments.store.get("default", session.payment_id)
        assert before is not None
        await back(shop, session)
        late = asyncio.ensure_future(shop.payments._open_engine()._returning.execute(before, None))
        await asyncio.wait({late}, timeout=PATIENCE_S)
        assert not sleeper.asleep and isinstance(late.result(), Paid)


async def test_what_our_own_records_forbid_is_told_at_once_each_time(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        first = await shop.approved()
        second = await shop.approved(operation_id="INV-1/other-tab")
        await back(shop, first)
        for _ in range(3):
            with pytest.raises(AlreadyPaidError):
                await back(shop, second)
        assert not sleeper.asleep and shop.calls("execute") == 1


async def test_each_payment_pauses_for_itself(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        one, two = await shop.open("INV-1"), await shop.approved("INV-2")
        await asyncio.gather(*(back(shop, one) for _ in range(20)))
        assert isinstance((await back(shop, two)).outcome, Paid)
        assert not sleeper.asleep


async def test_an_agreements_returns_pause_too(tmp_path: Path) -> None:
    async with dozing_shop(tmp_path) as (shop, sleeper):
        agreement = await shop.payments.create_agreement(
            ConsentRequest(operation_id="agree-1", gateway="bkash", payer_reference="01770618575")
        )
        await asyncio.gather(*(back(shop, agreement) for _ in range(50)))
        early = shop.calls("execute")
        shop.approve(agreement)  # type: ignore[arg-type]
        tabs = [asyncio.ensure_future(back(shop, agreement)) for _ in range(20)]
        await settled(sleeper)
        sleeper.pass_time(3)
        for result in await asyncio.gather(*tabs):
            assert result.agreement is not None and result.agreement.state is AgreementLife.ACTIVE
        assert (early, shop.calls("execute")) == (1, 2)
        asked = shop.calls()
        for _ in range(50):
            await back(shop, agreement, "cancel")
        assert shop.calls() == asked + 1, "one that holds is looked up, for it may have been cancelled"


async def test_what_is_remembered_of_returns_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(returning, "_REMEMBERED_MAX", 3)
    async with dozing_shop(tmp_path) as (shop, _):
        sessions = [await shop.open(f"INV-{number}") for number in range(5)]
        for session in sessions:
            await back(shop, session, "cancel")
        assert shop.calls("query") == 5
        await back(shop, sessions[4], "cancel")
        assert shop.calls("query") == 5
        await back(shop, sessions[0], "cancel")
        assert shop.calls("query") == 6


async def test_closing_begins_no_execute(tmp_path: Path) -> None:
    """Its browser is told to come again; an opened shop executes."""
    async with dozing_shop(tmp_path) as (shop, sleeper):
        session = await shop.open()
        await back(shop, session)
        shop.approve(session)
        tab = asyncio.ensure_future(back(shop, session))
        await settled(sleeper)
        closing = asyncio.ensure_future(shop.payments.aclose())
        await asyncio.sleep(0.01)
        sleeper.pass_time(3)
        await closing
        with pytest.raises(ConfigurationError):
            await tab
        assert shop.calls("execute") == 1
        await shop.payments.open()
        assert isinstance((await back(shop, session)).outcome, Paid)

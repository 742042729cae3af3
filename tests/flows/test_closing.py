"""Closing lets everything that was begun be recorded, begins nothing more, and can be followed by another opening."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flows.held import PATIENCE_S, Held
from tests.flows.shop import Shop, shop_open
from vextrus_payments import (
    ConfigurationError,
    LedgerEntry,
    Money,
    Paid,
    Pending,
    Refunded,
    RefundRequest,
)
from vextrus_payments.errors import StorageError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.records import PaymentFacts
from vextrus_payments.snapshots import PaymentSnapshot
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer

EXECUTE = BkashGateway.execute_payment


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop on one store; what differs from store to store says so."""
    async with shop_open(tmp_path) as opened:
        yield opened


def held_execute(monkeypatch: pytest.MonkeyPatch) -> Held:
    """From now on an execute waits at the adapter's door until it is let go."""
    held = Held()

    async def execute(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        await held.wait()
        return await EXECUTE(self, *args, **kwargs)

    monkeypatch.setattr(BkashGateway, "execute_payment", execute)
    return held


async def turns(count: int = 20) -> None:
    """Let everybody else have a few turns."""
    for _ in range(count):
        await asyncio.sleep(0)


# --- closing ------------------------------------------------------------------------------------------------------


async def test_closing_waits_until_what_was_claimed_is_recorded(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    with held_execute(monkeypatch) as held:
        caller = asyncio.create_task(shop.payments.execute(session.payment_id))
        await held.reached()
        closing = asyncio.create_task(shop.payments.aclose())
        await turns()
        assert not closing.done()
        held.let_go()
        await closing
        assert isinstance(await caller, Paid)
        async with shop.payments:
            facts = await shop.payments.get(session.payment_id)
            assert facts is not None
            assert [receipt.amount for receipt in facts.receipts] == [Money("100", "BDT")]
            await shop.check_books()


class SlowReading(MemoryStore):
    """A store in which one reading takes its time."""

    held: Held | None = None

    async def get(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        facts = await super().get(tenant, payment_id)
        held, self.held = self.held, None
        if held is not None:
            await held.wait()
        return facts


async def test_what_had_not_begun_when_closing_began_is_refused(tmp_path: Path) -> None:
    clock, booking, reading = FakeClock(), Held(), Held()
    store = SlowReading(clock=clock)

    async def ledger(entry: LedgerEntry) -> None:
        await booking.wait()

    async with shop_open(tmp_path, clock, store=store, ledger=ledger, workers=True) as shop:
        with booking, reading:
            second = await shop.approved("INV-2", "200")
            first = await shop.approved("INV-1")
            assert isinstance(await shop.payments.execute(first.payment_id), Paid)
            await booking.reached()
            store.held = reading
            caller = asyncio.create_task(shop.payments.execute(second.payment_id))
            await reading.reached()
            # The ledger keeps the closing busy; meanwhile the caller comes as far as sending.
            closing = asyncio.create_task(shop.payments.aclose())
            await turns()
            reading.let_go()
            with pytest.raises(ConfigurationError) as caught:
                await caller
            assert caught.value.code == "not_open"
            booking.let_go()
            await closing
            assert shop.calls("execute") == 1


async def test_verbs_of_a_closed_payments_are_refused(shop: Shop) -> None:
    session = await shop.open()
    tenant = shop.payments.for_tenant("default")
    await shop.payments.aclose()
    calls = shop.calls()
    for call in (
        shop.open("INV-2"),
        shop.payments.execute(session.payment_id),
        shop.payments.status(session.payment_id),
        shop.payments.refund(RefundRequest(operation_id="r", payment_id=session.payment_id)),
        shop.payments.deliver(),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await call
        assert caught.value.code == "not_open"
    with pytest.raises((ConfigurationError, StorageError)):
        await tenant.execute(session.payment_id)
    assert shop.calls() == calls


async def test_a_closing_whose_caller_gave_up_goes_on_and_can_be_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "shop.db", clock=clock)
    async with shop_open(tmp_path, clock, store=store, workers=True) as shop:
        session = await shop.approved()
        with held_execute(monkeypatch) as held:
            caller = asyncio.create_task(shop.payments.execute(session.payment_id))
            await held.reached()
            giving_up = asyncio.create_task(shop.payments.aclose())
            await turns()
            giving_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await giving_up
            both = asyncio.gather(shop.payments.aclose(), shop.payments.aclose())
            await turns()
            assert not both.done()
            held.let_go()
            await both
            assert isinstance(await caller, Paid)
            with pytest.raises(StorageError):
                await store.get("default", session.payment_id)
            await shop.payments.aclose()


async def test_closing_what_was_never_opened_does_nothing(tmp_path: Path) -> None:
    async with SandboxServer(seed=1) as server:
        shop = Shop(server, f"sqlite:///{tmp_path / 'shop.db'}", FakeClock())
        await shop.payments.aclose()
        async with shop.payments:
            await shop.open()


# --- opening again ------------------------------------------------------------------------------------------------


async def test_payments_can_be_opened_again_and_again(tmp_path: Path) -> None:
    took = asyncio.Event()
    entries: list[LedgerEntry] = []

    async def ledger(entry: LedgerEntry) -> None:
        entries.append(entry)
        took.set()

    async with shop_open(tmp_path, ledger=ledger, workers=True) as shop:
        session = await shop.approved("INV-0")
        await shop.payments.aclose()
        for number in (1, 2):
            took.clear()
            async with shop.payments as payments:
                # What the opening before left is finished, new things begin, and the worker hands over.
                assert isinstance(await payments.execute(session.payment_id), Paid)
                session = await shop.approved(f"INV-{number}", f"20{number}")
                async with asyncio.timeout(PATIENCE_S):
                    await took.wait()
            with pytest.raises(ConfigurationError):
                await payments.status(session.payment_id)
        await shop.payments.open()
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        refund = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("5"))
        assert isinstance(await shop.payments.refund(refund), Refunded)
        assert shop.calls("grant") == 1
        assert shop.moved() == {"execute": 3, "refund": 1}


async def test_a_memory_store_is_opened_again_with_what_it_held(tmp_path: Path) -> None:
    async with shop_open(tmp_path, store="memory://") as shop:
        session = await shop.approved()
        await shop.payments.aclose()
        async with shop.payments:
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
            await shop.check_books()


async def test_what_is_still_closing_is_not_opened(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await shop.approved()
    with held_execute(monkeypatch) as held:
        caller = asyncio.create_task(shop.payments.execute(session.payment_id))
        await held.reached()
        closing = asyncio.create_task(shop.payments.aclose())
        await turns()
        with pytest.raises(ConfigurationError) as caught:
            await shop.payments.open()
        assert caught.value.code == "closing"
        held.let_go()
        await closing
        assert isinstance(await caller, Paid)
        async with shop.payments:
            assert isinstance(await shop.payments.status(session.payment_id), Paid)


async def test_an_opening_that_failed_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "not made yet"
    async with SandboxServer(seed=1) as server:
        shop = Shop(server, f"sqlite:///{folder / 'shop.db'}", FakeClock())
        with pytest.raises(StorageError):
            await shop.payments.open()
        with pytest.raises(ConfigurationError):
            await shop.open()
        await shop.payments.aclose()
        folder.mkdir()
        async with shop.payments:
            await shop.open()


@contextmanager
def sandbox_beside(clock: FakeClock) -> Iterator[SandboxServer]:
    """A sandbox in a thread and a loop of its own, which outlives the loops of the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = SandboxServer(clock=clock, seed=1)
    try:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(PATIENCE_S)
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(PATIENCE_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.parametrize("store", ["sqlite", "memory"])
def test_payments_can_be_opened_in_one_event_loop_after_the_other(tmp_path: Path, store: str) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    clock = FakeClock()

    async def trade(shop: Shop, name: str, amount: str, waiting: list[str]) -> None:
        async with shop.payments as payments:
            for payment_id in waiting:
                assert isinstance(await payments.execute(payment_id), Paid)
            session = await shop.approved(name, amount)
            bought = await shop.approved(f"{name}/bought", f"{amount}.50")
            assert isinstance(await payments.execute(bought.payment_id), Paid)
            refund = RefundRequest(operation_id=f"{name}/r", payment_id=bought.payment_id, amount=Money("1"))
            assert isinstance(await payments.refund(refund), Refunded)
            waiting[:] = [session.payment_id]
            async with asyncio.timeout(PATIENCE_S):
                while len(shop.entries) < 2:
                    await asyncio.sleep(0.005)
            shop.entries.clear()

    with sandbox_beside(clock) as server:
        shop, waiting = Shop(server, url, clock, workers=True), list[str]()
        for number in (1, 2, 3):
            asyncio.run(trade(shop, f"INV-{number}", f"{number}00", waiting))
        assert shop.moved() == {"execute": 5, "refund": 3}
        assert shop.calls("grant") == 1


async def test_two_openings_at_once_start_one_worker_and_a_kept_tenant_survives_reopening(
    tmp_path: Path,
) -> None:
    async with shop_open(tmp_path, workers=True) as shop:
        kept = shop.payments.for_tenant("default")
        session = await shop.open()
        await shop.payments.aclose()
        await asyncio.gather(*(shop.payments.open() for _ in range(5)))
        workers = [t for t in asyncio.all_tasks() if t.get_name() == "vextrus-payments-outbox"]
        assert len(workers) == 1
        assert isinstance(await kept.status(session.payment_id), Pending)

"""Rule 16: a restored backup is noticed by the mark outside the database, and no money is moved over it."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.flows.shop import Shop, shop_open
from vextrus_payments import (
    Authorized,
    Paid,
    ReconciliationRequiredError,
    Refunded,
    RefundRequest,
    StorageError,
)
from vextrus_payments.engine import EpochGuard
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.errors import Effect
from vextrus_payments.ids import Ids
from vextrus_payments.observe import NullObserver
from vextrus_payments.payment import ConsentRequest, Intent
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import open_store
from vextrus_payments.testing import FakeClock, FakeEntropy, FakeSleeper


class MemoryMark:
    """A mark that can be watched and be made to fail."""

    def __init__(self, text: str | None = None) -> None:
        self.text = text
        self.fails = False

    async def read(self) -> str | None:
        return self.text

    async def write(self, text: str) -> None:
        if self.fails:
            raise StorageError("The disk is gone.")
        self.text = text


def backed_up(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        shutil.copy(file, tmp_path / f"backup-{file.name}")


def restored(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        file.unlink()
    for file in tmp_path.glob("backup-*"):
        shutil.copy(file, tmp_path / file.name.removeprefix("backup-"))


async def test_what_was_executed_after_the_backup_is_not_executed_again(tmp_path: Path) -> None:
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with shop_open(tmp_path, clock, epoch=mark) as shop:
        session = await shop.approved("INV-1")
        other = await shop.approved("INV-2", amount="70")
        held = await shop.approved("INV-3", amount="80", intent=Intent.AUTHORIZATION)
        assert isinstance(await shop.payments.execute(held.payment_id), Authorized)
        done = await shop.approved("INV-4", amount="90")
        assert isinstance(await shop.payments.execute(done.payment_id), Paid)
        asked = await shop.payments.create_agreement(
            ConsentRequest(operation_id="u", gateway="bkash", payer_reference="c")
        )
        await shop.payments.aclose()
        backed_up(tmp_path)
        async with shop.payments:
            clock.advance(61)
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        restored(tmp_path)
        async with shop.payments:
            state = await shop.payments.epoch()
            assert state.configured and state.restored
            refusing = (
                shop.payments.execute(session.payment_id),
                shop.payments.execute(other.payment_id),
                shop.payments.capture(held.payment_id),
                shop.payments.void(held.payment_id),
                shop.payments.refund(RefundRequest(operation_id="r", payment_id=done.payment_id)),
                shop.payments.execute_agreement(asked.agreement_key),
            )
            for call in refusing:
                with pytest.raises(ReconciliationRequiredError) as refused:
                    await call
                assert refused.value.effect is Effect.NONE
                assert "reconcile --since" in str(refused.value)
            assert shop.calls("execute") == 3 and shop.calls("capture") == shop.calls("refund") == 0
            facts = await shop.payments.get(held.payment_id)
            assert facts is not None and len(facts.operations) == 2, (
                "no intent is left behind to be carried on"
            )

            # Another process on the store, without a mark of its own, refuses too.
            blind = Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", clock, seed=9)
            async with blind.payments:
                with pytest.raises(ReconciliationRequiredError):
                    await blind.payments.execute(other.payment_id)
            # What moves nothing goes on: looking, and opening sessions, under order ids nobody has seen.
            assert isinstance(await shop.payments.status(session.payment_id), Paid)
            new = await shop.open("INV-5")
            assert new.gateway_order_id == "INV-5-101"

            await shop.payments._open_engine().accept_restored()
            assert (await shop.payments.epoch()).restored is None
            assert isinstance(await shop.payments.execute(other.payment_id), Paid)
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
            assert isinstance(await shop.payments.capture(held.payment_id), Paid)
            back = await shop.payments.refund(RefundRequest(operation_id="r", payment_id=done.payment_id))
            assert isinstance(back, Refunded)
            assert shop.calls("execute") == 4
            assert (await shop.open("INV-6")).gateway_order_id == "INV-6-101", "also after it was accepted"
        async with shop.payments:
            assert (await shop.payments.epoch()).restored is None


async def test_a_restore_under_a_running_process(tmp_path: Path) -> None:
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with shop_open(tmp_path, clock, epoch=mark) as shop:
        first = await shop.approved("INV-1")
        second = await shop.approved("INV-2", amount="70")
        mine = shop.payments._parts.epochs
        store = shop.payments.store
        before = await store.get_mark("epoch")
        clock.advance(61)
        assert isinstance(await shop.payments.execute(first.payment_id), Paid)
        now = await store.get_mark("epoch")
        assert await store.put_mark("epoch", before or "", expected=now), "the database is put back"
        await mine.roll()
        with pytest.raises(ReconciliationRequiredError):
            await shop.payments.execute(second.payment_id)


async def opened(clock: FakeClock) -> PaymentStore:
    store = open_store("memory://", clock=clock)
    await store.open()
    return store


def guard(store: object, mark: object, clock: FakeClock, seed: int = 1) -> EpochGuard:
    return EpochGuard(
        store,  # type: ignore[arg-type]
        mark,  # type: ignore[arg-type]
        clock=clock,
        sleeper=FakeSleeper(clock),
        ids=Ids(clock, FakeEntropy(seed)),
        observer=NullObserver(),
    )


async def test_a_crash_between_the_two_writes_is_no_alarm() -> None:
    clock, mark = FakeClock(), MemoryMark()
    store = await opened(clock)
    mark.fails = True
    for _ in range(3):
        with pytest.raises(StorageError):
            await guard(store, mark, clock).roll()
    mark.fails = False
    await guard(store, mark, clock).roll()
    assert (await guard(store, mark, clock).state()).restored is None
    mark.fails = True
    for _ in range(3):
        with pytest.raises(StorageError):
            await guard(store, mark, clock).roll()
    mark.fails = False
    await guard(store, mark, clock).roll()
    assert (await guard(store, mark, clock).state()).restored is None
    # The same when an accepted restore was not written outside.
    assert mark.text is not None
    lineage = mark.text.split(" ")[0]
    mark.text = f"{lineage} 99"
    await guard(store, mark, clock).roll()
    assert (await guard(store, mark, clock).state()).restored is not None
    mark.fails = True
    with pytest.raises(StorageError):
        await guard(store, mark, clock, 2).accept()
    mark.fails = False
    await guard(store, mark, clock).roll()
    assert (await guard(store, mark, clock).state()).restored is None
    await guard(store, mark, clock).roll()
    assert mark.text is not None and not mark.text.startswith(lineage)


@pytest.mark.parametrize("outside", ["epo_other 1", None, "", "rubbish", "epo_other"])
async def test_an_outside_that_is_not_ours_is_an_alarm(outside: str | None) -> None:
    clock, mark = FakeClock(), MemoryMark()
    store = await opened(clock)
    for _ in range(2):
        await guard(store, mark, clock).roll()
    mark.text = outside
    await guard(store, mark, clock).roll()
    assert (await guard(store, mark, clock).state()).restored
    with pytest.raises(ReconciliationRequiredError):
        await guard(store, None, clock).check()


async def test_an_empty_store_beside_a_mark_is_an_alarm() -> None:
    clock = FakeClock()
    store = await opened(clock)
    await guard(store, MemoryMark("epo_1 7"), clock).roll()
    with pytest.raises(ReconciliationRequiredError):
        await guard(store, None, clock).check()


async def test_many_processes_roll_at_once_without_alarm() -> None:
    clock, mark = FakeClock(), MemoryMark()
    store = await opened(clock)
    guards = [guard(store, mark, clock, seed) for seed in range(8)]
    for _ in range(20):
        await asyncio.gather(*(each.roll() for each in guards))
    assert (await guards[0].state()).restored is None


async def test_it_is_rolled_after_money_moved_and_not_else(tmp_path: Path) -> None:
    clock, mark = FakeClock(), MemoryMark()
    async with shop_open(tmp_path, clock, epoch=mark) as shop:
        session = await shop.approved("INV-1")
        opened = mark.text
        clock.advance(1000)
        await shop.payments._parts.epochs.roll_quietly()
        assert mark.text == opened, "nothing moved"
        await shop.payments.execute(session.payment_id)
        executed = mark.text
        assert executed != opened
        await shop.payments._parts.epochs.roll_quietly()
        assert mark.text != executed, "what was executed is behind the mark, too"


async def test_a_mark_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    mark = FileEpochMark(tmp_path / "no such folder" / "epoch")
    assert await mark.read() is None
    with pytest.raises(StorageError) as failed:
        await mark.write("x 1")
    assert failed.value.__context__ is None
    mark = FileEpochMark(tmp_path)
    with pytest.raises(StorageError):
        await mark.read()
    good = FileEpochMark(str(tmp_path / "epoch"))
    await good.write("epo_1 5")
    assert await good.read() == "epo_1 5"
    assert [file.name for file in tmp_path.iterdir()] == ["epoch"]

"""The outbox against callbacks and stores that misbehave: nothing is dropped, nothing is overtaken, nobody is held up
by somebody else.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import Shop, shop_open
from vextrus_payments import LedgerEntry, Money, Paid, PaymentEvent, PaymentSession, Refunded, RefundRequest
from vextrus_payments.errors import StorageError
from vextrus_payments.ledger import LedgerCallback
from vextrus_payments.outbox import EventCallback, Outbox, OutboxLimits
from vextrus_payments.records import Exchange, OutboxKind, OutboxRow
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, FakeEntropy

#: Longer than any pause after a failed hand-over.
PAUSE_S = 600
#: Nothing here takes a real second; whoever hangs fails by this instead of for ever.
PATIENCE_S = 60


class FlakyStore(MemoryStore):
    """A store that fails when it is told to."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock=clock)
        self.lease_errors: list[Exception] = []
        self.ack_errors: list[Exception] = []

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        if self.lease_errors:
            raise self.lease_errors.pop()
        return await super().lease(kind, limit=limit, lease_s=lease_s)

    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        if self.ack_errors:
            raise self.ack_errors.pop()
        await super().ack_many(rows)


class Listener:
    """Keeps what the outbox tells of itself."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, object]]] = []

    def exchange(self, *, tenant: str, gateway: str, exchange: Exchange, context: Any) -> None:
        """Not of interest here."""

    def event(self, name: str, **fields: object) -> None:
        self.heard.append((name, fields))


class Desk:
    """A shop whose outbox nobody empties, and outboxes on its store to empty it."""

    def __init__(self, shop: Shop, store: FlakyStore) -> None:
        self.shop = shop
        self.store = store
        self.listener = Listener()

    async def sell(self, *references: str) -> list[PaymentSession]:
        """Paid payments, one entry and one piece of news each."""
        sessions = []
        for number, reference in enumerate(references):
            session = await self.shop.approved(reference, str(100 + number))
            assert isinstance(await self.shop.payments.execute(session.payment_id), Paid)
            sessions.append(session)
        return sessions

    def outbox(
        self, ledger: LedgerCallback | None = None, on_event: EventCallback | None = None, **limits: Any
    ) -> Outbox:
        """An outbox with callbacks of its own. Where it runs, it looks every few milliseconds."""
        return Outbox(
            self.store,
            ledger=ledger,
            on_event=on_event,
            entropy=FakeEntropy(3),
            observer=self.listener,
            limits=OutboxLimits(**{"poll_s": 0.005, **limits}),
        )

    async def waiting(self, kind: OutboxKind = OutboxKind.LEDGER) -> int:
        """How many rows wait."""
        return (await self.store.backlog(kind)).waiting

    @property
    def complaints(self) -> list[object]:
        """Why rows were not taken."""
        return [fields["why"] for name, fields in self.listener.heard if name == "outbox.not_taken"]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    clock = FakeClock()
    store = FlakyStore(clock)
    async with shop_open(tmp_path, clock, store=store) as shop:
        yield Desk(shop, store)


class Ledger:
    """Takes entries, after it has misbehaved as often as told."""

    def __init__(self, fail: list[BaseException] | None = None) -> None:
        self.fail = fail or []
        self.tried: list[str] = []
        self.taken: list[LedgerEntry] = []
        self.took = asyncio.Event()

    async def __call__(self, entry: LedgerEntry) -> None:
        self.tried.append(entry.id)
        if self.fail:
            raise self.fail.pop()
        self.taken.append(entry)
        self.took.set()


async def soon(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await event.wait()


# --- callbacks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RuntimeError("words of the host's own"), "the callback raised RuntimeError"),
        (asyncio.CancelledError(), "the callback was cancelled"),
    ],
    ids=["raises", "leaks a cancellation"],
)
async def test_a_callback_that_fails_is_offered_the_same_entry_after_a_pause(
    desk: Desk, error: BaseException, why: str
) -> None:
    await desk.sell("INV-1")
    ledger = Ledger([error])
    outbox = desk.outbox(ledger)
    assert await outbox.deliver() == 0
    assert await outbox.deliver() == 0
    assert len(ledger.tried) == 1
    assert desk.complaints == [why]
    desk.shop.clock.advance(PAUSE_S)
    assert await outbox.deliver() == 1
    assert [entry.id for entry in ledger.taken] == ledger.tried[:1] == ledger.tried[1:]
    assert await desk.waiting() == 0


async def test_however_often_a_callback_fails_it_is_asked_again_within_five_minutes(desk: Desk) -> None:
    await desk.sell("INV-1")
    ledger = Ledger([RuntimeError()] * 30)
    outbox = desk.outbox(ledger)
    for tries in range(1, 31):
        await outbox.deliver()
        assert len(ledger.tried) == tries
        desk.shop.clock.advance(300)
    assert await outbox.deliver() == 1


async def test_a_callback_that_hangs_is_given_up_and_asked_again(desk: Desk) -> None:
    await desk.sell("INV-1", "INV-2")
    taken: list[str | None] = []
    hanging = True

    async def ledger(entry: LedgerEntry) -> None:
        if hanging and entry.merchant_reference == "INV-1":
            await asyncio.Event().wait()
        taken.append(entry.merchant_reference)

    outbox = desk.outbox(ledger, callback_timeout_s=0.02)
    assert await outbox.deliver() == 1
    assert taken == ["INV-2"]
    assert desk.complaints == ["the callback took too long"]
    hanging = False
    desk.shop.clock.advance(PAUSE_S)
    assert await outbox.deliver() == 1
    assert taken == ["INV-2", "INV-1"]


async def test_a_worker_survives_a_cancellation_that_is_not_its_own(desk: Desk) -> None:
    await desk.sell("INV-1")
    ledger = Ledger([asyncio.CancelledError()])
    outbox = desk.outbox(ledger)
    worker = asyncio.create_task(outbox.run())
    async with asyncio.timeout(PATIENCE_S):
        while not desk.complaints:
            await asyncio.sleep(0)
    desk.shop.clock.advance(PAUSE_S)
    await soon(ledger.took)
    outbox.stop()
    await worker
    assert await desk.waiting() == 0


async def test_a_cancellation_of_our_own_is_obeyed_and_the_entry_offered_again(desk: Desk) -> None:
    await desk.sell("INV-1")
    asked = asyncio.Event()

    async def hangs(entry: LedgerEntry) -> None:
        asked.set()
        await asyncio.Event().wait()

    delivering = asyncio.create_task(desk.outbox(hangs).deliver())
    await soon(asked)
    delivering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await delivering
    assert desk.complaints == []
    ledger = Ledger()
    assert await desk.outbox(ledger).deliver() == 0
    desk.shop.clock.advance(PAUSE_S)
    assert await desk.outbox(ledger).deliver() == 1


async def test_news_does_not_wait_for_a_ledger_that_hangs(desk: Desk) -> None:
    await desk.sell("INV-1", "INV-2", "INV-3")
    free, told = asyncio.Event(), asyncio.Event()
    news: list[PaymentEvent] = []

    async def hangs(entry: LedgerEntry) -> None:
        await free.wait()

    async def on_event(event: PaymentEvent) -> None:
        news.append(event)
        if len(news) == 3:
            told.set()

    delivering = asyncio.create_task(desk.outbox(hangs, on_event, at_once=1).deliver())
    try:
        await soon(told)
        assert await desk.waiting() == 3
    finally:
        free.set()
    assert await delivering == 6


async def test_without_a_callback_entries_wait_for_one(desk: Desk) -> None:
    await desk.sell("INV-1", "INV-2")
    assert await desk.outbox().deliver() == 0
    assert await desk.waiting() == 2
    ledger = Ledger()
    assert await desk.outbox(ledger).deliver() == 2
    assert {entry.merchant_reference for entry in ledger.taken} == {"INV-1", "INV-2"}


@pytest.mark.parametrize("way", ["hangs", "raises", "is cancelled", "blocks its turn"])
async def test_no_callback_is_ever_in_a_payers_way(tmp_path: Path, way: str) -> None:
    """A payment goes through from its first call to its refund while everything that is told of it misbehaves, and
    no callback is ever called on a payer's task.
    """
    tasks: set[str] = set()

    async def callback(of: LedgerEntry | PaymentEvent) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task.get_name())
        if way == "raises":
            raise RuntimeError
        if way == "is cancelled":
            raise asyncio.CancelledError
        if way == "blocks its turn":
            while True:
                await asyncio.sleep(0)
        await asyncio.Event().wait()

    alarms: list[object] = []

    async def on_alarm(alarm: object) -> None:
        alarms.append(alarm)
        await asyncio.Event().wait()

    more = {"ledger": callback, "on_event": callback, "on_alarm": on_alarm, "workers": True}
    limits = OutboxLimits(poll_s=0.005, callback_timeout_s=0.5, lease_s=6, overdue_s=1)
    async with asyncio.timeout(60), shop_open(tmp_path, outbox_limits=limits, **more) as shop:
        for number in range(3):
            session = await shop.approved(f"INV-{number}", str(100 + number))
            assert isinstance(await shop.payments.execute(session.payment_id), Paid)
            refund = RefundRequest(operation_id=f"r-{number}", payment_id=session.payment_id)
            assert isinstance(await shop.payments.refund(refund), Refunded)
        while not tasks:
            await asyncio.sleep(0.001)
        assert (await shop.payments.health()).ready
    assert tasks == {"vextrus-payments-hand-over"}


# --- stores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [StorageError("The disk is full."), OSError("disk"), RuntimeError("driver")], ids=repr
)
async def test_a_worker_survives_a_store_that_fails(desk: Desk, error: Exception) -> None:
    await desk.sell("INV-1")
    desk.store.lease_errors = [error]
    ledger = Ledger()
    outbox = desk.outbox(ledger)
    worker = asyncio.create_task(outbox.run())
    await soon(ledger.took)
    outbox.stop()
    await worker
    assert await desk.waiting() == 0
    heard = [name for name, _ in desk.listener.heard if name != "outbox.backlog"]
    assert heard in (["outbox.store_failed"], ["outbox.failed"])


async def test_an_entry_whose_delivery_could_not_be_marked_comes_again_under_the_same_id(desk: Desk) -> None:
    await desk.sell("INV-1")
    desk.store.ack_errors = [StorageError("The disk is full.")] * 2
    ledger = Ledger()
    outbox = desk.outbox(ledger)
    with pytest.raises(StorageError):
        await outbox.deliver()
    desk.shop.clock.advance(PAUSE_S)
    assert await outbox.deliver() == 1
    assert len(ledger.taken) == 2
    assert len({entry.id for entry in ledger.taken}) == 1
    assert await desk.waiting() == 0


# --- order, and the end -------------------------------------------------------------------------------------------


async def test_a_payments_entries_come_in_order_and_hold_up_no_other_payment(desk: Desk) -> None:
    first, _ = await desk.sell("INV-1", "INV-2")
    for number, amount in enumerate(("30", "20")):
        refund = RefundRequest(operation_id=f"r-{number}", payment_id=first.payment_id, amount=Money(amount))
        assert isinstance(await desk.shop.payments.refund(refund), Refunded)
    failures, in_hand = 2, Counter[str | None]()
    taken: list[tuple[str | None, str]] = []

    async def ledger(entry: LedgerEntry) -> None:
        nonlocal failures
        in_hand[entry.payment_id] += 1
        assert in_hand[entry.payment_id] == 1
        await asyncio.sleep(0)
        in_hand[entry.payment_id] -= 1
        if failures and entry.merchant_reference == "INV-1":
            failures -= 1
            raise RuntimeError
        taken.append((entry.merchant_reference, str(entry.postings[0].amount)))

    outbox = desk.outbox(ledger)
    await outbox.deliver()
    assert [reference for reference, _ in taken] == ["INV-2"]
    for _ in range(2):
        desk.shop.clock.advance(PAUSE_S)
        await outbox.deliver()
    amounts = [amount for reference, amount in taken if reference == "INV-1"]
    assert amounts == ["100.00 BDT", "30.00 BDT", "20.00 BDT"]


async def test_an_outbox_that_is_stopped_finishes_what_it_holds_and_leaves_the_rest(desk: Desk) -> None:
    await desk.sell(*(f"INV-{number}" for number in range(5)))
    free, busy = asyncio.Event(), asyncio.Event()
    taken: list[str] = []

    async def slow(entry: LedgerEntry) -> None:
        taken.append(entry.id)
        if len(taken) == 2:
            busy.set()
        await free.wait()

    outbox = desk.outbox(slow, at_once=2)
    worker = asyncio.create_task(outbox.run())
    await soon(busy)
    outbox.stop()
    free.set()
    await worker
    assert len(taken) == 2
    assert await desk.waiting() == 3
    assert await desk.outbox(slow).deliver() == 3
    assert len(set(taken)) == len(taken) == 5

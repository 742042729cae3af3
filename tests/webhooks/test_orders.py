"""R5: every order of five events, each sent again 0, 1, 5 or 100 times, applied by two workers side by side.

Whatever the order and however often: one effect per event, and the same final state.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.webhooks.world import NewsServer, Town
from vextrus_payments import Money
from vextrus_payments.inbox import InboxState
from vextrus_payments.observe import NullObserver
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.testing import FakeClock

ORDERS = tuple(permutations(range(5)))
DUPLICATES = (0, 1, 5, 100)

EXPECTED_EVENTS = Counter(
    {
        "payment.paid": 2,
        "payment.duplicate": 1,
        "refund.adopted": 1,
        "receipt.unmatched": 1,
    }
)
EXPECTED_ENTRIES = Counter(
    {
        ("payment.received", "TRX1"): 1,
        ("payment.received", "TRX2"): 1,
        ("payment.received", "OTHER"): 1,
        ("payment.refunded", "RFD3"): 1,
    }
)


async def run(
    order: tuple[int, ...], duplicates: int, make_store: Callable[[FakeClock], PaymentStore]
) -> tuple[Any, ...]:
    """Deliver the five events in this order, so often; the final state as anybody outside can see it."""
    clock, server, luck = FakeClock(), NewsServer(), random.Random(f"{order} {duplicates}")
    store = make_store(clock)
    towns = [
        Town(store, clock=clock, server=server, seed=number, observer=NullObserver()) for number in range(2)
    ]
    first, second = towns
    async with first.payments:
        await second.payments.open()  # the same store: it is closed with the first
        one, two = await first.approved("INV-1"), await first.approved("INV-2", "50")
        first.paid_there(one)
        first.paid_there(two)
        server._refund({"ref": one.gateway_reference, "amount": "25"})
        events = (
            first.told(one, "paid-1"),
            first.told(one, "other-1", trx="OTHER"),
            first.told(two, "paid-2"),
            {"id": "qr-1", "amount": "40", "trx": "QR1"},
            {"id": "refund-1", "refund_of": "TRX1", "trx": "RFD3", "amount": "25"},
        )
        for number in order:
            town = luck.choice(towns)
            replies = await asyncio.gather(*(town.deliver(events[number]) for _ in range(1 + duplicates)))
            assert {reply.status for reply in replies} == {200}
            if luck.random() < 0.5:
                await asyncio.gather(*(each.payments.process_inbox() for each in towns))
        for _ in range(30):
            await asyncio.gather(*(each.payments.process_inbox() for each in towns))
            if await first.payments.store.next_event_at() is None:
                break
            clock.advance(300)
        rows = (await first.payments.store.list_inbox(None, limit=1000)).rows
        for each in towns:
            await each.payments.deliver()
        entries = {entry.id: entry for town in towns for entry in town.entries}.values()
        told = {event.id: event for town in towns for event in town.events}.values()
        facts = [await first.payments.get(session.payment_id) for session in (one, two)]
        assert server.sent("execute") == 0
        return (
            Counter(event.kind.value for event in told),
            Counter((entry.kind.value, entry.transaction_id) for entry in entries),
            {row.event_id: row.state for row in rows},
            [
                (
                    found.payment.state.value,
                    sorted(flag.value for flag in found.payment.flags),
                    sorted(
                        (r.kind.value, r.transaction_id, r.amount, sorted(flag.value for flag in r.flags))
                        for r in found.receipts
                    ),
                )
                for found in facts
                if found is not None
            ],
        )


def check(state: tuple[Any, ...]) -> None:
    """What has to come of it, whatever the order."""
    events, entries, rows, payments = state
    assert events == EXPECTED_EVENTS
    assert entries == EXPECTED_ENTRIES
    assert rows == {
        "paid-1": InboxState.DONE,
        "other-1": InboxState.DONE,
        "paid-2": InboxState.DONE,
        "qr-1": InboxState.UNMATCHED,
        "refund-1": InboxState.DONE,
    }
    assert payments == [
        (
            "paid",
            ["duplicate"],
            [
                ("payment", "OTHER", Money("100", "BDT"), ["duplicate"]),
                ("payment", "TRX1", Money("100", "BDT"), []),
                ("refund", "RFD3", Money("25", "BDT"), ["adopted"]),
            ],
        ),
        ("paid", [], [("payment", "TRX2", Money("50", "BDT"), [])]),
    ]


def test_there_are_as_many_orders_as_there_can_be() -> None:
    assert len(set(ORDERS)) == 120


@pytest.mark.parametrize("duplicates", DUPLICATES)
async def test_every_order_ends_alike(duplicates: int) -> None:
    for order in ORDERS:
        check(await run(order, duplicates, lambda clock: MemoryStore(clock=clock)))


@pytest.mark.parametrize("duplicates", DUPLICATES)
async def test_orders_on_a_real_store_end_alike(tmp_path: Path, duplicates: int) -> None:
    """Every twelfth order, and other ones for every number of duplicates."""
    for number in range(DUPLICATES.index(duplicates), len(ORDERS), 12):
        path = tmp_path / f"{number}.db"
        check(await run(ORDERS[number], duplicates, lambda clock, path=path: SqliteStore(path, clock=clock)))

"""What a careless callback may hand the outbox: it costs its own row a pause, and stops nobody else's."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from tests.flows.queue_world import fill
from tests.flows.test_outbox_lanes import World, virtual
from vextrus_payments import DeliveryError, LedgerEntry


@pytest.mark.parametrize(
    "asked", ["120", "Fri, 31 Dec 1999 23:59:59 GMT", Decimal(120), -5, True, [], float("-inf"), 10**400]
)
def test_a_pause_that_is_no_number_of_seconds_stops_nobody(asked: Any) -> None:
    """`retry_after_s=response.headers["Retry-After"]` is a text."""

    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [2, 1])
        calls: list[str] = []

        async def post(entry: LedgerEntry) -> None:
            calls.append(entry.id)
            if entry.id == "ent_pay0-1" and calls.count(entry.id) == 1:
                raise DeliveryError("Busy.", retry_after_s=asked)

        async with world.running(world.outbox(post)):
            await asyncio.sleep(0.1)
            await fill(world.store, [1], name="later")
            await asyncio.sleep(10_000)
        assert sorted(set(calls)) == ["ent_later0-1", "ent_pay0-1", "ent_pay0-2", "ent_pay1-1"]
        assert calls.count("ent_pay0-1") == 2

    virtual(play())


@pytest.mark.parametrize("what", [None, 7, b"bytes", ["a", "list"], "\ud800\0\x1b[2J"])
def test_a_reason_that_is_no_text_ends_a_hand_over_as_any_other(what: Any) -> None:
    async def play() -> None:
        world = await World.opened()
        await fill(world.store, [1, 1])

        async def post(entry: LedgerEntry) -> None:
            if entry.id == "ent_pay0-1":
                raise DeliveryError(what)

        async with asyncio.timeout(1_000):
            assert await world.outbox(post).deliver() == 1
        row = await world.row("ent_pay0-1")
        assert (row.attempts, row.delivered_at) == (1, None)
        assert row.next_at is not None

    virtual(play())

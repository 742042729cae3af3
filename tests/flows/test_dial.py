"""The SDK against the sandbox's fault dial, by magic amounts: whatever strikes, money moves once and is booked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.shop import LONG_S, Shop
from tests.flows.test_nagad import NagadShop
from vextrus_payments import (
    Authorized,
    Declined,
    Money,
    Paid,
    PaymentsError,
    PaymentSession,
    Pending,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.fault_kinds import KINDS, Kind
from vextrus_payments_sandbox.magic import STAGES, example_amount, strikes
from vextrus_payments_sandbox.serve import SandboxServer

SHOPS = {"bkash": Shop, "nagad": NagadShop}
HOUR_S = 3_700
"""Beyond bKash's budget of two token grants."""


class Gate:
    """How the sandbox waits: a moment, or until it is let go on."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.held.set()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.005)
        await self.held.wait()


@asynccontextmanager
async def opened(tmp_path: Path, gateway: str = "bkash", gate: Gate | None = None) -> AsyncIterator[Shop]:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1, sleeper=gate or Gate()) as server:
        shop = SHOPS[gateway](server, f"sqlite:///{tmp_path / 'shop.db'}", clock, timeout_s=30.0)
        async with shop.payments:
            yield shop


def struck_at(stage: int, gateway: str) -> list[Kind]:
    """The faults that an amount of this stage can bring to the gateway's calls."""
    operations = STAGES[stage].operations[gateway]
    return [kind for kind in KINDS.values() if any(strikes(stage, gateway, kind, one) for one in operations)]


def debits(shop: Shop) -> int:
    """How often a payer's wallet was debited, by the gateway's own books."""
    return sum(one.kind == "debit" for one in shop.server.world.books.movements)


async def session_of(shop: Shop, reference: str, amount: str) -> PaymentSession:
    """Opened, if not at the first try."""
    for _ in range(4):
        try:
            return await shop.approved(reference, amount)
        except PaymentsError:
            shop.clock.advance(HOUR_S)
    raise AssertionError(f"{reference} cannot be opened")


async def settled(shop: Shop, session: PaymentSession, already: str = "") -> Paid | Authorized:
    """Executed and looked up, an hour between the tries, until nobody is in doubt."""
    for _ in range(8):
        outcome = await shop.payments.execute(session.payment_id)
        if isinstance(outcome, Unknown | Pending):
            shop.clock.advance(LONG_S)
            outcome = await shop.payments.status(session.payment_id)
        if isinstance(outcome, Paid | Authorized):
            return outcome
        assert not isinstance(outcome, Declined), f"{session.merchant_reference}: {outcome}"
        shop.clock.advance(HOUR_S)
    raise AssertionError(f"{session.merchant_reference} is never settled")


@pytest.mark.parametrize(
    ("gateway", "stage"),
    [("bkash", 4001), ("bkash", 4002), ("bkash", 4004), ("nagad", 4001), ("nagad", 4004)],
)
async def test_a_payment_is_taken_once_whatever_strikes_it(tmp_path: Path, gateway: str, stage: int) -> None:
    async with opened(tmp_path, gateway) as shop:
        kinds = struck_at(stage, gateway)
        assert len(kinds) > 20
        for taken, kind in enumerate(kinds, start=1):
            shop.clock.advance(HOUR_S)
            amount = example_amount(stage, kind.number)
            session = await session_of(shop, f"INV-{kind.name}", amount)
            paid = await settled(shop, session)
            assert isinstance(paid, Paid) and paid.amount == Money(amount, "BDT"), kind.name
            await shop.payments.status(session.payment_id)
            assert debits(shop) == taken, kind.name
            await shop.check_books()
        struck = {call["fault"] for call in shop.server.world.wire.as_json()} - {None}
        # bKash is queried only where it must be, so most payments never meet what waits for them there.
        assert (gateway, stage) == ("bkash", 4004) or struck == {kind.name for kind in kinds}


@pytest.mark.parametrize("gateway", SHOPS)
async def test_a_refund_is_made_at_most_once_whatever_strikes_it(tmp_path: Path, gateway: str) -> None:
    """One that the gateway's list never shows stays unknown and reserved: its absence there proves nothing."""
    async with opened(tmp_path, gateway) as shop:
        for kind in struck_at(4005, gateway):
            shop.clock.advance(HOUR_S)
            session = await session_of(shop, f"INV-{kind.name}", example_amount(4005, kind.number))
            assert isinstance(await settled(shop, session), Paid)
            before = shop.moved()["refund"]
            request = RefundRequest(
                operation_id=f"back-{kind.name}", payment_id=session.payment_id, amount=Money("10", "BDT")
            )
            for _ in range(3):
                outcome = await shop.payments.refund(request)
                await shop.server.app.state.exchange.idle()  # an hour later its token would have expired
                shop.clock.advance(HOUR_S)
            for _ in range(4):  # a look-up of a busy machine may itself run out of time
                outcome = await shop.payments.refund_status(request.operation_id)
                moved = shop.moved()["refund"] - before
                if isinstance(outcome, Refunded) or (not moved and kind.phase == "before"):
                    break  # what is done late may not be there yet at the first look
                shop.clock.advance(HOUR_S)
            assert (type(outcome), moved) in {(Refunded, 1), (Unknown, 0)}, f"{kind.name}: {outcome}"
            assert (moved == 1) or kind.phase == "before", kind.name
            await shop.check_books()


async def test_late_success_is_unknown_until_it_is_there(tmp_path: Path) -> None:
    gate = Gate()
    async with opened(tmp_path, gate=gate) as shop:
        session = await shop.approved()
        gate.held.clear()
        shop.fault("execute", "late_success")
        assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
        assert isinstance(await shop.payments.status(session.payment_id), Unknown)
        assert shop.gateway_holds() == 0
        gate.held.set()
        while not shop.gateway_holds():
            await asyncio.sleep(0.005)
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        assert shop.calls("execute") == 1
        await shop.check_books()


async def test_a_success_that_looked_like_a_final_no_is_booked_as_late(tmp_path: Path) -> None:
    """The gateway says "insufficient balance", which is final, and takes the money all the same."""
    gate = Gate()
    async with opened(tmp_path, gate=gate) as shop:
        session = await shop.approved()
        gate.held.clear()
        shop.fault("execute", "late_success;code=2023")
        assert isinstance(await shop.payments.execute(session.payment_id), Declined)
        gate.held.set()
        while not shop.gateway_holds():
            await asyncio.sleep(0.005)
        await shop.payments.reconcile_since(shop.clock.now() - timedelta(hours=1))
        found = await shop.payments.execute(session.payment_id)
        assert isinstance(found, Paid) and found.late
        assert shop.calls("execute") == 1
        await shop.check_books()

"""Adapters that go wrong in ways of their own: nothing is sent twice, nothing is booked that is not there, and nothing
is held up for good.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, paid, shop_open
from vextrus_payments import (
    AmountError,
    Money,
    Paid,
    PaymentSession,
    Pending,
    Refunded,
    RefundRequest,
    Review,
    Unknown,
)
from vextrus_payments.errors import AnswerLostError
from vextrus_payments.gateways.bkash import BkashGateway, refunds
from vextrus_payments.judging import judge_refund
from vextrus_payments.payment import RefundCall
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot

INITIALIZE = BkashGateway.initialize_payment
EXECUTE = BkashGateway.execute_payment
REFUND = BkashGateway.refund_payment
STATUS = BkashGateway.get_payment_status


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop on one store: what goes wrong here lies above it."""
    async with shop_open(tmp_path) as opened:
        yield opened


def stumble(*_: object, **__: object) -> Any:
    """Read an amount that no gateway wrote so far: a rule of ours is broken, by an error that claims no effect."""
    return Money("1,500.00", "BDT")


# --- errors after something was sent ------------------------------------------------------------------------------


async def test_an_execute_whose_answer_breaks_a_rule_of_ours_is_looked_up_and_not_sent_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()

    async def stumbling(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        return replace(await EXECUTE(self, *args, **kwargs), amount=stumble())

    monkeypatch.setattr(BkashGateway, "execute_payment", stumbling)
    with pytest.raises(AmountError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    assert await shop.fired() == ["payment.unknown_opened"]
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_a_refund_whose_answer_breaks_a_rule_of_ours_is_found_in_the_list_and_not_sent_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid(shop)

    async def stumbling(self: BkashGateway, *args: Any, **kwargs: Any) -> RefundSnapshot:
        return replace(await REFUND(self, *args, **kwargs), amount=stumble())

    monkeypatch.setattr(BkashGateway, "refund_payment", stumbling)
    request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("30"))
    with pytest.raises(AmountError):
        await shop.payments.refund(request)
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


async def test_a_protocol_that_trips_over_its_own_answer_is_not_believed_to_have_sent_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await paid(shop)
    monkeypatch.setattr(refunds, "_judged", stumble)
    request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("30"))
    assert isinstance(await shop.payments.refund(request), Unknown)
    monkeypatch.undo()
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


async def test_a_rule_broken_before_anything_was_sent_holds_nothing_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    monkeypatch.setattr(BkashGateway, "execute_payment", stumble)
    with pytest.raises(AmountError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert await shop.fired() == ["payment.paid"]
    assert shop.calls("query") == 0
    await shop.check_books()


async def test_a_cancellation_that_an_adapter_leaks_heals_by_a_look_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()

    async def leaking(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        await EXECUTE(self, *args, **kwargs)
        raise asyncio.CancelledError

    monkeypatch.setattr(BkashGateway, "execute_payment", leaking)
    with pytest.raises(asyncio.CancelledError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    # For all that the records say it may still be on the wire: neither sent again nor asked about.
    for outcome in (
        await shop.payments.status(session.payment_id),
        await shop.payments.execute(session.payment_id),
    ):
        assert isinstance(outcome, Pending)
        assert outcome.sent
    assert shop.calls("query") == 0
    shop.clock.advance(LONG_S)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


# --- answers about no money ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["0", "-5"])
async def test_a_success_over_no_money_is_quarantined_and_stays_readable(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    session = await shop.approved()

    async def empty(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        return replace(await EXECUTE(self, *args, **kwargs), amount=Money(amount, "BDT"))

    monkeypatch.setattr(BkashGateway, "execute_payment", empty)
    assert isinstance(await shop.payments.execute(session.payment_id), Review)
    assert await shop.fired() == ["payment.quarantined"]
    assert shop.entries == []
    shop.clock.advance(LONG_S)
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert isinstance(await shop.payments.execute(session.payment_id), Review)
    assert shop.calls("execute") == 1


async def test_a_look_up_over_no_money_is_quarantined_and_stays_readable(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=8)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()

    async def empty(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        return replace(await STATUS(self, *args, **kwargs), amount=Money("0", "BDT"))

    monkeypatch.setattr(BkashGateway, "get_payment_status", empty)
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    await shop.payments.deliver()
    assert shop.entries == []
    assert shop.calls("execute") == 1


@pytest.mark.parametrize("amount", ["0", "-5"])
async def test_a_refund_of_no_money_is_not_booked_as_the_one_that_was_asked_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, amount: str
) -> None:
    session = await paid(shop)

    async def empty(self: BkashGateway, call: RefundCall, *args: Any, **kwargs: Any) -> RefundSnapshot:
        told = replace(await REFUND(self, call, *args, **kwargs), amount=Money(amount, "BDT"))
        return judge_refund(told, original_transaction_id=call.transaction_id, amount=call.amount)

    monkeypatch.setattr(BkashGateway, "refund_payment", empty)
    request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))
    assert isinstance(await shop.payments.refund(request), Unknown)
    await shop.payments.deliver()
    assert [entry.kind for entry in shop.entries] == ["payment.received"]
    monkeypatch.undo()
    found = await shop.payments.refund_status("r")
    assert isinstance(found, Refunded)
    assert found.amount == Money("40")
    assert shop.calls("refund") == 1
    await shop.check_books()


# --- answers about other submissions ------------------------------------------------------------------------------


async def test_an_adapter_that_numbers_submissions_itself_opens_the_one_it_was_asked_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def numbering(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSession:
        nonlocal asked
        asked += 1
        session = await INITIALIZE(self, *args, **kwargs)
        if asked == 1:
            raise AnswerLostError("The answer was lost.")
        return replace(session, submission_no=1, gateway_order_id="INV-1")

    monkeypatch.setattr(BkashGateway, "initialize_payment", numbering)
    session = await shop.open()
    assert session.submission_no == 2
    assert session.gateway_order_id == "INV-1-2"
    shop.approve(session)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()

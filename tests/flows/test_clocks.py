"""Wall clocks that are set forward or back in the middle of a payment: they are no evidence of anything."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.held import Held
from tests.flows.shop import LONG_S, Shop, paid, shop_open
from vextrus_payments import Money, Paid, Pending, Refunded, RefundRequest, Unknown
from vextrus_payments.errors import AnswerTimeoutError, NotSentError, StaleStateError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.gateways.front_door import Authorization
from vextrus_payments.payment import Evidence, ExecuteCall, RefundCall
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot
from vextrus_payments.wire import CallContext, OnCheckpoint

EXECUTE = BkashGateway.execute_payment
REFUND = BkashGateway.refund_payment
AUTHORIZE = BkashGateway.authorize
#: Beyond the send window, bKash's hard limit and the margin: an absence seen so much later would be a proof.
FORWARD_S = 180
#: Beyond bKash's own five minutes against duplicates.
DUPLICATES_S = 400
HOURS_S = 6 * 3600
YEAR_S = 365 * 86400


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop on one store: what a clock proves is decided above it."""
    async with shop_open(tmp_path) as opened:
        yield opened


async def test_a_clock_set_forward_makes_no_absence_of_an_execute_on_the_wire(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await shop.approved(), await shop.open(operation_id="second")
    held = Held()

    async def lost(self: BkashGateway, call: ExecuteCall, **_: Any) -> PaymentSnapshot:
        await held.wait()
        # Without our deadline: the request is with bKash, which takes its time.
        await EXECUTE(self, call)
        raise AnswerTimeoutError("No answer in time.")

    monkeypatch.setattr(BkashGateway, "execute_payment", lost)
    with held:
        caller = asyncio.create_task(shop.payments.execute(first.payment_id))
        await held.reached()
        shop.clock.step_wall(FORWARD_S)
        assert isinstance(await shop.payments.status(first.payment_id), Pending)
        held.let_go()
        assert isinstance(await caller, Unknown)
    monkeypatch.undo()
    shop.clock.advance(DUPLICATES_S)
    shop.approve(second)
    withheld = await shop.payments.execute(second.payment_id)
    assert isinstance(withheld, Pending)
    assert not withheld.sent
    assert isinstance(await shop.payments.execute(first.payment_id), Paid)
    assert shop.moved() == {"execute": 1}
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_an_absence_that_another_process_believed_too_early_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()

    async def lost(self: BkashGateway, call: ExecuteCall, **_: Any) -> PaymentSnapshot:
        await held.wait()
        await EXECUTE(self, call)
        raise AnswerTimeoutError("No answer in time.")

    async with shop_open(tmp_path) as shop:
        beside = Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", shop.clock, seed=8)
        async with beside.payments as other:
            first, second = await shop.approved(), await shop.open(operation_id="second")
            monkeypatch.setattr(BkashGateway, "execute_payment", lost)
            with held:
                caller = asyncio.create_task(shop.payments.execute(first.payment_id))
                await held.reached()
                shop.clock.step_wall(FORWARD_S)
                assert isinstance(await other.status(first.payment_id), Pending)
                held.let_go()
                assert isinstance(await caller, Unknown)
            monkeypatch.undo()
            shop.clock.advance(DUPLICATES_S)
            shop.approve(second)
            withheld = await other.execute(second.payment_id)
            assert isinstance(withheld, Pending)
            assert not withheld.sent
            assert isinstance(await other.execute(first.payment_id), Paid)
        assert shop.calls("execute") == 1
        await shop.check_books()


async def test_a_clock_set_forward_before_the_first_byte_leaves_nothing_sent_and_nothing_held(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, held = await shop.approved(), Held()

    async def slow(self: BkashGateway, context: CallContext) -> Authorization:
        await held.wait()
        return await AUTHORIZE(self, context)

    monkeypatch.setattr(BkashGateway, "authorize", slow)
    with held:
        caller = asyncio.create_task(shop.payments.execute(session.payment_id))
        await held.reached()
        shop.clock.step_wall(FORWARD_S)
        held.let_go()
        outcome = await caller
    assert isinstance(outcome, Pending)
    assert not outcome.sent
    assert shop.calls("execute") == 0
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_what_crashed_under_a_clock_that_was_ahead_is_looked_up_when_it_is_right_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()

    async def dies(self: BkashGateway, call: ExecuteCall, **_: Any) -> PaymentSnapshot:
        await EXECUTE(self, call)
        raise asyncio.CancelledError

    shop.clock.step_wall(HOURS_S)
    monkeypatch.setattr(BkashGateway, "execute_payment", dies)
    with pytest.raises(asyncio.CancelledError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    shop.clock.step_wall(-HOURS_S)
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_what_crashed_unsent_under_a_clock_that_was_ahead_is_sent_once_absence_is_proof(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()

    async def dies(*_: Any, **__: Any) -> PaymentSnapshot:
        raise asyncio.CancelledError

    shop.clock.step_wall(HOURS_S)
    monkeypatch.setattr(BkashGateway, "execute_payment", dies)
    with pytest.raises(asyncio.CancelledError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    shop.clock.step_wall(-HOURS_S)
    # By that other clock it may still be sent for hours: neither failed nor sent again.
    for outcome in (
        await shop.payments.status(session.payment_id),
        await shop.payments.execute(session.payment_id),
    ):
        assert isinstance(outcome, Pending)
        assert outcome.sent
    assert shop.calls("execute") == 0
    shop.clock.advance(HOURS_S + LONG_S)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_a_refund_without_a_baseline_that_is_asked_about_under_a_clock_set_forward_goes_out_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, held = await paid(shop), Held()
    request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))

    async def slow(
        self: BkashGateway, call: RefundCall, *, on_checkpoint: OnCheckpoint, **_: Any
    ) -> RefundSnapshot:
        await held.wait()
        return await REFUND(self, call, on_checkpoint=on_checkpoint)

    monkeypatch.setattr(BkashGateway, "refund_payment", slow)
    with held:
        caller = asyncio.create_task(shop.payments.refund(request))
        await held.reached()
        shop.clock.step_wall(FORWARD_S)
        asked = await shop.payments.refund_status("r")
        assert isinstance(asked, Pending)
        assert not asked.sent
        held.let_go()
        # Its claim is over: whoever may take the next one, this one stops before the refund leaves.
        with pytest.raises(StaleStateError):
            await caller
    assert shop.calls("refund") == 0
    monkeypatch.undo()
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


async def test_a_refund_on_the_wire_that_is_asked_about_under_a_clock_set_forward_is_booked_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, held = await paid(shop), Held()

    async def slow(
        self: BkashGateway, call: RefundCall, *, on_checkpoint: OnCheckpoint, **_: Any
    ) -> RefundSnapshot:
        async def kept(evidence: Evidence) -> None:
            await on_checkpoint(evidence)
            await held.wait()

        return await REFUND(self, call, on_checkpoint=kept)

    monkeypatch.setattr(BkashGateway, "refund_payment", slow)
    request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))
    with held:
        caller = asyncio.create_task(shop.payments.refund(request))
        await held.reached()
        shop.clock.step_wall(FORWARD_S)
        assert isinstance(await shop.payments.refund_status("r"), Unknown)
        held.let_go()
        assert isinstance(await caller, Refunded)
    assert isinstance(await shop.payments.refund(request), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


@pytest.mark.parametrize("store", ["sqlite", "memory"])
async def test_entries_made_under_a_clock_that_was_ahead_are_handed_over_when_it_is_right_again(
    tmp_path: Path, store: str
) -> None:
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path / 'shop.db'}"
    async with shop_open(tmp_path, store=url) as shop:
        shop.clock.step_wall(YEAR_S)
        await paid(shop)
        shop.clock.step_wall(-YEAR_S)
        assert await shop.fired() == ["payment.paid"]
        assert len(shop.entries) == 1
        await shop.check_books()


@pytest.mark.parametrize("sent", [True, False])
async def test_a_refund_that_crashed_under_a_clock_that_was_ahead_is_looked_up_when_it_is_right_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    refund_payment = BkashGateway.refund_payment
    wish = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("30"))

    async def dies(self: BkashGateway, *args: Any, **kwargs: Any) -> RefundSnapshot:
        if sent:
            await refund_payment(self, *args, **kwargs)
        raise asyncio.CancelledError

    shop.clock.step_wall(HOURS_S)
    monkeypatch.setattr(BkashGateway, "refund_payment", dies)
    with pytest.raises(asyncio.CancelledError):
        await shop.payments.refund(wish)
    monkeypatch.undo()
    shop.clock.step_wall(-HOURS_S)
    found = await shop.payments.refund_status("r")
    if not sent:  # no baseline was kept: nothing left, and the same refund may go out
        assert isinstance(found, Pending)
        found = await shop.payments.refund(wish)
    assert isinstance(found, Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


async def test_a_refund_proven_unsent_is_free_again_although_somebody_called_it_unknown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    wish = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("30"))

    async def too_late(self: BkashGateway, call: Any, *, on_checkpoint: Any, **_: Any) -> RefundSnapshot:
        await on_checkpoint(Evidence("refund.baseline", {
            "transaction_id": call.transaction_id, "amount_minor": call.amount.amount_minor, "api": "v2", "listed": [],
        }))  # fmt: skip
        shop.clock.step_wall(LONG_S)
        await shop.payments.refund_status("r")  # a worker looks: the claim seems to be over
        raise NotSentError("The claim's last moment to send had passed.", code="send_by_passed")

    monkeypatch.setattr(BkashGateway, "refund_payment", too_late)
    outcome = await shop.payments.refund(wish)
    assert isinstance(outcome, Pending)
    assert not outcome.sent
    monkeypatch.undo()
    assert isinstance(await shop.payments.refund(wish), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()

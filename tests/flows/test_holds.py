"""Capture and void of an authorization: sent once, one of both, unknown until the gateway shows which it was."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flows.shop import LONG_S, Shop, shop_open
from vextrus_payments import (
    AlreadyPaidError,
    Authorized,
    ConflictError,
    Declined,
    EventKind,
    Paid,
    PaymentSession,
    Pending,
    ReasonCode,
    Refunded,
    RefundRequest,
    Review,
    Unknown,
    UnsupportedOperationError,
)
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.payment import ExecuteCall, Intent
from vextrus_payments.recording import plan_quarantine
from vextrus_payments.records import Flag, OperationState, PaymentState
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

#: What the sandbox does to the very call, and whether the call was done all the same.
LOST = {
    "drop_after": True,
    "drop_mid_body": True,
    "error_5xx_after": True,
    "malformed": True,
    "html": True,
    "message_only": True,
    "drop_before": False,
    "error_5xx_before": False,
    "malformed_before": False,
    "message_only_before": False,
}


async def held(shop: Shop, reference: str = "INV-1", **changes: object) -> PaymentSession:
    session = await shop.approved(reference, intent=Intent.AUTHORIZATION, **changes)
    assert isinstance(await shop.payments.execute(session.payment_id), Authorized)
    return session


async def state_of(shop: Shop, session: PaymentSession) -> PaymentState:
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    return facts.payment.state


async def test_held_captured_refunded(shop: Shop) -> None:
    session = await held(shop)
    assert await shop.fired() == ["payment.authorized"]
    assert shop.entries == []
    outcome = await shop.payments.capture(session.payment_id)
    assert isinstance(outcome, Paid)
    assert outcome.amount == session.amount
    assert (
        outcome
        == await shop.payments.capture(session.payment_id)
        == await shop.payments.status(session.payment_id)
    )
    await shop.check_books()
    assert [e.kind for e in shop.entries] == ["payment.received"]
    assert shop.entries[0].operation_id == f"capture/{session.payment_id}/1"
    assert shop.events[-1].kind is EventKind.PAID
    back = await shop.payments.refund(RefundRequest(operation_id="r-1", payment_id=session.payment_id))
    assert isinstance(back, Refunded)
    await shop.check_books()
    assert shop.calls("capture") == 1


async def test_a_void_closes_and_books_nothing(shop: Shop) -> None:
    session = await held(shop)
    outcome = await shop.payments.void(session.payment_id)
    assert isinstance(outcome, Declined)
    assert outcome.reason.code is ReasonCode.PAYMENT_CANCELLED
    assert outcome == await shop.payments.void(session.payment_id)
    assert await state_of(shop, session) is PaymentState.CLOSED
    assert await shop.fired() == ["payment.authorized", "payment.closed"]
    assert shop.entries == []
    assert shop.calls("void") == 1
    await shop.check_books()
    assert isinstance(await shop.payments.capture(session.payment_id), Declined)
    again = await shop.approved("INV-1", operation_id="again", amount="150")
    assert isinstance(await shop.payments.execute(again.payment_id), Paid), "the reference is free again"


async def test_what_is_not_held_is_neither_captured_nor_voided(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    for verb in (shop.payments.capture, shop.payments.void):
        with pytest.raises(ConflictError) as refused:
            await verb(session.payment_id)
        assert refused.value.code == "nothing_held"
    await shop.payments.execute(session.payment_id)
    assert isinstance(await shop.payments.capture(session.payment_id), Paid)
    with pytest.raises(ConflictError) as refused:
        await shop.payments.void(session.payment_id)
    assert refused.value.code == "captured"
    assert shop.calls("capture") == shop.calls("void") == 0


async def test_ten_callers_and_two_processes_capture_once(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop:
        await _captured_by_two(
            shop, Shop(shop.server, f"sqlite:///{tmp_path / 'shop.db'}", shop.clock, seed=8)
        )


async def _captured_by_two(shop: Shop, other: Shop) -> None:
    session = await held(shop)
    async with other.payments:
        outcomes = await asyncio.gather(
            *(each.payments.capture(session.payment_id) for each in (shop, other) for _ in range(5))
        )
    assert {type(outcome) for outcome in outcomes} <= {Paid, Pending}
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert shop.calls("capture") == 1
    await shop.check_books()


async def test_capture_and_void_at_once_are_one_of_both(shop: Shop) -> None:
    session = await held(shop)
    await asyncio.gather(
        shop.payments.capture(session.payment_id),
        shop.payments.void(session.payment_id),
        return_exceptions=True,
    )
    assert shop.calls("capture") + shop.calls("void") == 1
    assert await state_of(shop, session) in (PaymentState.PAID, PaymentState.CLOSED)
    await shop.check_books()


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("verb", ["capture", "void"])
async def test_a_lost_answer_is_looked_up_and_never_resent(shop: Shop, verb: str, fault: str) -> None:
    session = await held(shop)
    shop.fault(verb, fault)
    shop.fault("query", "drop_before", times=90)
    call = getattr(shop.payments, verb)
    outcome = await call(session.payment_id)
    assert isinstance(outcome, Unknown), "nobody knows, so it is not called failed"
    assert outcome.operation_id == f"{verb}/{session.payment_id}/1"
    assert isinstance(await call(session.payment_id), Unknown), "a repeat looks, and is not answered"
    assert shop.calls(verb) == 1
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    done = Paid if verb == "capture" else Declined
    outcome = await shop.payments.status(session.payment_id)
    if LOST[fault]:
        assert isinstance(outcome, done)
    else:
        assert isinstance(outcome, Pending), "proven not done: it may be submitted again"
        assert not outcome.sent
        assert isinstance(await call(session.payment_id), done)
    assert shop.calls(verb) == (1 if LOST[fault] else 2)
    assert shop.moved()["capture" if verb == "capture" else "void"] == 1
    await shop.check_books()


async def test_an_early_absence_frees_nothing(shop: Shop) -> None:
    session = await held(shop)
    shop.fault("capture", "error_5xx_before")
    shop.fault("query", "drop_before", times=90)
    assert isinstance(await shop.payments.capture(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Unknown), "still held, but the gateway may still be at it"
    assert isinstance(await shop.payments.capture(session.payment_id), Unknown)
    assert shop.calls("capture") == 1
    with pytest.raises(ConflictError) as refused:
        await shop.payments.void(session.payment_id)
    assert refused.value.code == "other_way_under_way"
    assert shop.calls("void") == 0


async def test_captured_in_the_portal_while_we_void(shop: Shop) -> None:
    session = await held(shop)
    shop.portal(session, "capture")
    outcome = await shop.payments.void(session.payment_id)
    assert isinstance(outcome, Paid)
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    void = facts.operation(f"void/{session.payment_id}/1")
    assert void is not None and void.state is OperationState.DECLINED
    await shop.check_books()
    assert "void.declined" in await shop.fired()


async def test_voided_in_the_portal_while_we_capture(shop: Shop) -> None:
    session = await held(shop)
    shop.portal(session, "void")
    shop.clock.advance(LONG_S)
    outcome = await shop.payments.capture(session.payment_id)
    assert isinstance(outcome, Declined)
    assert await state_of(shop, session) is PaymentState.CLOSED
    await shop.check_books()
    assert shop.entries == []


async def test_status_finds_what_the_portal_did(shop: Shop) -> None:
    first, second = await held(shop, "INV-1"), await held(shop, "INV-2", amount="90")
    shop.portal(first, "capture")
    shop.portal(second, "void")
    assert isinstance(await shop.payments.status(first.payment_id), Paid)
    assert isinstance(await shop.payments.status(second.payment_id), Declined)
    assert shop.calls("capture") == shop.calls("void") == 0
    await shop.check_books()


async def test_a_capture_after_a_believed_void_is_booked_late(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await held(shop)

    async def lies(self: BkashGateway, call: ExecuteCall, **rest: object) -> PaymentSnapshot:
        """The gateway says voided, and captures."""
        shop.portal(session, "capture")
        return PaymentSnapshot(
            state=SnapshotState.VOIDED,
            gateway_reference=call.gateway_reference,
            raw_state="Voided",
            gateway_order_id=call.gateway_order_id,
            amount=call.amount,
        )

    monkeypatch.setattr(BkashGateway, "void_payment", lies)
    assert isinstance(await shop.payments.void(session.payment_id), Declined)
    engine = shop.payments._open_engine()
    gateway = await shop.payments.gateway_of("default", "bkash")
    facts = await engine.context.payment("default", session.payment_id)
    seen = await engine._looking.look_at(facts, facts.submission, gateway)
    assert seen is not None and seen.payment.state is PaymentState.PAID
    assert Flag.LATE in seen.payment.flags
    assert "payment.late" in await shop.fired()
    assert shop.entries[0].postings[1].account == "unapplied_receipts"
    await shop.check_books()


async def test_a_hold_beside_a_paid_sibling_is_not_captured(shop: Shop) -> None:
    session = await held(shop)
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    # A sibling that nobody could stop: charged on purpose.
    other = await shop.approved("INV-1", operation_id="twice", amount="70", allow_repeat=True)
    assert isinstance(await shop.payments.execute(other.payment_id), Paid)
    with pytest.raises(AlreadyPaidError):
        await shop.payments.capture(session.payment_id)
    assert shop.calls("capture") == 0
    withdrawn = await shop.payments.withdraw(f"capture/{session.payment_id}/1")
    assert isinstance(withdrawn, Authorized)
    assert isinstance(await shop.payments.void(session.payment_id), Declined)
    await shop.check_books()


async def test_nothing_is_captured_from_quarantine(shop: Shop) -> None:
    session = await held(shop)
    engine = shop.payments._open_engine()
    await engine.context.recorder.record(
        "default", session.payment_id, lambda facts, _: plan_quarantine(facts, shop.clock.now(), "T")
    )
    assert isinstance(await shop.payments.capture(session.payment_id), Review)
    assert isinstance(await shop.payments.void(session.payment_id), Review)
    assert shop.calls("capture") == shop.calls("void") == 0


async def test_a_refused_capture_may_be_tried_anew_or_voided(shop: Shop) -> None:
    session = await held(shop)
    shop.fault("capture", "code_before;code=2035")
    outcome = await shop.payments.capture(session.payment_id)
    assert isinstance(outcome, Authorized), "the money is still held"
    assert "capture.declined" in await shop.fired()
    assert isinstance(await shop.payments.capture(session.payment_id), Paid)
    assert shop.entries == [] or shop.entries[-1].operation_id == f"capture/{session.payment_id}/2"
    await shop.check_books()


async def test_cancelling_the_caller_stops_nothing(shop: Shop) -> None:
    session = await held(shop)
    task = asyncio.create_task(shop.payments.capture(session.payment_id))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    outcome = await shop.payments.capture(session.payment_id)
    assert isinstance(outcome, Paid)
    assert shop.calls("capture") == 1
    await shop.check_books()


async def test_a_gateway_without_holds(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await held(shop)
    gateway = await shop.payments.gateway_of("default", "bkash")
    assert isinstance(gateway, BkashGateway)
    monkeypatch.setattr(gateway, "_capabilities", replace(gateway.capabilities, features=frozenset()))
    for verb in (shop.payments.capture, shop.payments.void):
        with pytest.raises(UnsupportedOperationError):
            await verb(session.payment_id)

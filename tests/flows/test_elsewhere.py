"""Money that moved without us: refunds made in the gateway's portal, and money that came after a payment was closed."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, facts_of, paid, refund, shop_open
from vextrus_payments import (
    AmountError,
    ConflictError,
    Declined,
    EventKind,
    Money,
    PaymentSession,
    ReasonCode,
    Refunded,
    Review,
    Unknown,
)
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.ledger import Side
from vextrus_payments.payment import RefundCall
from vextrus_payments.recording import plan_quarantine
from vextrus_payments.records import (
    Flag,
    OperationState,
    PaymentFacts,
    PaymentState,
    ReceiptKind,
    ResolutionVerdict,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import RefundSnapshot
from vextrus_payments.states import refundable
from vextrus_payments.testing import FakeClock


async def adopt(shop: Shop, session: PaymentSession) -> PaymentFacts:
    return await shop.payments._open_engine().adopt_refunds("default", session.payment_id)


def balance(shop: Shop, account: str) -> int:
    return sum(
        posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
        for entry in shop.entries
        for posting in entry.postings
        if posting.account == account
    )


# --- refunds in the portal ----------------------------------------------------------------------------------------


async def test_a_portal_refund_is_adopted_once(shop: Shop) -> None:
    session = await paid(shop)
    trx = shop.portal(session, amount="30")
    for _ in range(3):
        facts = await adopt(shop, session)
    (receipt,) = (r for r in facts.receipts if r.kind is ReceiptKind.REFUND)
    assert (receipt.transaction_id, receipt.operation_id) == (trx, None)
    assert receipt.flags == {Flag.ADOPTED}
    assert refundable(facts) == Money("70")
    await shop.check_books()
    assert [e.kind for e in shop.entries] == ["payment.received", "payment.refunded"]
    assert (await shop.fired())[-1] == "refund.adopted"
    with pytest.raises(AmountError):
        await shop.payments.refund(refund(session, "r-1", "70.01"))
    assert isinstance(await shop.payments.refund(refund(session, "r-2")), Refunded)
    await shop.check_books()
    assert shop.clearing() == 0


@pytest.mark.parametrize(("amount", "is_certain"), [("20", True), ("40", False)])
async def test_a_portal_refund_is_booked_while_ours_is_unknown_unless_it_may_be_ours(
    shop: Shop, amount: str, is_certain: bool
) -> None:
    session = await paid(shop)
    shop.fault("refund", "drop_before")
    assert isinstance(await shop.payments.refund(refund(session, "r-1", "40")), Unknown)
    shop.clock.advance(LONG_S)
    trx = shop.portal(session, amount=amount)
    done = await shop.payments.reconcile(session.payment_id)
    assert not done.problems
    receipts = [r for r in (await facts_of(shop, session)).receipts if r.kind is ReceiptKind.REFUND]
    assert [(r.transaction_id, r.operation_id) for r in receipts] == [(trx, None if is_certain else "r-1")]
    await shop.check_books()


async def test_the_list_before_our_own_refund_counts(shop: Shop) -> None:
    session = await paid(shop)
    shop.portal(session, amount="30")
    outcome = await shop.payments.refund(refund(session, "r-1", "50"))
    assert isinstance(outcome, Refunded)
    facts = await facts_of(shop, session)
    assert refundable(facts) == Money("20")
    await shop.check_books()
    assert (await shop.fired()).count("refund.adopted") == 1


async def test_ours_does_not_leave_when_too_little_is_left(shop: Shop) -> None:
    session = await paid(shop)
    shop.portal(session, amount="30")
    outcome = await shop.payments.refund(refund(session, "r-1", "80"))
    assert isinstance(outcome, Declined)
    assert outcome.reason.code is ReasonCode.REFUND_AMOUNT_INVALID
    assert shop.calls("refund") == 0, "it was never sent"
    facts = await facts_of(shop, session)
    assert Flag.QUARANTINED not in facts.payment.flags
    assert refundable(facts) == Money("70")
    assert (await shop.fired())[-2:] == ["refund.adopted", "refund.declined"]
    await shop.check_books()


async def test_a_reserved_refund_that_no_longer_fits_is_looked_at_by_a_person(shop: Shop) -> None:
    session = await paid(shop)
    shop.fault("refund_status", "drop_before", times=90)
    await shop.payments.refund(
        refund(session, "r-1", "80")
    )  # its baseline cannot be read: reserved, not sent
    shop.server.app.state.faults.clear()
    shop.portal(session, amount="30")
    facts = await adopt(shop, session)
    assert Flag.QUARANTINED in facts.payment.flags, "more is promised than is left"
    assert "payment.quarantined" in await shop.fired()
    with pytest.raises(ConflictError):
        await shop.payments.refund(refund(session, "r-1", "80"))
    assert shop.calls("refund") == 0
    await shop.check_books()


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "drop_before"])
async def test_an_equal_refund_in_the_portal_while_ours_is_unknown(shop: Shop, fault: str) -> None:
    session = await paid(shop)
    shop.fault("refund", fault)

    async def between(call: Any) -> None:
        shop.portal(session, amount="30")

    await _refund_with(shop, session, between)
    facts = await facts_of(shop, session)
    await adopt(shop, session)
    shop.clock.advance(LONG_S)
    await shop.payments.refund_status("r-1")
    await adopt(shop, session)
    facts = await facts_of(shop, session)
    await shop.check_books()  # both are booked, once each, whoever's they are
    operation = facts.operation("r-1")
    assert operation is not None
    if fault == "drop_before":
        # One candidate: it is taken for ours. Nothing of ours is sent again for it.
        assert operation.state is OperationState.SUCCEEDED
    else:
        assert operation.state is OperationState.UNKNOWN, "two candidates: nobody guesses"
    assert shop.calls("refund") == 1


async def _refund_with(shop: Shop, session: PaymentSession, between: Callable[[Any], Any]) -> None:
    """Our refund of 30, with something happening between its baseline and its sending."""
    engine = shop.payments._open_engine()
    store = engine.context.store
    real = store.checkpoint

    async def checkpoint(claim: Any, evidence: Any) -> None:
        await real(claim, evidence)
        await between(claim)

    store.checkpoint = checkpoint  # type: ignore[method-assign]
    try:
        await shop.payments.refund(refund(session, "r-1", "30"))
    finally:
        store.checkpoint = real  # type: ignore[method-assign]


async def test_an_equal_refund_in_the_portal_beside_ours_that_is_answered(shop: Shop) -> None:
    session = await paid(shop)

    async def between(call: Any) -> None:
        shop.portal(session, amount="30")

    await _refund_with(shop, session, between)
    facts = await adopt(shop, session)
    operation = facts.operation("r-1")
    assert operation is not None and operation.state is OperationState.SUCCEEDED
    assert refundable(facts) == Money("40")
    await shop.check_books()


async def test_an_answer_that_comes_after_its_refund_was_adopted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two equal ones are listed while ours is on the wire: both are booked, and then the answer says which is ours."""
    session = await paid(shop)
    real = BkashGateway.refund_payment

    async def slow(self: BkashGateway, call: RefundCall, **rest: Any) -> RefundSnapshot:
        snapshot = await real(self, call, **rest)
        shop.portal(session, amount="30")
        await adopt(shop, session)
        return snapshot

    monkeypatch.setattr(BkashGateway, "refund_payment", slow)
    outcome = await shop.payments.refund(refund(session, "r-1", "30"))
    assert isinstance(outcome, Refunded)
    assert outcome.amount == Money("30")
    facts = await facts_of(shop, session)
    assert refundable(facts) == Money("40")
    assert len([r for r in facts.receipts if r.kind is ReceiptKind.REFUND]) == 2
    await shop.check_books()


# --- late money ---------------------------------------------------------------------------------------------------


async def late(shop: Shop, reference: str = "INV-1") -> PaymentSession:
    """A payment that we closed, and that is paid all the same."""
    session = await shop.approved(reference)
    engine = shop.payments._open_engine()
    shop.fault("execute", "error_5xx_before", times=2)
    shop.fault("query", "drop_before", times=90)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()
    shop.clock.advance(LONG_S)
    facts = await facts_of(shop, session)
    await shop.payments.resolve(
        ResolveRequest(
            payment_id=session.payment_id,
            verdict=ResolutionVerdict.NOT_MADE,
            actor="rahim",
            reason="The portal did not show it.",
            evidence=("ticket 7",),
            reviewed_version=facts.payment.version,
            operation_id=f"execute/{session.payment_id}/1",
        )
    )
    rules = shop.server.world.gateways["bkash"].rules  # type: ignore[attr-defined]
    rules.execute(shop.server.world.gateways["bkash"].merchant, session.gateway_reference)  # type: ignore[attr-defined]
    facts = await engine.look("default", session.payment_id)
    assert facts.payment.state is PaymentState.PAID
    assert Flag.LATE in facts.payment.flags
    return session


async def test_late_money_is_kept_unless_the_shop_says_else(shop: Shop) -> None:
    session = await late(shop)
    await shop.payments._open_engine().late_policy("default", session.payment_id)
    assert shop.calls("refund") == 0
    await shop.check_books()
    assert balance(shop, "unapplied_receipts") == -10_000
    assert "payment.late" in await shop.fired() and "payment.paid" not in await shop.fired()
    # A person gives it back: against the account it was booked to, so that no receivable is left behind.
    assert isinstance(await shop.payments.refund(refund(session)), Refunded)
    await shop.check_books()
    assert balance(shop, "unapplied_receipts") == balance(shop, "accounts_receivable") == 0


async def test_late_money_goes_back_once(tmp_path: Path) -> None:
    async with shop_open(tmp_path, FakeClock(), late_payment="refund") as shop:
        session = await late(shop)
        engine = shop.payments._open_engine()
        facts = await facts_of(shop, session)
        trx = facts.receipts[0].transaction_id
        await asyncio.gather(*(engine.late_policy("default", session.payment_id) for _ in range(5)))
        facts = await facts_of(shop, session)
        operation = facts.operation(f"late/{session.payment_id}/{trx}")
        assert operation is not None and operation.state is OperationState.SUCCEEDED
        assert shop.calls("refund") == 1
        await shop.check_books()
        assert shop.clearing() == 0
        assert balance(shop, "unapplied_receipts") == balance(shop, "accounts_receivable") == 0
        assert (await shop.fired())[-1] == "refund.succeeded"


async def test_giving_late_money_back_survives_a_crash(tmp_path: Path) -> None:
    async with shop_open(tmp_path, FakeClock(), late_payment="refund") as shop:
        session = await late(shop)
        engine = shop.payments._open_engine()
        shop.fault("refund", "drop_after")
        await engine.late_policy("default", session.payment_id)
        shop.clock.advance(LONG_S)
        await engine.look("default", session.payment_id)
        await engine.late_policy("default", session.payment_id)
        assert shop.calls("refund") == 1
        assert refundable(await facts_of(shop, session)) == Money("0")
        await shop.check_books()


async def test_a_quarantined_payment_gives_nothing_back(tmp_path: Path) -> None:
    async with shop_open(tmp_path, FakeClock(), late_payment="refund") as shop:
        session = await late(shop)
        engine = shop.payments._open_engine()
        await engine.context.recorder.record(
            "default", session.payment_id, lambda facts, _: plan_quarantine(facts, shop.clock.now(), "T")
        )
        await engine.late_policy("default", session.payment_id)
        assert shop.calls("refund") == 0
        assert isinstance(await shop.payments.status(session.payment_id), Review)
        assert any(event.kind is EventKind.QUARANTINED for event in shop.events) or await shop.fired()

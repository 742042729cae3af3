"""Ways in which money at SSLCommerz went back twice, was booked wrongly or was overlooked: each was one once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.gateways.sslcommerz.test_engine import Shop, paid, part
from vextrus_payments import Declined, Money, Paid, PaymentSession, Pending, Refunded, Unknown
from vextrus_payments.errors import AmountError, ConflictError
from vextrus_payments.records import Flag, PaymentFacts, ReceiptKind, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    async with made.payments:
        yield made


async def facts_of(shop: Shop, session: PaymentSession) -> PaymentFacts:
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None
    return facts


async def refunds_of(shop: Shop, session: PaymentSession) -> dict[str, Money]:
    receipts = (await facts_of(shop, session)).receipts
    return {r.transaction_id: r.amount for r in receipts if r.kind is ReceiptKind.REFUND}


# --- refunds ----------------------------------------------------------------------------------------------------------


async def test_an_id_of_another_refund_tells_nothing_of_this_one(shop: Shop) -> None:
    """Believed, the first look booked that one refund at this one's amount, and the other stayed pending for good."""
    session = await paid(shop)
    answer = shop.little._answer

    def confused(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        operation, body = answer(path, said)
        return operation, {**body, "refund_ref_id": "ref1"} if operation == "refund" else body

    shop.little._answer = confused  # type: ignore[method-assign]
    assert isinstance(await shop.payments.refund(part(session, 1, "40.00")), Pending)
    assert isinstance(await shop.payments.refund(part(session, 2, "25.00")), Unknown)
    shop.little.refunds["ref1"]["status"] = "refunded"
    assert isinstance(await shop.payments.refund_status("r2"), Unknown)
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    assert await refunds_of(shop, session) == {"ref1": Money("40.00")}


async def denied(shop: Shop) -> PaymentSession:
    """A refund that SSLCommerz accepted, and of which an operator says that it was not made."""
    session = await paid(shop)
    assert isinstance(await shop.payments.refund(part(session, 1, "100.00")), Pending)
    shop.clock.advance(7200)
    await shop.payments.resolve(
        ResolveRequest(
            payment_id=session.payment_id,
            operation_id="r1",
            verdict=ResolutionVerdict.NOT_MADE,
            actor="Rahima",
            reason="It is not in the panel.",
            evidence=("panel, 23 November",),
            reviewed_version=(await facts_of(shop, session)).payment.version,
        )
    )
    return session


async def test_an_accepted_refund_that_an_operator_denies_is_asked_for_before_another_leaves(
    shop: Shop,
) -> None:
    session = await denied(shop)
    shop.little.refunds["ref1"]["status"] = "refunded"
    with pytest.raises(ConflictError):
        await shop.payments.refund(part(session, 2, "100.00"))
    assert shop.little.calls("refund") == 1
    assert await refunds_of(shop, session) == {"ref1": Money("100.00")}
    assert Flag.QUARANTINED in await shop.flags(session)


async def test_nothing_stands_in_for_one_that_is_under_way_whatever_an_operator_says(shop: Shop) -> None:
    session = await denied(shop)
    with pytest.raises(ConflictError):
        await shop.payments.refund(part(session, 2, "100.00"))
    assert shop.little.calls("refund") == 1 and Flag.QUARANTINED in await shop.flags(session)


async def test_the_gateways_word_outranks_the_operators_whoever_asks(shop: Shop) -> None:
    session = await denied(shop)
    shop.little.refunds["ref1"]["status"] = "refunded"
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    with pytest.raises(AmountError):
        await shop.payments.refund(part(session, 2, "100.00"))
    assert shop.little.calls("refund") == 1


async def test_an_operator_with_whom_the_gateway_agrees_makes_room(shop: Shop) -> None:
    session = await denied(shop)
    shop.little.refunds["ref1"]["status"] = "cancelled"
    assert isinstance(await shop.payments.refund_status("r1"), Declined)
    assert isinstance(await shop.payments.refund(part(session, 2, "100.00")), Pending)


async def test_an_operator_cannot_take_another_refunds_id_for_the_one_that_got_lost(shop: Shop) -> None:
    session = await paid(shop)
    shop.little.lose = {"refund"}
    assert isinstance(await shop.payments.refund(part(session, 1, "40.00")), Unknown)
    shop.little.lose = set()
    assert isinstance(await shop.payments.refund(part(session, 2, "25.00")), Pending)  # accepted as ref2
    shop.clock.advance(7200)
    answer = ResolveRequest(
        payment_id=session.payment_id,
        operation_id="r1",
        verdict=ResolutionVerdict.MADE,
        actor="Rahima",
        reason="It stands in the panel.",
        evidence=("panel, 23 November",),
        reviewed_version=(await facts_of(shop, session)).payment.version,
        transaction_id="ref2",
        amount=Money("40.00"),
    )
    with pytest.raises(ConflictError, match="another refund"):
        await shop.payments.resolve(answer)
    await shop.payments.resolve(replace(answer, transaction_id="ref1"))
    shop.little.refunds["ref2"]["status"] = "refunded"
    assert isinstance(await shop.payments.refund_status("r2"), Refunded)
    assert await refunds_of(shop, session) == {"ref1": Money("40.00"), "ref2": Money("25.00")}


# --- several payments on one page -------------------------------------------------------------------------------------


async def test_a_risky_duplicate_is_not_let_go_by_the_payment_beside_it(shop: Shop) -> None:
    """Taken for one, it was called paid a second time: to a shop that ships on that."""
    session = await shop.open()
    await shop.notified(shop.little.pay())
    await shop.notified(shop.little.pay(risk_level="1"))
    shop.clock.advance(60)
    await shop.notified(shop.little.pay())
    assert (await shop.fired()).count("payment.paid") == 1
    assert Flag.ON_HOLD in await shop.flags(session)


async def test_a_risky_payment_stays_on_hold_beside_an_older_try_that_is_safe(shop: Shop) -> None:
    session = await shop.open()
    risky = shop.little.pay(risk_level="1", tran_date="2026-11-23 10:20:00")
    await shop.notified(risky)
    shop.clock.advance(60)
    await shop.notified(shop.little.pay(tran_date="2026-11-23 10:15:00"))
    shop.clock.advance(60)
    await shop.notified(shop.little.pay(tran_date="2026-11-23 10:25:00"))
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.on_hold
    assert "payment.paid" not in await shop.fired()
    risky["risk_level"] = "0"
    shop.clock.advance(60)
    await shop.notified(shop.little.pay(tran_date="2026-11-23 10:30:00"))
    assert (await shop.fired()).count("payment.paid") == 1
    assert Flag.ON_HOLD not in await shop.flags(session)


async def test_a_notification_that_it_is_safe_now_makes_us_look_and_let_go(shop: Shop) -> None:
    """It was taken for the same news once more, and nobody ever asked again: the goods stayed back for good."""
    session = await shop.open()
    attempt = shop.little.pay(risk_level="1")
    await shop.notified(attempt)
    shop.clock.advance(60)
    await shop.notified({**attempt, "risk_level": "0"})  # its word alone lets nothing go
    assert await shop.fired() == ["payment.on_hold"]
    attempt.update(risk_level="0", risk_title="Safe")
    shop.clock.advance(60)
    await shop.notified(attempt)
    assert await shop.fired() == ["payment.on_hold", "payment.paid"]
    assert Flag.ON_HOLD not in await shop.flags(session)


@pytest.mark.parametrize("val_id", ["", "val1"])
async def test_a_second_paid_try_that_cannot_be_validated_is_not_overlooked(shop: Shop, val_id: str) -> None:
    session = await shop.open()
    shop.little.pay()
    shop.little.pay(val_id=val_id)
    await shop.payments.status(session.payment_id)
    assert Flag.QUARANTINED in await shop.flags(session)
    assert [r.transaction_id for r in (await facts_of(shop, session)).receipts] == ["bank1"]


@pytest.mark.parametrize("val_id", ["", "val9"])
async def test_nor_is_one_that_names_no_transaction_at_all(shop: Shop, val_id: str) -> None:
    session = await shop.open()
    shop.little.pay()
    blank = shop.little.pay(val_id=val_id, bank_tran_id="")
    await shop.payments.status(session.payment_id)
    assert Flag.QUARANTINED in await shop.flags(session)
    assert [r.transaction_id for r in (await facts_of(shop, session)).receipts] == ["bank1"]
    assert blank["status"] == "VALID"


async def test_a_row_without_its_bank_s_number_is_the_payment_that_its_val_id_names(shop: Shop) -> None:
    session = await shop.open()
    shop.little.pay()
    answer = shop.little._answer

    def without(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        operation, body = answer(path, said)
        if operation == "query":
            body = {**body, "element": [{**row, "bank_tran_id": ""} for row in body["element"]]}
        return operation, body

    shop.little._answer = without  # type: ignore[method-assign]
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert await shop.flags(session) == frozenset()


async def test_nor_is_one_that_the_validation_does_not_know_yet(shop: Shop) -> None:
    session = await shop.open()
    shop.little.pay()
    second, answer = shop.little.pay(), shop.little._answer

    def behind(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        operation, body = answer(path, said)
        if operation == "validate" and said["val_id"] == second["val_id"]:
            body = {"APIConnect": "DONE", "status": "INVALID_TRANSACTION", "val_id": said["val_id"]}
        return operation, body

    shop.little._answer = behind  # type: ignore[method-assign]
    await shop.payments.status(session.payment_id)
    assert Flag.QUARANTINED in await shop.flags(session)
    shop.little._answer = answer  # type: ignore[method-assign]
    await shop.notified(second)
    assert [r.transaction_id for r in (await facts_of(shop, session)).receipts] == ["bank1", "bank2"]


async def test_one_paid_try_that_is_listed_twice_is_one(shop: Shop) -> None:
    session = await shop.open()
    shop.little.attempts.append(shop.little.pay())
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert await shop.flags(session) == frozenset()


# --- a page that was paid ---------------------------------------------------------------------------------------------


async def test_a_second_payment_of_a_paid_page_is_found_when_its_notification_got_lost(shop: Shop) -> None:
    session = await shop.open()
    shop.little.pay()
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    asked = len(shop.little.asked)
    shop.little.pay()  # in another tab; its notification never comes
    for _ in range(20):
        shop.clock.advance(3600)
        await shop.payments.reconcile_due()
    assert len(shop.little.asked) == asked, "no question before the page is over"
    for _ in range(6):
        shop.clock.advance(3600)
        await shop.payments.reconcile_due()
    facts = await facts_of(shop, session)
    assert [r.transaction_id for r in facts.receipts] == ["bank1", "bank2"]
    assert Flag.DUPLICATE in facts.receipts[1].flags
    asked = len(shop.little.asked)
    for _ in range(10):
        shop.clock.advance(86_400)
        await shop.payments.reconcile_due()
    assert len(shop.little.asked) == asked, "one last look, and no more"


async def test_the_last_look_at_a_paid_page_outlives_what_is_recorded_meanwhile(shop: Shop) -> None:
    session = await paid(shop)
    assert isinstance(await shop.payments.refund(part(session, 1, "40.00")), Pending)
    shop.little.refunds["ref1"]["status"] = "refunded"
    shop.clock.advance(60)
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    shop.little.pay()
    for _ in range(26):
        shop.clock.advance(3600)
        await shop.payments.reconcile_due()
    ids = [
        r.transaction_id for r in (await facts_of(shop, session)).receipts if r.kind is ReceiptKind.PAYMENT
    ]
    assert ids == ["bank1", "bank2"]

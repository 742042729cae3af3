"""SSLCommerz under the whole engine, over a little gateway of the tests' own: news, looks, refunds."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.gateways.sslcommerz.hand import refund_call
from tests.gateways.sslcommerz.little import Stall
from vextrus_payments import (
    Declined,
    Money,
    Paid,
    PaymentRequest,
    PaymentSession,
    Pending,
    Refunded,
    RefundRequest,
    Review,
    Unknown,
)
from vextrus_payments.errors import AlreadyPaidError
from vextrus_payments.gateways.sslcommerz.refunds import refund_number
from vextrus_payments.records import Flag, PaymentState, ReceiptKind, ResolutionVerdict
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.secret import MASK


class Shop(Stall):
    """One shop, without tenants."""

    async def open(self, reference: str = "INV-1", **changes: Any) -> PaymentSession:
        known: dict[str, Any] = {
            "operation_id": f"{reference}/pay",
            "gateway": "sslcommerz",
            "amount": Money("100.00"),
            "merchant_reference": reference,
            "return_url": f"https://shop.example/orders/{reference}",
        }
        return await self.payments.initialize(PaymentRequest(**{**known, **changes}))

    async def post(self, fields: dict[str, str], door: str = "webhook", query: str = "") -> httpx.Response:
        return await self.knock(f"/sslcommerz/{door}" + (f"?{query}" if query else ""), fields)

    async def notified(self, attempt: dict[str, Any]) -> int:
        """Its notification arrives, and the inbox is worked off; the door's answer."""
        reply = await self.post(self.little.notification(attempt))
        await self.payments.process_inbox()
        return reply.status_code

    async def fired(self) -> list[str]:
        await self.payments.deliver()
        return [event.kind.value for event in self.events]

    async def state(self, session: PaymentSession) -> PaymentState:
        facts = await self.payments.get(session.payment_id)
        assert facts is not None
        return facts.payment.state

    async def flags(self, session: PaymentSession) -> frozenset[Flag]:
        facts = await self.payments.get(session.payment_id)
        assert facts is not None
        return facts.payment.flags


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    made = Shop()
    async with made.payments:
        yield made


async def test_a_notification_makes_us_look_and_what_is_seen_is_booked_once(shop: Shop) -> None:
    session = await shop.open()
    assert isinstance(await shop.payments.execute(session.payment_id), Pending)
    attempt = shop.little.pay()
    for _ in range(3):
        assert await shop.notified(attempt) == 200
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.transaction_id == "bank1"
    assert outcome.method is not None and outcome.method.name == "bkash"
    assert shop.little.calls("validate") == 1
    assert await shop.fired() == ["payment.paid"]


async def test_a_forged_notification_is_refused_and_asks_nobody(shop: Shop) -> None:
    session = await shop.open()
    fields = shop.little.notification(shop.little.pay())
    asked = len(shop.little.asked)
    for forged in ({**fields, "amount": "1.00"}, {**fields, "verify_key": "tran_id"}):
        assert (await shop.post(forged)).status_code == 401
    assert (await shop.post({})).status_code == 400
    await shop.payments.process_inbox()
    assert len(shop.little.asked) == asked
    assert await shop.state(session) is PaymentState.AWAITING_PAYER


async def test_a_true_notification_of_money_that_the_gateway_does_not_show_books_nothing(shop: Shop) -> None:
    """Signed is not true: an MD5 over what the sender chose to cover moves nothing."""
    session = await shop.open()
    attempt = shop.little.pay()
    shop.little.attempts.clear()
    await shop.notified(attempt)
    for _ in range(40):
        shop.clock.advance(3600)
        await shop.payments.process_inbox()
    await shop.payments.deliver()
    assert shop.entries == [] and await shop.state(session) is not PaymentState.PAID
    assert Flag.QUARANTINED in await shop.flags(session)


async def test_a_browsers_post_leads_to_a_look_and_on_to_the_shop(shop: Shop) -> None:
    session = await shop.open()
    attempt = shop.little.pay()
    fields = {name: str(value) for name, value in attempt.items()}
    address = shop.little.forms[0]["success_url"]
    assert address.startswith("https://shop.example/payments/sslcommerz/return?")
    reply = await shop.post(fields, "return", address.partition("?")[2])
    assert reply.status_code == 303
    assert reply.headers["location"].startswith("https://shop.example/orders/INV-1?payment_id=pay_")
    assert await shop.state(session) is PaymentState.PAID


async def test_a_posted_lie_is_worth_a_look(shop: Shop) -> None:
    session = await shop.open()
    made = {**shop.little.pay(status="FAILED"), "status": "VALID", "bank_tran_id": "x", "val_id": "x"}
    fields = {name: str(value) for name, value in made.items()}
    assert (await shop.post(fields, "return")).status_code == 303
    assert await shop.state(session) is PaymentState.AWAITING_PAYER


async def test_a_failed_try_stays_open_and_never_undoes_a_payment(shop: Shop) -> None:
    session = await shop.open()
    failed = shop.little.pay(status="FAILED")
    assert await shop.notified(failed) == 200
    assert isinstance(await shop.payments.status(session.payment_id), Pending)
    await shop.notified(shop.little.pay())
    later = shop.little.pay(status="FAILED")
    await shop.notified(later)
    await shop.notified(shop.little.pay(status="CANCELLED"))
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert await shop.fired() == ["payment.paid"]


async def test_two_paid_attempts_are_booked_and_the_second_is_announced_as_a_duplicate(shop: Shop) -> None:
    session = await shop.open()
    first, second = shop.little.pay(), shop.little.pay()
    await shop.notified(first)
    await shop.notified(second)
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.transaction_id == "bank1"
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None and {r.transaction_id for r in facts.receipts} == {"bank1", "bank2"}
    assert await shop.fired() == ["payment.paid", "payment.duplicate"]


async def test_a_second_payment_that_comes_later_is_found_by_its_notification(shop: Shop) -> None:
    session = await shop.open()
    await shop.notified(shop.little.pay())
    assert await shop.fired() == ["payment.paid"]
    await shop.notified(shop.little.pay())
    assert await shop.fired() == ["payment.paid", "payment.duplicate"]
    assert isinstance(await shop.payments.status(session.payment_id), Paid)


async def test_risky_money_is_paid_on_hold_and_not_called_paid_to_who_ships(shop: Shop) -> None:
    session = await shop.open()
    await shop.notified(shop.little.pay(risk_level="1", risk_title="Suspicious"))
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.on_hold
    assert await shop.fired() == ["payment.on_hold"]
    assert len(shop.entries) > 0


async def test_less_than_was_asked_goes_to_suspense_and_a_person(shop: Shop) -> None:
    session = await shop.open()
    shop.little.pay(amount="99.99")
    assert isinstance(await shop.payments.status(session.payment_id), Review)
    assert "payment.paid" not in await shop.fired()


async def test_another_shops_money_under_the_same_tran_id_pays_nothing_here(shop: Shop) -> None:
    session = await shop.open()
    other = shop.little.pay()
    other["value_d"] = "MFRGGZDFMZTWQ2LKNNWG23TPOA"
    await shop.notified(other)
    assert isinstance(await shop.payments.status(session.payment_id), Pending)
    for _ in range(20):
        shop.clock.advance(3600)
        await shop.payments.process_inbox()
    assert Flag.QUARANTINED not in await shop.flags(session)
    assert await shop.state(session) is PaymentState.AWAITING_PAYER
    assert "payment.paid" not in await shop.fired()


async def test_a_page_that_was_left_is_cancelled_and_money_that_comes_all_the_same_is_late(
    shop: Shop,
) -> None:
    session = await shop.open()
    await shop.notified(shop.little.pay(status="CANCELLED"))
    assert isinstance(await shop.payments.status(session.payment_id), Declined)
    await shop.notified(shop.little.pay())
    outcome = await shop.payments.status(session.payment_id)
    assert isinstance(outcome, Paid) and outcome.late


# --- refunds ----------------------------------------------------------------------------------------------------------


async def paid(shop: Shop) -> PaymentSession:
    session = await shop.open()
    shop.little.pay()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    return session


def part(session: PaymentSession, number: int = 1, amount: str = "40.00") -> RefundRequest:
    return RefundRequest(operation_id=f"r{number}", payment_id=session.payment_id, amount=Money(amount))


async def test_a_refund_is_pending_until_the_query_says_refunded(shop: Shop) -> None:
    session = await paid(shop)
    assert isinstance(await shop.payments.refund(part(session)), Pending)
    assert isinstance(await shop.payments.refund_status("r1"), Pending)
    shop.little.refunds["ref1"]["status"] = "refunded"
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    assert isinstance(await shop.payments.refund(part(session)), Refunded)
    assert shop.little.calls("refund") == 1
    assert await shop.fired() == ["payment.paid", "refund.succeeded"]


async def test_what_was_accepted_can_still_end_cancelled_and_frees_its_amount(shop: Shop) -> None:
    session = await paid(shop)
    await shop.payments.refund(part(session, 1, "100.00"))
    shop.little.refunds["ref1"]["status"] = "cancelled"
    assert isinstance(await shop.payments.refund_status("r1"), Declined)
    assert isinstance(await shop.payments.refund(part(session, 2, "100.00")), Pending)


async def test_the_reconciler_ends_what_nobody_asks_about(shop: Shop) -> None:
    session = await paid(shop)
    await shop.payments.refund(part(session))
    shop.little.refunds["ref1"]["status"] = "refunded"
    shop.clock.advance(3600)
    await shop.payments.reconcile_due()
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None and any(r.transaction_id == "ref1" for r in facts.receipts)


async def test_refunds_run_side_by_side(shop: Shop) -> None:
    session = await paid(shop)
    assert isinstance(await shop.payments.refund(part(session, 1)), Pending)
    assert isinstance(await shop.payments.refund(part(session, 2)), Pending)
    shop.little.refunds["ref2"]["status"] = "refunded"
    assert isinstance(await shop.payments.refund_status("r2"), Refunded)
    assert isinstance(await shop.payments.refund_status("r1"), Pending)


async def test_a_lost_answer_stays_unknown_and_nothing_is_sent_again(shop: Shop) -> None:
    session = await paid(shop)
    shop.little.lose = {"refund"}
    assert isinstance(await shop.payments.refund(part(session)), Unknown)
    shop.little.lose = set()
    for _ in range(3):
        shop.clock.advance(7200)
        await shop.payments.reconcile_due()
        assert isinstance(await shop.payments.refund_status("r1"), Unknown)
        assert isinstance(await shop.payments.refund(part(session)), Unknown)
    assert shop.little.calls("refund") == 1 and shop.little.calls("refund_query") == 0
    await shop.payments.deliver()
    assert not any("refund" in entry.id for entry in shop.entries)


async def test_the_payment_log_says_by_which_number_a_refund_whose_answer_got_lost_was_asked_for(
    shop: Shop,
) -> None:
    """Whoever looks for it in SSLCommerz's panel needs that number; the password beside it he must not see."""
    session = await paid(shop)
    shop.little.lose = {"refund"}
    await shop.payments.refund(part(session))
    history = await shop.payments.history(session.payment_id)
    (asked,) = [one for attempt in history.attempts for one in attempt.exchanges if one.operation == "refund"]
    assert asked.request["refund_trans_id"] == refund_number_of(session)
    assert asked.request["refund_amount"] == "40.00" and asked.request["bank_tran_id"] == "bank1"
    assert asked.request["store_passwd"] == MASK and "?" not in asked.url.removesuffix("?…")
    (opened,) = [
        one for attempt in history.attempts for one in attempt.exchanges if one.operation == "session"
    ]
    assert opened.request["total_amount"] == "100.00" and opened.request["store_passwd"] == MASK
    assert opened.request["cus_name"] == MASK


def refund_number_of(session: PaymentSession) -> str:
    call = refund_call(operation_id="r1", transaction_id="bank1", gateway_reference=session.gateway_reference)
    return refund_number(call)


async def test_a_person_says_how_a_lost_refund_ended_and_it_is_booked_once(shop: Shop) -> None:
    session = await paid(shop)
    shop.little.lose = {"refund"}
    await shop.payments.refund(part(session))
    shop.little.lose = set()
    shop.clock.advance(3600)
    before = await shop.payments.get(session.payment_id)
    assert before is not None
    await shop.payments.resolve(
        ResolveRequest(
            payment_id=session.payment_id,
            operation_id="r1",
            verdict=ResolutionVerdict.MADE,
            actor="Rahima",
            reason="It stands in the panel as refunded.",
            evidence=("panel, 23 November",),
            reviewed_version=before.payment.version,
            transaction_id="ref1",
            amount=Money("40.00"),
        )
    )
    shop.little.refunds["ref1"]["status"] = "refunded"
    for _ in range(3):
        shop.clock.advance(7200)
        await shop.payments.reconcile_due()
    assert isinstance(await shop.payments.refund_status("r1"), Refunded)
    facts = await shop.payments.get(session.payment_id)
    assert facts is not None and [
        r.transaction_id for r in facts.receipts if r.kind is ReceiptKind.REFUND
    ] == ["ref1"]
    assert shop.little.calls("refund") == 1


async def test_another_payment_can_be_offered_after_a_failed_try_and_not_beside_money(shop: Shop) -> None:
    await shop.open()
    shop.little.pay(status="FAILED")
    second = await shop.open(operation_id="INV-1/again")
    assert shop.little.forms[1]["tran_id"] != shop.little.forms[0]["tran_id"]
    shop.little.pay(index=0)
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="INV-1/third")
    shop.little.pay(index=1)
    assert isinstance(await shop.payments.status(second.payment_id), Paid)
    assert Flag.DUPLICATE in await shop.flags(second)
    assert await shop.fired() == ["payment.paid", "payment.duplicate"]

"""Two tenants on one SSLCommerz store: the same credentials, the same references, and posts at the other's door.

Both number their invoices alike, so both sent the tran_id INV-1, and a query by it shows the money of both. What tells
them apart is the reference that each session carries.
"""

from collections.abc import AsyncIterator
from random import Random
from typing import Any

import httpx
import pytest

from tests.gateways.sslcommerz.little import Stall, little_config
from vextrus_payments import (
    Money,
    Paid,
    PaymentRequest,
    PaymentSession,
    Pending,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.config import GatewayConfig
from vextrus_payments.errors import InvalidRequestError
from vextrus_payments.records import Flag, PaymentFacts


class Mall(Stall):
    """One Payments for the tenants a and b, who share a store."""

    def __init__(self) -> None:
        super().__init__(credentials=self._credentials, public_url="https://mall.example/payments")

    async def _credentials(self, tenant: str, gateway: str) -> GatewayConfig:
        assert tenant in ("a", "b") and gateway == "sslcommerz"
        return little_config()

    async def open(self, tenant: str, amount: str = "100.00", operation: str = "INV-1/pay") -> PaymentSession:
        request = PaymentRequest(
            operation_id=operation,
            allow_repeat=operation != "INV-1/pay",
            gateway="sslcommerz",
            amount=Money(amount),
            merchant_reference="INV-1",
            return_url=f"https://{tenant}.example/orders/1",
        )
        return await self.payments.for_tenant(tenant).initialize(request)

    async def post(self, tenant: str, fields: dict[str, str], door: str = "webhook") -> httpx.Response:
        """A post at one tenant's door, and the inbox is worked off."""
        reply = await self.knock(f"/t/{tenant}/sslcommerz/{door}", fields)
        await self.payments.process_inbox()
        return reply

    async def facts(self, tenant: str, session: PaymentSession) -> PaymentFacts:
        facts = await self.payments.for_tenant(tenant).get(session.payment_id)
        assert facts is not None
        return facts

    async def booked(self, tenant: str) -> dict[str, str]:
        """Transaction id -> amount, of what the tenant's ledger was told."""
        await self.payments.deliver()
        mine = [entry for entry in self.entries if entry.tenant == tenant]
        return {entry.transaction_id or "": entry.postings[0].amount.amount for entry in mine}

    async def announced(self, tenant: str) -> list[str]:
        await self.payments.deliver()
        return [event.kind.value for event in self.events if event.tenant == tenant]


@pytest.fixture
async def mall() -> AsyncIterator[Mall]:
    made = Mall()
    async with made.payments:
        yield made


async def both(mall: Mall) -> tuple[PaymentSession, PaymentSession]:
    ours, theirs = await mall.open("a"), await mall.open("b")
    assert ours.gateway_order_id == theirs.gateway_order_id == "INV-1"
    assert ours.gateway_reference != theirs.gateway_reference
    doors = [form["ipn_url"] for form in mall.little.forms]
    assert doors == [f"https://mall.example/payments/t/{tenant}/sslcommerz/webhook" for tenant in "ab"]
    return ours, theirs


async def test_each_tenants_money_is_its_own_though_both_sent_one_tran_id(mall: Mall) -> None:
    ours, theirs = await both(mall)
    mall.little.pay(index=0)
    assert isinstance(await mall.payments.for_tenant("b").status(theirs.payment_id), Pending)
    assert isinstance(await mall.payments.for_tenant("b").execute(theirs.payment_id), Pending)
    assert isinstance(await mall.payments.for_tenant("a").status(ours.payment_id), Paid)
    mall.little.pay(index=1)
    paid = await mall.payments.for_tenant("b").status(theirs.payment_id)
    assert isinstance(paid, Paid) and paid.transaction_id == "bank2"
    assert await mall.booked("a") == {"bank1": "100.00"} and await mall.booked("b") == {"bank2": "100.00"}
    for tenant, session in (("a", ours), ("b", theirs)):
        assert (await mall.facts(tenant, session)).payment.flags == frozenset()
        assert await mall.announced(tenant) == ["payment.paid"]


async def test_a_notification_at_the_others_door_books_nothing_there_and_is_told_to_a_person(
    mall: Mall,
) -> None:
    """The store has one IPN address, so the posts about both tenants' money may come to one door."""
    ours, theirs = await both(mall)
    notification = mall.little.notification(mall.little.pay(index=0))
    assert (await mall.post("b", notification)).status_code == 200, "it is signed, with b's own password"
    for _ in range(30):
        mall.clock.advance(3600)
        await mall.payments.process_inbox()
    assert await mall.booked("b") == {}
    assert (await mall.facts("b", theirs)).payment.flags == frozenset()
    assert await mall.announced("b") == ["receipt.unmatched"]
    # It takes nothing from a: the same post at its own door is news there.
    assert (await mall.post("a", notification)).status_code == 200
    assert isinstance(await mall.payments.for_tenant("a").status(ours.payment_id), Paid)
    assert await mall.booked("a") == {"bank1": "100.00"} and await mall.booked("b") == {}


async def test_a_notification_that_went_to_the_others_door_alone_is_made_up_for_by_looking(
    mall: Mall,
) -> None:
    ours, _ = await both(mall)
    await mall.post("b", mall.little.notification(mall.little.pay(index=0)))
    mall.clock.advance(20)
    await mall.payments.reconcile_due()
    assert isinstance(await mall.payments.for_tenant("a").status(ours.payment_id), Paid)
    assert await mall.booked("a") == {"bank1": "100.00"} and await mall.booked("b") == {}


async def test_a_failed_try_of_the_others_closes_nothing(mall: Mall) -> None:
    ours, theirs = await both(mall)
    cancelled = mall.little.pay(index=0, status="CANCELLED")
    for tenant in ("a", "b"):
        await mall.post(tenant, mall.little.notification(cancelled))
    assert isinstance(await mall.payments.for_tenant("b").status(theirs.payment_id), Pending)
    mall.little.pay(index=1)
    assert isinstance(await mall.payments.for_tenant("b").status(theirs.payment_id), Paid)
    assert "payment.paid" not in await mall.announced("a")
    assert (await mall.facts("a", ours)).receipts == ()


async def test_a_browser_at_the_others_return_door_finds_no_payment(mall: Mall) -> None:
    ours, theirs = await both(mall)
    fields = {name: str(value) for name, value in mall.little.pay(index=0).items()}
    reply = await mall.post("b", fields, "return")
    assert reply.status_code == 400 or "location" not in reply.headers
    assert "b.example" not in reply.text and ours.payment_id not in reply.text
    with pytest.raises(InvalidRequestError):
        await mall.payments.for_tenant("b").handle_return("sslcommerz", fields)
    assert (await mall.facts("b", theirs)).receipts == () == (await mall.facts("a", ours)).receipts
    reply = await mall.post("a", fields, "return")
    assert reply.headers["location"].startswith("https://a.example/orders/1?payment_id=")
    assert await mall.booked("a") == {"bank1": "100.00"}


async def test_refunds_of_both_are_told_apart_though_their_operations_are_called_alike(mall: Mall) -> None:
    sessions = dict(zip("ab", await both(mall), strict=True))
    for index, (tenant, session) in enumerate(sessions.items()):
        mall.little.pay(index=index)
        assert isinstance(await mall.payments.for_tenant(tenant).status(session.payment_id), Paid)
    numbers = []
    answer = mall.little._answer

    def noting(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        numbers.extend([said["refund_trans_id"]] if "refund_trans_id" in said else [])
        return answer(path, said)

    mall.little._answer = noting  # type: ignore[method-assign]
    for tenant, session in sessions.items():
        refund = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40.00"))
        assert isinstance(await mall.payments.for_tenant(tenant).refund(refund), Pending)
    assert len(set(numbers)) == 2, "by one number the second would be taken for the first"
    mall.little.refunds["ref1"]["status"] = "refunded"
    assert isinstance(await mall.payments.for_tenant("a").refund_status("r"), Refunded)
    assert isinstance(await mall.payments.for_tenant("b").refund_status("r"), Pending)
    mall.little.refunds["ref2"]["status"] = "refunded"
    assert isinstance(await mall.payments.for_tenant("b").refund_status("r"), Refunded)
    assert set(await mall.booked("a")) == {"bank1", "ref1"} and set(await mall.booked("b")) == {
        "bank2",
        "ref2",
    }


async def test_a_lost_refund_of_one_is_not_settled_by_the_others(mall: Mall) -> None:
    sessions = dict(zip("ab", await both(mall), strict=True))
    for index, (tenant, session) in enumerate(sessions.items()):
        mall.little.pay(index=index)
        await mall.payments.for_tenant(tenant).status(session.payment_id)
    request = {
        tenant: RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40.00"))
        for tenant, session in sessions.items()
    }
    mall.little.lose = {"refund"}
    assert isinstance(await mall.payments.for_tenant("a").refund(request["a"]), Unknown)
    mall.little.lose = set()
    assert isinstance(await mall.payments.for_tenant("b").refund(request["b"]), Pending)
    for number in ("ref1", "ref2"):
        mall.little.refunds[number]["status"] = "refunded"
    for _ in range(3):
        mall.clock.advance(7200)
        await mall.payments.reconcile_due()
    assert isinstance(await mall.payments.for_tenant("a").refund_status("r"), Unknown)
    assert isinstance(await mall.payments.for_tenant("b").refund_status("r"), Refunded)
    assert mall.little.calls("refund") == 2


async def test_a_row_of_the_others_without_its_reference_is_not_taken_for_ours(mall: Mall) -> None:
    """A query that repeats no value_d: only the validation says whose money it is."""
    ours, theirs = await both(mall)
    made = mall.little.pay(index=0)
    answer = mall.little._answer

    def shortened(path: str, said: dict[str, str]) -> tuple[str, dict[str, Any]]:
        operation, body = answer(path, said)
        if operation == "query":
            body = {**body, "element": [{**row, "value_d": ""} for row in body["element"]]}
        return operation, body

    mall.little._answer = shortened  # type: ignore[method-assign]
    assert not isinstance(await mall.payments.for_tenant("b").status(theirs.payment_id), Paid)
    assert await mall.booked("b") == {} and await mall.announced("b") == []
    assert isinstance(await mall.payments.for_tenant("a").status(ours.payment_id), Paid)
    # And where nobody says, it is a person's.
    made["value_d"] = ""
    assert not isinstance(await mall.payments.for_tenant("b").status(theirs.payment_id), Paid)
    facts = await mall.facts("b", theirs)
    assert facts.receipts == () or Flag.QUARANTINED in facts.payment.flags
    assert await mall.booked("b") == {}


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_comes_to_whichever_door_in_whatever_order(mall: Mall, seed: int) -> None:
    """Each payment is booked by the tenant whose page it was made on, once; the other's ledger never hears of it."""
    random = Random(seed)
    pages: list[tuple[str, PaymentSession]] = []
    posts: list[dict[str, str]] = []
    owner: dict[str, str] = {}
    for step in range(40):
        deed = random.choice(("open", "pay", "fail", "post", "post", "look", "execute", "return", "wait"))
        if deed == "open" and len(pages) < 6:
            tenant = random.choice("ab")
            pages.append((tenant, await mall.open(tenant, operation=f"{tenant}{step}")))
        elif not pages:
            continue
        elif deed in ("pay", "fail"):
            index = random.randrange(len(pages))
            made = mall.little.pay(index=index, status="VALID" if deed == "pay" else "FAILED")
            posts.append(mall.little.notification(made))
            if deed == "pay":
                owner[made["bank_tran_id"]] = pages[index][0]
        elif deed in ("post", "return") and posts:
            await mall.post(
                random.choice("ab"), random.choice(posts), "webhook" if deed == "post" else "return"
            )
        elif deed == "wait":
            mall.clock.advance(random.choice((20, 600, 7200)))
            await mall.payments.reconcile_due()
        else:
            tenant, session = random.choice(pages)
            verb = mall.payments.for_tenant(tenant)
            await (verb.status if deed == "look" else verb.execute)(session.payment_id)
    for _ in range(40):
        mall.clock.advance(3600)
        await mall.payments.process_inbox()
        await mall.payments.reconcile_due()
    for tenant in "ab":
        mine = {bank for bank, whose in owner.items() if whose == tenant}
        assert set(await mall.booked(tenant)) == mine
        ids = [entry.transaction_id for entry in mall.entries if entry.tenant == tenant]
        assert len(ids) == len(set(ids)), "once each"

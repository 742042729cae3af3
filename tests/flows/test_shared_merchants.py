"""Two tenants on one bKash merchant wallet, and on one Nagad merchant: same credentials, same references.

bKash's notifications name the invoice number alone, and one merchant has one address for them: so news of the money of
both may come to the door of one. SSLCommerz, whose posts name each session, has tests of its own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, bkash_config
from tests.flows.test_nagad import config as nagad_config
from vextrus_payments import Money, Paid, PaymentRequest, PaymentSession, Pending, Refunded, RefundRequest
from vextrus_payments.app import TenantPayments
from vextrus_payments.config import GatewayConfig
from vextrus_payments.engine import Verdict
from vextrus_payments.errors import InvalidRequestError, PaymentsError
from vextrus_payments.events import GatewayEvent
from vextrus_payments.gateways.bkash.webhook import Notification, event_of
from vextrus_payments.mode import Mode
from vextrus_payments.records import Flag, PaymentFacts
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer


class Mall(Shop):
    """One Payments for the tenants a and b, who share every merchant."""

    def __init__(self, server: SandboxServer, *more: Any) -> None:
        super().__init__(server, *more, gateways=None, credentials=self._credentials)

    async def _credentials(self, tenant: str, gateway: str) -> GatewayConfig:
        return bkash_config(self.server) if gateway == "bkash" else nagad_config(self.server)

    def of(self, tenant: str) -> TenantPayments:
        return self.payments.for_tenant(tenant)

    async def pay_page(self, tenant: str, gateway: str = "bkash", amount: str = "100") -> PaymentSession:
        return await self.of(tenant).initialize(
            PaymentRequest(
                operation_id="INV-1/pay",
                gateway=gateway,
                amount=Money(amount),
                merchant_reference="INV-1",
            )
        )

    def click(self, gateway: str, session: PaymentSession) -> Any:
        return self.server.world.gateways[gateway].approve(session.gateway_reference, "success", None)

    def news(self, transaction_id: str, amount: str = "100") -> GatewayEvent:
        """bKash's notification of INV-1's money: it says no more of whose it is."""
        told = Notification(
            transaction_id=transaction_id,
            amount=Money(amount),
            status="Completed",
            channel="api",
            invoice="INV-1",
        )
        return event_of(told, f"message-{transaction_id}")

    async def told(self, tenant: str, event: GatewayEvent, *, patient: bool) -> Verdict:
        """The news is applied at a tenant's door."""
        engine = self.payments._open_engine()
        return (await engine.apply_event(tenant, "bkash", Mode.SANDBOX, event, patient=patient)).verdict

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts:
        facts = await self.of(tenant).get(payment_id)
        assert facts is not None
        return facts

    async def booked(self, tenant: str) -> list[str]:
        """The transactions that the tenant's ledger was told of, each once."""
        await self.payments.deliver()
        return sorted({entry.transaction_id or "" for entry in self.entries if entry.tenant == tenant})

    async def announced(self, tenant: str) -> list[str]:
        await self.payments.deliver()
        return [event.kind.value for event in self.events if event.tenant == tenant]


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[Mall]:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        mall = Mall(server, f"sqlite:///{tmp_path / 'mall.db'}", clock)
        async with mall.payments:
            yield mall


@pytest.fixture
async def mall(tmp_path: Path) -> AsyncIterator[Mall]:
    async with opened(tmp_path) as found:
        yield found


async def test_bkash_tells_two_tenants_pages_apart(mall: Mall) -> None:
    ours, theirs = await mall.pay_page("a"), await mall.pay_page("b")
    assert ours.gateway_order_id == theirs.gateway_order_id == "INV-1"
    mall.click("bkash", ours)
    assert isinstance(await mall.of("b").execute(theirs.payment_id), Pending)
    paid = await mall.of("a").execute(ours.payment_id)
    assert isinstance(paid, Paid)
    assert isinstance(await mall.of("b").status(theirs.payment_id), Pending)
    assert await mall.booked("a") == [paid.transaction_id] and await mall.booked("b") == []
    assert mall.calls("grant") == 1, "they share the token, and the two grants an hour"
    await mall.check_books()


async def test_bkashs_news_of_one_never_pays_the_others_page(mall: Mall) -> None:
    ours, theirs = await mall.pay_page("a"), await mall.pay_page("b")
    mall.click("bkash", ours)
    paid = await mall.of("a").execute(ours.payment_id)
    assert isinstance(paid, Paid)
    news = mall.news(paid.transaction_id)
    assert await mall.told("b", news, patient=True) is Verdict.AGAIN
    assert isinstance(await mall.of("b").status(theirs.payment_id), Pending)
    mall.clock.advance(LONG_S)
    assert await mall.told("b", news, patient=False) is Verdict.DONE
    # Nobody can tell b's sender that it was a's money: a person is told, and nothing is booked.
    assert Flag.QUARANTINED in (await mall.facts("b", theirs.payment_id)).payment.flags
    assert await mall.booked("b") == [] and await mall.announced("b") == ["payment.quarantined"]
    assert await mall.told("a", news, patient=True) is Verdict.DONE
    await mall.check_books()


async def test_nor_is_it_booked_beside_the_others_own_money(mall: Mall) -> None:
    """As a duplicate it stood in the ledgers of both, and b might have given it back."""
    sessions = {
        tenant: await mall.pay_page(tenant, amount=amount) for tenant, amount in (("a", "100"), ("b", "150"))
    }
    paid = {}
    for tenant, session in sessions.items():
        mall.click("bkash", session)
        outcome = await mall.of(tenant).execute(session.payment_id)
        assert isinstance(outcome, Paid)
        paid[tenant] = outcome.transaction_id
    for patient in (True, False):
        assert await mall.told("b", mall.news(paid["a"]), patient=patient) is Verdict.FOREIGN
    assert await mall.booked("b") == [paid["b"]] and await mall.announced("b") == ["payment.paid"]
    assert (await mall.facts("b", sessions["b"].payment_id)).payment.flags == frozenset()
    back = await mall.of("b").refund(RefundRequest(operation_id="r", payment_id=sessions["b"].payment_id))
    assert isinstance(back, Refunded) and back.amount == Money("150")
    await mall.check_books()


async def test_nor_does_it_pay_a_page_of_the_others_that_never_reached_us(mall: Mall) -> None:
    """Its session's answer got lost, so nothing can be asked about it: booked as told, b shipped for a's money."""
    ours = await mall.pay_page("a")
    mall.fault("create", "drop_after")
    theirs = await mall.pay_page("b")
    assert theirs.gateway_order_id == "INV-1-2", "the first page's answer got lost"
    mall.click("bkash", ours)
    paid = await mall.of("a").execute(ours.payment_id)
    assert isinstance(paid, Paid)
    news = mall.news(paid.transaction_id)
    for _ in range(3):
        assert await mall.told("b", news, patient=True) is Verdict.AGAIN
        mall.clock.advance(LONG_S)
    assert await mall.announced("b") == [] == await mall.booked("b")
    await mall.told("b", news, patient=False)
    assert await mall.announced("b") == ["payment.quarantined"] and await mall.booked("b") == []
    assert not isinstance(await mall.of("b").status(theirs.payment_id), Paid)
    assert await mall.booked("a") == [paid.transaction_id]
    await mall.check_books()


async def test_refunds_at_one_bkash_merchant_stay_with_their_payments(mall: Mall) -> None:
    # The same amount twice from one wallet bKash takes for a slip of the hand.
    sessions = {
        tenant: await mall.pay_page(tenant, amount=amount) for tenant, amount in (("a", "100"), ("b", "150"))
    }
    for tenant, session in sessions.items():
        mall.click("bkash", session)
        assert isinstance(await mall.of(tenant).execute(session.payment_id), Paid)
    refunded = {}
    for tenant, session in sessions.items():
        refund = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))
        back = await mall.of(tenant).refund(refund)
        assert isinstance(back, Refunded)
        refunded[tenant] = back.transaction_id
    assert mall.calls("refund") == 2
    for tenant in "ab":
        ids = await mall.booked(tenant)
        assert len(ids) == 2 and refunded[tenant] in ids
    assert not set(await mall.booked("a")) & set(await mall.booked("b"))
    await mall.check_books()


async def test_nagad_tells_two_tenants_apart(mall: Mall) -> None:
    """Nagad refuses an order id that it has seen before, from whichever tenant: a fresh one is taken then."""
    ours = await mall.pay_page("a", "nagad")
    theirs = await mall.pay_page("b", "nagad")
    assert ours.gateway_reference != theirs.gateway_reference
    back = mall.click("nagad", ours)
    assert isinstance(await mall.of("b").status(theirs.payment_id), Pending)
    assert isinstance(await mall.of("a").status(ours.payment_id), Paid)
    assert len(await mall.booked("a")) == 1 and await mall.booked("b") == []
    # The browser comes back at the wrong door: its hint names nothing of b's.
    params = dict(pair.split("=", 1) for pair in back["redirect"].partition("?")[2].split("&"))
    with pytest.raises(InvalidRequestError):
        await mall.of("b").handle_return("nagad", params)
    mall.click("nagad", theirs)
    assert isinstance(await mall.of("b").status(theirs.payment_id), Paid)
    for tenant, session in (("a", ours), ("b", theirs)):
        refund = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))
        assert isinstance(await mall.of(tenant).refund(refund), Refunded)
    assert not set(await mall.booked("a")) & set(await mall.booked("b"))
    assert await mall.announced("a") == await mall.announced("b") == ["payment.paid", "refund.succeeded"]
    await mall.check_books()


# --- in any order -----------------------------------------------------------------------------------------------------


class Street:
    """Tenants a and b open pages of one invoice, and bKash's news of either comes to any door."""

    def __init__(self, mall: Mall, seed: int) -> None:
        self.mall, self.random = mall, Random(seed)
        self.pages: list[tuple[str, PaymentSession]] = []
        self.news: list[GatewayEvent] = []
        self.owner: dict[str, str] = {}

    async def step(self, number: int) -> None:
        mall, random = self.mall, self.random
        deed = random.choice(("open", "open", "click", "execute", "news", "news", "look", "wait"))
        if deed == "open" and len(self.pages) < 6:
            await self._open(number)
        elif not self.pages:
            return
        elif deed == "news" and self.news:
            await mall.told(random.choice("ab"), random.choice(self.news), patient=random.random() < 0.5)
        elif deed == "click":
            mall.click("bkash", random.choice(self.pages)[1])
        elif deed == "wait":
            mall.clock.advance(random.choice((30, 400)))
            await mall.payments.reconcile_due()
        else:
            tenant, session = random.choice(self.pages)
            verbs = mall.of(tenant)
            outcome = await (verbs.status if deed == "look" else verbs.execute)(session.payment_id)
            if isinstance(outcome, Paid) and outcome.transaction_id not in self.owner:
                self.owner[outcome.transaction_id] = tenant
                told = Notification(
                    transaction_id=outcome.transaction_id,
                    amount=outcome.amount,
                    status="Completed",
                    channel="api",
                    invoice=session.gateway_order_id,
                )
                self.news.append(event_of(told, f"message-{outcome.transaction_id}"))

    async def _open(self, number: int) -> None:
        tenant = self.random.choice("ab")
        if self.random.random() < 0.5:
            self.mall.fault("create", "drop_after")  # the page never reaches us, and another one is opened
        amount = Money(100 + self.random.choice((0, len(self.pages))))
        request = PaymentRequest(
            operation_id=f"{tenant}{number}",
            gateway="bkash",
            amount=amount,
            merchant_reference="INV-1",
            allow_repeat=True,
        )
        self.pages.append((tenant, await self.mall.of(tenant).initialize(request)))


@pytest.mark.parametrize("seed", range(12))
async def test_no_tenants_ledger_ever_hears_of_the_others_money(mall: Mall, seed: int) -> None:
    street = Street(mall, seed)
    for number in range(30):
        try:
            await street.step(number)
        except PaymentsError:
            continue  # a conflict, a quarantine: whoever asked is told
    for tenant in "ab":
        assert {street.owner.get(transaction_id) for transaction_id in await mall.booked(tenant)} <= {tenant}

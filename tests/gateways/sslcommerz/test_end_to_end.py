"""The adapter against the sandbox's SSLCommerz, over real sockets, under the whole engine: both sides' books agree."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.flows.shop import Shop
from vextrus_payments import Declined, Money, Paid, PaymentSession, Pending, Refunded, RefundRequest
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig, SslcommerzGateway
from vextrus_payments.ledger import Side
from vextrus_payments.payment import PaymentRequest, StatusCall
from vextrus_payments.records import PaymentState
from vextrus_payments.secret import Secret
from vextrus_payments.snapshots import SnapshotState
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.serve import SandboxServer


def config(server: SandboxServer) -> SslcommerzConfig:
    told: dict[str, Any] = dict(server.info["gateways"]["sslcommerz"])
    return SslcommerzConfig(
        api_url=told["base_url"],
        store_id=told["store_id"],
        store_password=Secret(told["store_password"]),
        timeout_s=5.0,
    )


class SslcommerzShop(Shop):
    """The shop, with SSLCommerz."""

    def __init__(self, server: SandboxServer, *more: Any, **changes: Any) -> None:
        super().__init__(server, *more, **{"gateways": {"sslcommerz": config(server)}, **changes})

    @property
    def sslcommerz(self) -> Any:
        """The sandbox's SSLCommerz."""
        return self.server.world.gateways["sslcommerz"]

    async def open(self, reference: str = "INV-1", amount: str = "100", **changes: Any) -> PaymentSession:
        return await super().open(reference, amount, **{"gateway": "sslcommerz", **changes})

    def go(self, session: PaymentSession, outcome: str = "success") -> dict[str, str]:
        """What the payer does, and what his browser posts then, the address's own words included."""
        done = self.sslcommerz.approve(session.gateway_reference, outcome, None)
        if done["redirect"] is None:
            return {}
        query = dict(parse_qsl(urlsplit(done["redirect"]).query))
        return {**{name: str(value) for name, value in done["form"].items()}, **query}

    def clearing(self) -> int:
        """What the ledger says that we have there: SSLCommerz's fee included, which its books take from the whole."""
        fees = sum(
            posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
            for entry in {entry.id: entry for entry in self.entries}.values()
            for posting in entry.postings
            if "fee" in posting.account
        )
        return super().clearing() + fees

    async def state(self, session: PaymentSession) -> PaymentState:
        facts = await self.payments.get(session.payment_id)
        assert facts is not None
        return facts.payment.state


@asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[SslcommerzShop]:
    clock = FakeClock()
    async with SandboxServer(clock=clock, seed=1) as server:
        shop = SslcommerzShop(server, f"sqlite:///{tmp_path / 'shop.db'}", clock)
        async with shop.payments:
            yield shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[SslcommerzShop]:
    async with opened(tmp_path) as found:
        yield found


async def test_a_payment_from_beginning_to_end_and_part_of_it_back(shop: SslcommerzShop) -> None:
    session = await shop.open()
    assert session.checkout_url is not None
    assert isinstance(await shop.payments.execute(session.payment_id), Pending)
    returned = await shop.payments.handle_return("sslcommerz", shop.go(session))
    assert isinstance(returned.outcome, Paid) and returned.outcome.fee == Money("2.50")
    assert returned.redirect_to == "https://shop.example/orders/INV-1"
    refund = RefundRequest(operation_id="r1", payment_id=session.payment_id, amount=Money("40"))
    first = await shop.payments.refund(refund)
    for _ in range(30):
        if isinstance(first, Refunded):
            break
        shop.clock.advance(3600)
        first = await shop.payments.refund_status("r1")
    assert isinstance(first, Refunded)
    assert isinstance(await shop.payments.refund(refund), Refunded)
    assert shop.calls("refund") == 1
    await shop.check_books()


async def test_who_never_comes_back_is_found_by_looking(shop: SslcommerzShop) -> None:
    session = await shop.open()
    shop.go(session)
    shop.clock.advance(20)
    await shop.payments.reconcile_due()
    assert await shop.state(session) is PaymentState.PAID
    assert await shop.fired() == ["payment.paid"]
    await shop.check_books()


async def test_who_cancels_is_declined_and_a_failed_try_stays_open(shop: SslcommerzShop) -> None:
    left, failed = await shop.open("INV-1"), await shop.open("INV-2")
    returned = await shop.payments.handle_return("sslcommerz", shop.go(left, "cancel"))
    assert isinstance(returned.outcome, Declined)
    again = await shop.payments.handle_return("sslcommerz", shop.go(failed, "failure"))
    assert isinstance(again.outcome, Pending)
    await shop.check_books()


async def test_a_session_can_be_asked_for_by_its_own_key(shop: SslcommerzShop) -> None:
    session = await shop.open()
    key = shop.sslcommerz.rules.named(session.gateway_reference).key
    gateway = await shop.payments.gateway_of("default", "sslcommerz")
    assert isinstance(gateway, SslcommerzGateway)
    call = StatusCall(
        gateway_reference=session.gateway_reference,
        gateway_order_id=session.gateway_order_id,
        amount=session.amount,
    )
    assert (await gateway.get_session_status(call, key)).state is SnapshotState.INITIATED
    shop.go(session)
    assert (await gateway.get_session_status(call, key)).state is SnapshotState.PAID


async def test_an_invoice_is_made_paid_and_withdrawn(shop: SslcommerzShop) -> None:
    gateway = await shop.payments.gateway_of("default", "sslcommerz")
    assert isinstance(gateway, SslcommerzGateway)

    def asked(reference: str) -> PaymentRequest:
        return PaymentRequest(
            operation_id=reference, gateway="sslcommerz", amount=Money("75"), merchant_reference=reference
        )

    door = "https://shop.example/payments/sslcommerz/return"
    one = await gateway.create_invoice(asked("BILL-1"), callback_url=door)
    other = await gateway.create_invoice(asked("BILL-2"), callback_url=door)
    assert (await gateway.get_invoice_status(one)).state is SnapshotState.INITIATED
    shop.sslcommerz.approve(one.gateway_reference, "success", None)
    assert (await gateway.get_invoice_status(one)).state is SnapshotState.PAID
    await gateway.cancel_invoice(other)
    assert (await gateway.get_invoice_status(other)).state is SnapshotState.CANCELLED

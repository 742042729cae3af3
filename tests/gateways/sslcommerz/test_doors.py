"""The sandbox posts its notification, and a browser its form, at our real doors over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from tests.gateways.sslcommerz.test_end_to_end import config
from vextrus_payments import Money, PaymentRequest, Payments, PaymentSession
from vextrus_payments.records import PaymentState
from vextrus_payments_sandbox.serve import SandboxServer

PATIENCE_S = 60.0


class Street:
    """A sandbox, a shop, and the shop's doors."""

    def __init__(self, server: SandboxServer, url: str) -> None:
        self.server = server
        self.payments = Payments(
            store="memory://", gateways={"sslcommerz": config(server)}, public_url=url, workers=False
        )

    async def open(self) -> PaymentSession:
        return await self.payments.initialize(
            PaymentRequest(
                operation_id="order-1/pay",
                gateway="sslcommerz",
                amount=Money("100.00"),
                merchant_reference="INV-1",
                return_url="https://shop.example/orders/1",
            )
        )

    def walk(self, session: PaymentSession, outcome: str = "success") -> Any:
        return self.server.world.gateways["sslcommerz"].approve(session.gateway_reference, outcome, None)

    async def state(self, session: PaymentSession) -> PaymentState:
        facts = await self.payments.get(session.payment_id)
        assert facts is not None
        return facts.payment.state


@asynccontextmanager
async def street() -> AsyncIterator[Street]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with SandboxServer(seed=1) as server:
            shop = Street(server, url)
            async with shop.payments:
                doors = uvicorn.Server(
                    uvicorn.Config(shop.payments.asgi(), log_level="error", lifespan="off")
                )
                doors.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
                serving = asyncio.create_task(doors.serve(sockets=[listening]))
                try:
                    yield shop
                finally:
                    doors.should_exit = True
                    await serving


async def until(arrived: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await arrived():
            await asyncio.sleep(0.02)


async def test_a_notification_settles_a_payment_that_nobody_asked_about() -> None:
    async with street() as shop:
        session = await shop.open()
        shop.walk(session)

        async def paid() -> bool:
            await shop.payments.process_inbox()
            return await shop.state(session) is PaymentState.PAID

        await until(paid)
        facts = await shop.payments.get(session.payment_id)
        assert facts is not None and len(facts.receipts) == 1


@pytest.mark.parametrize(
    ("outcome", "state"), [("success", PaymentState.PAID), ("cancel", PaymentState.CLOSED)]
)
async def test_a_browser_posts_itself_to_the_shop(outcome: str, state: PaymentState) -> None:
    async with street() as shop:
        session = await shop.open()
        done = shop.walk(session, outcome)
        async with httpx.AsyncClient() as browser:
            reply = await browser.post(done["redirect"], data=dict(done["form"]))
            seen = [reply.headers.get("location", "")]
            while reply.status_code == 303 and not seen[-1].startswith("https://shop.example/"):
                reply = await browser.get(str(reply.url.join(seen[-1])))
                seen.append(reply.headers.get("location", ""))
        assert reply.status_code == 303 and seen[-1] == (
            f"https://shop.example/orders/1?payment_id={session.payment_id}"
        )
        assert not any("verify_sign" in address or "card_no" in address for address in seen)
        assert await shop.state(session) is state

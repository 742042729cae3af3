"""From the gateway's books to the ledger: the sandbox announces, the mounted doors take it in, the engine looks.

Real but for the money: the SDK's HTTP to the sandbox runs over a loopback socket, the certificate and the confirmation
too; the webhooks come in over ASGI, through a web application that the doors are mounted in. Nothing is checked by the
SDK's own word where the gateway's books, the wire log, the ledger callback or the sandbox's log of deliveries can tell.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.flows.shop import LONG_S, Shop, bkash_config
from vextrus_payments import Paid, Review, Unknown
from vextrus_payments.inbox import InboxRow, InboxState
from vextrus_payments.testing import FakeClock
from vextrus_payments_sandbox.bkash.records import Rules
from vextrus_payments_sandbox.serve import SandboxServer

URL = "http://127.0.0.1/payments/bkash/webhook"


class Road(httpx.AsyncBaseTransport):
    """Carries the sandbox's webhooks into a web application; `on_answer` sees what it answered."""

    def __init__(self) -> None:
        self.inner: httpx.ASGITransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert self.inner is not None
        return await self.inner.handle_async_request(request)


class Pauses:
    """The sandbox's sleeper: waits not at all, and lets a test do something while SNS waits for its next try."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, seconds: float) -> None:
        if seconds == 20 and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()


class Scene:
    """A sandbox, a shop with its doors mounted, and the road from one to the other."""

    def __init__(
        self, server: SandboxServer, road: Road, pauses: Pauses, clock: FakeClock, store: str
    ) -> None:
        self.server, self.clock, self.pauses = server, clock, pauses
        config = bkash_config(server, timeout_s=30.0, **trusting(server))
        self.shop = Shop(server, store, clock, gateways={"bkash": config})
        app = Starlette(routes=[Mount("/payments", app=self.shop.payments.asgi())])
        road.inner = httpx.ASGITransport(app)

    async def subscribe(self, version: str = "2") -> dict[str, Any]:
        return await self.server.courier.subscribe("bkash", URL, version=version)

    def order(self, fault: str, times: int = 1) -> None:
        self.shop.fault("*", fault, times)

    async def arrived(self) -> list[int | None]:
        """What the shop's door answered to the notifications, in order."""
        await self.server.courier.drain()
        return [row.status for row in self.server.courier.tries if row.type == "Notification"]

    async def inbox(self) -> list[InboxRow]:
        """Every row, oldest first."""
        page = await self.shop.payments.store.list_inbox(None)
        return sorted(page.rows, key=lambda row: row.received_at)

    async def apply(self) -> list[InboxState]:
        """Work on what is due: the rows' states."""
        await self.shop.payments.process_inbox()
        return [row.state for row in await self.inbox()]


def trusting(server: SandboxServer) -> dict[str, Any]:
    """The settings with which a shop takes this sandbox's notifications."""
    return {"sns_topic_arn": server.info["sns"]["topic_arn"]}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    clock, road, pauses = FakeClock(), Road(), Pauses()
    server = SandboxServer(
        clock=clock, seed=3, sleeper=pauses, webhook_transport=road, bkash=Rules(duplicate_window_s=0)
    )
    async with server:
        yield Scene(server, road, pauses, clock, f"sqlite:///{tmp_path / 'payments.db'}")


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_subscription_is_confirmed_by_the_doors(scene: Scene, version: str) -> None:
    async with scene.shop.payments:
        told = await scene.subscribe(version)
        assert told["confirmed"] is True and told["signature_version"] == version
        assert [row.status for row in scene.server.courier.tries] == [200]
        assert await scene.inbox() == []


async def test_a_payment_whose_answer_got_lost_is_found_by_its_webhook(scene: Scene) -> None:
    """bKash took the money, its answer and every look-up were lost. The webhook says so, one look-up proves it."""
    shop = scene.shop
    async with shop.payments as payments:
        await scene.subscribe()
        session = await shop.approved(amount="1250.50")
        shop.fault("execute", "drop_after")
        shop.fault("query", "malformed_before", 100)
        assert isinstance(await payments.execute(session.payment_id), Unknown)
        assert await scene.arrived() == [200]
        (row,) = await scene.inbox()
        assert row.state is InboxState.WAITING and row.news_key is not None
        # Whoever has that address can end the subscription: a store is no place for it.
        assert b"Signature" in row.body and b"UnsubscribeURL" not in row.body
        assert await shop.fired() == ["payment.unknown_opened"]

        scene.server.app.state.faults.clear()
        scene.clock.advance(LONG_S)
        assert await scene.apply() == [InboxState.DONE]
        paid = await payments.status(session.payment_id)
        assert isinstance(paid, Paid) and paid.amount.amount == "1250.50"
        assert shop.calls("execute") == 1 and shop.moved() == {"execute": 1}
        await shop.check_books()
        assert [entry.kind.value for entry in shop.entries] == ["payment.received"]


@pytest.mark.parametrize(
    ("fault", "answers", "rows"),
    [
        (None, [200], 1),
        ("webhook_never", [None], 0),
        ("webhook_delayed", [200], 1),
        ("webhook_early", [200], 1),
        ("webhook_duplicate", [200, 200], 1),
        ("webhook_repeated", [200, 200], 1),
        ("webhook_bad_signature", [401], 0),
        ("webhook_foreign_topic", [401], 0),
        ("webhook_foreign_cert_host", [401], 0),
    ],
)
async def test_whatever_comes_of_the_webhook_there_is_one_receipt(
    scene: Scene, fault: str | None, answers: list[int | None], rows: int
) -> None:
    shop = scene.shop
    async with shop.payments as payments:
        await scene.subscribe()
        session = await shop.approved()
        if fault:
            scene.order(fault)
        assert isinstance(await payments.execute(session.payment_id), Paid)
        assert await scene.arrived() == answers
        assert await scene.apply() == [InboxState.DONE] * rows
        assert shop.calls("execute") == 1 and shop.moved() == {"execute": 1}
        assert shop.calls("query") == 0  # booked already: bKash is not asked again
        await shop.check_books()
        assert [entry.kind.value for entry in shop.entries] == ["payment.received"]
        assert await shop.fired() == ["payment.paid"]


async def test_two_that_overtake_each_other_change_nothing(scene: Scene) -> None:
    shop = scene.shop
    async with shop.payments as payments:
        await scene.subscribe()
        scene.order("webhook_out_of_order")
        for reference, amount in (("INV-1", "100"), ("INV-2", "200")):
            session = await shop.approved(reference, amount)
            assert isinstance(await payments.execute(session.payment_id), Paid)
            await scene.server.courier.drain()
        assert await scene.arrived() == [200, 200]
        assert await scene.apply() == [InboxState.DONE] * 2
        await shop.check_books()
        assert len(shop.entries) == 2


async def test_a_signed_amount_that_the_look_up_denies_is_for_a_person(scene: Scene) -> None:
    shop = scene.shop
    async with shop.payments as payments:
        await scene.subscribe()
        session = await shop.approved()
        scene.order("webhook_other_amount")
        assert isinstance(await payments.execute(session.payment_id), Paid)
        assert await scene.arrived() == [200]
        assert await scene.apply() == [InboxState.DONE]
        assert isinstance(await payments.status(session.payment_id), Review)
        assert "payment.quarantined" in await shop.fired()
        await shop.check_books()  # what was booked is what bKash holds, not what the webhook said
        assert [entry.kind.value for entry in shop.entries] == ["payment.received"]


async def test_a_payer_who_scanned_the_qr_code_is_announced_and_not_booked(scene: Scene) -> None:
    shop = scene.shop
    async with shop.payments:
        await scene.subscribe()
        made = scene.server.world.gateways["bkash"].walk_in("250.50", "qr", "01770618575", "table 5")
        await scene.server.courier.leave()
        assert await scene.arrived() == [200]
        assert await scene.apply() == [InboxState.UNMATCHED]
        assert await shop.fired() == ["receipt.unmatched"]
        (event,) = shop.events
        assert event.transaction_id == made["transaction_id"] and shop.entries == []
        assert event.amount is not None and event.amount.amount == "250.50"


async def test_a_shop_that_was_closed_is_told_on_the_next_try(scene: Scene) -> None:
    """503 while it is closed: SNS comes again after 20 s, and the news is kept then."""
    shop = scene.shop
    async with shop.payments as payments:
        await scene.subscribe()
        session = await shop.approved()
        shop.fault("execute", "drop_after")
        shop.fault("query", "malformed_before", 100)
        shop.fault("webhook", "webhook_out_of_order")  # held back, to be let go once the shop is closed
        assert isinstance(await payments.execute(session.payment_id), Unknown)
    scene.server.app.state.faults.clear()
    scene.clock.advance(LONG_S)

    async def reopen() -> None:
        await shop.payments.__aenter__()

    scene.pauses.meanwhile = reopen
    scene.server.courier._release()
    try:
        assert await scene.arrived() == [503, 200]
        assert await scene.apply() == [InboxState.DONE]
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        await shop.check_books()
    finally:
        await shop.payments.__aexit__(None, None, None)


async def test_a_farewell_is_taken_note_of_and_its_address_is_never_fetched(scene: Scene) -> None:
    async with scene.shop.payments:
        await scene.subscribe()
        assert (await scene.server.courier.unsubscribe("bkash"))["confirmed"] is False
        assert [row.status for row in scene.server.courier.tries] == [200, 200]
        assert scene.server.courier.as_json("bkash")["confirmed"] is False

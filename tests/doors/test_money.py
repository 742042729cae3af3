"""Browsers that come back to a mounted shop: real payments, a real sandbox, a real database. Money moves once."""

import asyncio
import itertools
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flows.shop import Shop, shop_open
from vextrus_payments import Authorized, ConsentRequest, Intent, Paid, Pending

DOORS = "http://shop.test"


def browser(shop: Shop, **settings: Any) -> httpx.AsyncClient:
    """Comes back to the doors of the shop, in this event loop."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=shop.payments.asgi()), base_url=DOORS, timeout=30, **settings
    )


def hint(session: Any, status: str = "success") -> dict[str, str]:
    return {"paymentID": session.gateway_reference, "status": status}


async def test_the_whole_way(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.approved()
        answer = await payer.get("/bkash/return", params=hint(session))
        assert answer.status_code == 303
        assert (
            answer.headers["location"] == f"https://shop.example/orders/INV-1?payment_id={session.payment_id}"
        )
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        for _ in range(3):  # refresh, and the back button
            again = await payer.get("/bkash/return", params=hint(session))
            assert again.status_code == 303 and again.headers["location"] == answer.headers["location"]
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_a_hundred_tabs_in_any_order_move_money_once(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.approved()
        ways = [("GET", status) for status in ("success", "cancel", "failure")] + [("POST", "success")]
        asked = list(itertools.islice(itertools.cycle(ways), 100))
        random.Random(4).shuffle(asked)

        async def tab(method: str, status: str) -> httpx.Response:
            if method == "POST":
                return await payer.post("/bkash/return/", data=hint(session, status))
            return await payer.get("/bkash/return", params=hint(session, status))

        answers = await asyncio.gather(*(tab(*way) for way in asked))
        assert {answer.status_code for answer in answers} == {303}
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert shop.moved() == {"execute": 1} and shop.calls("execute") == 1
        await shop.check_books()


@pytest.mark.parametrize("status", ["cancel", "failure", "", "Success", "success,success", "succes"])
async def test_no_other_hint_executes(tmp_path: Path, status: str) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.approved()  # he could be charged
        answer = await payer.get("/bkash/return", params=hint(session, status))
        assert answer.status_code == 303
        assert shop.calls("execute") == 0
        assert isinstance(await shop.payments.status(session.payment_id), Pending)
        # and it has closed nothing: the true return still completes the payment
        await payer.get("/bkash/return", params=hint(session))
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        await shop.check_books()


async def test_a_forged_success_before_the_payer_agreed_declines_nothing(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.open()
        assert (await payer.get("/bkash/return", params=hint(session))).status_code == 303
        assert isinstance(await shop.payments.status(session.payment_id), Pending)
        shop.approve(session)
        await payer.get("/bkash/return", params=hint(session))
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        await shop.check_books()


async def test_two_payments_in_one_return_touch_neither(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        one = await shop.approved("INV-1")
        two = await shop.approved("INV-2", "200")
        query = f"paymentID={one.gateway_reference}&paymentID={two.gateway_reference}&status=success"
        assert (await payer.get(f"/bkash/return?{query}")).status_code == 404
        form = await payer.post(f"/bkash/return?paymentID={one.gateway_reference}", data=hint(two))
        assert form.status_code == 404
        assert shop.calls("execute") == 0


async def test_a_second_payment_of_a_paid_order_is_told_in_words(tmp_path: Path) -> None:
    """Two sessions of one order, opened before either was paid (another tab, another device)."""
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        first = await shop.approved()
        second = await shop.approved(operation_id="INV-1/again", return_url=None)
        await payer.get("/bkash/return", params=hint(first))
        page = await payer.get("/bkash/return", params=hint(second))
        assert page.status_code == 200 and "This order has been paid for before" in page.text
        assert shop.moved() == {"execute": 1}
        await shop.check_books()


async def test_while_the_gateway_does_not_answer_the_browser_is_sent_home(tmp_path: Path) -> None:
    """The engine goes on: what was sent is looked up."""
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.approved()
        shop.fault("execute", "drop_after")
        shop.fault("query", "drop_before", times=30)
        answer = await payer.get("/bkash/return", params=hint(session))
        assert answer.status_code == 303
        for _ in range(5):
            await payer.get("/bkash/return", params=hint(session))
        assert shop.moved() == {"execute": 1} and shop.calls("execute") == 1
        shop.server.app.state.faults.clear()
        shop.clock.advance(300)
        await payer.get("/bkash/return", params=hint(session))
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        await shop.check_books()


async def test_a_hold_comes_back_too(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        session = await shop.approved(intent=Intent.AUTHORIZATION, return_url=None)
        page = await payer.get("/bkash/return", params=hint(session))
        assert page.status_code == 200 and "Payment approved" in page.text
        assert isinstance(await shop.payments.status(session.payment_id), Authorized)


async def test_an_agreement_comes_back_too(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as payer:
        agreement = await shop.payments.create_agreement(
            ConsentRequest(
                operation_id="agree-1", gateway="bkash", payer_reference="01770618575",
                return_url="https://shop.example/cards?new=1",
            )
        )  # fmt: skip
        shop.approve(agreement)  # type: ignore[arg-type]
        answer = await payer.get("/bkash/return", params=hint(agreement, "cancel"))
        assert answer.status_code == 303 and shop.calls("execute") == 0
        for _ in range(3):
            answer = await payer.get("/bkash/return", params=hint(agreement))
            assert answer.status_code == 303
        key = agreement.agreement_key
        assert answer.headers["location"] == f"https://shop.example/cards?new=1&agreement_key={key}"
        found = await shop.payments.agreement_status(key)
        assert found.state.value == "active"


async def test_before_opening_and_after_closing(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop:
        doors = browser(shop)
        session = await shop.approved()
        await shop.payments.aclose()
        for answer in (
            await doors.get("/bkash/return", params=hint(session)),
            await doors.post("/bkash/webhook", content=b"{}"),
            await doors.get("/health"),
        ):
            assert answer.status_code == 503 and answer.headers["retry-after"]
        assert shop.calls("execute") == 0
        await shop.payments.open()
        assert (await doors.get("/bkash/return", params=hint(session))).status_code == 303
        assert (await doors.get("/health")).status_code == 200
        assert shop.moved() == {"execute": 1}
        await doors.aclose()


async def test_health_names_nobody(tmp_path: Path) -> None:
    async with shop_open(tmp_path) as shop, browser(shop) as probe:
        answer = await probe.get("/health")
        assert answer.status_code == 200
        text = answer.text
        for kept_back in (str(tmp_path), "default", "bkash", "sandbox", "shop.example"):
            assert kept_back not in text

"""What an acceptance test would object to: each rule once broken and once kept, and what is owed until it is done."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, Shop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.manners import MISSES_MAX, OWED_FOR, RULES, UNSEEN, Manners
from vextrus_payments_sandbox.serve import SandboxServer

LATER = OWED_FOR + timedelta(seconds=1)


class Gate:
    """Sleeps until it is opened."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.entered.set()
        await self.opened.wait()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def shop(clock: FakeClock) -> AsyncIterator[Shop]:
    app = create_app(clock=clock, seed=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        yield await Shop(http).open()


async def notes(shop: Shop | NagadShop) -> dict[str, Any]:
    found: dict[str, Any] = (await shop.http.get("/_sandbox/grants")).json()
    return found


async def codes(shop: Shop | NagadShop, name: str = "manners") -> list[str]:
    return [one["code"] for one in (await notes(shop))[name]]


def test_the_table_explains_each_rule() -> None:
    for (gateway, code), rule in RULES.items():
        assert (rule.gateway, rule.code) == (gateway, code)
        assert rule.rule and rule.why.endswith(".") and rule.todo.endswith(".")
        assert rule.source.startswith((f"{gateway} §", f"{gateway.partition('_')[0]} §"))
    assert {one.gateway for one in UNSEEN} >= {"bkash", "nagad", "sslcommerz"}


async def test_good_manners_are_not_noted(shop: Shop, clock: FakeClock) -> None:
    payment_id, trx_id = await shop.paid("10")
    await shop.refund(payment_id, trx_id, "5")
    await shop.post("payment/refund", {"paymentID": payment_id, "trxID": trx_id})
    clock.moment += LATER
    found = await notes(shop)
    assert (found["manners"], found["owed"]) == ([], [])


async def test_a_miss_says_why_and_what_to_do(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10")
    await shop.query(payment_id)
    (miss,) = (await notes(shop))["manners"]
    assert set(miss) == {"at", "gateway", "code", "rule", "reference", "why", "todo"}
    rule = RULES["bkash", "query_after_answer"]
    assert (miss["rule"], miss["why"], miss["todo"]) == (rule.rule, rule.why, rule.todo)
    assert (miss["reference"], miss["gateway"]) == (payment_id, "bkash")


async def test_an_execute_before_the_payer_confirmed(shop: Shop) -> None:
    payment_id = (await shop.create("10"))["paymentID"]
    assert (await shop.execute(payment_id))["statusCode"] == "2056"
    assert await codes(shop) == ["execute_unapproved"]


async def test_an_execute_after_the_page_ran_out_of_time(shop: Shop, clock: FakeClock) -> None:
    payment_id = (await shop.create("10"))["paymentID"]
    clock.moment += timedelta(days=2)
    await shop.open()
    await shop.execute(payment_id)
    (miss,) = (await notes(shop))["manners"]
    assert miss["rule"] == "execute after the payer's page ended in Expired"


async def test_a_third_grant_within_an_hour(shop: Shop, clock: FakeClock) -> None:
    await shop.grant()
    assert await codes(shop) == []
    await shop.grant()
    assert await codes(shop) == ["grants"]
    clock.moment += timedelta(hours=1)
    await shop.grant()
    assert await codes(shop) == ["grants"]


@pytest.mark.parametrize("name", ["merchantInvoiceNumber", "payerReference"])
async def test_characters_that_bkash_does_not_take(shop: Shop, name: str) -> None:
    assert (await shop.create("10", **{name: "A<B"}))["statusCode"] in ("2031", "2048")
    (miss,) = (await notes(shop))["manners"]
    assert miss["rule"] == f"<, > or & in {name}"


async def test_an_invoice_again_with_the_same_amount_and_with_another(shop: Shop) -> None:
    await shop.create("99", merchantInvoiceNumber="INV-W")  # another order's amount is nothing to it
    for amount in ("10", "10.00", "11"):
        await shop.create(amount, merchantInvoiceNumber="INV-X")
    assert await codes(shop) == ["invoice_reused", "invoice_reused", "amount_changed"]


async def test_a_refused_invoice_is_noted_too(clock: FakeClock) -> None:
    app = create_app(clock=clock, seed=1, strict_manners=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        await shop.create("10", merchantInvoiceNumber="INV-X")
        assert (await shop.create("11", merchantInvoiceNumber="INV-X"))["statusCode"] == "2031"
        assert await codes(shop) == ["invoice_reused", "amount_changed"]


async def test_a_call_from_a_web_page_is_noted_once(shop: Shop) -> None:
    for _ in range(3):
        await shop.post("payment/status", {"paymentID": "X"}, {"Origin": "https://shop.example"})
    (miss,) = (await notes(shop))["manners"]
    assert (
        miss["code"] == "from_browser" and "query" in miss["rule"] and "https://shop.example" in miss["rule"]
    )


async def test_what_node_sends_of_itself_is_no_web_page(shop: Shop) -> None:
    await shop.post("payment/status", {"paymentID": "X"}, {"Sec-Fetch-Mode": "cors"})
    assert await codes(shop) == []


# ------------------------------------------------------------------------------------------ lost answers


@pytest.mark.parametrize("fault", ["drop_before", "error_5xx_after", "html", "malformed", "message_only"])
async def test_a_lost_execute_owes_a_query(shop: Shop, clock: FakeClock, fault: str) -> None:
    payment_id = await shop.approved("10")
    try:
        await shop.execute(payment_id, **{"X-Sandbox-Fault": fault})
    except (httpx.HTTPError, ValueError):
        pass
    assert (await codes(shop), await codes(shop, "owed")) == ([], ["lost_execute"])
    clock.moment += LATER
    assert (await codes(shop), await codes(shop, "owed")) == (["lost_execute"], [])
    await shop.query(payment_id)  # too late, and right all the same
    assert await codes(shop) == ["lost_execute"]


async def test_a_query_in_time_is_what_is_asked_for(shop: Shop, clock: FakeClock) -> None:
    payment_id = await shop.approved("10")
    await shop.execute(payment_id, **{"X-Sandbox-Fault": "error_5xx_after"})
    clock.moment += timedelta(minutes=9)
    await shop.query(payment_id)
    clock.moment += LATER
    assert (await codes(shop), await codes(shop, "owed")) == ([], [])


async def test_a_query_without_an_answer_is_none(shop: Shop) -> None:
    payment_id = await shop.approved("10")
    await shop.execute(payment_id, **{"X-Sandbox-Fault": "error_5xx_after"})
    await shop.post("payment/status", {"paymentID": payment_id}, {"X-Sandbox-Fault": "error_5xx_after"})
    assert await codes(shop, "owed") == ["lost_execute"]
    await shop.query(payment_id)
    assert await codes(shop, "owed") == []


@pytest.mark.parametrize("fault", ["expired_token", "code_before", "delay;seconds=0", "webhook_never"])
async def test_a_definite_answer_owes_nothing(shop: Shop, clock: FakeClock, fault: str) -> None:
    payment_id = await shop.approved("10")
    await shop.execute(payment_id, **{"X-Sandbox-Fault": fault})
    assert await codes(shop, "owed") == []


async def test_an_execute_that_was_left_may_be_queried(clock: FakeClock) -> None:
    """Whoever hung up has no answer: his query is right, although the execute went through in the meantime."""
    gate = Gate()
    app = create_app(clock=clock, seed=1, sleeper=gate)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        payment_id = await shop.approved("10")
        call = asyncio.create_task(shop.execute(payment_id, **{"X-Sandbox-Fault": "delay;seconds=60"}))
        await gate.entered.wait()
        clock.step(seconds=40)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        gate.opened.set()
        while (await shop.http.get("/_sandbox/books")).json()["payments"][0]["state"] != "Completed":
            await asyncio.sleep(0)
        assert await codes(shop, "owed") == ["lost_execute"]
        await shop.query(payment_id)
        found = await notes(shop)
        assert (found["manners"], found["owed"]) == ([], [])


async def test_a_refund_owes_a_look_once(shop: Shop, clock: FakeClock) -> None:
    payment_id, trx_id = await shop.paid("10")
    await shop.refund(payment_id, trx_id, "1")
    assert await codes(shop, "owed") == ["refund_unchecked"]
    clock.moment += LATER
    assert await codes(shop) == ["refund_unchecked"]


async def test_a_lost_refund_owes_a_look_at_that_payment(shop: Shop, clock: FakeClock) -> None:
    payment_id, trx_id = await shop.paid("10")
    other_id, other_trx = await shop.paid("20")
    await shop.post("payment/refund", {"paymentID": other_id, "trxID": other_trx})
    body = {"paymentID": payment_id, "trxID": trx_id, "amount": "1", "sku": "x", "reason": "y"}
    await shop.post("payment/refund", body, {"X-Sandbox-Fault": "error_5xx_after"})
    await shop.post("payment/refund", {"paymentID": other_id, "trxID": other_trx})
    assert await codes(shop, "owed") == ["lost_refund"]
    await shop.post("payment/refund", {"paymentID": payment_id, "trxID": trx_id})
    clock.moment += LATER
    assert (await codes(shop), await codes(shop, "owed")) == ([], [])


async def test_a_reset_forgets(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10")
    await shop.query(payment_id)
    await shop.execute(await shop.approved("30"), **{"X-Sandbox-Fault": "error_5xx_after"})
    await shop.http.post("/_sandbox/reset")
    found = await notes(shop)
    assert (found["manners"], found["owed"]) == ([], [])


# ------------------------------------------------------------------------------------------ hanging up


@pytest.mark.parametrize(("waited_s", "missed"), [(10, ["hung_up"]), (29, []), (35, [])])
async def test_leaving_before_30_seconds(clock: FakeClock, waited_s: float, missed: list[str]) -> None:
    gate = Gate()
    app = create_app(clock=clock, seed=1, sleeper=gate)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        payment_id = await shop.approved("10")
        call = asyncio.create_task(shop.execute(payment_id, **{"X-Sandbox-Fault": "delay;seconds=40"}))
        await gate.entered.wait()
        clock.step(seconds=waited_s)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await codes(shop) == missed
        assert await codes(shop, "owed") == ["lost_execute"]
        await app.state.exchange.close()


async def test_leaving_is_seen_over_a_socket() -> None:
    async with (
        SandboxServer() as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=30) as http,
    ):
        shop = await Shop(http).open()
        payment_id = await shop.approved("10")
        with pytest.raises(httpx.ReadTimeout):
            await http.post(
                "/v1.2.0-beta/tokenized/checkout/execute",
                json={"paymentID": payment_id},
                headers={
                    "Authorization": shop.token,
                    "X-APP-Key": "sandboxAppKey0000000000000",
                    "X-Sandbox-Fault": "delay;seconds=20",
                },
                timeout=0.3,
            )
        for _ in range(100):
            if await codes(shop):
                break
            await asyncio.sleep(0.02)
        assert await codes(shop) == ["hung_up"]
        assert await codes(shop, "owed") == ["lost_execute"]


async def test_who_waits_to_the_end_is_not_noted(shop: Shop) -> None:
    app = create_app(seed=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        own = await Shop(http).open()
        payment_id = await own.approved("10")
        await own.execute(payment_id, **{"X-Sandbox-Fault": "delay;seconds=0.05"})
        found = await notes(own)
        assert (found["manners"], found["owed"]) == ([], [])


# ------------------------------------------------------------------------------------------ bounds


def test_it_is_bounded(clock: FakeClock) -> None:
    manners = Manners("bkash", clock.now)
    for number in range(2 * MISSES_MAX):
        manners.miss("execute_repeated", str(number))
    assert len(list(manners)) == MISSES_MAX


def test_owed_again_it_stays_due_when_it_was(clock: FakeClock) -> None:
    manners = Manners("bkash", clock.now)
    manners.owe("lost_execute", "A")
    clock.step(minutes=6)
    manners.owe("lost_execute", "A")
    clock.step(minutes=6)
    (miss,) = list(manners)
    assert miss["at"].startswith("2026-01-31T12:10:00")


# ------------------------------------------------------------------------------------------ Nagad


@pytest.fixture
async def nagad(clock: FakeClock) -> AsyncIterator[NagadShop]:
    app = create_app(clock=clock, seed=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        yield await NagadShop.of(http, clock)


async def test_a_payment_at_nagad_owes_a_verify(nagad: NagadShop, clock: FakeClock) -> None:
    reference, _ = await nagad.ready("100")
    assert await codes(nagad, "owed") == []
    await nagad.approve(reference)
    assert await codes(nagad, "owed") == ["unverified"]
    clock.moment += LATER
    (miss,) = (await notes(nagad))["manners"]
    assert (miss["gateway"], miss["code"], miss["reference"]) == ("nagad", "unverified", reference)


async def test_a_verify_in_time_is_what_is_asked_for(nagad: NagadShop, clock: FakeClock) -> None:
    await nagad.paid("100")
    clock.moment += LATER
    found = await notes(nagad)
    assert (found["manners"], found["owed"]) == ([], [])


async def test_a_verify_without_an_answer_is_none(nagad: NagadShop) -> None:
    reference, _ = await nagad.ready("100")
    await nagad.approve(reference)
    with pytest.raises(httpx.HTTPError):
        await nagad.verify(reference, fault="drop_after")
    assert await codes(nagad, "owed") == ["unverified"]
    await nagad.verify(reference)
    assert await codes(nagad, "owed") == []


async def test_an_order_id_again_on_the_same_day(nagad: NagadShop) -> None:
    await nagad.started("Order77777")
    await nagad.initialize("Order77777")
    assert await codes(nagad) == ["order_reused"]


async def test_a_web_page_that_calls_nagad(nagad: NagadShop) -> None:
    nagad.headers["Sec-Fetch-Site"] = "cross-site"
    await nagad.started()
    (miss,) = (await notes(nagad))["manners"]
    assert miss["rule"] == "initialize was called from a web page (no origin given)"


async def test_what_nagad_may_not_take_is_noted(nagad: NagadShop) -> None:
    reference, challenge, order_id = await nagad.started()
    where = {"merchantCallbackURL": "http://127.0.0.1:9/back?order=1"}
    assert (await nagad.complete(reference, challenge, order_id, outer=where)).status_code == 200
    nagad.headers["X-KM-IP-V4"] = "::1"
    await nagad.initialize(outer={"dateTime": ..., "datetime": nagad.now()})
    assert await codes(nagad) == ["callback_query", "address", "outer_datetime"]

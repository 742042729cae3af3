"""What the record tells of real payments: calls, the payer's steps, webhooks, money, and hands from outside."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import CREDENTIALS, FakeClock, NoSleep, Page, Shop, submit, walk
from tests.sandbox.sns_endpoint import Endpoint
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.record import Record


@pytest.fixture
def record(app: Starlette) -> Record:
    found: Record = app.state.world.record
    return found


async def story(shop: Shop, reference: str, gateway: str = "bkash") -> dict[str, Any]:
    answer = await shop.http.get(f"/_sandbox/payments/{gateway}/{quote(reference, safe='')}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(story: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["kind"], entry["title"]) for entry in story["timeline"]]


# --------------------------------------------------------------------------------------------- whole payments


async def test_a_bkash_payment_from_its_making_to_its_refund(shop: Shop) -> None:
    made = await shop.create("100.50")
    payment_id = made["paymentID"]
    page = Page((await shop.http.get(made["bkashURL"])).text)
    await submit(shop.http, made["bkashURL"], page, wallet="01999999999")
    await walk(shop.http, made["bkashURL"])
    executed = await shop.execute(payment_id)
    await shop.refund(payment_id, executed["trxID"], "40")
    found = await story(shop, payment_id)
    assert told(found) == [
        ("call", "create: 200"),
        ("page", "The payer opened the page"),
        ("page", "Wallet number: no test wallet"),
        ("page", "Wallet number: 01770618575"),
        ("page", "Code: right"),
        ("page", "PIN: right"),
        ("page", "Sent back to the shop: success"),
        ("call", "execute: 200"),
        ("money", "debit: 100.50 from wallet:01770618575 to merchant:bkash"),
        ("call", "refund: 200"),
        ("money", "refund: 40.00 from merchant:bkash to wallet:01770618575"),
    ]
    assert found["payment"] == {
        "gateway": "bkash",
        "reference": payment_id,
        "transaction_id": executed["trxID"],
        "invoice": "INV-1",
        "state": "Completed",
        "amount": "100.50",
        "captured": "100.50",
        "refunded": "40.00",
        "currency": "BDT",
        "created_at": "2026-01-31T12:00:00.000Z",
    }
    money = found["money"]
    assert (money["captured"], money["refunded"], money["held"]) == ("100.50", "40.00", "0.00")
    assert [one["kind"] for one in money["movements"]] == ["debit", "refund"] and found["whole"] is True


async def test_a_calls_request_and_answer_are_there(shop: Shop) -> None:
    payment_id = (await shop.create("100.50"))["paymentID"]
    call = (await story(shop, payment_id))["timeline"][0]
    detail = call["detail"]
    assert (detail["operation"], detail["method"], detail["status"], detail["fault"]) == (
        "create",
        "POST",
        200,
        None,
    )
    assert detail["path"] == "/v1.2.0-beta/tokenized/checkout/create"
    assert detail["moved_money"] is False and detail["took_ms"] == 0 and detail["lost_answer"] is None
    assert json.loads(detail["request"]["body"])["amount"] == "100.50"
    assert json.loads(detail["answer"]["body"])["paymentID"] == payment_id
    assert detail["request"]["headers"]["content-type"] == "application/json"
    assert (await shop.wire())[detail["call"] - 1]["operation"] == "create"


async def test_a_nagad_payment_that_is_paid_and_refunded(shop: Shop, clock: FakeClock) -> None:
    nagad = await NagadShop.of(shop.http, clock)
    reference, url = await nagad.ready("75")
    page = Page((await shop.http.get(url)).text)
    await submit(shop.http, url, page)
    page = Page((await shop.http.get(url)).text)
    await submit(shop.http, url, page, otp="000000")
    await walk(shop.http, url)
    await nagad.refund(reference, "75")
    found = await story(shop, reference, "nagad")
    assert told(found) == [
        ("call", "initialize: 200"),
        ("call", "complete: 200"),
        ("page", "The payer opened the page"),
        ("page", "Wallet number: 01770618575"),
        ("page", "Code: wrong"),
        ("page", "Code: right"),
        ("page", "PIN: right"),
        ("money", "debit: 75.00 from wallet:01770618575 to merchant:nagad"),
        ("page", "Sent back to the shop: Success"),
        ("call", "verify: 200"),
        ("call", "refund: 200"),
        ("money", "refund: 75.00 from merchant:nagad to wallet:01770618575"),
    ]
    assert found["timeline"][6]["detail"] == {"step": "pin", "right": True, "state": "Success"}


@pytest.mark.parametrize(
    ("outcome", "steps"), [("failure", ["Code: wrong"] * 3), ("cancel", ["The payer left by Cancel"])]
)
async def test_an_approval_from_outside_is_told_before_the_steps_it_takes(
    shop: Shop, outcome: str, steps: list[str]
) -> None:
    payment_id = (await shop.create())["paymentID"]
    await shop.approve(payment_id, outcome)
    assert told(await story(shop, payment_id))[1:] == [
        ("admin", "The payer's page was answered from outside"),
        *(("page", step) for step in steps),
    ]


async def test_an_authorization_that_is_voided(shop: Shop) -> None:
    payment_id = await shop.approved("10", intent="authorization")
    await shop.execute(payment_id)
    assert (await story(shop, payment_id))["money"]["held"] == "10.00"
    await shop.ask("payment/confirm/void", {"paymentID": payment_id})
    found = await story(shop, payment_id)
    assert [entry["detail"]["movement"] for entry in found["timeline"] if entry["kind"] == "money"] == [
        "hold",
        "release",
    ]
    assert found["money"]["held"] == "0.00"


async def test_calls_that_name_a_transaction_are_the_payments_too(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("10")
    refund = await shop.refund(payment_id, trx_id, "4")
    await shop.ask("general/searchTransaction", {"trxID": trx_id})
    await shop.ask("general/searchTransaction", {"trxID": refund["refundTrxID"]})
    searches = [title for _, title in told(await story(shop, trx_id)) if title.startswith("search")]
    assert searches == ["search: 200", "search: 200"]
    assert (await story(shop, trx_id))["payment"]["reference"] == payment_id


# ------------------------------------------------------------------------------------------------------ faults


async def test_a_lost_answer_is_kept_beside_what_the_caller_got(shop: Shop) -> None:
    payment_id = await shop.approved("10")
    with pytest.raises(ConnectionDroppedError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_after"})
    call = next(one for one in (await story(shop, payment_id))["timeline"] if one["detail"].get("fault"))
    detail = call["detail"]
    assert call["title"] == "execute: no answer (drop_after)"
    assert detail["status"] is None and detail["answer"] is None and detail["moved_money"] is True
    assert json.loads(detail["lost_answer"]["body"])["transactionStatus"] == "Completed"


async def test_half_an_answer_is_shown_as_half(shop: Shop, record: Record) -> None:
    payment_id = await shop.approved("10")
    with pytest.raises(ConnectionDroppedError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_mid_body"})
    entry = record.newest(1, operation="execute")[0]
    assert entry.title == "execute: half an answer (drop_mid_body)"
    whole = entry.detail["lost_answer"]["body"]
    assert whole.startswith(entry.detail["answer"]["body"]) and len(entry.detail["answer"]["body"]) < len(
        whole
    )


async def test_a_call_under_way_is_there_already(record: Record, clock: FakeClock) -> None:
    class Hangs:
        def __init__(self) -> None:
            self.go = asyncio.Event()

        async def sleep(self, seconds: float) -> None:
            clock.step(seconds=1.5)
            await self.go.wait()

    hangs = Hangs()
    app = create_app(clock=clock, seed=1, sleeper=hangs)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        payment_id = await shop.approved("10")
        call = asyncio.create_task(shop.execute(payment_id, **{"X-Sandbox-Fault": "delay_after;seconds=60"}))
        kept: Record = app.state.world.record
        while not (found := kept.newest(1, operation="execute")) or found[0].detail["moved_money"] is False:
            await asyncio.sleep(0)
        entry = found[0]
        assert entry.title == "execute: under way" and entry.reference == payment_id
        assert entry.detail["took_ms"] is None and entry.detail["answer"] is None
        hangs.go.set()
        await call
    assert entry.title == "execute: 200 (delay_after)" and entry.detail["took_ms"] == 1500


async def test_a_call_that_is_cut_off_by_the_stop_is_not_left_under_way(clock: FakeClock) -> None:
    class Forever:
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()

    app = create_app(clock=clock, seed=1, sleeper=Forever())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        call = asyncio.create_task(shop.query("X"))
        await asyncio.sleep(0)
        slow = asyncio.create_task(
            shop.ask("payment/status", {"paymentID": "Y"}, {"X-Sandbox-Fault": "delay"})
        )
        kept: Record = app.state.world.record
        while not kept.of("bkash", "Y"):
            await asyncio.sleep(0)
        await app.state.exchange.close()
        with pytest.raises(ConnectionDroppedError):
            await slow
        await call
    assert kept.of("bkash", "Y")[0].title == "query: no answer (delay)"


async def test_a_late_success_is_told_in_the_same_entry(shop: Shop, record: Record, app: Starlette) -> None:
    payment_id = await shop.approved("10")
    await shop.execute(payment_id, **{"X-Sandbox-Fault": "late_success"})
    for _ in range(10):
        await asyncio.sleep(0)
    entry = record.newest(1, operation="execute")[0]
    assert entry.detail["moved_money"] is True and entry.detail["status"] == entry.detail["answer"]["status"]
    assert json.loads(entry.detail["lost_answer"]["body"])["transactionStatus"] == "Completed"
    assert [one.kind for one in record.of("bkash", payment_id)][-2:] == ["call", "money"]


async def test_a_fault_that_is_none_is_told(shop: Shop, record: Record) -> None:
    await shop.post("execute", {"paymentID": "X"}, {"X-Sandbox-Fault": "nonsense"})
    entry = record.newest(1)[0]
    assert entry.title == "execute: 400" and "nonsense" in entry.detail["answer"]["body"]


async def test_calls_that_went_astray_are_told_too(shop: Shop, record: Record) -> None:
    await shop.http.post("/v9/checkout/create", json={})
    await shop.http.get("/remote-payment-gateway-1.0/api/dfs/nothing")
    await shop.http.post("/v1.2.0-beta/tokenized/checkout/create", content=b"x" * 70_000)
    await shop.http.post("/remote-payment-gateway-1.0/api/dfs/check-out/complete/R", content=b"x" * 70_000)
    assert [(one.gateway, one.title) for one in record.newest(4)] == [
        ("nagad", "complete: 413"),
        ("bkash", "create: 413"),
        ("nagad", "unknown: 404"),
        ("bkash", "unknown: 403"),
    ]


# ---------------------------------------------------------------------------------------------------- webhooks


async def test_every_try_of_a_webhook_is_told_with_its_answer(clock: FakeClock, sleeper: NoSleep) -> None:
    endpoint = Endpoint(lambda: http)
    app = create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=endpoint)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        url = "http://127.0.0.1:8000/hook?token=canaryOfTheAddress"
        await http.put("/_sandbox/webhooks/bkash", json={"url": url})
        await app.state.courier.drain()
        endpoint.answers = [503, 200]
        payment_id, trx_id = await shop.paid("10")
        await app.state.courier.drain()
        found = await story(shop, payment_id)
        kept: Record = app.state.world.record
        await app.state.courier.close()
    webhooks = [one for one in found["timeline"] if one["kind"] == "webhook"]
    assert [one["title"] for one in webhooks] == ["Notification, try 1: 503", "Notification, try 2: 200"]
    assert [one["detail"]["number"] for one in webhooks] == [1, 2]
    assert trx_id in webhooks[0]["detail"]["request"]["body"]
    everything = json.dumps([entry.as_json() for entry in kept.newest(1000)])
    assert "canaryOfTheAddress" not in everything
    confirmation = kept.newest(10, operation="SubscriptionConfirmation")
    assert [one.title for one in confirmation] == ["SubscriptionConfirmation, try 1: 200"]
    subscription = app.state.courier.subscriptions["bkash"]
    assert subscription.token not in everything


async def test_a_webhook_that_nobody_answers_and_one_that_is_never_sent(
    clock: FakeClock, sleeper: NoSleep
) -> None:
    endpoint = Endpoint(lambda: http)
    app = create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=endpoint)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:8000/hook"})
        await http.post("/_sandbox/faults", json={"fault": "webhook_never"})
        payment_id, _ = await shop.paid("10")
        await app.state.courier.drain()
        assert told(await story(shop, payment_id))[-1] == (
            "webhook",
            "Notification: never sent (webhook_never)",
        )
        await app.state.courier.close()


# ------------------------------------------------------------------------------------------ hands from outside


async def test_what_is_asked_of_the_sandbox_itself_is_told(shop: Shop, record: Record) -> None:
    await shop.http.post("/_sandbox/clock", json={"advance_s": 5})
    await shop.http.post("/_sandbox/faults", json={"fault": "throttled"})
    await shop.http.delete("/_sandbox/faults")
    await shop.http.post("/_sandbox/faults", json={"fault": "nonsense"})
    await shop.http.post("/_sandbox/walk_in", json={"amount": "5"})
    await shop.http.get("/_sandbox/books")
    assert [one.title for one in record.newest(10, kind="admin")] == [
        "A payer paid without the API",
        "A fault was ordered: refused",
        "Faults were called off",
        "A fault was ordered",
        "The clock was moved",
    ]
    entry = record.newest(1, kind="admin", operation="clock")[0]
    assert entry.detail["request"]["body"] == '{"advance_s":5}' and entry.detail["status"] == 200


async def test_a_reset_is_the_first_thing_after_a_reset(shop: Shop, record: Record) -> None:
    await shop.paid("10")
    await shop.http.post("/_sandbox/reset")
    assert [one.title for one in record.newest(10)] == ["The sandbox started over"]
    assert (await shop.http.get("/_sandbox/payments")).json()["payments"] == []


async def test_a_foreign_page_leaves_no_trace(shop: Shop, record: Record) -> None:
    before = record.told
    await shop.http.post("/_sandbox/clock", json={"advance_s": 5}, headers={"Origin": "https://evil.example"})
    assert record.told == before


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b"\xff\xfe", b"[" * 60_000, b'{"reference":5,"gateway":[]}', b'{"gateway":"x"}']
)
async def test_broken_admin_requests_are_told_without_harm(shop: Shop, record: Record, body: bytes) -> None:
    answer = await shop.http.post("/_sandbox/approve", content=body)
    assert answer.status_code == 400
    assert record.newest(1)[0].title == "The payer's page was answered from outside: refused"


# --------------------------------------------------------------------------------------------------- no secrets


async def test_no_secret_comes_into_the_record(
    shop: Shop, clock: FakeClock, record: Record, app: Starlette
) -> None:
    """Codes and PINs of a length that nothing else has, so that none is found by accident."""
    made = await shop.create("10")
    url = made["bkashURL"]
    await submit(shop.http, url, Page((await shop.http.get(url)).text))
    await submit(shop.http, url, Page((await shop.http.get(url)).text), otp="70077007")
    await submit(shop.http, url, Page((await shop.http.get(url)).text))
    await submit(shop.http, url, Page((await shop.http.get(url)).text), pin="80088008")
    await walk(shop.http, url)
    await shop.execute(made["paymentID"])
    await shop.grant(app_secret="canarySecret00", password="canaryPassword00")
    refreshed = await shop.http.post(
        "/v1.2.0-beta/tokenized/checkout/token/refresh",
        headers={"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]},
        json={**CREDENTIALS, "refresh_token": (await shop.grant()).json()["refresh_token"]},
    )
    assert refreshed.status_code == 200
    nagad = await NagadShop.of(shop.http, clock)
    reference, page = await nagad.ready("75")
    await submit(shop.http, page, Page((await shop.http.get(page)).text))
    await submit(shop.http, page, Page((await shop.http.get(page)).text), otp="90099009")
    sealed = nagad.sealed(b"{}")
    await nagad.post("/check-out/complete/" + reference, sealed)
    everything = json.dumps([entry.as_json() for entry in record.newest(100_000)], ensure_ascii=False)
    secrets = [
        "70077007",
        "80088008",
        "90099009",
        "canary",
        shop.token,
        refreshed.json()["id_token"],
        refreshed.json()["refresh_token"],
        CREDENTIALS["app_secret"],
        CREDENTIALS["password"],
        sealed["sensitiveData"],
        sealed["signature"],
        Path(
            (await shop.http.get("/_sandbox/gateways")).json()["gateways"]["nagad"][
                "merchant_private_key_file"
            ]
        ).read_text("ascii"),
    ]
    assert [secret for secret in secrets if secret in everything] == []
    assert "Code: wrong" in everything and "PIN: wrong" in everything and len(record) > 10

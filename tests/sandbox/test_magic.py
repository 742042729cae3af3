"""Magic amounts and wallets: a payment that brings its own fault or outcome."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, NoSleep, Shop
from tests.sandbox.sns_endpoint import Endpoint
from vextrus_payments_sandbox import create_app, magic
from vextrus_payments_sandbox.bkash.records import OUTCOME_CODES
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.fault_kinds import KINDS, PAGE, WEBHOOK
from vextrus_payments_sandbox.gateway_facts import PAGE_PREFIX
from vextrus_payments_sandbox.gateways import PLAYED
from vextrus_payments_sandbox.magic import OUTCOMES, STAGES, Memory, Subject
from vextrus_payments_sandbox.nagad.wallets import BY_OUTCOME
from vextrus_payments_sandbox.serve import played


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await NagadShop.of(http, clock)


def amount(stage: int, fault: str) -> str:
    return magic.example_amount(stage, KINDS[fault].number)


def wallet(stage: int, fault: str) -> str:
    return magic.example_wallet(stage, KINDS[fault].number)


async def faults_met(shop: Any) -> list[tuple[str, str | None]]:
    return [(call["operation"], call["fault"]) for call in await shop.wire() if call["operation"] != "grant"]


# --- bKash -----------------------------------------------------------------------------------------------------------


async def test_the_documented_example(shop: Shop) -> None:
    payment_id = await shop.approved("4002.06")
    with pytest.raises(ConnectionDroppedError):
        await shop.execute(payment_id)
    assert (await shop.book(payment_id))["captured"] == "4002.06"
    assert (await shop.execute(payment_id))["statusCode"] == "2117"  # the second call is answered
    assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_a_wallet_does_the_same_whatever_is_paid(shop: Shop) -> None:
    for paid in ("10", "11"):
        payment_id = await shop.approved(paid, wallet="01800400211")
        answer = await shop.post("execute", {"paymentID": payment_id})
        assert answer.status_code == 504
        assert (await shop.book(payment_id))["captured"] == f"{paid}.00"
    assert await shop.balance("01800400211") == "99999979.00"


async def test_each_stage_strikes_its_own_call_once(shop: Shop) -> None:
    assert (await shop.post("create", {})).status_code == 200
    payment_id = await shop.approved(amount(4004, "throttled"))
    await shop.execute(payment_id)
    answers = [(await shop.post("payment/status", {"paymentID": payment_id})).status_code for _ in range(3)]
    assert answers == [429, 200, 200]
    assert [met for met in await faults_met(shop) if met[1]] == [("query", "throttled")]


async def test_refunds_and_their_look_ups(shop: Shop, clock: FakeClock) -> None:
    for stage, call in ((4005, "refund"), (4006, "refund_status")):
        clock.step(seconds=300)
        payment_id, trx_id = await shop.paid(amount(stage, "error_5xx_after"))
        first = await shop.refund_v2(payment_id, trx_id, "1")
        ids = {"paymentID": payment_id, "trxID": trx_id}
        second = await shop.post("payment/refund", ids)
        assert [first.status_code, second.status_code] == ([504, 200] if call == "refund" else [200, 504])
        assert (await shop.book(payment_id))["refunded"] == "1.00"


async def test_capture_and_void(shop: Shop) -> None:
    payment_id, _ = await shop.paid(amount(4007, "drop_before"), intent="authorization")
    with pytest.raises(ConnectionDroppedError):
        await shop.ask("payment/confirm/capture", {"paymentID": payment_id})
    answer = await shop.ask("payment/confirm/capture", {"paymentID": payment_id})
    assert answer["transactionStatus"] == "Completed"


async def test_the_call_that_opens_a_payment_is_struck_every_other_time(shop: Shop) -> None:
    """There is no payment yet that could be remembered, and whoever tries again has to get through."""
    body = {
        "mode": "0011",
        "payerReference": "customer-1",
        "callbackURL": "http://127.0.0.1:9/return",
        "amount": amount(4001, "html_200_before"),
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": "INV-1",
    }
    kinds = [(await shop.post("create", body)).headers["content-type"] for _ in range(4)]
    assert [kind.partition(";")[0] for kind in kinds] == ["text/html", "application/json"] * 2


@pytest.mark.parametrize(
    ("paid", "code"), [("4003.11", "2023"), ("4003.12", "2037"), ("4003.13", "2029"), ("4003.14", "9999")]
)
async def test_what_bkash_refuses_at_execute(shop: Shop, paid: str, code: str) -> None:
    payment_id = await shop.approved(paid)
    assert (await shop.execute(payment_id))["statusCode"] == code
    assert (await shop.book(payment_id))["captured"] == "0.00"
    by_wallet = await shop.approved("10", wallet=f"01800{paid.replace('.', '')}")
    assert (await shop.execute(by_wallet))["statusCode"] == code


async def test_late_success_by_amount(app: Starlette, shop: Shop, sleeper: NoSleep) -> None:
    payment_id = await shop.approved("4003.09")
    assert (await shop.post("execute", {"paymentID": payment_id})).status_code == 504
    for _ in range(5):
        await shop.http.get("/_sandbox/health")
    assert sleeper.waits == [20.0]
    assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_whoever_meets_one_by_accident_is_told(shop: Shop) -> None:
    """Nobody has ordered it, so nothing else would say why an ordinary payment goes wrong."""
    with pytest.raises(ConnectionDroppedError):
        await shop.create("4001.06")
    refused, common = await shop.approved("4003.11"), await shop.approved("4003.00")
    await shop.post("execute", {"paymentID": refused})
    assert "drop_after (magic)" in (await shop.http.get("/wire")).text
    (lost,) = (await shop.http.get("/_sandbox/record?status=none&kind=call")).json()["entries"]
    assert lost["title"] == "create: no answer (drop_after, brought by a magic amount or wallet)"
    assert lost["detail"]["brought_by"] == "a magic amount or wallet"
    page = (await shop.http.get(f"/payments/bkash/{refused}")).text
    assert "insufficient_balance: execute refuses with 2023 (see Faults)" in page
    assert "magic amount" not in (await shop.http.get(f"/payments/bkash/{common}")).text
    await shop.http.post("/_sandbox/faults", json={"fault": "drop_after", "operation": "create"})
    with pytest.raises(ConnectionDroppedError):
        await shop.create("10")
    (newest,) = (await shop.http.get("/_sandbox/record?limit=1&kind=call")).json()["entries"]
    assert newest["title"] == "create: no answer (drop_after)"
    assert "brought_by" not in newest["detail"]


@pytest.mark.parametrize(
    ("paid_minor", "said"),
    [
        (400_206, "drop_after strikes execute"),
        (400_317, ""),
        (400_200, ""),
        (400_901, ""),
        (400_310, ""),
        (400_706, "drop_after strikes capture and void"),
    ],
)
def test_what_an_amount_is_announced_to_bring(paid_minor: int, said: str) -> None:
    assert magic.announced("bkash", paid_minor) == said


async def test_a_header_and_an_order_go_first(shop: Shop) -> None:
    payment_id = await shop.approved("4002.13")  # forbidden
    await shop.http.post("/_sandbox/faults", json={"operation": "execute", "fault": "throttled"})
    body = {"paymentID": payment_id}
    first = await shop.post("execute", body, {"X-Sandbox-Fault": "expired_token"})
    statuses = [first.status_code, *[(await shop.post("execute", body)).status_code for _ in range(3)]]
    assert statuses == [401, 429, 403, 200]


async def test_the_webhook_of_a_magic_payment(clock: FakeClock, sleeper: NoSleep) -> None:
    endpoint = Endpoint(lambda: http)
    app = create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=endpoint)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:8000/w"})
        await shop.paid(amount(4008, "webhook_duplicate"))
        await app.state.courier.drain()
        assert len(endpoint.notifications) == 2
        payment_id = await shop.approved("30", wallet=wallet(4008, "webhook_other_amount"))
        await shop.execute(payment_id)
        await app.state.courier.drain()
        assert endpoint.notifications[-1].message["amount"] == "31.00"
        wish = {"amount": amount(4008, "webhook_never"), "channel": "qr"}
        assert (await http.post("/_sandbox/walk_in", json=wish)).status_code == 200
        await app.state.courier.drain()
        assert len(endpoint.notifications) == 3
    await app.state.courier.close()


async def test_a_reset_forgets_who_was_struck(app: Starlette, shop: Shop) -> None:
    """The first call of a fresh world is struck again, though the last one before was."""
    paid = amount(4001, "forbidden")
    body = {"amount": paid, "merchantInvoiceNumber": "INV-1"}
    assert (await shop.post("create", body)).status_code == 403
    payment_id = await shop.approved("4002.13")
    assert (await shop.post("execute", {"paymentID": payment_id})).status_code == 403
    await shop.http.post("/_sandbox/reset")
    assert app.state.faults.magic == Memory()
    assert (await shop.post("create", body)).status_code == 403


async def test_without_magic_it_is_an_amount_like_any_other(clock: FakeClock) -> None:
    app = create_app(clock=clock, seed=1, magic=False)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        for paid in ("4002.06", "4003.11"):
            assert (await shop.paid(paid))[1]
        refused = await http.post(
            "/_sandbox/approve", json={"reference": await shop.approved("10"), "wallet": "01800400206"}
        )
        assert refused.status_code == 200  # the page was walked already
        payment_id = (await shop.create("11"))["paymentID"]
        answer = await http.post("/_sandbox/approve", json={"reference": payment_id, "wallet": "01800400206"})
        assert answer.status_code == 400


@pytest.mark.parametrize(
    "number", ["01800401006", "01800400106", "0180040020", "018004002061", "01800400२06"]
)
async def test_other_numbers_are_no_wallets(shop: Shop, number: str) -> None:
    payment_id = (await shop.create("10"))["paymentID"]
    answer = await shop.http.post("/_sandbox/approve", json={"reference": payment_id, "wallet": number})
    assert answer.status_code == 400


# --- Nagad -----------------------------------------------------------------------------------------------------------


async def test_nagads_look_up_and_refund(nagad: NagadShop) -> None:
    reference, _ = await nagad.ready(amount(4004, "error_5xx_before"))
    await nagad.approve(reference)
    assert (await nagad.verify(reference)).get("message") == "Endpoint request timed out"
    assert (await nagad.verify(reference))["status"] == "Success"
    reference = await nagad.paid(amount(4005, "tampered"))
    assert (await nagad.refund(reference, "1")).status_code == 200
    assert [met for met in await faults_met(nagad) if met[0] == "refund"] == [("refund", "tampered")]


async def test_nagads_complete_is_struck_by_the_amount_that_is_sealed_in_it(nagad: NagadShop) -> None:
    first = await nagad.started()
    second = await nagad.started()
    paid = amount(4001, "forbidden")
    assert (await nagad.complete(*first, paid)).status_code == 403
    assert (await nagad.complete(*second, paid)).status_code == 200
    assert (await nagad.complete(*first, "no amount")).json()["reason"] == "16_0006_059"
    assert (
        await nagad.complete(*first, paid)
    ).status_code == 403  # nobody was struck for what names no amount


@pytest.mark.parametrize(
    ("paid", "status", "returned"),
    [
        ("4003.01", "Failed", "50_0026_851"),
        ("4003.04", "Aborted", "99_9999_006"),
        ("4003.05", "InProgress", None),
        ("4003.06", "UnKnownFailed", "99_9999_007"),
        ("4003.08", "Success", None),
        ("4003.09", "InProgress", "99_9999_008"),
        ("4003.11", "Failed", "99_9999_001"),
        ("4003.12", "Failed", "99_9999_002"),
        ("4003.13", "Success", "00_0000_000"),  # bKash's alone
    ],
)
async def test_what_a_payment_at_nagad_comes_to(
    nagad: NagadShop, paid: str, status: str, returned: str | None
) -> None:
    for asked, number in ((paid, None), ("10", f"01800{paid.replace('.', '')}")):
        reference, _ = await nagad.ready(asked)
        told = await nagad.approve(reference, wallet=number)
        assert (await nagad.verify(reference))["status"] == status
        assert returned is None or f"status_code={returned}" in told["redirect"]
        assert returned is not None or told["redirect"] is None


async def test_failed_first_and_paid_a_minute_later(nagad: NagadShop, clock: FakeClock) -> None:
    reference, _ = await nagad.ready("4003.09")
    assert "status=Failed" in (await nagad.approve(reference))["redirect"]
    clock.step(seconds=61)
    assert (await nagad.verify(reference))["status"] == "Success"
    assert (await nagad.book(reference))["captured"] == "4003.09"


# --- ordered ahead ---------------------------------------------------------------------------------------------------


async def order(shop: Shop | NagadShop, **wish: Any) -> httpx.Response:
    return await shop.http.post("/_sandbox/faults", json=wish)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("page_insufficient_balance", "2023"),
        ("page_account_blocked", "2037"),
        ("page_duplicate", "2029"),
        ("page_system_error", "9999"),
    ],
)
async def test_what_the_next_payer_at_bkash_comes_to(shop: Shop, fault: str, code: str) -> None:
    await order(shop, fault=fault)
    first, second = await shop.approved("10"), await shop.approved("11")
    assert (await shop.execute(first))["statusCode"] == code
    assert (await shop.execute(second))["statusCode"] == "0000"


async def test_the_next_payer_at_bkash_pays_late(app: Starlette, shop: Shop) -> None:
    await order(shop, fault="page_late_success", operation="page")
    payment_id = await shop.approved("10")
    assert (await shop.post("execute", {"paymentID": payment_id})).status_code == 504
    for _ in range(5):
        await shop.http.get("/_sandbox/health")
    assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("page_over_limit", "Failed"),
        ("page_aborted_by_issuer", "Aborted"),
        ("page_in_progress", "InProgress"),
        ("page_unknown_then_paid", "UnKnownFailed"),
        ("page_unknown_then_failed", "UnKnownFailed"),
        ("page_never_returns", "Success"),
        ("page_late_success", "InProgress"),
        ("page_insufficient_balance", "Failed"),
        ("page_account_blocked", "Failed"),
    ],
)
async def test_what_the_next_payer_at_nagad_comes_to(nagad: NagadShop, fault: str, status: str) -> None:
    await order(nagad, gateway="nagad", fault=fault)
    first, _ = await nagad.ready("10")
    await nagad.approve(first)
    assert (await nagad.verify(first))["status"] == status
    second = await nagad.paid("11")
    assert (await nagad.book(second))["captured"] == "11.00"


async def test_an_order_for_a_page_needs_no_magic_and_goes_first(clock: FakeClock, sleeper: NoSleep) -> None:
    app = create_app(clock=clock, seed=1, sleeper=sleeper, magic=False)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        await order(shop, fault="page_late_success")
        payment_id = await shop.approved("4003.11")
        assert (await shop.post("execute", {"paymentID": payment_id})).status_code == 504
    await app.state.exchange.close()


async def test_an_order_for_a_page_strikes_no_call_and_no_header_names_it(shop: Shop) -> None:
    (plan,) = (await order(shop, fault="page_account_blocked")).json()["faults"]
    assert plan["operation"] == "page"
    payment_id = await shop.approved("10")
    answer = await shop.post(
        "execute", {"paymentID": payment_id}, {"X-Sandbox-Fault": "page_account_blocked"}
    )
    assert answer.status_code == 400 and "ordered ahead" in answer.json()["message"]
    assert (await order(shop, fault="page_over_limit")).status_code == 400  # Nagad's alone
    assert (await order(shop, fault="page_account_blocked", operation="execute")).status_code == 400
    assert (await order(shop, fault="delay", operation="page")).status_code == 400
    assert (await order(shop, fault="webhook_never", operation="page")).status_code == 400


# --- the tables ------------------------------------------------------------------------------------------------------


def test_every_stage_names_operations_that_there_are() -> None:
    known = {name: {*one.operations, WEBHOOK} for name, one in played().items()}
    for stage in STAGES.values():
        for gateway, operations in stage.operations.items():
            assert set(operations) <= known[gateway]


def test_every_kind_can_be_met_by_an_amount() -> None:
    met = {
        kind.name
        for kind in KINDS.values()
        for stage in STAGES.values()
        for gateway, operations in stage.operations.items()
        if any(magic.strikes(stage.taka, gateway, kind, operation) for operation in operations)
    }
    by_calls = {kind.name for kind in KINDS.values() if kind.phase != PAGE}
    assert by_calls - met == {"random_nonce"}  # initialize names no amount


def test_every_outcome_can_be_ordered_and_every_order_for_a_page_is_one() -> None:
    orders = {kind.name: kind.only for kind in KINDS.values() if kind.phase == PAGE}
    known = {
        PAGE_PREFIX + one.name: () if len(one.about) == len(PLAYED) else tuple(one.about)
        for one in OUTCOMES.values()
    }
    assert orders == known


def test_every_outcome_is_played_where_it_says() -> None:
    for outcome in OUTCOMES.values():
        assert ("nagad" in outcome.about) == (outcome.name in BY_OUTCOME)
        assert ("bkash" in outcome.about) == (outcome.name in OUTCOME_CODES or bool(outcome.fault))
    names = {outcome.name for outcome in OUTCOMES.values()}
    assert set(BY_OUTCOME) <= names and set(OUTCOME_CODES) <= names


def test_the_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(magic, "STRUCK_MAX", 3)
    memory = Memory()
    for number in range(5):
        assert memory.take("bkash", "execute", Subject(f"P{number}", 400_206)) is not None
    assert len(memory.struck) == 3
    assert memory.take("bkash", "execute", Subject("P4", 400_206)) is None

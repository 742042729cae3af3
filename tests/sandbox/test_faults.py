"""Faults: when they strike, what the caller sees, and that what was done stays done."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.sandbox.shop import CREDENTIALS, V1, NoSleep, Shop
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.faults import KINDS


async def struck(shop: Shop, payment_id: str, fault: str) -> httpx.Response:
    return await shop.post("execute", {"paymentID": payment_id}, {"X-Sandbox-Fault": fault})


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        ("error_5xx_before", 504, False),
        ("error_5xx_after", 504, True),
        ("expired_token", 401, False),
        ("forbidden", 403, False),
        ("throttled", 429, False),
        ("grant_budget", 429, False),
        ("malformed", 200, True),
        ("malformed_before", 200, False),
        ("html", 502, True),
        ("html_before", 403, False),
        ("message_only", 200, True),
        ("message_only_before", 200, False),
        ("code_before", 200, False),
        ("code_after;code=2003", 200, True),
        ("delay;seconds=3", 200, True),
        ("delay_after;seconds=4", 200, True),
    ],
)
async def test_what_the_caller_sees_and_what_was_done(
    shop: Shop, fault: str, status: int, done: bool
) -> None:
    payment_id = await shop.approved("25")
    answer = await struck(shop, payment_id, fault)
    assert answer.status_code == status
    assert (await shop.book(payment_id))["captured"] == ("25.00" if done else "0.00")
    call = (await shop.wire())[-1]
    assert (call["fault"], call["status"], call["moved_money"]) == (fault.split(";")[0], status, done)
    assert call["reference"] == payment_id and call["operation"] == "execute"
    if not done:
        assert (await shop.execute(payment_id))["transactionStatus"] == "Completed"


async def test_the_bodies_of_the_faults(shop: Shop) -> None:
    async def body(fault: str) -> httpx.Response:
        return await struck(shop, await shop.approved("25"), fault)

    assert (await body("expired_token")).json() == {"message": "The incoming token has expired"}
    assert (await body("error_5xx_before")).json() == {"message": "Endpoint request timed out"}
    assert (await body("message_only_before")).json() == {"message": "Internal server error"}
    assert (await body("code_before;code=9999")).json() == {
        "statusCode": "9999",
        "statusMessage": "System Error.",
    }
    assert "Your support ID is: " in (await body("html_before")).text
    html = await body("html")
    assert html.headers["content-type"].startswith("text/html") and html.text.startswith("<html>")
    broken = await body("malformed_before")
    with pytest.raises(ValueError):
        broken.json()


@pytest.mark.parametrize(
    ("fault", "done"), [("drop_before", False), ("drop_after", True), ("drop_mid_body", True)]
)
async def test_in_process_a_dropped_connection_is_a_read_error(shop: Shop, fault: str, done: bool) -> None:
    payment_id = await shop.approved("25")
    with pytest.raises(ConnectionDroppedError):
        await struck(shop, payment_id, fault)
    assert (await shop.book(payment_id))["captured"] == ("25.00" if done else "0.00")
    call = (await shop.wire())[-1]
    assert (call["status"], call["moved_money"], call["fault"]) == (None, done, fault)


async def test_delays_wait_as_told(shop: Shop, sleeper: NoSleep) -> None:
    payment_id = await shop.approved("25")
    await struck(shop, payment_id, "delay")
    await struck(shop, payment_id, "delay_after;seconds=0.25")
    await struck(shop, payment_id, "error_5xx_after;seconds=30")
    assert sleeper.waits == [2.0, 0.25, 30.0]


async def test_work_goes_on_when_the_caller_hangs_up(shop: Shop, sleeper: NoSleep) -> None:
    payment_id = await shop.approved("25")
    release = asyncio.Event()

    async def hold(seconds: float) -> None:
        await release.wait()

    sleeper.sleep = hold  # type: ignore[method-assign]
    caller = asyncio.create_task(struck(shop, payment_id, "delay;seconds=9"))
    while (await shop.wire())[-1]["fault"] != "delay":
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await shop.book(payment_id))["captured"] == "0.00"
    release.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (await shop.book(payment_id))["captured"] == "25.00"  # a zombie, as at the real gateway


async def test_stale_look_ups_show_the_state_before(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    await shop.refund_v2(payment_id, trx_id, "10")
    stale = {"X-Sandbox-Fault": "stale"}
    query = await shop.ask("payment/status", {"paymentID": payment_id}, stale)
    assert (query["transactionStatus"], query["verificationStatus"]) == ("Initiated", "Complete")
    assert "trxID" not in query
    path = "/v2/tokenized-checkout/refund/payment/status"
    ids = {"paymentId": payment_id, "trxId": trx_id}
    assert "refundTransactions" not in await shop.ask(path, ids, stale)
    assert len((await shop.ask(path, ids))["refundTransactions"]) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "nothing",
        "",
        "delay;seconds=-1",
        "delay;seconds=121",
        "delay;x=1",
        "code_after;code=<b>",
        "DELAY",
        ";",
    ],
)
async def test_a_fault_that_does_not_exist_is_an_error_and_does_nothing(shop: Shop, fault: str) -> None:
    payment_id = await shop.approved("25")
    answer = await struck(shop, payment_id, fault)
    if fault:
        assert answer.status_code == 400
        assert answer.json()["message"].startswith("X-Sandbox-Fault: ")
        assert (await shop.book(payment_id))["captured"] == "0.00"
    else:
        assert answer.json()["transactionStatus"] == "Completed"  # an empty header is no fault


async def order(shop: Shop, wish: Any) -> httpx.Response:
    return await shop.http.post("/_sandbox/faults", json=wish)


async def test_faults_ordered_ahead_strike_their_operation_so_often(shop: Shop) -> None:
    wish = {"gateway": "bkash", "operation": "query", "fault": "expired_token", "times": 2}
    (waiting,) = (await order(shop, wish)).json()["faults"]
    assert waiting == {**wish, "id": 1, "chance": 1.0, "seed": None, "met": 0, "struck": 0}
    payment_id = await shop.approved("25")
    statuses = [(await shop.post("payment/status", {"paymentID": payment_id})).status_code for _ in range(3)]
    assert statuses == [401, 401, 200]
    assert (await shop.http.get("/_sandbox/faults")).json() == {"faults": []}


async def test_faults_wait_in_order_and_can_be_cleared(shop: Shop) -> None:
    await order(shop, {"operation": "create", "fault": "error_5xx_before"})
    await order(shop, {"operation": "create", "fault": "forbidden"})
    assert (await shop.post("create", {})).status_code == 504
    assert (await shop.post("create", {})).status_code == 403
    await order(shop, {"fault": "throttled", "times": 5})
    assert (await shop.grant()).status_code == 429
    assert (await shop.http.delete("/_sandbox/faults")).json() == {"faults": []}
    assert (await shop.grant()).status_code == 200


async def test_refund_and_its_status_share_a_path_but_not_their_faults(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    await order(shop, {"operation": "refund", "fault": "error_5xx_after"})
    ids = {"paymentID": payment_id, "trxID": trx_id}
    assert (await shop.post("payment/refund", ids)).status_code == 200
    assert (
        await shop.post("payment/refund", {**ids, "amount": "5", "sku": "s", "reason": "r"})
    ).status_code == 504
    assert (await shop.book(payment_id))["refunded"] == "5.00"


@pytest.mark.parametrize(
    "wish",
    [
        {},
        [],
        {"fault": "nothing"},
        {"fault": "delay", "gateway": "nobody"},
        {"fault": "delay", "gateway": []},
        {"fault": "delay", "operation": {}},
        {"fault": "delay", "operation": "nothing"},
        {"fault": "delay", "times": 0},
        {"fault": "delay", "times": True},
        {"fault": "delay", "times": "2"},
        {"fault": ["delay"]},
        {"fault": "delay", "more": 1},
    ],
)
async def test_an_order_that_could_never_strike_is_refused(shop: Shop, wish: Any) -> None:
    answer = await order(shop, wish)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert (await shop.http.get("/_sandbox/faults")).json() == {"faults": []}


async def test_every_kind_can_strike_every_operation(shop: Shop) -> None:
    """No fault may crash the sandbox itself, whatever it is asked to strike."""
    bodies = {
        "execute": {"paymentID": "x"},
        "payment/refund": {"paymentID": "x", "trxID": "y", "amount": "1"},
    }
    for name in KINDS:
        for path, body in bodies.items():
            try:
                answer = await shop.post(path, body, {"X-Sandbox-Fault": f"{name};seconds=0.001"})
            except ConnectionDroppedError:
                assert name.startswith(("drop_", "reset_", "timeout_"))
            else:
                assert answer.status_code != 500
        grant = await shop.http.post(
            f"{V1}/tokenized/checkout/token/grant",
            json=CREDENTIALS,
            headers={"username": "u", "password": "p", "X-Sandbox-Fault": "code_after;code=2001"},
        )
        assert grant.json()["statusCode"] == "2001"

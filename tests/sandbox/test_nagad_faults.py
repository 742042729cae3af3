"""Faults at Nagad: what the caller sees, that what was done stays done, and which seals must not be believed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, NoSleep
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.faults import KINDS


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await NagadShop.of(http, clock)


async def order(nagad: NagadShop, **wish: Any) -> httpx.Response:
    return await nagad.http.post("/_sandbox/faults", json={"gateway": "nagad", **wish})


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [
        ("error_5xx_before", 504, False),
        ("error_5xx_after", 504, True),
        ("html", 502, True),
        ("html_before", 403, False),
        ("html_200_before", 200, False),
        ("malformed", 200, True),
        ("malformed_before", 200, False),
        ("message_only", 200, True),
        ("code_before", 400, False),
        ("code_after;code=16_0006_075", 400, True),
        ("delay;seconds=3", 200, True),
        ("wrong_key", 200, True),
        ("tampered", 200, True),
        ("replayed", 200, True),
    ],
)
async def test_a_refund_under_a_fault(nagad: NagadShop, fault: str, status: int, done: bool) -> None:
    reference = await nagad.paid("100")
    answer = await nagad.refund(reference, "25", fault=fault)
    assert answer.status_code == status
    assert (await nagad.book(reference))["refunded"] == ("25.00" if done else "0.00")
    call = next(one for one in reversed(await nagad.wire()) if one["operation"] == "refund")
    assert (call["fault"], call["moved_money"]) == (fault.partition(";")[0], done)


@pytest.mark.parametrize(
    ("fault", "done"), [("drop_before", False), ("drop_after", True), ("drop_mid_body", True)]
)
async def test_a_connection_that_is_cut(nagad: NagadShop, fault: str, done: bool) -> None:
    reference = await nagad.paid("100")
    with pytest.raises(ConnectionDroppedError):
        await nagad.refund(reference, "25", fault=fault)
    assert (await nagad.book(reference))["refunded"] == ("25.00" if done else "0.00")


@pytest.mark.parametrize(
    ("given", "reason"),
    [("code=058", "16_0006_058"), ("code=16_0006_075", "16_0006_075"), ("code=9999", "16_0006_999")],
)
async def test_a_refusal_that_was_asked_for(nagad: NagadShop, given: str, reason: str) -> None:
    answer = await nagad.initialize("Order00001", fault=f"code_before;{given}")
    assert answer.json()["reason"] == reason
    assert (await nagad.initialize("Order00001")).status_code == 200


async def test_the_firewall_names_a_support_id(nagad: NagadShop) -> None:
    answer = await nagad.initialize(fault="html_200_before")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert "The requested URL was rejected" in answer.text and "Your support ID is: " in answer.text


@pytest.mark.parametrize("fault", ["wrong_key", "tampered"])
async def test_a_seal_that_must_not_be_believed(nagad: NagadShop, fault: str) -> None:
    answer = await nagad.initialize("Order00001", fault=fault)
    assert answer.status_code == 200
    with pytest.raises(InvalidSignature):
        nagad.opened(answer.json())
    assert (await nagad.initialize("Order00001")).json()["reason"] == "16_0006_083"  # it had gone through


async def test_an_answer_of_earlier_is_genuine_and_not_ours(nagad: NagadShop) -> None:
    first, _, _ = await nagad.started("Order00001")
    replayed = json.loads(nagad.opened((await nagad.initialize("Order00002", fault="replayed")).json()))
    assert replayed["paymentReferenceId"] == first


async def test_the_nonces_old_name(nagad: NagadShop) -> None:
    found = json.loads(nagad.opened((await nagad.initialize(fault="random_nonce")).json()))
    assert list(found) == ["paymentReferenceId", "random", "acceptDateTime"]


async def test_a_clock_that_is_off(nagad: NagadShop) -> None:
    answer = await nagad.initialize("Order00001", fault="clock_skew")
    assert answer.json()["reason"] == "16_0006_076"
    assert (await nagad.initialize("Order00001")).status_code == 200


async def test_a_stale_look_up(nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    stale = await nagad.verify(reference, "stale")
    assert (stale["status"], stale["issuerPaymentRefNo"], stale["statusCode"]) == ("InProgress", None, None)
    await nagad.refund(reference, "30")
    stale = await nagad.verify(reference, "stale")
    assert (stale["status"], stale["cancelIssuerRefNo"]) == ("Success", None)
    assert (await nagad.verify(reference))["status"] == "PartialCancelled"


async def test_a_fault_ordered_ahead_strikes_nagad_alone(nagad: NagadShop, sleeper: NoSleep) -> None:
    assert (await order(nagad, operation="verify", fault="delay;seconds=7", times=1)).status_code == 200
    reference, _ = await nagad.ready()
    await nagad.verify(reference)
    assert sleeper.waits == [7.0]
    await nagad.verify(reference)
    assert sleeper.waits == [7.0]


@pytest.mark.parametrize(
    "wish",
    [
        {"operation": "execute", "fault": "delay"},
        {"operation": "webhook", "fault": "webhook_never"},
        {"operation": "webhook", "fault": "delay"},
        {"operation": "*", "fault": "webhook_delayed"},
        {"gateway": "bkash", "operation": "*", "fault": "tampered"},
        {"operation": "verify", "fault": "code_before;code=16_06_058"},
    ],
)
async def test_an_order_that_could_never_strike(nagad: NagadShop, wish: dict[str, str]) -> None:
    answer = await order(nagad, **wish)
    assert answer.status_code == 400 and answer.json()["error"]


async def test_a_fault_of_another_gateway_in_a_header(nagad: NagadShop) -> None:
    answer = await nagad.initialize("Order00001", fault="webhook_never")
    assert answer.status_code == 400 and "can only strike bkash" in answer.json()["message"]
    assert (await nagad.initialize("Order00001")).status_code == 200


async def test_every_kind_can_strike_every_operation(nagad: NagadShop) -> None:
    """No fault may crash the sandbox itself, whatever it is asked to strike."""
    reference, challenge, order_id = await nagad.started()
    for name in KINDS:
        calls: list[tuple[str, str, bytes]] = [
            ("POST", "/check-out/initialize/680000000000001/Order77777", b"{}"),
            ("POST", f"/check-out/complete/{reference}", b"{}"),
            ("GET", f"/verify/payment/{reference}", b""),
            ("POST", f"/purchase/cancel?orderId={order_id}", b"{}"),
        ]
        for method, path, body in calls:
            headers = {**nagad.headers, "X-Sandbox-Fault": f"{name};seconds=0.001"}
            try:
                answer = await nagad.http.request(method, nagad.prefix + path, content=body, headers=headers)
            except ConnectionDroppedError:
                assert name.startswith(("drop_", "reset_", "timeout_"))
            else:
                assert answer.status_code != 500
    assert challenge

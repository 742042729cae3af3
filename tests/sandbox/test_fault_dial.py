"""The fault dial: always, by chance, which order goes first, and the faults that need more than an answer."""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import CREDENTIALS, V1, FakeClock, NoSleep, Shop
from tests.sandbox.sns_endpoint import Endpoint
from vextrus_payments_sandbox import SandboxServer, create_app
from vextrus_payments_sandbox.exchange import ConnectionDroppedError
from vextrus_payments_sandbox.fault_kinds import BY_NUMBER, KINDS, parse_fault
from vextrus_payments_sandbox.faults import FaultPlans
from vextrus_payments_sandbox.world import SandboxError

GATEWAYS = {"bkash": ("grant", "execute", "query", "refund"), "nagad": ("initialize", "verify", "refund")}


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await NagadShop.of(http, clock)


async def order(shop: Shop | NagadShop, **wish: Any) -> httpx.Response:
    return await shop.http.post("/_sandbox/faults", json=wish)


async def waiting(shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shop.http.get("/_sandbox/faults")).json()["faults"]
    return found


# --- how often ------------------------------------------------------------------------------------------------------


async def test_always_strikes_until_it_is_cleared(shop: Shop) -> None:
    await order(shop, operation="query", fault="throttled", times="always")
    answers = [(await shop.post("payment/status", {"paymentID": "x"})).status_code for _ in range(5)]
    assert answers == [429] * 5
    (plan,) = await waiting(shop)
    assert (plan["times"], plan["met"], plan["struck"]) == ("always", 5, 5)
    await shop.http.delete(f"/_sandbox/faults/{plan['id']}")
    assert (await shop.post("payment/status", {"paymentID": "x"})).status_code == 200


async def test_one_order_of_several_can_be_taken_back(shop: Shop) -> None:
    for fault in ("throttled", "forbidden", "html"):
        await order(shop, operation="query", fault=fault)
    second = (await waiting(shop))[1]["id"]
    left = (await shop.http.delete(f"/_sandbox/faults/{second}")).json()["faults"]
    assert [plan["fault"] for plan in left] == ["throttled", "html"]
    for unknown in (second, 99, "x", "9" * 5000, "%C2%B2"):
        assert (await shop.http.delete(f"/_sandbox/faults/{unknown}")).status_code == 404


def struck_by(seed: int | None, chance: float, calls: int = 400, times: object = "always") -> list[bool]:
    plans = FaultPlans(random.Random(5))
    plans.order({"fault": "drop_after", "times": times, "chance": chance, "seed": seed}, GATEWAYS)
    return [plans.take("bkash", "execute") is not None for _ in range(calls)]


def test_by_chance_a_seed_strikes_the_same_calls_again() -> None:
    first = struck_by(7, 0.25)
    assert first == struck_by(7, 0.25)
    assert first != struck_by(8, 0.25)
    assert 60 <= sum(first) <= 140  # of 400, each with a quarter's chance
    assert first[0] is not first[first.index(not first[0])]


def test_by_chance_times_counts_the_strikes_and_not_the_calls() -> None:
    assert sum(struck_by(7, 0.25, times=3)) == 3


def test_a_chance_without_a_seed_is_given_one_that_it_shows() -> None:
    plans = FaultPlans(random.Random(5))
    plan = plans.order({"fault": "delay", "chance": 0.5, "times": "always"}, GATEWAYS)
    assert plan.seed is not None
    drawn = [plans.take("bkash", "query") is not None for _ in range(50)]
    assert drawn == struck_by(plan.seed, 0.5, 50)
    other = plans.order({"fault": "delay", "chance": 0.5}, GATEWAYS)
    assert other.seed not in (None, plan.seed)
    assert FaultPlans().order({"fault": "delay"}, GATEWAYS).seed is None


def test_what_ends_goes_before_what_does_not() -> None:
    plans = FaultPlans()
    plans.order({"operation": "execute", "fault": "throttled", "times": "always"}, GATEWAYS)
    plans.order({"operation": "execute", "fault": "html"}, GATEWAYS)
    plans.order({"operation": "*", "fault": "forbidden"}, GATEWAYS)
    names = [fault.name for _ in range(4) if (fault := plans.take("bkash", "execute")) is not None]
    assert names == ["html", "forbidden", "throttled", "throttled"]


def test_for_any_call_it_waits_for_one_that_it_can_strike() -> None:
    plans = FaultPlans()
    plans.order({"operation": "*", "fault": "stale"}, GATEWAYS)
    assert plans.take("bkash", "execute") is None
    assert plans.take("nagad", "verify") is None
    found = plans.take("bkash", "query")
    assert found is not None and found.name == "stale"
    assert plans.as_json() == []


@pytest.mark.parametrize(
    "wish",
    [
        {"fault": "delay", "times": "never"},
        {"fault": "delay", "times": 1.5},
        {"fault": "delay", "times": float("inf")},
        {"fault": "delay", "times": float("nan")},
        {"fault": "delay", "times": None},
        {"fault": "delay", "chance": 0},
        {"fault": "delay", "chance": 1.01},
        {"fault": "delay", "chance": float("nan")},
        {"fault": "delay", "chance": True},
        {"fault": "delay", "chance": "0.5"},
        {"fault": "delay", "seed": -1},
        {"fault": "delay", "seed": 2**53},
        {"fault": "delay", "seed": "7"},
        {"fault": "delay", "seed": False},
        {"fault": "delay", "id": 1},
        {"fault": "stale", "operation": "execute"},
        {"fault": "late_success", "operation": "query"},
        {"fault": "wrong_key"},
        {"fault": "wrong_key", "gateway": "nagad", "operation": "verify"},
        {"fault": "webhook_never", "operation": "execute"},
        {"fault": "webhook_never", "gateway": "nagad"},
        {"fault": "delay", "operation": "webhook"},
        {"fault": "delay;seconds=-1"},
        {"fault": "delay;seconds=121"},
        {"fault": "clock_skew;seconds=86401"},
        {"fault": "clock_skew;seconds=-86401"},
        {"fault": "error_5xx_after;status=404"},
        {"fault": "error_5xx_after;status=50"},
    ],
)
def test_an_order_that_means_nothing_is_refused(wish: dict[str, Any]) -> None:
    plans = FaultPlans()
    with pytest.raises(SandboxError):
        plans.order(wish, GATEWAYS)
    assert plans.as_json() == []


def test_whole_numbers_as_json_may_write_them() -> None:
    plan = FaultPlans().order({"fault": "delay", "times": 3.0, "seed": 7.0, "chance": 1}, GATEWAYS)
    assert (plan.times, plan.seed, plan.chance) == (3, 7, 1.0)


def test_so_many_orders_and_no_more() -> None:
    plans = FaultPlans()
    for _ in range(1000):
        plans.order({"fault": "delay"}, GATEWAYS)
    with pytest.raises(SandboxError) as full:
        plans.order({"fault": "delay"}, GATEWAYS)
    assert full.value.status == 409


def test_every_kind_has_a_number_and_a_time_of_its_own() -> None:
    assert len(BY_NUMBER) == len(KINDS)
    assert all(1 <= number <= 99 for number in BY_NUMBER)
    for kind in KINDS.values():
        assert parse_fault(kind.name, kind.only[0] if kind.only else "bkash").seconds == kind.seconds


async def test_a_header_on_a_call_that_it_cannot_strike_is_an_error_and_does_nothing(shop: Shop) -> None:
    payment_id = await shop.approved("25")
    answer = await shop.post("execute", {"paymentID": payment_id}, {"X-Sandbox-Fault": "stale"})
    assert answer.status_code == 400 and "can only strike query" in answer.json()["message"]
    assert (await shop.book(payment_id))["captured"] == "0.00"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
WORDS = st.sampled_from([*KINDS, "*", "bkash", "nagad", "execute", "webhook", "always", "delay;seconds=1"])


@given(
    st.dictionaries(
        st.sampled_from(["gateway", "operation", "fault", "times", "chance", "seed", "x"]), WORDS | JSON
    )
)
def test_whatever_is_ordered_is_taken_or_refused(wish: dict[str, Any]) -> None:
    plans = FaultPlans()
    try:
        plan = plans.order(wish, GATEWAYS)
    except SandboxError as refused:
        assert str(refused) and plans.as_json() == []
    else:
        json.dumps(plans.as_json(), allow_nan=False)
        for operation in (*GATEWAYS[plan.gateway], "webhook"):
            plans.take(plan.gateway, operation)


@given(st.sampled_from(list(KINDS)) | st.text(max_size=30), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_the_header_says_is_a_fault_or_an_error(name: str, options: list[str]) -> None:
    with contextlib.suppress(SandboxError):
        fault = parse_fault(";".join([name, *options]), "bkash", "execute")
        assert fault.name in KINDS and -86_400 <= fault.seconds <= 86_400 and 500 <= fault.status <= 599


# --- faults that are more than an answer -----------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "done"), [("timeout_before", False), ("timeout_after", True)])
async def test_a_time_out_outlasts_the_caller_and_answers_nothing(
    shop: Shop, sleeper: NoSleep, fault: str, done: bool
) -> None:
    payment_id = await shop.approved("25")
    with pytest.raises(ConnectionDroppedError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": fault})
    assert sleeper.waits == [40.0]  # bKash's own clients give up after 30
    assert (await shop.book(payment_id))["captured"] == ("25.00" if done else "0.00")


@pytest.mark.parametrize(
    ("status", "message"),
    [(500, "Internal server error"), (502, "Internal server error"), (503, "Service Unavailable")],
)
async def test_other_errors_of_the_gateways_proxy(shop: Shop, status: int, message: str) -> None:
    payment_id = await shop.approved("25")
    fault = f"error_5xx_after;status={status}"
    answer = await shop.post("execute", {"paymentID": payment_id}, {"X-Sandbox-Fault": fault})
    assert (answer.status_code, answer.json()) == (status, {"message": message})
    assert (await shop.book(payment_id))["captured"] == "25.00"


class Gate(NoSleep):
    """Sleeps until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await self.opened.wait()


async def settled(exchange: Any) -> None:
    while exchange._tasks:
        await asyncio.gather(*exchange._tasks)


async def test_late_success_shows_nothing_until_it_is_done_and_announces_it_then(clock: FakeClock) -> None:
    gate = Gate()
    endpoint = Endpoint(lambda: http)
    app = create_app(clock=clock, seed=1, sleeper=gate, webhook_transport=endpoint)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:8000/w"})
        payment_id = await shop.approved("25")
        body = {"paymentID": payment_id}
        answer = await shop.post("execute", body, {"X-Sandbox-Fault": "late_success"})
        assert (answer.status_code, answer.json()["message"]) == (504, "Endpoint request timed out")
        query = await shop.query(payment_id)
        assert query["transactionStatus"] == "Initiated" and "trxID" not in query
        assert (await shop.book(payment_id))["captured"] == "0.00"
        assert endpoint.notifications == []
        gate.opened.set()
        await settled(app.state.exchange)
        await app.state.courier.drain()
        assert gate.waits[0] == 20.0
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"
        assert (await shop.book(payment_id))["captured"] == "25.00"
        assert [one.message["amount"] for one in endpoint.notifications] == ["25.00"]
        call = next(call for call in await shop.wire() if call["operation"] == "execute")
        assert (call["fault"], call["status"], call["moved_money"]) == ("late_success", 504, True)
    await app.state.exchange.close()


async def test_what_is_done_late_asks_for_no_token_again(clock: FakeClock) -> None:
    """The caller was let in when he called; that his token ends before the work is done changes nothing."""
    gate = Gate()
    app = create_app(clock=clock, seed=1, sleeper=gate)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        payment_id = await shop.approved("25")
        late = {"X-Sandbox-Fault": "late_success"}
        assert (await shop.post("execute", {"paymentID": payment_id}, late)).status_code == 504
        clock.step(hours=2)
        gate.opened.set()
        await settled(app.state.exchange)
        await shop.open()
        assert (await shop.query(payment_id))["transactionStatus"] == "Completed"
        assert (await shop.book(payment_id))["captured"] == "25.00"
    await app.state.exchange.close()


async def test_who_is_not_let_in_is_told_at_once_and_nothing_is_done_later(
    app: Starlette, clock: FakeClock, shop: Shop, sleeper: NoSleep
) -> None:
    payment_id = await shop.approved("25")
    clock.step(hours=2)
    answer = await shop.post("execute", {"paymentID": payment_id}, {"X-Sandbox-Fault": "late_success"})
    assert (answer.status_code, answer.json()["message"]) == (401, "The incoming token has expired")
    await settled(app.state.exchange)
    assert sleeper.waits == [] and (await shop.book(payment_id))["captured"] == "0.00"
    call = (await shop.wire())[-1]
    assert (call["fault"], call["status"], call["moved_money"]) == (None, 401, False)


async def test_late_success_can_look_like_a_refusal_first(app: Starlette, shop: Shop) -> None:
    payment_id = await shop.approved("25")
    told = await shop.execute(payment_id, **{"X-Sandbox-Fault": "late_success;code=2023;seconds=0"})
    assert told == {"statusCode": "2023", "statusMessage": "Insufficient Balance"}
    await settled(app.state.exchange)
    assert (await shop.query(payment_id))["transactionStatus"] == "Completed"


async def test_a_late_refund_at_nagad(app: Starlette, nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    answer = await nagad.refund(reference, "25", fault="late_success")
    assert answer.status_code == 504
    await settled(app.state.exchange)
    assert (await nagad.verify(reference))["status"] == "PartialCancelled"


async def test_bkash_with_a_clock_that_is_ahead(shop: Shop, sleeper: NoSleep) -> None:
    payment_id = await shop.approved("25")
    told = await shop.execute(payment_id, **{"X-Sandbox-Fault": "clock_skew;seconds=600"})
    assert told["paymentExecuteTime"].startswith("2026-01-31T18:10:00")  # it is 18:00 in Dhaka
    assert (await shop.post("payment/status", {"paymentID": payment_id})).status_code == 200
    ahead = {"X-Sandbox-Fault": "clock_skew;seconds=3601"}
    refused = await shop.post("payment/status", {"paymentID": payment_id}, ahead)
    assert refused.json() == {"message": "The incoming token has expired"}
    assert sleeper.waits == []
    assert (await shop.http.get("/_sandbox/health")).json()["now"] == "2026-01-31T12:00:00.000Z"


async def test_nagad_refuses_while_its_clock_is_too_far_off(nagad: NagadShop) -> None:
    for skew, reason in (("1800", "16_0006_076"), ("-1800", "16_0006_076")):
        answer = await nagad.initialize("Order00001", fault=f"clock_skew;seconds={skew}")
        assert answer.json()["reason"] == reason
    assert (await nagad.initialize("Order00001", fault="clock_skew;seconds=-600")).status_code == 200


async def test_a_stale_search_finds_nothing(shop: Shop) -> None:
    _, trx_id = await shop.paid("25")
    path = "general/searchTransaction"
    assert (await shop.ask(path, {"trxID": trx_id}, {"X-Sandbox-Fault": "stale"}))["statusCode"] == "2033"
    assert (await shop.ask(path, {"trxID": trx_id}))["trxID"] == trx_id


# --- webhooks --------------------------------------------------------------------------------------------------------


async def announced(clock: FakeClock, sleeper: NoSleep, fault: str) -> tuple[Endpoint, str]:
    """A payment under a fault of its webhook: what came, and the trxID."""
    endpoint = Endpoint(lambda: http)
    app = create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=endpoint)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600"
    ) as http:
        shop = await Shop(http).open()
        await http.put("/_sandbox/webhooks/bkash", json={"url": "http://127.0.0.1:8000/w"})
        await order(shop, fault=fault)
        _, trx_id = await shop.paid("25")
        await app.state.courier.drain()
        signed = [await endpoint.is_signed(one) for one in endpoint.notifications]
        endpoint.received = [
            one for one, good in zip(endpoint.notifications, signed, strict=True) if good or "forged" in fault
        ]
        if "forged" in fault:
            assert signed == [False, True]
    await app.state.courier.close()
    return endpoint, trx_id


async def test_a_forgery_comes_before_the_true_webhook(clock: FakeClock, sleeper: NoSleep) -> None:
    endpoint, trx_id = await announced(clock, sleeper, "webhook_forged")
    forged, true = endpoint.notifications
    assert (forged.message["amount"], true.message["amount"]) == ("50.00", "25.00")
    assert forged.message["trxID"] == true.message["trxID"] == trx_id
    assert forged.envelope["TopicArn"] == true.envelope["TopicArn"]
    assert forged.envelope["SigningCertURL"] == true.envelope["SigningCertURL"]


@pytest.mark.parametrize(
    ("fault", "stamp"),
    [
        ("webhook_clock_skew", "2026-01-31T14:00:00.000Z"),
        ("webhook_clock_skew;seconds=-60", "2026-01-31T11:59:00.000Z"),
    ],
)
async def test_a_webhook_with_another_time_is_well_signed(
    clock: FakeClock, sleeper: NoSleep, fault: str, stamp: str
) -> None:
    endpoint, _ = await announced(clock, sleeper, fault)
    (got,) = endpoint.notifications
    assert got.envelope["Timestamp"] == stamp


# --- on a real socket ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "done"), [("reset_before", False), ("reset_after", True)])
async def test_a_reset_is_a_reset_and_no_end(fault: str, done: bool) -> None:
    """Reading after an orderly close gives an empty read; after a reset it raises."""
    async with SandboxServer() as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        shop = await Shop(http).open()
        ends: Counter[str] = Counter()
        for name in (fault, "drop_after"):
            payment_id = await shop.approved("25" if name == fault else "26")
            ends[f"{name} {await ending(server.url, shop, payment_id, name)}"] += 1
            captured = (await shop.book(payment_id))["captured"]
            assert captured == {"drop_after": "26.00", fault: "25.00" if done else "0.00"}[name]
        assert ends == {f"{fault} reset": 1, "drop_after closed": 1}


async def ending(url: str, shop: Shop, payment_id: str, fault: str) -> str:
    body = f'{{"paymentID": "{payment_id}"}}'.encode()
    head = (
        f"POST {V1}/tokenized/checkout/execute HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Authorization: {shop.token}\r\nX-APP-Key: {CREDENTIALS['app_key']}\r\n"
        f"X-Sandbox-Fault: {fault}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    writer.write(head.encode() + body)
    try:
        async with asyncio.timeout(10):
            received = await reader.read(1)
    except ConnectionResetError:
        return "reset"
    finally:
        writer.close()
    assert received == b""
    return "closed"


def test_to_linger_for_no_time_is_what_this_platform_calls_a_reset() -> None:
    """The option that the sandbox sets, tried without the sandbox."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as client,
    ):
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        client.settimeout(5)
        with pytest.raises(ConnectionResetError):
            client.recv(1)

"""Webhooks of the sandbox: what is sent, when, how often, and what goes wrong on purpose."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep, Shop
from tests.sandbox.sns_endpoint import Endpoint
from vextrus_payments_sandbox import SandboxServer, create_app, delivery, sending, sns
from vextrus_payments_sandbox.delivery import Courier
from vextrus_payments_sandbox.faults import KINDS
from vextrus_payments_sandbox.subscriptions import checked_endpoint
from vextrus_payments_sandbox.world import SandboxError

URL = "http://127.0.0.1:8000/payments/bkash/webhook"
ROUTE = "/_sandbox/webhooks/bkash"


class Scene:
    """A sandbox, a shop that pays in it, and an endpoint that is told."""

    def __init__(self, clock: FakeClock, sleeper: NoSleep) -> None:
        self.sleeper = sleeper
        self.clock = clock
        self.endpoint = Endpoint(lambda: self.shop.http)
        self.app: Starlette = create_app(
            clock=clock, seed=1, sleeper=sleeper, webhook_transport=self.endpoint
        )
        http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://127.0.0.1:28600")
        self.shop = Shop(http)

    @property
    def courier(self) -> Courier:
        courier: Courier = self.app.state.courier
        return courier

    async def put(self, **changes: Any) -> httpx.Response:
        return await self.shop.http.put(ROUTE, json={"url": URL, **changes})

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = (await self.shop.http.get(ROUTE)).json()
        return state

    async def order(self, fault: str, **more: Any) -> httpx.Response:
        return await self.shop.http.post("/_sandbox/faults", json={"fault": fault, **more})

    async def faults(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.shop.http.get("/_sandbox/faults")).json()["faults"]
        return found

    async def pay(self, amount: str = "25", **headers: str) -> str:
        """A payment made and everything sent that is to be sent: its trxID."""
        self.clock.step(seconds=200)  # beyond bKash's window for a second payment of the same amount
        payment_id = await self.shop.approved(amount)
        trx_id: str = (await self.shop.execute(payment_id, **headers))["trxID"]
        await self.courier.drain()
        return trx_id


@pytest.fixture
async def scene(clock: FakeClock, sleeper: NoSleep) -> AsyncIterator[Scene]:
    scene = Scene(clock, sleeper)
    async with scene.shop.http:
        await scene.shop.open()
        yield scene
    await scene.courier.close()


@pytest.fixture
async def told(scene: Scene) -> Scene:
    assert (await scene.put()).json()["confirmed"] is True
    scene.endpoint.received.clear()
    scene.courier.tries.clear()
    return scene


# ------------------------------------------------------------------------------------------- subscribing


async def test_an_endpoint_is_asked_before_it_is_told(scene: Scene) -> None:
    scene.endpoint.confirms = False
    shown = (await scene.put()).json()
    assert (shown["url"], shown["confirmed"], shown["signature_version"]) == (URL, False, "1")
    await scene.pay()
    (asked,) = scene.endpoint.received
    envelope = asked.envelope
    assert list(envelope) == [
        "Type",
        "MessageId",
        "Token",
        "TopicArn",
        "Message",
        "SubscribeURL",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
    ]
    assert envelope["Type"] == "SubscriptionConfirmation" and await scene.endpoint.is_signed(asked)
    assert envelope["Timestamp"] == "2026-01-31T12:00:00.000Z"
    visit = urlsplit(envelope["SubscribeURL"])
    assert (visit.scheme, visit.netloc, visit.path) == ("http", "127.0.0.1:28600", "/")
    assert parse_qs(visit.query) == {
        "Action": ["ConfirmSubscription"],
        "TopicArn": [sns.BKASH_TOPIC],
        "Token": [envelope["Token"]],
    }
    assert asked.headers["content-type"] == "text/plain; charset=UTF-8"
    assert asked.headers["x-amz-sns-message-type"] == "SubscriptionConfirmation"
    assert "x-amz-sns-subscription-arn" not in asked.headers

    answer = await scene.endpoint.visit(envelope["SubscribeURL"])
    assert answer.status_code == 200 and "<ConfirmSubscriptionResponse" in answer.text
    assert (await scene.state())["subscription_arn"] in answer.text
    trx_id = await scene.pay()
    assert [one.message["trxID"] for one in scene.endpoint.notifications] == [trx_id]


async def test_nobody_is_told_where_nobody_asked(scene: Scene) -> None:
    await scene.order("webhook_duplicate")
    await scene.pay()
    state = await scene.state()
    assert (state["url"], state["confirmed"], state["deliveries"]) == (None, False, [])
    assert (
        len((await scene.shop.http.get("/_sandbox/faults")).json()["faults"]) == 1
    )  # it waits for a webhook


@pytest.mark.parametrize("changed", ["Token", "TopicArn", "Action", "SubscriptionArn"])
async def test_only_the_right_token_confirms(scene: Scene, changed: str) -> None:
    scene.endpoint.confirms = False
    await scene.put()
    asked = {"Action": "ConfirmSubscription", "TopicArn": sns.BKASH_TOPIC}
    asked["Token"] = scene.endpoint.received[0].envelope["Token"]
    if changed == "SubscriptionArn":
        asked = {"Action": "Unsubscribe", "SubscriptionArn": "arn:aws:sns:ap-southeast-1:1:x:y"}
    else:
        asked[changed] = asked[changed][:-1] + ("0" if asked[changed][-1] != "0" else "1")
    answer = await scene.shop.http.get("/", params=asked)
    assert answer.status_code == 400 and "<ErrorResponse" in answer.text
    assert (await scene.state())["confirmed"] is False


async def test_a_second_endpoint_takes_the_place_of_the_first(told: Scene) -> None:
    other = "http://localhost:9/other"
    assert (await told.put(url=other, signature_version="2")).json()["url"] == other
    await told.pay()
    assert [one.envelope["SignatureVersion"] for one in told.endpoint.received] == ["2", "2"]


async def test_a_farewell_is_sent_and_whoever_visits_it_is_told_again(told: Scene) -> None:
    assert (await told.shop.http.delete(ROUTE)).json()["confirmed"] is False
    (farewell,) = told.endpoint.received
    assert farewell.envelope["Type"] == "UnsubscribeConfirmation"
    assert await told.endpoint.is_signed(farewell)
    await told.pay()
    assert told.endpoint.notifications == []
    assert (await told.shop.http.delete(ROUTE)).status_code == 200  # it stays so, and is said once
    assert len(told.endpoint.received) == 1
    await told.endpoint.visit(farewell.envelope["SubscribeURL"])
    assert (await told.state())["confirmed"] is True


async def test_the_address_to_unsubscribe_works(told: Scene) -> None:
    await told.pay()
    url = told.endpoint.notifications[0].envelope["UnsubscribeURL"]
    assert (await told.endpoint.visit(url)).status_code == 200
    assert (await told.state())["confirmed"] is False
    assert told.endpoint.received[-1].envelope["Type"] == "UnsubscribeConfirmation"


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({}, 400),
        ({"url": None}, 400),
        ({"url": 5}, 400),
        ({"url": URL, "more": 1}, 400),
        ({"url": URL, "signature_version": "3"}, 400),
        ({"url": URL, "signature_version": 1}, 400),
    ],
)
async def test_what_is_no_endpoint_is_refused(scene: Scene, wish: dict[str, Any], status: int) -> None:
    answer = await scene.shop.http.put(ROUTE, json=wish)
    assert answer.status_code == status and answer.json()["error"]
    assert scene.endpoint.received == []


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/webhook",
        "http://192.168.1.5/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1.evil.example/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1/ x",
        "http://127.0.0.1/\n",
        "http://127.0.0.1/#part",
        "http://[bad/",
        "//127.0.0.1/",
        "",
        "http://127.0.0.1/" + "x" * 2_048,
    ],
)
def test_webhooks_stay_on_this_machine(url: str) -> None:
    with pytest.raises(SandboxError, match="address of this machine"):
        checked_endpoint(url)


async def test_an_unknown_gateway_is_a_json_error(scene: Scene) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await scene.shop.http.request(method, "/_sandbox/webhooks/nobody", json={"url": URL})
        assert answer.status_code == 404 and "bkash" in answer.json()["error"]


async def test_a_foreign_page_cannot_subscribe(scene: Scene) -> None:
    answer = await scene.shop.http.put(ROUTE, json={"url": URL}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403 and (await scene.state())["url"] is None


# ------------------------------------------------------------------------------------------ the messages


@pytest.mark.parametrize("version", ["1", "2"])
async def test_an_executed_payment_is_announced(scene: Scene, version: str) -> None:
    await scene.put(signature_version=version)
    trx_id = await scene.pay("1250.5")
    (got,) = scene.endpoint.notifications
    assert list(got.envelope) == [
        "Type",
        "MessageId",
        "TopicArn",
        "Message",
        "Timestamp",
        "SignatureVersion",
        "Signature",
        "SigningCertURL",
        "UnsubscribeURL",
    ]
    assert got.envelope["SignatureVersion"] == version and await scene.endpoint.is_signed(got)
    assert b'"Type" : "Notification",\n' in got.raw
    assert got.message == {
        "dateTime": "20260131180320",  # Bangladesh time, no zone
        "debitMSISDN": "8801770618575",
        "creditOrganizationName": "SandboxMerchant",
        "creditShortCode": "40001",
        "trxID": trx_id,
        "transactionStatus": "Completed",
        "transactionType": "10002294",
        "amount": "1250.50",
        "currency": "BDT",
        "transactionReference": "customer-1",
        "merchantInvoiceNumber": "INV-1",
    }
    assert got.headers["x-amz-sns-message-id"] == got.envelope["MessageId"]
    assert got.headers["x-amz-sns-subscription-arn"].startswith(f"{sns.BKASH_TOPIC}:")
    (row,) = [row for row in (await scene.state())["deliveries"] if row["type"] == "Notification"]
    assert (row["transaction_id"], row["number"], row["status"]) == (trx_id, 1, 200)


async def test_held_money_is_announced_once_it_is_captured(told: Scene) -> None:
    payment_id = await told.shop.approved("25", intent="authorization")
    trx_id = (await told.shop.execute(payment_id))["trxID"]
    await told.courier.drain()
    assert told.endpoint.received == []
    await told.shop.ask("payment/confirm/capture", {"paymentID": payment_id})
    await told.courier.drain()
    assert [one.message["trxID"] for one in told.endpoint.notifications] == [trx_id]
    held = await told.shop.approved("26", intent="authorization")
    await told.shop.execute(held)
    await told.shop.http.post("/_sandbox/portal", json={"reference": held, "action": "capture"})
    await told.courier.drain()
    assert len(told.endpoint.notifications) == 2


async def test_what_moved_nothing_and_what_went_back_is_not_announced(told: Scene) -> None:
    poor = await told.shop.approved("25", wallet="01823074817")
    assert (await told.shop.execute(poor))["statusCode"] == "2023"
    await told.shop.execute((await told.shop.create(mode="0000"))["paymentID"])
    held = await told.shop.approved("26", intent="authorization")
    await told.shop.execute(held)
    await told.shop.ask("payment/confirm/void", {"paymentID": held})
    payment_id, trx_id = await told.shop.paid("27")
    await told.shop.refund(payment_id, trx_id, "5")
    await told.shop.execute(payment_id)  # again: refused
    await told.courier.drain()
    assert [one.message["trxID"] for one in told.endpoint.received] == [trx_id]


async def test_a_walk_in_payment_is_announced_without_our_invoice(told: Scene) -> None:
    wish = {"amount": "250.50", "channel": "qr", "reference": "table 5"}
    made = (await told.shop.http.post("/_sandbox/walk_in", json=wish)).json()
    await told.courier.drain()
    (got,) = told.endpoint.notifications
    assert "merchantInvoiceNumber" not in got.message
    assert (got.message["trxID"], got.message["amount"]) == (made["transaction_id"], "250.50")
    assert (got.message["transactionType"], got.message["transactionReference"]) == ("10003126", "table 5")
    found = await told.shop.ask("general/searchTransaction", {"trxID": made["transaction_id"]})
    assert (found["amount"], found["transactionStatus"]) == ("250.50", "Completed")
    assert (await told.shop.book(made["transaction_id"]))["captured"] == "250.50"
    assert (await told.shop.query(made["transaction_id"]))["statusCode"] == "2002"  # it has no paymentID


async def test_what_lets_a_sender_in_is_sent_and_never_shown(scene: Scene) -> None:
    url = f"{URL}?k=HookPassword00&tenant=HookTenant01&HookBare02"
    shown = (await scene.put(url=url)).json()
    assert shown["confirmed"] is True and shown["url"].startswith(
        f"{URL}?k=[hidden: 14 characters]&tenant=[hidden"
    )
    await scene.pay()
    assert {one.url for one in scene.endpoint.received} == {url}
    pages = [(await scene.shop.http.get(path)).text for path in ("/webhooks", "/wire?kind=all", ROUTE)]
    record = (await scene.shop.http.get("/_sandbox/record?limit=100")).json()
    for entry in record["entries"]:
        pages.append((await scene.shop.http.get(f"/wire/{entry['seq']}")).text)
    for page in (*pages, str(record)):
        assert not [secret for secret in ("HookPassword00", "HookTenant01", "HookBare02") if secret in page]


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({}, 400),
        ({"amount": "5", "merchant": "Nobody"}, 404),
        ({"amount": "5", "merchant": None}, 400),
        ({"amount": 5}, 400),
        ({"amount": "0"}, 400),
        ({"amount": "1,500"}, 400),
        ({"amount": "5", "channel": "api"}, 400),
        ({"amount": "5", "wallet": "0"}, 400),
        ({"amount": "5", "gateway": "nobody"}, 400),
        ({"amount": "5", "wallet": "01823074817"}, 409),
        ({"amount": "5", "wallet": "01823074818"}, 409),
    ],
)
async def test_a_walk_in_that_cannot_be_is_refused(told: Scene, wish: dict[str, Any], status: int) -> None:
    answer = await told.shop.http.post("/_sandbox/walk_in", json=wish)
    assert answer.status_code == status and answer.json()["error"]
    assert told.endpoint.received == [] and (await told.shop.books())["payments"] == []


async def test_the_certificate_is_where_the_envelope_says(told: Scene) -> None:
    await told.pay()
    url = told.endpoint.notifications[0].envelope["SigningCertURL"]
    assert url == "http://127.0.0.1:28600" + sns.signing_key().path
    answer = await told.endpoint.visit(url)
    assert answer.headers["content-type"] == "application/x-pem-file"
    assert answer.content == sns.signing_key().pem and b"PRIVATE" not in answer.content
    other = await told.shop.http.get("/SimpleNotificationService-00000000000000000000000000000000.pem")
    assert other.status_code == 404


def test_what_is_signed_is_what_the_dossier_says() -> None:
    envelope = {
        "Type": "Notification",
        "MessageId": "m1",
        "TopicArn": "arn:aws:sns:ap-southeast-1:1:bpt_x",
        "Message": '{"trxID":"X"}',
        "Timestamp": "2026-01-01T00:00:00.000Z",
        "UnsubscribeURL": "http://127.0.0.1/",
    }
    assert sns.signed_text(envelope) == (
        'Message\n{"trxID":"X"}\nMessageId\nm1\nTimestamp\n2026-01-01T00:00:00.000Z\n'
        "TopicArn\narn:aws:sns:ap-southeast-1:1:bpt_x\nType\nNotification\n"
    )
    assert "Subject\nS\nTimestamp" in sns.signed_text({**envelope, "Subject": "S"})


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(sns.signing_key()) and "BEGIN" not in repr(sns.signing_key())


# --------------------------------------------------------------------------------------- SNS's own manners


@pytest.mark.parametrize(
    ("answers", "sends"),
    [
        ([503, 200], 2),
        ([429, 500, 200], 3),
        ([0, 0, 0, 200], 4),
        ([503, 503, 503, 503, 200], 4),  # three retries, then it is lost
        ([204], 1),
        ([401], 1),
        ([400], 1),
        ([302], 1),
    ],
)
async def test_what_is_tried_again(told: Scene, answers: list[int], sends: int) -> None:
    told.endpoint.answers = list(answers)
    told.sleeper.waits.clear()
    await told.pay()
    assert len(told.endpoint.received) == sends
    assert len({one.raw for one in told.endpoint.received}) == 1  # the same bytes each time
    assert told.sleeper.waits == [0.2] + [20.0] * (sends - 1)
    rows = (await told.state())["deliveries"]
    assert [row["number"] for row in rows] == list(range(1, sends + 1))
    assert [row["error"] for row in rows] == ["ConnectError" if a == 0 else None for a in answers][:sends]


async def test_the_question_is_asked_again_too(scene: Scene) -> None:
    scene.endpoint.answers = [503]
    await scene.put()
    await scene.courier.drain()
    assert len(scene.endpoint.received) == 2 and (await scene.state())["confirmed"] is True


async def test_an_endpoint_that_is_busy_does_not_hold_up_who_subscribes_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vextrus_payments_sandbox.delivery.ASK_WAIT_S", 0.01)
    gate = asyncio.Event()

    async def hold(_: object) -> None:
        await gate.wait()

    scene.endpoint.on_request = hold
    assert (await scene.put()).json()["confirmed"] is False
    gate.set()
    await scene.courier.drain()
    assert (await scene.state())["confirmed"] is True


class Endless(httpx.AsyncBaseTransport):
    """An endpoint whose answer has no end: it pours, or it stops in the middle."""

    def __init__(self, *, pours: bool) -> None:
        self.pours = pours
        self.sent = 0
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return httpx.Response(200, content=self._body())

    async def _body(self) -> AsyncIterator[bytes]:
        while self.pours and self.sent < 16_000_000:
            self.sent += 65_536
            yield b"x" * 65_536
        yield b"x"
        await asyncio.Event().wait()


@pytest.mark.parametrize("pours", [True, False])
async def test_an_answer_without_end_costs_neither_memory_nor_a_delivery_for_ever(
    pours: bool, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TIMEOUT_S", 0.2)
    endpoint = Endless(pours=pours)
    app = create_app(clock=clock, seed=1, sleeper=NoSleep(), webhook_transport=endpoint)
    courier: Courier = app.state.courier
    async with asyncio.timeout(10):
        await courier.subscribe("bkash", URL, asked_at="http://127.0.0.1:28600")
        await courier.drain()
    told = [(one.status, one.error) for one in courier.tries]
    if pours:  # its status is known: what it goes on to say is not read
        assert told == [(200, None)]
        assert endpoint.sent <= 2 * sending.ANSWER_MAX
    else:  # a silence like any other: tried again
        assert (
            told
            == [(None, "TimeoutError")] * (1 + delivery.RETRIES)
            == [(None, "TimeoutError")] * endpoint.requests
        )
    body = app.state.world.record.newest(1, kind="webhook")[0].detail["answer"]
    assert body is None or len(body["body"]) < 5_000


async def test_a_reset_stops_what_is_on_its_way_and_keeps_the_endpoint(told: Scene) -> None:
    await told.order("webhook_out_of_order")
    await told.pay()
    assert (await told.state())["held"] == 1
    await told.shop.http.post("/_sandbox/reset")
    state = await told.state()
    assert (state["held"], state["deliveries"], state["confirmed"]) == (0, [], True)
    trx_id = await told.pay()
    assert [one.message["trxID"] for one in told.endpoint.notifications] == [trx_id]


async def test_the_webhook_comes_though_the_answer_is_lost(told: Scene) -> None:
    payment_id = await told.shop.approved("25")
    with pytest.raises(httpx.ReadError):
        await told.shop.execute(payment_id, **{"X-Sandbox-Fault": "drop_after"})
    await told.courier.drain()
    assert [one.message["amount"] for one in told.endpoint.notifications] == ["25.00"]


# -------------------------------------------------------------------------------------------------- faults


async def ids(scene: Scene) -> list[str]:
    return [one.envelope["MessageId"] for one in scene.endpoint.notifications]


@pytest.mark.parametrize("how", ["ordered", "header"])
async def test_never(told: Scene, how: str) -> None:
    headers = {"X-Sandbox-Fault": "webhook_never"} if how == "header" else {}
    if how == "ordered":
        assert (await told.order("webhook_never")).json()["faults"][0]["operation"] == "webhook"
    trx_id = await told.pay(**headers)
    assert told.endpoint.received == []
    (row,) = (await told.state())["deliveries"]
    assert (row["transaction_id"], row["number"], row["status"]) == (trx_id, 0, None)
    await told.pay()
    assert len(told.endpoint.received) == 1  # it struck once


async def test_delayed(told: Scene) -> None:
    told.sleeper.waits.clear()
    await told.order("webhook_delayed;seconds=90")
    await told.pay()
    assert told.sleeper.waits == [90.0] and len(told.endpoint.notifications) == 1


@pytest.mark.parametrize("fault", ["webhook_early", None])
async def test_before_the_execute_answer(told: Scene, fault: str | None) -> None:
    arrived, gate = asyncio.Event(), asyncio.Event()

    async def hold(_: object) -> None:
        arrived.set()
        await gate.wait()

    told.endpoint.on_request = hold
    payment_id = await told.shop.approved("25")
    headers = {"X-Sandbox-Fault": fault} if fault else {}
    executing = asyncio.create_task(told.shop.execute(payment_id, **headers))
    await arrived.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert executing.done() == (fault is None)  # the answer waits for an early one, and for no other
    gate.set()
    assert (await executing)["transactionStatus"] == "Completed"


async def test_an_early_one_that_is_refused_does_not_hold_the_answer_up_for_its_retries(told: Scene) -> None:
    told.endpoint.answers = [503, 503]
    await told.order("webhook_early")
    payment_id = await told.shop.approved("25")
    assert (await told.shop.execute(payment_id))["transactionStatus"] == "Completed"
    await told.courier.drain()
    assert len(told.endpoint.received) == 3


async def test_out_of_order(told: Scene) -> None:
    await told.order("webhook_out_of_order")
    first = await told.pay("25")
    assert told.endpoint.received == [] and (await told.state())["held"] == 1
    second, third = await told.pay("26"), await told.pay("27")
    assert [one.message["trxID"] for one in told.endpoint.notifications] == [second, first, third]


async def test_always_out_of_order_is_two_by_two_and_the_last_comes_when_the_order_is_called_off(
    told: Scene,
) -> None:
    await told.order("webhook_out_of_order", times="always")
    paid = [await told.pay(amount) for amount in ("25", "26", "27", "28", "29")]
    told_of = [one.message["trxID"] for one in told.endpoint.notifications]
    assert told_of == [paid[1], paid[0], paid[3], paid[2]] and (await told.state())["held"] == 1
    await told.order("webhook_delayed")
    (delayed,) = [one["id"] for one in (await told.faults()) if one["fault"] == "webhook_delayed"]
    await told.shop.http.delete(f"/_sandbox/faults/{delayed}")  # another order: nothing is let go for it
    await told.courier.drain()
    assert (await told.state())["held"] == 1
    await told.shop.http.delete("/_sandbox/faults")
    await told.courier.drain()
    assert told.endpoint.notifications[-1].message["trxID"] == paid[4] and (await told.state())["held"] == 0
    await told.pay("30")
    assert len(told.endpoint.notifications) == 6


async def test_duplicate_is_the_same_message_and_repeated_is_another_one(told: Scene) -> None:
    await told.order("webhook_duplicate")
    trx_id = await told.pay()
    assert len(told.endpoint.received) == 2 and len({one.raw for one in told.endpoint.received}) == 1
    told.endpoint.received.clear()
    await told.order("webhook_repeated")
    trx_id = await told.pay()
    assert [one.message["trxID"] for one in told.endpoint.received] == [trx_id, trx_id]
    assert len(set(await ids(told))) == 2
    assert all([await told.endpoint.is_signed(one) for one in told.endpoint.received])


async def test_bad_signature(told: Scene) -> None:
    told.endpoint.answers = [401]
    await told.order("webhook_bad_signature")
    await told.pay()
    (got,) = told.endpoint.received
    assert not await told.endpoint.is_signed(got)
    assert len(got.envelope["Signature"]) == 344  # one bit of 2,048 is wrong, nothing else


async def test_foreign_topic_and_foreign_certificate_host_are_well_signed(told: Scene) -> None:
    await told.order("webhook_foreign_topic")
    await told.order("webhook_foreign_cert_host")
    await told.pay()
    await told.pay()
    topic, host = told.endpoint.received
    assert topic.envelope["TopicArn"] == topic.headers["x-amz-sns-topic-arn"] == sns.FOREIGN_TOPIC
    assert await told.endpoint.is_signed(topic)
    parts = urlsplit(host.envelope["SigningCertURL"])
    assert (parts.scheme, parts.hostname) == ("https", "sns.ap-southeast-1.amazonaws.com.invalid")
    assert host.envelope["TopicArn"] == sns.BKASH_TOPIC
    assert await told.endpoint.is_signed(host)  # the path is the same: only the host is not


async def test_another_amount_is_well_signed_too(told: Scene) -> None:
    await told.order("webhook_other_amount")
    await told.pay("25")
    (got,) = told.endpoint.received
    assert got.message["amount"] == "26.00" and await told.endpoint.is_signed(got)


async def test_every_fault_of_a_webhook_can_be_ordered_and_leaves_the_call_alone(told: Scene) -> None:
    for name in [kind.name for kind in KINDS.values() if kind.phase == "webhook"]:
        assert (await told.order(name)).status_code == 200
        trx_id = await told.pay()
        assert trx_id and (await told.shop.wire())[-1]["fault"] is None
        assert (await told.shop.http.get("/_sandbox/faults")).json() == {"faults": []}


@pytest.mark.parametrize(
    "wish",
    [
        {"operation": "execute", "fault": "webhook_never"},
        {"operation": "webhook", "fault": "drop_after"},
        {"operation": "webhook", "fault": "webhook_unheard_of"},
    ],
)
async def test_an_order_that_could_never_strike_is_refused(scene: Scene, wish: dict[str, Any]) -> None:
    answer = await scene.shop.http.post("/_sandbox/faults", json=wish)
    assert answer.status_code == 400 and answer.json()["error"]


async def test_a_fault_of_any_call_does_not_strike_a_webhook(told: Scene) -> None:
    payment_id = await told.shop.approved("25")
    await told.shop.http.post("/_sandbox/faults", json={"fault": "delay", "times": 5})
    await told.shop.execute(payment_id)
    await told.courier.drain()
    assert (await told.state())["deliveries"][0]["fault"] is None
    assert (await told.shop.http.get("/_sandbox/faults")).json()["faults"][0]["times"] == 4


async def test_a_webhook_fault_does_not_hide_the_answer(told: Scene) -> None:
    """A shop that queries after a definite answer misses a manner: so it does when only the webhook was struck."""
    payment_id = await told.shop.approved("25")
    await told.shop.execute(payment_id, **{"X-Sandbox-Fault": "webhook_never"})
    await told.shop.query(payment_id)
    (missed,) = (await told.shop.http.get("/_sandbox/grants")).json()["manners"]
    assert missed["rule"] == "query after execute had answered"


# -------------------------------------------------------------------------------------- on a real socket


async def test_over_sockets_and_at_the_address_of_the_ready_line() -> None:
    """A server that hears of a payment, checks it by hand with the certificate that `serve --json` names."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        heard.put_nowait(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(20),
        listener,
        SandboxServer() as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        shop = await Shop(http).open()
        await http.put(ROUTE, json={"url": f"http://127.0.0.1:{port}/webhook"})
        asked = json.loads(await heard.get())
        assert asked["SigningCertURL"] == server.info["sns"]["cert_url"]
        assert asked["TopicArn"] == server.info["sns"]["topic_arn"]
        assert (await http.get(asked["SubscribeURL"])).status_code == 200
        _, trx_id = await shop.paid("25")
        told = json.loads(await heard.get())
        assert json.loads(told["Message"])["trxID"] == trx_id
        assert (await http.get(told["SigningCertURL"])).content == sns.signing_key().pem


async def test_stopping_does_not_wait_for_retries() -> None:
    async with (
        asyncio.timeout(10),  # the next try is 20 s away
        SandboxServer() as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False) as http,
    ):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
            answer = await http.put(ROUTE, json={"url": f"http://127.0.0.1:{taken.getsockname()[1]}/webhook"})
        (row,) = answer.json()["deliveries"]
        assert (row["status"], row["error"]) == (None, "ConnectError")

"""The sandbox's recurring platform on the wire: as the guide has it, driven by the clock, kept in a state file."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from vextrus_payments.gateways.bkash.recurring.models import Frequency
from vextrus_payments.testing import FakeClock, FakeSleeper
from vextrus_payments_sandbox.app import create_app
from vextrus_payments_sandbox.bkash_recurring.gateway import BkashRecurringSandbox
from vextrus_payments_sandbox.bkash_recurring.records import Merchant
from vextrus_payments_sandbox.bkash_recurring.schedule import due_days, retries
from vextrus_payments_sandbox.bkash_recurring.texts import TEXTS
from vextrus_payments_sandbox.bkash_recurring.writing import Taka, dumps

NAME = "bkash_recurring"
START = datetime(2026, 3, 1, 4, 0, 0, tzinfo=UTC)
KEY = Merchant().api_key
DAY_S = 86_400


class Platform:
    """A client of one sandbox, and the endpoint that its messages reach."""

    def __init__(
        self, app: Any, client: httpx.AsyncClient, clock: FakeClock, told: list[httpx.Request]
    ) -> None:
        self.app = app
        self.client = client
        self.clock = clock
        self.told = told

    @property
    def gateway(self) -> BkashRecurringSandbox:
        found = self.app.state.world.gateways[NAME]
        assert isinstance(found, BkashRecurringSandbox)
        return found

    async def call(self, method: str, path: str, body: Any = None, **headers: str | None) -> httpx.Response:
        known = {
            "version": "v1.0",
            "channelId": "2",
            "timeStamp": f"{self.clock.now():%Y-%m-%dT%H:%M:%S.%f}Z",
            "x-api-key": KEY,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        sent = {name: value for name, value in known.items() if value is not None}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return await self.client.request(method, f"/gateway{path}", content=content, headers=sent)

    async def create(self, request_id: str = "SUB-1", **changes: Any) -> httpx.Response:
        body = {
            "subscriptionRequestId": request_id,
            "serviceId": 100001,
            "paymentType": "FIXED",
            "subscriptionType": "BASIC",
            "amount": 51,
            "firstPaymentIncludedInCycle": True,
            "maxCapRequired": False,
            "currency": "BDT",
            "frequency": "DAILY",
            "startDate": "2026-03-01",
            "expiryDate": "2026-03-04",
            "payerType": "CUSTOMER",
            "payer": None,
            "redirectURL": "https://shop.example/back?reference=SUB-1",
            "subscriptionReference": "PLAN",
            "extraParams": None,
            **changes,
        }
        return await self.call("POST", "/api/subscription", body)

    async def subscribed(self, request_id: str = "SUB-1", wallet: str | None = None, **changes: Any) -> int:
        assert (await self.create(request_id, **changes)).status_code == 200
        self.gateway.approve(request_id, "success", wallet)
        await self.heard()
        return int((await self.call("GET", f"/api/subscriptions/request-id/{request_id}")).json()["id"])

    async def listens(self) -> None:
        answer = await self.client.put(
            f"/_sandbox/webhooks/{NAME}",
            json={"url": "http://127.0.0.1:8000/payments/bkash_recurring/webhook"},
        )
        assert answer.status_code == 200 and answer.json()["confirmed"]

    async def heard(self) -> list[Any]:
        """Every message so far, its signature proven over its bytes as the guide says."""
        await self.app.state.courier.drain()
        found = []
        for request in self.told:
            digest = hmac.new(base64.urlsafe_b64decode(KEY), request.content, hashlib.sha256).digest()
            assert base64.urlsafe_b64decode(request.headers["X-Signature"]) == digest
            found.append((request.headers["Type"], json.loads(request.content, parse_float=str)))
        return found

    async def advance(self, days: float) -> None:
        answer = await self.client.post("/_sandbox/clock", json={"advance_s": days * DAY_S})
        assert answer.status_code == 200
        await self.heard()


@asynccontextmanager
async def platform_open(
    state: Path | None = None, statuses: list[int] | None = None
) -> AsyncIterator[Platform]:
    clock, told, answers = FakeClock(START), [], list(statuses or [])

    def endpoint(request: httpx.Request) -> httpx.Response:
        told.append(request)
        return httpx.Response(answers.pop(0) if answers else 200)

    app = create_app(
        clock=clock,
        seed=1,
        sleeper=FakeSleeper(FakeClock(START)),
        webhook_transport=httpx.MockTransport(endpoint),
        state=state,
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:28600"
        ) as client,
    ):
        yield Platform(app, client, clock, told)


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with platform_open() as opened:
        await opened.listens()
        yield opened


# --- the wire ---------------------------------------------------------------------------------------------------------


async def test_a_subscription_from_its_page_to_its_last_day(platform: Platform) -> None:
    created = await platform.create()
    told = created.json()
    assert (
        told["subscriptionRequestId"] == "SUB-1" and told["expirationTime"] == "2026-03-01T04:10:00.000000Z"
    )
    page = told["redirectURL"].removeprefix("http://127.0.0.1:28600")
    shown = await platform.client.get(page)
    assert "51.00" in shown.text and "Every day" in shown.text and "not real money" in shown.text
    assert "আসল টাকা নয়" in (await platform.client.get(f"{page}?lang=bn")).text
    answer = shown
    for field, value in (("wallet", "01770618575"), ("otp", "123456"), ("pin", "12121")):
        answer = await platform.client.post(page, data={"action": "Confirm", field: value})
        assert answer.status_code == 303
    back = "https://shop.example/back?reference=SUB-1&subscriptionRequestId=SUB-1&status=success"
    assert answer.headers["location"] == back
    assert "Subscribed" in (await platform.client.get(page)).text
    one = (await platform.call("GET", "/api/subscriptions/request-id/SUB-1")).json()
    assert (one["status"], one["payer"], one["nextPaymentDate"]) == ("SUCCEEDED", "01770618575", "2026-03-02")
    raw = (await platform.call("GET", f"/api/subscriptions/{one['id']}")).text
    assert '"amount":51.00' in raw and '"firstPaymentAmount":null' in raw
    await platform.advance(5)
    heard = await platform.heard()
    assert [(kind, m.get("paymentStatus") or m["subscriptionStatus"]) for kind, m in heard] == [
        ("SUBSCRIPTION", "SUCCEEDED"),
        *[("PAYMENT", "SUCCEEDED_PAYMENT")] * 4,
        ("SUBSCRIPTION", "EXPIRED"),
    ]
    assert [m["dueDate"] for kind, m in heard if kind == "PAYMENT"] == [
        f"2026-03-0{day}" for day in (1, 2, 3, 4)
    ]
    assert all(m["amount"] == "51.00" for kind, m in heard if kind == "PAYMENT")
    rows = (await platform.call("GET", f"/api/subscription/payment/bySubscriptionId/{one['id']}")).json()
    assert len({row["trxId"] for row in rows}) == 4 and all(len(row["trxId"]) == 10 for row in rows)
    payment = (await platform.call("GET", f"/api/subscription/payment/{rows[0]['id']}")).json()
    assert payment == rows[0]
    listed = (await platform.call("GET", "/api/subscriptions/0/10")).json()
    assert (listed["totalElements"], listed["content"][0]["status"]) == (1, "EXPIRED")
    assert platform.app.state.world.audit() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serviceId": 5}, "2005"),
        ({"paymentType": "FLEXIBLE"}, "2000"),
        ({"subscriptionType": "WITH_AUTH_CAPTURE"}, "2000"),
        ({"subscriptionType": "WITH_PAYMENT"}, "2000"),
        ({"currency": "USD"}, "2000"),
        ({"frequency": "HOURLY"}, "1002"),
        ({"startDate": "soon"}, "2021"),
        ({"startDate": "2026-02-28"}, "2002"),
        ({"startDate": "2026-03-05"}, "2003"),
        ({"expiryDate": "2026-03-01"}, "2022"),
        ({"expiryDate": "2028-03-02"}, "2021"),
        ({"frequency": "CALENDAR_MONTH"}, "2023"),
        ({"amount": 0.5}, "2018"),
        ({"amount": "1,5"}, "2000"),
        ({"redirectURL": "javascript:1"}, "2000"),
        ({"subscriptionReference": ""}, "2000"),
        ({"maxCapRequired": True}, "2000"),
    ],
)
async def test_what_is_refused(platform: Platform, changes: dict[str, Any], code: str) -> None:
    answer = await platform.create(**changes)
    told = answer.json()
    assert (answer.status_code, told["errorCode"], told["status"]) == (400, code, "BAD_REQUEST")
    assert told["subscriptionRequestId"] == "SUB-1" and not platform.gateway.rules.subscriptions


async def test_who_is_let_in(platform: Platform) -> None:
    for headers, status, code in (
        ({"x_api_key": None}, 401, "2013"),
        ({"x_api_key": KEY[:-4] + "AAAA"}, 401, "2013"),
        ({"version": None}, 400, "1001"),
        ({"timeStamp": "now"}, 400, "1002"),
    ):
        answer = await platform.call("GET", "/api/subscriptions/request-id/x", **headers)
        assert (answer.status_code, answer.json()["errorCode"]) == (status, code)
    assert (await platform.call("GET", "/api/subscriptions/request-id/x")).status_code == 404
    assert (await platform.call("POST", "/api/subscription", b"{")).json()["errorCode"] == "1003"
    assert (await platform.call("PATCH", "/api/subscription")).status_code == 404
    assert (await platform.create()).status_code == 200
    assert (await platform.create()).json()["errorCode"] == "2004"
    platform.clock.advance((13 * 60 + 30) * 60)  # 23:30 in Dhaka
    late = await platform.create("SUB-2")
    assert late.json()["errorCode"] == "2001" and "11:30 pm" in late.json()["reason"]


async def test_merchants_do_not_meet(platform: Platform) -> None:
    platform.gateway.admit("Other")
    other = platform.gateway.merchants["Other"]
    number = await platform.subscribed()
    payment = next(iter(platform.gateway.rules.collections))
    for path in (
        "/api/subscriptions/request-id/SUB-1",
        f"/api/subscriptions/{number}",
        f"/api/subscription/payment/bySubscriptionId/{number}",
        f"/api/subscription/payment/{payment}",
    ):
        assert (await platform.call("GET", path, x_api_key=other.api_key)).status_code == 404
    listed = await platform.call("GET", "/api/subscriptions/0/10", x_api_key=other.api_key)
    assert listed.json()["content"] == []


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "days"),
    [
        (Frequency.DAILY, ["01-31", "02-01", "02-02"]),
        (Frequency.WEEKLY, ["01-31", "02-07", "02-14"]),
        (Frequency.FIFTEEN_DAYS, ["01-31", "02-15", "03-02"]),
        (Frequency.CALENDAR_MONTH, ["01-31", "02-28", "03-31"]),
    ],
)
def test_days(frequency: Frequency, days: list[str]) -> None:
    found = list(due_days(frequency, date(2026, 1, 31), date(2026, 4, 30)))[:3]
    assert [f"{day:%m-%d}" for day in found] == days


def test_how_often_bkash_tries_again() -> None:
    assert [len(retries(one)) for one in (Frequency.DAILY, Frequency.WEEKLY, Frequency.CALENDAR_MONTH)] == [
        0,
        1,
        2,
    ]


async def test_a_payer_without_money(platform: Platform) -> None:
    await platform.subscribed(wallet="01823074817", frequency="CALENDAR_MONTH", expiryDate="2026-12-31")
    await platform.advance(3.1)
    platform.app.state.world.set_balance("01823074817", 1_000_000)
    await platform.advance(3.1)
    told = [m for kind, m in await platform.heard() if kind == "PAYMENT"]
    assert [m["paymentStatus"] for m in told] == ["FAILED_PAYMENT", "FAILED_PAYMENT", "RE_SUCCEEDED_PAYMENT"]
    assert len({m["paymentId"] for m in told}) == 1
    assert platform.app.state.world.audit() == []


async def test_a_payer_who_never_pays_and_goes_on(platform: Platform) -> None:
    number = await platform.subscribed(wallet="01823074817", frequency="WEEKLY", expiryDate="2026-03-20")
    await platform.advance(30)
    told = [m["paymentStatus"] for kind, m in await platform.heard() if kind == "PAYMENT"]
    assert told == ["FAILED_PAYMENT", "RE_FAILED_PAYMENT"] * 3
    assert (await platform.call("GET", f"/api/subscriptions/{number}")).json()["status"] == "EXPIRED"


async def test_a_first_payment(platform: Platform) -> None:
    await platform.subscribed(subscriptionType="WITH_PAYMENT", firstPaymentAmount=2.5)
    (first,) = [m for kind, m in await platform.heard() if kind == "PAYMENT"]
    assert (first["amount"], first["firstPayment"]) == ("2.50", True)
    blocked = await platform.create("SUB-2", subscriptionType="WITH_PAYMENT", firstPaymentAmount=2.5)
    assert blocked.status_code == 200
    platform.gateway.approve("SUB-2", "success", "01823074818")
    assert platform.gateway.rules.subscriptions["SUB-2"].status == "FAILED"


@pytest.mark.parametrize(
    ("ordered", "amount", "status", "payments"),
    [
        ("page_never_returns", 51, "SUCCEEDED", ["SUCCEEDED_PAYMENT"]),
        ("page_insufficient_balance", 51, "SUCCEEDED", ["FAILED_PAYMENT"]),
        ("page_account_blocked", 51, "FAILED", []),
        ("", 4003.11, "SUCCEEDED", ["FAILED_PAYMENT"]),
    ],
)
async def test_what_a_page_comes_to(
    platform: Platform, ordered: str, amount: float, status: str, payments: list[str]
) -> None:
    if ordered:
        wish = {"gateway": NAME, "operation": "page", "fault": ordered, "times": 1}
        assert (await platform.client.post("/_sandbox/faults", json=wish)).status_code in (200, 201)
    await platform.create(amount=amount, frequency="WEEKLY", expiryDate="2026-03-20")
    done = platform.gateway.approve("SUB-1", "success", None)
    assert done["state"] == status and (done["redirect"] is None) == (ordered == "page_never_returns")
    assert [due.status.value for due in platform.gateway.rules.collections.values()] == payments
    await platform.advance(2.1)
    if "FAILED_PAYMENT" in payments:
        (again,) = platform.gateway.rules.collections.values()
        assert again.status.value == "RE_SUCCEEDED_PAYMENT"


# --- refunds and ends -------------------------------------------------------------------------------------------------


async def test_refunds(platform: Platform) -> None:
    await platform.subscribed()
    payment = int(next(iter(platform.gateway.rules.collections)))
    body = {"paymentId": payment, "amount": 20.5}
    path = "/api/subscription/payment/refund"
    assert (await platform.call("POST", path, body)).json()["errorCode"] == "1001"  # no requestId
    for wrong, code in (({"amount": 52}, "3001"), ({"amount": "x"}, "3001"), ({"paymentId": 5}, "3003")):
        answer = await platform.call("POST", path, {**body, **wrong}, requestId="R0")
        assert answer.json()["errorCode"] == code
    done = await platform.call("POST", path, body, requestId="R1")
    assert (done.status_code, done.content) == (200, b"")
    assert (await platform.call("POST", path, body, requestId="R1")).json()["errorCode"] == "1004"
    shown = await platform.call("GET", f"/api/subscription/payment/{payment}")
    assert shown.json()["status"] == "SUCCEEDED_REFUND" and '"reverseTrxAmount":20.50' in shown.text
    kind, told = (await platform.heard())[-1]
    assert (kind, told["paymentStatus"], told["refundedAmount"]) == ("REFUND", "SUCCEEDED_REFUND", "20.50")
    assert "trxId" not in told and told["reversTrxDate"]
    slow = {"X_Sandbox_Fault": "recurring_refund_takes;seconds=60"}
    await platform.call("POST", path, {**body, "amount": 1}, requestId="R2", **slow)
    assert (await platform.call("GET", f"/api/subscription/payment/{payment}")).json()[
        "status"
    ] == "PROCESSING_REFUND"
    await platform.advance(61 / DAY_S)
    await platform.call(
        "POST", path, {**body, "amount": 1}, requestId="R3", X_Sandbox_Fault="recurring_refund_fails"
    )
    assert [m["paymentStatus"] for kind, m in await platform.heard() if kind == "REFUND"] == [
        "SUCCEEDED_REFUND",
        "SUCCEEDED_REFUND",
        "FAILED_REFUND",
    ]
    assert platform.app.state.world.audit() == []


async def test_ends(platform: Platform) -> None:
    number = await platform.subscribed()
    await platform.create("SUB-2")
    await platform.create("SUB-3")
    answer = await platform.call("DELETE", f"/api/subscriptions/{number}?reason=Moved")
    assert answer.json()["subscriptionStatus"] == "CANCELLED"
    assert (await platform.call("DELETE", f"/api/subscriptions/{number}")).json()["errorCode"] == "2010"
    kind, told = (await platform.heard())[-1]
    assert (kind, told["subscriptionStatus"], told["cancelledBy"], told["message"]) == (
        "SUBSCRIPTION",
        "CANCELLED",
        "REQUESTER",
        "Moved",
    )
    before = len(await platform.heard())
    platform.gateway.approve("SUB-2", "cancel", None)
    platform.gateway.approve("SUB-3", "failure", None)
    statuses = [one.status.value for one in platform.gateway.rules.subscriptions.values()]
    assert statuses == ["CANCELLED", "CANCELLED", "FAILED"]
    assert len(await platform.heard()) == before + 2
    await platform.advance(10)
    assert len(await platform.heard()) == before + 2


# --- messages ---------------------------------------------------------------------------------------------------------


def test_amounts_are_written_as_they_are() -> None:
    assert dumps({"amount": Taka(5100), "n": None, "l": [Taka(5)]}) == '{"amount":51.00,"n":null,"l":[0.05]}'


async def test_who_does_not_listen_is_told_again() -> None:
    async with platform_open(statuses=[500, 404, 201, 202]) as platform:
        await platform.listens()
        await platform.subscribed(startDate="2026-03-02")
        heard = await platform.heard()
        assert [m["subscriptionStatus"] for _, m in heard] == ["SUCCEEDED"] * 4
        shown = (await platform.client.get(f"/_sandbox/webhooks/{NAME}")).json()
        assert [row["status"] for row in shown["deliveries"]] == [500, 404, 201, 202]
        gone = (await platform.client.delete(f"/_sandbox/webhooks/{NAME}")).json()
        assert gone["url"] is None
        await platform.advance(1)
        assert len(platform.told) == 4
        abroad = await platform.client.put(
            f"/_sandbox/webhooks/{NAME}", json={"url": "https://example.com/x"}
        )
        assert abroad.status_code == 400


@pytest.mark.parametrize(
    ("fault", "count", "good"),
    [
        ("webhook_never", 0, 0),
        ("webhook_duplicate", 2, 2),
        ("webhook_bad_signature", 1, 0),
        ("webhook_forged", 2, 1),
        ("webhook_other_amount", 1, 1),
        ("webhook_delayed", 1, 1),
    ],
)
async def test_messages_that_go_wrong(fault: str, count: int, good: int) -> None:
    async with platform_open() as platform:
        await platform.subscribed()
        await platform.listens()
        ordered = await platform.client.post(
            "/_sandbox/faults", json={"gateway": NAME, "operation": "webhook", "fault": fault, "times": 1}
        )
        assert ordered.status_code in (200, 201), ordered.text
        await platform.client.post("/_sandbox/clock", json={"advance_s": 1.2 * DAY_S})
        await platform.app.state.courier.drain()
        key = base64.urlsafe_b64decode(KEY)
        proven = [
            request
            for request in platform.told
            if hmac.compare_digest(
                base64.urlsafe_b64decode(request.headers["X-Signature"]),
                hmac.new(key, request.content, hashlib.sha256).digest(),
            )
        ]
        assert (len(platform.told), len(proven)) == (count, good)
        if fault == "webhook_other_amount":
            assert b'"amount":52.00' in platform.told[0].content


# --- a state file -----------------------------------------------------------------------------------------------------


async def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state.db"
    async with platform_open(state) as platform:
        await platform.listens()
        number = await platform.subscribed()
        await platform.advance(1)
        payment = next(iter(platform.gateway.rules.collections))
        await platform.call(
            "POST", "/api/subscription/payment/refund", {"paymentId": payment, "amount": 1}, requestId="R1"
        )
        before = (await platform.call("GET", f"/api/subscription/payment/bySubscriptionId/{number}")).json()
        await platform.heard()
    async with platform_open(state) as platform:
        again = (await platform.call("GET", f"/api/subscription/payment/bySubscriptionId/{number}")).json()
        assert again == before and platform.app.state.world.audit() == []
        repeated = await platform.call(
            "POST", "/api/subscription/payment/refund", {"paymentId": payment, "amount": 1}, requestId="R1"
        )
        assert repeated.json()["errorCode"] == "1004"
        await platform.advance(1)
        assert [kind for kind, _ in await platform.heard()] == ["PAYMENT"]  # to the endpoint of before


async def test_a_reset_forgets_all_but_the_endpoint(platform: Platform) -> None:
    await platform.subscribed()
    await platform.client.post("/_sandbox/reset")
    assert not platform.gateway.rules.subscriptions and not platform.gateway.rules.collections
    assert platform.gateway.post.url
    await asyncio.sleep(0)
    assert await platform.subscribed() == 85_601


@pytest.mark.parametrize("lang", ["en", "bn"])
def test_the_consent_page_has_words_for_every_frequency(lang: str) -> None:
    words = [TEXTS[lang][each.value] for each in Frequency]
    assert len(set(words)) == len(Frequency)
    assert not any("_" in one or one.isupper() for one in words)

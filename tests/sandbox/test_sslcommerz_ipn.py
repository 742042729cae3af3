"""IPNs on their way: what goes wrong on purpose, where none is sent, and what a restart sends again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep
from tests.sandbox.sslcommerz_shop import Counter, SslcommerzShop, is_signed
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.sslcommerz.records import Rules


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def app(clock: FakeClock, sleeper: NoSleep, counter: Counter) -> Starlette:
    return create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=counter.transport())


def shop_of(app: Starlette, counter: Counter) -> SslcommerzShop:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600")
    return SslcommerzShop(http, counter)


@pytest.fixture
async def shop(app: Starlette, counter: Counter) -> AsyncIterator[SslcommerzShop]:
    shop = shop_of(app, counter)
    async with shop.http:
        yield shop


async def ordered(shop: SslcommerzShop, fault: str) -> None:
    wish = {"gateway": "sslcommerz", "operation": "webhook", "fault": fault}
    answer = await shop.http.post("/_sandbox/faults", json=wish)
    assert answer.status_code == 200, answer.text


async def titles(shop: SslcommerzShop) -> list[str]:
    found = (await shop.http.get("/_sandbox/record?kind=webhook")).json()["entries"]
    return [one["title"] for one in found][::-1]


@pytest.mark.parametrize(
    ("fault", "posts"),
    [
        ("webhook_never", 0),
        ("webhook_delayed;seconds=50", 1),
        ("webhook_duplicate", 2),
        ("webhook_other_amount", 1),
        ("webhook_bad_signature", 1),
        ("webhook_forged", 2),
    ],
)
async def test_what_goes_wrong_on_purpose(
    shop: SslcommerzShop, app: Starlette, sleeper: NoSleep, counter: Counter, fault: str, posts: int
) -> None:
    await ordered(shop, fault)
    row = await shop.paid("100.00")
    await app.state.courier.drain()
    assert len(counter.posts) == posts
    assert all(post["tran_id"] == row["tran_id"] and post["status"] == "VALID" for post in counter.posts)
    signed = [is_signed(post) for post in counter.posts]
    amounts = [post["amount"] for post in counter.posts]
    if fault == "webhook_forged":
        assert (signed, amounts) == ([False, True], ["200.00", "100.00"])
    elif fault == "webhook_other_amount":
        assert (signed, amounts) == ([True], ["101.00"])
        assert counter.posts[0]["store_amount"] == "98.48"
    else:
        assert signed == [fault != "webhook_bad_signature"] * posts and set(amounts) <= {"100.00"}
    if fault.startswith("webhook_delayed"):
        assert 50.0 in sleeper.waits
    assert (await shop.book(row["sessionkey"]))["captured"] == "100.00"
    if fault == "webhook_never":
        assert await titles(shop) == ["IPN VALID: never sent (webhook_never)"]


async def test_out_of_order(shop: SslcommerzShop, app: Starlette, counter: Counter) -> None:
    await ordered(shop, "webhook_out_of_order")
    await shop.paid(tran_id="FIRST")
    await app.state.courier.drain()
    assert counter.posts == []
    await shop.paid(tran_id="SECOND")
    await app.state.courier.drain()
    assert [post["tran_id"] for post in counter.posts] == ["SECOND", "FIRST"]


async def test_magic_of_the_webhook(shop: SslcommerzShop, app: Starlette, counter: Counter) -> None:
    row = await shop.paid("4008.51")
    await app.state.courier.drain()
    assert counter.posts == [] and row["status"] == "VALID"


async def test_once_whatever_is_answered(shop: SslcommerzShop, app: Starlette, counter: Counter) -> None:
    counter.status = 500
    await shop.paid()
    await app.state.courier.drain()
    assert len(counter.posts) == 1 and await titles(shop) == ["IPN VALID, try 1: 500"]


async def test_nothing_leaves_this_machine(shop: SslcommerzShop, app: Starlette, counter: Counter) -> None:
    for url in ("https://shop.example/ipn", "http://192.0.2.1/ipn", "http://user:pw@127.0.0.1/ipn"):
        await shop.paid(ipn_url=url)
    await app.state.courier.drain()
    assert counter.posts == []
    assert await titles(shop) == ["IPN VALID, try 1: no answer (not on this machine)"] * 3
    assert "foreign_ipn" in await shop.manners()


async def test_the_panels_address(clock: FakeClock, counter: Counter) -> None:
    rules = Rules(default_ipn_url="http://127.0.0.1:9/panel")
    app = create_app(
        clock=clock, seed=1, sleeper=NoSleep(), webhook_transport=counter.transport(), sslcommerz=rules
    )
    shop = shop_of(app, counter)
    async with shop.http:
        await shop.paid(ipn_url=...)
        await shop.paid(ipn_url="")
        await shop.paid()
        await app.state.courier.drain()
    assert [url.rpartition("/")[2] for url in counter.urls] == ["panel", "panel", "ipn"]


async def test_the_panels_address_is_set_like_any_endpoint(
    shop: SslcommerzShop, app: Starlette, counter: Counter
) -> None:
    path = "/_sandbox/webhooks/sslcommerz"
    told = (await shop.http.put(path, json={"url": "http://127.0.0.1:9/panel?key=abc"})).json()
    assert told["confirmed"] and "abc" not in told["url"]
    await shop.paid(ipn_url=...)
    await shop.paid()
    await app.state.courier.drain()
    assert [url.rpartition("/")[2] for url in counter.urls] == ["panel?key=abc", "ipn"]
    assert "no_ipn" not in await shop.manners()
    told = (await shop.http.get(path)).json()
    assert [(one["type"], one["status"], one["number"]) for one in told["deliveries"]] == [
        ("IPN VALID", 200, 1)
    ] * 2
    assert (await shop.http.put(path, json={"url": "https://shop.example/ipn"})).status_code == 400
    assert (await shop.http.delete(path)).json()["url"] is None
    await shop.paid(ipn_url=...)
    await app.state.courier.drain()
    assert len(counter.posts) == 2 and (await shop.http.get("/webhooks")).status_code == 200


async def test_what_is_held_back_goes_when_its_order_is_called_off(
    shop: SslcommerzShop, app: Starlette, counter: Counter
) -> None:
    wish = {
        "gateway": "sslcommerz",
        "operation": "webhook",
        "fault": "webhook_out_of_order",
        "times": "always",
    }
    await shop.http.post("/_sandbox/faults", json=wish)
    for order in ("A", "B", "C"):
        await shop.paid(tran_id=order)
        await app.state.courier.drain()
    assert [post["tran_id"] for post in counter.posts] == ["B", "A"]
    await shop.http.delete("/_sandbox/faults")
    await app.state.courier.drain()
    assert [post["tran_id"] for post in counter.posts] == ["B", "A", "C"]


async def test_time_alone_ends_and_tells(shop: SslcommerzShop, app: Starlette, counter: Counter) -> None:
    await shop.open()
    await shop.later(1800)
    await app.state.courier.drain()
    assert [post["status"] for post in counter.posts] == ["UNATTEMPTED"]


async def test_a_reset_forgets_what_is_on_its_way(
    shop: SslcommerzShop, app: Starlette, counter: Counter
) -> None:
    await ordered(shop, "webhook_out_of_order")
    await shop.paid()
    assert (await shop.http.post("/_sandbox/reset")).status_code == 200
    await shop.paid()
    await app.state.courier.drain()
    assert len(counter.posts) == 1
    assert len((await shop.books())["payments"]) == 1


async def test_the_payer_waits_for_a_slow_shop_only_so_long(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vextrus_payments_sandbox.sslcommerz.ipn.WAIT_S", 0.05)
    never = asyncio.Event()

    async def silent(scope: object, receive: object, send: object) -> None:
        await never.wait()

    app = create_app(clock=clock, seed=1, sleeper=NoSleep(), webhook_transport=httpx.ASGITransport(silent))
    shop = shop_of(app, Counter())
    async with shop.http:
        assert (await shop.walk(await shop.open())).fields["status"] == "VALID"
        assert await titles(shop) == ["IPN VALID, try 1: under way"]
    await app.state.courier.close()


# --- the state file ---------------------------------------------------------------------------------------------------


async def test_everything_comes_back(tmp_path: Path, clock: FakeClock, counter: Counter) -> None:
    def started() -> Starlette:
        return create_app(
            clock=clock,
            seed=1,
            sleeper=NoSleep(),
            webhook_transport=counter.transport(),
            merchants=2,
            state=tmp_path / "state.db",
        )

    app = started()
    shop = shop_of(app, counter)
    async with shop.http:
        row = await shop.paid("100.00", value_d="ours-1")
        await shop.validate(row["val_id"])
        refund = await shop.refund(row, "40.00", fault="refund_processing;seconds=60")
        failed = await shop.open()
        await shop.approve(failed, "failure")
        late = await shop.open("4003.09")
        await shop.walk(late)
        half = await shop.open()
        await shop.act(half, channel="upay", wallet="01770618575", action="Confirm")
        await ordered(shop, "webhook_out_of_order")
        await shop.paid(tran_id="HELD")
        before = await shop.books()
        manners = await shop.manners()
    app.state.keeper.close()

    posts = len(counter.posts)
    app = started()
    shop = shop_of(app, counter)
    async with shop.http:
        assert await shop.books() == before and await shop.manners() == manners
        app.state.courier.resume()
        await app.state.courier.drain()
        assert [post["tran_id"] for post in counter.posts[posts:]] == ["HELD"]
        assert (await shop.validate(row["val_id"]))["status"] == "VALIDATED"
        assert (await shop.refund(row, "40.00"))["refund_ref_id"] == refund["refund_ref_id"]
        assert (await shop.refund(row, "61.00", refund_trans_id="R2"))["status"] == "failed"
        assert (await shop.by_key(failed))["status"] == "FAILED"
        done = await shop.act(half, otp="123456", action="Confirm")
        assert done.headers["location"].endswith("/return")
        await shop.later(60)
        assert (await shop.refund_status(refund["refund_ref_id"]))["status"] == "refunded"
        assert (await shop.by_key(late))["status"] == "VALID"
        assert (await shop.approve("ours-1"))["reference"] == row["sessionkey"]
        last = await shop.books()
    app.state.keeper.close()

    app = started()
    shop = shop_of(app, counter)
    async with shop.http:
        assert await shop.books() == last
    app.state.keeper.close()

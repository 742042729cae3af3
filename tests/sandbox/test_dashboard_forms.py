"""The dashboard's forms: what they do, that a reload repeats nothing, and that no foreign page can send one."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.dashboard_page import Dash, look, press
from tests.sandbox.shop import FakeClock, NoSleep, Shop
from tests.sandbox.sns_endpoint import Endpoint
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.world import World

WALLET = "01929918378"


def path_of(reference: str) -> str:
    return f"/payments/bkash/{quote(reference, safe='')}"


def refused(answer: httpx.Response, status: int, *words: str) -> Dash:
    """A form that was not carried out: its page again, with the reason."""
    assert answer.status_code == status
    page = Dash(answer)
    assert page.complaints == []
    assert all(word in page.text for word in words), page.text
    return page


async def admin(shop: Shop) -> list[tuple[str, str]]:
    """(title, reference) of what the record tells of the sandbox's own, oldest first."""
    entries = (await shop.http.get("/_sandbox/record?kind=admin")).json()["entries"]
    return [(one["title"], one["reference"]) for one in entries[::-1]]


# ------------------------------------------------------------------------------------------------ payments


async def test_the_payer_pays_by_a_button(shop: Shop) -> None:
    payment_id = (await shop.create("80"))["paymentID"]
    done = await press(shop.http, path_of(payment_id), path_of(payment_id), act="success", wallet=WALLET)
    assert done.status_code == 303 and done.headers["location"] == f"{path_of(payment_id)}?told=success"
    assert "The payer has confirmed" in (await look(shop.http, done.headers["location"])).text
    assert (await shop.execute(payment_id))["customerMsisdn"] == WALLET
    assert await admin(shop) == [("The sandbox pays as the payer", payment_id)]


@pytest.mark.parametrize(("act", "state"), [("cancel", "Cancelled"), ("failure", "Failed")])
async def test_the_payer_leaves_or_fails_by_a_button(shop: Shop, act: str, state: str) -> None:
    payment_id = (await shop.create("80"))["paymentID"]
    await press(shop.http, path_of(payment_id), path_of(payment_id), act=act)
    assert (await shop.book(payment_id))["state"] == state


async def test_money_goes_back_by_a_button_and_never_more_than_came(shop: Shop) -> None:
    payment_id, _ = await shop.paid("80")
    here = path_of(payment_id)
    assert (await press(shop.http, here, here, act="refund", amount="30.50")).status_code == 303
    assert (await shop.book(payment_id))["refunded"] == "30.50"
    page = refused(
        await press(shop.http, here, here, act="refund", amount="49.51"),
        409,
        "Refused with code 2072: Refund amount not valid.",
    )
    assert "at most 49.50" in page.text
    refused(await press(shop.http, here, here, act="refund", amount="1,5"), 409)
    refused(await press(shop.http, here, here, act="refund", amount="0"), 409)
    assert (await shop.book(payment_id))["refunded"] == "30.50"
    assert ("A refund in the gateway's portal: refused", payment_id) in await admin(shop)
    await press(shop.http, here, here, act="refund")  # what the form offers: the rest
    assert (await shop.book(payment_id))["refunded"] == "80.00"


@pytest.mark.parametrize(("act", "state"), [("capture", "Completed"), ("void", "Cancelled")])
async def test_a_held_amount_is_taken_or_let_go_by_a_button(shop: Shop, act: str, state: str) -> None:
    payment_id, _ = await shop.paid("80", intent="authorization")
    await press(shop.http, path_of(payment_id), path_of(payment_id), act=act)
    assert (await shop.book(payment_id))["state"] == state


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({}, 400, "no such button"),
        ({"act": "explode"}, 400, "no such button"),
        ({"act": "success", "wallet": "01000000000"}, 400, "no test wallet"),
        ({"act": "success", "wallet": "<b>" * 20}, 400, "no test wallet"),
        ({"act": "capture"}, 409, "Refused with code"),
        ({"act": "refund"}, 409, "Refused with code"),
        ({"act": "success", "more": "x" * 5_000}, 413, "too long"),
    ],
)
async def test_a_form_that_asks_too_much_does_nothing(
    shop: Shop, form: dict[str, str], status: int, words: str
) -> None:
    payment_id = (await shop.create("80"))["paymentID"]
    refused(await shop.http.post(path_of(payment_id), data=form), status, words)
    assert (await shop.query(payment_id))["verificationStatus"] == "Incomplete"


async def test_a_form_to_a_payment_that_is_not_there_does_nothing(shop: Shop) -> None:
    for path in ("/payments/bkash/TR0011nothing", "/payments/nobody/x"):
        refused(await shop.http.post(path, data={"act": "success"}), 404, "No such payment")


# ------------------------------------------------------------------------------------------------- wallets


async def test_a_balance_is_set_and_the_books_still_add_up(shop: Shop) -> None:
    done = await press(shop.http, "/wallets", f"/wallets/{WALLET}", balance="1,250.50")
    assert done.headers["location"] == "/wallets?told=balance"
    assert await shop.balance(WALLET) == "1250.50"  # and no problem in the books
    assert "1,250.50" in (await look(shop.http, "/wallets")).text
    await press(shop.http, "/wallets", f"/wallets/{WALLET}", balance="10")
    payment_id = await shop.approved("10.01", wallet=WALLET)
    assert (await shop.execute(payment_id))["statusCode"] == "2023"  # insufficient balance
    await press(shop.http, "/wallets", f"/wallets/{WALLET}", balance="0")
    assert await shop.balance(WALLET) == "0.00"


@pytest.mark.parametrize(
    "typed", ["", "-5", "1.234", "1e3", "NaN", "ten", "٥", "1 000", "9" * 13, "0x10", '"><script>', "1.2.3"]
)
async def test_a_balance_that_is_none_changes_nothing(shop: Shop, typed: str) -> None:
    answer = await shop.http.post(f"/wallets/{WALLET}", data={"balance": typed})
    page = refused(answer, 400, "The balance is as it was.")
    form = next(form for form in page.forms if form.action == f"/wallets/{WALLET}")
    assert form.fields["balance"] == typed.strip()[:15]  # what was typed is still there
    assert await shop.balance(WALLET) == "100000000.00"


async def test_only_test_wallets_can_be_filled(shop: Shop) -> None:
    refused(await shop.http.post("/wallets/01000000000", data={"balance": "5"}), 404, "no test wallet")
    refused(await shop.http.post(f"/wallets/{WALLET}", data={"balance": "5", "x": "y" * 5_000}), 413)
    assert await shop.balance(WALLET) == "100000000.00"


# ---------------------------------------------------------------------------------------------------- dial


async def test_a_fault_is_ordered_strikes_and_is_gone(shop: Shop) -> None:
    wish = {"call": "bkash execute", "fault": "code_before", "code": "9999", "times": "1"}
    done = await press(shop.http, "/faults", "/faults", **wish)
    assert done.headers["location"] == "/faults?told=ordered"
    text = (await look(shop.http, "/faults")).text
    assert "code_before;code=9999" in text and "the next call" in text
    payment_id = await shop.approved("10")
    assert (await shop.execute(payment_id))["statusCode"] == "9999"
    assert (await shop.execute(payment_id))["statusCode"] == "0000"
    assert "code_before;code=9999" not in (await look(shop.http, "/faults")).text


async def test_every_offer_of_the_dial_can_be_ordered(shop: Shop) -> None:
    offers = (await look(shop.http, "/faults")).options

    async def order(call: str, fault: str) -> int:
        answer = await shop.http.post("/faults", data={"call": call, "fault": fault, "times": "1"})
        return answer.status_code

    assert [call for call in offers["call"] if await order(call, _fits(call)) != 303] == []
    anywhere = [call for call in offers["call"] if call.endswith((" *", " webhook"))]
    for fault in offers["fault"]:
        assert 303 in [await order(call, fault) for call in anywhere], fault
    waiting = (await shop.http.get("/_sandbox/faults")).json()["faults"]
    assert len(waiting) >= len(offers["call"]) + len(offers["fault"])
    assert len((await look(shop.http, "/faults")).forms) == len(waiting) + 2  # one to withdraw each
    assert (await shop.http.post("/faults", data={"clear": "all"})).status_code == 303
    assert (await shop.http.get("/_sandbox/faults")).json()["faults"] == []


def _fits(call: str) -> str:
    if call.endswith(" page"):
        return "page_account_blocked"
    return "webhook_never" if call.endswith(" webhook") else "delay"


async def test_chance_seed_and_always_reach_the_plan(shop: Shop) -> None:
    wish = {"call": "nagad verify", "fault": "delay", "times": "Always", "chance": "0.25", "seed": "7"}
    await press(shop.http, "/faults", "/faults", **wish, seconds="0.5")
    plan = (await shop.http.get("/_sandbox/faults")).json()["faults"][0]
    assert plan | {"gateway": "nagad", "operation": "verify", "fault": "delay;seconds=0.5"} == plan
    assert plan | {"times": "always", "chance": 0.25, "seed": 7} == plan
    assert "every call, each with chance 0.25 (seed 7)" in (await look(shop.http, "/faults")).text


@pytest.mark.parametrize(
    "typed",
    [
        {"times": "0"},
        {"times": "-1"},
        {"times": "two"},
        {"times": "9" * 19},
        {"chance": "2"},
        {"chance": "0"},
        {"chance": "often"},
        {"chance": "nan"},
        {"seed": "x", "chance": "0.5"},
        {"seconds": "-1"},
        {"seconds": "999"},
        {"code": "12"},
        {"fault": "unheard_of"},
        {"fault": "webhook_never"},
        {"fault": "wrong_key"},
        {"call": "nobody *"},
        {"call": "bkash nothing"},
        {"call": ""},
        {"fault": '"><script>'},
    ],
)
async def test_an_order_that_could_never_strike_is_refused_with_what_was_typed(
    shop: Shop, typed: dict[str, str]
) -> None:
    answer = await shop.http.post(
        "/faults", data={"call": "bkash execute", "fault": "delay", "times": "1"} | typed
    )
    page = refused(answer, 400)
    form = page.forms[0]
    assert all(form.fields[name] == value for name, value in typed.items() if name not in ("call", "fault"))
    assert (await shop.http.get("/_sandbox/faults")).json()["faults"] == []


async def test_one_fault_is_withdrawn_and_the_others_wait(shop: Shop) -> None:
    for fault in ("delay", "forbidden"):
        await press(shop.http, "/faults", "/faults", call="bkash *", fault=fault)
    first = (await shop.http.get("/_sandbox/faults")).json()["faults"][0]["id"]
    assert (await press(shop.http, "/faults", "/faults")).status_code == 303  # the dial's form comes first
    assert (await shop.http.post("/faults", data={"withdraw": str(first)})).status_code == 303
    left = (await shop.http.get("/_sandbox/faults")).json()["faults"]
    assert [plan["fault"] for plan in left] == ["forbidden", "drop_after"]
    refused(await shop.http.post("/faults", data={"withdraw": str(first)}), 404, "No fault of this id")
    refused(await shop.http.post("/faults", data={"withdraw": "x"}), 400, "whole number")
    refused(await shop.http.post("/faults", content=b"x" * 5_000), 413, "too long")


# ------------------------------------------------------------------------------------------------ webhooks


async def test_an_endpoint_is_named_and_dropped(shop: Shop, app: Starlette) -> None:
    url = "http://127.0.0.1:9/webhook"  # nobody listens there, and the page says so
    done = await press(shop.http, "/webhooks", "/webhooks/bkash", url=url, version="2")
    assert done.headers["location"] == "/webhooks?told=asked"
    page = await look(shop.http, "/webhooks")
    assert url in page.text and "not confirmed" in page.text and "SubscriptionConfirmation" in page.text
    assert (await shop.http.get("/_sandbox/webhooks/bkash")).json()["signature_version"] == "2"
    assert (await shop.http.post("/webhooks/bkash", data={"stop": "yes"})).status_code == 303
    app.state.courier.reset()  # ends the tries that are under way


@pytest.mark.parametrize(
    ("path", "url", "status"),
    [
        ("/webhooks/bkash", "http://shop.example/webhook", 400),
        ("/webhooks/bkash", "", 400),
        ("/webhooks/bkash", "javascript:alert(1)", 400),
        ("/webhooks/bkash", "http://127.0.0.1:9/" + "x" * 3_000, 400),
        ("/webhooks/bkash", "http://127.0.0.1:9/" + "x" * 5_000, 413),
        ("/webhooks/nagad", "http://127.0.0.1:9/", 404),
        ("/webhooks/nobody", "http://127.0.0.1:9/", 404),
    ],
)
async def test_no_other_endpoint_is_taken(shop: Shop, path: str, url: str, status: int) -> None:
    refused(await shop.http.post(path, data={"url": url}), status)
    assert (await shop.http.get("/_sandbox/webhooks/bkash")).json()["url"] is None


async def test_a_payer_pays_past_the_api(shop: Shop) -> None:
    done = await press(shop.http, "/webhooks", "/walk-in/bkash", amount="250.50")
    assert done.headers["location"] == "/webhooks?told=walk_in"
    (row,) = (await shop.books())["payments"]
    assert (row["captured"], row["invoice"]) == ("250.50", "")
    assert "250.50" in (await look(shop.http, "/")).text


async def test_what_the_buttons_bring_about_is_announced(clock: FakeClock, sleeper: NoSleep) -> None:
    endpoint = Endpoint(lambda: shop.http)
    app = create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=endpoint)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        shop = await Shop(http).open()
        await press(http, "/webhooks", "/webhooks/bkash", url="http://127.0.0.1:8000/webhook")
        await app.state.courier.drain()
        await press(http, "/webhooks", "/walk-in/bkash", amount="250.50")
        payment_id, _ = await shop.paid("80", intent="authorization")
        await press(http, path_of(payment_id), path_of(payment_id), act="capture")
        await app.state.courier.drain()
        assert [one.message["amount"] for one in endpoint.notifications] == ["250.50", "80.00"]
        page = await look(http, "/webhooks")
        assert "confirmed" in page.text and page.text.count("Notification, try 1: 200") == 2
        assert "Notification, try 1: 200" in (await look(http, path_of(payment_id))).text


@pytest.mark.parametrize(
    ("gateway", "amount", "status"),
    [("bkash", "", 400), ("bkash", "x", 400), ("bkash", "0", 400), ("nagad", "5", 409), ("nobody", "5", 404)],
)
async def test_a_payer_who_cannot_pay_past_the_api(
    shop: Shop, gateway: str, amount: str, status: int
) -> None:
    refused(await shop.http.post(f"/walk-in/{gateway}", data={"amount": amount}), status)
    refused(await shop.http.post(f"/walk-in/{gateway}", data={"amount": "5" * 5_000}), 413)
    assert (await shop.books())["payments"] == []


# ------------------------------------------------------------------------------------------ time and reset


async def test_time_moves_and_a_reset_takes_everything_back(shop: Shop, clock: FakeClock) -> None:
    await shop.paid("10")
    await shop.http.post("/faults", data={"call": "bkash *", "fault": "delay", "times": "1"})
    done = await press(shop.http, "/start", "/time", advance_s="3600")
    assert done.headers["location"] == "/start?told=time"
    assert "1 h ahead" in (await look(shop.http, "/start")).text
    refused(await shop.http.post("/reset"), 400, "Tick the box first")
    refused(await shop.http.post("/reset", data={"sure": "no"}), 400, "Nothing was done")
    assert "1 payment in all" in (await look(shop.http, "/")).text
    assert (await press(shop.http, "/start", "/reset", sure="yes")).status_code == 303
    assert "No payments yet" in (await look(shop.http, "/")).text
    assert (await shop.http.get("/_sandbox/faults")).json()["faults"] == []
    assert (await shop.http.get("/_sandbox/health")).json()["now"].startswith("2026-01-31T12:00:00")
    assert await admin(shop) == [("The sandbox started over", "")]


@pytest.mark.parametrize("seconds", ["", "-1", "1.5", "x", "9" * 18])
async def test_time_moves_by_whole_seconds_only(shop: Shop, seconds: str) -> None:
    answer = await shop.http.post("/time", data={"advance_s": seconds})
    assert answer.status_code in (400, 409)
    assert (await shop.http.get("/_sandbox/health")).json()["now"].startswith("2026-01-31T12:00:00")


# ------------------------------------------------------------------------------------------- foreign pages

FORMS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/payments/bkash/{id}", {"act": "success"}),
    (f"/wallets/{WALLET}", {"balance": "1"}),
    ("/faults", {"call": "bkash execute", "fault": "delay", "times": "1"}),
    ("/faults", {"clear": "all"}),
    ("/webhooks/bkash", {"url": "http://127.0.0.1:9/"}),
    ("/walk-in/bkash", {"amount": "5"}),
    ("/time", {"advance_s": "3600"}),
    ("/reset", {"sure": "yes"}),
)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:28600"},
    ],
)
async def test_no_foreign_page_sends_a_form(shop: Shop, headers: dict[str, str]) -> None:
    payment_id = (await shop.create("80"))["paymentID"]
    for path, form in FORMS:
        answer = await shop.http.post(path.replace("{id}", payment_id), data=form, headers=headers)
        refused(answer, 403, "not the sandbox's own", "Nothing was done")
    assert await shop.balance(WALLET) == "100000000.00"
    assert (await shop.query(payment_id))["verificationStatus"] == "Incomplete"
    assert (await shop.http.get("/_sandbox/faults")).json()["faults"] == []
    assert (await shop.http.get("/_sandbox/health")).json()["now"].startswith("2026-01-31T12:00:00")


async def test_a_form_of_our_own_page_is_taken(shop: Shop) -> None:
    headers = {"Origin": "http://127.0.0.1:28600", "Sec-Fetch-Site": "same-origin"}
    answer = await shop.http.post(f"/wallets/{WALLET}", data={"balance": "1"}, headers=headers)
    assert answer.status_code == 303


async def test_a_link_from_elsewhere_may_show_but_no_get_changes_anything(shop: Shop, app: Starlette) -> None:
    await shop.paid("80")
    world: World = app.state.world
    moved, told = len(world.books.movements), world.record.told
    for path in ("/", "/wallets", "/faults?clear=all", "/webhooks?stop=yes", "/start?sure=yes&advance_s=60"):
        await look(shop.http, path)
        answer = await shop.http.get(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert (
            answer.status_code == 200
            and "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        )
    for path in ("/time", "/reset", f"/wallets/{WALLET}", "/webhooks/bkash"):
        answer = await shop.http.get(path)  # the address of a refused form's page, loaded again
        assert answer.status_code == 303 and answer.headers["location"] in ("/start", "/wallets", "/webhooks")
    assert (len(world.books.movements), world.record.told) == (moved, told)

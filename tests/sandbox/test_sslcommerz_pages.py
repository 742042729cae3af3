"""The hosted page as a browser without script walks it, the way back to the shop, and the IPN before it."""

from collections.abc import AsyncIterator
from decimal import ROUND_HALF_UP, Decimal

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep, Page
from tests.sandbox.sslcommerz_shop import BACK, Counter, SslcommerzShop, digest, is_signed
from vextrus_payments_sandbox import create_app

HOSTILE = "\"'}}{{7*7}}${7*7}</script><script>alert(1)</script>"


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def app(clock: FakeClock, sleeper: NoSleep, counter: Counter) -> Starlette:
    return create_app(clock=clock, seed=1, sleeper=sleeper, webhook_transport=counter.transport())


@pytest.fixture
async def shop(app: Starlette, counter: Counter) -> AsyncIterator[SslcommerzShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield SslcommerzShop(http, counter)


# --- the way through --------------------------------------------------------------------------------------------------


async def test_a_payer_pays(shop: SslcommerzShop, counter: Counter) -> None:
    key = await shop.open("1250.50", tran_id="INV-1", value_a="দোকান ১", cus_fax="02-1")
    page = Page((await shop.page(key)).text)
    assert "channel" in page.inputs and "wallet" in page.inputs
    chosen = await shop.act(key, channel="city_visa", wallet="4111 1111 1111 1111", action="Confirm")
    assert chosen.status_code == 303
    page = Page((await shop.http.get(chosen.headers["location"])).text)
    assert list(page.inputs) == ["otp"]
    done = await shop.act(key, otp="111111", action="Confirm")
    assert done.headers["location"].endswith("/return")
    (ipn,) = counter.posts  # it was there before the browser
    back = await shop.back(key)
    assert back.action == f"{BACK}/success" and back.fields == ipn
    assert back.scripts == ["/EasyCheckOut/return.js"]
    assert (await shop.http.get(back.scripts[0])).text.startswith("document.")
    assert is_signed(ipn) and ipn["cus_fax"] == "02-1" and "cus_fax" not in ipn["verify_key"]
    assert ipn["status"] == "VALID" and ipn["tran_id"] == "INV-1" and ipn["value_a"] == "দোকান ১"
    assert (ipn["card_no"], ipn["card_type"], ipn["card_brand"]) == (
        "411111XXXXXX1111",
        "VISA-City Bank",
        "VISA",
    )
    assert (ipn["amount"], ipn["store_amount"], ipn["risk_level"]) == ("1250.50", "1219.24", "0")
    assert ipn["tran_date"] == "2026-01-31 18:00:00" and ipn["val_id"].startswith("260131180000")
    assert len(ipn["val_id"]) == len(ipn["bank_tran_id"]) == 27 and ipn["val_id"] != ipn["bank_tran_id"]
    row = await shop.validate(ipn["val_id"])
    assert (
        row["status"] == "VALID"
        and row["tran_id"] == "INV-1"
        and row["validated_on"] == "2026-01-31 18:00:00"
    )
    assert (await shop.book(key))["captured"] == "1250.50"
    # The link once more, and every button once more, changes nothing and leads back with the same fields.
    for form in ({"otp": "111111", "action": "Confirm"}, {"action": "Cancel"}, {"end": "failure"}):
        assert (await shop.act(key, **form)).headers["location"].endswith("/return")
    assert (await shop.back(key)).fields == ipn and len(counter.posts) == 1
    ended = await shop.page(key)
    assert "Paid" in ended.text and "<script" not in ended.text


@pytest.mark.parametrize("otp", ["111111", "123456"])
@pytest.mark.parametrize(
    ("channel", "number"),
    [
        ("bkash", "01770618575"),
        ("ibbl", "01770618575"),
        ("ebl_visa", "01770618575"),
        ("dbbl_nexus", "5111111111111111"),
    ],
)
async def test_both_codes_open_every_way(shop: SslcommerzShop, otp: str, channel: str, number: str) -> None:
    back = await shop.walk(await shop.open(), channel, number, otp)
    assert back.fields["status"] == "VALID" and is_signed(back.fields)
    assert bool(back.fields["card_no"]) is (channel in ("ebl_visa", "dbbl_nexus"))


@pytest.mark.parametrize("amount", ["10", "41", "69", "100", "400", "500", "800", "4567", "303", "356"])
async def test_the_fee_of_those_that_were_seen(shop: SslcommerzShop, amount: str) -> None:
    row = await shop.paid(amount)
    wanted = (Decimal(amount) * Decimal("0.975")).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Decimal(row["store_amount"]) == wanted
    assert row["amount"] == f"{amount}.00"


async def test_a_third_wrong_code_fails_the_try_and_not_the_session(
    shop: SslcommerzShop, counter: Counter
) -> None:
    key = await shop.open()
    await shop.act(key, channel="bkash", wallet="01770618575", action="Confirm")
    for left in (2, 1):
        again = await shop.act(key, otp="000000", action="Confirm")
        assert again.headers["location"].endswith("?again=otp")
        assert f"Tries left: {left}" in (await shop.http.get(again.headers["location"])).text
    assert counter.posts == []
    assert (await shop.act(key, otp="000000", action="Confirm")).headers["location"].endswith("/return")
    (ipn,) = counter.posts
    assert (ipn["status"], ipn["error"]) == ("FAILED", "3D Security Validation Failed") and is_signed(ipn)
    assert not {"val_id", "store_amount", "risk_level", "risk_title"} & set(ipn)
    assert ipn["card_sub_brand"] == "Classic" and ipn["card_type"] == "" and ipn["bank_tran_id"]
    assert (await shop.back(key)).action == f"{BACK}/fail"
    page = (await shop.page(key)).text
    assert "The last try failed: 3D Security Validation Failed" in page
    back = await shop.walk(key, "upay")
    assert back.fields["status"] == "VALID" and back.action == f"{BACK}/success"
    found = await shop.query("ORDER-1")
    assert found["no_of_trans_found"] == 2
    assert [one["status"] for one in found["element"]] == ["FAILED", "VALID"]
    assert (await shop.by_key(key))["status"] == "VALID"
    # Nobody undoes what was paid: neither a form that comes late nor a second one.
    await shop.act(key, end="failure")
    assert (await shop.book(key))["captured"] == "100.00" and len(counter.posts) == 2


async def test_another_way_to_pay(shop: SslcommerzShop) -> None:
    key = await shop.open()
    await shop.act(key, channel="bkash", wallet="01770618575", action="Confirm")
    assert (await shop.act(key, action="Other")).status_code == 303
    assert "wallet" in Page((await shop.page(key)).text).inputs
    assert (await shop.query("ORDER-1"))["element"][0]["status"] == "PROCESSING"
    assert (await shop.walk(key, "upay")).fields["card_type"] == "UPAY-Upay"


@pytest.mark.parametrize(
    ("channel", "number"),
    [
        ("bkash", "01700000000"),
        ("bkash", "4111111111111111"),
        ("nope", "01770618575"),
        ("bkash", ""),
        ("", "x" * 30),
    ],
)
async def test_who_cannot_pay_this_way_is_asked_again(
    shop: SslcommerzShop, channel: str, number: str
) -> None:
    key = await shop.open()
    again = await shop.act(key, channel=channel, wallet=number, action="Confirm")
    assert again.headers["location"].endswith("?again=wallet")
    assert "This is no test card or wallet" in (await shop.http.get(again.headers["location"])).text


@pytest.mark.parametrize(
    ("number", "error"),
    [("01823074817", "Insufficient balance"), ("01823074818", "Do not honor")],
)
async def test_wallets_that_go_wrong(shop: SslcommerzShop, number: str, error: str) -> None:
    key = await shop.open()
    back = await shop.walk(key, number=number)
    assert (back.fields["status"], back.fields["error"]) == ("FAILED", error)
    assert (await shop.book(key))["captured"] == "0.00"


# --- how else it ends -------------------------------------------------------------------------------------------------


async def test_cancelled(shop: SslcommerzShop, counter: Counter) -> None:
    key = await shop.open()
    assert (await shop.act(key, action="Cancel")).headers["location"].endswith("/return")
    (ipn,) = counter.posts
    assert set(ipn) == {
        *("status", "tran_id", "error", "bank_tran_id", "currency", "tran_date", "amount", "store_id"),
        *("currency_type", "currency_amount", "currency_rate", "base_fair"),
        *("value_a", "value_b", "value_c", "value_d", "verify_sign", "verify_key", "verify_sign_sha2"),
    }
    assert (ipn["status"], ipn["error"], ipn["bank_tran_id"]) == ("CANCELLED", "Cancelled by User", "")
    back = await shop.back(key)
    assert back.action == f"{BACK}/cancel" and back.fields == ipn and is_signed(ipn)
    assert (await shop.query("ORDER-1"))["element"][0]["status"] == "CANCELLED"
    assert "cancelled" in (await shop.page(key)).text.lower()


async def test_the_sha256_of_a_cancelled_post_has_no_password_and_those_of_all_others_have(
    shop: SslcommerzShop,
) -> None:
    """As SSLCommerz's test environment was seen to post it: who checks that digest alone takes anybody's word."""
    for number, outcome in enumerate(("cancel", "failure", "unattempted", "expired", "success", "risky")):
        post = (await shop.approve(await shop.open(tran_id=f"ORDER-{number}"), outcome))["form"]
        assert (post["tran_id"], post["verify_sign"]) == (f"ORDER-{number}", digest("md5", post))
        anybody, store = digest("sha256", post, ""), digest("sha256", post)
        assert anybody != store
        assert post["verify_sign_sha2"] == (anybody if outcome == "cancel" else store), outcome


@pytest.mark.parametrize(
    ("end", "status", "door", "error"),
    [
        ("success", "VALID", "success", ""),
        ("risky", "VALID", "success", ""),
        ("no_ipn", "VALID", "success", ""),
        ("ipn_twice", "VALID", "success", ""),
        ("ipn_late", "VALID", "success", ""),
        ("failure", "FAILED", "fail", "Invalid expiration date"),
        ("cancel", "CANCELLED", "cancel", "Cancelled by User"),
        ("unattempted", "UNATTEMPTED", "fail", "Customer did not choose to pay any channel"),
        ("expired", "EXPIRED", "fail", "Payment Timeout"),
    ],
)
async def test_every_button(
    shop: SslcommerzShop, counter: Counter, app: Starlette, end: str, status: str, door: str, error: str
) -> None:
    key = await shop.open()
    back = await shop.end(key, end, reason="Invalid expiration date")
    assert back.action == f"{BACK}/{door}" and is_signed(back.fields)
    assert (back.fields["status"], back.fields["error"]) == (status, error)
    assert back.fields.get("risk_level") == {"VALID": "1" if end == "risky" else "0"}.get(
        status, "0" if end in ("unattempted", "expired") else None
    )
    await app.state.courier.drain()
    assert len(counter.posts) == {"no_ipn": 0, "ipn_twice": 2}.get(end, 1)
    assert all(post == back.fields for post in counter.posts)
    assert (await shop.book(key))["captured"] == ("100.00" if status == "VALID" else "0.00")


async def test_a_page_that_nobody_opened_ends_unattempted(shop: SslcommerzShop, counter: Counter) -> None:
    left, tried = await shop.open(), await shop.open()
    await shop.act(tried, channel="bkash", wallet="01770618575", action="Confirm")
    await shop.later(1800)
    assert (await shop.query("ORDER-1"))["element"][0]["status"] == "UNATTEMPTED"
    assert (await shop.query("ORDER-2"))["element"][0]["status"] == "EXPIRED"
    assert [post["status"] for post in counter.posts] == ["UNATTEMPTED", "EXPIRED"]
    assert counter.posts[0]["val_id"] == counter.posts[0]["card_type"] == "" and is_signed(counter.posts[0])
    assert "This page has expired" in (await shop.page(left)).text
    late = await shop.act(tried, otp="123456", action="Confirm")
    assert late.headers["location"].endswith("/return")
    assert (await shop.book(tried))["captured"] == "0.00"


# --- magic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "told", "status"),
    [
        ("4003.01", "FAILED", "FAILED"),
        ("4003.11", "FAILED", "FAILED"),
        ("4003.12", "FAILED", "FAILED"),
        ("4003.15", "VALID", "VALID"),
        ("4003.16", "VALID", "VALID"),
        ("4003.17", "UNATTEMPTED", "UNATTEMPTED"),
        ("4003.18", "EXPIRED", "EXPIRED"),
        ("4003.09", "FAILED", "PROCESSING"),
    ],
)
async def test_magic_amounts(shop: SslcommerzShop, amount: str, told: str, status: str) -> None:
    key = await shop.open(amount)
    back = await shop.walk(key)
    assert back.fields["status"] == told and is_signed(back.fields)
    rows = (await shop.query("ORDER-1"))["element"]
    assert [row["status"] for row in rows] == [status] * (2 if amount == "4003.16" else 1)
    if amount == "4003.15":
        assert (rows[0]["risk_level"], rows[0]["risk_title"]) == ("1", "Not Safe")
    if amount == "4003.16":
        assert (await shop.book(key))["captured"] == "8006.32"
        assert len({row["bank_tran_id"] for row in rows}) == 2


async def test_a_late_success(shop: SslcommerzShop, counter: Counter) -> None:
    key = await shop.open("4003.09")
    back = await shop.walk(key)
    assert back.fields["status"] == "FAILED" and counter.posts == []
    await shop.later(60)
    (row,) = (await shop.query("ORDER-1"))["element"]
    assert row["status"] == "VALID" and row["bank_tran_id"] == back.fields["bank_tran_id"]
    (ipn,) = counter.posts
    assert ipn["status"] == "VALID" and is_signed(ipn)
    assert (await shop.back(key)).fields == back.fields  # the browser says what it said before
    assert (await shop.book(key))["captured"] == "4003.09"


@pytest.mark.parametrize(
    ("amount", "later", "status"),
    [
        ("4003.05", 90_000, "PROCESSING"),
        ("4003.06", 3600, "VALID"),
        ("4003.07", 3600, "FAILED"),
        ("4003.08", 0, "VALID"),
    ],
)
async def test_nobody_comes_back(shop: SslcommerzShop, amount: str, later: int, status: str) -> None:
    key = await shop.open(amount)
    await shop.act(key, channel="bkash", wallet="01770618575", action="Confirm")
    done = await shop.act(key, otp="123456", action="Confirm")
    assert not done.headers["location"].endswith("/return")
    assert (await shop.page(key, "/return")).status_code == 303
    assert "Back to the shop" not in (await shop.page(key)).text
    await shop.later(later)
    assert (await shop.query("ORDER-1"))["element"][0]["status"] == status


async def test_what_is_under_way_can_be_ended_by_hand(shop: SslcommerzShop) -> None:
    for outcome, status in (("success", "VALID"), ("failure", "FAILED")):
        key = await shop.open("4003.05")
        await shop.approve(key)
        assert (await shop.by_key(key))["status"] == "PROCESSING"
        assert (await shop.approve(key, outcome))["state"] == status


async def test_an_ordered_page(shop: SslcommerzShop) -> None:
    wish = {"gateway": "sslcommerz", "operation": "page", "fault": "page_risky"}
    assert (await shop.http.post("/_sandbox/faults", json=wish)).status_code == 200
    assert (await shop.walk(await shop.open())).fields["risk_level"] == "1"
    assert (await shop.walk(await shop.open())).fields["risk_level"] == "0"


# --- approve, language, hostile texts ---------------------------------------------------------------------------------


async def test_approve_tells_what_the_browser_posts(
    shop: SslcommerzShop, counter: Counter, app: Starlette
) -> None:
    key = await shop.open(tran_id="INV-7", value_d="ours-7")
    done = await shop.approve(key)
    assert (done["state"], done["redirect"]) == ("VALID", f"{BACK}/success")
    await app.state.courier.drain()
    assert counter.posts == [done["form"]] and is_signed(done["form"])
    for handle in (key, key.lower(), "INV-7", "ours-7", done["form"]["val_id"]):
        assert (await shop.approve(handle)) == done  # once more changes nothing
    assert len(counter.posts) == 1
    assert "error" in await shop.approve("nope")
    assert "error" in await shop.approve(await shop.open(), "nope")
    assert "error" in await shop.approve(await shop.open(), wallet="01700000000")


async def test_in_bangla(shop: SslcommerzShop) -> None:
    key = await shop.open()
    page = (await shop.http.get(f"/EasyCheckOut/testcde{key.lower()}?lang=bn")).text
    assert 'lang="bn"' in page and "স্যান্ডবক্স: আসল টাকা নয়" in page and "ধাপ ১/২" in page


async def test_hostile_texts_are_only_texts(shop: SslcommerzShop) -> None:
    key = await shop.open(
        tran_id=HOSTILE[:30], product_name=HOSTILE, value_a=HOSTILE, success_url=f"{BACK}/'onx='?a=<b>\""
    )
    for end in ("", "?lang=%3Cscript%3E", "?again=%3Cscript%3E", "?channel=%3Cscript%3E"):
        page = await shop.page(key, end)
        assert "<script" not in page.text
        assert "script-src" not in page.headers["content-security-policy"]
    back = await shop.walk(key)
    answer = await shop.page(key, "/return")
    assert answer.text.count("<script") == 1
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert back.fields["value_a"] == HOSTILE and back.action == f"{BACK}/'onx='?a=<b>\""
    assert is_signed(back.fields)


async def test_the_record_tells_the_story(shop: SslcommerzShop) -> None:
    key = await shop.open()
    await shop.page(key)
    await shop.page(key)
    await shop.walk(key, "city_visa", "4111111111111111")
    told = (await shop.http.get(f"/_sandbox/payments/sslcommerz/{key}")).json()
    assert [one["title"] for one in told["timeline"]] == [
        "session: 200",
        "The payer opened the page",
        "Way to pay: VISA (City Bank), 411111XXXXXX1111",
        "Code: right",
        "debit: 100.00 from wallet:4111111111111111 to merchant:sslcommerz",
        "IPN VALID, try 1: 200",
        "Sent back to the shop: VALID",
    ]
    assert "sandboxstore000@ssl" not in (await shop.http.get("/_sandbox/record?limit=500")).text

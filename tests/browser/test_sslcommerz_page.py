"""SSLCommerz's hosted page as payers meet it in a real browser: a way to pay, a number, a code, and back by a POST."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qsl

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.chromium import Look, Tab
from tests.browser.stage import Stage
from tests.sandbox.shop import CUSTOMER
from tests.sandbox.sslcommerz_shop import SslcommerzShop, is_signed
from vextrus_payments_sandbox.doors import served

pytestmark = pytest.mark.asyncio(loop_scope="session")

Open = Callable[..., Awaitable[Tab]]
LOOKS = [
    Look(),
    Look(dark=True),
    Look(phone=True),
    Look(phone=True, dark=True),
    Look(javascript=False),
    Look(phone=True, javascript=False),
]
WHOLE = (Look(), Look(phone=True, dark=True))
"""With these every page is checked."""


def named(look: Look) -> str:
    return look.name


@dataclass
class Store:
    """A shop that takes browsers' posts and IPNs, and opens sessions at the sandbox."""

    shop: SslcommerzShop
    url: str = ""
    posts: list[dict[str, str]] = field(default_factory=list)
    ipns: list[dict[str, str]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        fields = dict(parse_qsl((await request.body()).decode("ascii"), keep_blank_values=True))
        if request.url.path == "/ipn":
            self.ipns.append(fields)
            return Response()
        self.posts.append(fields)
        shown = escape(fields.get("status", "nothing"))
        return HTMLResponse(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title></head>'
            f"<body><main><h1>Back in the shop</h1><p>{shown}</p></main></body></html>"
        )

    def app(self) -> Starlette:
        async def no_icon(request: Request) -> Response:
            return Response(status_code=204)

        return Starlette(
            routes=[Route("/favicon.ico", no_icon), Route("/{path:path}", self.take, methods=["POST"])]
        )

    async def page(self, amount: str = "1250.50", **changes: Any) -> tuple[str, str]:
        """A new session: its key and its page."""
        doors = {f"{name}_url": f"{self.url}/{name}" for name in ("success", "fail", "cancel", "ipn")}
        made = await self.shop.ask(amount, **doors, product_name="A book of tea", **changes)
        return made["sessionkey"], made["GatewayPageURL"]

    async def back(self, tab: Tab) -> dict[str, str]:
        """What the browser posted when it came back, which it did once."""
        await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
        (post,) = self.posts
        assert is_signed(post)
        return post


@pytest_asyncio.fixture(loop_scope="session")
async def store(stage: Stage) -> AsyncIterator[Store]:
    found = Store(SslcommerzShop(stage.bkash.http))
    async with served(found.app()) as url:
        found.url = url
        yield found


async def press(tab: Tab, name: str) -> None:
    await tab.page.get_by_role("button", name=name, exact=True).click()


async def home(tab: Tab) -> None:
    """Back to the shop: by itself where script runs."""
    if not tab.look.javascript:
        await press(tab, "Back to the shop")


@pytest.mark.parametrize("look", LOOKS, ids=named)
async def test_a_payer_pays(open_tab: Open, store: Store, look: Look) -> None:
    key, url = await store.page(tran_id="INV-8812")
    tab = await open_tab(look)
    await tab.page.goto(url)
    assert await tab.page.get_by_text("Sandbox: not real money").is_visible()
    assert "1250.50" in await tab.page.inner_text("main")
    if look.javascript:
        await tab.check("sslcommerz-way")
    await tab.page.get_by_text("Cards", exact=True).click()
    await tab.page.get_by_label("VISA (City Bank)").check()
    if look in WHOLE:
        await tab.check("sslcommerz-cards")
    await tab.page.get_by_label("Card or account number").fill("4111 1111 1111 1111")
    await press(tab, "Continue")
    await tab.page.get_by_label("Verification code").wait_for()
    assert "411111XXXXXX1111" in await tab.page.inner_text("#help")
    if look.javascript:
        await tab.check("sslcommerz-code")
    await tab.page.fill("#otp", "111111")
    await press(tab, "Pay")
    if not look.javascript:
        await tab.page.get_by_text("You are being led back").wait_for()
        await tab.shot("sslcommerz-leaving")
    await home(tab)
    post = await store.back(tab)
    assert post["status"] == "VALID" and store.ipns == [post]
    assert (await store.shop.by_key(key))["card_type"] == "VISA-City Bank"
    await tab.page.goto(url)  # the link is opened once more: nobody is led anywhere
    await tab.page.get_by_role("heading", name="Paid").wait_for()
    if look in WHOLE:
        await tab.check("sslcommerz-paid")
    await press(tab, "Back to the shop")
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert store.posts == [post, post] and store.ipns == [post]


@pytest.mark.parametrize("look", [Look(), Look(phone=True, javascript=False)], ids=named)
async def test_a_third_wrong_code_and_another_way(open_tab: Open, store: Store, look: Look) -> None:
    key, url = await store.page()
    tab = await open_tab(look)
    await tab.page.goto(url)
    await tab.page.fill("#wallet", CUSTOMER["wallet"])
    await press(tab, "Continue")
    for left in (2, 1):
        await tab.page.fill("#otp", "000000")
        await press(tab, "Pay")
        await tab.page.get_by_role("alert").filter(has_text=f"Tries left: {left}").wait_for()
        if look.javascript and left == 2:
            await tab.check("sslcommerz-code-wrong")
    await tab.page.fill("#otp", "000000")
    await press(tab, "Pay")
    await home(tab)
    assert (await store.back(tab))["status"] == "FAILED"
    await tab.page.goto(url)
    await tab.page.get_by_text("The last try failed").wait_for()
    if look.javascript:
        await tab.check("sslcommerz-again")
    await tab.page.get_by_label("Upay").check()
    await tab.page.fill("#wallet", CUSTOMER["wallet"])
    await press(tab, "Continue")
    await press(tab, "Pay another way")
    await tab.page.fill("#wallet", CUSTOMER["wallet"])
    await press(tab, "Continue")
    await tab.page.fill("#otp", CUSTOMER["otp"])
    store.posts.clear()
    await press(tab, "Pay")
    await home(tab)
    assert (await store.back(tab))["status"] == "VALID"
    assert (await store.shop.book(key))["captured"] == "1250.50"


async def test_who_cannot_pay_this_way_is_told(open_tab: Open, store: Store) -> None:
    _, url = await store.page()
    tab = await open_tab(Look(phone=True))
    await tab.page.goto(url)
    await tab.page.fill("#wallet", "01700000000")
    await press(tab, "Continue")
    await tab.page.get_by_role("alert").filter(has_text=CUSTOMER["wallet"]).wait_for()
    await tab.check("sslcommerz-number-wrong")


async def test_cancel(open_tab: Open, store: Store) -> None:
    _, url = await store.page()
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await press(tab, "Cancel")  # also while the field that is asked for is empty
    assert (await store.back(tab))["status"] == "CANCELLED"
    await tab.page.goto(url)
    await tab.page.get_by_text("Nothing was paid").wait_for()
    await tab.check("sslcommerz-cancelled")


@pytest.mark.parametrize(
    ("button", "status"),
    [
        ("Paid, but risky", "VALID"),
        ("Paid, no IPN", "VALID"),
        ("Try fails", "FAILED"),
        ("Expired", "EXPIRED"),
    ],
)
async def test_how_it_shall_end(open_tab: Open, store: Store, button: str, status: str) -> None:
    _, url = await store.page()
    tab = await open_tab(Look(phone=True, dark=True))
    await tab.page.goto(url)
    await tab.page.get_by_text("How shall it end?").click()
    if button == "Try fails":
        await tab.check("sslcommerz-ends")
        await tab.page.get_by_label("Why it fails").select_option("Invalid expiration date")
    await press(tab, button)
    post = await store.back(tab)
    assert post["status"] == status and len(store.ipns) == (button != "Paid, no IPN")
    if button == "Try fails":
        assert post["error"] == "Invalid expiration date"


@pytest.mark.parametrize("look", [Look(phone=True), Look(narrow=True), Look(dark=True)], ids=named)
async def test_in_bangla(open_tab: Open, store: Store, look: Look) -> None:
    _, url = await store.page("10.00", currency="USD")
    tab = await open_tab(look)
    await tab.page.goto(url)
    await tab.page.get_by_role("link", name="বাংলা").click()
    await tab.page.get_by_label("কার্ড বা অ্যাকাউন্ট নম্বর").wait_for()
    assert "10.00 USD" in await tab.page.inner_text("main") and "1100.00" in await tab.page.inner_text("main")
    await tab.page.get_by_text("কীভাবে শেষ হবে?").click()
    await tab.page.get_by_text("পরীক্ষামূলক কার্ড, আর").click()
    await tab.check("sslcommerz-bangla")
    await tab.page.fill("#wallet", CUSTOMER["wallet"])
    await press(tab, "এগিয়ে যান")
    await tab.page.get_by_label("ভেরিফিকেশন কোড").wait_for()
    await tab.check("sslcommerz-code-bangla")


async def test_by_keyboard_alone(open_tab: Open, store: Store) -> None:
    _, url = await store.page(multi_card_name="bkash,upay")
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await tab.page.locator("#wallet:focus").wait_for()  # nobody has to go there
    await tab.page.keyboard.type(CUSTOMER["wallet"])
    await tab.page.keyboard.press("Enter")
    await tab.page.locator("#otp:focus").wait_for()
    await tab.page.keyboard.type(CUSTOMER["otp"])
    await tab.page.keyboard.press("Enter")
    assert (await store.back(tab))["card_type"] == "BKASH-BKash"


async def test_a_page_that_nobody_used_expires(open_tab: Open, store: Store, stage: Stage) -> None:
    _, url = await store.page()
    tab = await open_tab(Look(phone=True))
    await tab.page.goto(url)
    assert "30 minutes, until 12:30 in Dhaka" in await tab.page.inner_text("#until")
    stage.clock.step(minutes=30)
    await tab.page.reload()
    await tab.page.get_by_role("heading", name="This page has expired").wait_for()
    await tab.check("sslcommerz-expired")
    assert store.posts == [] and [one["status"] for one in store.ipns] == ["UNATTEMPTED"]


async def test_hostile_texts_run_nothing(open_tab: Open, store: Store) -> None:
    hostile = "\"'></script><script>document.title='x'</script><img src=x onerror=alert(1)>"
    _, url = await store.page(tran_id=hostile[:30], value_a=hostile)
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await tab.page.fill("#wallet", CUSTOMER["wallet"])
    await press(tab, "Continue")
    await tab.page.fill("#otp", CUSTOMER["otp"])
    await press(tab, "Pay")
    assert (await store.back(tab))["value_a"] == hostile

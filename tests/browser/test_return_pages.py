"""The pages of the return door, which the SDK shows: every one of them, and after real payments in the browser."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from tests.browser.chromium import Look, Tab
from tests.browser.stage import Till
from tests.sandbox.shop import CUSTOMER
from vextrus_payments import Money, Paid, PaymentRequest, Payments
from vextrus_payments.cli.listener import Page as Told
from vextrus_payments.cli.listener import ReturnListener
from vextrus_payments.cli.target import sandbox_target
from vextrus_payments.outcomes import Outcome
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.tokens import MemoryTokenBackend
from vextrus_payments.webhooks.pages import Page, Sight
from vextrus_payments_sandbox.doors import served
from vextrus_payments_sandbox.serve import SandboxServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

Open = Callable[..., Awaitable[Tab]]
GATEWAYS = ("bkash", "nagad")


# --- every page -------------------------------------------------------------------------------------------------------


async def _page(request: Request) -> Response:
    sight = Sight(request.path_params["sight"])
    reason = Reason(code=ReasonCode.INSUFFICIENT_BALANCE) if sight is Sight.DECLINED else None
    again = "paymentID=1&status=success" if sight in (Sight.PROCESSING, Sight.UNFINISHED) else None
    reply = Page(
        sight=sight, locale=request.path_params["locale"], reason=reason, look_again=again
    ).as_reply()
    return Response(reply.body, reply.status, headers=dict(reply.headers), media_type=reply.media_type)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pages() -> AsyncIterator[str]:
    """Where each page is shown: `{url}/{sight}/{locale}`."""
    till = Till()
    routes = [Route("/favicon.ico", till.no_icon), Route("/{sight}/{locale}", _page)]
    async with served(Starlette(routes=routes)) as url:
        yield url


@pytest.mark.parametrize(
    ("locale", "look"),
    [("en", Look()), ("bn", Look(phone=True, dark=True)), ("bn", Look(dark=True)), ("en", Look(phone=True))],
    ids=lambda value: value.name if isinstance(value, Look) else value,
)
async def test_every_page_is_no_barrier(open_tab: Open, pages: str, locale: str, look: Look) -> None:
    tab = await open_tab(look)
    tab.expected |= {400, 404, 429, 503}
    whole = look.phone == look.dark
    for sight in Sight if whole else (Sight.DECLINED, Sight.PROCESSING, Sight.UNKNOWN):
        await tab.page.goto(f"{pages}/{sight.value}/{locale}")
        assert await tab.page.get_attribute("html", "lang") == locale
        await tab.check(f"return-{sight.value}-{locale}")


async def test_nothing_is_cut_off_at_the_narrowest(open_tab: Open, pages: str) -> None:
    tab = await open_tab(Look(narrow=True))
    for locale in ("en", "bn"):
        await tab.page.goto(f"{pages}/unfinished/{locale}")
        await tab.check(f"return-{locale}")
        await tab.page.keyboard.press("Tab")
        assert await tab.page.evaluate("document.activeElement.tagName") == "A"


@pytest.mark.parametrize("look", [Look(), Look(phone=True, dark=True)], ids=lambda look: look.name)
async def test_the_page_that_a_waiting_command_shows(open_tab: Open, look: Look) -> None:
    async def on_return(gateway: str, params: Mapping[str, str]) -> Told:
        return Told("Thank you", f"Paid at {gateway}: {params['status']}")

    async with ReturnListener(on_return) as door:
        tab = await open_tab(look)
        await tab.page.goto(f"{door.url}/bkash/return?status=" + quote("<b>W</b>" + "W" * 90))
        assert "<b>W</b>" in await tab.page.inner_text("main")
        assert (
            "rgb(18, 22, 28)" in await tab.page.evaluate("getComputedStyle(document.body).background")
        ) is look.dark
        await tab.check("listener")


# --- after real payments ----------------------------------------------------------------------------------------------


@dataclass
class Shop:
    """A shop with the SDK behind its doors, and a sandbox that it pays at."""

    sandbox: SandboxServer
    till: Till
    payments: Payments
    asked: list[str] = field(default_factory=list)

    async def pay(self, gateway: str, *, returns: bool, **more: Any) -> tuple[str, str]:
        """Ask for a payment: its id, and the page to pay on."""
        reference = f"INV-{len(self.asked) + 1}"
        self.asked.append(reference)
        session = await self.payments.initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway=gateway,
                amount=Money.from_minor(
                    125050 + len(self.asked), "BDT"
                ),  # twice the same is a duplicate at bKash
                merchant_reference=reference,
                return_url=f"{self.till.url}/orders/1" if returns else None,
                **more,
            )
        )
        assert session.checkout_url is not None
        return session.payment_id, session.checkout_url

    async def outcome(self, payment_id: str) -> Outcome:
        return await self.payments.execute(payment_id)

    async def lose(self, gateway: str, **faults: str) -> None:
        """Let every such call go wrong from now on; without faults all goes well again."""
        async with httpx.AsyncClient(base_url=self.sandbox.url, trust_env=False) as http:
            answers = [await http.delete("/_sandbox/faults")]
            for operation, fault in faults.items():
                wish = {"gateway": gateway, "operation": operation, "fault": fault, "times": 100}
                answers.append(await http.post("/_sandbox/faults", json=wish))
        assert all(answer.status_code < 300 for answer in answers), answers


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop() -> AsyncIterator[Shop]:
    till = Till()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(SandboxServer())
        till.url = await stack.enter_async_context(served(till.app()))
        doors = Starlette(routes=[Route("/favicon.ico", till.no_icon)])
        url = await stack.enter_async_context(served(doors))
        payments = Payments(
            store="memory://",
            public_url=f"{url}/payments",
            gateways={name: sandbox_target(name, sandbox.url).config for name in GATEWAYS},
            tokens=MemoryTokenBackend(),
            workers=False,
        )
        await stack.enter_async_context(payments)
        doors.router.routes.append(Mount("/payments", payments.asgi()))
        yield Shop(sandbox, till, payments)


async def walk(tab: Tab, url: str, **values: str) -> None:
    await tab.page.goto(url)
    for step in ("wallet", "otp", "pin"):
        await tab.page.fill(f"#{step}", values.get(step, CUSTOMER[step]))
        await tab.page.keyboard.press("Enter")


@pytest.mark.parametrize("look", [Look(), Look(phone=True, javascript=False)], ids=lambda look: look.name)
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_from_the_shop_to_the_shop(open_tab: Open, shop: Shop, gateway: str, look: Look) -> None:
    shop.till.visits.clear()
    payment_id, url = await shop.pay(gateway, returns=True)
    tab = await open_tab(look)
    await walk(tab, url)
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert shop.till.visits == [{"payment_id": payment_id}]
    assert isinstance(await shop.outcome(payment_id), Paid)
    assert shop.sandbox.world.audit() == []


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_payer_who_leaves_is_told_what_is_known(open_tab: Open, shop: Shop, gateway: str) -> None:
    _, url = await shop.pay(gateway, returns=False)
    tab = await open_tab(Look(phone=True))
    await tab.page.goto(url)
    await tab.page.get_by_role("button", name="Cancel").click()
    await tab.page.wait_for_url("**/return**")
    said = await tab.page.inner_text("main")
    assert "received" not in said
    assert ("Your payment is not finished" if gateway == "nagad" else "Payment not made") in said
    await tab.check(f"return-after-{gateway}-cancel")


async def test_a_payer_without_the_money_is_told_why_in_his_language(open_tab: Open, shop: Shop) -> None:
    _, url = await shop.pay("bkash", returns=False)
    tab = await open_tab(Look(dark=True, locale="bn-BD"))
    await walk(tab, url, wallet="01823074817")
    await tab.page.get_by_role("heading", name="পেমেন্ট হয়নি").wait_for()
    assert await tab.page.get_attribute("html", "lang") == "bn"
    assert "টাকা কাটা হয়নি" in await tab.page.inner_text("main")
    assert "Insufficient Balance. Nothing was taken." in await tab.page.inner_text(
        "aside"
    )  # bKash's words, then ours
    await tab.check("return-declined-after-bkash")


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_lost_answer_is_looked_at_until_it_is_known(
    open_tab: Open, shop: Shop, javascript: bool
) -> None:
    payment_id, url = await shop.pay("bkash", returns=False)
    await shop.lose("bkash", execute="drop_after", query="drop_before")
    tab = await open_tab(Look(phone=True, javascript=javascript))
    await walk(tab, url)
    await tab.page.get_by_role("heading", name="Your payment is being looked at").wait_for()
    assert "do not pay again" in await tab.page.inner_text("main")
    if javascript:
        await tab.check("return-looking")
    await shop.lose("bkash")
    await shop.payments.reconcile(payment_id)  # what a worker does in its time
    await tab.page.get_by_role("heading", name="Payment received").wait_for()  # by itself, a moment later
    assert isinstance(await shop.outcome(payment_id), Paid)
    assert shop.sandbox.world.audit() == []

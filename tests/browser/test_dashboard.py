"""The dashboard in a real browser: it changes by itself, it works by reload alone, and its forms do what they say."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.browser.chromium import Look, Tab
from tests.browser.stage import Stage
from tests.sandbox.shop import CUSTOMER
from vextrus_payments_sandbox.serve import SandboxServer

pytestmark = pytest.mark.asyncio(loop_scope="session")

Open = Callable[..., Awaitable[Tab]]
HOSTILE = "\"'}}{{7*7}}${7*7};alert(1)//" + "W" * 40
LOOKS = [Look(), Look(phone=True, dark=True), Look(dark=True), Look(narrow=True)]
UNTOUCHED = "document.documentElement.dataset.untouched"
"""Set by a test, it is gone when the page has been loaded anew."""


async def open_page(open_tab: Open, stage: Stage, path: str, look: Look | None = None) -> Tab:
    tab = await open_tab(look or Look())
    await tab.page.goto(stage.sandbox.url + path)
    return tab


async def is_live(tab: Tab) -> None:
    """The page hears what happens; from here on nobody loads it."""
    await tab.page.locator("#pulse").filter(has_text="Live").wait_for()
    await tab.page.evaluate(f"{UNTOUCHED} = 'yes'")


async def was_not_loaded(tab: Tab) -> None:
    assert await tab.page.evaluate(UNTOUCHED) == "yes"


def row_of(tab: Tab, reference: str) -> Any:
    return tab.page.locator("tbody tr").filter(has_text=reference)


# --- every page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look.name)
async def test_no_page_is_a_barrier_empty_or_full(open_tab: Open, stage: Stage, look: Look) -> None:
    tab = await open_tab(look)
    whole = look in LOOKS[:2]
    for path in ["/", "/webhooks", "/manners", "/start"] if whole else ["/"]:
        await tab.page.goto(stage.sandbox.url + path)
        await tab.check(f"dash-empty{path.replace('/', '-')}")
    hostile, _ = await stage.bkash_page(merchantInvoiceNumber=HOSTILE, payerReference=HOSTILE)
    paid, trx = await stage.bkash.paid("1499")
    await stage.bkash.refund(paid, trx, "99")
    nagad = await stage.nagad.paid("20")
    await stage.bkash.http.post("/_sandbox/faults", json={"operation": "execute", "fault": "drop_after"})
    payments = [
        f"/payments/bkash/{hostile}",
        f"/payments/bkash/{paid}",
        f"/payments/nagad/{quote(nagad, safe='')}",
    ]
    for path in ["/", *payments, "/wallets", "/wire", "/faults"] if whole else ["/", payments[1], "/wire"]:
        await tab.page.goto(stage.sandbox.url + path)
        await tab.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        await tab.check(f"dash{path.replace('/', '-')[:20]}")
        assert HOSTILE in await tab.page.inner_text("main") or path not in ("/", payments[0])


@pytest.mark.parametrize("look", [*LOOKS[:2], Look(javascript=False)], ids=lambda look: look.name)
async def test_missed_manners_and_webhooks_are_told_to_everybody(
    open_tab: Open, stage: Stage, look: Look
) -> None:
    http = stage.bkash.http
    paid, trx = await stage.bkash.paid("1499", merchantInvoiceNumber="INV-RUDE")
    await stage.bkash.execute(paid)
    await stage.bkash.query(paid)
    await stage.bkash.refund(paid, trx, "99")
    for _ in range(3):
        await stage.bkash.grant()
    await http.put("/_sandbox/webhooks/bkash", json={"url": f"{stage.till.url}/hook?key=HookPassword00"})
    tab = await open_tab(look)
    await tab.page.goto(stage.sandbox.url + "/manners")
    if look.javascript:
        await tab.check("dash-manners-missed")
    missed = tab.page.get_by_role("table", name="Missed manners, newest first")
    for words in (
        "execute repeated",
        "query after execute had answered",
        "more than two tokens within an hour",
    ):
        assert await missed.get_by_role("row").filter(has_text=words).count() >= 1
    owed = tab.page.get_by_role("table", name="What is still to be done, most urgent first")
    await owed.get_by_role("row").filter(has_text="INV-RUDE").first.wait_for()
    assert await tab.page.get_by_text("over two an hour", exact=True).count() >= 1
    await tab.page.goto(stage.sandbox.url + "/webhooks")
    await tab.page.locator("summary").filter(has_text="SubscriptionConfirmation").first.wait_for()
    if look.javascript:
        await tab.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        await tab.check("dash-webhooks-tried")
    assert "[hidden: 14 characters]" in await tab.page.inner_text("main")
    assert "HookPassword00" not in await tab.page.content()
    await tab.page.goto(stage.sandbox.url + "/manners")
    await missed.get_by_role("link", name="INV-RUDE").first.click()
    await tab.page.get_by_role("heading", name="INV-RUDE").wait_for()
    await http.delete("/_sandbox/webhooks/bkash")


# --- live -------------------------------------------------------------------------------------------------------------


async def test_payments_appear_and_change_by_themselves(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/")
    await tab.page.get_by_role("heading", name="No payments yet").wait_for()
    await is_live(tab)
    reference, url = await stage.bkash_page("77.70", merchantInvoiceNumber="INV-LIVE")
    row = row_of(tab, "INV-LIVE")
    await row.filter(has_text="Initiated").wait_for()
    payer = await open_tab(Look(phone=True))
    await payer.page.goto(url)
    for step in ("wallet", "otp", "pin"):
        await payer.page.fill(f"#{step}", CUSTOMER[step])
        await payer.page.keyboard.press("Enter")
    await payer.page.get_by_role("heading", name="Back in the shop").wait_for()
    await stage.bkash.execute(reference)
    await row.filter(has_text="Completed").filter(has_text="77.70").wait_for()
    await was_not_loaded(tab)


async def test_a_payments_page_grows_while_it_is_paid(open_tab: Open, stage: Stage) -> None:
    reference, _ = await stage.nagad_page("88.80")
    tab = await open_page(open_tab, stage, f"/payments/nagad/{quote(reference, safe='')}")
    await is_live(tab)
    moments = tab.page.locator(".timeline li")
    before = await moments.count()
    await moments.first.locator("summary").click()  # what was opened stays open
    await stage.nagad.approve(reference)
    await tab.page.locator("#facts").get_by_text("Success").wait_for()
    await tab.page.get_by_role("table", name="Movements of money").get_by_text("88.80").wait_for()
    assert await moments.count() > before
    assert await moments.first.locator("details").get_attribute("open") is not None
    await was_not_loaded(tab)


async def test_pausing_and_going_on(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/")
    await is_live(tab)
    await tab.page.get_by_role("button", name="Pause").click()
    await tab.page.locator("#pulse").filter(has_text="Paused").wait_for()
    await stage.bkash.create("10", merchantInvoiceNumber="INV-MEANWHILE")
    await tab.page.get_by_role("button", name="Go on").click()
    await row_of(tab, "INV-MEANWHILE").wait_for()
    await was_not_loaded(tab)


async def test_by_reload_alone(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/", Look(javascript=False))
    assert await tab.page.inner_text("#pulse") == "Reload to see what is new."
    reference, _ = await stage.bkash.paid("55", merchantInvoiceNumber="INV-RELOAD")
    await tab.page.reload()
    await row_of(tab, "INV-RELOAD").get_by_role("link").click()
    await tab.page.get_by_role("heading", name="INV-RELOAD").wait_for()
    assert reference in await tab.page.inner_text("#facts")
    assert "execute" in await tab.page.inner_text("#timeline")


async def test_a_sandbox_that_ends_and_comes_back(open_tab: Open, stage: Stage) -> None:
    tab = await open_tab(Look())
    async with SandboxServer(seed=2) as first:
        port = int(first.url.rpartition(":")[2])
        await tab.page.goto(first.url)
        await is_live(tab)
    await tab.page.locator("#pulse").filter(has_text="does not answer").wait_for()
    async with SandboxServer(seed=2, port=port):
        await tab.page.locator("#pulse").filter(has_text="Live").wait_for()
        await was_not_loaded(tab)
        await tab.page.goto("about:blank")
    refused = [one for one in tab.complaints if "ERR_CONNECTION_REFUSED" in one or "ERR_INCOMPLETE" in one]
    assert tab.complaints == refused
    tab.complaints.clear()


# --- the fault dial ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_fault_is_ordered_strikes_and_is_gone(open_tab: Open, stage: Stage, javascript: bool) -> None:
    payment, _ = await stage.bkash_page("100")
    await stage.bkash.approve(payment)
    tab = await open_page(open_tab, stage, "/faults", Look(phone=True, javascript=javascript))
    page = tab.page
    await page.get_by_label("Which calls").select_option("bkash execute")
    await page.get_by_label("What goes wrong").select_option("drop_after")
    await page.get_by_label("How often").fill("1")
    await page.get_by_role("button", name="Order it").click()
    plans = page.locator("#plans")
    await plans.get_by_text("drop_after").first.wait_for()
    with pytest.raises(httpx.RemoteProtocolError):
        await stage.bkash.execute(payment)
    if not javascript:
        await page.reload()
    await plans.get_by_text("None. Order one above").wait_for()
    await page.goto(f"{stage.sandbox.url}/payments/bkash/{payment}")
    struck = page.locator(".timeline li").filter(has_text="drop_after")
    assert "money moved" in await struck.inner_text()
    assert (await stage.bkash.query(payment))["transactionStatus"] == "Completed"


async def test_orders_are_withdrawn_and_cleared(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/faults", Look(dark=True))
    page = tab.page
    for fault in ("drop_before", "html"):
        await page.get_by_label("Which calls").select_option("nagad verify")
        await page.get_by_label("What goes wrong").select_option(fault)
        await page.get_by_label("How often").fill("always")
        await page.get_by_label("By chance").fill("0.5")
        await page.get_by_label("Seed of chance").fill("7")
        await page.get_by_role("button", name="Order it").click()
        await page.locator("#plans").get_by_text(fault).first.wait_for()
    await page.get_by_role("button", name="Withdraw drop_before of nagad").click()
    await page.locator("#plans").get_by_text("drop_before").wait_for(state="detached")
    assert "html" in await page.locator("#plans").inner_text()
    await page.get_by_role("button", name="Clear all").click()
    await page.locator("#plans").get_by_text("None. Order one above").wait_for()


async def test_what_cannot_be_ordered_is_said_and_kept_as_typed(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/faults", Look(phone=True))
    tab.expected.add(400)
    await tab.page.get_by_label("How often").fill("-3")
    await tab.page.get_by_role("button", name="Order it").click()
    await tab.page.get_by_role("alert").wait_for()
    assert await tab.page.get_by_label("How often").input_value() == "-3"
    await tab.check("dash-faults-refused")


# --- hands ------------------------------------------------------------------------------------------------------------


async def test_a_wallets_balance_is_set(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/wallets", Look(phone=True))
    tab.expected.add(400)
    wallet = CUSTOMER["wallet"]
    row = row_of(tab, wallet)
    await row.get_by_role("textbox").fill("12.34")
    await row.get_by_role("button").click()
    await row.get_by_text("12.34").wait_for()
    assert await stage.bkash.balance() == "12.34"  # and the books still add up
    await row.get_by_role("textbox").fill("a lot")
    await row.get_by_role("button").click()
    await tab.page.get_by_role("alert").wait_for()
    await is_live(tab)
    await tab.check("dash-wallets-refused")
    assert await stage.bkash.balance() == "12.34"


async def test_a_payment_is_paid_and_refunded_by_hand(open_tab: Open, stage: Stage) -> None:
    reference, _ = await stage.nagad_page("300")
    tab = await open_page(open_tab, stage, f"/payments/nagad/{quote(reference, safe='')}")
    await tab.page.get_by_role("button", name="Pay", exact=True).click()
    await tab.page.get_by_label("Refund in the portal").fill("120.50")
    await tab.page.get_by_role("button", name="Refund").click()
    await tab.page.get_by_label("Refund in the portal (at most 179.50)").wait_for()
    assert (await stage.nagad.book(reference))["refunded"] == "120.50"
    await tab.check("dash-by-hand")


async def test_filters_by_keyboard(open_tab: Open, stage: Stage) -> None:
    await stage.bkash.paid("10", merchantInvoiceNumber="INV-NEEDLE")
    await stage.nagad.paid("11")
    tab = await open_page(open_tab, stage, "/")
    page = tab.page
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    for _ in range(3):
        await page.keyboard.press("Tab")
    await page.keyboard.type("NEEDLE")
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Show all").wait_for()
    assert await page.locator("tbody tr").count() == 1
    await row_of(tab, "INV-NEEDLE").wait_for()


async def test_an_example_is_copied(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/start")
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = tab.page.locator("button[data-copy]").first
    shown = await tab.page.locator(f"#{await button.get_attribute('data-copy')}").text_content()
    await tab.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    await button.click()
    await button.filter(has_text="Copied").wait_for()
    copied = await tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == shown and stage.sandbox.url in copied


async def test_a_fault_is_ordered_by_keyboard_alone(open_tab: Open, stage: Stage) -> None:
    tab = await open_page(open_tab, stage, "/faults")
    keys = tab.page.keyboard
    await keys.press("Tab")
    await keys.press("Enter")  # to the content
    for choice in ("bkash: execute", "drop_before", "always"):
        await keys.press("Tab")
        await keys.type(choice)
    await keys.press("Enter")
    plan = tab.page.locator("#plans tbody tr")
    await plan.filter(has_text="drop_before").filter(has_text="execute").wait_for()
    for _ in range(30):  # on to the button that takes it back
        await keys.press("Tab")
        if "Withdraw" in await tab.page.evaluate("document.activeElement.textContent"):
            break
    await keys.press("Enter")
    await tab.page.locator("#plans").get_by_text("None. Order one above").wait_for()

"""The hosted pages as payers meet them in a real browser: with a mouse, a thumb, a keyboard, ears; without script."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.browser.chromium import Look, Tab
from tests.browser.stage import Stage
from tests.sandbox.shop import CUSTOMER

pytestmark = pytest.mark.asyncio(loop_scope="session")

Open = Callable[..., Awaitable[Tab]]
GATEWAYS = ("bkash", "nagad")
PAID = {"bkash": "Completed", "nagad": "Success"}
LEFT = {"bkash": "Cancelled", "nagad": "Aborted"}
HEARD = {"bkash": ("success", "cancel", "failure"), "nagad": ("Success", "Aborted", "Failed")}
"""What a shop hears of a payer who paid, left, failed."""
LABELS = {
    "wallet": {"en": "account number", "bn": "অ্যাকাউন্ট নম্বর"},
    "otp": {"en": "Verification code", "bn": "ভেরিফিকেশন কোড"},
    "pin": {"en": "PIN", "bn": "পিন"},
}
LOOKS = [
    Look(),
    Look(dark=True),
    Look(phone=True),
    Look(phone=True, dark=True),
    Look(javascript=False),
    Look(phone=True, javascript=False),
]
WHOLE = (Look(), Look(phone=True, dark=True))
"""With these every page is checked; with the others what they could change."""


def named(look: Look) -> str:
    return look.name


async def go_to(tab: Tab, url: str, step: str) -> None:
    """Open the page and answer rightly until it asks for `step`."""
    await tab.page.goto(url)
    for name in ("wallet", "otp", "pin"):
        await tab.page.locator(f"#{name}").wait_for()
        if name == step:
            return
        await answer(tab, name, CUSTOMER[name])


async def answer(tab: Tab, step: str, value: str) -> None:
    await tab.page.fill(f"#{step}", value)
    await tab.page.get_by_role("button").first.click()


async def in_the_shop(tab: Tab, stage: Stage) -> dict[str, str]:
    """What the shop heard when the browser came back, which it did once."""
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    (visit,) = stage.till.visits
    return visit


# --- the way through --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", LOOKS, ids=named)
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_payer_pays(open_tab: Open, stage: Stage, gateway: str, look: Look) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(look)
    await tab.page.goto(url)
    for step in ("wallet", "otp", "pin"):
        await tab.page.get_by_label(LABELS[step]["en"]).wait_for()
        assert "1250.50" in await tab.page.inner_text("main")
        assert await tab.page.get_by_text("Sandbox: not real money").is_visible()
        if look.javascript and (step == "otp" or look in WHOLE):
            await tab.check(f"{gateway}-{step}")
        await answer(tab, step, CUSTOMER[step])
    assert (await in_the_shop(tab, stage))["status"] == HEARD[gateway][0]
    assert await stage.state(gateway, reference) == PAID[gateway]
    await tab.page.goto(url)  # the link is opened once more
    if look in WHOLE:
        await tab.check(f"{gateway}-paid")
    await tab.page.get_by_role("link", name="Back to the shop").click()
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert stage.till.visits[0] == stage.till.visits[1]


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_in_bangla(open_tab: Open, stage: Stage, gateway: str) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(Look(phone=True))
    await go_to(tab, url, "otp")
    await tab.page.get_by_role("link", name="বাংলা").click()
    for step in ("otp", "pin"):  # the step is the same one, and stays Bangla from here on
        await tab.page.get_by_label(LABELS[step]["bn"]).wait_for()
        assert await tab.page.get_attribute("html", "lang") == "bn"
        await answer(tab, step, "999")
        await tab.page.get_by_role("alert").filter(has_text="আর ২ বার").wait_for()
        await tab.check(f"{gateway}-{step}-bangla")
        await answer(tab, step, CUSTOMER[step])
    assert (await in_the_shop(tab, stage))["status"] == HEARD[gateway][0]
    await tab.page.go_back()
    assert await stage.state(gateway, reference) == PAID[gateway]


async def test_nagad_asks_in_the_language_that_the_shop_chose(open_tab: Open, stage: Stage) -> None:
    _, url = await stage.nagad_page(query="?locale=BN")
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await tab.page.get_by_label(LABELS["wallet"]["bn"]).wait_for()
    await tab.page.get_by_role("link", name="English").click()
    await tab.page.get_by_label(LABELS["wallet"]["en"]).wait_for()


async def test_an_agreement_and_a_payment_under_it(open_tab: Open, stage: Stage) -> None:
    tab = await open_tab(Look(phone=True))
    made = await stage.bkash.ask(
        "create", {"mode": "0000", "payerReference": "c", "callbackURL": f"{stage.till.url}/back"}
    )
    await tab.page.goto(made["bkashURL"])
    assert "BDT" not in await tab.page.content()
    await tab.check("bkash-agreement")
    await go_to(tab, made["bkashURL"], "pin")
    await answer(tab, "pin", CUSTOMER["pin"])
    await in_the_shop(tab, stage)
    agreement = (await stage.bkash.execute(made["paymentID"]))["agreementID"]
    reference, url = await stage.bkash_page("70", mode="0001", agreementID=agreement)
    await tab.page.goto(url)
    await tab.check("bkash-under-an-agreement")
    await answer(tab, "pin", CUSTOMER["pin"])
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert await stage.state("bkash", reference) == "Completed"


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", [Look(dark=True), Look(phone=True, javascript=False)], ids=named)
@pytest.mark.parametrize("step", ["otp", "pin"])
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_the_third_wrong_answer_ends_it(
    open_tab: Open, stage: Stage, gateway: str, step: str, look: Look
) -> None:
    from playwright.async_api import expect

    reference, url = await stage.page(gateway)
    tab = await open_tab(look)
    await go_to(tab, url, step)
    for left in (2, 1):
        await answer(tab, step, "999")
        field = tab.page.locator(f"#{step}")
        await expect(tab.page.get_by_role("alert")).to_contain_text(f"Tries left: {left}")
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_be_focused()
        await expect(field).to_have_value("")
        assert (await tab.page.title()).startswith("Error: ")
        if look.javascript and left == 2:
            await tab.check(f"{gateway}-{step}-wrong")
    await answer(tab, step, "999")
    assert (await in_the_shop(tab, stage))["status"] == HEARD[gateway][2]
    assert await stage.state(gateway, reference) == "Failed"
    await tab.page.goto(url)
    await tab.page.get_by_text("Nothing was paid").wait_for()
    if look.javascript and step == "pin":
        await tab.check(f"{gateway}-failed")


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_number_without_a_wallet(open_tab: Open, stage: Stage, gateway: str) -> None:
    _, url = await stage.page(gateway)
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await answer(tab, "wallet", "01700000000")
    await tab.page.get_by_role("alert").filter(has_text=CUSTOMER["wallet"]).wait_for()
    await tab.check(f"{gateway}-wallet-wrong")
    await answer(tab, "wallet", "")  # the browser itself asks for it
    await answer(tab, "wallet", CUSTOMER["wallet"])
    await tab.page.locator("#otp").wait_for()


@pytest.mark.parametrize(("step", "javascript"), [("wallet", True), ("otp", False), ("pin", True)])
@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_cancel_at_every_step(
    open_tab: Open, stage: Stage, gateway: str, step: str, javascript: bool
) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(Look(javascript=javascript))
    await go_to(tab, url, step)
    await tab.page.get_by_role(
        "button", name="Cancel"
    ).click()  # also while the field that is asked for is empty
    assert (await in_the_shop(tab, stage))["status"] == HEARD[gateway][1]
    assert await stage.state(gateway, reference) == LEFT[gateway]
    await tab.page.goto(url)
    await tab.page.get_by_text("Nothing was paid").wait_for()
    if javascript and step == "pin":
        await tab.check(f"{gateway}-cancelled")


async def test_leaving_nagad_by_the_link(open_tab: Open, stage: Stage) -> None:
    reference, url = await stage.nagad_page()
    tab = await open_tab(Look(phone=True))
    await go_to(tab, url, "pin")
    await tab.page.get_by_role("link", name="Leave without paying").click()
    assert (await in_the_shop(tab, stage))["status"] == "Aborted"
    assert await stage.state("nagad", reference) == "Aborted"


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_wallet_that_goes_wrong_is_found_and_used(open_tab: Open, stage: Stage, gateway: str) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(Look(phone=True, javascript=False))
    await tab.page.goto(url)
    await tab.page.get_by_text("Wallets that go wrong on purpose").click()
    row = tab.page.locator("details div").filter(has_text="insufficient balance")
    number = await row.locator("code").inner_text()
    await answer(tab, "wallet", number)
    await answer(tab, "otp", CUSTOMER["otp"])
    await answer(tab, "pin", CUSTOMER["pin"])
    heard = await in_the_shop(tab, stage)
    if gateway == "nagad":
        assert heard["status"] == "Failed"
        assert await stage.state("nagad", reference) == "Failed"
    else:
        assert (await stage.bkash.execute(reference))["statusCode"] == "2023"


async def test_the_list_of_wallets_is_no_barrier_when_open(open_tab: Open, stage: Stage) -> None:
    _, url = await stage.nagad_page(query="?locale=BN")
    tab = await open_tab(Look(phone=True, dark=True))
    await tab.page.goto(url)
    await tab.page.locator("summary").click()
    await tab.check("nagad-wallets")


@pytest.mark.parametrize("look", [Look(phone=True), Look(dark=True, javascript=False)], ids=named)
async def test_the_code_is_sent_again(open_tab: Open, stage: Stage, look: Look) -> None:
    reference, url = await stage.bkash_page()
    tab = await open_tab(look)
    await go_to(tab, url, "otp")
    stage.clock.step(minutes=4)
    for _ in range(3):
        await tab.page.get_by_role("button", name="Send the code again").click()
        await tab.page.get_by_role("status").filter(has_text="sent again").wait_for()
        assert "5 minutes, until 12:09" in await tab.page.inner_text("#until")
    if look.javascript:
        await tab.check("bkash-resent")
    await tab.page.get_by_role("button", name="Send the code again").click()
    await tab.page.get_by_role("alert").filter(has_text="any more often").wait_for()
    if look.javascript:
        await tab.check("bkash-resent-enough")
    await answer(tab, "otp", CUSTOMER["otp"])
    await answer(tab, "pin", CUSTOMER["pin"])
    await in_the_shop(tab, stage)
    assert await stage.state("bkash", reference) == "Completed"


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("step", ["otp", "pin"])
async def test_bkash_goes_back_to_the_shop_when_the_time_for_a_step_is_over(
    open_tab: Open, stage: Stage, step: str, javascript: bool
) -> None:
    reference, url = await stage.bkash_page()
    tab = await open_tab(Look(javascript=javascript))
    await go_to(tab, url, step)
    assert "Time left: 5 minutes, until 12:05 in Dhaka" in await tab.page.inner_text("main")
    stage.clock.step(minutes=4, seconds=59)
    await tab.page.reload()
    assert "less than a minute" in await tab.page.inner_text("#until")
    stage.clock.step(seconds=2)  # for the browser a second or two pass; then it asks by itself
    assert (await in_the_shop(tab, stage))["status"] == "failure"
    assert await stage.state("bkash", reference) == "Failed"
    await tab.page.goto(url)
    await tab.page.get_by_role("heading", name="Too late").wait_for()
    if javascript:
        await tab.check("bkash-late")


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_page_that_nobody_used_expires(open_tab: Open, stage: Stage, gateway: str) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(Look(phone=True))
    await tab.page.goto(url)
    shown = await tab.page.inner_text("#until")
    assert ("24 hours, until 1 Feb, 12:00" if gateway == "bkash" else "60 minutes, until 13:00") in shown
    stage.clock.step(hours=24 if gateway == "bkash" else 1)
    await tab.page.reload()
    await tab.page.locator("#wallet").wait_for()  # to the second
    stage.clock.step(seconds=1)
    await tab.page.get_by_role("heading", name="This page has expired").wait_for()
    await tab.check(f"{gateway}-expired")
    assert stage.till.visits == []
    await stage.bkash.open()  # its token is as old
    assert await stage.state(gateway, reference) == ("Expired" if gateway == "bkash" else "Ready")


async def test_a_late_form_pays_nothing(open_tab: Open, stage: Stage) -> None:
    reference, url = await stage.bkash_page()
    tab = await open_tab(Look())
    await go_to(tab, url, "pin")
    stage.clock.step(minutes=6)
    await answer(tab, "pin", CUSTOMER["pin"])
    assert (await in_the_shop(tab, stage))["status"] == "failure"
    assert await stage.state("bkash", reference) == "Failed"


async def test_nagad_shows_how_a_payment_under_way_ended(open_tab: Open, stage: Stage) -> None:
    reference, url = await stage.nagad_page()
    tab = await open_tab(Look(phone=True, dark=True))
    await tab.page.goto(url)
    for step, value in (("wallet", "01900000005"), ("otp", CUSTOMER["otp"]), ("pin", CUSTOMER["pin"])):
        await answer(tab, step, value)
    await tab.page.get_by_role("heading", name="In progress").wait_for()
    await tab.check("nagad-under-way")
    await stage.nagad.approve(reference)
    await tab.page.reload()
    await tab.page.get_by_role("heading", name="Paid").wait_for()
    await tab.check("nagad-paid-and-stays")


# --- hands and ears ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_by_keyboard_alone(open_tab: Open, stage: Stage, gateway: str) -> None:
    from playwright.async_api import expect

    reference, url = await stage.page(gateway)
    tab = await open_tab(Look())
    await tab.page.goto(url)
    keys = tab.page.keyboard
    for step in ("wallet", "otp", "pin"):
        await expect(tab.page.locator(f"#{step}")).to_be_focused()
        await keys.type(CUSTOMER[step])  # the field has the focus already
        await keys.press("Enter")  # and Enter confirms, it never cancels
    assert (await in_the_shop(tab, stage))["status"] == HEARD[gateway][0]
    assert await stage.state(gateway, reference) == PAID[gateway]


FOCUSED = """() => {
    const one = document.activeElement, style = getComputedStyle(one);
    return [one.id || one.textContent.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_the_tab_key_reaches_everything_in_order_and_shows_where_it_is(
    open_tab: Open, stage: Stage, gateway: str
) -> None:
    from playwright.async_api import expect

    _, url = await stage.page(gateway)
    tab = await open_tab(Look())
    await tab.page.goto(url)
    await expect(tab.page.locator("#wallet")).to_be_focused()
    seen: list[Any] = [await tab.page.evaluate(FOCUSED)]
    for _ in range(5):
        await tab.page.keyboard.press("Tab")
        seen.append(await tab.page.evaluate(FOCUSED))
    names = ["wallet", "Confirm", "Cancel", "Leave without paying", "Wallets that go wrong on purpose"]
    if gateway == "bkash":
        names.remove("Leave without paying")
    assert [name for name, _ in seen][: len(names)] == names
    assert all(visible for _, visible in seen[: len(names)])
    await tab.page.focus("#wallet")
    await tab.page.keyboard.press("Shift+Tab")
    assert (await tab.page.evaluate(FOCUSED))[0] == "বাংলা"


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_what_a_screen_reader_says(open_tab: Open, stage: Stage, gateway: str) -> None:
    from playwright.async_api import expect

    _, url = await stage.page(gateway)
    tab = await open_tab(Look())
    await go_to(tab, url, "otp")
    field = tab.page.locator("#otp")
    left = "5 minutes, until 12:05" if gateway == "bkash" else "60 minutes, until 13:00"
    sent = f"A code was sent to {CUSTOMER['wallet']}. No message really goes out here."
    await expect(field).to_have_accessible_name("Verification code")
    await expect(field).to_have_accessible_description(f"{sent} Time left: {left} in Dhaka.")
    title = "bKash payment" if gateway == "bkash" else "Nagad payment"
    assert await tab.page.title() == f"Verification code · 1250.50 BDT · {title} · Sandbox: not real money"
    await answer(tab, "otp", "1")
    said = f"This code is wrong. Tries left: 2. {sent} Time left: {left} in Dhaka."
    await expect(field).to_have_accessible_description(said)
    heard = await tab.page.locator("body").aria_snapshot()
    for line in (
        "- banner: \"Sandbox: not real money\"", "- main:", f'- heading "{title}" [level=1]', "- term: Pay to",
        "- button \"Confirm\"", "- button \"Cancel\"", "- alert: \"This code is wrong. Tries left: 2.\"",
        "- complementary:", '- heading "Test customer" [level=2]',
    ):  # fmt: skip
        assert line in heard, heard


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_nothing_is_cut_off_at_the_narrowest(open_tab: Open, stage: Stage, gateway: str) -> None:
    _, url = await stage.page(gateway, "12345678.90")
    tab = await open_tab(Look(narrow=True))
    await go_to(tab, url, "otp")
    await answer(tab, "otp", "1")
    await tab.check(f"{gateway}-narrow")


# --- clicks that payers make ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_a_double_click_pays_once(open_tab: Open, stage: Stage, gateway: str) -> None:
    reference, url = await stage.page(gateway)
    tab = await open_tab(Look())
    await go_to(tab, url, "pin")
    await tab.page.fill("#pin", CUSTOMER["pin"])
    await tab.page.get_by_role("button", name="Confirm").dblclick()
    await tab.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert await stage.state(gateway, reference) == PAID[gateway]
    books = await stage.bkash.books()
    (row,) = books["payments"]
    assert row["captured"] == "1250.50"


@pytest.mark.parametrize("gateway", GATEWAYS)
async def test_two_tabs_pay_once(open_tab: Open, stage: Stage, gateway: str) -> None:
    reference, url = await stage.page(gateway)
    first, second = await open_tab(Look()), await open_tab(Look(phone=True))
    await go_to(first, url, "pin")
    await second.page.goto(url)
    await second.page.locator("#pin").wait_for()
    await answer(first, "pin", CUSTOMER["pin"])
    await in_the_shop(first, stage)
    await answer(second, "pin", "999")  # too late to be wrong
    await second.page.get_by_role("heading", name="Back in the shop").wait_for()
    assert stage.till.visits[0] == stage.till.visits[1]
    assert await stage.state(gateway, reference) == PAID[gateway]
    assert (await stage.bkash.books())["payments"][0]["captured"] == "1250.50"


async def test_a_form_of_a_step_that_is_done_changes_nothing(open_tab: Open, stage: Stage) -> None:
    _, url = await stage.bkash_page()
    first, second = await open_tab(Look()), await open_tab(Look())
    await go_to(second, url, "wallet")
    await go_to(first, url, "pin")
    await answer(second, "wallet", "01929918378")
    await second.page.locator("#pin").wait_for()
    assert CUSTOMER["wallet"] in await second.page.inner_text("#help")


async def test_a_link_that_does_not_fit(open_tab: Open, stage: Stage) -> None:
    tab = await open_tab(Look(phone=True))
    tab.expected.add(404)
    _, bkash = await stage.bkash_page()
    _, nagad = await stage.nagad_page()
    for number, url in enumerate((bkash.replace("hash=", "hash=x"), nagad + "x")):
        await tab.page.goto(url)
        await tab.page.get_by_role("heading", name="This payment is not known").wait_for()
        await tab.check(f"unknown-{number}")


async def test_hostile_texts_are_only_shown(open_tab: Open, stage: Stage) -> None:
    hostile = "\"'}}{{7*7}}${7*7};alert(1)//" + "W" * 60
    _, url = await stage.bkash_page(merchantInvoiceNumber=hostile, payerReference=hostile)
    tab = await open_tab(Look(phone=True))
    await tab.page.goto(url + '&again=wallet"><script>alert(1)</script>&lang=<img src=x onerror=alert(1)>')
    assert hostile in await tab.page.inner_text("main")
    await tab.check("bkash-hostile")

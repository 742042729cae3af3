"""How long a hosted page can be used: what it says, when it ends, and that it ends by itself without a script."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import CUSTOMER, FakeClock, NoSleep, Page, Shop, params, walk
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.bkash.records import Rules
from vextrus_payments_sandbox.hosted import numbered, refresh_at, time_left

NOON = datetime(2026, 1, 31, 6, 0, tzinfo=UTC)  # in Dhaka


@pytest.fixture
def app(clock: FakeClock, sleeper: NoSleep) -> Starlette:
    clock.moment = NOON
    return create_app(clock=clock, seed=1, sleeper=sleeper, bkash=Rules(code_life_s=60, pin_life_s=90))


async def at_step(shop: Shop, url: str, step: str) -> httpx.Response:
    """Answer rightly until the page asks for `step`."""
    for name in ("wallet", "otp", "pin"):
        if name == step:
            break
        await shop.http.post(url, data={name: CUSTOMER[name], "action": "Confirm"})
    answer = await shop.http.get(url)
    assert Page(answer.text).inputs == [step]
    return answer


def refresh(answer: httpx.Response) -> tuple[int, str]:
    wait, _, url = answer.headers["refresh"].partition("; url=")
    return int(wait), url


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "english", "bangla"),
    [
        (-5, "less than a minute, until 11:59", "এক মিনিটের কম, ঢাকার সময় ১১:৫৯"),
        (59, "less than a minute, until 12:00", "এক মিনিটের কম, ঢাকার সময় ১২:০০"),
        (60, "1 minute, until 12:01", "১ মিনিট, ঢাকার সময় ১২:০১"),
        (179, "2 minutes, until 12:02", "২ মিনিট, ঢাকার সময় ১২:০২"),
        (7199, "119 minutes, until 13:59", "১১৯ মিনিট, ঢাকার সময় ১৩:৫৯"),
        (7200, "2 hours, until 14:00", "২ ঘণ্টা, ঢাকার সময় ১৪:০০"),
        (86_400, "24 hours, until 1 Feb, 12:00", "২৪ ঘণ্টা, ঢাকার সময় ১ ফেব্রুয়ারি, ১২:০০"),
    ],
)
def test_time_is_told_by_the_clock_and_as_what_is_left(seconds: int, english: str, bangla: str) -> None:
    until = NOON + timedelta(seconds=seconds)
    assert time_left("en", until, NOON) == f"Time left: {english} in Dhaka."
    assert time_left("bn", until, NOON) == f"সময় আছে {bangla} পর্যন্ত।"


def test_numbers_are_bangla_and_what_has_to_be_typed_is_not() -> None:
    assert numbered("{left} of {wallet}", "bn", left=12) == f"১২ of {CUSTOMER['wallet']}"
    assert numbered("{left} of {wallet}", "en", left=12) == f"12 of {CUSTOMER['wallet']}"


@pytest.mark.parametrize(("seconds", "wait"), [(-9, 1), (0, 1), (0.2, 2), (1, 2), (59.999, 61), (300, 301)])
def test_the_browser_goes_on_right_after_the_end_and_never_before(seconds: float, wait: int) -> None:
    value = refresh_at(NOON + timedelta(seconds=seconds), NOON, '/?a=1&b="<\r\nx')
    assert value == f"{wait}; url=/?a=1&b=%22%3C%0D%0Ax"


# --- bKash ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "life", "words", "until"), [("otp", 60, "code", "01:00"), ("pin", 90, "PIN", "01:30")]
)
async def test_a_step_has_its_time_to_the_second(
    app: Starlette, shop: Shop, clock: FakeClock, step: str, life: int, words: str, until: str
) -> None:
    created = await shop.create()
    url = created["bkashURL"]
    wait, onward = refresh(await at_step(shop, url, step))
    assert wait == life + 1
    clock.step(seconds=life)
    assert Page((await shop.http.get(url)).text).inputs == [step]
    clock.step(seconds=1)
    answer = await shop.http.get(urljoin(url, onward))
    assert answer.status_code == 303
    assert params(answer.headers["location"])["status"] == ["failure"]
    page = await shop.http.get(url)  # whoever opens the page later is told, and led back the same way
    assert "Too late" in page.text and "refresh" not in page.headers
    assert Page(page.text).links == [answer.headers["location"]]
    found = await shop.query(created["paymentID"])
    assert found["transactionStatus"] == "Failed"
    told = [one for one in app.state.world.record.of("bkash", created["paymentID"]) if "ran out" in one.title]
    assert [one.title for one in told] == [f"The time for the {words} ran out"]
    assert told[0].detail["until"] == f"2026-01-31T06:{until}.000Z"
    assert (await shop.execute(created["paymentID"]))["statusCode"] == "2056"


@pytest.mark.parametrize("step", ["otp", "pin"])
async def test_a_form_that_comes_too_late_is_not_read(shop: Shop, clock: FakeClock, step: str) -> None:
    url = (await shop.create())["bkashURL"]
    await at_step(shop, url, step)
    clock.step(minutes=2)
    answer = await shop.http.post(url, data={step: CUSTOMER[step], "action": "Confirm"})
    assert params(answer.headers["location"])["status"] == ["failure"]


async def test_nothing_but_the_next_step_gives_more_time(shop: Shop, clock: FakeClock) -> None:
    url = (await shop.create())["bkashURL"]
    await at_step(shop, url, "otp")
    clock.step(seconds=40)
    await shop.http.post(url, data={"otp": "1", "action": "Confirm"})  # a wrong try
    await shop.http.post(url, data={"wallet": CUSTOMER["wallet"], "action": "Confirm"})  # the step before
    bangla = await shop.http.get(url + "&lang=bn")
    assert refresh(bangla)[0] == 21 and "এক মিনিটের কম" in bangla.text
    assert refresh(await at_step(shop, url, "pin"))[0] == 91


async def test_whoever_has_confirmed_is_not_late(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create()
    await walk(shop.http, created["bkashURL"])
    clock.step(minutes=30)
    answer = await shop.http.get(created["bkashURL"] + "&late=1")
    assert params(answer.headers["location"])["status"] == ["success"]
    assert (await shop.execute(created["paymentID"]))["transactionStatus"] == "Completed"


async def test_the_number_has_the_whole_day(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create()
    answer = await shop.http.get(created["bkashURL"])
    wait, onward = refresh(answer)
    assert wait == 86_401
    clock.step(hours=24, seconds=1)
    ended = await shop.http.get(urljoin(created["bkashURL"], onward))
    assert ended.status_code == 200 and "This page has expired" in ended.text


async def test_under_an_agreement_the_time_begins_when_the_page_is_opened(
    shop: Shop, clock: FakeClock
) -> None:
    made = await shop.ask(
        "create", {"mode": "0000", "payerReference": "c", "callbackURL": "http://127.0.0.1:9/"}
    )
    await walk(shop.http, made["bkashURL"])
    agreement = (await shop.execute(made["paymentID"]))["agreementID"]
    url = (await shop.create("70", mode="0001", agreementID=agreement))["bkashURL"]
    clock.step(minutes=10)
    assert refresh(await shop.http.get(url))[0] == 91
    clock.step(seconds=30)
    assert refresh(await shop.http.get(url))[0] == 61  # loading it again gives no more
    clock.step(seconds=61)
    assert "Too late" in (await shop.http.get(url)).text


async def test_a_payment_that_ran_out_of_time_stays_failed(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create()
    await at_step(shop, created["bkashURL"], "pin")
    clock.step(hours=25)
    assert (await shop.approve(created["paymentID"]))["state"] == "Failed"
    clock.step(hours=25)
    assert "Too late" in (await shop.http.get(created["bkashURL"])).text
    assert (await shop.book(created["paymentID"]))["state"] == "Failed"


# --- the code, sent again ---------------------------------------------------------------------------------------------


async def resend(shop: Shop, url: str) -> httpx.Response:
    answer = await shop.http.post(url, data={"otp": "", "action": "Resend"})
    assert answer.status_code == 303
    return await shop.http.get(urljoin(url, answer.headers["location"]))


async def test_a_code_sent_again_has_its_time_again_three_times(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create()
    url = created["bkashURL"] + "&lang=bn"
    await at_step(shop, url, "otp")
    for _ in range(3):
        clock.step(seconds=50)
        page = await resend(shop, url)
        assert refresh(page)[0] == 61 and "আবার পাঠানো হয়েছে" in page.text
    clock.step(seconds=50)
    page = await resend(shop, url)
    assert refresh(page)[0] == 11 and "আর পাঠানো যাবে না" in page.text
    assert Page((await shop.http.get(url)).text).inputs == ["otp"]  # asking too often fails nothing
    assert params(await walk(shop.http, url))["status"] == ["success"]


async def test_a_code_sent_again_gives_no_more_tries(shop: Shop) -> None:
    url = (await shop.create())["bkashURL"]
    await at_step(shop, url, "otp")
    for _ in range(2):
        await shop.http.post(url, data={"otp": "1", "action": "Confirm"})
        await resend(shop, url)
    answer = await shop.http.post(url, data={"otp": "1", "action": "Confirm"})
    assert params(answer.headers["location"])["status"] == ["failure"]


async def test_no_other_step_sends_a_code(shop: Shop, clock: FakeClock) -> None:
    url = (await shop.create())["bkashURL"]
    assert Page((await resend(shop, url)).text).inputs == ["wallet"]
    await at_step(shop, url, "pin")
    clock.step(seconds=40)
    page = await resend(shop, url)
    assert refresh(page)[0] == 51 and "sent again" not in page.text
    forged = await shop.http.get(url + "&again=sent")
    assert "sent again" not in forged.text

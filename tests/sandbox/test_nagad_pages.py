"""The hosted page as a browser without script walks it, how the payer goes back, and the wallets that go wrong."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import CALLBACK, MERCHANT, NagadShop
from tests.sandbox.shop import CUSTOMER, FakeClock, NoSleep, Page, submit
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.nagad.records import Rules
from vextrus_payments_sandbox.nagad.wallets import WALLETS

HOSTILE = "\"'}}{{7*7}}${7*7};alert(1)//"


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    async with client(app) as http:
        yield await NagadShop.of(http, clock)


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600")


async def page_of(shop: NagadShop, url: str, status: int = 200) -> Page:
    answer = await shop.http.get(url)
    assert answer.status_code == status
    return Page(answer.text)


async def walk(shop: NagadShop, url: str, action: str = "Confirm", **values: str) -> str:
    """Press on until the page leads away, or stops; gives the last address."""
    for _ in range(12):
        answer = await shop.http.get(url)
        page = Page(answer.text)
        if not page.inputs:
            return url
        url = urljoin(url, (await submit(shop.http, url, page, action, **values)).headers["location"])
        if not url.startswith("http://127.0.0.1:28600/"):
            return url
    raise AssertionError("the page never ended")


def query(url: str) -> dict[str, str]:
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


# --- the way through --------------------------------------------------------------------------------------------------


async def test_number_code_pin_and_back_to_the_shop(nagad: NagadShop, clock: FakeClock) -> None:
    reference, url = await nagad.ready("1250.50")
    seen, states = [], []
    for _ in range(3):
        page = await page_of(nagad, url)
        assert page.buttons == [("action", "Confirm"), ("action", "Cancel")]
        seen += page.inputs
        states.append((await nagad.verify(reference))["status"])
        answer = await submit(nagad.http, url, page)
        assert answer.status_code == 303
        url = urljoin(url, answer.headers["location"])
    assert seen == ["wallet", "otp", "pin"]
    assert states == ["Ready", "OtpSent", "OtpVerified"]
    found = await nagad.verify(reference)
    assert (found["status"], found["statusCode"]) == ("Success", "000")
    assert url == (
        f"{CALLBACK}/?merchant={MERCHANT}&order_id={found['orderId']}&payment_ref_id={reference}&status=Success"
        "&status_code=00_0000_000&message=Successful%20Transaction&payment_dt=20260131180000"
        f"&issuer_payment_ref={found['issuerPaymentRefNo']}"
    )


async def test_clients_that_count_parameters_find_the_reference_raw(nagad: NagadShop) -> None:
    """Much copied PHP takes the third parameter and cuts its name off by its length."""
    for order_id in ("Order1", "Order12", "Order123"):  # no, one and two signs of padding
        reference, challenge, _ = await nagad.started(order_id)
        assert (await nagad.complete(reference, challenge, order_id)).status_code == 200
        redirect = (await nagad.approve(reference))["redirect"]
        assert redirect.partition("?")[2].split("&")[2][len("payment_ref_id=") :] == reference
        assert query(redirect)["payment_ref_id"] == reference


async def test_a_failure_names_neither_a_time_nor_an_issuer(nagad: NagadShop) -> None:
    reference, url = await nagad.ready()
    end = await walk(nagad, url, wallet="01900000001")
    assert list(query(end)) == ["merchant", "order_id", "payment_ref_id", "status", "status_code", "message"]
    assert "message=E%20Com%20Trx%20Failed.%20Transaction%20over%20limit." in end
    assert (query(end)["status"], query(end)["status_code"]) == ("Failed", "50_0026_851")
    found = await nagad.verify(reference)
    assert (found["status"], found["statusCode"]) == ("Failed", "50_0026_851")
    assert found["issuerPaymentRefNo"] is None and found["clientMobileNo"] is None


@pytest.mark.parametrize(
    ("rules", "callback", "start"),
    [
        (Rules(), CALLBACK, f"{CALLBACK}/?merchant="),
        (Rules(), CALLBACK + "/", f"{CALLBACK}/?merchant="),
        (Rules(callback_join="plain"), CALLBACK, f"{CALLBACK}?merchant="),
        (Rules(), "https://shop.example", "https://shop.example/?merchant="),
        (Rules(), "http://127.0.0.1:9/a%2Fb", "http://127.0.0.1:9/a%2Fb/?merchant="),
    ],
)
async def test_how_the_callback_is_joined(clock: FakeClock, rules: Rules, callback: str, start: str) -> None:
    async with client(create_app(clock=clock, seed=1, sleeper=NoSleep(), nagad=rules)) as http:
        shop = await NagadShop.of(http, clock)
        _, url = await shop.ready(outer={"merchantCallbackURL": callback})
        assert (await walk(shop, url)).startswith(start)


async def test_the_issuers_number_as_it_was_years_ago(clock: FakeClock) -> None:
    rules = Rules(issuer_ref="payment_ref")
    async with client(create_app(clock=clock, seed=1, sleeper=NoSleep(), nagad=rules)) as http:
        shop = await NagadShop.of(http, clock)
        reference, _ = await shop.ready()
        assert query((await shop.approve(reference))["redirect"])["issuer_payment_ref"] == reference
        assert (await shop.verify(reference))["issuerPaymentRefNo"] != reference


@pytest.mark.parametrize(
    ("locale", "lang", "bangla"),
    [("", "", False), ("?locale=EN", "", False), ("?locale=BN", "", True), ("?locale=bn", "", True)]
    + [("?locale=BN", "?lang=en", False), ("", "?lang=bn", True), ("?locale=XX", "?lang=zz", False)],
)
async def test_the_page_speaks_the_orders_language_or_the_payers(
    nagad: NagadShop, locale: str, lang: str, bangla: bool
) -> None:
    _, url = await nagad.ready(query=locale)
    page = await page_of(nagad, url + lang)
    assert page.buttons == [("action", "Confirm"), ("action", "Cancel")]
    assert ("নিশ্চিত করুন" in page.text) == bangla
    other = await page_of(nagad, urljoin(url, page.links[0]))
    assert ("নিশ্চিত করুন" in other.text) != bangla
    assert await walk(nagad, urljoin(url, page.links[0]))


async def test_the_page_says_that_it_is_no_real_money_and_runs_no_script(nagad: NagadShop) -> None:
    _, url = await nagad.ready("15")
    answer = await nagad.http.get(url)
    page = Page(answer.text)
    assert "Sandbox: not real money" in page.text and "15.00" in page.text
    assert all(CUSTOMER[name] in page.text for name in CUSTOMER)
    assert "script" not in page.tags and not any(name.startswith(("on", "style")) for name in page.attributes)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


# --- leaving and failing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["wallet", "otp", "pin"])
@pytest.mark.parametrize("by", ["button", "link"])
async def test_the_payer_may_leave_at_every_step(nagad: NagadShop, step: str, by: str) -> None:
    reference, url = await nagad.ready()
    while step not in (page := await page_of(nagad, url)).inputs:
        url = urljoin(url, (await submit(nagad.http, url, page)).headers["location"])
    if by == "button":
        answer = await submit(nagad.http, url, page, "Cancel")
    else:
        link = next(one for one in page.links if "abort" in one)
        assert link == f"/check-out/abort/{reference}"
        answer = await nagad.http.get(urljoin(url, link))
    assert answer.status_code == 303
    assert query(answer.headers["location"])["status"] == "Aborted"
    assert (await nagad.verify(reference))["status"] == "Aborted"
    assert (await nagad.book(reference))["captured"] == "0.00"


@pytest.mark.parametrize(("step", "ending"), [("otp", "99_9999_003"), ("pin", "99_9999_004")])
async def test_the_third_wrong_answer_fails_the_payment(nagad: NagadShop, step: str, ending: str) -> None:
    reference, url = await nagad.ready()
    while step not in (page := await page_of(nagad, url)).inputs:
        url = urljoin(url, (await submit(nagad.http, url, page)).headers["location"])
    for left in (2, 1):
        answer = await submit(nagad.http, url, page, **{step: "000000"})
        url = urljoin(url, answer.headers["location"])
        page = await page_of(nagad, url)
        assert page.inputs == [step] and f"Tries left: {left}" in page.text
    answer = await submit(nagad.http, url, page, **{step: "000000"})
    assert query(answer.headers["location"])["status_code"] == ending
    assert (await nagad.verify(reference))["status"] == "Failed"
    assert (await nagad.book(reference))["captured"] == "0.00"


@pytest.mark.parametrize("wallet", ["", "0177061857", "01700000000", "০১৭৭০৬১৮৫৭৫", HOSTILE])
async def test_a_number_without_a_wallet_is_asked_again(nagad: NagadShop, wallet: str) -> None:
    _, url = await nagad.ready()
    answer = await nagad.http.post(url, data={"wallet": wallet, "action": "Confirm"})
    page = await page_of(nagad, urljoin(url, answer.headers["location"]))
    assert page.inputs == ["wallet"] and "no test wallet" in page.text


async def test_loading_again_and_clicking_twice_pay_once(nagad: NagadShop) -> None:
    reference, url = await nagad.ready("40")
    form = {"wallet": CUSTOMER["wallet"], "action": "Confirm"}
    first, second = [await nagad.http.post(url, data=form) for _ in range(2)]
    assert first.headers["location"] == second.headers["location"]
    for _ in range(3):
        assert (await page_of(nagad, url)).inputs == ["otp"]
    end = await walk(nagad, url)
    for again in ({"pin": CUSTOMER["pin"], "action": "Confirm"}, {"action": "Cancel"}):
        assert (await nagad.http.post(url, data=again)).headers["location"] == end
    assert (await nagad.http.get(f"/check-out/abort/{reference}")).headers["location"] == end
    assert (await page_of(nagad, url)).links == [end]
    assert (await nagad.verify(reference))["status"] == "Success"
    assert (await nagad.book(reference))["captured"] == "40.00"


async def test_a_page_has_its_time(nagad: NagadShop, clock: FakeClock) -> None:
    reference, url = await nagad.ready()
    page = await page_of(nagad, url)
    clock.step(seconds=3601)
    assert "expired" in (await page_of(nagad, url)).text
    answer = await submit(nagad.http, url, page)
    assert answer.status_code == 303 and answer.headers["location"].startswith("/check-out/")
    assert (await nagad.approve(reference))["redirect"] is None
    assert (await nagad.verify(reference))["status"] == "Ready"
    assert (await nagad.book(reference))["captured"] == "0.00"


async def test_a_page_before_its_complete_and_one_that_nobody_knows(nagad: NagadShop) -> None:
    reference, _, _ = await nagad.started()
    assert "not ready" in (await page_of(nagad, f"/check-out/{reference}")).text
    assert (await nagad.http.get(f"/check-out/abort/{reference}")).status_code == 303
    assert (await nagad.verify(reference))["status"] == "OrderInitiated"
    for path in ("/check-out/QUJD", "/check-out/abort/QUJD", "/check-out/%22%3E%3Cscript%3E"):
        assert "not known" in (await page_of(nagad, path, 404)).text
        if "abort" not in path:
            assert (await nagad.http.post(path, data={"action": "Cancel"})).status_code == 404


async def test_a_reference_may_be_escaped_in_the_pages_address(nagad: NagadShop) -> None:
    reference, challenge, order_id = await nagad.started("Order1")
    assert reference.endswith("=") or (await nagad.started("Order12"))[0].endswith("=")
    await nagad.complete(reference, challenge, order_id)
    for written in (reference, reference.replace("=", "%3D"), reference.replace("=", "%253D")):
        assert (await page_of(nagad, f"/check-out/{written}")).inputs == ["wallet"]


async def test_hostile_texts_never_become_markup(nagad: NagadShop) -> None:
    plain = Page((await nagad.http.get((await nagad.ready())[1])).text)
    callback = "http://127.0.0.1:9/\"onmouseover='alert(1)'><script>alert(1)</script>"
    outer = {
        "merchantCallbackURL": callback,
        "additionalMerchantInfo": {"serviceName": "<script>alert(1)</script>"},
    }
    _, url = await nagad.ready(outer=outer)
    page = await page_of(nagad, url + '?lang=<script>&again=wallet"><script>alert(1)</script>')
    assert (page.tags, page.attributes) == (plain.tags, plain.attributes)
    end = await walk(nagad, url)
    assert "<" not in end and '"' not in end
    assert "script" not in (await page_of(nagad, url)).tags


async def test_a_form_without_an_action_or_too_long_does_nothing(nagad: NagadShop) -> None:
    _, url = await nagad.ready()
    await nagad.http.post(url, data={"wallet": CUSTOMER["wallet"]})
    await nagad.http.post(url, data={"wallet": CUSTOMER["wallet"], "action": "confirm"})
    assert (await nagad.http.post(url, content=b"x" * 10_000)).status_code == 413
    assert (await page_of(nagad, url)).inputs == ["wallet"]


# --- wallets that go wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wallet", "returned", "verified"),
    [
        ("01823074817", "Failed 99_9999_001", "Failed 99_9999_001"),
        ("01823074818", "Failed 99_9999_002", "Failed 99_9999_002"),
        ("01900000001", "Failed 50_0026_851", "Failed 50_0026_851"),
        ("01900000002", "Failed 99_9999_003", "Failed 99_9999_003"),
        ("01900000003", "Failed 99_9999_004", "Failed 99_9999_004"),
        ("01900000004", "Aborted 99_9999_006", "Aborted 99_9999_006"),
        ("01900000005", None, "InProgress None"),
        ("01900000006", "UnKnownFailed 99_9999_007", "UnKnownFailed 99_9999_007"),
        ("01900000007", "UnKnownFailed 99_9999_007", "UnKnownFailed 99_9999_007"),
        ("01900000008", None, "Success 000"),
        ("01900000009", "Failed 99_9999_008", "InProgress None"),
        ("01900000010", "", "Success 000"),  # its page stands below
    ],
)
async def test_what_each_wallet_does(
    nagad: NagadShop, wallet: str, returned: str | None, verified: str
) -> None:
    reference, url = await nagad.ready("70")
    end = await walk(nagad, url, wallet=wallet)
    if returned is None:
        page = await page_of(nagad, end)
        assert end.startswith("http://127.0.0.1:28600/check-out/") and not page.links and not page.inputs
    elif returned:
        assert f"{query(end)['status']} {query(end)['status_code']}" == returned
    found = await nagad.verify(reference)
    assert f"{found['status']} {found['statusCode']}" == verified
    captured = "70.00" if verified == "Success 000" else "0.00"
    assert (await nagad.book(reference))["captured"] == captured


async def test_a_slash_behind_the_pages_address_is_nothing_to_be_lost_over(nagad: NagadShop) -> None:
    _, url = await nagad.ready("70")
    assert (await page_of(nagad, url + "/")).inputs
    left = await nagad.http.get(url.replace("/check-out/", "/check-out/abort/") + "/")
    assert query(left.headers["location"])["status"] == "Aborted"


async def test_a_browser_that_comes_back_twice(nagad: NagadShop) -> None:
    reference, url = await nagad.ready("70")
    end = await walk(nagad, url, wallet="01900000010")
    assert end == f"http://127.0.0.1:28600/check-out/{reference}"
    answer = await nagad.http.get(end)
    (back,) = [link for link in Page(answer.text).links if link.startswith(CALLBACK)]
    assert query(back)["status"] == "Success" and query(back)["payment_ref_id"] == reference
    (picture,) = re.findall(r'<img src="([^"]+)"', answer.text)
    assert unescape(picture) == back
    assert answer.headers["refresh"] == f"1; url={back}"
    assert "img-src http: https:" in answer.headers["content-security-policy"]
    plain = await nagad.http.get("/check-out/nobody-knows-this")
    assert "<img" not in plain.text and "img-src 'self'" in plain.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("wallet", "looks"), [("01900000008", "paid"), ("01900000005", "pending"), ("01900000002", "failed")]
)
async def test_only_what_is_paid_looks_paid(nagad: NagadShop, wallet: str, looks: str) -> None:
    _, url = await nagad.ready("70")
    await walk(nagad, url, wallet=wallet)
    assert f'class="card ended {looks}"' in (await nagad.http.get(url)).text


def test_every_wallet_that_goes_wrong_is_tried_above() -> None:
    tried = test_what_each_wallet_does.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {wallet.number for wallet in WALLETS} <= {row[0] for row in tried}


@pytest.mark.parametrize(
    ("wallet", "after_s", "status"),
    [("01900000006", 3600, "Success"), ("01900000007", 3600, "Failed"), ("01900000009", 60, "Success")],
)
async def test_what_was_under_way_ends_later_and_the_return_stays(
    nagad: NagadShop, clock: FakeClock, wallet: str, after_s: int, status: str
) -> None:
    reference, url = await nagad.ready("70")
    end = await walk(nagad, url, wallet=wallet)
    clock.step(seconds=after_s - 1)
    assert (await nagad.verify(reference))["status"] in ("UnKnownFailed", "InProgress")
    clock.step(seconds=1)
    found = await nagad.verify(reference)
    assert found["status"] == status
    captured = "70.00" if status == "Success" else "0.00"
    assert (await nagad.book(reference))["captured"] == captured
    assert (found["issuerPaymentRefNo"] is not None) == (status == "Success")
    assert (await page_of(nagad, url)).links == [end]
    assert not any(call["moved_money"] for call in await nagad.wire())  # a look-up moves nothing


@pytest.mark.parametrize(("outcome", "status"), [("success", "Success"), ("failure", "Failed")])
async def test_what_is_stuck_is_ended_by_hand(nagad: NagadShop, outcome: str, status: str) -> None:
    reference, url = await nagad.ready("70")
    await walk(nagad, url, wallet="01900000005")
    assert (await nagad.approve(reference, outcome))["state"] == status
    assert (await nagad.verify(reference))["status"] == status


@pytest.mark.parametrize(
    ("outcome", "wallet", "state"),
    [
        ("success", None, "Success"),
        ("cancel", None, "Aborted"),
        ("failure", None, "Failed"),
        ("success", "01900000003", "Failed"),
    ],
)
async def test_the_admin_route_walks_the_page(
    nagad: NagadShop, outcome: str, wallet: str | None, state: str
) -> None:
    reference, _ = await nagad.ready()
    done = await nagad.approve(reference, outcome, wallet)
    assert done["state"] == state and query(done["redirect"])["status"] == state
    assert await nagad.approve(reference, "success") == done  # too late to change anything


@pytest.mark.parametrize(
    "wish", [{"outcome": "maybe"}, {"wallet": "01700000000"}, {"reference": "QUJD"}, {"gateway": "rocket"}]
)
async def test_the_admin_route_refuses_nonsense(nagad: NagadShop, wish: dict[str, Any]) -> None:
    reference, _ = await nagad.ready()
    asked = {"gateway": "nagad", "reference": reference} | wish
    answer = await nagad.http.post("/_sandbox/approve", json=asked)
    assert answer.status_code in (400, 404) and answer.json()["error"]
    assert (await nagad.verify(reference))["status"] == "Ready"


async def test_the_wallets_are_told_on_the_dashboard(nagad: NagadShop) -> None:
    await nagad.paid("1499")
    text = Page((await nagad.http.get("/wallets")).text).text
    assert all(wallet.number in text and wallet.note in text for wallet in WALLETS)
    assert "remote-payment-gateway-1.0" in Page((await nagad.http.get("/start")).text).text
    assert "1,499.00" in Page((await nagad.http.get("/")).text).text

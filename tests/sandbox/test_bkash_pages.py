"""The hosted page as a browser without script walks it, and what hostile input becomes in it."""

from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.sandbox.shop import CUSTOMER, FakeClock, Page, Shop, params, submit, walk

HOSTILE = "\"'}}{{7*7}}${7*7};alert(1)//\u202e"


async def page_of(shop: Shop, url: str) -> Page:
    answer = await shop.http.get(url)
    assert answer.status_code == 200
    return Page(answer.text)


async def test_wallet_code_pin_and_back_to_the_shop(shop: Shop) -> None:
    created = await shop.create("1250.50")
    url, seen = created["bkashURL"], []
    for _ in range(3):
        page = await page_of(shop, url)
        again = [("action", "Resend")] if page.inputs == ["otp"] else []
        assert page.buttons == [("action", "Confirm"), ("action", "Cancel"), *again]
        seen += page.inputs
        answer = await submit(shop.http, url, page)
        assert answer.status_code == 303
        url = urljoin(url, answer.headers["location"])
    assert seen == ["wallet", "otp", "pin"]
    assert url.startswith("http://127.0.0.1:9/return?")
    assert params(url) == {
        "paymentID": [created["paymentID"]],
        "status": ["success"],
        "signature": params(created["successCallbackURL"])["signature"],
        "apiVersion": ["1.2.0-beta"],
    }
    assert (await shop.query(created["paymentID"]))["verificationStatus"] == "Complete"
    assert (await shop.execute(created["paymentID"]))["transactionStatus"] == "Completed"


@pytest.mark.parametrize("language", ["", "&lang=en", "&lang=bn"])
async def test_buttons_keep_their_english_values_in_every_language(shop: Shop, language: str) -> None:
    url = (await shop.create())["bkashURL"] + language
    page = await page_of(shop, url)
    assert page.buttons == [("action", "Confirm"), ("action", "Cancel")]
    assert ("নিশ্চিত করুন" in page.text) == (language == "&lang=bn")
    answer = await submit(shop.http, url, page)
    assert ("lang=bn" in answer.headers["location"]) == (language == "&lang=bn")
    other = await page_of(shop, urljoin(url, page.links[0]))
    assert ("নিশ্চিত করুন" in other.text) != (language == "&lang=bn")


async def test_the_page_says_that_it_is_no_real_money_and_runs_no_script(shop: Shop) -> None:
    answer = await shop.http.get((await shop.create("15"))["bkashURL"])
    page = Page(answer.text)
    assert "Sandbox: not real money" in page.text and "15.00" in page.text
    assert all(CUSTOMER[name] in page.text for name in CUSTOMER)
    assert "script" not in page.tags and not any(name.startswith(("on", "style")) for name in page.attributes)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy
    assert answer.headers["cache-control"] == "no-store"
    style = await shop.http.get("/_sandbox/style.css")
    assert style.headers["content-type"].startswith("text/css") and "prefers-color-scheme" in style.text


@pytest.mark.parametrize("step", ["wallet", "otp", "pin"])
async def test_cancel_works_at_every_step(shop: Shop, step: str) -> None:
    created = await shop.create()
    url = created["bkashURL"]
    while step not in (page := await page_of(shop, url)).inputs:
        url = urljoin(url, (await submit(shop.http, url, page)).headers["location"])
    answer = await submit(shop.http, url, page, "Cancel")
    assert params(answer.headers["location"])["status"] == ["cancel"]
    assert (await shop.query(created["paymentID"]))["transactionStatus"] == "Cancelled"


@pytest.mark.parametrize("step", ["otp", "pin"])
async def test_the_third_wrong_answer_fails_the_payment(shop: Shop, step: str) -> None:
    created = await shop.create()
    url = created["bkashURL"]
    while step not in (page := await page_of(shop, url)).inputs:
        url = urljoin(url, (await submit(shop.http, url, page)).headers["location"])
    for left in (2, 1):
        answer = await submit(shop.http, url, page, **{step: "000000"})
        url = urljoin(url, answer.headers["location"])
        page = await page_of(shop, url)
        assert page.inputs == [step] and f"Tries left: {left}" in page.text
    answer = await submit(shop.http, url, page, **{step: "000000"})
    assert params(answer.headers["location"])["status"] == ["failure"]
    assert (await shop.execute(created["paymentID"]))["statusCode"] == "2056"


async def test_two_wrong_codes_and_a_right_one_go_on(shop: Shop) -> None:
    created = await shop.create()
    url = created["bkashURL"]
    await shop.http.post(url, data={"wallet": CUSTOMER["wallet"], "action": "Confirm"})
    for _ in range(2):
        await shop.http.post(url, data={"otp": "1", "action": "Confirm"})
    assert params(await walk(shop.http, url))["status"] == ["success"]


@pytest.mark.parametrize("wallet", ["", "0177061857", "01700000000", "০১৭৭০৬১৮৫৭৫", HOSTILE])
async def test_a_number_without_a_wallet_is_asked_again(shop: Shop, wallet: str) -> None:
    url = (await shop.create())["bkashURL"]
    answer = await shop.http.post(url, data={"wallet": wallet, "action": "Confirm"})
    page = await page_of(shop, urljoin(url, answer.headers["location"]))
    assert page.inputs == ["wallet"] and "no test wallet" in page.text


@pytest.mark.parametrize(
    ("wallet", "pin"), [("01770618576", "21212"), ("01877722345", "13131"), ("01877722345", "12121")]
)
async def test_every_published_wallet_opens(shop: Shop, wallet: str, pin: str) -> None:
    created = await shop.create()
    await walk(shop.http, created["bkashURL"], wallet=wallet, pin=pin)
    assert (await shop.execute(created["paymentID"]))["customerMsisdn"] == wallet


async def test_loading_again_and_clicking_twice_change_nothing(shop: Shop) -> None:
    created = await shop.create()
    url = created["bkashURL"]
    form = {"wallet": CUSTOMER["wallet"], "action": "Confirm"}
    first = await shop.http.post(url, data=form)
    second = await shop.http.post(url, data=form)  # a double click: the step is already done
    assert first.headers["location"] == second.headers["location"]
    for _ in range(3):
        assert (await page_of(shop, url)).inputs == ["otp"]
    end = await walk(shop.http, url)
    again = await shop.http.post(url, data={"pin": CUSTOMER["pin"], "action": "Confirm"})
    assert again.headers["location"] == end
    cancel = await shop.http.post(url, data={"action": "Cancel"})
    assert cancel.headers["location"] == end  # too late to cancel: the payer has confirmed
    assert (await page_of(shop, url)).links == [end]
    await shop.execute(created["paymentID"])
    assert "Completed" in (await page_of(shop, url)).text


async def test_an_agreements_payment_asks_only_for_the_pin(shop: Shop) -> None:
    made = await shop.ask(
        "create", {"mode": "0000", "payerReference": "c", "callbackURL": "http://127.0.0.1:9/"}
    )
    page = await page_of(shop, made["bkashURL"])
    assert "bKash agreement" in page.text and "BDT" not in page.text
    await walk(shop.http, made["bkashURL"])
    agreement_id = (await shop.execute(made["paymentID"]))["agreementID"]
    paid = await shop.create("70", mode="0001", agreementID=agreement_id)
    assert (await page_of(shop, paid["bkashURL"])).inputs == ["pin"]
    assert params(await walk(shop.http, paid["bkashURL"]))["status"] == ["success"]


@pytest.mark.parametrize(
    ("callback", "end"),
    [
        ("http://127.0.0.1:9/cb", "http://127.0.0.1:9/cb?paymentID={id}&status=success&signature="),
        (
            "http://127.0.0.1:9/cb?origin=x",
            "http://127.0.0.1:9/cb?origin=x&paymentID={id}&status=success&signature=",
        ),
        ("http://127.0.0.1:9", "http://127.0.0.1:9?paymentID={id}&status=success&signature="),
        (
            "https://shop.example/a%2Fb?x=%26",
            "https://shop.example/a%2Fb?x=%26&paymentID={id}&status=success&signature=",
        ),
    ],
)
async def test_parameters_are_added_to_any_callback_url(shop: Shop, callback: str, end: str) -> None:
    created = await shop.create(callbackURL=callback)
    url = await walk(shop.http, created["bkashURL"])
    assert url.startswith(end.format(id=created["paymentID"]))


async def test_a_fragment_stays_behind_the_parameters(shop: Shop) -> None:
    created = await shop.create(callbackURL="http://127.0.0.1:9/cb#top")
    assert urlsplit(await walk(shop.http, created["bkashURL"])).fragment == "top"


async def test_hostile_texts_are_shown_and_never_become_markup(shop: Shop) -> None:
    created = await shop.create(merchantInvoiceNumber=HOSTILE, payerReference=HOSTILE)
    assert created["statusCode"] == "0000"
    plain = Page((await shop.http.get((await shop.create())["bkashURL"])).text)
    for url in (
        created["bkashURL"],
        created["bkashURL"] + '&lang=<script>&again=wallet"><script>alert(1)</script>',
    ):
        page = await page_of(shop, url)
        assert HOSTILE in page.text and "49" not in page.text
        assert page.tags == plain.tags and page.attributes == plain.attributes
    callback = "http://127.0.0.1:9/\"onmouseover='alert(1)'><script>alert(1)</script>"
    ended = []
    for url in ((await shop.create(callbackURL=callback))["bkashURL"], (await shop.create())["bkashURL"]):
        end = await walk(shop.http, url)
        ended.append(await page_of(shop, url))
        assert "<" not in end and '"' not in end
    assert ended[0].links[0].startswith(callback)
    assert (ended[0].tags, ended[0].attributes) == (ended[1].tags, ended[1].attributes)
    listed = Page((await shop.http.get("/")).text)
    assert HOSTILE in listed.text and listed.tags.count("script") == 1  # the dashboard's own


@pytest.mark.parametrize(
    "change", [{"hash": "wrong"}, {"hash": ""}, {"paymentId": "TR0011nothing"}, {"hash": "é\udcff"}]
)
async def test_a_link_that_does_not_fit_gets_a_kind_page(shop: Shop, change: dict[str, Any]) -> None:
    created = await shop.create()
    known = {"paymentId": created["paymentID"], "hash": params(created["bkashURL"])["hash"][0]} | change
    query = {key: value.encode("utf-8", "surrogateescape") for key, value in known.items()}
    from urllib.parse import urlencode

    for answer in (
        await shop.http.get("/?" + urlencode(query)),
        await shop.http.post("/?" + urlencode(query), data={"action": "Cancel"}),
    ):
        assert answer.status_code == 404
        assert "This payment is not known" in answer.text
    assert (await shop.query(created["paymentID"]))["transactionStatus"] == "Initiated"


async def test_the_other_spelling_of_the_parameter_works(shop: Shop) -> None:
    created = await shop.create()
    assert (await page_of(shop, created["bkashURL"].replace("paymentId=", "paymentID="))).inputs == ["wallet"]


async def test_an_expired_payment_says_so(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create()
    clock.step(hours=25)
    page = await page_of(shop, created["bkashURL"])
    assert "expired" in page.text and not page.inputs
    answer = await shop.http.post(
        created["bkashURL"], data={"wallet": CUSTOMER["wallet"], "action": "Confirm"}
    )
    assert answer.status_code == 303 and answer.headers["location"].startswith("/?paymentId=")


async def test_a_form_without_an_action_or_too_long_does_nothing(shop: Shop) -> None:
    created = await shop.create()
    await shop.http.post(created["bkashURL"], data={"wallet": CUSTOMER["wallet"]})
    await shop.http.post(created["bkashURL"], data={"wallet": CUSTOMER["wallet"], "action": "confirm"})
    await shop.http.post(created["bkashURL"], content=b"&".join(b"a=%d" % index for index in range(50)))
    long = await shop.http.post(created["bkashURL"], content=b"x" * 10_000)
    assert long.status_code == 413
    assert (await page_of(shop, created["bkashURL"])).inputs == ["wallet"]


async def test_the_wallet_is_filled_in_from_the_payer_reference(shop: Shop) -> None:
    for reference, filled in (("01929918378", True), ("customer-1", False), ("01929918378 ", False)):
        text = (await shop.http.get((await shop.create(payerReference=reference))["bkashURL"])).text
        assert ('value="01929918378"' in text) == filled


async def test_the_first_page_names_payments_and_the_start_customer_and_endpoints(shop: Shop) -> None:
    assert "No payments yet" in (await shop.http.get("/")).text
    await shop.paid("1499", merchantInvoiceNumber="INV-8812")
    page = Page((await shop.http.get("/")).text)
    for words in ("INV-8812", "1,499.00", "Completed"):
        assert words in page.text
    assert "Sandbox: not real money" in page.text
    start = Page((await shop.http.get("/start")).text)
    for words in ("01770618575", "123456", "12121", "/v1.2.0-beta"):
        assert words in start.text
    assert (await shop.http.get("/favicon.ico")).status_code == 204

"""bKash's legacy checkout in the sandbox: dossier §6, over the same wallets, tokens and books."""

from typing import Any
from urllib.parse import urljoin

import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import CREDENTIALS, CUSTOMER, FakeClock, Page, Shop, submit

ROOT = "/v1.2.0-beta/checkout"


class Checkout:
    """A merchant's backend that speaks the legacy checkout, by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        own = {
            "Authorization": self.shop.token,
            "X-APP-Key": CREDENTIALS["app_key"],
            "Content-Type": "application/json",
        }
        given = {} if body is None else {"json": body}
        answer = await self.shop.http.request(method, f"{ROOT}/{path}", headers=own | headers, **given)
        return answer.status_code, answer.json()

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        status, found = await self.call(method, path, body, **headers)
        assert status == 200, found
        assert "statusCode" not in found
        return found

    async def create(self, amount: str = "100", headers: Any = None, **more: Any) -> dict[str, Any]:
        self.shop.invoices += 1
        body = {
            "amount": amount,
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": f"INV-{self.shop.invoices}",
        } | more
        sent = {key: value for key, value in body.items() if value is not None}
        return await self.ask("POST", "payment/create", sent, **(headers or {}))


@pytest.fixture
def checkout(shop: Shop) -> Checkout:
    return Checkout(shop)


async def test_a_payment_from_token_to_refund(shop: Shop, checkout: Checkout, clock: FakeClock) -> None:
    credentials = {"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]}
    keys = {"app_key": CREDENTIALS["app_key"], "app_secret": CREDENTIALS["app_secret"]}
    token = (await shop.http.post(f"{ROOT}/token/grant", headers=credentials, json=keys)).json()
    assert set(token) == {"id_token", "token_type", "expires_in", "refresh_token"}
    shop.token = token["id_token"]

    created = await checkout.create("100", merchantInvoiceNumber="INV-8812")
    payment_id = created["paymentID"]
    assert payment_id.startswith("CH0011") and created["transactionStatus"] == "Initiated"
    assert set(created) == {
        *("paymentID", "createTime", "orgLogo", "orgName", "transactionStatus", "amount", "currency"),
        *("intent", "merchantInvoiceNumber"),
    }
    assert created["createTime"] == "2026-01-31T12:00:00:000 GMT+0000"
    unpaid = await checkout.ask("GET", f"payment/query/{payment_id}")
    assert unpaid["transactionStatus"] == "Initiated" and "trxID" not in unpaid
    assert unpaid["updateTime"] == created["createTime"]
    clock.step(seconds=5)
    executed = await checkout.ask("POST", f"payment/execute/{payment_id}")
    assert set(executed) == {
        *("paymentID", "createTime", "updateTime", "trxID", "transactionStatus", "amount", "currency"),
        *("intent", "merchantInvoiceNumber"),
    }
    queried = await checkout.ask("GET", f"payment/query/{payment_id}")
    assert queried == executed | {"amount": "100.00", "refundAmount": "0.00"}  # §6: normalized in a query
    assert (executed["amount"], executed["transactionStatus"]) == ("100", "Completed")
    found = await checkout.ask("GET", f"payment/search/{executed['trxID']}")
    assert (found["trxID"], found["customerMsisdn"]) == (executed["trxID"], CUSTOMER["wallet"])
    book = await shop.book(payment_id)
    assert (book["captured"], book["invoice"], book["state"]) == ("100.00", "INV-8812", "Completed")

    named = {"paymentID": payment_id, "trxID": executed["trxID"]}
    assert "refundTrxID" not in await checkout.ask("POST", "payment/refund", named)
    wish = named | {"amount": "30.50", "sku": "s", "reason": "r"}
    refunded = await checkout.ask("POST", "payment/refund", wish)
    assert refunded["originalTrxID"] == executed["trxID"]
    assert (refunded["amount"], refunded["charge"], refunded["transactionStatus"]) == (
        "30.50",
        "0.00",
        "Completed",
    )
    assert await checkout.ask("POST", "payment/refund", named) == refunded
    queried = await checkout.ask("GET", f"payment/query/{payment_id}")
    assert queried["refundAmount"] == "30.50"
    back = await checkout.ask("GET", f"payment/search/{refunded['refundTrxID']}")
    assert (back["amount"], "Refund" in back["transactionType"]) == ("30.50", True)
    assert (await shop.book(payment_id))["refunded"] == "30.50"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "0.99"}, "2006"),
        ({"amount": None}, "2065"),
        ({"currency": "USD"}, "2007"),
        ({"intent": "gift"}, "2008"),
        ({"merchantInvoiceNumber": "a<b"}, "2031"),
        ({"merchantAssociationInfo": "MI99short"}, "2047"),
        ({"amount": {"value": 5}}, "2025"),
    ],
)
async def test_refusals_are_errorcode_in_http_200(
    shop: Shop, checkout: Checkout, changes: dict[str, Any], code: str
) -> None:
    amount = changes.get("amount", "100")
    answer = await checkout.create(amount, **{key: one for key, one in changes.items() if key != "amount"})
    assert set(answer) == {"errorCode", "errorMessage"} and answer["errorCode"] == code
    assert (await shop.books())["payments"] == []


@pytest.mark.parametrize("path", ["payment/query/x", "payment/search/x"])
async def test_a_get_without_content_type_is_turned_away(shop: Shop, path: str) -> None:
    headers = {"Authorization": shop.token, "X-APP-Key": CREDENTIALS["app_key"]}
    answer = await shop.http.get(f"{ROOT}/{path}", headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"message": "Missing required request parameters: [Content-Type]"}
    nobody = await shop.http.get(f"{ROOT}/{path}", headers={"X-APP-Key": CREDENTIALS["app_key"]})
    assert nobody.status_code == 401


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app_key": "unknown"}, "app key"),
        ({"app_secret": "wrong"}, "app key"),
        ({"password": "x"}, "username"),
    ],
)
async def test_a_token_is_refused_without_a_code(shop: Shop, changes: dict[str, str], words: str) -> None:
    known = CREDENTIALS | changes
    answer = await shop.http.post(
        f"{ROOT}/token/grant",
        headers={"username": known["username"], "password": known["password"]},
        json={"app_key": known["app_key"], "app_secret": known["app_secret"]},
    )
    assert answer.status_code == 200 and answer.json()["status"] == "fail"
    assert words in answer.json()["msg"]


async def test_a_token_is_renewed_without_a_code(shop: Shop) -> None:
    first = (await shop.grant()).json()
    headers = {"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]}
    keys = {"app_key": CREDENTIALS["app_key"], "app_secret": CREDENTIALS["app_secret"]}
    for token, name in ((first["refresh_token"], "id_token"), ("forged", "msg")):
        body = keys | {"refresh_token": token}
        answer = await shop.http.post(f"{ROOT}/token/refresh", headers=headers, json=body)
        assert name in answer.json() and "statusCode" not in answer.json()


async def test_an_amount_is_held_captured_and_given_back(shop: Shop, checkout: Checkout) -> None:
    ends = {}
    for amount, act in (("60", "capture"), ("61", "void")):
        payment_id = (await checkout.create(amount, intent="authorization"))["paymentID"]
        held = await checkout.ask("POST", f"payment/execute/{payment_id}")
        assert held["transactionStatus"] == "Authorized"
        done = await checkout.ask("POST", f"payment/{act}/{payment_id}")
        again = await checkout.ask("POST", f"payment/{act}/{payment_id}")
        assert again["errorCode"] == "2119"
        ends[act] = (done["transactionStatus"], (await shop.book(payment_id))["captured"])
    assert ends == {"capture": ("Completed", "60.00"), "void": ("Cancelled", "0.00")}
    assert await shop.balance() == "99999940.00"


async def test_execute_has_the_refusals_of_the_other_products(shop: Shop, checkout: Checkout) -> None:
    payment_id = (await checkout.create("40"))["paymentID"]
    await checkout.ask("POST", f"payment/execute/{payment_id}")
    again = await checkout.ask("POST", f"payment/execute/{payment_id}")
    assert again["errorCode"] == "2117" and again["errorMessage"]
    twin = (await checkout.create("40"))["paymentID"]
    assert (await checkout.ask("POST", f"payment/execute/{twin}"))["errorCode"] == "2029"
    assert (await checkout.ask("POST", "payment/execute/CH0011nothing"))["errorCode"] == "2002"
    assert (await checkout.ask("GET", "payment/query/CH0011nothing"))["errorCode"] == "2002"
    assert (await checkout.ask("GET", "payment/search/8XX0000000"))["errorCode"] == "2033"


async def test_another_products_payments_are_unknown_here(shop: Shop, checkout: Checkout) -> None:
    theirs, trx_id = await shop.paid("10")
    ours = (await checkout.create("20"))["paymentID"]
    assert (await checkout.ask("GET", f"payment/query/{theirs}"))["errorCode"] == "2002"
    assert (await shop.query(ours))["statusCode"] == "2002"
    assert (await shop.execute(ours))["statusCode"] == "2002"
    wish = {"paymentID": theirs, "trxID": trx_id, "amount": "1", "sku": "s", "reason": "r"}
    assert (await checkout.ask("POST", "payment/refund", wish))["errorCode"] == "2002"
    assert (await shop.refund_v2(ours, "x", "1")).json()["externalCode"] == "2002"
    assert (await shop.book(theirs))["refunded"] == "0.00"


async def test_what_the_payer_comes_to_can_be_ordered(shop: Shop, checkout: Checkout) -> None:
    order = {"gateway": "bkash", "operation": "page", "fault": "page_insufficient_balance"}
    await shop.http.post("/_sandbox/faults", json=order)
    payment_id = (await checkout.create())["paymentID"]
    assert (await checkout.ask("POST", f"payment/execute/{payment_id}"))["errorCode"] == "2023"
    assert (await checkout.ask("GET", f"payment/query/{payment_id}"))["transactionStatus"] == "Declined"


async def test_a_payer_can_be_left_to_confirm_or_to_leave(shop: Shop, checkout: Checkout) -> None:
    ends: list[tuple[str, str]] = []
    for outcome in ("success", "cancel", "failure"):
        order = {"gateway": "bkash", "operation": "create", "fault": "unconfirmed"}
        assert (await shop.http.post("/_sandbox/faults", json=order)).status_code == 200
        payment_id = (await checkout.create(f"1{len(ends)}"))["paymentID"]
        early = await checkout.ask("POST", f"payment/execute/{payment_id}")
        await shop.approve(payment_id, outcome)
        done = await checkout.ask("POST", f"payment/execute/{payment_id}")
        ends.append((early["errorCode"], done.get("transactionStatus") or done["errorCode"]))
    assert ends == [("2056", "Completed"), ("2056", "2056"), ("2056", "2056")]
    assert (await shop.create(X=1))["statusCode"] == "0000"  # tokenized, where a payer has a page of his own


async def test_a_payer_who_is_left_to_confirm_has_a_page_that_leads_nowhere(
    app: Starlette, shop: Shop, checkout: Checkout
) -> None:
    fault = {"X-Sandbox-Fault": "unconfirmed"}
    payment_id = (await checkout.create(headers=fault))["paymentID"]
    url = app.state.world.gateways["bkash"].page_url(payment_id, "http://127.0.0.1:28600")
    for _ in range(3):
        page = Page((await shop.http.get(url)).text)
        answer = await submit(shop.http, url, page)
        assert answer.status_code == 303
        url = urljoin(url, answer.headers["location"])
    ended = Page((await shop.http.get(url)).text)
    assert ended.links == [] and ended.inputs == []
    assert (await checkout.ask("POST", f"payment/execute/{payment_id}"))["trxID"]


async def test_nobody_is_led_anywhere(shop: Shop, checkout: Checkout) -> None:
    payment_id = (await checkout.create())["paymentID"]
    assert (await shop.approve(payment_id))["redirect"] is None
    found = (await shop.http.get(f"/_sandbox/payments/bkash/{payment_id}")).json()
    steps = [entry["detail"]["step"] for entry in found["timeline"] if entry["kind"] == "page"]
    assert steps == ["wallet", "otp", "pin"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
async def test_a_path_has_one_method(shop: Shop, method: str) -> None:
    answer = await shop.http.request(
        method, f"{ROOT}/payment/execute/x", headers={"Authorization": shop.token}
    )
    assert answer.status_code == 403


async def test_a_look_up_that_shows_nothing_is_no_look_up(shop: Shop, checkout: Checkout) -> None:
    payment_id = (await checkout.create())["paymentID"]
    headers = {"Authorization": shop.token, "X-APP-Key": CREDENTIALS["app_key"]}
    headers["Content-Type"] = "application/json"
    assert (await shop.http.get(f"{ROOT}/payment/query/{payment_id}", headers=headers)).status_code == 200
    answer = await shop.http.head(f"{ROOT}/payment/query/{payment_id}", headers=headers)
    assert answer.status_code == 403


async def test_a_lost_execute_is_told_by_the_query(shop: Shop, checkout: Checkout) -> None:
    payment_id = (await checkout.create())["paymentID"]
    fault = {"X-Sandbox-Fault": "error_5xx_after"}
    status, _ = await checkout.call("POST", f"payment/execute/{payment_id}", None, **fault)
    assert status == 504
    stale = await checkout.ask("GET", f"payment/query/{payment_id}", None, **{"X-Sandbox-Fault": "stale"})
    assert stale["transactionStatus"] == "Initiated" and "trxID" not in stale
    assert (await checkout.ask("GET", f"payment/query/{payment_id}"))["transactionStatus"] == "Completed"


async def test_a_body_that_is_sent_is_read(shop: Shop, checkout: Checkout) -> None:
    payment_id = (await checkout.create())["paymentID"]
    other = {"paymentID": "CH0011another"}  # what stands in the path is meant
    assert (await checkout.ask("POST", f"payment/execute/{payment_id}", other))["trxID"]
    assert (await checkout.ask("POST", f"payment/execute/{payment_id}", [1]))["errorCode"] == "2025"

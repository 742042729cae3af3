"""bKash's Tokenized v2 in the sandbox: the paths and the spelling of dossier §5, over v1's payments and tokens."""

from typing import Any

import httpx
import pytest

from tests.sandbox.shop import CREDENTIALS, CUSTOMER, FakeClock, Page, Shop, params, walk
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.bkash.records import Rules

ROOT = "/v2/tokenized-checkout"
CALLBACK = "http://127.0.0.1:9/return"


class V2:
    """A merchant's backend that speaks v2, by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def ask(self, path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
        answer = await self.shop.post(f"{ROOT}/{path}", body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        assert "statusCode" not in found and "statusMessage" not in found
        return found

    async def create(self, amount: str = "100", path: str = "payment/create", **more: Any) -> dict[str, Any]:
        self.shop.invoices += 1
        body = {
            "payerReference": "customer-1",
            "callbackURL": CALLBACK,
            "amount": amount,
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": f"INV-{self.shop.invoices}",
        }
        return await self.ask(path, {key: value for key, value in (body | more).items() if value is not None})

    async def agreement(self, reference: str = "customer-1") -> str:
        made = await self.ask("agreement/create", {"payerReference": reference, "callbackURL": CALLBACK})
        await self.shop.approve(made["agreementId"])
        done = await self.ask("agreement/execute", {"agreementId": made["agreementId"]})
        assert (done["agreementId"], done["agreementStatus"]) == (made["agreementId"], "Completed")
        return str(done["agreementId"])


@pytest.fixture
def v2(shop: Shop) -> V2:
    return V2(shop)


# ------------------------------------------------------------------------------------------------ payments


async def test_a_payment_from_create_to_completed(shop: Shop, v2: V2) -> None:
    created = await v2.create("15", subMerchantName="Corner Shop")
    payment_id = created["paymentId"]
    assert set(created) == {
        *("paymentId", "bkashURL", "callbackURL", "successCallbackURL", "failureCallbackURL"),
        *("cancelledCallbackURL", "amount", "intent", "currency", "paymentCreateTime", "transactionStatus"),
        *("merchantInvoiceNumber", "signature", "subMerchantName"),
    }
    assert created["bkashURL"].endswith("&mode=0011&apiVersion=v2/")
    assert params(created["successCallbackURL"]) == {
        "paymentID": [payment_id],  # a capital D here, and here alone
        "status": ["success"],
        "signature": [created["signature"]],
    }
    unpaid = await v2.ask("query/payment", {"paymentId": payment_id})
    assert (unpaid["verificationStatus"], unpaid["transactionStatus"]) == ("Incomplete", "Initiated")
    back = await walk(shop.http, created["bkashURL"])
    assert params(back) == params(created["successCallbackURL"])

    executed = await v2.ask("payment/execute", {"paymentId": payment_id})
    queried = await v2.ask("query/payment", {"paymentId": payment_id})

    assert set(executed) == {
        *("paymentId", "trxId", "transactionStatus", "amount", "currency", "intent", "paymentExecuteTime"),
        *("merchantInvoiceNumber", "subMerchantName", "payerType", "payerReference", "payerAccount"),
        "maxRefundableAmount",
    }
    assert executed["transactionStatus"] == queried["transactionStatus"] == "Completed"
    assert executed["trxId"] == queried["trxId"] and executed["payerAccount"] == CUSTOMER["wallet"]
    assert queried["verificationStatus"] == "Complete" and "merchantInvoice" not in queried
    assert (await shop.book(payment_id))["captured"] == "15.00"
    assert (
        await v2.ask("payment/status", {"paymentId": payment_id}) == queried
    )  # the other spelling of the path
    for path in ("search/transaction", "general/search-transaction"):
        found = await v2.ask(path, {"trxId": executed["trxId"]})
        assert (found["trxId"], found["amount"], found["transactionStatus"]) == (
            executed["trxId"],
            "15",
            "Completed",
        )


@pytest.mark.parametrize(
    ("changes", "code", "internal"),
    [
        ({"amount": "0.99"}, "2006", "invalid_amount"),
        ({"amount": "1,500"}, "2006", "invalid_amount"),
        ({"currency": "USD"}, "2007", "invalid_currency"),
        ({"intent": "gift"}, "2008", "invalid_intent"),
        ({"merchantInvoiceNumber": "A&B"}, "2031", "invalid_merchant_invoice_number"),
        ({"callbackURL": "/return"}, "2049", "invalid_callback_url"),
        ({"mode": "0000"}, "2063", "invalid_mode"),
        ({"agreementId": "something"}, "2063", "invalid_mode"),
    ],
)
async def test_refusals_are_400_with_two_codes(
    shop: Shop, changes: dict[str, Any], code: str, internal: str
) -> None:
    body = {
        "payerReference": "c",
        "callbackURL": CALLBACK,
        "amount": "100",
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": "INV-1",
    }
    answer = await shop.post(f"{ROOT}/payment/create", body | changes)
    found = answer.json()
    assert answer.status_code == 400
    assert (found["externalCode"], found["internalCode"]) == (code, internal)
    assert found["errorMessageEn"] and set(found) == {
        *("internalCode", "externalCode", "errorMessageEn", "errorMessageBn")
    }
    assert (await shop.books())["payments"] == []


@pytest.mark.parametrize(
    "missing", ["payerReference", "callbackURL", "amount", "currency", "intent", "merchantInvoiceNumber"]
)
async def test_what_lacks_a_field_is_turned_away_at_the_door(shop: Shop, missing: str) -> None:
    body = {
        "payerReference": "c",
        "callbackURL": CALLBACK,
        "amount": "100",
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": "INV-1",
    }
    del body[missing]
    answer = await shop.post(f"{ROOT}/payment/create", body)
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid request body"})
    answer = await shop.http.post(
        f"{ROOT}/payment/create",
        content=b"[1]",
        headers={"Authorization": shop.token, "X-APP-Key": CREDENTIALS["app_key"]},
    )
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid request body"})


async def test_the_mode_that_would_be_right_is_tolerated(v2: V2) -> None:
    assert (await v2.create(mode="0011"))["paymentId"]


@pytest.mark.parametrize(
    ("wallet", "code"), [("01823074817", "2023"), ("01823074818", "2037"), (None, "2029")]
)
async def test_what_a_payer_is_to_be_told_comes_in_both_languages(
    shop: Shop, v2: V2, wallet: str | None, code: str
) -> None:
    await shop.paid("100")  # through v1: the same wallet and amount is a duplicate on v2 too
    made = await v2.create("100")
    await shop.approve(made["paymentId"], wallet=wallet)
    refused = await v2.ask("payment/execute", {"paymentId": made["paymentId"]}, 400)
    assert refused["externalCode"] == code
    assert refused["errorMessageEn"].isascii() and not refused["errorMessageBn"].isascii()
    assert (await shop.book(made["paymentId"]))["captured"] == "0.00"


async def test_execute_has_the_refusals_of_v1(shop: Shop, v2: V2) -> None:
    made = await v2.create()
    body = {"paymentId": made["paymentId"]}
    assert (await v2.ask("payment/execute", body, 400))["internalCode"] == "invalid_payment_state"
    await shop.approve(made["paymentId"])
    await v2.ask("payment/execute", body)
    assert (await v2.ask("payment/execute", body, 400))["externalCode"] == "2117"
    await v2.ask("query/payment", body)
    again = await v2.ask("payment/execute", body, 400)
    assert (again["externalCode"], again["internalCode"]) == ("2062", "payment_already_completed")
    unknown = {"paymentId": "TR0011nothing1766000000123"}
    assert (await v2.ask("payment/execute", unknown, 400))["externalCode"] == "2002"
    assert (await shop.book(made["paymentId"]))["captured"] == "100.00"


# -------------------------------------------------------------------------------- one bKash behind v1 and v2


async def test_a_token_of_v1_opens_v2_and_the_other_way_round(shop: Shop, v2: V2) -> None:
    assert (await v2.create())["paymentId"]  # the shop's token was granted by v1
    granted = await shop.http.post(
        f"{ROOT}/auth/grant-token",
        headers={"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]},
        json={"app_key": CREDENTIALS["app_key"], "app_secret": CREDENTIALS["app_secret"]},
    )
    assert (granted.status_code, granted.json()["statusCode"]) == (200, "0000")
    shop.token = granted.json()["id_token"]
    assert (await shop.create())["paymentID"]
    renewed = await shop.http.post(
        f"{ROOT}/auth/refresh-token",
        headers={"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]},
        json={
            "app_key": CREDENTIALS["app_key"],
            "app_secret": CREDENTIALS["app_secret"],
            "refresh_token": granted.json()["refresh_token"],
        },
    )
    shop.token = renewed.json()["id_token"]
    assert (await v2.create())["paymentId"]
    grants = (await shop.http.get("/_sandbox/grants")).json()["grants"]
    assert [one["over_budget"] for one in grants] == [False, False, True]  # one budget for both


async def test_a_wrong_key_is_refused_in_the_words_of_v2(shop: Shop) -> None:
    answer = await shop.http.post(
        f"{ROOT}/auth/grant-token",
        headers={"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]},
        json={"app_key": "unknown", "app_secret": "unknown"},
    )
    assert (answer.status_code, answer.json()["externalCode"]) == (400, "2001")


async def test_a_payment_is_the_same_through_either(shop: Shop, v2: V2) -> None:
    theirs, ours = await v2.create("10"), await shop.create("20")
    await shop.approve(theirs["paymentId"])
    await shop.approve(ours["paymentID"])
    first = await shop.execute(theirs["paymentId"])
    second = await v2.ask("payment/execute", {"paymentId": ours["paymentID"]})
    assert first["transactionStatus"] == second["transactionStatus"] == "Completed"
    assert (await v2.ask("query/payment", {"paymentId": theirs["paymentId"]}))["trxId"] == first["trxID"]
    assert (await shop.query(ours["paymentID"]))["trxID"] == second["trxId"]
    refunded = await shop.refund_v2(theirs["paymentId"], first["trxID"], "4")
    listed = await v2.ask(
        "refund/payment/status", {"paymentId": theirs["paymentId"], "trxId": first["trxID"]}
    )
    assert listed["refundTransactions"][0]["refundTrxId"] == refunded.json()["refundTrxId"]


async def test_v2_has_no_capture_and_no_get(shop: Shop) -> None:
    for path in ("payment/confirm/capture", "payment/confirm/void", "refund"):
        answer = await shop.post(f"{ROOT}/{path}", {"paymentId": "x"})
        assert answer.status_code == 403 and "Credential" in answer.json()["message"]
    answer = await shop.http.get(f"{ROOT}/query/payment", headers={"Authorization": shop.token})
    assert answer.status_code == 403


# ---------------------------------------------------------------------------------------------- agreements


async def test_an_agreement_goes_by_its_own_id_from_the_start(shop: Shop, v2: V2) -> None:
    made = await v2.ask("agreement/create", {"payerReference": "customer-1", "callbackURL": CALLBACK})
    body = {"agreementId": made["agreementId"]}
    assert "paymentId" not in made and "amount" not in made
    assert made["agreementStatus"] == "Initiated" and made["bkashURL"].endswith("&mode=0000&apiVersion=v2/")
    waiting = await v2.ask("query/agreement", body)
    assert (waiting["agreementStatus"], waiting["verificationStatus"]) == ("Initiated", "Incomplete")
    assert (await v2.ask("agreement/execute", body, 400))["externalCode"] == "2054"
    assert (await v2.ask("agreement/cancel", body, 400))["externalCode"] == "2052"
    assert "agree" in Page((await shop.http.get(made["bkashURL"])).text).text.lower()
    back = params(await walk(shop.http, made["bkashURL"]))
    assert back == {
        "agreementID": [made["agreementId"]],
        "status": ["success"],
        "signature": [made["signature"]],
    }
    assert (await v2.ask("query/agreement", body))["verificationStatus"] == "Complete"

    done = await v2.ask("agreement/execute", body)
    assert done["agreementStatus"] == "Completed" and done["payerAccount"] == CUSTOMER["wallet"]
    assert await v2.ask("query/agreement", body) == done
    assert (await v2.ask("agreement/execute", body, 400))["externalCode"] == "2116"
    ended = await v2.ask("agreement/cancel", body)
    assert ended["agreementStatus"] == "Cancelled" and ended["agreementVoidTime"]
    assert (await v2.ask("agreement/cancel", body, 400))["externalCode"] == "2053"
    assert (await shop.books())["payments"] == []


async def test_a_payment_under_an_agreement_has_paths_of_its_own(shop: Shop, v2: V2) -> None:
    agreement_id = await v2.agreement()
    made = await v2.create("70", "payment-with-agreement/create", agreementId=agreement_id)
    assert made["agreementId"] == agreement_id and "&mode=0001&" in made["bkashURL"]
    await walk(shop.http, made["bkashURL"])  # the PIN alone
    body = {"paymentId": made["paymentId"]}
    assert (await v2.ask("payment/execute", body, 400))["externalCode"] == "2063"
    other = body | {"agreementId": "another"}
    assert (await v2.ask("payment-with-agreement/execute", other, 400))["externalCode"] == "2051"
    paid = await v2.ask("payment-with-agreement/execute", body | {"agreementId": agreement_id})
    assert (paid["agreementId"], paid["transactionStatus"]) == (agreement_id, "Completed")
    assert (await shop.book(made["paymentId"]))["captured"] == "70.00"
    plain = await v2.create("80")
    await shop.approve(plain["paymentId"])
    refused = await v2.ask("payment-with-agreement/execute", {"paymentId": plain["paymentId"]}, 400)
    assert refused["externalCode"] == "2063"
    assert (await shop.book(plain["paymentId"]))["captured"] == "0.00"


async def test_an_agreement_is_no_payment_and_the_other_way_round(shop: Shop, v2: V2) -> None:
    agreement_id, payment_id = await v2.agreement(), await shop.approved()
    made = await shop.ask("create", {"mode": "0000", "payerReference": "c", "callbackURL": CALLBACK})
    await shop.approve(made["paymentID"])
    for path in ("payment/execute", "query/payment"):
        assert (await v2.ask(path, {"paymentId": agreement_id}, 400))["externalCode"] == "2002"
    for path in ("agreement/execute", "query/agreement", "agreement/cancel"):
        assert (await v2.ask(path, {"agreementId": payment_id}, 400))["externalCode"] == "2051"
        for other in (made["paymentID"], "unknown"):
            assert (await v2.ask(path, {"agreementId": other}, 400))["externalCode"] == "2051"
        answer = await shop.post(f"{ROOT}/{path}", {"paymentId": agreement_id})
        assert answer.json() == {"message": "Invalid request body"}
    assert (await shop.book(payment_id))["captured"] == "0.00"


async def test_an_agreement_of_v1_pays_on_v2_and_is_ended_there(shop: Shop, v2: V2) -> None:
    made = await shop.ask("create", {"mode": "0000", "payerReference": "c", "callbackURL": CALLBACK})
    await shop.approve(made["paymentID"])
    agreement_id = (await shop.execute(made["paymentID"]))["agreementID"]
    assert (await v2.ask("agreement/execute", {"agreementId": agreement_id}, 400))["externalCode"] == "2116"
    paid = await v2.create("70", "payment-with-agreement/create", agreementId=agreement_id)
    await shop.approve(paid["paymentId"])
    await v2.ask("payment-with-agreement/execute", {"paymentId": paid["paymentId"]})
    await v2.ask("agreement/cancel", {"agreementId": agreement_id})
    again = await shop.ask("agreement/status", {"agreementID": agreement_id})
    assert again["agreementStatus"] == "Cancelled"


async def test_another_agreement_of_the_same_payer_is_refused(shop: Shop, v2: V2) -> None:
    await v2.agreement()
    made = await v2.ask("agreement/create", {"payerReference": "customer-1", "callbackURL": CALLBACK})
    await shop.approve(made["agreementId"])
    refused = await v2.ask("agreement/execute", {"agreementId": made["agreementId"]}, 400)
    assert refused["externalCode"] == "2050"


async def test_who_ended_an_agreement_can_make_another(shop: Shop, v2: V2) -> None:
    first = await v2.agreement()
    await v2.ask("agreement/cancel", {"agreementId": first})
    assert await v2.agreement() != first


async def test_an_agreement_expires_in_the_making(shop: Shop, v2: V2, clock: FakeClock) -> None:
    made = await v2.ask("agreement/create", {"payerReference": "customer-1", "callbackURL": CALLBACK})
    clock.step(hours=24, milliseconds=1)
    await shop.open()
    waiting = await v2.ask("query/agreement", {"agreementId": made["agreementId"]})
    assert waiting["agreementStatus"] == "Expired"


# -------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("operation", "path", "body"),
    [
        ("create", "payment/create", {}),
        ("create", "agreement/create", {}),
        ("execute", "payment/execute", {"paymentId": "x"}),
        ("execute", "agreement/execute", {"agreementId": "x"}),
        ("execute", "payment-with-agreement/execute", {"paymentId": "x"}),
        ("query", "query/payment", {"paymentId": "x"}),
        ("query", "payment/status", {"paymentId": "x"}),
        ("agreement_status", "query/agreement", {"agreementId": "x"}),
        ("agreement_cancel", "agreement/cancel", {"agreementId": "x"}),
        ("search", "search/transaction", {"trxId": "x"}),
        ("refund", "refund/payment/transaction", {"paymentId": "x", "trxId": "y"}),
        ("refund_status", "refund/payment/status", {"paymentId": "x", "trxId": "y"}),
        ("grant", "auth/grant-token", {}),
        ("refresh", "auth/refresh-token", {}),
    ],
)
async def test_the_dial_strikes_v2_under_the_names_of_v1(
    shop: Shop, operation: str, path: str, body: dict[str, str]
) -> None:
    order = {"gateway": "bkash", "operation": operation, "fault": "code_before;code=2003"}
    assert (await shop.http.post("/_sandbox/faults", json=order)).status_code == 200
    answer = await shop.post(f"{ROOT}/{path}", body)
    assert (answer.status_code, answer.json()["externalCode"]) == (400, "2003")
    assert (await shop.wire())[-1]["operation"] == operation


async def test_a_lost_execute_on_v2_is_told_by_the_query(shop: Shop, v2: V2) -> None:
    made = await v2.create()
    await shop.approve(made["paymentId"])
    body = {"paymentId": made["paymentId"]}
    lost = await shop.post(f"{ROOT}/payment/execute", body, {"X-Sandbox-Fault": "error_5xx_after"})
    assert lost.status_code == 504
    stale = await shop.post(f"{ROOT}/query/payment", body, {"X-Sandbox-Fault": "stale"})
    assert stale.json()["transactionStatus"] == "Initiated" and "trxId" not in stale.json()
    assert (await v2.ask("query/payment", body))["transactionStatus"] == "Completed"
    notes = (await shop.http.get("/_sandbox/grants")).json()
    assert notes["manners"] == []  # it was asked for a good reason


async def test_the_manners_are_those_of_v1(shop: Shop, v2: V2) -> None:
    made = await v2.create()
    await shop.approve(made["paymentId"])
    body = {"paymentId": made["paymentId"]}
    await v2.ask("payment/execute", body)
    await v2.ask("query/payment", body)
    notes = (await shop.http.get("/_sandbox/grants")).json()["manners"]
    assert [one["code"] for one in notes] == ["query_after_answer"]


async def test_the_page_may_be_cancelled(shop: Shop, v2: V2) -> None:
    made = await v2.create()
    cancelled = await shop.approve(made["paymentId"], "cancel")
    assert params(cancelled["redirect"])["status"] == ["cancel"]
    assert "apiVersion" not in params(cancelled["redirect"])
    refused = await v2.ask("payment/execute", {"paymentId": made["paymentId"]}, 400)
    assert refused["externalCode"] == "2056"


async def test_an_older_house_behind_v2_refuses_in_the_words_of_v1(clock: FakeClock) -> None:
    app = create_app(clock=clock, bkash=Rules(v2_refusals="v1"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        answer = await shop.post(f"{ROOT}/payment/execute", {"paymentId": "TR0011nothing"})
        assert (answer.status_code, answer.json()["statusCode"]) == (200, "2002")


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_payment_under_an_agreement_may_have_no_page(clock: FakeClock, version: str) -> None:
    app = create_app(clock=clock, bkash=Rules(charge_page=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        v2 = V2(shop)
        agreement_id = await v2.agreement()
        if version == "v1":
            made = await shop.create("70", mode="0001", agreementID=agreement_id)
            done = await shop.execute(made["paymentID"])
        else:
            made = await v2.create("70", "payment-with-agreement/create", agreementId=agreement_id)
            done = await v2.ask("payment-with-agreement/execute", {"paymentId": made["paymentId"]})
        assert "bkashURL" not in made and done["transactionStatus"] == "Completed"
        assert "bkashURL" in await v2.create("80")

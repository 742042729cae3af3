"""What released clients send and insist on reading, replayed from their own request shapes.

Taken from the sources of pybkash 0.4.2 and bkash-pgw-tokenized 1.0.0 for Tokenized v1.2.0-beta, of bkash_client 0.2.6
(Python) and bkash-payment-gateway 2.0.1 (Node) for the legacy checkout and payouts; all of them were also run
unmodified (base URL only) against the sandbox. pybkash reads its fields with ``answer["..."]``: each one listed here is
needed, and it subtracts from ``expires_in``, which therefore has to be an integer. bkash_client validates its answers:
each field that it has no default for is listed.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.shop import CREDENTIALS, V1, Shop, walk

GOLDEN = Path(__file__).parents[1] / "gateways" / "bkash" / "golden"
ENVELOPE = {"statusCode", "statusMessage"}
CREATED = (
    ENVELOPE
    | {"paymentID", "bkashURL", "callbackURL", "successCallbackURL", "failureCallbackURL"}
    | {"cancelledCallbackURL"}
)
PYBKASH = {
    "create_payment": CREATED,
    "create_agreement": CREATED | {"payerReference", "agreementStatus", "agreementCreateTime"},
    "execute_payment": ENVELOPE
    | {"paymentID", "payerReference", "customerMsisdn", "trxID", "amount", "transactionStatus"}
    | {"paymentExecuteTime", "currency", "intent", "merchantInvoiceNumber"},
    "execute_agreement": ENVELOPE
    | {
        "paymentID",
        "agreementID",
        "payerReference",
        "customerMsisdn",
        "agreementExecuteTime",
        "agreementStatus",
    },
    "query_payment": ENVELOPE
    | {"paymentID", "payerReference", "mode", "paymentCreateTime", "amount", "currency", "intent"}
    | {"merchantInvoice", "transactionStatus", "verificationStatus"},
    "query_agreement": ENVELOPE
    | {"paymentID", "agreementID", "payerReference", "payerAccount", "payerType", "agreementStatus"}
    | {"agreementCreateTime", "agreementExecuteTime", "mode", "verificationStatus"},
    "refund": ENVELOPE
    | {"originalTrxID", "refundTrxID", "transactionStatus", "amount", "currency", "completedTime"},
    "search": ENVELOPE
    | {"trxID", "initiationTime", "completedTime", "transactionType", "customerMsisdn", "payerAccount"}
    | {"transactionStatus", "amount", "currency", "organizationShortCode"},
    "cancel_agreement": ENVELOPE
    | {"paymentID", "agreementID", "payerReference", "agreementVoidTime", "agreementStatus"},
}


def check(call: str, answer: dict[str, Any]) -> dict[str, Any]:
    assert answer["statusCode"] == "0000"
    missing = PYBKASH[call] - answer.keys()
    assert not missing
    return answer


async def test_pybkash_pays_queries_searches_and_refunds(shop: Shop) -> None:
    """Amounts as JSON numbers, lower-case ``authorization``, the invoice "0000" again and again."""
    granted = (await shop.grant()).json()
    assert isinstance(granted["expires_in"], int)
    shop.headers = {"authorization": granted["id_token"], "X-APP-Key": CREDENTIALS["app_key"]}
    wish = {
        "mode": "0011",
        "payerReference": "customer",
        "callbackURL": "http://127.0.0.1:9/return",
        "amount": 100.5,
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": "0000",
    }
    for amount in (100.5, 55):
        created = check("create_payment", await shop.ask("create", wish | {"amount": amount}))
        await walk(shop.http, created["bkashURL"])
        body = {"paymentID": created["paymentID"]}
        check("query_payment", await shop.ask("payment/status", body))
        executed = check("execute_payment", await shop.ask("execute", body))
        check("query_payment", await shop.ask("payment/status", body))
        check("search", await shop.ask("general/searchTransaction", {"trxID": executed["trxID"]}))
        refunded = check("refund", await shop.refund(created["paymentID"], executed["trxID"], "10.25"))
        check("search", await shop.ask("general/searchTransaction", {"trxID": refunded["refundTrxID"]}))
        assert (await shop.book(created["paymentID"]))["refunded"] == "10.25"


async def test_pybkash_makes_uses_and_cancels_an_agreement(shop: Shop) -> None:
    wish = {"mode": "0000", "callbackURL": "http://127.0.0.1:9/return", "payerReference": "01770618575"}
    created = check("create_agreement", await shop.ask("create", wish))
    await walk(shop.http, created["bkashURL"])
    executed = check("execute_agreement", await shop.ask("execute", {"paymentID": created["paymentID"]}))
    check("query_agreement", await shop.ask("payment/status", {"paymentID": created["paymentID"]}))
    body = {"agreementID": executed["agreementID"]}
    check("cancel_agreement", await shop.ask("agreement/cancel", body))


async def test_bkash_pgw_tokenized_grants_pays_refreshes_and_refunds(shop: Shop) -> None:
    """It asks for ``statusCode`` and ``id_token`` on both token calls, and joins base URL and path by one slash."""
    granted = (await shop.grant()).json()
    assert granted["statusCode"] == "0000" and granted["id_token"] and int(str(granted["expires_in"])) == 3600
    headers = {
        "Accept": "application/json",
        "username": CREDENTIALS["username"],
        "password": CREDENTIALS["password"],
    }
    body = {key: CREDENTIALS[key] for key in ("app_key", "app_secret")}
    refreshed = await shop.http.post(
        f"{V1}/tokenized/checkout/token/refresh",
        headers=headers,
        json={**body, "refresh_token": granted["refresh_token"]},
    )
    shop.token = refreshed.json()["id_token"]
    created = await shop.create(
        "77.00", payerReference="INV-001", callbackURL="http://127.0.0.1:9/cb?origin=x"
    )
    assert "origin=x&paymentID=" in await walk(shop.http, created["bkashURL"])
    executed = await shop.execute(created["paymentID"])
    status = await shop.query(created["paymentID"])
    for answer in (executed, status):
        assert (answer["statusCode"], answer["statusMessage"]) == ("0000", "Successful")
        assert answer["transactionStatus"] == "Completed"
    assert (await shop.refund(created["paymentID"], executed["trxID"], "77.00"))["statusCode"] == "0000"


@pytest.mark.parametrize(
    "name",
    [
        "grant",
        "create_0011",
        "create_0000",
        "create_0001",
        "execute_sale",
        "execute_sale_newer",
        "execute_agreement",
    ]
    + ["query_completed", "query_documented_names", "query_initiated", "query_agreement", "agreement_status"]
    + ["agreement_cancel", "search", "capture", "refund_v1", "refund_status_v1_none", "refund_v2"]
    + ["refund_status_v2", "refund_status_v2_none"],
)
async def test_every_field_of_the_dossiers_answers_is_answered(shop: Shop, name: str) -> None:
    """The golden files are transcribed from the dossier: they catch what the sandbox and the SDK both forget."""
    wanted = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["body"]
    given = (await answers(shop))[name]
    assert not wanted.keys() - given.keys()
    for key, value in wanted.items():
        assert type(given[key]) is type(value), key


async def answers(shop: Shop) -> dict[str, dict[str, Any]]:
    """One answer of each kind."""
    found: dict[str, dict[str, Any]] = {"grant": (await shop.grant()).json()}
    wish = {"mode": "0000", "callbackURL": "http://127.0.0.1:9/return", "payerReference": "01770618575"}
    found["create_0000"] = await shop.ask("create", wish)
    consent = {"paymentID": found["create_0000"]["paymentID"]}
    await shop.approve(consent["paymentID"])
    found["execute_agreement"] = await shop.ask("execute", consent)
    found["query_agreement"] = await shop.ask("payment/status", consent)
    agreement = {"agreementID": found["execute_agreement"]["agreementID"]}
    found["agreement_status"] = await shop.ask("agreement/status", agreement)
    found["create_0001"] = await shop.create("10", mode="0001", **agreement)
    found["agreement_cancel"] = await shop.ask("agreement/cancel", agreement)
    found["create_0011"] = await shop.create("100")
    payment_id = found["create_0011"]["paymentID"]
    found["query_initiated"] = await shop.query(payment_id)
    await shop.approve(payment_id)
    found["execute_sale"] = found["execute_sale_newer"] = await shop.execute(payment_id)
    found["query_completed"] = found["query_documented_names"] = await shop.query(payment_id)
    trx_id = found["execute_sale"]["trxID"]
    found["search"] = await shop.ask("general/searchTransaction", {"trxID": trx_id})
    ids = {"paymentId": payment_id, "trxId": trx_id}
    found["refund_status_v1_none"] = await shop.ask("payment/refund", ids)
    status = "/v2/tokenized-checkout/refund/payment/status"
    found["refund_status_v2_none"] = await shop.ask(status, ids)
    found["refund_v1"] = await shop.refund(payment_id, trx_id, "5.00")
    found["refund_v2"] = (await shop.refund_v2(payment_id, trx_id, "5.00")).json()
    found["refund_status_v2"] = await shop.ask(status, ids)
    held = await shop.approved("20", intent="authorization")
    await shop.execute(held)
    found["capture"] = await shop.ask("payment/confirm/capture", {"paymentID": held})
    return found


# ------------------------------------------------------------------------------ the legacy checkout and payouts

LEGACY = "/v1.2.0-beta/checkout"
PAID = {
    "paymentID",
    "amount",
    "currency",
    "intent",
    "createTime",
    "transactionStatus",
    "merchantInvoiceNumber",
}
BKASH_CLIENT = {
    "grant": {"expires_in", "id_token", "refresh_token", "token_type"},
    "create": PAID | {"orgLogo", "orgName"},
    "execute": PAID | {"updateTime", "trxID"},
    "query": PAID | {"updateTime", "refundAmount"},  # of a payment that is not made yet as well
    "search": {"amount", "completedTime", "currency", "customerMsisdn", "initiationTime"}
    | {"organizationShortCode", "transactionStatus", "transactionType", "trxID"},
    "refund": {"completedTime", "originalTrxID", "refundTrxID", "transactionStatus", "amount", "currency"},
    "b2c": {"completedTime", "trxID", "transactionStatus", "amount", "currency", "merchantInvoiceNumber"}
    | {"receiverMSISDN", "b2cFee"},
    "account": {"accountHolderName", "accountStatus", "accountTypeName", "availableBalance", "currency"}
    | {"currentBalance", "updateTime"},
    "transfer": {"amount", "completedTime", "currency", "transactionStatus", "transferType", "trxID"},
}


async def test_bkash_client_pays_and_pays_out_through_the_legacy_checkout(shop: Shop) -> None:
    """Amounts as JSON numbers; a POST without a body, with the content type of JSON all the same."""

    async def call(method: str, path: str, name: str, body: Any = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body)
        answer = await shop.http.request(method, f"{LEGACY}/{path}", headers=headers, content=content)
        found: dict[str, Any] = answer.json()
        missing = BKASH_CLIENT[name] - found.keys()
        assert not missing, (path, found)
        return found

    headers = {"username": CREDENTIALS["username"], "password": CREDENTIALS["password"]}
    keys = {"app_key": CREDENTIALS["app_key"], "app_secret": CREDENTIALS["app_secret"]}
    token = await call("POST", "token/grant", "grant", keys)
    headers = {"Authorization": token["id_token"], "X-App-Key": CREDENTIALS["app_key"]}
    headers |= {"Content-Type": "application/json", "Accept": "application/json"}
    wish = {"amount": 100.5, "currency": "BDT", "intent": "sale", "merchantInvoiceNumber": "PEER-1"}
    payment_id = (await call("POST", "payment/create", "create", wish))["paymentID"]
    await call("GET", f"payment/query/{payment_id}", "query")
    trx_id = (await call("POST", f"payment/execute/{payment_id}", "execute"))["trxID"]
    await call("GET", f"payment/query/{payment_id}", "query")
    found = await call("GET", f"payment/search/{trx_id}", "search")
    assert found["transactionType"] == "bKash Checkout via API"  # the one word of an enum of its own
    named = {"paymentID": payment_id, "trxID": trx_id}
    await call("POST", "payment/refund", "refund", {**named, "amount": 20, "sku": "s", "reason": "r"})
    await call("POST", "payment/refund", "refund", named)
    out = {"amount": 500, "currency": "BDT", "merchantInvoiceNumber": "O1", "receiverMSISDN": "01929918378"}
    await call("POST", "payment/b2cPayment", "b2c", out)
    answer = await shop.http.get(f"{LEGACY}/payment/organizationBalance", headers=headers)
    assert all(not BKASH_CLIENT["account"] - one.keys() for one in answer.json()["organizationBalance"])
    move = {"amount": 5, "currency": "BDT", "transferType": "Disbursement2Collection"}
    await call("POST", "payment/intraAccountTransfer", "transfer", move)


async def test_the_node_client_reads_refusals_of_the_legacy_checkout(shop: Shop) -> None:
    """Lower-case ``authorization``; an answer with ``errorCode`` and ``errorMessage`` is thrown."""
    token = (await shop.grant()).json()["id_token"]
    headers = {
        "authorization": token,
        "x-app-key": CREDENTIALS["app_key"],
        "content-type": "application/json",
    }
    answer = await shop.http.post(f"{LEGACY}/payment/execute/CH0011nothing", headers=headers)
    assert set(answer.json()) == {"errorCode", "errorMessage"}

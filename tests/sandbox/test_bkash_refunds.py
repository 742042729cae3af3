"""Refunds on both routes: never more than was taken, at most ten, within sixty days."""

import asyncio
from typing import Any

import pytest

from tests.sandbox.shop import V2_REFUND, V2_REFUND_STATUS, FakeClock, Shop


async def test_partial_refunds_on_the_v1_route(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    before = await shop.post("payment/refund", {"paymentID": payment_id, "trxID": trx_id})
    assert before.status_code == 200
    assert before.json()["statusCode"] == "0000" and "refundTrxID" not in before.json()

    first = await shop.refund(payment_id, trx_id, "30.50")
    second = await shop.refund(payment_id, trx_id, 69.5)

    assert first["transactionStatus"] == "Completed" and first["originalTrxID"] == trx_id
    assert (first["amount"], first["charge"], first["currency"]) == ("30.50", "0.00", "BDT")
    assert first["refundTrxID"] != second["refundTrxID"]
    status = await shop.ask("payment/refund", {"paymentID": payment_id, "trxID": trx_id})
    assert status["refundTrxID"] == second["refundTrxID"]
    assert (await shop.book(payment_id))["refunded"] == "100.00"
    assert await shop.balance() == "100000000.00"
    assert (await shop.refund(payment_id, trx_id, "1"))["statusCode"] == "2034"
    operations = [call["operation"] for call in await shop.wire()]
    assert operations.count("refund_status") == 2 and operations.count("refund") == 3


@pytest.mark.parametrize("empty", [None, "", {}])
async def test_a_v1_call_without_an_amount_is_only_a_look_up(shop: Shop, empty: Any) -> None:
    payment_id, trx_id = await shop.paid("100")
    body = {"paymentID": payment_id, "trxID": trx_id, "sku": "s", "reason": "r"}
    if empty is not None:
        body["amount"] = empty
    await shop.post("payment/refund", body)
    assert (await shop.book(payment_id))["refunded"] == "0.00"


async def test_partial_refunds_on_the_v2_route(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    ids = {"paymentId": payment_id, "trxId": trx_id}
    none_yet = (await shop.post(V2_REFUND_STATUS, ids)).json()
    assert none_yet["originalTrxId"] == trx_id and "refundTransactions" not in none_yet

    answer = await shop.refund_v2(payment_id, trx_id, "30")
    assert answer.status_code == 200 and "statusCode" not in answer.json()
    assert answer.json()["refundTransactionStatus"] == "Completed"
    assert (answer.json()["refundAmount"], answer.json()["originalTrxAmount"]) == ("30", "100")
    await shop.refund_v2(payment_id, trx_id, "20.25")

    listed = (await shop.post(V2_REFUND_STATUS, ids)).json()["refundTransactions"]
    assert [entry["refundAmount"] for entry in listed] == ["30", "20.25"]
    assert listed[0]["refundTrxId"] == answer.json()["refundTrxId"]
    assert listed[0]["completedTime"] == "2026-01-31T18:00:00:000"  # no zone in the list
    assert (await shop.book(payment_id))["refunded"] == "50.25"


@pytest.mark.parametrize(
    ("changes", "v1_code", "v2_code"),
    [
        ({"amount": "100.01"}, "2026", "2072"),
        ({"amount": "60.01"}, "2072", "2072"),
        ({"amount": "0"}, "2072", "2072"),
        ({"amount": "-1"}, "2072", "2072"),
        ({"amount": "1.001"}, "2072", "2072"),
        ({"amount": "1,5"}, "2072", "2072"),
        ({"sku": "x" * 256}, "2075", "2075"),
        ({"reason": "x" * 256}, "2076", "2076"),
        ({"trx": "CLH0000000"}, "2077", "2077"),
        ({"payment": "TR0011nothing1766000000123"}, "2002", "2002"),
    ],
)
async def test_a_wrong_refund_is_refused_and_moves_nothing(
    shop: Shop, changes: dict[str, str], v1_code: str, v2_code: str
) -> None:
    payment_id, trx_id = await shop.paid("100")
    await shop.refund(payment_id, trx_id, "40")
    wish = {"payment": payment_id, "trx": trx_id, "amount": "5"} | changes
    more = {key: value for key, value in changes.items() if key in ("sku", "reason")}
    v1 = await shop.refund(wish["payment"], wish["trx"], wish["amount"], **more)
    v2 = await shop.refund_v2(wish["payment"], wish["trx"], wish["amount"], **more)
    assert v1["statusCode"] == v1_code
    assert v2.status_code == 400
    assert v2.json()["externalCode"] == v2_code
    assert v2.json()["internalCode"] and v2.json()["errorMessageEn"] and v2.json()["errorMessageBn"] is None
    assert (await shop.book(payment_id))["refunded"] == "40.00"


@pytest.mark.parametrize("missing", ["paymentId", "trxId", "refundAmount", "sku", "reason"])
async def test_v2_wants_every_field(shop: Shop, missing: str) -> None:
    payment_id, trx_id = await shop.paid("100")
    answer = await shop.refund_v2(payment_id, trx_id, "5", **{missing: None})
    assert (answer.status_code, answer.json()) == (400, {"message": "Invalid request body"})
    assert (await shop.refund(payment_id, trx_id, "5", sku=""))["statusCode"] == "2073"
    assert (await shop.refund(payment_id, trx_id, "5", reason=""))["statusCode"] == "2078"
    broken = await shop.http.post(
        V2_REFUND, content=b"{", headers={"Authorization": shop.token, "X-App-Key": "x"}
    )
    assert broken.status_code == 403  # the front door comes first


async def test_ten_refunds_and_no_more(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    for _ in range(10):
        assert "refundTrxID" in await shop.refund(payment_id, trx_id, "1")
    assert (await shop.refund(payment_id, trx_id, "1"))["statusCode"] == "2074"
    assert (await shop.book(payment_id))["refunded"] == "10.00"


async def test_sixty_days_and_no_longer(shop: Shop, clock: FakeClock) -> None:
    payment_id, trx_id = await shop.paid("100")
    clock.step(days=60)
    await shop.open()
    assert "refundTrxID" in await shop.refund(payment_id, trx_id, "1")
    clock.step(milliseconds=1)
    assert (await shop.refund(payment_id, trx_id, "1"))["statusCode"] == "2071"


async def test_only_what_was_captured_can_be_refunded(shop: Shop) -> None:
    waiting = await shop.approved("10")
    assert (await shop.refund(waiting, "CLH0000000", "5"))["statusCode"] == "2127"
    held = await shop.approved("20", intent="authorization")
    trx_id = (await shop.execute(held))["trxID"]
    assert (await shop.refund(held, trx_id, "5"))["statusCode"] == "2127"
    await shop.ask("payment/confirm/capture", {"paymentID": held})
    assert "refundTrxID" in await shop.refund(held, trx_id, "5")


async def test_concurrent_refunds_never_exceed_the_payment(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    wishes = [shop.refund(payment_id, trx_id, "60") for _ in range(10)]
    answers = await asyncio.gather(*wishes)
    assert sum("refundTrxID" in answer for answer in answers) == 1
    assert (await shop.book(payment_id))["refunded"] == "60.00"


async def test_the_same_refund_twice_is_two_refunds(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    await shop.refund(payment_id, trx_id, "30")
    await shop.refund(payment_id, trx_id, "30")
    assert (await shop.book(payment_id))["refunded"] == "60.00"  # as at the real gateway: no idempotency key

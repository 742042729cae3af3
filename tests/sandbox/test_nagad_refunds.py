"""Refunds of Nagad (purchase/cancel), by the API and in the portal."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import MERCHANT, NagadShop, code
from tests.sandbox.shop import CUSTOMER, FakeClock


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield await NagadShop.of(http, clock)


async def test_a_part_then_the_rest(nagad: NagadShop, clock: FakeClock) -> None:
    reference = await nagad.paid("100")
    answer = await nagad.refund(reference, "40.00")
    found = json.loads(nagad.opened(answer.json()))
    first = found["cancelTrxId"]
    assert found == {
        "status": "PartialCancelled",
        "code": "000",
        "originalAmount": "100",
        "cancelAmount": "40.00",
        "cancelTrxId": first,
        "originalRequestDate": "20260131",
        "referenceNo": "refund-1",
        "referenceMessage": "returned",
    }
    seen = await nagad.verify(reference)
    assert (seen["status"], seen["cancelIssuerRefNo"]) == ("PartialCancelled", first)
    assert seen["cancelIssuerDateTime"] == "2026-01-31 18:00:00.0" and seen["amount"] == "100"
    clock.step(seconds=5)
    second = json.loads(nagad.opened((await nagad.refund(reference, "60")).json()))
    assert second["status"] == "Cancelled" and second["cancelTrxId"] != first
    seen = await nagad.verify(reference)
    assert (seen["status"], seen["cancelIssuerRefNo"]) == ("Cancelled", second["cancelTrxId"])
    row = await nagad.book(reference)
    assert (row["captured"], row["refunded"], row["state"]) == ("100.00", "100.00", "Cancelled")
    assert [call["operation"] for call in await nagad.wire() if call["moved_money"]] == ["refund", "refund"]


async def test_the_same_call_twice_is_two_refunds(nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    for _ in range(2):
        assert (await nagad.refund(reference, "10")).status_code == 200
    assert (await nagad.book(reference))["refunded"] == "20.00"


@pytest.mark.parametrize("amount", ["100.01", "1000000"])
async def test_never_more_than_was_taken(nagad: NagadShop, amount: str) -> None:
    reference = await nagad.paid("100")
    assert code(await nagad.refund(reference, amount)) == "017"
    assert (await nagad.refund(reference, "100")).status_code == 200
    assert code(await nagad.refund(reference, "0.01")) == "017"
    assert (await nagad.book(reference))["refunded"] == "100.00"


@pytest.mark.parametrize("outcome", ["", "cancel", "failure"])
async def test_only_what_was_paid(nagad: NagadShop, outcome: str) -> None:
    reference, _ = await nagad.ready()
    if outcome:
        await nagad.approve(reference, outcome)
    assert code(await nagad.refund(reference, "10")) == "017"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ({"merchantId": "680000000000002"}, "059"),
        ({"merchantId": ...}, "059"),
        ({"orderId": "Order99999"}, "059"),
        ({"originalRequestDate": "2026-01-31"}, "081"),
        ({"originalRequestDate": "20260130"}, "059"),
        ({"originalRequestDate": ...}, "059"),
        ({"originalAmount": "99.99"}, "059"),
        ({"originalAmount": ...}, "059"),
        ({"cancelAmount": "0"}, "059"),
        ({"cancelAmount": "1.005"}, "059"),
        ({"cancelAmount": "-5"}, "059"),
        ({"cancelAmount": ...}, "059"),
        ({"referenceNo": ...}, "059"),
        ({"referenceNo": ""}, "059"),
    ],
)
async def test_what_must_be_inside(nagad: NagadShop, inside: dict[str, Any], expected: str) -> None:
    reference = await nagad.paid("100")
    assert code(await nagad.refund(reference, "10", inside=inside)) == expected
    assert (await nagad.book(reference))["refunded"] == "0.00"


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        ({"sensitiveDataCancelRequest": ..., "sensitiveData": "QUJD"}, "040"),  # a mistake that is out there
        ({"signature": ...}, "040"),
        ({"signature": "QUJD"}, "058"),
        ({"sensitiveDataCancelRequest": "QUJD"}, "057"),
        ({"sensitiveDataCancelRequest": "?"}, "069"),
    ],
)
async def test_what_the_body_around_must_be(nagad: NagadShop, outer: dict[str, Any], expected: str) -> None:
    reference = await nagad.paid("100")
    assert code(await nagad.refund(reference, "10", outer=outer)) == expected


async def test_by_either_name_or_both(nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    order_id = (await nagad.verify(reference))["orderId"]
    queries = [
        f"?paymentRefId={reference}",
        f"?orderId={order_id}",
        f"?orderId={order_id}&paymentRefId={reference.replace('=', '%3D')}",
    ]
    for query in queries:
        assert (await nagad.refund(reference, "10", query=query)).status_code == 200
    other = await nagad.paid("50")
    refused = {
        "": "999",
        "?paymentRefId=QUJD": "055",
        "?orderId=Order99999": "055",
        f"?paymentRefId={other}&orderId={order_id}": "055",
    }
    for query, expected in refused.items():
        assert code(await nagad.refund(reference, "10", query=query)) == expected
    assert (await nagad.book(reference))["refunded"] == "30.00"


async def test_the_day_of_the_payment_or_of_the_refund(nagad: NagadShop, clock: FakeClock) -> None:
    reference = await nagad.paid("100")
    clock.step(days=3)
    for day in ("20260131", "20260203"):
        assert (await nagad.refund(reference, "10", inside={"originalRequestDate": day})).status_code == 200
    assert code(await nagad.refund(reference, "10", inside={"originalRequestDate": "20260201"})) == "059"


async def test_a_long_message_is_left_out_of_an_answer_that_has_no_room(nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    answer = await nagad.refund(reference, "10", inside={"referenceMessage": "m" * 70, "referenceNo": "r"})
    found = json.loads(nagad.opened(answer.json()))
    assert answer.status_code == 200 and found["cancelTrxId"] and "referenceMessage" not in found


async def test_headers_are_needed(nagad: NagadShop) -> None:
    reference = await nagad.paid("100")
    nagad.headers = {}
    assert code(await nagad.refund(reference, "10")) == "064"


async def test_the_money_goes_back_to_the_payer(nagad: NagadShop) -> None:
    async def balance() -> str:
        wallets = (await nagad.books())["wallets"]
        return str(next(row["balance"] for row in wallets if row["wallet"] == CUSTOMER["wallet"]))

    before = await balance()
    reference = await nagad.paid("100")
    assert await balance() != before
    await nagad.refund(reference, "100")
    assert await balance() == before


async def test_the_portal_refunds_under_the_same_rules(nagad: NagadShop) -> None:
    async def portal(**wish: Any) -> httpx.Response:
        asked = {"gateway": "nagad", "reference": reference, "action": "refund"} | wish
        return await nagad.http.post("/_sandbox/portal", json=asked)

    reference = await nagad.paid("100")
    done = await portal(amount="30")
    assert done.json()["amount"] == "30.00" and done.json()["state"] == "PartialCancelled"
    assert (await portal(amount="70.01")).status_code == 409
    assert (await portal(amount="x")).status_code == 409
    assert (await portal(action="capture")).status_code == 400
    assert (await portal()).json()["amount"] == "70.00"
    assert (await portal()).status_code == 409
    assert (await nagad.verify(reference))["status"] == "Cancelled"
    assert (await portal(reference="QUJD")).status_code == 404


async def test_nagad_has_no_walk_in(nagad: NagadShop) -> None:
    wish = {"gateway": "nagad", "amount": "10"}
    answer = await nagad.http.post("/_sandbox/walk_in", json=wish)
    assert answer.status_code == 409 and "no webhook" in answer.json()["error"]
    assert MERCHANT not in answer.text

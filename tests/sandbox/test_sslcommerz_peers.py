"""What four released SSLCommerz clients send and insist on reading, replayed.

Taken from the sources of sslcommerz-lib 1.0, sslcommerz-sdk 1.0.4 and sslcommerz-client 0.6.0 (Python) and of
sslcommerz-lts 1.2.0 (Node), all of which were also run unmodified (base address alone) against the sandbox on a socket.
The last one needs pydantic before 2.10; and its refund query knows no word that the documents give that answer.
"""

import hashlib
from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep
from tests.sandbox.sslcommerz_shop import LOOK_UP, SESSION, STORE, VALIDATION, Counter, SslcommerzShop
from vextrus_payments_sandbox import create_app

REQUESTS = {
    "User-Agent": "python-requests/2.34.2",
    "Accept-Encoding": "gzip, deflate",
    "Accept": "*/*",
    "Connection": "keep-alive",
}
README = {
    "total_amount": "100.26",
    "currency": "BDT",
    "success_url": "http://127.0.0.1:9/s",
    "fail_url": "http://127.0.0.1:9/f",
    "cancel_url": "http://127.0.0.1:9/c",
    "emi_option": "0",
    "cus_name": "test",
    "cus_email": "test@test.com",
    "cus_phone": "01700000000",
    "cus_add1": "customer address",
    "cus_city": "Dhaka",
    "cus_country": "Bangladesh",
    "shipping_method": "NO",
    "multi_card_name": "",
    "num_of_item": "1",
    "product_name": "Test",
    "product_category": "Test Category",
    "product_profile": "general",
    "ipn_url": "http://127.0.0.1:9/ipn",
}
"""The example of the vendor's own library; it names no postcode."""


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def shop(clock: FakeClock, counter: Counter) -> AsyncIterator[SslcommerzShop]:
    app: Starlette = create_app(clock=clock, seed=1, sleeper=NoSleep(), webhook_transport=counter.transport())
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:28600") as http:
        yield SslcommerzShop(http, counter)


async def get(shop: SslcommerzShop, path: str, **params: str) -> dict[str, Any]:
    answer = await shop.http.get(path, params=params, headers=REQUESTS)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def hash_validate_ipn(fields: dict[str, str]) -> bool:
    """As sslcommerz-lib and sslcommerz-sdk check: what `verify_key` names, and nothing of its shape."""
    inside = {key: fields[key] for key in fields["verify_key"].split(",")}
    inside["store_passwd"] = hashlib.md5(STORE["store_passwd"].encode()).hexdigest()
    text = "".join(f"{key}={inside[key]}&" for key in sorted(inside)).strip("&")
    return hashlib.md5(text.encode()).hexdigest() == fields["verify_sign"]


async def test_sslcommerz_lib(shop: SslcommerzShop, counter: Counter) -> None:
    """The store comes last; refunds have no name of their own; JSON whatever happens, or it prints and returns None."""
    made = (
        await shop.http.post(SESSION, data={**README, "tran_id": "LIB-1", **STORE}, headers=REQUESTS)
    ).json()
    assert made["status"] == "SUCCESS" and made["GatewayPageURL"]
    await shop.walk(made["sessionkey"])
    (ipn,) = counter.posts
    assert hash_validate_ipn(ipn)
    assert not hash_validate_ipn({**ipn, "amount": "1.00"})
    asked = {"val_id": ipn["val_id"], **STORE, "format": "json"}
    assert (await get(shop, VALIDATION, **asked))["status"] == "VALID"
    by_key = await get(shop, LOOK_UP, sessionkey=made["sessionkey"], **STORE, format="json")
    assert by_key["status"] == "VALIDATED"
    assert (await get(shop, LOOK_UP, tran_id="LIB-1", **STORE, format="json"))["no_of_trans_found"] == 1
    refund = {
        "bank_tran_id": ipn["bank_tran_id"],
        "refund_amount": "10",
        "refund_remarks": "because",
        **STORE,
    }
    made = await get(shop, LOOK_UP, **refund, format="json")
    assert made["status"] == "success"
    told = await get(shop, LOOK_UP, refund_ref_id=made["refund_ref_id"], **STORE, format="json")
    assert told["status"] == "refunded"
    assert await shop.manners() == ["missing_field", "refund_unnamed"]


async def test_sslcommerz_sdk(shop: SslcommerzShop, counter: Counter) -> None:
    """The store comes first, `value_d` holds a UUID, and every amount of an IPN and of a validation is a decimal."""
    value_d = "2561e69e-be76-4f2c-a665-2bd3af76b62c"
    form = {**STORE, **README, "tran_id": "SDK-1", "value_d": value_d}
    made = (await shop.http.post(SESSION, data=form, headers=REQUESTS)).json()
    await shop.walk(made["sessionkey"])
    (ipn,) = counter.posts
    assert ipn["value_d"] == value_d and hash_validate_ipn(ipn)
    row = await get(shop, VALIDATION, **STORE, val_id=ipn["val_id"], format="json")
    for found, names in (
        (ipn, ("amount", "base_fair", "currency_amount", "currency_rate", "store_amount", "risk_level")),
        (row, ("amount", "base_fair", "currency_amount", "store_amount", "discount_amount", "emi_amount")),
    ):
        assert all(Decimal(found[name]) >= 0 for name in names)
    assert int(row["emi_instalment"]) == 0 and row["status"] == "VALID"


async def test_sslcommerz_client(shop: SslcommerzShop) -> None:
    """No `format`, `emi_option=BooleanIntEnum.FALSE`, and answers that are read field by field."""
    form = {**README, "tran_id": "CLIENT-1", "emi_option": "BooleanIntEnum.FALSE", **STORE}
    made = (await shop.http.post(SESSION, data=form, headers=REQUESTS)).json()
    assert all(isinstance(one["name"], str) and isinstance(one["type"], str) for one in made["desc"])
    back = await shop.walk(made["sessionkey"])
    row = await get(shop, VALIDATION, val_id=back.fields["val_id"], **STORE)
    assert datetime.fromisoformat(row["tran_date"]) and row["emi_instalment"] == "0"
    (row,) = (await get(shop, LOOK_UP, tran_id="CLIENT-1", **STORE))["element"]
    texts = (
        *("status", "tran_id", "val_id", "card_type", "card_no", "bank_tran_id", "card_issuer", "card_brand"),
        *(
            "card_issuer_country",
            "card_issuer_country_code",
            "currency_type",
            "risk_title",
            "discount_remarks",
        ),
    )
    assert all(isinstance(row[name], str) for name in texts) and row["risk_level"] in ("0", "1")
    asked = {
        "bank_tran_id": row["bank_tran_id"],
        "refund_amount": "10.00",
        "refund_remarks": "x",
        "refe_id": "REF1",
    }
    made = await get(shop, LOOK_UP, **asked, **STORE)
    assert made["status"] == "success" and made["APIConnect"] == "DONE"
    told = await get(shop, LOOK_UP, refund_ref_id=made["refund_ref_id"], **STORE)
    for name in ("initiated_on", "refunded_on"):
        assert datetime.fromisoformat(told[name])


async def test_sslcommerz_lts_of_node(shop: SslcommerzShop) -> None:
    """A multipart form with every field it knows, most of them empty; POST for every look-up, with an empty body."""
    headers = {"user-agent": "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "connection": "close"}
    empty = (
        *(
            "productcategory",
            "allowed_bin",
            "emi_max_inst_option",
            "emi_selected_inst",
            "num_of_item",
            "shipcity",
        ),
        *(
            "hours_till_departure",
            "flight_type",
            "pnr",
            "journey_from_to",
            "third_party_booking",
            "hotel_name",
        ),
        *(
            "length_of_stay",
            "check_in_time",
            "hotel_city",
            "product_type",
            "topup_number",
            "country_topup",
            "cart",
        ),
        *("product_amount", "discount_amount", "convenience_fee", "value_a", "value_b", "value_c", "value_d"),
    )
    shipped = {
        "shipping_method": "Courier",
        "ship_name": "Customer",
        "ship_add1": "Dhaka",
        "ship_postcode": "1000",
    }
    form = {**dict.fromkeys(empty, ""), **README, **shipped, "tran_id": "REF123", "num_of_item": "", **STORE}
    parts = {name: (None, value) for name, value in form.items()}
    answer = await shop.http.post(SESSION, files=parts, headers=headers)
    made = answer.json()
    assert made["status"] == "SUCCESS" and answer.headers["connection"] == "close"
    back = await shop.walk(made["sessionkey"])
    query = f"store_id={STORE['store_id']}&store_passwd={STORE['store_passwd']}&v=1&format=json"  # as it is, unescaped

    async def post(path: str, asked: str) -> dict[str, Any]:
        found: dict[str, Any] = (await shop.http.post(f"{path}?{asked}&{query}", headers=headers)).json()
        return found

    assert (await post(VALIDATION, f"val_id={back.fields['val_id']}"))["status"] == "VALID"
    assert (await post(LOOK_UP, f"sessionkey={made['sessionkey']}"))["status"] == "VALIDATED"
    assert (await post(LOOK_UP, "tran_id=REF123"))["no_of_trans_found"] == 1
    asked = (
        f"refund_amount=10&refund_remarks=x%20y&bank_tran_id={back.fields['bank_tran_id']}&refe_id=undefined"
    )
    refund = await post(LOOK_UP, asked)
    assert refund["status"] == "success"
    assert (await post(LOOK_UP, f"refund_ref_id={refund['refund_ref_id']}"))["status"] == "refunded"
    assert (await shop.book(made["sessionkey"]))["refunded"] == "10.00"


async def test_one_signature_cut_in_two_ways(shop: SslcommerzShop, counter: Counter) -> None:
    """The dossier's §1.5: whoever writes into `value_a` turns what he paid into another order, for such a check."""
    paid = await shop.open("10.00", tran_id="ORDER-A", value_a="note&tran_id=ORDER-B&val_id=VAL-B")
    await shop.walk(paid)
    (ipn,) = counter.posts
    assert ipn["value_a"] == "note&tran_id=ORDER-B&val_id=VAL-B" and hash_validate_ipn(ipn)
    keys = [key for key in ipn["verify_key"].split(",") if key != "value_a"]
    forged = {
        **ipn,
        "tran_date": f"{ipn['tran_date']}&tran_id=ORDER-A&val_id={ipn['val_id']}&value_a=note",
        "tran_id": "ORDER-B",
        "val_id": f"VAL-B&value_b={ipn['value_b']}",
        "verify_key": ",".join(key for key in keys if key != "value_b"),
    }
    assert hash_validate_ipn(forged) and forged["tran_id"] == "ORDER-B"
    # What no re-cut gets past: the validation of the forged val_id.
    assert (await shop.validate(forged["val_id"]))["status"] == "INVALID_TRANSACTION"
    assert "signed_characters" in await shop.manners()

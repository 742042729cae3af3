"""Sessions: how they are asked for, what is refused, what is only objected to, and what the page offers."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep
from tests.sandbox.sslcommerz_shop import FIELDS, LOOK_UP, SESSION, STORE, SslcommerzShop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.serve import SandboxServer
from vextrus_payments_sandbox.sslcommerz.channels import CHANNELS, named_by
from vextrus_payments_sandbox.sslcommerz.records import Rules

URL = "http://127.0.0.1:28600"


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)


@pytest.fixture
async def shop(app: Starlette) -> AsyncIterator[SslcommerzShop]:
    async with client(app) as http:
        yield SslcommerzShop(http)


async def with_rules(clock: FakeClock, rules: Rules) -> SslcommerzShop:
    app = create_app(clock=clock, seed=1, sleeper=NoSleep(), sslcommerz=rules)
    return SslcommerzShop(client(app))


async def test_a_session_in_every_encoding(shop: SslcommerzShop) -> None:
    fields = {**STORE, "total_amount": "100", "tran_id": "ORDER-1", **FIELDS}
    urlencoded = (await shop.http.post(SESSION, data=fields)).json()
    parts = {name: (None, value) for name, value in fields.items()}
    multipart = (await shop.http.post(SESSION, files=parts)).json()
    doubled = (await shop.http.post(f"{URL}//gwprocess/v4/api.php", data=fields)).json()
    in_query = (await shop.http.post(SESSION, params=fields)).json()
    for answer in (urlencoded, multipart, doubled, in_query):
        assert answer["status"] == "SUCCESS" and answer["failedreason"] == ""
        key = answer["sessionkey"]
        assert len(key) == 32 and key == key.upper() and int(key, 16)
        assert answer["GatewayPageURL"] == f"{URL}/EasyCheckOut/testcde{key.lower()}"
        assert answer["is_direct_pay_enable"] == "0"
        assert {one["gw"] for one in answer["desc"]} == set(CHANNELS)
        assert "bkash" in answer["gw"]["mobilebanking"].split(",")
    assert sorted(await shop.manners()) == ["multipart", *["tran_id_reused"] * 3]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"store_passwd": "wrong"}, "Store Credential Error Or Store is De-active"),
        ({"store_id": "nobody"}, "Store Credential Error Or Store is De-active"),
        ({"tran_id": ...}, "tran_id is missing"),
        ({"tran_id": " "}, "tran_id is missing"),
        ({"tran_id": "x" * 51}, "tran_id is longer than 50"),
        ({"total_amount": "9.99"}, "lies between 10.00 and 500000.00"),
        ({"total_amount": "500000.01"}, "lies between 10.00 and 500000.00"),
        ({"total_amount": "1,500"}, "up to two decimals"),
        ({"total_amount": "100.001"}, "up to two decimals"),
        ({"total_amount": "-100"}, "up to two decimals"),
        ({"total_amount": "1e3"}, "up to two decimals"),
        ({"total_amount": ""}, "up to two decimals"),
        ({"currency": "XYZ"}, "currency is one of BDT, USD"),
        ({"success_url": ...}, "success_url is an http or https address"),
        ({"fail_url": "javascript:alert(1)"}, "fail_url is an http or https address"),
        ({"cancel_url": "http://"}, "cancel_url is an http or https address"),
        ({"success_url": "http://shop.example/" + "x" * 255}, "success_url is an http or https address"),
        ({"ipn_url": "nowhere"}, "ipn_url is an http or https address"),
        ({"multi_card_name": "gold"}, "leaves no way to pay"),
    ],
)
async def test_what_cannot_be_paid_is_refused(
    shop: SslcommerzShop, changes: dict[str, str], reason: str
) -> None:
    shop.store = {name: value for name, value in STORE.items() if name not in changes}
    answer = await shop.ask(changes.get("total_amount", "100"), **changes)
    assert answer["status"] == "FAILED" and reason in answer["failedreason"]
    assert answer["GatewayPageURL"] == "" and answer["sessionkey"] == "" and answer["gw"] == []
    assert (await shop.books())["payments"] == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff\xfe=\x00", b"a=1&" * 1000, b"{}", b"--x\r\nContent-Disposition: form-data\r\n\r\n"],
)
@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data", ""],
)
async def test_no_form_is_a_refusal(shop: SslcommerzShop, raw: bytes, kind: str) -> None:
    answer = await shop.http.post(SESSION, content=raw, headers={"Content-Type": kind})
    assert answer.status_code == 200 and answer.json()["status"] == "FAILED"


async def test_a_form_without_end_is_logged_and_refused(shop: SslcommerzShop) -> None:
    answer = await shop.http.post(SESSION, content=b"a=" + b"x" * 70_000)
    assert answer.status_code == 413 and answer.json()["status"] == "FAILED"
    (call,) = (await shop.http.get("/_sandbox/wire")).json()["calls"]
    assert (call["gateway"], call["operation"], call["status"]) == ("sslcommerz", "session", 413)


async def test_what_documents_ask_for_besides_is_objected_to(shop: SslcommerzShop) -> None:
    assert await shop.open() and await shop.manners() == []
    await shop.open(
        cus_postcode=...,
        tran_id="d" * 36,
        cus_city="x" * 51,
        product_profile="goods",
        shipping_method="YES",
        cart="[1",
        value_a="a&b",
        value_b="a=b",
        ipn_url=...,
        multi_card_name="bkash,gold",
    )
    found = (await shop.http.get("/_sandbox/grants")).json()["manners"]
    assert [one["rule"] for one in found] == [
        "cus_city is longer than the documented 50 characters",
        "no cus_postcode, which the documents call mandatory",
        "a tran_id of 36 characters: 30 are documented",
        "& or = in value_a",
        "& or = in value_b",
        "a session that names no ipn_url",
        "product_profile says goods, which no document knows",
        "multi_card_name says gold, which no document knows",
        "no ship_name, which the documents call mandatory",
        "no ship_add1, which the documents call mandatory",
        "no ship_city, which the documents call mandatory",
        "no ship_postcode, which the documents call mandatory",
        "no ship_country, which the documents call mandatory",
        "cart says no JSON list, which no document knows",
    ]
    await shop.open(cus_postcode=...)  # the same once more is told no second time
    assert len(await shop.manners()) == len(found)


@pytest.mark.parametrize(
    ("profile", "missing"),
    [
        ("airline-tickets", 4),
        ("travel-vertical", 4),
        ("telecom-vertical", 3),
        ("general", 0),
        ("physical-goods", 0),
        ("non-physical-goods", 0),
    ],
)
async def test_profiles_have_fields_of_their_own(shop: SslcommerzShop, profile: str, missing: int) -> None:
    await shop.open(product_profile=profile)
    assert await shop.manners() == ["missing_field"] * missing


@pytest.mark.parametrize(
    ("names", "left"),
    [
        ("", tuple(CHANNELS)),
        ("bkash", ("bkash",)),
        ("upay, BKASH", ("bkash", "upay")),
        ("amexcard", ("city_amex",)),
        (
            "mastercard,visacard,amexcard",
            tuple(c for c, one in CHANNELS.items() if one.kind in ("master", "visa", "amex")),
        ),
        ("internetbank", ("ibbl", "bankasia", "mtbl", "abbank", "city")),
        ("gold", ()),
    ],
)
def test_multi_card_name(names: str, left: tuple[str, ...]) -> None:
    assert named_by(names) == left


async def test_the_page_offers_what_was_left(shop: SslcommerzShop) -> None:
    answer = await shop.ask(multi_card_name="dbblmobilebanking,visacard")
    key = answer["sessionkey"]
    assert answer["gw"]["mobilebanking"] == "dbblmobilebanking,mobilebank" and answer["gw"]["amex"] == ""
    page = (await shop.page(key)).text
    assert 'value="dbblmobilebanking" checked' in page and "dbbl_visa" in page
    assert "city_amex" not in page and 'value="bkash"' not in page
    refused = await shop.act(key, channel="bkash", wallet="01770618575", action="Confirm")
    assert "again=wallet" in refused.headers["location"]
    back = await shop.walk(key, "dbblmobilebanking")
    assert back.fields["card_type"] == "DBBLMOBILEB-Dbbl Mobile Banking"


async def test_another_currency_is_paid_in_taka(shop: SslcommerzShop) -> None:
    row = await shop.paid("10.05", currency="USD")
    assert (row["currency"], row["amount"]) == ("BDT", "1105.50")
    assert (row["currency_type"], row["currency_amount"], row["currency_rate"]) == (
        "USD",
        "10.05",
        "110.0000",
    )
    refused = await shop.ask("4545.46", currency="USD")  # more than 500,000 taka
    assert "500000.00" in refused["failedreason"]
    assert (await shop.ask("0.10", currency="USD"))["status"] == "SUCCESS"  # 11 taka


async def test_installments_are_told(shop: SslcommerzShop) -> None:
    row = await shop.paid("1000.00", emi_option="1", emi_max_inst_option="9", emi_selected_inst="3")
    assert (row["emi_instalment"], row["emi_amount"]) == ("3", "333.33")
    assert (await shop.paid("1000.00"))["emi_instalment"] == "0"


async def test_one_tran_id_may_have_several_sessions(shop: SslcommerzShop, clock: FakeClock) -> None:
    first, second = await shop.open(tran_id="SAME"), await shop.open(tran_id="SAME")
    assert first != second and await shop.manners() == ["tran_id_reused"]
    await shop.approve(first)
    await shop.approve(second)
    found = await shop.query("SAME")
    assert found["no_of_trans_found"] == 2
    assert [one["status"] for one in found["element"]] == ["VALID", "VALID"]
    assert len({one["val_id"] for one in found["element"]}) == 2
    strict = await with_rules(clock, Rules(unique_tran_ids=True))
    async with strict.http:
        await strict.open(tran_id="SAME")
        assert "used before" in (await strict.ask(tran_id="SAME"))["failedreason"]


async def test_old_addresses_lead_to_the_page(shop: SslcommerzShop) -> None:
    key = await shop.open()
    page = f"/EasyCheckOut/testcde{key.lower()}"
    pay = await shop.http.get(f"/gwprocess/v4/gw.php?Q=PAY&SESSIONKEY={key}")
    assert (pay.status_code, pay.headers["location"]) == (303, page)
    prefix = (await shop.ask())["redirectGatewayURL"]
    direct = await shop.http.get(prefix + "city_visa")
    assert direct.status_code == 303 and direct.headers["location"].endswith("?channel=city_visa")
    shown = await shop.http.get(direct.headers["location"])
    assert 'value="city_visa" checked' in shown.text
    assert (await shop.http.get("/gwprocess/v4/gw.php?SESSIONKEY=nope")).status_code == 404
    assert (await shop.http.get("/EasyCheckOut/testcdenope")).status_code == 404
    assert (await shop.http.get(f"/EasyCheckOut/{key}")).status_code == 404


async def test_the_small_routes(shop: SslcommerzShop) -> None:
    assert (await shop.http.get("/public/tls/")).text == "TLS is okay"
    script = await shop.http.get("/embed.min.js")
    assert script.headers["content-type"].startswith("text/javascript") and "sslczPayBtn" in script.text


async def test_a_line_is_closed_for_who_asks(clock: FakeClock) -> None:
    async with SandboxServer(clock=clock, seed=1) as server:
        port = urlsplit(server.url).port
        for asked, closed in (("close", True), ("keep-alive", False)):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET {LOOK_UP}?tran_id=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: {asked}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.count("connection: close") == closed
            if closed:
                assert b'"APIConnect":"FAILED"' in await reader.read()  # to its end
            writer.close()


async def test_two_stores_are_apart(clock: FakeClock) -> None:
    app = create_app(clock=clock, seed=1, sleeper=NoSleep(), merchants=2)
    async with client(app) as http:
        told = (await http.get("/_sandbox/merchants")).json()["merchants"]
        facts = [one["client"] for one in told if one["gateway"] == "sslcommerz"]
        assert facts[0] == {
            "base_url": URL,
            "store_id": STORE["store_id"],
            "store_password": STORE["store_passwd"],
        }
        assert facts[1]["store_id"] != facts[0]["store_id"]
        one = SslcommerzShop(http)
        two = SslcommerzShop(
            http, store={"store_id": facts[1]["store_id"], "store_passwd": facts[1]["store_password"]}
        )
        row = await one.paid(tran_id="SAME")
        other = await two.open(tran_id="SAME")
        # Neither sees, validates or refunds what is the other's, nor uses the other's password.
        assert (await two.validate(row["val_id"]))["status"] == "INVALID_TRANSACTION"
        assert (await two.by_key(row["sessionkey"]))["status"] == "INVALID"
        assert (await two.refund(row, "1.00"))["status"] == "failed"
        assert [x["status"] for x in (await two.query("SAME"))["element"]] == ["PROCESSING"]
        mixed = SslcommerzShop(http, store={**two.store, "store_passwd": one.store["store_passwd"]})
        assert (await mixed.ask())["status"] == "FAILED"
        made = await one.refund(row, "1.00", refund_trans_id="R1")
        assert (await two.refund_status(made["refund_ref_id"]))["errorReason"] == "Unknown Refund Ref ID"
        await two.approve(other)
        paid = await two.by_key(other)
        assert (await two.refund(paid, "2.00", refund_trans_id="R1"))[
            "status"
        ] == "success"  # a name of its own
        balances = {
            x["account"]: x["balance"] for x in (await http.get("/_sandbox/merchants")).json()["merchants"]
        }
        assert balances["merchant:sslcommerz"] == "99.00"
        assert balances["merchant:sslcommerz:SandboxMerchant2"] == "98.00"
        # A tran_id that is the other store's val_id hides nothing of it.
        await two.open(tran_id=row["val_id"])
        assert (await one.validate(row["val_id"]))["status"] == "VALID"

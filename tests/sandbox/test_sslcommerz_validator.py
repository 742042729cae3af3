"""Validations, look-ups, refunds and invoices: by GET and POST, as JSON and XML, and in the types that were seen."""

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep
from tests.sandbox.sslcommerz_shop import FIELDS, LOOK_UP, STORE, VALIDATION, SslcommerzShop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.sslcommerz.amounts import after_fee, in_taka, read_amount, write_short
from vextrus_payments_sandbox.sslcommerz.records import Rules


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600")


@pytest.fixture
async def shop(app: Starlette) -> AsyncIterator[SslcommerzShop]:
    async with client(app) as http:
        yield SslcommerzShop(http)


async def with_rules(clock: FakeClock, rules: Rules) -> SslcommerzShop:
    return SslcommerzShop(client(create_app(clock=clock, seed=1, sleeper=NoSleep(), sslcommerz=rules)))


# --- validations ------------------------------------------------------------------------------------------------------


async def test_first_valid_then_validated(shop: SslcommerzShop) -> None:
    row = await shop.paid("1250.50")
    first, second = await shop.validate(row["val_id"]), await shop.validate(row["val_id"])
    assert (first["status"], second["status"]) == ("VALID", "VALIDATED")
    assert {**first, "status": ""} == {**second, "status": ""} and first["APIConnect"] == "DONE"
    assert (first["offer_avail"], first["isTokeizeSuccess"], first["risk_level"]) == (1, 0, "0")
    assert (await shop.query("ORDER-1"))["element"][0]["status"] == "VALIDATED"
    assert (await shop.book(row["sessionkey"]))["state"] == "VALIDATED"


async def test_in_every_way_of_asking(shop: SslcommerzShop) -> None:
    row = await shop.paid()
    asked = {**STORE, "val_id": row["val_id"], "v": "1", "format": "json"}
    answers = [
        await shop.http.get(VALIDATION, params=asked),
        await shop.http.post(VALIDATION, params=asked),
        await shop.http.post(VALIDATION, data=asked),
        await shop.http.post(VALIDATION, params=STORE, data={"val_id": row["val_id"]}),
    ]
    assert [one.json()["status"] for one in answers] == ["VALID", "VALIDATED", "VALIDATED", "VALIDATED"]
    assert all(one.headers["content-type"] == "application/json" for one in answers)
    in_xml = await shop.http.get(VALIDATION, params={**asked, "format": "xml"})
    assert in_xml.headers["content-type"] == "application/xml"
    tree = ET.fromstring(in_xml.content)
    assert tree.findtext("status") == "VALIDATED" and tree.findtext("amount") == "100.00"
    listed = await shop.http.get(LOOK_UP, params={**STORE, "tran_id": "ORDER-1", "format": "xml"})
    tree = ET.fromstring(listed.content)
    assert tree.findtext("no_of_trans_found") == "1" and tree.findtext("element/status") == "VALIDATED"


async def test_xml_holds_any_text(shop: SslcommerzShop) -> None:
    row = await shop.paid(value_a="<a>&\x00\x1b]]>\ufffe দোকান")
    answer = await shop.http.get(VALIDATION, params={**STORE, "val_id": row["val_id"], "format": "xml"})
    found = ET.fromstring(answer.content)
    assert found.findtext("value_a") == "<a>&]]> দোকান"


@pytest.mark.parametrize("val_id", ["", "nope", "x" * 5000, "ORDER-1"])
async def test_what_nobody_paid_is_no_transaction(shop: SslcommerzShop, val_id: str) -> None:
    await shop.open()
    answer = await shop.validate(val_id)
    assert (answer["status"], answer["APIConnect"]) == ("INVALID_TRANSACTION", "DONE")
    assert "amount" not in answer


async def test_a_failed_try_has_nothing_to_validate(shop: SslcommerzShop) -> None:
    key = await shop.open()
    await shop.approve(key, "failure")
    row = await shop.by_key(key)
    assert (row["status"], row["val_id"], row["error"]) == ("FAILED", "", "Do not honor")
    assert (await shop.validate(row["bank_tran_id"]))["status"] == "INVALID_TRANSACTION"


# --- look-ups ---------------------------------------------------------------------------------------------------------


async def test_an_unknown_tran_id_has_an_element_all_the_same(shop: SslcommerzShop) -> None:
    assert await shop.query("nope") == {
        "APIConnect": "DONE",
        "no_of_trans_found": 0,
        "element": [{"tran_id": "nope", "status": "INVALID"}],
    }


async def test_a_session_that_nobody_has_paid(shop: SslcommerzShop, clock: FakeClock) -> None:
    key = await shop.open()
    found = await shop.query("ORDER-1")
    assert found["no_of_trans_found"] == 1
    assert (found["element"][0]["status"], found["element"][0]["amount"]) == ("PROCESSING", "100.00")
    assert ((await shop.by_key(key))["status"], (await shop.by_key("0" * 32))["status"]) == (
        "PROCESSING",
        "INVALID",
    )
    other = await with_rules(clock, Rules(unpaid_status="PENDING", count_as="text", one_element="object"))
    async with other.http:
        await other.open()
        found = await other.query("ORDER-1")
        assert found["no_of_trans_found"] == "1" and found["element"]["status"] == "PENDING"
        assert (await other.query("nope"))["no_of_trans_found"] == "0"


async def test_a_row_that_nobody_has_paid_has_every_field_of_one_that_was(shop: SslcommerzShop) -> None:
    """§1.7: the same fields. Typed clients read them all; that a store's amount is blank was seen (§1.4)."""
    key = await shop.open()
    unpaid, by_key = (await shop.query("ORDER-1"))["element"][0], await shop.by_key(key)
    row = await shop.paid(tran_id="ORDER-2")
    paid = (await shop.query("ORDER-2"))["element"][0]
    assert paid["status"] == "VALID" and paid.keys() - {"bank_gw"} == unpaid.keys()
    assert (await shop.by_key(row["sessionkey"])).keys() == by_key.keys()
    assert {name: unpaid[name] for name in ("val_id", "bank_tran_id", "store_amount", "validated_on")} == {
        "val_id": "",
        "bank_tran_id": "",
        "store_amount": "",
        "validated_on": "",
    }
    assert (unpaid["risk_level"], unpaid["emi_instalment"], unpaid["discount_amount"]) == ("0", "0", "0.00")


async def test_other_types(shop: SslcommerzShop) -> None:
    row = await shop.paid("100")
    found = await shop.query("ORDER-1", fault="other_types")
    assert found["no_of_trans_found"] == "1"
    element = found["element"]
    assert (element["amount"], element["store_amount"], element["risk_level"]) == (100, 97.5, 0)
    assert (await shop.validate(row["val_id"], fault="other_types"))["store_amount"] == 97.5


@pytest.mark.parametrize("rules", [Rules(), Rules(wrong_password="INVALID_REQUEST"), Rules(inactive=True)])
async def test_wrong_credentials_and_sleeping_stores(clock: FakeClock, rules: Rules) -> None:
    shop = await with_rules(clock, rules)
    async with shop.http:
        if not rules.inactive:
            row = await shop.paid()
            shop.store = {**STORE, "store_passwd": "wrong"}
        else:
            row = {"bank_tran_id": "x"}
        connect = "INACTIVE" if rules.inactive else rules.wrong_password
        assert (await shop.ask())["failedreason"] == "Store Credential Error Or Store is De-active"
        for answer in (
            await shop.validate("x"),
            await shop.query("ORDER-1"),
            await shop.refund(row, "10.00"),
            await shop.refund_status("x"),
        ):
            assert answer == {"APIConnect": connect, "status": "INVALID"}
        assert [one["refunded"] for one in (await shop.books())["payments"]] in ([], ["0.00"])


async def test_a_look_up_that_names_nothing(shop: SslcommerzShop) -> None:
    assert await shop.get(LOOK_UP) == {"APIConnect": "INVALID_REQUEST"}


# --- refunds ----------------------------------------------------------------------------------------------------------


async def test_refunds_in_parts(shop: SslcommerzShop) -> None:
    row = await shop.paid("100.00")
    first = await shop.refund(row, "40.00")
    assert first["status"] == "success" and first["APIConnect"] == "DONE" and first["errorReason"] == ""
    assert (first["trans_id"], first["bank_tran_id"]) == ("ORDER-1", row["bank_tran_id"])
    told = await shop.refund_status(first["refund_ref_id"])
    assert told == {
        "APIConnect": "DONE",
        "bank_tran_id": row["bank_tran_id"],
        "tran_id": "ORDER-1",
        "initiated_on": "2026-01-31 18:00:00",
        "refunded_on": "2026-01-31 18:00:00",
        "status": "refunded",
        "refund_ref_id": first["refund_ref_id"],
        "errorReason": "",
    }
    for amount in ("60.01", "0", "0.00", "-1", "1e1", "100.00", "x", "1,0"):
        refused = await shop.refund(row, amount, refund_trans_id="OTHER")
        assert (refused["status"], refused["refund_ref_id"]) == ("failed", ""), amount
        assert refused["errorReason"] == "Refund Amount must be more than 0 and at most 60.00"
    assert (await shop.refund(row, "60.00"))["status"] == "success"
    assert (await shop.book(row["sessionkey"]))["refunded"] == "100.00"


async def test_the_same_name_begins_no_second_refund(shop: SslcommerzShop) -> None:
    row = await shop.paid("100.00")
    first = await shop.refund(row, "40.00", refund_trans_id="R1")
    again = await shop.refund(row, "40.00", refund_trans_id="R1")
    other = await shop.refund(row, "10.00", refund_trans_id="R1")
    assert again == other == {**first, "status": "processing"}
    assert (await shop.book(row["sessionkey"]))["refunded"] == "40.00"


async def test_without_a_name_each_call_is_a_refund(shop: SslcommerzShop, clock: FakeClock) -> None:
    row = await shop.paid("100.00")
    for _ in range(2):
        assert (await shop.refund(row, "10.00", refund_trans_id=""))["status"] == "success"
    assert (await shop.book(row["sessionkey"]))["refunded"] == "20.00"
    assert (await shop.manners()).count("refund_unnamed") == 2
    strict = await with_rules(clock, Rules(refund_trans_id_needed=True))
    async with strict.http:
        row = await strict.paid()
        assert (await strict.refund(row, "10.00", refund_trans_id=""))[
            "errorReason"
        ] == "refund_trans_id is missing"


async def test_a_name_that_is_too_long(shop: SslcommerzShop) -> None:
    row = await shop.paid()
    assert "longer than 30" in (await shop.refund(row, "10.00", refund_trans_id="x" * 31))["errorReason"]


async def test_a_refund_that_stays_processing(shop: SslcommerzShop) -> None:
    row = await shop.paid("100.00")
    made = await shop.refund(row, "40.00", fault="refund_processing;seconds=90")
    assert made["status"] == "processing" and made["refund_ref_id"]
    told = await shop.refund_status(made["refund_ref_id"])
    assert (told["status"], told["refunded_on"]) == ("processing", "0000-00-00 00:00:00")
    assert (await shop.book(row["sessionkey"]))["refunded"] == "0.00"
    assert (await shop.refund(row, "61.00", refund_trans_id="R2"))["status"] == "failed"  # 40 are reserved
    await shop.later(89)
    assert (await shop.refund_status(made["refund_ref_id"]))["status"] == "processing"
    await shop.later(1)
    told = await shop.refund_status(made["refund_ref_id"])
    assert (told["status"], told["refunded_on"]) == ("refunded", "2026-01-31 18:01:30")
    assert (await shop.book(row["sessionkey"]))["refunded"] == "40.00"


async def test_a_success_that_ends_cancelled(shop: SslcommerzShop) -> None:
    row = await shop.paid("100.00")
    made = await shop.refund(row, "100.00", fault="refund_cancelled;seconds=60")
    assert made["status"] == "success"
    assert (await shop.refund_status(made["refund_ref_id"]))["status"] == "processing"
    await shop.later(60)
    told = await shop.refund_status(made["refund_ref_id"])
    assert (told["status"], told["refunded_on"]) == ("cancelled", "0000-00-00 00:00:00")
    assert (await shop.book(row["sessionkey"]))["refunded"] == "0.00"
    assert (await shop.refund(row, "100.00", refund_trans_id="R2"))["status"] == "success"


async def test_refunds_that_take_their_time(clock: FakeClock) -> None:
    shop = await with_rules(clock, Rules(refund_takes_s=120))
    async with shop.http:
        row = await shop.paid("100.00")
        made = await shop.refund(row, "40.00")
        assert (made["status"], (await shop.refund_status(made["refund_ref_id"]))["status"]) == (
            "success",
            "processing",
        )
        await shop.later(120)
        assert (await shop.book(row["sessionkey"]))["refunded"] == "40.00"


async def test_unknown_refunds_and_transactions(shop: SslcommerzShop) -> None:
    unknown = await shop.refund_status("nope")
    assert (unknown["status"], unknown["errorReason"]) == ("failed", "Unknown Refund Ref ID")
    assert unknown["initiated_on"] == unknown["refunded_on"] == "0000-00-00 00:00:00"
    key = await shop.open()
    await shop.approve(key, "failure")
    for bank_tran_id in ("nope", (await shop.by_key(key))["bank_tran_id"]):
        refused = await shop.refund({"bank_tran_id": bank_tran_id}, "10.00")
        assert (refused["status"], refused["errorReason"]) == ("failed", "Invalid Bank Transaction ID")


async def test_the_merchant_panel_refunds_too(shop: SslcommerzShop) -> None:
    row = await shop.paid("100.00")
    wish = {"gateway": "sslcommerz", "reference": row["sessionkey"], "action": "refund", "amount": "30.00"}
    made = (await shop.http.post("/_sandbox/portal", json=wish)).json()
    assert made["state"] == "refunded"
    assert (await shop.refund_status(made["refund_ref_id"]))["status"] == "refunded"
    assert (await shop.http.post("/_sandbox/portal", json={**wish, "amount": "70.01"})).status_code == 409
    assert (await shop.http.post("/_sandbox/portal", json={**wish, "action": "void"})).status_code == 400


async def test_who_was_charged_twice_gets_each_back(shop: SslcommerzShop) -> None:
    key = await shop.open("4003.16")
    await shop.approve(key)
    rows = (await shop.query("ORDER-1"))["element"]
    for number, row in enumerate(rows):
        assert (await shop.refund(row, "4003.16", refund_trans_id=f"R{number}"))["status"] == "success"
    book = await shop.book(key)
    assert (book["captured"], book["refunded"]) == ("8006.32", "8006.32")


async def test_the_merchant_panel_gives_both_back_to_whoever_was_charged_twice(shop: SslcommerzShop) -> None:
    key = await shop.open("4003.16")
    await shop.approve(key)
    wish = {"gateway": "sslcommerz", "reference": key, "action": "refund"}
    refunded = [
        (await shop.http.post("/_sandbox/portal", json={**wish, "amount": amount})).json()["amount"]
        for amount in ("3.16", "4003.16", "4000.00")
    ]
    assert refunded == ["3.16", "4003.16", "4000.00"]
    assert (await shop.http.post("/_sandbox/portal", json=wish)).status_code == 409
    book = await shop.book(key)
    assert (book["captured"], book["refunded"]) == ("8006.32", "8006.32")


# --- faults -----------------------------------------------------------------------------------------------------------


async def test_faults_of_its_own(shop: SslcommerzShop) -> None:
    row = await shop.paid()
    for fault, connect in (("wrong_password", "FAILED"), ("inactive_store", "INACTIVE")):
        assert (await shop.refund(row, "10.00", fault=fault))["APIConnect"] == connect
        form = {**STORE, **FIELDS, "total_amount": "100", "tran_id": "X"}
        answer = await shop.http.post("/gwprocess/v4/api.php", data=form, headers={"X-Sandbox-Fault": fault})
        assert answer.json()["failedreason"] == "Store Credential Error Or Store is De-active"
    assert (await shop.book(row["sessionkey"]))["refunded"] == "0.00"
    assert (await shop.query("X"))["no_of_trans_found"] == 0


@pytest.mark.parametrize("operation", ["validate", "query", "refund", "refund_status"])
async def test_a_claimed_code_says_nothing_of_money(shop: SslcommerzShop, operation: str) -> None:
    row = await shop.paid()
    wish = {"gateway": "sslcommerz", "operation": operation, "fault": "code_after"}
    await shop.http.post("/_sandbox/faults", json=wish)
    if operation == "refund_status":
        ref_id = (await shop.refund(row, "1.00"))["refund_ref_id"]
        answer = await shop.refund_status(ref_id)
    else:
        answer = await {
            "validate": lambda: shop.validate(row["val_id"]),
            "query": lambda: shop.query("ORDER-1"),
            "refund": lambda: shop.refund(row, "1.00"),
        }[operation]()
    assert answer == {"APIConnect": "INVALID_REQUEST", "status": "INVALID"}


async def test_a_stale_look_up(shop: SslcommerzShop) -> None:
    row = await shop.paid()
    assert (await shop.query("ORDER-1", fault="stale"))["element"][0]["status"] == "PROCESSING"
    made = await shop.refund(row, "1.00")
    assert (await shop.refund_status(made["refund_ref_id"], fault="stale"))["status"] == "processing"


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("html", 502, "text/html"),
        ("html_200_before", 200, "text/html"),
        ("error_5xx_after", 504, "application/json"),
    ],
)
async def test_faults_of_every_gateway(shop: SslcommerzShop, fault: str, status: int, kind: str) -> None:
    row = await shop.paid()
    asked = {**STORE, "bank_tran_id": row["bank_tran_id"], "refund_amount": "10", "refund_trans_id": "R1"}
    answer = await shop.http.get(LOOK_UP, params=asked, headers={"X-Sandbox-Fault": fault})
    assert answer.status_code == status and answer.headers["content-type"].startswith(kind)
    moved = "0.00" if fault == "html_200_before" else "10.00"
    assert (await shop.book(row["sessionkey"]))["refunded"] == moved


# --- manners ----------------------------------------------------------------------------------------------------------


async def test_what_was_paid_has_to_be_looked_at(shop: SslcommerzShop) -> None:
    key = await shop.open()
    await shop.approve(key)
    await shop.later(600)
    assert await shop.manners() == ["unvalidated"]
    row = await shop.paid()
    await shop.refund(row, "1.00")
    await shop.later(600)
    assert await shop.manners() == ["unvalidated", "refund_unchecked"]


async def test_a_look_that_gave_no_answer_was_none(shop: SslcommerzShop) -> None:
    row = await shop.paid()
    await shop.validate(row["val_id"], fault="delay;seconds=0")
    answer = await shop.http.get(
        VALIDATION, params={**STORE, "val_id": row["val_id"]}, headers={"X-Sandbox-Fault": "html"}
    )
    assert answer.status_code == 502
    await shop.later(600)
    assert await shop.manners() == ["unvalidated"]


# --- invoices ---------------------------------------------------------------------------------------------------------


async def invoice(shop: SslcommerzShop, **changes: str) -> dict[str, str]:
    form = {**STORE, **FIELDS, "total_amount": "100", "tran_id": "INV-1", "refer": "REF-1", **changes}
    found: dict[str, str] = (await shop.http.post("/gwprocess/v4/invoice.php", data=form)).json()
    return found


async def invoice_action(shop: SslcommerzShop, made: dict[str, str], action: str) -> dict[str, object]:
    form = {**STORE, "refer": made["invoice_refer"], "invoice_id": made["invoice_id"], "action": action}
    found: dict[str, object] = (await shop.http.post("/validator/api/v4/", data=form)).json()
    return found


async def test_an_invoice_is_paid(shop: SslcommerzShop) -> None:
    made = await invoice(shop, is_bangla_qr_enabled="1")
    assert made["status"] == "success" and made["qr_image_pay_url"] == made["pay_url"]
    assert (await invoice_action(shop, made, "invoicePaymentStatus"))["payment_status"] == "PENDING"
    led = await shop.http.get(made["pay_url"])
    assert led.status_code == 303
    key = led.headers["location"].rpartition("testcde")[2]
    assert (await shop.walk(key)).fields["status"] == "VALID"
    told = await invoice_action(shop, made, "invoicePaymentStatus")
    assert told["payment_status"] == "VALID" and told["status"] == "success"
    assert isinstance(told["transaction"], list) and told["transaction"][0]["tran_id"] == "INV-1"
    assert (await invoice_action(shop, made, "invoiceCancellation"))["status"] == "failed"


async def test_an_invoice_is_withdrawn(shop: SslcommerzShop) -> None:
    made = await invoice(shop)
    assert (await invoice_action(shop, made, "invoiceCancellation"))["payment_status"] == "CANCELLED"
    led = await shop.http.get(made["pay_url"])
    assert "cancelled" in (await shop.http.get(led.headers["location"])).text.lower()


async def test_invoices_that_are_none(shop: SslcommerzShop) -> None:
    assert (await invoice(shop, refer=""))["error_reason"] == "refer is missing"
    assert (await invoice(shop, store_passwd="x"))["status"] == "failed"
    assert "total_amount" in (await invoice(shop, total_amount="x"))["error_reason"]
    made = await invoice(shop)
    assert (await invoice_action(shop, {**made, "invoice_refer": "other"}, "invoicePaymentStatus"))[
        "status"
    ] == "failed"
    assert (await shop.http.get("/gwprocess/v4/pay.php?refer=nope")).status_code == 404


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_amounts() -> None:
    assert [read_amount(text) for text in ("69", "97.5", "10.00", "0.01")] == [6900, 9750, 1000, 1]
    assert [read_amount(text) for text in ("", "1,0", "1.", ".5", "1.001", "-1", "१", "1e3")] == [None] * 8
    assert [write_short(one) for one in (6900, 9750, 1, 10)] == ["69", "97.5", "0.01", "0.1"]
    assert (after_fee(4100), after_fee(30300), after_fee(1000)) == (
        3998,
        29543,
        975,
    )  # seen: 39.98, 295.43, 9.75
    assert (in_taka(1005, "110.0000"), in_taka(1, "0.5000"), in_taka(333, "1.0001")) == (110550, 1, 333)
    with pytest.raises(ValueError, match="four places"):
        in_taka(1, "1.5")

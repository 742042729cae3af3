"""Nagad's wire as the dossier tells it: formats, the order of checks and their codes, what is tolerated."""

import base64
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_der_public_key
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import CALLBACK, HEADERS, MERCHANT, NagadShop, code, dumps
from tests.sandbox.shop import FakeClock, NoSleep
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.nagad.records import Merchant, Payment, Refusal, Rules
from vextrus_payments_sandbox.nagad.sealing import open_request
from vextrus_payments_sandbox.nagad.writing import accepted, reference_of

#: Public keys and signatures of the published sandbox, as the dossier §12 gives them (a public README of 2024).
GOLDEN = json.loads((Path(__file__).parent / "nagad_golden.json").read_text("utf-8"))


@pytest.fixture
async def nagad(app: Starlette, clock: FakeClock) -> AsyncIterator[NagadShop]:
    async with client(app) as http:
        yield await NagadShop.of(http, clock)


def client(app: Starlette) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:28600")


def with_rules(clock: FakeClock, rules: Rules) -> httpx.AsyncClient:
    return client(create_app(clock=clock, seed=1, sleeper=NoSleep(), nagad=rules))


# --- formats ----------------------------------------------------------------------------------------------------------


def test_the_answer_of_the_real_gateway_is_written_again_byte_for_byte() -> None:
    vector = next(one for one in GOLDEN["vectors"] if one["signer"] == "gateway")
    der = base64.b64decode(GOLDEN["spki_b64"]["merchant"])
    key = load_der_public_key(der)
    assert isinstance(key, rsa.RSAPublicKey)
    moment = datetime(2024, 2, 2, 6, 54, 45, 33_000, tzinfo=UTC)
    order_id, challenge = "Order20240202124953", "cb109c6582c56f33f74f"
    merchant = Merchant(key, "683002007104225")
    reference = reference_of(moment, merchant.merchant_id, order_id, challenge)
    payment = Payment(reference, merchant, order_id, challenge, moment, moment, "en")
    assert accepted(payment).decode() == vector["plaintext"]


def test_the_golden_signatures_of_the_merchant_open_and_their_neighbours_do_not() -> None:
    """The gateway's private key is not public, so the block is made here; the signature is the real one."""
    key = load_der_public_key(base64.b64decode(GOLDEN["spki_b64"]["merchant"]))
    assert isinstance(key, rsa.RSAPublicKey)
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    vectors = [one for one in GOLDEN["vectors"] if one["signer"] == "merchant"]
    assert len(vectors) == 2
    for vector in vectors:
        inside = vector["plaintext"].encode()
        signature = base64.b64decode(vector["signature_b64"])
        block = own.public_key().encrypt(inside, PKCS1v15())
        opened = open_request(block, signature, gateway=own, merchant=key, strict_hash=True)
        assert opened.fields["merchantId"] == "683002007104225" and opened.hash_name == "SHA-256"
        other = own.public_key().encrypt(inside.replace(b":", b": ", 1), PKCS1v15())
        with pytest.raises(Refusal) as refused:
            open_request(other, signature, gateway=own, merchant=key, strict_hash=True)
        assert refused.value.code == "058"


async def test_initialize_answers_with_a_reference_that_names_the_order(
    nagad: NagadShop, clock: FakeClock
) -> None:
    clock.moment = datetime(2026, 1, 31, 18, 4, 5, 678_000, tzinfo=UTC)
    answer = await nagad.initialize("Order00042")
    assert answer.status_code == 200 and set(answer.json()) == {"sensitiveData", "signature"}
    assert all(len(answer.json()[name]) == 344 for name in answer.json())
    inside = nagad.opened(answer.json())
    found = json.loads(inside)
    assert list(found) == ["paymentReferenceId", "challenge", "acceptDateTime"]
    assert inside == dumps(found) and b"\\" not in inside
    assert re.fullmatch("[0-9a-f]{20}", found["challenge"])
    assert found["acceptDateTime"] == "20260201000405"  # Dhaka is a day ahead by then
    decoded = base64.b64decode(found["paymentReferenceId"]).decode()
    assert decoded == f"0201000405678.{MERCHANT}.Order00042.{found['challenge']}"


@pytest.mark.parametrize("prefix", ["/api/dfs", "/remote-payment-gateway-1.0/api/dfs"])
async def test_a_payment_from_its_order_to_its_look_up(
    nagad: NagadShop, clock: FakeClock, prefix: str
) -> None:
    nagad.prefix = prefix
    reference, challenge, order_id = await nagad.started()
    early = await nagad.verify(reference)
    assert early["status"] == "OrderInitiated" and early["statusCode"] is None and early["amount"] is None
    answer = await nagad.complete(
        reference,
        challenge,
        order_id,
        "1250.50",
        outer={"additionalMerchantInfo": {"serviceName": "বই", "u": "a/b"}},
    )
    page = f"http://127.0.0.1:28600/check-out/{reference}"
    assert answer.json() == {"callBackUrl": page, "status": "Success"}
    assert list(answer.json()) == ["callBackUrl", "status"]
    assert (await nagad.verify(reference))["status"] == "Ready"
    clock.step(seconds=64)
    await nagad.approve(reference)
    found = await nagad.verify(reference)
    assert list(found) == [
        "merchantId",
        "orderId",
        "paymentRefId",
        "amount",
        "clientMobileNo",
        "merchantMobileNo",
        "orderDateTime",
        "issuerPaymentDateTime",
        "issuerPaymentRefNo",
        "additionalMerchantInfo",
        "status",
        "statusCode",
        "cancelIssuerDateTime",
        "cancelIssuerRefNo",
        "serviceType",
    ]
    assert re.fullmatch("[0-9A-Z]{8}", found.pop("issuerPaymentRefNo"))
    assert found == {
        "merchantId": MERCHANT,
        "orderId": order_id,
        "paymentRefId": reference,
        "amount": "1250.50",
        "clientMobileNo": "017****8575",
        "merchantMobileNo": "01000000000",
        "orderDateTime": "2026-01-31 18:00:00.0",
        "issuerPaymentDateTime": "2026-01-31 18:01:04.0",
        "additionalMerchantInfo": '{"serviceName":"বই","u":"a/b"}',
        "status": "Success",
        "statusCode": "000",
        "cancelIssuerDateTime": None,
        "cancelIssuerRefNo": None,
        "serviceType": "REGULAR_ECOM",
    }
    row = await nagad.book(reference)
    assert (row["captured"], row["refunded"], row["state"]) == ("1250.50", "0.00", "Success")


# --- initialize: one check after the other ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(HEADERS))
@pytest.mark.parametrize("value", [None, " "])
async def test_a_missing_header(nagad: NagadShop, name: str, value: str | None) -> None:
    nagad.headers = {key: found for key, found in HEADERS.items() if key != name}
    if value is not None:
        nagad.headers[name] = value
    assert code(await nagad.initialize()) == "064"


@pytest.mark.parametrize(
    ("merchant", "expected"), [("68x", "004"), ("680000000000002", "052"), ("68000000000000১", "004")]
)
async def test_a_merchant_nobody_knows(nagad: NagadShop, merchant: str, expected: str) -> None:
    assert code(await nagad.initialize(merchant=merchant)) == expected


async def test_a_merchant_header_of_somebody_else(nagad: NagadShop) -> None:
    nagad.headers["X-KM-MC-Id"] = "680000000000002"
    assert code(await nagad.initialize()) == "050"
    nagad.headers["X-KM-MC-Id"] = MERCHANT
    assert (await nagad.initialize()).status_code == 200


async def test_an_inactive_merchant(nagad: NagadShop, app: Starlette) -> None:
    from dataclasses import replace

    known = app.state.world.gateways["nagad"].merchants
    known[MERCHANT] = replace(known[MERCHANT], active=False)
    assert code(await nagad.initialize()) == "053"


@pytest.mark.parametrize("order_id", ["abcd", "a" * 21, "INV-12345", "inv_12345", "inv 12345", "অর্ডার১২৩"])
async def test_an_order_id_that_is_none(nagad: NagadShop, order_id: str) -> None:
    assert code(await nagad.initialize(order_id)) == "068"


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        ({"sensitiveData": ...}, "040"),
        ({"signature": ...}, "040"),
        ({"sensitiveData": "no base64"}, "069"),
        ({"sensitiveData": ""}, "069"),
        ({"sensitiveData": 5}, "069"),
        ({"sensitiveData": "A" * 1028}, "069"),
        ({"sensitiveData": "QUJD"}, "057"),
        ({"sensitiveData": base64.b64encode(b"\xff" * 256).decode()}, "057"),
        ({"sensitiveData": base64.b64encode(b"\x01" * 256).decode()}, "057"),
        ({"signature": "QUJD"}, "058"),
        ({"signature": base64.b64encode(b"\x01" * 256).decode()}, "058"),
        ({"dateTime": ...}, "059"),
        ({"dateTime": "2026-01-31"}, "081"),
        ({"dateTime": 20260131180000}, "081"),
    ],
)
async def test_what_the_body_around_must_be(nagad: NagadShop, outer: dict[str, Any], expected: str) -> None:
    assert code(await nagad.initialize(outer=outer)) == expected


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ({"datetime": ..., "dateTime": "20260131180000"}, "059"),  # the vendor guide's mistake
        ({"challenge": ...}, "059"),
        ({"challenge": ""}, "059"),
        ({"merchantId": ...}, "059"),
        ({"merchantId": "680000000000002"}, "059"),
        ({"orderId": "Order99999"}, "059"),
        ({"challenge": ["x"]}, "059"),
        ({"datetime": "2026131180000"}, "081"),  # a month without its zero
        ({"datetime": "20260231180000"}, "081"),
        ({"datetime": "20260131120000"}, "076"),  # the time in UTC
        ({"datetime": "20260131174459"}, "076"),
        ({"datetime": "20260131181501"}, "076"),
    ],
)
async def test_what_must_be_inside(nagad: NagadShop, inside: dict[str, Any], expected: str) -> None:
    assert code(await nagad.initialize(inside=inside)) == expected


@pytest.mark.parametrize("moment", ["20260131174500", "20260131180000", "20260131181500"])
async def test_a_clock_may_be_off_by_a_quarter_of_an_hour(nagad: NagadShop, moment: str) -> None:
    assert (await nagad.initialize(inside={"datetime": moment})).status_code == 200


async def test_an_order_id_is_good_once_a_day(nagad: NagadShop, clock: FakeClock) -> None:
    assert (await nagad.initialize("Order00001")).status_code == 200
    assert code(await nagad.initialize("Order00001")) == "083"
    clock.step(hours=6)  # midnight in Dhaka, six in the evening in UTC
    assert (await nagad.initialize("Order00001")).status_code == 200


async def test_nothing_is_kept_of_what_was_refused(nagad: NagadShop) -> None:
    assert code(await nagad.initialize("Order00001", inside={"challenge": ""})) == "059"
    assert (await nagad.initialize("Order00001")).status_code == 200
    assert len((await nagad.books())["payments"]) == 1


async def test_sha1_is_refused_and_passes_only_where_it_is_asked_for(
    nagad: NagadShop, clock: FakeClock
) -> None:
    def signed_the_old_way(shop: NagadShop) -> dict[str, Any]:
        text = {"merchantId": MERCHANT, "datetime": shop.now(), "orderId": "Order00001", "challenge": "c"}
        return {**shop.sealed(dumps(text), SHA1()), "dateTime": shop.now()}

    path = f"/check-out/initialize/{MERCHANT}/Order00001"
    assert code(await nagad.post(path, signed_the_old_way(nagad))) == "058"
    async with with_rules(clock, Rules(strict_hash=False)) as http:
        lenient = await NagadShop.of(http, clock)
        assert (await lenient.post(path, signed_the_old_way(lenient))).status_code == 200
        assert any("SHA-1" in rule for rule in await lenient.manners())


async def test_sealed_json_with_spaces_in_any_order_and_a_bare_number_as_challenge(nagad: NagadShop) -> None:
    text = f'{{ "challenge" : 348027480, "orderId": "Order00001",\n "datetime": "{nagad.now()}", '
    text += f'"merchantId": "{MERCHANT}" }}'
    body = {**nagad.sealed(text.encode()), "dateTime": nagad.now()}
    assert (await nagad.post(f"/check-out/initialize/{MERCHANT}/Order00001", body)).status_code == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[1]", "060"),
        (b'"text"', "060"),
        (b'{"challenge":"\\ud800"}', "060"),
        (b"not json", "057"),
        (b"\xff\xfe", "057"),
        (b'{"challenge":NaN}', "057"),
    ],
)
async def test_sealed_nonsense(nagad: NagadShop, text: bytes, expected: str) -> None:
    body = {**nagad.sealed(text), "dateTime": nagad.now()}
    assert code(await nagad.post(f"/check-out/initialize/{MERCHANT}/Order00001", body)) == expected


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b"<html>", b"\xff", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 60_000]
)
async def test_a_body_that_is_no_object(nagad: NagadShop, body: bytes) -> None:
    assert code(await nagad.post(f"/check-out/initialize/{MERCHANT}/Order00001", body)) == "999"


async def test_a_body_without_end(nagad: NagadShop) -> None:
    answer = await nagad.post(f"/check-out/initialize/{MERCHANT}/Order00001", b" " * 70_000)
    assert answer.status_code == 413 and answer.json()["reason"] == "16_0006_999"


async def test_the_bodys_time_may_be_called_datetime_and_is_noted(nagad: NagadShop) -> None:
    answer = await nagad.initialize(outer={"dateTime": ..., "datetime": nagad.now()})
    assert answer.status_code == 200
    assert "the body's time is called dateTime, not datetime" in await nagad.manners()


async def test_a_client_address_that_is_none_is_noted(nagad: NagadShop) -> None:
    nagad.headers["X-KM-IP-V4"] = "UNKNOWN"
    assert (await nagad.initialize()).status_code == 200
    assert any("IPv4" in rule for rule in await nagad.manners())


# --- complete ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "outer", "expected"),
    [
        ({"challenge": "0" * 20}, {}, "059"),
        ({"challenge": ...}, {}, "059"),
        ({"merchantId": "680000000000002"}, {}, "059"),
        ({"orderId": "Order99999"}, {}, "059"),
        ({"currencyCode": "840"}, {}, "080"),
        ({"otherAmount": {"serviceFee": "2.56"}}, {}, "059"),
        ({}, {"sensitiveData": ...}, "040"),
        ({}, {"merchantCallbackURL": ...}, "999"),
        ({}, {"merchantCallbackURL": "ftp://shop.example/"}, "999"),
        ({}, {"merchantCallbackURL": "http://a"}, "999"),
        ({}, {"merchantCallbackURL": "http://a/" + "x" * 250}, "999"),
        ({}, {"merchantCallbackURL": "http://shop.example/\r\nX: y"}, "999"),
        ({}, {"merchantCallbackURL": 7}, "999"),
        ({}, {"additionalMerchantInfo": "text"}, "999"),
        ({}, {"additionalMerchantInfo": {"a": "x" * 2048}}, "999"),
    ],
)
async def test_what_complete_refuses(
    nagad: NagadShop, inside: dict[str, Any], outer: dict[str, Any], expected: str
) -> None:
    reference, challenge, order_id = await nagad.started()
    answer = await nagad.complete(reference, challenge, order_id, inside=inside, outer=outer)
    assert code(answer) == expected
    assert (await nagad.complete(reference, challenge, order_id)).status_code == 200  # nothing was spoiled


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "-1", "1.005", "1,500", "abc", "", True, None, [1], "1" * 16, 1.005]
)
async def test_an_amount_that_is_none(nagad: NagadShop, amount: Any) -> None:
    reference, challenge, order_id = await nagad.started()
    assert code(await nagad.complete(reference, challenge, order_id, amount)) == "059"


@pytest.mark.parametrize(
    ("amount", "echoed"),
    [("100", "100"), ("100.00", "100.00"), ("10.7", "10.7"), (100, "100"), (10.25, "10.25"), (100.0, "100")],
)
async def test_an_amount_comes_back_as_it_was_sent(nagad: NagadShop, amount: Any, echoed: str) -> None:
    reference, _ = await nagad.ready(amount)
    assert (await nagad.verify(reference))["amount"] == echoed


async def test_what_may_be_left_out_or_be_too_much(nagad: NagadShop) -> None:
    reference, challenge, order_id = await nagad.started()
    outer = {"dateTime": nagad.now(), "paymentRefId": reference, "additionalMerchantInfo": {}}
    answer = await nagad.complete(reference, challenge, order_id, inside={"currencyCode": ...}, outer=outer)
    assert answer.status_code == 200
    assert (await nagad.verify(reference))["additionalMerchantInfo"] == "{}"


async def test_a_service_fee_belongs_to_the_newer_version(nagad: NagadShop) -> None:
    reference, challenge, order_id = await nagad.started()
    newer = {"X-KM-Api-Version": "v-3.0.1"}
    fee = {"otherAmount": {"serviceFee": "2.56"}}
    answer = await nagad.complete(reference, challenge, order_id, inside=fee, headers=newer)
    assert answer.status_code == 200


async def test_complete_goes_once_and_not_for_ever(nagad: NagadShop, clock: FakeClock) -> None:
    reference, challenge, order_id = await nagad.started()
    assert (await nagad.complete(reference, challenge, order_id)).status_code == 200
    assert code(await nagad.complete(reference, challenge, order_id)) == "017"
    late, challenge, order_id = await nagad.started()
    clock.step(seconds=3601)
    assert code(await nagad.complete(late, challenge, order_id)) == "017"
    assert code(await nagad.complete("QUJD", challenge, order_id)) == "055"


async def test_the_portal_may_hold_the_callback_url(clock: FakeClock) -> None:
    async with with_rules(clock, Rules(default_callback_url="http://127.0.0.1:9/portal")) as http:
        shop = await NagadShop.of(http, clock)
        reference, _ = await shop.ready(outer={"merchantCallbackURL": ...})
        assert (await shop.approve(reference))["redirect"].startswith("http://127.0.0.1:9/portal/?merchant=")


# --- paths, methods, verify -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/check-out/complete/{ref}",
        "//check-out/complete/{ref}",
        "/check-out/Complete/{ref}",
        "/check-out/complete/{ref}/",
        "/check-out/complete/{quoted}",
        "/check-out/complete/{lower}",
        "/check-out/complete/{twice}",
    ],
)
async def test_paths_as_real_clients_write_them(nagad: NagadShop, path: str) -> None:
    order_id = next(one for one in ("Order00001", "Order0001", "Order001") if padded(one))
    reference, challenge, order_id = await nagad.started(order_id)
    assert reference.endswith("=")
    written = path.format(
        ref=reference,
        quoted=reference.replace("=", "%3D"),
        lower=reference.replace("=", "%3d"),
        twice=reference.replace("=", "%253D"),
    )
    answer = await nagad.complete(reference, challenge, order_id, path=written)
    assert answer.status_code == 200


def padded(order_id: str) -> bool:
    """Whether a reference of this order ends in `=`: its length decides."""
    return len(f"{'0' * 13}.{MERCHANT}.{order_id}.{'0' * 20}") % 3 != 0


async def test_a_base_address_that_ends_in_a_slash(nagad: NagadShop) -> None:
    for prefix in (
        "//api/dfs",
        "/remote-payment-gateway-1.0//api/dfs",
        "//remote-payment-gateway-1.0/api/dfs",
        "//remote-payment-gateway-1.0//api//dfs/",
    ):
        nagad.prefix = "http://127.0.0.1:28600" + prefix
        assert (await nagad.initialize()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/check-out/complete/x"),
        ("POST", "/verify/payment/x"),
        ("PUT", "/check-out/initialize/1/2"),
        ("GET", "/checkout/initialize/1/2"),
        ("POST", "/purchase/refund"),
        ("GET", ""),
        ("GET", "/verify/payment"),
        ("GET", "/../.."),
    ],
)
async def test_a_route_that_nagad_has_not(nagad: NagadShop, method: str, path: str) -> None:
    answer = await nagad.http.request(method, nagad.prefix + path, follow_redirects=False)
    assert answer.status_code == 404 and answer.json()["reason"] == "16_0006_999"
    assert (await nagad.wire())[-1]["operation"] == "unknown"


async def test_verify_needs_no_header_unless_told(nagad: NagadShop, clock: FakeClock) -> None:
    assert (await nagad.verify("QUJD"))["reason"] == "16_0006_055"
    async with with_rules(clock, Rules(headers_on_verify=True)) as http:
        shop = await NagadShop.of(http, clock)
        reference, _ = await shop.ready()
        assert (await shop.verify(reference))["reason"] == "16_0006_064"


async def test_refusals_may_have_another_http_status(clock: FakeClock) -> None:
    async with with_rules(clock, Rules(refusal_status=200)) as http:
        shop = await NagadShop.of(http, clock)
        answer = await shop.initialize("no")
        assert answer.status_code == 200 and answer.json()["reason"] == "16_0006_068"


async def test_a_wider_window_where_it_is_asked_for(clock: FakeClock) -> None:
    async with with_rules(clock, Rules(window_s=86_400)) as http:
        shop = await NagadShop.of(http, clock)
        answer = await shop.initialize(inside={"datetime": "20260131120000"})
        assert answer.status_code == 200


async def test_the_callback_is_where_the_payer_goes(nagad: NagadShop) -> None:
    reference, _ = await nagad.ready()
    redirect = (await nagad.approve(reference))["redirect"]
    assert redirect.startswith(f"{CALLBACK}/?merchant={MERCHANT}&order_id=")

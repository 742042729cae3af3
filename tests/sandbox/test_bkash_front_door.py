"""Tokens, headers, wrong routes: what stands before bKash's own rules, and what real clients may send."""

import base64
import json

import httpx
import pytest

from tests.sandbox.shop import CREDENTIALS, V1, FakeClock, Shop
from vextrus_payments_sandbox import create_app


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    claims: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


async def test_a_grant_has_the_real_shape(shop: Shop, clock: FakeClock) -> None:
    answer = await shop.grant()
    body = answer.json()
    assert (body["statusCode"], body["token_type"], body["expires_in"]) == ("0000", "Bearer", 3600)
    assert body["id_token"].count(".") == 2 and 800 < len(body["id_token"]) < 1100
    assert body["refresh_token"].count(".") == 4 and 1500 < len(body["refresh_token"]) < 2000
    claims = claims_of(body["id_token"])
    now = int(clock.now().timestamp())
    assert (claims["aud"], claims["iat"], claims["exp"]) == (CREDENTIALS["app_key"], now, now + 3600)
    assert claims["token_use"] == "id"


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({"app_key": "wrong"}, {"statusCode": "2001", "statusMessage": "Invalid App Key"}),
        ({"app_secret": "wrong"}, {"statusCode": "2001", "statusMessage": "Invalid App Key"}),
        ({"password": "wrong"}, {"status": "fail", "msg": "Invalid username and password combination"}),
        ({"username": "wrong"}, {"status": "fail", "msg": "Invalid username and password combination"}),
    ],
)
async def test_wrong_credentials_get_no_token(
    shop: Shop, changes: dict[str, str], body: dict[str, str]
) -> None:
    answer = await shop.grant(**changes)
    assert (answer.status_code, answer.json()) == (200, body)


async def test_credentials_belong_into_headers(shop: Shop) -> None:
    answer = await shop.http.post(f"{V1}/tokenized/checkout/token/grant", json=CREDENTIALS)
    assert answer.status_code == 400
    assert answer.json() == {"message": "Missing required request parameters: [password, username]"}


async def test_a_refresh_token_gives_a_new_token(shop: Shop, clock: FakeClock) -> None:
    granted = (await shop.grant()).json()
    body = {key: CREDENTIALS[key] for key in ("app_key", "app_secret")}
    headers = {key: CREDENTIALS[key] for key in ("username", "password")}

    async def refresh(token: str) -> dict[str, str]:
        wish = {**body, "refresh_token": token}
        answer = await shop.http.post(f"{V1}/tokenized/checkout/token/refresh", headers=headers, json=wish)
        found: dict[str, str] = answer.json()
        return found

    clock.step(hours=2)
    shop.token = (await refresh(granted["refresh_token"]))["id_token"]
    assert (await shop.create())["statusCode"] == "0000"
    assert (await refresh(granted["refresh_token"][:-2] + "AA"))["statusCode"] == "2079"
    assert (await refresh(granted["id_token"]))["statusCode"] == "2079"
    clock.step(days=28)
    assert (await refresh(granted["refresh_token"]))["statusCode"] == "2079"


async def test_a_token_lives_an_hour_and_survives_a_restart(shop: Shop, clock: FakeClock) -> None:
    reborn = create_app(clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(reborn), base_url="http://127.0.0.1") as http:
        later = Shop(http, shop.token)
        clock.step(seconds=3599)
        assert (await later.create())["statusCode"] == "0000"
        clock.step(seconds=1)
        answer = await later.post("create", {})
        assert (answer.status_code, answer.json()) == (401, {"message": "The incoming token has expired"})


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "a.b", "é.é.é", "Bearer", "..", "a" * 10_000])
async def test_a_token_that_is_not_ours_is_unauthorized(shop: Shop, token: str) -> None:
    headers = {"Authorization": token.encode("utf-8"), "X-App-Key": CREDENTIALS["app_key"].encode()}
    answer = await shop.http.post(f"{V1}/tokenized/checkout/create", json={}, headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


async def test_a_token_that_was_touched_is_unauthorized(shop: Shop) -> None:
    head, body, signature = shop.token.split(".")
    claims = {**claims_of(shop.token), "exp": 9_999_999_999}
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    for token in (f"{head}.{forged}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}."):
        assert (await shop.post("create", {}, {"Authorization": token})).status_code == 401


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer "])
@pytest.mark.parametrize(
    ("authorization", "key"), [("Authorization", "X-APP-Key"), ("AUTHORIZATION", "x-app-key")]
)
async def test_with_or_without_bearer_in_any_case(
    shop: Shop, prefix: str, authorization: str, key: str
) -> None:
    headers = {authorization: prefix + shop.token, key: CREDENTIALS["app_key"]}
    answer = await shop.http.post(
        f"{V1}/tokenized/checkout/execute", json={"paymentID": "x"}, headers=headers
    )
    assert answer.json()["statusCode"] == "2002"


async def test_the_app_key_must_be_the_tokens(shop: Shop) -> None:
    answer = await shop.post("create", {}, {"X-APP-Key": "another"})
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


@pytest.mark.parametrize(
    "path", [f"{V1}/tokenized/checkout/nothing", "/tokenized/checkout/create", "/v2/x", "/x/"]
)
async def test_an_unknown_route_speaks_like_amazon(shop: Shop, path: str) -> None:
    with_token = await shop.http.post(path, json={}, headers={"Authorization": shop.token})
    without = await shop.http.get(path)
    assert with_token.status_code == without.status_code == 403
    assert with_token.json()["message"].startswith("Authorization header requires 'Credential' parameter.")
    assert without.json() == {"message": "Missing Authentication Token"}
    assert [call["operation"] for call in await shop.wire()][-2:] == ["unknown", "unknown"]


async def test_a_wrong_method_is_an_unknown_route(shop: Shop) -> None:
    assert (await shop.http.get(f"{V1}/tokenized/checkout/execute")).status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"a":[]}', b"\xff", b'{"paymentID":"a","paymentID":"b"}']
)
async def test_a_body_that_cannot_be_read_is_refused(shop: Shop, body: bytes) -> None:
    headers = {"Authorization": shop.token, "X-App-Key": CREDENTIALS["app_key"]}
    answer = await shop.http.post(f"{V1}/tokenized/checkout/execute", content=body, headers=headers)
    assert (answer.status_code, answer.json()["statusCode"]) == (200, "2025")


async def test_a_body_without_end_is_cut_off(shop: Shop) -> None:
    answer = await shop.post("create", {"payerReference": "x" * 100_000})
    assert answer.status_code == 413


async def test_both_spellings_of_ids_are_read(shop: Shop) -> None:
    payment_id = await shop.approved()
    assert (await shop.ask("execute", {"paymentId": payment_id}))["transactionStatus"] == "Completed"


async def test_unstorable_text_is_refused_not_echoed(shop: Shop) -> None:
    headers = {"Authorization": shop.token, "X-App-Key": CREDENTIALS["app_key"]}
    lone = await shop.http.post(
        f"{V1}/tokenized/checkout/execute", content=b'{"paymentID":"\\ud800"}', headers=headers
    )
    assert lone.json()["statusCode"] == "2025"
    assert (await shop.create(merchantInvoiceNumber="a\x00b"))["statusCode"] == "2031"


# --------------------------------------------------------------------------------------------- the budget


async def test_grants_are_always_recorded_and_never_enforced_by_default(shop: Shop) -> None:
    for _ in range(4):
        assert "id_token" in (await shop.grant()).json()
    grants = (await shop.http.get("/_sandbox/grants")).json()["grants"]
    assert [grant["over_budget"] for grant in grants] == [False, False, True, True, True]
    assert not any(grant["refused"] for grant in grants)


async def test_strict_manners_allow_two_grants_then_block_for_an_hour(clock: FakeClock) -> None:
    app = create_app(clock=clock, strict_manners=True)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        clock.step(minutes=30)
        assert (await shop.grant()).status_code == 200
        clock.step(minutes=5)
        refused = await shop.grant()
        assert (refused.status_code, refused.json()) == (429, {"message": "Too Many Requests"})
        clock.step(minutes=30)  # the first grant has left the window, but the block stands
        assert (await shop.grant()).status_code == 429
        clock.step(minutes=30)
        assert (await shop.grant()).status_code == 200
        await shop.open()
        first = await shop.create(merchantInvoiceNumber="INV-9")
        assert (await shop.create(merchantInvoiceNumber="INV-9"))["statusCode"] == "2031"
        assert first["statusCode"] == "0000"


async def test_missed_manners_are_noted(shop: Shop) -> None:
    paid, _ = await shop.paid("10")
    await shop.query(paid)
    await shop.execute(paid)
    cancelled = (await shop.create("20", merchantInvoiceNumber="INV-1"))["paymentID"]
    await shop.approve(cancelled, "cancel")
    await shop.execute(cancelled)
    lost = await shop.approved("30")
    await shop.execute(lost, **{"X-Sandbox-Fault": "error_5xx_after"})
    await shop.query(lost)  # asked because nothing was answered: that is right
    manners = (await shop.http.get("/_sandbox/grants")).json()["manners"]
    assert [(miss["rule"], miss["reference"]) for miss in manners] == [
        ("query after execute had answered", paid),
        ("execute repeated", paid),
        ("invoice used for an earlier payment", cancelled),
        ("invoice asked for again with another amount: 10.00, now 20.00", cancelled),
        ("execute after the payer's page ended in Cancelled", cancelled),
    ]

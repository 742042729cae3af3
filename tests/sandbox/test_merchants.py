"""Several merchants in one sandbox: nobody sees, executes or gives back what is another's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox import nagad_shop
from tests.sandbox import shop as bkash_shop
from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import FakeClock, NoSleep, Shop
from vextrus_payments_sandbox import create_app, describe
from vextrus_payments_sandbox.exchange import ConnectionDroppedError


@dataclass
class OtherShop(Shop):
    """The same wire with the second merchant's credentials."""

    client: dict[str, str] | None = None

    async def grant(self, **changes: str) -> httpx.Response:
        return await super().grant(**({**(self.client or {})} | changes))


@pytest.fixture
def app(tmp_path: Path, clock: FakeClock) -> Starlette:
    return create_app(clock=clock, seed=1, sleeper=NoSleep(), merchants=2)


@pytest.fixture
async def merchants(app: Starlette, shop: Shop) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shop.http.get("/_sandbox/merchants")).json()["merchants"]
    return found


@pytest.fixture
async def other(shop: Shop, merchants: list[dict[str, Any]]) -> AsyncIterator[Shop]:
    second = next(one for one in merchants if one["gateway"] == "bkash" and one["name"] == "SandboxMerchant2")
    client = second["client"]
    made = OtherShop(shop.http, client=client, headers={"X-APP-Key": client["app_key"]})
    yield await made.open()


async def test_each_has_its_own_of_everything(merchants: list[dict[str, Any]]) -> None:
    for gateway in ("bkash", "nagad"):
        first, second = (one for one in merchants if one["gateway"] == gateway)
        assert first["account"] == f"merchant:{gateway}"
        assert second["account"] == f"merchant:{gateway}:SandboxMerchant2"
        same = {name for name in first["client"] if first["client"][name] == second["client"][name]}
        ours = {
            "bkash": {"base_url", "v2_base_url", "recurring_base_url"},
            "nagad": {"base_url", "gateway_public_key_file"},
        }
        assert same == ours.get(gateway, {"base_url"})


async def test_serve_shows_the_first_and_then_all(app: Starlette) -> None:
    told = describe("http://127.0.0.1:1", world=app.state.world)
    assert told["gateways"]["bkash"]["app_key"] == bkash_shop.CREDENTIALS["app_key"]
    assert [one["name"] for one in told["merchants"]["nagad"]] == ["SandboxMerchant", "SandboxMerchant2"]
    assert told["merchants"]["bkash"][0].items() >= told["gateways"]["bkash"].items()


async def test_bkash_keeps_them_apart(shop: Shop, other: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    approved = await shop.approved("20")
    held = await shop.approved("30", intent="authorization")
    await shop.execute(held)
    before = (await shop.books())["payments"]
    assert (await other.query(payment_id))["statusCode"] == "2061"
    assert (await other.execute(approved))["statusCode"] == "2061"
    assert (await other.refund(payment_id, trx_id, "10"))["statusCode"] == "2061"
    assert (await other.ask("general/searchTransaction", {"trxID": trx_id}))["statusCode"] == "2033"
    assert (await other.ask("payment/confirm/capture", {"paymentID": held}))["statusCode"] == "2061"
    assert (await other.ask("payment/confirm/void", {"paymentID": held}))["statusCode"] == "2061"
    assert (await other.refund_v2(payment_id, trx_id, "10")).status_code == 400
    assert (await shop.books())["payments"] == before


async def test_bkash_tokens_are_not_shared(shop: Shop, other: Shop) -> None:
    mixed = {"X-APP-Key": shop.headers.get("X-APP-Key", bkash_shop.CREDENTIALS["app_key"])}
    answer = await other.post("payment/status", {"paymentID": "x"}, mixed)
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
    theirs = bkash_shop.CREDENTIALS["app_secret"]
    assert (await other.grant(app_secret=theirs)).json()["statusCode"] == "2001"


async def test_bkash_money_lies_apart(app: Starlette, shop: Shop, other: Shop) -> None:
    await shop.paid("100")
    payment_id, trx_id = await other.paid("40")
    await other.refund(payment_id, trx_id, "15")
    books = app.state.world.books
    assert books.balance("merchant:bkash") == 10_000
    assert books.balance("merchant:bkash:SandboxMerchant2") == 2_500
    assert books.totals("bkash") == (14_000, 1_500)
    await shop.books()


async def test_the_same_amount_of_one_payer_at_two_merchants_is_no_duplicate(shop: Shop, other: Shop) -> None:
    await shop.paid("100")
    _, trx_id = await other.paid("100")
    assert trx_id
    await other.create("5", merchantInvoiceNumber="SAME")
    assert (await shop.create("5", merchantInvoiceNumber="SAME"))["statusCode"] == "0000"


async def nagad_shops(
    shop: Shop, merchants: list[dict[str, Any]], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> tuple[NagadShop, NagadShop, str]:
    mine = await NagadShop.of(shop.http, clock)
    client = next(
        one["client"] for one in merchants if one["gateway"] == "nagad" and one["name"] == "SandboxMerchant2"
    )
    theirs = await NagadShop.of(shop.http, clock)
    theirs.key = nagad_shop.private_key(client["merchant_private_key_file"])
    theirs.headers = theirs.headers | {"X-KM-MC-Id": client["merchant_id"]}
    return mine, theirs, client["merchant_id"]


async def test_nagad_keeps_them_apart(
    app: Starlette,
    shop: Shop,
    merchants: list[dict[str, Any]],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, theirs, number = await nagad_shops(shop, merchants, clock, monkeypatch)
    reference = await mine.paid("100")
    started = await mine.started()
    own = {"merchantId": number}
    assert (await theirs.refund(reference, "10")).json()["reason"].endswith("055")
    assert (await theirs.refund(reference, "10", inside=own)).json()["reason"].endswith("055")
    assert (await theirs.complete(*started)).json()["reason"].endswith("055")
    seen = await shop.http.get(f"{theirs.prefix}/verify/payment/{reference}", headers=theirs.headers)
    assert seen.json()["reason"].endswith("055")
    silent = theirs.headers.copy()
    del theirs.headers["X-KM-MC-Id"]  # whoever does not say who he is still cannot sign for another
    assert (await theirs.refund(reference, "10")).json()["reason"].endswith("058")
    assert (await theirs.complete(*started)).json()["reason"].endswith("058")
    theirs.headers = silent
    forged = await theirs.initialize("Theirs001", merchant=nagad_shop.MERCHANT)
    assert forged.json()["reason"][-3:] in ("050", "058")
    await mine.books()


async def test_nagad_merchants_may_use_the_same_order_id(
    app: Starlette,
    shop: Shop,
    merchants: list[dict[str, Any]],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine, theirs, number = await nagad_shops(shop, merchants, clock, monkeypatch)
    second, challenge, _ = await theirs.started("Same12345", merchant=number)
    first, _, _ = await mine.started("Same12345")  # the latest of this id, and none of theirs
    assert first != second
    answer = await theirs.complete(second, challenge, "Same12345", "60", inside={"merchantId": number})
    assert answer.status_code == 200, answer.text
    await theirs.approve(second)
    assert app.state.world.books.balance("merchant:nagad:SandboxMerchant2") == 6_000
    query = "?orderId=Same12345"
    inside = {"merchantId": number, "originalAmount": "60"}
    done = await theirs.refund(second, "20", inside=inside, query=query)
    assert done.status_code == 200, done.text
    assert app.state.world.books.balance("merchant:nagad:SandboxMerchant2") == 4_000


async def test_more_merchants_come_back_with_the_state(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    before = create_app(clock=clock, state=path, merchants=3)
    told = [one.facts for one in before.state.world.gateways["nagad"].merchants_at("")]
    before.state.keeper.close()
    after = create_app(clock=clock, state=path)
    assert [one.facts for one in after.state.world.gateways["nagad"].merchants_at("")] == told
    assert len(after.state.world.gateways["bkash"].merchants_at("")) == 3
    after.state.keeper.close()


async def test_a_payer_at_the_counter_pays_the_merchant_whose_code_he_scans(shop: Shop, other: Shop) -> None:
    wish = {"amount": "250.50", "merchant": "SandboxMerchant2"}
    made = (await shop.http.post("/_sandbox/walk_in", json=wish)).json()
    asked = {"trxID": made["transaction_id"]}
    assert (await other.ask("general/searchTransaction", asked))["amount"] == "250.50"
    assert (await shop.ask("general/searchTransaction", asked))["statusCode"] != "0000"
    balances = {
        one["name"]: one["balance"]
        for one in (await shop.http.get("/_sandbox/merchants")).json()["merchants"]
        if one["gateway"] == "bkash"
    }
    assert balances == {"SandboxMerchant": "0.00", "SandboxMerchant2": "250.50"}
    assert (await shop.books())["problems"] == []


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
async def test_a_stranger_whose_call_gets_lost_puts_nobody_else_in_the_wrong(
    shop: Shop, other: Shop, clock: FakeClock, fault: str
) -> None:
    payment_id = await shop.approved("25")
    with pytest.raises(ConnectionDroppedError):
        await other.execute(payment_id, **{"X-Sandbox-Fault": fault})
    notes = (await shop.http.get("/_sandbox/grants")).json()
    assert notes["owed"] == [] and notes["manners"] == []
    with pytest.raises(ConnectionDroppedError):
        await shop.execute(payment_id, **{"X-Sandbox-Fault": fault})
    assert [one["code"] for one in (await shop.http.get("/_sandbox/grants")).json()["owed"]] == [
        "lost_execute"
    ]
    assert (await shop.book(payment_id))["captured"] == ("25.00" if fault == "drop_after" else "0.00")

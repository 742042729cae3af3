"""bKash's payouts, transfers and balance in the sandbox (dossier §6): two accounts, and no idempotency."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import CREDENTIALS, CUSTOMER, FakeClock, NoSleep, Shop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.bkash.records import Rules

CHECKOUT, TOKENIZED = "/v1.2.0-beta/checkout", "/v1.2.0-beta/tokenized"
RECEIVER, EMPTY, BLOCKED = "01929918378", "01823074817", "01823074818"


class Payer:
    """A merchant's backend that pays out, by hand."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.invoices = 0

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        own = {
            "Authorization": self.shop.token,
            "X-APP-Key": CREDENTIALS["app_key"],
            "Content-Type": "application/json",
        }
        given = {} if body is None else {"json": body}
        return await self.shop.http.request(method, path, headers=own | headers, **given)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        answer = await self.call(method, path, body, **headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def body(self, amount: str = "500", **more: Any) -> dict[str, Any]:
        self.invoices += 1
        body = {
            "amount": amount,
            "currency": "BDT",
            "merchantInvoiceNumber": f"OUT-{self.invoices}",
            "receiverMSISDN": RECEIVER,
        }
        return {key: value for key, value in (body | more).items() if value is not None}

    async def b2c(self, amount: str = "500", **more: Any) -> dict[str, Any]:
        return await self.ask("POST", f"{CHECKOUT}/payment/b2cPayment", self.body(amount, **more))

    async def transfer(self, amount: str, way: str, root: str = f"{CHECKOUT}/payment") -> dict[str, Any]:
        body = {"amount": amount, "currency": "BDT", "transferType": way}
        return await self.ask("POST", f"{root}/intraAccountTransfer", body)

    async def balances(self, **headers: str) -> dict[str, str]:
        answer = await self.ask("GET", f"{CHECKOUT}/payment/organizationBalance", None, **headers)
        return {
            "collection" if "Collection" in one["accountTypeName"] else "disbursement": one["currentBalance"]
            for one in answer["organizationBalance"]
        }

    async def initiate(self, kind: str = "B2C", root: str = TOKENIZED) -> str:
        answer = await self.ask("POST", f"{root}/payout/initiate", {"type": kind, "reference": "salary-7"})
        return str(answer["payoutID"])


@pytest.fixture
def payer(shop: Shop) -> Payer:
    return Payer(shop)


async def problems(shop: Shop) -> list[str]:
    found: list[str] = (await shop.http.get("/_sandbox/books")).json()["problems"]
    return found


# ------------------------------------------------------------------------------------- the checkout product


async def test_a_payout_reaches_the_wallet_and_leaves_the_disbursement_account(
    shop: Shop, payer: Payer
) -> None:
    before = await payer.balances()
    answer = await payer.b2c("500.50")
    assert answer == {
        "trxID": answer["trxID"],
        "amount": "500.50",
        "currency": "BDT",
        "receiverMSISDN": RECEIVER,
        "merchantInvoiceNumber": "OUT-1",
        "transactionStatus": "Completed",
        "completedTime": "2026-01-31T12:00:00:000 GMT+0000",
        "b2cFee": "0.00",
    }
    assert await shop.balance(RECEIVER) == "100000500.50"
    assert (before, await payer.balances()) == (
        {"collection": "0.00", "disbursement": "100000.00"},
        {"collection": "0.00", "disbursement": "99499.50"},
    )
    assert await problems(shop) == []


async def test_the_balance_says_what_each_account_is(payer: Payer) -> None:
    answer = await payer.ask("GET", f"{CHECKOUT}/payment/organizationBalance")
    assert list(answer) == ["organizationBalance"]
    assert answer["organizationBalance"][0] == {
        "accountTypeName": "Merchant Collection Account",
        "accountStatus": "Active",
        "accountHolderName": "SandboxMerchant",
        "currentBalance": "0.00",
        "availableBalance": "0.00",
        "currency": "BDT",
        "updateTime": "2026-01-31T12:00:00:000 GMT+0000",
    }


async def test_the_same_call_twice_pays_twice(shop: Shop, payer: Payer) -> None:
    body = payer.body("100")
    first = await payer.ask("POST", f"{CHECKOUT}/payment/b2cPayment", body)
    second = await payer.ask("POST", f"{CHECKOUT}/payment/b2cPayment", body)
    assert first["trxID"] != second["trxID"]
    assert await shop.balance(RECEIVER) == "100000200.00"
    notes = (await shop.http.get("/_sandbox/grants")).json()["manners"]
    assert [(one["code"], one["reference"]) for one in notes] == [("payout_repeated", "OUT-1")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"amount": "0.99"}, "2006"),
        ({"amount": "1,000"}, "2006"),
        ({"amount": None}, "2065"),
        ({"currency": "USD"}, "2007"),
        ({"merchantInvoiceNumber": "a&b"}, "2031"),
        ({"merchantInvoiceNumber": None}, "2065"),
        ({"receiverMSISDN": "01000000000"}, "2012"),
        ({"receiverMSISDN": None}, "2065"),
        ({"receiverMSISDN": BLOCKED}, "2039"),
        ({"amount": "100000.01"}, "2023"),
    ],
)
async def test_what_is_refused_moves_nothing(
    shop: Shop, payer: Payer, changes: dict[str, Any], code: str
) -> None:
    before = await payer.balances()
    refused = await payer.ask("POST", f"{CHECKOUT}/payment/b2cPayment", payer.body("500") | changes)
    assert (refused["errorCode"], set(refused)) == (code, {"errorCode", "errorMessage"})
    assert await payer.balances() == before and await problems(shop) == []


async def test_all_that_lies_there_can_be_paid_out(shop: Shop, payer: Payer) -> None:
    await payer.b2c("100000")
    assert (await payer.balances())["disbursement"] == "0.00"
    assert (await payer.b2c("1"))["errorCode"] == "2023"  # and the bank does not fill it again


async def test_money_is_moved_between_the_merchants_own_accounts(shop: Shop, payer: Payer) -> None:
    payment_id, _ = await shop.paid("1000")
    answer = await payer.transfer("600.25", "Collection2Disbursement")
    assert answer == {
        "trxID": answer["trxID"],
        "amount": "600.25",
        "currency": "BDT",
        "transferType": "Collection2Disbursement",
        "transactionStatus": "Completed",
        "completedTime": "2026-01-31T12:00:00:000 GMT+0000",
    }
    assert await payer.balances() == {"collection": "399.75", "disbursement": "100600.25"}
    await payer.transfer("0100.25", "Disbursement2Collection")
    assert await payer.balances() == {"collection": "500.00", "disbursement": "100500.00"}
    for amount, way, code in (
        ("500.01", "Collection2Disbursement", "2023"),
        ("1", "Sideways", "2032"),
        ("0", "Disbursement2Collection", "2006"),
    ):
        assert (await payer.transfer(amount, way))["errorCode"] == code
    book = await shop.book(payment_id)
    assert (book["captured"], book["refunded"]) == ("1000.00", "0.00")  # a transfer is nobody's refund
    listed = (await shop.http.get("/_sandbox/payments")).json()
    assert (listed["captured"], listed["refunded"]) == ("1000.00", "0.00")
    assert await problems(shop) == []


async def test_what_was_moved_away_cannot_be_refunded(shop: Shop, payer: Payer) -> None:
    """At bKash a refund is taken from what lies in the account; nothing here may go below zero."""
    payment_id, trx_id = await shop.paid("1000")
    await payer.transfer("600", "Collection2Disbursement")
    refused = await shop.refund(payment_id, trx_id, "1000")
    assert refused["statusCode"] == "2081"
    assert (await shop.refund(payment_id, trx_id, "400"))["refundTrxID"]
    assert (await shop.book(payment_id))["refunded"] == "400.00"


async def test_a_fee_is_taken_and_named(clock: FakeClock) -> None:
    app = create_app(clock=clock, bkash=Rules(b2c_fee_minor=750, disbursement_minor=100_000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        payer = Payer(await Shop(http).open())
        assert (await payer.b2c("992.51"))["errorCode"] == "2023"  # the fee is not there
        assert (await payer.b2c("900"))["b2cFee"] == "7.50"
        assert (await payer.balances())["disbursement"] == "92.50"
        assert await problems(payer.shop) == []


async def test_a_merchant_may_begin_with_nothing(clock: FakeClock) -> None:
    app = create_app(clock=clock, bkash=Rules(disbursement_minor=0))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        payer = Payer(await Shop(http).open())
        assert (await payer.balances())["disbursement"] == "0.00"
        assert (await payer.b2c("1"))["errorCode"] == "2023"


# ---------------------------------------------------------------------------------------- initiated payouts


@pytest.mark.parametrize("root", [CHECKOUT, TOKENIZED])
@pytest.mark.parametrize("kind", ["B2C", "B2B"])
async def test_a_payout_by_id_can_be_asked_about(shop: Shop, payer: Payer, root: str, kind: str) -> None:
    is_coded = root == TOKENIZED
    asked = await payer.ask("POST", f"{root}/payout/initiate", {"type": kind, "reference": "salary-7"})
    payout_id = asked["payoutID"]
    assert (asked["type"], asked["reference"]) == (kind, "salary-7")
    assert asked["initiationTime"].endswith("GMT+0600" if is_coded else "GMT+0000")
    assert ("statusCode" in asked) == is_coded
    query = f"{root}/payout/query/{payout_id}"
    waiting = await payer.ask("GET", query)
    assert waiting["transactionStatus"] == "Initiated" and "trxID" not in waiting
    body = payer.body("70", payoutID=payout_id)
    paid = await payer.ask("POST", f"{root}/payout/{kind.lower()}", body)
    assert (paid["payoutID"], paid["transactionStatus"]) == (payout_id, "Completed")
    made = await payer.ask("GET", query)
    assert (made["trxID"], made["amount"], made["merchantInvoiceNumber"]) == (
        paid["trxID"],
        "70",
        body["merchantInvoiceNumber"],
    )
    again = await payer.ask("POST", f"{root}/payout/{kind.lower()}", body)
    assert again["statusCode" if is_coded else "errorCode"] == "2068"
    assert await shop.balance(RECEIVER) == "100000070.00"
    assert await problems(shop) == []


async def test_the_refusals_of_a_payout_by_id(shop: Shop, payer: Payer) -> None:
    for body, code in (
        ({"type": "B2X", "reference": "r"}, "2063"),
        ({"type": "B2C"}, "2065"),
        ({"reference": "r"}, "2065"),
        ({"type": "B2C", "reference": "a<b"}, "2048"),
    ):
        assert (await payer.ask("POST", f"{TOKENIZED}/payout/initiate", body))["statusCode"] == code
    payout_id = await payer.initiate("B2B")
    pay = f"{TOKENIZED}/payout/b2c"
    assert (await payer.ask("POST", pay, payer.body(payoutID=payout_id)))["statusCode"] == "2063"
    assert (await payer.ask("POST", pay, payer.body(payoutID="PO0")))["statusCode"] == "2033"
    assert (await payer.ask("POST", pay, payer.body()))["statusCode"] == "2065"
    assert (await payer.ask("GET", f"{TOKENIZED}/payout/query/PO0"))["statusCode"] == "2033"
    own = await payer.initiate()
    poor = payer.body("100001", payoutID=own)
    assert (await payer.ask("POST", pay, poor))["statusCode"] == "2023"
    assert (await payer.ask("POST", pay, payer.body("1", payoutID=own)))["trxID"]  # a refusal used up nothing


async def test_what_was_paid_without_an_id_cannot_be_asked_about(payer: Payer) -> None:
    trx_id = (await payer.b2c())["trxID"]
    assert (await payer.ask("GET", f"{CHECKOUT}/payout/query/{trx_id}"))["errorCode"] == "2033"


async def test_the_tokenized_host_moves_money_between_accounts(payer: Payer) -> None:
    answer = await payer.transfer("5", "Disbursement2Collection", f"{TOKENIZED}/payout")
    assert (answer["statusCode"], answer["transactionStatus"]) == ("0000", "Completed")
    assert answer["completedTime"].endswith("GMT+0600")
    assert await payer.balances() == {"collection": "5.00", "disbursement": "99995.00"}


async def test_merchants_do_not_share_accounts_or_payouts(clock: FakeClock) -> None:
    app = create_app(clock=clock, merchants=2)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        first = Payer(await Shop(http).open())
        facts = app.state.world.gateways["bkash"].merchants_at("http://127.0.0.1")[1].facts
        token = (await first.shop.grant(**{key: facts[key] for key in CREDENTIALS})).json()["id_token"]
        theirs = {"Authorization": token, "X-APP-Key": facts["app_key"]}
        await first.b2c("500")
        assert (await first.balances())["disbursement"] == "99500.00"
        assert (await first.balances(**theirs))["disbursement"] == "100000.00"
        payout_id = await first.initiate()
        query = f"{TOKENIZED}/payout/query/{payout_id}"
        assert (await first.ask("GET", query, None, **theirs))["statusCode"] == "2061"
        body = first.body(payoutID=payout_id)
        refused = await first.ask("POST", f"{TOKENIZED}/payout/b2c", body, **theirs)
        assert refused["statusCode"] == "2061"
        lost = first.body("7")
        pay = f"{CHECKOUT}/payment/b2cPayment"
        await first.call("POST", pay, lost, **theirs, **{"X-Sandbox-Fault": "error_5xx_after"})
        for asking, owed in (({}, 1), (theirs, 0)):
            await first.balances(**asking)  # one merchant's look does not settle what the other does not know
            assert len((await http.get("/_sandbox/grants")).json()["owed"]) == owed
        assert await problems(first.shop) == []


@pytest.mark.parametrize(
    "path",
    [
        f"{CHECKOUT}/payment/organizationBalance",
        f"{CHECKOUT}/payout/query/x",
        f"{TOKENIZED}/payout/query/x",
    ],
)
async def test_a_get_without_content_type_is_turned_away(shop: Shop, path: str) -> None:
    headers = {"Authorization": shop.token, "X-APP-Key": CREDENTIALS["app_key"]}
    answer = await shop.http.get(path, headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"message": "Missing required request parameters: [Content-Type]"}


# -------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("balance", "GET", f"{CHECKOUT}/payment/organizationBalance"),
        ("transfer", "POST", f"{CHECKOUT}/payment/intraAccountTransfer"),
        ("transfer", "POST", f"{TOKENIZED}/payout/intraAccountTransfer"),
        ("payout", "POST", f"{CHECKOUT}/payment/b2cPayment"),
        ("payout", "POST", f"{CHECKOUT}/payout/b2b"),
        ("payout", "POST", f"{CHECKOUT}/payout/b2c"),
        ("payout", "POST", f"{TOKENIZED}/payout/b2b"),
        ("payout", "POST", f"{TOKENIZED}/payout/b2c"),
        ("payout_initiate", "POST", f"{CHECKOUT}/payout/initiate"),
        ("payout_initiate", "POST", f"{TOKENIZED}/payout/initiate"),
        ("payout_query", "GET", f"{CHECKOUT}/payout/query/x"),
        ("payout_query", "GET", f"{TOKENIZED}/payout/query/x"),
    ],
)
async def test_the_dial_strikes_every_one_of_them(
    shop: Shop, payer: Payer, operation: str, method: str, path: str
) -> None:
    order = {"gateway": "bkash", "operation": operation, "fault": "code_before;code=2003"}
    assert (await shop.http.post("/_sandbox/faults", json=order)).status_code == 200
    answer = await payer.ask(method, path, {} if method == "POST" else None)
    assert answer["errorCode" if path.startswith(CHECKOUT) else "statusCode"] == "2003"
    assert (await shop.wire())[-1]["operation"] == operation


async def test_a_lost_payout_shows_in_the_balance_and_is_owed_a_look(
    shop: Shop, payer: Payer, clock: FakeClock
) -> None:
    body = payer.body("500")
    lost = await payer.call(
        "POST", f"{CHECKOUT}/payment/b2cPayment", body, **{"X-Sandbox-Fault": "error_5xx_after"}
    )
    assert lost.status_code == 504
    notes = (await shop.http.get("/_sandbox/grants")).json()
    assert [(one["code"], one["reference"]) for one in notes["owed"]] == [("lost_payout", "OUT-1")]
    assert (await payer.balances(**{"X-Sandbox-Fault": "stale"}))["disbursement"] == "100000.00"
    assert (await payer.balances())["disbursement"] == "99500.00"
    notes = (await shop.http.get("/_sandbox/grants")).json()
    assert (notes["owed"], notes["manners"]) == ([], [])
    clock.step(minutes=11)


async def test_a_lost_payout_that_nobody_looks_for_is_noted(
    shop: Shop, payer: Payer, clock: FakeClock
) -> None:
    headers = {"X-Sandbox-Fault": "error_5xx_before"}
    await payer.call("POST", f"{CHECKOUT}/payment/b2cPayment", payer.body(), **headers)
    clock.step(minutes=11)
    notes = (await shop.http.get("/_sandbox/grants")).json()["manners"]
    assert [(one["code"], one["reference"]) for one in notes] == [("lost_payout", "OUT-1")]
    assert await shop.balance(RECEIVER) == "100000000.00"


async def test_a_payout_can_be_made_late(shop: Shop, payer: Payer, app: Starlette, sleeper: NoSleep) -> None:
    headers = {"X-Sandbox-Fault": "late_success"}
    payout_id = await payer.initiate()
    body = payer.body("500", payoutID=payout_id)
    answer = await payer.call("POST", f"{TOKENIZED}/payout/b2c", body, **headers)
    assert answer.status_code == 504
    await app.state.exchange.idle()
    made = await payer.ask("GET", f"{TOKENIZED}/payout/query/{payout_id}")
    assert made["transactionStatus"] == "Completed" and sleeper.waits == [20.0]
    stale = await payer.ask(
        "GET", f"{TOKENIZED}/payout/query/{payout_id}", None, **{"X-Sandbox-Fault": "stale"}
    )
    assert stale["transactionStatus"] == "Initiated" and "trxID" not in stale


async def test_a_magic_amount_or_wallet_strikes_the_payout_once(shop: Shop, payer: Payer) -> None:
    for more in ({"amount": "4009.11"}, {"receiverMSISDN": "01800400911"}):
        body = payer.body() | more
        answers = [
            (await payer.call("POST", f"{CHECKOUT}/payment/b2cPayment", body)).status_code for _ in range(2)
        ]
        assert answers == [504, 200]
    assert [call["moved_money"] for call in await shop.wire() if call["operation"] == "payout"] == [True] * 4


# ---------------------------------------------------------------------------- what is kept, shown and told


async def test_payouts_are_no_payments_and_are_in_the_record(shop: Shop, payer: Payer) -> None:
    trx_id = (await payer.b2c("500"))["trxID"]
    assert (await shop.books())["payments"] == []
    entries = (await shop.http.get("/_sandbox/record")).json()["entries"]
    moved = next(one for one in entries if one["kind"] == "money" and one["reference"] == trx_id)
    assert moved["title"] == f"payout: 500.00 from disbursement:bkash to wallet:{RECEIVER}"
    call = next(one for one in entries if one["kind"] == "call" and one["reference"] == trx_id)
    assert call["title"] == "payout: 200"


async def test_the_disbursement_account_is_shown_once_it_is_in_use(shop: Shop, payer: Payer) -> None:
    async def shown() -> tuple[dict[str, str], bool]:
        merchants = (await shop.http.get("/_sandbox/merchants")).json()["merchants"]
        page = (await shop.http.get("/wallets")).text
        ours = next(one["more"] for one in merchants if one["gateway"] == "bkash")
        return ours, "SandboxMerchant, disbursement" in page

    assert await shown() == ({}, False)
    await payer.b2c("500")
    assert await shown() == ({"disbursement": "99500.00"}, True)


async def test_payouts_outlive_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    path, told = tmp_path / "state.db", []
    payout_id, token = "", ""
    for start in (1, 2):
        app = create_app(clock=clock, state=path)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            shop = Shop(http, token=token)
            if start == 1:
                await shop.open()
                token = shop.token
            payer = Payer(shop)
            if start == 1:
                await shop.paid("1000")
                await payer.transfer("600", "Collection2Disbursement")
                payout_id = await payer.initiate()
                await payer.b2c("500")
                await payer.ask("POST", f"{TOKENIZED}/payout/b2c", payer.body("7", payoutID=payout_id))
            made = await payer.ask("GET", f"{TOKENIZED}/payout/query/{payout_id}")
            told.append((made, await payer.balances()))
            assert await problems(shop) == []
            if start == 2:
                refused = await payer.ask(
                    "POST", f"{TOKENIZED}/payout/b2c", payer.body("7", payoutID=payout_id)
                )
                assert refused["statusCode"] == "2068"
                payouts = app.state.world.gateways["bkash"].rules.payouts
                assert len(payouts.by_trx) == 3
                assert payouts.invoices["OUT-1"] == {"sandboxAppKey0000000000000"}
        app.state.keeper.close()
    assert told[0] == told[1]


async def test_a_reset_forgets_payouts(shop: Shop, payer: Payer) -> None:
    payout_id = await payer.initiate()
    await payer.b2c("500")
    await shop.http.post("/_sandbox/reset", json={})
    assert await payer.balances() == {"collection": "0.00", "disbursement": "100000.00"}
    assert (await payer.ask("GET", f"{TOKENIZED}/payout/query/{payout_id}"))["statusCode"] == "2033"
    assert await shop.balance(CUSTOMER["wallet"]) == "100000000.00"


async def test_no_webhook_tells_of_a_payout(app: Starlette, payer: Payer) -> None:
    told: list[Any] = []
    app.state.courier.announce = told.append
    await payer.b2c("500")
    assert told == []

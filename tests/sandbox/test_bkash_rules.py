"""bKash's rules over the wire: the state machine, the execute table, duplicates, expiry, authorizations."""

import asyncio
import re
from datetime import date
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import CUSTOMER, FakeClock, Shop, params
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.bkash.records import Refusal, Rules
from vextrus_payments_sandbox.bkash.rules import BkashRules
from vextrus_payments_sandbox.bkash.tokens import Merchant

EMPTY, BLOCKED, OTHER = "01823074817", "01823074818", "01929918378"


async def test_a_payment_from_create_to_completed(shop: Shop) -> None:
    created = await shop.create("15", merchantInvoiceNumber="INV-8812")
    payment_id = created["paymentID"]
    assert created["statusCode"] == "0000" and created["transactionStatus"] == "Initiated"
    assert (await shop.query(payment_id))["verificationStatus"] == "Incomplete"
    assert params((await shop.approve(payment_id))["redirect"])["status"] == ["success"]
    waiting = await shop.query(payment_id)
    assert (waiting["transactionStatus"], waiting["verificationStatus"]) == ("Initiated", "Complete")
    assert "trxID" not in waiting
    assert (await shop.book(payment_id))["captured"] == "0.00"

    executed = await shop.execute(payment_id)
    queried = await shop.query(payment_id)

    assert executed["transactionStatus"] == queried["transactionStatus"] == "Completed"
    assert executed["trxID"] == queried["trxID"]
    assert executed["amount"] == queried["amount"] == "15"
    assert executed["merchantInvoiceNumber"] == queried["merchantInvoice"] == "INV-8812"
    assert executed["customerMsisdn"] == CUSTOMER["wallet"]
    assert await shop.book(payment_id) == {
        "gateway": "bkash",
        "reference": payment_id,
        "transaction_id": executed["trxID"],
        "invoice": "INV-8812",
        "state": "Completed",
        "amount": "15.00",
        "captured": "15.00",
        "refunded": "0.00",
        "fee": "0.00",
        "alias": None,
        "currency": "BDT",
    }
    assert await shop.balance() == "99999985.00"


async def test_ids_and_times_look_like_the_real_ones(shop: Shop, clock: FakeClock) -> None:
    created = await shop.create("15")
    await shop.approve(created["paymentID"])
    executed = await shop.execute(created["paymentID"])
    epoch_ms = int(clock.now().timestamp() * 1000)
    assert re.fullmatch(r"TR0011[0-9A-Za-z]{7}" + str(epoch_ms), created["paymentID"])
    assert re.fullmatch(r"[0-9A-Z]{10}", executed["trxID"])
    assert m.trx_date(executed["trxID"]) == date(2026, 1, 31)
    assert created["paymentCreateTime"] == "2026-01-31T18:00:00:000 GMT+0600"
    assert m.parse_time(executed["paymentExecuteTime"]) == clock.now()
    assert created["bkashURL"].startswith(f"http://127.0.0.1:28600/?paymentId={created['paymentID']}&hash=")
    assert created["bkashURL"].endswith("&mode=0011&apiVersion=v1.2.0-beta/")
    assert re.fullmatch(r"[0-9A-Za-z]{10}", params(created["successCallbackURL"])["signature"][0])


async def test_a_trx_id_carries_the_date_of_bangladesh(shop: Shop, clock: FakeClock) -> None:
    clock.step(hours=7)  # 19:00 UTC is 01:00 of the next day in Dhaka
    await shop.open()
    _, trx_id = await shop.paid()
    assert m.trx_date(trx_id) == date(2026, 2, 1)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mode": "0002"}, "2063"),
        ({"mode": None}, "2065"),
        ({"mode": "0001"}, "2051"),
        ({"mode": "0001", "agreementID": "unknown"}, "2051"),
        ({"agreementID": "something"}, "2063"),
        ({"payerReference": None}, "2065"),
        ({"payerReference": "a<b"}, "2048"),
        ({"payerReference": "x" * 256}, "2048"),
        ({"callbackURL": None}, "2065"),
        ({"callbackURL": "javascript:alert(1)"}, "2049"),
        ({"callbackURL": "/return"}, "2049"),
        ({"callbackURL": "http://"}, "2049"),
        ({"callbackURL": "http://shop.example/\r\nX: y"}, "2049"),
        ({"callbackURL": "http://shop.example:99999/"}, "2049"),
        ({"amount": None}, "2065"),
        ({"amount": "0.99"}, "2006"),
        ({"amount": "1,500"}, "2006"),
        ({"amount": "15.001"}, "2006"),
        ({"amount": "-5"}, "2006"),
        ({"amount": "1e3"}, "2006"),
        ({"amount": "১০০"}, "2006"),
        ({"amount": "9" * 13}, "2006"),
        ({"currency": "USD"}, "2007"),
        ({"intent": "gift"}, "2008"),
        ({"merchantInvoiceNumber": None}, "2065"),
        ({"merchantInvoiceNumber": "A&B"}, "2031"),
        ({"merchantInvoiceNumber": "x" * 256}, "2031"),
        ({"merchantAssociationInfo": "MI99short"}, "2047"),
        ({"amount": {"value": 5}}, "2025"),
    ],
)
async def test_create_refuses_with_bkashs_code(shop: Shop, changes: dict[str, Any], code: str) -> None:
    changes = dict(changes)
    amount = changes.pop("amount", "100")
    answer = await shop.create(amount, **changes)
    assert answer["statusCode"] == code
    assert answer["statusMessage"]
    assert "paymentID" not in answer
    assert (await shop.books())["payments"] == []


@pytest.mark.parametrize(
    ("amount", "booked"),
    [("1", "1.00"), (100, "100.00"), (100.5, "100.50"), ("0100.10", "100.10"), (1.0, "1.00")],
)
async def test_amounts_may_be_texts_or_numbers(shop: Shop, amount: Any, booked: str) -> None:
    payment_id, _ = await shop.paid(amount)
    assert (await shop.book(payment_id))["captured"] == booked


async def test_association_info_and_an_empty_agreement_are_accepted(shop: Shop) -> None:
    answer = await shop.create(agreementID="", merchantAssociationInfo="MI05MID54RF09123456789")
    assert answer["statusCode"] == "0000"


# ------------------------------------------------------------------------------- the execute table (§12.1)


async def test_execute_before_the_payer_has_confirmed(shop: Shop) -> None:
    payment_id = (await shop.create())["paymentID"]
    assert (await shop.execute(payment_id))["statusCode"] == "2056"
    await shop.approve(payment_id)
    assert (await shop.execute(payment_id))[
        "transactionStatus"
    ] == "Completed"  # an early execute spoils nothing


async def test_the_code_for_an_early_execute_can_be_chosen(clock: FakeClock) -> None:
    app = create_app(clock=clock, bkash=Rules(unfinished_code="2060"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        assert (await shop.execute((await shop.create())["paymentID"]))["statusCode"] == "2060"


async def test_a_repeated_execute_is_refused_and_moves_nothing(shop: Shop) -> None:
    payment_id, _ = await shop.paid("40")
    assert (await shop.execute(payment_id))["statusCode"] == "2117"
    await shop.query(payment_id)
    assert (await shop.execute(payment_id))["statusCode"] == "2062"  # completion is known from the query
    assert (await shop.book(payment_id))["captured"] == "40.00"
    assert [call["moved_money"] for call in await shop.wire() if call["operation"] == "execute"] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("outcome", "state"), [("cancel", "Cancelled"), ("failure", "Failed")])
async def test_a_page_that_ended_otherwise_cannot_be_executed(shop: Shop, outcome: str, state: str) -> None:
    payment_id = (await shop.create())["paymentID"]
    redirect = (await shop.approve(payment_id, outcome))["redirect"]
    assert params(redirect)["status"] == [outcome]
    assert (await shop.execute(payment_id))["statusCode"] == "2056"
    assert (await shop.query(payment_id))["transactionStatus"] == state
    assert (await shop.book(payment_id))["captured"] == "0.00"


async def test_an_unknown_id_is_2002(shop: Shop) -> None:
    for path in ("execute", "payment/status", "payment/confirm/capture", "payment/confirm/void"):
        assert (await shop.ask(path, {"paymentID": "TR0011nothing1766000000123"}))["statusCode"] == "2002"
        assert (await shop.ask(path, {}))["statusCode"] == "2065"


@pytest.mark.parametrize(("wallet", "code"), [(EMPTY, "2023"), (BLOCKED, "2037")])
async def test_wallets_that_fail_do_so_at_execute_and_for_good(shop: Shop, wallet: str, code: str) -> None:
    payment_id = await shop.approved(wallet=wallet)
    assert (await shop.execute(payment_id))["statusCode"] == code
    assert (await shop.execute(payment_id))["statusCode"] == "2056"
    assert (await shop.query(payment_id))["transactionStatus"] == "Declined"
    assert (await shop.book(payment_id))["captured"] == "0.00"


async def test_same_wallet_and_amount_within_two_minutes_is_a_duplicate(shop: Shop, clock: FakeClock) -> None:
    await shop.paid("100")
    clock.step(seconds=119)
    assert (await shop.execute(await shop.approved("100.00")))[
        "statusCode"
    ] == "2029"  # another invoice, same money
    assert "trxID" in await shop.execute(await shop.approved("100", wallet=OTHER))
    assert "trxID" in await shop.execute(await shop.approved("101"))
    clock.step(seconds=1)
    assert "trxID" in await shop.execute(await shop.approved("100"))


async def test_the_latest_debit_counts_also_where_it_was_created_first(
    app: Starlette, shop: Shop, clock: FakeClock
) -> None:
    older, newer = await shop.approved("100"), await shop.approved("100")
    for payment_id in (newer, older):
        assert "trxID" in await shop.execute(payment_id)
        clock.step(seconds=121)
    clock.step(seconds=-61)
    app.state.world.gateways["bkash"].rules.holdings.reindex()  # as after a restart
    assert (await shop.execute(await shop.approved("100")))["statusCode"] == "2029"


@pytest.mark.parametrize(
    ("window_s", "after_s", "code"), [(300, 299, "2029"), (300, 300, None), (0, 0, None)]
)
async def test_the_duplicate_window_can_be_chosen(window_s: float, after_s: float, code: str | None) -> None:
    clock = FakeClock()
    app = create_app(clock=clock, bkash=Rules(duplicate_window_s=window_s))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        await shop.paid("100")
        clock.step(seconds=after_s)
        answer = await shop.execute(await shop.approved("100"))
        assert (answer["statusCode"] if code else None) == code
        assert ("trxID" in answer) == (code is None)


async def test_a_payment_expires_after_24_hours_unless_executed(shop: Shop, clock: FakeClock) -> None:
    kept, _ = await shop.paid("10")
    approved, fresh = await shop.approved("20"), (await shop.create("30"))["paymentID"]
    clock.step(hours=24)
    await shop.open()
    assert (await shop.query(fresh))["transactionStatus"] == "Initiated"
    clock.step(milliseconds=1)
    for payment_id in (approved, fresh):
        assert (await shop.execute(payment_id))["statusCode"] == "2056"
        assert (await shop.query(payment_id))["transactionStatus"] == "Expired"
        assert (await shop.approve(payment_id))["redirect"] is None
    assert (await shop.query(kept))["transactionStatus"] == "Completed"


async def test_a_hundred_executes_at_once_are_one_debit(shop: Shop) -> None:
    payment_id = await shop.approved("250")
    answers = await asyncio.gather(*(shop.execute(payment_id) for _ in range(100)))
    assert sum("trxID" in answer for answer in answers) == 1
    assert {answer["statusCode"] for answer in answers} == {"0000", "2117"}
    assert (await shop.book(payment_id))["captured"] == "250.00"
    assert await shop.balance() == "99999750.00"
    assert sum(call["moved_money"] for call in await shop.wire()) == 1


# ---------------------------------------------------------------------------------- authorize and capture


async def authorized(shop: Shop, amount: str = "60") -> str:
    payment_id = await shop.approved(amount, intent="authorization")
    assert (await shop.execute(payment_id))["transactionStatus"] == "Authorized"
    return payment_id


async def test_an_authorization_holds_and_a_capture_takes(shop: Shop) -> None:
    payment_id = await authorized(shop)
    assert await shop.balance() == "99999940.00"  # held
    assert (await shop.book(payment_id))["captured"] == "0.00"
    captured = await shop.ask("payment/confirm/capture", {"paymentID": payment_id})
    assert captured["transactionStatus"] == "Completed" and captured["trxID"]
    assert (await shop.book(payment_id))["captured"] == "60.00"
    for path in ("payment/confirm/capture", "payment/confirm/void"):
        assert (await shop.ask(path, {"paymentID": payment_id}))["statusCode"] == "2119"
    assert (await shop.execute(payment_id))["statusCode"] == "2117"


@pytest.mark.parametrize("path", ["payment/confirm/void", "payment/confirm/capture/void"])
async def test_a_void_gives_back_on_both_paths(shop: Shop, path: str) -> None:
    payment_id = await authorized(shop)
    assert (await shop.ask(path, {"paymentID": payment_id}))["transactionStatus"] == "Cancelled"
    assert (await shop.query(payment_id))["transactionStatus"] == "Cancelled"
    assert await shop.balance() == "100000000.00"
    assert (await shop.book(payment_id))["captured"] == "0.00"
    for again in ("payment/confirm/capture", path):
        assert (await shop.ask(again, {"paymentID": payment_id}))["statusCode"] == "2119"
    assert (await shop.execute(payment_id))["statusCode"] == "2056"


async def test_only_a_held_amount_can_be_captured_or_voided(shop: Shop) -> None:
    sale, _ = await shop.paid("10")
    waiting = await shop.approved("20", intent="authorization")
    for payment_id in (sale, waiting):
        for path in ("payment/confirm/capture", "payment/confirm/void"):
            assert (await shop.ask(path, {"paymentID": payment_id}))["statusCode"] == "2056"


# ------------------------------------------------------------------------------------------- agreements


async def agreement(shop: Shop, reference: str = "customer-1", wallet: str | None = None) -> tuple[str, str]:
    made = await shop.ask(
        "create", {"mode": "0000", "payerReference": reference, "callbackURL": "http://127.0.0.1:9/return"}
    )
    assert made["agreementStatus"] == "Initiated" and "amount" not in made
    await shop.approve(made["paymentID"], wallet=wallet)
    done = await shop.execute(made["paymentID"])
    assert done["agreementStatus"] == "Completed"
    return made["paymentID"], done["agreementID"]


async def test_an_agreement_is_made_used_and_ended(shop: Shop) -> None:
    payment_id, agreement_id = await agreement(shop)
    assert re.fullmatch(r"SandboxMerchant[0-9A-Z]{7}[0-9]{13}", agreement_id)
    for path, body in (
        ("agreement/status", {"agreementID": agreement_id}),
        ("agreement/status", {"paymentID": payment_id}),
        ("payment/status", {"paymentID": payment_id}),
        ("payment/status", {"agreementID": agreement_id}),
    ):
        found = await shop.ask(path, body)
        assert (found["agreementID"], found["agreementStatus"]) == (agreement_id, "Completed")
        assert found["payerAccount"] == CUSTOMER["wallet"]
    paid = await shop.create("70", mode="0001", agreementID=agreement_id)
    assert paid["agreementID"] == agreement_id and "bkashURL" in paid
    await shop.approve(paid["paymentID"])
    assert (await shop.execute(paid["paymentID"]))["agreementID"] == agreement_id
    ended = await shop.ask("agreement/cancel", {"agreementID": agreement_id})
    assert ended["agreementStatus"] == "Cancelled" and ended["agreementVoidTime"]
    assert (await shop.ask("agreement/cancel", {"agreementID": agreement_id}))["statusCode"] == "2053"
    assert (await shop.create(mode="0001", agreementID=agreement_id))["statusCode"] == "2053"
    assert (await shop.query(payment_id))["agreementStatus"] == "Cancelled"
    assert [row["reference"] for row in (await shop.books())["payments"]] == [paid["paymentID"]]


async def test_the_refusals_of_an_agreement(shop: Shop) -> None:
    made = await shop.ask(
        "create", {"mode": "0000", "payerReference": "c", "callbackURL": "http://127.0.0.1:9/"}
    )
    assert (await shop.execute(made["paymentID"]))["statusCode"] == "2054"
    payment_id, _ = await agreement(shop)
    assert (await shop.execute(payment_id))["statusCode"] == "2116"
    again = await shop.ask(
        "create", {"mode": "0000", "payerReference": "customer-1", "callbackURL": "http://127.0.0.1:9/"}
    )
    await shop.approve(again["paymentID"])
    assert (await shop.execute(again["paymentID"]))["statusCode"] == "2050"
    await agreement(shop, reference="customer-2")  # another reference is another agreement
    for path in ("agreement/status", "agreement/cancel"):
        assert (await shop.ask(path, {"agreementID": "unknown"}))["statusCode"] == "2051"


async def test_an_agreement_that_ends_after_create_moves_nothing(shop: Shop) -> None:
    _, agreement_id = await agreement(shop)
    payment_id = await shop.approved("70", mode="0001", agreementID=agreement_id)
    await shop.ask("agreement/cancel", {"agreementID": agreement_id})
    assert (await shop.execute(payment_id))["statusCode"] == "2053"
    assert (await shop.book(payment_id))["captured"] == "0.00"


# ----------------------------------------------------------------------------------------------- search


async def test_search_finds_payments_and_refunds(shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    refund = await shop.refund(payment_id, trx_id, "30")
    paid = await shop.ask("general/searchTransaction", {"trxID": trx_id})
    assert (paid["amount"], paid["transactionStatus"], paid["maxRefundableAmount"]) == (
        "100",
        "Completed",
        "70.00",
    )
    assert paid["organizationShortCode"] and "merchantInvoiceNumber" not in paid
    back = await shop.ask("general/searchTransaction", {"trxID": refund["refundTrxID"]})
    assert (back["amount"], back["originalTrxAmount"]) == ("30", "100")
    assert (await shop.ask("general/searchTransaction", {"trxID": "8XX0000000"}))["statusCode"] == "2033"


async def test_amounts_can_be_echoed_with_two_places() -> None:
    app = create_app(clock=FakeClock(), bkash=Rules(amounts="two_places"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        shop = await Shop(http).open()
        payment_id, _ = await shop.paid("15")
        assert (await shop.query(payment_id))["amount"] == "15.00"


async def test_merchants_do_not_meet(app: Starlette, shop: Shop) -> None:
    """Another merchant's payment is neither a duplicate of ours nor ours to touch."""
    paid, trx_id = await shop.paid("100")
    held = await authorized(shop)
    _, agreement_id = await agreement(shop)
    rules: BkashRules = app.state.world.gateways["bkash"].rules
    other = Merchant(app_key="sandboxAppKey1111111111111")
    wish = {
        "mode": "0011",
        "payerReference": "c",
        "callbackURL": "http://127.0.0.1:9/",
        "amount": "100",
        "currency": "BDT",
        "intent": "sale",
        "merchantInvoiceNumber": "INV-1",
    }
    theirs = rules.create(other, wish)
    rules.page.wallet(theirs, CUSTOMER["wallet"])
    rules.page.pin(theirs, CUSTOMER["pin"])
    assert rules.execute(
        other, theirs.payment_id
    ).trx_id  # same wallet, amount and time: no duplicate of ours
    for touch in (
        lambda: rules.execute(other, paid),
        lambda: rules.query(other, paid),
        lambda: rules.capture(other, held),
        lambda: rules.void(other, held),
        lambda: rules.refund(other, paid, trx_id, {"amount": "1", "sku": "s", "reason": "r"}),
        lambda: rules.agreement(other, agreement_id),
        lambda: rules.cancel_agreement(other, agreement_id),
    ):
        with pytest.raises(Refusal) as refused:
            touch()
        assert refused.value.code == "2061"
    with pytest.raises(Refusal, match="2033"):
        rules.search(other, trx_id)
    assert not app.state.world.audit()

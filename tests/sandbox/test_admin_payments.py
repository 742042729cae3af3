"""``/_sandbox/payments``, ``/record`` and ``/wallets``: lists from the newest, one payment whole, balances by hand."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from starlette.applications import Starlette

from tests.sandbox.nagad_shop import NagadShop
from tests.sandbox.shop import CUSTOMER, FakeClock, Shop
from vextrus_payments_sandbox import listing, world
from vextrus_payments_sandbox.world import Page, World


@pytest.fixture
def town(app: Starlette) -> World:
    found: World = app.state.world
    return found


async def listed(shop: Shop, **asked: Any) -> dict[str, Any]:
    answer = await shop.http.get("/_sandbox/payments", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def invoices(page: dict[str, Any]) -> list[str]:
    return [row["invoice"] for row in page["payments"]]


# -------------------------------------------------------------------------------------------------------- lists


async def test_the_newest_come_first_and_before_leads_on(shop: Shop) -> None:
    for _ in range(5):
        await shop.create()
    first = await listed(shop, limit=2)
    assert invoices(first) == ["INV-5", "INV-4"] and first["total"] == 5
    assert [row["number"] for row in first["payments"]] == [5, 4]
    second = await listed(shop, limit=2, before=first["before"])
    assert invoices(second) == ["INV-3", "INV-2"]
    last = await listed(shop, limit=2, before=second["before"])
    assert invoices(last) == ["INV-1"] and last["before"] is None
    assert invoices(await listed(shop, before=1)) == [] and len(invoices(await listed(shop, before=999))) == 5


async def test_new_payments_do_not_shift_the_pages(shop: Shop) -> None:
    for _ in range(4):
        await shop.create()
    first = await listed(shop, limit=2)
    await shop.create()
    assert invoices(await listed(shop, limit=2, before=first["before"])) == ["INV-2", "INV-1"]


async def test_the_list_is_the_books(shop: Shop, clock: FakeClock) -> None:
    """Both gateways, payments in every state, agreements, walk-ins: the same rows with the same money."""
    nagad = await NagadShop.of(shop.http, clock)
    paid, trx_id = await shop.paid("30")
    await shop.refund(paid, trx_id, "12.50")
    await shop.approved("10", intent="authorization")
    await shop.approve((await shop.create())["paymentID"], "failure")
    await shop.create(mode="0000", amount=None, currency=None, intent=None, merchantInvoiceNumber=None)
    await shop.http.post("/_sandbox/walk_in", json={"amount": "7"})
    reference = await nagad.paid("20")
    await nagad.refund(reference, "20")
    await nagad.started()
    page, books = await listed(shop), await shop.books()
    names = (
        "gateway",
        "reference",
        "transaction_id",
        "invoice",
        "state",
        "amount",
        "captured",
        "refunded",
        "currency",
    )
    assert sorted(tuple(row[name] for name in names) for row in page["payments"]) == sorted(
        tuple(row[name] for name in names) for row in books["payments"]
    )
    assert page["total"] == len(books["payments"]) == 6
    assert (page["captured"], page["refunded"]) == ("57.00", "32.50")
    assert (await listed(shop, gateway="nagad"))["captured"] == "20.00"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"gateway": "bkash"}, ["INV-3", "INV-2", "INV-1"]),
        ({"gateway": "nagad"}, ["Order00001"]),
        ({"state": "completed"}, ["INV-2"]),
        ({"state": "Initiated", "gateway": "bkash"}, ["INV-3"]),
        ({"state": "OrderInitiated"}, ["Order00001"]),
        ({"text": "inv-3"}, ["INV-3"]),
        ({"text": "V-"}, ["INV-3", "INV-2", "INV-1"]),
        ({"text": "order0"}, ["Order00001"]),
        ({"text": "{trx}"}, ["INV-2"]),
        ({"text": "{reference}"}, ["INV-2"]),
        ({"text": "{refund}"}, ["INV-2"]),
        ({"text": "INV-2", "state": "Failed"}, []),
        ({"text": "nobody"}, []),
        ({"text": "<script>"}, []),
    ],
)
async def test_filters(shop: Shop, clock: FakeClock, asked: dict[str, str], expected: list[str]) -> None:
    nagad = await NagadShop.of(shop.http, clock)
    await shop.approve((await shop.create())["paymentID"], "failure")
    reference, trx = await shop.paid("10")
    refund = (await shop.refund(reference, trx, "1"))["refundTrxID"][2:]
    await nagad.started()
    await shop.create()
    asked = {
        name: value.format(trx=trx.lower(), reference=reference, refund=refund)
        for name, value in asked.items()
    }
    assert invoices(await listed(shop, **asked)) == expected


async def test_time_that_passes_is_seen_in_the_list(shop: Shop, clock: FakeClock) -> None:
    await shop.create()
    clock.step(hours=25)
    assert [row["state"] for row in (await listed(shop))["payments"]] == ["Expired"]
    assert invoices(await listed(shop, state="Initiated")) == []


async def test_a_filter_that_fits_little_looks_so_far_and_no_further(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "SCAN_MAX", 3)
    await shop.approve((await shop.create())["paymentID"], "failure")
    for _ in range(7):
        await shop.create()
    found, before, looks = [], None, 0
    while looks < 10:
        page = await listed(shop, state="Failed", **({"before": before} if before else {}))
        found += invoices(page)
        before, looks = page["before"], looks + 1
        if before is None:
            break
    assert found == ["INV-1"] and looks == 3
    assert invoices(await listed(shop, text="inv-1")) == ["INV-1"]  # by a word it is found at once


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (path, asked)
        for path in ("payments", "record")
        for asked in (
            {"limit": "0"},
            {"limit": "501"},
            {"limit": "x"},
            {"limit": "-1"},
            {"limit": "1.5"},
            {"limit": "１"},
            {"limit": "9" * 5_000},
            {"before": "0"},
            {"before": "9" * 17},
            {"gateway": "nobody"},
            {"nonsense": "1"},
            {"text": "x" * 257},
            [("text", "a"), ("text", "b")],
            {"kind": "nonsense"},
        )
    ],
)
async def test_wrong_questions_are_refused(shop: Shop, path: str, asked: Any) -> None:
    answer = await shop.http.get(f"/_sandbox/{path}", params=asked)
    assert answer.status_code == 400 and answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["payments/bkash/nobody", "payments/nobody/X", "wallets/01700000000", "wallets/x"]
)
async def test_what_is_not_there(shop: Shop, path: str) -> None:
    answer = await shop.http.get(f"/_sandbox/{path}")
    assert answer.status_code == 404 and answer.json()["error"]


async def test_an_agreement_has_a_story_and_no_money(shop: Shop) -> None:
    made = await shop.create(mode="0000", amount=None, currency=None, intent=None, merchantInvoiceNumber=None)
    found = (await shop.http.get(f"/_sandbox/payments/bkash/{made['paymentID']}")).json()
    assert found["payment"] is None and [one["title"] for one in found["timeline"]] == ["create: 200"]


@pytest.mark.parametrize("reference", ["../../x", "a/b", "<b>", "%2e%2e", "é", "x" * 255, "\u202e", "a?b#c"])
async def test_hostile_references_find_their_calls(shop: Shop, reference: str) -> None:
    await shop.query(reference)
    answer = await shop.http.get(f"/_sandbox/payments/bkash/{quote(reference, safe='')}")
    assert answer.status_code == 200 and answer.json()["timeline"][0]["title"] == "query: 200"


async def test_the_record_as_json(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10")
    found = (await shop.http.get("/_sandbox/record", params={"limit": 2})).json()
    assert [one["kind"] for one in found["entries"]] == ["money", "call"]
    assert found["entries"][1]["detail"]["answer"]["body"] and found["entries"][1]["reference"] == payment_id
    assert found["kept"] == found["entries"][0]["seq"] < found["told"]
    more = (await shop.http.get("/_sandbox/record", params={"limit": 500, "before": found["before"]})).json()
    assert more["before"] is None and more["entries"][-1]["title"] == "grant: 200" and found["forgotten"] == 0
    calls = (
        await shop.http.get("/_sandbox/record", params={"kind": "call", "status": "2xx", "text": "TR0011"})
    ).json()
    assert [one["title"] for one in calls["entries"]] == ["execute: 200", "create: 200"]


# ------------------------------------------------------------------------------------------------------- wallets


async def test_a_balance_is_set_and_the_books_stay_whole(shop: Shop, town: World) -> None:
    url = f"/_sandbox/wallets/{CUSTOMER['wallet']}"
    assert (await shop.http.get(url)).json()["balance"] == "100000000.00"
    for wanted in ("150.75", "0", "150.75", "999999999999.99", "20"):
        answer = await shop.http.put(url, json={"balance": wanted})
        assert answer.status_code == 200
        assert world.to_paisa(answer.json()["balance"]) == world.to_paisa(wanted)
        assert town.audit() == []
    assert await shop.balance() == "20.00"
    poor = await shop.approved("20.01")
    assert (await shop.execute(poor))["statusCode"] == "2023"
    _, trx_id = await shop.paid("20")
    assert trx_id and await shop.balance() == "0.00" and town.audit() == []
    assert town.books.summed()[1]["bank"] == town.books.balance("bank")


async def test_the_same_balance_moves_nothing(shop: Shop, town: World) -> None:
    await shop.http.put(f"/_sandbox/wallets/{CUSTOMER['wallet']}", json={"balance": "100000000"})
    assert town.books.movements == []


async def test_what_the_bank_cannot_give_it_does_not_give(shop: Shop, town: World) -> None:
    town.books.move(
        town.now(),
        gateway="",
        kind="balance",
        source="bank",
        target="elsewhere",
        amount_minor=town.books.balance("bank") - 500,
        reference="",
        transaction_id="",
    )
    answer = await shop.http.put(f"/_sandbox/wallets/{CUSTOMER['wallet']}", json={"balance": "100000005.01"})
    assert answer.status_code == 409 and await shop.balance() == "100000000.00"
    assert answer.json()["error"] == "the bank has given all it had; reset the sandbox" and town.audit() == []


@pytest.mark.parametrize(
    "body",
    [{}, {"balance": 5}, {"balance": "-1"}, {"balance": "1,5"}, {"balance": "1.001"}, {"balance": ""}]
    + [
        {"balance": None},
        {"balance": True},
        {"balance": ["1"]},
        {"balance": "1" * 13},
        {"balance": "1", "x": 1},
    ],
)
async def test_a_balance_that_is_no_amount_changes_nothing(shop: Shop, body: dict[str, Any]) -> None:
    answer = await shop.http.put(f"/_sandbox/wallets/{CUSTOMER['wallet']}", json=body)
    assert answer.status_code == 400 and "balance" in answer.json()["error"]
    assert await shop.balance() == "100000000.00"


async def test_a_wallet_that_nobody_has_cannot_be_filled(shop: Shop) -> None:
    assert (await shop.http.put("/_sandbox/wallets/01999999999", json={"balance": "1"})).status_code == 404


async def test_every_wallet_is_listed(shop: Shop, town: World) -> None:
    found = (await shop.http.get("/_sandbox/wallets")).json()["wallets"]
    assert [one["wallet"] for one in found] == list(town.wallets)
    blocked = next(one for one in found if one["wallet"] == "01823074818")
    assert blocked["blocked"] is True and blocked["note"] == "debit blocked"


async def test_a_balance_is_back_after_a_reset(shop: Shop) -> None:
    await shop.http.put(f"/_sandbox/wallets/{CUSTOMER['wallet']}", json={"balance": "5"})
    await shop.http.post("/_sandbox/reset")
    assert await shop.balance() == "100000000.00"


async def test_a_foreign_page_sets_no_balance(shop: Shop) -> None:
    answer = await shop.http.put(
        f"/_sandbox/wallets/{CUSTOMER['wallet']}",
        json={"balance": "5"},
        headers={"Origin": "https://evil.example"},
    )
    assert answer.status_code == 403 and await shop.balance() == "100000000.00"


# ------------------------------------------------------------------------------------------- what keeps it quick


class Counting(dict[str, Any]):
    """Counts how many payments are looked at."""

    looked = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.looked += 1
        return super().get(key, default)

    def values(self) -> Any:
        raise AssertionError("a list went through every payment")


async def test_a_page_looks_at_no_more_payments_than_it_shows(shop: Shop, town: World) -> None:
    for _ in range(40):
        await shop.create()
    rules = town.gateways["bkash"].rules.holdings  # type: ignore[attr-defined]
    rules.payments = Counting(rules.payments)
    town.books.summed = None  # type: ignore[assignment, method-assign]
    page: Page = town.payments(10)
    assert [row.row.invoice for row in page.rows] == [f"INV-{number}" for number in range(40, 30, -1)]
    assert rules.payments.looked <= 10
    assert [row.number for row in town.payments(5, before=6).rows] == [5, 4, 3, 2, 1]
    assert rules.payments.looked <= 15


async def test_kept_up_sums_are_the_sums(shop: Shop, clock: FakeClock, town: World) -> None:
    for amount in ("10", "20", "30.50"):
        payment_id, trx_id = await shop.paid(amount)
        await shop.refund(payment_id, trx_id, "1.25")
        clock.moment += timedelta(seconds=1)
    money, _ = town.books.summed()
    assert town.books.totals("bkash") == (6050, 375) == tuple(map(sum, zip(*money.values(), strict=True)))
    assert all(town.books.money(*key) == summed for key, summed in money.items())
    assert listing.SCAN_MAX == 5_000  # the documents say so


async def test_the_audit_sees_a_sum_that_went_wrong(shop: Shop, town: World) -> None:
    await shop.paid("10")
    town.books._totals["bkash"] = (1, 0)
    assert town.audit() == [
        "bkash: all payments summed (1000, 0), kept (1, 0) (captured, refunded, in paisa)"
    ]


async def test_every_payment_of_every_gateway_is_born_once(shop: Shop, clock: FakeClock, town: World) -> None:
    nagad = await NagadShop.of(shop.http, clock)
    await nagad.paid()
    await shop.paid("10")
    await shop.http.post("/_sandbox/walk_in", json={"amount": "7"})
    assert sorted(town.register.names) == sorted((row.gateway, row.reference) for row in town.rows())
    assert all(
        town.gateways[name].row(reference).reference == reference for name, reference in town.register.names
    )  # type: ignore[union-attr]

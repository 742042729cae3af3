"""Scenarios: every part of one played, and every mistake in one named by its line and field."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import FakeClock, NoSleep, Shop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.openapi import document
from vextrus_payments_sandbox.seeding import ScenarioError, checked, play, read_yaml
from vextrus_payments_sandbox.seeding.reading import UnreadableError, plain
from vextrus_payments_sandbox.seeding.scenario import OUTCOMES, QUIET, STEPS

WHOLE = """\
merchants:
  - name: SecondShop
wallets:
  - {number: 01711111111, balance: 500.10, pin: 4321, note: Rahima}   # no quotes needed: it stays as it is written
  - {number: "01722222222", blocked: true}
payments:
  - {amount: 100.50, reference: INV-1, wallet: 01711111111, refunds: [0.50, 10]}
  - {amount: 30, outcome: open}
  - {amount: 31, outcome: open, step: pin}
  - {amount: 32, outcome: approved, merchant: SecondShop}
  - {amount: 33, outcome: authorized}
  - {amount: 34, outcome: voided}
  - {amount: 35, outcome: cancelled, step: otp}
  - {amount: 36, outcome: failed, step: pin}
  - {gateway: nagad, amount: 40, reference: Order12345, refunds: [40]}
  - {gateway: nagad, amount: 41, outcome: open, step: otp}
  - {gateway: nagad, amount: 42, outcome: failed, step: otp}
  - {gateway: nagad, amount: 43, outcome: cancelled, merchant: SecondShop}
faults:
  - {operation: query, fault: delay, times: 2}
"""
STATES = (
    *("Completed", "Initiated", "Initiated", "Initiated", "Authorized", "Cancelled", "Cancelled", "Failed"),
    *("Cancelled", "OtpSent", "Failed", "Aborted"),
)


async def test_a_whole_scenario(app: Starlette, shop: Shop) -> None:
    played = await play(app.state.stage, checked(read_yaml(WHOLE)), "http://127.0.0.1:28600")
    assert tuple(one["state"] for one in played.payments) == STATES
    assert (played.merchants, played.wallets, played.faults) == (1, 2, 1)
    first = played.payments[0]
    assert await shop.balance("01711111111") == "410.10"  # 500.10 less 100.50 and 10.50 given back
    assert (await shop.query(first["reference"]))["merchantInvoiceNumber"] == "INV-1"
    assert (await shop.book(first["reference"]))["refunded"] == "10.50"
    assert (await shop.http.get("/_sandbox/faults")).json()["faults"][0]["operation"] == "query"
    pages = [one["page"] is not None for one in played.payments]
    assert pages == [state in ("Initiated", "OtpSent") and number != 3 for number, state in enumerate(STATES)]


async def test_what_was_scripted_goes_on(app: Starlette, shop: Shop) -> None:
    text = "payments: [{amount: 32, outcome: approved}, {amount: 31, outcome: open, step: pin}]"
    approved, open_one = (
        one["reference"] for one in (await play(app.state.stage, checked(read_yaml(text)), "")).payments
    )
    assert (await shop.execute(approved))["transactionStatus"] == "Completed"
    assert (await shop.approve(open_one))["verified"]
    assert (await shop.execute(open_one))["transactionStatus"] == "Completed"
    await shop.books()


async def test_by_the_admin_api(shop: Shop) -> None:
    answer = await shop.http.post("/_sandbox/seed", json=plain(read_yaml(WHOLE)))
    assert answer.status_code == 200
    assert tuple(one["state"] for one in answer.json()["payments"]) == STATES
    again = await shop.http.post("/_sandbox/seed", json={"merchants": [{"name": "SecondShop"}]})
    assert (
        again.status_code == 409 and "merchants[1]: there is a merchant of the name" in again.json()["error"]
    )


async def test_a_seeded_pin_is_the_only_one(shop: Shop) -> None:
    await shop.http.post("/_sandbox/seed", json={"wallets": [{"number": "01711111111", "pin": "4321"}]})
    payment_id = await shop.approved("10", wallet="01711111111")
    assert (await shop.execute(payment_id))["statusCode"] == "0000"


async def test_announcements_as_the_scenario_says() -> None:
    sent: list[bytes] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(200)

    app = create_app(
        clock=FakeClock(), seed=1, sleeper=NoSleep(), webhook_transport=httpx.MockTransport(take)
    )
    courier = app.state.courier
    await courier.subscribe("bkash", "http://127.0.0.1:9/hook", asked_at="http://127.0.0.1:28600")
    courier.subscriptions["bkash"].confirmed = True
    sent.clear()
    text = (
        "payments: [{amount: 51}, {amount: 52, webhook: never}, {amount: 53, webhook: webhook_duplicate},"
        " {amount: 54, outcome: open}]"
    )
    await play(app.state.stage, checked(read_yaml(text)), "")
    await courier.drain()
    told = sorted(
        amount for body in sent for amount in ("51.00", "52.00", "53.00") if amount.encode() in body
    )
    assert told == ["51.00", "53.00", "53.00"]
    await courier.close()


MISTAKES = {
    "payments:\n  - {amount: 10, outcom: paid}": "line 2, payments[1].outcom: there is no such field",
    "payments:\n  - {outcome: paid}": "line 2, payments[1]: amount is missing",
    "payments:\n  - amount: 10.505": "line 2, payments[1].amount: an amount is taka",
    "payments:\n  - amount: -5": "line 2, payments[1].amount: an amount is taka",
    "payments:\n  - amount: 1e3": "line 2, payments[1].amount: an amount is taka",
    "payments:\n  - amount: 10\n    gateway: visa": "line 3, payments[1].gateway: it is one of bkash, nagad",
    "payments:\n  - amount: 10\n    outcome: won": "line 3, payments[1].outcome: it is one of open, approved",
    "payments:\n  - amount: 10\n    refunds: [x]": "line 3, payments[1].refunds[1]: an amount is taka",
    "payments:\n  - amount: 10\n    refunds: 5": "line 3, payments[1].refunds: it is a list",
    "payments:\n  - amount: 10\n    refunds: [6, 6]": "line 3, payments[1].refunds: more is given back",
    "payments:\n  - amount: 10\n    step: otp": "line 3, payments[1].step: only what is open",
    "payments:\n  - amount: 10\n    outcome: failed": "line 3, payments[1].outcome: a payment fails at",
    "payments:\n  - {amount: 10, outcome: open,\n     refunds: [1]}": "line 3, payments[1].refunds: only what",
    "payments:\n  - amount: 10\n    gateway: nagad\n    outcome: voided": "line 4, payments[1].outcome: nagad does not",
    "payments:\n  - amount: 10\n    gateway: nagad\n    webhook: never": "line 4, payments[1].webhook: nagad sends no",
    "payments:\n  - amount: 10\n    gateway: nagad\n    reference: A-1": "line 4, payments[1].reference: an order id",
    "payments:\n  - amount: 10\n    reference: <b>": "line 3, payments[1].reference: a reference has",
    "wallets:\n  - number: 017": "line 2, wallets[1].number: a wallet's number has 11 digits",
    "wallets:\n  - {number: 01711111111, pin: 12}": "line 2, wallets[1].pin: a PIN has 4 to 8 digits",
    "wallets:\n  - {number: 01711111111, blocked: maybe}": "line 2, wallets[1].blocked: it is true or false",
    "wallets:\n  - {number: 01711111111, balance: lots}": "line 2, wallets[1].balance: a balance is taka",
    "wallets: 5": "line 1, wallets: it is a list",
    "wallets:\n  - 5": "line 2, wallets[1]: it has the fields number",
    "merchants:\n  - name: A B": "line 2, merchants[1].name: a merchant's name",
    "shops: []": "line 1, shops: there is no such field",
    "- 1": "line 1, the file: it has the fields merchants",
}


@pytest.mark.parametrize(("text", "words"), MISTAKES.items())
def test_a_mistake_is_named_by_line_and_field(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        checked(read_yaml(text))
    assert words in str(caught.value)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        checked(read_yaml("wallets:\n  - number: 1\npayments:\n  - amount: x\n  - {amount: 5, a: 1}"))
    assert [(one.line, one.field) for one in caught.value.mistakes] == [
        (2, "wallets[1].number"),
        (4, "payments[1].amount"),
        (5, "payments[2].a"),
    ]


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("payments: [", "expected", 1),
        ("a: 1\na: 2", "stands there twice", 2),
        ("payments: &p []\nwallets: *p", "no aliases", 2),
        ("a: {b: {c: {d: {e: {f: {g: {h: {i: {j: 1}}}}}}}}}", "too deep", 1),
        ("[" * 3_000, "too deep", 1),  # not read to its end: that takes the square of its length
        ("? [a]\n: 1", "one word", 1),
        ("x" * 1_100_000, "at most", None),
        ("a: \x00", "not allowed", None),
    ],
)
def test_what_is_no_yaml_is_said_to_be_none(text: str, words: str, line: int | None) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_yaml(text)
    assert words in str(caught.value)
    if line is not None:
        assert caught.value.line == line


def test_no_tag_makes_an_object() -> None:
    with pytest.raises(ScenarioError):
        checked(read_yaml("payments: !!python/object/apply:os.system ['true']"))


def test_an_empty_file_asks_for_nothing() -> None:
    assert checked(read_yaml("# nothing yet\n")).payments == ()


REFUSED: dict[str, Any] = {
    "payments[1]: refused with code 2037": {"payments": [{"amount": "10", "wallet": "01823074818"}]},
    "payments[1]: refused with code 2023": {"payments": [{"amount": "10", "wallet": "01823074817"}]},
    "payments[2]: refused with code 2029": {"payments": [{"amount": "10"}, {"amount": "10"}]},
    "payments[1]: there is no test wallet": {"payments": [{"amount": "10", "wallet": "01711111119"}]},
    "payments[1]: bkash has no merchant": {"payments": [{"amount": "10", "merchant": "Nobody"}]},
    "payments[1]: nagad has no merchant": {
        "payments": [{"amount": "10", "gateway": "nagad", "merchant": "Nobody"}]
    },
    "payments[1]: the payer could not pay: Insufficient": {
        "payments": [{"amount": "10", "gateway": "nagad", "wallet": "01823074817"}]
    },
    "payments[2]: refused with code 083": {
        "payments": [{"amount": "10", "gateway": "nagad", "reference": "Order1"}] * 2
    },
    "faults[1]: fault is one of": {"faults": [{"times": 2}]},
}


@pytest.mark.parametrize(("words", "scenario"), REFUSED.items())
async def test_what_a_gateway_refuses_is_said_where_it_stands(shop: Shop, words: str, scenario: Any) -> None:
    answer = await shop.http.post("/_sandbox/seed", json=scenario)
    assert answer.status_code == 409 and words in answer.json()["error"]
    await shop.books()


@pytest.mark.parametrize(
    "body", [{"payments": [{"amount": 10.5}]}, {"payments": {}}, {"x": 1}, {"payments": [{"amount": 10}]}]
)
async def test_the_admin_api_refuses_bad_shapes(shop: Shop, body: Any) -> None:
    assert (await shop.http.post("/_sandbox/seed", json=body)).status_code == 400


async def test_a_long_scenario_and_one_that_is_too_long(shop: Shop) -> None:
    wallets = [{"number": f"0171{number:07d}", "note": "n" * 90} for number in range(1_000)]
    assert (await shop.http.post("/_sandbox/seed", json={"wallets": wallets})).json()["wallets"] == 1_000
    more = [*wallets, {"number": "01720000000"}]
    refused = await shop.http.post("/_sandbox/seed", json={"wallets": more})
    assert refused.status_code == 400 and "at most 1000" in refused.json()["error"]
    assert (await shop.http.post("/_sandbox/seed", content=b"x" * 1_100_000)).status_code == 413


PAGE = Path(__file__).parents[2] / "docs" / "sandbox-state.md"


async def test_the_scenario_of_the_docs_can_be_played(app: Starlette) -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    played = await play(app.state.stage, checked(read_yaml(text)), "")
    assert [one["state"] for one in played.payments] == ["Completed", "Initiated", "Failed", "Success"]
    assert app.state.world.audit() == []


def test_the_docs_name_every_field_and_outcome(app: Starlette) -> None:
    page = PAGE.read_text(encoding="utf-8")
    shapes = document(app.routes, {"bkash": (), "nagad": ()}, "")["components"]["schemas"]["Scenario"]
    for name, part in shapes["properties"].items():
        fields = part["items"].get("properties", {})
        assert all(f"`{one}`" in page for one in fields), name
    assert all(f"`{one}`" in page for one in (*OUTCOMES, *STEPS, QUIET))

"""The sandbox's own routes: books, wire, clock, reset, approve; and that no foreign web page reaches them."""

import random
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from tests.sandbox.shop import V1, FakeClock, Shop
from vextrus_payments_sandbox import create_app
from vextrus_payments_sandbox.gateways import PLAYED
from vextrus_payments_sandbox.world import SandboxClock, to_paisa, to_text


async def test_health(shop: Shop) -> None:
    assert (await shop.http.get("/_sandbox/health")).json() == {
        "status": "ok",
        "now": "2026-01-31T12:00:00.000Z",
        "gateways": list(PLAYED),
    }


async def test_the_wire_log_has_every_call_in_order(shop: Shop) -> None:
    payment_id, _ = await shop.paid("10")
    calls = await shop.wire()
    assert [(call["seq"], call["operation"]) for call in calls] == [
        (1, "grant"),
        (2, "create"),
        (3, "execute"),
    ]
    assert calls[2] == {
        "seq": 3,
        "at": "2026-01-31T12:00:00.000Z",
        "gateway": "bkash",
        "operation": "execute",
        "method": "POST",
        "path": "/v1.2.0-beta/tokenized/checkout/execute",
        "status": 200,
        "reference": payment_id,
        "moved_money": True,
        "fault": None,
    }
    assert calls[1]["reference"] == payment_id


async def test_time_moves_forward_and_a_reset_takes_it_back(shop: Shop) -> None:
    moved = (await shop.http.post("/_sandbox/clock", json={"advance_s": 3600.5})).json()
    assert moved == {"now": "2026-01-31T13:00:00.500Z", "ahead_s": 3600.5}
    assert (await shop.post("create", {})).status_code == 401  # the token has expired
    assert (await shop.http.post("/_sandbox/reset")).json()["now"] == "2026-01-31T12:00:00.000Z"
    assert (await shop.create())["statusCode"] == "0000"


@pytest.mark.parametrize("seconds", [-1, "3600", None, True, 1e300, 10**400, [1]])
async def test_time_neither_runs_back_nor_away(shop: Shop, seconds: Any) -> None:
    answer = await shop.http.post("/_sandbox/clock", json={"advance_s": seconds})
    assert answer.status_code == 400 and "advance_s" in answer.json()["error"]
    assert (await shop.http.get("/_sandbox/health")).json()["now"] == "2026-01-31T12:00:00.000Z"


def test_the_sandbox_clock_follows_the_injected_one() -> None:
    clock = FakeClock()
    ours = SandboxClock(clock)
    ours.advance(10)
    clock.step(seconds=5)
    assert ours.now() - clock.now() == timedelta(seconds=10)


async def test_a_reset_starts_over_but_repeats_no_transaction_id(shop: Shop) -> None:
    first, first_trx = await shop.paid("10")
    await shop.http.post("/_sandbox/faults", json={"fault": "throttled"})
    await shop.http.post("/_sandbox/reset")
    assert await shop.wire() == []
    assert (await shop.books())["payments"] == []
    assert (await shop.query(first))["statusCode"] == "2002"
    assert (await shop.http.get("/_sandbox/faults")).json() == {"faults": []}
    assert await shop.balance() == "100000000.00"
    second, second_trx = await shop.paid("10")  # the token of before still works, and no duplicate is seen
    assert second != first and second_trx != first_trx


async def test_a_seed_repeats_every_id() -> None:
    seen = []
    for _ in range(2):
        app = create_app(clock=FakeClock(), seed=7)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
            shop = await Shop(http).open()
            seen.append((shop.token, await shop.paid("10")))
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("wish", "status"),
    [
        ({}, 400),
        ({"reference": 5}, 400),
        ({"reference": "unknown"}, 404),
        ({"reference": "unknown", "gateway": "nobody"}, 400),
        ({"reference": "{id}", "gateway": []}, 400),
        ({"reference": "{id}", "gateway": {}}, 400),
        ({"reference": "{id}", "outcome": "maybe"}, 400),
        ({"reference": "{id}", "outcome": None}, 400),
        ({"reference": "{id}", "wallet": "01700000000"}, 400),
        ({"reference": "{id}", "wallet": 5}, 400),
    ],
)
async def test_approve_refuses_clearly(shop: Shop, wish: dict[str, Any], status: int) -> None:
    payment_id = (await shop.create())["paymentID"]
    wish = {key: payment_id if value == "{id}" else value for key, value in wish.items()}
    answer = await shop.http.post("/_sandbox/approve", json=wish)
    assert answer.status_code == status and answer.json()["error"]
    assert (await shop.query(payment_id))["verificationStatus"] == "Incomplete"


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000, b'{"x":"' + b"y" * 70_000 + b'"}']
)
async def test_a_wrong_body_is_a_json_error(shop: Shop, body: bytes) -> None:
    for route in ("clock", "approve", "faults"):
        answer = await shop.http.post(f"/_sandbox/{route}", content=body)
        assert answer.status_code in (400, 413) and answer.json()["error"]


@pytest.mark.parametrize("body", [b'{"x": "\\ud800"}', b'{"\\udfff": 1}', b'{"x": [{"y": "a\\ud800b"}]}'])
async def test_what_could_never_be_shown_again_is_refused(shop: Shop, body: bytes) -> None:
    """Half a surrogate pair passes JSON, and would break every answer that holds it afterwards."""
    routes = ("POST approve", "POST portal", "POST walk_in", "POST faults", "POST clock", "POST seed")
    for route in (*routes, "PUT webhooks/bkash", "PUT wallets/01770618575"):
        method, path = route.split()
        answer = await shop.http.request(method, f"/_sandbox/{path}", content=body)
        assert answer.status_code == 400 and answer.json()["error"], route
    await shop.http.post(
        f"{V1}/tokenized/checkout/create", content=body, headers={"Authorization": shop.token}
    )
    for path in ("wallets", "record", "payments", "books", "faults", "wire"):
        assert (await shop.http.get(f"/_sandbox/{path}")).status_code == 200


async def test_unknown_routes_and_methods_are_json_errors(shop: Shop) -> None:
    for answer in (await shop.http.get("/_sandbox/nothing"), await shop.http.get("/_sandbox/reset")):
        assert answer.status_code in (404, 405) and answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Origin": "http://127.0.0.1:28600"}, False),
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1:9"}, True),
        ({"Origin": "http://[bad"}, True),
        ({"Origin": "http://evil.example:28600", "Host": "evil.example:28600"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
    ],
)
async def test_a_foreign_page_cannot_reach_the_sandbox(
    shop: Shop, headers: dict[str, str], refused: bool
) -> None:
    await shop.paid("10")
    answer = await shop.http.post("/_sandbox/reset", headers=headers)
    assert answer.status_code == (403 if refused else 200)
    assert bool((await shop.books())["payments"]) == refused


# ------------------------------------------------------------------------------------- the books themselves


def test_money_is_read_and_written_exactly() -> None:
    assert [to_paisa(text) for text in ("15", "15.5", "15.05", "0.01", "0")] == [1500, 1550, 1505, 1, 0]
    assert [
        to_paisa(text) for text in ("", "1,500", ".5", "5.", "1.001", "-1", "+1", "1e3", " 1", "1\n", None)
    ] == [None] * 11
    assert [to_text(minor) for minor in (0, 1, 99, 100, 123456789)] == [
        "0.00",
        "0.01",
        "0.99",
        "1.00",
        "1234567.89",
    ]


async def test_the_books_equal_an_independent_sum_over_a_random_life(
    app: Starlette, shop: Shop, clock: FakeClock
) -> None:
    """Two hundred random steps; what the shop was told, summed here, must be what the books say."""
    chance, told_in, told_back, trx = random.Random(5), {}, {}, {}
    payments: list[str] = []
    for index in range(200):
        clock.step(seconds=chance.randint(1, 40))
        if index % 40 == 0:
            await shop.open()
        step = chance.choice(["create", "execute", "execute", "refund", "refund", "capture", "void"])
        if step == "create" or not payments:
            intent = chance.choice(["sale", "sale", "authorization"])
            amount = f"{chance.randint(1, 30)}.{chance.randint(0, 99):02d}"
            payments.append(await shop.approved(amount, intent=intent))
            continue
        payment_id = chance.choice(payments)
        if step == "execute":
            answer = await shop.execute(payment_id)
            trx[payment_id] = answer.get("trxID", trx.get(payment_id, ""))
            if answer.get("transactionStatus") == "Completed":
                told_in[payment_id] = to_paisa(answer["amount"])
        elif step == "refund":
            answer = await shop.refund(payment_id, trx.get(payment_id) or "none", f"{chance.randint(1, 15)}")
            if "refundTrxID" in answer:
                told_back[payment_id] = told_back.get(payment_id, 0) + (to_paisa(answer["amount"]) or 0)
        else:
            answer = await shop.ask(f"payment/confirm/{step}", {"paymentID": payment_id})
            if answer.get("transactionStatus") == "Completed":
                told_in[payment_id] = to_paisa(answer["amount"])
    assert told_in and told_back
    books = await shop.books()
    for row in books["payments"]:
        assert to_paisa(row["captured"]) == told_in.get(row["reference"], 0)
        assert to_paisa(row["refunded"]) == told_back.get(row["reference"], 0)
    held = sum(to_paisa(row["amount"]) or 0 for row in books["payments"] if row["state"] == "Authorized")
    left = 10_000_000_000 - sum(told_in.values()) - held + sum(told_back.values())
    assert await shop.balance() == to_text(left)


async def test_the_audit_bites(app: Starlette, shop: Shop) -> None:
    payment_id, trx_id = await shop.paid("100")
    await shop.refund(payment_id, trx_id, "40")
    assert app.state.world.audit() == []
    app.state.world.gateways["bkash"].rules.payments[payment_id].refunds.clear()
    assert len(app.state.world.audit()) == 1

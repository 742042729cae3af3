"""Scripted payments at SSLCommerz: a scenario's outcomes, refunds and announcements, and what it refuses."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.sandbox.shop import FakeClock
from tests.sandbox.sslcommerz_shop import Counter, is_signed
from vextrus_payments_sandbox.in_process import PaymentSandbox
from vextrus_payments_sandbox.seeding import ScenarioError


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
def sandbox(clock: FakeClock, counter: Counter) -> Iterator[PaymentSandbox]:
    sandbox = PaymentSandbox(seed=1, clock=clock, webhook_transport=counter.transport())
    yield sandbox
    assert sandbox.world.audit() == []


def payment(**more: Any) -> dict[str, Any]:
    return {"payments": [{"gateway": "sslcommerz", "amount": "100.50", **more}]}


@pytest.mark.parametrize(
    ("asked", "state", "captured", "refunded"),
    [
        ({"outcome": "open"}, "PROCESSING", "0.00", "0.00"),
        ({"outcome": "open", "step": "otp"}, "PROCESSING", "0.00", "0.00"),
        ({}, "VALID", "100.50", "0.00"),
        ({"refunds": ["10.00", "20.00"]}, "VALID", "100.50", "30.00"),
        ({"outcome": "cancelled"}, "CANCELLED", "0.00", "0.00"),
        ({"outcome": "failed", "step": "otp"}, "FAILED", "0.00", "0.00"),
        ({"amount": "4003.15"}, "VALID", "4003.15", "0.00"),
    ],
)
async def test_what_a_scenario_makes(
    sandbox: PaymentSandbox, asked: dict[str, Any], state: str, captured: str, refunded: str
) -> None:
    (made,) = await sandbox.seed(payment(reference="SEED-1", **asked))
    row = sandbox.payment(made["reference"])
    assert (row["state"], row["captured"], row["refunded"]) == (state, captured, refunded)
    assert row["invoice"] == "SEED-1"
    assert (made["page"] is not None) == (asked.get("outcome") in ("open", "failed"))


@pytest.mark.parametrize(
    ("webhook", "posts"), [("", 1), ("never", 0), ("webhook_duplicate", 2), ("webhook_bad_signature", 1)]
)
async def test_how_it_is_announced(
    sandbox: PaymentSandbox, counter: Counter, webhook: str, posts: int
) -> None:
    async with sandbox.client() as http:
        await http.put("/_sandbox/webhooks/sslcommerz", json={"url": "http://127.0.0.1:9/ipn"})
        await sandbox.seed(payment(**({"webhook": webhook} if webhook else {})))
        await sandbox.app.state.courier.drain()
        assert len(counter.posts) == posts
        assert all(is_signed(post) == (webhook != "webhook_bad_signature") for post in counter.posts)
        await sandbox.seed(payment())  # the one after it is announced as any
        await sandbox.app.state.courier.drain()
        assert len(counter.posts) == posts + 1 and is_signed(counter.posts[-1])


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"amount": "9.00"}, "between 10.00 and 500000.00"),
        ({"wallet": "01700000000"}, "there is no test wallet"),
        ({"wallet": "01823074817"}, "Insufficient balance"),
        ({"amount": "4003.05"}, "it stays under way"),
        ({"outcome": "authorized"}, "does not know authorized"),
        ({"reference": "x" * 31}, "1 to 30 letters"),
        ({"merchant": "Nobody"}, "no merchant of the name"),
    ],
)
async def test_what_a_scenario_cannot_make(sandbox: PaymentSandbox, asked: dict[str, Any], why: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        await sandbox.seed(payment(**asked))


async def test_hands_of_a_payer_in_a_test_of_ones_own(sandbox: PaymentSandbox) -> None:
    assert sandbox.environment()["SSLCOMMERZ_STORE_ID"] == "sandboxstore000"
    (made,) = await sandbox.seed(payment(outcome="open"))
    back = sandbox.approve(made["reference"], gateway="sslcommerz", outcome="cancel")
    assert back == "http://127.0.0.1:8000/sslcommerz/return"
    assert sandbox.payment(made["reference"])["state"] == "CANCELLED"

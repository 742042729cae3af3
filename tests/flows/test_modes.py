"""Sandbox and live never meet: not in one payment, not in one reference, not in one ledger entry."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop, shop_open
from vextrus_payments import (
    AlreadyPaidError,
    ConfigurationError,
    InvalidRequestError,
    Money,
    Paid,
    PaymentSession,
    Refunded,
    RefundRequest,
    Unknown,
)
from vextrus_payments.errors import NotSentError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.mode import Mode

GoLive = Callable[[], None]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop on a durable store: live mode takes no other."""
    async with shop_open(tmp_path) as opened:
        yield opened


@pytest.fixture
def go_live(monkeypatch: pytest.MonkeyPatch) -> GoLive:
    """The same shop after its credentials were changed for live ones; the gateway behind them stays our sandbox."""

    def change() -> None:
        monkeypatch.setattr(BkashGateway, "mode", Mode.LIVE)

    return change


async def paid(shop: Shop, **changes: Any) -> PaymentSession:
    session = await shop.approved(**changes)
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    return session


async def test_an_operation_begun_in_the_sandbox_is_not_carried_on_in_live(
    shop: Shop, go_live: GoLive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: Any, **__: Any) -> PaymentSession:
        raise NotSentError("The gateway cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(BkashGateway, "initialize_payment", down)
        with pytest.raises(NotSentError):
            await shop.open()
    go_live()
    with pytest.raises(ConfigurationError) as caught:
        await shop.open()
    assert caught.value.code == "mode_changed"
    assert shop.calls() == 0


async def test_a_sandbox_session_is_not_handed_out_in_live(shop: Shop, go_live: GoLive) -> None:
    await shop.open()
    go_live()
    with pytest.raises(ConfigurationError) as caught:
        await shop.open()
    assert caught.value.code == "mode_changed"
    assert shop.calls("create") == 1


async def test_no_verb_takes_a_sandbox_payment_to_a_live_gateway(shop: Shop, go_live: GoLive) -> None:
    bought, waiting = await paid(shop), await shop.approved("INV-2", "200")
    shop.fault("refund", "drop_before")
    first = RefundRequest(operation_id="r-1", payment_id=bought.payment_id, amount=Money("10"))
    assert isinstance(await shop.payments.refund(first), Unknown)
    go_live()
    before = shop.calls()
    second = RefundRequest(operation_id="r-2", payment_id=bought.payment_id, amount=Money("10"))
    for call in (
        shop.payments.execute(waiting.payment_id),
        shop.payments.status(waiting.payment_id),
        shop.payments.refund(second),
        shop.payments.refund_status("r-1"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            await call
        assert caught.value.code == "mode_changed"
    with pytest.raises(InvalidRequestError):
        await shop.payments.handle_return(
            "bkash", {"paymentID": waiting.gateway_reference, "status": "success"}
        )
    assert shop.calls() == before


async def test_test_money_neither_blocks_nor_marks_live_money(shop: Shop, go_live: GoLive) -> None:
    await paid(shop)
    go_live()
    live = await paid(shop, operation_id="live", amount="101")
    assert await shop.fired() == ["payment.paid", "payment.paid"]
    facts = await shop.payments.get(live.payment_id)
    assert facts is not None
    assert facts.payment.flags == frozenset()
    assert {entry.payment_id: entry.mode for entry in shop.entries}[live.payment_id] == "live"
    assert sorted(entry.mode for entry in shop.entries) == ["live", "sandbox"]
    # Live money does block live money.
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="live/again")


async def test_a_test_payment_of_unknown_outcome_blocks_no_live_one(shop: Shop, go_live: GoLive) -> None:
    session = await shop.approved()
    shop.fault("execute", "drop_after")
    shop.fault("query", "drop_before", times=8)
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    shop.server.app.state.faults.clear()
    go_live()
    live = await paid(shop, operation_id="live", amount="101")
    shop.clock.advance(LONG_S)
    refund = RefundRequest(operation_id="r", payment_id=live.payment_id)
    assert isinstance(await shop.payments.refund(refund), Refunded)
    assert await shop.fired() == ["payment.unknown_opened", "payment.paid", "refund.succeeded"]

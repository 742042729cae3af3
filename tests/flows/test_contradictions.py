"""Signed is not true: gateways and adapters that say odd things never cost money, and never lose any."""

from dataclasses import replace
from typing import Any

import pytest

from tests.flows.shop import LONG_S, Shop
from vextrus_payments import AlreadyPaidError, ConflictError, Money, Paid, RefundRequest, Review, Unknown
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState

REAL = BkashGateway.execute_payment


def twisted(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """From now on the gateway does its work, and its answer is told with these changes."""

    async def execute(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        return replace(await REAL(self, *args, **kwargs), **changes)

    monkeypatch.setattr(BkashGateway, "execute_payment", execute)


async def test_another_amount_is_booked_to_suspense_and_stops_everything(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    twisted(monkeypatch, amount=Money("90", "BDT"))
    outcome = await shop.payments.execute(session.payment_id)
    assert isinstance(outcome, Review)
    assert outcome.amount == Money("90", "BDT")
    assert await shop.fired() == ["payment.quarantined"]
    accounts = {p.account: p.amount for p in shop.entries[0].postings}
    assert accounts["suspense"] == Money("90", "BDT")
    with pytest.raises(ConflictError):
        await shop.payments.refund(RefundRequest(operation_id="r", payment_id=session.payment_id))
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="again")
    assert isinstance(await shop.payments.execute(session.payment_id), Review)
    assert shop.calls("execute") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway_order_id": "INV-OTHER"},
        {"gateway_reference": "TR0011other1766000000123"},
        {"amount": Money("100", "USD")},
        {"transaction_id": None},
        {"transaction_id": ""},
        {"amount": None},
    ],
    ids=str,
)
async def test_what_is_not_surely_ours_is_quarantined_without_a_posting(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    session = await shop.approved()
    twisted(monkeypatch, **changes)
    assert isinstance(await shop.payments.execute(session.payment_id), Review)
    assert await shop.fired() == ["payment.quarantined"]
    assert shop.entries == []
    with pytest.raises(AlreadyPaidError):
        await shop.open(operation_id="again")
    shop.clock.advance(LONG_S)
    assert isinstance(await shop.payments.execute(session.payment_id), Review)
    assert shop.calls("execute") == 1


async def test_an_answer_nobody_documented_leaves_it_unknown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()
    twisted(monkeypatch, state=SnapshotState.UNRECOGNIZED, raw_state="Perhaps")
    assert isinstance(await shop.payments.execute(session.payment_id), Unknown)
    monkeypatch.undo()
    assert isinstance(await shop.payments.status(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_an_adapter_that_breaks_after_sending_leaves_it_unknown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await shop.approved()

    async def execute(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        await REAL(self, *args, **kwargs)
        raise KeyError("a fault in the adapter")

    monkeypatch.setattr(BkashGateway, "execute_payment", execute)
    with pytest.raises(KeyError):
        await shop.payments.execute(session.payment_id)
    monkeypatch.undo()
    assert "payment.unknown_opened" in await shop.fired()
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    assert shop.calls("execute") == 1
    await shop.check_books()


async def test_one_transaction_is_never_booked_for_two_payments(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await shop.approved("INV-1")
    paid = await shop.payments.execute(first.payment_id)
    assert isinstance(paid, Paid)
    second = await shop.approved("INV-2", "200")
    twisted(monkeypatch, transaction_id=paid.transaction_id)
    assert isinstance(await shop.payments.execute(second.payment_id), Review)
    await shop.payments.deliver()
    assert len(shop.entries) == 1
    assert shop.events[-1].kind == "payment.quarantined"

"""Names that callers choose: operation ids that look like ours, and one reference for many payments."""

import asyncio

import pytest

from tests.flows.shop import Shop
from vextrus_payments import InvalidRequestError, Money, Paid, RefundRequest


async def test_nobody_can_take_the_name_of_a_payments_execute(shop: Shop) -> None:
    session = await shop.approved("INV-1")
    taken = f"execute/{session.payment_id}/1"
    with pytest.raises(InvalidRequestError) as caught:
        await shop.open("INV-2", operation_id=taken)
    assert caught.value.field == "operation_id"
    with pytest.raises(InvalidRequestError):
        RefundRequest(operation_id=taken, payment_id=session.payment_id, amount=Money("1"))
    assert shop.calls("create") == 1
    assert isinstance(await shop.payments.execute(session.payment_id), Paid)
    await shop.check_books()


async def test_many_donations_to_one_reference_at_once_are_all_taken(shop: Shop) -> None:
    sessions = [
        await shop.approved("DONATION", f"10{n}", operation_id=f"donor-{n}", allow_repeat=True)
        for n in range(8)
    ]
    outcomes = await asyncio.gather(*(shop.payments.execute(s.payment_id) for s in sessions))
    assert {type(outcome) for outcome in outcomes} == {Paid}
    assert len({s.gateway_order_id for s in sessions}) == shop.moved()["execute"] == 8
    await shop.check_books()

"""A store that fails between the gateway's answer and its record: the money is found again, and not moved again."""

from pathlib import Path
from typing import Any

import pytest

from tests.flows.shop import LONG_S, shop_open
from vextrus_payments import Money, Paid, Refunded, RefundRequest
from vextrus_payments.errors import StorageError
from vextrus_payments.gateways.bkash import BkashGateway
from vextrus_payments.plans import CommitAnswer, Plan
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot
from vextrus_payments.stores import SqliteStore
from vextrus_payments.testing import FakeClock

EXECUTE = BkashGateway.execute_payment
REFUND = BkashGateway.refund_payment


class Filling(SqliteStore):
    """A store whose disk is full from the moment it is told so."""

    full = False

    async def commit(self, plan: Plan) -> CommitAnswer:
        if self.full:
            raise StorageError("The disk is full.")
        return await super().commit(plan)


async def test_what_could_not_be_recorded_is_found_by_a_look_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    store = Filling(tmp_path / "filling.db", clock=clock)

    async def execute(self: BkashGateway, *args: Any, **kwargs: Any) -> PaymentSnapshot:
        try:
            return await EXECUTE(self, *args, **kwargs)
        finally:
            store.full = True

    async def refund(self: BkashGateway, *args: Any, **kwargs: Any) -> RefundSnapshot:
        try:
            return await REFUND(self, *args, **kwargs)
        finally:
            store.full = True

    async with shop_open(tmp_path, clock, store=store) as shop:
        session = await shop.approved()
        monkeypatch.setattr(BkashGateway, "execute_payment", execute)
        with pytest.raises(StorageError):
            await shop.payments.execute(session.payment_id)
        store.full = False
        clock.advance(LONG_S)
        assert isinstance(await shop.payments.status(session.payment_id), Paid)
        monkeypatch.setattr(BkashGateway, "refund_payment", refund)
        request = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("40"))
        with pytest.raises(StorageError):
            await shop.payments.refund(request)
        store.full = False
        clock.advance(LONG_S)
        assert isinstance(await shop.payments.refund(request), Refunded)
        assert shop.moved() == {"execute": 1, "refund": 1}
        await shop.check_books()

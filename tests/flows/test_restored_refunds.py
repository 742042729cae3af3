"""What was given back after the backup is the operation's that it has as reserved, whoever tells of it first."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.shop import shop_open
from tests.flows.test_restored import backed_up, restored
from vextrus_payments import Money, Paid, Refunded, RefundRequest
from vextrus_payments.engine import Verdict
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.events import GatewayEvent
from vextrus_payments.outcomes import Pending
from vextrus_payments.snapshots import RefundSnapshot, RefundState
from vextrus_payments.testing import FakeClock


@pytest.mark.parametrize("by", ["news", "list"])
async def test_a_refund_told_of_before_the_reconciliation_is_not_made_again(tmp_path: Path, by: str) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved("INV-1", amount="90")
        paid = await shop.payments.execute(session.payment_id)
        assert isinstance(paid, Paid)
        request = RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("20"))
        shop.fault("refund_status", "html_before", times=9)
        kept_back = await shop.payments.refund(request)
        assert isinstance(kept_back, Pending) and not kept_back.sent
        await shop.payments.aclose()
        backed_up(tmp_path)
        shop.server.app.state.faults.reset()
        async with shop.payments:
            clock.advance(61)
            made = await shop.payments.refund(request)
            assert isinstance(made, Refunded)
        restored(tmp_path)
        async with shop.payments:
            engine = shop.payments._open_engine()
            if by == "list":
                await engine.adopt_refunds("default", session.payment_id)
            else:
                told = RefundSnapshot(
                    state=RefundState.COMPLETED,
                    transaction_id=made.transaction_id,
                    original_transaction_id=paid.transaction_id,
                    amount=Money("20"),
                    raw_state="Completed",
                )
                event = GatewayEvent(event_id="e-1", snapshot=None, refund=told)
                gateway = await engine.context.gateway("default", "bkash")
                applied = await engine.apply_event("default", "bkash", gateway.mode, event, patient=True)
                assert applied.verdict is Verdict.DONE
            await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
            assert (await shop.payments.epoch()).restored is None
            clock.advance(300)
            await shop.payments.reconcile_due()
            assert isinstance(await shop.payments.refund(request), Refunded)
            assert shop.moved()["refund"] == 1

"""A tenant that a restored store's reconciliation left out: until a run takes it in, nothing of it leaves or ends."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.shop import shop_open
from tests.flows.test_restored import backed_up, restored
from vextrus_payments import (
    Money,
    Paid,
    ReconciliationRequiredError,
    Refunded,
    RefundRequest,
)
from vextrus_payments.cli.doctor_store import epoch_findings
from vextrus_payments.cli.findings import Level
from vextrus_payments.engine.epochs import LEFT_OUT_MARK
from vextrus_payments.epoch import EpochMark, FileEpochMark
from vextrus_payments.outcomes import Pending
from vextrus_payments.records import PaymentState
from vextrus_payments.testing import FakeClock

US = "default"


@pytest.mark.parametrize("marked", [True, False])
async def test_a_refund_that_the_backup_calls_not_sent_is_not_sent_again(
    tmp_path: Path, marked: bool
) -> None:
    """Where nothing outside the store tells of the restore, leaving a tenant out says so."""
    clock = FakeClock()
    mark: EpochMark | None = FileEpochMark(tmp_path / "epoch") if marked else None
    async with shop_open(tmp_path, clock, epoch=mark) as shop:
        session = await shop.approved("INV-1", amount="90")
        other = await shop.approved("INV-2", amount="70")
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        request = RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("20"))
        shop.fault("refund_status", "html_before", times=9)
        kept_back = await shop.payments.refund(request)
        assert isinstance(kept_back, Pending) and not kept_back.sent
        await shop.payments.aclose()
        backed_up(tmp_path)
        shop.server.app.state.faults.reset()
        async with shop.payments:
            clock.advance(61)
            assert isinstance(await shop.payments.refund(request), Refunded)
            assert isinstance(await shop.payments.execute(other.payment_id), Paid)
        restored(tmp_path)
        async with shop.payments:
            began = clock.now() - timedelta(days=1)
            assert (await shop.payments.reconcile_since(began, leave_out=(US,))).accepted_restored
            assert (await shop.payments.epoch()).left_out == (US,)
            # Its credentials are back.
            for _ in range(4):
                clock.advance(86_400)
                await shop.payments.reconcile_due()
            with pytest.raises(ReconciliationRequiredError, match="left out"):
                await shop.payments.refund(request)
            with pytest.raises(ReconciliationRequiredError, match="left out"):
                await shop.payments.withdraw("r-1")
            with pytest.raises(ReconciliationRequiredError, match="left out"):
                await shop.payments.execute(other.payment_id)
            assert shop.moved()["refund"] == 1
            facts = await shop.payments.get(other.payment_id)
            assert facts is not None and facts.payment.state is not PaymentState.CLOSED

            assert (await shop.payments.reconcile_since(began)).accepted_restored
            assert (await shop.payments.epoch()).left_out == ()
            assert isinstance(await shop.payments.refund(request), Refunded)
            assert isinstance(await shop.payments.execute(other.payment_id), Paid)
            assert shop.moved()["refund"] == 1 and shop.moved()["execute"] == 2


async def test_nobody_is_left_out_of_a_store_that_was_not_restored(tmp_path: Path) -> None:
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved("INV-1")
        await shop.payments.reconcile_since(clock.now() - timedelta(days=1), leave_out=(US,))
        assert (await shop.payments.epoch()).left_out == ()
        assert await shop.payments.store.get_mark(LEFT_OUT_MARK) is None
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)


async def test_a_later_run_lets_go_only_of_whom_it_asked_about(tmp_path: Path) -> None:
    clock = FakeClock()
    mark = FileEpochMark(tmp_path / "epoch")
    async with shop_open(tmp_path, clock, epoch=mark) as shop:
        began = clock.now() - timedelta(days=1)
        await mark.write("epo_other 9")
        await shop.payments._parts.epochs.roll()
        await shop.payments.reconcile_since(began, leave_out=("gone", US))
        assert (await shop.payments.epoch()).left_out == (US, "gone")
        await shop.payments.reconcile_since(began, leave_out=("gone",))
        assert (await shop.payments.epoch()).left_out == ("gone",)
        for payments in (shop.payments, None):
            (finding,) = await epoch_findings(shop.payments.store, payments)
            assert finding.level is Level.WARN and "reconciled without gone" in finding.what
        session = await shop.approved("INV-1")
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)


async def test_a_refund_is_not_withdrawn_on_the_word_of_a_backup(tmp_path: Path) -> None:
    """It may have been sent since: withdrawn, it would be called not made, and its room given to another."""
    clock = FakeClock()
    async with shop_open(tmp_path, clock, epoch=FileEpochMark(tmp_path / "epoch")) as shop:
        session = await shop.approved("INV-1", amount="90")
        assert isinstance(await shop.payments.execute(session.payment_id), Paid)
        request = RefundRequest(operation_id="r-1", payment_id=session.payment_id, amount=Money("20"))
        shop.fault("refund_status", "html_before", times=9)
        assert isinstance(await shop.payments.refund(request), Pending)
        await shop.payments.aclose()
        backed_up(tmp_path)
        shop.server.app.state.faults.reset()
        async with shop.payments:
            clock.advance(61)
            assert isinstance(await shop.payments.refund(request), Refunded)
        restored(tmp_path)
        async with shop.payments:
            with pytest.raises(ReconciliationRequiredError):
                await shop.payments.withdraw("r-1")
            await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
            assert isinstance(await shop.payments.refund_status("r-1"), Refunded)

"""Rule 16 for payouts: no gateway can be asked what left since the backup, so a person has to compare first."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.flows.payouts import paying_config, paying_shop
from tests.flows.shop import LONG_S
from vextrus_payments import Pending, ReconciliationRequiredError, Sent, Unknown
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.testing import FakeClock


def backed_up(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        shutil.copy(file, tmp_path / f"backup-{file.name}")


def restored(tmp_path: Path) -> None:
    for file in tmp_path.glob("shop.db*"):
        file.unlink()
    for file in tmp_path.glob("backup-*"):
        shutil.copy(file, tmp_path / file.name.removeprefix("backup-"))


async def test_nothing_is_paid_out_over_a_restored_store_until_a_person_has_compared(tmp_path: Path) -> None:
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with paying_shop(tmp_path, clock, epoch=mark) as shop:
        await shop.funded()
        assert isinstance(await shop.pay("before", "10"), Sent)
        shop.fault("payout", "throttled")
        assert isinstance(await shop.pay("reserved", "20"), Pending)
        config = {"bkash": paying_config(shop.server)}
        await shop.payments.aclose()
        backed_up(tmp_path)
        await shop.payments.open()
        assert isinstance(await shop.pay("reserved", "20"), Sent)
        assert isinstance(await shop.pay("after", "30"), Sent)
        assert shop.sent == 3
        began = clock.now() - timedelta(days=1)
        await shop.payments.aclose()
        restored(tmp_path)

        again = type(shop)(
            shop.server, f"sqlite:///{tmp_path / 'shop.db'}", clock, epoch=mark, gateways=config, seed=99
        )
        async with again.payments:
            for name, amount in (("reserved", "20"), ("after", "30"), ("new", "40")):
                with pytest.raises(ReconciliationRequiredError):
                    await again.pay(name, amount)
            with pytest.raises(ReconciliationRequiredError):
                await again.payments.clear_payouts()
            with pytest.raises(ReconciliationRequiredError):
                await again.payments.withdraw_payout("reserved")
            clock.advance(LONG_S)
            report = await again.payments.reconcile_since(began)
            assert report.accepted_restored
            # What the backup calls not sent may have been sent since: nobody can tell.
            assert isinstance(await again.payments.payout_status("reserved"), Unknown)
            for name, amount in (("after", "30"), ("new", "40")):
                with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
                    await again.pay(name, amount)
            assert shop.sent == 3
            await again.payments.clear_payouts()
            assert isinstance(await again.pay("new", "40"), Sent)
            assert isinstance(await again.pay("reserved", "20"), Unknown) and shop.sent == 4
            assert isinstance(await again.pay("before", "10"), Sent) and shop.sent == 4
        # It is said once, and holds until the next restore.
        third = type(shop)(
            shop.server, f"sqlite:///{tmp_path / 'shop.db'}", clock, epoch=mark, gateways=config, seed=5
        )
        async with third.payments:
            assert isinstance(await third.pay("newer", "41"), Sent)


async def test_without_a_restore_nothing_has_to_be_cleared(tmp_path: Path) -> None:
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with paying_shop(tmp_path, clock, epoch=mark) as shop:
        await shop.payments.clear_payouts()
        await shop.funded()
        shop.fault("payout", "throttled")
        assert isinstance(await shop.pay("reserved", "20"), Pending)
        clock.advance(LONG_S)
        await shop.payments.reconcile_since(clock.now() - timedelta(days=1))
        assert isinstance(await shop.pay("reserved", "20"), Sent)

"""Rule 16 for payouts: no gateway can be asked what left since the backup, so a person has to compare first."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.backups import Backups, backups_on
from tests.flows.payouts import PayingShop, paying_config, paying_shop
from tests.flows.shop import LONG_S
from tests.flows.test_payouts import kept, news, told
from tests.flows.test_payouts_reviewed import found
from vextrus_payments import Pending, ReconciliationRequiredError, Review, Sent, Unknown
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.testing import FakeClock


@pytest.fixture(params=["sqlite", "postgres"])
async def backup(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backups]:
    async with backups_on(request, tmp_path) as kept_there:
        yield kept_there


async def test_nothing_is_paid_out_over_a_restored_store_until_a_person_has_compared(
    tmp_path: Path, backup: Backups
) -> None:
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with paying_shop(tmp_path, clock, epoch=mark, store=backup.url) as shop:
        await shop.funded()
        assert isinstance(await shop.pay("before", "10"), Sent)
        shop.fault("payout", "throttled")
        assert isinstance(await shop.pay("reserved", "20"), Pending)
        config = {"bkash": paying_config(shop.server)}
        await shop.payments.aclose()
        await backup.back_up()
        await shop.payments.open()
        assert isinstance(await shop.pay("reserved", "20"), Sent)
        assert isinstance(await shop.pay("after", "30"), Sent)
        assert shop.sent == 3
        began = clock.now() - timedelta(days=1)
        await shop.payments.aclose()
        await backup.restore()

        again = type(shop)(shop.server, backup.url, clock, epoch=mark, gateways=config, seed=99)
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
        third = type(shop)(shop.server, backup.url, clock, epoch=mark, gateways=config, seed=5)
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


async def test_what_was_answered_after_the_backup_is_answered_again(tmp_path: Path, backup: Backups) -> None:
    """Answers that a restored store has forgotten are asked for once more; no entry of theirs is booked twice."""
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with paying_shop(tmp_path, clock, epoch=mark, store=backup.url) as shop:
        await shop.funded()
        for name in ("unknown", "doubted"):
            shop.fault("payout", "drop_after")
            assert isinstance(await shop.pay(name), Unknown)
        clock.advance(LONG_S)
        payout = await kept(shop, "doubted")
        await shop.payments.resolve_payout(found(payout, "T1", "25.50"))
        await told(shop, news(payout, "T1", "250.50"))
        await shop.payments.deliver()
        await shop.payments.aclose()
        await backup.back_up()
        await shop.payments.open()

        async def answer_both(at: PayingShop) -> None:
            await at.payments.resolve_payout(found(await kept(at, "unknown"), "T2", "250.50"))
            await at.payments.resolve_payout(found(await kept(at, "doubted"), "T1", "250.50"))
            for name in ("unknown", "doubted"):
                assert isinstance(await at.pay(name), Sent)
            await at.payments.deliver()

        await answer_both(shop)
        before = {entry.id: entry for entry in shop.entries}
        config = {"bkash": paying_config(shop.server)}
        began = clock.now() - timedelta(days=1)
        await shop.payments.aclose()
        await backup.restore()

        again = PayingShop(shop.server, backup.url, clock, epoch=mark, gateways=config, seed=99)
        async with again.payments:
            await again.payments.reconcile_since(began)
            await again.payments.clear_payouts()
            assert isinstance(await again.pay("unknown"), Unknown)
            assert isinstance(await again.pay("doubted"), Review)
            assert shop.sent == 2
            await answer_both(again)
        assert {entry.id for entry in again.entries} <= before.keys(), "the same facts are the same entries"
        assert shop.sent == 2


async def test_a_tenant_that_is_left_out_sends_nothing_again(tmp_path: Path, backup: Backups) -> None:
    """Nobody looks at its payouts after a restore; that the backup calls one not sent proves nothing all the same."""
    mark, clock = FileEpochMark(tmp_path / "epoch"), FakeClock()
    async with paying_shop(tmp_path, clock, epoch=mark, store=backup.url) as shop:
        await shop.funded()
        shop.fault("payout", "throttled")
        assert isinstance(await shop.pay("reserved", "20"), Pending)
        config = {"bkash": paying_config(shop.server)}
        await shop.payments.aclose()
        await backup.back_up()
        await shop.payments.open()
        assert isinstance(await shop.pay("reserved", "20"), Sent)
        await shop.payments.aclose()
        await backup.restore()
        again = PayingShop(shop.server, backup.url, clock, epoch=mark, gateways=config, seed=99)
        async with again.payments:
            clock.advance(LONG_S)
            began = clock.now() - timedelta(days=1)
            report = await again.payments.reconcile_since(began, leave_out=("default",))
            assert report.accepted_restored
            await again.payments.clear_payouts()
            for name in ("reserved", "new"):
                with pytest.raises(ReconciliationRequiredError, match="left out"):
                    await again.pay(name, "20")
            assert (await again.payments.reconcile_since(began)).accepted_restored
            # Its statement was compared by nobody when the others' were.
            for name in ("reserved", "new"):
                with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
                    await again.pay(name, "20")
            await again.payments.clear_payouts()
            assert isinstance(await again.pay("reserved", "20"), Unknown) and shop.sent == 1
            assert isinstance(await again.pay("new", "20"), Sent)

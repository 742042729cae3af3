"""A restored backup at SSLCommerz: it lists no refunds, so what was sent since the backup nobody can be asked about.

On SQLite, where a file is put back, and on PostgreSQL, where a database is.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest

from tests.backups import Backups, backups_on
from tests.gateways.sslcommerz.hand import NOW
from tests.gateways.sslcommerz.little import Little, payments_over
from vextrus_payments import (
    Money,
    Paid,
    PaymentRequest,
    Payments,
    Pending,
    ReconciliationRequiredError,
    RefundRequest,
    StorageError,
    Unknown,
)
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.testing import FakeClock


class Machine:
    """One shop whose database is on a disk that gets lost; the epoch's mark is not."""

    def __init__(self, folder: Path, backups: Backups) -> None:
        self.folder, self.little, self.clock = folder, Little(), FakeClock(NOW)
        self.back_up, self.restore = backups.back_up, backups.restore
        self._backups = backups
        self.payment_id = ""

    def payments(self, late_payment: Literal["keep", "refund"] = "keep") -> Payments:
        return payments_over(
            self.little,
            self.clock,
            store=self._backups.url,
            epoch=FileEpochMark(self.folder / "epoch"),
            late_payment=late_payment,
        )

    async def paid(self) -> None:
        async with self.payments() as payments:
            request = PaymentRequest(
                operation_id="pay", gateway="sslcommerz", amount=Money("100"), merchant_reference="INV-1"
            )
            self.payment_id = (await payments.initialize(request)).payment_id
            self.little.pay()
            assert isinstance(await payments.execute(self.payment_id), Paid)

    def refund(self, operation_id: str = "r1") -> RefundRequest:
        return RefundRequest(operation_id=operation_id, payment_id=self.payment_id, amount=Money("100"))


@pytest.fixture(params=["sqlite", "postgres"])
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with backups_on(request, tmp_path) as backups:
        yield Machine(tmp_path, backups)


@pytest.mark.parametrize("again", ["r1", "r2"])
async def test_a_forgotten_refund_is_not_made_twice(machine: Machine, again: str) -> None:
    await machine.paid()
    await machine.back_up()
    async with machine.payments() as payments:
        machine.clock.advance(61)
        assert isinstance(await payments.refund(machine.refund()), Pending)
    await machine.restore()
    async with machine.payments() as payments:
        machine.clock.advance(7200)
        assert (await payments.reconcile_since(NOW)).accepted_restored
        with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
            await payments.refund(machine.refund(again))
        assert machine.little.calls("refund") == 1
        # A person has compared with the panel.
        await payments.clear_payouts()
        assert isinstance(await payments.refund(machine.refund("r3")), Pending)


@pytest.mark.parametrize("leave_out", [(), ("default",)])
async def test_what_the_backup_calls_reserved_is_carried_on_by_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, leave_out: tuple[str, ...]
) -> None:
    await machine.paid()
    async with machine.payments() as payments:
        store = payments.store

        async def down(*_: object, **__: object) -> None:
            raise StorageError("The disk is slow.")

        with monkeypatch.context() as slow:
            slow.setattr(type(store), "claim", down)
            with pytest.raises(StorageError):
                await payments.refund(machine.refund())
    await machine.back_up()
    async with machine.payments() as payments:
        machine.clock.advance(61)
        assert isinstance(await payments.refund(machine.refund()), Pending)
    await machine.restore()
    async with machine.payments() as payments:
        machine.clock.advance(7200)
        assert (await payments.reconcile_since(NOW, leave_out=leave_out)).accepted_restored
        await payments.clear_payouts()
        for _ in range(3):
            machine.clock.advance(7200)
            await payments.reconcile_due()
        if leave_out:
            # Its credentials are back, and it is asked about at last.
            assert machine.little.calls("refund") == 1
            assert (await payments.reconcile_since(NOW)).accepted_restored
            with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
                await payments.refund(machine.refund("r2"))
            await payments.clear_payouts()
        assert isinstance(await payments.refund(machine.refund()), Unknown)
    assert machine.little.calls("refund") == 1


async def test_late_money_that_was_given_back_is_not_given_back_again_by_itself(machine: Machine) -> None:
    async with machine.payments("refund") as payments:
        request = PaymentRequest(
            operation_id="pay", gateway="sslcommerz", amount=Money("100"), merchant_reference="INV-1"
        )
        machine.payment_id = (await payments.initialize(request)).payment_id
        for _ in range(4):
            machine.clock.advance(86_400)
            await payments.reconcile_due()
    await machine.back_up()
    async with machine.payments("refund") as payments:
        machine.little.pay()
        await payments.reconcile_since(NOW)
        await payments.reconcile_due()
        assert machine.little.calls("refund") == 1
    await machine.restore()
    async with machine.payments("refund") as payments:
        machine.clock.advance(7200)
        assert (await payments.reconcile_since(NOW)).accepted_restored
        await payments.clear_payouts()
        for _ in range(3):
            machine.clock.advance(7200)
            await payments.reconcile_due()
        await payments.reconcile_since(NOW)
        assert isinstance(await payments.status(machine.payment_id), Paid), (
            "it is booked, and a person decides"
        )
        assert machine.little.calls("refund") == 1

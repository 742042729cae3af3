"""A page that was paid twice and given back in part, and the shop's database put back to before all that.

What SSLCommerz can be asked is learned again, under the same entries; what it cannot be asked, a refund, waits for a
person, and moves no money by itself.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.backups import Backups, backups_on
from tests.gateways.sslcommerz.hand import NOW, posted
from tests.gateways.sslcommerz.little import Little, payments_over
from tests.gateways.sslcommerz.test_webhook import delivery
from vextrus_payments import (
    Declined,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    PaymentSession,
    Pending,
    ReconciliationRequiredError,
    Refunded,
    RefundRequest,
)
from vextrus_payments.epoch import FileEpochMark
from vextrus_payments.events import PaymentEvent
from vextrus_payments.ledger import LedgerEntry
from vextrus_payments.records import Flag, PaymentFacts, ReceiptKind
from vextrus_payments.testing import FakeClock, FakeEntropy


class Machine:
    """One shop whose database is put back; its ledger, elsewhere, is not."""

    def __init__(self, folder: Path, backups: Backups) -> None:
        self.folder, self.backups, self.little, self.clock = folder, backups, Little(), FakeClock(NOW)
        self.entries: list[LedgerEntry] = []
        self.events: list[PaymentEvent] = []
        self.lives = 0

    def payments(self, **changes: Any) -> Payments:
        self.lives += 1

        async def entry(one: LedgerEntry) -> None:
            self.entries.append(one)

        async def event(one: PaymentEvent) -> None:
            self.events.append(one)

        return payments_over(
            self.little,
            self.clock,
            store=self.backups.url,
            ledger=entry,
            on_event=event,
            entropy=FakeEntropy(self.lives),
            epoch=FileEpochMark(self.folder / "epoch"),
            **changes,
        )

    async def open(self, payments: Payments, reference: str = "INV-1") -> PaymentSession:
        return await payments.initialize(
            PaymentRequest(
                operation_id=f"{reference}/pay",
                gateway="sslcommerz",
                amount=Money("100"),
                merchant_reference=reference,
            )
        )

    async def restore(self) -> None:
        await self.backups.restore()
        self.clock.advance(7200)


@pytest.fixture(params=["sqlite", "postgres"])
async def machine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    async with backups_on(request, tmp_path) as backups:
        yield Machine(tmp_path, backups)


async def facts_of(payments: Payments, session: PaymentSession) -> PaymentFacts:
    facts = await payments.get(session.payment_id)
    assert facts is not None
    return facts


def part(session: PaymentSession, number: int, amount: str) -> RefundRequest:
    return RefundRequest(operation_id=f"r{number}", payment_id=session.payment_id, amount=Money(amount))


async def test_two_payments_and_a_refund_that_the_backup_forgot(machine: Machine) -> None:
    async with machine.payments() as payments:
        session = await machine.open(payments)
    await machine.backups.back_up()
    async with machine.payments() as payments:
        machine.clock.advance(61)
        for _ in range(2):
            machine.little.pay()
        assert isinstance(await payments.status(session.payment_id), Paid)
        for number, amount in ((1, "60"), (2, "100")):
            assert isinstance(await payments.refund(part(session, number, amount)), Pending)
        machine.little.refunds["ref1"]["status"] = "refunded"
        assert isinstance(await payments.refund_status("r1"), Refunded)
        await payments.deliver()
        booked = {entry.id for entry in machine.entries if entry.transaction_id in ("bank1", "bank2")}
        assert len(booked) == 2
        machine.entries.clear()
    await machine.restore()
    async with machine.payments() as payments:
        for _ in range(2):
            with pytest.raises(ReconciliationRequiredError):
                await payments.refund(part(session, 1, "60"))
        assert (await payments.reconcile_since(NOW)).accepted_restored
        facts = await facts_of(payments, session)
        assert [r.transaction_id for r in facts.receipts] == ["bank1", "bank2"]
        assert Flag.DUPLICATE in facts.receipts[1].flags
        await payments.deliver()
        assert {entry.id for entry in machine.entries} == booked, (
            "the ledger knows them already, by their ids"
        )
        for number, amount in ((1, "60"), (2, "100"), (3, "40")):
            with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
                await payments.refund(part(session, number, amount))
        assert machine.little.calls("refund") == 2
        for _ in range(3):
            machine.clock.advance(7200)
            await payments.reconcile_due()
        assert machine.little.calls("refund") == 2
        await payments.clear_payouts()  # a person has compared with the panel, and asks for what is left
        assert isinstance(await payments.refund(part(session, 3, "40")), Pending)
        assert machine.little.calls("refund") == 3


async def test_a_refund_that_was_accepted_before_the_backup_is_asked_for_and_not_sent_again(
    machine: Machine,
) -> None:
    async with machine.payments() as payments:
        session = await machine.open(payments)
        machine.little.pay()
        assert isinstance(await payments.status(session.payment_id), Paid)
        assert isinstance(await payments.refund(part(session, 1, "60")), Pending)
    await machine.backups.back_up()
    async with machine.payments() as payments:
        machine.little.refunds["ref1"]["status"] = "cancelled"
        assert isinstance(await payments.refund_status("r1"), Declined)
        assert isinstance(await payments.refund(part(session, 2, "100")), Pending)
        machine.little.refunds["ref2"]["status"] = "refunded"
        assert isinstance(await payments.refund_status("r2"), Refunded)
    await machine.restore()
    async with machine.payments() as payments:
        assert isinstance(await payments.refund_status("r1"), Declined)
        with pytest.raises(ReconciliationRequiredError):
            await payments.refund(part(session, 2, "100"))
        assert (await payments.reconcile_since(NOW)).accepted_restored
        with pytest.raises(ReconciliationRequiredError, match="clear-restored"):
            await payments.refund(part(session, 2, "100"))
        assert isinstance(await payments.refund(part(session, 1, "60")), Declined)
        assert machine.little.calls("refund") == 2


async def test_a_page_that_the_backup_forgot_is_money_for_a_person_and_its_number_is_not_used_again(
    machine: Machine,
) -> None:
    async with machine.payments():
        pass
    await machine.backups.back_up()
    async with machine.payments() as payments:
        machine.clock.advance(61)
        forgotten = await machine.open(payments)
    await machine.restore()
    paid = machine.little.pay(index=0)
    async with machine.payments() as payments:
        assert (await payments.reconcile_since(NOW)).accepted_restored
        again = await machine.open(payments)
        assert again.gateway_order_id != forgotten.gateway_order_id
        assert machine.little.forms[1]["tran_id"] != machine.little.forms[0]["tran_id"]
        # What comes of the page that nobody remembers names nothing of ours.
        gateway = await payments.gateway_of("default", "sslcommerz")
        read: Any = await gateway.handle_webhook(delivery(posted(machine.little.notification(paid))))
        engine = payments._open_engine()
        applied = await engine.apply_event("default", "sslcommerz", gateway.mode, read.events[0])
        assert applied.verdict.value in ("early", "foreign") and applied.payment_id is None
        assert isinstance(await payments.status(again.payment_id), Pending)
        assert not [r for r in (await facts_of(payments, again)).receipts if r.kind is ReceiptKind.PAYMENT]

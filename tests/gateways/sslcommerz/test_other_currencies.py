"""A payment that was asked for in dollars: SSLCommerz converts it, tells both, settles in taka, and refunds taka.

What is booked is what was asked for, in its own currency, and every entry balances in it. What nobody documents, what a
refund of it would be in, is not tried.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.backups import SqliteBackups
from tests.gateways.sslcommerz.hand import NOW, posted
from tests.gateways.sslcommerz.test_restored_pages import Machine, facts_of
from tests.gateways.sslcommerz.test_webhook import delivery
from vextrus_payments import (
    CurrencyNotSupportedError,
    Declined,
    Mode,
    Money,
    Paid,
    PaymentRequest,
    Payments,
    PaymentSession,
    Pending,
    RefundRequest,
    Review,
)
from vextrus_payments.ledger import Side
from vextrus_payments.records import Flag
from vextrus_payments.settlement import SettlementTerms

#: 20 dollars, at the rate of the day.
DOLLARS = {
    "amount": "2438.00", "currency": "BDT", "currency_type": "USD", "currency_amount": "20.00",
    "currency_rate": "121.9000", "store_amount": "2377.05",
}  # fmt: skip


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    yield Machine(tmp_path, SqliteBackups(tmp_path))


async def open_page(payments: Payments, reference: str = "INV-1") -> PaymentSession:
    return await payments.initialize(
        PaymentRequest(
            operation_id=f"{reference}/pay",
            gateway="sslcommerz",
            amount=Money("20", "USD"),
            merchant_reference=reference,
        )
    )


def balances(machine: Machine) -> dict[tuple[str, str], int]:
    """(account, currency) -> minor units; every entry balances in each currency, or this fails."""
    sums: dict[tuple[str, str], int] = {}
    for entry in {entry.id: entry for entry in machine.entries}.values():
        totals: dict[str, int] = {}
        for posting in entry.postings:
            amount = posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
            key = (posting.account, posting.amount.currency)
            sums[key] = sums.get(key, 0) + amount
            totals[posting.amount.currency] = totals.get(posting.amount.currency, 0) + amount
        assert set(totals.values()) == {0}, entry
    return {key: value for key, value in sums.items() if value}


async def test_what_was_asked_for_is_what_is_booked(machine: Machine) -> None:
    async with machine.payments() as payments:
        session = await open_page(payments)
        assert (machine.little.forms[0]["total_amount"], machine.little.forms[0]["currency"]) == (
            "20.00",
            "USD",
        )
        machine.little.pay(**DOLLARS)
        paid = await payments.status(session.payment_id)
        assert isinstance(paid, Paid) and paid.amount == Money("20", "USD") and paid.fee is None
        await payments.deliver()
    assert balances(machine) == {
        ("gateway_clearing:sslcommerz:sandbox", "USD"): 2000,
        ("accounts_receivable", "USD"): -2000,
    }


@pytest.mark.parametrize(
    "told",
    [
        {"currency_amount": "19.99"},
        {"currency_amount": "20.001"},
        {"currency_amount": "2000"},
        {"currency_amount": ""},
        {"currency_type": "EUR"},
        {"currency_type": "BDT", "currency_amount": "2438.00"},
        {"currency_type": "usd"},
        {"currency_type": ""},
    ],
)
async def test_whatever_else_came_is_for_a_person(machine: Machine, told: dict[str, str]) -> None:
    async with machine.payments() as payments:
        session = await open_page(payments)
        machine.little.pay(**{**DOLLARS, **told})
        assert isinstance(await payments.status(session.payment_id), Review)
        await payments.deliver()
        assert "payment.paid" not in [event.kind.value for event in machine.events]
        assert ("accounts_receivable", "USD") not in balances(machine)


async def test_dollars_that_pay_for_taka_are_for_a_person(machine: Machine) -> None:
    async with machine.payments() as payments:
        session = await machine.open(payments)  # 100 taka
        machine.little.pay(currency_type="USD", currency_amount="100.00", amount="100.00")
        assert isinstance(await payments.status(session.payment_id), Review)


async def test_a_refund_is_refused_before_anything_is_sent_and_nothing_stays_reserved(
    machine: Machine,
) -> None:
    async with machine.payments() as payments:
        session = await open_page(payments)
        machine.little.pay(**DOLLARS)
        await payments.status(session.payment_id)
        refund = RefundRequest(operation_id="r", payment_id=session.payment_id, amount=Money("5", "USD"))
        for request in (refund, RefundRequest(operation_id="all", payment_id=session.payment_id)):
            with pytest.raises(CurrencyNotSupportedError, match="panel"):
                await payments.refund(request)
        assert isinstance(await payments.refund(refund), Declined)
        facts = await facts_of(payments, session)
        assert facts.payment.flags == frozenset() and len(facts.receipts) == 1
        assert machine.little.calls("refund") == 0


@pytest.mark.parametrize("policy", ["keep", "refund"])
async def test_what_comes_late_is_booked_and_its_refund_is_not_tried_for_ever(
    machine: Machine, policy: Any
) -> None:
    async with machine.payments(late_payment=policy) as payments:
        session = await open_page(payments)
        for _ in range(4):
            machine.clock.advance(86_400)
            await payments.reconcile_due()
        machine.little.pay(**DOLLARS)
        await payments.reconcile_since(NOW)
        for _ in range(5):
            machine.clock.advance(7200)
            await payments.reconcile_due()
        outcome = await payments.status(session.payment_id)
        assert isinstance(outcome, Paid) and outcome.late
        await payments.deliver()
        kinds = [event.kind.value for event in machine.events]
        assert kinds.count("payment.late") == 1
        assert kinds.count("refund.declined") == (1 if policy == "refund" else 0), "a person is told, once"
        assert machine.little.calls("refund") == 0
        assert balances(machine)[("gateway_clearing:sslcommerz:sandbox", "USD")] == 2000


async def test_two_payments_of_one_page_in_dollars(machine: Machine) -> None:
    async with machine.payments() as payments:
        session = await open_page(payments)
        for _ in range(2):
            machine.little.pay(**DOLLARS)
        assert isinstance(await payments.status(session.payment_id), Paid)
        facts = await facts_of(payments, session)
        assert [r.amount for r in facts.receipts] == [Money("20", "USD")] * 2
        assert Flag.DUPLICATE in facts.receipts[1].flags
        await payments.deliver()
    assert balances(machine) == {
        ("gateway_clearing:sslcommerz:sandbox", "USD"): 4000,
        ("accounts_receivable", "USD"): -2000,
        ("unapplied_receipts", "USD"): -2000,
    }


async def test_a_statement_in_taka_settles_the_taka_and_reports_the_dollars(machine: Machine) -> None:
    async with machine.payments() as payments:
        dollars, taka = await open_page(payments), await machine.open(payments, "INV-2")
        machine.little.pay(index=0, **DOLLARS)
        machine.little.pay(index=1, store_amount="97.50")
        for session in (dollars, taka):
            assert isinstance(await payments.status(session.payment_id), Paid)
        statement, findings = machine.folder / "november.csv", list[Any]()

        async def settled(*rows: str) -> Any:
            heading = "transaction_id,kind,amount,currency,fee,settled_on"
            statement.write_text("\n".join((heading, *rows)) + "\n", encoding="utf-8")
            return await payments.settle_statement(
                "sslcommerz",
                statement,
                mode=Mode.SANDBOX,
                terms=SettlementTerms(apply=True),
                on_finding=findings.append,
            )

        report = await settled(
            "bank1,payment,2438.00,BDT,60.95,2026-11-24", "bank2,payment,100.00,BDT,2.50,2026-11-24"
        )
        assert report.booked == 1 and not report.agrees
        (differs,) = findings
        assert (differs.kind.value, differs.transaction_id, differs.booked) == ("currency", "bank1", False)
        assert (differs.ours, differs.theirs) == ("USD", "BDT")
        await payments.deliver()
        sums = balances(machine)
        assert sums[("gateway_clearing:sslcommerz:sandbox", "USD")] == 2000
        assert ("gateway_clearing:sslcommerz:sandbox", "BDT") not in sums and sums[("bank", "BDT")] == 9750

        # One that says what it paid out in dollars settles them.
        report = await settled("bank1,payment,20.00,USD,0.50,2026-11-24")
        assert report.booked == 1
        await payments.deliver()
        sums = balances(machine)
        assert ("gateway_clearing:sslcommerz:sandbox", "USD") not in sums
        assert (sums[("bank", "USD")], sums[("gateway_fees:sslcommerz", "USD")]) == (1950, 50)


async def test_a_notification_in_dollars_is_news_of_the_same_money(machine: Machine) -> None:
    async with machine.payments() as payments:
        session = await open_page(payments)
        made = machine.little.pay(**DOLLARS)
        gateway = await payments.gateway_of("default", "sslcommerz")
        read: Any = await gateway.handle_webhook(delivery(posted(machine.little.notification(made))))
        engine = payments._open_engine()
        for _ in range(2):
            applied = await engine.apply_event("default", "sslcommerz", gateway.mode, read.events[0])
            assert applied.verdict.value == "done"
        facts = await facts_of(payments, session)
        assert [r.amount for r in facts.receipts] == [
            Money("20", "USD")
        ] and facts.payment.flags == frozenset()
        assert not isinstance(await payments.status(session.payment_id), Pending)

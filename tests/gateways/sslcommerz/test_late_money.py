"""Money that comes to a page of SSLCommerz's after we called it over, under both policies; and clocks that are wrong.

A page is payable for as long as SSLCommerz likes, whatever we think: late money is money, booked and announced as that.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.backups import SqliteBackups
from tests.gateways.sslcommerz.hand import NOW, posted
from tests.gateways.sslcommerz.test_restored_pages import Machine, facts_of, part
from tests.gateways.sslcommerz.test_webhook import delivery
from vextrus_payments import Declined, Paid, Payments, PaymentSession, Pending, Refunded
from vextrus_payments.records import Flag, PaymentState, ReceiptKind

DAY_S = 86_400
POLICIES = pytest.mark.parametrize("policy", ["keep", "refund"])


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    yield Machine(tmp_path, SqliteBackups(tmp_path))


async def over(machine: Machine, payments: Payments) -> PaymentSession:
    """A page whose time is over, in our records."""
    session = await machine.open(payments)
    for _ in range(4):
        machine.clock.advance(DAY_S)
        await payments.reconcile_due()
    assert (await facts_of(payments, session)).payment.state is PaymentState.LAPSED
    return session


async def told(machine: Machine, payments: Payments, attempt: dict[str, Any]) -> None:
    """Its notification is applied."""
    gateway = await payments.gateway_of("default", "sslcommerz")
    read: Any = await gateway.handle_webhook(delivery(posted(machine.little.notification(attempt))))
    await payments._open_engine().apply_event("default", "sslcommerz", gateway.mode, read.events[0])


async def some_time(machine: Machine, payments: Payments, rounds: int = 5) -> list[str]:
    """Hours go by; what was announced."""
    for _ in range(rounds):
        machine.clock.advance(7200)
        await payments.reconcile_due()
    await payments.deliver()
    return [event.kind.value for event in machine.events]


@POLICIES
async def test_late_money_is_booked_once_and_given_back_once_where_that_is_the_policy(
    machine: Machine, policy: Any
) -> None:
    async with machine.payments(late_payment=policy) as payments:
        session = await over(machine, payments)
        attempt = machine.little.pay()
        for _ in range(3):
            await told(machine, payments, attempt)
        outcome = await payments.status(session.payment_id)
        assert isinstance(outcome, Paid) and outcome.late
        kinds = await some_time(machine, payments)
        assert kinds.count("payment.late") == 1 and "payment.paid" not in kinds
        assert machine.little.calls("refund") == (1 if policy == "refund" else 0)
        if policy == "refund":
            machine.little.refunds["ref1"]["status"] = "refunded"
            kinds = await some_time(machine, payments)
            assert kinds.count("refund.succeeded") == 1 and machine.little.calls("refund") == 1
        received = [r for r in (await facts_of(payments, session)).receipts if r.kind is ReceiptKind.PAYMENT]
        assert [r.transaction_id for r in received] == ["bank1"]


@POLICIES
@pytest.mark.parametrize("at_once", [True, False])
async def test_two_late_payments_of_one_page(machine: Machine, policy: Any, at_once: bool) -> None:
    """What becomes of the second does not hang on whether the two were seen together."""
    async with machine.payments(late_payment=policy) as payments:
        session = await over(machine, payments)
        attempts = [machine.little.pay() for _ in range(2)] if at_once else []
        for number in range(2):
            await told(machine, payments, attempts[number] if at_once else machine.little.pay())
        kinds = await some_time(machine, payments)
        facts = await facts_of(payments, session)
        received = {r.transaction_id: r for r in facts.receipts if r.kind is ReceiptKind.PAYMENT}
        assert set(received) == {"bank1", "bank2"} and Flag.DUPLICATE in facts.payment.flags
        assert all(Flag.LATE in r.flags for r in received.values())
        assert (kinds.count("payment.late"), kinds.count("payment.duplicate")) == (2, 1)
        given_back = [refund["bank_tran_id"] for refund in machine.little.refunds.values()]
        assert sorted(given_back) == (["bank1", "bank2"] if policy == "refund" else []), (
            "each once, each from where it came"
        )


async def test_a_late_refund_whose_answer_got_lost_is_not_sent_again(machine: Machine) -> None:
    async with machine.payments(late_payment="refund") as payments:
        session = await over(machine, payments)
        machine.little.lose = {"refund"}
        await told(machine, payments, machine.little.pay())
        await some_time(machine, payments)
        machine.little.lose = set()
        kinds = await some_time(machine, payments, 12)
        assert machine.little.calls("refund") == 1
        assert kinds.count("payment.unknown_opened") == 1, "a person is told"
        with pytest.raises(Exception, match="refund"):
            await payments.refund(part(session, 1, "100"))
        assert machine.little.calls("refund") == 1


@POLICIES
async def test_a_page_that_its_payer_left_and_paid_all_the_same(machine: Machine, policy: Any) -> None:
    async with machine.payments(late_payment=policy) as payments:
        session = await machine.open(payments)
        await told(machine, payments, machine.little.pay(status="CANCELLED"))
        assert isinstance(await payments.status(session.payment_id), Declined)
        await told(machine, payments, machine.little.pay())
        outcome = await payments.status(session.payment_id)
        assert isinstance(outcome, Paid) and outcome.late
        await some_time(machine, payments)
        assert machine.little.calls("refund") == (1 if policy == "refund" else 0)


@POLICIES
async def test_money_in_time_is_never_given_back_by_itself(machine: Machine, policy: Any) -> None:
    """Nor is what came twice: which of the two it is for, the shop decides."""
    async with machine.payments(late_payment=policy) as payments:
        session = await machine.open(payments)
        for _ in range(2):
            await told(machine, payments, machine.little.pay())
        assert isinstance(await payments.status(session.payment_id), Paid)
        for _ in range(4):
            machine.clock.advance(DAY_S)
            await payments.reconcile_due()
        assert machine.little.calls("refund") == 0


@pytest.mark.parametrize("step_s", [3 * DAY_S, -3 * DAY_S, 365 * DAY_S])
async def test_a_clock_that_is_set_ends_no_page_and_calls_no_money_late(
    machine: Machine, step_s: int
) -> None:
    async with machine.payments(late_payment="refund") as payments:
        session = await machine.open(payments)
        machine.little.pay(status="FAILED")
        assert isinstance(await payments.status(session.payment_id), Pending)
        machine.clock.step_wall(step_s)
        for _ in range(3):
            machine.clock.advance(30)
            await payments.reconcile_due()
            assert isinstance(await payments.status(session.payment_id), Pending)
        await told(machine, payments, machine.little.pay())
        outcome = await payments.status(session.payment_id)
        assert isinstance(outcome, Paid) and not outcome.late
        machine.clock.step_wall(-step_s)
        assert isinstance(await payments.refund(part(session, 1, "40")), Pending)
        machine.little.refunds["ref1"]["status"] = "refunded"
        machine.clock.advance(60)
        assert isinstance(await payments.refund_status("r1"), Refunded)
        await payments.deliver()
        assert [e.kind.value for e in machine.events] == ["payment.paid", "refund.succeeded"]
        assert machine.little.calls("refund") == 1


async def test_a_process_that_began_with_a_wrong_clock_loses_no_money(machine: Machine) -> None:
    """It takes a try of a minute ago for one of days ago, and the page for over: what comes is late, and there."""
    async with machine.payments() as payments:
        session = await machine.open(payments)
    machine.little.pay(status="FAILED")
    machine.clock.step_wall(3 * DAY_S)
    async with machine.payments() as payments:
        await payments.status(session.payment_id)
        machine.clock.step_wall(-3 * DAY_S)
        machine.little.pay()
        await payments.reconcile_since(NOW)
        outcome = await payments.status(session.payment_id)
        assert isinstance(outcome, Paid)
        await payments.deliver()
        assert [entry.transaction_id for entry in machine.entries] == ["bank2"]
        assert {e.kind.value for e in machine.events} & {"payment.late", "payment.paid"}

"""Races of the PostgreSQL store, each held at the very moment where it would go wrong.

A transaction is stopped after it has looked and before it writes (or, in a statement, after its snapshot was taken),
while another one goes as far as it can.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.postgres_database import emptied, migrated, script, sql, trial_of
from tests.conformance.test_postgres_outbox import leased, post
from tests.services import Databases
from vextrus_payments.plans import Claim, Committed, Plan, ReceiptElsewhere, Reserved, SiblingLive, Stale
from vextrus_payments.records import Flag
from vextrus_payments.stores import PostgresStore
from vextrus_payments.stores.postgres import queue
from vextrus_payments.stores.postgres.rows import PostgresRows
from vextrus_payments.testing.store_trial import LONG


@pytest.fixture(scope="module")
def module_dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.fixture
async def dsn(module_dsn: str) -> str:
    await emptied(module_dsn)
    return module_dsn


@pytest.fixture
async def stores(dsn: str) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    made = PostgresStore(dsn), PostgresStore(dsn)
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.close()


class Gate:
    """Holds the first write of one payment, at most until the test is over."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, payment_id: str) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        real = PostgresRows.write

        async def write(rows: PostgresRows, plan: Plan) -> None:
            if plan.payment.payment_id == payment_id and not self.reached.is_set():
                self.reached.set()
                await self.open.wait()
            await real(rows, plan)

        monkeypatch.setattr(PostgresRows, "write", write)


@pytest.fixture
def gate_at(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Gate]]:
    made: list[Gate] = []

    def make(payment_id: str) -> Gate:
        made.append(Gate(monkeypatch, payment_id))
        return made[-1]

    yield make
    for gate in made:
        gate.open.set()


async def test_a_receipt_that_another_reference_books_meanwhile(
    stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    """Neither is the fact booked twice, nor is a plan called committed whose receipt is not there."""
    trial = trial_of(stores[0])
    plans = []
    for reference in ("INV-1", "INV-2"):
        claim = await trial.claim_execute(await trial.awaiting(reference))
        assert isinstance(claim, Claim)
        plans.append(trial.paid_plan(claim.facts, "TRX-SAME"))
    gate = gate_at("pay_INV-1")
    first = asyncio.create_task(stores[0].commit(plans[0]))
    await gate.reached.wait()
    assert isinstance(await stores[1].commit(plans[1]), Committed)
    gate.open.set()
    assert isinstance(await first, ReceiptElsewhere)
    assert (await trial.facts("acme", "pay_INV-1")).receipts == ()


async def test_an_order_id_that_another_reference_takes_meanwhile(
    dsn: str, stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    trial = trial_of(stores[0])
    gate = gate_at("pay_1")
    wish = trial.wish("INV", payment_id="pay_1", operation_id="op-1", skip=6)
    first = asyncio.create_task(stores[0].reserve(wish))
    await gate.reached.wait()
    taken = await stores[1].reserve(trial.wish("INV-7", payment_id="pay_2", operation_id="op-2"))
    assert isinstance(taken, Reserved)
    gate.open.set()
    answer = await first
    order_ids = await sql(dsn, "SELECT gateway_order_id FROM vextrus_payments.submissions")
    assert len(order_ids) == len(set(order_ids))
    if isinstance(answer, Reserved):
        assert len(order_ids) == 2
    else:
        assert type(answer).__name__ == "OrderIdTaken"
        assert order_ids == [(taken.facts.submission.gateway_order_id,)]


async def test_a_hand_in_the_database_meanwhile(
    dsn: str, stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    """Whoever changes a payment without the lock is noticed by the version."""
    trial = trial_of(stores[0])
    claim = await trial.claim_execute(await trial.awaiting("INV-1"))
    assert isinstance(claim, Claim)
    gate = gate_at("pay_INV-1")
    commit = asyncio.create_task(stores[0].commit(trial.paid_plan(claim.facts, "TRX1")))
    await gate.reached.wait()
    await script(dsn, "UPDATE vextrus_payments.payments SET version = version + 1")
    gate.open.set()
    assert isinstance(await commit, Stale)
    assert (await trial.facts("acme", "pay_INV-1")).receipts == ()


async def test_a_claim_and_a_siblings_payment_do_not_pass_each_other(
    stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    """A claim that has looked at its siblings, and a commit that calls one of them paid: one of them sees the other."""
    trial = trial_of(stores[0])
    first = await trial.awaiting("INV-1", payment_id="pay_a", operation_id="op-a")
    second = await trial.awaiting("INV-1", payment_id="pay_b", operation_id="op-b")
    plan = trial.paid_plan(first, "TRX1")
    plan = replace(plan, guards=(("pay_b", second.payment.version),), whole_reference=True)
    gate = gate_at("pay_b")
    claim = asyncio.create_task(stores[0].claim("acme", "execute/pay_b/1", LONG))
    await gate.reached.wait()
    commit = asyncio.create_task(stores[1].commit(plan))
    await asyncio.sleep(0.2)
    assert not commit.done(), "it waits for the reference's lock"
    gate.open.set()
    assert isinstance(await claim, Claim)
    assert isinstance(await commit, Stale)


async def test_a_reservation_and_a_siblings_claim_do_not_pass_each_other(
    stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    trial = trial_of(stores[0])
    await trial.awaiting("INV-1", payment_id="pay_a", operation_id="op-a")
    gate = gate_at("pay_a")
    claim = asyncio.create_task(stores[0].claim("acme", "execute/pay_a/1", LONG))
    await gate.reached.wait()
    reserve = asyncio.create_task(
        stores[1].reserve(trial.wish("INV-1", payment_id="pay_b", operation_id="op-b"))
    )
    await asyncio.sleep(0.2)
    gate.open.set()
    assert isinstance(await claim, Claim)
    assert isinstance(await reserve, SiblingLive)


async def test_a_guard_of_another_reference_holds(
    stores: tuple[PostgresStore, PostgresStore], gate_at: Callable[[str], Gate]
) -> None:
    """Two references share no lock: the guarded payment's row is held until the plan is written."""
    trial = trial_of(stores[0])
    first, second = await trial.awaiting("INV-1"), await trial.awaiting("INV-2")
    plan = replace(trial.paid_plan(first, "TRX1"), guards=(("pay_INV-2", second.payment.version),))
    gate = gate_at("pay_INV-1")
    commit = asyncio.create_task(stores[0].commit(plan))
    await gate.reached.wait()
    claim = asyncio.create_task(stores[1].claim("acme", "execute/pay_INV-2/1", LONG))
    await asyncio.sleep(0.2)
    assert not claim.done(), "what a plan relies on is not changed before it is written"
    gate.open.set()
    assert isinstance(await commit, Committed)
    assert isinstance(await claim, Claim)
    assert Flag.DUPLICATE not in (await trial.facts("acme", "pay_INV-1")).payment.flags


async def test_a_payment_that_comes_to_be_while_an_operation_on_it_is_reserved(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock could not be known: for this call it is not there, and nothing is written without the lock."""
    trial = trial_of(stores[0])
    facts = await trial.awaiting("INV-1")
    wanted = replace(trial.execute_of(facts), operation_id="execute/later")
    real, looked = stores[1]._whereabouts.of_payment, asyncio.Event()

    async def not_yet(*where: Any) -> Any:
        looked.set()
        return None

    monkeypatch.setattr(stores[1]._whereabouts, "of_payment", not_yet)
    answer = await stores[1].reserve(wanted)
    assert type(answer).__name__ == "Refused"
    monkeypatch.setattr(stores[1]._whereabouts, "of_payment", real)
    assert looked.is_set()


async def test_the_next_row_is_not_forgotten_by_a_worker_with_an_old_picture(
    stores: tuple[PostgresStore, PostgresStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's statement sees the first row undelivered, which another worker marks before it comes to the second:
    the second stays leasable."""
    await post(stores[0], "a", 1)
    (first,) = await leased(stores[0])
    await post(stores[0], "a", 2)
    slow = queue._LEASE.replace(
        "WHERE kind = $1 AND head", "WHERE (SELECT pg_sleep(0.5)) IS NOT NULL AND kind = $1 AND head"
    )
    assert slow != queue._LEASE
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_LEASE", slow)
        looking = asyncio.create_task(leased(stores[1]))
        await asyncio.sleep(0.2)
        await stores[0].ack(first)
        assert await looking == [], "to that picture the second one stands behind the first"
    assert [row.row_id for row in await leased(stores[0])] == ["a/2"]


async def test_marking_a_row_waits_for_a_worker_who_sends_others_back_behind_it(
    dsn: str, stores: tuple[PostgresStore, PostgresStore]
) -> None:
    await post(stores[0], "a", 1)
    (first,) = await leased(stores[0])
    await post(stores[0], "a", 2)
    looked, go_on = asyncio.Event(), asyncio.Event()

    async def send_back(session: Any) -> None:
        assert await queue.lease(session, first.kind, 5, 60, stores[1].now()) == ()
        looked.set()
        await go_on.wait()

    sending = asyncio.create_task(stores[1]._database.write(send_back))
    await looked.wait()
    marking = asyncio.create_task(stores[0].ack(first))
    await asyncio.sleep(0.2)
    waited = not marking.done()
    go_on.set()
    await asyncio.gather(sending, marking)
    assert waited
    assert [row.row_id for row in await leased(stores[0])] == ["a/2"]

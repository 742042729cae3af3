"""The PostgreSQL store against the kit, from two handles and from four processes."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.conformance.postgres_database import emptied, migrated
from tests.conformance.test_stores import race
from tests.conformance.test_stores_processes import judge_news
from tests.services import Databases
from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.states import refundable
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import PostgresStore
from vextrus_payments.testing import FakeClock, check_store
from vextrus_payments.testing.store_check import STORE_CHECKS
from vextrus_payments.testing.store_trial import StoreTrial


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.mark.parametrize("check", STORE_CHECKS)
async def test_postgres(check: str, dsn: str) -> None:
    await emptied(dsn)
    clock = FakeClock()
    await check_store(
        lambda: PostgresStore(dsn, clock=clock),
        advance=clock.advance,
        reopen=lambda store: PostgresStore(dsn, clock=clock),
        only=[check],
    )


async def test_postgres_as_behind_a_pooler(dsn: str) -> None:
    """Nothing may outlast a transaction, and no statement stand outside of one."""
    clock = FakeClock()

    async def make() -> PaymentStore:
        await emptied(dsn)
        return PostgresStore(dsn, clock=clock, statement_cache_size=0)

    checks = ["fifty_claims", "in_order_per_subject", "token_rows", "find_by_each_key", "leases_run_out"]
    await check_store(
        make,
        advance=clock.advance,
        reopen=lambda store: PostgresStore(dsn, clock=clock, statement_cache_size=0),
        only=checks,
    )


# --- several processes --------------------------------------------------------------------------------------------


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def test_four_processes_make_one_payment(dsn: str, processes: list[subprocess.Popen[str]]) -> None:
    await emptied(dsn)
    answers = race(processes, "reserve", dsn)
    kinds = sorted(kind for answer in answers for kind in answer["answers"])
    assert kinds == ["Reserved"] + ["Same"] * 39
    assert len({payment_id for answer in answers for payment_id in answer["payments"]}) == 1


async def test_four_processes_submit_once_and_refund_no_more_than_came_in(
    dsn: str, processes: list[subprocess.Popen[str]]
) -> None:
    await emptied(dsn)
    store = PostgresStore(dsn, clock=SystemClock())
    await store.open()
    trial = StoreTrial(store, store, SystemSleeper().sleep)
    await trial.paid("INV-1")
    await trial.awaiting("INV-2")
    reports = race(processes, "race", dsn)

    def all_of(name: str) -> list[str]:
        return sorted(each for report in reports for each in report[name])

    assert all_of("claims") == ["Busy"] * 39 + ["Claim"]
    assert all_of("grants") == ["GrantBusy"] * 39 + ["GrantReserved"]
    assert all_of("refunds") == ["Refused"] * 7 + ["Reserved"] * 33, "33 refunds of 3.00 fit into 100.00"
    assert str(refundable(await trial.facts("acme", "pay_INV-1"))) == "1.00 BDT"
    assert len(set(all_of("rows"))) == len(all_of("rows")) == 2, "the first entry and the first event"
    await store.close()


async def test_four_processes_keep_news_once_and_work_on_it_once(
    dsn: str, processes: list[subprocess.Popen[str]]
) -> None:
    await emptied(dsn)
    reports = race(processes, "hear", dsn)
    store = PostgresStore(dsn, clock=SystemClock())
    await store.open()
    await judge_news(store, reports)
    await store.close()

"""Every store against the kit, alone and from several processes; and the kit against stores that are wrong."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.errors import StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Committed,
    Plan,
    ReserveAnswer,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.records import OperationKind, OutboxKind, OutboxRow, Payment, PaymentFacts
from vextrus_payments.reserving import plan_claim, plan_reserve
from vextrus_payments.states import refundable
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore, SqliteStore
from vextrus_payments.stores.transactions import Rows
from vextrus_payments.testing import FakeClock, check_store
from vextrus_payments.testing.store_check import STORE_CHECKS
from vextrus_payments.testing.store_trial import StoreTrial

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]


class InlineRunner:
    """Runs the work at once, as the crash simulator will."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("check", STORE_CHECKS)
async def test_memory(check: str) -> None:
    clock = FakeClock()
    await check_store(lambda: MemoryStore(clock=clock), advance=clock.advance, only=[check])


@pytest.mark.parametrize("check", STORE_CHECKS)
async def test_sqlite(check: str, tmp_path: Path) -> None:
    clock = FakeClock()
    await check_store(
        lambda: SqliteStore(tmp_path / "payments.db", clock=clock),
        advance=clock.advance,
        reopen=lambda store: SqliteStore(tmp_path / "payments.db", clock=clock),
        only=[check],
    )


async def test_sqlite_without_a_thread(tmp_path: Path) -> None:
    clock = FakeClock()
    folders = iter(range(1000))

    def make() -> PaymentStore:
        return SqliteStore(tmp_path / f"{next(folders)}.db", clock=clock, runner=InlineRunner())

    await check_store(make, advance=clock.advance)


async def test_a_store_with_a_clock_of_its_own_is_judged_by_waiting() -> None:
    async def make() -> PaymentStore:
        return MemoryStore()

    await check_store(make, only=["leases_run_out"])


async def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(KeyError):
        await check_store(MemoryStore, only=["no_such_check"])


# --- several processes --------------------------------------------------------------------------------------------


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def race(
    processes: list[subprocess.Popen[str]], task: str, where: Path | str, count: int = 4
) -> list[dict[str, Any]]:
    """What each of `count` processes answers that open the store and do the task at the same moment."""
    for number in range(count):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.conformance.store_process", task, str(where), str(number)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in processes[-count:]:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes[-count:]:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes[-count:]]
    assert [process.returncode for process in processes[-count:]] == [0] * count
    return answers


def test_four_processes_make_one_file_and_one_payment(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    answers = race(processes, "reserve", tmp_path / "payments.db")
    kinds = sorted(kind for answer in answers for kind in answer["answers"])
    assert kinds == ["Reserved"] + ["Same"] * 39
    assert len({payment_id for answer in answers for payment_id in answer["payments"]}) == 1


async def test_four_processes_submit_once_and_refund_no_more_than_came_in(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    clock = SystemClock()
    store = SqliteStore(tmp_path / "payments.db", clock=clock)
    await store.open()
    trial = StoreTrial(store, store, SystemSleeper().sleep)
    await trial.paid("INV-1")
    await trial.awaiting("INV-2")
    reports = race(processes, "race", tmp_path / "payments.db")

    def all_of(name: str) -> list[str]:
        return sorted(each for report in reports for each in report[name])

    assert all_of("claims") == ["Busy"] * 39 + ["Claim"]
    assert all_of("grants") == ["GrantBusy"] * 39 + ["GrantReserved"]
    assert all_of("refunds") == ["Refused"] * 7 + ["Reserved"] * 33, "33 refunds of 3.00 fit into 100.00"
    assert str(refundable(await trial.facts("acme", "pay_INV-1"))) == "1.00 BDT"
    assert len(set(all_of("rows"))) == len(all_of("rows")) == 2, "the first entry and the first event"
    await store.close()


# --- the kit bites ------------------------------------------------------------------------------------------------


async def force(store: PaymentStore, plan: Plan | None) -> None:
    """Write a plan onto whatever version there is."""
    while plan is not None and not isinstance(await store.commit(plan), Committed):
        fresh = await store.get(plan.payment.tenant, plan.payment.payment_id)
        assert fresh is not None
        version = fresh.payment.version
        plan = replace(plan, payment=replace(plan.payment, version=version + 1), expected_version=version)


class ClaimsTwice(MemoryStore):
    """Looks, lets others in, and only then claims: no transaction around the two."""

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        found = await self.get_operation(tenant, operation_id)
        await asyncio.sleep(0)
        if found is None:
            return await super().claim(tenant, operation_id, terms)
        plan, answer = plan_claim(found[0], (), operation_id, terms, self.now())
        await force(self, plan)
        return answer


class SumsOutside(MemoryStore):
    """Reserves refunds from a sum it read before."""

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        if isinstance(wanted, ReservePayment) or wanted.kind is not OperationKind.REFUND:
            return await super().reserve(wanted)
        target = await self.get(wanted.tenant, wanted.payment_id)
        await asyncio.sleep(0)
        plan, answer = plan_reserve(ReserveFacts(None, target, (), 1), wanted, self.now())
        await force(self, plan)
        return answer


class IgnoresFences(MemoryStore):
    """Writes a checkpoint for whoever comes."""

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        stored = await self.get_operation(claim.tenant, claim.operation_id)
        assert stored is not None
        try:
            await super().checkpoint(replace(claim, fence=stored[1].fence), evidence)
        except Exception:
            return


class IgnoresGuards(MemoryStore):
    async def commit(self, plan: Plan) -> CommitAnswer:
        return await super().commit(replace(plan, guards=()))


class IgnoresNewSiblings(MemoryStore):
    async def commit(self, plan: Plan) -> CommitAnswer:
        return await super().commit(replace(plan, whole_reference=False))


class IgnoresVersions(MemoryStore):
    async def commit(self, plan: Plan) -> CommitAnswer:
        version = await self._rows().version(plan.payment.tenant, plan.payment.payment_id)
        moved = replace(plan.payment, version=version + 1)
        return await super().commit(replace(plan, payment=moved, expected_version=version))


class TearsPlans(MemoryStore):
    """Writes the payment first and the rest in a second step."""

    async def commit(self, plan: Plan) -> CommitAnswer:
        rest = replace(plan, outbox=(), events=())
        answer = await super().commit(rest)
        if isinstance(answer, Committed) and (plan.outbox or plan.events):
            again = replace(plan.payment, version=plan.payment.version + 1)
            await super().commit(replace(plan, payment=again, expected_version=plan.payment.version))
        return answer


class TenantInNoKey(MemoryStore):
    async def find(self, tenant: str, **keys: Any) -> tuple[PaymentFacts, ...]:
        found = [await super(TenantInNoKey, self).find(each, **keys) for each in ("acme", "other")]
        return tuple(facts for part in found for facts in part)


class LeasesEverything(MemoryStore):
    """Leases the second row of a subject beside the first."""

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        rows = await super().lease(kind, limit=limit, lease_s=lease_s)
        waiting = self._rows().queue._waiting
        behind = [row.record() for each in waiting.values() for row in each[1:] if row.kind is kind and rows]
        return (*rows, *behind[: max(0, limit - len(rows))])


class ForgetsNacks(MemoryStore):
    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        await super().nack(row, retry_at=retry_at or self.now() + timedelta(days=1), why=why)


class ReusesOrderIds(MemoryStore):
    """Never looks whether another reference has the order id."""

    def _rows(self) -> Any:
        rows = super()._rows()

        class Blind:
            def __getattr__(self, name: str) -> Any:
                return getattr(rows, name)

            async def order_id_owner(self, *key: object) -> None:
                return None

        blind: Rows = Blind()
        return blind


class CountsAcrossModes(MemoryStore):
    async def next_order_number(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        return await super().next_order_number(tenant, gateway, Mode.SANDBOX, merchant_reference)


class ListsTwice(MemoryStore):
    """A page begins with the last row of the one before."""

    async def list(self, tenant: str | None = None, **more: Any) -> Page[Payment]:
        page = await super().list(tenant, **more)
        if page.cursor is None:
            return page
        at_us, _, number = page.cursor.partition(".")
        return Page(page.rows, f"{at_us}.{int(number) - 1}" if len(page.rows) > 1 else page.cursor)


class BooksTwice(MemoryStore):
    """Looks for a receipt among those of its own payment only."""

    def _rows(self) -> Any:
        rows = super()._rows()

        class Forgetful:
            def __getattr__(self, name: str) -> Any:
                return getattr(rows, name)

            async def receipt_owner(self, key: object) -> None:
                return None

        forgetful: Rows = Forgetful()
        return forgetful


class LeaksDatabaseErrors(MemoryStore):
    async def commit(self, plan: Plan) -> CommitAnswer:
        try:
            return await super().commit(plan)
        except StorageError:
            raise KeyError("UNIQUE constraint failed: receipts.transaction_id") from None


BROKEN: Sequence[tuple[Callable[..., PaymentStore], str]] = [
    (ClaimsTwice, "fifty_claims"),
    (SumsOutside, "refunds_never_exceed"),
    (IgnoresFences, "fences"),
    (IgnoresGuards, "guards"),
    (IgnoresNewSiblings, "guards"),
    (IgnoresVersions, "commit_compares_versions"),
    (TearsPlans, "whole_or_not_at_all"),
    (TenantInNoKey, "tenants_never_meet"),
    (LeasesEverything, "in_order_per_subject"),
    (ForgetsNacks, "nack_and_park"),
    (ReusesOrderIds, "order_ids_are_unique"),
    (CountsAcrossModes, "order_ids_are_unique"),
    (ListsTwice, "list_page_by_page"),
    (BooksTwice, "a_receipt_is_booked_once"),
]


@pytest.mark.parametrize(("broken", "caught_by"), BROKEN)
async def test_a_wrong_store_is_caught(broken: Callable[..., PaymentStore], caught_by: str) -> None:
    clock = FakeClock()
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        await check_store(lambda: broken(clock=clock), advance=clock.advance, only=[caught_by])


async def test_an_error_that_is_not_ours_is_caught_too() -> None:
    clock = FakeClock()
    with pytest.raises(KeyError):
        await check_store(
            lambda: LeaksDatabaseErrors(clock=clock), advance=clock.advance, only=["whole_or_not_at_all"]
        )

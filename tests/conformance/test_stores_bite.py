"""The kit against stores that are wrong in what watches, agreements, the outbox, the books and races ask of them."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conformance.test_stores import IgnoresVersions, SumsOutside
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    AgreementAnswer,
    AgreementPlan,
    Claim,
    CommitAnswer,
    Committed,
    Plan,
    ReserveAnswer,
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
)
from vextrus_payments.records import Agreement, Attempt, OutboxKind, OutboxRow, Receipt, Watch
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, check_store
from vextrus_payments.testing.store_checks_reading import _every_call
from vextrus_payments.testing.store_trial import StoreTrial


class Wrapped(MemoryStore):
    """A memory store some of whose row operations are exchanged."""

    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        return {}

    def _rows(self) -> Any:
        rows = super()._rows()
        wrong = self.wrong(rows)

        class Other:
            def __getattr__(self, name: str) -> Any:
                return wrong.get(name) or getattr(rows, name)

        return Other()


# --- watches ------------------------------------------------------------------------------------------------------


class NewestWatchFirst(MemoryStore):
    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        found = [row for _, _, row in self._rows().watched() if row.watch_us is not None]
        times = [row.watch_us for row in found]
        for row, watch_us in zip(found, times, strict=True):  # turned round for the time of the question
            row.watch_us = -(watch_us or 0)
        watches = await super().lease_watches(limit=limit, lease_s=lease_s)
        for row, watch_us in zip(found, times, strict=True):
            row.watch_us = watch_us
        return watches


class ClaimsSetNoWatch(MemoryStore):
    """Claims as the release before did: the row's watch is left as it was."""

    async def claim(self, tenant: str, operation_id: str, terms: Any) -> Any:
        found = self._rows().operations.get((tenant, operation_id))
        row = None if found is None else self._rows().payments[tenant, found.payment_id]
        before = None if row is None else row.watch_us
        answer = await super().claim(tenant, operation_id, terms)
        if row is not None:
            row.watch_us = before
        return answer


class AnyoneEndsWatches(MemoryStore):
    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        row = self._rows().subject(watch.subject_kind, watch.tenant, watch.subject_id)
        if row is not None and row.until_us is not None:
            held = datetime(1970, 1, 1, tzinfo=watch.leased_until.tzinfo) + timedelta(
                microseconds=row.until_us
            )
            watch = replace(watch, leased_until=held)
        return await super().watch_again(watch, at)


class LooksOutrankCommits(MemoryStore):
    async def watch_again(self, watch: Watch, at: datetime | None) -> bool:
        row = self._rows().subject(watch.subject_kind, watch.tenant, watch.subject_id)
        return await super().watch_again(replace(watch, version=row.version) if row else watch, at)


class WatchesTwice(MemoryStore):
    """Looks what is due, lets others in, and only then leases."""

    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        rows = list(self._rows().watched())
        now = self.now()
        free = [
            (kind, name, row) for kind, name, row in rows if row.watch_us is not None and row.until_us is None
        ]
        await asyncio.sleep(0)
        for _, _, row in free:
            row.until_us = None
        from vextrus_payments.stores.memory import watches

        return watches.lease(free, limit, lease_s, now)


class SweepsPaymentsOnly(MemoryStore):
    async def sweep_watches(self) -> int:
        agreements = self._rows().agreements
        kept, agreements.rows = agreements.rows, {}
        try:
            return await super().sweep_watches()
        finally:
            agreements.rows = kept


class WatchesNoAgreements(MemoryStore):
    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        return await super().commit_agreement(replace(plan, watch_at=None))


class TellsLeasesAsTimes(MemoryStore):
    async def next_watch(self, tenant: str, subject_kind: Any, subject_id: str) -> datetime | None:
        row = self._rows().subject(subject_kind, tenant, subject_id)
        if row is not None and row.until_us is not None:
            return self.now()
        return await super().next_watch(tenant, subject_kind, subject_id)


class WatchesAnyLimit(MemoryStore):
    async def lease_watches(self, *, limit: int, lease_s: int) -> tuple[Watch, ...]:
        return await super().lease_watches(limit=min(max(limit, 1), 1000), lease_s=min(max(lease_s, 1), 9))


# --- agreements ---------------------------------------------------------------------------------------------------


class DropsAgreementAttempts(MemoryStore):
    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        return await super().commit_agreement(replace(plan, attempts=()))


class AgreementsWithoutVersions(MemoryStore):
    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        version = self._rows().agreements.version(plan.agreement.tenant, plan.agreement.agreement_key)
        moved = replace(plan.agreement, version=version + 1)
        return await super().commit_agreement(replace(plan, agreement=moved, expected_version=version))


class TwoSpacesOfIds(Wrapped):
    """Payments never look among the agreements' operation ids."""

    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nobodys(tenant: str, operation_id: str) -> None:
            return None

        return {"agreement_operation": nobodys}


class ChecksIdsBefore(MemoryStore):
    """Looks whose an operation id is, lets others in, and only then writes."""

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        agreements = self._rows().agreements
        free = agreements.operation(wanted.tenant, wanted.operation_id) is None
        await asyncio.sleep(0)
        kept = dict(agreements._owners)
        if free:
            agreements._owners.pop((wanted.tenant, wanted.operation_id), None)
        answer = await super().reserve(wanted)
        agreements._owners.update(kept)
        return answer


class FindsOldReferences(MemoryStore):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._seen: dict[tuple[str, str], list[str]] = {}

    async def commit_agreement(self, plan: AgreementPlan) -> AgreementAnswer:
        each = plan.agreement
        if each.gateway_reference:
            self._seen.setdefault((each.tenant, each.gateway_reference), []).append(each.agreement_key)
        return await super().commit_agreement(plan)

    async def find_agreements(self, tenant: str, **keys: Any) -> tuple[Agreement, ...]:
        if "gateway_reference" in keys:
            named = self._seen.get((tenant, keys["gateway_reference"]), [])
            found = [self._rows().agreements.get(tenant, key) for key in named]
            return tuple(each for each in found if each is not None)
        return await super().find_agreements(tenant, **keys)


class TearsAgreements(Wrapped):
    """Writes the agreement before it has looked whether its rows can be stored."""

    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def write(plan: AgreementPlan) -> None:
            await rows.write_agreement(replace(plan, outbox=(), attempts=()))
            rows.queue.add(rows.queue.prepared(plan.outbox))

        return {"write_agreement": write}


# --- the outbox ---------------------------------------------------------------------------------------------------


class AnyoneNacks(MemoryStore):
    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        kept = self._rows().queue._rows.get((row.tenant, row.row_id))
        if kept is not None:
            row = replace(row, leased_until=kept.record().leased_until)
        await super().nack(row, retry_at=retry_at, why=why)


class KeepsLeases(MemoryStore):
    """A nack does not end the lease: it can be given back twice."""

    async def nack(self, row: OutboxRow, *, retry_at: datetime | None, why: str) -> None:
        kept = self._rows().queue._rows.get((row.tenant, row.row_id))
        await super().nack(row, retry_at=retry_at, why=why)
        if kept is not None and kept.delivered_us is None and row.leased_until is not None:
            kept.until_us = (
                row.leased_until - datetime(1970, 1, 1, tzinfo=row.leased_until.tzinfo)
            ) // timedelta(microseconds=1)


class AcksTheFirstOnly(MemoryStore):
    async def ack_many(self, rows: Sequence[OutboxRow]) -> None:
        await super().ack_many(rows[:1])


class ListsParkedAmongAll(MemoryStore):
    async def list_outbox(self, kind: OutboxKind, *, parked: bool = False, **more: Any) -> Page[OutboxRow]:
        return await super().list_outbox(kind, **more)


class UnparksWithOldTries(MemoryStore):
    async def unpark(self, tenant: str, row_id: str) -> bool:
        kept = self._rows().queue._rows.get((tenant, row_id))
        tries = 0 if kept is None else kept.attempts
        done = await super().unpark(tenant, row_id)
        if kept is not None and done:
            kept.attempts = tries
        return done


class DeliversOutOfOrder(MemoryStore):
    """The last of a subject first."""

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        for waiting in self._rows().queue._waiting.values():
            waiting.reverse()
        return await super().lease(kind, limit=limit, lease_s=lease_s)


class ShowsRowsOfAll(MemoryStore):
    async def outbox_rows(self, tenant: str, row_ids: Sequence[str]) -> tuple[OutboxRow, ...]:
        found = [await super(ShowsRowsOfAll, self).outbox_rows(each, row_ids) for each in ("acme", "other")]
        return tuple(row for part in found for row in part)


# --- the books ----------------------------------------------------------------------------------------------------


class ReceiptsOfAllModes(MemoryStore):
    async def receipts(
        self, tenant: str, gateway: str, mode: Mode, transaction_ids: Sequence[str]
    ) -> tuple[Receipt, ...]:
        found = [
            await super(ReceiptsOfAllModes, self).receipts(tenant, gateway, m, transaction_ids) for m in Mode
        ]
        return tuple(receipt for part in found for receipt in part)


class UntilIncludes(MemoryStore):
    async def list_receipts(self, *account: Any, until: datetime | None = None, **more: Any) -> Page[Receipt]:
        later = None if until is None else until + timedelta(microseconds=1)
        return await super().list_receipts(*account, until=later, **more)


class ForgetsSettled(MemoryStore):
    async def list_receipts(self, *account: Any, unsettled: bool = False, **more: Any) -> Page[Receipt]:
        return await super().list_receipts(*account, **more)


class SettlesAgain(Wrapped):
    """Takes every statement for a correction."""

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        moved = []
        for plan in plans:
            version = self._rows().settlements.get(plan.settlement.key, (0, ""))[0]
            settlement = replace(plan.settlement, version=version + 1)
            moved.append(replace(plan, settlement=settlement, expected_version=version))
        return await super().settle(moved)


class SettlesOneByOne(MemoryStore):
    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        return sum([await super(SettlesOneByOne, self).settle([plan]) for plan in plans])


class SettlesWhatWasRead(MemoryStore):
    """Looks at the versions, lets others in, and only then writes."""

    async def settle(self, plans: Sequence[SettlementPlan]) -> int:
        if any(plan.settlement.tenant != "acme" for plan in plans):
            return await super().settle(plans)
        known = await self._rows().settlement_versions([plan.settlement.key for plan in plans])
        await asyncio.sleep(0)
        fresh = [plan for plan in plans if known.get(plan.settlement.key) == plan.expected_version]
        await self._rows().write_settlements(fresh)
        return len(fresh)


class MarksWithoutLooking(MemoryStore):
    async def put_mark(self, name: str, value: str, *, expected: str | None) -> bool:
        return await super().put_mark(name, value, expected=await self.get_mark(name))


class MarksAmongItsOwn(MemoryStore):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self._all.marks["schema_version"] = "2"


class NoticesItself(MemoryStore):
    """Says that others have committed whenever it is asked."""

    asked = 0

    async def change_mark(self) -> int | None:
        self.asked += 1
        return self.asked


class NoticesNobody(MemoryStore):
    async def change_mark(self) -> int | None:
        return 7


# --- races --------------------------------------------------------------------------------------------------------


class LosesCheckpoints(MemoryStore):
    """Reads the evidence, lets others in, and writes all of it back."""

    async def checkpoint(self, claim: Claim, evidence: Evidence) -> None:
        found = await self.get_operation(claim.tenant, claim.operation_id)
        await asyncio.sleep(0)
        assert found is not None
        fresh = await self.get(claim.tenant, claim.payment_id)
        assert fresh is not None
        version = fresh.payment.version
        operation = replace(found[1], evidence=(*found[1].evidence, evidence))
        payment = replace(fresh.payment, version=version + 1)
        await self.commit(Plan(payment=payment, expected_version=version, operations=(operation,)))


class ReleasesAnyFence(MemoryStore):
    async def release(self, claim: Claim) -> bool:
        found = await self.get_operation(claim.tenant, claim.operation_id)
        assert found is not None
        return await super().release(replace(claim, fence=found[1].fence))


class LooksBeforeItCommits(Wrapped):
    """Every look of a commit is taken before others are let in: receipts, order ids, guards, siblings."""

    async def commit(self, plan: Plan) -> CommitAnswer:
        from vextrus_payments.stores import transactions

        rows = MemoryStore._rows(self)
        looked: dict[tuple[Any, ...], Any] = {}

        class Early:
            def __getattr__(self, name: str) -> Any:
                if name == "write":
                    return remembered

                async def look(*key: Any) -> Any:
                    looked[name, key] = await getattr(rows, name)(*key)
                    return looked[name, key]

                return look

        written: list[Plan] = []

        async def remembered(plan: Plan) -> None:
            written.append(plan)

        answer = await transactions.commit(Early(), plan)
        await asyncio.sleep(0)
        if isinstance(answer, Committed):
            # The payment's own version is still compared: that much every store gets right.
            if await rows.version(plan.payment.tenant, plan.payment.payment_id) != plan.expected_version:
                return await super().commit(plan)
            await rows.write(written[0])
        return answer


class CommitsInTwoSteps(MemoryStore):
    """The payment's state first; operation, receipt and news after others were let in."""

    async def commit(self, plan: Plan) -> CommitAnswer:
        if not plan.receipts:
            return await super().commit(plan)
        rows = self._rows()
        answer = await super().commit(replace(plan, operations=(), receipts=(), events=(), outbox=()))
        await asyncio.sleep(0)
        if isinstance(answer, Committed):
            await rows.write(plan)
        return answer


class KeepsEveryLog(MemoryStore):
    async def note_attempt(self, attempt: Attempt) -> None:
        kept = await self.attempts(attempt.tenant, attempt.payment_id)
        await super().note_attempt(replace(attempt, fence=attempt.fence + len(kept)))


class AnswersWhenClosed(MemoryStore):
    async def get_mark(self, name: str) -> str | None:
        return self._all.marks.get(name)


BROKEN: Sequence[tuple[Callable[..., PaymentStore], str]] = [
    (NewestWatchFirst, "due_watches_are_leased"),
    (ClaimsSetNoWatch, "every_write_sets_the_watch"),
    (AnyoneEndsWatches, "watches_end_and_come_again"),
    (LooksOutrankCommits, "a_commit_outranks_a_look"),
    (WatchesTwice, "watchers_race"),
    (SweepsPaymentsOnly, "sweeps_arm_what_is_open"),
    (WatchesNoAgreements, "agreements_are_watched_too"),
    (TellsLeasesAsTimes, "the_next_look_is_told"),
    (WatchesAnyLimit, "what_may_not_be_watched"),
    (DropsAgreementAttempts, "agreements_come_back"),
    (AgreementsWithoutVersions, "agreements_under_versions"),
    (TwoSpacesOfIds, "operation_ids_are_one_space"),
    (ChecksIdsBefore, "operation_ids_race"),
    (FindsOldReferences, "agreements_are_found"),
    (TearsAgreements, "agreements_whole_or_not_at_all"),
    (AnyoneNacks, "a_lease_has_a_witness"),
    (KeepsLeases, "nacks_race"),
    (AcksTheFirstOnly, "many_acks"),
    (ListsParkedAmongAll, "outbox_page_by_page"),
    (UnparksWithOldTries, "unparked_rows_come_again"),
    (DeliversOutOfOrder, "deliverers_race"),
    (ShowsRowsOfAll, "outbox_rows_by_id"),
    (ReceiptsOfAllModes, "receipts_by_transaction_id"),
    (UntilIncludes, "receipts_page_by_page"),
    (ForgetsSettled, "receipts_page_by_page"),
    (SettlesAgain, "settlements_are_written_once"),
    (SettlesOneByOne, "settlements_whole_or_not_at_all"),
    (SettlesWhatWasRead, "settlers_race"),
    (MarksWithoutLooking, "marks"),
    (MarksAmongItsOwn, "marks"),
    (NoticesItself, "others_are_noticed"),
    (LosesCheckpoints, "checkpoints_race"),
    (ReleasesAnyFence, "releases_race"),
    (LooksBeforeItCommits, "receipts_race"),
    (LooksBeforeItCommits, "order_ids_of_plans_race"),
    (LooksBeforeItCommits, "guards_race"),
    (LooksBeforeItCommits, "whole_references_race"),
    (CommitsInTwoSteps, "readers_see_whole_states"),
    (IgnoresVersions, "one_snapshot_many_verbs"),
    (SumsOutside, "one_snapshot_many_verbs"),
    (KeepsEveryLog, "attempts_race"),
    (AnswersWhenClosed, "open_and_close"),
]


@pytest.mark.parametrize(("broken", "caught_by"), BROKEN)
async def test_a_wrong_store_is_caught(broken: Callable[..., PaymentStore], caught_by: str) -> None:
    clock = FakeClock()
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        await check_store(lambda: broken(clock=clock), advance=clock.advance, only=[caught_by])


async def test_a_store_that_notices_nobody_is_caught() -> None:
    """Through two handles: here two stores that share their rows."""
    clock = FakeClock()

    def reopen(store: PaymentStore) -> PaymentStore:
        other = NoticesNobody(clock=clock)
        assert isinstance(store, MemoryStore)
        other._all, other._all_tokens = store._all, store._all_tokens
        return other

    with pytest.raises(AssertionError, match=r"^others_are_noticed: another's reservation"):
        await check_store(
            lambda: NoticesNobody(clock=clock),
            advance=clock.advance,
            reopen=reopen,
            only=["others_are_noticed"],
        )


async def test_every_operation_of_the_port_is_asked_of_a_closed_store() -> None:
    store = MemoryStore()
    await store.open()
    trial = StoreTrial(store, store, None)  # type: ignore[arg-type]
    calls = _every_call(trial, await trial.paid("INV-1"))
    port = {
        name
        for base in PaymentStore.__mro__
        for name, value in vars(base).items()
        if inspect.iscoroutinefunction(value)
    }
    assert set(calls) == port - {"open", "close"}
    for call in calls.values():
        call.close()  # type: ignore[attr-defined]

"""The kit against stores that are wrong in the flow, in reading, in the queue and in the token rows."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance import test_stores, test_stores_bite, test_stores_bite_inbox, test_stores_bite_payouts
from tests.conformance.test_stores import IgnoresVersions
from tests.conformance.test_stores_bite import Wrapped
from vextrus_payments.paging import Page
from vextrus_payments.plans import (
    Busy,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Conflict,
    Plan,
    ReserveAnswer,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
    Unresolved,
)
from vextrus_payments.records import Attempt, Operation, OutboxKind, OutboxRow, PaymentFacts
from vextrus_payments.reserving import plan_reserve
from vextrus_payments.store import OutboxBacklog, PaymentStore
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, check_store
from vextrus_payments.testing.store_check import STORE_CHECKS
from vextrus_payments.token_budget import GrantAsk, GrantDecision, GrantEnd, GrantReserved

# --- the flow -----------------------------------------------------------------------------------------------------


class SameForAnybody(MemoryStore):
    """Takes any intent under a known operation id for the known one."""

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        found = await self.get_operation(wanted.tenant, wanted.operation_id)
        answer = await super().reserve(wanted)
        if isinstance(answer, Conflict) and found is not None:
            from vextrus_payments.plans import Same

            return Same(*found)
        return answer


class ReservesTwice(MemoryStore):
    """Looks for the operation id, lets others in, and only then reserves."""

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        known = await self.get_operation(wanted.tenant, wanted.operation_id)
        await asyncio.sleep(0)
        if known is not None or not isinstance(wanted, ReservePayment):
            return await super().reserve(wanted)
        plan, answer = plan_reserve(ReserveFacts(None, None, (), 1), wanted, self.now())
        assert plan is not None
        await self._rows().write(plan)
        return answer


class SeesNoSiblings(Wrapped):
    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def none(tenant: str, merchant_reference: str) -> tuple[str, ...]:
            return ()

        return {"payments_of_reference": none}


class SeesPaidSiblingsOnly(Wrapped):
    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def paid(tenant: str, merchant_reference: str) -> tuple[str, ...]:
            ids = await rows.payments_of_reference(tenant, merchant_reference)
            return tuple(each for each in ids if rows.payments[tenant, each].state.value == "paid")

        return {"payments_of_reference": paid}


class ClaimsOnOldSiblings(Wrapped):
    """Reads the siblings, lets others in, and only then claims."""

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        found = await self.get_operation(tenant, operation_id)
        assert found is not None
        payment = found[0].payment
        siblings = await self.siblings(tenant, payment.merchant_reference, without=payment.payment_id)
        await asyncio.sleep(0)
        from vextrus_payments.reserving import plan_claim

        plan, answer = plan_claim(found[0], siblings, operation_id, terms, self.now())
        if plan is not None:
            await MemoryStore._rows(self).write(plan)
        return answer


class NumbersFromWhatWasRead(MemoryStore):
    """Counts the submissions, lets others in, and only then makes the order id."""

    async def reserve(self, wanted: ReservePayment | ReserveOperation) -> ReserveAnswer:
        if not isinstance(wanted, ReservePayment):
            return await super().reserve(wanted)
        request = wanted.request
        number = await self.next_order_number(
            wanted.tenant, request.gateway, wanted.mode, request.merchant_reference
        )
        await asyncio.sleep(0)
        plan, answer = plan_reserve(ReserveFacts(None, None, (), number), wanted, self.now())
        assert plan is not None
        await self._rows().write(plan)
        return answer


class TakesTimeForAnEnd(MemoryStore):
    """A claim that is over may be claimed again: nobody asks the gateway."""

    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        answer = await super().claim(tenant, operation_id, terms)
        if isinstance(answer, Unresolved):
            return Busy(1, answer.facts)
        return answer


class RefundsSideBySide(MemoryStore):
    async def claim(self, tenant: str, operation_id: str, terms: ClaimTerms) -> ClaimAnswer:
        return await super().claim(tenant, operation_id, replace(terms, one_refund_at_a_time=False))


# --- commit -------------------------------------------------------------------------------------------------------


class TakesOrderIdsOver(Wrapped):
    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nobodys(*key: Any) -> None:
            return None

        return {"order_id_owner": nobodys}


class TakesOperationsOver(Wrapped):
    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nobodys(tenant: str, operation_id: str) -> None:
            return None

        return {"payment_of_operation": nobodys}


class DeliversAgain(MemoryStore):
    """Writes outbox rows over those that are there."""

    async def commit(self, plan: Plan) -> CommitAnswer:
        queue = self._rows().queue
        for row in plan.outbox:
            queue._rows.pop((row.tenant, row.row_id), None)
        return await super().commit(plan)


class DropsNotes(MemoryStore):
    async def commit(self, plan: Plan) -> CommitAnswer:
        operations = tuple(replace(operation, note=None) for operation in plan.operations)
        return await super().commit(replace(plan, operations=operations))


class LogsMoveVersions(MemoryStore):
    async def note_attempt(self, attempt: Attempt) -> None:
        await super().note_attempt(attempt)
        facts = await self.get(attempt.tenant, attempt.payment_id)
        if facts is not None:
            version = facts.payment.version
            payment = replace(facts.payment, version=version + 1)
            await self.commit(Plan(payment=payment, expected_version=version))


# --- reading ------------------------------------------------------------------------------------------------------


class NothingIsAList(MemoryStore):
    async def siblings(self, tenant: str, merchant_reference: str, *, without: str) -> Any:
        return list(await super().siblings(tenant, merchant_reference, without=without))


class SiblingsById(MemoryStore):
    async def siblings(
        self, tenant: str, merchant_reference: str, *, without: str
    ) -> tuple[PaymentFacts, ...]:
        found = await super().siblings(tenant, merchant_reference, without=without)
        return tuple(sorted(found, key=lambda facts: facts.payment.payment_id))


class FindsNoHolds(MemoryStore):
    async def find(self, tenant: str, **keys: Any) -> tuple[PaymentFacts, ...]:
        found = await super().find(tenant, **keys)
        if "transaction_id" in keys:
            return tuple(
                f for f in found if any(r.transaction_id == keys["transaction_id"] for r in f.receipts)
            )
        return found


class FindsEverything(MemoryStore):
    async def find(self, tenant: str, **keys: Any) -> tuple[PaymentFacts, ...]:
        found = await super().find(tenant, **keys)
        if len(found) < 100:
            return found
        ids = await self._rows().payments_of_reference(tenant, keys["merchant_reference"])
        return await self._rows().facts_of(tenant, ids)


class HidesUnknown(MemoryStore):
    async def list_operations(self, tenant: str | None = None, **more: Any) -> Page[Operation]:
        page = await super().list_operations(tenant, **more)
        return Page(tuple(o for o in page.rows if o.state.value != "unknown"), page.cursor)


class TakesAnyCursor(MemoryStore):
    async def list(self, tenant: str | None = None, *, cursor: str | None = None, **more: Any) -> Any:
        try:
            return await super().list(tenant, cursor=cursor, **more)
        except ValueError:
            return await super().list(tenant)


# --- the queue ----------------------------------------------------------------------------------------------------


class LeasesForEver(MemoryStore):
    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        return await super().lease(kind, limit=limit, lease_s=86_400)


class CountsHeadsOnly(MemoryStore):
    async def backlog(self, kind: OutboxKind) -> OutboxBacklog:
        heads = [rows[0] for (of, *_), rows in self._rows().queue._waiting.items() if of is kind]
        whole = await super().backlog(kind)
        return OutboxBacklog(len(heads), whole.parked, whole.oldest_created_at)


class LeasesWhatWasFree(MemoryStore):
    """Looks what is due, lets others in, and only then leases."""

    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        queue = self._rows().queue
        free = {
            id(rows[0]): rows[0].due_us
            for (of, *_), rows in queue._waiting.items()
            if of is kind and rows[0].until_us is None
        }
        await asyncio.sleep(0)
        for rows in queue._waiting.values():
            if id(rows[0]) in free:
                rows[0].due_us = free[id(rows[0])]
        return await super().lease(kind, limit=limit, lease_s=lease_s)


class LeasesAnyLimit(MemoryStore):
    async def lease(self, kind: OutboxKind, *, limit: int, lease_s: int) -> tuple[OutboxRow, ...]:
        return await super().lease(kind, limit=min(max(limit, 1), 1000), lease_s=min(max(lease_s, 1), 9))


# --- tokens -------------------------------------------------------------------------------------------------------


class DropsAnyVersion(MemoryStore):
    async def token_drop(self, digest: str, version: str) -> bool:
        row = self._tokens()._rows.get(digest)
        return await super().token_drop(
            digest, version if row is None or row.version is None else row.version
        )


class GrantsAtOnce(MemoryStore):
    """Looks at the budget, lets others in, and only then takes a slot."""

    async def grant_reserve(self, digest: str, ask: GrantAsk) -> GrantDecision:
        row = self._tokens()._rows.get(digest)
        free = row is None or row.grants is None
        await asyncio.sleep(0)
        decision = await super().grant_reserve(digest, ask)
        return GrantReserved(ask.permit) if free else decision


class LatestTokenIsTheLastWritten(MemoryStore):
    async def grant_finish(
        self, digest: str, end: GrantEnd, version: str | None, document: str | None
    ) -> None:
        await super().grant_finish(digest, end, version, document)
        if document is not None and version is not None:
            await self.token_put(digest, version, document)


BROKEN: Sequence[tuple[Callable[..., PaymentStore], str]] = [
    (SameForAnybody, "reserve_once"),
    (ReservesTwice, "reserve_races"),
    (SeesPaidSiblingsOnly, "one_charge_per_reference"),
    (SeesNoSiblings, "siblings_that_do_not_stand_in_the_way"),
    (ClaimsOnOldSiblings, "executes_of_one_reference_race"),
    (NumbersFromWhatWasRead, "order_ids_race"),
    (TakesTimeForAnEnd, "claim_answers"),
    (RefundsSideBySide, "one_refund_at_a_time"),
    (IgnoresVersions, "commits_race"),
    (TakesOrderIdsOver, "order_ids_of_plans"),
    (TakesOperationsOver, "an_operation_stays_with_its_payment"),
    (DeliversAgain, "events_and_entries_once"),
    (DropsNotes, "every_field_comes_back"),
    (LogsMoveVersions, "attempts_are_history"),
    (NothingIsAList, "what_is_not_there"),
    (SiblingsById, "siblings_in_order"),
    (FindsNoHolds, "find_by_each_key"),
    (FindsEverything, "find_at_most_a_hundred"),
    (HidesUnknown, "list_operations_that_are_open"),
    (TakesAnyCursor, "what_may_not_be_asked"),
    (LeasesForEver, "leases_run_out"),
    (CountsHeadsOnly, "backlog_tells"),
    (LeasesWhatWasFree, "leases_race"),
    (LeasesAnyLimit, "what_may_not_be_leased"),
    (DropsAnyVersion, "token_rows"),
    (GrantsAtOnce, "grants_are_counted"),
    (LatestTokenIsTheLastWritten, "a_grant_that_never_ended"),
]


@pytest.mark.parametrize(("broken", "caught_by"), BROKEN)
async def test_a_wrong_store_is_caught(broken: Callable[..., PaymentStore], caught_by: str) -> None:
    clock = FakeClock()
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        await check_store(lambda: broken(clock=clock), advance=clock.advance, only=[caught_by])


def test_every_check_has_been_seen_to_fail() -> None:
    others = (test_stores, test_stores_bite, test_stores_bite_inbox, test_stores_bite_payouts)
    elsewhere = [one.BROKEN for one in others]
    assert {caught_by for each in (BROKEN, *elsewhere) for _, caught_by in each} == set(STORE_CHECKS)

"""The kit against stores that are wrong in what payouts ask of them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.conformance.test_stores_bite import Wrapped
from vextrus_payments.errors import StorageError
from vextrus_payments.paging import Page
from vextrus_payments.plans import OperationTaken, PayoutAnswer, PayoutPlan
from vextrus_payments.records import Payout, Receipt
from vextrus_payments.states import SETTLED_STATES
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, check_store


class DropsReceipts(MemoryStore):
    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        return await super().commit_payout(replace(plan, receipts=()))


class DropsAttempts(MemoryStore):
    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        return await super().commit_payout(replace(plan, attempts=()))


class WithoutVersions(MemoryStore):
    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        version = self._rows().payouts.version(plan.payout.tenant, plan.payout.payout_id)
        moved = replace(plan.payout, version=version + 1)
        return await super().commit_payout(replace(plan, payout=moved, expected_version=version))


class IdsApart(Wrapped):
    """Payments and agreements never look among the payouts' operation ids."""

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        known = await super().find_payout(plan.payout.tenant, plan.payout.operation_id)
        if known is not None and known.payout_id != plan.payout.payout_id:
            return OperationTaken()
        return await super().commit_payout(plan)

    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nobodys(tenant: str, operation_id: str) -> None:
            return None

        return {"payout_operation": nobodys}


class LooksBeforeIt(Wrapped):
    """It looks whose the operation id is, and writes without looking again."""

    blind = False

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        taken = await super().find_payout(plan.payout.tenant, plan.payout.operation_id)
        await asyncio.sleep(0)
        if taken is not None and taken.payout_id != plan.payout.payout_id:
            return OperationTaken()
        self.blind = True
        try:
            return await super().commit_payout(plan)
        finally:
            self.blind = False

    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nobodys(tenant: str, operation_id: str) -> None:
            return None

        asked = ("payment_of_operation", "agreement_operation", "payout_operation")
        return dict.fromkeys(asked, nobodys) if self.blind else {}


class BooksTwice(Wrapped):
    def wrong(self, rows: Any) -> dict[str, Callable[..., Any]]:
        async def nowhere(key: Any) -> None:
            return None

        return {"receipt_owner": nowhere}


class CountsNoCorrections(MemoryStore):
    """To it a transaction's corrections are one fact."""

    async def receipts(self, *args: Any, **named: Any) -> tuple[Receipt, ...]:
        found = await super().receipts(*args, **named)
        return tuple({(one.kind, one.transaction_id): one for one in found}.values())


class ListsAll(MemoryStore):
    async def list_payouts(self, tenant: str | None = None, **more: Any) -> Page[Payout]:
        return await super().list_payouts(tenant, **{**more, "unsettled": False})


class ListsEverybodys(MemoryStore):
    async def list_payouts(self, tenant: str | None = None, **more: Any) -> Page[Payout]:
        return await super().list_payouts(None, **more)


class ForgetsReviews(MemoryStore):
    """What succeeded is over, it thinks."""

    async def list_payouts(self, tenant: str | None = None, **more: Any) -> Page[Payout]:
        page = await super().list_payouts(tenant, **more)
        if not more.get("unsettled"):
            return page
        return replace(page, rows=tuple(one for one in page.rows if one.state not in SETTLED_STATES))


class WatchesNone(MemoryStore):
    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        return await super().commit_payout(replace(plan, watch_at=None))


class SweepsNone(MemoryStore):
    async def sweep_watches(self) -> int:
        kept, self._rows().payouts.rows = self._rows().payouts.rows, {}
        try:
            return await super().sweep_watches()
        finally:
            self._rows().payouts.rows = kept


class WritesHalf(MemoryStore):
    """The payout first, and then what goes with it."""

    async def commit_payout(self, plan: PayoutPlan) -> PayoutAnswer:
        try:
            return await super().commit_payout(plan)
        except StorageError:
            await super().commit_payout(replace(plan, outbox=(), attempts=(), receipts=()))
            raise


BROKEN: Sequence[tuple[Callable[..., PaymentStore], str]] = [
    (DropsReceipts, "payouts_come_back"),
    (DropsAttempts, "payouts_come_back"),
    (WithoutVersions, "payouts_under_versions"),
    (IdsApart, "payouts_have_ids_of_their_own"),
    (LooksBeforeIt, "payout_ids_race"),
    (BooksTwice, "payout_receipts_are_booked_once"),
    (CountsNoCorrections, "corrections_are_numbered"),
    (ListsAll, "payouts_are_listed"),
    (ListsEverybodys, "payouts_are_listed"),
    (ForgetsReviews, "payouts_are_listed"),
    (WatchesNone, "payouts_are_watched"),
    (SweepsNone, "payouts_are_watched"),
    (WritesHalf, "payouts_whole_or_not_at_all"),
]


@pytest.mark.parametrize(("broken", "caught_by"), BROKEN)
async def test_a_wrong_store_is_caught(broken: Callable[..., PaymentStore], caught_by: str) -> None:
    clock = FakeClock()
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        await check_store(lambda: broken(clock=clock), advance=clock.advance, only=[caught_by])

"""The kit's checks of the inbox against stores that are wrong in one point each."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from vextrus_payments.inbox import InboxBacklog, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import MemoryStore
from vextrus_payments.testing import FakeClock, check_store


class KeepsText(MemoryStore):
    """Takes the body for text."""

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        return await super().accept_events(
            [replace(e, body=e.body.decode("utf-8", "replace").encode("utf-8")) for e in events]
        )


class KnowsIdsOnly(MemoryStore):
    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        return await super().accept_events([replace(event, news_key=None) for event in events])


class CallsAllOfACallNew(MemoryStore):
    """Compares with what was there before the call alone."""

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        known = [await self.get_inbox(e.tenant, e.gateway, e.mode, e.event_id) for e in events]
        await super().accept_events(events)
        return tuple(row is None for row in known)


class ForgetsWhatIsOver(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        answers = await super().end_events(ends)
        inbox = self._rows().inbox
        for each in ends:
            if each.state is InboxState.DONE:
                inbox._news.clear()
                inbox._rows.pop(
                    (each.row.tenant, each.row.gateway, each.row.mode.value, each.row.event_id), None
                )
        return answers


class MixesModes(MemoryStore):
    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        return await super().accept_events([replace(event, mode=Mode.SANDBOX) for event in events])


class NewsOfAllTenants(MemoryStore):
    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        keys = {row.news_key for row in (await self.list_inbox(None)).rows} - {None}
        answers = []
        for event in events:
            new = event.news_key not in keys and (await super().accept_events([event]))[0]
            answers.append(new)
        return tuple(answers)


class LeasesNewestFirst(MemoryStore):
    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        rows = self._rows().inbox._open
        ordered = dict(reversed(rows.items()))
        rows.clear()
        rows.update(ordered)
        for number, row in enumerate(rows.values()):
            row.number = number
        return await super().lease_events(limit=limit, lease_s=lease_s)


class AnyFenceEnds(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        fresh = []
        for each in ends:
            row = each.row
            kept = await self.get_inbox(row.tenant, row.gateway, row.mode, row.event_id)
            fresh.append(replace(each, row=replace(row, fence=kept.fence)) if kept else each)
        return await super().end_events(fresh)


class LateHoldersLose(MemoryStore):
    """Refuses an end after the lease, though nobody took the row."""

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        now = self.now()
        late = [each.row.leased_until is not None and each.row.leased_until < now for each in ends]
        kept = await super().end_events([e for e, is_late in zip(ends, late, strict=True) if not is_late])
        answers = iter(kept)
        return tuple(False if is_late else next(answers) for is_late in late)


class AllOrNothing(MemoryStore):
    """One stale fence spoils the call."""

    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        for each in ends:
            row = each.row
            kept = await self.get_inbox(row.tenant, row.gateway, row.mode, row.event_id)
            if kept is None or kept.fence != row.fence:
                return (False,) * len(ends)
        return await super().end_events(ends)


class ForgetsPayments(MemoryStore):
    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        rows = await super().lease_events(limit=limit, lease_s=lease_s)
        for row in rows:
            kept = self._rows().inbox._rows[row.tenant, row.gateway, row.mode.value, row.event_id]
            kept.record = replace(kept.record, payment_id=None)
        return rows


class AnnouncesWhatItDoesNotEnd(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        answers = await super().end_events([replace(each, announcement=None) for each in ends])
        queue = self._rows().queue
        for each in ends:
            if each.announcement is not None:
                row_id, document = each.announcement
                subject = f"inbox/{each.row.gateway}/{each.row.mode}/{each.row.event_id}"
                row = OutboxRow(
                    tenant=each.row.tenant,
                    row_id=row_id,
                    subject=subject,
                    seq=1,
                    kind=OutboxKind.EVENT,
                    document=document,
                    created_at=self.now(),
                )
                queue.add(queue.prepared((row,)))
        return answers


class AnnouncesNothing(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        return await super().end_events([replace(each, announcement=None) for each in ends])


class AnnouncesOnlyWhatIsOver(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        return await super().end_events(
            [replace(each, announcement=None) if each.due_at is not None else each for each in ends]
        )


class TakesBackWhatWasNeverTold(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        told = [
            replace(each, announcement=each.announcement or each.relief[1:], relief=None)
            if each.relief is not None
            else each
            for each in ends
        ]
        return await super().end_events(told)


class TakesNothingBack(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        return await super().end_events([replace(each, relief=None) for each in ends])


class ReplaysUnderTheOldFence(MemoryStore):
    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        row = self._rows().inbox._rows.get((tenant, gateway, mode.value, event_id))
        before = None if row is None else row.record
        found = await super().replay_event(tenant, gateway, mode, event_id)
        if row is not None and before is not None:
            row.record = replace(row.record, fence=before.fence, leased_until=before.leased_until)
        return found


class ReplaysWhatIsOverOnly(MemoryStore):
    async def replay_event(self, tenant: str, gateway: str, mode: Mode, event_id: str) -> bool:
        row = await self.get_inbox(tenant, gateway, mode, event_id)
        if row is not None and row.finished_at is None:
            return False
        return await super().replay_event(tenant, gateway, mode, event_id)


class CountsParkedAsWaiting(MemoryStore):
    async def inbox_backlog(self) -> InboxBacklog:
        backlog = await super().inbox_backlog()
        return InboxBacklog(backlog.waiting + backlog.parked, 0, backlog.oldest_received_at)


class NextIgnoresLeases(MemoryStore):
    async def next_event_at(self) -> datetime | None:
        rows = (await self.list_inbox(None)).rows
        return min((r.due_at for r in rows if r.due_at and r.leased_until is None), default=None)


class OldestFirst(MemoryStore):
    async def list_inbox(self, tenant: str | None, **more: Any) -> Page[InboxRow]:
        page = await super().list_inbox(tenant, **more)
        return Page(tuple(reversed(page.rows)), page.cursor)


class ListsEveryTenant(MemoryStore):
    async def list_inbox(self, tenant: str | None, **more: Any) -> Page[InboxRow]:
        return await super().list_inbox(None, **more)


class PrunesByArrival(MemoryStore):
    """Whatever came before then goes, waiting or not."""

    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        pruned = await super().prune_inbox(before, limit=limit)
        inbox = self._rows().inbox
        for me, row in list(inbox._open.items())[: limit - pruned]:
            if row.record.received_at < before:
                del inbox._open[me], inbox._rows[me]
                pruned += 1
        return pruned


class PrunesRowsAndKeepsTheirNews(MemoryStore):
    async def prune_inbox(self, before: datetime, *, limit: int = 1000) -> int:
        news = dict(self._rows().inbox._news)
        pruned = await super().prune_inbox(before, limit=limit)
        self._rows().inbox._news.update(news)
        return pruned


class LooksBeforeItKeeps(MemoryStore):
    """Looks, lets others in, and only then keeps: no unique index under it."""

    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        known = {row.news_key for row in (await self.list_inbox(None)).rows}
        await asyncio.sleep(0)
        await super().accept_events(events)
        return tuple(event.news_key not in known for event in events)


class LeasesAfterLooking(MemoryStore):
    async def lease_events(self, *, limit: int, lease_s: int) -> tuple[InboxRow, ...]:
        inbox = self._rows().inbox
        due = [(me, row.due_us) for me, row in inbox._open.items()][:limit]
        await asyncio.sleep(0)
        for me, due_us in due:
            inbox._open[me].due_us = due_us
        return await super().lease_events(limit=limit, lease_s=lease_s)


class KeepsTheGoodHalf(MemoryStore):
    async def accept_events(self, events: Sequence[NewInboxEvent]) -> tuple[bool, ...]:
        answers: list[bool] = []
        for event in events:
            answers += await super().accept_events([event])
        return tuple(answers)


class EndsOneByOne(MemoryStore):
    async def end_events(self, ends: Sequence[InboxEnd]) -> tuple[bool, ...]:
        answers: list[bool] = []
        for each in ends:
            answers += await super().end_events([each])
        return tuple(answers)


BROKEN: Sequence[tuple[Callable[..., PaymentStore], str]] = [
    (KeepsText, "news_comes_back"),
    (KnowsIdsOnly, "known_news_is_not_new"),
    (CallsAllOfACallNew, "known_news_is_not_new"),
    (ForgetsWhatIsOver, "known_news_is_not_new"),
    (MixesModes, "news_of_others_is_apart"),
    (NewsOfAllTenants, "news_of_others_is_apart"),
    (LeasesNewestFirst, "a_lease_excludes"),
    (AnyFenceEnds, "a_lease_excludes"),
    (LateHoldersLose, "a_lease_excludes"),
    (AllOrNothing, "ends_are_recorded"),
    (ForgetsPayments, "ends_are_recorded"),
    (AnnouncesWhatItDoesNotEnd, "unmatched_is_announced"),
    (AnnouncesNothing, "unmatched_is_announced"),
    (AnnouncesOnlyWhatIsOver, "unmatched_is_announced"),
    (TakesBackWhatWasNeverTold, "what_waited_is_taken_back"),
    (TakesNothingBack, "what_waited_is_taken_back"),
    (ReplaysUnderTheOldFence, "replays_come_again"),
    (ReplaysWhatIsOverOnly, "replays_come_again"),
    (CountsParkedAsWaiting, "the_backlog_is_told"),
    (NextIgnoresLeases, "the_backlog_is_told"),
    (OldestFirst, "inbox_page_by_page"),
    (ListsEveryTenant, "inbox_page_by_page"),
    (PrunesByArrival, "what_is_over_is_pruned"),
    (PrunesRowsAndKeepsTheirNews, "what_is_over_is_pruned"),
    (LooksBeforeItKeeps, "acceptors_race"),
    (LeasesAfterLooking, "inbox_workers_race"),
    (KeepsTheGoodHalf, "what_may_not_be_kept"),
    (EndsOneByOne, "what_may_not_be_kept"),
]


@pytest.mark.parametrize(("broken", "caught_by"), BROKEN)
async def test_a_wrong_inbox_is_caught(broken: Callable[..., PaymentStore], caught_by: str) -> None:
    clock = FakeClock()
    with pytest.raises(AssertionError, match=f"^{caught_by}: "):
        await check_store(lambda: broken(clock=clock), advance=clock.advance, only=[caught_by])

"""Checks of the inbox's rows: leased to one at a time, ended by their latest holder, listed, deleted when over."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from vextrus_payments.inbox import InboxBacklog, InboxEnd, InboxRow, InboxState
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind
from vextrus_payments.testing.store_checks_news import accepted, done_with, ids_of, leased_news, news, row_of
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_trial import StoreTrial, expect, the_one

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


async def a_lease_excludes(trial: StoreTrial) -> None:
    """The oldest due come first, to one holder each; a lease that ran out is given again under a new fence."""
    store = trial.store
    for name in ("e1", "e2", "e3"):
        await accepted(trial, news(trial, name))
        await trial.advance(0.01)
    first = await leased_news(trial, limit=2, lease_s=1)
    expect(ids_of(first) == ["e1", "e2"], "the oldest due are leased first, no more than the limit")
    expect(ids_of(await leased_news(trial)) == ["e3"], "what is leased is not leased again")
    expect(await leased_news(trial) == (), "by anybody")
    await trial.advance(1.2)
    again = await leased_news(trial, limit=1)
    expect(ids_of(again) == ["e1"], "a row whose lease ran out is leased again")
    expect((again[0].fence, again[0].tries) == (2, 2), "under the next fence, as the next try")
    stale, late = first
    expect(await store.end_events([done_with(stale, note="stale")]) == (False,), "a stale fence ends nothing")
    expect((await row_of(trial, "e1")).note is None, "and changes nothing")
    expect(await store.end_events([done_with(late)]) == (True,), "a lease that ran out untaken still counts")
    expect(await store.end_events([done_with(late)]) == (False,), "what is over is not ended again")
    kept = await row_of(trial, "e2")
    expect((kept.state, kept.due_at, kept.leased_until) == (InboxState.DONE, None, None), "it is over")


async def ends_are_recorded(trial: StoreTrial) -> None:
    """Over, or due again later: with its payment and in words; each of one call by its own fence."""
    store = trial.store
    await accepted(trial, *(news(trial, f"e{number}") for number in range(4)))
    rows = {row.event_id: row for row in await leased_news(trial)}
    later = store.now() + timedelta(seconds=1)
    before = store.now()
    ends = [
        done_with(rows["e0"], payment_id="pay_1", note="booked"),
        InboxEnd(row=rows["e1"], state=InboxState.PARKED, due_at=later, note="early: \x00 ৳"),
        InboxEnd(row=rows["e2"], state=InboxState.WAITING, due_at=later, payment_id="pay_2"),
        done_with(replace(rows["e3"], fence=9)),
        done_with(rows["e0"], note="again"),
    ]
    expect(
        await store.end_events(ends) == (True, True, True, False, False), "each end is answered for itself"
    )
    done = await row_of(trial, "e0")
    expect(
        (done.state, done.payment_id, done.note) == (InboxState.DONE, "pay_1", "booked"), "what came of it"
    )
    over = done.finished_at
    expect(over is not None and before <= over <= store.now(), "and when it was over, by the store's clock")
    parked = await row_of(trial, "e1")
    expect((parked.state, parked.due_at) == (InboxState.PARKED, later), "a parked row is due when told")
    expect((parked.note or "").startswith("early: ") and "৳" in (parked.note or ""), "with words on it")
    expect(await leased_news(trial) == (), "before that nobody gets it")
    expect(await store.end_events([done_with(rows["e1"])]) == (False,), "a lease is ended once")
    await trial.advance(1.2)
    again = await leased_news(trial)
    expect(sorted(ids_of(again)) == ["e1", "e2"], "then both come again")
    expect([row.state for row in again if row.event_id == "e1"] == [InboxState.PARKED], "in their states")
    waiting = next(row for row in again if row.event_id == "e2")
    expect((waiting.fence, waiting.tries, waiting.payment_id) == (2, 2, "pay_2"), "with what was learned")
    expect(await store.end_events([done_with(waiting)]) == (True,), "and are ended")
    expect((await row_of(trial, "e2")).payment_id == "pay_2", "an end that names no payment forgets none")
    expect(await store.end_events([]) == (), "no ends, no answers")


async def unmatched_is_announced(trial: StoreTrial) -> None:
    """An announcement goes out with the end that finishes the row, or that lets it wait on; by the outbox, once."""
    store = trial.store
    await accepted(trial, *(news(trial, name) for name in ("e1", "e2", "e3", "e4")))
    rows = {row.event_id: row for row in await leased_news(trial)}

    def told(row: InboxRow, state: InboxState, **more: Any) -> InboxEnd:
        return InboxEnd(row=row, state=state, announcement=(f"evt/{row.event_id}", '{"kind": "x"}'), **more)

    stale = replace(rows["e2"], fence=7)
    ends = [
        told(rows["e1"], InboxState.UNMATCHED),
        told(stale, InboxState.UNMATCHED),
        told(rows["e3"], InboxState.PARKED, due_at=store.now() + _HOUR),
    ]
    expect(await store.end_events(ends) == (True, False, True), "each end is answered for itself")
    row = the_one(await store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    expect(
        (row.tenant, row.row_id, row.subject, row.document)
        == ("acme", "evt/e1", "inbox/bkash/sandbox/e1", '{"kind": "x"}'),
        "what finishes a row is announced under the row's subject; what ends nothing, or parks it, is not",
    )
    await store.ack(row)
    for wait in (1, 2):
        waits = rows["e4"] if wait == 1 else the_one(await leased_news(trial))
        due = store.now()
        put_off = told(waits, InboxState.WAITING, due_at=due)
        expect(await store.end_events([put_off]) == (True,), "what waits on is put off")
    long = the_one(await store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    expect((long.row_id, long.subject) == ("evt/e4", "inbox/bkash/sandbox/e4/waits"), "and announced once")
    expect(long.created_at >= row.created_at, "at the time of the end")
    await store.ack(long)
    expect(
        await store.end_events([done_with(the_one(await leased_news(trial)))]) == (True,), "and ends later"
    )
    expect((await store.backlog(OutboxKind.EVENT)).waiting == 0, "and is delivered as any other row")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "a replay")
    again = the_one(await leased_news(trial))
    expect(
        await store.end_events([told(again, InboxState.UNMATCHED)]) == (True,), "that comes to the same end"
    )
    expect(
        await store.lease(OutboxKind.EVENT, limit=10, lease_s=60) == (), "does not announce the same id twice"
    )


async def what_waited_is_taken_back(trial: StoreTrial) -> None:
    """That a row is worked off after all goes out behind the news that it waited, once, and only where that did."""
    store = trial.store
    await accepted(trial, *(news(trial, name) for name in ("e1", "e2", "e3")))
    rows = {row.event_id: row for row in await leased_news(trial)}

    def relief(row: InboxRow) -> tuple[str, str, str]:
        return f"waits/{row.event_id}", f"over/{row.event_id}", '{"kind": "over"}'

    waits = InboxEnd(
        row=rows["e1"],
        state=InboxState.WAITING,
        due_at=store.now(),
        announcement=("waits/e1", '{"kind": "waits"}'),
    )
    expect(await store.end_events([waits]) == (True,), "one waits on")
    again = the_one(await leased_news(trial))
    ends = [replace(done_with(row), relief=relief(row)) for row in (again, rows["e2"])]
    ends.append(replace(done_with(replace(rows["e3"], fence=7)), relief=("waits/e1", "over/e3", "{}")))
    expect(await store.end_events(ends) == (True, True, False), "two are over, and one is another's")
    first = the_one(await store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    expect(first.row_id == "waits/e1", "that it waited is handed over first")
    await store.ack(first)
    row = the_one(await store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    expect(
        (row.tenant, row.row_id, row.subject, row.document)
        == ("acme", "over/e1", first.subject, '{"kind": "over"}'),
        "then that it is over; of what never waited nothing is said",
    )
    await store.ack(row)
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "a replay")
    once_more = the_one(await leased_news(trial))
    over = replace(
        done_with(once_more),
        state=InboxState.UNMATCHED,
        announcement=("evt/e1", "{}"),
        relief=relief(once_more),
    )
    expect(await store.end_events([over]) == (True,), "that ends otherwise")
    last = the_one(await store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    expect(last.row_id == "evt/e1", "says what is new, and not once more that it is over")


async def replays_come_again(trial: StoreTrial) -> None:
    """A replayed row is due at once, whatever its state, with fresh tries; whoever held it no longer does."""
    store = trial.store
    expect(
        not await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "what is not there is not replayed"
    )
    await accepted(trial, news(trial, "e1", "n1"))
    row = the_one(await leased_news(trial))
    await store.end_events([done_with(row, payment_id="pay_1", note="booked")])
    expect(await leased_news(trial) == (), "what is over is not leased")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "it is replayed")
    fresh = await row_of(trial, "e1")
    expect((fresh.state, fresh.finished_at) == (InboxState.WAITING, None), "and waits again")
    expect(await store.accept_events([news(trial, "e9", "n1")]) == (False,), "its news is still known")
    held = the_one(await leased_news(trial))
    expect(held.tries == 1, "its tries start afresh")
    expect(held.fence > row.fence, "its fences do not")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "a leased row is replayed too")
    expect(await store.end_events([done_with(held)]) == (False,), "then its holder's fence is old")
    taken = the_one(await leased_news(trial))
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=taken, state=InboxState.PARKED, due_at=later)])
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "and a parked one")
    expect(ids_of(await leased_news(trial)) == ["e1"], "is due at once")


async def the_backlog_is_told(trial: StoreTrial) -> None:
    """How much waits, how much is parked, the oldest that waits, and when the next falls due."""
    store = trial.store
    expect(await store.inbox_backlog() == InboxBacklog(0, 0, None), "nothing is open")
    expect(await store.next_event_at() is None, "and nothing falls due")
    start = store.now()
    old, older = start - _HOUR, start - 2 * _HOUR
    await accepted(
        trial,
        news(trial, "e1", received_at=older),
        news(trial, "e2", received_at=old),
        news(trial, "e3", tenant="other"),
    )
    backlog = await store.inbox_backlog()
    expect((backlog.waiting, backlog.parked) == (3, 0), "what was kept waits, whoever's it is")
    expect(backlog.oldest_received_at == older, "the oldest is told")
    due = await store.next_event_at()
    expect(due is not None and due <= store.now(), "what was just kept is due at once")
    first = the_one(await leased_news(trial, limit=1))
    expect(first.event_id == "e1", "the first that was kept")
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=first, state=InboxState.PARKED, due_at=later)])
    backlog = await store.inbox_backlog()
    expect((backlog.waiting, backlog.parked) == (2, 1), "parked rows are counted apart")
    expect(backlog.oldest_received_at == old, "and are not the oldest: they wait rightly")
    rest = await leased_news(trial, lease_s=600)
    expect((await store.inbox_backlog()).waiting == 2, "a leased row still waits")
    expect(await store.next_event_at() == rest[0].leased_until, "a lease counts with its end")
    await store.end_events([done_with(row) for row in rest])
    expect(await store.next_event_at() == later, "then the parked one is next")
    expect(await store.inbox_backlog() == InboxBacklog(0, 1, None), "what is over waits no more")


async def inbox_page_by_page(trial: StoreTrial) -> None:
    """Rows are listed newest received first, by tenant, gateway, state and time."""
    store, now = trial.store, trial.store.now()
    expect(await store.list_inbox(None) == Page((), None), "list_inbox of nothing is an empty page")

    async def kept(name: str, age_s: int, **more: Any) -> None:
        await accepted(trial, news(trial, name, received_at=now - age_s * _SECOND, **more))

    await kept("b", 20)
    await kept("a", 30)
    await kept("d", 10, gateway="nagad")
    await kept("c", 10, tenant="other")
    order = ["c", "d", "b", "a"]
    for limit in (1, 3, 4, 100):
        rows = await all_pages(partial(store.list_inbox, None, limit=limit))
        expect([row.event_id for row in rows] == order, f"pages of {limit} tile the inbox, newest first")
    expect((await store.list_inbox(None, limit=4)).cursor is None, "the last page has no cursor")
    mine = await all_pages(partial(store.list_inbox, "acme", limit=1))
    expect([row.event_id for row in mine] == ["d", "b", "a"], "rows of one tenant")
    theirs = await store.list_inbox("acme", gateway="nagad")
    expect(ids_of(theirs.rows) == ["d"], "and one gateway")
    recent = await store.list_inbox(None, since=now - 20 * _SECOND)
    expect(ids_of(recent.rows) == ["c", "d", "b"], "received at that time or later")
    rows_by_id = {row.event_id: row for row in await leased_news(trial)}
    later = store.now() + _HOUR
    await store.end_events(
        [
            done_with(rows_by_id["a"]),
            InboxEnd(row=rows_by_id["b"], state=InboxState.UNMATCHED),
            InboxEnd(row=rows_by_id["c"], state=InboxState.UNMATCHED),
            InboxEnd(row=rows_by_id["d"], state=InboxState.PARKED, due_at=later),
        ]
    )
    for state, tenant, expected in (
        (InboxState.DONE, None, ["a"]),
        (InboxState.UNMATCHED, None, ["c", "b"]),
        (InboxState.UNMATCHED, "acme", ["b"]),
        (InboxState.PARKED, "acme", ["d"]),
        (InboxState.WAITING, None, []),
    ):
        found = await all_pages(partial(store.list_inbox, tenant, state=state, limit=1))
        expect([row.event_id for row in found] == expected, f"rows that are {state.value} of {tenant}")


async def what_is_over_is_pruned(trial: StoreTrial) -> None:
    """Rows that were finished before a time are deleted, oldest first; what waits never is."""
    store = trial.store
    await accepted(trial, *(news(trial, f"e{number}", f"n{number}") for number in range(6)))
    rows = {row.event_id: row for row in await leased_news(trial)}
    for name in ("e1", "e0"):
        await store.end_events([done_with(rows[name])])
        await trial.advance(0.01)
    await store.end_events([InboxEnd(row=rows["e2"], state=InboxState.UNMATCHED)])
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=rows["e3"], state=InboxState.PARKED, due_at=later)])
    await trial.advance(0.01)
    middle = store.now()
    await trial.advance(0.01)
    await store.end_events([done_with(rows["e4"])])
    expect(await store.prune_inbox(middle, limit=1) == 1, "no more than the limit are deleted")
    expect(
        sorted(ids_of((await store.list_inbox(None)).rows)) == ["e0", "e2", "e3", "e4", "e5"],
        "the oldest first",
    )
    expect(await store.prune_inbox(middle) == 2, "then the rest of what was finished before")
    far = store.now() + timedelta(days=400)
    expect(sorted(ids_of((await store.list_inbox(None)).rows)) == ["e3", "e4", "e5"], "and nothing else")
    expect(await store.prune_inbox(far) == 1, "what is leased or parked stays, however old")
    expect(sorted(ids_of((await store.list_inbox(None)).rows)) == ["e3", "e5"], "until it is over")
    expect(await store.end_events([done_with(rows["e5"])]) == (True,), "its holder ends it")
    await accepted(trial, news(trial, "e1", "n1"))


async def inbox_workers_race(trial: StoreTrial) -> None:
    """Workers that lease at the same moment never get the same row; one of many enders ends it."""
    store = trial.store
    await accepted(trial, *(news(trial, f"e{number}") for number in range(12)))
    parts = await asyncio.gather(*(trial.both(n).lease_events(limit=3, lease_s=600) for n in range(10)))
    leased = [row for part in parts for row in part]
    expect(all(len(part) <= 3 for part in parts), "a lease takes no more than its limit")
    expect(
        len({row.event_id for row in leased}) == len(leased) == 12, "ten workers lease all twelve, none twice"
    )
    ends = await asyncio.gather(*(trial.both(n).end_events([done_with(leased[0])]) for n in range(8)))
    expect(sum(done for (done,) in ends) == 1, "exactly one of eight ends the row")
    keys = [("acme", "bkash", Mode.SANDBOX, row.event_id) for row in leased[1:6]]
    replays, _ = await asyncio.gather(
        asyncio.gather(*(store.replay_event(*key) for key in keys)),
        asyncio.gather(*(trial.both(n).end_events([done_with(row)]) for n, row in enumerate(leased[1:6]))),
    )
    again = {row.event_id for row in await leased_news(trial)}
    expect(all(replays), "rows that are there are replayed, whoever ends them meanwhile")
    expect(again == {row.event_id for row in leased[1:6]}, "and come again, whichever came first")


CHECKS = (
    a_lease_excludes,
    ends_are_recorded,
    unmatched_is_announced,
    what_waited_is_taken_back,
    replays_come_again,
    the_backlog_is_told,
    inbox_page_by_page,
    what_is_over_is_pruned,
    inbox_workers_race,
)

"""Checks of the inbox: news kept once, leased to one at a time, ended by its latest holder, deleted when over."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from vextrus_payments.inbox import InboxBacklog, InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_trial import StoreTrial, expect, expect_raises, the_one

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)


def news(trial: StoreTrial, event_id: str, news_key: str | None = None, **more: Any) -> NewInboxEvent:
    """A piece of news to be kept."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "gateway": "bkash",
        "mode": Mode.SANDBOX,
        "document": '{"event_id": "x"}',
        "headers": {"content-type": "text/plain"},
        "body": b"{}",
        "received_at": trial.store.now(),
    }
    return NewInboxEvent(event_id=event_id, news_key=news_key, **(values | more))


async def _accepted(trial: StoreTrial, *events: NewInboxEvent) -> None:
    answers = await trial.store.accept_events(events)
    expect(answers == (True,) * len(events), "accept_events says of fresh news that it is new")


async def _lease(trial: StoreTrial, *, limit: int = 100, lease_s: int = 600) -> tuple[InboxRow, ...]:
    return await trial.store.lease_events(limit=limit, lease_s=lease_s)


def _ids(rows: tuple[InboxRow, ...]) -> list[str]:
    return [row.event_id for row in rows]


def _done(row: InboxRow, **more: Any) -> InboxEnd:
    return InboxEnd(row=row, state=InboxState.DONE, **more)


async def _get(trial: StoreTrial, event_id: str, tenant: str = "acme") -> InboxRow:
    row = await trial.store.get_inbox(tenant, "bkash", Mode.SANDBOX, event_id)
    expect(row is not None, f"get_inbox finds {event_id}")
    assert row is not None
    return row


async def news_comes_back(trial: StoreTrial) -> None:
    """What was kept comes back whole: the raw body, the headers, times to the microsecond."""
    event = news(
        trial,
        "id 'quoted' \\ ৳",
        "payment/TRX1/completed/10000BDT",
        mode=Mode.LIVE,
        document='{"text": "\\u0000 ৳"}',
        headers={"x-one": 'a "b" \\ \x00 \xff', "x-two": ""},
        body=bytes(range(256)),
        received_at=trial.store.now().replace(microsecond=123_456),
    )
    await _accepted(trial, event)
    row = the_one(await _lease(trial, lease_s=60))
    expect(
        (row.tenant, row.gateway, row.mode, row.event_id, row.news_key)
        == (event.tenant, event.gateway, event.mode, event.event_id, event.news_key),
        "a row comes back under its key",
    )
    expect((row.document, dict(row.headers)) == (event.document, dict(event.headers)), "with what it says")
    expect(row.body == event.body and isinstance(row.body, bytes), "and the raw body, byte for byte")
    expect(row.received_at == event.received_at, "and when it came, to the microsecond")
    expect((row.state, row.fence, row.tries) == (InboxState.WAITING, 1, 1), "a first lease has fence 1")
    expect(row.leased_until is not None and row.due_at == row.leased_until, "it is due when the lease ends")
    expect((row.finished_at, row.payment_id, row.note) == (None, None, None), "nothing came of it yet")
    expect(
        await trial.store.get_inbox("acme", "bkash", Mode.LIVE, event.event_id) == row, "get_inbox tells it"
    )


async def known_news_is_not_new(trial: StoreTrial) -> None:
    """A second event id or a second news key is not new, also within one call; no key is not one."""
    store = trial.store
    first = news(trial, "e1", "n1")
    answers = await store.accept_events([first, first, news(trial, "e2", "n1"), news(trial, "e1", "n2")])
    expect(answers == (True, False, False, False), "of repeats in one call only the first is new")
    answers = await store.accept_events([first, news(trial, "e3", "n1"), news(trial, "e1", "n3")])
    expect(answers == (False, False, False), "nor are repeats in a later call")
    answers = await store.accept_events([news(trial, "e3", "n1"), news(trial, "e3", "n4")])
    expect(answers == (False, True), "a repeat by its news leaves its event id free")
    bare = [news(trial, "e5"), news(trial, "e6"), news(trial, "e5")]
    expect(await store.accept_events(bare) == (True, True, False), "rows without news keys are apart by id")
    changed = replace(first, document='{"other": 1}', body=b"other")
    await store.accept_events([changed])
    expect((await _get(trial, "e1")).body == b"{}", "a repeat changes nothing of what is kept")
    rows = await _lease(trial)
    expect(sorted(_ids(rows)) == ["e1", "e3", "e5", "e6"], "what is not new makes no row")
    await store.end_events([_done(row) for row in rows])
    expect(await store.accept_events([first]) == (False,), "nor is it new once it is over")
    expect(await _lease(trial) == (), "and it is not done again")
    expect(await store.accept_events([]) == (), "no news, no answers")


async def news_of_others_is_apart(trial: StoreTrial) -> None:
    """Tenants, gateways and modes never share an event id or a news key."""
    store = trial.store
    mine = news(trial, "e1", "n1")
    others = [
        replace(mine, tenant="other"),
        replace(mine, gateway="nagad"),
        replace(mine, mode=Mode.LIVE),
    ]
    for event in (mine, *others):
        expect(await store.accept_events([event]) == (True,), "the same id and news elsewhere is another row")
    elsewhere = [replace(each, event_id="e2") for each in others]
    expect(await store.accept_events(elsewhere) == (False,) * 3, "each knows its own news")
    expect(
        await store.get_inbox("none", "bkash", Mode.SANDBOX, "e1") is None, "another tenant has no such row"
    )
    row = next(row for row in await _lease(trial) if row.tenant == "other")
    stray = replace(row, gateway="nagad")
    expect(await store.end_events([_done(stray)]) == (False,), "an end elsewhere ends nothing")
    expect(not await store.replay_event("third", "bkash", Mode.SANDBOX, "e1"), "nor does a replay elsewhere")
    expect(await store.end_events([_done(row)]) == (True,), "one's own is ended")
    states = {
        (each.tenant, each.gateway, each.mode): each.state for each in (await store.list_inbox(None)).rows
    }
    expect(len(states) == 4, "all four are there")
    expect(
        [key for key, state in states.items() if state is InboxState.DONE]
        == [("other", "bkash", Mode.SANDBOX)],
        "and only that one is over",
    )


async def a_lease_excludes(trial: StoreTrial) -> None:
    """The oldest due come first, to one holder each; a lease that ran out is given again under a new fence."""
    store = trial.store
    for name in ("e1", "e2", "e3"):
        await _accepted(trial, news(trial, name))
        await trial.advance(0.01)
    first = await _lease(trial, limit=2, lease_s=1)
    expect(_ids(first) == ["e1", "e2"], "the oldest due are leased first, no more than the limit")
    expect(_ids(await _lease(trial)) == ["e3"], "what is leased is not leased again")
    expect(await _lease(trial) == (), "by anybody")
    await trial.advance(1.2)
    again = await _lease(trial, limit=1)
    expect(_ids(again) == ["e1"], "a row whose lease ran out is leased again")
    expect((again[0].fence, again[0].tries) == (2, 2), "under the next fence, as the next try")
    stale, late = first
    expect(await store.end_events([_done(stale, note="stale")]) == (False,), "a stale fence ends nothing")
    expect((await _get(trial, "e1")).note is None, "and changes nothing")
    expect(await store.end_events([_done(late)]) == (True,), "a lease that ran out untaken still counts")
    expect(await store.end_events([_done(late)]) == (False,), "what is over is not ended again")
    kept = await _get(trial, "e2")
    expect((kept.state, kept.due_at, kept.leased_until) == (InboxState.DONE, None, None), "it is over")


async def ends_are_recorded(trial: StoreTrial) -> None:
    """Over, or due again later: with its payment and in words; each of one call by its own fence."""
    store = trial.store
    await _accepted(trial, *(news(trial, f"e{number}") for number in range(4)))
    rows = {row.event_id: row for row in await _lease(trial)}
    later = store.now() + timedelta(seconds=1)
    before = store.now()
    ends = [
        _done(rows["e0"], payment_id="pay_1", note="booked"),
        InboxEnd(row=rows["e1"], state=InboxState.PARKED, due_at=later, note="early: \x00 ৳"),
        InboxEnd(row=rows["e2"], state=InboxState.WAITING, due_at=later, payment_id="pay_2"),
        _done(replace(rows["e3"], fence=9)),
        _done(rows["e0"], note="again"),
    ]
    expect(
        await store.end_events(ends) == (True, True, True, False, False), "each end is answered for itself"
    )
    done = await _get(trial, "e0")
    expect(
        (done.state, done.payment_id, done.note) == (InboxState.DONE, "pay_1", "booked"), "what came of it"
    )
    over = done.finished_at
    expect(over is not None and before <= over <= store.now(), "and when it was over, by the store's clock")
    parked = await _get(trial, "e1")
    expect((parked.state, parked.due_at) == (InboxState.PARKED, later), "a parked row is due when told")
    expect((parked.note or "").startswith("early: ") and "৳" in (parked.note or ""), "with words on it")
    expect(await _lease(trial) == (), "before that nobody gets it")
    expect(await store.end_events([_done(rows["e1"])]) == (False,), "a lease is ended once")
    await trial.advance(1.2)
    again = await _lease(trial)
    expect(sorted(_ids(again)) == ["e1", "e2"], "then both come again")
    expect([row.state for row in again if row.event_id == "e1"] == [InboxState.PARKED], "in their states")
    waiting = next(row for row in again if row.event_id == "e2")
    expect((waiting.fence, waiting.tries, waiting.payment_id) == (2, 2, "pay_2"), "with what was learned")
    expect(await store.end_events([_done(waiting)]) == (True,), "and are ended")
    expect((await _get(trial, "e2")).payment_id == "pay_2", "an end that names no payment forgets none")
    expect(await store.end_events([]) == (), "no ends, no answers")


async def unmatched_is_announced(trial: StoreTrial) -> None:
    """An announcement goes out with the end that finishes the row, and only with it; by the outbox, once."""
    store = trial.store
    await _accepted(trial, news(trial, "e1"), news(trial, "e2"), news(trial, "e3"))
    rows = {row.event_id: row for row in await _lease(trial)}

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
        "what finishes a row is announced under the row's subject; what ends nothing, or not for good, is not",
    )
    await store.ack(row)
    expect((await store.backlog(OutboxKind.EVENT)).waiting == 0, "and is delivered as any other row")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "a replay")
    again = the_one(await _lease(trial))
    expect(
        await store.end_events([told(again, InboxState.UNMATCHED)]) == (True,), "that comes to the same end"
    )
    expect(
        await store.lease(OutboxKind.EVENT, limit=10, lease_s=60) == (), "does not announce the same id twice"
    )


async def replays_come_again(trial: StoreTrial) -> None:
    """A replayed row is due at once, whatever its state, with fresh tries; whoever held it no longer does."""
    store = trial.store
    expect(
        not await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "what is not there is not replayed"
    )
    await _accepted(trial, news(trial, "e1", "n1"))
    row = the_one(await _lease(trial))
    await store.end_events([_done(row, payment_id="pay_1", note="booked")])
    expect(await _lease(trial) == (), "what is over is not leased")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "it is replayed")
    fresh = await _get(trial, "e1")
    expect((fresh.state, fresh.finished_at) == (InboxState.WAITING, None), "and waits again")
    expect(await store.accept_events([news(trial, "e9", "n1")]) == (False,), "its news is still known")
    held = the_one(await _lease(trial))
    expect(held.tries == 1, "its tries start afresh")
    expect(held.fence > row.fence, "its fences do not")
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "a leased row is replayed too")
    expect(await store.end_events([_done(held)]) == (False,), "then its holder's fence is old")
    taken = the_one(await _lease(trial))
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=taken, state=InboxState.PARKED, due_at=later)])
    expect(await store.replay_event("acme", "bkash", Mode.SANDBOX, "e1"), "and a parked one")
    expect(_ids(await _lease(trial)) == ["e1"], "is due at once")


async def the_backlog_is_told(trial: StoreTrial) -> None:
    """How much waits, how much is parked, the oldest that waits, and when the next falls due."""
    store = trial.store
    expect(await store.inbox_backlog() == InboxBacklog(0, 0, None), "nothing is open")
    expect(await store.next_event_at() is None, "and nothing falls due")
    start = store.now()
    old, older = start - _HOUR, start - 2 * _HOUR
    await _accepted(
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
    first = the_one(await _lease(trial, limit=1))
    expect(first.event_id == "e1", "the first that was kept")
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=first, state=InboxState.PARKED, due_at=later)])
    backlog = await store.inbox_backlog()
    expect((backlog.waiting, backlog.parked) == (2, 1), "parked rows are counted apart")
    expect(backlog.oldest_received_at == old, "and are not the oldest: they wait rightly")
    rest = await _lease(trial, lease_s=600)
    expect((await store.inbox_backlog()).waiting == 2, "a leased row still waits")
    expect(await store.next_event_at() == rest[0].leased_until, "a lease counts with its end")
    await store.end_events([_done(row) for row in rest])
    expect(await store.next_event_at() == later, "then the parked one is next")
    expect(await store.inbox_backlog() == InboxBacklog(0, 1, None), "what is over waits no more")


async def inbox_page_by_page(trial: StoreTrial) -> None:
    """Rows are listed newest received first, by tenant, gateway, state and time."""
    store, now = trial.store, trial.store.now()
    expect(await store.list_inbox(None) == Page((), None), "list_inbox of nothing is an empty page")

    async def kept(name: str, age_s: int, **more: Any) -> None:
        await _accepted(trial, news(trial, name, received_at=now - age_s * _SECOND, **more))

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
    expect(_ids(theirs.rows) == ["d"], "and one gateway")
    recent = await store.list_inbox(None, since=now - 20 * _SECOND)
    expect(_ids(recent.rows) == ["c", "d", "b"], "received at that time or later")
    rows_by_id = {row.event_id: row for row in await _lease(trial)}
    later = store.now() + _HOUR
    await store.end_events(
        [
            _done(rows_by_id["a"]),
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
    await _accepted(trial, *(news(trial, f"e{number}", f"n{number}") for number in range(6)))
    rows = {row.event_id: row for row in await _lease(trial)}
    for name in ("e1", "e0"):
        await store.end_events([_done(rows[name])])
        await trial.advance(0.01)
    await store.end_events([InboxEnd(row=rows["e2"], state=InboxState.UNMATCHED)])
    later = store.now() + _HOUR
    await store.end_events([InboxEnd(row=rows["e3"], state=InboxState.PARKED, due_at=later)])
    await trial.advance(0.01)
    middle = store.now()
    await trial.advance(0.01)
    await store.end_events([_done(rows["e4"])])
    expect(await store.prune_inbox(middle, limit=1) == 1, "no more than the limit are deleted")
    expect(
        sorted(_ids((await store.list_inbox(None)).rows)) == ["e0", "e2", "e3", "e4", "e5"],
        "the oldest first",
    )
    expect(await store.prune_inbox(middle) == 2, "then the rest of what was finished before")
    far = store.now() + timedelta(days=400)
    expect(sorted(_ids((await store.list_inbox(None)).rows)) == ["e3", "e4", "e5"], "and nothing else")
    expect(await store.prune_inbox(far) == 1, "what is leased or parked stays, however old")
    expect(sorted(_ids((await store.list_inbox(None)).rows)) == ["e3", "e5"], "until it is over")
    expect(await store.end_events([_done(rows["e5"])]) == (True,), "its holder ends it")
    await _accepted(trial, news(trial, "e1", "n1"))


async def acceptors_race(trial: StoreTrial) -> None:
    """Of many who keep the same news exactly one is told that it is new, whichever way it repeats."""
    store = trial.store

    async def accept(number: int) -> list[bool]:
        same = [news(trial, f"e{n}", f"n{n}") for n in range(4)]
        alike = [news(trial, f"x{number}-{n}", f"m{n}") for n in range(4)]
        batch = same + alike if number % 4 < 2 else [*reversed(alike), *reversed(same)]
        answers = dict(
            zip((each.news_key for each in batch), await trial.both(number).accept_events(batch), strict=True)
        )
        return [answers[each.news_key] for each in same + alike]

    told = await asyncio.gather(*(accept(number) for number in range(10)))
    totals = [sum(column) for column in zip(*told, strict=True)]
    expect(totals == [1] * 8, "exactly one of ten is told that it is new")
    expect((await store.inbox_backlog()).waiting == 8, "and one row stands for each")


async def inbox_workers_race(trial: StoreTrial) -> None:
    """Workers that lease at the same moment never get the same row; one of many enders ends it."""
    store = trial.store
    await _accepted(trial, *(news(trial, f"e{number}") for number in range(12)))
    parts = await asyncio.gather(*(trial.both(n).lease_events(limit=3, lease_s=600) for n in range(10)))
    leased = [row for part in parts for row in part]
    expect(all(len(part) <= 3 for part in parts), "a lease takes no more than its limit")
    expect(
        len({row.event_id for row in leased}) == len(leased) == 12, "ten workers lease all twelve, none twice"
    )
    ends = await asyncio.gather(*(trial.both(n).end_events([_done(leased[0])]) for n in range(8)))
    expect(sum(done for (done,) in ends) == 1, "exactly one of eight ends the row")
    keys = [("acme", "bkash", Mode.SANDBOX, row.event_id) for row in leased[1:6]]
    replays, _ = await asyncio.gather(
        asyncio.gather(*(store.replay_event(*key) for key in keys)),
        asyncio.gather(*(trial.both(n).end_events([_done(row)]) for n, row in enumerate(leased[1:6]))),
    )
    again = {row.event_id for row in await _lease(trial)}
    expect(all(replays), "rows that are there are replayed, whoever ends them meanwhile")
    expect(again == {row.event_id for row in leased[1:6]}, "and come again, whichever came first")


async def what_may_not_be_kept(trial: StoreTrial) -> None:
    """Ids that no index holds, times without a zone, ends without sense, limits that are none raise ValueError."""
    store, good = trial.store, news(trial, "e1")
    naive = datetime(2026, 1, 1)  # noqa: DTZ001 - which is what is refused
    for wrong, why in (
        (news(trial, ""), "an empty event id"),
        (news(trial, "x" * 257), "an event id of 257 characters"),
        (news(trial, "a\0b"), "an event id with a NUL"),
        (news(trial, "a\ud800"), "an event id that is no text"),
        (news(trial, "e2", ""), "an empty news key"),
        (news(trial, "e2", "x" * 257), "a news key of 257 characters"),
        (news(trial, "e2", received_at=naive), "a time without a zone"),
    ):
        await expect_raises(ValueError, store.accept_events([good, wrong]), why)
    expect(await store.next_event_at() is None, "where one is refused nothing is kept")
    await expect_raises(ValueError, store.accept_events([good] * 1001), "more than 1,000 at once")
    await _accepted(trial, news(trial, "৳" * 256, "৳" * 256))
    row = the_one(await _lease(trial))
    for state, due_at in (
        (InboxState.WAITING, None),
        (InboxState.PARKED, None),
        (InboxState.DONE, store.now()),
        (InboxState.UNMATCHED, store.now()),
    ):
        end = InboxEnd(row=row, state=state, due_at=due_at)
        await expect_raises(ValueError, store.end_events([_done(row), end]), f"{state.value} due {due_at}")
    await expect_raises(ValueError, store.end_events([_done(row)] * 1001), "more than 1,000 ends at once")
    expect((await store.inbox_backlog()).waiting == 1, "where one is refused nothing is recorded")
    for number in (0, -1, 10**9):
        await expect_raises(ValueError, _lease(trial, limit=number), f"lease_events with limit {number}")
        await expect_raises(ValueError, _lease(trial, lease_s=number), f"a lease of {number} seconds")
        await expect_raises(ValueError, store.list_inbox(None, limit=number), f"a page of {number} rows")
        await expect_raises(
            ValueError, store.prune_inbox(store.now(), limit=number), f"pruning {number} rows"
        )
    await expect_raises(ValueError, store.list_inbox(None, cursor="x"), "a cursor that no page gave")


CHECKS = (
    news_comes_back,
    known_news_is_not_new,
    news_of_others_is_apart,
    a_lease_excludes,
    ends_are_recorded,
    unmatched_is_announced,
    replays_come_again,
    the_backlog_is_told,
    inbox_page_by_page,
    what_is_over_is_pruned,
    acceptors_race,
    inbox_workers_race,
    what_may_not_be_kept,
)

"""Checks of keeping news: whole, once, apart by tenant, gateway and mode, or refused."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any

from vextrus_payments.inbox import InboxEnd, InboxRow, InboxState, NewInboxEvent
from vextrus_payments.mode import Mode
from vextrus_payments.testing.store_trial import StoreTrial, expect, expect_raises, the_one


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


async def accepted(trial: StoreTrial, *events: NewInboxEvent) -> None:
    """Keep them, all of which are fresh."""
    answers = await trial.store.accept_events(events)
    expect(answers == (True,) * len(events), "accept_events says of fresh news that it is new")


async def leased_news(trial: StoreTrial, *, limit: int = 100, lease_s: int = 600) -> tuple[InboxRow, ...]:
    """What is due."""
    return await trial.store.lease_events(limit=limit, lease_s=lease_s)


def ids_of(rows: tuple[InboxRow, ...]) -> list[str]:
    """Their event ids, in order."""
    return [row.event_id for row in rows]


def done_with(row: InboxRow, **more: Any) -> InboxEnd:
    """The end of a row that is over."""
    return InboxEnd(row=row, state=InboxState.DONE, **more)


async def row_of(trial: StoreTrial, event_id: str, tenant: str = "acme") -> InboxRow:
    """A row that is there."""
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
    await accepted(trial, event)
    row = the_one(await leased_news(trial, lease_s=60))
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
    expect((await row_of(trial, "e1")).body == b"{}", "a repeat changes nothing of what is kept")
    rows = await leased_news(trial)
    expect(sorted(ids_of(rows)) == ["e1", "e3", "e5", "e6"], "what is not new makes no row")
    await store.end_events([done_with(row) for row in rows])
    expect(await store.accept_events([first]) == (False,), "nor is it new once it is over")
    expect(await leased_news(trial) == (), "and it is not done again")
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
    row = next(row for row in await leased_news(trial) if row.tenant == "other")
    stray = replace(row, gateway="nagad")
    expect(await store.end_events([done_with(stray)]) == (False,), "an end elsewhere ends nothing")
    expect(not await store.replay_event("third", "bkash", Mode.SANDBOX, "e1"), "nor does a replay elsewhere")
    expect(await store.end_events([done_with(row)]) == (True,), "one's own is ended")
    states = {
        (each.tenant, each.gateway, each.mode): each.state for each in (await store.list_inbox(None)).rows
    }
    expect(len(states) == 4, "all four are there")
    expect(
        [key for key, state in states.items() if state is InboxState.DONE]
        == [("other", "bkash", Mode.SANDBOX)],
        "and only that one is over",
    )


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
    await accepted(trial, news(trial, "৳" * 256, "৳" * 256))
    row = the_one(await leased_news(trial))
    for state, due_at in (
        (InboxState.WAITING, None),
        (InboxState.PARKED, None),
        (InboxState.DONE, store.now()),
        (InboxState.UNMATCHED, store.now()),
    ):
        end = InboxEnd(row=row, state=state, due_at=due_at)
        await expect_raises(
            ValueError, store.end_events([done_with(row), end]), f"{state.value} due {due_at}"
        )
    await expect_raises(ValueError, store.end_events([done_with(row)] * 1001), "more than 1,000 ends at once")
    expect((await store.inbox_backlog()).waiting == 1, "where one is refused nothing is recorded")
    for number in (0, -1, 10**9):
        await expect_raises(ValueError, leased_news(trial, limit=number), f"lease_events with limit {number}")
        await expect_raises(ValueError, leased_news(trial, lease_s=number), f"a lease of {number} seconds")
        await expect_raises(ValueError, store.list_inbox(None, limit=number), f"a page of {number} rows")
        await expect_raises(
            ValueError, store.prune_inbox(store.now(), limit=number), f"pruning {number} rows"
        )
    await expect_raises(ValueError, store.list_inbox(None, cursor="x"), "a cursor that no page gave")


CHECKS = (
    news_comes_back,
    known_news_is_not_new,
    news_of_others_is_apart,
    acceptors_race,
    what_may_not_be_kept,
)

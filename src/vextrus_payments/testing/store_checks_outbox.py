"""Checks of what workers and operators do with outbox rows: leases with a witness, many acks, listings, unparking."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import partial

from vextrus_payments.paging import Page
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.testing.store_checks_queue import post
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_trial import ACME, StoreTrial, expect, expect_raises, the_one

_EVENT = OutboxKind.EVENT
_SECOND = timedelta(seconds=1)


async def _lease(trial: StoreTrial, *, lease_s: int = 600, limit: int = 100) -> tuple[OutboxRow, ...]:
    rows = await trial.store.lease(_EVENT, limit=limit, lease_s=lease_s)
    return tuple(sorted(rows, key=lambda row: row.row_id))


async def a_lease_has_a_witness(trial: StoreTrial) -> None:
    """A row says until when it was given out; who holds it no longer cannot give it back."""
    store = trial.store
    await post(trial, "a", (1,))
    before = store.now()
    first = the_one(await _lease(trial, lease_s=1))
    expect(
        first.leased_until is not None and before + _SECOND <= first.leased_until <= store.now() + _SECOND,
        "a leased row tells the end of its lease",
    )
    await trial.advance(1.2)
    second = the_one(await _lease(trial))
    expect(second.leased_until != first.leased_until, "another lease has another end")
    await store.nack(first, retry_at=store.now() - _SECOND, why="late")
    expect(await _lease(trial) == (), "a late holder does not take the row from the one who has it")
    await store.nack(first, retry_at=None, why="late")
    expect((await store.backlog(_EVENT)).parked == 0, "nor sets it aside")
    await store.nack(second, retry_at=store.now() - _SECOND, why="not now")
    await trial.advance(0.01)
    third = the_one(await _lease(trial))
    expect(third.attempts == 1, "the holder's nack counts, the others did not")
    await store.nack(second, retry_at=store.now() - _SECOND, why="again")
    expect(await _lease(trial) == (), "a lease is given back once")
    listed = the_one((await store.list_outbox(_EVENT)).rows)
    expect(listed.leased_until == third.leased_until, "a listing shows until when a row is leased")
    await store.nack(third, retry_at=None, why="refused by the ledger")
    parked = the_one((await store.list_outbox(_EVENT, parked=True)).rows)
    expect(
        (parked.parked, parked.attempts, parked.leased_until) == ("refused by the ledger", 2, None),
        "a parked row tells why, how often it was tried, and that nobody has it",
    )


async def nacks_race(trial: StoreTrial) -> None:
    """Of many who give back one lease, one does."""
    await post(trial, "a", (1,))
    row = the_one(await _lease(trial))
    retry_at = trial.store.now() - _SECOND
    await asyncio.gather(*(trial.both(n).nack(row, retry_at=retry_at, why=str(n)) for n in range(8)))
    again = the_one(await _lease(trial))
    expect(again.attempts == 1, "eight nacks of one lease count once")


async def many_acks(trial: StoreTrial) -> None:
    """Rows of several subjects and kinds are delivered together; what follows them comes next."""
    store = trial.store
    await post(trial, "a", (1, 2, 3))
    await post(trial, "b", (1,), account=replace(ACME, tenant="other"))
    await post(trial, "c", (1, 2), kind=OutboxKind.LEDGER)
    events = await _lease(trial)
    ledger = await store.lease(OutboxKind.LEDGER, limit=10, lease_s=600)
    unknown = replace(events[0], row_id="none")
    before = store.now()
    await store.ack_many((*events, *ledger, unknown, events[0]))
    await store.ack_many(())
    expect([row.row_id for row in await _lease(trial)] == ["a/2"], "the next of each subject comes")
    rest = await store.lease(OutboxKind.LEDGER, limit=10, lease_s=600)
    expect([row.row_id for row in rest] == ["c/2"], "of either kind")
    listed = {row.row_id: row.delivered_at for row in (await store.list_outbox(_EVENT)).rows}
    expect(sorted(listed) == ["a/1", "a/2", "a/3", "b/1"], "delivered rows are kept")
    for row_id, is_done in (("a/1", True), ("b/1", True), ("a/2", False), ("a/3", False)):
        moment = listed[row_id]
        done = moment is not None and before <= moment <= store.now()
        expect(done if is_done else moment is None, "and tell when they were delivered")
    await trial.advance(0.01)
    await store.ack(events[0])
    again = {row.row_id: row.delivered_at for row in (await store.list_outbox(_EVENT)).rows}
    expect(again == listed, "a second ack changes nothing, nor the time")
    await store.nack(events[0], retry_at=store.now(), why="too late")
    kept = (await store.list_outbox(_EVENT)).rows[0]
    expect(
        (kept.attempts, kept.next_at, kept.parked) == (0, None, None), "nor does a nack of a delivered row"
    )
    await expect_raises(ValueError, store.ack_many([unknown] * 1001), "more than 1,000 acks at once")


async def outbox_page_by_page(trial: StoreTrial) -> None:
    """Rows are listed in the order in which they were written, by kind, by tenant, parked ones alone."""
    store = trial.store
    expect(await store.list_outbox(_EVENT) == Page((), None), "list_outbox of nothing is an empty page")
    other = replace(ACME, tenant="other")
    await post(trial, "b", (2, 1))
    await post(trial, "x", (1,), kind=OutboxKind.LEDGER)
    await post(trial, "c", (1,), account=other)
    await post(trial, "a", (1,))
    written = ["b/2", "b/1", "c/1", "a/1"]
    for limit in (1, 3, 4, 100):
        rows = await all_pages(partial(store.list_outbox, _EVENT, limit=limit))
        expect([row.row_id for row in rows] == written, f"pages of {limit} tile the outbox")
    expect((await store.list_outbox(_EVENT, limit=4)).cursor is None, "the last page has no cursor")
    mine = await all_pages(partial(store.list_outbox, _EVENT, tenant="acme", limit=1))
    expect([row.row_id for row in mine] == ["b/2", "b/1", "a/1"], "rows of one tenant")
    leased = await _lease(trial)
    for row in leased:
        await store.nack(row, retry_at=None, why=f"no {row.row_id}")
    await store.ack(leased[0])
    parked = await all_pages(partial(store.list_outbox, _EVENT, parked=True, limit=1))
    expect(
        [row.row_id for row in parked] == ["b/1", "c/1"], "parked ones alone; one that was delivered is none"
    )
    theirs = await store.list_outbox(_EVENT, tenant="other", parked=True)
    expect([row.parked for row in theirs.rows] == ["no c/1"], "with the reason")
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, store.list_outbox(_EVENT, limit=limit), f"a page of {limit} rows")
    await expect_raises(ValueError, store.list_outbox(_EVENT, cursor="x"), "a cursor that no page gave")


async def outbox_rows_by_id(trial: StoreTrial) -> None:
    """What became of given rows is told: waiting, leased, parked or delivered, of one tenant."""
    store = trial.store
    expect(await store.outbox_rows("acme", ["a/1"]) == (), "rows that are not there are left out")
    await post(trial, "a", (1, 2))
    await post(trial, "b", (1,), kind=OutboxKind.LEDGER)
    await post(trial, "c", (1,), account=replace(ACME, tenant="other"))
    (first, _) = await _lease(trial)
    await store.ack(first)
    found = {
        row.row_id: row
        for row in await store.outbox_rows("acme", ["a/1", "a/2", "b/1", "c/1", "none", "a/1"])
    }
    expect(sorted(found) == ["a/1", "a/2", "b/1"], "rows of the tenant with these ids, of either kind")
    expect(found["a/1"].delivered_at is not None, "a delivered one says so")
    expect(found["a/2"].delivered_at is None, "a waiting one does not")
    expect(found["b/1"].kind is OutboxKind.LEDGER, "each tells its kind")
    expect(await store.outbox_rows("acme", []) == (), "no ids, no rows")
    await expect_raises(ValueError, store.outbox_rows("acme", ["x"] * 1001), "more than 1,000 ids at once")


async def unparked_rows_come_again(trial: StoreTrial) -> None:
    """A parked row is tried again at once when told, in its place, with its tries back at nought."""
    store = trial.store
    await post(trial, "a", (1, 2))
    expect(not await store.unpark("acme", "a/1"), "a row that is not parked is not unparked")
    expect(not await store.unpark("acme", "none"), "nor one that does not exist")
    row = the_one(await _lease(trial))
    await store.nack(row, retry_at=store.now() + timedelta(hours=1), why="later")
    expect(not await store.unpark("acme", "a/1"), "nor one that waits")
    (waiting, _) = (await store.list_outbox(_EVENT)).rows
    await store.nack(waiting, retry_at=None, why="never")
    expect(not await store.unpark("other", "a/1"), "nor another tenant's")
    done = await asyncio.gather(*(trial.both(n).unpark("acme", "a/1") for n in range(6)))
    expect(sum(done) == 1, "of six who unpark a row exactly one does")
    again = the_one(await _lease(trial))
    expect((again.row_id, again.attempts) == ("a/1", 0), "it comes at once, before what follows it, untried")
    expect((again.next_at, again.parked) == (None, None), "with nothing left of its past")
    await store.ack(again)
    expect(not await store.unpark("acme", "a/1"), "a delivered row is not unparked")


async def deliverers_race(trial: StoreTrial) -> None:
    """Many workers deliver many subjects: every row once, in order, none left over."""
    subjects = 6
    for number in range(subjects):
        await post(trial, f"s{number}", (1, 2, 3))
    seen: list[tuple[str, int]] = []

    async def worker(number: int) -> None:
        store = trial.both(number)
        for _ in range(40):
            rows = await store.lease(_EVENT, limit=2, lease_s=600)
            seen.extend((row.subject, row.seq) for row in rows)
            if number % 3:
                await store.ack_many(rows)
            else:
                for row in rows:
                    await store.ack(row)
            if len(seen) == 3 * subjects:
                return

    await asyncio.gather(*(worker(number) for number in range(6)))
    expect(len(seen) == len(set(seen)) == 3 * subjects, "every row is delivered exactly once")
    for number in range(subjects):
        order = [seq for subject, seq in seen if subject == f"s{number}"]
        expect(order == [1, 2, 3], "in order within its subject")
    expect((await trial.store.backlog(_EVENT)).waiting == 0, "and nothing is left")


CHECKS = (
    a_lease_has_a_witness,
    nacks_race,
    many_acks,
    outbox_page_by_page,
    outbox_rows_by_id,
    unparked_rows_come_again,
    deliverers_race,
)

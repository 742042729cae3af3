"""Checks of the outbox and of the token rows: in order per subject, at least once, one grant at a time."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from vextrus_payments.plans import Plan
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.testing.store_trial import (
    ACME,
    Account,
    StoreTrial,
    count,
    expect,
    expect_raises,
    the_one,
)
from vextrus_payments.token_budget import GrantAsk, GrantBusy, GrantEnd, GrantExhausted, GrantReserved

_EVENT = OutboxKind.EVENT
_DIGEST = "d" * 64


async def post(
    trial: StoreTrial,
    subject: str,
    seqs: tuple[int, ...],
    account: Account = ACME,
    kind: OutboxKind = _EVENT,
) -> None:
    """Rows of one subject, committed with a payment of their own."""
    reference = f"{subject}-{seqs[0]}"
    made = await trial.reserved(reference, account)
    rows = tuple(
        OutboxRow(
            tenant=account.tenant,
            row_id=f"{subject}/{seq}",
            subject=subject,
            seq=seq,
            kind=kind,
            document=f'{{"seq": {seq}}}',
            created_at=trial.store.now(),
        )
        for seq in seqs
    )
    payment = replace(made.facts.payment, version=2)
    await trial.recorded(Plan(payment=payment, expected_version=1, outbox=rows))


async def _lease(trial: StoreTrial, *, lease_s: int = 600, limit: int = 100) -> tuple[OutboxRow, ...]:
    return await trial.store.lease(_EVENT, limit=limit, lease_s=lease_s)


def _ids(rows: tuple[OutboxRow, ...]) -> list[str]:
    return sorted(row.row_id for row in rows)


async def in_order_per_subject(trial: StoreTrial) -> None:
    """Of each subject only the lowest undelivered row is leased; subjects do not wait for each other."""
    await post(trial, "a", (1, 2, 5))
    await post(trial, "b", (3,))
    await post(trial, "c", (1,), kind=OutboxKind.LEDGER)
    rows = await _lease(trial)
    expect(_ids(rows) == ["a/1", "b/3"], "the first row of each subject of the kind is leased")
    expect(all(row.attempts == 0 and row.parked is None for row in rows), "fresh rows have no attempts")
    expect(await _lease(trial) == (), "what is leased is not leased again, nor what comes after it")
    (first, b_row) = sorted(rows, key=lambda row: row.row_id)
    await trial.store.ack(first)
    second = the_one(await _lease(trial))
    expect(second.row_id == "a/2", "after an ack the next row of the subject comes")
    await trial.store.ack(second)
    await trial.store.ack(second)
    await trial.store.ack(b_row)
    expect(_ids(await _lease(trial)) == ["a/5"], "gaps in the sequence do not matter, nor a second ack")
    await post(trial, "d", (9, 8))
    lowest = the_one(await _lease(trial))
    expect(lowest.row_id == "d/8", "the lowest number of a subject comes first, however it was written")
    await trial.store.ack(lowest)
    expect(_ids(await _lease(trial)) == ["d/9"], "and the next one after it")
    ledger = await trial.store.lease(OutboxKind.LEDGER, limit=10, lease_s=60)
    expect(_ids(ledger) == ["c/1"], "the kinds are queues of their own")
    await post(trial, "a", (6,))
    expect(await _lease(trial) == (), "a row behind a leased one waits")


async def leases_run_out(trial: StoreTrial) -> None:
    """Delivery is at least once: a lease that ran out is given again, and an ack is true from anyone."""
    await post(trial, "a", (1, 2))
    row = the_one(await _lease(trial, lease_s=1))
    expect(await _lease(trial) == (), "a leased row is not leased")
    await trial.advance(1.2)
    again = the_one(await _lease(trial, lease_s=600))
    expect(again.row_id == row.row_id, "a row whose lease ran out is leased again")
    await trial.store.ack(row)
    expect(_ids(await _lease(trial)) == ["a/2"], "the first holder's late ack counts")


async def nack_and_park(trial: StoreTrial) -> None:
    """A failed row is tried again when told, or set aside; then it blocks its own subject and no other."""
    await post(trial, "a", (1, 2))
    await post(trial, "b", (1,))
    a_row, b_row = sorted(await _lease(trial), key=lambda row: row.row_id)
    await trial.store.nack(a_row, retry_at=trial.store.now() + timedelta(seconds=1), why="ledger down")
    expect(await _lease(trial) == (), "a row is not leased before retry_at, nor what comes after it")
    await trial.advance(1.2)
    again = the_one(await _lease(trial))
    expect((again.row_id, again.attempts) == ("a/1", 1), "a nack counts as an attempt")
    await trial.store.nack(again, retry_at=None, why="refused by the ledger")
    await trial.store.ack(b_row)
    await post(trial, "b", (2,))
    await trial.advance(1.2)
    expect(_ids(await _lease(trial, lease_s=1)) == ["b/2"], "a parked row blocks its own subject only")
    backlog = await trial.store.backlog(_EVENT)
    expect((backlog.waiting, backlog.parked) == (2, 1), "the backlog tells what waits and what is parked")
    await trial.store.nack(again, retry_at=trial.store.now(), why="a late holder")
    await trial.advance(1.2)
    expect(_ids(await _lease(trial)) == ["b/2"], "a late nack does not bring a parked row back")
    await trial.store.ack(again)
    expect(_ids(await _lease(trial)) == ["a/2"], "an ack delivers a parked row too")
    await trial.store.nack(again, retry_at=trial.store.now(), why="later still")
    expect(await _lease(trial) == (), "what was delivered stays delivered")


async def backlog_tells(trial: StoreTrial) -> None:
    """The backlog counts what is not delivered, and the age of the oldest that still waits."""
    nothing = await trial.store.backlog(_EVENT)
    expect((nothing.waiting, nothing.parked, nothing.oldest_created_at) == (0, 0, None), "an empty queue")
    before = trial.store.now()
    await post(trial, "a", (1, 2))
    after = trial.store.now()
    await trial.advance(0.01)
    await post(trial, "b", (1,))
    backlog = await trial.store.backlog(_EVENT)
    expect((backlog.waiting, backlog.parked) == (3, 0), "all undelivered rows wait, not only the first ones")
    oldest = backlog.oldest_created_at
    expect(oldest is not None and before <= oldest <= after, "the oldest row's time is told")
    for row in await _lease(trial):
        await trial.store.ack(row)
    backlog = await trial.store.backlog(_EVENT)
    expect((backlog.waiting, backlog.parked) == (1, 0), "delivered rows do not wait")


async def leases_race(trial: StoreTrial) -> None:
    """Workers that lease at the same moment never get the same row."""
    for number in range(12):
        await post(trial, f"s{number}", (1, 2))
    leased = await asyncio.gather(
        *(trial.both(n).lease(_EVENT, limit=2, lease_s=600) for n in range(10)),
    )
    rows = [row for part in leased for row in part]
    expect(len(rows) == 12, "ten workers lease all twelve rows that are due")
    expect(len({row.row_id for row in rows}) == 12, "no row is leased twice")
    expect({row.seq for row in rows} == {1}, "and none out of order")
    expect(all(len(part) <= 2 for part in leased), "a lease takes no more than its limit")


async def what_may_not_be_leased(trial: StoreTrial) -> None:
    """Limits and leases that are none raise ValueError."""
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, _lease(trial, limit=limit), f"a lease with limit {limit}")
    for lease_s in (0, -1, 10**9):
        await expect_raises(ValueError, _lease(trial, lease_s=lease_s), f"a lease of {lease_s} seconds")


# --- tokens -------------------------------------------------------------------------------------------------------


def _ask(trial: StoreTrial, permit: str, *, lease_s: float = 60, window_s: int = 3600) -> GrantAsk:
    return GrantAsk(permit=permit, now=trial.store.now(), limit=2, window_s=window_s, lease_s=lease_s)


async def token_rows(trial: StoreTrial) -> None:
    """A token is kept, replaced, and dropped by its version only."""
    store = trial.store
    expect(await store.token_get(_DIGEST) is None, "there is no token at first")
    expect(not await store.token_drop(_DIGEST, "v1"), "no token, nothing to drop")
    await store.token_put(_DIGEST, "v1", '{"access": "one"}')
    await store.token_put("e" * 64, "v1", '{"access": "other"}')
    expect(await store.token_get(_DIGEST) == '{"access": "one"}', "a token comes back as it was put")
    await store.token_put(_DIGEST, "v2", '{"access": "two"}')
    expect(not await store.token_drop(_DIGEST, "v1"), "a token of another version is not dropped")
    expect(await store.token_get(_DIGEST) == '{"access": "two"}', "the latest token is kept")
    drops = await asyncio.gather(*(trial.both(n).token_drop(_DIGEST, "v2") for n in range(6)))
    expect(sum(drops) == 1, "of six drops of one version exactly one does it")
    expect(await store.token_get(_DIGEST) is None, "a dropped token is gone")
    expect(await store.token_get("e" * 64) == '{"access": "other"}', "tokens are kept by digest")


async def grants_are_counted(trial: StoreTrial) -> None:
    """One grant at a time, no more than the budget; tokens come and go without touching the count."""
    store = trial.store
    asks = [_ask(trial, f"p{number}") for number in range(12)]
    answers = await asyncio.gather(*(trial.both(n).grant_reserve(_DIGEST, ask) for n, ask in enumerate(asks)))
    expect(count(answers, GrantReserved) == 1, "exactly one of twelve grants is reserved")
    expect(count(answers, GrantBusy) == 11, "the others wait for it")
    (permit,) = (answer.permit for answer in answers if isinstance(answer, GrantReserved))
    await store.grant_finish(
        _DIGEST, GrantEnd(permit=permit, now=store.now(), sent=True), "v1", '{"access": "one"}'
    )
    expect(await store.token_get(_DIGEST) == '{"access": "one"}', "a finished grant brings its token")
    await store.token_drop(_DIGEST, "v1")
    await store.token_put(_DIGEST, "v0", '{"access": "zero"}')
    answer = await store.grant_reserve(_DIGEST, _ask(trial, "second"))
    expect(isinstance(answer, GrantReserved), "the second grant of the hour is reserved")
    end = GrantEnd(permit="second", now=store.now(), sent=True, failure="answer_lost")
    await store.grant_finish(_DIGEST, end, None, None)
    expect(await store.token_get(_DIGEST) == '{"access": "zero"}', "a grant without a token changes none")
    answer = await store.grant_reserve(_DIGEST, _ask(trial, "third"))
    expect(isinstance(answer, GrantExhausted), "the third grant of the hour is refused")
    elsewhere = await store.grant_reserve("e" * 64, _ask(trial, "third"))
    expect(isinstance(elsewhere, GrantReserved), "budgets are counted by digest")
    unsent = GrantEnd(permit="third", now=store.now(), sent=False)
    await store.grant_finish("e" * 64, unsent, None, None)
    again = await store.grant_reserve("e" * 64, _ask(trial, "fourth"))
    expect(isinstance(again, GrantReserved), "what was proven unsent gives its slot back")


async def a_grant_that_never_ended(trial: StoreTrial) -> None:
    """A process that died over its grant holds the others up for the lease, not for ever; its slot still counts."""
    store = trial.store
    first = await store.grant_reserve(_DIGEST, _ask(trial, "dead", lease_s=1))
    expect(isinstance(first, GrantReserved), "a first grant is reserved")
    busy = await store.grant_reserve(_DIGEST, _ask(trial, "waiting"))
    expect(isinstance(busy, GrantBusy), "a second one waits")
    await trial.advance(1.2)
    second = await store.grant_reserve(_DIGEST, _ask(trial, "next", lease_s=1))
    expect(isinstance(second, GrantReserved), "once the lease is over the next one may")
    late = GrantEnd(permit="dead", now=store.now(), sent=True)
    await store.grant_finish(_DIGEST, late, "late", '{"access": "late"}')
    newest = GrantEnd(permit="next", now=store.now(), sent=True)
    await store.grant_finish(_DIGEST, newest, "new", '{"access": "new"}')
    await store.grant_finish(_DIGEST, late, "late", '{"access": "late"}')
    expect(
        await store.token_get(_DIGEST) == '{"access": "new"}', "an older grant's token replaces no newer one"
    )
    third = await store.grant_reserve(_DIGEST, _ask(trial, "third"))
    expect(isinstance(third, GrantExhausted), "the grant that never ended counts")


CHECKS = (
    in_order_per_subject,
    leases_run_out,
    nack_and_park,
    backlog_tells,
    leases_race,
    what_may_not_be_leased,
    token_rows,
    grants_are_counted,
    a_grant_that_never_ended,
)

"""Checks of watching: what is open is looked at, by one worker at a time, and nothing that is open is forgotten."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Plan, Reserved, Stale
from vextrus_payments.recording import plan_lost
from vextrus_payments.records import AgreementLife, PaymentFacts, SubjectKind, Watch
from vextrus_payments.testing.store_records_agreements import agreement_plan
from vextrus_payments.testing.store_trial import ACME, StoreTrial, expect, expect_raises, expect_type, the_one

_SECOND = timedelta(seconds=1)


async def _lease(trial: StoreTrial, *, limit: int = 100, lease_s: int = 600) -> tuple[Watch, ...]:
    return await trial.store.lease_watches(limit=limit, lease_s=lease_s)


def _ids(watches: tuple[Watch, ...]) -> list[str]:
    return [watch.subject_id for watch in watches]


async def _watched(trial: StoreTrial, facts: PaymentFacts, at: datetime | None) -> PaymentFacts:
    """Commit nothing but the payment's next version and when to look at it."""
    version = facts.payment.version
    plan = Plan(payment=replace(facts.payment, version=version + 1), expected_version=version, watch_at=at)
    return await trial.recorded(plan)


async def due_watches_are_leased(trial: StoreTrial) -> None:
    """What is due is leased, the longest due first, with all that is known of it; what is not due is not."""
    now = trial.store.now()
    for number, late_s in enumerate((5, 9, 7)):
        made = await trial.reserved(f"INV-{number}")
        await _watched(trial, made.facts, now - late_s * _SECOND)
    later = await trial.reserved("INV-later")
    await _watched(trial, later.facts, now + timedelta(hours=1))
    never = await trial.reserved("INV-never")
    await _watched(trial, never.facts, None)
    watches = await _lease(trial, limit=2)
    after = trial.store.now()
    expect(_ids(watches) == ["pay_INV-1", "pay_INV-2"], "the longest due come first, no more than the limit")
    first = watches[0]
    expect(
        (first.tenant, first.subject_kind, first.version, first.tries) == ("acme", SubjectKind.PAYMENT, 2, 1),
        "a watch tells whose it is, of what kind, its version, and that this is the first look",
    )
    expect(first.due_at == now - 9 * _SECOND, "a watch tells since when it has been due")
    lease = timedelta(seconds=600)
    expect(now + lease <= first.leased_until <= after + lease, "and until when it is leased")
    expect(_ids(await _lease(trial)) == ["pay_INV-0"], "what is leased is not leased again")
    expect(await _lease(trial) == (), "nor is what lies ahead, or is never to be looked at")


async def every_write_sets_the_watch(trial: StoreTrial) -> None:
    """Reserving, claiming, checkpoints and giving back set a time of their own, as any commit does."""
    store = trial.store

    async def due() -> list[str]:
        watches = await _lease(trial)
        for watch in watches:
            await store.watch_again(watch, store.now() - _SECOND)
        return _ids(watches)

    facts = await trial.awaiting("INV-1")
    expect(await store.sweep_watches() == 0, "what reserve and commit wrote has a watch")
    expect(await due() == [], "which lies ahead")
    await _watched(trial, facts, store.now() - _SECOND)
    expect(await due() == ["pay_INV-1"], "a commit sets it")
    first = expect_type(await trial.claim_execute(facts), Claim, "a claim")
    expect(await due() == [], "a claim sets it")
    await _watched(trial, await trial.facts("acme", "pay_INV-1"), store.now() - _SECOND)
    await store.checkpoint(first, Evidence("step"))
    expect(await due() == [], "a checkpoint sets it")
    await _watched(trial, await trial.facts("acme", "pay_INV-1"), store.now() - _SECOND)
    await store.release(first)
    expect(await due() == [], "giving back sets it")
    paid = await trial.recorded(trial.paid_plan(await trial.facts("acme", "pay_INV-1"), "TRX1"))
    await _watched(trial, paid, store.now() - _SECOND)
    expect_type(await store.reserve(trial.refund_of(paid, "refund-1", "1")), Reserved, "a refund")
    expect(await due() == [], "reserving an operation sets it")
    stale = Plan(payment=replace(paid.payment, version=2), expected_version=1, watch_at=store.now() - _SECOND)
    expect_type(await store.commit(stale), Stale, "a plan from an old version")
    expect(await due() == [], "a stale plan sets nothing")


async def watches_end_and_come_again(trial: StoreTrial) -> None:
    """A lease is ended with the next time; one that ran out is given again, with one more try."""
    store = trial.store
    made = await trial.reserved("INV-1")
    await _watched(trial, made.facts, store.now() - _SECOND)
    watch = the_one(await _lease(trial, lease_s=1))
    await trial.advance(1.2)
    again = the_one(await _lease(trial))
    expect((again.tries, again.version) == (2, watch.version), "a lease that ran out is given again")
    expect(again.due_at == watch.due_at, "it is due since the same time")
    expect(not await store.watch_again(watch, None), "the first holder no longer decides")
    expect(await _lease(trial) == (), "and takes nothing from the second one")
    expect(await store.watch_again(again, store.now() - _SECOND), "the holder sets when to look next")
    await trial.advance(0.01)
    third = the_one(await _lease(trial))
    expect(third.tries == 3, "tries are counted until something is committed")
    expect(not await store.watch_again(again, None), "a lease is ended once")
    expect(await store.watch_again(third, None), "the holder may set no time at all")
    expect(await _lease(trial) == (), "then nobody looks any more")
    await _watched(trial, await trial.facts("acme", "pay_INV-1"), store.now() - _SECOND)
    fresh = the_one(await _lease(trial))
    expect(fresh.tries == 1, "unless something is committed: then the tries start afresh")
    ahead = store.now() + timedelta(hours=1)
    expect(await store.watch_again(fresh, ahead), "a time ahead")
    expect(await _lease(trial) == (), "is not due")
    elsewhere = replace(fresh, tenant="other")
    nowhere = replace(fresh, subject_id="pay_none")
    kind = replace(fresh, subject_kind=SubjectKind.AGREEMENT)
    for wrong in (elsewhere, nowhere, kind):
        expect(not await store.watch_again(wrong, None), "a watch on what is not there changes nothing")


async def a_commit_outranks_a_look(trial: StoreTrial) -> None:
    """What was committed during a look sets the time; and while the lease lasts nobody else looks, even so."""
    store = trial.store
    made = await trial.reserved("INV-1")
    await _watched(trial, made.facts, store.now() - _SECOND)
    watch = the_one(await _lease(trial))
    changed = await _watched(trial, await trial.facts("acme", "pay_INV-1"), store.now() - _SECOND)
    expect(await _lease(trial) == (), "a commit does not end a lease")
    expect(not await store.watch_again(watch, None), "a look at an older version sets no time")
    fresh = the_one(await _lease(trial))
    expect(fresh.version == changed.payment.version, "its lease is over, and the commit's own time stands")
    expect(fresh.tries == 1, "with tries of its own")


async def watchers_race(trial: StoreTrial) -> None:
    """Workers that lease at the same moment never get the same subject; one of many enders ends a lease."""
    due = trial.store.now() - _SECOND
    for number in range(12):
        made = await trial.reserved(f"INV-{number}")
        await _watched(trial, made.facts, due)
    parts = await asyncio.gather(*(trial.both(n).lease_watches(limit=3, lease_s=600) for n in range(10)))
    leased = [watch for part in parts for watch in part]
    expect(all(len(part) <= 3 for part in parts), "a lease takes no more than its limit")
    expect(len(leased) == 12, "ten workers lease all twelve payments that are due")
    expect(len({watch.subject_id for watch in leased}) == 12, "none twice")
    ends = await asyncio.gather(*(trial.both(n).watch_again(leased[0], None) for n in range(8)))
    expect(sum(ends) == 1, "exactly one of eight ends the lease")
    again = await asyncio.gather(
        *(
            trial.both(n).watch_again(watch, trial.store.now() - _SECOND)
            for n, watch in enumerate(leased[1:])
        ),
        *(trial.both(n).lease_watches(limit=100, lease_s=600) for n in range(4)),
    )
    taken = [watch.subject_id for part in again[11:] for watch in part]  # type: ignore[attr-defined]
    expect(all(again[:11]), "every holder ends its lease")
    expect(len(taken) == len(set(taken)), "what comes back meanwhile is leased once")


async def sweeps_arm_what_is_open(trial: StoreTrial) -> None:
    """Whatever is open and has no watch gets one; what is over, or has one, is left alone."""
    store = trial.store
    made = await trial.reserved("INV-created")
    await _watched(trial, made.facts, None)
    waits = await trial.awaiting("INV-awaiting")
    await _watched(trial, waits, None)
    await _watched(trial, await trial.paid("INV-paid"), None)
    unknown = await trial.awaiting("INV-unknown")
    claim = expect_type(await trial.claim_execute(unknown), Claim, "a claim")
    lost = await trial.recorded(plan_lost(claim.facts, claim.operation_id, claim.fence, store.now()))
    await _watched(trial, await trial.recorded(trial.paid_plan(lost, "TRX1")), None)
    refunding = await trial.paid("INV-refund", replace(ACME, tenant="other"))
    expect_type(await store.reserve(trial.refund_of(refunding, "refund-1", "1")), Reserved, "a refund")
    await _watched(trial, await trial.facts("other", "pay_INV-refund"), None)
    ahead = await trial.awaiting("INV-ahead")
    await _watched(trial, ahead, store.now() + timedelta(hours=1))
    for key, state in (("agr_open", AgreementLife.AWAITING_PAYER), ("agr_over", AgreementLife.ENDED)):
        plan = agreement_plan(store.now(), key, state=state)
        await store.commit_agreement(replace(plan, watch_at=None))
    expect(await _lease(trial) == (), "nothing is due")
    expect(await store.sweep_watches() == 4, "the sweep arms what is open and has no watch")
    expect(
        sorted(_ids(await _lease(trial)))
        == ["agr_open", "pay_INV-awaiting", "pay_INV-created", "pay_INV-refund"],
        "which is due at once",
    )
    expect(await store.sweep_watches() == 0, "what is armed is not armed again")


async def agreements_are_watched_too(trial: StoreTrial) -> None:
    """Agreements are leased like payments, in one line with them."""
    store = trial.store
    now = store.now()
    made = await trial.reserved("INV-1")
    await _watched(trial, made.facts, now - 2 * _SECOND)
    for key, late_s in (("agr_1", 3), ("agr_2", 1)):
        plan = agreement_plan(now, key)
        await store.commit_agreement(replace(plan, watch_at=now - late_s * _SECOND))
    watches = await _lease(trial, limit=2)
    expect(_ids(watches) == ["agr_1", "pay_INV-1"], "the longest due comes first, whatever its kind")
    (watch, _) = watches
    expect(
        (watch.subject_kind, watch.version) == (SubjectKind.AGREEMENT, 1), "an agreement says that it is one"
    )
    expect(await store.watch_again(watch, now - 5 * _SECOND), "its holder sets when to look next")
    expect(_ids(await _lease(trial)) == ["agr_1", "agr_2"], "and then it comes again")
    first = await store.get_agreement("acme", "agr_1")
    assert first is not None
    await trial.advance(0.01)
    plan = agreement_plan(store.now(), "agr_1", version=2)
    await store.commit_agreement(replace(plan, watch_at=None))
    expect(await store.sweep_watches() == 1, "an open agreement without a watch is armed")


async def the_next_look_is_told(trial: StoreTrial) -> None:
    """When something is looked at next can be asked, whoever has it leased."""
    store, now = trial.store, trial.store.now()
    payment, agreement = SubjectKind.PAYMENT, SubjectKind.AGREEMENT
    expect(
        await store.next_watch("acme", payment, "pay_INV-1") is None, "what is not there is never looked at"
    )
    made = await trial.reserved("INV-1")
    await _watched(trial, made.facts, now - _SECOND)
    expect(await store.next_watch("acme", payment, "pay_INV-1") == now - _SECOND, "a payment's time is told")
    expect(await store.next_watch("other", payment, "pay_INV-1") is None, "times are keyed by tenant")
    watch = the_one(await _lease(trial))
    expect(await store.next_watch("acme", payment, "pay_INV-1") == now - _SECOND, "a lease does not move it")
    await store.watch_again(watch, None)
    expect(await store.next_watch("acme", payment, "pay_INV-1") is None, "None is told as None")
    plan = agreement_plan(now, "agr_1")
    await store.commit_agreement(replace(plan, watch_at=now + _SECOND))
    expect(await store.next_watch("acme", agreement, "agr_1") == now + _SECOND, "an agreement's time is told")
    expect(await store.next_watch("acme", payment, "agr_1") is None, "an agreement is no payment")


async def what_may_not_be_watched(trial: StoreTrial) -> None:
    """Limits and leases that are none raise ValueError."""
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, _lease(trial, limit=limit), f"lease_watches with limit {limit}")
    for lease_s in (0, -1, 10**9):
        await expect_raises(ValueError, _lease(trial, lease_s=lease_s), f"a watch of {lease_s} seconds")


CHECKS = (
    due_watches_are_leased,
    every_write_sets_the_watch,
    watches_end_and_come_again,
    a_commit_outranks_a_look,
    watchers_race,
    sweeps_arm_what_is_open,
    agreements_are_watched_too,
    the_next_look_is_told,
    what_may_not_be_watched,
)

"""Checks of agreements: written whole or not at all, under versions, with operation ids that are nobody else's."""

import asyncio
from dataclasses import replace
from functools import partial

from vextrus_payments.errors import StorageError
from vextrus_payments.paging import Page
from vextrus_payments.plans import Committed, Conflict, OperationTaken, Plan, Reserved, Stale
from vextrus_payments.records import AgreementLife, Operation, OutboxKind, OutboxRow
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_records_agreements import agreement_plan, full_agreement_plan
from vextrus_payments.testing.store_trial import (
    ACME,
    StoreTrial,
    count,
    expect,
    expect_raises,
    expect_type,
)


async def agreements_come_back(trial: StoreTrial) -> None:
    """What is written is what is read: every field, every operation, the attempts, the outbox rows."""
    store = trial.store
    expect(await store.get_agreement("acme", "agr_full") is None, "get of no agreement is None")
    expect(
        await store.find_agreements("acme", agreement_id="none") == (), "find of nothing is an empty tuple"
    )
    expect(await store.list_agreements() == Page((), None), "list of nothing is an empty page")
    plan = full_agreement_plan(store.now())
    written = expect_type(await store.commit_agreement(plan), Committed, "a plan with every field set")
    expect(written.version == 1, "Committed tells the new version")
    expect(await store.get_agreement("acme", "agr_full") == plan.agreement, "it comes back as it was written")
    expect(await store.get_agreement("other", "agr_full") is None, "agreements are keyed by tenant")
    expect(await store.attempts("acme", "agr_full") == plan.attempts, "so do its attempts, under its key")
    rows = await store.lease(OutboxKind.EVENT, limit=10, lease_s=60)
    expect([row.row_id for row in rows] == ["evt_agreement"], "and its outbox row")
    expect(await store.get_operation("acme", "agreement/full") is None, "its operations are no payment's")


async def agreements_under_versions(trial: StoreTrial) -> None:
    """Of many plans made from one snapshot one is written; a stale one writes nothing."""
    store = trial.store
    plan = agreement_plan(store.now(), "agr_1", state=AgreementLife.CREATED)
    answers = await asyncio.gather(*(trial.both(n).commit_agreement(plan) for n in range(8)))
    expect(count(answers, Committed) == 1, "an agreement is inserted once")
    expect(count(answers, Stale) == 7, "the others are Stale")
    moved = [
        replace(
            plan,
            agreement=replace(plan.agreement, version=2, correlation_id=str(number)),
            expected_version=1,
            outbox=tuple(replace(row, row_id=f"row-{number}", seq=number) for row in _row(trial)),
        )
        for number in range(8)
    ]
    answers = await asyncio.gather(*(trial.both(n).commit_agreement(each) for n, each in enumerate(moved)))
    expect(count(answers, Committed) == 1, "exactly one of eight plans of one version is written")
    expect(count(answers, Stale) == 7, "the others are Stale")
    kept = await store.get_agreement("acme", "agr_1")
    assert kept is not None
    listed = await store.list_outbox(OutboxKind.EVENT)
    expect(
        [row.row_id for row in listed.rows] == [f"row-{kept.correlation_id}"],
        "with its outbox row, and no other's",
    )
    nobody = replace(
        plan, agreement=replace(plan.agreement, agreement_key="agr_9", version=4), expected_version=3
    )
    expect_type(await store.commit_agreement(nobody), Stale, "an update of an agreement that does not exist")
    expect(await store.get_agreement("acme", "agr_9") is None, "a stale update inserts nothing")


def _row(trial: StoreTrial) -> tuple[OutboxRow, ...]:
    return full_agreement_plan(trial.store.now()).outbox


async def operation_ids_are_one_space(trial: StoreTrial) -> None:
    """An operation id belongs to one payment or to one agreement of its tenant, whoever comes first."""
    store = trial.store
    made = await trial.reserved("INV-1", operation_id="the-id")
    mine = agreement_plan(store.now(), "agr_1", operation_id="the-id")
    expect_type(
        await store.commit_agreement(mine), OperationTaken, "an agreement with a payment's operation id"
    )
    expect(await store.get_agreement("acme", "agr_1") is None, "OperationTaken writes nothing")
    found = await store.find_agreements("acme", operation_id="the-id")
    expect(found == (), "and leaves no operation id behind")
    plan = agreement_plan(store.now(), "agr_1", operation_id="agreed")
    expect_type(await store.commit_agreement(plan), Committed, "an agreement with an id of its own")
    other = agreement_plan(store.now(), "agr_2", operation_id="agreed")
    expect_type(await store.commit_agreement(other), OperationTaken, "another agreement with the same id")
    conflict = expect_type(
        await trial.reserve("INV-2", operation_id="agreed"),
        Conflict,
        "a payment with an agreement's operation id",
    )
    expect(conflict.operation == plan.agreement.operations[0], "Conflict shows the agreement's operation")
    expect(await store.get("acme", "pay_INV-2") is None, "Conflict reserves nothing")
    version = made.facts.payment.version
    stolen = replace(made.facts.operations[0], operation_id="agreed")
    taken = Plan(
        payment=replace(made.facts.payment, version=version + 1),
        expected_version=version,
        operations=(stolen,),
    )
    expect_type(await store.commit(taken), Stale, "a payment's plan with an agreement's operation id")
    expect(await trial.facts("acme", "pay_INV-1") == made.facts, "it writes nothing")
    elsewhere = replace(ACME, tenant="other")
    await trial.reserved("INV-1", elsewhere, operation_id="agreed")
    again = agreement_plan(store.now(), "agr_1", version=2, operation_id="agreed")
    expect_type(await store.commit_agreement(again), Committed, "the agreement itself keeps its ids")


async def operation_ids_race(trial: StoreTrial) -> None:
    """Payments and agreements that want one operation id at the same moment: one gets it."""
    wishes = [trial.wish(f"INV-{n}", operation_id="the-id") for n in range(6)]
    plans = [agreement_plan(trial.store.now(), f"agr_{n}", operation_id="the-id") for n in range(6)]
    answers: list[object] = list(
        await asyncio.gather(
            *(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)),
            *(trial.both(n + 1).commit_agreement(plan) for n, plan in enumerate(plans)),
        )
    )
    winners = count(answers, Reserved) + count(answers, Committed)
    expect(winners == 1, "exactly one of six payments and six agreements gets the operation id")


async def agreements_are_found(trial: StoreTrial) -> None:
    """By exactly one of three keys as they are now, oldest first, at most 100; listed page after page."""
    store = trial.store
    for number in range(5):
        tenant = "other" if number == 3 else "acme"
        key = f"agr_{9 - number}"
        plan = agreement_plan(store.now(), key, tenant=tenant, operation_id=f"op-{number}")
        agreement = replace(
            plan.agreement, gateway_reference="GR", agreement_id="AGR-1" if number in (1, 3) else None
        )
        expect_type(
            await store.commit_agreement(replace(plan, agreement=agreement)), Committed, "an agreement"
        )
        await trial.advance(0.01)

    async def keys(tenant: str, **wanted: str) -> list[str]:
        return [each.agreement_key for each in await store.find_agreements(tenant, **wanted)]

    expect(await keys("acme", operation_id="op-2") == ["agr_7"], "find by operation id")
    expect(await keys("acme", agreement_id="AGR-1") == ["agr_8"], "find by agreement id")
    expect(await keys("acme", gateway_reference="GR") == ["agr_9", "agr_8", "agr_7", "agr_5"], "oldest first")
    expect(await keys("other", gateway_reference="GR") == ["agr_6"], "within the tenant")
    await expect_raises(ValueError, store.find_agreements("acme"), "find without a key raises ValueError")
    await expect_raises(
        ValueError,
        store.find_agreements("acme", operation_id="a", agreement_id="b"),
        "find by two keys raises ValueError",
    )
    moved = agreement_plan(store.now(), "agr_9", version=2, operation_id="op-0")
    await store.commit_agreement(replace(moved, agreement=replace(moved.agreement, gateway_reference="GR-2")))
    expect("agr_9" not in await keys("acme", gateway_reference="GR"), "a reference that was replaced is gone")
    expect(await keys("acme", gateway_reference="GR-2") == ["agr_9"], "the new one is found")
    everybody = ["agr_9", "agr_8", "agr_7", "agr_6", "agr_5"]
    for limit in (1, 2, 5, 100):
        listed = await all_pages(partial(store.list_agreements, limit=limit))
        expect([a.agreement_key for a in listed] == everybody, f"pages of {limit} tile the listing")
    mine = await all_pages(partial(store.list_agreements, "acme", limit=2))
    expect([a.agreement_key for a in mine] == [key for key in everybody if key != "agr_6"], "of one tenant")
    for limit in (0, -1, 10**9):
        await expect_raises(ValueError, store.list_agreements(limit=limit), f"a page of {limit}")
    await expect_raises(ValueError, store.list_agreements(cursor="x"), "a cursor that no page gave")


async def agreements_whole_or_not_at_all(trial: StoreTrial) -> None:
    """A plan that fails half-way leaves nothing behind."""
    store = trial.store
    good = full_agreement_plan(store.now())
    unstorable = replace(good.outbox[0], row_id="evt_last", seq=999, document="\ud800")
    foreign: Operation = replace(good.agreement.operations[0], tenant="other")
    for why, bad in (
        ("that holds a text no database can store", replace(good, outbox=(*good.outbox, unstorable))),
        ("with a row of another tenant", replace(good, outbox=(replace(good.outbox[0], tenant="other"),))),
        ("with another's attempt", replace(good, attempts=(replace(good.attempts[0], payment_id="pay_1"),))),
        ("with a foreign operation", replace(good, agreement=replace(good.agreement, operations=(foreign,)))),
        ("that skips a version", replace(good, agreement=replace(good.agreement, version=9))),
    ):
        await expect_raises(StorageError, store.commit_agreement(bad), f"a plan {why} raises StorageError")
        expect(await store.get_agreement("acme", "agr_full") is None, f"a plan {why} keeps no agreement")
        expect(not await store.attempts("acme", "agr_full"), f"a plan {why} keeps no attempt")
        expect((await store.backlog(OutboxKind.EVENT)).waiting == 0, f"a plan {why} announces nothing")
        found = await store.find_agreements("acme", operation_id="agreement/full")
        expect(found == (), f"a plan {why} takes no operation id")
    expect_type(await store.commit_agreement(good), Committed, "the plan itself, after that")


CHECKS = (
    agreements_come_back,
    agreements_under_versions,
    operation_ids_are_one_space,
    operation_ids_race,
    agreements_are_found,
    agreements_whole_or_not_at_all,
)

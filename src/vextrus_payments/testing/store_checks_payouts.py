"""Checks of payouts: written whole or not at all, with their receipts, under versions, with ids of their own."""

import asyncio
from dataclasses import replace
from functools import partial

from vextrus_payments.errors import StorageError
from vextrus_payments.paging import Page
from vextrus_payments.plans import Committed, Conflict, OperationTaken, ReceiptElsewhere, Reserved, Stale
from vextrus_payments.records import OperationState, OutboxKind, ReceiptKind, SubjectKind
from vextrus_payments.testing.store_checks_reading import all_pages
from vextrus_payments.testing.store_records import settlement_plan
from vextrus_payments.testing.store_records_agreements import agreement_plan
from vextrus_payments.testing.store_records_payouts import full_payout_plan, payout_plan, payout_receipt
from vextrus_payments.testing.store_trial import StoreTrial, count, expect, expect_raises, expect_type


async def payouts_come_back(trial: StoreTrial) -> None:
    """What is written is what is read: every field, the receipts, the attempts, the outbox rows."""
    store = trial.store
    expect(await store.get_payout("acme", "pyo_full") is None, "get of no payout is None")
    expect(await store.find_payout("acme", "none") is None, "find of nothing is None")
    expect(await store.list_payouts() == Page((), None), "list of nothing is an empty page")
    plan = full_payout_plan(store.now())
    written = expect_type(await store.commit_payout(plan), Committed, "a plan with every field set")
    expect(written.version == 1, "Committed tells the new version")
    expect(await store.get_payout("acme", "pyo_full") == plan.payout, "it comes back as it was written")
    expect(await store.find_payout("acme", "payout/full") == plan.payout, "by its operation's id, too")
    expect(await store.get_payout("other", "pyo_full") is None, "payouts are keyed by tenant")
    expect(await store.find_payout("other", "payout/full") is None, "and their operation ids")
    expect(await store.attempts("acme", "pyo_full") == plan.attempts, "so do its attempts, under its id")
    (receipt,) = plan.receipts
    found = await store.receipts("acme", receipt.gateway, receipt.mode, [receipt.transaction_id])
    expect(found == plan.receipts, "and its receipt, among all receipts")
    expect(await store.find("acme", transaction_id=receipt.transaction_id) == (), "which is no payment's")
    rows = await store.lease(OutboxKind.LEDGER, limit=10, lease_s=60)
    expect([row.row_id for row in rows] == ["ent_payout"], "and its entry")
    expect(await store.get_operation("acme", "payout/full") is None, "its operation is no payment's")


async def payouts_under_versions(trial: StoreTrial) -> None:
    """Of many plans made from one snapshot one is written; a stale one writes nothing."""
    store = trial.store
    plan = payout_plan(store.now(), "pyo_1")
    answers = await asyncio.gather(*(trial.both(n).commit_payout(plan) for n in range(8)))
    expect(count(answers, Committed) == 1, "a payout is inserted once")
    expect(count(answers, Stale) == 7, "the others are Stale")
    moved = [
        replace(
            plan,
            payout=replace(plan.payout, version=2, correlation_id=str(number)),
            expected_version=1,
            receipts=(payout_receipt(store.now(), f"PAY{number}"),),
        )
        for number in range(8)
    ]
    answers = await asyncio.gather(*(trial.both(n).commit_payout(each) for n, each in enumerate(moved)))
    expect(count(answers, Committed) == 1, "exactly one of eight plans of one version is written")
    expect(count(answers, Stale) == 7, "the others are Stale")
    kept = await store.get_payout("acme", "pyo_1")
    assert kept is not None
    ids = [f"PAY{number}" for number in range(8)]
    found = await store.receipts("acme", "bkash", kept.mode, ids)
    expect(
        [r.transaction_id for r in found] == [f"PAY{kept.correlation_id}"], "with its receipt, and no other's"
    )
    nobody = replace(plan, payout=replace(plan.payout, payout_id="pyo_9", version=4), expected_version=3)
    expect_type(await store.commit_payout(nobody), Stale, "an update of a payout that does not exist")
    expect(await store.get_payout("acme", "pyo_9") is None, "a stale update inserts nothing")


async def payouts_have_ids_of_their_own(trial: StoreTrial) -> None:
    """An operation id belongs to one payment, one agreement or one payout of its tenant, whoever comes first."""
    store = trial.store
    await trial.reserved("INV-1", operation_id="of-a-payment")
    agreed = agreement_plan(store.now(), "agr_1", operation_id="of-an-agreement")
    expect_type(await store.commit_agreement(agreed), Committed, "an agreement")
    for taken in ("of-a-payment", "of-an-agreement"):
        plan = payout_plan(store.now(), "pyo_1", operation_id=taken)
        expect_type(await store.commit_payout(plan), OperationTaken, f"a payout with the id {taken}")
        expect(await store.get_payout("acme", "pyo_1") is None, "OperationTaken writes nothing")
        expect(await store.find_payout("acme", taken) is None, "and leaves no operation id behind")
    mine = payout_plan(store.now(), "pyo_1", operation_id="of-a-payout")
    expect_type(await store.commit_payout(mine), Committed, "a payout with an id of its own")
    second = payout_plan(store.now(), "pyo_2", operation_id="of-a-payout")
    expect_type(await store.commit_payout(second), OperationTaken, "another payout with the same id")
    conflict = expect_type(
        await trial.reserve("INV-2", operation_id="of-a-payout"), Conflict, "a payment with a payout's id"
    )
    expect(conflict.operation == mine.payout.operation, "Conflict shows the payout's operation")
    expect(await store.get("acme", "pay_INV-2") is None, "Conflict reserves nothing")
    other = agreement_plan(store.now(), "agr_2", operation_id="of-a-payout")
    expect_type(
        await store.commit_agreement(other), OperationTaken, "an agreement with a payout's operation id"
    )
    elsewhere = payout_plan(store.now(), "pyo_1", tenant="other", operation_id="of-a-payout")
    expect_type(await store.commit_payout(elsewhere), Committed, "another tenant's payout with the same ids")


async def payout_ids_race(trial: StoreTrial) -> None:
    """Payments, agreements and payouts that want one operation id at the same moment: one gets it."""
    now = trial.store.now()
    wishes = [trial.wish(f"INV-{n}", operation_id="the-id") for n in range(4)]
    agreed = [agreement_plan(now, f"agr_{n}", operation_id="the-id") for n in range(4)]
    paid_out = [payout_plan(now, f"pyo_{n}", operation_id="the-id") for n in range(4)]
    answers: list[object] = list(
        await asyncio.gather(
            *(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)),
            *(trial.both(n).commit_agreement(plan) for n, plan in enumerate(agreed)),
            *(trial.both(n + 1).commit_payout(plan) for n, plan in enumerate(paid_out)),
        )
    )
    winners = count(answers, Reserved) + count(answers, Committed)
    expect(winners == 1, "exactly one of them gets the operation id")


async def payout_receipts_are_booked_once(trial: StoreTrial) -> None:
    """A receipt that is booked already, to whatever, refuses the whole plan."""
    store = trial.store
    for number in (1, 2):
        plan = payout_plan(store.now(), f"pyo_{number}", operation_id=f"op-{number}")
        expect_type(await store.commit_payout(plan), Committed, "a payout")
    receipt = payout_receipt(store.now(), "TRX-OUT")
    made = payout_plan(store.now(), "pyo_1", version=2, operation_id="op-1", state=OperationState.SUCCEEDED)
    expect_type(await store.commit_payout(replace(made, receipts=(receipt,))), Committed, "a receipt")
    again = payout_plan(store.now(), "pyo_2", version=2, operation_id="op-2", state=OperationState.SUCCEEDED)
    answer = await store.commit_payout(replace(again, receipts=(receipt,)))
    expect_type(answer, ReceiptElsewhere, "the same receipt for another payout")
    kept = await store.get_payout("acme", "pyo_2")
    expect(kept is not None and kept.version == 1, "nothing of that plan was written")
    other = replace(receipt, kind=ReceiptKind.TRANSFER)
    expect_type(
        await store.commit_payout(replace(again, receipts=(other,))), Committed, "a receipt of another kind"
    )
    listed = await store.list_receipts("acme", "bkash", receipt.mode)
    expect(sorted(r.kind for r in listed.rows) == ["payout", "transfer"], "both stand among the receipts")


async def corrections_are_numbered(trial: StoreTrial) -> None:
    """The second correction of a transaction is a fact beside the first: booked once, found by its id, settled for
    itself."""
    store = trial.store
    first = payout_receipt(store.now(), "TRX-OUT")
    facts = [first]
    for no in (1, 2):
        facts += [
            replace(first, kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYOUT, no=no),
            replace(first, kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT, no=no),
        ]
    plan = payout_plan(store.now(), "pyo_1", state=OperationState.SUCCEEDED)
    expect_type(await store.commit_payout(replace(plan, receipts=tuple(facts))), Committed, "five facts")
    found = await store.receipts("acme", "bkash", first.mode, ["TRX-OUT"])
    expect(
        sorted(r.key for r in found) == sorted(r.key for r in facts), "all are found by the transaction's id"
    )
    other = payout_plan(store.now(), "pyo_2", operation_id="op-2", state=OperationState.SUCCEEDED)
    for known in facts:
        answer = await store.commit_payout(replace(other, receipts=(known,)))
        expect(answer == ReceiptElsewhere(known.key, None), "each of them is booked once")
    last = facts[-1]
    third = replace(last, no=3)
    expect_type(
        await store.commit_payout(replace(other, receipts=(third,))), Committed, "and the next is new"
    )
    settled = settlement_plan(last, store.now())
    expect(await store.settle([settled]) == 1, "the last one is settled")
    keys = [one.key for one in (*facts, third)]
    expect(await store.settlements(keys) == (settled.settlement,), "and no other one with it")
    listed = await store.list_receipts("acme", "bkash", first.mode, unsettled=True)
    expect(
        sorted(r.key for r in listed.rows) == sorted(key for key in keys if key != last.key),
        "the others wait for their settlements",
    )


async def payouts_are_listed(trial: StoreTrial) -> None:
    """Oldest first, page after page, of one tenant or all, all or only what is not settled."""
    store, states = trial.store, tuple(OperationState)
    for number, state in enumerate(states):
        tenant = "other" if number == 2 else "acme"
        plan = payout_plan(
            store.now(), f"pyo_{9 - number}", tenant=tenant, operation_id=f"op-{number}", state=state
        )
        expect_type(await store.commit_payout(plan), Committed, "a payout")
        await trial.advance(0.01)
    everybody = [f"pyo_{9 - number}" for number in range(len(states))]
    for limit in (1, 2, 5, 100):
        listed = await all_pages(partial(store.list_payouts, limit=limit))
        expect([p.payout_id for p in listed] == everybody, f"pages of {limit} tile the listing")
        waiting = await all_pages(partial(store.list_payouts, unsettled=True, limit=limit))
        expect(
            {p.state for p in waiting}
            == set(states) - {OperationState.SUCCEEDED, OperationState.DECLINED, OperationState.CANCELLED},
            "only what is not settled",
        )
    mine = await all_pages(partial(store.list_payouts, "acme", limit=2))
    expect([p.payout_id for p in mine] == [key for key in everybody if key != "pyo_7"], "of one tenant")
    odd = replace(payout_receipt(store.now(), "TRX-ODD"), mismatched=True)
    made = payout_plan(store.now(), "pyo_odd", operation_id="op-odd", state=OperationState.SUCCEEDED)
    under_review = replace(made, payout=replace(made.payout, receipts=(odd,)), receipts=(odd,))
    expect_type(await store.commit_payout(under_review), Committed, "a payout under review")
    waiting = await all_pages(partial(store.list_payouts, unsettled=True, limit=100))
    expect("pyo_odd" in [p.payout_id for p in waiting], "one that waits for a person is not settled")
    for wrong in (0, -1, 10**9):
        await expect_raises(ValueError, store.list_payouts(limit=wrong), f"a page of {wrong}")
    await expect_raises(ValueError, store.list_payouts(cursor="x"), "a cursor that no page gave")


async def payouts_are_watched(trial: StoreTrial) -> None:
    """They are leased as payments are, and one that is out and has no watch is found by the sweep."""
    store = trial.store
    plan = payout_plan(store.now(), "pyo_1", state=OperationState.SUBMITTING)
    await store.commit_payout(replace(plan, watch_at=store.now()))
    await trial.advance(0.01)
    watches = await store.lease_watches(limit=10, lease_s=60)
    expect(len(watches) == 1, "what is due is leased")
    (watch,) = watches
    expect((watch.subject_kind, watch.subject_id) == (SubjectKind.PAYOUT, "pyo_1"), "it is leased")
    expect(await store.lease_watches(limit=10, lease_s=60) == (), "once")
    expect(await store.watch_again(watch, None), "and given back")
    expect(await store.next_watch("acme", SubjectKind.PAYOUT, "pyo_1") is None, "for good")
    expect(await store.sweep_watches() == 1, "what is out and has no watch is armed")
    expect(await store.next_watch("acme", SubjectKind.PAYOUT, "pyo_1") is not None, "and has a time")
    reserved = payout_plan(store.now(), "pyo_2", operation_id="op-2", state=OperationState.RESERVED)
    await store.commit_payout(reserved)
    expect(await store.sweep_watches() == 0, "what was never let out waits for its caller")


async def payouts_whole_or_not_at_all(trial: StoreTrial) -> None:
    """A plan that fails half-way leaves nothing behind."""
    store = trial.store
    good = full_payout_plan(store.now())
    unstorable = replace(good.outbox[0], row_id="ent_last", seq=999, document="\ud800")
    foreign = replace(good.payout.operation, tenant="other")
    for why, bad in (
        ("that holds a text no database can store", replace(good, outbox=(*good.outbox, unstorable))),
        ("with a row of another tenant", replace(good, outbox=(replace(good.outbox[0], tenant="other"),))),
        ("with another's attempt", replace(good, attempts=(replace(good.attempts[0], payment_id="pay_1"),))),
        ("with another's receipt", replace(good, receipts=(replace(good.receipts[0], payment_id="pay_1"),))),
        ("with a foreign operation", replace(good, payout=replace(good.payout, operation=foreign))),
        ("that skips a version", replace(good, payout=replace(good.payout, version=9))),
    ):
        await expect_raises(StorageError, store.commit_payout(bad), f"a plan {why} raises StorageError")
        expect(await store.get_payout("acme", "pyo_full") is None, f"a plan {why} keeps no payout")
        expect(not await store.attempts("acme", "pyo_full"), f"a plan {why} keeps no attempt")
        expect((await store.backlog(OutboxKind.LEDGER)).waiting == 0, f"a plan {why} books nothing")
        key = good.receipts[0]
        found = await store.receipts("acme", key.gateway, key.mode, [key.transaction_id])
        expect(found == (), f"a plan {why} keeps no receipt")
    expect_type(await store.commit_payout(good), Committed, "the plan itself, after that")


CHECKS = (
    payouts_come_back,
    payouts_under_versions,
    payouts_have_ids_of_their_own,
    payout_ids_race,
    payout_receipts_are_booked_once,
    corrections_are_numbered,
    payouts_are_listed,
    payouts_are_watched,
    payouts_whole_or_not_at_all,
)

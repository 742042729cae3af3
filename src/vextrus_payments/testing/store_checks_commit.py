"""Checks of commit: whole or not at all, against the versions it was made from, facts only ever added."""

import asyncio
from dataclasses import replace

from vextrus_payments.errors import StorageError
from vextrus_payments.events import EventKind
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.plans import (
    Claim,
    CommitAnswer,
    Committed,
    OrderIdTaken,
    Plan,
    ReceiptElsewhere,
    Reserved,
    Stale,
)
from vextrus_payments.recording import plan_initialize_lost, plan_quarantine
from vextrus_payments.records import (
    Flag,
    OutboxKind,
    OutboxRow,
    PaymentFacts,
    ReceiptKind,
)
from vextrus_payments.testing.store_records import full_attempt, full_plan
from vextrus_payments.testing.store_trial import (
    ACME,
    StoreTrial,
    count,
    expect,
    expect_raises,
    expect_type,
    the_one,
)


async def commit_compares_versions(trial: StoreTrial) -> None:
    """A plan is written once, and only onto the version it was made from."""
    facts = await trial.awaiting("INV-1")
    plan = trial.paid_plan(facts, "TRX1")
    done = expect_type(await trial.store.commit(plan), Committed, "a first commit")
    expect(done.version == plan.payment.version, "Committed tells the new version")
    after = await trial.facts("acme", "pay_INV-1")
    expect_type(await trial.store.commit(plan), Stale, "the same plan again")
    expect_type(
        await trial.store.commit(trial.paid_plan(facts, "TRX2")), Stale, "another plan from the same facts"
    )
    expect(await trial.facts("acme", "pay_INV-1") == after, "a stale plan changes nothing")
    expect(len(after.receipts) == 1, "one receipt is booked")
    insert = replace(plan, payment=replace(plan.payment, version=1), expected_version=0)
    expect_type(await trial.store.commit(insert), Stale, "an insert of a payment that exists")
    nobody = replace(plan.payment, payment_id="pay_none", version=4)
    answer = await trial.store.commit(Plan(payment=nobody, expected_version=3))
    expect_type(answer, Stale, "an update of a payment that does not exist")
    expect(await trial.store.get("acme", "pay_none") is None, "a stale update inserts nothing")


async def commits_race(trial: StoreTrial) -> None:
    """Of many plans made from one snapshot, one is written."""
    facts = await trial.awaiting("INV-1")
    plans = [trial.paid_plan(facts, f"TRX{number}") for number in range(12)]
    answers = await asyncio.gather(*(trial.both(n).commit(plan) for n, plan in enumerate(plans)))
    expect(count(answers, Committed) == 1, "exactly one of twelve plans of one version is written")
    expect(count(answers, Stale) == 11, "the others are Stale")
    after = await trial.facts("acme", "pay_INV-1")
    expect(len(after.receipts) == 1, "one receipt is booked")
    events = await trial.store.events("acme", "pay_INV-1")
    expect(len([e for e in events if e.kind is EventKind.PAID]) == 1, "one payment is announced")


async def guards(trial: StoreTrial) -> None:
    """A plan that relies on other payments is stale once one of them has changed."""
    first = await trial.awaiting("INV-1")
    other = await trial.awaiting("INV-2")
    version = other.payment.version
    for why, guard in (
        ("an older version", ("pay_INV-2", version - 1)),
        ("a newer version", ("pay_INV-2", version + 1)),
        ("a payment that does not exist", ("pay_none", 1)),
    ):
        plan = replace(trial.paid_plan(first, "TRX1"), guards=(guard,))
        expect_type(await trial.store.commit(plan), Stale, f"a guard on {why}")
    foreign = await trial.awaiting("INV-3", replace(ACME, tenant="other"))
    plan = replace(trial.paid_plan(first, "TRX1"), guards=(("pay_INV-3", foreign.payment.version),))
    expect_type(await trial.store.commit(plan), Stale, "a guard on another tenant's payment")
    expect(not (await trial.facts("acme", "pay_INV-1")).receipts, "a plan with a stale guard writes nothing")
    await trial.reserved("INV-1", replace(ACME, tenant="other"))
    alone = replace(trial.paid_plan(first, "TRX1"), guards=(), whole_reference=True)
    more = await trial.reserved("INV-1", operation_id="again", payment_id="pay_more")
    expect_type(await trial.store.commit(alone), Stale, "a plan for a whole reference that has grown")
    named = replace(alone, guards=(("pay_more", more.facts.payment.version), ("pay_INV-2", version)))
    facts = await trial.recorded(named)
    good = replace(with_rows(facts), guards=(("pay_INV-2", version),))
    expect_type(await trial.store.commit(good), Committed, "a guard that holds")


async def a_receipt_is_booked_once(trial: StoreTrial) -> None:
    """A receipt belongs to one payment of its tenant; booked again for the same one, it stays as it was."""
    paid = await trial.paid("INV-1", transaction_id="TRX1")
    second = await trial.awaiting("INV-2")
    answer = await trial.store.commit(trial.paid_plan(second, "TRX1"))
    elsewhere = expect_type(answer, ReceiptElsewhere, "a receipt of another payment")
    expect(elsewhere.payment_id == "pay_INV-1", "ReceiptElsewhere names the payment that has it")
    expect(elsewhere.key == paid.receipts[0].key, "ReceiptElsewhere names the receipt")
    expect(await trial.facts("acme", "pay_INV-2") == second, "ReceiptElsewhere writes nothing")
    expect(not await trial.store.events("acme", "pay_INV-2"), "nor announces anything")
    for name, account in (
        ("tenant", replace(ACME, tenant="other")),
        ("gateway", replace(ACME, gateway="nagad")),
        ("mode", replace(ACME, mode=Mode.LIVE)),
    ):
        reference = f"INV-{name}"
        facts = await trial.paid(reference, account, transaction_id="TRX1")
        expect(len(facts.receipts) == 1, f"the same transaction id in another {name} is another receipt")
    changed = replace(paid.receipts[0], amount=Money("999"))
    kept = await trial.recorded(with_rows(paid, receipts=(changed,)))
    expect(kept.receipts == paid.receipts, "a receipt that is booked is never changed")
    refund = replace(paid.receipts[0], kind=ReceiptKind.REFUND)
    both = await trial.recorded(with_rows(kept, receipts=(refund,)))
    expect(both.receipts == (*paid.receipts, refund), "another kind under the same id is another receipt")


def with_rows(facts: PaymentFacts, **rows: object) -> Plan:
    """A plan that writes these rows beside the payment's next version."""
    version = facts.payment.version
    payment = replace(facts.payment, version=version + 1)
    return replace(Plan(payment=payment, expected_version=version), **rows)  # type: ignore[arg-type]


async def order_ids_of_plans(trial: StoreTrial) -> None:
    """A plan cannot take a gateway order id that another submission has."""
    await trial.reserved("INV-2")
    made = await trial.reserved("INV-1")
    claim = await trial.claimed("acme", made.operation.operation_id)
    plan = plan_initialize_lost(
        claim.facts, claim.operation_id, claim.fence, gateway_order_id="INV-2", now=trial.store.now()
    )
    assert plan is not None
    expect_type(await trial.store.commit(plan), OrderIdTaken, "a fresh submission under a taken order id")
    expect(await trial.facts("acme", "pay_INV-1") == claim.facts, "OrderIdTaken writes nothing")
    plan = plan_initialize_lost(
        claim.facts, claim.operation_id, claim.fence, gateway_order_id="INV-1-2", now=trial.store.now()
    )
    after = await trial.recorded(plan)
    expect([s.submission_no for s in after.submissions] == [1, 2], "both submissions are kept, in order")
    expect(after.submission.gateway_order_id == "INV-1-2", "the fresh one is current")
    number = await trial.store.next_order_number("acme", "bkash", Mode.SANDBOX, "INV-1")
    expect(number == 3, "a fresh submission counts as an order number")
    found = await trial.store.find("acme", gateway_order_id="INV-1")
    expect([f.payment.payment_id for f in found] == ["pay_INV-1"], "a superseded order id is still found")


async def whole_or_not_at_all(trial: StoreTrial) -> None:
    """A plan that fails half-way leaves nothing behind: no receipt without entries, no state without its receipt."""
    facts = await trial.awaiting("INV-1")
    good = trial.paid_plan(facts, "TRX1")
    unstorable = replace(good.outbox[-1], row_id="evt_last", seq=999, document="\ud800")
    other = replace(good.operations[0], payment_id="pay_other")
    foreign = replace(good.receipts[0], tenant="other")
    for why, bad in (
        ("that holds a text no database can store", replace(good, outbox=(*good.outbox, unstorable))),
        ("with a row of another payment", replace(good, operations=(*good.operations, other))),
        ("with a row of another tenant", replace(good, receipts=(*good.receipts, foreign))),
        ("that skips a version", replace(good, payment=replace(good.payment, version=99))),
    ):
        await expect_raises(StorageError, trial.store.commit(bad), f"a plan {why} raises StorageError")
        expect(await trial.facts("acme", "pay_INV-1") == facts, f"a plan {why} changes no facts")
        expect(not await trial.store.events("acme", "pay_INV-1"), f"a plan {why} announces nothing")
        backlog = await trial.store.backlog(OutboxKind.LEDGER)
        expect((backlog.waiting, backlog.parked) == (0, 0), f"a plan {why} posts nothing")
        expect(not await trial.store.find("acme", transaction_id="TRX1"), f"a plan {why} books nothing")
    expect_type(await trial.store.commit(good), Committed, "the plan itself, after that")


async def an_operation_stays_with_its_payment(trial: StoreTrial) -> None:
    """A plan cannot take over an operation id that another payment has."""
    first = await trial.paid("INV-1")
    refund = await trial.store.reserve(trial.refund_of(first, "refund-1", "10"))
    expect_type(refund, Reserved, "a refund")
    second = await trial.awaiting("INV-2")
    operation = replace(second.operations[0], operation_id="refund-1")
    answer = await trial.store.commit(with_rows(second, operations=(operation,)))
    expect_type(answer, Stale, "a plan with another payment's operation id")
    stored = await trial.store.get_operation("acme", "refund-1")
    expect(stored is not None and stored[1].payment_id == "pay_INV-1", "the operation stays where it was")


async def events_and_entries_once(trial: StoreTrial) -> None:
    """Events and outbox rows that are there already are left as they are, delivered ones included."""
    facts = await trial.awaiting("INV-1")
    plan = trial.paid_plan(facts, "TRX1")
    after = await trial.recorded(plan)
    row = the_one(await trial.store.lease(OutboxKind.EVENT, limit=10, lease_s=60))
    await trial.store.ack(row)
    events = await trial.store.events("acme", "pay_INV-1")
    changed = tuple(replace(event, after="changed") for event in plan.events)
    moved = tuple(replace(row, seq=row.seq + 50, document="{}") for row in plan.outbox)
    await trial.recorded(with_rows(after, events=changed, outbox=moved))
    expect(await trial.store.events("acme", "pay_INV-1") == events, "an event that exists is not changed")
    again = await trial.store.lease(OutboxKind.EVENT, limit=10, lease_s=60)
    expect(not again, "a delivered row is not delivered again because it was written again")
    entries = await trial.store.backlog(OutboxKind.LEDGER)
    expect(
        entries.waiting == len([r for r in plan.outbox if r.kind is OutboxKind.LEDGER]),
        "an entry that exists is not posted twice",
    )


async def every_field_comes_back(trial: StoreTrial) -> None:
    """What is written is what is read: every field of every record, to the microsecond and the paisa."""
    plan = full_plan(trial.store.now())
    expect_type(await trial.store.commit(plan), Committed, "a plan with every field set")
    facts = await trial.facts("acme", "pay_full")
    expect(facts.payment == plan.payment, "the payment comes back as it was written")
    expect(facts.submissions == plan.submissions, "the submissions come back as they were written")
    expect(facts.operations == plan.operations, "the operations come back as they were written")
    expect(facts.receipts == plan.receipts, "the receipts come back as they were written")
    expect(await trial.store.events("acme", "pay_full") == plan.events, "so do the events")
    expect(await trial.store.attempts("acme", "pay_full") == plan.attempts, "so do the attempts")
    rows = await trial.store.lease(OutboxKind.LEDGER, limit=10, lease_s=60)
    expect(tuple(replace(row, leased_until=None) for row in rows) == plan.outbox, "so do the outbox rows")


async def attempts_are_history(trial: StoreTrial) -> None:
    """Attempts are written over by their own fence only, in the order in which they were opened."""
    facts = await trial.awaiting("INV-1")
    first = expect_type(await trial.claim_execute(facts), Claim, "a first claim")
    await trial.store.release(first)
    second = expect_type(await trial.claim_execute(facts), Claim, "a second claim")
    opened = await trial.store.attempts("acme", "pay_INV-1")
    expect([a.fence for a in opened][-2:] == [first.fence, second.fence], "each claim opens an attempt")
    log = replace(
        full_attempt(trial.store.now()),
        operation_id=first.operation_id,
        payment_id="pay_INV-1",
        fence=first.fence,
    )
    await trial.store.note_attempt(log)
    await trial.store.note_attempt(log)
    noted = await trial.store.attempts("acme", "pay_INV-1")
    expect(len(noted) == len(opened), "a log replaces the attempt it belongs to, however stale its fence")
    expect(noted[-2:] == (log, opened[-1]), "and stays in its place")
    expect(await trial.facts("acme", "pay_INV-1") == second.facts, "an attempt's log moves no version")
    expect(not await trial.store.attempts("other", "pay_INV-1"), "attempts are keyed by tenant")


async def tenants_never_meet(trial: StoreTrial) -> None:
    """The same ids under two tenants are two of everything."""
    other = replace(ACME, tenant="other", amount=Money("7"))
    mine = await trial.paid("INV-1", transaction_id="TRX1")
    theirs = await trial.paid("INV-1", other, transaction_id="TRX1")
    expect(await trial.facts("acme", "pay_INV-1") == mine, "another tenant's commits leave a payment alone")
    for tenant, facts in (("acme", mine), ("other", theirs)):
        expect({r.tenant for r in facts.receipts} == {tenant}, "receipts are keyed by tenant")
        expect({o.tenant for o in facts.operations} == {tenant}, "operations are keyed by tenant")
        find = trial.store.find
        for found in (
            await find(tenant, merchant_reference="INV-1"),
            await find(tenant, gateway_order_id="INV-1"),
            await find(tenant, gateway_reference="GR/pay_INV-1"),
            await find(tenant, transaction_id="TRX1"),
        ):
            expect([f.payment.tenant for f in found] == [tenant], "find stays within the tenant")
        events = await trial.store.events(tenant, "pay_INV-1")
        expect({e.tenant for e in events} == {tenant}, "events are keyed by tenant")
        listed = await trial.store.list(tenant)
        expect([p.tenant for p in listed.rows] == [tenant], "list stays within the tenant")
    everybody = await trial.store.list()
    expect({p.tenant for p in everybody.rows} == {"acme", "other"}, "without a tenant, list shows all")
    quarantined = await trial.recorded(plan_quarantine(theirs, trial.store.now(), "TRX9"))
    expect(Flag.QUARANTINED in quarantined.payment.flags, "one tenant's payment is quarantined")
    refund = await trial.store.reserve(trial.refund_of(mine, "refund-1", "1"))
    expect_type(refund, Reserved, "a refund beside another tenant's quarantined payment of the same id")
    answers: list[CommitAnswer] = []
    for facts in (await trial.facts("acme", "pay_INV-1"), quarantined):
        row = OutboxRow(
            tenant=facts.payment.tenant,
            row_id="the same id",
            subject="event/pay_INV-1",
            seq=100,
            kind=OutboxKind.EVENT,
            document="{}",
            created_at=trial.store.now(),
        )
        answers.append(await trial.store.commit(with_rows(facts, outbox=(row,))))
    expect(count(answers, Committed) == 2, "two tenants may have outbox rows of one id")
    leased = await trial.store.lease(OutboxKind.EVENT, limit=50, lease_s=60)
    expect({row.tenant for row in leased} == {"acme", "other"}, "one tenant's queue does not block another's")


CHECKS = (
    commit_compares_versions,
    commits_race,
    guards,
    a_receipt_is_booked_once,
    order_ids_of_plans,
    whole_or_not_at_all,
    an_operation_stays_with_its_payment,
    events_and_entries_once,
    every_field_comes_back,
    attempts_are_history,
    tenants_never_meet,
)

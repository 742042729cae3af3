"""Checks of callers who act at the same moment on what they read before: one of them is right, and readers see whole
states only."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any

from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Claim,
    Committed,
    OrderIdTaken,
    ReceiptElsewhere,
    Refused,
    Reserved,
    SiblingLive,
    Stale,
)
from vextrus_payments.recording import plan_initialize_lost
from vextrus_payments.records import OperationKind, OperationState, OutboxKind, PaymentFacts, PaymentState
from vextrus_payments.states import refundable
from vextrus_payments.testing.store_checks_commit import with_rows
from vextrus_payments.testing.store_records import full_attempt
from vextrus_payments.testing.store_trial import LONG, StoreTrial, count, expect, expect_type


async def _at_once(calls: Sequence[Awaitable[Any]]) -> list[Any]:
    """What all of them answer that were begun before any had answered; an error stands for itself."""
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def checkpoints_race(trial: StoreTrial) -> None:
    """Evidence that comes in at the same moment is all kept."""
    facts = await trial.awaiting("INV-1")
    claim = expect_type(await trial.claim_execute(facts), Claim, "a claim")
    steps = [Evidence(f"step-{number}", {"n": number}) for number in range(8)]
    answers = await _at_once([trial.both(n).checkpoint(claim, step) for n, step in enumerate(steps)])
    expect(answers == [None] * 8, "eight checkpoints of the claim's holder are all taken")
    after = await trial.facts("acme", "pay_INV-1")
    operation = after.operation(claim.operation_id)
    assert operation is not None
    kept = sorted(operation.evidence, key=lambda evidence: evidence.step)
    expect(kept == steps, "and none is lost")
    expect(after.payment.version == claim.facts.payment.version + 8, "each moves the version on")


async def releases_race(trial: StoreTrial) -> None:
    """A claim is given back once; the next claim is nobody's to give back but its holder's."""
    facts = await trial.awaiting("INV-1")
    first = expect_type(await trial.claim_execute(facts), Claim, "a first claim")
    given = await _at_once([trial.both(n).release(first) for n in range(8)])
    expect(sorted(given) == [False] * 7 + [True], "exactly one of eight gives the claim back")
    answers = await _at_once(
        [
            trial.both(n).release(first)
            if n % 2
            else trial.both(n // 2).claim("acme", first.operation_id, LONG)
            for n in range(16)
        ]
    )
    expect(count(answers, Claim) == 1, "exactly one of eight claims it again")
    expect(answers.count(False) == 8, "and no late release takes that from its holder")
    stored = await trial.store.get_operation("acme", first.operation_id)
    assert stored is not None
    expect(stored[1].state is OperationState.SUBMITTING, "it is submitting under the new fence")


async def receipts_race(trial: StoreTrial) -> None:
    """One transaction id for several payments at the same moment: one books it."""
    payments = [await trial.awaiting(f"INV-{number}") for number in range(6)]
    plans = [trial.paid_plan(facts, "TRX1") for facts in payments]
    answers = await _at_once([trial.both(n).commit(plan) for n, plan in enumerate(plans)])
    expect(count(answers, Committed) == 1, "exactly one of six payments books the receipt")
    expect(count(answers, ReceiptElsewhere) == 5, "the others hear that it is booked elsewhere")
    found = await trial.store.find("acme", transaction_id="TRX1")
    expect(len(found) == 1 and found[0].payment.state is PaymentState.PAID, "one payment is paid")
    told = {answer.payment_id for answer in answers if isinstance(answer, ReceiptElsewhere)}
    expect(told == {found[0].payment.payment_id}, "and it is the one they were told of")


async def order_ids_of_plans_race(trial: StoreTrial) -> None:
    """Fresh submissions of several payments that want one order id at the same moment: one gets it."""
    plans = []
    for number in range(6):
        made = await trial.reserved(f"INV-{number}")
        claim = await trial.claimed("acme", made.operation.operation_id)
        plan = plan_initialize_lost(
            claim.facts, claim.operation_id, claim.fence, gateway_order_id="WANTED", now=trial.store.now()
        )
        assert plan is not None
        plans.append(plan)
    answers = await _at_once([trial.both(n).commit(plan) for n, plan in enumerate(plans)])
    expect(count(answers, Committed) == 1, "exactly one of six submissions gets the order id")
    expect(count(answers, OrderIdTaken) == 5, "the others hear that it is taken")
    expect(len(await trial.store.find("acme", gateway_order_id="WANTED")) == 1, "it stands for one payment")


async def guards_race(trial: StoreTrial) -> None:
    """Two plans that each rely on the other's payment staying as it is: one is written."""
    for number in range(3):
        one = await trial.awaiting(f"INV-{number}-a")
        two = await trial.awaiting(f"INV-{number}-b")
        plans = [
            replace(
                trial.paid_plan(mine, f"TRX{mine.payment.payment_id}"),
                guards=((other.payment.payment_id, other.payment.version),),
            )
            for mine, other in ((one, two), (two, one))
        ]
        answers = await _at_once([trial.both(n).commit(plan) for n, plan in enumerate(plans)])
        expect(count(answers, Committed) == 1, "exactly one of two that guard each other is written")
        expect(count(answers, Stale) == 1, "the other is Stale")


async def whole_references_race(trial: StoreTrial) -> None:
    """Booking a payment as its reference's only one, beside a reservation of another: one of the two."""
    for number in range(3):
        reference = f"INV-{number}"
        facts = await trial.awaiting(reference)
        plan = replace(trial.paid_plan(facts, f"TRX{number}"), whole_reference=True)
        wish = trial.wish(reference, operation_id=f"again-{number}", payment_id=f"pay_again_{number}")
        answers = await _at_once([trial.store.commit(plan), trial.other.reserve(wish)])
        if isinstance(answers[0], Committed):
            expect_type(answers[1], SiblingLive, "a reservation after its sibling was paid")
        else:
            expect_type(answers[0], Stale, "a plan for a whole reference that has grown")
            expect_type(answers[1], Reserved, "a reservation before its sibling was paid")


async def one_snapshot_many_verbs(trial: StoreTrial) -> None:
    """A commit, a checkpoint, a release and refunds, all from what was read before: what stands agrees with itself."""
    facts = await trial.awaiting("INV-1")
    claim = expect_type(await trial.claim_execute(facts), Claim, "a claim")
    await _at_once(
        [
            trial.store.commit(trial.paid_plan(claim.facts, "TRX1")),
            trial.other.release(claim),
            trial.store.checkpoint(claim, Evidence("step")),
            trial.other.claim("acme", claim.operation_id, LONG),
            trial.store.note_attempt(replace(full_attempt(trial.store.now()), payment_id="pay_INV-1")),
            trial.other.commit(trial.paid_plan(claim.facts, "TRX2")),
        ]
    )
    fresh = await trial.facts("acme", "pay_INV-1")
    expect(len(fresh.receipts) <= 1, "two plans of one snapshot book one receipt at most")
    _whole(fresh)
    if fresh.payment.state is not PaymentState.PAID:
        fresh = await trial.recorded(trial.paid_plan(fresh, "TRX1"))
    wishes = [trial.refund_of(fresh, f"refund-{number}", "40") for number in range(4)]
    answers = await _at_once(
        [
            *(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)),
            trial.other.commit(with_rows(fresh)),
            *(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)),
        ]
    )
    expect(count(answers, Reserved) == 2, "two refunds of 40 fit into 100, whatever else is committed")
    expect(count(answers, Refused) >= 2, "the others do not")
    expect(str(refundable(await trial.facts("acme", "pay_INV-1"))) == "20.00 BDT", "20 are left to refund")


def _whole(facts: PaymentFacts) -> None:
    """Complain about a state that no commit has written."""
    paid = facts.payment.state is PaymentState.PAID
    settled = any(
        o.kind is OperationKind.EXECUTE and o.state is OperationState.SUCCEEDED for o in facts.operations
    )
    expect(
        paid == bool(facts.receipts) == settled,
        "state, receipt and operation are seen together or not at all",
    )


async def readers_see_whole_states(trial: StoreTrial) -> None:
    """Whoever reads while others write sees a payment before a commit or after it, never in between."""
    store = trial.store
    facts = [await trial.awaiting(f"INV-{number}") for number in range(6)]
    done = asyncio.Event()

    async def write() -> None:
        for each in facts:
            await store.commit(trial.paid_plan(each, f"TRX{each.payment.payment_id}"))
        done.set()

    async def read(number: int) -> None:
        reader = trial.both(number)
        for turn in range(200):
            mine = facts[(number + turn) % len(facts)].payment
            seen = await reader.get("acme", mine.payment_id)
            assert seen is not None
            _whole(seen)
            found = await reader.find("acme", transaction_id=f"TRX{mine.payment_id}")
            for each in found:
                _whole(each)
            events = await reader.events("acme", mine.payment_id)
            if found:
                expect(len(events) > 0, "what is booked is announced")
            if done.is_set():
                return

    await asyncio.gather(write(), *(read(number) for number in range(4)))
    backlog = await store.backlog(OutboxKind.EVENT)
    expect(backlog.waiting == len(facts), "and every payment has its news")


async def attempts_race(trial: StoreTrial) -> None:
    """Logs of one attempt that are written at the same moment leave one attempt, whole."""
    await trial.awaiting("INV-1")
    logs = [
        replace(full_attempt(trial.store.now()), payment_id="pay_INV-1", result=f"result-{number}")
        for number in range(8)
    ]
    answers = await _at_once([trial.both(n).note_attempt(log) for n, log in enumerate(logs)])
    expect(answers == [None] * 8, "eight logs are taken")
    kept = [a for a in await trial.store.attempts("acme", "pay_INV-1") if a.operation_id == "op/full"]
    expect(len(kept) == 1 and kept[0] in logs, "one of them stands")


CHECKS = (
    checkpoints_race,
    releases_race,
    receipts_race,
    order_ids_of_plans_race,
    guards_race,
    whole_references_race,
    one_snapshot_many_verbs,
    readers_see_whole_states,
    attempts_race,
)

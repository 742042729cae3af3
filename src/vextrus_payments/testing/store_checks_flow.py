"""Checks of reserve, claim, checkpoint and release: one intent, one right to submit, one charge, no refund too many."""

import asyncio
from dataclasses import replace
from datetime import timedelta

from vextrus_payments.errors import StaleStateError
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money, total
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Busy,
    Claim,
    Conflict,
    OrderIdTaken,
    Refused,
    Reserved,
    ReserveOperation,
    Same,
    Settled,
    SiblingLive,
    Stale,
    Unresolved,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import plan_lost, plan_quarantine, plan_refused
from vextrus_payments.records import OperationKind, OperationState
from vextrus_payments.states import captured, refundable
from vextrus_payments.testing.store_trial import (
    ACME,
    LONG,
    SHORT,
    SHORT_IS_OVER_S,
    StoreTrial,
    count,
    expect,
    expect_raises,
    expect_type,
)

_NO = Reason(code=ReasonCode.INSUFFICIENT_BALANCE, gateway_code="2023")


async def reserve_once(trial: StoreTrial) -> None:
    """An operation id is one intent: again the same, or a conflict; never a second payment."""
    made = await trial.reserved("INV-1")
    expect(made.facts.payment.version == 1, "a fresh payment has version 1")
    expect(made.facts.submission.gateway_order_id == "INV-1", "the first order id is the reference")
    again = expect_type(await trial.reserve("INV-1", payment_id="pay_other"), Same, "the same intent again")
    expect(again.facts.payment.payment_id == made.facts.payment.payment_id, "Same answers the first payment")
    expect(again.operation == made.operation, "Same answers the first operation")
    more = replace(ACME, amount=Money("101"))
    answer = await trial.reserve("INV-1", more)
    expect_type(answer, Conflict, "the same operation id with another amount")
    expect(await trial.store.get("acme", "pay_other") is None, "Same reserves no payment")
    stolen = ReserveOperation(
        tenant="acme",
        operation_id="INV-1/pay",
        kind=OperationKind.EXECUTE,
        payment_id=made.facts.payment.payment_id,
        digest="execute",
    )
    expect_type(await trial.store.reserve(stolen), Conflict, "an initialize's id for an execute")
    taken = await trial.reserve("INV-9", payment_id=made.facts.payment.payment_id)
    expect_type(taken, Refused, "a payment id that exists, with a new operation id")
    missing = replace(stolen, operation_id="execute/none/1", payment_id="pay_none")
    refused = expect_type(await trial.store.reserve(missing), Refused, "an operation on no payment")
    expect(refused.field == "payment_id", "Refused names the field payment_id")


async def reserve_races(trial: StoreTrial) -> None:
    """Of many reservations of one operation id at once, one is the first; all others hear of it."""
    wishes = [trial.wish("INV-1", payment_id=f"pay_{number}") for number in range(20)]
    answers = await asyncio.gather(*(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)))
    expect(count(answers, Reserved) == 1, "exactly one of 20 reservations is Reserved")
    expect(count(answers, Same) == 19, "the other 19 are Same")
    ids = {a.facts.payment.payment_id for a in answers if isinstance(a, Reserved | Same)}
    expect(len(ids) == 1, "all 20 name the same payment")
    expect(len(await trial.store.find("acme", merchant_reference="INV-1")) == 1, "there is one payment")
    amounts = [replace(ACME, amount=Money(number)) for number in range(1, 21)]
    answers = await asyncio.gather(
        *(
            trial.both(n).reserve(trial.wish("INV-2", each, payment_id=f"pay_2_{n}"))
            for n, each in enumerate(amounts)
        )
    )
    expect(count(answers, Reserved) == 1, "exactly one of 20 intents under one operation id is Reserved")
    expect(count(answers, Conflict) == 19, "the other 19 are Conflict")


async def one_charge_per_reference(trial: StoreTrial) -> None:
    """No second charge beside a payment that is paid or may be, whatever the gateway; elsewhere nothing in the way."""
    first = await trial.awaiting("INV-1")
    elsewhere = replace(ACME, gateway="nagad")
    second = await trial.awaiting("INV-1", elsewhere, operation_id="again", payment_id="pay_again")
    claim = expect_type(await trial.claim_execute(first), Claim, "the first execute")
    for state in ("submitting", "unknown"):
        live = expect_type(
            await trial.reserve("INV-1", operation_id="third", payment_id="pay_third"),
            SiblingLive,
            f"a reservation beside a payment that is {state}",
        )
        expect(
            (live.payment_id, live.paid) == (first.payment.payment_id, False),
            "it may turn out paid: not paid",
        )
        answer = await trial.claim_execute(second)
        expect_type(answer, SiblingLive, f"an execute beside a payment that is {state}")
        if state == "submitting":
            plan = plan_lost(claim.facts, claim.operation_id, claim.fence, trial.store.now())
            first = await trial.recorded(plan)
    await trial.recorded(trial.paid_plan(first, "TRX1"))
    beside = await trial.reserve("INV-1", operation_id="third", payment_id="pay_third")
    live = expect_type(beside, SiblingLive, "a reservation beside a payment that is paid")
    expect(live.paid, "SiblingLive says that it is paid")
    live = expect_type(await trial.claim_execute(second), SiblingLive, "an execute beside a paid payment")
    expect(live.paid, "SiblingLive says that it is paid")
    on_purpose = replace(ACME, allow_repeat=True)
    repeated = await trial.awaiting("INV-1", on_purpose, operation_id="third", payment_id="pay_third")
    expect_type(await trial.claim_execute(repeated), Claim, "an execute with allow_repeat")
    await trial.awaiting("INV-1", replace(ACME, tenant="other"))


async def siblings_that_do_not_stand_in_the_way(trial: StoreTrial) -> None:
    """A declined payment leaves its reference free; a quarantined one does not."""
    facts = await trial.awaiting("INV-1")
    claim = expect_type(await trial.claim_execute(facts), Claim, "a first execute")
    plan = plan_refused(claim.facts, claim.operation_id, claim.fence, _NO, final=True, now=trial.store.now())
    facts = await trial.recorded(plan)
    second = await trial.awaiting("INV-1", operation_id="again", payment_id="pay_again")
    await trial.recorded(plan_quarantine(second, trial.store.now(), "TRX0"))
    answer = await trial.reserve("INV-1", operation_id="third", payment_id="pay_third")
    expect_type(answer, SiblingLive, "a reservation beside a quarantined payment")


async def executes_of_one_reference_race(trial: StoreTrial) -> None:
    """Two tabs with a payment each: one execute goes out."""
    payments = [
        await trial.awaiting("INV-1", operation_id=f"tab-{n}", payment_id=f"pay_{n}") for n in range(8)
    ]
    answers = await asyncio.gather(
        *(
            trial.both(n).claim("acme", trial.execute_of(facts).operation_id, LONG)
            for n, facts in enumerate(payments)
        )
    )
    expect(count(answers, Claim) == 1, "exactly one of eight executes of one reference is claimed")
    expect(count(answers, SiblingLive) == 7, "the other seven are withheld")


async def order_ids_are_unique(trial: StoreTrial) -> None:
    """A gateway order id stands for one submission per tenant, gateway and mode, whatever made it."""
    repeat = replace(ACME, allow_repeat=True)
    await trial.reserved("INV-8812-2", repeat)
    await trial.reserved("INV-8812", repeat)
    number = await trial.store.next_order_number("acme", "bkash", Mode.SANDBOX, "INV-8812")
    expect(number == 2, "the next order number is 1 + the submissions so far")
    wish = trial.wish("INV-8812", repeat, operation_id="again", payment_id="pay_again")
    expect_type(await trial.store.reserve(wish), OrderIdTaken, "INV-8812-2, which another reference has")
    expect(await trial.store.get("acme", "pay_again") is None, "OrderIdTaken reserves nothing")
    made = expect_type(await trial.store.reserve(replace(wish, skip=1)), Reserved, "the number after it")
    expect(made.facts.submission.gateway_order_id == "INV-8812-3", "skip=1 passes one number over")
    for name, account in (
        ("gateway", replace(repeat, gateway="nagad")),
        ("mode", replace(repeat, mode=Mode.LIVE)),
        ("tenant", replace(repeat, tenant="other")),
    ):
        made = await trial.reserved("INV-8812", account, operation_id=name, payment_id=f"pay_{name}")
        order_id = made.facts.submission.gateway_order_id
        expect(order_id == "INV-8812", f"order ids start afresh in another {name}")
        number = await trial.store.next_order_number(
            account.tenant, account.gateway, account.mode, "INV-8812"
        )
        expect(number == 2, f"order numbers are counted per {name}")
    fresh = await trial.store.next_order_number("acme", "bkash", Mode.SANDBOX, "nothing yet")
    expect(fresh == 1, "the first order number is 1")


async def order_ids_race(trial: StoreTrial) -> None:
    """Reservations of one reference at once never share an order id."""
    repeat = replace(ACME, allow_repeat=True)
    wishes = [trial.wish("INV-1", repeat, operation_id=f"pay-{n}", payment_id=f"pay_{n}") for n in range(12)]
    answers = await asyncio.gather(*(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)))
    made = [a.facts.submission.gateway_order_id for a in answers if isinstance(a, Reserved)]
    expect(len(made) == 12, "every reservation with allow_repeat is taken")
    expect(len(set(made)) == 12, "twelve reservations have twelve order ids")


async def fifty_claims(trial: StoreTrial) -> None:
    """Of fifty callers at once, one may submit."""
    facts = await trial.awaiting("INV-1")
    operation_id = trial.execute_of(facts).operation_id
    answers = await asyncio.gather(*(trial.both(n).claim("acme", operation_id, LONG) for n in range(50)))
    expect(count(answers, Claim) == 1, "exactly one of 50 claims is answered Claim")
    expect(count(answers, Busy) == 49, "the other 49 are answered Busy")
    expect(all(a.retry_after_s >= 1 for a in answers if isinstance(a, Busy)), "Busy says when to ask again")


async def claim_answers(trial: StoreTrial) -> None:
    """A claim ends in time, and is then a question for the gateway; what is settled is settled."""
    expect_type(await trial.store.claim("acme", "nothing", LONG), Refused, "a claim of no operation")
    facts = await trial.awaiting("INV-1")
    before = trial.store.now()
    claim = expect_type(await trial.claim_execute(facts, SHORT), Claim, "a first claim")
    expect(
        before + timedelta(seconds=1) <= claim.send_by <= trial.store.now() + timedelta(seconds=1),
        "send_by is now + send_window_s on the store's clock",
    )
    stored = await trial.store.get_operation("acme", claim.operation_id)
    assert stored is not None
    expect(stored[1].state is OperationState.SUBMITTING, "a claim is stored before it is answered")
    expect((stored[1].fence, stored[1].send_by) == (claim.fence, claim.send_by), "so are fence and send_by")
    expect(claim.facts.payment.version == stored[0].payment.version, "the claim's facts are the newest")
    expect_type(await trial.claim_execute(facts, SHORT), Busy, "a second claim while the first is out")
    await trial.advance(SHORT_IS_OVER_S)
    expect_type(await trial.claim_execute(facts, SHORT), Unresolved, "a claim of one that never came back")
    attempts = await trial.store.attempts("acme", facts.payment.payment_id)
    mine = [(a.fence, a.send_by) for a in attempts if a.operation_id == claim.operation_id]
    expect(mine == [(claim.fence, claim.send_by)], "the claim opened an attempt")
    await trial.recorded(trial.paid_plan(stored[0], "TRX1"))
    settled = expect_type(await trial.claim_execute(facts, SHORT), Settled, "a claim of what succeeded")
    expect(settled.operation.transaction_id == "TRX1", "Settled shows the settled operation")


async def fences(trial: StoreTrial) -> None:
    """Only the holder of the latest fence checkpoints or gives back; evidence is of one attempt."""
    facts = await trial.awaiting("INV-1")
    first = expect_type(await trial.claim_execute(facts), Claim, "a first claim")
    baseline = Evidence("refund.baseline", {"listed": ["A", "B"], "count": 2, "none": None})
    await trial.store.checkpoint(first, baseline)
    await trial.store.checkpoint(first, Evidence("second"))
    stored = await trial.store.get_operation("acme", first.operation_id)
    assert stored is not None
    expect(stored[1].evidence == (baseline, Evidence("second")), "checkpoints are appended in order")
    expect(stored[0].payment.version == first.facts.payment.version + 2, "a checkpoint moves the version on")
    stale = await trial.store.commit(trial.paid_plan(first.facts, "TRX1"))
    expect_type(stale, Stale, "a plan from before the checkpoint")
    expect(await trial.store.release(first), "the latest fence may give back")
    expect(not await trial.store.release(first), "what was given back is not given back twice")
    second = expect_type(await trial.claim_execute(facts), Claim, "a claim after a release")
    expect(second.fence > first.fence, "fences grow")
    operation = second.facts.operation(second.operation_id)
    expect(operation is not None and operation.evidence == (), "a new attempt starts without evidence")
    expect(not await trial.store.release(first), "a stale fence gives nothing back")
    await expect_raises(
        StaleStateError,
        trial.store.checkpoint(first, Evidence("late")),
        "a checkpoint under a stale fence raises StaleStateError",
    )
    paid = await trial.recorded(trial.paid_plan(second.facts, "TRX1"))
    await expect_raises(
        StaleStateError,
        trial.store.checkpoint(second, Evidence("late")),
        "a checkpoint of a settled operation raises StaleStateError",
    )
    expect(not await trial.store.release(second), "a settled operation is not given back")
    now = await trial.facts("acme", "pay_INV-1")
    expect(now == paid, "what was refused changed nothing")


async def refunds_never_exceed(trial: StoreTrial) -> None:
    """The sum of all reserved refunds stays within what was captured, however many ask at once."""
    facts = await trial.paid("INV-1")
    wishes = [trial.refund_of(facts, f"refund-{number}", "30") for number in range(10)]
    answers = await asyncio.gather(*(trial.both(n).reserve(wish) for n, wish in enumerate(wishes)))
    expect(count(answers, Reserved) == 3, "exactly three refunds of 30 fit into 100")
    expect(count(answers, Refused) == 7, "the other seven are Refused")
    rest = expect_type(
        await trial.store.reserve(trial.refund_of(facts, "rest", None)), Reserved, "a refund of the rest"
    )
    expect(rest.operation.amount == Money("10"), "without an amount a refund takes what is left")
    none = await trial.store.reserve(trial.refund_of(facts, "more", None))
    expect_type(none, Refused, "a refund of nothing")
    facts = await trial.facts("acme", facts.payment.payment_id)
    reserved = total(
        (o.amount for o in facts.operations if o.kind is OperationKind.REFUND and o.amount), "BDT"
    )
    expect(reserved == captured(facts), "reserved refunds sum up to what was captured")
    expect(not refundable(facts), "nothing is left to refund")
    unpaid = await trial.awaiting("INV-2")
    answer = await trial.store.reserve(trial.refund_of(unpaid, "early", "1"))
    expect_type(answer, Refused, "a refund of a payment without a receipt")


async def one_refund_at_a_time(trial: StoreTrial) -> None:
    """Where refunds cannot be told apart at the gateway, one is out at a time; an unknown one still counts as out."""
    facts = await trial.paid("INV-1")
    for number in range(6):
        wish = trial.refund_of(facts, f"refund-{number}", "10")
        expect_type(await trial.store.reserve(wish), Reserved, "a refund that fits")
    answers = await asyncio.gather(
        *(trial.both(n).claim("acme", f"refund-{n}", LONG) for n in range(4)),
    )
    expect(count(answers, Claim) == 1, "exactly one of four refunds is claimed")
    expect(count(answers, Busy) == 3, "the others are Busy")
    (claim,) = (answer for answer in answers if isinstance(answer, Claim))
    await trial.recorded(plan_lost(claim.facts, claim.operation_id, claim.fence, trial.store.now()))
    (other, *_) = (f"refund-{n}" for n in range(4) if f"refund-{n}" != claim.operation_id)
    expect_type(await trial.store.claim("acme", other, LONG), Busy, "a refund beside an unknown one")
    side_by_side = replace(LONG, one_refund_at_a_time=False)
    answers = await asyncio.gather(
        *(trial.both(n).claim("acme", f"refund-{n}", side_by_side) for n in (4, 5)),
    )
    expect(count(answers, Claim) == 2, "with refunds that can be told apart both are claimed")


CHECKS = (
    reserve_once,
    reserve_races,
    one_charge_per_reference,
    siblings_that_do_not_stand_in_the_way,
    executes_of_one_reference_race,
    order_ids_are_unique,
    order_ids_race,
    fifty_claims,
    claim_answers,
    fences,
    refunds_never_exceed,
    one_refund_at_a_time,
)

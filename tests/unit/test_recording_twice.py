"""One page that was paid twice, and money that the gateway takes for risky: booked, marked, announced."""

import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.unit.plan_world import AMOUNT, World, shown
from tests.unit.test_recording import entries, kinds, out_world
from vextrus_payments.events import EventKind
from vextrus_payments.methods import MethodKind, PaymentMethod
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Paid, Review
from vextrus_payments.plans import Plan
from vextrus_payments.recording import Seen, plan_snapshot
from vextrus_payments.records import Flag, PaymentState
from vextrus_payments.snapshots import Mismatch, PaymentSnapshot, SnapshotState
from vextrus_payments.states import outcome_of, payment_receipts

VISA = PaymentMethod(kind=MethodKind.CARD, name="visa", raw="VISA-Dutch Bangla")
FIRST, SECOND = shown(), shown(transaction_id="TRX2")
#: A picture of what is paid on a page that its payer completes names how soon to look again.
AGAIN_S = 3600


def looked(world: World, snapshot: PaymentSnapshot) -> Plan | None:
    facts = world.payments["pay_1"]
    seen = Seen(
        submission_no=1,
        snapshot=snapshot,
        asked_at=world.now,
        settle_s=60,
        absence_is_proof=False,
        again_s=AGAIN_S,
    )
    plan = plan_snapshot(facts, world.siblings("pay_1"), seen, world.now)
    return plan if world.apply(plan) is not None else None


def booked(world: World) -> dict[str, frozenset[Flag]]:
    return {r.transaction_id: r.flags for r in payment_receipts(world.payments["pay_1"])}


def test_both_are_booked_and_the_second_is_a_duplicate() -> None:
    world, _ = out_world()
    plan = looked(world, replace(FIRST, also_paid=(SECOND,)))
    assert kinds(plan) == [EventKind.PAID, EventKind.DUPLICATE]
    assert booked(world) == {"TRX1": frozenset(), "TRX2": {Flag.DUPLICATE}}
    first, second = entries(plan)
    assert [p.account for p in first.postings][1] == "accounts_receivable"
    assert [p.account for p in second.postings][1] != "accounts_receivable", "nobody owed it"
    assert looked(world, replace(FIRST, also_paid=(SECOND,))) is None, "the same again changes nothing"
    outcome = outcome_of(world.payments["pay_1"])
    assert isinstance(outcome, Paid) and outcome.transaction_id == "TRX1"


@pytest.mark.parametrize("order", list(itertools.permutations(["TRX1", "TRX2", "TRX3"])))
def test_in_which_order_a_gateway_names_them_proves_nothing(order: tuple[str, ...]) -> None:
    world, _ = out_world()
    looked(world, FIRST)
    head, *rest = [shown(transaction_id=one) for one in order]
    plan = looked(world, replace(head, also_paid=tuple(rest)))
    assert kinds(plan) == [EventKind.DUPLICATE, EventKind.DUPLICATE]
    assert {name: sorted(flags) for name, flags in booked(world).items()} == {
        "TRX1": [],
        "TRX2": [Flag.DUPLICATE],
        "TRX3": [Flag.DUPLICATE],
    }
    assert Flag.QUARANTINED not in world.payments["pay_1"].payment.flags


def test_a_second_one_at_another_amount_goes_to_suspense_and_to_a_person() -> None:
    world, _ = out_world()
    plan = looked(world, replace(FIRST, also_paid=(shown(transaction_id="TRX2", amount=Money("1")),)))
    assert [one.mismatched for one in plan.receipts] == [False, True]  # type: ignore[union-attr]
    assert EventKind.QUARANTINED in kinds(plan)
    assert isinstance(outcome_of(world.payments["pay_1"]), Review)


@pytest.mark.parametrize(
    "odd",
    [
        replace(SECOND, transaction_id=None),
        replace(SECOND, amount=None),
        replace(SECOND, state=SnapshotState.REVIEW, mismatches=frozenset({Mismatch.CURRENCY})),
        replace(SECOND, gateway_order_id="somebody/else"),
    ],
)
def test_a_second_one_that_cannot_be_booked_is_for_a_person(odd: PaymentSnapshot) -> None:
    world, _ = out_world()
    plan = looked(world, replace(FIRST, also_paid=(odd,)))
    assert kinds(plan) == [EventKind.PAID, EventKind.QUARANTINED]
    assert set(booked(world)) == {"TRX1"}


def test_what_came_twice_after_the_end_is_late_both_times() -> None:
    world, _ = out_world()
    looked(world, shown(SnapshotState.CANCELLED, transaction_id=None, amount=None))
    world.now += timedelta(hours=1)
    before = world.payments["pay_1"].payment.state
    plan = looked(world, replace(FIRST, also_paid=(SECOND,)))
    late = Flag.LATE if before is PaymentState.CLOSED else None
    assert kinds(plan)[0] is (EventKind.LATE if late else EventKind.PAID)
    assert Flag.DUPLICATE in booked(world)["TRX2"] and Flag.DUPLICATE not in booked(world)["TRX1"]


# --- on hold ------------------------------------------------------------------------------------------------------


def test_risky_money_is_paid_and_on_hold_and_nobody_is_told_to_ship() -> None:
    world, _ = out_world()
    plan = looked(world, replace(FIRST, on_hold=True, method=VISA))
    assert kinds(plan) == [EventKind.ON_HOLD]
    assert plan is not None and plan.events[0].method == VISA
    outcome = outcome_of(world.payments["pay_1"])
    assert isinstance(outcome, Paid) and outcome.on_hold and outcome.method == VISA
    assert outcome.amount == AMOUNT
    assert looked(world, replace(FIRST, on_hold=True)) is None


def test_once_the_gateway_lets_it_go_it_is_called_paid_once() -> None:
    world, _ = out_world()
    looked(world, replace(FIRST, on_hold=True, method=VISA))
    assert looked(world, FIRST) is None, "a picture no younger than the receipt proves nothing"
    world.now += timedelta(seconds=1)
    plan = looked(world, FIRST)
    assert kinds(plan) == [EventKind.PAID]
    assert plan is not None and plan.events[0].method == VISA and not plan.receipts
    outcome = outcome_of(world.payments["pay_1"])
    assert isinstance(outcome, Paid) and not outcome.on_hold
    assert looked(world, FIRST) is None

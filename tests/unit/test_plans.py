"""The plan functions in any order: hypothesis plays callers, workers, dead processes, and a gateway that repeats.

The world (plan_world.py) judges every step: edges from the tables only, one charge per reference, nothing submitted
again that may have had an effect, refunds within what came in, ledger equal to receipts, ids never reused.
"""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.plan_world import AMOUNT, World, shown
from vextrus_payments.judging import judge_snapshot
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Plan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    plan_initialize_lost,
    plan_lost,
    plan_quarantine,
    plan_refund_seen,
    plan_refused,
    plan_unsent,
)
from vextrus_payments.records import (
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
)
from vextrus_payments.reserving import with_operation
from vextrus_payments.snapshots import Mismatch, RefundSnapshot, RefundState, SnapshotState
from vextrus_payments.states import execute_operation_id, outcome_of, refund_outcome_of

PAYMENTS = ("pay_1", "pay_2", "pay_3")
REFUNDS = ("refund-1", "refund-2", "refund-3")
EVIDENCE = ("snapshot", "refund_seen", "pay", "again", "never_left")
REASON = Reason(code=ReasonCode.INSUFFICIENT_BALANCE)

numbers = st.integers(0, 10_000)
steps = st.tuples(
    st.sampled_from(
        (
            *(
                "open",
                "open",
                "pay",
                "reserve",
                "execute",
                "execute",
                "claim",
                "claim",
                "snapshot",
                "snapshot",
            ),
            *("snapshot", "refund", "refund", "refund_seen", "refund_seen", "lost", "refused", "unsent"),
            *("replace", "quarantine", "advance", "advance", "again", "held_and_lost", "never_left"),
            *("checkpoint",),
        )
    ),
    st.sampled_from(PAYMENTS),
    numbers,
)


def pick(values: Any, number: int) -> Any:
    return values[number % len(values)]


class Player:
    """Plays one step after another."""

    def __init__(self) -> None:
        self.world = World()
        self.claims: list[Claim] = []

    def play(self, name: str, payment_id: str, number: int) -> None:
        if name == "advance":
            self.world.advance(pick((1, 9, 30, 69, 70, 71, 500), number))
        elif name in ("open", "pay", "reserve"):
            getattr(self, name)(payment_id, number)
        elif name == "again":
            # The same payment again and again, so that what came before is met while it still matters.
            many = ("execute", "unsent", "execute", "lost", "unsent", "snapshot", "execute")
            for each in pick((many, ("refund", "refund_seen", "refund", "refund_seen")), number):
                number = number * 31 % 10_007
                self.play(each, payment_id, number)
        elif payment_id in self.world.payments:
            getattr(self, name)(payment_id, number)

    def reserve(self, payment_id: str, number: int) -> None:
        self.world.reserve(payment_id, allow_repeat=number % 7 == 0)

    def open(self, payment_id: str, number: int) -> None:
        self.reserve(payment_id, number)
        if payment_id in self.world.payments:
            if isinstance(self.world.claim(payment_id, f"{payment_id}/pay"), Claim):
                self.world.apply(self.world.session_plan(payment_id))
            execute = execute_operation_id(payment_id, self.world.payments[payment_id].payment.submission_no)
            self.world.reserve_operation(payment_id, execute, OperationKind.EXECUTE)

    def pay(self, payment_id: str, number: int) -> None:
        self.open(payment_id, number)
        if payment_id in self.world.payments:
            self.execute(payment_id, number)
            self.world.see(payment_id, shown(transaction_id=f"TRX/{payment_id}", payment_id=payment_id))

    def claim(self, payment_id: str, number: int) -> None:
        operation = pick(self.world.payments[payment_id].operations, number)
        answer = self.world.claim(payment_id, operation.operation_id)
        if isinstance(answer, Claim):
            self.claims.append(answer)

    def execute(self, payment_id: str, number: int) -> None:
        operation = self.world.execute_of(payment_id)
        if operation is not None:
            answer = self.world.claim(payment_id, operation.operation_id)
            if isinstance(answer, Claim):
                self.claims.append(answer)

    def snapshot(self, payment_id: str, number: int) -> None:
        state = pick((*SnapshotState, SnapshotState.PAID, SnapshotState.INITIATED), number)
        amount = pick((AMOUNT, AMOUNT, AMOUNT, Money("99"), None, Money("100", "USD")), number // 13)
        transaction_id = pick(("TRX1", "TRX2", f"TRX/{payment_id}", f"TRX/{payment_id}", None), number // 17)
        seen = shown(
            state, transaction_id, amount, payment_id=pick((payment_id, payment_id, "pay_9"), number // 5)
        )
        if number % 3:  # as an adapter judges it, before we do
            seen = judge_snapshot(
                seen,
                gateway_reference=f"GR/{payment_id}",
                gateway_order_id="INV-1",
                amount=AMOUNT,
                mode=Mode.SANDBOX,
                always_sent=frozenset({Mismatch.AMOUNT, Mismatch.TRANSACTION_ID}),
            )
        self.world.see(payment_id, seen, asked_ago_s=pick((0, 0, 5, 100), number // 19))

    def refund(self, payment_id: str, number: int) -> None:
        operation_id = f"{payment_id}/{pick(REFUNDS, number)}"
        amount = pick((None, Money("1"), Money("40"), Money("60"), Money("101")), number // 3)
        self.world.reserve_operation(payment_id, operation_id, OperationKind.REFUND, amount)
        answer = self.world.claim(payment_id, operation_id)
        if isinstance(answer, Claim):
            self.claims.append(answer)

    def refund_seen(self, payment_id: str, number: int) -> None:
        facts = self.world.payments[payment_id]
        refunds = [o for o in facts.operations if o.kind is OperationKind.REFUND]
        if not refunds:
            return
        operation = pick(refunds, number)
        snapshot = RefundSnapshot(
            state=pick((*RefundState, RefundState.COMPLETED), number // 3),
            transaction_id=pick(("RF1", "RF1", f"RF/{operation.operation_id}"), number // 11),
            original_transaction_id="TRX1",
            amount=pick((operation.amount, operation.amount, None, Money("3")), number // 7),
            raw_state="x",
        )
        fence = pick((None, operation.fence, operation.fence - 1), number // 29)
        plan = plan_refund_seen(facts, operation.operation_id, snapshot, self.world.now, fence=fence)
        self.world.apply(plan)

    def _settle(self, number: int, function: Any, *, also: OperationState | None = None) -> None:
        """One of the claims that were ever given comes back, be it long overtaken."""
        if not self.claims:
            return
        claim = pick(self.claims, number)
        facts = self.world.payments[claim.payment_id]
        operation = facts.operation(claim.operation_id)
        plan = function(facts, claim)
        if (
            operation is None
            or claim.fence != operation.fence
            or operation.state not in (OperationState.SUBMITTING, also)
        ):
            assert plan is None, "a stale fence changed something"
        self.world.apply(plan)

    def lost(self, payment_id: str, number: int) -> None:
        self._settle(number, lambda facts, c: plan_lost(facts, c.operation_id, c.fence, self.world.now))

    def held_and_lost(self, payment_id: str, number: int) -> None:
        """The holder itself says so, perhaps after others had believed in its absence."""

        def lose(facts: PaymentFacts, claim: Claim) -> Plan | None:
            plan = plan_lost(facts, claim.operation_id, claim.fence, self.world.now, by_holder=True)
            if plan is not None:
                self.world.out[claim.operation_id].add(claim.fence)
                assert plan.operations[0].send_by is not None
                assert plan.operations[0].send_by >= self.world.now, "the gateway may be at it from now on"
            return plan

        self._settle(number, lose, also=OperationState.RESERVED)

    def checkpoint(self, payment_id: str, number: int) -> None:
        facts = self.world.payments[payment_id]
        operation = pick(facts.operations, number)
        if operation.state is OperationState.SUBMITTING:
            grown = replace(operation, evidence=(*operation.evidence, Evidence("baseline")))
            self.world.apply(with_operation(facts, grown, self.world.now)[0])

    def never_left(self, payment_id: str, number: int) -> None:
        """A refund without a checkpoint: nothing left, and nothing will."""

        def unsent(facts: PaymentFacts, claim: Claim) -> Plan | None:
            operation = facts.operation(claim.operation_id)
            assert operation is not None
            if operation.kind is not OperationKind.REFUND:
                return None
            plan = plan_unsent(facts, claim.operation_id, claim.fence, self.world.now)
            if plan is not None:
                assert not operation.evidence, "what was checkpointed may have left"
                self.world.out[claim.operation_id].clear()
            return plan

        self._settle(number, unsent, also=OperationState.UNKNOWN)

    def refused(self, payment_id: str, number: int) -> None:
        def refuse(facts: Any, claim: Claim) -> Any:
            plan = plan_refused(
                facts, claim.operation_id, claim.fence, REASON, final=number % 2 == 0, now=self.world.now
            )
            self.world.out.get(claim.operation_id, set()).discard(claim.fence)
            return plan

        self._settle(number // 2, refuse)

    def unsent(self, payment_id: str, number: int) -> None:
        if self.claims:
            claim = pick(self.claims, number)
            self.world.proven_unsent(claim.payment_id, claim.operation_id, claim.fence)

    def replace(self, payment_id: str, number: int) -> None:
        facts = self.world.payments[payment_id]
        operation = facts.operation(f"{payment_id}/pay")
        assert operation is not None
        plan = plan_initialize_lost(
            facts, operation.operation_id, operation.fence, f"INV-1-{number}", self.world.now
        )
        if plan is not None:
            self.world.out.get(operation.operation_id, set()).clear()
        self.world.apply(plan)

    def quarantine(self, payment_id: str, number: int) -> None:
        if number % 5 == 0:
            self.world.apply(plan_quarantine(self.world.payments[payment_id], self.world.now, "TRX9"))


@settings(max_examples=settings().max_examples * 5)
@given(st.lists(steps, min_size=10, max_size=50))
def test_whatever_happens_in_whatever_order(sequence: list[tuple[str, str, int]]) -> None:
    player = Player()
    for name, payment_id, number in sequence:
        before = dict(player.world.payments)
        player.play(name, payment_id, number)
        for each, facts in player.world.payments.items():
            if each not in before:
                continue
            old = before[each]
            assert facts.receipts[: len(old.receipts)] == old.receipts, "receipts only grow"
            if old.payment.state is PaymentState.PAID:
                assert facts.payment.state is PaymentState.PAID, "paid never becomes anything else"
            for operation in old.operations:
                now = facts.operation(operation.operation_id)
                assert now is not None, "operations do not go away"
                if operation.state is OperationState.UNKNOWN and now.state is not OperationState.UNKNOWN:
                    # A session whose answer got lost cannot be paid: another submission takes its place.
                    another_page = name == "replace" and operation.kind is OperationKind.INITIALIZE
                    assert another_page or name in (
                        "snapshot",
                        "refund_seen",
                        "pay",
                        "again",
                        "never_left",
                    ), f"unknown was left by {name}"
    for facts in player.world.payments.values():
        outcome_of(facts)
        for operation in facts.operations:
            if operation.kind is OperationKind.REFUND:
                refund_outcome_of(facts, operation)

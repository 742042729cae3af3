"""A world of facts without a store: plans are applied to it, and every application is judged.

What is checked at each step is what must hold whatever the plan functions were asked, in whatever order.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.capabilities import OrderIdRule
from vextrus_payments.documents import from_json
from vextrus_payments.ledger import LedgerEntry, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import PaymentRequest, PaymentSession
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    Plan,
    ReserveAnswer,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.recording import Seen, plan_session_opened, plan_snapshot
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    PaymentFacts,
    PaymentState,
    Receipt,
    ReceiptKey,
    ReceiptKind,
)
from vextrus_payments.reserving import plan_claim, plan_release, plan_reserve
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.states import (
    OPEN_STATES,
    OPERATION_EDGES,
    PAYMENT_EDGES,
    captured,
    execute_operation_id,
    has_money,
    may_have_money,
    refunded,
)
from vextrus_payments.testing.time import EPOCH

ORDER_IDS: Final = OrderIdRule(characters="A-Za-z0-9-", min_length=1, max_length=40)
TERMS: Final = ClaimTerms(send_window_s=10, settle_s=60, one_refund_at_a_time=True)
REFERENCE: Final = "INV-1"
AMOUNT: Final = Money("100")


@dataclass
class World:
    """The payments of one merchant reference."""

    now: datetime = EPOCH
    payments: dict[str, PaymentFacts] = field(default_factory=dict)
    booked: dict[ReceiptKey, str] = field(default_factory=dict)
    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)
    out: dict[str, set[int]] = field(default_factory=dict)
    """Operation id -> fences under which something may have left and was not proven without effect."""

    def advance(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def siblings(self, payment_id: str) -> tuple[PaymentFacts, ...]:
        return tuple(facts for each, facts in self.payments.items() if each != payment_id)

    # --- asking -------------------------------------------------------------------------------------------------

    def reserve(self, payment_id: str, *, allow_repeat: bool = False) -> ReserveAnswer:
        request = PaymentRequest(
            operation_id=f"{payment_id}/pay",
            gateway="bkash",
            amount=AMOUNT,
            merchant_reference=REFERENCE,
            allow_repeat=allow_repeat,
        )
        wanted = ReservePayment(
            tenant="acme", payment_id=payment_id, mode=Mode.SANDBOX, request=request, order_ids=ORDER_IDS
        )
        existing = self.payments.get(payment_id)
        facts = ReserveFacts(existing, None, self.siblings(payment_id), 1 + len(self.payments))
        plan, answer = plan_reserve(facts, wanted, self.now)
        self.apply(plan)
        return answer

    def reserve_operation(
        self, payment_id: str, operation_id: str, kind: OperationKind, amount: Money | None = None
    ) -> ReserveAnswer:
        target = self.payments[payment_id]
        wanted = ReserveOperation(
            tenant="acme",
            operation_id=operation_id,
            kind=kind,
            payment_id=payment_id,
            digest=str(amount),
            amount=amount,
        )
        existing = target if target.operation(operation_id) else None
        plan, answer = plan_reserve(ReserveFacts(existing, target, (), 1), wanted, self.now)
        self.apply(plan)
        return answer

    def claim(self, payment_id: str, operation_id: str, terms: ClaimTerms = TERMS) -> ClaimAnswer:
        facts, siblings = self.payments[payment_id], self.siblings(payment_id)
        plan, answer = plan_claim(facts, siblings, operation_id, terms, self.now)
        if isinstance(answer, Claim):
            self._check_claim(facts, siblings, answer)
            self.out.setdefault(operation_id, set()).add(answer.fence)
        self.apply(plan)
        return answer

    def _check_claim(self, facts: PaymentFacts, siblings: tuple[PaymentFacts, ...], claim: Claim) -> None:
        operation = facts.operation(claim.operation_id)
        assert operation is not None and claim.fence == operation.fence + 1
        assert not self.out.get(claim.operation_id), (
            "submitted again although what left may have had an effect"
        )
        assert claim.send_by == self.now + timedelta(seconds=TERMS.send_window_s)
        if operation.kind is OperationKind.EXECUTE and not facts.payment.allow_repeat:
            assert not has_money(facts), "an execute of a payment that has its money"
            assert not any(may_have_money(sibling) for sibling in siblings), "two charges for one reference"
            executes = [o for s in siblings for o in s.operations if o.kind is OperationKind.EXECUTE]
            assert not any(self.out.get(o.operation_id) for o in executes), (
                "a sibling's execute may be at work"
            )
        if operation.kind is OperationKind.REFUND:
            others = [o for o in facts.operations if o.kind is OperationKind.REFUND and o is not operation]
            assert not any(o.state in OPEN_STATES for o in others), "two refunds out at once"

    def proven_unsent(self, payment_id: str, operation_id: str, fence: int) -> bool:
        """The transport's proof: nothing left under that fence."""
        plan = plan_release(self.payments[payment_id], operation_id, fence, self.now)
        self.out.get(operation_id, set()).discard(fence)
        self.apply(plan)
        return plan is not None

    # --- applying -----------------------------------------------------------------------------------------------

    def apply(self, plan: Plan | None) -> PaymentFacts | None:
        """Write a plan; None when there is none, or when a receipt of it is booked elsewhere."""
        if plan is None:
            return None
        payment_id = plan.payment.payment_id
        before = self.payments.get(payment_id)
        if any(self.booked.get(r.key, payment_id) != payment_id for r in plan.receipts):
            return None
        self._check_payment(before, plan)
        self._check_operations(before, plan)
        self._check_outbox(before, plan)
        after = merged(before, plan)
        self.payments[payment_id] = after
        self.booked |= {receipt.key: payment_id for receipt in plan.receipts}
        self._check_totals(after)
        return after

    def _check_payment(self, before: PaymentFacts | None, plan: Plan) -> None:
        payment = plan.payment
        assert payment.version == plan.expected_version + 1
        if before is None:
            assert plan.expected_version == 0 and payment.state is PaymentState.CREATED
            return
        old = before.payment
        assert plan.expected_version == old.version
        assert payment.state is old.state or (old.state, payment.state) in PAYMENT_EDGES
        assert payment.flags >= old.flags - {Flag.ON_HOLD}, "a flag was taken away"
        assert (payment.amount, payment.merchant_reference) == (old.amount, old.merchant_reference)
        if payment.state is PaymentState.PAID:
            assert before.receipts or plan.receipts, "paid without a receipt"

    def _check_operations(self, before: PaymentFacts | None, plan: Plan) -> None:
        for operation in plan.operations:
            old = before.operation(operation.operation_id) if before else None
            if old is None:
                assert operation.state is OperationState.RESERVED
                continue
            assert operation.state is old.state or (old.state, operation.state) in OPERATION_EDGES
            assert operation.fence >= old.fence
            assert (operation.digest, operation.amount, operation.kind) == (old.digest, old.amount, old.kind)

    def _check_outbox(self, before: PaymentFacts | None, plan: Plan) -> None:
        seq = before.payment.outbox_seq if before else 0
        assert [row.seq for row in plan.outbox] == list(range(seq + 1, plan.payment.outbox_seq + 1))
        announced = [row.row_id for row in plan.outbox if row.kind is OutboxKind.EVENT]
        assert announced == [event.id for event in plan.events]
        assert not self.events & set(announced), "an event id came twice"
        self.events |= set(announced)
        posted = [from_json(LedgerEntry, r.document) for r in plan.outbox if r.kind is OutboxKind.LEDGER]
        assert {entry.transaction_id for entry in posted} == {r.transaction_id for r in plan.receipts}
        for entry in posted:
            assert entry.id not in self.entries, "an entry was posted twice"
            self.entries[entry.id] = entry

    def _check_totals(self, facts: PaymentFacts) -> None:
        """Sums of our own, so that a slip in the rules' sums shows."""
        came_in = sum(r.amount.amount_minor for r in facts.receipts if r.kind is ReceiptKind.PAYMENT)
        went_back = sum(r.amount.amount_minor for r in facts.receipts if r.kind is not ReceiptKind.PAYMENT)
        assert (came_in, went_back) == (captured(facts).amount_minor, refunded(facts).amount_minor)
        quarantined = Flag.QUARANTINED in facts.payment.flags
        promised = went_back
        for operation in facts.operations:
            if operation.kind is not OperationKind.REFUND:
                continue
            mine = [
                r
                for r in facts.receipts
                if r.operation_id == operation.operation_id
                or (Flag.ADOPTED in r.flags and r.transaction_id == operation.transaction_id)
            ]
            wanted = 1 if operation.state is OperationState.SUCCEEDED else 0
            assert len(mine) == wanted or (wanted and quarantined), "one receipt per refund"
            if operation.state in (OperationState.RESERVED, *OPEN_STATES):
                assert operation.amount is not None
                promised += operation.amount.amount_minor
        assert promised <= came_in or quarantined, "more promised back than came in"
        assert quarantined or not any(r.mismatched for r in facts.receipts), "not as asked, and no question"
        cleared = sum(
            posting.amount.amount_minor * (1 if posting.side is Side.DEBIT else -1)
            for entry in self.entries.values()
            for posting in entry.postings
            if entry.payment_id == facts.payment.payment_id and "clearing" in posting.account
        )
        fees = sum(r.fee.amount_minor for r in facts.receipts if r.fee is not None)
        assert cleared == came_in - went_back - fees, "ledger and receipts differ"

    # --- bringing payments into a state -------------------------------------------------------------------------

    def open_session(self, payment_id: str) -> PaymentFacts:
        """Reserved, claimed, and a session reached us; its execute is reserved."""
        self.reserve(payment_id)
        self.claim(payment_id, f"{payment_id}/pay")
        self.apply(self.session_plan(payment_id))
        execute = execute_operation_id(payment_id, 1)
        self.reserve_operation(payment_id, execute, OperationKind.EXECUTE)
        return self.payments[payment_id]

    def session_plan(self, payment_id: str) -> Plan | None:
        facts = self.payments[payment_id]
        session = PaymentSession(
            payment_id=payment_id,
            gateway="bkash",
            mode=Mode.SANDBOX,
            merchant_reference=REFERENCE,
            amount=AMOUNT,
            gateway_order_id=facts.submission.gateway_order_id,
            gateway_reference=f"GR/{payment_id}",
            checkout_url="https://gateway.example",
            expires_at=self.now,
            submission_no=facts.payment.submission_no,
        )
        self.out.get(f"{payment_id}/pay", set()).clear()  # nothing moves by opening a session
        return plan_session_opened(facts, f"{payment_id}/pay", session, self.now)

    def execute_of(self, payment_id: str) -> Operation | None:
        facts = self.payments[payment_id]
        return facts.operation(execute_operation_id(payment_id, facts.payment.submission_no))

    def see(self, payment_id: str, snapshot: PaymentSnapshot, *, asked_ago_s: int = 0) -> Plan | None:
        """Record what the gateway shows; gives the plan that was applied."""
        facts = self.payments[payment_id]
        asked_at = self.now - timedelta(seconds=asked_ago_s)
        seen = Seen(
            submission_no=facts.payment.submission_no,
            snapshot=snapshot,
            asked_at=asked_at,
            settle_s=TERMS.settle_s,
            absence_is_proof=True,
        )
        before = self.execute_of(payment_id)
        plan = plan_snapshot(facts, self.siblings(payment_id), seen, self.now)
        assert plan == plan_snapshot(facts, self.siblings(payment_id), seen, self.now), "not a pure function"
        if plan is not None and before is not None and before.state in OPEN_STATES:
            for operation in plan.operations:
                mine = operation.operation_id == before.operation_id
                if mine and operation.state is OperationState.SUCCEEDED:
                    self.out[before.operation_id].clear()  # its effect is known, and booked or held
                if mine and operation.state in (OperationState.RESERVED, OperationState.DECLINED):
                    assert before.send_by is not None
                    over_at = before.send_by + timedelta(seconds=TERMS.settle_s)
                    assert asked_at >= over_at, "absence was believed too early"
                    self.out[before.operation_id].clear()
        return plan if self.apply(plan) is not None else None


def merged(before: PaymentFacts | None, plan: Plan) -> PaymentFacts:
    """The facts after a plan."""
    old = before or PaymentFacts(plan.payment)
    submissions = {s.submission_no: s for s in (*old.submissions, *plan.submissions)}
    operations = {o.operation_id: o for o in (*old.operations, *plan.operations)}
    receipts: dict[ReceiptKey, Receipt] = {r.key: r for r in reversed((*old.receipts, *plan.receipts))}
    return PaymentFacts(
        plan.payment,
        tuple(submissions.values()),
        tuple(operations.values()),
        tuple(reversed(receipts.values())),
    )


def shown(
    state: SnapshotState = SnapshotState.PAID,
    transaction_id: str | None = "TRX1",
    amount: Money | None = AMOUNT,
    *,
    payment_id: str = "pay_1",
    fee: Money | None = None,
) -> PaymentSnapshot:
    """What the gateway shows of a payment."""
    return PaymentSnapshot(
        state=state,
        gateway_reference=f"GR/{payment_id}",
        raw_state=state.value,
        amount=amount,
        transaction_id=transaction_id,
        fee=fee,
    )

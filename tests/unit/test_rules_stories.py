"""Whole lives of payments, every field of every plan written down in golden/rules/stories/.

A field that is lost on its way (a payer's account, a fee, a correlation id) is lost for ever: receipts are never
changed. `python -m tests.unit.test_rules_stories` writes the stories anew.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.plan_world import ORDER_IDS, merged
from tests.unit.rules_world import NOW, SETTLE_S, facts, operation, payment, receipt, submission, told
from vextrus_payments.ledger import AccountMap
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent, PaymentRequest, PaymentSession
from vextrus_payments.plans import (
    Claim,
    ClaimTerms,
    Plan,
    Reserved,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.recording import (
    Seen,
    plan_initialize_lost,
    plan_lost,
    plan_quarantine,
    plan_refund_seen,
    plan_refunds_listed,
    plan_refused,
    plan_resolve,
    plan_session_opened,
    plan_session_over,
    plan_snapshot,
)
from vextrus_payments.records import (
    Flag,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    ReceiptKind,
    ResolutionVerdict,
)
from vextrus_payments.reserving import plan_claim, plan_release, plan_reserve, with_operation
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.snapshots import PaymentSnapshot, RefundSnapshot, RefundState, SnapshotState

GOLDEN = Path(__file__).resolve().parent / "golden" / "rules" / "stories"
TERMS = ClaimTerms(send_window_s=10, settle_s=SETTLE_S, one_refund_at_a_time=True)
K, Op, P, S = OperationKind, OperationState, PaymentState, SnapshotState
NAMED = AccountMap(
    clearing="C:{gateway}:{mode}",
    receivable="AR",
    refunds="RETURNS",
    suspense="SUSPENSE",
    unapplied="UNAPPLIED",
    fees="FEES:{gateway}:{mode}",
    payable="AP",
)
REASON = Reason(code=ReasonCode.INSUFFICIENT_BALANCE, gateway_code="2023")


class Story:
    """One payment's life, step by step."""

    def __init__(self, start: PaymentFacts | None = None) -> None:
        self.facts = start
        self.now = NOW
        self.lines: list[str] = []

    def known(self) -> PaymentFacts:
        assert self.facts is not None
        return self.facts

    def do(self, title: str, plan: Plan | None) -> None:
        self.now += timedelta(seconds=1)
        self.lines += [f"## {title}", *told(self.facts, plan)]
        if plan is not None:
            self.facts = merged(self.facts, plan)

    def reserve(self, wanted: ReserveOperation) -> None:
        plan, answer = plan_reserve(ReserveFacts(None, self.known(), (), 1), wanted, self.now)
        assert isinstance(answer, Reserved)
        self.do(f"reserve {wanted.operation_id}", plan)
        assert (answer.facts, answer.operation) == (self.facts, self.known().operation(wanted.operation_id))

    def claim(self, operation_id: str) -> Claim:
        plan, answer = plan_claim(self.known(), (), operation_id, TERMS, self.now)
        assert isinstance(answer, Claim)
        self.do(f"claim {operation_id}", plan)
        assert answer.facts == self.facts
        assert (answer.tenant, answer.payment_id) == ("acme", "pay_1")
        return answer

    def see(
        self, shown: PaymentSnapshot, *, number: int = 1, siblings: tuple[PaymentFacts, ...] = ()
    ) -> None:
        seen = Seen(
            submission_no=number, snapshot=shown, asked_at=self.now, settle_s=SETTLE_S, absence_is_proof=True
        )
        plan = plan_snapshot(self.known(), siblings, seen, self.now, NAMED)
        self.do(f"the gateway shows {shown.state.value} {shown.amount} {shown.transaction_id}", plan)

    def refund_seen(self, operation_id: str, shown: RefundSnapshot) -> None:
        plan = plan_refund_seen(self.known(), operation_id, shown, self.now, accounts=NAMED)
        self.do(f"the gateway shows a refund {shown.state.value} {shown.amount}", plan)

    def resolve(
        self,
        verdict: ResolutionVerdict,
        name: str | None,
        transaction_id: str | None = None,
        amount: Money | None = None,
    ) -> None:
        wanted = ResolveRequest(
            payment_id="pay_1",
            verdict=verdict,
            actor="op@shop",
            reason="seen at the desk",
            evidence=("ticket 1", "statement row 3"),
            reviewed_version=self.known().payment.version,
            operation_id=name,
            transaction_id=transaction_id,
            amount=amount,
        )
        plan = plan_resolve(self.known(), (), wanted, SETTLE_S, self.now, NAMED)
        self.do(f"an operator: {verdict.value} {name} {transaction_id} {amount}", plan)


def shown(
    state: SnapshotState, transaction_id: str | None = "TRX1", amount: str | None = "100"
) -> PaymentSnapshot:
    return PaymentSnapshot(
        state=state,
        gateway_reference="GR1",
        raw_state=f"raw {state.value}",
        amount=None if amount is None else Money(amount),
        transaction_id=transaction_id,
        payer_account="01700000000",
        occurred_at=NOW - timedelta(seconds=3),
        fee=Money("1.85") if state is S.PAID else None,
    )


def went_back(
    transaction_id: str, amount: str | None, state: RefundState = RefundState.COMPLETED
) -> RefundSnapshot:
    return RefundSnapshot(
        state=state,
        transaction_id=transaction_id,
        original_transaction_id="TRX1",
        amount=None if amount is None else Money(amount),
        raw_state=f"raw {state.value}",
        charge=Money("0.50"),
        occurred_at=NOW - timedelta(seconds=5),
    )


def session(number: int = 1) -> PaymentSession:
    return PaymentSession(
        payment_id="pay_1",
        gateway="bkash",
        mode=Mode.LIVE,
        merchant_reference="INV-1",
        amount=Money("100"),
        gateway_order_id="INV-1-7",
        gateway_reference="GR1",
        checkout_url="https://gateway.example/pay",
        expires_at=NOW + timedelta(minutes=30),
        submission_no=number,
    )


def reserved(repeat: bool = False) -> Story:
    request = PaymentRequest(
        operation_id="order-1/pay",
        gateway="bkash",
        amount=Money("100"),
        merchant_reference="INV-1",
        return_url="https://shop.example/back",
        intent=Intent.AUTHORIZATION,
        metadata={"order": "1"},
        correlation_id="req-1",
        allow_repeat=repeat,
    )
    wanted = ReservePayment(
        tenant="acme", payment_id="pay_1", mode=Mode.LIVE, request=request, order_ids=ORDER_IDS, skip=3
    )
    story = Story()
    plan, answer = plan_reserve(ReserveFacts(None, None, (), 4), wanted, story.now)
    story.do("reserve", plan)
    assert isinstance(answer, Reserved) and plan is not None
    assert (answer.facts, (answer.operation,)) == (story.facts, plan.operations)
    return story


def execute(number: int = 1) -> ReserveOperation:
    name = f"execute/pay_1/{number}"
    return ReserveOperation(tenant="acme", operation_id=name, kind=K.EXECUTE, payment_id="pay_1", digest="d2")


def refund(name: str, amount: str | None) -> ReserveOperation:
    return ReserveOperation(
        tenant="acme",
        operation_id=name,
        kind=K.REFUND,
        payment_id="pay_1",
        digest="d3",
        submission_no=1,
        amount=None if amount is None else Money(amount),
        note="too small",
        sku="shirt",
    )


def a_sale_and_its_refunds() -> Story:
    story = reserved(repeat=True)
    claim = story.claim("order-1/pay")
    story.do("the claim is given back", plan_release(story.known(), "order-1/pay", claim.fence, story.now))
    claim = story.claim("order-1/pay")
    lost = plan_initialize_lost(story.known(), "order-1/pay", claim.fence, "INV-1-8", story.now)
    story.do("its answer is lost", lost)
    story.claim("order-1/pay")
    opened = plan_session_opened(story.known(), "order-1/pay", session(2), story.now)
    story.do("a session", opened)
    old = plan_session_opened(story.known(), "order-1/pay", session(1), story.now)
    story.do("the old session after all", old)
    story.reserve(execute(2))
    claim = story.claim("execute/pay_1/2")
    story.do("lost", plan_lost(story.known(), claim.operation_id, claim.fence, story.now, by_holder=True))
    story.see(shown(S.PAID), number=2)
    story.see(shown(S.PAID), number=2)
    story.reserve(refund("r-1", "30"))
    claim = story.claim("r-1")
    found = story.known().operation("r-1")
    assert found is not None
    kept = replace(found, evidence=(Evidence("baseline", {"seen": 0}),))
    story.do("a checkpoint", with_operation(story.known(), kept, story.now)[0])
    story.refund_seen("r-1", went_back("RF1", "30", RefundState.PENDING))
    story.refund_seen("r-1", went_back("RF1", "30"))
    story.reserve(refund("r-2", None))
    claim = story.claim("r-2")
    no = plan_refused(story.known(), "r-2", claim.fence, REASON, final=True, now=story.now)
    story.do("a no", no)
    listed = (went_back("RF8", "20"), went_back("RF9", "51"))
    story.do("a list", plan_refunds_listed(story.known(), listed, story.now, accounts=NAMED))
    story.see(shown(S.PAID, "TRX2"), number=2)
    return story


def a_sale_that_ends() -> Story:
    story = Story(facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.RESERVED)))
    claim = story.claim("execute/pay_1/1")
    wait = plan_refused(story.known(), claim.operation_id, claim.fence, REASON, final=False, now=story.now)
    story.do("not yet", wait)
    claim = story.claim("execute/pay_1/1")
    no = plan_refused(story.known(), claim.operation_id, claim.fence, REASON, final=True, now=story.now)
    story.do("no", no)
    beside = facts(payment(P.PAID, payment_id="pay_2", version=3))
    story.see(shown(S.PAID), siblings=(beside,))
    story.reserve(refund("late", None))
    story.claim("late")
    story.refund_seen("late", went_back("RF1", None))
    return story


def sessions_that_run_out() -> Story:
    story = Story(facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.RESERVED)))
    story.do("over, and may have been paid", plan_session_over(story.known(), NOW, story.now, lapse=True))
    story.see(shown(S.AUTHORIZED, "TRX1"))
    story.facts, story.now = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.RESERVED)), NOW
    story.do("over", plan_session_over(story.known(), NOW, story.now, lapse=False))
    story.facts, story.now = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.RESERVED)), NOW
    story.see(shown(S.EXPIRED, None, None))
    story.facts, story.now = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.SUBMITTING)), NOW
    story.do("somebody else's receipt", plan_quarantine(story.known(), story.now, "TRX1"))
    return story


def not_as_asked() -> Story:
    story = Story(facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.SUBMITTING)))
    story.see(shown(S.PAID, amount="99"))
    story.facts = facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.SUBMITTING))
    story.see(shown(S.PAID, amount=None))
    story.facts = facts(P.PAID, operation(K.REFUND, Op.UNKNOWN), receipts=(receipt(mismatched=True),))
    story.refund_seen("refund/pay_1/1", went_back("RF1", "41"))
    story.refund_seen("refund/pay_1/1", went_back("RF2", "40"))
    return story


def a_hold() -> Story:
    held = payment(P.AWAITING_PAYER, intent=Intent.AUTHORIZATION)
    story = Story(facts(held, operation(K.EXECUTE, Op.SUBMITTING)))
    story.see(shown(S.AUTHORIZED))
    story.see(shown(S.AUTHORIZED, "TRX2"))
    before = story.facts
    for kind, end in (
        (K.CAPTURE, S.PAID),
        (K.VOID, S.VOIDED),
        (K.CAPTURE, S.EXPIRED),
        (K.VOID, S.AUTHORIZED),
    ):
        story.facts = before
        name = f"{kind.value}/pay_1/1"
        wanted = ReserveOperation(tenant="acme", operation_id=name, kind=kind, payment_id="pay_1", digest="d")
        story.reserve(wanted)
        claim = story.claim(name)
        story.do("lost", plan_lost(story.known(), name, claim.fence, story.now))
        story.now += timedelta(minutes=5)
        story.see(shown(end))
    return story


def operators() -> Story:
    """What operators say, and what the gateway says afterwards."""
    made, not_made = ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE
    story = Story(facts(P.AWAITING_PAYER, operation(K.EXECUTE, Op.UNKNOWN, fence=1)))
    start = story.facts
    story.resolve(made, "execute/pay_1/1", "TRX5", Money("100"))
    story.see(shown(S.INITIATED, None, None))
    story.resolve(ResolutionVerdict.CLEARED, None)
    story.see(shown(S.PAID))
    story.facts = start
    story.resolve(made, "execute/pay_1/1", "TRX5", Money("90"))
    story.see(shown(S.PAID, "TRX6"))
    story.facts = start
    story.resolve(not_made, "execute/pay_1/1")
    story.see(shown(S.PAID, "TRX6"))
    held = payment(P.AWAITING_PAYER, intent=Intent.AUTHORIZATION)
    story.facts = facts(held, operation(K.EXECUTE, Op.UNKNOWN))
    story.resolve(made, "execute/pay_1/1", "TRX5", Money("100"))
    for kind in (K.CAPTURE, K.VOID):
        story.facts = facts(
            P.AUTHORIZED, operation(K.EXECUTE, Op.SUCCEEDED), operation(kind, Op.UNKNOWN, amount=Money("100"))
        )
        before = story.facts
        story.resolve(not_made, f"{kind.value}/pay_1/1")
        story.facts = before
        of_capture = ("TRX5", Money("100")) if kind is K.CAPTURE else (None, None)
        story.resolve(made, f"{kind.value}/pay_1/1", *of_capture)
        story.see(shown(S.AUTHORIZED))
    return story


def operators_on_refunds() -> Story:
    made, not_made = ResolutionVerdict.MADE, ResolutionVerdict.NOT_MADE
    start = facts(
        P.PAID, operation(K.REFUND, Op.UNKNOWN), receipts=(receipt(flags=frozenset({Flag.DUPLICATE})),)
    )
    story = Story(start)
    story.resolve(made, "refund/pay_1/1", "RF5", Money("40"))
    story.refund_seen("refund/pay_1/1", went_back("RF6", "40"))
    story.refund_seen("refund/pay_1/1", went_back("RF5", "40"))
    story.facts = start
    story.resolve(made, "refund/pay_1/1", "RF5", Money("40"))
    listed: tuple[RefundSnapshot, ...] = (went_back("RF5", "39"), went_back("RF7", "40"))
    story.do("a list", plan_refunds_listed(story.known(), listed, story.now, accounts=NAMED))
    story.facts = start
    story.resolve(not_made, "refund/pay_1/1")
    story.reserve(refund("r-2", "70"))
    claim = story.claim("r-2")
    listed = (went_back("RF7", "40"),)
    leaving = ("r-2", claim.fence)
    plan = plan_refunds_listed(story.known(), listed, story.now, leaving=leaving, accounts=NAMED)
    story.do("a list before the second leaves", plan)
    story.facts = facts(P.PAID, operation(K.REFUND, Op.RESERVED))
    plan = plan_refunds_listed(story.known(), listed, story.now, restored=True, accounts=NAMED)
    story.do("a list after a backup", plan)
    story.facts = facts(
        P.PAID,
        operation(K.REFUND, Op.SUCCEEDED),
        operation(K.REFUND, Op.SUBMITTING, "r-2", amount=Money("31"), original_transaction_id="TRX2"),
        receipts=(receipt(amount=Money("50")), receipt("TRX2", amount=Money("50"), submission_no=2)),
        submissions=(submission(1), submission(2)),
    )
    for amount, original in (("20", "TRX2"), ("19", "TRX2"), ("69", "TRX1"), ("70", "TRX1")):
        before = story.facts
        listed = (replace(went_back("RF7", amount), original_transaction_id=original),)
        plan = plan_refunds_listed(story.known(), listed, story.now, leaving=("r-2", 2), accounts=NAMED)
        story.do(f"{amount} of {original} before 31 of TRX2 leaves", plan)
        story.facts = before
    return story


STORIES: dict[str, Callable[[], Story]] = {
    story.__name__: story
    for story in (
        a_sale_and_its_refunds,
        a_sale_that_ends,
        sessions_that_run_out,
        not_as_asked,
        a_hold,
        operators,
        operators_on_refunds,
    )
}


@pytest.mark.parametrize("name", STORIES)
def test_every_field_is_as_it_is_written_down(name: str) -> None:
    wanted = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    made = STORIES[name]().lines
    assert (
        next(((one, other) for one, other in zip(wanted, made, strict=False) if one != other), None) is None
    )
    assert len(made) == len(wanted)


def test_no_receipt_says_more_than_one_kind() -> None:
    """Every entry that the stories post names accounts of the map it was given."""
    posted = [line for story in STORIES.values() for line in story().lines if "OutboxRow" in line]
    assert any('"account": "RETURNS"' in line for line in posted)
    assert not any("accounts_receivable" in line or "gateway_clearing" in line for line in posted)
    assert {kind.value for kind in ReceiptKind} >= {"payment", "refund", "reversal"}


if __name__ == "__main__":
    for title, story in STORIES.items():
        (GOLDEN / f"{title}.txt").write_text("\n".join(story().lines) + "\n", encoding="utf-8")

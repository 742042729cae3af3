"""What the checks of stores stand on: payments brought into any state through the port itself, and clear complaints."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from vextrus_payments.capabilities import OrderIdRule
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import PaymentRequest, PaymentSession
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    Committed,
    Plan,
    ReserveAnswer,
    Reserved,
    ReserveOperation,
    ReservePayment,
)
from vextrus_payments.recording import Seen, plan_session_opened, plan_snapshot
from vextrus_payments.records import OperationKind, PaymentFacts
from vextrus_payments.snapshots import PaymentSnapshot, SnapshotState
from vextrus_payments.states import execute_operation_id
from vextrus_payments.store import PaymentStore

T = TypeVar("T")

ORDER_IDS: Final = OrderIdRule(characters="A-Za-z0-9-", min_length=1, max_length=40)
LONG: Final = ClaimTerms(send_window_s=600, settle_s=600, one_refund_at_a_time=True)
SHORT: Final = ClaimTerms(send_window_s=1, settle_s=1, one_refund_at_a_time=True)
SHORT_IS_OVER_S: Final = 2.2
"""After so many seconds a claim under SHORT is over."""


def expect(condition: object, complaint: str) -> None:
    """Raise AssertionError, under `python -O` too, when the store did not do what is asked of it."""
    if not condition:
        raise AssertionError(complaint)


def expect_type(answer: object, kind: type[T], where: str) -> T:
    """The answer, if it is of this kind."""
    if not isinstance(answer, kind):
        raise AssertionError(f"{where}: the answer is {type(answer).__name__}, not {kind.__name__}")
    return answer


def the_one(rows: Sequence[T]) -> T:
    """The only row there is."""
    if len(rows) != 1:
        raise AssertionError(f"exactly one row is to be there, not {len(rows)}")
    return rows[0]


async def expect_raises(kind: type[Exception], call: Awaitable[Any], complaint: str) -> None:
    """Complain unless the call raises this kind of error."""
    try:
        await call
    except kind:
        return
    raise AssertionError(complaint)


def count(answers: Sequence[object], kind: type[object]) -> int:
    """How many of the answers are of this kind."""
    return sum(isinstance(answer, kind) for answer in answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose payment, where, for how much."""

    tenant: str = "acme"
    gateway: str = "bkash"
    mode: Mode = Mode.SANDBOX
    amount: Money = field(default_factory=lambda: Money("100"))
    allow_repeat: bool = False


ACME: Final = Account()


@dataclass(frozen=True, slots=True)
class StoreTrial:
    """One fresh store on trial.

    Attributes:
        store: the store.
        other: another handle on the same rows, where the maker of the store gave one; else the store itself.
        advance: lets that many seconds pass on the store's clock.
    """

    store: PaymentStore
    other: PaymentStore
    advance: Callable[[float], Awaitable[None]]

    def both(self, number: int) -> PaymentStore:
        """One of the two handles in turn, so that callers race across them."""
        return self.other if number % 2 else self.store

    # --- bringing payments into a state -----------------------------------------------------------------------

    def wish(
        self,
        reference: str,
        account: Account = ACME,
        *,
        operation_id: str | None = None,
        payment_id: str | None = None,
        skip: int = 0,
    ) -> ReservePayment:
        """A reservation to ask for. Ids follow from the reference unless given."""
        return ReservePayment(
            tenant=account.tenant,
            payment_id=payment_id or f"pay_{reference}",
            mode=account.mode,
            request=PaymentRequest(
                operation_id=operation_id or f"{reference}/pay",
                gateway=account.gateway,
                amount=account.amount,
                merchant_reference=reference,
                allow_repeat=account.allow_repeat,
                metadata={"note": "রসিদ ১"},
            ),
            order_ids=ORDER_IDS,
            skip=skip,
        )

    async def reserve(self, reference: str, account: Account = ACME, **more: Any) -> ReserveAnswer:
        """Ask for a payment."""
        return await self.store.reserve(self.wish(reference, account, **more))

    async def reserved(self, reference: str, account: Account = ACME, **more: Any) -> Reserved:
        """A fresh payment."""
        return expect_type(await self.reserve(reference, account, **more), Reserved, "a first reservation")

    async def awaiting(self, reference: str, account: Account = ACME, **more: Any) -> PaymentFacts:
        """A payment whose session is open and whose execute is reserved."""
        made = await self.reserved(reference, account, **more)
        payment = made.facts.payment
        claim = await self.claimed(account.tenant, made.operation.operation_id)
        submission = claim.facts.submission
        session = PaymentSession(
            payment_id=payment.payment_id,
            gateway=payment.gateway,
            mode=payment.mode,
            merchant_reference=reference,
            amount=payment.amount,
            gateway_order_id=submission.gateway_order_id,
            gateway_reference=f"GR/{payment.payment_id}",
            checkout_url="https://gateway.example/checkout",
            expires_at=self.store.now() + timedelta(hours=24),
        )
        facts = await self.recorded(
            plan_session_opened(claim.facts, claim.operation_id, session, self.store.now())
        )
        answer = await self.store.reserve(self.execute_of(facts))
        return expect_type(answer, Reserved, "an execute of an open session").facts

    def execute_of(self, facts: PaymentFacts) -> ReserveOperation:
        """The reservation of the current submission's execute."""
        payment = facts.payment
        return ReserveOperation(
            tenant=payment.tenant,
            operation_id=execute_operation_id(payment.payment_id, payment.submission_no),
            kind=OperationKind.EXECUTE,
            payment_id=payment.payment_id,
            digest="execute",
            amount=payment.amount,
        )

    def refund_of(self, facts: PaymentFacts, operation_id: str, amount: str | None) -> ReserveOperation:
        """The reservation of a refund."""
        payment = facts.payment
        return ReserveOperation(
            tenant=payment.tenant,
            operation_id=operation_id,
            kind=OperationKind.REFUND,
            payment_id=payment.payment_id,
            digest=f"refund {amount}",
            amount=None if amount is None else Money(amount),
            note="returned",
            sku="SKU-1",
        )

    async def claim_execute(self, facts: PaymentFacts, terms: ClaimTerms = LONG) -> ClaimAnswer:
        """Ask for the right to execute."""
        payment = facts.payment
        operation_id = execute_operation_id(payment.payment_id, payment.submission_no)
        return await self.store.claim(payment.tenant, operation_id, terms)

    async def claimed(self, tenant: str, operation_id: str, terms: ClaimTerms = LONG) -> Claim:
        """The right to submit, which nothing stands in the way of."""
        return expect_type(
            await self.store.claim(tenant, operation_id, terms), Claim, f"a first claim of {operation_id}"
        )

    async def paid(
        self, reference: str, account: Account = ACME, transaction_id: str | None = None, **more: Any
    ) -> PaymentFacts:
        """A payment with its receipt."""
        facts = await self.awaiting(reference, account, **more)
        claim = expect_type(await self.claim_execute(facts), Claim, "a claim of an execute")
        return await self.recorded(self.paid_plan(claim.facts, transaction_id or f"TRX{reference}"))

    def paid_plan(self, facts: PaymentFacts, transaction_id: str) -> Plan:
        """The plan that books the gateway's confirmation, whatever else the reference has."""
        payment = facts.payment
        snapshot = PaymentSnapshot(
            state=SnapshotState.PAID,
            gateway_reference=f"GR/{payment.payment_id}",
            raw_state="Completed",
            amount=payment.amount,
            transaction_id=transaction_id,
            payer_account="01700000000",
            occurred_at=self.store.now(),
            fee=Money("1.85"),
        )
        seen = Seen(
            submission_no=payment.submission_no,
            snapshot=snapshot,
            asked_at=self.store.now(),
            settle_s=60,
            absence_is_proof=True,
        )
        plan = plan_snapshot(facts, (), seen, self.store.now())
        expect(plan is not None, "plan_snapshot books a first confirmation")
        assert plan is not None
        return replace(plan, whole_reference=False)

    async def recorded(self, plan: Plan | None) -> PaymentFacts:
        """The facts after a plan that nothing stands in the way of."""
        expect(plan is not None, "there is something to commit")
        assert plan is not None
        expect_type(await self.store.commit(plan), Committed, "a commit of a plan made from fresh facts")
        return await self.facts(plan.payment.tenant, plan.payment.payment_id)

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts:
        """The facts of a payment that exists."""
        return expect_type(await self.store.get(tenant, payment_id), PaymentFacts, f"get({payment_id})")

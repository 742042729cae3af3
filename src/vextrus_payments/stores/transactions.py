"""What a store does inside one transaction: read facts, ask the pure plan functions, write the plan.

Written once over `Rows`, the few row operations in which stores differ, so that no store can hold a rule of its own.
Whoever calls these functions has opened a transaction that no other writer of the same tenant and merchant reference
can slip into, closes it when they return, and undoes it when they raise.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from vextrus_payments.errors import StaleStateError, StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Committed,
    OrderIdTaken,
    Plan,
    ReceiptElsewhere,
    Refused,
    ReserveAnswer,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
    Stale,
    siblings_decide,
)
from vextrus_payments.records import (
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    ReceiptKey,
    Submission,
)
from vextrus_payments.reserving import plan_claim, plan_release, plan_reserve, with_operation


@dataclass(frozen=True, slots=True)
class Booked:
    """Where a receipt is booked. `payment_id=None`: it is known, and matched to no payment."""

    payment_id: str | None


class Rows(Protocol):
    """The row operations of one open transaction."""

    def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        ...

    def version(self, tenant: str, payment_id: str) -> int:
        """The payment's version; 0 when there is no such payment."""
        ...

    def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        """The id of the payment that has the operation."""
        ...

    def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        """The ids of the reference's payments, whatever their gateway, oldest first."""
        ...

    def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """How many submissions the reference has had there."""
        ...

    def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        """The payment id and number of the submission that has this gateway order id."""
        ...

    def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        """Where the receipt is booked, None if it is not."""
        ...

    def write(self, plan: Plan) -> None:
        """Write everything the plan holds: upsert payment, submissions, operations and attempts; insert receipts,
        events and outbox rows where they are not there yet."""
        ...


def reserve(rows: Rows, wanted: ReservePayment | ReserveOperation, now: datetime) -> ReserveAnswer:
    """See PaymentStore.reserve."""
    tenant = wanted.tenant
    owner = rows.payment_of_operation(tenant, wanted.operation_id)
    existing = None if owner is None else rows.facts(tenant, owner)
    target: PaymentFacts | None = None
    siblings: tuple[PaymentFacts, ...] = ()
    order_number = 1
    if existing is not None:
        pass  # known already: whatever else there is decides nothing
    elif isinstance(wanted, ReservePayment):
        if rows.version(tenant, wanted.payment_id):
            return Refused("A payment of this id exists already.", field="payment_id")
        request = wanted.request
        if siblings_decide(OperationKind.INITIALIZE, allow_repeat=request.allow_repeat):
            siblings = siblings_of(rows, tenant, request.merchant_reference, without=wanted.payment_id)
        order_number += rows.count_submissions(
            tenant, request.gateway, wanted.mode, request.merchant_reference
        )
    else:
        target = rows.facts(tenant, wanted.payment_id)
    plan, answer = plan_reserve(ReserveFacts(existing, target, siblings, order_number), wanted, now)
    if plan is None:
        return answer
    if _order_id_taken(rows, plan.submissions):
        return OrderIdTaken()
    _write(rows, plan)
    return answer


def claim(rows: Rows, tenant: str, operation_id: str, terms: ClaimTerms, now: datetime) -> ClaimAnswer:
    """See PaymentStore.claim."""
    payment_id = rows.payment_of_operation(tenant, operation_id)
    facts = None if payment_id is None else rows.facts(tenant, payment_id)
    if facts is None:
        return Refused("There is no such operation.", field="operation_id")
    payment, operation = facts.payment, facts.operation(operation_id)
    siblings: tuple[PaymentFacts, ...] = ()
    if operation is not None and siblings_decide(operation.kind, allow_repeat=payment.allow_repeat):
        siblings = siblings_of(rows, tenant, payment.merchant_reference, without=payment.payment_id)
    plan, answer = plan_claim(facts, siblings, operation_id, terms, now)
    if plan is not None:
        _write(rows, plan)
    return answer


def checkpoint(rows: Rows, held: Claim, evidence: Evidence, now: datetime) -> None:
    """See PaymentStore.checkpoint."""
    facts = rows.facts(held.tenant, held.payment_id)
    operation = None if facts is None else facts.operation(held.operation_id)
    if (
        facts is None
        or operation is None
        or operation.fence != held.fence
        or operation.state is not OperationState.SUBMITTING
    ):
        raise StaleStateError(
            "The claim is no longer the one that may submit: its evidence was not kept.",
            tenant=held.tenant,
            payment_id=held.payment_id,
            operation_id=held.operation_id,
        )
    grown = replace(operation, evidence=(*operation.evidence, evidence), updated_at=now)
    plan, _ = with_operation(facts, grown, now)
    _write(rows, plan)


def release(rows: Rows, held: Claim, now: datetime) -> bool:
    """See PaymentStore.release."""
    facts = rows.facts(held.tenant, held.payment_id)
    plan = None if facts is None else plan_release(facts, held.operation_id, held.fence, now)
    if plan is None:
        return False
    _write(rows, plan)
    return True


def commit(rows: Rows, plan: Plan) -> CommitAnswer:
    """See PaymentStore.commit."""
    tenant, payment_id = plan.payment.tenant, plan.payment.payment_id
    wanted = ((payment_id, plan.expected_version), *plan.guards)
    if any(rows.version(tenant, guarded) != version for guarded, version in wanted):
        return Stale()
    if plan.whole_reference:
        named = {payment_id, *(guarded for guarded, _ in plan.guards)}
        if not named.issuperset(rows.payments_of_reference(tenant, plan.payment.merchant_reference)):
            return Stale()
    if _order_id_taken(rows, plan.submissions):
        return OrderIdTaken()
    for receipt in plan.receipts:
        booked = rows.receipt_owner(receipt.key)
        if booked is not None and booked.payment_id != payment_id:
            return ReceiptElsewhere(receipt.key, booked.payment_id)
    for operation in plan.operations:
        if rows.payment_of_operation(tenant, operation.operation_id) not in (None, payment_id):
            return Stale()
    _write(rows, plan)
    return Committed(plan.payment.version)


def get_operation(rows: Rows, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
    """See PaymentStore.get_operation."""
    payment_id = rows.payment_of_operation(tenant, operation_id)
    facts = None if payment_id is None else rows.facts(tenant, payment_id)
    operation = None if facts is None else facts.operation(operation_id)
    return None if facts is None or operation is None else (facts, operation)


def siblings_of(
    rows: Rows, tenant: str, merchant_reference: str, *, without: str
) -> tuple[PaymentFacts, ...]:
    """The facts of the reference's other payments, oldest first."""
    return facts_of(
        rows, tenant, (i for i in rows.payments_of_reference(tenant, merchant_reference) if i != without)
    )


def facts_of(rows: Rows, tenant: str, payment_ids: Iterable[str]) -> tuple[PaymentFacts, ...]:
    """The facts of these payments, in this order."""
    found = (rows.facts(tenant, payment_id) for payment_id in payment_ids)
    return tuple(facts for facts in found if facts is not None)


def _order_id_taken(rows: Rows, submissions: tuple[Submission, ...]) -> bool:
    for submission in submissions:
        owner = rows.order_id_owner(
            submission.tenant, submission.gateway, submission.mode, submission.gateway_order_id
        )
        if owner is not None and owner != (submission.payment_id, submission.submission_no):
            return True
    return False


def _write(rows: Rows, plan: Plan) -> None:
    _check_whole(plan)
    rows.write(plan)


def _check_whole(plan: Plan) -> None:
    """Refuse a plan whose rows are not all of its one payment: one slip in a plan function, and tenants would meet."""
    payment = plan.payment
    owned = {
        *((row.tenant, row.payment_id) for row in plan.submissions),
        *((row.tenant, row.payment_id) for row in plan.operations),
        *((row.tenant, row.payment_id) for row in plan.receipts),
        *((row.tenant, row.payment_id) for row in plan.events),
        *((row.tenant, row.payment_id) for row in plan.attempts),
    }
    order_ids = [(s.gateway, s.mode, s.gateway_order_id) for s in plan.submissions]
    if (
        plan.expected_version < 0
        or payment.version != plan.expected_version + 1
        or not owned <= {(payment.tenant, payment.payment_id)}
        or any(row.tenant != payment.tenant for row in plan.outbox)
        or len(set(order_ids)) != len(order_ids)
    ):
        raise StorageError(
            "A plan does not hang together; nothing of it was written.",
            code="storage_bad_plan",
            next_step="Report this with the version of the SDK: it is a mistake in it.",
            tenant=payment.tenant,
            payment_id=payment.payment_id,
        )

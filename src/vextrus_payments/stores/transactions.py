"""What a store does inside one transaction: read facts, ask the pure plan functions, write the plan.

Written once over `Rows`, the few row operations in which stores differ, so that no store can hold a rule of its own.
Whoever calls these functions has opened a transaction that no other writer of the same tenant and merchant reference
can slip into, closes it when they return, and undoes it when they raise.

They are coroutines because a database across a network is asked that way. Rows that are at hand (memory, SQLite on
its own thread) never suspend; their stores run the coroutine to its end at once with `finished()`, with no event loop
and no other task in between.
"""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from vextrus_payments.errors import StaleStateError, StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import (
    AgreementAnswer,
    AgreementPlan,
    Claim,
    ClaimAnswer,
    ClaimTerms,
    CommitAnswer,
    Committed,
    Conflict,
    OperationTaken,
    OrderIdTaken,
    PayoutAnswer,
    PayoutPlan,
    Plan,
    ReceiptElsewhere,
    Refused,
    ReserveAnswer,
    ReserveFacts,
    ReserveOperation,
    ReservePayment,
    SettlementPlan,
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

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Booked:
    """Where a receipt is booked. `payment_id=None`: it is known, and matched to no payment."""

    payment_id: str | None


class Rows(Protocol):
    """The row operations of one open transaction."""

    async def facts(self, tenant: str, payment_id: str) -> PaymentFacts | None:
        """All facts of one payment."""
        ...

    async def facts_of(self, tenant: str, payment_ids: Sequence[str]) -> tuple[PaymentFacts, ...]:
        """The facts of these payments, in this order; those that there are not are left out."""
        ...

    async def version(self, tenant: str, payment_id: str) -> int:
        """The payment's version; 0 when there is no such payment."""
        ...

    async def payment_of_operation(self, tenant: str, operation_id: str) -> str | None:
        """The id of the payment that has the operation."""
        ...

    async def payments_of_reference(self, tenant: str, merchant_reference: str) -> tuple[str, ...]:
        """The ids of the reference's payments, whatever their gateway, oldest first."""
        ...

    async def count_submissions(self, tenant: str, gateway: str, mode: Mode, merchant_reference: str) -> int:
        """How many submissions the reference has had there."""
        ...

    async def order_id_owner(
        self, tenant: str, gateway: str, mode: Mode, gateway_order_id: str
    ) -> tuple[str, int] | None:
        """The payment id and number of the submission that has this gateway order id."""
        ...

    async def receipt_owner(self, key: ReceiptKey) -> Booked | None:
        """Where the receipt is booked, None if it is not."""
        ...

    async def write(self, plan: Plan) -> None:
        """Write everything the plan holds: upsert payment, submissions, operations and attempts; insert receipts,
        events and outbox rows where they are not there yet."""
        ...

    async def agreement_operation(self, tenant: str, operation_id: str) -> Operation | None:
        """The operation of this id that stands among an agreement's; its `payment_id` is the agreement's key."""
        ...

    async def agreement_version(self, tenant: str, agreement_key: str) -> int:
        """The agreement's version; 0 when there is no such agreement."""
        ...

    async def write_agreement(self, plan: AgreementPlan) -> None:
        """Upsert the agreement with its operations, and attempts; insert outbox rows where they are not there yet."""
        ...

    async def payout_operation(self, tenant: str, operation_id: str) -> Operation | None:
        """The operation of this id that is a payout's; its `payment_id` is the payout's id."""
        ...

    async def payout_version(self, tenant: str, payout_id: str) -> int:
        """The payout's version; 0 when there is no such payout."""
        ...

    async def write_payout(self, plan: PayoutPlan) -> None:
        """Upsert the payout, and attempts; insert receipts, and outbox rows where they are not there yet."""
        ...

    async def settlement_versions(self, keys: Sequence[ReceiptKey]) -> Mapping[ReceiptKey, int]:
        """The versions of these receipts' settlements; 0 for a receipt without one, nothing for one not here."""
        ...

    async def write_settlements(self, plans: Sequence[SettlementPlan]) -> None:
        """Upsert the settlements; insert outbox rows where they are not there yet. One key may come twice, in order."""
        ...


def finished(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises, run here and now: for rows that never suspend.

    Raises:
        StorageError: it waited for something. Its transaction must not be committed: others may have come in between.
    """
    try:
        work.send(None)
    except StopIteration as done:
        answer: T = done.value
        return answer
    work.close()
    raise StorageError(
        "A store's row operation waited inside a transaction; nothing was written.",
        code="storage_suspended",
        next_step="Report this with the version of the SDK: it is a mistake in it.",
    )


async def reserve(rows: Rows, wanted: ReservePayment | ReserveOperation, now: datetime) -> ReserveAnswer:
    """See PaymentStore.reserve."""
    tenant = wanted.tenant
    owner = await rows.payment_of_operation(tenant, wanted.operation_id)
    existing = None if owner is None else await rows.facts(tenant, owner)
    if existing is None:
        agreed = await rows.agreement_operation(tenant, wanted.operation_id)
        if agreed is None:
            agreed = await rows.payout_operation(tenant, wanted.operation_id)
        if agreed is not None:
            return Conflict(agreed)
    target: PaymentFacts | None = None
    siblings: tuple[PaymentFacts, ...] = ()
    order_number = 1
    if existing is not None:
        pass  # known already: whatever else there is decides nothing
    elif isinstance(wanted, ReservePayment):
        if await rows.version(tenant, wanted.payment_id):
            return Refused("A payment of this id exists already.", field="payment_id")
        request = wanted.request
        if siblings_decide(OperationKind.INITIALIZE, allow_repeat=request.allow_repeat):
            siblings = await siblings_of(rows, tenant, request.merchant_reference, without=wanted.payment_id)
        order_number += await rows.count_submissions(
            tenant, request.gateway, wanted.mode, request.merchant_reference
        )
    else:
        target = await rows.facts(tenant, wanted.payment_id)
    plan, answer = plan_reserve(ReserveFacts(existing, target, siblings, order_number), wanted, now)
    if plan is None:
        return answer
    if await _order_id_taken(rows, plan.submissions):
        return OrderIdTaken()
    await _write(rows, plan)
    return answer


async def claim(rows: Rows, tenant: str, operation_id: str, terms: ClaimTerms, now: datetime) -> ClaimAnswer:
    """See PaymentStore.claim."""
    payment_id = await rows.payment_of_operation(tenant, operation_id)
    facts = None if payment_id is None else await rows.facts(tenant, payment_id)
    if facts is None:
        return Refused("There is no such operation.", field="operation_id")
    payment, operation = facts.payment, facts.operation(operation_id)
    siblings: tuple[PaymentFacts, ...] = ()
    if operation is not None and siblings_decide(operation.kind, allow_repeat=payment.allow_repeat):
        siblings = await siblings_of(rows, tenant, payment.merchant_reference, without=payment.payment_id)
    plan, answer = plan_claim(facts, siblings, operation_id, terms, now)
    if plan is not None:
        await _write(rows, plan)
    return answer


async def checkpoint(rows: Rows, held: Claim, evidence: Evidence, now: datetime) -> None:
    """See PaymentStore.checkpoint."""
    facts = await rows.facts(held.tenant, held.payment_id)
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
    await _write(rows, plan)


async def release(rows: Rows, held: Claim, now: datetime) -> bool:
    """See PaymentStore.release."""
    facts = await rows.facts(held.tenant, held.payment_id)
    plan = None if facts is None else plan_release(facts, held.operation_id, held.fence, now)
    if plan is None:
        return False
    await _write(rows, plan)
    return True


async def commit(rows: Rows, plan: Plan) -> CommitAnswer:
    """See PaymentStore.commit."""
    tenant, payment_id = plan.payment.tenant, plan.payment.payment_id
    for guarded, version in ((payment_id, plan.expected_version), *plan.guards):
        if await rows.version(tenant, guarded) != version:
            return Stale()
    if plan.whole_reference:
        named = {payment_id, *(guarded for guarded, _ in plan.guards)}
        if not named.issuperset(await rows.payments_of_reference(tenant, plan.payment.merchant_reference)):
            return Stale()
    if await _order_id_taken(rows, plan.submissions):
        return OrderIdTaken()
    for receipt in plan.receipts:
        booked = await rows.receipt_owner(receipt.key)
        if booked is not None and booked.payment_id != payment_id:
            return ReceiptElsewhere(receipt.key, booked.payment_id)
    for operation in plan.operations:
        owner = await rows.payment_of_operation(tenant, operation.operation_id)
        if owner is None and await _is_taken(rows, tenant, operation.operation_id):
            return Stale()
        if owner not in (None, payment_id):
            return Stale()
    await _write(rows, plan)
    return Committed(plan.payment.version)


async def commit_agreement(rows: Rows, plan: AgreementPlan) -> AgreementAnswer:
    """See PaymentStore.commit_agreement."""
    agreement = plan.agreement
    tenant, key = agreement.tenant, agreement.agreement_key
    if await rows.agreement_version(tenant, key) != plan.expected_version:
        return Stale()
    for operation in agreement.operations:
        agreed = await rows.agreement_operation(tenant, operation.operation_id)
        if agreed is not None and agreed.payment_id != key:
            return OperationTaken()
        if agreed is None and (
            await rows.payment_of_operation(tenant, operation.operation_id) is not None
            or await rows.payout_operation(tenant, operation.operation_id) is not None
        ):
            return OperationTaken()
    owned = {
        *((row.tenant, row.payment_id) for row in agreement.operations),
        *((row.tenant, row.payment_id) for row in plan.attempts),
    }
    _check(
        owned <= {(tenant, key)}
        and plan.expected_version >= 0
        and agreement.version == plan.expected_version + 1
        and all(row.tenant == tenant for row in plan.outbox),
        tenant,
    )
    await rows.write_agreement(plan)
    return Committed(agreement.version)


async def commit_payout(rows: Rows, plan: PayoutPlan) -> PayoutAnswer:
    """See PaymentStore.commit_payout."""
    payout = plan.payout
    tenant, operation = payout.tenant, payout.operation
    if await rows.payout_version(tenant, payout.payout_id) != plan.expected_version:
        return Stale()
    known = await rows.payout_operation(tenant, operation.operation_id)
    if known is None and (
        await rows.payment_of_operation(tenant, operation.operation_id) is not None
        or await rows.agreement_operation(tenant, operation.operation_id) is not None
    ):
        return OperationTaken()
    if known is not None and known.payment_id != payout.payout_id:
        return OperationTaken()
    for receipt in plan.receipts:
        booked = await rows.receipt_owner(receipt.key)
        if booked is not None:
            return ReceiptElsewhere(receipt.key, booked.payment_id)
    mine = (tenant, payout.payout_id)
    _check(
        plan.expected_version >= 0
        and payout.version == plan.expected_version + 1
        and (operation.tenant, operation.payment_id) == mine
        and (known is None) == (plan.expected_version == 0)
        and all((row.tenant, row.payment_id) == mine for row in plan.attempts)
        and all((row.tenant, row.payment_id) == (tenant, None) for row in plan.receipts)
        and len({row.key for row in plan.receipts}) == len(plan.receipts)
        and all(row.tenant == tenant for row in plan.outbox),
        tenant,
    )
    await rows.write_payout(plan)
    return Committed(payout.version)


async def _is_taken(rows: Rows, tenant: str, operation_id: str) -> bool:
    """True where an agreement or a payout has that operation id."""
    return (
        await rows.agreement_operation(tenant, operation_id) is not None
        or await rows.payout_operation(tenant, operation_id) is not None
    )


async def settle(rows: Rows, plans: Sequence[SettlementPlan]) -> int:
    """See PaymentStore.settle."""
    versions = dict(await rows.settlement_versions([plan.settlement.key for plan in plans]))
    written = []
    for plan in plans:
        settlement = plan.settlement
        if versions.get(settlement.key) != plan.expected_version:
            continue
        _check(
            plan.expected_version >= 0
            and settlement.version == plan.expected_version + 1
            and all(row.tenant == settlement.tenant for row in plan.outbox),
            settlement.tenant,
        )
        versions[settlement.key] = settlement.version
        written.append(plan)
    if written:
        await rows.write_settlements(written)
    return len(written)


async def get_operation(rows: Rows, tenant: str, operation_id: str) -> tuple[PaymentFacts, Operation] | None:
    """See PaymentStore.get_operation."""
    payment_id = await rows.payment_of_operation(tenant, operation_id)
    facts = None if payment_id is None else await rows.facts(tenant, payment_id)
    operation = None if facts is None else facts.operation(operation_id)
    return None if facts is None or operation is None else (facts, operation)


async def siblings_of(
    rows: Rows, tenant: str, merchant_reference: str, *, without: str
) -> tuple[PaymentFacts, ...]:
    """The facts of the reference's other payments, oldest first."""
    ids = await rows.payments_of_reference(tenant, merchant_reference)
    return await rows.facts_of(tenant, [payment_id for payment_id in ids if payment_id != without])


async def _order_id_taken(rows: Rows, submissions: tuple[Submission, ...]) -> bool:
    for submission in submissions:
        owner = await rows.order_id_owner(
            submission.tenant, submission.gateway, submission.mode, submission.gateway_order_id
        )
        if owner is not None and owner != (submission.payment_id, submission.submission_no):
            return True
    return False


async def _write(rows: Rows, plan: Plan) -> None:
    _check_whole(plan)
    await rows.write(plan)


def _check_whole(plan: Plan) -> None:
    """Refuse a plan whose rows are not all of its one payment: one slip in a plan function, and tenants would meet."""
    payment = plan.payment
    mine = (payment.tenant, payment.payment_id)
    order_ids = [(s.gateway, s.mode, s.gateway_order_id) for s in plan.submissions]
    _check(
        plan.expected_version >= 0
        and payment.version == plan.expected_version + 1
        and all((row.tenant, row.payment_id) == mine for row in plan.submissions)
        and all((row.tenant, row.payment_id) == mine for row in plan.operations)
        and all((row.tenant, row.payment_id) == mine for row in plan.receipts)
        and all((row.tenant, row.payment_id) == mine for row in plan.events)
        and all((row.tenant, row.payment_id) == mine for row in plan.attempts)
        and all(row.tenant == payment.tenant for row in plan.outbox)
        and len(set(order_ids)) == len(order_ids),
        *mine,
    )


def _check(hangs_together: bool, tenant: str, payment_id: str | None = None) -> None:
    if not hangs_together:
        raise StorageError(
            "A plan does not hang together; nothing of it was written.",
            code="storage_bad_plan",
            next_step="Report this with the version of the SDK: it is a mistake in it.",
            tenant=tenant,
            payment_id=payment_id,
        )

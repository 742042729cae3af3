"""Plan functions for what a gateway collects by itself under a subscription: it becomes a payment of ours.

Nobody here asked for it beforehand, so there is nothing to reserve: the payment, its one submission and what the
gateway shows of it are written by one plan. Its id is made from the gateway's own handle of it, so that whoever learns
of it first, from a webhook at whichever door or from a look-up, writes the same payment, and whoever comes second finds
it.
"""

import hashlib
from dataclasses import replace
from datetime import datetime

from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent, digest_of
from vextrus_payments.plans import Plan
from vextrus_payments.recording.drafting import Draft
from vextrus_payments.recording.pictures import plan_snapshot
from vextrus_payments.recording.seen import Seen
from vextrus_payments.records import (
    Agreement,
    Operation,
    OperationKind,
    OperationState,
    Payment,
    PaymentFacts,
    PaymentState,
    SubjectKind,
    Submission,
    SubmissionState,
)


def collected_payment_id(agreement: Agreement, gateway_order_id: str) -> str:
    """The id of the payment that is made of what was collected: the same from whoever makes it."""
    seed = "\x1f".join((agreement.tenant, agreement.gateway, agreement.mode.value, gateway_order_id))
    return f"pay_{hashlib.sha256(seed.encode('utf-8')).hexdigest()[:26]}"


def collected_facts(
    agreement: Agreement, gateway_reference: str, gateway_order_id: str, agreed: Money, now: datetime
) -> PaymentFacts:
    """A payment that is not written yet, as if somebody had asked for what the payer agreed to."""
    payment_id = collected_payment_id(agreement, gateway_order_id)
    payment = Payment(
        tenant=agreement.tenant,
        payment_id=payment_id,
        gateway=agreement.gateway,
        mode=agreement.mode,
        merchant_reference=agreement.merchant_reference,
        amount=agreed,
        intent=Intent.SALE,
        state=PaymentState.CREATED,
        created_at=now,
        updated_at=now,
        version=0,
        correlation_id=agreement.correlation_id,
        metadata=agreement.metadata,
        allow_repeat=True,  # one reference is charged again and again: that is what was agreed to
    )
    submission = Submission(
        tenant=agreement.tenant,
        payment_id=payment_id,
        submission_no=1,
        gateway=agreement.gateway,
        mode=agreement.mode,
        gateway_order_id=gateway_order_id,
        state=SubmissionState.OPEN,
        created_at=now,
        gateway_reference=gateway_reference,
    )
    operation_id = f"collected/{agreement.agreement_key}/{gateway_reference}"
    operation = Operation(
        tenant=agreement.tenant,
        operation_id=operation_id,
        kind=OperationKind.INITIALIZE,
        subject_kind=SubjectKind.SUBSCRIPTION,
        subject_id=agreement.agreement_key,
        payment_id=payment_id,
        submission_no=1,
        digest=digest_of(operation_id),
        state=OperationState.SUCCEEDED,
        created_at=now,
        updated_at=now,
        amount=agreed,
    )
    return PaymentFacts(payment=payment, submissions=(submission,), operations=(operation,))


def plan_collected(
    facts: PaymentFacts, seen: Seen, now: datetime, accounts: AccountMap = DEFAULT_ACCOUNTS
) -> Plan | None:
    """The payment with what the gateway shows of it; None where it shows no money."""
    return _whole(facts, plan_snapshot(facts, (), seen, now, accounts))


def plan_collected_in_doubt(
    facts: PaymentFacts, amount: Money | None, transaction_id: str | None, now: datetime
) -> Plan | None:
    """A payment that cannot be booked as it is told: a person has to look. No posting."""
    draft = Draft(facts, now)
    draft.quarantine(amount=amount, transaction_id=transaction_id)
    return _whole(facts, draft.plan())


def _whole(facts: PaymentFacts, plan: Plan | None) -> Plan | None:
    """The plan with the rows that it stands on, which are as new as it is."""
    if plan is None:
        return None
    submissions = {s.submission_no: s for s in (*facts.submissions, *plan.submissions)}
    operations = {o.operation_id: o for o in (*facts.operations, *plan.operations)}
    return replace(plan, submissions=tuple(submissions.values()), operations=tuple(operations.values()))

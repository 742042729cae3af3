"""Agreements to see whether a store gives back what it took: small ones, and one with every field set."""

from dataclasses import replace
from datetime import datetime, timedelta

from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import AgreementPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    SubjectKind,
)
from vextrus_payments.testing.store_records import full_attempt


def agreement_plan(
    now: datetime,
    key: str,
    *,
    tenant: str = "acme",
    version: int = 1,
    state: AgreementLife = AgreementLife.AWAITING_PAYER,
    operation_id: str | None = None,
) -> AgreementPlan:
    """A small agreement with one settled operation."""
    operation = Operation(
        tenant=tenant,
        operation_id=operation_id or f"agreement/{key}",
        kind=OperationKind.AGREEMENT,
        subject_kind=SubjectKind.AGREEMENT,
        subject_id=key,
        payment_id=key,
        submission_no=1,
        digest="d" * 64,
        state=OperationState.SUCCEEDED,
        created_at=now,
        updated_at=now,
    )
    agreement = Agreement(
        tenant=tenant,
        agreement_key=key,
        gateway="bkash",
        mode=Mode.SANDBOX,
        payer_reference="payer-1",
        state=state,
        created_at=now,
        updated_at=now,
        version=version,
        operations=(operation,),
    )
    return AgreementPlan(agreement=agreement, expected_version=version - 1)


def full_agreement_plan(moment: datetime) -> AgreementPlan:
    """An agreement with every field set, two operations, an attempt and an outbox row."""
    now = moment.replace(microsecond=123_456)
    plan = agreement_plan(now, "agr_full")
    (operation,) = plan.agreement.operations
    unknown = replace(
        operation,
        operation_id="agreement/full",
        state=OperationState.UNKNOWN,
        fence=2,
        send_by=now,
        evidence=(Evidence("step", {"list": [1, None]}),),
        reason=Reason(code=ReasonCode.WRONG_PIN),
    )
    agreement = replace(
        plan.agreement,
        operations=(operation, unknown),
        gateway_reference="GR-A",
        checkout_url="https://gateway.example/?agreement=a",
        expires_at=now + timedelta(days=1),
        agreement_id="AGR-FULL",
        payer_account="01700000000",
        return_url="https://shop.example/cards",
        correlation_id="corr",
        metadata={"note": "সম্মতি"},
        outbox_seq=1,
    )
    row = OutboxRow(
        tenant="acme",
        row_id="evt_agreement",
        subject="event/agr_full",
        seq=1,
        kind=OutboxKind.EVENT,
        document="{}",
        created_at=now,
    )
    attempt = replace(full_attempt(now), payment_id="agr_full", operation_id="agreement/full")
    return AgreementPlan(agreement=agreement, expected_version=0, outbox=(row,), attempts=(attempt,))

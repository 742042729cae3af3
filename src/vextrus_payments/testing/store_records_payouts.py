"""Payouts to see whether a store gives back what it took: small ones, and one with every field set."""

from dataclasses import replace
from datetime import datetime

from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.payouts import PayoutKind, TransferDirection
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.records import (
    Flag,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payout,
    Receipt,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
    SubjectKind,
)
from vextrus_payments.testing.store_records import full_attempt


def payout_receipt(now: datetime, transaction_id: str, tenant: str = "acme") -> Receipt:
    """Money that left."""
    return Receipt(
        tenant=tenant,
        gateway="bkash",
        mode=Mode.SANDBOX,
        kind=ReceiptKind.PAYOUT,
        transaction_id=transaction_id,
        amount=Money("25.00"),
        recorded_at=now,
        payment_id=None,
        merchant_reference="salary-7",
    )


def payout_plan(
    now: datetime,
    payout_id: str,
    *,
    tenant: str = "acme",
    version: int = 1,
    state: OperationState = OperationState.RESERVED,
    operation_id: str | None = None,
) -> PayoutPlan:
    """A small payout."""
    operation = Operation(
        tenant=tenant,
        operation_id=operation_id or f"payout/{payout_id}",
        kind=OperationKind.PAYOUT,
        subject_kind=SubjectKind.PAYOUT,
        subject_id=payout_id,
        payment_id=payout_id,
        submission_no=1,
        digest="d" * 64,
        state=state,
        created_at=now,
        updated_at=now,
        amount=Money("25.00"),
    )
    payout = Payout(
        tenant=tenant,
        payout_id=payout_id,
        gateway="bkash",
        mode=Mode.SANDBOX,
        kind=PayoutKind.B2C,
        amount=Money("25.00"),
        reference="salary-7",
        operation=operation,
        created_at=now,
        updated_at=now,
        version=version,
        receiver="01700000000",
    )
    return PayoutPlan(payout=payout, expected_version=version - 1)


def full_payout_plan(moment: datetime) -> PayoutPlan:
    """A transfer with every field set, its receipt, an attempt and an entry."""
    now = moment.replace(microsecond=123_456)
    plan = payout_plan(now, "pyo_full", state=OperationState.SUCCEEDED, operation_id="payout/full")
    receipt = replace(
        payout_receipt(now, "TRX-FULL"),
        kind=ReceiptKind.TRANSFER_BACK,
        operation_id="payout/full",
        fee=Money("1.00"),
        flags=frozenset({Flag.BY_OPERATOR}),
    )
    resolution = Resolution(
        verdict=ResolutionVerdict.MADE,
        actor="rahim",
        reason="the portal lists it",
        evidence=("ticket 1",),
        reviewed_version=3,
        at=now,
        operation_id="payout/full",
        transaction_id="TRX-FULL",
        amount=Money("25.00"),
    )
    operation = replace(
        plan.payout.operation,
        kind=OperationKind.TRANSFER,
        subject_kind=SubjectKind.TRANSFER,
        fence=2,
        send_by=now,
        evidence=(Evidence("payout.baseline", {"look_up": "PO-1", "accounts": [["Collection", 1]]}),),
        transaction_id="TRX-FULL",
    )
    payout = replace(
        plan.payout,
        kind=PayoutKind.TRANSFER,
        direction=TransferDirection.TO_COLLECTION,
        operation=operation,
        receipts=(receipt,),
        resolutions=(resolution,),
        correlation_id="corr",
        metadata={"note": "বেতন"},
        outbox_seq=1,
    )
    row = OutboxRow(
        tenant="acme",
        row_id="ent_payout",
        subject="ledger/pyo_full",
        seq=1,
        kind=OutboxKind.LEDGER,
        document="{}",
        created_at=now,
    )
    attempt = replace(full_attempt(now), payment_id="pyo_full", operation_id="payout/full")
    return PayoutPlan(
        payout=payout, expected_version=0, receipts=(receipt,), outbox=(row,), attempts=(attempt,)
    )

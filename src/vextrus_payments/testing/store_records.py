"""Records with every field set, to see whether a store gives back what it took."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.payouts import PayoutKind, TransferDirection
from vextrus_payments.plans import AgreementPlan, PayoutPlan, Plan, SettlementPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Attempt,
    Exchange,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    OutboxKind,
    OutboxRow,
    Payment,
    PaymentState,
    Payout,
    Receipt,
    ReceiptKind,
    Resolution,
    ResolutionVerdict,
    Settlement,
    SubjectKind,
    Submission,
    SubmissionState,
)


def full_plan(moment: datetime) -> Plan:
    """A new payment with every kind of row, every field set, and texts that are hard to quote."""
    now = moment.replace(microsecond=123_456)
    reason = Reason(code=ReasonCode.WRONG_PIN, gateway_code="2023", own_words={"bn": "পিন সঠিক নয়।"})
    payment = Payment(
        tenant="acme",
        payment_id="pay_full",
        gateway="bkash",
        mode=Mode.LIVE,
        merchant_reference="INV 'full'",
        amount=Money("1250.05"),
        intent=Intent.AUTHORIZATION,
        state=PaymentState.CLOSED,
        created_at=now,
        updated_at=now + timedelta(microseconds=1),
        version=1,
        submission_no=2,
        flags=frozenset(Flag),
        closed_reason=reason,
        return_url="https://shop.example/orders/1?a=b",
        correlation_id="corr",
        metadata={"key": 'value "quoted" \\ \u0000 \n ৳'},
        allow_repeat=True,
        outbox_seq=7,
    )
    mine = {"tenant": "acme", "payment_id": "pay_full"}
    submissions = tuple(
        Submission(
            **mine,
            submission_no=number,
            gateway="bkash",
            mode=Mode.LIVE,
            gateway_order_id=f"FULL-{number}",
            state=SubmissionState.SUPERSEDED,
            created_at=now,
            gateway_reference=f"GR{number}",
            checkout_url="https://gateway.example/?token=a",
            expires_at=now + timedelta(days=1),
            held_transaction_id=f"HOLD{number}",
            agreement_id=f"agreement-{number}",
        )
        for number in (1, 2)
    )
    operation = Operation(
        **mine,
        operation_id="op/full",
        kind=OperationKind.REFUND,
        subject_kind=SubjectKind.REFUND,
        subject_id="op/full",
        submission_no=2,
        digest="d" * 64,
        state=OperationState.UNKNOWN,
        created_at=now,
        updated_at=now,
        fence=3,
        amount=Money("0.01"),
        send_by=now,
        evidence=(Evidence("step", {"list": [1, {"a": None}], "yes": True}), Evidence("next")),
        reason=reason,
        transaction_id="TRX",
        note="note",
        sku="sku",
    )
    receipt = Receipt(
        tenant="acme",
        gateway="bkash",
        mode=Mode.LIVE,
        kind=ReceiptKind.REVERSAL,
        transaction_id="TRX-1",
        amount=Money("123456789012.34"),
        recorded_at=now,
        payment_id="pay_full",
        submission_no=2,
        operation_id="op/full",
        merchant_reference="INV 'full'",
        occurred_at=now,
        original_transaction_id="TRX-0",
        payer_account="01700000000",
        fee=Money("0.50"),
        flags=frozenset({Flag.LATE}),
        mismatched=True,
    )
    event = PaymentEvent(
        id="evt_full",
        kind=EventKind.LATE,
        tenant="acme",
        payment_id="pay_full",
        gateway="bkash",
        mode=Mode.LIVE,
        merchant_reference="INV 'full'",
        occurred_at=now,
        before="closed",
        after="paid",
        operation_id="op/full",
        amount=Money("1"),
        transaction_id="TRX-1",
        reason_code="wrong_pin",
        correlation_id="corr",
        metadata={"a": "b"},
    )
    return Plan(
        payment=payment,
        expected_version=0,
        submissions=submissions,
        operations=(operation, replace(operation, operation_id="a later one, earlier by name")),
        receipts=(receipt, replace(receipt, transaction_id="TRX-0")),
        events=(event, replace(event, id="evt_a")),
        outbox=(
            OutboxRow(
                tenant="acme",
                row_id="ent_1",
                subject="ledger/pay_full",
                seq=7,
                kind=OutboxKind.LEDGER,
                document='{"any": "text ৳"}',
                created_at=now - timedelta(days=1),
                attempts=2,
                next_at=now - timedelta(hours=1),
            ),
        ),
        attempts=(full_attempt(now),),
    )


def full_attempt(now: datetime) -> Attempt:
    """An attempt with two exchanges."""
    exchange = Exchange(
        at=now,
        operation="refund",
        step="refund.submit",
        method="POST",
        url="https://gateway.example/refund",
        sent="maybe",
        status=None,
        request={"paymentID": "GR1"},
        answer={},
        error="answer_lost",
        elapsed_ms=12,
    )
    return Attempt(
        tenant="acme",
        operation_id="op/full",
        payment_id="pay_full",
        fence=3,
        started_at=now,
        send_by=now,
        finished_at=now,
        result="AnswerLostError",
        exchanges=(exchange, replace(exchange, status=200, error=None)),
    )


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


def settlement_plan(receipt: Receipt, now: datetime, *, version: int = 1, row: int = 7) -> SettlementPlan:
    """A statement's word on a receipt, with the entry that it posts."""
    subject = f"settlement/{receipt.gateway}/{receipt.transaction_id}"
    settlement = Settlement(
        tenant=receipt.tenant,
        gateway=receipt.gateway,
        mode=receipt.mode,
        kind=receipt.kind,
        transaction_id=receipt.transaction_id,
        payment_id=receipt.payment_id,
        amount=receipt.amount,
        fee=Money("1.85"),
        settled_on=date(2026, 1, 16),
        statement="statement-2026-01.csv",
        row=row,
        recorded_at=now,
        version=version,
        outbox_seq=version,
    )
    entry = OutboxRow(
        tenant=receipt.tenant,
        row_id=f"ent_{subject}/{version}",
        subject=subject,
        seq=version,
        kind=OutboxKind.LEDGER,
        document="{}",
        created_at=now,
    )
    return SettlementPlan(settlement=settlement, expected_version=version - 1, outbox=(entry,))

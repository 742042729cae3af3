"""Records with every field set, to see whether a store gives back what it took."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from vextrus_payments.events import EventKind, PaymentEvent
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence, Intent
from vextrus_payments.plans import Plan, SettlementPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
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
    Receipt,
    ReceiptKind,
    Settlement,
    SubjectKind,
    Submission,
    SubmissionState,
)


def full_plan(moment: datetime) -> Plan:
    """A new payment with every kind of row, every field set, and texts that are hard to quote."""
    now = moment.replace(microsecond=123_456)
    reason = Reason(code=ReasonCode.WRONG_PIN, gateway_code="2023", own_words={"bn": "পিন সঠিক নয়।"})
    operation, receipt, event = _full_operation(now, reason), _full_receipt(now), _full_event(now)
    return Plan(
        payment=_full_payment(now, reason),
        expected_version=0,
        submissions=_full_submissions(now),
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


def _full_payment(now: datetime, reason: Reason) -> Payment:
    return Payment(
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


def _full_submissions(now: datetime) -> tuple[Submission, ...]:
    return tuple(
        Submission(
            tenant="acme",
            payment_id="pay_full",
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


def _full_operation(now: datetime, reason: Reason) -> Operation:
    return Operation(
        tenant="acme",
        payment_id="pay_full",
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


def _full_receipt(now: datetime) -> Receipt:
    return Receipt(
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


def _full_event(now: datetime) -> PaymentEvent:
    return PaymentEvent(
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
        no=receipt.no,
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

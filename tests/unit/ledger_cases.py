"""Facts with real numbers, and the entries they book: the worked examples of docs/ledger.md and the golden files."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from vextrus_payments.documents import from_json
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap, LedgerEntry, entries_for, payout_entries
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.payment import Intent
from vextrus_payments.records import Flag, Payment, PaymentState, Receipt, ReceiptKind, Settlement
from vextrus_payments.settlement.booking import plan_settlement
from vextrus_payments.settlement.words import Line

PAID_AT = datetime(2026, 1, 15, 6, 4, 30, 120000, tzinfo=UTC)
PAYMENT = Payment(
    tenant="acme",
    payment_id="pay_01kf0examp1e0000000000000a",
    gateway="bkash",
    mode=Mode.LIVE,
    merchant_reference="INV-8812",
    amount=Money("1250.50", "BDT"),
    intent=Intent.SALE,
    state=PaymentState.PAID,
    created_at=PAID_AT,
    updated_at=PAID_AT,
    version=3,
    submission_no=1,
    correlation_id="req-7f3a",
    metadata={"order": "8812", "note": "৮৮১২"},
)


def receipt(kind: ReceiptKind, transaction_id: str, amount: str, **more: Any) -> Receipt:
    """A receipt of the payment above, unless told otherwise."""
    fields: dict[str, Any] = {
        "tenant": "acme",
        "gateway": "bkash",
        "mode": Mode.LIVE,
        "kind": kind,
        "transaction_id": transaction_id,
        "amount": Money(amount, "BDT"),
        "recorded_at": PAID_AT,
        "payment_id": PAYMENT.payment_id,
        "submission_no": 1,
        "operation_id": f"execute/{PAYMENT.payment_id}/1",
        "merchant_reference": "INV-8812",
        "occurred_at": PAID_AT.replace(microsecond=0),
    }
    return Receipt(**{**fields, **more})


RECEIVED = receipt(ReceiptKind.PAYMENT, "DAF4KWXYZ1", "1250.50")
_BACK = {"operation_id": "order-8812/refund-1", "original_transaction_id": "DAF4KWXYZ1"}


_APART = "gateway_disbursement:{gateway}:{mode}"
"""A name of its own for the account that payouts are made from."""


def _paid_out(accounts: AccountMap = DEFAULT_ACCOUNTS, **changes: Any) -> tuple[LedgerEntry, ...]:
    """What a payout or transfer books, as the engine has it: no payment's."""
    fields = {
        "kind": ReceiptKind.PAYOUT,
        "transaction_id": "DAP5SALARY",
        "amount": "5000.00",
        "payment_id": None,
        "submission_no": None,
        "operation_id": "salary-13",
        "merchant_reference": "salary of January",
    }
    return payout_entries(receipt(**{**fields, **changes}), None, accounts)


def _booked(of: Receipt, payment: Payment | None = PAYMENT) -> tuple[LedgerEntry, ...]:
    return entries_for(of, payment, DEFAULT_ACCOUNTS)


def _settled(of: Receipt, before: Settlement | None, fee: str) -> tuple[Settlement, tuple[LedgerEntry, ...]]:
    line = Line(
        row=6,
        transaction_id=of.transaction_id,
        kind=of.kind,
        amount=of.amount,
        fee=Money(fee, "BDT"),
        net=None,
        unsettled_status=None,
        reference="INV-8812",
        occurred_on=None,
        settled_on=date(2026, 1, 18),
    )
    plan = plan_settlement(
        line,
        of,
        before,
        statement="january.csv",
        accounts=DEFAULT_ACCOUNTS,
        now=datetime(2026, 1, 18, 4, 0, tzinfo=UTC),
    )
    return plan.settlement, tuple(from_json(LedgerEntry, row.document) for row in plan.outbox)


def _corrected() -> tuple[LedgerEntry, ...]:
    first, _ = _settled(RECEIVED, None, "23.13")
    return _settled(RECEIVED, first, "25.00")[1]


def _flagged(*flags: Flag, of: Receipt = RECEIVED) -> Receipt:
    return replace(of, flags=frozenset(flags))


#: The name of the golden file -> what is booked.
CASES: dict[str, Callable[[], tuple[LedgerEntry, ...]]] = {
    "payment": lambda: _booked(RECEIVED),
    "payment_with_fee": lambda: _booked(replace(RECEIVED, fee=Money("23.13", "BDT"))),
    "part_refund": lambda: _booked(receipt(ReceiptKind.REFUND, "DAH9AAAAA2", "250.50", **_BACK)),
    "refund": lambda: _booked(
        receipt(
            ReceiptKind.REFUND, "DAH9AAAAA3", "1000.00", **{**_BACK, "operation_id": "order-8812/refund-2"}
        )
    ),
    "adopted_refund": lambda: _booked(
        _flagged(
            Flag.ADOPTED,
            of=receipt(ReceiptKind.REFUND, "DAH9AAAAA4", "100.00", **{**_BACK, "operation_id": None}),
        )
    ),
    "settled": lambda: _settled(RECEIVED, None, "23.13")[1],
    "fee_known_before": lambda: _settled(replace(RECEIVED, fee=Money("23.00", "BDT")), None, "23.13")[1],
    "settlement_corrected": _corrected,
    "late": lambda: _booked(_flagged(Flag.LATE)),
    "late_given_back": lambda: _booked(
        _flagged(
            Flag.LATE,
            of=receipt(
                ReceiptKind.REFUND,
                "DAH9AAAAA5",
                "1250.50",
                **{**_BACK, "operation_id": f"late/{PAYMENT.payment_id}/DAF4KWXYZ1"},
            ),
        )
    ),
    "duplicate": lambda: _booked(_flagged(Flag.DUPLICATE, of=replace(RECEIVED, transaction_id="DAF4KWXYZ9"))),
    "mismatch": lambda: _booked(replace(RECEIVED, amount=Money("1200.00", "BDT"), mismatched=True)),
    "by_operator": lambda: _booked(_flagged(Flag.BY_OPERATOR)),
    "operator_contradicted": lambda: _booked(
        replace(_flagged(Flag.BY_OPERATOR), kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYMENT)
    ),
    "gateway_reversal": lambda: _booked(receipt(ReceiptKind.REVERSAL, "DAF4KWXYZ1", "1250.50")),
    "unmatched": lambda: _booked(
        receipt(
            ReceiptKind.PAYMENT,
            "DAQ1QRCODE",
            "80.00",
            payment_id=None,
            submission_no=None,
            operation_id=None,
            merchant_reference=None,
        ),
        None,
    ),
    "payout": lambda: _booked(receipt(ReceiptKind.PAYOUT, "DAP5PAYOUT", "5000.00", operation_id="salary-12")),
    "payout_with_fee": lambda: _paid_out(fee=Money("10.00", "BDT"), transaction_id="DAP5PAYFEE"),
    "payout_contradicted": lambda: _paid_out(
        kind=ReceiptKind.REVERSAL, reverses=ReceiptKind.PAYOUT, flags=frozenset({Flag.BY_OPERATOR})
    ),
    "payout_corrected": lambda: _paid_out(
        kind=ReceiptKind.CORRECTION, corrects=ReceiptKind.PAYOUT, flags=frozenset({Flag.BY_OPERATOR})
    ),
    "payout_mismatch": lambda: _paid_out(transaction_id="DAP5OTHER1", mismatched=True),
    "transfer": lambda: _paid_out(AccountMap(disbursement=_APART), kind=ReceiptKind.TRANSFER),
    "transfer_back": lambda: _paid_out(AccountMap(disbursement=_APART), kind=ReceiptKind.TRANSFER_BACK),
}

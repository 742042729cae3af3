"""Read by mypy --strict and pyright, never run: the blocking facade as a type checker sees it."""

from typing import assert_type

from vextrus_payments import (
    LedgerEntry,
    Money,
    Outcome,
    PaymentEvent,
    PaymentRequest,
    PaymentSession,
    RefundOutcome,
    RefundRequest,
    ReturnResult,
)
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments.sync import Payments, TenantPayments


def post_to_ledger(entry: LedgerEntry) -> None:
    print(entry.id, entry.postings)


async def post_later(entry: LedgerEntry) -> None:
    print(entry.id)


def announce(event: PaymentEvent) -> None:
    print(event.kind, event.merchant_reference)


def load(tenant: str, gateway: str) -> BkashConfig:
    return BkashConfig.from_env()


async def load_later(tenant: str, gateway: str) -> BkashConfig:
    return BkashConfig.from_env()


def load_nothing(tenant: str, gateway: str) -> None:
    print(tenant)


def main() -> None:
    with Payments(store="memory://", ledger=post_to_ledger, on_event=announce) as payments:
        session = payments.initialize(
            PaymentRequest(
                operation_id="order-1/pay",
                gateway="bkash",
                amount=Money("10.00", "BDT"),
                merchant_reference="INV-1",
            )
        )
        assert_type(session, PaymentSession)
        assert_type(payments.execute(session.payment_id, wait_s=5), Outcome)
        assert_type(payments.status(session.payment_id), Outcome)
        assert_type(payments.handle_return("bkash", {"paymentID": "x"}), ReturnResult)
        refund = RefundRequest(operation_id="order-1/refund-1", payment_id=session.payment_id)
        assert_type(payments.refund(refund), RefundOutcome)
        assert_type(payments.deliver(), int)
        tenant = payments.for_tenant("acme")
        assert_type(tenant, TenantPayments)
        assert_type(tenant.execute(session.payment_id), Outcome)
        payments.execute(session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    Payments(store="memory://", ledger=post_later, credentials=load)
    Payments(store="memory://", credentials=load_later)
    Payments(store="memory://", credentials=load_nothing)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Payments(store="memory://", ledger=announce)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

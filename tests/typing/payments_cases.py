"""Read by mypy --strict and pyright, never run: the code of the README as a type checker sees it."""

from typing import assert_type

from vextrus_payments import (
    LedgerEntry,
    Money,
    Outcome,
    PaymentEvent,
    PaymentRequest,
    Payments,
    PaymentSession,
    RefundOutcome,
    RefundRequest,
)


async def post_to_ledger(entry: LedgerEntry) -> None:
    print(entry.id, entry.postings)


async def announce(event: PaymentEvent) -> None:
    print(event.kind, event.merchant_reference)


def forgot_async(entry: LedgerEntry) -> None:
    print(entry.id)


async def takes_an_event(event: PaymentEvent) -> None:
    print(event.id)


async def main() -> None:
    payments = Payments(store="memory", ledger=post_to_ledger, on_event=announce)
    async with payments:
        session = await payments.initialize(
            PaymentRequest(
                operation_id="order-1/pay",
                gateway="bkash",
                amount=Money("10.00", "BDT"),
                merchant_reference="INV-1",
            )
        )
        assert_type(session, PaymentSession)
        assert_type(await payments.execute(session.payment_id), Outcome)
        assert_type(await payments.status(session.payment_id), Outcome)
        refund = RefundRequest(operation_id="order-1/refund-1", payment_id=session.payment_id)
        assert_type(await payments.refund(refund), RefundOutcome)
        await payments.execute(session)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    Payments(store="memory", ledger=forgot_async)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Payments(store="memory", ledger=takes_an_event)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

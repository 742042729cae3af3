"""Read by mypy --strict and pyright, never run: what must type-check does, what must not is marked on its line."""

from decimal import Decimal
from typing import assert_type

from vextrus_payments import Money, PaymentRequest, RefundRequest

assert_type(Money("1250.50", "BDT"), Money)
assert_type(Money(1250, "BDT"), Money)
assert_type(Money(Decimal("1250.50"), "BDT"), Money)
assert_type(Money.from_minor(125050, "BDT"), Money)
assert_type(Money(1) + Money(2), Money)
assert_type(Money(1).amount_minor, int)
assert_type(Money(1).amount, str)
assert_type(Money(1).decimal, Decimal)

# A float holds no amount exactly.
Money(1.5, "BDT")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Money.from_minor(1.5, "BDT")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
# An amount is no number: it has a currency.
Money(1) + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
Money(1) < 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
Money(1).amount_minor = 2  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

request = PaymentRequest(
    operation_id="order-1/pay", gateway="bkash", amount=Money("10.00", "BDT"), merchant_reference="INV-1"
)
request.amount = Money(1)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
PaymentRequest(
    operation_id="order-1/pay",
    gateway="bkash",
    amount="10.00",  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    merchant_reference="INV-1",
)
PaymentRequest("order-1/pay", "bkash", Money(1), "INV-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
RefundRequest(operation_id="order-1/refund-1", payment_id="p", amount=None)
RefundRequest(operation_id="r", payment_id="p", amount=10)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

"""Read by mypy --strict and pyright, never run: a match over the outcomes is exhaustive, or the checker says so."""

from typing import assert_never, assert_type

from vextrus_payments import (
    Authorized,
    Declined,
    Money,
    Outcome,
    Paid,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Unknown,
)


def every_outcome(outcome: Outcome) -> str:
    match outcome:
        case Paid(transaction_id=transaction_id, amount=amount):
            assert_type(amount, Money)
            return transaction_id
        case Authorized():
            return "held"
        case Pending(sent=sent):
            assert_type(sent, bool)
            return "wait"
        case Declined(reason=reason):
            return reason.text("bn")
        case Unknown() | Review():
            return "nobody knows yet"
        case _:
            assert_never(outcome)


def every_refund_outcome(outcome: RefundOutcome) -> str:
    match outcome:
        case Refunded(transaction_id=transaction_id):
            return transaction_id
        case Pending() | Declined() | Unknown():
            return "not yet"
        case _:
            assert_never(outcome)


def forgets_the_unknown(outcome: Outcome) -> str:
    match outcome:
        case Paid() | Authorized():
            return "ship"
        case Declined() | Pending() | Review():
            return "do not"
        case _:
            assert_never(outcome)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def forgets_the_refund_that_nobody_knows(outcome: RefundOutcome) -> str:  # type: ignore[return]  # pyright: ignore[reportReturnType]
    match outcome:  # type: ignore[exhaustive-match]  # pyright: ignore[reportMatchNotExhaustive]
        case Refunded() | Pending() | Declined():
            return "told"


def changes_the_past(paid: Paid) -> None:
    paid.amount = Money(1)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

"""When a worker is to look at a payment next, read off facts alone. The reconciler refines it with what the gateway's
manners allow; what is set here only has to be early enough, and never "never" while something is open."""

from datetime import datetime, timedelta
from typing import Final

from vextrus_payments.consent_pages import other_pages
from vextrus_payments.payouts import look_up_of
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Flag,
    Operation,
    OperationState,
    PaymentFacts,
    PaymentState,
    Payout,
    Submission,
    SubmissionState,
)

#: An operation that was reserved and not claimed within this time was left behind by a crash or a throttle.
_LEFT_BEHIND: Final = timedelta(seconds=60)
#: How often something is looked at that has no end of its own (a hold, a session that never reached us).
_DAY: Final = timedelta(hours=24)
#: How often one asks what was collected under a subscription: first, while it holds, and until when after its end.
SUBSCRIPTION_FIRST: Final = timedelta(seconds=60)
SUBSCRIPTION_AGAIN: Final = timedelta(hours=6)
SUBSCRIPTION_LAST: Final = timedelta(days=8)
"""A payment that failed is tried again days later (at bKash twice, after three days each)."""


def watch_after(facts: PaymentFacts, now: datetime) -> datetime | None:
    """When to look next at a payment with these facts; None when nothing about it is open.

    Open is: an operation that is not settled, a session that can still be paid, a hold, and late money about which
    the shop's policy has not been asked yet.
    """
    payment = facts.payment
    times = [due for operation in facts.operations if (due := _due(operation, now)) is not None]
    if payment.state in (PaymentState.CREATED, PaymentState.AWAITING_PAYER, PaymentState.AUTHORIZED):
        times.append(facts.submission.expires_at or payment.created_at + _DAY)
    times += [_ends(submission) for submission in earlier_pages(facts, now)]
    if Flag.LATE in payment.flags and payment.state is PaymentState.PAID:
        times.append(now)
    return min(times, default=None)


def earlier_pages(facts: PaymentFacts, now: datetime) -> tuple[Submission, ...]:
    """The submissions that are no longer what the payer is sent to, and whose page he may still have before him."""
    return tuple(
        s
        for s in facts.submissions
        if s.state is SubmissionState.SUPERSEDED and s.gateway_reference and _ends(s) > now
    )


def is_paid_page(facts: PaymentFacts, submission: Submission) -> bool:
    """Whether this is the page on which the payment was paid: it is asked about once more, at its end."""
    payment = facts.payment
    return payment.state is PaymentState.PAID and submission.submission_no == payment.submission_no


def _ends(submission: Submission) -> datetime:
    return submission.expires_at or submission.created_at + _DAY


def watch_agreement_after(agreement: Agreement, now: datetime) -> datetime | None:
    """When to look next at an agreement; None when nothing about it is open.

    One that holds is not asked about, unless the gateway collects under it by itself: its news may get lost.
    """
    times = [due for operation in agreement.operations if (due := _due(operation, now)) is not None]
    if agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
        times.append(agreement.expires_at or agreement.created_at + _DAY)
    if other_pages(agreement):
        times.append(max(now, agreement.expires_at or now))
    if agreement.terms is not None:
        times += _collecting(agreement, now)
    return min(times, default=None)


def _collecting(agreement: Agreement, now: datetime) -> list[datetime]:
    if agreement.state is AgreementLife.AWAITING_PAYER:
        return [now + SUBSCRIPTION_FIRST]  # the payer's last click makes it hold
    if agreement.state is AgreementLife.ACTIVE:
        return [now + SUBSCRIPTION_AGAIN]
    if agreement.state is AgreementLife.CLOSED and agreement.agreement_id is not None:
        return [now + SUBSCRIPTION_AGAIN]  # what was collected before the payer took it back
    if agreement.state is AgreementLife.ENDED and now < agreement.updated_at + SUBSCRIPTION_LAST:
        return [now + SUBSCRIPTION_AGAIN]
    return []


def watch_payout_after(payout: Payout, now: datetime) -> datetime | None:
    """When to look next at a payout; None where looking teaches nothing.

    One that is reserved waits for its caller: nobody else lets it out. One that is unknown is asked about only where
    the gateway can be asked; else it waits for a notification or for an operator.
    """
    operation = payout.operation
    open_there = operation.state in (OperationState.UNKNOWN, OperationState.PENDING)
    if operation.state is OperationState.SUBMITTING or (open_there and look_up_of(operation.evidence)):
        return max(now, operation.send_by or now)
    return None


def _due(operation: Operation, now: datetime) -> datetime | None:
    if operation.state is OperationState.RESERVED:
        return operation.updated_at + _LEFT_BEHIND
    if operation.state in (OperationState.SUBMITTING, OperationState.UNKNOWN, OperationState.PENDING):
        return max(now, operation.send_by or now)
    return None

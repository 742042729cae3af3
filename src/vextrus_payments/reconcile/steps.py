"""What the reconciler does next about a payment, and when it looks again: read off facts, capabilities and the time.

Theory of operation. A watch says only "look at this payment now". Here its facts are taken apart into what is open:
an operation that has not come back, one that was reserved and left behind, a session nobody has finished, a hold, an
older session that could still be paid, late money the shop's policy has not been asked about. Each is either due now
(an Action, and when to come again if nothing changes) or due later. Nothing here knows an answer: time passing makes
things due, it never settles them. So whatever is open always has a next time; only what is over has none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from vextrus_payments.capabilities import Capabilities, Completion, Feature
from vextrus_payments.consent_pages import last_page_over_at, other_pages
from vextrus_payments.records import (
    Agreement,
    AgreementLife,
    Flag,
    Operation,
    OperationKind,
    OperationState,
    PaymentFacts,
    PaymentState,
    Payout,
    Submission,
    SubmissionState,
)
from vextrus_payments.states import OPEN_STATES, payment_receipts
from vextrus_payments.watching import (
    SUBSCRIPTION_AGAIN,
    SUBSCRIPTION_FIRST,
    SUBSCRIPTION_LAST,
    is_paid_page,
    watch_payout_after,
)

#: A reserved operation that nobody claimed is somebody's until then; after each claim that sent nothing, the longer.
_LEFT_BEHIND_S: Final = (60, 120, 600, 3600)
#: How often a hold is looked at: nobody documents how long one lasts.
_HOLD: Final = timedelta(hours=24)
#: No claim lets anybody send longer than this. A deadline further away was set by a clock that ran ahead.
_LONGEST_CLAIM: Final = timedelta(minutes=15)
_UNSETTLED: Final = frozenset({PaymentState.CREATED, PaymentState.AWAITING_PAYER})


class Action(StrEnum):
    """What the reconciler can do about a payment, an agreement or a payout."""

    LOOK = "look"
    """Ask the gateway about everything that is open."""
    END_SESSION = "end_session"
    """The session's life is over: withdraw the right to execute, or look a last time."""
    CARRY_ON = "carry_on"
    """Submit what was reserved and left behind."""
    LATE_POLICY = "late_policy"
    """Money came after the payment was closed: do what the shop wants done with it."""
    ADOPT_REFUNDS = "adopt_refunds"
    """Look for refunds at the gateway that nobody here has made."""


_ORDER: Final = tuple(Action)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do now, and when to look again if it changes nothing."""

    actions: tuple[Action, ...] = ()
    at: datetime | None = None
    """None: nothing is open once the actions have been done."""
    why: tuple[str, ...] = ()
    """One sentence for each thing that is open, the next one due first."""


@dataclass(frozen=True, slots=True)
class _Open:
    """One thing that is open: what to do when, and when to come again."""

    action: Action
    due: datetime
    again: datetime | None
    why: str


def next_step(facts: PaymentFacts, capabilities: Capabilities, now: datetime, tries: int) -> Step:
    """What to do about the payment now, and when to look at it next.

    Args:
        tries: how often it has been looked at since it last changed, this time included; at least 1. It is what
            waits grow by, so that no clock that was set wrong can make them short or endless.
    """
    found = list(_open_things(facts, capabilities, now, tries))
    if Flag.QUARANTINED in facts.payment.flags:
        # A person has to look first. What the gateway says meanwhile is still heard, at leisure.
        slow = now + timedelta(seconds=capabilities.polling.open_s[-1])
        found = [
            _Open(o.action, o.due, None if o.again is None else max(o.again, slow), o.why) for o in found
        ]
    return _step(found, now, extra=_with_refunds(facts, capabilities))


def asked_for(
    facts: PaymentFacts, capabilities: Capabilities, now: datetime, *, restored: bool = False
) -> tuple[Action, ...]:
    """What to do when somebody asks for this payment now: what is open is looked at whether or not it is due.

    Only what may be on the wire at this moment is waited for.

    Args:
        restored: the store comes from a backup. Sessions that are over in it are asked about too, and nothing is done
            that sends anything or closes anything on the word of old records alone.
    """
    actions = set(next_step(facts, capabilities, now, 1).actions)
    out = [o for o in facts.operations if o.state in OPEN_STATES and o.kind is not OperationKind.INITIALIZE]
    on_the_wire = still_at_work(facts, capabilities, now)
    reached = any(s.gateway_reference is not None for s in facts.submissions)
    unpaid = facts.payment.state in (*_UNSETTLED, PaymentState.AUTHORIZED)
    doubtful = unpaid or (restored and facts.payment.state is not PaymentState.PAID)
    if restored and not capabilities.can(Feature.REFUND_STATUS) and payment_receipts(facts):
        # What was refunded since the backup is in no list; the payment itself shows at least that something was.
        doubtful = capabilities.can(Feature.REFUND)
    if len(out) > len(on_the_wire) or (not on_the_wire and reached and doubtful):
        actions.add(Action.LOOK)
    if can_adopt(facts, capabilities):
        actions.add(Action.ADOPT_REFUNDS)
    if restored:
        if Action.LOOK in actions and capabilities.can(Feature.REFUND_STATUS):
            # What turns out to have been paid may have been given back, too.
            actions.add(Action.ADOPT_REFUNDS)
        actions -= {Action.CARRY_ON, Action.END_SESSION, Action.LATE_POLICY}
    return tuple(action for action in _ORDER if action in actions)


def still_at_work(facts: PaymentFacts, capabilities: Capabilities, now: datetime) -> tuple[Operation, ...]:
    """The operations with which the gateway may be at work at this moment, as far as the records tell."""
    return tuple(
        o
        for o in facts.operations
        if o.state is OperationState.SUBMITTING
        and o.kind is not OperationKind.INITIALIZE
        and _look(o, capabilities, now, 1).due > now
    )


def next_agreement_step(agreement: Agreement, capabilities: Capabilities, now: datetime, tries: int) -> Step:
    """As next_step, for an agreement: LOOK is the only action there is."""
    found = [
        _look(operation, capabilities, now, tries)
        for operation in agreement.operations
        if operation.state in OPEN_STATES
    ]
    if agreement.state in (AgreementLife.CREATED, AgreementLife.AWAITING_PAYER):
        ends = last_page_over_at(agreement, capabilities.session_life)
        due = ends + timedelta(seconds=capabilities.polling.end_margin_s)
        again = now + _wait(capabilities.polling.open_s, tries)
        found.append(_Open(Action.LOOK, due, again, "the payer has not consented yet"))
    if other_pages(agreement):
        ends = last_page_over_at(agreement, capabilities.session_life)
        due = ends + timedelta(seconds=capabilities.polling.end_margin_s)
        again = now + _wait(capabilities.polling.open_s, tries)
        why = "the payer may have consented on a page whose address never reached us"
        found.append(_Open(Action.LOOK, due, again, why))
    if agreement.terms is not None:
        found += _collected(agreement, capabilities, now, tries)
    return _step(found, now)


def _collected(
    agreement: Agreement, capabilities: Capabilities, now: datetime, tries: int
) -> Iterator[_Open]:
    """A subscription: the gateway collects by itself, and its news of that may get lost."""
    if agreement.state is AgreementLife.AWAITING_PAYER:
        waits = capabilities.polling.session_s or capabilities.polling.open_s
        due = agreement.created_at + SUBSCRIPTION_FIRST
        yield _Open(Action.LOOK, due, now + _wait(waits, tries), "the payer may have consented")
    elif agreement.state is AgreementLife.ACTIVE:
        due = agreement.updated_at + SUBSCRIPTION_AGAIN
        yield _Open(Action.LOOK, due, now + SUBSCRIPTION_AGAIN, "the gateway collects by itself")
    elif agreement.state is AgreementLife.CLOSED and agreement.agreement_id is not None:
        due = agreement.updated_at + SUBSCRIPTION_AGAIN
        yield _Open(Action.LOOK, due, None, "something may have been collected before the payer took it back")
    elif agreement.state is AgreementLife.ENDED:
        last = agreement.updated_at + SUBSCRIPTION_LAST
        if now < last + SUBSCRIPTION_AGAIN:
            again = now + SUBSCRIPTION_AGAIN if now < last else None
            due = agreement.updated_at + SUBSCRIPTION_AGAIN
            why = "what was collected just before the end may not be known yet"
            yield _Open(Action.LOOK, due, again, why)


def next_payout_step(payout: Payout, capabilities: Capabilities, now: datetime, tries: int) -> Step:
    """As next_step, for a payout: LOOK is the only action there is, and none where looking teaches nothing."""
    if watch_payout_after(payout, now) is None:
        return Step(actions=(), at=None, why=())
    return _step([_look(payout.operation, capabilities, now, tries)], now)


def _open_things(
    facts: PaymentFacts, capabilities: Capabilities, now: datetime, tries: int
) -> Iterator[_Open]:
    payment = facts.payment
    for operation in facts.operations:
        if operation.kind is OperationKind.INITIALIZE:
            continue  # nothing moves by it: its payment ends as every session does
        if operation.state in OPEN_STATES:
            yield _look(operation, capabilities, now, tries)
        elif operation.state is OperationState.RESERVED:
            yield _left_behind(operation, facts, capabilities, now)
    if payment.state in _UNSETTLED:
        yield from _session(facts, capabilities, now, tries)
    elif payment.state is PaymentState.AUTHORIZED:
        since = facts.submission.expires_at or payment.created_at + _HOLD
        yield _Open(Action.LOOK, since, now + _HOLD, "the payer's money is held, neither taken nor let go")
    for submission in facts.submissions:
        if submission.state is SubmissionState.SUPERSEDED and submission.gateway_reference is not None:
            yield from _superseded(facts, submission, capabilities, now, tries)
    if Flag.LATE in payment.flags and payment.state is PaymentState.PAID:
        yield _Open(Action.LATE_POLICY, now, None, "money came after the payment had been closed")


def _look(operation: Operation, capabilities: Capabilities, now: datetime, tries: int) -> _Open:
    """An operation that was let out and has not come back."""
    waits = capabilities.polling.open_s
    farthest = now + timedelta(seconds=waits[-1])
    if operation.state is OperationState.SUBMITTING:
        settle = timedelta(seconds=capabilities.hard_limit_s + capabilities.absence_margin_s)
        # On the wire: to ask beside it is bad manners, and an absence would prove nothing.
        due = (operation.send_by or operation.updated_at) + settle
        if due - now > settle + _LONGEST_CLAIM:
            due = now
        why = f"{operation.operation_id} is on its way to the gateway, or was when its process died"
    else:
        due = min(operation.updated_at + timedelta(seconds=waits[0]), farthest)
        word = "is pending at the gateway" if operation.state is OperationState.PENDING else "is unknown"
        why = f"{operation.operation_id} {word}"
    return _Open(Action.LOOK, due, now + _wait(waits, tries), why)


def _left_behind(
    operation: Operation, facts: PaymentFacts, capabilities: Capabilities, now: datetime
) -> _Open:
    """An operation that was promised and that nobody submits."""
    pause = _wait(_LEFT_BEHIND_S, operation.fence + 1)
    due = min(operation.updated_at + pause, now + pause)
    why = f"{operation.operation_id} is reserved and was not sent"
    again = now + _wait(_LEFT_BEHIND_S, operation.fence + 2)
    if operation.kind is OperationKind.EXECUTE and not _can_still_execute(operation, facts, now):
        # Nothing to submit: the payer has to come back, or the session ends, which withdraws it.
        slow = timedelta(seconds=capabilities.polling.open_s[-1])
        return _Open(Action.CARRY_ON, operation.updated_at + slow, now + slow, why)
    return _Open(Action.CARRY_ON, due, again, why)


def _can_still_execute(operation: Operation, facts: PaymentFacts, now: datetime) -> bool:
    """True when the payer has approved as far as anybody knows, and the session is alive."""
    expires_at = facts.submission.expires_at
    return (
        operation.reason is None
        and operation.submission_no == facts.payment.submission_no
        and facts.payment.state is PaymentState.AWAITING_PAYER
        and expires_at is not None
        and expires_at > now
    )


def _session(facts: PaymentFacts, capabilities: Capabilities, now: datetime, tries: int) -> Iterator[_Open]:
    """A session that nobody has finished, or that never reached us."""
    submission, polling = facts.submission, capabilities.polling
    ends = submission.expires_at or submission.created_at + capabilities.session_life
    last = ends + timedelta(seconds=polling.end_margin_s)
    why = "the payer is not done"
    yield _Open(Action.END_SESSION, last, now + _wait(polling.open_s, tries), why)
    if polling.session_s and submission.gateway_reference is not None and now < last:
        due = min(submission.created_at + timedelta(seconds=polling.session_s[0]), last)
        yield _Open(Action.LOOK, due, min(now + _wait(polling.session_s, tries), last), why)


def _superseded(
    facts: PaymentFacts, submission: Submission, capabilities: Capabilities, now: datetime, tries: int
) -> Iterator[_Open]:
    """An older session of the payment, which the payer may still have open in a tab; or the paid one, where it can be
    paid once more."""
    polling = capabilities.polling
    ends = submission.expires_at or submission.created_at + capabilities.session_life
    last = ends + timedelta(seconds=polling.end_margin_s)
    paid = is_paid_page(facts, submission)
    why = (
        f"submission {submission.submission_no} was {'paid' if paid else 'replaced'} and could still be paid"
    )
    if now >= last:
        # Whoever leased it comes for this last look: after it, nothing of the session can change any more.
        yield _Open(Action.LOOK, last, None, why)
        return
    again = last
    due = last
    if polling.session_s and capabilities.completion is Completion.PAYER_COMPLETES and not paid:
        due = min(submission.created_at + timedelta(seconds=polling.session_s[0]), last)
        again = min(now + _wait(polling.session_s, tries), last)
    yield _Open(Action.LOOK, due, again, why)


def _with_refunds(facts: PaymentFacts, capabilities: Capabilities) -> bool:
    """True when asking about refunds anyway: then those that somebody made elsewhere are found as well."""
    asks = any(o.kind is OperationKind.REFUND and o.state in OPEN_STATES for o in facts.operations)
    return asks and can_adopt(facts, capabilities)


def can_adopt(facts: PaymentFacts, capabilities: Capabilities) -> bool:
    """True when the gateway can list the refunds of this payment, and there can be any."""
    return capabilities.can(Feature.REFUND_STATUS) and bool(payment_receipts(facts))


def _step(found: list[_Open], now: datetime, *, extra: bool = False) -> Step:
    due = {o.action for o in found if o.due <= now}
    if extra and Action.LOOK in due:
        due.add(Action.ADOPT_REFUNDS)
    times = [(o.due if o.due > now else o.again, o.why) for o in found]
    ahead = sorted(((at, why) for at, why in times if at is not None), key=lambda one: one[0])
    once = [why for at, why in times if at is None]
    return Step(
        actions=tuple(action for action in _ORDER if action in due),
        at=ahead[0][0] if ahead else None,
        why=tuple(dict.fromkeys([*once, *(why for _, why in ahead)])),
    )


def _wait(waits: tuple[int, ...], turn: int) -> timedelta:
    """The wait after the `turn`-th time, 1 being the first; the last one repeats."""
    return timedelta(seconds=waits[min(max(turn, 1), len(waits)) - 1])

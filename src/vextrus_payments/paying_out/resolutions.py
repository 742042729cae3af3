"""What people decide about payouts: how one ended that nobody can be asked about, and what is not to be sent."""

from dataclasses import replace
from datetime import datetime

from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.paying_out.change import Change, declined, forget, is_only_said
from vextrus_payments.paying_out.reviewing import (
    answer_review,
    booked_for,
    close_review,
    disputed_with,
    reopen_review,
    told_of,
    was_reviewed,
)
from vextrus_payments.payouts import look_up_of
from vextrus_payments.plans import PayoutPlan
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.records import (
    Flag,
    OperationState,
    Payout,
    Resolution,
    ResolutionVerdict,
)
from vextrus_payments.resolving import ResolveRequest
from vextrus_payments.states import OPEN_STATES, claim_is_over

_O = OperationState


def plan_resolve_payout(
    payout: Payout,
    wanted: ResolveRequest,
    settle_s: int,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
    *,
    taken_back: int = 0,
) -> PayoutPlan | None:
    """Write an operator's answer down, with what follows from it. None: this very answer is written down already.

    It is about a payout whose end nobody knows, or about one that is under review: see reviewing.py. `taken_back`: how
    often the transaction that it names was taken back, here or at another payout.

    Raises:
        StaleStateError: the payout is not the one that was reviewed any more.
        ConflictError: there is nothing to answer, or the gateway may still be at work.
        InvalidRequestError: the answer does not fit what it is about.
    """
    resolution = Resolution(
        verdict=wanted.verdict,
        actor=wanted.actor,
        reason=wanted.reason,
        evidence=wanted.evidence,
        reviewed_version=wanted.reviewed_version,
        at=now,
        operation_id=wanted.operation_id,
        transaction_id=wanted.transaction_id,
        amount=wanted.amount,
    )
    if any(replace(said, at=now) == resolution for said in payout.resolutions):
        return None
    _check_about(payout, wanted)
    before = payout.operation
    change = Change(payout, now)
    change.answer(resolution)
    if wanted.verdict is ResolutionVerdict.MADE:
        _check_said(payout, wanted)
    if wanted.verdict is ResolutionVerdict.TAKEN_BACK:
        _take_back_answer(change, payout, wanted, accounts)
    elif payout.in_review and payout.state is _O.SUCCEEDED:
        answer_review(change, wanted, accounts, taken_back=taken_back)
    elif wanted.verdict is ResolutionVerdict.CLEARED:
        if not payout.in_review:
            raise ConflictError(
                "The payout is not under review.",
                code="not_in_review",
                next_step="There is nothing to clear; an unknown one was made, or not made.",
            )
        if not payout.standing and disputed_with(payout) is None:
            raise _gateway_says_made()
        close_review(change, wanted)
    else:
        _settle(change, wanted, settle_s, accounts, taken_back=taken_back)
    change.announce(
        EventKind.RESOLVED,
        before=before.state,
        amount=wanted.amount,
        transaction_id=wanted.transaction_id,
        resolution=resolution,
    )
    return change.plan()


def _check_about(payout: Payout, wanted: ResolveRequest) -> None:
    if payout.version != wanted.reviewed_version:
        raise StaleStateError(
            f"The payout was reviewed at version {wanted.reviewed_version} and is at {payout.version} now."
        )
    # Cleared is about all of a payout, and names no operation.
    if wanted.operation_id not in (None, payout.operation_id):
        raise InvalidRequestError(
            "A payout has one operation, and this is not its id.",
            field="operation_id",
            rule="the payout's operation id",
        )


def _settle(
    change: Change, wanted: ResolveRequest, settle_s: int, accounts: AccountMap, *, taken_back: int
) -> None:
    """Say how one ended that nobody knows the end of."""
    payout, operation = change.payout, change.payout.operation
    contradicted = payout.contradicted
    if operation.state not in OPEN_STATES and not contradicted:
        raise ConflictError(
            f"The payout is {operation.state.value}: there is nothing to answer.",
            code="not_open",
            next_step="Read its state.",
        )
    if operation.send_by is not None and not claim_is_over(operation, settle_s, change.now):
        raise ConflictError(
            "The gateway may still be at work on it: an answer now could be wrong in a moment.",
            code="still_at_work",
            next_step=f"Wait until {settle_s} seconds after it could last be sent, then answer.",
        )
    if wanted.verdict is ResolutionVerdict.NOT_MADE:
        if contradicted and disputed_with(payout) is None:
            raise _gateway_says_made()
        if contradicted:
            raise ConflictError(
                "The gateway says that it was made, under a transaction that is booked to another payout.",
                code="gateway_says_made",
                next_step="Answer the other one first. If the transaction is the other one's indeed, clear this one; "
                "then it is unknown as before.",
            )
        declined(change, Reason(code=ReasonCode.UNKNOWN_ERROR))
        return
    assert wanted.transaction_id is not None and wanted.amount is not None, "_check_said() has"
    told = told_of(payout)
    if contradicted and disputed_with(payout) is None and wanted.transaction_id not in told:
        raise InvalidRequestError(
            f"The gateway tells of {', '.join(sorted(str(one) for one in told))}, and of no such transaction.",
            field="transaction_id",
            rule="one under which the gateway shows this payout",
        )
    receipt = booked_for(payout, wanted.transaction_id, wanted.amount, change.now, taken_back=taken_back)
    change.succeed(receipt, accounts)
    if contradicted and not receipt.mismatched:
        close_review(change, wanted)


def _gateway_says_made() -> ConflictError:
    """Nothing of it is booked, for what was is taken back, and the gateway says that it left all the same."""
    return ConflictError(
        "The gateway says that it was made, and its word outranks everybody's: it is not called declined, nor right as "
        "it stands.",
        code="gateway_says_made",
        next_step="Say what left under its transaction (made). Nothing was written.",
    )


def _take_back_answer(change: Change, payout: Payout, wanted: ResolveRequest, accounts: AccountMap) -> None:
    """The last answer was a mistake, and no gateway has said a word since.

    What ended only by it is unknown again. A review that it ended is open again: what is booked stays, for the gateway
    says that money left, until it is answered anew.
    """
    verdicts = [said.verdict for said in payout.resolutions if said.verdict is not ResolutionVerdict.CLEARED]
    said_no = payout.state is _O.DECLINED and verdicts[-1:] == [ResolutionVerdict.NOT_MADE]
    standing = payout.standing
    said_made = bool(standing) and all(is_only_said(payout, receipt) for receipt in standing)
    # What the gateway has told counts once: forgotten, it could be called not made, for good.
    said_made = said_made and not told_of(payout)
    if not payout.contradicted and (said_no or (payout.state is _O.SUCCEEDED and said_made)):
        for wrong in standing:
            change.take_back(wrong, accounts)
        forget(change)
    elif payout.state is _O.SUCCEEDED and not payout.in_review and was_reviewed(payout):
        reopen_review(change, wanted)
    else:
        raise ConflictError(
            "No person's answer decides how it stands: there is none that could be taken back.",
            code="nothing_to_take_back",
            next_step="Read its state; what is unknown or under review is answered by made, not made or cleared. "
            "Nothing was written.",
        )


def on_operators_word(payout: Payout) -> bool:
    """True for a payout of which only an operator has said how it ended, and about which the gateway can be asked."""
    if not payout.resolutions or look_up_of(payout.operation.evidence) is None:
        return False
    standing = payout.standing
    said_made = bool(standing) and all(Flag.BY_OPERATOR in receipt.flags for receipt in standing)
    return payout.state is _O.DECLINED or said_made


def plan_withdraw_payout(payout: Payout, now: datetime) -> PayoutPlan | None:
    """Cancel what was never let out. None: it is cancelled already.

    Raises:
        ConflictError: it was let out, if only to no effect.
    """
    if payout.state is _O.CANCELLED:
        return None
    if payout.state is not _O.RESERVED:
        raise ConflictError(
            f"The payout is {payout.state.value} and has been let out: it cannot be withdrawn.",
            code="let_out",
            next_step="See its status.",
        )
    change = Change(payout, now)
    change.to(_O.CANCELLED, replace(payout.operation, reason=Reason(code=ReasonCode.PAYMENT_CANCELLED)))
    return change.plan()


def _check_said(payout: Payout, wanted: ResolveRequest) -> None:
    if wanted.transaction_id is None or wanted.amount is None:
        raise InvalidRequestError(
            "What was made has a transaction id and an amount.",
            field="transaction_id",
            rule="with made: the gateway's transaction id, and amount",
        )
    if wanted.amount.currency != payout.amount.currency:
        raise InvalidRequestError(
            f"The payout is in {payout.amount.currency}.", field="amount", rule="the payout's currency"
        )

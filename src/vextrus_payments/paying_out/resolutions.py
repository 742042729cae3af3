"""What people decide about payouts: how one ended that nobody can be asked about, and what is not to be sent."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from vextrus_payments.errors import ConflictError, InvalidRequestError, StaleStateError
from vextrus_payments.events import EventKind
from vextrus_payments.ledger import DEFAULT_ACCOUNTS, AccountMap
from vextrus_payments.money import Money
from vextrus_payments.paying_out.change import Change, declined, receipt_of
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
_BY_OPERATOR: Final = frozenset({Flag.BY_OPERATOR})


def plan_resolve_payout(
    payout: Payout,
    wanted: ResolveRequest,
    settle_s: int,
    now: datetime,
    accounts: AccountMap = DEFAULT_ACCOUNTS,
) -> PayoutPlan:
    """Write an operator's answer down, with what follows from it.

    Raises:
        StaleStateError: the payout is not the one that was reviewed any more.
        ConflictError: there is nothing to answer, or the gateway may still be at work.
        InvalidRequestError: the answer does not fit what it is about.
    """
    operation = payout.operation
    if payout.version != wanted.reviewed_version:
        raise StaleStateError(
            f"The payout was reviewed at version {wanted.reviewed_version} and is at {payout.version} now."
        )
    if wanted.operation_id != operation.operation_id:
        raise InvalidRequestError(
            "A payout has one operation, and this is not its id.",
            field="operation_id",
            rule="the payout's operation id",
        )
    if operation.state not in OPEN_STATES:
        raise ConflictError(
            f"The payout is {operation.state.value}: there is nothing to answer.",
            code="not_open",
            next_step="Read its state.",
        )
    if operation.send_by is not None and not claim_is_over(operation, settle_s, now):
        raise ConflictError(
            "The gateway may still be at work on it: an answer now could be wrong in a moment.",
            code="still_at_work",
            next_step=f"Wait until {settle_s} seconds after it could last be sent, then answer.",
        )
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
    change = Change(payout, now)
    change.payout = replace(change.payout, resolutions=(*payout.resolutions, resolution))
    if wanted.verdict is ResolutionVerdict.MADE:
        transaction_id, amount = _said(payout, wanted)
        receipt = receipt_of(payout, transaction_id, amount, now, flags=_BY_OPERATOR)
        change.succeed(receipt, accounts)
    else:
        declined(change, Reason(code=ReasonCode.UNKNOWN_ERROR))
    change.announce(
        EventKind.RESOLVED,
        before=operation.state,
        amount=wanted.amount,
        transaction_id=wanted.transaction_id,
        resolution=resolution,
    )
    return change.plan()


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


def _said(payout: Payout, wanted: ResolveRequest) -> tuple[str, Money]:
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
    return wanted.transaction_id, wanted.amount

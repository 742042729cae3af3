"""A payout or transfer in three sentences: what happened, whether money moved, what to do next."""

from dataclasses import dataclass

from vextrus_payments.cli.declines import Mover, next_of, words_of
from vextrus_payments.outcomes import (
    Declined,
    PayoutOutcome,
    Pending,
    Review,
    Sent,
    TransferOutcome,
    Transferred,
    Unknown,
)
from vextrus_payments.paying_out import payout_outcome_of
from vextrus_payments.records import OperationKind, Payout


@dataclass(frozen=True, slots=True)
class PayoutShort:
    """The head of the story."""

    what: str
    money: str
    todo: tuple[str, ...]
    outcome: PayoutOutcome | TransferOutcome


def mover_of(payout: Payout) -> Mover:
    """What it is called where it is declined."""
    return Mover.TRANSFER if payout.operation.kind is OperationKind.TRANSFER else Mover.PAYOUT


def payout_in_short(payout: Payout) -> PayoutShort:
    """The payout or transfer in three sentences."""
    outcome = payout_outcome_of(payout)
    return PayoutShort(_what(payout, outcome), _money(outcome), _todo(payout, outcome), outcome)


def _what(payout: Payout, outcome: PayoutOutcome | TransferOutcome) -> str:
    at = f"{payout.gateway} ({payout.mode.value})"
    name = f"{payout.operation_id}, a {mover_of(payout).value} of {payout.amount} at {at},"
    match outcome:
        case Sent(transaction_id=trx) | Transferred(transaction_id=trx):
            return f"{name} was made, transaction {trx}."
        case Declined(reason=reason):
            return f"{name} was declined. {words_of(reason, mover_of(payout)).why}"
        case Review(what=what):
            return f"{name} is under review. {what}"
        case Unknown():
            return f"{name} is unknown: nobody can tell yet how it ended."
        case Pending(sent=True):
            return f"{name} is under way at the gateway."
        case Pending():
            return f"{name} waits for its caller: it has not been let out."


def _money(outcome: PayoutOutcome | TransferOutcome) -> str:
    match outcome:
        case Sent():
            return f"Money moved: {outcome.amount} left."
        case Transferred():
            return f"Money moved: {outcome.amount}, between your own accounts at the gateway."
        case Declined() | Pending(sent=False):
            return "No money moved."
        case _:
            return "Money may have moved: nobody can tell yet."


def _todo(payout: Payout, outcome: PayoutOutcome | TransferOutcome) -> tuple[str, ...]:
    name = payout.operation_id
    match outcome:
        case Unknown():
            step = f"Nothing is sent again. Look it up in the gateway's portal: vextrus-pay payout resolve {name}"
        case Review():
            step = f"Compare it with the gateway's portal: vextrus-pay payout resolve {name}"
        case Pending(sent=True):
            step = f"Ask again: vextrus-pay payout status {name}"
        case Pending():
            step = f"Ask for it again with the same operation id, or: vextrus-pay payout withdraw {name}"
        case Declined(reason=reason):
            step = next_of(reason, mover_of(payout))
        case _:
            step = "Nothing: it is over."
    return (step,)

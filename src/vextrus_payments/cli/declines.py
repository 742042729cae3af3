"""A refund or payout that was declined, in words of its own: why, and what to do next.

The sentences of `reasons` are for somebody who pays ("Please start again"). Of money that goes back or goes out, the
one who reads is the merchant: there is no payer to start again, and the name of the refused call is used up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from vextrus_payments.reasons import Reason, ReasonCode

_R = ReasonCode


class Mover(StrEnum):
    """What of the merchant's own was declined."""

    REFUND = "refund"
    PAYOUT = "payout"
    TRANSFER = "transfer"


@dataclass(frozen=True, slots=True)
class Words:
    """Why it was declined, and what to do about that."""

    why: str
    todo: str


_ASK_SUPPORT: Final = "Ask the gateway's support, with the code."
_CREDENTIALS: Final = "Check the credentials: do they belong to this product, and may they do this?"
_LATER: Final = "Try again later."

_ANY: Final[Mapping[ReasonCode, Words]] = {
    _R.INVALID_CREDENTIALS: Words("The gateway does not take the credentials for it.", _CREDENTIALS),
    _R.TOO_MANY_TRIES: Words("The gateway was asked too often in a short time.", _LATER),
    _R.GATEWAY_UNAVAILABLE: Words("The gateway is under maintenance.", _LATER),
    _R.INVALID_REQUEST: Words(
        "Something of what was asked breaks a rule of the gateway's.",
        "Correct it; unchanged it is declined again.",
    ),
    _R.INVALID_AMOUNT: Words("The gateway does not take this amount.", "Ask for another amount."),
    _R.UNKNOWN_ERROR: Words("It was not made, and no reason was given.", _ASK_SUPPORT),
}
_REFUND: Final[Mapping[ReasonCode, Words]] = {
    _R.INSUFFICIENT_BALANCE: Words(
        "Your account at the gateway does not hold enough to give it back.",
        "Put money into that account first.",
    ),
    _R.INVALID_PAYMENT: Words(
        "The gateway knows no payment that this could be given back of, or that payment is not in a state for it.",
        "Look at the payment in the gateway's portal.",
    ),
    _R.PAYMENT_CANCELLED: Words(
        "The payment was cancelled, so there is nothing to give back.",
        "Look at the payment in the gateway's portal.",
    ),
    _R.PAYMENT_EXPIRED: Words("The gateway's time for it was over.", _LATER),
    _R.PAYER_NOT_FINISHED: Words("The payment is not finished at the gateway yet.", _LATER),
    _R.DUPLICATE_PAYMENT: Words(
        "The gateway takes it for one that was just made.",
        "Look in its portal what has been given back, before you ask for more.",
    ),
    _R.ACCOUNT_BLOCKED: Words(
        "The wallet that paid cannot take money at the moment.", "Ask its owner to see the wallet's support."
    ),
    _R.ACCOUNT_NOT_FOUND: Words(
        "There is no such wallet any more.", "Agree with its owner on another way to give the money back."
    ),
    _R.MERCHANT_NOT_PERMITTED: Words(
        "Your merchant account may not give money back.", "Ask the gateway to allow it."
    ),
    _R.REFUND_NOT_ALLOWED: Words(
        "The gateway does not give this payment back: it was given back before, or it cannot be (yet).",
        "Look in its portal what has been given back.",
    ),
    _R.REFUND_AMOUNT_INVALID: Words(
        "It is more than the gateway has left of the payment.", "Ask for less: its portal shows what is left."
    ),
    _R.REFUND_WINDOW_CLOSED: Words(
        "The gateway's time for giving this payment back is over.",
        "Agree with the payer on another way; a repeated refund is declined again.",
    ),
}
_PAYOUT: Final[Mapping[ReasonCode, Words]] = {
    _R.INSUFFICIENT_BALANCE: Words(
        "The account that it is taken from does not hold enough.",
        "Put money into it (vextrus-pay payout transfer); vextrus-pay balance tells what it holds.",
    ),
    _R.INVALID_PAYMENT: Words("The gateway does not know it, or it is over there.", _ASK_SUPPORT),
    _R.PAYMENT_CANCELLED: Words("The gateway has cancelled it.", _ASK_SUPPORT),
    _R.PAYMENT_EXPIRED: Words("The gateway's time for it was over.", _LATER),
    _R.DUPLICATE_PAYMENT: Words(
        "The gateway takes it for one that was just made.",
        "Look in its portal what has been sent, before you send more.",
    ),
    _R.ACCOUNT_BLOCKED: Words(
        "The receiver's wallet cannot take money at the moment.", "Ask its owner to see the wallet's support."
    ),
    _R.ACCOUNT_NOT_FOUND: Words("There is no such wallet.", "Check the receiver's number."),
    _R.MERCHANT_NOT_PERMITTED: Words(
        "Your merchant account may not send money.", "Ask the gateway to allow it."
    ),
}
_OWN: Final[Mapping[Mover, Mapping[ReasonCode, Words]]] = {
    Mover.REFUND: _REFUND,
    Mover.PAYOUT: _PAYOUT,
    Mover.TRANSFER: _PAYOUT,
}
_WITHDRAWN: Final = Words(
    "It was withdrawn before it was sent.", "If that was meant, there is nothing left to do."
)
_AGAIN: Final = "Another try takes an --operation-id of its own: under this one nothing is sent any more."

_IN_BANGLA: Final[Mapping[Mover, str]] = {
    Mover.REFUND: "টাকা ফেরত দেওয়া হয়নি; কোনো টাকা লেনদেন হয়নি।",
    Mover.PAYOUT: "টাকা পাঠানো হয়নি; কোনো টাকা লেনদেন হয়নি।",
    Mover.TRANSFER: "টাকা স্থানান্তর করা হয়নি; কোনো টাকা লেনদেন হয়নি।",
}
#: Their sentences are about refunds as they are.
_ABOUT_REFUNDS: Final = frozenset({_R.REFUND_NOT_ALLOWED, _R.REFUND_AMOUNT_INVALID, _R.REFUND_WINDOW_CLOSED})


def title_of(reason: Reason, mover: Mover) -> str:
    """What became of it, in two words."""
    return f"{mover.value.capitalize()} {'withdrawn' if _is_withdrawn(reason) else 'declined'}"


def _is_withdrawn(reason: Reason) -> bool:
    # A gateway's own "cancelled" has the gateway's code.
    return reason.code is _R.PAYMENT_CANCELLED and reason.gateway_code is None


def words_of(reason: Reason, mover: Mover) -> Words:
    """Why it was declined and what to do, for the merchant. Whether money moved is not in it: none did."""
    if _is_withdrawn(reason):
        return _WITHDRAWN
    known = _OWN[mover].get(reason.code) or _ANY.get(reason.code)
    return known or Words(f"The gateway declined the {mover.value}.", _ASK_SUPPORT)


def next_of(reason: Reason, mover: Mover) -> str:
    """What to do, with what a repeated command would do: nothing."""
    return f"{words_of(reason, mover).todo} {_AGAIN}"


def in_bangla(reason: Reason, mover: Mover) -> str:
    """For somebody who asks where the money is. The gateway's own Bangla is for one who pays, and not shown here."""
    if mover is Mover.REFUND and reason.code in _ABOUT_REFUNDS:
        return Reason(code=reason.code).text("bn")
    return _IN_BANGLA[mover]

"""Nagad's error codes (dossier §10) and what each one means for the call that got it.

One code means different things to different calls: 083 ("duplicate order id") after an initialize says that this order
id is used up, and 056 ("encryption failed") speaks of Nagad's own answer, which is made after the deed. So the table
is keyed (operation, code): a row of `CODES` gives the code's class and the payer's reason, and the family of the
operation turns the class into an exception.

The rules behind the families:

* **initialize** and **complete** move nothing. What is wrong with the request or the payer is final; what went wrong at
  Nagad counts as a lost answer, so that the next try is a new submission with an order id of its own;
* a refused **verify** is never final: it says nothing about the payment it asked for;
* after a **refund** "something failed" leaves the outcome open, and so does everything that may have been said after
  the money had gone.

A code that is not in this file is no refusal: `meaning_of` gives None and the answer counts as unreadable.
"""

from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from vextrus_payments.errors import AuthenticationRejectedError, DeclinedError, OutcomeUnknownError
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.wire import Safety


class Operation(StrEnum):
    """Every call of the check-out API, as the log and the error table name it."""

    INITIALIZE = "initialize"
    COMPLETE = "complete"
    VERIFY = "verify"
    REFUND = "refund"


SAFETY: Final = MappingProxyType(
    {
        Operation.INITIALIZE: Safety.DISPOSABLE,
        # It opens the page, and the page can only be visited by whoever got its address from the answer.
        Operation.COMPLETE: Safety.DISPOSABLE,
        Operation.VERIFY: Safety.READ,
        Operation.REFUND: Safety.ONCE,
    }
)
"""What sending each call twice can do (§10)."""


class CodeRow(NamedTuple):
    """One code of §10: Nagad's meaning, its class, and the reason a payer is given."""

    meaning: str
    kind: ErrorClass
    reason: ReasonCode


_CFG, _VAL, _CUST, _DUP = ErrorClass.CFG, ErrorClass.VAL, ErrorClass.CUST, ErrorClass.DUP
_STATE, _NF, _UNK = ErrorClass.STATE, ErrorClass.NF, ErrorClass.UNK
_R = ReasonCode

CODES: Final = MappingProxyType(
    {
        "16_0006_001": CodeRow("invalid PIN", _CUST, _R.WRONG_PIN),
        "16_0006_004": CodeRow("invalid merchant id", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_017": CodeRow("the purchase is in another state", _STATE, _R.INVALID_PAYMENT),
        "16_0006_040": CodeRow("invalid encrypted request type", _VAL, _R.INVALID_REQUEST),
        "16_0006_050": CodeRow("invalid merchant id", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_052": CodeRow("invalid merchant", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_053": CodeRow("the merchant is not active", _CFG, _R.MERCHANT_NOT_PERMITTED),
        "16_0006_055": CodeRow("invalid payment reference", _NF, _R.INVALID_PAYMENT),
        "16_0006_056": CodeRow("Nagad could not encrypt its answer", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_057": CodeRow("Nagad could not decrypt the request", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_058": CodeRow("the signature was not accepted", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_059": CodeRow("invalid sensitive data", _VAL, _R.INVALID_REQUEST),
        "16_0006_060": CodeRow("error while processing sensitive data", _UNK, _R.GATEWAY_UNAVAILABLE),
        "16_0006_061": CodeRow("invalid merchant key", _CFG, _R.INVALID_CREDENTIALS),
        "16_0006_064": CodeRow("a mandatory header is missing", _VAL, _R.INVALID_REQUEST),
        "16_0006_068": CodeRow("invalid order id", _VAL, _R.INVALID_REQUEST),
        "16_0006_069": CodeRow("the data is not encoded", _VAL, _R.INVALID_REQUEST),
        "16_0006_075": CodeRow("Nagad could not store it", _UNK, _R.GATEWAY_UNAVAILABLE),
        "16_0006_076": CodeRow("the time is outside the allowed window", _CFG, _R.GATEWAY_UNAVAILABLE),
        "16_0006_080": CodeRow("invalid currency code", _VAL, _R.INVALID_REQUEST),
        "16_0006_081": CodeRow("invalid date format", _VAL, _R.INVALID_REQUEST),
        "16_0006_083": CodeRow("the order id was used before on the same day", _DUP, _R.DUPLICATE_PAYMENT),
        "16_0006_999": CodeRow("invalid request", _UNK, _R.UNKNOWN_ERROR),
        "50_0026_851": CodeRow("over the payer's limit", _CUST, _R.ACCOUNT_BLOCKED),
    }
)
"""Every error code of §10. Wording ours."""

CLOCK: Final = "16_0006_076"

_ADVICE: Final = MappingProxyType(
    {
        _CFG: "Check merchant id, keys and mode in Nagad's portal and here; `vextrus-pay doctor` explains a bad key.",
        _VAL: "Correct the request; repeating it as it is brings the same answer.",
        _CUST: "Show the reason to the payer; a new attempt is a new payment.",
        _DUP: "Look up the earlier submission of this order id; the next one gets an id of its own.",
        _STATE: "Look up its state at Nagad first.",
        _NF: "Check that the reference belongs to this merchant and mode.",
        _UNK: "Do not send it again; look it up until Nagad answers.",
    }
)
_CLOCK_ADVICE: Final = (
    "Set this machine's clock, then try again: Nagad takes times that are some minutes old at most."
)
_NEXT_SUBMISSION: Final = (
    "Nothing can be paid by it; try again, which makes a submission with an order id of its own."
)

#: Codes that may be said after the money has gone back: what fails is Nagad's own answer, or what it speaks of is the
#: state that the refund itself leaves behind.
_AFTER_THE_DEED: Final = frozenset({"16_0006_056", "16_0006_061"})


def meaning_of(operation: str, code: str) -> ErrorMeaning | None:
    """The row for this call and this code; None for a code that §10 does not list (no refusal: unreadable).

    Args:
        operation: a name of `Operation`.
        code: Nagad's code as text.

    Raises:
        ValueError: Nagad has no operation of that name.
    """
    asked = Operation(operation)
    return _known_meaning(asked, code) if code in CODES else None


@cache  # bounded: only listed codes come here, never what a wire may invent
def _known_meaning(asked: Operation, code: str) -> ErrorMeaning:
    row = CODES[code]
    advice = _CLOCK_ADVICE if code == CLOCK else _ADVICE[row.kind]
    match asked:
        case Operation.INITIALIZE | Operation.COMPLETE:
            return _opening(asked, code, row, advice)
        case Operation.VERIFY:
            return _verifying(row, advice)
        case Operation.REFUND:
            return _refunding(code, row, advice)


def _opening(asked: Operation, code: str, row: CodeRow, advice: str) -> ErrorMeaning:
    used_up = row.kind is _DUP or (asked is Operation.COMPLETE and row.kind in (_STATE, _NF))
    if row.kind is _UNK or used_up:
        return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=_NEXT_SUBMISSION)
    if code == CLOCK:
        return _declined(row, advice, final=False)
    if row.kind is _CFG:
        return ErrorMeaning(kind=row.kind, error=AuthenticationRejectedError, advice_en=advice)
    return _declined(row, advice, final=True)


def _verifying(row: CodeRow, advice: str) -> ErrorMeaning:
    if row.kind is _CFG:
        return ErrorMeaning(kind=row.kind, error=AuthenticationRejectedError, advice_en=advice)
    if row.kind is _UNK:
        return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=advice)
    return _declined(row, advice, final=False)


def _refunding(code: str, row: CodeRow, advice: str) -> ErrorMeaning:
    if row.kind is _UNK or code in _AFTER_THE_DEED:
        return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=_ADVICE[_UNK])
    if code == CLOCK:
        return _declined(row, advice, final=False)
    if row.kind is _CFG:
        return ErrorMeaning(kind=row.kind, error=AuthenticationRejectedError, advice_en=advice)
    # "Another state" and "used before" may be what this very refund has left behind: a look settles it.
    return ErrorMeaning(
        kind=row.kind,
        error=DeclinedError,
        reason=_R.REFUND_NOT_ALLOWED if row.kind in (_STATE, _NF, _DUP) else row.reason,
        final=True,
        look_up_first=row.kind in (_STATE, _DUP),
        advice_en=advice,
    )


def _declined(row: CodeRow, advice: str, *, final: bool) -> ErrorMeaning:
    return ErrorMeaning(kind=row.kind, error=DeclinedError, reason=row.reason, final=final, advice_en=advice)

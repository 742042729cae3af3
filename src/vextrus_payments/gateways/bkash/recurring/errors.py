"""Error codes of bKash's Recurring Payment Platform (dossier §7, §9) and what each one means for the call that got it.

A name space of its own: 2004 is "request id used before" here and something else in Tokenized Checkout, so nothing is
shared with `bkash/errors.py`. The guide gives every code a name and a sentence; whether it may be said after the deed
it does not say, so:

* **create** moves nothing: what is wrong with the request is final, and a request id that was used before (2004) counts
  as a lost answer, so that the next try has an id of its own;
* a refused **look-up** says nothing about what it asked for;
* **cancel** is the same twice as once: "not cancellable" is settled by a look;
* after a **refund** only what names a request that cannot have been begun is a refusal; anything else leaves it open.

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
    """Every call of the platform, as the log and the error table name it."""

    CREATE = "subscription_create"
    QUERY = "subscription_query"
    LIST = "subscription_list"
    CANCEL = "subscription_cancel"
    SCHEDULE = "subscription_schedule"
    PAYMENTS = "subscription_payments"
    PAYMENT = "subscription_payment"
    REFUND = "subscription_refund"


SAFETY: Final = MappingProxyType(
    {
        # Its page can only be visited by whoever got its address from the answer; a lost one gets another request id.
        Operation.CREATE: Safety.DISPOSABLE,
        Operation.QUERY: Safety.READ,
        Operation.LIST: Safety.READ,
        Operation.CANCEL: Safety.IDEMPOTENT,
        Operation.SCHEDULE: Safety.READ,
        Operation.PAYMENTS: Safety.READ,
        Operation.PAYMENT: Safety.READ,
        Operation.REFUND: Safety.ONCE,
    }
)
"""What sending each call twice can do."""


class CodeRow(NamedTuple):
    """One code of the guide: its name there, our wording, its class, and the reason that is given."""

    name: str
    meaning: str
    kind: ErrorClass
    reason: ReasonCode = ReasonCode.INVALID_REQUEST


_CFG, _VAL, _DUP, _STATE = ErrorClass.CFG, ErrorClass.VAL, ErrorClass.DUP, ErrorClass.STATE
_NF, _PERM, _UNK = ErrorClass.NF, ErrorClass.PERM, ErrorClass.UNK
_R = ReasonCode

USED_BEFORE: Final = "2004"
TOO_LATE_TODAY: Final = "2001"
NOT_CANCELLABLE: Final = "2010"
NO_SUBSCRIPTION: Final = "2009"
NO_PAYMENT: Final = "3003"

CODES: Final = MappingProxyType(
    {
        "1001": CodeRow("METHOD_ARGUMENT_INVALID", "an argument is invalid", _VAL),
        "1002": CodeRow("METHOD_ARGUMENT_TYPE_MISMATCH", "an argument is of the wrong type", _VAL),
        "1003": CodeRow("HTTP_MESSAGE_UNREADABLE", "the request could not be read", _VAL),
        # Of a database: it may be said of a row that this very request, or an earlier one, has made.
        "1004": CodeRow("DATA_INTEGRITY_VIOLATION", "a key is there already", _UNK, _R.UNKNOWN_ERROR),
        "2000": CodeRow("INVALID_SUBSCRIPTION_FIELD", "a field is invalid", _VAL),
        "2001": CodeRow(
            "START_DATE_EXCEEDS_CURRENT_DATE", "after 11:30 pm no subscription begins on that day", _VAL
        ),
        "2002": CodeRow("START_DATE_IS_PREVIOUS", "the start lies in the past", _VAL),
        "2003": CodeRow("START_DATE_AFTER_EXPIRY", "the start lies behind the expiry", _VAL),
        "2004": CodeRow("SUBSCRIPTION_REQUEST_ID_USED", "the request id was used before", _DUP),
        "2005": CodeRow("SERVICE_ID_NOT_FOUND", "there is no such service id", _CFG),
        "2006": CodeRow("SERVICE_ID_DISABLED", "the service id is switched off", _PERM),
        "2007": CodeRow(
            "SERVICE_ID_FOR_REQUESTER_DISABLED", "the service id is switched off for this merchant", _PERM
        ),
        "2008": CodeRow("SERVICE_ID_FOR_REQUESTER_NOT_FOUND", "the service id is not this merchant's", _CFG),
        "2009": CodeRow("SUBSCRIPTION_NOT_FOUND", "there is no such subscription", _NF, _R.INVALID_AGREEMENT),
        "2010": CodeRow(
            "SUBSCRIPTION_NOT_CANCELLABLE",
            "the subscription cannot be cancelled",
            _STATE,
            _R.INVALID_AGREEMENT,
        ),
        "2011": CodeRow("MERCHANT_NOT_VALID_FOR_REQUESTER", "the merchant is not the requester's", _PERM),
        "2012": CodeRow("MERCHANT_NOT_FOUND_SHORTCODE", "there is no merchant of this short code", _CFG),
        "2013": CodeRow("REQUESTER_NOT_FOUND_WITH_API_KEY", "the API key is nobody's", _CFG),
        "2014": CodeRow("REQUESTER_NOT_AUTHORIZED", "the merchant may not do this", _PERM),
        "2015": CodeRow("SUBSCRIPTION_NOT_EXTENDABLE", "the subscription cannot be extended", _STATE),
        "2016": CodeRow("EXTENDED_END_DATE_INVALID", "the extended end is invalid", _VAL),
        "2017": CodeRow("SERVICE_ID_INVALID", "the service id is invalid", _CFG),
        "2018": CodeRow(
            "TRANSACTION_AMOUNT_BELLOW_CONFIGURED_LIMIT", "the amount is below the merchant's limit", _VAL
        ),
        "2019": CodeRow("MERCHANT_DISABLED", "the merchant is switched off", _PERM),
        "2020": CodeRow("MERCHANT_NOT_LINKED", "the merchant is not linked", _PERM),
        "2021": CodeRow("START_DATE_OR_EXPIRY_DATE_INVALID", "start or expiry is missing or invalid", _VAL),
        "2022": CodeRow("START_DATE_AND_EXPIRY_DATE_SAME", "start and expiry are the same day", _VAL),
        "2023": CodeRow("EXPIRY_DATE_BELLOW_THRESHOLD", "the expiry is too soon for the frequency", _VAL),
        "3000": CodeRow("MERCHANT_NOT_FOUND_WITH_ID", "there is no such merchant", _CFG),
        "3001": CodeRow("FIELD_VALUE_INVALID", "a field's value is invalid", _VAL),
        "3003": CodeRow("PAYMENT_NOT_FOUND_WITH_ID", "there is no such payment", _NF, _R.INVALID_PAYMENT),
        "3004": CodeRow(
            "SUBSCRIPTION_NOT_FOUND_WITH_ID", "there is no such subscription", _NF, _R.INVALID_AGREEMENT
        ),
        "3005": CodeRow(
            "SUBSCRIPTION_NOT_CANCELLABLE_ADMIN",
            "the subscription cannot be cancelled",
            _STATE,
            _R.INVALID_AGREEMENT,
        ),
        "3006": CodeRow(
            "MERCHANT_PASSWORD_ENCRYPTION_FAILED", "a password was not encrypted", _UNK, _R.UNKNOWN_ERROR
        ),
        "3007": CodeRow("MERCHANT_WITH_WALLET_SHORTCODE_EXISTS", "such a merchant exists", _STATE),
        "3008": CodeRow(
            "OTHER_MERCHANT_WITH_WALLET_SHORTCODE_EXISTS", "another such merchant exists", _STATE
        ),
        "3009": CodeRow("SERVICE_ID_EXISTS", "such a service exists", _STATE),
        "3010": CodeRow("SERVICE_WITH_API_SCOPE", "another service has this scope", _STATE),
        "3011": CodeRow("INVALID_PASSWORD_LENGTH", "a password has the wrong length", _VAL),
        "3013": CodeRow("INVALID_SMS_LENGTH", "a text message is too long", _VAL),
        "3015": CodeRow("MERCHANT_EXISTS", "such a merchant exists", _STATE),
    }
)
"""Every code of the guide (§9: 1001-1004, 2000-2023, 3000-3015). Wording ours."""

_ADVICE: Final = MappingProxyType(
    {
        _CFG: "Check the API key, the service id and the mode against what bKash gave you.",
        _PERM: "Ask your contact at bKash: the merchant is not set up for this.",
        _VAL: "Correct the request; repeating it as it is brings the same answer.",
        _DUP: "Nothing can be paid by it; try again, which asks under a request id of its own.",
        _STATE: "Look up its state at bKash first.",
        _NF: "Check that the id belongs to this merchant and mode.",
        _UNK: "Do not send it again; look it up until bKash answers.",
    }
)
#: What a refund can be refused with before anything was begun.
_REFUND_NEVER_BEGAN: Final = frozenset({"1001", "1002", "1003", "3001", NO_PAYMENT})


def meaning_of(operation: str, code: str) -> ErrorMeaning | None:
    """The row for this call and this code; None for a code that the guide does not list (no refusal: unreadable).

    Raises:
        ValueError: the platform has no operation of that name.
    """
    asked = Operation(operation)
    return _known_meaning(asked, code) if code in CODES else None


@cache  # bounded: only listed codes come here, never what a wire may invent
def _known_meaning(asked: Operation, code: str) -> ErrorMeaning:
    row = CODES[code]
    advice = _ADVICE[row.kind]
    if asked is Operation.REFUND:
        if code in _REFUND_NEVER_BEGAN:
            return _declined(row, advice, final=True, reason=_R.REFUND_NOT_ALLOWED)
        if row.kind is not _CFG:
            return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=_ADVICE[_UNK])
    if row.kind is _CFG:
        return ErrorMeaning(kind=row.kind, error=AuthenticationRejectedError, advice_en=advice)
    if row.kind is _UNK or row.kind is _DUP:
        return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=advice)
    return _declined(row, advice, final=asked in (Operation.CREATE, Operation.SCHEDULE), reason=row.reason)


def _declined(row: CodeRow, advice: str, *, final: bool, reason: ReasonCode) -> ErrorMeaning:
    return ErrorMeaning(
        kind=row.kind,
        error=DeclinedError,
        reason=reason,
        final=final,
        look_up_first=row.kind is _STATE,
        advice_en=advice,
    )

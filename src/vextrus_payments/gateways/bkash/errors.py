"""bKash's error codes (dossier §9) and what each one means for the call that got it.

One code means different things to different calls: 2003 after an execute leaves the outcome open, after a search
it says "not found"; 2053 is success to an agreement cancel and the end of an agreement payment. So the table is
keyed (operation, code): a row of `CODES` gives the code's class and the payer's reason, the family of the
operation turns the class into an exception, and `_SPECIAL` holds what differs from that by name.

The rules behind the families:

* a refused **token** call is never a decline of a payment: it is AuthenticationRejectedError or, where bKash only
  said that something went wrong, GatewayError;
* a refused **create** is final: nothing exists at bKash that could be paid;
* a refused **look-up** is never final: it says nothing about the payment it asked for;
* on a call that **may move money**, maintenance (503) and "something failed" (2003, 2020, 2024, 9999) leave the
  outcome open; the classes CUST, LOCK, VAL, PERM and DUP are final, the others are not (DESIGN §3).

A code that is not in this file is no refusal: `meaning_of` gives None and the answer counts as unreadable.
"""

from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from vextrus_payments.errors import (
    AuthenticationRejectedError,
    DeclinedError,
    GatewayError,
    OutcomeUnknownError,
)
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.wire import Safety


class Operation(StrEnum):
    """Every call of Tokenized Checkout v1.2.0-beta, as the log and the error table name it."""

    GRANT = "grant"
    REFRESH = "refresh"
    CREATE = "create"
    EXECUTE = "execute"
    QUERY = "query"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    REFUND_STATUS = "refund_status"
    SEARCH = "search"
    AGREEMENT_CREATE = "agreement_create"
    AGREEMENT_EXECUTE = "agreement_execute"
    AGREEMENT_STATUS = "agreement_status"
    AGREEMENT_CANCEL = "agreement_cancel"
    PAYOUT = "payout"
    PAYOUT_INITIATE = "payout_initiate"
    PAYOUT_QUERY = "payout_query"
    TRANSFER = "transfer"
    BALANCE = "balance"


SAFETY: Final = MappingProxyType(
    {
        Operation.GRANT: Safety.DISPOSABLE,
        Operation.REFRESH: Safety.DISPOSABLE,
        Operation.CREATE: Safety.DISPOSABLE,
        Operation.AGREEMENT_CREATE: Safety.DISPOSABLE,
        Operation.EXECUTE: Safety.ONCE,
        Operation.AGREEMENT_EXECUTE: Safety.ONCE,
        Operation.CAPTURE: Safety.ONCE,
        Operation.VOID: Safety.ONCE,
        Operation.REFUND: Safety.ONCE,
        Operation.AGREEMENT_CANCEL: Safety.IDEMPOTENT,
        Operation.QUERY: Safety.READ,
        Operation.SEARCH: Safety.READ,
        Operation.REFUND_STATUS: Safety.READ,
        Operation.AGREEMENT_STATUS: Safety.READ,
        Operation.PAYOUT: Safety.ONCE,
        Operation.TRANSFER: Safety.ONCE,
        Operation.PAYOUT_INITIATE: Safety.DISPOSABLE,
        Operation.PAYOUT_QUERY: Safety.READ,
        Operation.BALANCE: Safety.READ,
    }
)
"""What sending each call twice can do (DESIGN §3)."""


class CodeRow(NamedTuple):
    """One code of §9: bKash's meaning, its class there, and the reason a payer is given."""

    meaning: str
    kind: ErrorClass
    reason: ReasonCode


_CFG, _VAL, _CUST, _LOCK = ErrorClass.CFG, ErrorClass.VAL, ErrorClass.CUST, ErrorClass.LOCK
_DUP, _DONE, _STATE, _NF = ErrorClass.DUP, ErrorClass.DONE, ErrorClass.STATE, ErrorClass.NF
_PERM, _TRANS, _UNK = ErrorClass.PERM, ErrorClass.TRANS, ErrorClass.UNK
_R = ReasonCode

CODES: Final = MappingProxyType(
    {
        "2001": CodeRow("invalid app key", _CFG, _R.INVALID_CREDENTIALS),
        "2002": CodeRow("invalid payment id", _NF, _R.INVALID_PAYMENT),
        "2003": CodeRow("process failed", _UNK, _R.UNKNOWN_ERROR),
        "2004": CodeRow("invalid first payment date", _VAL, _R.INVALID_REQUEST),
        "2005": CodeRow("invalid frequency", _VAL, _R.INVALID_REQUEST),
        "2006": CodeRow("invalid amount", _VAL, _R.INVALID_AMOUNT),
        "2007": CodeRow("invalid currency", _VAL, _R.INVALID_REQUEST),
        "2008": CodeRow("invalid intent", _VAL, _R.INVALID_REQUEST),
        "2009": CodeRow("invalid wallet", _CUST, _R.ACCOUNT_NOT_FOUND),
        "2010": CodeRow("invalid OTP", _CUST, _R.WRONG_OTP),
        "2011": CodeRow("invalid PIN", _CUST, _R.WRONG_PIN),
        "2012": CodeRow("invalid receiver wallet", _VAL, _R.INVALID_REQUEST),
        "2013": CodeRow("resend limit exceeded", _LOCK, _R.TOO_MANY_TRIES),
        "2014": CodeRow("wrong PIN", _CUST, _R.WRONG_PIN),
        "2015": CodeRow("wrong PIN too often", _LOCK, _R.TOO_MANY_TRIES),
        "2016": CodeRow("wrong verification code", _CUST, _R.WRONG_OTP),
        "2017": CodeRow("wrong verification code too often", _LOCK, _R.TOO_MANY_TRIES),
        "2018": CodeRow("OTP time expired", _CUST, _R.PAYMENT_EXPIRED),
        "2019": CodeRow("PIN time expired", _CUST, _R.PAYMENT_EXPIRED),
        "2020": CodeRow("exception occurred", _UNK, _R.UNKNOWN_ERROR),
        "2021": CodeRow("invalid mandate id", _NF, _R.INVALID_AGREEMENT),
        "2022": CodeRow("the mandate does not exist", _NF, _R.INVALID_AGREEMENT),
        "2023": CodeRow("insufficient balance", _CUST, _R.INSUFFICIENT_BALANCE),
        "2024": CodeRow("exception occurred", _UNK, _R.UNKNOWN_ERROR),
        "2025": CodeRow("invalid request body", _VAL, _R.INVALID_REQUEST),
        "2026": CodeRow("reversal above the original amount", _VAL, _R.REFUND_AMOUNT_INVALID),
        "2027": CodeRow("a mandate exists for this payer reference", _STATE, _R.INVALID_AGREEMENT),
        "2028": CodeRow("nothing to reverse under this serial number", _NF, _R.REFUND_NOT_ALLOWED),
        "2029": CodeRow("duplicate of a payment just made", _DUP, _R.DUPLICATE_PAYMENT),
        "2030": CodeRow("invalid mandate request type", _VAL, _R.INVALID_REQUEST),
        "2031": CodeRow("invalid merchant invoice number", _VAL, _R.INVALID_REQUEST),
        "2032": CodeRow("invalid transfer type", _VAL, _R.INVALID_REQUEST),
        "2033": CodeRow("transaction not found", _NF, _R.INVALID_PAYMENT),
        "2034": CodeRow("already reversed", _DONE, _R.REFUND_NOT_ALLOWED),
        "2035": CodeRow("no permission to reverse", _PERM, _R.REFUND_NOT_ALLOWED),
        "2036": CodeRow("the direct debit mandate is not active", _STATE, _R.INVALID_AGREEMENT),
        "2037": CodeRow("the payer's account state prohibits it", _CUST, _R.ACCOUNT_BLOCKED),
        "2038": CodeRow("the payer's identity tag prohibits it", _CUST, _R.ACCOUNT_BLOCKED),
        "2039": CodeRow("the merchant's account state prohibits it", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2040": CodeRow("the merchant's identity tag prohibits it", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2041": CodeRow("the merchant's state lacks this service", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2042": CodeRow("no permission to reverse", _PERM, _R.REFUND_NOT_ALLOWED),
        "2043": CodeRow("the subscriber's security credential is incorrect", _CUST, _R.WRONG_PIN),
        "2044": CodeRow("not subscribed to the expected service", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2045": CodeRow("the payer's number does not exist", _CUST, _R.ACCOUNT_NOT_FOUND),
        "2046": CodeRow("not subscribed to the requested service", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2047": CodeRow("merchantAssociationInfo is no tag-length-value", _VAL, _R.INVALID_REQUEST),
        "2048": CodeRow("invalid payer reference", _VAL, _R.INVALID_REQUEST),
        "2049": CodeRow("invalid callback URL", _VAL, _R.INVALID_REQUEST),
        "2050": CodeRow("the agreement exists already", _DONE, _R.INVALID_AGREEMENT),
        "2051": CodeRow("invalid agreement id", _NF, _R.INVALID_AGREEMENT),
        "2052": CodeRow("the agreement is incomplete", _STATE, _R.INVALID_AGREEMENT),
        "2053": CodeRow("the agreement was cancelled before", _DONE, _R.INVALID_AGREEMENT),
        "2054": CodeRow("the payer has not finished the agreement", _STATE, _R.PAYER_NOT_FINISHED),
        "2055": CodeRow("invalid agreement state", _STATE, _R.INVALID_AGREEMENT),
        "2056": CodeRow("invalid payment state", _STATE, _R.INVALID_PAYMENT),
        "2057": CodeRow("not a bKash account", _CUST, _R.ACCOUNT_NOT_FOUND),
        "2058": CodeRow("not a customer wallet", _CUST, _R.ACCOUNT_NOT_FOUND),
        "2059": CodeRow("several OTP requests in one session", _LOCK, _R.TOO_MANY_TRIES),
        "2060": CodeRow("the payer has not finished the payment", _STATE, _R.PAYER_NOT_FINISHED),
        "2061": CodeRow("only the initiating party may do this", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2062": CodeRow("the payment is completed already", _DONE, _R.INVALID_PAYMENT),
        "2063": CodeRow("the mode does not fit the request", _VAL, _R.INVALID_REQUEST),
        "2064": CodeRow("the product mode is unavailable", _PERM, _R.GATEWAY_UNAVAILABLE),
        "2065": CodeRow("a mandatory field is missing", _VAL, _R.INVALID_REQUEST),
        "2066": CodeRow("the agreement is not shared with this merchant", _PERM, _R.INVALID_AGREEMENT),
        "2067": CodeRow("invalid permission", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2068": CodeRow("the transaction is completed already", _DONE, _R.INVALID_PAYMENT),
        "2069": CodeRow("the transaction was cancelled before", _DONE, _R.PAYMENT_CANCELLED),
        "2071": CodeRow("too late for a refund", _VAL, _R.REFUND_WINDOW_CLOSED),
        "2072": CodeRow("refund amount not valid", _VAL, _R.REFUND_AMOUNT_INVALID),
        "2073": CodeRow("invalid sku", _VAL, _R.INVALID_REQUEST),
        "2074": CodeRow("the transaction cannot be reversed", _STATE, _R.REFUND_NOT_ALLOWED),
        "2075": CodeRow("the sku is too long", _VAL, _R.INVALID_REQUEST),
        "2076": CodeRow("the reason is too long", _VAL, _R.INVALID_REQUEST),
        "2077": CodeRow("invalid transaction id", _NF, _R.INVALID_PAYMENT),
        "2078": CodeRow("invalid reason", _VAL, _R.INVALID_REQUEST),
        "2079": CodeRow("invalid app token", _CFG, _R.INVALID_CREDENTIALS),
        "2080": CodeRow("not permitted to initiate this", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2081": CodeRow("an account's state prohibits it", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2082": CodeRow("the merchant may not initiate this", _PERM, _R.MERCHANT_NOT_PERMITTED),
        "2116": CodeRow("the agreement execution was called before", _DONE, _R.INVALID_AGREEMENT),
        "2117": CodeRow("the payment execution was called before", _DONE, _R.INVALID_PAYMENT),
        "2118": CodeRow("invalid platform value", _VAL, _R.INVALID_REQUEST),
        "2119": CodeRow("the authorized payment was processed before", _DONE, _R.INVALID_PAYMENT),
        "2127": CodeRow("the transaction is not completed yet", _STATE, _R.REFUND_NOT_ALLOWED),
        "503": CodeRow("under maintenance", _TRANS, _R.GATEWAY_UNAVAILABLE),
        "9999": CodeRow("system error", _UNK, _R.UNKNOWN_ERROR),
    }
)
"""Every error code of §9. Wording ours; the payer is shown bKash's own sentence."""

INTERNAL_CODES: Final = MappingProxyType(
    {
        "invalid_amount": "2006",
        "ETC70052": "2029",
        "invalid_payment_state": "2056",
        "payment_already_completed": "2062",
        "refund_amount_exceed_payment_amount": "2072",
    }
)
"""The internal names seen beside a v2 external code (§5, §9): used only when the external code is missing."""

_TOKEN: Final = frozenset({Operation.GRANT, Operation.REFRESH})
_CREATE: Final = frozenset({Operation.CREATE, Operation.AGREEMENT_CREATE, Operation.PAYOUT_INITIATE})
_PAID_OUT: Final = frozenset({Operation.PAYOUT, Operation.TRANSFER})
_FINAL_KINDS: Final = frozenset({_CUST, _LOCK, _VAL, _PERM, _DUP})
_OPEN_KINDS: Final = frozenset({_UNK, _TRANS})

_ADVICE: Final = MappingProxyType(
    {
        _CFG: "Check that the app key, secret, user name and password belong to this product and mode.",
        _VAL: "Correct the request; repeating it as it is brings the same answer.",
        _CUST: "Show the reason to the payer; a new attempt is a new payment.",
        _LOCK: "Ask the payer to wait; a new attempt is a new payment.",
        _DUP: "Check the payer's earlier payment of this amount before offering a new one; wait 5 minutes.",
        _DONE: "Look it up: it may have been done by an earlier call.",
        _STATE: "Look up its state at bKash first.",
        _NF: "Check the id, and that it belongs to these credentials; bKash may also be behind by a moment.",
        _PERM: "Ask bKash: the merchant account may not do this.",
        _TRANS: "bKash is under maintenance: try again later.",
        _UNK: "Do not send it again; look it up until bKash answers.",
    }
)

_NOT_FINISHED: Final = "The payer has not finished on bKash's page; execute after a success return."
_WRONG_PRODUCT: Final = "Usually the credentials belong to another product or host; check BKASH_API_URL."


def _declined(
    kind: ErrorClass, reason: ReasonCode, advice: str, *, final: bool, look_up_first: bool = False
) -> ErrorMeaning:
    return ErrorMeaning(
        kind=kind,
        error=DeclinedError,
        reason=reason,
        final=final,
        look_up_first=look_up_first,
        advice_en=advice,
    )


_SPECIAL: Final = MappingProxyType(
    {
        # 2054 and 2060 say plainly that the payer is not done: nothing to look up, nothing declined.
        (Operation.EXECUTE, "2054"): _declined(_STATE, _R.PAYER_NOT_FINISHED, _NOT_FINISHED, final=False),
        (Operation.EXECUTE, "2060"): _declined(_STATE, _R.PAYER_NOT_FINISHED, _NOT_FINISHED, final=False),
        (Operation.AGREEMENT_EXECUTE, "2054"): _declined(
            _STATE, _R.PAYER_NOT_FINISHED, _NOT_FINISHED, final=False
        ),
        (Operation.AGREEMENT_EXECUTE, "2060"): _declined(
            _STATE, _R.PAYER_NOT_FINISHED, _NOT_FINISHED, final=False
        ),
        # The agreement is gone, so this payment can never be executed; a look-up rules out that it was before.
        (Operation.EXECUTE, "2053"): _declined(
            _CUST,
            _R.INVALID_AGREEMENT,
            "Drop the stored agreement and ask the payer for a new one.",
            final=True,
            look_up_first=True,
        ),
        # "Cancelled before" is a state to be seen, not a deed of ours to be found.
        (Operation.EXECUTE, "2069"): _declined(
            _STATE, _R.PAYMENT_CANCELLED, _ADVICE[_STATE], final=False, look_up_first=True
        ),
        (Operation.AGREEMENT_CANCEL, "2053"): _declined(
            _DONE, _R.INVALID_AGREEMENT, "It is cancelled, as asked: this counts as success.", final=False
        ),
        # A just-completed transaction answered 2003 in bKash's sandbox: to a search it means "not there (yet)".
        (Operation.SEARCH, "2003"): _declined(
            _NF, _R.INVALID_PAYMENT, "Search again later; not found proves nothing.", final=False
        ),
        # Too early, not too late: the same refund may be asked for again.
        (Operation.REFUND, "2127"): _declined(
            _STATE,
            _R.REFUND_NOT_ALLOWED,
            "The payment is not settled at bKash yet; refund later.",
            final=False,
        ),
        (Operation.REFUND, "2033"): _declined(
            _NF,
            _R.REFUND_NOT_ALLOWED,
            "bKash does not show the transaction yet; refund later.",
            final=False,
        ),
        (Operation.GRANT, "9999"): ErrorMeaning(kind=_UNK, error=GatewayError, advice_en=_WRONG_PRODUCT),
        (Operation.REFRESH, "9999"): ErrorMeaning(kind=_UNK, error=GatewayError, advice_en=_WRONG_PRODUCT),
        (Operation.CREATE, "9999"): ErrorMeaning(
            kind=_UNK, error=OutcomeUnknownError, advice_en=_WRONG_PRODUCT
        ),
    }
)


def meaning_of(operation: str, code: str) -> ErrorMeaning | None:
    """The row for this call and this code; None for a code that §9 does not list (no refusal: unreadable).

    Args:
        operation: a name of `Operation`.
        code: bKash's code as text; it is compared as text ("0503" is not "503").

    Raises:
        ValueError: bKash has no operation of that name.
    """
    asked = Operation(operation)
    return _known_meaning(asked, code) if code in CODES else None


@cache  # bounded: only listed codes come here, never what a wire may invent
def _known_meaning(asked: Operation, code: str) -> ErrorMeaning:
    special = _SPECIAL.get((asked, code))
    if special is not None:
        return special
    row = CODES[code]
    advice = _ADVICE[row.kind]
    if asked in _TOKEN:
        refused = GatewayError if row.kind in _OPEN_KINDS else AuthenticationRejectedError
        return ErrorMeaning(kind=row.kind, error=refused, advice_en=advice)
    if row.kind is _CFG:
        return ErrorMeaning(kind=row.kind, error=AuthenticationRejectedError, advice_en=advice)
    if asked in _CREATE and row.kind is _TRANS:
        return _declined(row.kind, row.reason, advice, final=False)
    if row.kind in _OPEN_KINDS:
        return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=advice)
    if SAFETY[asked] is Safety.READ:
        return _declined(row.kind, row.reason, advice, final=False)
    if asked in _CREATE:
        return _declined(row.kind, row.reason, advice, final=True)
    return _refused_once(asked, row, advice)


def _refused_once(asked: Operation, row: CodeRow, advice: str) -> ErrorMeaning:
    """A documented refusal of a call that changes something."""
    if asked is Operation.REFUND:
        # Sent once and refused: this refund did not happen. "Already reversed" and "duplicate" are checked
        # against the list all the same, for they speak of what was done before.
        return _declined(row.kind, row.reason, advice, final=True, look_up_first=row.kind in (_DONE, _DUP))
    if asked in _PAID_OUT:
        if row.kind not in _FINAL_KINDS or row.kind is _DUP:
            # It speaks of a state, or of what was done before. By whom? Ours was sent once, and what carried it may
            # have brought it twice: this may be the echo of money that left, and nobody can be asked.
            return ErrorMeaning(kind=row.kind, error=OutcomeUnknownError, advice_en=_ADVICE[_UNK])
        return _declined(row.kind, row.reason, advice, final=True)
    if asked is Operation.AGREEMENT_CANCEL:
        return _declined(row.kind, row.reason, advice, final=True)
    return _declined(
        row.kind,
        row.reason,
        advice,
        final=row.kind in _FINAL_KINDS,
        look_up_first=row.kind in (_DONE, _STATE),
    )

"""What SSLCommerz's refusals mean for the call that got them (dossier §1.2, §1.6-§1.9).

SSLCommerz has no error codes. A refusal is a word: `APIConnect` of the validator's routes, or `status` of the call's
own answer; the sentence beside it (`failedreason`, `errorReason`) is for people. `Code` names these words; what each
means depends on the call:

* a **session** moves nothing: what is refused is refused for good, and wrong credentials are our settings;
* a refused **look-up** is never final: it says nothing about the payment it asked for;
* a **refund** that "failed" was not begun (§1.8). One that was accepted is not done yet.
"""

from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Final

from vextrus_payments.errors import AuthenticationRejectedError, DeclinedError
from vextrus_payments.meanings import ErrorClass, ErrorMeaning
from vextrus_payments.reasons import ReasonCode
from vextrus_payments.wire import Safety


class Operation(StrEnum):
    """Every call, as the log and the error table name it."""

    SESSION = "session"
    VALIDATE = "validate"
    QUERY = "query"
    QUERY_SESSION = "query_session"
    REFUND = "refund"
    REFUND_QUERY = "refund_query"
    INVOICE = "invoice"
    INVOICE_STATUS = "invoice_status"
    INVOICE_CANCEL = "invoice_cancel"


SAFETY: Final = MappingProxyType(
    {
        Operation.SESSION: Safety.DISPOSABLE,
        # It turns VALID into VALIDATED, which is the same to everybody (§1.6).
        Operation.VALIDATE: Safety.READ,
        Operation.QUERY: Safety.READ,
        Operation.QUERY_SESSION: Safety.READ,
        # A GET, and it moves money (§1.8).
        Operation.REFUND: Safety.ONCE,
        Operation.REFUND_QUERY: Safety.READ,
        # Its answer may be lost while SSLCommerz mails the payer a link that he can pay (§1.9).
        Operation.INVOICE: Safety.ONCE,
        Operation.INVOICE_STATUS: Safety.READ,
        Operation.INVOICE_CANCEL: Safety.IDEMPOTENT,
    }
)
"""What sending each call twice can do."""


class Code(StrEnum):
    """SSLCommerz's words of refusal, as our errors' codes."""

    INVALID_REQUEST = "INVALID_REQUEST"
    FAILED = "FAILED"
    INACTIVE = "INACTIVE"
    STORE = "store_refused"
    """`failedreason` names the store's credentials or its state."""
    REFUSED = "refused"
    """The call's own answer says no."""


MEANINGS: Final = MappingProxyType(
    {
        Code.INVALID_REQUEST: "the request is not valid",
        Code.FAILED: "the store's credentials were not accepted",
        Code.INACTIVE: "the store is not active",
        Code.STORE: "the store's credentials were not accepted, or the store is not active",
        Code.REFUSED: "no",
    }
)

_READS: Final = frozenset(
    {
        Operation.VALIDATE,
        Operation.QUERY,
        Operation.QUERY_SESSION,
        Operation.REFUND_QUERY,
        Operation.INVOICE_STATUS,
    }
)
_STORE_ADVICE: Final = (
    "Check store id, API password and mode; a sandbox store that nobody uses goes inactive by itself."
)
_ADVICE: Final = (
    "Read SSLCommerz's own sentence in the error's context; repeated as it is, it is refused again."
)
_READ_ADVICE: Final = "It says nothing of the payment; look it up again."


def meaning_of(operation: str, code: str) -> ErrorMeaning | None:
    """What this code means to this call; None for a code that is none of `Code`.

    Raises:
        ValueError: there is no operation of that name.
    """
    asked = Operation(operation)
    return _known_meaning(asked, Code(code)) if code in set(Code) else None


@cache  # bounded: only listed codes come here
def _known_meaning(asked: Operation, code: Code) -> ErrorMeaning:
    if code in (Code.FAILED, Code.INACTIVE, Code.STORE):
        return ErrorMeaning(kind=ErrorClass.CFG, error=AuthenticationRejectedError, advice_en=_STORE_ADVICE)
    if asked in _READS:
        return ErrorMeaning(
            kind=ErrorClass.VAL,
            error=DeclinedError,
            reason=ReasonCode.INVALID_REQUEST,
            final=False,
            advice_en=_READ_ADVICE,
        )
    reason = ReasonCode.REFUND_NOT_ALLOWED if asked is Operation.REFUND else ReasonCode.INVALID_REQUEST
    return ErrorMeaning(
        kind=ErrorClass.VAL, error=DeclinedError, reason=reason, final=True, advice_en=_ADVICE
    )

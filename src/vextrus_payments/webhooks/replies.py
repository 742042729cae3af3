"""The answers of the webhook door: the one table.

======  ==========================================================================================================
200     accepted: it is kept durably, or was before. Or it asks for nothing: a confirmation was given, none of ours
400     malformed: no message of this sender's kind, whoever sent it
401     wrong signature, or signed outside the window of time
403     whom the operator's lists or his hook do not let send, now or later (see limits.py)
404     no such gateway, or no such tenant: which of the two is not told
405     not a POST
411     a body that tells no length, where the WSGI server cannot tell its end either
413     a body that is too long
415     a compressed body
429     too many from there, or blocked (see limits.py); or more signing certificates asked for than are fetched
431     too many headers
503     it cannot be decided or kept now: the database, the sender's certificate, our own settings, a body that did not
        come in time, or that a middleware of the host's has read. Sent again, it is taken
======  ==========================================================================================================

A sender gives up after a 4xx and repeats after a 5xx (Amazon SNS; Standard Webhooks repeats both). So what is our own
fault is never a 4xx, and what is hostile never a 5xx.
"""

from collections.abc import Mapping
from typing import Final

from vextrus_payments.errors import (
    InvalidRequestError,
    PaymentsError,
    SignatureError,
    ThrottledError,
    TimestampOutsideWindowError,
    WebhookError,
)
from vextrus_payments.webhooks.messages import Reply

#: When a sender should try again after a 503.
RETRY_AFTER_S: Final = 5


def is_compressed(headers: Mapping[str, str]) -> bool:
    """Whether a body is not as it was signed: judged by the head."""
    coding = headers.get("content-encoding")
    return coding is not None and coding.strip().lower() not in ("", "identity")


def refusal(status: int, code: str, *headers: tuple[str, str]) -> Reply:
    """An answer that says no in one word."""
    return Reply(status=status, body=b'{"error":"' + code.encode("ascii") + b'"}', headers=headers)


ACCEPTED: Final = Reply(status=200, body=b'{"status":"accepted"}')
"""Kept, now or before: a repeat is answered like the first."""
CONFIRMED: Final = Reply(status=200, body=b'{"status":"confirmed"}')
IGNORED: Final = Reply(status=200, body=b'{"status":"ignored"}')

MALFORMED: Final = refusal(400, "malformed")
UNPROVEN: Final = refusal(401, "signature")
UNTIMELY: Final = refusal(401, "timestamp")
NOT_FOUND: Final = refusal(404, "not_found")
NOT_A_POST: Final = refusal(405, "method_not_allowed", ("allow", "POST"))
TOO_LARGE: Final = refusal(413, "body_too_large")
COMPRESSED: Final = refusal(415, "compressed_body", ("accept-encoding", "identity"))
HEADERS_TOO_MANY: Final = refusal(431, "headers_too_many")
UNAVAILABLE: Final = refusal(503, "unavailable", ("retry-after", str(RETRY_AFTER_S)))


def reply_to(error: Exception) -> Reply:
    """The answer to a delivery that a gateway would not take, by what it raised.

    Only what the delivery itself is guilty of is a 4xx. A gateway that could not be asked, a store that failed, wrong
    settings and any mistake of ours leave it undecided.
    """
    if isinstance(error, TimestampOutsideWindowError):
        return UNTIMELY
    if isinstance(error, SignatureError):
        return UNPROVEN
    if isinstance(error, WebhookError):
        return MALFORMED
    if isinstance(error, InvalidRequestError) and not _is_ours(error):
        return MALFORMED
    if isinstance(error, ThrottledError):
        # Names of certificates are guessed by strangers only; an honest sender's new one is repeated after a 429 too.
        return refusal(429, "too_many_requests", ("retry-after", str(error.retry_after_s or RETRY_AFTER_S)))
    return UNAVAILABLE


def _is_ours(error: PaymentsError) -> bool:
    """A verb that an adapter lacks is no fault of the delivery."""
    return error.code == "unsupported_operation"

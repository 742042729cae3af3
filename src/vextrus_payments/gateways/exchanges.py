"""The payment log's line: one request and what came of it, redacted as it is made."""

import asyncio
from datetime import datetime

from vextrus_payments.errors import NotSentError, PaymentsError
from vextrus_payments.records import Exchange
from vextrus_payments.redaction import redact_json_body, redact_url
from vextrus_payments.transport import sent_before_cancel
from vextrus_payments.wire import Send, Sent, WireResponse


def exchange_of(
    send: Send,
    at: datetime,
    elapsed_s: float,
    response: WireResponse | None,
    failure: BaseException | None,
) -> Exchange:
    """The line of one try: bodies by allow-list, no headers, no query.

    Args:
        response: the answer, if one came; else
        failure: what came in its place.
    """
    if response is not None:
        sent = "yes"
    elif isinstance(failure, asyncio.CancelledError):
        sent = sent_before_cancel(failure).value
    else:
        sent = (Sent.NO if isinstance(failure, NotSentError) else Sent.MAYBE).value
    error: str | None = None
    if isinstance(failure, PaymentsError):
        error = failure.code
    elif failure is not None:
        error = type(failure).__name__
    return Exchange(
        at=at,
        operation=send.operation,
        step=send.name,
        method=send.request.method,
        url=redact_url(send.request.url),
        sent=sent,
        status=None if response is None else response.status,
        request=redact_json_body(send.request.body),
        answer={} if response is None else redact_json_body(response.body),
        error=error,
        elapsed_ms=round(elapsed_s * 1000),
    )

"""The payment log's line: one request and what came of it, redacted as it is made."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl

from vextrus_payments.errors import NotSentError, PaymentsError
from vextrus_payments.records import Exchange
from vextrus_payments.redaction import redact_json_body, redact_mapping, redact_url
from vextrus_payments.transport import sent_before_cancel
from vextrus_payments.wire import Send, Sent, WireRequest, WireResponse

_FORM: Final = "application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 200
_TEXT_MAX: Final = 64 * 1024


def exchange_of(
    send: Send,
    at: datetime,
    elapsed_s: float,
    response: WireResponse | None,
    failure: BaseException | None,
    conceal: Callable[[str], str] = str,
) -> Exchange:
    """The line of one try: bodies, forms and queries by allow-list, no headers, and no query in the address.

    Args:
        response: the answer, if one came; else
        failure: what came in its place.
        conceal: masks our own secrets, in whatever field the gateway repeats them.
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
        request=_concealed(_asked(send.request), conceal),
        answer={} if response is None else _concealed(redact_json_body(response.body), conceal),
        error=error,
        elapsed_ms=round(elapsed_s * 1000),
    )


def _concealed(fields: dict[str, str], conceal: Callable[[str], str]) -> dict[str, str]:
    return {name: conceal(value) for name, value in fields.items()}


def _asked(request: WireRequest) -> dict[str, str]:
    """What was asked for, field by field: some gateways take JSON, some a form, and some a query alone."""
    _, _, query = request.url.partition("?")
    said = _fields(query) if query else {}
    is_form = any(
        name.lower() == "content-type" and value.startswith(_FORM) for name, value in request.headers
    )
    if is_form and len(request.body) <= _TEXT_MAX:
        return said | _fields(request.body.decode("utf-8", "replace"))
    return said | redact_json_body(request.body)


def _fields(text: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except ValueError:  # more than anybody sends
        return {}
    return redact_mapping(dict(pairs))

"""What the SDK really sent for a report, and what came back: redacted at the moment it is written down.

It stands where the SDK's transport stands, so it sees every request just before its bytes leave and every answer as it
was read. Bodies keep their shape, because the gateway's people read them; values go by the SDK's allow-list.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from vextrus_payments.clock import Clock
from vextrus_payments.errors import GatewayError
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.gateways.bkash import v2_models as v2
from vextrus_payments.redaction import redact_headers, redact_mapping, redact_text, redact_url
from vextrus_payments.secret import MASK
from vextrus_payments.transport import Transport
from vextrus_payments.wire import Safety, SendBy, WireRequest, WireResponse

_ADDRESSES: Final = frozenset(
    "bkashurl callbackurl successcallbackurl failurecallbackurl cancelledcallbackurl".split()
)
_TOKENS: Final = ("id_token", "refresh_token")
#: Parameters of an address that name a payment or its end, and nobody.
_OPEN_PARAMETERS: Final = frozenset({"paymentID", "paymentId", "status", "mode", "apiVersion"})
_BODY_MAX: Final = 64 * 1024
_DEPTH_MAX: Final = 8
_TITLES: Final = (
    (m.PATH_GRANT, "Grant Token"),
    (m.PATH_REFRESH, "Refresh Token"),
    (m.PATH_CREATE, "Create Payment"),
    (m.PATH_EXECUTE, "Execute Payment"),
    (m.PATH_QUERY, "Query Payment"),
    (m.PATH_SEARCH, "Search Transaction"),
    (m.HOST_PATH_REFUND_STATUS_V2, "Refund Status"),
    (m.HOST_PATH_REFUND_V2, "Refund"),
    (v2.PATH_GRANT, "Grant Token"),
    (v2.PATH_REFRESH, "Refresh Token"),
    (v2.PATH_PAYMENT_CREATE, "Create Payment"),
    (v2.PATH_PAYMENT_EXECUTE, "Execute Payment"),
    *((path, "Query Payment") for path in v2.QUERY_PATHS),
    *((path, "Search Transaction") for path in v2.SEARCH_PATHS),
)


@dataclass(slots=True, kw_only=True)
class WireEntry:
    """One request and what came of it, fit to be shown."""

    title: str
    """What the gateway calls the API."""
    method: str
    url: str
    headers: dict[str, str]
    body: str
    began_at: datetime
    payment_id: str = ""
    """The paymentID that the request or its answer names."""
    trx_id: str = ""
    invoice: str = ""
    status: int | None = None
    """None: no answer came; `problem` says why."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer: str = ""
    code: str = ""
    """The gateway's own code in the answer."""
    problem: str = ""
    took_ms: int = 0


class RecordingTransport:
    """A transport that writes down what goes through another one. It changes nothing of it."""

    def __init__(self, inner: Transport, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.entries: list[WireEntry] = []
        self.secrets: set[str] = set()
        """Tokens that were seen: nothing that is written may hold one."""

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """As the transport behind it."""
        entry = _opened(request, self._clock.now())
        self.entries.append(entry)
        began = self._clock.monotonic()
        try:
            response = await self._inner.send(request, safety=safety, timeout_s=timeout_s, send_by=send_by)
        except GatewayError as error:
            entry.problem = f"{type(error).__name__} ({error.code})"
            raise
        finally:
            entry.took_ms = round((self._clock.monotonic() - began) * 1000)
        self._answered(entry, response)
        return response

    async def aclose(self) -> None:
        """Close the transport behind it."""
        await self._inner.aclose()

    def _answered(self, entry: WireEntry, response: WireResponse) -> None:
        fields = _fields(response.body)
        if isinstance(fields, dict):
            self.secrets.update(str(fields[name]) for name in _TOKENS if fields.get(name))
            entry.code = _word(fields, "statusCode", "errorCode", "externalCode", "internalCode")
            entry.payment_id = entry.payment_id or _word(fields, "paymentID", "paymentId")
            entry.trx_id = _word(fields, "trxID", "trxId", "refundTrxId", "refundTrxID") or entry.trx_id
            entry.invoice = entry.invoice or _word(fields, "merchantInvoiceNumber", "merchantInvoice")
        entry.status = response.status
        entry.answer_headers = redact_headers(response.headers)
        entry.answer = shown_body(response.body)


def _opened(request: WireRequest, now: datetime) -> WireEntry:
    fields = _fields(request.body)
    known = fields if isinstance(fields, dict) else {}
    return WireEntry(
        title=_title(urlsplit(request.url).path, known),
        method=request.method,
        url=redact_url(request.url),
        headers=redact_headers(dict(request.headers)),
        body=shown_body(request.body),
        began_at=now,
        payment_id=_word(known, "paymentID", "paymentId"),
        trx_id=_word(known, "trxID", "trxId"),
        invoice=_word(known, "merchantInvoiceNumber"),
    )


def _title(path: str, fields: dict[str, Any]) -> str:
    if path.endswith(m.PATH_REFUND_V1):
        return "Refund" if fields.get("amount") else "Refund Status"
    return next((title for end, title in _TITLES if path.endswith(end)), "Another call")


def shown_body(raw: bytes) -> str:
    """A JSON body, indented, its values by the allow-list; anything else as its size."""
    if not raw:
        return ""
    fields = _fields(raw)
    if fields is None:
        kind = "HTML" if raw.lstrip()[:1] == b"<" else "no JSON"
        return f"({len(raw)} bytes, {kind})"
    return _written("", fields, 0)


def _fields(raw: bytes) -> Any:
    if len(raw) > _BODY_MAX:
        return None
    try:
        return json.loads(raw, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None


def _written(name: str, value: Any, depth: int) -> str:
    indent, inner = "  " * depth, "  " * (depth + 1)
    if depth >= _DEPTH_MAX:
        return json.dumps(MASK)
    if isinstance(value, dict):
        parts = []
        for key, member in value.items():
            (shown_key,) = redact_mapping({key: ""})
            parts.append(f"{inner}{json.dumps(shown_key)}: {_written(key, member, depth + 1)}")
        return "{\n" + ",\n".join(parts) + f"\n{indent}}}" if parts else "{}"
    if isinstance(value, list):
        items = [inner + _written(name, one, depth + 1) for one in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]" if items else "[]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    shown = _value(name, str(value))
    return (
        shown
        if isinstance(value, int | Decimal) and shown == str(value)
        else json.dumps(shown, ensure_ascii=False)
    )


def _value(name: str, text: str) -> str:
    if name.lower() in _ADDRESSES:
        return shown_address(text)
    (shown,) = redact_mapping({name: text}).values()
    return shown


def shown_address(url: str) -> str:
    """An address with the parameters' names; their values only where they name a payment or its end."""
    base, _, query = url.partition("?")
    shown = redact_url(base)
    if not query:
        return shown
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return f"{shown}?{MASK}"
    return f"{shown}?{'&'.join(f'{redact_text(name)}={_parameter(name, value)}' for name, value in pairs)}"


def _parameter(name: str, value: str) -> str:
    if name not in _OPEN_PARAMETERS:
        return MASK
    # An id is long and opaque, which is what a text would be masked for; as a field it is known by its name.
    return redact_text(value) if name == "apiVersion" else next(iter(redact_mapping({name: value}).values()))


def _word(fields: dict[str, Any], *names: str) -> str:
    """The first of these members that is there, fit to be shown."""
    for name in names:
        if isinstance(fields.get(name), str) and fields[name]:
            return next(iter(redact_mapping({name: fields[name]}).values()))
    return ""

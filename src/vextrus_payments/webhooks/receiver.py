"""The webhook receiver, without a socket and without a framework: a request goes in, an answer comes out.

Theory of operation. A request is held to its shape; its gateway and tenant are looked up; the gateway proves the
sender over the raw bytes and reads the message; the news is kept durably; only then it is answered 2xx. What follows
from the news is the inbox worker's (inbox.py), and no sender waits for it. A crash before the commit leaves a
sender without an answer, who repeats; a crash after it leaves a row that a worker takes up.

Sameness is the store's: the sender's event id, and the news itself (`news_key`), are unique per tenant, gateway and
mode. A repeat is answered like the first time.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from vextrus_payments.clock import Clock
from vextrus_payments.config import NOT_CONFIGURED
from vextrus_payments.documents import to_json
from vextrus_payments.errors import (
    CredentialsMissingError,
    MalformedWebhookError,
    PaymentsError,
    SignatureError,
    StorageError,
    UnknownGatewayError,
)
from vextrus_payments.events import Confirm, Delivery, Events, GatewayEvent, Ignored
from vextrus_payments.gateways.base import PaymentGateway
from vextrus_payments.inbox import NewInboxEvent
from vextrus_payments.observe import Observer
from vextrus_payments.webhooks.messages import Incoming, Reply
from vextrus_payments.webhooks.replies import (
    ACCEPTED,
    COMPRESSED,
    CONFIRMED,
    HEADERS_TOO_MANY,
    IGNORED,
    MALFORMED,
    NOT_A_POST,
    NOT_FOUND,
    TOO_LARGE,
    UNAVAILABLE,
    is_compressed,
    reply_to,
)
from vextrus_payments.webhooks.waiting import within
from vextrus_payments.webhooks.writer import InboxWriter

_GATEWAY: Final = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,256}", re.ASCII)
_HEADERS_MAX: Final = 100
_HEADER_MAX: Final = 8_192
_EVENTS_MAX: Final = 100
#: Of the reasons why a signature proves nothing, those by which somebody pretended: no other topic, no old certificate.
_FORGED: Final = frozenset({SignatureError.default_code, "foreign_certificate", "certificate_absent"})
#: What is never kept of a delivery: whatever may be a credential of ours, or of a proxy in front of us.
_UNKEPT: Final = re.compile(
    r"cookie|auth|passw|secret|token|credential|api-?key|jwt|assertion|oidc|saml|sso(?:-|$)|session|principal"
    r"|bearer|client-?cert|[cx]srf|remote-user",
    re.IGNORECASE,
)

#: (tenant, gateway name) -> the ready gateway; raises as Payments.gateway_of.
GatewayOf = Callable[[str, str], Coroutine[Any, Any, PaymentGateway]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverPorts:
    """What the receiver works with."""

    gateway: GatewayOf
    writer: InboxWriter
    clock: Clock
    observer: Observer
    on_kept: Callable[[], None]
    """Told when something new is in the inbox."""
    has_tenants: bool
    default_tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimits:
    """Bounds of one delivery."""

    body_max_bytes: int = 262_144
    decide_s: float = 12.0
    """How long finding the gateway, and then the proof of a sender, may take: a certificate may have to be fetched,
    and senders wait 15 s."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, and what was learned of who sent the delivery."""

    reply: Reply
    proven: bool = False
    """Its sender is who it says."""
    forged: bool = False
    """Its signature was wrong. What is not of now, of another topic or no message at all is none of both."""


#: What nearly every delivery comes to.
_TAKEN: Final = Judged(ACCEPTED, proven=True)


class Receiver:
    """Takes deliveries. Belongs to one event loop."""

    def __init__(self, ports: ReceiverPorts, limits: ReceiverLimits | None = None) -> None:
        self._ports = ports
        self._limits = limits or ReceiverLimits()

    async def receive(self, incoming: Incoming) -> Reply:
        """Verify, keep, answer. Raises nothing but a cancellation."""
        return (await self.judge(incoming)).reply

    async def judge(self, incoming: Incoming) -> Judged:
        """As `receive`, with what was learned of the sender."""
        refused = self._misshapen(incoming)
        if refused is not None:
            return Judged(refused)
        tenant = self._tenant(incoming)
        if tenant is None or not _GATEWAY.fullmatch(incoming.gateway):
            return Judged(NOT_FOUND)
        try:
            return await self._decide(tenant, incoming)
        except TimeoutError:
            self._tell("webhook.undecided", tenant, incoming.gateway, code="decide_timeout")
        except Exception as error:  # noqa: BLE001 - a mistake of ours is a 503: the sender repeats, nothing is lost
            self._tell("webhook.failed", tenant, incoming.gateway, error=type(error).__name__)
        return Judged(UNAVAILABLE)

    # --- shape --------------------------------------------------------------------------------------------------

    def _misshapen(self, incoming: Incoming) -> Reply | None:
        if incoming.method != "POST":
            return NOT_A_POST
        headers = incoming.headers
        if len(headers) > _HEADERS_MAX:
            return HEADERS_TOO_MANY
        if len(incoming.body) > self._limits.body_max_bytes:
            return TOO_LARGE
        if is_compressed(headers):
            return COMPRESSED
        return MALFORMED if not incoming.body else None

    def _tenant(self, incoming: Incoming) -> str | None:
        """Whose door was knocked at; None: nobody's."""
        if not self._ports.has_tenants:
            return self._ports.default_tenant if incoming.tenant is None else None
        if incoming.tenant is None or not _TENANT.fullmatch(incoming.tenant):
            return None
        return incoming.tenant

    # --- proof and keeping --------------------------------------------------------------------------------------

    async def _decide(self, tenant: str, incoming: Incoming) -> Judged:
        name = incoming.gateway
        received_at = self._ports.clock.now()
        limit_s = self._limits.decide_s
        try:
            gateway = await within(limit_s, self._ports.gateway(tenant, name))
        except PaymentsError as error:
            if self._names_nothing(error):
                return Judged(NOT_FOUND)
            self._tell("webhook.undecided", tenant, name, code=error.code)
            return Judged(UNAVAILABLE)
        delivery = Delivery(
            method=incoming.method,
            query=incoming.query,
            headers=incoming.headers,
            body=incoming.body,
            received_at=received_at,
        )
        proven = False
        try:
            read = await within(limit_s, gateway.handle_webhook(delivery))
            proven = True
            match read:
                case Events():
                    rows = self._rows(tenant, gateway, delivery, read)
                    kept = await self._ports.writer.accept(rows) if rows else ()
                    if any(kept):
                        self._ports.on_kept()
                    self._tell("webhook.kept", tenant, name, new=sum(kept), of=len(rows))
                    return _TAKEN
                case Confirm():
                    await within(limit_s, gateway.confirm_webhook(read))
                    self._tell("webhook.confirmed", tenant, name)
                    return Judged(CONFIRMED, proven=True)
                case Ignored():
                    self._tell("webhook.ignored", tenant, name, why=read.why)
                    return Judged(IGNORED, proven=True)
        except PaymentsError as error:
            reply = reply_to(error)
            event = "webhook.undecided" if reply.status >= 500 else "webhook.refused"
            self._tell(event, tenant, name, code=error.code, status=reply.status)
            forged = isinstance(error, SignatureError) and error.code in _FORGED
            return Judged(reply, proven=proven, forged=forged and not proven)

    def _names_nothing(self, error: PaymentsError) -> bool:
        """Whether the path names no gateway or tenant, rather than one whose settings are our own fault."""
        if isinstance(error, UnknownGatewayError):
            return True
        if not isinstance(error, CredentialsMissingError):
            return False
        # A tenant of whom nothing is known; one whose configuration lacks some fields, which the error names, is ours.
        return error.code == NOT_CONFIGURED or (self._ports.has_tenants and not error.context)

    def _rows(
        self, tenant: str, gateway: PaymentGateway, delivery: Delivery, read: Events
    ) -> list[NewInboxEvent]:
        if len(read.events) > _EVENTS_MAX:
            raise MalformedWebhookError("The delivery holds too many events.", code="too_many_events")
        headers = _kept(delivery.headers)
        body = delivery.body if read.kept_body is None else read.kept_body
        rows = []
        for event in read.events:
            if not _ID.fullmatch(event.event_id) or not _ID.fullmatch(event.news_key or "-"):
                raise MalformedWebhookError("An event has no usable id.", code="event_id")
            rows.append(
                NewInboxEvent(
                    tenant=tenant,
                    gateway=gateway.name,
                    mode=gateway.mode,
                    event_id=event.event_id,
                    news_key=event.news_key,
                    document=_document(event),
                    headers=headers,
                    body=body,
                    received_at=delivery.received_at,
                )
            )
        return rows

    def _tell(self, event: str, tenant: str, gateway: str, **fields: object) -> None:
        self._ports.observer.event(event, tenant=tenant, gateway=gateway, **fields)


def _document(event: GatewayEvent) -> str:
    try:
        return to_json(event)
    except StorageError:
        pass  # raised below, outside, so that it is not chained
    raise MalformedWebhookError("An event holds what is no text.", code="event_text")


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that stay with the row: what its signature needs, and no credential."""
    return {name: value for name, value in headers.items() if len(value) <= _HEADER_MAX and _is_kept(name)}


# Senders send the same names each time; hostile ones push them out of a cache that is small.
@lru_cache(maxsize=256)
def _is_kept(name: str) -> bool:
    return len(name) <= 256 and not _UNKEPT.search(name)

"""HttpSink: each row of the outbox as one signed POST, by the rules of Standard Webhooks 1.0.0.

What is posted is `{"type", "timestamp", "data"}`: `data` is the entry or event exactly as it is stored (a public
contract, with its `schema_version`), `timestamp` when it was recorded, `type` an event's kind ("payment.paid"), or an
entry's with "ledger." before it ("ledger.payment.received"). `webhook-id` is the entry's or event's id and the same on
every try; `webhook-timestamp` is the try's own.
"""

import email.utils
import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.config import is_loopback
from vextrus_payments.errors import (
    ConfigurationError,
    DeliveryError,
    GatewayError,
    InvalidRequestError,
    NotSentError,
    UndeliverableError,
)
from vextrus_payments.payment import check_url
from vextrus_payments.records import OutboxKind, OutboxRow
from vextrus_payments.secret import Secret
from vextrus_payments.signing import Ed25519Key, HmacKey, sign, signing_key
from vextrus_payments.sink_port import check_coroutine_function
from vextrus_payments.sinks.resting import Resting
from vextrus_payments.transport import Reach, Transport, is_public_address, shared_transport
from vextrus_payments.wire import Safety, WireRequest, WireResponse

#: Standard Webhooks advises less than this; what is longer is posted without its metadata.
MAX_BODY_BYTES: Final = 20_000
_LONGEST_WAIT_S: Final = 3_600.0
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where a tenant's rows go, and the secrets they are signed with.

    Raises:
        ConfigurationError: there is no secret, or more than five, or one has not the form of Standard Webhooks
            (`whsec_` and base64, or `whsk_` and base64). The URL is checked when it is used.
    """

    url: str = field(repr=False)
    """Out of repr: its path or query may carry a token of the receiver's."""
    secrets: Sequence[Secret] = field(repr=False)
    """The live ones. Every row is signed with each, so that a receiver may change over at any time: add the new one,
    let the receiver take it up, then drop the old one."""
    keys: tuple[HmacKey | Ed25519Key, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.secrets, Secret | str) or not 1 <= len(self.secrets) <= 5:
            raise ConfigurationError("An endpoint has 1 to 5 live secrets, in a list.", code="signing_secret")
        object.__setattr__(self, "keys", tuple(signing_key(secret) for secret in self.secrets))


#: tenant -> that tenant's endpoint; None where it has none. It may ask a database or a vault.
EndpointResolver = Callable[[str], Awaitable[HttpEndpoint | None]]


class HttpSink:
    """Posts entries and events, signed. For `Payments(ledger=...)`, `Payments(on_event=...)` or both.

    Taken is a row that was answered with 2xx. 410 sets it aside at once (the endpoint is disabled). Everything else is
    offered again, on 429 and 5xx not before `Retry-After` (of which an hour at most counts); no redirect is followed.
    The receiver dedupes on `webhook-id`.

    A fixed endpoint is yours and may be anywhere, your own network included. What a resolver answers may be a tenant's
    own wish: it must be a public address, unless `allow_private` is set; `allowed_hosts` narrows it further. https is
    required, but for this machine's own loopback.

    A tenant's endpoint that gave no answer three times in a row is left alone for half a minute, so that its rows keep
    no other tenant's waiting.

    A tenant for which the resolver answers None gets no events: they count as delivered. Its entries are set aside,
    since an entry is never dropped.

    Args:
        endpoint: the URL, or the resolver. With a resolver, `secrets` stays empty.
        secrets: the live secrets of the one endpoint.
        timeout_s: for one whole answer, in seconds; shorter than the outbox's `callback_timeout_s`.
        allowed_hosts: the only hosts that may be posted to, such as "hooks.example.com" or, with everything below it,
            ".example.com".
        allow_private: a resolver's endpoints may be in a private network or on this machine.
        transport: another one than the shared one; then addresses are its own affair.
        clock: for the time that is signed.

    Raises:
        ConfigurationError: the arguments do not go together, or the URL or a secret is none that can be used.
    """

    def __init__(
        self,
        endpoint: str | EndpointResolver,
        secrets: Sequence[Secret] = (),
        *,
        timeout_s: float = 15.0,
        allowed_hosts: Collection[str] | None = None,
        allow_private: bool = False,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        if not 0 < timeout_s <= 300:
            raise ConfigurationError("timeout_s of an HttpSink is above 0 and at most 300.")
        if isinstance(allowed_hosts, str):
            raise ConfigurationError("allowed_hosts is a list of hosts, not one text.")
        self._timeout_s = timeout_s
        self._allowed = None if allowed_hosts is None else frozenset(h.lower() for h in allowed_hosts)
        self._clock: Clock = clock or SystemClock()
        self._resolver: EndpointResolver | None = None
        self._fixed: HttpEndpoint | None = None
        self._public_only = False
        if isinstance(endpoint, str):
            self._fixed = HttpEndpoint(endpoint, secrets)
            problem = self._problem_of(endpoint)
            if problem is not None:
                raise ConfigurationError(f"The endpoint of an HttpSink {problem}.", code="sink_endpoint")
        else:
            check_coroutine_function("endpoint", endpoint)
            if secrets:
                raise ConfigurationError("With a resolver, secrets come with each endpoint.")
            self._resolver = endpoint
            self._public_only = not allow_private
        # One endpoint of everybody's is not kept from anybody by resting: then there is nobody else to be served.
        self._resting = Resting(self._clock, never=self._resolver is None)
        reach = Reach.PUBLIC if self._public_only else Reach.ANYWHERE
        self._owns_transport = transport is None
        self._transport: Transport = transport or shared_transport(clock=clock, reach=reach)

    def __repr__(self) -> str:
        where = "a resolver" if self._fixed is None else _host_of(self._fixed.url)
        return f"HttpSink({where})"

    async def take_row(self, row: OutboxRow) -> None:
        """Post the row; see RowSink.

        Raises:
            DeliveryError: no 2xx came; it is offered again.
            UndeliverableError: 410, or nowhere to post it.
        """
        endpoint = await self._endpoint_of(row.tenant)
        if endpoint is None:
            if row.kind is OutboxKind.EVENT:
                return
            raise UndeliverableError("The tenant has no endpoint for its entries.")
        body = _body(row)
        headers = sign(endpoint.keys, message_id=row.row_id, signed_at=self._clock.now(), body=body)
        request = WireRequest("POST", endpoint.url, (("Content-Type", "application/json"), *headers), body)
        failure: DeliveryError | None = None
        answer: WireResponse | None = None
        with self._resting.post(row.tenant) as post:
            try:
                answer = await self._transport.send(
                    request, safety=Safety.IDEMPOTENT, timeout_s=self._timeout_s
                )
                post.answered = True
            except GatewayError as error:
                failure, post.answered = _no_answer(error), False
            except InvalidRequestError:
                failure = UndeliverableError("The endpoint's URL is none that can be called.")
        if failure is None and answer is not None:
            failure = self._judged(answer)
        # Raised out here, so that no request hangs on it by way of the transport's error.
        if failure is not None:
            raise failure.about(tenant=row.tenant)

    async def aclose(self) -> None:
        """Let go of the connections; the next row opens new ones. A transport of the caller's own is left alone."""
        if self._owns_transport:
            await self._transport.aclose()

    # --- where to -------------------------------------------------------------------------------------------------

    async def _endpoint_of(self, tenant: str) -> HttpEndpoint | None:
        if self._resolver is None:
            return self._fixed
        endpoint = await self._resolver(tenant)
        if endpoint is None:
            return None
        if not isinstance(endpoint, HttpEndpoint):
            raise DeliveryError("The resolver answered with no HttpEndpoint.")
        problem = self._problem_of(endpoint.url)
        if problem is not None:
            raise UndeliverableError(f"The tenant's endpoint {problem}.")
        return endpoint

    def _problem_of(self, url: str) -> str | None:
        """What is wrong with a URL, as the end of a sentence that does not quote it."""
        parts = _parts(url)
        if parts is None:
            return "is not an absolute http or https URL without user and password"
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme != "https" and not is_loopback(host):
            return "must be https"
        if self._allowed is not None and not self._is_allowed(host):
            return "is not on the list of allowed hosts"
        if self._public_only and not _may_be_public(host):
            return "is not a public address"
        return None

    def _is_allowed(self, host: str) -> bool:
        allowed = self._allowed or frozenset()
        return host in allowed or any(one.startswith(".") and host.endswith(one) for one in allowed)

    # --- what came back ---------------------------------------------------------------------------------------------

    def _judged(self, answer: WireResponse) -> DeliveryError | None:
        status = answer.status
        if 200 <= status < 300:
            return None
        if status == _GONE:
            return UndeliverableError("The endpoint answered 410: it is disabled.")
        if 300 <= status < 400:
            return DeliveryError(f"The endpoint answered {status}: redirects are not followed.")
        wait_s = self._retry_after_s(answer) if status == 429 or status >= 500 else None
        return DeliveryError(f"The endpoint answered {status}.", retry_after_s=wait_s)

    def _retry_after_s(self, answer: WireResponse) -> float | None:
        """Seconds, of `Retry-After: 120` or of a date; None where it says nothing that can be read."""
        text = answer.headers.get("retry-after", "").strip()
        if _SECONDS.fullmatch(text):
            return min(float(text), _LONGEST_WAIT_S)
        try:
            at = email.utils.parsedate_to_datetime(text)
        except (TypeError, ValueError, IndexError):
            return None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return min(max((at - self._clock.now()).total_seconds(), 0.0), _LONGEST_WAIT_S)


def _no_answer(error: GatewayError) -> DeliveryError:
    """What the transport's error means here: nothing that it says of gateways and money."""
    cause = str(error.context.get("cause", ""))
    if cause == "AddressNotAllowedError":
        return UndeliverableError("The tenant's endpoint is not a public address.")
    what = "could not be reached" if isinstance(error, NotSentError) else "gave no usable answer"
    return DeliveryError(f"The endpoint {what} ({error.code}, {cause}).")


def _body(row: OutboxRow) -> bytes:
    document = json.loads(row.document)
    kind = str(document.get("kind", row.kind.value)) if isinstance(document, dict) else row.kind.value
    kind = f"ledger.{kind}" if row.kind is OutboxKind.LEDGER else kind
    timestamp = row.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    head = f'{{"type":{json.dumps(kind)},"timestamp":"{timestamp}"'
    body = f'{head},"data":{row.document}}}'.encode()
    if len(body) <= MAX_BODY_BYTES or not isinstance(document, dict):
        return body
    # Metadata is all that can be long. Who needs it asks for the payment; the entry itself must arrive.
    short: dict[str, Any] = {**document, "metadata": {}}
    text = json.dumps(short, ensure_ascii=False, separators=(",", ":"))
    return f'{head},"metadata_omitted":true,"data":{text}}}'.encode()


def _parts(url: str) -> SplitResult | None:
    try:
        check_url("endpoint", url)
    except InvalidRequestError:
        return None
    return urlsplit(url)


def _host_of(url: str) -> str:
    parts = _parts(url)
    return "?" if parts is None else parts.hostname or "?"


def _may_be_public(host: str) -> bool:
    """False for a numeric address inside, and for this machine's name; of other names the transport judges."""
    if is_loopback(host):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return is_public_address(host)

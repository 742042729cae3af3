"""HttpxTransport: httpx's engine, one line per call, and a witness to every send."""

import asyncio
import ssl
from functools import cache
from typing import Final, NamedTuple

import httpcore
import httpx

from vextrus_payments.clock import Clock, SystemClock
from vextrus_payments.errors import ConfigurationError, InvalidRequestError
from vextrus_payments.secret import Secret
from vextrus_payments.transport.answers import read_whole
from vextrus_payments.transport.failures import Trial
from vextrus_payments.transport.lines import Line, Lines, Origin
from vextrus_payments.transport.port import mark_cancelled
from vextrus_payments.transport.proof import WithdrawnError, Witness
from vextrus_payments.transport.reach import Reach
from vextrus_payments.wire import Safety, SendBy, Sent, WireRequest, WireResponse

_MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_CACHED_TARGETS: Final = 256
_MAX_CACHED_NAMES: Final = 256
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_TOKEN_CHARACTERS: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
_OURS: Final = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_IDENTITY: Final = (b"Accept-Encoding", b"identity")


class _Target(NamedTuple):
    url: httpcore.URL
    origin: Origin
    host: tuple[bytes, bytes]


@cache
def default_ssl_context() -> ssl.SSLContext:
    """The TLS policy of every transport that is not given another one: certifi's roots, nothing from the
    environment. Built once per process: it takes some 20 ms.
    """
    return httpx.create_ssl_context(trust_env=False)


class HttpxTransport:
    """Sends over HTTP/1.1 through httpx's engine, once each, with proof of what left.

    Belongs to the event loop of its first call. When that loop is closed, it starts anew on the next one.

    Args:
        clock: for `send_by` and for the age of idle connections.
        max_connections: how many calls may be out at once; the others wait in line.
        idle_s: how old an idle connection may be when a READ or IDEMPOTENT step takes it.
        careful_idle_s: the same for steps whose lost answer costs something (ONCE, DISPOSABLE).
        connect_timeout_s: for TCP and for TLS, each, within the call's own timeout.
        proxy: the URL of an HTTP proxy, with its credentials; http and https only.
        ssl_context: another TLS policy than `default_ssl_context()`.
        max_body_bytes: a longer answer is an UnreadableAnswerError.
        reach: which addresses it may connect to; a host with no such address is a NotSentError (cause
            "AddressNotAllowedError").

    Raises:
        ConfigurationError: the proxy's URL is none that can be used; or a proxy, which connects wherever it likes,
            beside a limited reach.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        max_connections: int = 100,
        idle_s: float = 30.0,
        careful_idle_s: float = 5.0,
        connect_timeout_s: float = 10.0,
        proxy: Secret | None = None,
        ssl_context: ssl.SSLContext | None = None,
        max_body_bytes: int = _MAX_BODY_BYTES,
        reach: Reach = Reach.ANYWHERE,
    ) -> None:
        if max_connections < 1:
            raise ConfigurationError("max_connections is at least 1.")
        if proxy is not None and reach is not Reach.ANYWHERE:
            raise ConfigurationError(
                "A proxy connects wherever it likes: a limited reach cannot be kept with one."
            )
        self._clock: Clock = SystemClock() if clock is None else clock
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._max_idle_s = {
            Safety.READ: idle_s,
            Safety.IDEMPOTENT: idle_s,
            Safety.DISPOSABLE: min(idle_s, careful_idle_s),
            Safety.ONCE: min(idle_s, careful_idle_s),
        }
        self._timeouts = {"connect": connect_timeout_s}
        self._proxy = None if proxy is None else _proxy(proxy)
        self._ssl_context = ssl_context
        self._max_body_bytes = max_body_bytes
        self._reach = reach
        self._targets: dict[str, _Target] = {}
        self._names: dict[str, bytes] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: Lines | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open, idle ones included."""
        return 0 if self._lines is None else self._lines.connections

    async def send(
        self, request: WireRequest, *, safety: Safety, timeout_s: float, send_by: SendBy | None = None
    ) -> WireResponse:
        """See `Transport.send`."""
        target = self._target(request.url)
        headers = self._headers(request, target)
        lines = self._lines_here()
        max_idle_s = self._max_idle_s[safety]
        witness: Witness | None = None
        line: Line | None = None
        status: int | None = None
        sound = False
        deadline = asyncio.timeout(timeout_s)
        try:
            async with deadline:
                self._refuse_early(timeout_s, send_by)
                if lines.full:
                    line = await self._wait_for_line(lines, target.origin, max_idle_s, send_by)
                else:
                    line = lines.take(target.origin, max_idle_s)
                witness = Witness(self._clock, send_by, line.backend, self._timeouts)
                answer = await line.engine.handle_async_request(
                    httpcore.Request(
                        request.method,
                        target.url,
                        headers=headers,
                        content=request.body,
                        extensions=witness.extensions,
                    )
                )
                if witness.stale():
                    raise WithdrawnError("stale_answer")
                status = answer.status
                response = await read_whole(answer, self._max_body_bytes)
                sound = True
                return response
        except asyncio.CancelledError as cancelled:
            mark_cancelled(cancelled, Sent.NO if witness is None else witness.sent)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, what counts is whether bytes left
            trial = Trial(str(target.origin), safety, timeout_s, deadline.expired(), witness, line, status)
            failure = trial.failure(error)
        finally:
            if line is not None:
                lines.give_back(line, sound=sound)
        # Raised out here, so that no exception of the engine hangs on ours with the request in its frames.
        raise failure

    async def aclose(self) -> None:
        """See `Transport.aclose`. A call after it is a NotSentError (code "transport_closed")."""
        self._closed = True
        if self._lines is not None and self._loop is asyncio.get_running_loop():
            await self._lines.close()

    def _refuse_early(self, timeout_s: float, send_by: SendBy | None) -> None:
        if self._closed:
            raise WithdrawnError("transport_closed")
        if timeout_s <= 0:
            raise WithdrawnError("no_time_left")
        if send_by is not None and send_by.passed(self._clock):
            raise WithdrawnError("send_by_passed")

    async def _wait_for_line(
        self, lines: Lines, origin: Origin, max_idle_s: float, send_by: SendBy | None
    ) -> Line:
        if send_by is None:
            return await lines.wait_and_take(origin, max_idle_s)
        try:
            async with asyncio.timeout(send_by.monotonic - self._clock.monotonic()):
                return await lines.wait_and_take(origin, max_idle_s)
        except TimeoutError:
            pass
        raise WithdrawnError("send_by_passed")

    def _lines_here(self) -> Lines:
        loop = asyncio.get_running_loop()
        if self._lines is not None and self._loop is loop:
            return self._lines
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError(
                "This transport belongs to another event loop that still runs; nothing was sent.",
                next_step="Make one transport per loop; shared_transport() does.",
            )
        self._loop = loop
        self._lines = Lines(
            clock=self._clock,
            places=self._max_connections,
            idle_s=self._idle_s,
            ssl_context=self._tls,
            proxy=self._proxy,
            reach=self._reach,
        )
        return self._lines

    def _tls(self) -> ssl.SSLContext:
        return default_ssl_context() if self._ssl_context is None else self._ssl_context

    def _target(self, url: str) -> _Target:
        known = self._targets.get(url)
        if known is not None:
            return known
        target = _parse(url)
        # A query may carry a secret: it is never kept.
        if "?" not in url:
            if len(self._targets) >= _MAX_CACHED_TARGETS:
                self._targets.clear()
            self._targets[url] = target
        return target

    def _headers(self, request: WireRequest, target: _Target) -> list[tuple[bytes, bytes]]:
        raw = [target.host, _IDENTITY]
        names = self._names
        for name, value in request.headers:
            encoded = names.get(name)
            if encoded is None:
                encoded = self._name(name)
            # Beyond ASCII a value goes out as its UTF-8 bytes: a merchant's password may be one. Line breaks and
            # every other control character are not printable.
            if not value.isprintable() or value != value.strip():
                raise InvalidRequestError(
                    f"The header {name} has a value that no header may have; nothing was sent.",
                    field=name,
                    rule="printable characters without blanks at its ends",
                )
            raw.append((encoded, value.encode("utf-8")))
        method = request.method
        if not method.isalpha() or not method.isascii() or method == "CONNECT":
            raise InvalidRequestError(
                "The method is none of HTTP's; nothing was sent.", field="method", rule="a word"
            )
        if request.body or method not in ("GET", "HEAD"):
            raw.append((b"Content-Length", b"%d" % len(request.body)))
        return raw

    def _name(self, name: str) -> bytes:
        lower = name.lower()
        if not name or not _TOKEN_CHARACTERS.issuperset(lower) or lower in _OURS:
            shown = lower if lower in _OURS else "?"
            raise InvalidRequestError(
                f"A header's name ({shown}) is no HTTP name, or one the transport sets itself; nothing was sent.",
                field="headers",
                rule="HTTP token characters; not " + ", ".join(sorted(_OURS)),
            )
        if len(self._names) >= _MAX_CACHED_NAMES:
            self._names.clear()
        encoded = self._names[name] = name.encode("ascii")
        return encoded


def _callable(url: httpx.URL) -> bool:
    return url.scheme in _DEFAULT_PORTS and bool(url.host) and (url.port is None or 0 < url.port < 65536)


def _parse(url: str) -> _Target:
    parsed: httpx.URL | None
    try:
        parsed = httpx.URL(url)
        good = _callable(parsed) and not parsed.userinfo
    except (
        httpx.InvalidURL,
        TypeError,
        ValueError,
    ):  # idna's own error for a broken xn-- name is a ValueError
        parsed, good = None, False
    if parsed is None or not good:
        raise InvalidRequestError(
            "The URL is none that can be called; nothing was sent.",
            field="url",
            rule="an http or https URL with a host and without user and password",
        )
    port = _DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    origin = Origin(parsed.raw_scheme, parsed.raw_host, port)
    return _Target(
        httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=parsed.raw_path),
        origin,
        (b"Host", parsed.netloc),
    )


def _proxy(secret: Secret) -> httpcore.Proxy:
    parsed: httpx.Proxy | None
    try:
        parsed = httpx.Proxy(secret.reveal())
        good = _callable(parsed.url)
    except (httpx.InvalidURL, ValueError):
        parsed, good = None, False
    if parsed is None or not good:
        raise ConfigurationError("The proxy is no http or https URL with a host; nothing was sent.")
    return httpcore.Proxy(
        httpcore.URL(
            scheme=parsed.url.raw_scheme,
            host=parsed.url.raw_host,
            port=_DEFAULT_PORTS[parsed.url.scheme] if parsed.url.port is None else parsed.url.port,
            target=b"/",
        ),
        auth=parsed.raw_auth,
        ssl_context=default_ssl_context() if parsed.url.scheme == "https" else None,
    )

"""Where the sandbox listens, and under which names it answers.

On a loopback address, unless it was told in so many words that others may reach it. Wherever it listens, a request is
answered only when its ``Host`` is the address at which it arrived, a name of that address, or loopback: a web page
whose own name was made to lead here (DNS rebinding) brings that name along, and gets nothing.
"""

import asyncio
import errno
import ipaddress
import os
import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Self
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from vextrus_payments.errors import ConfigurationError
from vextrus_payments_sandbox.admin import OWN_HOST

LOOPBACK: Final = "127.0.0.1"
_LOOPBACK_HOSTS: Final = frozenset({LOOPBACK, "localhost", "::1"})
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?", re.ASCII)
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]*[a-z0-9]))(?::[0-9]{1,5})?", re.ASCII)
_NOT_HERE: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class NotLoopbackError(ValueError):
    """The sandbox was asked to listen where others could reach it."""


class NoSuchHostError(ValueError):
    """There is no such address on this machine."""


class PortTakenError(OSError):
    """The port cannot be had."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address to listen at.

    Attributes:
        host: how it was named, in lower case and without brackets.
        address: what that is.
        names: under which names it answers besides its address and loopback; in lower case.
    """

    host: str
    address: IPv4Address | IPv6Address
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, host: str = LOOPBACK, *, allow_remote: bool = False) -> Self:
        """The place that an address or a name means.

        Raises :class:`NotLoopbackError` where others could reach it and `allow_remote` is not given,
        :class:`NoSuchHostError` for what names no address.
        """
        named = host.removeprefix("[").removesuffix("]").lower()
        address = _as_address(LOOPBACK if named == "localhost" else named)
        if address is not None and address.is_loopback:
            return cls(named, address)
        if not allow_remote:
            raise NotLoopbackError(f"the sandbox listens on a loopback address only, not on {host!r}")
        if address is None:
            return cls(named, _resolved(named), frozenset({named}))
        own = socket.gethostname().lower()
        return cls(named, address, frozenset({own, f"{own}.local"} if _NAME.fullmatch(own) else ()))

    @property
    def is_remote(self) -> bool:
        """Whether others can reach it."""
        return not self.address.is_loopback

    def bound(self, port: int) -> socket.socket:
        """A socket there; port 0 takes any free one.

        Raises :class:`NoSuchHostError` where this machine has no such address, :class:`PortTakenError` when the port
        is in use or not allowed.
        """
        family = socket.AF_INET6 if self.address.version == 6 else socket.AF_INET
        problem: OSError | OverflowError
        try:
            # Named as TCP, so that asyncio turns Nagle off for what it accepts: else every second answer comes 40 ms
            # late.
            bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        except OSError as error:
            problem = error
        else:
            if os.name == "posix":  # on Windows the option would let two servers share the port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                if self.address == IPv6Address(
                    "::"
                ):  # "everywhere" is IPv4, too, whatever the system's own habit
                    bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                bound.bind((str(self.address), port))
            except (OSError, OverflowError) as error:
                bound.close()
                problem = error
            else:
                return bound
        reason = getattr(problem, "strerror", None) or str(problem)
        if getattr(problem, "errno", None) in _NOT_HERE:
            raise NoSuchHostError(f"this machine has no address {self.host} ({reason})")
        raise PortTakenError(f"cannot listen on {self.host}:{port}: {reason}")

    def url(self, bound: socket.socket) -> str:
        """The address for clients of this machine: by loopback where it listens everywhere, else as it was named."""
        host, port = self.host, bound.getsockname()[1]
        if self.address.is_unspecified:
            host = LOOPBACK if self.address.version == 4 else "::1"
        elif host not in self.names:
            host = str(self.address)
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def answers_to(self, scope: Scope) -> bool:
        """Whether a request is meant for this sandbox, by its ``Host``."""
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts:  # HTTP/1.0 knows no Host; every browser sends one
            return bool(scope["http_version"] == "1.0")
        found = _HOST.fullmatch(hosts[0].decode("latin-1").lower())
        if found is None or len(hosts) > 1:
            return False
        host = found[1] or found[2]
        if host in _LOOPBACK_HOSTS or host in self.names:
            return True
        address = _as_address(host)
        if address is None or address.is_unspecified:
            return False
        return address in (self.address, _arrived_at(scope))


async def check_reachable(bound: socket.socket, url: str) -> None:
    """Connect once to what listens on `bound`: a container or a namespace may have its loopback interface down.

    Raises :class:`ConfigurationError`.
    """
    parts = urlsplit(url)
    problem = ""
    try:
        _, writer = await asyncio.open_connection(parts.hostname, bound.getsockname()[1])
    except OSError as error:
        problem = error.strerror or str(error)
    else:
        writer.close()
        return
    raise ConfigurationError(
        f"The sandbox listens at {url}, and this machine cannot reach it there ({problem}).",
        code="sandbox_unreachable",
        next_step="Bring the loopback interface up (on Linux: ip link set lo up).",
    )


def loopback_socket(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket bound to a loopback address; port 0 takes any free one.

    Raises :class:`NotLoopbackError` for an address that others could reach, :class:`PortTakenError` when the
    port is in use or not allowed.
    """
    return Place.of(host).bound(port)


class OwnHostsOnly:
    """Answer only requests that name this sandbox: a foreign name that resolves to its address gets nothing."""

    def __init__(self, app: ASGIApp, place: Place) -> None:
        self._app = app
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if not self._place.answers_to(scope):
                await self._refuse(send)
                return
            scope.setdefault("extensions", {})[OWN_HOST] = {}
        await self._app(scope, receive, send)

    async def _refuse(self, send: Send) -> None:
        more = "the address it listens at, that address's names, " if self._place.is_remote else ""
        body = f'{{"error":"the sandbox answers to {more}127.0.0.1 and localhost only"}}'.encode("ascii")
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 421, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _arrived_at(scope: Scope) -> IPv4Address | IPv6Address | None:
    """The address of this machine that the caller connected to."""
    local = scope.get("server")
    return None if local is None else _as_address(str(local[0]).partition("%")[0])


def _as_address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def _resolved(name: str) -> IPv4Address | IPv6Address:
    """The first address of a name; raises :class:`NoSuchHostError`."""
    why = "it is no address, and no name"
    if _NAME.fullmatch(name):
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
            address = _as_address(str(found[0][4][0]))
            if address is not None:
                return address
        except OSError as error:
            why = error.strerror or str(error)
    raise NoSuchHostError(f"this machine has no address {name!r} ({why})")

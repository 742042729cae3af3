"""Whose request it is: the address limits are counted by, found without believing a sender.

The socket's other end cannot be forged; a header can. So the peer is the source, unless it is a proxy of ours
(`trusted_proxies`). Then the header that our proxies write is read from its right end, where the nearest proxy wrote:
each hop that is itself one of our proxies is passed over, and the first one that is not is the source. What stands
further left was written by that source, and counts for nothing. A hop that cannot be read ends the search at the
proxy that wrote it: its whole traffic then counts as one source, which is unkind, and forged by nobody.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from vextrus_payments.errors import ConfigurationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]

#: What a peer without an address (a Unix socket) is called, here and in `trusted_proxies`.
UNIX: Final = "unix"
#: What a peer is called whose address cannot be read: some test clients, some servers' own inventions.
UNREADABLE: Final = "unreadable"
#: A customer of an access network has a whole /64 of IPv6: single addresses would cost him nothing.
IPV6_PREFIX: Final = 64
#: Nobody has so many proxies; who writes more hops is not read further.
_HOPS_MAX: Final = 32
_ADDRESS_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Source:
    """Where a request comes from."""

    address: str
    """One address, in its usual form; "unix" for a Unix socket, "unreadable" for what is no address."""
    key: str
    """What it is counted by: an IPv4 address, or an IPv6 network such as "2001:db8::/64"."""


@dataclass(frozen=True, slots=True)
class Networks:
    """A set of networks, and whether Unix sockets belong to it."""

    ipv4: tuple[IPv4Network, ...] = ()
    ipv6: tuple[IPv6Network, ...] = ()
    unix: bool = False

    def __bool__(self) -> bool:
        return bool(self.ipv4 or self.ipv6 or self.unix)

    def holds(self, address: Address) -> bool:
        """Whether the address is in one of them."""
        if isinstance(address, IPv4Address):
            return any(address in network for network in self.ipv4)
        return any(address in network for network in self.ipv6)

    def holds_source(self, source: Source) -> bool:
        """Whether the source is; one without a readable address only as "unix"."""
        if source.address == UNIX:
            return self.unix
        if not self.ipv4 and not self.ipv6:
            return False
        address = _read(source.address)
        return address is not None and self.holds(address)


def networks_of(name: str, written: Sequence[str], *, everyone: bool = True) -> Networks:
    """Read networks, such as ("10.0.0.0/8", "2001:db8::/32", "192.0.2.1", "unix").

    Args:
        name: the setting's name, for the message.
        everyone: whether a network that holds every address may be among them.

    Raises:
        ConfigurationError: one of them is no network, or holds everybody and must not.
    """
    if isinstance(written, str):
        raise _unusable(name, "one text", f'Write a list: {name}=("10.0.0.0/8",).')
    ipv4: list[IPv4Network] = []
    ipv6: list[IPv6Network] = []
    for text in written:
        if text == UNIX:
            continue
        network = _network(text)
        if network is None:
            raise _unusable(
                name,
                f"{text!r}",
                'Write networks as "10.0.0.0/8" or "2001:db8::/32", with no bits beyond the prefix.',
            )
        if not everyone and network.prefixlen == 0:
            raise _unusable(
                name,
                f"{text!r}, which is everybody",
                "Name your own proxies only: whoever is trusted may say that a request comes from anywhere.",
            )
        if isinstance(network, IPv4Network):
            ipv4.append(network)
        else:
            ipv6.append(network)
    return Networks(tuple(ipv4), tuple(ipv6), UNIX in written)


def is_near(source: Source) -> bool:
    """Whether it can only be one of our own networks': no address that the internet reaches."""
    if source.address == UNIX:
        return True
    address = _read(source.address)
    return address is not None and not address.is_global


class SourceFinder:
    """Finds the source of a request.

    Args:
        trusted: our own proxies.
        header: which of the two headers they write. The other one is not looked at: a proxy that writes one passes
            the other on as the sender wrote it.
    """

    def __init__(self, trusted: Networks, header: ForwardedHeader) -> None:
        self._trusted = trusted
        self._trusts = bool(trusted)
        self._header: ForwardedHeader = header

    def find(self, peer: str | None, headers: Mapping[str, str]) -> Source:
        """The source of a request with this peer and these headers (names in lower case). Never raises."""
        if not self._trusts:
            return _source(peer)
        if peer is None:
            trusted, current = self._trusted.unix, _source(None)
        else:
            address = _read(peer)
            trusted, current = address is not None and self._trusted.holds(address), _source(peer)
        if not trusted:
            return current
        written = headers.get(self._header, "")
        hops = _x_forwarded_for(written) if self._header == "x-forwarded-for" else _forwarded(written)
        for turn, hop in enumerate(hops):
            address = None if hop is None or turn >= _HOPS_MAX else _hop(hop)
            if address is None:
                return current
            current = _source_of(address)
            if not self._trusted.holds(address):
                return current
        return current

    def is_unread(self, headers: Mapping[str, str]) -> bool:
        """Whether somebody between wrote a hop while no proxy is trusted: a hint that one should be, no more."""
        return not self._trusts and ("x-forwarded-for" in headers or "forwarded" in headers)


# --- addresses ----------------------------------------------------------------------------------------------------


_UNIX_SOURCE: Final = Source(UNIX, UNIX)
_UNREADABLE_SOURCE: Final = Source(UNREADABLE, UNREADABLE)


def _source(peer: str | None) -> Source:
    if peer is None:
        return _UNIX_SOURCE
    # What is too long is sent away before the cache: it would be kept there.
    return _source_short(peer) if len(peer) <= _ADDRESS_CHARACTERS else _UNREADABLE_SOURCE


# By its text: an address of the standard library takes as long to look up as to read.
@lru_cache(maxsize=4096)
def _source_short(peer: str) -> Source:
    address = _read(peer)
    return _UNREADABLE_SOURCE if address is None else _source_of(address)


@lru_cache(maxsize=4096)
def _source_of(address: Address) -> Source:
    if isinstance(address, IPv4Address):
        return Source(str(address), str(address))
    return Source(str(address), str(IPv6Network((int(address) >> 64 << 64, IPV6_PREFIX))))


def _read(text: str) -> Address | None:
    """An address; one of IPv4 that is written as IPv6 is the IPv4 one, and a zone (`%eth0`) is left off."""
    # What is too long is sent away before the cache: it would be kept there.
    return _read_short(text) if len(text) <= _ADDRESS_CHARACTERS and text.isascii() else None


@lru_cache(maxsize=4096)
def _read_short(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _hop(text: str) -> Address | None:
    """The address of one hop, which may carry a port: `192.0.2.1:4711`, `[2001:db8::1]:4711`, `[2001:db8::1]`."""
    if text.startswith("["):
        inside, closed, port = text[1:].partition("]")
        well = closed and (not port or (port.startswith(":") and _is_port(port[1:])))
        address = _read(inside) if well and ":" in inside else None
        return address
    if text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(port):
            return None
    return _read(text)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _network(text: str) -> Network | None:
    try:
        network = ip_network(text)
    except (ValueError, TypeError):
        return None
    if isinstance(network, IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return IPv4Network((int(mapped), network.prefixlen - 96))
    return network


# --- headers, read from their right ends ----------------------------------------------------------------------------


def _x_forwarded_for(written: str) -> Iterator[str]:
    """The hops of X-Forwarded-For, nearest first."""
    rest = written
    while rest:
        rest, _, hop = rest.rpartition(",")
        yield hop.strip(" \t")


def _forwarded(written: str) -> Iterator[str | None]:
    """The hops of Forwarded (RFC 7239), nearest first; None for an element that does not say one address.

    It is split from the right as well. Read from the left, a quotation mark that a sender left open would swallow
    what our proxies wrote after it.
    """
    end, quoted, at = len(written), False, len(written) - 1
    while at >= 0:
        sign = written[at]
        if sign == '"' and not _is_escaped(written, at):
            quoted = not quoted
        elif sign == "," and not quoted:
            yield _for_of(written[at + 1 : end])
            end = at
        at -= 1
    if end:
        yield _for_of(written[:end])


def _is_escaped(text: str, at: int) -> bool:
    """Whether an odd number of backslashes stands before it."""
    before = at
    while before > 0 and text[before - 1] == "\\":
        before -= 1
    return (at - before) % 2 == 1


def _for_of(element: str) -> str | None:
    """The one `for` of an element, without its quotation marks."""
    found: str | None = None
    for pair in _pairs(element):
        name, _, value = pair.partition("=")
        if name.strip(" \t").lower() != "for":
            continue
        if found is not None:
            return None
        found = value.strip(" \t")
    if found is None or "\\" in found:
        return None
    if len(found) >= 2 and found[0] == found[-1] == '"':
        return found[1:-1]
    return None if '"' in found else found


def _pairs(element: str) -> Iterator[str]:
    """An element's parts between semicolons that stand outside of quotation marks."""
    start, quoted = 0, False
    for at, sign in enumerate(element):
        if sign == '"' and not _is_escaped(element, at):
            quoted = not quoted
        elif sign == ";" and not quoted:
            yield element[start:at]
            start = at + 1
    yield element[start:]


def _unusable(name: str, what: str, next_step: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name} of the doors' limits holds {what}.", code="door_limits", next_step=next_step
    )

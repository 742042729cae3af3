"""Which addresses a transport may connect to: for endpoints that somebody else has named.

A name is judged by the addresses it has at the moment of connecting, and the connection goes to one of those: a name
that answers differently the second time gains nothing.
"""

from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

#: IPv6 addresses that carry an IPv4 address in their last 32 bits, and are as public as that one.
_CARRIERS: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
#: What of IPv6 was given out at all. Outside of it are networks' own: site-local, and translators into IPv4.
_GIVEN_OUT: Final = IPv6Network("2000::/3")


class Reach(StrEnum):
    """How far a transport reaches."""

    ANYWHERE = "anywhere"
    PUBLIC = "public"
    """Public addresses only: not this machine, its network, a cloud's metadata service, nor what no router knows."""

    def allows(self, address: str) -> bool:
        """Whether a connection may go to this numeric address."""
        return self is Reach.ANYWHERE or is_public_address(address)


def is_public_address(address: str) -> bool:
    """Whether a numeric address belongs to the public internet, whichever way it is written."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return all(_is_public(one) for one in _with_carried(found))


def _is_public(found: IPv4Address | IPv6Address) -> bool:
    if isinstance(found, IPv6Address) and found not in _GIVEN_OUT:
        return False
    return found.is_global and not found.is_multicast


def _with_carried(found: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The addresses that decide: what an IPv6 address carries, else itself."""
    if isinstance(found, IPv4Address):
        return [found]
    if found.ipv4_mapped is not None:
        return [found.ipv4_mapped]
    if found.sixtofour is not None:
        return [found.sixtofour]
    if found.teredo is not None:
        return [*found.teredo]
    if any(found in network for network in _CARRIERS):
        return [IPv4Address(found.packed[-4:])]
    return [found]

"""Identifiers: readable prefix, time-ordered, from an injected source of randomness."""

import secrets
from typing import Final, Protocol

from vextrus_payments.clock import Clock

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
#: Two digits at a time: 26 digits hold 130 bits, 13 pairs of 10.
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_SHIFTS: Final = range(120, -1, -10)


class Entropy(Protocol):
    """Random bytes as a port, so that a simulation replays exactly."""

    def token_bytes(self, count: int) -> bytes:
        """That many random bytes."""
        ...


class SystemEntropy:
    """The operating system's randomness."""

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)


class Ids:
    """Makes ids such as "pay_01j9c0v6m2k3q8x4t5w7y9zabc": 48 bits of milliseconds, then 80 random bits."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def new(self, prefix: str) -> str:
        """A fresh id with this prefix ("pay", "evt", "att")."""
        millis = int(self._clock.now().timestamp() * 1000) & (2**48 - 1)
        value = millis << 80 | int.from_bytes(self._entropy.token_bytes(10))
        return prefix + "_" + "".join([_PAIRS[value >> shift & 1023] for shift in _SHIFTS])

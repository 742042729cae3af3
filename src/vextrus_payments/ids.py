"""Identifiers: readable prefix, time-ordered, from an injected source of randomness."""

import secrets
from base64 import b32encode
from typing import Final, Protocol

from vextrus_payments.clock import Clock

#: RFC 4648's digits to ours, which sort as their values do and hold no letter that looks like another.
_TO_OURS: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789abcdefghjkmnpqrstvwxyz")


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
        # 26 digits of 5 bits hold 130; base 32 works on 160: the 30 bits behind them are cut off again.
        digits = b32encode((value << 30).to_bytes(20)).translate(_TO_OURS)[:26]
        return f"{prefix}_{digits.decode('ascii')}"

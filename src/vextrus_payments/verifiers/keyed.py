"""What verifiers share whose senders sign the raw body by HMAC, and write the time into it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from vextrus_payments.clock import Clock
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.events import Confirm, Delivery
from vextrus_payments.signing import Mac
from vextrus_payments.verifier_port import Verified
from vextrus_payments.verifiers.shape import FUTURE_S, PAST_S, refuse_confirmation


class KeyedVerifier(ABC):
    """Proves messages of one sender under one of several live keys.

    Args:
        keys: the keys as bytes, used as they are.
        past_s, future_s: how far a message's own time may be from now. It stays the same over every repeat, so the past
            is long: see shape.py.

    Raises:
        ConfigurationError: there is no key.
    """

    sender: ClassVar[str]

    def __init__(
        self, keys: Sequence[bytes], *, clock: Clock, past_s: float = PAST_S, future_s: float = FUTURE_S
    ) -> None:
        if not keys or not all(keys):
            raise ConfigurationError("There is no key to verify with.", code="signing_secret")
        self._keys = tuple(Mac(key) for key in keys)
        self._clock = clock
        self._past_s = past_s
        self._future_s = future_s

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {len(self._keys)} live keys>"

    async def verify(self, delivery: Delivery) -> Verified:
        """See WebhookVerifier."""
        return self.check(delivery)

    @abstractmethod
    def check(self, delivery: Delivery) -> Verified:
        """As `verify`; it fetches nothing."""

    async def confirm(self, confirm: Confirm) -> None:
        """Refused: nobody asks."""
        refuse_confirmation(confirm, self.sender)

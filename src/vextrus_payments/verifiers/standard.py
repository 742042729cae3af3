"""Standard Webhooks 1.0.0: see signing.py for what is signed."""

from collections.abc import Sequence
from typing import Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import ConfigurationError
from vextrus_payments.events import Confirm, Delivery
from vextrus_payments.signing import SIGNATURE_HEADER, WINDOW_S, Verifier, verify
from vextrus_payments.verifier_port import Verified, VerifiedKind
from vextrus_payments.verifiers.shape import check_size, refuse_confirmation

SENDER: Final = "a sender of Standard Webhooks"


class StandardVerifier:
    """Proves messages signed by one of several live keys.

    The signed time is that of the try, so a repeat is signed anew: it may differ from now by `window_s` on either
    side, exactly `window_s` is still good.

    Args:
        keys: what `signing.verifying_key` gives; a new key stands beside the old one while senders change over.
        clock: what now is.

    Raises:
        ConfigurationError: there is no key.
    """

    header: Final = SIGNATURE_HEADER

    def __init__(self, keys: Sequence[Verifier], *, clock: Clock, window_s: float = WINDOW_S) -> None:
        if not keys:
            raise ConfigurationError("There is no key to verify with.", code="signing_secret")
        self._keys = tuple(keys)
        self._clock = clock
        self._window_s = window_s

    async def verify(self, delivery: Delivery) -> Verified:
        """See WebhookVerifier."""
        return self.check(delivery)

    def check(self, delivery: Delivery) -> Verified:
        """As `verify`; it fetches nothing."""
        check_size(delivery.body, SENDER)
        signed = verify(
            self._keys, delivery.headers, delivery.body, now=self._clock.now(), window_s=self._window_s
        )
        return Verified(
            kind=VerifiedKind.MESSAGE,
            message_id=signed.message_id,
            message=delivery.body,
            scheme="standard",
            signed_at=signed.signed_at,
        )

    async def confirm(self, confirm: Confirm) -> None:
        """Refused: nobody asks."""
        refuse_confirmation(confirm, SENDER)

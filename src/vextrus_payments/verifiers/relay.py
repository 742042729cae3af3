"""Our relay format: a service of the shop's own hands payment news on, signed with a shared secret.

    X-Webhook-Signature: 64 hex digits, HMAC-SHA256 over the raw body

The body is a JSON object with at least `id` (1-200 visible ASCII characters, the same on every repeat) and `timestamp`
(RFC 3339 with a zone: when the message was made). Both stand inside of what is signed; what else it holds is the
gateway's to read (gateways/relayed.py). New senders are better off with Standard Webhooks, which sign every try anew.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from vextrus_payments.clock import Clock
from vextrus_payments.errors import MalformedWebhookError, SignatureError
from vextrus_payments.events import Delivery
from vextrus_payments.signing import check_window, is_signed
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import Verified, VerifiedKind
from vextrus_payments.verifiers.keyed import KeyedVerifier
from vextrus_payments.verifiers.shape import (
    FUTURE_S,
    PAST_S,
    check_size,
    one_header,
    time_of,
)

SENDER: Final = "a relay"
SIGNATURE_HEADER: Final = "x-webhook-signature"

_HEX: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_ID: Final = re.compile(r"[!-~]{1,200}", re.ASCII)


class RelayVerifier(KeyedVerifier):
    """Proves messages of the relay format under one of several live secrets.

    Args:
        secrets: the shared secrets as bytes, used as they are.
        past_s, future_s: how far `timestamp` may be from now. It stays the same over every repeat of a message, so
            the past is long: see shape.py.

    Raises:
        ConfigurationError: there is no secret.
    """

    sender = SENDER
    header: Final = SIGNATURE_HEADER

    def __init__(
        self, secrets: Sequence[bytes], *, clock: Clock, past_s: float = PAST_S, future_s: float = FUTURE_S
    ) -> None:
        super().__init__(secrets, clock=clock, past_s=past_s, future_s=future_s)

    def check(self, delivery: Delivery) -> Verified:
        """As `verify`; it fetches nothing."""
        check_size(delivery.body, SENDER)
        told = one_header(delivery.headers, SIGNATURE_HEADER)
        if told is None or not _HEX.fullmatch(told):
            raise MalformedWebhookError(
                f"The delivery is no message of a relay: {SIGNATURE_HEADER} is not 64 hex digits."
            )
        if not is_signed(self._keys, delivery.body, bytes.fromhex(told)):
            raise SignatureError("The relay's signature is not one of a live secret.")
        return self._read(delivery.body)

    def _read(self, body: bytes) -> Verified:
        problem = "its id is not 1-200 visible characters"
        message_id: object = None
        signed_at = None
        found: dict[str, Any] | None = None
        try:
            found = read_object(body)
        except UnreadableJsonError as error:
            problem = str(error)
        else:
            message_id, timestamp = found.get("id"), found.get("timestamp")
            signed_at = time_of(timestamp) if isinstance(timestamp, str) else None
            if signed_at is None:
                problem = "its timestamp is not a time with a zone, such as 2026-01-31T12:00:00Z"
        if signed_at is None or not isinstance(message_id, str) or not _ID.fullmatch(message_id):
            raise MalformedWebhookError(f"The relay's message is signed and not of its form: {problem}.")
        check_window(signed_at, self._clock.now(), past_s=self._past_s, future_s=self._future_s)
        return Verified(
            kind=VerifiedKind.MESSAGE,
            message_id=message_id,
            message=body,
            scheme="relay",
            signed_at=signed_at,
            content=found,
        )

"""bKash's recurring payments (dossier §7): HMAC-SHA256 over the raw body.

The key is the API key's url-safe base64, decoded; the signature comes as url-safe base64 in `X-Signature` (so the text
of bKash's guide) or `Signature` (so its tables). The raw bytes count: `51.00` written again as `51.0` is another
message. A message has no id, so its id here is the hash of its bytes; its time is the body's `timeStamp`, in UTC.
"""

import base64
import binascii
import hashlib
import re
from typing import Any, Final

from vextrus_payments.errors import ConfigurationError, MalformedWebhookError, SignatureError
from vextrus_payments.events import Delivery
from vextrus_payments.secret import Secret
from vextrus_payments.signing import check_window, is_signed
from vextrus_payments.strict_json import UnreadableJsonError, read_object
from vextrus_payments.verifier_port import Verified, VerifiedKind
from vextrus_payments.verifiers.keyed import KeyedVerifier
from vextrus_payments.verifiers.shape import (
    check_size,
    one_header,
    time_of,
)

SENDER: Final = "bKash's recurring payments"
HEADERS: Final = ("x-signature", "signature")

_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_-]{43}=?", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{22,256}={0,2}", re.ASCII)


def recurring_key(api_key: Secret) -> bytes:
    """The bytes that an API key stands for.

    Raises:
        ConfigurationError: it is no url-safe base64 of at least 16 bytes; the message shows nothing of it.
    """
    raw = _bytes_of(api_key.reveal()) if _KEY.fullmatch(api_key.reveal()) else None
    if raw is None or len(raw) < 16:
        raise ConfigurationError(
            "The API key of bKash's recurring payments is not url-safe base64 of at least 16 bytes.",
            code="signing_secret",
            next_step="Copy it as bKash gave it: letters, digits, - and _.",
        )
    return raw


class RecurringVerifier(KeyedVerifier):
    """Proves messages of bKash's recurring platform under one of several live API keys.

    Args:
        keys: what `recurring_key` gives.
        past_s, future_s: how far `timeStamp` may be from now.

    Raises:
        ConfigurationError: there is no key.
    """

    sender = SENDER
    headers: Final = HEADERS

    def check(self, delivery: Delivery) -> Verified:
        """As `verify`; it fetches nothing."""
        check_size(delivery.body, SENDER)
        told = one_header(delivery.headers, HEADERS[0]) or one_header(delivery.headers, HEADERS[1])
        digest = _bytes_of(told) if told is not None and _SIGNATURE.fullmatch(told) else None
        if digest is None:
            raise MalformedWebhookError(
                f"The delivery is no message of {SENDER}: X-Signature is not the url-safe base64 of 32 bytes."
            )
        if not is_signed(self._keys, delivery.body, digest):
            raise SignatureError("The signature is not one of a live API key of bKash's recurring payments.")
        problem, signed_at = "its timeStamp is not a time with a zone", None
        found: dict[str, Any] | None = None
        try:
            found = read_object(delivery.body)
        except UnreadableJsonError as error:
            problem = str(error)
        else:
            timestamp = found.get("timeStamp")
            signed_at = time_of(timestamp) if isinstance(timestamp, str) else None
        if signed_at is None:
            raise MalformedWebhookError(f"A message of {SENDER} is signed and not of its form: {problem}.")
        check_window(signed_at, self._clock.now(), past_s=self._past_s, future_s=self._future_s)
        return Verified(
            kind=VerifiedKind.MESSAGE,
            message_id=f"sha256/{hashlib.sha256(delivery.body).hexdigest()}",
            message=delivery.body,
            scheme="recurring",
            signed_at=signed_at,
            content=found,
        )


def _bytes_of(text: str) -> bytes | None:
    """What url-safe base64 says, padded or not; None where it is not the one way to write it."""
    bare = text.rstrip("=")
    try:
        raw = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        return None
    return raw if base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=") == bare else None

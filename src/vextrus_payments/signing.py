"""Signatures over raw bytes: HMAC under several live secrets, a two-sided time window, and Standard Webhooks.

Pure: the time is passed in, nothing is logged, and no error quotes a key, a signature or a body. Whatever has not the
shape of a signed message is a MalformedWebhookError; whatever has it and does not prove its sender a SignatureError;
what is proven but not of now a TimestampOutsideWindowError.

Standard Webhooks 1.0.0: signed is `{id}.{timestamp}.{body}`; `v1` is HMAC-SHA256 under a secret of 24 to 64 bytes,
written `whsec_` and base64; `v1a` is ed25519, its keys written `whsk_` (private) and `whpk_` (public) and base64. The
header holds one signature per live key, parted by blanks, so that keys can be exchanged without a gap.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from vextrus_payments.errors import (
    ConfigurationError,
    MalformedWebhookError,
    SignatureError,
    TimestampOutsideWindowError,
)
from vextrus_payments.secret import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
#: How far a signed time may be from now, in seconds, on either side.
WINDOW_S: Final = 300

_MOST_SIGNATURES: Final = 16
#: Of ed25519, each of which hashes the whole message again: a sender has a key, and a new one while they are exchanged.
_MOST_ED25519: Final = 4
_LONGEST_HEADER: Final = 4096
# No full stop: it parts the id from the time in what is signed.
_MESSAGE_ID: Final = re.compile(r"[!-\-/-~]{1,200}", re.ASCII)
_TIMESTAMP_LENGTH: Final = 12
_VERSION: Final = re.compile(r"v[0-9]{1,3}[a-z]?", re.ASCII)


# --- the pieces, for every door -------------------------------------------------------------------------------------


class Mac:
    """HMAC under one key, which is set up once.

    Not `hmac.digest`: that one lets other threads run for every message, however short, and to get one's turn back
    takes far longer under load than the digest itself.
    """

    __slots__ = ("_algorithm", "_begun", "_key")

    def __init__(self, key: bytes, algorithm: str = "sha256") -> None:
        self._key, self._algorithm = key, algorithm
        self._begun = hmac.new(key, digestmod=algorithm)

    def __repr__(self) -> str:
        return f"<Mac, {self._algorithm}>"

    def __reduce__(self) -> tuple[type["Mac"], tuple[bytes, str]]:
        return Mac, (self._key, self._algorithm)

    def digest(self, message: bytes) -> bytes:
        """Of the raw bytes."""
        mac = self._begun.copy()
        mac.update(message)
        return mac.digest()


def is_signed(keys: Iterable[Mac], message: bytes, digest: bytes) -> bool:
    """Whether `digest` is the message's HMAC under any of these keys; takes as long whichever it is."""
    found = False
    for key in keys:
        found |= hmac.compare_digest(key.digest(message), digest)
    return found


def is_signed_rsa(key: "RSAPublicKey", message: bytes, signature: bytes, algorithm: str) -> bool:
    """Whether `signature` is the key's for the message: RSA with PKCS#1 v1.5 over "sha256" or, where a sender knows
    nothing better (Amazon SNS, version 1), "sha1"."""
    # Imported here: who checks HMACs only does not pay for it.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

    digest: hashes.HashAlgorithm = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}[algorithm]()  # noqa: S303
    try:
        key.verify(signature, message, PKCS1v15(), digest)
    except InvalidSignature:
        return False
    return True


def check_window(
    signed_at: datetime, now: datetime, *, past_s: float = WINDOW_S, future_s: float = WINDOW_S
) -> None:
    """Refuse what was signed too long ago, or in the future; exactly `past_s` and `future_s` are still good.

    Raises:
        TimestampOutsideWindowError: it says by how much, which tells a clock that is wrong from a replay.
    """
    age_s = (now - signed_at).total_seconds()
    if -future_s <= age_s <= past_s:
        return
    side = "old" if age_s > 0 else "early"
    raise TimestampOutsideWindowError(
        f"The message was signed {abs(age_s):.0f} s too {side} to be of now.",
        next_step="Compare this machine's clock with the sender's; a replay is refused rightly.",
        context={"age_s": round(age_s)},
    )


# --- keys -----------------------------------------------------------------------------------------------------------


class Signer(Protocol):
    """A key that signs."""

    def sign(self, message: bytes) -> str:
        """The signature as the header has it: version, comma, base64."""
        ...


class Verifier(Protocol):
    """A key that verifies."""

    @property
    def version(self) -> str:
        """The signatures it can judge: "v1" or "v1a"."""
        ...

    def verifies(self, message: bytes, signatures: Sequence[bytes]) -> bool:
        """Whether one of the signatures is this key's for the message."""
        ...


@dataclass(frozen=True, slots=True)
class HmacKey:
    """A shared secret (`v1`). Signs and verifies."""

    key: bytes = field(repr=False)
    version: str = "v1"
    _mac: Mac = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_mac", Mac(self.key))

    def sign(self, message: bytes) -> str:
        """See Signer."""
        return f"v1,{_text_of(self._mac.digest(message))}"

    def verifies(self, message: bytes, signatures: Sequence[bytes]) -> bool:
        """See Verifier. The message is hashed once, however many signatures a stranger puts beside it."""
        digest, found = self._mac.digest(message), False
        for signature in signatures:
            found |= hmac.compare_digest(digest, signature)
        return found


@dataclass(frozen=True, slots=True)
class Ed25519Key:
    """A private key (`v1a`). Signs; who verifies needs only `public`."""

    key: bytes = field(repr=False)
    """The seed, 32 bytes."""

    def sign(self, message: bytes) -> str:
        """See Signer."""
        return f"v1a,{_text_of(self._private().sign(message))}"

    @property
    def public(self) -> "Ed25519Public":
        """The key that verifies what this one signs."""
        return Ed25519Public(self._private().public_key().public_bytes_raw())

    def _private(self) -> "Ed25519PrivateKey":
        # Imported here: it takes longer than all the rest, and most people share a secret.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.key)


@dataclass(frozen=True, slots=True)
class Ed25519Public:
    """A public key (`v1a`). Verifies."""

    key: bytes
    version: str = "v1a"

    def verifies(self, message: bytes, signatures: Sequence[bytes]) -> bool:
        """See Verifier."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        public: Ed25519PublicKey = Ed25519PublicKey.from_public_bytes(self.key)
        for signature in signatures:
            try:
                public.verify(signature, message)
            except InvalidSignature:
                continue
            return True
        return False

    def __str__(self) -> str:
        return f"whpk_{_text_of(self.key)}"


def signing_key(secret: Secret) -> HmacKey | Ed25519Key:
    """The key that a text of Standard Webhooks names: `whsec_...` or `whsk_...`.

    Raises:
        ConfigurationError: it is neither, or not of the right length; the message shows nothing of it.
    """
    if not isinstance(secret, Secret):
        raise ConfigurationError(
            f"A signing secret is a Secret, not {type(secret).__name__}.",
            code="signing_secret",
            next_step='Wrap it: Secret("whsec_...").',
        )
    kind, _, text = secret.reveal().partition("_")
    raw = _bytes_of(text)
    if kind == "whsec" and raw is not None and 24 <= len(raw) <= 64:
        return HmacKey(raw)
    if kind == "whsk" and raw is not None and len(raw) in (32, 64):
        return Ed25519Key(raw[:32])  # some tools write the public key behind the seed
    raise ConfigurationError(
        "A signing secret has not the form of Standard Webhooks.",
        code="signing_secret",
        next_step='Write "whsec_" and the base64 of 24 to 64 random bytes, or "whsk_" and that of an ed25519 key.',
    )


def verifying_key(key: Secret | str) -> HmacKey | Ed25519Public:
    """The key that verifies: of a secret (`whsec_`, `whsk_`), or of a public key's text (`whpk_`).

    Raises:
        ConfigurationError: as signing_key.
    """
    if isinstance(key, str):
        kind, _, text = key.partition("_")
        raw = _bytes_of(text)
        if kind == "whpk" and raw is not None and len(raw) == 32:
            return Ed25519Public(raw)
        raise ConfigurationError(
            "A public key has not the form of Standard Webhooks.",
            code="signing_secret",
            next_step='Write "whpk_" and the base64 of 32 bytes; secrets are given as Secret.',
        )
    found = signing_key(key)
    return found.public if isinstance(found, Ed25519Key) else found


# --- Standard Webhooks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SignedMessage:
    """What a signature proves besides the body."""

    message_id: str
    """The same for every try of one message: what a receiver dedupes on."""
    signed_at: datetime


def sign(
    keys: Sequence[Signer], *, message_id: str, signed_at: datetime, body: bytes
) -> tuple[tuple[str, str], ...]:
    """The three headers of one message, signed with every live key.

    Raises:
        ConfigurationError: there is no key, or the id is none that can be signed (1-200 visible ASCII characters, no
            full stop).
    """
    if not keys:
        raise ConfigurationError("There is no key to sign with.", code="signing_secret")
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ConfigurationError("A message's id is 1-200 visible ASCII characters without a full stop.")
    timestamp = str(int(signed_at.timestamp()))
    message = _signed(message_id, timestamp, body)
    return (
        (ID_HEADER, message_id),
        (TIMESTAMP_HEADER, timestamp),
        (SIGNATURE_HEADER, " ".join(key.sign(message) for key in keys)),
    )


def verify(
    keys: Sequence[Verifier],
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    window_s: float = WINDOW_S,
) -> SignedMessage:
    """The id and time of a message that one of these keys has signed. Header names in any case.

    Give it the body's bytes as they came: what was parsed and written again is another message.

    Raises:
        MalformedWebhookError: a header is missing, doubled, or not of its form.
        SignatureError: none of its signatures is of one of the keys.
        TimestampOutsideWindowError: it is signed, but not of now: exactly `window_s` on either side is still good.
    """
    found = _headers(headers)
    message_id, timestamp = found[ID_HEADER], found[TIMESTAMP_HEADER]
    if not _MESSAGE_ID.fullmatch(message_id):
        raise _malformed(f"{ID_HEADER} is not 1-200 visible characters without a full stop")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _TIMESTAMP_LENGTH):
        raise _malformed(f"{TIMESTAMP_HEADER} is not a count of seconds")
    signatures = _signatures(found[SIGNATURE_HEADER])
    message = _signed(message_id, timestamp, body)
    good = False
    for key in keys:
        its = [signature for version, signature in signatures if version == key.version]
        if its:
            good |= key.verifies(message, its)
    if not good:
        raise SignatureError("No signature of the message is one of a live key.")
    seconds = int(timestamp)
    if seconds >= 253_402_300_800:
        raise TimestampOutsideWindowError("The message was signed in a year that no calendar has.")
    signed_at = datetime.fromtimestamp(seconds, UTC)
    check_window(signed_at, now, past_s=window_s, future_s=window_s)
    return SignedMessage(message_id, signed_at)


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b"%s.%s.%s" % (message_id.encode("ascii"), timestamp.encode("ascii"), body)


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers.items():
        if len(name) not in _NAME_LENGTHS:
            continue
        key = name.lower()
        if key not in _WANTED:
            continue
        if key in found:
            raise _malformed(f"{key} came twice")
        found[key] = value
    if len(found) != len(_WANTED):
        missing = next(name for name in _WANTED if name not in found)
        raise _malformed(f"{missing} is missing")
    return found


_WANTED: Final = (ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER)
_NAME_LENGTHS: Final = frozenset(map(len, _WANTED))


def _signatures(header: str) -> list[tuple[str, bytes]]:
    """(version, raw signature) of those versions that are known; others are a newer release's, and left alone."""
    parts = header.split(" ") if len(header) <= _LONGEST_HEADER else []
    if not 1 <= len(parts) <= _MOST_SIGNATURES:
        raise _malformed(f"{SIGNATURE_HEADER} is too long")
    found = []
    for part in parts:
        version, comma, text = part.partition(",")
        length = _LENGTHS.get(version) if comma else None
        if length is None:
            if not comma or not _VERSION.fullmatch(version):
                raise _malformed(f"{SIGNATURE_HEADER} is not a list of versions and signatures")
            continue
        raw = _bytes_of(text)
        if raw is None or len(raw) != length:
            raise _malformed(f"{SIGNATURE_HEADER} holds what is no signature")
        found.append((version, raw))
    if sum(version == "v1a" for version, _ in found) > _MOST_ED25519:
        raise _malformed(f"{SIGNATURE_HEADER} holds more signatures of ed25519 than anybody has keys")
    return found


_LENGTHS: Final[Mapping[str, int]] = {"v1": hashlib.sha256().digest_size, "v1a": 64}


def _malformed(what: str) -> MalformedWebhookError:
    return MalformedWebhookError(f"The message is not signed as Standard Webhooks has it: {what}.")


def _text_of(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _bytes_of(text: str) -> bytes | None:
    """What the base64 says; None where it is none, or not the one way to write it."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, ValueError):  # UnicodeEncodeError is one
        return None
    return raw if _text_of(raw) == text else None

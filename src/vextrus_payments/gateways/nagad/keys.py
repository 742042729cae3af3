"""Nagad's keys as people paste them: found in every packaging that is about, or refused in words (dossier §11, §13).

The portal gives one-line Base64 of DER without armour: SubjectPublicKeyInfo for public keys, PKCS #8 for private ones.
What arrives in settings is that, or PEM with any label (PKCS #8 under "RSA PRIVATE KEY", which newer OpenSSL refuses
to read as PEM), with CRLF, with `\\n` written out as two characters, between quotation marks, or PKCS #1 from
`openssl genrsa`. So the label is dropped, the Base64 is decoded, and DER says what it is.

Loading a private key checks it, which costs as much as 180 signatures. Keys that were loaded are kept, a bounded
number of them, so that a tenant's configuration can be made again and again.
"""

import base64
import binascii
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_public_key,
)

K = TypeVar("K", RSAPrivateKey, RSAPublicKey)

TEXT_MAX: Final = 65_536
BITS_MIN: Final = 2048
"""Shorter ones cannot even carry an initialize (§11)."""
BITS_MAX: Final = 4096
_KEPT_MAX: Final = 256

#: Blanks are counted, and no word holds one: else a text of sixty thousand of them would be gone through from each.
_ARMOUR: Final = re.compile(
    r"-----\s{0,4}(BEGIN|END)\s{1,4}([A-Z0-9]{1,20}(?:\s{1,4}[A-Z0-9]{1,20}){0,5})\s{0,4}-----", re.ASCII
)
_SSH: Final = re.compile(r"\s*(?:ssh|ecdsa)-")
_LINE_BREAK_WRITTEN: Final = re.compile(r"\\r\\n|\\n|\\r")
#: White space, and what editors and chats leave in a text without its being seen.
_INVISIBLE: Final = re.compile("[\\s\u00ad\u200b-\u200d\u2060\ufeff]+")
_PKCS1_ARMOUR: Final = (b"-----BEGIN RSA PUBLIC KEY-----\n", b"\n-----END RSA PUBLIC KEY-----\n")


class KeyTextError(ValueError):
    """The text holds no key that can be used. The message says what it is instead, and quotes nothing of it."""


class _Kept(Generic[K]):
    """The keys loaded last, by the digest of their text: no text of a private key is kept here."""

    def __init__(self, load: Callable[[bytes], K]) -> None:
        self._load: Callable[[bytes], K] = load
        self._keys: OrderedDict[bytes, K] = OrderedDict()

    def of(self, text: str, what: str) -> K:
        digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        found = self._keys.get(digest)
        if found is None:
            found = self._keys[digest] = self._load(_der(text, what))
            if len(self._keys) > _KEPT_MAX:
                self._keys.popitem(last=False)
        self._keys.move_to_end(digest)
        return found


def private_key(text: str) -> RSAPrivateKey:
    """The merchant's private key.

    Raises:
        KeyTextError: what the text is instead: empty, cut off, a public key, encrypted, too short ...
    """
    return _PRIVATE.of(text, "private key")


def public_key(text: str) -> RSAPublicKey:
    """The gateway's public key.

    Raises:
        KeyTextError: as private_key.
    """
    return _PUBLIC.of(text, "public key")


def fingerprint(key: RSAPublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, in lower-case hex: names a key pair without showing the key."""
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


# ------------------------------------------------------------------------------------------------------- packaging


def _der(text: str, what: str) -> bytes:
    """The bytes within the packaging."""
    if len(text) > TEXT_MAX:
        raise KeyTextError(f"is longer than any {what}")
    plain = _LINE_BREAK_WRITTEN.sub("\n", text.strip().strip("\"'"))
    labels = [label for end, label in _ARMOUR.findall(plain) if end == "BEGIN"]
    if len(labels) > 1:
        raise KeyTextError(f"holds {len(labels)} keys or certificates; keep the {what} alone")
    _check_label(labels[0] if labels else "", plain, what)
    body = _INVISIBLE.sub("", _ARMOUR.sub("", plain))
    if not body:
        raise KeyTextError("holds no key")
    if "-----" in body:
        raise KeyTextError("has a broken BEGIN or END line; paste the file as it is")
    problem = ""
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        problem = "is no Base64 text; paste the file as it is" if not _is_cut(body) else _CUT
    raise KeyTextError(problem)


_CUT: Final = "is cut off; paste all of it"


def _is_cut(body: str) -> bool:
    """True for Base64 that only lacks its end."""
    return re.fullmatch(r"[A-Za-z0-9+/]{24,}={0,2}", body, re.ASCII) is not None


def _check_label(label: str, plain: str, what: str) -> None:
    problem = ""
    if _SSH.match(plain) or "OPENSSH" in label or "SSH2" in label:
        problem = f"is an SSH key; Nagad's portal gives the {what} as Base64 or PEM"
    elif "ENCRYPTED" in label or "Proc-Type:" in plain:
        problem = "is encrypted with a passphrase; take the passphrase off (openssl pkcs8 -topk8 -nocrypt)"
    elif "CERTIFICATE" in label:
        problem = f"is a certificate or a request for one, not a {what}"
    elif "PRIVATE" in label and what == "public key":
        problem = "is a private key; the gateway's public key belongs here (and a private key nowhere but in its own)"
    elif "PUBLIC" in label and what == "private key":
        problem = "is a public key; your own private key belongs here"
    if problem:
        raise KeyTextError(problem)


# --------------------------------------------------------------------------------------------------------- loading


def _load_private(der: bytes) -> RSAPrivateKey:
    problem = ""
    try:
        key = load_der_private_key(der, password=None)
    except TypeError:
        key, problem = None, "is encrypted with a passphrase; take the passphrase off"
    except (ValueError, UnsupportedAlgorithm):
        key = None
        public = _any_public(der)
        problem = (
            "is a public key; your own private key belongs here"
            if public is not None
            else "is no private key that can be read: cut off, altered, or something else"
        )
    if problem:
        raise KeyTextError(problem)
    if not isinstance(key, RSAPrivateKey):
        raise KeyTextError("is a private key, but no RSA key")
    _check_bits(key.key_size)
    return key


def _load_public(der: bytes) -> RSAPublicKey:
    key = _any_public(der)
    if key is None:
        raise KeyTextError(
            "is a private key; the gateway's public key belongs here"
            if _is_private(der)
            else "is no public key that can be read: cut off, altered, or something else"
        )
    if not isinstance(key, RSAPublicKey):
        raise KeyTextError("is a public key, but no RSA key")
    _check_bits(key.key_size)
    return key


def _any_public(der: bytes) -> object | None:
    """A public key of any kind: SubjectPublicKeyInfo, or PKCS #1, which is told by its label only."""
    try:
        return load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        pass
    head, foot = _PKCS1_ARMOUR
    try:
        return load_pem_public_key(head + base64.b64encode(der) + foot)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _is_private(der: bytes) -> bool:
    try:
        load_der_private_key(der, password=None)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True


def _check_bits(bits: int) -> None:
    if not BITS_MIN <= bits <= BITS_MAX:
        raise KeyTextError(f"has {bits} bits; Nagad's keys have {BITS_MIN}")


_PRIVATE: Final = _Kept(_load_private)
_PUBLIC: Final = _Kept(_load_public)

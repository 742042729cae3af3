"""Nagad's sealed messages from the gateway's side (dossier §0, §4): one RSA block, and a signature over its inside.

Written apart from the SDK's own cryptography, on purpose: a mistake there must not be repeated here.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from vextrus_payments_sandbox.nagad.records import Refusal

_PADDING: Final = padding.PKCS1v15()
_OVERHEAD: Final = 11
"""Bytes of a block that PKCS#1 v1.5 takes for itself."""
TEXT_MAX: Final = 1_024
"""Longest sensitiveData and signature (§11)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was inside."""

    fields: dict[str, Any]
    hash_name: str


def unpack(text: Any) -> bytes:
    """Strict Base64, or 069."""
    if not isinstance(text, str) or not text or len(text) > TEXT_MAX:
        raise Refusal("069", "not Base64 of 1 to 1024 characters")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("069", "not Base64 of 1 to 1024 characters") from None


def open_request(
    sealed: bytes,
    signature: bytes,
    *,
    gateway: rsa.RSAPrivateKey,
    merchant: rsa.RSAPublicKey,
    strict_hash: bool,
) -> Opened:
    """Decrypt and verify a merchant's message, or refuse it: 057, 058, 060 (§14.1).

    A block that was tampered with decrypts to nonsense instead of failing, so that nonsense counts as undecryptable.
    """
    try:
        inside = decrypted(sealed, gateway)
        found = json.loads(inside.decode("utf-8"), parse_float=NumberText, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refusal("057", "not one block of this gateway's public key") from None
    if _fits(merchant, signature, inside, SHA256()):
        hash_name = "SHA-256"
    elif not strict_hash and _fits(merchant, signature, inside, SHA1()):  # noqa: S303 - old samples, by request only
        hash_name = "SHA-1"
    else:
        raise Refusal("058", "no SHA256withRSA signature of this merchant over the decrypted bytes")
    if not isinstance(found, dict) or not is_text(found):
        raise Refusal("060", "the sensitive data is no JSON object")
    return Opened(found, hash_name)


def decrypted(sealed: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """What is in a block for this key. Raises ValueError for what is no block of its size, and for nothing else."""
    return key.decrypt(sealed, _PADDING)


def seal(inside: bytes, *, gateway: rsa.RSAPrivateKey, merchant: rsa.RSAPublicKey) -> dict[str, str]:
    """The answer's two members: encrypted for the merchant, signed by the gateway."""
    return {
        "sensitiveData": _pack(merchant.encrypt(inside, _PADDING)),
        "signature": _pack(gateway.sign(inside, _PADDING, SHA256())),
    }


def tampered(answer: Mapping[str, str]) -> dict[str, str]:
    """The same answer with one bit of its ciphertext changed on the way."""
    raw = bytearray(base64.b64decode(answer["sensitiveData"]))
    raw[len(raw) // 2] ^= 1
    return {**answer, "sensitiveData": _pack(bytes(raw))}


def room(merchant: rsa.RSAPublicKey) -> int:
    """How many bytes one block for this key can hold."""
    return merchant.key_size // 8 - _OVERHEAD


def encoded(fields: Mapping[str, Any]) -> bytes:
    """The gateway's JSON: compact, in the order given, UTF-8 kept, ``=`` and ``/`` as they are (§4)."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def is_text(found: Any) -> bool:
    """Whether all of it can be written again: a lone surrogate cannot."""
    try:
        encoded(found)
    except (ValueError, RecursionError):
        return False
    return True


class NumberText(str):
    """A number of the wire as the text that stood there, told apart from a text."""

    __slots__ = ()


def _fits(key: rsa.RSAPublicKey, signature: bytes, inside: bytes, digest: SHA1 | SHA256) -> bool:
    try:
        key.verify(signature, inside, _PADDING, digest)
    except InvalidSignature:
        return False
    return True


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _pack(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")

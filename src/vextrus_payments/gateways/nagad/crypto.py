"""How Nagad's texts are sealed: encrypted for the reader and signed by the writer, over the same bytes.

What §0, §12 and §13 of the dossier prove or measured:

* encryption is one block of RSAES-PKCS1-v1_5, so a 2048-bit key carries 245 bytes and not one more;
* the signature is RSASSA-PKCS1-v1_5 with **SHA-256** over the text before encryption (the vendor's guide says SHA-1;
  three published signatures prove it wrong), and nothing signed by SHA-1 is taken here;
* a block that was tampered with does not raise when it is decrypted: it decrypts to random bytes ("implicit
  rejection"). So the signature over the decrypted bytes decides, whatever decryption said, and everything that can
  be wrong ends in one error without a detail: who sends altered blocks learns nothing from the answer.

The keys are parsed before they come here (keys.py): loading a private key costs as much as 180 signatures.
"""

import base64
import binascii
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from vextrus_payments.gateways.nagad.models import SEALED_MAX_CHARACTERS

#: What PKCS #1 v1.5 needs of a block for itself.
_PADDING_BYTES: Final = 11
_PADDING: Final = PKCS1v15()
_HASH: Final = SHA256()


class PlaintextTooLongError(ValueError):
    """The text does not fit into one block of the reader's key; nothing was encrypted.

    Attributes:
        size_bytes: of the text.
        room_bytes: what one block carries.
    """

    def __init__(self, size_bytes: int, room_bytes: int) -> None:
        super().__init__(f"a text of {size_bytes} bytes does not fit into a block of {room_bytes} bytes")
        self.size_bytes = size_bytes
        self.room_bytes = room_bytes


class BrokenSealError(ValueError):
    """The text was not sealed for us by the other side, or was altered since. It says nothing more, on purpose."""

    def __init__(self) -> None:
        super().__init__("the sealed text is not from the other side, or was altered")


class Sealed(NamedTuple):
    """A sealed text: both in standard Base64, padded, on one line."""

    sensitive_data: str
    signature: str


class Seal:
    """Seals texts for the other side and opens what it sealed for us. Holds two parsed keys and no state.

    Args:
        own: our private key: signs, and decrypts what was sealed for us.
        other: the other side's public key: encrypts, and proves who sealed.
    """

    __slots__ = ("_other", "_own", "room_bytes")

    def __init__(self, own: RSAPrivateKey, other: RSAPublicKey) -> None:
        self._own = own
        self._other = other
        self.room_bytes: Final = other.key_size // 8 - _PADDING_BYTES
        """The longest text that can be sealed."""

    def __repr__(self) -> str:
        return f"<Seal of texts up to {self.room_bytes} bytes>"

    def seal(self, text: bytes) -> Sealed:
        """Encrypt and sign these very bytes.

        Raises:
            PlaintextTooLongError: they are more than `room_bytes`.
        """
        if len(text) > self.room_bytes:
            raise PlaintextTooLongError(len(text), self.room_bytes)
        return Sealed(
            base64.b64encode(self._other.encrypt(text, _PADDING)).decode("ascii"),
            base64.b64encode(self._own.sign(text, _PADDING, _HASH)).decode("ascii"),
        )

    def open(self, sensitive_data: str | None, signature: str | None) -> bytes:
        """The bytes that the other side sealed, once its signature over them has been checked.

        Raises:
            BrokenSealError: whatever was wrong: it is no strict Base64, not of our key's size, not signed by the
                other side, altered. It has no cause chain.
        """
        # The signature is judged whether or not the block could be decrypted; both paths end in one error.
        text = self._decrypted(_decoded(sensitive_data))
        try:
            self._other.verify(_decoded(signature), text, _PADDING, _HASH)
            return text
        except InvalidSignature:
            pass
        raise BrokenSealError

    def _decrypted(self, block: bytes) -> bytes:
        try:
            return self._own.decrypt(block, _PADDING)
        except ValueError:  # not a block of our key at all; nobody signs nothing
            return b""


def _decoded(text: str | None) -> bytes:
    """Strict Base64: standard alphabet, padded, one line, one spelling; nothing for everything else."""
    if text is None or len(text) > SEALED_MAX_CHARACTERS:
        return b""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return raw if base64.b64encode(raw) == text.encode("ascii") else b""

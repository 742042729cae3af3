"""RSA signatures of senders, and headers of others beside the three that are wanted."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from vextrus_payments.signing import HmacKey, is_signed_rsa, sign, verify
from vextrus_payments.testing.time import EPOCH

KEY = generate_private_key(65537, 2048)
HASHES = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}


@pytest.mark.parametrize("algorithm", HASHES)
def test_only_the_keys_own_signature_of_this_message_by_this_hash_counts(algorithm: str) -> None:
    public, message = KEY.public_key(), b"12.50 came in"
    signed = KEY.sign(message, PKCS1v15(), HASHES[algorithm])
    assert is_signed_rsa(public, message, signed, algorithm)
    assert not is_signed_rsa(public, b"92.50 came in", signed, algorithm)
    other = next(name for name in HASHES if name != algorithm)
    assert not is_signed_rsa(public, message, signed, other)
    stranger = generate_private_key(65537, 2048).sign(message, PKCS1v15(), HASHES[algorithm])
    assert not is_signed_rsa(public, message, stranger, algorithm)
    for wrong in (b"", signed[:-1], signed + b"\0", bytes(256)):
        assert not is_signed_rsa(public, message, wrong, algorithm)
    salted = KEY.sign(message, PSS(mgf=MGF1(hashes.SHA256()), salt_length=20), hashes.SHA256())
    assert not is_signed_rsa(public, message, salted, algorithm)


def test_headers_of_others_may_stand_before_the_wanted_ones() -> None:
    key, body = HmacKey(b"one-" * 8), b"{}"
    names = {"host": "shop.example", "webhook-ix": "same length, another name", "x": "y"}
    wanted = dict(sign((key,), message_id="ent_1", signed_at=EPOCH, body=body))
    assert verify([key], {**names, **wanted}, body, now=EPOCH).message_id == "ent_1"

"""The seal: real published signatures, and every way to alter what was sealed."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from tests.gateways.nagad.hand import initialized, our_seal, pair, their_seal
from vextrus_payments.gateways.nagad import models as m
from vextrus_payments.gateways.nagad.crypto import BrokenSealError, PlaintextTooLongError, Seal
from vextrus_payments.gateways.nagad.keys import fingerprint, public_key

VECTORS = json.loads((Path(__file__).parent / "golden" / "vectors.json").read_text(encoding="utf-8"))
TEXT = b'{"paymentReferenceId":"MDMw","challenge":"0123456789abcdef0123","acceptDateTime":"20260304110607"}'


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda v: v["what"])
def test_the_published_signatures_are_sha256_over_the_exact_text(vector: dict[str, str]) -> None:
    key = public_key(VECTORS["spki_b64"][vector["signer"]])
    signature = base64.b64decode(vector["signature_b64"])
    key.verify(signature, vector["plaintext"].encode(), PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        key.verify(signature, vector["plaintext"].encode(), PKCS1v15(), SHA1())


def test_the_published_keys_are_those_that_live_mode_refuses() -> None:
    prints = {name: fingerprint(public_key(text)) for name, text in VECTORS["spki_b64"].items()}
    assert prints["gateway"] == "4d71d5b9711832f024f86344826a18e9deeaf3e6e2ab3c417a0ec522cbbb8b59"
    assert prints["merchant"] == "ad1628d583b564b4ff4a7f0da578aeb62cfc7129d4f841615abd1bb62d7949bf"


def test_nagads_own_text_is_read_and_written_byte_for_byte() -> None:
    text = VECTORS["vectors"][1]["plaintext"].encode()
    said = m.InitializeAnswerText.from_json(text)
    assert said.model_dump_json(by_alias=True).encode() == text
    parts = m.read_reference(said.payment_reference_id or "")
    assert parts == ("0202125445033", "683002007104225", "Order20240202124953", said.challenge)
    assert parts is not None and parts.encode() == said.payment_reference_id


def test_what_is_sealed_is_opened_by_the_other_side_alone() -> None:
    sealed = our_seal().seal(TEXT)
    assert their_seal().open(*sealed) == TEXT
    with pytest.raises(BrokenSealError):
        our_seal().open(*sealed)
    assert len(sealed.sensitive_data) == len(sealed.signature) == 344


def test_a_text_of_one_byte_too_many_is_refused_before_it_is_encrypted() -> None:
    seal = our_seal()
    assert seal.room_bytes == 245
    assert their_seal().open(*seal.seal(b"x" * 245)) == b"x" * 245
    with pytest.raises(PlaintextTooLongError) as caught:
        seal.seal(b"x" * 246)
    assert (caught.value.size_bytes, caught.value.room_bytes) == (246, 245)


def test_a_sha1_signature_is_refused() -> None:
    data, _ = their_seal().seal(TEXT)
    old = base64.b64encode(pair("gateway").sign(TEXT, PKCS1v15(), SHA1())).decode()
    with pytest.raises(BrokenSealError):
        our_seal().open(data, old)


def _altered() -> Iterator[tuple[str | None, str | None]]:
    """Over 1,200 sealed answers that Nagad did not give, from a fixed seed."""
    chance = random.Random(8812)
    data, signature = their_seal().seal(TEXT)
    block, signed = base64.b64decode(data), base64.b64decode(signature)

    def b64(raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    for position in range(0, 2048, 5):  # one bit in either
        flip = bytearray(block)
        flip[position // 8] ^= 1 << position % 8
        yield b64(bytes(flip)), signature
        flip = bytearray(signed)
        flip[position // 8] ^= 1 << position % 8
        yield data, b64(bytes(flip))
    for length in (0, 1, 16, 128, 255, 257, 512):  # cut off, and grown
        yield b64((block * 2)[:length]), signature
        yield data, b64((signed * 2)[:length])
    for _ in range(100):  # random blocks: they decrypt to something
        yield b64(bytes([0]) + chance.randbytes(255)), signature
        yield data, b64(chance.randbytes(256))
    for number in range(100):  # replayed and swapped: another answer's half
        other_data, other_signature = their_seal().seal(TEXT.replace(b"MDMw", f"MDM{number}".encode()))
        yield other_data, signature
        yield data, other_signature
    stranger = Seal(pair("stranger"), pair("merchant").public_key())
    yield stranger.seal(TEXT)
    yield data, stranger.seal(TEXT).signature
    for text in (
        None,
        "",
        " ",
        "=",
        "\u09e7" * 344,
        data[:-1],
        data + "=",
        data + "\n",
        " " + data,
        "x" * 2000,
    ):
        yield text, signature
        yield data, text
    yield data[:200] + "\n" + data[200:], signature
    yield data.replace("+", "-").replace("/", "_") if set("+/") & set(data) else data[1:], signature
    yield b64(b"\xff" * 256), signature  # above the modulus


def test_whatever_is_altered_ends_in_one_error_without_a_detail() -> None:
    seal, told, tried = our_seal(), set(), 0
    for data, signature in _altered():
        tried += 1
        with pytest.raises(BrokenSealError) as caught:
            seal.open(data, signature)
        assert caught.value.__context__ is None and caught.value.__cause__ is None
        told.add(str(caught.value))
    assert tried >= 1_200 and len(told) == 1


def test_another_spelling_of_the_same_bytes_is_not_taken() -> None:
    data, signature = their_seal().seal(TEXT)
    # 256 bytes leave four unused bits in the last letter but one.
    last = data[-3]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = data[:-3] + alphabet[alphabet.index(last) ^ 1] + data[-2:]
    assert base64.b64decode(other) == base64.b64decode(data)
    with pytest.raises(BrokenSealError):
        our_seal().open(other, signature)


def test_a_seal_shows_neither_key() -> None:
    assert repr(our_seal()) == "<Seal of texts up to 245 bytes>"


def test_a_sealed_answer_shows_nothing_of_what_it_holds() -> None:
    body = initialized().body
    shown = repr(m.SealedAnswer.from_json(body))
    assert not any(value[:24] in shown for value in json.loads(body).values())

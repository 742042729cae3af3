"""Project Wycheproof's cases against our wrappers. The files are large and not ours: without them this is skipped."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from vextrus_payments.signing import Mac, is_signed, is_signed_rsa

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "testdata"


def groups(name: str) -> list[dict[str, Any]]:
    path = FOLDER / f"wycheproof_{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["testGroups"]
    return found


def test_hmac_sha256() -> None:
    judged = 0
    for group in groups("hmac_sha256_test"):
        for case in group["tests"]:
            key, message, tag = (bytes.fromhex(case[name]) for name in ("key", "msg", "tag"))
            whole = group["tagSize"] == 256
            assert is_signed((Mac(key),), message, tag) is (whole and case["result"] == "valid"), case["tcId"]
            cut = Mac(key).digest(message)[: group["tagSize"] // 8]
            assert (cut == tag) is (case["result"] == "valid"), case["tcId"]
            judged += 1
    assert judged == 174


def test_rsa_pkcs1_v15_sha256() -> None:
    judged = 0
    for group in groups("rsa_signature_2048_sha256_test"):
        key = load_pem_public_key(group["publicKeyPem"].encode())
        assert isinstance(key, RSAPublicKey)
        for case in group["tests"]:
            good = is_signed_rsa(key, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]), "sha256")
            # "acceptable": a signature that leaves out a NULL, which a verifier may take or not.
            assert case["result"] == "acceptable" or good is (case["result"] == "valid"), case["tcId"]
            judged += 1
    assert judged == 259

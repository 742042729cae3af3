"""Settings and keys: every packaging people paste, every mistake told in words, nothing shown."""

import base64
import textwrap
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.gateways.nagad.hand import MERCHANT, pair, private_text, public_text
from tests.gateways.nagad.test_crypto import VECTORS
from vextrus_payments.errors import ConfigurationError, CredentialsMissingError
from vextrus_payments.gateways.nagad import config as settings
from vextrus_payments.gateways.nagad import keys
from vextrus_payments.gateways.nagad.config import NagadConfig
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret


def pem(label: str, text: str, newline: str = "\n") -> str:
    lines = textwrap.wrap(text, 64)
    return newline.join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


def pkcs1(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


PRIVATE = private_text(pair("merchant"))
PUBLIC = public_text(pair("gateway").public_key())
PUBLIC_1 = base64.b64encode(
    pair("gateway").public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
).decode()


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE,
        PRIVATE + "\n",
        f'"{PRIVATE}"',
        "\ufeff" + PRIVATE,
        "\u200b" + PRIVATE[:100] + " \u00a0" + PRIVATE[100:],
        pem("PRIVATE KEY", PRIVATE),
        pem("RSA PRIVATE KEY", PRIVATE),  # what newer OpenSSL refuses as PEM
        pem("PRIVATE KEY", PRIVATE, "\r\n"),
        pem("PRIVATE KEY", PRIVATE, "\\n"),
        pem("RSA PRIVATE KEY", PRIVATE, "\\r\\n"),
        pem("RSA PRIVATE KEY", PRIVATE).replace("\n", " "),
        pkcs1(pair("merchant")),
        "".join(pkcs1(pair("merchant")).splitlines()[1:-1]),
    ],
)
def test_a_private_key_is_found_in_every_packaging(text: str) -> None:
    assert keys.private_key(text).private_numbers() == pair("merchant").private_numbers()


@pytest.mark.parametrize(
    "text",
    [
        PUBLIC,
        pem("PUBLIC KEY", PUBLIC),
        pem("RSA PUBLIC KEY", PUBLIC, "\r\n"),
        pem("PUBLIC KEY", PUBLIC, "\\n"),
        pem("RSA PUBLIC KEY", PUBLIC_1),
        pem("PUBLIC KEY", PUBLIC_1),
        PUBLIC_1,
    ],
)
def test_a_public_key_is_found_in_every_packaging(text: str) -> None:
    assert keys.public_key(text).public_numbers() == pair("gateway").public_key().public_numbers()


def _der(key: Any, encryption: Any = None) -> str:
    raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, encryption or NoEncryption())
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no key"),
        ("changeme", "no private key"),
        ("what is this?", "no Base64"),
        (PRIVATE[:801], "cut off"),
        (PRIVATE[:800], "cut off"),
        (PRIVATE[:400] + PRIVATE[500:], "cut off, altered"),
        (PUBLIC, "is a public key"),
        (pem("PUBLIC KEY", PUBLIC), "is a public key"),
        (pem("CERTIFICATE", PUBLIC), "certificate"),
        (pem("ENCRYPTED PRIVATE KEY", PRIVATE), "passphrase"),
        (_der(pair("merchant"), BestAvailableEncryption(b"open")), "passphrase"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
            "passphrase",
        ),
        (pem("PRIVATE KEY", PRIVATE) + pem("PUBLIC KEY", PUBLIC), "2 keys"),
        (pem("PRIVATE KEY", PRIVATE).replace("-----END", "----END"), "broken BEGIN or END"),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ", "SSH"),
        (pem("OPENSSH PRIVATE KEY", PRIVATE), "SSH"),
        (_der(ec.generate_private_key(ec.SECP256R1())), "no RSA key"),
        (_der(ed25519.Ed25519PrivateKey.generate()), "no RSA key"),
        ("A" * 70_000, "longer than any"),
        # Hostile ones: each is answered at once, not after an hour.
        ("-----BEGIN" + " " * 65_000 + "x", "broken BEGIN or END"),
        ("-----BEGIN A" + " " * 65_000 + "!", "broken BEGIN or END"),
        ("-----BEGIN " * 5_900 + "x", "broken BEGIN or END"),
    ],
    ids=count(),  # the keys are made afresh in every process, and a key is no name for a test
)
def test_a_bad_private_key_is_explained_in_words_and_never_quoted(text: str, says: str) -> None:
    with pytest.raises(keys.KeyTextError, match=says) as caught:
        keys.private_key(text)
    assert caught.value.__context__ is None
    assert not any(text[i : i + 24] in str(caught.value) for i in range(0, max(len(text) - 24, 0), 24))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (PRIVATE, "is a private key"),
        (pem("RSA PRIVATE KEY", PRIVATE), "is a private key"),
        (PUBLIC[:300], "cut off"),
        ("", "holds no key"),
    ],
)
def test_a_bad_public_key_is_explained_in_words(text: str, says: str) -> None:
    with pytest.raises(keys.KeyTextError, match=says):
        keys.public_key(text)


def test_short_keys_are_refused() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(keys.KeyTextError, match="1024 bits"):
        keys.private_key(_der(short))
    with pytest.raises(keys.KeyTextError, match="1024 bits"):
        keys.public_key(public_text(short.public_key()))


def test_a_key_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    load = serialization.load_der_private_key

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal loads
        loads += 1
        return load(*args, **more)

    monkeypatch.setattr(keys, "load_der_private_key", counted)
    text = private_text(pair("loaded once"))
    for _ in range(5):
        keys.private_key(text)
        made(private_key=Secret(text)).seal()
    assert loads == 1


def test_the_keys_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_KEPT_MAX", 2)
    kept = keys._Kept(lambda der: pair("merchant"))
    for number in range(10):
        kept.of(base64.b64encode(bytes([number])).decode(), "private key")
    assert len(kept._keys) == 2


# ------------------------------------------------------------------------------------------------------ settings


def made(**changes: Any) -> NagadConfig:
    known: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "public_key": PUBLIC,
        "private_key": Secret(PRIVATE),
    }
    return NagadConfig(**{**known, **changes})


def live(**changes: Any) -> NagadConfig:
    return made(**{"mode": Mode.LIVE, **changes})


def test_it_is_read_from_the_environment_and_its_files(tmp_path: Path) -> None:
    private, public = tmp_path / "merchant_pri.pem", tmp_path / "gateway_pub.pem"
    private.write_text(pem("RSA PRIVATE KEY", PRIVATE, "\r\n"), encoding="ascii")
    public.write_text(PUBLIC, encoding="ascii")
    config = NagadConfig.from_env(
        {
            "NAGAD_MODE": "live",
            "NAGAD_MERCHANT_ID": MERCHANT,
            "NAGAD_MERCHANT_NUMBER": "01000000000",
            "NAGAD_PUBLIC_KEY_FILE": str(public),
            "NAGAD_PRIVATE_KEY_FILE": str(private),
            "NAGAD_CALLBACK_URL": "https://shop.example/payments/nagad/return",
        }
    )
    assert (config.mode, config.api_url) == (Mode.LIVE, settings.LIVE_URL)
    assert config.seal().room_bytes == 245


def test_what_is_missing_is_listed() -> None:
    with pytest.raises(CredentialsMissingError) as caught:
        NagadConfig.from_env({"NAGAD_MERCHANT_NUMBER": "01000000000"})
    for name in ("NAGAD_MERCHANT_ID", "NAGAD_PUBLIC_KEY", "NAGAD_PRIVATE_KEY"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://api.mynagad.com",
        "https://api.mynagad.com/",
        "https://api.mynagad.com/api/dfs",
        "https://api.mynagad.com/api/dfs/",
    ],
)
def test_a_base_that_was_pasted_with_the_apis_path_loses_it(url: str) -> None:
    assert live(api_url=url).api_url == "https://api.mynagad.com"


def test_the_classic_sandbox_answers_by_plain_http_alone_and_nothing_else_may() -> None:
    classic = "http://sandbox.mynagad.com:10080/remote-payment-gateway-1.0"
    assert made(api_url=classic + "/api/dfs").api_url == classic
    for changes in (
        {"api_url": "http://sandbox-ssl.mynagad.com"},
        {"api_url": "http://api.mynagad.com", "mode": Mode.LIVE},
        {"api_url": classic, "mode": Mode.LIVE},
        {"api_url": "https://api.mynagad.com"},
        {"api_url": "http://127.0.0.1:28600", "mode": Mode.LIVE},
    ):
        with pytest.raises(ConfigurationError):
            made(**changes)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("merchant_id", "", "merchant_id"),
        ("merchant_id", "68-30", "5-20 letters and digits"),
        ("merchant_number", "+8801000000000", "11 digits"),
        ("client_address", "::1", "IPv4"),
        ("client_address", "UNKNOWN", "IPv4"),
        ("client_type", "TV", "PC_WEB"),
        ("callback_url", "https://shop.example/nagad?order=1", "neither a query nor a fragment"),
        ("callback_url", "https://shop.example/nagad#x", "neither a query nor a fragment"),
        ("callback_url", "https://shop.example/" + "x" * 250, "10-255 characters"),
        ("public_key", PRIVATE, "is a private key"),
        ("public_key", public_text(pair("merchant").public_key()), "public half of private_key"),
        ("private_key", Secret(PUBLIC), "is a public key"),
        ("private_key", Secret("changeme"), "no private key"),
    ],
)
def test_a_setting_that_cannot_be_is_named_and_not_shown(field: str, value: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        made(**{field: value})
    assert caught.value.__context__ is None and caught.value.__cause__ is None


def test_the_published_sandbox_keys_are_refused_in_live_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    live()
    made(public_key=VECTORS["spki_b64"]["gateway"])
    with pytest.raises(ConfigurationError, match="public_key is of Nagad's published sandbox"):
        live(public_key=VECTORS["spki_b64"]["gateway"])
    with pytest.raises(ConfigurationError, match="merchant_id is of Nagad's published sandbox"):
        live(merchant_id="683002007104225")
    # The private key itself stands in no file of ours: another one plays it.
    monkeypatch.setattr(
        settings, "_PUBLISHED_MERCHANT_KEYS", (keys.fingerprint(pair("merchant").public_key()),)
    )
    made()
    with pytest.raises(ConfigurationError, match="private_key is of Nagad's published sandbox"):
        live()


def test_the_fingerprint_of_the_published_merchant_key_is_the_one_refused() -> None:
    published = keys.fingerprint(keys.public_key(VECTORS["spki_b64"]["merchant"]))
    assert (published,) == settings._PUBLISHED_MERCHANT_KEYS


def test_nothing_shows_a_key() -> None:
    config = made()
    shown = [repr(config), str(config), config.model_dump_json(exclude={"public_key"}), repr(config.seal())]
    break_it: list[Callable[[], Any]] = [
        lambda: made(private_key=Secret(PRIVATE[:900])),
        lambda: made(public_key=PRIVATE),
        lambda: NagadConfig.from_env({"NAGAD_PRIVATE_KEY": PRIVATE + "?", "NAGAD_PUBLIC_KEY": PRIVATE}),
    ]
    for act in break_it:
        try:
            act()
        except ConfigurationError as error:
            shown += traceback.format_exception(error) + [repr(error.context)]
    assert not any(PRIVATE[i : i + 24] in text for text in shown for i in range(0, 1500, 24))

"""Keys and tokens as values, and the check that refuses memory in live mode."""

import dataclasses
import hashlib
import traceback
from datetime import UTC, datetime, timedelta

import pytest

from vextrus_payments.errors import ConfigurationError, Effect
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret
from vextrus_payments.token_port import Token, TokenKey, require_durable
from vextrus_payments.tokens import FileTokenBackend, MemoryTokenBackend, TokenCache
from vextrus_payments.tokens.document import token_document, token_from_document

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
APP_KEY = "canary-app-key"
USERNAME = "canary-user"


def key(url: str, app_key: str = APP_KEY, username: str = USERNAME) -> TokenKey:
    return TokenKey.of(url, app_key, username)


def test_every_version_behind_one_origin_shares_a_key() -> None:
    same = {
        key(url)
        for url in (
            "https://pay.example/v1.2.0-beta",
            "https://pay.example:443/v2",
            "HTTPS://PAY.example.",
            "https://pay.example/v2/tokenized-checkout/auth/grant-token?x=1",
        )
    }
    assert len(same) == 1


def test_whatever_the_gateway_tells_apart_has_a_key_of_its_own() -> None:
    keys = [
        key("https://pay.example"),
        key("http://pay.example"),
        key("https://pay.example:8443"),
        key("https://sandbox.pay.example"),
        key("https://pay.example", app_key="other"),
        key("https://pay.example", username="other"),
        # the border between the parts is part of the key
        key("https://pay.example", app_key=APP_KEY + "c", username="anary-user"),
    ]
    assert len(set(keys)) == len(keys)


def test_secrets_and_plain_texts_make_the_same_key_and_never_show() -> None:
    made = TokenKey.of("https://pay.example", Secret(APP_KEY), Secret(USERNAME))
    assert made == key("https://pay.example")
    assert len(made.digest) == 64
    assert made.digest.startswith(made.short)
    for shown in (repr(made), made.digest):
        assert APP_KEY not in shown
        assert USERNAME not in shown
    # nor is it a hash of the key alone, which could be looked up in a list of keys
    assert made.digest != hashlib.sha256(APP_KEY.encode()).hexdigest()


@pytest.mark.parametrize(
    "url", ["", "pay.example", "ftp://pay.example", "https://", "https://x:99999/", "http://["]
)
def test_an_address_that_is_none_is_refused_without_showing_the_rest(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no http or https URL") as caught:
        key(url)
    assert caught.value.__context__ is None
    assert APP_KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("digest", ["", "a" * 63, "A" * 64, "../../" + "a" * 58, "a" * 64 + "\n"])
def test_a_key_is_safe_as_a_file_name(digest: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        TokenKey(digest)


def granted(access: str = "canary-access", *, life_s: int = 3600, at: datetime = NOON) -> Token:
    return Token.granted(Secret(access), issued_at=at, life_s=life_s, refresh=Secret("canary-refresh"))


def test_a_token_hides_what_it_carries() -> None:
    token = granted()
    for shown in (repr(token), str(token), f"{token}", repr([token]), repr(dataclasses.replace(token))):
        assert "canary" not in shown


def test_the_margin_is_five_minutes_and_for_short_lives_a_tenth() -> None:
    token = granted()
    assert token.expires_at == NOON + timedelta(seconds=3300)
    assert token.last_use == NOON + timedelta(seconds=3600)
    short = granted(life_s=60)
    assert short.expires_at == NOON + timedelta(seconds=54)
    assert short.last_use == NOON + timedelta(seconds=60)


@pytest.mark.parametrize("life_s", [0, -1])
def test_a_token_that_never_lived_is_refused(life_s: int) -> None:
    with pytest.raises(ValueError, match="lives for a while"):
        granted(life_s=life_s)


@pytest.mark.parametrize("life_s", [366 * 86_400 + 1, 10**12, 10**300])
def test_a_life_beyond_any_date_counts_as_a_year(life_s: int) -> None:
    token = granted(life_s=life_s)
    assert token.last_use == NOON + timedelta(days=366)
    assert token.expires_at == token.last_use - timedelta(seconds=300)


def test_versions_name_the_token_and_its_grant() -> None:
    assert granted().version == granted().version
    others = {granted().version, granted("other").version, granted(at=NOON + timedelta(seconds=1)).version}
    assert len(others) == 3
    assert granted().is_version(granted().version)
    assert not granted().is_version(granted("other").version)


def test_naive_times_and_empty_versions_are_refused() -> None:
    naive = datetime(2026, 3, 1, 12)  # noqa: DTZ001
    for change in ({"issued_at": naive}, {"expires_at": naive}, {"ends_at": naive}, {"version": ""}):
        with pytest.raises(ValueError, match="a token"):
            dataclasses.replace(granted(), **change)


def test_a_document_brings_the_token_back() -> None:
    for token in (granted(), dataclasses.replace(granted(), refresh=None, ends_at=None)):
        assert token_from_document(token_document(token)) == token


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        token_document(granted())[:-20],
        token_document(granted()).replace('"format": 1', '"format": 2'),
        token_document(granted()).replace('"canary-access"', "7"),
        token_document(granted()).replace('"canary-access"', "null"),
        token_document(granted()).replace('"issued_at_ms": 1', '"issued_at_ms": 99999999999999999999991'),
        token_document(granted()).replace('"issued_at_ms": 1', '"issued_at_ms": "x", "y": 1'),
        token_document(granted()).replace('"version": "', '"version": 7, "was": "'),
    ],
)
def test_what_is_no_document_is_no_token(text: str | None) -> None:
    assert token_from_document(text) is None


def test_memory_is_refused_in_live_mode_and_only_there() -> None:
    memory = MemoryTokenBackend()
    require_durable(memory, Mode.SANDBOX)
    require_durable(FileTokenBackend(), Mode.LIVE)
    for holder in (memory, TokenCache(memory)):
        with pytest.raises(ConfigurationError) as caught:
            require_durable(holder, Mode.LIVE)
        assert caught.value.code == "tokens_not_durable"
        assert caught.value.effect is Effect.NONE
        assert "memory" in str(caught.value)
        assert "FileTokenBackend" in str(caught.value)

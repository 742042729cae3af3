"""bKash's settings: what is refused before anything is sent, and that no message shows a value."""

from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.errors import ConfigurationError, CredentialsMissingError
from vextrus_payments.gateways.bkash import AuthScheme, BkashConfig, RefundApi, VoidPath
from vextrus_payments.gateways.bkash import models as m
from vextrus_payments.mode import Mode
from vextrus_payments.testing import SecretCanary

GOOD: dict[str, Any] = {
    "app_key": "k" * 26,
    "app_secret": "s" * 50,
    "username": "01999999999",
    "password": "p<*@^é word",
}


def test_defaults() -> None:
    config = BkashConfig(**GOOD)
    assert config.api_url == "https://tokenized.sandbox.bka.sh/v1.2.0-beta"
    assert (config.mode, config.timeout_s) == (Mode.SANDBOX, 30.0)
    assert (config.auth_scheme, config.refund_api) == (AuthScheme.RAW, RefundApi.V2)
    assert config.void_path.paths == (m.PATH_VOID, m.PATH_VOID_ALTERNATIVE)
    assert not config.use_refresh and config.refund_window_days is None
    live = BkashConfig(**GOOD, mode="live")
    assert live.api_url == "https://tokenized.pay.bka.sh/v1.2.0-beta"


def test_the_environment_names_every_setting(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("from a file \u2713\n", encoding="utf-8")
    config = BkashConfig.from_env(
        {
            "BKASH_API_URL": "http://127.0.0.1:28600/v1.2.0-beta/",
            "BKASH_APP_KEY": "key",
            "BKASH_APP_SECRET": "secret",
            "BKASH_USERNAME": "user",
            "BKASH_PASSWORD_FILE": str(secret),
            "BKASH_CALLBACK_URL": "http://127.0.0.1:8000/bkash/return",
            "BKASH_MODE": "sandbox",
            "BKASH_AUTH_SCHEME": "bearer",
            "BKASH_REFUND_API": "v1",
            "BKASH_VOID_PATH": "confirm/capture/void",
            "BKASH_REFUND_WINDOW_DAYS": "60",
            "BKASH_USE_REFRESH": "true",
            "BKASH_TIMEOUT_S": "25",
        }
    )
    assert config.password.reveal() == "from a file \u2713"
    assert config.api_url == "http://127.0.0.1:28600/v1.2.0-beta"
    assert (config.auth_scheme, config.refund_api) == (AuthScheme.BEARER, RefundApi.V1)
    assert config.void_path is VoidPath.CONFIRM_CAPTURE_VOID
    assert (config.refund_window_days, config.use_refresh, config.timeout_s) == (60, True, 25.0)


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(CredentialsMissingError) as caught:
        BkashConfig.from_env({"BKASH_APP_KEY": "key"})
    for name in ("BKASH_APP_SECRET", "BKASH_USERNAME", "BKASH_PASSWORD"):
        assert name in str(caught.value)
    assert "BKASH_APP_KEY" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"api_url": "https://tokenized.pay.bka.sh/v1.2.0-beta"}, "mode"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v1.2.0-beta", "mode": "live"}, "mode"),
        ({"api_url": "https://tokenized.sandbox.bka.sh./v1.2.0-beta", "mode": "live"}, "mode"),
        ({"api_url": "https://TOKENIZED.SANDBOX.BKA.SH/v1.2.0-beta", "mode": "live"}, "mode"),
        ({"api_url": "https://127.0.0.1:28600/v1.2.0-beta", "mode": "live"}, "mode"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v1.2.0-beta/tokenized/checkout"}, "api_url"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v2/tokenized-checkout"}, "api_url"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v3"}, "api_url"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v2", "api_version": "v1"}, "api_version"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v1.2.0-beta", "api_version": "v2"}, "api_version"),
        ({"api_url": "https://tokenized.pay.bka.sh/v2"}, "mode"),
        ({"api_url": "https://checkout.sandbox.bka.sh/v2"}, "api_url"),
        ({"api_version": "v3"}, "api_version"),
        ({"api_version": "v2", "refund_api": "v1"}, "refund_api"),
        ({"api_url": "https://tokenized.sandbox.bka.sh"}, "api_url"),
        ({"api_url": "https://checkout.sandbox.bka.sh/v1.2.0-beta"}, "api_url"),
        ({"api_url": "http://tokenized.sandbox.bka.sh/v1.2.0-beta"}, "api_url"),
        ({"api_url": "ftp://tokenized.sandbox.bka.sh/v1.2.0-beta"}, "api_url"),
        ({"api_url": "https://user:canary@tokenized.sandbox.bka.sh/v1.2.0-beta"}, "api_url"),
        ({"username": "sandboxTokenizedUser02", "mode": "live"}, "username"),
        ({"username": "SANDBOXTOKENIZEDUSER2", "mode": "live"}, "username"),
        ({"username": "01770618567", "mode": "live"}, "username"),
        ({"app_key": "sandboxAppKey0000000000000", "mode": "live"}, "app_key"),
        ({"app_secret": "sandboxAppSecret" + "0" * 34, "mode": "live"}, "app_secret"),
        ({"password": "sandbox@Password<00>", "mode": "live"}, "password"),
        ({"password": "your_password", "mode": "live"}, "password"),
        ({"password": "canary\r\nX-Evil: 1"}, "password"),
        ({"password": "canary\x00"}, "password"),
        ({"password": "canary\x85"}, "password"),
        ({"password": "canary "}, "password"),
        ({"password": " canary"}, "password"),
        ({"username": "canary\n"}, "username"),
        ({"app_key": "canary\tx"}, "app_key"),
        ({"app_key": "x" * 600}, "app_key"),
        ({"callback_url": "http://shop.example/return", "mode": "live"}, "callback_url"),
        ({"callback_url": "shop.example"}, "callback_url"),
        ({"refund_api": "v3"}, "refund_api"),
        ({"auth_scheme": "basic"}, "auth_scheme"),
        ({"void_path": "void"}, "void_path"),
        ({"refund_window_days": 0}, "refund_window_days"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"grant_type": "x"}, "grant_type"),
        ({"app_secret": ""}, "app_secret"),
    ],
)
def test_what_is_wrong_is_refused_by_name_and_never_shown(changes: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BkashConfig(**{**GOOD, **changes})
    assert names in str(caught.value)
    assert "canary" not in str(caught.value) + repr(caught.value) + str(caught.value.context)
    assert caught.value.__context__ is None and caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "root", "version"),
    [
        ({}, "https://tokenized.sandbox.bka.sh/v1.2.0-beta", "v1"),
        ({"mode": "live"}, "https://tokenized.pay.bka.sh/v1.2.0-beta", "v1"),
        ({"api_version": "v1"}, "https://tokenized.sandbox.bka.sh/v1.2.0-beta", "v1"),
        ({"api_version": "v2"}, "https://tokenized.sandbox.bka.sh/v2", "v2"),
        ({"api_version": "v2", "mode": "live"}, "https://tokenized.pay.bka.sh/v2", "v2"),
        ({"api_version": "v2", "mode": Mode.LIVE}, "https://tokenized.pay.bka.sh/v2", "v2"),
        ({"api_url": "https://tokenized.sandbox.bka.sh/v2"}, "https://tokenized.sandbox.bka.sh/v2", "v2"),
        ({"api_url": "http://127.0.0.1:28600/v2/", "api_version": "v2"}, "http://127.0.0.1:28600/v2", "v2"),
    ],
)
def test_the_version_and_the_root_say_each_other(given: dict[str, Any], root: str, version: str) -> None:
    config = BkashConfig(**GOOD, **given)
    assert (config.api_url, config.api_version) == (root, version)


def test_the_version_comes_from_the_environment_too() -> None:
    named = {f"BKASH_{name.upper()}": value for name, value in GOOD.items()}
    assert BkashConfig.from_env({**named, "BKASH_API_VERSION": "v2"}).api_url.endswith("/v2")
    with pytest.raises(ConfigurationError, match=r"BKASH_API_VERSION.*the two must agree"):
        BkashConfig.from_env({**named, "BKASH_API_VERSION": "v1", "BKASH_API_URL": "http://127.0.0.1:1/v2"})


def test_a_version_beside_a_mode_that_is_none_blames_the_mode() -> None:
    with pytest.raises(ConfigurationError) as caught:
        BkashConfig(**GOOD, api_version="v2", mode="test")
    assert "mode" in str(caught.value)


def test_the_published_sandbox_app_keys_are_refused_in_live(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from vextrus_payments.gateways.bkash import config as module

    known = hashlib.sha256(b"a-published-app-key").hexdigest()
    monkeypatch.setattr(module, "_PUBLISHED_APP_KEYS", (known,))
    with pytest.raises(ConfigurationError, match="app_key"):
        BkashConfig(**{**GOOD, "app_key": "a-published-app-key"}, mode="live")
    assert BkashConfig(**{**GOOD, "app_key": "a-published-app-key"})


def test_a_random_live_credential_is_not_taken_for_a_sample() -> None:
    for text in ("faKe9testDemoExample", "demo", "test", "examplestore"):
        assert BkashConfig(**{**GOOD, "username": text}, mode="live")


@pytest.mark.parametrize("dot", ["\u3002", "\uff0e", "\uff61"])
@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("host", ["tokenized.pay.bka{dot}sh", "tokenized.sandbox{dot}bka.sh"])
def test_a_dot_that_is_none_hides_no_host(host: str, mode: Mode, dot: str) -> None:
    with pytest.raises(ConfigurationError, match="host in ASCII"):
        BkashConfig(**GOOD, mode=mode, api_url=f"https://{host.format(dot=dot)}/v1.2.0-beta")


def test_a_host_of_ones_own_takes_either_mode() -> None:
    for mode in Mode:
        assert BkashConfig(**GOOD, mode=mode, api_url="https://proxy.shop.example/bkash/v1.2.0-beta")


def test_no_secret_is_shown() -> None:
    canary = SecretCanary()
    config = BkashConfig(**{name: canary.plant(name) for name in GOOD})
    canary.assert_absent(config, config.model_dump(), config.model_dump_json(), str(config.env_rows()))

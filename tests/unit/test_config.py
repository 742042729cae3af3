"""config.py: every wrong setting is named before anything is sent, and no value is ever shown."""

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from vextrus_payments.config import EnvRow, GatewayConfig, is_loopback
from vextrus_payments.errors import ConfigurationError, CredentialsMissingError, PaymentsError
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret

CANARY = "canary-never-to-be-seen"


class ToyConfig(GatewayConfig):
    """A gateway's configuration as an adapter writes it."""

    env_prefix: ClassVar[str] = "TOY"
    preset_urls: ClassVar[Mapping[Mode, str]] = {
        Mode.SANDBOX: "https://sandbox.toy.test/v1",
        Mode.LIVE: "https://pay.toy.test/v1",
    }

    app_key: str = Field(min_length=1, description="The key of our application")
    app_secret: Secret = Field(description="Its secret")
    password: Secret = Field(description="The merchant's password")
    nickname: str | None = None

    @classmethod
    def mode_of_host(cls, host: str) -> Mode | None:
        known = {"sandbox.toy.test": Mode.SANDBOX, "pay.toy.test": Mode.LIVE}
        return known.get(host) or super().mode_of_host(host)


GOOD = {"app_key": "key", "app_secret": CANARY, "password": CANARY}
ENV = {"TOY_APP_KEY": "key", "TOY_APP_SECRET": CANARY, "TOY_PASSWORD": CANARY}


def shown(error: BaseException) -> str:
    """Everything a log could show of it, chain included."""
    text = "".join(traceback.format_exception(error)) + repr(error) + str(error)
    if isinstance(error, PaymentsError):
        text += repr(error.context)
    return text


def refuse(**changes: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        ToyConfig(**{**GOOD, **changes})  # type: ignore[arg-type]
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert CANARY not in shown(caught.value)
    return caught.value


def test_a_good_configuration_has_its_modes_preset() -> None:
    assert ToyConfig(**GOOD).api_url == "https://sandbox.toy.test/v1"  # type: ignore[arg-type]
    live = ToyConfig(**GOOD, mode=Mode.LIVE)  # type: ignore[arg-type]
    assert live.api_url == "https://pay.toy.test/v1"
    assert live.mode is Mode.LIVE


def test_it_is_frozen_and_hides_its_secrets() -> None:
    config = ToyConfig(**GOOD, proxy=Secret(f"http://user:{CANARY}@proxy.test:3128"))  # type: ignore[arg-type]
    assert CANARY not in repr(config) + str(config) + str(config.model_dump()) + config.model_dump_json()
    with pytest.raises(Exception, match="frozen"):
        config.app_key = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("http://api.toy.test", "https"),
        ("http://10.0.0.8:8080", "https"),
        ("ftp://127.0.0.1", "http"),
        ("https://user:pass@api.toy.test", "user name"),
        ("https://user@api.toy.test", "user name"),
        ("https://api.toy.test/v1?x=1", "query"),
        ("https://api.toy.test/v1#x", "fragment"),
        ("https://api.toy.test/v1?", "query"),
        ("api.toy.test", "absolute"),
        ("https://", "absolute"),
        (" https://api.toy.test", "absolute"),
        ("https://api.toy.test\\evil", "absolute"),
        ("https://api.toy.test:99999", "absolute"),
        ("http://127.0.0.1.evil.test", "https"),
        ("http://localhost.evil.test", "https"),
    ],
)
def test_a_bad_api_url_is_refused_by_name_and_rule(url: str, rule: str) -> None:
    error = refuse(api_url=url)
    assert "api_url" in str(error)
    assert rule in str(error)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:28600/v1", "http://localhost:28600/v1", "http://[::1]:28600", "https://other.test/v1"],
)
def test_loopback_needs_no_tls_in_sandbox(url: str) -> None:
    assert ToyConfig(**GOOD, api_url=url).api_url == url  # type: ignore[arg-type]


def test_a_slash_at_the_end_is_dropped() -> None:
    assert ToyConfig(**GOOD, api_url="https://api.toy.test/v1/").api_url == "https://api.toy.test/v1"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "url", "says"),
    [
        ("live", "https://sandbox.toy.test/v1", "sandbox host"),
        ("sandbox", "https://pay.toy.test/v1", "live host"),
        ("sandbox", "https://PAY.toy.test./v1", "live host"),
        ("live", "https://127.0.0.1:8443/v1", "sandbox host"),
        ("live", "https://localhost/v1", "sandbox host"),
        ("live", "http://127.0.0.1/v1", "sandbox host"),
    ],
)
def test_mode_and_host_must_agree(mode: str, url: str, says: str) -> None:
    error = refuse(mode=mode, api_url=url)
    assert says in str(error)
    assert error.context.keys() == {"mode"}


@pytest.mark.parametrize("mode", ["LIVE", "production", "", "Sandbox", "test", 1])
def test_an_unknown_mode_is_refused(mode: object) -> None:
    error = refuse(mode=mode)
    assert "'sandbox' or 'live'" in str(error)


def test_a_live_callback_needs_tls() -> None:
    assert "callback_url" in str(refuse(mode="live", callback_url="http://shop.test/return"))
    assert ToyConfig(**GOOD, callback_url="http://192.168.0.5:8000/return").callback_url  # type: ignore[arg-type]
    refuse(callback_url="https://user:pw@shop.test/return")
    refuse(callback_url="/return")


@pytest.mark.parametrize("seconds", [0, -1, 301, "soon", float("nan"), float("inf")])
def test_a_timeout_is_a_sane_number_of_seconds(seconds: object) -> None:
    assert "timeout_s" in str(refuse(timeout_s=seconds))


@pytest.mark.parametrize("proxy", [f"{CANARY}", f"socks5://{CANARY}", f"http://{CANARY}:99999", "http://"])
def test_a_bad_proxy_is_refused_unseen(proxy: str) -> None:
    assert "proxy" in str(refuse(proxy=proxy))


def test_unknown_fields_are_refused() -> None:
    assert "app_sceret" in str(refuse(app_sceret=CANARY))


@pytest.mark.parametrize("value", [None, 12, b"x", [CANARY], {"a": CANARY}])
def test_a_secret_is_text(value: object) -> None:
    assert "app_secret" in str(refuse(app_secret=value))


def test_missing_fields_are_named_all_at_once() -> None:
    with pytest.raises(CredentialsMissingError) as caught:
        ToyConfig(app_secret=Secret(""))
    for field in ("app_key", "app_secret", "password"):
        assert field in str(caught.value)
    assert "nickname" not in str(caught.value)


# --- the environment ------------------------------------------------------------------------------------------


def test_the_environment_makes_the_same_configuration() -> None:
    config = ToyConfig.from_env({**ENV, "TOY_TIMEOUT_S": "12.5", "TOY_NICKNAME": "n", "OTHER": "x"})
    assert config == ToyConfig(**GOOD, timeout_s=12.5, nickname="n")  # type: ignore[arg-type]


def test_another_prefix_may_be_given() -> None:
    env = {name.replace("TOY", "SHOP_TOY"): value for name, value in ENV.items()}
    assert ToyConfig.from_env(env, prefix="SHOP_TOY").app_key == "key"


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    assert ToyConfig.from_env().app_key == "key"


def test_every_missing_variable_is_listed_at_once() -> None:
    with pytest.raises(CredentialsMissingError) as caught:
        ToyConfig.from_env({"TOY_APP_KEY": "", "TOY_MODE": "live"})
    text = str(caught.value)
    assert all(name in text for name in ("TOY_APP_KEY", "TOY_APP_SECRET", "TOY_PASSWORD"))
    assert "_FILE" in text
    assert caught.value.__context__ is None


def test_wrong_and_missing_variables_are_told_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ToyConfig.from_env(
            {"TOY_APP_KEY": "k", "TOY_PASSWORD": CANARY, "TOY_MODE": "prod", "TOY_API_URL": "http://x.test"}
        )
    text = str(caught.value)
    assert all(name in text for name in ("TOY_APP_SECRET", "TOY_MODE", "TOY_API_URL"))
    assert CANARY not in shown(caught.value)
    assert caught.value.__context__ is None


def test_the_mode_that_disagrees_is_named_as_a_variable() -> None:
    with pytest.raises(ConfigurationError) as caught:
        ToyConfig.from_env({**ENV, "TOY_MODE": "live", "TOY_API_URL": "https://sandbox.toy.test/v1"})
    assert "TOY_MODE" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"p4ss", "p4ss"),
        (b"p4ss\n", "p4ss"),
        (b"p4ss\r\n", "p4ss"),
        (b"p4ss\n\n", "p4ss\n"),
        (b"  p<4*s@s^ \n", "  p<4*s@s^ "),
        (b"p4ss\r", "p4ss\r"),
        ("পাস\n".encode(), "পাস"),
        (b"-----BEGIN-----\nabc\n-----END-----\n", "-----BEGIN-----\nabc\n-----END-----"),
    ],
)
def test_a_file_loses_one_newline_and_nothing_else(tmp_path: Path, raw: bytes, value: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(raw)
    env = {**ENV, "TOY_PASSWORD_FILE": str(file)}
    del env["TOY_PASSWORD"]
    assert ToyConfig.from_env(env).password.reveal() == value


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"\xef\xbb\xbfp4ss", "byte order mark"),
        (b"", "empty"),
        (b"\n", "empty"),
        (b"x" * 70_000, "larger"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, raw: bytes | None, says: str) -> None:
    file = tmp_path / "password"
    if raw is not None:
        file.write_bytes(raw)
    env = {**ENV, "TOY_PASSWORD_FILE": str(file)}
    del env["TOY_PASSWORD"]
    with pytest.raises(ConfigurationError) as caught:
        ToyConfig.from_env(env)
    assert "TOY_PASSWORD_FILE" in str(caught.value)
    assert says in str(caught.value)
    assert "lacks TOY_PASSWORD" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    env = {"TOY_APP_KEY": "k", "TOY_APP_SECRET": "s", "TOY_PASSWORD_FILE": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ToyConfig.from_env(env)


def test_both_forms_at_once_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(CANARY, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="twice") as caught:
        ToyConfig.from_env({**ENV, "TOY_PASSWORD_FILE": str(file)})
    assert CANARY not in shown(caught.value)


def test_every_variable_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n", encoding="utf-8")
    env = {"TOY_APP_KEY_FILE": str(file), "TOY_APP_SECRET": "s", "TOY_PASSWORD": "p"}
    assert ToyConfig.from_env(env).app_key == "from-file"


def test_an_example_can_be_written_from_the_model() -> None:
    rows = {row.name: row for row in ToyConfig.env_rows()}
    assert rows["TOY_APP_SECRET"] == EnvRow("TOY_APP_SECRET", "Its secret", None, secret=True, required=True)
    assert rows["TOY_MODE"].default == "sandbox"
    assert rows["TOY_API_URL"].default == "https://sandbox.toy.test/v1"
    assert rows["TOY_PROXY"].secret
    assert not rows["TOY_PROXY"].required
    assert "TOY_SSL_CONTEXT" not in rows
    assert all(row.description for row in GatewayConfig.env_rows(prefix="X"))
    assert next(row for row in GatewayConfig.env_rows(prefix="X") if row.name == "X_API_URL").required


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("shop.localhost", False),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.test", False),
        ("", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it

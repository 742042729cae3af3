"""Settings: what is required, what is taken, what live mode refuses, and that no password is shown."""

from pathlib import Path
from typing import Any

import pytest

from vextrus_payments.errors import ConfigurationError, CredentialsMissingError
from vextrus_payments.gateways.sslcommerz import SslcommerzConfig
from vextrus_payments.mode import Mode
from vextrus_payments.secret import Secret

ENV = {"SSLCOMMERZ_STORE_ID": "vextrustest", "SSLCOMMERZ_STORE_PASSWORD": "vextrustest@ssl"}


def test_two_variables_are_enough_for_the_sandbox() -> None:
    config = SslcommerzConfig.from_env(ENV)
    assert config.mode is Mode.SANDBOX and config.api_url == "https://sandbox.sslcommerz.com"
    assert config.store_password.reveal() == "vextrustest@ssl" and "@ssl" not in repr(config) + str(config)
    assert "@ssl" not in config.model_dump_json()


def test_every_variable_has_its_name_and_says_what_it_is_for(tmp_path: Path) -> None:
    rows = {one.name: one for one in SslcommerzConfig.env_rows()}
    named = ("API_URL", "STORE_ID", "STORE_PASSWORD", "CALLBACK_URL", "IPN_URL", "MODE")
    assert {f"SSLCOMMERZ_{name}" for name in named} <= set(rows)
    assert rows["SSLCOMMERZ_STORE_PASSWORD"].secret and all(one.description for one in rows.values())
    file = tmp_path / "password"
    file.write_text("from a file\n", encoding="utf-8")
    env = {"SSLCOMMERZ_STORE_ID": "abc", "SSLCOMMERZ_STORE_PASSWORD_FILE": str(file)}
    assert SslcommerzConfig.from_env(env).store_password.reveal() == "from a file"


def test_what_is_missing_is_listed_together() -> None:
    with pytest.raises(CredentialsMissingError) as caught:
        SslcommerzConfig.from_env({})
    assert "SSLCOMMERZ_STORE_ID" in str(caught.value) and "SSLCOMMERZ_STORE_PASSWORD" in str(caught.value)
    with pytest.raises(CredentialsMissingError):
        SslcommerzConfig(store_id="", store_password=Secret("x"))


@pytest.mark.parametrize(
    "changes",
    [
        {"store_id": "a"},
        {"store_id": "two words"},
        {"store_id": "a&b=c"},
        {"store_id": "x" * 31},
        {"store_password": Secret("x" * 31)},
        {"store_password": Secret("a\nb")},
        {"api_url": "http://sandbox.sslcommerz.com"},
        {"api_url": "https://sandbox.sslcommerz.com/?x=1"},
        {"callback_url": "https://shop.example/" + "x" * 250},
        {"callback_url": "https://shop.example/#x"},
        {"ipn_url": "shop.example/ipn"},
        {"mode": "live"},  # a password that ends in @ssl behind the store's id is a sandbox store's
        {"mode": "live", "store_id": "testbox", "store_password": Secret("qwerty")},
        {"mode": "live", "store_password": Secret("another"), "api_url": "https://sandbox.sslcommerz.com"},
        {"mode": "live", "store_password": Secret("another"), "callback_url": "http://shop.example/back"},
        {"mode": "live", "store_password": Secret("another"), "ipn_url": "http://shop.example/ipn"},
        {"mode": "sandbox", "api_url": "https://securepay.sslcommerz.com"},
        {"unknown": "x"},
    ],
)
def test_what_breaks_a_rule_is_named_and_not_shown(changes: dict[str, Any]) -> None:
    known: dict[str, Any] = {"store_id": "vextrustest", "store_password": Secret("vextrustest@ssl")}
    with pytest.raises(ConfigurationError) as caught:
        SslcommerzConfig(**{**known, **changes})
    error = caught.value
    assert "@ssl" not in f"{error} {error!r} {error.context}" and "qwerty" not in str(error)
    assert error.__context__ is None and error.__cause__ is None


def test_live_is_taken_where_nothing_is_the_sandboxs() -> None:
    config = SslcommerzConfig(mode=Mode.LIVE, store_id="shoplive", store_password=Secret("another"))
    assert config.api_url == "https://securepay.sslcommerz.com"


@pytest.mark.parametrize(
    "pasted",
    [
        "https://sandbox.sslcommerz.com/",
        "https://sandbox.sslcommerz.com/gwprocess/v4/api.php",
        "https://sandbox.sslcommerz.com/gwprocess/v4/",
        "https://sandbox.sslcommerz.com/validator/api/validationserverAPI.php",
        "https://sandbox.sslcommerz.com/validator/api/merchantTransIDvalidationAPI.php",
    ],
)
def test_a_whole_address_of_the_documents_is_cut_to_its_root(pasted: str) -> None:
    config = SslcommerzConfig.from_env({**ENV, "SSLCOMMERZ_API_URL": pasted})
    assert config.api_url == "https://sandbox.sslcommerz.com"

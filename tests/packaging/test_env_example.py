"""`.env.example` says what the configuration models read, and holds nothing that looks like a credential."""

import re

from scripts.env_example import TARGET, config_models, example
from vextrus_payments.errors import CredentialsMissingError
from vextrus_payments.gateways.bkash.recurring import BkashRecurringConfig


def test_the_file_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == example(), "run `make env-example`"


def test_it_names_bkashs_variables_and_their_file_forms() -> None:
    names = set(re.findall(r"(?m)^#?([A-Z_]+)=", example()))
    wanted = "API_URL APP_KEY APP_SECRET USERNAME PASSWORD CALLBACK_URL MODE".split()
    assert {f"BKASH_{name}" for name in wanted} <= names
    assert {"BKASH_APP_SECRET_FILE", "BKASH_PASSWORD_FILE"} <= names


def test_a_copy_as_it_stands_is_refused_by_name_of_what_is_missing() -> None:
    told = dict(re.findall(r"(?m)^([A-Z_]+)=(.*)$", example()))
    for model in config_models():
        required = [row.name for row in model.env_rows() if row.required]
        if model is BkashRecurringConfig:
            # bKash's webhooks may be proven by the same key alone, so it stands there, and is no must.
            required.remove("BKASH_RECURRING_API_KEY")
        assert set(required) <= told.keys()
        try:
            model.from_env(told)
        except CredentialsMissingError as error:
            assert all(name in str(error) for name in required if not told[name])


def test_no_secret_has_a_value() -> None:
    secrets = {row.name for model in config_models() for row in model.env_rows() if row.secret}
    assert secrets
    for name, value in re.findall(r"(?m)^#?([A-Z_]+)=(.*)$", example()):
        assert name.removesuffix("_FILE") not in secrets or value == ""

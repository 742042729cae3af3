"""A Secret shows itself to nobody but reveal()."""

import copy
import pickle

import pytest
from pydantic import BaseModel

from vextrus_payments.secret import Secret, mask_account

PLAIN = "canary-value-123"


class Holder(BaseModel):
    key: Secret


def test_a_secret_hides_wherever_it_is_printed() -> None:
    secret = Secret(PLAIN)
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>30}",
        f"{[secret]!r}",
        repr(Holder(key=secret)),
    ]
    shown += [Holder(key=secret).model_dump_json(), str(Holder(key=secret).model_dump())]
    assert all(PLAIN not in text for text in shown)
    assert secret.reveal() == PLAIN


def test_a_secret_compares_by_value_and_only_with_secrets() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert not Secret("")


def test_a_copy_of_a_secret_is_the_secret() -> None:
    secret = Secret(PLAIN)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"key": secret})["key"] is secret


def test_a_secret_is_neither_pickled_nor_made_of_bytes() -> None:
    with pytest.raises(TypeError) as caught:
        pickle.dumps(Secret(PLAIN))
    assert PLAIN not in str(caught.value)
    with pytest.raises(TypeError):
        Secret(b"x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("account", "masked"),
    [
        ("01770618575", "017****8575"),
        ("8801770618575", "880****8575"),
        ("1234", "****"),
        ("", ""),
        (None, None),
    ],
)
def test_an_account_is_masked_in_the_middle(account: str | None, masked: str | None) -> None:
    assert mask_account(account) == masked

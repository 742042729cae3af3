"""Where commands look for payments: no password on a command line, however it is written."""

import pytest

from vextrus_payments.cli.home import Home
from vextrus_payments.errors import ConfigurationError


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:hunter2@db.example/payments",
        "postgresql://shop:hunter#2@db.example/payments",
        "postgresql://shop:hunter?2@db.example/payments",
        "postgresql://shop:[hunter2@db.example/payments",
        "postgresql://db.example/payments?user=shop&password=hunter2",
    ],
)
def test_a_password_on_the_command_line_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="VEXTRUS_PAY_STORE") as caught:
        Home.find(url)
    assert caught.value.code == "secret_on_command_line"
    assert "hunter" not in f"{caught.value} {caught.value.context} {caught.value.__context__}"


@pytest.mark.parametrize(
    "url", ["postgresql://shop@db.example:5432/payments", "postgresql://db:5432/p?user=a@b", "sqlite:///x.db"]
)
def test_an_url_without_one_is_taken(url: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VEXTRUS_PAY_HOME", str(tmp_path))
    assert Home.find(url).store_url == url

"""`vextrus-pay urls`: the addresses that it prints are those that the doors answer at."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.cli.running import Here
from vextrus_payments.gateways.registry import installed_gateways
from vextrus_payments.webhooks.routes import Door, Route, route_of

SHOP = """
from vextrus_payments import Payments

async def credentials(tenant, gateway):
    raise RuntimeError("nobody asks")

single = Payments(store="memory://", public_url="https://shop.example/payments/")
many = Payments(store="memory://", public_url="https://shop.example/payments", credentials=credentials)
nowhere = Payments(store="memory://")
"""


@pytest.fixture
def shop(here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    (tmp_path / "urls_shop.py").write_text(SHOP, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return here


def test_of_an_application(shop: Here) -> None:
    done = shop.run("urls", "--app", "urls_shop:single")
    assert done.code == 0
    for line in (
        "  webhook  https://shop.example/payments/bkash/webhook\n",
        "  return   https://shop.example/payments/bkash/return\n",
        "health     https://shop.example/payments/health\n",
        "BKASH_SNS_TOPIC_ARN",
    ):
        assert line in done.out
    assert "Note" not in done.out and "{tenant}" not in done.out
    by_environment = shop.run("urls", env={"VEXTRUS_PAY_APP": "urls_shop:single"})
    assert by_environment.out == done.out
    assert "/payments/nagad/return\n" in done.out
    assert "nagad" not in shop.run("urls", "--app", "urls_shop:single", "--gateway", "bkash").out


def test_what_it_prints_is_where_the_doors_are(shop: Here) -> None:
    document = shop.run(
        "urls", "--app", "urls_shop:many", "--tenant", "acme", "--tenant", "b.2", "--json"
    ).document
    assert document["type"] == "urls" and document["exit_code"] == 0 and document["warnings"] == []
    named = [(row["gateway"], row["tenant"]) for row in document["gateways"]]
    assert sorted(named) == [(name, tenant) for name in installed_gateways() for tenant in ("acme", "b.2")]
    for row in document["gateways"]:
        for name, door in (("webhook", Door.WEBHOOK), ("return", Door.RETURN)):
            route = route_of(urlsplit(row[name]).path, "/payments")
            assert route == Route(door, row["gateway"], row["tenant"])
            assert row["register"][name]
    assert route_of(urlsplit(document["health"]).path, "/payments") == Route(Door.HEALTH)


def test_tenants_that_are_not_named(shop: Here) -> None:
    done = shop.run("urls", "--app", "urls_shop:many")
    assert "https://shop.example/payments/t/{tenant}/bkash/webhook" in done.out
    assert "--tenant NAME writes it out" in done.out


def test_without_an_application(shop: Here) -> None:
    done = shop.run("urls", "--public-url", "http://127.0.0.1:8000/pay", "--json")
    assert done.document["gateways"][0]["return"] == "http://127.0.0.1:8000/pay/bkash/return"
    assert "this machine's own" in done.document["warnings"][0]
    plain = shop.run("urls", "--public-url", "http://shop.example/pay")
    assert "no https address" in plain.out


@pytest.mark.parametrize(("arguments", "says"), [
    ([], "as seen from outside"),
    (["--app", "urls_shop:nowhere"], "as seen from outside"),
    (["--app", "urls_shop:single", "--tenant", "acme"], "one tenant"),
    (["--app", "urls_shop:many", "--tenant", "a/b"], "tenant"),
    (["--app", "urls_shop:single", "--gateway", "nagad2"], "there is bkash"),
    (["--app", "urls_shop:single", "--gateway", "../x"], "gateway"),
    (["--public-url", "https://shop.example/?a=b"], "no query"),
    (["--public-url", "ftp://shop.example"], "http"),
    (["--public-url", "https://user:pass@shop.example"], "without user name"),
])  # fmt: skip
def test_what_it_refuses(shop: Here, arguments: list[str], says: str) -> None:
    done = shop.run("urls", *arguments)
    assert done.code in (2, 4) and says in done.error and done.out == ""
    assert "pass@" not in done.err

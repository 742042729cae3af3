"""`vextrus-pay payout`, `balance` and `explain` of what was paid out: once, told as it is, answered by a person."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import Done, Gateway, Here

WALLET = "01770618575"
_NUMBERS = count(1)


@pytest.fixture
def name() -> str:
    """An operation id that no other test uses."""
    return f"salary-{next(_NUMBERS)}"


def send(here: Here, sandbox: Gateway, name: str, *more: str, amount: str = "20.50") -> Done:
    asked = ("--amount", amount, "--reference", name, "--operation-id", name, "--sandbox", sandbox.url)
    return here.run("payout", "send", WALLET, *asked, *more)


def held(here: Here, sandbox: Gateway) -> dict[str, str]:
    done = here.run("balance", "bkash", "--sandbox", sandbox.url, "--json")
    assert (done.code, done.err) == (0, "")
    accounts: list[dict[str, Any]] = done.document["accounts"]
    return {one["role"]: one["available"] for one in accounts}


def test_the_same_command_pays_once(here: Here, sandbox: Gateway, name: str) -> None:
    before = held(here, sandbox)
    made = send(here, sandbox, name, "--json")
    assert (made.code, made.err) == (0, "")
    assert (made.document["outcome"], made.document["amount"]) == ("sent", "20.50")
    assert made.document["payout"]["receiver"] == "017****8575"
    again = send(here, sandbox, name, "--json")
    assert again.document["made_before"] is True
    assert again.document["transaction_id"] == made.document["transaction_id"]
    after = held(here, sandbox)
    assert float(before["disbursement"]) - float(after["disbursement"]) == pytest.approx(20.5)
    told = here.run("payout", "status", name, "--sandbox", sandbox.url)
    assert told.code == 0 and "Sent: 20.50 BDT" in told.out
    other = send(here, sandbox, name, amount="21")
    assert other.code == 4 and "operation id" in other.error


def test_a_transfer(here: Here, sandbox: Gateway, name: str) -> None:
    before = held(here, sandbox)
    asked = ("--amount", "10", "--to", "collection", "--operation-id", name, "--sandbox", sandbox.url)
    done = here.run("payout", "transfer", *asked, "--json")
    assert (done.code, done.document["outcome"]) == (0, "transferred")
    assert here.run("payout", "transfer", *asked).code == 0
    after = held(here, sandbox)
    assert float(after["collection"]) - float(before["collection"]) == pytest.approx(10)


def test_an_unknown_one_is_answered_by_a_person(here: Here, sandbox: Gateway, name: str) -> None:
    sandbox.order("payout", "drop_after")
    lost = send(here, sandbox, name)
    assert lost.code == 3 and "Unknown" in lost.out
    assert f"vextrus-pay payout resolve {name}" in lost.out
    asked = ("--sandbox", sandbox.url)
    known = here.run("payout", "resolve", name, *asked)
    assert known.code == 0 and "Before it was sent:" in known.out and "After it:" in known.out
    assert "--reviewed 5" in known.out
    listed = here.run("payout", "list", "--unsettled", *asked, "--json").document["payouts"]
    assert name in [one["operation_id"] for one in listed]
    answer = (
        "--actor",
        "rahim",
        "--reason",
        "The portal lists it",
        "--evidence",
        "ticket 1",
        "--reviewed",
        "5",
    )
    early = here.run("payout", "resolve", name, "--made", "ABC1234567", "--amount", "20.50", *answer, *asked)
    assert early.code == 4 and "may still be at work" in early.error
    nameless = here.run("payout", "resolve", name, "--made", "-", "--amount", "20.50", *answer, *asked)
    assert nameless.code == 2 and "--transaction-id" in nameless.error
    for wrong in (
        ("--made", "ABC1234567"),
        ("--not-made", "--made", "ABC1234567", "--amount", "1"),
        ("--not-made",),
    ):
        assert here.run("payout", "resolve", name, *wrong, *asked).code == 2
    story = here.run("explain", name)
    assert story.code == 3 and "The payout of 20.50 BDT was reserved" in story.out
    assert "b2cPayment" in story.out and WALLET not in story.out
    assert "is unknown: nobody can tell yet how it ended." in " ".join(story.out.split())
    assert f"vextrus-pay payout resolve {name}" in story.out
    told = here.run("explain", name, "--json").document
    assert told["payout"]["state"] == "unknown"
    assert told["money"] == "Money may have moved: nobody can tell yet."


def test_what_was_never_sent_is_withdrawn(here: Here, sandbox: Gateway, name: str) -> None:
    sandbox.order("payout", "throttled")
    waiting = send(here, sandbox, name)
    assert waiting.code == 4 and "Not sent" in waiting.out
    asked = ("--sandbox", sandbox.url)
    assert here.run("payout", "withdraw", name, *asked).code == 0
    assert send(here, sandbox, name).code == 1
    assert here.run("payout", "withdraw", "nothing", *asked).code == 2


def test_a_final_no(here: Here, sandbox: Gateway, name: str) -> None:
    done = send(here, sandbox, name, "--json", amount="9999999")
    assert (done.code, done.document["outcome"]) == (1, "declined")


@pytest.mark.parametrize(
    "wrong", [("--amount", "0.5"), ("--amount", "1,000"), ("--kind", "other"), ("--reference", "")]
)
def test_wrong_input_sends_nothing(here: Here, sandbox: Gateway, name: str, wrong: tuple[str, str]) -> None:
    assert send(here, sandbox, name, *wrong).code == 2
    assert here.run("payout", "status", name, "--sandbox", sandbox.url).code == 2


def test_without_credentials_it_says_what_is_missing(here: Here, name: str) -> None:
    done = here.run("balance", "bkash")
    assert done.code == 2 and "BKASH_APP_KEY" in done.error
    plain = {
        "BKASH_APP_KEY": "key-of-a-test",
        "BKASH_APP_SECRET": "secret-of-a-test",
        "BKASH_USERNAME": "user-of-a-test",
        "BKASH_PASSWORD": "password-of-a-test",
    }
    assert "no credentials for it are configured" in here.run("balance", "bkash", env=plain).error
    assert "no application was named" in here.run("payout", "clear-restored").error


def test_resolve_takes_a_payouts_id_too(
    here: Here, sandbox: Gateway, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the shop's own application, as for payments."""
    (tmp_path / "paying_shop.py").write_text(
        "import os\n"
        "from vextrus_payments import Payments\n"
        "payments = Payments(store=os.environ['SHOP_STORE'], workers=False)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    env = {
        **sandbox.variables(),
        "SHOP_STORE": f"sqlite:///{tmp_path / 'shop.db'}",
        "VEXTRUS_PAY_APP": "paying_shop:payments",
    }
    sandbox.order("payout", "drop_after")
    asked = ("--amount", "7", "--reference", name, "--operation-id", name)
    lost = here.run("payout", "send", WALLET, *asked, "--json", env=env)
    assert (lost.code, lost.document["outcome"]) == (3, "unknown")
    payout_id = lost.document["payout"]["payout_id"]
    known = here.run("resolve", payout_id, "--json", env=env)
    assert known.code == 0 and known.document["payout"]["state"] == "unknown"
    version = str(known.document["version"])
    answer = (
        "--operation",
        name,
        "--actor",
        "rahim",
        "--reason",
        "Not in the portal",
        "--evidence",
        "ticket 9",
    )
    early = here.run("resolve", payout_id, "--not-made", *answer, "--reviewed", version, env=env)
    assert early.code == 4 and "still be at work" in early.error
    assert here.run("resolve", payout_id, "--not-made", *answer, env=env).code == 2


@pytest.mark.parametrize(
    "asked",
    [
        ("send", WALLET, "--amount", "5", "--reference", "a"),
        ("transfer", "--amount", "5", "--to", "collection"),
    ],
)
def test_an_application_with_live_credentials_needs_live_too(
    here: Here, sandbox: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    (tmp_path / "live_shop.py").write_text(
        "import os\n"
        "from vextrus_payments import Payments\n"
        "payments = Payments(store=os.environ['SHOP_STORE'], workers=False)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    kept = {"SHOP_STORE": f"sqlite:///{tmp_path / 'shop.db'}", "VEXTRUS_PAY_APP": "live_shop:payments"}
    names = ("APP_KEY", "APP_SECRET", "USERNAME", "PASSWORD")
    live = {f"BKASH_{part}{name}": f"made up {name}" for part in ("", "PAYOUT_") for name in names}
    command = ("payout", *asked, "--operation-id", "live-1")
    refused = here.run(*command, env={**kept, **live, "BKASH_MODE": "live"})
    assert refused.code == 2 and "--live was not given" in refused.error
    not_live = here.run(*command, "--live", env={**kept, **sandbox.variables()})
    assert not_live.code == 2 and "BKASH_MODE is sandbox" in not_live.error


@pytest.mark.parametrize("arguments", [("status", "x"), ("list",), ("resolve", "x"), ("withdraw", "x")])
def test_without_a_place_to_ask_every_way_to_name_one_is_told(here: Here, arguments: tuple[str, ...]) -> None:
    done = here.run("payout", *arguments)
    assert done.code == 2 and "No money moved." in done.error
    for way in ("--sandbox URL", "--app", "BKASH_APP_KEY"):
        assert way in done.error


def test_a_store_that_is_typed_counts_for_more_than_the_environment_s_application(
    here: Here, sandbox: Gateway, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store knows that it was paid out; the application's would pay once more."""
    (tmp_path / "other_shop.py").write_text(
        "import os\n"
        "from vextrus_payments import Payments\n"
        "payments = Payments(store=os.environ['SHOP_STORE'], workers=False)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    mine = ("--store", f"sqlite:///{tmp_path / 'mine.db'}")
    asked = ("payout", "send", WALLET, "--amount", "3", "--reference", name, "--operation-id", name, "--json")
    made = here.run(*asked, *mine, env=sandbox.variables())
    assert made.document["outcome"] == "sent"
    app = "other_shop:payments"
    shop = {**sandbox.variables(), "SHOP_STORE": f"sqlite:///{tmp_path / 'shop.db'}", "VEXTRUS_PAY_APP": app}
    again = here.run(*asked, *mine, env=shop).document
    assert (again["made_before"], again["transaction_id"]) == (True, made.document["transaction_id"])
    both = here.run(*asked, *mine, "--app", app, env=shop)
    assert both.code == 2 and "not both" in both.error and "No money moved." in both.error


def test_one_tenant_s_payouts_are_no_other_s(here: Here, sandbox: Gateway, name: str) -> None:
    assert send(here, sandbox, name).code == 0
    asked = ("--sandbox", sandbox.url, "--tenant", "acme")
    assert here.run("payout", "list", *asked, "--json").document["payouts"] == []
    assert here.run("payout", "resolve", name, *asked).code == 2
    held_before = held(here, sandbox)
    refused = send(here, sandbox, f"{name}-b", "--tenant", "acme")
    assert refused.code == 2 and "acme" in refused.error
    assert held(here, sandbox) == held_before


@pytest.mark.parametrize("option", ["--app", "--store", "--sandbox"])
def test_what_is_named_by_a_variable_that_is_not_set_is_nobody_s(
    here: Here, sandbox: Gateway, name: str, option: str
) -> None:
    """`--app "$SHOP"`: the home folder's store does not know what the shop has paid out."""
    asked = ("payout", "send", WALLET, "--amount", "3", "--reference", name, "--operation-id", name)
    before = held(here, sandbox)
    refused = here.run(*asked, option, "", env=sandbox.variables())
    assert refused.code == 2 and "No money moved." in refused.error
    assert held(here, sandbox) == before

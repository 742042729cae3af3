"""A payout remembers the sandbox that it was asked for in; its name is never asked for in a second place by that."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.cli.running import Done, Gateway, Here
from tests.cli.shop_app import ShopApp

WALLET = "01770618575"
_NUMBERS = count(1)
_NAMES = ("APP_KEY", "APP_SECRET", "USERNAME", "PASSWORD")
#: A live shop's environment. Its host is nobody's: whoever sends there moves nothing.
LIVE = {
    **{f"BKASH_{part}{name}": f"made up {name}" for part in ("", "PAYOUT_") for name in _NAMES},
    "BKASH_MODE": "live",
    "BKASH_API_URL": "https://gateway.invalid/v1.2.0-beta",
    "BKASH_PAYOUT_API_URL": "https://gateway.invalid/v1.2.0-beta/checkout",
}


@pytest.fixture
def name() -> str:
    """An operation id that no other test uses."""
    return f"remembered-{next(_NUMBERS)}"


@pytest.fixture
def other(sandbox_process: Gateway) -> Iterator[str]:
    """The same sandbox by another name of this machine: an address that is not the remembered one."""
    yield sandbox_process.url.replace("127.0.0.1", "localhost")


def send(here: Here, name: str, *more: str, env: dict[str, str] | None = None) -> Done:
    asked = ("payout", "send", WALLET, "--amount", "20.50", "--reference", "x", "--operation-id", name)
    return here.run(*asked, *more, env=env)


def sent(sandbox: Gateway) -> int:
    """How often the gateway was asked to pay out."""
    return len(sandbox.calls("payout"))


def in_live_store(here: Here, name: str) -> None:
    """A real payout of that name, as if it had been asked for with live credentials: our records have it so."""
    with closing(sqlite3.connect(here.home / "payments-sandbox.db")) as mine:
        mine.execute("VACUUM INTO ?", (str(here.home / "payments-live.db"),))
    with closing(sqlite3.connect(here.home / "payments-live.db")) as live, live:
        columns = [row[1] for row in live.execute("PRAGMA table_info(payouts)")]
        if "mode" in columns:
            live.execute("UPDATE payouts SET mode = 'live'")
        live.execute(
            """UPDATE payouts SET document = replace(replace(document, '"mode":"sandbox"', '"mode":"live"'),
            '"vextrus_pay.origin":"sandbox"', '"vextrus_pay.origin":"environment"')"""
        )


def test_every_command_about_it_finds_the_sandbox_again(here: Here, sandbox: Gateway, name: str) -> None:
    made = send(here, name, "--sandbox", f"{sandbox.url}/", "--json")
    assert made.code == 0 and made.document["payout"]["sandbox"] == sandbox.url
    before = sent(sandbox)
    again = send(here, name, "--json")
    assert (again.code, again.document["made_before"]) == (0, True)
    assert again.document["transaction_id"] == made.document["transaction_id"]
    told = here.run("payout", "status", name)
    assert told.code == 0 and f"the sandbox at {sandbox.url}" in told.out
    shown = here.run("payout", "resolve", name)
    assert shown.code == 0 and "no real money" in shown.out
    assert sent(sandbox) == before


def test_a_lost_one_is_answered_without_naming_the_sandbox_again(
    here: Here, sandbox: Gateway, name: str
) -> None:
    sandbox.order("payout", "drop_after")
    lost = send(here, name, "--sandbox", sandbox.url)
    assert lost.code == 3
    assert here.run("payout", "status", name, "--json").document["outcome"] == "unknown"
    before = sent(sandbox)
    assert send(here, name, "--json").document["outcome"] == "unknown", "never sent again"
    assert sent(sandbox) == before
    said = ("--actor", "rahim", "--reason", "not in the portal", "--evidence", "ticket 7", "--reviewed", "5")
    early = here.run("payout", "resolve", name, "--not-made", *said)
    assert early.code == 4 and "still be at work" in early.error, (
        "it came as far as the record of that payout"
    )


def test_what_was_not_sent_leaves_for_its_own_sandbox_or_is_withdrawn(
    here: Here, sandbox: Gateway, name: str
) -> None:
    for one in (name, f"{name}-b"):
        sandbox.order("payout", "throttled")
        waiting = send(here, one, "--sandbox", sandbox.url)
        assert waiting.code == 4 and "still running" in waiting.out
    assert send(here, name, env=sandbox.variables()).code == 0, "the environment's sandbox is not asked"
    assert here.run("payout", "withdraw", f"{name}-b").code == 0


def test_a_transfer_remembers_too(here: Here, sandbox: Gateway, name: str) -> None:
    asked = ("payout", "transfer", "--amount", "10", "--to", "collection", "--operation-id", name)
    assert here.run(*asked, "--sandbox", sandbox.url).code == 0
    before = len(sandbox.calls("transfer"))
    assert here.run(*asked).code == 0 and here.run("payout", "status", name).code == 0
    assert len(sandbox.calls("transfer")) == before


@pytest.mark.parametrize("settled", [True, False])
def test_it_is_not_asked_for_in_another_sandbox(
    here: Here, sandbox: Gateway, other: str, name: str, settled: bool
) -> None:
    if not settled:
        sandbox.order("payout", "throttled")
    send(here, name, "--sandbox", sandbox.url)
    before = sent(sandbox)
    refused = send(here, name, "--sandbox", other, "--json")
    assert refused.code == 4 and refused.document["error"]["code"] == "asked_for_elsewhere"
    assert f"--sandbox {sandbox.url}" in refused.error and "No money moved." in refused.error
    assert sent(sandbox) == before
    looked = here.run("payout", "status", name, "--sandbox", other)
    assert looked.code == (0 if settled else 3), "whoever only asks may say where"


def test_a_sandbox_s_name_is_not_sent_with_real_money(here: Here, sandbox: Gateway, name: str) -> None:
    send(here, name, "--sandbox", sandbox.url)
    before = sent(sandbox)
    for more in (("--live",), ()):
        refused = send(here, name, *more, env=LIVE)
        assert refused.code == 4 and f"the sandbox at {sandbox.url}" in refused.error
        assert "--operation-id of its own" in refused.error and "No money moved." in refused.error
    assert not (here.home / "payments-live.db").exists(), "nothing was even intended"
    assert sent(sandbox) == before
    assert here.run("payout", "status", name, env=LIVE).code == 0, "asking moves nothing"
    for verb in (("withdraw", name), ("resolve", name, "--not-made")):
        refused = here.run("payout", *verb, env=LIVE)
        assert refused.code == 4 and f"--sandbox {sandbox.url}" in refused.error
    fresh = send(here, f"{name}-new", env=LIVE)
    assert fresh.code == 2 and "--live was not given" in fresh.error


def test_of_two_of_a_name_nobody_guesses(here: Here, sandbox: Gateway, name: str) -> None:
    send(here, name, "--sandbox", sandbox.url)
    in_live_store(here, name)
    before = sent(sandbox)
    for verb in (("status", name), ("withdraw", name), ("resolve", name)):
        refused = here.run("payout", *verb)
        assert refused.code == 4 and "a payout of real money has the same one" in refused.error
        assert here.run("payout", *verb, "--sandbox", sandbox.url).code in (0, 4)
    assert send(here, name).code == 4
    real = here.run("payout", "status", name, "--json", env=LIVE)
    assert real.document["payout"]["mode"] == "live", "the environment's credentials name the real one"
    assert real.document["payout"]["sandbox"] is None
    repeated = send(here, name, "--live", "--json", env=LIVE)
    assert repeated.document["made_before"] is True, "the live records know it: it is asked for where it was"
    meant = send(here, name, env=LIVE)
    assert meant.code == 2 and "--live was not given" in meant.error
    assert sent(sandbox) == before


def test_a_named_store_remembers_as_the_home_folder_does(
    here: Here, sandbox: Gateway, other: str, name: str, tmp_path: Path
) -> None:
    kept = ("--store", f"sqlite:///{tmp_path / 'kept.db'}")
    assert send(here, name, "--sandbox", sandbox.url, *kept).code == 0
    assert here.run("payout", "status", name, *kept).code == 0
    assert here.run("payout", "status", name).code == 2, "the home folder knows nothing of it"
    assert send(here, name, "--sandbox", other, *kept).code == 4
    assert send(here, name, "--live", *kept, env=LIVE).code == 4
    by_variable = {"VEXTRUS_PAY_STORE": kept[1]}
    assert send(here, name, "--json", env=by_variable).document["made_before"] is True


def test_one_tenant_s_name_is_no_other_s(here: Here, sandbox: Gateway, name: str) -> None:
    send(here, name, "--sandbox", sandbox.url)
    refused = here.run("payout", "status", name, "--tenant", "acme")
    assert refused.code == 2 and "Nothing says where to ask bkash" in refused.error


def test_with_an_application_it_says_where_to_go_on(
    here: Here, sandbox: Gateway, shop: ShopApp, name: str
) -> None:
    env = {**shop.env, "VEXTRUS_PAY_APP": shop.app}
    sandbox.order("payout", "drop_after")
    lost = send(here, name, "--sandbox", sandbox.url, env=env)
    assert lost.code == 3
    line = next(one for one in lost.out.splitlines() if "payout resolve" in one)
    assert line.endswith(f"vextrus-pay payout resolve {name} --sandbox {sandbox.url}")
    assert here.run("payout", "status", name, env=env).code == 2, "the application does not know it"
    both = send(here, name, "--sandbox", sandbox.url, "--app", shop.app, env=shop.env)
    assert both.code == 2 and both.error.startswith("--sandbox: ") and "not both" in both.error
    asked = here.run("balance", "bkash", "--sandbox", sandbox.url, "--app", shop.app, env=shop.env)
    assert asked.code == 2 and "not both" in asked.error


def test_an_application_that_is_not_typed_does_not_send_what_is_a_sandbox_s(
    here: Here, sandbox: Gateway, shop: ShopApp, name: str
) -> None:
    env = {**shop.env, "VEXTRUS_PAY_APP": shop.app}
    assert send(here, name, "--sandbox", sandbox.url, env=env).code == 0
    before = sent(sandbox)
    moved = ("payout", "transfer", "--amount", "5", "--to", "collection", "--operation-id", name)
    for refused in (send(here, name, env=env), here.run(*moved, env=env)):
        assert refused.code == 4 and f"--sandbox {sandbox.url}" in refused.error and shop.app in refused.error
    assert sent(sandbox) == before
    kept = {**env, "VEXTRUS_PAY_STORE": f"sqlite:///{here.home / 'payments-sandbox.db'}"}
    assert send(here, name, env=kept).code == 4
    assert send(here, name, "--app", shop.app, env=shop.env).code == 0, "it was said where"
    assert sent(sandbox) == before + 1
    again = send(here, name, "--json", env=env)
    assert again.document["made_before"] is True, "the application knows it by now"
    assert send(here, f"{name}-new", env=env).code == 0
    assert "vextrus_pay" not in str(shop.did(lambda payments: payments.find_payout(name)).metadata)


def test_an_application_needs_no_home_folder(
    here: Here, sandbox: Gateway, shop: ShopApp, name: str, tmp_path: Path
) -> None:
    (tmp_path / "a-file").write_text("", encoding="utf-8")
    env = {**shop.env, "VEXTRUS_PAY_APP": shop.app, "VEXTRUS_PAY_HOME": str(tmp_path / "a-file" / "home")}
    assert send(here, name, env=env).code == 0


@pytest.mark.parametrize("verb", ["status", "withdraw", "resolve"])
@pytest.mark.parametrize("wrong", ["", " ", "a b", "\x00", "\udcff", "x" * 201, "৫", "a\nb"])
def test_a_name_that_is_none_is_said(here: Here, sandbox: Gateway, name: str, verb: str, wrong: str) -> None:
    (here.home).mkdir(exist_ok=True)
    done = here.run("payout", verb, "--", wrong)
    assert done.code == 2 and done.error.startswith("OPERATION_ID: ") and "No money moved." in done.error

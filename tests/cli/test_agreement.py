"""`vextrus-pay agreement`: what holds, what it collected, its end; a real one only where that was said."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.plans import PAYER, Plans
from tests.cli.running import Gateway, Here


@pytest.fixture
def plans(tmp_path: Path, sandbox: Gateway) -> Plans:
    return Plans(tmp_path / "shop.db", sandbox)


def test_from_the_list_to_the_end(here: Here, sandbox: Gateway, plans: Plans) -> None:
    there, at = ("--store", plans.store), ("--sandbox", sandbox.url)
    asked = plans.asked()
    waiting = here.run("agreement", "show", asked.agreement_key, *there)
    assert waiting.code == 0 and "It waits for its payer" in waiting.out and "Page until" in waiting.out
    plans.consented(asked)
    held = here.run("agreement", "status", asked.agreement_key, *there, *at)
    assert held.code == 0 and "It holds" in held.out and "017****8575" in held.out
    listed = here.run("agreement", "list", "--state", "active", *there, "--json").document
    assert [one["agreement_key"] for one in listed["agreements"]] == [asked.agreement_key]
    assert listed["agreements"][0]["merchant_reference"] == "plan"
    taken = here.run("agreement", "payments", asked.agreement_key, *there, *at, "--json")
    assert taken.code == 0
    first = next(one for one in taken.document["payments"] if one["state"] == "paid")
    assert (first["amount"], first["missing"]) == ("7.00", False) and first["payment_id"].startswith("pay_")
    ended = here.run("agreement", "cancel", asked.agreement_key, *there, *at)
    assert ended.code == 0 and "It has ended" in ended.out
    again = here.run("agreement", "cancel", asked.agreement_key, *there, *at, "--json")
    assert (again.code, again.document["agreement"]["state"]) == (0, "ended")
    assert here.run("agreement", "list", "--state", "active", *there).out == "There is none.\n"
    shown = "".join(done.out for done in (waiting, held, taken, ended, again))
    assert PAYER not in shown and (asked.agreement_id or "?") not in shown


def test_money_that_the_records_lack_is_named(here: Here, sandbox: Gateway, plans: Plans) -> None:
    there, at = ("--store", plans.store), ("--sandbox", sandbox.url)
    asked = plans.asked()
    plans.consented(asked)
    plans.did(lambda payments: payments.execute_agreement(asked.agreement_key))
    lacking = here.run("agreement", "payments", asked.agreement_key, *there, *at)
    assert lacking.code == 1 and "not in our records" in lacking.out
    assert f"vextrus-pay agreement status {asked.agreement_key}" in lacking.out
    assert here.run("agreement", "status", asked.agreement_key, *there, *at).code == 0
    assert here.run("agreement", "payments", asked.agreement_key, *there, *at).code == 0


def test_the_gateways_list_is_held_against_the_records(here: Here, sandbox: Gateway, plans: Plans) -> None:
    """After a restored backup: what was subscribed to since is named, though no message came."""
    older = plans.database.with_name("older.db")
    known = plans.asked("known")
    plans.consented(known)
    plans.did(lambda payments: payments.execute_agreement(known.agreement_key))
    with closing(sqlite3.connect(plans.database)) as now, closing(sqlite3.connect(older)) as copy:
        now.backup(copy)
    since = plans.asked("since")
    plans.consented(since)
    at = ("compare", "bkash_recurring", "--sandbox", sandbox.url, "--json")
    differing = here.run("agreement", *at, "--store", f"sqlite:///{older}")
    found = {one["gateway_reference"]: one for one in differing.document["differences"]}
    assert differing.code == 1 and "not in our records" in found[since.gateway_reference]["in_our_records"]
    assert known.gateway_reference not in found
    ours = here.run("agreement", *at, "--store", plans.store).document["differences"]
    mine = [one for one in ours if one["agreement_key"] == since.agreement_key]
    assert [(one["at_the_gateway"], one["in_our_records"]) for one in mine] == [
        ("SUCCEEDED", "awaiting_payer")
    ]
    plans.did(lambda payments: payments.agreement_status(since.agreement_key))
    ours = here.run("agreement", *at, "--store", plans.store).document["differences"]
    assert since.gateway_reference not in [one["gateway_reference"] for one in ours]
    plans.stopped(since)
    over = here.run("agreement", *at[:-1], "--store", plans.store)
    assert over.code == 1 and "CANCELLED" in over.out and since.agreement_key in over.out


def test_while_the_page_is_open_nothing_is_ended(here: Here, sandbox: Gateway, plans: Plans) -> None:
    asked = plans.asked()
    refused = here.run(
        "agreement", "cancel", asked.agreement_key, "--store", plans.store, "--sandbox", sandbox.url
    )
    assert refused.code == 4 and "nothing was cancelled" in refused.error


def test_a_real_one_is_ended_only_where_that_was_said(here: Here, sandbox: Gateway, plans: Plans) -> None:
    asked = plans.asked()
    there = ("--store", plans.store, "--sandbox", sandbox.url)
    pretended = here.run("agreement", "cancel", asked.agreement_key, "--live", *there)
    assert pretended.code == 2 and "Leave --live out" in pretended.error
    with closing(sqlite3.connect(plans.database)) as connection, connection:
        connection.execute(
            """UPDATE agreements SET document = replace(document, '"mode":"sandbox"', '"mode":"live"')"""
        )
    before = len(sandbox.calls("cancel"))
    refused = here.run("agreement", "cancel", asked.agreement_key, *there)
    assert refused.code == 2 and "--live was not given" in refused.error
    meant = here.run("agreement", "cancel", asked.agreement_key, "--live", *there)
    assert meant.code == 2 and "live mode" in meant.error  # a sandbox is no place for it
    assert len(sandbox.calls("cancel")) == before


@pytest.mark.parametrize("option", ["--store", "--sandbox"])
def test_what_would_be_ignored_beside_an_application_is_refused(
    here: Here, sandbox: Gateway, plans: Plans, option: str
) -> None:
    """An agreement must not be ended in a place that was not meant."""
    value = plans.store if option == "--store" else sandbox.url
    before = len(sandbox.calls("cancel"))
    for verb in (("cancel", "agr_1"), ("status", "agr_1"), ("compare", "bkash_recurring")):
        refused = here.run("agreement", *verb, "--app", "shop.payments:payments", option, value)
        assert refused.code == 2 and refused.error.startswith(f"{option}: ")
        assert "not both" in refused.error and "No money moved." in refused.error
    assert len(sandbox.calls("cancel")) == before


@pytest.mark.parametrize("verb", ["show", "status", "payments", "cancel"])
def test_one_that_is_not_there(here: Here, plans: Plans, verb: str) -> None:
    plans.asked()
    done = here.run("agreement", verb, "agr_nobody", "--store", plans.store)
    assert done.code == 2 and "There is no agreement agr_nobody" in done.error


def test_without_credentials_it_says_what_is_missing(here: Here, plans: Plans) -> None:
    asked = plans.asked()
    done = here.run("agreement", "status", asked.agreement_key, "--store", plans.store)
    assert done.code == 2 and "BKASH_RECURRING_API_KEY" in done.error


def test_terms_are_shown_as_a_person_says_them(here: Here, plans: Plans) -> None:
    asked = plans.asked()
    shown = " ".join(here.run("agreement", "show", asked.agreement_key, "--store", plans.store).out.split())
    assert "Term: amount " in shown and ".00 BDT" in shown
    assert "_minor" not in shown and "CALENDAR_" not in shown

"""`explain`, `reconcile`, `resolve`, `doctor`, `ledger balance`: the commands of whoever operates a shop."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from itertools import count

import pytest

from tests.cli.running import COMMAND, PATIENCE_S, Done, Here, User
from tests.cli.shop_app import ShopApp, told_otherwise
from vextrus_payments.money import Money
from vextrus_payments.payouts import PayoutRequest

_NUMBERS = count(1)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")


def _run(here: Here, shop: ShopApp, *arguments: str, env: dict[str, str] | None = None) -> Done:
    return here.run(*arguments, "--app", shop.app, env={**shop.env, **(env or {})})


# --- explain --------------------------------------------------------------------------------------------------------


def test_the_story_of_a_paid_payment_reads_well(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    done = _run(here, shop, "explain", session.payment_id)
    assert (done.code, done.err) == (0, "")
    first = done.out.splitlines()[0]
    assert first.startswith(f"{reference}, {amount} BDT through bkash (sandbox), is paid, transaction ")
    for said in (
        f"Money moved: {amount} BDT came in.",
        "Next: Nothing: it is over.",
        f"A payment of {amount} BDT for {reference} through bkash was asked for",
        "The execute: attempt 1 began",
        "was answered with HTTP 200",
        "It was paid",
        "Ledger entry payment.received: debit gateway_clearing:bkash:sandbox",
        "the ledger has not taken it yet",
    ):
        assert said in " ".join(done.out.split()), said
    assert "01770618575" not in done.out and "017****8575" in done.out
    assert done.out.index("was asked for") < done.out.index("attempt 1 began") < done.out.index("It was paid")


def test_an_unknown_payment_says_what_happens_next_and_what_to_do(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    done = _run(here, shop, "explain", reference)
    assert done.code == 3
    text = " ".join(done.out.split())
    assert "is unknown: nobody can tell yet how execute/" in text
    assert "Money may have moved: an answer is still missing" in text
    assert "No money" not in text, "not beside one that nobody knows the end of"
    assert "no worker is running" in text, "it was due long ago"
    assert f"Next: This is open: execute/{session.payment_id}/1 is unknown." in text
    assert f"vextrus-pay resolve {session.payment_id} --operation execute/" in text
    assert "got no usable answer" in text
    assert "An answer got lost" in text


def test_it_is_found_by_the_gateways_ids_too_and_told_as_json(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    transaction = shop.sandbox.payment(session.gateway_reference)["transaction_id"]
    for name in (transaction, session.gateway_reference, reference, session.payment_id):
        document = _run(here, shop, "explain", name, "--json").document
        (payment,) = document["payments"]
        assert payment["payment"]["payment_id"] == session.payment_id
        assert (document["count"], document["exit_code"], payment["outcome"]) == (1, 0, "paid")
        kinds = [line["kind"] for line in payment["timeline"]]
        assert {"reserved", "attempt", "exchange", "receipt", "event", "entry"} <= set(kinds)
        entry = next(line for line in payment["timeline"] if line["kind"] == "entry")
        assert entry["delivery"]["state"] == "waiting"
        assert {p["amount"] for p in entry["postings"]} == {amount}
        assert all(line["at"] for line in payment["timeline"])
        assert payment["next_look_at"] is None


def test_every_payment_of_a_reference_is_told(here: Here, shop: ShopApp, reference: str, amount: str) -> None:
    from vextrus_payments import Money, PaymentRequest, Payments

    async def twice(payments: Payments) -> None:
        for number in (1, 2):
            await payments.initialize(
                PaymentRequest(
                    operation_id=f"{reference}/{number}",
                    gateway="bkash",
                    amount=Money(amount, "BDT"),
                    merchant_reference=reference,
                )
            )

    shop.did(twice)
    done = _run(here, shop, "explain", reference)
    assert done.out.count("waits for its payer") == 2
    assert _run(here, shop, "explain", reference, "--json").document["count"] == 2


def test_explain_needs_no_application_where_the_store_is_known(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.paid(reference, amount)
    by_store = here.run("explain", reference, "--store", f"sqlite:///{shop.database}")
    assert by_store.code == 0, by_store.err
    by_name = here.run("explain", reference, env={"VEXTRUS_PAY_STORE": f"sqlite:///{shop.database}"})
    assert by_name.out == by_store.out


def test_a_narrow_terminal_breaks_lines_and_loses_nothing(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    wide = _run(here, shop, "explain", session.payment_id)
    narrow = _run(here, shop, "explain", session.payment_id, env={"COLUMNS": "40"})
    lines = narrow.out.splitlines()
    # what is to be done next names commands: such a line is left to the terminal, so that it is copied whole
    assert max(len(line) for line in lines if not line.startswith("Next: ")) <= 40
    assert any(
        line.startswith("Next: ") and f"resolve {session.payment_id} --operation" in line for line in lines
    )
    assert "".join(narrow.out.split()) == "".join(wide.out.split())


def test_what_nobody_knows_is_refused_with_where_it_was_looked_for(here: Here, shop: ShopApp) -> None:
    done = _run(here, shop, "explain", "INV-nobody")
    assert done.code == 2
    assert "There is no payment of that name in the store of" in done.error
    assert here.run("explain").code == 2
    error = json.loads(here.run("explain", "INV-nobody", "--json").out)["error"]
    assert error["option"] == "NAME" and error["exit_code"] == 2


# --- reconcile ------------------------------------------------------------------------------------------------------


def test_what_is_due_is_settled_once(here: Here, shop: ShopApp, reference: str, amount: str) -> None:
    session = shop.unknown(reference, amount)
    asked = len(shop.sandbox.calls("query", session.gateway_reference))
    done = _run(here, shop, "reconcile")
    assert done.code == 0, (done.out, done.err)
    assert f"{session.payment_id} ({reference}): it was awaiting_payer and is paid now." in done.out
    assert "1 looked at, 1 changed, 0 still unknown, 0 without an answer, 0 skipped, 0 put off." in done.out
    assert len(shop.sandbox.calls("query", session.gateway_reference)) == asked + 1
    assert len(shop.sandbox.calls("execute", session.gateway_reference)) == 1
    again = _run(here, shop, "reconcile", "--once", "--json").document
    assert (again["looked_at"], again["complete"], again["exit_code"]) == (0, True, 0)


def test_one_payment_now_with_its_portal_refunds(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.paid(reference, amount)
    transaction = shop.sandbox.payment(session.gateway_reference)["transaction_id"]
    shop.portal_refund(session, transaction, "10")
    done = _run(here, shop, "reconcile", session.payment_id)
    assert done.code == 0
    assert "something was learned, and it is paid still." in done.out
    story = " ".join(_run(here, shop, "explain", session.payment_id).out.split())
    assert "10.00 BDT went back" in story and "A refund was found that was made elsewhere" in story


def test_a_gateway_that_does_not_answer_leaves_it_unknown_and_named(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    shop.sandbox.order("query", "html_before", times=50)
    done = _run(here, shop, "reconcile")
    assert done.code == 3
    assert "Still unknown" in done.out and done.out.count(session.payment_id) >= 2
    one = _run(here, shop, "reconcile", session.payment_id, "--json").document
    assert one["exit_code"] == 3 and one["problems"][0]["code"] == "blocked"
    assert one["unknown"] and not one["changed"]


def test_after_a_restore_everything_is_asked_about(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.unknown(reference, amount)
    done = _run(here, shop, "reconcile", "--since", "2d")
    assert done.code == 0, (done.out, done.err)
    assert "payments were read; asked about what was made or changed since" in done.out
    assert "this store is the one to go on with" in done.out
    shop.sandbox.order("query", "html_before", times=50)
    shop.unknown(f"{reference}-B", f"{float(amount) + 500:.2f}")
    shop.sandbox.order("query", "html_before", times=50)
    stuck = _run(here, shop, "reconcile", "--since", "2d", "--json").document
    assert (stuck["accepted_restored"], stuck["exit_code"]) == (False, 3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--once", "--watch"), "do not go together"),
        (("pay_1", "--since", "1d"), "do not go together"),
        (("--leave-out", "acme"), "--leave-out goes with --since"),
        (("--since", "yesterday"), "is no moment"),
        (("--since", "2026-01-31T10:00"), "has no zone"),
        (("--since", "2999-01-01"), "is still to come"),
        (("--sinc", "1d"), "there is no such option"),
    ],
)
def test_wrong_arguments_of_reconcile(
    here: Here, shop: ShopApp, arguments: tuple[str, ...], says: str
) -> None:
    done = _run(here, shop, "reconcile", *arguments)
    assert done.code == 2 and says in done.error
    assert done.out == ""


def test_without_an_application_nobody_reconciles_or_resolves(here: Here, shop: ShopApp) -> None:
    for arguments in (("reconcile",), ("resolve", "pay_1")):
        done = here.run(*arguments, env=shop.env)
        assert done.code == 2
        assert "no application was named" in done.error and "VEXTRUS_PAY_APP" in done.error


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nocolon", "names no attribute"),
        ("no_such_module_here:payments", "There is no module no_such_module_here"),
        ("{module}:missing", "has no missing"),
        ("{module}:nothing", "is of the type str, and no Payments"),
        ("{module}:post", "raised TypeError"),
    ],
)
def test_an_application_that_is_none(here: Here, shop: ShopApp, name: str, says: str) -> None:
    done = here.run("reconcile", "--app", name.format(module=shop.module), env=shop.env)
    assert done.code == 2 and says in done.error


def test_an_application_may_be_a_function_and_come_from_the_environment(here: Here, shop: ShopApp) -> None:
    done = here.run("reconcile", "--json", env={**shop.env, "VEXTRUS_PAY_APP": f"{shop.module}:made"})
    assert done.document["complete"] is True


@posix_only
@pytest.mark.slow
def test_watching_goes_on_until_it_is_interrupted(shop: ShopApp, reference: str, amount: str) -> None:
    session = shop.unknown(reference, amount)
    user = User(shop.folder / "home")
    with user.start("reconcile", "--watch", "--json", "--app", shop.app, env=shop.env) as running:
        line = json.loads(running.line_with(session.payment_id))
        assert (line["type"], line["after"], line["changed"]) == ("payment", "paid", True)
        running.process.send_signal(signal.SIGINT)
        assert running.end().code == 0


@pytest.mark.slow
def test_processes_that_reconcile_at_once_ask_once_each(shop: ShopApp, reference: str, amount: str) -> None:
    sessions = [shop.unknown(f"{reference}-{number}", f"{float(amount) + number:.2f}") for number in range(8)]
    asked = {s.gateway_reference: len(shop.sandbox.calls("query", s.gateway_reference)) for s in sessions}
    user = User(shop.folder / "home")
    running = [
        subprocess.Popen(
            [*COMMAND, "reconcile", "--json", "--app", shop.app],
            env=user.env(**shop.env),
            cwd=shop.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        for _ in range(3)
    ]
    reports = []
    for process in running:
        out, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, 3), err
        reports.append(json.loads(out))
    assert sum(report["changed"] for report in reports) == 8
    for session in sessions:
        reference_there = session.gateway_reference
        assert len(shop.sandbox.calls("query", reference_there)) == asked[reference_there] + 1
        assert len(shop.sandbox.calls("execute", reference_there)) == 1


@posix_only
@pytest.mark.slow
def test_a_process_killed_in_mid_look_leaves_it_to_another(
    shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    asked = len(shop.sandbox.calls("query", session.gateway_reference))
    shop.sandbox.order("query", "delay;seconds=60")
    user = User(shop.folder / "home")
    with user.start("reconcile", "--app", shop.app, env=shop.env) as running:
        for _ in range(600):
            if len(shop.sandbox.calls("query", session.gateway_reference)) > asked:
                break
            time.sleep(0.05)
        running.process.kill()
        running.process.wait()
    shop.sandbox.clear_faults()
    idle = user.run("reconcile", "--json", "--app", shop.app, env=shop.env)
    assert idle.document["looked_at"] == 0, "it is leased to whoever died"
    with sqlite3.connect(shop.database) as database:  # five minutes later
        database.execute("UPDATE payments SET watched_until = 0")
    database.close()
    done = user.run("reconcile", "--json", "--app", shop.app, env=shop.env)
    assert (done.document["changed"], done.code) == (1, 0)
    assert len(shop.sandbox.calls("execute", session.gateway_reference)) == 1


# --- resolve --------------------------------------------------------------------------------------------------------


def test_resolving_by_hand_shows_what_is_known_first(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    shown = _run(here, shop, "resolve", session.payment_id)
    assert shown.code == 3
    text = " ".join(shown.out.split())
    assert f"Open: execute/{session.payment_id}/1: unknown since" in text
    known = _run(here, shop, "resolve", session.payment_id, "--json").document
    version, (operation,) = known["version"], known["open_operations"]
    assert f"pass --reviewed {version}" in text
    said = (
        *("--operation", operation, "--made", "DKN5ABCDEF", "--amount", amount, "--actor", "rahim"),
        *("--reason", "The portal lists it as completed", "--evidence", "ticket 4711"),
    )
    blind = _run(here, shop, "resolve", session.payment_id, *said, "--yes")
    assert blind.code == 2 and "--reviewed" in blind.error and f"it is {version} now" in blind.error
    stale = _run(here, shop, "resolve", session.payment_id, *said, "--yes", "--reviewed", str(version + 5))
    assert stale.code == 4, stale.err
    done = _run(here, shop, "resolve", session.payment_id, *said, "--yes", "--reviewed", str(version))
    assert done.code == 0, done.err
    assert f"Recorded. Paid: {amount} BDT" in done.out
    story = " ".join(_run(here, shop, "explain", session.payment_id).out.split())
    assert "rahim said about" in story and "on the strength of ticket 4711" in story
    assert len(shop.sandbox.calls("execute", session.gateway_reference)) == 1


def test_not_made_and_a_confirmation_that_is_withheld(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount, made=False)
    known = _run(here, shop, "resolve", session.payment_id, "--json").document
    said = (
        *("--operation", known["open_operations"][0], "--not-made", "--actor", "rahim"),
        *("--reason", "bKash's support says so", "--evidence", "mail of 3 May"),
        *("--reviewed", str(known["version"])),
    )
    withheld = _run(here, shop, "resolve", session.payment_id, *said)
    assert withheld.code == 2 and "--yes: is missing: nobody is here" in withheld.error
    facts = _run(here, shop, "resolve", session.payment_id, "--json").document
    assert facts["version"] == known["version"], "nothing was recorded"
    done = _run(here, shop, "resolve", session.payment_id, *said, "--yes", "--json").document
    assert done["recorded"] is True and done["version"] > known["version"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--made", "X", "--not-made"), "Give one of"),
        (("--made", "X"), "--operation"),
        (("--not-made",), "--operation"),
        (("--cleared", "--operation", "x"), "leave --operation out"),
        (("--not-made", "--operation", "x", "--amount", "5"), "--amount goes with --made"),
        (("--reviewed", "x"), "--reviewed"),
    ],
)
def test_wrong_arguments_of_resolve(here: Here, shop: ShopApp, arguments: tuple[str, ...], says: str) -> None:
    done = _run(here, shop, "resolve", "pay_1", *arguments)
    assert done.code == 2 and says in done.error


def test_resolving_what_is_not_there(here: Here, shop: ShopApp) -> None:
    done = _run(here, shop, "resolve", "pay_nobodys")
    assert done.code == 2 and "There is no payment of that id" in done.error


# --- doctor ---------------------------------------------------------------------------------------------------------


def _findings(done: Done) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in done.document["findings"]}


def test_doctor_names_what_is_wrong_and_what_to_do(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.unknown(reference, amount)
    done = _run(here, shop, "doctor", "--json")
    assert done.code == 1
    found = _findings(done)
    assert found["worker"]["level"] == "fail" and "vextrus-pay worker" in found["worker"]["do"]
    assert found["store.durable"]["level"] == "ok"
    assert found["bkash.settings"]["level"] == "ok" and "Sandbox mode" in found["bkash.settings"]["what"]
    assert found["bkash.reach"]["level"] == "ok"
    assert found["bkash.clock"]["level"] == "ok"
    assert "of 2 grants an hour" in found["bkash.tokens"]["what"]
    assert found["unknown"]["level"] in ("ok", "warn") and reference not in found["unknown"]["what"]
    assert found["watches"]["level"] == "fail"
    assert found["outbox.event.age"]["level"] == "warn", "nobody listens, which may be meant"
    assert found["epoch"]["level"] == "warn"
    assert not shop.sandbox.calls("grant", "nobody")
    text = _run(here, shop, "doctor")
    assert text.code == 1
    assert "FAIL" in text.out and "failed." in text.out


def test_doctor_looks_at_the_one_gateway_that_is_named(here: Here, shop: ShopApp) -> None:
    for named in (("bkash",), ("--gateway", "bkash"), ("bkash", "--gateway", "bkash")):
        found = _findings(_run(here, shop, "doctor", *named, "--json"))
        assert found["bkash.settings"]["level"] == "ok"
        assert not any(check.startswith("nagad.") for check in found)
    both = _run(here, shop, "doctor", "nagad", "--gateway", "bkash")
    assert both.code == 2 and "name one gateway" in both.err


def test_doctor_explains_a_bad_key_in_words(here: Here, shop: ShopApp) -> None:
    pasted = "ssh-rsa " + "AAAAB3NzaC1yc2E" * 4
    env = {
        "NAGAD_MERCHANT_ID": "680000000000001",
        "NAGAD_PUBLIC_KEY": "-----BEGIN CERTIFICATE-----",
        "NAGAD_PRIVATE_KEY": pasted,
    }
    done = here.run("doctor", "nagad", "--json", env=env)
    assert done.code == 1
    what = _findings(done)["nagad.settings"]["what"]
    assert "NAGAD_PRIVATE_KEY: is an SSH key" in what and "NAGAD_PUBLIC_KEY: is a certificate" in what
    assert pasted[8:24] not in done.out + done.err


def test_doctor_costs_no_grant_and_sends_no_credentials(here: Here, shop: ShopApp) -> None:
    before = len(shop.sandbox.calls("grant"))
    _run(here, shop, "doctor", "--json")
    assert len(shop.sandbox.calls("grant")) == before
    found = _findings(_run(here, shop, "doctor", "--grant", "--json"))
    assert found["bkash.credentials"]["level"] == "ok"
    assert len(shop.sandbox.calls("grant")) == before + 1


def test_doctor_on_a_gateway_that_nobody_reaches(here: Here, shop: ShopApp) -> None:
    away = {"BKASH_API_URL": "http://127.0.0.1:9/v1.2.0-beta"}
    found = _findings(_run(here, shop, "doctor", "--gateway", "bkash", "--json", env=away))
    assert found["bkash.reach"]["level"] == "fail"
    wrong = {"BKASH_MODE": "live"}
    found = _findings(_run(here, shop, "doctor", "--gateway", "bkash", "--json", env=wrong))
    assert found["bkash.settings"]["level"] == "fail"
    absent = _run(here, shop, "doctor", "--gateway", "nagada", "--json")
    assert absent.code in (1, 2)


NAGAD_FROM_THE_PORTAL = {"NAGAD_MERCHANT_ID": "680000000000001"}


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({}, "lacks NAGAD_MERCHANT_ID, NAGAD_PUBLIC_KEY, NAGAD_PRIVATE_KEY"),
        (NAGAD_FROM_THE_PORTAL, "lacks NAGAD_PUBLIC_KEY, NAGAD_PRIVATE_KEY"),
        (NAGAD_FROM_THE_PORTAL | {"NAGAD_MODE": "prod"}, "NAGAD_MODE: must be 'sandbox' or 'live'"),
    ],
)
def test_doctor_never_finds_in_order_what_cannot_be_used(here: Here, env: dict[str, str], says: str) -> None:
    named = here.run("doctor", "nagad", "--json", env=env)
    found = _findings(named)["nagad.settings"]
    assert named.code == 1 and found["level"] == "fail" and says in found["what"]
    assert "NAGAD_API_URL" not in found["what"]
    # Nobody asked for Nagad: then only half a configuration is a fault.
    everything = here.run("doctor", "--json", env=env)
    assert (everything.code == 1) is bool(env)
    assert _findings(everything)["nagad.settings"]["level"] == ("fail" if env else "skipped")


def test_doctor_before_going_live(here: Here, shop: ShopApp) -> None:
    found = _findings(_run(here, shop, "doctor", "--go-live", "bkash", "--json"))
    assert found["live.credentials"]["level"] == "fail" and "sandbox" in found["live.credentials"]["what"]
    assert found["live.public_url"]["level"] == "ok"
    assert "https://shop.example/payments/bkash/return" in found["live.return_url"]["what"]
    assert "https://shop.example/payments/bkash/webhook is registered" in found["live.webhook"]["what"]
    assert found["live.store"]["level"] == found["live.ledger"]["level"] == "ok"
    assert found["live.backups"]["level"] == "skipped"
    alone = _findings(here.run("doctor", "--go-live", "bkash", "--json", env=shop.env))
    assert alone["live.app"]["level"] == "fail"


def test_doctor_without_a_store_looks_at_gateways_only(here: Here, shop: ShopApp) -> None:
    found = _findings(here.run("doctor", "--json", env=shop.env))
    assert found["store"]["level"] == "skipped"
    assert found["bkash.reach"]["level"] == "ok"


def test_doctor_sees_entries_that_were_set_aside(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.paid(reference, amount)

    async def park(payments: object) -> None:
        from vextrus_payments.records import OutboxKind

        store = payments.store  # type: ignore[attr-defined]
        (row,) = await store.lease(OutboxKind.LEDGER, limit=1, lease_s=60)
        await store.nack(row, retry_at=None, why="the account is closed")

    shop.did(park)
    found = _findings(_run(here, shop, "doctor", "--json"))
    assert found["outbox.ledger.parked"]["level"] == "fail"
    assert "vextrus-pay outbox" in found["outbox.ledger.parked"]["do"]
    story = " ".join(_run(here, shop, "explain", reference).out.split())
    assert "it was set aside after 1 try: the account is closed" in story


# --- ledger balance -------------------------------------------------------------------------------------------------


def test_the_clearing_account_equals_the_gateways_books(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.paid(reference, amount)
    done = _run(here, shop, "ledger", "balance", "--json")
    (row,) = done.document["accounts"]
    assert (row["ledger"], row["gateway_holds"], row["difference"]) == (amount, amount, "0.00")
    assert (done.code, done.document["equal"]) == (0, True)
    shown = _run(here, shop, "ledger", "balance")
    assert amount in shown.out and "(1 waiting)" in shown.out


def test_a_difference_is_an_exit_code_and_a_name(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    session = shop.unknown(reference, amount)
    shop.paid(f"{reference}-B", f"{float(amount) + 300:.2f}")
    done = _run(here, shop, "ledger", "balance", "--json")
    (row,) = done.document["accounts"]
    assert done.code == 1
    assert row["difference"] == f"-{amount}"
    assert session.payment_id in row["look_at"][0] and "the gateway" in row["look_at"][0]
    assert any("nobody knows yet" in line for line in row["look_at"])
    _run(here, shop, "reconcile", session.payment_id)
    assert _run(here, shop, "ledger", "balance").code == 0


def test_what_was_paid_out_is_in_both_books_or_named(here: Here, shop: ShopApp, reference: str) -> None:
    def asked(name: str) -> PayoutRequest:
        return PayoutRequest(
            operation_id=f"{reference}/{name}",
            gateway="bkash",
            amount=Money("20.50"),
            receiver="01770618575",
            reference="salary",
        )

    shop.did(lambda payments: payments.payout(asked("paid")))
    equal = _run(here, shop, "ledger", "balance", "--json")
    (row,) = equal.document["accounts"]
    assert (equal.code, row["ledger"], row["gateway_holds"], row["difference"]) == (
        0,
        "-20.50",
        "-20.50",
        "0.00",
    )
    shop.sandbox.order("payout", "drop_after")
    shop.did(lambda payments: payments.payout(asked("lost")))
    differs = _run(here, shop, "ledger", "balance", "--json")
    (row,) = differs.document["accounts"]
    assert (differs.code, row["difference"]) == (1, "20.50")
    (named,) = (line for line in row["look_at"] if "payout status" in line)
    assert "unknown here, and the gateway sent 20.50 BDT" in named and f"{reference}/lost" in named


def test_a_payout_under_review_is_seen_and_ended(here: Here, shop: ShopApp, reference: str) -> None:
    name = f"{reference}/salary"
    request = PayoutRequest(
        operation_id=name, gateway="bkash", amount=Money("20.50"), receiver="01770618575", reference="salary"
    )
    shop.did(lambda payments: payments.payout(request))
    assert _findings(_run(here, shop, "doctor", "--json"))["payout_review"]["level"] == "ok"
    shop.did(lambda payments: told_otherwise(payments, name, "25"))
    found = _findings(_run(here, shop, "doctor", "--json"))["payout_review"]
    assert found["level"] == "warn" and f"payout resolve {name}" in found["do"]
    (listed,) = _run(here, shop, "payout", "list", "--unsettled", "--json").document["payouts"]
    assert (listed["operation_id"], listed["in_review"], listed["state"]) == (name, True, "succeeded")
    assert "under review" in _run(here, shop, "payout", "list", "--unsettled").out
    for command in (("payout", "resolve", name), ("explain", name)):
        told = _run(here, shop, *command).out
        assert "Booked: 20.50 BDT under" in told and "The gateway says: 25.00 BDT under" in told
    assert _run(here, shop, "payout", "status", name).code == 3
    trx, version = listed["transaction_id"], str(listed["version"])
    said = ("--actor", "rahim", "--reason", "The statement has it so", "--evidence", "line 12")
    answer = ("--made", trx, "--amount", "25", *said)
    for wrong in (("--cleared", *answer, "--reviewed", version), ("--cleared", *said), answer):
        assert _run(here, shop, "payout", "resolve", name, *wrong).code == 2
    refused = _run(here, shop, "payout", "resolve", name, "--not-made", *said, "--reviewed", version)
    assert refused.code == 4 and "outranks" in refused.error
    for _ in range(2):  # who does not know whether his answer was taken gives it once more
        done = _run(here, shop, "payout", "resolve", name, *answer, "--reviewed", version, "--json")
        assert (done.code, done.document["payout"]["in_review"]) == (0, False)
    other = _run(here, shop, "resolve", listed["payout_id"], "--cleared", *said, "--reviewed", version)
    assert other.code == 4 and "version" in other.error
    assert "Sent: 25.00 BDT" in _run(here, shop, "payout", "status", name).out
    assert _run(here, shop, "payout", "list", "--unsettled", "--json").document["payouts"] == []
    assert "booked anew" in _run(here, shop, "explain", name).out
    # His answer was a mistake: it is under review again, and what is booked stays booked.
    version = str(done.document["payout"]["version"])
    both = ("--taken-back", "--cleared", *said, "--reviewed", version)
    assert _run(here, shop, "payout", "resolve", name, *both).code == 2
    back = _run(here, shop, "payout", "resolve", name, "--taken-back", *said, "--reviewed", version, "--json")
    assert (back.code, back.document["payout"]["in_review"]) == (0, True)
    assert _run(here, shop, "payout", "status", name).code == 3
    version = str(back.document["payout"]["version"])
    again = _run(here, shop, "payout", "resolve", name, "--taken-back", *said, "--reviewed", version)
    assert again.code == 4 and "none that could be taken back" in again.error


def test_a_payout_that_left_late_is_seen(here: Here, shop: ShopApp, reference: str) -> None:
    """The gateway refused it, and tells of it later: the shop may have paid again."""
    name = f"{reference}/salary"
    request = PayoutRequest(
        operation_id=name, gateway="bkash", amount=Money("900000"), receiver="01770618575", reference="salary"
    )
    shop.did(lambda payments: payments.payout(request))
    shop.did(lambda payments: told_otherwise(payments, name, "900000", "LATE1"))
    found = _findings(_run(here, shop, "doctor", "--json"))["payout_review"]
    assert found["level"] == "warn" and f"payout resolve {name}" in found["do"]
    told = _run(here, shop, "payout", "resolve", name).out
    assert "after it was called not made" in told and "under review" in told


def test_a_gateway_that_tells_nothing_is_no_difference(
    here: Here, shop: ShopApp, reference: str, amount: str
) -> None:
    shop.paid(reference, amount)
    done = here.run("ledger", "balance", "--store", f"sqlite:///{shop.database}", "--json")
    (row,) = done.document["accounts"]
    assert (done.code, row["gateway_holds"]) == (0, None) and "could not be asked" in row["not_compared"]
    named = here.run(
        "ledger", "balance", "--store", f"sqlite:///{shop.database}", "--sandbox", shop.sandbox.url, "--json"
    )
    assert named.document["accounts"][0]["difference"] == "0.00"
    other = here.run("ledger", "balance", "--store", f"sqlite:///{shop.database}", "--mode", "live", "--json")
    assert other.document == {"accounts": [], "equal": True, "exit_code": 0}
    assert here.run("ledger", "balance", "--mode", "test").code == 2


# --- in a pipe ------------------------------------------------------------------------------------------------------


def test_help_has_examples(here: Here) -> None:
    for command in ("explain", "reconcile", "resolve", "doctor"):
        done = here.run(command, "--help")
        assert done.code == 0 and "Examples:" in done.out, command
    done = here.run("ledger", "balance", "--help")
    assert "Examples:" in done.out


@pytest.mark.slow
def test_piped_output_is_plain(shop: ShopApp, reference: str, amount: str) -> None:
    shop.unknown(reference, amount)
    user = User(shop.folder / "home")
    done = user.run("reconcile", "--app", shop.app, env=shop.env)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out + done.err
    story = user.run("explain", reference, "--app", shop.app, env={**shop.env, "COLUMNS": "60"})
    assert "\x1b" not in story.out and max(map(len, story.out.splitlines())) <= 60

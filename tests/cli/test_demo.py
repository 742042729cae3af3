"""`vextrus-pay demo`: what it shows is true, and its exit code says whether the books agree."""

import asyncio
import copy
import dataclasses
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import COMMAND, PATIENCE_S, User
from vextrus_payments import cli
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Paid
from vextrus_payments_sandbox.demo import AMOUNT, REFUND, run
from vextrus_payments_sandbox.demo_faults import PLAYS
from vextrus_payments_sandbox.demo_report import document, exit_of, judge
from vextrus_payments_sandbox.demo_script import Script
from vextrus_payments_sandbox.demo_stage import Record

PLAIN: Script = PLAYS["bkash"][""]
SCRIPTS = {name: script for name, script in PLAYS["bkash"].items() if name}


def _clearing(entries: list[dict[str, Any]]) -> Decimal:
    """The clearing accounts' balance, summed here and nowhere else."""
    total = Decimal(0)
    for entry in entries:
        balance = Decimal(0)
        for posting in entry["postings"]:
            assert posting["side"] in ("debit", "credit")
            assert posting["currency"] == "BDT"
            assert isinstance(posting["amount"], str)
            signed = Decimal(posting["amount"]) * (1 if posting["side"] == "debit" else -1)
            balance += signed
            total += signed if "clearing" in posting["account"] else 0
        assert balance == 0, "an entry balances"
        assert entry["mode"] == "sandbox"
    return total


def _gateway_says(books: dict[str, Any]) -> Decimal:
    paid = [p for p in books["payments"] if p["state"] == "Completed"]
    return sum((Decimal(p["amount"]) - Decimal(p["refunded"]) for p in paid), Decimal(0))


def _executes(shown: dict[str, Any]) -> list[dict[str, Any]]:
    return [c for c in shown["wire"]["calls"] if c["operation"] == "execute"]


def test_it_is_one_document(user: User) -> None:
    done = user.run("demo", "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    shown = done.document
    assert {"steps", "wire", "entries", "books"} <= shown.keys()
    assert [step["step"] for step in shown["steps"]] == [
        "initialize",
        "page",
        "return",
        "webhook",
        "refund",
        "ledger",
    ]
    assert [entry["kind"] for entry in shown["entries"]] == ["payment.received", "payment.refunded"]
    assert len({entry["id"] for entry in shown["entries"]}) == 2
    assert _clearing(shown["entries"]) == _gateway_says(shown["books"]) == AMOUNT.decimal - REFUND.decimal
    assert [c["operation"] for c in shown["wire"]["calls"]] == [
        "grant",
        "create",
        "execute",
        "refund_status",
        "refund",
    ]
    assert shown["books"]["equal"] is True
    assert [event["kind"] for event in shown["events"]] == ["payment.paid", "refund.succeeded"]


def test_a_person_sees_each_step(user: User) -> None:
    done = user.run("demo")
    assert done.code == 0, done.err
    flowed = " ".join(done.out.split())
    for text in (
        "A session for 1250.50 BDT, as INV-8812 at bKash.",
        "Ledger entries",
        "execute 200",
        "+1250.50",
        "-450.25",
        "gateway_clearing:bkash:sandbox",
        "800.25 BDT",
        "agree to the last paisa",
        " sandbox serve",
    ):
        assert text in flowed
    assert not user.home.exists(), "it has a home of its own, and takes it away again"


def test_on_an_old_code_page_it_falls_back(user: User) -> None:
    old = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = user.run("demo", "--fault", "declined", env=old, encoding="cp1252")
    assert done.code == 0, done.err
    assert done.out.isascii()
    assert "Declined" in done.out
    assert "yes every entry balances" in done.out


def test_nothing_is_left_in_the_temporary_folder(user: User, tmp_path: Path) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    named = {"TMPDIR": str(place), "TEMP": str(place), "TMP": str(place)}
    assert user.run("demo", "--json", env=named).code == 0
    assert list(place.iterdir()) == []


def test_live_credentials_in_the_environment_are_not_touched(user: User) -> None:
    live = {
        "BKASH_MODE": "live",
        "BKASH_APP_KEY": "canary-key",
        "BKASH_APP_SECRET": "canary-secret",
        "BKASH_USERNAME": "canary-username",
        "BKASH_PASSWORD": "canary-password",
    }
    done = user.run("demo", "--json", env=live)
    assert done.code == 0, done.err
    assert "canary" not in done.out
    assert {entry["mode"] for entry in done.document["entries"]} == {"sandbox"}


async def test_demos_side_by_side_do_not_meet() -> None:
    records = await asyncio.gather(*(run(PLAIN) for _ in range(3)))
    assert [exit_of(record, judge(record)) for record in records] == [0, 0, 0]


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=list(SCRIPTS))
async def test_every_fault_ends_as_its_story_says(script: Script) -> None:
    record = await _record(script)
    verdict = judge(record)
    shown = document(record, verdict)
    assert record.error is None
    assert verdict.good, [check for check in verdict.checks if not check.holds]
    assert shown["outcome"] == script.ends
    assert _clearing(shown["entries"]) == _gateway_says(shown["books"])
    assert sum(c["moved_money"] for c in _executes(shown)) == (1 if script.ends == "paid" else 0)
    assert all(step["text"] for step in shown["steps"])


async def test_a_lost_answer_is_unknown_then_found() -> None:
    shown = await _shown("lost-answer")
    by_name = {step["step"]: step for step in shown["steps"]}
    assert by_name["return"]["outcome"] == "unknown"
    assert by_name["return"]["moved"] is None
    assert by_name["status"]["outcome"] == "paid"
    (execute,) = _executes(shown)
    assert (execute["status"], execute["moved_money"], execute["fault"]) == (None, True, "drop_after")
    kinds = [event["kind"] for event in shown["events"]]
    assert kinds.index("payment.unknown_opened") < kinds.index("payment.unknown_resolved")


async def test_a_webhook_is_the_first_word_of_a_lost_answer() -> None:
    shown = await _shown("webhook")
    by_name = {step["step"]: step for step in shown["steps"]}
    assert "status" not in by_name, "nobody looks but because the webhook said so"
    assert by_name["return"]["outcome"] == "unknown"
    assert (by_name["webhook"]["outcome"], by_name["webhook"]["moved"]) == ("paid", f"+{AMOUNT}")
    asked = [c for c in shown["wire"]["calls"] if c["seq"] in by_name["webhook"]["calls"]]
    assert [c["operation"] for c in asked] == ["query"]
    assert len(_executes(shown)) == 1


async def test_a_webhook_that_tells_what_is_known_asks_nothing() -> None:
    record = await _record(PLAIN)
    (step,) = [step for step in record.steps if step.name == "webhook"]
    assert step.calls == [] and step.outcome is None
    (told,) = [one for one in record.webhooks["deliveries"] if one["type"] == "Notification"]
    assert told["status"] == 200 and record.webhooks["confirmed"] is True


async def test_a_double_click_is_one_execute() -> None:
    shown = await _shown("double-click")
    assert len(_executes(shown)) == 1
    (step,) = [step for step in shown["steps"] if step["step"] == "return"]
    assert "2 tabs on 2 servers, one answer" in step["text"]


async def test_a_duplicate_return_sends_nothing() -> None:
    shown = await _shown("duplicate-return")
    assert len(_executes(shown)) == 1
    (step,) = [step for step in shown["steps"] if step["step"] == "reload"]
    assert step["calls"] == []
    assert step["outcome"] == "paid"


async def test_a_lost_refund_is_refunded_once() -> None:
    shown = await _shown("lost-refund")
    by_name = {step["step"]: step for step in shown["steps"]}
    assert by_name["refund"]["outcome"] == "unknown"
    assert by_name["refund-status"]["outcome"] == "refunded"
    refunds = [c for c in shown["wire"]["calls"] if c["operation"] == "refund"]
    assert [c["moved_money"] for c in refunds] == [True]


async def test_a_lost_create_takes_a_fresh_order_id() -> None:
    shown = await _shown("lost-create")
    invoices = [p["invoice"] for p in shown["books"]["payments"]]
    assert invoices == ["INV-8812", "INV-8812-2"]
    assert [p["transaction_id"] is None for p in shown["books"]["payments"]] == [True, False]


@pytest.mark.parametrize("name", ["lost_answer", "LOST-ANSWER"])
def test_fault_names_are_taken_as_people_write_them(name: str, user: User) -> None:
    done = user.run("demo", "--json", "--fault", name)
    assert done.code == 0
    assert done.document["fault"] == "lost-answer"


def test_a_wrong_fault_lists_the_names(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--fault", "lost"]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    for name in SCRIPTS:
        assert name in shown.err


async def _shown(name: str) -> dict[str, Any]:
    record = await _record(SCRIPTS[name])
    assert record.error is None
    return document(record, judge(record))


_RECORDS: dict[str, Record] = {}


async def _record(script: Script) -> Record:
    """What a run of this script left behind: run once, and a copy for each who asks."""
    if script.name not in _RECORDS:
        _RECORDS[script.name] = await run(script)
    return copy.deepcopy(_RECORDS[script.name])


# --- books that differ ------------------------------------------------------------------------------------------------


async def test_a_lost_entry_is_noticed() -> None:
    record = await _record(PLAIN)
    record.entries.pop(next(reversed(record.entries)))
    verdict = judge(record)
    assert not verdict.good
    assert verdict.rows[0].ledger == AMOUNT
    assert verdict.rows[0].sandbox == AMOUNT - REFUND
    assert exit_of(record, verdict) == 1


async def test_a_second_execute_is_noticed() -> None:
    record = await _record(PLAIN)
    calls = list(record.wire["calls"])
    record.wire = {"calls": [*calls, *[c for c in calls if c["operation"] == "execute"]]}
    assert exit_of(record, judge(record)) == 1


async def test_money_that_only_the_gateway_knows_is_noticed() -> None:
    record = await _record(SCRIPTS["declined"])
    (payment,) = record.books["payments"]
    record.books = {**record.books, "payments": [{**payment, "captured": "1250.50"}]}
    assert exit_of(record, judge(record)) == 1


async def test_another_end_than_the_story_s_is_noticed() -> None:
    record = await _record(SCRIPTS["declined"])
    record.outcome = Paid(payment_id="p", amount=Money("1"), transaction_id="t")
    assert exit_of(record, judge(record)) == 1


async def test_a_run_that_breaks_off_keeps_what_it_saw() -> None:
    orders = ({"operation": "create", "fault": "code_before;code=2002"},)
    record = await run(dataclasses.replace(PLAIN, at_initialize=orders))
    assert record.error is not None
    shown = document(record, judge(record))
    assert [step["step"] for step in shown["steps"]] == ["initialize"]
    assert shown["wire"]["calls"][-1]["operation"] == "create"
    assert exit_of(record, judge(record)) in (1, 2, 3, 4)


# --- Nagad ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PLAYS["nagad"]))
async def test_nagad_ends_with_equal_books_whatever_goes_wrong(name: str) -> None:
    record = await run(PLAYS["nagad"][name])
    assert record.error is None
    verdict = judge(record)
    assert verdict.good, [check.what for check in verdict.checks if not check.holds]
    shown = document(record, verdict)
    assert shown["gateway"] == "nagad" and shown["outcome"] == "paid"
    assert _clearing(shown["entries"]) == AMOUNT.decimal - REFUND.decimal
    wanted = {"lost-complete": 2, "wrong-key": 2}.get(name, 1)
    assert sum(call["operation"] == "initialize" for call in shown["wire"]["calls"]) == wanted
    assert sum(call["operation"] == "refund" for call in shown["wire"]["calls"]) == 1
    assert "webhook" not in [step["step"] for step in shown["steps"]]


@pytest.mark.parametrize("name", sorted(PLAYS["sslcommerz"]))
async def test_sslcommerz_ends_with_equal_books_whatever_goes_wrong(name: str) -> None:
    record = await run(PLAYS["sslcommerz"][name])
    assert record.error is None
    verdict = judge(record)
    assert verdict.good, [check.what for check in verdict.checks if not check.holds]
    shown = document(record, verdict)
    assert shown["gateway"] == "sslcommerz" and shown["outcome"] == "paid"
    kinds = sorted(entry["kind"] for entry in shown["entries"])
    assert kinds == ["payment.fee", "payment.received", "payment.refunded"]
    assert _clearing(shown["entries"]) == AMOUNT.decimal - REFUND.decimal - Decimal("31.26")  # 2.5 %
    wanted = 2 if name == "lost-session" else 1
    assert sum(call["operation"] == "session" for call in shown["wire"]["calls"]) == wanted
    assert sum(call["operation"] == "refund" for call in shown["wire"]["calls"]) == 1


def test_nagads_faults_are_its_own(user: User) -> None:
    refused = user.run("demo", "--gateway", "nagad", "--fault", "expired-token")
    assert refused.code == 2 and "the faults are" in refused.error and "lost-complete" in refused.error
    assert user.run("demo", "--gateway", "rocket").code == 2
    shown = user.run("demo", "--gateway", "nagad")
    assert shown.code == 0 and "One Nagad payment" in shown.out and "Calls to Nagad" in shown.out


def _without_loopback() -> bool:
    """Whether a command can be run here in a network of its own, in which no interface is up."""
    unshare = shutil.which("unshare")
    return (
        unshare is not None and subprocess.run([unshare, "-n", "true"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not _without_loopback(), reason="nobody here may take the network away from a command")
@pytest.mark.parametrize("command", [("demo",), ("demo", "--json"), ("sandbox", "serve", "--port", "0")])
def test_a_machine_without_loopback_is_told_so(command: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["unshare", "-n", *COMMAND, *command], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 2 and "bug" not in done.stderr
    (told,) = done.stderr.splitlines()
    assert "cannot reach it there (Network is unreachable). No money moved." in told and "loopback" in told
    if "--json" in command:
        assert json.loads(done.stdout)["error"]["code"] == "sandbox_unreachable"
    else:
        assert done.stdout == ""

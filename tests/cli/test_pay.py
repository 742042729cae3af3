"""`vextrus-pay pay`, against the sandbox that `vextrus-pay sandbox serve` runs."""

import asyncio
import json
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Done, Gateway, Here, Running, User
from vextrus_payments_sandbox import walk as walker
from vextrus_payments_sandbox.walk import come_back, walk

posix_signals = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")


def _pay(
    user: User | Here, *more: str, amount: str, reference: str, env: dict[str, str] | None = None
) -> Done:
    asked = ("--amount", amount, "--reference", reference)
    return user.run("pay", "bkash", *asked, "--approve", "--json", *more, env=env)


def test_two_lines_session_then_outcome(user: User, sandbox: Gateway, amount: str, reference: str) -> None:
    done = _pay(user, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert (done.code, done.err) == (0, "")
    session, outcome = done.lines
    assert (session["type"], outcome["type"]) == ("session", "outcome")
    assert session["payment_id"] == outcome["payment_id"]
    assert session["checkout_url"].startswith(sandbox.url)
    assert (session["amount"], session["currency"]) == (amount, "BDT")
    assert outcome["outcome"] == "paid"
    assert outcome["amount"] == amount
    assert outcome["payer_account"] == "017****8575"
    booked = sandbox.payment(session["gateway_reference"])
    assert booked["transaction_id"] == outcome["transaction_id"]
    assert (booked["state"], booked["amount"], booked["invoice"]) == ("Completed", amount, reference)
    assert len(sandbox.calls("execute", session["gateway_reference"])) == 1


def test_a_person_sees_the_outcome_and_what_next(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    done = user.run(
        "pay", "bkash", "--amount", amount, "--reference", reference, "--approve", "--sandbox", sandbox.url
    )
    assert (done.code, done.err) == (0, "")
    assert f"Paid: {amount} BDT" in done.out
    assert "01770618575" not in done.out, "an account is masked"
    assert "vextrus-pay status pay_" in done.out
    assert "vextrus-pay refund pay_" in done.out


def test_on_an_old_code_page_it_falls_back(user: User, sandbox: Gateway, amount: str, reference: str) -> None:
    old = {"PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    sandbox.order("execute", "code_before;code=2023")
    done = user.run(
        "pay",
        "bkash",
        "--amount",
        amount,
        "--reference",
        reference,
        "--approve",
        "--sandbox",
        sandbox.url,
        env=old,
        encoding="cp1252",
    )
    assert done.code == 1, done.err
    assert "Declined" in done.out
    assert "In Bangla" in done.out, "what it cannot show becomes a question mark, and nothing breaks"


def test_without_anything_named_it_brings_a_sandbox_of_its_own(user: User) -> None:
    for _ in range(2):  # each is a world of its own: the reference was never paid there
        done = _pay(user, amount="100", reference="INV-1")
        assert (done.code, done.err) == (0, "")
        assert done.lines[1]["outcome"] == "paid"
    assert sorted(path.name for path in user.home.iterdir() if path.suffix == ".db") == [
        "payments-sandbox.db"
    ]


def test_the_environment_names_the_gateway(
    here: Here, sandbox: Gateway, amount: str, reference: str, tmp_path: Path
) -> None:
    named = sandbox.variables()
    secret = tmp_path / "app_secret"
    secret.write_text(named.pop("BKASH_APP_SECRET") + "\n", encoding="utf-8")
    named["BKASH_APP_SECRET_FILE"] = str(secret)
    done = _pay(here, amount=amount, reference=reference, env=named)
    assert done.code == 0, done.err
    assert done.lines[0]["sandbox"] is None
    assert sandbox.payment(done.lines[0]["gateway_reference"])["state"] == "Completed"


def test_one_token_serves_every_command(here: Here, sandbox: Gateway) -> None:
    before = len(sandbox.calls("grant"))
    for number in (1, 2):
        asked = {"amount": f"9{number}.50", "reference": f"TOKEN-{number}"}
        assert _pay(here, "--sandbox", sandbox.url, **asked).code == 0
    assert len(sandbox.calls("grant")) == before + 1


def test_one_reference_is_charged_once(here: Here, sandbox: Gateway, amount: str, reference: str) -> None:
    first = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    second = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert (first.code, second.code) == (0, 4)
    error = second.document["error"]
    assert error["type"] == "AlreadyPaidError"
    assert error["other_payment_id"] == first.lines[0]["payment_id"]
    assert f"vextrus-pay status {first.lines[0]['payment_id']}" in second.error
    assert "--allow-repeat" in second.error
    made = [c for c in sandbox.calls("execute", first.lines[0]["gateway_reference"]) if c["moved_money"]]
    assert len(made) == 1


def test_the_same_operation_id_is_the_same_payment(
    here: Here, sandbox: Gateway, amount: str, reference: str
) -> None:
    more = ("--sandbox", sandbox.url, "--operation-id", f"order-{reference}")
    first = _pay(here, *more, amount=amount, reference=reference)
    again = _pay(here, *more, amount=amount, reference=reference)
    assert (first.code, again.code) == (0, 0)
    assert first.lines[1]["transaction_id"] == again.lines[1]["transaction_id"]
    assert len(sandbox.calls("execute", first.lines[0]["gateway_reference"])) == 1
    other = _pay(here, *more, amount="7", reference=reference)
    assert other.code == 4
    assert other.document["error"]["type"] == "OperationConflictError"


def test_a_hold_is_authorized(here: Here, sandbox: Gateway, amount: str, reference: str) -> None:
    done = _pay(
        here, "--sandbox", sandbox.url, "--intent", "authorization", amount=amount, reference=reference
    )
    assert done.code == 0, done.err
    assert done.lines[1]["outcome"] == "authorized"


# --- answers that get lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "error_5xx_after", "malformed", "html", "message_only"])
def test_a_lost_answer_is_found_again(
    here: Here, sandbox: Gateway, amount: str, reference: str, fault: str
) -> None:
    sandbox.order("execute", fault)
    sandbox.order("query", "malformed_before")
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert done.code == 0, done.out + done.err
    assert done.lines[1]["outcome"] == "paid"
    executes = sandbox.calls("execute", done.lines[0]["gateway_reference"])
    assert [(call["moved_money"], call["fault"]) for call in executes] == [(True, fault)]


def test_what_nobody_can_tell_is_unknown_and_found_by_status_later(
    here: Here, sandbox: Gateway, amount: str, reference: str
) -> None:
    sandbox.order("execute", "drop_after")
    sandbox.order("query", "malformed_before", times=1000)
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert done.code == 3
    payment_id = done.lines[1]["payment_id"]
    assert done.lines[1]["outcome"] == "unknown"
    still = here.run("status", payment_id)
    assert still.code == 3
    assert "Unknown" in still.out
    sandbox.clear_faults()
    found = here.run("status", payment_id, "--json")
    assert found.code == 0
    assert found.document["outcome"] == "paid"
    assert found.document["refunds"] == []
    assert len(sandbox.calls("execute", done.lines[0]["gateway_reference"])) == 1


def test_a_walker_without_patience_does_not_call_it_unpaid(
    here: Here, sandbox: Gateway, amount: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vextrus_payments_sandbox.walk._RETURN_TIMEOUT_S", 0.2)
    sandbox.order("execute", "delay_after;seconds=1")
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert (done.code, done.err) == (0, "")
    assert done.lines[1]["outcome"] == "paid"


def test_a_page_that_cannot_be_walked_leaves_nothing_sent(
    here: Here, sandbox: Gateway, amount: str, reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walker, "_HOPS_MAX", 1)
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert done.code == 4
    assert "could not be walked" in done.error
    assert sandbox.calls("execute", done.lines[0]["gateway_reference"]) == []


def test_declined_says_why_in_both_languages(
    here: Here, sandbox: Gateway, amount: str, reference: str
) -> None:
    sandbox.order("execute", "code_before;code=2023")
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert done.code == 1
    outcome = done.lines[1]
    assert (outcome["outcome"], outcome["reason"]) == ("declined", "insufficient_balance")
    assert outcome["gateway_code"] == "2023"
    assert not outcome["text_bn"].isascii()
    assert done.out.isascii(), "JSON is safe on every code page"


def test_nothing_sent_is_said(here: Here, sandbox: Gateway, amount: str, reference: str) -> None:
    sandbox.order("execute", "throttled", times=50)
    done = _pay(here, "--sandbox", sandbox.url, amount=amount, reference=reference)
    assert done.code == 4
    assert (done.lines[1]["outcome"], done.lines[1]["sent"]) == ("pending", False)
    assert sandbox.payment(done.lines[0]["gateway_reference"])["state"] == "Initiated"


def test_a_sandbox_that_is_not_there(here: Here) -> None:
    done = _pay(here, "--sandbox", "http://127.0.0.1:1", amount="100", reference="INV-1")
    assert done.code == 4
    assert done.document["error"]["effect"] == "none"
    assert "vextrus-pay sandbox serve" in done.error
    assert "No money moved." in done.error


def test_wrong_credentials_are_configuration(
    here: Here, sandbox: Gateway, amount: str, reference: str
) -> None:
    wrong = sandbox.variables() | {"BKASH_PASSWORD": "canary-password", "BKASH_USERNAME": "canary-username"}
    done = _pay(here, amount=amount, reference=reference, env=wrong)
    assert done.code == 2, done.err
    assert "canary" not in done.out + done.err


# --- a payer who comes, or does not -----------------------------------------------------------------------------


def _waiting(running: Running) -> dict[str, Any]:
    session: dict[str, Any] = json.loads(running.line())
    assert session["type"] == "session"
    return session


def test_a_payer_in_a_browser(user: User, sandbox: Gateway, amount: str, reference: str) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--json", "--sandbox", sandbox.url)
    with user.start(*asked) as running:
        session = _waiting(running)
        return_url = asyncio.run(walk(session["checkout_url"]))
        assert asyncio.run(come_back(return_url)) == 200
        done = running.end()
    assert done.code == 0, done.err
    assert json.loads(done.out)["outcome"] == "paid"


def test_a_forged_return_neither_pays_nor_ends_the_wait(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--json", "--sandbox", sandbox.url)
    with user.start(*asked) as running:
        session = _waiting(running)
        door = session["return_url"].removesuffix("/bkash/return")
        return_url = asyncio.run(walk(session["checkout_url"]))
        assert return_url.url.startswith(session["return_url"])
        with httpx.Client(trust_env=False) as browser:
            other = browser.get(f"{door}/bkash/return?paymentID=TR0011other&status=success")
            nothing = browser.get(f"{door}/bkash/return")
            nagad = browser.get(
                f"{door}/nagad/return?paymentID={session['gateway_reference']}&status=success"
            )
        assert (other.status_code, nothing.status_code, nagad.status_code) == (404, 404, 404)
        assert running.process.poll() is None
        assert sandbox.calls("execute", session["gateway_reference"]) == []
        assert asyncio.run(come_back(return_url)) == 200
        assert running.end().code == 0


def test_an_early_return_does_not_end_the_wait(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--json", "--sandbox", sandbox.url)
    with user.start(*asked) as running:
        session = _waiting(running)
        forged = f"{session['return_url']}?paymentID={session['gateway_reference']}&status=success"
        early = httpx.get(forged, trust_env=False, timeout=60)
        assert "Not finished yet" in early.text
        assert running.process.poll() is None
        assert asyncio.run(come_back(asyncio.run(walk(session["checkout_url"])))) == 200
        done = running.end()
    assert (done.code, json.loads(done.out)["outcome"]) == (0, "paid")
    moved = [c["moved_money"] for c in sandbox.calls("execute", session["gateway_reference"])]
    assert moved.count(True) == 1


def test_a_payer_who_cancels_is_never_executed(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--json", "--sandbox", sandbox.url)
    with user.start(*asked) as running:
        session = _waiting(running)
        asyncio.run(come_back(asyncio.run(walk(session["checkout_url"], action="Cancel"))))
        done = running.end()
    assert done.code == 1
    assert json.loads(done.out)["reason"] == "payment_cancelled"
    assert sandbox.calls("execute", session["gateway_reference"]) == []


def test_a_payer_who_does_not_come_leaves_it_pending(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ["pay", "bkash", "--amount", amount, "--reference", reference, "--sandbox", sandbox.url]
    done = user.run(*asked, "--wait-s", "1")
    assert done.code == 3
    assert "the payer has not finished" in done.out
    again = done.out.partition("Wait again:")[2].split()
    assert again[:3] == ["vextrus-pay", "pay", "bkash"]
    with user.start(*again[1:], "--json") as running:
        session = _waiting(running)
        assert sandbox.payment(session["gateway_reference"])["invoice"] == reference
        asyncio.run(come_back(asyncio.run(walk(session["checkout_url"]))))
        assert running.end().code == 0
    assert len(sandbox.calls("create", session["gateway_reference"])) == 1


@posix_signals
def test_interrupted_says_where_to_look(user: User, sandbox: Gateway, amount: str, reference: str) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--json", "--sandbox", sandbox.url)
    with user.start(*asked) as running:
        session = _waiting(running)
        running.process.send_signal(signal.SIGINT)
        done = running.end()
    assert done.code == 130
    assert f"vextrus-pay status {session['payment_id']}" in done.error
    assert json.loads(done.out)["error"]["payment_id"] == session["payment_id"]
    looked = user.run("status", session["payment_id"], "--json")
    assert (looked.code, looked.document["outcome"]) == (3, "pending")
    assert looked.document["payment"]["gateway_reference"] == session["gateway_reference"]


@posix_signals
def test_interrupted_while_the_answer_is_on_its_way_it_is_still_recorded(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    for again, seconds in enumerate(
        (2, 8, 25)
    ):  # a machine that is too slow to interrupt in time gets more of it
        sandbox.order("execute", f"delay_after;seconds={seconds}")
        named = ("--amount", f"{again + 1}{amount}", "--reference", f"{reference}-{again}", "--json")
        with user.start("pay", "bkash", *named, "--sandbox", sandbox.url, "--approve") as running:
            session = _waiting(running)
            while not sandbox.calls("execute", session["gateway_reference"]):
                time.sleep(0.02)
            running.process.send_signal(signal.SIGINT)
            done = running.end()
        if done.code:
            break
    assert done.code == 130
    looked = user.run("status", session["payment_id"], "--json")
    assert (looked.code, looked.document["outcome"]) == (0, "paid")
    assert sandbox.calls("query", session["gateway_reference"]) == [], "nobody had to ask"


# --- live, and other ways to be wrong ---------------------------------------------------------------------------

_LIVE = {
    "BKASH_MODE": "live",
    "BKASH_APP_KEY": "canary-key",
    "BKASH_APP_SECRET": "canary-secret",
    "BKASH_USERNAME": "canary-username",
    "BKASH_PASSWORD": "canary-password",
}
_ASK = ("pay", "bkash", "--amount", "100", "--reference", "INV-1")


@pytest.mark.parametrize(
    ("environ", "more", "line"),
    [
        (_LIVE, (), "BKASH_MODE is live: this would move real money"),
        (_LIVE, ("--live",), "an https address"),
        (_LIVE, ("--live", "--approve"), "--approve walks the page of a sandbox"),
        (_LIVE | {"BKASH_MODE": "sandbox"}, ("--live",), "--live was given, but BKASH_MODE is sandbox"),
        (_LIVE | {"BKASH_MODE": "sandbox"}, ("--approve",), "--approve walks the page of a sandbox"),
        (_LIVE | {"BKASH_PASSWORD": ""}, ("--live",), "The environment lacks BKASH_PASSWORD."),
        ({"BKASH_APP_KEY": "canary-key"}, (), "BKASH_APP_SECRET, BKASH_USERNAME, BKASH_PASSWORD"),
        (_LIVE | {"BKASH_TIMEOUT_S": "soon"}, ("--live",), "BKASH_TIMEOUT_S"),
        ({}, ("--live",), "The environment lacks BKASH_APP_KEY"),
        ({}, ("--sandbox", "http://127.0.0.1:1", "--live"), "--live: A sandbox moves no real money"),
        ({}, ("--sandbox", "https://example.com"), "--sandbox: This is no sandbox's address"),
        ({}, ("--store", "memory://"), "A store in memory"),
        ({}, ("--store", "redis://x"), "kind of store that there is not"),
        ({}, ("--store", "postgresql://u:canary-pw@h/db"), "does not belong on a command line"),
        ({}, ("--wait-s", "0"), "--wait-s: '0' is no whole number from 1 to 86400."),
        ({}, ("--intent", "gift"), "--intent: 'gift' is not one of"),
        ({}, ("--operation-id", "with blank"), "--operation-id: does not fit"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    here: Here, environ: dict[str, str], more: tuple[str, ...], line: str
) -> None:
    done = here.run(*_ASK, *more, env=environ)
    assert (done.code, done.out) == (2, "")
    assert line in done.error
    assert "canary" not in done.err


@pytest.mark.parametrize(
    ("amount", "more", "line"),
    [
        ("1,500", (), "--amount: The amount is not a plain decimal"),
        ("100.005", (), "--amount: BDT has 2 decimal places"),
        ("0", (), "--amount: "),
        ("-5", (), "--amount: "),
        ("1e3", (), "--amount: "),
        ("NaN", (), "--amount: "),
        ("১০০", (), "--amount: "),
        ("0.50", (), "--amount: "),
        ("100", ("--currency", "usd"), "--currency: "),
        ("100", ("--currency", "USD"), "--currency: "),
    ],
)
def test_a_wrong_amount_names_its_option_and_the_rule(
    here: Here, amount: str, more: tuple[str, ...], line: str
) -> None:
    done = _pay(here, *more, amount=amount, reference="INV-1")
    assert done.code == 2
    assert done.error.startswith(line)
    assert "No money moved." in done.error
    error = done.document["error"]
    assert error["option"] == line.partition(":")[0]
    assert error["effect"] == "none"


def test_another_gateway_lists_what_there_is(here: Here) -> None:
    done = here.run("pay", "paypal", "--amount", "100", "--reference", "INV-1")
    assert done.code == 2
    assert "there is bkash" in done.error


def test_a_reference_that_is_no_ascii(here: Here) -> None:
    done = here.run("pay", "bkash", "--amount", "100", "--reference", "ইনভয়েস")
    assert done.code == 2
    assert done.error.startswith("--reference: ")


def test_a_home_that_cannot_be_made(here: Here, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = here.run(*_ASK, "--approve", env={"VEXTRUS_PAY_HOME": str(tmp_path / "file" / "home")})
    assert done.code == 2
    assert "VEXTRUS_PAY_HOME" in done.error


def test_a_store_that_cannot_be_opened_is_a_storage_matter(here: Here, tmp_path: Path) -> None:
    done = here.run(*_ASK, "--approve", "--store", f"sqlite:///{tmp_path.as_posix()}/none/x.db")
    assert done.code == 3
    assert "folder of the payment store does not exist" in done.error


def test_a_named_store_is_used_by_all(here: Here, sandbox: Gateway, amount: str, reference: str) -> None:
    store = f"sqlite:///{here.home.parent.as_posix()}/named.db"
    paid = _pay(here, "--sandbox", sandbox.url, "--store", store, amount=amount, reference=reference)
    assert paid.code == 0, paid.err
    payment_id = paid.lines[0]["payment_id"]
    assert here.run("status", payment_id).code == 2, "it is not in the home"
    looked = here.run("status", payment_id, "--json", env={"VEXTRUS_PAY_STORE": store})
    assert looked.code == 0
    assert Decimal(looked.document["payment"]["captured"]) == Decimal(amount)

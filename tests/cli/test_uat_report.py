"""`vextrus-pay bkash uat-report`: the whole report against a real sandbox, and every way in which it can fall short."""

import asyncio
import json
import re
import signal
import sys
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Done, Gateway, Here, User
from vextrus_payments.cli.uat_judging import check_not_executed, check_refused
from vextrus_payments.cli.uat_page import render
from vextrus_payments.cli.uat_run import FirstAnew
from vextrus_payments.cli.uat_scenarios import NotAsExpectedError, Report, scenarios
from vextrus_payments.cli.uat_wire import RecordingTransport, WireEntry, shown_address, shown_body
from vextrus_payments.clock import SystemClock
from vextrus_payments.errors import AnswerTimeoutError
from vextrus_payments.events import HintVerdict
from vextrus_payments.money import Money
from vextrus_payments.outcomes import Declined, Outcome, Paid, Pending
from vextrus_payments.reasons import Reason, ReasonCode
from vextrus_payments.secret import Secret
from vextrus_payments.testing import SecretCanary
from vextrus_payments.token_port import Token, TokenKey
from vextrus_payments.tokens import MemoryTokenBackend
from vextrus_payments.wire import Safety, WireRequest, WireResponse
from vextrus_payments_sandbox.walk import CUSTOMER, come_back, walk

CODES = ["success", "duplicate", "cancel", "wrong_otp", "insufficient_balance", "refund"]
posix_signals = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")


@pytest.fixture
def fresh(sandbox: Gateway) -> Gateway:
    """The sandbox without anything that earlier tests did: no payment of the same amount a minute ago."""
    httpx.post(f"{sandbox.url}/_sandbox/reset", trust_env=False).raise_for_status()
    return sandbox


def _report(here: Here | User, out: Path, sandbox: Gateway, *more: str) -> Done:
    return here.run("bkash", "uat-report", "--out", str(out), "--sandbox", sandbox.url, "--json", *more)


def _results(done: Done) -> dict[str, str]:
    return {one["code"]: one["result"] for one in done.lines[-1]["scenarios"]}


# ----------------------------------------------------------------------------------------------- the whole of it


def test_the_whole_report(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = _report(here, out, fresh, "--amount", "25")
    assert (done.code, done.err) == (0, "")
    (document,) = done.lines
    assert document["complete"] and (document["passed"], document["failed"], document["skipped"]) == (6, 0, 0)
    assert [one["code"] for one in document["scenarios"]] == CODES
    by_code = {one["code"]: one for one in document["scenarios"]}
    success, text = by_code["success"], out.read_text(encoding="utf-8")
    assert success["calls"] == [
        "Grant Token",
        "Create Payment",
        "Execute Payment",
        "Query Payment",
        "Search Transaction",
    ]
    assert by_code["refund"]["calls"] == ["Refund Status", "Refund", "Refund Status"]
    for code in ("cancel", "wrong_otp"):
        assert "Execute Payment" not in by_code[code]["calls"]
    for one in document["scenarios"]:
        assert one["gateway_reference"] in text and one["gateway_order_id"] in text and one["title"] in text
    assert text.count(success["gateway_reference"]) >= 8 and success["transaction_id"] in text
    assert text.count("&quot;statusCode&quot;: &quot;2029&quot;") == 1
    assert "This report is not complete" not in text and 'class="shot"' in text and "@media print" in text
    # What the sandbox saw is what the report tells.
    wire = httpx.get(f"{fresh.url}/_sandbox/wire", trust_env=False).json()["calls"]
    assert text.count('<div class="call">') == len(wire)
    for call in wire:
        assert f"POST {fresh.url}{call['path']}" in text
    booked = fresh.payment(success["gateway_reference"])
    assert (booked["captured"], booked["refunded"]) == ("25.00", "25.00")
    assert fresh.books()["problems"] == []
    # The samples are the one thing that a gateway would object to in operation.
    missed = here.run("sandbox", "manners", "--sandbox", fresh.url, "--json").document["missed"]
    assert [one["code"] for one in missed] == ["query_after_answer"]


def test_the_whole_report_of_a_merchant_on_v2(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out, env = tmp_path / "report.html", fresh.variables()
    env["BKASH_API_URL"] = env["BKASH_API_URL"].removesuffix("/v1.2.0-beta") + "/v2"
    done = here.run("bkash", "uat-report", "--out", str(out), "--json", "--amount", "26", env=env)
    assert (done.code, done.err) == (0, "")
    (document,) = done.lines
    assert (document["passed"], document["failed"], document["skipped"]) == (6, 0, 0)
    by_code = {one["code"]: one for one in document["scenarios"]}
    assert by_code["success"]["calls"] == [
        "Grant Token",
        "Create Payment",
        "Execute Payment",
        "Query Payment",
        "Search Transaction",
    ]
    assert by_code["refund"]["calls"] == ["Refund Status", "Refund", "Refund Status"]
    text = out.read_text(encoding="utf-8")
    assert "/v2/tokenized-checkout/payment/execute" in text and "v1.2.0-beta" not in text
    assert text.count("&quot;externalCode&quot;: &quot;2029&quot;") == 1
    assert by_code["success"]["transaction_id"] in text


def test_nothing_secret_is_in_it(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    known = fresh.info["gateways"]["bkash"]
    canary, out = SecretCanary(), tmp_path / "report.html"
    for name in ("app_key", "app_secret", "username", "password"):
        canary.plant(name, known[name])
    done = _report(here, out, fresh)
    assert done.code == 0
    text = out.read_text(encoding="utf-8") + done.out
    for name in ("app_key", "app_secret", "username", "password"):
        assert known[name] not in unescape(text), name
    assert "eyJ" not in text, "no token"
    for wallet in (CUSTOMER["wallet"], "01823074817"):
        assert wallet not in text and f"{wallet[:3]}****{wallet[-4:]}" in text
    assert not re.search(r"\b(?:12121|123456|000000)\b", text), "no PIN, no code"
    canary.assert_absent(text, tmp_path)


def test_it_fetches_nothing_and_runs_nothing(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert _report(here, out, fresh).code == 0
    text = out.read_text(encoding="utf-8")
    assert not re.search(r"<(?:script|link|img|iframe)|\bon\w+=|@import|url\(", text)
    assert "default-src 'none'" in text
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_without_anything_a_sandbox_of_its_own_is_used(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = here.run("bkash", "uat-report", "--out", str(out))
    assert done.code == 0
    assert (
        "Successful payment" in done.out and "passed" in done.out and str(out) in done.out.replace("\n", "")
    )
    assert "local sandbox" in out.read_text(encoding="utf-8")


# ----------------------------------------------------------------------------------------------- falling short


def test_a_failed_scenario_is_said_so(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    fresh.order("execute", "code_before;code=2056")
    done = _report(here, out, fresh)
    assert done.code == 1
    assert _results(done) == {
        "success": "failed",
        "duplicate": "skipped",
        "cancel": "passed",
        "wrong_otp": "passed",
        "insufficient_balance": "passed",
        "refund": "skipped",
    }
    text = out.read_text(encoding="utf-8")
    assert "This report is not complete" in text and "FAILED" in text and "not run" in text
    assert "It needs the successful payment." in text


def test_a_lost_answer_is_looked_up_and_told(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    fresh.order("execute", "drop_after")
    done = _report(here, out, fresh)
    assert (done.code, _results(done)["success"]) == (0, "passed")
    assert "no answer: AnswerLostError" in out.read_text(encoding="utf-8")
    assert len(fresh.calls("execute", done.lines[-1]["scenarios"][0]["gateway_reference"])) == 1


def test_a_sample_that_is_missing_fails_its_scenario(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    fresh.order("search", "code_before;code=2033", times=20)
    done = _report(here, out, fresh)
    assert (done.code, _results(done)["success"]) == (1, "failed")
    assert "Search Transaction does not find" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("outcome", "codes", "why"),
    [
        (Paid(payment_id="p", amount=Money("1", "BDT"), transaction_id="T"), ["0000"], "It was paid"),
        (Pending(payment_id="p", sent=True), [""], "not refused"),
        (Declined(payment_id="p", reason=Reason(code=ReasonCode.INVALID_PAYMENT)), ["2056"], "not 2029"),
        (Declined(payment_id="p", reason=Reason(code=ReasonCode.DUPLICATE_PAYMENT)), [], "nothing"),
        (Declined(payment_id="p", reason=Reason(code=ReasonCode.DUPLICATE_PAYMENT)), ["2029"], ""),
    ],
)
def test_a_duplicate_has_to_be_refused_as_one(outcome: Outcome, codes: list[str], why: str) -> None:
    scenario = scenarios()[1]
    scenario.calls = [_entry("Execute Payment", code) for code in codes]
    try:
        check_refused(scenario, outcome, "2029")
        told = ""
    except NotAsExpectedError as wrong:
        told = str(wrong)
    assert why in told and bool(why) == bool(told)


@pytest.mark.parametrize(
    ("verdict", "executed", "why"),
    [
        (HintVerdict.CANCEL, False, ""),
        (HintVerdict.FAILURE, False, "not cancel"),
        (HintVerdict.CANCEL, True, "bKash forbids"),
    ],
)
def test_a_closed_page_must_not_be_executed(verdict: HintVerdict, executed: bool, why: str) -> None:
    scenario = scenarios()[2]
    scenario.calls = [_entry("Execute Payment", "0000")] if executed else []
    try:
        check_not_executed(scenario, verdict, HintVerdict.CANCEL)
        told = ""
    except NotAsExpectedError as wrong:
        told = str(wrong)
    assert why in told and bool(why) == bool(told)


def _entry(title: str, code: str) -> WireEntry:
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    return WireEntry(title=title, method="POST", url="", headers={}, body="", began_at=moment, code=code)


def test_a_rejected_credential_breaks_it_off(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    env = {**fresh.variables(), "BKASH_PASSWORD": "another-Password-1"}
    done = here.run("bkash", "uat-report", "--out", str(out), "--json", env=env)
    assert done.code == 2
    document = done.lines[-1]
    assert document["broken_off"] and document["skipped"] == 5
    text = out.read_text(encoding="utf-8")
    assert "Broken off" in text and "another-Password-1" not in text + done.out + done.err


def test_nobody_at_the_address(here: Here, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = here.run("bkash", "uat-report", "--out", str(out), "--sandbox", "http://127.0.0.1:9", "--json")
    assert done.code == 4
    assert done.lines[-1]["broken_off"]


def test_a_port_that_is_taken(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = _report(here, out, fresh, "--port", fresh.url.rpartition(":")[2])
    assert done.code == 2 and "port" in done.err
    assert "Broken off" in out.read_text(encoding="utf-8") and fresh.books()["payments"] == []


def test_a_folder_that_cannot_be_written_to(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / ("x" * 250)  # with what is put around it while it is written, longer than a name may be
    done = _report(here, out, fresh)
    assert done.code == 2 and "cannot be written" in done.err
    assert fresh.books()["payments"] == [], "nothing is paid for a report that cannot be written"
    assert list(tmp_path.glob("*.part")) == list(tmp_path.glob(".*.part")) == []


def test_real_money_is_refused(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    env = {
        "BKASH_MODE": "live",
        "BKASH_APP_KEY": "k" * 26,
        "BKASH_APP_SECRET": "s" * 50,
        "BKASH_USERNAME": "01711111111",
        "BKASH_PASSWORD": "p" * 12,
    }
    done = here.run("bkash", "uat-report", "--out", str(out), env=env)
    assert done.code == 2 and "--live" in done.error
    done = here.run("bkash", "uat-report", "--out", str(out), "--live", env=env)
    assert done.code == 2 and "--public-url" in done.error
    done = here.run("bkash", "uat-report", "--out", str(out), "--live", "--sandbox", fresh.url)
    assert done.code == 2
    assert not out.exists()


def test_a_report_is_not_written_over(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    out.write_text("mine", encoding="utf-8")
    done = here.run("bkash", "uat-report", "--out", str(out), "--sandbox", fresh.url)
    assert done.code == 2 and "--overwrite" in done.error
    assert out.read_text(encoding="utf-8") == "mine" and fresh.books()["payments"] == []
    assert _report(here, out, fresh, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("more", "about"),
    [
        (("--out", "nowhere/at/all.html"), "--out"),
        (("--amount", "abc"), "--amount"),
        (("--wait-s", "0"), "--wait-s"),
        (("--port", "70000"), "--port"),
    ],
)
def test_wrong_arguments(here: Here, tmp_path: Path, more: tuple[str, str], about: str) -> None:
    done = here.run("bkash", "uat-report", "--out", str(tmp_path / "report.html"), *more)
    assert done.code == 2 and about in done.error
    assert not (tmp_path / "report.html").exists()


# ----------------------------------------------------------------------------------------------- a person pays


def _act(line: dict[str, Any]) -> None:
    """What a person does who reads that line."""
    typed = dict(CUSTOMER)
    if line["scenario"] == "wrong_otp":
        typed["otp"] = "999999"
    if line["scenario"] == "insufficient_balance":
        typed["wallet"] = "01823074817"
    action = "Cancel" if line["scenario"] == "cancel" else "Confirm"

    async def go() -> None:
        await come_back(await walk(line["checkout_url"], customer=typed, action=action))

    asyncio.run(go())


def test_a_person_pays(user: User, fresh: Gateway, tmp_path: Path) -> None:
    """With the environment's credentials, as in bKash's own test environment."""
    out = tmp_path / "report.html"
    with user.start(
        "bkash", "uat-report", "--out", str(out), "--by-hand", "--json", env=fresh.variables()
    ) as running:
        asked = []
        while (line := json.loads(running.line()))["type"] == "payer":
            asked.append(line["scenario"])
            _act(line)
        assert (line["complete"], running.end().code) == (True, 0)
    assert asked == CODES[:-1]
    assert "a person" in out.read_text(encoding="utf-8")


def test_nobody_comes(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    done = _report(here, out, fresh, "--by-hand", "--wait-s", "1")
    assert (done.code, done.lines[-1]["failed"], done.lines[-1]["skipped"]) == (1, 4, 2)
    assert "did not come back within 1 s" in out.read_text(encoding="utf-8")


@posix_signals
def test_an_interrupted_report_is_written(user: User, fresh: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    with user.start(
        "bkash", "uat-report", "--out", str(out), "--by-hand", "--json", env=fresh.variables()
    ) as running:
        _act(json.loads(running.line()))
        assert json.loads(running.line())["scenario"] == "duplicate"
        running.process.send_signal(signal.SIGINT)
        done = running.end()
    assert done.code == 130 and "Traceback" not in done.err
    assert json.loads(done.out)["error"]["effect"] == "none"
    text = out.read_text(encoding="utf-8")
    assert "Somebody interrupted the run" in text and "not finished" in text
    assert text.count('<div class="call">') == 6, "the success's five, and the create that was waited for"


# ----------------------------------------------------------------------------------------------- in pieces


def test_bodies_keep_their_shape_and_lose_their_secrets() -> None:
    body = {
        "paymentID": "TR0011aB3dE5f1766000000123",
        "amount": "15",
        "expires_in": 3600,
        "flag": True,
        "nothing": None,
        "id_token": "eyJhbGciOi.payload.signature",
        "customerMsisdn": "01770618575",
        "refundTransactions": [{"refundTrxId": "DAJ4KWXYZ1", "note": "secret words"}],
        "bkashURL": "https://pay.example/?paymentId=TR0011aB3dE5f1766000000123&hash=Xy!1.(aB)",
    }
    shown = json.loads(shown_body(json.dumps(body).encode()))
    assert list(shown) == list(body)
    assert (shown["paymentID"], shown["amount"], shown["expires_in"]) == (body["paymentID"], "15", 3600)
    assert (shown["id_token"], shown["customerMsisdn"]) == ("********", "017****8575")
    assert shown["refundTransactions"] == [{"refundTrxId": "DAJ4KWXYZ1", "note": "********"}]
    assert shown["bkashURL"].endswith("?paymentId=TR0011aB3dE5f1766000000123&hash=********")


@pytest.mark.parametrize(
    "raw", [b"<html><b>x</b>", b"\xff\xfe", b"nonsense", b"[" * 50_000, b'{"a": ' * 40 + b"1" + b"}" * 40]
)
def test_a_body_of_any_kind_is_shown(raw: bytes) -> None:
    assert len(shown_body(raw)) < 5_000


def test_an_address_of_any_kind_is_shown() -> None:
    assert shown_address("https://a.example/x?" + "&".join(f"a{n}=1" for n in range(99))).endswith(
        "?********"
    )
    assert shown_address("not an address") == "********"


class _Silent:
    async def send(self, request: WireRequest, **_: Any) -> WireResponse:
        raise AnswerTimeoutError("no answer came")

    async def aclose(self) -> None:
        pass


class _Echo(_Silent):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def send(self, request: WireRequest, **_: Any) -> WireResponse:
        return WireResponse(200, {"content-type": "application/json"}, self._body)


def _rendered(wire: RecordingTransport, *, secrets: set[str] = frozenset()) -> str:  # type: ignore[assignment]
    now = datetime(2026, 1, 31, tzinfo=UTC)
    report = Report(
        environment="<b>x</b>",
        api_url="http://127.0.0.1:1",
        money="test money",
        payer="a person",
        client="c",
        began_at=now,
        scenarios=scenarios(),
        secrets=lambda: {*wire.secrets, *secrets},
    )
    report.scenarios[0].calls = wire.entries
    return render(report)


async def _sent(wire: RecordingTransport, body: bytes = b"{}") -> None:
    request = WireRequest("POST", "http://127.0.0.1:1/v1.2.0-beta/tokenized/checkout/execute", (), body)
    await wire.send(request, safety=Safety.ONCE, timeout_s=1)


async def test_hostile_answers_are_text() -> None:
    answer = {"statusMessage": "<script>alert(1)</script>", "<img src=x>": "<svg onload=x>"}
    wire = RecordingTransport(_Echo(json.dumps(answer).encode()), SystemClock())
    await _sent(wire)
    text = _rendered(wire)
    assert "<script" not in text and "<img" not in text and "<svg" not in text and "<b>" not in text
    assert "&lt;script&gt;" in text


async def test_a_token_that_comes_back_in_a_sentence_is_masked() -> None:
    answer = {"id_token": "blue horse battery", "statusMessage": "you sent blue horse battery & more"}
    wire = RecordingTransport(_Echo(json.dumps(answer).encode()), SystemClock())
    await _sent(wire)
    assert "blue horse battery" not in _rendered(wire)
    assert "sent ********" in _rendered(wire)


async def test_a_credential_is_masked_wherever_it_stands() -> None:
    wire = RecordingTransport(_Echo(b'{"statusMessage": "user <merchant&co> is blocked"}'), SystemClock())
    await _sent(wire)
    assert "merchant&amp;co" not in _rendered(wire, secrets={"<merchant&co>"})


async def test_no_answer_is_told_as_none() -> None:
    wire = RecordingTransport(_Silent(), SystemClock())
    with pytest.raises(AnswerTimeoutError):
        await _sent(wire)
    (entry,) = wire.entries
    assert entry.status is None and "AnswerTimeoutError" in entry.problem
    assert "no answer: AnswerTimeoutError" in _rendered(wire)


async def test_no_token_of_an_earlier_run_is_taken() -> None:
    kept = MemoryTokenBackend()
    key = TokenKey.of("https://a.example", Secret("key"), Secret("user"), secrets=(Secret("s"), Secret("p")))
    now = datetime(2026, 1, 31, tzinfo=UTC)
    await kept.put(key, Token.granted(Secret("old"), issued_at=now, life_s=3600))
    first_anew = FirstAnew(kept)
    assert await first_anew.get(key) is None and await kept.get(key) is not None
    assert first_anew.durable == kept.durable


def test_each_report_has_a_grant_to_show(here: Here, fresh: Gateway, tmp_path: Path) -> None:
    asked = ("bkash", "uat-report", "--by-hand", "--wait-s", "1", "--json")
    assert fresh.calls("grant") == []
    for number in range(2):
        out = tmp_path / f"report-{number}.html"
        here.run(*asked, "--out", str(out), "--sandbox", fresh.url)
    assert len(fresh.calls("grant")) == 2

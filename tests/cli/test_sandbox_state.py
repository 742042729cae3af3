"""`vextrus-pay sandbox serve --state/--seed-file/--seed/--clock/--merchants`, `sandbox seed` and `sandbox reset`."""

import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.running import Gateway, Here, Running, User

SCENARIO = """\
wallets:
  - {number: 01711111111, balance: 500}
payments:
  - {amount: 77.10, reference: INV-SEED, wallet: 01711111111}
  - {gateway: nagad, amount: 78, outcome: open}
"""


def written(folder: Path, text: str = SCENARIO) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def stopped(one: Running) -> int:
    """How it ends when it is told to; on Windows that is no exit code of its own."""
    one.process.terminate()
    code = one.end().code
    return 0 if sys.platform == "win32" else code


def books(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/_sandbox/books", trust_env=False).json()
    assert found["problems"] == []
    return found


def test_state_lasts_from_one_start_to_the_next(user: User, tmp_path: Path) -> None:
    state, scenario = str(tmp_path / "sandbox.db"), str(written(tmp_path))
    seen = []
    for _ in range(2):  # the second start has something already, and is not seeded again
        with user.start(
            *("sandbox serve --port 0 --json --merchants 2 --state").split(), state, "--seed-file", scenario
        ) as one:
            info = json.loads(one.line())
            assert len(info["merchants"]["bkash"]) == 2
            seen.append(books(info["url"]))
            refused = user.run("sandbox", "serve", "--port", "0", "--state", state)
            assert refused.code == 2 and "another sandbox is running on it" in refused.err
            assert stopped(one) == 0
    assert seen[0] == seen[1]
    assert [row["captured"] for row in seen[0]["payments"]] == ["77.10", "0.00"]


def test_two_runs_with_a_seed_and_a_clock_are_the_same_byte_for_byte(user: User, tmp_path: Path) -> None:
    scenario = str(written(tmp_path))
    runs = []
    for _ in range(2):
        asked = ("--seed", "5", "--clock", "2026-01-31T12:00:00+06:00", "--seed-file", scenario)
        with user.start("sandbox", "serve", "--port", "0", "--json", *asked) as one:
            info = json.loads(one.line())
            runs.append(_talk(info, info["url"].rpartition(":")[2].encode()))
            assert stopped(one) == 0
    assert runs[0] == runs[1]
    assert b"2026-01-31T06:00:00.000Z" in runs[0][-1][2]


def _talk(info: dict[str, Any], port: bytes) -> list[tuple[int, list[tuple[str, str]], bytes]]:
    """Everything that a client sees of one payment, its page and its refund."""
    known, url = info["gateways"]["bkash"], info["url"]
    root, seen = f"{known['base_url']}/tokenized/checkout", []
    with httpx.Client(trust_env=False) as http:

        def say(method: str, address: str, **more: Any) -> httpx.Response:
            answer = http.request(method, address, **more)
            content = answer.content.replace(port, b"PORTS")
            headers = [one for one in answer.headers.multi_items() if one[0] != "content-length"]
            seen.append((answer.status_code, headers, content))
            return answer

        token = say(
            "POST",
            f"{root}/token/grant",
            json={"app_key": known["app_key"], "app_secret": known["app_secret"]},
            headers={"username": known["username"], "password": known["password"]},
        ).json()
        headers = {"Authorization": token["id_token"], "X-APP-Key": known["app_key"]}
        wish = {
            "mode": "0011",
            "payerReference": "1",
            "callbackURL": "http://127.0.0.1:9/r",
            "amount": "10",
            "currency": "BDT",
            "intent": "sale",
            "merchantInvoiceNumber": "INV-1",
        }
        created = say("POST", f"{root}/create", json=wish, headers=headers).json()
        say("GET", created["bkashURL"])
        payment = {"paymentID": created["paymentID"]}
        say("POST", f"{url}/_sandbox/approve", json={"reference": created["paymentID"]})
        paid = say("POST", f"{root}/execute", json=payment, headers=headers).json()
        more = {"trxID": paid["trxID"], "amount": "4", "sku": "s", "reason": "r"}
        say("POST", f"{root}/payment/refund", json={**payment, **more}, headers=headers)
        say("POST", f"{root}/execute", json=payment, headers=headers)
        for name in ("books", "payments", "wire", "grants", "record", "health"):
            say("GET", f"{url}/_sandbox/{name}")
    return seen


def test_seed_and_reset_a_running_sandbox(here: Here, user: User, tmp_path: Path) -> None:
    file = str(written(tmp_path))
    with user.start("sandbox", "serve", "--port", "0", "--json") as one:
        sandbox = Gateway(json.loads(one.line()))
        done = here.run("sandbox", "seed", file, "--sandbox", sandbox.url, "--json")
        assert (done.code, done.err) == (0, "")
        first, second = done.document["payments"]
        assert (first["state"], second["state"]) == ("Completed", "Ready")
        assert httpx.get(second["page"], trust_env=False).status_code == 200
        assert len(books(sandbox.url)["payments"]) == 2
        done = here.run("sandbox", "reset", "--sandbox", sandbox.url, "--json")
        assert (done.code, done.document["status"]) == (0, "ok")
        assert books(sandbox.url)["payments"] == []
        shown = here.run("sandbox", "seed", file, "--sandbox", sandbox.url)
        assert shown.code == 0 and "INV-SEED" in shown.out and "1 wallets" in shown.out
        assert "started over" in here.run("sandbox", "reset", "--sandbox", sandbox.url).out
        sandbox.close()


WRONG = "payments:\n  - amount: 10.505\n  - {amount: 5, outcome: won}\n"


def test_every_mistake_of_a_file_is_named(here: Here, tmp_path: Path) -> None:
    file = str(written(tmp_path, WRONG))
    done = here.run("sandbox", "seed", file, "--sandbox", "http://127.0.0.1:1")
    assert done.code == 2 and "Nothing was done" in done.err
    assert "scenario.yaml, line 2, payments[1].amount: an amount is taka" in done.err
    assert "scenario.yaml, line 3, payments[2].outcome: it is one of open" in done.err
    told = here.run("sandbox", "seed", file, "--sandbox", "http://127.0.0.1:1", "--json")
    assert [one["line"] for one in told.document["mistakes"]] == [2, 3]
    served = here.run("sandbox", "serve", "--port", "0", "--seed-file", file)
    assert served.code == 2 and "line 3, payments[2].outcome" in served.err


def test_what_a_gateway_refuses_of_a_seed_file_stops_the_start(user: User, tmp_path: Path) -> None:
    file = str(written(tmp_path, "payments:\n  - {amount: 5}\n  - {amount: 5}\n"))
    done = user.run("sandbox", "serve", "--port", "0", "--seed-file", file)
    assert done.code == 2 and "line 3, payments[2]: refused with code 2029" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "not in UTF-8"),
        (b"a: [", "line 1, the file: "),
        (b"a: 1", "line 1, a:"),
    ],
)
def test_a_file_that_is_no_scenario(here: Here, tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "scenario.yaml"
    if content is not None:
        path.write_bytes(content)
    done = here.run("sandbox", "seed", str(path), "--sandbox", "http://127.0.0.1:1")
    assert done.code == 2 and words in done.err


@pytest.mark.parametrize("name", ["seed", "reset"])
def test_nobody_is_there(here: Here, tmp_path: Path, name: str) -> None:
    file = [str(written(tmp_path))] if name == "seed" else []
    done = here.run("sandbox", name, *file, "--sandbox", "http://127.0.0.1:1")
    assert done.code == 4 and "Nobody answers" in done.err


def test_a_refusal_is_told_with_its_place(here: Here, sandbox: Gateway, tmp_path: Path) -> None:
    file = written(tmp_path, "payments:\n  - {amount: 5, wallet: 01823074818}\n")
    done = here.run("sandbox", "seed", str(file), "--sandbox", sandbox.url)
    assert done.code == 2 and "payments[1]: refused with code 2037" in done.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--clock", "noon", "no moment with its offset"),
        ("--clock", "2026-01-31T12:00:00", "no moment with its offset"),
        ("--clock", "1970-01-01T00:00:00+00:00", "lies outside"),
        ("--seed", "x", "no whole number"),
        ("--merchants", "0", "no whole number"),
        ("--merchants", "101", "no whole number"),
    ],
)
def test_wrong_values_of_serve(here: Here, option: str, value: str, words: str) -> None:
    done = here.run("sandbox", "serve", "--port", "0", option, value)
    assert done.code == 2 and words in done.err and option in done.err


def test_a_state_file_of_another_kind_is_refused(here: Here, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database\n" * 200, encoding="utf-8")
    done = here.run("sandbox", "serve", "--port", "0", "--state", str(path))
    assert done.code == 2 and "no sandbox's state file" in done.err and "--state" in done.err

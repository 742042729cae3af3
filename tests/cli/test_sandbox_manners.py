"""`vextrus-pay sandbox manners`: what a build is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from tests.cli.running import Gateway, Here, User


@pytest.fixture
def fresh(sandbox: Gateway) -> Gateway:
    """The sandbox without anything that earlier tests did."""
    httpx.post(f"{sandbox.url}/_sandbox/reset", trust_env=False).raise_for_status()
    return sandbox


def _paid(here: Here, sandbox: Gateway, amount: str, reference: str) -> str:
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json", "--sandbox", sandbox.url)
    session, outcome = here.run("pay", "bkash", *asked).lines
    assert outcome["outcome"] == "paid"
    return str(session["gateway_reference"])


def _query(sandbox: Gateway, payment_id: str) -> None:
    known = sandbox.info["gateways"]["bkash"]
    root = f"{known['base_url']}/tokenized/checkout"
    credentials = {"app_key": known["app_key"], "app_secret": known["app_secret"]}
    headers = {"username": known["username"], "password": known["password"]}
    token = httpx.post(f"{root}/token/grant", json=credentials, headers=headers, trust_env=False).json()
    httpx.post(
        f"{root}/payment/status",
        json={"paymentID": payment_id},
        headers={"Authorization": token["id_token"], "X-APP-Key": known["app_key"]},
        trust_env=False,
    ).raise_for_status()


def test_our_own_client_misses_nothing(here: Here, fresh: Gateway, amount: str, reference: str) -> None:
    _paid(here, fresh, amount, reference)
    done = here.run("sandbox", "manners", "--sandbox", fresh.url, "--json")
    assert (done.code, done.err) == (0, "")
    assert (done.document["missed"], done.document["owed"]) == ([], [])
    assert done.document["unseen"]
    shown = here.run("sandbox", "manners", "--sandbox", fresh.url)
    assert shown.code == 0 and "Nothing to object to" in shown.out and "no sandbox can see" in shown.out


def test_a_missed_one_fails_a_build(here: Here, fresh: Gateway, amount: str, reference: str) -> None:
    payment_id = _paid(here, fresh, amount, reference)
    _query(fresh, payment_id)
    done = here.run("sandbox", "manners", "--sandbox", fresh.url, "--json")
    assert done.code == 1
    (miss,) = done.document["missed"]
    assert (miss["code"], miss["reference"]) == ("query_after_answer", payment_id)
    shown = here.run("sandbox", "manners", "--sandbox", fresh.url)
    assert shown.code == 1
    for text in ("query after execute had answered", payment_id, "Believe the answer of execute"):
        assert text in shown.out


def test_what_is_owed_is_open(here: Here, fresh: Gateway) -> None:
    known = fresh.info["gateways"]["bkash"]
    fresh.order("execute", "drop_before")
    with pytest.raises(httpx.HTTPError):
        httpx.post(
            f"{known['base_url']}/tokenized/checkout/execute", json={"paymentID": "TR1"}, trust_env=False
        )
    assert here.run("sandbox", "manners", "--sandbox", fresh.url).code == 0, "of no payment that is known"


def test_owed_first_and_missed_later(here: Here, fresh: Gateway, amount: str, reference: str) -> None:
    fresh.order("execute", "drop_after")
    fresh.order("query", "drop_before", times=50)  # our own client would ask, and cannot
    asked = ("--amount", amount, "--reference", reference, "--approve", "--json", "--sandbox", fresh.url)
    assert here.run("pay", "bkash", *asked).code == 3
    fresh.clear_faults()
    done = here.run("sandbox", "manners", "--sandbox", fresh.url, "--json")
    assert done.code == 3
    assert [one["code"] for one in done.document["owed"]] == ["lost_execute"]
    shown = here.run("sandbox", "manners", "--sandbox", fresh.url)
    assert "Still to be done: 1" in shown.out
    httpx.post(f"{fresh.url}/_sandbox/clock", json={"advance_s": 601}, trust_env=False).raise_for_status()
    late = here.run("sandbox", "manners", "--sandbox", fresh.url, "--json")
    assert (late.code, [one["code"] for one in late.document["missed"]]) == (1, ["lost_execute"])


@contextmanager
def _somebody_else(answer: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"manners": [], "owed": 1}',
        b'{"manners": [{"rule": "x"}], "owed": []}',
        b'{"manners": [1], "owed": []}',
    ],
)
def test_somebody_else_at_the_address(here: Here, answer: bytes) -> None:
    with _somebody_else(answer) as url:
        done = here.run("sandbox", "manners", "--sandbox", url)
    assert done.code == 2 and "no sandbox" in done.error


def test_nobody_at_the_address(here: Here) -> None:
    done = here.run("sandbox", "manners", "--sandbox", "http://127.0.0.1:9")
    assert done.code == 4 and "sandbox serve" in done.error


def test_an_address_elsewhere_is_not_asked(user: User) -> None:
    done = user.run("sandbox", "manners", "--sandbox", "https://tokenized.sandbox.bka.sh")
    assert done.code == 2 and "no sandbox's address" in done.error

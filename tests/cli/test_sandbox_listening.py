"""`vextrus-pay sandbox serve --host`: others are let in only by somebody who says so, and is told what that means."""

import json
import signal

import httpx
import pytest

from tests.cli.running import Here, User


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.10", "mybox.example", ""])
def test_without_allow_remote_it_does_not_start_and_says_why(here: Here, host: str) -> None:
    done = here.run("sandbox", "serve", "--port", "0", "--host", host, "--json")
    assert done.code == 2 and done.out == ""
    for said in ("--host", "--allow-remote", "play money", "webhooks", "password", "Nothing listens now"):
        assert said in done.error, said


def test_an_address_of_another_machine_is_refused_as_such(here: Here) -> None:
    done = here.run("sandbox", "serve", "--port", "0", "--host", "192.0.2.77", "--allow-remote")
    assert done.code == 2 and done.out == ""
    assert "no address 192.0.2.77" in done.error and "--port 0" not in done.error


def test_with_it_others_are_let_in_and_a_warning_says_so(user: User) -> None:
    arguments = ("sandbox", "serve", "--port", "0", "--host", "0.0.0.0", "--allow-remote", "--json")
    with user.start(*arguments) as running:
        info = json.loads(running.line())
        assert info["url"].startswith("http://127.0.0.1:")
        answer = httpx.get(info["url"] + "/_sandbox/health", trust_env=False)
        assert answer.status_code == 200
        hostile = httpx.get(info["url"] + "/", headers={"Host": "rebound.example"}, trust_env=False)
        assert hostile.status_code == 421
        running.process.send_signal(signal.SIGTERM)
        done = running.end()
    assert done.out == "" and done.err.count("\n") == 1
    assert done.err.startswith("warning: others on the network can reach this sandbox at 0.0.0.0")


def test_loopback_by_another_name_needs_no_leave_and_no_warning(user: User) -> None:
    with user.start("sandbox", "serve", "--port", "0", "--host", "127.0.0.2", "--json") as running:
        info = json.loads(running.line())
        assert info["url"].startswith("http://127.0.0.2:")
        assert httpx.get(info["url"] + "/_sandbox/health", trust_env=False).status_code == 200
        running.process.send_signal(signal.SIGTERM)
        assert running.end().err == ""

"""`vextrus-pay sandbox`: the server as a process, and the variables that lead to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.cli.running import Gateway, User
from vextrus_payments import cli
from vextrus_payments.gateways.bkash import BkashConfig
from vextrus_payments_sandbox.environment import script

posix_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process without a word")


def test_the_line_is_what_clients_are_promised(sandbox: Gateway) -> None:
    info = dict(sandbox.info)
    assert set(info) == {"version", "pid", "url", "customer", "gateways", "merchants", "sns"}
    assert set(info["sns"]) == {"topic_arn", "cert_url"}
    assert info["sns"]["cert_url"].startswith(info["url"] + "/SimpleNotificationService-")
    assert info["customer"] == {"wallet": "01770618575", "otp": "123456", "pin": "12121"}
    assert set(info["gateways"]["bkash"]) == {
        *("base_url", "v2_base_url", "recurring_base_url"),
        *("app_key", "app_secret", "username", "password"),
    }
    assert info["gateways"]["bkash"]["base_url"] == f"{info['url']}/v1.2.0-beta"
    assert info["gateways"]["bkash"]["v2_base_url"] == f"{info['url']}/v2"
    assert httpx.get(info["url"], trust_env=False).status_code == 200
    assert BkashConfig.from_env(sandbox.variables()).api_url == info["gateways"]["bkash"]["base_url"]


@posix_signals
@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_it_stops_at_once_and_says_nothing_more(user: User, number: str) -> None:
    with user.start("sandbox", "serve", "--port", "0", "--json") as running:
        info = json.loads(running.line())
        assert running.process.pid == info["pid"]
        # a client that keeps its connection open must not hold it up
        with httpx.Client(base_url=info["url"], trust_env=False) as client:
            client.get("/").raise_for_status()
            begun = time.monotonic()
            running.process.send_signal(getattr(signal, number))
            done = running.end()
            assert time.monotonic() - begun < 30, "a minute is how long it keeps such a connection"
    assert (done.code, done.out, done.err) == (0, "", "")


def test_credentials_are_the_same_at_every_start(user: User, sandbox: Gateway) -> None:
    with user.start("sandbox", "serve", "--port", "0", "--json") as running:
        other = json.loads(running.line())
    for name in ("app_key", "app_secret", "username", "password"):
        assert other["gateways"]["bkash"][name] == sandbox.info["gateways"]["bkash"][name]


@pytest.mark.parametrize(("options", "works"), [((), False), (("--no-magic",), True)])
def test_without_magic_an_amount_is_an_amount(user: User, options: tuple[str, ...], works: bool) -> None:
    with user.start("sandbox", "serve", "--port", "0", "--json", *options) as running:
        url = json.loads(running.line())["url"]
        numbers = {
            one["wallet"] for one in httpx.get(f"{url}/_sandbox/wallets", trust_env=False).json()["wallets"]
        }
        assert "01770618575" in numbers
        told = httpx.get(f"{url}/faults", trust_env=False).text
        assert ("4002." not in told) is works
        answer = httpx.put(f"{url}/_sandbox/wallets/01800400206", json={"balance": "5"}, trust_env=False)
        assert answer.status_code == (404 if works else 200)  # a magic wallet is no wallet then


def test_for_a_person_it_shows_where_it_is(user: User) -> None:
    with user.start("sandbox", "serve", "--port", "0") as running:
        shown = running.line_with("http://127.0.0.1:")
        running.line_with("01770618575")
        running.line_with("Ctrl+C")
    assert "Open it" in shown


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_taken_port_is_one_line(more: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["sandbox", "serve", "--port", str(port), *more]) == 2
    shown = capfd.readouterr()
    assert shown.out == "", "the one line of --json says that connections are accepted, and nothing else"
    assert shown.err.count("\n") == 1
    assert shown.err.startswith(f"Error: --port: cannot listen on 127.0.0.1:{port}: ")
    assert "--port 0" in shown.err


@pytest.mark.parametrize("port", ["-1", "65536", "http", "１２"])
def test_a_wrong_port_is_one_line(port: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox", "serve", "--port", port]) == 2
    assert "no whole number from 0 to 65535" in capfd.readouterr().err


# --- env ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
def test_a_posix_shell_takes_the_variables(user: User, sandbox: Gateway) -> None:
    done = user.run("sandbox", "env", "--url", sandbox.url, "--shell", "sh")
    assert done.code == 0
    code = (
        "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('BKASH_')}))"
    )
    shell = subprocess.run(
        ["sh", "-c", f'{done.out}"{sys.executable}" -c "{code}"'],
        env=user.env(),
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    known = {name: value for name, value in sandbox.all_variables().items() if name.startswith("BKASH_")}
    assert json.loads(shell.stdout) == known


def test_every_value_survives_its_quotes() -> None:
    nasty = {"BKASH_PASSWORD": "a'b\"c$d`e\\f<g>h i\u2019j"}
    assert script(nasty, "sh") == "export BKASH_PASSWORD='a'\"'\"'b\"c$d`e\\f<g>h i\u2019j'\n"
    assert script(nasty, "powershell") == "$env:BKASH_PASSWORD = 'a''b\"c$d`e\\f<g>h i\u2019\u2019j'\n"
    assert script(nasty, "dotenv") == 'BKASH_PASSWORD="a\'b\\"c\\$d`e\\\\f<g>h i\u2019j"\n'
    assert script({"BKASH_PASSWORD": "plain$x"}, "dotenv") == "BKASH_PASSWORD='plain$x'\n"


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")
def test_a_nasty_value_survives_a_real_shell() -> None:
    value = "a'b\"c$HOME`id`\\f<g>h i"
    line = script({"BKASH_PASSWORD": value}, "sh")
    shell = subprocess.run(
        ["sh", "-c", line + 'printf %s "$BKASH_PASSWORD"'], capture_output=True, encoding="utf-8", check=True
    )
    assert shell.stdout == value


def test_env_as_a_document(sandbox: Gateway, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox", "env", "--url", sandbox.url + "/", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == sandbox.all_variables()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:28600",
        "https://127.0.0.1:28600",
        "127.0.0.1:28600",
        "http://127.0.0.1:28600/v1.2.0-beta",
        "http://127.0.0.1:99999",
        "http://user:pw@127.0.0.1:28600",
        "http://127.0.0.1:28600/?x=1",
        "http://[::1",
        "",
    ],
)
def test_a_wrong_address_is_one_line(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox", "env", "--url", url, "--shell", "sh"]) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Error: --url: ")
    assert "http://127.0.0.1:28600" in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["env"], ["env", "--url", "http://127.0.0.1:1", "--shell", "fish"]])
def test_env_wants_its_options(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox", *arguments]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_the_group_alone_shows_its_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sandbox"]) == 0
    shown = capfd.readouterr().out
    assert "serve" in shown
    assert "env" in shown


def test_no_secret_of_the_environment_is_printed(user: User, sandbox: Gateway) -> None:
    done = user.run(
        "sandbox", "env", "--url", sandbox.url, "--shell", "sh", env={"BKASH_PASSWORD": "canary-secret"}
    )
    assert "canary-secret" not in done.out + done.err
    assert os.environ.get("BKASH_PASSWORD") != "canary-secret"


def test_it_asks_the_named_address_whether_it_wants_to_be_told(user: User) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/bkash/webhook"
        with user.start("sandbox", "serve", "--port", "0", "--json", "--webhook-url", url) as running:
            info = json.loads(running.line())
            caller, _ = listener.accept()
            with caller:
                caller.settimeout(30)
                asked = b""
                while not asked.endswith(b"}"):
                    asked += caller.recv(65_536)
                caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            head, _, body = asked.partition(b"\r\n\r\n")
            assert head.startswith(b"POST /bkash/webhook HTTP/1.1")
            envelope = json.loads(body)
            assert envelope["Type"] == "SubscriptionConfirmation"
            assert envelope["SigningCertURL"] == info["sns"]["cert_url"]
            assert envelope["TopicArn"] == info["sns"]["topic_arn"]
            httpx.get(envelope["SubscribeURL"], trust_env=False).raise_for_status()
            told = httpx.get(info["url"] + "/_sandbox/webhooks/bkash", trust_env=False).json()
            assert (told["url"], told["confirmed"]) == (url, True)


def test_webhooks_go_to_this_machine_only(user: User) -> None:
    done = user.run("sandbox", "serve", "--port", "0", "--webhook-url", "https://shop.example/webhook")
    assert done.code == 2 and "--webhook-url" in done.err and "this machine" in done.err
    assert done.out == ""

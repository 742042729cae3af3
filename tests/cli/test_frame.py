"""The frame: help, versions, missing packages, wrong arguments, exit codes, and what never shows."""

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points, version

import pytest

from tests.cli.running import COMMAND, PATIENCE_S, Here, User
from vextrus_payments import cli, errors
from vextrus_payments.cli import frame
from vextrus_payments.cli.exit_codes import Exit, of_error, of_outcome
from vextrus_payments.cli.helping import Command
from vextrus_payments.cli.root import _OWN
from vextrus_payments.errors import Effect, PaymentsError
from vextrus_payments.money import Money
from vextrus_payments.outcomes import (
    Authorized,
    Declined,
    Outcome,
    Paid,
    Pending,
    Refunded,
    RefundOutcome,
    Review,
    Unknown,
)
from vextrus_payments.reasons import Reason, ReasonCode

#: Makes some packages as good as not installed, then runs the command line.
_WITHOUT = """\
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
from vextrus_payments.cli import main
sys.exit(main({arguments!r}))
"""


def _without(user: User, absent: set[str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(absent=absent, arguments=list(arguments))],
        env=user.env(),
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("--help",), ("pay", "bkash"), ("demo",)])
def test_without_click_one_line_names_the_extra(user: User, arguments: tuple[str, ...]) -> None:
    done = _without(user, {"click", "rich"}, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert 'pip install "vextrus-payments[cli]"' in done.stderr


def test_without_rich_alone_too(user: User) -> None:
    done = _without(user, {"rich"}, "demo", "--json")
    assert done.returncode == 2
    assert "needs rich" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "missing_extra"


@pytest.mark.parametrize("arguments", [("demo",), ("demo", "--json", "--fault", "x"), ("sandbox", "serve")])
def test_without_the_sandbox_extra_its_commands_say_so(user: User, arguments: tuple[str, ...]) -> None:
    done = _without(user, {"starlette", "uvicorn"}, *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'pip install "vextrus-payments[sandbox]"' in done.stderr
    assert "starlette, uvicorn" in done.stderr


def test_without_the_sandbox_extra_they_still_stand_in_the_help(user: User) -> None:
    done = _without(user, {"starlette"}, "--help")
    assert done.returncode == 0
    flowed = " ".join(done.stdout.split())
    assert flowed.count('(needs: pip install "vextrus-payments[sandbox]")') == 2
    assert "demo" in flowed
    assert "sandbox" in flowed


def test_without_the_sandbox_extra_paying_needs_another_place_to_pay(user: User) -> None:
    done = _without(
        user, {"starlette"}, "pay", "bkash", "--amount", "100", "--reference", "INV-1", "--approve"
    )
    assert done.returncode == 2
    assert 'pip install "vextrus-payments[sandbox]"' in done.stderr
    assert "Traceback" not in done.stderr


def test_help_imports_nothing_heavy(user: User) -> None:
    heavy = ["httpx", "cryptography", "starlette", "uvicorn", "pydantic", "sqlite3", "rich", "asyncio"]
    code = (
        "import sys\nfrom vextrus_payments.cli import main\n"
        "assert main(['--help']) == 0\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=user.env(), capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("demo", "sandbox", "pay", "status", "refund", "Exit codes"):
        assert name in done.stdout


def test_the_bare_command_shows_the_help(user: User) -> None:
    done = user.run()
    assert done.code == 0
    assert done.out.startswith("Usage: vextrus-pay")
    assert done.err == ""


def test_the_installed_script_is_this_command() -> None:
    found = {point.value for point in entry_points(group="console_scripts", name="vextrus-pay")}
    assert found == {"vextrus_payments.cli:main"}


def test_version(user: User) -> None:
    assert user.run("--version").out == f"vextrus-pay {version('vextrus-payments')}\n"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["demoo"], "there is no command 'demoo'. No money moved. Did you mean demo?"),
        (
            ["xyz"],
            (
                f"there is no command 'xyz'. Commands: demo, sandbox, {', '.join(_OWN)}. No money moved. "
                "See vextrus-pay --help."
            ),
        ),
        (["--foo"], "--foo: there is no such option. No money moved. See vextrus-pay --help."),
        (["pay"], "GATEWAY: is missing; give a value. No money moved. See vextrus-pay pay --help."),
        (
            ["pay", "bkash"],
            "--amount: is missing; give a value. No money moved. See vextrus-pay pay --help.",
        ),
        (
            ["pay", "bkash", "--amount"],
            "--amount: this option requires an argument. No money moved. See vextrus-pay pay --help.",
        ),
        (
            ["pay", "bkash", "--amount", "1", "--referenc", "x"],
            "--referenc: there is no such option. No money moved. Did you mean --reference?",
        ),
        (
            ["status", "pay_1", "--gateway", "bkash"],
            (
                "Name the payment once: by PAYMENT_ID, or by --gateway and --gateway-reference. No money moved. "
                "See vextrus-pay status --help."
            ),
        ),
        (
            ["webhooks", "list", "--limit", "0"],
            "--limit: '0' is no whole number from 1 to 1000. No money moved. See vextrus-pay webhooks list --help.",
        ),
        (
            ["demo", "extra"],
            "Got unexpected extra argument (extra). No money moved. See vextrus-pay demo --help.",
        ),
    ],
)
def test_a_wrong_argument_is_one_clear_line(
    arguments: list[str], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == f"Error: {line}\n"


def test_with_json_a_wrong_argument_is_a_document_too(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pay", "bkash", "--json"]) == 2
    error = json.loads(capfd.readouterr().out)["error"]
    assert error == {
        "type": "UsageError",
        "code": "usage",
        "effect": "none",
        "what": "is missing; give a value.",
        "next_step": "See vextrus-pay pay --help.",
        "option": "--amount",
        "exit_code": 2,
    }


def test_control_characters_do_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["\x1b[31mred\nline"]) == 2
    shown = capfd.readouterr().err
    assert "\x1b" not in shown
    assert shown.count("\n") == 1


def test_a_bug_is_one_line_that_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ValueError("canary-secret")

    monkeypatch.setattr(frame, "_call", broken)
    assert cli.main(["pay", "--json"]) == 3
    shown = capfd.readouterr()
    assert "canary-secret" not in shown.out + shown.err
    assert shown.err.count("\n") == 1
    error = json.loads(shown.out)["error"]
    assert (error["type"], error["effect"], error["exit_code"]) == ("ValueError", "unknown", 3)


@pytest.mark.parametrize(
    ("name", "effect", "said"),
    [
        (
            "pay",
            "unknown",
            "Money may have moved: nobody can tell yet. What was sent is recorded: look before",
        ),
        ("doctor", "none", "No money moved."),
    ],
)
def test_ctrl_c_says_whether_money_can_have_moved(
    name: str, effect: str, said: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped(**_: object) -> int:
        raise KeyboardInterrupt

    command = import_module(f"vextrus_payments.cli.{name}").command
    monkeypatch.setattr(command, "callback", stopped)
    asked = ["pay", "bkash", "--amount", "1", "--reference", "r"] if name == "pay" else [name]
    assert cli.main([*asked, "--json"]) == 130
    shown = capfd.readouterr()
    assert shown.err.startswith(f"Error: Interrupted. {said}")
    error = json.loads(shown.out)["error"]
    assert (error["type"], error["code"], error["effect"]) == ("Interrupted", "interrupted", effect)
    assert (error["what"], error["exit_code"]) == ("Interrupted.", 130)


def test_debug_shows_where_it_happened(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ValueError("here")

    monkeypatch.setattr(frame, "_call", broken)
    monkeypatch.setenv("VEXTRUS_PAY_DEBUG", "1")
    assert cli.main(["pay"]) == 3
    assert "Traceback" in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--json"], ["completion", "bash"]])
def test_a_reader_that_goes_away_is_no_traceback(user: User, arguments: list[str]) -> None:
    """`vextrus-pay demo | head -1`."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=user.env(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    shown = process.stderr.read()
    assert process.wait(timeout=PATIENCE_S) == 3
    process.stderr.close()
    assert "Traceback" not in shown
    assert "No money moved" in shown and "Look before you repeat" not in shown


@pytest.mark.parametrize("moves_money", [True, False])
def test_a_reader_that_goes_away_leaves_a_question_only_where_money_is_moved(
    moves_money: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unread() -> None:
        raise BrokenPipeError

    def call(arguments: list[str]) -> object:
        command = Command("x", callback=unread, moves_money=moves_money)
        return command.invoke(command.make_context("x", arguments))

    monkeypatch.setattr(frame, "_call", call)
    monkeypatch.setattr(frame, "_silence_stdout", lambda: None)
    assert cli.main([]) == 3
    assert ("look before you repeat" in capfd.readouterr().err.lower()) is moves_money


# --- the table ------------------------------------------------------------------------------------------------------

_MONEY = Money("1")
_NO = Reason(code=ReasonCode.WRONG_PIN)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Paid(payment_id="p", amount=_MONEY, transaction_id="t"), 0),
        (Authorized(payment_id="p", amount=_MONEY), 0),
        (Refunded(payment_id="p", operation_id="o", amount=_MONEY, transaction_id="t"), 0),
        (Declined(payment_id="p", reason=_NO), 1),
        (Pending(payment_id="p", sent=True), 3),
        (Pending(payment_id="p", sent=False), 4),
        (Unknown(payment_id="p", operation_id="o"), 3),
        (Review(payment_id="p", what="w"), 3),
    ],
)
def test_outcomes_have_codes(outcome: Outcome | RefundOutcome, code: int) -> None:
    assert of_outcome(outcome) == code
    assert of_outcome(outcome, looked=True) == (3 if isinstance(outcome, Pending) else code)


def _every_error() -> list[type[PaymentsError]]:
    found = [PaymentsError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", _every_error())
def test_every_error_has_a_code(kind: type[PaymentsError]) -> None:
    more = {"reason": _NO, "final": True} if kind is errors.DeclinedError else {}
    for effect in Effect:
        code = of_error(kind("What happened.", effect=effect, **more))  # type: ignore[arg-type]
        if issubclass(kind, errors.ConfigurationError | errors.InvalidRequestError):
            assert code is Exit.USAGE
        elif issubclass(kind, errors.ConflictError):
            assert code is Exit.NOT_SENT
        elif issubclass(kind, errors.StorageError | errors.WebhookError | errors.DeliveryError):
            assert code is Exit.OPEN
        elif kind is PaymentsError:
            assert code is Exit.OPEN
        elif kind is errors.AuthenticationRejectedError:
            assert code is Exit.USAGE
        else:
            assert code == {Effect.NONE: 4, Effect.REFUSED: 1, Effect.UNKNOWN: 3}[effect]


@pytest.mark.parametrize("group", ["sandbox", "payout", "agreement", "outbox", "webhooks", "ledger", "bkash"])
def test_a_group_alone_shows_its_help_with_whole_sentences(group: str, here: Here) -> None:
    done = here.run(group)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: vextrus-pay {group}")
    listed = done.out.partition("Commands:")[2].partition("Examples:")[0]
    assert "..." not in listed
    assert len(listed.splitlines()) > 1


def test_an_error_names_what_it_is_about_once(here: Here) -> None:
    done = here.run("pay", "bkash", "--amount", "5", "--reference", "")
    assert done.error.startswith("--reference: does not fit: 1-200 printable")
    done = here.run("pay", "nagad", "--amount", "5", "--reference", "A", "--intent", "authorization")
    assert done.error.startswith("--intent: nagad cannot hold money")

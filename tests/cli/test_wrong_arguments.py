"""Wrong arguments of every option of every command: one clear line, a documented code, and never a traceback."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.cli.running import Gateway, Here
from tests.cli.test_examples import COMMANDS
from vextrus_payments.cli.exit_codes import Exit

#: What nobody should have typed: empty, hidden, huge, not a number, half an address, markup, a path upwards, bytes
#: that are no text (as Python hands them on), and what looks like an option.
NASTY = (
    "",
    " ",
    "\x00",
    "\udcff\udc80",
    "a\nb\x1b[31m\u202e",
    "৫০০",
    "9" * 400,
    "1e400",
    "NaN",
    "-1",
    "http://[::1",
    "https://u:p@h:99999/%zz?#",
    "../../../../nowhere/at/all",
    "[bold]{0}%s",
    "x:y:z",
    "--",
)
#: A command line that gets as far as it can at once, and no farther: whatever it would reach is not there.
BASES = {
    "pay": "bkash --amount 5 --reference R-1 --sandbox http://127.0.0.1:1 --wait-s 1 --no-browser",
    "status": "pay_none",
    "refund": "pay_none",
    "payout send": "01770618575 --amount 5 --reference R --operation-id w-1 --tenant nobody --sandbox http://127.0.0.1:1",
    "payout transfer": "--amount 5 --to collection --operation-id w-2 --tenant nobody --sandbox http://127.0.0.1:1",
    "payout status": "w-3 --sandbox http://127.0.0.1:1",
    "payout withdraw": "w-4 --sandbox http://127.0.0.1:1",
    "payout resolve": "w-5 --sandbox http://127.0.0.1:1",
    "payout list": "--sandbox http://127.0.0.1:1",
    "balance": "bkash --sandbox http://127.0.0.1:1",
    "explain": "nothing",
    "resolve": "pay_none",
    "migrate": "--check",
    "doctor": "bkash",
    "urls": "--public-url https://shop.example/p",
    "settle": "none.csv --gateway bkash --mode live",
    "webhooks show": "event-none",
    "webhooks replay": "event-none",
    "webhooks forward": "event-none --to http://127.0.0.1:1/",
    "webhooks verify": "--gateway bkash --headers none --body none",
    "sandbox env": "--url http://127.0.0.1:1",
    "sandbox manners": "--sandbox http://127.0.0.1:1",
    "bkash uat-report": "--out r.html --overwrite --sandbox http://127.0.0.1:1 --wait-s 1",
    "sandbox seed": "none.yaml --sandbox http://127.0.0.1:1",
    "sandbox reset": "--sandbox http://127.0.0.1:1",
}
CODES = {int(code) for code in Exit} - {int(Exit.INTERRUPTED)}


def _cases() -> Iterator[tuple[str, str]]:
    for path, command in COMMANDS.items():
        if isinstance(command, click.Group):
            continue
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.is_flag:
                yield path.removeprefix("vextrus-pay "), parameter.opts[0]
            elif isinstance(parameter, click.Argument):
                yield path.removeprefix("vextrus-pay "), ""


@pytest.mark.parametrize(("name", "option"), list(_cases()))
def test_no_value_of_an_option_is_a_traceback(
    here: Here,
    name: str,
    option: str,
    sandbox_process: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    base = BASES.get(name, "").split()
    if name == "sandbox serve":  # a port that is taken, so that nothing is served whatever else is right
        base = ["--port", sandbox_process.url.rpartition(":")[2]]
    for number, value in enumerate(NASTY):
        if name == "demo" and option == "--gateway" and not value:
            continue
        given = [option, value] if option else [value, *base[1:]]
        line = [*name.split(), *(base if option else []), *given, *(["--json"] if number % 2 else [])]
        done = here.run(*line)
        about = (line, done.out, done.err)
        assert done.code in CODES, about
        assert "Traceback" not in done.err and "this is a bug" not in done.err, about
        assert "\x1b" not in done.err + done.out and "\u202e" not in done.err + done.out, about
        if done.code in (Exit.USAGE, Exit.NOT_SENT) and done.err.startswith("Error: "):
            assert done.err.count("\n") == 1, about
            assert "money" in done.err, ("whether money moved is said", about)


def test_an_option_given_twice_or_with_a_value_too_many_is_no_traceback(here: Here) -> None:
    for line in (
        ["pay", "bkash", "--amount", "1", "--amount", "x", "--reference", "r"],
        ["pay", "--json=yes", "bkash"],
        ["status", "--live=1"],
        ["doctor", "bkash", "nagad"],
        ["outbox"],
        ["outbox", "nothing"],
        ["webhooks", "lis"],
        ["sandbox", "serv"],
        ["ledger", "--json"],
        ["-x"],
        ["--"],
        ["", ""],
    ):
        done = here.run(*line)
        assert done.code in CODES, line
        assert "Traceback" not in done.err and "this is a bug" not in done.err, (line, done.err)

"""What a terminal is shown and a pipe is not: colors, what goes on, a QR code. Every command through the same doors."""

import re
import sys

import pytest

from tests.cli.running import Gateway, User

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo terminals there")

if sys.platform != "win32":
    from tests.cli.terminal import ESCAPE, run

URLS = ("urls", "--public-url", "https://shop.example/payments")
#: A line that is redrawn: it says what goes on.
_REDRAWN = re.compile(r"\r\x1b\[2K")


def test_a_terminal_gets_colors_and_a_pipe_none(user: User) -> None:
    seen = run(user, *URLS)
    assert seen.code == 0
    assert ESCAPE in seen.out and "https://shop.example/payments/bkash/webhook" in seen.out
    piped = run(user, *URLS, out=False)
    assert ESCAPE not in piped.out
    assert re.sub(r"\x1b\[[0-9;]*m", "", seen.out).split() == piped.out.split()


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
@pytest.mark.parametrize("arguments", [URLS, ("pay", "--help"), ("pay", "bkash")])
def test_whoever_wants_plain_text_gets_it(
    user: User, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    assert ESCAPE not in run(user, *arguments, env=env).out


def test_headings_of_a_help_page_and_the_word_error_stand_out(user: User) -> None:
    page = run(user, "refund", "--help").out
    assert "\x1b[1mExamples:\x1b[0m" in page and "\x1b[36m--amount TEXT\x1b[0m" in page
    assert run(user, "refund").out.startswith("\x1b[1;31mError:\x1b[0m ")


def test_what_goes_on_is_drawn_on_stderr_and_the_answer_is_alone_on_stdout(user: User) -> None:
    seen = run(user, "demo", out=False)
    assert seen.code == 0
    assert ESCAPE not in seen.out and "agree to the last paisa" in seen.out
    assert _REDRAWN.search(seen.err)
    for step in ("Open the payment", "The payer on the hosted page", "Give a part back"):
        assert f"{step} ..." in seen.err, "each step is told while it runs"
    assert seen.err.endswith("\x1b[2K"), "and it is taken away at the end"
    assert "\x1b[?25l" not in seen.err, "the cursor is never hidden: a signal would leave it so"


@pytest.mark.parametrize("more", [("--json",), ()])
def test_nothing_is_drawn_for_a_program_or_a_terminal_that_knows_no_commands(
    user: User, more: tuple[str, ...]
) -> None:
    seen = run(user, "doctor", "bkash", *more, out=False, env={} if more else {"TERM": "dumb"})
    assert seen.code == 1, "nothing is configured"
    assert seen.err == ""


def test_the_page_is_shown_as_a_qr_code_where_there_is_room(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--sandbox", sandbox.url)
    seen = run(user, *asked, "--no-browser", "--wait-s", "1")
    assert seen.code == 3 and "Pending: the payer has not finished" in seen.out
    drawn = [line for line in seen.out.split("\n") if "▀" in line and "⠋" not in line and "Wait" not in line]
    assert len(drawn) > 15
    assert all(line.startswith("\x1b[38;5;16;48;5;231m") or "48;2;255;255;255" in line for line in drawn)
    assert "this machine's own: another device, such as a phone, cannot open it" in seen.out
    assert "Waiting for the payer" in seen.out and " left" in seen.out


def test_where_there_is_no_room_it_says_how_much_it_needs(
    user: User, sandbox: Gateway, amount: str, reference: str
) -> None:
    asked = ("pay", "bkash", "--amount", amount, "--reference", reference, "--sandbox", sandbox.url)
    seen = run(user, *asked, "--no-browser", "--wait-s", "1", rows=24, columns=80)
    assert "▀" not in seen.out
    assert re.search(r"needs a window of \d+ x \d+; --qr prints it all the same", seen.out)
    assert f"{sandbox.url}/?paymentI" in seen.out, "the address is there in any case"

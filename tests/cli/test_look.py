"""The look of every command: what fits, what does not, and what must never be broken."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest

from vextrus_payments.cli import look
from vextrus_payments.cli.output import console, say

ID = "ent_53eb4b93a765587fa092c98b3666c5f997d7b1cb"
COLUMNS = ("Row", look.right("Tries"), look.prose("Why"))
CELLS = [
    (look.cell(ID), look.cell(3), look.cell("There is no account of this name in the chart of accounts.")),
    (look.cell("short"), look.cell(None), look.cell("")),
]


def _console(out: StringIO, width: int) -> Any:
    made = console(out)
    made.width = width
    return made


def _printed(width: int, *, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = StringIO()
    made = _console(out, width)
    made._force_terminal = terminal
    look.rows(made, COLUMNS, [tuple(cell.copy() for cell in row) for row in CELLS])
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [100, 300])
def test_where_there_is_room_it_is_a_table(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(width, terminal=True, monkeypatch=monkeypatch)
    assert lines[0].startswith("╭") and lines[-1].startswith("╰")
    assert sum(ID in line for line in lines) == 1, "an id is never broken"
    assert any("│     3 │" in line for line in lines), "numbers to the right"
    assert max(map(len, lines)) <= width


def test_in_a_narrow_window_it_is_one_record_below_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(60, terminal=True, monkeypatch=monkeypatch)
    assert lines[0] == ID
    assert lines[1].split() == ["Tries", "3"]
    assert "There is no account" in lines[2]
    assert lines[lines.index("short") :] in (["short"], ["short", ""]), "what is empty takes no line"
    assert max(map(len, lines)) <= 60


def test_a_pipe_gets_it_as_wide_as_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _printed(40, terminal=False, monkeypatch=monkeypatch)
    assert sum(ID in line for line in lines) == 1
    assert lines[0].startswith("╭") and len({len(line) for line in lines}) == 1


def test_on_an_old_code_page_there_are_no_boxes() -> None:
    class Old(StringIO):
        encoding = "cp1252"

    out = Old()
    console(out).print(look.panel(look.facts([("Label", "value")]), "Title"))
    assert out.getvalue().isascii()


def test_a_cell_is_one_line_and_nothing_in_it_is_markup() -> None:
    cell = look.cell("[bold]a\x1b[31m\nb[/]")
    assert cell.plain == "[bold]a\ufffd[31m\ufffdb[/]" and not cell.spans
    assert look.cell(None).plain == look.cell("").plain == "-"
    assert look.cell(0).plain == "0"
    assert len(look.cell("x" * 1000).plain) == look.CELL_MAX


def test_a_command_to_copy_is_never_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    made = _console(out, 30)
    command = "vextrus-pay status pay_01m849n8ktkjczvt5gg3srgz60 --json"
    look.commands(made, [("Look at it later", command), ("Or", "x")])
    assert out.getvalue().splitlines() == [f"Look at it later: {command}", "Or:               x"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
    ],
)
def test_ages(seconds: int, words: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert look.age(now, now - timedelta(seconds=seconds)) == words


def test_an_error_in_a_pipe_is_plain(capfd: pytest.CaptureFixture[str]) -> None:
    say("Error: nothing\nmore")
    assert capfd.readouterr().err == "Error: nothing more\n"

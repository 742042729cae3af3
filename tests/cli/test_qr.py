"""The QR code of a payment page: what the terminal is handed, read back module by module."""

import sys
from io import StringIO

import pytest
import segno

from vextrus_payments.cli import qr
from vextrus_payments.cli.output import console

URL = "https://pay.example/checkout?paymentID=TR0011x1y2z3&hash=a(b)!c.d_e&mode=0011"
QUIET = 4


def _read(lines: list[str], *, dark_is_drawn: bool) -> list[list[bool]]:
    """The modules a scanner would see; True is dark."""
    rows = []
    for line in lines:
        for drawn in ("▀█", "▄█"):
            rows.append([(sign in drawn) is dark_is_drawn for sign in line])
    return rows


def _expected() -> list[list[bool]]:
    return [[bool(module) for module in row] for row in segno.make_qr(URL, error="l").matrix]


@pytest.mark.parametrize("dark", [True, False])
def test_what_is_drawn_is_the_code_with_its_quiet_zone(dark: bool) -> None:
    code = qr.code_of(URL)
    assert code is not None
    seen = _read(code.lines(dark=dark), dark_is_drawn=dark)
    expected = _expected()
    size = len(expected)
    inside = [row[QUIET : QUIET + size] for row in seen[QUIET : QUIET + size]]
    assert inside == expected
    around = [*seen[:QUIET], *seen[QUIET + size :]]
    assert not any(module for row in around for module in row), "nothing dark above and below"
    assert all(not any((*row[:QUIET], *row[QUIET + size :])) for row in seen)
    assert {len(line) for line in code.lines(dark=dark)} == {size + 2 * QUIET} == {code.width}
    assert len(code.lines(dark=dark)) == code.height


def test_an_address_that_fits_no_code_has_none() -> None:
    assert qr.code_of("x" * 3000) is None


def test_without_the_package_there_is_none_and_somebody_who_asked_hears_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    problem = qr.show(console(StringIO()), URL, wanted=True)
    assert problem is not None and "vextrus-payments[cli]" in problem


def test_nobody_who_pipes_it_gets_a_code_that_was_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr(sys, "stdout", StringIO())
    assert qr.show(console(out), URL, wanted=None) is None
    assert qr.show(console(out), URL, wanted=False) is None
    assert out.getvalue() == ""


def test_asked_for_it_is_drawn_in_a_pipe_too_without_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr("vextrus_payments.cli.qr.speaks_unicode", lambda: True)
    assert qr.show(console(out), URL, wanted=True) is None
    assert "\x1b" not in out.getvalue()
    lines = out.getvalue().splitlines()
    code = qr.code_of(URL)
    assert code is not None
    assert lines == code.lines(dark=False)


def test_a_stream_that_cannot_show_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vextrus_payments.cli.qr.speaks_unicode", lambda: False)
    assert qr.show(console(StringIO()), URL, wanted=True) is not None


def test_a_window_that_is_too_small_is_told_how_large_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qr, "is_terminal", lambda _: True)
    monkeypatch.setattr(qr, "speaks_unicode", lambda: True)
    code = qr.code_of(URL)
    assert code is not None
    for size, fits in (((code.width, 60), True), ((code.width - 1, 60), False), ((200, code.height), False)):
        monkeypatch.setattr(qr.os, "get_terminal_size", lambda *_, size=size: size)
        monkeypatch.setattr(sys, "stdout", open_stdout := _WithFileno())
        out = StringIO()
        problem = qr.show(console(out), URL, wanted=None)
        assert open_stdout.getvalue() == ""
        assert (problem is None) is fits, (size, problem)
        assert bool(out.getvalue()) is fits
        if problem is not None:
            assert str(code.width) in problem and "--qr" in problem


class _WithFileno(StringIO):
    def fileno(self) -> int:
        return 1

"""`vextrus-pay settle`: compares by default, books on request, and says what differs to a person and to a program."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.running import Here, User
from tests.settlement.books import balances
from tests.settlement.shop import receipt, recorded
from vextrus_payments.records import Receipt
from vextrus_payments.stores import SqliteStore

APP = """
from vextrus_payments import Payments
from vextrus_payments.ledger import AccountMap

payments = Payments(store="sqlite:///{path}", workers=False, accounts=AccountMap(bank="bank:{{gateway}}"))
"""
HEADS = "transaction_id,kind,amount,fee,settled_on"
TENANT = ("--tenant", "acme", "--gateway", "bkash", "--mode", "sandbox")


async def stored(folder: Path, *receipts: Receipt) -> Path:
    path = folder / "payments.db"
    store = SqliteStore(path)
    await store.open()
    for number, each in enumerate(receipts, 1):
        await recorded(store, each, order_ids=(f"ORDER{number}",))
    await store.close()
    return path


def statement(folder: Path, *rows: str) -> Path:
    path = folder / "january.csv"
    path.write_text("\n".join([HEADS, *rows]) + "\n", encoding="utf-8")
    return path


async def test_it_compares_by_default_and_books_nothing(here: Here, tmp_path: Path) -> None:
    path = await stored(tmp_path, receipt())
    file = statement(tmp_path, "AB12,payment,100.00,1.85,2026-01-21")
    import asyncio

    done = await asyncio.to_thread(
        here.run, "settle", str(file), *TENANT, "--store", f"sqlite:///{path}", "--json"
    )
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert (document["agrees"], document["booked"], document["applied"]) == (True, 1, False)
    assert document["gross"] == {"BDT": "100.00"}
    store = SqliteStore(path)
    await store.open()
    assert (await balances(store))["bank"] == 0
    await store.close()


async def test_it_books_with_the_shops_own_accounts(tmp_path: Path) -> None:
    path = await stored(tmp_path, receipt(), receipt("CD34", payment_id="pay_2"))
    (tmp_path / "shop.py").write_text(APP.format(path=path), encoding="utf-8")
    file = statement(tmp_path, "AB12,payment,100.00,1.85,2026-01-21", "EF56,payment,7,0,2026-01-21")
    user = User(tmp_path / "home")
    arguments = ["settle", str(file), "--gateway", "bkash", "--mode", "sandbox", "--app", "shop:payments"]
    done = user.run(
        *arguments, "--tenant", "acme", "--apply", "--covers", "2026-01", "--findings", "found.csv"
    )
    assert done.code == 1, done.out + done.err
    assert "missing_here" in done.out
    assert "missing_there" in done.out
    assert "found.csv" in done.err
    with (tmp_path / "found.csv").open(encoding="utf-8-sig", newline="") as found:
        rows = list(csv.DictReader(found))
    assert {(row["kind"], row["transaction_id"], row["row"]) for row in rows} == {
        ("missing_here", "EF56", "3"),
        ("missing_there", "CD34", ""),
    }
    store = SqliteStore(path)
    await store.open()
    assert (await balances(store))["bank:bkash"] == 9815
    await store.close()
    again = user.run(*arguments, "--tenant", "acme", "--apply", "--json")
    assert (again.document["booked"], again.document["already"]) == (0, 1)


def test_a_bad_row_is_one_clear_line_and_exit_2(here: Here, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "payments.db")
    file = statement(tmp_path, '=cmd(),payment,"1,500",0,2026-01-21', "AB12,gift,5,0,2026-01-21")
    where = ("--store", f"sqlite:///{tmp_path / 'payments.db'}")
    found = tmp_path / "found.csv"
    done = here.run("settle", str(file), *TENANT, *where, "--findings", str(found))
    assert done.code == 2
    assert "january.csv: row 2, column 'amount', has thousands separators" in done.error
    assert "Nothing was booked" in done.error
    assert str(found) in done.error
    with found.open(encoding="utf-8-sig", newline="") as file_found:
        rows = list(csv.DictReader(file_found))
    assert [(row["kind"], row["row"], row["field"]) for row in rows] == [
        ("bad_row", "2", "amount"),
        ("bad_row", "3", "kind"),
    ]
    assert rows[0]["transaction_id"] == "'=cmd()", "no formula of theirs reaches a spreadsheet of ours"
    done = here.run("settle", str(file), *TENANT, *where, "--on-bad-row", "skip", "--json")
    assert done.code == 1
    assert done.document["bad_rows"] == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--apply"], "--apply needs the shop's own settings"),
        (["--covers", "2026-13"], "--covers"),
        (["--covers", "2026-01-31..2026-01-01"], "--covers"),
        (["--settled-on", "31/01/2026"], "--settled-on"),
        (["--settles-within", "-1"], "--settles-within"),
        (["--format", "absent.toml"], "absent.toml"),
        (["--mode", "test"], "--mode"),
    ],
)
def test_what_cannot_be_meant_is_refused(more: list[str], words: str, here: Here, tmp_path: Path) -> None:
    file = statement(tmp_path)
    where = ("--store", f"sqlite:///{tmp_path / 'payments.db'}")
    done = here.run("settle", str(file), *TENANT, *where, *more)
    assert done.code == 2
    assert words in done.error


def test_without_any_store_there_is_nothing_to_compare_with(here: Here, tmp_path: Path) -> None:
    done = here.run("settle", str(statement(tmp_path)), *TENANT)
    assert done.code == 2
    assert "no payments in" in done.error


def test_the_statement_is_not_written_over(here: Here, tmp_path: Path) -> None:
    file = statement(tmp_path)
    done = here.run("settle", str(file), *TENANT, "--findings", str(tmp_path / "." / "january.csv"))
    assert done.code == 2
    assert file.read_text(encoding="utf-8").startswith(HEADS)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2026-12", "2026-12-01", "2026-12-31"),
        ("2026-01-31", "2026-01-31", "2026-01-31"),
        ("2026-01-05..2026-02-03", "2026-01-05", "2026-02-03"),
    ],
)
def test_spans_of_days(text: str, first: str, last: str) -> None:
    from vextrus_payments.cli.params import DAYS

    days = DAYS.convert(text, None, None)
    assert (days.first.isoformat(), days.last.isoformat()) == (first, last)


def test_words_of_the_statement_are_shown_as_they_are(here: Here, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "payments.db")
    file = statement(tmp_path, "[red]AB12[/red],payment,100.00,1.85,2026-01-21")
    done = here.run("settle", str(file), *TENANT, "--store", f"sqlite:///{tmp_path / 'payments.db'}")
    assert done.code == 1
    assert "[red]AB12[/red]" in done.out
    assert "missing_here" in done.out


def test_a_file_for_findings_that_cannot_be_written_is_said_before_anything_happens(
    here: Here, tmp_path: Path
) -> None:
    SqliteStore(tmp_path / "payments.db")
    where = ("--store", f"sqlite:///{tmp_path / 'payments.db'}")
    findings = tmp_path / "absent" / "found.csv"
    done = here.run("settle", str(statement(tmp_path)), *TENANT, *where, "--findings", str(findings))
    assert done.code == 2
    assert "cannot be written: No such file" in done.error


def test_a_bar_moves_on_a_terminal_through_every_phase(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from vextrus_payments.cli.settling import SettleProgress
    from vextrus_payments.settlement import Phase, Progress

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with SettleProgress(quiet=False) as bar:
        bar.show(Progress(Phase.READING, 500, None))
        bar.show(Progress(Phase.READING, 1000, None))
        bar.show(Progress(Phase.MATCHING, 500, 1000))
        bar.show(Progress(Phase.MISSING, 10, None))
        progress = bar._busy._progress
        assert progress is not None
        ((shown, done, total),) = [(task.description, task.completed, task.total) for task in progress.tasks]
    assert (shown, done, total) == ("Looking for what is missing ...", 10, None)
    monkeypatch.undo()
    with SettleProgress(quiet=True) as bar:
        bar.show(Progress(Phase.READING, 500, None))
        assert not bar._busy.is_drawn
    assert capsys.readouterr().out == ""

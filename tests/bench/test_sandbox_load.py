"""The sandbox's load proof: what it judges, and that it sees what goes wrong. Nothing here measures a time."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench import sandbox_load
from bench.loopback_client import Client, WireError
from bench.sandbox_load import BEGIN, END, Look, Phase, paced, rendered, shops_of, sold_by, wallet_of, write
from vextrus_payments_sandbox.serve import SandboxServer

GOOD = Phase("walked", 30, 29.9, 300, 8.0, 16.0, 17, 66.0, 67.0)


def run(**changes: Any) -> dict[str, Any]:
    told: dict[str, Any] = {
        "at": "2026-01-15 12:00 UTC",
        "python": "3.11",
        "system": "Linux x86_64",
        "cpus": 2,
        "load": [0.1, 0.2],
        "seconds": 60,
        "payments": 100_000,
        "phases": [sandbox_load.asdict(GOOD)],
        "looks": [sandbox_load.asdict(Look("the newest", "/", 100_000, 2.0, 4.0))],
        "missed": [],
    }
    return told | changes


# ---------------------------------------------------------------------------------------------- judgements


def test_a_good_phase_misses_nothing() -> None:
    assert GOOD.missed == []
    assert replace(GOOD, warm_mib=None, end_mib=None).missed == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"errors": ["WireError: create: 2002"]}, "1 errors, such as WireError: create: 2002"),
        ({"problems": ["bkash X: the books say (1, 0)"]}, "the books say"),
        ({"reached_per_s": 29.0}, "29.0 payments/s of 30"),
        ({"end_mib": 75.0}, "memory grew by 9.0 MiB"),
    ],
)
def test_whatever_does_not_hold_is_said(change: dict[str, Any], said: str) -> None:
    assert any(said in words for words in replace(GOOD, **change).missed)


def test_a_slow_dashboard_is_a_miss() -> None:
    assert Look("the newest", "/", 100_000, 2.0, 100.0).missed == []
    assert "101.0 ms" in Look("the newest", "/", 100_000, 2.0, 101.0).missed[0]


def test_percentiles() -> None:
    assert sandbox_load._percentiles([number / 1000 for number in range(1, 101)]) == (50.0, 99.0)
    assert sandbox_load._percentiles([0.004]) == (4.0, 4.0)
    assert sandbox_load._percentiles([]) == (0.0, 0.0)


async def test_payments_begin_when_due_and_an_error_ends_only_its_own() -> None:
    begun: list[int] = []

    async def one(number: int) -> None:
        begun.append(number)
        if number == 7:
            raise WireError("no")

    took, errors, _ = await paced(1e9, 5, 5, one)
    assert begun == [5, 6, 7, 8, 9]
    assert len(took) == 4 and errors == ["WireError: no"]


# ------------------------------------------------------------------------------------------- the document


def test_the_table_is_put_between_its_marks(tmp_path: Path) -> None:
    page, latest = tmp_path / "page.md", tmp_path / "latest.json"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n", encoding="utf-8")
    write(run(), page, latest)
    write(run(missed=["walked: 1 errors"]), page, latest)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\n\nafter\n") and "old" not in text
    assert text.count(BEGIN) == text.count(END) == 1
    assert "| walked | 30/s | 29.9/s | 300 | 0 | empty |" in text
    assert "**missed:** walked: 1 errors" in text and latest.is_file()


def test_a_document_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit, match="marks"):
        write(run(), page, tmp_path / "latest.json")
    assert page.read_text(encoding="utf-8") == "nothing" and not (tmp_path / "latest.json").exists()


def test_the_real_page_has_the_marks() -> None:
    text = sandbox_load.table.DOCUMENT.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert rendered(run()).startswith("| Load |")


# -------------------------------------------------------------------------------------------- on the wire


@pytest.mark.parametrize("gateways", [1, 2], ids=["bkash", "both"])
async def test_both_ways_of_paying_leave_whole_books_behind(gateways: int) -> None:
    async with SandboxServer() as server:
        client = Client(server.url)
        shops = await shops_of(client, dict(server.info))
        await sandbox_load._started_over(client)
        begun = client.requests
        if gateways == 1:
            walked, approved = shops[0].walked, shops[0].approved
        else:
            walked, approved = sold_by(shops, "walked"), sold_by(shops, "approved")
        await asyncio.gather(*(walked(number) for number in range(4)))
        await asyncio.gather(*(approved(number) for number in range(4, 8)))
        assert await sandbox_load._problems(client, 8) == []
        books = server.world.books.movements
        assert {line.source for line in books if line.kind == "debit"} == {
            f"wallet:{wallet_of(number)}" for number in range(8)
        }
        expected = {"bkash", "nagad"} if gateways == 2 else {"bkash"}
        assert {line.gateway for line in books if line.kind == "debit"} == expected
        # bKash: create, three times page and form, execute; or create, approve, execute. Nagad has one call more.
        assert client.requests - begun == 4 * 8 + 4 * 3 + (4 if gateways == 2 else 0) + 1
        assert 1 < client.connections <= 4
        assert await sandbox_load._problems(client, 9) == ["8 of 8 payments are paid; 9 were begun"]
        client.close()


@pytest.mark.parametrize(
    ("fault", "said"), [("drop_after", "IncompleteReadError"), ("error_5xx_before", "answered with 504")]
)
@pytest.mark.parametrize(("gateway", "operation"), [("bkash", "execute"), ("nagad", "verify")])
async def test_a_fault_of_the_sandbox_is_seen(gateway: str, operation: str, fault: str, said: str) -> None:
    async with SandboxServer() as server:
        client = Client(server.url)
        shops = await shops_of(client, dict(server.info))
        await sandbox_load._started_over(client)
        wish = {"gateway": gateway, "operation": operation, "fault": fault}
        await client.ask(
            "POST", "/_sandbox/faults", json.dumps(wish).encode(), {"Content-Type": "application/json"}
        )
        with pytest.raises(WireError, match=said):
            await sold_by(shops, "approved")(0 if gateway == "bkash" else 1)
        client.close()


async def test_pages_are_looked_at_alone_and_under_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_load, "_ASKED", 2)
    async with SandboxServer() as server:
        process: Any = SimpleNamespace(url=server.url, info=dict(server.info))
        found = await sandbox_load.looks(process, 10)
        titles = [look.title for look in found]
        assert len(found) == 14 and titles[7:] == [f"{title}, under load" for title in titles[:7]]
        assert all(look.p99_ms > 0 for look in found) and len(server.world.register.names) > 0
        await server.app.state.exchange.idle()
        assert server.world.audit() == []


async def test_a_payment_that_fails_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_load, "_ASKED", 60)
    async with SandboxServer() as server:
        client = Client(server.url)
        wish = {"gateway": "nagad", "operation": "verify", "fault": "error_5xx_before", "times": "always"}
        await client.ask(
            "POST", "/_sandbox/faults", json.dumps(wish).encode(), {"Content-Type": "application/json"}
        )
        client.close()
        process: Any = SimpleNamespace(url=server.url, info=dict(server.info))
        with pytest.raises(WireError, match="payments failed meanwhile"):
            await sandbox_load.looks(process, 10)


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--payments", "0"], ["--seconds", "x"]])
def test_a_wrong_argument_is_two(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sandbox_load", *arguments])
    with pytest.raises(SystemExit) as ended:
        sandbox_load.main()
    assert ended.value.code == 2

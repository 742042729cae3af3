"""Four processes on one SQLite file, for every operation of the port; and four that bring one file up to date."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.test_stores import race
from tests.unit.sqlite_file import sql
from tests.unit.test_stores_sqlite_releases import schema_1
from vextrus_payments.clock import SystemClock, SystemSleeper
from vextrus_payments.inbox import InboxBacklog, InboxState
from vextrus_payments.plans import Claim, Plan
from vextrus_payments.records import OutboxKind, OutboxRow, PaymentState
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import SqliteStore
from vextrus_payments.stores.migrations import migrations
from vextrus_payments.testing.store_trial import StoreTrial


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def prepare_everything(trial: StoreTrial) -> None:
    """The rows that the processes fight over in their task "everything"."""
    store = trial.store
    facts = await trial.awaiting("COMMIT")
    await store.put_mark("version of COMMIT", str(facts.payment.version), expected=None)
    for reference in ("HELD", "FREE"):
        claim = await trial.claim_execute(await trial.awaiting(reference))
        assert isinstance(claim, Claim)
    await trial.paid("PAID")
    for number in range(12):
        made = await trial.reserved(f"WATCH-{number}")
        payment = replace(made.facts.payment, version=2)
        due = store.now() - timedelta(seconds=1)
        await trial.recorded(Plan(payment=payment, expected_version=1, watch_at=due))
    for number in range(7):
        made = await trial.reserved(f"SWEEP-{number}")
        payment = replace(made.facts.payment, version=2)
        await trial.recorded(Plan(payment=payment, expected_version=1))
    made = await trial.reserved("OUTBOX")
    rows = tuple(
        OutboxRow(
            tenant="acme",
            row_id=f"row-{subject}-{seq}",
            subject=f"s{subject}",
            seq=seq,
            kind=OutboxKind.EVENT,
            document="{}",
            created_at=store.now(),
        )
        for subject in range(6)
        for seq in (1, 2, 3)
    )
    parked = replace(rows[0], row_id="row-parked", subject="parked", parked="not taken")
    payment = replace(made.facts.payment, version=2)
    await trial.recorded(
        Plan(
            payment=payment,
            expected_version=1,
            outbox=(*rows, parked),
            watch_at=store.now() + timedelta(days=1),
        )
    )


async def judge_everything(trial: StoreTrial, reports: list[dict[str, Any]]) -> None:
    """What four times ten callers may have been answered, and what must stand now."""
    store = trial.store

    def all_of(name: str) -> list[Any]:
        return sorted(each for report in reports for each in report[name])

    assert all_of("commits") == ["Committed"] + ["Stale"] * 39
    assert len((await trial.facts("acme", "pay_COMMIT")).receipts) == 1
    assert all_of("checkpoints") == ["NoneType"] * 40
    held = (await trial.facts("acme", "pay_HELD")).operation("execute/pay_HELD/1")
    assert held is not None and len(held.evidence) == 40, "no evidence is lost"
    assert all_of("releases") == [False] * 39 + [True]
    logs = [a for a in await store.attempts("acme", "pay_HELD") if a.operation_id == "log"]
    assert len(logs) == 1
    assert all_of("agreements") == ["Committed"] + ["Stale"] * 39
    assert all_of("operation ids") == ["Committed"] + ["OperationTaken"] * 39
    assert all_of("settlements") == [0] * 39 + [1]
    assert all_of("marks") == [False] * 39 + [True]
    assert all_of("unparked") == [False] * 39 + [True]
    watches = all_of("watches")
    assert len(watches) == len(set(watches))
    assert {f"pay_WATCH-{number}" for number in range(12)} <= set(watches)
    assert sum(report["swept"] for report in reports) == 7 + 2, "and two agreements"
    delivered = all_of("delivered")
    assert len(delivered) == len(set(delivered)), "no row is handed over twice"
    for report in reports:
        seen: dict[str, int] = {}
        for name in report["delivered"]:
            subject, _, seq = name.rpartition("/")
            assert seen.get(subject, 0) < int(seq), "in order within its subject"
            seen[subject] = int(seq)
    assert (await store.backlog(OutboxKind.EVENT)).waiting == 0


def trial_of(store: PaymentStore) -> StoreTrial:
    return StoreTrial(store, store, SystemSleeper().sleep)


async def test_every_operation_from_four_processes(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    store = SqliteStore(tmp_path / "payments.db", clock=SystemClock())
    await store.open()
    await prepare_everything(trial_of(store))
    mark = await store.change_mark()
    assert await store.change_mark() == mark
    reports = race(processes, "everything", tmp_path / "payments.db")
    assert await store.change_mark() != mark, "that others have committed is noticed"
    await judge_everything(trial_of(store), reports)
    assert await sql(store, "PRAGMA integrity_check") == [("ok",)]
    assert await sql(store, "PRAGMA foreign_key_check") == []
    await store.close()


async def judge_news(store: PaymentStore, reports: list[dict[str, Any]]) -> None:
    """Twenty pieces of news, each told four hundred times: kept once, and worked on by one holder."""
    assert sum(report["new"] for report in reports) == 20
    leased = [key for report in reports for key in report["leased"]]
    assert sorted(leased) == sorted([*(f"n{n}" for n in range(10)), *(f"m{n}" for n in range(10))])
    rows = (await store.list_inbox("acme", limit=1000)).rows
    assert [(row.state, row.fence) for row in rows] == [(InboxState.DONE, 1)] * 20
    assert await store.inbox_backlog() == InboxBacklog(0, 0, None)


async def test_four_processes_keep_news_once_and_work_on_it_once(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    reports = race(processes, "hear", tmp_path / "payments.db")
    store = SqliteStore(tmp_path / "payments.db", clock=SystemClock())
    await store.open()
    await judge_news(store, reports)
    assert await sql(store, "PRAGMA integrity_check") == [("ok",)]
    await store.close()


async def test_four_processes_at_work_starve_nobody(
    tmp_path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    """Thirty payments at once in each: group commits of four processes take turns, and each gets all of its own."""
    reports = race(processes, "life", tmp_path / "payments.db")
    assert [kind for report in reports for kind in report["refunds"]] == ["Reserved"] * 120
    store = SqliteStore(tmp_path / "payments.db", clock=SystemClock())
    await store.open()
    listed = await store.list("acme", state=PaymentState.PAID, limit=1000)
    assert len(listed.rows) == 120
    facts = [await store.get("acme", payment.payment_id) for payment in listed.rows]
    assert all(each is not None and len(each.receipts) == 1 for each in facts)
    assert (await store.backlog(OutboxKind.EVENT)).waiting == 120
    await store.close()


async def test_four_processes_bring_one_old_file_up_to_date(
    tmp_path: Path, processes: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the first release, with its rows: migrated once, by whoever comes first, under the others' eyes."""
    path = tmp_path / "payments.db"
    await schema_1(path, monkeypatch)
    reports = race(processes, "life", path)
    assert len([kind for report in reports for kind in report["refunds"]]) == 120, json.dumps(reports)
    store = SqliteStore(path, clock=SystemClock())
    await store.open()
    known = [(migration.number,) for migration in migrations("sqlite")]
    assert len(known) > 1 and await sql(store, "SELECT number FROM migrations") == known
    assert await store.get("acme", "pay_full") is not None, "what was there is still there"
    assert await store.find("acme", transaction_id="TRX1"), "all of it"
    await store.close()

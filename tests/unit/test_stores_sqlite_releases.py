"""Old files under this release, and the old release on this schema.

`releases/sqlite_0001.json` holds every statement that the release of schema 1 sent to SQLite over a life of payments,
with the values it bound, and of each answer the number of rows and a digest. Played again on the present schema every
answer must be the same: that release cannot tell the difference.
"""

import hashlib
import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.payouts_aside import put_payouts_aside
from tests.unit.sqlite_file import refused, sql, trial_of
from vextrus_payments.mode import Mode
from vextrus_payments.plans import Claim, Committed
from vextrus_payments.records import OperationState, OutboxKind, PaymentState, SubjectKind
from vextrus_payments.stores import SqliteStore
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.sqlite import file
from vextrus_payments.testing import FakeClock
from vextrus_payments.testing.store_trial import LONG
from vextrus_payments.testing.time import EPOCH

_RELEASE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "releases" / "sqlite_0001.json").read_text(encoding="utf-8")
)


def play(connection: sqlite3.Connection) -> None:
    """What the release of schema 1 did, with every answer compared."""
    for number, (statement, values, count, digest) in enumerate(_RELEASE["steps"]):
        rows = connection.execute(_RELEASE["statements"][statement], values).fetchall()
        text = json.dumps([list(row) for row in rows], separators=(",", ":"))
        found = (len(rows), hashlib.sha256(text.encode("utf-8")).hexdigest()[:16])
        assert found == (count, digest), f"step {number}: {_RELEASE['statements'][statement]}"


def only_first(kind: str) -> tuple[Migration, ...]:
    return migrations(kind)[:1]


async def schema_1(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file as the first release made it, with its rows."""
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", only_first)
        connection = file.connect(str(path), busy_timeout_s=5, now=EPOCH)
    play(connection)
    connection.close()


async def opened(path: Path) -> tuple[SqliteStore, FakeClock]:
    """The file under this release, some minutes after the old one's life."""
    clock = FakeClock()
    clock.advance(300)
    store = SqliteStore(path, clock=clock)
    await store.open()
    return store, clock


async def check_usable(store: SqliteStore) -> None:
    """What the old release wrote is read, found, delivered and worked on by this one."""
    facts = await store.get("acme", "pay_INV-1")
    assert facts is not None and facts.payment.state is PaymentState.PAID
    assert [o.state for o in facts.operations][-1] is OperationState.UNKNOWN
    times = []
    for tenant, gateway, mode in (("acme", "bkash", Mode.SANDBOX), ("acme", "bkash", Mode.LIVE)):
        page = await store.list_receipts(tenant, gateway, mode, unsettled=True)
        assert page.rows and page.cursor is None
        assert list(page.rows) == sorted(page.rows, key=lambda row: row.recorded_at)
        since = page.rows[-1].recorded_at
        last = await store.list_receipts(tenant, gateway, mode, since=since)
        assert page.rows[-1] in last.rows and all(row.recorded_at >= since for row in last.rows)
        before = await store.list_receipts(tenant, gateway, mode, until=since)
        assert len(before.rows) + len(last.rows) == len(page.rows)
        times += [row.recorded_at for row in page.rows]
    assert any(moment.microsecond for moment in times), "to the microsecond"
    leased = await store.lease(OutboxKind.EVENT, limit=10, lease_s=60)
    assert leased, "what was leased under the old release is given out again"
    parked = await store.list_outbox(OutboxKind.EVENT, parked=True)
    assert [row.parked for row in parked.rows] == ["never"]
    assert await store.unpark(parked.rows[0].tenant, parked.rows[0].row_id)
    made = await trial_of(store).paid("INV-new")
    refund = await store.reserve(trial_of(store).refund_of(made, "refund-new", "1"))
    assert isinstance(await store.claim("acme", "refund-new", LONG), Claim), refund
    assert await sql(store, "PRAGMA integrity_check") == [("ok",)]
    assert await sql(store, "PRAGMA foreign_key_check") == []


async def test_a_file_of_the_first_release_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "payments.db"
    await schema_1(path, monkeypatch)
    store, _ = await opened(path)
    watches = await store.lease_watches(limit=100, lease_s=60)
    due = {watch.subject_id for watch in watches}
    # pay_INV-4 was declined for good: nothing about it can change any more. All others are open in some way.
    assert due == {"pay_INV-1", "pay_INV-2", "pay_INV-3", "pay_INV-5", "pay_GIFT", "pay_g2", "pay_full"}
    assert {watch.subject_kind for watch in watches} == {SubjectKind.PAYMENT}
    assert {watch.tries for watch in watches} == {1}
    await check_usable(store)
    await store.close()


async def test_the_release_before_works_on_this_schema(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    connection = file.connect(str(path), busy_timeout_s=5, now=EPOCH)
    play(connection)
    connection.close()
    store, _ = await opened(path)
    watches = await store.lease_watches(limit=100, lease_s=60)
    assert len(watches) == len((await store.list()).rows), "its rows have no time of their own: due at once"
    assert {watch.due_at for watch in watches} == {datetime(1970, 1, 1, tzinfo=UTC)}
    await check_usable(store)
    await store.close()


async def test_both_releases_take_turns(tmp_path: Path) -> None:
    """On the rows of each other: the old release settles what the new one watches, and leases what it leased."""
    store, clock = await opened(tmp_path / "payments.db")
    trial = trial_of(store)
    facts = await trial.awaiting("INV-1")
    claim = await trial.claim_execute(facts)
    assert isinstance(claim, Claim)
    plan = replace(trial.paid_plan(claim.facts, "TRX1"), watch_at=None)
    assert isinstance(await store.commit(plan), Committed)
    assert await store.lease_watches(limit=10, lease_s=60) == ()
    (row, *_) = await store.lease(OutboxKind.EVENT, limit=1, lease_s=10)
    old = sqlite3.connect(tmp_path / "payments.db", isolation_level=None)
    # The statements of the old release: a commit that opens something, and a lease after ours ran out.
    (update,) = (s for s in _RELEASE["statements"] if s.startswith("UPDATE payments"))
    assert "watch" not in update
    paid = await store.get("acme", "pay_INV-1")
    assert paid is not None
    document = json.dumps({**json.loads(_document(old)), "version": paid.payment.version + 1})
    done = old.execute(
        update,
        ("awaiting_payer", paid.payment.version + 1, document, "acme", "pay_INV-1", paid.payment.version),
    )
    assert done.rowcount == 1
    assert await store.lease_watches(limit=10, lease_s=60) == (), "it arms nothing"
    assert await store.sweep_watches() == 1, "the sweep does"
    (watch,) = await store.lease_watches(limit=10, lease_s=60)
    assert watch.subject_id == "pay_INV-1"
    clock.advance(11)
    until_us = int((clock.now() + timedelta(seconds=90)).timestamp()) * 1_000_000
    old.execute("UPDATE outbox SET due_at = ? WHERE row_id = ?", (until_us, row.row_id))
    old.close()
    await store.nack(row, retry_at=clock.now(), why="a lease that is over")
    assert await store.lease(OutboxKind.EVENT, limit=1, lease_s=10) == (), "the old release holds it"
    await store.close()


def _document(connection: sqlite3.Connection) -> str:
    (text,) = connection.execute("SELECT document FROM payments").fetchone()
    return str(text)


async def test_payouts_under_review_that_an_older_release_put_aside_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", lambda kind: migrations(kind)[:4])
        store = SqliteStore(tmp_path / "payments.db")
        await store.open()
        await put_payouts_aside(store)
        await sql(store, "UPDATE payouts SET is_settled = 1")
        await store.close()
    await store.open()
    waiting = await store.list_payouts(unsettled=True)
    assert [payout.payout_id for payout in waiting.rows] == ["pyo_odd", "pyo_told"]
    await store.close()


async def test_receipts_stay_as_they_are_with_a_time_of_the_old_release(tmp_path: Path) -> None:
    store, _ = await opened(tmp_path / "payments.db")
    await trial_of(store).paid("INV-1")
    with pytest.raises(sqlite3.IntegrityError, match="only inserted"):
        await sql(store, "UPDATE receipts SET recorded_at = 1")
    insert = next(s for s in _RELEASE["statements"] if s.startswith("INSERT INTO receipts"))
    moments = {
        "2026-01-01T00:00:00Z": datetime(2026, 1, 1, tzinfo=UTC),
        "2026-01-01T06:00:59.999999+06:00": datetime(2026, 1, 1, 0, 0, 59, 999_999, tzinfo=UTC),
        "2026-01-01T00:00:00.000001Z": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        "2026-01-01T05:30:00+05:30": datetime(2026, 1, 1, tzinfo=UTC),
    }
    connection = store._connection
    assert connection is not None
    for number, moment in enumerate(moments):
        document = json.dumps(
            {"transaction_id": '"recorded_at":"x"', "recorded_at": moment}, separators=(",", ":")
        )
        values = ("acme", "bkash", "live", "payment", f"T{number}", None, document)
        await store._runner.run(lambda values=values: connection.execute(insert, values))  # type: ignore[misc]
    kept = await sql(store, "SELECT recorded_at FROM receipts WHERE mode = 'live' ORDER BY id")
    expected = [
        (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        for moment in moments.values()
    ]
    assert [micros for (micros,) in kept] == expected
    for change in ("document = '{}'", "recorded_at = NULL", "payment_id = 'pay_2'"):
        with pytest.raises(sqlite3.IntegrityError, match="only inserted"):
            await sql(store, f"UPDATE receipts SET {change}")
    await store.close()


# --- a schema that is newer than the release --------------------------------------------------------------------------


def later(compatible: int | None) -> tuple[Migration, ...]:
    known = migrations("sqlite")
    line = "" if compatible is None else f"-- compatible: {compatible}\n"
    return (*known, Migration(len(known) + 1, "0006_later", f"{line}CREATE TABLE later (a);\n"))


@pytest.mark.parametrize(("compatible", "opens"), [(1, True), (5, True), (6, False), (None, False)])
async def test_a_newer_schema_says_who_may_go_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compatible: int | None, opens: bool
) -> None:
    path = tmp_path / "payments.db"
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", lambda kind: later(compatible))
        store = SqliteStore(path)
        await store.open()
        await trial_of(store).reserved("INV-1")
        await store.close()
    store = SqliteStore(path)
    if not opens:
        error = await refused(store, "storage_newer_schema")
        assert "schema is 6, this one knows 5" in error.what
        return
    await store.open()
    await trial_of(store).paid("INV-2")
    assert await sql(store, "SELECT count(*) FROM migrations") == [(6,)]
    await store.close()


async def test_what_a_newer_schema_says_counts_only_for_itself(tmp_path: Path) -> None:
    """A migration that did not say anything, run by whoever: what an earlier one said does not speak for it."""
    store, _ = await opened(tmp_path / "payments.db")
    await sql(store, "INSERT INTO migrations VALUES (6, '0006_by_hand', 'x', 0)")
    await store.close()
    await refused(store, "storage_newer_schema")
    raw = sqlite3.connect(tmp_path / "payments.db")
    raw.execute("UPDATE meta SET value = '6' WHERE key = 'schema_version'")
    raw.execute("UPDATE meta SET value = 'anything' WHERE key = 'schema_compatible'")
    raw.commit()
    raw.close()
    await refused(store, "storage_newer_schema")


def test_no_migration_takes_back_what_an_older_one_said() -> None:
    """The oldest release that can run never gets older again."""
    oldest = [migration.compatible for migration in migrations("sqlite")]
    assert oldest == sorted(oldest)
    assert all(1 <= each <= number for number, each in enumerate(oldest, 1))


async def test_the_first_release_opens_this_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the rule that this release has: whoever knows schema 1 alone may work on."""
    store, _ = await opened(tmp_path / "payments.db")
    await store.close()
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", only_first)
        connection = file.connect(str(tmp_path / "payments.db"), busy_timeout_s=5, now=EPOCH)
    play(connection)
    connection.close()


def shape_beside_the_inbox(path: Path, known: int, monkeypatch: pytest.MonkeyPatch) -> tuple[object, object]:
    """The whole schema of a fresh file, and the statistics, without what concerns the inbox."""
    with monkeypatch.context() as patch:
        patch.setattr(file, "migrations", lambda kind: migrations(kind)[:known])
        connection = file.connect(str(path), busy_timeout_s=5, now=EPOCH)
    shape = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name <> 'inbox' ORDER BY 1, 2"
    ).fetchall()
    statistics = connection.execute(
        "SELECT tbl, idx, stat FROM sqlite_stat1 WHERE tbl <> 'inbox' ORDER BY 1, 2"
    ).fetchall()
    connection.close()
    return shape, statistics


def test_the_third_schema_changes_nothing_that_the_second_release_reads_or_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That release knows an inbox by name alone: no statement of it names the table."""
    before = shape_beside_the_inbox(tmp_path / "2.db", 2, monkeypatch)
    assert all(before)
    assert shape_beside_the_inbox(tmp_path / "3.db", 3, monkeypatch) == before
    assert not any("inbox" in statement for statement in _RELEASE["statements"])

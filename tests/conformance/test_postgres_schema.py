"""PostgreSQL's schema: made and changed by command only, whole or not at all, and fit for the release before."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.former_postgres import FormerStore
from tests.conformance.postgres_database import emptied, script, sql, trial_of
from tests.payouts_aside import put_payouts_aside
from vextrus_payments.errors import StorageError
from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Committed
from vextrus_payments.records import OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import PostgresStore
from vextrus_payments.stores.migrations import Migration, migrations
from vextrus_payments.stores.postgres import schema
from vextrus_payments.testing import FakeClock, check_store
from vextrus_payments.testing.store_records import full_plan

#: What a release that knows schema 1 can be asked.
FORMER_CHECKS = (
    "reserve_once",
    "one_charge_per_reference",
    "siblings_that_do_not_stand_in_the_way",
    "executes_of_one_reference_race",
    "order_ids_are_unique",
    "order_ids_race",
    "fifty_claims",
    "claim_answers",
    "fences",
    "refunds_never_exceed",
    "one_refund_at_a_time",
    "commit_compares_versions",
    "commits_race",
    "guards",
    "a_receipt_is_booked_once",
    "an_operation_stays_with_its_payment",
    "events_and_entries_once",
    "every_field_comes_back",
    "attempts_are_history",
    "siblings_in_order",
    "in_order_per_subject",
    "leases_run_out",
    "backlog_tells",
    "leases_race",
    "checkpoints_race",
    "releases_race",
    "guards_race",
    "whole_references_race",
    "one_snapshot_many_verbs",
    "attempts_race",
)


@pytest.fixture
def dsn(postgres_dsn: str) -> str:
    return postgres_dsn


async def refused(store: PostgresStore, code: str) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await store.open()
    assert caught.value.code == code
    assert caught.value.__cause__ is None and caught.value.__context__ is None
    return caught.value


def known(monkeypatch: pytest.MonkeyPatch, *found: Migration) -> None:
    monkeypatch.setattr(schema, "migrations", lambda kind: found)


def test_a_released_migration_is_never_changed() -> None:
    """The checksums of what was released. A change of the schema is a new file, and a new line here."""
    assert [(m.number, m.name, m.compatible) for m in migrations("postgres")] == [
        (1, "0001_first", 1),
        (2, "0002_watches_agreements_settlements", 1),
        (3, "0003_inbox", 1),
        (4, "0004_payouts", 1),
        (5, "0005_payouts_in_review", 1),
    ]


# --- open ----------------------------------------------------------------------------------------------------------


async def test_open_changes_nothing_and_says_what_to_do(dsn: str) -> None:
    store = PostgresStore(dsn)
    error = await refused(store, "storage_not_migrated")
    assert "vextrus-pay migrate" in error.next_step
    assert await sql(dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'vextrus_payments'") == []
    assert [m.number for m in await store.migrate()] == [1, 2, 3, 4, 5]
    assert await store.migrate() == ()
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()


async def test_a_schema_behind_this_release_is_refused(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresStore(dsn)
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:1])
        await store.migrate()
    error = await refused(store, "storage_not_migrated")
    assert "schema 1 of 5" in str(error)
    assert [m.number for m in await store.pending()] == [2, 3, 4, 5]


async def test_a_newer_schema_serves_where_it_says_so(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = migrations("postgres")
    friendly = Migration(6, "0006_more", "-- compatible: 3\nCREATE TABLE more (a integer);\n")
    breaking = Migration(7, "0007_other", "ALTER TABLE payments RENAME COLUMN state TO condition;\n")
    store = PostgresStore(dsn)
    with monkeypatch.context() as patch:
        known(patch, *ours, friendly)
        await store.migrate()
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()
    assert await store.migrate() == (), "an older release takes nothing back"
    with monkeypatch.context() as patch:
        known(patch, *ours, friendly, breaking)
        await store.migrate()
    error = await refused(store, "storage_newer_schema")
    assert "schema is 7" in str(error)
    with pytest.raises(StorageError):
        await store.migrate()


async def test_payouts_under_review_that_an_older_release_put_aside_are_found(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:4])
        store = PostgresStore(dsn)
        await store.migrate()
        await store.open()
        await put_payouts_aside(store)
        await script(dsn, "UPDATE vextrus_payments.payouts SET is_settled = true")
        await store.close()
    await store.migrate()
    await store.open()
    waiting = await store.list_payouts(unsettled=True)
    assert [payout.payout_id for payout in waiting.rows] == ["pyo_odd", "pyo_told"]
    await store.close()


async def test_another_migration_of_the_same_number_is_refused(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PostgresStore(dsn)
    first, second, *others = migrations("postgres")
    with monkeypatch.context() as patch:
        known(patch, first, Migration(2, second.name, second.text + "-- more\n"), *others)
        await store.migrate()
    await refused(store, "storage_other_schema")


async def test_somebody_elses_schema_is_left_as_it_is(dsn: str) -> None:
    await script(dsn, "CREATE SCHEMA vextrus_payments; CREATE TABLE vextrus_payments.theirs (a integer)")
    store = PostgresStore(dsn)
    await refused(store, "storage_not_ours")
    with pytest.raises(StorageError) as caught:
        await store.migrate()
    assert caught.value.code == "storage_not_ours"
    assert await sql(dsn, "SELECT tablename FROM pg_tables WHERE schemaname = 'vextrus_payments'") == [
        ("theirs",)
    ]


async def test_two_schemas_in_one_database_do_not_meet(dsn: str) -> None:
    stores = [PostgresStore(dsn, schema=name) for name in ("vextrus_payments", "other_payments")]
    for store in stores:
        await store.migrate()
        await store.open()
    await trial_of(stores[0]).reserved("INV-1")
    assert await stores[1].get("acme", "pay_INV-1") is None
    await trial_of(stores[1]).reserved("INV-1")
    assert stores[0]._sql.lock("reference", "a", "b") != stores[1]._sql.lock("reference", "a", "b")
    for store in stores:
        await store.close()


async def test_an_empty_schema_that_was_made_beforehand_is_used(dsn: str) -> None:
    """Where the migrating user may not make schemas, an administrator has."""
    await script(
        dsn,
        """
        DROP ROLE IF EXISTS vextrus_owner;
        CREATE ROLE vextrus_owner LOGIN PASSWORD 'of-this-test';
        CREATE SCHEMA vextrus_payments AUTHORIZATION vextrus_owner;
        """,
    )
    theirs = re.sub(r"//[^@]*@", "//vextrus_owner:of-this-test@", dsn)
    store = PostgresStore(theirs)
    await store.migrate()
    await store.open()
    await trial_of(store).reserved("INV-1")
    await store.close()
    await script(
        dsn, "DROP SCHEMA vextrus_payments CASCADE; DROP OWNED BY vextrus_owner; DROP ROLE vextrus_owner"
    )


async def test_a_user_without_the_rights_is_told_which(dsn: str) -> None:
    await PostgresStore(dsn).migrate()
    await script(
        dsn, "DROP ROLE IF EXISTS vextrus_shop; CREATE ROLE vextrus_shop LOGIN PASSWORD 'of-this-test'"
    )
    theirs = re.sub(r"//[^@]*@", "//vextrus_shop:of-this-test@", dsn)
    try:
        error = await refused(PostgresStore(theirs), "storage_denied")
        assert "of-this-test" not in f"{error} {error.context}"
        await script(
            dsn,
            """
            GRANT USAGE ON SCHEMA vextrus_payments TO vextrus_shop;
            GRANT SELECT ON ALL TABLES IN SCHEMA vextrus_payments TO vextrus_shop;
            GRANT INSERT, UPDATE ON vextrus_payments.payments TO vextrus_shop;
            """,
        )
        error = await refused(PostgresStore(theirs), "storage_denied")
        assert "outbox" in str(error) and "payments," not in str(error)
        await script(
            dsn, "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA vextrus_payments TO vextrus_shop"
        )
        store = PostgresStore(theirs)
        await store.open()
        await trial_of(store).paid("INV-1")
        await store.close()
    finally:
        await script(dsn, "DROP OWNED BY vextrus_shop; DROP ROLE vextrus_shop")


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("server_encoding", "storage_encoding"),
        ("server_version_num", "storage_old_server"),
        ("pg_is_in_recovery", "storage_not_writable"),
    ],
)
async def test_a_server_that_will_not_do(
    dsn: str, monkeypatch: pytest.MonkeyPatch, setting: str, code: str
) -> None:
    other = {
        "server_encoding": ("current_setting('server_encoding')", "'SQL_ASCII'"),
        "server_version_num": ("current_setting('server_version_num')::integer", "120000"),
        "pg_is_in_recovery": ("pg_is_in_recovery()", "true"),
    }[setting]
    monkeypatch.setattr(schema, "_SERVER", schema._SERVER.replace(*other))
    await PostgresStore(dsn).migrate()
    await refused(PostgresStore(dsn), code)


# --- migrate -------------------------------------------------------------------------------------------------------


async def test_a_failing_migration_changes_nothing(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = migrations("postgres")
    bad = Migration(5, "0005_bad", "CREATE TABLE more (a integer);\nCREATE TABLE nonsense (;\n")
    with monkeypatch.context() as patch:
        known(patch, *good, bad)
        with pytest.raises(StorageError):
            await PostgresStore(dsn).migrate()
    assert await sql(dsn, "SELECT 1 FROM pg_namespace WHERE nspname = 'vextrus_payments'") == []
    await PostgresStore(dsn).migrate()


async def test_four_migrate_at_once(dsn: str) -> None:
    done = await asyncio.gather(*(PostgresStore(dsn).migrate() for _ in range(4)))
    assert sorted(len(applied) for applied in done) == [0, 0, 0, 5]
    rows = await sql(dsn, "SELECT number, name, compatible FROM vextrus_payments.migrations ORDER BY number")
    assert rows == [(m.number, m.name, m.compatible) for m in migrations("postgres")]


async def test_a_migration_that_is_kept_waiting_gives_up(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PostgresStore(dsn, lock_timeout_s=0.1)
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:1])
        await store.migrate()
    busy = await asyncpg.connect(dsn)
    await busy.execute("BEGIN; LOCK TABLE vextrus_payments.payments IN ROW EXCLUSIVE MODE")
    with pytest.raises(StorageError) as caught:
        await store.migrate()
    assert caught.value.code == "storage_locked"
    await busy.close()
    assert [m.number for m in await store.migrate()] == [2, 3, 4, 5]


async def test_the_printed_sql_does_what_the_command_does(
    dsn: str, new_postgres_database: Callable[[], str]
) -> None:
    by_hand = new_postgres_database()
    text = await PostgresStore(by_hand).migration_sql()
    assert await sql(by_hand, "SELECT 1 FROM pg_namespace WHERE nspname = 'vextrus_payments'") == []
    await script(by_hand, text)
    await PostgresStore(dsn).migrate()
    shape = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'vextrus_payments' ORDER BY 1, 2"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'vextrus_payments' ORDER BY 1"
    kept = "SELECT number, name, checksum, compatible FROM vextrus_payments.migrations"
    for question in (shape, indexes, kept):
        assert await sql(by_hand, question) == await sql(dsn, question)
    store = PostgresStore(by_hand)
    assert "Nothing to do" in await store.migration_sql()
    await store.open()
    await store.close()


async def test_with_a_pool_of_the_callers(dsn: str) -> None:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as pool:
        store = PostgresStore(pool=pool)
        assert len(await store.migrate()) == 5
        assert await store.pending() == ()
        await store.open()
        await trial_of(store).reserved("INV-1")
        await store.close()
        assert await pool.fetchval("SHOW search_path") == '"$user", public'


# --- the release before this one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["former first", "former second"])
async def test_the_release_before_works_on_this_schema_beside_this_one(dsn: str, order: str) -> None:
    """Half of the callers of every race come through each, on the same rows."""
    clock = FakeClock()
    await PostgresStore(dsn).migrate()

    def former() -> PaymentStore:
        return cast(PaymentStore, FormerStore(dsn, clock))

    async def first() -> PaymentStore:
        await emptied(dsn)
        return former() if order == "former first" else PostgresStore(dsn, clock=clock)

    await check_store(
        first,
        advance=clock.advance,
        reopen=lambda _: PostgresStore(dsn, clock=clock) if order == "former first" else former(),
        only=FORMER_CHECKS,
    )


async def shape_beside_the_inbox(dsn: str) -> list[Any]:
    """Tables with their columns, indexes, constraints, triggers and functions: all that a statement can notice."""
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name"
        " FROM information_schema.columns WHERE table_schema = 'vextrus_payments' AND table_name <> 'inbox'"
    )
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'vextrus_payments' AND tablename <> 'inbox'"
    constraints = (
        "SELECT relname::text, pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint"
        " JOIN pg_class ON conrelid = pg_class.oid WHERE relname <> 'inbox'"
    )
    triggers = (
        "SELECT pg_get_triggerdef(pg_trigger.oid), tgenabled::text FROM pg_trigger JOIN pg_class"
        " ON tgrelid = pg_class.oid WHERE relname <> 'inbox' AND NOT tgisinternal"
    )
    functions = (
        "SELECT proname::text, prosrc FROM pg_proc WHERE pronamespace = 'vextrus_payments'::regnamespace"
    )
    questions = (columns, indexes, constraints, triggers, functions)
    return [sorted(await sql(dsn, question), key=repr) for question in questions]


async def test_the_third_schema_changes_nothing_that_the_second_release_reads_or_writes(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That release knows an inbox by name alone: no statement of it names the table."""
    store = PostgresStore(dsn)
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:2])
        await store.migrate()
    before = await shape_beside_the_inbox(dsn)
    assert all(before)
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:3])
        assert [m.number for m in await store.migrate()] == [3]
    assert await shape_beside_the_inbox(dsn) == before


@pytest.fixture
async def rows_of_schema_1(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[FormerStore, FakeClock]]:
    clock = FakeClock()
    with monkeypatch.context() as patch:
        known(patch, *migrations("postgres")[:1])
        await PostgresStore(dsn).migrate()
    former = FormerStore(dsn, clock)
    await former.open()
    trial = trial_of(cast(PostgresStore, former))
    await trial.paid("INV-1")
    claim = await trial.claim_execute(await trial.awaiting("INV-2"))
    assert isinstance(claim, Claim)
    await former.checkpoint(claim, Evidence("step", {"n": 1}))
    plan = full_plan(clock.now())
    assert isinstance(await former.commit(plan), Committed)
    yield former, clock
    await former.close()


async def test_rows_of_schema_1_are_brought_along(
    dsn: str, rows_of_schema_1: tuple[FormerStore, FakeClock]
) -> None:
    """What is over is not looked at again; what may not be is due at once; receipts have the times they had."""
    former, clock = rows_of_schema_1
    before = {i: await former.get("acme", i) for i in ("pay_INV-1", "pay_INV-2")}
    store = PostgresStore(dsn, clock=clock)
    assert [m.number for m in await store.migrate()] == [2, 3, 4, 5]
    await store.open()
    assert {i: await store.get("acme", i) for i in before} == before
    watches = await store.lease_watches(limit=10, lease_s=60)
    assert "pay_INV-2" in {watch.subject_id for watch in watches}
    assert "pay_INV-1" not in {watch.subject_id for watch in watches}
    assert {watch.due_at for watch in watches} == {datetime(1970, 1, 1, tzinfo=UTC)}
    await check_receipts(store)
    await store.close()


async def test_what_the_release_before_writes_is_found_by_this_one(dsn: str) -> None:
    clock = FakeClock()
    store, former = PostgresStore(dsn, clock=clock), FormerStore(dsn, clock)
    await store.migrate()
    await store.open()
    await former.open()
    trial = trial_of(cast(PostgresStore, former))
    clock.advance(0.123456)
    plan = full_plan(clock.now())
    assert isinstance(await former.commit(plan), Committed)
    await trial.paid("INV-1")
    await check_receipts(store)
    watches = await store.lease_watches(limit=10, lease_s=60)
    assert {watch.subject_id for watch in watches} == {"pay_INV-1", plan.payment.payment_id}, "due at once"
    rows = await former.lease(OutboxKind.EVENT, limit=5, lease_s=10)
    assert rows and await store.lease(OutboxKind.EVENT, limit=5, lease_s=10) == ()
    assert not await store.deliver_within(rows[0], _never), "a lease of theirs is not ours"
    clock.advance(11)
    mine = await store.lease(OutboxKind.EVENT, limit=5, lease_s=10)
    assert {row.row_id for row in mine} >= {row.row_id for row in rows}
    clock.advance(11)
    await former.lease(OutboxKind.EVENT, limit=5, lease_s=30)
    await store.nack(mine[0], retry_at=clock.now(), why="late")
    assert await former.lease(OutboxKind.EVENT, limit=5, lease_s=10) == (), (
        "and ours is over when theirs begins"
    )
    await former.close()
    await store.close()


async def check_receipts(store: PostgresStore) -> None:
    """Every receipt is listed by the time that its document has."""
    rows = await sql(store._dsn or "", "SELECT DISTINCT tenant, gateway, mode FROM vextrus_payments.receipts")
    listed = 0
    for tenant, gateway, mode in rows:
        for receipt in (await store.list_receipts(tenant, gateway, Mode(mode))).rows:
            since = await store.list_receipts(tenant, gateway, Mode(mode), since=receipt.recorded_at)
            until = await store.list_receipts(tenant, gateway, Mode(mode), until=receipt.recorded_at)
            assert receipt in since.rows and receipt not in until.rows
            listed += 1
    ((count,),) = await sql(store._dsn or "", "SELECT count(*) FROM vextrus_payments.receipts")
    assert listed == count > 1


async def _never(_: Any) -> None:
    raise AssertionError

"""The PostgreSQL store among lost connections, cancelled callers, other loops and processes, and a server that fails.

Nothing is half-written, nothing that is not known is called not written, and every error says what to do.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.postgres_database import emptied, migrated, script, sql, trial_of
from tests.conformance.postgres_proxy import Cut, Wire, wire_to
from tests.services import Databases
from vextrus_payments.errors import ConfigurationError, StorageError
from vextrus_payments.plans import Claim, Committed, Reserved, Same, Stale
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import PostgresStore, open_store
from vextrus_payments.testing.store_records import full_plan
from vextrus_payments.testing.store_trial import LONG

COMMIT = b"COMMIT\0"
"""The message, not the word in READ COMMITTED."""
CANARY = "canary-value-that-is-in-a-row"


@pytest.fixture(scope="module")
def module_dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.fixture
async def dsn(module_dsn: str) -> str:
    await emptied(module_dsn)
    return module_dsn


@pytest.fixture
async def store(dsn: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(dsn)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def wire(dsn: str) -> AsyncIterator[Wire]:
    async with wire_to(dsn) as made:
        yield made


@pytest.fixture
async def remote(wire: Wire) -> AsyncIterator[PostgresStore]:
    """A store whose connection can be cut."""
    made = PostgresStore(wire.dsn, pool_size=2, command_timeout_s=1.0)
    await made.open()
    yield made
    await made.close()


def check_shown(error: StorageError, code: str, dsn: str) -> None:
    assert error.code == code, error
    assert error.__cause__ is None and error.__context__ is None
    password = re.search(r":([^:@/]+)@", dsn)
    shown = f"{error} {error!r} {error.context}"
    assert CANARY not in shown
    assert password is None or password[1] not in shown
    assert error.next_step.endswith(".")


# --- a commit whose answer got lost ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [Cut.BEFORE_ANSWER, Cut.SILENCE])
async def test_a_commit_whose_answer_is_lost_is_not_called_undone(
    wire: Wire, remote: PostgresStore, store: PostgresStore, how: Cut
) -> None:
    wire.cut_at(COMMIT, how)
    with pytest.raises(StorageError) as caught:
        await trial_of(remote).reserve("INV-1")
    check_shown(caught.value, "storage_commit_unknown", wire.dsn)
    assert "nothing was written" not in str(caught.value)
    assert await store.get("acme", "pay_INV-1") is not None, "here it was written"
    answer = await trial_of(remote).reserve("INV-1", payment_id="pay_other")
    assert isinstance(answer, Same), "asking again finds it, and makes no second payment"


async def test_a_commit_that_never_reached_the_server_is_as_unknown(
    wire: Wire, remote: PostgresStore, store: PostgresStore
) -> None:
    wire.cut_at(COMMIT, Cut.BEFORE_SENDING)
    with pytest.raises(StorageError) as caught:
        await trial_of(remote).reserve("INV-1")
    assert caught.value.code == "storage_commit_unknown"
    assert await store.get("acme", "pay_INV-1") is None, "here it was not"


async def test_a_claim_whose_answer_is_lost_is_nobodys(
    wire: Wire, remote: PostgresStore, store: PostgresStore
) -> None:
    """Whoever asked did not get the right to send, and nobody else gets it before its time is over."""
    facts = await trial_of(remote).awaiting("INV-1")
    wire.cut_at(COMMIT, Cut.BEFORE_ANSWER)
    with pytest.raises(StorageError, match="may have been written"):
        await trial_of(remote).claim_execute(facts)
    again = await trial_of(store).claim_execute(facts)
    assert not isinstance(again, Claim)


async def test_a_plan_whose_answer_is_lost_goes_stale(wire: Wire, remote: PostgresStore) -> None:
    """The recorder commits again what it may have committed: it is told to look, and nothing is booked twice."""
    trial = trial_of(remote)
    facts = await trial.awaiting("INV-1")
    claim = await trial.claim_execute(facts)
    assert isinstance(claim, Claim)
    plan = trial.paid_plan(claim.facts, "TRX1")
    wire.cut_at(COMMIT, Cut.BEFORE_ANSWER)
    with pytest.raises(StorageError):
        await remote.commit(plan)
    assert isinstance(await remote.commit(plan), Stale)
    after = await trial.facts("acme", "pay_INV-1")
    assert [receipt.transaction_id for receipt in after.receipts] == ["TRX1"]


# --- a connection that breaks before the commit ---------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"BEGIN", b"WITH inserted"])
@pytest.mark.parametrize("how", [Cut.BEFORE_SENDING, Cut.BEFORE_ANSWER])
async def test_a_transaction_is_begun_again_on_another_connection(
    wire: Wire, remote: PostgresStore, text: bytes, how: Cut
) -> None:
    if text != b"BEGIN":
        await trial_of(remote).reserve("INV-0")  # the statement is prepared, so that it is named no more
        text = b"INV-1/pay"
    wire.cut_at(text, how)
    assert isinstance(await trial_of(remote).reserve("INV-1"), Reserved)
    assert wire.cuts == 1


async def test_a_restarted_server_is_met_with_fresh_connections(dsn: str, store: PostgresStore) -> None:
    await trial_of(store).reserved("INV-1")
    await sql(
        dsn,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert await store.get("acme", "pay_INV-1") is not None
    await trial_of(store).reserved("INV-2")


async def test_a_read_that_hangs_ends(wire: Wire, remote: PostgresStore) -> None:
    await trial_of(remote).reserved("INV-1")
    wire.cut_at(b"pay_INV-1", Cut.SILENCE)
    with pytest.raises(StorageError) as caught:
        await remote.get("acme", "pay_INV-1")
    check_shown(caught.value, "storage_timeout", wire.dsn)
    assert await remote.get("acme", "pay_INV-1") is not None


@pytest.mark.parametrize("setting", ["on", "off"])
async def test_a_mark_whose_answer_is_lost(wire: Wire, setting: str) -> None:
    """On its own the statement is the commit: nobody knows. In a transaction of ours it is not, and is tried again."""
    store = PostgresStore(f"{wire.dsn}?synchronous_commit={setting}")
    await store.open()
    assert await store.put_mark("epoch", "1", expected=None)
    wire.cut_at(b"mark/epoch", Cut.BEFORE_ANSWER)
    if setting == "on":
        with pytest.raises(StorageError) as caught:
            await store.put_mark("epoch", "2", expected="1")
        assert caught.value.code == "storage_commit_unknown"
    else:
        assert await store.put_mark("epoch", "2", expected="1")
    assert await store.get_mark("epoch") == "2"
    await store.close()


async def test_a_server_that_is_gone(
    postgres_databases: Databases, private_servers: Callable[..., Any]
) -> None:
    held = private_servers("postgres")
    dsn = held.places["postgres"]
    store = PostgresStore(dsn)
    await store.migrate()
    await store.open()
    await trial_of(store).reserved("INV-1")
    held.stop("postgres")
    for work in (
        store.get("acme", "pay_INV-1"),
        trial_of(store).reserve("INV-2"),
        store.lease(OutboxKind.EVENT, limit=1, lease_s=1),
    ):
        with pytest.raises(StorageError) as caught:
            await work
        check_shown(caught.value, "storage_unreachable", dsn)
    await store.close()
    for each in (store.open(), store.migrate(), PostgresStore(dsn).pending()):
        with pytest.raises(StorageError) as caught:
            await each
        check_shown(caught.value, "storage_unreachable", dsn)


# --- callers, loops, processes --------------------------------------------------------------------------------------


async def test_a_cancelled_caller_tears_no_transaction(dsn: str, store: PostgresStore) -> None:
    """What was begun is finished, whole; the caller only stops waiting. And close() waits for it."""
    blocker = await asyncpg.connect(dsn)
    lock = store._sql.lock("reference", "acme", "INV-1")
    await blocker.execute(f"SELECT pg_advisory_lock({lock})")
    callers = [asyncio.create_task(trial_of(store).reserve("INV-1")) for _ in range(3)]
    await asyncio.sleep(0.1)
    for caller in callers[:2]:
        caller.cancel()
    answers = await asyncio.gather(*callers[:2], return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    await blocker.close()
    await closing
    assert isinstance(await callers[2], Same)
    await store.open()
    assert await store.get_operation("acme", "INV-1/pay") is not None


async def test_a_lock_that_is_kept_too_long(dsn: str) -> None:
    store = PostgresStore(dsn, lock_timeout_s=0.1)
    await store.open()
    blocker = await asyncpg.connect(dsn)
    await blocker.execute(f"SELECT pg_advisory_lock({store._sql.lock('reference', 'acme', 'INV-1')})")
    with pytest.raises(StorageError) as caught:
        await trial_of(store).reserve("INV-1")
    check_shown(caught.value, "storage_locked", dsn)
    assert await store.get("acme", "pay_INV-1") is None
    await trial_of(store).reserved("INV-2")
    await blocker.close()
    await trial_of(store).reserved("INV-1")
    await store.close()


async def test_a_busy_reference_takes_one_connection_of_a_process(dsn: str) -> None:
    """Callers of one reference wait for each other here, so that others still get a connection."""
    store = PostgresStore(dsn, pool_size=2, pool_wait_s=2.0)
    await store.open()
    await trial_of(store).reserved("INV-2")
    blocker = await asyncpg.connect(dsn)
    await blocker.execute(f"SELECT pg_advisory_lock({store._sql.lock('reference', 'acme', 'INV-1')})")
    callers = [
        asyncio.create_task(trial_of(store).reserve("INV-1", payment_id=f"pay_{n}")) for n in range(20)
    ]
    await asyncio.sleep(0.1)
    assert await store.get("acme", "pay_INV-2") is not None
    assert isinstance(await trial_of(store).reserve("INV-3"), Reserved)
    await blocker.close()
    answers = await asyncio.gather(*callers)
    assert sorted(type(answer).__name__ for answer in answers) == ["Reserved"] + ["Same"] * 19
    assert not store._database._turns._waiting, "nothing is kept of who has waited"
    await store.close()


async def test_a_queue_that_does_not_move_is_left(dsn: str) -> None:
    """Where the first one waits in vain, those behind it do not wait for each other's waiting, one after the other."""
    store = PostgresStore(dsn, lock_timeout_s=1.0)
    await store.open()
    blocker = await asyncpg.connect(dsn)
    await blocker.execute(f"SELECT pg_advisory_lock({store._sql.lock('reference', 'acme', 'INV-1')})")
    callers = [trial_of(store).reserve("INV-1", payment_id=f"pay_{n}") for n in range(20)]
    async with asyncio.timeout(15):  # 20 if it were one after the other
        answers = await asyncio.gather(*callers, return_exceptions=True)
    for answer in answers:
        assert isinstance(answer, StorageError)
        check_shown(answer, "storage_locked", dsn)
    await blocker.close()
    assert not store._database._turns._waiting
    await trial_of(store).reserved("INV-1")
    await store.close()


async def test_a_pool_that_is_used_up(dsn: str) -> None:
    store = PostgresStore(dsn, pool_size=1, pool_wait_s=0.1)
    await store.open()
    database = store._database
    taken = await database.take()
    with pytest.raises(StorageError) as caught:
        await store.get("acme", "pay_INV-1")
    check_shown(caught.value, "storage_pool", dsn)
    await database.give_back(taken)
    assert await store.get("acme", "pay_INV-1") is None
    await store.close()


async def test_a_pool_of_the_callers(dsn: str) -> None:
    """It is used as it is, whatever its sessions are set to, and stays open."""
    pool = await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=3,
        server_settings={
            "search_path": "pg_catalog",
            "default_transaction_isolation": "serializable",
            "default_transaction_read_only": "on",
            "synchronous_commit": "off",
        },
    )
    store = PostgresStore(pool=pool)
    await store.open()
    facts = await trial_of(store).paid("INV-1")
    assert facts.receipts
    (row,) = await store.lease(OutboxKind.EVENT, limit=5, lease_s=60)
    await store.ack(row)
    await store.put_mark("epoch", "1", expected=None)
    shown: list[Any] = []

    async def look(session: Any) -> None:
        shown.append(await session.connection.fetchval("SHOW synchronous_commit"))

    await store._database.write(look)
    assert shown == ["on"], "a commit that is answered is on the disk, though the user has turned that off"
    await store.close()
    assert await pool.fetchval("SHOW search_path") == "pg_catalog"
    await pool.close()


async def test_closed_and_opened_again(store: PostgresStore) -> None:
    await trial_of(store).reserved("INV-1")
    await store.close()
    await store.close()
    with pytest.raises(StorageError) as caught:
        await store.get("acme", "pay_INV-1")
    assert caught.value.code == "storage_closed"
    await asyncio.gather(store.open(), store.open())
    assert await store.get("acme", "pay_INV-1") is not None


def test_one_loop_after_another(module_dsn: str) -> None:
    store = PostgresStore(module_dsn)

    async def one(reference: str) -> None:
        await store.open()
        await trial_of(store).reserve(reference)
        await store.close()

    asyncio.run(one("INV-1"))
    asyncio.run(one("INV-2"))


async def test_another_loop_is_refused(store: PostgresStore) -> None:
    def elsewhere() -> str:
        with pytest.raises(StorageError) as caught:
            asyncio.run(store.get("acme", "pay_INV-1"))
        return caught.value.code

    assert await asyncio.to_thread(elsewhere) == "storage_other_loop"


async def test_a_forked_process_is_refused(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store._database, "_process_id", os.getpid() + 1)
    with pytest.raises(StorageError) as caught:
        await store.get("acme", "pay_INV-1")
    assert caught.value.code == "storage_forked"
    monkeypatch.undo()


# --- what the server refuses ----------------------------------------------------------------------------------------


async def test_a_unique_key_taken_meanwhile_is_answered_by_the_rules(dsn: str, store: PostgresStore) -> None:
    """A receipt, a gateway order id: two references have no lock in common, only the key."""
    trial = trial_of(store)
    claims = []
    for reference in ("INV-1", "INV-2"):
        facts = await trial.awaiting(reference)
        claim = await trial.claim_execute(facts)
        assert isinstance(claim, Claim)
        claims.append(claim)
    plans = [trial.paid_plan(claim.facts, "TRX-SAME") for claim in claims]
    answers = await asyncio.gather(*(store.commit(plan) for plan in plans))
    assert sorted(type(answer).__name__ for answer in answers) == ["Committed", "ReceiptElsewhere"]
    wishes = [
        trial.wish(reference, payment_id=f"pay_{n}", operation_id=f"op-{n}", skip=skip)
        for n, (reference, skip) in enumerate([("INV", 6), ("INV-7", 0)])
    ]
    answers = await asyncio.gather(*(store.reserve(wish) for wish in wishes))
    assert {type(answer).__name__ for answer in answers} <= {"Reserved", "OrderIdTaken"}
    assert len(set(await sql(dsn, "SELECT gateway_order_id FROM vextrus_payments.submissions"))) == len(
        await sql(dsn, "SELECT gateway_order_id FROM vextrus_payments.submissions")
    )


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'disk_full'", "storage_full"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'insufficient_privilege'", "storage_denied"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'undefined_column'", "storage_other_schema"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'data_corrupted'", "storage_corrupt"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'check_violation'", "storage_constraint"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'io_error'", "storage_io"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'read_only_sql_transaction'", "storage_not_writable"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'query_canceled'", "storage_timeout"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'serialization_failure'", "storage_contended"),
        ("RAISE EXCEPTION '{0}' USING ERRCODE = 'XX999'", "storage"),
    ],
)
async def test_what_the_server_refuses_is_undone_and_said(
    dsn: str, store: PostgresStore, statement: str, code: str
) -> None:
    """In the middle of a plan, after half of its rows: nothing of it stays, and no value of a row is shown."""
    made = await trial_of(store).reserved("INV-1")
    await script(
        dsn,
        f"""
        SET search_path TO vextrus_payments;
        CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement.format(CANARY)}; END $$;
        CREATE TRIGGER fails BEFORE UPDATE ON operations FOR EACH ROW EXECUTE FUNCTION fails();
        """,
    )
    try:
        with pytest.raises(StorageError) as caught:
            await store.claim("acme", "INV-1/pay", LONG)
        check_shown(caught.value, code, dsn)
    finally:
        await script(dsn, "DROP FUNCTION vextrus_payments.fails CASCADE")
    assert await store.get("acme", "pay_INV-1") == made.facts
    assert isinstance(await store.claim("acme", "INV-1/pay", LONG), Claim)


async def test_a_passing_collision_is_tried_again(dsn: str, store: PostgresStore) -> None:
    await trial_of(store).reserved("INV-1")
    await script(
        dsn,
        """
        SET search_path TO vextrus_payments;
        CREATE SEQUENCE tries;
        CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('vextrus_payments.tries') < 3 THEN
                RAISE EXCEPTION 'once' USING ERRCODE = 'deadlock_detected';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER fails BEFORE UPDATE ON operations FOR EACH ROW EXECUTE FUNCTION fails();
        """,
    )
    try:
        assert isinstance(await store.claim("acme", "INV-1/pay", LONG), Claim)
    finally:
        await script(
            dsn, "DROP FUNCTION vextrus_payments.fails CASCADE; DROP SEQUENCE vextrus_payments.tries"
        )


async def test_an_error_in_the_work_undoes_the_transaction(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is raised, where it is raised: nothing of the transaction stays, and the next one works."""
    from vextrus_payments.stores.postgres import writing

    made = await trial_of(store).reserved("INV-1")
    real = writing.write_plan

    async def fail(*args: Any) -> None:
        await real(*args)
        raise RuntimeError("after the write")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_plan", fail)
        with pytest.raises(RuntimeError):
            await store.claim("acme", "INV-1/pay", LONG)
    assert await store.get("acme", "pay_INV-1") == made.facts
    assert isinstance(await store.claim("acme", "INV-1/pay", LONG), Claim)


@pytest.mark.parametrize("bad", ["a\0b", "\ud800"])
async def test_what_cannot_be_stored_is_refused_whole(store: PostgresStore, bad: str) -> None:
    with pytest.raises(StorageError) as caught:
        await store.put_mark("epoch", bad, expected=None)
    assert caught.value.code == "storage_bad_value"
    with pytest.raises(StorageError):
        await store.token_put("d" * 64, bad, "x")
    plan = full_plan(store.now())
    with pytest.raises(StorageError):
        await store.commit(replace(plan, outbox=(replace(plan.outbox[0], document=bad),)))
    assert await store.get("acme", plan.payment.payment_id) is None
    assert isinstance(await store.commit(plan), Committed)


async def test_a_nul_within_a_document_comes_back(dsn: str, store: PostgresStore) -> None:
    plan = full_plan(store.now())
    payment = replace(plan.payment, metadata={"note": "a\0b", "রসিদ": "১"})
    receipts = tuple(replace(receipt, payer_account="01\0") for receipt in plan.receipts)
    assert isinstance(await store.commit(replace(plan, payment=payment, receipts=receipts)), Committed)
    facts = await store.get("acme", payment.payment_id)
    assert facts is not None
    assert facts.payment == payment and facts.receipts == receipts


# --- the URL --------------------------------------------------------------------------------------------------------


def test_the_password_is_never_shown() -> None:
    for dsn in (
        "postgresql://shop:hunter2@db.example:5432/payments?sslmode=require&password=hunter2",
        "postgres://shop:hun@ter2@one.example,two.example:6432/payments",
        "postgresql://db.example/payments?user=shop&password=hunter2",
    ):
        shown = repr(PostgresStore(dsn))
        assert "hunter2" not in shown and "ter2" not in shown and "shop" not in shown
        assert ".example" in shown


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://shop:31415#926@db.example/payments",
        "postgresql://shop:hunter#2@db.example/payments",
        "postgresql://shop:hunter?2@db.example/payments",
        "postgresql://shop:hunter2",
        "postgresql://shop:hunter2/x",
    ],
)
def test_a_password_that_nobody_encoded_is_not_taken_for_a_host(dsn: str) -> None:
    store = PostgresStore(dsn)
    assert repr(store) == "PostgresStore('postgresql://?', closed)"
    assert store.name == "postgresql://?", "which is what every error quotes"


async def test_the_server_knows_who_asks(dsn: str) -> None:
    for url, name in ((dsn, "vextrus_payments"), (f"{dsn}?application_name=shop", "shop")):
        store = PostgresStore(url)
        await store.open()
        seen: list[str] = []

        async def look(session: Any, seen: list[str] = seen) -> None:
            seen.append(await session.connection.fetchval("SHOW application_name"))

        await store._database.read(look)
        assert seen == [name]
        await store.close()


async def test_hosts_of_which_none_takes_writes(dsn: str) -> None:
    with pytest.raises(StorageError) as caught:
        await PostgresStore(f"{dsn}?target_session_attrs=standby").open()
    check_shown(caught.value, "storage_not_writable", dsn)


@pytest.mark.parametrize("url", ["postgresql://", "postgresql:/db", "mysql://x", "host=db password=hunter2"])
async def test_a_wrong_url(url: str) -> None:
    if url == "postgresql://":
        assert isinstance(open_store(url), PostgresStore), "everything comes from PGHOST and its likes"
        return
    with pytest.raises(ConfigurationError) as caught:
        PostgresStore(url)
    assert "hunter2" not in str(caught.value)


async def test_wrong_arguments(dsn: str) -> None:
    for arguments in ({}, {"dsn": dsn, "pool": object()}):
        with pytest.raises(ConfigurationError):
            PostgresStore(**arguments)
    for schema in ("Payments", "pg_mine", "a b", 'x"', ""):
        with pytest.raises(ConfigurationError):
            PostgresStore(dsn, schema=schema)
    with pytest.raises(ConfigurationError):
        PostgresStore(dsn, pool_size=0)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await PostgresStore("postgresql://shop@db:port/x").open()


async def test_a_wrong_password_and_a_missing_database(dsn: str) -> None:
    wrong = re.sub(r":[^:@/]+@", ":wrong-password@", dsn)
    with pytest.raises(StorageError) as caught:
        await PostgresStore(wrong).open()
    check_shown(caught.value, "storage_login", wrong)
    missing = dsn.rpartition("/")[0] + "/none_of_this_name"
    with pytest.raises(StorageError) as caught:
        await PostgresStore(missing).open()
    check_shown(caught.value, "storage_unreachable", missing)

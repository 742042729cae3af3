"""Every statement of the PostgreSQL store goes by an index that finds few rows, on tables of 50,000 rows and more.

The statements are those that the kit's checks make the store run, with the values that it ran them with. Each is
explained twice: as planned for these values, and as planned for any (what a prepared statement comes to).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from tests.conformance.postgres_database import emptied, migrated, script, trial_of
from tests.services import Databases
from vextrus_payments.inbox import InboxState
from vextrus_payments.records import OperationState, OutboxKind, PaymentState
from vextrus_payments.stores import PostgresStore
from vextrus_payments.stores.postgres.session import Session
from vextrus_payments.testing.store_check import STORE_CHECKS, check_store
from vextrus_payments.testing.time import FakeClock

ROWS = 50_000
#: Most of what one tenant has is settled and delivered, as it is after a year; 200 other tenants have little.
_FILL = f"""
SET search_path TO vextrus_payments;
SET session_replication_role = replica;  -- no foreign keys: nothing here was ever analyzed, and each would be a scan
CREATE TEMPORARY TABLE made AS SELECT i, CASE WHEN i % 100 = 0 THEN 'small-' || i % 200 ELSE 'acme' END AS tenant,
    CASE WHEN i % 50 = 0 THEN 'awaiting_payer' ELSE 'paid' END AS state FROM generate_series(1, {ROWS}) AS i;
INSERT INTO payments (tenant, payment_id, merchant_reference, gateway, mode, state, version, created_at, document,
    watch_at) SELECT tenant, 'pay_x' || i, 'REF-' || i / 2, 'bkash', 'sandbox', state, 3, i, repeat('x', 300),
    CASE state WHEN 'paid' THEN NULL ELSE i + 4102444800000000 END FROM made;
INSERT INTO submissions SELECT tenant, 'pay_x' || i, 1, 'bkash', 'sandbox', 'ORD' || i, 'GR' || i,
    CASE WHEN i % 10 = 0 THEN 'HOLD' || i END, repeat('x', 300) FROM made;
INSERT INTO operations (tenant, operation_id, payment_id, state, updated_at, document)
    SELECT tenant, kind || i, 'pay_x' || i, CASE WHEN state = 'paid' OR kind = 'a' THEN 'succeeded' ELSE 'reserved' END,
    i, repeat('x', 300) FROM made, unnest(ARRAY['a', 'b']) AS kind;
INSERT INTO attempts (tenant, payment_id, operation_id, fence, document)
    SELECT tenant, 'pay_x' || i, 'b' || i, 1, repeat('x', 600) FROM made;
INSERT INTO receipts (tenant, gateway, mode, kind, transaction_id, payment_id, document, recorded_at)
    SELECT tenant, 'bkash', 'sandbox', 'payment', 'TX' || i, 'pay_x' || i, repeat('x', 300), i
    FROM made WHERE state = 'paid';
INSERT INTO settlements SELECT tenant, gateway, mode, kind, transaction_id, 1, document FROM receipts WHERE id % 20 > 0;
INSERT INTO events (tenant, event_id, payment_id, document)
    SELECT tenant, 'ev' || i, 'pay_x' || i, repeat('x', 300) FROM made;
INSERT INTO outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, due_at, head, delivered_at,
    parked) SELECT tenant, kind || i, kind, kind || '/pay_x' || i, 1, repeat('x', 300), i, 0, 0, i % 500 = 0,
    CASE WHEN i % 500 > 0 THEN i END, CASE WHEN i % 5000 = 0 THEN 'why' END
    FROM made, unnest(ARRAY['event', 'ledger']) AS kind;
INSERT INTO agreements (tenant, agreement_key, is_open, version, created_at, gateway_reference, agreement_id, watch_at,
    document) SELECT tenant, 'agr' || i, i % 50 = 0, 2, i, 'AGR' || i, 'ID' || i,
    CASE WHEN i % 50 = 0 THEN i + 4102444800000000 END, repeat('x', 300) FROM made;
INSERT INTO agreement_operations SELECT tenant, 'agreement/' || i, 'agr' || i FROM made;
INSERT INTO payouts (tenant, payout_id, operation_id, is_out, is_settled, version, created_at, watch_at, document)
    SELECT tenant, 'pyo' || i, 'payout/' || i, i % 50 = 0, i % 50 > 0, 2, i,
    CASE WHEN i % 50 = 0 THEN i + 4102444800000000 END, repeat('x', 300) FROM made;
INSERT INTO inbox (tenant, gateway, mode, event_id, news_key, state, received_at, due_at, leased_until, finished_at,
    document, headers, body) SELECT tenant, 'bkash', 'sandbox', 'ev' || i, 'payment/TX' || i,
    CASE WHEN i % 100 > 0 THEN 'done' WHEN i % 300 = 0 THEN 'unmatched' WHEN i % 200 = 0 THEN 'parked'
        ELSE 'waiting' END,
    i, CASE WHEN i % 100 = 0 AND i % 300 > 0 THEN i + 4102444800000000 END, NULL,
    CASE WHEN i % 100 > 0 OR i % 300 = 0 THEN i + 4102444800000000 END, repeat('x', 300), repeat('x', 300),
    convert_to(repeat('x', 1000), 'UTF8') FROM made;
INSERT INTO meta SELECT 'mark/' || i, 'x' FROM made;
INSERT INTO tokens SELECT 'digest' || i, '1', 'x', 'x' FROM made;
ANALYZE;
"""
#: A sweep looks at all that is open, once in a long while; backlog() counts what still waits; a stretch of receipts is
#: looked through for the unsettled ones.
_WALKS = ("SELECT DISTINCT found.id", "SELECT count(*), count(parked)", "SELECT recorded_at, stretch.id")
#: What of a tenant's inbox is of one gateway is looked through newest first: nearly always all of it is.
_SIFTS = ".inbox WHERE received_at >= $1", " AND gateway = $"
_MOST_COST = 1_500
"""In the planner's units: the indexes of a statement of many parts stay below, and no scan of a table does."""


@pytest.fixture(scope="module")
def dsn(postgres_databases: Databases) -> Iterator[str]:
    made = postgres_databases.new()
    yield migrated(made)
    postgres_databases.drop(made)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Template -> the sets of values it was run with, the last few of them."""
    seen: dict[str, dict[str, tuple[Any, ...]]] = {}

    def spied(name: str) -> None:
        real = getattr(Session, name)

        async def spy(self: Session, template: str, *values: Any) -> Any:
            seen.setdefault(template, {})[repr([bool(value) for value in values])] = values
            return await real(self, template, *values)

        monkeypatch.setattr(Session, name, spy)

    spied("all")
    spied("one")
    return seen


async def run_everything(dsn: str) -> None:
    clock = FakeClock()
    for check in STORE_CHECKS:
        if "race" in check or "fifty" in check or "hundred" in check:
            continue  # they run what others run, many times
        await emptied(dsn)
        await check_store(lambda: PostgresStore(dsn, clock=clock), advance=clock.advance, only=[check])
    await emptied(dsn)
    store = PostgresStore(dsn, clock=clock)
    await store.open()
    await trial_of(store).paid("INV-1")
    for tenant in ("acme", None):
        for state in (None, PaymentState.PAID):
            await store.list(tenant, state=state, since=clock.now(), limit=5)
        await store.list_operations(tenant, states=[OperationState.RESERVED, OperationState.UNKNOWN], limit=5)
        await store.list_agreements(tenant, limit=5)
        for unsettled in (False, True):
            await store.list_payouts(tenant, unsettled=unsettled, limit=5)
        for parked in (False, True):
            await store.list_outbox(OutboxKind.EVENT, tenant=tenant, parked=parked, limit=5)
        for inbox_state in (None, *InboxState):
            await store.list_inbox(tenant, state=inbox_state, since=clock.now(), limit=5)
    await store.close()


@pytest.mark.slow
async def test_every_statement_goes_by_an_index(dsn: str, ran: dict[str, dict[str, tuple[Any, ...]]]) -> None:
    await run_everything(dsn)
    await emptied(dsn)
    await script(dsn, _FILL)
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    wide = []
    for template, values_seen in ran.items():
        statement = template.replace("{schema}", "vextrus_payments")
        if statement.startswith("SELECT -1, ("):
            continue
        for values in values_seen.values():
            mine, any_ = await explained(connection, statement, values)
            wide += [(statement, node["Relation Name"]) for plan in (mine, any_) for node in scans(plan)]
            walks = template.strip().startswith(_WALKS) or all(part in template for part in _SIFTS)
            if mine["Total Cost"] > _MOST_COST and not walks:
                wide.append((statement, mine["Total Cost"]))
    await connection.close()
    assert len(ran) > 60
    assert not wide, "\n".join(str(each) for each in wide)


async def explained(connection: Any, statement: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """The plan for these values, and the plan for any."""
    ((mine,),) = await connection.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *values)
    nulls = f"({', '.join(['NULL'] * len(values))})" if values else ""
    async with connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE q AS {statement}")
        ((any_,),) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE q{nulls}")
        await connection.execute("DEALLOCATE q")
    return [json.loads(text)[0]["Plan"] for text in (mine, any_)]


def scans(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in nodes(plan) if node["Node Type"] == "Seq Scan"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)

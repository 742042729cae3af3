"""Emptying an outbox to a callback that does nothing: jobs that run in a process of their own. No wire but the
database's."""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vextrus_payments.documents import to_json
from vextrus_payments.ids import SystemEntropy
from vextrus_payments.ledger import EntryKind, LedgerEntry, Posting, Side
from vextrus_payments.mode import Mode
from vextrus_payments.money import Money
from vextrus_payments.observe import NullObserver
from vextrus_payments.outbox import Outbox, OutboxLimits
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import PostgresStore, SqliteStore

_SQLITE: Final = (
    "INSERT INTO outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, due_at, head)"
    " VALUES ('acme', ?, 'ledger', ?, ?, ?, 0, 0, 0, ?)"
)
_POSTGRES: Final = """
INSERT INTO vextrus_payments.outbox (tenant, row_id, kind, subject, seq, document, created_at, attempts, due_at, head)
SELECT 'acme', $1 || n, 'ledger', 'payment/' || $1 || n / 2, n % 2, $2, 0, 0, 0, n % 2 = 0
FROM generate_series(0, $3 - 1) AS n
"""


def document() -> str:
    """An entry as it is stored."""
    amount = Money("1250.50", "BDT")
    return to_json(
        LedgerEntry(
            id="ent_0123456789abcdef0123456789abcdef01234567",
            kind=EntryKind.PAYMENT_RECEIVED,
            tenant="acme",
            gateway="bkash",
            mode=Mode.LIVE,
            payment_id="pay_01j9c0v6m2k3q8x4t5w7y9zabc",
            merchant_reference="INV-8812",
            transaction_id="DKN5ABCDEF",
            postings=(
                Posting("gateway_clearing:bkash:live", Side.DEBIT, amount),
                Posting("accounts_receivable", Side.CREDIT, amount),
            ),
            recorded_at=datetime(2026, 1, 15, 6, 0, tzinfo=UTC),
            metadata={"order": "8812", "channel": "web"},
        )
    )


async def _emptied(store: PaymentStore) -> int:
    """How many were handed over."""
    calls = 0

    async def nothing(entry: LedgerEntry) -> None:
        nonlocal calls
        calls += 1

    outbox = Outbox(
        store,
        ledger=nothing,
        on_event=None,
        entropy=SystemEntropy(),
        observer=NullObserver(),
        limits=OutboxLimits(),
    )
    await outbox.deliver()
    return calls


def outbox_sqlite(rows: int, rounds: int) -> dict[str, list[float]]:
    """Wall and CPU µs per entry, and how many calls there were per entry."""
    return asyncio.run(_outbox_sqlite(rows, rounds))


async def _outbox_sqlite(rows: int, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"wall": [], "cpu": [], "calls": []}
    text = document()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "queue.db"
        store = SqliteStore(path)
        await store.open()
        for number in range(-1, rounds):
            fresh = (
                (f"ent_{number}_{n}", f"payment/{number}_{n // 2}", n % 2, text, 1 - n % 2)
                for n in range(rows)
            )
            with sqlite3.connect(path) as connection:
                connection.executemany(_SQLITE, fresh)
            connection.close()
            wall, cpu = time.perf_counter(), time.process_time()
            calls = await _emptied(store)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number >= 0:  # the first round warms up
                found["wall"].append(1e6 * wall / rows)
                found["cpu"].append(1e6 * cpu / rows)
                found["calls"].append(calls / rows)
        await store.close()
    return found


async def postgres_filled(dsn: str, rows: int, name: str) -> None:
    """So many rows, two per subject."""
    import asyncpg  # type: ignore[import-untyped]

    connection = await asyncpg.connect(dsn)
    await connection.execute(_POSTGRES, name, document(), rows)
    await connection.execute("ANALYZE vextrus_payments.outbox")
    await connection.close()


def outbox_worker(dsn: str) -> dict[str, float]:
    """One of several workers: says "ready", and for each line that comes empties the outbox and tells what it did."""
    return asyncio.run(_outbox_worker(dsn))


async def _outbox_worker(dsn: str) -> dict[str, float]:
    store = PostgresStore(dsn)
    await store.open()
    line: Callable[[], Any] = sys.stdin.readline
    print("ready", flush=True)
    total = 0
    while (await asyncio.get_running_loop().run_in_executor(None, line)).strip() == "go":
        calls, cpu = await _emptied(store), time.process_time()
        total += calls
        print(f"{calls} {cpu}", flush=True)
    await store.close()
    return {"calls": total}

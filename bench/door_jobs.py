"""What the door goals run in a process of its own: effects beside the door, and a database made ready and read."""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.door_messages import SECRET, message, signature
from bench.reconcile_jobs import seeded

Found = dict[str, Any]

_ROUNDS: Final = 5
_SENDERS: Final = 64
_LOOK_S: Final = 0.02
_OPEN: Final = 512
"""How many deliveries may be without their effects before senders wait."""


def door_postgres_ready(dsn: str) -> bool:
    """P11: make the tables."""
    from vextrus_payments.stores import PostgresStore

    asyncio.run(PostgresStore(dsn).migrate())
    return True


def door_postgres_emptied(dsn: str) -> list[str]:
    """P11: the event ids of all rows, which are taken away."""
    import asyncpg  # type: ignore[import-untyped]

    async def work() -> list[str]:
        connection = await asyncpg.connect(dsn)
        rows = await connection.fetch("SELECT event_id FROM vextrus_payments.inbox")
        await connection.execute("TRUNCATE vextrus_payments.inbox")
        await connection.close()
        return [row[0] for row in rows]

    return asyncio.run(work())


def door_sustained(count: int) -> Found:
    """P8EFFECTS: deliveries for payments that a sandbox knows to be paid, with the workers on."""
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "bench.sandbox_of_many", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert sandbox.stdin is not None
    assert sandbox.stdout is not None
    try:
        return asyncio.run(_sustained(json.loads(sandbox.stdout.readline())))
    finally:
        sandbox.stdin.close()
        try:
            sandbox.wait(timeout=20)
        except subprocess.TimeoutExpired:
            sandbox.kill()
            sandbox.wait()
        sandbox.stdout.close()


async def _sustained(told: Found) -> Found:
    from vextrus_payments import LedgerEntry, Payments
    from vextrus_payments.gateways.bkash import BkashConfig
    from vextrus_payments.observe import NullObserver
    from vextrus_payments.secret import Secret

    given = told["gateways"]["bkash"]
    names = ("app_key", "app_secret", "username", "password")
    secrets: dict[str, Any] = {name: Secret(given[name]) for name in names}
    config = BkashConfig(api_url=given["base_url"], webhook_secret=Secret(SECRET), **secrets)
    there = [json.loads(line) for line in Path(told["payments"]).read_text(encoding="utf-8").splitlines()]
    booked: set[str] = set()

    async def ledger(entry: LedgerEntry) -> None:
        booked.add(entry.transaction_id)

    found: Found = {"wall_us": [], "cpu_us": [], "backlog": [], "longest": 0, "kept": 0}
    size = len(there) // _ROUNDS
    with tempfile.TemporaryDirectory(dir=".") as folder:
        payments = Payments(
            store=f"sqlite:///{folder}/payments.db",
            ledger=ledger,
            gateways={"bkash": config},
            public_url="https://shop.example/payments",
            observer=NullObserver(),
        )
        async with payments:
            for number in range(_ROUNDS):
                group = there[number * size : (number + 1) * size]
                await seeded(payments.store, group, is_due=False)
                wall, cpu = time.perf_counter(), time.process_time()
                longest = await _deliver(payments, group, number * size)
                backlog = await _finished(payments)
                while len(booked) < (number + 1) * size:
                    await asyncio.sleep(_LOOK_S)
                found["wall_us"].append(1e6 * (time.perf_counter() - wall) / size)
                found["cpu_us"].append(1e6 * (time.process_time() - cpu) / size)
                found["backlog"].append(backlog)
                found["longest"] = max(found["longest"], longest)
                found["kept"] += size
            found["done"] = await _done(payments.store)
            found["paid"] = len(booked)
    return found


async def _deliver(payments: Any, group: list[Any], first: int) -> int:
    """All of a group, by so many senders; the longest backlog that was seen."""
    from vextrus_payments.webhooks.messages import Incoming

    todo = iter(enumerate(group, first))
    room = asyncio.Event()
    room.set()
    longest = 0

    async def watch() -> None:
        nonlocal longest
        while True:
            waiting = (await payments.store.inbox_backlog()).waiting
            longest = max(longest, waiting)
            room.clear() if waiting > _OPEN else room.set()
            await asyncio.sleep(_LOOK_S)

    async def sender() -> None:
        for number, (_, invoice, amount, trx_id) in todo:
            await room.wait()
            body = message(number, invoice=invoice, amount=amount, trx=trx_id)
            reply = await payments.keeper.webhook(
                Incoming(
                    gateway="bkash",
                    tenant=None,
                    method="POST",
                    query="",
                    headers={"x-webhook-signature": signature(body), "content-type": "application/json"},
                    body=body,
                )
            )
            if reply.status != 200:
                raise RuntimeError(f"the door answered {reply.status}")

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(sender() for _ in range(_SENDERS)))
    watching.cancel()
    return longest


async def _finished(payments: Any) -> int:
    """Wait until every row has its effect; how many had none when the last one was delivered."""
    backlog = await payments.store.inbox_backlog()
    left = int(backlog.waiting + backlog.parked)
    while backlog.waiting or backlog.parked:
        await asyncio.sleep(_LOOK_S)
        backlog = await payments.store.inbox_backlog()
    return left


async def _done(store: Any) -> int:
    from vextrus_payments.inbox import InboxState

    done, cursor = 0, None
    while True:
        page = await store.list_inbox(None, state=InboxState.DONE, cursor=cursor, limit=1000)
        done += len(page.rows)
        cursor = page.cursor
        if cursor is None:
            return done

"""One of several processes on one store: `python -m tests.conformance.store_process reserve|race WHERE NUMBER`.

WHERE is a path or a PostgreSQL DSN. Says "ready", waits for a line, opens the store, lets ten callers do the same at
once, and prints their answers.
"""

import asyncio
import json
import sys
from typing import Any

from vextrus_payments.money import Money
from vextrus_payments.plans import ReserveOperation
from vextrus_payments.records import OperationKind, OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import PostgresStore, SqliteStore
from vextrus_payments.testing.store_trial import LONG, StoreTrial
from vextrus_payments.token_budget import GrantAsk

CALLERS = 10


async def never(_: float) -> None:
    raise AssertionError("real processes do not move the clock")


def names(answers: list[Any]) -> list[str]:
    return [type(answer).__name__ for answer in answers]


async def reserve(trial: StoreTrial, number: int) -> dict[str, Any]:
    """One operation id, many payments wanted for it."""
    wishes = (trial.wish("INV-1", payment_id=f"pay_{number}_{n}") for n in range(CALLERS))
    answers: list[Any] = await asyncio.gather(*(trial.store.reserve(wish) for wish in wishes))
    return {"answers": names(answers), "payments": [a.facts.payment.payment_id for a in answers]}


async def race(trial: StoreTrial, number: int) -> dict[str, Any]:
    """One execute to claim, more refunds than fit, one token to get, two rows to lease."""
    store = trial.store
    report: dict[str, Any] = {}
    report["claims"] = names(
        await asyncio.gather(*(store.claim("acme", "execute/pay_INV-2/1", LONG) for _ in range(CALLERS)))
    )
    refunds = (
        ReserveOperation(
            tenant="acme",
            operation_id=f"refund-{number}-{n}",
            kind=OperationKind.REFUND,
            payment_id="pay_INV-1",
            digest=str(n),
            amount=Money("3"),
        )
        for n in range(CALLERS)
    )
    report["refunds"] = names(await asyncio.gather(*(store.reserve(wanted) for wanted in refunds)))
    asks = (
        GrantAsk(permit=f"{number}-{n}", now=store.now(), limit=2, window_s=3600, lease_s=60)
        for n in range(CALLERS)
    )
    report["grants"] = names(await asyncio.gather(*(store.grant_reserve("d" * 64, ask) for ask in asks)))
    leases = (store.lease(kind, limit=5, lease_s=600) for kind in OutboxKind for _ in range(CALLERS))
    report["rows"] = [row.row_id for part in await asyncio.gather(*leases) for row in part]
    return report


async def main(name: str, where: str, number: int) -> None:
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    store: PaymentStore
    if where.startswith("postgresql:"):
        store = PostgresStore(where, lock_timeout_s=30)
    else:
        store = SqliteStore(where, busy_timeout_s=30)
    await store.open()
    try:
        task = {"reserve": reserve, "race": race}[name]
        print(json.dumps(await task(StoreTrial(store, store, never), number)))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

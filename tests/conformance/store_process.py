"""One of several processes on one store: `python -m tests.conformance.store_process TASK WHERE NUMBER`.

WHERE is a path or a PostgreSQL DSN. Says "ready", waits for a line, opens the store, lets ten callers do the same at
once, and prints their answers.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from vextrus_payments.inbox import InboxEnd, InboxState
from vextrus_payments.money import Money
from vextrus_payments.payment import Evidence
from vextrus_payments.plans import Claim, Plan, ReserveOperation
from vextrus_payments.records import OperationKind, OutboxKind
from vextrus_payments.store import PaymentStore
from vextrus_payments.stores import PostgresStore, SqliteStore
from vextrus_payments.testing.store_checks_news import news
from vextrus_payments.testing.store_records import full_attempt, settlement_plan
from vextrus_payments.testing.store_records_agreements import agreement_plan
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


async def everything(trial: StoreTrial, number: int) -> dict[str, Any]:
    """Every other operation of the port, all processes on the same rows: each may succeed once among all of them."""
    store, report = trial.store, dict[str, Any]()

    async def many(name: str, call: Callable[[int], Awaitable[Any]]) -> None:
        answers = await asyncio.gather(*(call(n) for n in range(CALLERS)), return_exceptions=True)
        report[name] = [type(a).__name__ if not isinstance(a, bool | int) else a for a in answers]

    facts = await trial.facts("acme", "pay_COMMIT")
    version = int(await store.get_mark("version of COMMIT") or 0)

    def old_plan(n: int) -> Plan:
        """As if it had been made before any of the others was committed."""
        plan = trial.paid_plan(facts, f"TRX-{number}-{n}")
        return replace(plan, payment=replace(plan.payment, version=version + 1), expected_version=version)

    await many("commits", lambda n: store.commit(old_plan(n)))
    held = await trial.facts("acme", "pay_HELD")
    operation_id = "execute/pay_HELD/1"
    operation = held.operation(operation_id)
    assert operation is not None and operation.send_by is not None
    claim = Claim("acme", operation_id, "pay_HELD", operation.fence, operation.send_by, held)
    step = Evidence("step", {"process": number})
    await many("checkpoints", lambda n: store.checkpoint(claim, step))
    await many(
        "releases",
        lambda n: store.release(replace(claim, operation_id="execute/pay_FREE/1", payment_id="pay_FREE")),
    )
    log = replace(full_attempt(store.now()), payment_id="pay_HELD", operation_id="log", result=f"{number}")
    await many("logs", lambda n: store.note_attempt(log))
    plan = agreement_plan(store.now(), "agr_1")
    await many("agreements", lambda n: store.commit_agreement(plan))
    taken = [agreement_plan(store.now(), f"agr_{number}_{n}", operation_id="one-id") for n in range(CALLERS)]
    await many("operation ids", lambda n: store.commit_agreement(taken[n]))
    settled = (await trial.facts("acme", "pay_PAID")).receipts[0]
    await many("settlements", lambda n: store.settle([settlement_plan(settled, store.now())]))
    await many("marks", lambda n: store.put_mark("epoch", f"{number}/{n}", expected=None))
    await many("unparked", lambda n: store.unpark("acme", "row-parked"))
    watches = await asyncio.gather(*(store.lease_watches(limit=3, lease_s=600) for _ in range(CALLERS)))
    report["watches"] = [watch.subject_id for part in watches for watch in part]
    swept = await asyncio.gather(*(store.sweep_watches() for _ in range(CALLERS)))
    report["swept"] = sum(swept)
    report["delivered"] = []
    while rows := await store.lease(OutboxKind.EVENT, limit=4, lease_s=600):
        report["delivered"] += [f"{row.subject}/{row.seq}" for row in rows]
        await store.ack_many(rows)
    return report


async def hear(trial: StoreTrial, number: int) -> dict[str, Any]:
    """The same news to every process, under its own ids and under shared ones; and what each gets to work on."""
    store = trial.store

    async def caller(n: int) -> tuple[list[bool], list[str]]:
        shared = [news(trial, f"e{each}", f"n{each}") for each in range(CALLERS)]
        alike = [news(trial, f"{number}/{n}/{each}", f"m{each}") for each in range(CALLERS)]
        kept = await store.accept_events([*shared, *alike] if n % 2 else [*alike, *shared])
        rows = await store.lease_events(limit=3, lease_s=600)
        ends = [InboxEnd(row=row, state=InboxState.DONE, note=f"{number}/{n}") for row in rows]
        assert all(await store.end_events(ends))
        return list(kept), [row.news_key or "" for row in rows]

    answers = await asyncio.gather(*(caller(n) for n in range(CALLERS)))
    report: dict[str, Any] = {
        "new": sum(sum(kept) for kept, _ in answers),
        "leased": [key for _, keys in answers for key in keys],
    }
    while rows := await store.lease_events(limit=5, lease_s=600):
        report["leased"] += [row.news_key for row in rows]
        assert all(await store.end_events([InboxEnd(row=row, state=InboxState.DONE) for row in rows]))
    return report


async def life(trial: StoreTrial, number: int) -> dict[str, Any]:
    """Payments of one's own from reservation to receipt, many at once: nobody is starved, nothing is torn."""

    async def one(n: int) -> str:
        facts = await trial.paid(f"LIFE-{number}-{n}")
        refund = await trial.store.reserve(trial.refund_of(facts, f"life-refund-{number}-{n}", "1"))
        return type(refund).__name__

    return {"refunds": await asyncio.gather(*(one(n) for n in range(3 * CALLERS)))}


TASKS = {"reserve": reserve, "race": race, "everything": everything, "hear": hear, "life": life}


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
        print(json.dumps(await TASKS[name](StoreTrial(store, store, never), number)))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))

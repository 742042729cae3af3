"""What the SQLite store costs: jobs that run in a process of their own. No wire anywhere."""

import asyncio
import random
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

from vextrus_payments.mode import Mode
from vextrus_payments.payment import Evidence, PaymentSession
from vextrus_payments.plans import Plan
from vextrus_payments.recording import plan_session_opened
from vextrus_payments.records import OutboxKind
from vextrus_payments.stores import SqliteStore, ThreadRunner
from vextrus_payments.testing.store_records import agreement_plan, full_attempt, settlement_plan
from vextrus_payments.testing.store_trial import LONG, StoreTrial

Found = dict[str, Any]
Step = Callable[["Life", StoreTrial], Awaitable[Any]]

_EACH: Final = {"group": 4, "one by one": 1}
"""How many payments each caller takes through every step of a round: the slow way gets fewer."""
_SECOND: Final = timedelta(seconds=1)


class OneByOne:
    """The same thread without grouping: a commit, and a flush of the disk, for each write."""

    def __init__(self) -> None:
        self._runner = ThreadRunner()
        self.run, self.aclose = self._runner.run, self._runner.aclose


# ----------------------------------------------------------------------------------------- operations (P6, GROUP)


@dataclass
class Life:
    """One payment on its way through the store, and what its last step answered."""

    name: str
    facts: Any = None
    claim: Any = None
    plan: Any = None
    row: Any = None
    watch: Any = None
    more: dict[str, Any] = field(default_factory=dict)


async def _reserve_payment(life: Life, trial: StoreTrial) -> None:
    life.facts = (await trial.store.reserve(life.more["wish"])).facts  # type: ignore[union-attr]


async def _claim_initialize(life: Life, trial: StoreTrial) -> None:
    life.claim = await trial.store.claim("acme", f"{life.name}/pay", LONG)


async def _commit(life: Life, trial: StoreTrial) -> None:
    if type(await trial.store.commit(life.plan)).__name__ != "Committed":
        raise RuntimeError("a commit was refused")


async def _reserve_execute(life: Life, trial: StoreTrial) -> None:
    life.facts = (await trial.store.reserve(life.more["execute"])).facts  # type: ignore[union-attr]


async def _claim_execute(life: Life, trial: StoreTrial) -> None:
    life.claim = await trial.store.claim("acme", life.more["execute"].operation_id, LONG)


async def _release(life: Life, trial: StoreTrial) -> None:
    if not await trial.store.release(life.claim):
        raise RuntimeError("a claim was not given back")


async def _checkpoint(life: Life, trial: StoreTrial) -> None:
    await trial.store.checkpoint(life.claim, Evidence("refund.baseline", {"listed": ["A", "B"]}))


async def _note_attempt(life: Life, trial: StoreTrial) -> None:
    await trial.store.note_attempt(life.more["attempt"])


async def _reserve_refund(life: Life, trial: StoreTrial) -> None:
    await trial.store.reserve(life.more["refund"])


async def _claim_refund(life: Life, trial: StoreTrial) -> None:
    await trial.store.claim("acme", life.more["refund"].operation_id, LONG)


async def _lease(life: Life, trial: StoreTrial) -> None:
    (life.row,) = await trial.store.lease(OutboxKind.EVENT, limit=1, lease_s=600)


async def _nack(life: Life, trial: StoreTrial) -> None:
    await trial.store.nack(life.row, retry_at=trial.store.now() + 9 * _SECOND, why="down")


async def _ack(life: Life, trial: StoreTrial) -> None:
    await trial.store.ack(life.row)


async def _settle(life: Life, trial: StoreTrial) -> None:
    if await trial.store.settle([life.more["settlement"]]) != 1:
        raise RuntimeError("a receipt was not settled")


async def _commit_agreement(life: Life, trial: StoreTrial) -> None:
    await trial.store.commit_agreement(life.more["agreement"])


async def _lease_watch(life: Life, trial: StoreTrial) -> None:
    (life.watch,) = await trial.store.lease_watches(limit=1, lease_s=600)


async def _watch_again(life: Life, trial: StoreTrial) -> None:
    if not await trial.store.watch_again(life.watch, trial.store.now() + 3600 * _SECOND):
        raise RuntimeError("a watch was not ended")


async def _put_mark(life: Life, trial: StoreTrial) -> None:
    await trial.store.put_mark(life.name, "a", expected=None)


async def _token_put(life: Life, trial: StoreTrial) -> None:
    await trial.store.token_put(life.name.ljust(64, "x"), "v1", '{"t": 1}' * 60)


async def _bare_insert(life: Life, trial: StoreTrial) -> None:
    values = (life.name, "x" * 450)
    store: Any = trial.store
    await store._write(lambda c: c.execute("INSERT INTO bare (name, document) VALUES (?, ?)", values))


# What is not measured: what the engine does between two operations of the store.


def _session(life: Life, trial: StoreTrial) -> None:
    payment = life.claim.facts.payment
    session = PaymentSession(
        payment_id=payment.payment_id,
        gateway=payment.gateway,
        mode=payment.mode,
        merchant_reference=payment.merchant_reference,
        amount=payment.amount,
        gateway_order_id=life.claim.facts.submission.gateway_order_id,
        gateway_reference=f"GR/{payment.payment_id}",
        checkout_url="https://gateway.example/checkout",
        expires_at=trial.store.now() + timedelta(hours=24),
    )
    life.plan = plan_session_opened(life.claim.facts, life.claim.operation_id, session, trial.store.now())


async def _between(step: str, life: Life, trial: StoreTrial) -> None:
    store = trial.store
    if step == "reserve payment":
        life.more["wish"] = trial.wish(life.name)
    elif step == "commit a session":
        _session(life, trial)
    elif step == "reserve execute":
        life.more["execute"] = trial.execute_of(await trial.facts("acme", f"pay_{life.name}"))
    elif step == "checkpoint":
        await _claim_execute(life, trial)
    elif step == "commit receipt, entries, event":
        life.plan = trial.paid_plan(await trial.facts("acme", f"pay_{life.name}"), f"TRX{life.name}")
    elif step == "note_attempt":
        attempt = replace(
            full_attempt(store.now()), payment_id=f"pay_{life.name}", operation_id=f"o/{life.name}"
        )
        life.more["attempt"] = replace(attempt, exchanges=attempt.exchanges[:1])
    elif step == "reserve refund":
        life.facts = await trial.facts("acme", f"pay_{life.name}")
        life.more["refund"] = trial.refund_of(life.facts, f"refund/{life.name}", "1")
    elif step == "settle one":
        life.more["settlement"] = settlement_plan(life.facts.receipts[0], store.now())
    elif step == "commit agreement":
        life.more["agreement"] = agreement_plan(store.now(), life.name)
    elif step == "lease one watch":
        facts = await trial.facts("acme", f"pay_{life.name}")
        version = facts.payment.version
        payment = replace(facts.payment, version=version + 1)
        await store.commit(Plan(payment=payment, expected_version=version, watch_at=store.now() - _SECOND))


STEPS: Final[dict[str, Step]] = {
    "bare insert": _bare_insert,
    "reserve payment": _reserve_payment,
    "claim initialize": _claim_initialize,
    "commit a session": _commit,
    "reserve execute": _reserve_execute,
    "claim execute": _claim_execute,
    "release": _release,
    "checkpoint": _checkpoint,
    "commit receipt, entries, event": _commit,
    "note_attempt": _note_attempt,
    "reserve refund": _reserve_refund,
    "claim refund": _claim_refund,
    "lease one": _lease,
    "nack": _nack,
    "ack": _ack,
    "settle one": _settle,
    "commit agreement": _commit_agreement,
    "lease one watch": _lease_watch,
    "watch_again": _watch_again,
    "put_mark": _put_mark,
    "token_put": _token_put,
}


def operations(rounds: int, callers: int) -> Found:
    """P6, GROUP: every durable operation, `callers` at a time, in group commit and in a commit each, in turns.

    Returns:
        {"group" | "one by one": {step: {"cpu": [...], "wall": [...]}}}, microseconds per operation, one per round.
    """
    return asyncio.run(_operations(rounds, callers))


async def _operations(rounds: int, callers: int) -> Found:
    found: Found = {}
    numbers = count()
    with tempfile.TemporaryDirectory(dir=".") as folder:
        trials = {}
        for name, runner in (("group", None), ("one by one", OneByOne())):
            store = SqliteStore(Path(folder) / f"{name}.db", runner=runner)
            await store.open()
            await store._write(lambda c: c.execute("CREATE TABLE bare (name TEXT UNIQUE, document TEXT)"))
            trials[name] = StoreTrial(store, store, None)  # type: ignore[arg-type]
            found[name] = {step: {"cpu": [], "wall": []} for step in STEPS}
        for number in range(-1, rounds):
            for name in sorted(trials, reverse=bool(number % 2)):
                lives = [Life(f"INV-{next(numbers)}") for _ in range(callers * _EACH[name])]
                for step in STEPS:
                    cpu, wall = await _step(step, lives, callers, trials[name])
                    if number >= 0:
                        found[name][step]["cpu"].append(cpu)
                        found[name][step]["wall"].append(wall)
        for trial in trials.values():
            await trial.store.close()
    return found


async def _step(step: str, lives: list[Life], callers: int, trial: StoreTrial) -> tuple[float, float]:
    await asyncio.gather(*(_between(step, life, trial) for life in lives))

    async def caller(first: int) -> None:
        for life in lives[first::callers]:
            await STEPS[step](life, trial)

    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    await asyncio.gather(*(caller(first) for first in range(callers)))
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    return cpu / len(lives) / 1000, wall / len(lives) / 1000


# --------------------------------------------------------------------------------------------------- size (P13)

#: One payment of a million: its ids scattered over the index like real ones. The multiplier is odd, so that no two
#: numbers below 2^32 get the same id.
_ID: Final = "printf('%08x', (n.i * 2654435761) & 4294967295)"
_NUMBERS: Final = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"


def _scattered(column: str) -> str:
    """The SQL of a column's value for the n-th payment."""
    if column in ("event_id", "row_id"):
        return f"{column} || '/' || n.i"
    if column.endswith(("_id", "reference", "document", "subject")):
        return f"replace({column}, '00000000', {_ID})"
    return f"{column} + n.i * 1000" if column in ("created_at", "updated_at", "recorded_at") else column


async def _filled(path: Path, rows: int) -> SqliteStore:
    """A store with so many paid payments, each with all its rows, copied in SQL from one that was made properly."""
    store = SqliteStore(path)
    await store.open()
    trial = StoreTrial(store, store, None)  # type: ignore[arg-type]
    await trial.paid("00000000", transaction_id="TRX00000000")
    for kind in OutboxKind:
        for row in await store.lease(kind, limit=100, lease_s=60):
            await store.ack(row)
    await store.close()
    _copy_in_sql(path, rows)
    await store.open()
    return store


def _copy_in_sql(path: Path, rows: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -800000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    for table in ("payments", "submissions", "operations", "attempts", "receipts", "events", "outbox"):
        columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})") if name != "id"]
        values = [_scattered(name) for name in columns]
        connection.execute(f"CREATE TEMP TABLE pattern AS SELECT * FROM {table}")
        connection.execute(
            f"{_NUMBERS.format(rows=rows)} INSERT INTO {table} ({', '.join(columns)})"
            f" SELECT {', '.join(values)} FROM n, pattern"
        )
        connection.execute("DROP TABLE pattern")
    connection.execute("COMMIT")
    connection.close()


def sizes(rounds: int, small: int, large: int) -> Found:
    """P13: keyed look-ups among few payments and among many, in turns.

    Returns:
        {look-up: {"small": [...], "large": [...]}}, CPU microseconds per look-up, one per round.
    """
    return asyncio.run(_sizes(rounds, small, large))


async def _sizes(rounds: int, small: int, large: int) -> Found:
    found: Found = {}
    dice = random.Random(13)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        stores = {}
        for name, rows in (("small", small), ("large", large)):
            stores[name] = (await _filled(Path(folder) / f"{name}.db", rows), rows)
        for number in range(-2, rounds):
            for name in sorted(stores, reverse=bool(number % 2)):
                store, rows = stores[name]
                keys = [f"{(dice.randint(1, rows) * 2654435761) & 0xFFFFFFFF:08x}" for _ in range(100)]
                for look_up, call in _look_ups(store).items():
                    cpu = time.process_time_ns()
                    for key in keys:
                        if await call(key) in (None, (), False):
                            raise RuntimeError(f"{look_up} has found nothing")
                    if number >= 0:
                        taken = (time.process_time_ns() - cpu) / len(keys) / 1000
                        found.setdefault(look_up, {}).setdefault(name, []).append(taken)
        for store, _ in stores.values():
            await store.close()
    return found


def _look_ups(store: SqliteStore) -> dict[str, Callable[[str], Awaitable[Any]]]:
    here = ("acme", "bkash", Mode.SANDBOX)

    async def nothing_is_due(_: str) -> bool:
        return await store.lease(OutboxKind.EVENT, limit=10, lease_s=60) == ()

    async def nothing_is_watched(_: str) -> bool:
        return await store.lease_watches(limit=10, lease_s=60) == ()

    return {
        "get": lambda key: store.get("acme", f"pay_{key}"),
        "get_operation": lambda key: store.get_operation("acme", f"{key}/pay"),
        "find by merchant reference": lambda key: store.find("acme", merchant_reference=key),
        "find by gateway order id": lambda key: store.find("acme", gateway_order_id=key),
        "find by gateway reference": lambda key: store.find("acme", gateway_reference=f"GR/pay_{key}"),
        "find by transaction id": lambda key: store.find("acme", transaction_id=f"TRX{key}"),
        "next order number": lambda key: store.next_order_number(*here, key),
        "events": lambda key: store.events("acme", f"pay_{key}"),
        "attempts": lambda key: store.attempts("acme", f"pay_{key}"),
        "receipts by transaction id": lambda key: store.receipts(*here, [f"TRX{key}"]),
        "a page of a tenant": lambda key: store.list("acme", limit=1),
        "lease when nothing is due": nothing_is_due,
        "watches when nothing is due": nothing_is_watched,
    }
